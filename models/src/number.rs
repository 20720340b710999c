//! Exponentials and logarithms that are the same on every machine.
//!
//! The C library's differ in their last bits between versions, and one bit can decide which token
//! is drawn. These use additions, multiplications and divisions only, which IEEE 754 fixes and
//! Rust never fuses.

const LN_2: f64 = std::f64::consts::LN_2;
/// `ln 2` in two parts: the first has trailing zeros, so that small multiples of it are exact.
const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
const LOG2_E: f64 = std::f64::consts::LOG2_E;

/// `e` to the power of `x`, for `x` of 0 or below; 0 below -708.
pub(crate) fn exp_of_negative(x: f64) -> f64 {
    if x < -708.0 {
        return 0.0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "between -1022 and 0")]
    let power = (x * LOG2_E - 0.5) as i64;
    let rest = (x - power as f64 * LN_2_HIGH) - power as f64 * LN_2_LOW;
    // Taylor's series at most ln(2)/2 from 0, from the smallest term on.
    let mut sum = 1.0;
    for term in (1..=13_u8).rev() {
        sum = 1.0 + sum * rest / f64::from(term);
    }
    let scale = f64::from_bits(u64::try_from(power.saturating_add(1023)).unwrap_or(0) << 52);
    sum * scale
}

/// The natural logarithm of a normal number above 0.
pub(crate) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut power = f64::from(u16::try_from(bits >> 52 & 0x7ff).unwrap_or(0)) - 1023.0;
    let mut mantissa = f64::from_bits(bits & ((1 << 52) - 1) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        power += 1.0;
    }
    // ln(m) = 2 artanh((m - 1) / (m + 1))
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let mut sum = 0.0;
    for odd in (1..=23_u8).rev().step_by(2) {
        sum = sum * square + 1.0 / f64::from(odd);
    }
    power * LN_2 + 2.0 * ratio * sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_agree_with_the_library_to_fourteen_digits(x in -700.0..0.0_f64, y in 1e-300..1e300) {
            let (ours, theirs) = (exp_of_negative(x), x.exp());
            prop_assert!((ours - theirs).abs() <= 1e-14 * theirs, "{x}: {ours} {theirs}");
            let (ours, theirs) = (ln(y), f64::ln(y));
            prop_assert!((ours - theirs).abs() <= 1e-14 * theirs.abs().max(1.0), "{y}");
        }
    }

    #[test]
    fn the_ends_are_exact() {
        assert_eq!((exp_of_negative(0.0), exp_of_negative(-1e9), ln(1.0)), (1.0, 0.0, 0.0));
        assert_eq!(exp_of_negative(f64::NEG_INFINITY), 0.0);
    }
}
