//! The main job, as a newcomer runs it.

use crate::support::MARQUE;
use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

#[test]
fn the_demo_tells_its_story_and_the_chain_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    let out = Command::new(MARQUE).args(["demo", "--keep"]).arg(&kept).output().unwrap();
    let story = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{story}\n{}", String::from_utf8_lossy(&out.stderr));
    for part in [
        "paid 0.02 tUSD to feed",
        "to muscle, transaction",
        "payee.feed.address",
        "limits.tUSD.payment",
        "limits.tUSD.hour",
        "moved money once",
        "journal of scout verified offline",
    ] {
        assert!(story.contains(part), "the story lacks {part:?}:\n{story}");
    }
    // What is kept can be checked by somebody else, later.
    let verify = Command::new(MARQUE)
        .arg("--home")
        .arg(kept.join("scout"))
        .args(["audit", "verify"])
        .output()
        .unwrap();
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stderr));
}

#[test]
fn a_demo_that_is_interrupted_leaves_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    let mut child = Command::new(MARQUE)
        .args(["demo", "--keep"])
        .arg(&kept)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // In the middle of the job: chain, three stewards, two sellers and scout's mind are at work.
    let story = BufReader::new(child.stdout.take().unwrap());
    let mut story = story.lines().map(Result::unwrap);
    assert!(story.any(|line| line.contains("asked")), "the job never began");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert!(!status.success());
    let marker = kept.display().to_string();
    let running = || -> Vec<String> {
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(&marker))
            .collect()
    };
    let mut left = running();
    for _ in 0..600 {
        if left.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        left = running();
    }
    assert!(left.is_empty(), "still there: {left:?}");
}
