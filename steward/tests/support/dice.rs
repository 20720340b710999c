//! Random numbers that a seed repeats: SplitMix64, by Steele, Lea and Flood.

#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self(seed);
        // Neighbouring seeds have nothing in common.
        dice.0 = dice.next() ^ seed.rotate_left(32);
        dice
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to one less than `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True in so many cases of a hundred.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn index(&mut self, of: usize) -> usize {
        usize::try_from(self.below(of as u64)).unwrap()
    }

    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    pub(crate) fn hash(&mut self) -> alloy_primitives::B256 {
        let mut bytes = [0; 32];
        for word in bytes.chunks_mut(8) {
            word.copy_from_slice(&self.next().to_be_bytes());
        }
        alloy_primitives::B256::from(bytes)
    }
}

/// A whole number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?.replace('_', "");
    // Other suites take a seed of 64 hex digits; its end will do here.
    match text.len() {
        64 => u64::from_str_radix(text.get(48..)?, 16).ok(),
        _ => text.parse().ok(),
    }
}

/// `MARQUE_SEED`, or one by chance that is short enough to be typed; told in either case.
pub(crate) fn seed(of: &str) -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    let by_chance = || RandomState::new().hash_one(0) % 1_000_000_000;
    let seed = number("MARQUE_SEED").unwrap_or_else(by_chance);
    eprintln!("{of}: MARQUE_SEED={seed}");
    seed
}
