//! What the owner delegated to an agent: a file that others can write, and how it stands on chain.
//!
//! INVARIANT: nothing of the file is used unless the owner in force signed it, it is what the policy in
//! force compiles to, its account is the owner's, and the contracts that it names have the code that
//! Marque knows (pinned by `tests/system/float.rs`,
//! `a_file_that_is_not_what_the_owner_signed_is_not_used`).

use super::floats;
use crate::{
    core::{Covered, Lack, Way},
    error::{StewardError, fault},
    links::{Link, chain_error},
    outflow::Whose,
    steward::Shared,
};
use alloy_primitives::B256;
use marque_contracts::delegation::{Framework, OwnerAccount};
use marque_identity::account::{self, Permissions, PermissionsError, Standing};
use marque_policies::{AssetId, Policy};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// That the chain holds the limits is good for so long: a payment need not ask each time.
const HEARD: Duration = Duration::from_secs(5);

/// Why nothing is drawn.
#[derive(Debug)]
pub(super) enum Undrawn {
    /// The owner can mend it.
    Lack(Lack),
    /// Something else.
    Error(StewardError),
}

impl From<StewardError> for Undrawn {
    fn from(error: StewardError) -> Self {
        Self::Error(error)
    }
}

impl From<Undrawn> for StewardError {
    fn from(undrawn: Undrawn) -> Self {
        match undrawn {
            Undrawn::Lack(lack) => fault("float", lack.to_string()).into(),
            Undrawn::Error(error) => error,
        }
    }
}

pub(super) fn lack(why: impl Into<String>, mend: impl Into<String>) -> Undrawn {
    Undrawn::Lack(Lack { why: why.into(), mend: mend.into() })
}

/// What was found out lately. All of it can be forgotten.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Contracts whose code was compared.
    contracts: Mutex<Vec<Framework>>,
    /// When all that a policy requires was seen to stand, by agent.
    stands: Mutex<BTreeMap<String, (B256, Instant)>>,
}

impl Heard {
    fn stands(&self, agent: &str, policy: &Policy) -> bool {
        let stands = self.stands.lock().unwrap_or_else(PoisonError::into_inner);
        stands.get(agent).is_some_and(|(of, at)| *of == policy.hash && at.elapsed() < HEARD)
    }

    fn note(&self, agent: &str, policy: &Policy, holds: bool) {
        let mut stands = self.stands.lock().unwrap_or_else(PoisonError::into_inner);
        match holds {
            true => stands.insert(agent.to_owned(), (policy.hash, Instant::now())),
            false => stands.remove(agent),
        };
    }
}

/// Whether the chain holds what the policy requires it to; only what stands is remembered, and for a
/// moment. Where nothing is required nobody is asked.
///
/// # Errors
/// Where the chain does not answer.
pub(crate) async fn covered(
    shared: &Shared,
    link: &Link,
    whose: Whose<'_>,
) -> Result<Covered, StewardError> {
    let Whose { agent, policy, .. } = whose;
    if shared.floats.heard.stands(agent, policy) {
        return Ok(Covered::Stands);
    }
    ask(shared, link, whose).await
}

/// The same, asked now.
pub(super) async fn ask(
    shared: &Shared,
    link: &Link,
    whose: Whose<'_>,
) -> Result<Covered, StewardError> {
    let Whose { agent, policy, .. } = whose;
    let required = || floats(shared, policy).filter(|(_, float)| float.required);
    let mut lacks = None;
    for (asset, _) in required() {
        match stands(shared, link, whose, asset).await {
            Ok(standing) => lacks = lacks.or_else(|| doubtful(&standing, agent)),
            Err(Undrawn::Lack(lack)) => lacks = lacks.or(Some(lack)),
            Err(Undrawn::Error(error)) => return Err(error),
        }
    }
    for (asset, _) in required() {
        let lack = lacks.as_ref().map(ToString::to_string);
        shared.floats.covers((agent, policy), asset, lack);
    }
    shared.floats.heard.note(agent, policy, lacks.is_none());
    Ok(lacks.map_or(Covered::Stands, Covered::Lacks))
}

/// Why a demand is not met where what is delegated may be over: what one endpoint calls alive is refilled
/// from, as the chain itself judges that, and covers nothing.
fn doubtful(standing: &Standing, agent: &str) -> Option<Lack> {
    let (why, mend) = match standing.silent.first() {
        Some(host) => (
            format!("{host} does not say whether what was delegated stands"),
            "wait for it, or name another endpoint in the policy".to_owned(),
        ),
        None if standing.disputed => (
            "the endpoints differ in whether what was delegated stands".to_owned(),
            format!("marque account status {agent}"),
        ),
        None => return None,
    };
    Some(Lack { why, mend })
}

/// The way of a refill, for who looks things up.
pub(crate) async fn way(
    shared: &Shared,
    link: &Link,
    whose: Whose<'_>,
    asset: AssetId,
) -> Result<Way, StewardError> {
    let delegated = delegated(shared, link, whose).await?;
    let manager = delegated.framework.manager;
    let unusable = |error: &dyn std::fmt::Display| fault("float", error.to_string());
    let all = delegated.permissions().map_err(|error| unusable(&error))?;
    let found = all.into_iter().find(|(of, _)| *of == asset);
    let (_, permission) = found.ok_or_else(|| unusable(&"nothing of it is delegated"))?;
    Ok(Way { manager, permission })
}

/// How what is delegated stands, where the chain holds it and it has not ended.
pub(super) async fn stands(
    shared: &Shared,
    link: &Link,
    whose: Whose<'_>,
    asset: AssetId,
) -> Result<Standing, Undrawn> {
    let agent = whose.agent;
    let delegated = delegated(shared, link, whose).await?;
    let standing = delegated.standing(&link.rpc).await.map_err(chain_error)?;
    let found = standing.assets.iter().find(|it| it.asset == asset);
    let wrong = match found {
        None => "nothing of it is delegated",
        Some(_) if standing.paused => {
            let mend = format!("nobody can draw until it is not; marque account status {agent}");
            return Err(lack("the DelegationManager is paused by its makers", mend));
        }
        Some(_) if standing.ended => "all delegations of the account were ended",
        Some(_) if standing.expired => "what was delegated has expired",
        Some(it) if it.revoked => "what was delegated was revoked",
        Some(_) => return Ok(standing),
    };
    Err(lack(wrong, delegate(agent)))
}

/// The command that delegates anew.
fn delegate(agent: &str) -> String {
    format!("marque account delegate {agent}")
}

/// What the owner delegated to an agent, where it is to be believed.
async fn delegated(
    shared: &Shared,
    link: &Link,
    Whose { agent, key, policy }: Whose<'_>,
) -> Result<Permissions, Undrawn> {
    let no = |why: String| lack(why, delegate(agent));
    let path = shared.home.agent(agent).join("delegation.json");
    let read = Permissions::read(&path).map_err(|error| match error {
        PermissionsError::Broken { path, why } => no(format!("{}: {why}", path.display())),
        error => lack(error.to_string(), format!("marque account status {agent}")),
    });
    let delegated = read?.ok_or_else(|| no("nothing is delegated".to_owned()))?;
    let owner = shared.desk.look(|state, _| state.owner()).await?;
    if owner != Some(delegated.owner) {
        return Err(no("it was delegated by another owner than the one in force: name that one in the policy, adopt it, then delegate".to_owned()));
    }
    let drift = account::drift(policy, key, &delegated).map_err(|error| no(error.to_string()))?;
    if let Some(first) = drift.first() {
        let version = policy.version;
        return Err(no(format!(
            "what is delegated is not what version {version} of the policy says: {}",
            first.rule
        )));
    }
    let framework = delegated.framework;
    let chain = shared.home.chain();
    let public = Framework::public(chain);
    if framework.chain != chain || public.is_some_and(|public| public != framework) {
        return Err(no("it names other contracts than those of this chain".to_owned()));
    }
    let made_of = OwnerAccount::of(delegated.owner, B256::ZERO);
    let made_of = made_of.map_err(|error| no(error.to_string()))?;
    if made_of.address(&framework) != delegated.account {
        return Err(no("its account is not the owner's".to_owned()));
    }
    let known = || shared.floats.heard.contracts.lock().unwrap_or_else(PoisonError::into_inner);
    if !known().contains(&framework) {
        let lacking = account::lacking(&link.rpc, &framework).await.map_err(chain_error)?;
        if let Some((_, error)) = lacking.first() {
            return Err(lack(error.to_string(), format!("marque account deploy {agent}")));
        }
        known().push(framework);
    }
    match account::is_deployed(&link.rpc, &framework, &made_of).await {
        Ok(true) => Ok(delegated),
        Ok(false) => Err(lack(
            format!("the account {} is not deployed", delegated.account),
            format!("marque account deploy {agent}"),
        )),
        Err(error) => Err(chain_error(error).into()),
    }
}
