//! The critical section with its journal and index on a real disk: what is archived is answered as
//! before, a start is quick where it may be, a group costs one sync, and a full disk stops.

use super::*;
use crate::core::{BlockFacts, Facts, GasPlan};
use alloy_primitives::{Address, B256, U256};
use marque_identity_keys::{Key, KeyDir, Zeroizing, sign_statement};
use marque_policies::{
    AssetId, Intent, IntentId, Labels, Money,
    intent::{ToolUse, Transfer},
};
use marque_steward_client::{Note, PaymentState, Proposal};
use std::cell::Cell;

thread_local! {
    /// How far the wall clock of this test's thread is ahead.
    pub(super) static AHEAD: Cell<Timestamp> = const { Cell::new(0) };
}

const HOUR: Timestamp = 3_600_000;

fn unlock() -> SecretString {
    SecretString::from("correct horse")
}

/// A home in which "scout" may use "now" without end.
pub(crate) fn laid_out(dir: &std::path::Path) -> (Home, Authority) {
    let home = Home::create(dir.join("home"), 1).unwrap();
    let keys = KeyDir::create(home.keys()).unwrap();
    let key = keys.create_key("scout", &unlock()).unwrap();
    let log_key = B256::from(keys.create_log_key(&unlock()).unwrap());
    let by = Key::from_bytes(&Zeroizing::new([1; 32])).unwrap();
    let owner = by.address();
    let sign = |statement, document| sign_statement(&by, statement, 1, home.origin(), document);
    let genesis = sign(Statement::Genesis { owner, chain_genesis: B256::ZERO, log_key }, None);
    let mut authority = Authority::begin(&home, unlock(), &genesis).unwrap();
    let text = format!(
        "format = 1\nversion = 1\nowner = \"{owner}\"\n[chain.devnet]\nid = \"eip155:1\"\nrpc = \
         [\"http://127.0.0.1:9\"]\nfinality = 1\nnative = \"ETH\"\n[[tool]]\nname = \"now\"\n"
    );
    let (policy, _) = marque_policies::parse(&text).unwrap();
    let agent = || "scout".to_owned();
    let adopt = Statement::Adopt { agent: agent(), version: 1, policy: policy.hash };
    let acts = [sign(Statement::Enroll { agent: agent(), key }, None), sign(adopt, Some(text))];
    let events = acts.map(|act| Event::Submit(Box::new(act)));
    let done = authority.handle(events.into()).unwrap();
    assert!(done.iter().all(|done| matches!(done.reply, Reply::Noted(Some(_)))), "{done:?}");
    (home, authority)
}

pub(crate) fn event(authority: &Authority, n: u32, name: &str) -> Event {
    let policy = authority.state.agent("scout").unwrap().policy.as_ref().unwrap().hash;
    let intent = Intent::Tool(ToolUse {
        tool: name.to_owned(),
        fetch: None,
        arguments: Default::default(),
        labels: Labels::default(),
    });
    let proposal = Proposal { task: "t".to_owned(), step: n, ordinal: 0, attempt: 0, intent };
    let facts = Box::new(Facts { policy, ..Facts::default() });
    Event::Propose { agent: "scout".to_owned(), proposal: Box::new(proposal), facts }
}

fn propose(authority: &mut Authority, n: u32, name: &str) -> Reply {
    let event = event(authority, n, name);
    authority.handle(vec![event]).unwrap().pop().unwrap().reply
}

fn note(n: u32) -> Event {
    let (task, what) = ("t".to_owned(), "call".to_owned());
    let note = Note { task, step: n, what, commitment: B256::ZERO };
    Event::Note { agent: "scout".to_owned(), note }
}

fn id(authority: &Authority, n: u32) -> IntentId {
    let origin = authority.state.genesis().unwrap().origin;
    IntentId::derive(origin, "scout", "t", n, 0, 0)
}

fn reopen(home: &Home, mut authority: Authority) -> Authority {
    authority.rest();
    drop(authority);
    Authority::open(home, unlock()).unwrap()
}

#[test]
fn what_is_archived_is_answered_from_the_journal_after_any_restart() {
    AHEAD.set(0);
    let dir = tempfile::tempdir().unwrap();
    let (home, mut authority) = laid_out(dir.path());
    let mut first = Vec::new();
    for n in 0..200 {
        first.push(propose(&mut authority, n, if n % 5 == 4 { "stranger" } else { "now" }));
    }
    AHEAD.set(2 * HOUR);
    authority.mark().unwrap();
    assert!(authority.state.archived_intents() > 60);
    for restart in 0..3 {
        let entries = authority.state.next();
        for n in [0, 1, 30, 60, 150, 198] {
            assert_eq!(propose(&mut authority, n, "now"), Reply::Allowed(id(&authority, n)));
            let reused = propose(&mut authority, n, "stranger");
            assert!(matches!(reused, Reply::Fault(fault) if fault.code == "id_reused"));
        }
        assert_eq!(authority.state.next(), entries, "decided once");
        // A refusal is decided again, archived or not, and says the same.
        assert_eq!(propose(&mut authority, 4, "stranger"), first[4]);
        let state = authority.state.status("scout", id(&authority, 0), authority.now()).unwrap();
        assert_eq!(state.state, PaymentState::Final);
        let hash = authority.state.hash();
        authority = reopen(&home, authority);
        assert!(authority.quick, "restart {restart}");
        assert_eq!(authority.state.hash(), hash);
        let mut folded = crate::audit::state(&home).unwrap();
        assert_eq!(folded.seal().unwrap(), authority.state.seal().unwrap());
    }
}

#[test]
fn a_group_of_callers_waits_for_the_disk_once() {
    let dir = tempfile::tempdir().unwrap();
    let (_, mut authority) = laid_out(dir.path());
    let before = authority.journal.syncs();
    let group = (0..8).map(|n| event(&authority, n, "now")).collect();
    let done = authority.handle(group).unwrap();
    assert!(done.iter().all(|done| matches!(done.reply, Reply::Allowed(_))));
    assert_eq!(authority.journal.syncs() - before, 1);
}

#[test]
fn the_state_is_attested_as_entries_come_and_where_many_have_come_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (home, mut authority) = laid_out(dir.path());
    let notes = |from: u32, n: u32| (from..from + n).map(note).collect::<Vec<_>>();
    let attested = |home: &Home| {
        let entries = crate::audit::entries(&home.journal()).unwrap();
        let of = |entry: &&Entry| matches!(entry.body, Body::Checkpointed { .. });
        entries.iter().filter(of).map(|entry| entry.seq).collect::<Vec<_>>()
    };
    for group in 0..50 {
        authority.handle(notes(group * 100, 100)).unwrap();
    }
    assert_eq!(attested(&home), [4_103]);
    // Killed here: the entries behind the mark are folded.
    let hash = authority.state.hash();
    authority = reopen(&home, authority);
    assert!(authority.quick);
    assert_eq!(authority.state.hash(), hash);
    authority.handle(notes(9_000, 10)).unwrap();
    authority.close().unwrap();
    let marks = attested(&home);
    assert_eq!(marks.len(), 2, "an orderly end is worth a mark");
    authority = Authority::open(&home, unlock()).unwrap();
    assert_eq!((authority.mark, authority.quick), (marks[1], true));
    authority.handle(notes(9_100, 10)).unwrap();
    authority.close().unwrap();
    assert_eq!(attested(&home), marks, "ten entries are not");
    // Without an index everything is folded, and the state is attested again.
    std::fs::remove_dir_all(home.index()).unwrap();
    let authority = Authority::open(&home, unlock()).unwrap();
    assert!(!authority.quick);
    drop(authority);
    assert_eq!(attested(&home).len(), 3);
    assert!(Authority::open(&home, unlock()).unwrap().quick);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_a_quick_start_did_not_read_freezes_the_steward() {
    let dir = tempfile::tempdir().unwrap();
    let (home, mut authority) = laid_out(dir.path());
    authority.journal.rotate_at(100_000);
    for group in 0..42 {
        authority.handle((group * 100..group * 100 + 100).map(note).collect()).unwrap();
    }
    authority.close().unwrap();
    let segment = home.journal().join("entries/00000000000000000000.seg");
    let whole = std::fs::read(&segment).unwrap();
    for damaged in [false, true] {
        let mut bytes = whole.clone();
        bytes[40_000] ^= u8::from(damaged);
        std::fs::write(&segment, bytes).unwrap();
        // Missing tiles are mended beside the work; they are no damage.
        let tile = home.journal().join("tile/0/003");
        std::fs::remove_file(&tile).unwrap();
        let options = crate::Options::default();
        let steward = crate::Steward::start(home.clone(), unlock(), options).await.unwrap();
        let client = marque_steward_client::Client::connect(home.socket("scout")).await.unwrap();
        for _ in 0..2_400 {
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
            let frozen = client.view().await.unwrap().frozen_at.is_some();
            if frozen || (!damaged && tile.exists()) {
                break;
            }
        }
        assert_eq!(client.view().await.unwrap().frozen_at.is_some(), damaged);
        steward.stop().await.unwrap();
        if !damaged {
            assert!(tile.exists());
        }
    }
}

#[test]
fn an_index_that_fails_at_work_is_made_again_and_the_journal_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (home, mut authority) = laid_out(dir.path());
    // A value that is longer than the store takes.
    authority.handle((0..300).map(note).collect()).unwrap();
    let index = authority.index.take().unwrap();
    authority.index_failed(index, "a test".to_owned()).unwrap();
    let last = crate::audit::entries(&home.journal()).unwrap().pop().unwrap();
    assert!(matches!(last.body, Body::IndexRebuilt { why } if why == "a test"));
    authority.close().unwrap();
    assert!(Authority::open(&home, unlock()).unwrap().quick, "the next mark filled it");
}

#[test]
fn a_journal_that_does_not_extend_the_copy_of_its_checkpoint_is_frozen() {
    let dir = tempfile::tempdir().unwrap();
    let copies = dir.path().join("elsewhere");
    std::fs::create_dir(&copies).unwrap();
    let (home, mut authority) = laid_out(dir.path());
    authority.keep_copies(&copies).unwrap();
    propose(&mut authority, 0, "now");
    authority.close().unwrap();
    let older = dir.path().join("older");
    copy(home.path(), &older);
    let mut authority = Authority::open(&home, unlock()).unwrap();
    authority.keep_copies(&copies).unwrap();
    assert!(authority.state.frozen().is_none(), "an honest journal goes on");
    for n in 1..400 {
        propose(&mut authority, n, "now");
    }
    drop(authority);
    let kept = std::fs::read(std::fs::read_dir(&copies).unwrap().next().unwrap().unwrap().path());
    // Rolled back; and rolled back, then grown beyond the copy with another story.
    for grown in [0, 500] {
        std::fs::remove_dir_all(home.path()).unwrap();
        copy(&older, home.path());
        let mut authority = Authority::open(&home, unlock()).unwrap();
        for n in 1_000..1_000 + grown {
            propose(&mut authority, n, "now");
        }
        authority.keep_copies(&copies).unwrap();
        let reason = &authority.state.frozen().unwrap().reason;
        assert!(reason.contains("does not extend the checkpoint"), "{reason}");
        drop(authority);
        // It is frozen after the next start, too, and the copy is the evidence.
        let authority = Authority::open(&home, unlock()).unwrap();
        assert!(authority.state.frozen().is_some());
    }
    let after = std::fs::read(std::fs::read_dir(&copies).unwrap().next().unwrap().unwrap().path());
    assert_eq!(after.unwrap(), kept.unwrap());
}

/// Lets "scout" pay a shop by transactions of its own.
fn may_pay(home: &Home, authority: &mut Authority) {
    let by = Key::from_bytes(&Zeroizing::new([1; 32])).unwrap();
    let text = format!(
        "format = 1\nversion = 2\nowner = \"{}\"\n[chain.devnet]\nid = \"eip155:1\"\nrpc = \
         [\"http://127.0.0.1:9\"]\nfinality = 1\nnative = \"ETH\"\n[asset.USDC]\nchain = \
         \"devnet\"\ntoken = \"{TOKEN}\"\ndecimals = 6\n[limits.USDC]\nday = \"9.00\"\n\
         [limits.gas]\nday = \"1 ETH\"\n[[payee]]\nname = \"shop\"\naddress = \"{SHOP}\"\n",
        by.address()
    );
    let (policy, _) = marque_policies::parse(&text).unwrap();
    let adopt = Statement::Adopt { agent: "scout".into(), version: 2, policy: policy.hash };
    let adopt = sign_statement(&by, adopt, 1, home.origin(), Some(text));
    let done = authority.handle(vec![Event::Submit(Box::new(adopt))]).unwrap();
    assert!(matches!(done[0].reply, Reply::Noted(Some(_))), "{done:?}");
}

const TOKEN: Address = Address::repeat_byte(0xaa);
const SHOP: Address = Address::repeat_byte(0xbb);

fn transfer(authority: &Authority, n: u32) -> Event {
    let amount = Money::new(U256::from(1_000), AssetId { chain: 1, token: TOKEN });
    let (payee, labels) = ("shop".to_owned(), Labels::default());
    let intent = Intent::Transfer(Transfer { payee, to: SHOP, amount, labels });
    let Event::Propose { agent, mut proposal, mut facts } = event(authority, n, "now") else {
        panic!()
    };
    proposal.intent = intent;
    facts.block = Some(BlockFacts { number: 9, timestamp: authority.now() / 1_000 });
    facts.nonce = Some(0);
    facts.gas = Some(GasPlan { limit: 60_000, max_fee: 1_000_000_000, max_priority_fee: 1 });
    Event::Propose { agent, proposal, facts }
}

fn released(authority: &Authority, n: u32) -> Event {
    let why = "it would fail".to_owned();
    Event::Moved(Body::Released { id: id(authority, n), why })
}

#[test]
fn a_permit_for_what_the_intent_is_no_longer_signs_nothing() {
    AHEAD.set(0);
    let dir = tempfile::tempdir().unwrap();
    let (home, mut authority) = laid_out(dir.path());
    may_pay(&home, &mut authority);
    // Allowed and given up in one group: its nonce is free again, and nobody signs it.
    let group = vec![transfer(&authority, 0), released(&authority, 0)];
    let done = authority.handle(group).unwrap();
    assert!(done[0].made.is_none(), "{:?}", done[0]);
    assert!(matches!(&done[0].reply, Reply::Fault(fault) if fault.code == "internal"));
    assert_eq!(authority.state.intent(id(&authority, 0)).unwrap().state, PaymentState::Released);
    assert_eq!(authority.outbox.get(id(&authority, 0)).unwrap(), None);

    // With another behind it its nonce is filled: that is signed, and the payment is not.
    let group = vec![transfer(&authority, 1), transfer(&authority, 2), released(&authority, 1)];
    let mut done = authority.handle(group).unwrap();
    assert!(done[0].made.is_none(), "{:?}", done[0]);
    let Some(Made::Transaction(filling)) = done.remove(2).made else { panic!("{done:?}") };
    assert!(matches!(done[1].made, Some(Made::Transaction(_))));
    let record = authority.state.intent(id(&authority, 1)).unwrap();
    assert!(record.filled && record.state == PaymentState::Signed);
    assert_eq!(record.hash, Some(filling.hash));
    assert_eq!(authority.outbox.get(id(&authority, 1)).unwrap().unwrap(), filling.raw);
}

#[test]
fn what_an_opening_writes_bears_the_time_of_the_last_entry() {
    AHEAD.set(0);
    let dir = tempfile::tempdir().unwrap();
    let (home, authority) = laid_out(dir.path());
    authority.end().unwrap();
    // The machine boots with a wrong clock, and the opening has two things to write.
    AHEAD.set(400 * 24 * HOUR);
    let segment = home.journal().join("entries").join(format!("{:020}.seg", 0));
    let mut torn = std::fs::OpenOptions::new().append(true).open(segment).unwrap();
    std::io::Write::write_all(&mut torn, &[0, 0, 1]).unwrap();
    std::fs::remove_dir_all(home.index()).unwrap();
    std::fs::write(home.index(), b"no index").unwrap();
    let mut authority = Authority::open(&home, unlock()).unwrap();
    let entries = crate::audit::entries(&home.journal()).unwrap();
    let [.., before, rebuilt, recovered] = &entries[..] else { panic!() };
    assert!(matches!(rebuilt.body, Body::IndexRebuilt { .. }), "{rebuilt:?}");
    assert!(matches!(recovered.body, Body::Recovered { cut: 3, .. }), "{recovered:?}");
    assert_eq!([rebuilt.at, recovered.at], [before.at; 2]);
    // Once it is open it has a clock.
    authority.handle(vec![note(0)]).unwrap();
    assert!(authority.state.time() > before.at + 300 * 24 * HOUR);
    AHEAD.set(0);
}

fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for file in std::fs::read_dir(from).unwrap().map(|file| file.unwrap()) {
        let to = to.join(file.file_name());
        if file.path().is_dir() {
            copy(&file.path(), &to);
        } else {
            std::fs::copy(file.path(), to).unwrap();
        }
    }
}

#[test]
fn a_disk_that_is_full_freezes_loses_nothing_and_works_again_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        println!("not tried: no small file system can be mounted here");
        return;
    };
    let (home, mut authority) = laid_out(&disk.0);
    assert!(matches!(propose(&mut authority, 0, "now"), Reply::Allowed(_)));
    disk.fill();
    let mut n = 1;
    let (acknowledged, fault) = loop {
        let before = authority.state.next();
        match propose(&mut authority, n, "now") {
            Reply::Fault(fault) => break (before, fault),
            reply => assert!(matches!(reply, Reply::Allowed(_)), "{reply:?}"),
        }
        n += 1;
        assert!(n < 20_000, "the disk never filled");
    };
    assert_eq!(fault.code, "full", "{fault:?}");
    // One entry more: the freezing. Every answer before it stands.
    assert_eq!(authority.state.next(), acknowledged + 1);
    assert!(authority.state.frozen().unwrap().reason.contains("full"));
    disk.fill();
    let again = propose(&mut authority, n, "now");
    assert!(matches!(again, Reply::Fault(fault) if fault.code == "full"));
    assert_eq!(authority.state.next(), acknowledged + 1);
    disk.empty();
    let frozen = propose(&mut authority, n, "now");
    assert!(matches!(frozen, Reply::Fault(fault) if fault.code == "frozen"));
    let frozen_at = authority.state.frozen().unwrap().seq;
    let by = Key::from_bytes(&Zeroizing::new([1; 32])).unwrap();
    let thaw = sign_statement(&by, Statement::Thaw { frozen_at }, 1, home.origin(), None);
    authority.handle(vec![Event::Submit(Box::new(thaw))]).unwrap();
    assert!(matches!(propose(&mut authority, n, "now"), Reply::Allowed(_)));
    authority.close().unwrap();
    let authority = Authority::open(&home, unlock()).unwrap();
    let key = authority.journal.key().unwrap();
    assert_eq!(authority.journal.recovery(), Recovery::default());
    drop(authority);
    crate::audit::verify(&home.journal(), &key).unwrap();
}

/// Writes entries until the journal's last page on the disk is full to its last byte.
fn fill_the_page(home: &Home, authority: &mut Authority) {
    let segment = home.journal().join("entries").join(format!("{:020}.seg", 0));
    let lacks = || 4_096 - usize::try_from(segment.metadata().unwrap().len()).unwrap() % 4_096;
    let mut write = |task: usize| {
        let (before, task) = (lacks(), "t".repeat(task));
        let note = Note { task, step: 0, what: "call".to_owned(), commitment: B256::ZERO };
        authority.handle(vec![Event::Note { agent: "scout".to_owned(), note }]).unwrap();
        (before + 4_096 - lacks()) % 4_096
    };
    for _ in 0..1_000 {
        let base = write(1) - 1;
        if let Some(task @ 1..=100) = lacks().checked_sub(base) {
            write(task);
            break;
        }
    }
    assert_eq!(lacks(), 4_096);
}

/// Others take the room that is kept for the freezing, as a mind can that fills the disk.
#[test]
fn a_freeze_that_a_full_disk_has_no_room_for_is_remembered_after_a_restart() {
    let Some(disk) = SmallDisk::mount() else {
        println!("not tried: no small file system can be mounted here");
        return;
    };
    let (home, mut authority) = laid_out(&disk.0);
    assert!(matches!(propose(&mut authority, 0, "now"), Reply::Allowed(_)));
    let reserve = home.journal().join("reserve");
    for (round, restart) in [true, false].into_iter().enumerate() {
        fill_the_page(&home, &mut authority);
        std::fs::File::options().write(true).open(&reserve).unwrap().set_len(4_096).unwrap();
        disk.fill();
        disk.fill();
        let (mut n, first) = (1_000 * (round as u32 + 1), authority.state.next());
        let before = loop {
            let before = authority.state.next();
            if let Reply::Fault(fault) = propose(&mut authority, n, "now") {
                assert_eq!(fault.code, "full", "{fault:?}");
                break before;
            }
            n += 1;
        };
        assert!(before < first + 400, "the disk never filled");
        assert_eq!(authority.state.next(), before, "not even the freezing had room");
        assert!(authority.state.frozen().is_none());
        if restart {
            // Killed on the full disk. There it does not start again, and later it does.
            drop(authority);
            let why = Authority::open(&home, unlock()).unwrap_err().to_string();
            assert!(why.contains("No space left"), "{why}");
            disk.empty();
            authority = Authority::open(&home, unlock()).unwrap();
        } else {
            disk.empty();
        }
        let reply = propose(&mut authority, n, "now");
        assert!(matches!(&reply, Reply::Fault(fault) if fault.code == "frozen"), "{reply:?}");
        let frozen = authority.state.frozen().unwrap();
        assert!(frozen.reason.contains("full"), "{}", frozen.reason);
        let frozen_at = frozen.seq;
        assert_eq!(std::fs::metadata(&reserve).unwrap().len(), 512 * 1024, "kept again");
        let by = Key::from_bytes(&Zeroizing::new([1; 32])).unwrap();
        let thaw = sign_statement(&by, Statement::Thaw { frozen_at }, 1, home.origin(), None);
        authority.handle(vec![Event::Submit(Box::new(thaw))]).unwrap();
        // Once is enough.
        authority = reopen(&home, authority);
        assert!(matches!(propose(&mut authority, n, "now"), Reply::Allowed(_)));
    }
}

#[test]
fn who_asks_to_stop_while_the_disk_is_full_is_heard_after_a_restart() {
    let Some(disk) = SmallDisk::mount() else {
        println!("not tried: no small file system can be mounted here");
        return;
    };
    let (home, mut authority) = laid_out(&disk.0);
    let reserve = home.journal().join("reserve");
    std::fs::File::options().write(true).open(reserve).unwrap().set_len(4_096).unwrap();
    disk.fill();
    disk.fill();
    // As after a start that found no room for its next freeze: it decides nothing, and nothing is
    // amiss so far.
    authority.remember_stop().unwrap();
    assert!(authority.full && authority.owed.is_none());
    let fault = |reply| match reply {
        Reply::Fault(fault) => fault,
        reply => panic!("{reply:?}"),
    };
    assert_eq!(fault(propose(&mut authority, 0, "now")).code, "full");
    let reason = "é".repeat(2_000);
    let freeze = Event::Freeze { agent: None, by: "mind", reason, surplus: Surplus::default() };
    let done = authority.handle(vec![freeze]).unwrap().pop().unwrap();
    assert!(fault(done.reply).message.contains("frozen then"));
    drop(authority);
    disk.empty();
    let mut authority = Authority::open(&home, unlock()).unwrap();
    let frozen = authority.state.frozen().unwrap();
    let reason = &frozen.reason;
    assert!(reason.starts_with("asked for while the disk was full: éé"), "{reason}");
    // A mind's words stay a mind's.
    let entry = authority.journal.entry(frozen.seq).unwrap();
    let entry = Entry::decode(&entry).unwrap();
    assert_eq!(entry.word, crate::Word::Claimed);
    assert!(matches!(entry.body, Body::Frozen { by, .. } if by == "mind"));
}

/// A file system of eight megabytes, for root.
struct SmallDisk(std::path::PathBuf, tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        std::fs::create_dir(&path).unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(&path);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self(path, dir))
    }

    /// Takes all but a little.
    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::options()
            .append(true)
            .create(true)
            .open(self.0.join("ballast"))
            .unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        let len = file.metadata().unwrap().len();
        if len > 64 * 1024 && !self.0.join("filled").exists() {
            file.set_len(len - 64 * 1024).unwrap();
            std::fs::create_dir(self.0.join("filled")).unwrap();
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) && self.1.path().exists());
    }
}
