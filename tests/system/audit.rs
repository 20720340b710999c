//! What an auditor and an owner read, of a real home with real payments.

use crate::support::{Citizen, MARQUE, Town, eventually};
use alloy_primitives::U256;
use marque_policies::{AssetId, Intent, Money, intent::Authorise};
use marque_steward_client::{Outcome, Proposal};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

/// `marque ARGS` on a citizen's home.
fn marque(citizen: &Citizen, args: &[&str]) -> Output {
    let home = citizen.party.home.path();
    Command::new(MARQUE).arg("--home").arg(home).args(args).output().unwrap()
}

/// `marque ARGS` by somebody who has no home.
fn stranger(args: &[&str]) -> Output {
    Command::new(MARQUE).args(args).output().unwrap()
}

fn ok(out: &Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// The one line of error and the exit code.
fn failed(out: &Output) -> (String, i32) {
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(text.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{text}");
    (text, out.status.code().unwrap())
}

/// The JSON objects of a listing.
fn objects(out: &Output) -> Vec<Value> {
    ok(out).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What waits for the owner, as people read it.
pub(crate) fn approvals(citizen: &Citizen) -> String {
    ok(&marque(citizen, &["approvals"]))
}

pub(crate) fn shown(citizen: &Citizen, filters: &[&str]) -> Vec<Value> {
    objects(&marque(citizen, &[&["--json", "audit", "show"], filters].concat()))
}

fn kinds(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["body"]["kind"].as_str().unwrap()).collect()
}

/// More than the policy allows at once.
async fn overreach(town: &Town, scout: &Citizen, feed: &Citizen) {
    let asset = AssetId { chain: town.economy.devnet.chain_id(), token: town.economy.dollar };
    let intent = Intent::Authorise(Authorise {
        payee: "feed".into(),
        to: feed.party.address,
        amount: Money::new(U256::from(500_000), asset),
        host: feed.host.clone(),
        resource: "http://feed/\u{1b}[2J=danger".into(),
        labels: Default::default(),
    });
    let proposal = Proposal { task: "greedy".into(), step: 0, ordinal: 0, attempt: 0, intent };
    let outcome = scout.client().propose(proposal).await.unwrap();
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
}

async fn settled(scout: &Citizen, payments: usize) {
    let all = || async { kinds(&shown(scout, &["--kind", "final"])).len() == payments };
    eventually("the payments are final", 60, all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_reads_proves_exports_and_compares_real_payments() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let mut scout = town.buyer("scout", &[&feed], "").await;
    scout.buy(&feed.goods(), "first").await.unwrap();
    let kept = town.dir.path().join("kept");
    std::fs::copy(scout.party.home.journal().join("checkpoint"), &kept).unwrap();
    scout.buy(&feed.goods(), "second").await.unwrap();
    overreach(&town, &scout, &feed).await;
    settled(&scout, 2).await;
    reads(&scout);
    proves(&town, &scout, &feed);
    // A seller's settlements as well: the policy that was in force changes nothing.
    let same = ok(&marque(&feed, &["policy", "replay", "feed@adopted"]));
    assert!(same.contains("over 4 decisions") && same.contains("no decision would"), "{same}");
    // What comes after is compared with what stands.
    scout.stop().await;
    exports(&town, &scout);
    compares(&scout, &feed, kept.to_str().unwrap());
}

fn reads(scout: &Citizen) {
    let all = shown(scout, &[]);
    assert_eq!(kinds(&all)[..3], ["genesis", "enroll", "adopt"]);
    let paid = shown(scout, &["--payee", "feed", "--verdict", "allowed"]);
    assert_eq!(kinds(&paid), ["allowed"; 2]);
    // Later entries name the intent only, and belong to its payee and task all the same.
    let life = shown(scout, &["--payee", "feed", "--task", "second"]);
    assert!(kinds(&life).starts_with(&["allowed"]) && kinds(&life).ends_with(&["final"]));
    let id = paid[0]["body"]["decided"]["id"].as_str().unwrap();
    let short = format!("{}…{}", id.get(..8).unwrap(), id.get(60..).unwrap());
    for id in [id, id.get(..14).unwrap(), &short] {
        let life = shown(scout, &["--intent", id]);
        assert!(kinds(&life).contains(&"seen") && life.len() < all.len(), "{id}");
    }
    assert_eq!(kinds(&shown(scout, &["--verdict", "refused"])), ["refused"]);
    let (text, code) = failed(&marque(scout, &["audit", "show", "--agent", "nobody"]));
    assert!(code == 2 && text.contains("there are scout"), "{text}");
    let out = marque(scout, &["audit", "show", "--until", "1h"]);
    assert!(ok(&out).is_empty() && out.stderr.starts_with(b"no entry matches"), "{out:?}");
    assert_eq!(shown(scout, &["--since", "1h"]).len(), all.len());
    assert_eq!(shown(scout, &["--until", "1h"]).len(), 0);
    assert_eq!(shown(scout, &["--since", "2020-01-01", "-n", "2"]), all[all.len() - 2..]);
    let two = shown(scout, &["--kind", "seen,final"]);
    assert_eq!(kinds(&two).len(), 4);

    let text = ok(&marque(scout, &["audit", "show", "--verdict", "allowed"]));
    assert!(text.contains("0.02 tUSD to feed"), "{text}");
    let refused = &shown(scout, &["--verdict", "refused"])[0]["seq"].to_string();
    let whole = ok(&marque(scout, &["audit", "show", refused]));
    assert!(whole.contains("FAIL  limits.tUSD.payment") && whole.contains("0.50 tUSD"), "{whole}");
    assert!(!whole.contains('\u{1b}') && whole.contains("\\u{1b}"), "{whole}");
    let (text, code) = failed(&marque(scout, &["audit", "show", "9999"]));
    assert!(code == 2 && text.contains("there is no entry 9999"), "{text}");
    for wrong in [["--since", "soon"], ["--kind", "paid"], ["--verdict", "maybe"]] {
        let out = marque(scout, &[&["audit", "show"], &wrong[..]].concat());
        assert_eq!(out.status.code(), Some(2), "{wrong:?}");
    }
}

fn proves(town: &Town, scout: &Citizen, feed: &Citizen) {
    let paid = &shown(scout, &["--verdict", "allowed", "--payee", "feed"])[1];
    let name = town.dir.path().join("refund");
    let name = name.to_str().unwrap();
    let seq = paid["seq"].to_string();
    ok(&marque(scout, &["audit", "prove", &seq, "--out", name]));
    let (text, code) = failed(&marque(scout, &["audit", "prove", "0", "--out", name]));
    assert!(code == 1 && text.contains("exists already; nothing was overwritten"), "{text}");
    let proof = format!("{name}.tlog-proof");
    // Three files in an empty folder, and the owner's address from elsewhere.
    let mail = town.dir.path().join("mail");
    std::fs::create_dir(&mail).unwrap();
    for ends in ["tlog-proof", "json", "genesis.json"] {
        std::fs::rename(format!("{name}.{ends}"), mail.join(format!("refund.{ends}"))).unwrap();
    }
    let proof_at = mail.join("refund.tlog-proof");
    let at = proof_at.to_str().unwrap();
    assert!(!Path::new(&proof).exists());
    let owner = scout.party.owner.address().to_string();
    let text = ok(&stranger(&["audit", "verify", "--proof", at, "--owner", &owner]));
    assert!(text.contains(&format!("proved: it is entry {seq}")), "{text}");
    assert!(text.contains("not checked") && text.contains("to feed"), "{text}");
    // The key alone will do, as C2SP verifiers write it and as genesis names it.
    let report = &objects(&marque(scout, &["--json", "audit", "verify"]))[0];
    let key = report["key"].as_str().unwrap();
    ok(&stranger(&["audit", "verify", "--proof", at, "--key", key]));
    let genesis = shown(scout, &["-n", "9999"])[0]["body"]["log_key"].as_str().unwrap().to_owned();
    ok(&stranger(&["audit", "verify", "--proof", at, "--key", &genesis]));

    let other = feed.party.owner.address().to_string();
    let (text, code) = failed(&stranger(&["audit", "verify", "--proof", at, "--owner", &other]));
    assert!(code == 1 && text.contains("not"), "{text}");
    let (_, code) = failed(&stranger(&["audit", "verify", "--proof", at]));
    assert_eq!(code, 2, "a proof needs something that is known");
    let report = &objects(&marque(feed, &["--json", "audit", "verify"]))[0];
    let theirs = report["key"].as_str().unwrap();
    assert_eq!(failed(&stranger(&["audit", "verify", "--proof", at, "--key", theirs])).1, 1);
    // The entry, the genesis or the proof with one figure changed.
    for (file, from, to) in [
        ("refund.json", "\"units\":\"20000\"", "\"units\":\"10000\""),
        ("refund.genesis.json", "\"chain_genesis\":\"0x", "\"chain_genesis\":\"0x0"),
        ("refund.tlog-proof", "index ", "index 1"),
    ] {
        let path = mail.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let out = stranger(&["audit", "verify", "--proof", at, "--owner", &owner]);
        assert_eq!(failed(&out).1, 1, "{file}");
        std::fs::write(&path, text).unwrap();
    }
    let (text, code) = failed(&marque(scout, &["audit", "prove", "9999"]));
    assert!(code == 2 && text.contains("there is no entry 9999"), "{text}");
}

fn exports(town: &Town, scout: &Citizen) {
    let all = shown(scout, &[]);
    let lines = objects(&marque(scout, &["audit", "export"]));
    let (last, entries) = lines.split_last().unwrap();
    assert_eq!(entries, all, "canonical entries, every one");
    let checkpoint =
        std::fs::read_to_string(scout.party.home.journal().join("checkpoint")).unwrap();
    assert_eq!(last["checkpoint"], checkpoint.as_str());

    let file = town.dir.path().join("payments.csv");
    let path = file.to_str().unwrap();
    let args = ["audit", "export", "--format", "csv", "--payee", "feed", "--out", path];
    ok(&marque(scout, &args));
    // A folder is no file to write to, and no draft is left beside it or taken for one.
    let (folder, mine) = (town.dir.path().join("a.csv"), town.dir.path().join("a.csv.new"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(&mine, "mine").unwrap();
    let before = std::fs::read_dir(town.dir.path()).unwrap().count();
    failed(&marque(scout, &["audit", "export", "--out", folder.to_str().unwrap()]));
    assert_eq!(std::fs::read_dir(town.dir.path()).unwrap().count(), before);
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "mine");
    let text = std::fs::read_to_string(&file).unwrap();
    let (head, rows) = text.split_once('\n').unwrap();
    assert_eq!(head, marque::audit::export::head());
    let allowed: Vec<_> = rows.lines().filter(|row| row.contains(",allowed,allowed,")).collect();
    assert_eq!(allowed.len(), 2);
    assert!(allowed.iter().all(|row| row.contains(",0.02,tUSD,")), "{allowed:?}");
    assert!(text.ends_with(&format!("{checkpoint}\"\n")), "{text}");
    // What the mind said of the resource is in a cell, and no formula; signatures are nowhere.
    assert!(text.contains("danger"));
    let longest = text.split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max().unwrap();
    assert!(longest <= 64, "{longest} hex digits");
}

fn compares(scout: &Citizen, feed: &Citizen, kept: &str) {
    let text = ok(&marque(scout, &["audit", "diff", kept]));
    assert!(text.contains("the journal extends it") && text.contains("2 final"), "{text}");
    let lines = objects(&marque(scout, &["--json", "audit", "diff", kept]));
    let (from, to) = (lines[0]["from"].as_u64().unwrap(), lines[0]["to"].as_u64().unwrap());
    assert_eq!(lines.len() as u64, 1 + to - from);
    assert_eq!(lines[1]["seq"], from);
    let theirs = feed.party.home.journal().join("checkpoint");
    let (text, code) = failed(&marque(scout, &["audit", "diff", theirs.to_str().unwrap()]));
    assert!(code == 1 && text.contains("is not to be believed"), "{text}");
    // Nobody is accused where a file is missing or damaged, and the file is named.
    let damaged = scout.party.home.path().join("kept-damaged");
    std::fs::write(&damaged, [0xff; 99]).unwrap();
    let damaged = damaged.to_str().unwrap();
    for (args, wanted) in [
        (&["diff", damaged][..], 1),
        (&["verify", "--checkpoint", damaged], 1),
        (&["diff", "/nowhere/kept"], 2),
        (&["verify", "--checkpoint", "/nowhere/kept"], 2),
        (&["verify", "--proof", "/nowhere/kept", "--owner", &format!("0x{:040}", 1)], 2),
        (&["diff", kept, "--journal", "/nowhere"], 2),
    ] {
        let (text, code) = failed(&marque(scout, &[&["audit"], args].concat()));
        assert!(code == wanted && !text.contains("somebody"), "{args:?}: {text}");
        assert!(text.contains("/nowhere") || text.contains("kept-damaged"), "{args:?}: {text}");
    }

    // What was checked is told, and what was not.
    let report = &objects(&marque(scout, &["--json", "audit", "verify"]))[0];
    let open = |report: &Value| report["unchecked"].as_array().unwrap().len();
    let owner = scout.party.owner.address().to_string();
    let more = ["--json", "audit", "verify", "--owner", &owner, "--checkpoint", kept];
    let known = &objects(&marque(scout, &more))[0];
    assert_eq!((open(report), open(known)), (4, 1), "{report}");
    assert_eq!(known["owner_known"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_watches_what_is_left_and_what_another_policy_would_have_done() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let mut scout = town.buyer("scout", &[&feed], "").await;

    // The live view goes on through a restart, and ends in order.
    let home = scout.party.home.path().to_owned();
    let follow =
        Live::start(&scout, &["--json", "audit", "show", "--follow", "--kind", "allowed,stopped"]);
    let next = || follow.next();
    scout.buy(&feed.goods(), "first").await.unwrap();
    assert!(next().contains("\"task\":\"first\""));
    settled(&scout, 1).await;
    scout.stop().await;
    assert!(next().contains("\"kind\":\"stopped\""));
    town.restart(&mut scout, &[]).await;
    let watch = Live::start(&scout, &["--json", "budget", "scout", "--watch"]);
    assert!(watch.next().contains("\"left\":\"480000\""));
    scout.buy(&feed.goods(), "second").await.unwrap();
    assert!(watch.next().contains("\"left\":\"460000\""), "it shows what has changed");
    watch.interrupt();
    assert!(next().contains("\"task\":\"second\""));
    follow.interrupt();

    settled(&scout, 2).await;
    let (running, text) = budget(&scout, "steward");
    assert!(text.contains("0.46 of 0.50 tUSD left"), "{text}");
    let check = ok(&marque(&scout, &["steward", "check"]));
    assert!(check.contains("unchecked  index"), "{check}");
    let owner = scout.party.owner.address();
    assert!(check.contains(&format!("owner who was in force then; now it is {owner}")), "{check}");
    scout.stop().await;
    let (stopped, text) = budget(&scout, "journal");
    assert!(text.contains("no steward runs"), "{text}");
    assert_eq!(running, stopped, "the journal says what the steward said");
    let check = ok(&marque(&scout, &["steward", "check"]));
    assert!(!check.contains("unchecked") && !check.contains("DIFFERS"), "{check}");
    let (text, code) = failed(&marque(&scout, &["budget", "nobody"]));
    assert!(code == 2 && text.contains("there are scout"), "{text}");

    replays(&town, &scout);

    // A home that is not what its journal says.
    let outbox = home.join("outbox").join("cd".repeat(32));
    std::fs::write(&outbox, "stray").unwrap();
    let (text, code) = failed(&marque(&scout, &["steward", "check"]));
    assert!(code == 1 && text.contains("outbox"), "{text}");
}

/// A command that goes on.
struct Live {
    child: Child,
    told: mpsc::Receiver<String>,
}

impl Live {
    fn start(citizen: &Citizen, args: &[&str]) -> Self {
        let home = citizen.party.home.path();
        let mut command = Command::new(MARQUE);
        let command = command.arg("--home").arg(home).args(args).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| drop(tell.send(line)));
        });
        Self { child, told }
    }

    fn next(&self) -> String {
        self.told.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    /// Ctrl-C, which is no failure.
    fn interrupt(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // It may have ended in order already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The budgets as JSON, without what time alone changes, and as text.
fn budget(scout: &Citizen, from: &str) -> (Value, String) {
    let mut said = objects(&marque(scout, &["--json", "budget", "scout"])).remove(0);
    assert_eq!(said["from"], from);
    let hour = &said["budgets"][0];
    assert_eq!(
        (hour["rule"].as_str(), hour["left"].as_str()),
        (Some("limits.tUSD.hour"), Some("460000"))
    );
    assert_eq!(hour["next"]["amount"]["units"], "20000");
    let text = ok(&marque(scout, &["budget"]));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(!text.contains('\u{1b}'), "no colour where it is no terminal");
    assert!(text.contains("comes free in"), "{text}");
    (said["budgets"].take(), text)
}

fn replays(town: &Town, scout: &Citizen) {
    let policy = ok(&marque(scout, &["policy", "show", "scout@adopted"]));
    let file = town.dir.path().join("new.toml");
    let path = file.to_str().unwrap();
    let replay = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        marque(scout, &[&["policy", "replay", path, "--agent", "scout"], more].concat())
    };
    // The same policy, by its name and as a file.
    let same = ok(&marque(scout, &["policy", "replay", "scout@adopted", "--since", "30d"]));
    assert!(same.contains("no decision would have been another"), "{same}");
    ok(&replay(&policy, &["--never-wider"]));
    // 0.03 in an hour: the second payment would not have been.
    let strict = policy.replacen("hour = \"0.50\"", "hour = \"0.03\"", 1);
    let text = ok(&replay(&strict, &["--never-wider"]));
    assert!(text.contains("allowed -> refused by limits.tUSD.hour"), "{text}");
    assert!(text.contains("less would have been spent    0.02 tUSD"), "{text}");
    let said = &objects(&replay(&strict, &["--json"]))[0];
    assert_eq!(said["changes"].as_array().unwrap().len(), 1);
    assert_eq!((&said["wider"], &said["reading"]), (&Value::Bool(false), &"followed".into()));
    assert_eq!(said["rules"][0]["rule"], "limits.tUSD.hour");
    // The other way round it is wider.
    let now = ok(&marque(scout, &["policy", "replay", path, "--agent", "scout", "--as-spent"]));
    assert!(now.contains("each judged on the ledger as it really was"), "{now}");
    let (text, code) = failed(&marque(scout, &["policy", "replay", "nobody"]));
    assert!(code == 2 && text.contains("nobody"), "{text}");
}

#[test]
fn every_command_of_an_auditor_has_help_with_an_example() {
    for (command, example) in [
        ("audit show", "marque audit show --since"),
        ("audit verify", "marque audit verify --owner"),
        ("audit prove", "marque audit prove 42"),
        ("audit export", "marque audit export --format csv"),
        ("audit diff", "marque audit diff kept"),
        ("budget", "marque budget scout"),
        ("policy replay", "marque policy replay scout"),
        ("steward check", "marque steward check"),
    ] {
        let args: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let text = ok(&stranger(&args));
        assert!(text.contains(example) && text.contains("--json"), "{text}");
    }
}

#[test]
fn the_page_names_every_column_of_an_export_and_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let page = read("docs/audit.md");
    for column in marque::audit::export::COLUMNS {
        assert!(page.contains(&format!("`{column}`")), "docs/audit.md does not name {column}");
    }
    let promises = page.lines().filter(|line| line.starts_with("| ") && line.contains(".rs`"));
    for promise in promises {
        let names: Vec<_> = promise.split('`').skip(1).step_by(2).collect();
        let [file, test] = names[..] else { panic!("{promise}") };
        assert!(read(file).contains(&format!("fn {test}(")), "{file} has no {test}");
    }
}
