//! `docs/policy.md`: every example is read, and does what the text around it says.
//!
//! The first block is a whole policy; each later one is added to it, or stands by itself if it
//! names a format. A block marked `refused` is refused with the help that follows in the next
//! `text` block.

use crate::support::policy;
use marque_policies::{parse, run_tests};

const PAGE: &str = include_str!("../../../docs/policy.md");

/// The fenced blocks: what stands after the fence, and the text within.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let mut blocks = Vec::new();
    let mut rest = PAGE;
    while let Some((_, after)) = rest.split_once("\n```") {
        let (kind, after) = after.split_once('\n').unwrap();
        let (body, after) = after.split_once("```").unwrap();
        blocks.push((kind, body));
        rest = after;
    }
    blocks
}

#[test]
fn every_example_reads_and_its_tests_pass() {
    let blocks = blocks();
    let base = blocks.iter().find(|(kind, _)| *kind == "toml").unwrap().1;
    let mut read = 0;
    for (_, body) in blocks.iter().filter(|(kind, _)| *kind == "toml") {
        let whole =
            if body.contains("format") { (*body).to_owned() } else { format!("{base}\n{body}") };
        for result in run_tests(&policy(&whole)) {
            assert!(result.passed, "{}\n{whole}", result.name);
        }
        read += 1;
    }
    assert!(read >= 7, "the page has lost its examples");
}

#[test]
fn every_refused_example_is_refused_with_the_words_on_the_page() {
    let blocks = blocks();
    let base = blocks.iter().find(|(kind, _)| *kind == "toml").unwrap().1;
    let mut refused = 0;
    for pair in blocks.windows(2) {
        let [("toml refused", body), (kind, words)] = pair else { continue };
        assert_eq!(*kind, "text", "{body}");
        let error = parse(&format!("{base}\n{body}")).map(|_| ()).expect_err(body);
        let mistake = error.mistake();
        let said = format!("{}\n  help: {}\n", mistake.message, mistake.help.as_deref().unwrap());
        assert_eq!(*words, said);
        refused += 1;
    }
    assert!(refused >= 3, "the page has lost its mistakes");
}
