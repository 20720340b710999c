//! What the front page shows and names is there.

use std::{path::Path, process::Command};

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn the_readme_shows_the_example_as_it_is_and_it_is_short() {
    let example = read("examples/hello.rs");
    let code = example.get(example.find("use marque").unwrap()..).unwrap();
    assert!(read("README.md").contains(code.trim_end()), "README.md shows another hello.rs");
    let lines = code.lines().filter(|line| !line.is_empty() && !line.starts_with("use ")).count();
    assert!(lines <= 15, "{lines} lines without imports");
}

#[test]
fn every_proof_that_a_front_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in ["README.md", "SECURITY.md"] {
        let text = read(page);
        let rows = text.lines().filter(|line| line.starts_with("| ") && line.contains(".rs`"));
        let proofs: Vec<&str> =
            rows.flat_map(|row| row.split('`')).filter(|p| p.contains('/')).collect();
        assert!(proofs.len() > 5, "{page} names no proofs");
        for proof in proofs {
            assert!(root.join(proof).exists(), "{page} names {proof}");
        }
    }
}

#[test]
fn the_comparison_states_the_lines_that_its_script_counts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = read("docs/comparison.md");
    for (named, program) in [
        ("[`examples/hello.rs`]", "examples/hello.rs"),
        ("[`examples/shortest.rs`]", "examples/shortest.rs"),
        ("[the same in rig]", "docs/comparison/src/bin/agent.rs"),
    ] {
        let counted =
            Command::new(root.join("docs/comparison/lines")).arg(root.join(program)).output();
        let counted = String::from_utf8(counted.unwrap().stdout).unwrap();
        let counted = counted.split_whitespace().next().unwrap();
        let row = page.lines().find(|line| line.starts_with(&format!("| {named}"))).unwrap();
        assert!(row.ends_with(&format!(" {counted} |")), "{program} has {counted} lines: {row}");
    }
}
