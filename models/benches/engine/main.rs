//! `make bench`: the engine beside llama.cpp itself, called raw in a tight loop of the same build on
//! the same file, and beside a context for each conversation.
//!
//! The machine is shared and noisy: times are CPU time of the process on one thread, medians of
//! interleaved rounds, and what counts is the ratio. Memory is the most that the process had for
//! itself at any time, beyond the weights; the pool is as large as the conversations together need.
//! Each part that measures memory runs in a process of its own.
//!
//! Names of parts run those alone (`-- conversations resume`), and `MARQUE_ROUNDS` says how many
//! rounds there are of what takes long.
#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints or stops"
)]

mod clocks;
mod raw;
mod sessions;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use marque_models::measure::choices;
use marque_models::synthetic::{Format, Synthetic};
use marque_models::{Constraint, Llama, LlamaOptions, Message, Model, Request};
use serde_json::json;

use crate::clocks::{cpu, median, memory, thread_time};
use crate::raw::Raw;

const PROMPT: usize = 512;
const REPLY: u32 = 64;
const ROUNDS: usize = 5;
/// For a small model, whose times are so short that the machine's other work shows in each.
const MANY_ROUNDS: usize = 41;
const VOCABULARY: u32 = 131_072;
const CONTEXT: u32 = 1_024;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|word| word == "--part") {
        let path = PathBuf::from(&arguments[at + 2]);
        return match arguments[at + 1].as_str() {
            "engine" => sessions::together(&path, arguments[at + 3].parse().unwrap()),
            "apart" => sessions::apart(&path, arguments[at + 3].parse().unwrap()),
            "first" => first(&path),
            "first-raw" => {
                Raw::load(&path).context(CONTEXT).evaluate(&[100; 32]);
            }
            "constraint" => constraint(&path),
            "speed" => speed("this file", &path, MANY_ROUNDS),
            "weights" => {
                let _raw = Raw::load(&path);
                println!("0 {}", memory());
            }
            part => println!("no part {part}"),
        };
    }
    let path = folder.path().join("model.gguf");
    let shape = Synthetic {
        format: Format::Q4_0,
        width: 768,
        layers: 8,
        heads: 6,
        kv_heads: 2,
        feed_forward: 2_048,
        vocabulary: 32_768,
        context: 4_096,
        seed: 1,
    };
    shape.write(&path).unwrap();
    // `cargo bench` itself adds `--bench`.
    let named: Vec<_> = arguments.iter().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|named| *named == part);
    if wanted("speed") {
        speed("random Q4_0, 100 M parameters", &path, ROUNDS);
        speed("built-in", &Llama::built_in_path().unwrap(), MANY_ROUNDS);
    }
    if wanted("conversations") {
        sessions::conversations(&path);
    }
    if wanted("resume") {
        sessions::resume(&path, &folder.path().join("parked"));
    }
    if wanted("cancellation") {
        sessions::cancellation(&path);
    }
    if wanted("cold") {
        cold(&Llama::built_in_path().unwrap());
    }
    if wanted("constraint") {
        let wide = folder.path().join("wide.gguf");
        Synthetic { layers: 1, vocabulary: VOCABULARY, ..Synthetic::small(Format::Q4_0) }
            .write(&wide)
            .unwrap();
        print!("{}", part(&["constraint", wide.to_str().unwrap()]));
    }
}

/// Rounds of what takes long.
fn rounds(usual: usize) -> usize {
    std::env::var("MARQUE_ROUNDS").map_or(usual, |text| text.parse().unwrap())
}

fn row(what: &str, figure: &str, beside: &str) {
    println!("{what:<56} {figure:>16}   {beside}");
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn load(path: &Path) -> Llama {
    let options =
        LlamaOptions { threads: Some(1), context: Some(CONTEXT), ..LlamaOptions::default() };
    Llama::load(path, options).unwrap()
}

/// A text of about this many tokens.
fn words(tokens: usize) -> String {
    "7 ".repeat(tokens / 2)
}

fn speed(name: &str, path: &Path, rounds: usize) {
    let model = load(path);
    let raw = Raw::load(path);
    let (mut ours, mut theirs) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    let (mut prompt, mut written) = (0, 0);
    for round in 0..=rounds {
        let ask = |tokens| Request::new(vec![Message::user(words(PROMPT))]).max_tokens(tokens);
        let start = cpu();
        let reply = block_on(model.generate(ask(1))).unwrap();
        let first = cpu();
        let long = block_on(model.generate(ask(REPLY + 1))).unwrap();
        let end = cpu();
        (prompt, written) = (reply.usage.prompt_tokens as usize, long.usage.completion_tokens);
        let mut context = raw.context(CONTEXT);
        let raw_start = cpu();
        let mut next = context.evaluate(&vec![100; prompt]);
        let raw_first = cpu();
        for _ in 1..written {
            next = context.evaluate(&[next]);
        }
        let raw_end = cpu();
        if round > 0 {
            ours.0.push(first - start);
            ours.1.push(end - first - (first - start));
            theirs.0.push(raw_first - raw_start);
            theirs.1.push(raw_end - raw_first);
        }
    }
    let report = |what: &str, tokens: usize, ours: Vec<f64>, theirs: Vec<f64>| {
        let (ours, theirs) = (tokens as f64 / median(ours), tokens as f64 / median(theirs));
        row(
            &format!("{what}, {name}"),
            &format!("{ours:.0} tokens/s"),
            &format!("{theirs:.0} by llama.cpp itself: ratio {:.2}", ours / theirs),
        );
    };
    let (prefill, decode) =
        (prompt as f64 / median(ours.0.clone()), f64::from(written - 1) / median(ours.1.clone()));
    report("prefill", prompt, ours.0, theirs.0);
    report("decode", written as usize - 1, ours.1, theirs.1);
    node(name, path, prompt, (prefill, decode));
}

/// The same through the Node binding, which takes the widest instructions that the processor has.
fn node(name: &str, path: &Path, prompt: usize, (prefill, decode): (f64, f64)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/node");
    if !folder.join("node_modules").exists() {
        return row(
            &format!("node-llama-cpp, {name}"),
            "not installed",
            "make bench adds it on Linux, x86-64",
        );
    }
    let (prompt, reply, rounds) = (prompt.to_string(), REPLY.to_string(), ROUNDS.to_string());
    let output = Command::new("node")
        .arg(folder.join("peer.mjs"))
        .arg(path)
        .args([prompt, reply, rounds])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (theirs, beside) = figures(&String::from_utf8(output.stdout).unwrap());
    for (what, ours, theirs) in [("prefill", prefill, theirs), ("decode", decode, beside)] {
        row(
            &format!("{what}, {name}"),
            &format!("{ours:.0} tokens/s"),
            &format!("{theirs:.0} by node-llama-cpp: ratio {:.2}", ours / theirs),
        );
    }
}

fn part(arguments: &[&str]) -> String {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).arg("--part").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Tokens a CPU second and MiB, as a part prints them.
fn figures(text: &str) -> (f64, f64) {
    let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// From the start of a process to the first token of a reply, beside llama.cpp in a process of its
/// own. Wall time: most of it is spent in the system.
fn cold(path: &Path) {
    let path = path.to_str().unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds(15) {
        for (way, into) in [("first", &mut ours), ("first-raw", &mut theirs)] {
            let started = Instant::now();
            part(&[way, path]);
            into.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    let spread = |times: &[f64]| {
        let least = times.iter().copied().fold(f64::INFINITY, f64::min);
        format!("{least:.0} to {:.0}", times.iter().copied().fold(0.0, f64::max))
    };
    let (our_spread, their_spread) = (spread(&ours), spread(&theirs));
    row(
        "process start to the first token, built-in",
        &format!("{:.0} ms", median(ours)),
        &format!("{our_spread}; {:.0} by llama.cpp itself, {their_spread}", median(theirs)),
    );
}

fn first(path: &Path) {
    let model = Llama::load(path, LlamaOptions::default()).unwrap();
    let request = Request::new(vec![Message::user("What is my balance?")]).max_tokens(1);
    block_on(model.generate(request)).unwrap();
}

fn constraint(path: &Path) {
    let call = |tool: &str, args: serde_json::Value| {
        let required: Vec<_> = args.as_object().unwrap().keys().cloned().collect();
        json!({
            "type": "object",
            "properties": {
                "tool": { "const": tool },
                "args": {
                    "type": "object", "properties": args, "required": required,
                    "additionalProperties": false,
                },
            },
            "required": ["tool", "args"],
            "additionalProperties": false,
        })
    };
    let schema = json!({ "oneOf": [
        call("fetch", json!({ "url": { "type": "string", "maxLength": 200 } })),
        call("pay", json!({
            "to": { "type": "string", "maxLength": 60 },
            "amount": { "type": "integer", "minimum": 0, "maximum": 100_000 },
        })),
        call("finish", json!({ "answer": { "type": "string", "maxLength": 400 } })),
    ]});
    let choices = choices(path, &Constraint::JsonSchema(schema), 2_000, thread_time).unwrap();
    let mut costs: Vec<f64> = choices
        .iter()
        .map(|choice| (choice.held.as_secs_f64() - choice.free.as_secs_f64()) * 1e6)
        .collect();
    let mean = costs.iter().sum::<f64>() / costs.len() as f64;
    costs.sort_by(f64::total_cmp);
    let free = median(choices.iter().map(|choice| choice.free.as_secs_f64() * 1e6).collect());
    row(
        &format!("constraint, greedy, {VOCABULARY} tokens in the vocabulary"),
        &format!("{mean:.1} us a token"),
        &format!(
            "median {:.1}, 99th {:.1}; choosing freely takes {free:.0}",
            costs[costs.len() / 2],
            costs[costs.len() * 99 / 100]
        ),
    );
}
