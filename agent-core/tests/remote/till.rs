//! A steward that allows, holds and refuses as a test tells it, and signs payments with a key of its
//! own.

use crate::signer::Signer;
use alloy_primitives::Address;
use async_trait::async_trait;
use marque_agent_core::Steward;
use marque_payments::{Authority, PaymentError};
use marque_policies::{Intent, IntentId, Mark, Row};
use marque_steward_client::{
    Artifact, IntentState, Note, Outcome, PaymentState, Proposal, Report, ToolView, View,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

/// How the next use of a tool is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Say {
    Hold,
    Refuse(&'static str),
}

#[derive(Debug)]
pub(crate) struct Till {
    signer: Signer,
    says: Mutex<VecDeque<Say>>,
    proposals: Mutex<Vec<Proposal>>,
}

impl Till {
    /// The steward of a buyer that may ask and pay a host, or of a seller.
    pub(crate) fn new(seed: u8, peer: Option<(String, Address)>) -> Arc<Self> {
        let mut signer = Signer::new("scout", seed, peer.as_ref());
        let tool = |(host, _): &(String, Address)| ToolView {
            name: "model".to_owned(),
            hosts: vec![host.clone()],
            methods: Vec::new(),
            arguments: Vec::new(),
        };
        signer.view.tools = peer.iter().map(tool).collect();
        Arc::new(Self { signer, says: Mutex::default(), proposals: Mutex::default() })
    }

    /// The steward of a buyer that may use another tool as well.
    pub(crate) fn also(seed: u8, peer: (String, Address), name: &str) -> Arc<Self> {
        let mut till = Arc::into_inner(Self::new(seed, Some(peer))).unwrap();
        let tools = &mut till.signer.view.tools;
        tools.push(ToolView { name: name.to_owned(), hosts: Vec::new(), ..tools[0].clone() });
        Arc::new(till)
    }

    pub(crate) fn address(&self) -> Address {
        self.signer.view.address
    }

    pub(crate) fn says(&self, says: impl IntoIterator<Item = Say>) {
        self.says.lock().unwrap().extend(says);
    }

    pub(crate) fn proposals(&self) -> Vec<Proposal> {
        self.proposals.lock().unwrap().clone()
    }

    /// The ids of everything that was proposed.
    pub(crate) fn ids(&self) -> Vec<IntentId> {
        self.proposals().iter().map(|proposal| self.id(proposal)).collect()
    }

    /// The ids of the payments that were proposed.
    pub(crate) fn payments(&self) -> Vec<IntentId> {
        let proposals = self.proposals();
        let payments = proposals.iter().filter(|p| matches!(p.intent, Intent::Authorise(_)));
        payments.map(|proposal| self.id(proposal)).collect()
    }

    fn id(&self, proposal: &Proposal) -> IntentId {
        self.signer.id(proposal)
    }
}

#[async_trait]
impl Authority for Till {
    async fn propose(&self, proposal: Proposal) -> Result<Outcome, PaymentError> {
        let id = self.id(&proposal);
        let row = |rule: &str, mark| Row {
            rule: rule.to_owned(),
            measured: "what it is".to_owned(),
            limit: "what it may be".to_owned(),
            mark,
            mend: None,
        };
        let artifact = match &proposal.intent {
            Intent::Authorise(authorise) => self.signer.authorise(id, authorise),
            Intent::Tool(_) => match self.says.lock().unwrap().pop_front() {
                Some(Say::Hold) => {
                    return Ok(Outcome::Held { id, table: vec![row("ask.first", Mark::Ask)] });
                }
                Some(Say::Refuse(rule)) => {
                    return Ok(Outcome::Refused { id, table: vec![row(rule, Mark::Fail)] });
                }
                None => Artifact::Permission,
            },
            _ => Artifact::Transaction { hash: id.0 },
        };
        self.proposals.lock().unwrap().push(proposal);
        Ok(Outcome::Allowed { id, artifact })
    }

    async fn view(&self) -> Result<View, PaymentError> {
        Ok(self.signer.view.clone())
    }

    async fn report(&self, _: Report) -> Result<(), PaymentError> {
        Ok(())
    }

    async fn wait(&self, id: IntentId, _: Duration) -> Result<IntentState, PaymentError> {
        // A buyer's owner never answers; a seller's settlement is seen at once.
        let held = !self.signer.view.tools.is_empty();
        let state = if held { PaymentState::Held } else { PaymentState::Seen };
        Ok(IntentState { id, state, transaction: Some(id.0), block: Some(1) })
    }
}

#[async_trait]
impl Steward for Till {
    async fn note(&self, _: Note) -> Result<(), PaymentError> {
        Ok(())
    }
}
