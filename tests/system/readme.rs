//! What the front page shows and names is there.

use std::path::Path;

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
