//! The terms of the framework's own enforcers: what a delegator signs for them to judge by.
//!
//! A value here is one that its enforcer accepts and that means something: no empty lists, no limit
//! of nothing, no time that is over before it begins.

use super::{Caveat, DelegationError, Framework, Part};
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;

/// Terms of a caveat.
pub trait Terms {
    /// Who judges by them.
    const PART: Part;

    /// As the enforcer reads them.
    fn encode(&self) -> Bytes;

    /// The caveat, judged by the enforcer of this framework.
    fn caveat(&self, framework: &Framework) -> Caveat {
        Caveat { enforcer: framework.at(Self::PART), terms: self.encode() }
    }
}

/// The contract that is called is one of these.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AllowedTargets(Vec<Address>);

impl AllowedTargets {
    /// # Errors
    /// [`DelegationError::Terms`] for no contract, the zero address, or one named twice.
    pub fn new(targets: impl IntoIterator<Item = Address>) -> Result<Self, DelegationError> {
        distinct(Part::AllowedTargets, targets).map(Self)
    }
}

impl Terms for AllowedTargets {
    const PART: Part = Part::AllowedTargets;
    fn encode(&self) -> Bytes {
        packed(&self.0)
    }
}

/// The redeemer is one of these. A delegation names its redeemer already; this one binds whoever it is
/// handed on to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Redeemers(Vec<Address>);

impl Redeemers {
    /// # Errors
    /// [`DelegationError::Terms`] for nobody, the zero address, or one named twice.
    pub fn new(redeemers: impl IntoIterator<Item = Address>) -> Result<Self, DelegationError> {
        distinct(Part::Redeemer, redeemers).map(Self)
    }
}

impl Terms for Redeemers {
    const PART: Part = Part::Redeemer;
    fn encode(&self) -> Bytes {
        packed(&self.0)
    }
}

/// The function that is called is one of these. A call without data is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AllowedMethods(Vec<[u8; 4]>);

impl AllowedMethods {
    /// The one function `C`.
    #[must_use]
    pub fn only<C: SolCall>() -> Self {
        Self(vec![C::SELECTOR])
    }

    /// # Errors
    /// [`DelegationError::Terms`] for no selector, or one named twice.
    pub fn new(selectors: impl IntoIterator<Item = [u8; 4]>) -> Result<Self, DelegationError> {
        let selectors: Vec<_> = selectors.into_iter().collect();
        let wrong = if selectors.is_empty() {
            "it permits no function, so nothing"
        } else if has_twice(&selectors) {
            "a function is named twice"
        } else {
            return Ok(Self(selectors));
        };
        Err(DelegationError::Terms { caveat: Self::PART, wrong })
    }
}

impl Terms for AllowedMethods {
    const PART: Part = Part::AllowedMethods;
    fn encode(&self) -> Bytes {
        self.0.concat().into()
    }
}

/// The call's data has these bytes at this place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AllowedCalldata {
    start: usize,
    bytes: Bytes,
}

impl AllowedCalldata {
    /// The call begins as this one does, which is all of it where its arguments have a fixed length.
    #[must_use]
    pub fn starting_with(call: &impl SolCall) -> Self {
        Self { start: 0, bytes: call.abi_encode().into() }
    }

    /// The first argument is this address: whom a `transfer` pays.
    #[must_use]
    pub fn first_argument(address: Address) -> Self {
        Self { start: 4, bytes: address.into_word().into() }
    }

    /// `bytes`, `start` bytes from the beginning of the data.
    ///
    /// # Errors
    /// [`DelegationError::Terms`] for no bytes.
    pub fn at(start: usize, bytes: Bytes) -> Result<Self, DelegationError> {
        if bytes.is_empty() {
            let wrong = "it compares no bytes, so it permits everything that is long enough";
            return Err(DelegationError::Terms { caveat: Self::PART, wrong });
        }
        Ok(Self { start, bytes })
    }
}

impl Terms for AllowedCalldata {
    const PART: Part = Part::AllowedCalldata;
    fn encode(&self) -> Bytes {
        [&word(U256::from(self.start)), &self.bytes[..]].concat().into()
    }
}

/// At most so many wei go with the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ValueLte(pub U256);

impl ValueLte {
    /// None at all.
    pub const NOTHING: Self = Self(U256::ZERO);
}

impl Terms for ValueLte {
    const PART: Part = Part::ValueLte;
    fn encode(&self) -> Bytes {
        word(self.0).into()
    }
}

/// Block time is strictly between two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timestamp {
    after: u64,
    before: u64,
}

impl Timestamp {
    /// Strictly before `before`, in Unix seconds.
    ///
    /// # Errors
    /// [`DelegationError::Terms`] for 0, which the enforcer takes for no end.
    pub const fn until(before: u64) -> Result<Self, DelegationError> {
        Self::between(0, before)
    }

    /// Strictly after `after` and strictly before `before`, in Unix seconds; 0 for `after` is any time.
    ///
    /// # Errors
    /// [`DelegationError::Terms`] where there is no second between the two.
    pub const fn between(after: u64, before: u64) -> Result<Self, DelegationError> {
        if before.saturating_sub(after) < 2 {
            let wrong = "there is no second between its beginning and its end";
            return Err(DelegationError::Terms { caveat: Self::PART, wrong });
        }
        Ok(Self { after, before })
    }
}

impl Terms for Timestamp {
    const PART: Part = Part::Timestamp;
    fn encode(&self) -> Bytes {
        [self.after, self.before].map(|at| u128::from(at).to_be_bytes()).concat().into()
    }
}

/// The delegator's nonce is still this one; raising it revokes everything that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(pub U256);

impl Terms for Nonce {
    const PART: Part = Part::Nonce;
    fn encode(&self) -> Bytes {
        word(self.0).into()
    }
}

/// At most so many redemptions ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LimitedCalls(u64);

impl LimitedCalls {
    /// # Errors
    /// [`DelegationError::Terms`] for none.
    pub const fn new(most: u64) -> Result<Self, DelegationError> {
        if most == 0 {
            let wrong = "it permits no redemption, so nothing";
            return Err(DelegationError::Terms { caveat: Self::PART, wrong });
        }
        Ok(Self(most))
    }
}

impl Terms for LimitedCalls {
    const PART: Part = Part::LimitedCalls;
    fn encode(&self) -> Bytes {
        word(U256::from(self.0)).into()
    }
}

/// At most so much of one token ever, and nothing but plain transfers of it. One a delegation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Erc20Total {
    token: Address,
    most: U256,
}

impl Erc20Total {
    /// # Errors
    /// [`DelegationError::Terms`] for the zero address or no base units.
    pub fn new(token: Address, most: U256) -> Result<Self, DelegationError> {
        limit_of(Self::PART, token, most)?;
        Ok(Self { token, most })
    }
}

impl Terms for Erc20Total {
    const PART: Part = Part::Erc20Total;
    fn encode(&self) -> Bytes {
        [self.token.as_slice(), &word(self.most)].concat().into()
    }
}

/// At most so much of one token in each period, and nothing but plain transfers of it.
///
/// Periods follow each other from a start: two full ones can be spent within a second. Use it beside
/// [`RollingSpend`](super::RollingSpend), which has no such seam, and with a window and limit of that:
/// then it refuses nothing that the window lets through, since two payments of one period are less than
/// its length apart. One a delegation: the enforcer counts by delegation, so two would count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Erc20Period {
    token: Address,
    period: Period,
}

impl Erc20Period {
    /// `most` base units of `token` in each `seconds` from the Unix second `start`.
    ///
    /// # Errors
    /// [`DelegationError::Terms`] for the zero address, or where one of the numbers is 0.
    pub fn new(
        token: Address,
        most: U256,
        seconds: u64,
        start: u64,
    ) -> Result<Self, DelegationError> {
        limit_of(Self::PART, token, most)?;
        Ok(Self { token, period: Period::new(Self::PART, most, seconds, start)? })
    }
}

impl Terms for Erc20Period {
    const PART: Part = Part::Erc20Period;
    fn encode(&self) -> Bytes {
        [self.token.as_slice(), &self.period.encode()].concat().into()
    }
}

/// At most so many wei in each period. It looks at the value of a call and at nothing else: pair it
/// with a caveat that says which calls. One a delegation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NativePeriod(Period);

impl NativePeriod {
    /// `most` wei in each `seconds` from the Unix second `start`.
    ///
    /// # Errors
    /// [`DelegationError::Terms`] where one of the numbers is 0.
    pub fn new(most: U256, seconds: u64, start: u64) -> Result<Self, DelegationError> {
        Period::new(Self::PART, most, seconds, start).map(Self)
    }
}

impl Terms for NativePeriod {
    const PART: Part = Part::NativePeriod;
    fn encode(&self) -> Bytes {
        self.0.encode().into()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Period {
    most: U256,
    seconds: u64,
    start: u64,
}

impl Period {
    fn new(caveat: Part, most: U256, seconds: u64, start: u64) -> Result<Self, DelegationError> {
        let wrong = if most.is_zero() {
            "it permits nothing in a period"
        } else if seconds == 0 {
            "a period has at least a second"
        } else if start == 0 {
            "the first period must begin after the Unix second 0"
        } else {
            return Ok(Self { most, seconds, start });
        };
        Err(DelegationError::Terms { caveat, wrong })
    }

    fn encode(&self) -> Vec<u8> {
        [self.most, U256::from(self.seconds), U256::from(self.start)].map(word).concat()
    }
}

fn packed(list: &[Address]) -> Bytes {
    list.iter().flatten().copied().collect()
}

fn limit_of(caveat: Part, token: Address, most: U256) -> Result<(), DelegationError> {
    let wrong = if token.is_zero() {
        "the zero address is no token"
    } else if most.is_zero() {
        "it permits no base unit, so nothing"
    } else {
        return Ok(());
    };
    Err(DelegationError::Terms { caveat, wrong })
}

/// A list of accounts that says something.
pub(super) fn distinct(
    caveat: Part,
    list: impl IntoIterator<Item = Address>,
) -> Result<Vec<Address>, DelegationError> {
    let list: Vec<Address> = list.into_iter().collect();
    let wrong = if list.is_empty() {
        "its list is empty, so it permits nothing"
    } else if list.contains(&Address::ZERO) {
        "its list has the zero address"
    } else if has_twice(&list) {
        "its list has an address twice"
    } else {
        return Ok(list);
    };
    Err(DelegationError::Terms { caveat, wrong })
}

pub(super) fn has_twice<T: Ord + Copy>(list: &[T]) -> bool {
    let set: std::collections::BTreeSet<T> = list.iter().copied().collect();
    set.len() < list.len()
}

fn word(number: U256) -> [u8; 32] {
    number.to_be_bytes()
}
