//! `marque account revoke --send`: a prepared message goes to the chain, by whoever has it.

use super::{
    super::{
        framework_on, keeper,
        messages::tidy,
        switch::Switch,
        waits::{BEHIND, Patience, go_first},
    },
    ends::{lowest, nonces, silent, unsent},
    told,
    ways::Ways,
};
use crate::{
    commands::{Shared, funds::Coins},
    failure::{Done, Failure},
    story::note,
};
use alloy_primitives::{Address, B256, U256};
use marque::owner::{Notes, Owner, OwnerError, account_of, broadcast};
use marque_contracts::delegation::Framework;
use marque_identity::{IdentityError, Rpc};
use std::{path::Path, process::ExitCode};

pub(super) async fn run(
    shared: &Shared,
    file: &Path,
    of: Option<Address>,
    (url, most): (Option<&str>, &Coins),
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
    let chain = switch.chain;
    let most = Ways::of(shared).map_or_else(|_| most.unnamed(), |ways| ways.wei_on(most, chain))?;
    of_chain(&rpc, chain).await?;
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
    keeper::somewhere(&rpc, &framework).await?;
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
    let said = nonces(&rpc, &framework, switch.account).await;
    // One that does not answer may know better: then it is sent, and does nothing twice.
    if lowest(&said)? > switch.nonce && said.iter().all(|(_, said)| said.is_ok()) {
        return Err(spent(&switch));
    }
    let sent = match &switch.raw {
        Some(raw) => broadcast(&rpc, raw).await.map_err(|error| error.to_string()),
        None => Err("nobody paid its fee".to_owned()),
    };
    let (mut hash, mut doubt) = match sent {
        Ok(hash) => (Some(hash), over(&rpc, &framework, &switch).await),
        Err(why) => (None, Some(why)),
    };
    // An endpoint that takes a transaction may keep it: then the key that is here pays, where there is one.
    if let Some(why) = doubt.take() {
        if switch.raw.is_some() {
            note(&format!(
                "its transaction does not end it ({why}); your key pays for the message instead"
            ));
        }
        match pay(shared, &rpc, &switch, most).await {
            Ok(paid) => {
                hash = Some(paid);
                doubt = over(&rpc, &framework, &switch).await;
            }
            Err(failure) if hash.is_none() => return Err(failure),
            Err(failure) => {
                note(&failure.message);
                doubt = Some(why);
            }
        }
    }
    let hash = hash.unwrap_or_default();
    let Some(doubt) = doubt else {
        let what =
            format!("all that was delegated from {} on eip155:{chain} has ended", switch.account);
        told(shared, &what, &[hash])?;
        if let Ok(notes) = Notes::readable(&shared.owner_home()?) {
            let folder = &shared.owner_home()?;
            tidy((folder, &notes), &rpc, &framework, switch.account).await;
        }
        return Ok(if mine { ExitCode::SUCCESS } else { ExitCode::FAILURE });
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

/// Who still does not say that it is over, after a while: a node behind others may take a moment to know
/// what is mined.
async fn over(rpc: &Rpc, framework: &Framework, switch: &Switch) -> Option<String> {
    let patience = Patience::of(BEHIND);
    loop {
        let doubt = doubt(rpc, framework, switch).await?;
        if !patience.lasts().await {
            return Some(doubt);
        }
    }
}

/// Refuses where no endpoint is of the message's chain.
async fn of_chain(rpc: &Rpc, chain: u64) -> Done {
    let mut failure = None;
    for (_, said) in rpc.all(|each| async move { each.chain_id().await }).await {
        match said {
            Ok(found) if found == chain => return Ok(()),
            Ok(found) => {
                failure = Some(Failure::usage(format!(
                    "the endpoint serves chain {found}, the message is for {chain}"
                )));
            }
            Err(error) => failure = failure.or(Some(error.into())),
        }
    }
    Err(failure.unwrap_or_else(|| Failure::new("there is no endpoint to ask")))
}

/// The accounts on a chain that the owner's folder knows as its own; none where it has neither a key nor
/// a note of one.
fn theirs(shared: &Shared, framework: &Framework) -> Done<Option<Vec<Address>>> {
    let folder = shared.owner_home()?;
    let mut accounts: Vec<Address> = Notes::readable(&folder)
        .map(|notes| notes.accounts(framework.chain).collect())
        .unwrap_or_default();
    if let Ok(me) = Owner::address_in(&folder) {
        accounts.push(account_of(me)?.address(framework));
    }
    Ok(Some(accounts).filter(|accounts| !accounts.is_empty()))
}

/// Sends the message with the key that is here, whosever that is.
async fn pay(shared: &Shared, rpc: &Rpc, switch: &Switch, most: U256) -> Done<B256> {
    let folder = shared.owner_home()?;
    // Looked at before a passphrase is asked for.
    Owner::address_in(&folder).map_err(|error| {
        Failure::from(error).help(
            "any key that can pay the fee will do: marque owner init, send it some coins; or \
             --owner-home DIR",
        )
    })?;
    let owner = shared.sender(&folder)?;
    go_first(shared, rpc, owner.address()).await?;
    let mut ends = owner.ends(rpc, switch.chain, most);
    let receipt = ends.send(switch.to, switch.data.clone()).await.map_err(|error| match error {
        OwnerError::Coins { owner, .. } => Failure::new(error).help(format!(
            "send {owner} some, or let anybody who has some send it: `data` to `to`, on chain {}",
            switch.chain
        )),
        error => unsent(error),
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
    Rpc::new(&[url.to_owned()]).map(Rpc::brief).map_err(|error| match error {
        IdentityError::Endpoint { why, .. } => {
            Failure::usage(format!("what --rpc names is not an http or https URL: {why}"))
                .help("write it with its scheme, as in http://127.0.0.1:8545")
        }
        error => error.into(),
    })
}

/// The endpoints of a chain, from the policies that the key here signed.
fn endpoint(shared: &Shared, chain: u64) -> Done<Rpc> {
    let ways = Ways::of(shared)?;
    ways.to(chain).map_err(|failure| Failure::usage(failure.message).help("give one: --rpc URL"))
}
