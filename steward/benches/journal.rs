//! A journal of a million entries: opened with its index, the index made again, entries proven.
//!
//! The entries are what purchases leave behind: for each a tool use with its table, three notes, an
//! authorisation with its table, a report, and the chain's two answers. `MARQUE_ENTRIES=N` for
//! another size; `MARQUE_KEEP=DIR` keeps the journal there and uses it again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark fails like a test"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use alloy_primitives::keccak256;
use marque_policies::{Intent, IntentId, Timestamp};
use marque_steward::{
    Body, Entry, State, Word,
    core::{Effect, Event, step},
    entry::{Allowed, OnChain, VERSION},
    journal::{Journal, LogSigner, Origin, Prover},
    measure,
};
use marque_steward_client::Said;
use secrecy::SecretBox;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use support::{Bench, ORIGIN, START, fetch, pay, proposal};

fn main() {
    let entries = std::env::var("MARQUE_ENTRIES").map_or(1_000_000, |n| n.parse().unwrap());
    let temporary = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("MARQUE_KEEP").map(PathBuf::from);
    let dir = kept.as_deref().unwrap_or_else(|| temporary.path());
    let (journal, index) = (dir.join("journal"), dir.join("index"));
    if !journal.exists() {
        let clock = Clock::start();
        write(&journal, entries);
        let bytes = size_of(&journal.join("entries"));
        row("written", clock.read(), &format!("{entries} entries, {} MB", bytes / 1_000_000));
    }
    let clock = Clock::start();
    raw_read(&journal.join("entries"));
    let read = clock.read();
    row("reading its bytes, for comparison", read, "one core, from the page cache");

    drop(std::fs::remove_dir_all(&index));
    let clock = Clock::start();
    let ready = measure::open(&journal, &index, origin(), signer).unwrap();
    let rebuilt = clock.read();
    assert!(!ready.quick);
    row("open and make the index again", rebuilt, "at most 10 s at 1 M entries");
    let (hash, intents) = (ready.state.hash(), ready.state.intents().len());
    let archived = ready.state.archived_intents();
    drop(ready);

    let mut times = Vec::new();
    for _ in 0..5 {
        let clock = Clock::start();
        let ready = measure::open(&journal, &index, origin(), signer).unwrap();
        times.push(clock.read());
        assert!(ready.quick && ready.state.hash() == hash, "the same state");
    }
    times.sort_by_key(|(wall, _)| *wall);
    let line = format!("at most 2 s; {intents} intents and {archived} archived ones");
    row("open with its index", times[2], &line);
    prove(&journal);
}

/// Wall clock and what the process computed: on a busy machine only the second says something.
struct Clock(Instant, f64);

impl Clock {
    fn start() -> Self {
        Self(Instant::now(), cpu())
    }

    fn read(&self) -> (Duration, f64) {
        (self.0.elapsed(), cpu() - self.1)
    }
}

/// Seconds that all threads of this process computed.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2).map(|n| n.parse::<f64>().unwrap());
    ticks.sum::<f64>() / 100.0
}

fn row(what: &str, (wall, cpu): (Duration, f64), beside: &str) {
    println!("{what:<44} {:>9.3} s   {cpu:.2} s computed; {beside}", wall.as_secs_f64());
}

fn origin() -> Origin {
    Origin(ORIGIN)
}

fn signer() -> LogSigner {
    LogSigner::from_secret(&SecretBox::new(Box::new([7; 32])))
}

/// Writes what `entries` entries of shopping are, as the steward would, and attests the state as
/// often.
fn write(dir: &Path, entries: u64) {
    let mut bench = Bench::new();
    let (used, bought) = (decided(&mut bench, fetch(), 0), decided(&mut bench, pay(20_000), 1));
    let bench = Bench::new();
    let mut journal = Journal::create(dir, origin(), signer()).unwrap();
    let mut book = Book { state: State::default(), group: Vec::new(), at: START, marked: 0 };
    for entry in bench.entries {
        book.put(entry.agent, entry.word, entry.body);
    }
    let mut n = 0_u64;
    while book.state.next() < entries {
        book.at += 20_000;
        purchase(&mut book, n, &used, &bought);
        n += 1;
        if book.group.len() >= 512 {
            journal.append(&std::mem::take(&mut book.group)).unwrap();
        }
    }
    journal.append(&book.group).unwrap();
}

/// What is journalled, of one purchase after the other.
struct Book {
    state: State,
    group: Vec<Vec<u8>>,
    at: Timestamp,
    marked: u64,
}

impl Book {
    fn put(&mut self, agent: Option<String>, word: Word, body: Body) {
        let (seq, at) = (self.state.next(), self.at);
        let entry = Entry { v: VERSION, seq, at, agent, word, body };
        self.group.push(entry.encode().unwrap());
        self.state.apply(&entry).unwrap();
        if self.state.next() >= self.marked + 4_096 {
            self.marked = self.state.next();
            let format = marque_steward::state::STATE_FORMAT;
            let state = self.state.seal().unwrap();
            self.put(None, Word::Attested, Body::Checkpointed { format, state });
        }
    }
}

/// A real verdict, to be written with other ids.
fn decided(bench: &mut Bench, intent: Intent, n: u32) -> Allowed {
    let facts = Box::new(bench.facts());
    let proposal = Box::new(proposal(&format!("task-{n}"), 0, intent));
    let event = Event::Propose { agent: "scout".to_owned(), proposal, facts };
    let step = step(&bench.state, event, START);
    assert!(matches!(step.effect, Effect::Sign(_) | Effect::None));
    let (_, _, body) = step.entries.into_iter().next().unwrap();
    let Body::Allowed(allowed) = body else { panic!("{}", body.kind()) };
    *allowed
}

fn purchase(book: &mut Book, n: u64, used: &Allowed, bought: &Allowed) {
    let scout = || Some("scout".to_owned());
    let task = format!("task-{}", n / 4);
    let commitment = keccak256(n.to_be_bytes());
    let at = OnChain { transaction: commitment, block: n, block_hash: commitment };
    let with = |allowed: &Allowed, ordinal: u32| {
        let mut allowed = allowed.clone();
        allowed.decided.task.clone_from(&task);
        allowed.decided.step = u32::try_from(n).unwrap();
        allowed.decided.ordinal = ordinal;
        let id = IntentId::derive(ORIGIN, "scout", &task, allowed.decided.step, ordinal, 0);
        allowed.decided.id = id;
        (id, allowed)
    };
    let note = |step, what: &str| Body::Noted {
        task: task.clone(),
        step,
        what: what.to_owned(),
        commitment,
    };
    let (_, tool) = with(used, 0);
    let (id, mut payment) = with(bought, 1);
    let marque_steward::entry::Order::Authorisation(order) = &mut payment.order else { panic!() };
    order.nonce = id.nonce();
    let actual = payment.debits.clone();
    book.put(scout(), Word::Claimed, note(1, "prompt"));
    book.put(scout(), Word::Claimed, note(1, "call"));
    book.put(scout(), Word::Attested, Body::Allowed(Box::new(tool)));
    book.put(scout(), Word::Attested, Body::Allowed(Box::new(payment)));
    let said = Said::Settled { transaction: commitment, amount: None };
    book.put(scout(), Word::Claimed, Body::Reported { id, said });
    book.put(scout(), Word::Claimed, note(2, "result"));
    book.put(scout(), Word::Attested, Body::Seen { id, at });
    book.put(scout(), Word::Attested, Body::Final { id, actual, time: None });
}

/// Proofs of entries all over the journal: made from tiles, and checked under a checkpoint whose
/// signature was checked once.
fn prove(dir: &Path) {
    let key = signer().key(origin()).unwrap();
    let prover = Prover::new(dir, &key).unwrap();
    let size = prover.checkpoint().size();
    let mut sequence = 1_u64;
    let mut next = || {
        sequence = sequence.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (sequence >> 20) % size
    };
    let seqs: Vec<u64> = (0..200).map(|_| next()).collect();
    let mut chosen = std::collections::BTreeMap::new();
    marque_steward::journal::each(dir, 0, &mut |seq, entry| {
        if seqs.contains(&seq) {
            chosen.insert(seq, entry.to_owned());
        }
    })
    .unwrap();
    let (mut times, mut longest) = (Vec::new(), 0);
    for (seq, entry) in &chosen {
        let start = Instant::now();
        let proof = prover.from_tiles(*seq).unwrap();
        proof.holds(entry, prover.checkpoint()).unwrap();
        times.push(start.elapsed());
        longest = longest.max(proof.hashes.len() * 32);
    }
    times.sort();
    let median = times[times.len() / 2];
    println!(
        "{:<44} {:>8.1} µs   at most 50 µs; p99 {:.1} µs; {longest} bytes of hashes, at most 640",
        "prove and verify one entry, p50",
        median.as_secs_f64() * 1e6,
        times[times.len() * 99 / 100].as_secs_f64() * 1e6,
    );
    let text = prover.prove(size / 2).unwrap().to_string();
    std::io::stdout().flush().unwrap();
    assert!(text.starts_with("c2sp.org/tlog-proof"));
}

fn raw_read(dir: &Path) {
    for file in std::fs::read_dir(dir).unwrap() {
        std::hint::black_box(std::fs::read(file.unwrap().path()).unwrap());
    }
}

fn size_of(dir: &Path) -> u64 {
    std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}
