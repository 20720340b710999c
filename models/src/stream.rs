//! A reply while it is written, and the JSON that its beginning already tells.

use serde_json::Value;
use tokio::sync::mpsc;

/// A piece of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// Text before the reply proper, see [`Thinking`](crate::Thinking).
    Thinking(String),
    /// Text of the reply. All of them together are the text of the
    /// [`Generation`](crate::Generation).
    Text(String),
}

/// Where a model says what it has written. Never blocks the model.
#[derive(Debug, Clone)]
pub struct Sink(mpsc::UnboundedSender<Delta>);

impl Sink {
    /// Tells a piece; nothing happens if nobody listens any more. Empty pieces are not told.
    pub fn tell(&self, delta: Delta) {
        let (Delta::Thinking(text) | Delta::Text(text)) = &delta;
        if !text.is_empty() && self.0.send(delta).is_err() {
            tracing::trace!("nobody listens to this reply");
        }
    }
}

/// Hears a reply while it is written. Ends with the reply, or with the error that kept it from
/// being whole: only the [`Generation`](crate::Generation) says which.
#[derive(Debug)]
pub struct Deltas(mpsc::UnboundedReceiver<Delta>);

impl Deltas {
    /// The next piece; `None` when there will be no more.
    pub async fn next(&mut self) -> Option<Delta> {
        self.0.recv().await
    }
}

pub(crate) fn pair() -> (Sink, Deltas) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Sink(sender), Deltas(receiver))
}

/// The value that the beginning of a JSON text tells so far: open strings, arrays and objects are
/// closed, a key without a value and a number or word that may go on are left out.
///
/// `None` as long as there is nothing to tell, or if the text is no beginning of JSON. For showing
/// what is coming; what a call says is known when the reply is whole.
#[must_use]
pub fn partial_json(text: &str) -> Option<Value> {
    if let Ok(value) = serde_json::from_str(text) {
        return Some(value);
    }
    let mut open = Vec::new();
    // Where the text could be cut, and what would have to be closed there.
    let mut cut = None;
    let mut in_string = false;
    let mut is_key = false;
    let mut escape = 0_u8;
    let mut expects_key = false;
    for (at, character) in text.char_indices() {
        let after = at.saturating_add(character.len_utf8());
        if in_string {
            match character {
                _ if escape > 0 => {
                    escape = if escape == 1 && character == 'u' { 4 } else { escape - 1 };
                }
                '\\' => escape = 1,
                '"' => {
                    in_string = false;
                    if !is_key {
                        cut = Some((after, open.clone(), false));
                    }
                    continue;
                }
                _ => {}
            }
            if escape == 0 && !is_key {
                cut = Some((after, open.clone(), true));
            }
            continue;
        }
        match character {
            '"' => {
                in_string = true;
                is_key = expects_key && open.last() == Some(&'}');
                if !is_key {
                    cut = Some((after, open.clone(), true));
                }
            }
            '{' | '[' => {
                open.push(if character == '{' { '}' } else { ']' });
                expects_key = character == '{';
                cut = Some((after, open.clone(), false));
            }
            '}' | ']' => {
                if open.pop() != Some(character) {
                    return None;
                }
                cut = Some((after, open.clone(), false));
            }
            ',' => {
                expects_key = open.last() == Some(&'}');
                cut = Some((at, open.clone(), false));
            }
            ':' => expects_key = false,
            _ => {}
        }
    }
    let (end, open, quote) = cut?;
    let mut whole = text.get(..end)?.to_owned();
    if quote {
        whole.push('"');
    }
    whole.extend(open.iter().rev());
    serde_json::from_str(&whole).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_known_so_far_is_told() {
        let text =
            r#"{"tool":"pay","args":{"to":"A\u00e9\"b","amount":12,"tags":[true,{"a":null}]}}"#;
        let at = |end: &str| {
            let end = text.find(end).unwrap() + end.len();
            partial_json(text.get(..end).unwrap())
        };
        assert_eq!(partial_json(""), None);
        assert_eq!(at("{"), Some(json!({})));
        assert_eq!(at(r#"{"to"#), Some(json!({})));
        assert_eq!(at(r#""pa"#), Some(json!({ "tool": "pa" })));
        assert_eq!(at(r#"A\u00"#), Some(json!({ "tool": "pay", "args": { "to": "A" } })));
        assert_eq!(at("12"), Some(json!({ "tool": "pay", "args": { "to": "Aé\"b" } })));
        assert_eq!(
            at("12,"),
            Some(json!({ "tool": "pay", "args": { "to": "Aé\"b", "amount": 12 } }))
        );
        assert_eq!(partial_json(text), serde_json::from_str(text).ok());
        assert_eq!(partial_json("no json"), None);
        assert_eq!(partial_json("[}"), None);
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Whether `part` could become `whole` by more text.
    fn grows_into(part: &Value, whole: &Value) -> bool {
        match (part, whole) {
            (Value::String(a), Value::String(b)) => b.starts_with(a.as_str()),
            (Value::Array(a), Value::Array(b)) => {
                a.len() <= b.len() && a.iter().zip(b).all(|(a, b)| grows_into(a, b))
            }
            (Value::Object(a), Value::Object(b)) => {
                a.iter().all(|(k, a)| b.get(k).is_some_and(|b| grows_into(a, b)))
            }
            (Value::Number(a), Value::Number(b)) => b.to_string().starts_with(&a.to_string()),
            (a, b) => a == b,
        }
    }

    proptest! {
        #[test]
        fn every_beginning_tells_a_part_of_the_whole(value in json_value()) {
            let text = value.to_string();
            for (end, _) in text.char_indices() {
                let beginning = text.get(..end).unwrap();
                if let Some(part) = partial_json(beginning) {
                    prop_assert!(grows_into(&part, &value), "{beginning}: {part}");
                }
            }
        }
    }
}
