//! The journal's promises, each broken on purpose: torn, flipped, dropped, swapped, rewritten.

mod links;
mod rotation;

use super::audit::Leaves;
use super::*;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use secrecy::SecretBox;
use sha2_11::Sha256;
use std::collections::BTreeMap;
use std::fs;
use tempfile::TempDir;

const ORIGIN: Origin = Origin(B256::repeat_byte(0x11));

fn signer() -> LogSigner {
    LogSigner::from_secret(&SecretBox::new(Box::new([7; 32])))
}

fn key() -> LogKey {
    signer().key(ORIGIN).unwrap()
}

fn entry(n: usize) -> Vec<u8> {
    format!(r#"{{"entry":{n},"pad":"{}"}}"#, "x".repeat(n % 50)).into_bytes()
}

fn entries(n: usize) -> Vec<Vec<u8>> {
    (0..n).map(entry).collect()
}

fn tree(entries: &[Vec<u8>]) -> Tree {
    let mut tree = Tree::default();
    entries.iter().for_each(|entry| tree.push(entry));
    tree
}

/// The entries from `first` on as one group, sealed by whoever has `signer`.
fn sealed_by(signer: &LogSigner, all: &[Vec<u8>], first: usize) -> Vec<u8> {
    let mut group = record::frame(&all[first..]).unwrap();
    if first < all.len() {
        let tree = tree(all);
        let (_, seal) = Checkpoint::sign(ORIGIN, signer, tree.size(), tree.root()).unwrap();
        group.extend(record::frame_seal(&seal));
    }
    group
}

fn sealed(all: &[Vec<u8>], first: usize) -> Vec<u8> {
    sealed_by(&signer(), all, first)
}

/// A closed journal in a folder of its own.
struct Written(TempDir);

impl Written {
    fn with(entries: &[Vec<u8>]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(dir.path(), ORIGIN, signer()).unwrap();
        journal.append(entries).unwrap();
        Self(dir)
    }

    /// The same files, without tiles and without waiting for the disk.
    fn quickly(entries: &[Vec<u8>]) -> Self {
        let written = Self(tempfile::tempdir().unwrap());
        fs::create_dir(written.dir().join("entries")).unwrap();
        written.set_entries(entries);
        let tree = tree(entries);
        let head = Checkpoint::sign(ORIGIN, &signer(), tree.size(), tree.root());
        head.unwrap().0.write(written.dir()).unwrap();
        written
    }

    fn dir(&self) -> &Path {
        self.0.path()
    }

    fn segment(&self) -> PathBuf {
        self.dir().join("entries/00000000000000000000.seg")
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.segment()).unwrap()
    }

    fn set_bytes(&self, bytes: &[u8]) {
        fs::write(self.segment(), bytes).unwrap();
    }

    fn checkpoint(&self) -> String {
        fs::read_to_string(self.dir().join("checkpoint")).unwrap()
    }

    fn open(&self) -> Result<(Journal, Vec<Vec<u8>>), JournalError> {
        Journal::open(self.dir(), ORIGIN, signer())
    }

    /// Replaces the entries by others, framed and sealed well, under the old checkpoint.
    fn set_entries(&self, entries: &[Vec<u8>]) {
        self.set_bytes(&[record::header(ORIGIN, 0), sealed(entries, 0)].concat());
    }

    /// What every reader of a tampered journal has to say.
    fn assert_tampered(&self, how: &str) {
        verify(self.dir(), &key()).expect_err(how);
        let before = self.bytes();
        self.open().expect_err(how);
        assert_eq!(self.bytes(), before, "{how}: open changed the evidence");
    }
}

#[test]
fn what_was_appended_is_read_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), ORIGIN, signer()).unwrap();
    assert_eq!(journal.append(&entries(3)).unwrap(), 0);
    assert_eq!(journal.append(&[]).unwrap(), 3);
    assert_eq!(journal.append(&[entry(3)]).unwrap(), 3);
    let root = journal.root();
    drop(journal);
    for _ in 0..2 {
        let (journal, found) = Journal::open(dir.path(), ORIGIN, signer()).unwrap();
        assert_eq!(found, entries(4));
        assert_eq!((journal.size(), journal.root()), (4, root));
        assert_eq!(journal.recovery(), Recovery::default());
    }
    assert_eq!(read(dir.path()).unwrap(), entries(4));
    let verified = verify(dir.path(), &key()).unwrap();
    assert_eq!((verified.size, verified.checkpoint_size, verified.root), (4, 4, root));
    assert_eq!((verified.torn, verified.entries), (0, entries(4)));
}

#[test]
fn a_group_of_entries_waits_for_the_disk_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), ORIGIN, signer()).unwrap();
    journal.append(&entries(100)).unwrap();
    assert_eq!(journal.syncs(), 1);
    journal.append(&entries(1)).unwrap();
    assert_eq!(journal.syncs(), 2);
}

#[test]
fn a_journal_has_one_writer_and_any_number_of_readers() {
    let written = Written::with(&entries(2));
    let (mut journal, _) = written.open().unwrap();
    assert!(matches!(written.open(), Err(JournalError::Locked(_))));
    journal.append(&[entry(2)]).unwrap();
    assert_eq!(verify(written.dir(), &key()).unwrap().size, 3);
    drop(journal);
    written.open().unwrap();
    let again = Journal::create(written.dir(), ORIGIN, signer());
    assert!(matches!(again, Err(JournalError::Exists(_))));
}

#[test]
fn an_entry_of_wrong_size_is_refused_and_nothing_is_written() {
    let written = Written::with(&entries(2));
    let (mut journal, _) = written.open().unwrap();
    for wrong in [vec![], vec![b'x'; MAX_ENTRY + 1]] {
        let error = journal.append(&[entry(2), wrong]).unwrap_err();
        assert!(matches!(error, JournalError::EntrySize { index: 1, .. }), "{error}");
    }
    journal.append(&[vec![b'x'; MAX_ENTRY]]).unwrap();
    assert_eq!(read(written.dir()).unwrap().len(), 3);
}

#[test]
fn a_writer_whose_disk_failed_refuses_to_go_on() {
    let written = Written::with(&entries(2));
    let (mut journal, _) = written.open().unwrap();
    journal.writer.break_disk();
    assert!(matches!(journal.append(&[entry(2)]), Err(JournalError::Io { .. })));
    assert!(matches!(journal.append(&[entry(2)]), Err(JournalError::Failed)));
    assert_eq!(journal.size(), 2);
}

#[test]
fn an_append_stands_when_its_checkpoint_cannot_be_written() {
    let written = Written::with(&entries(2));
    let (mut journal, _) = written.open().unwrap();
    let checkpoint = written.dir().join("checkpoint");
    // A folder in the file's place: renaming onto it fails, for root as well.
    fs::remove_file(&checkpoint).unwrap();
    fs::create_dir(&checkpoint).unwrap();
    journal.append(&[entry(2)]).unwrap();
    assert!(journal.publish().is_err());
    fs::remove_dir(&checkpoint).unwrap();
    journal.append(&[entry(3)]).unwrap();
    assert_eq!(verify(written.dir(), &key()).unwrap().checkpoint_size, 4);
}

#[test]
fn entries_beyond_the_checkpoint_are_signed_on_open() {
    let written = Written::with(&entries(5));
    let old = written.checkpoint();
    let (mut journal, _) = written.open().unwrap();
    journal.append(&[entry(5), entry(6)]).unwrap();
    drop(journal);
    // As after a kill between the sync and the checkpoint.
    fs::write(written.dir().join("checkpoint"), old).unwrap();
    let verified = verify(written.dir(), &key()).unwrap();
    assert_eq!((verified.checkpoint_size, verified.size), (5, 7));
    let (journal, found) = written.open().unwrap();
    assert_eq!(found, entries(7));
    assert_eq!(journal.recovery().unsigned, 2);
    assert_eq!(verify(written.dir(), &key()).unwrap().checkpoint_size, 7);
}

#[test]
fn a_torn_last_record_is_cut_off_wherever_it_tore() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), ORIGIN, signer()).unwrap();
    journal.append(&entries(3)).unwrap();
    let written = Written(dir);
    let (whole, signed) = (written.bytes(), written.checkpoint());
    journal.append(&[entry(3)]).unwrap();
    drop(journal);
    let longer = written.bytes();
    for end in whole.len()..longer.len() {
        // Cut short, and, as a power cut may leave it, padded with zeros to its full length.
        let mut zeros = longer[..end].to_vec();
        zeros.resize(longer.len(), 0);
        for (torn, len) in [(longer[..end].to_vec(), end), (zeros, longer.len())] {
            written.set_bytes(&torn);
            fs::write(written.dir().join("checkpoint"), &signed).unwrap();
            let verified = verify(written.dir(), &key()).unwrap();
            assert_eq!(verified.torn, (len - whole.len()) as u64);
            let (mut journal, found) = written.open().unwrap();
            assert_eq!(found, entries(3), "torn at {end}");
            assert_eq!(journal.recovery().cut, (len - whole.len()) as u64);
            assert_eq!(written.bytes(), whole);
            journal.append(&[entry(3)]).unwrap();
            assert_eq!(written.bytes(), longer);
        }
    }
}

#[test]
fn a_cut_below_the_checkpoint_is_an_error_and_changes_nothing() {
    let written = Written::with(&entries(4));
    let whole = written.bytes();
    for end in 0..whole.len() {
        written.set_bytes(&whole[..end]);
        written.assert_tampered(&format!("cut at {end}"));
    }
}

#[test]
fn a_missing_or_empty_checkpoint_is_signed_anew_and_said() {
    for empty in [false, true] {
        let written = Written::with(&entries(4));
        fs::remove_file(written.dir().join("checkpoint")).unwrap();
        if empty {
            fs::write(written.dir().join("checkpoint"), "").unwrap();
        }
        assert!(matches!(verify(written.dir(), &key()), Err(JournalError::Checkpoint { .. })));
        let (journal, _) = written.open().unwrap();
        let expected = Recovery { cut: 0, unsigned: 4, checkpoint_missing: true };
        assert_eq!(journal.recovery(), expected);
        verify(written.dir(), &key()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_bit_flipped_anywhere_in_the_entries_is_found(at: prop::sample::Index, bit in 0..8_u32) {
        let written = Written::quickly(&entries(20));
        let mut bytes = written.bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        written.set_bytes(&bytes);
        written.assert_tampered(&format!("bit {bit} of byte {at}"));
    }

    #[test]
    fn a_bit_flipped_anywhere_in_the_checkpoint_is_found(
        at: prop::sample::Index, bit in 0..8_u32,
    ) {
        let written = Written::quickly(&entries(3));
        let mut bytes = written.checkpoint().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        fs::write(written.dir().join("checkpoint"), bytes).unwrap();
        written.assert_tampered(&format!("bit {bit} of byte {at}"));
    }

    #[test]
    fn an_edited_dropped_swapped_or_added_entry_is_found(
        size in 2..30_usize, at: prop::sample::Index, other: prop::sample::Index,
    ) {
        let written = Written::quickly(&entries(size));
        let (at, other) = (at.index(size), other.index(size));
        let edit = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut forged = entries(size);
            change(&mut forged);
            forged
        };
        let forgeries = [
            edit(&|entries| entries[at].push(b' ')),
            edit(&|entries| { entries.remove(at); }),
            edit(&|entries| entries.insert(at, b"{}".to_vec())),
            edit(&|entries| entries.swap(at, other)),
            edit(&|entries| entries.truncate(at)),
        ];
        for (how, forged) in forgeries.into_iter().enumerate() {
            if forged != entries(size) {
                written.set_entries(&forged);
                written.assert_tampered(&format!("forgery {how} of {at}, {other} in {size}"));
            }
        }
        written.set_entries(&entries(size));
        verify(written.dir(), &key()).unwrap();
    }
}

#[test]
fn damage_with_whole_entries_behind_it_is_an_error_even_where_nothing_is_signed() {
    let written = Written::with(&entries(4));
    let mut bytes = written.bytes();
    bytes[70] ^= 1;
    written.set_bytes(&bytes);
    fs::remove_file(written.dir().join("checkpoint")).unwrap();
    let error = written.open().unwrap_err();
    assert!(matches!(error, JournalError::Damaged { seq: 0, offset: 56, .. }), "{error}");
}

#[test]
fn history_rewritten_under_the_same_key_is_found_by_an_older_checkpoint() {
    let written = Written::with(&entries(6));
    let old = written.checkpoint();
    let (mut journal, _) = written.open().unwrap();
    journal.append(&[entry(6)]).unwrap();
    drop(journal);
    consistent(&old, written.dir(), &key()).unwrap();

    let mut forged = entries(9);
    forged[2] = entry(99);
    let rewritten = Written::with(&forged);
    verify(rewritten.dir(), &key()).unwrap();
    let error = consistent(&old, rewritten.dir(), &key()).unwrap_err();
    assert!(matches!(error, JournalError::Rewritten { size: 6 }), "{error}");

    let rolled_back = Written::with(&entries(5));
    let error = consistent(&old, rolled_back.dir(), &key()).unwrap_err();
    assert!(matches!(error, JournalError::Truncated { have: 5, signed: 6 }), "{error}");
}

#[test]
fn another_key_or_another_journal_is_refused() {
    let written = Written::with(&entries(2));
    let stranger = LogSigner::generate().unwrap();
    let strange_key = stranger.key(ORIGIN).unwrap();
    let error = verify(written.dir(), &strange_key).unwrap_err();
    assert!(matches!(error, JournalError::Checkpoint { .. }), "{error}");
    assert!(Journal::open(written.dir(), ORIGIN, stranger).is_err());

    let other = Origin::random().unwrap();
    assert!(verify(written.dir(), &signer().key(other).unwrap()).is_err());
    fs::remove_file(written.dir().join("checkpoint")).unwrap();
    let error = Journal::open(written.dir(), other, signer()).unwrap_err();
    assert!(matches!(error, JournalError::Origin { .. }), "{error}");
}

#[test]
fn files_written_quickly_are_the_files_of_a_journal() {
    let (written, quickly) = (Written::with(&entries(9)), Written::quickly(&entries(9)));
    assert_eq!(written.bytes(), quickly.bytes());
    assert_eq!(written.checkpoint(), quickly.checkpoint());
}

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let written = Written::with(&entries(2));
    let mut bytes = written.bytes();
    bytes[11] = 3;
    written.set_bytes(&bytes);
    let error = written.open().unwrap_err();
    assert!(matches!(error, JournalError::Version { found: 3, known: 2, .. }), "{error}");
    let strange = Written::with(&entries(2));
    fs::write(strange.dir().join("entries/9.seg"), "").unwrap();
    assert!(matches!(strange.open(), Err(JournalError::Header { .. })));
}

#[test]
fn entries_that_somebody_else_appended_are_refused() {
    let written = Written::with(&entries(3));
    let (bytes, all) = (written.bytes(), entries(5));
    let stranger = LogSigner::generate().unwrap();
    let old = bytes[bytes.len() - 72..].to_vec();
    let forgeries = [
        ("another key's seal", sealed_by(&stranger, &all, 3)),
        ("the seal before", [record::frame(&all[3..]).unwrap(), old].concat()),
        ("a seal of fewer", [sealed(&all[..4], 3), sealed_by(&stranger, &all, 4)].concat()),
    ];
    for (how, group) in forgeries {
        written.set_bytes(&[bytes.clone(), group].concat());
        written.assert_tampered(how);
        let error = written.open().unwrap_err();
        assert!(matches!(error, JournalError::Unsealed { size: 5 }), "{how}: {error}");
        let checkpoint = written.checkpoint();
        // Neither does it help to take the checkpoint away and write everything anew.
        fs::remove_file(written.dir().join("checkpoint")).unwrap();
        assert!(matches!(written.open(), Err(JournalError::Unsealed { .. })), "{how}");
        fs::write(written.dir().join("checkpoint"), checkpoint).unwrap();
    }
    // Without a seal it is an append that was not finished, and none of it counts.
    written.set_bytes(&[bytes.clone(), record::frame(&all[3..]).unwrap()].concat());
    assert_eq!(verify(written.dir(), &key()).unwrap().size, 3);
    let (journal, found) = written.open().unwrap();
    assert_eq!((found, journal.recovery().unsigned), (entries(3), 0));
    assert!(journal.recovery().cut > 0);
    assert_eq!(written.bytes(), bytes);
}

#[test]
fn a_journal_of_the_format_before_is_read_and_goes_on_in_this_one() {
    let written = Written::quickly(&entries(3));
    let older = |entries: &[Vec<u8>]| {
        [record::header_of(1, ORIGIN, 0), record::frame(entries).unwrap()].concat()
    };
    // What it had not signed yet nobody can tell from what somebody else wrote.
    written.set_bytes(&older(&entries(4)));
    assert!(matches!(written.open(), Err(JournalError::Unsealed { size: 4 })));
    assert_eq!(verify(written.dir(), &key()).unwrap().checkpoint_size, 3);
    written.set_bytes(&older(&entries(3)));
    let (mut journal, found) = written.open().unwrap();
    assert_eq!(found, entries(3));
    journal.append(&[entry(3)]).unwrap();
    drop(journal);
    assert_eq!(written.bytes(), older(&entries(3)));
    assert_eq!(written.open().unwrap().1, entries(4));
    let verified = verify(written.dir(), &key()).unwrap();
    assert_eq!((verified.size, verified.checkpoint_size), (4, 4));
    // One with nothing in it is of this format from then on.
    let empty = Written::quickly(&[]);
    empty.set_bytes(&record::header_of(1, ORIGIN, 0));
    empty.open().unwrap().0.append(&[entry(0)]).unwrap();
    assert_eq!(empty.open().unwrap().1, entries(1));
    assert_eq!(fs::read_dir(empty.dir().join("entries")).unwrap().count(), 1);
}

#[test]
fn keys_and_origins_have_one_text_each() {
    let key = key();
    let text = key.to_string();
    assert!(text.starts_with(&format!("marque/{}+", "11".repeat(32))), "{text}");
    let parsed: LogKey = text.parse().unwrap();
    assert_eq!((parsed.to_string(), parsed.origin()), (text.clone(), ORIGIN));
    let genesis = LogKey::new(ORIGIN, signer().public_key()).unwrap();
    assert_eq!(genesis.to_string(), text);
    assert_eq!(signer().secret().expose(), [7; 32]);

    for wrong in ["", "marque/11", &text.replace("marque", "cutter"), &text.replace('1', "2")] {
        assert!(wrong.parse::<LogKey>().is_err(), "{wrong}");
    }
    let upper = format!("marque/{}", "AB".repeat(32));
    assert!(upper.parse::<Origin>().is_err());
    // The neutral point: anybody can sign under it.
    let mut weak = B256::ZERO;
    weak[0] = 1;
    assert!(LogKey::new(ORIGIN, weak).is_err());
}

trait Expose {
    fn expose(&self) -> [u8; 32];
}

impl Expose for SecretBox<[u8; 32]> {
    fn expose(&self) -> [u8; 32] {
        *secrecy::ExposeSecret::expose_secret(self)
    }
}

#[test]
fn a_secret_log_key_shows_nothing_but_its_public_half() {
    let shown = format!("{:?}", LogSigner::from_secret(&SecretBox::new(Box::new([0xC3; 32]))));
    assert!(!shown.to_lowercase().contains("c3c3") && !shown.contains("195, 195"), "{shown}");
}

/// One random tree, by both implementations: root, inclusion and what is signed of it.
fn both_agree(size: usize, salt: u64) {
    let entry = |n: usize| format!("{salt}/{n}").into_bytes();
    let (mut ours, mut nodes) = (Tree::default(), Leaves::default());
    let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for n in 0..size {
        ours.push(&entry(n));
        nodes.push(&entry(n));
        theirs.push(entry(n));
    }
    assert_eq!(ours.root().as_slice(), theirs.root().as_bytes().as_slice(), "{size} entries");
    for seq in (0..size).step_by(1 + size / 4) {
        let proof = tlog_tiles::prove_record(size as u64, seq as u64, &nodes).unwrap();
        let proof: Vec<u8> = proof.into_iter().flat_map(|hash| hash.0).collect();
        assert_eq!(proof, theirs.prove_inclusion(seq).as_bytes(), "entry {seq} of {size}");
    }
}

#[test]
fn a_second_implementation_agrees_on_every_root_and_proof() {
    (0..300).for_each(|size| both_agree(size, 0));
}

/// `MARQUE_TREES=10000` runs it at size; `MARQUE_SEED` repeats it.
#[test]
fn a_second_implementation_agrees_on_trees_of_any_size() {
    let trees = number("MARQUE_TREES", 100);
    let mut random = Random::new("trees");
    for _ in 0..trees {
        let most = [10, 600, 3_000][random.below(3)];
        let size = random.below(most);
        both_agree(size, random.next());
    }
    println!("{trees} trees, the same roots and proofs");
}

#[test]
fn a_proof_convinces_without_the_journal_and_only_of_its_entry() {
    let written = Written::with(&entries(300));
    for seq in [0, 1, 255, 256, 299] {
        let text = inclusion_proof(written.dir(), seq, &key()).unwrap().to_string();
        let proof: InclusionProof = text.parse().unwrap();
        assert_eq!(proof.to_string(), text);
        let seq = usize::try_from(seq).unwrap();
        assert_eq!(proof.check(&entry(seq), &key()).unwrap().size(), 300);
        assert!(proof.check(&entry(seq + 1), &key()).is_err());
        let mut other = proof.clone();
        other.seq = (other.seq + 1) % 300;
        assert!(other.check(&entry(seq), &key()).is_err());
        let mut other = proof.clone();
        other.hashes[0][0] ^= 1;
        assert!(other.check(&entry(seq), &key()).is_err());
    }
    let none = inclusion_proof(written.dir(), 300, &key());
    assert!(matches!(none, Err(JournalError::NoEntry { seq: 300, size: 300 })));
}

/// All files under `tile/`, by path.
fn tiles(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fn collect(dir: &Path, name: &str, into: &mut BTreeMap<String, Vec<u8>>) {
        for file in fs::read_dir(dir).unwrap() {
            let file = file.unwrap();
            let name = format!("{name}/{}", file.file_name().to_str().unwrap());
            if file.path().is_dir() {
                collect(&file.path(), &name, into);
            } else {
                into.insert(name, fs::read(file.path()).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(&dir.join("tile"), "tile", &mut found);
    found
}

#[test]
fn tiles_lie_where_c2sp_wants_them_and_come_back_when_they_are_lost() {
    let written = Written::with(&entries(250));
    let (mut journal, _) = written.open().unwrap();
    for n in 250..515 {
        journal.append(&[entry(n)]).unwrap();
    }
    drop(journal);
    let there = tiles(written.dir());
    let names: Vec<_> = there.iter().map(|(name, bytes)| (name.as_str(), bytes.len())).collect();
    assert_eq!(
        names,
        [
            ("tile/0/000", 8192),
            ("tile/0/001", 8192),
            ("tile/0/002.p/1", 32),
            ("tile/0/002.p/2", 64),
            ("tile/0/002.p/3", 96),
            ("tile/1/000.p/1", 32),
            ("tile/1/000.p/2", 64),
        ]
    );
    let leaf = tlog_tiles::record_hash(&entry(514)).0;
    assert_eq!(there["tile/0/002.p/3"][64..], leaf);

    fs::remove_dir_all(written.dir().join("tile/0")).unwrap();
    fs::write(written.dir().join("tile/1/000.p/2"), "spoilt").unwrap();
    written.open().unwrap();
    let again = tiles(written.dir());
    for name in ["tile/0/000", "tile/0/001", "tile/0/002.p/3", "tile/1/000.p/2"] {
        assert_eq!(again[name], there[name], "{name}");
    }
}

/// A number from the environment, for tests at full size.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

/// xorshift64*, from `MARQUE_SEED` or the clock; says its seed.
struct Random(u64);

impl Random {
    fn new(what: &str) -> Self {
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = number("MARQUE_SEED", u64::try_from(clock.as_nanos() % (1 << 60)).unwrap());
        println!("{what}: MARQUE_SEED={seed}");
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % end
    }
}

/// Whoever has the log key edits, drops, swaps, adds, cuts or forks, signs a new checkpoint, and is
/// found by the older one that the owner kept. `MARQUE_TAMPERS=10000` runs it at size.
#[test]
fn no_tampering_passes_a_checkpoint_that_the_owner_kept() {
    let tampers = number("MARQUE_TAMPERS", 200);
    let mut random = Random::new("tampers");
    let (mut found, mut kinds) = (0, [0_u64; 6]);
    for _ in 0..tampers {
        let size = 2 + random.below(60);
        let kept = 1 + random.below(size);
        let owner = Checkpoint::sign(ORIGIN, &signer(), kept as u64, tree(&entries(kept)).root());
        let at = random.below(kept);
        let mut forged = entries(size);
        let kind = random.below(6);
        match kind {
            0 => {
                let byte = random.below(forged[at].len());
                forged[at][byte] ^= 1 << random.below(8);
            }
            1 => drop(forged.remove(at)),
            2 => forged.insert(at, entry(random.below(100) + 1_000)),
            3 => {
                let other = random.below(size);
                forged.swap(at, other);
            }
            4 => forged.truncate(random.below(kept)),
            // A fork: the same start, then another story that grows longer.
            _ => {
                forged.truncate(at);
                forged.extend((0..size + random.below(60)).map(|n| entry(5_000 + n)));
            }
        }
        let tampered = forged.get(..kept) != Some(&entries(kept)[..]);
        let written = Written::quickly(&forged);
        verify(written.dir(), &key()).unwrap();
        let verdict = consistent(owner.unwrap().0.text(), written.dir(), &key());
        assert_eq!(verdict.is_err(), tampered, "kind {kind} at {at}, {kept} of {size} kept");
        found += u64::from(tampered);
        kinds[kind] += u64::from(tampered);
    }
    println!(
        "{tampers} tamperings, {found} of them in what was kept, all found: edits, drops, additions, \
         swaps, cuts, forks {kinds:?}"
    );
    assert!(kinds.iter().all(|kind| *kind > 0));
}
