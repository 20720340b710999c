//! Amounts, and the sections of limits on them.

use super::{
    Spans,
    chains::Assets,
    section::{Found, Section},
};
use crate::{
    document::{Asset, Limits},
    error::{PolicyError, Source, did_you_mean},
    money::{AssetId, Money, MoneyError, parse_units},
};
use alloy_primitives::U256;
use std::{collections::BTreeMap, ops::Range};

/// Limits by asset, and limits on fees by native asset.
pub(super) type ByAsset = BTreeMap<AssetId, Limits>;

/// Every limit there is, in the order in which people write them.
const KINDS: [&str; 7] =
    ["payment", "hour", "day", "days30", "total", "ask_above", "ask_above_day"];

/// `[limits.ASSET]` and `[limits.gas]`, or the same under `owner`.
pub(super) fn sections(
    section: &Section<'_>,
    path: &str,
    assets: &Assets,
    spans: &mut Spans,
) -> Result<(ByAsset, ByAsset), PolicyError> {
    let (mut limits, mut gas) = (ByAsset::new(), ByAsset::new());
    for (name, mut section) in section.named()? {
        section.path = format!("{path}.{}", name.value.escape_debug());
        if name.value == "gas" {
            let (asset, read) = gas_limits(&section, assets, spans)?;
            gas.insert(asset, read);
        } else {
            let asset = asset(section.source, assets, name.value, &name.span)?;
            let unit = Unit::Implied(name.value, asset);
            let (_, read) = read(&section, assets, unit, spans)?;
            limits.insert(asset.id, read);
        }
    }
    if let Some(both) = gas.keys().find(|asset| limits.contains_key(asset)) {
        let name = assets.iter().find(|(_, asset)| asset.id == *both).map_or("?", |(name, _)| name);
        let message = format!("{path}.gas and {path}.{name} both limit {name}");
        let help =
            "keep one: `gas` for fees alone, or the coin's own section for payments and fees";
        return Err(section.source.meaning(section.span_of("gas"), message, help));
    }
    Ok((limits, gas))
}

/// In which unit the amounts of a section are.
#[derive(Clone, Copy)]
enum Unit<'a> {
    /// The section's own asset; writing it again is allowed.
    Implied(&'a str, &'a Asset),
    /// Any one native coin, written with each amount.
    Native,
}

fn gas_limits(
    section: &Section<'_>,
    assets: &Assets,
    spans: &mut Spans,
) -> Result<(AssetId, Limits), PolicyError> {
    if section.has("ask_above_day") {
        let help = "it counts what one payee gets in a day; fees have no payee";
        let message = format!("{} cannot have `ask_above_day`", section.path);
        return Err(section.source.meaning(section.span_of("ask_above_day"), message, help));
    }
    let (asset, limits) = read(section, assets, Unit::Native, spans)?;
    asset
        .map(|asset| (asset, limits))
        .ok_or_else(|| section.missing("day", "write, for example, day = \"0.002 ETH\""))
}

fn read(
    section: &Section<'_>,
    assets: &Assets,
    unit: Unit<'_>,
    spans: &mut Spans,
) -> Result<(Option<AssetId>, Limits), PolicyError> {
    section.only(&KINDS)?;
    if section.path.starts_with("owner.") && section.has("ask_above_day") {
        let help = "it counts what one agent pays to one payee; write it into the agent's limits";
        let message = format!("{} cannot have `ask_above_day`", section.path);
        return Err(section.source.meaning(section.span_of("ask_above_day"), message, help));
    }
    let mut limits = Limits::default();
    let mut asset = None;
    for kind in KINDS {
        let implied = match unit {
            Unit::Implied(name, asset) => Some((name, asset)),
            Unit::Native => None,
        };
        let Some(limit) = amount_of(section, kind, assets, implied)? else { continue };
        let Money { units, asset: of } = limit.value;
        if matches!(unit, Unit::Native) && !of.is_native() {
            let help = "fees are paid in a chain's native coin";
            let message = format!("`{kind}` in {} is in a token", section.path);
            return Err(section.source.meaning(limit.span, message, help));
        }
        if asset.is_some_and(|asset| asset != of) {
            let help = "write all limits on fees in one coin";
            let message = format!("{} is in two coins", section.path);
            return Err(section.source.meaning(limit.span, message, help));
        }
        asset = Some(of);
        spans.insert(format!("{}.{kind}", section.path), limit.span);
        *field(&mut limits, kind) = Some(units);
    }
    if asset.is_none() {
        // An empty section would permit everything without saying so.
        let help = "write at least one limit, such as payment = \"1.00\", or leave the section out";
        let message = format!("{} has no limit in it", section.path);
        return Err(section.source.meaning(section.span.clone(), message, help));
    }
    Ok((asset, limits))
}

fn field<'l>(limits: &'l mut Limits, kind: &str) -> &'l mut Option<U256> {
    match kind {
        "payment" => &mut limits.payment,
        "hour" => &mut limits.hour,
        "day" => &mut limits.day,
        "days30" => &mut limits.days30,
        "total" => &mut limits.total,
        "ask_above" => &mut limits.ask_above,
        _ => &mut limits.ask_above_day,
    }
}

/// The amount under `key`. Where `implied` names the asset, the unit may be left out.
pub(super) fn amount_of(
    section: &Section<'_>,
    key: &str,
    assets: &Assets,
    implied: Option<(&str, &Asset)>,
) -> Result<Option<Found<Money>>, PolicyError> {
    if !section.has(key) {
        return Ok(None);
    }
    let text = section.text(key).map_err(|_| {
        let message = format!("`{key}` in {} is not a text", section.path);
        let help = "write amounts in quotation marks, such as \"2.50 USDC\": no digit gets lost";
        section.source.meaning(section.span_of(key), message, help)
    })?;
    let Some(text) = text else { return Ok(None) };
    let value = amount(section.source, &text, assets, implied)?;
    Ok(Some(Found { value, span: text.span }))
}

/// Reads `2.50 USDC`, or `2.50` where the asset is implied.
pub(super) fn amount(
    source: Source<'_>,
    text: &Found<&str>,
    assets: &Assets,
    implied: Option<(&str, &Asset)>,
) -> Result<Money, PolicyError> {
    let mistake = |message: String, help: String| source.meaning(text.span.clone(), message, help);
    let shown = text.value.escape_debug().to_string();
    let (number, unit) = match text.value.split_once(' ') {
        Some((number, unit)) => (number, Some(unit)),
        None => (text.value, None),
    };
    let asset = match (unit, implied) {
        (None, Some((_, asset))) => asset,
        (None, None) => {
            let help = "write the unit after it, such as \"2.50 USDC\"".to_owned();
            return Err(mistake(format!("\"{shown}\" has no unit"), help));
        }
        (Some(unit), Some((name, asset))) if unit == name => asset,
        (Some(_), Some((name, _))) => {
            let help = format!("amounts in this section are in {name}");
            return Err(mistake(format!("\"{shown}\" is in another unit than {name}"), help));
        }
        (Some(unit), None) => self::asset(source, assets, unit, &text.span)?,
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

/// The asset of this name.
pub(super) fn asset<'n>(
    source: Source<'_>,
    assets: &'n Assets,
    name: &str,
    span: &Range<usize>,
) -> Result<&'n Asset, PolicyError> {
    let known = || assets.keys().map(String::as_str);
    assets.get(name).ok_or_else(|| {
        let help = match did_you_mean(name, known()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("known assets: {}", known().collect::<Vec<_>>().join(", ")),
        };
        let message = format!("there is no asset \"{}\"", name.escape_debug());
        source.meaning(span.clone(), message, help)
    })
}
