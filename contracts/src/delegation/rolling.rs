//! The terms of Marque's own enforcer: limits in rolling windows, and who may be paid.

use super::{
    DelegationError, Part, Terms,
    terms::{distinct, has_twice},
};
use alloy_primitives::{Address, Bytes, U256};

/// At most so much of one asset in any window of time, and nothing but plain transfers of it to these
/// payees.
///
/// ```
/// # use marque_contracts::delegation::RollingSpend;
/// # use alloy_primitives::{Address, U256};
/// # let (usdc, agent) = (Address::with_last_byte(1), Address::with_last_byte(2));
/// let dollars = |n| U256::from(n * 1_000_000);
/// let terms = RollingSpend::erc20(usdc)
///     .each(dollars(1))
///     .window(3_600, dollars(3))
///     .window(86_400, dollars(10))
///     .total(dollars(200))
///     .to(agent)
///     .build()?;
/// # Ok::<(), marque_contracts::delegation::DelegationError>(())
/// ```
///
/// INVARIANT: the windows rise strictly, one of them is longer than nothing, and what was encoded
/// decodes to itself (pinned by `terms_are_encoded_as_documented_and_read_back`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RollingSpend {
    token: Address,
    limits: Vec<Limit>,
    payees: Vec<Address>,
}

/// A limit and its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limit {
    /// Seconds; 0 for a single transfer, [`Limit::FOREVER`] for all of them.
    pub window: u64,
    /// Base units.
    pub most: U256,
}

impl Limit {
    /// The window that nothing ever leaves.
    pub const FOREVER: u64 = (1 << 48) - 1;

    /// The highest limit: so much that a history of it never overflows on chain.
    pub const MOST: U256 = U256::from_limbs([u64::MAX, u64::MAX, 0, 0]);
}

/// As many limits as one caveat may hold.
pub const MAX_LIMITS: usize = 8;

/// As many payees as Marque writes into one caveat: each costs gas at every payment.
pub const MAX_PAYEES: usize = 64;

impl RollingSpend {
    /// Limits for transfers of a token.
    pub const fn erc20(token: Address) -> RollingSpendBuilder {
        RollingSpendBuilder { token: Some(token), limits: Vec::new(), payees: Vec::new() }
    }

    /// Limits for transfers of the native coin, in wei.
    pub const fn native() -> RollingSpendBuilder {
        RollingSpendBuilder { token: None, limits: Vec::new(), payees: Vec::new() }
    }

    /// The token; `None` is the native coin.
    #[must_use]
    pub fn token(&self) -> Option<Address> {
        Some(self.token).filter(|token| !token.is_zero())
    }

    /// The limits, the narrowest first, in the order in which the enforcer answers what is used of
    /// them.
    #[must_use]
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// Who may be paid; nobody named means anybody.
    #[must_use]
    pub fn payees(&self) -> &[Address] {
        &self.payees
    }

    /// Reads terms.
    ///
    /// # Errors
    /// [`DelegationError::Terms`] where no [`RollingSpendBuilder`] makes these bytes.
    pub fn decode(terms: &[u8]) -> Result<Self, DelegationError> {
        Self::read(terms).unwrap_or_else(|| wrong("these bytes are no terms of it"))
    }

    fn read(terms: &[u8]) -> Option<Result<Self, DelegationError>> {
        let (token, rest) = terms.split_at_checked(20)?;
        let (count, rest) = rest.split_first()?;
        let (limits, payees) = rest.split_at_checked(usize::from(*count) * 32)?;
        let token = Address::from_slice(token);
        let mut builder = if token.is_zero() { Self::native() } else { Self::erc20(token) };
        for limit in limits.chunks_exact(32) {
            let (window, most) = limit.split_at_checked(6)?;
            let window = U256::from_be_slice(window).to();
            builder = builder.window(window, U256::from_be_slice(most));
        }
        let payees =
            payees.chunks(20).map(Address::try_from).collect::<Result<Vec<_>, _>>().ok()?;
        let read = builder.to_each(payees).build();
        // In another order they are other terms.
        Some(read.and_then(|read| match &read.encode()[..] == terms {
            true => Ok(read),
            false => wrong("its windows do not rise"),
        }))
    }
}

impl Terms for RollingSpend {
    const PART: Part = Part::RollingSpend;

    fn encode(&self) -> Bytes {
        let mut terms = self.token.to_vec();
        // At most MAX_LIMITS.
        terms.extend(u8::try_from(self.limits.len()));
        for limit in &self.limits {
            terms.extend(limit.window.to_be_bytes().iter().skip(2));
            terms.extend(limit.most.to_be_bytes::<32>().iter().skip(6));
        }
        terms.extend(self.payees.iter().flatten());
        terms.into()
    }
}

/// Limits that are being put together.
#[derive(Clone, Debug)]
#[must_use]
pub struct RollingSpendBuilder {
    token: Option<Address>,
    limits: Vec<Limit>,
    payees: Vec<Address>,
}

impl RollingSpendBuilder {
    /// At most `most` base units in one transfer.
    pub fn each(self, most: U256) -> Self {
        self.window(0, most)
    }

    /// At most `most` base units in any `seconds`. The order does not matter.
    pub fn window(mut self, seconds: u64, most: U256) -> Self {
        self.limits.push(Limit { window: seconds, most });
        self
    }

    /// At most `most` base units ever, on the strength of this delegation.
    pub fn total(self, most: U256) -> Self {
        self.window(Limit::FOREVER, most)
    }

    /// This payee may be paid, and others only if they are named as well.
    pub fn to(mut self, payee: Address) -> Self {
        self.payees.push(payee);
        self
    }

    /// These payees may be paid.
    pub fn to_each(mut self, payees: impl IntoIterator<Item = Address>) -> Self {
        self.payees.extend(payees);
        self
    }

    /// The terms.
    ///
    /// # Errors
    /// [`DelegationError::Terms`] where there is no window or too many of them, a window twice or
    /// longer than [`Limit::FOREVER`], a limit of nothing or above [`Limit::MOST`], the zero address or
    /// one twice, or too many payees.
    pub fn build(self) -> Result<RollingSpend, DelegationError> {
        let Self { token, mut limits, payees } = self;
        if token.is_some_and(|token| token.is_zero()) {
            return wrong("the zero address is no token; write native()");
        }
        limits.sort();
        let windows: Vec<u64> = limits.iter().map(|limit| limit.window).collect();
        if windows.last().is_none_or(|widest| *widest == 0) {
            return wrong("it has no window");
        }
        if windows.len() > MAX_LIMITS {
            return wrong("it has more than 8 limits");
        }
        if has_twice(&windows) {
            return wrong("a window has two limits");
        }
        if windows.last().is_some_and(|widest| *widest > Limit::FOREVER) {
            return wrong("a window is longer than 2^48 - 1 seconds");
        }
        if limits.iter().any(|limit| limit.most.is_zero()) {
            return wrong("a limit permits no base unit, so nothing");
        }
        if limits.iter().any(|limit| limit.most > Limit::MOST) {
            return wrong("a limit is above 2^128 - 1 base units");
        }
        if payees.len() > MAX_PAYEES {
            return wrong("it names more than 64 payees");
        }
        let payees = match payees.is_empty() {
            true => payees,
            false => distinct(Part::RollingSpend, payees)?,
        };
        Ok(RollingSpend { token: token.unwrap_or_default(), limits, payees })
    }
}

fn wrong<T>(wrong: &'static str) -> Result<T, DelegationError> {
    Err(DelegationError::Terms { caveat: Part::RollingSpend, wrong })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;

    const TOKEN: Address = Address::repeat_byte(0xaa);

    fn units(n: u64) -> U256 {
        U256::from(n)
    }

    #[test]
    fn terms_are_encoded_as_documented_and_read_back() {
        let terms = RollingSpend::erc20(TOKEN)
            .window(86_400, units(10))
            .each(units(1))
            .to(Address::repeat_byte(0xbb))
            .build()
            .unwrap();
        let expected = hex!(
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 02"
            "000000000000 0000000000000000000000000000000000000000000000000001"
            "000000015180 000000000000000000000000000000000000000000000000000a"
            "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
        );
        assert_eq!(terms.encode()[..], expected);
        assert_eq!(RollingSpend::decode(&expected), Ok(terms));
        let native = RollingSpend::native().total(units(7)).build().unwrap();
        assert_eq!(native.token(), None);
        assert_eq!(RollingSpend::decode(&native.encode()), Ok(native));
    }

    #[test]
    fn bytes_that_say_something_else_are_no_terms() {
        let terms = RollingSpend::erc20(TOKEN).window(1, units(1)).window(2, units(2));
        let good = terms.build().unwrap().encode().to_vec();
        for length in 0..good.len() {
            assert!(RollingSpend::decode(&good[..length]).is_err(), "{length}");
        }
        let mut falling = good.clone();
        falling[21..85].rotate_left(32);
        assert!(RollingSpend::decode(&falling).is_err());
        let mut more = good;
        more.push(1);
        assert!(RollingSpend::decode(&more).is_err());
    }

    #[test]
    fn nonsense_is_not_built() {
        let base = || RollingSpend::erc20(TOKEN).window(60, units(5));
        let many = (0..9).fold(base(), |terms, n| terms.window(100 + n, units(1)));
        let payees = (1..=65_u64).map(|n| Address::left_padding_from(&n.to_be_bytes()));
        let nonsense = [
            ("no window", RollingSpend::erc20(TOKEN)),
            ("no window but each", RollingSpend::erc20(TOKEN).each(units(1))),
            ("no token", RollingSpend::erc20(Address::ZERO).window(60, units(5))),
            ("twice", base().window(60, units(6))),
            ("nothing", base().window(61, units(0))),
            ("too long", base().window(1 << 48, units(6))),
            ("too much", base().window(61, Limit::MOST + units(1))),
            ("many", many),
            ("zero payee", base().to(Address::ZERO)),
            ("a payee twice", base().to(TOKEN).to(TOKEN)),
            ("many payees", base().to_each(payees)),
        ];
        for (what, terms) in nonsense {
            assert!(terms.build().is_err(), "{what}");
        }
        assert!(base().window(61, Limit::MOST).build().is_ok());
    }
}
