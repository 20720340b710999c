//! Of every rule of a policy: whether the chain carries it, how, or why it cannot.
//!
//! INVARIANT: each rule is said once, and none is forgotten: what is new in a policy does not compile
//! here until it is said (every part is taken apart by name), and what a ready-made policy writes has
//! its row (pinned by `every_rule_of_the_ready_made_policies_is_in_the_table_once`).

use super::compile::{bounds_anything, drawn, is_paid_in};
use alloy_primitives::U256;
use marque_contracts::delegation::MAX_PAYEES;
use marque_policies::{
    AssetId, Loss, Money, Policy,
    document::{
        Approvals, Asset, Bound as PayeeBound, Chain, DAY, DAYS30, Float, HOUR, LabelRules, Limits,
        Payee, Pool, SubAgent, Tool,
    },
    most_lost,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Who holds a rule once its policy is delegated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Carried {
    /// The chain as well, whoever has the host.
    Chain,
    /// The chain does some of it.
    Partly,
    /// The steward alone.
    Steward,
}

/// One rule of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// As verdicts name it: `limits.USDC.day`, `payee.feed`, `cedar.night`.
    pub name: String,
    /// Who holds it.
    pub carried: Carried,
    /// How, or why not.
    pub how: String,
}

/// What whoever has the agent's key can take of an asset beside what that key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bound {
    /// What the steward keeps that key at, at most, where the policy says.
    pub float: Option<Money>,
    /// In any hour.
    pub hour: Money,
    /// In any 24 hours.
    pub day: Money,
    /// In any 30 days.
    pub days30: Money,
    /// In all, of one delegation; nothing where no total is named.
    pub total: Option<Money>,
}

/// For each asset that is drawn on the account, what its limits let go.
#[must_use]
pub fn bounds(policy: &Policy) -> Vec<Bound> {
    let over = |span| -> BTreeMap<AssetId, Money> {
        let losses = most_lost(policy, span).into_iter();
        let bounded = losses.filter_map(|loss| match loss {
            Loss::AtMost(money) => Some((money.asset, money)),
            Loss::Unbounded(_) => None,
        });
        bounded.collect()
    };
    let (hour, day, days30) = (over(HOUR), over(DAY), over(DAYS30));
    let bound = |(asset, limits): (AssetId, &Limits)| {
        let all = policy.owner_limits.get(&asset).and_then(|all| all.total);
        let money = |units| Money::new(units, asset);
        Some(Bound {
            float: policy.floats.get(&asset).map(|float| money(float.high)),
            hour: *hour.get(&asset)?,
            day: *day.get(&asset)?,
            days30: *days30.get(&asset)?,
            total: limits.total.into_iter().chain(all).min().map(money),
        })
    };
    drawn(policy).filter_map(bound).collect()
}

/// Every rule of the policy, in the order of the language.
#[must_use]
pub fn rules(policy: &Policy) -> Vec<Rule> {
    let mut table = Table { policy, rules: Vec::new() };
    table.policy();
    table.rules
}

const FEES: &str = "fees are paid from the coins of the agent's own key: keep few there";
const ASKS: &str = "a chain cannot ask";
const TASKS: &str = "a chain sees transfers, not what they are for";
const STRANGERS: &str = "strangers are paid from the float, so the agent's own limits bound them";
const WINDOWS: &str =
    "limits on chain count all payees together, and the float can pay any of them";
const PAYMENT: &str = "it is made from the float: see float.high for what is drawn at once";
const CLOCK: &str = "no enforcer knows hours of the week; see expires";

struct Table<'a> {
    policy: &'a Policy,
    rules: Vec<Rule>,
}

impl Table<'_> {
    fn say(&mut self, name: impl Into<String>, carried: Carried, how: impl Into<String>) {
        self.rules.push(Rule { name: name.into(), carried, how: how.into() });
    }

    fn steward(&mut self, name: impl Into<String>, how: &str) {
        self.say(name, Carried::Steward, how);
    }

    fn policy(&mut self) {
        let Policy {
            version: _, // which one it was is noted beside what is delegated
            owner: _,
            expires,
            times,
            labels,
            approvals,
            chains,
            assets,
            limits,
            gas,
            owner_limits,
            owner_gas,
            task_limits,
            pools,
            floats,
            payees,
            categories,
            tools,
            sub_agents,
            income,
            facilitator,
            tests: _, // they permit nothing
            forbids,
            hash: _,
        } = self.policy;
        self.say("owner", Carried::Chain, "its key signs for the account, and alone delegates");
        if expires.is_some() {
            self.say("expires", Carried::Chain, "nothing is drawn from then on");
        }
        if !times.is_always() {
            self.steward("times", CLOCK);
        }
        self.labels("labels", labels);
        self.approvals(approvals);
        for (name, Chain { id: _, rpc: _, finality: _, native: _, identity_registry: _ }) in chains
        {
            let how = "delegations hold on this chain alone; whom to ask about it is the steward's";
            self.say(format!("chain.{name}"), Carried::Partly, how);
        }
        for (name, Asset { id, decimals: _, domain: _ }) in assets {
            // A chain's coin has no section.
            if id.is_native() {
                continue;
            }
            let path = format!("asset.{name}");
            match self.is_drawn(*id) {
                true => self.say(path, Carried::Chain, "the account gives nothing else away"),
                false => self.say(path, Carried::Chain, "nothing of it is delegated"),
            }
        }
        for (asset, limits) in limits {
            self.own(*asset, limits);
        }
        for limits in gas.values() {
            self.kinds("limits.gas", limits, |_| (Carried::Steward, FEES.to_owned()));
        }
        for (asset, limits) in owner_limits {
            self.all(*asset, limits);
        }
        for limits in owner_gas.values() {
            self.kinds("owner.limits.gas", limits, |_| (Carried::Steward, FEES.to_owned()));
        }
        for (asset, limits) in task_limits {
            let path = format!("task.limits.{}", self.name(*asset));
            self.kinds(&path, limits, |_| (Carried::Steward, TASKS.to_owned()));
        }
        for (asset, pool) in pools {
            self.pool(*asset, pool);
        }
        for (asset, float) in floats {
            self.float(*asset, float);
        }
        for (name, payee) in payees {
            self.payee(name, payee);
        }
        for (name, PayeeBound { asset: _, limits }) in categories {
            let path = format!("category.{name}");
            self.kinds(&path, limits, |_| (Carried::Steward, WINDOWS.to_owned()));
        }
        for (name, tool) in tools {
            let Tool { hosts: _, methods: _, rate: _, sends: _, arguments: _, times: _, labels: _ } =
                tool;
            self.steward(format!("tool.{name}"), "the use of tools is no matter of a chain");
        }
        for (name, SubAgent { payees: _, tools: _, limits: _, gas: _ }) in sub_agents {
            let how = "it acts with the agent's key: a chain cannot tell the two apart";
            self.steward(format!("sub_agent.{name}"), how);
        }
        if !income.is_empty() {
            self.steward("income", "being paid needs nobody's leave");
        }
        if !facilitator.is_empty() {
            self.steward("facilitator", "what it settles is the money of others");
        }
        for forbid in forbids.iter() {
            let how = "a chain does not read Cedar; the limits bound what would pass without it";
            self.steward(format!("cedar.{}", forbid.name), how);
        }
    }

    fn labels(&mut self, path: &str, labels: &LabelRules) {
        let LabelRules { web, peer, memory, model } = labels;
        let kinds = [("web", web), ("peer", peer), ("memory", memory), ("model", model)];
        for (kind, attitude) in kinds {
            if attitude.is_some() {
                self.steward(format!("{path}.{kind}"), "a transfer does not say why it is made");
            }
        }
    }

    fn approvals(&mut self, approvals: &Approvals) {
        let Approvals { valid, held } = approvals;
        for (name, there) in [("valid", valid), ("held", held)] {
            if there.is_some() {
                self.steward(format!("approvals.{name}"), ASKS);
            }
        }
    }

    /// The agent's own limits.
    fn own(&mut self, asset: AssetId, limits: &Limits) {
        let drawn = self.is_drawn(asset);
        let floats = self.policy.floats.contains_key(&asset);
        self.kinds(&format!("limits.{}", self.name(asset)), limits, |kind| {
            let how = match kind {
                "payment" if drawn && floats => return (Carried::Steward, PAYMENT.to_owned()),
                "payment" => "any single transfer out of the account, a refill of the float too",
                "total" => "of this delegation; one that is signed anew begins at nothing",
                _ => "a rolling window, to the second, of all that leaves the account",
            };
            match drawn {
                true => (Carried::Chain, how.to_owned()),
                false => (Carried::Chain, "nothing is delegated, so nothing leaves".to_owned()),
            }
        });
        // Said instead of the above where nothing bounds a sum.
        if !drawn && limits.windows().next().is_none() {
            let path = format!("limits.{}.", self.name(asset));
            for rule in self.rules.iter_mut().filter(|rule| rule.name.starts_with(&path)) {
                rule.carried = Carried::Steward;
                "no window limits a sum, so nothing is delegated: give it a day's limit"
                    .clone_into(&mut rule.how);
            }
        }
    }

    /// The limits of all agents together.
    fn all(&mut self, asset: AssetId, limits: &Limits) {
        let drawn = self.is_drawn(asset) && bounds_anything(limits);
        let path = format!("owner.limits.{}", self.name(asset));
        self.kinds(&path, limits, |kind| {
            let how = match kind {
                _ if !drawn => "nothing is delegated, so nothing leaves",
                "payment" => "any single transfer of any agent out of the account",
                _ => {
                    "in a link between the account and all agents: it also outlives what one of \
                      them is given anew"
                }
            };
            (Carried::Chain, how.to_owned())
        });
    }

    fn pool(&mut self, asset: AssetId, pool: &Pool) {
        let Pool { limits, peer_day, peer_total } = pool;
        let path = format!("pool.{}", self.name(asset));
        self.kinds(&path, limits, |_| (Carried::Steward, STRANGERS.to_owned()));
        for (kind, limit) in [("peer_day", peer_day), ("peer_total", peer_total)] {
            if limit.is_some() {
                self.steward(format!("{path}.{kind}"), STRANGERS);
            }
        }
    }

    fn float(&mut self, asset: AssetId, float: &Float) {
        let Float { low: _, high: _, required } = float;
        let path = format!("float.{}", self.name(asset));
        self.steward(format!("{path}.low"), "the steward draws on the account below it");
        match self.is_drawn(asset) {
            true => self.say(
                format!("{path}.high"),
                Carried::Partly,
                "any single refill; that the key holds no more is the steward's to see to",
            ),
            false => self.say(
                format!("{path}.high"),
                Carried::Chain,
                "nothing is delegated, so nothing is drawn",
            ),
        }
        if *required {
            self.steward(format!("{path}.delegation"), "it lets nothing be paid without");
        }
    }

    fn payee(&mut self, name: &str, payee: &Payee) {
        let Payee { address, identity, host: _, category, bound, times } = payee;
        let path = format!("payee.{name}");
        let mut paid = drawn(self.policy).filter(|(asset, _)| is_paid_in(payee, *asset)).peekable();
        let drawn = paid.peek().is_some();
        let floats = drawn && paid.all(|(asset, _)| self.policy.floats.contains_key(&asset));
        let known = self.policy.payees.values().filter(|payee| payee.address.is_some()).count();
        let (carried, how) = match (address, identity) {
            (None, _) => (
                Carried::Steward,
                "its address is not known before the owner approves one: paid from the float",
            ),
            _ if !drawn => (Carried::Steward, "nothing is delegated that it is paid in"),
            _ if floats => (Carried::Steward, "it is paid from the float"),
            _ if known >= MAX_PAYEES => {
                (Carried::Steward, "there are more payees than a caveat holds: paid from the float")
            }
            (Some(_), None) => (
                Carried::Partly,
                "the account pays named payees and the agent's float; the float pays whom the key \
                 signs for",
            ),
            (Some(_), Some(_)) => (
                Carried::Partly,
                "the account pays the pinned wallet; that the identity still has it, the steward \
                 looks up",
            ),
        };
        self.say(path.clone(), carried, how);
        if category.is_some() {
            self.steward(format!("{path}.category"), WINDOWS);
        }
        if !times.is_always() {
            self.steward(format!("{path}.times"), CLOCK);
        }
        if let Some(PayeeBound { asset: _, limits }) = bound {
            self.kinds(&path, limits, |_| (Carried::Steward, WINDOWS.to_owned()));
        }
    }

    /// A section of limits; what asks is the steward's wherever it stands.
    fn kinds(&mut self, path: &str, limits: &Limits, say: impl Fn(&str) -> (Carried, String)) {
        let Limits { payment, hour, day, days30, total, ask_above, ask_above_day } = limits;
        let judged: [(&str, &Option<U256>); 5] = [
            ("payment", payment),
            ("hour", hour),
            ("day", day),
            ("days30", days30),
            ("total", total),
        ];
        for (kind, limit) in judged {
            if limit.is_some() {
                let (carried, how) = say(kind);
                self.say(format!("{path}.{kind}"), carried, how);
            }
        }
        for (kind, limit) in [("ask_above", ask_above), ("ask_above_day", ask_above_day)] {
            if limit.is_some() {
                self.steward(format!("{path}.{kind}"), ASKS);
            }
        }
    }

    fn is_drawn(&self, asset: AssetId) -> bool {
        drawn(self.policy).any(|(drawn, _)| drawn == asset)
    }

    fn name(&self, asset: AssetId) -> String {
        self.policy.asset(asset).map_or_else(|| asset.to_string(), |(name, _)| name.to_owned())
    }
}
