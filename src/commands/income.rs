//! `marque income`: what was sold, to whom, for how much, and what of it is not settled yet.
//!
//! All of it follows from the journal; no steward need run.

use super::{Shared, mind::answers, policy::Named};
use crate::{
    failure::{Done, Failure},
    story::{detail, harmless, say},
};
use alloy_primitives::{Address, B256, U256};
use marque::{audit::Known, home::Home};
use marque_payments::signed_payment::SignedPayment;
use marque_policies::{AssetId, IntentId, Money};
use marque_steward::{Body, Entry, audit::each};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::SystemTime,
};

/// Rows of a table for people; the rest is a sum.
const ROWS: usize = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this agent's.
    agent: Option<String>,
}

/// How a sale stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// On its way: delivered perhaps, and not seen on chain.
    Unsettled,
    /// In a block that may still be taken back.
    Seen,
    Final,
    /// It came to nothing.
    Lost,
}

/// A payment that was taken, or was to be.
#[derive(Debug)]
struct Sale {
    agent: String,
    at: u64,
    payer: Address,
    /// Whether it pays this agent; else it was settled for somebody.
    own: bool,
    charge: Money,
    resource: String,
    standing: Standing,
    /// What took the money, once a block carries it.
    transaction: Option<B256>,
}

/// Everything that the journal says of sales.
#[derive(Debug, Default)]
struct Book {
    known: Known,
    keys: BTreeMap<String, Address>,
    sales: BTreeMap<IntentId, Sale>,
    /// Money that came and was no settlement of ours, by agent and token.
    received: BTreeMap<(String, AssetId), U256>,
}

/// Sums of one agent in one asset.
#[derive(Debug, Default)]
struct Sums {
    count: u64,
    total: U256,
    hour: U256,
    day: U256,
    days30: U256,
    unsettled: U256,
    seen: U256,
    lost: U256,
    lost_count: u64,
    /// Paid, and answered with an error, by the shop's own word.
    failed: U256,
    failed_count: u64,
    for_others: u64,
    received: U256,
    resources: BTreeMap<String, (u64, U256)>,
    payers: BTreeMap<String, (u64, U256)>,
}

pub(crate) fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let home = shared.home()?;
    if let Some(agent) = &args.agent
        && !home.has(agent)
    {
        return Err(super::policy::unknown(&home, agent));
    }
    let dir = home.journal();
    if !dir.join("entries").is_dir() {
        return Err(Failure::usage(format!("there is no journal in {}", home.path().display()))
            .help("name the steward's home: --home DIR"));
    }
    let mut book = Book::default();
    each(&dir, 0, |read| -> Done {
        book.learn(&read.entry);
        Ok(())
    })?;
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
    let mut sums = book.sums(&home, args.agent.as_deref(), u64::try_from(now).unwrap_or(u64::MAX));
    // Whoever may be paid has a shop, also before its first sale; whoever only got money has none.
    let shops = shops(&home, args.agent.as_deref());
    sums.retain(|key, sums| {
        sums.sold() || shops.contains(key) || args.agent.as_ref() == Some(&key.0)
    });
    for shop in shops {
        sums.entry(shop).or_default();
    }
    if shared.json {
        for ((agent, asset), sums) in &sums {
            say!("{}", sums.json(agent, *asset, &book.known));
        }
    } else if sums.is_empty() {
        say!("nothing was sold yet; marque sell begins");
    } else {
        for ((agent, asset), sums) in &sums {
            sums.tell(agent, *asset, &book.known);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The agents whose policy in force lets them be paid, and in what.
fn shops(home: &Home, only: Option<&str>) -> BTreeSet<(String, AssetId)> {
    let agents = home.agents().into_iter().filter(|agent| only.is_none_or(|only| only == agent));
    let paid = |agent: String| {
        let policy = Named::adopted(home, &agent).ok().flatten()?.policy;
        let assets = policy.income.into_iter().chain(policy.facilitator);
        Some(assets.map(|asset| (agent.clone(), asset)).collect::<Vec<_>>())
    };
    agents.filter_map(paid).flatten().collect()
}

/// "1 sale", "2 sales".
fn sales(count: u64) -> String {
    format!("{count} {}", if count == 1 { "sale" } else { "sales" })
}

impl Book {
    fn learn(&mut self, entry: &Entry) {
        self.known.learn(entry);
        let agent = entry.agent.clone().unwrap_or_default();
        let standing = match &entry.body {
            Body::Enroll { key, .. } => {
                self.keys.insert(agent, *key);
                return;
            }
            Body::Allowed(allowed) => {
                let decided = &allowed.decided;
                let Some(claim) = SignedPayment::of(&decided.intent) else { return };
                let own = self.keys.get(&agent) == Some(&claim.to());
                let charge = claim.charge();
                // Nothing is sent for nothing.
                let standing =
                    if charge.units.is_zero() { Standing::Final } else { Standing::Unsettled };
                let sale = Sale {
                    at: entry.at,
                    payer: claim.from(),
                    own,
                    charge,
                    resource: claim.resource().to_owned(),
                    standing,
                    transaction: None,
                    agent,
                };
                self.sales.insert(decided.id, sale);
                return;
            }
            Body::Received { transfers, more, .. } => {
                let chain = self.known.chain();
                let came = transfers.iter().map(|it| (it.token, it.value));
                for (token, value) in came.chain(more.iter().map(|it| (it.token, it.value))) {
                    let sum = self.received.entry((agent.clone(), AssetId { chain, token }));
                    let sum = sum.or_default();
                    *sum = sum.saturating_add(value);
                }
                return;
            }
            Body::Seen { id, at } => {
                if let Some(sale) = self.sales.get_mut(id) {
                    sale.transaction = Some(at.transaction);
                }
                Standing::Seen
            }
            Body::Unseen { .. } => Standing::Unsettled,
            Body::Final { .. } => Standing::Final,
            Body::Reverted { .. }
            | Body::Released { .. }
            | Body::Expired { .. }
            | Body::Cancelled { .. } => Standing::Lost,
            _ => return,
        };
        if let Some(sale) = entry.body.intent().and_then(|id| self.sales.get_mut(&id)) {
            sale.standing = standing;
        }
    }

    fn sums(&self, home: &Home, only: Option<&str>, now: u64) -> BTreeMap<(String, AssetId), Sums> {
        let mut notes: BTreeMap<String, BTreeMap<B256, u16>> = BTreeMap::new();
        let wanted = |agent: &str| only.is_none_or(|only| only == agent);
        let mut all: BTreeMap<(String, AssetId), Sums> = BTreeMap::new();
        for sale in self.sales.values().filter(|sale| wanted(&sale.agent)) {
            let sums = all.entry((sale.agent.clone(), sale.charge.asset)).or_default();
            let notes =
                notes.entry(sale.agent.clone()).or_insert_with(|| answers(&home.mind(&sale.agent)));
            let status = sale.transaction.and_then(|hash| notes.get(&hash));
            sums.count(sale, now, status.is_some_and(|status| *status >= 400));
        }
        for ((agent, asset), units) in &self.received {
            if wanted(agent) {
                all.entry((agent.clone(), *asset)).or_default().received = *units;
            }
        }
        all
    }
}

impl Sums {
    /// Whether anything was sold, or was to be.
    const fn sold(&self) -> bool {
        self.count + self.lost_count + self.for_others > 0
    }

    fn count(&mut self, sale: &Sale, now: u64, failed: bool) {
        let units = sale.charge.units;
        let add = |sum: &mut U256| *sum = sum.saturating_add(units);
        if !sale.own {
            self.for_others += 1;
            return;
        }
        match sale.standing {
            Standing::Lost => {
                self.lost_count += 1;
                return add(&mut self.lost);
            }
            Standing::Unsettled => add(&mut self.unsettled),
            Standing::Seen => add(&mut self.seen),
            Standing::Final => {}
        }
        self.count += 1;
        add(&mut self.total);
        if failed {
            self.failed_count += 1;
            add(&mut self.failed);
        }
        let age = now.saturating_sub(sale.at);
        let windows = [
            (marque_policies::document::HOUR, &mut self.hour),
            (marque_policies::document::DAY, &mut self.day),
            (marque_policies::document::DAYS30, &mut self.days30),
        ];
        for (width, sum) in windows {
            if age <= width {
                add(sum);
            }
        }
        // Requests with a body differ by it; what was asked is the same resource.
        let resource = sale.resource.split('#').next().unwrap_or_default().to_owned();
        for (table, name) in
            [(&mut self.resources, resource), (&mut self.payers, sale.payer.to_string())]
        {
            let row = table.entry(name).or_default();
            row.0 += 1;
            add(&mut row.1);
        }
    }

    fn json(&self, agent: &str, asset: AssetId, known: &Known) -> serde_json::Value {
        let rows = |table: &BTreeMap<String, (u64, U256)>| {
            let row = |(name, (count, units)): (&String, &(u64, U256))| serde_json::json!({ "name": name, "sales": count, "units": units.to_string() });
            table.iter().map(row).collect::<Vec<_>>()
        };
        let (name, decimals) = known.asset(agent, asset).unzip();
        serde_json::json!({
            "agent": agent, "asset": name, "decimals": decimals, "token": asset.token,
            "chain": asset.chain, "sales": self.count, "total": self.total.to_string(),
            "hour": self.hour.to_string(), "day": self.day.to_string(),
            "days30": self.days30.to_string(), "unsettled": self.unsettled.to_string(),
            "seen": self.seen.to_string(), "lost": self.lost.to_string(),
            "lost_sales": self.lost_count, "answered_with_error": self.failed_count, "settled_for_others": self.for_others,
            "received_otherwise": self.received.to_string(),
            "resources": rows(&self.resources), "payers": rows(&self.payers),
        })
    }

    fn tell(&self, agent: &str, asset: AssetId, known: &Known) {
        let show = |units: U256| known.show(agent, Money::new(units, asset));
        if !self.sold() {
            say!("{agent}: nothing was sold yet");
            if !self.received.is_zero() {
                detail(&format!("came otherwise: {}", show(self.received)));
            }
            return;
        }
        say!("{agent}: {} in {}", show(self.total), sales(self.count));
        detail(&format!(
            "any hour {}, any day {}, 30 days {}",
            show(self.hour),
            show(self.day),
            show(self.days30)
        ));
        if !self.unsettled.is_zero() {
            say!("  not on chain yet: {}", show(self.unsettled));
        }
        if !self.seen.is_zero() {
            detail(&format!("on chain and not final: {}", show(self.seen)));
        }
        if self.lost_count > 0 {
            say!("  came to nothing: {} in {}", show(self.lost), sales(self.lost_count));
        }
        if self.failed_count > 0 {
            say!(
                "  paid, and answered with an error, as the shop noted: {} in {}",
                show(self.failed),
                sales(self.failed_count)
            );
        }
        for (title, table) in [("by resource", &self.resources), ("by payer", &self.payers)] {
            let mut rows: Vec<_> = table.iter().collect();
            rows.sort_by_key(|(_, (_, units))| std::cmp::Reverse(*units));
            if !rows.is_empty() {
                say!("  {title}");
            }
            for (name, (count, units)) in rows.iter().take(ROWS) {
                say!("    {:>14}  {count:>5} x  {}", show(*units), harmless(name));
            }
            if rows.len() > ROWS {
                detail(&format!("and {} more; --json has them all", rows.len() - ROWS));
            }
        }
        if self.for_others > 0 {
            say!("  settled for others: {}", self.for_others);
        }
        if !self.received.is_zero() {
            detail(&format!("came otherwise, and not as a settlement: {}", show(self.received)));
        }
    }
}
