//! A test in its own words, as `docs/policy.md` gives the grammar: what is said here can be read.

use crate::{
    document::{Expectation, Given, HOUR, PaidBy, PastPayment, Policy, PolicyTest, When},
    explain::list_all,
    intent::Argument,
};
use std::fmt::Write as _;

/// One line of a test's `given`: `paid 0.40 USDC to weather-feed 5h ago`.
#[must_use]
pub fn say_given(policy: &Policy, given: &Given) -> String {
    match given {
        Given::Paid(PastPayment { amount, payee, age, by }) => {
            let who = match by {
                PaidBy::Agent => String::new(),
                PaidBy::AnotherAgent => " by another agent".to_owned(),
                PaidBy::SubAgent(name) => format!(" by {name}"),
                PaidBy::Task(task) => format!(" in task {task}"),
            };
            format!("paid {} to {payee} {} ago{who}", policy.show(*amount), say_age(*age))
        }
        Given::Used { tool, age, bytes } => {
            format!("used {tool} {} ago{}", say_age(*age), sending(*bytes))
        }
        Given::Pinned { payee, address } => format!("pinned {payee} to {address}"),
        Given::Undelivered(payee) => format!("{payee} did not deliver"),
        Given::Unresolved(payee) => format!("{payee} does not resolve"),
        Given::ChangedHands(payee) => format!("{payee} changed hands"),
    }
}

/// A test's `when`: `pay 0.30 USDC to weather-feed`.
#[must_use]
pub fn say_when(policy: &Policy, when: &When) -> String {
    match when {
        When::Pay { amount, payee } => format!("pay {} to {payee}", policy.show(*amount)),
        When::Use { tool, fetch, bytes, arguments } => {
            let mut text = format!("use {tool}");
            if let Some((method, host)) = fetch {
                text.push_str(&format!(" to {method} {host}"));
            }
            text.push_str(&sending(*bytes));
            for (place, (name, value)) in arguments.iter().enumerate() {
                let with = if place == 0 { " with" } else { "" };
                let value = match value {
                    Argument::Flag(flag) => flag.to_string(),
                    Argument::Integer(number) => number.to_string(),
                    Argument::Text(text) => text.clone(),
                };
                text.push_str(&format!("{with} {name}={value}"));
            }
            text
        }
        When::Collect(amount) => format!("collect {}", policy.show(*amount)),
        When::Return(amount) => format!("return {}", policy.show(*amount)),
    }
}

/// The test in a line, its past apart.
pub(super) fn say_test(policy: &Policy, test: &PolicyTest) -> String {
    let PolicyTest { given: _, when, at, sub_agent, task, asked_by, labels, approved, then } = test;
    let mut text = say_when(policy, when);
    // A text that is being written cannot refuse a word.
    let mut add = |words: std::fmt::Arguments<'_>| text.write_fmt(words).unwrap_or_default();
    if let Some(name) = sub_agent {
        add(format_args!(" as {name}"));
    }
    if let Some(task) = task {
        add(format_args!(" in task {task}"));
    }
    if let Some(host) = asked_by {
        add(format_args!(", asked by {host}"));
    }
    if let Some(at) = at {
        add(format_args!(", {at}"));
    }
    if !labels.is_empty() {
        let labels: Vec<String> = labels.0.iter().map(ToString::to_string).collect();
        add(format_args!(", labelled {}", list_all(labels.iter().map(String::as_str))));
    }
    if *approved {
        add(format_args!(", approved"));
    }
    match then {
        Expectation::Allowed => add(format_args!(": allowed")),
        Expectation::Held => add(format_args!(": held")),
        Expectation::HeldBy(rule) => add(format_args!(": held by {rule}")),
        Expectation::RefusedBy(rule) => add(format_args!(": refused by {rule}")),
    }
    text
}

fn sending(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
    let unit = units.into_iter().find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    unit.map_or_else(String::new, |(unit, size)| format!(" sending {} {unit}", bytes / size))
}

/// An age in the largest unit that keeps it whole. What is no whole second is said to be the next
/// one, since an age that is read is never finer.
fn say_age(millis: u64) -> String {
    let seconds = millis.div_ceil(1_000);
    let units = [("d", 24 * HOUR / 1_000), ("h", HOUR / 1_000), ("min", 60)];
    let unit = units.into_iter().find(|(_, width)| seconds > 0 && seconds.is_multiple_of(*width));
    unit.map_or_else(|| format!("{seconds}s"), |(unit, width)| format!("{}{unit}", seconds / width))
}
