//! The units that are known, by their usual signs. Any other word counts itself.
//!
//! Factors are exact by definition: the international yard and pound (1959), the nautical mile
//! (1929), the SI brochure (2019), IEC 80000-13 for binary prefixes.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One as _, Zero as _};
use std::collections::BTreeMap;

/// Powers of base units.
pub(super) type Dimension = BTreeMap<String, i32>;

/// What a unit is.
pub(super) struct Scale {
    /// What it measures.
    pub(super) dimension: Dimension,
    /// Base units in one of it.
    pub(super) times: BigRational,
    /// How many of it lie between the base unit's zero and its own.
    pub(super) from: BigRational,
}

type Bases = &'static [(&'static str, i32)];

const LENGTH: Bases = &[("m", 1)];
const MASS: Bases = &[("kg", 1)];
const TIME: Bases = &[("s", 1)];
const DATA: Bases = &[("B", 1)];
const SPEED: Bases = &[("m", 1), ("s", -1)];
const VOLUME: Bases = &[("m", 3)];
const ENERGY: Bases = &[("kg", 1), ("m", 2), ("s", -2)];
const POWER: Bases = &[("kg", 1), ("m", 2), ("s", -3)];
const FREQUENCY: Bases = &[("s", -1)];
const HEAT: Bases = &[("K", 1)];

/// Sign, what it measures, and the fraction of base units in one.
const UNITS: &[(&str, Bases, u128, u128)] = &[
    ("m", LENGTH, 1, 1),
    ("km", LENGTH, 1_000, 1),
    ("cm", LENGTH, 1, 100),
    ("mm", LENGTH, 1, 1_000),
    ("in.", LENGTH, 254, 10_000),
    ("ft", LENGTH, 3_048, 10_000),
    ("yd", LENGTH, 9_144, 10_000),
    ("mi", LENGTH, 1_609_344, 1_000),
    ("nmi", LENGTH, 1_852, 1),
    ("kg", MASS, 1, 1),
    ("g", MASS, 1, 1_000),
    ("mg", MASS, 1, 1_000_000),
    ("t", MASS, 1_000, 1),
    ("lb", MASS, 45_359_237, 100_000_000),
    ("oz", MASS, 45_359_237, 1_600_000_000),
    ("s", TIME, 1, 1),
    ("ms", TIME, 1, 1_000),
    ("us", TIME, 1, 1_000_000),
    ("min", TIME, 60, 1),
    ("h", TIME, 3_600, 1),
    ("d", TIME, 86_400, 1),
    ("wk", TIME, 604_800, 1),
    ("B", DATA, 1, 1),
    ("bit", DATA, 1, 8),
    ("kB", DATA, 1_000, 1),
    ("MB", DATA, 1_000_000, 1),
    ("GB", DATA, 1_000_000_000, 1),
    ("TB", DATA, 1_000_000_000_000, 1),
    ("KiB", DATA, 1 << 10, 1),
    ("MiB", DATA, 1 << 20, 1),
    ("GiB", DATA, 1 << 30, 1),
    ("TiB", DATA, 1 << 40, 1),
    ("kn", SPEED, 1_852, 3_600),
    ("mph", SPEED, 1_609_344, 3_600_000),
    ("L", VOLUME, 1, 1_000),
    ("mL", VOLUME, 1, 1_000_000),
    ("J", ENERGY, 1, 1),
    ("kJ", ENERGY, 1_000, 1),
    ("Wh", ENERGY, 3_600, 1),
    ("kWh", ENERGY, 3_600_000, 1),
    ("MWh", ENERGY, 3_600_000_000, 1),
    ("W", POWER, 1, 1),
    ("kW", POWER, 1_000, 1),
    ("MW", POWER, 1_000_000, 1),
    ("Hz", FREQUENCY, 1, 1),
    ("K", HEAT, 1, 1),
    ("C", HEAT, 1, 1),
    ("F", HEAT, 5, 9),
];

/// What a word counts.
pub(super) fn known(name: &str) -> Scale {
    let fraction =
        |above: u128, below: u128| BigRational::new(BigInt::from(above), BigInt::from(below));
    let from = match name {
        "C" => fraction(27_315, 100),
        "F" => fraction(45_967, 100),
        _ => BigRational::zero(),
    };
    match UNITS.iter().find(|(sign, ..)| *sign == name) {
        Some((_, bases, above, below)) => Scale {
            dimension: bases.iter().map(|(base, by)| ((*base).to_owned(), *by)).collect(),
            times: fraction(*above, *below),
            from,
        },
        None => Scale {
            // No known sign is followed by a quote, so a word is never taken for one.
            dimension: BTreeMap::from([(format!("{name}'"), 1)]),
            times: BigRational::one(),
            from,
        },
    }
}
