//! The folder of goals, held open.
//!
//! Other programs write there, and one of them may wish this mind ill. So what is opened, replaced and
//! renamed lies in the very folder that was opened at the start; a link is not followed, a pipe is not
//! waited for, and a file is read as far as a goal may be long.
//!
//! INVARIANT: nothing outside of the folder is read or written (pinned by
//! `tests::no_link_leads_out_of_the_queue`).

use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags},
    io::Errno,
};
use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

/// The longest goal in the queue, in bytes: written as JSON it is still a value that the memory takes.
const LONGEST: u64 = 16 * 1024;

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 4 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Queue {
    held: OwnedFd,
    path: PathBuf,
}

impl Queue {
    /// Opens the queue in a mind's folder, which may be a link to another; makes it if need be.
    pub(crate) fn open(mind: &Path) -> io::Result<Self> {
        let path = mind.join("queue");
        match fs::mkdir(&path, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = fs::open(&path, flags, Mode::empty()).map_err(|error| match error {
            Errno::LOOP | Errno::NOTDIR => wrong("it is no folder, or a link to one"),
            error => error.into(),
        })?;
        Ok(Self { held, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the goals, the oldest first. What has another name is not ours.
    pub(super) fn goals(&self) -> io::Result<Vec<String>> {
        let mut goals = Vec::new();
        for entry in fs::Dir::read_from(self.held.as_fd())? {
            let entry = entry?;
            let Some(name) =
                entry.file_name().to_str().ok().and_then(|name| name.strip_suffix(".goal"))
            else {
                continue;
            };
            if is_name(name) {
                let written = match self.about(&format!("{name}.goal"))? {
                    Some(about) => (about.st_mtime, about.st_mtime_nsec),
                    None => continue,
                };
                goals.push((written, name.to_owned()));
            }
        }
        goals.sort();
        Ok(goals.into_iter().map(|(_, name)| name).collect())
    }

    /// A goal's words.
    pub(super) fn goal(&self, name: &str) -> io::Result<String> {
        let bytes = self.read(&format!("{name}.goal"), "a goal", LONGEST)?;
        Ok(goal_in(&bytes)?.to_owned())
    }

    /// What became of a goal, if anything did: the bytes of `NAME.ENDING`.
    pub(crate) fn outcome(&self, name: &str, ending: &str) -> io::Result<Option<Vec<u8>>> {
        match self.read(&format!("{name}.{ending}"), "it", LONGEST_ANSWER) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a goal of this name was put in, in the same words.
    pub(crate) fn has(&self, name: &str, goal: &str) -> bool {
        is_name(name)
            && ["goal", "done"].iter().any(|ending| {
                let there = self.outcome(name, ending).ok().flatten();
                there.is_some_and(|there| goal_in(&there).is_ok_and(|there| there == goal.trim()))
            })
    }

    /// Puts a goal in, whole or not at all; never over one of this name, or over what became of it.
    pub(crate) fn submit(&self, name: &str, goal: &str) -> io::Result<()> {
        let goal = goal_in(goal.as_bytes())?;
        vet_name(name).map_err(|why| wrong(&why))?;
        let taken = || {
            let why = format!("the queue has a goal \"{name}\" already; take another name");
            io::Error::new(io::ErrorKind::AlreadyExists, why)
        };
        for ending in ["answer", "done", "held", "later"] {
            if self.about(&format!("{name}.{ending}"))?.is_some() {
                return Err(taken());
            }
        }
        // A name that nobody else writes, whoever puts a goal of this name in at the same time.
        let beside = format!(".{name}.{}.new", std::process::id());
        self.write(&beside, goal.as_bytes())?;
        let file = format!("{name}.goal");
        // A link takes no place that is taken.
        let put = fs::linkat(&self.held, &beside, &self.held, &file, AtFlags::empty());
        self.remove(&beside)?;
        match put {
            Ok(()) => Ok(fs::fsync(&self.held)?),
            Err(Errno::EXIST) => Err(taken()),
            Err(error) => Err(error.into()),
        }
    }

    /// A file of at most so many bytes.
    fn read(&self, file: &str, what: &str, longest: u64) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let no_file = || wrong(&format!("{what} is a file of at most {longest} bytes"));
        let opened = fs::openat(&self.held, file, flags, Mode::empty());
        let file = File::from(opened.map_err(|error| match error {
            Errno::LOOP | Errno::NXIO => no_file(),
            error => error.into(),
        })?);
        if !file.metadata()?.is_file() {
            return Err(no_file());
        }
        let mut bytes = Vec::new();
        file.take(longest.saturating_add(1)).read_to_end(&mut bytes)?;
        match u64::try_from(bytes.len()) {
            Ok(length) if length <= longest => Ok(bytes),
            _ => Err(no_file()),
        }
    }

    /// Refuses a goal whose answer has no place: a folder is there.
    pub(super) fn has_room_for(&self, name: &str) -> io::Result<()> {
        for ending in ["answer", "done", "held", "later"] {
            let file = format!("{name}.{ending}");
            let folder = |mode| FileType::from_raw_mode(mode) == FileType::Directory;
            if self.about(&file)?.is_some_and(|about| folder(about.st_mode)) {
                return Err(wrong(&format!("{} is a folder", self.path.join(file).display())));
            }
        }
        Ok(())
    }

    /// Writes `NAME.ENDING` whole or not at all.
    pub(super) fn put(&self, name: &str, ending: &str, bytes: &[u8]) -> io::Result<()> {
        let file = format!("{name}.{ending}");
        let beside = format!(".{file}.new");
        self.write(&beside, bytes)?;
        fs::renameat(&self.held, &beside, &self.held, &file)?;
        Ok(fs::fsync(&self.held)?)
    }

    /// Writes a file that is to get its name next.
    fn write(&self, beside: &str, bytes: &[u8]) -> io::Result<()> {
        // Made anew, whatever is there: what a crash left, or a link that would lead elsewhere.
        self.remove(beside)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut new =
            File::from(fs::openat(&self.held, beside, flags, Mode::from_raw_mode(0o666))?);
        new.write_all(bytes)?;
        new.sync_all()
    }

    /// Makes a goal that is over `NAME.done`, and takes away what it waited for. A link or a pipe in a goal's
    /// place goes.
    pub(super) fn finish(&self, name: &str) -> io::Result<()> {
        for ending in ["held", "later"] {
            self.remove(&format!("{name}.{ending}"))?;
        }
        let (goal, done) = (format!("{name}.goal"), format!("{name}.done"));
        let is_kept = |kind: FileType| matches!(kind, FileType::RegularFile | FileType::Directory);
        // A fence lets nobody make a link or a pipe, under another name either.
        if self.about(&goal)?.is_some_and(|it| !is_kept(FileType::from_raw_mode(it.st_mode))) {
            return self.remove(&goal);
        }
        Ok(fs::renameat(&self.held, goal, &self.held, done)?)
    }

    pub(super) fn remove(&self, file: &str) -> io::Result<()> {
        match fs::unlinkat(&self.held, file, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn about(&self, file: &str) -> io::Result<Option<fs::Stat>> {
        match fs::statat(&self.held, file, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) => Ok(Some(about)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Refuses what neither a goal nor the task of one can be called.
pub(crate) fn vet_name(name: &str) -> Result<(), String> {
    match is_name(name) {
        true => Ok(()),
        false => Err(format!(
            "\"{}\" is no name for a task; it has up to 64 letters, digits, \"-\", \"_\" and \".\", the \
             first of them no dot",
            name.chars().take(64).collect::<String>().escape_debug()
        )),
    }
}

/// Whether a goal may have this name.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

/// The goal that these bytes are.
fn goal_in(bytes: &[u8]) -> io::Result<&str> {
    if u64::try_from(bytes.len()).map_or(true, |length| length > LONGEST) {
        return Err(wrong(&format!("a goal has at most {LONGEST} bytes")));
    }
    match str::from_utf8(bytes).map_err(|_| wrong("the goal is no text"))?.trim() {
        "" => Err(wrong("the goal is empty")),
        text => Ok(text),
    }
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn scene() -> (tempfile::TempDir, Queue, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("victim"), "as it was").unwrap();
        let queue = Queue::open(dir.path()).unwrap();
        let path = queue.path().to_owned();
        (dir, queue, path)
    }

    #[test]
    fn a_goal_is_read_answered_and_done() {
        let (_dir, queue, path) = scene();
        std::fs::write(path.join("b.goal"), " the wind \n").unwrap();
        std::fs::write(path.join(".half.goal"), "not yet").unwrap();
        std::fs::write(path.join("other"), "not ours").unwrap();
        assert_eq!(queue.goals().unwrap(), ["b"]);
        assert_eq!(queue.goal("b").unwrap(), "the wind");
        queue.has_room_for("b").unwrap();
        queue.put("b", "later", b"no wind yet").unwrap();
        queue.put("b", "answer", b"14").unwrap();
        queue.finish("b").unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(&path).unwrap().map(|it| it.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".half.goal", "b.answer", "b.done", "other"]);
        assert_eq!(queue.goal("b").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_goal_that_is_put_in_takes_no_name_that_is_taken() {
        let (_dir, queue, path) = scene();
        queue.submit("wind", " 14 knots? ").unwrap();
        assert_eq!(queue.goals().unwrap(), ["wind"]);
        assert_eq!(queue.goal("wind").unwrap(), "14 knots?");
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1, "nothing beside it");
        for ending in ["goal", "answer", "done", "held", "later"] {
            std::fs::write(path.join(format!("{ending}.{ending}")), "there").unwrap();
            let error = queue.submit(ending, "other").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{error}");
            let there = std::fs::read(path.join(format!("{ending}.{ending}"))).unwrap();
            assert_eq!(there, b"there");
        }
        let long = "x".repeat(64 * 1024 + 1);
        let name = queue.submit("a/b", "go").unwrap_err().to_string();
        assert!(name.starts_with("\"a/b\" is no name for a task; it has up to 64 "), "{name}");
        for (name, goal) in [("", "go"), ("../x", "go"), (".x", "go"), ("x", " "), ("x", &long)] {
            let error = queue.submit(name, goal).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
        assert_eq!(queue.goals().unwrap().len(), 2);
    }

    #[test]
    fn no_link_leads_out_of_the_queue() {
        let (dir, queue, path) = scene();
        symlink("../victim", path.join("a.goal")).unwrap();
        assert!(queue.goal("a").unwrap_err().to_string().contains("a goal is a file"));
        symlink("../victim", path.join(".a.answer.new")).unwrap();
        symlink("../victim", path.join("a.answer")).unwrap();
        symlink("../victim", path.join("a.done")).unwrap();
        queue.put("a", "answer", b"14").unwrap();
        queue.finish("a").unwrap();
        assert_eq!(std::fs::read(path.join("a.answer")).unwrap(), b"14");
        assert_eq!(std::fs::read(dir.path().join("victim")).unwrap(), b"as it was");
        // Nor when the folder itself becomes one.
        std::fs::rename(&path, dir.path().join("before")).unwrap();
        std::fs::create_dir(dir.path().join("elsewhere")).unwrap();
        symlink("elsewhere", &path).unwrap();
        queue.put("b", "answer", b"9").unwrap();
        assert_eq!(std::fs::read_dir(dir.path().join("elsewhere")).unwrap().count(), 0);
        assert!(Queue::open(dir.path()).unwrap_err().to_string().contains("a link"));
    }

    #[test]
    fn what_is_no_goal_is_neither_waited_for_nor_read_whole() {
        let (_dir, queue, path) = scene();
        fs::mknodat(fs::CWD, path.join("pipe.goal"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .unwrap();
        std::fs::create_dir(path.join("folder.goal")).unwrap();
        File::create(path.join("long.goal")).unwrap().set_len(1 << 40).unwrap();
        std::fs::write(path.join("bytes.goal"), b"\xff\xfe").unwrap();
        for name in ["pipe", "folder", "long", "bytes"] {
            assert!(queue.goal(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_folder_in_the_place_of_an_answer_is_seen_before_the_work() {
        let (_dir, queue, path) = scene();
        std::fs::create_dir(path.join("c.answer")).unwrap();
        let error = queue.has_room_for("c").unwrap_err().to_string();
        assert!(error.ends_with("queue/c.answer is a folder"), "{error}");
        assert!(queue.put("c", "answer", b"14").is_err());
        queue.has_room_for("d").unwrap();
    }
}
