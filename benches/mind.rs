//! What the mind costs beside its model: a step of the loop, and an agent that has nothing to do.
//!
//! A step is a thought and a call, each written down durably before the next, so the disk is most
//! of it; its own time is printed beside it. The model is a script and the steward answers at once.

use alloy_primitives::{Address, B256};
use async_trait::async_trait;
use marque_agent_core::{Agent, Cx, Steward, TaskLimits, Tool, ToolError};
use marque_models::Scripted;
use marque_payments::{Authority, PaymentError};
use marque_policies::IntentId;
use marque_steward_client::{
    Artifact, IntentState, Note, Outcome, Proposal, Report, ToolView, View,
};
use serde_json::{Value, json};
use std::{
    error::Error,
    fs::File,
    io::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Steps of the task that is measured.
const STEPS: usize = 20;

/// So often it is run.
const RUNS: usize = 15;

/// Agents that have nothing to do.
const IDLE: usize = 1_000;

/// What a step may take beside one fsync, and what idle agents may hold.
const STEP: Duration = Duration::from_millis(2);
const MEMORY: u64 = 200 << 20;

/// Allows everything at once.
#[derive(Debug)]
struct Yes;

#[async_trait]
impl Authority for Yes {
    async fn propose(&self, proposal: Proposal) -> Result<Outcome, PaymentError> {
        let id = proposal.id(B256::ZERO, "scout");
        Ok(Outcome::Allowed { id, artifact: Artifact::Permission })
    }

    async fn view(&self) -> Result<View, PaymentError> {
        let tool = ToolView {
            name: "count".to_owned(),
            hosts: Vec::new(),
            methods: Vec::new(),
            arguments: Vec::new(),
        };
        Ok(View {
            agent: "scout".to_owned(),
            sub_agent: None,
            address: Address::ZERO,
            owner: Address::ZERO,
            owner_since: 0,
            origin: B256::ZERO,
            policy_version: 1,
            policy_hash: B256::ZERO,
            now: 0,
            frozen_at: None,
            tools: vec![tool],
            payees: Vec::new(),
            assets: Vec::new(),
            chains: Vec::new(),
            budgets: Vec::new(),
            income: Vec::new(),
            facilitates: Vec::new(),
            pools: Vec::new(),
            intents: Vec::new(),
        })
    }

    async fn report(&self, _: Report) -> Result<(), PaymentError> {
        Ok(())
    }

    async fn wait(&self, _: IntentId, _: Duration) -> Result<IntentState, PaymentError> {
        Err(PaymentError::Steward("nothing is held here".to_owned()))
    }
}

#[async_trait]
impl Steward for Yes {
    async fn note(&self, _: Note) -> Result<(), PaymentError> {
        Ok(())
    }
}

struct Count;

#[async_trait]
impl Tool for Count {
    fn name(&self) -> &str {
        "count"
    }

    fn description(&self) -> &str {
        "count on"
    }

    fn schema(&self) -> Value {
        let number = json!({ "type": "integer" });
        json!({ "type": "object", "properties": { "number": number }, "required": ["number"] })
    }

    async fn call(&self, _: &Cx, arguments: Value) -> Result<Value, ToolError> {
        Ok(arguments)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let disk = fsync()?;
    println!("fsync of this disk            {:>8.2} ms (median of 300)", ms(disk));
    let step = runtime.block_on(steps())?;
    let own = step.saturating_sub(disk);
    println!("a step of the loop            {:>8.2} ms (median of {})", ms(step), STEPS * RUNS);
    println!("  beside one fsync            {:>8.2} ms; the target is {:.0}", ms(own), ms(STEP));
    let held = runtime.block_on(idle())?;
    let mib = |bytes: u64| bytes >> 20;
    println!("{IDLE} idle agents hold      {:>8} MiB; the target is {}", mib(held), mib(MEMORY));
    if own > STEP || held > MEMORY {
        return Err("a target is missed".into());
    }
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// One small append and its way to the disk.
fn fsync() -> Result<Duration, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let mut file = File::create(dir.path().join("file"))?;
    let mut times = Vec::new();
    for _ in 0..300 {
        let began = Instant::now();
        file.write_all(&[7; 512])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    Ok(median(times))
}

async fn agent(dir: &Path, script: &Arc<Scripted>) -> Result<Agent, Box<dyn Error>> {
    let limits = TaskLimits { steps: 64, ..TaskLimits::default() };
    let agent = Agent::builder("scout")
        .model(Arc::clone(script) as Arc<_>)
        .steward(Arc::new(Yes))
        .mind_dir(dir)
        .limits(limits)
        .build()
        .await?;
    Ok(agent.tool(Count))
}

fn script(steps: usize) -> Arc<Scripted> {
    let call = |n| format!(r#"{{"tool":"count","args":{{"number":{n}}}}}"#);
    let finish = r#"{"tool":"finish","args":{"answer":"counted"}}"#.to_owned();
    Arc::new(Scripted::new((0..steps).map(call).chain([finish])))
}

/// Time from one thought to the next.
async fn steps() -> Result<Duration, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let agent = agent(dir.path(), &script(STEPS)).await?;
    let mut times = Vec::new();
    for run in 0..RUNS {
        let mut events = agent.events();
        let began = Instant::now();
        let _: String = agent.run_as(&format!("run-{run}"), "count").await?;
        let all = began.elapsed();
        drop(events.try_recv());
        times.extend([all / (STEPS as u32 + 1); STEPS]);
    }
    Ok(median(times))
}

/// Resident memory of agents that have each answered one goal and wait for the next.
async fn idle() -> Result<u64, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let script = script(1);
    let mut agents = Vec::with_capacity(IDLE);
    let before = resident()?;
    for number in 0..IDLE {
        let agent = agent(&dir.path().join(number.to_string()), &script).await?;
        let _: String = agent.run("count").await?;
        agents.push(agent);
    }
    let after = resident()?;
    drop(agents);
    Ok(after.saturating_sub(before))
}

/// Bytes of this process in memory.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
    Ok(kib.parse::<u64>()? << 10)
}
