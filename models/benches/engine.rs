//! `make bench`: the engine beside llama.cpp itself, called raw in a tight loop of the same build on
//! the same file, and beside a context for each conversation.
//!
//! The machine is shared and noisy: times are CPU time of the process on one thread, medians of
//! interleaved rounds, and what counts is the ratio. Memory is what the process has for itself
//! beyond the weights. The pool is as large as the conversations together need. Each part that measures memory runs in a
//! process of its own.
#![expect(unsafe_code, reason = "the peer is llama.cpp through its raw interface")]
#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints or stops"
)]

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use llama_cpp_sys_2 as sys;
use marque_models::measure::choices;
use marque_models::synthetic::{Format, Synthetic};
use marque_models::{Constraint, Llama, LlamaOptions, Message, Model, Request};
use serde_json::json;

const PROMPT: usize = 512;
const REPLY: u32 = 64;
const ROUNDS: usize = 5;
/// For a small model, whose times are so short that the machine's other work shows in each.
const MANY_ROUNDS: usize = 41;
const VOCABULARY: u32 = 131_072;
/// Tokens of the system's words that all conversations share.
const SHARED: usize = 576;
const CONTEXT: u32 = 1_024;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|word| word == "--part") {
        let path = PathBuf::from(&arguments[at + 2]);
        return match arguments[at + 1].as_str() {
            "engine" => together(&path, arguments[at + 3].parse().unwrap()),
            "apart" => apart(&path, arguments[at + 3].parse().unwrap()),
            "cold" => cold(&path),
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
    speed("random Q4_0, 100 M parameters", &path, ROUNDS);
    speed("built-in", &Llama::built_in_path().unwrap(), MANY_ROUNDS);
    conversations(&path);
    resume(&path, &folder.path().join("parked"));
    let started = Instant::now();
    part(&["cold", Llama::built_in_path().unwrap().to_str().unwrap()]);
    row("process start to the first token, built-in", &ms(started), "wall time");
    let wide = folder.path().join("wide.gguf");
    Synthetic { layers: 1, vocabulary: VOCABULARY, ..Synthetic::small(Format::Q4_0) }
        .write(&wide)
        .unwrap();
    print!("{}", part(&["constraint", wide.to_str().unwrap()]));
}

fn row(what: &str, figure: &str, beside: &str) {
    println!("{what:<56} {figure:>16}   {beside}");
}

fn ms(since: Instant) -> String {
    format!("{:.0} ms", since.elapsed().as_secs_f64() * 1e3)
}

/// CPU seconds of all threads.
fn cpu() -> f64 {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID).as_secs_f64()
}

/// MiB that the process has for itself.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// CPU time of this thread.
fn thread_time() -> Duration {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// What a clock of the system says; what `/proc` says of a running thread is late by up to a tick.
fn clock(which: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is what the call fills.
    let failed = unsafe { libc::clock_gettime(which, &raw mut time) };
    assert_eq!(failed, 0);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
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

fn conversations(path: &Path) {
    // Weights are laid out anew for the processor, in memory of the process; every way needs that.
    let (_, weights) = figures(&part(&["weights", path.to_str().unwrap()]));
    for count in [1, 4, 8, 16, 64] {
        let path = path.to_str().unwrap();
        let count_text = count.to_string();
        let (rate, memory) = figures(&part(&["engine", path, &count_text]));
        let memory = memory - weights;
        let beside = if count <= 16 {
            let (their_rate, their_memory) = figures(&part(&["apart", path, &count_text]));
            let their_memory = their_memory - weights;
            format!(
                "{their_rate:.0} and {their_memory:.0} MiB in contexts apart: ratios {:.2}, {:.2}",
                rate / their_rate,
                memory / their_memory
            )
        } else {
            String::new()
        };
        row(
            &format!("{count} conversations, {SHARED} tokens in common"),
            &format!("{rate:.0} tokens/s"),
            &format!("{memory:.0} MiB; {beside}"),
        );
    }
}

fn together(path: &Path, count: usize) {
    let pool = SHARED + count * (REPLY as usize + 60);
    let options = LlamaOptions {
        threads: Some(1),
        context: Some(CONTEXT),
        kv_tokens: Some(CONTEXT.max(pool as u32)),
        ..LlamaOptions::default()
    };
    let model = Arc::new(Llama::load(path, options).unwrap());
    let started = cpu();
    let written = block_on(async {
        let tasks: Vec<_> = (0..count)
            .map(|name| {
                let model = Arc::clone(&model);
                let messages =
                    vec![Message::system(words(SHARED)), Message::user(format!("I am {name}"))];
                let request = Request::new(messages).session(name.to_string()).max_tokens(REPLY);
                tokio::spawn(async move { model.generate(request).await.unwrap() })
            })
            .collect();
        let mut written = 0;
        for task in tasks {
            written += task.await.unwrap().usage.completion_tokens;
        }
        written
    });
    println!("{} {}", f64::from(written) / (cpu() - started), memory());
}

/// Each conversation in a context of its own, one token each in turn.
fn apart(path: &Path, count: usize) {
    let raw = Raw::load(path);
    let started = cpu();
    let mut contexts: Vec<_> = (0..count).map(|_| raw.context(CONTEXT)).collect();
    let prompt = SHARED + 24;
    let mut next: Vec<i32> =
        contexts.iter_mut().map(|context| context.evaluate(&vec![100; prompt])).collect();
    for _ in 1..REPLY {
        for (context, token) in contexts.iter_mut().zip(&mut next) {
            *token = context.evaluate(&[*token]);
        }
    }
    let written = (count * REPLY as usize) as f64;
    println!("{} {}", written / (cpu() - started), memory());
}

fn cold(path: &Path) {
    let model = Llama::load(path, LlamaOptions::default()).unwrap();
    let request = Request::new(vec![Message::user("What is my balance?")]).max_tokens(1);
    block_on(model.generate(request)).unwrap();
}

fn resume(path: &Path, folder: &Path) {
    let model = load(path);
    let ask = || Request::new(vec![Message::user(words(900))]).session("a").max_tokens(2);
    let (mut parked_times, mut computed) = (Vec::new(), Vec::new());
    let mut tokens = 0;
    for _ in 0..ROUNDS {
        let sequence = model.sequence("a");
        sequence.forget();
        let start = cpu();
        block_on(model.generate(ask())).unwrap();
        computed.push(cpu() - start);
        let parked = block_on(sequence.park(folder)).unwrap();
        let start = cpu();
        tokens = block_on(sequence.resume(&parked)).unwrap();
        block_on(model.generate(ask())).unwrap();
        parked_times.push(cpu() - start);
        parked.discard().unwrap();
    }
    let (parked, computed) = (median(parked_times) * 1e3, median(computed) * 1e3);
    row(
        &format!("first tokens after a resume of {tokens} tokens"),
        &format!("{parked:.0} ms"),
        &format!("{computed:.0} ms when computed anew: ratio {:.2}", parked / computed),
    );
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

/// llama.cpp through its raw interface.
struct Raw(*mut sys::llama_model);

impl Raw {
    fn load(path: &Path) -> Self {
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the path is a text that ends with a zero byte; parameters are the library's own.
        let model = unsafe {
            sys::llama_log_set(Some(quiet), std::ptr::null_mut());
            sys::llama_model_load_from_file(path.as_ptr(), sys::llama_model_default_params())
        };
        assert!(!model.is_null());
        Self(model)
    }

    fn context(&self, cells: u32) -> RawContext<'_> {
        // SAFETY: the model lives as long as `self`; nothing else makes a context meanwhile.
        let context = unsafe {
            let mut parameters = sys::llama_context_default_params();
            parameters.n_ctx = cells;
            parameters.n_batch = cells;
            parameters.n_threads = 1;
            parameters.n_threads_batch = 1;
            sys::llama_init_from_model(self.0, parameters)
        };
        assert!(!context.is_null());
        RawContext { context, model: self }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: made by `load`, and no context of it is left.
        unsafe { sys::llama_model_free(self.0) };
    }
}

struct RawContext<'a> {
    context: *mut sys::llama_context,
    model: &'a Raw,
}

impl RawContext<'_> {
    /// Evaluates tokens and takes the likeliest next one.
    fn evaluate(&mut self, tokens: &[i32]) -> i32 {
        let mut tokens = tokens.to_vec();
        // SAFETY: the batch points into `tokens` while it is used; the last token's logits are
        // computed, and there are as many of them as the vocabulary has entries.
        unsafe {
            let count = i32::try_from(tokens.len()).unwrap();
            let batch = sys::llama_batch_get_one(tokens.as_mut_ptr(), count);
            assert_eq!(sys::llama_decode(self.context, batch), 0);
            let vocabulary = sys::llama_model_get_vocab(self.model.0);
            let entries = sys::llama_vocab_n_tokens(vocabulary) as usize;
            let logits = sys::llama_get_logits_ith(self.context, -1);
            let logits = std::slice::from_raw_parts(logits, entries);
            let mut best = 0;
            for (token, logit) in logits.iter().enumerate() {
                if *logit > logits[best] {
                    best = token;
                }
            }
            best as i32
        }
    }
}

impl Drop for RawContext<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `context`, used by nobody any more.
        unsafe { sys::llama_free(self.context) };
    }
}

unsafe extern "C" fn quiet(
    _: sys::ggml_log_level,
    _: *const std::ffi::c_char,
    _: *mut std::ffi::c_void,
) {
}
