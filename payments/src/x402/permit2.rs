//! The message of a Permit2 permit under an x402 proxy, hashed from its wire form.
//!
//! Both sides of the counter need to know what a permit's signature is under: the buyer to see that
//! its steward signed what was proposed, the seller to see that a payment is its payer's.
//!
//! Source: Permit2 `SignatureTransfer`; the witness types of the x402 proxies for `exact` and `upto`.

use super::{Permit2Authorization, terms::Method};
use alloy_primitives::{Address, B256, U256, address, keccak256};

/// The Permit2 contract, on every chain.
pub const PERMIT2: Address = address!("0x000000000022D473030F116dDEE9F6B43aC78BA3");

/// The proxy that spends a permit for `exact`, on every chain.
pub const EXACT_PROXY: Address = address!("0x402085c248EeA27D92E8b30b2C58ed07f9E20001");

/// The proxy that spends a permit for `upto`, on every chain.
pub const UPTO_PROXY: Address = address!("0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002");

const PERMIT: &str = "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,\
                      uint256 nonce,uint256 deadline,Witness witness)\
                      TokenPermissions(address token,uint256 amount)";

/// Who may spend a permit of this method, if it is by Permit2.
#[must_use]
pub const fn spender(method: Method) -> Option<Address> {
    match method {
        Method::Eip3009 => None,
        Method::Permit2 => Some(EXACT_PROXY),
        Method::Upto { .. } => Some(UPTO_PROXY),
    }
}

/// The EIP-712 digest that is signed for a permit on `chain`. The witness has a facilitator or has
/// none, and its type follows from that.
#[must_use]
pub fn digest(chain: u64, permit: &Permit2Authorization) -> B256 {
    let domain = hash(
        "EIP712Domain(string name,uint256 chainId,address verifyingContract)",
        &[keccak256("Permit2"), number(U256::from(chain)), PERMIT2.into_word()],
    );
    let (witness_type, witness) = witness(permit);
    let permitted = hash(
        "TokenPermissions(address token,uint256 amount)",
        &[permit.permitted.token.into_word(), number(permit.permitted.amount)],
    );
    let message = hash(
        &format!("{PERMIT}{witness_type}"),
        &[
            permitted,
            permit.spender.into_word(),
            number(permit.nonce),
            number(U256::from(permit.deadline)),
            witness,
        ],
    );
    keccak256([&[0x19, 0x01], domain.as_slice(), message.as_slice()].concat())
}

fn witness(permit: &Permit2Authorization) -> (&'static str, B256) {
    let to = permit.witness.to.into_word();
    let after = number(U256::from(permit.witness.valid_after));
    match permit.witness.facilitator {
        None => {
            let kind = "Witness(address to,uint256 validAfter)";
            (kind, hash(kind, &[to, after]))
        }
        Some(facilitator) => {
            let kind = "Witness(address to,address facilitator,uint256 validAfter)";
            (kind, hash(kind, &[to, facilitator.into_word(), after]))
        }
    }
}

fn hash(kind: &str, fields: &[B256]) -> B256 {
    let mut bytes = keccak256(kind).to_vec();
    fields.iter().for_each(|field| bytes.extend_from_slice(field.as_slice()));
    keccak256(bytes)
}

const fn number(value: U256) -> B256 {
    B256::new(value.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x402::{Permit2Witness, Permitted};
    use alloy_sol_types::{Eip712Domain, SolStruct as _};

    mod exact {
        alloy_sol_types::sol! {
            struct TokenPermissions { address token; uint256 amount; }
            struct Witness { address to; uint256 validAfter; }
            struct PermitWitnessTransferFrom {
                TokenPermissions permitted; address spender; uint256 nonce; uint256 deadline;
                Witness witness;
            }
        }
    }

    mod upto {
        alloy_sol_types::sol! {
            struct TokenPermissions { address token; uint256 amount; }
            struct Witness { address to; address facilitator; uint256 validAfter; }
            struct PermitWitnessTransferFrom {
                TokenPermissions permitted; address spender; uint256 nonce; uint256 deadline;
                Witness witness;
            }
        }
    }

    #[test]
    fn the_digest_is_the_one_of_the_typed_data() {
        let (token, to) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let facilitator = Address::repeat_byte(3);
        let (amount, nonce, deadline) = (U256::from(5), U256::MAX, U256::from(1_800_000_120));
        let domain = Eip712Domain::new(
            Some("Permit2".into()),
            None,
            Some(U256::from(84_532)),
            Some(PERMIT2),
            None,
        );
        let mut permit = Permit2Authorization {
            from: Address::repeat_byte(9),
            permitted: Permitted { token, amount },
            spender: EXACT_PROXY,
            nonce,
            deadline: 1_800_000_120,
            witness: Permit2Witness { to, facilitator: None, valid_after: 7 },
        };
        let typed = exact::PermitWitnessTransferFrom {
            permitted: exact::TokenPermissions { token, amount },
            spender: EXACT_PROXY,
            nonce,
            deadline,
            witness: exact::Witness { to, validAfter: U256::from(7) },
        };
        assert_eq!(digest(84_532, &permit), typed.eip712_signing_hash(&domain));
        permit.witness.facilitator = Some(facilitator);
        permit.spender = UPTO_PROXY;
        let typed = upto::PermitWitnessTransferFrom {
            permitted: upto::TokenPermissions { token, amount },
            spender: UPTO_PROXY,
            nonce,
            deadline,
            witness: upto::Witness { to, facilitator, validAfter: U256::from(7) },
        };
        assert_eq!(digest(84_532, &permit), typed.eip712_signing_hash(&domain));
    }
}
