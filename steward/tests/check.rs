//! A home against its journal: what differs is named, what cannot be looked at is said, and looking
//! changes nothing.

#![cfg(test)]

mod support;

use alloy_primitives::B256;
use marque_steward::{
    Home, Options, Steward,
    audit::Tail,
    check::{Part, Standing, check, differs},
};
use marque_steward_client::{Client, Note};
use std::{collections::BTreeMap, fs, path::Path};
use support::{fetch, homes, policy, proposal};

fn laid_out(dir: &tempfile::TempDir) -> Home {
    homes::home(&dir.path().join("home"), "scout", B256::ZERO, |_| policy(1)).0
}

async fn start(home: &Home) -> (Steward, Client) {
    let options = Options { rate: 1_000, ..Options::default() };
    let steward = Steward::start(home.clone(), homes::unlock(), options).await.unwrap();
    let client = Client::connect(home.socket("scout")).await.unwrap();
    (steward, client)
}

/// The names of the parts that differ.
fn wrong(parts: &[Part]) -> Vec<&str> {
    let wrong = parts.iter().filter(|part| part.standing == Standing::Different);
    wrong.map(|part| part.name).collect()
}

/// Every file below a folder with its bytes.
fn files(dir: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.is_file() {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_is_recomputed_and_what_differs_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let home = laid_out(&dir);
    let (steward, mind) = start(&home).await;
    for task in ["a", "b", "c"] {
        mind.propose(proposal(task, 0, fetch())).await.unwrap();
    }
    // A journal that is long enough for its index to be written at the end.
    for step in 0..300 {
        let note = Note { task: "a".into(), step, what: "call".into(), commitment: B256::ZERO };
        mind.note(note).await.unwrap();
    }
    // Beside a working steward the index is left alone, and nothing else differs.
    let parts = check(&home).unwrap();
    assert_eq!(wrong(&parts), [""; 0], "{parts:?}");
    let unchecked = parts.iter().filter(|part| part.standing == Standing::Unchecked);
    assert_eq!(unchecked.map(|part| part.name).collect::<Vec<_>>(), ["index"]);
    steward.stop().await.unwrap();

    let before = files(home.path());
    let parts = check(&home).unwrap();
    assert!(!differs(&parts) && parts.iter().all(|part| part.standing == Standing::Good));
    let index = parts.iter().find(|part| part.name == "index").unwrap();
    assert!(index.said.starts_with("the state before entry"), "{index:?}");
    assert_eq!(files(home.path()), before, "looking changes nothing");

    let put_back = || {
        fs::remove_dir_all(home.journal()).unwrap();
        fs::remove_dir_all(home.index()).unwrap();
        for (path, bytes) in &before {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    };
    let tiles: Vec<_> =
        before.keys().filter(|path| path.to_string_lossy().contains("/tile/0/")).collect();
    for tile in &tiles {
        let mut bytes = before[*tile].clone();
        bytes[0] ^= 1;
        fs::write(tile, bytes).unwrap();
        assert_eq!(wrong(&check(&home).unwrap()), ["tiles"], "{tile:?}");
        put_back();
    }
    let widest = tiles.iter().max_by_key(|tile| before[**tile].len()).unwrap();
    fs::remove_file(widest).unwrap();
    assert_eq!(wrong(&check(&home).unwrap()), ["tiles"]);
    put_back();

    let store = marque_store::open(&home.index(), marque_store::Backend::Sled).unwrap();
    let (key, mut value) = store.scan(b"intent/").unwrap().remove(0);
    let middle = value.len() / 2;
    value[middle] ^= 1;
    store.put_batch(&[(key, Some(value))]).unwrap();
    store.flush().unwrap();
    drop(store);
    assert_eq!(wrong(&check(&home).unwrap()), ["index"]);
    put_back();

    let stray = home.path().join("outbox").join("ab".repeat(32));
    fs::write(&stray, "bytes").unwrap();
    assert_eq!(wrong(&check(&home).unwrap()), ["outbox"]);
    fs::remove_file(stray).unwrap();

    let segment = before.keys().find(|path| path.to_string_lossy().ends_with(".seg")).unwrap();
    let mut bytes = before[segment].clone();
    bytes[200] ^= 1;
    fs::write(segment, bytes).unwrap();
    assert_eq!(wrong(&check(&home).unwrap()), ["entries"]);
    put_back();
    assert!(!differs(&check(&home).unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_tells_each_entry_once_across_a_restart_and_notices_a_rollback() {
    let dir = tempfile::tempdir().unwrap();
    let home = laid_out(&dir);
    let old = files(&home.journal());
    let mut tail = Tail::new(&home.journal(), 0);
    let mut told = Vec::new();
    let mut hear = |tail: &mut Tail| {
        told.extend(tail.poll().unwrap().into_iter().map(|read| read.entry.seq));
        told.len()
    };
    assert_eq!(hear(&mut tail), 3);
    for task in ["a", "b"] {
        let (steward, mind) = start(&home).await;
        mind.propose(proposal(task, 0, fetch())).await.unwrap();
        hear(&mut tail);
        steward.stop().await.unwrap();
    }
    let count = hear(&mut tail);
    assert_eq!(hear(&mut tail), count, "nothing new");
    assert_eq!(told, (0..told.len() as u64).collect::<Vec<_>>());
    let entries = marque_steward::audit::entries(&home.journal()).unwrap();
    assert_eq!(told.len(), entries.len());

    fs::remove_dir_all(home.journal()).unwrap();
    for (path, bytes) in &old {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    assert!(tail.poll().unwrap_err().to_string().contains("entries are left"));
}
