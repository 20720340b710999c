//! A whole steward over its real socket. Its chain is not there, so nothing is signed.

#![cfg(test)]

mod support;

use alloy_primitives::B256;
use marque_policies::{Statement, intent::ToolUse};
use marque_steward::{Body, Home, Options, Steward, StewardError, audit, submit_offline};
use marque_steward_client::{
    Answer, Artifact, Client, ClientError, Note, Outcome, PaymentState, Response, frame,
};
use std::{fs, time::Duration};
use support::{CHAIN, fetch, homes, owner, pay, policy, proposal};
use tokio::net::UnixStream;

fn laid_out(dir: &tempfile::TempDir) -> Home {
    homes::home(&dir.path().join("home"), "scout", B256::ZERO, |_| policy(1)).0
}

async fn start(home: &Home) -> (Steward, Client) {
    let steward = Steward::start(home.clone(), homes::unlock(), Options::default()).await.unwrap();
    let client = Client::connect(home.socket("scout")).await.unwrap();
    (steward, client)
}

fn code(error: ClientError) -> String {
    match error {
        ClientError::Fault(fault) => fault.code,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mind_proposes_looks_notes_and_is_remembered_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let home = laid_out(&dir);
    let (steward, mind) = start(&home).await;
    let outcome = mind.propose(proposal("t", 0, fetch())).await.unwrap();
    let Outcome::Allowed { id, artifact: Artifact::Permission } = outcome.clone() else { panic!() };
    let entry = mind
        .note(Note { task: "t".into(), step: 1, what: "call".into(), commitment: B256::ZERO })
        .await
        .unwrap();
    let view = mind.view().await.unwrap();
    assert_eq!(
        (view.agent.as_str(), view.policy_version, view.origin),
        ("scout", 1, home.origin())
    );
    assert_eq!(view.intents[0].status.id, id);
    assert_eq!(mind.wait(id, Duration::ZERO).await.unwrap().state, PaymentState::Final);
    assert!(matches!(
        Steward::start(home.clone(), homes::unlock(), Options::default()).await,
        Err(StewardError::Locked(_))
    ));
    steward.stop().await.unwrap();

    let (steward, mind) = start(&home).await;
    assert_eq!(mind.propose(proposal("t", 0, fetch())).await.unwrap(), outcome);
    steward.stop().await.unwrap();
    let entries = audit::entries(&home.journal()).unwrap();
    assert!(matches!(entries[usize::try_from(entry).unwrap()].body, Body::Noted { .. }));
    let decided = entries.iter().filter(|entry| matches!(entry.body, Body::Allowed(_)));
    assert_eq!(decided.count(), 1, "asked twice, decided once");
    let key = audit::stated_key(&audit::state(&home).unwrap()).unwrap();
    audit::verify(&home.journal(), &key).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_chain_a_steward_signs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (steward, mind) = start(&laid_out(&dir)).await;
    assert_eq!(code(mind.propose(proposal("t", 0, pay(10))).await.unwrap_err()), "chain");
    steward.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn anyone_on_the_socket_freezes_and_the_owner_thaws() {
    let dir = tempfile::tempdir().unwrap();
    let home = laid_out(&dir);
    let (steward, mind) = start(&home).await;
    let frozen_at = mind.freeze("this looks wrong").await.unwrap();
    assert_eq!(mind.view().await.unwrap().frozen_at, Some(frozen_at));
    assert_eq!(code(mind.propose(proposal("t", 0, fetch())).await.unwrap_err()), "frozen");
    let thaw = |by: marque_identity_keys::Key| {
        let statement = Statement::Thaw { frozen_at };
        marque_identity_keys::sign_statement(&by, statement, CHAIN, home.origin(), None)
    };
    assert_eq!(code(mind.submit(thaw(support::key(9))).await.unwrap_err()), "not_owner");
    mind.submit(thaw(owner())).await.unwrap();
    mind.propose(proposal("t", 0, fetch())).await.unwrap();
    steward.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_question_is_answered_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let home = laid_out(&dir);
    let (steward, _mind) = start(&home).await;
    let mut raw = UnixStream::connect(home.socket("scout")).await.unwrap();
    for (question, seq, code) in [
        (r#"{"v":1,"seq":4,"ask":{"ask":"sign","hash":"0x00"}}"#, 4, "malformed"),
        (r#"{"v":9,"seq":5,"ask":{"ask":"view"}}"#, 5, "version"),
        ("not json", 0, "malformed"),
    ] {
        frame::write(&mut raw, question.as_bytes()).await.unwrap();
        let bytes = frame::read(&mut raw).await.unwrap().unwrap();
        let response: Response = serde_json::from_slice(&bytes).unwrap();
        let Answer::Error(fault) = response.answer else { panic!() };
        assert_eq!((response.seq, fault.code.as_str()), (seq, code), "{question}");
    }
    // A frame that is too long ends the connection, not the steward.
    tokio::io::AsyncWriteExt::write_all(&mut raw, &u32::MAX.to_be_bytes()).await.unwrap();
    assert!(frame::read(&mut raw).await.unwrap().is_none());
    Client::connect(home.socket("scout")).await.unwrap().view().await.unwrap();
    steward.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_of_the_journal_is_cut_off_and_the_journal_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let home = laid_out(&dir);
    let segment = fs::read_dir(home.journal().join("entries")).unwrap().next().unwrap().unwrap();
    let mut bytes = fs::read(segment.path()).unwrap();
    bytes.extend([9, 0, 0, 0, 1]);
    fs::write(segment.path(), bytes).unwrap();
    for _ in 0..2 {
        start(&home).await.0.stop().await.unwrap();
    }
    let entries = audit::entries(&home.journal()).unwrap();
    let recovered = entries.iter().filter_map(|entry| match entry.body {
        Body::Recovered { cut, unsigned, checkpoint_missing } => {
            Some((cut, unsigned, checkpoint_missing))
        }
        _ => None,
    });
    assert_eq!(recovered.collect::<Vec<_>>(), [(5, 0, false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let home = laid_out(&dir);
    let options = Options { rate: 10, ..Options::default() };
    let steward = Steward::start(home.clone(), homes::unlock(), options).await.unwrap();
    let mind = Client::connect(home.socket("scout")).await.unwrap();
    let stranger = marque_policies::Intent::Tool(ToolUse {
        tool: "stranger".into(),
        fetch: None,
        arguments: Default::default(),
        labels: Default::default(),
    });
    let mut cut = 0;
    for n in 0..40 {
        match mind.propose(proposal(&format!("t{n}"), 0, stranger.clone())).await {
            Err(error) => {
                assert_eq!(code(error), "rate");
                cut += 1;
            }
            Ok(outcome) => assert!(matches!(outcome, Outcome::Refused { .. })),
        }
    }
    assert!(cut >= 10, "{cut} of 40 were cut");
    steward.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mind_cannot_make_its_view_too_long_to_be_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let (steward, mind) = start(&laid_out(&dir)).await;
    for n in 0..60 {
        let fetch = marque_policies::intent::Fetch {
            method: "GET".into(),
            host: "stranger.example".into(),
            path: "x".repeat(3_500),
            bytes_out: 0,
        };
        let used = ToolUse {
            tool: "fetch_data".into(),
            fetch: Some(fetch),
            arguments: Default::default(),
            labels: Default::default(),
        };
        let intent = marque_policies::Intent::Tool(used);
        let outcome = mind.propose(proposal(&format!("t{n}"), 0, intent)).await.unwrap();
        assert!(matches!(outcome, Outcome::Refused { .. }));
    }
    let view = tokio::time::timeout(Duration::from_secs(60), mind.view()).await.unwrap().unwrap();
    assert!(!view.intents.is_empty() && view.intents.len() < 60, "{}", view.intents.len());
    assert_eq!(view.intents[0].task, "t59", "the newest is first");
    steward.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mind_that_holds_every_connection_cannot_keep_its_owner_out() {
    let dir = tempfile::tempdir().unwrap();
    let home = laid_out(&dir);
    let (steward, _) = start(&home).await;
    let mut held = Vec::new();
    for _ in 0..80 {
        held.push(tokio::net::UnixStream::connect(home.socket("scout")).await.unwrap());
    }
    let owner = marque_steward_client::Client::connect(home.socket("scout")).await.unwrap();
    let frozen = tokio::time::timeout(Duration::from_secs(60), owner.freeze("enough")).await;
    assert!(frozen.unwrap().is_ok());
    drop(held);
    steward.stop().await.unwrap();
}

/// A mind that runs as its owner's user takes all that its socket gives: places, waits, and what may
/// be asked in a while.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_mind_takes_of_its_socket_its_owner_does_not_miss() {
    let dir = tempfile::tempdir().unwrap();
    let home = laid_out(&dir);
    let (steward, mind) = start(&home).await;
    let statement = Statement::Thaw { frozen_at: 9 };
    let garbage =
        marque_identity_keys::sign_statement(&support::key(9), statement, CHAIN, B256::ZERO, None);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..1_500 {
        let (mind, garbage) = (mind.clone(), garbage.clone());
        asked.spawn(async move { mind.submit(garbage).await.map_err(code).unwrap_err() });
    }
    let answers = asked.join_all().await;
    assert!(answers.iter().any(|code| code == "rate"), "a mind's acts are counted");
    let flood = home.socket("scout");
    let flood = tokio::spawn(async move {
        let mut connections = Vec::new();
        loop {
            connections.push(UnixStream::connect(&flood).await);
            tokio::task::yield_now().await;
            if connections.len() > 200 {
                connections.clear();
            }
        }
    });
    // A mind that goes on asking, on a connection of its own.
    let asks = tokio::spawn(async move {
        loop {
            drop(mind.submit(garbage.clone()).await);
        }
    });

    let owner_client = Client::connect(home.owner_socket("scout")).await.unwrap();
    let soon = Duration::from_secs(60);
    let frozen_at = tokio::time::timeout(soon, owner_client.freeze("enough")).await.unwrap();
    let frozen_at = frozen_at.unwrap();
    let signs = |statement, document| {
        marque_identity_keys::sign_statement(&owner(), statement, CHAIN, home.origin(), document)
    };
    for act in [
        support::adopt(&owner(), "scout", &policy(2), home.origin()),
        signs(Statement::Thaw { frozen_at }, None),
    ] {
        tokio::time::timeout(soon, owner_client.submit(act)).await.unwrap().unwrap();
    }
    let queue = tokio::time::timeout(soon, owner_client.queue(None, Duration::ZERO)).await;
    assert_eq!(queue.unwrap().unwrap().policy_version, 2);
    flood.abort();
    asks.abort();
    steward.stop().await.unwrap();
}

#[test]
fn an_index_in_doubt_is_set_aside_and_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let home = laid_out(&dir);
    fs::remove_dir_all(home.index()).unwrap();
    fs::create_dir(home.index()).unwrap();
    // Another journal's index: it has read further than this journal goes.
    let strange = marque_store::open(&home.index(), marque_store::Backend::Sled).unwrap();
    strange.put_with_high_water(&[], 1_000).unwrap();
    strange.flush().unwrap();
    drop(strange);
    submit_offline(&home, homes::unlock(), Vec::new()).unwrap();
    let entries = audit::entries(&home.journal()).unwrap();
    let Body::IndexRebuilt { why } = &entries.last().unwrap().body else { panic!() };
    assert!(why.contains("1000"), "{why}");
    assert!(home.path().join("index.doubtful-0").exists());
}

/// A database follows links; the kernel lets an owner's command follow none out of the home.
#[test]
fn an_owners_command_writes_nowhere_but_in_the_home() {
    let dir = tempfile::tempdir().unwrap();
    let home = laid_out(&dir);
    let precious = dir.path().join("owner.json");
    for file in ["db", "conf"] {
        fs::write(&precious, "precious").unwrap();
        let at = home.index().join(file);
        fs::remove_file(&at).unwrap();
        std::os::unix::fs::symlink(&precious, &at).unwrap();
        drop(submit_offline(&home, homes::unlock(), Vec::new()));
        assert!(fs::read(&precious).unwrap() == b"precious", "{file}");
    }
    // This process may.
    fs::write(&precious, "ours").unwrap();
}

#[test]
fn a_stranger_cannot_begin_a_journal_in_the_owners_name() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::create(dir.path().join("home"), CHAIN).unwrap();
    let keys = marque_identity_keys::KeyDir::create(home.keys()).unwrap();
    let log_key = B256::from(keys.create_log_key(&homes::unlock()).unwrap());
    let statement =
        Statement::Genesis { owner: owner().address(), chain_genesis: B256::ZERO, log_key };
    let by = support::key(9);
    let signed = marque_identity_keys::sign_statement(&by, statement, CHAIN, home.origin(), None);
    let error = submit_offline(&home, homes::unlock(), vec![signed]).unwrap_err();
    assert!(matches!(error, StewardError::Fault(fault) if fault.code == "not_owner"));
    assert!(!home.has_journal());
}
