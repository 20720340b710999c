//! What a forbid may be made of. A list of what is permitted: what is not on it is a mistake.
//!
//! Cedar's language is larger than what an owner's forbid may be made of here. Arithmetic can
//! overflow, and raw Cedar skips a forbid that fails to evaluate; a name that stands for nothing
//! can never match. Both would disarm a forbid without a word, so neither is read.

use super::{
    Names,
    context::{self, Wanted},
    text::Statement,
};
use crate::{
    error::{PolicyError, Source, did_you_mean},
    hidden::is_hidden,
    host::Host,
};
use cedar_policy::{EntityTypeName, RestrictedExpression};
use serde_json::{Map, Value};
use std::{collections::BTreeSet, ops::Range, str::FromStr};

/// The classes of labels that a forbid may name.
pub(super) const LABELS: [&str; 4] = ["web", "peer", "memory", "model"];

/// Walks a forbid's JSON form, and tells which parts of the context it looks at.
pub(super) fn lint(
    source: Source<'_>,
    statement: &Statement<'_>,
    names: &Names<'_>,
    meaning: &Value,
) -> Result<Wanted, PolicyError> {
    let mut lint = Lint { source, statement, names, wanted: Wanted::default() };
    for part in ["principal", "action", "resource"] {
        lint.scope(meaning.get(part).unwrap_or(&Value::Null))?;
    }
    let conditions = meaning.get("conditions").and_then(Value::as_array);
    for condition in conditions.into_iter().flatten() {
        lint.expression(condition.get("body").unwrap_or(&Value::Null))?;
    }
    Ok(lint.wanted)
}

/// Refuses annotations but `@id` and `@reason`, and answers these.
pub(super) fn annotations(
    source: Source<'_>,
    statement: &Statement<'_>,
    meaning: &Value,
) -> Result<(Option<String>, Option<String>), PolicyError> {
    let empty = Map::new();
    let annotations = meaning.get("annotations").and_then(Value::as_object).unwrap_or(&empty);
    let text = |key: &str| annotations.get(key).map(|text| text.as_str().unwrap_or_default());
    let span = |key: &str| after(statement, "@", |word| word == key);
    if let Some(other) = annotations.keys().find(|key| !matches!(key.as_str(), "id" | "reason")) {
        let help = "a forbid may have `@id(\"..\")` and `@reason(\"..\")`, nothing else";
        return Err(source.meaning(span(other), format!("`@{other}` means nothing here"), help));
    }
    let id = text("id");
    let is_name = |id: &str| {
        let letters = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        letters && id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.len() <= 64
    };
    if let Some(id) = id.filter(|id| !is_name(id)) {
        let message = format!("\"{}\" cannot be a name", id.escape_debug());
        let help = "choose another of at most 64 letters, digits, `-` and `_`";
        return Err(source.meaning(span("id"), message, help));
    }
    let reason = text("reason");
    let readable = |reason: &str| {
        !reason.trim().is_empty() && reason.chars().count() <= 200 && !reason.contains(is_hidden)
    };
    if reason.is_some_and(|reason| !readable(reason)) {
        let message = "this reason cannot be shown";
        let help = "write one line of at most 200 characters, none of them hidden";
        return Err(source.meaning(span("reason"), message, help));
    }
    Ok((id.map(str::to_owned), reason.map(str::to_owned)))
}

struct Lint<'a> {
    source: Source<'a>,
    statement: &'a Statement<'a>,
    names: &'a Names<'a>,
    wanted: Wanted,
}

impl Lint<'_> {
    /// `principal ..`, `action ..` or `resource ..` between the brackets.
    fn scope(&self, scope: &Value) -> Result<(), PolicyError> {
        let Some(fields) = scope.as_object() else { return Err(self.unknown("this scope")) };
        for (key, value) in fields {
            match (key.as_str(), value) {
                ("op", _) | ("entity_type", _) => {}
                ("entity", entity) => self.entity(entity)?,
                ("entities", Value::Array(entities)) => {
                    entities.iter().try_for_each(|entity| self.entity(entity))?;
                }
                ("in", inner) => self.scope(inner)?,
                _ => return Err(self.unknown(key)),
            }
        }
        Ok(())
    }

    fn expression(&mut self, value: &Value) -> Result<(), PolicyError> {
        let mut only = value.as_object().into_iter().flatten();
        let (Some((operator, body)), None) = (only.next(), only.next()) else {
            return Err(self.unknown("this"));
        };
        if let Some(path) = path(value) {
            return self.look_at(&path);
        }
        match operator.as_str() {
            "Value" => self.literal(body),
            "Var" => match body.as_str() {
                Some("principal" | "action" | "resource") => Ok(()),
                _ => Err(self.unknown("this")),
            },
            "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "contains" | "containsAll"
            | "containsAny" => {
                self.slip(body)?;
                self.parts(body, &["left", "right"])
            }
            "&&" | "||" => self.parts(body, &["left", "right"]),
            "!" | "isEmpty" => self.parts(body, &["arg"]),
            "." => self.parts(body, &["left"]),
            "has" => self.has(body),
            "like" => self.like(body),
            "is" => {
                self.parts(body, if body.get("in").is_some() { &["left", "in"] } else { &["left"] })
            }
            "if-then-else" => self.parts(body, &["if", "then", "else"]),
            "Set" | "datetime" | "duration" | "toDate" | "toTime" => match body {
                Value::Array(parts) => parts.iter().try_for_each(|part| self.expression(part)),
                _ => Err(self.unknown(operator)),
            },
            "+" | "-" | "*" | "neg" => Err(self.arithmetic(operator)),
            "offset" | "durationSince" => Err(self.arithmetic(operator)),
            other => Err(self.unknown(other)),
        }
    }

    fn parts(&mut self, body: &Value, keys: &[&str]) -> Result<(), PolicyError> {
        for key in keys {
            self.expression(body.get(*key).unwrap_or(&Value::Null))?;
        }
        Ok(())
    }

    fn literal(&self, value: &Value) -> Result<(), PolicyError> {
        match value {
            Value::Bool(_) | Value::String(_) => Ok(()),
            Value::Number(number) if number.as_i64().is_some_and(|number| number >= 0) => Ok(()),
            Value::Number(_) => Err(self.arithmetic("-")),
            Value::Object(_) => self.entity(value),
            _ => Err(self.unknown("this value")),
        }
    }

    /// `Payee::"feed"`: it must be in the policy. Agents are not, so any may be named.
    fn entity(&self, value: &Value) -> Result<(), PolicyError> {
        let value = value.get("__entity").unwrap_or(value);
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let (Some(kind), Some(id)) = (text("type"), text("id")) else {
            return Err(self.unknown("this entity"));
        };
        let (known, what) = match kind {
            "Payee" => (&self.names.payees, "payee"),
            "Category" => (&self.names.categories, "category"),
            "Tool" => (&self.names.tools, "tool"),
            "Asset" => (&self.names.assets, "asset"),
            // Actions and unknown kinds are the schema's business.
            _ => return Ok(()),
        };
        if known.contains(id) {
            return Ok(());
        }
        let meant = EntityTypeName::from_str(kind)
            .map(|kind| RestrictedExpression::new_entity_uid(context::entity(&kind, id)));
        let words = self.statement.words.windows(3).find(|words| {
            let text: String = words.iter().map(|word| word.text).collect();
            meant.as_ref().is_ok_and(|meant| stands_for(&text, meant))
        });
        let first = words.and_then(<[_]>::first);
        let span = first.map_or_else(|| self.statement.span(), |first| first.span.clone());
        let message = format!("the policy has no {what} \"{}\"", id.escape_debug());
        Err(self.source.meaning(span, message, suggestion(id, known, what)))
    }

    /// A part of the context that the forbid looks at.
    fn look_at(&mut self, path: &[&str]) -> Result<(), PolicyError> {
        match path {
            [] => Err(self.whole("context", "context.host")),
            ["fits"] => Err(self.whole("fits", "context.fits.day")),
            ["spent"] => Err(self.whole("spent", "context.spent.day")),
            [attribute] => {
                self.wanted.add(attribute, None);
                Ok(())
            }
            [record, part] => {
                self.wanted.add(record, Some(part));
                Ok(())
            }
            _ => Err(self.unknown(&path.join("."))),
        }
    }

    /// `context has host`: needless, as all of it is always there, and harmless.
    fn has(&mut self, body: &Value) -> Result<(), PolicyError> {
        let left = body.get("left").unwrap_or(&Value::Null);
        let attributes: Vec<&str> = match body.get("attr") {
            Some(Value::String(attribute)) => vec![attribute],
            Some(Value::Array(attributes)) => attributes.iter().filter_map(Value::as_str).collect(),
            _ => return Err(self.unknown("has")),
        };
        let Some(mut path) = path(left) else { return self.expression(left) };
        path.extend(attributes);
        match path.as_slice() {
            [attribute] => self.wanted.add(attribute, None),
            [record, part] => self.wanted.add(record, Some(part)),
            _ => return Err(self.unknown("has")),
        }
        Ok(())
    }

    /// Patterns of hosts and methods must be written as these are: in lower and upper case.
    fn like(&mut self, body: &Value) -> Result<(), PolicyError> {
        let left = body.get("left").unwrap_or(&Value::Null);
        let pattern = body.get("pattern").and_then(Value::as_array);
        let letters: String = pattern
            .into_iter()
            .flatten()
            .filter_map(|element| element.get("Literal").and_then(Value::as_str))
            .collect();
        let wrong = match path(left).as_deref() {
            Some(["host"]) => letters.contains(|c: char| c.is_ascii_uppercase() || !c.is_ascii()),
            Some(["method"]) => letters.contains(|c: char| c.is_ascii_lowercase() || !c.is_ascii()),
            _ => false,
        };
        if wrong {
            let span = self.word("like");
            let help = "hosts are written in lower case and punycode, methods in upper case";
            return Err(self.source.meaning(span, "this pattern can never match", help));
        }
        self.expression(left)
    }

    /// A value that the part of the context it is compared with never has.
    fn slip(&self, body: &Value) -> Result<(), PolicyError> {
        let (Some(left), Some(right)) = (body.get("left"), body.get("right")) else {
            return Ok(());
        };
        for (side, other) in [(left, right), (right, left)] {
            let path = path(side).unwrap_or_default();
            let literals = match other.get("Set") {
                Some(Value::Array(elements)) => elements.iter().collect(),
                _ => vec![other],
            };
            for literal in literals.into_iter().filter_map(|literal| literal.get("Value")) {
                self.possible(&path, literal)?;
            }
        }
        Ok(())
    }

    fn possible(&self, path: &[&str], literal: &Value) -> Result<(), PolicyError> {
        let complain = |message: String, help: String| {
            Err(self.source.meaning(self.value(literal), message, help))
        };
        match (path, literal) {
            (["asset"], Value::String(name)) if !self.names.assets.contains(name.as_str()) => {
                complain(
                    format!("the policy has no asset \"{}\"", name.escape_debug()),
                    suggestion(name, &self.names.assets, "asset"),
                )
            }
            (["sub_agent"], Value::String(name))
                if !name.is_empty() && !self.names.sub_agents.contains(name.as_str()) =>
            {
                complain(
                    format!("the policy has no sub-agent \"{}\"", name.escape_debug()),
                    suggestion(name, &self.names.sub_agents, "sub-agent"),
                )
            }
            (["labels"], Value::String(name)) if !LABELS.contains(&name.as_str()) => complain(
                format!("there is no label \"{}\"", name.escape_debug()),
                suggestion(name, &BTreeSet::from(LABELS), "label"),
            ),
            (["host"], Value::String(host)) if !host.is_empty() => {
                let read = Host::read(host).map(|host| host.text());
                match read {
                    Some(read) if read == *host => Ok(()),
                    Some(read) => complain(
                        "no host is ever written like this".to_owned(),
                        format!("write \"{read}\""),
                    ),
                    None => complain(
                        format!("\"{}\" is not a host", host.escape_debug()),
                        "write \"feed.example\" or \"127.0.0.1:4021\"; `like` takes patterns"
                            .to_owned(),
                    ),
                }
            }
            (["method"], Value::String(method)) if !method.is_ascii() => complain(
                format!("\"{}\" is no HTTP method", method.escape_debug()),
                "write GET, HEAD, POST, PUT, PATCH or DELETE in plain letters".to_owned(),
            ),
            (["method"], Value::String(method)) if *method != method.to_ascii_uppercase() => {
                complain(
                    "methods are in upper case".to_owned(),
                    format!("write \"{}\"", method.to_ascii_uppercase().escape_debug()),
                )
            }
            (["weekday"], Value::Number(day)) if day.as_u64().is_none_or(|day| day > 6) => {
                complain(format!("there is no day {day}"), "0 is Monday, 6 is Sunday".to_owned())
            }
            (["minute"], Value::Number(minute)) if minute.as_u64().is_none_or(|at| at > 1_440) => {
                complain(
                    format!("there is no minute {minute} of the day"),
                    "count from 0 to 1439: 08:30 is 510".to_owned(),
                )
            }
            _ => Ok(()),
        }
    }

    fn arithmetic(&self, operator: &str) -> PolicyError {
        let (sign, what) = match operator {
            "neg" => ("-", "a minus sign"),
            "+" | "-" | "*" => (operator, "arithmetic"),
            _ => (operator, "arithmetic with times"),
        };
        let help = "compare with a number that is written out: sums that overflow would disarm the \
                    forbid; `context.spent`, `context.fits`, `context.minute` and `toTime()` hold \
                    what is mostly needed";
        self.source.meaning(self.word(sign), format!("{what} is not permitted here"), help)
    }

    fn whole(&self, record: &str, part: &str) -> PolicyError {
        let message = format!("`{record}` cannot be used as a whole");
        let help = format!("name one of its parts, such as `{part}`");
        self.source.meaning(self.word(record), message, help)
    }

    fn unknown(&self, what: &str) -> PolicyError {
        let message = format!("`{}` is not part of the language of forbids", what.escape_debug());
        let help = "there are ==, !=, <, <=, >, >=, &&, ||, !, in, is, has, like, contains(), \
                    containsAll(), containsAny(), isEmpty(), if, datetime(), duration(), toDate() \
                    and toTime()";
        self.source.meaning(self.word(what), message, help)
    }

    /// Where a word first stands in the statement, or the statement itself.
    fn word(&self, text: &str) -> Range<usize> {
        let found = self.statement.words.iter().find(|word| word.text == text);
        found.map_or_else(|| self.statement.span(), |word| word.span.clone())
    }

    /// Where a literal first stands in the statement, or the statement itself.
    fn value(&self, literal: &Value) -> Range<usize> {
        let same = |text: &str| match literal {
            Value::String(value) => {
                stands_for(text, &RestrictedExpression::new_string(value.clone()))
            }
            Value::Number(value) => {
                text.parse().is_ok_and(|number: i64| value.as_i64() == Some(number))
            }
            _ => false,
        };
        let found = self.statement.words.iter().find(|word| same(word.text));
        found.map_or_else(|| self.statement.span(), |word| word.span.clone())
    }
}

/// Whether a piece of a forbid, with whatever escapes, is this value.
fn stands_for(text: &str, value: &RestrictedExpression) -> bool {
    text.ends_with('"') && RestrictedExpression::from_str(text).is_ok_and(|found| found == *value)
}

/// The parts of `context.a.b`, context left out: `["a", "b"]`. `None` for anything else.
fn path(value: &Value) -> Option<Vec<&str>> {
    if let Some("context") = value.get("Var").and_then(Value::as_str) {
        return Some(Vec::new());
    }
    let access = value.get(".")?;
    let mut path = path(access.get("left")?)?;
    path.push(access.get("attr")?.as_str()?);
    Some(path)
}

/// Where the word after `before` stands that `wanted` says yes to, or the statement itself.
fn after(statement: &Statement<'_>, before: &str, wanted: impl Fn(&str) -> bool) -> Range<usize> {
    let mut pairs = statement.words.iter().zip(statement.words.iter().skip(1));
    let found = pairs.find(|(first, second)| first.text == before && wanted(second.text));
    found.map_or_else(|| statement.span(), |(_, word)| word.span.clone())
}

fn suggestion(name: &str, known: &BTreeSet<&str>, what: &str) -> String {
    match did_you_mean(name, known.iter().copied()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None if known.is_empty() => format!("the policy names no {what} at all"),
        None => {
            let known: Vec<&str> = known.iter().copied().collect();
            format!("known: {}", known.join(", "))
        }
    }
}
