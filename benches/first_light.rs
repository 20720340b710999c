//! `make bench`: the first rows. Each figure stands beside what it is to be compared with, measured
//! in the same run, as a ratio: the machine is noisy, ratios are less so.

use marque::economy::{Economy, Party};
use marque_identity::devnet::{Devnet, Options};
use marque_models::{Constraint, Llama, Message, Model as _, Request, Sampling, SessionId};
use marque_net::{Client as Net, Guard};
use marque_payments::{Buyer, Errand};
use marque_policies::{Intent, Labels, intent::ToolUse};
use marque_steward_client::Proposal;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        model().await?;
        let dir = tempfile::tempdir()?;
        let program = PathBuf::from(env!("CARGO_BIN_EXE_marque"));
        let devnet = Devnet::start(&Options::default()).await?;
        let economy = Economy::start(dir.path(), program, devnet).await?;
        steward(&economy, dir.path()).await?;
        purchase(&economy, dir.path()).await
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
        Message::system(system),
        Message::user("Fetch https://feed.example/wind.csv and report the value."),
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
        messages.push(Message::assistant(call));
        messages.push(Message::tool(r#"{"value":"14.2"}"#));
    }
    let mut timed = [Duration::ZERO; 2];
    for round in 0..10_u64 {
        for (reuse, total) in timed.iter_mut().enumerate() {
            let session = (reuse == 1).then(|| SessionId::new(round.to_string()));
            for step in 1..=8 {
                let until = messages.get(..2 + 2 * step).unwrap_or(&messages);
                let start = Instant::now();
                model.generate(request(session.clone(), until, 8)).await?;
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

/// What every policy here begins with.
fn head(economy: &Economy, party: &Party) -> String {
    format!(
        "format = 1\nversion = 1\nowner = \"{}\"\n[chain.devnet]\nid = \"eip155:{}\"\nrpc = [\"{}\"]\nfinality = 2\nnative = \"ETH\"\n[asset.tUSD]\nchain = \"devnet\"\ntoken = \"{}\"\ndecimals = 6\ndomain = {{ name = \"Marque Test Dollar\", version = \"1\" }}\n[limits.gas]\nday = \"0.05 ETH\"\n",
        party.owner.address(),
        economy.devnet.chain_id(),
        economy.devnet.url(),
        economy.dollar,
    )
}

/// A proposal over the socket beside one fsync of the same disk.
async fn steward(economy: &Economy, dir: &Path) -> Result<(), Error> {
    let party = economy.party("clerk").await?;
    let policy = format!("{}[[tool]]\nname = \"now\"\n", head(economy, &party));
    economy.adopt(&party, &policy).await?;
    let running = economy.run(&party, &[]).await?;
    let mut file = std::fs::File::create(dir.join("fsync"))?;
    let (mut proposals, mut syncs) = (Vec::new(), Vec::new());
    for step in 0..150 {
        let intent = Intent::Tool(ToolUse {
            tool: "now".to_owned(),
            fetch: None,
            arguments: Default::default(),
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

/// A purchase from the first request to the goods: quote, proposal, signature, settlement, delivery.
/// Most of it is the wait for a block, which is the chain's.
async fn purchase(economy: &Economy, dir: &Path) -> Result<(), Error> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let host = listener.local_addr()?.to_string();
    drop(listener);
    let file = dir.join("goods.csv");
    std::fs::write(&file, "station,wind\nHorta,14.2\n")?;
    let file = file.display().to_string();
    let feed = economy.party("feed").await?;
    let income = format!("{}[income]\nassets = [\"tUSD\"]\n", head(economy, &feed));
    economy.adopt(&feed, &income).await?;
    let mind = [
        "mind",
        "sell-file",
        "--agent",
        "feed",
        "--listen",
        &host,
        "--file",
        &file,
        "--price",
        "0.02 tUSD",
    ];
    let selling = economy.run(&feed, &mind).await?;
    let scout = economy.party("scout").await?;
    economy.mint(scout.address, 5_000_000).await?;
    let policy = format!(
        "{}[limits.tUSD]\ntotal = \"2.00\"\n[[payee]]\nname = \"feed\"\naddress = \"{}\"\nhost = \"{host}\"\n",
        head(economy, &scout),
        feed.address,
    );
    economy.adopt(&scout, &policy).await?;
    let buying = economy.run(&scout, &[]).await?;
    let guard = Guard { loopback: vec![host.clone()], ..Guard::default() };
    let buyer = Buyer::new(Net::new(guard)?, Arc::new(buying.client.clone()));
    let url: url::Url = format!("http://{host}/goods.csv").parse()?;
    let mut times = Vec::new();
    for step in 0..8 {
        let errand = Errand {
            task: "bench".to_owned(),
            step,
            ordinal: 1,
            attempt: 0,
            max: None,
            labels: Labels::default(),
        };
        let start = Instant::now();
        buyer.send(marque_net::Request::get(url.clone()), &errand).await?;
        times.push(start.elapsed());
    }
    let p50 = at(&mut times, 0.5).as_secs_f64();
    row(
        "one purchase, quote to goods, p50",
        &format!("{:.0} ms", p50 * 1e3),
        &format!("beside a block of 1000 ms: ratio {p50:.2}"),
    );
    buying.stop().await?;
    selling.stop().await?;
    Ok(())
}

/// The value at a share of the sorted list.
fn at(times: &mut [Duration], share: f64) -> Duration {
    times.sort();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small index")]
    let index = (times.len() as f64 * share) as usize;
    times.get(index.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}
