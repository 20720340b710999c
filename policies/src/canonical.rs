//! One meaning, one hash: RFC 8785 JSON with its integers kept exact.
//!
//! RFC 8785 writes numbers as IEEE doubles, which are exact up to 2^53 only, and advises to carry
//! larger integers as strings. Here that is done for every integer past 2^53, so two bodies that
//! differ in one unit never hash alike.

use crate::{
    document::{
        Asset, Chain, Expectation, Finality, Limits, PastPayment, Payee, PinnedIdentity, Policy,
        PolicyTest, Tool,
    },
    intent::tagged,
    money::{AssetId, Money},
};
use alloy_primitives::{B256, U256};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The largest integer up to which every integer is a double of its own.
const EXACT: u64 = 1 << 53;

/// RFC 8785 bytes of a value, integers past 2^53 as decimal strings.
///
/// The value must consist of integers, strings, lists and maps with string keys. Such a value
/// always serialises.
pub(crate) fn bytes(value: &impl Serialize) -> Vec<u8> {
    let mut value = serde_json::to_value(value).unwrap_or_default();
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

// Every struct is taken apart field by field, so that a field added later cannot be forgotten.

fn document(policy: &Policy) -> Value {
    let Policy {
        version,
        owner,
        chains,
        assets,
        limits,
        gas,
        owner_limits,
        owner_gas,
        payees,
        tools,
        income,
        tests,
        hash: _,
    } = policy;
    json!({
        "format": crate::parse::FORMAT,
        "version": version,
        "owner": owner,
        "chains": named(chains, chain),
        "assets": named(assets, asset),
        "limits": by_asset(limits),
        "gas": by_asset(gas),
        "owner_limits": by_asset(owner_limits),
        "owner_gas": by_asset(owner_gas),
        "payees": named(payees, payee),
        "tools": named(tools, tool),
        "income": income.iter().map(asset_id).collect::<Vec<_>>(),
        "tests": tests.iter().map(test).collect::<Vec<_>>(),
    })
}

fn named<T>(entries: &BTreeMap<String, T>, write: impl Fn(&T) -> Value) -> Value {
    entries.iter().map(|(name, entry)| (name.clone(), write(entry))).collect()
}

fn by_asset(entries: &BTreeMap<AssetId, Limits>) -> Value {
    entries.iter().map(|(asset, entry)| (asset.to_string(), limits(entry))).collect()
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

fn units(units: Option<U256>) -> Value {
    json!(units.map(|units| units.to_string()))
}

fn money(money: &Money) -> Value {
    json!(format!("{} {}", money.units, money.asset))
}

fn payee(payee: &Payee) -> Value {
    let Payee { address, identity, host, payment, day, total } = payee;
    let identity = identity.as_ref().map(|pin| {
        let PinnedIdentity { chain, registry, agent_id, owner } = pin;
        json!({
            "chain": chain, "registry": registry, "agent_id": agent_id.to_string(), "owner": owner,
        })
    });
    json!({
        "address": address, "identity": identity, "host": host,
        "payment": payment.as_ref().map(money), "day": day.as_ref().map(money),
        "total": total.as_ref().map(money),
    })
}

fn tool(tool: &Tool) -> Value {
    let Tool { hosts, rate, sends } = tool;
    json!({ "hosts": hosts, "rate": rate, "sends": sends })
}

fn test(test: &PolicyTest) -> Value {
    let PolicyTest { given, pay: (amount, to), then } = test;
    let given: Vec<Value> = given
        .iter()
        .map(|past| {
            let PastPayment { amount, payee, age } = past;
            json!({ "amount": money(amount), "payee": payee, "age": age })
        })
        .collect();
    let then = match then {
        Expectation::Allowed => json!("allowed"),
        Expectation::Held => json!("held"),
        Expectation::RefusedBy(rule) => json!({ "refused_by": rule }),
    };
    json!({ "given": given, "amount": money(amount), "payee": to, "then": then })
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
