//! What a server answers: whole or in pieces, bounded by whoever reads it, and held to what was
//! asked whatever the server promised.

use super::ask::in_text;
use marque_models::{Constraint, Delta, Generation, Stop, Usage};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Characters of a stranger's words that an error holds.
const EXCERPT: usize = 200;

/// A reply before it was held to anything.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) thinking: String,
    pub(super) usage: Usage,
    /// It ended because its tokens ran out.
    pub(super) cut: bool,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(alias = "delta", default)]
    message: Said,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Said {
    content: Option<String>,
    #[serde(alias = "reasoning")]
    reasoning_content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    index: usize,
    #[serde(default)]
    function: Function,
}

#[derive(Default, Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: u32,
}

/// An answer in the making.
#[derive(Debug, Default)]
pub(super) struct Growing {
    answer: Answer,
    /// Name and arguments of each call so far.
    calls: Vec<(String, String)>,
    ended: bool,
}

impl Growing {
    /// Takes the data of an event; what is new of the text.
    pub(super) fn hear(&mut self, data: &str) -> Result<Vec<Delta>, String> {
        if data.trim() == "[DONE]" {
            self.ended = true;
            return Ok(Vec::new());
        }
        let wire: Wire = serde_json::from_str(data).map_err(|error| unreadable(&error))?;
        self.take(wire)
    }

    fn take(&mut self, wire: Wire) -> Result<Vec<Delta>, String> {
        if let Some(error) = wire.error.filter(|error| !error.is_null()) {
            return Err(format!("it failed while it answered: {}", complaint_of(&error)));
        }
        if let Some(usage) = wire.usage {
            self.answer.usage = Usage {
                prompt_tokens: usage.prompt_tokens,
                reused_tokens: usage
                    .prompt_tokens_details
                    .map_or(0, |details| details.cached_tokens),
                completion_tokens: usage.completion_tokens,
            };
        }
        let mut deltas = Vec::new();
        let mut choices = wire.choices.into_iter();
        if let Some(choice) = choices.next() {
            let said = choice.message;
            if let Some(refusal) = said.refusal.filter(|refusal| !refusal.is_empty()) {
                return Err(format!("the model refuses: {}", shortened(&refusal)));
            }
            if let Some(thought) = said.reasoning_content {
                self.answer.thinking.push_str(&thought);
                deltas.push(Delta::Thinking(thought));
            }
            if let Some(text) = said.content {
                self.answer.text.push_str(&text);
                deltas.push(Delta::Text(text));
            }
            for call in said.tool_calls.into_iter().flatten() {
                self.call(call)?;
            }
            match choice.finish_reason.as_deref() {
                None => {}
                Some("length") => (self.ended, self.answer.cut) = (true, true),
                Some("content_filter") => return Err("its filter held the reply back".to_owned()),
                Some(_) => self.ended = true,
            }
        }
        match choices.next() {
            Some(_) => Err("several choices instead of one".to_owned()),
            None => Ok(deltas),
        }
    }

    fn call(&mut self, call: Call) -> Result<(), String> {
        if call.index >= 64 {
            return Err("more than 64 calls in one reply".to_owned());
        }
        if self.calls.len() <= call.index {
            self.calls.resize_with(call.index.saturating_add(1), Default::default);
        }
        if let Some((name, arguments)) = self.calls.get_mut(call.index) {
            name.push_str(&call.function.name.unwrap_or_default());
            arguments.push_str(&call.function.arguments.unwrap_or_default());
        }
        Ok(())
    }

    /// The whole answer.
    pub(super) fn finish(mut self) -> Result<Answer, String> {
        if !self.ended {
            return Err("its reply broke off before it was whole".to_owned());
        }
        match self.calls.as_slice() {
            [] => {}
            [(name, arguments)] if self.answer.text.trim().is_empty() => {
                let arguments: Map<String, Value> = match arguments.trim() {
                    "" => Ok(Map::new()),
                    text => serde_json::from_str(text),
                }
                .map_err(|error| format!("the arguments of its call: {}", unreadable(&error)))?;
                self.answer.text = in_text(name, &arguments);
            }
            calls => return Err(format!("{} calls and words at once", calls.len())),
        }
        Ok(self.answer)
    }
}

/// Reads an answer that came whole.
pub(super) fn read(body: &[u8]) -> Result<Answer, String> {
    let mut wire: Wire = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    if wire.choices.is_empty() && wire.error.is_none() {
        return Err("its answer has no choices, so it is no completion".to_owned());
    }
    // Only pieces number their calls.
    for choice in &mut wire.choices {
        for (index, call) in choice.message.tool_calls.iter_mut().flatten().enumerate() {
            call.index = index;
        }
    }
    let mut growing = Growing { ended: true, ..Growing::default() };
    growing.take(wire)?;
    growing.finish()
}

impl Answer {
    /// The reply, if it is what was asked for; otherwise its text and what is wrong with it.
    pub(super) fn held_to(self, constraint: &Constraint) -> Result<Generation, (String, String)> {
        let Self { mut text, thinking, usage, cut } = self;
        let wrong = match constraint {
            Constraint::JsonSchema(schema) => match json_in(&text) {
                None => Some("it is no JSON".to_owned()),
                Some(json) => {
                    let objection = objection(schema, &json);
                    if objection.is_none() && serde_json::from_str::<Value>(&text).is_err() {
                        text = json.to_string();
                    }
                    objection
                }
            },
            Constraint::Choice(texts) => {
                text = text.trim().to_owned();
                (!texts.contains(&text)).then(|| "it is none of the texts".to_owned())
            }
            _ => None,
        };
        match wrong {
            Some(why) => Err((text, why)),
            None => {
                let stop = if cut { Stop::Length } else { Stop::End };
                Ok(Generation { text, thinking, usage, stop, tokens: Vec::new() })
            }
        }
    }
}

/// The JSON of a text, in a code block or not.
fn json_in(text: &str) -> Option<Value> {
    if let Ok(value) = serde_json::from_str(text) {
        return Some(value);
    }
    let (_, inner) = text.split_once("```")?;
    let inner = inner.strip_prefix("json").unwrap_or(inner);
    serde_json::from_str(inner.split("```").next()?).ok()
}

fn objection(schema: &Value, value: &Value) -> Option<String> {
    let validator = match jsonschema::validator_for(schema) {
        Ok(validator) => validator,
        Err(error) => return Some(format!("the schema: {}", shortened(&error.to_string()))),
    };
    let error = validator.iter_errors(value).next()?;
    let place = error.instance_path().to_string();
    let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
    Some(shortened(&format!("{place}{error}")))
}

/// What a server says is wrong, in a line.
pub(super) fn complaint(body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(body) => complaint_of(body.get("error").unwrap_or(&body)),
        Err(_) if body.is_empty() => "nothing".to_owned(),
        Err(_) => shortened(&String::from_utf8_lossy(body)),
    }
}

fn complaint_of(error: &Value) -> String {
    let message = error.get("message").or_else(|| error.get("detail")).unwrap_or(error);
    match message.as_str() {
        Some(text) => shortened(text),
        None => shortened(&message.to_string()),
    }
}

fn unreadable(error: &serde_json::Error) -> String {
    format!("its answer is no completion: {error}")
}

fn shortened(text: &str) -> String {
    let line = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    line.take(EXCERPT).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn whole(body: &Value) -> Result<Answer, String> {
        read(body.to_string().as_bytes())
    }

    #[test]
    fn an_answer_is_read_whole_or_in_pieces() {
        let body = json!({
            "choices": [{ "message": { "role": "assistant", "content": "fair", "reasoning_content": "hm" },
                          "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 9, "completion_tokens": 2,
                       "prompt_tokens_details": { "cached_tokens": 4 } },
        });
        let answer = whole(&body).unwrap();
        assert_eq!((answer.text.as_str(), answer.thinking.as_str()), ("fair", "hm"));
        assert_eq!((answer.usage.prompt_tokens, answer.usage.reused_tokens), (9, 4));
        let mut growing = Growing::default();
        for event in [
            json!({ "choices": [{ "delta": { "role": "assistant", "reasoning_content": "hm" } }] }),
            json!({ "choices": [{ "delta": { "content": "fa" }, "finish_reason": null }] }),
            json!({ "choices": [{ "delta": { "content": "ir" }, "finish_reason": "stop" }] }),
            json!({ "choices": [], "usage": body["usage"] }),
        ] {
            growing.hear(&event.to_string()).unwrap();
        }
        growing.hear("[DONE]").unwrap();
        assert_eq!(growing.finish().unwrap(), answer);
    }

    #[test]
    fn a_native_call_becomes_the_text_of_one() {
        let mut growing = Growing::default();
        for piece in [
            json!({ "index": 0, "id": "c", "function": { "name": "pay", "arguments": "" } }),
            json!({ "index": 0, "function": { "arguments": "{\"to\":" } }),
            json!({ "index": 0, "function": { "arguments": "\"ann\"}" } }),
        ] {
            let event =
                json!({ "choices": [{ "delta": { "content": null, "tool_calls": [piece] } }] });
            growing.hear(&event.to_string()).unwrap();
        }
        growing.hear("[DONE]").unwrap();
        let text = growing.finish().unwrap().text;
        assert_eq!(text, r#"{"tool":"pay","args":{"to":"ann"}}"#);
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for (body, why) in [
            (json!({}), "no choices"),
            (json!({ "choices": 7 }), "no completion"),
            (json!({ "error": { "message": "out of\nmemory" } }), "out of memory"),
            (json!({ "choices": [{ "message": { "refusal": "no" } }] }), "refuses: no"),
            (
                json!({ "choices": [{ "message": {}, "finish_reason": "content_filter" }] }),
                "filter",
            ),
            (json!({ "choices": [{ "message": {} }, { "message": {} }] }), "several choices"),
        ] {
            let error = whole(&body).unwrap_err();
            assert!(error.contains(why) && !error.contains('\n'), "{body}: {error}");
        }
        let mut cut = Growing::default();
        cut.hear(r#"{"choices":[{"delta":{"content":"a"}}]}"#).unwrap();
        assert!(cut.finish().unwrap_err().contains("broke off"));
    }

    #[test]
    fn a_reply_is_held_to_its_constraint_whatever_was_promised() {
        let schema = json!({
            "type": "object", "properties": { "n": { "type": "integer", "maximum": 5 } },
            "required": ["n"], "additionalProperties": false,
        });
        let held = |text: &str| {
            Answer { text: text.to_owned(), ..Answer::default() }
                .held_to(&Constraint::JsonSchema(schema.clone()))
        };
        assert_eq!(held("{\"n\": 3}").unwrap().text, "{\"n\": 3}");
        assert_eq!(held("Here:\n```json\n{\"n\": 3}\n```").unwrap().text, "{\"n\":3}");
        for (text, why) in [("{\"n\": 9}", "/n: 9"), ("{}", "\"n\""), ("hello", "no JSON")] {
            let (_, error) = held(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        let choice = Constraint::Choice(vec!["yes".into()]);
        let said = |text: &str| Answer { text: text.to_owned(), ..Answer::default() };
        assert_eq!(said(" yes\n").held_to(&choice).unwrap().text, "yes");
        assert!(said("maybe").held_to(&choice).is_err());
    }
}
