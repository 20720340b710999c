//! Opening a shop on the command line: what does not go together is refused in one line, and a buyer
//! finds the way to it.

use crate::{
    command::{Steward, failure, marque, ok, start},
    support::{Town, eventually, free_address},
};
use serde_json::Value;
use std::{path::Path, process::Output, time::Duration};

/// A home with a seller that has coins for fees, and a folder of goods beside it.
struct Street {
    /// Its chain ends with it.
    _town: Town,
    dir: tempfile::TempDir,
}

impl Street {
    async fn new() -> Self {
        let town = Town::new().await;
        let dir = tempfile::tempdir().unwrap();
        town.found_from(&dir.path().join("home"));
        std::fs::create_dir(dir.path().join("goods")).unwrap();
        std::fs::write(dir.path().join("goods/wind.csv"), "14.2").unwrap();
        let street = Self { _town: town, dir };
        ok(&street.marque(&["owner", "init"]));
        ok(&street.marque(&["new", "shop", "--policy", "seller"]));
        let adopted = ok(&street.marque(&["policy", "adopt", "shop"]));
        assert!(adopted.contains("marque sell DIR --agent shop"), "{adopted}");
        ok(&street.marque(&["fund", "shop", "1 ETH", "--faucet"]));
        street
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn goods(&self) -> String {
        self.path().join("goods").display().to_string()
    }

    fn marque(&self, args: &[&str]) -> Output {
        // The command line waits for processes, which a runtime should not.
        tokio::task::block_in_place(|| marque(self.path(), args))
    }

    /// A shop that is open once this returns.
    async fn open(&self, host: &str) -> Steward {
        let goods = self.goods();
        let args = ["sell", &goods, "--agent", "shop", "--price", "0.01 tUSD", "--listen", host];
        let shop = Steward(start(self.path(), &args));
        eventually("the shop is open", 60, || async {
            reqwest::get(format!("http://{host}/")).await.is_ok()
        })
        .await;
        shop
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_that_do_not_go_together_are_refused_before_the_shop_opens() {
    let street = Street::new().await;
    let (host, goods) = (free_address(), street.goods());
    let sell = |terms: &[&str]| {
        let args =
            [&["sell", goods.as_str(), "--agent", "shop", "--listen", &host], terms].concat();
        failure(&street.marque(&args))
    };
    let credit =
        |risk: &'static str| ["--price", "0.10 tUSD", "--settle", "background", "--risk", risk];
    let desk = ["--facilitator", "http://127.0.0.1:9"];
    let of = |each: &'static str| ["--risk-per-payer", each];
    for (terms, why) in [
        (vec!["--price", "0 tUSD"], "that is no price"),
        (credit("0.05 tUSD").to_vec(), "below the price"),
        ([&credit("1 tUSD")[..], &of("2 tUSD")].concat(), "one payer's part"),
        ([&credit("1 tUSD")[..], &of("0.01 tUSD")].concat(), "one payer's part"),
        ([&credit("1 tUSD")[..], &desk].concat(), "write --settle before"),
        ([&["--price", "1 tUSD"][..], &of("1 tUSD")].concat(), "add --settle background"),
        (vec!["--price", "1 tUSD", "--risk", "1 tUSD"], "add --settle background"),
    ] {
        let (text, code) = sell(&terms);
        assert!(code == 2 && text.contains(why), "{terms:?}: {text}");
    }
    for (what, why) in [
        ("http://example.com", "by https alone"),
        ("ftp://example.com", "speaks http or https"),
        ("/nowhere", "name a folder, or a service"),
    ] {
        let (text, code) =
            failure(&street.marque(&["sell", what, "--agent", "shop", "--price", "1 tUSD"]));
        assert!(code == 2 && text.contains(why) && text.contains("https://HOST"), "{text}");
        assert!(!text.contains("policy"), "{text}");
    }
    let taken = tokio::net::TcpListener::bind(&host).await.unwrap();
    let (text, code) = sell(&["--price", "1 tUSD"]);
    assert!(code == 1 && text.contains("another program listens there"), "{text}");
    drop(taken);
    // Nobody gave the secret: wrong usage here as everywhere.
    let none = ["--unlock-fd", "77", "sell", &goods, "--agent", "shop", "--price", "1 tUSD"];
    let (text, code) = failure(&street.marque(&none));
    assert!(code == 2 && text.contains("--unlock-fd N"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_is_heard_twice_at_once_closes_a_shop_in_order() {
    let street = Street::new().await;
    let mut shop = street.open(&free_address()).await;
    let pid = i32::try_from(shop.0.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        rustix::process::kill_process(pid, signal).unwrap();
    }
    let status = shop.0.wait().unwrap();
    let said = shop.stopped();
    assert!(status.success() && said.contains("closed;"), "{status}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_ctrl_c_ends_a_shop_at_once_and_says_so() {
    let street = Street::new().await;
    let host = free_address();
    let mut shop = street.open(&host).await;
    // Somebody who has not said all: without, it may be closed before the second signal.
    let mut customer = tokio::net::TcpStream::connect(&host).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut customer, b"GET").await.unwrap();
    let pid = i32::try_from(shop.0.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    // An echo within a moment is the same one; a person presses again later.
    let status = loop {
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
        if let Some(status) = shop.0.try_wait().unwrap() {
            break status;
        }
    };
    assert_eq!(status.code(), Some(1));
    let said = shop.stopped();
    assert!(said.contains("error: stopped at once") && said.contains("stays so"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_is_found_by_the_name_that_new_gives_it_and_an_answer_that_is_none_is_a_failure() {
    let street = Street::new().await;
    let host = free_address();
    // Before the first sale there is a shop, and no buyer.
    let nothing = ok(&street.marque(&["income"]));
    assert!(nothing.contains("shop: nothing was sold yet"), "{nothing}");
    let told: Value = serde_json::from_str(&ok(&street.marque(&["--json", "income"]))).unwrap();
    assert_eq!((&told["agent"], &told["sales"]), (&"shop".into(), &0.into()), "{told}");

    let shop = ok(&street.marque(&["--json", "balance", "shop"]));
    let shop: Value = serde_json::from_str(&shop).unwrap();
    let payee = format!("shop={}@{host}", shop["address"].as_str().unwrap());
    let made = ok(&street.marque(&["new", "reader", "--payee", &payee]));
    assert!(made.contains("https://shop.example"), "{made}");
    ok(&street.marque(&["policy", "adopt", "reader"]));
    ok(&street.marque(&["fund", "reader", "1 tUSD", "--faucet"]));
    let open = street.open(&host).await;

    // The built-in model does not sing, and says so in its way.
    let goal = "Sing a song about the sea.";
    let out = street.marque(&["run", "reader", goal]);
    let (text, code) = failure(&out);
    assert!(code == 1 && text.contains("no tool for this") && text.contains("--model"), "{text}");
    assert!(!String::from_utf8_lossy(&out.stdout).contains('✓'), "{out:?}");
    let out = street.marque(&["--json", "run", "reader", goal]);
    assert!(String::from_utf8_lossy(&out.stdout).contains("\"event\":\"failed\""), "{out:?}");

    let goal = "Fetch https://shop.example/wind.csv and report the value.";
    let answer = ok(&street.marque(&["run", "reader", goal]));
    assert!(answer.contains("paid 0.01 tUSD to shop"), "{answer}");
    let goal = format!("Fetch http://{host}/wind.csv and report the value.");
    let answer = ok(&street.marque(&["run", "reader", &goal]));
    assert!(answer.contains("paid 0.01 tUSD to shop"), "it reads a port as well: {answer}");
    let told = ok(&street.marque(&["income"]));
    assert!(told.contains("shop: 0.02 tUSD in 2 sales\n") && !told.contains("reader:"), "{told}");

    // A second shop for the same agent is told of the first.
    let second = free_address();
    let goods = street.goods();
    let args = ["sell", &goods, "--agent", "shop", "--price", "0.01 tUSD", "--listen", &second];
    let child = Steward(start(street.path(), &args));
    eventually("the second shop is open", 60, || async {
        reqwest::get(format!("http://{second}/")).await.is_ok()
    })
    .await;
    let said = child.stopped();
    assert!(said.contains(&format!("shop sells already, at http://{host}/")), "{said}");
    assert!(!said.contains("WARN"), "{said}");
    drop(open);
}
