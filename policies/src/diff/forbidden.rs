//! Cases that a forbid may speak about: made of the numbers and texts that it compares with.

use super::{case::Case, cases::Cases, weeks};
use crate::{
    intent::{Intent, Label},
    money::Money,
};
use alloy_primitives::U256;
use serde_json::Value;
use std::collections::BTreeSet;

/// Numbers and texts of one forbid that are tried.
const SOME: usize = 12;

/// What a forbid compares with.
#[derive(Debug, Default)]
struct Literals<'v> {
    numbers: BTreeSet<i64>,
    texts: BTreeSet<&'v str>,
}

impl<'v> Literals<'v> {
    fn read(&mut self, value: &'v Value) {
        match value {
            Value::Number(number) => self.numbers.extend(number.as_i64()),
            Value::String(text) => {
                self.texts.insert(text);
            }
            Value::Array(values) => values.iter().for_each(|value| self.read(value)),
            Value::Object(fields) => fields.values().for_each(|value| self.read(value)),
            Value::Null | Value::Bool(_) => {}
        }
    }
}

impl Cases<'_> {
    /// A little of everything, changed in the one or the other respect at which a forbid may look.
    pub(super) fn forbidden(self, meaning: &Value) -> Vec<Case> {
        let mut literals = Literals::default();
        literals.read(meaning);
        let plain = self.anything();
        let mut cases = plain.clone();
        let below = [self.new, self.old].into_iter().flat_map(|policy| policy.sub_agents.keys());
        cases.extend(below.collect::<BTreeSet<_>>().into_iter().flat_map(|name| self.below(name)));
        for case in plain.iter().take(SOME) {
            cases.extend(amounts(self, case, &literals));
            cases.extend([Label::Model, Label::Memory].map(|label| case.labelled(label)));
            cases.push(case.labelled(Label::Web("elsewhere.example".to_owned())));
            cases.push(case.labelled(Label::Peer("somebody".to_owned())));
            cases.push(case.as_transfer());
            for text in literals.texts.iter().take(SOME) {
                let host = text.replace('*', "some");
                let tool = matches!(case.intent, Intent::Tool(_));
                if tool {
                    cases.extend([case.to_host(&host), case.to_path(&host), case.by_method(&host)]);
                } else {
                    cases.push(case.asked_by(&host));
                }
                cases.push(case.in_task(&host));
            }
            // Every two hours of a week, and every minute that is named.
            let minutes = (0..84).map(|hours| hours * 120);
            let named = literals.numbers.iter().filter_map(|n| u64::try_from(*n).ok());
            let named = named
                .filter(|minute| *minute < 1_440)
                .flat_map(|minute| (0..7).map(move |day| day * 1_440 + minute));
            let open = |minute: &u64| {
                [self.old, self.new].iter().all(|policy| weeks::covers(&policy.times, *minute))
            };
            let minutes = named.chain(minutes).filter(open).step_by(3).take(40);
            cases.extend(minutes.map(|minute| case.at(self.moment(minute))));
        }
        cases
    }
}

/// Around every number of a forbid, in millionths of the asset.
fn amounts(cases: Cases<'_>, case: &Case, literals: &Literals<'_>) -> Vec<Case> {
    let Some(Money { asset, .. }) = case.amount() else { return Vec::new() };
    let decimals = cases.new.asset(asset).or_else(|| cases.old.asset(asset));
    let digits = decimals.map_or(0, |(_, asset)| asset.decimals);
    let ten = |digits: u8| U256::from(10).checked_pow(U256::from(digits)).unwrap_or(U256::MAX);
    let units = |micros: u64| {
        U256::from(micros).saturating_mul(ten(digits)).checked_div(ten(6)).unwrap_or_default()
    };
    let near = literals.numbers.iter().rev().take(SOME).filter_map(|n| u64::try_from(*n).ok());
    let near = near.flat_map(|n| [n, n.saturating_add(1), n.saturating_sub(1)]);
    let near = near.map(units).filter(|units| !units.is_zero());
    near.map(|units| case.of(Money::new(units, asset))).collect()
}
