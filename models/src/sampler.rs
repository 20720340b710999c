//! Chooses the next token from logits.
//!
//! Sums run over tokens in the order of their numbers, equals are settled by the lower number, and
//! exponentials are our own ([`number`](crate::number)), so that the choice is the same on every
//! machine that has the same logits.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use llguidance::toktrie::SimpleVob;

use crate::error::ModelError;
use crate::number::{exp_of_negative, ln};
use crate::ranking::Ranking;
use crate::request::Sampling;

/// Candidates that are sorted first where the likeliest ones are wanted; mostly they suffice.
const SORTED_FIRST: usize = 512;

/// Draws tokens.
#[derive(Debug)]
pub(crate) struct Sampler {
    sampling: Sampling,
    state: u64,
    /// What was written before, where repetition costs.
    written: Vec<u32>,
    penalised: Vec<f32>,
    candidates: Vec<Candidate>,
    ranking: Ranking,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    token: u32,
    weight: f64,
}

impl Sampler {
    /// Checks the parameters.
    pub(crate) fn new(sampling: Sampling) -> Result<Self, ModelError> {
        let Sampling { temperature, seed, top_p, min_p, repetition_penalty, .. } = sampling;
        let refuse = |what: &str, value: f32, range: &str| {
            Err(ModelError::Request(format!("{what} is {value}, and has to be {range}")))
        };
        if !temperature.is_finite() || temperature < 0.0 {
            return refuse("temperature", temperature, "0 or above");
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return refuse("top_p", top_p, "above 0 and at most 1");
        }
        if !(0.0..=1.0).contains(&min_p) {
            return refuse("min_p", min_p, "0 to 1");
        }
        if !repetition_penalty.is_finite() || repetition_penalty < 1.0 {
            return refuse("repetition_penalty", repetition_penalty, "1 or above");
        }
        Ok(Self {
            sampling,
            state: seed,
            written: Vec::new(),
            penalised: Vec::new(),
            candidates: Vec::new(),
            ranking: Ranking::default(),
        })
    }

    /// Picks a token, or none where none of them has a finite logit.
    pub(crate) fn pick(&mut self, logits: &[f32], among: Among<'_>) -> Option<u32> {
        let mut penalised = std::mem::take(&mut self.penalised);
        let picked = if self.written.is_empty() {
            self.pick_from(logits, among)
        } else {
            self.penalise(logits, &mut penalised);
            self.pick_from(&penalised, among)
        };
        self.penalised = penalised;
        picked
    }

    /// The token that a greedy pick among all of these logits would have given if it could not
    /// give those that it and this gave since; none for other samplers.
    pub(crate) fn runner_up(&mut self, logits: &[f32]) -> Option<u32> {
        if self.sampling.temperature > 0.0 {
            return None;
        }
        let logits = if self.written.is_empty() { logits } else { &self.penalised };
        self.ranking.next(logits)
    }

    /// Notes what was written.
    pub(crate) fn wrote(&mut self, token: u32) {
        if self.sampling.repetition_penalty > 1.0 && !self.written.contains(&token) {
            self.written.push(token);
        }
    }

    fn penalise(&self, logits: &[f32], penalised: &mut Vec<f32>) {
        penalised.clear();
        penalised.extend_from_slice(logits);
        for token in &self.written {
            if let Some(logit) = penalised.get_mut(*token as usize) {
                let penalty = self.sampling.repetition_penalty;
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }

    fn pick_from(&mut self, logits: &[f32], among: Among<'_>) -> Option<u32> {
        let (best, top) = match among {
            Among::All => self.ranking.first(logits),
            _ => None,
        }
        .or_else(|| best(logits, among))?;
        let Sampling { temperature, min_p, .. } = self.sampling;
        if temperature == 0.0 {
            return Some(best);
        }
        let (temperature, top) = (f64::from(temperature), f64::from(top));
        let candidates = &mut self.candidates;
        candidates.clear();
        let mut total = 0.0;
        among.visit(logits, |token, logit| {
            if logit.is_finite() {
                let weight = exp_of_negative((f64::from(logit) - top) / temperature);
                if weight > 0.0 && weight >= f64::from(min_p) {
                    total += weight;
                    candidates.push(Candidate { token, weight });
                }
            }
        });
        let total = self.keep_the_likeliest(total);
        let mut left = self.uniform() * total;
        for candidate in &self.candidates {
            left -= candidate.weight;
            if left < 0.0 {
                return Some(candidate.token);
            }
        }
        Some(best)
    }

    /// Applies `top_k` and `top_p`; returns the weight of what stays.
    fn keep_the_likeliest(&mut self, total: f64) -> f64 {
        let Sampling { top_k, top_p, .. } = self.sampling;
        let most = if top_k == 0 { usize::MAX } else { top_k as usize };
        if most >= self.candidates.len() && top_p >= 1.0 {
            return total;
        }
        let wanted = total * f64::from(top_p);
        let mut sorted = SORTED_FIRST;
        loop {
            let sorted_now = sorted.min(self.candidates.len());
            if sorted_now < self.candidates.len() {
                self.candidates.select_nth_unstable_by(sorted_now, likelier);
            }
            let Some(first) = self.candidates.get_mut(..sorted_now) else { return total };
            first.sort_unstable_by(likelier);
            let (mut kept, mut weight) = (0, 0.0);
            for candidate in first.iter().take(most) {
                if kept > 0 && weight >= wanted {
                    break;
                }
                weight += candidate.weight;
                kept += 1;
            }
            if kept < sorted_now || sorted_now == self.candidates.len() || kept == most {
                self.candidates.truncate(kept);
                return weight;
            }
            sorted = sorted.saturating_mul(8);
        }
    }

    /// A number from 0 up to 1, by SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom
    /// Number Generators, 2014).
    fn uniform(&mut self) -> f64 {
        (next_random(&mut self.state) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The next number of a SplitMix64 sequence.
pub(crate) fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn likelier(a: &Candidate, b: &Candidate) -> Ordering {
    b.weight.total_cmp(&a.weight).then(a.token.cmp(&b.token))
}

/// The tokens that come into question.
#[derive(Clone, Copy)]
pub(crate) enum Among<'a> {
    All,
    /// Those of a mask. Costs what the mask holds, not what the vocabulary does.
    Mask(&'a SimpleVob),
    Except(&'a BTreeSet<u32>),
}

impl Among<'_> {
    /// Visits the tokens with their logits, in the order of their numbers.
    fn visit(self, logits: &[f32], mut visit: impl FnMut(u32, f32)) {
        match self {
            Self::All => (0..).zip(logits).for_each(|(token, logit)| visit(token, *logit)),
            Self::Mask(mask) => mask.iter_set_entries(|token| {
                if let (Some(logit), Ok(token)) = (logits.get(token), u32::try_from(token)) {
                    visit(token, *logit);
                }
            }),
            Self::Except(refused) => {
                for (token, logit) in (0..).zip(logits) {
                    if !refused.contains(&token) {
                        visit(token, *logit);
                    }
                }
            }
        }
    }
}

/// The likeliest token and its logit; the first of equals, so that it is the same everywhere.
fn best(logits: &[f32], among: Among<'_>) -> Option<(u32, f32)> {
    let mut best: Option<(u32, f32)> = None;
    among.visit(logits, |token, logit| {
        if best.is_none_or(|(_, top)| logit > top) && logit.is_finite() {
            best = Some((token, logit));
        }
    });
    best
}

/// The logarithms of the probabilities of `token` and of the `count` likeliest tokens.
pub(crate) fn logprobs(logits: &[f32], token: u32, count: usize) -> (f64, Vec<(u32, f64)>) {
    let Some((_, top)) = best(logits, Among::All) else { return (f64::NEG_INFINITY, Vec::new()) };
    let relative = |logit: f32| f64::from(logit) - f64::from(top);
    let finite = || (0_u32..).zip(logits).filter(|(_, logit)| logit.is_finite());
    let total = ln(finite().map(|(_, logit)| exp_of_negative(relative(*logit))).sum());
    let mut all: Vec<(u32, f32)> = finite().map(|(token, logit)| (token, *logit)).collect();
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if count < all.len() {
        all.select_nth_unstable_by(count, order);
        all.truncate(count);
    }
    all.sort_unstable_by(order);
    let likeliest = all.into_iter().map(|(token, logit)| (token, relative(logit) - total));
    let chosen = logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
    (relative(chosen) - total, likeliest.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(sampling: Sampling) -> Sampler {
        Sampler::new(sampling).unwrap()
    }

    fn greedy() -> Sampler {
        sampler(Sampling::default())
    }

    fn warm(seed: u64) -> Sampling {
        Sampling { temperature: 1.0, seed, ..Sampling::default() }
    }

    fn draws(sampling: Sampling, logits: &[f32]) -> Vec<u32> {
        let mut sampler = sampler(sampling);
        let many = if logits.len() > 100 { 600 } else { 6_000 };
        (0..many).map(|_| sampler.pick(logits, Among::All).unwrap()).collect()
    }

    fn count(draws: &[u32], token: u32) -> usize {
        draws.iter().filter(|&&drawn| drawn == token).count()
    }

    #[test]
    fn greedy_takes_the_first_of_the_likeliest_that_is_allowed() {
        let logits = [0.5, f32::NAN, 3.0, 3.0, f32::INFINITY];
        assert_eq!(greedy().pick(&logits, Among::All), Some(2));
        let except = |tokens: &[u32]| {
            greedy().pick(&logits, Among::Except(&tokens.iter().copied().collect()))
        };
        assert_eq!(except(&[2, 3, 4]), Some(0));
        assert_eq!(except(&[0, 2, 3]), None);
        let mask =
            |bits: [bool; 5]| greedy().pick(&logits, Among::Mask(&SimpleVob::from_slice(&bits)));
        assert_eq!(mask([true, true, false, true, true]), Some(3));
        assert_eq!(mask([false, true, false, false, true]), None);
    }

    #[test]
    fn runners_up_are_what_a_greedy_pick_without_the_ones_before_gives() {
        let mut state = 5;
        for length in [1, 15, 16, 17, 255, 256, 257, 1_000] {
            let logits: Vec<f32> =
                (0..length).map(|_| (next_random(&mut state) % 50) as f32 - 25.0).collect();
            let mut sampler = sampler(Sampling { repetition_penalty: 1.5, ..Sampling::default() });
            sampler.wrote(0);
            let mut taken = BTreeSet::from_iter(sampler.pick(&logits, Among::All));
            for _ in 0..20 {
                let next = sampler.runner_up(&logits);
                let mut other = self::sampler(sampler.sampling);
                other.wrote(0);
                assert_eq!(next, other.pick(&logits, Among::Except(&taken)), "{length}");
                taken.extend(next);
            }
        }
        assert_eq!(sampler(warm(1)).runner_up(&[1.0, 2.0]), None);
    }

    #[test]
    fn draws_follow_the_distribution_and_repeat_with_the_seed() {
        let logits = [0.0, 2.0_f32.ln(), f32::NEG_INFINITY];
        let drawn = draws(warm(7), &logits);
        let twos = count(&drawn, 1);
        assert!((3_850..4_150).contains(&twos), "{twos} of 6000 for a chance of 2/3");
        assert_eq!(drawn, draws(warm(7), &logits));
        assert_ne!(drawn, draws(warm(8), &logits));
    }

    #[test]
    fn the_controls_leave_the_likeliest_and_their_proportions() {
        // Probabilities of 0.4, 0.3, 0.2 and 0.1.
        let logits = [0.1_f32.ln(), 0.4_f32.ln(), 0.2_f32.ln(), 0.3_f32.ln()];
        for sampling in [
            Sampling { top_k: 2, ..warm(1) },
            Sampling { top_p: 0.65, ..warm(1) },
            Sampling { min_p: 0.6, ..warm(1) },
        ] {
            let drawn = draws(sampling, &logits);
            assert_eq!(count(&drawn, 0) + count(&drawn, 2), 0, "{sampling:?}");
            let most = count(&drawn, 1);
            assert!((3_270..3_590).contains(&most), "{most} of 6000 for 4/7: {sampling:?}");
        }
        // The likeliest stays, however little is wanted.
        assert_eq!(count(&draws(Sampling { top_p: 1e-6, ..warm(1) }, &logits), 1), 6_000);
    }

    #[test]
    fn controls_over_many_candidates_keep_as_many_as_they_say() {
        let logits = vec![0.5_f32; 5_000];
        let drawn = draws(Sampling { top_p: 0.5, ..warm(3) }, &logits);
        let highest = drawn.iter().max().unwrap();
        assert!((2_400..2_500).contains(highest), "{highest}");
        let drawn = draws(Sampling { top_k: 700, ..warm(3) }, &logits);
        assert!((680..700).contains(drawn.iter().max().unwrap()));
    }

    #[test]
    fn what_was_written_becomes_less_likely() {
        let mut sampler = sampler(Sampling { repetition_penalty: 2.0, ..Sampling::default() });
        let logits = [4.0, 3.0, -1.0];
        assert_eq!(sampler.pick(&logits, Among::All), Some(0));
        sampler.wrote(0);
        assert_eq!(sampler.pick(&logits, Among::All), Some(1));
    }

    #[test]
    fn logprobs_are_the_logarithms_of_probabilities() {
        let logits = [0.1_f32.ln(), 0.4_f32.ln(), 0.2_f32.ln(), 0.3_f32.ln()];
        let (chosen, likeliest) = logprobs(&logits, 2, 2);
        assert!((chosen - 0.2_f64.ln()).abs() < 1e-6, "{chosen}");
        assert_eq!(likeliest.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [1, 3]);
        assert!((likeliest[0].1 - 0.4_f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn controls_outside_their_range_are_refused() {
        for temperature in [-0.1, f32::NAN, f32::INFINITY] {
            assert!(Sampler::new(Sampling { temperature, ..Sampling::default() }).is_err());
        }
        for bad in [
            Sampling { top_p: 0.0, ..Sampling::default() },
            Sampling { min_p: 1.5, ..Sampling::default() },
            Sampling { repetition_penalty: f32::NAN, ..Sampling::default() },
        ] {
            assert!(Sampler::new(bad).is_err(), "{bad:?}");
        }
    }
}
