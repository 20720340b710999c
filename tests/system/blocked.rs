//! Who tries to keep an owner from ending what was delegated: one endpoint of two that is silent, refuses
//! or lies, a host that plants files, a line of notes that nobody can read, another chain.

use crate::{
    account::{DOLLAR, Estate},
    command::{failure, ok},
    robbed_endpoint::swallows,
    robbed_host::{ask, between, lies},
    support::Town,
};
use alloy_primitives::{B256, U64, U256};
use marque::{
    home::OwnerHome,
    owner::{Adopted, Note, Notes},
};
use marque_identity::{account::Permissions, devnet::Options};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    process::Output,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// An endpoint before an honest one that does what it is told to do.
#[derive(Clone)]
pub(crate) struct Liar {
    pub(crate) url: String,
    says: Arc<Mutex<&'static str>>,
    /// What it was handed, and does not forget.
    kept: Arc<Mutex<Vec<Value>>>,
    /// The most questions that it was asked at a time, while it was slow.
    at_once: Arc<AtomicU64>,
}

impl Liar {
    fn before(honest: &str) -> Self {
        let says = Arc::new(Mutex::new("the truth"));
        let (of, honest) = (Arc::clone(&says), honest.to_owned());
        let (sent, first) = (AtomicU64::new(0), OnceLock::new());
        let (asked_now, at_once) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
        let most = Arc::clone(&at_once);
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keeps = Arc::clone(&kept);
        let url = lies(move |asked| {
            while *of.lock().unwrap() == "nothing" {
                std::thread::sleep(Duration::from_millis(20));
            }
            let says = *of.lock().unwrap();
            if asked["method"] == "eth_sendRawTransaction" {
                keeps.lock().unwrap().push(asked.clone());
            }
            if says == "the truth, late" {
                std::thread::sleep(Duration::from_millis(3500));
            }
            if says == "the truth, slowly" {
                most.fetch_max(asked_now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(900));
                asked_now.fetch_sub(1, Ordering::SeqCst);
            }
            lie(says, asked).unwrap_or_else(|| {
                let said = ask(&honest, asked);
                if says == "one more than was signed" {
                    match asked["method"].as_str().unwrap() {
                        "eth_sendRawTransaction" => drop(sent.fetch_add(1, Ordering::SeqCst)),
                        "eth_getTransactionCount" => {
                            let number: U64 =
                                serde_json::from_value(said["result"].clone()).unwrap();
                            let first = *first.get_or_init(|| number.to::<u64>());
                            let number = first + sent.load(Ordering::SeqCst);
                            return json!({ "result": U64::from(number) });
                        }
                        _ => {}
                    }
                }
                match said.get("error") {
                    Some(error) => json!({ "error": error }),
                    None => json!({ "result": said["result"] }),
                }
            })
        });
        Self { url, says, kept, at_once }
    }

    /// All that it was handed since it was asked last.
    pub(crate) fn kept(&self) -> Vec<Value> {
        std::mem::take(&mut *self.kept.lock().unwrap())
    }

    pub(crate) fn says(&self, says: &'static str) {
        *self.says.lock().unwrap() = says;
    }
}

fn lie(says: &str, asked: &Value) -> Option<Value> {
    let method = asked["method"].as_str().unwrap();
    let result = |value: Value| Some(json!({ "result": value }));
    let error = json!({ "error": { "code": -32000, "message": "not here" } });
    match (says, method) {
        ("no", _) => Some(error),
        ("another chain" | "another chain, and it hides all", "eth_chainId") => {
            result(json!("0x1"))
        }
        ("no coins", "eth_getBalance") => result(json!("0x0")),
        ("a number far ahead", "eth_getTransactionCount") => result(json!("0x10000")),
        ("a number long gone", "eth_getTransactionCount") => result(json!("0x0")),
        ("much is pending", "eth_getTransactionCount") if asked["params"][1] == "pending" => {
            result(json!("0x10000"))
        }
        ("wild fees" | "wild fees for what it hides", "eth_maxPriorityFeePerGas") => {
            result(json!("0x10000000000000000"))
        }
        (
            "wild fees for what it hides" | "another chain, and it hides all",
            "eth_getTransactionReceipt",
        ) => result(Value::Null),
        ("no fees", "eth_maxPriorityFeePerGas") => result(json!("0x0")),
        ("much gas", "eth_estimateGas") => result(json!("0x1000000000")),
        ("little gas", "eth_estimateGas") => result(json!("0x5208")),
        ("little gas, and it takes all", "eth_estimateGas") => result(json!("0x4000")),
        ("little gas, and it takes all", "eth_sendRawTransaction") => result(json!(B256::ZERO)),
        ("it fails", "eth_estimateGas") => {
            Some(json!({ "error": { "code": 3, "message": "execution reverted" } }))
        }
        // It sees no end, and wants another, each at 700 gwei.
        ("one more than was signed", "eth_getTransactionReceipt") => result(Value::Null),
        ("one more than was signed", "eth_maxPriorityFeePerGas") => result(json!("0xa2fb405800")),
        ("one more than was signed", "eth_estimateGas") => result(json!("0x13880")),
        ("little gas at much", "eth_estimateGas") => result(json!("0x9c40")),
        ("little gas at much", "eth_maxPriorityFeePerGas") => result(json!("0x12a05f2000")),
        ("another beginning", "eth_getBlockByNumber") if asked["params"][0] == "0x0" => {
            result(json!({ "number": "0x0", "hash": B256::repeat_byte(0x66), "timestamp": "0x1" }))
        }
        ("no transaction", "eth_sendRawTransaction") => Some(error),
        ("no code", "eth_getCode") => result(json!("0x")),
        ("it is mined", _) => swallows(asked).map(|said| json!({ "result": said })),
        // By its word it goes for nothing, and went.
        ("a gift", "eth_maxPriorityFeePerGas") => result(json!("0x0")),
        ("a gift", "eth_getBlockByNumber") => result(json!({
            "number": "0x1", "hash": B256::ZERO, "timestamp": "0x1", "baseFeePerGas": "0x1",
        })),
        ("a gift", _) => swallows(asked).map(|said| json!({ "result": said })),
        // It sees no end, ever, and says that the key is far ahead.
        ("it lives" | "the account is ahead", "eth_getTransactionReceipt") => result(Value::Null),
        ("it lives" | "the account is ahead", "eth_getTransactionCount") => {
            result(json!("0x10000"))
        }
        ("it lives" | "the account is ahead", "eth_sendRawTransaction") => Some(error),
        ("it lives", "eth_call") => says_of_nonce(asked, 0),
        // What is delegated next will name the nonce that it says.
        ("the account is ahead", "eth_call") => says_of_nonce(asked, 1),
        ("it lives" | "the account is ahead", "eth_estimateGas") => result(json!("0x80000")),
        _ => None,
    }
}

fn says_of_nonce(asked: &Value, nonce: u64) -> Option<Value> {
    let call = asked["params"][0]["data"].as_str().or(asked["params"][0]["input"].as_str());
    let asked = call.is_some_and(|call| call.contains(&hex_of_nonce()));
    asked.then(|| json!({ "result": format!("0x{nonce:064x}") }))
}

fn hex_of_nonce() -> String {
    use alloy_sol_types::SolCall as _;
    let selector =
        marque_contracts::delegation::binding::INonceEnforcer::currentNonceCall::SELECTOR;
    alloy_primitives::hex::encode(selector)
}

fn told(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

impl Estate {
    /// With a liar before the honest endpoint in the policy, and something delegated.
    pub(crate) async fn beside_a_liar() -> (Self, Liar) {
        let estate = Self::new().await;
        let honest = estate.town.economy.devnet.url().to_owned();
        let liar = Liar::before(&honest);
        ok(&estate.account(&["deploy", "scout"]));
        estate.adopt_on(2, &[&liar.url, &honest]);
        ok(&estate.account(&["delegate", "scout", "--yes"]));
        (estate, liar)
    }

    /// Ends what is delegated beside a liar, and looks at the chain itself.
    pub(crate) async fn ends_beside(
        &self,
        liar: &Liar,
        says: &'static str,
        args: &[&str],
    ) -> (String, i32) {
        let living = self.permissions();
        assert!(!self.over(&living).await);
        liar.says(says);
        let start = Instant::now();
        let out = self.account(&[&["revoke"], args].concat());
        liar.says("the truth");
        let text = told(&out);
        assert!(self.over(&living).await, "{says} {args:?}: {text}");
        assert!(start.elapsed() < Duration::from_secs(120), "{says}: {:?}", start.elapsed());
        assert!(out.status.success() || text.contains("--rpc URL"), "{says}: {text}");
        (text, out.status.code().unwrap())
    }
}

/// As often as there are lies.
async fn ends_beside_each(lies: &[&'static str]) {
    let (estate, liar) = Estate::beside_a_liar().await;
    for says in lies {
        estate.ends_beside(&liar, says, &["scout"]).await;
        ok(&estate.account(&["delegate", "scout", "--yes"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_endpoint_of_two_keeps_a_revocation_from_the_chain_by_what_it_says_of_the_key() {
    let lies = [
        "no coins",
        "a number far ahead",
        "a number long gone",
        "much is pending",
        "another chain",
        "it is mined",
    ];
    ends_beside_each(&lies).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_endpoint_of_two_keeps_a_revocation_from_the_chain_by_what_it_asks_for() {
    ends_beside_each(&["wild fees", "no fees", "much gas", "little gas", "it fails", "a gift"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_endpoint_of_two_keeps_a_revocation_from_the_chain_by_what_it_does_not_do() {
    let (estate, liar) = Estate::beside_a_liar().await;
    let host = liar.url.trim_start_matches("http://");
    for (says, code) in [("no", 1), ("nothing", 1), ("no transaction", 0), ("no code", 0)] {
        for args in [&["scout"][..], &["--all"]] {
            let (text, found) = estate.ends_beside(&liar, says, args).await;
            assert_eq!(found, code, "{says}: {text}");
            if code == 1 {
                assert!(text.contains("may live") && text.contains(host), "{says}: {text}");
                assert!(text.contains(&format!("without {host}: ")), "{says}: {text}");
            }
            ok(&estate.account(&["delegate", "scout", "--yes"]));
        }
    }
}

/// It insists: whatever is sent, it says that nothing has ended, and that the key has sent 65,536.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_by_the_word_of_a_liar_stays_behind_with_a_word() {
    let (estate, liar) = Estate::beside_a_liar().await;
    let (text, code) = estate.ends_beside(&liar, "it lives", &["--all"]).await;
    assert!(code == 1 && text.contains("may live"), "{text}");
    let host = liar.url.trim_start_matches("http://");
    assert!(
        text.contains(&format!("{host} says that your key's next transaction has number 65536"))
    );
    assert!(text.contains("once your key has sent so many"), "{text}");
    assert!(text.contains(&format!("name another endpoint instead of {host} in the policy")));
    // The key's own next transactions have the numbers that the chain takes.
    ok(&estate.account(&["delegate", "scout", "--yes"]));
    ok(&estate.account(&["revoke", "scout"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_endpoint_empties_the_owners_key_with_fees() {
    let (estate, liar) = Estate::beside_a_liar().await;
    let owner = estate.owner.parse().unwrap();
    let has = || async { estate.town.economy.rpc.balance(owner).await.unwrap() };
    let before = has().await;
    estate.ends_beside(&liar, "one more than was signed", &["scout"]).await;
    // At most a tenth of a coin by its word, and what the chain asks for by the other's.
    let tenth = U256::from(10).pow(U256::from(17));
    let spent = before - has().await;
    assert!(spent < tenth + tenth / U256::from(10), "{spent}");
    assert!(spent > tenth / U256::from(10), "it got none of what it wanted: {spent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pays_does_not_fail_by_the_gas_of_the_dearest_endpoint() {
    let (estate, liar) = Estate::beside_a_liar().await;
    liar.says("little gas at much");
    ok(&estate.account(&["withdraw", "scout", "1.00 tUSD"]));
}

/// The newest policy is another agent's, and leads to a liar alone.
#[tokio::test(flavor = "multi_thread")]
async fn all_is_ended_through_the_endpoints_of_every_agent() {
    let (estate, liar) = Estate::beside_a_liar().await;
    ok(&estate.marque(&["new", "other"]));
    let agents = estate.path().join("home/agents");
    let policy = std::fs::read_to_string(agents.join("scout/policy.toml")).unwrap();
    let honest = format!(", \"{}\"]", estate.town.economy.devnet.url());
    assert!(policy.contains(&honest));
    std::fs::write(agents.join("other/policy.toml"), policy.replace(&honest, "]")).unwrap();
    ok(&estate.marque(&["policy", "adopt", "other"]));
    estate.ends_beside(&liar, "no transaction", &["--all"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_journal_begins_with_the_word_of_one_endpoint() {
    let estate = Estate::new().await;
    let honest = estate.town.economy.devnet.url().to_owned();
    let liar = Liar::before(&honest);
    let home = estate.path().join("fresh");
    estate.town.found_from(&home);
    let fresh =
        |args: &[&str]| estate.marque(&[&["--home", home.to_str().unwrap()], args].concat());
    ok(&fresh(&["new", "scout"]));
    let policy = std::fs::read_to_string(estate.path().join("home/agents/scout/policy.toml"));
    let both = format!("[\"{}\", \"{honest}\"]", liar.url);
    let policy = policy.unwrap().replace(&format!("[\"{honest}\"]"), &both);
    std::fs::write(home.join("agents/scout/policy.toml"), policy).unwrap();
    liar.says("another beginning");
    let (text, code) = failure(&fresh(&["policy", "adopt", "scout", "--anew"]));
    assert!(code == 1 && text.contains("begins with different blocks"), "{text}");
    assert!(text.contains(liar.url.trim_start_matches("http://")), "{text}");
    liar.says("the truth");
    ok(&fresh(&["policy", "adopt", "scout", "--anew"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_the_owners_folder_calls_nobody_safe() {
    let estate = Estate::delegated().await;
    let files = estate.path().join("home/agents/scout");
    std::fs::remove_file(files.join("delegation.json")).unwrap();
    let nowhere = estate.path().join("nowhere");
    let args = ["account", "status", "scout", "--owner-home", nowhere.to_str().unwrap()];
    let out = estate.marque(&args);
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(!out.status.success() && !said.contains("is safe"), "{out:?}");
    assert!(said.contains("there is no owner's key in"), "{out:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_silent_costs_seconds() {
    let (estate, liar) = Estate::beside_a_liar().await;
    let within = |seconds: u64, args: &[&str]| {
        let start = Instant::now();
        let out = estate.account(args);
        let took = start.elapsed();
        assert!(took < Duration::from_secs(seconds), "{args:?}: {took:?}, {}", told(&out));
        out
    };
    liar.says("nothing");
    let out = within(40, &["status", "scout"]);
    assert!(String::from_utf8_lossy(&out.stdout).contains("did not answer"), "{out:?}");
    // What nobody can know is not signed.
    let (text, code) = failure(&within(40, &["delegate", "scout", "--yes", "--anew"]));
    assert!(code == 1 && text.contains("no answer within"), "{text}");
    // It ends what it can, and says of whom it does not know.
    let (text, _) = failure(&within(80, &["revoke", "scout"]));
    assert!(text.contains("may live") && text.contains("--rpc URL"), "{text}");
    assert!(estate.over(&estate.permissions()).await);
    // It is not called over, and not alive either.
    let out = within(40, &["status", "scout"]);
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(said.contains("whether anything can be drawn is not known"), "{said}");
    assert!(!said.contains("nothing can be drawn"), "{said}");
    let (said, code) = estate.status();
    assert_eq!((code, &said["delegated"]), (1, &json!(true)), "{said}");
}

/// It is never so late with one answer that it is not waited for: so it is not asked one thing after
/// another.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_takes_its_time_is_asked_several_things_at_once() {
    let (estate, liar) = Estate::beside_a_liar().await;
    liar.says("the truth, slowly");
    for args in [["status", "scout"], ["revoke", "scout"]] {
        liar.at_once.store(0, Ordering::SeqCst);
        ok(&estate.account(&args));
        let most = liar.at_once.load(Ordering::SeqCst);
        assert!((3..=8).contains(&most), "{args:?}: {most} at once");
    }
    assert!(estate.over(&estate.permissions()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_there_is_is_not_what_one_endpoint_says() {
    let estate = Estate::delegated().await;
    let honest = estate.town.economy.devnet.url().to_owned();
    let account = format!("{:x}", estate.permissions().account);
    let poor = between(honest.clone(), move |asked| {
        let balance = asked["method"] == "eth_call"
            && asked.to_string().contains("70a08231")
            && asked.to_string().to_lowercase().contains(&account);
        balance.then(|| json!(format!("0x{:064x}", DOLLAR)))
    });
    estate.adopt_on(2, &[&poor, &honest]);
    let (text, code) = failure(&estate.account(&["withdraw", "scout", "all tUSD"]));
    assert!(code == 1 && text.contains("20.00 tUSD") && text.contains("1.00 tUSD"), "{text}");
    assert!(text.contains("nothing was signed"), "{text}");
    assert_eq!(estate.has(estate.owner.parse().unwrap()).await, 0);
    ok(&estate.account(&["withdraw", "scout", "20.00 tUSD"]));
    assert_eq!(estate.has(estate.owner.parse().unwrap()).await, 20 * DOLLAR);
}

/// A second home of the same owner's, with an agent of the same name, on a chain of another number.
struct Beyond {
    town: Town,
    home: PathBuf,
}

impl Beyond {
    async fn delegated(estate: &Estate) -> Self {
        let town = Town::on(&Options { chain_id: 1337, ..Options::default() }).await;
        let home = estate.path().join("beyond");
        town.found_from(&home);
        let beyond = Self { town, home };
        beyond.marque(estate, &["new", "scout"]);
        let economy = &beyond.town.economy;
        let draft = std::fs::read_to_string(estate.path().join("home/agents/scout/policy.toml"))
            .unwrap()
            .replace("eip155:31337", "eip155:1337")
            .replace(estate.town.economy.devnet.url(), economy.devnet.url())
            .replace(&estate.town.economy.dollar.to_string(), &economy.dollar.to_string());
        std::fs::write(beyond.home.join("agents/scout/policy.toml"), draft).unwrap();
        let ether = U256::from(10).pow(U256::from(18));
        economy.devnet.give_eth(estate.owner.parse().unwrap(), ether).await.unwrap();
        for args in [
            &["policy", "adopt", "scout", "--anew"][..],
            &["account", "deploy", "scout"],
            &["account", "delegate", "scout", "--yes"],
        ] {
            beyond.marque(estate, args);
        }
        beyond
    }

    fn marque(&self, estate: &Estate, args: &[&str]) {
        ok(&estate.marque(&[&["--home", self.home.to_str().unwrap()], args].concat()));
    }

    async fn over(&self) -> bool {
        let file = self.home.join("agents/scout/delegation.json");
        let permissions = Permissions::read(&file).unwrap().unwrap();
        permissions.standing(&self.town.economy.rpc).await.unwrap().is_over()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_ended_on_every_chain_on_which_it_is_known() {
    let estate = Estate::delegated().await;
    let living = estate.permissions();
    let beyond = Beyond::delegated(&estate).await;
    assert!(!beyond.over().await);
    let said = ok(&estate.account(&["revoke", "scout"]));
    assert!(said.contains("on eip155:31337 any more"), "{said}");
    assert!(said.contains("on eip155:1337 any more"), "{said}");
    assert!(estate.over(&living).await && beyond.over().await);
    assert_eq!(ok(&estate.account(&["revoke", "scout"])).matches("has ended already").count(), 2);
    ok(&estate.account(&["delegate", "scout", "--yes"]));
    beyond.marque(&estate, &["account", "delegate", "scout", "--yes"]);
    // Nobody answers there.
    let (living, home) = (estate.permissions(), beyond.home.clone());
    drop(beyond);
    for args in [&["revoke", "scout"][..], &["revoke", "--all"]] {
        let out = estate.account(args);
        let (text, code) = failure(&out);
        assert!(code == 1 && text.contains("Connection refused"), "{text}");
        assert!(text.contains("--rpc URL"), "{text}");
        assert!(String::from_utf8_lossy(&out.stdout).contains("eip155:31337"), "{out:?}");
        assert!(estate.over(&living).await);
    }
    assert!(home.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_full_of_planted_files_keeps_no_owner_waiting() {
    let estate = Estate::delegated().await;
    let living = estate.permissions();
    let agents = estate.path().join("home/agents");
    for number in 0..20_000 {
        std::fs::create_dir(agents.join(format!("a{number}"))).unwrap();
    }
    for file in ["scout/delegation.json", "scout/policy.toml", "scout/agent.toml"] {
        let file = std::fs::File::create(agents.join(file)).unwrap();
        file.set_len(1 << 42).unwrap();
    }
    let entries = estate.path().join("home/journal/entries");
    for segment in std::fs::read_dir(&entries).unwrap().flatten() {
        let file = std::fs::File::options().write(true).open(segment.path()).unwrap();
        file.set_len(1 << 42).unwrap();
    }
    for (args, ends) in
        [(["status", "scout"], false), (["revoke", "scout"], true), (["revoke", "--all"], true)]
    {
        let start = Instant::now();
        let out = estate.account(&args);
        assert!(start.elapsed() < Duration::from_secs(120), "{args:?}: {:?}", start.elapsed());
        assert!(told(&out).contains("not all were looked at"), "{args:?}: {}", told(&out));
        assert_eq!(out.status.success(), ends, "{args:?}: {}", told(&out));
    }
    assert!(estate.over(&living).await);
    let (text, code) = failure(&estate.account(&["delegate", "scout", "--yes"]));
    assert!(code != 0 && text.contains("longer than"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_that_cannot_be_read_takes_none_away_that_can() {
    let estate = Estate::delegated().await;
    let living = estate.permissions();
    let notes = estate.path().join("owner/notes.jsonl");
    let text = std::fs::read_to_string(&notes).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    std::fs::write(&notes, format!("{first}\n{{\"note\":\"dreamt\"}}\n{rest}")).unwrap();
    // What rests on all of them is not signed.
    for args in [&["account", "delegate", "scout", "--yes"][..], &["policy", "adopt", "scout"]] {
        let (text, code) = failure(&estate.marque(args));
        assert!(code == 1 && text.contains("notes.jsonl: line 2: "), "{args:?}: {text}");
    }
    let out = estate.account(&["status", "scout"]);
    assert!(out.status.code() == Some(1) && told(&out).contains("line 2: "), "{out:?}");
    let out = estate.account(&["revoke", "scout"]);
    let (text, code) = failure(&out);
    assert!(code == 1 && text.contains("line 2: ") && text.contains("may live"), "{text}");
    assert!(String::from_utf8_lossy(&out.stdout).contains("can draw nothing"), "{out:?}");
    assert!(estate.over(&living).await);
    let out = estate.account(&["revoke", "--all", "--again"]);
    let (text, code) = failure(&out);
    assert!(code == 1 && text.contains("line 2: "), "{text}");
    assert!(String::from_utf8_lossy(&out.stdout).contains("has ended"), "{out:?}");
}

/// A newer marque noted it, on a chain that no other policy names.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_cannot_be_read_takes_no_chain_away_in_silence() {
    let estate = Estate::delegated().await;
    let living = estate.permissions();
    let folder = OwnerHome::locate(Some(estate.path().join("owner"))).unwrap();
    let adopted = |chain| {
        Note::Adopted(Adopted {
            agent: "other".to_owned(),
            key: estate.stolen().address(),
            chain,
            origin: B256::repeat_byte(7),
            home: None,
            version: 3,
            policy: B256::ZERO,
            document: "format = 99\n".to_owned(),
            in_force: true,
        })
    };
    Notes::of(&folder).unwrap().add(adopted(84_532)).unwrap();
    let out = estate.account(&["revoke", "--all"]);
    let (text, code) = failure(&out);
    assert!(
        code == 1 && text.contains("version 3 of the policy of other on eip155:84532"),
        "{text}"
    );
    assert!(text.contains("through an endpoint of eip155:84532") && text.contains("--rpc URL"));
    assert!(String::from_utf8_lossy(&out.stdout).contains("on eip155:31337 has ended"), "{out:?}");
    assert!(estate.over(&living).await);
    // Where an older one leads to the chain, that is gone by, and said.
    let notes = estate.path().join("owner/notes.jsonl");
    let text = std::fs::read_to_string(&notes).unwrap();
    std::fs::write(&notes, text.replace("84532", "31337")).unwrap();
    let out = estate.account(&["revoke", "--all", "--again"]);
    ok(&out);
    assert!(told(&out).contains("this goes by an older one"), "{out:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_block_takes_keeps_no_account_from_being_deployed() {
    let estate = Estate::new().await;
    let devnet = &estate.town.economy.devnet;
    marque_identity::devnet::place_framework(devnet.rpc()).await.unwrap();
    devnet.set_interval(0).await.unwrap();
    let fee = estate.town.economy.rpc.fees().await.unwrap().max_fee_per_gas;
    let stuck = estate.owner_sends(fee).await;
    let deploy = crate::command::start(estate.path(), &["account", "deploy", "scout"]);
    crate::support::eventually("it is replaced", 90, || async { !estate.knows(stuck).await }).await;
    devnet.set_interval(1).await.unwrap();
    let out = tokio::task::block_in_place(|| deploy.wait_with_output().unwrap());
    assert!(ok(&out).contains("the account is deployed"), "{out:?}");
    assert!(told(&out).contains("this takes its place: what that one was to do"), "{out:?}");
}
