//! `marque policy adopt`: an agent's draft, signed by its owner and put in force.

use super::{
    compare::summary,
    draft::{Companions, Named},
};
use crate::{
    commands::{
        Shared,
        approvals::{read_request, write_signed},
        decide::Travel,
        digits::as_stated,
        funds::coin,
        trust::{Before, before, place, read, same_agent},
    },
    failure::{Done, Failure},
    story::say,
};
use alloy_primitives::Address;
use marque::{
    audit::sworn,
    home::Home,
    owner::{Adopted, Ground, Note, Notes, Owner, submit_offline},
    request::Signed,
};
use marque_identity::Rpc;
use marque_identity_keys::KeyDir;
use marque_policies::{Diff, Policy, diff, read_aloud, run_tests};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

#[derive(Debug, clap::Args)]
pub(crate) struct AdoptArgs {
    /// The agent.
    agent: String,
    /// Refuse, with exit code 3, where the draft is wider than the policy in force.
    #[arg(long)]
    never_wider: bool,
    /// Also where you adopted a policy before for another agent of this name in this home, or in a
    /// journal that is gone: you began again yourself.
    #[arg(long)]
    anew: bool,
    #[command(flatten)]
    travel: Travel,
    /// With --request: adopt this policy file (one document, or all in one) instead of the draft
    /// in the request.
    #[arg(long, value_name = "FILE", requires = "request")]
    draft: Option<PathBuf>,
}

pub(crate) async fn run(shared: &Shared, args: &AdoptArgs) -> Done<ExitCode> {
    if let Some((request, out)) = args.travel.files() {
        return elsewhere(shared, args, request, out).await;
    }
    let (home, agent) = (shared.home()?, &args.agent);
    let draft = Named::find(&home, agent, &Companions::default())?;
    if !shared.json {
        draft.warn();
    }
    sound(&draft, agent)?;
    as_stated(&draft.policy, |_| true).await?;
    let in_force = Named::adopted(&home, agent)?;
    let folder = shared.owner_home()?;
    of_owner(&draft.policy, Owner::address_in(&folder)?)?;
    let mut notes = Notes::of(&folder)?;
    let laid_out = marque_steward::Home::open(home.path())?;
    let adopted = Adopted {
        agent: agent.clone(),
        key: key_of(&home, agent)?,
        chain: laid_out.chain(),
        origin: laid_out.origin(),
        home: Some(place(&home)),
        version: draft.policy.version,
        policy: draft.policy.hash,
        document: draft.document.clone(),
        in_force: true,
    };
    let adopted_key = adopted.key;
    let in_force = in_force.map(|old| old.policy);
    raised(&draft.policy, in_force.as_ref())?;
    let before = match args.anew {
        true if in_force.is_none() => Before::Nothing,
        true => Before::Unsigned,
        false => before(shared, &home, &adopted, in_force.as_ref())?,
    };
    let first = in_force.is_none();
    let changes = match &before {
        Before::Policy(old) => Some(diff(old, &draft.policy)),
        Before::Nothing | Before::Unsigned => None,
    };
    if matches!(before, Before::Unsigned) {
        unsigned(args)?;
        anstream::eprintln!(
            "note: the policy in force for {agent} is not one that your key signed, so the draft is \
             compared with nothing: read all of it, marque policy explain {agent}"
        );
    }
    if !shared.json {
        show(&draft, changes.as_ref()).iter().for_each(|line| say!("{line}"));
    }
    not_wider(args, &draft, changes.as_ref())?;
    let owner = Owner::unlock(&folder, &shared.owner_secret(false)?)?;
    let entry = adopt(shared, &home, &owner, agent, &draft).await?;
    notes.add(Note::Adopted(adopted))?;
    let Policy { version, hash, .. } = &draft.policy;
    if shared.json {
        let changes = changes.map(|diff| diff.changes);
        say!(
            "{}",
            serde_json::json!({
                "entry": entry, "version": version, "hash": hash, "changes": changes,
            })
        );
    } else {
        say!("version {version} is in force for {agent} (hash {hash})");
        // Who pays nobody draws nothing.
        let draws = !draft.policy.payees.is_empty() || !draft.policy.pools.is_empty();
        if (draws && !draft.policy.floats.is_empty()) || home.delegation(agent).exists() {
            let steps =
                crate::commands::account::steps(&draft.policy, agent, Some(adopted_key)).await;
            let why = if first { "" } else { ", so that the chain says the same" };
            say!("  next: {}{why}", steps.join(", "));
        } else if first {
            say!("  next: {}", next(&draft.policy, agent));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The steward takes no other policy of a version that it has: told before anybody is asked for a secret.
pub(super) fn raised(draft: &Policy, in_force: Option<&Policy>) -> Done {
    match in_force {
        Some(old) if old.hash != draft.hash && draft.version <= old.version => {
            Err(Failure::usage(format!(
                "version {} is in force, and the draft, which is another policy, says version {}",
                old.version, draft.version
            ))
            .help(format!("write version = {} into the draft", old.version.saturating_add(1))))
        }
        _ => Ok(()),
    }
}

/// The key that an agent is, or will be, enrolled with.
fn key_of(home: &Home, agent: &str) -> Done<Address> {
    let enrolled =
        sworn(&home.journal())?.and_then(|sworn| sworn.agents.get(agent).map(|it| it.key));
    match enrolled {
        Some(key) => Ok(key),
        None => Ok(KeyDir::open(home.keys())?.address(agent)?),
    }
}

/// What an agent with this policy is for.
fn next(policy: &Policy, agent: &str) -> String {
    let name = |id| policy.asset(id).map_or("USDC", |(name, _)| name).to_owned();
    let coin = coin(policy);
    match (policy.income.first(), policy.facilitator.is_empty()) {
        (Some(asset), _) if policy.payees.is_empty() => format!(
            "marque fund {agent} \"0.05 {coin}\" (for fees), marque sell DIR --agent {agent} --price \
             \"0.01 {}\"",
            name(*asset)
        ),
        (_, false) => {
            format!("marque fund {agent} \"0.05 {coin}\" (for fees), marque facilitator {agent}")
        }
        _ => format!("marque fund {agent} AMOUNT, marque identity register {agent}"),
    }
}

/// Where the steward is on another machine: its request says how it stands there, and the signed
/// acts go into a file. All of what is signed is shown, as there is no draft to look at.
async fn elsewhere(shared: &Shared, args: &AdoptArgs, file: &Path, out: &Path) -> Done<ExitCode> {
    let me = Owner::address_in(&shared.owner_home()?)?;
    let request = read_request(file, me)?;
    let Some(agent) = request.agent(&args.agent) else {
        let names: Vec<&str> = request.agents.iter().map(|agent| agent.name.as_str()).collect();
        return Err(Failure::usage(format!("there is no agent {} in the request", args.agent))
            .help(format!("there are {}", names.join(", "))));
    };
    let draft = match (&args.draft, &agent.draft) {
        (Some(own), _) => {
            let text = std::fs::read_to_string(own)
                .map_err(|error| Failure::usage(format!("{}: {error}", own.display())))?;
            Named::carried(own.display().to_string(), text)?
        }
        (None, Some(draft)) => {
            Named::carried(format!("{}'s draft in the request", agent.name), draft.clone())?
        }
        (None, None) => {
            return Err(Failure::usage(format!(
                "the request carries no new draft of {}",
                agent.name
            ))
            .help("change it on the host and export again, or give --draft FILE"));
        }
    };
    draft.warn();
    sound(&draft, &args.agent)?;
    of_owner(&draft.policy, me)?;
    as_stated(&draft.policy, |_| true).await?;
    let (chain, _) = chain_of(&draft.policy)?;
    same_chain(request.chain, chain)?;
    let adopted = Adopted {
        agent: agent.name.clone(),
        key: agent.key,
        chain,
        origin: request.origin,
        home: None,
        version: draft.policy.version,
        policy: draft.policy.hash,
        document: draft.document.clone(),
        // It comes into force elsewhere, or not at all.
        in_force: false,
    };
    let mut notes = Notes::of(&shared.owner_home()?)?;
    let known = match args.anew {
        true => None,
        false => same_agent(&notes, &adopted, request.begun && agent.enrolled)?,
    };
    // What this owner signed last, and not what a host says is in force.
    let old = match known {
        Some(known) => Some(read(known)?),
        None => agent.policy.clone(),
    };
    if let (Some(old), Some(said)) = (&old, &agent.policy)
        && old.hash != said.hash
    {
        anstream::eprintln!(
            "note: the request says that version {} is in force; the draft is compared with version {}, \
             which you signed last",
            said.version,
            old.version
        );
    }
    let changes = old.as_ref().map(|old| diff(old, &draft.policy));
    for line in show(&draft, changes.as_ref()) {
        anstream::eprintln!("{line}");
    }
    match &changes {
        Some(diff) => anstream::eprint!("{diff}"),
        None => anstream::eprint!("{}", read_aloud(&draft.policy)),
    }
    if request.begun {
        anstream::eprintln!("in the journal {} on chain {chain}", request.origin);
    } else {
        anstream::eprintln!(
            "begins the journal {} on chain {chain} with the log key {}",
            request.origin,
            request.log_key
        );
    }
    if !agent.enrolled {
        anstream::eprintln!("enrols {} with the key {}", agent.name, agent.key);
    }
    not_wider(args, &draft, changes.as_ref())?;
    if args.never_wider && request.begun && changes.is_none() {
        return Err(Failure::refused(format!(
            "the request does not say what is in force for {}, so nothing shows that the draft is not \
             wider",
            args.agent
        ))
        .help("export again on the host; leave out --never-wider only after reading it all"));
    }
    let begins = match (request.begun, request.chain_genesis) {
        (true, _) => None,
        (false, Some(hash)) => Some(hash),
        (false, None) => {
            let line = "the request does not say which chain the journal begins on";
            return Err(
                Failure::new(line).help("export again on the host, with a draft that parses")
            );
        }
    };
    let ground = Ground {
        chain,
        origin: request.origin,
        begins,
        log_key: request.log_key,
        enrolls: (!agent.enrolled).then_some(agent.key),
    };
    let owner = Owner::unlock(&shared.owner_home()?, &shared.owner_secret(false)?)?;
    let acts = owner.adoption_on(ground, &agent.name, &draft.policy, &draft.document)?;
    notes.add(Note::Adopted(adopted))?;
    write_signed(shared, out, &Signed::new(chain, request.origin, acts))?;
    Ok(ExitCode::SUCCESS)
}

/// What is wrong with a draft is told before anybody is asked for a passphrase.
fn sound(draft: &Named, agent: &str) -> Done {
    if let Some(expired) = draft.expired() {
        let at = format!("{}:{}", draft.path(expired.file), expired.line);
        return Err(Failure::new(format!("{at}: {}", expired.message))
            .help("give a later `expires`, or take it out; see also the clock"));
    }
    if let Some(result) = run_tests(&draft.policy).into_iter().find(|result| !result.passed) {
        return Err(Failure::new(format!("the policy's own test failed: {}", result.name))
            .help(format!("see marque policy test {agent}")));
    }
    marque_steward::entry::fits(&draft.document)?;
    Ok(())
}

/// Where nothing shows what a draft is to be compared with, nothing shows that it is not wider.
fn unsigned(args: &AdoptArgs) -> Done {
    match args.never_wider {
        false => Ok(()),
        true => Err(Failure::refused(format!(
            "the policy in force for {} is not one that your key signed, so nothing shows that the draft \
             is not wider",
            args.agent
        ))
        .help("leave out --never-wider only after reading it all")),
    }
}

fn not_wider(args: &AdoptArgs, draft: &Named, changes: Option<&Diff>) -> Done {
    if args.never_wider && changes.is_some_and(Diff::is_wider) {
        return Err(Failure::refused(format!("{} is wider than what is in force", draft.label))
            .help(format!("see marque policy diff {}", args.agent)));
    }
    Ok(())
}

/// What the owner is about to sign.
fn show(draft: &Named, changes: Option<&Diff>) -> Vec<String> {
    let Policy { version, hash, .. } = &draft.policy;
    let mut lines = vec![format!("{}, version {version}, hash {hash}", draft.label)];
    match changes {
        Some(diff) => lines.extend(summary(diff).iter().map(|line| format!("  {line}"))),
        None => {
            lines.push("  it is the first one; marque policy explain reads it aloud".to_owned())
        }
    }
    lines
}

fn of_owner(policy: &Policy, owner: Address) -> Done {
    if policy.owner == owner {
        return Ok(());
    }
    Err(Failure::new(format!("the policy names owner {}, your key is {owner}", policy.owner))
        .help("correct `owner` in the policy, or give another --owner-home"))
}

fn same_chain(home: u64, policy: u64) -> Done {
    if home == policy {
        return Ok(());
    }
    Err(Failure::new(format!("this home serves chain {home}, the policy names chain {policy}"))
        .help("one home serves one chain; make another with --home"))
}

/// Signs what is needed and hands it to the running steward, or writes it to the journal where
/// none runs.
async fn adopt(
    shared: &Shared,
    home: &Home,
    owner: &Owner,
    agent: &str,
    draft: &Named,
) -> Done<u64> {
    let policy = &draft.policy;
    of_owner(policy, owner.address())?;
    let (chain, rpc) = chain_of(policy)?;
    let laid_out = marque_steward::Home::open(home.path())?;
    same_chain(laid_out.chain(), chain)?;
    let acts = owner.adoption(&laid_out, agent, policy, &draft.document, &rpc).await?;
    if marque::process::answers(home) {
        let mut entry = 0;
        // A new agent has no socket of its own yet: any of this home's will do.
        let socket =
            home.agents().into_iter().map(|name| home.owner_socket(&name)).find(|s| s.exists());
        let socket = socket.unwrap_or_else(|| home.owner_socket(agent));
        let client = marque::owner::connect(&socket, Duration::from_secs(2)).await?;
        for act in acts {
            entry = client.submit(act).await?;
        }
        Ok(entry)
    } else {
        let unlock = shared.unlock(false)?;
        let entries = submit_offline(laid_out, unlock, acts).await?;
        entries.last().copied().ok_or_else(|| Failure::new("nothing was journalled"))
    }
}

/// The one chain of a policy, and a client of it.
pub(crate) fn chain_of(policy: &Policy) -> Done<(u64, Rpc)> {
    let mut chains = policy.chains.values();
    match (chains.next(), chains.next()) {
        (Some(chain), None) => Ok((chain.id, Rpc::new(&chain.rpc)?.brief())),
        _ => Err(Failure::new("this version works with exactly one [chain.NAME] in a policy")),
    }
}
