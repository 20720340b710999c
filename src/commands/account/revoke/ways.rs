//! The chains on which the owner's delegations may live, and the endpoints that lead there: by the owner's
//! own folder. What of it cannot be read is told, and takes no other chain away.

use super::super::framework_on;
use crate::{
    commands::{
        Shared,
        funds::{Coins, coin},
        policy::chain_of,
        trust::read,
    },
    failure::{Done, Failure},
};
use alloy_primitives::U256;
use marque::owner::Notes;
use marque_contracts::delegation::Framework;
use marque_identity::Rpc;
use marque_policies::Policy;
use std::collections::BTreeSet;

/// Chains of the policies that the key here signed, and of what it delegated.
pub(super) struct Ways {
    /// Each with the endpoints of the newest policy that can be read, of every agent: whoever is named in one
    /// of them is asked, as another one may lie.
    pub(super) known: Vec<(Rpc, Framework)>,
    /// Those to which no endpoint leads, and why.
    pub(super) lost: Vec<(u64, Failure)>,
    /// What the chains' coins are called.
    coins: Vec<(u64, String)>,
    /// Policies that cannot be read where an older one names the endpoints.
    pub(super) doubts: Vec<String>,
}

impl Ways {
    pub(super) fn of(shared: &Shared) -> Done<Self> {
        let notes = Notes::readable(&shared.owner_home()?)?;
        let (known, lost, coins, doubts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut ways = Self { known, lost, coins, doubts };
        let (mut unread, mut newest) = (Vec::new(), BTreeSet::new());
        for noted in notes.adoptions().rev() {
            // Where Marque knows no framework nothing was delegated either.
            let Ok(framework) = framework_on(noted.chain) else { continue };
            if newest.contains(&(noted.chain, noted.origin, &noted.agent)) {
                continue;
            }
            let way = |policy: Policy| Ok((chain_of(&policy)?, coin(&policy).to_owned()));
            match read(noted).and_then(way) {
                Ok(((chain, rpc), coin)) if chain == noted.chain => {
                    ways.coins.push((chain, coin));
                    newest.insert((chain, noted.origin, &noted.agent));
                    match ways.known.iter_mut().find(|(_, known)| known.chain == chain) {
                        Some((known, _)) => *known = known.and(&rpc),
                        None => ways.known.push((rpc, framework)),
                    }
                }
                Ok(_) => {}
                Err(failure) => {
                    let why = format!(
                        "version {} of the policy of {} on eip155:{} is not read: {}",
                        noted.version, noted.agent, noted.chain, failure.message
                    );
                    unread.push((noted.chain, why));
                }
            }
        }
        for (chain, why) in unread {
            match ways.leads(chain) {
                true => ways.doubts.push(why),
                false => ways.lose(chain, &why),
            }
        }
        let delegated: Vec<u64> = notes.chains().collect();
        for chain in delegated {
            let why = format!("no policy that you signed names an endpoint of eip155:{chain}");
            if !ways.leads(chain) {
                ways.lose(chain, &why);
            }
        }
        Ok(ways)
    }

    /// An amount in coins of every chain: where it names one, all have to be called so.
    pub(super) fn wei(&self, coins: &Coins) -> Done<U256> {
        match self.coins.is_empty() {
            true => coins.unnamed(),
            false => self.coins.iter().try_fold(U256::ZERO, |_, (_, coin)| coins.called(coin)),
        }
    }

    /// The same in coins of one.
    pub(super) fn wei_on(&self, coins: &Coins, chain: u64) -> Done<U256> {
        match self.coins.iter().find(|(of, _)| *of == chain) {
            Some((_, coin)) => coins.called(coin),
            None => coins.unnamed(),
        }
    }

    fn leads(&self, chain: u64) -> bool {
        self.known.iter().any(|(_, framework)| framework.chain == chain)
    }

    fn lose(&mut self, chain: u64, why: &str) {
        if self.lost.iter().all(|(lost, _)| *lost != chain) {
            let failure = Failure::new(format!("{why}; nothing was ended there"));
            self.lost.push((chain, failure.help(through(chain))));
        }
    }

    /// The endpoints of a chain.
    pub(super) fn to(&self, chain: u64) -> Done<Rpc> {
        let known = self.known.iter().find(|(_, framework)| framework.chain == chain);
        let lost = || self.lost.iter().find(|(lost, _)| *lost == chain);
        match (known, lost()) {
            (Some((rpc, _)), _) => Ok(rpc.clone()),
            (None, Some((_, failure))) => Err(failure.again()),
            (None, None) => {
                let why = format!("no policy that you signed names an endpoint of eip155:{chain}");
                Err(Failure::new(why).help(through(chain)))
            }
        }
    }
}

/// The way out for one chain.
pub(super) fn through(chain: u64) -> String {
    format!("through an endpoint of eip155:{chain}: marque account revoke --all --rpc URL")
}
