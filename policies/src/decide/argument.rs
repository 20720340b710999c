//! What the arguments of a tool must be like.

use super::{Judge, quoted};
use crate::{
    document::Constraint,
    explain::{constraint, said},
    intent::Argument,
};
use std::collections::BTreeMap;

impl Judge<'_> {
    /// A row for each argument that the policy constrains. One that is not given fails: a tool
    /// could have a default that the owner never saw.
    pub(super) fn arguments(
        &mut self,
        path: &str,
        constraints: &BTreeMap<String, Constraint>,
        given: &BTreeMap<String, Argument>,
    ) {
        for (name, wanted) in constraints {
            let argument = given.get(name);
            let measured = match argument {
                None => "not given".to_owned(),
                Some(Argument::Text(text)) => quoted(text),
                Some(other) => said(other),
            };
            self.check(
                format!("{path}.arguments.{name}"),
                argument.is_some_and(|argument| holds(wanted, argument)),
                measured,
                constraint(wanted),
                || format!("give `{name}` as the policy wants it"),
            );
        }
    }
}

/// Whether every part of the constraint holds. A part about texts fails for what is no text, and
/// one about numbers for what is no number.
pub(crate) fn holds(wanted: &Constraint, argument: &Argument) -> bool {
    let Constraint { one_of, starts_with, longest, at_least, at_most } = wanted;
    let text = match argument {
        Argument::Text(text) => Some(text.as_str()),
        _ => None,
    };
    let number = match argument {
        Argument::Integer(number) => Some(*number),
        _ => None,
    };
    one_of.as_ref().is_none_or(|values| values.contains(argument))
        && starts_with.as_ref().is_none_or(|start| {
            text.is_some_and(|text| text.starts_with(start.as_str()) && !climbs(text))
        })
        && longest.is_none_or(|most| text.is_some_and(|text| no_longer(text, most)))
        && at_least.is_none_or(|least| number.is_some_and(|number| number >= least))
        && at_most.is_none_or(|most| number.is_some_and(|number| number <= most))
}

/// Whether a text has `..` in it, also where a dot is written as `%2e`: whoever reads it as part of
/// a URL takes both for the directory above.
fn climbs(text: &str) -> bool {
    text.contains("..")
        || (text.contains('%') && text.replace("%2e", ".").replace("%2E", ".").contains(".."))
}

/// At most so many characters, without counting a long text to its end.
fn no_longer(text: &str, most: u64) -> bool {
    usize::try_from(most).is_ok_and(|most| text.chars().nth(most).is_none())
}
