//! Chooses the next token from the model's logits.

use crate::error::ModelError;
use crate::request::Sampling;

/// The choice of one reply: greedy, or a seeded draw.
pub(crate) struct Sampler {
    temperature: f64,
    state: u64,
}

impl Sampler {
    /// Checks the parameters.
    pub(crate) fn new(sampling: Sampling) -> Result<Self, ModelError> {
        let Sampling { temperature, seed } = sampling;
        if !temperature.is_finite() || temperature < 0.0 {
            return Err(ModelError::Request(format!(
                "temperature is {temperature}, and has to be 0 or above"
            )));
        }
        Ok(Self { temperature: temperature.into(), state: seed })
    }

    /// Picks one of the `allowed` tokens, or none where no allowed one has a finite logit.
    pub(crate) fn pick(&mut self, logits: &[f32], allowed: impl Fn(u32) -> bool) -> Option<u32> {
        let candidates = || {
            (0_u32..)
                .zip(logits)
                .filter(|&(token, logit)| logit.is_finite() && allowed(token))
                .map(|(token, logit)| (token, f64::from(*logit)))
        };
        // The first of equals, so that the choice is the same everywhere.
        let (best, top) = candidates().reduce(|a, b| if b.1 > a.1 { b } else { a })?;
        if self.temperature == 0.0 {
            return Some(best);
        }
        let temperature = self.temperature;
        let weight = |logit: f64| ((logit - top) / temperature).exp();
        let total: f64 = candidates().map(|(_, logit)| weight(logit)).sum();
        let mut left = self.uniform() * total;
        for (token, logit) in candidates() {
            left -= weight(logit);
            if left < 0.0 {
                return Some(token);
            }
        }
        Some(best)
    }

    /// A number from 0 up to 1, by SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom
    /// Number Generators, 2014).
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(temperature: f32, seed: u64) -> Sampler {
        Sampler::new(Sampling { temperature, seed }).unwrap()
    }

    #[test]
    fn greedy_takes_the_first_of_the_likeliest_that_is_allowed() {
        let logits = [0.5, f32::NAN, 3.0, 3.0, f32::INFINITY];
        assert_eq!(sampler(0.0, 1).pick(&logits, |_| true), Some(2));
        assert_eq!(sampler(0.0, 1).pick(&logits, |token| token < 2), Some(0));
        assert_eq!(sampler(0.0, 1).pick(&logits, |token| token == 1), None);
    }

    #[test]
    fn draws_follow_the_distribution_and_repeat_with_the_seed() {
        let logits = [0.0, 2.0_f32.ln(), f32::NEG_INFINITY];
        let draw = |seed| {
            let mut sampler = sampler(1.0, seed);
            (0..6_000).map(|_| sampler.pick(&logits, |_| true).unwrap()).collect::<Vec<_>>()
        };
        let draws = draw(7);
        let twos = draws.iter().filter(|&&token| token == 1).count();
        assert!((3_850..4_150).contains(&twos), "{twos} of 6000 for a chance of 2/3");
        assert_eq!(draws, draw(7));
        assert_ne!(draws, draw(8));
    }

    #[test]
    fn a_temperature_below_zero_or_without_a_value_is_refused() {
        for temperature in [-0.1, f32::NAN, f32::INFINITY] {
            assert!(Sampler::new(Sampling { temperature, seed: 0 }).is_err());
        }
    }
}
