//! A task of twenty tool calls, whose every prompt is the one before and a little more: what the loop
//! and the engine compute of it, beside the same loop when each prompt is computed anew, and beside
//! node-llama-cpp with its own reuse on prompts of the same lengths.
//!
//! The model has random weights and a realistic size, and is held to one call a step. Times are CPU
//! time of the process on one thread, medians of interleaved rounds. Ours holds the constraint, the
//! journalled steps and the loop; node-llama-cpp chooses freely and does nothing else.

use async_trait::async_trait;
use marque_agent_core::{Agent, Cx, TaskLimits, Tool, ToolError};
use marque_models::synthetic::{Format, Synthetic};
use marque_models::{
    Generation, Llama, LlamaOptions, Model, ModelError, ModelInfo, Request, Usage,
};
use serde_json::{Value, json};
use std::{
    error::Error,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};
use support::Yes;

mod support;

const STEPS: usize = 20;
const ROUNDS: usize = 3;
const CONTEXT: u32 = 4_096;
/// What reuse may cost of what computing anew costs.
const SHARE: f64 = 0.5;
/// Of this length are the goal and each result, in pairs of a digit and a space.
const GOAL: usize = 200;
const RESULT: usize = 25;

/// A real model that is held to the call of its step.
#[derive(Debug)]
struct Held {
    llama: Arc<Llama>,
    /// Whether a step finds what the one before has computed.
    reuses: bool,
    usages: Mutex<Vec<Usage>>,
}

#[async_trait]
impl Model for Held {
    fn info(&self) -> &ModelInfo {
        self.llama.info()
    }

    fn count_tokens(&self, text: &str) -> Result<usize, ModelError> {
        self.llama.count_tokens(text)
    }

    fn count_prompt(&self, request: &Request) -> Result<usize, ModelError> {
        self.llama.count_prompt(request)
    }

    async fn generate(&self, mut request: Request) -> Result<Generation, ModelError> {
        let step = self.usages.lock().map_or(0, |usages| usages.len());
        let call = |tool: &str, arguments: Value| {
            let required: Vec<_> =
                arguments.as_object().into_iter().flat_map(|all| all.keys()).collect();
            json!({
                "type": "object", "required": ["tool", "args"], "additionalProperties": false,
                "properties": {
                    "tool": { "const": tool },
                    "args": {
                        "type": "object", "required": required, "additionalProperties": false,
                        "properties": arguments,
                    },
                },
            })
        };
        let words = json!({ "type": "string", "pattern": "^[a-z]{24}$" });
        let schema = if step < STEPS {
            call("look", json!({ "number": { "const": step }, "what": words }))
        } else {
            call("finish", json!({ "answer": words }))
        };
        if !self.reuses
            && let Some(session) = request.session.take()
        {
            // Another beginning: nothing that was computed before is a prefix of it.
            self.llama.sequence(session).forget();
            if let Some(first) = request.messages.first_mut() {
                first.content.insert_str(0, &format!("{step} "));
            }
        }
        let reply = self.llama.generate(request.json_schema(schema)).await?;
        if let Ok(mut usages) = self.usages.lock() {
            usages.push(reply.usage);
        }
        Ok(reply)
    }
}

struct Look;

#[async_trait]
impl Tool for Look {
    fn name(&self) -> &str {
        "look"
    }

    fn description(&self) -> &str {
        "look at something"
    }

    fn schema(&self) -> Value {
        let (number, what) = (json!({ "type": "integer" }), json!({ "type": "string" }));
        json!({
            "type": "object", "required": ["number", "what"],
            "properties": { "number": number, "what": what },
        })
    }

    async fn call(&self, _: &Cx, _: Value) -> Result<Value, ToolError> {
        Ok(Value::String("7 ".repeat(RESULT)))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.gguf");
    let shape = Synthetic {
        format: Format::Q4_0,
        width: 512,
        layers: 6,
        heads: 8,
        kv_heads: 2,
        feed_forward: 1_536,
        vocabulary: 32_768,
        context: CONTEXT,
        seed: 1,
    };
    shape.write(&path)?;
    let options =
        LlamaOptions { threads: Some(1), context: Some(CONTEXT), ..LlamaOptions::default() };
    let llama = Arc::new(Llama::load(&path, options)?);
    let (mut ours, mut anew, mut node) = (Vec::new(), Vec::new(), Vec::new());
    let mut usages = Vec::new();
    for round in 0..=ROUNDS {
        let (time, counted) = runtime.block_on(task(&llama, true))?;
        let (again, all) = runtime.block_on(task(&llama, false))?;
        let peer = peer(&path, &counted)?;
        // The first round warms up.
        if round > 0 {
            ours.push(time);
            anew.push(again);
            node.extend(peer);
        }
        usages = vec![counted, all];
    }
    let computed = |usages: &[Usage]| -> u32 {
        usages.iter().map(|usage| usage.prompt_tokens - usage.reused_tokens).sum()
    };
    let (reused, all) = (usages.first().map(|u| computed(u)), usages.last().map(|u| computed(u)));
    let (ours, anew) = (median(ours), median(anew));
    anstream::println!(
        "a task of {STEPS} tool calls, 34 M parameters  {ours:>6.2} s CPU (median of {ROUNDS}); \
         {} tokens of prompts computed",
        reused.unwrap_or_default()
    );
    anstream::println!(
        "  each prompt computed anew                {anew:>6.2} s; {} tokens: ratio {:.2}, the \
         target is {SHARE}",
        all.unwrap_or_default(),
        ours / anew
    );
    if node.is_empty() {
        anstream::println!(
            "  node-llama-cpp is not installed: make bench adds it on Linux, x86-64"
        );
    } else {
        let node = median(node);
        anstream::println!(
            "  node-llama-cpp, its own reuse            {node:>6.2} s; the same lengths, chosen \
             freely: ratio {:.2}",
            ours / node
        );
    }
    if ours > anew * SHARE {
        std::process::exit(1);
    }
    Ok(())
}

/// CPU seconds of one task, and the tokens of each of its thoughts.
async fn task(llama: &Arc<Llama>, reuses: bool) -> Result<(f64, Vec<Usage>), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let held = Arc::new(Held { llama: Arc::clone(llama), reuses, usages: Mutex::default() });
    let limits = TaskLimits { steps: 64, ..TaskLimits::default() };
    let agent = Agent::builder("scout")
        .model(Arc::clone(&held) as Arc<_>)
        .steward(Arc::new(Yes::new("look")))
        .mind_dir(dir.path())
        .limits(limits)
        .build()
        .await?
        .tool(Look);
    let began = cpu()?;
    let _: String = agent.run(&"7 ".repeat(GOAL)).await?;
    let took = cpu()? - began;
    let usages = held.usages.lock().map_err(|_| "a step has panicked")?.clone();
    Ok((took, usages))
}

/// CPU seconds of the same lengths through node-llama-cpp, where it is installed.
fn peer(model: &Path, usages: &[Usage]) -> Result<Option<f64>, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/benches/node");
    if !folder.join("node_modules").exists() {
        return Ok(None);
    }
    let lengths: Vec<_> =
        usages.iter().map(|usage| [usage.prompt_tokens, usage.completion_tokens]).collect();
    let output = Command::new("node")
        .arg(folder.join("task.mjs"))
        .arg(model)
        .args([CONTEXT.to_string(), serde_json::to_string(&lengths)?])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(Some(String::from_utf8(output.stdout)?.trim().parse()?))
}

/// CPU seconds of all threads of this process.
fn cpu() -> Result<f64, Box<dyn Error>> {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    Ok(std::time::Duration::from(time).as_secs_f64())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
