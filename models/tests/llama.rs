//! The engine with a real model: the built-in one.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use marque_models::{
    Cancel, Generation, Llama, LlamaOptions, Message, Model, ModelError, Profile, Request,
    Sampling, Stop, ToolCall, ToolDefinition, Trace,
};
use serde_json::{Value, json};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/built-in/tiny-agent.gguf");

/// One engine for the tests that do not care which.
fn model() -> Arc<Llama> {
    static MODEL: OnceLock<Arc<Llama>> = OnceLock::new();
    MODEL.get_or_init(|| Arc::new(fresh())).clone()
}

fn fresh() -> Llama {
    Llama::load(MODEL, LlamaOptions::default()).unwrap()
}

fn call(tool: &str, args: &Value) -> Value {
    let required: Vec<_> = args.as_object().unwrap().keys().collect();
    json!({
        "type": "object",
        "properties": {
            "tool": { "const": tool },
            "args": {
                "type": "object",
                "properties": args,
                "required": required,
                "additionalProperties": false,
            },
        },
        "required": ["tool", "args"],
        "additionalProperties": false,
    })
}

fn schema() -> Value {
    json!({ "oneOf": [
        call("get_balance", &json!({})),
        call("send_payment", &json!({
            "to": { "type": "string", "maxLength": 60 },
            "amount": { "type": "integer", "format": "uint32", "minimum": 0 },
        })),
        call("finish", &json!({ "answer": { "type": "string", "maxLength": 120 } })),
    ]})
}

fn conversation(goal: &str) -> Vec<Message> {
    vec![
        Message::system(
            "send_payment(to,amount) pay someone\nget_balance() show wallet balance\n\
             finish(answer) done, report the answer",
        ),
        Message::user(goal),
    ]
}

fn step(goal: &str) -> Request {
    Request::new(conversation(goal)).json_schema(schema())
}

#[tokio::test]
async fn a_task_runs_to_its_end_in_calls_of_the_permitted_tools() {
    let model = model();
    let mut messages = conversation("What is my balance?");
    let reply = async |messages: &[Message]| {
        let request = Request::new(messages.to_vec()).json_schema(schema()).session("task");
        model.generate(request).await.unwrap()
    };
    let first = reply(&messages).await;
    assert_eq!(first.text, r#"{"tool":"get_balance","args":{}}"#);
    assert_eq!(first.stop, Stop::End);
    messages.push(Message::assistant(first.text));
    messages.push(Message::tool(r#"{"balance":4711}"#));
    let last = reply(&messages).await;
    assert_eq!(last.text, r#"{"tool":"finish","args":{"answer":"balance is 4711"}}"#);
}

#[tokio::test]
async fn a_session_computes_only_what_is_new_and_answers_the_same() {
    let model = fresh();
    let mut messages = conversation("Send 12 to Bralo.");
    let warm = |messages: &[Message]| {
        Request::new(messages.to_vec()).json_schema(schema()).session("task")
    };
    let first = model.generate(warm(&messages)).await.unwrap();
    assert_eq!(first.usage.reused_tokens, 0);
    messages.push(Message::assistant(first.text));
    messages.push(Message::tool(r#"{"ok":true,"tx":"tx-1f2e"}"#));
    let second = model.generate(warm(&messages)).await.unwrap();
    assert!(
        second.usage.reused_tokens >= first.usage.prompt_tokens,
        "the first prompt is reused: {first:?} {second:?}",
        first = first.usage,
        second = second.usage
    );
    let cold = Request::new(messages.clone()).json_schema(schema());
    let cold = model.generate(cold).await.unwrap();
    assert_eq!(cold.usage.reused_tokens, 0);
    assert_eq!(cold.text, second.text);
    // A conversation that went back, as after a restart, is right as well.
    let back = model.generate(warm(&messages[..2])).await.unwrap();
    assert_eq!(back.text, messages[2].content);
}

#[tokio::test]
async fn more_sessions_than_sequences_answer_like_one() {
    let model = fresh();
    let goals: Vec<_> = (0..12).map(|i| format!("Send {} to Bralo.", 10 + i)).collect();
    for _ in 0..2 {
        for (index, goal) in goals.iter().enumerate() {
            let warm = model.generate(step(goal).session(format!("s{index}"))).await.unwrap();
            let cold = model.generate(step(goal)).await.unwrap();
            assert_eq!(warm.text, cold.text, "{goal}");
            assert!(warm.text.contains(&format!("{}", 10 + index)), "{}", warm.text);
        }
    }
}

#[tokio::test]
async fn constrained_replies_are_valid_json_however_wildly_they_are_drawn() {
    let model = model();
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let (mut whole, mut cut) = (0, 0);
    for seed in 0..60 {
        let sampling = Sampling { temperature: 2.0, seed, ..Sampling::default() };
        let goal = "Drop Alice a line saying \"the build\" is {green}.";
        match model.generate(step(goal).sampling(sampling).max_tokens(400)).await {
            Ok(Generation { text, stop, .. }) => {
                assert_eq!(stop, Stop::End);
                let value: Value = serde_json::from_str(&text).unwrap();
                assert!(validator.is_valid(&value), "seed {seed}: {text}");
                whole += 1;
            }
            Err(ModelError::Truncated { .. }) => cut += 1,
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(whole > 50, "{whole} whole, {cut} cut");
}

#[tokio::test]
async fn a_constrained_reply_that_does_not_fit_is_an_error_and_not_half_a_call() {
    let error = model().generate(step("Send 12 to Bralo.").max_tokens(5)).await.unwrap_err();
    assert!(matches!(error, ModelError::Truncated { tokens: 5 }), "{error}");
}

#[tokio::test]
async fn a_free_reply_says_why_it_ended() {
    let free = |max| Request::new(conversation("Send 12 to Bralo.")).max_tokens(max);
    let cut = model().generate(free(5)).await.unwrap();
    assert_eq!((cut.stop, cut.usage.completion_tokens), (Stop::Length, 5));
    let whole = model().generate(free(200)).await.unwrap();
    assert_eq!(whole.stop, Stop::End);
    assert!(whole.text.starts_with(&cut.text));
}

#[tokio::test]
async fn the_same_seed_draws_the_same_reply() {
    // Alone: company in a batch changes the last bits.
    let model = fresh();
    let draw = async |seed| {
        let sampling = Sampling { temperature: 3.0, seed, ..Sampling::default() };
        model.generate(step("Pay Dru 7.").sampling(sampling)).await.map(|reply| reply.text).ok()
    };
    assert_eq!(draw(3).await, draw(3).await);
    let mut different = false;
    for seed in 4..10 {
        different |= draw(seed).await != draw(3).await;
    }
    assert!(different);
}

#[tokio::test]
async fn a_schema_that_cannot_be_held_exactly_is_refused() {
    for schema in [json!({ "type": "string", "format": "no-such-format" }), json!("text")] {
        let request = Request::new(conversation("go")).json_schema(schema.clone());
        let error = model().generate(request).await.unwrap_err();
        assert!(matches!(error, ModelError::Constraint(_)), "{schema}: {error}");
    }
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_is_refused_with_the_figures() {
    let long = "pay ".repeat(4_000);
    let error = model().generate(step(&long)).await.unwrap_err();
    let ModelError::PromptTooLong { tokens, limit } = error else { panic!("{error}") };
    assert_eq!(limit, 2_048);
    assert!(tokens > 2_048);
    // Far beyond what could fit it is not even tokenised.
    let started = Instant::now();
    let endless = "pay ".repeat(20_000_000);
    let error = model().generate(step(&endless)).await.unwrap_err();
    assert!(matches!(error, ModelError::PromptTooLong { .. }), "{error}");
    assert!(model().count_tokens(&endless).is_err());
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[tokio::test]
async fn the_last_token_of_the_context_is_usable_and_no_more() {
    let model = fresh();
    let content = |n: usize| vec![Message::user("7".repeat(n))];
    let limit = model.info().context_length;
    let free = |n| Request::new(content(n)).max_tokens(5_000).session("full");
    // Two control tokens stand around the content; digits are a token each.
    let last = model.generate(free(limit as usize - 3)).await.unwrap();
    assert_eq!(last.usage.prompt_tokens, limit - 1);
    assert_eq!(last.usage.completion_tokens, 1);
    let error = model.generate(free(limit as usize - 2)).await.unwrap_err();
    assert!(matches!(error, ModelError::PromptTooLong { tokens: 2_048, limit: 2_048 }), "{error}");
    let mut filled = 0;
    for n in [900, 1_000, 950] {
        let reply = model.generate(free(n)).await.unwrap();
        filled = filled.max(reply.usage.prompt_tokens + reply.usage.completion_tokens);
    }
    assert!(filled <= limit, "{filled}");
}

#[tokio::test]
async fn requests_that_contradict_themselves_are_refused() {
    let model = model();
    let no_tokens = model.generate(step("go").max_tokens(0)).await.unwrap_err();
    assert_eq!(no_tokens.to_string(), "request: max_tokens is 0");
    let cold = Sampling { temperature: -1.0, ..Sampling::default() };
    let cold = model.generate(step("go").sampling(cold)).await.unwrap_err();
    assert_eq!(cold.to_string(), "request: temperature is -1, and has to be 0 or above");
}

#[tokio::test]
async fn a_cancelled_request_ends_at_once_and_the_next_one_runs() {
    let model = model();
    let cancel = Cancel::new();
    cancel.cancel();
    let error = model.generate(step("Pay Dru 7.").cancel(cancel)).await.unwrap_err();
    assert!(matches!(error, ModelError::Cancelled));

    let cancel = Cancel::new();
    let endless = Request::new(vec![Message::user("7 ".repeat(100))])
        .json_schema(json!({ "type": "array", "items": { "const": 7 }, "minItems": 400 }))
        .max_tokens(100_000)
        .cancel(cancel.clone());
    let work = tokio::spawn({
        let model = Arc::clone(&model);
        async move { model.generate(endless).await }
    });
    tokio::time::sleep(Duration::from_millis(5)).await;
    cancel.cancel();
    let error = work.await.unwrap().unwrap_err();
    assert!(matches!(error, ModelError::Cancelled), "{error}");
    model.generate(step("Pay Dru 7.")).await.unwrap();
}

/// Whatever the engine is at: the batch in progress is the last that is computed for a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_request_costs_one_batch_more_at_the_most() {
    let model = Arc::new(fresh());
    // While a long prompt is read, and while a long reply is written.
    for (words, batches) in [(400, 1), (400, 2), (5, 5), (5, 50)] {
        let before = model.stats();
        let cancel = Cancel::new();
        let request = Request::new(vec![Message::user("7 ".repeat(words))])
            .json_schema(json!({ "type": "array", "items": { "const": 7 }, "minItems": 400 }))
            .max_tokens(100_000)
            .cancel(cancel.clone());
        let work = tokio::spawn({
            let model = Arc::clone(&model);
            async move { model.generate(request).await }
        });
        while model.stats().batches < before.batches + batches {
            assert!(!work.is_finished(), "it was done before");
            tokio::task::yield_now().await;
        }
        cancel.cancel();
        let told = model.stats().batches;
        let error = work.await.unwrap().unwrap_err();
        assert!(matches!(error, ModelError::Cancelled), "{error}");
        let after = loop {
            let stats = model.stats();
            if stats.cancelled > before.cancelled {
                break stats;
            }
            tokio::task::yield_now().await;
        };
        assert!(after.batches <= told + 1, "{words} words: {told} batches, then {after:?}");
    }
}

#[tokio::test]
async fn a_dropped_request_frees_the_engine() {
    let model = model();
    let endless = || {
        Request::new(vec![Message::user("7 ".repeat(400))])
            .json_schema(json!({ "type": "array", "items": { "const": 7 }, "minItems": 400 }))
            .max_tokens(100_000)
    };
    for _ in 0..20 {
        let work = model.generate(endless());
        assert!(tokio::time::timeout(Duration::from_millis(1), work).await.is_err());
    }
    model.generate(step("Pay Dru 7.")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_at_once_all_get_their_own_answer() {
    let model = model();
    let tasks: Vec<_> = (0..40)
        .map(|i| {
            let model = Arc::clone(&model);
            tokio::spawn(async move {
                let reply = model.generate(step(&format!("Send {} to Bralo.", 100 + i))).await;
                reply.unwrap().text.contains(&format!("\"amount\":{}", 100 + i))
            })
        })
        .collect();
    let mut right = 0;
    for task in tasks {
        right += u32::from(task.await.unwrap());
    }
    assert!(right >= 38, "{right} of 40");
}

#[tokio::test]
async fn texts_that_are_alike_have_embeddings_that_are_near() {
    let model = model();
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let pay = model.embed("Send 12 to Bralo.").await.unwrap();
    assert!((product(&pay, &pay) - 1.0).abs() < 1e-4);
    let alike = model.embed("Send 13 to Bralo.").await.unwrap();
    let other = model.embed("What is my balance?").await.unwrap();
    assert!(product(&pay, &alike) > product(&pay, &other));
    // Replies in between do not change it.
    model.generate(step("Pay Dru 7.")).await.unwrap();
    assert_eq!(model.embed("Send 12 to Bralo.").await.unwrap(), pay);

    assert!(matches!(model.embed("").await.unwrap_err(), ModelError::Request(_)));
    let long = model.embed(&"7".repeat(600)).await.unwrap_err();
    assert!(matches!(long, ModelError::PromptTooLong { tokens: 600, limit: 512 }), "{long}");
}

#[tokio::test]
async fn exact_answers_like_fast_and_repeats_itself() {
    let exact = |threads| {
        let options = LlamaOptions {
            threads: Some(threads),
            profile: Profile::Exact,
            ..LlamaOptions::default()
        };
        Llama::load(MODEL, options).unwrap()
    };
    let (one, two) = (exact(1), exact(2));
    for goal in ["Send 12 to Bralo.", "Pay Dru 7."] {
        let fast = model().generate(step(goal)).await.unwrap().text;
        assert_eq!(one.generate(step(goal)).await.unwrap().text, fast);
        assert_eq!(two.generate(step(goal)).await.unwrap().text, fast);
    }
}

/// The template of the built-in model writes tools that it is passed as the agent core writes them
/// into the system's words, and calls as it was trained on: the same tokens, so the same logits.
#[tokio::test]
async fn tools_passed_as_such_are_the_lines_that_the_built_in_model_knows() {
    let options = LlamaOptions { profile: Profile::Exact, ..LlamaOptions::default() };
    let model = Llama::load(MODEL, options).unwrap();
    let trace = || Trace { digests: true, ..Trace::default() };
    let arguments = json!({"payee": "Bralo", "amount": "12 USDC"}).as_object().cloned().unwrap();
    let result = r#"{"ok":true}"#;

    let in_words = Request::new(vec![
        Message::system(
            "pay(payee,amount,reason?) pay someone\nbalance() show wallet balance\n\
             finish(answer) done, report the answer",
        ),
        Message::user("Send 12 USDC to Bralo."),
        Message::assistant(r#"{"tool":"pay","args":{"payee":"Bralo","amount":"12 USDC"}}"#),
        Message::tool(result),
    ]);
    let text = json!({ "type": "string" });
    let parameters = |names: &[&str], required: &[&str]| {
        let properties: serde_json::Map<_, _> =
            names.iter().map(|name| ((*name).to_owned(), text.clone())).collect();
        json!({ "type": "object", "properties": properties, "required": required })
    };
    let call = ToolCall::new("1", "pay", arguments);
    let native = Request::new(vec![
        Message::user("Send 12 USDC to Bralo."),
        Message::calls([call.clone()]),
        Message::answer(&call, result),
    ])
    .tool(ToolDefinition::new(
        "pay",
        "pay someone",
        parameters(&["payee", "amount", "reason"], &["payee", "amount"]),
    ))
    .tool(ToolDefinition::new("balance", "show wallet balance", parameters(&[], &[])))
    .tool(ToolDefinition::new(
        "finish",
        "done, report the answer",
        parameters(&["answer"], &["answer"]),
    ));
    let in_words = model.generate(in_words.trace(trace())).await.unwrap();
    let native = model.generate(native.trace(trace())).await.unwrap();
    assert_eq!(native.usage.prompt_tokens, in_words.usage.prompt_tokens);
    assert_eq!(native.tokens, in_words.tokens);
}

#[test]
fn the_built_in_model_loads_from_the_cache_and_says_what_it_is() {
    let model = Llama::built_in().unwrap();
    let info = model.info();
    assert_eq!(
        (info.name.as_str(), info.context_length, info.built_in),
        ("tiny-agent", 2_048, true)
    );
    let path = Llama::built_in_path().unwrap();
    assert_eq!(path.file_stem().unwrap().to_str(), Some(info.sha256.as_str()));
}

#[test]
fn options_that_do_not_suit_the_model_are_refused() {
    for (options, message) in [
        (
            LlamaOptions { context: Some(4_096), ..LlamaOptions::default() },
            "model options: context is 4096, and the model was trained on 2048",
        ),
        (
            LlamaOptions { context: Some(0), ..LlamaOptions::default() },
            "model options: context is 0",
        ),
        (
            LlamaOptions { threads: Some(0), ..LlamaOptions::default() },
            "model options: threads is 0, and has to be between 1 and 512",
        ),
    ] {
        assert_eq!(Llama::load(MODEL, options).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_file_that_is_no_model_gets_one_line_that_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(MODEL).unwrap();
    let load = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        failure(&path)
    };
    let renamed = {
        let mut bytes = whole.clone();
        let at = bytes.windows(5).position(|window| window == b"llama").unwrap();
        bytes[at..at + 5].copy_from_slice(b"klama");
        bytes
    };
    let big_endian = [b"GGUF\0\0\0\x03".as_slice(), &whole[8..]].concat();
    for (name, bytes, reason) in [
        ("empty.gguf", b"".as_slice(), "is not a GGUF model: it has only 0 bytes"),
        ("page.gguf", b"<!doctype html>", "it starts with \"<!do\" instead of \"GGUF\""),
        ("swapped.gguf", &big_endian, "it is written for big-endian machines"),
        ("future.gguf", b"GGUF\x09\0\0\0", "version 9 is unknown, 2 and 3 are read"),
        (
            "header.gguf",
            &whole[..3_000],
            "is incomplete: it has 3000 bytes and ends inside its header; finish the download",
        ),
        ("half.gguf", &whole[..whole.len() / 2], "is incomplete: it has 1196144 bytes of 2392288"),
        ("klama.gguf", &renamed, "has architecture \"klama\", which is not supported"),
    ] {
        let error = load(name, bytes);
        assert!(error.contains(reason), "{name}: {error}");
        assert_eq!(error.lines().count(), 1, "{name}: {error}");
    }
    assert!(failure(&folder.path().join("none.gguf")).starts_with("no model file at"));
    assert!(failure(folder.path()).contains("it is not a regular file"));
}

fn failure(path: &Path) -> String {
    Llama::load(path, LlamaOptions::default()).unwrap_err().to_string()
}
