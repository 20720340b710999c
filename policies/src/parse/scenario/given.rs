//! `given`: what came before.

use super::{
    super::{
        section::{Found, Section, address, nothing_named},
        units::{read_age, read_size},
    },
    Known, task, unreadable,
};
use crate::{
    document::{Given, PaidBy, PastPayment, Payee},
    error::{PolicyError, Source},
};

const GIVEN: &str = "write given = [\"paid 0.40 USDC to weather-feed 5h ago\"], or another line of \
                     the grammar of tests";

pub(super) fn given(section: &Section<'_>, known: &Known<'_>) -> Result<Vec<Given>, PolicyError> {
    let mut given = Vec::new();
    for text in section.texts("given")?.unwrap_or_default() {
        let one = past(section.source, known, &text)?;
        let payee = told(&one);
        if payee.is_some() && given.iter().any(|other| told(other) == payee) {
            let message = format!("\"{}\" cannot hold beside a line above it", text.value);
            let help = "say one thing about a payee's address or registration";
            return Err(section.source.meaning(text.span, message, help));
        }
        given.push(one);
    }
    Ok(given)
}

/// Whose address or registration a line tells; one alone may do so.
fn told(given: &Given) -> Option<&str> {
    match given {
        Given::Pinned { payee, .. } | Given::Unresolved(payee) | Given::ChangedHands(payee) => {
            Some(payee)
        }
        Given::Paid(_) | Given::Used { .. } | Given::Undelivered(_) => None,
    }
}

fn past<'a>(
    source: Source<'_>,
    known: &Known<'_>,
    text: &Found<&'a str>,
) -> Result<Given, PolicyError> {
    let wrong = || unreadable(source, text, GIVEN);
    let word = |value: &'a str| Found { value, span: text.span.clone() };
    let words: Vec<&str> = text.value.split(' ').collect();
    match words.as_slice() {
        ["paid", number, unit, "to", payee, age, "ago", by @ ..] => {
            let amount = known.money(source, text, number, unit)?;
            let payee = known.payee(source, &word(payee), Some(amount.asset))?;
            let age = read_age(age).ok_or_else(wrong)?;
            let by = match by {
                [] => PaidBy::Agent,
                ["by", "another", "agent"] => PaidBy::AnotherAgent,
                ["by", name] => PaidBy::SubAgent(known.sub_agent(source, &word(name))?),
                ["in", "task", name] => PaidBy::Task(task(source, &word(name))?),
                _ => return Err(wrong()),
            };
            Ok(Given::Paid(PastPayment { amount, payee, age, by }))
        }
        ["used", tool, age, "ago", sending @ ..] => {
            let tool = known.tool(source, &word(tool))?;
            let age = read_age(age).ok_or_else(wrong)?;
            let bytes = match sending {
                [] => 0,
                ["sending", number, unit] => read_size(number, unit).ok_or_else(wrong)?,
                _ => return Err(wrong()),
            };
            Ok(Given::Used { tool, age, bytes })
        }
        ["pinned", payee, "to", to] => {
            let help =
                "only a payee known by host alone gets its address from the owner's approval";
            let by_host = |payee: &Payee| payee.address.is_none();
            let payee = some_payee(source, known, &word(payee), by_host, help)?;
            Ok(Given::Pinned { payee, address: address(source, "it", &word(to))? })
        }
        [payee, "did", "not", "deliver"] => {
            Ok(Given::Undelivered(known.payee(source, &word(payee), None)?))
        }
        [payee, "does", "not", "resolve"] => {
            Ok(Given::Unresolved(registered(source, known, &word(payee))?))
        }
        [payee, "changed", "hands"] => {
            Ok(Given::ChangedHands(registered(source, known, &word(payee))?))
        }
        _ => Err(wrong()),
    }
}

/// A payee whom the registry can say something about.
fn registered(
    source: Source<'_>,
    known: &Known<'_>,
    name: &Found<&str>,
) -> Result<String, PolicyError> {
    let help = "the registry is asked about payees with an `agent_id` only";
    some_payee(source, known, name, |payee| payee.identity.is_some(), help)
}

/// A payee of the policy, such as the line needs it.
fn some_payee(
    source: Source<'_>,
    known: &Known<'_>,
    name: &Found<&str>,
    fits: impl FnOnce(&Payee) -> bool,
    help: &str,
) -> Result<String, PolicyError> {
    let Some((payee, found)) = known.payees.get_key_value(name.value) else {
        return Err(nothing_named(source, "payee", name, known.payees.keys()));
    };
    if !fits(found) {
        let message = format!("this cannot happen to payee.{payee}");
        return Err(source.meaning(name.span.clone(), message, help));
    }
    Ok(payee.clone())
}
