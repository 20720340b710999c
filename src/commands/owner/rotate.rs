//! `marque owner rotate | accept`: the owner in force signs a new one in.
//!
//! Two signatures under one statement, on one machine or on two: the old owner's, because nobody
//! else may hand anything over, and the new one's, because nothing may go to a key that nobody has.

use crate::{
    commands::{
        Shared,
        approvals::{clients, older, read_request, write_signed},
        decide::Travel,
        policy::{chain_of, owner_address},
        submit::{Handed, hand_in},
        trust::{ending_policy, this_journal},
    },
    failure::{Done, Failure},
    story::say,
};
use alloy_primitives::{Address, B256};
use marque::{
    home::{Home, OwnerHome},
    owner::{Holding, Notes, Owner, holding},
    request::{RequestError, Signed, Travels as _, signer},
};
use marque_policies::{Policy, Statement};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct RotateArgs {
    /// The new owner's address, where its key is on another machine, which then accepts.
    #[arg(
        long,
        value_name = "ADDRESS",
        value_parser = owner_address,
        requires = "request"
    )]
    to: Option<Address>,
    /// The folder with the new owner's key, where that is on this machine as well.
    #[arg(long, value_name = "DIR", conflicts_with = "to")]
    new_owner_home: Option<PathBuf>,
    /// Read the passphrase of the new owner's key from this file descriptor instead of asking.
    #[arg(long, value_name = "N", requires = "new_owner_home")]
    new_owner_fd: Option<i32>,
    /// Do not ask.
    #[arg(long, short = 'y')]
    yes: bool,
    #[command(flatten)]
    travel: Travel,
}

#[derive(Debug, clap::Args)]
pub(super) struct AcceptArgs {
    /// What the owner in force signed; `-` for standard input.
    handed: PathBuf,
    /// Where the whole goes, for marque submit on the steward's host; `-` for standard output.
    #[arg(long, value_name = "SIGNED")]
    out: PathBuf,
    /// Do not ask.
    #[arg(long, short = 'y')]
    yes: bool,
}

/// What is handed over.
struct Estate {
    chain: u64,
    origin: B256,
    since: u64,
}

/// `marque owner rotate`.
pub(super) async fn rotate(shared: &Shared, args: &RotateArgs) -> Done {
    let new = args.new_owner_home.clone().map(|dir| OwnerHome::locate(Some(dir))).transpose();
    let new = new.map_err(Failure::usage)?;
    let to = match (args.to, &new) {
        (Some(to), _) => to,
        (None, Some(new)) => Owner::address_in(new)?,
        (None, None) => {
            return Err(Failure::usage("say to whom").help(
                "give --new-owner-home DIR where the new key is here, else --to ADDRESS --request \
                 FILE --out HANDED",
            ));
        }
    };
    let folder = shared.owner_home()?;
    let me = Owner::address_in(&folder)?;
    if to == me {
        return Err(Failure::usage(format!("{me} is the key that is to be replaced"))
            .help("make the new one first: marque --owner-home DIR owner init"));
    }
    let estate = match args.travel.files() {
        Some((request, _)) => {
            let request = read_request(request, me)?;
            if !request.begun {
                return Err(Failure::new(
                    "the journal has not begun: there is nothing to hand over",
                ));
            }
            let (chain, origin) = (request.chain, request.origin);
            Estate { chain, origin, since: request.owner_since }
        }
        None => {
            let home = shared.home()?;
            let estate = here(&home).await?;
            this_journal(shared, &home, estate.chain, estate.origin)?;
            estate
        }
    };
    let Estate { chain, origin, since } = estate;
    anstream::eprintln!("journal {origin} on chain {chain} goes over from owner {me}");
    anstream::eprintln!("                                  to owner {to}");
    anstream::eprintln!(
        "  from then on {me} decides nothing, and money that is returned goes to {to}"
    );
    for line in stays(shared, chain, me).await? {
        anstream::eprintln!("  {line}");
    }
    shared.confirm(args.yes, "hand it over")?;
    let owner = Owner::unlock(&folder, &shared.owner_secret(false)?)?;
    let mut act = owner.hand_over(to, since, chain, origin);
    drop(owner);
    if let Some(new) = new {
        let text = "Passphrase of the new owner's key";
        let secret = marque::home::secret(args.new_owner_fd, "marque-new-owner", text, false);
        let new = Owner::unlock(&new, &secret.map_err(Failure::usage)?)?;
        act = new.take_over(act, chain, origin);
    }
    if let Some((_, out)) = args.travel.files() {
        return write_signed(shared, out, &Signed::new(chain, origin, vec![act]));
    }
    let Handed { entries, .. } =
        hand_in(shared, &shared.home()?, (chain, origin), vec![act]).await?;
    if shared.json {
        say!("{}", serde_json::json!({ "owner": to, "entries": entries }));
    } else {
        let entry = entries.last().copied().unwrap_or_default();
        say!("the owner is {to}, journal entry {entry}");
        say!(
            "  next: name it as `owner` in each policy, raise the version, and adopt with the new key"
        );
    }
    Ok(())
}

/// What of the old owner's on chain is not handed over: an account obeys the key that it was made for.
async fn stays(shared: &Shared, chain: u64, me: Address) -> Done<Vec<String>> {
    let after = "afterwards only the old key does that: --owner-home DIR";
    let (mut found, mut unknown) = (None::<(String, Policy, Holding)>, false);
    let notes = Notes::of(&shared.owner_home()?)?;
    let mut agents = shared.home()?.agents();
    agents.extend(notes.adoptions().map(|adopted| adopted.agent.clone()));
    agents.sort();
    agents.dedup();
    for agent in agents {
        // What this key signed: a draft says nothing of the owner's account.
        let own =
            ending_policy(shared, &agent).and_then(|(policy, _)| Ok((chain_of(&policy)?, policy)));
        let Ok(((id, rpc), policy)) = own else {
            unknown = true;
            continue;
        };
        if id != chain {
            continue;
        }
        match (holding(&policy, &rpc, chain, me).await, &mut found) {
            (Ok(Some(more)), Some((.., known))) => {
                more.holds.into_iter().for_each(|money| known.take(money));
            }
            (Ok(Some(holds)), none) => *none = Some((agent, policy, holds)),
            (Ok(None), _) => {}
            // A chain that does not answer, or on which there are no accounts: said as it may be.
            (Err(error), _) => {
                tracing::debug!(%error, "the owner's account is not looked at");
                unknown = true;
            }
        }
    }
    if let Some((agent, policy, account)) = found {
        return Ok(vec![
            format!(
                "the account {} stays with {me}; it holds {}",
                account.account,
                account.shown(&policy)
            ),
            format!(
                "before you rotate: marque account revoke {agent} --all, then marque account withdraw \
                 {agent} AMOUNT; {after}"
            ),
        ]);
    }
    if !unknown {
        return Ok(Vec::new());
    }
    Ok(vec![format!(
        "an account on chain, if there is one, stays with {me}: end what is delegated and withdraw \
         first; {after}"
    )])
}

/// What the running steward says of itself, or the journal where none runs.
async fn here(home: &Home) -> Done<Estate> {
    if marque::process::answers(home) {
        let clients = clients(home).await?;
        let client = clients.first().ok_or_else(|| Failure::new("no steward answers"))?;
        let status = client.status().await.map_err(older)?;
        let since = client.view().await?.owner_since;
        return Ok(Estate { chain: status.chain, origin: status.origin, since });
    }
    let laid_out = marque_steward::Home::open(home.path())?;
    if !laid_out.has_journal() {
        return Err(Failure::new("the journal has not begun: there is nothing to hand over"));
    }
    let since = marque_steward::audit::state(&laid_out)?.owner_since();
    Ok(Estate { chain: laid_out.chain(), origin: laid_out.origin(), since })
}

/// `marque owner accept`.
pub(super) fn accept(shared: &Shared, args: &AcceptArgs) -> Done {
    let folder = shared.owner_home()?;
    let me = Owner::address_in(&folder)?;
    let place = args.handed.display();
    let signed = Signed::read(&args.handed).map_err(|error| match error {
        error @ RequestError::File { .. } => Failure::usage(error),
        error => Failure::new(format!("{place}: {error}")),
    })?;
    let Signed { chain, origin, acts, .. } = signed;
    let [act] = <[_; 1]>::try_from(acts)
        .map_err(|_| Failure::new(format!("{place}: it is not one rotation alone")))?;
    let Statement::Rotate { owner: to, .. } = act.statement else {
        return Err(Failure::new(format!("{place}: it is no rotation of the owner")));
    };
    if to != me {
        return Err(Failure::new(format!("{place}: it is for {to}, and the key here is {me}"))
            .help("give another --owner-home"));
    }
    let from = signer(&act, chain, origin)
        .ok_or_else(|| Failure::new(format!("{place}: it does not bear a signature")))?;
    anstream::eprintln!("journal {origin} on chain {chain} comes to you, {me},");
    anstream::eprintln!("  from {from}, if that is its owner: the steward will check");
    shared.confirm(args.yes, "take it over")?;
    let owner = Owner::unlock(&folder, &shared.owner_secret(false)?)?;
    let act = owner.take_over(act, chain, origin);
    write_signed(shared, &args.out, &Signed::new(chain, origin, vec![act]))
}
