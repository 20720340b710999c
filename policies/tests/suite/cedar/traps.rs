//! Each way in which a forbid could be disarmed without a word, and where it is told.

use super::{error, labelled, with};
use crate::support::*;
use cedar_policy::{Authorizer, Context, Decision as Cedar, Entities, PolicySet, Request};
use marque_policies::{Decision, Label, Mark};
use miette::Diagnostic;

/// Each text with how its mistake is told, after the file's name, and a part of its help.
fn told<T: AsRef<str>, M: AsRef<str>>(cases: impl IntoIterator<Item = (T, M, &'static str)>) {
    let wrong = cases.into_iter().filter_map(|(text, message, help)| {
        let (text, message) = (text.as_ref(), message.as_ref());
        let error = error(text);
        let said = error.help().map(|help| help.to_string()).unwrap_or_default();
        let right = error.to_string().starts_with(&format!("policy.cedar:{message}"));
        (!right || !said.contains(help)).then(|| format!("{text}\n    {error}\n    {said}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_forbids_are_read() {
    told([
        (
            "// mine\npermit (principal, action, resource);",
            "2:1: only `forbid` is permitted here",
            "what is permitted stands in policy.toml",
        ),
        (
            "forbid (principal, action, resource);\n@id(\"forbid\") @reason(\"a; b (\")\n  permit (principal, action, resource);",
            "3:3: only `forbid` is permitted here",
            "write `forbid`",
        ),
        (
            "forbid (principal, action, resource == ?resource);",
            "1:40: there are no templates here",
            "write the forbid out",
        ),
        (
            "forbid (principal == ?principal, action, resource);",
            "1:22: there are no templates here",
            "write the forbid out",
        ),
        ("allow (principal, action, resource);", "1:1: invalid policy effect: allow", ""),
    ]);
}

#[test]
fn arithmetic_is_refused_when_the_file_is_read() {
    let cases = [
        ("context.amount_micros + 1 > 5", 30, "arithmetic"),
        ("context.spent.day - 1 > 5", 26, "arithmetic"),
        ("context.amount_micros * 2 > 5", 30, "arithmetic"),
        ("-context.amount_micros < 5", 8, "a minus sign"),
        ("context.amount_micros > -5", 32, "arithmetic"),
        (
            "context.now.offset(duration(\"1d\")) > datetime(\"2024-01-01\")",
            20,
            "arithmetic with times",
        ),
        (
            "context.now.durationSince(datetime(\"2024-01-01\")) > duration(\"1d\")",
            20,
            "arithmetic with times",
        ),
    ];
    let forbid = "forbid (principal, action == Action::\"pay\", resource) // - +\n";
    told(cases.map(|(when, column, what)| {
        let message = format!("2:{column}: {what} is not permitted here");
        (format!("{forbid}when {{ {when} }};"), message, "compare with a number")
    }));
}

/// The control: what raw Cedar does with a forbid that overflows. It is skipped, and the payment
/// goes through.
#[test]
fn raw_cedar_skips_a_forbid_that_errs_and_here_it_is_not_even_read() {
    let forbid = "forbid (principal, action == Action::\"pay\", resource)
                  when { context.amount_micros + 1 > 1000000 };";
    let set: PolicySet = format!("permit (principal, action, resource); {forbid}").parse().unwrap();
    let decision = |micros: i64| {
        let context = serde_json::json!({ "amount_micros": micros });
        let context = Context::from_json_value(context, None).unwrap();
        let uid = |text: &str| text.parse().unwrap();
        let (agent, pay) = (uid("Agent::\"scout\""), uid("Action::\"pay\""));
        let request = Request::new(agent, pay, uid("Payee::\"feed\""), context, None).unwrap();
        Authorizer::new().is_authorized(&request, &set, &Entities::empty()).decision()
    };
    assert_eq!(decision(2_000_000), Cedar::Deny);
    assert_eq!(decision(i64::MAX), Cedar::Allow);
    let error = error(forbid).to_string();
    assert_eq!(error, "policy.cedar:2:48: arithmetic is not permitted here");
}

#[test]
fn only_what_is_on_the_list_is_part_of_the_language() {
    let cases = [
        ("{ a: 1 } == { a: 1 }", "1:1: `Record` is not part of the language of forbids"),
        ("principal.hasTag(\"a\")", "1:72: `hasTag` is not part of the language of forbids"),
        (
            "context.now.toTime().toHours() > 5",
            "1:83: `toHours` is not part of the language of forbids",
        ),
        ("context == context", "1:62: `context` cannot be used as a whole"),
        ("context.fits == context.fits", "1:70: `fits` cannot be used as a whole"),
        ("context.spent == context.spent", "1:70: `spent` cannot be used as a whole"),
        (
            "ip(\"127.0.0.1\").isLoopback()",
            "1:78: `isLoopback` is not part of the language of forbids",
        ),
        (
            "decimal(\"1.0\") == decimal(\"1.0\")",
            "1:62: `decimal` is not part of the language of forbids",
        ),
        ("1.5 > 1", "1:64: "),
        ("context.amount_micros / 2 > 1", "1:"),
        (
            "context.amount_micros > 9223372036854775808",
            "1:86: integer literal `9223372036854775808` is too large",
        ),
    ];
    told(cases.map(|(when, message)| {
        (
            format!("forbid (principal, action == Action::\"pay\", resource) when {{ {when} }};"),
            message,
            "",
        )
    }));
}

#[test]
fn the_schema_is_held_strictly_and_what_can_never_apply_is_a_mistake() {
    let cases = [
        (
            "forbid (principal, action == Action::\"pay\", resource) when { context.amuont_micros > 1 };",
            "1:62: attribute `amuont_micros`",
        ),
        (
            "forbid (principal, action, resource)\n  when { context.host == \"feed.example\" };",
            "2:10: attribute `host`",
        ),
        (
            "forbid (principal, action == Action::\"pay\", resource) when { context.asset > 1 };",
            "1:62: unexpected type",
        ),
        (
            "forbid (principal, action == Action::\"pay\", resource) when { context.asset == 1 };",
            "1:62: the types",
        ),
        (
            "forbid (principal, action == Action::\"buy\", resource);",
            "1:30: unrecognized action `Action::\"buy\"`",
        ),
        (
            "forbid (principal, action == Action::\"pay\", resource is Tool);",
            "1:1: unable to find an applicable action",
        ),
        (
            "forbid (principal is Payee, action, resource);",
            "1:1: unable to find an applicable action",
        ),
        (
            "forbid (principal, action, resource == Friend::\"x\");",
            "1:40: unrecognized entity type `Friend`",
        ),
        (
            "forbid (principal, action, resource) when { principal.age > 5 };",
            "1:45: attribute `age`",
        ),
        (
            "forbid (principal, action, resource) when { context.now > datetime(\"tomorrow\") };",
            "1:59: error during extension function argument validation",
        ),
        (
            "forbid (principal, action == Action::\"pay\", resource) when { context.now > datetime(context.asset) };",
            "1:76: extension constructors may not be called with non-literal expressions",
        ),
        // Cedar only warns about these; an owner meant to forbid something.
        ("\n\nforbid (principal, action, resource) when { false };", "3:1: policy is impossible"),
        (
            "forbid (principal, action, resource) unless { context has task };",
            "1:1: policy is impossible",
        ),
        (
            "forbid (principal, action == Action::\"pay\", resource) when { resource is Tool };",
            "1:1: policy is impossible",
        ),
        (
            "forbid (principal, action == Action::\"pay\", resource) when { context.task == \"s\u{441}out\" };",
            "1:",
        ),
    ];
    told(cases.map(|(text, message)| (text, message, "")));
}

#[test]
fn names_that_stand_for_nothing_are_mistakes() {
    let pay = |rest: &str| format!("forbid (principal, action == Action::\"pay\", resource{rest};");
    told([
        (pay(" == Payee::\"wether-feed\")"), "1:57: the policy has no payee \"wether-feed\"", "did you mean \"weather-feed\"?"),
        (pay(" == Payee::\"\\u{77}ether-feed\")"), "1:57: the policy has no payee \"wether-feed\"", "did you mean"),
        (pay(" in Category::\"comptue\")"), "1:57: the policy has no category \"comptue\"", "did you mean \"compute\"?"),
        (pay(" is Payee in Category::\"data\")"), "1:66: the policy has no category \"data\"", "known: compute"),
        (pay(") when {\n resource in [Payee::\"market\", Payee::\"nobody\"] }"), "2:32: the policy has no payee \"nobody\"", "known: "),
        (pay(") when { context.asset == \"USDT\" }"), "1:79: the policy has no asset \"USDT\"", "did you mean \"USDC\"?"),
        (pay(") when { [\"USDC\", \"EUR\"].contains(context.asset) }"), "1:71: the policy has no asset \"EUR\"", "did you mean \"ETH\"?"),
        (pay(") when { \"helpr\" == context.sub_agent }"), "1:62: the policy has no sub-agent \"helpr\"", "did you mean \"helper\"?"),
        (pay(") when { context.labels.contains(\"wbe\") }"), "1:86: there is no label \"wbe\"", "did you mean \"web\"?"),
        (pay(") when { context.labels.containsAny([\"web\", \"owner\"]) }"), "1:97: there is no label \"owner\"", "known: "),
        (pay(") when { context.weekday == 7 }"), "1:81: there is no day 7", "0 is Monday"),
        (pay(") when { context.minute > 1441 }"), "1:79: there is no minute 1441", "from 0 to 1439"),
        (pay(") when { context.host == \"Feed.example\" }"), "1:78: no host is ever written like this", "\"feed.example\""),
        (pay(") when { context.host == \"https://feed.example\" }"), "1:78: \"https://feed.example\" is not a host", "`like`"),
        (pay(") when { context.host like \"*.GOV\" }"), "1:75: this pattern can never match", "lower case"),
        ("forbid (principal, action == Action::\"use\", resource == Tool::\"fecth\");".to_owned(), "1:57: the policy has no tool \"fecth\"", "did you mean \"fetch\"?"),
        ("forbid (principal, action == Action::\"use\", resource) when { context.method == \"post\" };".to_owned(), "1:80: methods are in upper case", "\"POST\""),
        ("forbid (principal, action == Action::\"collect\", resource == Asset::\"EUR\");".to_owned(), "1:61: the policy has no asset \"EUR\"", "did you mean \"ETH\"?"),
    ]);
}

#[test]
fn annotations_name_and_explain_and_do_nothing_else() {
    let forbid = "forbid (principal, action, resource) when { context.minute < 5 };";
    let long = format!("@reason(\"{}\") {forbid}", "a".repeat(201));
    let twice = format!("@id(\"Night\") {forbid}\n@id(\"night\") {forbid}");
    let taken = format!("@id(\"2\") {forbid}\n{forbid}");
    let cases = [
        (format!("@outcome(\"ask\") {forbid}"), "1:2: `@outcome` means nothing here"),
        (format!("@id(\"a\")\n@shadow {forbid}"), "2:2: `@shadow` means nothing here"),
        (format!("@id {forbid}"), "1:2: \"\" cannot be a name"),
        (format!("@id(\"a b\") {forbid}"), "1:2: \"a b\" cannot be a name"),
        (format!("@id(\"limits.USDC\") {forbid}"), "1:2: \"limits.USDC\" cannot be a name"),
        (format!("@id(\"a\") @reason(\"\") {forbid}"), "1:11: this reason cannot be shown"),
        (format!("@reason(\"a\\u{{202e}}b\") {forbid}"), "1:2: this reason cannot be shown"),
        (long, "1:2: this reason cannot be shown"),
        (twice, "2:1: forbid 1 is already called \"night\""),
        (taken, "2:1: forbid 1 is already called \"2\""),
        (format!("@id(\"a\") @id(\"b\") {forbid}"), "1:10: "),
    ];
    told(cases.map(|(text, message)| (text, message, "")));
}

#[test]
fn broken_texts_are_told_by_line_and_column() {
    let cases = [
        ("forbid (principal, action, resource)", "1:1: this statement does not end"),
        ("\n  forbid (principal, action, resource;", "2:10: this `(` is never closed"),
        ("forbid (principal, action, resource) when { true ];", "1:50: this `]` closes nothing"),
        ("forbid (principal, action, resource));", "1:37: this `)` closes nothing"),
        ("@id(\"a) forbid (principal, action, resource);", "1:5: this text is never closed"),
        ("@id(\"a\n\") forbid (principal, action, resource);", "1:5: this text is never closed"),
        (
            "forbid (principal, action, resource) when { true }; \"",
            "1:53: this text is never closed",
        ),
        (
            "forbid (principal, action, resource) when { \u{e9} };",
            "1:45: `\u{e9}` means nothing here",
        ),
        ("// \u{202e}gnihton\n", "1:4: a hidden character, \\u{202e}"),
        ("forbid\0 (principal, action, resource);", "1:7: a hidden character, \\u{0}"),
        ("// a\rforbid (principal, action, resource);", "1:5: a hidden character, \\u{d}"),
        (
            "@reason(\"a\u{200b}b\") forbid (principal, action, resource);",
            "1:11: a hidden character, \\u{200b}",
        ),
        (";", "1:1: "),
        ("forbid (principal, action);", "1:26: this policy is missing the `resource` variable"),
        ("forbid (principal, action, resource) when { };", "1:"),
        (
            "forbid (principal, action, resource) when { context.minute < };",
            "1:62: unexpected token `}`",
        ),
        ("forbid (principal, action, resource) then { true };", "1:38: "),
    ];
    told(cases.map(|(text, message)| (text, message, "")));
}

#[test]
fn a_file_of_comments_forbids_nothing_and_changes_no_hash() {
    for text in ["", "\n\n", "// nothing yet\n// forbid (principal, action, resource);", "//"] {
        let policy = with(text);
        assert!(policy.forbids.is_empty());
        let mut bare = super::sources(text);
        bare.cedar = None;
        let (bare, _) = marque_policies::parse::compile(&bare).unwrap();
        assert_eq!(policy.hash, bare.hash);
    }
}

#[test]
fn what_a_forbid_means_counts_and_how_it_is_laid_out_does_not() {
    let hash = |text: &str| with(text).hash;
    let one = hash(
        "@id(\"a\") forbid (principal, action == Action::\"pay\", resource) when { context.amount_micros > 9007199254740993 };",
    );
    let two = hash(
        "// night\r\n@id(\"a\")\n\tforbid(principal,action==Action::\"pay\",resource,)\nwhen{\n(context[\"amount_micros\"])>9007199254740993 // !\n};\n",
    );
    assert_eq!(one, two);
    for other in [
        "@id(\"b\") forbid (principal, action == Action::\"pay\", resource) when { context.amount_micros > 9007199254740993 };",
        "@id(\"a\") @reason(\"r\") forbid (principal, action == Action::\"pay\", resource) when { context.amount_micros > 9007199254740993 };",
        "@id(\"a\") forbid (principal, action == Action::\"pay\", resource) when { context.amount_micros > 9007199254740992 };",
        "@id(\"a\") forbid (principal, action == Action::\"pay\", resource) unless { context.amount_micros > 9007199254740993 };",
    ] {
        assert_ne!(one, hash(other), "{other}");
    }
}

#[test]
fn huge_amounts_saturate_and_never_slip_under_a_threshold() {
    let huge = |units| {
        let amount = marque_policies::Money::new(units, USDC);
        marque_policies::Intent::Authorise(pay("weather-feed", FEED, amount))
    };
    let policy = with(
        "@id(\"it\") forbid (principal, action == Action::\"pay\", resource)
         when { context.amount_micros > 9223372036854775806 };",
    );
    let fails = |units| {
        let verdict = judge(&policy, &huge(units), None, &Book::default());
        failed(&verdict).contains(&"cedar.it")
    };
    assert!(fails(alloy_primitives::U256::MAX));
    assert!(fails(alloy_primitives::U256::from(u64::MAX)));
    assert!(!fails(alloy_primitives::U256::from(1)));
}

#[test]
fn one_more_label_never_lifts_a_forbid() {
    let classes = [
        Label::Web("a.example".to_owned()),
        Label::Peer("b".to_owned()),
        Label::Memory,
        Label::Model,
        Label::Owner,
    ];
    let subset = |mask: u64| {
        let picked = classes.iter().enumerate().filter(move |(at, _)| mask >> at & 1 == 1);
        labelled(picked.map(|(_, label)| label.clone()))
    };
    let trials = Trials::new("one_more_label_never_lifts_a_forbid", 20);
    for case in 0..trials.cases {
        let mut dice = trials.dice(case);
        let condition = condition(&mut dice, 3);
        let text = format!(
            "@id(\"it\") forbid (principal, action == Action::\"pay\", resource) when {{ {condition} }};"
        );
        // What can never apply is not read; there is nothing to lift.
        let Ok((policy, _)) = marque_policies::parse::compile(&super::sources(&text)) else {
            continue;
        };
        let fails = |mask| {
            let verdict = judge(&policy, &subset(mask), None, &Book::default());
            failed(&verdict).contains(&"cedar.it")
        };
        let answers: Vec<bool> = (0..32).map(fails).collect();
        for mask in 0..32_usize {
            for more in (0..5).map(|label| mask | 1 << label) {
                let lifted = answers[mask] && !answers[more];
                assert!(!lifted, "MARQUE_SEED={:x} case {case}: {text} {mask} {more}", trials.seed);
            }
        }
    }
}

/// A condition on labels, at random.
fn condition(dice: &mut Dice, depth: u64) -> String {
    const LABELS: [&str; 4] = ["web", "peer", "memory", "model"];
    if depth == 0 || dice.percent(25) {
        let (one, two) = (dice.pick(&LABELS), dice.pick(&LABELS));
        return match dice.below(5) {
            0 => format!("context.labels.contains(\"{one}\")"),
            1 => format!("context.labels.containsAll([\"{one}\", \"{two}\"])"),
            2 => format!("[\"{one}\", \"{two}\"].containsAll(context.labels)"),
            3 => format!("context.labels == [\"{one}\"]"),
            _ => "context.labels.isEmpty()".to_owned(),
        };
    }
    let mut inner = || condition(dice, depth - 1);
    let (one, two, three) = (inner(), inner(), inner());
    match dice.below(4) {
        0 => format!("!({one})"),
        1 => format!("({one} && {two})"),
        2 => format!("({one} || {two})"),
        _ => format!("(if {one} then {two} else {three})"),
    }
}

#[test]
fn a_forbid_lifted_by_a_label_in_raw_cedar_is_not_lifted_here() {
    let trust = "unless { context.labels.contains(\"model\") }";
    let text =
        format!("@id(\"it\") forbid (principal, action == Action::\"pay\", resource) {trust};");
    let verdict = |intent| judge(&with(&text), &intent, None, &Book::default());
    assert_eq!(failed(&verdict(labelled([]))), ["cedar.it"]);
    assert_eq!(failed(&verdict(labelled([Label::Model]))), ["cedar.it"]);
}

#[test]
fn a_forbid_refuses_what_the_owner_approved_and_says_why() {
    let text = "@id(\"dear\") @reason(\"nothing above 60 cents\")
                forbid (principal, action == Action::\"pay\", resource)
                when { context.amount_micros > 600000 };";
    let (policy, intent) = (with(text), feed(700_000));
    let book = Book::default().approving(&intent);
    let verdict = judge(&policy, &intent, None, &book);
    assert_eq!(verdict.decision(), Decision::Refuse);
    let row = verdict.table.iter().find(|row| row.rule == "cedar.dear").unwrap();
    assert_eq!(row.mark, Mark::Fail);
    assert_eq!(row.measured, "applies: nothing above 60 cents");
    assert!(row.mend.as_ref().unwrap().contains("policy.cedar"), "{row}");
    let fine = judge(&policy, &feed(600_000), None, &Book::default().approving(&feed(600_000)));
    assert_eq!(fine.decision(), Decision::Allow);
    let row = fine.table.iter().find(|row| row.rule == "cedar.dear").unwrap();
    assert_eq!((row.measured.as_str(), row.mark), ("does not apply", Mark::Pass));
}

#[test]
fn whoever_asks_cannot_dodge_a_forbid_by_its_spelling() {
    let text = "@id(\"it\") forbid (principal, action in [Action::\"pay\", Action::\"use\"], resource) \
                when { context.host == \"evil.example\" };";
    let policy = with(text);
    for host in ["evil.example", "EVIL.example", "Evil.Example"] {
        let mut asked = pay("muscle", MUSCLE, usdc(1));
        asked.host = host.to_owned();
        let verdict =
            judge(&policy, &marque_policies::Intent::Authorise(asked), None, &Book::default());
        assert!(failed(&verdict).contains(&"cedar.it"), "{host}");
        let verdict = judge(&policy, &fetch("fetch", host, 1), None, &Book::default());
        assert!(failed(&verdict).contains(&"cedar.it"), "{host}");
    }
}
