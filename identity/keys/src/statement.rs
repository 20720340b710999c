//! The owner's acts, signed.

use crate::Key;
use alloy_primitives::B256;
use marque_policies::{SignedStatement, Statement};

/// Signs an act of the owner for the journal of `origin`, on `chain` (EIP-155 id).
///
/// `document` is the policy document that an adoption speaks of, as the owner wrote it. Whether the
/// signer is the owner is for the steward to judge.
#[must_use]
pub fn sign_statement(
    key: &Key,
    statement: Statement,
    chain: u64,
    origin: B256,
    document: Option<String>,
) -> SignedStatement {
    let signature = key.sign_digest(statement.digest(chain, origin));
    let signature = format!("0x{}", hex::encode(signature));
    SignedStatement { statement, signature, document, countersignature: None }
}

/// Adds the new owner's own signature to a rotation that the owner in force has signed: the proof
/// that the key exists. The two keys need never be on one machine.
#[must_use]
pub fn countersign(
    key: &Key,
    signed: SignedStatement,
    chain: u64,
    origin: B256,
) -> SignedStatement {
    let signature = key.sign_digest(signed.statement.digest(chain, origin));
    let countersignature = Some(format!("0x{}", hex::encode(signature)));
    SignedStatement { countersignature, ..signed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    #[test]
    fn a_statement_recovers_to_its_signer_in_its_own_journal_only() {
        let key = Key::from_bytes(&Zeroizing::new([7; 32])).unwrap();
        let origin = B256::repeat_byte(1);
        let signed = sign_statement(&key, Statement::Thaw { frozen_at: 9 }, 31337, origin, None);
        let signature = hex::decode(signed.signature.trim_start_matches("0x")).unwrap();
        let signer = |chain, origin| {
            marque_contracts::recover(signed.statement.digest(chain, origin), &signature).unwrap()
        };
        assert_eq!(signer(31337, origin), key.address());
        assert_ne!(signer(1, origin), key.address());
        assert_ne!(signer(31337, B256::repeat_byte(2)), key.address());
    }
}
