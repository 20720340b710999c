//! Holds a reply to a schema, an expression, a choice or a grammar, token by token.
//!
//! The token that the model wants is checked alone; the mask over the whole vocabulary, a
//! hundred times dearer, is computed only when that token is refused. Drawing again from the
//! mask gives each token the chance that it would have had under the mask from the start. Any
//! error of the grammar engine ends the reply: a constraint that cannot be followed is never
//! dropped.

use std::collections::BTreeSet;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use llguidance::api::TopLevelGrammar;
use llguidance::{JsonCompileOptions, Matcher, ParserFactory};
use serde_json::{Value, json};

use crate::error::ModelError;
use crate::request::Constraint;
use crate::sampler::{Among, Sampler};

/// Draws that llama.cpp's grammar may refuse before the likeliest allowed token is taken.
const REFUSALS: usize = 32;

/// Compiles constraints for the vocabulary of one model.
pub(crate) struct Grammars {
    factory: ParserFactory,
}

/// A constraint on its way to the engine's thread.
pub(crate) enum Compiled {
    Free,
    Matcher(Box<Matcher>),
    /// Compiled where it is used: llama.cpp's grammars cannot change threads.
    Gbnf(String),
}

impl Grammars {
    /// Walks the vocabulary; some hundred milliseconds for a large one.
    pub(crate) fn new(model: &LlamaModel) -> Result<Self, ModelError> {
        let environment = LlamaSampler::llguidance_tok_env(model);
        let mut factory = ParserFactory::new_simple(&environment).map_err(failed)?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory })
    }

    /// Compiles a constraint.
    pub(crate) fn compile(&self, constraint: &Constraint) -> Result<Compiled, ModelError> {
        match constraint {
            Constraint::None => Ok(Compiled::Free),
            Constraint::JsonSchema(schema) => self.matcher(json_grammar(schema)?),
            Constraint::Regex(expression) => self.matcher(TopLevelGrammar::from_regex(expression)),
            Constraint::Choice(texts) => self.matcher(choice(texts)?),
            Constraint::Gbnf(grammar) => Ok(Compiled::Gbnf(grammar.clone())),
        }
    }

    fn matcher(&self, grammar: TopLevelGrammar) -> Result<Compiled, ModelError> {
        let mut matcher = Matcher::new(self.factory.create_parser(grammar));
        match matcher.get_error() {
            Some(error) => Err(failed(error)),
            None => {
                for warning in matcher.grammar_warnings() {
                    tracing::debug!("{warning}");
                }
                Ok(Compiled::Matcher(Box::new(matcher)))
            }
        }
    }
}

fn json_grammar(schema: &Value) -> Result<TopLevelGrammar, ModelError> {
    let mut schema = schema.clone();
    if !schema.is_object() {
        return Err(ModelError::Constraint("a schema has to be a JSON object".to_owned()));
    }
    drop_number_formats(&mut schema);
    // White space between tokens would let a small model write blanks until it runs out.
    JsonCompileOptions { whitespace_flexible: false, ..JsonCompileOptions::default() }
        .apply_to(&mut schema);
    Ok(TopLevelGrammar::from_json_schema(schema))
}

fn choice(texts: &[String]) -> Result<TopLevelGrammar, ModelError> {
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        let why = "a choice needs texts, none of them empty";
        return Err(ModelError::Constraint(why.to_owned()));
    }
    // Lark's strings are JSON's.
    let texts: Vec<String> = texts.iter().map(|text| json!(text).to_string()).collect();
    Ok(TopLevelGrammar::from_lark(format!("start: {}", texts.join(" | "))))
}

/// `uint64` and the like say how a number is stored; JSON Schema does not know them, and their
/// bounds stand beside them.
fn drop_number_formats(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            let numeric = matches!(
                map.get("format").and_then(Value::as_str),
                Some(
                    "int"
                        | "int8"
                        | "int16"
                        | "int32"
                        | "int64"
                        | "int128"
                        | "uint"
                        | "uint8"
                        | "uint16"
                        | "uint32"
                        | "uint64"
                        | "uint128"
                        | "float"
                        | "double"
                )
            );
            if numeric {
                map.remove("format");
            }
            map.values_mut().for_each(drop_number_formats);
        }
        Value::Array(values) => values.iter_mut().for_each(drop_number_formats),
        _ => {}
    }
}

/// The state of one constrained reply.
pub(crate) enum Guard {
    /// llguidance's.
    Matcher(Box<Matcher>),
    /// llama.cpp's.
    Gbnf(LlamaSampler),
}

impl Guard {
    /// The guard of a constraint, if it is one.
    pub(crate) fn new(compiled: Compiled, model: &LlamaModel) -> Result<Option<Self>, ModelError> {
        match compiled {
            Compiled::Free => Ok(None),
            Compiled::Matcher(matcher) => Ok(Some(Self::Matcher(matcher))),
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
        let Some(wanted) = sampler.pick(logits, Among::All) else { return Ok(None) };
        match self {
            Self::Matcher(matcher) => {
                let allowed = match is_end(wanted) {
                    true => matcher.is_accepting().map_err(failed)?,
                    false => matcher.validate_tokens(&[wanted]).map_err(failed)? == 1,
                };
                if allowed {
                    return Ok(Some(wanted));
                }
                let mask = matcher.compute_mask().map_err(failed)?;
                Ok(sampler.pick(logits, Among::Mask(&mask)))
            }
            Self::Gbnf(grammar) => {
                let mut refused = BTreeSet::new();
                let mut wanted = wanted;
                while !gbnf_allows(grammar, [wanted]).contains(&wanted) {
                    refused.insert(wanted);
                    if refused.len() > REFUSALS {
                        return Ok(likeliest_allowed(grammar, logits, &refused));
                    }
                    match sampler.pick(logits, Among::Except(&refused)) {
                        Some(next) => wanted = next,
                        None => return Ok(None),
                    }
                }
                Ok(Some(wanted))
            }
        }
    }

    /// Takes the next token.
    pub(crate) fn accept(&mut self, token: u32) -> Result<(), ModelError> {
        match self {
            Self::Matcher(matcher) => matcher.consume_token(token).map_err(failed),
            Self::Gbnf(grammar) => grammar.try_accept(as_token(token)?).map_err(failed),
        }
    }

    /// Whether the reply has to end here. llama.cpp's grammars cannot say: they end when the
    /// model ends them.
    pub(crate) fn must_end(&self) -> bool {
        match self {
            Self::Matcher(matcher) => matcher.is_stopped(),
            Self::Gbnf(_) => false,
        }
    }
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

fn failed(error: impl std::fmt::Display) -> ModelError {
    // The engine's errors may go on for pages; the first line says what.
    let text = error.to_string();
    ModelError::Constraint(text.lines().next().unwrap_or_default().to_owned())
}
