//! The power is cut: what the disk has received is all there is, and whatever was flushed is in it.
//!
//! A writer works on an ext4 file system on a loop device. It is stopped, the device's image is
//! copied as it is at that moment, the copy is mounted (which replays the file system's own
//! journal), and the store is opened in it. That models a disk which keeps every block it received;
//! a drive with a volatile cache is worse. sled without our `sync_data` is the control: it has to
//! fail, or the test shows nothing.
//!
//! Needs root, loop devices and mkfs.ext4, so it is run by hand:
//! `MARQUE_CUTS=100 cargo test -p marque-store --test power -- --ignored --nocapture`
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use marque_store::{Backend, StoreError, open};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const DIR: &str = "MARQUE_STORE_POWER_DIR";
const WHO: &str = "MARQUE_STORE_POWER_WHO";

/// Not a test of its own: the writer whose power is cut.
#[test]
fn the_writer_whose_power_is_cut() {
    let (Ok(dir), Ok(who)) = (std::env::var(DIR), std::env::var(WHO)) else { return };
    let dir = Path::new(&dir);
    let mut out = std::io::stdout();
    let mut say = |seq: u64| {
        writeln!(out, "acknowledged {seq}").unwrap();
        out.flush().unwrap();
    };
    if who == "control" {
        let db = control(dir).unwrap();
        for seq in db.len() as u64 + 1.. {
            db.insert(key(seq), value(seq)).unwrap();
            db.flush().unwrap();
            say(seq);
        }
    }
    let store = open(dir, backend(&who)).unwrap();
    for seq in store.high_water().unwrap() + 1.. {
        store.put_with_high_water(&[(key(seq), Some(value(seq)))], seq).unwrap();
        store.flush().unwrap();
        say(seq);
    }
}

fn backend(who: &str) -> Backend {
    if who == "redb" { Backend::Redb } else { Backend::Sled }
}

fn control(dir: &Path) -> sled::Result<sled::Db> {
    sled::Config::new().path(dir.join("raw")).flush_every_ms(None).open()
}

fn key(seq: u64) -> Vec<u8> {
    format!("{seq:08}").into_bytes()
}

fn value(seq: u64) -> Vec<u8> {
    seq.to_string().repeat(40).into_bytes()
}

#[test]
#[ignore = "needs root, loop devices and mkfs.ext4"]
fn what_was_flushed_survives_power_cuts_and_raw_sled_does_not() {
    let cuts = std::env::var("MARQUE_CUTS").map_or(10, |cuts| cuts.parse::<u64>().unwrap());
    let mut control_failed = 0;
    for who in ["sled", "redb", "control"] {
        let (mut acknowledged, mut lost, mut shut) = (0, 0, 0);
        for cut in 0..cuts {
            match cut_once(who, 40 + cut * 37 % 400) {
                Cut { acked, found: Some(found) } => {
                    acknowledged += acked;
                    lost += u64::from(found < acked);
                }
                Cut { acked, found: None } => {
                    acknowledged += acked;
                    shut += 1;
                }
            }
        }
        println!(
            "{who}: {cuts} cuts, {acknowledged} acknowledged; {lost} cuts lost some, {shut} stores \
             did not open"
        );
        if who == "control" {
            control_failed = lost + shut;
        } else {
            assert_eq!((lost, shut), (0, 0), "{who}");
        }
    }
    assert!(control_failed > 0, "raw sled survived: these cuts show nothing");
}

/// What one cut left.
struct Cut {
    acked: u64,
    /// The highest record that is there with all before it; `None` where the store does not open.
    found: Option<u64>,
}

fn cut_once(who: &str, after: u64) -> Cut {
    let dir = tempfile::tempdir().unwrap();
    let (image, copy) = (dir.path().join("image"), dir.path().join("copy"));
    fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    run(Command::new("mkfs.ext4").arg("-q").arg(&image));
    let disk = Mounted::mount(&image, dir.path().join("disk"));
    let home = disk.0.join("store");
    fs::create_dir(&home).unwrap();
    fs::File::open(&disk.0).unwrap().sync_all().unwrap();

    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_writer_whose_power_is_cut", "--nocapture"])
        .env(DIR, &home)
        .env(WHO, who)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (said, heard) = mpsc::channel();
    let out = BufReader::new(writer.stdout.take().unwrap());
    let listener = thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if let Some((_, seq)) = line.split_once("acknowledged ") {
                said.send(seq.parse::<u64>().unwrap()).unwrap();
            }
        }
    });
    let mut acked = heard.recv_timeout(Duration::from_secs(60)).unwrap();
    thread::sleep(Duration::from_millis(after));
    // Everything acknowledged until now was flushed before the copy begins.
    acked = heard.try_iter().last().unwrap_or(acked);
    run(Command::new("kill").args(["-STOP", &writer.id().to_string()]));
    copy_of_one_moment(&image, &copy);
    writer.kill().unwrap();
    writer.wait().unwrap();
    listener.join().unwrap();
    drop(disk);

    let disk = Mounted::mount(&copy, dir.path().join("after"));
    let home = disk.0.join("store");
    let found = if who == "control" { raw(&home) } else { checked(&home, who).ok() };
    drop(disk);
    Cut { acked, found }
}

fn checked(home: &Path, who: &str) -> Result<u64, StoreError> {
    let store = open(home, backend(who))?;
    store.check()?;
    let records = store.scan(b"")?;
    for (seq, (found, bytes)) in (1..).zip(&records) {
        assert_eq!((found, bytes), (&key(seq), &value(seq)), "a gap, or another value");
    }
    Ok(records.len() as u64)
}

/// Raw sled may panic on what it finds.
fn raw(home: &Path) -> Option<u64> {
    let read = || {
        let db = control(home).ok()?;
        let there = |seq: &u64| db.get(key(*seq)).ok().flatten() == Some(value(*seq).into());
        Some((1..).take_while(there).count() as u64)
    };
    std::panic::catch_unwind(read).ok().flatten()
}

/// Copies an image as it was at one moment: the file system below a process that stands still goes
/// on writing, and a copy that it wrote into is of no moment at all.
fn copy_of_one_moment(image: &Path, copy: &Path) {
    let written = || fs::metadata(image).unwrap().modified().unwrap();
    for _ in 0..200 {
        let before = written();
        // The clock of a file system is coarse: what was written just now would look untouched.
        thread::sleep(Duration::from_millis(20));
        if written() != before {
            continue;
        }
        fs::copy(image, copy).unwrap();
        if written() == before {
            return;
        }
    }
    panic!("the disk never rests");
}

/// A mounted image.
struct Mounted(PathBuf);

impl Mounted {
    fn mount(image: &Path, at: PathBuf) -> Self {
        fs::create_dir(&at).unwrap();
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(&at));
        Self(at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A store that was just dropped may hold its files for a moment.
        for _ in 0..100 {
            if Command::new("umount").arg(&self.0).status().is_ok_and(|status| status.success()) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
