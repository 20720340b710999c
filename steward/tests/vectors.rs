//! The test vectors of `docs/journal.md`, read by a verifier that was written from that page alone
//! and shares no code with ours.
//!
//! `MARQUE_WRITE_VECTORS=1` writes them anew.

#![cfg(test)]

use base64_of::{decode, encode};
use ed25519_dalek::{Signature, VerifyingKey};
use marque_steward::journal::{self, InclusionProof, Journal, LogKey, LogSigner, Origin};
use secrecy::SecretBox;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
};

const ORIGIN: [u8; 32] = [0x4d; 32];

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn signer() -> LogSigner {
    LogSigner::from_secret(&SecretBox::new(Box::new([0x5e; 32])))
}

/// Twenty entries, the longest of 200 bytes.
fn entries() -> Vec<Vec<u8>> {
    let text = |n: usize| format!(r#"{{"n":{n},"pad":"{}"}}"#, "~".repeat(n * 37 % 180));
    (0..20).map(|n| text(n).into_bytes()).collect()
}

#[test]
fn the_vectors_are_what_this_version_writes() {
    let made = tempfile::tempdir().unwrap();
    let dir = made.path().join("journal");
    let mut journal = Journal::create(&dir, Origin(ORIGIN.into()), signer()).unwrap();
    journal.rotate_at(800);
    let mut roots = vec![journal.root()];
    for entry in entries() {
        journal.append(&[entry]).unwrap();
        roots.push(journal.root());
    }
    drop(journal);
    fs::remove_file(dir.join("reserve")).unwrap();
    for width in 1..20 {
        fs::remove_file(dir.join(format!("tile/0/000.p/{width}"))).unwrap();
    }
    let key = signer().key(Origin(ORIGIN.into())).unwrap();
    let proof = journal::inclusion_proof(&dir, 13, &key).unwrap().to_string();
    fs::write(made.path().join("13.tlog-proof"), &proof).unwrap();
    let expected = json!({ "key": key.to_string(), "roots": roots });
    let expected = serde_json::to_string_pretty(&expected).unwrap() + "\n";
    fs::write(made.path().join("expected.json"), expected).unwrap();
    if std::env::var_os("MARQUE_WRITE_VECTORS").is_some() {
        drop(fs::remove_dir_all(vectors()));
        copy(made.path(), &vectors());
    }
    same(&vectors(), made.path());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(|file| file.unwrap()) {
        let to = to.join(file.file_name());
        if file.path().is_dir() { copy(&file.path(), &to) } else { drop(fs::copy(file.path(), to)) }
    }
}

fn same(one: &Path, other: &Path) {
    let names = |dir: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(one), names(other), "{}", one.display());
    for name in names(one) {
        let (one, other) = (one.join(&name), other.join(&name));
        if one.is_dir() {
            same(&one, &other);
        } else {
            assert_eq!(fs::read(&one).unwrap(), fs::read(other).unwrap(), "{}", one.display());
        }
    }
}

#[test]
fn a_verifier_written_from_the_page_finds_what_the_vectors_say() {
    let expected: Value =
        serde_json::from_slice(&fs::read(vectors().join("expected.json")).unwrap()).unwrap();
    let key = expected["key"].as_str().unwrap();
    let found = strange::read(&vectors().join("journal/entries"), key);
    assert_eq!(found, entries());
    let root = |n: u64| {
        let root = expected["roots"][usize::try_from(n).unwrap()].as_str().unwrap();
        alloy_primitives::hex::decode(root).unwrap()
    };
    for n in 0..=found.len() {
        assert_eq!(strange::root(&found[..n]).to_vec(), root(n as u64), "{n} entries");
    }
    let text = fs::read_to_string(vectors().join("journal/checkpoint")).unwrap();
    let (size, signed) = strange::checkpoint(&text, key);
    assert_eq!((size, signed), (20, root(20)));
    // Ours reads the same from the same files.
    let key: LogKey = key.parse().unwrap();
    let verified = journal::verify(&vectors().join("journal"), &key).unwrap();
    assert_eq!((verified.size, verified.entries), (20, entries()));
    let proof = fs::read_to_string(vectors().join("13.tlog-proof")).unwrap();
    proof.parse::<InclusionProof>().unwrap().check(&entries()[13], &key).unwrap();
    strange::prove(&proof, &entries()[13], 13, 20, &root(20));
}

/// Another verifier.
mod strange {
    use super::*;

    /// Entries of a folder of segments, each group under its seal.
    pub(super) fn read(dir: &Path, key: &str) -> Vec<Vec<u8>> {
        let log = key.split_once('+').unwrap().0;
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        assert!(names.len() > 2, "there are several segments");
        let mut entries = Vec::new();
        for name in names {
            let bytes = fs::read(dir.join(&name)).unwrap();
            assert_eq!(name.to_str().unwrap(), format!("{:020}.seg", entries.len()));
            assert_eq!(&bytes[..12], b"MARQUEJ\n\0\0\0\x02");
            assert_eq!(bytes[12..44], ORIGIN);
            assert_eq!(bytes[44..52], (entries.len() as u64).to_be_bytes());
            assert_eq!(bytes[52..56], crc32c::crc32c(&bytes[..52]).to_be_bytes());
            let (mut at, mut sealed) = (56, entries.len());
            while at < bytes.len() {
                let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
                let (len, crc) = (word(at), word(at + 4));
                if len == 0x8000_0040 {
                    let seal = &bytes[at + 8..at + 72];
                    assert_eq!(crc32c::crc32c(seal), crc);
                    let root = encode(&root(&entries));
                    signed(key, &format!("{log}\n{}\n{root}\n", entries.len()), seal);
                    (at, sealed) = (at + 72, entries.len());
                    continue;
                }
                let len = len as usize;
                let entry = &bytes[at + 8..at + 8 + len];
                assert_eq!(crc32c::crc32c(entry), crc);
                entries.push(entry.to_vec());
                at += 8 + len;
            }
            assert_eq!(sealed, entries.len(), "{name:?}");
        }
        entries
    }

    /// Whether the key signed a text.
    fn signed(key: &str, text: &str, signature: &[u8]) {
        let public = decode(key.splitn(3, '+').last().unwrap());
        let signature = Signature::from_slice(signature).unwrap();
        let public = VerifyingKey::from_bytes(public[1..].try_into().unwrap()).unwrap();
        public.verify_strict(text.as_bytes(), &signature).unwrap();
    }

    fn hash(tag: u8, parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update([tag]);
        parts.iter().for_each(|part| hash.update(part));
        hash.finalize().into()
    }

    pub(super) fn root(entries: &[Vec<u8>]) -> [u8; 32] {
        match entries {
            [] => Sha256::digest([]).into(),
            [one] => hash(0, &[one]),
            more => {
                let half = more.len().next_power_of_two() / 2;
                hash(1, &[&root(&more[..half]), &root(&more[half..])])
            }
        }
    }

    pub(super) fn checkpoint(text: &str, key: &str) -> (u64, Vec<u8>) {
        let (name, rest) = key.split_once('+').unwrap();
        let (id, public) = rest.split_once('+').unwrap();
        let public = decode(public);
        assert_eq!(public[0], 1);
        let named = [name.as_bytes(), b"\n", &public].concat();
        assert_eq!(id, alloy_primitives::hex::encode(&Sha256::digest(named)[..4]));
        let (body, signature) = text.split_once("\n\n").unwrap();
        let signature = signature.strip_prefix(&format!("\u{2014} {name} ")).unwrap();
        let signature = decode(signature.trim_end());
        assert_eq!(alloy_primitives::hex::encode(&signature[..4]), id);
        signed(key, &format!("{body}\n"), &signature[4..]);
        let lines: Vec<_> = body.lines().collect();
        assert_eq!((lines[0], lines.len()), (name, 3));
        (lines[1].parse().unwrap(), decode(lines[2]))
    }

    /// RFC 9162, 2.1.3.2.
    pub(super) fn prove(text: &str, entry: &[u8], index: u64, size: u64, root: &[u8]) {
        let head = text.split_once("\n\n").unwrap().0;
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
        assert_eq!(lines.next(), Some(format!("index {index}").as_str()));
        let (mut n, mut last, mut node) = (index, size - 1, hash(0, &[entry]));
        for sibling in lines.map(decode) {
            assert_ne!(last, 0);
            if n & 1 == 1 || n == last {
                node = hash(1, &[&sibling, &node]);
                while n & 1 == 0 && n != 0 {
                    n >>= 1;
                    last >>= 1;
                }
            } else {
                node = hash(1, &[&node, &sibling]);
            }
            n >>= 1;
            last >>= 1;
        }
        assert_eq!((last, node.as_slice()), (0, root));
    }
}

mod base64_of {
    pub(super) fn encode(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let four = |three: &[u8]| {
            let word =
                (0..3).fold(0, |word, n| word << 8 | usize::from(*three.get(n).unwrap_or(&0)));
            let digit = |n: usize| match n <= three.len() {
                true => char::from(DIGITS[word >> (18 - 6 * n) & 63]),
                false => '=',
            };
            [0, 1, 2, 3].map(digit)
        };
        bytes.chunks(3).flat_map(four).collect()
    }

    /// Standard base64 with padding.
    pub(super) fn decode(text: &str) -> Vec<u8> {
        let value = |c: u8| match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => panic!("not base64: {text}"),
        };
        let digits = text.trim_end_matches('=').bytes().map(|c| u32::from(value(c)));
        let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
        for digit in digits {
            bits = bits << 6 | digit;
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes.push(u8::try_from(bits >> held & 0xff).unwrap());
            }
            bits &= (1 << held) - 1;
        }
        bytes
    }
}
