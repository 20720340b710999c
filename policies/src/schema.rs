//! The JSON Schemas of `policy.toml` and `owner.toml`: with them an editor completes keys, says
//! what they mean, and marks what is no amount or no address while it is being typed.
//!
//! The types below mirror the files and hold nothing; their comments are the editor's hover texts.
//! A schema is laxer than the reader, which alone knows whether a name is known and a limit makes
//! sense, and never stricter.
//!
//! INVARIANT: the committed files are what these types say, every key of the reader is in them and
//! no other, and whatever the reader accepts they accept (pinned by `tests/suite/schema.rs`).

#![expect(dead_code, reason = "the fields are described, never read")]

mod texts;

use schemars::{
    JsonSchema, Schema,
    generate::SchemaSettings,
    transform::{RecursiveTransform, Transform as _},
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use texts::{
    Address, Amount, Duration, Host, HostPattern, MOMENT_IN_TIME, Method, MoneyText, Name, Span,
};

/// The schema of `policy.toml`, JSON Schema draft 7. Committed as `schema/policy.schema.json`.
#[must_use]
pub fn policy_schema() -> Value {
    schema::<PolicyFile>()
}

/// The schema of `owner.toml`, JSON Schema draft 7. Committed as `schema/owner.schema.json`.
#[must_use]
pub fn owner_schema() -> Value {
    schema::<OwnerFile>()
}

/// Draft 7 without references: what editors of TOML read best.
fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    RecursiveTransform(without_null).transform(&mut schema);
    schema.to_value()
}

/// TOML has no null: a key that may be left out is left out.
fn without_null(schema: &mut Schema) {
    let Some(fields) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
    }
    for key in ["enum", "anyOf"] {
        let Some(Value::Array(choices)) = fields.get_mut(key) else { continue };
        choices.retain(|choice| {
            !choice.is_null() && choice.get("type").is_none_or(|kind| kind != "null")
        });
        if let ("anyOf", [only]) = (key, choices.as_slice()) {
            let only = only.as_object().cloned().unwrap_or_default();
            fields.remove("anyOf");
            for (name, value) in only {
                fields.entry(name).or_insert(value);
            }
        }
    }
}

/// policy.toml: what one agent may do. What it does not permit is refused.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "policy.toml of Marque")]
struct PolicyFile {
    /// The format of this language: 1.
    #[schemars(range(min = 1, max = 1))]
    format: u64,
    /// The version of this policy. Raise it by one with every change: an older one is never adopted again.
    #[schemars(range(min = 1))]
    version: u64,
    /// Who signs this policy, and the limits of all agents together. Where there is an owner.toml, it stands there.
    owner: Option<Owner>,
    /// From this moment on nothing is permitted but the return of money to the owner: 2027-06-30T00:00:00Z, with whole seconds and an offset.
    #[schemars(regex(pattern = MOMENT_IN_TIME))]
    expires: Option<String>,
    /// When money may be spent and tools used. Left out: always.
    #[schemars(length(min = 1))]
    times: Option<BTreeSet<Span>>,
    /// What is made of payments whose terms came from outside, beyond what holds anyway. There is no word that makes a label matter less.
    labels: Option<LabelRules>,
    /// How long approvals last.
    approvals: Option<Approvals>,
    /// Chains, and whom the steward asks about each. The agent cannot choose another.
    chain: Option<BTreeMap<String, Chain>>,
    /// Tokens. The native coin of a chain needs no section.
    asset: Option<BTreeMap<String, Asset>>,
    /// How much this agent may spend, by asset. An asset without a section may not be spent at all.
    limits: Option<LimitSections<AskingLimits<Amount>>>,
    /// Limits on each task.
    task: Option<Task>,
    /// What may be paid to peers that this policy does not name, by asset. Without a section: nothing.
    pool: Option<BTreeMap<String, Pool>>,
    /// What this agent's key holds, by asset, where the rest waits in your account on chain.
    float: Option<BTreeMap<String, Float>>,
    /// Limits on all payees of a category together.
    category: Option<BTreeMap<String, Limits<MoneyText>>>,
    /// Who may be paid.
    payee: Option<Vec<Payee>>,
    /// What may be used.
    tool: Option<Vec<Tool>>,
    /// Accounts below this agent. All that binds the agent binds them as well.
    sub_agent: Option<BTreeMap<String, SubAgent>>,
    /// What this agent may be paid in.
    income: Option<Income>,
    /// What this agent settles for others. Without this section it settles only what pays itself.
    facilitator: Option<Facilitator>,
    /// What you expect of this policy. `marque policy test` runs these.
    test: Option<Vec<Test>>,
}

/// owner.toml: what all agents of one owner share.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "owner.toml of Marque")]
struct OwnerFile {
    /// The format of this language: 1.
    #[schemars(range(min = 1, max = 1))]
    format: u64,
    /// Who signs the policies, and the limits of all agents together.
    owner: Owner,
    /// How long approvals last.
    approvals: Option<Approvals>,
    /// Chains, and whom the steward asks about each. No agent can choose another.
    chain: Option<BTreeMap<String, Chain>>,
    /// Tokens. The native coin of a chain needs no section.
    asset: Option<BTreeMap<String, Asset>>,
    /// Limits on all payees of a category together, for each agent.
    category: Option<BTreeMap<String, Limits<MoneyText>>>,
    /// Whom every agent may pay.
    payee: Option<Vec<Payee>>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Owner {
    /// The address whose signature adopts policies.
    Address(Address),
    /// The address, and limits on all agents together.
    Table(OwnerTable),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct OwnerTable {
    /// The address whose signature adopts policies.
    address: Address,
    /// How much all agents together may spend, by asset.
    limits: Option<LimitSections<Limits<Amount>>>,
}

/// One chain.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Chain {
    /// The chain as CAIP-2 names it: eip155:8453.
    #[schemars(regex(pattern = "^eip155:[1-9][0-9]*$"))]
    id: String,
    /// JSON-RPC endpoints. Where there are two, both must agree before anything counts as released.
    #[schemars(length(min = 1))]
    rpc: Vec<String>,
    /// When a payment counts as settled: "safe", "finalized", or so many blocks on top, as on a devnet.
    finality: Finality,
    /// Symbol of the coin that pays for transactions. It is also an asset of that name, with 18 digits.
    native: Name,
    /// The ERC-8004 identity registry. Needed for payees by agent id.
    identity_registry: Option<Address>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Finality {
    /// The chain's own word.
    Tag(FinalityTag),
    /// So many blocks on top.
    Blocks(u64),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum FinalityTag {
    Safe,
    Finalized,
}

/// One token.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Asset {
    /// The chain's name in this policy. May be left out where there is one chain.
    chain: Option<Name>,
    /// The token's contract.
    token: Address,
    /// Digits after the point, as the token's `decimals()` answers.
    #[schemars(range(max = 36))]
    decimals: u8,
    /// The token's EIP-712 domain. Without it the token can be transferred, but no payment in it signed.
    domain: Option<Domain>,
}

/// An EIP-712 domain.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Domain {
    /// The domain's name, often the token's.
    #[schemars(length(min = 1, max = 128))]
    name: String,
    /// The domain's version, often "1" or "2".
    #[schemars(length(min = 1, max = 128))]
    version: String,
}

/// Limits by asset.
#[derive(JsonSchema)]
struct LimitSections<L> {
    /// Limits on what transactions cost; the unit of the chain's coin is written. It permits no payment.
    gas: Option<Limits<MoneyText>>,
    #[schemars(flatten)]
    assets: BTreeMap<String, L>,
}

/// Limits in one asset. All of them hold; at least one is there. Windows roll: "day" is any 24 hours.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
struct Limits<A> {
    /// One payment.
    payment: Option<A>,
    /// Any 3,600 seconds.
    hour: Option<A>,
    /// Any 24 hours.
    day: Option<A>,
    /// Any 30 days.
    days30: Option<A>,
    /// Ever.
    total: Option<A>,
    /// You are asked before a payment above this.
    ask_above: Option<A>,
}

/// Limits in one asset. All of them hold; at least one is there. Windows roll: "day" is any 24 hours.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
struct AskingLimits<A> {
    #[schemars(flatten)]
    limits: Limits<A>,
    /// You are asked before a payment that brings one payee above this in any day.
    ask_above_day: Option<A>,
}

/// Limits on each task. A mind can begin as many tasks as it likes, so these bound an honest runtime only.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Task {
    /// How much each task may spend, by asset.
    limits: Option<BTreeMap<String, Limits<Amount>>>,
}

/// What may be paid to peers that the policy does not name, in one asset. At least one of hour, day, days30 and total is there.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
struct Pool {
    #[schemars(flatten)]
    limits: AskingLimits<Amount>,
    /// One of these peers in any day.
    peer_day: Option<Amount>,
    /// One of these peers ever.
    peer_total: Option<Amount>,
}

/// What the agent's key holds of an asset; the rest waits in your account, under limits that the chain holds once you delegated them (`marque account delegate`).
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Float {
    /// Below this the steward draws on the account.
    low: Amount,
    /// Up to this. Any payment that the limits allow must fit.
    high: Amount,
    /// "required": the agent pays nothing while the chain does not hold these limits. Left out, or "wanted": the steward warns.
    delegation: Option<Demand>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Demand {
    Wanted,
    Required,
}

/// Somebody who may be paid: by `address`, by `agent_id` with `owner` and `wallet`, or by `host` alone.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Payee {
    /// Its name in this policy.
    name: Name,
    /// Where the money goes.
    address: Option<Address>,
    /// Its ERC-8004 agent id. The steward resolves it and refuses when the registry says otherwise than `owner` and `wallet`.
    agent_id: Option<u64>,
    /// The chain of the agent id. May be left out where there is one chain.
    chain: Option<Name>,
    /// Who must own the agent id.
    owner: Option<Address>,
    /// The wallet that the agent id must have: where the money goes.
    wallet: Option<Address>,
    /// The one host whose request for money counts as this payee's; never a wildcard. Alone, without an address, it makes the first payment wait for you, and your approval pins the address.
    host: Option<Host>,
    /// The category to whose limits its payments count.
    category: Option<Name>,
    /// When it may be paid. Left out: whenever the policy allows payments.
    #[schemars(length(min = 1))]
    times: Option<BTreeSet<Span>>,
    /// One payment to it. A payee with a limit is paid in that limit's asset only.
    payment: Option<MoneyText>,
    /// To it in any 3,600 seconds.
    hour: Option<MoneyText>,
    /// To it in any 24 hours.
    day: Option<MoneyText>,
    /// To it in any 30 days.
    days30: Option<MoneyText>,
    /// To it ever.
    total: Option<MoneyText>,
    /// You are asked before a payment to it above this.
    ask_above: Option<MoneyText>,
    /// You are asked before a payment that brings it above this in any day.
    ask_above_day: Option<MoneyText>,
}

/// Something that may be used. A tool that is not listed does not exist.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Tool {
    /// Its name.
    name: Name,
    /// Hosts that it may reach: "feed.example", "127.0.0.1:4021", or "*.gov" for any name below gov. Left out: none.
    hosts: Option<Vec<HostPattern>>,
    /// HTTP methods of its requests, in upper case. Left out: any.
    #[schemars(length(min = 1))]
    methods: Option<BTreeSet<Method>>,
    /// How often: "60/min". Per s, min, h or day.
    #[schemars(regex(pattern = "^[0-9]+/(s|min|h|d|day|days)$"))]
    rate: Option<String>,
    /// How much may leave in requests: "64 KiB/day". B, KiB, MiB or GiB, per s, min, h or day.
    #[schemars(regex(pattern = "^[0-9]+ (B|KiB|MiB|GiB)/(s|min|h|d|day|days)$"))]
    sends: Option<String>,
    /// When it may be used. Left out: whenever the policy allows the use of tools.
    #[schemars(length(min = 1))]
    times: Option<BTreeSet<Span>>,
    /// What is made of arguments that came from outside. Left out: they do not matter for this tool.
    labels: Option<LabelRules>,
    /// What its arguments must be like, by name. An argument that is named here must be given.
    arguments: Option<BTreeMap<String, Constraint>>,
}

/// What an argument must be like. Every part that is there must hold.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
struct Constraint {
    /// One of these texts, whole numbers, or true and false.
    #[schemars(length(min = 1))]
    one_of: Option<BTreeSet<Argument>>,
    /// A text that begins so and has no ".." in it.
    starts_with: Option<String>,
    /// A text of at most so many characters.
    longest: Option<u64>,
    /// A whole number, at least this.
    at_least: Option<i64>,
    /// A whole number, at most this.
    at_most: Option<i64>,
}

#[derive(JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[schemars(untagged)]
enum Argument {
    Flag(bool),
    Integer(i64),
    Text(String),
}

/// What is made of words from outside, by where they came from.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct LabelRules {
    /// Read from a web host: "ask" or "refuse".
    web: Option<Attitude>,
    /// Sent by another agent: "ask" or "refuse".
    peer: Option<Attitude>,
    /// Recalled by the agent: "ask" or "refuse".
    memory: Option<Attitude>,
    /// Made up by the model: "ask" or "refuse".
    model: Option<Attitude>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Attitude {
    Ask,
    Refuse,
}

/// How long approvals last.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Approvals {
    /// An approval counts for so long after you gave it: "1h".
    valid: Option<Duration>,
    /// What is held waits for you so long: "24h".
    held: Option<Duration>,
}

/// An account below the agent. It only narrows: all that binds the agent binds it as well.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct SubAgent {
    /// Which of the policy's payees it may pay. Left out: none. Never the pool.
    payees: Option<BTreeSet<Name>>,
    /// Which of the policy's tools it may use. Left out: none.
    tools: Option<BTreeSet<Name>>,
    /// How much it may spend, by asset. An asset without a section may not be spent.
    limits: Option<LimitSections<Limits<Amount>>>,
}

/// What this agent may be paid in. Being paid can only credit the agent; collecting costs fees, so `limits.gas` is needed.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Income {
    /// Names of tokens.
    assets: Option<Vec<Name>>,
}

/// What this agent settles for others, as `marque facilitator` does. The money goes where its payer signed; the fees are this agent's, so `limits.gas` is needed.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Facilitator {
    /// Names of tokens.
    assets: Option<Vec<Name>>,
}

/// A test: given a past, when something is proposed, then this comes of it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Test {
    /// What came before: "paid 0.40 USDC to weather-feed 5h ago", "used fetch_data 5h ago", "pinned feed to 0x..", "feed did not deliver".
    given: Option<Vec<String>>,
    /// What is proposed: "pay 0.30 USDC to weather-feed", "use fetch_data to GET feed.example", "collect 1.00 USDC", "return 1.00 USDC".
    when: String,
    /// When in the week, UTC: "mon 03:00". Left out: Monday noon.
    #[schemars(regex(pattern = "^(mon|tue|wed|thu|fri|sat|sun) ([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    at: Option<String>,
    /// The sub-agent that proposes. Left out: the agent itself.
    #[schemars(rename = "as")]
    sub_agent: Option<Name>,
    /// The task in which it is proposed.
    task: Option<String>,
    /// The host that asks for the money. Left out: the payee's own.
    asked_by: Option<String>,
    /// Where the terms or arguments came from: "web:evil.example", "peer:NAME", "memory", "model", "owner", "policy", "chain".
    labels: Option<BTreeSet<String>>,
    /// Whether you have just approved it.
    approved: Option<bool>,
    /// What must come of it: "allowed", "held", "held by RULE" or "refused by RULE".
    #[schemars(regex(pattern = "^(allowed|held|(held by|refused by) [A-Za-z0-9._-]+)$"))]
    then: String,
}
