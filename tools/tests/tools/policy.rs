//! The policy in the README permits each tool, reads without a warning and passes its own tests.

use marque_policies::{parse, run_tests};
use std::collections::BTreeSet;

const GROUND: &str = r#"
format = 1
version = 1
owner = "0x00000000000000000000000000000000000000f1"

[chain.base]
id = "eip155:8453"
rpc = ["https://rpc.example"]
finality = "safe"
native = "ETH"
identity_registry = "0x00000000000000000000000000000000000000f4"

[asset.USDC]
chain = "base"
token = "0x00000000000000000000000000000000000000f3"
decimals = 6

[limits.USDC]
payment = "1.00"
day = "5.00"

[limits.gas]
day = "0.01 ETH"

[[payee]]
name = "muscle"
address = "0x00000000000000000000000000000000000000f2"
host = "muscle.example"
"#;

#[test]
fn the_readmes_policy_permits_each_tool_and_passes_its_tests() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```toml\n").unwrap();
    let (lines, _) = rest.split_once("```").unwrap();
    let (policy, warnings) = parse(&format!("{GROUND}\n{lines}")).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let named: BTreeSet<&str> = policy.tools.keys().map(String::as_str).collect();
    let expected = [
        "ask_owner",
        "balance",
        "calculate",
        "fetch",
        "find_agents",
        "hire",
        "now",
        "pay",
        "read_file",
        "recall",
        "remember",
        "write_file",
    ];
    assert_eq!(named, expected.into());
    let results = run_tests(&policy);
    assert_eq!(results.len(), 4);
    for result in results {
        assert!(result.passed, "{result:?}");
    }
}
