//! The ledger as the policy engine sees it: one agent's view of the state.

use crate::state::{Record, State};
use alloy_primitives::{Address, B256, U256};
use marque_policies::{AssetId, Resolved, Scope, Timestamp};
use marque_steward_client::PaymentState;
use std::collections::BTreeMap;

/// One agent's view for one decision.
#[derive(Clone, Copy, Debug)]
pub struct Ledger<'a> {
    state: &'a State,
    agent: &'a str,
    record: Option<&'a Record>,
    resolved: &'a BTreeMap<String, Resolved>,
    now: Timestamp,
}

impl<'a> Ledger<'a> {
    /// The view of `agent` for the intent of `record`, with what the registry answered.
    #[must_use]
    pub const fn new(
        state: &'a State,
        agent: &'a str,
        record: Option<&'a Record>,
        resolved: &'a BTreeMap<String, Resolved>,
        now: Timestamp,
    ) -> Self {
        Self { state, agent, record, resolved, now }
    }
}

impl marque_policies::Ledger for Ledger<'_> {
    fn spent(&self, scope: Scope<'_>, asset: AssetId, since: Timestamp) -> U256 {
        self.state.debits().spent(self.agent, &scope, asset, since)
    }

    fn uses(&self, tool: &str, since: Timestamp) -> u64 {
        self.state.agent(self.agent).map_or(0, |account| account.used(tool, since).0)
    }

    fn bytes_out(&self, tool: &str, since: Timestamp) -> u64 {
        self.state.agent(self.agent).map_or(0, |account| account.used(tool, since).1)
    }

    fn approved(&self, body: B256) -> Option<Timestamp> {
        let in_force = self.state.agent(self.agent).and_then(|account| account.policy.as_ref());
        let approval = self.record.and_then(|record| record.approval.as_ref());
        let (record, approval, policy) = (self.record?, approval?, in_force?);
        let stands = record.standing(self.now) == PaymentState::Approved
            && record.decided.body == body
            && approval.version == policy.version
            && self.now <= approval.deadline.saturating_mul(1_000);
        stands.then_some(approval.at)
    }

    fn pinned(&self, host: &str) -> Option<Address> {
        self.state.agent(self.agent)?.pinned.get(host).copied()
    }

    fn resolved(&self, payee: &str) -> Option<Resolved> {
        self.resolved.get(payee).copied()
    }

    fn owes_delivery(&self, payee: Address) -> bool {
        let Some(account) = self.state.agent(self.agent) else { return false };
        account.undelivered.iter().any(|id| {
            let state = self.state.intents().get(id).map(|record| record.state);
            let state = state.or_else(|| self.state.archived(*id).map(|archived| archived.state));
            self.state.payee_of(*id) == Some(payee)
                && matches!(state, Some(PaymentState::Seen | PaymentState::Final))
        })
    }

    fn agent_address(&self) -> Address {
        self.state.agent(self.agent).map_or(Address::ZERO, |account| account.key)
    }
}
