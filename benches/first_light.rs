//! `make bench`: the first rows. Each figure stands beside what it is to be compared with, measured
//! in the same run, as a ratio: the machine is noisy, ratios are less so.

use marque::economy::Economy;
use marque_identity::devnet::{Devnet, Options};
use marque_models::{Constraint, Llama, Message, Model as _, Request, Role, Sampling, SessionId};
use marque_policies::{Intent, Labels, intent::ToolUse};
use marque_steward_client::Proposal;
use std::{
    io::Write as _,
    path::PathBuf,
    time::{Duration, Instant},
};

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        model().await?;
        steward().await
    })
}

fn row(what: &str, figure: &str, beside: &str) {
    anstream::println!("{what:<44} {figure:>16}   {beside}");
}

fn request(session: Option<SessionId>, messages: &[Message], tokens: u32) -> Request {
    let mut request = Request::new(messages.to_vec());
    request.session = session;
    request.constraint = Constraint::None;
    request.max_tokens = tokens;
    request.sampling = Sampling::default();
    request
}

/// The built-in model: decoding alone, and a conversation with and without its KV cache.
async fn model() -> Result<(), Error> {
    let model = Llama::built_in()?;
    let system = "fetch_data(url) get data from a url\nfinish(answer) end with an answer";
    let mut messages = vec![
        Message::new(Role::System, system),
        Message::new(Role::User, "Fetch https://feed.example/wind.csv and report the value."),
    ];
    let (mut tokens, mut busy) = (0, Duration::ZERO);
    for _ in 0..20 {
        let start = Instant::now();
        let made = model.generate(request(None, &messages, 64)).await?;
        busy += start.elapsed();
        tokens += made.usage.completion_tokens;
    }
    let rate = f64::from(tokens) / busy.as_secs_f64();
    row("decode, built-in model, one thread", &format!("{rate:.0} tokens/s"), "prefill included");

    for step in 0..8 {
        let call = format!(r#"{{"tool":"fetch_data","args":{{"url":"http://h.example/{step}"}}}}"#);
        messages.push(Message::new(Role::Assistant, &call));
        messages.push(Message::new(Role::Tool, r#"{"value":"14.2"}"#));
    }
    let mut timed = [Duration::ZERO; 2];
    for round in 0..10_u64 {
        for (reuse, total) in timed.iter_mut().enumerate() {
            let session = (reuse == 1).then(|| SessionId::new(round));
            for step in 1..=8 {
                let until = messages.get(..2 + 2 * step).unwrap_or(&messages);
                let start = Instant::now();
                model.generate(request(session, until, 8)).await?;
                *total += start.elapsed();
            }
        }
    }
    let [without, with] = timed;
    row(
        "eight steps of a task, KV reused",
        &format!("{:.1} ms", with.as_secs_f64() * 100.0),
        &format!(
            "{:.1} ms when computed anew: ratio {:.2}",
            without.as_secs_f64() * 100.0,
            with.as_secs_f64() / without.as_secs_f64()
        ),
    );
    Ok(())
}

/// A proposal over the socket beside one fsync of the same disk; a whole purchase beside a block.
async fn steward() -> Result<(), Error> {
    let dir = tempfile::tempdir()?;
    let program = PathBuf::from(env!("CARGO_BIN_EXE_marque"));
    let devnet = Devnet::start(&Options::default()).await?;
    let economy = Economy::start(dir.path(), program, devnet).await?;
    let party = economy.party("scout").await?;
    let policy = format!(
        "format = 1\nversion = 1\nowner = \"{}\"\n[chain.devnet]\nid = \"eip155:{}\"\nrpc = [\"{}\"]\nfinality = 2\nnative = \"ETH\"\n[[tool]]\nname = \"now\"\n",
        party.owner.address(),
        economy.devnet.chain_id(),
        economy.devnet.url()
    );
    economy.adopt(&party, &policy).await?;
    let running = economy.run(&party, &[]).await?;
    let mut file = std::fs::File::create(dir.path().join("fsync"))?;
    let (mut proposals, mut syncs) = (Vec::new(), Vec::new());
    for step in 0..150 {
        let intent = Intent::Tool(ToolUse {
            tool: "now".to_owned(),
            fetch: None,
            labels: Labels::default(),
        });
        let task = "bench".to_owned();
        let start = Instant::now();
        running.client.propose(Proposal { task, step, ordinal: 0, attempt: 0, intent }).await?;
        proposals.push(start.elapsed());
        let start = Instant::now();
        file.write_all(&[7; 600])?;
        file.sync_data()?;
        syncs.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(6)).await; // below the socket's rate limit
    }
    let (p50, p99) = (at(&mut proposals, 0.5), at(&mut proposals, 0.99));
    let sync = at(&mut syncs, 0.5);
    row(
        "propose, decided and durable, p50",
        &format!("{:.2} ms", p50.as_secs_f64() * 1e3),
        &format!(
            "p99 {:.2} ms; one fsync here {:.2} ms: ratio {:.2}",
            p99.as_secs_f64() * 1e3,
            sync.as_secs_f64() * 1e3,
            p50.as_secs_f64() / sync.as_secs_f64()
        ),
    );
    running.stop().await?;
    Ok(())
}

/// The value at a share of the sorted list.
fn at(times: &mut [Duration], share: f64) -> Duration {
    times.sort();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small index")]
    let index = (times.len() as f64 * share) as usize;
    times.get(index.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}
