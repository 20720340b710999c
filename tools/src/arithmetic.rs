//! `calculate`: exact arithmetic with units, so that a model never works out a sum itself.
//!
//! Numbers are fractions of integers: nothing is rounded until it is written, and what is rounded then
//! says so. A word that is no known unit stands for itself, so that `3 USDC + 2 USDC` is `5 USDC`, and
//! `3 USDC + 2 ETH` is a mistake and not 5.

mod parse;
mod quantity;
mod units;

use marque_agent_core::{Cx, ToolError};
use marque_macros::tool;
use serde::Serialize;

/// The longest expression, in characters.
const LONGEST: usize = 400;

/// What [`calculate`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Calculated {
    /// The value in decimal digits, with its unit.
    pub value: String,
    /// Whether that is the value itself, and not a rounding of it.
    pub exact: bool,
}

/// Works out an expression.
///
/// # Errors
/// [`ToolError::Arguments`] where it cannot be read or has no value, with the reason.
#[tool(
    crate = marque_agent_core,
    description = "exact arithmetic with units: + - * / ^ ( ) percent, min max sum avg round floor ceil abs, \"in\" converts"
)]
pub async fn calculate(
    _cx: &Cx,
    /// such as "(3 h + 20 min) * 12 USDC/h" or "80 km/h in m/s"
    expression: String,
) -> Result<Calculated, ToolError> {
    work_out(&expression).map_err(|why| ToolError::Arguments(format!("{expression:?}: {why}")))
}

/// The value of an expression, or what is wrong with it in a few words.
fn work_out(text: &str) -> Result<Calculated, String> {
    if text.chars().count() > LONGEST {
        return Err(format!("it is longer than {LONGEST} characters"));
    }
    let (value, exact) = parse::value(text)?.written();
    Ok(Calculated { value, exact })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is(text: &str) -> String {
        let Calculated { value, exact } =
            work_out(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        if exact { value } else { format!("~{value}") }
    }

    fn wrong(text: &str) -> String {
        work_out(text).unwrap_err()
    }

    #[test]
    fn sums_are_exact() {
        for (text, value) in [
            ("0.1 + 0.2", "0.3"),
            ("2 + 3 * 4", "14"),
            ("(2 + 3) * 4", "20"),
            ("-2^2", "-4"),
            ("2^-3", "0.125"),
            ("2^3^2", "512"),
            ("10 / 4", "2.5"),
            ("1 / 3", "~0.33333333333333333333"),
            ("1/3*3", "1"),
            (
                "100000000000000000000000000000000000001 - 1",
                "100000000000000000000000000000000000000",
            ),
            ("1e18 / 1e12", "1000000"),
            ("1_000 + 1,000.50", "2000.5"),
            ("7 % 3", "1"),
            ("15% of 80", "12"),
            ("80 + 10%", "88"),
            ("80 - 10%", "72"),
            ("sum(1, 2, 3.5)", "6.5"),
            ("avg(1, 2, 6)", "3"),
            ("min(3, 2) + max(3, 2)", "5"),
            ("round(2.5) + floor(-2.5) + ceil(2.1) + abs(-1)", "4"),
            ("round(2/3, 2)", "0.67"),
            ("2/3 * 10^30", "~666666666666666666670000000000"),
            ("0", "0"),
        ] {
            assert_eq!(is(text), value, "{text}");
        }
    }

    #[test]
    fn units_are_converted_and_never_mixed() {
        for (text, value) in [
            ("80 km/h in m/s", "~22.222222222222222222 m/s"),
            ("36 km/h in m/s", "10 m/s"),
            ("10 kn in km/h", "18.52 km/h"),
            ("1 mi in km", "1.609344 km"),
            ("3 h + 20 min in min", "200 min"),
            ("3 h + 20 min", "~3.3333333333333333333 h"),
            ("1.5 GB in MiB", "1430.511474609375 MiB"),
            ("20 C in F", "68 F"),
            ("-40 F in C", "-40 C"),
            ("0 C in K", "273.15 K"),
            ("3 USDC + 2.5 USDC", "5.5 USDC"),
            ("12 USDC/h * 20 min", "4 USDC"),
            ("0.3 kWh * 0.25 USDC/kWh", "0.075 USDC"),
            ("2 kW * 3 h in kWh", "6 kWh"),
            ("10 USDC / 4", "2.5 USDC"),
            ("10 USDC / 4 USDC", "2.5"),
            ("3 m * 4 m", "12 m^2"),
            ("1 m^2 in cm^2", "10000 cm^2"),
            ("20% of 3 USDC", "0.6 USDC"),
            ("max(3 km, 200 m)", "3 km"),
            ("2 d in h", "48 h"),
            ("round(68.4 F)", "68 F"),
            ("abs(-5 C)", "5 C"),
            ("0 K in F", "-459.67 F"),
            ("3 * -2", "-6"),
            ("2 + -3", "-1"),
            ("2 - -3", "5"),
        ] {
            assert_eq!(is(text), value, "{text}");
        }
        for (text, why) in [
            ("3 USDC + 2 ETH", "USDC and ETH"),
            ("3 USDC + 2", "USDC and a plain number"),
            ("3 h in km", "h and km"),
            ("2 ^ (3 m)", "exponent"),
            ("20 C + 3 C", "a difference"),
            ("20 C * 2", "a difference"),
            (
                "1 TiB^9 * 1 GiB^9 * 1 TiB^9 * 1 TiB^9 * 1 TiB^9 * 1 TiB^9 * 1 TiB^9 * 1 TiB^9 * 1 TiB^9 * 1 TiB^9 * 1 TiB^9 * 1 TiB^9 * 1 TiB^9",
                "too large",
            ),
            ("2 m^9 ^ 999999999", "too large"),
            ("max(1 h, 1 m)", "m and h"),
        ] {
            assert!(wrong(text).contains(why), "{text}: {}", wrong(text));
        }
    }

    #[test]
    fn what_cannot_be_worked_out_says_why() {
        for (text, why) in [
            ("", "there is nothing"),
            ("1 +", "something is missing at the end"),
            ("1 / 0", "division by zero"),
            ("5 % 0", "division by zero"),
            ("0^-1", "division by zero"),
            ("2^0.5", "whole number"),
            ("2^100000", "too large"),
            ("9^9^9", "too large"),
            ("9^9^9^9", "too large"),
            ("10^1000000", "too large"),
            ("10^-1000000", "too large"),
            ("2^99999999999999999999", "too large"),
            ("(1", "a ) is missing"),
            ("1)", "at \")\""),
            ("foo(1)", "no function foo"),
            ("min()", "min wants"),
            ("1.2.3", "1.2.3"),
            ("1 2", "at \"2\""),
            ("1e99999", "too large"),
            ("sqrt(2)", "no function sqrt"),
            ("2 $ 3", "\"$\""),
        ] {
            assert!(wrong(text).contains(why), "{text}: {}", wrong(text));
        }
        assert!(wrong(&"(".repeat(300)).contains("too deep"));
        assert!(wrong(&"1+".repeat(300)).contains("longer than"));
    }

    #[test]
    fn the_power_of_a_unit_has_bounds() {
        for power in ["-2147483648", "2147483647", "-2147483647", "100", "-100"] {
            let text = format!("(1 m)^{power}");
            assert!(wrong(&text).contains("the power of m is too large"), "{text}");
            assert!(work_out(&format!("{text} / (1 m)")).is_err());
        }
        assert_eq!(is("(1 m)^99"), "1 m^99");
        assert!(wrong("(1 m)^99 * (1 m)").contains("at most 99"));
        assert!(wrong("(1 m)^-99 / (1 m)").contains("at most 99"));
        assert!(wrong("(1 foo)^2147483647").contains("the power of foo"));
        assert!(wrong(&format!("1 {}", "m^9*".repeat(12).trim_end_matches('*'))).contains("power"));
        assert_eq!(is("(1 m)^99 / (1 m)^99"), "1");
    }

    /// The longest text with the most work in it that still has a value: far below a model's step.
    #[test]
    fn the_worst_expression_is_done_in_no_time() {
        let begun = std::time::Instant::now();
        for text in [
            "(7^1400/11^1100)^1*(7^1400/11^1100)".to_owned(),
            format!("{}1", "1/3^2500+".repeat(44)),
            format!("{}1", "7/3*".repeat(99)),
            format!("round({}, 30)", ["9".repeat(380).as_str(), "7"].join("/")),
            format!("1 {}", "TiB*GiB*kn*mph*".repeat(26).trim_end_matches('*')),
        ] {
            drop(work_out(&text));
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_hang(text in "[0-9a-zA-Z+*/^%()., -]{0,60}") {
            drop(work_out(&text));
        }

        #[test]
        fn no_power_of_a_unit_makes_it_panic(
            one in any::<i32>(), other in any::<i32>(), unit in "(m|kn|foo|J)", sign in "[*/]",
        ) {
            drop(work_out(&format!("(1 {unit})^{one} {sign} (1 m)^{other}")));
        }

        #[test]
        fn whole_numbers_agree_with_those_of_the_machine(a in -1_000_000_i128..1_000_000, b in -1_000_000_i128..1_000_000, c in 1_i128..1_000) {
            prop_assert_eq!(is(&format!("{a} + {b} * {c}")), (a + b * c).to_string());
            prop_assert_eq!(is(&format!("({a} - {b}) * {c} / {c}")), (a - b).to_string());
            prop_assert_eq!(is(&format!("floor({a} / {c})")), a.div_euclid(c).to_string());
        }

        #[test]
        fn what_was_written_exactly_is_read_back(digits in 1_u64..u64::MAX, point in 0_u32..18) {
            let text = format!("{digits} / 10^{point}");
            let first = is(&text);
            prop_assert_eq!(is(&format!("{first} * 10^{point}")), digits.to_string());
        }
    }
}
