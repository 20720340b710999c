//! `marque account revoke`: the end of what was delegated, now or prepared for later.

use super::{
    Shared, Signed, Site,
    delegate::nonce as agreed_nonce,
    framework_on, keeper,
    switch::{Switch, taken},
};
use crate::{
    commands::{
        funds::amount,
        policy::{account_address, chain_of},
        trust::own_policies,
    },
    failure::{Context as _, Done, Failure},
    story::{note, say},
};
use alloy_primitives::{Address, B256, Bytes, U256};
use marque::{
    home::OwnerHome,
    owner::{Notes, Owner, account_of},
};
use marque_contracts::delegation::Framework;
use marque_identity::{
    Rpc,
    account::{self, Permissions},
};
use marque_identity_keys::{KeyDir, UnsignedTransaction, secret};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

/// So long may one endpoint be behind another.
const BEHIND: Duration = Duration::from_secs(15);

/// So long an earlier transaction of the key is waited for.
const EARLIER: Duration = Duration::from_secs(60);

/// Gas of the kill switch, with room: 186,808 were measured.
const GAS: u64 = 260_000;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The agent whose delegation ends, or any agent of the owner's with --all or --prepare. Left out
    /// with --send, and with --rpc where its home is lost.
    #[arg(required_unless_present_any = ["send", "rpc"], conflicts_with = "send")]
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
    /// Whose delegations the message is to end: the account that its owner told you. Left out it is
    /// yours, where there is a key or a note of one in --owner-home.
    #[arg(long, value_name = "ACCOUNT", value_parser = account_address, conflicts_with_all = ["agent", "all", "prepare"])]
    of: Option<Address>,
    /// The endpoint to send it to; else that of a policy that you signed, on its chain. With --all and no
    /// agent: your key and this endpoint are enough, whatever became of the home.
    #[arg(long, value_name = "URL", conflicts_with_all = ["agent", "prepare"])]
    rpc: Option<String>,
}

pub(super) async fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    if let Some(file) = &args.send {
        return send(shared, file, args.of, args.rpc.as_deref()).await;
    }
    // Whatever became of the home or of an endpoint, there is a way that needs neither.
    let done = with_key(shared, args).await;
    done.map_err(|failure| {
        failure.or_help("what needs no home: marque account revoke --all --rpc URL")
    })
}

async fn with_key(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let Some(agent) = args.agent.as_deref() else {
        if !args.all {
            return Err(Failure::usage(
                "without the name of an agent, everything can be ended and nothing less",
            )
            .help("marque account revoke --all --rpc URL"));
        }
        return homeless(shared, args.rpc.as_deref(), args.again).await;
    };
    let mut site = Site::ending(shared, agent)?;
    if let Some(file) = &args.prepare {
        site.of_the_key(shared)?;
        return prepare(shared, &site, file, args.fee.as_deref()).await;
    }
    if args.all {
        site.of_the_key(shared)?;
        return all(shared, &site, args.again).await;
    }
    one(shared, &site, agent).await
}

/// Ends what was delegated to one agent from the account of the key here.
async fn one(shared: &Shared, site: &Site, agent: &str) -> Done<ExitCode> {
    let rpc = &site.rpc;
    let me = Owner::address_in(&shared.owner_home()?)?;
    settled(shared, rpc, me).await?;
    let Signed { mine, theirs, doubt, known } = site.signed(shared)?;
    let theirs = Signed::alive(rpc, theirs).await?.pop();
    let Some(newest) = mine.last() else {
        if let Some(theirs) = theirs {
            site.mine(&shared.owner_home()?, theirs.owner)?;
            return Err(stays(agent, &theirs));
        }
        const ALL: &str = "--all ends whatever was signed with your key";
        return match doubt {
            Some(doubt) => Err(doubt.help(ALL)),
            None if nothing_there(shared, site).await? => undeployed(shared, site),
            None => {
                Err(Failure::new(format!("nothing was delegated to {agent} from here")).help(ALL))
            }
        };
    };
    if let Some(doubt) = doubt {
        note(&format!("{}; what your own folder knows is ended", doubt.message));
    }
    let account = newest.account;
    let alive = Signed::alive(rpc, mine).await?;
    let done = if alive.is_empty() {
        let elsewhere = match known {
            true => "",
            false => {
                ", as far as this machine knows; for what may have been signed elsewhere: --all --again"
            }
        };
        told(shared, &format!("what was delegated to {agent} has ended already{elsewhere}"), &[])
    } else {
        let owner = site.unlock_as(shared, me).await?;
        waiting(shared);
        let mut hashes = Vec::new();
        for delegated in alive {
            hashes.extend(end_one(&owner, rpc, &delegated).await?);
        }
        told(shared, &format!("{agent} can draw nothing on {account} any more"), &hashes)
    };
    if let Some(theirs) = theirs {
        note(&stays(agent, &theirs).message);
    }
    done
}

/// What another owner's key alone ends.
fn stays(agent: &str, theirs: &Permissions) -> Failure {
    Failure::new(format!(
        "{agent} still draws on {}; only the key of {} ends that: --owner-home DIR",
        theirs.account, theirs.owner
    ))
}

/// Ends all that the account of this key gave away.
async fn all(shared: &Shared, site: &Site, again: bool) -> Done<ExitCode> {
    if nothing_there(shared, site).await? {
        return undeployed(shared, site);
    }
    site.deployed().await?;
    let done = end_here(shared, &site.rpc, &site.framework, site.account(), again).await;
    for (agent, other) in known(site).filter(|(_, other)| other.account != site.account()) {
        // What is ended is ended, whether or not this can be looked at.
        if !other.standing(&site.rpc).await.is_ok_and(|standing| standing.is_over()) {
            note(&stays(&agent, &other).message);
        }
    }
    done
}

/// The same where no home is left: the owner's folder and an endpoint are enough.
async fn homeless(shared: &Shared, url: Option<&str>, again: bool) -> Done<ExitCode> {
    let rpc = Rpc::new(url.map(str::to_owned).as_slice())?;
    let framework = framework_on(rpc.chain_id().await?)?;
    let folder = shared.owner_home()?;
    let owner = Owner::address_in(&folder)?;
    let made_of = account_of(owner)?;
    let account = made_of.address(&framework);
    if let Some((_, error)) = keeper::lacking(&rpc, &framework).await?.into_iter().next() {
        return Err(Failure::new(error).help("nothing was sent; is it the right endpoint?"));
    }
    if !keeper::is_deployed(&rpc, &framework, &made_of).await? {
        return Err(nowhere(&folder, owner, account, framework.chain));
    }
    end_here(shared, &rpc, &framework, account, again).await
}

/// An account that is not there is no proof that nothing can be drawn: the folder or the endpoint may
/// be another one than the owner meant.
fn nowhere(folder: &OwnerHome, owner: Address, account: Address, chain: u64) -> Failure {
    let known =
        Notes::of(folder).is_ok_and(|notes| notes.delegated(chain, account).next().is_some());
    let there = format!("{account}, the account of {owner}, is not there on this chain {chain}");
    if known {
        Failure::new(format!(
            "{there}, and this folder knows what was delegated from it: nothing was ended"
        ))
        .help("give an endpoint of the chain on which it was: --rpc URL")
    } else {
        Failure::new(format!("{there}: nothing was ended"))
            .help("is it the right owner (--owner-home DIR) and the right chain (--rpc URL)?")
    }
}

async fn end_here(
    shared: &Shared,
    rpc: &Rpc,
    framework: &Framework,
    account: Address,
    again: bool,
) -> Done<ExitCode> {
    let folder = shared.owner_home()?;
    settled(shared, rpc, Owner::address_in(&folder)?).await?;
    // Notes that cannot be read end nothing, and keep nothing alive.
    let notes = Notes::of(&folder).unwrap_or_else(|error| {
        note(&format!("{error}; everything is ended without them"));
        Notes::none(&folder)
    });
    let noted: Vec<_> = notes.delegated(framework.chain, account).cloned().collect();
    if !again && last_ended(&noted, rpc).await? {
        let what = format!(
            "all that was delegated from {account} has ended already; for what may have been signed \
             elsewhere since: --all --again"
        );
        return told(shared, &what, &[]);
    }
    let owner = Owner::unlock(&folder, &shared.owner_secret(false)?)?;
    waiting(shared);
    let hashes = end_all(&owner, &noted, rpc, framework, account).await?;
    told(shared, &format!("all that was delegated from {account} has ended"), &hashes)
}

/// Raises an account's nonce, on every endpoint, and ends what was signed for a later one: it would
/// wake now, or one day.
pub(super) async fn end_all(
    owner: &Owner,
    noted: &[Permissions],
    rpc: &Rpc,
    framework: &Framework,
    account: Address,
) -> Done<Vec<B256>> {
    let before = nonce_everywhere(rpc, framework, account).await?;
    let receipt = owner.revoke_all(rpc, framework, account).await?;
    let mut hashes = vec![receipt.transaction];
    // A node behind others may take a moment to know what is mined.
    let patience = Patience::of(BEHIND);
    while nonce_everywhere(rpc, framework, account).await? <= before {
        if !patience.lasts().await {
            return Err(Failure::new(format!(
                "{} is mined, and not every endpoint of the chain says that it ended anything of {account}",
                receipt.transaction
            ))
            .help("one of them lags or lies: look again, or give another one"));
        }
    }
    // By the nonce alone: what it ended is over, whatever an endpoint does not say now.
    for later in noted.iter().filter(|signed| signed.nonce > before) {
        hashes.extend(end_one(owner, rpc, later).await?);
    }
    Ok(hashes)
}

/// Revokes one delegation, and makes sure on every endpoint that it is over.
pub(super) async fn end_one(owner: &Owner, rpc: &Rpc, delegated: &Permissions) -> Done<Vec<B256>> {
    let receipts = owner.revoke(rpc, delegated).await?;
    let hashes: Vec<B256> = receipts.iter().map(|receipt| receipt.transaction).collect();
    let patience = Patience::of(BEHIND);
    loop {
        let standing = delegated.standing(rpc).await?;
        if standing.is_over() && standing.silent.is_empty() {
            break;
        }
        if !patience.lasts().await {
            let why = match standing.silent.first() {
                Some(silent) if standing.is_over() => format!("{silent} does not answer"),
                _ => "not every endpoint of the chain says that it is over".to_owned(),
            };
            return Err(Failure::new(format!(
                "what was delegated from {} may live: {why}, whatever was sent",
                delegated.account
            ))
            .help("through an endpoint that you trust: marque account revoke --all --rpc URL"));
        }
    }
    Ok(hashes)
}

/// The lowest that any endpoint which answers says.
async fn nonce_everywhere(rpc: &Rpc, framework: &Framework, account: Address) -> Done<U256> {
    let mut lowest = None;
    let mut silent = None;
    for each in rpc.each() {
        match account::nonce(&each, framework, account).await {
            Ok(nonce) => lowest = Some(lowest.map_or(nonce, |lowest: U256| lowest.min(nonce))),
            Err(error) => silent = Some(error),
        }
    }
    match (lowest, silent) {
        (Some(lowest), _) => Ok(lowest),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Err(Failure::new("there is no endpoint to ask")),
    }
}

/// Waits until no transaction of a key is on its way: one that was interrupted still ends, or deploys,
/// what would otherwise be done twice.
pub(super) async fn settled(shared: &Shared, rpc: &Rpc, key: Address) -> Done {
    let (patience, mut said) = (Patience::of(EARLIER), shared.json);
    loop {
        if rpc.transaction_count(key, true).await? <= rpc.transaction_count(key, false).await? {
            return Ok(());
        }
        if !std::mem::replace(&mut said, true) {
            anstream::eprintln!("an earlier transaction of {key} is not in a block yet: waiting …");
        }
        if !patience.lasts().await {
            break;
        }
    }
    anstream::eprintln!("note: it still is not; going on without it");
    Ok(())
}

/// Time that is waited, by the clock: an endpoint that takes long to answer makes it no longer.
pub(super) struct Patience(Instant, Duration);

impl Patience {
    pub(super) fn of(most: Duration) -> Self {
        Self(Instant::now(), most)
    }

    /// Whether there is some left; then it is a moment later.
    pub(super) async fn lasts(&self) -> bool {
        let lasts = self.0.elapsed() < self.1;
        if lasts {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        lasts
    }
}

fn waiting(shared: &Shared) {
    if !shared.json {
        anstream::eprintln!("sent once it is signed; waiting for a block …");
    }
}

/// Whether there is no account of anybody's yet on which something could be drawn.
async fn nothing_there(shared: &Shared, site: &Site) -> Done<bool> {
    let notes = Notes::of(&shared.owner_home()?)?;
    Ok(site.keeper == site.policy.owner
        && !notes.begins(site.framework.chain, site.account())
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

/// Whether something was signed here for the account, and every endpoint says of all of it that it is
/// over. What agents' homes say is theirs.
async fn last_ended(noted: &[Permissions], rpc: &Rpc) -> Done<bool> {
    Ok(!noted.is_empty() && Signed::alive(rpc, noted.iter().cloned()).await?.is_empty())
}

async fn prepare(shared: &Shared, site: &Site, file: &Path, fee: Option<&str>) -> Done<ExitCode> {
    if file.exists() {
        return Err(taken(file));
    }
    // Nothing is signed or paid for a message that has no place.
    Switch::vacant(file)?;
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
    let nonce = agreed_nonce(rpc, framework, account).await?;
    let data = owner.kill_switch(framework, account, nonce)?;
    let mut switch = Switch::new(framework.chain, account, nonce, framework.manager, data);
    let payer = match &fee {
        Some(fee) => {
            let (payer, raw) = prepaid(rpc, &switch, fee.units).await?;
            switch.raw = Some(raw);
            Some((payer, fee.units))
        }
        None => None,
    };
    switch.write(file)?;
    let paid = match payer {
        Some((payer, units)) => {
            let sent = owner.send(rpc, switch.chain, payer, units, Bytes::new()).await;
            let receipt = sent.map_err(|error| {
                // A message whose fee is not there would not do what it says.
                match std::fs::remove_file(file) {
                    Ok(()) => Failure::from(error),
                    Err(left) => Failure::new(format!("{error}; {}: {left}", file.display())),
                }
            })?;
            Some((payer, receipt.transaction))
        }
        None => None,
    };
    if shared.json {
        say!("{}", serde_json::to_string(&switch).doing("the message")?);
        return Ok(ExitCode::SUCCESS);
    }
    say!("{} ends everything that is delegated from {account}", file.display());
    say!("  {} bytes of data to {}, from anybody", switch.data.len(), switch.to);
    if let (Some((payer, transaction)), Some(fee)) = (paid, fee) {
        say!(
            "  or broadcast its `raw`: its fee is paid, by {} that went to {payer}, {transaction}",
            policy.show(fee)
        );
        say!("  that key was made for it and is forgotten: what the fee leaves over is lost");
    }
    say!("  keep it where you reach it without this machine; whoever has it can do that alone");
    say!("  once it was sent, or after marque account revoke --all, prepare another one");
    Ok(ExitCode::SUCCESS)
}

/// The message as a transaction of a key that was made for it and is forgotten here, and the key's
/// address, which needs the fee.
async fn prepaid(rpc: &Rpc, switch: &Switch, fee: U256) -> Done<(Address, Bytes)> {
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
    Ok((sender, signed.raw))
}

async fn send(
    shared: &Shared,
    file: &Path,
    of: Option<Address>,
    url: Option<&str>,
) -> Done<ExitCode> {
    let switch = Switch::read(file)?;
    if let Some(of) = of.filter(|of| *of != switch.account) {
        let line =
            format!("{} ends what {} gave away, and not {of}", file.display(), switch.account);
        return Err(
            Failure::new(line).help("nothing was sent: ask its owner for the message again")
        );
    }
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
    switch.only_ends(&framework, file)?;
    if let Some((_, error)) = keeper::lacking(&rpc, &framework).await?.into_iter().next() {
        return Err(Failure::new(error).help("nothing was sent; is it the right endpoint?"));
    }
    // Whoever lends their key or their line to somebody else knows it, and whoever was handed another
    // one's message learns it.
    let mine = match of {
        Some(_) => true,
        None => theirs(shared, &framework)?.is_none_or(|all| all.contains(&switch.account)),
    };
    if !mine {
        note(&format!(
            "{0} is the account of somebody else: this ends nothing of yours, which marque account revoke \
             NAME --all does; if it is meant: --of {0}",
            switch.account
        ));
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
                note(&format!("{why}; your key pays for the message instead"));
            }
            pay(shared, &rpc, &switch).await?
        }
    };
    // A node behind others may take a moment to know what is mined.
    let patience = Patience::of(BEHIND);
    loop {
        if is_spent(&rpc, &framework, &switch).await? {
            let what = format!("all that was delegated from {} has ended", switch.account);
            told(shared, &what, &[hash])?;
            return Ok(if mine { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        if !patience.lasts().await {
            break;
        }
    }
    Err(Failure::new(format!(
        "{hash} is mined, and the message has ended nothing of {}",
        switch.account
    ))
    .help("end it with your key: marque account revoke NAME --all"))
}

/// The accounts on a chain that the owner's folder knows as its own; none where it has neither a key nor
/// a note of one.
fn theirs(shared: &Shared, framework: &Framework) -> Done<Option<Vec<Address>>> {
    let folder = shared.owner_home()?;
    let mut accounts: Vec<Address> = Notes::of(&folder)
        .map(|notes| notes.accounts(framework.chain).collect())
        .unwrap_or_default();
    if let Ok(me) = Owner::address_in(&folder) {
        accounts.push(account_of(me)?.address(framework));
    }
    Ok(Some(accounts).filter(|accounts| !accounts.is_empty()))
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
    let receipt = owner.send_again(rpc, switch.chain, switch.to, switch.data.clone()).await?;
    Ok(receipt.transaction)
}

/// Whether the chain would no longer take the message, since the account's nonce has moved on.
async fn is_spent(rpc: &Rpc, framework: &Framework, switch: &Switch) -> Done<bool> {
    Ok(nonce_everywhere(rpc, framework, switch.account).await? > switch.nonce)
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

/// An endpoint of a chain, from the policies that the key here signed.
fn endpoint(shared: &Shared, chain: u64) -> Done<Rpc> {
    let own = own_policies(shared)?;
    let found = own.iter().filter_map(|policy| chain_of(policy).ok()).find(|(id, _)| *id == chain);
    found.map(|(_, rpc)| rpc).ok_or_else(|| {
        Failure::usage(format!("no policy that you signed names an endpoint of chain {chain}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_is_waited_by_the_clock_however_long_an_answer_takes() {
        let patience = Patience::of(Duration::from_millis(900));
        let mut asked = 0;
        loop {
            asked += 1;
            tokio::time::sleep(Duration::from_millis(500)).await;
            if !patience.lasts().await {
                break;
            }
        }
        assert!(asked <= 2, "{asked} answers were waited for");
    }
}
