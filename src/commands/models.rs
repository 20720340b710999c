//! `marque models`: model files, and what this machine makes of them.

mod get;
mod info;
mod progress;

use super::Shared;
use crate::{
    failure::{Context as _, Done},
    story::say,
};
use marque_models::{Llama, LlamaOptions, Message, Model as _, Request, exact};
use progress::Progress;
use std::{path::PathBuf, process::ExitCode, time::Instant};

/// Tokens of the prompt and of the reply that `bench` measures.
const PROMPT: usize = 512;
const REPLY: u32 = 64;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// What a model file is: size, formats, context, template, memory, and whether it runs here.
    ///
    /// marque models info qwen3-4b-q4_k_m.gguf --context 4096
    ///
    /// The header is read and checked; then the file is loaded in a process of its own and asked for a
    /// reply, so that a file that would crash the program crashes that one instead. Exit codes: 0 it
    /// runs here; 1 it does not, and why; 2 it is no model, or not all of one. Every command that takes
    /// a model file ends so.
    Info(info::Args),
    /// Download a model file: it gets its name only if its SHA-256 is the one you give.
    ///
    /// marque models get https://example.org/qwen3-4b-q4_k_m.gguf --sha256 HASH
    ///
    /// The hash is on the file's page where its maker publishes it. Ctrl-C or a broken connection leaves
    /// FILE.part, and the same command goes on from there. https only, and public hosts only; to take a
    /// file from this machine, write http://127.0.0.1:PORT/FILE. Exit codes: 0 it is there; 1 it was not
    /// to be had, or is another one; 2 wrong usage; 130 and 143 stopped by Ctrl-C and SIGTERM.
    Get(get::Args),
    /// Whether this machine computes, bit for bit, as its class does: what `exact` may claim.
    ///
    /// Exit codes: 0 it does; 1 it does not.
    Selftest,
    /// How fast this machine reads and writes with a model file.
    Bench {
        /// A GGUF file; else the built-in model.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Threads; else as many as the engine would take.
        #[arg(long, value_name = "N")]
        threads: Option<u32>,
    },
}

pub(crate) async fn run(shared: &Shared, args: Args) -> Done<ExitCode> {
    match args.action {
        Action::Info(args) => info::run(shared, &args),
        Action::Get(args) => get::run(shared, &args).await,
        Action::Selftest => selftest(shared),
        Action::Bench { file, threads } => bench(shared, file, threads).await,
    }
}

fn selftest(shared: &Shared) -> Done<ExitCode> {
    let folder = tempfile::tempdir().doing("a folder for the models")?;
    let findings = exact::selftest(folder.path())?;
    let passes = findings.iter().all(exact::Finding::passes);
    if shared.json {
        let rows: Vec<_> = findings
            .iter()
            .map(|finding| {
                serde_json::json!({
                    "format": finding.format.name(),
                    "passes": finding.passes(),
                    "repeats": finding.repeats,
                    "found": finding.found,
                    "expected": finding.expected,
                })
            })
            .collect();
        say!("{}", serde_json::json!({ "class": exact::CLASS, "passes": passes, "formats": rows }));
    } else {
        for finding in &findings {
            let verdict = match (finding.passes(), finding.repeats) {
                (true, _) => "as the class",
                (false, true) => "repeats itself, but not as the class",
                (false, false) => "does not repeat itself",
            };
            say!("{:<8} {verdict}", finding.format.name());
        }
        match passes {
            true => say!("this machine may claim {}", exact::CLASS),
            false => say!("this machine may not claim {}", exact::CLASS),
        }
    }
    Ok(if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs of which the median counts.
const RUNS: usize = 5;

fn median(mut runs: [f64; RUNS]) -> f64 {
    runs.sort_by(f64::total_cmp);
    runs.get(RUNS / 2).copied().unwrap_or_default()
}

async fn bench(shared: &Shared, file: Option<PathBuf>, threads: Option<u32>) -> Done<ExitCode> {
    let path = match file {
        Some(file) => file,
        None => Llama::built_in_path()?,
    };
    marque::process::vet_model(&path)?;
    let started = Instant::now();
    let options = LlamaOptions { threads, ..LlamaOptions::default() };
    let model = Llama::load(&path, options)?;
    let loaded = started.elapsed().as_secs_f64();
    let words = "7 ".repeat(PROMPT / 2);
    let ask = |tokens| Request::new(vec![Message::user(&words)]).max_tokens(tokens);
    model.generate(ask(1)).await?; // what is done once is not counted
    let (mut prompt, mut written) = (0, 0);
    let (mut readings, mut wholes) = ([0.0; RUNS], [0.0; RUNS]);
    for (reading, whole) in readings.iter_mut().zip(&mut wholes) {
        let started = Instant::now();
        prompt = model.generate(ask(1)).await?.usage.prompt_tokens;
        *reading = started.elapsed().as_secs_f64();
        let started = Instant::now();
        let reply = model.generate(ask(REPLY)).await?;
        *whole = started.elapsed().as_secs_f64();
        written = reply.usage.completion_tokens.saturating_sub(1);
    }
    let (reading, whole) = (median(readings), median(wholes));
    let prefill = f64::from(prompt) / reading;
    // Where others have the machine, reading alone may have taken longer than reading and writing.
    let decode = (whole > reading).then(|| f64::from(written) / (whole - reading));
    if shared.json {
        let row = serde_json::json!({
            "model": model.info(), "load_seconds": loaded,
            "prefill_tokens": prompt, "prefill_tokens_per_second": prefill,
            "decode_tokens": written, "decode_tokens_per_second": decode,
        });
        say!("{row}");
    } else {
        say!("{}: loaded in {:.2} s", model.info().name, loaded);
        say!("prefill  {prefill:>8.0} tokens/s   over {prompt} tokens");
        if written == 0 {
            say!("decode   the model ended its reply at once");
        } else if let Some(decode) = decode {
            say!("decode   {decode:>8.0} tokens/s   over {written} tokens");
        } else {
            say!("decode   could not be measured: something else has this machine");
        }
    }
    Ok(ExitCode::SUCCESS)
}
