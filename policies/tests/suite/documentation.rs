//! `docs/policy.md`: every example is read, and does what the text around it says.
//!
//! What stands after a fence says what becomes of the block:
//! - `toml`: the first one is a whole policy; each later one is added to it.
//! - `toml refused`, `cedar refused`: added to it, it is refused with the words of the `text` block
//!   that follows.
//! - `toml warned`: added to it, it is warned of with those words, and no others.
//! - `cedar`: a `policy.cedar`, for the policy beside it: the `toml` block that follows, or the
//!   `toml owner.toml` and `toml policy.toml` blocks before it.

use marque_policies::{PolicyError, Sources, parse::compile, run_tests};

const PAGE: &str = include_str!("../../../docs/policy.md");

/// What the page shows, in its order.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Sets of documents that are policies.
    pub(crate) policies: Vec<Sources>,
    /// Policies with their one warning.
    warned: Vec<(Sources, &'static str)>,
    /// Documents that are none, with what is said of them.
    refused: Vec<(Sources, &'static str)>,
}

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

/// A block added to the first policy of the page: what comes before its first section on top, the
/// rest below.
fn added(base: &str, block: &str) -> Sources {
    let section = block.find("\n[").map_or(block.len(), |newline| newline + 1);
    let (top, below) = block.split_at(if block.starts_with('[') { 0 } else { section });
    Sources::one(format!("{top}\n{base}\n{below}"))
}

pub(crate) fn page() -> Page {
    let blocks = blocks();
    let base = blocks.iter().find(|(kind, _)| *kind == "toml").unwrap().1;
    let mut page = Page::default();
    let mut rest = blocks.as_slice();
    while let Some(((kind, body), after)) = rest.split_first() {
        rest = after;
        let mut words = || match rest.split_first() {
            Some((("text", words), after)) => {
                rest = after;
                *words
            }
            _ => panic!("nothing says what becomes of this:\n{body}"),
        };
        let with_cedar = |sources: Sources| Sources { cedar: Some((*body).to_owned()), ..sources };
        match *kind {
            "toml" if page.policies.is_empty() => page.policies.push(Sources::one(*body)),
            "toml" => page.policies.push(added(base, body)),
            "toml warned" => page.warned.push((added(base, body), words())),
            "toml refused" => page.refused.push((added(base, body), words())),
            "cedar refused" => page.refused.push((with_cedar(Sources::one(base)), words())),
            "toml owner.toml" => {
                let [("toml policy.toml", policy), ("cedar", cedar), after @ ..] = rest else {
                    panic!("an owner.toml without what belongs to it");
                };
                rest = after;
                page.policies.push(Sources {
                    policy: (*policy).to_owned(),
                    owner: Some((*body).to_owned()),
                    cedar: Some((*cedar).to_owned()),
                });
            }
            "cedar" => {
                let [("toml", tests), after @ ..] = rest else {
                    panic!("a policy.cedar without tests:\n{body}");
                };
                rest = after;
                page.policies.push(with_cedar(added(base, tests)));
            }
            "text" => {}
            other => panic!("a block of a kind that nobody checks: {other}"),
        }
    }
    page
}

fn said(error: &PolicyError) -> String {
    let mistake = error.mistake();
    format!("{}\n  help: {}\n", mistake.message, mistake.help.as_deref().unwrap())
}

#[test]
fn every_example_reads_without_a_warning_and_its_tests_pass() {
    let page = page();
    let mut tests = 0;
    for sources in &page.policies {
        let (policy, warnings) =
            compile(sources).unwrap_or_else(|error| panic!("{error}\n{sources:?}"));
        assert_eq!(warnings, [], "{}", sources.policy);
        for result in run_tests(&policy) {
            assert!(result.passed, "{}\n{:#?}", result.name, result.verdict);
            tests += 1;
        }
    }
    assert!(page.policies.len() >= 16 && tests >= 45, "the page has lost its examples: {tests}");
}

#[test]
fn every_refused_example_is_refused_with_the_words_on_the_page() {
    let page = page();
    let refused = page.refused.iter().map(|(sources, words)| {
        let error = compile(sources).map(|_| ()).expect_err(words);
        ((*words).to_owned(), said(&error))
    });
    let wrong: Vec<_> = refused.filter(|(words, said)| words != said).collect();
    assert!(wrong.is_empty(), "on the page, and said: {wrong:#?}");
    assert!(page.refused.len() >= 6, "the page has lost its mistakes");
}

#[test]
fn every_warned_example_is_warned_of_with_the_words_on_the_page() {
    let page = page();
    for (sources, words) in &page.warned {
        let (_, warnings) = compile(sources).unwrap();
        let said: String =
            warnings.iter().map(|warning| format!("{}\n", warning.message)).collect();
        assert_eq!(*words, said);
    }
    assert!(!page.warned.is_empty(), "the page has lost its warnings");
}

#[test]
fn every_test_that_the_readme_names_is_there() {
    let suite = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite");
    let readme = include_str!("../../README.md");
    let (_, table) = readme.split_once("| pinned by |").unwrap();
    let mut named = 0;
    for name in table.split('`').skip(1).step_by(2) {
        let path = name.replace("::", "/");
        let (module, test) = path.rsplit_once('/').unwrap_or((&path, ""));
        let module_is_there = std::path::Path::new(&format!("{suite}/{path}.rs")).is_file();
        let text = std::fs::read_to_string(format!("{suite}/{module}.rs")).unwrap_or_default();
        assert!(module_is_there || text.contains(&format!("fn {test}(")), "there is no {name}");
        named += 1;
    }
    assert!(named >= 15, "the table has lost its tests: {named}");
}
