//! The rules on payments through Permit2 that are not the policy's: they hold for every owner.

use super::{Case, failed};
use crate::{
    entry::{Order, PermitOrder},
    state::Record,
};
use alloy_primitives::{Address, U256};
use marque_contracts::{permit2::Permit, recover};
use marque_policies::{Intent, IntentId, Mark, Money, Row, intent::SettlePermit};
use marque_steward_client::PaymentState;

impl Case<'_> {
    pub(super) fn permit_rules(&self, table: &mut Vec<Row>) {
        match &self.proposal.intent {
            Intent::PermitTransfer(pay) => self.covered(pay.amount, table),
            Intent::ApprovePermit2 { amount } => self.held(*amount, table),
            Intent::InvalidatePermit { intent } => self.is_out(*intent, table),
            Intent::SettlePermit(settle) => self.settles(settle, table),
            _ => {}
        }
    }

    /// What Permit2 may move must be enough for this permit and for all that are out: otherwise a
    /// payee would deliver for a permit that cannot be drawn on.
    fn covered(&self, amount: Money, table: &mut Vec<Row>) {
        let out = self.state.intents().values().filter_map(|record| permit_out(record, self.agent));
        let out = out.filter(|order| order.amount.asset == amount.asset);
        let out = out.map(|order| order.amount.units).fold(U256::ZERO, U256::saturating_add);
        let needed = out.saturating_add(amount.units);
        self.at_least(
            "permit2.allowance",
            (needed, amount),
            "approve Permit2 first, by `approve_permit2` for what is to be paid this way",
            table,
        );
    }

    /// An approval for more than the agent holds would be one for money that is still to come.
    fn held(&self, amount: Money, table: &mut Vec<Row>) {
        let mend = "approve no more than the agent holds";
        self.at_least("permit2.balance", (amount.units, amount), mend, table);
    }

    fn at_least(
        &self,
        rule: &str,
        (needed, amount): (U256, Money),
        mend: &str,
        table: &mut Vec<Row>,
    ) {
        let show = |units| self.adopted.policy.show(Money::new(units, amount.asset));
        let cover = self.facts.cover;
        let enough = needed.is_zero() || cover.is_some_and(|cover| cover >= needed);
        table.push(Row {
            rule: rule.to_owned(),
            measured: cover.map_or_else(|| "unknown".to_owned(), show),
            limit: format!("at least {}", show(needed)),
            mark: if enough { Mark::Pass } else { Mark::Fail },
            mend: (!enough).then(|| match cover {
                Some(_) => mend.to_owned(),
                None => "try again once the chain has answered".to_owned(),
            }),
        });
    }

    fn is_out(&self, id: IntentId, table: &mut Vec<Row>) {
        let known = self.state.intent(id).filter(|it| it.is_of(self.agent, self.sub_agent()));
        let out = known.and_then(|record| permit_out(record, self.agent)).is_some();
        table.push(Row {
            rule: "invalidate_permit.permit".to_owned(),
            measured: known.map_or_else(
                || "unknown".to_owned(),
                |record| format!("{} {:?}", record.decided.intent.kind(), record.state),
            ),
            limit: "a permit of one's own that is Sent".to_owned(),
            mark: if out { Mark::Pass } else { Mark::Fail },
            mend: (!out).then(|| "there is nothing out that could be taken back".to_owned()),
        });
    }

    fn settles(&self, settle: &SettlePermit, table: &mut Vec<Row>) {
        let signer = signer(settle);
        table.push(Row {
            rule: "settle_permit.signature".to_owned(),
            measured: signer.map_or_else(|| "nobody's".to_owned(), |signer| signer.to_string()),
            limit: settle.from.to_string(),
            mark: if signer == Some(settle.from) { Mark::Pass } else { Mark::Fail },
            mend: (signer != Some(settle.from))
                .then(|| "have the payer sign these terms".to_owned()),
        });
        // Nothing of such a permit is looked at on chain, so whoever makes worthless ones up could fill
        // the journal by way of a facilitator. A seller gives its goods for each of its own.
        if settle.charge.units.is_zero() && settle.to != self.key {
            table.push(failed(
                "settle_permit.nothing",
                &format!("nothing is taken for {}", settle.to),
                &format!("nothing is taken for {} only", self.key),
                "let it end by its deadline; there is nothing to settle",
            ));
        }
        let (Some(block), None) = (self.facts.block, self.facts.elsewhere) else { return };
        if !(settle.valid_after..=settle.deadline).contains(&block.timestamp) {
            let measured = format!("block time {}", block.timestamp);
            let limit = format!("from {} to {}", settle.valid_after, settle.deadline);
            table.push(failed(
                "settle_permit.window",
                &measured,
                &limit,
                "have the payer sign anew",
            ));
        }
    }
}

/// The permit of an agent's that is out and may still be drawn on.
fn permit_out<'a>(record: &'a Record, agent: &str) -> Option<&'a PermitOrder> {
    match &record.order {
        Some(Order::PermitTransfer(order))
            if record.agent == agent && record.state == PaymentState::Sent =>
        {
            Some(order)
        }
        _ => None,
    }
}

/// What a payer signed.
pub(super) const fn of(settle: &SettlePermit) -> Permit {
    Permit {
        from: settle.from,
        to: settle.to,
        token: settle.amount.asset.token,
        amount: settle.amount.units,
        facilitator: settle.via.facilitator(),
        valid_after: settle.valid_after,
        deadline: settle.deadline,
        nonce: settle.nonce,
    }
}

/// Who signed a permit.
fn signer(settle: &SettlePermit) -> Option<Address> {
    let signature = alloy_primitives::hex::decode(&settle.signature).ok()?;
    recover(of(settle).digest(settle.amount.asset.chain), &signature).ok()
}
