//! The comparison, part by part, in the order of the language.
//!
//! Every struct is taken apart field by field, so that a field added later does not compile until
//! it is known what it widens.

use super::{
    Change, Direction, Witness,
    accounts::{both, keys},
    case::Case,
    cases::Cases,
    idle, weeks, words,
};
use crate::{
    cedar::Forbid,
    document::{Approvals, Attitude, Float, LabelRules, Policy},
    explain::{date, duration},
    intent::Label,
    money::{AssetId, Money},
    times::Times,
    verdict::{Decision, Mark, Verdict},
};
use serde_json::{Map, Value};
use std::{cmp::Ordering, collections::BTreeMap};

/// Cases that are tried for one change.
const PATIENCE: usize = 512;

/// Every difference; with witnesses if they are asked for.
pub(super) fn compare(old: &Policy, new: &Policy, search: bool) -> Vec<Change> {
    let compared = |search| {
        let mut comparison = Comparison { cases: Cases { old, new }, search, changes: Vec::new() };
        comparison.policies();
        comparison.changes
    };
    let changes = compared(Search::Nothing);
    match changes.len() {
        0 => changes,
        _ if !search => changes,
        1 => compared(Search::Any),
        _ => compared(Search::OfItsOwn),
    }
}

/// Which witnesses are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Search {
    Nothing,
    /// The first one: there is one change, so it shows that one.
    Any,
    /// Rather one that no other rule than the changed one speaks against.
    OfItsOwn,
}

/// The list of differences in the making.
pub(super) struct Comparison<'a> {
    pub(super) cases: Cases<'a>,
    search: Search,
    changes: Vec<Change>,
}

impl Direction {
    /// The direction of a change that permits more, less, both, or neither.
    pub(super) fn of(wider: bool, narrower: bool) -> Option<Self> {
        match (wider, narrower) {
            (true, true) => Some(Self::Different),
            (true, false) => Some(Self::Wider),
            (false, true) => Some(Self::Narrower),
            (false, false) => None,
        }
    }

    /// Something with authority that came (wider) or went (narrower).
    pub(super) fn gained(gained: bool) -> Self {
        if gained { Self::Wider } else { Self::Narrower }
    }
}

impl<'a> Comparison<'a> {
    fn policies(&mut self) {
        let Policy {
            version: _,
            owner,
            expires,
            times,
            labels,
            approvals,
            chains,
            assets,
            limits: _,
            gas: _,
            owner_limits: _,
            owner_gas: _,
            task_limits: _,
            pools: _,
            floats,
            payees: _,
            categories: _,
            tools,
            sub_agents,
            income,
            facilitator,
            tests: _,
            forbids: _,
            hash,
        } = self.cases.old;
        let new = self.cases.new;
        if *hash == new.hash {
            return;
        }
        if *owner != new.owner {
            let said = format!("{} instead of {owner}", new.owner);
            self.changed("owner.address", Direction::Different, said, |cases| cases.accepts());
        }
        self.expires(*expires, new.expires);
        self.times("times", times, &new.times, |cases| cases.anything());
        self.label_rules("labels", labels, &new.labels, |cases| cases.payments_any());
        self.approvals(*approvals, new.approvals);
        self.chains(chains, &new.chains);
        self.assets(assets, &new.assets);
        self.accounts();
        self.pools();
        self.floats(floats, &new.floats);
        self.payees();
        self.categories();
        self.tools(tools, &new.tools);
        self.sub_agents(sub_agents, &new.sub_agents);
        self.income(income, &new.income);
        self.facilitator(facilitator, &new.facilitator);
        self.forbids();
    }

    /// Notes a change, and looks for a case that shows it.
    pub(super) fn changed(
        &mut self,
        subject: impl Into<String>,
        direction: Direction,
        said: impl Into<String>,
        cases: impl FnOnce(Cases<'a>) -> Vec<Case>,
    ) {
        let (subject, mut said) = (subject.into(), said.into());
        if self.is_idle(direction, &subject) {
            return;
        }
        let mut witness = None;
        if self.search != Search::Nothing {
            let shown = self.shown(&subject, direction, cases(self.cases));
            if let (Err(hidden), true) = (&shown, direction != Direction::Narrower) {
                said.push_str("; could not be shown by a case");
                if let Some(rule) = hidden {
                    said.push_str(&format!(" ({rule} hides it)"));
                }
                said.push_str(", taken as wider");
            }
            witness = shown.ok();
        }
        self.changes.push(Change { subject, direction, said, witness });
    }

    /// Notes a change that no verdict shows: it is about how the steward works.
    pub(super) fn noted(
        &mut self,
        subject: impl Into<String>,
        direction: Direction,
        said: impl Into<String>,
    ) {
        let (subject, said) = (subject.into(), said.into());
        if !self.is_idle(direction, &subject) {
            self.changes.push(Change { subject, direction, said, witness: None });
        }
    }

    /// Whether the policy that would permit more by this change permits nothing of that kind at all.
    fn is_idle(&self, direction: Direction, subject: &str) -> bool {
        let Cases { old, new } = self.cases;
        match direction {
            Direction::Narrower => idle::is_idle(new, old, subject),
            Direction::Wider | Direction::Different => idle::is_idle(old, new, subject),
        }
    }

    /// A case that the policies judge differently in that direction; without one, a rule that still
    /// refuses where the old policy refused for one reason more.
    fn shown(
        &self,
        subject: &str,
        direction: Direction,
        tries: Vec<Case>,
    ) -> Result<Witness, Option<String>> {
        let Cases { old, new } = self.cases;
        let (mut second, mut third, mut hides) = (None, None, None);
        for case in tries.into_iter().take(PATIENCE) {
            let (before, after) = (case.judge(self.cases, old), case.judge(self.cases, new));
            let (was, is) = (before.decision(), after.decision());
            let (shows, stricter) = match strictness(was).cmp(&strictness(is)) {
                Ordering::Greater => (Direction::Wider, &before),
                Ordering::Less => (Direction::Narrower, &after),
                Ordering::Equal => {
                    hides = hides.or_else(|| hiding(&before, &after));
                    continue;
                }
            };
            let wanted = match direction {
                Direction::Different => Direction::Wider,
                other => other,
            };
            let own = self.search == Search::Any || speaks_alone(stricter, subject);
            let witness = || words::witness(self.cases, case, was, is);
            match (shows == wanted, own) {
                (true, true) => return Ok(witness()),
                (true, false) => second = second.or_else(|| Some(witness())),
                (false, _) if direction == Direction::Different => {
                    third = third.or_else(|| Some(witness()));
                }
                (false, _) => {}
            }
        }
        second.or(third).ok_or(hides)
    }

    fn expires(&mut self, old: Option<u64>, new: Option<u64>) {
        let said = match (old, new) {
            (Some(old), Some(new)) => format!("{} instead of {}", date(new), date(old)),
            (Some(old), None) => format!("no end; it was {}", date(old)),
            (None, Some(new)) => format!("ends {}", date(new)),
            (None, None) => return,
        };
        let (until, after) = (old.unwrap_or(u64::MAX), new.unwrap_or(u64::MAX));
        let Some(direction) = Direction::of(after > until, after < until) else { return };
        let (from, to) = (until.min(after), until.max(after));
        self.changed("policy.expires", direction, said, |cases| {
            let anything = cases.anything();
            let moments = weeks::after(from, &cases.old.times, &cases.new.times);
            let moments: Vec<u64> = moments.into_iter().filter(|now| *now < to).collect();
            anything.iter().flat_map(|case| moments.iter().map(|now| case.at(*now))).collect()
        });
    }

    /// Times are compared minute by minute: a week has 10,080 of them.
    pub(super) fn times(
        &mut self,
        subject: impl Into<String>,
        old: &'a Times,
        new: &'a Times,
        cases: impl FnOnce(Cases<'a>) -> Vec<Case>,
    ) {
        if old == new {
            return;
        }
        let (more, less) = (weeks::beyond(new, old), weeks::beyond(old, new));
        let Some(direction) = Direction::of(!more.is_empty(), !less.is_empty()) else { return };
        let show = |times: &Times| {
            if times.is_always() { "always".to_owned() } else { times.to_string() }
        };
        let said = format!("{} instead of {}", show(new), show(old));
        self.changed(subject, direction, said, |all| {
            let minutes = weeks::some(&more).chain(weeks::some(&less));
            let minutes: Vec<u64> = minutes.map(|minute| all.moment(minute)).collect();
            let cases = cases(all);
            minutes.iter().flat_map(|now| cases.iter().map(|case| case.at(*now))).collect()
        });
    }

    pub(super) fn label_rules(
        &mut self,
        path: &str,
        old: &LabelRules,
        new: &LabelRules,
        cases: impl Fn(Cases<'a>) -> Vec<Case>,
    ) {
        let LabelRules { web, peer, memory, model } = *old;
        let somewhere = || Label::Web("elsewhere.example".to_owned());
        for (class, old, new, label) in [
            ("web", web, new.web, somewhere as fn() -> Label),
            ("peer", peer, new.peer, || Label::Peer("somebody".to_owned())),
            ("memory", memory, new.memory, || Label::Memory),
            ("model", model, new.model, || Label::Model),
        ] {
            let Some(direction) = Direction::of(new < old, new > old) else { continue };
            let said = format!("{} instead of {}", attitude(new), attitude(old));
            self.changed(format!("{path}.{class}"), direction, said, |all| {
                cases(all).into_iter().map(|case| case.labelled(label())).collect()
            });
        }
    }

    fn approvals(&mut self, old: Approvals, new: Approvals) {
        let Approvals { valid, held } = old;
        let show = |time: Option<u64>, none: &str| time.map_or_else(|| none.to_owned(), duration);
        let (was, is) = (valid.unwrap_or(u64::MAX), new.valid.unwrap_or(u64::MAX));
        if let Some(direction) = Direction::of(is > was, is < was) {
            let none = "for ever";
            let said = format!(
                "an approval counts {} instead of {}",
                show(new.valid, none),
                show(valid, none)
            );
            // The longer one if it is finite: the approval is just in time for it.
            let ages = [Some(was.max(is)), was.min(is).checked_add(60_000)];
            self.changed("approvals.valid", direction, said, |cases| {
                let asking = cases.asking();
                let ages = ages.into_iter().flatten().filter(|age| *age < u64::MAX);
                ages.flat_map(|age| asking.iter().map(move |case| case.approved(age))).collect()
            });
        }
        if held != new.held {
            let direction = match (held, new.held) {
                (Some(old), Some(new)) => Direction::gained(new > old),
                // Without a word the steward decides how long.
                _ => Direction::Different,
            };
            let none = "as long as the steward holds it";
            let said = format!(
                "what is held waits {} for the owner instead of {}",
                show(new.held, none),
                show(held, none)
            );
            self.noted("approvals.held", direction, said);
        }
    }

    fn income(&mut self, old: &[AssetId], new: &[AssetId]) {
        for asset in old.iter().chain(new.iter().filter(|asset| !old.contains(asset))) {
            let (was, is) = (old.contains(asset), new.contains(asset));
            if was != is {
                let subject = format!("income.{}", self.cases.asset_name(*asset));
                let said = if is { "may be received" } else { "may not be received any more" };
                self.changed(subject, Direction::gained(is), said, |c| c.collects(*asset));
            }
        }
    }

    fn facilitator(&mut self, old: &[AssetId], new: &[AssetId]) {
        for asset in old.iter().chain(new.iter().filter(|asset| !old.contains(asset))) {
            let (was, is) = (old.contains(asset), new.contains(asset));
            if was != is {
                let subject = format!("facilitator.{}", self.cases.asset_name(*asset));
                let said = if is {
                    "payments to others may be settled"
                } else {
                    "payments to others may not be settled any more"
                };
                self.changed(subject, Direction::gained(is), said, |c| c.settles_for(*asset));
            }
        }
    }

    /// Less in the key is less to be stolen with it, and a refill permits what its `high` says.
    fn floats(&mut self, old: &BTreeMap<AssetId, Float>, new: &BTreeMap<AssetId, Float>) {
        for asset in keys(old, new) {
            let name = self.cases.asset_name(asset);
            let path = format!("float.{name}");
            let show = |units| self.cases.new.show(Money::new(units, asset));
            match (old.get(&asset), new.get(&asset)) {
                (Some(was), Some(is)) => self.float(&path, asset, was, is),
                (None, Some(is)) => {
                    let said = format!(
                        "new: it may draw on the owner's account until its key holds {}",
                        show(is.high)
                    );
                    self.changed(path, Direction::Different, said, |c| c.refills(asset));
                }
                (Some(_), None) => {
                    let said = "gone: nothing is drawn on the account, and nothing bounds what the \
                                key holds";
                    self.changed(path, Direction::Different, said, |c| c.refills(asset));
                }
                (None, None) => {}
            }
        }
    }

    fn float(&mut self, path: &str, asset: AssetId, was: &Float, is: &Float) {
        let Float { low, high, required } = *was;
        let show = |units| self.cases.new.show(Money::new(units, asset));
        if let Some(direction) = Direction::of(is.high > high, is.high < high) {
            let said = format!("{} instead of {}", show(is.high), show(high));
            self.changed(format!("{path}.high"), direction, said, |c| c.refills(asset));
        }
        if let Some(direction) = Direction::of(is.low > low, is.low < low) {
            let said = format!("{} instead of {}", show(is.low), show(low));
            self.noted(format!("{path}.low"), direction, said);
        }
        if required != is.required {
            let said = match is.required {
                true => "nothing is paid where the chain does not hold the limits",
                false => "the steward only warns where the chain does not hold the limits",
            };
            self.noted(format!("{path}.delegation"), Direction::gained(required), said);
        }
    }

    /// Forbids are compared by what they mean, whatever they are called.
    fn forbids(&mut self) {
        let Cases { old, new } = self.cases;
        let has = |policy: &Policy, forbid: &Forbid| {
            policy.forbids.iter().any(|other| mean_the_same(other, forbid))
        };
        let mut added: Vec<&Forbid> =
            new.forbids.iter().filter(|forbid| !has(old, forbid)).collect();
        for forbid in old.forbids.iter().filter(|forbid| !has(new, forbid)) {
            let rewritten = added.iter().position(|other| other.name == forbid.name);
            let (direction, said) = match rewritten {
                Some(_) => (Direction::Different, "this forbid was rewritten"),
                None => (Direction::Wider, "this forbid is gone"),
            };
            let other = rewritten.map(|place| added.remove(place));
            self.changed(format!("cedar.{}", forbid.name), direction, said, |cases| {
                let other = other.map(|other| cases.forbidden(&other.meaning));
                both(cases.forbidden(&forbid.meaning), other.unwrap_or_default())
            });
        }
        for forbid in added {
            let subject = format!("cedar.{}", forbid.name);
            self.changed(subject, Direction::Narrower, "a new forbid", |cases| {
                cases.forbidden(&forbid.meaning)
            });
        }
    }

    /// Whether a forbid of the old policy might see a name and answer otherwise for another one.
    pub(super) fn names_matter(&self) -> bool {
        !self.cases.old.forbids.is_empty()
    }
}

/// Where the old policy refuses for one reason more than the new one: a reason that is left.
fn hiding(before: &Verdict, after: &Verdict) -> Option<String> {
    let marked = |verdict: &Verdict, rule: &str, mark: Mark| {
        verdict.table.iter().any(|row| row.rule == rule && row.mark == mark)
    };
    let mark = match after.decision() {
        Decision::Refuse => Mark::Fail,
        Decision::Hold => Mark::Ask,
        Decision::Allow => return None,
    };
    let moved = before.rules(mark).any(|rule| !marked(after, rule, mark));
    let left = after.rules(mark).next().map(str::to_owned);
    if moved { left } else { None }
}

/// Whether nothing but the rule that changed, or a part of it, speaks against a proposal.
fn speaks_alone(verdict: &Verdict, subject: &str) -> bool {
    let within = |part: &str, whole: &str| {
        part.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mark = if verdict.decision() == Decision::Hold { Mark::Ask } else { Mark::Fail };
    verdict.rules(mark).all(|rule| within(rule, subject) || within(subject, rule))
}

/// Whether two forbids have the same scope and conditions.
fn mean_the_same(one: &Forbid, other: &Forbid) -> bool {
    let (one, other) = (one.meaning.as_object(), other.meaning.as_object());
    let (Some(one), Some(other)) = (one, other) else { return false };
    let unnamed = |meaning: &'_ Map<String, Value>| {
        let mut meaning = meaning.clone();
        meaning.remove("annotations");
        meaning
    };
    unnamed(one) == unnamed(other)
}

/// Allow, then hold, then refuse.
const fn strictness(decision: Decision) -> u8 {
    match decision {
        Decision::Allow => 0,
        Decision::Hold => 1,
        Decision::Refuse => 2,
    }
}

const fn attitude(attitude: Option<Attitude>) -> &'static str {
    match attitude {
        None => "no word",
        Some(Attitude::Ask) => "\"ask\"",
        Some(Attitude::Refuse) => "\"refuse\"",
    }
}
