//! The `marque` command: parse, run, exit code.

mod commands;
mod failure;
mod story;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = commands::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        Err(failure) => {
            anstream::eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}
