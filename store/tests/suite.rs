//! What every backend has to do, run over each.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use marque_store::{Backend, MAX_KEY, MAX_VALUE, Pair, Store, StoreError, Write, open};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const BACKENDS: [Backend; 2] = [Backend::Sled, Backend::Redb];

fn put(key: &str, value: &str) -> Write {
    (key.into(), Some(value.into()))
}

fn pair(key: &str, value: &str) -> Pair {
    (key.into(), value.into())
}

#[test]
fn what_was_written_is_read_and_scanned_in_key_order() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), backend).unwrap();
        store.put_batch(&[put("b/2", "two"), put("a/1", ""), put("b/1", "one")]).unwrap();
        assert_eq!(store.get(b"a/1").unwrap().unwrap(), b"");
        assert_eq!(store.get(b"c").unwrap(), None);
        assert_eq!(store.scan(b"b/").unwrap(), [pair("b/1", "one"), pair("b/2", "two")]);
        assert_eq!(store.scan(b"").unwrap().len(), 3);
        store.check().unwrap();
    }
}

#[test]
fn the_last_write_of_a_key_in_a_batch_wins() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), backend).unwrap();
        let gone = (b"b".to_vec(), None);
        store.put_batch(&[put("a", "1"), put("a", "2"), put("b", "1"), gone]).unwrap();
        assert_eq!(store.scan(b"").unwrap(), [pair("a", "2")]);
        store.check().unwrap();
    }
}

#[test]
fn a_reopened_store_is_the_one_that_was_flushed() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let mut expected = BTreeMap::new();
        let store = open(dir.path(), backend).unwrap();
        assert_eq!(store.high_water().unwrap(), 0);
        for seq in 1..=300_u64 {
            let key = format!("{:03}", seq * 7 % 200);
            let value = (seq % 5 != 0).then(|| key.repeat(usize::try_from(seq).unwrap()));
            store
                .put_with_high_water(&[(key.clone().into(), value.clone().map(Into::into))], seq)
                .unwrap();
            match value {
                Some(value) => expected.insert(key, value),
                None => expected.remove(&key),
            };
        }
        store.flush().unwrap();
        drop(store);
        let store = open(dir.path(), backend).unwrap();
        assert_eq!(store.high_water().unwrap(), 300);
        let expected: Vec<_> = expected.iter().map(|(key, value)| pair(key, value)).collect();
        assert_eq!(store.scan(b"").unwrap(), expected);
    }
}

#[test]
fn long_values_survive_and_longer_ones_are_refused_without_harm() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), backend).unwrap();
        let long = vec![7; MAX_VALUE];
        // Enough of them that a backend has to put pages of them elsewhere.
        for n in 0..40_u8 {
            store.put_batch(&[(vec![n], Some(long.clone()))]).unwrap();
        }
        store.flush().unwrap();
        let too_long = [(vec![0], None), (vec![1], Some(vec![7; MAX_VALUE + 1]))];
        assert!(matches!(store.put_batch(&too_long), Err(StoreError::TooLong { .. })));
        let too_long = [(vec![0; MAX_KEY + 1], None)];
        assert!(matches!(store.put_batch(&too_long), Err(StoreError::TooLong { .. })));
        drop(store);
        let store = open(dir.path(), backend).unwrap();
        assert_eq!(store.scan(b"").unwrap().len(), 40);
        assert_eq!(store.get(&[0]).unwrap().unwrap(), long);
    }
}

#[test]
fn the_high_water_mark_never_sinks() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), backend).unwrap();
        store.put_with_high_water(&[put("a", "1")], 9).unwrap();
        let error = store.put_with_high_water(&[put("a", "2")], 8).unwrap_err();
        assert!(matches!(error, StoreError::Backwards { have: 9, asked: 8 }), "{error}");
        assert_eq!(store.get(b"a").unwrap().unwrap(), b"1");
        store.put_with_high_water(&[put("a", "3")], 9).unwrap();
        assert_eq!(store.high_water().unwrap(), 9);
    }
}

#[test]
fn a_store_is_open_once() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), backend).unwrap();
        let error = open(dir.path(), backend).unwrap_err();
        assert!(matches!(&error, StoreError::Locked(at) if at == dir.path()), "{error}");
        drop(store);
        open(dir.path(), backend).unwrap();
    }
}

#[test]
fn of_many_that_make_a_store_at_once_nobody_loses_what_was_flushed() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let start = std::sync::Barrier::new(8);
        let write = &|name: String| {
            start.wait();
            match open(dir.path(), backend) {
                Ok(store) => {
                    store.put_batch(&[put(&name, "1")]).unwrap();
                    store.flush().unwrap();
                    Some(name)
                }
                Err(error) => {
                    assert!(matches!(error, StoreError::Locked(_)), "{backend}: {error}");
                    None
                }
            }
        };
        let written: Vec<_> = std::thread::scope(|scope| {
            let work = |name: u32| scope.spawn(move || write(name.to_string()));
            let all: Vec<_> = (0..8).map(work).collect();
            all.into_iter().filter_map(|one| one.join().unwrap()).collect()
        });
        let there = open(dir.path(), backend).unwrap().scan(b"").unwrap();
        let there: Vec<_> = there.into_iter().map(|(key, _)| key).collect();
        assert_eq!(there, written.into_iter().map(String::into_bytes).collect::<Vec<_>>());
    }
}

#[test]
fn a_file_that_is_no_store_is_an_error() {
    for (backend, file) in [(Backend::Sled, "db"), (Backend::Redb, "index.redb")] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), backend).unwrap();
        store.put_batch(&[put("a", "1")]).unwrap();
        store.flush().unwrap();
        drop(store);
        fs::write(dir.path().join(file), vec![0xA5; 1 << 20]).unwrap();
        open(dir.path(), backend).unwrap_err();
    }
}

/// Flips one bit somewhere in a closed store, many times over: the store refuses to open, or it
/// is as it was, or it says that something is damaged. It never answers with other bytes and
/// never forgets a key.
#[test]
fn a_flipped_bit_is_never_served() {
    let flips = std::env::var("MARQUE_FLIPS").map_or(100, |flips| flips.parse().unwrap());
    let mut random = Random(20_26);
    for backend in BACKENDS {
        let home = tempfile::tempdir().unwrap();
        let whole = home.path().join("whole");
        let store = open(&whole, backend).unwrap();
        let expected: Vec<_> = (0..300)
            .map(|n| pair(&format!("key {n:03}"), &format!("value {n} ").repeat(9)))
            .collect();
        for (seq, (key, value)) in (1..).zip(&expected) {
            store.put_with_high_water(&[(key.clone(), Some(value.clone()))], seq).unwrap();
        }
        store.flush().unwrap();
        drop(store);

        let mut found = 0;
        for flip in 0..flips {
            let copy = home.path().join(format!("{flip}"));
            copy_dir(&whole, &copy);
            let files = files(&copy);
            let file = &files[random.below(files.len())];
            let mut bytes = fs::read(file).unwrap();
            // Long runs of zeros are space that nothing was written to; aim at what was.
            let at = loop {
                let at = random.below(bytes.len());
                if bytes[at] != 0 || random.below(16) == 0 {
                    break at;
                }
            };
            bytes[at] ^= 1 << random.below(8);
            fs::write(file, bytes).unwrap();
            let place = format!("{backend}, byte {at} of {}", file.display());
            match open(&copy, backend) {
                Err(_) => found += 1,
                Ok(store) => found += usize::from(!is_whole(store.as_ref(), &expected, &place)),
            }
            fs::remove_dir_all(&copy).unwrap();
        }
        println!("{backend}: {flips} flips, {found} found, {} harmless", flips - found);
        assert!(found > 0, "{backend}: the flips hit nothing");
    }
}

/// Whether everything is there; a wrong answer fails the test, an error is fine.
fn is_whole(store: &dyn Store, expected: &[Pair], place: &str) -> bool {
    for (key, value) in expected {
        match store.get(key) {
            Ok(found) => assert_eq!(found.as_ref(), Some(value), "{place}"),
            Err(_) => return false,
        }
    }
    match store.scan(b"") {
        Ok(pairs) => assert_eq!(pairs, expected, "{place}"),
        Err(_) => return false,
    }
    store.check().is_ok()
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// All files that have something in them, in a fixed order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if fs::metadata(&path).unwrap().len() > 0 {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// xorshift64*: the same flips on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let word = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        usize::try_from(word >> 33).unwrap() % end
    }
}
