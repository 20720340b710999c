//! The floats of an agent, as the chain has them now: what its key holds, and what the account may still
//! give.

use super::bars::{NAME, glance, narrow};
use crate::{
    commands::{
        Shared,
        funds::holding,
        policy::{Named, chain_of},
        trust::agent_address,
    },
    failure::Done,
};
use alloy_primitives::{Address, U256};
use marque::home::Home;
use marque_identity::account::{AssetStanding, Permissions, Standing, drift};
use marque_policies::{AssetId, Money, Policy, document::Float, money::format_units};
use owo_colors::OwoColorize as _;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The chain is asked so long,
const PATIENCE: Duration = Duration::from_secs(3);

/// and by a watch so often.
const PAUSE: Duration = Duration::from_secs(10);

/// A float.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Kept {
    asset: String,
    #[serde(skip)]
    decimals: u8,
    /// What the key holds; unknown where the chain does not answer.
    held: Option<Money>,
    low: Money,
    high: Money,
    /// What the account may still give, by the limits on chain and by what it holds.
    left: Option<Money>,
    /// The limit that comes first.
    window: Option<Window>,
    /// What the account holds.
    account: Option<Money>,
    /// Why it gives nothing.
    trouble: Option<String>,
}

/// A limit on chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Window {
    rule: String,
    drawn: Money,
    limit: Money,
}

/// What was found out lately, by agent.
#[derive(Debug, Default)]
pub(super) struct Floats(BTreeMap<String, (Instant, Vec<Kept>)>);

impl Floats {
    /// The floats of the policy in force. Where nobody may read which that is, none are known.
    pub(super) async fn of(&mut self, shared: &Shared, home: &Home, agent: &str) -> Vec<Kept> {
        if let Some((at, known)) = self.0.get(agent)
            && at.elapsed() < PAUSE
        {
            return known.clone();
        }
        let policy = Named::adopted(home, agent).ok().flatten().map(|named| named.policy);
        let policy = policy.filter(|policy| !policy.floats.is_empty());
        let floats = match policy.map(|policy| (policy, agent_address(shared, agent))) {
            Some((policy, Ok(key))) => {
                let asked = tokio::time::timeout(PATIENCE, look(home, agent, key, &policy)).await;
                let silent = |why: String| {
                    let floats = policy.floats.iter();
                    let kept = |(asset, float): (&AssetId, &Float)| Kept {
                        trouble: Some(why.clone()),
                        ..Kept::bare(&policy, *asset, float)
                    };
                    floats.map(kept).collect()
                };
                match asked {
                    Ok(Ok(kept)) => kept,
                    Ok(Err(failure)) => silent(failure.message),
                    Err(_) => silent("the chain does not answer".to_owned()),
                }
            }
            _ => Vec::new(),
        };
        self.0.insert(agent.to_owned(), (Instant::now(), floats.clone()));
        floats
    }
}

async fn look(home: &Home, agent: &str, key: Address, policy: &Policy) -> Done<Vec<Kept>> {
    let (_, rpc) = chain_of(policy)?;
    let delegated = Permissions::read(&home.delegation(agent))?;
    let (standing, over) = match &delegated {
        None => (None, Some("nothing is delegated".to_owned())),
        Some(delegated) => {
            let standing = delegated.standing(&rpc).await?;
            let over = over(policy, key, delegated, &standing)?;
            (Some(standing), over)
        }
    };
    let mut floats = Vec::new();
    for (asset, float) in &policy.floats {
        let held = holding(&rpc, asset.token, key).await?;
        let held = Some(Money::new(held, *asset));
        let assets = standing.iter().flat_map(|standing| &standing.assets);
        let found = assets.into_iter().find(|it| it.asset == *asset);
        let trouble = match (&over, found) {
            (Some(why), _) => Some(why.clone()),
            (None, Some(it)) if it.revoked => Some("what was delegated was revoked".to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("nothing of it is delegated".to_owned()),
        };
        let mend = |why| format!("{why}; marque account delegate {agent}");
        let kept = Kept { held, trouble: trouble.map(mend), ..Kept::bare(policy, *asset, float) };
        floats.push(match found {
            Some(found) => kept.drawn(found),
            None => Kept { left: Some(Money::new(U256::ZERO, *asset)), ..kept },
        });
    }
    Ok(floats)
}

/// Why nothing of what was delegated can be drawn.
fn over(
    policy: &Policy,
    key: Address,
    delegated: &Permissions,
    standing: &Standing,
) -> Done<Option<String>> {
    let differs = drift(policy, key, delegated)?.into_iter().next();
    Ok(match standing {
        Standing { ended: true, .. } => {
            Some("all delegations of the account were ended".to_owned())
        }
        Standing { expired: true, .. } => Some("what was delegated has expired".to_owned()),
        Standing { paused: true, .. } => Some("the DelegationManager is paused".to_owned()),
        _ => differs.map(|it| format!("the policy says otherwise: {}", it.rule)),
    })
}

impl Kept {
    fn bare(policy: &Policy, asset: AssetId, float: &Float) -> Self {
        let (name, decimals) =
            policy.asset(asset).map_or(("units", 0), |(name, asset)| (name, asset.decimals));
        Self {
            asset: name.to_owned(),
            decimals,
            held: None,
            low: Money::new(float.low, asset),
            high: Money::new(float.high, asset),
            left: None,
            window: None,
            account: None,
            trouble: None,
        }
    }

    /// With what the chain counts. Nothing counts in the window of a single transfer.
    fn drawn(self, found: &AssetStanding) -> Self {
        let room = |used: U256, limit: U256| limit.saturating_sub(used);
        let windows = found.windows.iter().filter(|it| !it.rule.ends_with(".payment"));
        let tightest = windows.min_by_key(|it| room(it.used.units, it.limit.units));
        let within = tightest.map(|it| room(it.used.units, it.limit.units));
        let left = within.map_or(found.account.units, |within| within.min(found.account.units));
        let left = if self.trouble.is_some() { U256::ZERO } else { left };
        let window =
            tightest.map(|it| Window { rule: it.rule.clone(), drawn: it.used, limit: it.limit });
        let left = Some(Money::new(left, found.asset));
        Self { left, window, account: Some(found.account), ..self }
    }

    /// In a line or two.
    pub(super) fn lines(&self) -> Vec<String> {
        let show = |money: Money| glance(&format_units(money.units, self.decimals));
        let held = self.held.map_or_else(|| "?".to_owned(), show);
        let rule = narrow(&format!("float.{}", self.asset));
        let marks = format!("kept between {} and {}", show(self.low), show(self.high));
        let mut lines = vec![format!("  {rule:<NAME$} {held} {} on the key, {marks}", self.asset)];
        let mut more = |line: String| {
            lines.push(format!("  {}", format!("{:NAME$} {line}", "").dimmed()));
        };
        if let (Some(left), Some(account)) = (self.left, self.account) {
            more(format!("the account may still give {}; it holds {}", show(left), show(account)));
        }
        if let Some(Window { rule, drawn, limit }) = &self.window {
            more(format!("drawn {} of {} ({rule} on chain)", show(*drawn), show(*limit)));
        }
        if let Some(why) = &self.trouble {
            lines.push(format!("  {:NAME$} {}", "", why.yellow()));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marque_identity::account::Used;

    const ASSET: AssetId = AssetId { chain: 1, token: Address::repeat_byte(1) };

    fn cents(units: u64) -> Money {
        Money::new(U256::from(units * 10_000), ASSET)
    }

    fn kept(trouble: Option<&str>) -> Kept {
        Kept {
            asset: "USDC".to_owned(),
            decimals: 6,
            held: Some(cents(50)),
            low: cents(25),
            high: cents(100),
            left: None,
            window: None,
            account: None,
            trouble: trouble.map(str::to_owned),
        }
    }

    #[test]
    fn the_account_gives_what_the_tightest_window_and_its_money_leave() {
        let window = |rule: &str, used, limit| Used {
            rule: rule.to_owned(),
            used: cents(used),
            limit: cents(limit),
        };
        let windows = vec![
            window("limits.payment", 0, 100),
            window("limits.hour", 150, 200),
            window("limits.day", 150, 900),
        ];
        let found = |account| AssetStanding {
            asset: ASSET,
            revoked: false,
            account: cents(account),
            float: cents(50),
            windows: windows.clone(),
        };
        let plain = |kept: Kept| -> Vec<_> {
            kept.lines().iter().map(|it| anstream::adapter::strip_str(it).to_string()).collect()
        };
        let lines = plain(kept(None).drawn(&found(1_800)));
        assert_eq!(
            lines,
            [
                "  float.USDC                 0.50 USDC on the key, kept between 0.25 and 1.00",
                "                             the account may still give 0.50; it holds 18.00",
                "                             drawn 1.50 of 2.00 (limits.hour on chain)",
            ]
        );
        assert!(lines.iter().all(|line| line.chars().count() <= 80));
        assert_eq!(kept(None).drawn(&found(20)).left, Some(cents(20)), "no more than it holds");
        let over = kept(Some("revoked; marque account delegate scout")).drawn(&found(1_800));
        assert_eq!(over.left, Some(cents(0)));
        assert!(plain(over).last().unwrap().ends_with("revoked; marque account delegate scout"));
    }
}
