//! A small language for whole-system tests.
//!
//! ```ignore
//! let town = Town::new().await;
//! let feed = town.seller("feed", "0.02 tUSD").await;
//! let scout = town.buyer("scout", &[&feed], "").await;
//! scout.buy(&feed.goods(), "task").await.unwrap();
//! assert_eq!(town.dollars(&feed).await, 20_000);
//! ```

use alloy_primitives::U256;
use marque::economy::{Economy, Party, Running};
use marque_identity::devnet::{Devnet, Options};
use marque_net::{Client as Net, Guard, Request};
use marque_payments::{Buyer, Errand, PaymentError, Purchase};
use marque_steward_client::Client;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The `marque` command, built with these tests.
pub(crate) const MARQUE: &str = env!("CARGO_BIN_EXE_marque");

/// An economy in a folder that goes away.
pub(crate) struct Town {
    pub(crate) economy: Economy,
    pub(crate) dir: tempfile::TempDir,
}

/// A party with its running steward.
pub(crate) struct Citizen {
    pub(crate) party: Party,
    pub(crate) running: Option<Running>,
    pub(crate) id: U256,
    pub(crate) host: String,
}

impl Town {
    pub(crate) async fn new() -> Self {
        Self::on(&Options::default()).await
    }

    /// On a chain of its own number.
    pub(crate) async fn on(chain: &Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let devnet = Devnet::start(chain).await.unwrap();
        let economy = Economy::start(dir.path(), PathBuf::from(MARQUE), devnet).await.unwrap();
        Self { economy, dir }
    }

    /// Makes a home whose commands find this chain, as `marque devnet` would.
    pub(crate) fn found_from(&self, home: &Path) {
        let economy = &self.economy;
        std::fs::create_dir_all(home).unwrap();
        let devnet = format!(
            "chain = {}\nrpc = \"{}\"\ndollar = \"{}\"\nregistry = \"{}\"\n",
            economy.devnet.chain_id(),
            economy.devnet.url(),
            economy.dollar,
            economy.registry,
        );
        std::fs::write(home.join("devnet.toml"), devnet).unwrap();
    }

    /// What every policy of a test begins with.
    pub(crate) fn head(&self, party: &Party) -> String {
        self.economy.policy_head(party.owner.address(), self.economy.devnet.url())
    }

    /// A seller of `wind.csv`, registered, with its mind serving.
    pub(crate) async fn seller(&self, name: &str, price: &str) -> Citizen {
        let party = self.economy.party(name).await.unwrap();
        let policy = format!("{}\n[income]\nassets = [\"tUSD\"]\n", self.head(&party));
        self.economy.adopt(&party, &policy).await.unwrap();
        let host = free_address();
        let file = self.dir.path().join("wind.csv");
        std::fs::write(&file, include_bytes!("../../examples/data/wind.csv")).unwrap();
        let file = file.display().to_string();
        let mind = [
            "mind",
            "sell-file",
            "--agent",
            name,
            "--listen",
            &host,
            "--file",
            &file,
            "--price",
            price,
        ];
        let running = self.economy.run(&party, &mind).await.unwrap();
        let id = self.economy.register(&party, &running.client, "sells", None).await.unwrap();
        eventually("the seller is open", 60, || async {
            tokio::net::TcpStream::connect(&host).await.is_ok()
        })
        .await;
        Citizen { party, running: Some(running), id, host }
    }

    /// A shop, and a buyer there whose owner is asked before each purchase.
    pub(crate) async fn careful(&self) -> (Citizen, Citizen) {
        let feed = self.seller("feed", "0.02 tUSD").await;
        let scout = self.buyer("scout", &[&feed], "ask_above = \"0.01\"\n").await;
        let place = format!("http://{}", feed.host);
        let names = [(marque::economy::FEED, place.as_str())];
        marque::economy::configure(&scout.party.home, "scout", &names).unwrap();
        (feed, scout)
    }

    /// A buyer with 5 tUSD whose policy pins `sellers`; `limits` goes into `[limits.tUSD]`.
    pub(crate) async fn buyer(&self, name: &str, sellers: &[&Citizen], limits: &str) -> Citizen {
        let party = self.economy.party(name).await.unwrap();
        self.economy.mint(party.address, 5_000_000).await.unwrap();
        let mut policy = self.head(&party);
        policy.push_str("\n[limits.tUSD]\npayment = \"0.10\"\nhour = \"0.50\"\ntotal = \"2.00\"\n");
        policy.push_str(limits);
        for seller in sellers {
            policy.push_str(&format!(
                "\n[[payee]]\nname = \"{}\"\nagent_id = {}\nowner = \"{}\"\nwallet = \"{}\"\nhost = \"{}\"\n",
                seller.party.name,
                seller.id,
                seller.party.owner.address(),
                seller.party.address,
                seller.host,
            ));
        }
        let hosts: Vec<String> = sellers.iter().map(|s| format!("{:?}", s.host)).collect();
        policy.push_str(&format!(
            "\n[[tool]]\nname = \"fetch_data\"\nhosts = [{}]\n",
            hosts.join(", ")
        ));
        self.economy.adopt(&party, &policy).await.unwrap();
        let running = self.economy.run(&party, &[]).await.unwrap();
        Citizen { party, running: Some(running), id: U256::MAX, host: String::new() }
    }

    /// What a citizen holds of the test dollar, in base units.
    pub(crate) async fn dollars(&self, citizen: &Citizen) -> u64 {
        let held = self.economy.rpc.erc20_balance(self.economy.dollar, citizen.party.address).await;
        u64::try_from(held.unwrap()).unwrap()
    }

    /// Starts a citizen's steward again.
    pub(crate) async fn restart(&self, citizen: &mut Citizen, env: &[(&str, &str)]) {
        citizen.running = Some(self.economy.run_with(&citizen.party, &[], env).await.unwrap());
    }
}

impl Citizen {
    /// Its runs wait a second for the owner.
    pub(crate) fn waits_a_second(&self) {
        let file = self.party.home.agent("scout").join("agent.toml");
        let settings = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{settings}\n[options]\nwait = 1\n")).unwrap();
    }

    pub(crate) fn client(&self) -> &Client {
        &self.running.as_ref().unwrap().client
    }

    /// `kill -9` of the steward.
    pub(crate) async fn kill(&mut self) {
        self.running.take().unwrap().kill().await.unwrap();
    }

    pub(crate) async fn stop(&mut self) {
        self.running.take().unwrap().stop().await.unwrap();
    }

    /// The address of what a seller sells.
    pub(crate) fn goods(&self) -> String {
        format!("http://{}/wind.csv", self.host)
    }

    /// Buys as the mind does, from this test's process.
    pub(crate) async fn buy(&self, url: &str, task: &str) -> Result<Purchase, PaymentError> {
        buy(self.client().clone(), url, task).await
    }
}

/// Buys as the mind of this steward does, from this test's process.
pub(crate) async fn buy(steward: Client, url: &str, task: &str) -> Result<Purchase, PaymentError> {
    let url: url::Url = url.parse().unwrap();
    let host = marque_net::host_port(&url);
    let guard = Guard { loopback: vec![host], ..Guard::default() };
    let buyer = Buyer::new(Net::new(guard).unwrap(), Arc::new(steward));
    let errand = Errand {
        task: task.to_owned(),
        step: 0,
        ordinal: 1,
        attempt: 0,
        max: None,
        labels: marque_policies::Labels::default(),
    };
    buyer.send(Request::get(url), &errand).await
}

/// A port that is free, and that nobody is given who asks the system for any.
pub(crate) fn free_address() -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    loop {
        // No two alike in a process, and another row of them in each.
        let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let next = next.wrapping_add(std::process::id().wrapping_mul(97));
        let address = format!("127.0.0.1:{}", 20_000 + next % 12_000);
        if std::net::TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

/// Polls until `condition` holds; panics after `seconds`.
pub(crate) async fn eventually<F, Fut>(what: &str, seconds: u64, mut condition: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    for _ in 0..seconds * 5 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{what}: not within {seconds} s");
}
