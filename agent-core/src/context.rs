//! What a model is shown when there is more than fits.
//!
//! Two things keep the conversation inside the context window. A result is shortened before it
//! enters the conversation, once and for good; the whole of it is kept aside and can be read on in
//! parts. And where the conversation still does not fit, all but its newest turn is replaced by a
//! summary, which then stays as it is until the next one: between two such checkpoints the
//! conversation is only added to, so what a model has computed of it is never computed again. A
//! summary is made of what was called and what came back, by cutting and not by a model: nothing in
//! it is made up, and it needs no labels of its own.
//!
//! INVARIANT: the goal and the newest turn are never cut; what cannot be shown with them is an error
//! (pinned by `tests/mind/window.rs`).

use crate::{call::READ_MORE, task::Step};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A result of more characters than this is shortened for the smallest models.
const RESULT: usize = 400;

/// Nor is any shown longer than this to the largest.
const LONGEST_RESULT: usize = 4_000;

/// Nor shorter than this, however many come at once.
pub(crate) const LEAST_RESULT: usize = 120;

/// The tokens of the newest reply, at least and at most.
const REPLY: (u32, u32) = (256, 1_024);

/// Characters of a call and of a result in a summary.
const LINE: (usize, usize) = (100, 120);

/// The call whose result a summary is, for a model that knows calls and results only.
pub(crate) const SUMMARY: &str = r#"{"tool":"earlier_steps","args":{}}"#;

/// Characters of a result that a model with this context is shown.
pub(crate) fn room_for_result(context: u32) -> usize {
    let share = usize::try_from(context / 10).unwrap_or(usize::MAX);
    if context <= 4_096 { RESULT } else { share.clamp(RESULT, LONGEST_RESULT) }
}

/// Tokens that a reply may have.
pub(crate) fn room_for_reply(context: u32) -> u32 {
    (context / 4).clamp(REPLY.0, REPLY.1)
}

/// Characters of a summary, at first.
pub(crate) fn room_for_summary(context: u32) -> usize {
    usize::try_from(context / 4).unwrap_or(usize::MAX).clamp(RESULT, LONGEST_RESULT)
}

/// Steps in short, in at most `room` characters where that holds a count of them: the newest lines
/// that fit, and how often each tool was called before.
pub(crate) fn summary(steps: &[Step], room: usize) -> Value {
    let lines: Vec<String> = steps.iter().map(line).collect();
    let mut shown = lines.len();
    loop {
        let (gone, lines) =
            lines.split_at_checked(lines.len().saturating_sub(shown)).unwrap_or_default();
        let mut summary = Map::new();
        if !gone.is_empty() {
            let mut counts = BTreeMap::<&str, usize>::new();
            for step in steps.iter().take(gone.len()) {
                let count = counts.entry(&step.call.tool).or_default();
                *count = count.saturating_add(1);
            }
            summary.insert("called_before".to_owned(), json!(counts));
        }
        if !lines.is_empty() {
            summary.insert("steps".to_owned(), json!(lines));
        }
        let summary = Value::Object(summary);
        if shown == 0 || length(&summary) <= room {
            return summary;
        }
        shown -= 1;
    }
}

/// One step in short.
fn line(step: &Step) -> String {
    let start = |text: String, most: usize| match text.chars().count() > most {
        true => text.chars().take(most).chain(['…']).collect(),
        false => text,
    };
    let args = Value::Object(step.call.args.clone()).to_string();
    let (call, result) = (start(args, LINE.0), start(step.result.to_string(), LINE.1));
    format!("{} {call} -> {result}", step.call.tool)
}

/// How much of a result there is, and what it is asked for by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whole {
    /// The whole is not to be had.
    Gone,
    /// The step under whose number it can be read on.
    At(u32),
}

/// A part of a result that was shortened.
pub(crate) fn part(whole: &str, part: usize, room: usize) -> Value {
    // Quotes and line ends take two characters each in JSON.
    let size = (room / 2).max(1);
    let parts = whole.chars().count().div_ceil(size);
    let text: String =
        whole.chars().skip(part.saturating_sub(1).saturating_mul(size)).take(size).collect();
    match text.is_empty() {
        true => json!({ "error": format!("there are {parts} parts") }),
        false => json!({ "text": text, "part": part.max(1), "parts": parts }),
    }
}

/// A result as the model is shown it: an object of at most `room` characters, written compactly.
///
/// A value that is no object is shown as `{"value": ...}`. Where something is cut, it is the longest
/// texts and lists, and the object says so: `"shortened": true`, or the call that reads it on.
pub(crate) fn shorten(result: Value, room: usize, rest: Whole) -> Value {
    let object = match result {
        Value::Object(map) => map,
        Value::Null => Map::from_iter([("ok".to_owned(), Value::Bool(true))]),
        Value::String(text) => Map::from_iter([("value".to_owned(), Value::String(text))]),
        other @ (Value::Number(_) | Value::Bool(_)) => {
            Map::from_iter([("value".to_owned(), Value::String(other.to_string()))])
        }
        other @ Value::Array(_) => Map::from_iter([("value".to_owned(), other)]),
    };
    let whole = Value::Object(object);
    if length(&whole) <= room {
        return whole;
    }
    let mark = match rest {
        Whole::Gone => Value::Bool(true),
        Whole::At(step) => json!({ "tool": READ_MORE, "args": { "step": step, "part": 1 } }),
    };
    for (text, items) in [(240, 16), (120, 8), (60, 4), (24, 2)] {
        // The same shape in a larger room.
        let (text, items) = (text * room / RESULT, (items * room / RESULT).max(2));
        let mut shorter = whole.clone();
        cut(&mut shorter, text, items);
        if let Value::Object(map) = &mut shorter {
            map.insert("shortened".to_owned(), mark.clone());
        }
        if length(&shorter) <= room {
            return shorter;
        }
    }
    let text = whole.to_string();
    let mut room_for_text = room / 2;
    loop {
        let start: String = text.chars().take(room_for_text).collect();
        let shorter = json!({ "value": start, "shortened": mark });
        if length(&shorter) <= room || room_for_text == 0 {
            return shorter;
        }
        // Quotes take two characters each.
        room_for_text = room_for_text.saturating_sub(length(&shorter).saturating_sub(room));
    }
}

/// Characters of the compact text.
fn length(value: &Value) -> usize {
    value.to_string().chars().count()
}

/// Shortens texts to `text` characters and lists to `items` items.
fn cut(value: &mut Value, text: usize, items: usize) {
    match value {
        Value::String(string) if string.chars().count() > text => {
            *string = string.chars().take(text).chain(['…']).collect();
        }
        Value::Array(array) => {
            array.truncate(items);
            array.iter_mut().for_each(|item| cut(item, text, items));
        }
        Value::Object(map) => map.values_mut().for_each(|item| cut(item, text, items)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Call;

    fn short(result: Value) -> Value {
        shorten(result, RESULT, Whole::Gone)
    }

    #[test]
    fn a_short_result_stays_as_it_is() {
        assert_eq!(short(json!({"value": "14.2"})), json!({"value": "14.2"}));
        assert_eq!(short(json!(14)), json!({"value": "14"}));
        assert_eq!(short(json!("x")), json!({"value": "x"}));
        assert_eq!(short(Value::Null), json!({"ok": true}));
    }

    #[test]
    fn a_long_result_is_shortened_to_the_limit_and_says_so() {
        let wide: Map<String, Value> =
            (0..200).map(|n| (format!("key-{n}"), json!("v".repeat(n)))).collect();
        for long in [
            json!("x".repeat(5000)),
            json!({"value": "ü".repeat(5000), "unit": "m/s"}),
            json!({"rows": vec!["abc"; 5000]}),
            json!(vec![vec!["deep"; 50]; 50]),
            Value::Object(wide),
        ] {
            for room in [120, RESULT, 800, LONGEST_RESULT] {
                let short = shorten(long.clone(), room, Whole::At(3));
                assert!(length(&short) <= room, "{room}: {short}");
                if length(&long) > room {
                    assert_eq!(short["shortened"]["args"]["step"], 3, "{room}: {short}");
                }
            }
            assert_eq!(short(long)["shortened"], true);
        }
    }

    #[test]
    fn a_shortened_result_can_be_read_on_to_its_end() {
        let whole = format!("{{\"text\":\"{}\"}}", "ü\"\n".repeat(500));
        let mut read = String::new();
        let mut number = 1;
        loop {
            let part = part(&whole, number, RESULT);
            let Some(text) = part["text"].as_str() else {
                assert_eq!(part["error"], format!("there are {} parts", number - 1));
                break;
            };
            assert!(length(&part) <= RESULT + 40, "{part}");
            read.push_str(text);
            number += 1;
        }
        assert_eq!(read, whole);
    }

    #[test]
    fn a_summary_fits_names_the_newest_steps_and_counts_the_rest() {
        let step = |n: usize| Step {
            call: Call {
                tool: format!("tool{}", n % 2),
                args: Map::from_iter([("n".to_owned(), json!(n))]),
            },
            result: json!({"value": "v".repeat(n * 7)}),
            alongside: false,
        };
        let steps: Vec<Step> = (0..40).map(step).collect();
        let whole = summary(&steps[..2], 1_000);
        assert_eq!(
            whole,
            json!({"steps": [
                r#"tool0 {"n":0} -> {"value":""}"#,
                r#"tool1 {"n":1} -> {"value":"vvvvvvv"}"#,
            ]})
        );
        for room in [200, 400, 1_000, 4_000] {
            let summary = summary(&steps, room);
            assert!(length(&summary) <= room, "{room}: {summary}");
            let shown = summary["steps"].as_array().map_or(0, Vec::len);
            let counts = summary["called_before"].as_object().unwrap();
            let counted: u64 = counts.values().filter_map(Value::as_u64).sum();
            assert_eq!(shown as u64 + counted, 40);
        }
        let newest = summary(&steps, 400).to_string();
        assert!(newest.contains(r#"tool1 {\"n\":39}"#), "{newest}");
    }

    #[test]
    fn a_small_context_is_shown_little_and_a_large_one_more() {
        let rooms = [1_024, 2_048, 8_192, 131_072].map(|c| (room_for_result(c), room_for_reply(c)));
        assert_eq!(rooms, [(400, 256), (400, 512), (819, 1_024), (4_000, 1_024)]);
    }
}
