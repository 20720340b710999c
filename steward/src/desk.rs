//! The way to the authority thread: events go in, answers come out.
//!
//! The authority waits for the disk and computes signatures, so it has a thread of its own. What
//! has gathered while it worked is its next group: one wait for the disk serves all of it. Where
//! fewer have come than last time it waits for the others, a part of what the disk would take: those who
//! were answered together ask again together, and one who is first would let all others wait twice.

use crate::{
    authority::{Authority, Done},
    core::Event,
    error::StewardError,
    home::Lock,
    state::State,
};
use marque_policies::Timestamp;
use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
    time::{Duration, Instant},
};
use tokio::sync::{
    mpsc::{self, Receiver, Sender},
    oneshot, watch,
};

/// Events and looks in a group at most.
const GROUP: usize = 64;

/// So long after an answer the next question is waited for, before the tiles are written: whoever
/// asks all the time asks again sooner, and the tiles of each moment are several files.
const LULL: Duration = Duration::from_millis(10);

/// The longest such wait for the others, as a part of the last wait for the disk, and at all.
const GATHER: (u32, Duration) = (2, Duration::from_millis(5));

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

/// The next command, if one comes within so long.
fn within(patience: Duration, inbox: &mut Receiver<Command>) -> Option<Command> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let until = Instant::now() + patience;
    loop {
        if let Poll::Ready(next) = inbox.poll_recv(&mut Context::from_waker(&waker)) {
            return next;
        }
        let left = until.checked_duration_since(Instant::now())?;
        std::thread::park_timeout(left);
    }
}

fn serve(
    mut authority: Authority,
    mut inbox: Receiver<Command>,
    mut urgent: Receiver<Asked>,
    told: &watch::Sender<u64>,
) -> Result<(), StewardError> {
    let mut usual = 0;
    loop {
        let mut asked: Vec<Asked> = Vec::new();
        // Before the wait, or a freeze whose wake-up went by unnoticed would wait for the next.
        while let Ok(freeze) = urgent.try_recv() {
            asked.push(freeze);
        }
        let mut next = inbox.try_recv().ok();
        if next.is_none() && asked.is_empty() {
            next = within(LULL, &mut inbox);
            if next.is_none() {
                authority.rest();
                next = inbox.blocking_recv();
            }
            if next.is_none() {
                return authority.close();
            }
            while let Ok(freeze) = urgent.try_recv() {
                asked.push(freeze);
            }
        }
        let freezes = !asked.is_empty();
        let (mut events, mut replies): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let mut closes = None;
        let mut taken = 0;
        let (part, longest) = GATHER;
        let until = Instant::now() + (authority.disk() / part).min(longest);
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
            let waits = next.is_none() && (1..usual).contains(&events.len());
            if waits && !freezes && urgent.is_empty() {
                let left = until.saturating_duration_since(Instant::now());
                next = within(left, &mut inbox);
            }
        }
        // One that came in the meantime goes first.
        while let Ok((freeze, reply)) = urgent.try_recv() {
            events.insert(0, freeze);
            replies.insert(0, reply);
        }
        if !events.is_empty() {
            usual = events.len();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        authority::tests::{event, laid_out},
        core::{Reply, Surplus},
    };
    use std::sync::mpsc;

    fn freeze() -> Event {
        let (agent, reason) = (Some("scout".to_owned()), "stop".to_owned());
        Event::Freeze { agent, by: "mind", reason, surplus: Surplus::default() }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_freeze_overtakes_all_that_waits_and_wakes_a_desk_that_rests() {
        let dir = tempfile::tempdir().unwrap();
        let (home, authority) = laid_out(dir.path());
        let asked: Vec<Event> = (0..600).map(|n| event(&authority, n, "now")).collect();
        let next = authority.state().next();
        let desk = Desk::open(authority, home.lock().unwrap()).unwrap();
        // The authority is held up while a crowd gathers, more than its inbox holds.
        let (release, held) = mpsc::channel::<()>();
        let busy = desk.clone();
        let (entered, begun) = tokio::sync::oneshot::channel::<()>();
        let hold = move |_: &State, _| entered.send(()).and_then(|()| held.recv().map_err(drop));
        let busy = tokio::spawn(async move { busy.look(hold).await });
        begun.await.unwrap();
        let crowd = asked.into_iter().map(|event| {
            let desk = desk.clone();
            tokio::spawn(async move { desk.submit(event).await.unwrap().reply })
        });
        let crowd: Vec<_> = crowd.collect();
        while desk.commands.capacity() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let freezing = desk.clone();
        let freezing = tokio::spawn(async move { freezing.submit(freeze()).await.unwrap().reply });
        for _ in 0..1_000 {
            if desk.urgent.capacity() < GROUP {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        release.send(()).unwrap();
        busy.await.unwrap().unwrap().unwrap();
        // Only the group under way may be before it.
        let Reply::Noted(Some(frozen)) = freezing.await.unwrap() else { panic!() };
        assert!(frozen < next + GROUP as u64, "{frozen} after {next}");
        let mut passed = 0;
        for asked in crowd {
            match asked.await.unwrap() {
                Reply::Allowed(_) => passed += 1,
                Reply::Fault(fault) if fault.code == "frozen" => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(passed, frozen - next);
        // Nobody asks for anything now; the next one is heard all the same.
        let again = tokio::time::timeout(Duration::from_secs(10), desk.submit(freeze())).await;
        assert_eq!(again.unwrap().unwrap().reply, Reply::Noted(Some(frozen)));
        desk.close().await.unwrap();
    }
}
