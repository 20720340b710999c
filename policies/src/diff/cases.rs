//! Cases to try: proposals that at least one of two policies is likely to permit, and changes to
//! them that bring one rule to its edge.

use super::{
    accounts::{Moved, Whose, kinds, limits_in},
    compare::pays,
    past::{FORMER, TASK, by_task, somebody},
    tools::{example, values},
    weeks,
};
use crate::{
    document::{DAY, Given, HOUR, PaidBy, PastPayment, Payee, Policy},
    intent::{
        AcceptWallet, Argument, Authorise, Fetch, Intent, Label, Labels, Settle, Sweep, ToolUse,
        Transfer,
    },
    ledger::Timestamp,
    money::{AssetId, Money},
    times::Times,
};
use alloy_primitives::{B256, U256};
use std::collections::{BTreeMap, BTreeSet};

const MINUTE: u64 = 60_000;
/// Payees, tools and assets that are tried where a change concerns all of them.
const SOME: usize = 4;

/// A proposal, who makes it, what came before, and when.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) intent: Intent,
    pub(super) gas: Option<Money>,
    pub(super) sub_agent: Option<String>,
    pub(super) task: String,
    /// What came before, and how often.
    pub(super) given: Vec<(Given, u64)>,
    /// How long ago the owner approved it.
    pub(super) approved: Option<u64>,
    /// Whether the registry answers what the old policy pins.
    pub(super) as_of_old: bool,
    pub(super) now: Timestamp,
}

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
        let with = |policy: &'a Times, times: &[&'a Times]| -> Vec<&'a Times> {
            times.iter().copied().chain([policy]).collect()
        };
        // The lists are of the policies themselves.
        let _ = with;
        let mut before: Vec<&Times> = old.to_vec();
        before.push(&self.old.times);
        let mut after: Vec<&Times> = new.to_vec();
        after.push(&self.new.times);
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
        let mut cases = self.payments_any();
        cases.extend(uses);
        cases.extend(collects);
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

    fn names(self, who: Who<'a>) -> Vec<String> {
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
    fn stranger(self, number: u64) -> String {
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
                        let peer = Payee { host: Some("peer.example".to_owned()), ..nobody() };
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
        let known = |policy: &Policy| {
            policy.asset(asset).is_some_and(|(_, asset)| asset.domain.is_some())
        };
        let labels = Labels::default();
        let payee_name = name.to_owned();
        let (intent, gas) = if known(self.new) || known(self.old) {
            let host = payee.host.clone().unwrap_or_else(|| "shop.example".to_owned());
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
    fn single(self, asset: AssetId) -> Option<U256> {
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

    /// Settlements of what others pay.
    pub(super) fn collects(self, asset: AssetId) -> Vec<Case> {
        let settle = Settle {
            from: somebody("payer"),
            to: crate::trial::Past::default().agent,
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

    /// Uses that are one too many, or bytes too many, by one of two rates.
    pub(super) fn frequent(
        self,
        name: &str,
        (old, new): (Option<(u64, u64)>, Option<(u64, u64)>),
        sends: bool,
    ) -> Vec<Case> {
        let uses = self.uses(name, None);
        let mut cases = Vec::new();
        for (full, other) in [(old, new), (new, old)] {
            let Some((most, width)) = full else { continue };
            // Within the full window, and outside of a shorter other one where there is one.
            let outside = other.map(|(_, other)| other).filter(|other| *other < width);
            let recent = (width / 2 / 1_000) * 1_000;
            for age in outside.into_iter().chain([recent]) {
                for case in &uses {
                    let past = |bytes| Given::Used { tool: name.to_owned(), age, bytes };
                    if sends {
                        cases.push(case.sending(most.saturating_add(1)));
                        cases.push(case.given(past(most)).sending(1));
                    } else {
                        cases.push(case.often(past(0), most));
                    }
                }
            }
        }
        cases
    }

    /// Payments that one limit permits and the other one does not: of the higher limit, or just
    /// above the lower one; all at once, or as the last part of what was paid before.
    pub(super) fn sums(self, moved: Moved<'a>) -> Vec<Case> {
        let Moved { whose, asset, kind, old, new } = moved;
        let (old, new) = (old.unwrap_or(U256::MAX), new.unwrap_or(U256::MAX));
        let (low, high) = (old.min(new), old.max(new));
        let mut sums: Vec<U256> = low.checked_add(U256::ONE).into_iter().collect();
        if high < U256::MAX {
            sums.push(high);
        }
        let mut cases = Vec::new();
        for sum in sums {
            cases.extend(self.to_the_brim(Who::of(whose), whose, asset, kind, sum));
        }
        cases
    }

    /// Payments that are just too much for a limit.
    pub(super) fn filled(
        self,
        who: Who<'a>,
        whose: Whose<'a>,
        asset: AssetId,
        kind: &'static str,
        limit: U256,
    ) -> Vec<Case> {
        let above = limit.checked_add(U256::ONE);
        above.map_or_else(Vec::new, |sum| self.to_the_brim(who, whose, asset, kind, sum))
    }

    fn to_the_brim(
        self,
        who: Who<'a>,
        whose: Whose<'a>,
        asset: AssetId,
        kind: &'static str,
        sum: U256,
    ) -> Vec<Case> {
        let sub_agent = match whose {
            Whose::SubAgent(name) => Some(name),
            _ => None,
        };
        let mut cases = self.payments(who, Some(asset), sub_agent);
        let fees = matches!(whose, Whose::Owner | Whose::Agent | Whose::SubAgent(_));
        if asset.is_native() && fees {
            cases.extend(self.fees(whose, asset).into_iter().take(1));
        }
        let single = self.single(asset).unwrap_or(sum).min(sum);
        let at_once = ["payment", "ask_above"].contains(&kind);
        let parts = if at_once { vec![sum] } else { vec![single, sum, U256::ONE.min(sum)] };
        let mut brim = Vec::new();
        for case in &cases {
            for part in &parts {
                let last = case.of(Money::new(*part, asset));
                let before = Money::new(sum.saturating_sub(*part), asset);
                if before.units.is_zero() {
                    brim.push(last);
                    continue;
                }
                for (payee, by) in self.takers(whose, kind, case) {
                    brim.push(last.paid(before, &payee, kind, Some(by)));
                }
            }
        }
        brim
    }

    /// To whom, and by whom, money was paid that counts for a limit, and for as few others as
    /// possible.
    fn takers(self, whose: Whose<'a>, kind: &str, case: &Case) -> Vec<(String, PaidBy)> {
        let same = || case.payee().map(str::to_owned);
        let payees = self.old.payees.keys().find(|name| Some(name.as_str()) != case.payee());
        let other = payees.cloned().into_iter().chain([FORMER.to_owned()]);
        let to_others = |by: PaidBy| other.map(|name| (name, by.clone())).collect();
        match whose {
            _ if kind == "ask_above_day" => same().map(|name| (name, PaidBy::Agent)).into_iter().collect(),
            Whose::Owner => vec![(FORMER.to_owned(), PaidBy::AnotherAgent)],
            Whose::Agent => to_others(PaidBy::Agent),
            Whose::SubAgent(name) => to_others(PaidBy::SubAgent(name.to_owned())),
            Whose::Task => to_others(by_task()),
            Whose::Payee(name) => vec![(name.to_owned(), PaidBy::Agent)],
            Whose::Category(category) => {
                let mut members = self.names(Who::Category(category));
                members.retain(|name| Some(name.as_str()) != case.payee());
                members.truncate(1);
                members.into_iter().chain(same()).map(|name| (name, PaidBy::Agent)).collect()
            }
            Whose::Pool => vec![(self.stranger(1), PaidBy::Agent)],
            Whose::Peer => same().map(|name| (name, PaidBy::Agent)).into_iter().collect(),
        }
    }
}

impl Case {
    fn new(intent: Intent, gas: Option<Money>, now: Timestamp) -> Self {
        Self {
            intent,
            gas,
            sub_agent: None,
            task: TASK.to_owned(),
            given: Vec::new(),
            approved: None,
            as_of_old: false,
            now,
        }
    }

    fn but(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut case = self.clone();
        change(&mut case);
        case
    }

    /// Whom it pays.
    pub(super) fn payee(&self) -> Option<&str> {
        match &self.intent {
            Intent::Authorise(pay) => Some(&pay.payee),
            Intent::Transfer(pay) => Some(&pay.payee),
            _ => None,
        }
    }

    pub(super) fn at(&self, now: Timestamp) -> Self {
        self.but(|case| case.now = now)
    }

    pub(super) fn given(&self, event: Given) -> Self {
        self.often(event, 1)
    }

    fn often(&self, event: Given, times: u64) -> Self {
        self.but(|case| case.given.push((event, times)))
    }

    pub(super) fn approved(&self, age: u64) -> Self {
        self.but(|case| case.approved = Some(age))
    }

    pub(super) fn registry_as_of_old(&self) -> Self {
        self.but(|case| case.as_of_old = true)
    }

    pub(super) fn in_task(&self, task: &str) -> Self {
        self.but(|case| task.clone_into(&mut case.task))
    }

    fn with_fees(&self, fees: Money) -> Self {
        self.but(|case| case.gas = Some(fees))
    }

    /// The same with another amount; of a return to the owner, whose amount nobody limits, with
    /// other fees.
    pub(super) fn of(&self, money: Money) -> Self {
        self.but(|case| match &mut case.intent {
            Intent::Authorise(pay) => pay.amount = money,
            Intent::Transfer(pay) => pay.amount = money,
            Intent::Settle(settle) => settle.amount = money,
            Intent::Sweep(_) => case.gas = Some(money),
            Intent::Tool(_) | Intent::AcceptWallet(_) => {}
        })
    }

    /// After a payment that still counts in a window of this name, and in no shorter one.
    pub(super) fn paid(&self, amount: Money, payee: &str, kind: &str, by: Option<PaidBy>) -> Self {
        let age = match kind {
            "hour" => 30 * MINUTE,
            "days30" => 2 * DAY,
            "total" | "peer_total" => 40 * DAY,
            _ => 2 * HOUR,
        };
        let by = by.unwrap_or(PaidBy::Agent);
        self.given(Given::Paid(PastPayment { amount, payee: payee.to_owned(), age, by }))
    }

    pub(super) fn labelled(&self, label: Label) -> Self {
        self.but(|case| match &mut case.intent {
            Intent::Authorise(pay) => pay.labels = pay.labels.clone().with(label),
            Intent::Transfer(pay) => pay.labels = pay.labels.clone().with(label),
            Intent::Tool(used) => used.labels = used.labels.clone().with(label),
            Intent::Settle(_) | Intent::AcceptWallet(_) | Intent::Sweep(_) => {}
        })
    }

    pub(super) fn asked_by(&self, host: &str) -> Self {
        self.but(|case| {
            if let Intent::Authorise(pay) = &mut case.intent {
                host.clone_into(&mut pay.host);
            }
        })
    }

    /// The same payment in a transaction of our own.
    pub(super) fn as_transfer(&self) -> Self {
        self.but(|case| {
            if let Intent::Authorise(pay) = &case.intent {
                let Authorise { payee, to, amount, labels, .. } = pay.clone();
                case.gas = Some(free(amount.asset));
                case.intent = Intent::Transfer(Transfer { payee, to, amount, labels });
            }
        })
    }

    fn fetching(&self, change: impl FnOnce(&mut Fetch)) -> Self {
        self.but(|case| {
            if let Intent::Tool(used) = &mut case.intent {
                let plain = Fetch {
                    method: "GET".to_owned(),
                    host: String::new(),
                    path: "/".to_owned(),
                    bytes_out: 1,
                };
                change(used.fetch.get_or_insert(plain));
            }
        })
    }

    pub(super) fn to_host(&self, host: &str) -> Self {
        self.fetching(|fetch| host.clone_into(&mut fetch.host))
    }

    pub(super) fn by_method(&self, method: &str) -> Self {
        self.fetching(|fetch| method.clone_into(&mut fetch.method))
    }

    pub(super) fn to_path(&self, path: &str) -> Self {
        self.fetching(|fetch| path.clone_into(&mut fetch.path))
    }

    pub(super) fn sending(&self, bytes: u64) -> Self {
        self.fetching(|fetch| fetch.bytes_out = bytes)
    }

    pub(super) fn with_argument(&self, name: &str, value: Option<Argument>) -> Self {
        self.but(|case| {
            if let Intent::Tool(used) = &mut case.intent {
                match value {
                    Some(value) => used.arguments.insert(name.to_owned(), value),
                    None => used.arguments.remove(name),
                };
            }
        })
    }

    pub(super) fn amount(&self) -> Option<Money> {
        match &self.intent {
            Intent::Authorise(pay) => Some(pay.amount),
            Intent::Transfer(pay) => Some(pay.amount),
            Intent::Settle(settle) => Some(settle.amount),
            _ => None,
        }
    }

    pub(super) const fn is_payment(&self) -> bool {
        pays(&self.intent)
    }
}

/// No fees, in the coin of the asset's chain.
fn free(asset: AssetId) -> Money {
    Money::new(U256::ZERO, AssetId::native(asset.chain))
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

#[allow(dead_code)]
type Unused = BTreeMap<(), ()>;
