//! The framework's code, for chains that lack it: read from the npm package that its makers publish,
//! never kept in this repository.
//!
//! INVARIANT: no code leaves here whose hash is not pinned here (pinned by
//! `code_with_one_byte_changed_is_refused`).

use super::{
    DelegationError, Framework, Part,
    deployer::{address_of, deployment},
};
use crate::{Contract, bytecode};
use alloy_primitives::{Address, B256, Bytes, b256, hex, keccak256};
use alloy_sol_types::SolValue as _;
use std::{env, fs, path::PathBuf};

/// Names the package's folder outright.
const VARIABLE: &str = "MARQUE_DELEGATION_ABIS";

/// Where npm puts it, below the repository's root.
const FOLDER: &str = "contracts/node_modules/@metamask/delegation-abis";

/// The npm package `@metamask/delegation-abis` 2.0.0, installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package(PathBuf);

impl Package {
    /// The package in this folder.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The package that `MARQUE_DELEGATION_ABIS` names, else the one in the repository that the
    /// current folder or this program is in.
    ///
    /// # Errors
    /// [`DelegationError::Named`] where that is another folder, [`DelegationError::NoPackage`].
    pub fn find() -> Result<Self, DelegationError> {
        if let Some(named) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            let folder = PathBuf::from(named);
            let there = folder.join("dist/bytecode").is_dir();
            return if there { Ok(Self(folder)) } else { Err(DelegationError::Named(folder)) };
        }
        let places = [env::current_dir().ok(), env::current_exe().ok()];
        places
            .iter()
            .flatten()
            .flat_map(|place| place.ancestors().map(|folder| folder.join(FOLDER)))
            .find(|folder| folder.is_dir())
            .map(Self)
            .ok_or(DelegationError::NoPackage)
    }

    /// The creation code of `part`, without arguments of its constructor. The enforcer of our own
    /// needs no package.
    ///
    /// # Errors
    /// [`DelegationError::Package`] where the file is missing, or is not what is pinned.
    pub fn creation(&self, part: Part) -> Result<Bytes, DelegationError> {
        let Some(pinned) = pinned(part) else {
            return Ok(bytecode(Contract::RollingSpendEnforcer));
        };
        let path = self.0.join("dist/bytecode").join(part.name()).with_extension("mjs");
        let wrong = |wrong: String| DelegationError::Package { path: path.clone(), wrong };
        let text = fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        let code = quoted(&text).ok_or_else(|| wrong("it holds no code".to_owned()))?;
        let hash = keccak256(&code);
        if hash != pinned {
            return Err(wrong(format!("its code has the hash {hash}, and {pinned} is pinned")));
        }
        Ok(code)
    }

    /// What puts the whole framework on the chain `chain`: transactions to
    /// [`DEPLOYER`](super::DEPLOYER), to be sent in this order, by anybody. Where a part is there
    /// already, its transaction fails and can be left out. `pauser` owns the manager and may pause it.
    ///
    /// # Errors
    /// As [`Package::creation`].
    pub fn deployment(&self, chain: u64, pauser: Address) -> Result<Deployment, DelegationError> {
        // A part's arguments are parts before it.
        let mut framework = Framework::of(chain, |_| Address::ZERO);
        let mut transactions = Vec::new();
        for part in Part::ALL.iter().copied() {
            let creation = self.creation(part)?;
            let arguments = match part {
                Part::Manager => pauser.abi_encode(),
                Part::Account => (framework.manager, framework.entry_point).abi_encode(),
                _ => Vec::new(),
            };
            let creation = [&creation[..], &arguments].concat();
            let placed = address_of(B256::ZERO, &creation);
            let before = framework;
            framework = Framework::of(chain, |it| if it == part { placed } else { before.at(it) });
            transactions.push((placed, deployment(B256::ZERO, &creation)));
        }
        Ok(Deployment { framework, transactions })
    }
}

/// How a framework gets onto a chain that lacks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Where everything is afterwards.
    pub framework: Framework,
    /// For each part where it will be, and the data of the transaction to
    /// [`DEPLOYER`](super::DEPLOYER) that puts it there.
    pub transactions: Vec<(Address, Bytes)>,
}

/// The first string of a module, which is all that it has.
fn quoted(text: &str) -> Option<Bytes> {
    let digits = text.split('"').nth(1)?.strip_prefix("0x")?;
    hex::decode(digits).ok().map(Bytes::from)
}

/// The hash of the creation code in the package's version 2.0.0.
const fn pinned(part: Part) -> Option<B256> {
    Some(match part {
        Part::EntryPoint => {
            b256!("7432e2703adbea1120639fccd8e7134b7f43cffc8525dc0423849dfab2409cf3")
        }
        Part::Manager => b256!("16c6f93163626c1293bfe2341b3501ca059db8cd184abeae10bad6f26e992653"),
        Part::Account => b256!("6b5e983dfaef1fa2faacab260f66228c93270aef9c83d443d7a7bc45e9041cd1"),
        Part::AllowedCalldata => {
            b256!("38dbfba3662883b326a2feed3cead4fe93a490e6f25492bbc991ec5ec8bc1b79")
        }
        Part::AllowedMethods => {
            b256!("162fb6a13b7cc41c0443abd633ef77832109bab1a3dadd4e1aadc6b6e0f6061c")
        }
        Part::AllowedTargets => {
            b256!("fc2787b7250255c6d274a502e1d8b36ecc7d6743351096366eba1a34372f1804")
        }
        Part::Erc20Period => {
            b256!("31255a95baf79864773e06b7fab02d7f86e15720ab15d2b0c6b808a4de53b760")
        }
        Part::Erc20Total => {
            b256!("af7ac4f88b5f6e442971e88190e7536ab9d5df02681037a3e4aa7bca5bd572fd")
        }
        Part::LimitedCalls => {
            b256!("139615de6fa6ee219746b61feb8f07db4a8aae5f06ee19f716d17c8a7e4db852")
        }
        Part::NativePeriod => {
            b256!("09107e0791be2fe69c840de6148b1bf80860f1bff560b13c568bba529af62a77")
        }
        Part::Nonce => b256!("b01009dfc230ad870d1a8e0397ed51af04d8c1144882f62ee5f9c7ee2572c17d"),
        Part::Redeemer => b256!("bc4d0d01bac5457181585b52dea16c2b17d5701adf52625de734123ba64f67c2"),
        Part::Timestamp => {
            b256!("574b9de67818caf7103c54d4020381bedf2fb490ef66fdf465f8cafd73d8363b")
        }
        Part::ValueLte => b256!("9d542e67659a86201de903f52adf3db803ca47bc6a15715ef27eb72c386e4c43"),
        Part::RollingSpend => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_with_one_byte_changed_is_refused() {
        let real = Package::find().expect("run `npm ci` in contracts/");
        let folder = env::temp_dir().join(format!("marque-package-{}", std::process::id()));
        fs::create_dir_all(folder.join("dist/bytecode")).unwrap();
        let file = "dist/bytecode/NonceEnforcer.mjs";
        let text = fs::read_to_string(real.0.join(file)).unwrap();
        let copy = Package::at(&folder);
        fs::write(folder.join(file), &text).unwrap();
        assert!(copy.creation(Part::Nonce).is_ok());
        fs::write(folder.join(file), text.replacen("6080", "6081", 1)).unwrap();
        let refusal = copy.creation(Part::Nonce).unwrap_err().to_string();
        assert!(refusal.contains("is pinned; run `npm ci` in contracts/"), "{refusal}");
        fs::remove_dir_all(&folder).unwrap();
        assert!(matches!(copy.creation(Part::Nonce), Err(DelegationError::Package { .. })));
    }
}
