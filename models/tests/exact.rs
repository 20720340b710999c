//! The profile `exact`: the same bits however the work is cut, and what does not keep them.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::PathBuf;

use marque_models::exact::{Schedule, digests, selftest};
use marque_models::synthetic::{Format, Synthetic};
use marque_models::{Llama, LlamaOptions, Message, Model, Profile, Request, Sampling, Trace};
use tempfile::TempDir;

/// More than a page of 256 cells, so that the computation changes its shape on the way.
const LENGTH: usize = 266;

fn file(folder: &TempDir, format: Format) -> PathBuf {
    let path = folder.path().join(format!("{}.gguf", format.name()));
    let shape = Synthetic { vocabulary: 1_024, ..Synthetic::small(format) };
    shape.write(&path).unwrap();
    path
}

fn schedules() -> Vec<(&'static str, Schedule)> {
    let all = Schedule::default;
    vec![
        ("two threads", Schedule { threads: 2, ..all() }),
        ("token by token", Schedule { cuts: (1..LENGTH).collect(), ..all() }),
        ("cut into pieces", Schedule { cuts: vec![1, 17, 64, 65, 256, 257], ..all() }),
        ("saved and restored", Schedule { restore_at: Some(100), ..all() }),
        ("restored past a page of cells", Schedule { restore_at: Some(260), ..all() }),
    ]
}

#[test]
fn exact_is_exact_however_the_work_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    for format in Format::ALL {
        let path = file(&folder, format);
        let once = digests(&path, LENGTH, &Schedule::default()).unwrap();
        assert_eq!(once.len(), LENGTH);
        for (name, schedule) in schedules() {
            let found = digests(&path, LENGTH, &schedule).unwrap();
            let differ = once.iter().zip(&found).position(|(a, b)| a != b);
            assert_eq!(differ, None, "{}, {name}: first difference after token", format.name());
        }
    }
}

/// Why `exact` serves one sequence at a time, and why `fast` makes no promise.
#[test]
fn company_and_the_fast_profile_change_bits() {
    let folder = tempfile::tempdir().unwrap();
    let beside = |pooled| Schedule {
        company: 3,
        pooled,
        cuts: (1..LENGTH).step_by(7).collect(),
        ..Schedule::default()
    };
    for (name, schedule) in [
        ("pooled", beside(true)),
        ("apart", beside(false)),
        ("fast", Schedule { profile: Profile::Fast, ..Schedule::default() }),
    ] {
        let differ = Format::ALL.map(|format| {
            let path = file(&folder, format);
            let once = digests(&path, LENGTH, &Schedule::default()).unwrap();
            let found = digests(&path, LENGTH, &schedule).unwrap();
            once.iter().zip(&found).filter(|(a, b)| a != b).count()
        });
        println!("{name}: {differ:?} of {LENGTH} tokens differ, by format");
        assert!(differ.iter().any(|tokens| *tokens > 0), "{name} may be allowed");
    }
}

#[test]
fn this_machine_computes_as_its_class_does() {
    let folder = tempfile::tempdir().unwrap();
    for finding in selftest(folder.path()).unwrap() {
        println!("{finding:?}");
        assert!(finding.passes(), "{finding:?}");
    }
}

#[tokio::test]
async fn the_digests_of_a_reply_are_those_of_any_engine_in_the_profile() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, Format::Q4KM);
    let reply = async |threads, session: bool| {
        let options = LlamaOptions {
            profile: Profile::Exact,
            threads: Some(threads),
            ..LlamaOptions::default()
        };
        let model = Llama::load(&path, options).unwrap();
        let mut request = Request::new(vec![Message::user("babe dida ".repeat(20))])
            .max_tokens(20)
            .sampling(Sampling { temperature: 1.0, seed: 7, ..Sampling::default() })
            .trace(Trace { logprobs: Some(2), digests: true });
        if session {
            // Computed before: the reply starts from what is there.
            request = request.session("a");
            model.generate(request.clone().max_tokens(3)).await.unwrap();
            let warm = model.generate(request.clone()).await.unwrap();
            assert!(warm.usage.reused_tokens > 20);
            return warm.tokens;
        }
        model.generate(request).await.unwrap().tokens
    };
    let once = reply(1, false).await;
    assert!(once.len() > 1 && once.iter().all(|t| t.logits.is_some() && t.likeliest.len() == 2));
    assert_eq!(reply(2, false).await, once);
    assert_eq!(reply(1, true).await, once);
}
