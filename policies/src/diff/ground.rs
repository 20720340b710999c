//! Chains and assets: whom the steward asks, when something is final, and what an amount is of.
//!
//! Chains are told apart by their EIP-155 id and assets by their contract; what a document calls
//! them matters to its forbids alone.

use super::{Direction, cases::Cases, compare::Comparison};
use crate::{
    document::{Asset, Chain, Finality},
    money::AssetId,
};
use std::collections::{BTreeMap, BTreeSet};

impl<'a> Comparison<'a> {
    pub(super) fn chains(
        &mut self,
        old: &'a BTreeMap<String, Chain>,
        new: &'a BTreeMap<String, Chain>,
    ) {
        for (name, chain) in old {
            match new.iter().find(|(_, other)| other.id == chain.id) {
                None => {
                    let (subject, id) = (format!("chain.{name}"), chain.id);
                    let said = "gone; nothing may be done on it";
                    self.changed(subject, Direction::Narrower, said, |c| c.on_chain(id));
                }
                Some((name, other)) => self.chain(&format!("chain.{name}"), chain, other),
            }
        }
        for (name, chain) in new {
            if !old.values().any(|other| other.id == chain.id) {
                let (subject, id) = (format!("chain.{name}"), chain.id);
                let said = format!("new: {}", chain.rpc.join(", "));
                self.changed(subject, Direction::Wider, said, |c| c.on_chain(id));
            }
        }
    }

    fn chain(&mut self, path: &str, old: &'a Chain, new: &'a Chain) {
        // The coin's symbol is the name of an asset and is compared there.
        let Chain { id, rpc, finality, native: _, identity_registry } = old;
        if *rpc != new.rpc {
            let fewer = new.rpc.iter().all(|endpoint| rpc.contains(endpoint));
            let (direction, word) = if fewer && new.rpc.len() < rpc.len() {
                (Direction::Wider, "fewer have to agree: ")
            } else {
                (Direction::Different, "")
            };
            let said =
                format!("{word}the steward asks {} instead of {}", list(&new.rpc), list(rpc));
            self.noted(format!("{path}.rpc"), direction, said);
        }
        if *finality != new.finality {
            let stronger = at_least_as_final(new.finality, *finality);
            let weaker = at_least_as_final(*finality, new.finality);
            let direction = match (stronger, weaker) {
                (true, _) => Direction::Narrower,
                (false, true) => Direction::Wider,
                (false, false) => Direction::Different,
            };
            let said = format!(
                "a payment counts as final {} instead of {}",
                finally(new.finality),
                finally(*finality)
            );
            self.noted(format!("{path}.finality"), direction, said);
        }
        if *identity_registry != new.identity_registry {
            let (was, is) = (identity_registry, &new.identity_registry);
            let direction = match (was, is) {
                (Some(_), Some(_)) => Direction::Different,
                (was, _) => Direction::gained(was.is_none()),
            };
            let show = |registry: &Option<_>| match registry {
                Some(registry) => format!("{registry}"),
                None => "no registry".to_owned(),
            };
            let (said, id) = (format!("{} instead of {}", show(is), show(was)), *id);
            self.changed(format!("{path}.identity_registry"), direction, said, |cases| {
                cases.accepts_on(id)
            });
        }
    }

    pub(super) fn assets(
        &mut self,
        old: &'a BTreeMap<String, Asset>,
        new: &'a BTreeMap<String, Asset>,
    ) {
        let Cases { old: before, new: after } = self.cases;
        let ids: BTreeSet<AssetId> = old.values().chain(new.values()).map(|a| a.id).collect();
        for id in ids {
            // The coin of a chain comes and goes with it.
            let chain = before.chain(id.chain).is_some() && after.chain(id.chain).is_some();
            match (before.asset(id), after.asset(id)) {
                _ if id.is_native() && !chain => {}
                (Some((name, asset)), Some((other, new))) => self.asset(name, other, asset, new),
                (was, is) => {
                    let name = was.or(is).map_or("?", |(name, _)| name);
                    let (gone, namesake) = (was.is_some(), [old, new].map(|all| all.get(name)));
                    let said = match (gone, namesake) {
                        (true, [_, Some(_)]) => format!("{id} is not called so any more"),
                        (false, [Some(_), _]) => format!("now another token: {id}"),
                        (true, _) => "gone; it may not be paid, collected or returned".to_owned(),
                        (false, _) => "new; it may be returned to the owner".to_owned(),
                    };
                    let direction = Direction::gained(!gone);
                    self.changed(format!("asset.{name}"), direction, said, |c| c.any_in(id));
                }
            }
        }
    }

    fn asset(&mut self, name: &str, other: &str, old: &'a Asset, new: &'a Asset) {
        let Asset { id, decimals, domain } = old;
        let (path, id) = (format!("asset.{other}"), *id);
        if name != other && self.names_matter() {
            let said = format!("was called {name}, which forbids may name");
            self.changed(&path, Direction::Different, said, |c| c.any_in(id));
        }
        if *decimals != new.decimals {
            let said =
                format!("{} instead of {decimals}, so its amounts read differently", new.decimals);
            self.noted(format!("{path}.decimals"), Direction::Different, said);
        }
        if *domain != new.domain {
            let (direction, said) = match (domain, &new.domain) {
                (None, _) => (Direction::Wider, "new; authorisations may be signed for it"),
                (_, None) => (Direction::Narrower, "gone; no authorisation is signed for it"),
                _ => (Direction::Different, "authorisations are signed for another domain"),
            };
            self.changed(format!("{path}.domain"), direction, said, |c| c.any_in(id));
        }
    }
}

/// Whether what counts as final by `one` always does by `other`.
fn at_least_as_final(one: Finality, other: Finality) -> bool {
    match (one, other) {
        (Finality::Confirmations(one), Finality::Confirmations(other)) => one >= other,
        // Every chain's finalized block is at or below its safe one.
        (Finality::Finalized, Finality::Safe | Finality::Finalized) => true,
        (one, other) => one == other,
    }
}

fn finally(finality: Finality) -> String {
    match finality {
        Finality::Safe => "when its block is safe".to_owned(),
        Finality::Finalized => "when its block is finalized".to_owned(),
        Finality::Confirmations(blocks) => format!("with {blocks} blocks on top"),
    }
}

fn list(endpoints: &[String]) -> String {
    endpoints.join(", ")
}
