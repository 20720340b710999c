//! What ending costs where an endpoint wants more than the others: the word of one has a price in all that
//! one command ends, and fees on which endpoints agree end as much as there is.

use crate::{
    account::Estate,
    command::{failure, ok},
    robbed_host::between,
};
use alloy_primitives::U256;
use marque::{
    home::OwnerHome,
    owner::{Ends, Heard, MOST_FEE, Owner, OwnerError},
};
use marque_identity::{
    Receipt, Rpc,
    account::{self, Permissions},
};
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

impl Estate {
    pub(crate) fn unlocked(&self) -> Owner {
        let folder = OwnerHome::locate(Some(self.path().join("owner"))).unwrap();
        Owner::unlock(&folder, &"correct horse battery staple".to_owned().into()).unwrap()
    }

    /// Endpoints of this chain, before the honest one.
    fn through(&self, urls: &[&str]) -> Rpc {
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        Rpc::new(&urls).unwrap().brief()
    }
}

/// Ends everything once more, by the nonce that each endpoint says now.
async fn raise(ends: &mut Ends<'_>, of: &Permissions) -> Result<Receipt, OwnerError> {
    let nonce = |each: Rpc| async move { account::nonce(&each, &of.framework, of.account).await };
    let said = ends.rpc().all(nonce).await;
    let nonces: Vec<U256> = said.into_iter().map(|(_, said)| said.unwrap()).collect();
    ends.revoke_all(&of.framework, of.account, &nonces).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_word_of_one_endpoint_costs_no_more_however_much_is_ended() {
    let (estate, liar) = Estate::beside_a_liar().await;
    let (permissions, owner) = (estate.permissions(), estate.unlocked());
    let has = || async { estate.town.economy.rpc.balance(owner.address()).await.unwrap() };
    let rpc = estate.through(&[&liar.url, estate.town.economy.devnet.url()]);
    let before = has().await;
    liar.says("one more than was signed");
    let mut ends = owner.ends(&rpc, permissions.framework.chain, MOST_FEE);
    for _ in 0..3 {
        raise(&mut ends, &permissions).await.unwrap();
    }
    drop(ends);
    let spent = before - has().await;
    assert!(spent < MOST_FEE + MOST_FEE / U256::from(10), "{spent}");
    assert!(spent > MOST_FEE / U256::from(10), "it got none of what it wanted: {spent}");
    assert!(estate.over(&permissions).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn fees_on_which_endpoints_agree_end_as_much_as_there_is() {
    let estate = Estate::delegated().await;
    let (permissions, owner) = (estate.permissions(), estate.unlocked());
    let framework = &permissions.framework;
    let honest = estate.town.economy.devnet.url();
    let mirror = between(honest.to_owned(), |_| None);
    let (alone, both) = (estate.through(&[honest]), estate.through(&[&mirror, honest]));
    let none = raise(&mut owner.ends(&alone, framework.chain, U256::ONE), &permissions).await;
    let Err(OwnerError::TooDear { fee, before: U256::ZERO, .. }) = none else { panic!("{none:?}") };
    let mut ends = owner.ends(&both, framework.chain, fee);
    for _ in 0..4 {
        raise(&mut ends, &permissions).await.unwrap();
    }
    // With one endpoint its word is all there is.
    let mut ends = owner.ends(&alone, framework.chain, fee);
    raise(&mut ends, &permissions).await.unwrap();
    let refused = raise(&mut ends, &permissions).await;
    let Err(OwnerError::TooDear { before, .. }) = refused else { panic!("{refused:?}") };
    assert!(before > U256::ZERO);
    let mut ends = owner.ends(&alone, framework.chain, fee * U256::from(9));
    for _ in 0..2 {
        raise(&mut ends, &permissions).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_too_dear_says_which_option_pays_for_it() {
    let estate = Estate::delegated().await;
    let living = estate.permissions();
    let mut named = String::new();
    for args in [&["scout"][..], &["--all"]] {
        let little = [&["revoke", "--most-fee", "0.000000000000000001"], args].concat();
        let (text, code) = failure(&estate.account(&little));
        assert_eq!(code, 1, "{text}");
        let (_, enough) = text.rsplit_once("--most-fee ").unwrap();
        named = enough.split([';', ' ', '\n']).next().unwrap().to_owned();
        assert!(text.contains("0.000000000000000001 is the most that its word may cost"), "{text}");
    }
    assert!(!estate.over(&living).await);
    for wrong in ["much", "0", "0 ETH", "-1", ""] {
        let (text, code) = failure(&estate.account(&["revoke", "scout", "--most-fee", wrong]));
        let (line, _) = text.split_once('\n').unwrap();
        assert!(code == 2 && line.contains("as in 0.5 or \"0.5 ETH\""), "{wrong}: {text}");
    }
    for args in [&["scout"][..], &["--all"], &["scout", "--all"]] {
        let other = [&["revoke", "--most-fee", "0.5 POL"], args].concat();
        let (text, code) = failure(&estate.account(&other));
        assert!(code == 2 && text.contains("is not in ETH, the chain's own coin"), "{text}");
    }
    assert!(!estate.over(&living).await);
    let named = format!("{named} ETH");
    ok(&estate.account(&["revoke", "scout", "--most-fee", &named]));
    assert!(estate.over(&living).await);
}

/// What one endpoint wants is not what the other takes: it gets its own at once, as does one that is quick
/// beside one that is slow.
#[tokio::test(flavor = "multi_thread")]
async fn neither_low_gas_nor_late_answers_delay_an_end() {
    let (estate, liar) = Estate::beside_a_liar().await;
    let (permissions, owner) = (estate.permissions(), estate.unlocked());
    let rpc = estate.through(&[&liar.url, estate.town.economy.devnet.url()]);
    let mut ends = owner.ends(&rpc, permissions.framework.chain, MOST_FEE);
    liar.says("little gas, and it takes all");
    let start = Instant::now();
    raise(&mut ends, &permissions).await.unwrap();
    // An offer that somebody took is waited for for 20 s.
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    let (honest, account) = (&estate.town.economy.rpc, permissions.account);
    let now = || async { account::nonce(honest, &permissions.framework, account).await.unwrap() };
    let before = now().await;
    liar.says("the truth, late");
    let (start, mut took) = (Instant::now(), None);
    let watch = async {
        while now().await == before {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        took = Some(start.elapsed());
    };
    let each = [before; 2];
    let end = ends.revoke_all(&permissions.framework, account, &each);
    let (end, ()) = tokio::join!(end, watch);
    end.unwrap();
    // It takes 10.5 s for what is asked of it before.
    assert!(took.unwrap() < Duration::from_secs(9), "{took:?}");
}

/// The same option wherever the owner's key pays a fee, and amounts in the chain's coin with its name or
/// without.
#[tokio::test(flavor = "multi_thread")]
async fn what_pays_is_as_dear_as_its_owner_says() {
    let estate = Estate::delegated().await;
    let switch = estate.path().join("switch.json");
    let prepare = ["account", "revoke", "scout", "--prepare", switch.to_str().unwrap()];
    for args in [
        &["fund", "scout", "0.01 ETH"][..],
        &["account", "withdraw", "scout", "1 tUSD"],
        &["account", "delegate", "scout", "--yes", "--anew"],
        &[&prepare[..], &["--fee", "0.05"]].concat(),
    ] {
        let little = ["--most-fee", "0.000000000000000001 ETH"];
        let (text, code) = failure(&estate.marque(&[args, &little].concat()));
        assert_eq!(code, 1, "{args:?}: {text}");
        let (_, enough) = text.rsplit_once("--most-fee ").unwrap();
        let enough = enough.split([';', ' ', '\n']).next().unwrap();
        let (text, code) = failure(&estate.marque(&[args, &["--most-fee", "1 POL"]].concat()));
        assert!(code == 2 && text.contains("write it like 1.00 or \"1.00 ETH\""), "{text}");
        ok(&estate.marque(&[args, &["--most-fee", enough]].concat()));
    }
}

/// What was signed by the word of others is signed, whatever is not signed by that of one.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_that_nothing_was_signed_where_something_was() {
    let (estate, liar) = Estate::beside_a_liar().await;
    for (says, why) in [
        ("wild fees for what it hides", "is the most that its word may cost"),
        ("another chain, and it hides all", "nothing was signed for chain 1\n"),
    ] {
        let (text, _) = estate.ends_beside(&liar, says, &["scout"]).await;
        assert!(text.contains(why), "{text}");
        assert!(!text.replace(why, "").contains("nothing was signed"), "{text}");
        ok(&estate.account(&["delegate", "scout", "--yes"]));
    }
}

static TOLD: Mutex<Vec<Heard>> = Mutex::new(Vec::new());

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_behind_is_told_once_however_much_is_ended() {
    let (estate, liar) = Estate::beside_a_liar().await;
    let (permissions, mut owner) = (estate.permissions(), estate.unlocked());
    owner.tells(|heard| TOLD.lock().unwrap().push(heard.clone()));
    let rpc = estate.through(&[&liar.url, estate.town.economy.devnet.url()]);
    liar.says("it lives");
    let mut ends = owner.ends(&rpc, permissions.framework.chain, MOST_FEE);
    for _ in 0..3 {
        raise(&mut ends, &permissions).await.unwrap();
    }
    drop(ends);
    let told = std::mem::take(&mut *TOLD.lock().unwrap());
    let host = liar.url.trim_start_matches("http://").to_owned();
    let left: Vec<_> = told.iter().filter(|it| matches!(it, Heard::Left { .. })).collect();
    assert_eq!(left, [&Heard::Left { number: 65_536, count: 1, hosts: vec![host] }], "{told:?}");
    let passed: Vec<_> = told.iter().filter(|it| matches!(it, Heard::Passed { .. })).collect();
    let once = passed.iter().enumerate().all(|(index, it)| !passed[..index].contains(it));
    assert!(once && !passed.is_empty(), "{told:?}");
}
