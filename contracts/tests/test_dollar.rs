//! The development dollar on a real chain: what it must share with USDC for a payment to mean the same.

#![cfg(test)]

mod support;

use alloy_primitives::{Address, B256, U256, uint};
use marque_contracts::{
    Authorization, Contract, IERC20, IERC3009, IERC3009Bytes, TestDollar, TokenDomain,
    eip3009_cancel_digest, eip3009_digest, recover,
};
use serde_json::json;
use support::{Chain, Receipt};

const PAYMENT: &str =
    "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce";
const ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

/// A chain with the dollar, of which the payer holds 10.
struct Bank {
    chain: Chain,
    token: Address,
    payer: Address,
    payee: Address,
    stranger: Address,
}

impl Bank {
    fn open() -> Self {
        let chain = Chain::start();
        let token = chain.deploy(Contract::TestDollar);
        let [payer, payee, stranger] = [chain.accounts[1], chain.accounts[2], chain.accounts[3]];
        let bank = Self { chain, token, payer, payee, stranger };
        let mint = TestDollar::mintCall { to: payer, value: U256::from(10_000_000) };
        assert!(bank.chain.transact(stranger, token, mint).succeeded);
        bank
    }

    fn domain(&self) -> TokenDomain {
        TokenDomain::test_dollar(Chain::ID, self.token)
    }

    fn authorization(&self) -> Authorization {
        let now = self.chain.now();
        Authorization {
            from: self.payer,
            to: self.payee,
            value: U256::from(20_000),
            valid_after: now - 1,
            valid_before: now + 300,
            nonce: B256::repeat_byte(7),
        }
    }

    fn sign(&self, primary: &str, a: &Authorization) -> Vec<u8> {
        let message = json!({
            "from": a.from, "to": a.to, "value": a.value.to_string(),
            "validAfter": a.valid_after.to_string(), "validBefore": a.valid_before.to_string(),
            "nonce": a.nonce,
        });
        self.chain.sign(a.from, self.json_domain(), &[(primary, PAYMENT)], message)
    }

    fn json_domain(&self) -> serde_json::Value {
        json!({
            "name": "Marque Test Dollar", "version": "1",
            "chainId": Chain::ID, "verifyingContract": self.token,
        })
    }

    fn settle(&self, a: &Authorization, signature: &[u8]) -> Receipt {
        let call = IERC3009Bytes::transferWithAuthorizationCall {
            from: a.from,
            to: a.to,
            value: a.value,
            validAfter: U256::from(a.valid_after),
            validBefore: U256::from(a.valid_before),
            nonce: a.nonce,
            signature: signature.to_vec().into(),
        };
        self.chain.transact(self.stranger, self.token, call)
    }

    fn settle_by_parts(&self, a: &Authorization, signature: &[u8]) -> Receipt {
        let call = IERC3009::transferWithAuthorizationCall {
            from: a.from,
            to: a.to,
            value: a.value,
            validAfter: U256::from(a.valid_after),
            validBefore: U256::from(a.valid_before),
            nonce: a.nonce,
            v: signature[64],
            r: B256::from_slice(&signature[..32]),
            s: B256::from_slice(&signature[32..64]),
        };
        self.chain.transact(self.stranger, self.token, call)
    }

    fn paid(&self) -> U256 {
        self.chain.call(self.token, IERC20::balanceOfCall { account: self.payee }).unwrap()
    }
}

/// The other encoding of a signature: s mirrored, v flipped.
fn mirrored(signature: &[u8]) -> Vec<u8> {
    let s = ORDER - U256::from_be_slice(&signature[32..64]);
    [&signature[..32], &s.to_be_bytes::<32>(), &[55 - signature[64]]].concat()
}

#[test]
fn the_dollar_is_what_its_binding_says() {
    let bank = Bank::open();
    assert_eq!(bank.chain.call(bank.token, TestDollar::nameCall {}).unwrap(), bank.domain().name);
    assert_eq!(
        bank.chain.call(bank.token, TestDollar::versionCall {}).unwrap(),
        bank.domain().version
    );
    assert_eq!(bank.chain.call(bank.token, IERC20::symbolCall {}).unwrap(), "tUSD");
    assert_eq!(bank.chain.call(bank.token, IERC20::decimalsCall {}).unwrap(), 6);
    assert_eq!(
        bank.chain.call(bank.token, IERC3009::DOMAIN_SEPARATORCall {}).unwrap(),
        bank.domain().separator()
    );
}

#[test]
fn a_signature_made_elsewhere_recovers_under_our_digests() {
    let bank = Bank::open();
    let a = bank.authorization();
    let payment = bank.sign("TransferWithAuthorization", &a);
    assert_eq!(recover(eip3009_digest(&bank.domain(), &a), &payment), Ok(bank.payer));

    let cancellation = bank.chain.sign(
        bank.payer,
        bank.json_domain(),
        &[("CancelAuthorization", "address authorizer,bytes32 nonce")],
        json!({ "authorizer": bank.payer, "nonce": a.nonce }),
    );
    let digest = eip3009_cancel_digest(&bank.domain(), bank.payer, a.nonce);
    assert_eq!(recover(digest, &cancellation), Ok(bank.payer));
}

#[test]
fn an_authorization_moves_the_money_once_whichever_form_brings_it() {
    let bank = Bank::open();
    let first = bank.authorization();
    let signature = bank.sign("TransferWithAuthorization", &first);
    let receipt = bank.settle(&first, &signature);
    assert!(receipt.succeeded);
    assert_eq!(
        receipt.events::<IERC3009::AuthorizationUsed>(),
        [IERC3009::AuthorizationUsed { authorizer: bank.payer, nonce: first.nonce }]
    );
    assert_eq!(
        receipt.events::<IERC20::Transfer>(),
        [IERC20::Transfer { from: bank.payer, to: bank.payee, value: first.value }]
    );
    assert!(!bank.settle(&first, &signature).succeeded);
    assert!(!bank.settle_by_parts(&first, &signature).succeeded);

    let second = Authorization { nonce: B256::repeat_byte(8), ..first };
    let signature = bank.sign("TransferWithAuthorization", &second);
    assert!(bank.settle_by_parts(&second, &signature).succeeded);
    assert!(!bank.settle(&second, &signature).succeeded);
    assert_eq!(bank.paid(), U256::from(40_000));
}

#[test]
fn nothing_of_an_authorization_can_be_changed_by_who_brings_it() {
    let bank = Bank::open();
    let a = bank.authorization();
    let signature = bank.sign("TransferWithAuthorization", &a);
    for changed in [
        Authorization { to: bank.stranger, ..a },
        Authorization { value: a.value + U256::ONE, ..a },
        Authorization { valid_after: a.valid_after - 1, ..a },
        Authorization { valid_before: a.valid_before + 1, ..a },
        Authorization { nonce: B256::repeat_byte(8), ..a },
        Authorization { from: Address::ZERO, ..a },
    ] {
        assert!(!bank.settle(&changed, &signature).succeeded, "{changed:?}");
        assert!(!bank.settle_by_parts(&changed, &signature).succeeded, "{changed:?}");
    }
    assert!(bank.settle(&a, &signature).succeeded);
}

#[test]
fn the_second_encoding_of_a_signature_is_refused() {
    let bank = Bank::open();
    let a = bank.authorization();
    let signature = bank.sign("TransferWithAuthorization", &a);
    assert!(!bank.settle(&a, &mirrored(&signature)).succeeded);
    assert!(!bank.settle_by_parts(&a, &mirrored(&signature)).succeeded);
    assert!(bank.settle(&a, &signature).succeeded);
}

#[test]
fn an_authorization_is_valid_strictly_inside_its_window() {
    let bank = Bank::open();
    let start = bank.chain.now() + 100;
    let a = Authorization { valid_after: start, valid_before: start + 3, ..bank.authorization() };
    let signature = bank.sign("TransferWithAuthorization", &a);
    bank.chain.next_block_at(start);
    assert!(!bank.settle(&a, &signature).succeeded);
    bank.chain.next_block_at(start + 1);
    assert!(bank.settle(&a, &signature).succeeded);

    let late = Authorization { nonce: B256::repeat_byte(8), ..a };
    let signature = bank.sign("TransferWithAuthorization", &late);
    bank.chain.next_block_at(start + 3);
    assert!(!bank.settle(&late, &signature).succeeded);
}

#[test]
fn a_window_is_never_read_as_block_numbers() {
    let bank = Bank::open();
    let flag = 1_u64 << 47;
    let a = Authorization { valid_after: flag, valid_before: flag + 1_000, ..bank.authorization() };
    let signature = bank.sign("TransferWithAuthorization", &a);
    assert!(!bank.settle(&a, &signature).succeeded);
}

#[test]
fn a_cancelled_authorization_is_never_settled() {
    let bank = Bank::open();
    let a = bank.authorization();
    let payment = bank.sign("TransferWithAuthorization", &a);
    let types = ("CancelAuthorization", "address authorizer,bytes32 nonce");
    let message = json!({ "authorizer": bank.payer, "nonce": a.nonce });
    let signature = bank.chain.sign(bank.payer, bank.json_domain(), &[types], message);
    let cancel = IERC3009Bytes::cancelAuthorizationCall {
        authorizer: bank.payer,
        nonce: a.nonce,
        signature: signature.into(),
    };
    let receipt = bank.chain.transact(bank.stranger, bank.token, cancel);
    assert_eq!(
        receipt.events::<IERC3009::AuthorizationCanceled>(),
        [IERC3009::AuthorizationCanceled { authorizer: bank.payer, nonce: a.nonce }]
    );
    assert!(!bank.settle(&a, &payment).succeeded);
    let state = IERC3009::authorizationStateCall { authorizer: bank.payer, nonce: a.nonce };
    assert!(bank.chain.call(bank.token, state).unwrap());
}

#[test]
fn only_the_payee_receives_with_an_authorization() {
    let bank = Bank::open();
    let a = bank.authorization();
    let signature = bank.sign("ReceiveWithAuthorization", &a);
    assert!(!bank.settle(&a, &signature).succeeded, "the two types are two messages");
    let call = || IERC3009Bytes::receiveWithAuthorizationCall {
        from: a.from,
        to: a.to,
        value: a.value,
        validAfter: U256::from(a.valid_after),
        validBefore: U256::from(a.valid_before),
        nonce: a.nonce,
        signature: signature.clone().into(),
    };
    assert!(!bank.chain.transact(bank.stranger, bank.token, call()).succeeded);
    assert!(bank.chain.transact(bank.payee, bank.token, call()).succeeded);
    assert_eq!(bank.paid(), a.value);
}

#[test]
fn a_contract_account_pays_by_its_own_judgement() {
    let bank = Bank::open();
    let wallet = Address::repeat_byte(0x12);
    let a = Authorization { from: wallet, ..bank.authorization() };
    let mint = TestDollar::mintCall { to: wallet, value: a.value };
    assert!(bank.chain.transact(bank.stranger, bank.token, mint).succeeded);
    assert!(!bank.settle(&a, b"any").succeeded, "it has no code yet");
    bank.chain.put_trusting_wallet(wallet);
    assert!(bank.settle(&a, b"any").succeeded);
}
