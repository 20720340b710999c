//! One unlocked key.

use crate::KeyError;
use alloy::{
    consensus::{SignableTransaction as _, TxEip1559},
    eips::eip2718::Encodable2718 as _,
    signers::{Signature, SignerSync as _, local::PrivateKeySigner},
};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use std::fmt;
use zeroize::Zeroizing;

/// A secp256k1 key. Wiped from memory when dropped; prints as its address.
#[derive(Clone)]
pub struct Key(PrivateKeySigner);

/// An EIP-1559 transaction without an access list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsignedTransaction {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The sender's account nonce.
    pub nonce: u64,
    /// The receiver; `None` creates a contract.
    pub to: Option<Address>,
    /// Wei.
    pub value: U256,
    /// Calldata, or the creation code.
    pub data: Bytes,
    /// Most gas that it may use.
    pub gas_limit: u64,
    /// Most that is paid for a unit of gas, in wei.
    pub max_fee_per_gas: u128,
    /// Most of it that goes to the block's maker, in wei.
    pub max_priority_fee_per_gas: u128,
}

/// A signed transaction: bytes to broadcast, and the hash under which the chain will know them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTransaction {
    /// EIP-2718 envelope, as `eth_sendRawTransaction` takes it.
    pub raw: Bytes,
    /// Keccak-256 of `raw`.
    pub hash: B256,
}

impl Key {
    /// The key with these 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::NotAKey`] for zero and for numbers past the group order.
    pub fn from_bytes(bytes: &Zeroizing<[u8; 32]>) -> Result<Self, KeyError> {
        PrivateKeySigner::from_slice(bytes.as_slice()).map(Self).map_err(|_| KeyError::NotAKey)
    }

    /// The account's address.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.0.address()
    }

    /// Signs a digest: 65 bytes `r || s || v` with a low `s` and `v` 27 or 28, the same for the same
    /// digest (RFC 6979).
    #[must_use]
    pub fn sign_digest(&self, digest: B256) -> [u8; 65] {
        self.sign(digest).as_bytes()
    }

    /// Signs an EIP-1559 transaction.
    ///
    /// # Errors
    /// [`KeyError::Fees`] where the priority fee is above the whole fee.
    pub fn sign_transaction(
        &self,
        transaction: &UnsignedTransaction,
    ) -> Result<SignedTransaction, KeyError> {
        let max = transaction.max_fee_per_gas;
        let priority = transaction.max_priority_fee_per_gas;
        if priority > max {
            return Err(KeyError::Fees { max, priority });
        }
        let transaction = TxEip1559 {
            chain_id: transaction.chain_id,
            nonce: transaction.nonce,
            gas_limit: transaction.gas_limit,
            max_fee_per_gas: max,
            max_priority_fee_per_gas: priority,
            to: transaction.to.map_or(TxKind::Create, TxKind::Call),
            value: transaction.value,
            input: transaction.data.clone(),
            ..TxEip1559::default()
        };
        let signature = self.sign(transaction.signature_hash());
        let signed = transaction.into_signed(signature);
        Ok(SignedTransaction { raw: signed.encoded_2718().into(), hash: *signed.hash() })
    }

    #[expect(
        clippy::expect_used,
        reason = "fails for one digest in 2^256; going on without a signature would be worse"
    )]
    fn sign(&self, digest: B256) -> Signature {
        self.0.sign_hash_sync(&digest).expect("a local key signs every digest").normalized_s()
    }

    /// The secret itself, for the keystore.
    pub(crate) fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.address()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{address, b256, bytes, hex};

    /// The first key of the mnemonic that every development chain knows.
    fn key() -> Key {
        let bytes = b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
        Key::from_bytes(&Zeroizing::new(bytes.0)).unwrap()
    }

    fn transaction() -> UnsignedTransaction {
        UnsignedTransaction {
            chain_id: 31337,
            nonce: 0,
            to: Some(address!("70997970C51812dc3A010C7d01b50e0d17dc79C8")),
            value: U256::from(1_000_000_000_000_000_000_u64),
            data: bytes!("c0ffee"),
            gas_limit: 30_000,
            max_fee_per_gas: 2_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
        }
    }

    #[test]
    fn a_key_has_the_address_that_the_chain_gives_it_and_prints_nothing_else() {
        assert_eq!(key().address(), address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
        assert_eq!(format!("{:?}", key()), "Key(0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266)");
    }

    #[test]
    fn signatures_are_deterministic_low_and_recover_to_the_key() {
        for seed in 0_u8..32 {
            let digest = B256::repeat_byte(seed);
            let signature = key().sign_digest(digest);
            assert_eq!(signature, key().sign_digest(digest));
            assert!(matches!(signature[64], 27 | 28));
            // Refuses a high s by itself.
            assert_eq!(marque_contracts::recover(digest, &signature), Ok(key().address()));
        }
    }

    #[test]
    fn a_priority_fee_above_the_whole_fee_is_not_signed() {
        let foolish = UnsignedTransaction { max_fee_per_gas: 1, ..transaction() };
        assert!(matches!(key().sign_transaction(&foolish), Err(KeyError::Fees { .. })));
    }

    #[test]
    fn zero_and_numbers_past_the_order_are_no_keys() {
        for bytes in [[0; 32], [0xff; 32]] {
            assert!(Key::from_bytes(&Zeroizing::new(bytes)).is_err());
        }
    }

    /// The same transactions, signed by the Python library `eth-account` 0.14.
    #[test]
    fn a_transaction_is_signed_as_other_wallets_sign_it() {
        let call = key().sign_transaction(&transaction()).unwrap();
        let create = UnsignedTransaction { to: None, ..transaction() };
        let create = key().sign_transaction(&create).unwrap();
        let raw = hex!(
            "02f877827a6980843b9aca0084773594008275309470997970c51812dc3a010c7d01b50e0d17dc79c8880de0b6b3a764"
            "000083c0ffeec001a0e657872e338809dd02477d52df190735ec712993135472ae2a5cda8049b3064aa00405231ac9a7"
            "982eb3f9255004881422eb23681d9f7d2154ca843fa5b20e9b13"
        );
        assert_eq!(call.raw[..], raw);
        assert_eq!(
            call.hash,
            b256!("c1a3af7f04d5ba821384adcc5f474571684bc573a53d66a6e3fb5d77c2618236")
        );
        let raw = hex!(
            "02f863827a6980843b9aca00847735940082753080880de0b6b3a764000083c0ffeec001a0e6b5341e4e482de7499381"
            "1febd71ffc2695cf85c43308ff3ea52690dc8c852ea068323d4421b921d55d37b9425a3a6eedcca6ad7d39c4f8b9221e"
            "33a62be524b7"
        );
        assert_eq!(create.raw[..], raw);
        assert_eq!(
            create.hash,
            b256!("362e51aaba18154cafbbc297e54d6abf317fa114450f795b3f28307a86a7faa3")
        );
    }
}
