//! A hijacked mind with full access to the connection, against a real steward.

use crate::support::Town;
use alloy_primitives::Address;
use marque_policies::{
    AssetId, Intent, Money,
    intent::{Authorise, Labels},
};
use marque_steward_client::{Artifact, ClientError, Outcome, Proposal};

struct Robbery {
    money: AssetId,
    feed: Address,
    host: String,
}

impl Robbery {
    fn pay(&self, step: u32, to: Address, units: u64) -> Proposal {
        Proposal {
            task: "robbery".to_owned(),
            step,
            ordinal: 0,
            attempt: 0,
            intent: Intent::Authorise(Authorise {
                payee: "feed".to_owned(),
                to,
                amount: Money::new(alloy_primitives::U256::from(units), self.money),
                host: self.host.clone(),
                resource: "http://anything/".to_owned(),
                labels: Labels::default(),
            }),
        }
    }
}

fn failed(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Refused { table, .. } => table
            .iter()
            .filter(|row| row.mark == marque_policies::Mark::Fail)
            .map(|row| row.rule.clone())
            .collect(),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hijacked_mind_gets_nothing_that_the_policy_does_not_give() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let scout = town.buyer("scout", &[&feed], "").await;
    let view = scout.client().view().await.unwrap();
    let robbery = Robbery {
        money: view.assets.iter().find(|asset| asset.name == "tUSD").unwrap().id,
        feed: feed.party.address,
        host: feed.host.clone(),
    };
    let steward = scout.client();

    let stranger = steward.propose(robbery.pay(1, Address::repeat_byte(0x66), 10)).await.unwrap();
    assert!(failed(&stranger).contains(&"payee.feed.address".to_owned()), "{stranger:?}");

    let too_much = steward.propose(robbery.pay(2, robbery.feed, 4_000_000)).await.unwrap();
    assert!(failed(&too_much).contains(&"limits.tUSD.payment".to_owned()));

    let first = steward.propose(robbery.pay(3, robbery.feed, 10_000)).await.unwrap();
    let again = steward.propose(robbery.pay(3, robbery.feed, 10_000)).await.unwrap();
    assert_eq!(first, again, "the same id gets the same bytes");
    assert!(matches!(first, Outcome::Allowed { artifact: Artifact::Authorisation(_), .. }));

    let other = steward.propose(robbery.pay(3, robbery.feed, 20_000)).await;
    assert!(matches!(other, Err(ClientError::Fault(ref fault)) if fault.code == "id_reused"));

    // Many at once, each small: the window stops them, exactly.
    let mut let_go = 10_000_u64;
    let mut racing = tokio::task::JoinSet::new();
    for step in 10..40 {
        let (client, proposal) = (steward.clone(), robbery.pay(step, robbery.feed, 40_000));
        racing.spawn(async move { client.propose(proposal).await.unwrap() });
    }
    let mut refusals = 0;
    while let Some(outcome) = racing.join_next().await {
        match outcome.unwrap() {
            Outcome::Allowed { .. } => let_go += 40_000,
            outcome => {
                assert!(failed(&outcome).contains(&"limits.tUSD.hour".to_owned()));
                refusals += 1;
            }
        }
    }
    assert_eq!(let_go, 490_000, "12 of 30 fit under 0.50 beside the first 0.01");
    assert_eq!(refusals, 18);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payee_whose_identity_changed_hands_is_not_paid() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let mut pinned_wrong = town.seller("twin", "0.02 tUSD").await;
    // The policy pins the twin's id with feed's wallet: the chain says something else.
    pinned_wrong.party.address = feed.party.address;
    pinned_wrong.host = feed.host.clone();
    let scout = town.buyer("scout", &[&pinned_wrong], "").await;
    let refused = scout.buy(&feed.goods(), "task").await.unwrap_err();
    assert!(refused.to_string().contains("payee.twin.identity"), "{refused}");
    assert_eq!(town.dollars(&feed).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_steward_signs_nothing_until_the_owner_thaws_it() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let scout = town.buyer("scout", &[&feed], "").await;
    let frozen_at = scout.client().freeze("a test").await.unwrap();
    let refused = scout.buy(&feed.goods(), "task").await.unwrap_err();
    assert!(refused.to_string().contains("frozen"), "{refused}");
    let view = scout.client().view().await.unwrap();
    assert_eq!(view.frozen_at, Some(frozen_at));
    let chain = town.economy.devnet.chain_id();
    let thaw = marque_policies::Statement::Thaw { frozen_at };
    // A stranger's signature thaws nothing.
    let strangers = feed.party.owner.sign(thaw.clone(), chain, view.origin, None);
    assert!(scout.client().submit(strangers).await.is_err());
    let owners = scout.party.owner.sign(thaw, chain, view.origin, None);
    scout.client().submit(owners).await.unwrap();
    scout.buy(&feed.goods(), "task").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_above_ask_above_waits_for_the_owner() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.09 tUSD").await;
    let scout = town.buyer("scout", &[&feed], "ask_above = \"0.05\"\n").await;
    let held = scout.buy(&feed.goods(), "task").await.unwrap_err();
    let marque_payments::PaymentError::Held { id, .. } = held else { panic!("{held}") };
    assert_eq!(town.dollars(&feed).await, 0);
    let view = scout.client().view().await.unwrap();
    let body = view.intents.iter().find(|intent| intent.status.id == id).unwrap().body;
    let approval = scout.party.owner.approval(&view, id, body, view.now);
    let chain = town.economy.devnet.chain_id();
    let signed = scout.party.owner.sign(approval, chain, view.origin, None);
    scout.client().submit(signed).await.unwrap();
    scout.buy(&feed.goods(), "task").await.unwrap();
    assert_eq!(town.dollars(&feed).await, 90_000);
    // The approval was for that intent, once.
    assert!(scout.buy(&feed.goods(), "another").await.is_err());
}
