//! Whether the code at an address is the framework's: what Marque knows of it, and the comparison.
//!
//! Two deployments of one contract differ in what its constructor writes into the code (addresses, the
//! chain) and in the hash of its sources' metadata, which the compiler appends. The first is computed
//! for the deployment that is looked at and exchanged for its name, the second is blanked; what is left
//! is hashed and compared. So a contract that trusts another manager than the one in the
//! [`Framework`] is found as surely as one with another body.
//!
//! The hashes are of the code in npm `@metamask/delegation-abis` 2.0.0. What creates the contracts at
//! the public addresses, as the broadcast logs of the framework's repository have it for Base Sepolia
//! (commit d2811d6), leads to the same hashes and, with the deployer's rule for addresses, to those
//! addresses. The entry point that public chains have is that of npm `@account-abstraction/contracts` 0.7.0,
//! which leads to its address as well.

use super::{DelegationError, Framework, Part};
use alloy_primitives::{Address, B256, U256, b256, keccak256};
use alloy_sol_types::Eip712Domain;

/// What stands before the hash of the metadata, which has 32 bytes.
const METADATA: &[u8] = b"\xa2\x64ipfs\x58\x22\x12\x20";

/// `PUSH32`: how a contract has a value that its constructor computed.
const PUSH32: u8 = 0x7f;

impl Framework {
    /// Whether `code`, found where `part` is, is the code of that part and trusts the other parts of
    /// this framework.
    ///
    /// # Errors
    /// [`DelegationError::NoCode`], [`DelegationError::OtherCode`].
    pub fn check(&self, part: Part, code: &[u8]) -> Result<(), DelegationError> {
        let at = self.at(part);
        if code.is_empty() {
            return Err(DelegationError::NoCode { part, at });
        }
        match self.fingerprint(part, code) {
            Some(found) if found == known(part) => Ok(()),
            Some(PUBLIC_ENTRY_POINT) if part == Part::EntryPoint => Ok(()),
            _ => Err(DelegationError::OtherCode { part, at }),
        }
    }

    /// The hash of `code` without what differs between deployments of `part`; `None` for code that
    /// has one of our names for that in it already.
    fn fingerprint(&self, part: Part, code: &[u8]) -> Option<B256> {
        let mut code = code.to_vec();
        if let Some(at) = rfind(&code, METADATA) {
            let hash = code.iter_mut().skip(at + METADATA.len()).take(32);
            hash.for_each(|byte| *byte = 0);
        }
        for (name, value) in self.written_by_constructor(part) {
            let name = keccak256(name);
            if rfind(&code, name.as_slice()).is_some() {
                return None;
            }
            exchange(&mut code, value, name);
        }
        Some(keccak256(code))
    }

    /// What the constructor of `part` writes into its code, where it is deployed as this framework
    /// says.
    fn written_by_constructor(&self, part: Part) -> Vec<(&'static str, B256)> {
        let at = self.at(part);
        let typed = || {
            let domain = Eip712Domain::new(
                Some(part.name().into()),
                Some("1".into()),
                Some(U256::from(self.chain)),
                Some(at),
                None,
            );
            let chain = B256::from(U256::from(self.chain));
            vec![("this", at.into_word()), ("chain", chain), ("domain", domain.separator())]
        };
        match part {
            Part::Manager => typed(),
            Part::Account => {
                let trusts = [
                    ("manager", self.manager.into_word()),
                    ("entry point", self.entry_point.into_word()),
                ];
                typed().into_iter().chain(trusts).collect()
            }
            Part::EntryPoint => vec![("sender creator", first_child(at).into_word())],
            _ => Vec::new(),
        }
    }
}

/// What a contract at `at` creates first: RLP of its address and of the nonce 1, hashed.
fn first_child(at: Address) -> Address {
    Address::from_word(keccak256([&[0xd6, 0x94], at.as_slice(), &[1]].concat()))
}

/// Exchanges every pushed `value`.
fn exchange(code: &mut [u8], value: B256, name: B256) {
    let pushed = [&[PUSH32], value.as_slice()].concat();
    while let Some(at) = rfind(code, &pushed) {
        code.iter_mut().skip(at + 1).zip(name).for_each(|(byte, with)| *byte = with);
    }
}

fn rfind(code: &[u8], what: &[u8]) -> Option<usize> {
    code.windows(what.len()).rposition(|window| window == what)
}

/// The fingerprint of `part`.
const fn known(part: Part) -> B256 {
    match part {
        Part::EntryPoint => {
            b256!("e66ad57706561e09605c2f796b5f5cbad155f375f18557a4ff6382032ea5d155")
        }
        Part::Manager => {
            b256!("d25ec9336bd5975fe8906011e008c6b0f9b4f45d7cf3f8159d17cd1419f4073c")
        }
        Part::Account => {
            b256!("ddb30d6f83611c716be105e3e35670845521817f1e9e0ee884dda1b20deecd28")
        }
        Part::AllowedCalldata => {
            b256!("2e8dd7e95378cd0578453645bb8b2b247e38d5c1f6b5bdc65f4ae29026dbdb0e")
        }
        Part::AllowedMethods => {
            b256!("071db6fbe36077b1fff0e7ad18dc3a20dec86edd3eba5ade09a26dad23fd5c03")
        }
        Part::AllowedTargets => {
            b256!("511d6d621d69bd84f009c32082497e23fad7bca9736545d16a52c5153fd362bb")
        }
        Part::Erc20Period => {
            b256!("bfce6bdb7dbe3b4ea3c0d55d7fdd2f20dcc0287c0eb48e88fa62514520c60c22")
        }
        Part::Erc20Total => {
            b256!("d49bcff1bbc5bf0493d1f36756f3bf7220b64babd0af97c3fd47d16d6ea12ec2")
        }
        Part::LimitedCalls => {
            b256!("deb8eff38dc65245977a27f97d41236dfd53c08685cbae5381afd2efebb0e326")
        }
        Part::NativePeriod => {
            b256!("8b5a016d1664e7c72fc564c530f936f81bafffeea2e754a2b658a887406b389c")
        }
        Part::Nonce => b256!("6f9db638fe6642c71fe5cd47c527610ddc68d1acfd3c88b924545b29342c2ba3"),
        Part::Redeemer => {
            b256!("df05bd157a2ec3db7a798ae2e39d247561697483336e0ca80ec070192c26a8c0")
        }
        Part::Timestamp => {
            b256!("564efe624b79a570e6ecfe7a863c0d23fbd826b20171dfb23397d4053fe5fb05")
        }
        Part::ValueLte => {
            b256!("bfad42146bb97d3ecde13f36308fc2561e1ac5be8382d9f0bdcca7de0bcaedef")
        }
        Part::RollingSpend => ROLLING_SPEND,
    }
}

/// The fingerprint of the entry point that public chains have, which another compiler made.
const PUBLIC_ENTRY_POINT: B256 =
    b256!("8b41fdda8dde708b945b52f327fe33143417827d0ffac5c91af5107c969d36e6");

/// The hash of what runs where a `RollingSpendEnforcer` is.
pub const ROLLING_SPEND: B256 =
    b256!("2e9244f6f5ce7f7ba1aca1508b1c5ff168d59917d1bc200e46797a8541294f15");

/// The hash of what runs where an [`OwnerAccount`](super::OwnerAccount) is: the proxy. Whose code it
/// runs on, `getImplementation()` says.
pub const ACCOUNT_PROXY: B256 =
    b256!("e40314a2c5743a638367b1f9c32a6cd8c626dc4b7bed49598f6b3f560a897a56");
