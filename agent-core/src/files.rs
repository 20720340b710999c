//! The folder that the owner granted to an agent: `[files]` in `agent.toml`.
//!
//! A path is walked down from the granted folder by file descriptor, a component at a time, and no link
//! is followed on the way: neither `..` nor a link that somebody put there leads out, also when it is
//! put there in between. The fence (`fence`) says the same to the kernel once more.
//!
//! Names that begin with a dot are not touched: settings, keys and the hooks of version control have
//! such names, and what is written there may be run by somebody else. Nor are names with characters that
//! turn or hide others where they are listed.
//!
//! A file that has another name as well is read: backups and package stores are made of such. Whoever can
//! link a file into the folder can grant it so, which on Linux takes the right to write it
//! (`fs.protected_hardlinks`). Writing replaces the name and leaves the file at the other as it was.
//!
//! INVARIANT: nothing outside of the folder is read or written (pinned by
//! `tests::no_path_and_no_link_leads_out`).

use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags},
    io::Errno,
};
use std::{
    io::{Read as _, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

/// The longest file that is read or written, in bytes.
pub const LONGEST: u64 = 1024 * 1024;
/// The longest path, in bytes.
const PATH: usize = 512;

/// A granted folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    folder: PathBuf,
    writable: bool,
}

/// Why a file was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// There is no granted folder.
    #[error("no folder is granted; the owner grants one in agent.toml, [files]")]
    None,
    /// The folder is granted for reading alone.
    #[error(
        "the granted folder may be read only; the owner may set write = true in agent.toml, [files]"
    )]
    ReadOnly,
    /// The path is no path below the folder.
    #[error(
        "{0:?} is not a path in the granted folder: write names parted by \"/\", none with a dot first"
    )]
    Path(String),
    /// What is there is no plain file, or a link is on the way to it.
    #[error("{0} is no plain file")]
    NoFile(String),
    /// There is nothing of this name.
    #[error("there is no {path}{}", near(.there))]
    Missing {
        /// The path.
        path: String,
        /// What is in the last folder on the way.
        there: Vec<String>,
    },
    /// The file is too long.
    #[error("{path} has {bytes} bytes; at most {LONGEST} are read or written")]
    TooLong {
        /// The path.
        path: String,
        /// Its length.
        bytes: u64,
    },
    /// The system says no.
    #[error("{path}: {why}")]
    System {
        /// The path.
        path: String,
        /// What it says.
        why: String,
    },
}

fn near(there: &[String]) -> String {
    match there {
        [] => String::new(),
        names => format!("; there is {}", names.join(", ")),
    }
}

impl Files {
    /// Grants the folder, which must exist when something is read or written in it.
    #[must_use]
    pub const fn new(folder: PathBuf, writable: bool) -> Self {
        Self { folder, writable }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether files may be written there.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        self.writable
    }

    /// The content of a file.
    ///
    /// # Errors
    /// [`FilesError`].
    pub fn read(&self, path: &str) -> Result<Vec<u8>, FilesError> {
        let (folder, name) = self.walk(path, false)?;
        // A pipe would be waited for; a link is not followed.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = match fs::openat(&folder, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                let there = list(&folder);
                return Err(FilesError::Missing { path: path.to_owned(), there });
            }
            opened => opened.map_err(|error| refused(path, error))?,
        };
        let about = fs::fstat(&opened).map_err(|error| refused(path, error))?;
        if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
            return Err(FilesError::NoFile(path.to_owned()));
        }
        let mut bytes = Vec::new();
        let mut limited = std::fs::File::from(opened).take(LONGEST.saturating_add(1));
        limited.read_to_end(&mut bytes).map_err(|error| system(path, &error))?;
        let length = bytes.len() as u64;
        if length > LONGEST {
            let bytes = u64::try_from(about.st_size).unwrap_or(length).max(length);
            return Err(FilesError::TooLong { path: path.to_owned(), bytes });
        }
        Ok(bytes)
    }

    /// Writes a file whole, in place of one that is there; folders on the way are made. It is there
    /// whole or as it was, also after a power cut.
    ///
    /// # Errors
    /// [`FilesError`].
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<(), FilesError> {
        if !self.writable {
            return Err(FilesError::ReadOnly);
        }
        let length = bytes.len() as u64;
        if length > LONGEST {
            return Err(FilesError::TooLong { path: path.to_owned(), bytes: length });
        }
        let (folder, name) = self.walk(path, true)?;
        let before = match fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) if FileType::from_raw_mode(there.st_mode) != FileType::RegularFile => {
                return Err(FilesError::NoFile(path.to_owned()));
            }
            // Who may read and run it stays as it was.
            Ok(there) => Some(Mode::from_raw_mode(there.st_mode & 0o777)),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(refused(path, error)),
        };
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).map_err(|error| system(path, &error))?;
        let beside = format!(".marque-{}", hex::encode(random));
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(if before.is_some() { 0o600 } else { 0o644 });
        let written = fs::openat(&folder, &beside, flags, mode)
            .map_err(|error| refused(path, error))
            .and_then(|new| {
                if let Some(before) = before {
                    fs::fchmod(&new, before).map_err(|error| refused(path, error))?;
                }
                let mut new = std::fs::File::from(new);
                let done = new.write_all(bytes).and_then(|()| new.sync_all());
                done.map_err(|error| system(path, &error))?;
                let done = fs::renameat(&folder, &beside, &folder, name);
                done.and_then(|()| fs::fsync(&folder)).map_err(|error| refused(path, error))
            });
        if written.is_err()
            && let Err(error) = fs::unlinkat(&folder, &beside, AtFlags::empty())
        {
            tracing::debug!(%error, beside, "nothing was left over");
        }
        written
    }

    /// The names of the plain files in a folder below, at most 1,000.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<String>, FilesError> {
        let (folder, name) = self.walk(path, false)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match fs::openat(&folder, name, flags, Mode::empty()) {
            Ok(opened) => Ok(plain_names(&opened)),
            Err(Errno::NOENT) => {
                Err(FilesError::Missing { path: path.to_owned(), there: list(&folder) })
            }
            Err(error) => Err(refused(path, error)),
        }
    }

    /// Removes a file.
    pub(crate) fn remove(&self, path: &str) -> Result<(), FilesError> {
        let (folder, name) = self.walk(path, false)?;
        fs::unlinkat(&folder, name, AtFlags::empty()).map_err(|error| refused(path, error))
    }

    /// The folder that a path's last name is in, opened, and that name.
    fn walk<'a>(&self, path: &'a str, make: bool) -> Result<(OwnedFd, &'a str), FilesError> {
        let names = names(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(&self.folder, flags, Mode::empty());
        let mut folder = root.map_err(|error| refused("the granted folder", error))?;
        let Some((last, before)) = names.split_last() else {
            return Err(FilesError::Path(path.to_owned()));
        };
        for name in before {
            if make {
                match fs::mkdirat(&folder, *name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(refused(path, error)),
                }
            }
            folder = match fs::openat(&folder, *name, flags | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(next) => next,
                Err(Errno::NOENT) => {
                    let there = list(&folder);
                    return Err(FilesError::Missing { path: path.to_owned(), there });
                }
                Err(error) => return Err(refused(path, error)),
            };
        }
        Ok((folder, last))
    }
}

/// The names of a path below the folder.
fn names(path: &str) -> Result<Vec<&str>, FilesError> {
    let fits = |name: &str| !name.is_empty() && !name.starts_with('.') && name.len() <= 255;
    let names: Vec<&str> = path.split('/').collect();
    match path.len() <= PATH && !path.chars().any(is_hidden) && names.iter().all(|name| fits(name))
    {
        true => Ok(names),
        false => Err(FilesError::Path(path.chars().take(PATH).collect())),
    }
}

/// Whether a character does something to those beside it where it is shown, and is not seen itself.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A few of the names in a folder, so that a model that guessed wrong can guess better.
fn list(folder: &OwnedFd) -> Vec<String> {
    let mut names = plain_names(folder);
    names.truncate(12);
    names
}

/// The names in a folder that are text and begin with no dot, in order; at most 1,000.
fn plain_names(folder: &OwnedFd) -> Vec<String> {
    let Ok(entries) = fs::Dir::read_from(folder.as_fd()) else { return Vec::new() };
    let names = entries.filter_map(Result::ok);
    let mut names: Vec<String> = names
        .filter_map(|entry| entry.file_name().to_str().map(str::to_owned).ok())
        .filter(|name| !name.starts_with('.') && !name.chars().any(is_hidden))
        .take(1_000)
        .collect();
    names.sort();
    names
}

fn refused(path: &str, error: Errno) -> FilesError {
    match error {
        // A link where none is followed; a file where a folder should be.
        Errno::LOOP | Errno::NOTDIR | Errno::ISDIR => FilesError::NoFile(path.to_owned()),
        error => system(path, &error),
    }
}

fn system(path: &str, error: &dyn std::fmt::Display) -> FilesError {
    FilesError::System { path: path.to_owned(), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A granted folder beside a secret.
    fn scene() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("granted")).unwrap();
        std::fs::create_dir(dir.path().join("secret")).unwrap();
        std::fs::write(dir.path().join("secret/key"), "the key").unwrap();
        let files = Files::new(dir.path().join("granted"), true);
        (dir, files)
    }

    #[test]
    fn what_is_written_is_read_and_replaced_whole() {
        let (dir, files) = scene();
        files.write("reports/2026/wind.txt", b"fourteen knots").unwrap();
        files.write("reports/2026/wind.txt", b"nine").unwrap();
        assert_eq!(files.read("reports/2026/wind.txt").unwrap(), b"nine");
        let left = std::fs::read_dir(dir.path().join("granted/reports/2026")).unwrap().count();
        assert_eq!(left, 1, "nothing is left beside it");
        let error = files.read("reports/2026/waves.txt").unwrap_err().to_string();
        assert!(error.contains("there is wind.txt"), "{error}");
    }

    #[test]
    fn a_file_that_is_replaced_is_read_by_those_who_read_it_before() {
        use std::os::unix::fs::PermissionsExt as _;
        let (dir, files) = scene();
        let path = dir.path().join("granted/notes");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        std::fs::write(&path, "mine").unwrap();
        for private in [0o600, 0o640, 0o400] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(private)).unwrap();
            files.write("notes", b"new").unwrap();
            assert_eq!(mode(), private);
        }
        assert_eq!(files.read("notes").unwrap(), b"new");
    }

    #[test]
    fn a_file_with_two_names_is_read_by_one_and_not_written_at_the_other() {
        let (dir, files) = scene();
        let secret = dir.path().join("secret/key");
        std::fs::hard_link(&secret, dir.path().join("granted/key")).unwrap();
        assert_eq!(files.read("key").unwrap(), b"the key");
        files.write("key", b"mine").unwrap();
        assert_eq!(std::fs::read(&secret).unwrap(), b"the key");
    }

    #[test]
    fn no_path_and_no_link_leads_out() {
        let (dir, files) = scene();
        let granted = dir.path().join("granted");
        let absolute = dir.path().join("secret/key").display().to_string();
        for path in [
            "../secret/key",
            "a/../../secret/key",
            &absolute,
            "/etc/passwd",
            "./x",
            "a//b",
            "",
            "/",
            ".git/hooks/pre-commit",
            "a/.env",
            "a\0b",
            "a\nb",
            "\u{202e}gpj.exe",
            "a\u{200b}b",
            &"x/".repeat(300),
        ] {
            assert!(matches!(files.read(path), Err(FilesError::Path(_))), "{path:?}");
            assert!(matches!(files.write(path, b"x"), Err(FilesError::Path(_))), "{path:?}");
        }
        symlink(dir.path().join("secret/key"), granted.join("link")).unwrap();
        symlink(dir.path().join("secret"), granted.join("folder")).unwrap();
        symlink("..", granted.join("up")).unwrap();
        for path in ["link", "folder/key", "up/secret/key"] {
            let read = files.read(path);
            assert!(matches!(read, Err(FilesError::NoFile(_))), "{path}: {read:?}");
            let written = files.write(path, b"mine");
            assert!(matches!(written, Err(FilesError::NoFile(_))), "{path}: {written:?}");
        }
        let secret = std::fs::read_dir(dir.path().join("secret")).unwrap().count();
        assert_eq!(secret, 1);
        assert_eq!(std::fs::read(dir.path().join("secret/key")).unwrap(), b"the key");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_link_that_is_swapped_in_meanwhile_leads_nowhere() {
        use std::time::{Duration, Instant};
        let (dir, files) = scene();
        let granted = dir.path().join("granted");
        std::fs::create_dir(granted.join("place")).unwrap();
        std::fs::write(granted.join("place/key"), "harmless").unwrap();
        symlink(dir.path().join("secret"), granted.join("evil")).unwrap();
        let begun = Instant::now();
        let racing = || begun.elapsed() < Duration::from_secs(1);
        let (mut read, mut refused) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // The folder and the link change places all the time.
                let (place, evil) = (granted.join("place"), granted.join("evil"));
                while racing() {
                    let swap = fs::RenameFlags::EXCHANGE;
                    fs::renameat_with(fs::CWD, &place, fs::CWD, &evil, swap).unwrap();
                }
            });
            while racing() {
                for _ in 0..100 {
                    match files.read("place/key") {
                        Ok(bytes) => {
                            assert_eq!(bytes, b"harmless");
                            read += 1;
                        }
                        Err(_) => refused += 1,
                    }
                }
                drop(files.write("place/new", b"mine"));
            }
        });
        assert!(read > 0 && refused > 0, "{read} read, {refused} refused: there was no race");
        assert!(!dir.path().join("secret/new").exists());
    }

    #[test]
    fn only_plain_files_of_a_bounded_length_are_read_and_written() {
        let (dir, files) = scene();
        let granted = dir.path().join("granted");
        std::fs::create_dir(granted.join("folder")).unwrap();
        assert!(matches!(files.read("folder"), Err(FilesError::NoFile(_))));
        assert!(matches!(files.write("folder", b""), Err(FilesError::NoFile(_))));
        fs::mknodat(fs::CWD, granted.join("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .unwrap();
        assert!(matches!(files.read("pipe"), Err(FilesError::NoFile(_))), "and without waiting");
        assert!(matches!(files.write("pipe", b""), Err(FilesError::NoFile(_))));
        let long = vec![b'x'; usize::try_from(LONGEST).unwrap() + 1];
        assert!(matches!(files.write("long", &long), Err(FilesError::TooLong { .. })));
        std::fs::write(granted.join("long"), &long).unwrap();
        let error = files.read("long").unwrap_err().to_string();
        assert!(error.contains("1048577 bytes"), "{error}");
        let reader = Files::new(granted, false);
        assert_eq!(reader.write("x", b""), Err(FilesError::ReadOnly));
    }
}
