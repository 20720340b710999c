//! Policies as text, what they are on chain, and a plain model of what is left of their limits.

use crate::estate::Estate;
use alloy_primitives::U256;
use marque_contracts::delegation::Permission;
use marque_identity::account::{Ground, compile};
use marque_policies::{AssetId, Policy, document::Limits, parse};
use serde_json::json;

/// The first second of the first history here. Each begins later than what went before counts.
pub(crate) const BEGIN: u64 = 1_900_000_000;

/// Base units as a policy writes dollars.
pub(crate) fn written(units: u64) -> String {
    format!("{}.{:06}", units / 1_000_000, units % 1_000_000)
}

/// A policy with these limits, and those of all agents together; it pays the estate's payee.
pub(crate) fn policy(
    estate: &Estate,
    own: &str,
    together: &str,
    float: Option<(u64, u64)>,
) -> (Policy, String) {
    let float = float.map_or_else(String::new, |(low, high)| {
        format!("[float.USD]\nlow = \"{}\"\nhigh = \"{}\"\n", written(low), written(high))
    });
    let text = format!(
        "format = 1\nversion = 2\n[owner]\naddress = \"{}\"\n{together}\n\
         [chain.devnet]\nid = \"eip155:31337\"\nrpc = [\"http://127.0.0.1:9\"]\nfinality = 1\n\
         native = \"ETH\"\n[asset.USD]\ntoken = \"{}\"\ndecimals = 6\n\
         domain = {{ name = \"Marque Test Dollar\", version = \"1\" }}\n[limits.USD]\n{own}\n\
         [limits.gas]\nday = \"1 ETH\"\n{float}[[payee]]\nname = \"shop\"\naddress = \"{}\"\n\
         host = \"shop.example\"\n",
        estate.owner, estate.token, estate.payee,
    );
    let policy = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}")).0;
    (policy, text)
}

pub(crate) fn dollar(estate: &Estate) -> AssetId {
    AssetId { chain: 31_337, token: estate.token }
}

/// What the agent redeems under a policy, compiled and signed as `marque account delegate` does.
pub(crate) fn delegate(estate: &Estate, policy: &Policy, begin: u64) -> Permission {
    let ground = Ground {
        framework: estate.framework,
        account: estate.account,
        agent: estate.agent,
        nonce: U256::ZERO,
        until: begin + 2_000 * 86_400,
        salt: U256::from(begin),
    };
    let grants = compile(policy, &ground).unwrap();
    let [grant] = &grants[..] else { panic!("{} grants", grants.len()) };
    Permission::new(grant.delegations().map(|it| estate.sign(it))).unwrap()
}

/// What left at which second, under limits of (seconds, base units); no seconds is for ever.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room {
    single: Option<u64>,
    windows: Vec<(Option<u64>, u64)>,
    pub(crate) gone: Vec<(u64, u64)>,
}

impl Room {
    /// Of several sections of limits together, with `single` at most at a time.
    pub(crate) fn new<'a>(sections: impl Iterator<Item = &'a Limits>, single: Option<u64>) -> Self {
        let windows = sections.flat_map(|limits| {
            limits.windows().map(|(_, width, most)| (width.map(|width| width / 1_000), most.to()))
        });
        Self { single, windows: windows.collect(), gone: Vec::new() }
    }

    /// What a transfer in a block of this time may be.
    pub(crate) fn left(&self, now: u64) -> u64 {
        let left = self.windows.iter().map(|(width, most)| {
            let counts = |at: u64| width.is_none_or(|width| at + width > now);
            let used: u64 = self.gone.iter().filter(|(at, _)| counts(*at)).map(|(_, n)| n).sum();
            most.saturating_sub(used)
        });
        left.chain(self.single).min().unwrap_or_default()
    }

    /// The next second at which something leaves a window.
    pub(crate) fn next(&self, now: u64) -> Option<u64> {
        let widths = || self.windows.iter().filter_map(|(width, _)| *width);
        let edges = self.gone.iter().flat_map(|(at, _)| widths().map(move |width| at + width));
        edges.filter(|edge| *edge > now).min()
    }

    pub(crate) fn total(&self) -> u64 {
        self.gone.iter().map(|(_, units)| units).sum()
    }
}

/// The room of an agent's own limits and those of all agents.
pub(crate) fn room(policy: &Policy, asset: AssetId, single: Option<u64>) -> Room {
    let sections = [policy.limits.get(&asset), policy.owner_limits.get(&asset)];
    Room::new(sections.into_iter().flatten(), single)
}

/// Whether the chain would give the agent's key so much in a block of this time.
pub(crate) fn would_draw(estate: &Estate, permission: &Permission, units: u64, block: u64) -> bool {
    let Estate { chain, framework, agent, .. } = estate;
    let data = permission.redeem(&estate.transfer(*agent, units));
    let call = json!({ "from": agent, "to": framework.manager, "data": data });
    let time = json!({ "time": format!("{block:#x}") });
    chain.rpc("eth_call", json!([call, "latest", {}, time])).is_ok()
}
