//! The reader: what it refuses, where it points, what it advises, and what counts for the hash.

use crate::support::*;
use alloy_primitives::B256;
use marque_policies::{PolicyError, document::Finality, parse};

fn whole() -> String {
    format!("{GROUND}{PERMISSIONS}")
}

/// The error of the usual policy with one text replaced by another.
fn broken(from: &str, to: &str) -> PolicyError {
    let text = whole();
    assert!(text.contains(from), "{from}");
    parse(&text.replacen(from, to, 1)).map(|_| ()).expect_err(to)
}

fn warnings(from: &str, to: &str) -> Vec<String> {
    let text = whole();
    assert!(text.contains(from), "{from}");
    let (_, warnings) = parse(&text.replacen(from, to, 1)).unwrap();
    warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn every_field_arrives() {
    let policy = usual();
    assert_eq!((policy.version, policy.owner), (7, OWNER));
    let chain = &policy.chains["devnet"];
    assert_eq!((chain.id, chain.finality), (CHAIN, Finality::Confirmations(2)));
    assert_eq!(chain.identity_registry, Some(REGISTRY));
    let token = &policy.assets["USDC"];
    assert_eq!((token.id, token.decimals), (USDC, 6));
    assert_eq!(token.domain.as_ref().unwrap().0, "Marque Test Dollar");
    assert_eq!(policy.assets["ETH"].id, ETH);
    let limits = &policy.limits[&USDC];
    let read = [limits.payment, limits.hour, limits.day, limits.days30, limits.total];
    let expected = [1u64, 3, 10, 100, 200].map(|whole| Some(usdc(whole * 1_000_000).units));
    assert_eq!(read, expected);
    assert_eq!(limits.ask_above, Some(usdc(500_000).units));
    assert_eq!(policy.gas[&ETH].day, Some(wei(2_000_000_000_000_000).units));
    assert!(!policy.limits.contains_key(&ETH), "limits on fees permit no payment");
    assert_eq!(
        policy.payees["weather-feed"].bound.unwrap().limits.day,
        Some(usdc(2_500_000).units)
    );
    let pin = policy.payees["muscle"].identity.as_ref().unwrap();
    assert_eq!((pin.owner, pin.registry), (MUSCLE_OWNER, REGISTRY));
    assert_eq!(policy.payees["muscle"].address, Some(MUSCLE));
    let tool = &policy.tools["fetch"];
    assert_eq!((tool.rate, tool.sends), (Some((3, 60_000)), Some((1_024, 86_400_000))));
    assert_eq!(policy.income, [USDC]);
}

#[test]
fn mistakes_are_named_with_their_place_and_their_mending() {
    let cases = [
        ("format  = 1\n", "", "the format is missing", "format = 1"),
        ("version = 7", "version = 0", "no version 0", "begin at 1"),
        ("version = 7", "version = \"7\"", "not a whole number", "bare"),
        ("owner   =", "onwer   =", "unknown key \"onwer\"", "did you mean `owner`?"),
        (
            "payment = \"1.00\"",
            "paymnet = \"1.00\"",
            "unknown key \"paymnet\" in limits.USDC",
            "payment",
        ),
        ("payment = \"1.00\"", "payment = 1.00", "not a text", "quotation marks"),
        ("payment = \"1.00\"", "payment = \"1.0000001\"", "7 digits", "nothing is rounded"),
        ("payment = \"1.00\"", "payment = \"1.00 ETH\"", "another unit than USDC", "in USDC"),
        ("payment = \"1.00\"", "payment = \"-1\"", "not an amount", "digits"),
        ("payment = \"1.00\"", "payment = \"1,00\"", "not an amount", "digits"),
        ("day = \"2.50 USDC\"", "day = \"2.50\"", "no unit", "2.50 USDC"),
        ("day = \"2.50 USDC\"", "day = \"2.50 USCD\"", "no asset \"USCD\"", "\"USDC\""),
        ("[limits.USDC]", "[limits.USD]", "no asset \"USD\"", "\"USDC\""),
        ("day = \"0.002 ETH\"", "day = \"2 USDC\"", "is in a token", "native coin"),
        ("day = \"0.002 ETH\"", "ask_above_day = \"1 ETH\"", "cannot have", "no payee"),
        ("day = \"0.002 ETH\"", "", "no limit in it", "at least one limit"),
        ("chain = \"devnet\"", "chain = \"devnte\"", "no chain \"devnte\"", "\"devnet\""),
        ("eip155:31337", "solana:1", "no EVM chain id", "eip155:"),
        ("eip155:31337", "eip155:031337", "no EVM chain id", "eip155:"),
        ("http://127.0.0.1:8545", "ftp://x", "no http endpoint", "https://"),
        ("finality = 2", "finality = \"soon\"", "unknown finality", "safe"),
        ("decimals = 6", "decimals = 77", "more than 36", "decimals()"),
        ("address = \"0xfefe", "# address = \"0xfefe", "has no `address`", "agent_id"),
        ("wallet = \"0x3c3c", "# wallet = \"0x3c3c", "has no `wallet`", "pinned"),
        (
            "identity_registry =",
            "# identity_registry =",
            "no identity registry",
            "identity_registry",
        ),
        ("host = \"feed.example\"", "host = \"*.example\"", "no single host", "wildcard"),
        ("host = \"feed.example\"", "host = \"https://feed.example\"", "is no host", "host:port"),
        ("\"*.gov\"", "\"*.0.0.1\"", "is no host", "*."),
        ("name = \"weather-feed\"", "name = \"known\"", "reserved", "another"),
        ("name = \"weather-feed\"", "name = \"a.b\"", "cannot be a name", "letters"),
        ("name = \"weather-feed\"", "name = \"Muscle\"", "already taken", "another"),
        ("0xfefefefefefefefefefefefefefefefefefefefe", "0xfefe", "no address", "40 hexadecimal"),
        (
            "0xfefefefefefefefefefefefefefefefefefefefe",
            "0xFefefefefefefefefefefefefefefefefefefefe",
            "checksum",
            "copy",
        ),
        (
            "0xfefefefefefefefefefefefefefefefefefefefe",
            "0x0000000000000000000000000000000000000000",
            "zero address",
            "nobody",
        ),
        ("rate = \"3/min\"", "rate = \"3 per minute\"", "`rate` cannot be", "60/min"),
        ("sends = \"1 KiB/day\"", "sends = \"1 kB/day\"", "`sends` cannot be", "KiB"),
        ("[income]", "[[income]]", "is a list, not a table", "[income]"),
        ("assets = [\"USDC\"]", "assets = [\"ETH\"]", "no token", "EIP-3009"),
        ("[[payee]]", "[payee]", "", ""),
    ];
    for (from, to, message, help) in cases {
        let error = broken(from, to);
        let mistake = error.mistake();
        assert!(mistake.message.contains(message), "{to}: {error}");
        assert!(mistake.help.as_deref().unwrap().contains(help), "{to}: {mistake:?}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
}

#[test]
fn a_mistake_points_at_its_line_and_column() {
    let error = broken("payment = \"1.00\"", "payment = \"1.0000001\"").in_file("policy.toml");
    let text = whole();
    let line = text.lines().position(|line| line.starts_with("payment")).unwrap() + 1;
    assert!(error.to_string().starts_with(&format!("policy.toml:{line}:11: ")), "{error}");
}

#[test]
fn a_newer_format_is_told_apart_from_a_mistake() {
    let text = whole().replace("format  = 1", "format = 2\nsomething_new = true");
    let error = parse(&text).expect_err("newer");
    assert!(matches!(error, PolicyError::Format(_)), "{error}");
    assert!(error.to_string().contains("newer than this version knows"));
}

#[test]
fn what_is_no_toml_is_a_syntax_error() {
    for (from, to) in
        [("[limits.USDC]", "[limits.USDC"), ("version = 7", "version = 7\nversion = 8")]
    {
        assert!(matches!(broken(from, to), PolicyError::Syntax(_)), "{to}");
    }
    let long = format!("{}\n# {}", whole(), "x".repeat(marque_policies::parse::MAX_DOCUMENT));
    assert!(parse(&long).expect_err("too long").to_string().contains("bytes"));
}

#[test]
fn one_token_or_one_chain_under_two_names_is_refused() {
    let twice = format!(
        "{}\n[asset.USD2]\nchain = \"devnet\"\ntoken = \"0x5555555555555555555555555555555555555555\"\ndecimals = 6\n",
        whole()
    );
    assert!(parse(&twice).expect_err("two").to_string().contains("same token"));
    let chain = format!(
        "{}\n[chain.two]\nid = \"eip155:31337\"\nrpc = [\"https://a.example\"]\nfinality = \"safe\"\nnative = \"POL\"\n",
        whole()
    );
    assert!(parse(&chain).expect_err("two").to_string().contains("same id"));
    let coin = chain
        .replace("eip155:31337\"\nrpc = [\"https", "eip155:1\"\nrpc = [\"https")
        .replace("POL", "ETH");
    assert!(parse(&coin).expect_err("two").to_string().contains("calls its coin"));
    let both = format!("{}\n[limits.ETH]\nday = \"1\"\n", whole());
    assert!(parse(&both).expect_err("two").to_string().contains("both limit ETH"));
}

#[test]
fn the_usual_policy_has_nothing_to_warn_of() {
    assert_eq!(warnings("version = 7", "version = 7"), Vec::<String>::new());
}

#[test]
fn limits_that_cannot_be_reached_are_warned_of() {
    let cases = [
        (
            "payment = \"1.00\"",
            "payment = \"3.50\"",
            "limits.USDC.payment (3.50 USDC) can never be reached: limits.USDC.hour (3.00 USDC)",
        ),
        (
            "total = \"200.00\"",
            "total = \"9.00\"",
            "limits.USDC.day (10.00 USDC) can never be reached: limits.USDC.total (9.00 USDC)",
        ),
        (
            "hour = \"3.00\"",
            "hour = \"0.40\"",
            "limits.USDC.day (10.00 USDC) can never be reached: limits.USDC.hour (0.40 USDC)",
        ),
        (
            "ask_above = \"0.50\"",
            "ask_above = \"1.00\"",
            "limits.USDC.ask_above (1.00 USDC) can never be reached",
        ),
        (
            "ask_above_day = \"2.00\"",
            "ask_above_day = \"10\"",
            "limits.USDC.ask_above_day (10.00 USDC) can never",
        ),
        (
            "day = \"2.50 USDC\"",
            "day = \"12.00 USDC\"",
            "payee.weather-feed.day (12.00 USDC) can never be reached: limits.USDC.day",
        ),
        (
            "0x3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c",
            "0xfefefefefefefefefefefefefefefefefefefefe",
            "the same address",
        ),
        ("finality = 2", "finality = 0", "finality 0"),
        ("http://127.0.0.1:8545", "http://rpc.example", "without encryption"),
        ("day = \"0.002 ETH\"", "payment = \"0.002 ETH\"", "limits.gas has no limit on a sum"),
    ];
    for (from, to, expected) in cases {
        let warnings = warnings(from, to);
        assert!(warnings.iter().any(|warning| warning.contains(expected)), "{to}: {warnings:#?}");
    }
    let owner =
        whole().replace("owner   =", "owner.address =") + "\n[owner.limits.USDC]\nday = \"5\"\n";
    let (_, found) = parse(&owner).unwrap();
    assert!(
        found.iter().any(|w| w.message.contains("owner.limits.USDC.day (5.00 USDC) comes first")),
        "{found:#?}"
    );
}

#[test]
fn a_warning_points_at_its_line() {
    let text = whole();
    let line = text.lines().position(|line| line.starts_with("payment")).unwrap() + 1;
    assert!(
        warnings("payment = \"1.00\"", "payment = \"3.50\"")[0].starts_with(&format!("{line}:"))
    );
}

fn hash(text: &str) -> B256 {
    parse(text).unwrap().0.hash
}

#[test]
fn comments_and_layout_do_not_change_the_hash() {
    let text = whole();
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
    let text = whole()
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
