//! Budgets as bars, within 80 columns: what is spent, what is in flight, what is left, and when the
//! next bit comes free.

use super::{Purse, floats::Kept};
use crate::story::span;
use alloy_primitives::U256;
use marque_policies::{Timestamp, money::format_units};
use marque_steward_client::Budget;
use owo_colors::OwoColorize as _;

/// Cells of a bar.
const CELLS: usize = 20;

/// The room for a rule's name.
pub(super) const NAME: usize = 26;

/// Digits after the point that a person reads at a glance.
const DIGITS: usize = 6;

/// One agent's budgets.
pub(super) fn lines(purse: &Purse) -> Vec<String> {
    let policy = purse.policy_version.map_or_else(
        || "no policy in force yet".to_owned(),
        |version| format!("policy version {version}"),
    );
    let from = match purse.from {
        "steward" => "",
        _ => ", from the journal: no steward runs",
    };
    let mut lines = vec![format!("{}  {}", purse.agent.bold(), format!("{policy}{from}").dimmed())];
    if let Some(entry) = purse.frozen_at {
        let said = format!("FROZEN by journal entry {entry}: nothing is signed until the thaw");
        lines.push(format!("  {}", said.red()));
    }
    for budget in &purse.budgets {
        let asset = purse.assets.iter().find(|asset| asset.id == budget.limit.asset);
        let (name, decimals) =
            asset.map_or(("units", 0), |asset| (asset.name.as_str(), asset.decimals));
        lines.extend(line(budget, name, decimals, purse.now));
    }
    lines.extend(purse.floats.iter().flat_map(Kept::lines));
    if purse.budgets.is_empty() && purse.policy_version.is_some() {
        lines.push("  it has no limits on sums: nothing may be spent".to_owned());
    }
    lines
}

fn line(budget: &Budget, asset: &str, decimals: u8, now: Timestamp) -> Vec<String> {
    let (spent, limit) = (budget.spent.units, budget.limit.units);
    let flight = budget.in_flight.map_or(U256::ZERO, |money| money.units).min(spent);
    let left = limit.saturating_sub(spent);
    let show = |units| glance(&format_units(units, decimals));
    let bar = bar(spent, flight, limit);
    let bar = match cells(spent, limit) {
        CELLS => bar.red().to_string(),
        most if most * 10 >= CELLS * 7 => bar.yellow().to_string(),
        _ => bar.green().to_string(),
    };
    let (rule, left, limit) = (narrow(&budget.rule), show(left), show(limit));
    let mut lines = vec![format!("  {rule:<NAME$} {bar} {left} of {limit} {asset} left")];
    let mut more = Vec::new();
    if !flight.is_zero() {
        more.push(format!("{} in flight", show(flight)));
    }
    if let Some(next) = &budget.next {
        let wait = span(next.at.saturating_sub(now));
        more.push(format!("{} comes free in {wait}", show(next.amount.units)));
    }
    if !more.is_empty() {
        let more = format!("{:NAME$} {}", "", more.join("; "));
        lines.push(format!("  {}", more.dimmed()));
    }
    lines
}

/// Spent, in flight, left.
fn bar(spent: U256, flight: U256, limit: U256) -> String {
    let full = cells(spent, limit);
    let flying = if flight.is_zero() { 0 } else { cells(flight, limit).clamp(1, full.max(1)) };
    let settled = full.saturating_sub(flying);
    format!("{}{}{}", "█".repeat(settled), "▒".repeat(flying), "░".repeat(CELLS - full.max(flying)))
}

/// How many cells a part of a whole fills: none only for nothing, all only for everything.
fn cells(part: U256, whole: U256) -> usize {
    if part >= whole {
        return CELLS;
    }
    if part.is_zero() {
        return 0;
    }
    let cells = part.saturating_mul(U256::from(CELLS)).checked_div(whole).unwrap_or_default();
    usize::try_from(cells).unwrap_or(CELLS).clamp(1, CELLS - 1)
}

/// A rule's name in the room there is: its ends say the most.
pub(super) fn narrow(rule: &str) -> String {
    let count = rule.chars().count();
    if count <= NAME {
        return rule.to_owned();
    }
    let half = (NAME - 1) / 2;
    let head: String = rule.chars().take(half).collect();
    let tail: String = rule.chars().skip(count - (NAME - 1 - half)).collect();
    format!("{head}…{tail}")
}

/// An amount with the digits that a person reads; the rest is cut, never rounded up.
pub(super) fn glance(exact: &str) -> String {
    match exact.split_once('.') {
        Some((whole, digits)) if digits.chars().count() > DIGITS => {
            format!("{whole}.{}…", digits.chars().take(DIGITS).collect::<String>())
        }
        _ => exact.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Address;
    use marque_policies::{AssetId, Money};
    use marque_steward_client::{AssetView, Freed};

    fn usdc(units: u64) -> Money {
        let token = Address::repeat_byte(1);
        Money::new(U256::from(units), AssetId { chain: 1, token })
    }

    #[test]
    fn a_bar_is_empty_only_for_nothing_and_full_only_for_everything() {
        let bar = |spent: u64, flight: u64, limit: u64| {
            bar(U256::from(spent), U256::from(flight), U256::from(limit))
        };
        assert_eq!(bar(0, 0, 10), "░░░░░░░░░░░░░░░░░░░░");
        assert_eq!(bar(1, 0, 1_000_000), "█░░░░░░░░░░░░░░░░░░░");
        assert_eq!(bar(999_999, 0, 1_000_000), "███████████████████░");
        assert_eq!(bar(10, 0, 10), "████████████████████");
        assert_eq!(bar(5, 2, 10), "██████▒▒▒▒░░░░░░░░░░");
        assert_eq!(bar(1, 1, 1_000_000), "▒░░░░░░░░░░░░░░░░░░░");
        assert_eq!(bar(20, 20, 10), "▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒");
        assert_eq!(bar(0, 0, 0), "████████████████████");
    }

    #[test]
    fn lines_fit_into_eighty_columns_and_say_what_is_left() {
        let budget = Budget {
            rule: "payee.a-weather-feed-with-a-long-name.days30".to_owned(),
            spent: usdc(2_100_000),
            in_flight: Some(usdc(400_000)),
            limit: usdc(3_000_000),
            next: Some(Freed { at: 900_000, amount: usdc(20_000) }),
        };
        let id = budget.limit.asset;
        let asset = AssetView { name: "USDC".to_owned(), id, decimals: 6, domain: None };
        let purse = Purse {
            agent: "scout".to_owned(),
            from: "journal",
            now: 180_000,
            policy_version: Some(3),
            frozen_at: None,
            assets: vec![asset],
            budgets: vec![budget],
            floats: Vec::new(),
        };
        let plain: Vec<_> = lines(&purse)
            .iter()
            .map(|line| anstream::adapter::strip_str(line).to_string())
            .collect();
        assert_eq!(
            plain,
            [
                "scout  policy version 3, from the journal: no steward runs",
                "  payee.a-weat…g-name.days30 ████████████▒▒░░░░░░ 0.90 of 3.00 USDC left",
                "                             0.40 in flight; 0.02 comes free in 12 min",
            ]
        );
        assert!(plain.iter().all(|line| line.chars().count() <= 80));
        assert_eq!(glance("0.049999987654321"), "0.049999…");
    }
}
