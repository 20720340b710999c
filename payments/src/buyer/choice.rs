//! Which of a seller's terms may be accepted, by comparing them with the request and the policy.
//!
//! A 402 answer is a stranger's word about where our money should go. Every statement in it is
//! checked against something that the stranger did not write: the URL that we asked for, the
//! policy's chains, assets, signing domains and payees, and the errand's maximum. What does not
//! agree is turned down with a reason, before the steward hears of it.

use super::Asked;
use crate::{
    error::{Objection, Rule, shortened},
    x402::{
        Method, PaymentRequired, PaymentRequirements, Terms,
        evidence::{self, Signed},
    },
};
use marque_policies::{Money, money::format_units};
use marque_steward_client::{AssetView, PayeeView, View};
use url::Url;

/// The most entries of `accepts` that are looked at.
const MAX_ENTRIES: usize = 32;

/// Terms that agree with the request and the policy.
#[derive(Clone, Debug)]
pub(super) struct Choice<'a> {
    /// Which entry of `accepts`.
    pub(super) entry: usize,
    /// As the seller wrote them.
    pub(super) requirements: &'a PaymentRequirements,
    /// As we understand them.
    pub(super) terms: Terms,
    /// The payee's name in the policy, or that of a peer whom it does not know.
    pub(super) payee: String,
    /// What is sold.
    pub(super) resource: Url,
    /// The terms with the seller's signature, if it gave one.
    pub(super) offer: Option<Signed>,
    /// Whether what is left of every limit is enough, as far as the view tells.
    affordable: bool,
}

/// What would be proposed for an answer with status 402.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Which entry of `accepts`.
    pub entry: usize,
    /// What it says.
    pub terms: Terms,
    /// The payee's name in the policy, or that of a peer whom it does not know.
    pub payee: String,
    /// What is sold.
    pub resource: Url,
}

/// Which of a seller's terms would be proposed, without proposing them: for whoever compares prices.
///
/// # Errors
/// Every reason for which the answer or one of its entries is turned down.
pub fn quote(
    required: &PaymentRequired,
    asked: &Asked,
    view: &View,
    max: Option<Money>,
) -> Result<Quote, Vec<Objection>> {
    let Choice { entry, terms, payee, resource, .. } = choose(required, asked, view, max)?;
    Ok(Quote { entry, terms, payee, resource })
}

/// The best acceptable terms: first those that every limit has room for, then the cheapest of an
/// asset, then the plainest way to pay.
///
/// Amounts of different assets cannot be compared, so the seller's order decides between assets.
/// What no limit has room for is still proposed where there is nothing else: the steward's table
/// says what would make it pass.
///
/// # Errors
/// Every reason for which the answer or one of its entries was turned down.
pub(super) fn choose<'a>(
    required: &'a PaymentRequired,
    asked: &Asked,
    view: &View,
    max: Option<Money>,
) -> Result<Choice<'a>, Vec<Objection>> {
    let whole = |objection| vec![objection];
    let resource = asked.sold(&required.resource.url).map_err(whole)?;
    evidence::well_formed(&required.extensions).map_err(whole)?;
    let mut best: Option<Choice<'a>> = None;
    let mut objections = Vec::new();
    for (index, requirements) in required.accepts.iter().take(MAX_ENTRIES).enumerate() {
        let judged =
            acceptable(requirements, asked.host(), view, max).and_then(|(terms, payee)| {
                let offer = evidence::agrees(required, index, view.now / 1_000)?;
                // This orders what is put before the steward, which alone decides.
                let left = view.left(terms.amount.asset);
                let affordable = left.is_none_or(|left| terms.amount.units <= left.units);
                let resource = resource.clone();
                Ok(Choice { entry: index, requirements, terms, payee, resource, offer, affordable })
            });
        match judged {
            Ok(choice) => match &best {
                Some(held) if !better(&choice, held) => {}
                _ => best = Some(choice),
            },
            Err(objection) => objections.push(objection.at(index)),
        }
    }
    if required.accepts.is_empty() {
        objections.push(Objection::new(Rule::Scheme, "the answer offers no way to pay"));
    }
    best.ok_or(objections)
}

fn better(one: &Choice<'_>, other: &Choice<'_>) -> bool {
    if one.affordable != other.affordable {
        return one.affordable;
    }
    let (price, held) = (one.terms.amount, other.terms.amount);
    price.asset == held.asset
        && (price.units, effort(one.terms.method)) < (held.units, effort(other.terms.method))
}

/// By EIP-3009 nothing has to be approved on chain first, and `exact` takes no more or less than it
/// says.
const fn effort(method: Method) -> u8 {
    match method {
        Method::Eip3009 => 0,
        Method::Permit2 => 1,
        Method::Upto { .. } => 2,
    }
}

fn acceptable(
    requirements: &PaymentRequirements,
    host: &str,
    view: &View,
    max: Option<Money>,
) -> Result<(Terms, String), Objection> {
    let terms = requirements.terms()?;
    let asset = known_asset(&terms, view)?;
    let payee = payee(&terms, host, view)?;
    within(&terms, asset, max)?;
    Ok((terms, payee))
}

fn known_asset<'a>(terms: &Terms, view: &'a View) -> Result<&'a AssetView, Objection> {
    let id = terms.amount.asset;
    if !view.assets.iter().any(|asset| asset.id.chain == id.chain) {
        return Err(Objection::new(
            Rule::Network,
            format!("eip155:{} is not a chain of the policy's assets", id.chain),
        ));
    }
    let Some(asset) = view.assets.iter().find(|asset| asset.id == id) else {
        return Err(Objection::new(Rule::Asset, format!("{id} is not in the policy")));
    };
    // By Permit2 the token's own domain is not signed under, and a seller may leave it out. Where it
    // is said it has to be true all the same.
    let Some((name, version)) = &terms.domain else { return Ok(asset) };
    match &asset.domain {
        Some((ours, our_version)) if ours == name && our_version == version => Ok(asset),
        Some((ours, our_version)) => Err(Objection::new(
            Rule::Domain,
            format!(
                "\"{}\" version \"{}\", but the policy has \"{ours}\" version \
                 \"{our_version}\" for {}",
                shortened(name),
                shortened(version),
                asset.name
            ),
        )),
        None => Err(Objection::new(
            Rule::Domain,
            format!("the policy names no signing domain for {}", asset.name),
        )),
    }
}

/// Whom these terms pay: the payee of this address and host, or the one of this host whose address
/// the owner has not pinned yet, or a peer, where the policy has a pool for peers.
fn payee(terms: &Terms, host: &str, view: &View) -> Result<String, Objection> {
    let objection = |why| Err(Objection::new(Rule::Payee, why));
    let to = terms.pay_to;
    let asks = |payee: &&PayeeView| payee.host.as_deref() == Some(host);
    let mut named = view.payees.iter().filter(|payee| payee.address == Some(to)).peekable();
    if let Some(first) = named.peek().copied() {
        if let Some(payee) = named.find(asks) {
            return Ok(payee.name.clone());
        }
        let allowed = first.host.as_deref().map_or_else(
            || "no host may ask for it".to_owned(),
            |allowed| format!("only {allowed} may ask for it"),
        );
        return objection(format!("{host} asks for money for {}; {allowed}", first.name));
    }
    let mut hosted = view.payees.iter().filter(asks).peekable();
    if let Some(first) = hosted.peek().copied() {
        if let Some(unpinned) = hosted.find(|payee| payee.address.is_none()) {
            return Ok(unpinned.name.clone());
        }
        let known = first.address.unwrap_or_default();
        return objection(format!(
            "{host} wants the money at {to}, but {} is paid at {known}",
            first.name
        ));
    }
    if view.pools.contains(&terms.amount.asset) {
        return Ok(peer(host));
    }
    objection(format!("{to} is not a payee of the policy"))
}

/// What a peer that the policy does not know is called. No name of a payee has a colon, so it is
/// never taken for one.
fn peer(host: &str) -> String {
    format!("peer:{host}")
}

fn within(terms: &Terms, asset: &AssetView, max: Option<Money>) -> Result<(), Objection> {
    let amount = terms.amount;
    let Some(max) = max else { return Ok(()) };
    if amount.asset != max.asset {
        return Err(Objection::new(
            Rule::Amount,
            format!("asked in {}, but the errand's maximum is in another asset", asset.name),
        ));
    }
    if amount.units > max.units {
        let show = |money: Money| format_units(money.units, asset.decimals);
        return Err(Objection::new(
            Rule::Amount,
            format!("{} {} is above the errand's {}", show(amount), asset.name, show(max)),
        ));
    }
    Ok(())
}
