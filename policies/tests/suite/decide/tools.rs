//! Methods and arguments of tools.

use crate::support::*;
use marque_policies::{
    Argument, Decision, Intent, Policy,
    document::{Constraint, Tool},
};

fn with(change: impl FnOnce(&mut Tool)) -> Policy {
    let mut policy = usual();
    change(policy.tools.get_mut("fetch").unwrap());
    policy
}

fn by(method: &str) -> Intent {
    let Intent::Tool(mut used) = fetch("fetch", "noaa.gov", 1) else { panic!() };
    used.fetch.as_mut().unwrap().method = method.to_owned();
    Intent::Tool(used)
}

#[test]
fn a_request_uses_a_method_that_the_policy_names_exactly() {
    let policy = with(|tool| tool.methods = ["GET".to_owned(), "HEAD".to_owned()].into());
    let judge = |intent: &Intent| judge(&policy, intent, None, &Book::default());
    assert_eq!(judge(&by("GET")).decision(), Decision::Allow);
    for method in ["POST", "get", "GET ", ""] {
        assert_eq!(failed(&judge(&by(method))), ["tool.fetch.methods"], "{method}");
    }
    let Intent::Tool(mut silent) = by("GET") else { panic!() };
    silent.fetch = None;
    assert_eq!(judge(&Intent::Tool(silent)).decision(), Decision::Allow, "no request, no method");
    let any = usual();
    assert_eq!(
        crate::support::judge(&any, &by("POST"), None, &Book::default()).decision(),
        Decision::Allow
    );
}

#[test]
fn an_argument_that_is_constrained_must_be_given_and_hold_in_every_part() {
    let text = |text: &str| Argument::Text(text.to_owned());
    let number = Argument::Integer;
    let city = Constraint {
        one_of: Some([text("Berlin"), number(7), Argument::Flag(true)].into()),
        ..Constraint::default()
    };
    let path = Constraint {
        starts_with: Some("/public/".to_owned()),
        longest: Some(12),
        ..Constraint::default()
    };
    let count = Constraint { at_least: Some(-1), at_most: Some(100), ..Constraint::default() };
    for (constraint, good, bad) in [
        (
            city,
            vec![text("Berlin"), number(7), Argument::Flag(true)],
            vec![text("berlin"), text("7"), text("true"), number(8), Argument::Flag(false)],
        ),
        (
            path,
            vec![text("/public/"), text("/public/a.b"), text("/public/äöüß")],
            vec![text("/private/"), text("/public/.."), text("/public/12345"), number(1)],
        ),
        (
            count,
            vec![number(-1), number(100)],
            vec![number(-2), number(101), text("5"), Argument::Flag(true), number(i64::MIN)],
        ),
    ] {
        let policy = with(|tool| {
            tool.arguments.insert("it".to_owned(), constraint);
        });
        let judge = |given: Option<Argument>| {
            let Intent::Tool(mut used) = by("GET") else { panic!() };
            used.arguments.insert("other".to_owned(), text("whatever"));
            used.arguments.extend(given.map(|given| ("it".to_owned(), given)));
            judge(&policy, &Intent::Tool(used), None, &Book::default())
        };
        for given in good {
            assert_eq!(judge(Some(given.clone())).decision(), Decision::Allow, "{given:?}");
        }
        for given in bad.into_iter().map(Some).chain([None]) {
            assert_eq!(failed(&judge(given.clone())), ["tool.fetch.arguments.it"], "{given:?}");
        }
    }
}

#[test]
fn a_row_says_what_an_argument_must_be_like() {
    let policy = with(|tool| {
        let constraint = Constraint {
            starts_with: Some("/public/".to_owned()),
            longest: Some(12),
            ..Constraint::default()
        };
        tool.arguments.insert("path".to_owned(), constraint);
    });
    let verdict = judge(&policy, &by("GET"), None, &Book::default());
    let row = verdict.table.iter().find(|row| row.rule.ends_with(".path")).unwrap();
    assert_eq!(
        (row.measured.as_str(), row.limit.as_str()),
        (
            "not given",
            "a text that begins with \"/public/\" without `..` and a text of at most 12 characters"
        )
    );
}
