//! A call as the model writes it: `{"tool":"fetch_data","args":{"url":"https://feed.example/x"}}`,
//! or several that do not need each other's results: `{"calls":[...]}`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// The name under which a model gives its answer. Not a tool: it has no effect.
pub(crate) const FINISH: &str = "finish";

/// The name under which a model reads on in a result that was shortened. Not a tool either: what it
/// reads is the task's own.
pub(crate) const READ_MORE: &str = "read_more";

/// The most calls of one reply.
pub(crate) const MOST_CALLS: usize = 8;

/// One call, its keys in the order in which they are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The tool.
    pub tool: String,
    /// Its arguments, by name.
    pub args: Map<String, Value>,
}

impl Call {
    /// Reads a model's reply: one call, or up to [`MOST_CALLS`] of them.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Vec<Self>, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Several {
            calls: Vec<Call>,
        }
        let reply: Value = serde_json::from_str(text.trim()).map_err(|error| error.to_string())?;
        if reply.get("calls").is_none() {
            return serde_json::from_value(reply)
                .map(|call| vec![call])
                .map_err(|error| error.to_string());
        }
        let Several { calls } = serde_json::from_value(reply).map_err(|error| error.to_string())?;
        match calls.len() {
            0 => Err("it calls nothing".to_owned()),
            1 => Ok(calls),
            many if many > MOST_CALLS => {
                Err(format!("it makes {many} calls at once; {MOST_CALLS} are the most"))
            }
            _ if calls.iter().any(|call| call.tool == FINISH) => {
                Err("an answer stands alone".to_owned())
            }
            _ => Ok(calls),
        }
    }

    /// The reply that these calls are.
    pub(crate) fn reply(calls: &[&Self]) -> String {
        let texts: Vec<_> = calls.iter().map(|call| call.to_string()).collect();
        match texts.as_slice() {
            [one] => one.clone(),
            several => format!("{{\"calls\":[{}]}}", several.join(",")),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A map with string keys always serialises.
        f.write_str(&serde_json::to_string(self).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_one_call_or_some_and_reads_as_it_was_written() {
        for text in [
            r#"{"tool":"a","args":{"z":1,"b":"x"}}"#,
            r#"{"calls":[{"tool":"a","args":{}},{"tool":"b","args":{"n":2}}]}"#,
        ] {
            let calls = Call::parse(text).unwrap();
            assert_eq!(Call::reply(&calls.iter().collect::<Vec<_>>()), text);
        }
    }

    #[test]
    fn a_reply_that_is_no_call_says_why() {
        let one = r#"{"tool":"a","args":{}}"#;
        let nine = format!(r#"{{"calls":[{}]}}"#, [one; 9].join(","));
        let answer = format!(r#"{{"calls":[{one},{{"tool":"finish","args":{{}}}}]}}"#);
        for (text, why) in [
            ("no", "expected"),
            (r#"{"calls":[]}"#, "calls nothing"),
            (nine.as_str(), "9 calls at once"),
            (answer.as_str(), "stands alone"),
            (r#"{"calls":[],"x":1}"#, "unknown field"),
            (r#"{"tool":"a"}"#, "missing field"),
        ] {
            let error = Call::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
