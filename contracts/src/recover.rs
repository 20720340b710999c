//! Who signed a digest, by the rules that the contracts apply themselves.
//!
//! A signature that this accepts and a contract refuses would be money promised and not paid; one
//! that exists in two encodings would let a log be written twice. So exactly one encoding of each
//! signature passes: 65 bytes `r || s || v` with the smaller `s` (EIP-2).

use alloy_primitives::{Address, B256, Signature, U256, uint};

/// Half of the group order of secp256k1: the largest `s` of a canonical signature.
const HALF_ORDER: U256 =
    uint!(0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0_U256);

/// Why no signer could be recovered from a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Another length than 65 bytes.
    #[error("a signature has 65 bytes r || s || v, not {0}")]
    Length(usize),
    /// `s` in the upper half of the group order: the second encoding of a signature.
    #[error("the signature's s is above half the group order (EIP-2); sign again with a low s")]
    HighS,
    /// A last byte that is no recovery id.
    #[error("the signature's v is {0}, not 27 or 28 (or 0 or 1)")]
    RecoveryId(u8),
    /// No public key belongs to these numbers.
    #[error("the signature belongs to no key")]
    NoKey,
}

/// The address whose key signed `digest`.
///
/// `signature` is `r || s || v`, 65 bytes, `v` being 27 or 28; 0 and 1 are taken as well, since some
/// signers leave out the 27. The address says who signed these 32 bytes, and says nothing of whether
/// that account may do what they mean: compare it with the one expected.
///
/// # Errors
/// [`SignatureError`] for another length, for an `s` in the upper half of the group order (EIP-2),
/// for another `v`, and for numbers to which no key belongs.
pub fn recover(digest: B256, signature: &[u8]) -> Result<Address, SignatureError> {
    let [rs @ .., v] = signature else { return Err(SignatureError::Length(0)) };
    let rs: &[u8; 64] = rs.try_into().map_err(|_| SignatureError::Length(signature.len()))?;
    let odd_y = match v {
        0 | 27 => false,
        1 | 28 => true,
        v => return Err(SignatureError::RecoveryId(*v)),
    };
    let signature = Signature::from_bytes_and_parity(rs, odd_y);
    if signature.s() > HALF_ORDER {
        return Err(SignatureError::HighS);
    }
    signature.recover_address_from_prehash(&digest).map_err(|_| SignatureError::NoKey)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{address, b256, hex};

    // The worked example of web3.js's documentation, `accounts.sign("Some data", ...)`.
    const SIGNER: Address = address!("2c7536E3605D9C16a7a3D7b1898e529396a65c23");
    const DIGEST: B256 = b256!("1da44b586eb0729ff70a73c326926f6ed5a25f5b056e7f47fbc6e58d86871655");
    const SIGNATURE: [u8; 65] = hex!(
        "b91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd"
        "6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a029"
        "1c"
    );
    const ORDER: U256 =
        uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

    fn with(at: usize, bytes: &[u8]) -> [u8; 65] {
        let mut signature = SIGNATURE;
        signature[at..at + bytes.len()].copy_from_slice(bytes);
        signature
    }

    #[test]
    fn a_known_signature_recovers_to_its_signer() {
        assert_eq!(recover(DIGEST, &SIGNATURE), Ok(SIGNER));
        assert_eq!(recover(DIGEST, &with(64, &[1])), Ok(SIGNER));
    }

    #[test]
    fn the_other_parity_is_another_signer() {
        let other = recover(DIGEST, &with(64, &[27])).unwrap();
        assert_ne!(other, SIGNER);
        assert_eq!(recover(DIGEST, &with(64, &[0])), Ok(other));
    }

    #[test]
    fn the_second_encoding_of_a_signature_is_refused() {
        let s = ORDER - U256::from_be_slice(&SIGNATURE[32..64]);
        let mut mirrored = with(32, &s.to_be_bytes::<32>());
        mirrored[64] = 27;
        assert_eq!(recover(DIGEST, &mirrored), Err(SignatureError::HighS));
    }

    #[test]
    fn half_the_order_is_the_largest_s() {
        assert_eq!(HALF_ORDER, ORDER >> 1);
        let above = HALF_ORDER + U256::ONE;
        assert_eq!(
            recover(DIGEST, &with(32, &above.to_be_bytes::<32>())),
            Err(SignatureError::HighS)
        );
        assert_ne!(
            recover(DIGEST, &with(32, &HALF_ORDER.to_be_bytes::<32>())),
            Err(SignatureError::HighS)
        );
    }

    #[test]
    fn only_four_recovery_ids_pass() {
        for v in (2..27).chain(29..=255) {
            assert_eq!(recover(DIGEST, &with(64, &[v])), Err(SignatureError::RecoveryId(v)));
        }
    }

    #[test]
    fn another_length_is_refused() {
        let long = [&SIGNATURE[..], &[0x1c]].concat();
        for signature in [&[][..], &SIGNATURE[..64], &long] {
            let length = SignatureError::Length(signature.len());
            assert_eq!(recover(DIGEST, signature), Err(length));
        }
    }

    #[test]
    fn numbers_of_no_key_are_refused() {
        assert_eq!(recover(DIGEST, &with(0, &[0; 32])), Err(SignatureError::NoKey));
        assert_eq!(recover(DIGEST, &with(32, &[0; 32])), Err(SignatureError::NoKey));
    }
}
