//! Two policies compared: what each part of the language says, and that no widening is missed.

use crate::{
    forbids::Forbid,
    sketch::{Account, Case, NAMES, Place, Seven, Sketch, Week},
    support::*,
};
use Direction::{Different, Narrower, Wider};
use marque_policies::{
    Decision, Diff, Direction, Policy, Sources, diff, diff::is_wider, parse::compile,
};

/// A policy that uses the whole language.
const RICH: &str = r#"
format  = 1
version = 7
owner.address = "0x0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
expires = 2027-06-30T00:00:00Z
times = ["mon-fri 08:00-18:00"]

[labels]
model = "ask"

[approvals]
valid = "1h"
held = "24h"

[chain.devnet]
id = "eip155:31337"
rpc = ["http://127.0.0.1:8545", "http://127.0.0.1:8546"]
finality = 2
native = "ETH"
identity_registry = "0x8080808080808080808080808080808080808080"

[asset.USDC]
chain = "devnet"
token = "0x5555555555555555555555555555555555555555"
decimals = 6
domain = { name = "Marque Test Dollar", version = "1" }

[asset.EURT]
chain = "devnet"
token = "0x5656565656565656565656565656565656565656"
decimals = 2

[limits.USDC]
payment = "2.00"
hour = "4.00"
day = "10.00"
days30 = "50.00"
total = "90.00"
ask_above = "1.50"
ask_above_day = "5.00"

[limits.gas]
payment = "0.001 ETH"
day = "0.002 ETH"

[owner.limits.USDC]
day = "20.00"

[owner.limits.gas]
day = "0.009 ETH"

[task.limits.USDC]
total = "3.00"

[pool.USDC]
payment = "0.05"
day = "0.50"
peer_day = "0.10"
peer_total = "0.30"

[category.compute]
day = "6 USDC"

[[payee]]
name = "feed"
address = "0xfefefefefefefefefefefefefefefefefefefefe"
host = "feed.example"
day = "2.50 USDC"
times = ["mon-thu 00:00-24:00"]

[[payee]]
name = "muscle"
agent_id = 1
owner = "0x3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d"
wallet = "0x3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c"
category = "compute"

[[payee]]
name = "brawn"
address = "0x6666666666666666666666666666666666666666"
category = "compute"

[[payee]]
name = "shop"
host = "shop.example"

[[tool]]
name = "fetch"
hosts = ["feed.example", "*.gov"]
methods = ["GET"]
rate = "3/min"
sends = "1 KiB/day"
times = ["06:00-22:00"]
labels = { web = "ask" }
[tool.arguments.city]
one_of = ["Berlin", "Paris"]
[tool.arguments.path]
starts_with = "/public/"
longest = 20
[tool.arguments.count]
at_least = 1
at_most = 9

[sub_agent.helper]
payees = ["feed", "brawn"]
tools = ["fetch"]
[sub_agent.helper.limits.USDC]
day = "1.00"
[sub_agent.helper.limits.gas]
day = "0.001 ETH"

[float.USDC]
low = "1.50"
high = "3.00"

[income]
assets = ["USDC"]
"#;

const CEDAR: &str = r#"
@id("small")
forbid(principal, action == Action::"pay", resource) when { context.amount_micros > 750000 };
@id("night")
forbid(principal, action, resource) when { context.minute < 540 };
@id("compute")
forbid(principal, action == Action::"pay", resource in Category::"compute") when { context.labels.contains("web") };
"#;

fn read(policy: &str, cedar: Option<&str>) -> Policy {
    let sources =
        Sources { policy: policy.to_owned(), owner: None, cedar: cedar.map(str::to_owned) };
    compile(&sources).unwrap_or_else(|error| panic!("{error}\n{policy}")).0
}

fn rich(edits: &[(&str, &str)]) -> Policy {
    read(&edited(RICH, edits), None)
}

fn edited(text: &str, edits: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (from, to) in edits {
        assert_eq!(text.matches(from).count(), 1, "{from} is there once");
        text = text.replace(from, to);
    }
    text
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Wider => Narrower,
        Narrower => Wider,
        Different => Different,
    }
}

fn rank(decision: Decision) -> u8 {
    match decision {
        Decision::Allow => 0,
        Decision::Hold => 1,
        Decision::Refuse => 2,
    }
}

/// Each change that is said is of this subject and direction, and has a witness if one can be.
fn expect(found: &Diff, subject: &str, direction: Direction, witness: bool) {
    let changes: Vec<_> = found.changes.iter().filter(|change| change.subject == subject).collect();
    assert_eq!(changes.len(), 1, "{subject}:\n{found}");
    for change in changes {
        assert_eq!(change.direction, direction, "{subject}:\n{found}");
        assert_eq!(change.witness.is_some(), witness, "{subject}:\n{found}");
        let Some(witness) = &change.witness else { continue };
        let (old, new) = (rank(witness.old), rank(witness.new));
        match direction {
            Wider => assert!(old > new, "{found}"),
            Narrower => assert!(old < new, "{found}"),
            Different => assert_ne!(old, new, "{found}"),
        }
    }
}

/// What is written instead of what, which rule that is, which way it goes, and whether a case can
/// show it.
type Edit<'e> = (&'e [(&'e str, &'e str)], &'e str, Direction, bool);

const EDITS: &[Edit<'_>] = &[
    (&[("owner.address = \"0x0a", "owner.address = \"0x0b")], "owner.address", Different, true),
    (&[("expires = 2027", "expires = 2028")], "policy.expires", Wider, true),
    (&[("expires = 2027-06-30T00:00:00Z", "")], "policy.expires", Wider, true),
    (
        &[("times = [\"mon-fri 08:00-18:00\"]", "times = [\"mon-sat 08:00-18:00\"]")],
        "times",
        Wider,
        true,
    ),
    (
        &[("times = [\"mon-fri 08:00-18:00\"]", "times = [\"mon-fri 09:00-19:00\"]")],
        "times",
        Different,
        true,
    ),
    (&[("times = [\"mon-fri 08:00-18:00\"]", "")], "times", Wider, true),
    (&[("model = \"ask\"", "model = \"refuse\"")], "labels.model", Narrower, true),
    (&[("model = \"ask\"", "model = \"ask\"\nweb = \"ask\"")], "labels.web", Narrower, true),
    (&[("model = \"ask\"", "model = \"ask\"\npeer = \"refuse\"")], "labels.peer", Narrower, true),
    (
        &[("model = \"ask\"", "model = \"ask\"\nmemory = \"refuse\"")],
        "labels.memory",
        Narrower,
        true,
    ),
    (&[("valid = \"1h\"", "valid = \"2h\"")], "approvals.valid", Wider, true),
    (&[("valid = \"1h\"", "")], "approvals.valid", Wider, true),
    (&[("held = \"24h\"", "held = \"2h\"")], "approvals.held", Narrower, false),
    (&[("held = \"24h\"", "")], "approvals.held", Different, false),
    (&[("127.0.0.1:8546", "127.0.0.1:8547")], "chain.devnet.rpc", Different, false),
    (&[("finality = 2", "finality = 1")], "chain.devnet.finality", Wider, false),
    (&[("finality = 2", "finality = \"safe\"")], "chain.devnet.finality", Different, false),
    (
        &[(
            "\"0x8080808080808080808080808080808080808080\"",
            "\"0x8180808080808080808080808080808080808080\"",
        )],
        "chain.devnet.identity_registry",
        Different,
        true,
    ),
    (
        &[(
            "[asset.EURT]",
            "[asset.EURX]\nchain = \"devnet\"\ntoken = \"0x5757575757575757575757575757575757575757\"\ndecimals = 2\n[asset.EURT]",
        )],
        "asset.EURX",
        Wider,
        true,
    ),
    (&[("decimals = 2", "decimals = 3")], "asset.EURT.decimals", Different, false),
    (
        &[("domain = { name = \"Marque Test Dollar\", version = \"1\" }", "")],
        "asset.USDC.domain",
        Narrower,
        true,
    ),
    (
        &[("Test Dollar\", version = \"1\"", "Test Dollar\", version = \"2\"")],
        "asset.USDC.domain",
        Different,
        false,
    ),
    (&[("payment = \"2.00\"", "payment = \"1.00\"")], "limits.USDC.payment", Narrower, true),
    (&[("hour = \"4.00\"", "hour = \"3.00\"")], "limits.USDC.hour", Narrower, true),
    (&[("hour = \"4.00\"\n", "")], "limits.USDC.hour", Wider, true),
    (&[("day = \"10.00\"", "day = \"12.00\"")], "limits.USDC.day", Wider, true),
    (&[("days30 = \"50.00\"", "days30 = \"60.00\"")], "limits.USDC.days30", Wider, true),
    (&[("total = \"90.00\"", "total = \"95.00\"")], "limits.USDC.total", Wider, true),
    (&[("total = \"90.00\"\n", "")], "limits.USDC.total", Wider, true),
    (&[("ask_above = \"1.50\"", "ask_above = \"1.75\"")], "limits.USDC.ask_above", Wider, true),
    (
        &[("ask_above_day = \"5.00\"", "ask_above_day = \"5.50\"")],
        "limits.USDC.ask_above_day",
        Wider,
        true,
    ),
    (
        &[("[limits.gas]\npayment = \"0.001 ETH\"", "[limits.gas]\npayment = \"0.0015 ETH\"")],
        "limits.gas.payment",
        Wider,
        true,
    ),
    (&[("day = \"0.002 ETH\"", "day = \"0.003 ETH\"")], "limits.gas.day", Wider, true),
    (
        &[("[limits.gas]\npayment = \"0.001 ETH\"\nday = \"0.002 ETH\"", "")],
        "limits.gas",
        Narrower,
        true,
    ),
    (
        &[("[limits.gas]", "[limits.EURT]\nday = \"1.00\"\n[limits.gas]")],
        "limits.EURT",
        Wider,
        true,
    ),
    (
        &[("[owner.limits.USDC]\nday = \"20.00\"", "[owner.limits.USDC]\nday = \"25.00\"")],
        "owner.limits.USDC.day",
        Wider,
        true,
    ),
    (&[("[owner.limits.USDC]\nday = \"20.00\"", "")], "owner.limits.USDC.day", Wider, true),
    (&[("day = \"0.009 ETH\"", "day = \"0.007 ETH\"")], "owner.limits.gas.day", Narrower, true),
    (&[("total = \"3.00\"", "total = \"3.50\"")], "task.limits.USDC.total", Wider, true),
    (&[("[task.limits.USDC]\ntotal = \"3.00\"", "")], "task.limits.USDC.total", Wider, true),
    (&[("payment = \"0.05\"", "payment = \"0.04\"")], "pool.USDC.payment", Narrower, true),
    (&[("day = \"0.50\"", "day = \"0.60\"")], "pool.USDC.day", Wider, true),
    (&[("peer_day = \"0.10\"", "peer_day = \"0.12\"")], "pool.USDC.peer_day", Wider, true),
    (&[("peer_total = \"0.30\"\n", "")], "pool.USDC.peer_total", Wider, true),
    (
        &[(
            "[pool.USDC]\npayment = \"0.05\"\nday = \"0.50\"\npeer_day = \"0.10\"\npeer_total = \"0.30\"",
            "",
        )],
        "pool.USDC",
        Narrower,
        true,
    ),
    (&[("day = \"6 USDC\"", "day = \"5 USDC\"")], "category.compute.day", Narrower, true),
    (&[("[category.compute]\nday = \"6 USDC\"", "")], "category.compute.day", Wider, true),
    (&[("day = \"6 USDC\"", "day = \"0.001 ETH\"")], "category.compute", Different, true),
    (&[("address = \"0xfefe", "address = \"0xfdfe")], "payee.feed.address", Different, true),
    (&[("host = \"feed.example\"", "host = \"data.example\"")], "payee.feed.host", Different, true),
    (&[("host = \"feed.example\"\n", "")], "payee.feed.host", Different, true),
    (&[("day = \"2.50 USDC\"", "day = \"2.00 USDC\"")], "payee.feed.day", Narrower, true),
    (&[("day = \"2.50 USDC\"\n", "")], "payee.feed.day", Wider, true),
    (
        &[("day = \"2.50 USDC\"", "day = \"2.50 USDC\"\nask_above = \"0.20 USDC\"")],
        "payee.feed.ask_above",
        Narrower,
        true,
    ),
    (&[("mon-thu 00:00-24:00", "mon-wed 00:00-24:00")], "payee.feed.times", Narrower, true),
    (
        &[("agent_id = 1\nowner = \"0x3d3d", "agent_id = 1\nowner = \"0x3e3d")],
        "payee.muscle.identity",
        Different,
        true,
    ),
    (
        &[(
            "agent_id = 1\nowner = \"0x3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d\"\nwallet =",
            "address =",
        )],
        "payee.muscle.identity",
        Wider,
        true,
    ),
    (
        &[(
            "wallet = \"0x3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c\"\ncategory = \"compute\"",
            "wallet = \"0x3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c\"",
        )],
        "payee.muscle.category",
        Wider,
        true,
    ),
    (
        &[(
            "host = \"shop.example\"",
            "host = \"shop.example\"\naddress = \"0x6767676767676767676767676767676767676767\"",
        )],
        "payee.shop.address",
        Different,
        true,
    ),
    (
        &[(
            "name = \"shop\"\nhost = \"shop.example\"",
            "name = \"shop\"\nhost = \"shop.example\"\n[[payee]]\nname = \"more\"\naddress = \"0x6868686868686868686868686868686868686868\"",
        )],
        "payee.more",
        Wider,
        true,
    ),
    (&[("[[payee]]\nname = \"shop\"\nhost = \"shop.example\"", "")], "payee.shop", Different, true),
    (
        &[("hosts = [\"feed.example\", \"*.gov\"]", "hosts = [\"feed.example\", \"weather.gov\"]")],
        "tool.fetch.hosts",
        Narrower,
        true,
    ),
    (
        &[("hosts = [\"feed.example\", \"*.gov\"]", "hosts = [\"*.example\", \"*.gov\"]")],
        "tool.fetch.hosts",
        Wider,
        true,
    ),
    (
        &[("hosts = [\"feed.example\", \"*.gov\"]", "hosts = [\"*.gov\", \"data.example\"]")],
        "tool.fetch.hosts",
        Different,
        true,
    ),
    (
        &[("methods = [\"GET\"]", "methods = [\"GET\", \"POST\"]")],
        "tool.fetch.methods",
        Wider,
        true,
    ),
    (&[("methods = [\"GET\"]\n", "")], "tool.fetch.methods", Wider, true),
    (&[("rate = \"3/min\"", "rate = \"4/min\"")], "tool.fetch.rate", Wider, true),
    (&[("rate = \"3/min\"", "rate = \"3/h\"")], "tool.fetch.rate", Narrower, true),
    (&[("rate = \"3/min\"", "rate = \"10/h\"")], "tool.fetch.rate", Different, true),
    (&[("rate = \"3/min\"\n", "")], "tool.fetch.rate", Wider, true),
    (&[("sends = \"1 KiB/day\"", "sends = \"2 KiB/day\"")], "tool.fetch.sends", Wider, true),
    (&[("sends = \"1 KiB/day\"", "sends = \"1 KiB/h\"")], "tool.fetch.sends", Wider, true),
    (&[("06:00-22:00", "06:00-17:00")], "tool.fetch.times", Narrower, true),
    (
        &[("labels = { web = \"ask\" }", "labels = { web = \"refuse\" }")],
        "tool.fetch.labels.web",
        Narrower,
        true,
    ),
    (
        &[("\"Berlin\", \"Paris\"", "\"Berlin\", \"Rome\"")],
        "tool.fetch.arguments.city",
        Different,
        true,
    ),
    (
        &[("[tool.arguments.city]\none_of = [\"Berlin\", \"Paris\"]", "")],
        "tool.fetch.arguments.city",
        Wider,
        true,
    ),
    (
        &[("starts_with = \"/public/\"", "starts_with = \"/public/a\"")],
        "tool.fetch.arguments.path",
        Narrower,
        true,
    ),
    (&[("longest = 20", "longest = 21")], "tool.fetch.arguments.path", Wider, true),
    (&[("at_least = 1", "at_least = 2")], "tool.fetch.arguments.count", Narrower, true),
    (&[("at_most = 9", "at_most = 10")], "tool.fetch.arguments.count", Wider, true),
    (
        &[("[sub_agent.helper]", "[[tool]]\nname = \"clock\"\n[sub_agent.helper]")],
        "tool.clock",
        Wider,
        true,
    ),
    (
        &[("payees = [\"feed\", \"brawn\"]", "payees = [\"feed\"]")],
        "sub_agent.helper.payees",
        Narrower,
        true,
    ),
    (&[("tools = [\"fetch\"]", "tools = []")], "sub_agent.helper.tools", Narrower, true),
    (&[("day = \"1.00\"", "day = \"2.00\"")], "sub_agent.helper.limits.USDC.day", Wider, true),
    (
        &[("[sub_agent.helper.limits.USDC]\nday = \"1.00\"", "")],
        "sub_agent.helper.limits.USDC",
        Narrower,
        true,
    ),
    (
        &[("day = \"0.001 ETH\"", "day = \"0.0005 ETH\"")],
        "sub_agent.helper.limits.gas.day",
        Narrower,
        true,
    ),
    (
        &[(
            "[sub_agent.helper]\npayees = [\"feed\", \"brawn\"]",
            "[sub_agent.runner]\npayees = [\"feed\"]\n[sub_agent.runner.limits.USDC]\nday = \"0.50\"\n[sub_agent.helper]\npayees = [\"feed\", \"brawn\"]",
        )],
        "sub_agent.runner",
        Wider,
        true,
    ),
    (&[("high = \"3.00\"", "high = \"4.00\"")], "float.USDC.high", Wider, true),
    (&[("high = \"3.00\"", "high = \"2.00\"")], "float.USDC.high", Narrower, true),
    (&[("low = \"1.50\"", "low = \"1.60\"")], "float.USDC.low", Wider, false),
    (&[("low = \"1.50\"", "low = \"1.00\"")], "float.USDC.low", Narrower, false),
    (
        &[("low = \"1.50\"", "low = \"1.50\"\ndelegation = \"required\"")],
        "float.USDC.delegation",
        Narrower,
        false,
    ),
    (&[("[float.USDC]\nlow = \"1.50\"\nhigh = \"3.00\"\n", "")], "float.USDC", Different, true),
    (&[("[income]\nassets = [\"USDC\"]", "")], "income.USDC", Narrower, true),
    (
        &[("[income]", "[facilitator]\nassets = [\"USDC\"]\n[income]")],
        "facilitator.USDC",
        Wider,
        true,
    ),
];

#[test]
fn every_part_of_the_language_is_compared_and_shown_by_a_case() {
    let old = rich(&[]);
    for (edits, subject, direction, witness) in EDITS {
        let new = rich(edits);
        expect(&diff(&old, &new), subject, *direction, *witness);
        // Adding a payee beside a pool is wider; taking it away is not only narrower.
        let back = diff(&new, &old);
        let pooled = subject.starts_with("payee.") && subject.matches('.').count() == 1;
        if !pooled {
            expect(&back, subject, opposite(*direction), *witness);
        }
        assert_eq!(is_wider(&old, &new), diff(&old, &new).is_wider(), "{subject}");
        assert_eq!(is_wider(&new, &old), back.is_wider(), "{subject}");
    }
}

#[test]
fn fewer_endpoints_are_wider_and_more_are_others() {
    let (two, one) = (rich(&[]), rich(&[(", \"http://127.0.0.1:8546\"", "")]));
    expect(&diff(&two, &one), "chain.devnet.rpc", Wider, false);
    expect(&diff(&one, &two), "chain.devnet.rpc", Different, false);
}

#[test]
fn a_chain_and_its_coin_come_and_go_together() {
    let more = "[chain.other]\nid = \"eip155:10\"\nrpc = [\"https://rpc.example\"]\nfinality = \"safe\"\nnative = \"ETH-other\"\nidentity_registry = \"0x8080808080808080808080808080808080808080\"\n[asset.USDC]";
    let said = ("agent_id = 1", "agent_id = 1\nchain = \"devnet\"");
    let (old, new) = (rich(&[said]), rich(&[said, ("[asset.USDC]", more)]));
    expect(&diff(&old, &new), "chain.other", Wider, true);
    expect(&diff(&new, &old), "chain.other", Narrower, true);
    assert_eq!(diff(&old, &new).changes.len(), 1);
}

#[test]
fn another_token_under_the_same_name_is_both_gone_and_new() {
    let (old, new) = (rich(&[]), rich(&[("0x5656", "0x5757")]));
    let found = diff(&old, &new);
    let said: Vec<_> = found.changes.iter().map(|c| (c.subject.as_str(), c.direction)).collect();
    assert_eq!(said, [("asset.EURT", Narrower), ("asset.EURT", Wider)]);
}

#[test]
fn forbids_are_compared_by_what_they_mean() {
    let with = |cedar: &str| read(RICH, Some(cedar));
    let (none, old) = (rich(&[]), with(CEDAR));
    for name in ["cedar.small", "cedar.night", "cedar.compute"] {
        expect(&diff(&none, &old), name, Narrower, true);
        expect(&diff(&old, &none), name, Wider, true);
    }
    let renamed = with(&CEDAR.replace("@id(\"small\")", "@id(\"tiny\")"));
    assert!(diff(&old, &renamed).changes.is_empty(), "a name forbids nothing");
    let edited = with(&CEDAR.replace("750000", "850000"));
    expect(&diff(&old, &edited), "cedar.small", Different, true);
    assert_eq!(diff(&old, &edited).changes.len(), 1);
}

#[test]
fn names_and_categories_matter_where_forbids_may_see_them() {
    let moved = |cedar| {
        let of = |text: &str| read(text, cedar);
        let old = edited(RICH, &[("[category.compute]\nday = \"6 USDC\"", "")]);
        let new = edited(
            &old,
            &[(
                "name = \"brawn\"\naddress = \"0x6666666666666666666666666666666666666666\"\ncategory = \"compute\"",
                "name = \"brawn\"\naddress = \"0x6666666666666666666666666666666666666666\"",
            )],
        );
        diff(&of(&old), &of(&new))
    };
    assert!(moved(None).changes.is_empty(), "a category without limits is a word");
    expect(&moved(Some(CEDAR)), "payee.brawn.category", Different, false);
    let renamed = |cedar| {
        let new = RICH.replace("EURT", "EURS");
        diff(&read(RICH, cedar), &read(&new, cedar))
    };
    assert!(renamed(None).changes.is_empty(), "an asset is its contract");
    expect(&renamed(Some(CEDAR)), "asset.EURS", Different, false);
}

#[test]
fn a_payee_without_a_pool_is_only_taken_away() {
    let no_pool = (
        "[pool.USDC]\npayment = \"0.05\"\nday = \"0.50\"\npeer_day = \"0.10\"\npeer_total = \"0.30\"",
        "",
    );
    let shop = ("[[payee]]\nname = \"shop\"\nhost = \"shop.example\"", "");
    let found = diff(&rich(&[no_pool]), &rich(&[no_pool, shop]));
    expect(&found, "payee.shop", Narrower, true);
    assert!(!found.is_wider());
}

#[test]
fn what_a_payee_that_is_gone_got_no_longer_fills_its_category() {
    let no_pool = (
        "[pool.USDC]\npayment = \"0.05\"\nday = \"0.50\"\npeer_day = \"0.10\"\npeer_total = \"0.30\"",
        "",
    );
    let gone = (
        "[[payee]]\nname = \"muscle\"\nagent_id = 1\nowner = \"0x3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d\"\nwallet = \"0x3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c\"\ncategory = \"compute\"",
        "",
    );
    let found = diff(&rich(&[no_pool]), &rich(&[no_pool, gone]));
    let wider = found.changes.iter().find(|change| change.direction == Wider).unwrap();
    assert_eq!(wider.subject, "payee.muscle");
    let witness = wider.witness.as_ref().expect("a payment to brawn");
    assert_eq!(witness.given, ["paid 6.00 USDC to muscle 2h ago"]);
}

#[test]
fn a_limit_that_another_one_hides_is_wider_all_the_same_and_says_what_hides_it() {
    let (old, new) = (rich(&[]), rich(&[("total = \"90.00\"", "total = \"90.00\"\n")]));
    assert!(diff(&old, &new).changes.is_empty(), "layout permits nothing");
    let (old, new) = (
        rich(&[("days30 = \"50.00\"", "days30 = \"95.00\"")]),
        rich(&[("days30 = \"50.00\"", "days30 = \"96.00\"")]),
    );
    let found = diff(&old, &new);
    expect(&found, "limits.USDC.days30", Wider, false);
    let said = &found.changes[0].said;
    assert!(said.contains("limits.USDC.total hides it"), "{said}");
    assert!(said.contains("taken as wider"), "{said}");
}

#[test]
fn each_of_several_changes_is_shown_by_a_case_of_its_own() {
    let more = "[[payee]]\nname = \"a-shop\"\naddress = \"0x6868686868686868686868686868686868686868\"\n[[tool]]";
    let edits = [
        ("mon-fri 08:00-18:00", "mon-sat 08:00-18:00"),
        ("expires = 2027", "expires = 2028"),
        ("payment = \"2.00\"", "payment = \"2.50\""),
        ("[[tool]]", more),
        ("day = \"6 USDC\"", "day = \"7 USDC\""),
    ];
    // As a peer it could be paid before.
    let pool = "[pool.USDC]\npayment = \"0.05\"\nday = \"0.50\"\npeer_day = \"0.10\"\npeer_total = \"0.30\"";
    let old = edited(RICH, &[(pool, "")]);
    let found = diff(&read(&old, None), &read(&edited(&old, &edits), None));
    let subjects =
        ["policy.expires", "times", "limits.USDC.payment", "payee.a-shop", "category.compute.day"];
    assert_eq!(found.changes.iter().map(|c| c.subject.as_str()).collect::<Vec<_>>(), subjects);
    for change in &found.changes {
        let witness = change.witness.as_ref().unwrap_or_else(|| panic!("{found}"));
        let to_it = witness.said.contains("a-shop");
        assert_eq!(to_it, change.subject == "payee.a-shop", "{found}");
    }
}

#[test]
fn where_nothing_can_be_paid_the_labels_of_payments_change_nothing_either_way() {
    // Up to the limits, and without what asks about labels already.
    let ground = edited(RICH.split("[limits.USDC]").next().unwrap(), &[("model = \"ask\"", "")]);
    let idle = read(&ground, None);
    let asks = read(&edited(&ground, &[("[labels]", "[labels]\nmemory = \"ask\"")]), None);
    assert_eq!(diff(&idle, &asks).changes, []);
    assert_eq!(diff(&asks, &idle).changes, []);
    // With somebody to pay it does.
    assert!(diff(&rich(&[]), &rich(&[("model = \"ask\"", "")])).is_wider());
}

#[test]
fn versions_and_tests_do_not_count() {
    let test = "\n[[test]]\nwhen = \"pay 0.20 USDC to brawn\"\nthen = \"allowed\"\n";
    let old = rich(&[]);
    let new = read(&format!("{}{test}", RICH.replace("version = 7", "version = 8")), None);
    assert_ne!(old.hash, new.hash);
    let found = diff(&old, &new);
    assert!(found.changes.is_empty() && !found.is_wider());
    assert_eq!(found.to_string(), "Nothing has changed: both permit the same.\n");
}

#[test]
fn a_diff_is_read_by_people_and_by_programs() {
    let (old, new) = (
        rich(&[]),
        rich(&[
            ("payment = \"2.00\"", "payment = \"2.50\""),
            ("hour = \"4.00\"", "hour = \"3.00\""),
            ("finality = 2", "finality = \"safe\""),
        ]),
    );
    let found = diff(&old, &new);
    assert_eq!(
        found.to_string(),
        "WIDER: the new policy permits more\n  \
           limits.USDC.payment: raised from 2.00 USDC to 2.50 USDC\n      \
             e.g. pay 2.000001 USDC to brawn: old refuses, new holds\n\
         different: each permits what the other does not\n  \
           chain.devnet.finality: a payment counts as final when its block is safe instead of with 2 blocks on top\n\
         narrower: the new policy permits less\n  \
           limits.USDC.hour: lowered from 4.00 USDC to 3.00 USDC\n      \
             e.g. pay 0.05 USDC to brawn, after: paid 2.950001 USDC to feed 30min ago: old allows, new refuses\n"
    );
    let json = serde_json::to_value(&found).unwrap();
    let payment = &json["changes"][1];
    assert_eq!(payment["subject"], "limits.USDC.payment");
    assert_eq!(payment["direction"], "wider");
    assert_eq!(payment["witness"]["intent"]["kind"], "authorise");
    assert_eq!(payment["witness"]["old"], "refuse");
}

// ---- random pairs ------------------------------------------------------------------------------

/// A small step up or down.
fn nudge(dice: &mut Dice, limit: &mut Option<u8>) {
    *limit = match *limit {
        None => Some(1 + dice.below(20) as u8),
        Some(_) if dice.percent(15) => None,
        Some(limit) if dice.percent(50) => Some(limit.saturating_sub(1 + dice.below(4) as u8)),
        Some(limit) => Some(limit.saturating_add(1 + dice.below(4) as u8)),
    };
}

fn nudge_one(dice: &mut Dice, limits: &mut Seven, kinds: u64) {
    let kind = dice.below(kinds) as usize;
    nudge(dice, &mut limits[kind]);
}

fn some<'a, T>(dice: &mut Dice, of: &'a mut [T]) -> Option<&'a mut T> {
    let place = dice.below(of.len().max(1) as u64) as usize;
    of.get_mut(place)
}

/// Changes one part: by a small step, or to what another policy has there.
fn mutate(dice: &mut Dice, s: &mut Sketch) -> Option<()> {
    let other = Sketch::random(dice);
    let at = dice.below(3) as usize;
    let account = |dice: &mut Dice, own: &mut Account, other: &Account| {
        match dice.below(4) {
            0 => *own = *other,
            1 => own.limits[at] = other.limits[at],
            2 => own.eth_is_gas = !own.eth_is_gas,
            _ => nudge_one(dice, own.limits[at].as_mut()?, 6),
        }
        Some(())
    };
    match dice.below(24) {
        0 => s.expires = other.expires,
        1 => s.times = other.times,
        2 => s.labels = other.labels,
        3 => s.valid = other.valid,
        4 | 5 => account(dice, &mut s.agent, &other.agent)?,
        6 => nudge_one(dice, s.agent.limits[at].as_mut()?, 7),
        7 => account(dice, &mut s.owner, &other.owner)?,
        8 => s.task[at] = other.task[at],
        9 => nudge_one(dice, s.task[at].as_mut()?, 6),
        10 => s.pools[at] = other.pools[at],
        11 => {
            let pool = s.pools[at].as_mut()?;
            match dice.below(3) {
                0 => nudge(dice, &mut pool.peer_day),
                1 => nudge(dice, &mut pool.peer_total),
                _ => nudge_one(dice, &mut pool.limits, 7),
            }
        }
        12 => s.categories = other.categories,
        13 => {
            let category = some(dice, &mut s.categories)?;
            nudge_one(dice, &mut category.limits, 6);
        }
        14 => {
            let place = dice.below(s.payees.len().max(1) as u64) as usize;
            (place < s.payees.len()).then(|| s.payees.remove(place))?;
        }
        15 => {
            let name = *NAMES.iter().find(|name| s.payee(name).is_none())?;
            let payee = other.payees.first()?.clone();
            s.payees.push(crate::sketch::SketchPayee { name, ..payee });
        }
        16 | 17 => {
            let payee = some(dice, &mut s.payees)?;
            let from = other.payees.first()?.clone();
            match dice.below(6) {
                0 => payee.place = from.place,
                1 => payee.host = from.host,
                2 => payee.category = from.category,
                3 => payee.bound = from.bound,
                4 => payee.times = from.times,
                _ => nudge_one(dice, &mut payee.bound.as_mut()?.1, 7),
            }
            if payee.place == Place::Host && payee.host.is_none() {
                return None;
            }
        }
        18 => s.tools = other.tools,
        19 | 20 => {
            let tool = some(dice, &mut s.tools)?;
            let from = other.tools.first()?.clone();
            match dice.below(8) {
                0 => tool.hosts = from.hosts,
                1 => tool.methods = from.methods,
                2 => nudge(dice, &mut tool.rate),
                3 => nudge(dice, &mut tool.sends),
                4 => tool.times = from.times,
                5 => tool.labels = from.labels,
                _ => tool.arguments = from.arguments,
            }
        }
        21 if dice.percent(40) => s.floats = other.floats,
        21 => match dice.below(3) {
            0 => s.subs = other.subs,
            1 if dice.percent(50) => s.income = other.income,
            1 => s.facilitator = other.facilitator,
            _ => s.domain = !s.domain,
        },
        22 => {
            let sub = some(dice, &mut s.subs)?;
            let from = other.subs.first()?.clone();
            match dice.below(3) {
                0 => sub.payees = from.payees,
                1 => sub.tools = from.tools,
                _ => account(dice, &mut sub.account, &from.account)?,
            }
        }
        _ => match dice.below(3) {
            0 => s.forbids = other.forbids,
            1 => {
                s.forbids.pop()?;
            }
            _ => s.forbids.push(Forbid::random(dice, 9)),
        },
    }
    Some(())
}

/// Takes away what names something that is not there any more.
fn tidy(s: &mut Sketch) {
    let payees: Vec<_> = s.payees.iter().map(|payee| payee.name).collect();
    let tools: Vec<_> = s.tools.iter().map(|tool| tool.name).collect();
    for sub in &mut s.subs {
        sub.payees.retain(|name| payees.contains(name));
        sub.tools.retain(|name| tools.contains(name));
    }
    let whole = s.clone();
    s.forbids.retain(|forbid| forbid.fits(&whole));
}

/// A policy, and one with a few changes; `None` where one of them cannot be written.
fn pair(dice: &mut Dice) -> Option<(Sketch, Sketch, Policy, Policy)> {
    let old = Sketch::random(dice);
    let mut new = old.clone();
    for _ in 0..=dice.below(3) {
        mutate(dice, &mut new)?;
    }
    tidy(&mut new);
    let read = |sketch: &Sketch| Some(compile(&sketch.sources()).ok()?.0);
    let (before, after) = (read(&old)?, read(&new)?);
    Some((old, new, before, after))
}

/// Cases that are tried for each pair.
const TRIES: u64 = 24;

#[test]
fn no_widening_is_missed() {
    let trials = Trials::new("diff", 100);
    let full = std::env::var("MARQUE_CASES").is_ok();
    let (mut pairs, mut number, mut loosened) = (0, 0, 0_u64);
    let (mut said, mut shown) = (0_u64, 0_u64);
    while pairs < trials.cases {
        let mut dice = trials.dice(number);
        number += 1;
        let Some((old, new, before, after)) = pair(&mut dice) else { continue };
        pairs += 1;
        let wider = is_wider(&before, &after);
        let mut looser = false;
        for at in 0..TRIES {
            let case = Case::random(&mut dice, if at % 2 == 0 { &new } else { &old });
            let (was, is) = (case.judge(&before), case.judge(&after));
            looser |= strictness(&is) < strictness(&was);
            assert!(
                wider || !looser,
                "pair {}, MARQUE_SEED={:x}\n{}\n{}\n{case:#?}\n{was:#?}\n{is:#?}\n{}",
                number - 1,
                trials.seed,
                old.text(),
                new.text(),
                diff(&before, &after),
            );
        }
        loosened += u64::from(looser);
        // How often what is said to be wider is shown to be, by a witness if not by chance.
        if full && wider && number % 16 == 0 {
            said += 1;
            let loosens = |found: Diff| {
                let mut witnesses = found.changes.iter().filter_map(|c| c.witness.as_ref());
                witnesses.any(|witness| rank(witness.new) < rank(witness.old))
            };
            shown += u64::from(looser || loosens(diff(&before, &after)));
        }
    }
    assert!(loosened > 0, "random pairs widen sometimes");
    if full {
        eprintln!("diff: {pairs} pairs, {} cases, {loosened} pairs wider by chance", pairs * TRIES);
        eprintln!("diff: of {said} that are said to be wider {shown} are shown to be");
    }
}

#[test]
fn a_policy_does_not_differ_from_itself() {
    let trials = Trials::new("diff with itself", 40);
    for number in 0..trials.cases {
        let sketch = Sketch::random(&mut trials.dice(number));
        let policy = sketch.policy();
        assert_eq!(diff(&policy, &sketch.policy()), Diff::default());
        let mut again = policy.clone();
        again.hash = Default::default();
        // Compared part by part as well, not by its hash alone.
        let found = diff(&policy, &again);
        assert!(found.changes.is_empty(), "{found}\n{}", sketch.text());
    }
}

/// One plain tightening.
fn tighten(dice: &mut Dice, s: &mut Sketch) -> Option<()> {
    let lower = |dice: &mut Dice, limit: &mut Option<u8>| {
        let by = 1 + dice.below(20) as u8;
        *limit = Some(limit.map_or(by, |limit| limit.saturating_sub(by)));
    };
    let lower_one = |dice: &mut Dice, limits: &mut Seven| {
        let kind = dice.below(6) as usize;
        lower(dice, &mut limits[kind]);
    };
    let at = dice.below(3) as usize;
    let fewer = |times: &mut Vec<Week>| {
        match times.as_mut_slice() {
            [] => *times = vec![Week { first: 0, last: 4, from: 480, until: 1_080, offset: 0 }],
            [only] if only.from + 2 < only.until => only.until -= 1,
            [_] => return None,
            [_, ..] => drop(times.pop()),
        }
        Some(())
    };
    match dice.below(16) {
        0 | 1 => lower_one(dice, s.agent.limits[at].as_mut()?),
        2 => lower_one(dice, s.owner.limits[at].as_mut()?),
        3 => lower_one(dice, s.task[at].as_mut()?),
        4 => lower_one(dice, &mut s.pools[at].as_mut()?.limits),
        5 => {
            let category = some(dice, &mut s.categories)?;
            lower_one(dice, &mut category.limits);
        }
        6 => {
            let payee = some(dice, &mut s.payees)?;
            lower_one(dice, &mut payee.bound.as_mut()?.1);
        }
        7 => {
            let sub = some(dice, &mut s.subs)?;
            lower_one(dice, sub.account.limits[at].as_mut()?);
        }
        8 => {
            // Without a pool and without a category, whose limits would no longer count it.
            s.payees.retain(|payee| payee.category.is_none());
            let place = dice.below(s.payees.len().max(1) as u64) as usize;
            (place < s.payees.len()).then(|| s.payees.remove(place))?;
            s.pools = [None; 3];
        }
        9 => drop(some(dice, &mut s.tools)?.hosts.pop()?),
        10 => fewer(&mut s.times)?,
        11 => fewer(&mut some(dice, &mut s.payees)?.times)?,
        12 => fewer(&mut some(dice, &mut s.tools)?.times)?,
        13 => drop(s.tools.pop()?),
        14 => {
            let class = &mut s.labels[dice.below(4) as usize];
            *class = Some(class.is_some());
        }
        _ => s.forbids.push(Forbid::random(dice, 9)),
    }
    Some(())
}

#[test]
fn a_plain_tightening_is_never_called_wider() {
    let trials = Trials::new("plain tightenings", 100);
    let (mut pairs, mut number) = (0, 0);
    while pairs < trials.cases {
        let mut dice = trials.dice(number);
        number += 1;
        let mut old = Sketch::random(&mut dice);
        let mut new = old.clone();
        if tighten(&mut dice, &mut new).is_none() {
            continue;
        }
        // What a payee's removal needs is no part of the tightening.
        if new.payees.len() != old.payees.len() {
            old.pools = [None; 3];
            let kept: Vec<_> = new.payees.iter().map(|payee| payee.name).collect();
            let mut gone = 0;
            old.payees.retain(|payee| {
                let stays = payee.category.is_none() || kept.contains(&payee.name);
                gone += u64::from(!kept.contains(&payee.name) && stays);
                stays
            });
            assert_eq!(gone, 1);
        }
        tidy(&mut old);
        tidy(&mut new);
        if new.forbids.len() < old.forbids.len() {
            continue;
        }
        let read = |sketch: &Sketch| compile(&sketch.sources()).ok().map(|(policy, _)| policy);
        let (Some(before), Some(after)) = (read(&old), read(&new)) else { continue };
        pairs += 1;
        assert!(
            !is_wider(&before, &after),
            "pair {}, MARQUE_SEED={:x}\n{}\n{}\n{}",
            number - 1,
            trials.seed,
            old.text(),
            new.text(),
            diff(&before, &after)
        );
        // And the other way round it is, if it differs at all.
        let same = before.hash == after.hash || new.text() == old.text();
        assert!(
            same || is_wider(&after, &before) || diff(&before, &after).changes.is_empty(),
            "pair {}, MARQUE_SEED={:x}\n{}\n{}\n{}\n{}",
            number - 1,
            trials.seed,
            old.text(),
            new.text(),
            diff(&before, &after),
            diff(&after, &before)
        );
    }
}

#[test]
fn a_frozen_policy_is_wider_than_no_other() {
    use marque_policies::{DraftKind, DraftParams, draft, parse};
    let params = crate::drafts::params();
    let bare = DraftParams { payees: Vec::new(), registry: None, ..params.clone() };
    for params in [&params, &bare] {
        let frozen = parse(&draft(DraftKind::Frozen, params)).unwrap().0;
        for kind in DraftKind::ALL {
            let old = parse(&draft(kind, params)).unwrap().0;
            // What is not said there is another than what is said here.
            if params.registry.is_some() && old.approvals != frozen.approvals {
                continue;
            }
            let found = diff(&old, &frozen);
            assert!(!found.is_wider() && !is_wider(&old, &frozen), "{kind:?}\n{found}");
            assert_eq!(kind == DraftKind::Frozen, !is_wider(&frozen, &old), "{kind:?}");
        }
        // How long an approval counts still matters where an identity may take the agent.
        let mut unbound = frozen.clone();
        unbound.approvals.valid = None;
        unbound.hash = Default::default();
        assert_eq!(is_wider(&frozen, &unbound), params.registry.is_some());
    }
}
