//! One socket an agent. Who speaks is known from the socket, never from the message.
//!
//! Frames, connections, questions under way and what may be journalled in a while are bounded. The peer must run
//! as the steward's user.

mod answer;
mod connection;
mod queue;
mod rate;

use crate::{error::StewardError, home::make_dir, steward::Shared};
pub(crate) use queue::Decisions;
use rate::Rate;
use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
};

/// Connections of one agent at a time.
const CONNECTIONS: usize = 32;

/// Acts of the owner at once, and as many again in each 20 s.
const ACTS: u32 = 1_000;

/// The longest path of a Unix socket, in bytes.
const LONGEST_SOCKET: usize = 107;

/// An agent and those who may speak for it.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) agent: String,
    pub(crate) rate: Mutex<Rate>,
    pub(crate) acts: Mutex<Rate>,
}

/// Binds the sockets of all agents that are enrolled.
pub(crate) async fn bind_all(
    shared: &Shared,
) -> Result<BTreeMap<String, UnixListener>, StewardError> {
    let mut listeners = BTreeMap::new();
    for name in agents(shared).await? {
        listeners.insert(name.clone(), bind(shared, &name)?);
    }
    Ok(listeners)
}

/// Serves until told to stop; agents that are enrolled meanwhile get a socket as well.
pub(crate) async fn run(
    shared: Arc<Shared>,
    listeners: BTreeMap<String, UnixListener>,
    stopping: watch::Receiver<bool>,
) {
    let mut known: Vec<String> = listeners.keys().cloned().collect();
    let mut seats = JoinSet::new();
    for (name, listener) in listeners {
        seats.spawn(listen(Arc::clone(&shared), name, listener, stopping.clone()));
    }
    let mut changes = shared.desk.changes();
    while changes.changed().await.is_ok() {
        let Ok(names) = agents(&shared).await else { break };
        for name in names {
            if known.contains(&name) {
                continue;
            }
            match bind(&shared, &name) {
                Ok(listener) => {
                    seats.spawn(listen(
                        Arc::clone(&shared),
                        name.clone(),
                        listener,
                        stopping.clone(),
                    ));
                }
                Err(error) => tracing::error!(agent = name, %error, "no socket"),
            }
            known.push(name);
        }
        // Entries come in bursts, enrolments do not.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn agents(shared: &Shared) -> Result<Vec<String>, StewardError> {
    shared.desk.look(|state, _| state.agents().keys().cloned().collect()).await
}

fn bind(shared: &Shared, name: &str) -> Result<UnixListener, StewardError> {
    make_dir(&shared.home.agent(name))?;
    let path = shared.home.socket(name);
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
    agent: String,
    listener: UnixListener,
    mut stopping: watch::Receiver<bool>,
) {
    let rate = Mutex::new(Rate::new(shared.rate));
    let acts = Mutex::new(Rate::new(ACTS));
    let seat = Arc::new(Seat { agent, rate, acts });
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
