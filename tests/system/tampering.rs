//! A journal that was edited, cut, reordered or swapped does not verify, and the steward does not
//! work on it.

use crate::support::{MARQUE, Town};
use std::{path::Path, process::Command};

fn verify(journal: &Path) -> (bool, String) {
    verify_with(journal, &[])
}

fn verify_with(journal: &Path, options: &[&std::ffi::OsStr]) -> (bool, String) {
    let out = Command::new(MARQUE)
        .args(["audit", "verify", "--journal"])
        .arg(journal)
        .args(options)
        .output()
        .unwrap();
    (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
}

/// The one segment of entries.
fn segment(journal: &Path) -> std::path::PathBuf {
    let mut files: Vec<_> = std::fs::read_dir(journal.join("entries"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_journal_is_found_and_not_worked_on() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let mut scout = town.buyer("scout", &[&feed], "").await;
    scout.buy(&feed.goods(), "task").await.unwrap();
    scout.stop().await;
    let journal = scout.party.home.journal();
    let (good, said) = verify(&journal);
    assert!(good, "{said}");

    let file = segment(&journal);
    let whole = std::fs::read(&file).unwrap();
    let middle = whole.len() / 2;
    let mut flipped = whole.clone();
    flipped[middle] ^= 1;
    let cut = whole[..whole.len() * 3 / 4].to_vec();
    // The amount that was paid, as an accomplice would write it, with everything else in place.
    let text = b"\"20000\"";
    let at = whole.windows(text.len()).position(|window| window == text).unwrap();
    let mut edited = whole.clone();
    edited[at..at + text.len()].copy_from_slice(b"\"10000\"");
    for (name, bytes) in [("flipped", flipped), ("cut", cut), ("edited", edited)] {
        std::fs::write(&file, bytes).unwrap();
        let (good, said) = verify(&journal);
        assert!(!good, "{name} was not found");
        assert_eq!(said.trim().lines().count(), 1, "{name}: one line: {said}");
        assert!(town.economy.run(&scout.party, &[]).await.is_err(), "{name} was worked on");
    }
    std::fs::write(&file, &whole).unwrap();
    assert!(verify(&journal).0);

    // Another owner's journal in its place.
    let swapped = town.dir.path().join("swapped");
    copy(&feed.party.home.journal(), &swapped);
    let owner = scout.party.owner.address().to_string();
    let out = Command::new(MARQUE)
        .args(["audit", "verify", "--owner", &owner, "--journal"])
        .arg(&swapped)
        .output()
        .unwrap();
    assert!(!out.status.success(), "a swapped journal verified");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_rolled_back_freezes_the_steward() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let mut scout = town.buyer("scout", &[&feed], "").await;
    scout.stop().await;
    let old = town.dir.path().join("old");
    copy(&scout.party.home.journal(), &old);
    town.restart(&mut scout, &[]).await;
    scout.buy(&feed.goods(), "task").await.unwrap();
    scout.stop().await;
    // What an owner who keeps checkpoints holds: it goes with this journal.
    let kept = town.dir.path().join("kept");
    std::fs::copy(scout.party.home.journal().join("checkpoint"), &kept).unwrap();
    let with_kept = ["--checkpoint".as_ref(), kept.as_os_str()];
    assert!(verify_with(&scout.party.home.journal(), &with_kept).0);
    // The thief of a budget puts yesterday's journal back, index and all.
    std::fs::remove_dir_all(scout.party.home.journal()).unwrap();
    std::fs::remove_dir_all(scout.party.home.path().join("index")).unwrap();
    copy(&old, &scout.party.home.journal());
    assert!(verify(&scout.party.home.journal()).0, "by itself it is a good journal");
    let (good, _) = verify_with(&scout.party.home.journal(), &with_kept);
    assert!(!good, "it does not reach the checkpoint that the owner kept");
    town.restart(&mut scout, &[]).await;
    let view = scout.client().view().await.unwrap();
    assert!(view.frozen_at.is_some(), "the chain knows more than the ledger");
    assert!(scout.buy(&feed.goods(), "more").await.is_err());
    assert_eq!(town.dollars(&feed).await, 20_000);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
