//! Payments through Permit2: what this agent permits, what it takes, and the approval that permits
//! draw on.
//!
//! A permit is judged like any other payment, at its maximum. An approval of Permit2 pays nobody: it
//! can be drawn on by permits that this agent signs and by nothing else, so it is bounded by what the
//! agent may spend in all and counted where the permits are.

use super::{Judge, payment::Payment};
use crate::{
    explain::list_all,
    intent::{PermitTransfer, PermitVia, SettlePermit},
    money::{AssetId, Money},
};
use alloy_primitives::U256;

impl Judge<'_> {
    /// A permit that a host asked for.
    pub(super) fn permit(&mut self, pay: &PermitTransfer, gas: Option<Money>) {
        let PermitTransfer { payee, to, amount, host, .. } = pay;
        let payment = Payment { payee, to: *to, amount: *amount, asked_by: Some(host) };
        self.positive(payment.amount);
        self.asset_known(payment.amount.asset);
        self.is_token("permit", payment.amount.asset);
        let asking = self.paid(payment, U256::ZERO);
        self.labels(&pay.labels, asking);
        self.fees(gas);
    }

    /// The seller's side: a permit that pays this agent.
    pub(super) fn settle_permit(&mut self, settle: &SettlePermit, gas: Option<Money>) {
        let SettlePermit { amount, charge, via, .. } = settle;
        self.positive(*amount);
        self.asset_known(amount.asset);
        self.is_token("settle_permit", amount.asset);
        self.settles("settle_permit.to", settle.to, *amount);
        let fits = match via {
            PermitVia::Exact => charge == amount,
            PermitVia::Upto { .. } => charge.asset == amount.asset && charge.units <= amount.units,
        };
        let most = self.policy.show(*amount);
        let limit = match via {
            PermitVia::Exact => most,
            PermitVia::Upto { .. } => format!("at most {most}"),
        };
        self.check("settle_permit.charge", fits, self.policy.show(*charge), limit, || match via {
            PermitVia::Exact => "`exact` takes what was permitted, all of it".to_owned(),
            PermitVia::Upto { .. } => "take no more than was permitted".to_owned(),
        });
        if let Some(facilitator) = via.facilitator() {
            let own = self.ledger.agent_address();
            self.check(
                "settle_permit.facilitator",
                facilitator == own,
                facilitator.to_string(),
                own.to_string(),
                || "only the facilitator that the payer signed for can settle it".to_owned(),
            );
        }
        self.fees_known(amount.asset.chain, gas);
        self.fees(gas);
    }

    /// An approval of the Permit2 contract: of a token that may be spent, and of no more than may be
    /// spent in all. The balance is for the steward to look at. Nothing is an amount here: it takes
    /// the approval back.
    pub(super) fn approve_permit2(&mut self, amount: Money, gas: Option<Money>) {
        self.asset_known(amount.asset);
        self.is_token("approve_permit2", amount.asset);
        let limits = self.policy.limits.get(&amount.asset);
        let names = list_all(self.policy.limits.keys().map(|id| self.asset_name(*id)));
        self.check(
            "approve_permit2.asset",
            limits.is_some() || amount.units.is_zero(),
            self.policy.show(amount),
            if names.is_empty() { "nothing may be spent".to_owned() } else { names },
            || "have the owner add limits for the asset".to_owned(),
        );
        if let Some(total) = limits.and_then(|limits| limits.total) {
            let total = Money::new(total, amount.asset);
            self.at_most("approve_permit2.total".to_owned(), amount, total);
        }
        self.fees_known(amount.asset.chain, gas);
        self.fees(gas);
    }

    /// Permit2 moves ERC-20 tokens and no native coin.
    fn is_token(&mut self, path: &str, asset: AssetId) {
        self.check(
            format!("{path}.token"),
            !asset.is_native(),
            self.asset_name(asset).to_owned(),
            "an ERC-20 token".to_owned(),
            || "Permit2 moves tokens only; pay the native coin by a transfer".to_owned(),
        );
    }
}
