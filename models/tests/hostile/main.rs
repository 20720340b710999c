//! A thousand files that were damaged by chance or on purpose: each ends with one clear line or with
//! a model that answers, and this process lives.
//!
//! `MARQUE_HOSTILE=10000` for more; the seed is printed, and `MARQUE_SEED` repeats it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod damage;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use damage::{Places, Random};
use marque_models::gguf::Header;
use marque_models::synthetic::{Format, Synthetic};
use marque_models::trial::{self, Vetted};
use marque_models::{Llama, LlamaOptions, Message, Model, ModelError, Request};

const MODEL: &[u8] = include_bytes!("../../built-in/tiny-agent.gguf");
/// Says to this program which file to try.
const TRIED: &str = "MARQUE_TEST_TRIED";

/// What `trial::vet` starts: this very program, which runs nothing but the next test.
fn this_program(path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_process_that_tries_a_file", "--nocapture", "--test-threads=1"]);
    command.env(TRIED, path);
    command
}

/// No test by itself: what [`this_program`] does.
#[test]
fn the_process_that_tries_a_file() {
    let Some(path) = std::env::var_os(TRIED) else { return };
    let code = trial::attempt(Path::new(&path), || ());
    std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
}

/// How a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// The header told it.
    Reader,
    /// llama.cpp or the engine told it.
    Told,
    /// The process that tried died.
    Died,
    /// It answers.
    Answers,
}

fn meet(path: &Path) -> (End, String) {
    let one_line = |error: &ModelError| {
        let text = error.to_string();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
        text
    };
    if let Err(error) = Header::read(path) {
        return (End::Reader, one_line(&error));
    }
    match trial::vet_remembering(None, path, this_program(path)) {
        Ok(_) => {}
        Err(error @ ModelError::Crashes { .. }) => return (End::Died, one_line(&error)),
        Err(error) => return (End::Told, one_line(&error)),
    }
    let options =
        LlamaOptions { context: Some(256), sequences: Some(2), ..LlamaOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // What passed its trial with a context of its own may refuse this one, with one line.
    let model = match Llama::load(path, options) {
        Ok(model) => model,
        Err(error) => return (End::Told, one_line(&error)),
    };
    let request = Request::new(vec![Message::user("What is my balance?")]).max_tokens(4);
    // Broken weights give numbers that are none, and not for every text.
    match runtime.block_on(model.generate(request)) {
        Ok(reply) => (End::Answers, reply.text),
        Err(error) => (End::Told, one_line(&error)),
    }
}

#[test]
fn hostile_files_end_with_a_clear_line_or_a_model_that_answers() {
    let cases: usize = std::env::var("MARQUE_HOSTILE").map_or(1_000, |n| n.parse().unwrap());
    let seed = std::env::var("MARQUE_SEED").map_or_else(|_| rand_seed(), |n| n.parse().unwrap());
    println!("MARQUE_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.gguf");
    Synthetic::small(Format::Q4KM).write(&other).unwrap();
    let places = [Places::of(MODEL), Places::of(&std::fs::read(&other).unwrap())];
    // One case alone: MARQUE_CASE=N with its seed.
    let only: Option<usize> = std::env::var("MARQUE_CASE").ok().map(|n| n.parse().unwrap());
    let next = AtomicUsize::new(only.unwrap_or(0));
    let cases = only.map_or(cases, |only| only + 1);
    let ends: Mutex<BTreeMap<(&str, End), usize>> = Mutex::new(BTreeMap::new());
    let reasons: Mutex<BTreeMap<(End, String), Vec<usize>>> = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let path = folder.path().join(format!("{worker}.gguf"));
            let (next, ends, reasons, places) = (&next, &ends, &reasons, &places);
            scope.spawn(move || {
                loop {
                    let case = next.fetch_add(1, Ordering::Relaxed);
                    if case >= cases {
                        return;
                    }
                    let mut random =
                        Random(seed ^ (case as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                    let places = &places[random.below(places.len())];
                    let (kind, bytes) = places.mutate(case, &mut random);
                    std::fs::write(&path, bytes).unwrap();
                    let (end, words) = meet(&path);
                    *ends.lock().unwrap().entry((kind, end)).or_default() += 1;
                    if matches!(end, End::Died | End::Told) {
                        let words = words.replace(path.to_str().unwrap(), "X");
                        reasons.lock().unwrap().entry((end, words)).or_default().push(case);
                    }
                }
            });
        }
    });
    let ends = ends.into_inner().unwrap();
    let count = |wanted| ends.iter().filter(|((_, end), _)| *end == wanted).map(|(_, n)| n).sum();
    let (reader, told): (usize, usize) = (count(End::Reader), count(End::Told));
    let (died, answers): (usize, usize) = (count(End::Died), count(End::Answers));
    println!(
        "{cases} hostile files: {reader} refused by the reader, {told} by llama.cpp or the engine, {died} killed \
         the process that tried them, {answers} answer"
    );
    for ((kind, end), number) in &ends {
        println!("  {kind:<16} {end:?}: {number}");
    }
    for ((end, reason), cases) in reasons.into_inner().unwrap() {
        println!("  {end:?}, {} x, as case {}: {reason}", cases.len(), cases[0]);
    }
    if only.is_some() {
        return;
    }
    assert_eq!(reader + told + died + answers, cases);
    // Neither the mutations nor the reader have gone blind.
    assert!(reader > cases / 5 && answers > cases / 10, "{ends:?}");
}

#[test]
fn a_file_that_kills_llama_cpp_is_told_as_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deadly.gguf");
    std::fs::write(&path, deadly()).unwrap();
    assert!(Header::read(&path).is_ok());
    match trial::vet_remembering(None, &path, this_program(&path)).unwrap_err() {
        ModelError::Crashes { reason, .. } => assert!(reason.contains("SIG"), "{reason}"),
        error => panic!("{error}"),
    }
}

#[test]
fn what_has_passed_is_remembered_until_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let tried = folder.path().join("tried");
    Synthetic::small(Format::Q8_0).write(&path).unwrap();
    let vet = || trial::vet_remembering(Some(&tried), &path, this_program(&path));
    assert!(matches!(vet().unwrap(), Vetted::Passed(_)));
    assert_eq!(vet().unwrap(), Vetted::Remembered);
    // The same bytes, written anew.
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(vet().unwrap(), Vetted::Passed(_)));
    // One that failed is tried again each time.
    std::fs::write(&path, deadly()).unwrap();
    for _ in 0..2 {
        assert!(matches!(vet(), Err(ModelError::Crashes { .. })));
    }
    let built_in = Llama::built_in_path().unwrap();
    assert_eq!(trial::vet(&built_in, Command::new("/nowhere")).unwrap(), Vetted::BuiltIn);
}

#[test]
fn a_trial_that_cannot_be_made_is_no_pass() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    Synthetic::small(Format::Q4_0).write(&path).unwrap();
    let vet = |program| trial::vet_remembering(None, &path, Command::new(program));
    let error = vet("/nowhere").unwrap_err().to_string();
    assert!(error.contains("cannot be started"), "{error}");
    // A program that ends well and has tried nothing.
    let error = vet("true").unwrap_err().to_string();
    assert!(error.contains("makes llama.cpp crash"), "{error}");
}

/// The built-in model with a matrix of whole numbers, for which llama.cpp has no multiplication.
fn deadly() -> Vec<u8> {
    let places = Places::of(MODEL);
    let mut file = MODEL.to_vec();
    let name = b"blk.0.attn_q.weight";
    let number = Header::read(Llama::built_in_path().unwrap()).unwrap();
    let number = number.tensors().iter().position(|tensor| tensor.name.as_bytes() == name);
    places.store_as(&mut file, number.unwrap(), 26, &mut Random(1));
    file
}

fn rand_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().subsec_nanos().into()
}
