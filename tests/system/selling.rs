//! `marque sell`, `marque facilitator` and `marque income`, on a real chain with real processes.

use crate::support::{Citizen, MARQUE, Town, buy, eventually, free_address};
use alloy_primitives::{B256, hex};
use axum::{Router, routing::get};
use marque_net::{Client as Net, Guard, Method, Request};
use marque_payments::{Paywall, Seller, Settlement};
use marque_policies::{
    AssetId, Intent, Labels, Mark, Money,
    intent::{Authorise, Settle},
};
use marque_steward_client::{Artifact, Outcome, PaymentState, Proposal};
use std::{sync::Arc, time::Duration};

/// An agent with this policy, whose mind has these arguments and listens on `host`.
async fn agent(town: &Town, name: &str, policy: &str, host: &str, mind: &[&str]) -> Citizen {
    let party = town.economy.party(name).await.unwrap();
    let policy = format!("{}\n{policy}", town.head(&party));
    town.economy.adopt(&party, &policy).await.unwrap();
    let running = town.economy.run(&party, mind).await.unwrap();
    let id = town.economy.register(&party, &running.client, "sells", None).await.unwrap();
    Citizen { party, running: Some(running), id, host: host.to_owned() }
}

const INCOME: &str = "[income]\nassets = [\"tUSD\"]\n";

fn net(host: &str) -> Net {
    Net::new(Guard { loopback: vec![host.to_owned()], ..Guard::default() }).unwrap()
}

async fn look(host: &str, path: &str) -> marque_net::Response {
    net(host).send(Request::get(format!("http://{host}{path}").parse().unwrap())).await.unwrap()
}

async fn up(host: &str) {
    eventually("the shop is open", 60, || async {
        net(host).send(Request::get(format!("http://{host}/").parse().unwrap())).await.is_ok()
    })
    .await;
}

fn income(citizen: &Citizen) -> serde_json::Value {
    let out = std::process::Command::new(MARQUE)
        .args(["--json", "income", "--home"])
        .arg(citizen.party.home.path())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_sold_file_by_file_and_the_income_is_told() {
    let town = Town::new().await;
    let shop = town.dir.path().join("goods");
    std::fs::create_dir_all(&shop).unwrap();
    for (name, text) in [("a.csv", "14.2"), ("b.csv", "9.9"), ("README.md", "read"), (".key", "no")]
    {
        std::fs::write(shop.join(name), text).unwrap();
    }
    let (host, dir) = (free_address(), shop.display().to_string());
    let mind = [
        "mind",
        "sell",
        "--agent",
        "shop",
        "--dir",
        &dir,
        "--price",
        "0.02 tUSD",
        "--listen",
        &host,
        "--free",
        "/README.md",
    ];
    let shop = agent(&town, "shop", INCOME, &host, &mind).await;
    up(&host).await;
    let scout = town.buyer("scout", &[&shop], "").await;
    let listing = look(&host, "/").await;
    let text = String::from_utf8(listing.body).unwrap();
    assert!(listing.status == 200 && text.contains("/a.csv") && !text.contains(".key"), "{text}");
    assert_eq!(look(&host, "/README.md").await.status, 200);
    assert_eq!(look(&host, "/.key").await.status, 404);
    assert_eq!(look(&host, "/none.csv").await.status, 404);
    assert_eq!(look(&host, "/a.csv").await.status, 402);
    let head = Request {
        method: Method::HEAD,
        ..Request::get(format!("http://{host}/a.csv").parse().unwrap())
    };
    let head = net(&host).send(head).await.unwrap();
    assert!(head.status == 402 && head.headers.contains_key("payment-required"));
    for (path, body, task) in [("/a.csv", "14.2", "one"), ("/b.csv", "9.9", "two")] {
        let bought = scout.buy(&format!("http://{host}{path}"), task).await.unwrap();
        assert_eq!(bought.response.body, body.as_bytes());
    }
    assert_eq!(town.dollars(&shop).await, 40_000);
    let told = income(&shop);
    assert_eq!((&told["sales"], &told["total"]), (&2.into(), &"40000".into()), "{told}");
    assert_eq!(told["resources"].as_array().unwrap().len(), 2);
    assert_eq!(told["payers"][0]["name"], scout.party.address.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_sold_through_the_counter_and_only_what_is_free_is_free() {
    let town = Town::new().await;
    let behind = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}/", behind.local_addr().unwrap());
    let service = Router::new()
        .route("/wind", get(|| async { "14.2" }))
        .route("/health", get(|| async { "well" }));
    tokio::spawn(async move { axum::serve(behind, service).await });
    let host = free_address();
    let mind = [
        "mind",
        "sell",
        "--agent",
        "shop",
        "--upstream",
        &upstream,
        "--price",
        "0.02 tUSD",
        "--listen",
        &host,
        "--free",
        "/health",
        "--settle",
        "after",
    ];
    let shop = agent(&town, "shop", INCOME, &host, &mind).await;
    up(&host).await;
    let scout = town.buyer("scout", &[&shop], "").await;
    assert_eq!(look(&host, "/health").await.body, b"well");
    assert_eq!(look(&host, "/wind").await.status, 402);
    assert_eq!(look(&host, "/health/../wind").await.status, 402);
    let bought = scout.buy(&format!("http://{host}/wind"), "wind").await.unwrap();
    assert_eq!(bought.response.body, b"14.2");
    assert_eq!(town.dollars(&shop).await, 20_000);
    // What the service does not have costs nothing.
    let error = scout.buy(&format!("http://{host}/none"), "none").await;
    assert!(error.is_err());
    assert_eq!(town.dollars(&shop).await, 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_request_that_the_service_answers_with_an_error_is_told_as_one() {
    let town = Town::new().await;
    let behind = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}/", behind.local_addr().unwrap());
    let service = Router::new().route("/wind", get(|| async { "14.2" }));
    tokio::spawn(async move { axum::serve(behind, service).await });
    let host = free_address();
    let mut mind = vec!["mind", "sell", "--agent", "shop", "--upstream", &upstream];
    mind.extend(["--price", "0.02 tUSD", "--listen", &host]);
    let shop = agent(&town, "shop", INCOME, &host, &mind).await;
    up(&host).await;
    let scout = town.buyer("scout", &[&shop], "").await;
    scout.buy(&format!("http://{host}/wind"), "wind").await.unwrap();
    assert_eq!(income(&shop)["answered_with_error"], 0);
    // Paid before the service is asked, which has nothing there.
    let none = scout.buy(&format!("http://{host}/none"), "none").await;
    assert!(none.is_err() || none.is_ok_and(|it| it.response.status == 404));
    assert_eq!(town.dollars(&shop).await, 40_000);
    let told = income(&shop);
    assert_eq!((&told["sales"], &told["answered_with_error"]), (&2.into(), &1.into()), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_at_the_counter_when_the_shop_closes_is_served() {
    let town = Town::new().await;
    let behind = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}/", behind.local_addr().unwrap());
    let asked = Arc::new(tokio::sync::Notify::new());
    let heard = Arc::clone(&asked);
    let wind = get(move || {
        heard.notify_one();
        async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            "14.2"
        }
    });
    let service = Router::new().route("/wind", wind);
    tokio::spawn(async move { axum::serve(behind, service).await });
    let host = free_address();
    let mut mind = vec!["mind", "sell", "--agent", "shop", "--upstream", &upstream];
    mind.extend(["--price", "0.02 tUSD", "--listen", &host, "--settle", "after"]);
    let mut shop = agent(&town, "shop", INCOME, &host, &mind).await;
    up(&host).await;
    let scout = town.buyer("scout", &[&shop], "").await;
    let (client, url) = (scout.client().clone(), format!("http://{host}/wind"));
    let buying = tokio::spawn(async move { buy(client, &url, "wind").await });
    asked.notified().await;
    let mut steward = shop.running.take().unwrap().child;
    let pid = steward.id().and_then(|pid| i32::try_from(pid).ok()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = steward.wait().await.unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(buying.await.unwrap().unwrap().response.body, b"14.2");
    assert_eq!(town.dollars(&shop).await, 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_facilitator_settles_for_a_seller_and_pays_the_fees() {
    let town = Town::new().await;
    let (desk_host, host) = (free_address(), free_address());
    let mind = ["mind", "facilitate", "--agent", "desk", "--listen", &desk_host];
    let policy = "[facilitator]\nassets = [\"tUSD\"]\n";
    let desk = agent(&town, "desk", policy, &desk_host, &mind).await;
    let goods = town.dir.path().join("goods");
    std::fs::create_dir_all(&goods).unwrap();
    std::fs::write(goods.join("a.csv"), "14.2").unwrap();
    let (dir, facilitator) = (goods.display().to_string(), format!("http://{desk_host}"));
    let mind = [
        "mind",
        "sell",
        "--agent",
        "shop",
        "--dir",
        &dir,
        "--price",
        "0.02 tUSD",
        "--listen",
        &host,
        "--facilitator",
        &facilitator,
    ];
    let shop = agent(&town, "shop", INCOME, &host, &mind).await;
    up(&host).await;
    eventually("the desk is open", 60, || async {
        net(&desk_host)
            .send(Request::get(format!("{facilitator}/supported").parse().unwrap()))
            .await
            .is_ok()
    })
    .await;
    let said = look(&desk_host, "/supported").await;
    let said: serde_json::Value = serde_json::from_slice(&said.body).unwrap();
    assert_eq!(said["signers"]["eip155:*"][0], desk.party.address.to_string());
    let scout = town.buyer("scout", &[&shop], "").await;
    let coins = |citizen: &Citizen| town.economy.rpc.balance(citizen.party.address);
    let (ours, theirs) = (coins(&shop).await.unwrap(), coins(&desk).await.unwrap());
    let bought = scout.buy(&format!("http://{host}/a.csv"), "one").await.unwrap();
    assert_eq!(bought.response.body, b"14.2");
    assert_eq!(town.dollars(&shop).await, 20_000);
    assert_eq!(town.dollars(&desk).await, 0);
    assert_eq!(coins(&shop).await.unwrap(), ours, "the seller pays no fees");
    assert!(coins(&desk).await.unwrap() < theirs, "the facilitator pays them");
    assert_eq!(income(&shop)["sales"], 1);
    assert_eq!(income(&desk)["settled_for_others"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_without_the_section_settles_nothing_for_others() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let scout = town.buyer("scout", &[&feed], "").await;
    let desk = agent(&town, "desk", INCOME, "", &[]).await;
    let asset = AssetId { chain: town.economy.devnet.chain_id(), token: town.economy.dollar };
    let amount = Money::new(alloy_primitives::U256::from(20_000), asset);
    let propose =
        |intent| Proposal { task: "t".to_owned(), step: 0, ordinal: 0, attempt: 0, intent };
    let authorise = Intent::Authorise(Authorise {
        payee: "feed".to_owned(),
        to: feed.party.address,
        amount,
        host: feed.host.clone(),
        resource: feed.goods(),
        labels: Labels::default(),
    });
    let Outcome::Allowed { artifact: Artifact::Authorisation(signed), .. } =
        scout.client().propose(propose(authorise)).await.unwrap()
    else {
        panic!("not signed")
    };
    let settle = Intent::Settle(Settle {
        from: signed.from,
        to: signed.to,
        amount,
        valid_after: signed.valid_after,
        valid_before: signed.valid_before,
        nonce: signed.nonce,
        signature: hex::encode_prefixed(&signed.signature),
        resource: feed.goods(),
    });
    let Outcome::Refused { table, .. } =
        desk.client().propose(propose(settle.clone())).await.unwrap()
    else {
        panic!("settled for another")
    };
    let failed: Vec<_> =
        table.iter().filter(|row| row.mark == Mark::Fail).map(|row| row.rule.as_str()).collect();
    assert_eq!(failed, ["settle.to"]);
    // The payee may, after a preview that does nothing.
    let entries = || async { feed.client().status().await.unwrap().entries };
    let before = entries().await;
    let preview = feed.client().preview(propose(settle.clone())).await.unwrap();
    assert!(matches!(preview.foreseen, marque_steward_client::Foreseen::Allowed), "{preview:?}");
    let payer = preview.payer.unwrap();
    assert!(!payer.used && payer.balance == alloy_primitives::U256::from(5_000_000));
    assert_eq!(entries().await, before, "a preview is nothing");
    let allowed = feed.client().propose(propose(settle)).await.unwrap();
    assert!(matches!(allowed, Outcome::Allowed { .. }), "{allowed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_on_credit_is_paid_though_the_steward_dies_at_once() {
    let town = Town::new().await;
    let mut shop = agent(&town, "shop", INCOME, "", &[]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    shop.host = listener.local_addr().unwrap().to_string();
    let asset = AssetId { chain: town.economy.devnet.chain_id(), token: town.economy.dollar };
    let risk = Money::new(alloy_primitives::U256::from(40_000), asset);
    let base: url::Url = format!("http://{}", shop.host).parse().unwrap();
    let seller = Seller::new(Arc::new(shop.client().clone()), base)
        .settlement(Settlement::Background { risk });
    let router = Router::new()
        .route("/a", get(|| async { "14.2" }))
        .layer(Paywall::fixed(seller.clone(), "0.02 tUSD").unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let scout = town.buyer("scout", &[&shop], "").await;
    let url = format!("http://{}/a", shop.host);
    let bought = scout.buy(&url, "one").await.unwrap();
    assert_eq!(bought.response.body, b"14.2");
    let hash: B256 = bought.paid.unwrap().transaction.unwrap();
    shop.kill().await;
    town.restart(&mut shop, &[]).await;
    eventually("the money", 60, || async { town.dollars(&shop).await == 20_000 }).await;
    let view = shop.client().view().await.unwrap();
    let [sale] =
        &view.intents.iter().filter(|it| it.intent.kind() == "settle").collect::<Vec<_>>()[..]
    else {
        panic!("{:?}", view.intents)
    };
    let id = sale.status.id;
    eventually("final", 60, || async {
        let state = shop.client().wait(id, Duration::from_millis(100)).await;
        state.is_ok_and(|it| it.state == PaymentState::Final && it.transaction == Some(hash))
    })
    .await;
}
