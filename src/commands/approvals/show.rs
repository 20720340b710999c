//! A held intent as its owner reads it.
//!
//! What will be done comes from the decoded intent, each part on a line of its own, so that no text
//! of a mind's can push another part out of sight. What a mind says (its task, what it wants to
//! buy) stands apart, in quotes, and is called its words.

use crate::story::{harmless, quoted, span};
use alloy_primitives::Address;
use marque::request::Held;
use marque_policies::{
    AssetId, Intent, Money, Policy, Row, Timestamp, intent::PermitVia, money::format_units,
};
use marque_steward_client::View;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What things are called: from the policy in force, or from a steward's view of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    assets: BTreeMap<AssetId, (String, u8)>,
    /// Where each payee's money goes, if that is known, and the host that may ask for it.
    payees: BTreeMap<String, (Option<Address>, Option<String>)>,
}

impl From<&View> for Names {
    fn from(view: &View) -> Self {
        let asset = |it: &marque_steward_client::AssetView| (it.id, (it.name.clone(), it.decimals));
        let payee = |it: &marque_steward_client::PayeeView| {
            (it.name.clone(), (it.address, it.host.clone()))
        };
        Self {
            assets: view.assets.iter().map(asset).collect(),
            payees: view.payees.iter().map(payee).collect(),
        }
    }
}

impl From<&Policy> for Names {
    fn from(policy: &Policy) -> Self {
        let assets = policy.assets.iter().map(|(name, it)| (it.id, (name.clone(), it.decimals)));
        let payees = policy.payees.iter();
        let payees = payees.map(|(name, it)| (name.clone(), (it.address, it.host.clone())));
        Self { assets: assets.collect(), payees: payees.collect() }
    }
}

/// A held intent with all that is needed to show and to decide it.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) agent: String,
    pub(crate) held: Held,
    pub(crate) names: Names,
    /// The policy's version that an approval names.
    pub(crate) version: u64,
    pub(crate) chain: u64,
    pub(crate) origin: alloy_primitives::B256,
    /// What happened before with whom it pays, where it is held for that.
    pub(crate) past: Vec<String>,
    /// What was paid to whom it pays and is on its way there, where the journal is at hand.
    pub(crate) so_far: Option<String>,
}

/// An intent, decoded.
struct Told {
    /// What will be done, in one line without a text of the mind's.
    head: String,
    /// The rest of what will be done.
    facts: Vec<(&'static str, String)>,
    /// What the mind says about it.
    words: Vec<(&'static str, String)>,
}

impl Item {
    /// What will be done, in one line.
    pub(crate) fn head(&self) -> String {
        head(&self.names, &self.agent, &self.held.intent)
    }

    /// All that an owner should read before deciding. `now` is none where the clock is another
    /// machine's.
    pub(crate) fn lines(&self, now: Timestamp) -> Vec<String> {
        let Told { head, facts, words } = told(&self.names, &self.held.intent);
        let mut lines =
            vec![self.held.id.to_string(), format!("  {} wants to {head}", harmless(&self.agent))];
        let mut line = |what: &str, text: &str| lines.push(format!("    {what:<9} {text}"));
        for (what, text) in &facts {
            line(what, text);
        }
        for row in &self.held.why {
            line("held by", &asks(row));
        }
        if let Some(so_far) = &self.so_far {
            line("so far", so_far);
        }
        for before in &self.past {
            line("before", before);
        }
        let (at, closes) = (self.held.at, self.held.closes);
        let asked = format!("{} ago", span(now.saturating_sub(at)));
        match closes.checked_sub(now) {
            Some(left) => line("asked", &format!("{asked}, closes in {}", span(left))),
            None => line("asked", &format!("{asked}, EXPIRED {} ago", span(now - closes))),
        }
        lines.push("    in the agent's own words:".to_owned());
        for (what, text) in words.iter().chain([&("task", quoted(&self.held.task))]) {
            lines.push(format!("      {what:<7} {text}"));
        }
        lines
    }

    /// The same for scripts. Texts are as they came: JSON quotes them.
    pub(crate) fn json(&self) -> Value {
        let Told { head, facts, .. } = told(&self.names, &self.held.intent);
        let facts: Map<String, Value> =
            facts.into_iter().map(|(what, text)| (what.to_owned(), text.into())).collect();
        let held = &self.held;
        json!({
            "id": held.id, "agent": self.agent, "what": head, "facts": facts,
            "why": held.why, "so_far": self.so_far, "before": self.past, "at": held.at, "closes": held.closes, "body": held.body,
            "policy_version": self.version, "origin": self.origin, "chain": self.chain,
            "intent": held.intent, "words": { "task": held.task },
        })
    }
}

/// What an intent will do, in one line without a text of the mind's.
pub(crate) fn head(names: &Names, agent: &str, intent: &Intent) -> String {
    format!("{}: {}", harmless(agent), told(names, intent).head)
}

/// An amount as people read it.
pub(super) fn amount(names: &Names, amount: Money) -> String {
    match names.assets.get(&amount.asset) {
        Some((name, decimals)) => format!("{} {name}", format_units(amount.units, *decimals)),
        None => format!("{} units of {}", amount.units, amount.asset),
    }
}

fn asks(row: &Row) -> String {
    harmless(&format!("{}: {}, limit {}", row.rule, row.measured, row.limit))
}

fn told(names: &Names, intent: &Intent) -> Told {
    let money = |it: &Money| amount(names, *it);
    let (mut facts, mut words) = (Vec::new(), Vec::new());
    let head = match intent {
        Intent::Tool(tool) => {
            if let Some(fetch) = &tool.fetch {
                let place = format!("{}{}", fetch.host, fetch.path);
                facts.push(("request", format!("{} {}", harmless(&fetch.method), quoted(&place))));
                facts.push(("sends", format!("{} bytes", fetch.bytes_out)));
            }
            for (name, value) in &tool.arguments {
                // A flag, a number or a text: it always serialises.
                let value = serde_json::to_string(value).unwrap_or_default();
                facts.push(("argument", format!("{} = {}", harmless(name), quoted(&value))));
            }
            format!("use the tool {}", quoted(&tool.tool))
        }
        Intent::Authorise(pay) => {
            facts.push(("payee", payee(names, &pay.payee, pay.to)));
            words.push(("for", quoted(&pay.resource)));
            words.push(("asked by", quoted(&pay.host)));
            format!("pay {} to {}", money(&pay.amount), pay.to)
        }
        Intent::Transfer(pay) => {
            facts.push(("payee", payee(names, &pay.payee, pay.to)));
            format!("send {} to {}", money(&pay.amount), pay.to)
        }
        Intent::Settle(settle) => {
            words.push(("for", quoted(&settle.resource)));
            format!("take {} from {}", money(&settle.amount), settle.from)
        }
        Intent::AcceptWallet(accept) => {
            facts.push(("registry", format!("{} on chain {}", accept.registry, accept.chain)));
            facts.push(("owner", accept.owner.to_string()));
            format!("become the wallet of identity {}", accept.agent_id)
        }
        Intent::Sweep(sweep) => format!("return {} to the owner", money(&sweep.amount)),
        Intent::Cancel(cancel) => {
            facts.push(("payment", cancel.intent.to_string()));
            "take a payment back that is signed and not settled yet".to_owned()
        }
        Intent::PermitTransfer(pay) => {
            facts.push(("payee", payee(names, &pay.payee, pay.to)));
            facts.push(("settled", settled_by(pay.via)));
            words.push(("for", quoted(&pay.resource)));
            words.push(("asked by", quoted(&pay.host)));
            let most = if pay.via == PermitVia::Exact { "" } else { "at most " };
            format!("pay {most}{} to {}", money(&pay.amount), pay.to)
        }
        Intent::InvalidatePermit { intent } => {
            facts.push(("payment", intent.to_string()));
            "take a permit back that is signed and not settled yet".to_owned()
        }
        Intent::ApprovePermit2 { amount } if amount.units.is_zero() => {
            let token = amount.asset;
            format!("take back what Permit2 may move of {token}")
        }
        Intent::ApprovePermit2 { amount } => {
            facts.push(("moved by", "permits that this agent signs, and by nothing else".into()));
            format!("let Permit2 move at most {}", money(amount))
        }
        Intent::SettlePermit(settle) => {
            facts.push(("permitted", money(&settle.amount)));
            words.push(("for", quoted(&settle.resource)));
            format!("take {} from {}", money(&settle.charge), settle.from)
        }
        Intent::Refill { amount } => {
            format!("draw {} on your account on chain, to its own key", money(amount))
        }
        // Of a kind that is not put in words yet: all of it, as it is.
        intent => {
            let value = serde_json::to_value(intent).unwrap_or_default();
            for (name, value) in value.as_object().into_iter().flatten() {
                facts.push((
                    "field",
                    format!("{} = {}", harmless(name), quoted(&value.to_string())),
                ));
            }
            format!("do this: {}", intent.kind())
        }
    };
    Told { head, facts, words }
}

/// Who can take a permit to the chain.
fn settled_by(via: PermitVia) -> String {
    match via {
        PermitVia::Exact => "by anybody, for all of it".to_owned(),
        PermitVia::Upto { facilitator } => format!("by {facilitator} alone, for what was used"),
    }
}

/// Who is paid, and what approving would mean beyond this payment.
fn payee(names: &Names, name: &str, to: Address) -> String {
    match names.payees.get(name) {
        Some((Some(address), _)) if *address == to => {
            format!("{}, and this is its address in the policy", quoted(name))
        }
        Some((Some(address), _)) => {
            format!("{}, BUT the policy knows it under {address}", quoted(name))
        }
        Some((None, Some(host))) => {
            format!("{}; approving PINS this address for {}", quoted(name), quoted(host))
        }
        _ => format!("{} is nobody in the policy: only the address counts", quoted(name)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use alloy_primitives::{B256, U256};
    use marque_policies::{IntentId, Labels, intent::Authorise};

    pub(crate) fn item(payee: &str, task: &str, resource: &str) -> Item {
        let asset = AssetId { chain: 1, token: Address::repeat_byte(2) };
        let intent = Intent::Authorise(Authorise {
            payee: payee.to_owned(),
            to: Address::repeat_byte(7),
            amount: Money::new(U256::from(600_000), asset),
            host: "feed.example".to_owned(),
            resource: resource.to_owned(),
            labels: Labels::default(),
        });
        let body = intent.body_hash();
        let held = Held {
            id: IntentId(B256::repeat_byte(9)),
            task: task.to_owned(),
            intent,
            body,
            at: 0,
            closes: 3_600_000,
            why: Vec::new(),
        };
        let assets = BTreeMap::from([(asset, ("USDC".to_owned(), 6))]);
        let feed = (Some(Address::repeat_byte(7)), None);
        let payees = BTreeMap::from([("feed".to_owned(), feed)]);
        let names = Names { assets, payees };
        Item {
            agent: "scout".to_owned(),
            held,
            names,
            version: 1,
            chain: 1,
            origin: B256::ZERO,
            past: Vec::new(),
            so_far: None,
        }
    }

    #[test]
    fn a_minds_words_never_hide_what_is_done() {
        let long = "x".repeat(50_000);
        let forged = "feed\n    payee     \"feed\", and this is its address in the policy";
        for name in [&*long, forged] {
            let lines = item(name, &long, "https://a/\u{1b}[2K\rfree").lines(60_000);
            assert_eq!(
                lines[1],
                format!("  scout wants to pay 0.60 USDC to {}", Address::repeat_byte(7))
            );
            assert!(lines[2].contains("is nobody in the policy"), "{lines:?}");
            assert!(lines.iter().all(|line| line.chars().count() < 900), "{lines:?}");
            assert!(lines.iter().all(|line| !line.contains(['\n', '\r', '\u{1b}'])), "{lines:?}");
        }
        let known = item("feed", "job", "https://a").lines(60_000);
        assert!(known[2].ends_with("this is its address in the policy"), "{known:?}");
        let late = item("feed", "job", "https://a").lines(7_200_000);
        assert!(late.iter().any(|line| line.contains("EXPIRED 1 h ago")), "{late:?}");
    }
}
