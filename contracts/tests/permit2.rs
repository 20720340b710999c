//! Permit2 and the x402 proxies on a real chain, at the addresses where public chains have them:
//! whose permit moves what, once, for whom.

#![cfg(test)]

mod support;

use alloy_primitives::{Address, U256, hex};
use alloy_sol_types::SolCall as _;
use marque_contracts::{
    Contract, IERC20, TestDollar, everywhere,
    permit2::{
        self, Drawn, EXACT_PROXY, IERC20Approve, IExactProxy, IPermit2, IUptoProxy, PERMIT2,
        Permit, UPTO_PROXY, drawn,
    },
    recover,
};
use serde_json::json;
use support::{Chain, Receipt};

/// A chain with everything in its place, a payer who holds 10 dollars, and has approved 5.
struct Counter {
    chain: Chain,
    token: Address,
    payer: Address,
    payee: Address,
    facilitator: Address,
}

impl Counter {
    fn open() -> Self {
        let chain = Chain::start();
        for (at, code) in everywhere() {
            chain.rpc("anvil_setCode", json!([at, code])).unwrap();
        }
        let token = chain.deploy(Contract::TestDollar);
        let [payer, payee, facilitator] = [chain.accounts[1], chain.accounts[2], chain.accounts[3]];
        let counter = Self { chain, token, payer, payee, facilitator };
        let mint = TestDollar::mintCall { to: payer, value: U256::from(10_000_000) };
        assert!(counter.chain.transact(payer, token, mint).succeeded);
        let call = IERC20Approve::approveCall { spender: PERMIT2, value: U256::from(5_000_000) };
        assert!(counter.chain.transact(payer, token, call).succeeded);
        counter
    }

    fn permit(&self, facilitator: Option<Address>) -> Permit {
        let now = self.chain.now();
        Permit {
            from: self.payer,
            to: self.payee,
            token: self.token,
            amount: U256::from(20_000),
            facilitator,
            valid_after: now - 1,
            deadline: now + 300,
            nonce: U256::from_be_bytes([0xa7; 32]),
        }
    }

    /// The payer's signature as anvil makes it from the types that the x402 specification lists.
    fn sign(&self, permit: &Permit) -> Vec<u8> {
        let mut witness = json!({ "to": permit.to, "validAfter": permit.valid_after.to_string() });
        let mut shape = "address to,uint256 validAfter";
        if let Some(facilitator) = permit.facilitator {
            witness["facilitator"] = json!(facilitator);
            shape = "address to,address facilitator,uint256 validAfter";
        }
        let types = [
            (
                "PermitWitnessTransferFrom",
                "TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,\
                 Witness witness",
            ),
            ("TokenPermissions", "address token,uint256 amount"),
            ("Witness", shape),
        ];
        let domain =
            json!({ "name": "Permit2", "chainId": Chain::ID, "verifyingContract": PERMIT2 });
        let message = json!({
            "permitted": { "token": permit.token, "amount": permit.amount.to_string() },
            "spender": permit.spender(),
            "nonce": permit.nonce.to_string(),
            "deadline": permit.deadline.to_string(),
            "witness": witness,
        });
        self.chain.sign(permit.from, domain, &types, message)
    }

    /// `who` has the proxy take `amount`.
    fn settle(&self, who: Address, permit: &Permit, amount: u64, signature: &[u8]) -> Receipt {
        let data = permit.settle(U256::from(amount), signature.to_vec());
        let to = permit.spender();
        match permit.facilitator {
            None => {
                self.chain.transact(who, to, IExactProxy::settleCall::abi_decode(&data).unwrap())
            }
            Some(_) => {
                self.chain.transact(who, to, IUptoProxy::settleCall::abi_decode(&data).unwrap())
            }
        }
    }

    fn got(&self) -> u64 {
        let call = IERC20::balanceOfCall { account: self.payee };
        self.chain.call(self.token, call).unwrap().to()
    }

    fn used(&self, nonce: U256) -> bool {
        let (word, bit) = permit2::place(nonce);
        let call = IPermit2::nonceBitmapCall { owner: self.payer, word };
        self.chain.call(PERMIT2, call).unwrap() & bit != U256::ZERO
    }
}

#[test]
fn permits_have_the_type_hashes_and_the_domain_of_permit2() {
    let counter = Counter::open();
    let separator = counter.chain.call(PERMIT2, IPermit2::DOMAIN_SEPARATORCall {}).unwrap();
    assert_eq!(separator, permit2::separator(Chain::ID));
    for facilitator in [None, Some(counter.facilitator)] {
        let permit = counter.permit(facilitator);
        let signature = counter.sign(&permit);
        assert_eq!(recover(permit.digest(Chain::ID), &signature).unwrap(), counter.payer);
    }
}

#[test]
fn an_exact_permit_moves_all_of_it_once_whoever_settles() {
    let counter = Counter::open();
    let permit = counter.permit(None);
    let signature = counter.sign(&permit);
    assert!(!counter.used(permit.nonce));
    assert!(counter.settle(counter.payee, &permit, 0, &signature).succeeded);
    assert_eq!((counter.got(), counter.used(permit.nonce)), (20_000, true));
    assert!(!counter.settle(counter.facilitator, &permit, 0, &signature).succeeded);
    assert_eq!(counter.got(), 20_000);
}

#[test]
fn an_upto_permit_moves_what_its_facilitator_says_up_to_the_maximum() {
    let counter = Counter::open();
    let permit = counter.permit(Some(counter.facilitator));
    let signature = counter.sign(&permit);
    assert!(!counter.settle(counter.payee, &permit, 100, &signature).succeeded, "a stranger");
    assert!(!counter.settle(counter.facilitator, &permit, 20_001, &signature).succeeded, "more");
    assert!(counter.settle(counter.facilitator, &permit, 2_500, &signature).succeeded);
    assert_eq!(counter.got(), 2_500);
    assert!(!counter.settle(counter.facilitator, &permit, 2_500, &signature).succeeded, "again");

    let mut nothing = permit;
    nothing.nonce += U256::from(1);
    let signature = counter.sign(&nothing);
    assert!(counter.settle(counter.facilitator, &nothing, 0, &signature).succeeded);
    assert_eq!((counter.got(), counter.used(nothing.nonce)), (2_500, true));
}

#[test]
fn nothing_of_a_permit_can_be_changed_by_who_brings_it() {
    let counter = Counter::open();
    let settler = counter.facilitator;
    let permit = counter.permit(Some(settler));
    let signature = counter.sign(&permit);
    type Change = fn(&mut Permit, &Counter);
    let changes: [(&str, Change); 7] = [
        ("the payer", |it, counter| it.from = counter.payee),
        ("the payee", |it, counter| it.to = counter.facilitator),
        ("the token", |it, counter| it.token = counter.payee),
        ("the maximum", |it, _| it.amount += U256::from(1)),
        ("the nonce", |it, _| it.nonce += U256::from(1)),
        ("the deadline", |it, _| it.deadline += 1),
        ("the beginning", |it, _| it.valid_after -= 1),
    ];
    for (what, change) in changes {
        let mut other = permit;
        change(&mut other, &counter);
        assert!(!counter.settle(settler, &other, 1, &signature).succeeded, "{what}");
    }
    // A permit for one proxy is none for the other.
    let exact = Permit { facilitator: None, ..permit };
    assert!(!counter.settle(settler, &exact, 1, &signature).succeeded);
    assert_eq!(counter.got(), 0);
    assert!(counter.settle(settler, &permit, 1, &signature).succeeded);
}

#[test]
fn a_permit_is_valid_from_its_beginning_to_its_deadline_both_included() {
    let counter = Counter::open();
    let mut permit = counter.permit(None);
    permit.valid_after = counter.chain.now() + 100;
    permit.deadline = permit.valid_after + 100;
    for (at, passes) in [(99, false), (100, true), (200, true), (201, false)] {
        permit.nonce += U256::from(1);
        let signature = counter.sign(&permit);
        let state = counter.chain.rpc("evm_snapshot", json!([])).unwrap();
        counter.chain.next_block_at(permit.valid_after - 100 + at);
        let settled = counter.settle(counter.payee, &permit, 0, &signature);
        assert_eq!(settled.succeeded, passes, "{at} s");
        counter.chain.rpc("evm_revert", json!([state])).unwrap();
    }
}

#[test]
fn a_nonce_that_was_given_up_is_never_settled() {
    let counter = Counter::open();
    let permit = counter.permit(None);
    let signature = counter.sign(&permit);
    let (word, bit) = permit2::place(permit.nonce);
    let give_up = IPermit2::invalidateUnorderedNoncesCall { wordPos: word, mask: bit };
    let receipt = counter.chain.transact(counter.payer, PERMIT2, give_up);
    let events = receipt.events::<IPermit2::UnorderedNonceInvalidation>();
    let event = IPermit2::UnorderedNonceInvalidation { owner: counter.payer, word, mask: bit };
    assert_eq!(events, [event]);
    assert!(counter.used(permit.nonce));
    assert!(!counter.settle(counter.payee, &permit, 0, &signature).succeeded);
    assert_eq!(counter.got(), 0);
}

#[test]
fn no_permit_draws_more_than_was_approved() {
    let counter = Counter::open();
    let mut permit = counter.permit(None);
    permit.amount = U256::from(5_000_001);
    let signature = counter.sign(&permit);
    assert!(!counter.settle(counter.payee, &permit, 0, &signature).succeeded);
    permit.amount = U256::from(5_000_000);
    let signature = counter.sign(&permit);
    assert!(counter.settle(counter.payee, &permit, 0, &signature).succeeded);
    let call = IERC20Approve::allowanceCall { owner: counter.payer, spender: PERMIT2 };
    assert_eq!(counter.chain.call(counter.token, call).unwrap(), U256::ZERO);
}

#[test]
fn a_contract_account_permits_by_its_own_judgement() {
    let counter = Counter::open();
    let mut permit = counter.permit(None);
    let signature = [1; 65];
    assert!(!counter.settle(counter.payee, &permit, 0, &signature).succeeded);
    counter.chain.put_trusting_wallet(counter.payer);
    permit.nonce += U256::from(1);
    assert!(counter.settle(counter.payee, &permit, 0, &signature).succeeded);
    assert_eq!(counter.got(), 20_000);
}

#[test]
fn what_a_call_of_a_proxy_draws_is_read_from_its_data() {
    let counter = Counter::open();
    let exact = counter.permit(None);
    let upto = counter.permit(Some(counter.facilitator));
    for (permit, amount, at) in [(exact, 20_000, EXACT_PROXY), (upto, 7, UPTO_PROXY)] {
        let mut data = permit.settle(U256::from(7), vec![0; 65]);
        let told = Drawn {
            owner: permit.from,
            nonce: permit.nonce,
            to: permit.to,
            token: permit.token,
            amount: U256::from(amount),
        };
        assert_eq!(drawn(at, &data), Some(told));
        // Facilitators may write their name behind the call.
        data.extend(hex!("8021").repeat(16));
        assert_eq!(drawn(at, &data), Some(told));
        assert_eq!(drawn(PERMIT2, &data), None);
        assert_eq!(drawn(at, data.get(..100).unwrap()), None);
    }
    assert_eq!(drawn(EXACT_PROXY, &upto.settle(U256::from(7), vec![0; 65])), None);
    assert_eq!(drawn(UPTO_PROXY, &[]), None);
}
