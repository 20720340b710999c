//! The way to the authority thread: events go in, answers come out.
//!
//! The authority waits for the disk and computes signatures, so it has a thread of its own. What
//! has gathered while it worked is its next group: one wait for the disk serves all of it.

use crate::{
    authority::{Authority, Done},
    core::Event,
    error::StewardError,
    home::Lock,
    state::State,
};
use marque_policies::Timestamp;
use tokio::sync::{
    mpsc::{self, Receiver, Sender},
    oneshot, watch,
};

/// Events and looks in a group at most.
const GROUP: usize = 64;

type Look = Box<dyn FnOnce(&State, Timestamp) + Send>;

enum Command {
    Do(Box<Event>, oneshot::Sender<Done>),
    Look(Look),
    Close(oneshot::Sender<Result<(), StewardError>>),
}

/// An event and where its answer goes.
type Asked = (Event, oneshot::Sender<Done>);

/// A handle on the authority thread.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    commands: Sender<Command>,
    /// What does not wait behind what came before it: a freeze.
    urgent: Sender<Asked>,
    changes: watch::Receiver<u64>,
}

impl Desk {
    /// Gives the authority a thread. The lock on the home is held until it ends.
    pub(crate) fn open(authority: Authority, lock: Lock) -> Result<Self, StewardError> {
        let (commands, inbox) = mpsc::channel(4 * GROUP);
        let (urgent, first) = mpsc::channel(GROUP);
        let (told, changes) = watch::channel(authority.state().next());
        std::thread::Builder::new()
            .name("authority".to_owned())
            .spawn(move || {
                if let Err(error) = serve(authority, inbox, first, &told) {
                    tracing::error!(%error, "the authority ends");
                }
                drop(lock);
            })
            .map_err(StewardError::io("start", "the authority thread"))?;
        Ok(Self { commands, urgent, changes })
    }

    /// Hands in an event and waits for what comes of it, which is durable then. A freeze is in the
    /// next group, whatever waits already.
    pub(crate) async fn submit(&self, event: Event) -> Result<Done, StewardError> {
        let (reply, done) = oneshot::channel();
        if matches!(event, Event::Freeze { .. }) {
            self.urgent.send((event, reply)).await.map_err(|_| StewardError::Stopped)?;
            // Wakes an authority that rests. One with a full inbox does not rest.
            drop(self.commands.try_send(Command::Look(Box::new(|_, _| {}))));
        } else {
            let command = Command::Do(Box::new(event), reply);
            self.commands.send(command).await.map_err(|_| StewardError::Stopped)?;
        }
        done.await.map_err(|_| StewardError::Stopped)
    }

    /// Looks at the state.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&State, Timestamp) -> T + Send + 'static,
    ) -> Result<T, StewardError> {
        let (reply, seen) = oneshot::channel();
        let look = move |state: &State, now| drop(reply.send(look(state, now)));
        let command = Command::Look(Box::new(look));
        self.commands.send(command).await.map_err(|_| StewardError::Stopped)?;
        seen.await.map_err(|_| StewardError::Stopped)
    }

    /// Ends the authority in order, and returns when the home is free for the next.
    pub(crate) async fn close(&self) -> Result<(), StewardError> {
        let (reply, closed) = oneshot::channel();
        self.commands.send(Command::Close(reply)).await.map_err(|_| StewardError::Stopped)?;
        let closed = closed.await.map_err(|_| StewardError::Stopped)?;
        // The thread lets go of the lock before it lets go of this channel.
        let mut changes = self.changes();
        while changes.changed().await.is_ok() {}
        closed
    }

    /// How many entries there are, to be watched. Ends with the authority.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}

fn serve(
    mut authority: Authority,
    mut inbox: Receiver<Command>,
    mut urgent: Receiver<Asked>,
    told: &watch::Sender<u64>,
) -> Result<(), StewardError> {
    loop {
        let mut asked: Vec<Asked> = Vec::new();
        // Before the wait, or a freeze whose wake-up went by unnoticed would wait for the next.
        while let Ok(freeze) = urgent.try_recv() {
            asked.push(freeze);
        }
        let mut next = inbox.try_recv().ok();
        if next.is_none() && asked.is_empty() {
            authority.rest();
            next = inbox.blocking_recv();
            if next.is_none() {
                return authority.close();
            }
            while let Ok(freeze) = urgent.try_recv() {
                asked.push(freeze);
            }
        }
        let (mut events, mut replies): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let mut closes = None;
        let mut taken = 0;
        while let Some(command) = next.take() {
            match command {
                Command::Do(event, reply) => {
                    events.push(*event);
                    replies.push(reply);
                }
                // Sees what is durable, and does not end the group: whoever waits for an event has
                // it done before he looks.
                Command::Look(look) => look(authority.state(), authority.now()),
                Command::Close(reply) => {
                    closes = Some(reply);
                    break;
                }
            }
            taken += 1;
            if taken < GROUP {
                next = inbox.try_recv().ok();
            }
        }
        if !events.is_empty() {
            let done = authority.handle(events)?;
            told.send_replace(authority.state().next());
            for (reply, done) in replies.into_iter().zip(done) {
                // Whoever asked may have gone; what was decided stands.
                drop(reply.send(done));
            }
        }
        if let Some(reply) = closes {
            drop(reply.send(authority.close()));
            return Ok(());
        }
    }
}
