//! The `marque` command: parse, run, exit code.

mod commands;
mod failure;
mod story;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    if marque::process::is_doorman() {
        return marque::process::doorman();
    }
    if marque::process::is_trial() {
        return marque::process::trial();
    }
    let cli = match commands::Cli::try_parse() {
        Ok(cli) => cli,
        // A script is told so as it is told everything.
        Err(error) if error.use_stderr() && std::env::args_os().any(|word| word == "--json") => {
            let failure = failure::Failure::from(error);
            eprintln!("{}", failure.json());
            return failure.exit_code();
        }
        Err(error) => error.exit(),
    };
    if let Err(why) = marque::telemetry::init() {
        anstream::eprintln!("error: {why}");
        return ExitCode::from(2);
    }
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
