//! `marque fund | balance | withdraw`: money in, money there, money back.

use super::{
    Shared,
    digits::as_stated,
    policy::{Named, chain_of, draft_of},
    trust::{agent_address, own_agent, own_policy},
};
use crate::{
    failure::{Done, Failure},
    story::{bar, say},
};
use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall as _;
use marque::{home::Home, owner::connect};
use marque_contracts::IERC20;
use marque_identity::{IdentityError, Rpc, devnet};
use marque_policies::{
    AssetId, Intent, Money, Policy,
    intent::Sweep,
    money::{format_units, parse_units},
};
use marque_steward_client::{Artifact, Outcome, PaymentState, Proposal, View};
use std::{process::ExitCode, time::Duration};

#[derive(Debug, clap::Args)]
pub(crate) struct FundArgs {
    /// The agent.
    agent: String,
    /// How much, as in "5 USDC" or "0.01 ETH".
    #[arg(allow_hyphen_values = true)]
    amount: String,
    /// Let the devnet's faucet pay instead of the owner. Devnets only.
    #[arg(long, conflicts_with = "most_fee")]
    faucet: bool,
    /// Let the faucet pay the owner, who needs ETH to register an identity or to fund an agent.
    #[arg(long, requires = "faucet")]
    owner: bool,
    /// Send it to the owner's account on chain, on which agents draw, instead of the agent's key.
    #[arg(long, conflicts_with = "owner")]
    account: bool,
    #[command(flatten)]
    most: MostFee,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BalanceArgs {
    /// The agent.
    agent: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WithdrawArgs {
    /// The agent.
    agent: String,
    /// How much, as in "5 USDC", or "all USDC".
    #[arg(allow_hyphen_values = true)]
    amount: String,
}

/// Reads "5 USDC" against a policy's assets.
pub(super) fn amount(policy: &Policy, text: &str) -> Done<Money> {
    let names: Vec<String> = policy.assets.keys().map(|name| format!("\"5 {name}\"")).collect();
    let usage = |message: String| {
        Failure::usage(message).help(format!("write it like {}", names.join(" or ")))
    };
    let (digits, name) =
        text.split_once(' ').ok_or_else(|| usage(format!("\"{text}\" is not an amount")))?;
    let asset = policy
        .assets
        .get(name.trim())
        .ok_or_else(|| usage(format!("the policy knows no asset {}", name.trim())))?;
    let units = parse_units(digits, asset.decimals).map_err(|error| usage(error.to_string()))?;
    if units.is_zero() {
        return Err(usage("the amount is zero".to_owned()));
    }
    Ok(Money::new(units, asset.id))
}

/// What a fee, or the word of one endpoint, may cost where nothing else is said, in coins:
/// [`marque::owner::MOST_FEE`].
pub(super) const DEFAULT_MOST_FEE: &str = "0.1";

/// Coins of a chain as somebody wrote them: 0.5, or with their name there, "0.5 ETH".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Coins {
    wei: U256,
    name: Option<String>,
}

/// Reads coins; whether their name is that of the chain's is known once the chain is.
pub(super) fn coins(text: &str) -> Result<Coins, String> {
    const LIKE: &str = "write it in coins of the chain, as in 0.5 or \"0.5 ETH\"";
    let (digits, name) = match text.trim().split_once(' ') {
        Some((digits, name)) => (digits, Some(name.trim().to_owned())),
        None => (text.trim(), None),
    };
    match parse_units(digits, 18) {
        Ok(wei) if wei.is_zero() => Err(format!("nothing is sent for nothing; {LIKE}")),
        Ok(wei) => Ok(Coins { wei, name }),
        Err(error) => Err(format!("{error}; {LIKE}")),
    }
}

impl Coins {
    /// In wei, on a chain whose coin is called so.
    pub(super) fn called(&self, coin: &str) -> Done<U256> {
        let digits = format_units(self.wei, 18);
        match &self.name {
            Some(name) if name != coin => {
                let line = format!("\"{digits} {name}\" is not in {coin}, the chain's own coin");
                Err(Failure::usage(line)
                    .help(format!("write it like {digits} or \"{digits} {coin}\"")))
            }
            _ => Ok(self.wei),
        }
    }

    /// The same on a policy's chain.
    pub(super) fn on(&self, policy: &Policy) -> Done<U256> {
        self.called(coin(policy))
    }

    /// The same on a chain of which no policy is known here.
    pub(super) fn unnamed(&self) -> Done<U256> {
        let digits = format_units(self.wei, 18);
        match &self.name {
            Some(name) => Err(Failure::usage(format!(
                "whether the coin of that chain is called {name} is not known here"
            ))
            .help(format!("write the amount without it: {digits}"))),
            None => Ok(self.wei),
        }
    }
}

/// What a policy calls its chain's own coin.
pub(super) fn coin(policy: &Policy) -> &str {
    policy.chains.values().next().map_or("ETH", |chain| &chain.native)
}

/// What a fee may be.
#[derive(Debug, clap::Args)]
pub(super) struct MostFee {
    /// What the fee of a transaction may be at most, in coins of the chain: 0.5, or "0.5 ETH".
    #[arg(
        long, value_name = "COINS", value_parser = coins, default_value = DEFAULT_MOST_FEE,
        allow_hyphen_values = true
    )]
    pub(super) most_fee: Coins,
}

/// How much is to go: so much, or all there is.
pub(super) enum Wanted {
    /// So much.
    This(Money),
    /// All of this.
    All(AssetId),
}

impl Wanted {
    pub(super) const fn asset(&self) -> AssetId {
        match self {
            Self::This(money) => money.asset,
            Self::All(asset) => *asset,
        }
    }

    /// How much of what there is.
    pub(super) const fn of(&self, has: U256) -> Money {
        match self {
            Self::This(money) => *money,
            Self::All(asset) => Money::new(has, *asset),
        }
    }
}

/// Reads "5 USDC" or "all USDC" against a policy's assets.
pub(super) fn wanted(policy: &Policy, text: &str) -> Done<Wanted> {
    let all = text.strip_prefix("all ").map(|name| policy.assets.get(name.trim()));
    match all {
        Some(Some(asset)) => Ok(Wanted::All(asset.id)),
        Some(None) => amount(policy, text.replacen("all", "1", 1).as_str()).map(Wanted::This),
        None => amount(policy, text).map(Wanted::This),
    }
}

/// `marque fund`.
pub(crate) async fn fund(shared: &Shared, args: &FundArgs) -> Done<ExitCode> {
    let home = shared.home()?;
    // A faucet's money is nobody's; the owner's moves by what the owner signed.
    let policy = match args.faucet {
        true => stated_policy(&home, &args.agent)?,
        false => own_policy(shared, &args.agent)?,
    };
    let (chain, rpc) = chain_of(&policy)?;
    let (to, whose) = match args {
        FundArgs { owner: true, .. } => (policy.owner, format!("the owner of {}", args.agent)),
        FundArgs { account: true, .. } => {
            let account = super::account::address(shared, &args.agent, &policy, !args.faucet)?;
            (account, "the account".to_owned())
        }
        FundArgs { faucet: true, agent, .. } => (agent_address(shared, agent)?, agent.clone()),
        FundArgs { agent, .. } => (own_agent(shared, agent)?, agent.clone()),
    };
    let money = amount(&policy, &args.amount)?;
    if args.faucet {
        let url = policy.chains.values().flat_map(|chain| &chain.rpc).next();
        let url = url.ok_or_else(|| Failure::new("the policy names no endpoint"))?;
        began_on(&home, chain, url).await?;
        let paid = devnet::faucet(url, money.asset.token, to, money.units).await;
        paid.map_err(|error| no_faucet(url, error))?;
    } else {
        let most = args.most.most_fee.on(&policy)?;
        let mut owner = shared.sender(&shared.owner_home()?)?;
        owner.pays_at_most(most);
        let has = holding(&rpc, money.asset.token, owner.address()).await?;
        if has < money.units {
            let has = policy.show(Money::new(has, money.asset));
            return Err(Failure::new(format!("the owner {} has {has}", owner.address()))
                .help("send it money first; on a devnet: add --faucet"));
        }
        gas(&rpc, owner.address(), &args.agent).await?;
        as_stated(&policy, |asset| asset == money.asset).await?;
        if money.asset.is_native() {
            owner.send(&rpc, chain, to, money.units, alloy_primitives::Bytes::new()).await?;
        } else {
            let data = IERC20::transferCall { to, value: money.units }.abi_encode();
            owner.send(&rpc, chain, money.asset.token, U256::ZERO, data.into()).await?;
        }
    }
    let now = Money::new(holding(&rpc, money.asset.token, to).await?, money.asset);
    if shared.json {
        say!("{}", serde_json::json!({ "address": to, "balance": now }));
    } else {
        say!("{whose} has {} ({to})", policy.show(now));
        let float = policy.floats.get(&money.asset).filter(|_| !args.owner && !args.account);
        if float.is_some_and(|float| now.units > float.high) {
            say!("  its steward returns what is above its float; for it to draw on: --account");
        }
        if args.account && !policy.floats.contains_key(&money.asset) {
            say!("  without [float.ASSET] of it in the policy no steward draws on it");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses to pay on a chain that the home was not begun on: its steward would never see that money.
async fn began_on(home: &Home, chain: u64, url: &str) -> Done {
    let Some((_, genesis)) = super::doctor::begun(home).filter(|(begun, _)| *begun == chain) else {
        return Ok(());
    };
    let rpc = Rpc::new(&[url.to_owned()]).map_err(|error| no_faucet(url, error))?;
    match rpc.genesis_hash().await.map_err(|error| no_faucet(url, error))? == genesis {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "the chain at {url} is not the one that {} was begun on",
            home.path().display()
        ))
        .help(ANOTHER_DAY)),
    }
}

/// How to go on where a devnet has ended.
const ANOTHER_DAY: &str = "a devnet forgets its chain when it ends, and a home is for one chain: begin again \
                           with another, marque devnet --home DIR, and give the commands the same --home";

fn no_faucet(url: &str, error: IdentityError) -> Failure {
    match error {
        IdentityError::Unreachable { .. } => Failure::new(format!("no devnet answers at {url}"))
            .help(format!("start one in another terminal: marque devnet. If one ran there before: {ANOTHER_DAY}")),
        error => Failure::new(error).help("a faucet exists on a chain that marque devnet started"),
    }
}

/// The policy in force for an agent, else its draft: for looking, and for a faucet's money.
fn stated_policy(home: &Home, agent: &str) -> Done<Policy> {
    match Named::adopted(home, agent)? {
        Some(adopted) => Ok(adopted.policy),
        None => draft_of(home, agent),
    }
}

/// An owner without coins for fees is told how to get some, before anything is sent.
pub(crate) async fn gas(rpc: &Rpc, owner: Address, agent: &str) -> Done {
    if held(rpc, Address::ZERO, owner).await?.most().is_zero() {
        return Err(Failure::new(format!("the owner {owner} has nothing to pay the chain's fees"))
            .help(format!(
                "send it some; on a devnet: marque fund {agent} \"0.1 ETH\" --faucet --owner"
            )));
    }
    Ok(())
}

/// What `address` holds of a token, or of the native coin.
pub(crate) async fn holding(rpc: &Rpc, token: Address, address: Address) -> Done<U256> {
    Ok(if token.is_zero() {
        rpc.balance(address).await?
    } else {
        rpc.erc20_balance(token, address).await?
    })
}

/// What somebody holds by the word of each endpoint that answers.
pub(crate) struct Held {
    /// With its host; there is one.
    pub(crate) said: Vec<(String, U256)>,
    /// Why the others say nothing.
    pub(crate) silent: Vec<(String, Failure)>,
}

impl Held {
    /// The most that any endpoint says: one alone makes nothing look empty.
    pub(crate) fn most(&self) -> U256 {
        self.said.iter().map(|(_, units)| *units).max().unwrap_or_default()
    }
}

/// Asks every endpoint what `address` holds of a token, or of the native coin.
pub(crate) async fn held(rpc: &Rpc, token: Address, address: Address) -> Done<Held> {
    let mut held = Held { said: Vec::new(), silent: Vec::new() };
    for (host, said) in rpc.all(|each| async move { holding(&each, token, address).await }).await {
        match said {
            Ok(units) => held.said.push((host, units)),
            Err(failure) => held.silent.push((host, failure)),
        }
    }
    match held.silent.pop_if(|_| held.said.is_empty()) {
        Some((_, failure)) => Err(failure),
        None => Ok(held),
    }
}

/// `marque balance`.
pub(crate) async fn balance(shared: &Shared, args: &BalanceArgs) -> Done<ExitCode> {
    let home = shared.home()?;
    let policy = stated_policy(&home, &args.agent)?;
    let (_, rpc) = chain_of(&policy)?;
    let address = agent_address(shared, &args.agent)?;
    let mut held = Vec::new();
    for (name, asset) in &policy.assets {
        let units = holding(&rpc, asset.id.token, address).await?;
        held.push((name.clone(), Money::new(units, asset.id), asset.decimals));
    }
    let view = match connect(&home.owner_socket(&args.agent), Duration::ZERO).await {
        Ok(client) => Some(client.view().await?),
        Err(_) => None, // no steward runs; the chain alone answers
    };
    if shared.json {
        let budgets = view.as_ref().map(|view| &view.budgets);
        say!(
            "{}",
            serde_json::json!({ "address": address, "held": held.iter().map(|(name, money, _)| (name, money)).collect::<Vec<_>>(), "budgets": budgets })
        );
        return Ok(ExitCode::SUCCESS);
    }
    say!("{} ({address})", args.agent);
    for (name, money, decimals) in held {
        say!("  holds {} {name}", format_units(money.units, decimals));
    }
    match view {
        Some(view) => budgets(&view),
        None => say!("  what is left of its limits: marque budget {}", args.agent),
    }
    Ok(ExitCode::SUCCESS)
}

/// Every window of every limit, as bars.
pub(crate) fn budgets(view: &View) {
    for budget in &view.budgets {
        let asset = view.assets.iter().find(|asset| asset.id == budget.limit.asset);
        let (name, decimals) =
            asset.map_or(("units", 0), |asset| (asset.name.as_str(), asset.decimals));
        let share = f64::from(budget.spent.units) / f64::from(budget.limit.units).max(1.0);
        say!(
            "  {:<34} {}  {} of {} {name}",
            budget.rule,
            bar(share),
            format_units(budget.spent.units, decimals),
            format_units(budget.limit.units, decimals),
        );
    }
}

/// `marque withdraw`: a sweep goes to the owner's address and nowhere else, so anyone may ask.
pub(crate) async fn withdraw(shared: &Shared, args: &WithdrawArgs) -> Done<ExitCode> {
    let home = shared.home()?;
    let policy = stated_policy(&home, &args.agent)?;
    let wanted = wanted(&policy, &args.amount)?;
    let client = connect(&home.owner_socket(&args.agent), Duration::ZERO).await.map_err(|_| {
        Failure::new(format!("no steward answers for {}", args.agent))
            .help("in another terminal: marque steward run; then withdraw again")
    })?;
    let view = client.view().await?;
    let money = match wanted {
        Wanted::This(money) => money,
        Wanted::All(asset) => all(&policy, &args.agent, view.address, asset).await?,
    };
    can_withdraw(&policy, &args.agent, view.address, money).await?;
    let proposal = Proposal {
        task: format!("withdraw-{}", view.now),
        step: 0,
        ordinal: 0,
        attempt: 0,
        intent: Intent::Sweep(Sweep { amount: money }),
    };
    if !shared.json {
        say!("returning {} to {}: waiting for a block …", policy.show(money), view.owner);
    }
    match client.propose(proposal).await? {
        Outcome::Allowed { id, artifact: Artifact::Transaction { hash } } => {
            for _ in 0..60 {
                let state = client.wait(id, Duration::from_secs(2)).await?;
                if matches!(state.state, PaymentState::Seen | PaymentState::Final) {
                    if shared.json {
                        say!("{}", serde_json::json!({ "transaction": hash, "to": view.owner }));
                    } else {
                        say!("{} returned to {}, {hash}", policy.show(money), view.owner);
                    }
                    return Ok(ExitCode::SUCCESS);
                }
            }
            Err(Failure::new(format!("{hash} is not in a block yet"))
                .help("the steward keeps watching it; see marque audit show"))
        }
        Outcome::Allowed { .. } => Err(Failure::new("the steward answered without a transaction")),
        Outcome::Held { id, .. } => Err(Failure::held(format!("held for the owner as {id}"))),
        Outcome::Refused { table, .. } => Err(Failure::refused(format!(
            "refused by the policy: {}",
            crate::story::reasons(&table).join("; ")
        ))),
    }
}

/// All that an agent has of an asset; of the chain's coin what the fee leaves, with room.
async fn all(policy: &Policy, agent: &str, address: Address, asset: AssetId) -> Done<Money> {
    let (_, rpc) = chain_of(policy)?;
    let has = holding(&rpc, asset.token, address).await?;
    let keeps = match asset.is_native() {
        true => fee(&rpc, asset).await?.saturating_mul(U256::from(2)),
        false => U256::ZERO,
    };
    let money = Money::new(has.saturating_sub(keeps), asset);
    match money.units.is_zero() {
        false => Ok(money),
        true => Err(Failure::new(format!(
            "{agent} has {}, of which nothing can be withdrawn",
            policy.show(Money::new(has, asset))
        ))),
    }
}

/// What the fee of a transfer may be: one of a token takes about 60,000 units of gas, a plain one 21,000.
async fn fee(rpc: &Rpc, asset: AssetId) -> Done<U256> {
    let units = if asset.is_native() { 21_000_u64 } else { 60_000 };
    Ok(U256::from(rpc.fees().await?.max_fee_per_gas).saturating_mul(U256::from(units)))
}

/// A transfer that the chain would not take is not begun: it would wait in the outbox, and go out
/// together with the next attempt as soon as there is money.
async fn can_withdraw(policy: &Policy, agent: &str, address: Address, money: Money) -> Done {
    let (_, rpc) = chain_of(policy)?;
    let has = holding(&rpc, money.asset.token, address).await?;
    if has < money.units {
        let has = policy.show(Money::new(has, money.asset));
        return Err(Failure::new(format!("{agent} has {has}, not {}", policy.show(money))));
    }
    let fee = fee(&rpc, money.asset).await?;
    let coins = rpc.balance(address).await?;
    let left = if money.asset.is_native() { coins.saturating_sub(money.units) } else { coins };
    let coin = AssetId::native(money.asset.chain);
    if left < fee {
        return Err(Failure::new(format!(
            "{agent} has {} beside it for the chain's fee, which may be {}",
            policy.show(Money::new(left, coin)),
            policy.show(Money::new(fee, coin)),
        ))
        .help(format!("marque fund {agent} \"0.01 ETH\", on a devnet with --faucet")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_word_may_cost_is_read_in_coins() {
        let most = marque::owner::MOST_FEE;
        assert_eq!(coins(DEFAULT_MOST_FEE), Ok(Coins { wei: most, name: None }));
        for wrong in ["0", "0 ETH", "", "ETH", "-1", "a lot"] {
            let why = coins(wrong).unwrap_err();
            assert!(why.contains("as in 0.5 or \"0.5 ETH\""), "{wrong}: {why}");
        }
        let named = coins("0.1 ETH").unwrap();
        assert_eq!((named.called("ETH").ok(), named.called("POL").ok()), (Some(most), None));
        assert!(named.unnamed().is_err());
        let bare = coins(" 0.1").unwrap();
        assert_eq!((bare.called("POL").ok(), bare.unnamed().ok()), (Some(most), Some(most)));
    }
}
