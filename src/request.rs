//! What travels between a steward's host and the machine with its owner's key, as files.
//!
//! A [`Request`] carries what waits for the owner off the host; a [`Signed`] carries the owner's
//! acts back. Whoever has the host may have written the request, so nothing in it is believed that
//! can be checked: [`Request::check`] recomputes the hash of every intent that it shows and signs
//! that one, and takes the names of assets and payees only from a policy that bears the owner's own
//! signature for this journal. What cannot be checked is the host's word and is shown as such.
//!
//! INVARIANT: what is signed is what was shown (pinned by `tests/system/owner.rs`,
//! `a_host_that_lies_in_its_request_gets_no_signature`).

use crate::{drafts::PolicyFiles, home::Home};
use alloy_primitives::{Address, B256, hex};
use marque_identity_keys::KeyDir;
use marque_policies::{
    Intent, IntentId, Mark, Policy, Row, SignedStatement, Statement, Timestamp, parse,
};
use marque_steward::{Body, Entry, State, StewardError, audit, entry::Genesis};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeSet,
    fs, io,
    io::{Read, Write as _},
    path::{Path, PathBuf},
};

/// The version of both files that this crate reads and writes.
pub const VERSION: u16 = 1;

/// The longest file, in bytes.
const LONGEST: u64 = 16 * 1024 * 1024;

/// What [`Request`] calls itself.
const REQUEST: &str = "request";

/// What [`Signed`] calls itself.
const SIGNED: &str = "signed";

/// Why a file is not what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is there already.
    #[error("{} exists already; nothing was overwritten", .0.display())]
    Exists(PathBuf),
    /// It is no such file.
    #[error("this is no {what} file of marque: {why}")]
    Malformed {
        /// `request` or `signed`.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A newer version wrote it.
    #[error("this file is of version {0}, and {VERSION} is known here; use a newer marque")]
    Newer(u16),
    /// It is for another owner.
    #[error("this request is for owner {theirs}, and the key here is {mine}")]
    Owner {
        /// Who the journal's acts make the owner.
        theirs: Address,
        /// Whose key is here.
        mine: Address,
    },
    /// Something in it is not as it must be; whoever wrote it is not to be trusted.
    #[error("the request is not honest: {0}; nothing was signed")]
    Lie(String),
    /// The home's journal or keys.
    #[error(transparent)]
    Steward(#[from] StewardError),
    /// The home's keys.
    #[error(transparent)]
    Key(#[from] marque_identity_keys::KeyError),
}

/// What waits for an owner, as the steward's host says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    marque: String,
    v: u16,
    /// EIP-155 id of the steward's chain.
    chain: u64,
    /// The journal's origin.
    origin: B256,
    /// When it was written, in Unix milliseconds of the host.
    made: Timestamp,
    /// The Ed25519 key that signs the journal's checkpoints.
    log_key: B256,
    /// Hash of block 0, where the journal has not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain_genesis: Option<B256>,
    /// The owner's genesis; none where the journal has not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    genesis: Option<SignedStatement>,
    /// By which acts later owners came into force, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rotations: Vec<SignedStatement>,
    /// The entry by which the owner in force did; 0 for the genesis.
    #[serde(default)]
    owner_since: u64,
    /// Why nothing is signed, if it is frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frozen: Option<Freeze>,
    agents: Vec<AgentPart>,
}

/// One agent's part of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentPart {
    name: String,
    /// The address of its paying key.
    key: Address,
    enrolled: bool,
    /// The policy in force, with its document and the owner's signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<SignedStatement>,
    /// The draft on the host, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    draft: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    held: Vec<Held>,
}

/// A freeze, in the host's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// The journal entry that a thaw names.
    pub entry: u64,
    /// `mind`, who is whoever spoke on an agent's socket, its owner as well; or `steward`.
    pub by: String,
    /// In the speaker's words.
    pub reason: String,
    /// What a thaw accepts beside that, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepts: Vec<String>,
}

/// An intent that waits for the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// Which.
    pub id: IntentId,
    /// The task, as the mind calls it.
    pub task: String,
    /// What was asked.
    pub intent: Intent,
    /// Hash of its body as the host says it; [`Request::check`] compares it with the intent's own.
    pub body: B256,
    /// When it was held.
    pub at: Timestamp,
    /// When it closes.
    pub closes: Timestamp,
    /// The rules that ask, as the host says.
    pub why: Vec<Row>,
}

/// The owner's acts, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    marque: String,
    v: u16,
    /// EIP-155 id of the chain that they are for.
    pub chain: u64,
    /// The journal that they are for.
    pub origin: B256,
    /// In the order in which they are handed in.
    pub acts: Vec<SignedStatement>,
}

/// A request of which everything that can be checked was.
#[derive(Clone, Debug)]
pub struct Checked {
    /// EIP-155 id of the steward's chain.
    pub chain: u64,
    /// The journal's origin.
    pub origin: B256,
    /// When it was written, by the host's clock.
    pub made: Timestamp,
    /// The key that signs the journal's checkpoints. The owner's own word where there is a genesis.
    pub log_key: B256,
    /// Hash of block 0, where the journal has not begun.
    pub chain_genesis: Option<B256>,
    /// Whether the journal has begun.
    pub begun: bool,
    /// The host's word on the entry by which the owner came into force.
    pub owner_since: u64,
    /// The host's word on why nothing is signed.
    pub frozen: Option<Freeze>,
    /// By name.
    pub agents: Vec<CheckedAgent>,
}

/// One agent's part of that.
#[derive(Clone, Debug)]
pub struct CheckedAgent {
    /// Its name.
    pub name: String,
    /// The address of its paying key, as the host says.
    pub key: Address,
    /// Whether the host says that it is enrolled.
    pub enrolled: bool,
    /// The policy in force, signed by the owner for this journal.
    pub policy: Option<Policy>,
    /// The draft on the host.
    pub draft: Option<String>,
    /// What waits; each body is the hash of the intent beside it.
    pub held: Vec<Held>,
}

impl Request {
    /// Writes down what waits for the owner in `home`, from its journal and its drafts.
    /// `chain_genesis` is the hash of block 0 where the journal has not begun. Beside it a line for
    /// each agent whose part could not be told.
    ///
    /// # Errors
    /// Where the home or its journal cannot be read.
    pub fn of(
        home: &Home,
        now: Timestamp,
        chain_genesis: Option<B256>,
    ) -> Result<(Self, Vec<String>), RequestError> {
        let laid_out = marque_steward::Home::open(home.path())?;
        let keys = KeyDir::open(laid_out.keys())?;
        let entries =
            if laid_out.has_journal() { audit::entries(&laid_out.journal())? } else { Vec::new() };
        let state = State::fold(&entries)?;
        let now = state.now(now);
        let (mut agents, mut notes) = (Vec::new(), Vec::new());
        for name in home.agents() {
            match agent(home, &keys, &state, &entries, &name, now) {
                Ok((part, note)) => {
                    agents.push(part);
                    notes.extend(note);
                }
                Err(why) => notes.push(format!("{name} is left out: {why}")),
            }
        }
        let request = Self {
            marque: REQUEST.to_owned(),
            v: VERSION,
            chain: laid_out.chain(),
            origin: laid_out.origin(),
            made: now,
            log_key: B256::from(keys.log_public_key()?),
            chain_genesis: chain_genesis.filter(|_| state.genesis().is_none()),
            genesis: state.genesis().map(genesis),
            rotations: entries.iter().filter_map(rotation).collect(),
            owner_since: state.owner_since(),
            frozen: freeze(&state),
            agents,
        };
        Ok((request, notes))
    }

    /// How many intents wait in it.
    #[must_use]
    pub fn held(&self) -> usize {
        self.agents.iter().map(|agent| agent.held.len()).sum()
    }

    /// The agents whose drafts it carries.
    pub fn drafts(&self) -> impl Iterator<Item = &str> {
        self.agents.iter().filter(|part| part.draft.is_some()).map(|part| part.name.as_str())
    }

    /// Whether the steward is frozen.
    #[must_use]
    pub const fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// Checks all that the owner with the key of `me` can check.
    ///
    /// # Errors
    /// [`RequestError::Owner`] where the journal is another owner's, [`RequestError::Lie`] where
    /// something in it contradicts itself or bears no signature of the owner's.
    pub fn check(self, me: Address) -> Result<Checked, RequestError> {
        let lie = |why: String| RequestError::Lie(why);
        let mut owners = BTreeSet::new();
        if let Some(signed) = &self.genesis {
            let Statement::Genesis { owner, log_key, .. } = &signed.statement else {
                return Err(lie("what it calls the genesis is none".to_owned()));
            };
            if signer(signed, self.chain, self.origin) != Some(*owner) {
                return Err(lie("the genesis does not bear its owner's signature".to_owned()));
            }
            if *log_key != self.log_key {
                return Err(lie("its log key is not the one that the owner signed".to_owned()));
            }
            let mut in_force = *owner;
            owners.insert(in_force);
            for signed in &self.rotations {
                let Statement::Rotate { owner, .. } = &signed.statement else {
                    return Err(lie("what it calls a rotation of the owner is none".to_owned()));
                };
                let by = [
                    signer(signed, self.chain, self.origin),
                    countersigner(signed, self.chain, self.origin),
                ];
                if by != [Some(in_force), Some(*owner)] {
                    return Err(lie(
                        "a rotation of the owner does not bear both signatures".to_owned()
                    ));
                }
                in_force = *owner;
                owners.insert(in_force);
            }
            if in_force != me {
                return Err(RequestError::Owner { theirs: in_force, mine: me });
            }
        }
        let mut names = BTreeSet::new();
        let mut agents = Vec::with_capacity(self.agents.len());
        for part in self.agents {
            if !is_name(&part.name) || !names.insert(part.name.clone()) {
                return Err(lie("it has an agent without a name of its own".to_owned()));
            }
            agents.push(part.check(self.chain, self.origin, &owners)?);
        }
        Ok(Checked {
            chain: self.chain,
            origin: self.origin,
            made: self.made,
            log_key: self.log_key,
            chain_genesis: self.chain_genesis,
            begun: self.genesis.is_some(),
            owner_since: self.owner_since,
            frozen: self.frozen,
            agents,
        })
    }
}

impl AgentPart {
    fn check(
        self,
        chain: u64,
        origin: B256,
        owners: &BTreeSet<Address>,
    ) -> Result<CheckedAgent, RequestError> {
        let Self { name, key, enrolled, policy, draft, held } = self;
        let lie = |why: &str| RequestError::Lie(format!("{name}: {why}"));
        let policy = match policy {
            Some(signed) => {
                let by = signer(&signed, chain, origin);
                if by.is_none_or(|by| !owners.contains(&by)) {
                    return Err(lie("the policy that it calls in force is not one you signed"));
                }
                Some(adopted(&name, signed).map_err(lie)?)
            }
            None => None,
        };
        let mut ids = BTreeSet::new();
        for it in &held {
            if it.intent.body_hash() != it.body {
                return Err(lie("an intent in it is not the one that its hash is of"));
            }
            if !ids.insert(it.id) {
                return Err(lie("one id stands for two intents"));
            }
        }
        if policy.is_none() && !held.is_empty() {
            return Err(lie("intents wait, and no policy is in force"));
        }
        Ok(CheckedAgent { name, key, enrolled, policy, draft, held })
    }
}

/// The policy of an adoption; it must be the one that was signed, and for this agent.
fn adopted(name: &str, signed: SignedStatement) -> Result<Policy, &'static str> {
    let Statement::Adopt { agent, version, policy: hash } = signed.statement else {
        return Err("what it calls the adoption of the policy is none");
    };
    let document = signed.document.ok_or("the policy in force has no document")?;
    let (policy, _) = parse(&document).map_err(|_| "the policy in force does not parse here")?;
    if agent != name || policy.hash != hash || policy.version != version {
        return Err("the policy in force is not the one that was signed");
    }
    Ok(policy)
}

impl Checked {
    /// One agent.
    #[must_use]
    pub fn agent(&self, name: &str) -> Option<&CheckedAgent> {
        self.agents.iter().find(|agent| agent.name == name)
    }
}

impl Signed {
    /// Acts for the journal of `origin`.
    #[must_use]
    pub fn new(chain: u64, origin: B256, acts: Vec<SignedStatement>) -> Self {
        Self { marque: SIGNED.to_owned(), v: VERSION, chain, origin, acts }
    }
}

/// A file of ours.
pub trait Travels: Serialize + DeserializeOwned {
    /// What it calls itself.
    const KIND: &'static str;

    /// Reads it; `-` is standard input.
    ///
    /// # Errors
    /// [`RequestError::File`], [`RequestError::Malformed`], [`RequestError::Newer`].
    fn read(path: &Path) -> Result<Self, RequestError> {
        let mut bytes = Vec::new();
        let read = if path == Path::new("-") {
            io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes)
        } else {
            fs::File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
        };
        read.map_err(|source| RequestError::File { path: path.to_owned(), source })?;
        Self::parse(&bytes)
    }

    /// Reads it from its bytes.
    ///
    /// # Errors
    /// [`RequestError::Malformed`], [`RequestError::Newer`].
    fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        #[derive(Deserialize)]
        struct Head {
            marque: String,
            v: u16,
        }
        // A mistake is told in the words of whoever made it.
        let wrong = |why: String| RequestError::Malformed { what: Self::KIND, why: plain(&why) };
        if bytes.len() as u64 > LONGEST {
            return Err(wrong(format!("it is longer than {LONGEST} bytes")));
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if head.marque != Self::KIND {
            let other = match head.marque.as_str() {
                REQUEST => "it is a request, to be signed with the owner's key",
                SIGNED => "it is signed already, to be handed to marque submit",
                _ => "it says that it is something else",
            };
            return Err(wrong(other.to_owned()));
        }
        if head.v > VERSION {
            return Err(RequestError::Newer(head.v));
        }
        serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))
    }

    /// Writes it to a new file that only this user can read, whole or not at all; `-` is standard
    /// output.
    ///
    /// # Errors
    /// [`RequestError::Exists`], [`RequestError::File`].
    fn write(&self, path: &Path) -> Result<(), RequestError> {
        let fail = |source| RequestError::File { path: path.to_owned(), source };
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| fail(error.into()))?;
        text.push(b'\n');
        if path == Path::new("-") {
            return io::stdout().lock().write_all(&text).map_err(fail);
        }
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let mut draft =
            tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(fail)?;
        draft.write_all(&text).and_then(|()| draft.as_file().sync_all()).map_err(fail)?;
        match draft.persist_noclobber(path) {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(RequestError::Exists(path.to_owned()))
            }
            Err(error) => Err(fail(error.error)),
        }
    }
}

impl Travels for Request {
    const KIND: &'static str = REQUEST;
}

impl Travels for Signed {
    const KIND: &'static str = SIGNED;
}

/// An agent's part, and a line where its draft cannot be told.
fn agent(
    home: &Home,
    keys: &KeyDir,
    state: &State,
    entries: &[Entry],
    name: &str,
    now: Timestamp,
) -> Result<(AgentPart, Option<String>), String> {
    let account = state.agent(name);
    let key = match account {
        Some(account) => account.key,
        None => keys.address(name).map_err(|error| error.to_string())?,
    };
    let in_force = account.and_then(|account| account.policy.as_ref());
    let policy = in_force.and_then(|policy| {
        let at = usize::try_from(policy.entry).ok()?;
        adoption(name, entries.get(at)?)
    });
    let (draft, note) = match PolicyFiles::of(home, name).read() {
        Ok(draft) if in_force.is_some_and(|policy| policy.hash == draft.policy.hash) => {
            (None, None)
        }
        Ok(draft) => (Some(draft.document), None),
        Err(error) => (None, Some(format!("the draft of {name} is left out: {error}"))),
    };
    let held = held(state, name, now);
    let enrolled = account.is_some();
    Ok((AgentPart { name: name.to_owned(), key, enrolled, policy, draft, held }, note))
}

/// What waits for the owner by a journal, oldest first.
#[must_use]
pub fn held(state: &State, agent: &str, now: Timestamp) -> Vec<Held> {
    let held = state.intents().values().filter(|it| it.agent == agent && it.is_held(now));
    let held = held.map(|record| Held {
        id: record.decided.id,
        task: record.decided.task.clone(),
        intent: record.decided.intent.clone(),
        body: record.decided.body,
        at: record.at,
        closes: record.closes,
        why: record.decided.table.iter().filter(|row| row.mark != Mark::Pass).cloned().collect(),
    });
    let mut held: Vec<Held> = held.collect();
    held.sort_by_key(|held| held.at);
    held
}

fn adoption(name: &str, entry: &Entry) -> Option<SignedStatement> {
    let Body::Adopt { version, hash, document, signature } = entry.body.clone() else {
        return None;
    };
    let statement = Statement::Adopt { agent: name.to_owned(), version, policy: hash };
    Some(SignedStatement { statement, signature, document: Some(document), countersignature: None })
}

fn rotation(entry: &Entry) -> Option<SignedStatement> {
    let Body::Rotate { owner, since, signature, countersignature } = entry.body.clone() else {
        return None;
    };
    let statement = Statement::Rotate { owner, since };
    let countersignature = Some(countersignature);
    Some(SignedStatement { statement, signature, document: None, countersignature })
}

fn genesis(begun: &Genesis) -> SignedStatement {
    let Genesis { owner, chain_genesis, log_key, signature, .. } = begun.clone();
    let statement = Statement::Genesis { owner, chain_genesis, log_key };
    SignedStatement { statement, signature, document: None, countersignature: None }
}

/// Why a steward is frozen, and what a thaw would accept.
#[must_use]
pub fn freeze(state: &State) -> Option<Freeze> {
    let frozen = state.frozen()?;
    let nonces = frozen.nonces.iter().map(|(agent, nonce)| accepts_nonce(agent, *nonce));
    let foreign =
        frozen.authorisations.iter().map(|(agent, all)| accepts_foreign(agent, all.len() as u64));
    Some(Freeze {
        entry: frozen.seq,
        by: frozen.by.clone(),
        reason: frozen.reason.clone(),
        accepts: nonces.chain(foreign).collect(),
    })
}

/// That a thaw accepts an account nonce.
#[must_use]
pub fn accepts_nonce(agent: &str, nonce: u64) -> String {
    format!("{agent}: the chain counts {nonce} transactions of its key, more than this journal")
}

/// That a thaw accepts authorisations.
#[must_use]
pub fn accepts_foreign(agent: &str, count: u64) -> String {
    format!("{agent}: {count} settled authorisations of its key that this journal does not have")
}

/// Whose signature it is, if it is one for the journal of `origin`.
#[must_use]
pub fn signer(signed: &SignedStatement, chain: u64, origin: B256) -> Option<Address> {
    recovered(&signed.signature, signed.statement.digest(chain, origin))
}

/// Who has taken over by it, if it is a rotation that somebody has.
#[must_use]
pub fn countersigner(signed: &SignedStatement, chain: u64, origin: B256) -> Option<Address> {
    recovered(signed.countersignature.as_ref()?, signed.statement.digest(chain, origin))
}

fn recovered(signature: &str, digest: B256) -> Option<Address> {
    let bytes = hex::decode(signature).ok()?;
    marque_contracts::recover(digest, &bytes).ok()
}

/// Somebody else's words in a message of ours: one line that does nothing to a terminal.
fn plain(text: &str) -> String {
    let harmless = |c: char| "\"'\\".contains(c) || c.escape_debug().len() == 1;
    let mut plain = String::new();
    for c in text.chars().take(300) {
        if harmless(c) { plain.push(c) } else { plain.extend(c.escape_debug()) }
    }
    plain
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    (1..=32).contains(&name.len()) && name.chars().all(plain)
}
