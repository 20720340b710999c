//! What a tape was asked, and how a question that it has no answer to differs from those that it has.

use super::{On, hash, text};
use marque_models::Message;
use marque_steward_client::Proposal;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Characters of a text that are shown where it differs, and before that.
const EXCERPT: usize = 60;
const BEFORE: usize = 20;

/// Two texts with so many characters in common at their beginning are one that has changed.
const ALIKE: usize = 4;

/// So many differences are told.
const TOLD: usize = 3;

/// A question: by its key the answer is found, by the rest it is told apart from others.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) on: On,
    pub(super) key: String,
    /// What is written down of it beside the key; null where there is one question only.
    pub(super) asked: Value,
    /// Texts that `asked` names by their hashes.
    pub(super) texts: Vec<String>,
}

impl Question {
    /// The only one of its kind.
    pub(super) const fn only(on: On, key: String) -> Self {
        Self { on, key, asked: Value::Null, texts: Vec::new() }
    }

    pub(super) fn tokens(counted: &str) -> Self {
        let key = hash(&counted);
        Self { on: On::Tokens, asked: json!(key), key, texts: vec![counted.to_owned()] }
    }

    pub(super) fn model(messages: &[Message]) -> Self {
        let texts: Vec<_> = messages.iter().map(words).collect();
        let asked = texts.iter().map(hash).collect();
        Self { on: On::Model, key: hash(&messages), asked, texts }
    }

    /// `account` is that below the agent, where one asks.
    pub(super) fn propose(account: Option<&str>, key: String, proposal: &Proposal) -> Self {
        let Proposal { task: _, step, ordinal, attempt, intent } = proposal;
        let place = json!([account, step, ordinal, attempt]);
        let asked = json!({ "place": place, "intent": intent });
        Self { on: On::Propose, key, asked, texts: Vec::new() }
    }

    pub(super) fn http(method: &str, url: &str, body: &[u8]) -> Self {
        let key = hash(&(method, url, hex::encode(body)));
        let asked = json!([format!("{method} {url}"), String::from_utf8_lossy(body)]);
        Self { on: On::Http, key, asked, texts: Vec::new() }
    }
}

/// A message as people read it. No two that differ look the same.
fn words(message: &Message) -> String {
    let Message { role, content, thinking, calls, answers } = message;
    let role = text(role);
    let mut words = format!("{}: {content}", role.trim_matches('"'));
    if !thinking.is_empty() || !calls.is_empty() || answers.is_some() {
        words.push_str(&text(&(thinking, calls, answers)));
    }
    words
}

/// The questions of a tape, as it tells them.
#[derive(Debug, Default)]
pub(super) struct Questions {
    asked: Vec<(On, Value)>,
    texts: HashMap<String, String>,
}

impl Questions {
    pub(super) fn take(&mut self, on: On, asked: Value) {
        self.asked.push((on, asked));
    }

    pub(super) fn take_text(&mut self, key: String, text: String) {
        self.texts.insert(key, text);
    }

    /// How a question that is not among them differs from the one that is most like it. Nothing where
    /// that cannot be said: an older recording has no more than hashes.
    pub(super) fn differs(&self, question: &Question) -> Option<String> {
        let asked = || self.asked.iter().filter(|(on, _)| *on == question.on).map(|(_, it)| it);
        match question.on {
            On::Tokens => {
                let now = question.texts.first()?;
                let texts = asked().filter_map(|key| self.texts.get(key.as_str()?));
                let then = texts.max_by_key(|then| alike(now, then))?;
                Some(match alike(now, then) {
                    ALIKE.. => contrast(now, then),
                    _ => format!("{} was not in it", excerpt(now, 0)),
                })
            }
            On::Model => self.other_turn(question, asked()),
            On::Propose => {
                let place = question.asked.get("place")?;
                let step = place.get(1)?;
                let then = asked().find(|then| then.get("place") == Some(place));
                let now = question.asked.get("intent")?;
                Some(match then.and_then(|then| then.get("intent")) {
                    Some(then) => {
                        let mut told = Vec::new();
                        fields("intent", now, then, &mut told);
                        told.truncate(TOLD);
                        format!("in step {step} {}", told.join(", "))
                    }
                    None => format!("in step {step} {} was not asked for", excerpt(&text(now), 0)),
                })
            }
            On::Http => {
                let part = |it: &Value, at: usize| it.get(at)?.as_str().map(str::to_owned);
                let now = part(&question.asked, 0)?;
                let same = asked().find(|then| part(then, 0).as_ref() == Some(&now));
                if let Some(same) = same {
                    let bodies = (part(&question.asked, 1)?, part(same, 1)?);
                    return Some(format!("the body of {now}: {}", contrast(&bodies.0, &bodies.1)));
                }
                let requests = asked().filter_map(|then| part(then, 0));
                let then = requests.max_by_key(|then| alike(&now, then))?;
                Some(contrast(&now, &then))
            }
            On::Text | On::View | On::Standing | On::Wait => None,
        }
    }

    /// Where a conversation leaves the recorded one that it follows for longest.
    fn other_turn<'a>(
        &'a self,
        question: &Question,
        asked: impl Iterator<Item = &'a Value>,
    ) -> Option<String> {
        let hashes = |it: &'a Value| -> Vec<&'a str> {
            it.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
        };
        let now: Vec<_> = question.asked.as_array()?.iter().filter_map(Value::as_str).collect();
        let common = |then: &[&str]| now.iter().zip(then).take_while(|(a, b)| a == b).count();
        // Of several the one that is as long.
        let like = |then: &Vec<&str>| (common(then), then.len() == now.len());
        let then = asked.map(hashes).max_by_key(like)?;
        let at = common(&then);
        let turn =
            question.texts.iter().take(at).filter(|it| it.starts_with("assistant: ")).count();
        let place = format!("turn {}, message {}", turn + 1, at + 1);
        let then = then.get(at).and_then(|hash| self.texts.get(*hash));
        Some(match (question.texts.get(at), then) {
            (Some(now), Some(then)) => format!("{place}: {}", contrast(now, then)),
            (Some(now), None) => format!("{place}: {} was not in it", excerpt(now, 0)),
            (None, Some(then)) => format!("{place}: {} is missing", excerpt(then, 0)),
            (None, None) => return None,
        })
    }
}

/// Characters that two texts have in common at their beginning.
fn alike(one: &str, other: &str) -> usize {
    one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count()
}

/// What a text is and was from where it differs on.
fn contrast(now: &str, then: &str) -> String {
    let at = alike(now, then);
    let from = at.saturating_sub(BEFORE);
    format!("{} was {} when it was recorded", excerpt(now, from), excerpt(then, from))
}

/// Some of a text, in quotes, from a character on.
fn excerpt(text: &str, from: usize) -> String {
    let shown: String = text.chars().skip(from).take(EXCERPT).collect();
    let before = if from > 0 { "…" } else { "" };
    let after = if text.chars().count() > from.saturating_add(EXCERPT) { "…" } else { "" };
    format!("{:?}", format!("{before}{shown}{after}"))
}

/// The fields in which two values differ.
fn fields(name: &str, now: &Value, then: &Value, told: &mut Vec<String>) {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            let names = now.keys().chain(then.keys().filter(|name| !now.contains_key(*name)));
            for field in names {
                let value = |of: &serde_json::Map<_, Value>| of.get(field).cloned();
                let (now, then) = (value(now).unwrap_or_default(), value(then).unwrap_or_default());
                fields(&format!("{name}.{field}"), &now, &then, told);
            }
        }
        (now, then) if now != then => {
            let short = |value: &Value| excerpt(text(value).trim_matches('"'), 0);
            told.push(format!("{name} is {} and was {}", short(now), short(then)));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marque_models::Role;

    fn questions(all: Vec<Question>) -> Questions {
        let mut questions = Questions::default();
        for Question { on, asked, texts, .. } in all {
            questions.take(on, asked);
            for text in texts {
                questions.take_text(hash(&text), text);
            }
        }
        questions
    }

    fn turn(said: &[(Role, &str)]) -> Question {
        let said = said.iter().map(|(role, text)| Message::new(*role, *text));
        Question::model(&said.collect::<Vec<_>>())
    }

    #[test]
    fn a_conversation_that_leaves_the_recorded_one_is_told_where() {
        let call = (Role::Assistant, "look");
        let recorded = questions(vec![
            turn(&[(Role::User, "How windy?")]),
            turn(&[(Role::User, "How windy?"), call, (Role::Tool, r#"{"value":"14.2"}"#)]),
        ]);
        let now = turn(&[(Role::User, "How windy?"), call, (Role::Tool, r#"{"value":"9"}"#)]);
        assert_eq!(
            recorded.differs(&now).unwrap(),
            r#"turn 2, message 3: "tool: {\"value\":\"9\"}" was "tool: {\"value\":\"14.2\"}" when it was recorded"#
        );
        let now = turn(&[(Role::User, "How windy?"), call]);
        let told = recorded.differs(&now).unwrap();
        assert!(told.ends_with(r#""tool: {\"value\":\"14.2\"}" is missing"#), "{told}");
        let now = turn(&[(Role::User, "Is it calm?")]);
        let told = recorded.differs(&now).unwrap();
        assert!(
            told.starts_with(r#"turn 1, message 1: "user: Is it calm?" was "user: How"#),
            "{told}"
        );
    }

    #[test]
    fn a_proposal_a_request_and_a_tool_that_changed_are_told_by_what_changed() {
        let propose = |step: u32, units: &str| Question {
            on: On::Propose,
            key: String::new(),
            asked: json!({ "place": [null, step, 1, 0], "intent": { "amount": { "units": units } } }),
            texts: Vec::new(),
        };
        let recorded = questions(vec![
            propose(2, "10"),
            Question::http("GET", "https://feed.example/wind", b""),
            Question::tokens("wind Today's wind. {}"),
        ]);
        let told = |question: &Question| recorded.differs(question).unwrap();
        assert_eq!(
            told(&propose(2, "20")),
            r#"in step 2 intent.amount.units is "20" and was "10""#
        );
        assert!(told(&propose(3, "20")).ends_with("was not asked for"));
        let request = Question::http("GET", "https://feed.example/rain", b"");
        assert!(told(&request).contains(r#"example/rain" was "#), "{}", told(&request));
        let body = Question::http("GET", "https://feed.example/wind", b"x");
        assert!(told(&body).starts_with("the body of GET https://feed.example/wind: \"x\" was"));
        let tool = Question::tokens("wind Tomorrow's wind. {}");
        let told_of = told(&tool);
        assert!(
            told_of.starts_with(r#""wind Tomorrow's wind. {}" was "wind Today's"#),
            "{told_of}"
        );
        assert_eq!(told(&Question::tokens("rain")), r#""rain" was not in it"#);
        assert_eq!(questions(Vec::new()).differs(&tool), None, "an older recording");
    }
}
