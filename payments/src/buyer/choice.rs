//! Which of a seller's terms may be accepted, by comparing them with the request and the policy.
//!
//! A 402 answer is a stranger's word about where our money should go. Every statement in it is
//! checked against something that the stranger did not write: the URL that we asked for, the
//! policy's chains, assets, signing domains and payees, and the errand's maximum. What does not
//! agree is turned down with a reason, before the steward hears of it.

use crate::{
    error::{Objection, Rule, shortened},
    x402::{PaymentRequired, PaymentRequirements, Terms},
};
use marque_net::host_port;
use marque_policies::{Money, money::format_units};
use marque_steward_client::{AssetView, PayeeView, View};
use url::Url;

/// The most entries of `accepts` that are looked at.
const MAX_ENTRIES: usize = 32;

/// Terms that agree with the request and the policy.
#[derive(Clone, Debug)]
pub(super) struct Choice<'a> {
    /// As the seller wrote them.
    pub(super) requirements: &'a PaymentRequirements,
    /// As we understand them.
    pub(super) terms: Terms,
    /// The payee's name in the policy, or that of a peer whom it does not know.
    pub(super) payee: String,
}

/// The first acceptable terms, or cheaper ones of the same asset.
///
/// Amounts of different assets cannot be compared, so the seller's order decides between assets.
///
/// # Errors
/// Every reason for which the answer or one of its entries was turned down.
pub(super) fn choose<'a>(
    required: &'a PaymentRequired,
    asked: &Url,
    view: &'a View,
    max: Option<Money>,
) -> Result<Choice<'a>, Vec<Objection>> {
    same_resource(&required.resource.url, asked).map_err(|objection| vec![objection])?;
    let host = host_port(asked);
    let mut best: Option<Choice<'a>> = None;
    let mut objections = Vec::new();
    for (index, requirements) in required.accepts.iter().take(MAX_ENTRIES).enumerate() {
        match acceptable(requirements, &host, view, max) {
            Ok(choice) => match &best {
                Some(held) if !cheaper(&choice, held) => {}
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

fn cheaper(one: &Choice<'_>, other: &Choice<'_>) -> bool {
    one.terms.amount.asset == other.terms.amount.asset
        && one.terms.amount.units < other.terms.amount.units
}

/// A 402 that came after a redirect speaks for another URL than the one that would be paid for.
pub(super) fn answered_by_the_asked(answered: &Url, asked: &Url) -> Result<(), Objection> {
    if answered == asked {
        return Ok(());
    }
    Err(Objection::new(
        Rule::Resource,
        format!(
            "the request was redirected to {}, which asks for money; ask it directly",
            shortened(answered.as_str())
        ),
    ))
}

/// The resource that is sold must be the one that was asked for, fragments apart.
fn same_resource(said: &str, asked: &Url) -> Result<(), Objection> {
    let objection = |why| Err(Objection::new(Rule::Resource, why));
    let Ok(mut sold) = Url::parse(said) else {
        return objection(format!("\"{}\" is not a URL", shortened(said)));
    };
    let mut asked = asked.clone();
    sold.set_fragment(None);
    asked.set_fragment(None);
    if host_port(&sold) != host_port(&asked) {
        return objection(format!("{} asks for money for {}", host_port(&asked), host_port(&sold)));
    }
    if sold != asked {
        return objection(format!(
            "asked for {}, offered {}",
            shortened(asked.as_str()),
            shortened(sold.as_str())
        ));
    }
    Ok(())
}

fn acceptable<'a>(
    requirements: &'a PaymentRequirements,
    host: &str,
    view: &'a View,
    max: Option<Money>,
) -> Result<Choice<'a>, Objection> {
    let terms = requirements.terms()?;
    let asset = known_asset(&terms, view)?;
    let payee = payee(&terms, host, view)?;
    within(&terms, asset, max)?;
    Ok(Choice { requirements, terms, payee })
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
    let (name, version) = &terms.domain;
    match &asset.domain {
        Some(domain) if *domain == terms.domain => Ok(asset),
        Some((our_name, our_version)) => Err(Objection::new(
            Rule::Domain,
            format!(
                "\"{}\" version \"{}\", but the policy has \"{our_name}\" version \
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
