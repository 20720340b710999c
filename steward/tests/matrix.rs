//! The crash matrix: a real steward dies at every edge of every kind of entry, and is started again.
//!
//! Three edges each: the entry is half written, it is durable and its effect is not carried out,
//! the effect is carried out and nobody was told. Afterwards nothing that was acknowledged is
//! missing, the question is answered as it would have been, and the chain shows each payment once.
//!
//! In `make test` each kind dies at one of its edges, chosen by `MARQUE_SEED`; `MARQUE_CRASHES=all`
//! takes them all:
//!
//! ```sh
//! MARQUE_CRASHES=all cargo test -p marque-steward --features testing --test matrix -- --nocapture
//! ```

#![cfg(test)]

mod support;

use alloy_primitives::{Address, B256, U256};
use marque_identity_keys::{KeyDir, sign_statement};
use marque_policies::{Intent, IntentId, SignedStatement, Statement};
use marque_steward::{Body, Home, audit};
use marque_steward_client::{Artifact, Client, Note, Outcome, PaymentState, Report, Said};
use std::{collections::BTreeSet, fs, time::Duration};
use support::{
    CHAIN, adopt, homes, owner, policy_for, proposal,
    town::Town,
    victim::{Victim, arm},
};

const SHOP: Address = Address::repeat_byte(0x51);
const EDGES: [&str; 3] = ["torn", "journalled", "done"];

/// Not a test of its own: the steward that the others kill.
#[tokio::test(flavor = "multi_thread")]
async fn steward_to_be_killed() {
    Victim::be().await;
}

/// The edges of a kind that are tried now.
fn edges(kind: &str) -> Vec<&'static str> {
    if std::env::var_os("MARQUE_CRASHES").is_some_and(|it| it == "all") {
        return EDGES.to_vec();
    }
    let seed = match std::env::var("MARQUE_SEED") {
        Ok(seed) => seed.bytes().map(usize::from).sum(),
        Err(_) => usize::try_from(std::process::id()).unwrap(),
    };
    let n = seed + kind.bytes().map(usize::from).sum::<usize>();
    vec![EDGES[n % EDGES.len()]]
}

/// A town with one home, and the steward that dies in it.
struct Scene {
    town: Town,
    home: Home,
    key: Address,
    victim: Option<Victim>,
    client: Client,
    /// Rises, so that every payment and every task is another.
    n: u64,
    acknowledged: BTreeSet<IntentId>,
    version: u64,
}

impl Scene {
    async fn new() -> Self {
        let town = Town::new().await;
        let (home, key) = town.home("scout", SHOP).await;
        let mut victim = Victim::start(&home);
        let client = victim.client("scout").await;
        let (n, version) = (0, 1);
        Self {
            town,
            home,
            key,
            victim: Some(victim),
            client,
            n,
            acknowledged: BTreeSet::new(),
            version,
        }
    }

    fn task(&self) -> String {
        format!("t{}", self.n)
    }

    fn transfer(&self) -> Intent {
        let Intent::Transfer(mut pay) = support::transfer(10_000 + self.n) else { panic!() };
        (pay.to, pay.amount) = (SHOP, self.town.usdc(10_000 + self.n));
        Intent::Transfer(pay)
    }

    fn pay(&self, units: u64) -> Intent {
        self.town.pay(SHOP, units)
    }

    /// Proposes in the background: the steward dies meanwhile, and the client asks again.
    fn propose(&self, attempt: u32, intent: Intent) -> tokio::task::JoinHandle<Outcome> {
        let (client, asked) = (self.client.clone(), proposal(&self.task(), attempt, intent));
        tokio::spawn(async move { client.propose(asked).await.unwrap() })
    }

    fn submit(
        &self,
        statement: Statement,
        document: Option<String>,
    ) -> tokio::task::JoinHandle<u64> {
        let signed = sign_statement(&owner(), statement, CHAIN, self.home.origin(), document);
        let client = self.client.clone();
        tokio::spawn(async move { client.submit(signed).await.unwrap() })
    }

    /// The steward dies at the edge that is armed.
    async fn dies(&mut self) {
        self.victim.as_mut().unwrap().dies().await;
        self.victim = None;
    }

    async fn start(&mut self) {
        let mut victim = Victim::start(&self.home);
        self.client = victim.client("scout").await;
        self.victim = Some(victim);
    }

    fn stop(&mut self) {
        self.victim.take().unwrap().kill();
    }

    async fn until(&self, id: IntentId, wanted: PaymentState) {
        for _ in 0..60 {
            let status = self.client.wait(id, Duration::from_millis(500)).await.unwrap();
            if status.state == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{id} never came to {wanted:?}")
    }

    /// Sets what the agent's key holds of the dollar.
    async fn holds(&self, units: u64) {
        for slot in 0..8_u8 {
            let mut place = [0; 64];
            place[12..32].copy_from_slice(self.key.as_slice());
            place[63] = slot;
            let place = alloy_primitives::keccak256(place);
            let before = self
                .town
                .ask("eth_getStorageAt", serde_json::json!([self.town.token, place, "latest"]))
                .await;
            let set = |value| serde_json::json!([self.town.token, place, value]);
            self.town
                .ask("anvil_setStorageAt", set(serde_json::json!(B256::from(U256::from(units)))))
                .await;
            if self.town.balance(self.key).await == units {
                return;
            }
            self.town.ask("anvil_setStorageAt", set(before)).await;
        }
        panic!("the token keeps its balances elsewhere");
    }

    /// Brings an authorisation to the chain, as its payee would.
    async fn settle(&self, outcome: &Outcome) {
        let Outcome::Allowed { artifact: Artifact::Authorisation(made), .. } = outcome else {
            panic!("{outcome:?}")
        };
        support::victim::bring(&self.town, made).await;
    }

    /// What holds after every crash.
    fn check(&self) {
        audit::state(&self.home).unwrap();
        let entries = audit::entries(&self.home.journal()).unwrap();
        let allowed: Vec<_> = entries
            .iter()
            .filter(|entry| matches!(entry.body, Body::Allowed(_)))
            .filter_map(|entry| entry.body.intent())
            .collect();
        let once: BTreeSet<_> = allowed.iter().copied().collect();
        assert_eq!(allowed.len(), once.len(), "an intent was allowed twice");
        assert!(self.acknowledged.is_subset(&once), "something acknowledged is gone");
    }
}

fn id(outcome: &Outcome) -> IntentId {
    match outcome {
        Outcome::Allowed { id, .. } | Outcome::Held { id, .. } | Outcome::Refused { id, .. } => *id,
    }
}

/// Every kind of entry that a working steward writes, at its edges.
#[tokio::test(flavor = "multi_thread")]
async fn a_steward_that_dies_at_any_edge_loses_nothing_and_pays_once() {
    let mut scene = Scene::new().await;
    let kinds = [
        "allowed",
        "signed",
        "sent",
        "seen",
        "final",
        "held",
        "approve",
        "deny",
        "refused",
        "frozen",
        "thawed",
        "adopt",
        "enroll",
        "noted",
        "reported",
        "started",
        "recovered",
        "index_rebuilt",
        "reverted",
        "released",
        "unseen",
        "expired",
    ];
    let mut tried = 0;
    for kind in kinds {
        for edge in edges(kind) {
            scene.n += 1;
            let place = format!("{edge}.{kind}");
            eprintln!("{place}");
            let before = scene.town.balance(SHOP).await;
            let paid = play(&mut scene, kind, &place).await;
            scene.check();
            assert_eq!(scene.town.balance(SHOP).await - before, paid, "{place}");
            tried += 1;
        }
    }
    eprintln!("{tried} crashes");
}

/// Has the entry come about, and the steward die at it; answers what should have been paid.
async fn play(scene: &mut Scene, kind: &str, place: &str) -> u64 {
    match kind {
        "allowed" => {
            arm(&scene.home, place);
            let asked = scene.propose(0, scene.pay(10_000 + scene.n));
            scene.dies().await;
            scene.start().await;
            let outcome = asked.await.unwrap();
            scene.acknowledged.insert(id(&outcome));
            let again = scene.propose(0, scene.pay(10_000 + scene.n)).await.unwrap();
            assert_eq!(outcome, again, "the same bytes");
            scene.settle(&outcome).await;
            scene.until(id(&outcome), PaymentState::Final).await;
            10_000 + scene.n
        }
        "signed" | "sent" | "seen" | "final" => {
            arm(&scene.home, place);
            let asked = scene.propose(0, scene.transfer());
            scene.dies().await;
            scene.start().await;
            let outcome = asked.await.unwrap();
            scene.acknowledged.insert(id(&outcome));
            scene.until(id(&outcome), PaymentState::Final).await;
            10_000 + scene.n
        }
        "held" | "refused" => {
            let units = if kind == "held" { 600_000 } else { 2_000_000 };
            arm(&scene.home, place);
            let asked = scene.propose(0, scene.pay(units));
            scene.dies().await;
            scene.start().await;
            let outcome = asked.await.unwrap();
            assert_eq!(matches!(outcome, Outcome::Held { .. }), kind == "held");
            assert_eq!(matches!(outcome, Outcome::Refused { .. }), kind == "refused");
            0
        }
        "approve" | "deny" => {
            let intent = scene.pay(510_000);
            let intent_id = id(&scene.propose(0, intent.clone()).await.unwrap());
            let (agent, body) = ("scout".to_owned(), intent.body_hash());
            let (version, deadline) = (scene.version, 4_000_000_000);
            let statement = match kind {
                "approve" => {
                    Statement::Approve { agent, intent: intent_id, body, version, deadline }
                }
                _ => Statement::Deny { agent, intent: intent_id, body },
            };
            arm(&scene.home, place);
            let submitted = scene.submit(statement, None);
            scene.dies().await;
            scene.start().await;
            let answer = submitted.await;
            let outcome = scene.propose(0, intent).await.unwrap();
            if kind == "deny" {
                // Denied is denied: handed in twice, the second is told that it is so already.
                assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
                return 0;
            }
            answer.unwrap();
            scene.acknowledged.insert(id(&outcome));
            scene.settle(&outcome).await;
            scene.until(id(&outcome), PaymentState::Final).await;
            510_000
        }
        "frozen" | "thawed" => {
            if kind == "frozen" {
                arm(&scene.home, place);
            }
            let client = scene.client.clone();
            let frozen = tokio::spawn(async move { client.freeze("odd").await.unwrap() });
            if kind == "frozen" {
                scene.dies().await;
                scene.start().await;
            }
            let frozen_at = frozen.await.unwrap();
            assert_eq!(scene.client.view().await.unwrap().frozen_at, Some(frozen_at));
            if kind == "thawed" {
                arm(&scene.home, place);
            }
            let thawed = scene.submit(Statement::Thaw { frozen_at }, None);
            if kind == "thawed" {
                scene.dies().await;
                scene.start().await;
            }
            // Handed in again by the client, it is noted or stale: either way it is thawed.
            drop(thawed.await);
            assert_eq!(scene.client.view().await.unwrap().frozen_at, None);
            0
        }
        "adopt" => {
            scene.version += 1;
            let url = scene.town.devnet.url().to_owned();
            let text = policy_for(scene.version, owner().address(), &url, scene.town.token, SHOP);
            let signed = adopt(&owner(), "scout", &text, scene.home.origin());
            arm(&scene.home, place);
            let client = scene.client.clone();
            let adopted = tokio::spawn(async move { client.submit(signed).await.unwrap() });
            scene.dies().await;
            scene.start().await;
            adopted.await.unwrap();
            assert_eq!(scene.client.view().await.unwrap().policy_version, scene.version);
            0
        }
        "enroll" => {
            let agent = format!("friend-{}", scene.n);
            let keys = KeyDir::open(scene.home.keys()).unwrap();
            let key = keys.create_key(&agent, &homes::unlock()).unwrap();
            arm(&scene.home, place);
            let enrolled = scene.submit(Statement::Enroll { agent: agent.clone(), key }, None);
            scene.dies().await;
            scene.start().await;
            enrolled.await.unwrap();
            assert!(audit::state(&scene.home).unwrap().agent(&agent).is_some());
            0
        }
        "noted" | "reported" => {
            let outcome = scene.propose(0, scene.pay(10_000)).await.unwrap();
            arm(&scene.home, place);
            let (client, intent, task) = (scene.client.clone(), id(&outcome), scene.task());
            let note =
                Note { task, step: 0, what: "call".into(), commitment: B256::repeat_byte(1) };
            let report = Report { intent, said: Said::Delivered { body: B256::repeat_byte(2) } };
            let said = match kind {
                "noted" => tokio::spawn(async move { client.note(note).await.unwrap() }),
                _ => tokio::spawn(async move { client.report(report).await.unwrap() }),
            };
            scene.dies().await;
            scene.start().await;
            let entry = said.await.unwrap();
            let entries = audit::entries(&scene.home.journal()).unwrap();
            let found = entries.iter().find(|it| it.seq == entry).map(|it| it.body.kind());
            assert_eq!(found, Some(kind));
            0
        }
        "started" | "recovered" | "index_rebuilt" => {
            match kind {
                "recovered" => {
                    arm(&scene.home, "torn.noted");
                    let (client, task) = (scene.client.clone(), scene.task());
                    let note = Note { task, step: 0, what: "call".into(), commitment: B256::ZERO };
                    drop(tokio::spawn(async move { client.note(note).await }));
                    scene.dies().await;
                }
                "index_rebuilt" => {
                    scene.stop();
                    for file in fs::read_dir(scene.home.index()).unwrap() {
                        let path = file.unwrap().path();
                        if path.is_file() {
                            fs::write(path, b"this is no index").unwrap();
                        }
                    }
                }
                _ => scene.stop(),
            }
            arm(&scene.home, place);
            scene.victim = Some(Victim::start(&scene.home));
            scene.dies().await;
            scene.start().await;
            0
        }
        "reverted" => {
            scene.town.devnet.set_interval(0).await.unwrap();
            let outcome = scene.propose(0, scene.transfer()).await.unwrap();
            let had = scene.town.balance(scene.key).await;
            scene.holds(0).await;
            arm(&scene.home, place);
            scene.town.devnet.mine(3).await.unwrap();
            scene.dies().await;
            scene.town.devnet.set_interval(1).await.unwrap();
            scene.start().await;
            scene.until(id(&outcome), PaymentState::Expired).await;
            again(scene, had).await
        }
        "released" => {
            let had = scene.town.balance(scene.key).await;
            arm(&scene.home, "journalled.allowed");
            // What is answered at last, if anything is, says that it came to nothing.
            let (client, asked) =
                (scene.client.clone(), proposal(&scene.task(), 0, scene.transfer()));
            let asked = tokio::spawn(async move { drop(client.propose(asked).await) });
            scene.dies().await;
            scene.holds(0).await;
            arm(&scene.home, place);
            scene.victim = Some(Victim::start(&scene.home));
            scene.dies().await;
            scene.start().await;
            asked.await.unwrap();
            again(scene, had).await
        }
        "unseen" => {
            scene.town.devnet.set_interval(0).await.unwrap();
            let outcome = scene.propose(0, scene.transfer()).await.unwrap();
            scene.acknowledged.insert(id(&outcome));
            scene.town.devnet.mine(1).await.unwrap();
            scene.until(id(&outcome), PaymentState::Seen).await;
            arm(&scene.home, place);
            scene.town.ask("anvil_rollback", serde_json::json!([1])).await;
            scene.dies().await;
            scene.town.devnet.set_interval(1).await.unwrap();
            scene.start().await;
            scene.until(id(&outcome), PaymentState::Final).await;
            10_000 + scene.n
        }
        "expired" => {
            let outcome = scene.propose(0, scene.pay(10_000)).await.unwrap();
            scene.acknowledged.insert(id(&outcome));
            arm(&scene.home, place);
            scene.town.pass(130).await;
            scene.dies().await;
            scene.start().await;
            scene.until(id(&outcome), PaymentState::Expired).await;
            0
        }
        other => panic!("{other} is not played"),
    }
}

/// The first attempt came to nothing: the second one pays.
async fn again(scene: &mut Scene, had: u64) -> u64 {
    scene.holds(had).await;
    let outcome = scene.propose(1, scene.transfer()).await.unwrap();
    scene.acknowledged.insert(id(&outcome));
    scene.until(id(&outcome), PaymentState::Final).await;
    10_000 + scene.n
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_is_cut_off_at_any_edge_of_the_beginning_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    for kind in ["folder", "genesis", "enroll", "adopt"] {
        for edge in if kind == "folder" { vec![""] } else { edges(kind) } {
            let place = if edge.is_empty() { kind.to_owned() } else { format!("{edge}.{kind}") };
            let home = Home::create(dir.path().join(&place), CHAIN).unwrap();
            let keys = KeyDir::create(home.keys()).unwrap();
            let key = keys.create_key("scout", &homes::unlock()).unwrap();
            let log_key = B256::from(keys.create_log_key(&homes::unlock()).unwrap());
            let by = owner();
            let sign = |statement| sign_statement(&by, statement, CHAIN, home.origin(), None);
            let statements: Vec<SignedStatement> = vec![
                sign(Statement::Genesis {
                    owner: by.address(),
                    chain_genesis: B256::ZERO,
                    log_key,
                }),
                sign(Statement::Enroll { agent: "scout".into(), key }),
                adopt(&by, "scout", &support::policy(1), home.origin()),
            ];
            arm(&home, &place);
            Victim::offline(&home, &statements).dies().await;
            Victim::offline(&home, &statements).ends().await;
            let entries = audit::entries(&home.journal()).unwrap();
            let mut kinds: Vec<_> = entries.iter().map(|entry| entry.body.kind()).collect();
            kinds.retain(|kind| *kind != "recovered");
            assert_eq!(kinds, ["genesis", "enroll", "adopt"], "{place}");
        }
    }
}
