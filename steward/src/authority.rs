//! The critical section: everything that decides, journals and signs, on one thread.
//!
//! Events come in groups. Each is decided on the state that the one before left; then the entries
//! of all are made durable with one wait for the disk; only then are permits used and answers
//! given. Where the journal cannot be written nothing is signed and the steward ends.
//!
//! INVARIANT: an effect runs after the entries beside it are durable; the crash tests kill the
//! process between the two and find the reservation (fail point `reserved`).

use crate::{
    clock::Clock,
    core::{Effect, Event, Permit, Reply, step},
    entry::{Body, Entry},
    error::{StewardError, fault},
    failpoint::failpoint,
    home::Home,
    index::Index,
    journal::{Journal, Origin, Recovery},
    keys::Keys,
    outbox::Outbox,
    signer::{self, Made},
    state::State,
};
use marque_identity_keys::SecretString;
use marque_policies::{IntentId, SignedStatement, Statement, Timestamp};
use marque_steward_client::Fault;
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// State, journal, index and keys.
#[derive(Debug)]
pub(crate) struct Authority {
    state: State,
    journal: Journal,
    /// None while it is in doubt.
    index: Option<Index>,
    keys: Keys,
    outbox: Outbox,
    clock: Arc<Clock>,
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
        let (journal, bytes) =
            Journal::open(&home.journal(), Origin(home.origin()), keys.log_signer()?)?;
        let entries: Result<Vec<Entry>, _> = bytes.iter().map(|b| Entry::decode(b)).collect();
        let state = State::fold(&entries?)?;
        if let Some(genesis) = state.genesis()
            && (genesis.chain, genesis.origin) != (home.chain(), home.origin())
        {
            let why = "home.json is not the one that the journal began with".to_owned();
            return Err(StewardError::Home { path: home.path().to_owned(), why });
        }
        failpoint("opening");
        let Recovery { cut, unsigned, checkpoint_missing } = journal.recovery();
        let mut authority = Self::with(home, state, journal, keys)?;
        let mended = cut > 0 || unsigned > 0 || checkpoint_missing;
        if mended && authority.state.genesis().is_some() {
            let body = Body::Recovered { cut, unsigned, checkpoint_missing };
            authority.handle(vec![Event::Own(body)])?;
        }
        Ok(authority)
    }

    /// Begins a journal with the owner's genesis.
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
        let journal = Journal::create(&home.journal(), Origin(home.origin()), signer)?;
        let mut authority = Self::with(home, State::default(), journal, keys)?;
        authority.handle(vec![Event::Own(body)])?;
        Ok(authority)
    }

    fn with(home: &Home, state: State, journal: Journal, keys: Keys) -> Result<Self, StewardError> {
        let (index, rebuilt) = Index::open(home.index(), &state)?;
        let outbox = Outbox::new(home.outbox());
        let clock = Arc::default();
        let mut authority = Self { state, journal, index: Some(index), keys, outbox, clock };
        if let Some(why) = rebuilt {
            tracing::warn!(why, "the index was set aside and made again from the journal");
            if authority.state.genesis().is_some() {
                authority.handle(vec![Event::Own(Body::IndexRebuilt { why })])?;
            }
        }
        Ok(authority)
    }

    /// The clock that its entries are stamped by.
    pub(crate) fn clock(&self) -> Arc<Clock> {
        Arc::clone(&self.clock)
    }

    pub(crate) const fn state(&self) -> &State {
        &self.state
    }

    /// Time as this steward counts it.
    pub(crate) fn now(&self) -> Timestamp {
        self.state.now(self.clock.read(wall()))
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
        let mut bytes = Vec::new();
        let mut touched: Vec<IntentId> = Vec::new();
        let mut steps = Vec::with_capacity(events.len());
        let mut reserves = false;
        for event in events {
            let first = self.state.next();
            let now = self.now();
            let mut next = match self.precheck(&event) {
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
                touched.extend(entry.body.intent());
                reserves |= matches!(entry.body, Body::Allowed(_));
            }
            bytes.extend(encoded);
            let reply = match next.reply {
                Reply::Noted(None) => Reply::Noted(Some(first)),
                reply => reply,
            };
            steps.push((next.effect, reply));
        }
        if !bytes.is_empty() {
            self.journal.append(&bytes)?;
        }
        if reserves {
            failpoint("reserved");
        }
        self.note(&touched);
        steps.into_iter().map(|(effect, reply)| self.carry_out(effect, reply)).collect()
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
                    self.outbox.put(id, &signed.raw, others)?;
                    self.handle(vec![Event::Moved(Body::Signed { id, hash: signed.hash })])?;
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
        let before = self.state.intent(permit.id()).and_then(|record| record.hash);
        let key = self.keys.key(permit.agent())?;
        let made = signer::sign(permit, key, now)?;
        match (&made, before) {
            (Made::Transaction(signed), Some(hash)) if signed.hash != hash => {
                Err(StewardError::Permit("would sign other bytes than the first time"))
            }
            _ => Ok(made),
        }
    }

    /// Tells the index; a doubtful index is made again, and the journal says so.
    fn note(&mut self, touched: &[IntentId]) {
        let Some(index) = self.index.take() else { return };
        let Err(error) = index.update(&self.state, touched) else {
            self.index = Some(index);
            return;
        };
        let why = error.to_string();
        tracing::warn!(why, "the index is set aside and made again from the journal");
        if let Err(error) = self.handle(vec![Event::Own(Body::IndexRebuilt { why })]) {
            tracing::error!(%error, "cannot journal that the index is made again");
        }
        let dir = index.dir();
        drop(index);
        match Index::anew(dir, &self.state) {
            Ok(index) => self.index = Some(index),
            // It is an index: the next start makes it again.
            Err(error) => tracing::error!(%error, "there is no index until the next start"),
        }
    }

    /// Ends a steward's work in order; the journal says so.
    pub(crate) fn close(mut self) -> Result<(), StewardError> {
        self.handle(vec![Event::Own(Body::Stopped)])?;
        self.end()
    }

    /// Waits until everything is on the disk.
    pub(crate) fn end(mut self) -> Result<(), StewardError> {
        self.journal.publish()?;
        match &self.index {
            Some(index) => Ok(index.flush()?),
            None => Ok(()),
        }
    }
}

/// The wall clock in Unix milliseconds.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
}
