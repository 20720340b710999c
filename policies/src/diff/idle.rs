//! A policy under which the agent can neither pay nor use anything: what it says about payments and
//! tools permits nothing, however generous it is.
//!
//! Where there is no payee and no pool, `payee.known` fails for every payment; where there is no
//! tool, `tool.known` fails for every use. Both are as strict as any rule that was there before, so
//! a change of a rule that speaks about payments and tools alone is nowhere wider; and where the old
//! policy was such a one, nowhere narrower.

use crate::document::{Limits, Policy};

/// Whether the rule of this name speaks only about what the policy `new` refuses altogether.
pub(super) fn is_idle(old: &Policy, new: &Policy, subject: &str) -> bool {
    if !(new.payees.is_empty() && new.pools.is_empty() && new.tools.is_empty()) {
        return false;
    }
    let (part, rest) = subject.split_once('.').unwrap_or((subject, ""));
    match part {
        "times" | "labels" | "task" | "category" | "payee" | "pool" | "tool" => true,
        "limits" => is_token(old, new, rest),
        "owner" => rest.strip_prefix("limits.").is_some_and(|rest| is_token(old, new, rest)),
        // A forbid speaks about what is collected as well, which takes an income.
        "cedar" => new.income.is_empty() && new.facilitator.is_empty(),
        "approvals" => asks_nothing(new),
        _ => false,
    }
}

/// Whether these are limits on a token, which no fees are paid in.
fn is_token(old: &Policy, new: &Policy, path: &str) -> bool {
    let name = path.split('.').next().unwrap_or_default();
    let mut named = [old, new].into_iter().filter_map(|policy| policy.assets.get(name)).peekable();
    named.peek().is_some() && named.all(|asset| !asset.id.is_native())
}

/// Whether nothing is ever held under a policy that refuses all payments and uses: no identity can
/// take the agent as its wallet, and no fees are asked about.
fn asks_nothing(policy: &Policy) -> bool {
    let asks = |limits: &Limits| limits.ask_above.is_some() || limits.ask_above_day.is_some();
    let own = [&policy.limits, &policy.gas, &policy.owner_limits, &policy.owner_gas];
    let below = policy.sub_agents.values().flat_map(|sub| [&sub.limits, &sub.gas]);
    let fees = own.into_iter().chain(below).flatten().filter(|(asset, _)| asset.is_native());
    policy.chains.values().all(|chain| chain.identity_registry.is_none())
        && fees.map(|(_, limits)| limits).all(|limits| !asks(limits))
}
