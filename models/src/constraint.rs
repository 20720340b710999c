//! Holds a reply to a JSON schema, token by token.
//!
//! The token that the model wants is checked alone; the mask over the whole vocabulary, a
//! hundred times dearer, is computed only when that token is refused. Any error of the grammar
//! engine ends the reply: a constraint that cannot be followed is never dropped.

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::SimpleVob;
use llguidance::{JsonCompileOptions, Matcher, ParserFactory};
use serde_json::Value;

use crate::error::ModelError;

/// Compiles schemas for the vocabulary of one model.
pub(crate) struct Grammars {
    factory: ParserFactory,
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

    /// Compiles a schema.
    pub(crate) fn guard(&self, schema: &Value) -> Result<Guard, ModelError> {
        let mut schema = schema.clone();
        if !schema.is_object() {
            return Err(ModelError::Constraint("a schema has to be a JSON object".to_owned()));
        }
        drop_number_formats(&mut schema);
        // White space between tokens would let a small model write blanks until it runs out.
        JsonCompileOptions { whitespace_flexible: false, ..JsonCompileOptions::default() }
            .apply_to(&mut schema);
        let grammar = TopLevelGrammar::from_json_schema(schema);
        let mut matcher = Matcher::new(self.factory.create_parser(grammar));
        match matcher.get_error() {
            Some(error) => Err(failed(error)),
            None => {
                for warning in matcher.grammar_warnings() {
                    tracing::debug!("{warning}");
                }
                Ok(Guard { matcher })
            }
        }
    }
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
pub(crate) struct Guard {
    matcher: Matcher,
}

impl Guard {
    /// Whether `token` may come next.
    pub(crate) fn allows(&mut self, token: u32) -> Result<bool, ModelError> {
        Ok(self.matcher.validate_tokens(&[token]).map_err(failed)? == 1)
    }

    /// Which tokens may come next.
    pub(crate) fn mask(&mut self) -> Result<SimpleVob, ModelError> {
        self.matcher.compute_mask().map_err(failed)
    }

    /// Takes the next token.
    pub(crate) fn accept(&mut self, token: u32) -> Result<(), ModelError> {
        self.matcher.consume_token(token).map_err(failed)
    }

    /// Whether the reply could end here.
    pub(crate) fn may_end(&mut self) -> Result<bool, ModelError> {
        self.matcher.is_accepting().map_err(failed)
    }

    /// Whether the reply has to end here.
    pub(crate) fn must_end(&self) -> bool {
        self.matcher.is_stopped()
    }
}

fn failed(error: impl std::fmt::Display) -> ModelError {
    // The engine's errors may go on for pages; the first line says what.
    let text = error.to_string();
    ModelError::Constraint(text.lines().next().unwrap_or_default().to_owned())
}
