//! A steward that allows everything at once: what is measured is the mind.

use std::time::Duration;

use alloy_primitives::{Address, B256};
use async_trait::async_trait;
use marque_agent_core::Steward;
use marque_payments::{Authority, PaymentError};
use marque_policies::IntentId;
use marque_steward_client::{
    Artifact, IntentState, Note, Outcome, Proposal, Report, ToolView, View,
};

/// Allows everything at once, and one tool.
#[derive(Debug)]
pub(crate) struct Yes {
    tool: &'static str,
}

impl Yes {
    pub(crate) fn new(tool: &'static str) -> Self {
        Self { tool }
    }
}

#[async_trait]
impl Authority for Yes {
    async fn propose(&self, proposal: Proposal) -> Result<Outcome, PaymentError> {
        let id = proposal.id(B256::ZERO, "scout");
        Ok(Outcome::Allowed { id, artifact: Artifact::Permission })
    }

    async fn view(&self) -> Result<View, PaymentError> {
        let tool = ToolView {
            name: self.tool.to_owned(),
            hosts: Vec::new(),
            methods: Vec::new(),
            arguments: Vec::new(),
        };
        Ok(View {
            agent: "scout".to_owned(),
            sub_agent: None,
            address: Address::ZERO,
            owner: Address::ZERO,
            owner_since: 0,
            origin: B256::ZERO,
            policy_version: 1,
            policy_hash: B256::ZERO,
            now: 0,
            frozen_at: None,
            tools: vec![tool],
            payees: Vec::new(),
            assets: Vec::new(),
            chains: Vec::new(),
            budgets: Vec::new(),
            income: Vec::new(),
            facilitates: Vec::new(),
            pools: Vec::new(),
            intents: Vec::new(),
        })
    }

    async fn report(&self, _: Report) -> Result<(), PaymentError> {
        Ok(())
    }

    async fn wait(&self, _: IntentId, _: Duration) -> Result<IntentState, PaymentError> {
        Err(PaymentError::Steward("nothing is held here".to_owned()))
    }
}

#[async_trait]
impl Steward for Yes {
    async fn note(&self, _: Note) -> Result<(), PaymentError> {
        Ok(())
    }
}
