//! Ready-made policies for a start: whole documents with comments and tests, filled in with what
//! only the owner knows.
//!
//! A template names a value as `{{name}}`, and begins a line with `{{name?}}` that holds only under
//! a condition: where it does not, the line stays in the draft as a comment, an example to fill in.
//!
//! INVARIANT: a draft reads without a warning and passes its own tests, whatever the parameters
//! (pinned by `tests/suite/drafts.rs`).

use crate::{money::format_units, sources::Sources};
use alloy_primitives::{Address, U256};

/// What the agent is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DraftKind {
    /// It buys data and compute.
    Buyer,
    /// It buys data.
    DataBuyer,
    /// It buys compute.
    ComputeBuyer,
    /// It sells and is paid.
    Seller,
    /// It buys from other agents and sells to them.
    Trader,
    /// It reads the web and pays little.
    Research,
    /// It pays those whom its owner paid before.
    Household,
    /// It does nothing but return money.
    Frozen,
}

impl DraftKind {
    /// Every kind, in the order in which an owner is offered them.
    pub const ALL: [Self; 8] = [
        Self::Buyer,
        Self::DataBuyer,
        Self::ComputeBuyer,
        Self::Seller,
        Self::Trader,
        Self::Research,
        Self::Household,
        Self::Frozen,
    ];

    /// Its name on the command line: `data-buyer`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Buyer => "buyer",
            Self::DataBuyer => "data-buyer",
            Self::ComputeBuyer => "compute-buyer",
            Self::Seller => "seller",
            Self::Trader => "trader",
            Self::Research => "research",
            Self::Household => "household",
            Self::Frozen => "frozen",
        }
    }

    /// What it is for, in one line.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Buyer => "buys data and compute from the payees that you name",
            Self::DataBuyer => {
                "buys data, by GET requests only, each payee with a day limit of its own"
            }
            Self::ComputeBuyer => "hires compute, each task with a limit of its own",
            Self::Seller => "is paid and pays nobody",
            Self::Trader => {
                "buys and sells among agents, pays strangers from a small pool, sleeps at night"
            }
            Self::Research => "reads the web widely, pays little, and never on a web page's word",
            Self::Household => "pays whom you paid before, about as much as you paid them before",
            Self::Frozen => "does nothing but return money to you",
        }
    }

    /// The limits of a draft for which the owner named none; `None` for a kind that pays nobody.
    #[must_use]
    pub fn usual(self, decimals: u8) -> Option<DraftLimits> {
        let (payment, day, ask_above) = match self {
            Self::Buyer | Self::Trader => (100, 1_000, 50),
            Self::DataBuyer => (25, 500, 10),
            Self::ComputeBuyer => (500, 2_000, 200),
            Self::Research => (5, 100, 2),
            Self::Household => (5_000, 10_000, 2_500),
            Self::Seller | Self::Frozen => return None,
        };
        let one = U256::from(10).saturating_pow(U256::from(decimals));
        let units = |cents: u64| U256::from(cents).saturating_mul(one) / U256::from(100);
        Some(DraftLimits { payment: units(payment), day: units(day), ask_above: units(ask_above) })
    }

    /// What any 30 days may cost where one may cost `day`, which is at most a hundredth of 2^256.
    fn month(self, day: U256) -> U256 {
        let (times, by) = match self {
            // A household's bills come together on the first, and then no more.
            Self::Household => (7, 4),
            _ => (10, 1),
        };
        day.saturating_mul(U256::from(times)) / U256::from(by)
    }

    /// `policy.toml` and, where the kind has one, `policy.cedar`.
    const fn templates(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Buyer => (include_str!("../ready/buyer.toml"), None),
            Self::DataBuyer => (include_str!("../ready/data-buyer.toml"), None),
            Self::ComputeBuyer => (include_str!("../ready/compute-buyer.toml"), None),
            Self::Seller => (include_str!("../ready/seller.toml"), None),
            Self::Trader => {
                (include_str!("../ready/trader.toml"), Some(include_str!("../ready/trader.cedar")))
            }
            Self::Research => (include_str!("../ready/research.toml"), None),
            Self::Household => (include_str!("../ready/household.toml"), None),
            Self::Frozen => (include_str!("../ready/frozen.toml"), None),
        }
    }
}

/// What an owner decides about a budget; the draft derives the rest from it. Base units of the
/// asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DraftLimits {
    /// One payment; at most `day` counts.
    pub payment: U256,
    /// Any 24 hours.
    pub day: U256,
    /// The owner is asked before a payment above this; from `payment` on, never.
    pub ask_above: U256,
}

impl DraftLimits {
    /// All that a draft with these lets be spent ever.
    #[must_use]
    pub fn total(self) -> U256 {
        self.bounded_day().saturating_mul(U256::from(20))
    }

    /// A budget near 2^256 means no more than one of a hundredth of that.
    fn bounded_day(self) -> U256 {
        self.day.min(U256::MAX / U256::from(100))
    }
}

/// What the agent's key is to hold, where the rest waits in the owner's account. Base units of the asset.
/// A draft holds the largest payment and no more than may ever be spent, whatever is said here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DraftFloat {
    /// Below this the steward draws on the account,
    pub low: U256,
    /// up to this.
    pub high: U256,
}

/// What a draft cannot guess. Names of chain, asset and payees are letters, digits, `-` and `_`.
#[derive(Clone, Debug)]
pub struct DraftParams {
    /// The owner's address.
    pub owner: Address,
    /// The document's name for the chain: `devnet`.
    pub chain_name: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// JSON-RPC endpoints, at least one.
    pub rpc: Vec<String>,
    /// When something is final, as TOML: `2`, `"safe"`, `"finalized"`.
    pub finality: String,
    /// The native coin's symbol: `ETH`.
    pub native: String,
    /// The ERC-8004 identity registry; needed for payees by agent id.
    pub registry: Option<Address>,
    /// The document's name for the token: `USDC`.
    pub asset: String,
    /// The token's contract.
    pub token: Address,
    /// EIP-712 domain name and version of the token.
    pub token_domain: (String, String),
    /// Digits after the token's point.
    pub decimals: u8,
    /// What it may spend; [`DraftKind::usual`] without it.
    pub limits: Option<DraftLimits>,
    /// What its key holds of that; an example in a comment without it.
    pub float: Option<DraftFloat>,
    /// Whom a buyer may pay.
    pub payees: Vec<DraftPayee>,
    /// Hosts that a buyer's `fetch_data` may reach.
    pub data_hosts: Vec<String>,
    /// Hosts that a buyer's `hire_compute` may reach.
    pub compute_hosts: Vec<String>,
}

/// Somebody whom a buyer may pay.
#[derive(Clone, Debug)]
pub struct DraftPayee {
    /// Name in the policy.
    pub name: String,
    /// Who it is.
    pub pin: Pin,
    /// The host that may ask for its money.
    pub host: Option<String>,
    /// The most that its owner paid it at once so far, in base units of the asset; a household's
    /// limits on it follow from that.
    pub so_far: Option<U256>,
}

/// How a payee is pinned.
#[derive(Clone, Copy, Debug)]
pub enum Pin {
    /// By address.
    Address(Address),
    /// By ERC-8004 agent id, owner and wallet.
    Agent {
        /// The agent id.
        id: U256,
        /// Who must own it.
        owner: Address,
        /// The wallet that it must have.
        wallet: Address,
    },
}

/// Fills in a draft: a whole policy, version 1, with comments and tests, as the one text that
/// [`crate::parse()`] reads.
#[must_use]
pub fn draft(kind: DraftKind, params: &DraftParams) -> String {
    draft_sources(kind, params).document()
}

/// The same as the documents of which it consists.
#[must_use]
pub fn draft_sources(kind: DraftKind, params: &DraftParams) -> Sources {
    let (policy, cedar) = kind.templates();
    let mut fields = ground(params);
    fields.extend(sums(kind, params));
    fields.extend(people(kind, params, &fields));
    for (name, part) in [
        ("ground", include_str!("../ready/ground.toml")),
        ("spending", include_str!("../ready/spending.toml")),
    ] {
        let text = fill(part, &fields);
        fields.push((name, text));
    }
    Sources {
        policy: fill(policy, &fields),
        owner: None,
        cedar: cedar.map(|cedar| fill(cedar, &fields)),
    }
}

/// Values by the names that templates have for them.
type Fields = Vec<(&'static str, String)>;

/// One pass over the template, so that a value is never taken for a placeholder.
fn fill(template: &str, fields: &Fields) -> String {
    let mut text = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        text.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        if let Some((_, value)) = fields.iter().find(|(field, _)| *field == name) {
            text.push_str(value);
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

/// Owner, chain and asset.
fn ground(params: &DraftParams) -> Fields {
    let (domain_name, domain_version) = &params.token_domain;
    let registry = match params.registry {
        Some(registry) => format!("identity_registry = {}", quote(&registry.to_string())),
        None => "# identity_registry = \"0x..\"  # where agents are known by an id".to_owned(),
    };
    vec![
        ("owner", quote(&params.owner.to_string())),
        ("chain_name", params.chain_name.clone()),
        ("chain_id", quote(&format!("eip155:{}", params.chain_id))),
        ("rpc", list(&params.rpc)),
        ("finality", params.finality.clone()),
        ("native", quote(&params.native)),
        ("coin", params.native.clone()),
        ("registry", registry),
        ("asset", params.asset.clone()),
        ("token", quote(&params.token.to_string())),
        ("domain_name", quote(domain_name)),
        ("domain_version", quote(domain_version)),
        ("decimals", params.decimals.to_string()),
        ("data_hosts", list(&params.data_hosts)),
        ("compute_hosts", list(&params.compute_hosts)),
    ]
}

/// Amounts: what the owner decided, what follows from it, and what tests pay. Each is so chosen
/// that no limit makes another one unreachable, down to a budget of nothing.
fn sums(kind: DraftKind, params: &DraftParams) -> Fields {
    let nothing = DraftLimits { payment: U256::ZERO, day: U256::ZERO, ask_above: U256::ZERO };
    let limits = params.limits.or_else(|| kind.usual(params.decimals)).unwrap_or(nothing);
    let times = |units: U256, factor: u64| units.saturating_mul(U256::from(factor));
    let part = |units: U256, of: u64| units / U256::from(of);
    let day = limits.bounded_day();
    let payment = limits.payment.min(day);
    let month = kind.month(day);
    // Rounded up, so that an hour is never nothing while a day is something.
    let hour = times(day, 3).div_ceil(U256::from(10)).max(payment);
    let (ask_above, ask_above_day) = (limits.ask_above, part(day, 2));
    let (asks, asks_day) = (ask_above < payment, ask_above_day < day);

    let one = U256::from(1);
    let cent = part(U256::from(10).saturating_pow(U256::from(params.decimals)), 100).max(one);
    // What passes unasked, if anything does.
    let unasked = payment.min(ask_above).min(ask_above_day);
    let small = part(unasked, 10).max(one);
    let middle = part(ask_above.saturating_add(payment).saturating_add(one), 2);
    let peer = payment.min(part(day, 200));
    let sub = payment.min(part(day, 10));
    let task = payment.max(part(day, 4));

    let example = payment.max(part(day, 5));
    let example = DraftFloat { low: part(example, 4), high: example };
    let DraftFloat { low, high } = params.float.unwrap_or(example);
    let high = high.max(payment).min(limits.total());
    let low = low.min(high.saturating_sub(U256::from(1)));

    let payee = !params.payees.is_empty();
    let only = |condition: bool| if condition { String::new() } else { "# ".to_owned() };
    let text = |units: U256| format_units(units, params.decimals);
    vec![
        ("payment", text(payment)),
        ("hour", text(hour)),
        ("day", text(day)),
        ("days30", text(month)),
        ("total", text(limits.total())),
        ("ask_above", text(ask_above)),
        ("ask_above_day", text(ask_above_day)),
        ("task", text(task)),
        ("payee_day", text(part(day, 2).max(payment))),
        ("partner_day", text(part(times(day, 8), 10).max(payment))),
        ("peer", text(peer)),
        ("peer_day", text(part(day, 100))),
        ("peer_total", text(part(day, 10))),
        ("pool_day", text(part(day, 20))),
        ("sub_payment", text(sub)),
        ("sub_day", text(part(day, 10))),
        ("cent", text(cent)),
        ("small", text(small)),
        ("middle", text(middle)),
        ("over_payment", text(payment.saturating_add(cent))),
        ("over_peer", text(peer.saturating_add(cent))),
        ("over_sub", text(sub.saturating_add(cent))),
        ("asks?", only(asks)),
        ("asks_day?", only(asks_day)),
        ("float_low", text(low)),
        ("float_high", text(high)),
        ("float?", only(params.float.is_some() && low < high)),
        ("payee?", only(payee)),
        ("held?", only(payee && asks)),
        ("free?", only(payee && unasked >= small)),
        ("peer?", only(peer > U256::ZERO && peer <= unasked)),
    ]
}

/// Payees, with the lines that a kind adds to each.
fn people(kind: DraftKind, params: &DraftParams, fields: &Fields) -> Fields {
    let more = match kind {
        DraftKind::DataBuyer | DraftKind::ComputeBuyer => {
            "day      = \"{{payee_day}} {{asset}}\"       # at most this much to it in any day\n"
        }
        DraftKind::Trader => "category = \"partner\"\n",
        _ => "",
    };
    let more = fill(more, fields);
    let own = |payee: &DraftPayee| match kind {
        DraftKind::Household => payee.so_far.map_or_else(String::new, |most| habit(most, params)),
        _ => more.clone(),
    };
    let names: Vec<String> = params.payees.iter().map(|payee| payee.name.clone()).collect();
    let first = names.first().cloned().unwrap_or_else(|| "weather-feed".to_owned());
    let payees = if params.payees.is_empty() {
        let example = "[[payee]]\nname     = \"weather-feed\"\naddress  = \"0x..\"\nhost     = \"feed.example\"\n";
        format!("{example}{more}").lines().map(|line| format!("# {line}\n")).collect()
    } else {
        let payees: Vec<String> =
            params.payees.iter().map(|payee| payee_text(payee) + &own(payee)).collect();
        payees.join("\n")
    };
    let known = params.payees.iter().any(|payee| payee.so_far.is_some());
    let (as_before, habits) = if known {
        (
            "about as much\n# as you paid them before.",
            "Where the most is known that one of them ever got at once: a tenth more and\n\
             # you are asked, no more than twice as much in any day, nor than five times in any \
             30 days,\n# unless the limits above are lower.",
        )
    } else {
        (
            "within the\n# limits below.",
            "What they got so far is not known, so only the limits above bound what each\n\
             # of them gets.",
        )
    };
    vec![
        ("payees", payees),
        ("payee", first),
        ("payee_names", list(&names)),
        ("as_before", as_before.to_owned()),
        ("habits", habits.to_owned()),
    ]
}

/// Limits on a payee that got `most` at once so far. Where they are not below the agent's own, those
/// hold by themselves.
fn habit(most: U256, params: &DraftParams) -> String {
    let times = |tenths: u64| {
        let ten = U256::from(10);
        most.checked_mul(U256::from(tenths)).map_or(U256::MAX, |product| product / ten)
    };
    let limits = params.limits.or_else(|| DraftKind::Household.usual(params.decimals));
    let Some(limits) = limits else { return String::new() };
    let day = limits.bounded_day();
    let payment = limits.payment.min(day);
    let line = |key: &str, units: U256, below: U256| {
        let amount = format_units(units, params.decimals);
        let line = format!("{key:9} = \"{amount} {}\"\n", params.asset);
        if units < below { line } else { String::new() }
    };
    let month = DraftKind::Household.month(day);
    let own = times(20).min(payment);
    line("ask_above", times(11), own.min(limits.ask_above))
        + &line("day", times(20), day)
        + &line("days30", times(50), month)
}

fn payee_text(payee: &DraftPayee) -> String {
    let mut lines = vec!["[[payee]]".to_owned(), format!("name     = {}", quote(&payee.name))];
    match payee.pin {
        Pin::Address(address) => lines.push(format!("address  = \"{address}\"")),
        Pin::Agent { id, owner, wallet } => {
            lines.push(format!("agent_id = {id}"));
            lines.push(format!("owner    = \"{owner}\""));
            lines.push(format!("wallet   = \"{wallet}\""));
        }
    }
    lines.extend(payee.host.as_ref().map(|host| format!("host     = {}", quote(host))));
    lines.join("\n") + "\n"
}

/// A TOML string.
fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quote(text)).collect::<Vec<_>>().join(", "))
}
