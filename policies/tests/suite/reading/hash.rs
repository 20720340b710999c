//! What counts for the hash that the owner signs: every meaning, and nothing else.

use super::*;
use crate::support::*;
use alloy_primitives::{B256, b256};
use marque_policies::parse;

fn hash(text: &str) -> B256 {
    parse(text).unwrap().0.hash
}

#[test]
fn comments_and_layout_do_not_change_the_hash() {
    let text = usual_text();
    let same = [
        text.replace("version = 7", "version = 7 # seven"),
        text.replace("payment = \"1.00\"", "payment = \"1 USDC\""),
        text.replace("owner   =", "owner.address ="),
        text.replace("0xfefefefefefefefefefefefefefefefefefefefe", &FEED.to_string()),
        text.replace("\"feed.example\"\nday", "\"FEED.example\"\nday"),
        text.replace("hour = \"3.00\"\nday = \"10.00\"", "day = \"10.00\"\nhour = \"3.00\""),
    ];
    for other in same {
        assert_ne!(text, other);
        assert_eq!(hash(&text), hash(&other), "{other}");
    }
}

#[test]
fn every_meaning_changes_the_hash() {
    let text = usual_text()
        + "\n[[test]]\ngiven = [\"paid 1 USDC to muscle 2h ago\"]\nwhen = \"pay 1 USDC to muscle\"\nthen = \"held\"\n";
    let edits = [
        ("version = 7", "version = 8"),
        ("0x0a0a", "0x0b0a"),
        ("[chain.devnet]", "[chain.d]"),
        ("eip155:31337", "eip155:31338"),
        (":8545", ":8546"),
        ("finality = 2", "finality = \"safe\""),
        ("identity_registry = \"0x8080", "identity_registry = \"0x8180"),
        ("token = \"0x5555", "token = \"0x5655"),
        ("decimals = 6", "decimals = 7"),
        ("version = \"1\"", "version = \"2\""),
        ("Marque Test Dollar", "Other Dollar"),
        ("payment = \"1.00\"", "payment = \"1.01\""),
        ("hour = \"3.00\"", "hour = \"3.01\""),
        ("day = \"10.00\"", "day = \"10.01\""),
        ("days30 = \"100.00\"", "days30 = \"100.01\""),
        ("total = \"200.00\"", ""),
        ("ask_above = \"0.50\"", "ask_above = \"0.51\""),
        ("ask_above_day = \"2.00\"", "ask_above_day = \"2.01\""),
        ("[limits.gas]", "[limits.ETH]"),
        ("name = \"weather-feed\"", "name = \"other\""),
        ("0xfefe", "0xfdfe"),
        ("host = \"feed.example\"", ""),
        ("day = \"2.50 USDC\"", "total = \"2.50 USDC\""),
        ("agent_id = 1", "agent_id = 2"),
        ("owner = \"0x3d3d", "owner = \"0x3e3d"),
        ("wallet = \"0x3c3c", "wallet = \"0x3b3c"),
        ("\"*.gov\", ", ""),
        ("rate = \"3/min\"", "rate = \"3/h\""),
        ("1 KiB/day", "2 KiB/day"),
        ("assets = [\"USDC\"]", "assets = []"),
        ("2h ago", "3h ago"),
        ("pay 1 USDC", "pay 2 USDC"),
        ("then = \"held\"", "then = \"allowed\""),
    ];
    let mut seen = vec![hash(&text)];
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        // The chain's name is used twice.
        let edited = text.replacen(from, to, 1);
        let edited = if to == "[chain.d]" { edited.replace("\"devnet\"", "\"d\"") } else { edited };
        let hash = hash(&edited);
        assert!(!seen.contains(&hash), "{from} -> {to}");
        seen.push(hash);
    }
}

#[test]
fn a_document_that_uses_nothing_new_hashes_as_before() {
    let page = include_str!("../../../../docs/policy.md");
    let example = page.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
    assert_eq!(
        hash(example),
        b256!("0xa9fe3e1681d53820eb5e3b8487c0aa5a6fac318974aa96c95744e690c25c3848")
    );
    assert_eq!(
        hash(&usual_text()),
        b256!("0xf12274ca33940a41dc30ca9f2523adf6654092560068bf1c70a9c29b21f5bc36")
    );
}

fn hash_of(sources: &Sources) -> B256 {
    read(sources).0.hash
}

#[test]
fn comments_and_layout_of_every_construct_do_not_change_the_hash() {
    let usual = hash_of(&in_two());
    for (from, to) in [
        ("version = 8", "version = 0x8 # eight"),
        ("2027-06-30T00:00:00Z", "2027-06-30 02:00:00+02:00"),
        (
            "\"mon-fri 06:00-20:00 +01:00\", \"sat 10:00-12:00\"",
            "\"sat 10:00-12:00\", \"mon-fri 06:00-20:00 +01:00\"",
        ),
        ("valid = \"1h\"", "valid = \"60min\""),
        ("payment = \"0.95\"", "payment = \"0.950000 USDC\""),
        ("peer_day = \"0.10\"", "peer_day = \"0.1\""),
        ("\"gpu.example:8443\"\ncategory", "\"GPU.example:8443\"\ncategory"),
        ("[\"GET\", \"HEAD\"]", "[\"HEAD\", \"GET\"]"),
        ("sends = \"64 KiB/day\"", "sends = \"65536 B/d\""),
        ("[\"Berlin\", 7, true]", "[true, 'Berlin', 0b111]"),
        (
            "[tool.arguments.limit]\nat_least = -1\nat_most = 100\n",
            "[tool.arguments]\nlimit = { at_most = 100, at_least = -1 }\n",
        ),
        ("[\"gpu-market\", \"news\"]", "[\"news\", \"gpu-market\"]"),
        ("2days ago by", "48h ago by"),
        ("sending 3 KiB", "sending 3072 B"),
        (
            "to 0x9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e",
            "to 0x9E9E9E9E9E9E9E9E9E9E9E9E9E9E9E9E9E9E9E9E",
        ),
        ("[\"owner\", \"policy\", \"chain\"]", "[\"chain\", \"policy\", \"owner\"]"),
        ("limit=-1", "limit=-01"),
        ("forbid (principal,", "forbid (\n  principal, // whoever\n "),
    ] {
        let sources = edited(in_two(), from, to);
        assert_ne!(sources, in_two());
        assert_eq!(hash_of(&sources), usual, "{from} -> {to}");
    }
    let moved = in_two();
    let (labels, rest) = moved.policy.split_once("\n[limits.USDC]").unwrap();
    let (head, labels) = labels.split_once("\n[labels]").unwrap();
    let moved = Sources {
        policy: format!("{head}\n[limits.USDC]{rest}\n[labels]{labels}\n"),
        ..moved.clone()
    };
    assert_eq!(hash_of(&moved), usual, "the order of tables");
}

/// One mutation for each field of the language.
const MEANINGS: &[(&str, &str)] = &[
    ("version = 8", "version = 9"),
    ("2027-06-30T00:00:00Z", "2027-06-30T00:00:01Z"),
    ("expires = 2027-06-30T00:00:00Z", ""),
    ("mon-fri 06:00-20:00 +01:00", "mon-thu 06:00-20:00 +01:00"),
    ("mon-fri 06:00-20:00 +01:00", "tue-fri 06:00-20:00 +01:00"),
    ("mon-fri 06:00-20:00 +01:00", "mon-fri 06:01-20:00 +01:00"),
    ("mon-fri 06:00-20:00 +01:00", "mon-fri 06:00-20:01 +01:00"),
    ("mon-fri 06:00-20:00 +01:00", "mon-fri 06:00-20:00 +02:00"),
    (", \"sat 10:00-12:00\"]", "]"),
    ("web = \"refuse\"", "web = \"ask\""),
    ("peer = \"ask\"", "peer = \"refuse\""),
    ("memory = \"ask\"", ""),
    ("model = \"refuse\"", "model = \"ask\""),
    ("valid = \"1h\"", "valid = \"2h\""),
    ("held = \"24h\"", ""),
    ("address = \"0x0a0a", "address = \"0x0b0a"),
    // Chains and assets.
    ("native = \"SIDE\"", "native = \"BESIDE\""),
    ("id = \"eip155:10\"", "id = \"eip155:11\""),
    ("https://side.example", "https://side2.example"),
    ("finality = 2", "finality = 3"),
    ("finality = \"safe\"", "finality = \"finalized\""),
    ("identity_registry = \"0x80", "identity_registry = \"0x81"),
    ("token = \"0x5656", "token = \"0x5756"),
    ("[asset.EURC]\nchain = \"side\"", "[asset.EURC]\nchain = \"devnet\""),
    ("decimals = 6\n\n[category.data]", "decimals = 7\n\n[category.data]"),
    ("[asset.EURC]", "[asset.EURO]"),
    ("Marque Test Dollar", "Marque Dollar"),
    ("version = \"1\" }", "version = \"2\" }"),
    // All agents.
    ("payment = \"9\"", "payment = \"9.1\""),
    ("hour = \"11\"", "hour = \"11.1\""),
    ("day = \"21\"", "day = \"21.1\""),
    ("days30 = \"210\"", "days30 = \"210.1\""),
    ("total = \"410\"", "total = \"410.1\""),
    ("ask_above = \"8\"", "ask_above = \"8.1\""),
    ("day = \"0.02 ETH\"", "hour = \"0.02 ETH\""),
    ("[owner.limits.gas]", "[owner.limits.ETH]"),
    // The agent.
    ("ask_above_day = \"2.00\"", "ask_above_day = \"2.01\""),
    ("[limits.gas]\nday = \"0.002 ETH\"", "[limits.gas]\nday = \"0.003 ETH\""),
    // A task.
    ("payment = \"0.95\"", "payment = \"0.96\""),
    ("hour = \"2.80\"", "hour = \"2.81\""),
    ("day = \"4.80\"", "day = \"4.81\""),
    ("days30 = \"48\"", "days30 = \"48.1\""),
    ("total = \"58\"", "total = \"58.1\""),
    ("ask_above = \"0.44\"", "ask_above = \"0.441\""),
    ("[task.limits.USDC]", "[task.limits.EURC]"),
    // The pool.
    ("payment = \"0.05\"", "payment = \"0.051\""),
    ("hour = \"0.30\"", "hour = \"0.31\""),
    ("day = \"0.70\"", "day = \"0.71\""),
    ("days30 = \"7\"", "days30 = \"7.1\""),
    ("total = \"9.50\"", "total = \"9.51\""),
    ("ask_above = \"0.04\"", "ask_above = \"0.041\""),
    ("ask_above_day = \"0.08\"", "ask_above_day = \"0.081\""),
    ("peer_day = \"0.10\"", "peer_day = \"0.11\""),
    ("peer_total = \"1.50\"", "peer_total = \"1.51\""),
    ("peer_total = \"1.50\"", ""),
    // Categories.
    ("payment = \"0.90 USDC\"", "payment = \"0.91 USDC\""),
    ("hour = \"2.90 USDC\"", "hour = \"2.91 USDC\""),
    ("day = \"5.90 USDC\"", "day = \"5.91 USDC\""),
    ("days30 = \"59 USDC\"", "days30 = \"60 USDC\""),
    ("total = \"99 USDC\"", "total = \"98 USDC\""),
    ("ask_above = \"0.45 USDC\"", "ask_above = \"0.46 USDC\""),
    ("[category.data]\nday = \"1.75 USDC\"", "[category.data]\nday = \"1.75 EURC\""),
    ("[category.data]", "[category.papers]"),
    // Payees.
    ("name = \"weather-feed\"\naddress = \"0xfefe", "name = \"weather-feed\"\naddress = \"0xfdfe"),
    ("agent_id = 1", "agent_id = 2"),
    ("owner = \"0x3d3d", "owner = \"0x3e3d"),
    ("wallet = \"0x3c3c", "wallet = \"0x3b3c"),
    ("host = \"news.example\"", "host = \"new.example\""),
    ("category = \"compute\"", "category = \"machines\""),
    ("category = \"data\"", ""),
    ("payment = \"0.80 USDC\"", "payment = \"0.81 USDC\""),
    ("hour = \"2.70 USDC\"", "hour = \"2.71 USDC\""),
    ("day = \"4.70 USDC\"", "day = \"4.71 USDC\""),
    ("days30 = \"47 USDC\"", "days30 = \"46 USDC\""),
    ("total = \"57 USDC\"", "total = \"56 USDC\""),
    ("ask_above = \"0.43 USDC\"", "ask_above = \"0.41 USDC\""),
    ("ask_above_day = \"1.30 USDC\"", "ask_above_day = \"1.31 USDC\""),
    ("day = \"2.50 USDC\"", "day = \"2.50 EURC\""),
    ("times = [\"mon-fri 08:00-18:00\"]", "times = [\"mon-fri 08:00-18:30\"]"),
    // Tools.
    ("\"*.gov\"]", "\"*.gov:443\"]"),
    (", \"HEAD\"]", "]"),
    ("methods = [\"GET\", \"HEAD\"]", ""),
    ("rate = \"60/min\"", "rate = \"61/min\""),
    ("rate = \"60/min\"", "rate = \"60/h\""),
    ("64 KiB/day", "63 KiB/day"),
    ("64 KiB/day", "64 KiB/h"),
    ("times = [\"07:00-19:00\"]", "times = [\"07:30-19:00\"]"),
    ("{ web = \"ask\", peer", "{ peer"),
    ("peer = \"refuse\", memory", "memory"),
    ("memory = \"ask\", model = \"ask\" }", "memory = \"refuse\", model = \"ask\" }"),
    ("model = \"ask\" }", "model = \"refuse\" }"),
    ("[tool.arguments.city]", "[tool.arguments.town]"),
    ("[\"Berlin\", 7, true]", "[\"Berlin\", 7]"),
    ("[\"Berlin\", 7, true]", "[\"Berlin\", \"7\", true]"),
    ("[\"Berlin\", 7, true]", "[\"Berlin\", 7, \"true\"]"),
    ("starts_with = \"/public/\"", "starts_with = \"/publi\""),
    ("longest = 280", "longest = 281"),
    ("at_least = -1", "at_least = -2"),
    ("at_most = 100", "at_most = 101"),
    // Sub-agents.
    ("[\"gpu-market\", \"news\"]", "[\"gpu-market\"]"),
    ("tools = [\"fetch_data\"]", "tools = []"),
    ("payment = \"0.75\"", "payment = \"0.76\""),
    ("hour = \"0.85\"", "hour = \"0.86\""),
    ("day = \"1.10\"", "day = \"1.11\""),
    ("days30 = \"11\"", "days30 = \"12\""),
    ("total = \"13\"", "total = \"14\""),
    ("ask_above = \"0.42\"", "ask_above = \"0.422\""),
    ("day = \"0.001 ETH\"", "day = \"0.0011 ETH\""),
    ("[sub_agent.helper.limits.gas]", "[sub_agent.helper.limits.ETH]"),
    ("assets = [\"USDC\"]", "assets = [\"EURC\"]"),
    // Tests.
    ("paid 0.01 USDC to gpu-market", "paid 0.011 USDC to gpu-market"),
    ("to gpu-market 5h ago", "to news 5h ago"),
    ("to gpu-market 5h ago", "to gpu-market 6h ago"),
    (" ago by helper", " ago"),
    (" ago by helper", " ago by another agent"),
    (" ago by another agent", " ago by helper"),
    (" ago in task errand", " ago in task errant"),
    ("used fetch_data 1min ago", "used fetch_data 2min ago"),
    ("sending 3 KiB", "sending 4 KiB"),
    ("pinned news to 0x9e9e", "pinned news to 0x9f9e"),
    ("\"bazaar did not deliver\", ", ""),
    ("bazaar did not deliver", "news did not deliver"),
    ("gpu-market changed hands", "gpu-market does not resolve"),
    ("pay 0.20 USDC to gpu-market", "pay 0.21 USDC to gpu-market"),
    ("pay 0.20 USDC to gpu-market", "pay 0.20 USDC to news"),
    ("use fetch_data to GET feed", "use fetch_data to HEAD feed"),
    ("use fetch_data to GET feed.example", "use fetch_data to GET weather.gov"),
    ("use fetch_data to GET feed.example", "use fetch_data"),
    ("sending 2 KiB with", "sending 3 KiB with"),
    ("sending 2 KiB with", "with"),
    ("city=Berlin", "town=Berlin"),
    ("city=Berlin", "city=Paris"),
    ("limit=-1", "limit=-2"),
    ("limit=-1", "limit=-1.0"),
    ("collect 1 USDC", "collect 2 USDC"),
    ("collect 1 USDC", "return 1.01 USDC"),
    ("return 1 USDC", "return 2 USDC"),
    ("at = \"tue 10:00\"", "at = \"tue 10:01\""),
    ("as = \"helper\"\n", ""),
    ("task = \"errand\"\n", ""),
    ("asked_by = \"gpu.example:8443\"", "asked_by = \"gpu.example\""),
    ("\"policy\", \"chain\"]", "\"policy\"]"),
    ("\"peer:bazaar\"", "\"peer:bizarre\""),
    ("\"web:feed.example\"", "\"web:fed.example\""),
    ("approved = true", "approved = false"),
    ("then = \"held\"", "then = \"allowed\""),
    ("then = \"held by pool.USDC.delivery\"", "then = \"refused by pool.USDC.delivery\""),
    ("then = \"held by pool.USDC.delivery\"", "then = \"held by labels\""),
    // Forbids.
    ("context.minute < 360", "context.minute < 361"),
    ("@id(\"night\")", "@id(\"nights\")"),
    (
        "forbid (principal, action == Action::\"pay\", resource)",
        "forbid (principal, action == Action::\"collect\", resource)",
    ),
];

#[test]
fn every_meaning_of_every_construct_changes_the_hash() {
    let mut seen = vec![
        ("nothing", hash_of(&in_two())),
        ("no forbids", hash_of(&Sources { cedar: None, ..in_two() })),
    ];
    assert_ne!(seen[0].1, seen[1].1);
    for (from, to) in MEANINGS {
        let hash = hash_of(&edited(lean(in_two(), from), from, to));
        let same = seen.iter().find(|(_, other)| *other == hash);
        assert!(same.is_none(), "{from} -> {to} means the same as {same:?}");
        seen.push((to, hash));
    }
}

#[test]
fn the_same_limit_in_another_section_is_another_meaning() {
    // What stands in one place must not be told as standing in another one.
    let section =
        |name: &str| format!("{GROUND}[limits.USDC]\nday = \"9\"\n{name}\nday = \"1 USDC\"\n");
    let texts = [
        section("[task.limits.USDC]"),
        section("[pool.USDC]"),
        section("[category.USDC]"),
        section("[sub_agent.x.limits.USDC]"),
        section("[sub_agent.y.limits.USDC]"),
        section("[[payee]]\nname = \"x\"\nhost = \"x.example\""),
        section("[[payee]]\nname = \"x\"\nhost = \"y.example\""),
        section("[[payee]]\nname = \"x\"\nhost = \"x.example\"\ncategory = \"x\""),
        section(
            "[category.x]\nday = \"1 USDC\"\n[[payee]]\nname = \"x\"\nhost = \"x.example\"\ncategory = \"x\"",
        ),
        section("[category.x]\nday = \"1 USDC\"\n[[payee]]\nname = \"x\"\nhost = \"x.example\""),
    ];
    let mut hashes: Vec<B256> = texts.iter().map(|text| hash(text)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), texts.len());
}
