//! `marque account revoke --send`: a prepared message goes to the chain, by whoever has it.

use super::{
    super::{
        framework_on, keeper,
        switch::Switch,
        waits::{BEHIND, Patience, go_first},
    },
    ends::{lowest, nonces, silent},
    told,
};
use crate::{
    commands::{Shared, policy::chain_of, trust::own_policies},
    failure::{Done, Failure},
    story::note,
};
use alloy_primitives::{Address, B256, Bytes};
use marque::owner::{Notes, Owner, OwnerError, account_of};
use marque_contracts::delegation::Framework;
use marque_identity::{IdentityError, Rpc};
use std::{path::Path, process::ExitCode, time::Duration};

pub(super) async fn run(
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
        Some(url) => named(url)?,
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
    if lowest(&nonces(&rpc, &framework, switch.account).await)? > switch.nonce {
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
    let doubt = loop {
        let Some(doubt) = doubt(&rpc, &framework, &switch).await else {
            let what = format!(
                "all that was delegated from {} on eip155:{chain} has ended",
                switch.account
            );
            told(shared, &what, &[hash])?;
            return Ok(if mine { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        };
        if !patience.lasts().await {
            break doubt;
        }
    };
    Err(Failure::new(format!(
        "what was delegated from {} may live: {doubt}, whatever was sent ({hash})",
        switch.account
    ))
    .help(
        "through an endpoint that you trust: --send FILE --rpc URL; or with your key: marque account revoke \
         --all --rpc URL",
    ))
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
    let mut owner = shared.sender(&folder)?;
    go_first(shared, rpc, &mut owner).await?;
    let sent = owner.send_again(rpc, switch.chain, switch.to, switch.data.clone()).await;
    let receipt = sent.map_err(|error| match error {
        OwnerError::Coins { owner, .. } => Failure::new(error).help(format!(
            "send {owner} some, or let anybody who has some send it: `data` to `to`, on chain {}",
            switch.chain
        )),
        error => error.into(),
    })?;
    Ok(receipt.transaction)
}

/// Who does not say that the account's nonce is beyond the message's.
async fn doubt(rpc: &Rpc, framework: &Framework, switch: &Switch) -> Option<String> {
    let now = nonces(rpc, framework, switch.account).await;
    now.iter().find_map(|(host, now)| match now {
        Ok(now) if *now > switch.nonce => None,
        Ok(_) => Some(format!("{host} says that nothing of it has ended")),
        Err(_) => Some(silent(host)),
    })
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

/// The endpoint that was named. What is wrong with it is told without it: it may hold an access key.
pub(super) fn named(url: &str) -> Done<Rpc> {
    Rpc::new(&[url.to_owned()]).map_err(|error| match error {
        IdentityError::Endpoint { why, .. } => {
            Failure::usage(format!("what --rpc names is not an http or https URL: {why}"))
                .help("write it with its scheme, as in http://127.0.0.1:8545")
        }
        error => error.into(),
    })
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
