//! Compiles a schema, an expression, a choice or a grammar into what holds a reply to it.
//!
//! An agent asks with the same schema step after step. What was compiled is kept, and with it the
//! automaton of the grammar's words, which is built as it is needed: every reply under the same
//! constraint goes on with what earlier ones have built. It is compiled anew before it grows too
//! large, or when one of its replies has failed.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llguidance::api::TopLevelGrammar;
use llguidance::earley::regexvec::LexerStats;
use llguidance::panic_utils::catch_unwind;
use llguidance::{JsonCompileOptions, Matcher, ParserFactory, TokenParser};
use serde_json::{Value, json};

use crate::error::ModelError;
use crate::guard::Held;
use crate::request::Constraint;

/// Constraints that are kept, the latest used.
const KEPT: usize = 16;
/// The states of an automaton from which on the constraint is compiled anew, one or two KiB each.
const STATES: usize = 20_000;
/// What an automaton may spend on new states before it is asked for a mask, which gives it as much
/// again as llguidance allows for one ([`llguidance::api::ParserLimits::step_lexer_fuel`], 200,000). Without
/// masks it would run dry for good.
const FUEL: usize = 50_000;

/// Compiles constraints for the vocabulary of one model.
pub(crate) struct Grammars {
    factory: ParserFactory,
    /// With their texts, the latest used first.
    known: Mutex<VecDeque<(String, Arc<Prepared>)>>,
}

/// A constraint on its way to the engine's thread.
pub(crate) enum Compiled {
    Free,
    Matcher(Box<Held>),
    /// Compiled where it is used: llama.cpp's grammars cannot change threads.
    Gbnf(String),
}

/// A compiled constraint before its first token, and the automaton that its replies share.
pub(crate) struct Prepared {
    parser: TokenParser,
    /// What the automaton had spent when it was last given fuel.
    fuelled: AtomicUsize,
}

impl Prepared {
    fn new(parser: TokenParser) -> Self {
        let prepared = Self { parser, fuelled: AtomicUsize::new(0) };
        prepared.was_fuelled();
        prepared
    }

    /// The length of a token's text.
    pub(crate) fn bytes_of(&self, token: u32) -> usize {
        self.parser.token_env.tok_trie().token_len(token)
    }

    /// What the automaton is by now. A panic in the middle of a reply leaves none.
    fn automaton(&self) -> Option<LexerStats> {
        catch_unwind(AssertUnwindSafe(|| Ok(self.parser.parser.lexer_stats()))).ok()
    }

    fn is_usable(&self) -> bool {
        self.automaton().is_some_and(|now| !now.error && now.num_states < STATES)
    }

    /// Whether the automaton has spent so much that it needs a mask to be computed.
    pub(crate) fn needs_fuel(&self) -> bool {
        let spent = self.automaton().map_or(usize::MAX, |now| now.total_fuel_spent);
        spent.saturating_sub(self.fuelled.load(Ordering::Relaxed)) > FUEL
    }

    /// A mask was computed.
    pub(crate) fn was_fuelled(&self) {
        if let Some(now) = self.automaton() {
            self.fuelled.store(now.total_fuel_spent, Ordering::Relaxed);
        }
    }
}

impl Grammars {
    /// Walks the vocabulary; some hundred milliseconds for a large one.
    pub(crate) fn new(model: &LlamaModel) -> Result<Self, ModelError> {
        let environment = LlamaSampler::llguidance_tok_env(model);
        let mut factory = ParserFactory::new_simple(&environment).map_err(failed)?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory, known: Mutex::default() })
    }

    /// Compiles a constraint, unless it is known.
    pub(crate) fn compile(&self, constraint: &Constraint) -> Result<Compiled, ModelError> {
        let key = match constraint {
            Constraint::None => return Ok(Compiled::Free),
            Constraint::Gbnf(grammar) => return Ok(Compiled::Gbnf(grammar.clone())),
            Constraint::JsonSchema(schema) => format!("schema {schema}"),
            Constraint::Regex(expression) => format!("regex {expression}"),
            Constraint::Choice(texts) => format!("choice {texts:?}"),
        };
        if let Some(prepared) = self.recall(&key) {
            return Ok(Compiled::Matcher(Box::new(begin(prepared)?)));
        }
        let grammar = match constraint {
            Constraint::JsonSchema(schema) => json_grammar(schema)?,
            Constraint::Regex(expression) => TopLevelGrammar::from_regex(expression),
            Constraint::Choice(texts) => choice(texts)?,
            Constraint::None | Constraint::Gbnf(_) => return Ok(Compiled::Free),
        };
        let parser = self.factory.create_parser(grammar).map_err(failed)?;
        let prepared = Arc::new(Prepared::new(parser));
        let held = begin(Arc::clone(&prepared))?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.push_front((key, prepared));
        known.truncate(KEPT);
        Ok(Compiled::Matcher(Box::new(held)))
    }

    fn recall(&self, key: &str) -> Option<Arc<Prepared>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let at = known.iter().position(|(text, _)| text == key)?;
        let (text, prepared) = known.remove(at)?;
        prepared.is_usable().then(|| {
            known.push_front((text, Arc::clone(&prepared)));
            prepared
        })
    }
}

/// The state before the first token.
fn begin(prepared: Arc<Prepared>) -> Result<Held, ModelError> {
    let mut matcher = Matcher::new(Ok(prepared.parser.clone()));
    match matcher.get_error() {
        Some(error) => Err(failed(error)),
        None => {
            for warning in matcher.grammar_warnings() {
                tracing::debug!("{warning}");
            }
            Ok(Held::new(matcher, prepared))
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

pub(crate) fn failed(error: impl std::fmt::Display) -> ModelError {
    // The engine's errors may go on for pages; the first line says what.
    let text = error.to_string();
    ModelError::Constraint(text.lines().next().unwrap_or_default().to_owned())
}
