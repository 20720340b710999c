//! One policy in one document or in two: the same meaning, and each mistake in its own document.

use super::*;
use marque_policies::{parse, parse::MAX_DOCUMENT};

#[test]
fn a_split_set_up_reads_to_the_same_policy_and_hash() {
    let (one, none) = read(&in_one());
    let (two, also_none) = read(&in_two());
    assert_eq!(one, two);
    assert_eq!((none, also_none), (vec![], vec![]), "every test in it is met");
}

#[test]
fn the_one_text_that_carries_the_documents_reads_to_the_same_policy() {
    for sources in [in_one(), in_two(), Sources { cedar: None, ..in_one() }] {
        assert_eq!(parse(&sources.document()).unwrap(), read(&sources));
    }
}

#[test]
fn each_document_may_hold_its_own_part_only() {
    let cases = [
        // (document, text added to it, message, help)
        ("owner.toml", "[limits.USDC]\nday = \"1\"", "unknown key \"limits\"", "[owner.limits."),
        ("owner.toml", "[[tool]]\nname = \"x\"", "unknown key \"tool\"", "belongs in policy.toml"),
        ("owner.toml", "[pool.USDC]\nday = \"1\"", "unknown key \"pool\"", "in policy.toml"),
        ("owner.toml", "[sub_agent.x]", "unknown key \"sub_agent\"", "in policy.toml"),
        ("owner.toml", "[task.limits.USDC]\nday = \"1\"", "unknown key \"task\"", "in policy.toml"),
        ("owner.toml", "[labels]", "unknown key \"labels\"", "in policy.toml"),
        ("owner.toml", "[income]", "unknown key \"income\"", "in policy.toml"),
        ("owner.toml", "[[test]]", "unknown key \"test\"", "in policy.toml"),
        ("owner.toml", "[payees]", "unknown key \"payees\"", "did you mean `payee`?"),
        ("policy.toml", "[owner]", "stand in owner.toml", "remove `owner`"),
        ("policy.toml", "[approvals]", "`approvals` stands in owner.toml", "one of the two"),
        (
            "policy.toml",
            "[chain.Devnet]\nid = \"eip155:5\"\nrpc = [\"https://a.example\"]\nfinality = 1\nnative = \"X\"",
            "\"Devnet\" is already taken by \"devnet\" in owner.toml",
            "choose another",
        ),
        (
            "policy.toml",
            "[asset.usdc]\nchain = \"side\"\ntoken = \"0x5757575757575757575757575757575757575757\"\ndecimals = 6",
            "\"usdc\" is already taken by \"USDC\" in owner.toml",
            "choose another",
        ),
        (
            "policy.toml",
            "[asset.eth]\nchain = \"side\"\ntoken = \"0x5757575757575757575757575757575757575757\"\ndecimals = 6",
            "\"eth\" is already taken by \"ETH\" in owner.toml",
            "choose another",
        ),
        (
            "policy.toml",
            "[category.Compute]\nday = \"1 USDC\"",
            "\"Compute\" is already taken by \"compute\" in owner.toml",
            "choose another",
        ),
        (
            "policy.toml",
            "[[payee]]\nname = \"weather-feed\"\naddress = \"0x9090909090909090909090909090909090909090\"",
            "\"weather-feed\" is already taken by \"weather-feed\" in owner.toml",
            "choose another",
        ),
    ];
    for (file, text, message, help) in cases {
        let mut sources = in_two();
        let document = match file {
            "owner.toml" => sources.owner.as_mut().unwrap(),
            _ => &mut sources.policy,
        };
        document.push_str(text);
        let error = compile(&sources).map(|_| ()).expect_err(text);
        let mistake = error.mistake();
        assert!(mistake.message.contains(message), "{text}: {error}");
        assert!(mistake.help.as_deref().unwrap().contains(help), "{text}: {mistake:?}");
        assert!(error.to_string().starts_with(&format!("{file}:")), "{error}");
        assert!(mistake.line > 2, "{error}");
    }
    for (file, text) in [
        ("owner.toml", "version = 3"),
        ("owner.toml", "expires = 2027-06-30T00:00:00Z"),
        ("owner.toml", "times = [\"08:00-18:00\"]"),
        ("policy.toml", "owner = \"0x0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a\""),
    ] {
        let mut sources = in_two();
        let document = match file {
            "owner.toml" => sources.owner.as_mut().unwrap(),
            _ => &mut sources.policy,
        };
        *document = document.replacen("format = 1", &format!("format = 1\n{text}"), 1);
        let error = compile(&sources).map(|_| ()).expect_err(text);
        assert!(error.to_string().starts_with(&format!("{file}:2:1: ")), "{error}");
    }
}

#[test]
fn each_document_needs_its_format_and_the_policy_its_version() {
    let mut sources = in_two();
    sources.owner = sources.owner.map(|text| text.replace("format = 1\n", ""));
    let error = compile(&sources).map(|_| ()).expect_err("no format");
    assert_eq!(error.to_string(), "owner.toml:1:1: the format is missing");

    let newer = edited(in_two(), "format = 1\n\n[owner]", "format = 2\nnews = true\n[owner]");
    let error = compile(&newer).map(|_| ()).expect_err("newer");
    assert!(matches!(error, PolicyError::Format(_)), "{error}");
    assert!(error.to_string().starts_with("owner.toml:1:10: "), "{error}");

    let error = compile(&edited(in_two(), "version = 8", "")).map(|_| ()).expect_err("no version");
    assert!(error.to_string().contains("has no `version`"), "{error}");

    let address = "address = \"0x0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a\"";
    let error = compile(&edited(in_two(), address, "")).map(|_| ()).expect_err("no owner");
    assert_eq!(error.to_string(), "owner.toml:3:1: owner has no `address`");
}

#[test]
fn a_mistake_or_a_warning_names_the_document_it_is_in() {
    for (from, to, file) in [
        ("day = \"21\"", "day = \"21.0000001\"", "owner.toml"),
        ("day = \"0.70\"", "day = \"0.7000001\"", "policy.toml"),
        ("finality = 2", "finality = \"soon\"", "owner.toml"),
        ("category.compute]", "category.compute", "owner.toml"),
        ("context.minute", "context.minuet", "policy.cedar"),
    ] {
        let error = compile(&edited(in_two(), from, to)).map(|_| ()).expect_err(to);
        assert!(error.to_string().starts_with(&format!("{file}:")), "{error}");
        let source = &error.mistake().source_code;
        assert_eq!(source.name(), file);
        assert!(source.inner().contains(to), "the report shows the document itself");
    }
    for (from, to, file) in [
        ("day = \"21\"", "day = \"211\"", "owner.toml"),
        ("day = \"5.90 USDC\"", "day = \"15.90 USDC\"", "owner.toml"),
        ("finality = 2", "finality = 0", "owner.toml"),
        ("day = \"0.70\"", "day = \"7.70\"", "policy.toml"),
    ] {
        let sources = edited(in_two(), from, to);
        let document = if file == "owner.toml" { sources.owner.as_ref() } else { None };
        let document = document.unwrap_or(&sources.policy);
        let line = document.lines().position(|line| line == to).unwrap() + 1;
        let column = to.find('=').unwrap() + 3;
        let (_, warnings) = read(&sources);
        let place = format!("{file}:{line}:{column}: ");
        assert!(
            warnings.iter().any(|warning| warning.to_string().starts_with(&place)),
            "{place} {warnings:#?}"
        );
    }
}

#[test]
fn documents_that_do_not_fit_into_an_entry_together_are_refused() {
    let room = MAX_DOCUMENT - Sources { cedar: None, ..in_two() }.document().len();
    let pad = |bytes: usize| {
        let mut sources = Sources { cedar: None, ..in_two() };
        sources.owner = sources.owner.map(|text| format!("{text}#{}\n", "x".repeat(bytes)));
        sources
    };
    // The lengths of the parts are written with as many digits.
    assert!(pad(8_000).owner.unwrap().len() < 10_000 && room > 8_000);
    assert!(compile(&pad(8_000)).is_ok());
    let error = compile(&pad(MAX_DOCUMENT)).map(|_| ()).expect_err("too long");
    assert!(matches!(error, PolicyError::Syntax(_)), "{error}");
    assert!(error.to_string().contains("bytes"), "{error}");
    // What is read in parts fits as one text, and the other way round.
    for bytes in room - 8..room + 2 {
        let sources = pad(bytes);
        let fits = sources.document().len() <= MAX_DOCUMENT;
        assert_eq!(compile(&sources).is_ok(), fits, "{bytes}");
        assert_eq!(parse(&sources.document()).is_ok(), fits, "{bytes}");
    }
    assert!(compile(&pad(room - 8)).is_ok() && compile(&pad(room + 1)).is_err());
}
