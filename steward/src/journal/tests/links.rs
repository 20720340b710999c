//! What somebody left in a journal: links to what they may not write themselves, and pipes that nobody
//! fills.

use super::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::os::unix::fs::symlink;

/// Opens a journal in which `left` is a link to a file or folder of somebody's, and appends to it.
fn robbed(left: &str) -> Result<(), JournalError> {
    let written = Written::with(&entries(300));
    let theirs = tempfile::tempdir().unwrap();
    let precious = theirs.path().join("owner.json");
    fs::write(&precious, "precious").unwrap();
    let at = written.dir().join(left);
    let target = match fs::symlink_metadata(&at) {
        Ok(there) if there.is_dir() => {
            // All that is in it goes along: nothing is missing.
            let moved = theirs.path().join("moved");
            fs::rename(&at, &moved).unwrap();
            moved
        }
        Ok(_) => {
            fs::remove_file(&at).unwrap();
            precious.clone()
        }
        Err(_) => precious.clone(),
    };
    symlink(&target, &at).unwrap();
    let before = listed(theirs.path());
    let outcome = written.open().and_then(|(mut journal, _)| {
        journal.append(&entries(1))?;
        journal.leave_note(b"{}")
    });
    assert_eq!(fs::read(&precious).unwrap(), b"precious", "{left}");
    assert_eq!(listed(theirs.path()), before, "{left}");
    outcome
}

/// Every file below a folder, with its length.
fn listed(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut all = Vec::new();
    for file in fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        match path.is_dir() {
            true => all.extend(listed(&path)),
            false => all.push((path.clone(), fs::metadata(&path).unwrap().len())),
        }
    }
    all.sort();
    all
}

#[test]
fn no_link_in_a_journal_leads_its_writer_out_of_it() {
    for left in
        ["reserve", "checkpoint", "entries", "entries/00000000000000000000.seg", "tile", "tile/0"]
    {
        let error = robbed(left).expect_err(left).to_string();
        assert!(error.contains("link") && error.contains("remove it"), "{left}: {error}");
    }
    // What is written anew each time is made anew, whatever was there.
    for left in ["reserve.new", "checkpoint.new", "tile/0/001.new", "tile/0/001.p/45.new"] {
        robbed(left).unwrap_or_else(|error| panic!("{left}: {error}"));
    }
    // The journal itself.
    let written = Written::with(&entries(3));
    let link = tempfile::tempdir().unwrap().path().join("journal");
    fs::create_dir(link.parent().unwrap()).unwrap();
    symlink(written.dir(), &link).unwrap();
    let error = Journal::open(&link, ORIGIN, signer()).unwrap_err().to_string();
    assert!(error.contains("is a link"), "{error}");
    // Whoever only reads may.
    verify(&link, &key()).unwrap();
}

#[test]
fn no_pipe_in_a_journal_is_waited_for() {
    for left in ["reserve", "checkpoint", "entries/00000000000000000000.seg", "tile/0/000"] {
        let written = Written::with(&entries(300));
        let at = written.dir().join(left);
        drop(fs::remove_file(&at));
        mknodat(CWD, &at, FileType::Fifo, Mode::RWXU, 0).unwrap();
        if left != "reserve" {
            drop(verify(written.dir(), &key()));
        }
        let error = written.open().map(drop).expect_err(left).to_string();
        assert!(error.contains("no plain file"), "{left}: {error}");
    }
}
