//! The kept corpus of the fuzzer (`policies/fuzz`), replayed without one: every input through the
//! function that it was kept for.

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "the fuzzer includes it as a crate of its own")]
mod targets;

use std::{collections::BTreeSet, path::Path};

#[test]
fn every_input_that_was_kept_breaks_nothing() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let entries = |folder: &Path| -> BTreeSet<_> {
        folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let names = targets::TARGETS.map(|(name, _)| corpus.join(name));
    assert_eq!(entries(&corpus), BTreeSet::from(names), "each corpus has its function");
    for (name, run) in targets::TARGETS {
        let inputs = entries(&corpus.join(name));
        assert!(inputs.len() >= 10, "the corpus of {name} has only {} inputs", inputs.len());
        for path in inputs {
            let input = std::fs::read(&path).unwrap();
            let done = std::panic::catch_unwind(|| run(&input));
            assert!(done.is_ok(), "{name} breaks on {}", path.display());
        }
    }
}
