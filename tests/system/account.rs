//! `marque account` through the real command, on a real chain: what the owner signed holds against
//! whoever has the agent's key, and ends when the owner says so.

use crate::{
    command::{failure, marque, ok},
    support::{MARQUE, Town},
};
use alloy_primitives::{Address, Bytes, U256};
use axum::{Json, Router, routing::post};
use marque::owner::account_of;
use marque_contracts::delegation::{DEPLOYER, Delegation, Execution, Framework, Permission};
use marque_identity::{IdentityError, account::Permissions};
use marque_identity_keys::{Key, KeyDir, UnsignedTransaction};
use marque_policies::{AssetId, Policy};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

pub(crate) const FEED: Address = Address::repeat_byte(0xfe);
const STRANGER: Address = Address::repeat_byte(0x66);
pub(crate) const DOLLAR: u64 = 1_000_000;

/// An owner with an agent, on the command line alone: 20 tUSD in the account, 3 a day for the agent.
pub(crate) struct Estate {
    pub(crate) town: Town,
    dir: tempfile::TempDir,
    pub(crate) owner: String,
}

impl Estate {
    /// Up to an adopted policy.
    pub(crate) async fn new() -> Self {
        let town = Town::new().await;
        let dir = tempfile::tempdir().unwrap();
        town.found_from(&dir.path().join("home"));
        let mut estate = Self { town, dir, owner: String::new() };
        estate.owner = estate.json(&["owner", "init"])["address"].as_str().unwrap().to_owned();
        ok(&estate.marque(&["new", "scout"]));
        estate.adopt(1, "day = \"3.00\"", "");
        for args in [&["1 ETH", "--owner"][..], &["0.1 ETH"], &["20 tUSD", "--account"]] {
            ok(&estate.marque(&[&["fund", "scout", "--faucet"], args].concat()));
        }
        estate
    }

    /// With what the policy says delegated.
    pub(crate) async fn delegated() -> Self {
        let estate = Self::new().await;
        ok(&estate.account(&["deploy", "scout"]));
        ok(&estate.account(&["delegate", "scout", "--yes"]));
        estate
    }

    pub(crate) fn adopt(&self, version: u64, limits: &str, together: &str) {
        self.draft(version, limits, together);
        ok(&self.marque(&["policy", "adopt", "scout"]));
    }

    /// The first policy again, with other endpoints.
    pub(crate) fn adopt_on(&self, version: u64, endpoints: &[&str]) {
        self.draft(version, "day = \"3.00\"", "");
        self.name_endpoints(endpoints);
        ok(&self.marque(&["policy", "adopt", "scout"]));
    }

    /// Names other endpoints in the draft.
    pub(crate) fn name_endpoints(&self, endpoints: &[&str]) {
        let file = self.path().join("home/agents/scout/policy.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let one = format!("rpc = [\"{}\"]", self.town.economy.devnet.url());
        assert!(text.contains(&one));
        std::fs::write(&file, text.replace(&one, &format!("rpc = {endpoints:?}"))).unwrap();
    }

    pub(crate) fn draft(&self, version: u64, limits: &str, together: &str) {
        self.draft_paying(version, ("2.00", limits, together), "day = \"1.00 tUSD\"\n");
    }

    /// With the largest payment, and what the feed is paid at most.
    pub(crate) fn draft_paying(
        &self,
        version: u64,
        (payment, limits, together): (&str, &str, &str),
        feed: &str,
    ) {
        let devnet = &self.town.economy.devnet;
        let text = format!(
            "format = 1\nversion = {version}\nowner = {{ address = \"{}\"{together} }}\n\n\
             [chain.devnet]\nid = \"eip155:{}\"\nrpc = [\"{}\"]\nfinality = 2\nnative = \"ETH\"\n\n\
             [asset.tUSD]\nchain = \"devnet\"\ntoken = \"{}\"\ndecimals = 6\n\n[limits.tUSD]\n\
             payment = \"{payment}\"\n{limits}\n\n[limits.gas]\nday = \"0.05 ETH\"\n\n[[payee]]\n\
             name = \"feed\"\naddress = \"{FEED}\"\n{feed}",
            self.owner,
            devnet.chain_id(),
            devnet.url(),
            self.town.economy.dollar,
        );
        std::fs::write(self.path().join("home/agents/scout/policy.toml"), text).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn marque(&self, args: &[&str]) -> Output {
        // The command line waits for processes, which a runtime should not.
        tokio::task::block_in_place(|| marque(self.path(), args))
    }

    pub(crate) fn account(&self, args: &[&str]) -> Output {
        self.marque(&[&["account"], args].concat())
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let args = [&["--json"], args].concat();
        serde_json::from_str(&ok(&self.marque(&args))).unwrap()
    }

    /// What `marque account status` says, and its exit code.
    pub(crate) fn status(&self) -> (Value, i32) {
        let out = self.marque(&["--json", "account", "status", "scout"]);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let said = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&out.stderr)));
        (said, out.status.code().unwrap())
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.path().join("home/agents/scout/delegation.json")
    }

    pub(crate) fn keystore(&self) -> PathBuf {
        self.path().join("home/keys/scout.json")
    }

    /// The policy as its draft has it.
    pub(crate) fn policy(&self) -> Policy {
        let text = std::fs::read_to_string(self.path().join("home/agents/scout/policy.toml"));
        marque_policies::parse(&text.unwrap()).unwrap().0
    }

    /// Whether nothing can be drawn by them any more, as the chain itself says.
    pub(crate) async fn over(&self, permissions: &Permissions) -> bool {
        permissions.standing(&self.town.economy.rpc).await.unwrap().is_over()
    }

    pub(crate) fn permissions(&self) -> Permissions {
        Permissions::read(&self.file()).unwrap().unwrap()
    }

    pub(crate) fn dollars(&self) -> AssetId {
        AssetId { chain: self.town.economy.devnet.chain_id(), token: self.town.economy.dollar }
    }

    /// A thief with the agent's key sends what nobody asked a steward about; what the chain said.
    pub(crate) async fn draw(
        &self,
        permissions: &Permissions,
        payee: Address,
        units: u64,
    ) -> Result<(), String> {
        let permission = permissions.permission(self.dollars()).unwrap();
        let token = self.town.economy.dollar;
        let data = permission.redeem(&Execution::transfer(token, payee, U256::from(units)));
        self.send(permissions.framework.manager, data).await
    }

    pub(crate) async fn send(&self, to: Address, data: Bytes) -> Result<(), String> {
        let rpc = &self.town.economy.rpc;
        let key = self.stolen();
        let words = |error: IdentityError| error.to_string();
        let gas = rpc.estimate_gas(key.address(), Some(to), U256::ZERO, data.clone()).await;
        let fees = rpc.fees().await.map_err(words)?;
        let signed = key.sign_transaction(&UnsignedTransaction {
            chain_id: self.town.economy.devnet.chain_id(),
            nonce: rpc.transaction_count(key.address(), true).await.map_err(words)?,
            to: Some(to),
            value: U256::ZERO,
            data,
            gas_limit: gas.map_err(words)? * 2,
            max_fee_per_gas: fees.max_fee_per_gas,
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
        });
        let signed = signed.unwrap();
        rpc.send_raw(&signed.raw).await.map_err(words)?;
        let receipt = rpc.wait_receipt(signed.hash, Duration::from_secs(20)).await;
        match receipt.map_err(words)?.success {
            true => Ok(()),
            false => Err("reverted in a block".to_owned()),
        }
    }

    /// The agent's key, as a thief of the whole host has it.
    pub(crate) fn stolen(&self) -> Key {
        let keys = KeyDir::open(self.path().join("home/keys")).unwrap();
        keys.key("scout", &"correct horse battery staple".to_owned().into()).unwrap()
    }

    /// The count of the agent's transactions.
    pub(crate) async fn nonce(&self) -> u64 {
        let rpc = &self.town.economy.rpc;
        rpc.transaction_count(self.stolen().address(), false).await.unwrap()
    }

    pub(crate) async fn has(&self, who: Address) -> u64 {
        let held = self.town.economy.rpc.erc20_balance(self.town.economy.dollar, who).await;
        held.unwrap().to()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_pays_within_what_was_delegated_and_nothing_beyond_it() {
    let estate = Estate::new().await;
    // Nothing is there yet, and each step says which one comes before it.
    let (text, code) = failure(&estate.account(&["delegate", "scout", "--yes"]));
    assert!(code == 1 && text.contains("marque account deploy scout"), "{text}");
    let deployed = estate.json(&["account", "deploy", "scout"]);
    assert_eq!(deployed["transactions"].as_array().unwrap().len(), 1, "{deployed}");
    let again = estate.json(&["account", "deploy", "scout"]);
    assert!(again["transactions"].as_array().unwrap().is_empty());
    assert_eq!(again["account"], deployed["account"]);
    let (said, code) = estate.status();
    assert_eq!((code, &said["delegated"]), (1, &json!(false)));

    let signed = estate.json(&["account", "delegate", "scout", "--yes"]);
    assert_eq!(signed["account"], deployed["account"]);
    let file = std::fs::read(estate.file()).unwrap();
    assert!(ok(&estate.account(&["delegate", "scout", "--yes"])).contains("draws on"));
    assert_eq!(std::fs::read(estate.file()).unwrap(), file, "what stands is not signed again");

    let (scout, permissions) = (estate.stolen().address(), estate.permissions());
    estate.draw(&permissions, scout, 2 * DOLLAR).await.unwrap();
    let refused = estate.draw(&permissions, scout, 2 * DOLLAR).await.unwrap_err();
    assert!(refused.contains("has room for 1000000"), "{refused}");
    let refused = estate.draw(&permissions, scout, 2 * DOLLAR + 1).await.unwrap_err();
    assert!(refused.contains("a single transfer"), "{refused}");
    let refused = estate.draw(&permissions, STRANGER, 1).await.unwrap_err();
    assert!(refused.contains("is no payee of it"), "{refused}");
    estate.draw(&permissions, FEED, DOLLAR).await.unwrap();
    assert!(estate.draw(&permissions, FEED, 1).await.is_err());
    assert_eq!((estate.has(scout).await, estate.has(FEED).await), (2 * DOLLAR, DOLLAR));

    let (said, code) = estate.status();
    assert_eq!((code, &said["drift"]), (0, &json!([])), "{said}");
    let asset = &said["assets"][0];
    assert_eq!(asset["account"]["units"], "17000000");
    assert_eq!(asset["float"]["units"], "2000000");
    let day = &asset["windows"][1];
    assert_eq!(day["rule"], "limits.day");
    assert_eq!(
        (&day["used"]["units"], &day["limit"]["units"]),
        (&json!("3000000"), &json!("3000000"))
    );
    assert_eq!(day["policy"], day["limit"]);
    let text = ok(&estate.account(&["status", "scout"]));
    assert!(text.contains("3.00 tUSD of 3.00 tUSD, 0.00 tUSD left"), "{text}");

    // What is left is the owner's.
    ok(&estate.account(&["withdraw", "scout", "7 tUSD"]));
    assert_eq!(estate.has(estate.owner.parse().unwrap()).await, 7 * DOLLAR);
    let (text, _) = failure(&estate.account(&["withdraw", "scout", "11 tUSD"]));
    assert!(text.contains("has 10.00 tUSD"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrower_policy_is_drift_until_it_is_delegated_and_what_was_before_is_dead() {
    let estate = Estate::delegated().await;
    let (before, scout) = (estate.permissions(), estate.stolen().address());
    estate.adopt(2, "day = \"2.50\"", "");
    let (said, code) = estate.status();
    assert_eq!(code, 1);
    let drift = json!([{ "rule": "limits.tUSD.day", "chain": "3.00 tUSD", "policy": "2.50 tUSD" }]);
    assert_eq!(said["drift"], drift);
    let text = estate.account(&["status", "scout"]);
    let text = String::from_utf8_lossy(&text.stdout);
    assert!(
        text.contains("limits.tUSD.day: 3.00 tUSD on chain, 2.50 tUSD in the policy"),
        "{text}"
    );
    let doctor = ok(&estate.marque(&["doctor", "scout"]));
    assert!(doctor.contains("the chain says otherwise: limits.tUSD.day"), "{doctor}");

    let signed = estate.json(&["account", "delegate", "scout", "--yes"]);
    assert_eq!(signed["revoked"].as_array().unwrap().len(), 1);
    let after = estate.permissions();
    let refused = estate.draw(&before, scout, 1).await.unwrap_err();
    assert!(refused.contains("the delegation was revoked"), "{refused}");
    estate.draw(&after, scout, 2 * DOLLAR).await.unwrap();
    assert!(estate.draw(&after, scout, DOLLAR).await.is_err());
    assert_eq!(estate.status().1, 0);
    assert!(ok(&estate.marque(&["doctor", "scout"])).contains("what this policy says"));

    // Whoever widens the file has no signature for it: neither we nor the chain take it.
    let mut wider = after.grants[0].delegations[0].clone();
    wider.delegation.caveats.clear();
    let text = std::fs::read_to_string(estate.file()).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    file["grants"][0]["delegations"][0] = serde_json::to_value(&wider).unwrap();
    std::fs::write(estate.file(), file.to_string()).unwrap();
    let out = estate.account(&["status", "scout"]);
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(told.contains("is not signed by the owner"), "{told}");
    assert_eq!(out.status.code(), Some(1));
    let forged = Permission::new([wider]).unwrap();
    let theft = Execution::transfer(estate.town.economy.dollar, STRANGER, U256::from(1));
    let refused = estate.send(after.framework.manager, forged.redeem(&theft)).await.unwrap_err();
    assert!(refused.contains("not signed as its account demands"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_all_agents_outlive_what_one_is_given_anew() {
    let estate = Estate::new().await;
    estate.adopt(2, "day = \"3.00\"", ", limits = { tUSD = { day = \"4.00\" } }");
    ok(&estate.account(&["deploy", "scout"]));
    ok(&estate.account(&["delegate", "scout", "--yes"]));
    let scout = estate.stolen().address();
    estate.draw(&estate.permissions(), scout, 2 * DOLLAR).await.unwrap();
    let first = estate.permissions();
    ok(&estate.account(&["delegate", "scout", "--yes", "--anew"]));
    let second = estate.permissions();
    assert_ne!(first, second);
    assert!(estate.draw(&first, scout, 1).await.unwrap_err().contains("was revoked"));
    estate.draw(&second, scout, 2 * DOLLAR).await.unwrap();
    // Of its own three a day one is left, of the four of all agents nothing.
    let refused = estate.draw(&second, scout, 1).await.unwrap_err();
    assert!(refused.contains("its window of 86400 s has room for 0"), "{refused}");
    let (said, code) = estate.status();
    assert_eq!(code, 0, "{said}");
    let windows = said["assets"][0]["windows"].as_array().unwrap();
    let all = windows.iter().find(|it| it["rule"] == "owner.limits.day").unwrap();
    assert_eq!(all["used"]["units"], "4000000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_its_makers_paused_is_told() {
    let estate = Estate::delegated().await;
    let permissions = estate.permissions();
    assert_eq!(estate.status().0["paused"], json!(false));
    // On a development chain only a contract could, which cannot; anvil plays it.
    let devnet = &estate.town.economy.devnet;
    devnet.give_eth(DEPLOYER, U256::from(10).pow(U256::from(18))).await.unwrap();
    let ask = async |method: &str, params: Value| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.post(devnet.url()).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
    };
    ask("anvil_impersonateAccount", json!([DEPLOYER])).await;
    let pause =
        json!([{ "from": DEPLOYER, "to": permissions.framework.manager, "data": "0x8456cb59" }]);
    ask("eth_sendTransaction", pause).await;
    devnet.mine(1).await.unwrap();
    assert_eq!(estate.status().0["paused"], json!(true));
    let refused = estate.draw(&permissions, FEED, 1).await.unwrap_err();
    assert!(refused.contains("the delegation manager is paused"), "{refused}");
    let (text, _) = failure(&estate.account(&["withdraw", "scout", "1 tUSD"]));
    assert!(text.contains("the delegation manager is paused"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chains_own_coin_is_drawn_within_its_limits_too() {
    let estate = Estate::new().await;
    let file = estate.path().join("home/agents/scout/policy.toml");
    estate.draft(2, "total = \"5.00\"", "");
    let text = std::fs::read_to_string(&file).unwrap();
    let gas = "[limits.gas]\nday = \"0.05 ETH\"";
    assert!(text.contains(gas));
    std::fs::write(&file, text.replace(gas, "[limits.ETH]\nday = \"0.5\"")).unwrap();
    ok(&estate.marque(&["policy", "adopt", "scout"]));
    ok(&estate.account(&["deploy", "scout"]));
    ok(&estate.marque(&["fund", "scout", "2 ETH", "--account", "--faucet"]));
    ok(&estate.account(&["delegate", "scout", "--yes"]));
    let permissions = estate.permissions();
    let ether = U256::from(10).pow(U256::from(18));
    let coin = permissions.permission(AssetId::native(permissions.framework.chain)).unwrap();
    let pay = |payee, tenths: u64| {
        let wei = ether / U256::from(10) * U256::from(tenths);
        estate.send(permissions.framework.manager, coin.redeem(&Execution::pay(payee, wei)))
    };
    let scout = estate.stolen().address();
    // The feed is paid in tUSD alone, as its own limit is in that.
    for stranger in [FEED, STRANGER] {
        let refused = pay(stranger, 1).await.unwrap_err();
        assert!(refused.contains("target-address-not-allowed"), "{refused}");
    }
    pay(scout, 3).await.unwrap();
    let refused = pay(scout, 3).await.unwrap_err();
    assert!(refused.contains("has room for 200000000000000000"), "{refused}");
    pay(scout, 2).await.unwrap();
    // The token goes by its total, and each by its own permission.
    estate.draw(&permissions, FEED, 2 * DOLLAR).await.unwrap();
    let wrong = coin.redeem(&Execution::transfer(estate.town.economy.dollar, scout, U256::from(1)));
    assert!(estate.send(permissions.framework.manager, wrong).await.is_err());
    let (said, code) = estate.status();
    assert_eq!((code, said["assets"].as_array().unwrap().len()), (0, 2), "{said}");
    assert_eq!(said["assets"][0]["windows"][0]["used"]["units"], "500000000000000000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_ends_what_was_delegated_and_it_can_be_delegated_again() {
    let estate = Estate::delegated().await;
    let (permissions, scout) = (estate.permissions(), estate.stolen().address());
    estate.draw(&permissions, scout, DOLLAR).await.unwrap();
    ok(&estate.account(&["revoke", "scout"]));
    assert!(estate.draw(&permissions, scout, 1).await.unwrap_err().contains("was revoked"));
    let (said, code) = estate.status();
    assert_eq!((code, &said["assets"][0]["revoked"]), (1, &json!(true)));
    assert!(ok(&estate.account(&["revoke", "scout"])).contains("has ended already"));

    ok(&estate.account(&["delegate", "scout", "--yes"]));
    let again = estate.permissions();
    estate.draw(&again, scout, DOLLAR).await.unwrap();
    ok(&estate.account(&["revoke", "scout", "--all"]));
    let refused = estate.draw(&again, scout, 1).await.unwrap_err();
    assert!(refused.contains("NonceEnforcer:invalid-nonce"), "{refused}");
    let (said, code) = estate.status();
    assert_eq!((code, &said["ended"]), (1, &json!(true)));
    // The thief can sign for the key alone, and the key owns nothing.
    let own = Delegation::root(again.account, scout);
    let signature = estate.stolen().sign_digest(own.digest(&again.framework));
    let forged = Permission::new([own.signed(signature)]).unwrap();
    let data =
        forged.redeem(&Execution::transfer(estate.town.economy.dollar, scout, U256::from(1)));
    assert!(estate.send(again.framework.manager, data).await.is_err());
    assert_eq!(estate.has(scout).await, 2 * DOLLAR);

    // A policy whose sums nothing limits is not delegated.
    estate.adopt(2, "", "");
    let (text, code) = failure(&estate.account(&["delegate", "scout", "--yes"]));
    assert!(code == 3 && text.contains("nothing to delegate"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_kill_switch_works_without_the_owners_key() {
    let estate = Estate::delegated().await;
    let scout = estate.stolen().address();
    let [file, paid] = ["switch.json", "paid.json"].map(|name| estate.path().join(name));
    let (file, paid) = (file.to_str().unwrap(), paid.to_str().unwrap());
    ok(&estate.account(&["revoke", "scout", "--prepare", file]));
    let (text, code) = failure(&estate.account(&["revoke", "scout", "--prepare", file]));
    assert!(code == 2 && text.contains("never overwrites"), "{text}");
    let (text, code) =
        failure(&estate.account(&["revoke", "scout", "--prepare", paid, "--fee", "1 tUSD"]));
    assert!(code == 2 && text.contains("own coin"), "{text}");
    ok(&estate.account(&["revoke", "scout", "--prepare", paid, "--fee", "0.05 ETH"]));
    estate.draw(&estate.permissions(), scout, DOLLAR).await.unwrap();

    // A friend with no key at all broadcasts the one whose fee is paid.
    let friend = tempfile::tempdir().unwrap();
    let rpc = estate.town.economy.devnet.url();
    let elsewhere = |args: &[&str]| {
        let args = [&["account", "revoke", "--rpc", rpc, "--send"], args].concat();
        tokio::task::block_in_place(|| marque(friend.path(), &args))
    };
    assert!(ok(&elsewhere(&[paid])).contains("has ended"));
    let refused = estate.draw(&estate.permissions(), scout, 1).await.unwrap_err();
    assert!(refused.contains("NonceEnforcer:invalid-nonce"), "{refused}");
    assert_eq!(estate.status().1, 1);

    // The other one ended with it, and says so; its successor is sent by a friend who pays the fee.
    ok(&tokio::task::block_in_place(|| marque(friend.path(), &["owner", "init"])));
    let (text, code) = failure(&elsewhere(&[file]));
    assert!(code == 1 && text.contains("that is over"), "{text}");
    ok(&estate.account(&["delegate", "scout", "--yes"]));
    estate.draw(&estate.permissions(), scout, DOLLAR).await.unwrap();
    let next = estate.path().join("next.json");
    ok(&estate.account(&["revoke", "scout", "--prepare", next.to_str().unwrap()]));
    let out = tokio::task::block_in_place(|| marque(friend.path(), &["--json", "owner", "show"]));
    let friends: Value = serde_json::from_str(&ok(&out)).unwrap();
    let friends: Address = friends["address"].as_str().unwrap().parse().unwrap();
    let ether = U256::from(10).pow(U256::from(18));
    estate.town.economy.devnet.give_eth(friends, ether).await.unwrap();
    let next_of = |of: &str| elsewhere(&[next.to_str().unwrap(), "--of", of]);
    let (text, code) = failure(&next_of(&STRANGER.to_string()));
    assert!(code == 1 && text.contains("nothing was sent"), "{text}");
    ok(&next_of(&estate.permissions().account.to_string()));
    assert!(estate.draw(&estate.permissions(), scout, 1).await.is_err());
    assert_eq!(estate.has(scout).await, 2 * DOLLAR);

    // What is no kill switch is not sent with the friend's key.
    let text = std::fs::read_to_string(&next).unwrap();
    let agents = estate.permissions().permission(estate.dollars()).unwrap();
    let token = estate.town.economy.dollar;
    let agents = agents.redeem(&Execution::transfer(token, scout, U256::from(1)));
    for (field, with, why) in [
        ("data", json!("0xa9059cbb"), "redeems no delegation"),
        ("data", json!(agents), "is no kill switch of the account"),
        ("account", json!(STRANGER), "is no kill switch of the account"),
        ("format", json!(2), "its format is 2"),
        ("chain", json!(1), "the message is for 1"),
    ] {
        let mut other: Value = serde_json::from_str(&text).unwrap();
        other[field] = with;
        std::fs::write(&next, other.to_string()).unwrap();
        let (text, code) = failure(&elsewhere(&[next.to_str().unwrap()]));
        assert!(code > 0 && text.contains(why), "{field}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_stays_with_the_key_that_it_was_made_for() {
    let mut estate = Estate::delegated().await;
    let (before, scout, old) =
        (estate.permissions(), estate.stolen().address(), estate.owner.clone());
    let folder = estate.path().join("successor");
    let successor = ["--owner-home", folder.to_str().unwrap()];
    let with = |args: &[&str]| estate.marque(&[&successor, args].concat());
    let made: Value = serde_json::from_str(&ok(&with(&["--json", "owner", "init"]))).unwrap();
    let rotate = ["owner", "rotate", "--yes", "--new-owner-home", successor[1]];
    let credentials = estate.path().join("credentials");
    std::fs::copy(credentials.join("marque-owner"), credentials.join("marque-new-owner")).unwrap();
    ok(&estate.marque(&rotate));
    let new = made["address"].as_str().unwrap().to_owned();
    let ether = U256::from(10).pow(U256::from(18));
    estate.town.economy.devnet.give_eth(new.parse().unwrap(), ether).await.unwrap();
    estate.owner.clone_from(&new);
    estate.draft(2, "day = \"3.00\"", "");
    let with = |args: &[&str]| estate.marque(&[&successor, args].concat());
    ok(&with(&["policy", "adopt", "scout"]));

    let (said, code) = estate.status();
    assert_eq!((code, &said["drift"][0]["rule"]), (1, &json!("owner")), "{said}");
    ok(&with(&["account", "deploy", "scout"]));
    let (text, code) = failure(&with(&["account", "delegate", "scout", "--yes"]));
    assert!(code == 1 && text.contains("still draws on") && text.contains(&old), "{text}");
    estate.draw(&before, scout, DOLLAR).await.unwrap();
    let (text, _) = failure(&with(&["account", "revoke", "scout"]));
    assert!(text.contains("your key is"), "{text}");

    // Only the old key ends it and empties the account; then the new one begins.
    ok(&estate.account(&["revoke", "scout"]));
    assert!(estate.draw(&before, scout, 1).await.is_err());
    ok(&estate.account(&["withdraw", "scout", "19 tUSD"]));
    assert_eq!(estate.has(old.parse().unwrap()).await, 19 * DOLLAR);
    ok(&with(&["account", "delegate", "scout", "--yes"]));
    assert_ne!(estate.permissions().account, before.account);
    assert_eq!(estate.status().1, 0);
}

/// A node of a public chain on which there is nothing where the framework should be.
async fn empty_chain() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = |Json(asked): Json<Value>| async move {
        let result = match asked["method"].as_str().unwrap() {
            "eth_chainId" => json!("0x14a34"),
            "eth_getCode" => json!("0x"),
            method => panic!("it asks {method}"),
        };
        Json(json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }))
    };
    let app = Router::new().route("/", post(answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_chain_without_the_framework_nothing_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| tokio::task::block_in_place(|| marque(dir.path(), args));
    let owner: Value = serde_json::from_str(&ok(&run(&["--json", "owner", "init"]))).unwrap();
    ok(&run(&["new", "scout"]));
    let rpc = empty_chain().await;
    let draft = |chain: u64| {
        let text = format!(
            "format = 1\nversion = 1\nowner = {}\n[chain.public]\nid = \"eip155:{chain}\"\n\
             rpc = [\"{rpc}\"]\nfinality = \"safe\"\nnative = \"ETH\"\n",
            owner["address"]
        );
        std::fs::write(dir.path().join("home/agents/scout/policy.toml"), text).unwrap();
    };
    draft(84_532);
    let out = run(&["account", "deploy", "scout"]);
    let (text, code) = failure(&out);
    assert!(
        text.contains("there is no EntryPoint at") && text.contains("nothing was sent"),
        "{text}"
    );
    assert_eq!(code, 1);
    // The address is said all the same: it follows from the owner alone.
    let account = account_of(owner["address"].as_str().unwrap().parse().unwrap()).unwrap();
    let account = account.address(&Framework::public(84_532).unwrap()).to_string();
    assert!(String::from_utf8_lossy(&out.stdout).contains(&account));
    draft(100);
    let (text, code) = failure(&run(&["account", "deploy", "scout"]));
    assert!(code == 1 && text.contains("knows no Delegation Framework on chain 100"), "{text}");
}

/// What the page tells an owner to type, typed by a stranger with an empty folder.
#[test]
fn the_walk_through_of_the_page_works_as_it_stands() {
    let page = include_str!("../../docs/on-chain-limits.md");
    let script = page.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let (devnet, rest) = script.split_once('\n').unwrap();
    assert!(devnet.starts_with("marque devnet "), "{devnet}");
    assert_eq!(rest.lines().filter(|line| line.starts_with("marque ")).count(), 15);
    let dir = tempfile::tempdir().unwrap();
    // Another one may be running on this machine.
    let ports = [(); 2].map(|()| crate::support::free_address());
    let ports = ports.each_ref().map(|address| address.rsplit_once(':').unwrap().1);
    let devnet = ["--port", ports[0], "--seller-port", ports[1]];
    let _devnet = crate::newcomer::Devnet::start(dir.path(), &devnet);
    let mut said = String::new();
    for line in rest.lines() {
        // Nobody is there to be asked.
        let line = line.replace("delegate scout", "delegate scout --yes");
        let path = Path::new(MARQUE).parent().unwrap();
        let path = format!("{}:{}", path.display(), std::env::var("PATH").unwrap());
        let out = std::process::Command::new("sh")
            .args(["-c", &line])
            .current_dir(dir.path())
            .env("PATH", path)
            .env("MARQUE_HOME", dir.path().join("home"))
            .env("MARQUE_OWNER_HOME", dir.path().join("owner"))
            .env("CREDENTIALS_DIRECTORY", dir.path().join("credentials"))
            // The package is found from the repository, not from a folder of nobody's.
            .env("MARQUE_DELEGATION_ABIS", marque_abis())
            .output()
            .unwrap();
        assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
        said.push_str(&String::from_utf8_lossy(&out.stdout));
    }
    // It drew the float, paid from it, and what was left in the account is its owner's.
    for told in ["paid 0.02 tUSD to feed", "scout's key 2.98 tUSD", "17.00 tUSD returned to"] {
        assert!(said.contains(told), "{told}: {said}");
    }
}

fn marque_abis() -> PathBuf {
    let named = std::env::var_os("MARQUE_DELEGATION_ABIS").map(PathBuf::from);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    named.unwrap_or_else(|| here.join("contracts/node_modules/@metamask/delegation-abis"))
}

#[test]
fn the_table_is_read_without_a_chain() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("policy.toml");
    let text = "format = 1\nversion = 1\nowner = \"0x00000000000000000000000000000000000000f1\"\n\
                [chain.base-sepolia]\nid = \"eip155:84532\"\nrpc = [\"http://127.0.0.1:9\"]\n\
                finality = \"safe\"\nnative = \"ETH\"\n[asset.USDC]\n\
                token = \"0x00000000000000000000000000000000000000f3\"\ndecimals = 6\n\
                [limits.USDC]\nday = \"10\"\nask_above = \"1\"\n[[payee]]\nname = \"feed\"\n\
                address = \"0x00000000000000000000000000000000000000f2\"\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let said = ok(&marque(dir.path(), &["account", "explain", file]));
    assert!(said.contains("limits.USDC.ask_above  a chain cannot ask"), "{said}");
    assert!(said.contains("10.00 USDC in any 24 hours, 300.00 USDC in any 30 days"), "{said}");
    assert!(said.contains("ends 90 days after it is signed"), "{said}");
    let more = text.replace("day = \"10\"", "hour = \"2\"\nday = \"10\"\ntotal = \"50\"");
    let tighter = dir.path().join("tighter.toml");
    std::fs::write(&tighter, more).unwrap();
    let said = ok(&marque(dir.path(), &["account", "explain", tighter.to_str().unwrap()]));
    let all = "2.00 USDC in any hour, 10.00 USDC in any 24 hours, 50.00 USDC in any 30 days, \
               50.00 USDC in all;";
    assert!(said.contains(all), "{said}");
    let said = ok(&marque(dir.path(), &["--json", "account", "explain", file]));
    let said: Value = serde_json::from_str(&said).unwrap();
    let carried = |name: &str| {
        let rules = said["rules"].as_array().unwrap();
        rules.iter().find(|it| it["name"] == name).map(|it| it["carried"].clone())
    };
    assert_eq!(carried("limits.USDC.day"), Some(json!("chain")));
    assert_eq!(carried("limits.USDC.ask_above"), Some(json!("steward")));
    assert_eq!(carried("payee.feed"), Some(json!("partly")));
    let (_, code) = failure(&marque(dir.path(), &["account", "status", "nobody"]));
    assert_eq!(code, 2);
    assert_eq!(marque(dir.path(), &["account", "revoke"]).status.code(), Some(2));
}
