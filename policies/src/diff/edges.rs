//! Cases at the edge of one limit: those that one of two policies still permits and the other one
//! does not, unless another rule hides it.

use super::{
    accounts::{Moved, Whose},
    case::Case,
    cases::{Cases, Who},
    past::{FORMER, by_task},
    tools::Rate,
};
use crate::{
    document::{Given, PaidBy},
    money::{AssetId, Money},
};
use alloy_primitives::U256;

impl<'a> Cases<'a> {
    /// Uses that are one too many, or bytes too many, by one of two rates.
    pub(super) fn frequent(self, name: &str, (old, new): (Rate, Rate), sends: bool) -> Vec<Case> {
        let uses = self.uses(name, None);
        let mut cases = Vec::new();
        for (full, other) in [(old, new), (new, old)] {
            let Some((most, width)) = full else { continue };
            // Within the full window, and outside of a shorter other one where there is one.
            let outside = other.map(|(_, other)| other).filter(|other| *other < width);
            let recent = (width / 2 / 1_000) * 1_000;
            for age in outside.into_iter().chain([recent]) {
                for case in &uses {
                    let past = |bytes| Given::Used { tool: name.to_owned(), age, bytes };
                    if sends {
                        cases.push(case.sending(most.saturating_add(1)));
                        cases.push(case.given(past(most)).sending(1));
                    } else {
                        cases.push(case.often(past(0), most));
                    }
                }
            }
        }
        cases
    }

    /// Payments that one limit permits and the other one does not: of the higher limit, or just
    /// above the lower one; all at once, or as the last part of what was paid before.
    pub(super) fn sums(self, moved: Moved<'a>) -> Vec<Case> {
        let Moved { whose, asset, kind, old, new } = moved;
        let (old, new) = (old.unwrap_or(U256::MAX), new.unwrap_or(U256::MAX));
        let (low, high) = (old.min(new), old.max(new));
        let mut sums: Vec<U256> = low.checked_add(U256::ONE).into_iter().collect();
        if high < U256::MAX {
            sums.push(high);
        }
        let mut cases = Vec::new();
        for sum in sums {
            cases.extend(self.to_the_brim(Who::of(whose), whose, asset, kind, sum));
        }
        cases
    }

    /// Payments that are just too much for a limit.
    pub(super) fn filled(
        self,
        who: Who<'a>,
        whose: Whose<'a>,
        asset: AssetId,
        kind: &'static str,
        limit: U256,
    ) -> Vec<Case> {
        let above = limit.checked_add(U256::ONE);
        above.map_or_else(Vec::new, |sum| self.to_the_brim(who, whose, asset, kind, sum))
    }

    fn to_the_brim(
        self,
        who: Who<'a>,
        whose: Whose<'a>,
        asset: AssetId,
        kind: &'static str,
        sum: U256,
    ) -> Vec<Case> {
        let sub_agent = match whose {
            Whose::SubAgent(name) => Some(name),
            _ => None,
        };
        let mut cases = self.payments(who, Some(asset), sub_agent);
        let fees = matches!(whose, Whose::Owner | Whose::Agent | Whose::SubAgent(_));
        if asset.is_native() && fees {
            cases.extend(self.fees(whose, asset).into_iter().take(1));
        }
        let single = self.single(asset).unwrap_or(sum).min(sum);
        let at_once = ["payment", "ask_above"].contains(&kind);
        let parts = if at_once { vec![sum] } else { vec![single, sum, U256::ONE.min(sum)] };
        let mut brim = Vec::new();
        for case in &cases {
            for part in &parts {
                let last = case.of(Money::new(*part, asset));
                let before = Money::new(sum.saturating_sub(*part), asset);
                if before.units.is_zero() {
                    brim.push(last);
                    continue;
                }
                for (payee, by) in self.takers(whose, kind, case) {
                    brim.push(last.paid(before, &payee, kind, Some(by)));
                }
            }
        }
        brim
    }

    /// To whom, and by whom, money was paid that counts for a limit, and for as few others as
    /// possible.
    fn takers(self, whose: Whose<'a>, kind: &str, case: &Case) -> Vec<(String, PaidBy)> {
        let same = || case.payee().map(str::to_owned);
        let payees = self.old.payees.keys().find(|name| Some(name.as_str()) != case.payee());
        let other = payees.cloned().into_iter().chain([FORMER.to_owned()]);
        let to_others = |by: PaidBy| other.map(|name| (name, by.clone())).collect();
        match whose {
            _ if kind == "ask_above_day" => {
                same().map(|name| (name, PaidBy::Agent)).into_iter().collect()
            }
            Whose::Owner => vec![(FORMER.to_owned(), PaidBy::AnotherAgent)],
            Whose::Agent => to_others(PaidBy::Agent),
            Whose::SubAgent(name) => to_others(PaidBy::SubAgent(name.to_owned())),
            Whose::Task => to_others(by_task()),
            Whose::Payee(name) => vec![(name.to_owned(), PaidBy::Agent)],
            Whose::Category(category) => {
                let mut members = self.names(Who::Category(category));
                members.retain(|name| Some(name.as_str()) != case.payee());
                members.truncate(1);
                members.into_iter().chain(same()).map(|name| (name, PaidBy::Agent)).collect()
            }
            Whose::Pool => vec![(self.stranger(1), PaidBy::Agent)],
            Whose::Peer => same().map(|name| (name, PaidBy::Agent)).into_iter().collect(),
        }
    }
}
