//! A steward in a process of its own, which is killed.
//!
//! The test binary runs itself again: it has a test that is the steward, named by [`Victim::TEST`].

use super::{homes, town::Town};
use marque_steward::{Home, Options, Steward};
use marque_steward_client::Client;
use std::{
    fs,
    os::unix::{net::UnixStream, process::ExitStatusExt as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub(crate) struct Victim {
    child: Child,
    home: Home,
}

impl Victim {
    pub(crate) const TEST: &str = "steward_to_be_killed";

    /// The body of that test: a steward, if this process is meant to be one.
    pub(crate) async fn be() {
        let Some(path) = std::env::var_os("MARQUE_TEST_HOME") else { return };
        let home = Home::open(path).unwrap();
        if let Some(statements) = std::env::var_os("MARQUE_TEST_STATEMENTS") {
            let statements = serde_json::from_slice(&fs::read(statements).unwrap()).unwrap();
            let submit = move || marque_steward::submit_offline(&home, homes::unlock(), statements);
            tokio::task::spawn_blocking(submit).await.unwrap().unwrap();
            return;
        }
        let poll = Duration::from_millis(100);
        let options = Options { poll, rest: 5 * poll, rate: 1_000_000, ..Options::default() };
        let steward = Steward::start(home, homes::unlock(), options).await.unwrap();
        steward.stopped().await;
    }

    fn command(home: &Home) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", Self::TEST, "--nocapture"]).env("MARQUE_TEST_HOME", home.path());
        command.env("MARQUE_FAILPOINTS", armed(home)).env("MARQUE_CLOCK", clock(home));
        command.env("RUST_BACKTRACE", "0").stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    pub(crate) fn start(home: &Home) -> Self {
        Self { child: Self::command(home).spawn().unwrap(), home: home.clone() }
    }

    /// A process that hands in acts of the owner while no steward runs.
    pub(crate) fn offline(home: &Home, statements: &[marque_policies::SignedStatement]) -> Self {
        let file = home.path().with_extension("statements");
        fs::write(&file, serde_json::to_vec(statements).unwrap()).unwrap();
        let child = Self::command(home).env("MARQUE_TEST_STATEMENTS", file).spawn().unwrap();
        Self { child, home: home.clone() }
    }

    /// Whether it listens: opening is over.
    pub(crate) fn listens(&self, agent: &str) -> bool {
        UnixStream::connect(self.home.socket(agent)).is_ok()
    }

    /// Whether it has ended by itself, which it must not.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it dies at the edge that was armed; anything else is a failure.
    pub(crate) async fn dies(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert_eq!(status.signal(), Some(6), "it ended otherwise: {status}");
                disarm(&self.home);
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let armed = fs::read_to_string(armed(&self.home)).unwrap_or_default();
        panic!("it never came to {armed}");
    }

    /// Waits until it ends well.
    pub(crate) async fn ends(mut self) {
        while self.child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(self.child.wait().unwrap().success());
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) async fn client(&mut self, agent: &str) -> Client {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(180) {
            if let Ok(client) = Client::connect(self.home.socket(agent)).await {
                return client;
            }
            assert!(!self.has_ended(), "it did not open");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no steward came up");
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn armed(home: &Home) -> PathBuf {
    home.path().with_extension("edge")
}

fn clock(home: &Home) -> PathBuf {
    home.path().with_extension("clock")
}

/// From now on the process dies when it comes to this edge.
pub(crate) fn arm(home: &Home, edge: &str) {
    let new = home.path().with_extension("edge-new");
    fs::write(&new, format!("{edge} {}", home.journal().join("entries").display())).unwrap();
    fs::rename(new, armed(home)).unwrap();
}

pub(crate) fn disarm(home: &Home) {
    drop(fs::remove_file(armed(home)));
}

/// Sets the wall clock of a home's steward, in milliseconds from the truth.
pub(crate) fn set_clock(home: &Home, offset: i64) {
    let new = home.path().with_extension("clock-new");
    fs::write(&new, offset.to_string()).unwrap();
    fs::rename(new, clock(home)).unwrap();
}

/// Brings an authorisation to the chain, as any stranger can; it is mined with the next block.
pub(crate) async fn bring(town: &Town, made: &marque_steward_client::Authorisation) {
    town.devnet.send(town.token, super::town::call(made)).await.unwrap();
}

/// What went from one account to another in the token, transfer by transfer.
pub(crate) async fn paid(
    town: &Town,
    from: alloy_primitives::Address,
    to: alloy_primitives::Address,
) -> Vec<alloy_primitives::U256> {
    let transfer = alloy_primitives::keccak256("Transfer(address,address,uint256)");
    let topics = serde_json::json!([transfer, from.into_word(), to.into_word()]);
    let filter = serde_json::json!({ "address": town.token, "fromBlock": "0x0", "topics": topics });
    let logs = town.ask("eth_getLogs", serde_json::json!([filter])).await;
    let logs = logs.as_array().unwrap().iter();
    logs.map(|log| log["data"].as_str().unwrap().parse().unwrap()).collect()
}
