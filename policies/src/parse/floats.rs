//! `[float.ASSET]`: what the agent's key holds where the rest waits in the owner's account.

use super::{
    Spans,
    chains::Assets,
    keys,
    limits::{ByAsset, Unit, amount_of, asset},
    section::Section,
};
use crate::{
    document::{Float, Limits},
    error::PolicyError,
    money::{AssetId, format_units},
};
use alloy_primitives::U256;
use std::collections::BTreeMap;

pub(super) type Floats = BTreeMap<AssetId, Float>;

/// `[float.ASSET]`, of an asset whose `limits` a chain can hold.
pub(super) fn floats<'a>(
    root: &Section<'a>,
    assets: &Assets,
    limits: &ByAsset,
    spans: &mut Spans<'a>,
) -> Result<Floats, PolicyError> {
    let mut floats = Floats::new();
    let Some(section) = root.section("float")? else { return Ok(floats) };
    of_an_asset(&section, assets, limits)?;
    for (name, section) in section.named()? {
        let asset = asset(section.source, assets, &name)?;
        section.only(keys::FLOAT)?;
        let Some(limits) = limits.get(&asset.id).filter(|it| it.windows().next().is_some()) else {
            // Without one nothing would bound what is drawn.
            let message = format!("{} has no [limits.{}] with a sum", section.path, name.value);
            let help = "write at least one of `hour`, `day`, `days30` and `total` there: they bound \
                        what is drawn on the account";
            return Err(section.source.meaning(name.span, message, help));
        };
        let mut mark = |key: &str, help: &str| {
            let unit = Unit::Implied(name.value, asset);
            let found = amount_of(&section, key, assets, unit)?;
            let found = found.ok_or_else(|| section.missing(key, help))?;
            let rule = format!("{}.{key}", section.path);
            spans.mark(rule, section.source, found.span.clone());
            Ok::<_, PolicyError>((found.value.units, found.span))
        };
        let (low, low_at) = mark("low", "below this the steward draws on the owner's account")?;
        let (high, high_at) = mark("high", "the steward draws on the account up to this")?;
        if low >= high {
            let message = format!("`low` in {} is not below `high`", section.path);
            let help = "what lies between the two is drawn at once: the more, the fewer fees";
            return Err(section.source.meaning(low_at, message, help));
        }
        if let Some(most) = most_at_once(limits).filter(|most| *most > high) {
            let shown = format_units(most, asset.decimals);
            let message = format!(
                "limits.{0} lets one payment be {shown} {0}, which this float never holds",
                name.value
            );
            let help = "raise `high`, or lower `payment`";
            return Err(section.source.meaning(high_at, message, help));
        }
        let required = demand(&section)?;
        spans.mark(
            format!("{}.delegation", section.path),
            section.source,
            section.span_of("delegation"),
        );
        floats.insert(asset.id, Float { low, high, required });
    }
    Ok(floats)
}

/// A float is of an asset: what stands in `[float]` itself is meant for one.
fn of_an_asset(
    section: &Section<'_>,
    assets: &Assets,
    limits: &ByAsset,
) -> Result<(), PolicyError> {
    let Some(key) = keys::FLOAT.iter().find(|key| section.has(key) && !section.is_table(key))
    else {
        return Ok(());
    };
    let tokens = || assets.iter().filter(|(_, asset)| !asset.id.is_native());
    let limited = tokens().find(|(_, asset)| limits.contains_key(&asset.id));
    let name = limited.or_else(|| tokens().next()).map_or("ASSET", |(name, _)| name);
    let message = format!("`{key}` stands in [float], which says of no asset what is kept");
    let help = format!("write it below [float.{name}]");
    Err(section.source.meaning(section.key_span(key), message, help))
}

/// The largest single payment that limits let pass.
fn most_at_once(limits: &Limits) -> Option<U256> {
    limits.payment.into_iter().chain(limits.windows().map(|(.., units)| units)).min()
}

/// Whether the chain has to hold the limits before anything is paid.
fn demand(section: &Section<'_>) -> Result<bool, PolicyError> {
    match section.text("delegation")? {
        None => Ok(false),
        Some(found) => match found.value {
            "wanted" => Ok(false),
            "required" => Ok(true),
            other => {
                let shown = other.escape_debug();
                let message = format!("`delegation` in {} is \"{shown}\"", section.path);
                let help = "write \"wanted\" (the steward warns where the chain does not hold the \
                            limits) or \"required\" (nothing is paid then)";
                Err(section.source.meaning(found.span, message, help))
            }
        },
    }
}
