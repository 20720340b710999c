//! A model that wants nonsense: random weights at temperature 2. Whatever it wants, what comes out
//! is whole and valid, as a validator that shares nothing with the constraint engine finds.
//!
//! `MARQUE_CASES=10000` for the full number of calls; the seed is printed, `MARQUE_SEED` repeats it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;

use marque_models::synthetic::{Format, Synthetic};
use marque_models::{
    Constraint, Delta, Llama, LlamaOptions, Message, Model, ModelError, Request, Sampling, Stop,
    Thinking, Trace, partial_json,
};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn model(folder: &TempDir) -> Llama {
    let path = folder.path().join("model.gguf");
    let shape = Synthetic { width: 256, layers: 1, ..Synthetic::small(Format::Q8_0) };
    shape.write(&path).unwrap();
    Llama::load(path, LlamaOptions { threads: Some(1), ..LlamaOptions::default() }).unwrap()
}

/// A schema of everything that a tool's arguments can be, nested.
fn schema(random: &mut Random, depth: u32) -> Value {
    let kinds = if depth == 0 { 8 } else { 12 };
    match random.below(kinds) {
        0 => json!({ "enum": ["a", "b c", "\"q\"", "é", 7, null, true] }),
        1 => {
            let low = i64::try_from(random.below(2_000)).unwrap() - 1_000;
            json!({ "type": "integer", "minimum": low, "maximum": low + 5_000 })
        }
        2 => json!({ "type": "string", "pattern": "^[a-f]{2,6}-[0-9]{1,3}$" }),
        3 => json!({ "type": "string", "minLength": 1, "maxLength": 40 }),
        4 => json!({ "type": "string", "pattern": "^0x[0-9a-f]{40}$" }),
        5 => json!({ "type": "boolean" }),
        6 => json!({ "const": { "version": [1, "x"] } }),
        7 => json!({ "type": "number", "minimum": -1.5, "maximum": 99.25 }),
        8 => json!({
            "type": "array", "items": schema(random, depth - 1), "minItems": random.below(3),
            "maxItems": 3,
        }),
        9 => json!({ "anyOf": [schema(random, depth - 1), schema(random, depth - 1)] }),
        _ => {
            let mut properties = Map::new();
            let mut required = Vec::new();
            for number in 0..=random.below(4) {
                let name = format!("field_{number}");
                if random.below(3) > 0 {
                    required.push(name.clone());
                }
                properties.insert(name, schema(random, depth - 1));
            }
            json!({
                "type": "object", "properties": properties, "required": required,
                "additionalProperties": false,
            })
        }
    }
}

fn wild(seed: u64) -> Sampling {
    Sampling { temperature: 2.0, seed, ..Sampling::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_valid_however_deep_its_schema_and_wild_its_model() {
    let cases = number("MARQUE_CASES", 300);
    let seed = number("MARQUE_SEED", 0x5eed_0002);
    println!("MARQUE_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let model = Arc::new(model(&folder));
    let mut random = Random(seed);
    let (mut whole, mut cut, mut tokens) = (0, 0, 0);
    let mut left = cases;
    while left > 0 {
        let calls: Vec<_> = (0..left.min(48))
            .map(|_| {
                let schema = schema(&mut random, 3);
                let request = Request::new(vec![Message::user("babe dida")])
                    .json_schema(schema.clone())
                    .sampling(wild(random.below(u64::MAX)))
                    .max_tokens(1_500);
                let model = Arc::clone(&model);
                tokio::spawn(async move { (model.generate(request).await, schema) })
            })
            .collect();
        left -= calls.len() as u64;
        for call in calls {
            let (reply, schema) = call.await.unwrap();
            match reply {
                Ok(reply) => {
                    let value: Value = serde_json::from_str(&reply.text).unwrap();
                    let validator = jsonschema::validator_for(&schema).unwrap();
                    assert!(validator.is_valid(&value), "{}\n{schema}", reply.text);
                    whole += 1;
                    tokens += reply.usage.completion_tokens;
                }
                Err(ModelError::Truncated { .. }) => cut += 1,
                Err(error) => panic!("{error}\n{schema}"),
            }
        }
    }
    println!("{whole} valid, {cut} too long, {tokens} tokens");
    assert!(whole * 100 >= cases * 98, "{whole} whole, {cut} cut");
}

#[tokio::test]
async fn expressions_choices_and_grammars_hold_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&folder);
    let grammar = r#"root ::= "<" [a-c]+ ">" "!"?"#;
    let choices = ["yes", "no \"really\"", "é\n"].map(str::to_owned);
    for seed in 0..20 {
        let ask = |constraint| {
            let request = Request::new(vec![Message::user("babe")]).sampling(wild(seed));
            model.generate(request.constraint(constraint).max_tokens(1_000))
        };
        let text = ask(Constraint::Regex("[0-9]{3}(-[a-z]{2}){2}".to_owned())).await.unwrap().text;
        let bytes = text.as_bytes();
        assert!(text.len() == 9 && bytes[..3].iter().all(u8::is_ascii_digit) && bytes[3] == b'-');

        let text = ask(Constraint::Choice(choices.to_vec())).await.unwrap().text;
        assert!(choices.contains(&text), "{text}");

        let text = ask(Constraint::Gbnf(grammar.to_owned())).await.unwrap().text;
        let inner = text.trim_end_matches('!').strip_prefix('<').and_then(|t| t.strip_suffix('>'));
        assert!(inner.is_some_and(|t| t.chars().all(|c| "abc".contains(c))), "{text}");
    }
}

#[tokio::test]
async fn constraints_that_mean_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&folder);
    for constraint in [
        Constraint::Regex("(".to_owned()),
        Constraint::Choice(Vec::new()),
        Constraint::Choice(vec![String::new()]),
        Constraint::Gbnf("root ::= (".to_owned()),
        Constraint::Gbnf("leaf ::= \"a\"".to_owned()),
    ] {
        let request = Request::new(vec![Message::user("babe")]).constraint(constraint.clone());
        let error = model.generate(request).await.unwrap_err();
        assert!(matches!(error, ModelError::Constraint(_)), "{constraint:?}: {error}");
    }
    let request = Request::new(vec![Message::user("babe")]).stop("a").json_schema(json!({}));
    assert!(matches!(model.generate(request).await.unwrap_err(), ModelError::Request(_)));
}

#[tokio::test]
async fn what_is_thought_is_free_and_what_follows_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&folder);
    let thinking = Thinking { end: Some("</think>".to_owned()), max_tokens: 25 };
    for seed in 0..10 {
        let (request, mut deltas) = Request::new(vec![Message::user("babe")])
            .thinking(thinking.clone())
            .constraint(Constraint::Choice(vec!["left".to_owned(), "right".to_owned()]))
            .sampling(wild(seed))
            .stream();
        let reply = model.generate(request).await.unwrap();
        assert!(["left", "right"].contains(&reply.text.as_str()), "{reply:?}");
        assert!(!reply.thinking.contains("</think>"));
        assert!(reply.usage.completion_tokens > 20, "it may think, and does: {reply:?}");
        let (mut thought, mut text) = (String::new(), String::new());
        while let Some(delta) = deltas.next().await {
            match delta {
                Delta::Thinking(piece) => thought.push_str(&piece),
                Delta::Text(piece) => text.push_str(&piece),
            }
        }
        assert_eq!((thought.trim(), text), (reply.thinking.as_str(), reply.text));
    }
}

#[tokio::test]
async fn a_stream_adds_up_to_the_reply_and_tells_ever_more_of_its_json() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&folder);
    let schema = json!({
        "type": "object",
        "properties": { "to": { "type": "string", "maxLength": 20 }, "n": { "type": "integer" } },
        "required": ["to", "n"],
        "additionalProperties": false,
    });
    let (request, mut deltas) =
        Request::new(vec![Message::user("babe")]).json_schema(schema).sampling(wild(3)).stream();
    let (reply, told) = tokio::join!(model.generate(request), async {
        let (mut text, mut seen) = (String::new(), Vec::new());
        while let Some(Delta::Text(piece)) = deltas.next().await {
            text.push_str(&piece);
            seen.extend(partial_json(&text));
        }
        (text, seen)
    });
    let (text, seen) = told;
    assert_eq!(reply.unwrap().text, text);
    assert!(seen.len() > 3, "{seen:?}");
    assert_eq!(seen.last(), serde_json::from_str(&text).ok().as_ref());
}

#[tokio::test]
async fn a_stop_text_ends_a_reply_and_never_shows() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&folder);
    let ask = || Request::new(vec![Message::user("babe")]).sampling(wild(5)).max_tokens(80);
    let free = model.generate(ask()).await.unwrap().text;
    let letters: Vec<char> = free.chars().collect();
    let word: String = letters[letters.len() / 2..letters.len() / 2 + 4].iter().collect();
    let (request, mut deltas) = ask().stop(word.clone()).stream();
    let reply = model.generate(request).await.unwrap();
    assert_eq!(reply.stop, Stop::End);
    assert_eq!(Some(reply.text.as_str()), free.split(&word).next());
    let mut told = String::new();
    while let Some(Delta::Text(piece)) = deltas.next().await {
        told.push_str(&piece);
    }
    assert_eq!(told, reply.text);
}

#[tokio::test]
async fn logprobs_tell_how_sure_the_model_was() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&folder);
    let trace = Trace { logprobs: Some(3), digests: false };
    let request = Request::new(vec![Message::user("babe")]).max_tokens(10).trace(trace);
    let reply = model.generate(request.clone()).await.unwrap();
    assert_eq!(reply.tokens.len(), reply.usage.completion_tokens as usize);
    for token in &reply.tokens {
        // Greedy: the chosen one is the likeliest.
        assert_eq!(token.logprob, token.likeliest.first().map(|(_, logprob)| *logprob));
        assert!(token.likeliest.is_sorted_by(|a, b| a.1 >= b.1), "{token:?}");
        assert_eq!(token.logits, None);
    }
    let many = Trace { logprobs: Some(21), digests: false };
    assert!(matches!(model.generate(request.trace(many)).await, Err(ModelError::Request(_))));
}
