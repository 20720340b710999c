//! The engine with more to do than it has room for: nobody is lost, nobody starves, and whatever
//! is returned is whole. Waits are counted in requests and batches, not in seconds.
//!
//! `MARQUE_ROUNDS=N` multiplies the work; the seed is printed, `MARQUE_SEED` repeats it.
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;
use std::time::Duration;

use marque_models::synthetic::{Format, Synthetic};
use marque_models::{
    Cancel, Constraint, Llama, LlamaOptions, Message, Model, ModelError, Request, Sampling, Stop,
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn load(folder: &TempDir, options: LlamaOptions) -> Llama {
    let path = folder.path().join("model.gguf");
    Synthetic::small(Format::Q8_0).write(&path).unwrap();
    Llama::load(path, options).unwrap()
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "tool": { "enum": ["pay", "ask", "finish"] },
            "to": { "type": "string", "maxLength": 12 },
            "amount": { "type": "integer", "minimum": 0, "maximum": 9999 },
        },
        "required": ["tool", "to", "amount"],
        "additionalProperties": false,
    })
}

/// How the requests ended.
#[derive(Debug, Default)]
struct Tally {
    /// With a reply that the model or the constraint ended.
    complete: u64,
    /// With a free reply that was cut where its caller had said so.
    cut: u64,
    /// With an error, since a constrained reply was not complete.
    truncated: u64,
    /// With an error, since the prompt does not fit into the context.
    refused: u64,
    cancelled: u64,
    parked: u64,
    resumed: u64,
}

impl Tally {
    fn ended(&self) -> u64 {
        self.complete + self.cut + self.truncated + self.refused + self.cancelled
    }

    fn add(&mut self, other: &Self) {
        self.complete += other.complete;
        self.cut += other.cut;
        self.truncated += other.truncated;
        self.refused += other.refused;
        self.cancelled += other.cancelled;
        self.parked += other.parked;
        self.resumed += other.resumed;
    }
}

/// One agent: some requests of random length, each of them with a chance to be cancelled, and
/// between them a chance to sleep in a file.
async fn agent(
    model: Arc<Llama>,
    name: u64,
    mut random: u64,
    requests: u64,
    dir: Arc<TempDir>,
) -> Tally {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let sequence = model.sequence(format!("agent-{name}"));
    let mut tally = Tally::default();
    let mut messages = vec![
        Message::system("You are one of many. ".repeat(8)),
        Message::user(format!("I am {name}. ")),
    ];
    for _ in 0..requests {
        let words = 1 + next(&mut random) % 60;
        messages.push(Message::user("babe dida ".repeat(words as usize)));
        let cancel = Cancel::new();
        let constrained = next(&mut random).is_multiple_of(2);
        let most = match (constrained, next(&mut random)) {
            // Now and then too few for any call.
            (true, number) if number.is_multiple_of(6) => 4,
            (true, _) => 200,
            (false, number) => 1 + (number % 60) as u32,
        };
        let request = Request::new(messages.clone())
            .session(sequence.session().clone())
            .sampling(Sampling { temperature: 2.0, seed: next(&mut random), ..Sampling::default() })
            .max_tokens(most)
            .constraint(if constrained {
                Constraint::JsonSchema(schema())
            } else {
                Constraint::None
            })
            .cancel(cancel.clone());
        if next(&mut random).is_multiple_of(5) {
            let after = Duration::from_millis(next(&mut random) % 400);
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                cancel.cancel();
            });
        }
        match model.generate(request).await {
            Ok(reply) => {
                if constrained {
                    let value: Value = serde_json::from_str(&reply.text).unwrap();
                    assert!(validator.is_valid(&value), "{}", reply.text);
                }
                assert!(reply.usage.completion_tokens > 0);
                match reply.stop {
                    Stop::End => tally.complete += 1,
                    Stop::Length => tally.cut += 1,
                }
            }
            Err(ModelError::Cancelled) => tally.cancelled += 1,
            // The conversation outgrew the context: it starts again.
            Err(error @ (ModelError::PromptTooLong { .. } | ModelError::Truncated { .. })) => {
                match error {
                    ModelError::Truncated { .. } => tally.truncated += 1,
                    _ => tally.refused += 1,
                }
                messages.truncate(2);
            }
            Err(error) => panic!("agent {name}: {error}"),
        }
        if next(&mut random).is_multiple_of(4) {
            // What others needed the room for cannot be parked.
            if let Ok(parked) = sequence.park(dir.path().join("parked")).await {
                tally.parked += 1;
                tokio::task::yield_now().await;
                match sequence.resume(&parked).await {
                    Ok(tokens) => {
                        assert_eq!(tokens, parked.tokens);
                        tally.resumed += 1;
                    }
                    Err(ModelError::Parked(_)) => {}
                    Err(error) => panic!("agent {name}: {error}"),
                }
                parked.discard().unwrap();
            }
        }
    }
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_sequences_that_outgrow_the_cache_all_finish_whole() {
    const AGENTS: u64 = 64;
    let seed = number("MARQUE_SEED", 0x5eed_0001);
    let requests = 3 * number("MARQUE_ROUNDS", 1);
    println!("MARQUE_SEED={seed}");
    let dir = Arc::new(tempfile::tempdir().unwrap());
    // Room for two or three of the conversations that 64 agents hold.
    let options = LlamaOptions {
        context: Some(1_024),
        kv_tokens: Some(2_048),
        threads: Some(1),
        ..LlamaOptions::default()
    };
    let model = Arc::new(load(&dir, options));
    let agents: Vec<_> = (0..AGENTS)
        .map(|name| {
            let random = seed.wrapping_mul(name + 1) | 1;
            tokio::spawn(agent(Arc::clone(&model), name, random, requests, Arc::clone(&dir)))
        })
        .collect();
    let mut all = Tally::default();
    for agent in agents {
        all.add(&agent.await.unwrap());
    }
    // A request that was given up may be found a batch later.
    let mut stats = model.stats();
    while stats.requests > stats.replied + stats.truncated + stats.cancelled + stats.failed {
        tokio::task::yield_now().await;
        stats = model.stats();
    }
    println!("{all:?}\n{stats:?}");
    assert_eq!(all.ended(), AGENTS * requests, "each request has one end");
    assert!(
        [all.complete, all.cut, all.truncated, all.cancelled, all.resumed].iter().all(|n| *n > 0)
    );
    // The engine counts the same, but for what its callers gave up before it came or once it was done.
    let whole = all.complete + all.cut;
    assert!((whole..=whole + all.cancelled).contains(&stats.replied), "{all:?} {stats:?}");
    assert!(stats.requests >= all.ended() - all.refused - all.cancelled, "{all:?} {stats:?}");
    assert_eq!(stats.failed, 0, "{stats:?}");
    assert!(stats.interrupted > 0, "the cache never ran out: {stats:?}");
    // Each agent has one request at a time: whoever waits is begun before anybody has a second turn.
    assert!(stats.longest_queue < AGENTS, "somebody was overtaken: {stats:?}");
    // So nobody waits for more than one turn of the others, of the several that all of them have.
    // Conversations grow, so that one turn may be twice as long as another.
    let most = 2 * stats.batches / requests;
    assert!(stats.longest_wait <= most, "a wait of more than {most} batches: {stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_request_waits_neither_for_a_long_prompt_nor_for_long_replies() {
    let dir = tempfile::tempdir().unwrap();
    let model = Arc::new(load(&dir, LlamaOptions { threads: Some(1), ..LlamaOptions::default() }));
    let long = || Request::new(vec![Message::user("babe dida ".repeat(150))]).max_tokens(150);
    let long: Vec<_> = (0..8)
        .map(|_| {
            let model = Arc::clone(&model);
            tokio::spawn(async move { model.generate(long()).await.unwrap() })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(30)).await;
    model.generate(Request::new(vec![Message::user("babe")]).max_tokens(4)).await.unwrap();
    let before = long.iter().filter(|task| task.is_finished()).count();
    assert_eq!(before, 0, "long requests were done before the short one");
    for task in long {
        let reply = task.await.unwrap();
        assert!(reply.usage.completion_tokens > 100, "it was long: {:?}", reply.usage);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_system_says_is_computed_once_for_all_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let model = Arc::new(load(&dir, LlamaOptions { threads: Some(1), ..LlamaOptions::default() }));
    let ask = |session: Option<u32>, user: &str| {
        let messages = vec![Message::system("babe dida ".repeat(100)), Message::user(user)];
        let mut request = Request::new(messages).max_tokens(2);
        request.session = session.map(|name| name.to_string().into());
        let model = Arc::clone(&model);
        tokio::spawn(async move { model.generate(request).await.unwrap().usage })
    };
    // All at once, so that none is ready when the others start.
    let tasks: Vec<_> =
        (0..8).map(|name| ask(Some(name), &"zu ".repeat(name as usize + 1))).collect();
    let (mut computed, mut longest) = (0, 0);
    for task in tasks {
        let usage = task.await.unwrap();
        computed += usage.prompt_tokens - usage.reused_tokens;
        longest = longest.max(usage.prompt_tokens);
    }
    // One whole prompt, and of the others what their users say and the template around it.
    assert!(longest > 250 && computed < longest + 7 * 40, "{computed} tokens, {longest} in one");
    // What a user says is not shared, and who names no session shares nothing.
    let same = ask(Some(100), "zu ").await.unwrap();
    assert!(same.prompt_tokens - same.reused_tokens >= 5, "{same:?}");
    assert_eq!(ask(None, "zu ").await.unwrap().reused_tokens, 0);
}

#[tokio::test]
async fn a_parked_session_goes_on_where_it_was_and_answers_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let parked_in = dir.path().join("parked");
    let mut messages = vec![Message::user("babe dida ".repeat(40))];
    let ask = |messages: &[Message]| Request::new(messages.to_vec()).session("a").max_tokens(12);
    let (expected, parked) = {
        let model = load(&dir, LlamaOptions { threads: Some(1), ..LlamaOptions::default() });
        let first = model.generate(ask(&messages)).await.unwrap();
        let parked = model.sequence("a").park(&parked_in).await.unwrap();
        assert!(parked.tokens >= first.usage.prompt_tokens);
        assert!(model.sequence("a").park(&parked_in).await.is_err(), "it holds nothing now");
        messages.push(Message::assistant(first.text));
        messages.push(Message::user("zu"));
        model.sequence("a").resume(&parked).await.unwrap();
        (model.generate(ask(&messages)).await.unwrap(), parked)
    };
    // Another engine on the same file takes it as well, one with other settings does not.
    let model = load(&dir, LlamaOptions { threads: Some(1), ..LlamaOptions::default() });
    assert_eq!(model.sequence("a").resume(&parked).await.unwrap(), parked.tokens);
    let again = model.generate(ask(&messages)).await.unwrap();
    assert_eq!(again, expected);
    assert!(again.usage.reused_tokens > 80, "{:?}", again.usage);
    let other = load(&dir, LlamaOptions { context: Some(512), ..LlamaOptions::default() });
    let error = other.sequence("a").resume(&parked).await.unwrap_err().to_string();
    assert!(error.contains("of another model or of other settings"), "{error}");
    other.generate(ask(&messages[..1])).await.unwrap();
}

#[tokio::test]
async fn a_handle_outlives_its_model_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let model = load(&dir, LlamaOptions::default());
    let sequence = model.sequence("a");
    drop(model);
    sequence.forget();
    let error = sequence.park(dir.path()).await.unwrap_err();
    assert!(matches!(error, ModelError::Stopped), "{error}");
}
