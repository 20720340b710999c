//! `marque account revoke`: the end of what was delegated, now or prepared for later.

use super::{
    Shared, Site, mine,
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
use alloy_primitives::{B256, Bytes, U256};
use marque::owner::Owner;
use marque_identity::{IdentityError, Rpc, account};
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
    /// The agent whose delegation ends, or any agent of the owner's with --all or --prepare.
    #[arg(required_unless_present = "send")]
    agent: Option<String>,
    /// End those of all agents.
    #[arg(long, conflicts_with_all = ["prepare", "send"])]
    all: bool,
    /// Write the message that ends all of them, signed now, to be sent by anybody when it is needed.
    #[arg(long, value_name = "FILE", conflicts_with = "send")]
    prepare: Option<PathBuf>,
    /// Pay its fee in advance, as in "0.001 ETH": the file then holds a transaction to broadcast, and
    /// no coins are needed where it is sent. What the fee turns out to be too much is lost.
    #[arg(long, value_name = "AMOUNT", requires = "prepare")]
    fee: Option<String>,
    /// Send a message that was prepared. Where its fee is not paid, the key in --owner-home pays it,
    /// whosever that is.
    #[arg(long, value_name = "FILE")]
    send: Option<PathBuf>,
    /// The endpoint to send it to; else that of an agent of this home on its chain.
    #[arg(long, value_name = "URL", requires = "send")]
    rpc: Option<String>,
}

pub(super) async fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    if let Some(file) = &args.send {
        return send(shared, file, args.rpc.as_deref()).await;
    }
    let agent = args.agent.as_deref().unwrap_or_default();
    let site = Site::find(shared, agent)?;
    if let Some(file) = &args.prepare {
        return prepare(shared, &site, file, args.fee.as_deref()).await;
    }
    if args.all {
        site.deployed().await?;
        let owner = site.unlock(shared).await?;
        let receipt = owner.revoke_all(&site.rpc, &site.framework, site.account()).await?;
        let what = format!("all that was delegated from {} has ended", site.account());
        return told(shared, &what, &[receipt.transaction]);
    }
    let Some(delegated) = site.delegated()? else {
        return Err(Failure::new(format!("nothing was delegated to {agent} from here"))
            .help("--all ends also what another home knows of"));
    };
    if delegated.standing(&site.rpc).await?.is_over() {
        return told(shared, &format!("what was delegated to {agent} has ended already"), &[]);
    }
    let owner = site.unlock_as(shared, delegated.owner).await?;
    let receipts = owner.revoke(&site.rpc, &delegated).await?;
    let hashes: Vec<B256> = receipts.iter().map(|receipt| receipt.transaction).collect();
    told(shared, &format!("{agent} can draw nothing on {} any more", delegated.account), &hashes)
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
    mine(&folder, site.policy.owner)?;
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
    owner.send(rpc, sender, fee, Bytes::new()).await?;
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
    let what = format!("all that was delegated from {} has ended", switch.account);
    if let Some(raw) = &switch.raw {
        let hash = rpc.send_raw(raw).await?;
        let receipt = rpc.wait_receipt(hash, Duration::from_secs(120)).await?;
        if !receipt.success {
            return Err(spent(&switch));
        }
        return told(shared, &what, &[hash]);
    }
    let folder = shared.owner_home()?;
    let sender = Owner::address_in(&folder)?;
    // Looked at before a passphrase is asked for.
    let tried = rpc.estimate_gas(sender, Some(switch.to), U256::ZERO, switch.data.clone()).await;
    match tried {
        Ok(_) => {}
        Err(IdentityError::Reverted { reason }) if reason.contains("invalid-nonce") => {
            return Err(spent(&switch));
        }
        Err(error) => return Err(error.into()),
    }
    let owner = Owner::unlock(&folder, &shared.owner_secret(false)?)?;
    let receipt = owner.send(&rpc, switch.to, U256::ZERO, switch.data).await?;
    told(shared, &what, &[receipt.transaction])
}

fn spent(switch: &Switch) -> Failure {
    Failure::new(format!(
        "the message ends delegations of {} with nonce {}, and that is over",
        switch.account, switch.nonce
    ))
    .help("they have ended already; for what was delegated since, prepare another one")
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
