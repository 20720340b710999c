//! Limits on many at once: `[pool.ASSET]` for peers that are no payees, `[category.NAME]` for
//! payees of a kind.

use super::{
    Spans,
    chains::Assets,
    documents::{Documents, Taken},
    keys,
    limits::{Unit, amount_of, amounts, asset, some_amounts},
    section::Section,
};
use crate::{
    document::{Bound, Pool},
    error::PolicyError,
    money::AssetId,
};
use alloy_primitives::U256;
use std::collections::BTreeMap;

pub(super) type Pools = BTreeMap<AssetId, Pool>;

/// `[pool.ASSET]`
pub(super) fn pools<'a>(
    root: &Section<'a>,
    assets: &Assets,
    spans: &mut Spans<'a>,
) -> Result<Pools, PolicyError> {
    let mut pools = Pools::new();
    let Some(section) = root.section("pool")? else { return Ok(pools) };
    for (name, section) in section.named()? {
        let asset = asset(section.source, assets, &name)?;
        section.only(keys::POOL)?;
        let unit = Unit::Implied(name.value, asset);
        let limits = amounts(&section, keys::LIMITS, assets, unit, spans)?;
        let limits = limits.map(|(_, limits)| limits).unwrap_or_default();
        if limits.windows().next().is_none() {
            // Peers cost nothing to make up, so only a sum bounds what they get together.
            let message = format!("{} has no limit on a sum", section.path);
            let help = "write at least one of `hour`, `day`, `days30` and `total`";
            return Err(section.source.meaning(section.span.clone(), message, help));
        }
        let mut peer = |key: &str| -> Result<Option<U256>, PolicyError> {
            let Some(found) = amount_of(&section, key, assets, unit)? else { return Ok(None) };
            spans.mark(format!("{}.{key}", section.path), section.source, found.span);
            Ok(Some(found.value.units))
        };
        let (peer_day, peer_total) = (peer("peer_day")?, peer("peer_total")?);
        pools.insert(asset.id, Pool { limits, peer_day, peer_total });
    }
    Ok(pools)
}

/// `[category.NAME]`; the names are taken.
pub(super) fn categories<'a>(
    documents: &Documents<'a>,
    assets: &Assets,
    names: &mut Taken,
    spans: &mut Spans<'a>,
) -> Result<BTreeMap<String, Bound>, PolicyError> {
    let mut categories = BTreeMap::new();
    for (name, section) in documents.named("category")? {
        names.claim(section.source, &name)?;
        section.only(keys::CATEGORY)?;
        spans.mark(section.path.clone(), section.source, name.span);
        let kinds = keys::CATEGORY;
        let (asset, limits) = some_amounts(&section, kinds, assets, Unit::Written, spans)?;
        categories.insert(name.value.to_owned(), Bound { asset, limits });
    }
    Ok(categories)
}
