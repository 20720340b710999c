//! One meaning, one hash: RFC 8785 JSON with its integers kept exact.
//!
//! RFC 8785 writes numbers as IEEE doubles, which are exact up to 2^53 only, and advises to carry
//! larger integers as strings. Here that is done for every integer past 2^53, so two bodies that
//! differ in one unit never hash alike.

use crate::{
    document::{
        Approvals, Asset, Attitude, Bound, Chain, Constraint, Expectation, Finality, Float, Given,
        LabelRules, Limits, PaidBy, PastPayment, Payee, PinnedIdentity, Policy, PolicyTest, Pool,
        SubAgent, Tool, When,
    },
    intent::{Argument, Intent, tagged},
    money::{AssetId, Money},
    times::Times,
};
use alloy_primitives::{B256, U256};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The largest integer up to which every integer is a double of its own.
const EXACT: u64 = 1 << 53;

/// RFC 8785 bytes of a value, integers past 2^53 as decimal strings.
///
/// The value must consist of integers, strings, lists and maps with string keys. Such a value
/// always serialises.
pub(crate) fn bytes(value: &impl Serialize) -> Vec<u8> {
    written(serde_json::to_value(value).unwrap_or_default())
}

/// The same for an intent, in which a number among the arguments is never taken for a text.
pub(crate) fn body(intent: &Intent) -> Vec<u8> {
    let mut value = serde_json::to_value(intent).unwrap_or_default();
    if let (Intent::Tool(used), Some(fields)) = (intent, value.as_object_mut())
        && fields.contains_key("arguments")
    {
        fields.insert("arguments".to_owned(), self::arguments(&used.arguments));
    }
    written(value)
}

fn written(mut value: Value) -> Vec<u8> {
    keep_integers_exact(&mut value);
    serde_json_canonicalizer::to_vec(&value).unwrap_or_default()
}

fn keep_integers_exact(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let exact = number.as_i64().map(i64::unsigned_abs).or(number.as_u64());
            if exact.is_none_or(|units| units > EXACT) {
                *value = Value::String(number.to_string());
            }
        }
        Value::Array(values) => values.iter_mut().for_each(keep_integers_exact),
        Value::Object(fields) => fields.values_mut().for_each(keep_integers_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// The hash that the owner signs: SHA-256 under the tag `marque/policy/v1` over the canonical JSON
/// of everything the document means. Comments and layout do not count.
pub(crate) fn policy_hash(policy: &Policy) -> B256 {
    tagged("marque/policy/v1", &[&bytes(&document(policy))])
}

// Every struct is taken apart field by field, so that a field added later cannot be forgotten. What
// a document does not use is left out, so that a part that the language gained later does not
// change the hash of a document without it.

fn document(policy: &Policy) -> Value {
    let Policy {
        version,
        owner,
        expires,
        times,
        labels,
        approvals,
        chains,
        assets,
        limits,
        gas,
        owner_limits,
        owner_gas,
        task_limits,
        pools,
        floats,
        payees,
        categories,
        tools,
        sub_agents,
        income,
        facilitator,
        tests,
        forbids,
        hash: _,
    } = policy;
    let mut value = json!({
        "format": crate::parse::FORMAT,
        "version": version,
        "owner": owner,
        "chains": named(chains, chain),
        "assets": named(assets, asset),
        "limits": by_asset(limits, self::limits),
        "gas": by_asset(gas, self::limits),
        "owner_limits": by_asset(owner_limits, self::limits),
        "owner_gas": by_asset(owner_gas, self::limits),
        "payees": named(payees, payee),
        "tools": named(tools, tool),
        "income": income.iter().map(asset_id).collect::<Vec<_>>(),
        "tests": tests.iter().map(test).collect::<Vec<_>>(),
    });
    let forbids: Vec<Value> = forbids
        .iter()
        .map(|forbid| json!({ "name": forbid.name, "means": forbid.meaning }))
        .collect();
    also(&mut value, "expires", json!(expires));
    also(&mut value, "times", self::times(times));
    also(&mut value, "labels", label_rules(labels));
    also(&mut value, "approvals", self::approvals(approvals));
    also(&mut value, "task_limits", by_asset(task_limits, self::limits));
    also(&mut value, "pools", by_asset(pools, pool));
    also(&mut value, "floats", by_asset(floats, float));
    also(&mut value, "categories", named(categories, bound));
    also(&mut value, "sub_agents", named(sub_agents, sub_agent));
    also(&mut value, "facilitator", json!(facilitator.iter().map(asset_id).collect::<Vec<_>>()));
    also(&mut value, "forbids", json!(forbids));
    value
}

/// Adds a part unless it says nothing.
fn also(value: &mut Value, key: &str, part: Value) {
    let empty = match &part {
        Value::Null | Value::Bool(false) => true,
        Value::Array(parts) => parts.is_empty(),
        Value::Object(parts) => parts.is_empty(),
        _ => false,
    };
    if let (false, Value::Object(fields)) = (empty, value) {
        fields.insert(key.to_owned(), part);
    }
}

fn named<T>(entries: &BTreeMap<String, T>, write: impl Fn(&T) -> Value) -> Value {
    entries.iter().map(|(name, entry)| (name.clone(), write(entry))).collect()
}

fn by_asset<T>(entries: &BTreeMap<AssetId, T>, write: impl Fn(&T) -> Value) -> Value {
    entries.iter().map(|(asset, entry)| (asset.to_string(), write(entry))).collect()
}

fn times(times: &Times) -> Value {
    json!(times.0.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn label_rules(rules: &LabelRules) -> Value {
    let LabelRules { web, peer, memory, model } = rules;
    let mut value = Value::Object(Map::new());
    for (key, attitude) in [("web", web), ("peer", peer), ("memory", memory), ("model", model)] {
        let word = attitude.map(|attitude| match attitude {
            Attitude::Ask => "ask",
            Attitude::Refuse => "refuse",
        });
        also(&mut value, key, json!(word));
    }
    value
}

fn approvals(approvals: &Approvals) -> Value {
    let Approvals { valid, held } = approvals;
    let mut value = Value::Object(Map::new());
    also(&mut value, "valid", json!(valid));
    also(&mut value, "held", json!(held));
    value
}

fn chain(chain: &Chain) -> Value {
    let Chain { id, rpc, finality, native, identity_registry } = chain;
    let finality = match finality {
        Finality::Safe => json!("safe"),
        Finality::Finalized => json!("finalized"),
        Finality::Confirmations(blocks) => json!(blocks),
    };
    json!({
        "id": id, "rpc": rpc, "finality": finality, "native": native,
        "identity_registry": identity_registry,
    })
}

fn asset(asset: &Asset) -> Value {
    let Asset { id, decimals, domain } = asset;
    json!({ "id": asset_id(id), "decimals": decimals, "domain": domain })
}

fn asset_id(asset: &AssetId) -> Value {
    json!(asset.to_string())
}

fn limits(limits: &Limits) -> Value {
    let Limits { payment, hour, day, days30, total, ask_above, ask_above_day } = limits;
    json!({
        "payment": units(*payment), "hour": units(*hour), "day": units(*day),
        "days30": units(*days30), "total": units(*total),
        "ask_above": units(*ask_above), "ask_above_day": units(*ask_above_day),
    })
}

fn pool(pool: &Pool) -> Value {
    let Pool { limits, peer_day, peer_total } = pool;
    json!({
        "limits": self::limits(limits),
        "peer_day": units(*peer_day), "peer_total": units(*peer_total),
    })
}

fn float(float: &Float) -> Value {
    let Float { low, high, required } = float;
    let mut value = json!({ "low": low.to_string(), "high": high.to_string() });
    also(&mut value, "required", json!(required));
    value
}

fn bound(bound: &Bound) -> Value {
    let Bound { asset, limits } = bound;
    json!({ "asset": asset_id(asset), "limits": self::limits(limits) })
}

fn sub_agent(sub_agent: &SubAgent) -> Value {
    let SubAgent { payees, tools, limits, gas } = sub_agent;
    json!({
        "payees": payees, "tools": tools, "limits": by_asset(limits, self::limits),
        "gas": by_asset(gas, self::limits),
    })
}

fn units(units: Option<U256>) -> Value {
    json!(units.map(|units| units.to_string()))
}

fn money(money: &Money) -> Value {
    json!(format!("{} {}", money.units, money.asset))
}

fn payee(payee: &Payee) -> Value {
    let Payee { address, identity, host, category, bound, times } = payee;
    let identity = identity.as_ref().map(|pin| {
        let PinnedIdentity { chain, registry, agent_id, owner } = pin;
        json!({
            "chain": chain, "registry": registry, "agent_id": agent_id.to_string(), "owner": owner,
        })
    });
    let Limits { payment, hour, day, days30, total, ask_above, ask_above_day } =
        bound.map(|bound| bound.limits).unwrap_or_default();
    let limit = |limit: Option<U256>| {
        let limit = bound.and_then(|bound| limit.map(|units| Money::new(units, bound.asset)));
        limit.as_ref().map_or(Value::Null, money)
    };
    let mut value = json!({
        "address": address, "identity": identity, "host": host,
        "payment": limit(payment), "day": limit(day), "total": limit(total),
    });
    for (key, part) in [
        ("hour", limit(hour)),
        ("days30", limit(days30)),
        ("ask_above", limit(ask_above)),
        ("ask_above_day", limit(ask_above_day)),
        ("category", json!(category)),
        ("times", self::times(times)),
    ] {
        also(&mut value, key, part);
    }
    value
}

fn tool(tool: &Tool) -> Value {
    let Tool { hosts, methods, rate, sends, arguments, times, labels } = tool;
    let mut value = json!({ "hosts": hosts, "rate": rate, "sends": sends });
    also(&mut value, "methods", json!(methods));
    also(&mut value, "arguments", named(arguments, constraint));
    also(&mut value, "times", self::times(times));
    also(&mut value, "labels", label_rules(labels));
    value
}

fn constraint(constraint: &Constraint) -> Value {
    let Constraint { one_of, starts_with, longest, at_least, at_most } = constraint;
    let one_of = one_of.as_ref().map(|all| all.iter().map(argument).collect::<Vec<_>>());
    json!({
        "one_of": one_of, "starts_with": starts_with, "longest": longest,
        "at_least": at_least, "at_most": at_most,
    })
}

fn arguments(arguments: &BTreeMap<String, Argument>) -> Value {
    named(arguments, argument)
}

/// An argument may be a text as well as a number, so a number that is kept exact as a text says
/// that it is one.
fn argument(argument: &Argument) -> Value {
    match argument {
        Argument::Integer(number) if number.unsigned_abs() > EXACT => {
            json!({ "integer": number.to_string() })
        }
        other => json!(other),
    }
}

fn test(test: &PolicyTest) -> Value {
    let PolicyTest { given, when, at, sub_agent, task, asked_by, labels, approved, then } = test;
    let then = match then {
        Expectation::Allowed => json!("allowed"),
        Expectation::Held => json!("held"),
        Expectation::HeldBy(rule) => json!({ "held_by": rule }),
        Expectation::RefusedBy(rule) => json!({ "refused_by": rule }),
    };
    let mut value = json!({ "given": given.iter().map(past).collect::<Vec<_>>(), "then": then });
    match when {
        When::Pay { amount, payee } => {
            also(&mut value, "amount", money(amount));
            also(&mut value, "payee", json!(payee));
        }
        When::Use { tool, fetch, bytes, arguments } => {
            let using = json!({
                "tool": tool, "fetch": fetch, "bytes": bytes,
                "arguments": self::arguments(arguments),
            });
            also(&mut value, "use", using);
        }
        When::Collect(amount) => also(&mut value, "collect", money(amount)),
        When::Return(amount) => also(&mut value, "return", money(amount)),
    }
    also(&mut value, "at", json!(at.map(|at| at.to_string())));
    also(&mut value, "sub_agent", json!(sub_agent));
    also(&mut value, "task", json!(task));
    also(&mut value, "asked_by", json!(asked_by));
    also(&mut value, "labels", json!(labels));
    also(&mut value, "approved", json!(approved));
    value
}

fn past(given: &Given) -> Value {
    match given {
        Given::Paid(PastPayment { amount, payee, age, by }) => {
            let mut value = json!({ "amount": money(amount), "payee": payee, "age": age });
            let by = match by {
                PaidBy::Agent => Value::Null,
                PaidBy::AnotherAgent => json!("another agent"),
                PaidBy::SubAgent(name) => json!({ "sub_agent": name }),
                PaidBy::Task(name) => json!({ "task": name }),
            };
            also(&mut value, "by", by);
            value
        }
        Given::Used { tool, age, bytes } => json!({ "used": tool, "age": age, "bytes": bytes }),
        Given::Pinned { payee, address } => json!({ "pinned": payee, "address": address }),
        Given::Undelivered(payee) => json!({ "undelivered": payee }),
        Given::Unresolved(payee) => json!({ "unresolved": payee }),
        Given::ChangedHands(payee) => json!({ "changed_hands": payee }),
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn neighbouring_large_integers_stay_apart() {
        let text = |n: u64| String::from_utf8(bytes(&serde_json::json!({ "n": n }))).unwrap();
        assert_eq!(text(1 << 53), r#"{"n":9007199254740992}"#);
        assert_eq!(text((1 << 53) + 1), r#"{"n":"9007199254740993"}"#);
        assert_ne!(text(u64::MAX), text(u64::MAX - 1));
    }
}
