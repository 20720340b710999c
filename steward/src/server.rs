//! One socket an agent, and one for each sub-agent that its policy in force names. Who speaks is
//! known from the socket, never from the message.
//!
//! Frames, connections, questions under way and what may be journalled in a while are bounded. The peer must run
//! as the steward's user.

mod answer;
mod connection;
mod rate;

use crate::{error::StewardError, home::make_dir, steward::Shared};
use rate::Rate;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Semaphore, watch},
    task::{AbortHandle, JoinSet},
};

/// Connections of one agent at a time.
const CONNECTIONS: usize = 32;

/// Acts of the owner at once, and as many again in each 20 s.
const ACTS: u32 = 1_000;

/// The longest path of a Unix socket, in bytes.
const LONGEST_SOCKET: usize = 107;

/// Looks and waits at once, and as many again in each 20 s.
const LOOKS: u32 = 2_000;

/// Waits under way at a time, on all connections of one account.
const WAITS: usize = 64;

/// Who speaks on a socket: an agent, or an account below it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Who {
    pub(crate) agent: String,
    pub(crate) sub_agent: Option<String>,
}

/// An account and those who may speak for it.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) who: Who,
    pub(crate) rate: Mutex<Rate>,
    pub(crate) acts: Mutex<Rate>,
    pub(crate) looks: Mutex<Rate>,
    pub(crate) waits: Semaphore,
}

/// Binds the sockets of all accounts that there are.
pub(crate) async fn bind_all(shared: &Shared) -> Result<BTreeMap<Who, UnixListener>, StewardError> {
    let mut listeners = BTreeMap::new();
    for who in accounts(shared).await? {
        match (bind(shared, &who), &who.sub_agent) {
            (Ok(listener), _) => drop(listeners.insert(who, listener)),
            // A long name of an account below must not keep the others from working.
            (Err(error), Some(_)) => tracing::error!(?who, %error, "no socket"),
            (Err(error), None) => return Err(error),
        }
    }
    Ok(listeners)
}

/// Serves until told to stop; agents that are enrolled meanwhile get a socket as well.
pub(crate) async fn run(
    shared: Arc<Shared>,
    listeners: BTreeMap<Who, UnixListener>,
    stopping: watch::Receiver<bool>,
) {
    let mut known: BTreeSet<Who> = listeners.keys().cloned().collect();
    let mut seats = JoinSet::new();
    for (who, listener) in listeners {
        seats.spawn(listen(Arc::clone(&shared), who, listener, stopping.clone()));
    }
    let mut changes = shared.desk.changes();
    while changes.changed().await.is_ok() {
        let Ok(accounts) = accounts(&shared).await else { break };
        for who in accounts {
            if !known.insert(who.clone()) {
                continue;
            }
            match bind(&shared, &who) {
                Ok(listener) => {
                    seats.spawn(listen(Arc::clone(&shared), who, listener, stopping.clone()));
                }
                Err(error) => tracing::error!(?who, %error, "no socket"),
            }
        }
        // Entries come in bursts, enrolments do not.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Agents that are enrolled, and the accounts below them that their policies in force name. One that
/// a policy does not name any more keeps its socket and is refused everything.
async fn accounts(shared: &Shared) -> Result<Vec<Who>, StewardError> {
    let accounts = shared.desk.look(|state, _| {
        let mut accounts = Vec::new();
        for (agent, account) in state.agents() {
            let below = account.policy.iter().flat_map(|it| it.policy.sub_agents.keys());
            let below = below.map(|name| Some(name.clone()));
            let all = std::iter::once(None).chain(below);
            accounts.extend(all.map(|sub_agent| Who { agent: agent.clone(), sub_agent }));
        }
        accounts
    });
    accounts.await
}

fn bind(shared: &Shared, who: &Who) -> Result<UnixListener, StewardError> {
    make_dir(&shared.home.agent(&who.agent))?;
    let path = match &who.sub_agent {
        None => shared.home.socket(&who.agent),
        Some(sub_agent) => shared.home.sub_socket(&who.agent, sub_agent),
    };
    if let Some(folder) = path.parent() {
        make_dir(folder)?;
    }
    if path.as_os_str().len() > LONGEST_SOCKET {
        let why = format!("a socket's path has at most {LONGEST_SOCKET} bytes; use a shorter home");
        return Err(StewardError::Home { path, why });
    }
    // The home is locked: a socket that lies there is a dead steward's.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StewardError::io("remove", path)(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(StewardError::io("listen on", &path))?;
    let closed = fs::set_permissions(&path, Permissions::from_mode(0o600));
    closed.map_err(StewardError::io("close", path))?;
    Ok(listener)
}

async fn listen(
    shared: Arc<Shared>,
    who: Who,
    listener: UnixListener,
    mut stopping: watch::Receiver<bool>,
) {
    let rate = Mutex::new(Rate::new(shared.rate));
    let acts = Mutex::new(Rate::new(ACTS));
    let looks = Mutex::new(Rate::new(LOOKS));
    let seat = Arc::new(Seat { who, rate, acts, looks, waits: Semaphore::new(WAITS) });
    let mut open = JoinSet::new();
    let mut oldest_first = VecDeque::new();
    loop {
        let stream = tokio::select! {
            () = stopped(&mut stopping) => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: some will come back.
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        while open.try_join_next().is_some() {}
        if let Some(stream) = admit(stream) {
            // Where all places are taken the oldest connection gives way, so that a mind that holds
            // them all cannot keep its owner out. What it had asked stands, and can be asked again.
            oldest_first.retain(|task: &AbortHandle| !task.is_finished());
            if oldest_first.len() >= CONNECTIONS
                && let Some(oldest) = oldest_first.pop_front()
            {
                oldest.abort();
            }
            let (shared, seat) = (Arc::clone(&shared), Arc::clone(&seat));
            oldest_first.push_back(open.spawn(connection::serve(shared, seat, stream)));
        }
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error is a steward that was dropped: that is a stop as well.
    drop(stopping.wait_for(|stop| *stop).await);
}

/// Only our own user may speak.
fn admit(stream: UnixStream) -> Option<UnixStream> {
    let ours = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == ours => Some(stream),
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), "another user knocked");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "a peer without credentials");
            None
        }
    }
}
