//! A number with a unit, and what may be done with two of them.

use super::units::{Dimension, Scale, known};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One as _, Pow as _, Signed as _, ToPrimitive as _, Zero as _};
use std::fmt::Write as _;

/// Binary digits that a numerator or denominator may have.
const MOST_BITS: u64 = 4_096;
/// Decimal digits that are written of a value which has more, or has no end.
const DIGITS: usize = 20;
/// The highest power of a unit, either way. What is multiplied with one has no overflow.
const MOST_POWER: u32 = 99;
/// Digits after the point up to which a value is written whole.
const WHOLE: u32 = 60;

/// A number, and what it counts.
#[derive(Clone, Debug)]
pub(super) struct Quantity {
    /// In base units, so that sums need no conversion.
    value: BigRational,
    unit: Unit,
    /// Whether it was written as a percentage, and nothing was done with it yet.
    percent: bool,
}

/// A product of powers of units, as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unit(Vec<(String, i32)>);

impl Unit {
    pub(super) fn of(name: &str, power: i32) -> Self {
        Self(vec![(name.to_owned(), power)])
    }

    pub(super) fn times(mut self, other: &Self, sign: i32) -> Result<Self, String> {
        for (name, power) in &other.0 {
            let power = power.saturating_mul(sign);
            match self.0.iter_mut().find(|(mine, _)| mine == name) {
                Some((_, mine)) => *mine = mine.saturating_add(power),
                None => self.0.push((name.clone(), power)),
            }
        }
        self.bounded()
    }

    fn raised(mut self, by: i32) -> Result<Self, String> {
        for (_, power) in &mut self.0 {
            *power = power.saturating_mul(by);
        }
        self.bounded()
    }

    /// Without powers of zero, and with none that is out of bounds.
    fn bounded(mut self) -> Result<Self, String> {
        self.0.retain(|(_, power)| *power != 0);
        match self.0.iter().find(|(_, power)| power.unsigned_abs() > MOST_POWER) {
            Some((name, _)) => {
                Err(format!("the power of {name} is too large; at most {MOST_POWER}"))
            }
            None => Ok(self),
        }
    }

    /// What it measures: powers of base units.
    fn dimension(&self) -> Dimension {
        let mut all = Dimension::default();
        for (name, power) in &self.0 {
            for (base, by) in known(name).dimension {
                let by = by.saturating_mul(*power);
                let sum = all.entry(base).or_default();
                *sum = sum.saturating_add(by);
            }
        }
        all.retain(|_, power| *power != 0);
        all
    }

    /// How many base units one of it is.
    fn scale(&self) -> Result<BigRational, String> {
        self.0.iter().try_fold(BigRational::one(), |all, (name, power)| {
            sized(all * raised(&known(name).times, *power)?)
        })
    }

    /// A temperature that is counted from elsewhere than zero, alone.
    fn offset(&self) -> Option<Scale> {
        match &self.0[..] {
            [(name, 1)] => Some(known(name)).filter(|scale| !scale.from.is_zero()),
            _ => None,
        }
    }

    fn words(&self) -> String {
        if self.0.is_empty() {
            return "a plain number".to_owned();
        }
        let mut text = String::new();
        let power = |text: &mut String, name: &str, power: u32| {
            text.push_str(name);
            if power != 1 {
                let _infallible = write!(text, "^{power}");
            }
        };
        for (name, by) in self.0.iter().filter(|(_, by)| *by > 0) {
            if !text.is_empty() {
                text.push('*');
            }
            power(&mut text, name, by.unsigned_abs());
        }
        if text.is_empty() {
            text.push('1');
        }
        for (name, by) in self.0.iter().filter(|(_, by)| *by < 0) {
            text.push('/');
            power(&mut text, name, by.unsigned_abs());
        }
        text
    }
}

impl Quantity {
    pub(super) fn number(value: BigRational) -> Result<Self, String> {
        Ok(Self { value: sized(value)?, unit: Unit::default(), percent: false })
    }

    /// So many of a unit.
    pub(super) fn with(self, unit: &Unit) -> Result<Self, String> {
        if unit.offset().is_some() {
            return Self { unit: unit.clone(), ..self.clone() }.counting(self.value);
        }
        let value = sized(self.value * unit.scale()?)?;
        Ok(Self { value, unit: self.unit.times(unit, 1)?, percent: false })
    }

    /// A hundredth of it, which sums take as a part of what stands before.
    pub(super) fn percent(self) -> Self {
        Self { value: self.value / BigInt::from(100), unit: self.unit, percent: true }
    }

    /// The same counted in another unit.
    pub(super) fn converted(self, unit: Unit) -> Result<Self, String> {
        self.comparable(&unit, "is not convertible")?;
        Ok(Self { unit, ..self })
    }

    pub(super) fn plus(self, other: Self, sign: i32) -> Result<Self, String> {
        if other.percent && !self.percent {
            let part = self.value.clone() * other.value * BigInt::from(sign);
            return Ok(Self { value: sized(self.value.clone() + part)?, ..self });
        }
        self.comparable(&other.unit, "cannot be added")?;
        if self.unit.offset().is_some() || other.unit.offset().is_some() {
            return Err("temperatures have no sum; take a difference in K".to_owned());
        }
        let value = sized(self.value + other.value * BigInt::from(sign))?;
        Ok(Self { value, unit: self.unit, percent: self.percent && other.percent })
    }

    pub(super) fn times(self, other: Self) -> Result<Self, String> {
        self.is_a_difference()?;
        other.is_a_difference()?;
        let value = sized(self.value * other.value)?;
        Self { value, unit: self.unit.times(&other.unit, 1)?, percent: false }.simple()
    }

    pub(super) fn over(self, other: Self) -> Result<Self, String> {
        if other.value.is_zero() {
            return Err("division by zero".to_owned());
        }
        self.is_a_difference()?;
        other.is_a_difference()?;
        let value = sized(self.value / other.value)?;
        Self { value, unit: self.unit.times(&other.unit, -1)?, percent: false }.simple()
    }

    pub(super) fn remainder(self, other: Self) -> Result<Self, String> {
        self.comparable(&other.unit, "cannot be divided with a remainder")?;
        if other.value.is_zero() {
            return Err("division by zero".to_owned());
        }
        let whole = (self.value.clone() / other.value.clone()).floor();
        Ok(Self { value: sized(self.value - whole * other.value)?, ..self })
    }

    pub(super) fn power(self, exponent: &Self) -> Result<Self, String> {
        if !exponent.unit.0.is_empty() || !exponent.value.is_integer() {
            return Err("an exponent is a whole number without a unit".to_owned());
        }
        self.is_a_difference()?;
        let power = exponent.value.to_i32().ok_or("the exponent is too large")?;
        let value = raised(&self.value, power)?;
        Self { value, unit: self.unit.raised(power)?, percent: false }.simple()
    }

    pub(super) fn negated(self) -> Result<Self, String> {
        let count = -self.count()?;
        self.counting(count)
    }

    pub(super) fn absolute(self) -> Result<Self, String> {
        let count = self.count()?.abs();
        self.counting(count)
    }

    /// Made a whole number of its unit, or of so many digits after the point.
    pub(super) fn rounded(
        self,
        digits: u32,
        how: fn(&BigRational) -> BigRational,
    ) -> Result<Self, String> {
        let each = BigInt::from(10).pow(digits);
        let count = how(&(self.count()? * &each)) / each;
        self.counting(count)
    }

    pub(super) fn is_less(&self, other: &Self) -> Result<bool, String> {
        self.comparable(&other.unit, "cannot be compared")?;
        Ok(self.value < other.value)
    }

    /// A whole number without a unit, from 0 to `most`.
    pub(super) fn small(&self, most: u32) -> Option<u32> {
        let whole = self.unit.0.is_empty() && self.value.is_integer();
        self.value.to_u32().filter(|number| whole && *number <= most)
    }

    fn comparable(&self, unit: &Unit, why_not: &str) -> Result<(), String> {
        match self.unit.dimension() == unit.dimension() {
            true => Ok(()),
            false => Err(format!("{} and {} {why_not}", self.unit.words(), unit.words())),
        }
    }

    /// How many of its unit it is.
    fn count(&self) -> Result<BigRational, String> {
        match self.unit.offset() {
            Some(scale) => Ok(self.value.clone() / scale.times - scale.from),
            None => Ok(self.value.clone() / self.unit.scale()?),
        }
    }

    /// So many of the same unit.
    fn counting(self, count: BigRational) -> Result<Self, String> {
        let value = match self.unit.offset() {
            Some(scale) => (count + scale.from) * scale.times,
            None => count * self.unit.scale()?,
        };
        Ok(Self { value: sized(value)?, ..self })
    }

    /// Twice 20 °C is not 40 °C: what is counted from elsewhere than zero is no factor.
    fn is_a_difference(&self) -> Result<(), String> {
        match self.unit.offset() {
            Some(_) => Err("temperatures have no product; count a difference in K".to_owned()),
            None => Ok(()),
        }
    }

    /// Without units that cancel each other, such as minutes against hours.
    fn simple(mut self) -> Result<Self, String> {
        let dimension = self.unit.dimension();
        let mut kept = Vec::new();
        let mut rest = dimension.clone();
        for (name, power) in &self.unit.0 {
            let of_it = known(name).dimension;
            // It stays as far as what it measures is still there.
            let fits = of_it.iter().map(|(base, by)| {
                let left = rest.get(base).copied().unwrap_or(0);
                let same = left.signum() == by.saturating_mul(power.signum()).signum();
                if same && *by != 0 { left.abs() / by.abs() } else { 0 }
            });
            let count = fits.min().unwrap_or(0).min(power.abs()).saturating_mul(power.signum());
            if count == 0 {
                continue;
            }
            for (base, by) in &of_it {
                if let Some(left) = rest.get_mut(base) {
                    *left = left.saturating_sub(by.saturating_mul(count));
                }
            }
            kept.push((name.clone(), count));
        }
        if rest.values().all(|power| *power == 0) {
            self.unit = Unit(kept);
        }
        Ok(self)
    }

    /// In decimal digits with its unit, and whether that is all of it.
    pub(super) fn written(&self) -> (String, bool) {
        // A unit whose scale is too large to be counted in was refused when the value was made.
        let count = self.count().unwrap_or_else(|_| self.value.clone());
        let (digits, exact) = decimal(&count);
        match self.unit.0.is_empty() {
            true => (digits, exact),
            false => (format!("{digits} {}", self.unit.words()), exact),
        }
    }
}

/// A power within bounds.
fn raised(base: &BigRational, power: i32) -> Result<BigRational, String> {
    if power < 0 && base.is_zero() {
        return Err("division by zero".to_owned());
    }
    let bits = base.numer().bits().max(base.denom().bits());
    if bits > 1 && bits.saturating_mul(u64::from(power.unsigned_abs())) > MOST_BITS {
        return Err("the result is too large".to_owned());
    }
    sized(base.pow(power))
}

fn sized(value: BigRational) -> Result<BigRational, String> {
    match value.numer().bits().max(value.denom().bits()) > MOST_BITS {
        true => Err("the result is too large".to_owned()),
        false => Ok(value),
    }
}

/// Decimal digits, and whether they are the whole value.
fn decimal(value: &BigRational) -> (String, bool) {
    let ten = BigInt::from(10);
    let mut rest = value.denom().clone();
    let mut places = 0_u32;
    for prime in [2_u32, 5] {
        let prime = BigInt::from(prime);
        let mut count = 0_u32;
        while (&rest % &prime).is_zero() {
            rest /= &prime;
            count = count.saturating_add(1);
        }
        places = places.max(count);
    }
    if rest.is_one() && places <= WHOLE {
        let scaled = (value * ten.clone().pow(places)).to_integer();
        return (pointed(&scaled, places), true);
    }
    // As many places as give so many digits in all.
    let before = value.abs().to_integer().to_string().len();
    let whole = !value.abs().to_integer().is_zero();
    let places = match whole {
        true => i64::try_from(DIGITS).unwrap_or(0) - i64::try_from(before).unwrap_or(i64::MAX),
        false => {
            let inverse = (value.denom() / value.numer().abs()).to_string().len();
            i64::try_from(DIGITS.saturating_add(inverse).saturating_sub(1)).unwrap_or(0)
        }
    };
    match u32::try_from(places) {
        Ok(places) => {
            let scaled = (value * ten.pow(places)).round().to_integer();
            (pointed(&scaled, places), false)
        }
        Err(_) => {
            let step = ten.pow(u32::try_from(places.unsigned_abs()).unwrap_or(u32::MAX));
            let scaled = (value / &step).round().to_integer() * step;
            (scaled.to_string(), false)
        }
    }
}

/// An integer with a point before its last `places` digits, and no zeros at its end.
fn pointed(scaled: &BigInt, places: u32) -> String {
    let places = places as usize;
    let digits = scaled.abs().to_string();
    let digits = format!("{digits:0>width$}", width = places.saturating_add(1));
    let (whole, part) = digits.split_at(digits.len().saturating_sub(places));
    let part = part.trim_end_matches('0');
    let sign = if scaled.is_negative() { "-" } else { "" };
    match part.is_empty() {
        true => format!("{sign}{whole}"),
        false => format!("{sign}{whole}.{part}"),
    }
}
