//! The power is cut under a steward at work: what it acknowledged is on the disk, and the home opens.
//!
//! A real steward lives on an ext4 file system on a loop device: journal, index, checkpoint. It is
//! stopped at any moment, while it opens as well; the device's image is copied as it is then, and the
//! copy is mounted, which replays the file system's own journal. That models a disk which keeps every
//! block it received; a drive with a volatile cache is worse. The next steward goes on with the
//! copy, so that one home lives through all the cuts. A file that nobody syncs is the control: it
//! has to lose something, or the cuts show nothing.
//!
//! Needs root, loop devices and mkfs.ext4, so it is run by hand:
//! `MARQUE_CUTS=100 cargo test -p marque-steward --test power -- --ignored --nocapture`

#![cfg(test)]

mod support;

use alloy_primitives::B256;
use marque_policies::IntentId;
use marque_steward::{
    Body, Home, Options, Steward, audit,
    check::{check, differs},
};
use marque_steward_client::{Client, Note, Outcome};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};
use support::{
    dice::{Dice, number, seed},
    fetch, homes, policy, proposal,
};

const HOME: &str = "MARQUE_STEWARD_POWER_HOME";
const CALLERS: usize = 8;
const IMAGE: u64 = 512 << 20;

/// Not a test of its own: the steward whose power is cut, with minds that ask it for things.
#[tokio::test(flavor = "multi_thread")]
async fn the_steward_whose_power_is_cut() {
    let Some(path) = std::env::var_os(HOME) else { return };
    let home = Home::open(path).unwrap();
    let life = audit::state(&home).unwrap().next();
    let control = OpenOptions::new().append(true).open(control(&home)).unwrap();
    let options = Options { rate: 1_000_000, ..Options::default() };
    let steward = Steward::start(home.clone(), homes::unlock(), options).await.unwrap();
    let client = Client::connect(home.socket("scout")).await.unwrap();
    let (next, control) = (Arc::new(AtomicU32::new(0)), Arc::new(control));
    for _ in 0..CALLERS {
        let (client, next, control) = (client.clone(), Arc::clone(&next), Arc::clone(&control));
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let task = format!("{life}.{n}");
                let line = if n.is_multiple_of(2) {
                    let commitment = commitment(&task);
                    let note = Note { task, step: n, what: "call".into(), commitment };
                    format!("noted {} {commitment}", client.note(note).await.unwrap())
                } else {
                    match client.propose(proposal(&task, 0, fetch())).await.unwrap() {
                        Outcome::Allowed { id, .. } => format!("allowed {id} -"),
                        other => panic!("{other:?}"),
                    }
                };
                // In one write, so that the lines of many callers stay whole.
                let line = format!("acknowledged {line}\n");
                (&*control).write_all(line.as_bytes()).unwrap();
                std::io::stdout().write_all(line.as_bytes()).unwrap();
            }
        });
    }
    steward.stopped().await;
}

fn commitment(task: &str) -> B256 {
    alloy_primitives::keccak256(task)
}

/// What nobody waits for.
fn control(home: &Home) -> PathBuf {
    home.path().with_file_name("control")
}

/// What was acknowledged.
#[derive(Debug, Default)]
struct Acknowledged {
    notes: BTreeMap<u64, B256>,
    intents: BTreeSet<IntentId>,
}

impl Acknowledged {
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [.., "noted", seq, commitment] => {
                let commitment: B256 = commitment.parse().unwrap();
                let before = self.notes.insert(seq.parse().unwrap(), commitment);
                assert_eq!(before, None, "entry {seq} was acknowledged twice");
            }
            [.., "allowed", id, _] => {
                assert!(self.intents.insert(IntentId(id.parse().unwrap())));
            }
            _ => {}
        }
    }

    fn len(&self) -> usize {
        self.notes.len() + self.intents.len()
    }

    /// What of it is not in a journal.
    fn missing(&self, home: &Home) -> usize {
        let (mut notes, mut intents) = (self.notes.clone(), self.intents.clone());
        for entry in audit::entries(&home.journal()).unwrap() {
            match entry.body {
                Body::Noted { commitment, .. } if notes.get(&entry.seq) == Some(&commitment) => {
                    notes.remove(&entry.seq);
                }
                Body::Allowed(allowed) => drop(intents.remove(&allowed.decided.id)),
                _ => {}
            }
        }
        notes.len() + intents.len()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root, loop devices and mkfs.ext4"]
async fn what_a_steward_acknowledged_survives_power_cuts() {
    let cuts = number("MARQUE_CUTS").unwrap_or(10);
    let seed = seed("power");
    let mut dice = Dice::new(seed);
    let dir = tempfile::tempdir().unwrap();
    let (image, copy) = (dir.path().join("image"), dir.path().join("copy"));
    File::create(&image).unwrap().set_len(IMAGE).unwrap();
    run(Command::new("mkfs.ext4").arg("-q").arg(&image));
    {
        let disk = Mounted::mount(&image, dir.path().join("disk"));
        let text = policy(1).replace("5/min", "1000000/min");
        let (home, _) = homes::home(&disk.0.join("home"), "scout", B256::ZERO, |_| text);
        File::create(control(&home)).unwrap().sync_all().unwrap();
        run(&mut Command::new("sync"));
    }
    let mut all = Acknowledged::default();
    let (mut early, mut torn, mut forgotten) = (0, 0, 0);
    for cut in 0..cuts {
        let (lines, opened) = cut_once(&image, &copy, &mut dice);
        early += u64::from(!opened);
        let before = all.len();
        lines.iter().for_each(|line| all.hear(line));
        fs::rename(&copy, &image).unwrap();

        let disk = Mounted::mount(&image, dir.path().join("disk"));
        let home = Home::open(disk.0.join("home")).unwrap();
        let kept = fs::read_to_string(control(&home)).unwrap_or_default();
        forgotten += u64::from(kept.lines().count() < all.len());
        // What the control has forgotten it is not blamed for again.
        fs::write(control(&home), "acknowledged - - -\n".repeat(all.len())).unwrap();
        File::open(control(&home)).unwrap().sync_all().unwrap();
        let size = match audit::state(&home) {
            Ok(state) => state.next(),
            Err(error) => panic!("cut {cut}, seed {seed}: {error}"),
        };
        assert_eq!(all.missing(&home), 0, "cut {cut}, seed {seed}");
        let options = Options { rate: 1_000_000, ..Options::default() };
        let steward = match Steward::start(home.clone(), homes::unlock(), options).await {
            Ok(steward) => steward,
            Err(error) => {
                let checkpoint = fs::read(home.journal().join("checkpoint"));
                panic!("cut {cut}, seed {seed}: {error}; the checkpoint is {checkpoint:?}");
            }
        };
        let client = Client::connect(home.socket("scout")).await.unwrap();
        assert_eq!(client.status().await.unwrap().frozen, None, "cut {cut}, seed {seed}");
        steward.stop().await.unwrap();
        let after = audit::entries(&home.journal()).unwrap();
        let recovered = after.iter().skip(usize::try_from(size).unwrap());
        torn += recovered.filter(|it| matches!(it.body, Body::Recovered { .. })).count();
        let parts = check(&home).unwrap();
        assert!(!differs(&parts), "cut {cut}, seed {seed}: {parts:?}");
        assert_eq!(all.missing(&home), 0, "cut {cut}, seed {seed}: gone once it was opened");
        drop(disk);
        assert!(all.len() >= before);
    }
    println!(
        "{cuts} cuts, {early} of them before it listened: {} acknowledged, all there; {torn} times \
         something had to be mended; the control has forgotten something {forgotten} times",
        all.len()
    );
    assert!(all.len() as u64 > cuts, "nothing was asked of it");
    assert!(forgotten > 0, "what nobody synced survived: these cuts show nothing");
}

/// Has a steward work on the image, and copies it at some moment. What it said until then, and
/// whether it came so far as to say anything.
fn cut_once(image: &Path, copy: &Path, dice: &mut Dice) -> (Vec<String>, bool) {
    let disk = Mounted::mount(image, image.with_file_name("disk"));
    let home = disk.0.join("home");
    let mut steward = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_steward_whose_power_is_cut", "--nocapture"])
        .env(HOME, &home)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (said, heard) = mpsc::channel();
    let out = BufReader::new(steward.stdout.take().unwrap());
    let listener = thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if line.contains("acknowledged ") {
                drop(said.send(line));
            }
        }
    });
    let mut lines = Vec::new();
    // One in five dies while it opens.
    if dice.percent(20) {
        thread::sleep(Duration::from_millis(dice.between(0, 1_500)));
    } else {
        lines.extend(heard.recv_timeout(Duration::from_secs(60)).ok());
        assert!(!lines.is_empty(), "the steward did not open what the last cut left");
        thread::sleep(Duration::from_millis(dice.between(20, 600)));
    }
    // Everything that was said until now was durable before the copy begins.
    lines.extend(heard.try_iter());
    run(Command::new("kill").args(["-STOP", &steward.id().to_string()]));
    stopped(steward.id());
    copy_of_one_moment(image, copy);
    steward.kill().unwrap();
    steward.wait().unwrap();
    listener.join().unwrap();
    let opened = !lines.is_empty();
    (lines, opened)
}

/// Waits until every thread of a process stands still.
fn stopped(pid: u32) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let runs = |thread: fs::DirEntry| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('T'))
        };
        if !threads.into_iter().any(runs) {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
    panic!("it does not stop");
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
        fs::create_dir_all(&at).unwrap();
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(&at));
        Self(at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // What was just dropped may hold its files for a moment.
        for _ in 0..200 {
            let mut command = Command::new("umount");
            if command.arg(&self.0).output().is_ok_and(|said| said.status.success()) {
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
