//! Mistakes: each is refused, points at its place, and says how to mend it.

use super::*;
use marque_policies::parse;

/// The error of the usual policy with one text replaced by another.
fn usual_broken(from: &str, to: &str) -> PolicyError {
    let text = usual_text();
    assert!(text.contains(from), "{from}");
    parse(&text.replacen(from, to, 1)).map(|_| ()).expect_err(to)
}

fn check(error: &PolicyError, to: &str, message: &str, help: &str) {
    let mistake = error.mistake();
    assert!(mistake.message.contains(message), "{to}: {error}");
    assert!(mistake.help.as_deref().unwrap().contains(help), "{to}: {mistake:?}");
    assert_eq!(error.to_string().lines().count(), 1);
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
        ("agent_id = 1", "", "has `owner`, but no `agent_id`", "`address`"),
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
        ("[income]", "[float.USDC]\nlow = \"1\"\n[income]", "has no `high`", "up to this"),
        (
            "[income]",
            "[float]\nlow = \"1\"\nhigh = \"2\"\n[income]",
            "`low` stands in [float], which says of no asset",
            "[float.USDC]",
        ),
        (
            "[income]",
            "[float]\ndelegation = \"required\"\n[income]",
            "`delegation` stands in [float]",
            "[float.USDC]",
        ),
        ("[income]", "[float.USDC]\nhigh = \"1\"\n[income]", "has no `low`", "below this"),
        (
            "[income]",
            "[float.USDC]\nlow = \"2\"\nhigh = \"2\"\n[income]",
            "`low` in float.USDC is not below `high`",
            "at once",
        ),
        (
            "[income]",
            "[float.USDC]\nlow = \"0.1\"\nhigh = \"0.99\"\n[income]",
            "lets one payment be 1.00 USDC",
            "raise `high`",
        ),
        (
            "[income]",
            "[float.USDC]\nlow = \"1\"\nhigh = \"2\"\ndelegation = \"must\"\n[income]",
            "`delegation` in float.USDC is \"must\"",
            "\"required\"",
        ),
        (
            "[income]",
            "[float.ETH]\nlow = \"1\"\nhigh = \"2\"\n[income]",
            "no [limits.ETH]",
            "days30",
        ),
        ("[income]", "[[income]]", "is a list, not a table", "[income]"),
        ("assets = [\"USDC\"]", "assets = [\"ETH\"]", "no token", "payers sign"),
        ("[[payee]]", "[payee]", "", ""),
    ];
    for (from, to, message, help) in cases {
        let error = usual_broken(from, to);
        check(&error, to, message, help);
    }
}

#[test]
fn a_mistake_points_at_its_line_and_column() {
    let error =
        usual_broken("payment = \"1.00\"", "payment = \"1.0000001\"").in_file("policy.toml");
    let text = usual_text();
    let line = text.lines().position(|line| line.starts_with("payment")).unwrap() + 1;
    assert!(error.to_string().starts_with(&format!("policy.toml:{line}:11: ")), "{error}");
}

#[test]
fn a_newer_format_is_told_apart_from_a_mistake() {
    let text = usual_text().replace("format  = 1", "format = 2\nsomething_new = true");
    let error = parse(&text).expect_err("newer");
    assert!(matches!(error, PolicyError::Format(_)), "{error}");
    assert!(error.to_string().contains("newer than this version knows"));
}

#[test]
fn what_is_no_toml_is_a_syntax_error() {
    for (from, to) in
        [("[limits.USDC]", "[limits.USDC"), ("version = 7", "version = 7\nversion = 8")]
    {
        assert!(matches!(usual_broken(from, to), PolicyError::Syntax(_)), "{to}");
    }
    for (from, to, help) in [
        ("version = 7", "version = 7\nversion = 8", "each key and each `[section]`"),
        ("version = 7", "version = \u{201c}7\u{201d}", "curly"),
        ("[limits.USDC]", "[owner.limits.USDC]\nday = \"9\"\n[limits.USDC]", "`[owner]` with"),
    ] {
        let error = usual_broken(from, to);
        assert!(error.mistake().help.as_deref().unwrap().contains(help), "{to}: {error:?}");
    }
    let long = format!("{}\n# {}", usual_text(), "x".repeat(marque_policies::parse::MAX_DOCUMENT));
    assert!(parse(&long).expect_err("too long").to_string().contains("bytes"));
}

#[test]
fn one_token_or_one_chain_under_two_names_is_refused() {
    let twice = format!(
        "{}\n[asset.USD2]\nchain = \"devnet\"\ntoken = \"0x5555555555555555555555555555555555555555\"\ndecimals = 6\n",
        usual_text()
    );
    assert!(parse(&twice).expect_err("two").to_string().contains("same token"));
    let chain = format!(
        "{}\n[chain.two]\nid = \"eip155:31337\"\nrpc = [\"https://a.example\"]\nfinality = \"safe\"\nnative = \"POL\"\n",
        usual_text()
    );
    assert!(parse(&chain).expect_err("two").to_string().contains("same id"));
    let coin = chain
        .replace("eip155:31337\"\nrpc = [\"https", "eip155:1\"\nrpc = [\"https")
        .replace("POL", "ETH");
    assert!(parse(&coin).expect_err("two").to_string().contains("calls its coin"));
    let both = format!("{}\n[limits.ETH]\nday = \"1\"\n", usual_text());
    assert!(parse(&both).expect_err("two").to_string().contains("both limit ETH"));
}

/// What is put where in the policy that uses every construct, and what the reader says to it.
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    // The head.
    ("2027-06-30T00:00:00Z", "2027-06-30T00:00:00", "has no offset", "00:00:00Z"),
    ("2027-06-30T00:00:00Z", "2027-06-30", "no date with a time", "00:00:00Z"),
    ("2027-06-30T00:00:00Z", "00:00:00", "has no offset", "00:00:00Z"),
    ("2027-06-30T00:00:00Z", "2027-06-30T00:00:00.5Z", "whole second", "00:00:00Z"),
    ("2027-06-30T00:00:00Z", "2027-06-30T23:59:60Z", "whole second", "00:00:00Z"),
    ("2027-06-30T00:00:00Z", "1969-12-31T23:59:59Z", "before 1970", "00:00:00Z"),
    ("2027-06-30T00:00:00Z", "\"2027-06-30T00:00:00Z\"", "is no date", "bare"),
    ("\"sat 10:00-12:00\"", "\"sat 10:00\"", "cannot read \"sat 10:00\"", "mon-fri 08:00"),
    ("\"sat 10:00-12:00\"", "\"mon-fri 06:00-20:00 +01:00\"", "twice", "once"),
    (
        "[\"mon-fri 06:00-20:00 +01:00\", \"sat 10:00-12:00\"]",
        "[]",
        "lists no time",
        "leave it out",
    ),
    (
        "[\"mon-fri 06:00-20:00 +01:00\", \"sat 10:00-12:00\"]",
        "\"always\"",
        "not a list",
        "brackets",
    ),
    ("web = \"refuse\"", "web = \"allow\"", "`web` cannot be \"allow\"", "never milder"),
    ("web = \"refuse\"", "webb = \"ask\"", "unknown key \"webb\" in labels", "`web`"),
    ("web = \"refuse\"", "web = true", "not a text", "quotation marks"),
    ("valid = \"1h\"", "valid = \"0h\"", "`valid` cannot be \"0h\"", "24h"),
    ("valid = \"1h\"", "valid = \"1 hour\"", "`valid` cannot be", "24h"),
    ("held = \"24h\"", "hold = \"24h\"", "unknown key \"hold\" in approvals", "`held`"),
    // Limits.
    (
        "ask_above = \"8\"",
        "ask_above_day = \"8\"",
        "owner.limits.USDC cannot have",
        "agent's limits",
    ),
    ("ask_above = \"0.44\"", "ask_above_day = \"1\"", "task.limits.USDC cannot have", "agent's"),
    (
        "ask_above = \"0.42\"",
        "ask_above_day = \"1\"",
        "sub_agent.helper.limits.USDC cannot",
        "agent's",
    ),
    ("[task.limits.USDC]", "[task.limits.gas]", "no limits on fees", "[limits.gas]"),
    ("[task.limits.USDC]", "[task.limit.USDC]", "unknown key \"limit\" in task", "`limits`"),
    (
        "day = \"0.001 ETH\"",
        "day = \"0.001 SIDE\"\nhour = \"1 ETH\"",
        "in different assets",
        "one coin",
    ),
    ("day = \"0.001 ETH\"", "", "sub_agent.helper.limits.gas has no limit", "0.002 ETH"),
    // Pools and categories.
    ("[pool.USDC]", "[pool.USD]", "no asset \"USD\"", "\"USDC\""),
    ("[pool.USDC]", "[pool.gas]", "no asset \"gas\"", "known assets"),
    ("peer_day = \"0.10\"", "peer_days = \"0.10\"", "unknown key \"peer_days\"", "`peer_day`"),
    ("peer_day = \"0.10\"", "peer_day = \"0.10 ETH\"", "another unit than USDC", "in USDC"),
    (
        "hour = \"0.30\"\nday = \"0.70\"\ndays30 = \"7\"\ntotal = \"9.50\"\n",
        "",
        "pool.USDC has no limit on a sum",
        "`days30`",
    ),
    ("[category.data]", "[category.gas]", "reserved", "another"),
    ("[category.data]", "[category.Compute]", "already taken by \"Compute\"", "another"),
    ("day = \"1.75 USDC\"", "day = \"1.75\"", "no unit", "2.50 USDC"),
    ("day = \"1.75 USDC\"", "", "category.data has no limit", "5 USDC"),
    ("day = \"1.75 USDC\"", "day = \"1 USDC\"\nhour = \"1 ETH\"", "different assets", "in one"),
    ("day = \"1.75 USDC\"", "ask_above_day = \"1 USDC\"", "unknown key", "`ask_above`"),
    (
        "category = \"data\"",
        "category = \"date\"",
        "no section [category.date]",
        "did you mean \"data\"?",
    ),
    (
        "day = \"1.75 USDC\"",
        "day = \"1.75USDC\"",
        "not an amount",
        "put one space before the unit: \"1.75 USDC\"",
    ),
    ("day = \"0.70\"", "day = \"0.70  USDC\"", "not an amount", "one space before the unit"),
    // Payees.
    ("category = \"data\"", "category = \"Data\"", "already written \"data\"", "another"),
    ("category = \"data\"", "category = \"any\"", "reserved", "another"),
    ("category = \"data\"", "category = \"a b\"", "cannot be a name", "letters"),
    ("host = \"news.example\"", "", "has no `address`", "`host` alone"),
    (
        "host = \"news.example\"",
        "wallet = \"0x9090909090909090909090909090909090909090\"",
        "`wallet`, but no `agent_id`",
        "`owner`",
    ),
    ("hour = \"2.70 USDC\"", "hour = \"2.70 ETH\"", "different assets", "in their asset only"),
    (
        "times = [\"mon-fri 08:00-18:00\"]",
        "times = [\"mon-fry 08:00-18:00\"]",
        "cannot read",
        "every",
    ),
    // Tools.
    ("[\"GET\", \"HEAD\"]", "[\"get\"]", "\"get\" is no HTTP method", "upper case"),
    ("[\"GET\", \"HEAD\"]", "[\"GET\", \"GET\"]", "`methods` has \"GET\" twice", "once"),
    ("[\"GET\", \"HEAD\"]", "[]", "lists no method", "any method"),
    ("model = \"ask\" }", "model = \"never\" }", "`model` cannot be", "\"refuse\""),
    (
        "[tool.arguments.city]",
        "[tool.arguments.\"a.b\"]",
        "cannot be an argument's name",
        "the tool",
    ),
    ("[tool.arguments.city]", "[tool.argument.city]", "unknown key \"argument\"", "`arguments`"),
    ("one_of = [\"Berlin\", 7, true]", "", "tool.fetch_data.arguments.city says nothing", "one_of"),
    ("one_of = [\"Berlin\", 7, true]", "one_of = []", "lists nothing", "permitted"),
    ("one_of = [\"Berlin\", 7, true]", "one_of = [7, 0x7]", "`one_of` has \"7\" twice", "once"),
    ("one_of = [\"Berlin\", 7, true]", "one_of = [1.5]", "a number with a point in it", "whole"),
    ("one_of = [\"Berlin\", 7, true]", "one_of = [9223372036854775808]", "64 bits", "whole"),
    ("one_of = [\"Berlin\", 7, true]", "one_off = [1]", "unknown key \"one_off\"", "`one_of`"),
    ("longest = 280", "longest = -1", "`longest` is out of range", "bare"),
    ("longest = 280", "longest = \"280\"", "not a whole number", "write it bare: longest = 280"),
    (
        "rate = \"60/min\"",
        "rate = \"60/min\"\nexpires = 2027-06-30T00:00:00Z",
        "unknown key \"expires\" in tool.fetch_data",
        "`expires` stands above the first section",
    ),
    (
        "at_least = -1",
        "version = 2",
        "unknown key \"version\" in tool.fetch_data.arguments.limit",
        "`version` stands above the first section",
    ),
    ("at_least = -1", "at_least = 9223372036854775808", "out of range", "bare"),
    ("at_least = -1", "at_least = true", "not a whole number", "bare"),
    // Sub-agents.
    ("[\"gpu-market\", \"news\"]", "[\"gpu-markt\"]", "no payee \"gpu-markt\"", "\"gpu-market\""),
    ("[\"gpu-market\", \"news\"]", "[\"news\", \"news\"]", "`payees` has \"news\" twice", "once"),
    (
        "tools = [\"fetch_data\"]",
        "tools = [\"fetch\"]",
        "no tool \"fetch\"",
        "known tools: fetch_data",
    ),
    ("tools = [\"fetch_data\"]", "tool = [\"fetch_data\"]", "unknown key \"tool\"", "`tools`"),
    ("[sub_agent.helper]\n", "[sub_agent.owner]\n[sub_agent.helper]\n", "reserved", "another"),
    (
        "[sub_agent.helper]\n",
        "[sub_agent.Helper]\n[sub_agent.helper]\n",
        "already taken",
        "another",
    ),
    // Tests.
    (
        "when = \"collect 1 USDC\"",
        "when = \"earn 1 USDC\"",
        "cannot read \"earn 1 USDC\"",
        "collect 1",
    ),
    ("when = \"collect 1 USDC\"", "when = \"collect 1 USDX\"", "no asset \"USDX\"", "\"USDC\""),
    ("when = \"collect 1 USDC\"", "", "test has no `when`", "pay 0.30 USDC"),
    ("when = \"return 1 USDC\"", "when = \"return 1  USDC\"", "cannot read", "return 1 USDC"),
    ("use fetch_data to", "use fetch_dat to", "no tool \"fetch_dat\"", "\"fetch_data\""),
    ("to GET feed", "to get feed", "cannot read", "to GET feed.example"),
    ("to GET feed.example", "to GET feed/example", "\"feed/example\" is no host", "host:port"),
    ("sending 2 KiB with", "sending 2 kB with", "cannot read", "sending 10 KiB"),
    ("with city=Berlin path=/public/x limit=-1", "with", "cannot read", "city=Berlin"),
    ("city=Berlin", "city", "cannot read", "city=Berlin"),
    ("city=Berlin", "limit=1", "the argument limit is there twice", "once"),
    ("limit=-1", "limit=9223372036854775808", "limit has more than 64 bits", "smaller"),
    ("at = \"tue 10:00\"", "at = \"tue 24:00\"", "cannot read \"tue 24:00\"", "mon 03:00"),
    ("as = \"helper\"", "as = \"helpr\"", "no sub-agent \"helpr\"", "\"helper\""),
    ("task = \"errand\"", "task = \"an errand\"", "cannot be a task's name", "letters"),
    ("asked_by = \"gpu.example:8443\"", "asked_by = \"*.example\"", "is no host", "host:port"),
    (
        "when = \"collect 1 USDC\"",
        "when = \"collect 1 USDC\"\nasked_by = \"x\"",
        "no host asks",
        "leave it out",
    ),
    (
        "when = \"return 1 USDC\"",
        "when = \"return 1 USDC\"\nlabels = [\"model\"]",
        "no labels",
        "leave it out",
    ),
    (
        "[\"memory\", \"peer:bazaar\"]",
        "[\"memory\", \"memory\"]",
        "`labels` has \"memory\" twice",
        "once",
    ),
    ("[\"memory\", \"peer:bazaar\"]", "[\"web\"]", "cannot read \"web\"", "web:HOST"),
    ("[\"memory\", \"peer:bazaar\"]", "[\"web:a b\"]", "is no host", "host:port"),
    ("[\"memory\", \"peer:bazaar\"]", "[\"peer:\"]", "cannot read \"peer:\"", "peer:NAME"),
    ("approved = true", "approved = \"yes\"", "not true or false", "approved = true"),
    ("then = \"held\"", "then = \"held by\"", "cannot read \"held by\"", "held by limits"),
    ("then = \"held\"", "", "test has no `then`", "allowed"),
    (
        "pay 0.01 USDC to gpu-market",
        "pay 0.01 USDC to Gpu-Market",
        "no payee \"Gpu-Market\"",
        "\"gpu-market\"",
    ),
    ("pay 0.01 USDC to bazaar", "pay 0.01 ETH to bazaar", "no payee \"bazaar\"", "[pool]"),
    ("5h ago\"", "5 h ago\"", "cannot read", "5h ago"),
    ("5h ago\"", "5h ago by mistake\"", "no sub-agent \"mistake\"", "known sub-agents: helper"),
    ("5h ago\"", "5h ago in task\"", "cannot read", "5h ago"),
    ("sending 3 KiB", "sending 3KiB", "cannot read", "grammar"),
    ("used fetch_data", "used fetch", "no tool \"fetch\"", "fetch_data"),
    (
        "pinned news to",
        "pinned gpu-market to",
        "cannot happen to payee.gpu-market",
        "known by host",
    ),
    ("pinned news to", "pinned bazaar to", "no payee \"bazaar\"", "known payees"),
    ("to 0x9e9e", "to 0x9e", "it is no address", "40 hexadecimal"),
    ("gpu-market changed hands", "news changed hands", "cannot happen to payee.news", "agent_id"),
    (
        "gpu-market does not resolve",
        "gpu-market does not resolve\", \"gpu-market changed hands",
        "beside a line above it",
        "one thing",
    ),
    ("bazaar did not deliver", "bazaar did deliver", "cannot read", "grammar"),
    // Forbids.
    ("context.minute < 360", "context.minuet < 360", "minuet", ""),
];

#[test]
fn mistakes_in_every_construct_are_named_with_their_place_and_their_mending() {
    for (from, to, message, help) in MISTAKES {
        let error = broken(from, to);
        check(&error, to, message, help);
        // It points into the line that was changed, or at the table that lacks something.
        let sources = edited(in_one(), from, to);
        let cedar = error.to_string().starts_with("policy.cedar");
        let text = if cedar { sources.cedar.unwrap() } else { sources.policy };
        let mistake = error.mistake();
        let line = text.lines().nth(mistake.line - 1).unwrap();
        let changed =
            !to.is_empty() && to.lines().any(|part| line.contains(part.trim_matches('"')));
        assert!(
            changed
                || line.starts_with('[')
                || line.contains(message.split('"').nth(1).unwrap_or("?")),
            "{to}: {error}\n{line}"
        );
    }
}

#[test]
fn a_stranger_may_be_tried_where_the_test_expects_just_that() {
    for (from, to) in [
        (
            "when = \"collect 1 USDC\"\nthen = \"allowed\"",
            "when = \"pay 1 ETH to stranger\"\nthen = \"refused by payee.known\"",
        ),
        (
            "when = \"collect 1 USDC\"\nthen = \"allowed\"",
            "when = \"use shovel\"\nthen = \"refused by tool.known\"",
        ),
        (
            "when = \"collect 1 USDC\"\nthen = \"allowed\"",
            "when = \"use fetch_data\"\nas = \"x\"\nthen = \"refused by sub_agent.known\"",
        ),
    ] {
        assert_eq!(warnings(from, to), Vec::<String>::new(), "{to}");
    }
}
