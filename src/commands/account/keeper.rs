//! Whose account it is: that of the key that it was made for, whoever the policy names by now.

use super::{Shared, Site};
use crate::{
    failure::{Done, Failure},
    story::note,
};
use alloy_primitives::Address;
use marque::{
    home::{Home, OwnerHome},
    owner::{Holding, Owner, account_of, holding, succession},
};
use marque_contracts::delegation::{DelegationError, Framework, OwnerAccount, Part};
use marque_identity::{Rpc, account};

/// How whoever has another key than the one that is here goes on.
const OTHER_KEY: &str = "with that key it works: --owner-home DIR";

impl Site {
    /// Looks at the account of whoever's key is here, instead of that of the owner whom the policy
    /// names.
    pub(super) fn of_the_key(&mut self, shared: &Shared) -> Done<Address> {
        self.keeper = Owner::address_in(&shared.owner_home()?)?;
        self.made_of = account_of(self.keeper)?;
        Ok(self.keeper)
    }

    /// Refuses where the account is not there yet, and says where one is.
    pub(super) async fn deployed(&self) -> Done {
        if self.is_deployed().await? {
            return Ok(());
        }
        let (keeper, owner, agent) = (self.keeper, self.policy.owner, &self.agent);
        if keeper != owner {
            let theirs = account_of(owner)?.address(&self.framework);
            return Err(Failure::new(format!(
                "your key {keeper} has no account on this chain; {theirs} is that of owner {owner}"
            ))
            .help(match in_force(&self.home)? {
                Some(now) if now == keeper => successor(keeper, agent),
                _ => OTHER_KEY.to_owned(),
            }));
        }
        let failure = Failure::new(format!("the account {} is not deployed yet", self.account()));
        let Some(left) = self.left().await?.into_iter().next() else {
            return Err(failure.help(format!("marque account deploy {agent}")));
        };
        Err(Failure::new(format!("{}; {}", failure.message, self.told_of(&left))).help(format!(
            "for that one give its key: --owner-home DIR; the new one is made by marque account \
             deploy {agent}"
        )))
    }

    /// Refuses where the journal has another owner than the policy: the steward would not draw on
    /// what was delegated.
    pub(super) fn not_handed_over(&self) -> Done {
        let Some(now) = in_force(&self.home)?.filter(|now| *now != self.policy.owner) else {
            return Ok(());
        };
        let agent = &self.agent;
        Err(Failure::new(format!(
            "the owner in force is {now}, and the policy names {}: what is delegated would not be drawn",
            self.policy.owner
        ))
        .help(format!(
            "write the new owner and a higher version into the policy, marque policy adopt {agent}, \
             then deploy and delegate with the new key: --owner-home DIR"
        )))
    }

    pub(super) async fn is_deployed(&self) -> Done<bool> {
        is_deployed(&self.rpc, &self.framework, &self.made_of).await
    }

    /// The accounts of other owners of this journal, where anything is in them or they are deployed.
    pub(super) async fn left(&self) -> Done<Vec<Holding>> {
        if self.homeless {
            return Ok(Vec::new());
        }
        let mut others = owners(&self.home)?;
        others.sort();
        others.dedup();
        others.retain(|owner| *owner != self.keeper);
        let mut left = Vec::new();
        for owner in others {
            left.extend(holding(&self.policy, &self.rpc, self.framework.chain, owner).await?);
        }
        Ok(left)
    }

    /// One of them, in words.
    pub(super) fn told_of(&self, left: &Holding) -> String {
        let Holding { owner, account, .. } = left;
        format!(
            "{account}, which only the key of {owner} moves, holds {}",
            left.shown(&self.policy)
        )
    }

    /// Refuses where the key here is not that of this owner.
    pub(super) fn mine(&self, folder: &OwnerHome, owner: Address) -> Done {
        let me = Owner::address_in(folder)?;
        if me == owner {
            return Ok(());
        }
        Err(Failure::new(format!("that is for owner {owner} to do, and your key is {me}")).help(
            match in_force(&self.home)? {
                Some(now) if now == me => successor(me, &self.agent),
                _ => "give the owner's folder: --owner-home DIR".to_owned(),
            },
        ))
    }
}

/// Whether an account is deployed by the word of any endpoint: one of them alone makes none look
/// untouched.
pub(super) async fn is_deployed(
    rpc: &Rpc,
    framework: &Framework,
    account: &OwnerAccount,
) -> Done<bool> {
    Ok(seen(rpc, framework, account).await?.any)
}

/// Who sees an account.
pub(super) struct Seen {
    /// Some endpoint,
    pub(super) any: bool,
    /// and whether each of them, none silent.
    pub(super) all: bool,
}

/// Asks every endpoint for an account. That nobody sees it, all have to say.
pub(super) async fn seen(rpc: &Rpc, framework: &Framework, account: &OwnerAccount) -> Done<Seen> {
    let (mut seen, mut failure) = (Seen { any: false, all: true }, None);
    let look = |each: Rpc| async move { account::is_deployed(&each, framework, account).await };
    for (_, said) in rpc.all(look).await {
        match said {
            Ok(there) => {
                seen.any |= there;
                seen.all &= there;
            }
            Err(error) => {
                seen.all = false;
                failure = Some(error);
            }
        }
    }
    match failure {
        Some(error) if !seen.any => Err(error.into()),
        _ => Ok(seen),
    }
}

/// The parts of the framework that any endpoint lacks, or has otherwise than Marque knows them.
pub(super) async fn lacking(
    rpc: &Rpc,
    framework: &Framework,
) -> Done<Vec<(Part, DelegationError)>> {
    let mut lacking = Vec::<(Part, DelegationError)>::new();
    for (part, error) in lacks(rpc, framework).await?.into_iter().flat_map(|(_, said)| said) {
        // Another contract is worse than none yet.
        match lacking.iter_mut().find(|(known, _)| *known == part) {
            Some(known) if !matches!(error, DelegationError::NoCode { .. }) => known.1 = error,
            Some(_) => {}
            None => lacking.push((part, error)),
        }
    }
    Ok(lacking)
}

/// Refuses where no endpoint has the framework, before anything is sent to end what was delegated. One
/// that says otherwise than another is told, and keeps nobody from ending it.
pub(super) async fn somewhere(rpc: &Rpc, framework: &Framework) -> Done {
    let said = lacks(rpc, framework).await?;
    let some = said.iter().any(|(_, lacking)| lacking.is_empty());
    for (host, lacking) in said {
        let Some((_, error)) = lacking.into_iter().next() else { continue };
        if !some {
            return Err(Failure::new(error).help(
                "nothing was sent; is it the right endpoint? Another one: marque account revoke --all --rpc \
                 URL",
            ));
        }
        note(&format!("{host} says otherwise than the others: {error}"));
    }
    Ok(())
}

/// What of the framework each endpoint that answers lacks.
async fn lacks(
    rpc: &Rpc,
    framework: &Framework,
) -> Done<Vec<(String, Vec<(Part, DelegationError)>)>> {
    let (mut lacks, mut silent) = (Vec::new(), None);
    let look = |each: Rpc| async move { account::lacking(&each, framework).await };
    for (host, said) in rpc.all(look).await {
        match said {
            Ok(said) => lacks.push((host, said)),
            Err(error) => silent = Some(error),
        }
    }
    match silent {
        Some(error) if lacks.is_empty() => Err(error.into()),
        _ => Ok(lacks),
    }
}

/// How the owner in force gets an account, whom no policy names yet.
fn successor(owner: Address, agent: &str) -> String {
    format!(
        "that owner's key: --owner-home DIR; for an account of yours write {owner} as `owner` into \
         the policy with a higher version, marque policy adopt {agent}, marque account deploy {agent}"
    )
}

/// The owners that the journal of a home names; nobody where another user's steward keeps it.
pub(super) fn owners(home: &Home) -> Done<Vec<Address>> {
    Ok(succession(&home.journal())?)
}

/// The owner in force.
pub(super) fn in_force(home: &Home) -> Done<Option<Address>> {
    Ok(owners(home)?.pop())
}
