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
    owner::{Heard, MOST_FEE, Owner, OwnerError},
};
use marque_identity::Rpc;
use std::sync::Mutex;

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
        ends.revoke_all(&permissions.framework, permissions.account).await.unwrap();
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
    let (framework, account) = (&permissions.framework, permissions.account);
    let honest = estate.town.economy.devnet.url();
    let mirror = between(honest.to_owned(), |_| None);
    let (alone, both) = (estate.through(&[honest]), estate.through(&[&mirror, honest]));
    let none = owner.ends(&alone, framework.chain, U256::ONE).revoke_all(framework, account).await;
    let Err(OwnerError::TooDear { fee, before: U256::ZERO, .. }) = none else { panic!("{none:?}") };
    let mut ends = owner.ends(&both, framework.chain, fee);
    for _ in 0..4 {
        ends.revoke_all(framework, account).await.unwrap();
    }
    // With one endpoint its word is all there is.
    let mut ends = owner.ends(&alone, framework.chain, fee);
    ends.revoke_all(framework, account).await.unwrap();
    let refused = ends.revoke_all(framework, account).await;
    let Err(OwnerError::TooDear { before, .. }) = refused else { panic!("{refused:?}") };
    assert!(before > U256::ZERO);
    let mut ends = owner.ends(&alone, framework.chain, fee * U256::from(9));
    for _ in 0..2 {
        ends.revoke_all(framework, account).await.unwrap();
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
    let (text, code) = failure(&estate.account(&["revoke", "scout", "--most-fee", "much"]));
    assert!(code == 2 && text.contains("as in 0.5"), "{text}");
    ok(&estate.account(&["revoke", "scout", "--most-fee", &named]));
    assert!(estate.over(&living).await);
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
        ends.revoke_all(&permissions.framework, permissions.account).await.unwrap();
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
