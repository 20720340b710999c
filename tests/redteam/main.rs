//! A red team inside a mind's own process.
//!
//! This program is three: run as a test it builds a small town with a steward of somebody else, a
//! session bus and files worth stealing, and starts itself as `#[marque::main]` programs start. So
//! its second process is a real steward with a real key, and its third the mind, here wholly in an
//! attacker's hands. The mind tries everything in `attempts`, and prints a line for each. The first
//! process reads them, checks what it can see from outside, and prints the table: attempt, what
//! stopped it. An attempt that nothing stops is in `docs/threat-model.md`, or the test fails.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test, which may fail loudly"
)]
#![cfg_attr(not(target_os = "linux"), expect(dead_code, unused, reason = "the walls are Linux's"))]

#[cfg(target_os = "linux")]
mod attempts;
#[cfg(target_os = "linux")]
mod town;

use std::process::ExitCode;

/// Set in the steward's process and those that it starts.
const SCENE: &str = "MARQUE_RED_TEAM";

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    if std::env::var_os(SCENE).is_some() || marque::process::is_doorman() {
        return marque::__private::main(attempts::all);
    }
    if !wanted("red_team") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(town::defend())
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    println!("the mind's walls are Linux's; there is nothing to attack here");
    ExitCode::SUCCESS
}

/// Whether the runner's arguments ask for this test; a listing is answered.
fn wanted(name: &str) -> bool {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        if !args.iter().any(|arg| arg == "--ignored") {
            println!("{name}: test");
        }
        return false;
    }
    let mut filters = args.iter().filter(|arg| !arg.starts_with('-')).peekable();
    filters.peek().is_none() || filters.any(|filter| name.contains(filter.as_str()))
}
