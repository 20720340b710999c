//! The likeliest of many logits, and the next ones after it, in one pass over all of them.
//!
//! The pass keeps the highest logit of each block; who comes next is then found among those and in
//! one block. Equals come in the order of their numbers, so that the choice is the same everywhere.

/// Logits of one block; a multiple of [`LANES`].
const BLOCK: usize = 256;
/// Comparisons that the compiler makes at once.
const LANES: usize = 16;

/// Who is likeliest.
#[derive(Debug, Default)]
pub(crate) struct Ranking {
    /// The highest logit of each block, but for those that were given.
    tops: Vec<f32>,
    given: Vec<u32>,
}

impl Ranking {
    /// The likeliest token and its logit, if no logit is infinitely high and one is finite.
    pub(crate) fn first(&mut self, logits: &[f32]) -> Option<(u32, f32)> {
        self.given.clear();
        self.tops.clear();
        self.tops.extend(logits.chunks(BLOCK).map(highest));
        if self.tops.contains(&f32::INFINITY) {
            self.tops.clear();
        }
        self.take(logits)
    }

    /// The likeliest token after those that were given, of the same logits as before.
    pub(crate) fn next(&mut self, logits: &[f32]) -> Option<u32> {
        let last = *self.given.last()?;
        let at = last as usize / BLOCK;
        let mut top = f32::NEG_INFINITY;
        for (token, logit) in block(logits, at) {
            if logit > top && !self.given.contains(&token) {
                top = logit;
            }
        }
        *self.tops.get_mut(at)? = top;
        self.take(logits).map(|(token, _)| token)
    }

    fn take(&mut self, logits: &[f32]) -> Option<(u32, f32)> {
        let top = highest(&self.tops);
        if !top.is_finite() {
            self.given.clear();
            return None;
        }
        let at = self.tops.iter().position(|of_block| *of_block == top)?;
        let mut tokens = block(logits, at);
        let best = tokens.find(|(token, logit)| *logit == top && !self.given.contains(token))?;
        self.given.push(best.0);
        Some(best)
    }
}

fn block(logits: &[f32], at: usize) -> impl Iterator<Item = (u32, f32)> {
    let start = at.saturating_mul(BLOCK);
    let first = u32::try_from(start).unwrap_or(u32::MAX);
    let logits = logits.get(start..).unwrap_or_default().iter().copied().take(BLOCK);
    (first..).zip(logits)
}

/// The highest of the logits. What is no number is not above anything.
fn highest(logits: &[f32]) -> f32 {
    let (rows, rest) = logits.as_chunks::<LANES>();
    let mut tops = [f32::NEG_INFINITY; LANES];
    for row in rows {
        for (top, logit) in tops.iter_mut().zip(row) {
            *top = if *logit > *top { *logit } else { *top };
        }
    }
    tops.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}
