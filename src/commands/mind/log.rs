//! The log of a lasting mind: a line of JSON an event, in files of a bounded size, of which the
//! newest few stay.

use crate::failure::{Context as _, Done};
use serde_json::{Value, json};
use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

/// A file that is larger is laid aside.
const LARGEST: u64 = 1024 * 1024;

/// So many files that were laid aside stay.
const KEPT: u32 = 5;

/// A log that is written to.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    size: u64,
    largest: u64,
}

impl Log {
    /// Goes on with `mind.log` in this folder.
    pub(super) fn open(folder: &Path) -> Done<Self> {
        fs::create_dir_all(folder).doing(format!("{}", folder.display()))?;
        Self::at(folder.join("mind.log"), LARGEST)
    }

    fn at(path: PathBuf, largest: u64) -> Done<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.doing(format!("{}", path.display()))?;
        let size = file.metadata().doing(format!("{}", path.display()))?.len();
        Ok(Self { path, file, size, largest })
    }

    /// Writes a line: the Unix time in seconds and what happened.
    pub(super) fn line(&mut self, at: u64, event: &Value) -> Done {
        let line = format!("{}\n", json!({ "at": at, "event": event }));
        if self.size > 0 && self.size.saturating_add(line.len() as u64) > self.largest {
            self.turn()?;
        }
        self.file.write_all(line.as_bytes()).doing(format!("{}", self.path.display()))?;
        self.size = self.size.saturating_add(line.len() as u64);
        Ok(())
    }

    /// Lays the file aside as `mind.log.1`, the one before as `mind.log.2`, and so on.
    fn turn(&mut self) -> Done {
        let aside = |number: u32| self.path.with_extension(format!("log.{number}"));
        for number in (1..KEPT).rev().filter(|number| aside(*number).exists()) {
            let (from, to) = (aside(number), aside(number.saturating_add(1)));
            fs::rename(&from, to).doing(format!("{}", from.display()))?;
        }
        fs::rename(&self.path, aside(1)).doing(format!("{}", self.path.display()))?;
        *self = Self::at(self.path.clone(), self.largest)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_stays_within_its_bounds_and_keeps_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mind.log");
        for round in 0..2 {
            let mut log = Log::at(path.clone(), 400).unwrap();
            for number in 0..100 {
                log.line(7, &json!({ "round": round, "number": number })).unwrap();
            }
        }
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap())
            .inspect(|file| assert!(file.metadata().unwrap().len() <= 400))
            .map(|file| file.file_name().into_string().unwrap())
            .collect();
        names.sort();
        let aside = (1..=KEPT).map(|number| format!("mind.log.{number}"));
        assert_eq!(names, ["mind.log".to_owned()].into_iter().chain(aside).collect::<Vec<_>>());
        let newest = fs::read_to_string(&path).unwrap();
        let last: Value = serde_json::from_str(newest.lines().last().unwrap()).unwrap();
        assert_eq!(last, json!({ "at": 7, "event": { "round": 1, "number": 99 } }));
        let older = fs::read_to_string(folder.path().join("mind.log.1")).unwrap();
        let before: Value = serde_json::from_str(older.lines().last().unwrap()).unwrap();
        let first: Value = serde_json::from_str(newest.lines().next().unwrap()).unwrap();
        let number = |line: &Value| line["event"]["number"].as_u64().unwrap();
        assert_eq!(number(&first), number(&before) + 1, "nothing is lost between two files");
    }
}
