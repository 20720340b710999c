//! Tools: what they may reach, how often, with which arguments, and when.

use super::{Direction, accounts::keys, case::Case, compare::Comparison};
use crate::{
    document::{Constraint, Tool},
    explain::{bytes, per},
    host,
    intent::Argument,
};
use std::collections::{BTreeMap, BTreeSet};

/// So many per window in milliseconds.
pub(super) type Rate = Option<(u64, u64)>;

impl<'a> Comparison<'a> {
    pub(super) fn tools(
        &mut self,
        old: &'a BTreeMap<String, Tool>,
        new: &'a BTreeMap<String, Tool>,
    ) {
        for name in keys(old, new) {
            let path = format!("tool.{name}");
            match (old.get_key_value(&name), new.get(&name)) {
                (Some((name, old)), Some(new)) => self.tool(&path, name, old, new),
                (was, _) => {
                    let gone = was.is_some();
                    let said = if gone { "may not be used any more" } else { "may be used" };
                    self.changed(path, Direction::gained(!gone), said, |c| c.uses(&name, None));
                }
            }
        }
    }

    fn tool(&mut self, path: &str, name: &'a str, old: &'a Tool, new: &'a Tool) {
        let Tool { hosts, methods, rate, sends, arguments, times, labels } = old;
        self.hosts(path, name, hosts, &new.hosts);
        self.methods(path, name, methods, &new.methods);

        let stricter = |one: Rate, other: Rate| match (one, other) {
            (_, None) => true,
            (None, _) => false,
            // A longer window holds at least what a shorter one does; nothing fits into no use.
            (Some((most, width)), Some((limit, other))) => {
                most == 0 || (most <= limit && width >= other)
            }
        };
        let show = |rate: Rate| match rate {
            Some((most, width)) => format!("{most} times {}", per(width)),
            None => "any number of times".to_owned(),
        };
        if let Some(way) = Direction::of(!stricter(new.rate, *rate), !stricter(*rate, new.rate)) {
            let said = format!("{} instead of {}", show(new.rate), show(*rate));
            self.changed(format!("{path}.rate"), way, said, |c| {
                c.frequent(name, (*rate, new.rate), false)
            });
        }
        let stricter = |one: Rate, other: Rate| match (one, other) {
            (_, None) => true,
            (None, _) => false,
            (Some((most, width)), Some((limit, other))) => most <= limit && width >= other,
        };
        let show = |rate: Rate| match rate {
            Some((most, width)) => format!("{} {}", bytes(most), per(width)),
            None => "any number of bytes".to_owned(),
        };
        if let Some(way) = Direction::of(!stricter(new.sends, *sends), !stricter(*sends, new.sends))
        {
            let said = format!("{} instead of {}", show(new.sends), show(*sends));
            self.changed(format!("{path}.sends"), way, said, |c| {
                c.frequent(name, (*sends, new.sends), true)
            });
        }

        self.arguments(path, name, arguments, &new.arguments);
        self.times(format!("{path}.times"), times, &new.times, |c| c.uses(name, None));
        self.label_rules(&format!("{path}.labels"), labels, &new.labels, |c| c.uses(name, None));
    }

    fn hosts(&mut self, path: &str, name: &'a str, old: &'a [String], new: &'a [String]) {
        let beyond = |these: &'a [String], those: &[String]| -> Vec<&'a str> {
            let all = these.iter().map(String::as_str);
            all.filter(|one| !those.iter().any(|other| covers(other, one))).collect()
        };
        let (more, less) = (beyond(new, old), beyond(old, new));
        let Some(direction) = Direction::of(!more.is_empty(), !less.is_empty()) else { return };
        let said = gained_and_lost(&more, &less);
        self.changed(format!("{path}.hosts"), direction, said, |cases| {
            let uses = cases.uses(name, None);
            let hosts = more.iter().chain(&less).map(|pattern| example(pattern));
            hosts.flat_map(|host| uses.iter().map(move |case| case.to_host(&host))).collect()
        });
    }

    fn methods(
        &mut self,
        path: &str,
        name: &'a str,
        old: &'a BTreeSet<String>,
        new: &'a BTreeSet<String>,
    ) {
        /// What is added to or taken from; an empty list stands for any method.
        fn beyond<'m>(these: &'m BTreeSet<String>, those: &'m BTreeSet<String>) -> Vec<&'m str> {
            match (these.is_empty(), those.is_empty()) {
                (_, true) => Vec::new(),
                (true, false) => vec!["any other"],
                (false, false) => these.difference(those).map(String::as_str).collect(),
            }
        }
        let (more, less) = (beyond(new, old), beyond(old, new));
        let Some(direction) = Direction::of(!more.is_empty(), !less.is_empty()) else { return };
        self.changed(
            format!("{path}.methods"),
            direction,
            gained_and_lost(&more, &less),
            |cases| {
                let methods = old.iter().chain(new).map(String::as_str).chain(["BREW"]);
                let uses = cases.uses(name, None);
                methods
                    .flat_map(|method| uses.iter().map(move |case| case.by_method(method)))
                    .collect()
            },
        );
    }

    fn arguments(
        &mut self,
        path: &str,
        tool: &'a str,
        old: &'a BTreeMap<String, Constraint>,
        new: &'a BTreeMap<String, Constraint>,
    ) {
        for name in keys(old, new) {
            let (was, is) = (old.get(&name), new.get(&name));
            let (direction, said) = match (was, is) {
                (Some(was), Some(is)) => {
                    let (wider, narrower) = (!no_wider(was, is), !no_wider(is, was));
                    let Some(direction) = Direction::of(wider, narrower) else { continue };
                    (direction, "must be like something else")
                }
                (Some(_), None) => (Direction::Wider, "may be anything, or be left out"),
                (None, _) => (Direction::Narrower, "must be given, and like this"),
            };
            self.changed(format!("{path}.arguments.{name}"), direction, said, |cases| {
                let values = values(was.into_iter().chain(is));
                let uses = cases.uses(tool, None);
                let with = |case: &Case| -> Vec<Case> {
                    values.iter().map(|value| case.with_argument(&name, value.clone())).collect()
                };
                uses.iter().flat_map(with).collect()
            });
        }
    }
}

/// Whether everything that `new` permits `old` does, by each part alone.
fn no_wider(old: &Constraint, new: &Constraint) -> bool {
    fn part<T>(old: Option<&T>, new: Option<&T>, stricter: impl FnOnce(&T, &T) -> bool) -> bool {
        match (old, new) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(old), Some(new)) => stricter(old, new),
        }
    }
    let Constraint { one_of, starts_with, longest, at_least, at_most } = old;
    part(one_of.as_ref(), new.one_of.as_ref(), |old, new| new.is_subset(old))
        && part(starts_with.as_ref(), new.starts_with.as_ref(), |old, new| {
            new.starts_with(old.as_str())
        })
        && part(longest.as_ref(), new.longest.as_ref(), |old, new| new <= old)
        && part(at_least.as_ref(), new.at_least.as_ref(), |old, new| new >= old)
        && part(at_most.as_ref(), new.at_most.as_ref(), |old, new| new <= old)
}

/// Values at the edges of these constraints, and none at all.
pub(super) fn values<'c>(
    constraints: impl IntoIterator<Item = &'c Constraint>,
) -> Vec<Option<Argument>> {
    let mut values = Vec::new();
    for Constraint { one_of, starts_with, longest, at_least, at_most } in constraints {
        values.extend(one_of.iter().flatten().cloned());
        let start = starts_with.as_deref().unwrap_or_default();
        let text = |text: String| Argument::Text(text);
        values.push(text(start.to_owned()));
        for length in longest.iter().flat_map(|most| [*most, most.saturating_add(1)]) {
            let missing = usize::try_from(length).unwrap_or(0).min(1 << 12);
            let missing = missing.saturating_sub(start.chars().count());
            values.push(text(format!("{start}{}", "x".repeat(missing))));
        }
        for edge in at_least.iter().chain(at_most) {
            let around = [*edge, edge.saturating_sub(1), edge.saturating_add(1)];
            values.extend(around.map(Argument::Integer));
        }
    }
    values.extend([
        Argument::Text("anything else".to_owned()),
        Argument::Integer(0),
        Argument::Flag(true),
    ]);
    values.into_iter().map(Some).chain([None]).collect()
}

/// Whether every host that `one` stands for is one that `other` does.
fn covers(other: &str, one: &str) -> bool {
    match (one.strip_prefix("*."), other.strip_prefix("*.")) {
        (None, _) => host::matches(other, one),
        // Names below a name are without end, so only a wildcard at or above it covers them.
        (Some(base), Some(_)) => one == other || host::matches(other, base),
        (Some(_), None) => false,
    }
}

/// A host that this pattern stands for.
pub(super) fn example(pattern: &str) -> String {
    match pattern.strip_prefix("*.") {
        Some(base) => format!("some.{base}"),
        None => pattern.to_owned(),
    }
}

fn gained_and_lost(gained: &[&str], lost: &[&str]) -> String {
    let parts = [(gained, "added"), (lost, "taken away")].into_iter();
    let parts = parts.filter(|(names, _)| !names.is_empty());
    let parts: Vec<String> =
        parts.map(|(names, word)| format!("{} {word}", names.join(", "))).collect();
    parts.join("; ")
}
