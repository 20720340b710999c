//! Several segments: begun, crashed between, opened from the middle, damaged, and taken away.

use super::*;

/// A journal of `n` entries in segments of some 300 bytes, five entries a group.
fn rotated(n: usize) -> Written {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), ORIGIN, signer()).unwrap();
    journal.rotate_at(600);
    for group in entries(n).chunks(5) {
        journal.append(group).unwrap();
    }
    Written(dir)
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("entries")).unwrap().map(|file| file.unwrap().path());
    let mut found: Vec<_> = files.filter(|path| path.extension().unwrap() == "seg").collect();
    found.sort();
    found
}

fn from(written: &Written, from: u64) -> Result<(Journal, Vec<Vec<u8>>), JournalError> {
    let mut found = Vec::new();
    let mut take = |seq: u64, entry: &[u8]| {
        assert_eq!(seq, from + found.len() as u64);
        found.push(entry.to_owned());
    };
    let journal = Journal::open_from(written.dir(), ORIGIN, signer(), from, &mut take)?;
    Ok((journal, found))
}

#[test]
fn a_journal_grows_over_many_segments_and_is_one_journal() {
    let written = rotated(300);
    assert!(segments(written.dir()).len() > 10);
    let one = Written::with(&entries(300));
    assert_eq!(written.checkpoint(), one.checkpoint(), "the same entries, the same head");
    let (mut journal, found) = written.open().unwrap();
    assert_eq!(found, entries(300));
    assert_eq!(journal.entry(123).unwrap(), entry(123));
    assert_eq!(journal.entry(299).unwrap(), entry(299));
    journal.append(&[entry(300)]).unwrap();
    for n in [300, 0, 123, 299, 298] {
        assert_eq!(journal.entry(n).unwrap(), entry(usize::try_from(n).unwrap()));
    }
    assert!(matches!(journal.entry(301), Err(JournalError::NoEntry { .. })));
    assert_eq!(verify(written.dir(), &key()).unwrap().entries, entries(301));
    let error = Journal::open(written.dir(), ORIGIN, signer()).unwrap_err();
    assert!(matches!(error, JournalError::Locked(_)), "{error}");
}

#[test]
fn a_crash_at_any_step_of_a_rotation_loses_nothing() {
    let written = rotated(40);
    let last = segments(written.dir()).pop().unwrap();
    let first = last.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    let (whole, signed) = (fs::read(&last).unwrap(), written.checkpoint());
    let n = usize::try_from(first).unwrap();
    // Before the name, after the name, and wherever the first group tore. The checkpoint of then.
    let older = Checkpoint::sign(ORIGIN, &signer(), first, tree(&entries(n)).root()).unwrap();
    for end in [None].into_iter().chain((record::HEADER..whole.len()).step_by(7).map(Some)) {
        fs::remove_file(&last).unwrap();
        match end {
            None => fs::write(last.with_added_extension("new"), &whole[..9]).unwrap(),
            Some(end) => fs::write(&last, &whole[..end]).unwrap(),
        }
        older.0.write(written.dir()).unwrap();
        let (mut journal, found) = written.open().unwrap();
        journal.rotate_at(600);
        assert!(found.len() >= n && found == entries(found.len()), "{end:?}");
        journal.append(&entries(40)[found.len()..]).unwrap();
        assert_eq!(
            (written.checkpoint(), fs::read(&last).unwrap()),
            (signed.clone(), whole.clone())
        );
    }
}

#[test]
fn opening_from_the_middle_is_opening_from_the_start() {
    for n in [1, 5, 255, 256, 257, 300, 520] {
        let written = rotated(n);
        let (journal, _) = written.open().unwrap();
        let root = journal.root();
        drop(journal);
        for seq in [1, 2, n / 2, n - 1, n].into_iter().filter(|seq| (1..=n).contains(seq)) {
            let (mut journal, found) = from(&written, seq as u64).unwrap();
            assert_eq!((journal.root(), journal.size()), (root, n as u64), "{n} from {seq}");
            assert_eq!(found, entries(n)[seq..]);
            assert_eq!(journal.recovery(), Recovery::default());
            journal.publish().unwrap();
        }
        let (mut journal, _) = from(&written, n as u64).unwrap();
        journal.append(&[entry(n)]).unwrap();
        drop(journal);
        assert_eq!(written.open().unwrap().1, entries(n + 1));
        assert_eq!(from(&written, n as u64).unwrap().1, [entry(n)]);
    }
}

#[test]
fn an_edge_that_does_not_lead_to_the_checkpoint_is_not_believed() {
    let written = rotated(300);
    let tile = written.dir().join("tile/0/001.p/44");
    let whole = fs::read(&tile).unwrap();
    for at in [0, 700, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&tile, bytes).unwrap();
        assert!(matches!(from(&written, 300), Err(JournalError::Unproven(_))), "byte {at}");
        // Reading everything finds nothing wrong with the journal, and mends the tile.
        assert_eq!(written.open().unwrap().1, entries(300));
        assert_eq!(fs::read(&tile).unwrap(), whole);
        from(&written, 300).unwrap();
    }
    fs::remove_dir_all(written.dir().join("tile")).unwrap();
    assert!(matches!(from(&written, 300), Err(JournalError::Unproven(_))));
    written.open().unwrap();
    fs::remove_file(written.dir().join("checkpoint")).unwrap();
    assert!(matches!(from(&written, 300), Err(JournalError::Unproven(_))));
}

#[test]
fn what_opening_from_the_middle_reads_is_checked_as_ever() {
    let written = rotated(300);
    let last = segments(written.dir()).pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    for end in 0..bytes.len() {
        fs::write(&last, &bytes[..end]).unwrap();
        from(&written, 298).expect_err("cut below the checkpoint");
        from(&written, 300).expect_err("cut below the checkpoint");
        assert_eq!(fs::read(&last).unwrap(), bytes[..end]);
    }
    for at in record::HEADER..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        fs::write(&last, flipped).unwrap();
        from(&written, 298).expect_err("a bit is flipped");
    }
    // An entry that was changed with its checksum.
    let mut forged = entries(300);
    forged[299].push(b' ');
    let first = last.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    let body = sealed(&forged, usize::try_from(first).unwrap());
    fs::write(&last, [record::header(ORIGIN, first), body].concat()).unwrap();
    assert!(matches!(from(&written, 298), Err(JournalError::Unproven(_))));
    assert!(matches!(written.open(), Err(JournalError::Rewritten { size: 300 })));
}

#[test]
fn damage_of_older_segments_is_found_by_verifying() {
    let written = rotated(300);
    let files = segments(written.dir());
    let (old, bytes) = (&files[3], fs::read(&files[3]).unwrap());
    let found = |how: &str| {
        let error = verify(written.dir(), &key()).expect_err(how);
        written.open().expect_err(how);
        error
    };
    // Cut anywhere, record boundaries included; a middle segment is never torn.
    for end in 0..bytes.len() {
        fs::write(old, &bytes[..end]).unwrap();
        found("cut");
    }
    fs::write(old, [bytes.as_slice(), &sealed(&[entry(1)], 0)].concat()).unwrap();
    assert!(matches!(found("longer"), JournalError::Missing { .. }));
    fs::write(old, &bytes).unwrap();
    for gone in [0, 3, files.len() - 2] {
        let aside = written.dir().join("aside");
        fs::rename(&files[gone], &aside).unwrap();
        let error = found("a segment is gone");
        assert!(matches!(error, JournalError::Missing { .. }), "{error}");
        fs::rename(aside, &files[gone]).unwrap();
    }
    fs::rename(files.last().unwrap(), written.dir().join("aside")).unwrap();
    assert!(matches!(found("the last is gone"), JournalError::Truncated { .. }));
    fs::rename(written.dir().join("aside"), files.last().unwrap()).unwrap();
    // Another segment under its name.
    fs::copy(&files[4], old).unwrap();
    assert!(matches!(found("swapped"), JournalError::Header { .. }));
    fs::write(old, &bytes).unwrap();
    verify(written.dir(), &key()).unwrap();
}

#[test]
fn an_entry_that_is_read_back_is_the_one_under_the_root() {
    let written = rotated(300);
    let (mut journal, _) = written.open().unwrap();
    let files = segments(written.dir());
    let first = files[3].file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    let next = files[4].file_stem().unwrap().to_str().unwrap().parse::<usize>().unwrap();
    let mut forged = entries(next);
    forged[next - 1][2] ^= 1;
    let body = sealed(&forged, usize::try_from(first).unwrap());
    fs::write(&files[3], [record::header(ORIGIN, first), body].concat()).unwrap();
    assert_eq!(journal.entry(first).unwrap(), entry(usize::try_from(first).unwrap()));
    let error = journal.entry(next as u64 - 1).unwrap_err();
    assert!(matches!(error, JournalError::Rewritten { .. }), "{error}");
}
