//! What the mind costs beside its model: a step of the loop, and an agent that has nothing to do.
//!
//! A step is a thought and a call, each written down durably before the next, so the disk is a part
//! of it: what is left without one is printed beside it. The model is a script and the steward answers
//! at once.

use async_trait::async_trait;
use marque_agent_core::{Agent, Cx, TaskLimits, Tool, ToolError};
use marque_models::Scripted;
use serde_json::{Value, json};
use std::{
    error::Error,
    fs::File,
    io::Write as _,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use support::Yes;

mod support;

/// Steps of the task that is measured.
const STEPS: u32 = 20;

/// So often it is run.
const RUNS: u32 = 15;

/// Agents that have nothing to do.
const IDLE: usize = 1_000;

/// Longer than an agent waits before it rests.
const REST: Duration = Duration::from_secs(15);

/// What a step may take beside one fsync, and what idle agents may hold.
const STEP: Duration = Duration::from_millis(2);
const MEMORY: u64 = 200 << 20;

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
    // As a steward starts its minds.
    let (name, value) = marque::process::MALLOC;
    if std::env::var_os(name).is_none() {
        let done = Command::new(std::env::current_exe()?).env(name, value).status()?;
        return if done.success() { Ok(()) } else { Err("a target is missed".into()) };
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let disk = fsync()?;
    anstream::println!("fsync of this disk            {:>8.2} ms (median of 300)", ms(disk));
    let step = runtime.block_on(steps(&tempfile::tempdir()?))?;
    let own = runtime.block_on(steps(&tempfile::tempdir_in("/dev/shm")?))?;
    anstream::println!(
        "a step of the loop            {:>8.2} ms (median of {RUNS} tasks of {STEPS})",
        ms(step)
    );
    anstream::println!(
        "  on a disk in memory         {:>8.2} ms; the target is {:.0} and one fsync",
        ms(own),
        ms(STEP)
    );
    let held = runtime.block_on(idle())?;
    let mib = |bytes: u64| bytes >> 20;
    anstream::println!(
        "{IDLE} idle agents hold      {:>8} MiB; the target is {}",
        mib(held),
        mib(MEMORY)
    );
    if own > STEP || held > MEMORY {
        std::process::exit(1);
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
        .steward(Arc::new(Yes::new("count")))
        .mind_dir(dir)
        .limits(limits)
        .build()
        .await?;
    Ok(agent.tool(Count))
}

fn script(steps: u32) -> Arc<Scripted> {
    let call = |n| format!(r#"{{"tool":"count","args":{{"number":{n}}}}}"#);
    let finish = r#"{"tool":"finish","args":{"answer":"counted"}}"#.to_owned();
    Arc::new(Scripted::new((0..steps).map(call).chain([finish])))
}

/// Time from one thought to the next, the answer's own counted in.
async fn steps(dir: &tempfile::TempDir) -> Result<Duration, Box<dyn Error>> {
    let agent = agent(dir.path(), &script(STEPS)).await?;
    let mut times = Vec::new();
    for run in 0..RUNS {
        let began = Instant::now();
        let _: String = agent.run_as(&format!("run-{run}"), "count").await?;
        times.push(began.elapsed() / STEPS);
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
    // An agent closes what it can open again once it has rested a while.
    tokio::time::sleep(REST).await;
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
