//! `marque policy check | explain | adopt`: what an owner wrote, read back, and put in force.

use super::Shared;
use crate::{
    failure::{Done, Failure},
    story::{reasons, say},
};
use clap::Subcommand;
use marque::{
    home::Home,
    owner::{Owner, submit_offline},
};
use marque_identity::Rpc;
use marque_policies::{Policy, parse, read_aloud, run_tests};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Read a policy, report every mistake with line and column, and run its own tests.
    Check {
        /// A policy file, or the name of an agent.
        policy: String,
    },
    /// Read a policy aloud, in sentences.
    Explain {
        /// A policy file, or the name of an agent.
        policy: String,
    },
    /// Sign an agent's policy draft as the owner and put it in force.
    Adopt {
        /// The agent.
        agent: String,
    },
}

pub(crate) async fn run(shared: &Shared, args: Args) -> Done<ExitCode> {
    let home = shared.home()?;
    match args.act {
        Act::Check { policy } => {
            let (_, policy) = load(&home, &policy, !shared.json)?;
            let results = run_tests(&policy);
            let failed = results.iter().filter(|result| !result.passed).count();
            if shared.json {
                say!(
                    "{}",
                    serde_json::json!({
                        "hash": policy.hash, "version": policy.version,
                        "tests": results.len(), "failed": failed,
                    })
                );
            } else {
                say!("version {}, hash {}", policy.version, policy.hash);
                for result in &results {
                    say!("  {} {}", if result.passed { "ok    " } else { "FAILED" }, result.name);
                    for reason in reasons(&result.verdict.table).iter().filter(|_| !result.passed) {
                        say!("         {reason}");
                    }
                }
                if results.is_empty() {
                    say!("it has no tests of its own; [[test]] says what you expect of it");
                } else {
                    say!("{} of {} tests passed", results.len() - failed, results.len());
                }
            }
            if failed == 0 {
                Ok(ExitCode::SUCCESS)
            } else {
                Err(Failure::new(format!("{failed} of the policy's own tests failed")))
            }
        }
        Act::Explain { policy } => {
            let (_, policy) = load(&home, &policy, !shared.json)?;
            say!("{}", read_aloud(&policy));
            Ok(ExitCode::SUCCESS)
        }
        Act::Adopt { agent } => {
            let (text, policy) = draft_of(&home, &agent, !shared.json)?;
            if let Some(result) = run_tests(&policy).into_iter().find(|result| !result.passed) {
                return Err(Failure::new(format!("the policy's own test failed: {}", result.name))
                    .help(format!("see marque policy check {agent}")));
            }
            let owner = Owner::unlock(&shared.owner_home()?, &shared.owner_secret(false)?)?;
            let entry = adopt(shared, &home, &owner, &agent, &text, &policy).await?;
            if shared.json {
                say!("{}", serde_json::json!({ "entry": entry, "hash": policy.hash }));
            } else {
                say!("version {} is in force for {agent} (hash {})", policy.version, policy.hash);
                say!("  next: marque fund {agent} AMOUNT, marque identity register {agent}");
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Reads a policy file, or an agent's draft; warnings go to standard error.
fn load(home: &Home, policy: &str, warn: bool) -> Done<(String, Policy)> {
    let file = PathBuf::from(policy);
    if file.is_file() {
        return read(&file, warn);
    }
    draft_of(home, policy, warn)
        .map_err(|failure| failure.or_help("give a policy file, or the name of an agent"))
}

/// Reads the draft of an agent of this home, and of nothing else that has its name.
pub(crate) fn draft_of(home: &Home, agent: &str, warn: bool) -> Done<(String, Policy)> {
    if !home.agents().iter().any(|name| name == agent) {
        return Err(unknown(home, agent));
    }
    read(&home.policy(agent), warn)
}

/// There is no such agent, but perhaps others.
pub(crate) fn unknown(home: &Home, agent: &str) -> Failure {
    let others = home.agents();
    let failure = Failure::usage(format!("there is no agent {agent} in {}", home.path().display()));
    if others.is_empty() {
        failure.help("make one: marque new NAME; or name another --home")
    } else {
        failure.help(format!("there are {}; marque new NAME makes another", others.join(", ")))
    }
}

fn read(file: &Path, warn: bool) -> Done<(String, Policy)> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
    match parse(&text) {
        Ok((policy, warnings)) => {
            for warning in warnings.iter().filter(|_| warn) {
                anstream::eprintln!("warning: {}: {warning}", file.display());
            }
            Ok((text, policy))
        }
        Err(error) => {
            let error = error.in_file(&file.display().to_string());
            let failure = Failure::new(&error);
            Err(match &error.mistake().help {
                Some(help) => failure.help(help),
                None => failure,
            })
        }
    }
}

/// Signs what is needed and hands it to the running steward, or writes it to the journal where
/// none runs.
pub(crate) async fn adopt(
    shared: &Shared,
    home: &Home,
    owner: &Owner,
    agent: &str,
    text: &str,
    policy: &Policy,
) -> Done<u64> {
    if policy.owner != owner.address() {
        return Err(Failure::new(format!(
            "the policy names owner {}, your key is {}",
            policy.owner,
            owner.address()
        ))
        .help("correct `owner` in the policy, or give another --owner-home"));
    }
    let (chain, rpc) = chain_of(policy)?;
    let laid_out = marque_steward::Home::open(home.path())?;
    if laid_out.chain() != chain {
        return Err(Failure::new(format!(
            "this home serves chain {}, the policy names chain {chain}",
            laid_out.chain()
        ))
        .help("one home serves one chain; make another with --home"));
    }
    let acts = owner.adoption(&laid_out, agent, policy, text, &rpc).await?;
    if marque::process::answers(home) {
        let mut entry = 0;
        // A new agent has no socket of its own yet: any of this home's will do.
        let socket = home.agents().into_iter().map(|name| home.socket(&name)).find(|s| s.exists());
        let socket = socket.unwrap_or_else(|| home.socket(agent));
        let client = marque::owner::connect(&socket, Duration::from_secs(2)).await?;
        for act in acts {
            entry = client.submit(act).await?;
        }
        Ok(entry)
    } else {
        let unlock = shared.unlock(false)?;
        Ok(submit_offline(laid_out, unlock, acts).await?)
    }
}

/// The one chain of a policy, and a client of it.
pub(crate) fn chain_of(policy: &Policy) -> Done<(u64, Rpc)> {
    let mut chains = policy.chains.values();
    match (chains.next(), chains.next()) {
        (Some(chain), None) => Ok((chain.id, Rpc::new(&chain.rpc)?)),
        _ => Err(Failure::new("this version works with exactly one [chain.NAME] in a policy")),
    }
}
