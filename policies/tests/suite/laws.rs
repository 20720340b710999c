//! What holds for every policy and every intent.

use crate::{
    sketch::{self, Case, KINDS},
    support::*,
};
use marque_policies::{
    Intent, Label, Mark, Row, Verdict,
    intent::{Authorise, ToolUse, Transfer},
    money::{format_units, parse_units},
    parse, read_aloud, render_table,
};
use proptest::prelude::*;

/// Lowers one limit, or adds one where there was none.
fn lower(limit: &mut Option<u8>, by: u8) {
    *limit = Some(limit.map_or(by, |limit| limit.saturating_sub(by)));
}

/// Whether no rule that `before` and `after` share has become milder, and the decision neither.
fn no_looser(before: &Verdict, after: &Verdict) -> bool {
    let strictest = |verdict: &Verdict, rule: &str| {
        let rows = verdict.table.iter().filter(|row| row.rule == rule);
        rows.map(|row| match row.mark {
            Mark::Pass => 0,
            Mark::Ask => 1,
            Mark::Fail => 2,
        })
        .max()
    };
    let milder = |row: &Row| {
        strictest(after, &row.rule).is_some_and(|now| Some(now) < strictest(before, &row.rule))
    };
    strictness(after) >= strictness(before) && !before.table.iter().any(milder)
}

fn labelled(intent: &Intent, label: Label) -> Intent {
    match intent.clone() {
        Intent::Authorise(pay) => {
            Intent::Authorise(Authorise { labels: pay.labels.clone().with(label), ..pay })
        }
        Intent::Transfer(pay) => {
            Intent::Transfer(Transfer { labels: pay.labels.clone().with(label), ..pay })
        }
        Intent::Tool(used) => {
            Intent::Tool(ToolUse { labels: used.labels.clone().with(label), ..used })
        }
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn tightening_a_policy_never_makes_a_verdict_looser(
        case in sketch::case(),
        what in 0..6usize,
        kind in 0..KINDS.len(),
        by in prop_oneof![1..4u8, 0..60u8],
    ) {
        let Case { sketch, intent, gas, book } = case;
        let mut tighter = sketch.clone();
        match what {
            0 => tighter.usdc.iter_mut().for_each(|limits| lower(&mut limits[kind], by)),
            1 => tighter.eth.iter_mut().for_each(|limits| lower(&mut limits[kind], by)),
            2 => lower(&mut tighter.all_usdc.get_or_insert([None, None, Some(by), None, None, None, None])[kind], by),
            3 => tighter.payees.iter_mut().for_each(|payee| lower(&mut payee.limits[kind % 3], by)),
            4 => { tighter.payees.pop(); }
            _ => { tighter.tool.iter_mut().for_each(|tool| { tool.hosts.pop(); lower(&mut tool.rate, by); }); }
        }
        let before = judge(&sketch.policy(), &intent, gas, &book);
        let after = judge(&tighter.policy(), &intent, gas, &book);
        prop_assert!(no_looser(&before, &after), "{before:#?}\n{after:#?}");
    }

    #[test]
    fn one_more_label_never_makes_a_verdict_looser(
        case in sketch::case(),
        label in prop_oneof![
            Just(Label::Owner), Just(Label::Policy), Just(Label::Chain), Just(Label::Model),
            Just(Label::Memory), Just(Label::Web("x".to_owned())), Just(Label::Peer("x".to_owned())),
        ],
    ) {
        let Case { sketch, intent, gas, book } = case;
        let policy = sketch.policy();
        let before = judge(&policy, &intent, gas, &book);
        let after = judge(&policy, &labelled(&intent, label), gas, &book);
        prop_assert!(no_looser(&before, &after), "{before:#?}\n{after:#?}");
    }

    #[test]
    fn a_hostile_intent_is_judged_without_a_panic_and_gains_nothing(
        intent in sketch::wild_intent(),
        gas in sketch::gas(),
        book in sketch::book(),
    ) {
        let verdict = judge(&usual(), &intent, gas, &book);
        prop_assert!(!verdict.table.is_empty());
        prop_assert!(render_table(&verdict).lines().count() > verdict.table.len());
        if let Intent::Authorise(Authorise { to, .. }) | Intent::Transfer(Transfer { to, .. }) = &intent {
            prop_assert!(strictness(&verdict) == 2 || *to == FEED || *to == MUSCLE);
        }
    }

    #[test]
    fn an_amount_is_read_as_it_is_written(bytes in any::<[u8; 32]>(), small in any::<u64>(), decimals in 0..=36u8) {
        use alloy_primitives::U256;
        for units in [U256::from_be_bytes(bytes), U256::from(small)] {
            prop_assert_eq!(parse_units(&format_units(units, decimals), decimals), Ok(units));
        }
    }

    #[test]
    fn reading_and_reading_aloud_never_panic(sketch in sketch::sketch()) {
        let said = read_aloud(&sketch.policy());
        prop_assert!(said.ends_with("Everything else is refused.\n"));
    }

    #[test]
    fn a_mangled_policy_is_read_without_a_panic(
        at in any::<prop::sample::Index>(),
        length in 0..12usize,
        insert in "[\\PC\n]{0,6}",
    ) {
        let text: Vec<char> = format!("{GROUND}{PERMISSIONS}").chars().collect();
        let at = at.index(text.len());
        let end = (at + length).min(text.len());
        let mangled: String =
            text[..at].iter().chain(insert.chars().collect::<Vec<_>>().iter()).chain(&text[end..]).collect();
        if let Err(error) = parse(&mangled) {
            let mistake = error.mistake();
            prop_assert!(mistake.help.is_some() && mistake.line >= 1 && mistake.column >= 1);
            prop_assert!(!error.to_string().contains(char::is_control), "{error:?}");
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "\\PC{0,200}") {
        prop_assert!(parse(&text).is_err());
    }
}
