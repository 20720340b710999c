//! What it costs, printed for the README, and that nobody can make it unaffordable:
//! `cargo test -p marque-contracts --test delegation gas -- --nocapture --test-threads 1`

use crate::{
    estate::{DAY, Estate, MIDNIGHT, dollars, gas_used},
    rolling_spend::asked,
};
use alloy_primitives::{B256, U256, keccak256};
use marque_contracts::{
    Contract, IERC20, TestDollar, bytecode,
    delegation::{
        AllowedTargets, DEPLOYER, Delegation, Erc20Period, Execution, Nonce, OwnerAccount,
        Permission, RollingSpendBuilder, Terms as _, Timestamp,
    },
};
use serde_json::json;

#[test]
fn gas_of_deployments() {
    let estate = Estate::found();
    let chain = &estate.chain;
    chain.send(estate.stranger, None, bytecode(Contract::RollingSpendEnforcer));
    println!("gas: deploying RollingSpendEnforcer {}", gas_used(chain));
    let account = OwnerAccount::of(estate.owner, B256::with_last_byte(1)).unwrap();
    let data = account.deployment(&estate.framework);
    chain.send(estate.stranger, Some(DEPLOYER), data);
    println!("gas: deploying an account of one owner {}", gas_used(chain));
}

#[test]
fn gas_of_payments() {
    let estate = Estate::found();
    let mut till = Till { estate: &estate, now: MIDNIGHT };
    let (framework, token) = (&estate.framework, estate.token);

    let mint = TestDollar::mintCall { to: estate.agent, value: dollars(1) };
    estate.chain.transact(estate.agent, token, mint);
    let call = || IERC20::transferCall { to: estate.payee, value: U256::ONE };
    let [first, later] = [call(), call()].map(|call| {
        estate.chain.transact(estate.agent, token, call);
        gas_used(&estate.chain)
    });
    println!("gas: direct {first} first, {later} later");

    let fixed = Erc20Period::new(token, dollars(10), DAY, MIDNIGHT - DAY).unwrap();
    let caveats = |limits: RollingSpendBuilder| {
        [
            AllowedTargets::new([token]).unwrap().caveat(framework),
            limits.build().unwrap().caveat(framework),
            Timestamp::until(MIDNIGHT + 60 * DAY).unwrap().caveat(framework),
            Nonce(U256::ZERO).caveat(framework),
        ]
    };
    let both = |limits| estate.grant(caveats(limits).into_iter().chain([fixed.caveat(framework)]));
    let day = || estate.limits().window(DAY, dollars(10));
    till.twice("no caveat", &estate.grant([]));
    till.twice("the shipped period alone", &estate.grant([fixed.caveat(framework)]));
    till.twice("a window of a day alone", &estate.grant_limits(day()));
    let one = || day().to(estate.payee);
    till.twice("all but the shipped period, four limits", &estate.grant(caveats(policy(&estate))));
    till.twice("all caveats, one limit", &both(one()));
    let full = both(policy(&estate));
    till.twice("all caveats, four limits", &full);
    till.twice("all caveats, handed on once", &estate.hand_on(&full, policy(&estate)));

    let salted = Delegation::root(estate.account, estate.agent).salted(U256::ONE);
    let salted = salted.with(day().build().unwrap().caveat(framework));
    let window = Permission::new([estate.sign(&salted)]).unwrap();
    let figures: Vec<u64> = (0..=50).map(|_| till.pay(&window)).collect();
    for entries in [0, 1, 10, 50] {
        println!("gas: a window of a day alone, {entries} entries in it: {}", figures[entries]);
    }
    assert!(figures.iter().all(|gas| *gas < 200_000), "{figures:?}");
}

/// A history that would take millennia to fill costs a third more: a look-up is a binary search.
#[test]
fn gas_of_a_payment_grows_with_the_logarithm_of_the_entries() {
    let estate = Estate::found();
    let mut till = Till { estate: &estate, now: MIDNIGHT };
    let permission = estate.grant_limits(policy(&estate).total(dollars(200)));
    let before = [till.pay(&permission), till.pay(&permission)];
    let history = history(&estate, &permission);
    let set = |slot: U256, value: U256| {
        let (slot, value) = (B256::from(slot), B256::from(value));
        let params = json!([estate.framework.rolling_spend, slot, value]);
        estate.chain.rpc("anvil_setStorageAt", params).unwrap();
    };
    let mut figures = Vec::new();
    for bits in [1_u32, 10, 20, 30] {
        // As if there were so many: all but the last read as entries of nothing at time 0, and a
        // search looks at as many of them as it would otherwise.
        let entries = U256::ONE << bits;
        let first = U256::from_be_bytes(keccak256(B256::from(history)).0);
        set(first + entries - U256::ONE, U256::from(till.now | 2 << 48));
        set(history, entries);
        figures.push(till.pay(&permission));
        println!("gas: five limits, 2^{bits} entries: {}", figures.last().unwrap());
    }
    assert!(figures[3] < figures[0] * 3 / 2, "{before:?} {figures:?}");
}

struct Till<'a> {
    estate: &'a Estate,
    now: u64,
}

impl Till<'_> {
    /// The gas of a payment, a second later.
    fn pay(&mut self, permission: &Permission) -> u64 {
        self.now += 1;
        self.estate.chain.next_block_at(self.now);
        let execution: Execution = self.estate.transfer(self.estate.payee, 1);
        assert!(self.estate.redeem(permission, &execution).succeeded);
        gas_used(&self.estate.chain)
    }

    fn twice(&mut self, what: &str, permission: &Permission) {
        let (first, later) = (self.pay(permission), self.pay(permission));
        let bytes = permission.redeem(&self.estate.transfer(self.estate.payee, 1)).len();
        println!("gas: redeemed, {what}: {first} first, {later} later, {bytes} bytes of data");
    }
}

/// What a policy of DESIGN.md says.
fn policy(estate: &Estate) -> RollingSpendBuilder {
    let limits = estate.limits().each(dollars(1)).window(3_600, dollars(3));
    limits.window(DAY, dollars(10)).window(30 * DAY, dollars(100)).to(estate.payee)
}

/// Where the number of entries of a permission's history is stored.
fn history(estate: &Estate, permission: &Permission) -> U256 {
    let (manager, hash, terms) = asked(estate, permission);
    let under = |key: B256, slot: B256| keccak256([key.0, slot.0].concat());
    let limiter = under(keccak256(&terms), under(hash, under(manager.into_word(), B256::ZERO)));
    let items = B256::from(U256::from_be_bytes(limiter.0) + U256::ONE);
    U256::from_be_bytes(under(B256::ZERO, items).0)
}
