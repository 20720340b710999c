//! What it costs, as `make bench` prints it.

use crate::{
    estate::{DOLLAR, Estate, gas_used},
    rooms::{BEGIN, delegate, policy},
};
use alloy_primitives::U256;
use marque_contracts::{
    IERC20, TestDollar,
    delegation::{Delegation, Permission, Redeemers, Terms as _},
};

const LIMITS: &str = "payment = \"1\"\nhour = \"6\"\nday = \"20\"\ndays30 = \"100\"";

/// Ordinary use: purchases of 5 cents, of which the seller pays the gas (x402), from a float between
/// 1 and 5 dollars.
const PURCHASE: u64 = DOLLAR / 20;
const LOW: u64 = DOLLAR;
const HIGH: u64 = 5 * DOLLAR;

/// A layer 2 on a busy day: 0.02 gwei, and a coin of 3,000 dollars.
const WEI_A_GAS: f64 = 2e7;
const DOLLARS_A_COIN: f64 = 3_000.0;

#[test]
fn gas_of_payments_and_its_share_at_ordinary_use() {
    let estate = Estate::found();
    let mut now = BEGIN;
    let mut pay = |permission: &Permission, to, units| {
        now += 60;
        estate.chain.next_block_at(now);
        let receipt = estate.redeem(permission, &estate.transfer(to, units));
        assert!(receipt.succeeded, "{}", estate.answer(permission, &estate.transfer(to, units)));
        gas_used(&estate.chain)
    };
    let mint = TestDollar::mintCall { to: estate.agent, value: U256::from(DOLLAR) };
    estate.chain.transact(estate.owner, estate.token, mint);
    let [_, direct] = [(); 2].map(|()| {
        let call = IERC20::transferCall { to: estate.payee, value: U256::from(PURCHASE) };
        estate.chain.transact(estate.agent, estate.token, call);
        gas_used(&estate.chain)
    });

    let (floating, _) = policy(&estate, LIMITS, "", Some((LOW, HIGH)));
    let refills = delegate(&estate, &floating, BEGIN);
    let [first, refill] = [(); 2].map(|()| pay(&refills, estate.agent, DOLLAR));
    let (bare, _) = policy(&estate, LIMITS, "", None);
    let pays = delegate(&estate, &bare, BEGIN + 1);
    let [_, delegated] = [(); 2].map(|()| pay(&pays, estate.payee, PURCHASE));
    // As a helper with a key of its own would have it: one more delegation, under as many caveats, and
    // the agent's own without the one that names its redeemer.
    let leaf = pays.delegations().next().unwrap().delegation.clone();
    let redeemer = Redeemers::new([estate.agent]).unwrap().caveat(&estate.framework);
    let mut open = Delegation { salt: U256::from(3), ..leaf };
    open.caveats.retain(|caveat| *caveat != redeemer);
    let mut below = Delegation::below(&open, estate.helper);
    below.caveats.clone_from(&open.caveats);
    let open = Permission::new([estate.sign(&open)]).unwrap();
    let handed_on = open.handed_on(estate.sign(&below)).unwrap();
    let [_, sub_delegated] = [(); 2].map(|()| pay(&handed_on, estate.payee, PURCHASE));

    let a_refill = (HIGH - LOW) / PURCHASE;
    let amortised = refill / a_refill;
    println!("gas a payment, the first under a delegation apart; facts sheet 4 in brackets");
    println!("  direct, an ERC-20 transfer of the key's      {direct:>8}");
    println!(
        "  from the float, the seller settles (x402)    {amortised:>8}  {refill} a refill, {a_refill} purchases each; the first {first}"
    );
    println!("  from the float, by a transfer of the key's   {:>8}", direct + amortised);
    println!(
        "  delegated, the account pays                  {delegated:>8}  [164,000-200,000 with one window, fewer caveats]"
    );
    println!(
        "  sub-delegated, under both                    {sub_delegated:>8}  [409,000 the first]"
    );
    let fee = refill as f64 * WEI_A_GAS * 1e-18 * DOLLARS_A_COIN;
    let share = fee / ((HIGH - LOW) as f64 / DOLLAR as f64);
    println!(
        "  fees are {:.2} % of what is spent: a refill of {} dollars costs {fee:.4} at {} gwei and {} dollars a coin; 2 % at {:.2} gwei",
        share * 100.0,
        (HIGH - LOW) / DOLLAR,
        WEI_A_GAS / 1e9,
        DOLLARS_A_COIN,
        WEI_A_GAS / 1e9 * 0.02 / share,
    );
    assert!(share < 0.02, "fees are {share} of what is spent");
    assert!(direct < delegated && delegated < sub_delegated && amortised < direct);
}
