//! The critical section: everything that decides, journals and signs, on one thread.
//!
//! Events come in groups. Each is decided on the state that the one before left; then the entries
//! of all are made durable with one wait for the disk; only then are permits used and answers
//! given. Where the journal cannot be written nothing is signed and the steward ends.
//!
//! INVARIANT: an effect runs after the entries beside it are durable; the crash tests kill the
//! process between the two and find the reservation (fail point `reserved`).

#[cfg(test)]
pub(crate) mod tests;

use crate::{
    clock::Clock,
    copies::Copies,
    core::{Effect, Event, FROM_A_MINDS, FROM_THE_OWNERS, Permit, Reply, STEWARD, Surplus, step},
    entry::{Allowed, Body, Entry, Order},
    error::{StewardError, fault},
    failpoint::{self, failpoint},
    home::Home,
    index::{Index, Mark},
    journal::{Journal, JournalError, LogKey, Origin, Recovery},
    keys::Keys,
    opening::{self, Opened},
    outbox::Outbox,
    signer::{self, Made},
    state::{STATE_FORMAT, State},
};
use marque_identity_keys::SecretString;
use marque_policies::{SignedStatement, Statement, Timestamp};
use marque_steward_client::{Fault, PaymentState};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The whole state is attested, and the index brought up to it, every so many entries.
const MARK_EVERY: u64 = 4_096;

/// The longest reason that is kept for a freeze which the disk had no room for, in bytes.
const LONGEST_NOTE: usize = 1_024;

/// At an orderly end that is worth it for so many.
const MARK_AT_END: u64 = 256;

/// State, journal, index and keys.
#[derive(Debug)]
pub(crate) struct Authority {
    home: Home,
    state: State,
    journal: Journal,
    /// None while it is in doubt.
    index: Option<Index>,
    /// The entry that the index stands at.
    mark: u64,
    /// The disk had no room; nothing is decided until it has.
    full: bool,
    /// Why everything stops, where the disk had no room for that either: it is the first entry that
    /// is written once there is.
    owed: Option<Stop>,
    /// Older segments of the journal were not read at the start.
    quick: bool,
    copies: Option<Copies>,
    keys: Keys,
    outbox: Outbox,
    clock: Arc<Clock>,
    /// Nothing is known of the chain's time yet: entries are stamped with the last one's, so that a
    /// machine that booted with a wrong clock does not pin the ledger's time.
    opening: bool,
}

/// A freeze that the disk had no room for, as it was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stop {
    agent: Option<String>,
    by: String,
    reason: String,
}

impl Stop {
    fn of_steward(reason: String) -> Self {
        Self { agent: None, by: STEWARD.to_owned(), reason }
    }

    /// What was left of one on the disk.
    fn of_note(note: &[u8]) -> Self {
        serde_json::from_slice(note).unwrap_or_else(|_| {
            let lost = "its steward was stopped on a full disk, and the reason is lost";
            Self::of_steward(lost.to_owned())
        })
    }

    fn note(&self) -> Vec<u8> {
        let reason = self.reason.get(..self.reason.floor_char_boundary(LONGEST_NOTE));
        let short = Self { reason: reason.unwrap_or_default().to_owned(), ..self.clone() };
        serde_json::to_vec(&short).unwrap_or_else(|_| b"{}".to_vec())
    }

    fn event(self) -> Event {
        let Self { agent, by, reason } = self;
        // Whoever it was, the words are theirs, and never the steward's.
        let by = [STEWARD, FROM_THE_OWNERS].into_iter().find(|it| *it == by);
        let by = by.unwrap_or(FROM_A_MINDS);
        Event::Freeze { agent, by, reason, surplus: Surplus::default() }
    }
}

/// What came of an event.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) reply: Reply,
    pub(crate) made: Option<Made>,
}

impl Authority {
    /// Opens the journal of a home, folds it and brings the index up to it.
    pub(crate) fn open(home: &Home, unlock: SecretString) -> Result<Self, StewardError> {
        let keys = Keys::open(home, unlock)?;
        let origin = Origin(home.origin());
        let opened = opening::open(&home.journal(), &home.index(), origin, || keys.log_signer())?;
        let state = &opened.state;
        if let Some(genesis) = state.genesis()
            && (genesis.chain, genesis.origin) != (home.chain(), home.origin())
        {
            let why = "home.json is not the one that the journal began with".to_owned();
            return Err(StewardError::Home { path: home.path().to_owned(), why });
        }
        failpoint("opening");
        let Recovery { cut, unsigned, checkpoint_missing } = opened.journal.recovery();
        let mut authority = Self::with(home, opened, keys)?;
        authority.remember_stop()?;
        let mended = cut > 0 || unsigned > 0 || checkpoint_missing;
        if mended && authority.state.genesis().is_some() {
            let body = Body::Recovered { cut, unsigned, checkpoint_missing };
            authority.handle(vec![Event::Own(body)])?;
        }
        authority.opening = false;
        Ok(authority)
    }

    /// Begins a journal with the owner's genesis; one without an entry was cut off before, and begins
    /// now.
    pub(crate) fn begin(
        home: &Home,
        unlock: SecretString,
        genesis: &SignedStatement,
    ) -> Result<Self, StewardError> {
        let keys = Keys::open(home, unlock)?;
        let signer = keys.log_signer()?;
        let body = crate::core::genesis(genesis, home.chain(), home.origin())?;
        if let Body::Genesis(genesis) = &body
            && genesis.log_key != signer.public_key()
        {
            let line = "the genesis names another log key than the one in this home";
            return Err(fault("malformed", line).into());
        }
        let (dir, origin) = (home.journal(), Origin(home.origin()));
        let journal = if home.has_journal() {
            let (journal, entries) = Journal::open(&dir, origin, signer)?;
            if !entries.is_empty() {
                return Err(fault("stale", "this journal has begun already").into());
            }
            journal
        } else {
            Journal::create(&dir, origin, signer)?
        };
        // An index that is there already is of another journal.
        let index = Index::open(home.index()).ok();
        let empty = index.filter(|index| matches!(index.load(), Ok(None)));
        let index = empty.map_or_else(|| Index::anew(home.index()), Ok)?;
        let opened = Opened {
            journal,
            state: State::default(),
            index: Some(index),
            doubt: None,
            mark: 0,
            quick: false,
        };
        let mut authority = Self::with(home, opened, keys)?;
        authority.opening = false;
        authority.handle(vec![Event::Own(body)])?;
        Ok(authority)
    }

    fn with(home: &Home, opened: Opened, keys: Keys) -> Result<Self, StewardError> {
        let Opened { journal, state, index, doubt, mark, quick } = opened;
        let outbox = Outbox::new(home.outbox());
        let index = match index {
            Some(index) => index,
            None => Index::anew(home.index())?,
        };
        let (home, index) = (home.clone(), Some(index));
        let mut authority = Self {
            home,
            state,
            journal,
            index,
            mark,
            full: false,
            owed: None,
            quick,
            copies: None,
            keys,
            outbox,
            clock: Arc::default(),
            opening: true,
        };
        if let Some(why) = doubt {
            tracing::warn!(why, "the index was set aside and made again from the journal");
            if authority.state.genesis().is_some() {
                authority.handle(vec![Event::Own(Body::IndexRebuilt { why })])?;
            }
        }
        if authority.behind() >= MARK_EVERY {
            authority.mark()?;
        }
        Ok(authority)
    }

    /// The clock that its entries are stamped by.
    pub(crate) fn clock(&self) -> Arc<Clock> {
        Arc::clone(&self.clock)
    }

    /// Keeps copies of the checkpoint in `dir` from now on. Where the one that is there contradicts
    /// the journal, nothing is signed any more, and the copy stays.
    pub(crate) fn keep_copies(&mut self, dir: &Path) -> Result<(), StewardError> {
        let mut copies = Copies::new(dir, self.journal.origin());
        if let Some(reason) = copies.contradict(&self.journal)? {
            tracing::error!(reason, "frozen");
            let (agent, by, surplus) = (None, STEWARD, Surplus::default());
            self.opening = true;
            let frozen = self.handle(vec![Event::Freeze { agent, by, reason, surplus }]);
            self.opening = false;
            return frozen.map(drop);
        }
        copies.keep(&self.journal, true);
        self.copies = Some(copies);
        Ok(())
    }

    /// Where the journal lies and whose key it is under, if a part of it was not read at the start.
    pub(crate) fn unread(&self) -> Result<Option<(PathBuf, LogKey)>, StewardError> {
        if self.quick { Ok(Some((self.home.journal(), self.journal.key()?))) } else { Ok(None) }
    }

    /// How many entries the index does not know.
    fn behind(&self) -> u64 {
        self.state.next().saturating_sub(self.mark)
    }

    /// Attests the whole state in the journal and brings the index to it.
    fn mark(&mut self) -> Result<(), StewardError> {
        let Some(index) = self.index.take() else { return Ok(()) };
        let seq = self.state.next();
        let hash = self.state.seal()?;
        let wrong = |error: serde_json::Error| StewardError::Entry { seq, why: error.to_string() };
        let head = self.state.head_bytes().map_err(wrong)?;
        let parts = self.state.take_changed().map_err(wrong)?;
        // Before the entry is handled, which counts again.
        let before = std::mem::replace(&mut self.mark, seq);
        self.handle(vec![Event::Own(Body::Checkpointed { format: STATE_FORMAT, state: hash })])?;
        if self.full {
            // Nothing was attested; the state was read anew, and the index is where it was.
            (self.mark, self.index) = (before, Some(index));
            return Ok(());
        }
        // An index that is good is of no use where the tiles lag behind it.
        self.rest();
        match index.write(Mark { seq, head, parts }) {
            Ok(()) => {
                self.index = Some(index);
                Ok(())
            }
            Err(error) => self.index_failed(index, error.to_string()),
        }
    }

    /// Sets a doubtful index aside and begins another, and the journal says so. The next mark fills
    /// it.
    fn index_failed(&mut self, index: Index, why: String) -> Result<(), StewardError> {
        tracing::warn!(why, "the index is set aside and made again from the journal");
        let dir = index.dir();
        drop(index);
        match Index::anew(dir) {
            Ok(index) => {
                self.state.all_changed();
                self.index = Some(index);
                self.handle(vec![Event::Own(Body::IndexRebuilt { why })])?;
            }
            // It is an index: the next start makes it again.
            Err(error) => tracing::error!(%error, "there is no index until the next start"),
        }
        Ok(())
    }

    pub(crate) const fn state(&self) -> &State {
        &self.state
    }

    /// Time as this steward counts it.
    pub(crate) fn now(&self) -> Timestamp {
        if self.opening && self.state.genesis().is_some() {
            return self.state.time();
        }
        self.state.now(self.clock.read(self.clock.wall()))
    }

    /// Unlocks the keys of all agents, so that no payment waits for it.
    pub(crate) fn unlock(&mut self) -> Result<(), StewardError> {
        for (name, account) in self.state.agents() {
            let key = self.keys.key(name)?;
            if key.address() != account.key {
                return Err(StewardError::Permit("the key in this home is not the enrolled one"));
            }
        }
        Ok(())
    }

    /// Takes a group of events; answers each.
    ///
    /// # Errors
    /// Where the journal failed or the core contradicts the fold: the steward must end.
    pub(crate) fn handle(&mut self, events: Vec<Event>) -> Result<Vec<Done>, StewardError> {
        if self.full && !self.has_room()? {
            let freezes = |event: &Event| match event {
                Event::Freeze { agent, by, reason, .. } => Some(Stop {
                    agent: agent.clone(),
                    by: (*by).to_owned(),
                    reason: format!("asked for while the disk was full: {reason}"),
                }),
                _ => None,
            };
            if let Some(stop) = events.iter().find_map(freezes) {
                self.owe(stop);
            }
            return Ok(no_room(events.len(), self.owed.is_some()));
        }
        let asked = events.len();
        let mut bytes = Vec::new();
        let mut kinds = Vec::new();
        let mut steps = Vec::with_capacity(events.len());
        let (mut reserves, mut pays) = (false, false);
        for event in events {
            let first = self.state.next();
            let now = self.now();
            let mut next = match self.precheck(&event).and_then(|()| self.recall(&event)) {
                Ok(()) => step(&self.state, event, now),
                Err(fault) => {
                    steps.push((Effect::None, Reply::Fault(fault)));
                    continue;
                }
            };
            let entries = next.number(&self.state, now);
            // Too long to be journalled is too long to be done; nothing has changed yet.
            let encoded: Result<Vec<_>, _> = entries.iter().map(Entry::encode).collect();
            let encoded = match encoded {
                Ok(encoded) => encoded,
                Err(error) => {
                    let reply = Reply::Fault(fault("malformed", error.to_string()));
                    steps.push((Effect::None, reply));
                    continue;
                }
            };
            for entry in &entries {
                self.state.apply(entry)?;
                if let Body::Allowed(allowed) = &entry.body {
                    let Allowed { order, .. } = &**allowed;
                    reserves = true;
                    pays |= !matches!(order, Order::Permission | Order::Elsewhere);
                }
            }
            bytes.extend(encoded);
            kinds.extend(failpoint::kinds(entries.iter().map(|entry| &entry.body)));
            let reply = match next.reply {
                Reply::Noted(None) => Reply::Noted(Some(first)),
                reply => reply,
            };
            steps.push((next.effect, reply));
        }
        failpoint::tear(&kinds, &bytes);
        match self.journal.write(&bytes) {
            Ok(_) => {}
            Err(JournalError::Full(_)) => {
                self.stop_for_room()?;
                return Ok(no_room(asked, true));
            }
            Err(error) => return Err(error.into()),
        }
        failpoint::at("journalled", &kinds);
        if reserves {
            failpoint("reserved");
        }
        if let Some(copies) = &mut self.copies {
            copies.keep(&self.journal, pays);
        }
        self.state.forget_recalled();
        if self.behind() >= MARK_EVERY {
            self.mark()?;
        }
        let done = steps.into_iter().map(|(effect, reply)| self.carry_out(effect, reply)).collect();
        failpoint::at("done", &kinds);
        done
    }

    /// How long the disk took for the last group.
    pub(crate) const fn disk(&self) -> Duration {
        self.journal.disk()
    }

    /// Writes what the journal owes its readers. For when there is nothing else to do.
    pub(crate) fn rest(&mut self) {
        if let Err(error) = self.journal.publish() {
            tracing::warn!(%error, "the entries are durable, but their checkpoint is not written");
        }
    }

    /// Reads back what is archived of the intents that an event is about, so that it is answered as
    /// it was before.
    fn recall(&mut self, event: &Event) -> Result<(), Fault> {
        for id in event.intents(&self.state) {
            if self.state.intent(id).is_some() {
                continue; // recalled already
            }
            let Some(entry) = self.state.archived(id).map(|archived| archived.entry) else {
                continue;
            };
            let read = self.journal.entry(entry).map_err(StewardError::from);
            let entry = read.and_then(|bytes| Entry::decode(&bytes));
            let entry = entry.map_err(|error| fault("internal", error.to_string()))?;
            self.state.recall(id, &entry);
        }
        Ok(())
    }

    /// What the last steward here could not write for a full disk. Without room for the next freeze
    /// nothing is decided.
    fn remember_stop(&mut self) -> Result<(), StewardError> {
        let frozen = self.state.frozen().is_some();
        match self.journal.note()? {
            Some(_) if frozen => self.journal.leave_note(&[])?,
            Some(note) => self.owed = Some(Stop::of_note(&note)),
            None => {}
        }
        self.full = self.owed.is_some()
            || matches!(self.journal.keep_reserve(), Err(JournalError::Full(_)));
        if self.full {
            self.has_room()?;
        }
        Ok(())
    }

    /// Whether the disk has room again. What is owed is written first of all.
    fn has_room(&mut self) -> Result<bool, StewardError> {
        if let Err(error) = self.journal.keep_reserve() {
            tracing::warn!(%error, "nothing is decided");
            return Ok(false);
        }
        if let Some(stop) = self.owed.clone() {
            self.write_freeze(stop)?;
        }
        self.full = self.owed.is_some();
        Ok(!self.full)
    }

    /// The disk had no room for a group. Nothing of it happened: the state is made again from what
    /// is durable, and the room that was kept takes the entry that freezes.
    fn stop_for_room(&mut self) -> Result<(), StewardError> {
        self.full = true;
        self.state = opening::again(&self.journal, self.index.as_ref())?;
        self.state.all_changed();
        let reason = "the disk is full: make room, then thaw".to_owned();
        tracing::error!(reason, "frozen");
        // Others may take the room first: a mind that fills the disk is asked to do just that.
        let stop = Stop::of_steward(reason);
        self.owe(stop.clone());
        self.write_freeze(stop)
    }

    /// Remembers that everything stops, over a restart as well, without any room.
    fn owe(&mut self, stop: Stop) {
        if self.owed.is_some() || self.state.frozen().is_some() {
            return;
        }
        if let Err(error) = self.journal.leave_note(&stop.note()) {
            tracing::error!(%error, "a freeze is remembered until this process ends, and no longer");
        }
        self.owed = Some(stop);
    }

    /// Writes the entry that freezes, where there is room for it.
    fn write_freeze(&mut self, stop: Stop) -> Result<(), StewardError> {
        let now = self.now();
        let mut next = step(&self.state, stop.event(), now);
        let entries = next.number(&self.state, now);
        let bytes = entries.iter().map(Entry::encode).collect::<Result<Vec<_>, _>>()?;
        match self.journal.append(&bytes) {
            Ok(_) => entries.iter().try_for_each(|entry| self.state.apply(entry))?,
            Err(error @ JournalError::Full(_)) => {
                tracing::error!(%error, "not even the freezing could be written yet");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        self.owed = None;
        Ok(self.journal.leave_note(&[])?)
    }

    /// What only this home can tell about an event.
    fn precheck(&self, event: &Event) -> Result<(), Fault> {
        let Event::Submit(signed) = event else { return Ok(()) };
        let Statement::Enroll { agent, key } = &signed.statement else { return Ok(()) };
        match self.keys.address(agent) {
            Ok(address) if address == *key => Ok(()),
            Ok(address) => {
                let line = format!("the key of \"{agent}\" in this home is {address}, not {key}");
                Err(fault("malformed", line))
            }
            Err(error) => Err(fault("unknown", error.to_string())),
        }
    }

    /// Uses a permit. What is reserved and cannot be signed stays reserved: it may be over-counted,
    /// never under-counted.
    fn carry_out(&mut self, effect: Effect, reply: Reply) -> Result<Done, StewardError> {
        let Effect::Sign(permit) = effect else { return Ok(Done { reply, made: None }) };
        let id = permit.id();
        match self.sign(*permit) {
            Ok(made) => {
                if let Made::Transaction(signed) = &made {
                    // Bytes with lower fees may have gone out: they are kept as well.
                    let others = self.state.intent(id).is_some_and(|it| !it.earlier.is_empty());
                    if let Err(error) = self.outbox.put(id, &signed.raw, others) {
                        // It stays reserved, and the same bytes are signed again later.
                        tracing::error!(%id, %error, "what was signed does not go out");
                        let reply = Reply::Fault(fault("internal", error.to_string()));
                        return Ok(Done { reply, made: None });
                    }
                    let signed = Event::Moved(Body::Signed { id, hash: signed.hash });
                    let noted = self.handle(vec![signed])?.pop();
                    if let Some(Done { reply: reply @ Reply::Fault(_), .. }) = noted {
                        return Ok(Done { reply, made: None });
                    }
                }
                failpoint("signed");
                Ok(Done { reply, made: Some(made) })
            }
            Err(error) => {
                tracing::error!(%id, %error, "cannot sign what was reserved");
                let reply = Reply::Fault(fault("internal", error.to_string()));
                Ok(Done { reply, made: None })
            }
        }
    }

    fn sign(&mut self, permit: Permit) -> Result<Made, StewardError> {
        let now = self.now();
        let record = self.state.intent(permit.id());
        // In one group a record may move on between the permit and its use: a permit for what is no
        // longer its order, or for what was given up, signs nothing.
        if let (Some(record), Some(_)) = (record, permit.order().transaction()) {
            let out = [
                PaymentState::Reserved,
                PaymentState::Signed,
                PaymentState::Sent,
                PaymentState::Seen,
            ];
            if record.order.as_ref() != Some(permit.order()) || !out.contains(&record.state) {
                return Err(StewardError::Permit("is for what the intent is no longer"));
            }
        }
        let before = record.and_then(|record| record.hash);
        let key = self.keys.key(permit.agent())?;
        let made = signer::sign(permit, key, now)?;
        match (&made, before) {
            (Made::Transaction(signed), Some(hash)) if signed.hash != hash => {
                Err(StewardError::Permit("would sign other bytes than the first time"))
            }
            _ => Ok(made),
        }
    }

    /// Ends a steward's work in order; the journal says so.
    pub(crate) fn close(mut self) -> Result<(), StewardError> {
        self.handle(vec![Event::Own(Body::Stopped)])?;
        self.end()
    }

    /// Waits until everything is on the disk.
    pub(crate) fn end(mut self) -> Result<(), StewardError> {
        if self.behind() >= MARK_AT_END && !self.full {
            self.mark()?;
        }
        Ok(self.journal.publish()?)
    }
}

/// The answers to a group that the disk had no room for.
fn no_room(events: usize, frozen: bool) -> Vec<Done> {
    let line = match frozen {
        false => "the disk is full; nothing is decided until there is room",
        true => "the disk is full; nothing is decided until there is room, and it is frozen then",
    };
    let done = || Done { reply: Reply::Fault(fault("full", line)), made: None };
    std::iter::repeat_with(done).take(events).collect()
}

/// The wall clock in Unix milliseconds.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall = Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX);
    #[cfg(test)]
    let wall = wall + tests::AHEAD.get();
    wall.saturating_add_signed(failpoint::clock_offset())
}
