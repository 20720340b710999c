//! Cases to try: proposals that at least one of two policies is likely to permit, and changes to
//! them that bring one rule to its edge.

use super::{
    accounts::{Whose, kinds, limits_in},
    case::{Case, free},
    past::somebody,
    tools::{example, values},
    weeks,
    words::{PEER, SHOP},
};
use crate::{
    document::{Given, Payee, Policy},
    intent::{
        AcceptWallet, Argument, Authorise, Fetch, Intent, Label, Labels, Settle, Sweep, ToolUse,
        Transfer,
    },
    ledger::Timestamp,
    money::{AssetId, Money},
    times::Times,
};
use alloy_primitives::{Address, B256, U256};
use std::collections::BTreeSet;

/// Payees, tools and assets that are tried where a change concerns all of them.
const SOME: usize = 4;

/// Two policies to make cases of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cases<'a> {
    pub(super) old: &'a Policy,
    pub(super) new: &'a Policy,
}

/// Who is paid.
#[derive(Clone, Copy, Debug)]
pub(super) enum Who<'a> {
    /// Anybody.
    Any,
    /// The payee of this name.
    Payee(&'a str),
    /// The payees of this category.
    Category(&'a str),
    /// A peer that neither policy names.
    Peer,
}

impl<'a> Who<'a> {
    /// Whose money it is that these limits are about.
    pub(super) const fn of(whose: Whose<'a>) -> Self {
        match whose {
            Whose::Owner | Whose::Agent | Whose::SubAgent(_) | Whose::Task => Self::Any,
            Whose::Payee(name) => Self::Payee(name),
            Whose::Category(name) => Self::Category(name),
            Whose::Pool | Whose::Peer => Self::Peer,
        }
    }
}

impl<'a> Cases<'a> {
    /// What an asset is called.
    pub(super) fn asset_name(self, asset: AssetId) -> String {
        let name = self.new.asset(asset).or_else(|| self.old.asset(asset));
        name.map_or_else(|| asset.to_string(), |(name, _)| name.to_owned())
    }

    /// A minute of a week in which neither policy has expired.
    pub(super) fn moment(self, minute: u64) -> Timestamp {
        let ends = [self.old.expires, self.new.expires].into_iter().flatten();
        weeks::moment(weeks::week_before(ends.min()), minute)
    }

    /// When both policies permit something, or at least one.
    fn moments(self, old: &[&Times], new: &[&Times]) -> Vec<Timestamp> {
        let before: Vec<&Times> = old.iter().copied().chain([&self.old.times]).collect();
        let after: Vec<&Times> = new.iter().copied().chain([&self.new.times]).collect();
        let all: Vec<&Times> = before.iter().chain(&after).copied().collect();
        match weeks::common(&all) {
            Some(minute) => vec![self.moment(minute)],
            None => {
                let either = [weeks::common(&after), weeks::common(&before)];
                either.into_iter().flatten().map(|minute| self.moment(minute)).collect()
            }
        }
    }

    /// A little of everything.
    pub(super) fn anything(self) -> Vec<Case> {
        let tools: BTreeSet<&str> =
            self.new.tools.keys().chain(self.old.tools.keys()).map(String::as_str).collect();
        let uses = tools.into_iter().take(SOME).flat_map(|tool| self.uses(tool, None));
        let income: BTreeSet<AssetId> =
            self.new.income.iter().chain(&self.old.income).copied().collect();
        let collects = income.into_iter().take(SOME).flat_map(|asset| self.collects(asset));
        let facilitates: BTreeSet<AssetId> =
            self.new.facilitator.iter().chain(&self.old.facilitator).copied().collect();
        let for_others =
            facilitates.into_iter().take(SOME).flat_map(|asset| self.settles_for(asset));
        let mut cases = self.payments_any();
        cases.extend(uses);
        cases.extend(collects);
        cases.extend(for_others);
        cases.extend(self.accepts());
        cases
    }

    pub(super) fn payments_any(self) -> Vec<Case> {
        self.payments(Who::Any, None, None)
    }

    /// Whatever concerns one asset.
    pub(super) fn any_in(self, asset: AssetId) -> Vec<Case> {
        let mut cases = self.payments(Who::Any, Some(asset), None);
        cases.extend(self.collects(asset));
        cases.extend(self.settles_for(asset));
        cases.push(self.sweep(asset));
        cases
    }

    /// Whatever concerns one chain.
    pub(super) fn on_chain(self, chain: u64) -> Vec<Case> {
        let mut cases = self.accepts_on(chain);
        cases.extend(self.any_in(AssetId::native(chain)));
        cases
    }

    /// What the owner is always asked about.
    pub(super) fn asking(self) -> Vec<Case> {
        let payments = self.payments_any();
        let transfers = payments.iter().map(|case| case.as_transfer().labelled(Label::Model));
        let labelled = payments.iter().map(|case| case.labelled(Label::Model));
        let unknown = payments.iter().map(|case| case.asked_by("elsewhere.example"));
        let unknown = unknown.map(|case| case.labelled(Label::Model));
        self.accepts().into_iter().chain(labelled).chain(unknown).chain(transfers).collect()
    }

    /// A refill of the float, by what either policy lets it hold.
    pub(super) fn refills(self, asset: AssetId) -> Vec<Case> {
        let highs = [self.new, self.old].into_iter().filter_map(|it| it.floats.get(&asset));
        highs.map(|float| self.refill(Money::new(float.high, asset))).collect()
    }

    pub(super) fn names(self, who: Who<'a>) -> Vec<String> {
        let payees = || self.new.payees.iter().chain(&self.old.payees);
        let named = |names: BTreeSet<&String>| -> Vec<String> {
            names.into_iter().take(SOME * 2).cloned().collect()
        };
        match who {
            Who::Payee(name) => vec![name.to_owned()],
            Who::Category(category) => named(
                payees()
                    .filter(|(_, payee)| payee.category.as_deref() == Some(category))
                    .map(|(name, _)| name)
                    .collect(),
            ),
            Who::Peer => vec![self.stranger(0)],
            Who::Any => {
                let mut names = named(payees().map(|(name, _)| name).collect());
                if !(self.new.pools.is_empty() && self.old.pools.is_empty()) {
                    names.push(self.stranger(0));
                }
                names
            }
        }
    }

    /// A name that neither policy knows.
    pub(super) fn stranger(self, number: u64) -> String {
        let known = |name: &str| !self.entries(name).is_empty();
        let names = (number..).map(|number| match number {
            0 => "a-peer".to_owned(),
            number => format!("peer-{number}"),
        });
        names.into_iter().find(|name| !known(name)).unwrap_or_default()
    }

    /// Payments of a little money, each to the right address at the right time.
    pub(super) fn payments(
        self,
        who: Who<'a>,
        asset: Option<AssetId>,
        sub_agent: Option<&str>,
    ) -> Vec<Case> {
        let mut cases = Vec::new();
        for name in self.names(who) {
            let entries = self.entries(&name);
            let times = |policy: &'a Policy| policy.payees.get(&name).map(|payee| &payee.times);
            let (before, after) = (times(self.old), times(self.new));
            let moments = self.moments(before.as_slice(), after.as_slice());
            let assets = asset.map_or_else(|| self.assets_for(&entries), |asset| vec![asset]);
            for asset in assets {
                for now in &moments {
                    if entries.is_empty() {
                        let peer = Payee { host: Some(PEER.to_owned()), ..nobody() };
                        cases.push(self.payment(&name, &peer, asset, *now));
                    }
                    for entry in &entries {
                        let case = self.payment(&name, entry, asset, *now);
                        if entry.address.is_none() {
                            cases.push(case.given(Given::Pinned {
                                payee: name.clone(),
                                address: somebody(&name),
                            }));
                        }
                        cases.push(case);
                    }
                }
            }
        }
        if let Some(name) = sub_agent {
            cases.iter_mut().for_each(|case| case.sub_agent = Some(name.to_owned()));
        }
        cases
    }

    /// Payments of a little money, and of the most that a single payment may come to.
    pub(super) fn small_and_large(self, who: Who<'a>, asset: Option<AssetId>) -> Vec<Case> {
        let mut cases = self.payments(who, asset, None);
        let large = |case: &Case| {
            let amount = case.amount()?;
            let most = [self.old, self.new].map(|policy| policy.limits.get(&amount.asset)?.payment);
            Some(case.of(Money::new(most.into_iter().flatten().min()?, amount.asset)))
        };
        let larger: Vec<Case> = cases.iter().filter_map(large).collect();
        cases.extend(larger);
        cases
    }

    /// In which assets somebody may be paid.
    fn assets_for(self, entries: &[&Payee]) -> Vec<AssetId> {
        let bounds = entries.iter().filter_map(|payee| payee.bound.map(|bound| bound.asset));
        let pools = self.new.pools.keys().chain(self.old.pools.keys());
        let pools = pools.filter(|_| entries.is_empty()).copied();
        let limits = self.new.limits.keys().chain(self.old.limits.keys()).copied();
        let mut assets = Vec::new();
        for asset in bounds.chain(pools).chain(limits) {
            if !assets.contains(&asset) {
                assets.push(asset);
            }
        }
        assets.truncate(SOME);
        assets
    }

    fn payment(self, name: &str, payee: &Payee, asset: AssetId, now: Timestamp) -> Case {
        let to = payee.address.unwrap_or_else(|| somebody(name));
        let amount = Money::new(self.little(asset), asset);
        let known =
            |policy: &Policy| policy.asset(asset).is_some_and(|(_, asset)| asset.domain.is_some());
        let labels = Labels::default();
        let payee_name = name.to_owned();
        let (intent, gas) = if known(self.new) || known(self.old) {
            let host = payee.host.clone().unwrap_or_else(|| SHOP.to_owned());
            let resource = format!("https://{host}/");
            let pay = Authorise { payee: payee_name, to, amount, host, resource, labels };
            (Intent::Authorise(pay), None)
        } else {
            let pay = Transfer { payee: payee_name, to, amount, labels };
            (Intent::Transfer(pay), Some(free(asset)))
        };
        Case::new(intent, gas, now)
    }

    /// An amount that fits into every limit that is not zero, one unit of the asset at most.
    fn little(self, asset: AssetId) -> U256 {
        let decimals = self.new.asset(asset).or_else(|| self.old.asset(asset));
        let decimals = decimals.map_or(0, |(_, asset)| asset.decimals);
        let one = U256::from(10).checked_pow(U256::from(decimals)).unwrap_or(U256::ONE);
        self.numbers(asset).into_iter().fold(one, U256::min)
    }

    /// Every limit on this asset above zero.
    fn numbers(self, asset: AssetId) -> BTreeSet<U256> {
        let sections = [self.old, self.new].into_iter().flat_map(|p| limits_in(p, asset));
        let numbers = sections.flat_map(|limits| kinds(Some(&limits)));
        numbers.filter_map(|(_, limit)| limit).filter(|limit| !limit.is_zero()).collect()
    }

    /// The most that a single payment may come to before it is refused or asked about.
    pub(super) fn single(self, asset: AssetId) -> Option<U256> {
        let sections = [self.old, self.new].into_iter().flat_map(|p| limits_in(p, asset));
        let singles = sections.flat_map(|limits| [limits.payment, limits.ask_above]);
        singles.flatten().filter(|limit| !limit.is_zero()).min()
    }

    /// Money back to the owner: nothing but fees is judged.
    fn sweep(self, asset: AssetId) -> Case {
        let amount = Money::new(self.little(asset), asset);
        let now = self.moment(weeks::NOON);
        Case::new(Intent::Sweep(Sweep { amount }), Some(free(asset)), now)
    }

    fn refill(self, amount: Money) -> Case {
        let now = self.moment(weeks::NOON);
        Case::new(Intent::Refill { amount }, Some(free(amount.asset)), now)
    }

    /// Fees that an account pays.
    pub(super) fn fees(self, whose: Whose<'a>, coin: AssetId) -> Vec<Case> {
        let mut case = self.sweep(coin);
        if let Whose::SubAgent(name) = whose {
            case.sub_agent = Some(name.to_owned());
        }
        vec![case.with_fees(Money::new(self.little(coin), coin)), case]
    }

    /// Payments and fees of an account in one asset.
    pub(super) fn spending(self, whose: Whose<'a>, asset: AssetId) -> Vec<Case> {
        let sub_agent = match whose {
            Whose::SubAgent(name) => Some(name),
            _ => None,
        };
        let mut cases = self.payments(Who::Any, Some(asset), sub_agent);
        if asset.is_native() {
            cases.extend(self.fees(whose, asset));
        }
        cases
    }

    /// What a sub-agent may do.
    pub(super) fn below(self, name: &'a str) -> Vec<Case> {
        let accounts = [self.new, self.old].into_iter().filter_map(|p| p.sub_agents.get(name));
        let tools: BTreeSet<&str> =
            accounts.flat_map(|account| account.tools.iter().map(String::as_str)).collect();
        let uses = tools.into_iter().flat_map(|tool| self.uses(tool, Some(name)));
        self.payments(Who::Any, None, Some(name)).into_iter().chain(uses).collect()
    }

    /// Settlements of what others pay this agent.
    pub(super) fn collects(self, asset: AssetId) -> Vec<Case> {
        self.settles(asset, crate::trial::Past::default().agent)
    }

    /// Settlements of what others pay to others.
    pub(super) fn settles_for(self, asset: AssetId) -> Vec<Case> {
        self.settles(asset, somebody("a seller"))
    }

    fn settles(self, asset: AssetId, to: Address) -> Vec<Case> {
        let settle = Settle {
            from: somebody("payer"),
            to,
            amount: Money::new(self.little(asset), asset),
            valid_after: 0,
            valid_before: u64::MAX,
            nonce: B256::ZERO,
            signature: "0x".to_owned(),
            resource: "https://shop.example/".to_owned(),
        };
        let now = self.moment(weeks::NOON);
        vec![Case::new(Intent::Settle(settle), Some(free(asset)), now)]
    }

    /// Identities that want this agent as their wallet.
    pub(super) fn accepts(self) -> Vec<Case> {
        let chains = self.new.chains.values().chain(self.old.chains.values());
        let chains: BTreeSet<u64> = chains.map(|chain| chain.id).collect();
        chains.into_iter().flat_map(|chain| self.accepts_on(chain)).collect()
    }

    pub(super) fn accepts_on(self, chain: u64) -> Vec<Case> {
        let now = self.moment(weeks::NOON);
        let policies = [self.new, self.old];
        let registries: BTreeSet<_> = policies
            .iter()
            .filter_map(|policy| policy.chain(chain).and_then(|chain| chain.identity_registry))
            .collect();
        let owners = [self.new.owner, self.old.owner];
        let cases = registries.into_iter().flat_map(|registry| {
            owners.map(|owner| {
                let accept = AcceptWallet { chain, registry, agent_id: U256::ONE, owner };
                Case::new(Intent::AcceptWallet(accept), None, now)
            })
        });
        cases.collect()
    }

    /// Uses of a tool as either policy permits it.
    pub(super) fn uses(self, name: &str, sub_agent: Option<&str>) -> Vec<Case> {
        let tool = |policy: &'a Policy| policy.tools.get(name);
        let (old, new) = (tool(self.old), tool(self.new));
        let times = |tool: Option<&'a crate::document::Tool>| tool.map(|tool| &tool.times);
        let moments = self.moments(times(old).as_slice(), times(new).as_slice());
        let mut cases = Vec::new();
        for tool in [new, old].into_iter().flatten() {
            let fetch = tool.hosts.first().map(|host| Fetch {
                method: tool.methods.first().cloned().unwrap_or_else(|| "GET".to_owned()),
                host: example(host),
                path: "/".to_owned(),
                bytes_out: 1,
            });
            // One value for each argument that may be right, tried side by side.
            let wanted: Vec<(&String, Vec<Option<Argument>>)> =
                tool.arguments.iter().map(|(name, like)| (name, values([like]))).collect();
            let most = wanted.iter().map(|(_, values)| values.len()).max().unwrap_or(1);
            for place in 0..most.min(SOME * 2) {
                let fitting = |(name, values): &(&String, Vec<Option<Argument>>)| {
                    let like = tool.arguments.get(*name)?;
                    let fits = |value: &&Argument| crate::decide::holds(like, value);
                    let good: Vec<&Argument> = values.iter().flatten().filter(fits).collect();
                    let value = good.get(place % good.len().max(1))?;
                    Some(((*name).clone(), (*value).clone()))
                };
                let used = ToolUse {
                    tool: name.to_owned(),
                    fetch: fetch.clone(),
                    arguments: wanted.iter().filter_map(fitting).collect(),
                    labels: Labels::default(),
                };
                for now in &moments {
                    let mut case = Case::new(Intent::Tool(used.clone()), None, *now);
                    case.sub_agent = sub_agent.map(str::to_owned);
                    cases.push(case);
                }
            }
        }
        cases
    }
}

/// Nobody in particular.
fn nobody() -> Payee {
    Payee {
        address: None,
        identity: None,
        host: None,
        category: None,
        bound: None,
        times: Times::default(),
    }
}
