//! Amounts, and the sections of limits on them.

use super::{
    Spans,
    chains::Assets,
    keys,
    section::{Found, Section, nothing_named},
};
use crate::{
    document::{Asset, Limits},
    error::{PolicyError, Source},
    money::{AssetId, Money, MoneyError, parse_units},
};
use alloy_primitives::U256;
use std::collections::BTreeMap;

/// Limits by asset, and limits on fees by native asset.
pub(super) type ByAsset = BTreeMap<AssetId, Limits>;

/// `limits` in `within`: `[limits.ASSET]` and `[limits.gas]`, whose sections may have the `kinds`.
pub(super) fn sections<'a>(
    within: &Section<'a>,
    kinds: &[&str],
    assets: &Assets,
    spans: &mut Spans<'a>,
) -> Result<(ByAsset, ByAsset), PolicyError> {
    let (mut limits, mut gas) = (ByAsset::new(), ByAsset::new());
    let Some(section) = within.section("limits")? else { return Ok((limits, gas)) };
    for (name, section) in section.named()? {
        if name.value == "gas" {
            if section.has("ask_above_day") {
                let help = "it counts what one payee gets in a day; fees have no payee";
                return Err(cannot_have(&section, "ask_above_day", help));
            }
            section.only(keys::LIMITS_WITHOUT_PAYEES)?;
            let kinds = keys::LIMITS_WITHOUT_PAYEES;
            let (asset, read) = some_amounts(&section, kinds, assets, Unit::Coin, spans)?;
            gas.insert(asset, read);
        } else {
            let (asset, read) = of_asset(&section, &name, kinds, assets, spans)?;
            limits.insert(asset, read);
        }
    }
    if let Some(both) = gas.keys().find(|asset| limits.contains_key(asset)) {
        let name = assets.iter().find(|(_, asset)| asset.id == *both).map_or("?", |(name, _)| name);
        let message = format!("{0}.gas and {0}.{name} both limit {name}", section.path);
        let help =
            "keep one: `gas` for fees alone, or the coin's own section for payments and fees";
        return Err(section.mistake("gas", message, help));
    }
    Ok((limits, gas))
}

/// `[task.limits.ASSET]`: nothing is kept for fees, which are the agent's.
pub(super) fn task<'a>(
    root: &Section<'a>,
    assets: &Assets,
    spans: &mut Spans<'a>,
) -> Result<ByAsset, PolicyError> {
    let mut limits = ByAsset::new();
    let Some(task) = root.section("task")? else { return Ok(limits) };
    task.only(keys::TASK)?;
    let Some(section) = task.section("limits")? else { return Ok(limits) };
    for (name, section) in section.named()? {
        if name.value == "gas" {
            let message = "a task has no limits on fees apart";
            let help = "limit fees in [limits.gas], or the coin itself, as in [task.limits.ETH]";
            return Err(section.source.meaning(name.span, message, help));
        }
        let kinds = keys::LIMITS_WITHOUT_PAYEES;
        let (asset, read) = of_asset(&section, &name, kinds, assets, spans)?;
        limits.insert(asset, read);
    }
    Ok(limits)
}

/// A section that the asset of this name has, with at least one of the `kinds` of limits.
fn of_asset<'a>(
    section: &Section<'a>,
    name: &Found<&str>,
    kinds: &[&str],
    assets: &Assets,
    spans: &mut Spans<'a>,
) -> Result<(AssetId, Limits), PolicyError> {
    let asset = asset(section.source, assets, name)?;
    if section.has("ask_above_day") && !kinds.contains(&"ask_above_day") {
        let help = "it counts what one agent pays to one payee; write it into the agent's limits";
        return Err(cannot_have(section, "ask_above_day", help));
    }
    section.only(kinds)?;
    some_amounts(section, kinds, assets, Unit::Implied(name.value, asset), spans)
}

fn cannot_have(section: &Section<'_>, key: &str, help: &str) -> PolicyError {
    section.mistake(key, format!("{} cannot have `{key}`", section.path), help)
}

/// In which unit the amounts of a section are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit<'a> {
    /// The section's own asset; writing it again is allowed.
    Implied(&'a str, &'a Asset),
    /// Any one native coin, written with each amount.
    Coin,
    /// Any one asset, written with each amount.
    Written,
}

/// The limits of the `kinds` in a section that has at least one.
pub(super) fn some_amounts<'a>(
    section: &Section<'a>,
    kinds: &[&str],
    assets: &Assets,
    unit: Unit<'_>,
    spans: &mut Spans<'a>,
) -> Result<(AssetId, Limits), PolicyError> {
    // An empty section would permit everything without saying so.
    amounts(section, kinds, assets, unit, spans)?.ok_or_else(|| {
        let example = match unit {
            Unit::Implied(..) => "payment = \"1.00\"",
            Unit::Coin => "day = \"0.002 ETH\"",
            Unit::Written => "day = \"5 USDC\"",
        };
        let help = format!("write at least one limit, such as {example}, or leave the section out");
        let message = format!("{} has no limit in it", section.path);
        section.source.meaning(section.span.clone(), message, help)
    })
}

/// The limits of the `kinds` in a section, all of one asset.
pub(super) fn amounts<'a>(
    section: &Section<'a>,
    kinds: &[&str],
    assets: &Assets,
    unit: Unit<'_>,
    spans: &mut Spans<'a>,
) -> Result<Option<(AssetId, Limits)>, PolicyError> {
    let mut limits = Limits::default();
    let mut asset = None;
    for kind in kinds {
        let Some(field) = field(&mut limits, kind) else { continue };
        let Some(limit) = amount_of(section, kind, assets, unit)? else { continue };
        let Money { units, asset: of } = limit.value;
        if matches!(unit, Unit::Coin) && !of.is_native() {
            let help = "fees are paid in a chain's native coin";
            let message = format!("`{kind}` in {} is in a token", section.path);
            return Err(section.source.meaning(limit.span, message, help));
        }
        if asset.is_some_and(|asset| asset != of) {
            let message = format!("the limits of {} are in different assets", section.path);
            let help = match unit {
                Unit::Coin => "write all limits on fees in one coin",
                _ => "write them in one: what has limits of its own is paid in their asset only",
            };
            return Err(section.source.meaning(limit.span, message, help));
        }
        asset = Some(of);
        spans.mark(format!("{}.{kind}", section.path), section.source, limit.span);
        *field = Some(units);
    }
    Ok(asset.map(|asset| (asset, limits)))
}

/// The field of a limit; `None` for a key that is no limit.
fn field<'l>(limits: &'l mut Limits, kind: &str) -> Option<&'l mut Option<U256>> {
    match kind {
        "payment" => Some(&mut limits.payment),
        "hour" => Some(&mut limits.hour),
        "day" => Some(&mut limits.day),
        "days30" => Some(&mut limits.days30),
        "total" => Some(&mut limits.total),
        "ask_above" => Some(&mut limits.ask_above),
        "ask_above_day" => Some(&mut limits.ask_above_day),
        _ => None,
    }
}

/// The amount under `key`. In the section of an asset the unit may be left out.
pub(super) fn amount_of(
    section: &Section<'_>,
    key: &str,
    assets: &Assets,
    unit: Unit<'_>,
) -> Result<Option<Found<Money>>, PolicyError> {
    if !section.has(key) {
        return Ok(None);
    }
    let text = section.text(key).map_err(|_| {
        let message = format!("`{key}` in {} is not a text", section.path);
        let help = "write amounts in quotation marks, such as \"2.50 USDC\": no digit gets lost";
        section.mistake(key, message, help)
    })?;
    let Some(text) = text else { return Ok(None) };
    let value = amount(section.source, &text, assets, unit)?;
    Ok(Some(Found { value, span: text.span }))
}

/// Reads `2.50 USDC`, or `2.50` in the section of an asset.
pub(super) fn amount(
    source: Source<'_>,
    text: &Found<&str>,
    assets: &Assets,
    unit: Unit<'_>,
) -> Result<Money, PolicyError> {
    let mistake = |message: String, help: String| source.meaning(text.span.clone(), message, help);
    let shown = text.value.escape_debug().to_string();
    if let Some(spaced) = spaced(text.value) {
        let spaced = spaced.escape_debug();
        let help = format!("put one space before the unit: \"{spaced}\"");
        return Err(mistake(format!("\"{shown}\" is not an amount"), help));
    }
    let (number, written) = match text.value.split_once(' ') {
        Some((number, unit)) => (number, Some(unit)),
        None => (text.value, None),
    };
    let asset = match (written, unit) {
        (None, Unit::Implied(_, asset)) => asset,
        (None, Unit::Coin | Unit::Written) => {
            let help = "write the unit after it, such as \"2.50 USDC\"".to_owned();
            return Err(mistake(format!("\"{shown}\" has no unit"), help));
        }
        (Some(written), Unit::Implied(name, asset)) if written == name => asset,
        (Some(_), Unit::Implied(name, _)) => {
            let help = format!("amounts in this section are in {name}");
            return Err(mistake(format!("\"{shown}\" is in another unit than {name}"), help));
        }
        (Some(written), Unit::Coin | Unit::Written) => {
            self::asset(source, assets, &Found { value: written, span: text.span.clone() })?
        }
    };
    // Escaping leaves digits and points as they are and makes the rest safe to show.
    let number = number.escape_debug().to_string();
    let units = parse_units(&number, asset.decimals).map_err(|error| {
        let help = match &error {
            MoneyError::TooFine { decimals, .. } => {
                format!("write at most {decimals} digits after the point; nothing is rounded")
            }
            _ => "write digits with at most one point and one space before the unit".to_owned(),
        };
        mistake(error.to_string(), help)
    })?;
    Ok(Money::new(units, asset.id))
}

/// What was probably meant by an amount that has no space before its unit, or more than one.
fn spaced(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at_checked(end)?;
    let unit = rest.trim();
    let begins = unit.starts_with(|c: char| c.is_ascii_alphabetic());
    let one_word = begins && !unit.contains(char::is_whitespace);
    let spaced = format!("{number} {unit}");
    (!number.is_empty() && one_word && spaced != text).then_some(spaced)
}

/// The asset of this name.
pub(super) fn asset<'n>(
    source: Source<'_>,
    assets: &'n Assets,
    name: &Found<&str>,
) -> Result<&'n Asset, PolicyError> {
    let found = assets.get(name.value);
    found.ok_or_else(|| nothing_named(source, "asset", name, assets.keys()))
}
