//! A refill: the agent's key draws on the owner's account, under what the owner delegated on chain.
//!
//! It can only credit the agent's own key, and spends fees alone. What is left of the limits is for
//! the chain to say; how much the key may hold, the policy says.
//!
//! INVARIANT: under a policy that requires the chain's cover nothing that pays is allowed unless that
//! was looked up and stands (pinned by `tests/refills.rs`,
//! `where_the_policy_requires_it_nothing_is_paid_unless_the_chain_is_known_to_hold_the_limits`).

use super::{Call, Case, failed};
use crate::{entry::Order, error::fault, state::Record};
use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall as _;
use marque_contracts::delegation::{Execution, Permission, binding::IDelegationManager};
use marque_policies::{AssetId, Intent, Mark, Money, Row};
use marque_steward_client::{Fault, PaymentState};

/// The way from the owner's account to an agent's key. Whoever makes one has compared it with the
/// policy and the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The contract that redeems it.
    pub manager: Address,
    /// What the owner signed.
    pub permission: Permission,
}

impl Way {
    pub(crate) fn call(&self, amount: Money) -> Call {
        let key = self.permission.redeemer();
        let execution = match amount.asset.is_native() {
            true => Execution::pay(key, amount.units),
            false => Execution::transfer(amount.asset.token, key, amount.units),
        };
        let data = self.permission.redeem(&execution);
        Call { to: self.manager, value: U256::ZERO, data }
    }

    /// The way that a refill went: its transaction says it.
    pub(crate) fn of(order: &Order) -> Option<Self> {
        let order = order.transaction()?;
        let call = IDelegationManager::redeemDelegationsCall::abi_decode(&order.data).ok()?;
        let permission = Permission::decode(call.permissionContexts.first()?).ok()?;
        Some(Self { manager: order.to, permission })
    }
}

/// Whether the chain holds the limits of an agent whose policy says `delegation = "required"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Covered {
    /// It was not asked.
    #[default]
    Unknown,
    /// What the owner delegated is what the policy says, and it has not ended.
    Stands,
    /// It does not.
    Lacks(Lack),
}

/// What a float lacks of the owner's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// What is wrong, in a few words.
    pub why: String,
    /// What would mend it.
    pub mend: String,
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.why, self.mend)
    }
}

/// What an intent needs in the key: what it pays, or what Permit2 may move of it. Nothing for what
/// brings money back, takes a payment back or settles somebody else's.
pub(crate) const fn takes(intent: &Intent) -> Option<Money> {
    match intent {
        Intent::Authorise(_) | Intent::Transfer(_) | Intent::PermitTransfer(_) => intent.spends(),
        Intent::ApprovePermit2 { amount } => Some(*amount),
        _ => None,
    }
}

/// Whether a rule is the one of [`Case::delegation_rule`].
pub(crate) fn is_delegation(rule: &str) -> bool {
    rule.starts_with("float.") && rule.ends_with(".delegation")
}

/// Whether a refill of this asset is on its way to the key.
pub(crate) fn refills(record: &Record, agent: &str, asset: AssetId) -> bool {
    let comes =
        matches!(&record.decided.intent, Intent::Refill { amount } if amount.asset == asset);
    let under_way =
        matches!(record.state, PaymentState::Reserved | PaymentState::Signed | PaymentState::Sent);
    comes && under_way && record.agent == agent
}

/// What of an asset an intent takes from the key sooner or later, as far as the block `seen` by who
/// looked at the balance does not have it yet.
pub(crate) fn leaves(record: &Record, asset: AssetId, seen: u64) -> Option<U256> {
    let gone = record.state == PaymentState::Seen && record.seen.is_some_and(|at| at.block <= seen);
    let spends = record.decided.intent.spends();
    spends.filter(|it| record.is_live() && !gone && it.asset == asset).map(|it| it.units)
}

impl Case<'_> {
    /// Whether the key has what this takes once all that is out has left it. Decided here, where one
    /// payment is decided after the other: the key of an agent with a float never holds enough for
    /// many.
    pub(super) fn afforded(&self) -> Result<(), Fault> {
        let (Some(held), Some(amount)) = (self.facts.held, self.proposal.intent.spends()) else {
            return Ok(());
        };
        let seen = self.facts.block.map_or(0, |block| block.number);
        let others = self.state.intents().iter();
        let others = others.filter(|(id, it)| **id != self.id && it.agent == self.agent);
        let out = others.filter_map(|(_, it)| leaves(it, amount.asset, seen));
        let needed = out.fold(amount.units, U256::saturating_add);
        if held >= needed {
            return Ok(());
        }
        let show = |units| self.adopted.policy.show(Money::new(units, amount.asset));
        let (has, takes) = (show(held), show(needed));
        let line = format!("the key holds {has}, and with what is out this takes {takes}");
        Err(fault("float", line))
    }

    /// Where the policy requires it nothing is paid, of any asset, unless the chain holds the limits.
    pub(super) fn delegation_rule(&self, table: &mut Vec<Row>) {
        let policy = &self.adopted.policy;
        let here = |asset: &AssetId| asset.chain == self.begun.chain;
        let mut floats =
            policy.floats.iter().filter(|(asset, float)| float.required && here(asset));
        let Some((asset, _)) = floats.next() else { return };
        if takes(&self.proposal.intent).is_none() {
            return;
        }
        let name = policy.asset(*asset).map_or("?", |(name, _)| name);
        let (measured, mend) = match &self.facts.covered {
            Covered::Stands => ("delegated".to_owned(), None),
            Covered::Lacks(Lack { why, mend }) => (why.clone(), Some(mend.clone())),
            Covered::Unknown => {
                ("unknown".to_owned(), Some("ask again when the chain answers".to_owned()))
            }
        };
        // Whoever shows a row in short leaves its last part out, and this one is of no use without.
        let limit = match &self.facts.covered {
            Covered::Lacks(lack) => {
                format!("one that stands, as its policy requires: {}", lack.mend)
            }
            Covered::Stands | Covered::Unknown => {
                "one that stands, as its policy requires".to_owned()
            }
        };
        table.push(Row {
            rule: format!("float.{name}.delegation"),
            measured,
            limit,
            mark: if mend.is_none() { Mark::Pass } else { Mark::Fail },
            mend,
        });
    }

    /// One at a time, and never above the mark: so the key holds no more than the policy says,
    /// whoever proposes refills.
    pub(super) fn refill_rules(&self, amount: Money, table: &mut Vec<Row>) {
        let policy = &self.adopted.policy;
        let show = |units| policy.show(Money::new(units, amount.asset));
        let mut others = self.state.intents().iter().filter(|(id, _)| **id != self.id);
        if let Some((id, _)) = others.find(|(_, it)| refills(it, self.agent, amount.asset)) {
            let mend = "wait until it is in a block";
            table.push(failed(
                "steward.refill",
                &format!("{id} is under way"),
                "one at a time",
                mend,
            ));
        }
        let Some(float) = policy.floats.get(&amount.asset) else { return };
        let held = self.facts.cover;
        let fits = held.is_some_and(|held| held.saturating_add(amount.units) <= float.high);
        table.push(Row {
            rule: "steward.float".to_owned(),
            measured: match held {
                Some(held) => format!("{} + {}", show(held), show(amount.units)),
                None => format!("unknown + {}", show(amount.units)),
            },
            limit: show(float.high),
            mark: if fits { Mark::Pass } else { Mark::Fail },
            mend: (!fits).then(|| match held {
                Some(held) => {
                    format!("at most {} fits", show(float.high.saturating_sub(held)))
                }
                None => "ask again when the chain answers".to_owned(),
            }),
        });
    }
}
