//! What the owner's commands believe when somebody else has the host: no file there makes the owner
//! sign for another key, send money elsewhere, or take for ended what lives.

use crate::{
    account::Estate,
    command::{failure, marque, ok},
    robbed_endpoint::swallows,
};
use alloy_primitives::{Address, Bytes, U256, hex};
use alloy_sol_types::SolCall as _;
use marque::{
    home::OwnerHome,
    owner::{Note, Notes, Owner, OwnerError},
};
use marque_contracts::delegation::binding::{IDelegationManager, INonceEnforcer};
use marque_identity::{Rpc, account::Ground};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    sync::LazyLock,
};

pub(crate) fn edit(path: &Path, key: &str, value: Value) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    file[key] = value;
    std::fs::write(path, file.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_on_the_host_makes_what_lives_look_ended_or_keeps_it_alive() {
    let estate = Estate::delegated().await;
    for (key, value) in [
        ("until", json!(1)),
        ("grants", json!([])),
        ("nonce", json!("0x63")),
        ("salt", json!(U256::MAX)),
        ("owner", json!(Address::repeat_byte(0x66))),
        ("framework", json!(null)),
    ] {
        let (living, whole) =
            (estate.permissions(), std::fs::read_to_string(estate.file()).unwrap());
        edit(&estate.file(), key, value);
        let out = estate.account(&["revoke", "scout"]);
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            ok(&out).contains("can draw nothing") && told.contains("delegation.json"),
            "{told}"
        );
        assert!(estate.over(&living).await, "{key}");
        std::fs::write(estate.file(), &whole).unwrap();
        let out = estate.account(&["delegate", "scout", "--yes"]);
        ok(&out);
        assert_ne!(estate.permissions(), living);
    }
    let first = estate.permissions();
    let whole = std::fs::read_to_string(estate.file()).unwrap();

    // Taken away, it is still known to the owner: a narrower one replaces it, and not beside it.
    std::fs::remove_file(estate.file()).unwrap();
    estate.adopt(2, "day = \"1.00\"", "");
    let said = ok(&estate.account(&["delegate", "scout", "--yes"]));
    assert!(said.contains("what it had before is revoked"), "{said}");
    assert!(estate.over(&first).await);

    // The old file in its place says that something has ended, and hides nothing that lives. An edited
    // keystore does not hide it either.
    let second = estate.permissions();
    std::fs::write(estate.file(), &whole).unwrap();
    edit(&estate.keystore(), "address", json!(Address::repeat_byte(0x66)));
    ok(&estate.account(&["revoke", "scout"]));
    assert!(estate.over(&second).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_owners_folder_does_not_know_is_ended_before_more_is_signed() {
    let estate = Estate::delegated().await;
    let living = estate.permissions();
    // Another folder with the same key, and a host on which nothing is left of it.
    std::fs::remove_file(estate.path().join("owner/notes.jsonl")).unwrap();
    std::fs::remove_file(estate.file()).unwrap();
    let said = ok(&estate.account(&["delegate", "scout", "--yes"]));
    assert!(said.contains("does not know what was signed for this account before"), "{said}");
    assert!(estate.over(&living).await);
    let again = estate.permissions();
    assert!(!estate.over(&again).await);
    // From then on it knows.
    assert!(!ok(&estate.account(&["delegate", "scout", "--yes"])).contains("does not know"));
    assert_eq!(estate.permissions(), again);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sleeps_does_not_wake_when_all_others_are_ended() {
    let estate = Estate::delegated().await;
    let awake = estate.permissions();
    // A lying endpoint once had one signed for the nonce after this one.
    let policy = estate.policy();
    let ground = Ground { nonce: awake.nonce + U256::ONE, ..awake.ground() };
    let folder = OwnerHome::locate(Some(estate.path().join("owner"))).unwrap();
    let owner = Owner::unlock(&folder, &"correct horse battery staple".to_owned().into()).unwrap();
    let asleep = owner.delegate(&policy, &ground).unwrap();
    Notes::of(&folder).unwrap().add(Note::Delegated(Box::new(asleep.clone()))).unwrap();
    assert!(estate.draw(&asleep, estate.stolen().address(), 1).await.is_err());
    ok(&estate.account(&["revoke", "scout", "--all"]));
    assert!(estate.over(&awake).await && estate.over(&asleep).await);
    let refused = estate.draw(&asleep, estate.stolen().address(), 1).await.unwrap_err();
    assert!(refused.contains("the delegation was revoked"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_whose_host_is_gone_ends_everything_with_the_key_and_an_endpoint() {
    let estate = Estate::delegated().await;
    let living = estate.permissions();
    std::fs::rename(estate.path().join("home"), estate.path().join("stolen")).unwrap();
    let url = estate.town.economy.devnet.url();
    let (text, code) = failure(&estate.account(&["revoke", "--rpc", url]));
    assert!(code == 2 && text.contains("marque account revoke --all --rpc URL"), "{text}");
    let said = ok(&estate.account(&["revoke", "--all", "--rpc", url]));
    assert!(said.contains("has ended"), "{said}");
    assert!(estate.over(&living).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_endpoint_of_two_makes_nothing_look_ended() {
    let estate = Estate::delegated().await;
    let honest = estate.town.economy.devnet.url().to_owned();
    // It says of every delegation that it is disabled.
    let selector = hex::encode(IDelegationManager::disabledDelegationsCall::SELECTOR);
    let liar = between(honest, move |asked| {
        let disabled = asked["method"] == "eth_call" && asked.to_string().contains(&selector);
        disabled.then(|| json!(format!("0x{:064x}", 1)))
    });
    estate.adopt_on(2, &[&liar, estate.town.economy.devnet.url()]);
    let living = estate.permissions();
    assert_eq!(estate.status().0["disputed"], json!(true));
    ok(&estate.account(&["revoke", "scout"]));
    assert!(estate.over(&living).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_differ_in_the_nonce_get_nothing_signed() {
    let estate = Estate::new().await;
    ok(&estate.account(&["deploy", "scout"]));
    let honest = estate.town.economy.devnet.url().to_owned();
    let selector = hex::encode(INonceEnforcer::currentNonceCall::SELECTOR);
    let liar = between(honest.clone(), move |asked| {
        let nonce = asked["method"] == "eth_call" && asked.to_string().contains(&selector);
        nonce.then(|| json!(format!("0x{:064x}", 1)))
    });
    for (version, endpoints) in [(2, [&honest, &liar]), (3, [&liar, &honest])] {
        estate.adopt_on(version, &endpoints.map(String::as_str));
        let (text, code) = failure(&estate.account(&["delegate", "scout", "--yes"]));
        assert!(code == 1 && text.contains("nothing was signed"), "{text}");
        assert!(!estate.file().exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_wants_a_fortune_for_a_fee_gets_nothing_signed() {
    let estate = Estate::new().await;
    let honest = estate.town.economy.devnet.url().to_owned();
    // 15,000 gwei, for whoever mines.
    let liar = between(honest, |asked| match asked["method"].as_str() {
        Some("eth_maxPriorityFeePerGas") => Some(json!("0xda475abf000")),
        _ => None,
    });
    estate.adopt_on(2, &[&liar]);
    let (text, code) = failure(&estate.marque(&["fund", "scout", "0.01 ETH"]));
    assert!(code == 1 && text.contains("wants a fee of up to"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_swallows_a_revocation_does_not_make_it_one() {
    let estate = Estate::delegated().await;
    let honest = estate.town.economy.devnet.url().to_owned();
    let liar = between(honest.clone(), swallows);
    // The other one is a mirror that takes no transactions either: nothing ends, and that is said.
    let mirror = between(honest, |asked| match asked["method"].as_str() {
        Some("eth_sendRawTransaction") => Some(json!(format!("0x{:064x}", 7))),
        _ => None,
    });
    estate.adopt_on(2, &[&liar, &mirror]);
    let living = estate.permissions();
    let (text, code) = failure(&estate.account(&["revoke", "scout"]));
    assert!(code == 1 && text.contains("may live") && text.contains("--all --rpc"), "{text}");
    let (text, _) = failure(&estate.account(&["delegate", "scout", "--yes", "--anew"]));
    assert!(text.contains("may live"), "{text}");
    assert!(!estate.over(&living).await);
    assert_eq!(estate.permissions(), living, "nothing was signed beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_reaches_the_chain_past_an_endpoint_that_keeps_it_back() {
    let estate = Estate::delegated().await;
    let honest = estate.town.economy.devnet.url().to_owned();
    let liar = between(honest.clone(), |asked| match asked["method"].as_str() {
        Some("eth_sendRawTransaction") => Some(json!(format!("0x{:064x}", 7))),
        _ => None,
    });
    estate.adopt_on(2, &[&liar, &honest]);
    let living = estate.permissions();
    ok(&estate.account(&["revoke", "scout"]));
    assert!(estate.over(&living).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_one_endpoint_does_not_see_is_there_all_the_same() {
    let estate = Estate::delegated().await;
    let (honest, living) = (estate.town.economy.devnet.url().to_owned(), estate.permissions());
    let account = living.account.to_string().to_lowercase();
    let liar = between(honest.clone(), move |asked| {
        let code = asked["method"] == "eth_getCode";
        (code && asked["params"][0].to_string().to_lowercase().contains(&account))
            .then(|| json!("0x"))
    });
    estate.adopt_on(2, &[&liar, &honest]);
    ok(&estate.account(&["revoke", "scout", "--all"]));
    assert!(estate.over(&living).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_says_of_no_delegation_that_it_has_ended() {
    let estate = Estate::delegated().await;
    let living = estate.permissions();
    let selector = hex::encode(IDelegationManager::disabledDelegationsCall::SELECTOR);
    let liar = between(estate.town.economy.devnet.url().to_owned(), move |asked| {
        let disabled = asked["method"] == "eth_call" && asked.to_string().contains(&selector);
        disabled.then(|| json!(format!("0x{:064x}", 1)))
    });
    let file = estate.path().join("home/agents/scout/policy.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(estate.town.economy.devnet.url(), &liar)).unwrap();
    std::fs::remove_dir_all(estate.path().join("home/journal")).unwrap();
    std::fs::remove_file(estate.file()).unwrap();
    let out = estate.account(&["status", "scout"]);
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(!told.contains("nothing is delegated") && told.contains("3.00 tUSD left"), "{told}");
    assert_eq!(out.status.code(), Some(1));
    ok(&estate.account(&["revoke", "scout"]));
    assert!(estate.over(&living).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_does_not_keep_a_delegation_alive() {
    let estate = Estate::delegated().await;
    let living = estate.permissions();
    pipe(&estate.file());
    std::fs::write(estate.path().join("owner/notes.jsonl"), "rubbish\n").unwrap();
    for args in [&["revoke", "scout"][..], &["revoke", "--all"]] {
        let (text, code) = failure(&estate.account(args));
        assert!(code == 1 && text.contains("notes.jsonl"), "{text}");
        assert!(text.contains("--all --rpc"), "{text}");
    }
    let url = estate.town.economy.devnet.url();
    let out = estate.account(&["revoke", "--all", "--rpc", url]);
    assert!(String::from_utf8_lossy(&out.stdout).contains("on eip155:31337 has ended"), "{out:?}");
    // What the line says nobody knows.
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(1) && told.contains("notes.jsonl: line 1: "), "{told}");
    assert!(estate.over(&living).await);
}

/// A journal is only as good as the signatures in it: this one was begun by the thief, and says that a
/// wide policy of the owner's is in force.
#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_compared_with_what_its_owner_signed_and_with_nothing_else() {
    let estate = Estate::new().await;
    let theirs = estate.path().join("theirs");
    std::fs::create_dir_all(&theirs).unwrap();
    copy(&estate.path().join("home"), &theirs.join("home"));
    std::fs::remove_dir_all(theirs.join("home/journal")).unwrap();
    let as_thief = |args: &[&str]| tokio::task::block_in_place(|| marque(&theirs, args));
    let made: Value = serde_json::from_str(&ok(&as_thief(&["--json", "owner", "init"]))).unwrap();
    estate.draft(5, "day = \"1000.00\"", "");
    let wide =
        std::fs::read_to_string(estate.path().join("home/agents/scout/policy.toml")).unwrap();
    let thief = made["address"].as_str().unwrap();
    let draft = theirs.join("home/agents/scout/policy.toml");
    std::fs::write(&draft, wide.replace(&estate.owner, thief)).unwrap();
    ok(&as_thief(&["policy", "adopt", "scout"]));
    // The same origin and key; the draft is as wide as what is "in force".
    let journal = estate.path().join("home/journal");
    std::fs::remove_dir_all(&journal).unwrap();
    copy(&theirs.join("home/journal"), &journal);
    estate.draft(6, "day = \"1000.00\"", "");
    for args in [&["policy", "adopt", "scout", "--never-wider"][..], &["policy", "adopt", "scout"]]
    {
        let (text, code) = failure(&estate.marque(args));
        assert!(matches!(code, 1 | 3), "{args:?}: {text}");
    }
    // Nor where the folder has forgotten.
    std::fs::remove_file(estate.path().join("owner/notes.jsonl")).unwrap();
    let (text, code) = failure(&estate.marque(&["policy", "adopt", "scout", "--never-wider"]));
    assert!(code == 3 && text.contains("nothing shows that the draft is not wider"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_of_a_host_reaches_the_owners_terminal_as_it_is() {
    let estate = Estate::delegated().await;
    edit(&estate.file(), "\u{1b}[2J\u{1b}[8m", json!(1));
    let out = estate.account(&["status", "scout"]);
    for heard in [&out.stdout, &out.stderr] {
        assert!(!heard.contains(&0x1b), "{}", String::from_utf8_lossy(heard));
    }
    assert!(String::from_utf8_lossy(&out.stderr).contains("\\u{1b}[2J"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_journal_brings_no_older_policy_back() {
    let estate = Estate::delegated().await;
    let journal = estate.path().join("home/journal");
    let kept = estate.path().join("kept");
    copy(&journal, &kept);
    estate.adopt(2, "day = \"1.00\"", "");
    std::fs::remove_dir_all(&journal).unwrap();
    copy(&kept, &journal);
    estate.draft(3, "day = \"9.00\"", "");
    for args in [&["account", "delegate", "scout", "--yes"][..], &["policy", "adopt", "scout"]] {
        let (text, code) = failure(&estate.marque(args));
        assert!(code == 1 && text.contains("you adopted version 2"), "{args:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_home_in_the_place_of_an_owners_gets_nothing() {
    let estate = Estate::delegated().await;
    ok(&estate.marque(&["fund", "scout", "9 tUSD", "--faucet", "--owner"]));
    let (living, thief) = (estate.permissions(), Address::repeat_byte(0x66));
    let nothing_goes = async |why: &str| {
        for args in [
            &["fund", "scout", "0.01 ETH"][..],
            &["fund", "scout", "1 tUSD"],
            &["account", "delegate", "scout", "--yes", "--anew"],
            &["policy", "adopt", "scout"],
        ] {
            let (text, code) = failure(&estate.marque(args));
            assert!(matches!(code, 1 | 2), "{why}: {args:?}: {text}");
        }
        assert_eq!(estate.has(thief).await, 0);
        let coins = estate.town.economy.rpc.balance(thief).await.unwrap();
        assert!(coins.is_zero() && !estate.over(&living).await);
    };
    // Without a journal there is nothing that says which key was enrolled, except the owner's folder.
    let journal = estate.path().join("home/journal");
    std::fs::rename(&journal, estate.path().join("moved")).unwrap();
    for args in
        [&["account", "delegate", "scout", "--yes", "--anew"][..], &["policy", "adopt", "scout"]]
    {
        failure(&estate.marque(args));
    }
    ok(&estate.marque(&["fund", "scout", "0.01 ETH"]));
    edit(&estate.keystore(), "address", json!(thief));
    nothing_goes("and the keystore names the thief").await;

    // A whole home of the thief's own, journal and all, under an owner who is the thief.
    let theirs = estate.path().join("theirs");
    std::fs::create_dir_all(theirs.join("home")).unwrap();
    std::fs::copy(estate.path().join("home/devnet.toml"), theirs.join("home/devnet.toml")).unwrap();
    let as_thief = |args: &[&str]| ok(&tokio::task::block_in_place(|| marque(&theirs, args)));
    as_thief(&["owner", "init"]);
    as_thief(&["new", "scout"]);
    as_thief(&["policy", "adopt", "scout"]);
    let keys = std::fs::read_to_string(theirs.join("home/keys/scout.json")).unwrap();
    let keys: Value = serde_json::from_str(&keys).unwrap();
    let key: Address = keys["address"].as_str().unwrap().parse().unwrap();
    std::fs::remove_dir_all(estate.path().join("home")).unwrap();
    copy(&theirs.join("home"), &estate.path().join("home"));
    nothing_goes("another home is there").await;
    let coins = estate.town.economy.rpc.balance(key).await.unwrap();
    assert!(coins.is_zero() && estate.has(key).await == 0);
    // Nor where the owner's folder knows nothing yet.
    std::fs::remove_file(estate.path().join("owner/notes.jsonl")).unwrap();
    for args in [&["fund", "scout", "0.01 ETH"][..], &["account", "delegate", "scout", "--yes"]] {
        let (text, code) = failure(&estate.marque(args));
        assert!(code == 1, "{args:?}: {text}");
    }
    assert!(estate.town.economy.rpc.balance(key).await.unwrap().is_zero());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_draft_does_not_say_what_the_owners_money_is() {
    let estate = Estate::new().await;
    ok(&estate.marque(&["fund", "scout", "9 tUSD", "--faucet", "--owner"]));
    let file = estate.path().join("home/agents/scout/policy.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("decimals = 6", "decimals = 9")).unwrap();
    ok(&estate.marque(&["fund", "scout", "0.001 tUSD"]));
    assert_eq!(estate.has(estate.stolen().address()).await, 1_000);
    std::fs::write(&file, text.replace(estate.town.economy.devnet.url(), "http://127.0.0.1:9"))
        .unwrap();
    ok(&estate.marque(&["fund", "scout", "0.001 tUSD"]));
    assert_eq!(estate.has(estate.stolen().address()).await, 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_no_owner_adopted_anything_for_gets_none_of_their_money() {
    let estate = Estate::new().await;
    ok(&estate.marque(&["new", "second"]));
    let (text, code) = failure(&estate.marque(&["fund", "second", "0.01 ETH"]));
    assert!(code == 1 && text.contains("marque policy adopt second"), "{text}");
    // Begun again by its owner, it is adopted when the owner says so.
    for gone in ["home/journal", "home/agents/scout", "home/keys/scout.json"] {
        let gone = estate.path().join(gone);
        match gone.is_dir() {
            true => std::fs::remove_dir_all(&gone).unwrap(),
            false => std::fs::remove_file(&gone).unwrap(),
        }
    }
    ok(&estate.marque(&["new", "scout"]));
    let (text, code) = failure(&estate.marque(&["policy", "adopt", "scout"]));
    assert!(code == 1 && text.contains("--anew"), "{text}");
    ok(&estate.marque(&["policy", "adopt", "scout", "--anew"]));
    ok(&estate.marque(&["fund", "scout", "0.01 ETH"]));
}

/// Puts a pipe in the place of a file.
pub(crate) fn pipe(at: &Path) {
    std::fs::remove_file(at).unwrap();
    nix::unistd::mkfifo(at, nix::sys::stat::Mode::S_IRWXU).unwrap();
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copy(&entry.path(), &to),
            kind if kind.is_file() => drop(std::fs::copy(entry.path(), to).unwrap()),
            _ => {} // a socket
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_pays_and_delegates_to_the_key_that_was_enrolled() {
    let estate = Estate::delegated().await;
    let thief = Address::repeat_byte(0x66);
    edit(&estate.keystore(), "address", json!(thief));
    for args in [
        &["account", "delegate", "scout", "--anew", "--yes"][..],
        &["fund", "scout", "0.01 ETH"],
        &["fund", "scout", "1 tUSD", "--faucet"],
        &["account", "status", "scout"],
    ] {
        let (text, code) = failure(&estate.marque(args));
        assert!(code == 1 && text.contains("somebody changed it"), "{args:?}: {text}");
    }
    assert_eq!(estate.has(thief).await, 0);
    assert_eq!(estate.town.economy.rpc.balance(thief).await.unwrap(), U256::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_another_chain_gets_nothing_signed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = OwnerHome::locate(Some(dir.path().join("owner"))).unwrap();
    let secret = "correct horse battery staple".to_owned().into();
    Owner::create(&folder, &secret).unwrap();
    let owner = Owner::unlock(&folder, &secret).unwrap();
    // It says that it serves chain 1, and would be glad of a transaction for it.
    let url = lies(|_| json!({ "result": "0x1" }));
    let rpc = Rpc::new(&[url]).unwrap();
    let sent = owner.send(&rpc, 31_337, Address::ZERO, U256::ZERO, Bytes::new()).await;
    let error = sent.unwrap_err();
    assert!(matches!(error, OwnerError::Chains { found: 1, chain: 31_337 }), "{error}");
}

impl Estate {
    /// The same owner's agent in another home, adopted for a chain on which there is no account.
    pub(crate) fn elsewhere(&self, agent: &str, adopting: &[&str]) {
        let url = self.town.economy.devnet.url().to_owned();
        let public = between(url.clone(), |asked| {
            (asked["method"] == "eth_chainId").then(|| json!(format!("{:#x}", 84_532)))
        });
        let home = self.path().join("elsewhere");
        let marque = |args: &[&str]| {
            ok(&self.marque(&[&["--home", home.to_str().unwrap()], args].concat()));
        };
        marque(&["new", agent, "--chain", "84532"]);
        let draft = std::fs::read_to_string(self.path().join("home/agents/scout/policy.toml"));
        let draft = draft.unwrap().replace("eip155:31337", "eip155:84532").replace(&url, &public);
        std::fs::write(home.join("agents").join(agent).join("policy.toml"), draft).unwrap();
        marque(&[&["policy", "adopt", agent], adopting].concat());
    }
}

/// An endpoint before an honest one, which sometimes knows better.
pub(crate) fn between(
    honest: String,
    lie: impl Fn(&Value) -> Option<Value> + Send + Sync + 'static,
) -> String {
    lies(move |asked| {
        if let Some(lie) = lie(asked) {
            return json!({ "result": lie });
        }
        let said = ask(&honest, asked);
        match said.get("error") {
            Some(error) => json!({ "error": error }),
            None => json!({ "result": said["result"] }),
        }
    })
}

/// One client for whatever liars ask: one for each question costs more than the question.
static ASKING: LazyLock<(tokio::runtime::Runtime, reqwest::Client)> = LazyLock::new(|| {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    (tokio::runtime::Runtime::new().unwrap(), client)
});

/// What an endpoint answers to a question.
pub(crate) fn ask(url: &str, question: &Value) -> Value {
    let (runtime, client) = &*ASKING;
    runtime.block_on(async {
        client.post(url).json(question).send().await.unwrap().json().await.unwrap()
    })
}

/// An endpoint that answers as it likes, everybody at the same time.
pub(crate) fn lies(answer: impl Fn(&Value) -> Value + Send + Sync + 'static) -> String {
    let liar = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", liar.local_addr().unwrap());
    let answer = std::sync::Arc::new(answer);
    std::thread::spawn(move || {
        for stream in liar.incoming() {
            let (stream, answer) = (stream.unwrap(), std::sync::Arc::clone(&answer));
            std::thread::spawn(move || lies_to(stream, &*answer));
        }
    });
    url
}

fn lies_to(stream: std::net::TcpStream, answer: &impl Fn(&Value) -> Value) {
    let mut stream = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    // Whoever asked may be gone.
    let read = stream.read_exact(&mut body).ok();
    let Some(asked) = read.and_then(|()| serde_json::from_slice::<Value>(&body).ok()) else {
        return;
    };
    let mut said = json!({ "jsonrpc": "2.0", "id": asked["id"] });
    said.as_object_mut().unwrap().extend(answer(&asked).as_object().unwrap().clone());
    let said = said.to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    let said = format!("{head}\r\nContent-Length: {}\r\n\r\n{said}", said.len());
    drop(stream.into_inner().write_all(said.as_bytes()));
}
