//! What holds for every policy and every request: what is added can only take away.

use crate::{forbids::Forbid, sketch::*, support::*};
use alloy_primitives::Address;
use marque_policies::{
    Decision, Intent, Labels, Mark, Request, Verdict, decide,
    document::DAY,
    intent::{Authorise, PermitTransfer, ToolUse, Transfer},
    money::{format_units, parse_units},
    parse, read_aloud, render_table,
};
use proptest::prelude::*;

/// A law that holds for every request to every policy. `changed` makes another policy or another
/// request of what it is given, or nothing where the law does not apply; `holds` compares the two
/// verdicts.
fn law(
    name: &str,
    few: u64,
    changed: impl Fn(&mut Dice, &Sketch, &Case) -> Option<(Sketch, Case)>,
    holds: impl Fn(&Verdict, &Verdict) -> bool,
) {
    let trials = Trials::new(name, few);
    let (mut tried, mut number) = (0, 0);
    while tried < trials.cases {
        let mut dice = trials.dice(number);
        let sketch = Sketch::random(&mut dice);
        let mut policy = None;
        for _ in 0..8 {
            let case = Case::random(&mut dice, &sketch);
            let Some((other, next)) = changed(&mut dice, &sketch, &case) else { continue };
            let policy = policy.get_or_insert_with(|| sketch.policy());
            let same = other.text() == sketch.text();
            let before = case.judge(policy);
            let after = if same { next.judge(policy) } else { next.judge(&other.policy()) };
            tried += 1;
            assert!(
                holds(&before, &after),
                "{name}: policy {number}, MARQUE_SEED={:x}\n{}\n{}\n{case:#?}\n{next:#?}\n\
                 {before:#?}\n{after:#?}",
                trials.seed,
                sketch.text(),
                if same { "the same policy".to_owned() } else { other.text() },
            );
        }
        number += 1;
    }
}

fn no_looser(before: &Verdict, after: &Verdict) -> bool {
    strictness(after) >= strictness(before)
}

/// No looser, and no rule that both verdicts have has become milder.
fn no_rule_milder(before: &Verdict, after: &Verdict) -> bool {
    let strictest = |verdict: &Verdict, rule: &str| {
        let rows = verdict.table.iter().filter(|row| row.rule == rule);
        rows.map(|row| match row.mark {
            Mark::Pass => 0,
            Mark::Ask => 1,
            Mark::Fail => 2,
        })
        .max()
    };
    let milder =
        |rule: &str| strictest(after, rule).is_some_and(|now| Some(now) < strictest(before, rule));
    no_looser(before, after) && !before.table.iter().any(|row| milder(&row.rule))
}

/// Lowers one limit, or adds one where there was none.
fn lower(dice: &mut Dice, limits: &mut Seven) {
    // A section of a payee or an account keeps the kinds that it can have.
    lower_one(dice, &mut limits.as_mut_slice()[..6]);
}

fn lower_one(dice: &mut Dice, limits: &mut [Option<u8>]) {
    let kind = dice.below(limits.len() as u64) as usize;
    let by = 1 + dice.below(40) as u8;
    limits[kind] = Some(limits[kind].map_or(by, |limit| limit.saturating_sub(by)));
}

fn some<'a, T>(dice: &mut Dice, of: &'a mut [T]) -> Option<&'a mut T> {
    let place = dice.below(of.len().max(1) as u64) as usize;
    of.get_mut(place)
}

fn stricter(dice: &mut Dice, labels: &mut Four) {
    let class = &mut labels[dice.below(4) as usize];
    *class = Some(class.is_some());
}

fn narrower(times: &mut Vec<Week>) {
    if times.pop().is_none_or(|_| times.is_empty()) {
        *times = vec![Week { first: 5, last: 0, from: 600, until: 1_200, offset: 60 }];
    }
}

/// Makes a policy tighter in one place; `None` where there is no such place.
fn tighten(dice: &mut Dice, sketch: &Sketch, case: &Case) -> Option<Sketch> {
    let mut tighter = sketch.clone();
    let s = &mut tighter;
    let at = dice.below(3) as usize;
    match dice.below(26) {
        0 | 1 => lower(dice, s.agent.limits[at].as_mut()?),
        2 => lower(
            dice,
            s.owner.limits[at].get_or_insert([None, None, Some(40), None, None, None, None]),
        ),
        3 => lower(dice, s.task[at].get_or_insert([None, None, Some(40), None, None, None, None])),
        4 => lower(dice, &mut s.pools[at].as_mut()?.limits),
        5 => {
            let pool = s.pools[at].as_mut()?;
            let mut limits = [pool.peer_day, pool.peer_total];
            lower_one(dice, &mut limits);
            [pool.peer_day, pool.peer_total] = limits;
        }
        6 => {
            let category = some(dice, &mut s.categories)?;
            lower(dice, &mut category.limits);
        }
        7 => {
            let payee = some(dice, &mut s.payees)?;
            lower(dice, &mut payee.bound.as_mut()?.1);
        }
        8 => {
            some(dice, &mut s.payees)?.bound.get_or_insert((Coin::Usdc, [Some(3); 7])).1[0] =
                Some(1)
        }
        9 => {
            let sub = some(dice, &mut s.subs)?;
            lower(dice, sub.account.limits[at].as_mut()?);
        }
        10 => s.agent.limits[at].as_mut()?[6] = Some(0),
        11 => s.agent.limits[at] = None,
        12 => some(dice, &mut s.subs)?.account.limits[at] = None,
        13 => drop(s.pools[at].take()?),
        14 => remove_payee(dice, s, case)?,
        15 => drop(s.tools.pop()?),
        16 => drop(some(dice, &mut s.tools)?.hosts.pop()?),
        17 => {
            let methods = &mut some(dice, &mut s.tools)?.methods;
            match methods.len() {
                0 => methods.push("GET"),
                1 => return None,
                _ => drop(methods.pop()),
            }
        }
        18 => {
            let tool = some(dice, &mut s.tools)?;
            let mut limits = [tool.rate, tool.sends];
            lower_one(dice, &mut limits);
            // A rate of nothing is a mistake.
            [tool.rate, tool.sends] = limits.map(|limit| limit.map(|limit| limit.max(1)));
        }
        19 => {
            let tool = some(dice, &mut s.tools)?;
            // Another demand on the same argument would be in the place of the first.
            if tool.arguments.iter().any(|(name, _)| *name == "city") {
                return None;
            }
            tool.arguments.push(("city", Demand::Text { starts: Some("/p/"), longest: None }));
        }
        20 => match dice.below(3) {
            0 => narrower(&mut s.times),
            1 => narrower(&mut some(dice, &mut s.payees)?.times),
            _ => narrower(&mut some(dice, &mut s.tools)?.times),
        },
        21 => stricter(dice, &mut s.labels),
        22 => {
            let tool = some(dice, &mut s.tools)?;
            stricter(dice, &mut tool.labels);
        }
        23 => match dice.below(3) {
            0 => s.expires = Some(s.expires.map_or(NOW + 3 * DAY, |at| at.min(NOW + DAY))),
            1 => s.valid = Some(s.valid.map_or(60, |valid| valid.min(60))),
            _ => s.domain = false,
        },
        24 => {
            let sub = some(dice, &mut s.subs)?;
            match dice.below(2) {
                0 => drop(sub.payees.pop()?),
                _ => drop(sub.tools.pop()?),
            }
        }
        _ => {
            let forbid = Forbid::random(dice, 9);
            if !forbid.fits(s) {
                return None;
            }
            s.forbids.push(forbid);
        }
    }
    let names = |s: &Sketch| s.tools.iter().map(|tool| tool.name).collect::<Vec<_>>();
    let tools = names(s);
    s.subs.iter_mut().for_each(|sub| sub.tools.retain(|name| tools.contains(name)));
    s.forbids.iter().all(|forbid| forbid.fits(s)).then_some(tighter)
}

/// Known exceptions: a pool could then pay the former payee, and the limits on a category no longer
/// count what it got.
fn remove_payee(dice: &mut Dice, sketch: &mut Sketch, case: &Case) -> Option<()> {
    let place = dice.below(sketch.payees.len().max(1) as u64) as usize;
    let (name, to, asset) = match &case.intent {
        Intent::Authorise(pay) => (&*pay.payee, pay.to, pay.amount.asset),
        Intent::Transfer(pay) => (&*pay.payee, pay.to, pay.amount.asset),
        Intent::PermitTransfer(pay) => (&*pay.payee, pay.to, pay.amount.asset),
        _ => ("", Address::ZERO, OTHER),
    };
    let payee = sketch.payees.get(place)?;
    let address = match payee.place {
        Place::Address(address) | Place::Identity(address) => Some(address),
        Place::Host => {
            let host = payee.host.map(str::to_lowercase)?;
            case.book.pinned.get(&host).copied()
        }
    };
    let pool = Coin::of(asset).is_some_and(|coin| sketch.pools[coin as usize].is_some());
    let counted = sketch.categories.iter().any(|c| Some(c.name) == payee.category);
    if counted || pool && (payee.name == name || address == Some(to)) {
        return None;
    }
    let gone = sketch.payees.remove(place).name;
    sketch.subs.iter_mut().for_each(|sub| sub.payees.retain(|name| *name != gone));
    Some(())
}

fn labels_of(intent: &mut Intent) -> Option<&mut Labels> {
    match intent {
        Intent::Authorise(Authorise { labels, .. })
        | Intent::Transfer(Transfer { labels, .. })
        | Intent::PermitTransfer(PermitTransfer { labels, .. })
        | Intent::Tool(ToolUse { labels, .. }) => Some(labels),
        _ => None,
    }
}

/// The same request with other labels, approved where the first one is.
fn relabelled(case: &Case, change: impl FnOnce(&mut Labels)) -> Option<Case> {
    let mut other = case.clone();
    change(labels_of(&mut other.intent)?);
    if let Some(when) = case.book.approved.get(&case.intent.body_hash()) {
        other.book.approved.insert(other.intent.body_hash(), *when);
    }
    Some(other)
}

#[test]
fn tightening_a_policy_never_makes_a_verdict_looser() {
    let tighter = |dice: &mut Dice, sketch: &Sketch, case: &Case| {
        Some((tighten(dice, sketch, case)?, case.clone()))
    };
    law("tightening", 300, tighter, no_looser);
}

#[test]
fn a_forbid_only_takes_away() {
    let forbidding = |dice: &mut Dice, sketch: &Sketch, case: &Case| {
        let mut other = sketch.clone();
        let forbid = Forbid::random(dice, 9);
        other.forbids.push(forbid);
        other.forbids.iter().all(|forbid| forbid.fits(sketch)).then_some((other, case.clone()))
    };
    law("forbidding", 200, forbidding, no_rule_milder);
}

#[test]
fn one_more_label_never_makes_a_verdict_looser() {
    let worse = |dice: &mut Dice, sketch: &Sketch, case: &Case| {
        let label = label(dice);
        let other = relabelled(case, |labels| *labels = labels.clone().with(label))?;
        Some((sketch.clone(), other))
    };
    law("labels", 800, worse, no_rule_milder);
}

#[test]
fn no_label_at_all_ever_widens() {
    let without = |_: &mut Dice, sketch: &Sketch, case: &Case| {
        let other = relabelled(case, |labels| labels.0.clear())?;
        (other.intent != case.intent).then(|| (sketch.clone(), other))
    };
    law("no labels", 800, without, |with, without| no_rule_milder(without, with));
}

#[test]
fn an_approval_turns_no_refusal_into_a_permission() {
    let approved = |_: &mut Dice, sketch: &Sketch, case: &Case| {
        let mut other = case.clone();
        other.book.approved.clear();
        let mut approved = other.clone();
        approved.book = approved.book.approving_at(&case.intent, case.now);
        // Without the approval first, so that the law compares in one direction.
        (case.book.approved.is_empty()).then(|| (sketch.clone(), approved))
    };
    law("approval", 800, approved, |before, after| {
        let fails =
            |verdict: &Verdict| verdict.rules(Mark::Fail).map(str::to_owned).collect::<Vec<_>>();
        let expected = match before.decision() {
            Decision::Refuse => Decision::Refuse,
            Decision::Hold | Decision::Allow => Decision::Allow,
        };
        fails(before) == fails(after) && after.decision() == expected
    });
}

#[test]
fn an_account_below_the_agent_may_nothing_that_the_agent_may_not() {
    let below = |dice: &mut Dice, sketch: &Sketch, case: &Case| {
        let sub_agent = Some(*dice.pick(&SUBS));
        let other = Case { sub_agent, ..case.clone() };
        case.sub_agent.is_none().then(|| (sketch.clone(), other))
    };
    law("sub-agents", 800, below, no_rule_milder);
}

#[test]
fn what_was_spent_more_never_makes_a_verdict_looser() {
    let poorer = |dice: &mut Dice, sketch: &Sketch, case: &Case| {
        let mut other = case.clone();
        let debit = Debit::new(*dice.pick(&ADDRESSES), money(dice), case.now - dice.below(2 * DAY));
        other.book.debits.push(debit.in_task(case.task).paid_from_pool());
        // Only who forbids a first payment wants that something was paid before.
        let first = sketch.forbids.iter().any(|forbid| forbid.text().contains("first_payment"));
        (!first).then(|| (sketch.clone(), other))
    };
    law("spending", 800, poorer, no_rule_milder);
}

#[test]
fn a_hostile_intent_is_judged_without_a_panic_and_gains_nothing() {
    let trials = Trials::new("hostile", 1_000);
    let usual = usual();
    let mut rich = usual.clone();
    for number in 0..trials.cases {
        let mut dice = trials.dice(number);
        let mut case = Case { intent: wild_intent(&mut dice), ..some_case(&mut dice) };
        let verdict = judge(&usual, &case.intent, case.gas, &case.book);
        assert!(!verdict.table.is_empty());
        assert!(render_table(&verdict).lines().count() > verdict.table.len());
        if let Intent::Authorise(Authorise { to, .. })
        | Intent::Transfer(Transfer { to, .. })
        | Intent::PermitTransfer(PermitTransfer { to, .. }) = &case.intent
        {
            let safe = strictness(&verdict) == 2 || *to == FEED || *to == MUSCLE;
            assert!(safe, "MARQUE_SEED={:x} case {number}: {:?}", trials.seed, case.intent);
        }
        if number % 16 == 0 {
            rich = Sketch::random(&mut dice).policy();
        }
        case.now = *dice.pick(&[0, 1, NOW, u64::MAX]);
        let words = ["", "\0", "helper", "a\nb", "\u{202e}é"];
        let request = Request {
            agent: dice.one(&words),
            sub_agent: dice.percent(50).then(|| *dice.pick(&words)),
            task: dice.one(&words),
            intent: &case.intent,
            gas: case.gas,
        };
        let verdict = decide(&rich, &request, &case.book, case.now);
        assert!(render_table(&verdict).lines().count() > verdict.table.len());
    }
}

/// A past and fees to go with any intent.
fn some_case(dice: &mut Dice) -> Case {
    let sketch = Sketch::random(dice);
    Case::random(dice, &sketch)
}

#[test]
fn whatever_is_read_can_be_read_aloud() {
    let trials = Trials::new("reading aloud", 100);
    for number in 0..trials.cases {
        let said = read_aloud(&Sketch::random(&mut trials.dice(number)).policy());
        assert!(said.ends_with("Everything else is refused.\n"), "{said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn an_amount_is_read_as_it_is_written(bytes in any::<[u8; 32]>(), small in any::<u64>(), decimals in 0..=36u8) {
        use alloy_primitives::U256;
        for units in [U256::from_be_bytes(bytes), U256::from(small)] {
            prop_assert_eq!(parse_units(&format_units(units, decimals), decimals), Ok(units));
        }
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
