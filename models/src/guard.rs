//! Holds a reply to its constraint, token by token.
//!
//! The token that the model wants is checked alone; the mask over the whole vocabulary, a
//! hundred times dearer, is computed only when that token is refused, and at once where the
//! grammar leaves only one way to go on, since it costs least there. Drawing again from the mask
//! gives each token the chance that it would have had under the mask from the start; a greedy
//! reply looks at a few runners-up before. Any error of the grammar engine ends the reply: a
//! constraint that cannot be followed is never dropped.

use std::collections::BTreeSet;
use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use llguidance::Matcher;
use llguidance::toktrie::SimpleVob;

use crate::constraint::{Compiled, Prepared, failed};
use crate::error::ModelError;
use crate::sampler::{Among, Sampler};

/// Draws that llama.cpp's grammar may refuse before the likeliest allowed token is taken.
const REFUSALS: usize = 32;
/// Tokens that a greedy reply tries after the likeliest before a mask is computed. A mask where
/// much is allowed costs as much as some hundred of them.
const RUNNERS_UP: usize = 12;

/// The state of one constrained reply.
pub(crate) enum Guard {
    /// llguidance's.
    Matcher(Box<Held>),
    /// llama.cpp's.
    Gbnf(LlamaSampler),
}

impl Guard {
    /// The guard of a constraint, if it is one.
    pub(crate) fn new(compiled: Compiled, model: &LlamaModel) -> Result<Option<Self>, ModelError> {
        match compiled {
            Compiled::Free => Ok(None),
            Compiled::Matcher(held) => Ok(Some(Self::Matcher(held))),
            Compiled::Gbnf(grammar) => match LlamaSampler::grammar(model, &grammar, "root") {
                Ok(sampler) => Ok(Some(Self::Gbnf(sampler))),
                Err(error) => Err(failed(error)),
            },
        }
    }

    /// The next token, drawn from those that may come next; none where the model gives none of
    /// them a chance.
    pub(crate) fn pick(
        &mut self,
        sampler: &mut Sampler,
        logits: &[f32],
        is_end: impl Fn(u32) -> bool,
    ) -> Result<Option<u32>, ModelError> {
        match self {
            Self::Matcher(held) => held.pick(sampler, logits, is_end),
            Self::Gbnf(grammar) => Ok(pick_by_gbnf(grammar, sampler, logits)),
        }
    }

    /// Takes the next token.
    pub(crate) fn accept(&mut self, token: u32) -> Result<(), ModelError> {
        match self {
            Self::Matcher(held) => held.accept(token),
            Self::Gbnf(grammar) => grammar.try_accept(as_token(token)?).map_err(failed),
        }
    }

    /// Whether the reply has to end here. llama.cpp's grammars cannot say: they end when the
    /// model ends them.
    pub(crate) fn must_end(&self) -> bool {
        match self {
            Self::Matcher(held) => held.matcher.is_stopped(),
            Self::Gbnf(_) => false,
        }
    }
}

/// A reply that llguidance holds.
pub(crate) struct Held {
    matcher: Matcher,
    prepared: Arc<Prepared>,
    /// Bytes that come next whatever the model wants.
    forced: usize,
}

impl Held {
    pub(crate) fn new(matcher: Matcher, prepared: Arc<Prepared>) -> Self {
        Self { matcher, prepared, forced: 0 }
    }

    fn pick(
        &mut self,
        sampler: &mut Sampler,
        logits: &[f32],
        is_end: impl Fn(u32) -> bool,
    ) -> Result<Option<u32>, ModelError> {
        if self.forced == 0 {
            let Some(wanted) = sampler.pick(logits, Among::All) else { return Ok(None) };
            if self.allows(wanted, &is_end)? {
                return Ok(Some(wanted));
            }
            self.forced = self.matcher.compute_ff_bytes().len();
        }
        if self.forced == 0 {
            for _ in 0..RUNNERS_UP {
                let Some(next) = sampler.runner_up(logits) else { break };
                if self.allows(next, &is_end)? {
                    return Ok(Some(next));
                }
            }
        }
        let mask = self.mask()?;
        Ok(sampler.pick(logits, Among::Mask(&mask)))
    }

    fn allows(&mut self, token: u32, is_end: impl Fn(u32) -> bool) -> Result<bool, ModelError> {
        match is_end(token) {
            true => self.matcher.is_accepting().map_err(failed),
            false => Ok(self.matcher.validate_tokens(&[token]).map_err(failed)? == 1),
        }
    }

    fn mask(&mut self) -> Result<SimpleVob, ModelError> {
        let mask = self.matcher.compute_mask().map_err(failed)?;
        self.prepared.was_fuelled();
        Ok(mask)
    }

    fn accept(&mut self, token: u32) -> Result<(), ModelError> {
        self.matcher.consume_token(token).map_err(failed)?;
        self.forced = self.forced.saturating_sub(self.prepared.bytes_of(token));
        if !self.matcher.is_stopped() && self.prepared.needs_fuel() {
            self.mask()?;
        }
        Ok(())
    }
}

fn pick_by_gbnf(grammar: &mut LlamaSampler, sampler: &mut Sampler, logits: &[f32]) -> Option<u32> {
    let mut wanted = sampler.pick(logits, Among::All)?;
    let mut refused = BTreeSet::new();
    while !gbnf_allows(grammar, [wanted]).contains(&wanted) {
        refused.insert(wanted);
        if refused.len() > REFUSALS {
            return likeliest_allowed(grammar, logits, &refused);
        }
        wanted = sampler.pick(logits, Among::Except(&refused))?;
    }
    Some(wanted)
}

/// Which of the tokens a grammar lets come next.
fn gbnf_allows(grammar: &mut LlamaSampler, tokens: impl IntoIterator<Item = u32>) -> BTreeSet<u32> {
    let data = tokens
        .into_iter()
        .filter_map(|token| as_token(token).ok())
        .map(|token| LlamaTokenData::new(token, 0.0, 0.0))
        .collect();
    let mut array = LlamaTokenDataArray::new(data, false);
    grammar.apply(&mut array);
    let allowed = array.data.iter().filter(|data| data.logit().is_finite());
    allowed.map(|data| data.id().0.cast_unsigned()).collect()
}

/// The likeliest token that a grammar allows, looked for in ever larger bites.
fn likeliest_allowed(
    grammar: &mut LlamaSampler,
    logits: &[f32],
    refused: &BTreeSet<u32>,
) -> Option<u32> {
    let mut order: Vec<(u32, f32)> = (0_u32..)
        .zip(logits.iter().copied())
        .filter(|(token, logit)| logit.is_finite() && !refused.contains(token))
        .collect();
    order.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let (mut rest, mut bite) = (order.as_slice(), 64);
    while !rest.is_empty() {
        let (now, later) = rest.split_at(bite.min(rest.len()));
        let allowed = gbnf_allows(grammar, now.iter().map(|(token, _)| *token));
        if let Some((token, _)) = now.iter().find(|(token, _)| allowed.contains(token)) {
            return Some(*token);
        }
        (rest, bite) = (later, bite.saturating_mul(4));
    }
    None
}

fn as_token(id: u32) -> Result<LlamaToken, ModelError> {
    i32::try_from(id).map(LlamaToken).map_err(failed)
}

#[cfg(test)]
mod tests {
    use llama_cpp_2::model::params::LlamaModelParams;
    use serde_json::json;

    use super::*;
    use crate::backend::backend;
    use crate::constraint::Grammars;
    use crate::request::{Constraint, Sampling};
    use crate::sampler::next_random;

    fn model() -> LlamaModel {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/built-in/tiny-agent.gguf");
        LlamaModel::load_from_file(backend().unwrap(), path, &LlamaModelParams::default()).unwrap()
    }

    fn held(grammars: &Grammars, constraint: &Constraint) -> Held {
        match grammars.compile(constraint).unwrap() {
            Compiled::Matcher(held) => *held,
            _ => panic!("{constraint:?} needs no matcher"),
        }
    }

    fn logits(model: &LlamaModel, state: &mut u64) -> Vec<f32> {
        (0..model.n_vocab()).map(|_| (next_random(state) % 1_000) as f32 / 50.0).collect()
    }

    fn calls() -> Constraint {
        Constraint::JsonSchema(json!({ "oneOf": [
            {
                "type": "object", "required": ["tool", "to", "amount"], "additionalProperties": false,
                "properties": {
                    "tool": { "const": "pay" },
                    "to": { "type": "string", "maxLength": 12 },
                    "amount": { "type": "integer", "minimum": 0, "maximum": 5_000 },
                },
            },
            {
                "type": "object", "required": ["tool"], "additionalProperties": false,
                "properties": {
                    "tool": { "const": "list" },
                    "of": { "type": "array", "items": { "enum": ["a", "ab", "b"] }, "maxItems": 4 },
                },
            },
        ]}))
    }

    #[test]
    fn a_greedy_reply_is_the_one_that_masks_alone_would_give() {
        let model = model();
        let grammars = Grammars::new(&model).unwrap();
        let is_end = |token: u32| model.vocab().is_eog(LlamaToken(token.cast_signed()));
        let (mut state, mut tokens) = (7, 0);
        for _ in 0..60 {
            let (mut quick, mut slow) = (held(&grammars, &calls()), held(&grammars, &calls()));
            let greedy = || Sampler::new(Sampling::default()).unwrap();
            let (mut one, mut other) = (greedy(), greedy());
            while !quick.matcher.is_stopped() {
                let logits = logits(&model, &mut state);
                let picked = quick.pick(&mut one, &logits, is_end).unwrap();
                let mask = slow.mask().unwrap();
                assert_eq!(picked, other.pick(&logits, Among::Mask(&mask)));
                let token = picked.unwrap();
                if is_end(token) {
                    break;
                }
                quick.accept(token).unwrap();
                slow.accept(token).unwrap();
                tokens += 1;
            }
            assert_eq!(quick.matcher.is_accepting().ok(), slow.matcher.is_accepting().ok());
        }
        assert!(tokens > 500, "{tokens}");
    }

    #[test]
    fn a_reply_without_masks_does_not_run_its_automaton_dry() {
        let model = model();
        let grammars = Grammars::new(&model).unwrap();
        let constraint = Constraint::JsonSchema(json!({ "type": "string", "maxLength": 90_000 }));
        let tokens = |text: &str| model.vocab().tokenize(text.as_bytes(), false, false);
        let mut held = held(&grammars, &constraint);
        for token in tokens("\"") {
            held.accept(token.0.cast_unsigned()).unwrap();
        }
        // From here on there is the fuel of one mask.
        held.mask().unwrap();
        for step in 0..80_000 {
            for token in tokens("7") {
                let accepted = held.accept(token.0.cast_unsigned());
                accepted.unwrap_or_else(|error| panic!("letter {step}: {error}"));
            }
        }
    }

    #[test]
    fn a_constraint_is_compiled_once_until_its_automaton_is_large_or_broken() {
        let model = model();
        let grammars = Grammars::new(&model).unwrap();
        let first = held(&grammars, &calls());
        assert!(Arc::ptr_eq(&first.prepared, &held(&grammars, &calls()).prepared));
        // What is said in another order is another constraint: its replies have that order.
        let order = |names: [&str; 2]| {
            let named = |name: &str| (name.to_owned(), json!({ "type": "boolean" }));
            let properties = serde_json::Map::from_iter(names.map(named));
            Constraint::JsonSchema(json!({
                "type": "object", "properties": properties, "required": names,
                "additionalProperties": false,
            }))
        };
        let ordered = [order(["a", "b"]), order(["b", "a"])].map(|of| held(&grammars, &of));
        assert!(!Arc::ptr_eq(&ordered[0].prepared, &ordered[1].prepared));
        // A panic inside llguidance takes the automaton with it, and not the next request.
        let mut broken = held(&grammars, &calls());
        broken.matcher.test_trigger_lexer_error().unwrap_err();
        let after = held(&grammars, &calls());
        assert!(!Arc::ptr_eq(&first.prepared, &after.prepared));
        for number in 0..20 {
            held(&grammars, &Constraint::Choice(vec![number.to_string()]));
        }
        assert!(!Arc::ptr_eq(&after.prepared, &held(&grammars, &calls()).prepared), "forgotten");
    }
}
