//! `[[tool]]`: what may be used, which hosts it may reach and how, how often, how much may leave,
//! and what its arguments must be like.

use super::{
    Spans,
    documents::Taken,
    keys,
    labels::label_rules,
    section::{Found, Section, Value, as_signed, is_word, kind},
    time::times,
    units::{read_bytes, read_rate},
};
use crate::{
    document::{Constraint, Tool},
    error::PolicyError,
    host::Host,
    intent::Argument,
};
use std::collections::{BTreeMap, BTreeSet};
use toml::de::DeValue;

pub(super) type Tools = BTreeMap<String, Tool>;

pub(super) fn tools<'a>(root: &Section<'a>, spans: &mut Spans<'a>) -> Result<Tools, PolicyError> {
    let mut names = Taken::default();
    let mut tools = Tools::new();
    for mut section in root.list("tool")? {
        let help = "write the tool's name: name = \"fetch\"";
        let name = section.text("name")?.ok_or_else(|| section.missing("name", help))?;
        names.claim(section.source, &name)?;
        section.path = format!("tool.{}", name.value);
        spans.mark(section.path.clone(), section.source, name.span.clone());
        tools.insert(name.value.to_owned(), tool(&section, spans)?);
    }
    Ok(tools)
}

fn tool<'a>(section: &Section<'a>, spans: &mut Spans<'a>) -> Result<Tool, PolicyError> {
    section.only(keys::TOOL)?;
    let help = "write it as in \"60/min\": /s, /min, /h, /day";
    let rate = rate(section, "rate", read_rate, help)?;
    let help = "write it as in \"64 KiB/day\": B, KiB, MiB or GiB, and /s, /min, /h or /day";
    let sends = self::rate(section, "sends", read_bytes, help)?;
    Ok(Tool {
        hosts: hosts(section)?,
        methods: methods(section)?,
        rate,
        sends,
        arguments: arguments(section, spans)?,
        times: times(section)?,
        labels: label_rules(section)?,
    })
}

fn hosts(section: &Section<'_>) -> Result<Vec<String>, PolicyError> {
    let hosts = section.texts("hosts")?.unwrap_or_default();
    let read = hosts.into_iter().map(|text| {
        Host::read_pattern(text.value).ok_or_else(|| {
            let message = format!("\"{}\" is no host", text.value.escape_debug());
            let help = "write host, host:port, or `*.` before a name, without `https://` and path";
            section.source.meaning(text.span, message, help)
        })
    });
    read.collect()
}

fn methods(section: &Section<'_>) -> Result<BTreeSet<String>, PolicyError> {
    let methods = section.distinct_texts("methods")?;
    if methods.is_empty() && section.has("methods") {
        // In a policy that was read, none stands for any.
        let message = format!("{} lists no method", section.path);
        let help = "write methods = [\"GET\"], or leave it out for any method";
        return Err(section.mistake("methods", message, help));
    }
    methods
        .into_iter()
        .map(|text| {
            if is_method(text.value) {
                return Ok(text.value.to_owned());
            }
            let message = format!("\"{}\" is no HTTP method", text.value.escape_debug());
            let help = "write it in upper case: GET, HEAD, POST, PUT, PATCH, DELETE";
            Err(section.source.meaning(text.span, message, help))
        })
        .collect()
}

/// Whether a text can be an HTTP method; they are in upper case.
pub(super) fn is_method(text: &str) -> bool {
    let letters = text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    letters && (1..=32).contains(&text.len())
}

fn rate(
    section: &Section<'_>,
    key: &str,
    read: impl FnOnce(&str) -> Option<(u64, u64)>,
    help: &str,
) -> Result<Option<(u64, u64)>, PolicyError> {
    let Some(text) = section.text(key)? else { return Ok(None) };
    match read(text.value) {
        Some(rate) => Ok(Some(rate)),
        None => {
            let message = format!("`{key}` cannot be \"{}\"", text.value.escape_debug());
            Err(section.source.meaning(text.span, message, help))
        }
    }
}

/// `arguments = { NAME = { .. } }`, or `[tool.arguments.NAME]`.
fn arguments<'a>(
    section: &Section<'a>,
    spans: &mut Spans<'a>,
) -> Result<BTreeMap<String, Constraint>, PolicyError> {
    let mut arguments = BTreeMap::new();
    let Some(section) = section.section("arguments")? else { return Ok(arguments) };
    for (name, section) in section.named()? {
        // The tool chose the name: case matters in it, and no word is reserved.
        if !is_word(name.value) {
            let message = format!("\"{}\" cannot be an argument's name", name.value.escape_debug());
            let help = "write the name as the tool has it: letters, digits, `-` and `_`";
            return Err(section.source.meaning(name.span, message, help));
        }
        spans.mark(section.path.clone(), section.source, name.span.clone());
        arguments.insert(name.value.to_owned(), constraint(&section)?);
    }
    Ok(arguments)
}

fn constraint(section: &Section<'_>) -> Result<Constraint, PolicyError> {
    section.only(keys::ARGUMENT)?;
    let constraint = Constraint {
        one_of: one_of(section)?,
        starts_with: section.text("starts_with")?.map(|text| text.value.to_owned()),
        longest: section.integer("longest")?.map(|number| number.value),
        at_least: section.signed("at_least")?,
        at_most: section.signed("at_most")?,
    };
    if constraint == Constraint::default() {
        let message = format!("{} says nothing", section.path);
        let help = format!("write at least one of {}", keys::ARGUMENT.join(", "));
        return Err(section.source.meaning(section.span.clone(), message, help));
    }
    Ok(constraint)
}

fn one_of(section: &Section<'_>) -> Result<Option<BTreeSet<Argument>>, PolicyError> {
    let Some(values) = section.values("one_of")? else { return Ok(None) };
    let mut one_of = BTreeSet::new();
    for value in values {
        let argument = argument(section, &value)?;
        let shown = match &argument {
            Argument::Flag(flag) => flag.to_string(),
            Argument::Integer(number) => number.to_string(),
            Argument::Text(text) => text.clone(),
        };
        if !one_of.insert(argument) {
            return Err(section.twice("one_of", value.span, &shown));
        }
    }
    if one_of.is_empty() {
        let message = format!("`one_of` in {} lists nothing", section.path);
        let help = "list the values that are permitted: one_of = [\"Berlin\", \"Paris\"]";
        return Err(section.mistake("one_of", message, help));
    }
    Ok(Some(one_of))
}

fn argument(section: &Section<'_>, value: &Value<'_>) -> Result<Argument, PolicyError> {
    let Found { value, span } = value;
    match value {
        DeValue::String(text) => Ok(Argument::Text(text.to_string())),
        DeValue::Boolean(flag) => Ok(Argument::Flag(*flag)),
        other => as_signed(other).map(Argument::Integer).ok_or_else(|| {
            let message = match other {
                DeValue::Integer(_) => "`one_of` has a number of more than 64 bits".to_owned(),
                other => format!("`one_of` has {} in it", kind(other)),
            };
            let help = "list texts, whole numbers, true or false";
            section.source.meaning(span.clone(), message, help)
        }),
    }
}
