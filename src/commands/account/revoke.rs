//! `marque account revoke`: the end of what was delegated, now or prepared for later.

use super::{
    Shared, Site, framework_on,
    switch::{Switch, taken},
};
use crate::{
    commands::{
        funds::amount,
        policy::{chain_of, draft_of},
    },
    failure::{Context as _, Done, Failure},
    story::say,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use marque::owner::{Owner, noted};
use marque_contracts::delegation::Framework;
use marque_identity::{
    Rpc,
    account::{self, Permissions},
};
use marque_identity_keys::{KeyDir, UnsignedTransaction, secret};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// Gas of the kill switch, with room: 186,808 were measured.
const GAS: u64 = 260_000;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The agent whose delegation ends, or any agent of the owner's with --all or --prepare. Left out
    /// with --send.
    #[arg(required_unless_present = "send", conflicts_with = "send")]
    agent: Option<String>,
    /// End those of all agents.
    #[arg(long, conflicts_with_all = ["prepare", "send"])]
    all: bool,
    /// Also where nothing is left that this home knows of: what was signed elsewhere.
    #[arg(long, requires = "all", conflicts_with_all = ["prepare", "send"])]
    again: bool,
    /// Write the message that ends all of them, signed now, to be sent by anybody when it is needed.
    #[arg(long, value_name = "FILE", conflicts_with = "send")]
    prepare: Option<PathBuf>,
    /// Pay its fee in advance, as in "0.001 ETH": the file then holds a transaction to broadcast, and
    /// no coins are needed where it is sent. What the fee turns out to be too much is lost.
    #[arg(long, value_name = "AMOUNT", requires = "prepare", conflicts_with_all = ["all", "send"])]
    fee: Option<String>,
    /// Send a message that was prepared. Where its fee is not paid, the key in --owner-home pays it,
    /// whosever that is.
    #[arg(long, value_name = "FILE")]
    send: Option<PathBuf>,
    /// The endpoint to send it to; else that of an agent of this home on its chain.
    #[arg(
        long,
        value_name = "URL",
        requires = "send",
        conflicts_with_all = ["agent", "all", "prepare"]
    )]
    rpc: Option<String>,
}

pub(super) async fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    if let Some(file) = &args.send {
        return send(shared, file, args.rpc.as_deref()).await;
    }
    let agent = args.agent.as_deref().unwrap_or_default();
    let mut site = Site::find(shared, agent)?;
    if let Some(file) = &args.prepare {
        site.of_the_key(shared)?;
        return prepare(shared, &site, file, args.fee.as_deref()).await;
    }
    if args.all {
        site.of_the_key(shared)?;
        return all(shared, &site, args.again).await;
    }
    let all = site.signed(shared)?;
    let Some(newest) = all.last() else {
        if nothing_there(&site).await? {
            return undeployed(shared, &site);
        }
        return Err(Failure::new(format!("nothing was delegated to {agent} from here"))
            .help("--all ends also what another home knows of"));
    };
    let (account, keeper) = (newest.account, newest.owner);
    let mut alive = Vec::new();
    for delegated in all {
        if !delegated.standing(&site.rpc).await?.is_over() {
            alive.push(delegated);
        }
    }
    if alive.is_empty() {
        let what = format!(
            "what was delegated to {agent} has ended already, as far as this machine knows; for what may \
             have been signed elsewhere: --all --again"
        );
        return told(shared, &what, &[]);
    }
    let owner = site.unlock_as(shared, keeper).await?;
    let mut hashes = Vec::new();
    for delegated in alive {
        let receipts = owner.revoke(&site.rpc, &delegated).await?;
        hashes.extend(receipts.iter().map(|receipt| receipt.transaction));
    }
    told(shared, &format!("{agent} can draw nothing on {account} any more"), &hashes)
}

/// Ends all that the account of this key gave away.
async fn all(shared: &Shared, site: &Site, again: bool) -> Done<ExitCode> {
    if nothing_there(site).await? {
        return undeployed(shared, site);
    }
    site.deployed().await?;
    let account = site.account();
    let nonce = account::nonce(&site.rpc, &site.framework, account).await?;
    if !again && last_ended(shared, account, nonce)? {
        let what = format!(
            "all that was delegated from {account} has ended already; for what may have been signed \
             elsewhere since: --all --again"
        );
        return told(shared, &what, &[]);
    }
    let owner = site.unlock(shared).await?;
    let receipt = owner.revoke_all(&site.rpc, &site.framework, account).await?;
    let what = format!("all that was delegated from {account} has ended");
    let done = told(shared, &what, &[receipt.transaction]);
    for (agent, other) in known(site).filter(|(_, other)| other.account != account) {
        if !other.standing(&site.rpc).await?.is_over() {
            anstream::eprintln!(
                "note: {agent} still draws on {}; only the key of {} ends that: --owner-home DIR",
                other.account,
                other.owner
            );
        }
    }
    done
}

/// Whether there is no account of anybody's yet on which something could be drawn.
async fn nothing_there(site: &Site) -> Done<bool> {
    Ok(site.keeper == site.policy.owner
        && !site.is_deployed().await?
        && site.left().await?.is_empty())
}

fn undeployed(shared: &Shared, site: &Site) -> Done<ExitCode> {
    let account = site.account();
    told(shared, &format!("nothing can be drawn on {account}: it is not deployed"), &[])
}

/// What this home knows to be delegated, to any agent. What cannot be read is not known.
fn known(site: &Site) -> impl Iterator<Item = (String, Permissions)> {
    let read = |agent: String| {
        let signed = Permissions::read(&site.home.delegation(&agent)).ok().flatten()?;
        Some((agent, signed))
    };
    site.home.agents().into_iter().filter_map(read)
}

/// Whether the last thing that the owner's own folder knows of the account is that all was ended:
/// something was signed, and nothing of it names the present nonce. What agents' homes say is theirs.
fn last_ended(shared: &Shared, account: Address, nonce: U256) -> Done<bool> {
    let signed = noted(&shared.owner_home()?, account)?;
    Ok(!signed.is_empty() && signed.iter().all(|it| it.nonce < nonce))
}

async fn prepare(shared: &Shared, site: &Site, file: &Path, fee: Option<&str>) -> Done<ExitCode> {
    if file.exists() {
        return Err(taken(file));
    }
    site.deployed().await?;
    let Site { rpc, framework, policy, .. } = site;
    let fee = fee.map(|text| amount(policy, text)).transpose()?;
    if fee.is_some_and(|fee| !fee.asset.is_native()) {
        return Err(Failure::usage("a fee is paid in the chain's own coin"));
    }
    let folder = shared.owner_home()?;
    let owner = match fee {
        Some(_) => site.unlock(shared).await?,
        None => Owner::unlock(&folder, &shared.owner_secret(false)?)?,
    };
    let account = site.account();
    let nonce = account::nonce(rpc, framework, account).await?;
    let data = owner.kill_switch(framework, account, nonce)?;
    let mut switch = Switch::new(framework.chain, account, nonce, framework.manager, data);
    if let Some(fee) = fee {
        switch.raw = Some(prepaid(&owner, rpc, &switch, fee.units).await?);
    }
    switch.write(file)?;
    if shared.json {
        say!("{}", serde_json::to_string(&switch).doing("the message")?);
        return Ok(ExitCode::SUCCESS);
    }
    say!("{} ends everything that is delegated from {account}", file.display());
    say!("  {} bytes of data to {}, from anybody", switch.data.len(), switch.to);
    if switch.raw.is_some() {
        say!("  or broadcast its `raw`: its fee is paid");
    }
    say!("  keep it where you reach it without this machine; whoever has it can do that alone");
    say!("  once it was sent, or after marque account revoke --all, prepare another one");
    Ok(ExitCode::SUCCESS)
}

/// The message as a transaction of a key that was made for it, given the fee, and is forgotten here.
async fn prepaid(owner: &Owner, rpc: &Rpc, switch: &Switch, fee: U256) -> Done<Bytes> {
    let each = u128::try_from(fee / U256::from(GAS)).unwrap_or(u128::MAX);
    let now = rpc.fees().await?;
    if each < now.max_fee_per_gas {
        let least = U256::from(now.max_fee_per_gas).saturating_mul(U256::from(GAS));
        return Err(Failure::usage(format!("the chain wants {least} wei for it now"))
            .help("give several times as much: fees rise when many want to leave"));
    }
    let folder = tempfile::tempdir().doing("a folder for a key")?;
    let passphrase = secret::generate().doing("a passphrase")?;
    let keys = KeyDir::create(folder.path().join("keys"))?;
    let sender = keys.create_key("switch", &passphrase)?;
    let key = keys.key("switch", &passphrase)?;
    let signed = key.sign_transaction(&UnsignedTransaction {
        chain_id: switch.chain,
        nonce: 0,
        to: Some(switch.to),
        value: U256::ZERO,
        data: switch.data.clone(),
        gas_limit: GAS,
        max_fee_per_gas: each,
        max_priority_fee_per_gas: now.max_priority_fee_per_gas.max(each / 10).min(each),
    })?;
    owner.send(rpc, switch.chain, sender, fee, Bytes::new()).await?;
    Ok(signed.raw)
}

async fn send(shared: &Shared, file: &Path, url: Option<&str>) -> Done<ExitCode> {
    let switch = Switch::read(file)?;
    let rpc = match url {
        Some(url) => Rpc::new(&[url.to_owned()])?,
        None => endpoint(shared, switch.chain)?,
    };
    let chain = rpc.chain_id().await?;
    if chain != switch.chain {
        let line =
            format!("the endpoint serves chain {chain}, the message is for {}", switch.chain);
        return Err(Failure::usage(line));
    }
    let framework = framework_on(chain)?;
    // Whatever the file says: only the manager that Marque knows ends anything, and only what the
    // chain counts afterwards says that it did.
    if switch.to != framework.manager {
        return Err(Failure::usage(format!(
            "{} is no kill switch of Marque's: it calls {}, and the chain's DelegationManager is {}",
            file.display(),
            switch.to,
            framework.manager
        )));
    }
    if let Some((_, error)) = account::lacking(&rpc, &framework).await?.into_iter().next() {
        return Err(Failure::new(error).help("nothing was sent; is it the right endpoint?"));
    }
    // Asked of the chain before anything is sent: a transaction that was mined once is found again, and
    // says nothing of what was signed since.
    if is_spent(&rpc, &framework, &switch).await? {
        return Err(spent(&switch));
    }
    let hash = match &switch.raw {
        Some(raw) => broadcast(&rpc, raw).await,
        None => Err("nobody paid its fee".to_owned()),
    };
    let hash = match hash {
        Ok(hash) => hash,
        Err(why) => {
            if switch.raw.is_some() {
                anstream::eprintln!("note: {why}; your key pays for the message instead");
            }
            pay(shared, &rpc, &switch).await?
        }
    };
    // A node behind others may take a moment to know what is mined.
    for _ in 0..20 {
        if is_spent(&rpc, &framework, &switch).await? {
            let what = format!("all that was delegated from {} has ended", switch.account);
            return told(shared, &what, &[hash]);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err(Failure::new(format!(
        "{hash} is mined, and the message has ended nothing of {}",
        switch.account
    ))
    .help("end it with your key: marque account revoke NAME --all"))
}

/// Brings the transaction whose fee is paid to the chain; why not, where it does not go.
async fn broadcast(rpc: &Rpc, raw: &Bytes) -> Result<B256, String> {
    let hash =
        rpc.send_raw(raw).await.map_err(|error| format!("its transaction does not go: {error}"))?;
    match rpc.wait_receipt(hash, Duration::from_secs(120)).await {
        Ok(receipt) if receipt.success => Ok(hash),
        Ok(_) => Err(format!("its transaction {hash} failed")),
        Err(error) => Err(error.to_string()),
    }
}

/// Sends the message with the key that is here, whosever that is.
async fn pay(shared: &Shared, rpc: &Rpc, switch: &Switch) -> Done<B256> {
    let folder = shared.owner_home()?;
    // Looked at before a passphrase is asked for.
    Owner::address_in(&folder).map_err(|error| {
        Failure::from(error).help(
            "any key that can pay the fee will do: marque owner init, send it some coins; or \
             --owner-home DIR",
        )
    })?;
    let owner = Owner::unlock(&folder, &shared.owner_secret(false)?)?;
    let receipt = owner.send(rpc, switch.chain, switch.to, U256::ZERO, switch.data.clone()).await?;
    Ok(receipt.transaction)
}

/// Whether the chain would no longer take the message, since the account's nonce has moved on.
async fn is_spent(rpc: &Rpc, framework: &Framework, switch: &Switch) -> Done<bool> {
    Ok(account::nonce(rpc, framework, switch.account).await? > switch.nonce)
}

fn spent(switch: &Switch) -> Failure {
    Failure::new(format!(
        "this message is used up and ends nothing any more: it was for delegations of {} with nonce \
         {}, and that is over",
        switch.account, switch.nonce
    ))
    .help(
        "what was delegated since is not ended by it: marque account revoke NAME --all, or prepare \
         another one: --prepare FILE",
    )
}

/// An endpoint of a chain, from the policies of this home.
fn endpoint(shared: &Shared, chain: u64) -> Done<Rpc> {
    let home = shared.home()?;
    let policies = home.agents().into_iter().filter_map(|agent| draft_of(&home, &agent).ok());
    let found = policies.filter_map(|policy| chain_of(&policy).ok()).find(|(id, _)| *id == chain);
    found.map(|(_, rpc)| rpc).ok_or_else(|| {
        Failure::usage(format!("no agent of this home names an endpoint of chain {chain}"))
            .help("give one: --rpc URL")
    })
}

fn told(shared: &Shared, what: &str, hashes: &[B256]) -> Done<ExitCode> {
    if shared.json {
        say!("{}", serde_json::json!({ "transactions": hashes }));
    } else {
        say!("{what}");
        hashes.iter().for_each(|hash| say!("  {hash}"));
    }
    Ok(ExitCode::SUCCESS)
}
