//! The JSON Schemas of the files: what they accept, against what the reader accepts.

use crate::{documentation::page, drafts};
use jsonschema::Validator;
use marque_policies::{
    DraftKind, Sources, draft_sources, owner_schema, parse::compile, policy_schema,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// An `owner.toml` with every key that it can have.
const OWNER: &str = r#"
format = 1

[owner]
address = "0x0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
[owner.limits.USDC]
payment = "5"
hour = "6"
day = "20"
days30 = "200"
total = "400"
ask_above = "4"
[owner.limits.gas]
day = "0.01 ETH"

[approvals]
valid = "1h"
held = "24h"

[chain.devnet]
id = "eip155:31337"
rpc = ["http://127.0.0.1:8545"]
finality = 2
native = "ETH"
identity_registry = "0x8080808080808080808080808080808080808080"

[asset.USDC]
chain = "devnet"
token = "0x5555555555555555555555555555555555555555"
decimals = 6
domain = { name = "Marque Test Dollar", version = "1" }

[category.data]
payment = "0.50 USDC"
hour = "1 USDC"
day = "2 USDC"
days30 = "20 USDC"
total = "40 USDC"
ask_above = "0.40 USDC"

[[payee]]
name = "feed"
address = "0xfefefefefefefefefefefefefefefefefefefefe"
host = "feed.example"
category = "data"
"#;

/// A `policy.toml` to go with it, with every key that it can have beside an `owner.toml`.
const POLICY: &str = r#"
format = 1
version = 3
expires = 2027-06-30T00:00:00Z
times = ["mon-fri 08:00-18:00 +01:00"]

[labels]
web = "refuse"
peer = "ask"
memory = "ask"
model = "ask"

[limits.USDC]
payment = "1"
hour = "3"
day = "10"
days30 = "100"
total = "200"
ask_above = "0.50"
ask_above_day = "5"
[limits.gas]
day = "0.002 ETH"

[task.limits.USDC]
payment = "0.90"
hour = "1"
day = "2"
days30 = "20"
total = "30"
ask_above = "0.40"

[pool.USDC]
payment = "0.05"
hour = "0.20"
day = "0.50"
days30 = "5"
total = "10"
ask_above = "0.04"
ask_above_day = "0.08"
peer_day = "0.10"
peer_total = "1"

[category.compute]
day = "6 USDC"

[[payee]]
name = "gpu-market"
agent_id = 1
chain = "devnet"
owner = "0x3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d"
wallet = "0x3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c"
host = "gpu.example"
category = "compute"
payment = "0.90 USDC"
hour = "1 USDC"
day = "2 USDC"
days30 = "20 USDC"
total = "30 USDC"
ask_above = "0.40 USDC"
ask_above_day = "1 USDC"
times = ["mon-fri 08:00-18:00"]

[[tool]]
name = "fetch_data"
hosts = ["feed.example", "*.gov"]
methods = ["GET"]
rate = "60/min"
sends = "64 KiB/day"
times = ["06:00-22:00"]
labels = { web = "ask" }
[tool.arguments.city]
one_of = ["Berlin", "Paris"]
[tool.arguments.path]
starts_with = "/public/"
longest = 280
[tool.arguments.days]
at_least = 1
at_most = 14

[sub_agent.helper]
payees = ["gpu-market"]
tools = ["fetch_data"]
[sub_agent.helper.limits.USDC]
payment = "0.50"
hour = "0.60"
day = "1"
days30 = "10"
total = "20"
ask_above = "0.40"
[sub_agent.helper.limits.gas]
day = "0.001 ETH"

[float.USDC]
low = "0.50"
high = "1"
delegation = "required"

[income]
assets = ["USDC"]

[[test]]
given = ["paid 0.10 USDC to gpu-market 5h ago"]
when = "pay 0.10 USDC to gpu-market"
at = "tue 10:00"
as = "helper"
task = "errand"
asked_by = "gpu.example"
labels = ["owner"]
approved = false
then = "allowed"
"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum File {
    Owner,
    Policy,
}

/// The two documents, and which of them is being changed.
struct Pair {
    sources: Sources,
    schemas: [Value; 2],
}

impl Pair {
    fn new() -> Self {
        let sources =
            Sources { policy: POLICY.to_owned(), owner: Some(OWNER.to_owned()), cedar: None };
        Self { sources, schemas: [owner_schema(), policy_schema()] }
    }

    fn text(&self, file: File) -> &str {
        match file {
            File::Owner => self.sources.owner.as_deref().unwrap(),
            File::Policy => &self.sources.policy,
        }
    }

    fn schema(&self, file: File) -> &Value {
        let [owner, policy] = &self.schemas;
        if file == File::Owner { owner } else { policy }
    }

    /// The same, with one document replaced.
    fn with(&self, file: File, text: String) -> Sources {
        let mut sources = self.sources.clone();
        match file {
            File::Owner => sources.owner = Some(text),
            File::Policy => sources.policy = text,
        }
        sources
    }
}

/// What an editor sees of a document: dates are texts.
fn seen(text: &str) -> Value {
    fn value(found: &toml::Value) -> Value {
        match found {
            toml::Value::String(text) => json!(text),
            toml::Value::Integer(number) => json!(number),
            toml::Value::Float(number) => json!(number),
            toml::Value::Boolean(flag) => json!(flag),
            toml::Value::Datetime(date) => json!(date.to_string()),
            toml::Value::Array(values) => values.iter().map(value).collect(),
            toml::Value::Table(table) => {
                let fields = table.iter().map(|(key, found)| (key.clone(), value(found)));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }
    value(&toml::Value::Table(text.parse().unwrap()))
}

fn validator(schema: &Value) -> Validator {
    jsonschema::validator_for(schema).unwrap()
}

fn valid(schema: &Validator, text: &str) {
    let instance = seen(text);
    let mistakes: Vec<String> = schema
        .iter_errors(&instance)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(mistakes.is_empty(), "{mistakes:#?}\n{text}");
}

#[test]
fn the_committed_schemas_are_those_of_this_version() {
    for (name, schema) in [("policy", policy_schema()), ("owner", owner_schema())] {
        let path = format!("{}/schema/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("MARQUE_BLESS").is_some() {
            std::fs::write(&path, text).unwrap();
            continue;
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "{path} is not what src/schema.rs says; write it anew with \
             MARQUE_BLESS=1 cargo test -p marque-policies schema"
        );
    }
}

#[test]
fn every_example_of_the_page_and_every_draft_fits_the_schema() {
    let (owner, policy) = (validator(&owner_schema()), validator(&policy_schema()));
    let drafts = DraftKind::ALL.map(|kind| draft_sources(kind, &drafts::params()));
    for sources in page().policies.into_iter().chain(drafts) {
        valid(&policy, &sources.policy);
        sources.owner.iter().for_each(|text| valid(&owner, text));
    }
}

#[test]
fn a_document_with_every_key_is_read_and_fits_the_schema() {
    let pair = Pair::new();
    let (_, warnings) = compile(&pair.sources).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(warnings, []);
    for file in [File::Owner, File::Policy] {
        valid(&validator(pair.schema(file)), pair.text(file));
    }
}

/// Every table of a document: the path to it, and the part of the schema that is its.
fn tables<'s>(document: &Value, schema: &'s Value) -> Vec<(String, &'s Value)> {
    fn walk<'s>(
        value: &Value,
        schema: &'s Value,
        path: &str,
        found: &mut Vec<(String, &'s Value)>,
    ) {
        let kind = if value.is_array() { "array" } else { "object" };
        let choices = schema["anyOf"].as_array();
        let schema = match choices {
            Some(choices) => choices.iter().find(|choice| choice["type"] == kind).unwrap_or(schema),
            None => schema,
        };
        match value {
            Value::Object(fields) => {
                found.push((path.to_owned(), schema));
                for (key, value) in fields {
                    let known =
                        schema.pointer(&format!("/properties/{key}")).unwrap_or(&Value::Null);
                    let schema =
                        if known.is_null() { &schema["additionalProperties"] } else { known };
                    walk(value, schema, &format!("{path}/{key}"), found);
                }
            }
            Value::Array(values) => {
                for (at, value) in values.iter().enumerate() {
                    walk(value, &schema["items"], &format!("{path}/{at}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(document, schema, "", &mut found);
    found
}

/// A document with another value at a place.
fn changed(text: &str, path: &str, key: &str, value: toml::Value) -> String {
    let mut document = toml::Value::Table(text.parse().unwrap());
    let mut place = &mut document;
    for step in path.split('/').skip(1) {
        place = match place {
            toml::Value::Array(values) => values.get_mut(step.parse::<usize>().unwrap()).unwrap(),
            toml::Value::Table(table) => table.get_mut(step).unwrap(),
            other => panic!("{other} is no table"),
        };
    }
    place.as_table_mut().unwrap().insert(key.to_owned(), value);
    toml::to_string(&document).unwrap()
}

#[test]
fn the_schema_knows_the_keys_of_the_reader_and_no_others() {
    let pair = Pair::new();
    let mut compared = 0;
    for file in [File::Owner, File::Policy] {
        for (path, schema) in tables(&seen(pair.text(file)), pair.schema(file)) {
            let text = changed(pair.text(file), &path, "zzzzzzzzzzzzzzzz", toml::Value::Integer(1));
            let refused = !validator(pair.schema(file)).is_valid(&seen(&text));
            assert!(refused, "the schema takes any key at {path}");
            let error = compile(&pair.with(file, text)).map(|_| ()).expect_err(&path);
            // Where the document names things as it likes, there are no keys to compare.
            if schema["additionalProperties"].is_object() {
                continue;
            }
            let help = error.mistake().help.clone().unwrap_or_default();
            let keys = help.split_once("known here: ").map_or("", |(_, keys)| keys);
            let keys: BTreeSet<&str> = keys.split(", ").collect();
            let known = schema["properties"].as_object().unwrap().keys();
            assert_eq!(keys, known.map(String::as_str).collect(), "at {path}: {error}");
            compared += 1;
        }
    }
    assert!(compared >= 25, "the documents have lost their tables: {compared}");
}

/// A table of a document, a key in it, values that schema and reader accept, and values that both
/// refuse.
type Place = (File, &'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const VALUES: &[Place] = &[
    (
        File::Policy,
        "/limits/USDC",
        "ask_above",
        &["0.30", "0.300000", "00.3", "0.30 USDC", "0"],
        &["", ".3", "0.", "-0.3", "+0.3", "0,3", "1e-1", "0.3  USDC", "0.3USDC", " 0.3", "0x3"],
    ),
    (
        File::Policy,
        "/limits/gas",
        "day",
        &["0.001 ETH"],
        &["0.001", "0.001ETH", "ETH 0.001", "0.001 ETH "],
    ),
    (File::Owner, "/category/data", "day", &["2 USDC"], &["2", "two USDC", "2 USDC each"]),
    (
        File::Owner,
        "/payee/0",
        "address",
        &[
            "0xfdfdfdfdfdfdfdfdfdfdfdfdfdfdfdfdfdfdfdfd",
            "0xFDFDFDFDFDFDFDFDFDFDFDFDFDFDFDFDFDFDFDFD",
            "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
        ],
        &[
            "",
            "0x",
            "feed.eth",
            "0xfd",
            "fdfdfdfdfdfdfdfdfdfdfdfdfdfdfdfdfdfdfdfd",
            "0Xfdfdfdfdfdfdfdfdfdfdfdfdfdfdfdfdfdfdfdfd",
        ],
    ),
    (
        File::Owner,
        "/payee/0",
        "host",
        &[
            "feed.example",
            "FEED.example:8443",
            "127.0.0.1:4021",
            "[::1]:80",
            "[::ffff:1.2.3.4]",
            "a_b.example",
        ],
        &[
            "",
            "*.example",
            "https://feed.example",
            "feed.example/path",
            "user@feed.example",
            "feed.example:",
            "feed example",
        ],
    ),
    (
        File::Policy,
        "/tool/0",
        "rate",
        &["60/min", "0/s", "1/h", "2/d", "3/day", "4/days"],
        &["60", "60 /min", "60/minute", "-1/s", "1.5/s", "/s"],
    ),
    (
        File::Policy,
        "/tool/0",
        "sends",
        &["1 B/s", "64 KiB/day", "1 MiB/h", "1 GiB/min"],
        &["64/day", "64KiB/day", "64 kB/day", "64 KiB"],
    ),
    (
        File::Policy,
        "/test/0",
        "at",
        &["mon 08:00", "fri 16:59"],
        &["monday 08:00", "mon 8:00", "mon 24:00", "mon", "08:00"],
    ),
    (
        File::Owner,
        "/approvals",
        "held",
        &["90s", "10min", "1h", "2d", "2days"],
        &["1", "h", "1 h", "1m", "-1h", "1.5h"],
    ),
    (File::Policy, "/labels", "web", &["ask", "refuse"], &["allow", "Ask", "", "hold"]),
    (
        File::Policy,
        "/payee/0",
        "category",
        &["compute", "another"],
        &["", "-compute", "com pute", "com.pute"],
    ),
    (
        File::Owner,
        "/chain/devnet",
        "id",
        &["eip155:31337"],
        &["31337", "eip155:", "eip155:0", "eip155:031337", "eip155:x", "cosmos:1"],
    ),
    (File::Owner, "/chain/devnet", "finality", &["safe", "finalized"], &["latest", "2", ""]),
    (
        File::Policy,
        "/test/0",
        "then",
        &["allowed", "held", "held by labels", "refused by a.b-c_D"],
        &["refused", "denied", "held by", "refused by a b", ""],
    ),
];

#[test]
fn patterns_refuse_and_accept_what_the_reader_does() {
    let pair = Pair::new();
    for (file, path, key, good, bad) in VALUES {
        let schema = validator(pair.schema(*file));
        for (values, expected) in [(good, true), (bad, false)] {
            for value in *values {
                let text = changed(pair.text(*file), path, key, (*value).into());
                let place = format!("{path}/{key} = {value:?}");
                assert_eq!(schema.is_valid(&seen(&text)), expected, "the schema, {place}");
                let read = compile(&pair.with(*file, text)).map(|_| ());
                assert_eq!(read.is_ok(), expected, "the reader, {place}: {read:?}");
            }
        }
    }
}

#[test]
fn lists_and_dates_are_refused_and_accepted_as_the_reader_does() {
    let pair = Pair::new();
    let schema = validator(pair.schema(File::Policy));
    for (from, to, expected) in [
        ("[\"06:00-22:00\"]", "[\"22:00-06:00\", \"mon 00:00-24:00 -05:30\"]", true),
        ("[\"06:00-22:00\"]", "[\"06:00-22:00\", \"06:00-22:00\"]", false),
        ("[\"06:00-22:00\"]", "[\"6:00-22:00\"]", false),
        ("[\"06:00-22:00\"]", "[\"06:00-22:00 +15:00\"]", false),
        ("[\"06:00-22:00\"]", "\"06:00-22:00\"", false),
        ("[\"GET\"]", "[\"GET\", \"HEAD\"]", true),
        ("[\"GET\"]", "[\"GET\", \"GET\"]", false),
        ("[\"GET\"]", "[\"get\"]", false),
        ("[\"Berlin\", \"Paris\"]", "[\"Berlin\", 7, true, -1]", true),
        ("[\"Berlin\", \"Paris\"]", "[\"Berlin\", 7.5]", false),
        ("[\"Berlin\", \"Paris\"]", "[]", false),
        ("2027-06-30T00:00:00Z", "2027-06-30T00:00:00+02:00", true),
        ("2027-06-30T00:00:00Z", "2027-06-30 00:00:00Z", true),
        ("2027-06-30T00:00:00Z", "2027-06-30T00:00:00", false),
        ("2027-06-30T00:00:00Z", "2027-06-30T00:00:00.5Z", false),
        ("2027-06-30T00:00:00Z", "2027-06-30", false),
        ("2027-06-30T00:00:00Z", "\"tomorrow\"", false),
        ("version = 3", "version = 0", false),
        ("format = 1", "format = 2", false),
        ("approved = false", "approved = \"yes\"", false),
        ("assets = [\"USDC\"]", "assets = \"USDC\"", false),
        ("[limits.gas]\nday = \"0.002 ETH\"", "[limits.gas]", false),
    ] {
        let text = POLICY.replacen(from, to, 1);
        assert_ne!(text, POLICY, "{from}");
        assert_eq!(schema.is_valid(&seen(&text)), expected, "the schema, {to}");
        let read = compile(&pair.with(File::Policy, text)).map(|_| ());
        assert_eq!(read.is_ok(), expected, "the reader, {to}: {read:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_the_reader_accepts_the_schema_accepts(
        place in 0..VALUES.len(),
        pick in any::<prop::sample::Index>(),
        noise in "[0-9a-zA-Z:./*+ -]{0,2}",
        at in any::<prop::sample::Index>(),
        cut in 0..2usize,
    ) {
        let (file, path, key, good, _) = VALUES[place];
        let mut value = pick.get(good).to_string();
        let from = if value.is_empty() { 0 } else { at.index(value.len()) };
        value.replace_range(from..(from + cut).min(value.len()), &noise);
        let pair = Pair::new();
        let text = changed(pair.text(file), path, key, value.clone().into());
        let fits = validator(pair.schema(file)).is_valid(&seen(&text));
        prop_assert!(fits || compile(&pair.with(file, text)).is_err(), "{path}/{key} = {value:?}");
    }
}
