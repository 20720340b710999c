//! `when`: what is proposed.

use super::{
    super::{
        section::{Found, Section, is_word},
        tools::is_method,
        units::read_size,
    },
    Known, WHEN, expects, unreadable,
};
use crate::{
    document::{Expectation, When},
    error::{PolicyError, Source},
    host::Host,
    intent::Argument,
};
use std::collections::BTreeMap;

const USE: &str = "write \"use fetch_data to GET feed.example sending 10 KiB with city=Berlin\"; \
                   each part after the tool may be left out";

pub(super) fn when<'a>(
    section: &Section<'a>,
    known: &Known<'_>,
    then: &Expectation,
) -> Result<When, PolicyError> {
    let source = section.source;
    let text = section.text("when")?.ok_or_else(|| section.missing("when", WHEN))?;
    let word = |value: &'a str| Found { value, span: text.span.clone() };
    let words: Vec<&str> = text.value.split(' ').collect();
    match words.as_slice() {
        ["pay", number, unit, "to", payee] => {
            let amount = known.money(source, &text, number, unit)?;
            let payee = if expects(then, "payee.known") {
                (*payee).to_owned()
            } else {
                known.payee(source, &word(payee), Some(amount.asset))?
            };
            Ok(When::Pay { amount, payee })
        }
        ["use", tool, rest @ ..] => {
            let tool = if expects(then, "tool.known") {
                (*tool).to_owned()
            } else {
                known.tool(source, &word(tool))?
            };
            using(source, &text, tool, rest)
        }
        ["collect", number, unit] => known.money(source, &text, number, unit).map(When::Collect),
        ["return", number, unit] => known.money(source, &text, number, unit).map(When::Return),
        _ => Err(unreadable(source, &text, WHEN)),
    }
}

fn using(
    source: Source<'_>,
    text: &Found<&str>,
    tool: String,
    mut rest: &[&str],
) -> Result<When, PolicyError> {
    let wrong = || unreadable(source, text, USE);
    let mut fetch = None;
    if let ["to", method, host, after @ ..] = rest {
        if !is_method(method) {
            return Err(wrong());
        }
        let host = Host::read_from(source, host, &text.span)?;
        fetch = Some(((*method).to_owned(), host));
        rest = after;
    }
    let mut bytes = 0;
    if let ["sending", number, unit, after @ ..] = rest {
        bytes = read_size(number, unit).ok_or_else(wrong)?;
        rest = after;
    }
    let mut arguments = BTreeMap::new();
    match rest {
        [] => {}
        ["with", pairs @ ..] if !pairs.is_empty() => {
            for pair in pairs {
                let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
                if !is_word(name) {
                    return Err(wrong());
                }
                let value = argument(value).ok_or_else(|| {
                    let message = format!("the argument {name} has more than 64 bits");
                    source.meaning(text.span.clone(), message, "write a smaller number")
                })?;
                if arguments.insert(name.to_owned(), value).is_some() {
                    let message = format!("the argument {name} is there twice");
                    return Err(source.meaning(text.span.clone(), message, "write it once"));
                }
            }
        }
        _ => return Err(wrong()),
    }
    Ok(When::Use { tool, fetch, bytes, arguments })
}

/// `true` and `false` are flags, digits numbers, the rest is text.
fn argument(value: &str) -> Option<Argument> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    match value {
        "true" => Some(Argument::Flag(true)),
        "false" => Some(Argument::Flag(false)),
        _ if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            value.parse().ok().map(Argument::Integer)
        }
        _ => Some(Argument::Text(value.to_owned())),
    }
}
