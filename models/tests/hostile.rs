//! A thousand files that were damaged by chance or on purpose: each ends with one clear line or with
//! a model that answers, and this process lives.
//!
//! `MARQUE_HOSTILE=10000` for more; the seed is printed, and `MARQUE_SEED` repeats it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]
#![expect(clippy::print_stdout, reason = "the figures are worth reading")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use marque_models::gguf::{Header, TensorType};
use marque_models::synthetic::{Format, Synthetic};
use marque_models::trial::{self, Vetted};
use marque_models::{Llama, LlamaOptions, Message, Model, ModelError, Request};

const MODEL: &[u8] = include_bytes!("../built-in/tiny-agent.gguf");
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
    let code = trial::attempt(Path::new(&path));
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
    let places = Places::of(MODEL);
    let next = AtomicUsize::new(0);
    let ends: Mutex<BTreeMap<(&str, End), usize>> = Mutex::new(BTreeMap::new());
    let reasons: Mutex<BTreeMap<(End, String), usize>> = Mutex::new(BTreeMap::new());
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
                    let (kind, bytes) = places.mutate(case, &mut random);
                    std::fs::write(&path, bytes).unwrap();
                    let (end, words) = meet(&path);
                    *ends.lock().unwrap().entry((kind, end)).or_default() += 1;
                    if matches!(end, End::Died | End::Told) {
                        let words = words.replace(path.to_str().unwrap(), "X");
                        *reasons.lock().unwrap().entry((end, words)).or_default() += 1;
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
    for ((end, reason), number) in reasons.into_inner().unwrap() {
        println!("  {end:?}, {number} x {reason}");
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

/// A number that stands somewhere in a header.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: usize,
    width: usize,
}

/// Where the numbers of a header stand, by what they mean.
struct Places {
    file: Vec<u8>,
    /// Counts and lengths.
    sizes: Vec<Place>,
    /// Figures of the model: values of 32 bits.
    figures: Vec<Place>,
    /// Kinds of values, and number formats of tensors.
    kinds: Vec<Place>,
    formats: Vec<Place>,
    dimensions: Vec<Place>,
    offsets: Vec<Place>,
    /// Where the header ends, and where the data begin.
    end: usize,
    data: usize,
}

impl Places {
    /// Reads a whole file that is as it should be.
    fn of(file: &[u8]) -> Self {
        let mut places = Self {
            file: file.to_vec(),
            sizes: vec![Place { at: 8, width: 8 }, Place { at: 16, width: 8 }],
            figures: Vec::new(),
            kinds: Vec::new(),
            formats: Vec::new(),
            dimensions: Vec::new(),
            offsets: Vec::new(),
            end: 0,
            data: 0,
        };
        let mut at = 24;
        for _ in 0..u64_at(file, 16) {
            places.text(&mut at);
            places.kinds.push(Place { at, width: 4 });
            let kind = u32_at(file, at);
            at += 4;
            places.value(kind, &mut at);
        }
        for _ in 0..u64_at(file, 8) {
            places.text(&mut at);
            places.sizes.push(Place { at, width: 4 });
            let dimensions = u32_at(file, at);
            at += 4;
            for _ in 0..dimensions {
                places.dimensions.push(Place { at, width: 8 });
                at += 8;
            }
            places.formats.push(Place { at, width: 4 });
            places.offsets.push(Place { at: at + 4, width: 8 });
            at += 12;
        }
        places.end = at;
        places.data = at.next_multiple_of(32);
        places
    }

    fn text(&mut self, at: &mut usize) {
        self.sizes.push(Place { at: *at, width: 8 });
        *at += 8 + usize::try_from(u64_at(&self.file, *at)).unwrap();
    }

    fn value(&mut self, kind: u32, at: &mut usize) {
        match kind {
            8 => self.text(at),
            9 => {
                let element = u32_at(&self.file, *at);
                self.kinds.push(Place { at: *at, width: 4 });
                self.sizes.push(Place { at: *at + 4, width: 8 });
                let count = u64_at(&self.file, *at + 4);
                *at += 12;
                for _ in 0..count {
                    // One place in a hundred is enough of a vocabulary.
                    let (sizes, figures) = (self.sizes.len(), self.figures.len());
                    self.value(element, at);
                    if !at.is_multiple_of(97) {
                        self.sizes.truncate(sizes);
                        self.figures.truncate(figures);
                    }
                }
            }
            0 | 1 | 7 => *at += 1,
            2 | 3 => *at += 2,
            4..=6 => {
                self.figures.push(Place { at: *at, width: 4 });
                *at += 4;
            }
            _ => *at += 8,
        }
    }

    /// A kind of damage, and the file that has it.
    fn mutate(&self, case: usize, random: &mut Random) -> (&'static str, Vec<u8>) {
        let mut file = self.file.clone();
        let length = file.len();
        let kind = match case % 8 {
            0 => {
                file.truncate(random.below(length));
                "cut"
            }
            1 => {
                for _ in 0..=random.below(3) {
                    file[random.below(self.end)] ^= 1 << random.below(8);
                }
                "flip in header"
            }
            2 => {
                let place = random.pick(&self.sizes);
                put(&mut file, place, random.absurd(read(&self.file, place)));
                "size"
            }
            3 => {
                let place = random.pick(&self.figures);
                put(&mut file, place, random.absurd(read(&self.file, place)));
                "figure"
            }
            4 => {
                let place = random.pick(&self.kinds);
                put(&mut file, place, random.below(14) as u64);
                "kind of a value"
            }
            5 => {
                self.other_format(&mut file, random);
                "number format"
            }
            6 => {
                let places = [&self.dimensions, &self.offsets][random.below(2)];
                let place = random.pick(places);
                put(&mut file, place, random.absurd(read(&self.file, place)));
                "tensor"
            }
            _ => {
                for _ in 0..=random.below(64) {
                    let at = self.data + random.below(length - self.data);
                    // Not-a-number and infinity among them.
                    file[at] = [0xff, 0x7f, 0x7c, 0xfc, random.next() as u8][random.below(5)];
                }
                "weights"
            }
        };
        (kind, file)
    }

    /// Gives a tensor another format, and half of the time room for it.
    fn other_format(&self, file: &mut Vec<u8>, random: &mut Random) {
        let number = random.below(self.formats.len());
        let wanted = u32::try_from(random.below(44)).unwrap();
        if random.below(2) == 0 && TensorType::from_number(wanted).is_some() {
            self.store_as(file, number, wanted, random);
        } else {
            put(file, self.formats[number], wanted.into());
        }
    }

    /// Gives a tensor another format and room for it, so that what follows lies where it should.
    fn store_as(&self, file: &mut Vec<u8>, number: usize, wanted: u32, random: &mut Random) {
        let place = self.formats[number];
        let old = TensorType::from_number(u32_at(file, place.at)).unwrap();
        let new = TensorType::from_number(wanted).unwrap();
        put(file, place, wanted.into());
        let begin = |number: usize| {
            let place = self.offsets.get(number)?;
            usize::try_from(u64_at(&self.file, place.at)).ok()
        };
        let from = begin(number).unwrap();
        let till = begin(number + 1).unwrap_or(self.file.len() - self.data);
        let blocks = (till - from) as u64 / old.block_bytes() * old.block() / new.block();
        let room = usize::try_from(blocks * new.block_bytes()).unwrap().next_multiple_of(32);
        let noise = (0..room).map(|_| random.next() as u8);
        file.splice(self.data + from..self.data + till, noise);
        for place in &self.offsets[number + 1..] {
            let moved = u64_at(&self.file, place.at) + room as u64 - (till - from) as u64;
            put(file, *place, moved);
        }
    }
}

fn u32_at(file: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(file[at..at + 4].try_into().unwrap())
}

fn u64_at(file: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(file[at..at + 8].try_into().unwrap())
}

fn read(file: &[u8], place: Place) -> u64 {
    if place.width == 4 { u32_at(file, place.at).into() } else { u64_at(file, place.at) }
}

fn put(file: &mut [u8], place: Place, value: u64) {
    file[place.at..place.at + place.width].copy_from_slice(&value.to_le_bytes()[..place.width]);
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn pick(&mut self, places: &[Place]) -> Place {
        places[self.below(places.len())]
    }

    /// A number that somebody has not thought of.
    fn absurd(&mut self, number: u64) -> u64 {
        let choices = [
            0,
            1,
            2,
            3,
            7,
            255,
            number.wrapping_add(1),
            number.wrapping_sub(1),
            number.wrapping_mul(2),
            number / 2,
            1 << 20,
            1 << 31,
            u64::from(u32::MAX),
            1 << 40,
            1 << 62,
            u64::MAX,
            self.next(),
        ];
        choices[self.below(choices.len())]
    }
}

fn rand_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().subsec_nanos().into()
}
