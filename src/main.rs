//! The `marque` command: parse, run, exit code.

mod commands;
mod failure;
mod story;

use clap::Parser as _;
use std::{io::IsTerminal as _, process::ExitCode};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    if marque::process::is_doorman() {
        return marque::process::doorman();
    }
    if marque::process::is_trial() {
        return marque::process::trial();
    }
    let cli = commands::Cli::parse();
    // What is worth a line beside the command's own: warnings, or what MARQUE_LOG names.
    let wanted = EnvFilter::try_from_env("MARQUE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(wanted)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .compact()
        .init();
    let json = cli.json();
    let done = commands::run(cli);
    match (done, story::unwritten()) {
        (Ok(code), None) => code,
        (Ok(_), Some(error)) => {
            anstream::eprintln!("error: standard output: {error}");
            ExitCode::FAILURE
        }
        (Err(failure), _) => {
            if json {
                eprintln!("{}", failure.json());
            } else {
                anstream::eprintln!("error: {failure}");
            }
            failure.exit_code()
        }
    }
}
