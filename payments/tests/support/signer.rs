//! A key that signs payments, and whose it is: what the scripted stewards of several crates' tests share.

use alloy_primitives::{Address, B256, address};
use k256::ecdsa::SigningKey;
use marque_contracts::{Authorization, TokenDomain, eip3009_digest};
use marque_policies::{AssetId, IntentId, intent::Authorise};
use marque_steward_client::{Artifact, AssetView, Authorisation, PayeeView, Proposal, View};

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const USDC: AssetId =
    AssetId { chain: 31_337, token: address!("0x5fbdb2315678afecb367f032d93f642f64180aa3") };

#[derive(Debug)]
pub(crate) struct Signer {
    key: SigningKey,
    pub(crate) view: View,
}

impl Signer {
    /// An agent that may pay `muscle` at a host, where there is one, and be paid in USDC.
    pub(crate) fn new(agent: &str, seed: u8, muscle: Option<&(String, Address)>) -> Self {
        let key = SigningKey::from_slice(&[seed; 32]).unwrap();
        let point = key.verifying_key().to_encoded_point(false);
        let payee = |(host, address): &(String, Address)| PayeeView {
            name: "muscle".to_owned(),
            address: Some(*address),
            host: Some(host.clone()),
        };
        let view = View {
            agent: agent.to_owned(),
            address: Address::from_raw_public_key(&point.as_bytes()[1..]),
            owner: Address::ZERO,
            sub_agent: None,
            owner_since: 0,
            origin: B256::repeat_byte(seed),
            policy_version: 1,
            policy_hash: B256::ZERO,
            now: NOW * 1000,
            frozen_at: None,
            tools: vec![],
            payees: muscle.map(payee).into_iter().collect(),
            assets: vec![AssetView {
                name: "USDC".to_owned(),
                id: USDC,
                decimals: 6,
                domain: Some(("USD Coin".to_owned(), "2".to_owned())),
            }],
            budgets: vec![],
            income: vec![USDC],
            facilitates: vec![],
            pools: vec![],
            chains: vec![],
            intents: vec![],
        };
        Self { key, view }
    }

    pub(crate) fn id(&self, proposal: &Proposal) -> IntentId {
        proposal.id(self.view.origin, &self.view.agent)
    }

    /// The payment `id`, signed.
    pub(crate) fn authorise(&self, id: IntentId, authorise: &Authorise) -> Artifact {
        let message = Authorization {
            from: self.view.address,
            to: authorise.to,
            value: authorise.amount.units,
            valid_after: 0,
            valid_before: NOW + 120,
            nonce: id.nonce(),
        };
        let domain = TokenDomain {
            name: "USD Coin".to_owned(),
            version: "2".to_owned(),
            chain: USDC.chain,
            token: USDC.token,
        };
        let digest = eip3009_digest(&domain, &message);
        let (signature, recovery) = self.key.sign_prehash_recoverable(digest.as_slice()).unwrap();
        let mut bytes = signature.to_vec();
        bytes.push(27 + recovery.to_byte());
        let Authorization { from, to, value, valid_after, valid_before, nonce } = message;
        let signature = bytes.into();
        Artifact::Authorisation(Box::new(Authorisation {
            from,
            to,
            value,
            valid_after,
            valid_before,
            nonce,
            signature,
        }))
    }
}
