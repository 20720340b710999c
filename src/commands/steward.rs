//! `marque steward run | check | install`: the authority in the foreground, with a mind as its child if
//! asked.

mod check;
mod install;
mod unit;

use super::{Shared, runtime};
use crate::failure::{Done, Failure};
use marque::notify::notify;
use marque::process::{AFTER_THE_CUSTOMERS, run_mind, start, stop_signal, walls, warn_of_models};
use marque_steward::Minds;
use std::{
    path::PathBuf,
    process::{ExitCode, Stdio},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Run it in the foreground until Ctrl-C.
    Run(RunArgs),
    /// Recompute everything in the home from its journal, and say what differs.
    ///
    /// marque steward check --json
    ///
    /// Frames, tree, tiles, checkpoint, ledger, the owner's signatures, the index against the ledger
    /// and the outbox against what is in flight. Nothing is changed. While a steward works, its index
    /// is left alone and that is said. Exit codes: 0 all is as the journal says; 1 something differs.
    Check,
    /// Write a systemd unit that runs it as a user of its own, and say what else is to be done.
    ///
    /// Look first, as anybody: marque --home /var/lib/marque steward install --print. Then:
    /// sudo marque --home /var/lib/marque steward install
    Install(install::InstallArgs),
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Stop when the process that started this one ends.
    #[arg(long)]
    with_parent: bool,
    /// A file that the mind may read beside its models; may be given several times.
    #[arg(long, value_name = "FILE")]
    read: Vec<PathBuf>,
    /// Let the mind of agent NAME run as USER, a number or a name, beside this user; may be given
    /// several times. Its socket is NAME.sock in --mind-sockets.
    #[arg(long, value_name = "NAME=USER", requires = "mind_sockets", value_parser = mind_user)]
    mind_user: Vec<(String, u32)>,
    /// An existing folder outside of the home that those users can look into.
    #[arg(long, value_name = "DIR", requires = "mind_user")]
    mind_sockets: Option<PathBuf>,
    /// Start this program again with these arguments as the mind, and stop when it ends.
    #[arg(last = true)]
    mind: Vec<std::ffi::OsString>,
}

pub(crate) fn run(shared: &Shared, args: Args) -> Done<ExitCode> {
    let args = match args.act {
        Act::Run(args) => args,
        Act::Check => return check::run(shared),
        Act::Install(args) => return install::run(shared, &args),
    };
    let home = shared.home()?;
    if args.with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
            .map_err(Failure::new)?;
    }
    if !args.mind.is_empty() {
        marque_models::Llama::built_in_path()?; // the mind cannot write the cache
        warn_of_models(&home);
    }
    let unlock = shared.unlock(false)?;
    let mut minds = Minds { sockets: args.mind_sockets.unwrap_or_default(), ..Minds::default() };
    for (agent, user) in args.mind_user {
        minds.users.entry(agent).or_default().insert(user);
    }
    let walls = walls(&home, &args.read, &minds, !args.mind.is_empty());
    anstream::eprintln!("{}", describe(&walls));
    runtime()?.block_on(async {
        let mut stop = std::pin::pin!(stop_signal());
        let steward = tokio::select! {
            steward = start(&home, unlock, walls, minds) => steward?,
            // Nothing is under way yet that a killed process would not survive as well.
            () = &mut stop => return Ok(ExitCode::SUCCESS),
        };
        anstream::eprintln!("ready: {}", home.agents().join(", "));
        notify("READY=1");
        let code = if args.mind.is_empty() {
            tokio::select! {
                () = stop => ExitCode::SUCCESS,
                () = steward.stopped() => {
                    return Err(Failure::new("the steward stopped by itself")
                        .help("its journal could not be written; see the lines above"));
                }
            }
        } else {
            run_mind(&home, args.mind, Stdio::null(), AFTER_THE_CUSTOMERS)
                .await
                .map_err(Failure::new)?
        };
        notify("STOPPING=1");
        steward.stop().await?;
        Ok(code)
    })
}

fn describe(walls: &marque_steward::Walls) -> String {
    let list = |walls: &[String]| {
        if walls.is_empty() { "nothing".to_owned() } else { walls.join(", ") }
    };
    format!("enforced: {}\nnot enforced: {}", list(&walls.enforced), list(&walls.missing))
}

/// Reads `NAME=USER`; a user's name is looked up in `/etc/passwd`.
fn mind_user(text: &str) -> Result<(String, u32), String> {
    let (agent, user) = text.split_once('=').ok_or("write it as NAME=USER")?;
    if let Ok(number) = user.parse() {
        return Ok((agent.to_owned(), number));
    }
    let users = std::fs::read_to_string("/etc/passwd").map_err(|error| error.to_string())?;
    let number = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == user).then(|| fields.nth(1)?.parse().ok())?
    });
    let number = number.ok_or_else(|| format!("there is no user {user} here"))?;
    Ok((agent.to_owned(), number))
}

#[cfg(test)]
mod tests {
    use super::mind_user;

    #[test]
    fn a_minds_user_is_a_number_or_a_name() {
        assert_eq!(mind_user("scout=1001"), Ok(("scout".to_owned(), 1001)));
        assert_eq!(mind_user("scout=root"), Ok(("scout".to_owned(), 0)));
        for wrong in ["scout", "scout=nobody-of-that-name", "scout=-1"] {
            assert!(mind_user(wrong).is_err(), "{wrong}");
        }
    }
}
