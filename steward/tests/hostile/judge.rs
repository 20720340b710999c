//! Counts what was signed, by hand: no engine, no ledger, a few numbers of the policy.

use crate::support::{CHAIN, owner, town::Town};
use alloy_primitives::{Address, B256, U256};
use marque_contracts::{
    Authorization, TokenDomain, eip3009_digest,
    permit2::{EXACT_PROXY, Permit, UPTO_PROXY},
    recover,
};
use marque_policies::Intent;
use marque_steward::{Body, Home, audit};
use marque_steward_client::Artifact;
use std::collections::{BTreeMap, BTreeSet};

/// The policy's `ask_above`: nothing above it is signed, since no owner approved anything.
const ASK_ABOVE: u64 = 500_000;

#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) signatures: u64,
    /// Of these, permits.
    pub(crate) permits: u64,
    /// The most that was out at one moment.
    pub(crate) let_go: u64,
    pub(crate) entries: u64,
}

/// Panics where anything is outside of the policy.
pub(crate) async fn judge(
    home: &Home,
    agent: Address,
    shop: Address,
    town: &Town,
    artifacts: &[Artifact],
) -> Verdict {
    // What the mind has in its hands.
    let domain = TokenDomain::test_dollar(CHAIN, town.token);
    let (mut held, mut signatures) = (BTreeMap::<B256, U256>::new(), BTreeSet::new());
    for artifact in artifacts {
        match artifact {
            Artifact::Authorisation(signed) => {
                let message = Authorization {
                    from: signed.from,
                    to: signed.to,
                    value: signed.value,
                    valid_after: signed.valid_after,
                    valid_before: signed.valid_before,
                    nonce: signed.nonce,
                };
                let by = recover(eip3009_digest(&domain, &message), &signed.signature).unwrap();
                assert_eq!((by, signed.from), (agent, agent), "ours, and what it says");
                assert_eq!(signed.to, shop, "nobody but the listed payee");
                assert!(signed.value <= U256::from(ASK_ABOVE), "{} unasked", signed.value);
                let other = held.insert(signed.nonce, signed.value);
                assert!(other.is_none_or(|value| value == signed.value), "one id, two contents");
                signatures.insert(signed.signature.clone());
            }
            Artifact::PermitTransfer(signed) => {
                let message = Permit {
                    from: signed.from,
                    to: signed.to,
                    token: signed.token,
                    amount: signed.amount,
                    facilitator: signed.facilitator,
                    valid_after: signed.valid_after,
                    deadline: signed.deadline,
                    nonce: signed.nonce,
                };
                let by = recover(message.digest(CHAIN), &signed.signature).unwrap();
                assert_eq!((by, signed.from), (agent, agent), "ours, and what it says");
                assert_eq!((signed.to, signed.token), (shop, town.token), "the listed payee alone");
                assert!([EXACT_PROXY, UPTO_PROXY].contains(&signed.spender), "a proxy alone");
                assert!(signed.amount <= U256::from(ASK_ABOVE), "{} unasked", signed.amount);
                let other = held.insert(signed.nonce.into(), signed.amount);
                assert!(other.is_none_or(|value| value == signed.amount), "one id, two contents");
                signatures.insert(signed.signature.clone());
            }
            Artifact::Signature { .. } => panic!("a signature that always waits for the owner"),
            Artifact::Permission | Artifact::Transaction { .. } => {}
            other => panic!("an artifact that is not judged here: {other:?}"),
        }
    }
    assert_eq!(signatures.len(), held.len(), "one id, one set of bytes");

    // What the steward says that it signed, which is more: some answers found nobody.
    let entries = audit::entries(&home.journal()).unwrap();
    // What the chain can no longer take, or took and undid, is not out any more: at no moment may
    // more than the hour's limit be.
    let (mut authorised, mut decided, mut permits) = (U256::ZERO, 0_u64, 0_u64);
    let (mut live, mut out, mut most) = (BTreeMap::new(), U256::ZERO, U256::ZERO);
    for entry in &entries {
        if let Body::Expired { id, .. }
        | Body::Released { id, .. }
        | Body::Reverted { id, .. }
        | Body::Cancelled { id, .. } = &entry.body
        {
            out -= live.remove(id).unwrap_or(U256::ZERO);
        }
        let Body::Allowed(allowed) = &entry.body else {
            assert!(
                !matches!(entry.body, Body::Approve { .. } | Body::Deny { .. }),
                "an act that no owner signed"
            );
            continue;
        };
        match &allowed.decided.intent {
            Intent::Authorise(pay) => {
                assert_eq!((pay.to, pay.payee.as_str()), (shop, "shop"));
                assert_eq!(pay.amount.asset.token, town.token);
                assert!(pay.amount.units <= U256::from(ASK_ABOVE));
                authorised += pay.amount.units;
                out += pay.amount.units;
                live.insert(allowed.decided.id, pay.amount.units);
                decided += 1;
            }
            Intent::PermitTransfer(pay) => {
                assert_eq!((pay.to, pay.payee.as_str()), (shop, "shop"));
                assert_eq!(pay.amount.asset.token, town.token);
                assert!(pay.amount.units <= U256::from(ASK_ABOVE));
                authorised += pay.amount.units;
                out += pay.amount.units;
                live.insert(allowed.decided.id, pay.amount.units);
                (decided, permits) = (decided + 1, permits + 1);
            }
            // It costs fees, and permits alone can draw on it.
            Intent::ApprovePermit2 { amount } => {
                assert_eq!(amount.asset.token, town.token);
                assert!(amount.units <= U256::from(105_000_000), "more than the agent holds");
                decided += 1;
            }
            Intent::InvalidatePermit { intent } => {
                assert!(live.contains_key(intent), "a permit that is none of its own");
                decided += 1;
            }
            Intent::Transfer(pay) => {
                assert_eq!((pay.to, pay.payee.as_str()), (shop, "shop"));
                assert_eq!(pay.amount.asset.token, town.token);
                assert!(pay.amount.units <= U256::from(ASK_ABOVE));
                out += pay.amount.units;
                live.insert(allowed.decided.id, pay.amount.units);
                decided += 1;
            }
            Intent::Sweep(_) | Intent::Settle(_) | Intent::SettlePermit(_) => decided += 1,
            // It costs fees, and takes back what is out and of its own.
            Intent::Cancel(cancel) => {
                assert!(live.contains_key(&cancel.intent), "a cancellation of nothing of its own");
                decided += 1;
            }
            Intent::Tool(used) => assert_eq!(used.tool, "fetch_data"),
            other => panic!("allowed what always waits for the owner: {other:?}"),
        }
        most = most.max(out);
    }
    let in_hand: U256 = held.values().copied().sum();
    assert!(in_hand <= authorised, "the mind holds more than the journal knows");
    let key = audit::stated_key(&audit::state(home).unwrap()).unwrap();
    audit::verify(&home.journal(), &key).unwrap();

    // What the chain has: the money is with the agent, the shop and the owner, and nowhere else.
    let mut left = U256::ZERO;
    for account in [agent, shop, owner().address()] {
        left += U256::from(town.balance(account).await);
    }
    assert_eq!(left, U256::from(105_000_000), "money went somewhere else");
    assert_eq!(town.balance(Address::repeat_byte(0x66)).await, 0);
    let entries = u64::try_from(entries.len()).unwrap();
    Verdict { signatures: decided, permits, let_go: u64::try_from(most).unwrap(), entries }
}
