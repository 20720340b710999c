//! What somebody meets who is new: errors for scripts, an agent that is not adopted, projects of their
//! own, paths that a shop does not have, and a program that waits for its owner.

use crate::{
    command::{failure, marque, ok, start},
    support::{MARQUE, Town},
};
use marque::testing::{self, call};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use std::{
    fs,
    process::{Command, Output},
};

const GOAL: &str = "Fetch https://feed.example/wind.csv and report the value.";

/// What a script is told: the last line on standard error.
fn told(out: &Output) -> Value {
    let text = String::from_utf8_lossy(&out.stderr);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|_| panic!("no object: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_told_of_every_error_of_a_run_as_an_object_with_its_code() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let mut scout = town.buyer("scout", &[&feed], "").await;
    let home = scout.party.home.clone();
    let run = |args: &[&str], secret: &str| {
        let credentials = town.dir.path().join("credentials");
        fs::create_dir_all(&credentials).unwrap();
        fs::write(credentials.join("marque-unlock"), secret).unwrap();
        let mut command = Command::new(MARQUE);
        command.args(["--json", "run"]).args(args).arg("--home").arg(home.path());
        command.env("CREDENTIALS_DIRECTORY", credentials).output().unwrap()
    };
    let secret = scout.party.unlock.expose_secret().to_owned();
    // The answer follows a refusal.
    let out = run(&["scout", "Fetch https://evil.example/wind.csv and report the value."], &secret);
    let said = told(&out);
    assert_eq!((out.status.code(), said["code"].as_u64()), (Some(3), Some(3)), "{said}");
    assert!(said["error"].as_str().unwrap().contains("not to be relied on"), "{said}");

    // An agent beside it that nobody has adopted.
    let chain = town.economy.devnet.chain_id();
    marque::economy::create_agent(&home, "second", chain, &scout.party.unlock).unwrap();
    let said = told(&run(&["second", GOAL], &secret));
    assert_eq!(said["error"], "no policy of second is in force yet", "{said}");
    assert!(said["help"].as_str().unwrap().contains("marque policy adopt second"), "{said}");

    // Nobody opens the keys.
    scout.stop().await;
    let out = run(&["scout", GOAL], "a wrong secret");
    let said = told(&out);
    assert_eq!((out.status.code(), said["code"].as_u64()), (Some(1), Some(1)), "{said}");
    assert!(said["error"].as_str().unwrap().contains("cannot unlock"), "{said}");
}

/// A devnet of the command's own, ended in order.
pub(crate) struct Devnet(std::process::Child);

impl Devnet {
    pub(crate) fn start(dir: &std::path::Path, more: &[&str]) -> Self {
        let mut devnet = start(dir, &[&["devnet"], more].concat());
        let said = std::io::BufReader::new(devnet.stdout.take().unwrap());
        let mut said = std::io::BufRead::lines(said).map(Result::unwrap);
        assert!(said.any(|line| line.starts_with("Ctrl-C ends the chain")), "it starts");
        Self(devnet)
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_faucet_whose_devnet_has_ended_or_is_another_says_how_to_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ports = [free(), free()].map(|address| address.port().to_string());
    let ports = ["--port", &ports[0], "--seller-port", &ports[1]];
    let fund = ["fund", "scout", "5 tUSD", "--faucet"];
    let devnet = Devnet::start(dir, &ports);
    ok(&marque(dir, &["owner", "init"]));
    ok(&marque(dir, &["new", "scout"]));
    ok(&marque(dir, &["policy", "adopt", "scout"]));
    ok(&marque(dir, &fund));
    drop(devnet);
    let (text, code) = failure(&marque(dir, &fund));
    assert!(code == 1 && text.contains("no devnet answers at http://127.0.0.1:"), "{text}");
    assert!(text.contains("marque devnet --home DIR"), "{text}");
    let elsewhere = dir.join("another");
    let more = [&ports[..], &["--home", elsewhere.to_str().unwrap()]].concat();
    let _other = Devnet::start(dir, &more);
    let (text, code) = failure(&marque(dir, &fund));
    assert!(
        code == 1 && text.contains("is not the one that") && text.contains("--home DIR"),
        "{text}"
    );
}

#[test]
fn a_project_is_made_where_cargo_takes_it_also_for_an_agent_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let owner = ["--owner-address", "0x00000000000000000000000000000000000000aa"];
    let new = |args: &[&str]| marque(dir.path(), &[&["new", "scout"], args, &owner].concat());
    // Before anything else is made.
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let (text, code) = failure(&new(&["--rust", file.join("project").to_str().unwrap()]));
    assert!(code == 2 && text.contains("Not a directory"), "{text}");
    assert!(!dir.path().join("home/agents/scout").exists());

    ok(&new(&[]));
    let (text, code) = failure(&new(&[]));
    assert!(code == 2 && text.contains("exists already") && text.contains("--rust"), "{text}");
    let project = dir.path().join("2 my agent");
    let said = ok(&new(&["--rust", project.to_str().unwrap()]));
    assert!(said.contains("is as it was"), "{said}");
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(&project)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let found: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(found["packages"][0]["name"], "agent-2-my-agent");
    let program = fs::read_to_string(project.join("src/main.rs")).unwrap();
    assert!(program.contains("#[cfg(test)]\nmod tests {\n"), "{program}");
    assert!(program.contains("[[tool]] and name = \"fetch_data\""), "{program}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_shop_does_not_have_costs_nothing() {
    let town = testing::Town::start().await.unwrap();
    let plain = town.seller("plain").sells("/wind", "0.02 tUSD", "14.2").open().await.unwrap();
    let status = async |path: &str| reqwest::get(plain.url(path)).await.unwrap().status().as_u16();
    assert_eq!((status("/wind").await, status("/nope").await), (402, 404));
    let posted = reqwest::Client::new().post(plain.url("/wind")).send().await.unwrap();
    assert_eq!(posted.status().as_u16(), 405, "nobody pays for what is not done");

    let said = |ended: testing::Result<testing::Stall>| ended.unwrap_err().to_string();
    let slash = said(town.seller("a").sells("x", "0.02 tUSD", "x").open().await);
    assert!(slash.contains("begins with a slash"), "{slash}");
    let money = said(town.seller("b").sells("/x", "0.02 USDC", "x").open().await);
    assert!(money.contains("a town's money is tUSD"), "{money}");
    let turn = call("fetch", [("url", "x")]);
    let twice = town.agent("plain").thinks([turn]).open().await.unwrap_err().to_string();
    assert!(twice.contains("there is a plain in this town already"), "{twice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_says_that_it_waits_for_its_owner_and_ends_with_4() {
    let town = Town::new().await;
    let (_feed, scout) = town.careful().await;
    scout.waits_a_second();
    let hello = std::path::Path::new(MARQUE).with_file_name("examples").join("hello");
    let home = scout.party.home.path().to_owned();
    let out = tokio::process::Command::new(hello).env("MARQUE_HOME", home).output().await.unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(4), "{text}");
    assert!(text.contains("held for the owner: marque approve 0x"), "{text}");
    assert!(text.contains("error: intent 0x"), "{text}");
}
