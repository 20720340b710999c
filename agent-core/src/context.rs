//! What a model is shown when there is more than fits.
//!
//! Two things keep the conversation inside the context window. A result is shortened before it
//! enters the conversation, once and for good, so that the text a model has computed stays as it
//! is. And where the whole still does not fit, the oldest results give way; the goal, the calls and
//! the newest result never do.

use crate::AgentError;
use marque_models::{Message, Model, ModelError, Role};
use serde_json::{Map, Value, json};

/// A result of more characters than this is shortened.
pub(crate) const RESULT: usize = 400;

/// Tokens that a template may put around one message.
const AROUND: usize = 8;

/// What is left of a result that had to give way.
const GONE: &str = r#"{"value":"(no longer shown)"}"#;

/// A result as the model is shown it: an object of at most [`RESULT`] characters, written compactly.
///
/// A value that is no object is shown as `{"value": ...}`. Where something is cut, it is the longest
/// texts and lists, and the object says so with `"shortened": true`.
pub(crate) fn shorten(result: Value) -> Value {
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
    if length(&whole) <= RESULT {
        return whole;
    }
    for (text, items) in [(240, 16), (120, 8), (60, 4), (24, 2)] {
        let mut shorter = whole.clone();
        cut(&mut shorter, text, items);
        if let Value::Object(map) = &mut shorter {
            map.insert("shortened".to_owned(), Value::Bool(true));
        }
        if length(&shorter) <= RESULT {
            return shorter;
        }
    }
    let start: String = whole.to_string().chars().take(RESULT / 2).collect();
    json!({ "value": start, "shortened": true })
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

/// Makes `messages` fit into the model's context beside a reply of `reply` tokens.
///
/// # Errors
/// [`AgentError::Context`] where goal, tools, calls and the newest result alone are too long.
pub(crate) fn fit(
    mut messages: Vec<Message>,
    model: &dyn Model,
    reply: u32,
) -> Result<Vec<Message>, AgentError> {
    let limit = (model.info().context_length as usize).saturating_sub(reply as usize);
    let mut lengths = Vec::with_capacity(messages.len());
    for message in &messages {
        lengths.push(tokens(model, &message.content, limit)?);
    }
    let gone = tokens(model, GONE, limit)?;
    let newest = messages.len().saturating_sub(1);
    let mut total = lengths.iter().fold(0_usize, |sum, length| sum.saturating_add(*length));
    for (message, length) in messages.iter_mut().zip(&lengths).take(newest) {
        if total <= limit {
            break;
        }
        if message.role == Role::Tool && *length > gone {
            GONE.clone_into(&mut message.content);
            total = total.saturating_sub(length.saturating_sub(gone));
        }
    }
    if total > limit {
        return Err(AgentError::Context { tokens: total, limit });
    }
    Ok(messages)
}

/// Tokens of one message with what stands around it; more than `limit` if it cannot be counted.
fn tokens(model: &dyn Model, text: &str, limit: usize) -> Result<usize, AgentError> {
    match model.count_tokens(text) {
        Ok(count) => Ok(count.saturating_add(AROUND)),
        Err(ModelError::PromptTooLong { tokens, .. }) => {
            Ok(tokens.max(limit.saturating_add(1)).saturating_add(AROUND))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use marque_models::{Generation, ModelInfo, Request};

    #[derive(Debug)]
    struct Narrow(ModelInfo);

    #[async_trait]
    impl Model for Narrow {
        fn info(&self) -> &ModelInfo {
            &self.0
        }

        fn count_tokens(&self, text: &str) -> Result<usize, ModelError> {
            Ok(text.len())
        }

        async fn generate(&self, _: Request) -> Result<Generation, ModelError> {
            Err(ModelError::Stopped)
        }
    }

    fn narrow(context_length: u32) -> Narrow {
        Narrow(ModelInfo {
            name: "narrow".to_owned(),
            sha256: String::new(),
            context_length,
            built_in: false,
        })
    }

    #[test]
    fn a_short_result_stays_as_it_is() {
        assert_eq!(shorten(json!({"value": "14.2"})), json!({"value": "14.2"}));
        assert_eq!(shorten(json!(14)), json!({"value": "14"}));
        assert_eq!(shorten(json!("x")), json!({"value": "x"}));
        assert_eq!(shorten(Value::Null), json!({"ok": true}));
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
            let short = shorten(long);
            assert!(length(&short) <= RESULT, "{short}");
            assert_eq!(short["shortened"], true);
        }
    }

    #[test]
    fn the_oldest_results_give_way_and_the_goal_and_the_newest_stay() {
        let messages = vec![
            Message::system("tools"),
            Message::user("goal"),
            Message::assistant("call one"),
            Message::tool("1".repeat(100)),
            Message::assistant("call two"),
            Message::tool("2".repeat(100)),
        ];
        let fitted = fit(messages.clone(), &narrow(260), 20).unwrap();
        assert_eq!(fitted[1].content, "goal");
        assert_eq!(fitted[3].content, GONE);
        assert_eq!(fitted[5].content, "2".repeat(100));
        assert_eq!(fit(messages.clone(), &narrow(1000), 20).unwrap(), messages);
        let error = fit(messages, &narrow(100), 20).unwrap_err();
        assert!(matches!(error, AgentError::Context { .. }), "{error}");
    }
}
