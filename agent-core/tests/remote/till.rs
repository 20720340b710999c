//! A steward that allows, holds and refuses as a test tells it, and signs payments with a key of its
//! own.

use alloy_primitives::{Address, B256, address};
use async_trait::async_trait;
use k256::ecdsa::SigningKey;
use marque_agent_core::Steward;
use marque_contracts::{Authorization, TokenDomain, eip3009_digest};
use marque_payments::{Authority, PaymentError};
use marque_policies::{AssetId, Intent, IntentId, Mark, Row};
use marque_steward_client::{
    Artifact, AssetView, Authorisation, IntentState, Note, Outcome, PayeeView, PaymentState,
    Proposal, Report, ToolView, View,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const USDC: AssetId =
    AssetId { chain: 31_337, token: address!("0x5fbdb2315678afecb367f032d93f642f64180aa3") };

/// How the next use of a tool is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Say {
    Hold,
    Refuse(&'static str),
}

#[derive(Debug)]
pub(crate) struct Till {
    key: SigningKey,
    view: View,
    says: Mutex<VecDeque<Say>>,
    proposals: Mutex<Vec<Proposal>>,
}

impl Till {
    /// The steward of a buyer that may ask and pay a host, or of a seller.
    pub(crate) fn new(seed: u8, peer: Option<(String, Address)>) -> Arc<Self> {
        let key = SigningKey::from_slice(&[seed; 32]).unwrap();
        let point = key.verifying_key().to_encoded_point(false);
        let tool = |host: &String| ToolView {
            name: "model".to_owned(),
            hosts: vec![host.clone()],
            methods: Vec::new(),
            arguments: Vec::new(),
        };
        let payee = |(host, address): &(String, Address)| PayeeView {
            name: "muscle".to_owned(),
            address: Some(*address),
            host: Some(host.clone()),
        };
        let view = View {
            agent: "scout".to_owned(),
            address: Address::from_raw_public_key(&point.as_bytes()[1..]),
            owner: Address::ZERO,
            sub_agent: None,
            owner_since: 0,
            origin: B256::repeat_byte(seed),
            policy_version: 1,
            policy_hash: B256::ZERO,
            now: NOW * 1000,
            frozen_at: None,
            tools: peer.iter().map(|(host, _)| tool(host)).collect(),
            payees: peer.iter().map(payee).collect(),
            assets: vec![AssetView {
                name: "USDC".to_owned(),
                id: USDC,
                decimals: 6,
                domain: Some(("USD Coin".to_owned(), "2".to_owned())),
            }],
            chains: vec![],
            budgets: vec![],
            income: vec![USDC],
            facilitates: Vec::new(),
            pools: Vec::new(),
            intents: Vec::new(),
        };
        Arc::new(Self { key, view, says: Mutex::default(), proposals: Mutex::default() })
    }

    /// The steward of a buyer that may use another tool as well.
    pub(crate) fn also(seed: u8, peer: (String, Address), name: &str) -> Arc<Self> {
        let mut till = Arc::into_inner(Self::new(seed, Some(peer))).unwrap();
        let tool =
            ToolView { name: name.to_owned(), hosts: Vec::new(), ..till.view.tools[0].clone() };
        till.view.tools.push(tool);
        Arc::new(till)
    }

    pub(crate) fn address(&self) -> Address {
        self.view.address
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
        proposal.id(self.view.origin, &self.view.agent)
    }

    fn sign(&self, authorization: &Authorization) -> Vec<u8> {
        let domain = TokenDomain {
            name: "USD Coin".to_owned(),
            version: "2".to_owned(),
            chain: USDC.chain,
            token: USDC.token,
        };
        let digest = eip3009_digest(&domain, authorization);
        let (signature, recovery) = self.key.sign_prehash_recoverable(digest.as_slice()).unwrap();
        let mut bytes = signature.to_vec();
        bytes.push(27 + recovery.to_byte());
        bytes
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
            Intent::Authorise(authorise) => {
                let signed = Authorization {
                    from: self.view.address,
                    to: authorise.to,
                    value: authorise.amount.units,
                    valid_after: 0,
                    valid_before: NOW + 120,
                    nonce: id.nonce(),
                };
                Artifact::Authorisation(Box::new(Authorisation {
                    from: signed.from,
                    to: signed.to,
                    value: signed.value,
                    valid_after: signed.valid_after,
                    valid_before: signed.valid_before,
                    nonce: signed.nonce,
                    signature: self.sign(&signed).into(),
                }))
            }
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
        Ok(self.view.clone())
    }

    async fn report(&self, _: Report) -> Result<(), PaymentError> {
        Ok(())
    }

    async fn wait(&self, id: IntentId, _: Duration) -> Result<IntentState, PaymentError> {
        // A buyer's owner never answers; a seller's settlement is seen at once.
        let held = !self.view.tools.is_empty();
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
