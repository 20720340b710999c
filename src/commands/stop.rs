//! `marque stop`: ends a home's steward in order.
//!
//! The process is known from the home's lock, which only the steward's own user can write. A mind
//! has no such question on its socket.

use super::{
    Shared,
    approvals::{Names, head, may_look},
};
use crate::{
    failure::{Done, Failure},
    story::say,
};
use marque::{home::Home, owner::connect};
use marque_policies::IntentId;
use marque_steward_client::{IntentState, PaymentState};
use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many seconds to wait for it.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

/// Something that the chain may still take.
#[derive(Debug, serde::Serialize)]
struct Live {
    id: IntentId,
    state: PaymentState,
    what: String,
}

pub(crate) async fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let home = shared.home()?;
    may_look(&home)?;
    let laid_out = marque_steward::Home::open(home.path()).map_err(Failure::usage)?;
    let place = home.path().display();
    let Some(holder) = laid_out.holder()? else {
        if shared.json {
            say!("{}", serde_json::json!({ "stopped": false, "live": [] }));
        } else {
            say!("no steward runs in {place}: nothing to stop");
        }
        return Ok(ExitCode::SUCCESS);
    };
    let process = holder.process.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let Some(process) = process else {
        return Err(Failure::new(format!("the steward of {place} is just starting"))
            .help("run this again in a moment"));
    };
    let live = live(&home).await;
    match kill_process(process, Signal::TERM) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(Errno::PERM) => {
            return Err(Failure::new(format!(
                "process {} is another user's",
                process.as_raw_nonzero()
            ))
            .help("run this as that user; a service is stopped with systemctl stop"));
        }
        Err(error) => return Err(Failure::new(error)),
    }
    let begun = Instant::now();
    while laid_out.holder()?.is_some_and(|now| now == holder) {
        if begun.elapsed() >= Duration::from_secs(args.wait) {
            let line = format!(
                "process {} was asked to stop and has not within {} s",
                process.as_raw_nonzero(),
                args.wait
            );
            return Err(Failure::new(line)
                .help("it finishes what is under way; look again with marque status"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    if shared.json {
        say!("{}", serde_json::json!({ "stopped": true, "live": live }));
        return Ok(ExitCode::SUCCESS);
    }
    say!("the steward of {place} has stopped");
    if !live.is_empty() {
        say!(
            "  still out, and spent until the chain has the last word; the next start follows them:"
        );
    }
    for Live { id, state, what } in live {
        say!("    {state:?}  {what}  ({id})");
    }
    Ok(ExitCode::SUCCESS)
}

/// What the chain may still take, as far as the steward says it.
async fn live(home: &Home) -> Vec<Live> {
    let mut live = Vec::new();
    for name in home.agents() {
        let Ok(client) = connect(&home.owner_socket(&name), Duration::ZERO).await else { continue };
        // One that hangs is stopped all the same.
        let view = tokio::time::timeout(Duration::from_secs(5), client.view()).await;
        let Ok(Ok(view)) = view else { continue };
        let names = Names::from(&view);
        for it in view.intents {
            let IntentState { id, state, .. } = it.status;
            let out = matches!(
                state,
                PaymentState::Reserved
                    | PaymentState::Signed
                    | PaymentState::Sent
                    | PaymentState::Seen
            );
            if out {
                live.push(Live { id, state, what: head(&names, &view.agent, &it.intent) });
            }
        }
    }
    live
}
