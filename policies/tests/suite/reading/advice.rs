//! Warnings: what can never have an effect, and what an owner may not have meant.

use super::*;
use marque_policies::parse;

/// The warnings of the usual policy with one text replaced by another.
fn usual_warnings(from: &str, to: &str) -> Vec<String> {
    let text = usual_text();
    assert!(text.contains(from), "{from}");
    let (_, warnings) = parse(&text.replacen(from, to, 1)).unwrap();
    warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn the_usual_policy_has_nothing_to_warn_of() {
    assert_eq!(usual_warnings("version = 7", "version = 7"), Vec::<String>::new());
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
        let warnings = usual_warnings(from, to);
        assert!(warnings.iter().any(|warning| warning.contains(expected)), "{to}: {warnings:#?}");
    }
    let owner = usual_text().replace("owner   =", "owner.address =")
        + "\n[owner.limits.USDC]\nday = \"5\"\n";
    let (_, found) = parse(&owner).unwrap();
    assert!(
        found.iter().any(|w| w.message.contains("owner.limits.USDC.day (5.00 USDC) comes first")),
        "{found:#?}"
    );
}

#[test]
fn a_float_that_cannot_be_what_it_says_is_warned_of() {
    let float = "[float.USDC]\nlow = \"1\"\nhigh = \"2\"\n";
    let of = |text: &str| {
        let (_, warnings) = parse(text).unwrap_or_else(|error| panic!("{error}"));
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let usual = format!("{}\n{float}", usual_text());
    assert_eq!(of(&usual), Vec::<String>::new());
    // Where it is written, and with the name of the asset.
    let line = |text: &str, begins: &str| {
        let lines: Vec<_> = text.lines().collect();
        lines.iter().rposition(|line| line.starts_with(begins)).unwrap() + 1
    };
    let poor = usual.replace("[limits.gas]\nday = \"0.002 ETH\"\n", "");
    assert_ne!(poor, usual, "{usual}");
    let expected = format!("policy.toml:{}:", line(&poor, "low"));
    assert!(
        of(&poor).iter().any(|it| it.starts_with(&expected) && it.contains("float.USDC is never"))
    );

    let wide = usual.replace("high = \"2\"", "high = \"250\"");
    let told = "float.USDC.high (250.00 USDC) is more than limits.USDC lets out ever (200.00 USDC)";
    let expected = format!("policy.toml:{}:8: {told}", line(&wide, "high"));
    assert!(of(&wide).iter().any(|it| it.starts_with(&expected)), "{:?}", of(&wide));
    assert!(of(&wide)[0].contains("lower `high` in [float.USDC]"));
    let within = usual.replace("high = \"2\"", "high = \"200\"");
    assert_eq!(of(&within), Vec::<String>::new());
    let owners =
        usual.replace("owner   =", "owner.address =") + "[owner.limits.USDC]\nhour = \"1.50\"\n";
    let told = "more than owner.limits.USDC lets out in any hour (1.50 USDC)";
    assert!(of(&owners).iter().any(|it| it.contains(told)), "{:?}", of(&owners));

    // Who pays nobody has nothing to keep back.
    let required = format!("{usual}delegation = \"required\"\n");
    assert_eq!(of(&required), Vec::<String>::new());
    let (head, _) = required.split_once("[[payee]]").unwrap();
    let seller = format!("{head}{float}delegation = \"required\"\n");
    let expected = format!("policy.toml:{}:14: float.USDC.delegation", line(&seller, "delegation"));
    assert!(of(&seller).iter().any(|it| it.starts_with(&expected)), "{:?}", of(&seller));
}

#[test]
fn a_warning_points_at_its_line() {
    let text = usual_text();
    let line = text.lines().position(|line| line.starts_with("payment")).unwrap() + 1;
    assert!(
        usual_warnings("payment = \"1.00\"", "payment = \"3.50\"")[0]
            .starts_with(&format!("policy.toml:{line}:11: "))
    );
}

/// What is put where in the policy that uses every construct, and what the reader remarks.
const ODDITIES: &[(&str, &str, &str)] = &[
    // Below all agents.
    (
        "day = \"21\"",
        "day = \"9\"",
        "limits.USDC.day (10.00 USDC) can never be reached: owner.limits.USDC.day (9.00 USDC) comes first",
    ),
    (
        "day = \"0.02 ETH\"",
        "day = \"0.0015 ETH\"",
        "limits.gas.day (0.002 ETH) can never be reached: owner.limits.gas.day (0.0015 ETH)",
    ),
    (
        "payment = \"9\"",
        "payment = \"12\"",
        "owner.limits.USDC.payment (12.00 USDC) can never be reached: owner.limits.USDC.hour (11.00 USDC)",
    ),
    // A longer window stops the money just as well.
    (
        "days30 = \"100.00\"",
        "days30 = \"201\"",
        "limits.USDC.days30 (201.00 USDC) can never be reached: limits.USDC.total (200.00 USDC)",
    ),
    (
        "days30 = \"210\"",
        "days30 = \"9.90\"",
        "limits.USDC.day (10.00 USDC) can never be reached: owner.limits.USDC.days30 (9.90 USDC)",
    ),
    // Shorter windows fill a longer one.
    (
        "hour = \"2.80\"",
        "hour = \"0.19\"",
        "task.limits.USDC.day (4.80 USDC) can never be reached: task.limits.USDC.hour (0.19 USDC)",
    ),
    (
        "day = \"4.80\"",
        "day = \"1.59\"",
        "task.limits.USDC.days30 (48.00 USDC) can never be reached: task.limits.USDC.day (1.59 USDC)",
    ),
    // Below the agent.
    (
        "payment = \"0.95\"",
        "payment = \"1.01\"",
        "task.limits.USDC.payment (1.01 USDC) can never be reached: limits.USDC.payment (1.00 USDC)",
    ),
    (
        "total = \"58\"",
        "total = \"201\"",
        "task.limits.USDC.total (201.00 USDC) can never be reached: limits.USDC.total",
    ),
    (
        "ask_above = \"0.44\"",
        "ask_above = \"0.95\"",
        "task.limits.USDC.ask_above (0.95 USDC) can never be reached: task.limits.USDC.payment",
    ),
    (
        "payment = \"0.75\"",
        "payment = \"0.86\"",
        "sub_agent.helper.limits.USDC.payment (0.86 USDC) can never be reached: sub_agent.helper.limits.USDC.hour",
    ),
    (
        "days30 = \"11\"",
        "days30 = \"14\"",
        "sub_agent.helper.limits.USDC.days30 (14.00 USDC) can never be reached",
    ),
    (
        "total = \"13\"",
        "total = \"201\"",
        "sub_agent.helper.limits.USDC.total (201.00 USDC) can never be reached: limits.USDC.total",
    ),
    (
        "day = \"0.001 ETH\"",
        "day = \"0.003 ETH\"",
        "sub_agent.helper.limits.gas.day (0.003 ETH) can never be reached: limits.gas.day",
    ),
    (
        "day = \"5.90 USDC\"",
        "day = \"10.10 USDC\"",
        "category.compute.day (10.10 USDC) can never be reached: limits.USDC.day",
    ),
    (
        "days30 = \"59 USDC\"",
        "days30 = \"100 USDC\"",
        "category.compute.days30 (100.00 USDC) can never be reached: category.compute.total",
    ),
    (
        "day = \"4.70 USDC\"",
        "day = \"6 USDC\"",
        "payee.gpu-market.day (6.00 USDC) can never be reached: category.compute.day (5.90 USDC)",
    ),
    (
        "ask_above_day = \"1.30 USDC\"",
        "ask_above_day = \"4.70 USDC\"",
        "payee.gpu-market.ask_above_day (4.70 USDC) can never be reached: payee.gpu-market.day",
    ),
    // Peers.
    (
        "day = \"0.70\"",
        "day = \"7.10\"",
        "pool.USDC.day (7.10 USDC) can never be reached: pool.USDC.days30",
    ),
    (
        "total = \"9.50\"",
        "total = \"201\"",
        "pool.USDC.total (201.00 USDC) can never be reached: limits.USDC.total",
    ),
    (
        "payment = \"0.05\"",
        "payment = \"0.20\"",
        "pool.USDC.payment (0.20 USDC) can never be reached: pool.USDC.peer_day",
    ),
    (
        "peer_day = \"0.10\"",
        "peer_day = \"0.71\"",
        "pool.USDC.peer_day (0.71 USDC) can never be reached: pool.USDC.day (0.70 USDC)",
    ),
    (
        "peer_day = \"0.10\"",
        "peer_day = \"1.51\"",
        "pool.USDC.peer_day (1.51 USDC) can never be reached: pool.USDC.peer_total",
    ),
    (
        "peer_total = \"1.50\"",
        "peer_total = \"9.51\"",
        "pool.USDC.peer_total (9.51 USDC) can never be reached: pool.USDC.total",
    ),
    (
        "ask_above_day = \"0.08\"",
        "ask_above_day = \"0.10\"",
        "pool.USDC.ask_above_day (0.10 USDC) can never be reached: pool.USDC.peer_day",
    ),
    // What has no effect at all.
    (
        "day = \"1.75 USDC\"",
        "day = \"1.75 EURC\"",
        "category.data: nothing in EURC may be spent without [limits.EURC]",
    ),
    (
        "day = \"2.50 USDC\"",
        "day = \"2.50 EURC\"",
        "payee.weather-feed: nothing in EURC may be spent without [limits.EURC]",
    ),
    ("[task.limits.USDC]", "[task.limits.EURC]", "task.limits.EURC: nothing in EURC"),
    (
        "[sub_agent.helper.limits.USDC]",
        "[sub_agent.helper.limits.EURC]",
        "sub_agent.helper.limits.EURC: nothing in EURC",
    ),
    ("[income]", "[pool.EURC]\nday = \"1\"\n[income]", "pool.EURC: nothing in EURC may be spent"),
    (
        "times = [\"mon-fri 08:00-18:00\"]",
        "times = [\"sun 08:00-18:00\"]",
        "payee.gpu-market can never be paid: its times never meet those of the policy",
    ),
    (
        "times = [\"07:00-19:00\"]",
        "times = [\"21:00-05:00\"]",
        "tool.fetch_data can never be used: its times",
    ),
    (
        "category = \"data\"",
        "category = \"papers\"",
        "category.data limits nobody: no payee names it",
    ),
    (
        "category = \"data\"",
        "category = \"papers\"",
        "category papers has no limits: [category.papers] is missing",
    ),
    (
        "[limits.gas]\nday = \"0.002 ETH\"",
        "",
        "no transaction can be paid for, so money cannot be returned to you; add [limits.gas]",
    ),
    (
        "[sub_agent.helper]\n",
        "[sub_agent.poor]\npayees = [\"news\"]\n[sub_agent.helper]\n",
        "sub_agent.poor has payees, but no limits",
    ),
    ("at_least = -1", "at_least = 101", "tool.fetch_data.arguments.limit can never hold"),
    ("longest = 280", "longest = 7", "tool.fetch_data.arguments.path can never hold"),
    ("longest = 280", "at_most = 7", "tool.fetch_data.arguments.path can never hold"),
    ("\"/public/\"", "\"/public/../\"", "tool.fetch_data.arguments.path can never hold"),
    ("7, true]", "7]\nlongest = 5", "tool.fetch_data.arguments.city can never hold"),
    (
        "host = \"news.example\"",
        "host = \"news.example\"\n[[payee]]\nname = \"paper\"\nhost = \"news.example\"",
        "have the same host, so they share",
    ),
    // Tests that are not met.
    (
        "when = \"collect 1 USDC\"",
        "when = \"collect 1 EURC\"",
        "the policy does not meet this test: to collect 1.00 EURC should be allowed, but it is refused by asset.domain, income.asset",
    ),
    (
        "then = \"held\"",
        "then = \"allowed\"",
        "should be allowed, but it is held by tool.fetch_data.labels",
    ),
    (
        "then = \"held\"",
        "then = \"refused by tool.fetch_data.hosts\"",
        "should be refused by tool.fetch_data.hosts, but it is held by",
    ),
    (
        "then = \"held by pool.USDC.delivery\"",
        "then = \"held by pool.USDC.ask_above\"",
        "should be held by pool.USDC.ask_above, but it is held by",
    ),
    (
        "then = \"held by pool.USDC.delivery\"",
        "then = \"held by pool.USDC.delivry\"",
        "there is no such rule for it as pool.USDC.delivry; did you mean pool.USDC.delivery?",
    ),
    (
        "when = \"return 1 USDC\"\nthen = \"allowed\"",
        "when = \"return 1 USDC\"\nthen = \"held\"",
        "should be held, but it is allowed",
    ),
];

#[test]
fn what_can_have_no_effect_is_warned_of_wherever_it_stands() {
    let mut unsaid = Vec::new();
    for (from, to, expected) in ODDITIES {
        let warnings = warnings(from, to);
        if !warnings.iter().any(|said| said.contains(expected)) {
            unsaid.push((to, expected, warnings));
        }
    }
    assert!(unsaid.is_empty(), "{unsaid:#?}");
}

#[test]
fn limits_that_just_fit_are_not_warned_of() {
    for (from, to) in [
        ("day = \"21\"", "day = \"11\""),
        ("payment = \"0.95\"", "payment = \"1.00\""),
        ("day = \"4.80\"", "day = \"10\""),
        ("peer_day = \"0.10\"", "peer_day = \"0.70\""),
        ("day = \"4.70 USDC\"", "day = \"5.90 USDC\""),
        ("times = [\"mon-fri 08:00-18:00\"]", "times = [\"fri 18:59-19:30\"]"),
        ("at_least = -1", "at_least = 100"),
        ("longest = 280", "longest = 8"),
    ] {
        let found = warnings(from, to);
        let found: Vec<_> =
            found.iter().filter(|said| !said.contains("not meet this test")).collect();
        assert!(found.is_empty(), "{to}: {found:#?}");
    }
}

#[test]
fn an_unmet_test_is_pointed_at_by_its_proposal() {
    let text = in_one().policy;
    let line = text.lines().position(|line| line == "when = \"return 1 USDC\"").unwrap() + 1;
    let found = warnings(
        "when = \"return 1 USDC\"\nthen = \"allowed\"",
        "when = \"return 1 USDC\"\nthen = \"held\"",
    );
    assert!(found[0].starts_with(&format!("policy.toml:{line}:8: ")), "{found:?}");
    assert_eq!(found.len(), 1);
}
