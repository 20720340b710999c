//! Every key of the language, table by table, in the order in which people write them.
//!
//! The reader refuses what is not listed here, and the published JSON Schema lists the same.

/// `policy.toml`, which may hold everything where there is no `owner.toml`.
pub(crate) const POLICY: &[&str] = &[
    "format",
    "version",
    "owner",
    "expires",
    "times",
    "labels",
    "approvals",
    "chain",
    "asset",
    "limits",
    "task",
    "pool",
    "float",
    "category",
    "payee",
    "tool",
    "sub_agent",
    "income",
    "facilitator",
    "test",
];

/// What stands above the first section of a document, where TOML would give it to that section.
pub(crate) const HEAD: &[&str] = &["format", "version", "owner", "expires", "times"];

/// `owner.toml`: what all agents share.
pub(crate) const OWNER_DOCUMENT: &[&str] =
    &["format", "owner", "approvals", "chain", "asset", "category", "payee"];

/// `[owner]`
pub(crate) const OWNER: &[&str] = &["address", "limits"];

/// `[labels]`, and `labels` of a tool.
pub(crate) const LABELS: &[&str] = &["web", "peer", "memory", "model"];

/// `[approvals]`
pub(crate) const APPROVALS: &[&str] = &["valid", "held"];

/// `[chain.NAME]`
pub(crate) const CHAIN: &[&str] = &["id", "rpc", "finality", "native", "identity_registry"];

/// `[asset.NAME]`
pub(crate) const ASSET: &[&str] = &["chain", "token", "decimals", "domain"];

/// `domain` of an asset.
pub(crate) const DOMAIN: &[&str] = &["name", "version"];

/// `[limits.ASSET]`: every limit there is.
pub(crate) const LIMITS: &[&str] =
    &["payment", "hour", "day", "days30", "total", "ask_above", "ask_above_day"];

/// Limits that no single payee fills: fees, all agents, a task, a sub-agent.
pub(crate) const LIMITS_WITHOUT_PAYEES: &[&str] =
    &["payment", "hour", "day", "days30", "total", "ask_above"];

/// `[task]`
pub(crate) const TASK: &[&str] = &["limits"];

/// `[pool.ASSET]`
pub(crate) const POOL: &[&str] = &[
    "payment",
    "hour",
    "day",
    "days30",
    "total",
    "ask_above",
    "ask_above_day",
    "peer_day",
    "peer_total",
];

/// `[float.ASSET]`
pub(crate) const FLOAT: &[&str] = &["low", "high", "delegation"];

/// `[category.NAME]`
pub(crate) const CATEGORY: &[&str] = LIMITS_WITHOUT_PAYEES;

/// `[[payee]]`
pub(crate) const PAYEE: &[&str] = &[
    "name",
    "address",
    "agent_id",
    "chain",
    "owner",
    "wallet",
    "host",
    "category",
    "payment",
    "hour",
    "day",
    "days30",
    "total",
    "ask_above",
    "ask_above_day",
    "times",
];

/// `[[tool]]`
pub(crate) const TOOL: &[&str] =
    &["name", "hosts", "methods", "rate", "sends", "times", "labels", "arguments"];

/// `[tool.arguments.NAME]`
pub(crate) const ARGUMENT: &[&str] = &["one_of", "starts_with", "longest", "at_least", "at_most"];

/// `[sub_agent.NAME]`
pub(crate) const SUB_AGENT: &[&str] = &["payees", "tools", "limits"];

/// `[income]`
pub(crate) const INCOME: &[&str] = &["assets"];

/// `[facilitator]`
pub(crate) const FACILITATOR: &[&str] = &["assets"];

/// `[[test]]`
pub(crate) const TEST: &[&str] =
    &["given", "when", "at", "as", "task", "asked_by", "labels", "approved", "then"];
