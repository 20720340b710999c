//! What the unsafe layer says of itself: each block names its invariant and a test that guards it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The comment before a line, attributes and the start of its statement left out.
fn comment(lines: &[&str]) -> String {
    let before = lines.iter().rev().map(|line| line.trim());
    let above = before.skip_while(|line| line.starts_with("#[") || line.starts_with("let "));
    let mut comment: Vec<&str> = above.take_while(|line| line.starts_with("//")).collect();
    comment.reverse();
    comment.join(" ")
}

#[test]
fn every_unsafe_block_names_its_invariant_and_a_test_that_exists() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = [sources(&home.join("src")), sources(&home.join("tests"))].concat();
    let texts: Vec<(PathBuf, String)> =
        files.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect();
    let exists = |name: &str| texts.iter().any(|(_, text)| text.contains(&format!("fn {name}(")));
    let (mut blocks, mut functions) = (0, 0);
    for (path, text) in texts.iter().filter(|(path, _)| path.starts_with(home.join("src"))) {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let place = format!("{}:{}", path.display(), at + 1);
            let code = line.split("//").next().unwrap_or_default();
            let comment = comment(&lines[..at]);
            if code.contains("unsafe fn") || code.contains("unsafe extern") {
                functions += 1;
                assert!(comment.contains("# Safety"), "{place} does not say what it asks");
            } else if code.contains("unsafe {") || code.contains("unsafe impl") {
                blocks += 1;
                assert!(comment.starts_with("// SAFETY: "), "{place} has no SAFETY comment");
                let named = comment.split('`').skip(1).step_by(2).filter(|name| exists(name));
                assert!(named.count() > 0, "{place} names no test that there is: {comment}");
            }
        }
    }
    assert!(blocks >= 5 && functions >= 2, "{blocks} blocks and {functions} functions were found");
}
