//! What an agent holds: enough to pay, and enough for the fees.

use super::{Examination, Finding, contracts::tell_or_fail, is_devnet};
use alloy_primitives::{Address, U256};
use marque_identity::{IdentityError, Rpc};
use marque_policies::{AssetId, Money, Policy, document::Chain, money::round_up};

/// Gas of a settlement or a cancellation, with room.
const GAS: u64 = 120_000;

/// Gas of a refill, with room.
const REFILL_GAS: u64 = 460_000;

/// So many of them should be payable.
const ENOUGH: u64 = 10;

pub(super) async fn look(
    of: &Examination<'_>,
    (agent, address): (&str, Address),
    chain: &Chain,
    rpc: &Rpc,
    tell: &mut impl FnMut(Finding),
) {
    tell_or_fail(agent, fees(of.policy, agent, address, chain, rpc, tell).await, tell);
    tell_or_fail(agent, tokens(of, agent, address, chain, rpc, tell).await, tell);
    tell_or_fail(agent, waiting(agent, address, rpc, tell).await, tell);
}

/// Whether it can pay for its transactions, as whoever settles must.
pub(super) async fn fees(
    policy: &Policy,
    agent: &str,
    address: Address,
    chain: &Chain,
    rpc: &Rpc,
    tell: &mut impl FnMut(Finding),
) -> Result<(), IdentityError> {
    let native = AssetId::native(chain.id);
    let held = rpc.balance(address).await?;
    let floats = policy.floats.keys().any(|asset| asset.chain == chain.id);
    let (gas, what) = if floats { (REFILL_GAS, "refills") } else { (GAS, "transactions") };
    let one = U256::from(gas).saturating_mul(U256::from(rpc.fees().await?.max_fee_per_gas));
    let count = held.checked_div(one).unwrap_or(U256::MAX);
    let shown = policy.show(Money::new(held, native));
    if !policy.gas.contains_key(&native) && !policy.limits.contains_key(&native) {
        let mend = format!("[limits.gas] day = \"0.002 {}\"", chain.native);
        let found =
            "the policy allows no fees: it can sign payments, and neither settle nor take one back";
        tell(Finding::odd(agent, found, mend));
    }
    if count >= U256::from(ENOUGH) {
        tell(Finding::good(agent, format!("{address} has {shown} for fees")));
        return Ok(());
    }
    let found = format!("{address} has {shown} for fees, enough for {count} {what}");
    let wanted = one.saturating_mul(U256::from(ENOUGH)).saturating_sub(held);
    let wanted = policy.show(Money::new(round_up(wanted), native));
    let why = match floats {
        true => {
            "what it draws on the account it pays for with it, as what it takes back in a freeze"
        }
        false => "a seller settles with it, a freeze takes payments back with it",
    };
    let mend = format!("{}: {why}", fund(agent, &wanted, chain));
    tell(Finding::odd(agent, found, mend));
    Ok(())
}

/// The command that brings it money.
pub(super) fn fund(agent: &str, amount: &str, chain: &Chain) -> String {
    let faucet = if is_devnet(chain) { " --faucet" } else { "" };
    format!("marque fund {agent} \"{amount}\"{faucet}")
}

async fn tokens(
    of: &Examination<'_>,
    agent: &str,
    address: Address,
    chain: &Chain,
    rpc: &Rpc,
    tell: &mut impl FnMut(Finding),
) -> Result<(), IdentityError> {
    let pays = !of.policy.payees.is_empty() || !of.policy.pools.is_empty();
    for (name, asset) in &of.policy.assets {
        let spent = pays && of.policy.limits.contains_key(&asset.id);
        if asset.id.chain != chain.id || asset.id.is_native() || !spent {
            continue;
        }
        let held = rpc.erc20_balance(asset.id.token, address).await?;
        let shown = of.policy.show(Money::new(held, asset.id));
        match held.is_zero() {
            // What the key holds of these comes from the account, where money is to be sent.
            _ if of.policy.floats.contains_key(&asset.id) => {}
            true => tell(Finding::odd(
                agent,
                format!("it has {shown} to spend"),
                fund(agent, &format!("1 {name}"), chain),
            )),
            false => tell(Finding::good(agent, format!("it has {shown} to spend"))),
        }
        let allowed = match rpc.permit2_allowance(asset.id.token, address).await {
            Ok(allowed) => allowed,
            Err(IdentityError::Answer { .. } | IdentityError::Reverted { .. }) => continue,
            Err(error) => return Err(error),
        };
        if allowed > held && !held.is_zero() {
            let shown = match allowed == U256::MAX {
                true => "everything that it will ever have".to_owned(),
                false => of.policy.show(Money::new(allowed, asset.id)),
            };
            let found = format!("Permit2 may move {shown} of its {name}");
            tell(Finding::odd(agent, found, "more than it holds; approve at most the float"));
        }
    }
    Ok(())
}

async fn waiting(
    agent: &str,
    address: Address,
    rpc: &Rpc,
    tell: &mut impl FnMut(Finding),
) -> Result<(), IdentityError> {
    let mined = rpc.transaction_count(address, false).await?;
    let known = rpc.transaction_count(address, true).await?;
    if known > mined {
        let found = format!("{} of its transactions wait for a block", known - mined);
        tell(Finding::odd(
            agent,
            found,
            "a steward outbids what waits for long; see marque status",
        ));
    }
    Ok(())
}
