//! The owner's hands: look, decide, stop; here, and from a machine that has the key and no steward.

use crate::{
    command::{Steward, failure, marque, ok, start},
    support::{MARQUE, Town, eventually},
};
use alloy_primitives::{Address, U256};
use marque_policies::{AssetId, Intent, IntentId, Labels, Money, intent::Authorise};
use marque_steward_client::{Client, Outcome, PaymentState, Proposal};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// What the agent may pay to.
const SHOP: Address = Address::repeat_byte(0x5a);

/// An owner with an agent, on the command line alone. Above 0.01 tUSD the owner is asked.
struct Estate {
    town: Town,
    dir: tempfile::TempDir,
}

impl Estate {
    async fn new() -> Self {
        let town = Town::new().await;
        let dir = tempfile::tempdir().unwrap();
        town.found_from(&dir.path().join("home"));
        let estate = Self { town, dir };
        estate.run(|estate| {
            let address = estate.json(&["owner", "init"])["address"].as_str().unwrap().to_owned();
            ok(&estate.marque(&["new", "scout"]));
            estate.draft(&address, 1, "");
            ok(&estate.marque(&["policy", "adopt", "scout"]));
            ok(&estate.marque(&["fund", "scout", "5 tUSD", "--faucet"]));
        });
        estate
    }

    /// The command line waits for processes, which a runtime should not.
    fn run<T>(&self, act: impl FnOnce(&Self) -> T) -> T {
        tokio::task::block_in_place(|| act(self))
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn marque(&self, args: &[&str]) -> std::process::Output {
        marque(self.path(), args)
    }

    fn json(&self, args: &[&str]) -> Value {
        let args = [&["--json"], args].concat();
        serde_json::from_str(&ok(&self.marque(&args))).unwrap()
    }

    fn draft(&self, owner: &str, version: u64, more: &str) {
        let text = format!(
            "format = 1\nversion = {version}\nowner = \"{owner}\"\n\n[chain.devnet]\n\
             id = \"eip155:{}\"\nrpc = [\"{}\"]\nfinality = 2\nnative = \"ETH\"\n\n[asset.tUSD]\n\
             chain = \"devnet\"\ntoken = \"{}\"\ndecimals = 6\n\
             domain = {{ name = \"Marque Test Dollar\", version = \"1\" }}\n\n[limits.tUSD]\n\
             payment = \"1\"\ntotal = \"2.00\"\nask_above = \"0.01\"\n\n[limits.gas]\n\
             day = \"0.05 ETH\"\n\n[[payee]]\nname = \"shop\"\naddress = \"{SHOP}\"\n\
             host = \"shop.example\"\n{more}",
            self.town.economy.devnet.chain_id(),
            self.town.economy.devnet.url(),
            self.town.economy.dollar,
        );
        std::fs::write(self.path().join("home/agents/scout/policy.toml"), text).unwrap();
        drop(std::fs::remove_file(self.path().join("home/agents/scout/policy.cedar")));
    }

    /// A running steward, and a connection as the mind has it.
    async fn steward(&self) -> (Steward, Client) {
        let steward = Steward(start(self.path(), &["steward", "run"]));
        let socket = self.path().join("home/agents/scout/steward.sock");
        let client = marque::owner::connect(&socket, Duration::from_secs(60)).await.unwrap();
        (steward, client)
    }

    fn payment(&self, task: &str, cents: u64, resource: &str) -> Proposal {
        let token = self.town.economy.dollar;
        let asset = AssetId { chain: self.town.economy.devnet.chain_id(), token };
        Proposal {
            task: task.to_owned(),
            step: 0,
            ordinal: 0,
            attempt: 0,
            intent: Intent::Authorise(Authorise {
                payee: "shop".to_owned(),
                to: SHOP,
                amount: Money::new(U256::from(cents * 10_000), asset),
                host: "shop.example".to_owned(),
                resource: resource.to_owned(),
                labels: Labels::default(),
            }),
        }
    }

    /// Proposes a payment that the owner is asked about; its id.
    async fn held(&self, mind: &Client, task: &str, cents: u64) -> IntentId {
        let proposal = self.payment(task, cents, "https://shop.example/wind.csv");
        match mind.propose(proposal).await.unwrap() {
            Outcome::Held { id, .. } => id,
            outcome => panic!("{outcome:?}"),
        }
    }

    /// A machine with a copy of the owner's folder, and nothing else of this.
    fn elsewhere(&self) -> tempfile::TempDir {
        let machine = tempfile::tempdir().unwrap();
        let copy = self.path().join("copy.json");
        if !copy.exists() {
            ok(&self.marque(&["owner", "backup", copy.to_str().unwrap()]));
        }
        ok(&marque(machine.path(), &["owner", "restore", copy.to_str().unwrap()]));
        machine
    }
}

async fn state(mind: &Client, id: IntentId) -> PaymentState {
    mind.wait(id, Duration::ZERO).await.unwrap().state
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_looks_decides_and_stops_with_the_command_line() {
    let estate = Estate::new().await;
    let (text, code) = estate.run(|it| failure(&it.marque(&["status"])));
    assert!(code == 1 && text.contains("no steward runs in"), "{text}");
    let idle = estate.run(|it| ok(&it.marque(&["stop"])));
    assert!(idle.contains("nothing to stop"), "{idle}");

    let (mut steward, mind) = estate.steward().await;
    let (yes, no, later) = (
        estate.held(&mind, "yes", 2).await,
        estate.held(&mind, "no", 3).await,
        estate.held(&mind, "later", 4).await,
    );
    estate.run(|it| {
        let status = it.json(&["status", "--balance"]);
        assert_eq!(status["running"], true);
        assert_eq!(status["process"], steward.0.id());
        assert_eq!(status["agents"][0]["policy_version"], 1);
        assert_eq!(status["agents"][0]["held"], 3);
        assert!(status["agents"][0]["balance"].to_string().contains("5.00 tUSD"), "{status}");
        assert_eq!(status["last"].as_array().unwrap().len(), 5);
        let text = ok(&it.marque(&["status"]));
        assert!(text.contains("3 for the owner") && text.contains("not enforced"), "{text}");

        let shown = ok(&it.marque(&["approvals"]));
        assert!(shown.contains(&format!("scout wants to pay 0.02 tUSD to {SHOP}")), "{shown}");
        assert!(shown.contains("this is its address in the policy"), "{shown}");
        assert!(shown.contains("limits.tUSD.ask_above"), "{shown}");
        assert!(shown.contains("so far    nothing was paid to this address"), "{shown}");
        let queue = it.json(&["approvals"]);
        assert_eq!(queue[0]["id"], yes.to_string());

        let short: String = yes.to_string().chars().take(14).collect();
        let (text, code) = failure(&it.marque(&["approve", "0x12345678", "--yes"]));
        assert!(code == 2 && text.contains("12 of its digits"), "{text}");
        // Nobody is at a terminal, and nobody said that nobody need be.
        let (text, code) = failure(&setsid(it.path(), &["approve", &short]));
        assert!(code == 2 && text.contains("--yes"), "{text}");
        let out = it.marque(&["approve", &short, "--for", "10m", "--yes"]);
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(told.contains("pay 0.02 tUSD"), "{told}");
        assert!(ok(&out).contains("approved scout: pay 0.02 tUSD"));
        ok(&it.marque(&["deny", &no.to_string(), "--yes"]));
        let (text, code) = failure(&it.marque(&["approve", &no.to_string(), "--yes"]));
        assert!(code == 2 && text.contains("no held intent begins with"), "{text}");
    });
    assert_eq!(state(&mind, no).await, PaymentState::Denied);
    let again = mind.propose(estate.payment("yes", 2, "https://shop.example/wind.csv")).await;
    assert!(matches!(again, Ok(Outcome::Allowed { .. })), "{again:?}");
    // Block time stands still: what is out stays out, however long the rest takes.
    estate.town.economy.devnet.set_interval(0).await.unwrap();

    estate.run(|it| {
        // What the first is about to take is told beside the one that waits.
        let told = it.json(&["approvals"])[0]["so_far"].as_str().unwrap().to_owned();
        let all = "in this task nothing; in all tasks 0.02 tUSD under way, to this address";
        assert_eq!(told, all);
        ok(&it.marque(&["freeze", "--reason", "to be sure"]));
        let status = it.json(&["status"]);
        assert_eq!(status["frozen"]["reason"], "to be sure");
        // An owner's freeze is not put into a mind's mouth.
        let text = ok(&it.marque(&["status"]));
        assert!(text.contains("over the owner's socket") && !text.contains("mind's"), "{text}");
        let (text, code) = failure(&it.marque(&["stop", "--wait", "0"]));
        assert!(code == 1 && text.contains("was asked to stop"), "{text}");
        let ended = steward.0.wait().unwrap();
        assert!(ended.success(), "{ended}");
        let (text, _) = failure(&it.marque(&["status"]));
        assert!(text.contains("no steward runs"), "{text}");
        let rest = it.marque(&["--json", "status"]);
        let rest: Value = serde_json::from_slice(&rest.stdout).unwrap();
        assert_eq!((&rest["running"], &rest["agents"][0]["held"]), (&json!(false), &json!(1)));
        assert_eq!(rest["last"][4]["body"]["kind"], "stopped");
        let queue = it.json(&["approvals"]);
        assert_eq!(queue[0]["id"], later.to_string(), "by the journal");
    });
    let (mut steward, mind) = estate.steward().await;
    let told = estate.run(|it| {
        ok(&it.marque(&["thaw"]));
        let told = ok(&it.marque(&["stop"]));
        assert!(steward.0.wait().unwrap().success());
        told
    });
    // The authorisation is out until its time is over, and the owner is told so.
    assert!(told.contains("still out") && told.contains(&yes.to_string()), "{told}");
    drop(mind);
}

/// Runs `marque` without a terminal, whatever the tests were started from.
fn setsid(dir: &Path, args: &[&str]) -> std::process::Output {
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(MARQUE).args(["--home"]).arg(dir.join("home"));
    command.arg("--owner-home").arg(dir.join("owner")).args(args);
    let credentials = dir.join("credentials");
    command.env("CREDENTIALS_DIRECTORY", credentials).stdin(Stdio::null()).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_decides_on_a_machine_that_has_no_steward() {
    let estate = Estate::new().await;
    let (_steward, mind) = estate.steward().await;
    let (yes, no) = (estate.held(&mind, "yes", 2).await, estate.held(&mind, "no", 3).await);
    let machine = estate.run(Estate::elsewhere);
    let at = |name: &str| machine.path().join(name).to_str().unwrap().to_owned();
    let request = at("request.json");
    estate.run(|it| {
        ok(&it.marque(&["approvals", "--export", &request]));
        let mode = std::fs::metadata(&request).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        failure(&it.marque(&["approvals", "--export", &request])); // never overwritten
        let sign = |act: &str, id: &IntentId, out: &str| {
            let id = id.to_string();
            let args = [act, &id, "--yes", "--request", &request, "--out", out];
            marque(machine.path(), &args)
        };
        let out = sign("approve", &yes, &at("yes.json"));
        ok(&out);
        assert!(String::from_utf8_lossy(&out.stderr).contains("pay 0.02 tUSD"));
        ok(&sign("deny", &no, &at("no.json")));
        assert!(!machine.path().join("home").exists());
        // A request is nothing to be submitted, and a signed file is no request.
        let (text, _) = failure(&it.marque(&["submit", &request]));
        assert!(text.contains("it is a request"), "{text}");
        let told = ok(&it.marque(&["submit", &at("yes.json")]));
        assert!(told.contains("approval of") && told.contains(": accepted,"), "{told}");
        let told = ok(&it.marque(&["submit", &at("yes.json")]));
        assert!(told.contains("was accepted already"), "{told}");
        ok(&it.marque(&["submit", &at("no.json")]));
    });
    assert_eq!(state(&mind, yes).await, PaymentState::Approved);
    assert_eq!(state(&mind, no).await, PaymentState::Denied);

    // The same through pipes, as over SSH: the passphrase comes on a descriptor, no file is made.
    let third = estate.held(&mind, "third", 5).await;
    estate.run(|it| {
        let (host, here) = (it.path().display(), machine.path().display());
        let line = format!(
            "{MARQUE} --home {host}/home approvals --export - | {MARQUE} --home {here}/none \
             --owner-home {here}/owner approve {third} --request - --out - --yes --owner-fd 3 \
             3<{host}/credentials/marque-owner | {MARQUE} --home {host}/home submit -",
        );
        let out = Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).output().unwrap();
        assert!(ok(&out).contains("approval of"), "{out:?}");
    });
    assert_eq!(state(&mind, third).await, PaymentState::Approved);

    // A thaw, and a new policy with its document.
    estate.run(|it| {
        ok(&it.marque(&["freeze"]));
        let owner = it.json(&["owner", "show"])["address"].as_str().unwrap().to_owned();
        it.draft(&owner, 2, "day = \"0.50 tUSD\"\n");
        let request = at("second.json");
        ok(&it.marque(&["approvals", "--export", &request]));
        let thaw = ["thaw", "--request", &request, "--out", &at("thaw.json")];
        ok(&marque(machine.path(), &thaw));
        let adopt = ["policy", "adopt", "scout", "--request", &request, "--out", &at("adopt.json")];
        let out = marque(machine.path(), &adopt);
        ok(&out);
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(told.contains("payee.shop.day"), "{told}");
        ok(&it.marque(&["submit", &at("thaw.json")]));
        ok(&it.marque(&["submit", &at("adopt.json")]));
        let status = it.json(&["status"]);
        assert_eq!(status["frozen"], Value::Null);
        assert_eq!(status["agents"][0]["policy_version"], 2);
        // The owner may as well adopt a document of their own instead of the host's draft.
        it.draft(&owner, 3, "day = \"0.40 tUSD\"\n");
        let own = at("own.toml");
        std::fs::rename(it.path().join("home/agents/scout/policy.toml"), &own).unwrap();
        let (out, draft) = (at("own.json"), ["--draft", &own]);
        let args = ["policy", "adopt", "scout", "--request", &request, "--out", &out];
        ok(&marque(machine.path(), &[args.as_slice(), &draft].concat()));
        ok(&it.marque(&["submit", &out]));
        assert_eq!(it.json(&["status"])["agents"][0]["policy_version"], 3);
        ok(&it.marque(&["stop"]));
        // Where no steward runs the journal takes it; the same once more changes nothing.
        ok(&it.marque(&["submit", &at("own.json")]));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_begins_its_journal_without_ever_having_the_owners_key() {
    let estate = Estate::new().await;
    let (host, machine) = (tempfile::tempdir().unwrap(), estate.run(Estate::elsewhere));
    let home = host.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::copy(estate.path().join("home/devnet.toml"), home.join("devnet.toml")).unwrap();
    estate.run(|it| {
        let owner = it.json(&["owner", "show"])["address"].as_str().unwrap().to_owned();
        ok(&marque(host.path(), &["new", "scout", "--owner-address", &owner]));
        let at = |name: &str| machine.path().join(name).to_str().unwrap().to_owned();
        let (request, signed) = (at("request"), at("signed"));
        ok(&marque(host.path(), &["approvals", "--export", &request]));
        let adopt = ["policy", "adopt", "scout", "--request", &request, "--out", &signed];
        let out = marque(machine.path(), &adopt);
        ok(&out);
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        // All that is signed is shown, as there is nothing to compare it with.
        assert!(told.contains("begins the journal") && told.contains("enrols scout"), "{told}");
        assert!(told.contains("tUSD"), "{told}");
        let submitted = ok(&marque(host.path(), &["submit", &signed]));
        assert_eq!(submitted.lines().count(), 3, "{submitted}");
        assert!(!host.path().join("owner").exists());
        let steward = Steward(start(host.path(), &["steward", "run"]));
        let socket = home.join("agents/scout/steward.sock");
        let up = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
        assert!((0..1_200).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            up()
        }));
        assert!(ok(&marque(host.path(), &["status"])).contains("policy        version 1"));
        drop(steward);
        // What is for one journal is nothing to another.
        let (text, _) = failure(&it.marque(&["submit", &signed]));
        assert!(text.contains("this is for journal"), "{text}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_lies_in_its_request_gets_no_signature() {
    let estate = Estate::new().await;
    let (_steward, mind) = estate.steward().await;
    let id = estate.held(&mind, "task", 2).await;
    estate.run(|it| {
        let machine = it.elsewhere();
        let file = machine.path().join("request.json");
        ok(&it.marque(&["approvals", "--export", file.to_str().unwrap()]));
        let honest: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        type Lie<'a> = (&'a str, &'a dyn Fn(&mut Value));
        let lies: [Lie<'_>; 10] = [
            ("not the one that its hash is of", &|it| {
                it["agents"][0]["held"][0]["intent"]["amount"]["units"] = json!("999000");
            }),
            ("not the one that its hash is of", &|it| {
                it["agents"][0]["held"][0]["body"] = json!(format!("0x{}", "11".repeat(32)));
            }),
            // Another name for what a dollar is.
            ("is not one you signed", &|it| {
                it["agents"][0]["policy"]["signature"] = json!(format!("0x{}", "11".repeat(65)));
            }),
            ("not the one that was signed", &|it| {
                let document = it["agents"][0]["policy"]["document"].as_str().unwrap();
                let document = document.replace("decimals = 6", "decimals = 9");
                it["agents"][0]["policy"]["document"] = json!(document);
            }),
            ("no policy is in force", &|it| {
                it["agents"][0]["policy"] = Value::Null;
            }),
            ("does not bear its owner's signature", &|it| {
                it["origin"] = json!(format!("0x{}", "22".repeat(32)));
            }),
            ("its log key is not", &|it| it["log_key"] = json!(format!("0x{}", "33".repeat(32)))),
            ("unknown field", &|it| it["note"] = json!("approve all")),
            ("\\u{1b}[2K", &|it| it["\u{1b}[2Kerror: none"] = json!(1)),
            ("of version 2", &|it| it["v"] = json!(2)),
        ];
        for (why, lie) in lies {
            let mut request = honest.clone();
            lie(&mut request);
            std::fs::write(&file, request.to_string()).unwrap();
            let out = machine.path().join("signed.json");
            let (id, file) = (id.to_string(), file.to_str().unwrap());
            let args = ["approve", &id, "--yes", "--request", file, "--out", out.to_str().unwrap()];
            let (text, code) = failure(&marque(machine.path(), &args));
            assert!(code == 1 && text.contains(why), "{why}: {text}");
            assert!(!text.contains('\u{1b}'), "{text:?}");
            assert!(!out.exists(), "{why}");
        }
        // Nor does a draft from there reach the owner's terminal with more than text in it.
        let mut request = honest.clone();
        request["agents"][0]["draft"] = json!("format = 1 # \u{1b}[2K\nversoin = 2\n");
        std::fs::write(&file, request.to_string()).unwrap();
        let adopt = ["policy", "adopt", "scout", "--request", file.to_str().unwrap(), "--out", "-"];
        let (text, _) = failure(&marque(machine.path(), &adopt));
        assert!(text.contains("\\u{1b}") && !text.contains('\u{1b}'), "{text:?}");
        // What it does not say is in force cannot be shown to be as strict as the draft.
        let mut request = honest.clone();
        let document = honest["agents"][0]["policy"]["document"].as_str().unwrap();
        let next = document.replacen("version = 1\n", "version = 2\n", 1);
        assert_ne!(next, document);
        request["agents"][0]["draft"] = json!(next);
        request["agents"][0]["held"] = json!([]);
        for (policy, wanted) in [(Value::Null, 3), (honest["agents"][0]["policy"].clone(), 0)] {
            request["agents"][0]["policy"] = policy;
            std::fs::write(&file, request.to_string()).unwrap();
            let out = machine.path().join("adopt.json");
            let (file, out_at) = (file.to_str().unwrap(), out.to_str().unwrap());
            let adopt =
                ["policy", "adopt", "scout", "--never-wider", "--request", file, "--out", out_at];
            let done = marque(machine.path(), &adopt);
            if wanted == 0 {
                ok(&done);
            } else {
                let (text, code) = failure(&done);
                assert!(code == wanted && text.contains("does not say what is in force"), "{text}");
            }
            assert_eq!(out.exists(), wanted == 0);
        }
        // Another owner's request is not for this key.
        ok(&marque(&machine.path().join("other"), &["owner", "init"]));
        std::fs::write(&file, honest.to_string()).unwrap();
        let (id, file) = (id.to_string(), file.to_str().unwrap());
        let args = ["approve", &id, "--yes", "--request", file, "--out", "-"];
        let (text, _) = failure(&marque(&machine.path().join("other"), &args));
        assert!(text.contains("is for owner"), "{text}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_says_who_decided_and_a_hook_is_no_shell() {
    let estate = Estate::new().await;
    let (_steward, mind) = estate.steward().await;
    let told = estate.path().join("told");
    let hook = estate.path().join("hook");
    script(
        &hook,
        &format!(
            "#!/bin/sh\nprintf '%s|' \"$@\" >>{0}\nprintf '%s|%s|' \"$MARQUE_APPROVAL\" \"$MARQUE_AGENT\" >>{0}\n\
         cat >>{0}\nexit 3\n",
            told.display()
        ),
    );
    let mut watch = Steward(start(
        estate.path(),
        &["--json", "approvals", "--hook", hook.to_str().unwrap(), "--", "fixed", "$(id)"],
    ));
    let mut lines = BufReader::new(watch.0.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };

    let canary = estate.path().join("canary");
    let task = format!("$(touch {0}); `touch {0}` | touch {0}\n--yes", canary.display());
    let hostile = estate.payment(&task, 2, "\u{1b}]0;x\u{7}https://shop.example/$(id)");
    let Outcome::Held { id, .. } = mind.propose(hostile.clone()).await.unwrap() else { panic!() };
    let event = estate.run(|_| next());
    assert_eq!((&event["event"], &event["held"]["id"]), (&json!("held"), &json!(id.to_string())));
    eventually("the hook", 60, || async {
        std::fs::read_to_string(&told).is_ok_and(|it| it.ends_with("}\n"))
    })
    .await;
    let heard = std::fs::read_to_string(&told).unwrap();
    let (before, object) = heard.split_at(heard.find('{').unwrap());
    assert_eq!(before, format!("fixed|$(id)|{id}|scout|"));
    let object: Value = serde_json::from_str(object).unwrap();
    assert_eq!(object["words"]["task"], task);
    assert!(!canary.exists());
    // The terminal's watch shows the same without what would rewrite the screen.
    let shown = estate.run(|it| ok(&it.marque(&["approvals"])));
    assert!(!shown.contains('\u{1b}') && shown.contains("\\u{1b}"), "{shown}");

    let owner = estate.run(|it| {
        ok(&it.marque(&["approve", &id.to_string(), "--yes"]));
        it.json(&["owner", "show"])["address"].as_str().unwrap().parse::<Address>().unwrap()
    });
    let event = estate.run(|_| next());
    assert_eq!((&event["event"], &event["by"]), (&json!("approved"), &json!(owner)));
    let again = mind.propose(hostile).await.unwrap();
    assert!(matches!(again, Outcome::Allowed { .. }), "{again:?}");
    // Ctrl-C ends it in order, also while it waits.
    terminate(watch.0.id());
    assert!(estate.run(|_| watch.0.wait().unwrap()).success());
    // The hook failed each time, and nothing came of that.
    let mut said = String::new();
    std::io::Read::read_to_string(&mut watch.0.stderr.take().unwrap(), &mut said).unwrap();
    assert!(said.contains("the hook") && said.contains("exit status: 3"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_decides_in_time_is_said_to_have_expired() {
    let estate = Estate::new().await;
    estate.run(|it| {
        let owner = it.json(&["owner", "show"])["address"].as_str().unwrap().to_owned();
        it.draft(&owner, 2, "\n[approvals]\nheld = \"20s\"\n");
        ok(&it.marque(&["policy", "adopt", "scout"]));
    });
    let (_steward, mind) = estate.steward().await;
    // Before anything is held, as time runs from then on.
    let machine = estate.run(Estate::elsewhere);
    let mut watch = Steward(start(estate.path(), &["--json", "approvals", "--watch"]));
    let mut lines = BufReader::new(watch.0.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let id = estate.held(&mind, "late", 2).await;
    estate.run(|it| {
        assert_eq!(next()["event"], "held");
        let file = machine.path().join("request.json");
        ok(&it.marque(&["approvals", "--export", file.to_str().unwrap()]));
        let since = std::time::Instant::now();
        let event = next();
        assert!(since.elapsed() < Duration::from_secs(60), "{:?}", since.elapsed());
        assert_eq!((&event["event"], &event["id"]), (&json!("closed"), &json!(id.to_string())));
        assert!(event["how"].as_str().unwrap().contains("expired"), "{event}");
        assert!(ok(&it.marque(&["approvals"])).contains("nothing is waiting"));
        let file = file.to_str().unwrap();
        let args = ["approve", &id.to_string(), "--yes", "--request", file, "--out", "-"];
        let (text, _) = failure(&marque(machine.path(), &args));
        assert!(text.contains("has expired"), "{text}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_hands_over_to_another_key_on_one_machine_or_on_three() {
    let estate = Estate::new().await;
    let (_steward, mind) = estate.steward().await;
    let (old, new) = (estate.run(Estate::elsewhere), tempfile::tempdir().unwrap());
    estate.run(|it| {
        let to = ok(&marque(new.path(), &["--json", "owner", "init"]));
        let to: Value = serde_json::from_str(&to).unwrap();
        let to = to["address"].as_str().unwrap();
        let at = |name: &str| old.path().join(name).to_str().unwrap().to_owned();
        let (request, handed, signed) = (at("request"), at("handed"), at("signed"));
        ok(&it.marque(&["approvals", "--export", &request]));
        let files = ["--request", &request, "--out", &handed];
        let rotate = [["owner", "rotate", "--yes", "--to", to].as_slice(), &files].concat();
        let out = marque(old.path(), &rotate);
        ok(&out);
        let next = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(next.contains("owner accept it") && !next.contains("marque submit"), "{next}");
        // One signature alone hands nothing over, and the wrong key cannot accept.
        let (text, _) = failure(&it.marque(&["submit", &handed]));
        assert!(text.contains("the new owner's signature"), "{text}");
        let (text, _) = failure(&marque(
            old.path(),
            &["owner", "accept", "--yes", &handed, "--out", &at("other")],
        ));
        assert!(text.contains("it is for"), "{text}");
        let accept = ["owner", "accept", "--yes", &handed, "--out", &signed];
        ok(&marque(new.path(), &accept));
        ok(&it.marque(&["submit", &signed]));
        assert_eq!(it.json(&["status"])["owner"], to.to_lowercase());
    });
    // The old key decides nothing any more, the new one does, also by a request.
    let id = estate.held(&mind, "task", 2).await;
    estate.run(|it| {
        let id = id.to_string();
        let (text, _) = failure(&it.marque(&["approve", &id, "--yes"]));
        assert!(text.contains("it takes"), "{text}");
        let at = |name: &str| new.path().join(name).to_str().unwrap().to_owned();
        let (request, signed) = (at("request"), at("signed"));
        ok(&it.marque(&["approvals", "--export", &request]));
        let args = ["approve", &id, "--yes", "--request", &request, "--out", &signed];
        let (text, _) = failure(&marque(old.path(), &args));
        assert!(text.contains("is for owner"), "{text}");
        // A rotation that one of them did not sign is a lie.
        let honest = std::fs::read_to_string(&request).unwrap();
        let mut lie: Value = serde_json::from_str(&honest).unwrap();
        lie["rotations"][0]["countersignature"] = lie["rotations"][0]["signature"].clone();
        std::fs::write(&request, lie.to_string()).unwrap();
        let (text, _) = failure(&marque(new.path(), &args));
        assert!(text.contains("both signatures"), "{text}");
        std::fs::write(&request, honest).unwrap();
        ok(&marque(new.path(), &args));
        ok(&it.marque(&["submit", &signed]));
    });
    assert_eq!(state(&mind, id).await, PaymentState::Approved);
    // Back again with both keys on the host, and no steward at work.
    estate.run(|it| {
        ok(&it.marque(&["stop"]));
        let folder = new.path().join("owner");
        let credentials = it.path().join("credentials");
        std::fs::copy(credentials.join("marque-owner"), credentials.join("marque-new-owner"))
            .unwrap();
        let home = it.path().join("owner");
        let args = ["--owner-home", folder.to_str().unwrap(), "owner", "rotate", "--yes"];
        let args = [args.as_slice(), &["--new-owner-home", home.to_str().unwrap()]].concat();
        let told = ok(&it.marque(&args));
        assert!(told.contains("the owner is"), "{told}");
        let verified = ok(&it.marque(&["audit", "verify"]));
        assert!(verified.contains("acts"), "{verified}");
        let checked = ok(&it.marque(&["steward", "check"]));
        assert!(checked.contains("in force then; now it is 0x"), "{checked}");
    });
}

#[test]
fn a_backup_is_drilled_and_restored_and_never_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // A new passphrase is as long as its prompt says, wherever it comes from.
    std::fs::write(dir.join("short"), "12345").unwrap();
    let short = Command::new("sh")
        .args(["-c", "exec \"$0\" --owner-home \"$1\" owner init --owner-fd 3 3<\"$2\""])
        .args([MARQUE.into(), dir.join("owner"), dir.join("short")])
        .output()
        .unwrap();
    let (text, code) = failure(&short);
    assert!(code == 2 && text.contains("at least 8 characters"), "{text}");
    let address = ok(&marque(dir, &["--json", "owner", "init"]));
    let copy = dir.join("copy.json");
    let copy = copy.to_str().unwrap();
    ok(&marque(dir, &["owner", "backup", copy]));
    let told = ok(&marque(dir, &["owner", "drill", copy]));
    assert!(told.contains("signs as") && told.contains("it is the key that is in"), "{told}");
    let (text, code) = failure(&marque(dir, &["owner", "restore", copy]));
    assert!(code == 2 && text.contains("has a key already"), "{text}");
    // On another machine, where there is nothing yet.
    let other = tempfile::tempdir().unwrap();
    let other = other.path();
    let told = ok(&marque(other, &["owner", "drill", copy]));
    assert!(told.contains("there is no key in"), "{told}");
    assert!(!other.join("owner").exists());
    std::fs::create_dir_all(other.join("credentials")).unwrap();
    std::fs::write(other.join("wrong"), "another passphrase").unwrap();
    let wrong = Command::new("sh")
        .args(["-c", "exec \"$0\" --owner-home \"$1\" owner restore \"$2\" --owner-fd 3 3<\"$3\""])
        .args([MARQUE.into(), other.join("owner"), PathBuf::from(copy), other.join("wrong")])
        .output()
        .unwrap();
    assert!(failure(&wrong).0.contains("passphrase"), "{wrong:?}");
    assert!(!other.join("owner").exists());
    assert_eq!(ok(&marque(other, &["--json", "owner", "restore", copy])), address);
    assert_eq!(ok(&marque(other, &["--json", "owner", "show"])), address);
    // Neither an agent's key nor another owner's passes for the one in use.
    ok(&marque(dir, &["new", "scout"]));
    let paying = dir.join("home/keys/scout.json");
    let stray = dir.join("stray.json");
    std::fs::copy(&paying, &stray).unwrap();
    for (file, why) in [(&paying, "a key of the steward"), (&stray, "the paying key of scout")] {
        for act in ["drill", "restore"] {
            let to = dir.join("empty");
            let args = ["--owner-home", to.to_str().unwrap(), "owner", act, file.to_str().unwrap()];
            let (text, code) = failure(&marque(dir, &args));
            assert!(code == 2 && text.contains(why) && !to.exists(), "{act}: {text}");
        }
    }
    let (text, code) = failure(&marque(dir, &["owner", "rotate"]));
    assert!(code == 2 && text.contains("--new-owner-home"), "{text}");
    let foreign = tempfile::tempdir().unwrap();
    ok(&marque(foreign.path(), &["owner", "init"]));
    let (text, code) = failure(&marque(foreign.path(), &["owner", "drill", copy]));
    assert!(code == 1 && text.contains("is NOT the key in"), "{text}");
    // A copy that rotted is found out by the drill, not when it is needed.
    let mut text: Value = serde_json::from_slice(&std::fs::read(copy).unwrap()).unwrap();
    let rotten = text["crypto"]["ciphertext"].as_str().unwrap().chars().rev().collect::<String>();
    text["crypto"]["ciphertext"] = json!(rotten);
    std::fs::write(copy, text.to_string()).unwrap();
    failure(&marque(dir, &["owner", "drill", copy]));
}

fn script(path: &Path, text: &str) {
    let mut file = std::fs::File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn terminate(process: u32) {
    let status = Command::new("kill").args(["-TERM", &process.to_string()]).status().unwrap();
    assert!(status.success());
}
