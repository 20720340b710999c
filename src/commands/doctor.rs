//! `marque doctor`: whether a set-up would work, before money depends on it.

use super::{
    Shared,
    policy::{Companions, Named},
};
use crate::{
    failure::{Done, Failure},
    story::{odd, say},
};
use alloy_primitives::Address;
use marque::{
    doctor::{Delegated, Examination, Finding, Health},
    home::Home,
    owner::Notes,
};
use marque_identity::account::Permissions;
use owo_colors::OwoColorize as _;
use std::process::ExitCode;
use url::Url;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A policy file, the name of an agent for its draft, or NAME@adopted; else every agent's draft.
    #[arg(value_name = "POLICY")]
    policies: Vec<String>,
    /// Also ask this facilitator what it settles.
    #[arg(long, value_name = "URL")]
    facilitator: Option<Url>,
    #[command(flatten)]
    with: Companions,
}

/// A finding, and in which policy.
#[derive(serde::Serialize)]
struct Told<'a> {
    policy: &'a str,
    #[serde(flatten)]
    finding: &'a Finding,
}

pub(crate) async fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let home = shared.home()?;
    let policies = if args.policies.is_empty() { home.agents() } else { args.policies.clone() };
    if policies.is_empty() {
        return Err(Failure::usage(format!("there is no agent in {}", home.path().display()))
            .help("name a policy file, or make an agent: marque new NAME"));
    }
    if let Some(url) = &args.facilitator
        && (!matches!(url.scheme(), "http" | "https") || url.host().is_none())
    {
        return Err(Failure::usage(format!("\"{url}\" is no http or https URL")));
    }
    // Where another user's steward keeps the journal, what it says is not known here.
    let owners = marque::owner::succession(&home.journal()).unwrap_or_default();
    let mut findings: Vec<(String, Finding)> = Vec::new();
    for name in &policies {
        let named = shared.policy(name, &args.with)?;
        let agent = name.strip_suffix("@adopted").unwrap_or(name);
        let keys = marque_identity_keys::KeyDir::open(home.keys()).ok();
        let address = keys.and_then(|keys| keys.address(agent).ok());
        let read = match address {
            Some(_) => {
                Permissions::read(&home.delegation(agent)).map_err(|error| error.to_string())
            }
            None => Ok(None),
        };
        let noted = address.and_then(|key| noted(shared, &home, agent, key));
        let delegated = match (&read, &noted) {
            (Ok(Some(signed)), _) => Delegated::Signed(signed),
            (Ok(None), Some(noted)) => Delegated::Lost(noted),
            (Ok(None), None) => Delegated::Nothing,
            (Err(why), _) => Delegated::Broken(why),
        };
        let examination = Examination {
            policy: &named.policy,
            agent: address.map(|address| (agent, address)),
            genesis: begun(&home),
            owners: &owners,
            delegated,
            facilitator: args.facilitator.as_ref(),
        };
        if !shared.json && policies.len() > 1 {
            say!("{}", name.bold());
        }
        let mut heard = Vec::new();
        examination
            .run(|finding| {
                if !shared.json {
                    tell(&finding);
                }
                heard.push((name.clone(), finding));
            })
            .await;
        findings.extend(heard);
    }
    conclude(shared, &findings)
}

/// Says of an agent that is to settle what would keep it from that.
pub(crate) fn warn_of_fees(shared: &Shared, agent: &str) -> Done {
    let Ok(named) =
        Named::find(&shared.home()?, &format!("{agent}@adopted"), &Companions::default())
    else {
        return Ok(()); // nothing is in force: the steward says so
    };
    let address = super::trust::agent_address(shared, agent)?;
    let heard = marque::doctor::fees(&named.policy, agent, address);
    for Finding { subject, found, mend, .. } in super::runtime()?.block_on(heard) {
        let mend = mend.map(|mend| format!("; {mend}")).unwrap_or_default();
        let line = format!("{subject}: {found}{mend}");
        // What a script reads on standard output are its events alone.
        if shared.json {
            tracing::warn!("{line}");
        } else {
            odd(&line);
        }
    }
    Ok(())
}

/// What the owner's folder knows to be delegated last to an agent of this home, where it is on this
/// machine.
fn noted(shared: &Shared, home: &Home, agent: &str, key: Address) -> Option<Permissions> {
    let notes = Notes::of(&shared.owner_home().ok()?).ok()?;
    notes.adopted_at(&super::trust::place(home), agent)?;
    notes.delegated_to(key).last().cloned()
}

/// The chain and its first block, as the owner's genesis names them.
pub(crate) fn begun(home: &Home) -> Option<(u64, alloy_primitives::B256)> {
    let entries = marque_steward::audit::entries(&home.journal()).ok()?;
    entries.into_iter().find_map(|entry| match entry.body {
        marque_steward::Body::Genesis(genesis) => Some((genesis.chain, genesis.chain_genesis)),
        _ => None,
    })
}

fn tell(finding: &Finding) {
    let Finding { health, subject, found, mend } = finding;
    match health {
        Health::Good => say!("  {} {subject}: {found}", "✓".green()),
        Health::Odd => say!("  {} {subject}: {found}", "!".yellow()),
        Health::Wrong => say!("  {} {subject}: {found}", "✗".red()),
    }
    if let Some(mend) = mend {
        say!("    {}", mend.dimmed());
    }
}

fn conclude(shared: &Shared, findings: &[(String, Finding)]) -> Done<ExitCode> {
    let count = |health| findings.iter().filter(|(_, finding)| finding.health == health).count();
    let (wrong, odd) = (count(Health::Wrong), count(Health::Odd));
    if shared.json {
        let findings: Vec<_> =
            findings.iter().map(|(policy, finding)| Told { policy, finding }).collect();
        say!("{}", serde_json::json!({ "wrong": wrong, "odd": odd, "findings": findings }));
    }
    match wrong {
        0 if shared.json => Ok(ExitCode::SUCCESS),
        0 => {
            let odd = if odd == 0 { String::new() } else { format!(", {odd} to look at") };
            say!("{} things are as they should be{odd}", count(Health::Good));
            Ok(ExitCode::SUCCESS)
        }
        1 => Err(Failure::new("1 thing is wrong")),
        wrong => Err(Failure::new(format!("{wrong} things are wrong"))),
    }
}
