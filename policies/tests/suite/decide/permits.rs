//! Payments through Permit2, from both sides, and the approval that they draw on.

use crate::support::*;
use alloy_primitives::{Address, B256, U256};
use marque_policies::{
    AssetId, Decision, Intent, IntentId, Money,
    intent::{PermitTransfer, PermitVia, Settle, SettlePermit},
};

const OURS: PermitVia = PermitVia::Upto { facilitator: AGENT };

#[test]
fn a_permit_is_judged_like_any_other_payment_at_its_maximum() {
    let upto = |micros| permit(usdc(micros), PermitVia::Upto { facilitator: STRANGER });
    for via in [PermitVia::Exact, OURS] {
        let verdict = judge(&usual(), &permit(usdc(500_000), via), None, &Book::default());
        assert_eq!(verdict.decision(), Decision::Allow, "{verdict:#?}");
    }
    let verdict = judge(&usual(), &upto(1_000_001), None, &Book::default());
    assert_eq!(failed(&verdict), ["limits.USDC.payment"]);
    let verdict = judge(&usual(), &upto(500_001), None, &Book::default());
    assert_eq!(asked(&verdict), ["limits.USDC.ask_above"]);
    let Intent::PermitTransfer(pay) = upto(1) else { panic!() };
    let other = Intent::PermitTransfer(PermitTransfer { to: STRANGER, ..pay.clone() });
    let verdict = judge(&usual(), &other, None, &Book::default());
    assert_eq!(failed(&verdict), ["payee.weather-feed.address"]);
    let host = "evil.example".to_owned();
    let asked_by = Intent::PermitTransfer(PermitTransfer { host, ..pay });
    let verdict = judge(&usual(), &asked_by, None, &Book::default());
    assert_eq!(failed(&verdict), ["payee.weather-feed.host"]);
}

#[test]
fn the_native_coin_is_neither_permitted_nor_approved_nor_collected() {
    for (intent, rule) in [
        (permit(wei(1), OURS), "permit.token"),
        (Intent::ApprovePermit2 { amount: wei(1) }, "approve_permit2.token"),
        (settle_permit(AGENT, wei(1), wei(1), OURS), "settle_permit.token"),
    ] {
        let verdict = judge(&usual(), &intent, Some(wei(0)), &Book::default());
        assert!(failed(&verdict).contains(&rule), "{verdict:#?}");
    }
}

#[test]
fn a_metered_settlement_takes_at_most_what_was_permitted_and_an_exact_one_all_of_it() {
    let judge = |to, amount, charge, via| {
        let intent = settle_permit(to, amount, charge, via);
        judge(&usual(), &intent, Some(wei(0)), &Book::default())
    };
    for charge in [0, 1, 5] {
        let verdict = judge(AGENT, usdc(5), usdc(charge), OURS);
        assert_eq!(verdict.decision(), Decision::Allow, "{verdict:#?}");
    }
    let verdict = judge(AGENT, usdc(5), usdc(5), PermitVia::Exact);
    assert_eq!(verdict.decision(), Decision::Allow, "{verdict:#?}");
    let other = Money::new(usdc(1).units, wei(0).asset);
    for (charge, via) in
        [(usdc(6), OURS), (usdc(4), PermitVia::Exact), (usdc(6), PermitVia::Exact), (other, OURS)]
    {
        let verdict = judge(AGENT, usdc(5), charge, via);
        assert_eq!(failed(&verdict), ["settle_permit.charge"]);
    }
}

#[test]
fn a_permit_that_pays_somebody_else_or_is_another_facilitators_is_not_settled() {
    let judge = |to: Address, via| {
        let intent = settle_permit(to, usdc(5), usdc(5), via);
        judge(&usual(), &intent, Some(wei(0)), &Book::default())
    };
    assert_eq!(failed(&judge(STRANGER, OURS)), ["settle_permit.to"]);
    let theirs = PermitVia::Upto { facilitator: STRANGER };
    assert_eq!(failed(&judge(AGENT, theirs)), ["settle_permit.facilitator"]);
    let other = Money::new(usdc(5).units, AssetId { chain: CHAIN, token: STRANGER });
    let intent = settle_permit(AGENT, other, other, OURS);
    let verdict = super::judge(&usual(), &intent, Some(wei(0)), &Book::default());
    assert_eq!(failed(&verdict), ["asset.known", "income.asset"]);
}

#[test]
fn permit2_is_approved_for_no_more_than_may_be_spent_in_all() {
    let judge = |amount, gas| {
        super::judge(&usual(), &Intent::ApprovePermit2 { amount }, gas, &Book::default())
    };
    for micros in [0, 1, 200_000_000] {
        let verdict = judge(usdc(micros), Some(wei(0)));
        assert_eq!(verdict.decision(), Decision::Allow, "{verdict:#?}");
    }
    let verdict = judge(usdc(200_000_001), Some(wei(0)));
    assert_eq!(failed(&verdict), ["approve_permit2.total"]);
    assert_eq!(failed(&judge(usdc(1), None)), ["gas.known"]);
}

#[test]
fn an_intent_with_a_field_that_it_does_not_have_is_not_read() {
    let intent = IntentId::derive(Default::default(), "scout", "t", 0, 0, 0);
    for intent in [
        permit(usdc(1), OURS),
        settle_permit(AGENT, usdc(1), usdc(1), OURS),
        Intent::ApprovePermit2 { amount: usdc(1) },
        Intent::InvalidatePermit { intent },
    ] {
        let mut value = serde_json::to_value(&intent).unwrap();
        assert_eq!(serde_json::from_value::<Intent>(value.clone()).unwrap(), intent);
        value["spender"] = "0x0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a".into();
        assert!(serde_json::from_value::<Intent>(value).is_err(), "{intent:?}");
    }
}

#[test]
fn ids_and_nonces_of_permits_are_their_own() {
    let origin = Default::default();
    let id = IntentId::derive(origin, "scout", "t", 0, 0, 0);
    assert_ne!(U256::from_be_bytes(id.nonce().0), id.permit_nonce());
    assert_ne!(
        IntentId::cancellation(origin, "scout", id, 0),
        IntentId::invalidation(origin, "scout", id, 0)
    );
    let (Intent::SettlePermit(permit), Intent::Settle(settle)) =
        (settle_permit(AGENT, usdc(1), usdc(1), OURS), settle(AGENT, usdc(1)))
    else {
        panic!()
    };
    let nonce = B256::from(permit.nonce);
    let settle = IntentId::settlement(origin, "scout", &Settle { nonce, ..settle });
    let first = IntentId::permit_settlement(origin, "scout", &permit);
    assert_ne!(settle, first);
    let less = SettlePermit { charge: usdc(0), ..permit };
    assert_eq!(first, IntentId::permit_settlement(origin, "scout", &less));
}
