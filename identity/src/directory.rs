//! Who is registered: the events of an ERC-8004 identity registry, folded into a list.
//!
//! A registry lists nobody; only its events say who came. They are read from the newest block backwards,
//! a few pages at a time, and what was read is kept, so that the list grows with each look and no look
//! takes long. Whoever pays the fees can register, under any name and as often as they like. So the
//! list is bounded, what a card says is cut, and all of it is only ever a claim: ask [`resolve`] who
//! owns an agent and where it is paid, and a policy who may be.
//!
//! [`resolve`]: crate::registry::resolve

use crate::{Card, IdentityError, Rpc, receipt::WireLog};
use alloy_primitives::{Address, U64, U256};
use alloy_sol_types::SolEvent as _;
use marque_contracts::IdentityRegistry as Registry;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// The version in which a list is written.
const VERSION: u16 = 1;
/// Blocks that are asked for at once.
const PAGE: u64 = 5_000;
/// Blocks that are read again, since they may have been taken back.
const LOOSE: u64 = 64;
/// So many agents are listed; then the oldest goes.
const MOST: usize = 4_096;
/// Characters of a description, of an endpoint and of an address of a card that are kept.
const ABOUT: usize = 400;
const ENDPOINT: usize = 256;
/// Services that are kept.
const SERVICES: usize = 8;

/// What is known of the agents in one registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    v: u16,
    /// EIP-155 chain id.
    chain: u64,
    registry: Address,
    /// The first and last block that were read.
    read: Option<(u64, u64)>,
    /// By agent id, in decimal digits.
    agents: BTreeMap<U256, Listing>,
}

/// An agent as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// The block in which it said so.
    pub block: u64,
    /// What it is called; empty where its card could not be read.
    pub name: String,
    /// What it does, shortened.
    pub about: String,
    /// Where it is reached: what is spoken there, and the place.
    pub services: Vec<(String, String)>,
    /// Whether it takes x402 payments.
    pub x402: bool,
    /// Whether it says that it is in business.
    pub active: bool,
    /// Where its card is, if it is elsewhere than on chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<String>,
}

impl Listing {
    fn new(uri: &str, block: u64) -> Self {
        let short = |text: &str, most: usize| text.chars().take(most).collect::<String>();
        match Card::from_data_uri(uri) {
            Ok(card) => Self {
                block,
                about: short(&card.description, ABOUT),
                services: card
                    .services
                    .iter()
                    .take(SERVICES)
                    .map(|service| (service.name.clone(), short(&service.endpoint, ENDPOINT)))
                    .collect(),
                x402: card.x402_support,
                active: card.active,
                name: card.name,
                elsewhere: None,
            },
            Err(_) => Self {
                block,
                name: String::new(),
                about: String::new(),
                services: Vec::new(),
                x402: false,
                active: false,
                elsewhere: (!uri.starts_with("data:")).then(|| short(uri, ENDPOINT)),
            },
        }
    }
}

impl Directory {
    /// Knows nobody yet.
    #[must_use]
    pub const fn new(chain: u64, registry: Address) -> Self {
        Self { v: VERSION, chain, registry, read: None, agents: BTreeMap::new() }
    }

    /// A list that was kept; a new one where it is of another registry or version, or no list.
    #[must_use]
    pub fn kept(bytes: &[u8], chain: u64, registry: Address) -> Self {
        let kept = serde_json::from_slice::<Self>(bytes).ok();
        kept.filter(|kept| (kept.v, kept.chain, kept.registry) == (VERSION, chain, registry))
            .unwrap_or(Self::new(chain, registry))
    }

    /// The list as it is kept.
    ///
    /// # Errors
    /// [`IdentityError::Answer`], which no list of ours causes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, IdentityError> {
        serde_json::to_vec(self).map_err(|error| IdentityError::answer("directory", error))
    }

    /// Reads what is new, and then further back, at most `pages` of 5,000 blocks.
    ///
    /// # Errors
    /// [`IdentityError`]; what was read until then is kept.
    pub async fn update(&mut self, rpc: &Rpc, pages: u32) -> Result<(), IdentityError> {
        let head = rpc.block_number().await?;
        if self.read.is_some_and(|(_, last)| last > head.saturating_add(LOOSE)) {
            // A development chain that began again.
            *self = Self::new(self.chain, self.registry);
        }
        let mut left = pages;
        let next = self.read.map_or(head.saturating_add(1), |(_, last)| {
            last.saturating_add(1).saturating_sub(LOOSE)
        });
        let (mut first, mut from) = (self.read.map_or(next, |(first, _)| first), next);
        while from <= head && left > 0 {
            let to = from.saturating_add(PAGE - 1).min(head);
            self.page(rpc, from, to).await?;
            first = first.min(from);
            self.read = Some((first, to));
            from = to.saturating_add(1);
            left -= 1;
        }
        while first > 0 && left > 0 {
            let from = first.saturating_sub(PAGE);
            self.page(rpc, from, first - 1).await?;
            let last = self.read.map_or(first - 1, |(_, last)| last);
            first = from;
            self.read = Some((first, last));
            left -= 1;
        }
        Ok(())
    }

    /// Takes in the events of some blocks.
    async fn page(&mut self, rpc: &Rpc, from: u64, to: u64) -> Result<(), IdentityError> {
        let events =
            json!([Registry::Registered::SIGNATURE_HASH, Registry::URIUpdated::SIGNATURE_HASH]);
        let filter = json!({
            "address": self.registry,
            "fromBlock": U64::from(from),
            "toBlock": U64::from(to),
            "topics": [events],
        });
        let logs: Vec<WireLog> = rpc.ask("eth_getLogs", json!([filter])).await?;
        for log in logs.into_iter().filter(|log| !log.removed) {
            let Some(block) = log.block_number.map(|block| block.to()) else { continue };
            let log = log.into_log();
            if log.address != self.registry {
                continue;
            }
            if let Ok(event) = Registry::Registered::decode_log(&log) {
                self.says(event.agentId, &event.agentURI, block);
            } else if let Ok(event) = Registry::URIUpdated::decode_log(&log) {
                self.says(event.agentId, &event.newURI, block);
            }
        }
        Ok(())
    }

    /// An agent points to a card. What it said later counts, in whatever order it is read.
    fn says(&mut self, id: U256, uri: &str, block: u64) {
        if self.agents.get(&id).is_some_and(|known| known.block > block) {
            return;
        }
        self.agents.insert(id, Listing::new(uri, block));
        if self.agents.len() > MOST {
            let oldest = self.agents.iter().min_by_key(|(id, it)| (it.block, **id));
            if let Some(id) = oldest.map(|(id, _)| *id) {
                self.agents.remove(&id);
            }
        }
    }

    /// The agents, by id.
    pub fn agents(&self) -> impl Iterator<Item = (U256, &Listing)> {
        self.agents.iter().map(|(id, listing)| (*id, listing))
    }

    /// The first and last block that were read, if any were.
    #[must_use]
    pub const fn read(&self) -> Option<(u64, u64)> {
        self.read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(name: &str) -> String {
        Card::new(name, "x".repeat(2_000)).to_data_uri().unwrap()
    }

    fn directory() -> Directory {
        Directory::new(1, Address::repeat_byte(4))
    }

    #[test]
    fn what_an_agent_said_last_counts_in_whatever_order_it_is_read() {
        let mut list = directory();
        list.says(U256::from(7), &card("newer"), 20);
        list.says(U256::from(7), &card("older"), 10);
        assert_eq!(list.agents[&U256::from(7)].name, "newer");
        assert_eq!(list.agents[&U256::from(7)].about.len(), ABOUT);
        list.says(U256::from(7), &card("newest"), 20);
        assert_eq!(list.agents[&U256::from(7)].name, "newest", "later in the same block");
    }

    #[test]
    fn a_card_elsewhere_is_named_and_one_that_cannot_be_read_is_nothing() {
        let mut list = directory();
        list.says(U256::from(1), "https://a.example/card.json", 1);
        list.says(U256::from(2), "data:application/json;base64,????", 1);
        let elsewhere = |id: u64| list.agents[&U256::from(id)].elsewhere.clone();
        assert_eq!(elsewhere(1).as_deref(), Some("https://a.example/card.json"));
        assert_eq!(elsewhere(2), None);
    }

    #[test]
    fn whoever_registers_without_end_pushes_out_the_oldest_alone() {
        let mut list = directory();
        for id in 0..=MOST as u64 {
            list.says(U256::from(id), "", 100 + id);
        }
        assert_eq!(list.agents.len(), MOST);
        assert!(!list.agents.contains_key(&U256::ZERO));
    }

    #[test]
    fn a_kept_list_is_read_again_and_that_of_another_registry_is_not() {
        let mut list = directory();
        list.says(U256::MAX, &card("far"), 3);
        list.read = Some((1, 3));
        let bytes = list.to_bytes().unwrap();
        assert_eq!(Directory::kept(&bytes, 1, Address::repeat_byte(4)), list);
        assert_eq!(Directory::kept(&bytes, 2, Address::repeat_byte(4)).read(), None);
        assert_eq!(Directory::kept(b"nonsense", 1, Address::repeat_byte(4)), directory());
    }
}
