//! The contracts that a delegation needs, and where they are on a chain.

use super::rolling_spend_enforcer;
use alloy_primitives::{Address, address};
use serde::{Deserialize, Serialize};

/// Declares the parts once: the enum, and the set of addresses with a field for each.
macro_rules! parts {
    ($($(#[$doc:meta])+ $part:ident, $field:ident, $name:literal;)+) => {
        /// A contract of the Delegation Framework, or the enforcer that Marque adds to it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Part { $($(#[$doc])+ $part,)+ }

        impl Part {
            /// All of them, each after those that it is built on.
            pub const ALL: &[Self] = &[$(Self::$part,)+];

            /// The contract's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$part => $name,)+ }
            }
        }

        /// Where the contracts are on one chain.
        ///
        /// Whoever trusts an address compares the code there: [`Framework::check`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Framework {
            /// EIP-155 chain id.
            pub chain: u64,
            $($(#[$doc])+ pub $field: Address,)+
        }

        impl Framework {
            /// The contracts at the addresses that `place` gives.
            #[must_use]
            pub fn of(chain: u64, mut place: impl FnMut(Part) -> Address) -> Self {
                Self { chain, $($field: place(Part::$part),)+ }
            }

            /// Where `part` is.
            #[must_use]
            pub const fn at(&self, part: Part) -> Address {
                match part { $(Part::$part => self.$field,)+ }
            }
        }
    };
}

parts! {
    /// ERC-4337's entry point, which may have an account execute what its signers signed. Marque does
    /// not use it; accounts trust it.
    EntryPoint, entry_point, "EntryPoint";
    /// Redeems delegations.
    Manager, manager, "DelegationManager";
    /// The code that owners' accounts run.
    Account, account, "MultiSigDeleGator";
    /// Some bytes of the call are these.
    AllowedCalldata, allowed_calldata, "AllowedCalldataEnforcer";
    /// The function called is one of these.
    AllowedMethods, allowed_methods, "AllowedMethodsEnforcer";
    /// The contract called is one of these.
    AllowedTargets, allowed_targets, "AllowedTargetsEnforcer";
    /// At most so much of a token in a fixed period.
    Erc20Period, erc20_period, "ERC20PeriodTransferEnforcer";
    /// At most so much of a token ever.
    Erc20Total, erc20_total, "ERC20TransferAmountEnforcer";
    /// At most so many redemptions ever.
    LimitedCalls, limited_calls, "LimitedCallsEnforcer";
    /// At most so much of the native coin in a fixed period.
    NativePeriod, native_period, "NativeTokenPeriodTransferEnforcer";
    /// The delegator's nonce is still this one.
    Nonce, nonce, "NonceEnforcer";
    /// The redeemer is one of these.
    Redeemer, redeemer, "RedeemerEnforcer";
    /// Between two moments.
    Timestamp, timestamp, "TimestampEnforcer";
    /// At most so many wei go with the call.
    ValueLte, value_lte, "ValueLteEnforcer";
    /// At most so much in any window of time. Marque's own.
    RollingSpend, rolling_spend, "RollingSpendEnforcer";
}

/// Chains that have version 1.3.0 of the framework at its public addresses, of those that its makers
/// name in npm `@metamask/delegation-deployments` 2.0.0.
pub const PUBLIC_CHAINS: [u64; 9] =
    [1, 10, 137, 8_453, 42_161, 84_532, 421_614, 11_155_111, 11_155_420];

impl Framework {
    /// The framework of version 1.3.0 on a public chain, with Marque's enforcer where
    /// [`rolling_spend_enforcer`] puts it, deployed or not. `None` for a chain that is none of
    /// [`PUBLIC_CHAINS`].
    #[must_use]
    pub fn public(chain: u64) -> Option<Self> {
        PUBLIC_CHAINS.contains(&chain).then(|| Self::of(chain, public))
    }

    /// The parts with their addresses.
    pub fn parts(&self) -> impl Iterator<Item = (Part, Address)> {
        let framework = *self;
        Part::ALL.iter().map(move |part| (*part, framework.at(*part)))
    }
}

/// From npm `@metamask/delegation-deployments` 2.0.0, version "1.3.0"; the same on every chain.
fn public(part: Part) -> Address {
    match part {
        Part::EntryPoint => address!("0000000071727De22E5E9d8BAf0edAc6f37da032"),
        Part::Manager => address!("db9B1e94B5b69Df7e401DDbedE43491141047dB3"),
        Part::Account => address!("56a9EdB16a0105eb5a4C54f4C062e2868844f3A7"),
        Part::AllowedCalldata => address!("c2b0d624c1c4319760C96503BA27C347F3260f55"),
        Part::AllowedMethods => address!("2c21fD0Cb9DC8445CB3fb0DC5E7Bb0Aca01842B5"),
        Part::AllowedTargets => address!("7F20f61b1f09b08D970938F6fa563634d65c4EeB"),
        Part::Erc20Period => address!("474e3Ae7E169e940607cC624Da8A15Eb120139aB"),
        Part::Erc20Total => address!("f100b0819427117EcF76Ed94B358B1A5b5C6D2Fc"),
        Part::LimitedCalls => address!("04658B29F6b82ed55274221a06Fc97D318E25416"),
        Part::NativePeriod => address!("9BC0FAf4Aca5AE429F4c06aEEaC517520CB16BD9"),
        Part::Nonce => address!("DE4f2FAC4B3D87A1d9953Ca5FC09FCa7F366254f"),
        Part::Redeemer => address!("E144b0b2618071B4E56f746313528a669c7E65c5"),
        Part::Timestamp => address!("1046bb45C8d673d4ea75321280DB34899413c069"),
        Part::ValueLte => address!("92Bf12322527cAA612fd31a0e810472BBB106A8F"),
        Part::RollingSpend => rolling_spend_enforcer().0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_part_has_a_place_of_its_own() {
        let base = Framework::public(84_532).unwrap();
        let places: BTreeSet<_> = base.parts().map(|(_, at)| at).collect();
        assert_eq!(places.len(), Part::ALL.len());
        assert_eq!(Framework::public(31_337), None);
        assert_eq!(Framework::of(84_532, |part| base.at(part)), base);
    }
}
