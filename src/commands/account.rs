//! `marque account`: the owner's account on chain, and what agents may draw on it whoever has the host.
//! The owner's key signs, on the owner's machine.

mod delegate;
mod deploy;
mod explain;
mod keeper;
mod messages;
mod revoke;
mod status;
mod steps;
mod switch;
mod waits;

pub(super) use steps::steps;

use super::{
    Shared,
    funds::{Held, MostFee, Wanted, gas, held, wanted},
    policy::{Companions, Named, chain_of},
    trust::{agent_address, begins, ending_policy, in_force, keys, own_policy},
};
use crate::{
    failure::{Done, Failure},
    story::{note, say},
};
use alloy_primitives::{Address, B256};
use clap::Subcommand;
use futures::future::join_all;
use marque::{
    home::Home,
    owner::{Notes, Owner, OwnerError, account_of},
};
use marque_contracts::delegation::{DelegationError, Execution, Framework, OwnerAccount};
use marque_identity::{
    Rpc,
    account::{self, Drift, Grant, Permissions, Standing},
};
use marque_policies::{AssetId, Money, Policy};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Put the owner's account on the chain of an agent's policy; its address is said first.
    ///
    /// There is one account for an owner on a chain, for all agents. It may be funded before it is
    /// there. On a development chain the Delegation Framework is put there as well, from the npm package
    /// @metamask/delegation-abis 2.0.0 that make setup installs, or else in the folder that
    /// MARQUE_DELEGATION_ABIS names; on a public one its code is compared with what Marque knows.
    Deploy(deploy::Args),
    /// Sign what an agent may draw on the account: its adopted policy, as far as a chain can hold it.
    ///
    /// What is signed is shown first; it costs nothing. What was delegated to the agent before is
    /// revoked, by a transaction, since each one alive is a budget of its own.
    Delegate(delegate::Args),
    /// What is left of each limit on chain, beside the policy's, and where the two differ.
    ///
    /// Exit codes: 0 the chain says what the policy says; 1 it does not, or nothing is delegated, or
    /// what was has ended.
    Status {
        /// The agent.
        agent: String,
    },
    /// Which rules of a policy the chain would carry, which not and why, and what a thief could take.
    Explain(explain::Args),
    /// End what was delegated: to one agent, to all, or by a message that is prepared now.
    ///
    /// marque account revoke scout; marque account revoke --all; through another endpoint than your
    /// policies name, marque account revoke --all --rpc URL; by a message that you prepared, marque account
    /// revoke --send FILE
    ///
    /// Prepared, it needs no key of yours later: marque account revoke scout --prepare FILE writes a
    /// message that ends everything and can do nothing else. Anybody may send it, from a phone as well:
    /// its `data` goes to its `to` on its `chain`. With --fee it also holds a whole transaction,
    /// `raw`, which only has to be broadcast.
    ///
    /// marque account revoke --send FILE [--rpc URL]
    ///
    /// Where an end is not certain, as where no endpoint answers or your key has no coins, such a message is
    /// put into your own folder and named. It ends everything on the account; marque account status NAME
    /// says whether one would still end something.
    Revoke(revoke::Args),
    /// Take money out of the account, back to the owner's own address.
    Withdraw {
        /// An agent whose policy names the asset.
        agent: String,
        /// How much, as in "5 USDC", or "all USDC".
        #[arg(allow_hyphen_values = true)]
        amount: String,
        #[command(flatten)]
        most: MostFee,
    },
}

pub(crate) async fn run(shared: &Shared, args: Args) -> Done<ExitCode> {
    match args.act {
        Act::Deploy(args) => deploy::run(shared, &args).await,
        Act::Delegate(args) => delegate::run(shared, &args).await,
        Act::Status { agent } => status::run(shared, &agent).await,
        Act::Explain(args) => explain::run(shared, &args),
        Act::Revoke(args) => revoke::run(shared, &args).await,
        Act::Withdraw { agent, amount, most } => withdraw(shared, &agent, (&amount, &most)).await,
    }
}

/// Where an account is looked for: a policy's chain and owner.
struct Site {
    home: Home,
    agent: String,
    policy: Policy,
    rpc: Rpc,
    framework: Framework,
    /// Whose account is meant,
    keeper: Address,
    /// and what it was made of.
    made_of: OwnerAccount,
    /// Whether this goes by the owner's folder alone, for want of a home that can be read.
    homeless: bool,
}

impl Site {
    /// By the newest policy that the key here signed for an agent.
    fn own(shared: &Shared, agent: &str) -> Done<Self> {
        Self::of(shared.home()?, agent, own_policy(shared, agent)?)
    }

    /// By the newest policy that the key here signed for an agent, whatever its home says by now: for
    /// ending what was delegated. Where the home is not believed, that is told.
    fn ending(shared: &Shared, agent: &str) -> Done<Self> {
        let (policy, doubt) = ending_policy(shared, agent)?;
        if let Some(doubt) = doubt {
            note(&format!("{}; this goes by your own folder", doubt.message));
        }
        Self::of(shared.home()?, agent, policy)
    }

    /// The same where there is no home, or none that can be read: nothing of it is asked.
    fn by_folder(shared: &Shared, agent: &str) -> Done<Self> {
        let (policy, _) = ending_policy(shared, agent).map_err(|failure| {
            Failure::new(&failure.message).help(
                "is it the right home (--home DIR)? What was delegated to all agents needs none: marque \
                 account revoke --all",
            )
        })?;
        Ok(Self { homeless: true, ..Self::of(shared.home()?, agent, policy)? })
    }

    /// As [`Self::own`], and by the draft of an agent for which nothing was adopted yet; whether
    /// something was.
    fn own_or_draft(shared: &Shared, agent: &str) -> Done<(Self, bool)> {
        let home = shared.home()?;
        match own_policy(shared, agent) {
            Err(_) if begins(shared, agent)? => {
                let draft = Named::draft(&home, agent)?;
                Ok((Self::of(home, agent, draft.policy)?, false))
            }
            own => Ok((Self::of(home, agent, own?)?, true)),
        }
    }

    /// The same where that is in force.
    fn in_force(shared: &Shared, agent: &str) -> Done<Self> {
        Self::of(shared.home()?, agent, in_force(shared, agent)?)
    }

    /// By the policy in force, whoever signed it: for whoever looks and has no key.
    fn stated(shared: &Shared, agent: &str) -> Done<Self> {
        let home = shared.home()?;
        let named = Named::find(&home, &format!("{agent}@adopted"), &Companions::default())?;
        Self::of(home, agent, named.policy)
    }

    fn of(home: Home, agent: &str, policy: Policy) -> Done<Self> {
        let (chain, rpc) = chain_of(&policy)?;
        let framework = framework_on(chain)?;
        let keeper = policy.owner;
        let made_of = account_of(keeper)?;
        let agent = agent.to_owned();
        Ok(Self { home, agent, policy, rpc, framework, keeper, made_of, homeless: false })
    }

    fn account(&self) -> Address {
        self.made_of.address(&self.framework)
    }

    /// Where what was delegated and the policy differ.
    fn drift(&self, shared: &Shared, delegated: &Permissions) -> Done<Vec<Drift>> {
        let key = match agent_address(shared, &self.agent) {
            // The owner's folder knows whom it was delegated to.
            Err(_) if self.homeless => delegated.agent,
            key => key?,
        };
        Ok(account::drift(&self.policy, key, delegated)?)
    }

    /// What was delegated to the agent, if anything was, as its home says.
    fn delegated(&self) -> Done<Option<Permissions>> {
        let path = self.home.delegation(&self.agent);
        let read = Permissions::read(&path)?;
        match &read {
            Some(read) if read.framework != self.framework => Err(Failure::new(format!(
                "{} names other contracts than those of chain {}: somebody changed it",
                path.display(),
                self.framework.chain
            ))
            .help("end all that was delegated: marque account revoke NAME --all")),
            _ => Ok(read),
        }
    }

    /// What was delegated to the agent, as the owner's folder and the agent's home say.
    fn signed(&self, shared: &Shared) -> Done<Signed> {
        let folder = shared.owner_home()?;
        let me = Owner::address_in(&folder)?;
        let account = account_of(me)?.address(&self.framework);
        let (notes, keys) = (Notes::readable(&folder)?, keys(shared, &self.agent)?);
        let chain = self.framework.chain;
        let known = notes.begins(chain, account);
        let of_it = |it: &&Permissions| keys.contains(&it.agent) && it.framework == self.framework;
        let mut mine: Vec<_> = notes.delegated(chain, account).filter(of_it).cloned().collect();
        let (mut theirs, mut doubt) = (None, None);
        match self.delegated() {
            Ok(Some(stated)) if stated.owner == me => {
                if !mine.contains(&stated) {
                    mine.push(stated);
                }
            }
            Ok(Some(stated))
                if keeper::owners(&self.home).is_ok_and(|all| all.contains(&stated.owner)) =>
            {
                theirs = Some(stated);
            }
            Ok(Some(stranger)) => {
                doubt = Some(Failure::new(format!(
                    "{} was signed by {}, who never was the owner here: somebody put it there",
                    self.home.delegation(&self.agent).display(),
                    stranger.owner
                )));
            }
            Ok(None) => {}
            Err(error) => doubt = Some(error),
        }
        let elsewhere = |it: &&Permissions| {
            it.owner == me && it.framework.chain != chain && keys.contains(&it.agent)
        };
        let mut elsewhere: Vec<_> = notes.all_delegated().filter(elsewhere).cloned().collect();
        let stated = Permissions::read(&self.home.delegation(&self.agent)).ok().flatten();
        elsewhere.extend(
            stated.filter(|it| {
                it.owner == me && it.framework.chain != chain && !elsewhere.contains(it)
            }),
        );
        Ok(Signed { mine, elsewhere, theirs, doubt, known, broken: notes.broken() })
    }

    /// What is alive of other agents' on the account under other limits for all agents together than
    /// `grants` have, of the same asset, with the agents' names. Such limits count apart: together they
    /// let out their sum.
    async fn beside(
        &self,
        shared: &Shared,
        agent: Address,
        grants: &[Grant],
    ) -> Done<Vec<(String, Permissions)>> {
        let notes = Notes::readable(&shared.owner_home()?)?;
        let links = |grant: &Grant| grant.link.as_ref().map(|link| (grant.asset, link.hash()));
        let wanted: Vec<_> = grants.iter().filter_map(links).collect();
        let differs = |(asset, link): (AssetId, B256)| {
            wanted.iter().any(|(of, wanted)| *of == asset && *wanted != link)
        };
        let chain = self.framework.chain;
        let others = notes.delegated(chain, self.account()).filter(|other| {
            other.agent != agent && other.unsigned().iter().filter_map(links).any(differs)
        });
        let name = |other: &Permissions| {
            let named = notes.adoptions().rfind(|adopted| adopted.key == other.agent);
            named.map_or_else(|| other.agent.to_string(), |adopted| adopted.agent.clone())
        };
        let alive = Signed::alive(&self.rpc, others.cloned()).await?;
        Ok(alive.into_iter().map(|other| (name(&other), other)).collect())
    }

    /// Whoever's account is meant, with an unlocked key and something for fees.
    async fn unlock(&self, shared: &Shared) -> Done<Owner> {
        self.unlock_as(shared, self.keeper).await
    }

    /// The same for another one, such as who was the owner before.
    async fn unlock_as(&self, shared: &Shared, owner: Address) -> Done<Owner> {
        let folder = shared.owner_home()?;
        self.mine(&folder, owner)?;
        gas(&self.rpc, owner, &self.agent).await?;
        shared.sender(&folder)
    }
}

/// What was delegated to an agent.
struct Signed {
    /// From the account of the key here, the newest last.
    mine: Vec<Permissions>,
    /// The same on other chains than its policy's.
    elsewhere: Vec<Permissions>,
    /// From that of an owner before, as the agent's home says.
    theirs: Option<Permissions>,
    /// Why what the agent's home says is not believed.
    doubt: Option<Failure>,
    /// Whether the owner's folder knows the account from its beginning.
    known: bool,
    /// A line of the owner's notes that cannot be read, and may have more.
    broken: Option<OwnerError>,
}

impl Signed {
    /// What of `all` is not over for certain: an endpoint that is silent could say that it lives.
    async fn alive(
        rpc: &Rpc,
        all: impl IntoIterator<Item = Permissions>,
    ) -> Done<Vec<Permissions>> {
        let looked = Self::looked_at(rpc, all).await?;
        Ok(looked.into_iter().map(|(delegated, _)| delegated).collect())
    }

    /// The same with how each stands.
    async fn looked_at(
        rpc: &Rpc,
        all: impl IntoIterator<Item = Permissions>,
    ) -> Done<Vec<(Permissions, Standing)>> {
        let looks = all.into_iter().map(|delegated| async move {
            let standing = delegated.standing(rpc).await?;
            Ok((!standing.is_over_for_certain()).then_some((delegated, standing)))
        });
        let looks: Vec<Done<Option<_>>> = join_all(looks).await;
        looks.into_iter().filter_map(Result::transpose).collect()
    }
}

/// Whether a chain is one for development.
const fn is_devnet(chain: u64) -> bool {
    matches!(chain, 31_337 | 1_337)
}

/// Where the framework is on a chain that is known to have one.
fn framework_on(chain: u64) -> Done<Framework> {
    if Framework::public(chain).is_none() && !is_devnet(chain) {
        let known: Vec<String> =
            marque_contracts::delegation::PUBLIC_CHAINS.iter().map(u64::to_string).collect();
        return Err(Failure::new(format!("Marque knows no Delegation Framework on chain {chain}"))
            .help(format!("it does on {}, and on a devnet", known.join(", "))));
    }
    account::framework(chain).map_err(|error: DelegationError| Failure::new(error))
}

/// The address of the account of a policy's owner, for whoever wants to fund it: out of the pocket of
/// the key here, that key's own. Money that is sent to the account of an owner before the one in force is
/// out of the new key's reach.
pub(super) fn address(
    shared: &Shared,
    agent: &str,
    policy: &Policy,
    out_of_pocket: bool,
) -> Done<Address> {
    let (chain, _) = chain_of(policy)?;
    let owner = policy.owner;
    let account = account_of(owner)?.address(&framework_on(chain)?);
    match keeper::in_force(&shared.home()?)? {
        Some(now) if now != owner => Err(Failure::new(format!(
            "the policy of {agent} names owner {owner}, whose key alone moves the account {account}, and \
             the owner in force is {now}"
        ))
        .help(format!(
            "write {now} as `owner` into the policy with a higher version, marque policy adopt {agent}, \
             then fund the account anew"
        ))),
        _ if out_of_pocket && owner != Owner::address_in(&shared.owner_home()?)? => {
            Err(Failure::new(format!("the account {account} is that of another owner, {owner}"))
                .help("give that owner's folder: --owner-home DIR"))
        }
        _ => Ok(account),
    }
}

async fn withdraw(shared: &Shared, agent: &str, (text, most): (&str, &MostFee)) -> Done<ExitCode> {
    let mut site = Site::own(shared, agent)?;
    let wanted = wanted(&site.policy, text)?;
    let most = most.most_fee.on(&site.policy)?;
    let to = site.of_the_key(shared)?;
    site.deployed().await?;
    let account = site.account();
    let held = held(&site.rpc, wanted.asset().token, account).await?;
    let has = held.most();
    let money = wanted.of(has);
    if has < money.units || has.is_zero() {
        let most = site.policy.show(Money::new(has, money.asset));
        let failure = Failure::new(format!("the account {account} has {most}"));
        return Err(match (site.left().await?.first(), has.is_zero()) {
            (Some(left), _) => Failure::new(format!("{}; {}", failure.message, site.told_of(left)))
                .help("for that one give its key: --owner-home DIR"),
            (None, true) => failure.help("there is nothing of it to withdraw"),
            (None, false) => failure.help(format!("marque account withdraw {agent} \"{most}\"")),
        });
    }
    if matches!(wanted, Wanted::All(_)) {
        all_agree(&site, account, &held, money)?;
    }
    let mut owner = site.unlock(shared).await?;
    owner.pays_at_most(most);
    let execution = match money.asset.is_native() {
        true => Execution::pay(to, money.units),
        false => Execution::transfer(money.asset.token, to, money.units),
    };
    let receipt = owner.act(&site.rpc, &site.framework, account, &execution).await?;
    if shared.json {
        say!("{}", serde_json::json!({ "transaction": receipt.transaction, "to": to }));
    } else {
        say!("{} returned to {to}, {}", site.policy.show(money), receipt.transaction);
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses to take one endpoint's word for all that there is: what it leaves out stays in the account.
fn all_agree(site: &Site, account: Address, held: &Held, most: Money) -> Done {
    let shown = |units| site.policy.show(Money::new(units, most.asset));
    if let Some((host, units)) = held.said.iter().find(|(_, units)| *units != most.units) {
        return Err(Failure::new(format!(
            "{account} has {} by the word of one endpoint, and {} by that of {host}: one of them lags or lies",
            shown(most.units),
            shown(*units)
        ))
        .help(format!(
            "try again, or say how much: marque account withdraw {} \"{}\"; nothing was signed",
            site.agent,
            shown(most.units)
        )));
    }
    for (host, failure) in &held.silent {
        note(&format!(
            "{}; what {host} would say that {account} has is not known",
            failure.message
        ));
    }
    Ok(())
}
