//! `marque account explain`: the table of what a chain carries of a policy.

use super::Shared;
use crate::{commands::policy::Companions, failure::Done, story::say};
use marque_identity::account::{Bound, Carried, Rule, bounds, rules};
use marque_policies::Policy;
use owo_colors::OwoColorize as _;
use std::process::ExitCode;

/// Days after which what is delegated ends, where the policy names no `expires`.
pub(super) const USUAL: u64 = 90;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A policy file, the name of an agent for its draft, or NAME@adopted.
    policy: String,
    #[command(flatten)]
    with: Companions,
}

pub(super) fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let named = shared.policy(&args.policy, &args.with)?;
    let policy = &named.policy;
    if shared.json {
        say!(
            "{}",
            serde_json::json!({
                "version": policy.version, "hash": policy.hash, "rules": rules(policy),
                "bounds": bounds(policy), "expires": policy.expires.map(|at| at / 1_000),
            })
        );
    } else {
        table(policy);
        conclusion(policy).iter().for_each(|line| say!("{line}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The table for people.
pub(super) fn table(policy: &Policy) {
    let table = rules(policy);
    let width = table.iter().map(|rule| rule.name.len()).max().unwrap_or_default();
    for Rule { name, carried, how } in &table {
        let name = format!("{name:width$}");
        match carried {
            Carried::Chain => say!("  {}   {name}  {how}", "chain".green()),
            Carried::Partly => say!("  {}  {name}  {how}", "partly".yellow()),
            Carried::Steward => say!("  {} {}  {how}", "steward".dimmed(), name.dimmed()),
        }
    }
}

/// What a thief could take, and until when.
pub(super) fn conclusion(policy: &Policy) -> Vec<String> {
    let bounds = bounds(policy);
    if bounds.is_empty() {
        return vec![
            "It may draw nothing on the account: there is nothing to delegate.".to_owned(),
        ];
    }
    let mut lines = vec![
        "Whoever has the agent's key, or its whole host, takes at most what that key holds, and from \
         the account"
            .to_owned(),
    ];
    lines.extend(bounds.iter().map(|Bound { float, hour, day, days30, total }| {
        let hour = Some(hour).filter(|hour| hour.units < day.units);
        let spans = [
            hour.map(|most| (most, "in any hour")),
            Some((day, "in any 24 hours")),
            Some((days30, "in any 30 days")),
            total.as_ref().map(|most| (most, "in all")),
        ];
        let spans = spans.into_iter().flatten();
        let said: Vec<_> =
            spans.map(|(most, span)| format!("{} {span}", policy.show(*most))).collect();
        let float = float.map(|most| format!(" (the float is {} at most)", policy.show(most)));
        format!("  {}{};", said.join(", "), float.unwrap_or_default())
    }));
    lines.push("until you revoke it, which ends it at once.".to_owned());
    if bounds.iter().any(|bound| policy.owner_limits.contains_key(&bound.day.asset)) {
        lines.push(
            "The limits of all agents together hold for those that are delegated under the very same ones; \
             with others beside them it is the sum, which marque account status says."
                .to_owned(),
        );
    }
    if policy.expires.is_none() {
        lines.push(format!(
            "The policy names no `expires`: what is delegated ends {USUAL} days after it is signed."
        ));
    }
    lines
}
