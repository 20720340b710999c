//! `marque approvals`: what waits for the owner, shown from the decoded intent; watched, written
//! into a request for another machine, or told to a command of the owner's.

mod hook;
mod past;
mod show;
mod so_far;
mod watch;

pub(crate) use show::{Item, Names, head};

use super::Shared;
use crate::{
    failure::{Done, Failure},
    story::{harmless, say},
};
use alloy_primitives::Address;
use marque::{
    home::Home,
    owner::connect,
    request::{Checked, Held, Request, RequestError, Signed, Travels as _, held},
};
use marque_policies::{Statement, Timestamp};
use marque_steward::audit;
use marque_steward_client::{Client, ClientError, HeldView, Queue, View};
use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only this agent's.
    agent: Option<String>,
    /// Stay, and print what comes and who decides it, until Ctrl-C.
    #[arg(long, short = 'w', conflicts_with = "export")]
    watch: bool,
    /// Stay, and run PROGRAM for each intent that waits, with the arguments behind `--`.
    ///
    /// No shell is involved. The program finds the intent as one line of JSON on its standard
    /// input, its id in MARQUE_APPROVAL and the agent's name in MARQUE_AGENT, and has 30 s. What it
    /// answers changes nothing.
    #[arg(long, value_name = "PROGRAM", conflicts_with = "export")]
    hook: Option<PathBuf>,
    /// Write all that waits for the owner (intents, drafts, a freeze) to FILE, for a machine that
    /// has the owner's key; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Arguments of the hook.
    #[arg(last = true, requires = "hook")]
    arguments: Vec<OsString>,
}

/// `marque approvals`.
pub(crate) async fn list(shared: &Shared, args: ListArgs) -> Done<ExitCode> {
    let home = shared.home()?;
    if let Some(agent) = &args.agent
        && !home.has(agent)
    {
        return Err(super::policy::unknown(&home, agent));
    }
    if let Some(file) = &args.export {
        return export(shared, &home, file).await;
    }
    if args.watch || args.hook.is_some() {
        let hook = args.hook.map(|program| hook::Hook::new(program, args.arguments)).transpose()?;
        return watch::watch(shared, &home, args.agent, hook).await;
    }
    let left = left(&home)?;
    let runs = left.is_none();
    let mut items: Vec<Item> = match left {
        Some(items) => items,
        None => waiting(&home).await?.into_iter().map(|(_, item)| item).collect(),
    };
    items.retain(|item| args.agent.as_ref().is_none_or(|agent| *agent == item.agent));
    if shared.json {
        let items: Vec<_> = items.iter().map(Item::json).collect();
        say!("{}", serde_json::Value::Array(items));
        return Ok(ExitCode::SUCCESS);
    }
    for item in &items {
        item.lines(now()).iter().for_each(|line| say!("{line}"));
    }
    if !runs {
        anstream::eprintln!("note: no steward runs; this is what the journal says");
    }
    if items.is_empty() {
        say!("nothing is waiting");
    } else if runs {
        say!("  next: marque approve ID, or marque deny ID; its first 12 digits are enough");
    } else {
        say!("  next: marque steward run, then marque approve ID; or marque approvals --export");
    }
    Ok(ExitCode::SUCCESS)
}

/// What waits by the journal, oldest first, where no steward works in this home.
fn left(home: &Home) -> Done<Option<Vec<Item>>> {
    may_look(home)?;
    let laid_out = marque_steward::Home::open(home.path())?;
    if laid_out.holder()?.is_some() {
        return Ok(None);
    }
    if !laid_out.has_journal() {
        return Ok(Some(Vec::new()));
    }
    let state = audit::state(&laid_out)?;
    let now = state.now(now());
    let mut items = Vec::new();
    for (agent, account) in state.agents() {
        let Some(adopted) = &account.policy else { continue };
        let names = Names::from(adopted.policy.as_ref());
        items.extend(held(&state, agent, now).into_iter().map(|held| Item {
            agent: agent.clone(),
            held,
            names: names.clone(),
            version: adopted.version,
            chain: laid_out.chain(),
            origin: laid_out.origin(),
            past: Vec::new(),
            so_far: None,
        }));
    }
    items.sort_by_key(|item| item.held.at);
    past::tell(home, &mut items, now)?;
    Ok(Some(items))
}

/// Writes down what waits, for the machine with the owner's key.
async fn export(shared: &Shared, home: &Home, file: &Path) -> Done<ExitCode> {
    let (request, notes) = Request::of(home, now(), chain_genesis(home).await?)?;
    request.write(file)?;
    for note in notes {
        anstream::eprintln!("note: {}", harmless(&note));
    }
    let drafts: Vec<&str> = request.drafts().collect();
    if shared.json && file != Path::new("-") {
        say!(
            "{}",
            serde_json::json!({
                "file": file, "held": request.held(), "drafts": drafts,
                "frozen": request.is_frozen(),
            })
        );
    } else {
        let count = match request.held() {
            1 => "1 intent waits".to_owned(),
            count => format!("{count} intents wait"),
        };
        anstream::eprintln!("{}: {count} in it", file.display());
        for agent in drafts {
            anstream::eprintln!("  and a draft of {agent} that is not in force");
        }
        if request.is_frozen() {
            anstream::eprintln!("  and the freeze that a thaw would end");
        }
        anstream::eprintln!(
            "  next, where the owner's key is: marque approve ID --request FILE --out SIGNED\n  \
             (or deny, thaw, policy adopt, owner rotate); then here: marque submit SIGNED"
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Hash of block 0, where a journal is still to begin: from the chain of the first draft.
async fn chain_genesis(home: &Home) -> Done<Option<alloy_primitives::B256>> {
    if marque_steward::Home::open(home.path())?.has_journal() {
        return Ok(None);
    }
    for agent in home.agents() {
        if let Ok(policy) = super::policy::draft_of(home, &agent) {
            let (_, rpc) = super::policy::chain_of(&policy)?;
            return Ok(Some(marque::owner::genesis_of(&rpc).await?));
        }
    }
    Ok(None)
}

/// Each agent's connection and view; an error where no steward answers.
pub(crate) async fn views(home: &Home) -> Done<Vec<(Client, View)>> {
    let mut views = Vec::new();
    for client in clients(home).await? {
        let view = client.view().await?;
        views.push((client, view));
    }
    Ok(views)
}

/// A steward that works and does not take a command's connection is asked again for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// How it is said that there is no steward.
pub(crate) const NONE_ANSWERS: &str = "no steward answers";

/// A connection for each agent; an error where no steward answers. One that has the home and lets
/// nobody in, since it is just starting or is crowded, is asked for a few seconds.
pub(crate) async fn clients(home: &Home) -> Done<Vec<Client>> {
    may_look(home)?;
    let begun = Instant::now();
    let mut told = false;
    let (clients, shut) = loop {
        let (mut clients, mut shut, mut busy) = (Vec::new(), None, false);
        for agent in home.agents() {
            match connect(&home.owner_socket(&agent), Duration::ZERO).await {
                Ok(client) => clients.push(client),
                Err(ClientError::NoSteward { path, source }) => match source.kind() {
                    io::ErrorKind::PermissionDenied => shut = Some(path),
                    // A draft that no policy was adopted from has no socket.
                    io::ErrorKind::NotFound => {}
                    _ => busy = true,
                },
                Err(_) => busy = true,
            }
        }
        let waits = busy || (clients.is_empty() && shut.is_none());
        if !waits || begun.elapsed() >= PATIENCE || !is_held(home) {
            break (clients, shut);
        }
        if !std::mem::replace(&mut told, true) {
            let line = "the steward does not answer yet: trying for";
            anstream::eprintln!("{line} {} s", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    match (clients.is_empty(), shut) {
        (false, _) => Ok(clients),
        (true, Some(path)) => Err(Failure::new(format!("{}: permission denied", path.display()))
            .help("run this as the steward's own user: sudo -u marque marque ...")),
        (true, None) => Err(Failure::new(format!("{NONE_ANSWERS} in {}", home.path().display()))
            .help("start one with marque steward run, or run the agent")),
    }
}

/// Whether a steward has the home.
fn is_held(home: &Home) -> bool {
    let laid_out = marque_steward::Home::open(home.path());
    laid_out.is_ok_and(|home| home.holder().is_ok_and(|holder| holder.is_some()))
}

/// A home that this user may not look into is told from one in which nothing runs.
pub(crate) fn may_look(home: &Home) -> Done {
    match std::fs::read_dir(home.path()) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(Failure::new(format!("{}: permission denied", home.path().display()))
                .help("run this as the steward's own user: sudo -u marque marque ..."))
        }
        _ => Ok(()),
    }
}

/// What waits in a running steward, oldest first, each with the connection of its agent.
pub(crate) async fn waiting(home: &Home) -> Done<Vec<(Client, Item)>> {
    let mut waiting = Vec::new();
    for (client, view) in views(home).await? {
        let queue = client.queue(None, Duration::ZERO).await.map_err(older)?;
        if queue.left_out > 0 {
            anstream::eprintln!(
                "note: {} more of {} wait than fit here; decide these first",
                queue.left_out,
                view.agent
            );
        }
        let names = Names::from(&view);
        let mut items = items(&view.agent, &names, queue);
        past::tell(home, &mut items, now())?;
        waiting.extend(items.into_iter().map(|item| (client.clone(), item)));
    }
    waiting.sort_by_key(|(_, item)| item.held.at);
    Ok(waiting)
}

fn items(agent: &str, names: &Names, queue: Queue) -> Vec<Item> {
    let Queue { chain, origin, policy_version: version, held, .. } = queue;
    let item = |held| Item {
        agent: agent.to_owned(),
        held: as_held(held),
        names: names.clone(),
        version,
        chain,
        origin,
        past: Vec::new(),
        so_far: None,
    };
    held.into_iter().map(item).collect()
}

fn as_held(view: HeldView) -> Held {
    let HeldView { id, task, intent, body, at, closes, why } = view;
    Held { id, task, intent, body, at, closes, why }
}

/// What waits by a request, oldest first.
pub(crate) fn requested(request: &Checked) -> Vec<Item> {
    let mut items = Vec::new();
    for agent in &request.agents {
        let Some(policy) = &agent.policy else { continue };
        let names = Names::from(policy);
        items.extend(agent.held.iter().map(|held| Item {
            agent: agent.name.clone(),
            held: held.clone(),
            names: names.clone(),
            version: policy.version,
            chain: request.chain,
            origin: request.origin,
            past: Vec::new(),
            so_far: None,
        }));
    }
    items.sort_by_key(|item| item.held.at);
    items
}

/// A steward that does not know a question of ours is an older one.
pub(crate) fn older(error: ClientError) -> Failure {
    match error {
        ClientError::Fault(fault) if fault.code == "malformed" => {
            Failure::new("the steward that runs is older than this command")
                .help("stop it (Ctrl-C, or its service) and start it again with this version")
        }
        error => error.into(),
    }
}

/// The wall clock in Unix milliseconds.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
}

/// Reads a request and checks all that the owner with the key of `me` can check.
pub(crate) fn read_request(file: &Path, me: Address) -> Done<Checked> {
    let checked = Request::read(file).and_then(|request| request.check(me));
    checked.map_err(|error| {
        let help = match error {
            RequestError::Owner { .. } => "give another --owner-home",
            RequestError::Lie(_) => "do not trust the machine that wrote it before you know why",
            _ => "marque approvals --export FILE writes one, on the steward's host",
        };
        match error {
            error @ RequestError::File { .. } => Failure::usage(error).help(help),
            error => Failure::new(format!("{}: {error}", file.display())).help(help),
        }
    })
}

/// Hands the owner's acts over: to a new file for `marque submit`, or for `marque owner accept` first
/// where a rotation lacks the new owner's signature.
pub(crate) fn write_signed(shared: &Shared, out: &Path, signed: &Signed) -> Done {
    signed.write(out)?;
    if shared.json && out != Path::new("-") {
        say!("{}", serde_json::json!({ "file": out, "acts": signed.acts.len() }));
    } else {
        let handed = signed.acts.iter().any(|act| {
            matches!(act.statement, Statement::Rotate { .. }) && act.countersignature.is_none()
        });
        let next = if handed {
            "where the new key is: marque owner accept it"
        } else {
            "on the steward's host: marque submit it"
        };
        anstream::eprintln!("{}: signed; next, {next}", out.display());
    }
    Ok(())
}
