//! The texts that mean something: amounts, addresses, hosts, spans of time, each with its pattern.
//!
//! A pattern accepts whatever the reader accepts, and refuses most of what it refuses.

#![expect(dead_code, reason = "the fields are described, never read")]

use schemars::JsonSchema;

/// A date with time and offset, as TOML writes it.
pub(super) const MOMENT_IN_TIME: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.0+)?)?([Zz]|[+-][0-9]{2}:[0-9]{2})$";

/// Letters, digits, `-` and `_`, at most 64.
#[derive(JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[schemars(transparent)]
pub(super) struct Name(#[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"))] String);

/// An address: 0x and 40 hexadecimal digits. In mixed case its checksum must be right.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(super) struct Address(#[schemars(regex(pattern = "^0x[0-9A-Fa-f]{40}$"))] String);

/// An amount as a text, so that no digit gets lost: "2.50". The unit is the section's.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(super) struct Amount(
    #[schemars(regex(pattern = "^[0-9]+(\\.[0-9]+)?( [A-Za-z0-9][A-Za-z0-9_-]{0,63})?$"))] String,
);

/// An amount with its unit: "2.50 USDC".
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(super) struct MoneyText(
    #[schemars(regex(pattern = "^[0-9]+(\\.[0-9]+)? [A-Za-z0-9][A-Za-z0-9_-]{0,63}$"))] String,
);

/// A host: "feed.example", "127.0.0.1:4021".
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(super) struct Host(
    #[schemars(regex(pattern = "^([A-Za-z0-9_][A-Za-z0-9_.-]*|\\[[0-9A-Fa-f:.]+\\])(:[0-9]+)?$"))]
    String,
);

/// A host, or any name below one: "feed.example", "127.0.0.1:4021", "*.gov".
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(super) struct HostPattern(
    #[schemars(regex(
        pattern = "^((\\*\\.)?[A-Za-z0-9_][A-Za-z0-9_.-]*|\\[[0-9A-Fa-f:.]+\\])(:[0-9]+)?$"
    ))]
    String,
);

/// An HTTP method in upper case.
#[derive(JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[schemars(transparent)]
pub(super) struct Method(#[schemars(regex(pattern = "^[A-Z-]{1,32}$"))] String);

/// A length of time: "90s", "10min", "1h", "2d".
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(super) struct Duration(#[schemars(regex(pattern = "^[0-9]+(s|min|h|d|day|days)$"))] String);

/// A span of the week: "mon-fri 08:00-18:00 +01:00". Days and offset may be left out, for every day and UTC. One that ends before it begins runs over midnight.
#[derive(JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[schemars(transparent)]
pub(super) struct Span(
    #[schemars(regex(
        pattern = "^((mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))? )?([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)( [+-](0[0-9]|1[0-4]):[0-5][0-9])?$"
    ))]
    String,
);
