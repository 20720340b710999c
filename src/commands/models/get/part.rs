//! The part of a file that has arrived.
//!
//! INVARIANT: a file gets its name only whole, with the hash that was asked for, and never in place
//! of another (`a_file_with_another_hash_is_not_kept`, `nothing_that_is_there_is_overwritten`).

use crate::{
    failure::{Context as _, Done, Failure},
    story::bytes,
};
use marque_net::{HeaderMap, HeaderValue, header};
use rustix::{
    fs::{FlockOperation, OFlags, RenameFlags, flock, renameat_with, statvfs},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read as _, Seek as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};
use url::Url;

/// The form of the note beside a part.
const FORMAT: u32 = 1;

/// Where the part of a file lies.
pub(super) fn path(output: &Path) -> PathBuf {
    beside(output, ".part")
}

fn beside(output: &Path, ending: &str) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Which file a part is of.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    format: u32,
    url: String,
    /// What the server calls this version of the file: an entity tag or a date.
    validator: Option<String>,
    /// Bytes of the whole file.
    total: Option<u64>,
}

/// A file that is arriving. No other process writes it at the same time.
pub(super) struct Part {
    output: PathBuf,
    path: PathBuf,
    file: File,
    hash: Sha256,
    length: u64,
    note: Note,
}

impl Part {
    /// Takes up what is there of `output`, or begins.
    pub(super) fn open(output: &Path, url: &Url) -> Done<Self> {
        let path = path(output);
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(&path)
            .map_err(|error| unwritten(&path, &error))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            Errno::WOULDBLOCK => {
                Failure::new(format!("{}: another process is writing it", path.display()))
            }
            error => Failure::new(format!("{}: {error}", path.display())),
        })?;
        // Whoever had the lock may have given the file its name meanwhile.
        let (here, there) = (file.metadata().doing(path.display())?, path.symlink_metadata());
        if !there.is_ok_and(|there| (there.dev(), there.ino()) == (here.dev(), here.ino())) {
            return Err(Failure::new(format!(
                "{}: another process had it until now",
                path.display()
            ))
            .help("the same command again"));
        }
        if !here.is_file() {
            return Err(Failure::usage(format!("{}: it is not a regular file", path.display()))
                .help("move it away, or choose another --output"));
        }
        let fresh = Note { format: FORMAT, url: url.to_string(), ..Note::default() };
        let mut part = Self {
            output: output.to_owned(),
            path,
            file,
            hash: Sha256::new(),
            length: 0,
            note: fresh,
        };
        let noted = fs::read(part.note_path()).ok();
        let noted = noted.and_then(|text| serde_json::from_slice::<Note>(&text).ok());
        match noted.filter(|noted| noted.format == FORMAT && noted.url == url.as_str()) {
            Some(noted) => {
                part.note = noted;
                part.read_what_is_there()?;
            }
            None if here.len() == 0 => part.begin_again()?,
            // It may be anybody's.
            None => {
                let path = part.path.display();
                return Err(Failure::usage(format!(
                    "{path} is there already, and is not known to be a part of what {url} gives"
                ))
                .help("give the URL that it came from, move it away, or choose another --output"));
            }
        }
        Ok(part)
    }

    /// Bytes that are there.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Bytes of the whole file, once the server has said so.
    pub(super) const fn total(&self) -> Option<u64> {
        self.note.total
    }

    pub(super) fn is_whole(&self) -> bool {
        self.note.total == Some(self.length)
    }

    /// The headers that ask for the rest, of the same version. Without a version nothing is certain,
    /// and all of it is asked for.
    pub(super) fn range(&self) -> Option<(HeaderValue, HeaderValue)> {
        let validator = self.note.validator.as_deref().filter(|_| self.length > 0)?;
        let range = HeaderValue::from_str(&format!("bytes={}-", self.length)).ok()?;
        Some((range, HeaderValue::from_str(validator).ok()?))
    }

    /// Whether an answer with these headers begins where this part ends.
    pub(super) fn is_continued_by(&self, headers: &HeaderMap) -> bool {
        let Some((first, total)) = content_range(headers) else { return false };
        first == self.length && (self.note.total.is_none() || self.note.total == total)
    }

    /// Forgets what is there.
    pub(super) fn begin_again(&mut self) -> Done {
        self.file.set_len(0).map_err(|error| unwritten(&self.path, &error))?;
        self.hash = Sha256::new();
        self.length = 0;
        self.note.validator = None;
        self.note.total = None;
        Ok(())
    }

    /// Remembers which version an answer is of, and how long the whole is.
    pub(super) fn note(&mut self, headers: &HeaderMap, length: Option<u64>) -> Done {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        // A weak tag does not promise the same bytes.
        let tag = text(header::ETAG).filter(|tag| !tag.starts_with("W/"));
        let version = tag.or_else(|| text(header::LAST_MODIFIED));
        if let Some(version) = version {
            self.note.validator = Some(version.to_owned());
        }
        match content_range(headers) {
            Some((_, total)) => self.note.total = total.or(self.note.total),
            None => self.note.total = length,
        }
        let note = serde_json::to_vec(&self.note).doing("the note of the part")?;
        let path = self.note_path();
        fs::write(&path, note).map_err(|error| unwritten(&path, &error))
    }

    /// Refuses a file for which the disk has no room, before an hour is spent on it.
    pub(super) fn check_room(&self) -> Done {
        let Some(total) = self.note.total else { return Ok(()) };
        let missing = total.saturating_sub(self.length);
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let Ok(disk) = statvfs(folder) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        match missing <= free {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "{} are missing, and the disk of {} has room for {}",
                bytes(missing),
                folder.display(),
                bytes(free)
            ))
            .help("make room, or choose another place: --output FILE")),
        }
    }

    pub(super) fn append(&mut self, piece: &[u8]) -> Done {
        self.file.write_all(piece).map_err(|error| unwritten(&self.path, &error))?;
        self.hash.update(piece);
        self.length = self.length.saturating_add(piece.len() as u64);
        Ok(())
    }

    /// Gives the file its name if it is the one with this hash; returns its length.
    pub(super) fn finish(&mut self, wanted: &str) -> Done<u64> {
        let found = hex::encode(self.hash.clone().finalize());
        if found != wanted {
            self.forget();
            return Err(Failure::new(format!(
                "what arrived has SHA-256 {found}, and {wanted} was asked for; it was not kept"
            ))
            .help("compare the hash with what its maker published; else the file is another one"));
        }
        self.file.sync_all().map_err(|error| unwritten(&self.path, &error))?;
        rename(&self.path, &self.output).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::new(format!(
                "{} has come to be meanwhile; what arrived is in {}",
                self.output.display(),
                self.path.display()
            )),
            _ => unwritten(&self.output, &error),
        })?;
        remove(&self.note_path());
        Ok(self.length)
    }

    /// Leaves nothing behind.
    pub(super) fn forget(&self) {
        remove(&self.path);
        remove(&self.note_path());
    }

    fn note_path(&self) -> PathBuf {
        beside(&self.output, ".part.json")
    }

    fn read_what_is_there(&mut self) -> Done {
        self.file.rewind().doing(self.path.display())?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = self.file.read(&mut buffer).doing(self.path.display())?;
            let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
            self.hash.update(piece);
            self.length = self.length.saturating_add(read as u64);
        }
        // Longer than the whole: not what the note is about.
        match self.note.total {
            Some(total) if self.length > total => self.begin_again(),
            _ => Ok(()),
        }
    }
}

/// `bytes 100-199/1000`: the first byte and the whole.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

/// Renames, and never over a file that is there.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::CWD;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it, such as one of another system.
        Err(Errno::INVAL | Errno::NOSYS) if !to.exists() => fs::rename(from, to),
        Err(Errno::INVAL | Errno::NOSYS) => Err(ErrorKind::AlreadyExists.into()),
        renamed => Ok(renamed?),
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!(path = %path.display(), %error, "it stays behind");
    }
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Failure::new(format!("{}: the disk is full", path.display()))
                .help("make room; the same command goes on from there")
        }
        _ => Failure::new(format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_says_where_it_begins_and_how_long_the_whole_is() {
        let range = |text: &'static str| {
            let headers = [(header::CONTENT_RANGE, HeaderValue::from_static(text))];
            content_range(&HeaderMap::from_iter(headers))
        };
        assert_eq!(range("bytes 100-199/1000"), Some((100, Some(1000))));
        assert_eq!(range("bytes 100-199/*"), Some((100, None)));
        for odd in ["bytes */1000", "pages 1-2/3", "bytes x-2/3"] {
            assert_eq!(range(odd), None, "{odd}");
        }
    }

    #[test]
    fn nothing_that_is_there_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("x");
        let mut part = Part::open(&output, &"https://a.example/x".parse().unwrap()).unwrap();
        part.append(b"abc").unwrap();
        fs::write(&output, "somebody's").unwrap();
        let failure = part.finish(&hex::encode(Sha256::digest(b"abc"))).unwrap_err();
        assert!(failure.message.contains("has come to be meanwhile"), "{}", failure.message);
        assert_eq!(fs::read(&output).unwrap(), b"somebody's");
        assert_eq!(fs::read(path(&output)).unwrap(), b"abc");
    }

    #[test]
    fn two_processes_do_not_write_the_same_part() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("x");
        let url = "https://a.example/x".parse().unwrap();
        let _first = Part::open(&output, &url).unwrap();
        let failure = Part::open(&output, &url).err().unwrap();
        assert!(failure.message.contains("another process is writing it"), "{}", failure.message);
    }
}
