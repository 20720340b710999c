//! Tricks that a robber tried, each with what came of it.

use super::support::{
    AGENT, Book, FEED, GROUND, PERMISSIONS, asked, failed, fetch, judge, pay, policy, settle, usdc,
    wei,
};
use marque_policies::{
    Intent, Policy, Sources,
    diff::{diff, is_wider},
    intent::{Argument, ToolUse},
    parse,
    parse::compile,
};
use std::collections::BTreeMap;

fn with_tool(tool: &str) -> Policy {
    policy(&format!("{GROUND}{PERMISSIONS}\n[[tool]]\nname = \"look\"\n{tool}\n"))
}

fn look(value: Argument) -> Intent {
    Intent::Tool(ToolUse {
        tool: "look".to_owned(),
        fetch: None,
        arguments: BTreeMap::from([("x".to_owned(), value)]),
        labels: Default::default(),
    })
}

fn forbidding(cedar: &str) -> Result<Policy, String> {
    let mut sources = Sources::one(format!("{GROUND}{PERMISSIONS}"));
    sources.cedar = Some(cedar.to_owned());
    compile(&sources).map(|(policy, _)| policy).map_err(|error| error.to_string())
}

#[test]
fn a_large_number_and_its_digits_are_two_policies_and_two_intents() {
    let number = with_tool("arguments = { x = { one_of = [9007199254740993] } }");
    let digits = with_tool("arguments = { x = { one_of = [\"9007199254740993\"] } }");
    let (one, other) = (
        look(Argument::Integer(9_007_199_254_740_993)),
        look(Argument::Text("9007199254740993".to_owned())),
    );
    let book = Book::default();
    assert!(failed(&judge(&number, &one, None, &book)).is_empty());
    assert_eq!(failed(&judge(&number, &other, None, &book)), ["tool.look.arguments.x"]);
    assert!(failed(&judge(&digits, &other, None, &book)).is_empty());

    assert_ne!(number.hash, digits.hash);
    assert_ne!(one.body_hash(), other.body_hash());
    assert!(is_wider(&number, &digits) && is_wider(&digits, &number));
    assert!(!diff(&number, &digits).changes.is_empty());
}

#[test]
fn a_policy_in_toml_hides_nothing_from_its_reader() {
    let text = format!("{GROUND}{PERMISSIONS}");
    for hidden in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{ad}', '\u{e0041}'] {
        let error = parse(&format!("{text}# a remark{hidden} and more\n")).unwrap_err();
        assert!(error.to_string().contains("hidden character"), "{error}");
        let cedar = format!(
            "forbid (principal, action == Action::\"pay\", resource) \
            when {{ context.task == \"a{hidden}b\" }};"
        );
        assert!(forbidding(&cedar).unwrap_err().contains("hidden character"));
    }
    // Some editors begin a text so.
    assert!(parse(&format!("\u{feff}{text}")).is_ok());
}

#[test]
fn a_forbid_in_letters_that_only_look_right_is_not_read() {
    for condition in [
        "context.method == \"\u{420}OST\"",
        "[\"GET\", \"\u{420}OST\"].contains(context.method)",
        "context.method like \"\u{420}OST*\"",
        "context.host like \"*.\u{435}vil.example\"",
    ] {
        let cedar = format!(
            "forbid (principal, action == Action::\"use\", resource) when {{ {condition} }};"
        );
        assert!(forbidding(&cedar).is_err(), "{condition}");
    }
}

#[test]
fn a_directory_above_is_above_in_every_spelling() {
    let tool = with_tool("arguments = { x = { starts_with = \"/public/\" } }");
    for above in ["/public/../key", "/public/%2e%2E/key", "/public/.%2e/key", "/public/%2E./key"] {
        let verdict = judge(&tool, &look(Argument::Text(above.to_owned())), None, &Book::default());
        assert_eq!(failed(&verdict), ["tool.look.arguments.x"], "{above}");
    }
    let verdict =
        judge(&tool, &look(Argument::Text("/public/a%2eb".to_owned())), None, &Book::default());
    assert!(failed(&verdict).is_empty());
}

#[test]
fn what_an_action_does_not_have_is_not_there() {
    let collect = settle(AGENT, usdc(1));
    let about_pay = forbidding(
        "forbid (principal, action, resource) \
         when { action == Action::\"pay\" && context.host == \"evil.example\" };",
    )
    .unwrap();
    let verdict = judge(&about_pay, &collect, Some(wei(1)), &Book::default());
    assert!(failed(&verdict).is_empty(), "{:?}", verdict.table);

    let without =
        forbidding("forbid (principal, action, resource) when { !(context has labels) };").unwrap();
    let verdict = judge(&without, &collect, Some(wei(1)), &Book::default());
    assert_eq!(failed(&verdict), ["cedar.1"]);
    let verdict = judge(&without, &fetch("fetch", "feed.example", 1), None, &Book::default());
    assert!(failed(&verdict).is_empty(), "{:?}", verdict.table);
}

#[test]
fn whoever_asks_for_the_money_of_another_payee_is_shown_as_it() {
    let text =
        format!("{GROUND}{PERMISSIONS}\n[[payee]]\nname = \"shop\"\nhost = \"shop.example\"\n");
    let mut shop = pay("shop", FEED, usdc(10_000));
    shop.host = "shop.example".to_owned();
    let verdict = judge(&policy(&text), &Intent::Authorise(shop), None, &Book::default());
    assert_eq!(asked(&verdict), ["payee.shop.pinned"]);
    let row = verdict.table.iter().find(|row| row.rule == "payee.shop.pinned").unwrap();
    assert!(row.measured.ends_with(&format!("asks for {FEED}, which is weather-feed")));
}
