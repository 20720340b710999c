//! Random policies over the whole language, pasts and requests, from small pools, so that they
//! collide often.
//!
//! A sketch is written as the texts of a policy and read back, so the reader is tested with the
//! engine. Amounts are small integers of base units; a sketch that fails a test is made simpler
//! part by part as long as it still fails.

use crate::{forbids::Forbid, support::*};
use alloy_primitives::Address;
use marque_policies::{
    Argument, AssetId, Intent, Money, Policy, Request, Verdict, decide,
    document::{DAY, HOUR},
};

mod hostile;
mod policy;
mod request;
mod simpler;
mod text;

pub(crate) use hostile::wild_intent;
pub(crate) use request::{label, money};
pub(crate) use simpler::smallest;

pub(crate) const KINDS: [&str; 7] =
    ["payment", "hour", "day", "days30", "total", "ask_above", "ask_above_day"];
pub(crate) const CLASSES: [&str; 4] = ["web", "peer", "memory", "model"];

/// Base units, each of the seven limits.
pub(crate) type Seven = [Option<u8>; 7];
/// What is made of each class of labels: asked (`false`) or refused (`true`).
pub(crate) type Four = [Option<bool>; 4];

pub(crate) const PEER: Address = Address::repeat_byte(0x77);
pub(crate) const ADDRESSES: [Address; 5] = [FEED, MUSCLE, STRANGER, AGENT, PEER];
pub(crate) const NAMES: [&str; 4] = ["a", "b", "c", "d"];
pub(crate) const HOSTS: [&str; 7] =
    ["feed.example", "feed.example:81", "x.gov", "x.y.gov", "gov", "127.0.0.1", "FEED.example"];
pub(crate) const PATTERNS: [&str; 4] = ["feed.example", "*.gov", "127.0.0.1", "feed.example:81"];
pub(crate) const CATEGORIES: [&str; 2] = ["data", "compute"];
pub(crate) const TASKS: [&str; 2] = ["t", "errand"];
pub(crate) const SUBS: [&str; 3] = ["helper", "runner", "ghost"];
pub(crate) const TOOLS: [&str; 3] = ["fetch", "post", "other"];
/// Later than every case.
pub(crate) const FAR: u64 = 3_155_760_000_000;
/// An asset that no policy has.
pub(crate) const OTHER: AssetId = AssetId { chain: CHAIN, token: STRANGER };
const EURT: AssetId = AssetId { chain: CHAIN, token: Address::repeat_byte(0x56) };

/// The assets of every sketch. They have more, fewer and as many digits as micros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Coin {
    Usdc,
    Eurt,
    Eth,
}

impl Coin {
    pub(crate) const ALL: [Self; 3] = [Self::Usdc, Self::Eurt, Self::Eth];

    pub(crate) fn of(asset: AssetId) -> Option<Self> {
        Self::ALL.into_iter().find(|coin| coin.id() == asset)
    }

    pub(crate) fn id(self) -> AssetId {
        match self {
            Self::Usdc => USDC,
            Self::Eurt => EURT,
            Self::Eth => ETH,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Usdc => "USDC",
            Self::Eurt => "EURT",
            Self::Eth => "ETH",
        }
    }

    pub(crate) fn decimals(self) -> usize {
        match self {
            Self::Usdc => 6,
            Self::Eurt => 2,
            Self::Eth => 18,
        }
    }

    fn amount(self, units: u8) -> String {
        let digits = format!("{units:0>width$}", width = self.decimals() + 1);
        let (whole, fraction) = digits.split_at(digits.len() - self.decimals());
        format!("{whole}.{fraction} {}", self.name())
    }
}

/// Limits by coin, and whether those on the native coin are in `[..gas]`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    pub(crate) limits: [Option<Seven>; 3],
    pub(crate) eth_is_gas: bool,
}

impl Account {
    /// What the section is called in rules.
    pub(crate) fn section(&self, coin: Coin) -> &'static str {
        if coin == Coin::Eth && self.eth_is_gas { "gas" } else { coin.name() }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    /// What all agents share stands in `owner.toml`.
    pub(crate) split: bool,
    /// `EURT` stands in the agent's own document.
    pub(crate) eurt_apart: bool,
    pub(crate) domain: bool,
    pub(crate) registry: bool,
    /// Unix milliseconds.
    pub(crate) expires: Option<u64>,
    pub(crate) times: Vec<Week>,
    pub(crate) labels: Four,
    /// In seconds.
    pub(crate) valid: Option<u64>,
    pub(crate) agent: Account,
    pub(crate) owner: Account,
    pub(crate) task: [Option<Seven>; 3],
    pub(crate) pools: [Option<SketchPool>; 3],
    /// Low and high; see [`Self::float`].
    pub(crate) floats: [Option<(u8, u8)>; 3],
    pub(crate) categories: Vec<SketchCategory>,
    pub(crate) payees: Vec<SketchPayee>,
    pub(crate) tools: Vec<SketchTool>,
    pub(crate) subs: Vec<SketchSub>,
    pub(crate) income: Vec<Coin>,
    pub(crate) facilitator: Vec<Coin>,
    pub(crate) forbids: Vec<Forbid>,
}

/// A span of the week: days from Monday, minutes of the day, minutes ahead of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Week {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) offset: i64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SketchPool {
    pub(crate) limits: Seven,
    pub(crate) peer_day: Option<u8>,
    pub(crate) peer_total: Option<u8>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SketchCategory {
    pub(crate) name: &'static str,
    pub(crate) coin: Coin,
    pub(crate) limits: Seven,
    pub(crate) shared: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Address(Address),
    Identity(Address),
    /// Known by host only.
    Host,
}

#[derive(Clone, Debug)]
pub(crate) struct SketchPayee {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) host: Option<&'static str>,
    pub(crate) category: Option<&'static str>,
    pub(crate) bound: Option<(Coin, Seven)>,
    pub(crate) times: Vec<Week>,
    /// Stands in `owner.toml`, if there is one.
    pub(crate) shared: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct SketchTool {
    pub(crate) name: &'static str,
    pub(crate) hosts: Vec<&'static str>,
    pub(crate) methods: Vec<&'static str>,
    /// In an hour.
    pub(crate) rate: Option<u8>,
    /// In a day.
    pub(crate) sends: Option<u8>,
    pub(crate) times: Vec<Week>,
    pub(crate) labels: Four,
    pub(crate) arguments: Vec<(&'static str, Demand)>,
}

/// What an argument must be like.
#[derive(Clone, Debug)]
pub(crate) enum Demand {
    OneOf(Vec<Argument>),
    Text { starts: Option<&'static str>, longest: Option<u8> },
    Number { least: Option<i8>, most: Option<i8> },
}

#[derive(Clone, Debug)]
pub(crate) struct SketchSub {
    pub(crate) name: &'static str,
    pub(crate) payees: Vec<&'static str>,
    pub(crate) tools: Vec<&'static str>,
    pub(crate) account: Account,
}

/// One request to a policy: who asks for what, when, and what came before.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) intent: Intent,
    pub(crate) gas: Option<Money>,
    pub(crate) sub_agent: Option<&'static str>,
    pub(crate) task: &'static str,
    pub(crate) now: u64,
    pub(crate) book: Book,
}

impl Case {
    pub(crate) fn judge(&self, policy: &Policy) -> Verdict {
        let Self { intent, gas, sub_agent, task, now, book } = self;
        let request = Request { agent: "scout", sub_agent: *sub_agent, task, intent, gas: *gas };
        decide(policy, &request, book, *now)
    }
}

impl Sketch {
    pub(crate) fn payee(&self, name: &str) -> Option<&SketchPayee> {
        self.payees.iter().find(|payee| payee.name == name)
    }
}
