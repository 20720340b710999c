//! The laws of the fuzz targets (`payments/fuzz`) without a fuzzer: every kept input, and inputs made
//! from them by a mutator that knows JSON and the words in which sellers lie.
//!
//! `MARQUE_CASES` mutations of each target are tried, 2,000 where it does not say; the seed is printed
//! and `MARQUE_SEED` repeats it.

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "the fuzzer includes it as a crate of its own")]
mod targets;

use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Instant, SystemTime, UNIX_EPOCH},
};
use targets::TARGETS;

/// What mutations write: what is right elsewhere, and what is nearly right.
fn words() -> Vec<Value> {
    let texts = [
        "U",
        "S",
        "T",
        "N",
        "M",
        "",
        " ",
        "0",
        "1",
        "20000",
        "50000",
        "50001",
        "020000",
        "-1",
        "1e4",
        "0x4e20",
        "exact",
        "upto",
        "EXACT",
        "eip3009",
        "permit2",
        "erc7710",
        "USDC",
        "2",
        "2.0",
        "eip155:1",
        "eip155:084532",
        "eip155:84532",
        "eip712",
        "jws",
        "x.eyJ9.y",
        "payment_required",
        "input-required",
        "https://feed.example/wind",
        "https://feed.example/gold",
        "https://other.example/wind",
        "https://feed.example:8443/wind",
        "http://feed.example/wind",
        "https://feed.example@other.example/wind",
        "mcp://tool/wind",
        "mcp://feed.example/wind",
        "mcp://other.example/wind",
        "0x0000000000000000000000000000000000000000",
        "0x7777777777777777777777777777777777777777",
        "0x7878787878787878787878787878787878787878",
        "0x036cbd53842c5426634e7929541ec2318f3dcf7e",
        "0x5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
        "0x0x5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
        "0x12",
        "\u{421}",
        "\n",
        "\u{0}",
        "115792089237316195423570985008687907853269984665640564039457584007913129639935",
        "115792089237316195423570985008687907853269984665640564039457584007913129639936",
    ];
    let mut words: Vec<Value> = texts.into_iter().map(Value::from).collect();
    words.extend([
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(2),
        json!(60),
        json!(86_400),
        json!(86_401),
        json!(-1),
        json!(0.5),
        json!(u64::MAX),
        json!([]),
        json!({}),
    ]);
    words
}

/// Names that mutations write fields under.
const NAMES: [&str; 26] = [
    "x402Version",
    "resource",
    "url",
    "accepts",
    "scheme",
    "network",
    "amount",
    "asset",
    "payTo",
    "maxTimeoutSeconds",
    "extra",
    "name",
    "version",
    "assetTransferMethod",
    "facilitatorAddress",
    "extensions",
    "payment-identifier",
    "info",
    "id",
    "required",
    "success",
    "transaction",
    "payer",
    "error",
    "payload",
    "acceptIndex",
];

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Changes one place of a JSON value.
fn change(value: &mut Value, words: &[Value], dice: &mut Dice) {
    match value {
        Value::Object(fields) if !fields.is_empty() && dice.below(8) != 0 => {
            let keys: Vec<String> = fields.keys().cloned().collect();
            let key = dice.pick(&keys).clone();
            match dice.below(12) {
                0 => drop(fields.remove(&key)),
                1 => drop(fields.insert((*dice.pick(&NAMES)).to_owned(), dice.pick(words).clone())),
                2 => {
                    let moved = fields.remove(&key).unwrap_or_default();
                    fields.insert((*dice.pick(&NAMES)).to_owned(), moved);
                }
                _ => change(fields.get_mut(&key).unwrap(), words, dice),
            }
        }
        Value::Array(list) if !list.is_empty() && dice.below(8) != 0 => {
            let at = dice.below(list.len());
            match dice.below(8) {
                0 => drop(list.remove(at)),
                1 => list.push(list[at].clone()),
                2 => list.insert(at, dice.pick(words).clone()),
                _ => change(&mut list[at], words, dice),
            }
        }
        Value::String(text) if dice.below(2) == 0 => {
            let at: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
            let place = at.get(dice.below(at.len() + 1)).copied().unwrap_or(text.len());
            match dice.below(3) {
                0 => text.insert(place, *dice.pick(&['0', 'x', ' ', '.', '@', '/', 'е', 'F'])),
                1 => text.truncate(place),
                _ if place < text.len() => drop(text.remove(place)),
                _ => text.push_str("/.."),
            }
        }
        _ => *value = dice.pick(words).clone(),
    }
}

/// Flips, cuts, doubles and inserts bytes.
fn scramble(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    match dice.below(5) {
        0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        1 => bytes.truncate(at),
        2 => {
            let tail = bytes[at..].to_vec();
            bytes.extend(tail);
        }
        3 => drop(bytes.splice(at..at, b"\\//:@[]".iter().copied().take(dice.below(4)))),
        _ => bytes.insert(at, u8::try_from(dice.below(256)).unwrap()),
    }
}

fn mutated(kept: &[Vec<u8>], words: &[Value], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = dice.pick(kept).clone();
    // The header's inputs begin with a digit that says which message they are.
    let lead = usize::from(bytes.first().is_some_and(u8::is_ascii_digit));
    match serde_json::from_slice::<Value>(&bytes[lead..]) {
        Ok(mut value) if dice.below(8) != 0 => {
            for _ in 0..=dice.below(4) {
                change(&mut value, words, dice);
            }
            bytes.truncate(lead);
            bytes.extend(value.to_string().into_bytes());
        }
        _ => (0..=dice.below(6)).for_each(|_| scramble(&mut bytes, dice)),
    }
    bytes.truncate(6_000);
    bytes
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn no_input_that_was_kept_or_made_from_one_breaks_a_law() {
    let cases: u64 = std::env::var("MARQUE_CASES").map_or(2_000, |text| text.parse().unwrap());
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let seed = std::env::var("MARQUE_SEED").map_or_else(
        |_| u64::try_from(clock() & u128::from(u64::MAX)).unwrap(),
        |text| u64::from_str_radix(&text, 16).unwrap(),
    );
    println!("seed {seed:016x}");
    let words = words();
    for (name, run) in TARGETS {
        let kept = corpus(name);
        assert!(!kept.is_empty(), "{name} has no corpus");
        kept.iter().for_each(|input| run(input));
        let mut dice = Dice(seed);
        let begun = Instant::now();
        for case in 0..cases {
            let input = mutated(&kept, &words, &mut dice);
            let done = std::panic::catch_unwind(|| run(&input));
            assert!(
                done.is_ok(),
                "{name}, case {case} of seed {seed:016x}: {:?}",
                String::from_utf8_lossy(&input)
            );
        }
        println!("{name}: {cases} inputs in {:.1} s", begun.elapsed().as_secs_f64());
    }
}

#[test]
fn the_seeds_reach_what_the_laws_are_about() {
    // A target that turns everything down early would hold to any law.
    for (name, accepted) in [("choice", 3), ("terms", 3), ("settlement", 2)] {
        let reached = corpus(name).iter().filter(|input| targets::reaches(name, input)).count();
        assert!(reached >= accepted, "{name}: only {reached} seeds are accepted");
    }
}
