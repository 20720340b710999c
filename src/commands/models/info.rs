//! `marque models info`: what a model file is and whether this machine can run it.

use super::Shared;
use crate::{
    failure::{Context as _, Done, Failure},
    story::{bytes, harmless, say},
};
use marque::process::vet_model;
use marque_models::{Description, Llama, available, memory};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The context for which memory is told where nobody asks for another.
const TOKENS: u64 = 8_192;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A GGUF file; else the built-in model.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Tokens of context to tell the memory for; else those it was trained on, at most 8,192.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 31))]
    context: Option<u64>,
    /// Read the whole file and print its SHA-256, to compare with what its maker published.
    #[arg(long)]
    sha256: bool,
    /// Only read the header: do not load the file to see whether it answers.
    #[arg(long)]
    no_trial: bool,
}

/// Whether the file can be run here.
enum Here {
    Runs,
    Not(String),
    /// Nobody tried.
    Fits,
}

pub(crate) fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let path = match &args.file {
        Some(file) => file.clone(),
        None => Llama::built_in_path()?,
    };
    let model = Description::read(&path)?;
    let trained = model.context_length.unwrap_or(TOKENS);
    let tokens = args.context.unwrap_or_else(|| trained.min(TOKENS));
    let here = here(&path, &model, tokens, args.no_trial);
    let hash = if args.sha256 { Some(sha256(&path)?) } else { None };
    if shared.json {
        say!("{}", as_json(&path, &model, tokens, &here, hash.as_deref()));
    } else {
        tell(&path, &model, tokens, &here, hash.as_deref());
    }
    Ok(match here {
        Here::Not(_) => ExitCode::FAILURE,
        Here::Runs | Here::Fits => ExitCode::SUCCESS,
    })
}

fn here(path: &Path, model: &Description, tokens: u64, no_trial: bool) -> Here {
    if let Some(trained) = model.context_length.filter(|trained| tokens > *trained) {
        return Here::Not(format!(
            "{} tokens of context are asked for, and it was trained on {}",
            grouped(tokens),
            grouped(trained)
        ));
    }
    let needs = model.footprint.with(tokens);
    if let Some(has) = memory().filter(|has| *has < needs && !model.footprint.at_most) {
        return Here::Not(format!("it needs {} and there are {}", bytes(needs), bytes(has)));
    }
    if no_trial {
        return Here::Fits;
    }
    match vet_model(path) {
        Ok(_) => Here::Runs,
        Err(error) => Here::Not(error.to_string()),
    }
}

fn tell(path: &Path, model: &Description, tokens: u64, here: &Here, hash: Option<&str>) {
    let line = |what: &str, text: String| say!("{what:<14} {text}");
    let number = |number: Option<u64>| number.map_or_else(|| "not said".to_owned(), grouped);
    let said = |text: Option<&str>| text.map_or_else(|| "not said".to_owned(), harmless);
    line("file", format!("{}, {}", path.display(), bytes(model.file_size)));
    if let Some(hash) = hash {
        line("sha256", hash.to_owned());
    }
    line("name", said(model.name.as_deref()));
    line("architecture", harmless(&model.architecture));
    line("parameters", parameters(model.parameters));
    let formats: Vec<String> = model
        .formats
        .iter()
        .map(|share| format!("{} {}", share.format, bytes(share.bytes)))
        .collect();
    let mixture = model.quantisation.unwrap_or("not said");
    line("quantisation", format!("{mixture} ({})", formats.join(", ")));
    line("context", format!("{} tokens in training", number(model.context_length)));
    let tokenizer = said(model.tokenizer.as_deref());
    line("vocabulary", format!("{} tokens, tokeniser {tokenizer}", number(model.vocabulary)));
    line(
        "chat template",
        match model.chat_template {
            None => "none; ChatML is taken, which the model may not know".to_owned(),
            Some(template) => {
                let has = |has: bool| if has { "yes" } else { "no" };
                format!(
                    "yes; speaks of tools: {}, of thinking: {}",
                    has(template.tools),
                    has(template.thinking)
                )
            }
        },
    );
    let footprint = &model.footprint;
    let about = if footprint.at_most { "at most" } else { "about" };
    line(
        "memory",
        format!(
            "{about} {} with {} tokens of context: weights {}, {} a token, work {}",
            bytes(footprint.with(tokens)),
            grouped(tokens),
            bytes(footprint.weights),
            bytes(footprint.per_token),
            bytes(footprint.work),
        ),
    );
    line("exact", exact(model));
    line(
        "here",
        match here {
            Here::Runs => {
                let threads = model.threads();
                let plural = if threads == 1 { "" } else { "s" };
                let free = available().map(|free| format!("; {} are free", bytes(free)));
                format!("it runs, with {threads} thread{plural}{}", free.unwrap_or_default())
            }
            Here::Not(reason) => format!("it does not run: {}", harmless(reason)),
            Here::Fits => "its memory fits; whether it answers was not tried".to_owned(),
        },
    );
}

fn exact(model: &Description) -> String {
    let formats = model.exact.unmeasured_formats.join(", ");
    match (formats.is_empty(), model.exact.architecture_measured) {
        (true, true) => "measured for its formats; marque models selftest asks this machine".into(),
        (true, false) => format!(
            "its formats are measured, on another architecture than {}",
            harmless(&model.architecture)
        ),
        (false, _) => format!("not claimed: not measured for {formats}"),
    }
}

fn as_json(
    path: &Path,
    model: &Description,
    tokens: u64,
    here: &Here,
    hash: Option<&str>,
) -> serde_json::Value {
    let (runs, reason) = match here {
        Here::Runs => (Some(true), None),
        Here::Not(reason) => (Some(false), Some(reason)),
        Here::Fits => (None, None),
    };
    let footprint = &model.footprint;
    json!({
        "file": path,
        "sha256": hash,
        "model": model,
        "memory": {
            "context": tokens,
            "bytes": footprint.with(tokens),
            "weights": footprint.weights,
            "per_token": footprint.per_token,
            "work": footprint.work,
            "at_most": footprint.at_most,
        },
        "exact_claimed": model.exact.is_measured(),
        "here": {
            "runs": runs,
            "reason": reason,
            "threads": model.threads(),
            "memory": memory(),
            "available": available(),
        },
    })
}

/// The hash of a file, with its progress on a terminal.
pub(super) fn sha256(path: &Path) -> Done<String> {
    let found = path.metadata().doing(path.display())?;
    if !found.is_file() {
        return Err(Failure::usage(format!("{}: it is not a regular file", path.display())));
    }
    let mut file = File::open(path).doing(path.display())?;
    let size = found.len();
    let mut progress = super::Progress::new("hashed", 0, Some(size));
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).doing(path.display())?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
        hash.update(piece);
        progress.add(read as u64);
    }
    Ok(hex::encode(hash.finalize()))
}

/// `984192` as `984,192`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn parameters(number: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
    let count = number as f64;
    match count {
        count if count >= 1e9 => format!("{:.1} billion", count / 1e9),
        count if count >= 1e6 => format!("{:.1} million", count / 1e6),
        _ => grouped(number),
    }
}
