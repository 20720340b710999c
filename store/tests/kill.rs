//! A writer is killed again and again with SIGKILL; whatever it said was flushed is there.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests fail like tests")]

use marque_store::{Backend, open};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const DIR: &str = "MARQUE_STORE_KILL_DIR";
const PATIENCE: Duration = Duration::from_secs(60);

/// What a writer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Opening,
    Open,
    Acknowledged(u64),
}

const BACKEND: &str = "MARQUE_STORE_KILL_BACKEND";

/// Not a test of its own: the process that the tests below start and kill.
#[test]
fn the_writer_that_is_killed() {
    let (Ok(dir), Ok(backend)) = (std::env::var(DIR), std::env::var(BACKEND)) else { return };
    let backend = if backend == "redb" { Backend::Redb } else { Backend::Sled };
    let mut out = std::io::stdout();
    writeln!(out, "opening").unwrap();
    out.flush().unwrap();
    let store = open(Path::new(&dir), backend).unwrap();
    writeln!(out, "open").unwrap();
    out.flush().unwrap();
    for seq in store.high_water().unwrap() + 1.. {
        let record = (format!("{seq:08}").into_bytes(), Some(seq.to_string().repeat(40).into()));
        let newest = (b"newest".to_vec(), Some(seq.to_string().into()));
        store.put_with_high_water(&[record, newest], seq).unwrap();
        store.flush().unwrap();
        writeln!(out, "acknowledged {seq}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn what_sled_acknowledged_survives_kills() {
    survives_kills(Backend::Sled);
}

#[test]
fn what_redb_acknowledged_survives_kills() {
    survives_kills(Backend::Redb);
}

/// Kills at every stage of making a store: the next opener finds nothing in its way.
#[test]
fn a_creation_that_was_killed_is_begun_again() {
    for backend in [Backend::Sled, Backend::Redb] {
        for delay in (2..50).step_by(2) {
            let dir = tempfile::tempdir().unwrap();
            let mut writer = start(dir.path(), backend);
            thread::sleep(Duration::from_millis(delay));
            writer.kill().unwrap();
            writer.wait().unwrap();
            open(dir.path(), backend).unwrap();
        }
    }
}

fn start(dir: &Path, backend: Backend) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_writer_that_is_killed", "--nocapture"])
        .env(DIR, dir)
        .env(BACKEND, backend.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn survives_kills(backend: Backend) {
    let kills = std::env::var("MARQUE_KILLS").map_or(20, |kills| kills.parse::<u64>().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let (mut acknowledged, mut opening) = (0, 0);
    for kill in 0..kills {
        let mut writer = start(dir.path(), backend);
        let (said, heard) = mpsc::channel();
        let out = BufReader::new(writer.stdout.take().unwrap());
        let listener = thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // The test harness prints its own words in front of the first line.
                let heard = if line.ends_with("opening") {
                    Heard::Opening
                } else if line == "open" {
                    Heard::Open
                } else if let Some((_, seq)) = line.split_once("acknowledged ") {
                    Heard::Acknowledged(seq.parse().unwrap())
                } else {
                    continue;
                };
                said.send(heard).unwrap();
            }
        });
        // Every other kill falls into opening or soon after, the rest into writing.
        let mut last = heard.recv_timeout(PATIENCE).unwrap();
        while kill % 2 == 0 && !matches!(last, Heard::Acknowledged(_)) {
            last = heard.recv_timeout(PATIENCE).unwrap();
        }
        if let Heard::Acknowledged(seq) = last {
            acknowledged = seq;
        }
        let pause = if kill % 2 == 0 { kill * 37_000 % 100_000 } else { kill * 370 % 10_000 };
        thread::sleep(Duration::from_micros(pause));
        writer.kill().unwrap();
        writer.wait().unwrap();
        listener.join().unwrap();
        for heard in heard.try_iter() {
            last = heard;
            if let Heard::Acknowledged(seq) = heard {
                acknowledged = seq;
            }
        }
        opening += u64::from(last == Heard::Opening);

        let store = open(dir.path(), backend).unwrap();
        let high_water = store.high_water().unwrap();
        assert!(high_water >= acknowledged, "{high_water} of {acknowledged} are left");
        let records = store.scan(b"0").unwrap();
        assert_eq!(records.len() as u64, high_water, "a batch is whole or not there");
        for (seq, (key, value)) in (1_u64..).zip(records) {
            assert_eq!(key, format!("{seq:08}").into_bytes());
            assert_eq!(value, seq.to_string().repeat(40).into_bytes());
        }
        let newest = store.get(b"newest").unwrap().map(|seq| String::from_utf8(seq).unwrap());
        assert_eq!(newest, (high_water > 0).then(|| high_water.to_string()));
    }
    println!(
        "{backend}: {kills} kills, {opening} of them while opening, {acknowledged} acknowledged, none \
         lost, always opened"
    );
    assert!(kills < 1_000 || opening >= 200, "{opening} kills while opening");
}
