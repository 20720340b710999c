//! The buyer that every target has: one policy, one honest seller, one payment that was signed.

use alloy_primitives::{Address, B256, U256, address};
use async_trait::async_trait;
use k256::ecdsa::SigningKey;
use marque_contracts::{Authorization, TokenDomain, eip3009_digest};
use marque_net::{Client, Guard, Url};
use marque_payments::{Asked, Authority, Buyer, Deal, Errand, PaymentError, x402};
use marque_policies::{AssetId, Intent, IntentId, Labels};
use marque_steward_client::{
    Artifact, AssetView, Authorisation, IntentState, Outcome, PayeeView, Proposal, Report, View,
};
use serde_json::json;
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

pub(crate) const HOST: &str = "feed.example";
pub(crate) const URL: &str = "https://feed.example/wind";
pub(crate) const SELLER: Address = address!("0x5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e");
pub(crate) const USDC: AssetId =
    AssetId { chain: 84_532, token: address!("0x036cbd53842c5426634e7929541ec2318f3dcf7e") };

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_slice(&[1; 32]).unwrap());

fn agent() -> Address {
    let point = KEY.verifying_key().to_encoded_point(false);
    Address::from_raw_public_key(&point.as_bytes()[1..])
}

pub(crate) static VIEW: LazyLock<View> = LazyLock::new(|| {
    let view = json!({
        "agent": "scout",
        "address": agent(),
        "owner": Address::repeat_byte(9),
        "origin": B256::ZERO,
        "policy_version": 1,
        "policy_hash": B256::ZERO,
        "now": 1_800_000_000_000_u64,
        "frozen_at": null,
        "tools": [], "payees": [], "assets": [], "budgets": [], "income": [], "intents": [],
    });
    let mut view: View = serde_json::from_value(view).unwrap();
    let payee = |name: &str, address, host: Option<&str>| PayeeView {
        name: name.to_owned(),
        address: Some(address),
        host: host.map(str::to_owned),
    };
    view.payees = vec![
        payee("feed", SELLER, Some(HOST)),
        payee("other", Address::repeat_byte(0x77), Some("other.example")),
        payee("nobody", Address::repeat_byte(0x78), None),
    ];
    let domain = Some(("USDC".to_owned(), "2".to_owned()));
    let native = AssetId::native(USDC.chain);
    view.assets = vec![
        AssetView { name: "USDC".to_owned(), id: USDC, decimals: 6, domain },
        AssetView { name: "ETH".to_owned(), id: native, decimals: 18, domain: None },
    ];
    view
});

/// Signs whatever it is asked for.
#[derive(Debug)]
struct Signs;

#[async_trait]
impl Authority for Signs {
    async fn propose(&self, proposal: Proposal) -> Result<Outcome, PaymentError> {
        let id = proposal.id(VIEW.origin, &VIEW.agent);
        let Intent::Authorise(pay) = proposal.intent else { panic!("not a payment by EIP-3009") };
        let message = Authorization {
            from: agent(),
            to: pay.to,
            value: pay.amount.units,
            valid_after: 0,
            valid_before: 1_800_000_120,
            nonce: id.nonce(),
        };
        let domain = TokenDomain {
            name: "USDC".to_owned(),
            version: "2".to_owned(),
            chain: USDC.chain,
            token: USDC.token,
        };
        let digest = eip3009_digest(&domain, &message);
        let (signature, recovery) = KEY.sign_prehash_recoverable(digest.as_slice()).unwrap();
        let mut bytes = signature.to_bytes().to_vec();
        bytes.push(27 + recovery.to_byte());
        let Authorization { from, to, value, valid_after, valid_before, nonce } = message;
        let signature = bytes.into();
        let signed = Authorisation { from, to, value, valid_after, valid_before, nonce, signature };
        Ok(Outcome::Allowed { id, artifact: Artifact::Authorisation(Box::new(signed)) })
    }

    async fn view(&self) -> Result<View, PaymentError> {
        Ok(VIEW.clone())
    }

    async fn report(&self, _: Report) -> Result<(), PaymentError> {
        Ok(())
    }

    async fn wait(&self, _: IntentId, _: Duration) -> Result<IntentState, PaymentError> {
        panic!("nobody waits")
    }
}

/// 0.02 USDC to the seller, signed.
pub(crate) static DEAL: LazyLock<Deal> = LazyLock::new(|| {
    let required = json!({
        "x402Version": 2,
        "resource": { "url": URL },
        "accepts": [{
            "scheme": "exact", "network": "eip155:84532", "amount": "20000", "asset": USDC.token,
            "payTo": SELLER, "maxTimeoutSeconds": 60,
            "extra": { "name": "USDC", "version": "2" },
        }],
    });
    let required = x402::read("fuzz", required).unwrap();
    let net = Client::new(Guard::default()).unwrap();
    let errand = Errand {
        task: "wind".to_owned(),
        step: 0,
        ordinal: 1,
        attempt: 0,
        max: None,
        labels: Labels::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let asked = Asked::url(&Url::parse(URL).unwrap());
    let deal = runtime.block_on(Buyer::new(net, Arc::new(Signs)).agree(&required, &asked, &errand));
    let deal = deal.unwrap();
    assert_eq!(deal.terms().amount.units, U256::from(20_000));
    deal
});
