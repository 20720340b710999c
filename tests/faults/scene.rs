//! A chain whose clock is ours, a buyer and a seller with two RPC endpoints each, and a run in it.

use crate::{
    desk::Desk,
    dice::Dice,
    fault::{self, Fault, Rpc, Seller, Who},
    laws::Sum,
    proxy::{Proxy, Trouble},
    shop::{SHOP, Shop},
    support::{self, Citizen, MARQUE, Town, free_address},
};
use alloy_primitives::{Address, U256};
use axum::routing::get;
use marque::economy::{Economy, Party};
use marque_identity::devnet::{Devnet, Options};
use marque_net::{Client as Net, Guard};
use marque_payments::{Facilitator, PaymentError, Paywall, Purchase};
use marque_policies::{IntentId, Statement};
use marque_steward_client::PaymentState;
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// What everything costs, in base units.
pub(crate) const PRICE: u64 = 20_000;

/// What the buyer begins with.
pub(crate) const PURSE: u64 = 100_000_000;

/// Blocks after which the policies call something final: more than any reorganisation here.
pub(crate) const FINALITY: u64 = 10;

/// Time between blocks.
const BLOCK: Duration = Duration::from_millis(120);

/// How long anything may take once the fault is over.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place where runs are played, one after the other.
pub(crate) struct Scene {
    pub(crate) town: Town,
    pub(crate) scout: Citizen,
    pub(crate) feed: Citizen,
    pub(crate) shop: Shop,
    /// A seller of ours that lets a facilitator settle, in this process.
    pub(crate) inn: Citizen,
    desk: Desk,
    pub(crate) client: reqwest::Client,
    /// Gas that was spent with the seller's key by another.
    pub(crate) stolen_gas: U256,
    /// Purchases of feed's that brought their goods, and those at the shop that were handed over.
    pub(crate) delivered: u64,
    pub(crate) delivered_by_inn: u64,
    pub(crate) handed_to_shop: u64,
    /// What was counted up to the last run.
    pub(crate) judged: Sum,
    scout_rpc: [Proxy; 2],
    feed_rpc: [Proxy; 2],
    mining: Arc<AtomicBool>,
    miner: tokio::task::JoinHandle<()>,
    dice: Dice,
    n: u32,
}

/// One question to a chain.
pub(crate) async fn ask(client: &reqwest::Client, rpc: &str, method: &str, params: Value) -> Value {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer: Value = client.post(rpc).json(&call).send().await.unwrap().json().await.unwrap();
    assert!(answer.get("result").is_some(), "{method}: {answer}");
    answer["result"].clone()
}

impl Scene {
    pub(crate) async fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let dir = tempfile::tempdir().unwrap();
        let devnet = Devnet::start(&Options::default()).await.unwrap();
        let economy = Economy::start(dir.path(), PathBuf::from(MARQUE), devnet).await.unwrap();
        let town = Town { economy, dir };
        let url = town.economy.devnet.url().to_owned();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        town.economy.devnet.set_interval(0).await.unwrap();
        let mining = Arc::new(AtomicBool::new(true));
        let miner = tokio::spawn(mine(client.clone(), url.clone(), Arc::clone(&mining)));
        let mut proxies = Vec::new();
        for _ in 0..6 {
            proxies.push(Proxy::start(&url, Dice::new(dice.next())).await);
        }
        let [a, b, c, d, e, f]: [Proxy; 6] = proxies.try_into().ok().unwrap();
        let (scout_rpc, feed_rpc) = ([a, b], [c, d]);
        let chain = town.economy.devnet.chain_id();
        let shop = Shop::open(&url, chain, town.economy.dollar, PRICE).await;
        let feed = seller(&town, &feed_rpc).await;
        let desk = Desk::open(&url, town.economy.dollar).await;
        let inn = inn(&town, &[e, f], &desk).await;
        let scout = buyer(&town, &scout_rpc, &[&feed, &inn], &shop).await;
        let (stolen_gas, delivered, handed_to_shop, n) = (U256::ZERO, 0, 0, 0);
        Self {
            town,
            scout,
            feed,
            shop,
            inn,
            desk,
            client,
            stolen_gas,
            delivered,
            delivered_by_inn: 0,
            handed_to_shop,
            judged: Sum::default(),
            scout_rpc,
            feed_rpc,
            mining,
            miner,
            dice,
            n,
        }
    }

    /// Ends everything in order.
    pub(crate) async fn end(mut self) {
        self.scout.stop().await;
        self.feed.stop().await;
        self.inn.stop().await;
        self.miner.abort();
    }

    /// One run: purchases under the fault, and then time for everything to come to an end.
    pub(crate) async fn play(&mut self, fault: Fault) {
        // What a reorganisation takes is this run's alone.
        self.blocks(FINALITY).await;
        match fault {
            Fault::Nothing => self.shopping(2).await,
            Fault::Dropped => self.dropped().await,
            Fault::Reorg(depth) => self.reorganised(depth).await,
            Fault::FeeSpike => self.dearer().await,
            Fault::NonceTaken => self.nonce_taken().await,
            Fault::FrontRun => self.front_run().await,
            Fault::Rpc(who, rpc) => self.endpoints(who, rpc).await,
            Fault::Seller(way) => self.at_the_shop(way).await,
            Fault::Facilitator(way) => self.at_the_inn(way).await,
            Fault::Killed(who, edge) => self.killed(who, edge).await,
        }
        for proxy in self.scout_rpc.iter().chain(&self.feed_rpc) {
            proxy.mend();
        }
        self.mining.store(true, Ordering::SeqCst);
        self.revive().await;
        self.thaw().await;
    }

    /// Buys so many at once, each until it has its goods.
    async fn shopping(&mut self, count: u32) {
        let tasks = self.tasks(count);
        self.until_bought(&tasks).await;
    }

    /// What the stewards said last, for whoever has to find out.
    pub(crate) fn logs(&self) {
        for name in ["scout", "feed", "inn"] {
            let log = self.town.economy.log(name);
            let from = log.len().saturating_sub(4_000);
            eprintln!("--- {name}\n{}", log.get(from..).unwrap_or(&log));
        }
    }

    fn tasks(&mut self, count: u32) -> Vec<String> {
        let first = self.n;
        self.n += count;
        (first..self.n).map(|n| format!("task-{n}")).collect()
    }

    /// Runs each errand again and again, as a mind that was started again would. Stewards that died
    /// are started again, and a freeze is lifted by the owner.
    async fn until_bought(&mut self, tasks: &[String]) {
        let begun = Instant::now();
        let mut left: Vec<&String> = tasks.iter().collect();
        let mut last = String::new();
        while !left.is_empty() {
            if begun.elapsed() > PATIENCE * 2 {
                self.logs();
                panic!("{left:?} brought no goods: {last}");
            }
            self.revive().await;
            self.thaw().await;
            let mut buying = Box::pin(futures::future::join_all(
                left.iter().map(|task| buy(&self.scout, &self.feed.goods(), task)),
            ));
            // A mind ends with its steward, and is started again with it.
            let bought = loop {
                tokio::select! {
                    bought = &mut buying => break bought,
                    () = tokio::time::sleep(Duration::from_millis(50)) => {}
                }
                if self.has_died(Who::Buyer) || self.has_died(Who::Seller) {
                    break Vec::new();
                }
            };
            if bought.is_empty() {
                continue;
            }
            let mut again = Vec::new();
            for (task, bought) in left.into_iter().zip(bought) {
                match bought {
                    Ok(purchase) if goods(&purchase) => self.delivered += 1,
                    Ok(purchase) => panic!("{task}: {purchase:?}"),
                    Err(error) => {
                        // A purchase that once brought nothing holds the next ones of that seller's,
                        // though it had its goods later: what a mind says never makes it easier.
                        if let PaymentError::Held { id, .. } = error {
                            self.approve(id).await;
                        }
                        last = error.to_string();
                        again.push(task);
                    }
                }
            }
            left = again;
            if !left.is_empty() {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
    }

    /// Buys in the background and answers the settlement's hash, once it waits for a block that
    /// nobody mines.
    async fn settlement_waits(&mut self) -> (Vec<String>, Value) {
        self.pause().await;
        let tasks = self.tasks(1);
        let url = self.feed.goods();
        let task = tasks[0].clone();
        let buying = self.scout.buy(&url, &task);
        tokio::pin!(buying);
        let begun = Instant::now();
        loop {
            tokio::select! {
                done = &mut buying => panic!("settled without a block: {done:?}"),
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
            let pool = self.ask("txpool_content", json!([])).await;
            let ours = &pool["pending"][self.feed.party.address.to_string()];
            let ours = match ours {
                Value::Null => &pool["pending"][format!("{:?}", self.feed.party.address)],
                ours => ours,
            };
            if let Some(waiting) = ours.as_object().and_then(|all| all.values().next()) {
                return (tasks, waiting.clone());
            }
            assert!(begun.elapsed() < PATIENCE, "nothing came to the pool: {pool}");
        }
    }

    async fn dropped(&mut self) {
        let (tasks, waiting) = self.settlement_waits().await;
        self.ask("anvil_dropTransaction", json!([waiting["hash"]])).await;
        self.resume();
        self.until_bought(&tasks).await;
    }

    async fn reorganised(&mut self, depth: u64) {
        let tasks = self.tasks(1);
        self.until_bought(&tasks).await;
        // Seen, and as deep as the reorganisation goes at most.
        let after = self.dice.below(depth);
        self.blocks(after).await;
        self.pause().await;
        self.ask("anvil_reorg", json!([depth, []])).await;
        self.resume();
        self.blocks(1).await;
        // Asked again, it has its goods.
        self.delivered -= 1;
        self.until_bought(&tasks).await;
    }

    async fn dearer(&mut self) {
        let (tasks, _) = self.settlement_waits().await;
        // Some ten blocks until it is cheap again.
        self.ask("anvil_setNextBlockBaseFeePerGas", json!(["0x12a05f200"])).await;
        self.resume();
        self.until_bought(&tasks).await;
    }

    async fn nonce_taken(&mut self) {
        let (tasks, waiting) = self.settlement_waits().await;
        self.ask("anvil_dropTransaction", json!([waiting["hash"]])).await;
        let feed = self.feed.party.address;
        self.ask("anvil_impersonateAccount", json!([feed])).await;
        let price = json!("0x174876e800");
        let theft = json!([{
            "from": feed, "to": feed, "value": "0x0", "gas": "0x5208", "gasPrice": price,
            "nonce": waiting["nonce"],
        }]);
        let hash = self.ask("eth_sendTransaction", theft).await;
        self.ask("anvil_stopImpersonatingAccount", json!([feed])).await;
        self.resume();
        self.blocks(2).await;
        let receipt = self.ask("eth_getTransactionReceipt", json!([hash])).await;
        self.stolen_gas += number(&receipt["gasUsed"]) * number(&receipt["effectiveGasPrice"]);
        let begun = Instant::now();
        while self.feed.client().view().await.unwrap().frozen_at.is_none() {
            assert!(begun.elapsed() < PATIENCE, "it did not freeze");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.until_bought(&tasks).await;
    }

    async fn front_run(&mut self) {
        let (tasks, waiting) = self.settlement_waits().await;
        let accounts = self.ask("eth_accounts", json!([])).await;
        let call = json!([{
            "from": accounts[1], "to": waiting["to"], "data": waiting["input"], "gas": "0x30000",
            "gasPrice": "0x174876e800",
        }]);
        self.ask("eth_sendTransaction", call).await;
        self.resume();
        self.until_bought(&tasks).await;
    }

    async fn endpoints(&mut self, who: Who, rpc: Rpc) {
        let height = number(&self.ask("eth_blockNumber", json!([])).await);
        let trouble = match rpc {
            Rpc::Slow => Trouble::Slow(Duration::from_millis(700)),
            Rpc::Silent => Trouble::Silent,
            Rpc::Gone => Trouble::Gone,
            Rpc::AnswerLost => Trouble::AnswerLost,
            Rpc::Limits => Trouble::Limits,
            Rpc::Stale => Trouble::Stale(height.to::<u64>().saturating_sub(3)),
            Rpc::Lies(lie) => Trouble::Lies(lie),
        };
        // One that says what is not so has an honest one beside it; both may be out of order.
        let one = matches!(rpc, Rpc::Lies(_) | Rpc::Silent | Rpc::Stale);
        let percent = self.dice.one(if one { &[30, 60, 100] } else { &[30, 60] });
        let chosen = self.dice.index(2);
        let proxies = proxies_of(self, who);
        for (index, proxy) in proxies.iter().enumerate() {
            if !one || index == chosen {
                proxy.has(trouble, percent);
            }
        }
        let before: u64 = proxies.iter().map(Proxy::hits).sum();
        let proxies = proxies.clone();
        let mend = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(4)).await;
            // However slow the machine is: somebody meets it.
            for _ in 0..1_200 {
                if proxies.iter().map(Proxy::hits).sum::<u64>() > before {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            proxies.iter().for_each(Proxy::mend);
        });
        self.shopping(2).await;
        mend.await.unwrap();
        let hits = proxies_of(self, who).iter().map(Proxy::hits).sum::<u64>() - before;
        assert!(hits > 0, "nobody met the trouble");
    }

    async fn at_the_shop(&mut self, way: Seller) {
        self.shop.behaves(way);
        let url = format!("http://{}/goods", self.shop.host);
        let task = self.tasks(1).remove(0);
        let mut bought = self.scout.buy(&url, &task).await;
        // Whoever took money before and did not deliver has to be let pass by the owner.
        if let Err(PaymentError::Held { id, .. }) = bought {
            self.approve(id).await;
            bought = self.scout.buy(&url, &task).await;
        }
        self.handed_to_shop += 1;
        match (way, bought) {
            (Seller::HangsUp, Ok(purchase)) => assert_eq!(purchase.response.body, b"goods"),
            (Seller::HangsUp, Err(error)) => panic!("{error}"),
            (_, Err(PaymentError::Undelivered(lost))) => {
                // Once the chain has it, the ledger knows that the money was taken.
                self.until_seen(lost.id).await;
                let next = self.tasks(1).remove(0);
                let held = self.scout.buy(&url, &next).await;
                assert!(matches!(held, Err(PaymentError::Held { .. })), "paid again: {held:?}");
            }
            (_, other) => panic!("{other:?}"),
        }
    }

    async fn at_the_inn(&mut self, way: fault::Desk) {
        self.desk.behaves(way);
        if way == fault::Desk::Dead {
            let desk = self.desk.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(4)).await;
                desk.behaves(fault::Desk::Fails);
            });
        }
        let url = self.inn.goods();
        let task = self.tasks(1).remove(0);
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < PATIENCE * 2 {
            match self.scout.buy(&url, &task).await {
                Ok(purchase) => {
                    assert!(goods(&purchase), "{purchase:?}");
                    self.delivered_by_inn += 1;
                    return;
                }
                Err(PaymentError::Held { id, .. }) => self.approve(id).await,
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        panic!("{task} brought no goods: {last}");
    }

    async fn killed(&mut self, who: Who, edge: &str) {
        let citizen = match who {
            Who::Buyer => &self.scout,
            Who::Seller => &self.feed,
        };
        arm(&citizen.party, edge);
        let tasks = self.tasks(2);
        self.until_bought(&tasks).await;
        // Late edges are come to when the chain has moved on. One that was started again is disarmed.
        let edge_file = match who {
            Who::Buyer => armed(&self.scout.party),
            Who::Seller => armed(&self.feed.party),
        };
        let begun = Instant::now();
        while edge_file.exists() && !self.has_died(who) {
            assert!(begun.elapsed() < PATIENCE, "it never came to {edge}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn has_died(&mut self, who: Who) -> bool {
        let citizen = match who {
            Who::Buyer => &mut self.scout,
            Who::Seller => &mut self.feed,
        };
        citizen.running.as_mut().unwrap().child.try_wait().unwrap().is_some()
    }

    /// Starts again what has died; it died at an edge, and may pass it now.
    pub(crate) async fn revive(&mut self) {
        if self.has_died(Who::Buyer) {
            drop(std::fs::remove_file(armed(&self.scout.party)));
            self.scout.running = Some(run(&self.town, &self.scout.party, None).await);
        }
        if self.has_died(Who::Seller) {
            drop(std::fs::remove_file(armed(&self.feed.party)));
            let host = self.feed.host.clone();
            self.feed.running = Some(run(&self.town, &self.feed.party, Some(&host)).await);
        }
    }

    /// The owners look at why their stewards stopped, and let them go on.
    pub(crate) async fn thaw(&self) {
        for citizen in [&self.scout, &self.feed, &self.inn] {
            let Ok(view) = citizen.client().view().await else { continue };
            let Some(frozen_at) = view.frozen_at else { continue };
            let chain = self.town.economy.devnet.chain_id();
            let thaw = Statement::Thaw { frozen_at };
            let signed = citizen.party.owner.sign(thaw, chain, view.origin, None);
            if let Err(error) = citizen.client().submit(signed).await {
                // Frozen again meanwhile, or dead: it is looked at again.
                eprintln!("  {}: not thawed: {error}", citizen.party.name);
            }
        }
    }

    /// Waits until the buyer's steward has seen a payment on chain.
    async fn until_seen(&self, id: IntentId) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let status = self.scout.client().wait(id, Duration::from_millis(200)).await.unwrap();
            if matches!(status.state, PaymentState::Seen | PaymentState::Final) {
                return;
            }
        }
        panic!("{id} was never seen");
    }

    /// The owner lets a held payment pass. A steward that is away is asked again later.
    async fn approve(&self, id: IntentId) {
        let Ok(view) = self.scout.client().view().await else { return };
        let Some(held) = view.intents.iter().find(|intent| intent.status.id == id) else { return };
        let approval = self.scout.party.owner.approval(&view, id, held.body, view.now);
        let chain = self.town.economy.devnet.chain_id();
        let signed = self.scout.party.owner.sign(approval, chain, view.origin, None);
        if let Err(error) = self.scout.client().submit(signed).await {
            eprintln!("  not approved: {error}");
        }
    }

    pub(crate) async fn ask(&self, method: &str, params: Value) -> Value {
        ask(&self.client, self.town.economy.devnet.url(), method, params).await
    }

    async fn pause(&self) {
        self.mining.store(false, Ordering::SeqCst);
        tokio::time::sleep(BLOCK * 2).await;
    }

    fn resume(&self) {
        self.mining.store(true, Ordering::SeqCst);
    }

    /// Waits until so many more blocks are mined.
    async fn blocks(&self, count: u64) {
        let until = number(&self.ask("eth_blockNumber", json!([])).await) + U256::from(count);
        while number(&self.ask("eth_blockNumber", json!([])).await) < until {
            tokio::time::sleep(BLOCK / 2).await;
        }
    }
}

fn proxies_of(scene: &Scene, who: Who) -> &[Proxy; 2] {
    match who {
        Who::Buyer => &scene.scout_rpc,
        Who::Seller => &scene.feed_rpc,
    }
}

/// A number as JSON-RPC writes it.
pub(crate) fn number(word: &Value) -> U256 {
    word.as_str().unwrap().parse().unwrap()
}

/// A purchase that borrows nothing, so that its steward can be looked after meanwhile.
fn buy(
    scout: &Citizen,
    url: &str,
    task: &str,
) -> impl Future<Output = Result<Purchase, PaymentError>> + use<> {
    let (client, url, task) = (scout.client().clone(), url.to_owned(), task.to_owned());
    async move { support::buy(client, &url, &task).await }
}

fn goods(purchase: &Purchase) -> bool {
    purchase.response.status == 200
        && purchase.response.body == include_bytes!("../../examples/data/wind.csv")
}

async fn mine(client: reqwest::Client, url: String, mining: Arc<AtomicBool>) {
    loop {
        if mining.load(Ordering::SeqCst) {
            let mine = json!({ "jsonrpc": "2.0", "id": 1, "method": "evm_mine", "params": [] });
            // A connection that was closed a moment too early is no end: the next block is as good.
            // The task ends with its scene.
            drop(client.post(&url).json(&mine).send().await);
        }
        tokio::time::sleep(BLOCK).await;
    }
}

/// What every policy here begins with.
fn head(town: &Town, party: &Party, rpc: &[Proxy; 2]) -> String {
    let one = format!("[\"{}\"]", town.economy.devnet.url());
    let two = format!("[\"{}\", \"{}\"]", rpc[0].url, rpc[1].url);
    let depth = format!("finality = {FINALITY}");
    let changes = [(&*one, &*two), ("finality = 2", &depth), ("0.05 ETH", "1 ETH")];
    changes.iter().fold(town.head(party), |head, (old, new)| {
        assert!(head.contains(old), "the head of a policy has changed");
        head.replace(old, new)
    })
}

async fn seller(town: &Town, rpc: &[Proxy; 2]) -> Citizen {
    let party = town.economy.party("feed").await.unwrap();
    let policy = format!("{}\n[income]\nassets = [\"tUSD\"]\n", head(town, &party, rpc));
    town.economy.adopt(&party, &policy).await.unwrap();
    let host = free_address();
    std::fs::write(
        town.dir.path().join("wind.csv"),
        include_bytes!("../../examples/data/wind.csv"),
    )
    .unwrap();
    let running = Some(run(town, &party, Some(&host)).await);
    Citizen { party, running, id: U256::MAX, host }
}

/// A seller in this process whose payments the facilitator settles.
async fn inn(town: &Town, rpc: &[Proxy; 2], desk: &Desk) -> Citizen {
    let party = town.economy.party("inn").await.unwrap();
    let policy = format!("{}\n[income]\nassets = [\"tUSD\"]\n", head(town, &party, rpc));
    town.economy.adopt(&party, &policy).await.unwrap();
    let running = town.economy.run(&party, &[]).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let place: url::Url = desk.url.parse().unwrap();
    let guard = Guard {
        loopback: vec![marque_net::host_port(&place)],
        timeout: Duration::from_secs(3),
        ..Guard::default()
    };
    let facilitator = Facilitator::new(Net::new(guard).unwrap(), place);
    let base = format!("http://{host}").parse().unwrap();
    let seller = marque_payments::Seller::new(Arc::new(running.client.clone()), base);
    let paywall = Paywall::fixed(seller.through(facilitator), "0.02 tUSD").unwrap();
    let wind = get(async || include_bytes!("../../examples/data/wind.csv").to_vec());
    let app = axum::Router::new().route("/wind.csv", wind).layer(paywall);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Citizen { party, running: Some(running), id: U256::MAX, host }
}

async fn buyer(town: &Town, rpc: &[Proxy; 2], ours: &[&Citizen; 2], shop: &Shop) -> Citizen {
    let party = town.economy.party("scout").await.unwrap();
    town.economy.mint(party.address, PURSE).await.unwrap();
    let payee = |name: &str, address: Address, host: &str| {
        format!("\n[[payee]]\nname = \"{name}\"\naddress = \"{address}\"\nhost = \"{host}\"\n")
    };
    let policy = format!(
        "{}\n[limits.tUSD]\ntotal = \"100\"\n{}{}{}",
        head(town, &party, rpc),
        payee("feed", ours[0].party.address, &ours[0].host),
        payee("inn", ours[1].party.address, &ours[1].host),
        payee("shop", SHOP, &shop.host),
    );
    town.economy.adopt(&party, &policy).await.unwrap();
    let running = Some(run(town, &party, None).await);
    Citizen { party, running, id: U256::MAX, host: String::new() }
}

/// Starts a party's steward, with a mind that sells at `host`. It may die at once, at an edge that
/// it passes while it opens: then again.
async fn run(town: &Town, party: &Party, host: Option<&str>) -> marque::economy::Running {
    let file = town.dir.path().join("wind.csv").display().to_string();
    let mind: Vec<&str> = match host {
        Some(host) => vec![
            "mind",
            "sell-file",
            "--agent",
            &party.name,
            "--listen",
            host,
            "--file",
            &file,
            "--price",
            "0.02 tUSD",
        ],
        None => vec![],
    };
    let edge = armed(party).display().to_string();
    let env = [("MARQUE_FAILPOINTS", edge.as_str())];
    let mut last = String::new();
    for _ in 0..5 {
        match town.economy.run_with(party, &mind, &env).await {
            Ok(running) => {
                if let Some(host) = host {
                    listens(host).await;
                }
                return running;
            }
            Err(error) => last = error.to_string(),
        }
    }
    panic!("{} does not start: {last}", party.name)
}

async fn listens(host: &str) {
    for _ in 0..1_200 {
        if tokio::net::TcpStream::connect(host).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody listens at {host}");
}

/// The file that names the edge at which a party's steward dies; in its home, for it is fenced.
fn armed(party: &Party) -> PathBuf {
    party.home.path().join("edge")
}

fn arm(party: &Party, edge: &str) {
    let new = party.home.path().join("edge-new");
    let segments = party.home.journal().join("entries");
    std::fs::write(&new, format!("{edge} {}", segments.display())).unwrap();
    std::fs::rename(new, armed(party)).unwrap();
}
