//! One socket an agent, and one for each sub-agent that its policy in force names. Who speaks is
//! known from the socket, never from the message.
//!
//! In the home there is a socket for each agent, and who connects there must run as the steward's
//! own user. Where the owner said that an agent's mind runs as another user ([`Minds`]), the agent
//! has a second socket outside of the home, which stays closed to others, and that user may connect
//! to it. The owner's commands have a third, in the home, which no fenced mind reaches.
//!
//! Frames, connections, questions under way and what may be journalled in a while are bounded: for
//! each user of an agent over the sockets of its minds together, and apart from those for the owner's
//! entrance, so that no mind takes what its owner needs to stop it.

mod answer;
mod connection;
mod knocks;
mod places;
mod preview;
mod queue;
mod rate;

use crate::{error::StewardError, home::make_dir, steward::Shared};
use knocks::Knocks;
use places::{Places, Pulse};
pub(crate) use queue::{Decisions, Watchers};
use rate::Rate;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    net::UnixListener,
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// Acts of the owner at once, and as many again in each 20 s.
const ACTS: u32 = 1_000;

/// The longest path of a Unix socket, in bytes.
const LONGEST_SOCKET: usize = 107;

/// Looks and waits at once, and as many again in each 20 s.
const LOOKS: u32 = 2_000;

/// Settlements at once, and as many again in each 20 s. What others pay comes at their pace, and each
/// that goes through costs fees, which the policy bounds.
const SALES: u32 = 2_000;

/// Waits under way at a time, on all connections of one user to one account.
const WAITS: usize = 64;

/// Who speaks on a socket: an agent, or an account below it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Who {
    pub(crate) agent: String,
    pub(crate) sub_agent: Option<String>,
}

/// An account and one user who may speak for it, as a mind or as the owner.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) who: Who,
    pub(crate) entrance: Kind,
    pub(crate) rate: Mutex<Rate>,
    pub(crate) acts: Mutex<Rate>,
    pub(crate) looks: Mutex<Rate>,
    pub(crate) sales: Mutex<Rate>,
    pub(crate) waits: Semaphore,
}

/// Whom a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An agent's mind, and whoever else speaks for the agent.
    Mind,
    /// The owner's commands. It gives no right that a mind has not: it is a way of their own.
    Owner,
}

/// Minds that run as other users than the steward. The owner names them when the steward is
/// started; nothing that a mind can write has a say in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Minds {
    /// Where their sockets are made, `NAME.sock` for an agent and `NAME.SUB.sock` for an account
    /// below it: a folder that those users can look into, outside of the home.
    pub sockets: PathBuf,
    /// The users that may speak for an agent, by its name, beside the steward's own.
    pub users: BTreeMap<String, BTreeSet<u32>>,
}

/// One socket and the users that may connect to it.
#[derive(Debug)]
pub(crate) struct Entrance {
    kind: Kind,
    listener: UnixListener,
    users: BTreeSet<u32>,
}

/// The sockets of each account.
pub(crate) type Entrances = BTreeMap<Who, Vec<Entrance>>;

/// Binds the sockets of all accounts that there are.
pub(crate) async fn bind_all(shared: &Shared) -> Result<Entrances, StewardError> {
    let mut entrances = BTreeMap::new();
    for who in accounts(shared).await? {
        match (bind(shared, &who), &who.sub_agent) {
            (Ok(bound), _) => drop(entrances.insert(who, bound)),
            // A long name of an account below must not keep the others from working.
            (Err(error), Some(_)) => tracing::error!(?who, %error, "no socket"),
            (Err(error), None) => return Err(error),
        }
    }
    Ok(entrances)
}

/// Serves until told to stop; agents that are enrolled meanwhile get a socket as well.
pub(crate) async fn run(
    shared: Arc<Shared>,
    entrances: Entrances,
    stopping: watch::Receiver<bool>,
) {
    let mut known: BTreeSet<Who> = entrances.keys().cloned().collect();
    let mut seats = JoinSet::new();
    for (who, entrances) in entrances {
        seat(&shared, &mut seats, who, entrances, &stopping);
    }
    let mut changes = shared.desk.changes();
    while changes.changed().await.is_ok() {
        let Ok(accounts) = accounts(&shared).await else { break };
        for who in accounts {
            if !known.insert(who.clone()) {
                continue;
            }
            match bind(&shared, &who) {
                Ok(entrances) => seat(&shared, &mut seats, who, entrances, &stopping),
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

fn bind(shared: &Shared, who: &Who) -> Result<Vec<Entrance>, StewardError> {
    let Who { agent, sub_agent } = who;
    make_dir(&shared.home.agent(agent))?;
    let ours = rustix::process::geteuid().as_raw();
    let mut users = BTreeSet::from([ours]);
    let path = match sub_agent {
        None => shared.home.socket(agent),
        Some(name) => shared.home.sub_socket(agent, name),
    };
    if let Some(folder) = path.parent() {
        make_dir(folder)?;
    }
    let mut entrances = Vec::new();
    // The owner's first: where the agent's answers, it is there.
    if sub_agent.is_none() {
        let (kind, listener) = (Kind::Owner, bind_at(&shared.home.owner_socket(agent), 0o600)?);
        entrances.push(Entrance { kind, listener, users: users.clone() });
    }
    let (kind, listener) = (Kind::Mind, bind_at(&path, 0o600)?);
    entrances.push(Entrance { kind, listener, users: users.clone() });
    if let Some(minds) = shared.minds.users.get(agent) {
        users.extend(minds);
        // Open to all by its mode, since a socket cannot be given to another user without
        // privileges; the kernel says who knocks, and only the users named are let in.
        let listener = bind_at(&shared.minds.socket(agent, sub_agent.as_deref()), 0o666)?;
        entrances.push(Entrance { kind, listener, users });
    }
    Ok(entrances)
}

fn bind_at(path: &Path, mode: u32) -> Result<UnixListener, StewardError> {
    if path.as_os_str().len() > LONGEST_SOCKET {
        let why = format!("a socket's path has at most {LONGEST_SOCKET} bytes; use a shorter home");
        return Err(StewardError::Home { path: path.to_owned(), why });
    }
    // The home is locked: a socket that lies there is a dead steward's.
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StewardError::io("remove", path)(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(StewardError::io("listen on", path))?;
    let set = fs::set_permissions(path, Permissions::from_mode(mode));
    set.map_err(StewardError::io("set the mode of", path))?;
    Ok(listener)
}

impl Minds {
    /// The socket for the minds of an agent, or of an account below it.
    pub(crate) fn socket(&self, agent: &str, sub_agent: Option<&str>) -> PathBuf {
        // An agent's name has no full stop in it, so no two of these are the same.
        self.sockets.join(match sub_agent {
            None => format!("{agent}.sock"),
            Some(name) => format!("{agent}.{name}.sock"),
        })
    }
}

impl Seat {
    fn new(who: &Who, entrance: Kind, rate: u32) -> Arc<Self> {
        let bucket = |burst| Mutex::new(Rate::new(burst));
        let (acts, looks, sales) = (bucket(ACTS), bucket(LOOKS), bucket(SALES));
        let (who, rate, waits) = (who.clone(), bucket(rate), Semaphore::new(WAITS));
        Arc::new(Self { who, entrance, rate, acts, looks, sales, waits })
    }
}

/// Serves all sockets of an account. What each user may ask in a while is counted over those of its
/// minds together, and for the owner's entrance by itself.
fn seat(
    shared: &Arc<Shared>,
    seats: &mut JoinSet<()>,
    who: Who,
    entrances: Vec<Entrance>,
    stopping: &watch::Receiver<bool>,
) {
    let mut of_minds: BTreeMap<u32, Arc<Seat>> = BTreeMap::new();
    for Entrance { kind, listener, users } in entrances {
        let new = || Seat::new(&who, kind, shared.rate);
        let users = users.into_iter().map(|user| {
            let seat = match kind {
                Kind::Owner => new(),
                Kind::Mind => Arc::clone(of_minds.entry(user).or_insert_with(new)),
            };
            (user, (seat, Places::default()))
        });
        seats.spawn(listen(Arc::clone(shared), listener, users.collect(), stopping.clone()));
    }
}

async fn listen(
    shared: Arc<Shared>,
    listener: UnixListener,
    mut users: BTreeMap<u32, (Arc<Seat>, Places)>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut knocks = Knocks::default();
    let mut open = JoinSet::new();
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
        let peer = stream.peer_cred().ok().map(|peer| (peer.uid(), peer.pid()));
        // Only the users of this socket may speak.
        let known = peer.and_then(|(user, process)| Some((users.get_mut(&user)?, process)));
        let Some(((seat, places), process)) = known else {
            if let Some(times) = knocks.tell() {
                let uid = peer.map(|(user, _)| user);
                tracing::warn!(uid, times, "somebody knocked who may not enter");
            }
            continue;
        };
        // Who finds no place tries again: the client does by itself.
        if places.make_room(process) {
            let pulse = Arc::<Pulse>::default();
            let (shared, seat) = (Arc::clone(&shared), Arc::clone(seat));
            let task = open.spawn(connection::serve(shared, seat, Arc::clone(&pulse), stream));
            places.take(process, pulse, task);
        }
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error is a steward that was dropped: that is a stop as well.
    drop(stopping.wait_for(|stop| *stop).await);
}
