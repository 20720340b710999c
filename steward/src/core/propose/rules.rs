//! Rules that are not the policy's: they hold for every owner.

use super::{CANCEL_GAS, Case};
use crate::{
    core::fees,
    entry::{AuthorisationOrder, Order},
};
use alloy_primitives::{Address, U256};
use marque_contracts::{Authorization, TokenDomain, eip3009_digest, recover};
use marque_policies::{
    AssetId, Intent, IntentId, Mark, Money, Row,
    intent::{Cancel, Settle},
};
use marque_steward_client::PaymentState;

impl Case<'_> {
    /// Rules that are not the policy's: they hold for every owner.
    pub(super) fn own_rules(&self, chain: u64, table: &mut Vec<Row>) {
        let intent = &self.proposal.intent;
        let on = match intent {
            Intent::Authorise(pay) => pay.amount.asset.chain,
            Intent::Transfer(pay) => pay.amount.asset.chain,
            Intent::Settle(settle) => settle.amount.asset.chain,
            Intent::Sweep(sweep) => sweep.amount.asset.chain,
            Intent::AcceptWallet(accept) => accept.chain,
            Intent::PermitTransfer(pay) => pay.amount.asset.chain,
            Intent::SettlePermit(settle) => settle.amount.asset.chain,
            Intent::ApprovePermit2 { amount } | Intent::Refill { amount } => amount.asset.chain,
            _ => chain,
        };
        if on != chain {
            let limit = format!("eip155:{chain}");
            table.push(failed("steward.chain", &format!("eip155:{on}"), &limit, "use that chain"));
        }
        if let Intent::Authorise(pay) = intent
            && self.domain(pay.amount.asset).is_none()
        {
            let mend = "give the asset a `domain` in the policy";
            table.push(failed("steward.domain", "no EIP-712 domain", "one that is known", mend));
        }
        // The policy in force may name an owner who has handed over since.
        if let (Intent::AcceptWallet(accept), Some(owner)) = (intent, self.state.owner())
            && accept.owner != owner
        {
            let mend = "only an identity of the owner in force can be accepted";
            let (found, wanted) = (accept.owner.to_string(), owner.to_string());
            table.push(failed("steward.owner", &found, &wanted, mend));
        }
        if let Intent::Settle(settle) = intent {
            self.settle_rules(settle, table);
        }
        if let Intent::Cancel(cancel) = intent {
            self.cancel_rules(cancel.intent, table);
        }
        self.permit_rules(table);
        if let Intent::Refill { amount } = intent {
            self.refill_rules(*amount, table);
        }
        self.delegation_rule(table);
        self.reserve(table);
    }

    /// The authorisation that a cancellation names, while it is out.
    pub(super) fn cancelled(&self, id: IntentId) -> Option<&AuthorisationOrder> {
        let record = self.state.intent(id)?;
        match &record.order {
            Some(Order::Authorisation(order))
                if record.is_of(self.agent, self.sub_agent())
                    && record.state == PaymentState::Sent =>
            {
                Some(order)
            }
            _ => None,
        }
    }

    fn cancel_rules(&self, id: IntentId, table: &mut Vec<Row>) {
        let out = self.cancelled(id).is_some();
        let known = self.state.intent(id).filter(|it| it.is_of(self.agent, self.sub_agent()));
        table.push(Row {
            rule: "cancel.authorisation".to_owned(),
            measured: known.map_or_else(
                || "unknown".to_owned(),
                |record| format!("{} {:?}", record.decided.intent.kind(), record.state),
            ),
            limit: "an authorisation of one's own that is Sent".to_owned(),
            mark: if out { Mark::Pass } else { Mark::Fail },
            mend: (!out).then(|| "there is nothing out that could be cancelled".to_owned()),
        });
    }

    /// What fees may come to leaves room for taking back what is out: what cancelling every live
    /// authorisation of the agent would cost now, and never more than a quarter of a limit. Only the
    /// cancellations of a freeze may use it; money for the owner waits the two minutes that an
    /// authorisation lives.
    fn reserve(&self, table: &mut Vec<Row>) {
        let (Some(gas), Some(plan)) = (self.gas(), self.facts.gas) else { return };
        let intent = &self.proposal.intent;
        let kept = match intent {
            Intent::Transfer(_)
            | Intent::Settle(_)
            | Intent::Sweep(_)
            | Intent::ApprovePermit2 { .. }
            | Intent::Refill { .. }
            | Intent::SettlePermit(_) => None,
            Intent::Cancel(Cancel { intent }) | Intent::InvalidatePermit { intent }
                if self.state.frozen().is_none() =>
            {
                Some(*intent)
            }
            _ => return,
        };
        let live = self.state.intents().iter().filter(|(id, record)| {
            record.agent == self.agent
                && record.state == PaymentState::Sent
                && record.order.as_ref().is_some_and(Order::is_handed_out)
                && kept != Some(**id)
        });
        let each = U256::from(CANCEL_GAS).saturating_mul(U256::from(plan.max_fee));
        let wanted = U256::from(live.count()).saturating_mul(each);
        if wanted.is_zero() {
            return;
        }
        let policy = &self.adopted.policy;
        let spends = intent.spends().filter(|money| money.asset == gas.asset);
        let spends = spends.map_or(U256::ZERO, |money| money.units).saturating_add(gas.units);
        for (rule, spent, limit) in
            fees::limits(self.state, (self.agent, self.sub_agent()), gas.asset, self.now)
        {
            let reserve = wanted.min(limit / U256::from(4));
            let sum = spent.saturating_add(spends).saturating_add(reserve);
            if sum > limit {
                let show = |units| policy.show(Money::new(units, gas.asset));
                let measured =
                    format!("{} + {} + {} kept", show(spent), show(spends), show(reserve));
                let mend = "wait until what is out is settled or has expired: fees are kept back to \
                            cancel it if everything is stopped";
                let rule = format!("steward.reserve.{rule}");
                table.push(failed(&rule, &measured, &show(limit), mend));
            }
        }
    }

    fn settle_rules(&self, settle: &Settle, table: &mut Vec<Row>) {
        let signer = self.domain(settle.amount.asset).and_then(|domain| signer(&domain, settle));
        table.push(Row {
            rule: "settle.signature".to_owned(),
            measured: signer.map_or_else(|| "nobody's".to_owned(), |signer| signer.to_string()),
            limit: settle.from.to_string(),
            mark: if signer == Some(settle.from) { Mark::Pass } else { Mark::Fail },
            mend: (signer != Some(settle.from))
                .then(|| "have the payer sign these terms".to_owned()),
        });
        let (Some(block), None) = (self.facts.block, self.facts.elsewhere) else { return };
        let open = settle.valid_after < block.timestamp && block.timestamp < settle.valid_before;
        table.push(Row {
            rule: "settle.window".to_owned(),
            measured: format!("block time {}", block.timestamp),
            limit: format!("after {}, before {}", settle.valid_after, settle.valid_before),
            mark: if open { Mark::Pass } else { Mark::Fail },
            mend: (!open).then(|| "have the payer sign anew".to_owned()),
        });
    }

    pub(super) fn domain(&self, asset: AssetId) -> Option<TokenDomain> {
        let (_, known) = self.adopted.policy.asset(asset)?;
        let (name, version) = known.domain.clone()?;
        Some(TokenDomain { name, version, chain: asset.chain, token: asset.token })
    }
}

/// Who signed an authorisation.
fn signer(domain: &TokenDomain, settle: &Settle) -> Option<Address> {
    let authorization = Authorization {
        from: settle.from,
        to: settle.to,
        value: settle.amount.units,
        valid_after: settle.valid_after,
        valid_before: settle.valid_before,
        nonce: settle.nonce,
    };
    let signature = alloy_primitives::hex::decode(&settle.signature).ok()?;
    recover(eip3009_digest(domain, &authorization), &signature).ok()
}

pub(super) fn failed(rule: &str, measured: &str, limit: &str, mend: &str) -> Row {
    Row {
        rule: rule.to_owned(),
        measured: measured.to_owned(),
        limit: limit.to_owned(),
        mark: Mark::Fail,
        mend: Some(mend.to_owned()),
    }
}
