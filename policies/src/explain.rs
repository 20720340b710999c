//! A policy read aloud, and a verdict as a table: what an owner looks at before signing.
//!
//! [`read_aloud`] says everything that the policy permits; what it does not say is refused. A part
//! of a policy that is not said here would be permitted unseen, so each one has a sentence (pinned
//! by `tests/suite/aloud.rs`, `everything_that_can_be_written_is_said`).

mod accounts;
mod parties;
mod table;
mod words;

pub use table::render_table;
pub(crate) use words::{bytes, constraint, date, duration, list, list_all, per, said};

use crate::{
    document::{Attitude, DAYS30, Finality, LabelRules, Policy},
    loss::{Loss, most_lost},
};
use words::either;

/// The policy in sentences, a paragraph a subject. Ends with a new line.
#[must_use]
pub fn read_aloud(policy: &Policy) -> String {
    let paragraphs = [standing, ground, spending, parties, rest];
    let mut text = String::new();
    for paragraph in paragraphs {
        let mut lines = Vec::new();
        paragraph(policy, &mut lines);
        if !text.is_empty() && !lines.is_empty() {
            text.push('\n');
        }
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// Whose policy it is, how long and at which hours it holds, and how the owner is asked.
fn standing(policy: &Policy, lines: &mut Vec<String>) {
    lines.push(format!("Version {}, written for the owner {}.", policy.version, policy.owner));
    lines.extend(policy.expires.map(|expires| {
        let expires = date(expires);
        format!("It ends at {expires}; from then on money may only go back to the owner.")
    }));
    accounts::when(policy, lines);
    let valid = |valid| format!("An approval of the owner counts for {}.", duration(valid));
    lines.extend(policy.approvals.valid.map(valid));
    let held = |held| format!("What is held waits {} for the owner.", duration(held));
    lines.extend(policy.approvals.held.map(held));
}

/// An endpoint as it may be read aloud: what follows its host is often a key.
fn without_key(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "an endpoint".to_owned() };
    let (host, more) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let more = if matches!(more, "" | "/") { more } else { "/…" };
    format!("{scheme}://{host}{more}")
}

/// Chains and assets.
fn ground(policy: &Policy, lines: &mut Vec<String>) {
    for (name, chain) in &policy.chains {
        let finality = match chain.finality {
            Finality::Safe => "once the chain calls it safe".to_owned(),
            Finality::Finalized => "once the chain calls it final".to_owned(),
            Finality::Confirmations(blocks) => format!("{blocks} blocks later"),
        };
        let rpc: Vec<String> = chain.rpc.iter().map(|url| without_key(url)).collect();
        let rpc = rpc.join(" and ");
        let id = chain.id;
        lines.push(format!(
            "On {name} (chain {id}) the steward asks {rpc}; a payment is final {finality}."
        ));
        lines.extend(chain.identity_registry.map(|registry| {
            format!(
                "Identities on {name} are those of the registry {registry}; one of the owner's \
                 may take this agent as its wallet when the owner approves it."
            )
        }));
    }
    for (name, asset) in &policy.assets {
        let chain = policy.chains.iter().find(|(_, chain)| chain.id == asset.id.chain);
        let chain = chain.map_or("an unknown chain", |(name, _)| name.as_str());
        let digits = asset.decimals;
        lines.push(match &asset.domain {
            _ if asset.id.is_native() => format!("{name} is {chain}'s own coin."),
            None => {
                format!("{name} is the token {} on {chain}, with {digits} digits.", asset.id.token)
            }
            Some((domain, version)) => format!(
                "{name} is the token {} on {chain}, with {digits} digits, signed for as \"{}\", \
                 version \"{}\".",
                asset.id.token,
                domain.escape_debug(),
                version.escape_debug(),
            ),
        });
    }
}

fn spending(policy: &Policy, lines: &mut Vec<String>) {
    accounts::spending(policy, lines);
    accounts::floats(policy, lines);
}

/// Who may be paid and what may be used.
fn parties(policy: &Policy, lines: &mut Vec<String>) {
    if policy.payees.is_empty() && policy.pools.is_empty() {
        lines.push("It may pay nobody.".to_owned());
    }
    for (name, payee) in &policy.payees {
        parties::payee(policy, name, payee, lines);
    }
    let unasked = policy.payees.values().any(|payee| payee.host.is_some());
    let transactions = !policy.gas.is_empty() || policy.limits.keys().any(|id| id.is_native());
    if unasked && transactions {
        let line = "A payee whose address is known may also be sent money unasked, in a \
                    transaction of the agent's own.";
        lines.push(line.to_owned());
    }
    accounts::categories(policy, lines);
    accounts::pools(policy, lines);
    terms(policy, lines);
    if policy.tools.is_empty() {
        lines.push("It may use no tool.".to_owned());
    }
    for (name, tool) in &policy.tools {
        parties::tool(name, tool, lines);
    }
    accounts::sub_agents(policy, lines);
    if !policy.income.is_empty() {
        let income = policy.income.iter().filter_map(|id| policy.asset(*id));
        let names: Vec<&str> = income.map(|(name, _)| name).collect();
        lines.push(format!("It may be paid in {}.", list(&names)));
    }
    if !policy.facilitator.is_empty() {
        let settled = policy.facilitator.iter().filter_map(|id| policy.asset(*id));
        let names: Vec<&str> = settled.map(|(name, _)| name).collect();
        lines.push(format!(
            "It may settle payments in {} that others make to others, and pay the fees of that.",
            list(&names)
        ));
    }
}

/// What is made of the terms of a payment that came from outside.
fn terms(policy: &Policy, lines: &mut Vec<String>) {
    let kinds = origins(&policy.labels);
    let unsaid: Vec<&str> =
        kinds.iter().filter(|(_, said)| said.is_none()).map(|(from, _)| *from).collect();
    if (!policy.payees.is_empty() || !policy.pools.is_empty()) && !unsaid.is_empty() {
        lines.push(format!(
            "It asks before a payment on terms that came from {}, unless the payee's own host \
             asks for the money.",
            either(&unsaid),
        ));
    }
    for (from, attitude) in kinds {
        let Some(attitude) = attitude else { continue };
        let although = if from == "the web" {
            "unless they came from the payee's own host as it asks"
        } else {
            "even when the payee's own host asks for the money"
        };
        let result = result(attitude);
        lines.push(format!("A payment on terms that came from {from} {result}, {although}."));
    }
    if !policy.pools.is_empty() {
        let line = "A peer whom this policy does not name has no host of its own: of terms from \
                    outside, only those pass unasked that came from the very host that asks.";
        lines.push(line.to_owned());
    }
}

/// What is made of a tool's arguments that came from outside.
fn arguments(name: &str, rules: &LabelRules, lines: &mut Vec<String>) {
    for (from, attitude) in origins(rules) {
        let say =
            |attitude| format!("An argument of {name} that came from {from} {}.", result(attitude));
        lines.extend(attitude.map(say));
    }
}

/// The kinds of origin, and what the owner said of each.
fn origins(rules: &LabelRules) -> [(&'static str, Option<Attitude>); 4] {
    [
        ("the web", rules.web),
        ("another agent", rules.peer),
        ("memory", rules.memory),
        ("the model", rules.model),
    ]
}

fn result(attitude: Attitude) -> &'static str {
    match attitude {
        Attitude::Ask => "needs the owner's approval",
        Attitude::Refuse => "is refused",
    }
}

/// What is forbidden beyond all that, and what always holds.
fn rest(policy: &Policy, lines: &mut Vec<String>) {
    for forbid in policy.forbids.iter() {
        lines.push(match &forbid.reason {
            Some(reason) => {
                format!("Forbidden by the rule {}: {}.", forbid.name, reason.escape_debug())
            }
            None => match forbid.said() {
                Some(text) => format!("Forbidden by the rule {}: {text}", forbid.name),
                None => format!("Forbidden by the rule {} of policy.cedar.", forbid.name),
            },
        });
    }
    let line = "It may always return money to the owner, as far as the limits on transaction fees \
                go.";
    lines.push(line.to_owned());
    lines.extend(lost(policy));
    lines.push("Everything else is refused.".to_owned());
}

/// The worst that can happen to the owner.
fn lost(policy: &Policy) -> Option<String> {
    let losses = most_lost(policy, DAYS30);
    let name = |id| policy.asset(id).map_or("an asset", |(name, _)| name).to_owned();
    let said = losses.into_iter().map(|loss| match loss {
        Loss::AtMost(money) => format!("at most {}", policy.show(money)),
        Loss::Unbounded(asset) => format!("any amount of {}", name(asset)),
    });
    let said: Vec<String> = said.collect();
    (!said.is_empty()).then(|| {
        format!(
            "Whoever takes its mind over completely can make it lose {} in any 30 days, fees \
             included.",
            list(&said)
        )
    })
}
