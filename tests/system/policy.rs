//! `marque policy` as an owner uses it: files and drafts, without a chain.

use crate::command::{failure, marque, ok};
use serde_json::Value;
use std::path::{Path, PathBuf};

const OWNER: &str = "0x00000000000000000000000000000000000000f1";
const FEED: &str = "0x00000000000000000000000000000000000000f2";

/// What all agents share.
fn ground() -> String {
    format!(
        r#"
owner = "{OWNER}"

[chain.devnet]
id = "eip155:31337"
rpc = ["http://127.0.0.1:8545"]
finality = 2
native = "ETH"

[asset.USDC]
chain = "devnet"
token = "0x00000000000000000000000000000000000000f3"
decimals = 6
domain = {{ name = "USD Coin", version = "2" }}
"#
    )
}

/// What one agent may do.
fn permissions(more: &str) -> String {
    format!(
        r#"
[limits.USDC]
payment = "1.00"
day = "2.00"
ask_above = "0.50"

[[payee]]
name = "feed"
address = "{FEED}"
host = "feed.example"
day = "0.60 USDC"

[[tool]]
name = "fetch_data"
hosts = ["feed.example"]
{more}"#
    )
}

fn whole(more: &str) -> String {
    format!("format = 1\nversion = 1\n{}{}", ground(), permissions(more))
}

fn file(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// `marque policy ...` on files in `dir`.
fn policy(dir: &Path, args: &[&str]) -> std::process::Output {
    marque(dir, &[&["policy"], args].concat())
}

fn json(dir: &Path, args: &[&str]) -> Value {
    let text = ok(&marque(dir, &[&["--json", "policy"], args].concat()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The rules of a table that failed or ask.
fn rules(said: &Value, mark: &str) -> Vec<String> {
    let rows = said["table"].as_array().unwrap().iter();
    rows.filter(|row| row["mark"] == mark)
        .map(|row| row["rule"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_case_is_explained_rule_by_rule_with_the_words_of_a_test() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "policy.toml", &whole(""));
    let path = path.to_str().unwrap();
    let explain = |more: &[&str]| json(dir.path(), &[&["explain", path], more].concat());
    assert_eq!(explain(&["pay 0.30 USDC to feed"])["decision"], "allow");
    let past = ["--given", "paid 0.40 USDC to feed 5h ago"];
    let said = explain(&[&["pay 0.30 USDC to feed"], &past[..]].concat());
    assert_eq!(said["decision"], "refuse");
    assert_eq!(rules(&said, "fail"), ["payee.feed.day"]);
    let held = explain(&["pay 0.55 USDC to feed"]);
    assert_eq!(rules(&held, "ask"), ["limits.USDC.ask_above"]);
    assert_eq!(explain(&["pay 0.55 USDC to feed", "--approved"])["decision"], "allow");
    let asked = explain(&["pay 0.30 USDC to feed", "--asked-by", "evil.example"]);
    assert_eq!(rules(&asked, "fail"), ["payee.feed.host"]);
    let label =
        explain(&["pay 0.30 USDC to feed", "--asked-by", "evil.example", "--label", "memory"]);
    assert_eq!(rules(&label, "ask"), ["labels"]);
    assert_eq!(rules(&explain(&["pay 0.30 USDC to cousin"]), "fail"), ["payee.known"]);
    assert_eq!(explain(&["use fetch_data to GET feed.example"])["decision"], "allow");

    // For people it is a table, and it ends well whatever the answer is, unless that is asked for.
    let table = ok(&policy(dir.path(), &["explain", path, "pay 1.30 USDC to feed"]));
    assert!(table.contains("refused") && table.contains("FAIL  limits.USDC.payment"), "{table}");
    for (case, code) in [("pay 0.30", 0), ("pay 1.30", 3), ("pay 0.55", 4)] {
        let case = format!("{case} USDC to feed");
        let out = policy(dir.path(), &["explain", path, &case, "--exit-code"]);
        assert_eq!(out.status.code(), Some(code), "{case}");
    }
    for wrong in ["buy 0.30 USDC", "pay 0.30 EURC to feed", "pay 0.3000001 USDC to feed"] {
        let (text, code) = failure(&policy(dir.path(), &["explain", path, wrong]));
        assert!(code == 2 && text.contains("help:"), "{text}");
    }
    let (text, _) = failure(&policy(
        dir.path(),
        &["explain", path, "pay 0.30 USDC to feed", "--given", "paid 1 USDC to fed 1h ago"],
    ));
    assert!(text.contains("did you mean \"feed\"?"), "{text}");
}

#[test]
fn an_agents_draft_is_three_documents_and_a_mistake_names_the_file_it_is_in() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    ok(&marque(dir, &["owner", "init"]));
    ok(&marque(dir, &["new", "scout", "--policy", "frozen"]));
    let (home, agent) = (dir.join("home"), dir.join("home/agents/scout"));
    let shared = file(&home, "owner.toml", &format!("format = 1\n{}", ground()));
    let own = file(&agent, "policy.toml", &format!("format = 1\nversion = 1\n{}", permissions("")));
    let forbids = file(&agent, "policy.cedar", "forbid(principal, action, resource);\n");
    let refused = json(dir, &["explain", "scout", "pay 0.30 USDC to feed"]);
    assert_eq!(rules(&refused, "fail"), ["cedar.1"]);
    // The same from files, wherever they lie.
    let [shared, own, forbids] = [&shared, &own, &forbids].map(|path| path.to_str().unwrap());
    let files = ["explain", own, "pay 0.30 USDC to feed", "--owner", shared];
    assert_eq!(json(dir, &files)["decision"], "allow");
    let files = [&files[..], &["--cedar", forbids]].concat();
    assert_eq!(json(dir, &files)["hash"], refused["hash"]);

    for (path, broken, place) in [
        (shared, format!("format = 1\n{}\npayment = 1\n", ground()), ":17:"),
        (own, format!("format = 1\nversion = 1\n{}", permissions("hots = []\n")), ":18:"),
        (
            forbids,
            "forbid(principal, action, resource)\n  when { context.amuont > 1 };".into(),
            ":2:",
        ),
    ] {
        let good = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, broken).unwrap();
        let (text, code) = failure(&policy(dir, &["check", "scout"]));
        assert_eq!(code, 1);
        assert!(text.contains(&format!("{path}{place}")), "{text}");
        std::fs::write(path, good).unwrap();
    }
    // So does a warning.
    std::fs::write(
        own,
        format!("format = 1\nversion = 1\n{}", permissions("").replace("0.60", "9.00")),
    )
    .unwrap();
    let out = policy(dir, &["check", "scout"]);
    let warned = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(warned.contains(&format!("warning: {own}:")), "{warned}");
    let check = json(dir, &["check", "scout"]);
    assert_eq!(check["warnings"][0]["file"], own);
    // What a home shares is not said a second time by a ready-made policy.
    let (text, code) = failure(&policy(dir, &["new", "scout", "--for", "seller", "--force"]));
    assert!(code == 2 && text.contains("owner.toml"), "{text}");
}

#[test]
fn a_failed_test_shows_its_table_and_ends_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let test =
        |then: &str| format!("[[test]]\nwhen = \"pay 0.30 USDC to feed\"\nthen = \"{then}\"\n");
    let good = file(dir.path(), "good.toml", &whole(&test("allowed")));
    let bad = file(dir.path(), "bad.toml", &whole(&format!("{}{}", test("allowed"), test("held"))));
    let told = ok(&policy(dir.path(), &["test", good.to_str().unwrap()]));
    assert!(told.contains("1 of 1 tests passed"), "{told}");
    let out = policy(dir.path(), &["test", bad.to_str().unwrap()]);
    assert_eq!(failure(&out).1, 1);
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(told.contains("FAILED") && told.contains("limits.USDC.day"), "{told}");
    let out = marque(dir.path(), &["--json", "policy", "test", bad.to_str().unwrap()]);
    let said: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&said["failed"], &said["tests"][1]["decision"]), (&1.into(), &"allow".into()));
}

#[test]
fn a_wider_policy_is_told_apart_and_never_wider_ends_with_3() {
    let dir = tempfile::tempdir().unwrap();
    let old = file(dir.path(), "old.toml", &whole(""));
    let strict = file(dir.path(), "strict.toml", &whole("").replace("0.60", "0.40"));
    let loose = file(dir.path(), "loose.toml", &whole("").replace("0.60", "0.80"));
    let [old, strict, loose] = [&old, &strict, &loose].map(|path| path.to_str().unwrap());
    ok(&policy(dir.path(), &["diff", old, strict, "--never-wider"]));
    let told = ok(&policy(dir.path(), &["diff", old, loose]));
    assert!(told.contains("payee.feed.day"), "{told}");
    let (text, code) = failure(&policy(dir.path(), &["diff", old, loose, "--never-wider"]));
    assert_eq!(code, 3, "{text}");
    let said = json(dir.path(), &["diff", old, loose]);
    assert_eq!(said["wider"], true);
    assert_eq!(said["changes"][0]["direction"], "wider");
    assert_eq!(failure(&policy(dir.path(), &["diff", old])).1, 2);
    // A policy that was printed is a policy that can be read.
    let printed = file(dir.path(), "printed", &ok(&policy(dir.path(), &["show", old])));
    assert_eq!(
        json(dir.path(), &["diff", old, printed.to_str().unwrap()])["changes"],
        Value::Array(vec![])
    );
}

#[test]
fn every_ready_made_policy_is_written_checked_and_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let help = ok(&policy(dir.path(), &["new", "--help"]));
    for kind in marque_policies::DraftKind::ALL {
        assert!(help.contains(kind.name()), "{help}");
        let path = dir.path().join(format!("{}.toml", kind.name()));
        let path = path.to_str().unwrap();
        let new = ["new", path, "--for", kind.name(), "--owner-address", OWNER, "--token", FEED];
        let said = json(dir.path(), &new);
        let cedar = said["cedar"].as_str().map(|cedar| vec!["--cedar", cedar]).unwrap_or_default();
        let check = json(dir.path(), &[&["check", path], &cedar[..]].concat());
        assert_eq!((&check["failed"], &check["warnings"]), (&0.into(), &Value::Array(vec![])));
        let (text, code) = failure(&policy(dir.path(), &new));
        assert!(code == 2 && text.contains("--force"), "{text}");
        json(dir.path(), &[&new[..], &["--force"]].concat());
    }
    let path = dir.path().join("mine.toml");
    let path = path.to_str().unwrap();
    let payee = format!("feed={FEED}@feed.example");
    let new = ["new", path, "--for", "data-buyer", "--owner-address", OWNER, "--payee", &payee];
    let more = ["--day", "3", "--ask-above", "0.20", "--token", FEED, "--asset", "tUSD"];
    ok(&policy(dir.path(), &[&new[..], &more].concat()));
    for (amount, decision) in [("0.10", "allow"), ("0.25", "hold"), ("3.50", "refuse")] {
        let case = format!("pay {amount} tUSD to feed");
        assert_eq!(json(dir.path(), &["explain", path, &case])["decision"], decision, "{case}");
    }
    // What nobody said is left to be filled in, and said.
    let blank = dir.path().join("blank.toml");
    let told = ok(&policy(
        dir.path(),
        &["new", blank.to_str().unwrap(), "--for", "buyer", "--owner-address", OWNER],
    ));
    assert!(told.contains("fill in chain and token"), "{told}");
    assert!(failure(&policy(dir.path(), &["check", blank.to_str().unwrap()])).0.contains("token"));
    // Nobody is asked where nobody sits, and nothing is guessed.
    for wrong in [
        &["new", "x.toml", "--owner-address", OWNER][..],
        &["new", "x.toml", "--owner-address", OWNER, "--for", "seller", "--day", "1"],
        &["new", "x.toml", "--owner-address", OWNER, "--for", "buyer", "--day", "1,5"],
        &["new", "x.toml", "--owner-address", OWNER, "--for", "pirate"],
        &["new", "nobody", "--owner-address", OWNER, "--for", "buyer"],
    ] {
        assert_eq!(policy(dir.path(), wrong).status.code(), Some(2), "{wrong:?}");
    }
    assert!(!Path::new("x.toml").exists());
}

#[test]
fn what_was_given_wrong_is_told_before_a_draft_is_written() {
    const RIGHT: &str = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359";
    const WRONG: &str = "0xFb6916095ca1df60bB79Ce92cE3Ea74c37c5d359";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.toml");
    let path = path.to_str().unwrap();
    let new = |more: &[&str]| {
        let new = ["new", path, "--for", "buyer", "--owner-address", OWNER, "--token", FEED];
        policy(dir.path(), &[&new[..], more].concat())
    };
    for payee in [format!("feed={WRONG}"), format!("feed={WRONG}@feed.example")] {
        let (text, code) = failure(&new(&["--payee", &payee]));
        let line = "feed's address has a wrong checksum; copy it again from its source";
        assert!(code == 2 && text.contains(line), "{text}");
    }
    for (flag, whose) in [("--owner-address", "the owner's"), ("--token", "the token's")] {
        for (address, why) in [(WRONG, "wrong checksum"), ("0x12", "not 0x and 40 hex digits")] {
            let (text, code) =
                failure(&policy(dir.path(), &["new", path, "--for", "buyer", flag, address]));
            assert!(code == 2 && text.contains(why) && text.contains(whose), "{text}");
        }
    }
    for (more, numbers) in [
        (&["--payment", "0.30", "--ask-above", "0.30"][..], ["0.30", "0.30"]),
        (&["--ask-above", "7"], ["7.00", "1.00"]),
        (&["--payment", "5", "--day", "3"], ["5.00", "3.00"]),
    ] {
        let (text, code) = failure(&new(more));
        assert!(code == 2 && numbers.iter().all(|number| text.contains(number)), "{text}");
    }
    assert!(!Path::new(path).exists());
    let told = ok(&new(&["--payment", "0.30", "--payee", &format!("feed={RIGHT}")]));
    assert!(told.contains("the usual ask_above of 0.50") && told.contains("above 0.15"), "{told}");
    let decision = |amount: &str| {
        json(dir.path(), &["explain", path, &format!("pay {amount} tUSD to feed")])["decision"]
            .clone()
    };
    assert_eq!((decision("0.10"), decision("0.20")), ("allow".into(), "hold".into()));
}

#[test]
fn forbids_beside_a_policy_are_neither_forgotten_nor_kept_unseen() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (toml, cedar) = (path("trader.toml"), path("trader.cedar"));
    let new = |kind: &str, more: &[&str]| {
        let new = ["new", &toml, "--for", kind, "--owner-address", OWNER, "--token", FEED];
        policy(dir.path(), &[&new[..], more].concat())
    };
    let told = ok(&new("trader", &[]));
    assert!(told.contains(&format!("policy check {toml} --cedar {cedar}")), "{told}");
    let told = ok(&new("trader", &["--force"]));
    for replaced in [&toml, &cedar] {
        assert!(told.contains(&format!("what was in {replaced} is replaced")), "{told}");
    }
    let before = std::fs::read_to_string(&toml).unwrap();
    let (text, code) = failure(&new("buyer", &["--force"]));
    assert!(code == 2 && text.contains(&cedar), "{text}");
    assert_eq!(std::fs::read_to_string(&toml).unwrap(), before);

    let note = |args: &[&str]| {
        let said = policy(dir.path(), args).stderr;
        String::from_utf8(said).unwrap().lines().filter(|it| it.starts_with("note: ")).count()
    };
    for act in ["test", "check", "explain"] {
        assert_eq!((note(&[act, &toml]), note(&[act, &toml, "--cedar", &cedar])), (1, 0), "{act}");
    }
    for flag in ["--cedar", "--owner"] {
        let (text, code) = failure(&policy(dir.path(), &["check", &toml, flag, "gone"]));
        assert!(code == 2 && text.contains("there is no file gone"), "{text}");
    }

    // Each side of a comparison has its own.
    let own = file(dir.path(), "own.toml", &whole(""));
    let own = own.to_str().unwrap();
    let forbid = |name, amount: u32| {
        let text = format!(
            "forbid(principal, action == Action::\"pay\", resource)\n  when {{ context.amount_micros > {amount}00000 }};\n"
        );
        file(dir.path(), name, &text).to_str().unwrap().to_owned()
    };
    let (old, new) = (forbid("old.cedar", 1), forbid("new.cedar", 2));
    let changes = |more: &[&str]| {
        let said = json(dir.path(), &[&["diff", own, own], more].concat());
        (said["changes"].as_array().unwrap().len(), said["wider"] == true)
    };
    assert_eq!(changes(&["--cedar", &new, "--old-cedar", &new]), (0, false));
    assert!(changes(&["--cedar", &new, "--old-cedar", &old]).1, "a changed forbid is wider");
    assert!(changes(&["--old-cedar", &old]).1, "a forbid that is gone is wider");
    assert!(!changes(&["--cedar", &new]).1 && changes(&["--cedar", &new]).0 > 0);
}

#[test]
fn a_policy_that_has_expired_is_warned_of_and_not_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let text = whole("\n[limits.gas]\nday = \"0.01 ETH\"\n").replacen(
        "version = 1\n",
        "version = 1\nexpires = 2020-01-01T00:00:00Z\n",
        1,
    );
    let path = file(dir, "old.toml", &text);
    let check = json(dir, &["check", path.to_str().unwrap()]);
    assert_eq!(check["warnings"][0]["line"], 3, "{check}");
    let later = file(dir, "later.toml", &text.replace("2020", "2999"));
    let check = json(dir, &["check", later.to_str().unwrap()]);
    assert_eq!(check["warnings"], Value::Array(vec![]));
    ok(&marque(dir, &["owner", "init"]));
    ok(&marque(dir, &["new", "scout", "--policy", "frozen"]));
    file(&dir.join("home/agents/scout"), "policy.toml", &text);
    let (text, code) = failure(&policy(dir, &["adopt", "scout"]));
    assert!(code == 1 && text.contains("2020-01-01") && text.contains("has passed"), "{text}");
}

#[test]
fn schemas_are_printed_for_editors() {
    let dir = tempfile::tempdir().unwrap();
    for (of, key) in [("policy", "sub_agent"), ("owner", "owner")] {
        let schema: Value =
            serde_json::from_str(&ok(&policy(dir.path(), &["schema", of]))).unwrap();
        assert!(schema["properties"][key].is_object(), "{of}");
    }
    assert!(ok(&policy(dir.path(), &["schema", "cedar"])).contains("entity Payee"));
}
