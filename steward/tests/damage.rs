//! Ten thousand bits flipped and files cut, in the journal and in its index: refused, made again
//! from the entries, or harmless. Never a wrong balance.
//!
//! `MARQUE_DAMAGES=10000` runs it at size, `MARQUE_SEED=N` repeats a run.

#![cfg(test)]

mod support;

use marque_policies::AssetId;
use marque_steward::{
    Entry, State,
    journal::{self, Journal, LogSigner, Origin},
    measure,
};
use secrecy::SecretBox;
use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};
use support::{Bench, CHAIN, ORIGIN, START, TOKEN, fetch, pay, proposal, transfer};

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

fn signer() -> LogSigner {
    LogSigner::from_secret(&SecretBox::new(Box::new([7; 32])))
}

fn open(dir: &Path) -> Result<measure::Ready, marque_steward::StewardError> {
    measure::open(&dir.join("journal"), &dir.join("index"), Origin(ORIGIN), signer)
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn new() -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let seed = number("MARQUE_SEED", u64::try_from(clock % (1 << 60)).unwrap());
        println!("MARQUE_SEED={seed}");
        Self(seed | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let word = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        usize::try_from(word >> 33).unwrap() % end
    }
}

/// What a while of payments wrote, in a few segments, with an index that is some entries behind.
fn written(dir: &Path) -> Vec<Vec<u8>> {
    let mut bench = Bench::new();
    for n in 0..80_u32 {
        match n % 3 {
            0 => drop(bench.propose(proposal(&format!("a{n}"), 0, pay(100_000)))),
            1 => drop(bench.propose(proposal(&format!("t{n}"), 0, transfer(10_000)))),
            _ => drop(bench.propose(proposal(&format!("f{n}"), 0, fetch()))),
        }
        bench.now += 900_000;
    }
    let entries: Vec<_> = bench.entries.iter().map(|entry| entry.encode().unwrap()).collect();
    let (before, after) = entries.split_at(entries.len() - 20);
    let mut journal = Journal::create(&dir.join("journal"), Origin(ORIGIN), signer()).unwrap();
    journal.rotate_at(20_000);
    for group in before.chunks(3) {
        journal.append(group).unwrap();
    }
    drop(journal);
    let ready = open(dir).unwrap();
    assert!(!ready.quick);
    // What comes after the mark was numbered before it; it moves by one.
    let next = ready.state.next();
    let mut journal = ready.journal;
    journal.rotate_at(20_000);
    for (seq, bytes) in (next..).zip(after) {
        let mut entry = Entry::decode(bytes).unwrap();
        entry.seq = seq;
        journal.append(&[entry.encode().unwrap()]).unwrap();
    }
    drop(journal);
    let ready = open(dir).unwrap();
    assert!(ready.quick);
    drop(ready);
    journal::read(&dir.join("journal")).unwrap()
}

fn fold(entries: &[Vec<u8>]) -> State {
    let entries: Vec<_> = entries.iter().map(|bytes| Entry::decode(bytes).unwrap()).collect();
    State::fold(&entries).unwrap()
}

fn balance(state: &State) -> Vec<alloy_primitives::U256> {
    let asset = AssetId { chain: CHAIN, token: TOKEN };
    let scopes = [marque_policies::Scope::Owner, marque_policies::Scope::Task("a3")];
    let since = [0, START, START + 40_000_000];
    let each = |scope: &_| since.map(|since| state.debits().spent("scout", scope, asset, since));
    scopes.iter().flat_map(each).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in fs::read_dir(dir).unwrap().map(|file| file.unwrap()) {
        if file.path().is_dir() {
            found.extend(files(&file.path()));
        } else if file.metadata().unwrap().len() > 0 && file.file_name() != "reserve" {
            found.push(file.path());
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(|file| file.unwrap()) {
        let to = to.join(file.file_name());
        if file.path().is_dir() { copy(&file.path(), &to) } else { drop(fs::copy(file.path(), to)) }
    }
}

#[test]
fn damage_is_refused_mended_or_harmless_and_never_a_wrong_balance() {
    let damages = number("MARQUE_DAMAGES", 60);
    let mut random = Random::new();
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    fs::create_dir(&whole).unwrap();
    let entries = written(&whole);
    let expected = balance(&fold(&entries));
    let (mut refused, mut beside, mut mended, mut harmless) = (0, 0, 0, 0);
    for n in 0..damages {
        let torn = dir.path().join("torn");
        copy(&whole, &torn);
        let files = files(&torn.join(["journal", "index"][random.below(2)]));
        let file = &files[random.below(files.len())];
        let mut bytes = fs::read(file).unwrap();
        let mut at = random.below(bytes.len());
        // Long runs of zeros in the index are room that nothing was written to.
        while bytes[at] == 0 && random.below(16) > 0 {
            at = random.below(bytes.len());
        }
        let cut = random.below(4) == 0;
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << random.below(8);
        }
        fs::write(file, &bytes).unwrap();
        let what =
            format!("{n}: {} at {at}, cut {cut}", file.strip_prefix(&torn).unwrap().display());
        match open(&torn) {
            Err(_) => refused += 1,
            Ok(ready) => {
                let Ok(now) = journal::read(&torn.join("journal")) else {
                    // A segment that a quick start does not read: found beside the work, which
                    // freezes; and nothing that it held counts.
                    assert!(ready.quick, "{what}");
                    assert_eq!(ready.state.hash(), fold(&entries).hash(), "{what}");
                    let key = signer().key(Origin(ORIGIN)).unwrap();
                    journal::verify_and_mend(&torn.join("journal"), &key).unwrap_err();
                    beside += 1;
                    fs::remove_dir_all(&torn).unwrap();
                    continue;
                };
                assert_eq!(now[..entries.len()], entries[..], "{what}: other entries");
                assert_eq!(ready.state.hash(), fold(&now).hash(), "{what}: another state");
                assert_eq!(balance(&ready.state), expected, "{what}: another balance");
                if ready.quick { harmless += 1 } else { mended += 1 }
            }
        }
        fs::remove_dir_all(&torn).unwrap();
    }
    println!(
        "{damages} damages: {refused} refused, {beside} refused beside the work, {mended} made \
         again, {harmless} harmless"
    );
    assert!(refused + beside > 0 && mended > 0 && harmless > 0);
}

/// Who can write files and has no key edits the index: what it holds is not what the journal
/// attests.
#[test]
fn an_index_that_was_edited_with_its_checksums_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let entries = written(dir.path());
    let expected = fold(&entries).hash();
    let index = dir.path().join("index");
    let store = marque_store::open(&index, marque_store::Backend::Sled).unwrap();
    let (key, _) = store.scan(b"debits/").unwrap().swap_remove(0);
    store.put_batch(&[(key, None)]).unwrap();
    store.flush().unwrap();
    drop(store);
    let ready = open(dir.path()).unwrap();
    assert!(!ready.quick);
    assert!(dir.path().join("index.doubtful-0").exists());
    let now = journal::read(&dir.path().join("journal")).unwrap();
    assert_eq!(fold(&now[..entries.len()]).hash(), expected);
    assert_eq!(ready.state.hash(), fold(&now).hash());
}
