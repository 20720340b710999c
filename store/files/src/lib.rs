//! The files of a home, opened as if somebody else had put them there.
//!
//! Whoever has a host can leave anything where a command of the owner's will look or write: a link to a
//! file that only the owner may write, a pipe that nobody fills, a file without an end. Here a link is
//! followed neither to a file nor, where something is written, to its folder; nothing is waited for; and a
//! file is as long as its reader says at most.
//!
//! INVARIANT: what is written lies in the very folder that was named, in a file that has no other name
//! (pinned by `nothing_is_written_through_a_link`). Paths are not asked about first and opened later:
//! folders are held open, and files opened from them.

use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};
use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// The mode of a new file that nobody else may read.
pub const PRIVATE: u32 = 0o600;

/// The mode of a new file that others may read, as far as the process lets them (`umask`).
pub const SHARED: u32 = 0o666;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To be read.
    Read,
    /// To be read and written, where it is there.
    Write,
    /// To be read and written; made with this mode where it is not there.
    Create(u32),
    /// To be read and written; made with this mode where nothing is there, or not at all.
    New(u32),
    /// To be written at its end alone, where it is there.
    Append,
}

/// A folder that is held open: what is opened in it lies in it, whatever becomes of its path.
#[derive(Debug)]
pub struct Folder {
    held: File,
    path: PathBuf,
}

impl Folder {
    /// Opens a folder, which is no link to one.
    ///
    /// # Errors
    /// Where it is not there, is a link, or is no folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        // The parent of a relative name is the empty path.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let held = rustix::fs::open(path, FOLDER, Mode::empty())
            .map_err(|error| no_folder(path, error))?;
        Ok(Self { held: held.into(), path: path.to_owned() })
    }

    /// Opens a folder in this one.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn within(&self, name: impl AsRef<Path>) -> io::Result<Self> {
        let path = self.path.join(&name);
        let held = rustix::fs::openat(&self.held, name.as_ref(), FOLDER, Mode::empty());
        let held = held.map_err(|error| no_folder(&path, error))?;
        Ok(Self { held: held.into(), path })
    }

    /// The same, made for nobody else where it is not there.
    ///
    /// # Errors
    /// As [`Self::open`], and where it cannot be made.
    pub fn make(&self, name: impl AsRef<Path>) -> io::Result<Self> {
        match rustix::fs::mkdirat(&self.held, name.as_ref(), Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => self.within(name),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a plain file in this folder.
    ///
    /// # Errors
    /// Where it is not there, or there already; is a link, or no plain file; or is to be written and
    /// has another name as well.
    pub fn file(&self, name: impl AsRef<Path>, access: Access) -> io::Result<File> {
        let always = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let (how, mode) = match access {
            Access::Read => (OFlags::RDONLY, 0),
            Access::Write => (OFlags::RDWR, 0),
            Access::Create(mode) => (OFlags::RDWR | OFlags::CREATE, mode),
            Access::New(mode) => (OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode),
            Access::Append => (OFlags::WRONLY | OFlags::APPEND, 0),
        };
        let mode = Mode::from_raw_mode(mode);
        let opened = rustix::fs::openat(&self.held, name.as_ref(), always | how, mode);
        let file = plain(opened.map_err(no_file)?.into())?;
        if access != Access::Read && file.metadata()?.nlink() > 1 {
            return Err(refused("it has another name as well, which is not to be written to"));
        }
        Ok(file)
    }

    /// Replaces the file `name` by `bytes` in one step for every reader; answers the new one, which
    /// nobody has waited for the disk with. It is written as `name.new` first.
    ///
    /// # Errors
    /// Where it cannot be written, or a folder is there.
    pub fn replace(&self, name: &OsStr, bytes: &[u8], mode: u32) -> io::Result<File> {
        self.put(name, bytes, mode, |_| Ok(()))
    }

    /// The same, and on the disk when it returns, name included.
    ///
    /// # Errors
    /// As [`Self::replace`].
    pub fn replace_durably(&self, name: &OsStr, bytes: &[u8], mode: u32) -> io::Result<()> {
        self.put(name, bytes, mode, File::sync_all)?;
        self.sync()
    }

    fn put(
        &self,
        name: &OsStr,
        bytes: &[u8],
        mode: u32,
        sync: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<File> {
        let mut new = name.to_owned();
        new.push(".new");
        // Made anew, whatever is there: what a crash left, or a link that would lead elsewhere.
        match rustix::fs::unlinkat(&self.held, &new, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let mut file = self.file(&new, Access::New(mode))?;
        file.write_all(bytes)?;
        sync(&file)?;
        rustix::fs::renameat(&self.held, &new, &self.held, name)?;
        Ok(file)
    }

    /// Waits until the names in this folder are on the disk.
    ///
    /// # Errors
    /// Where the disk does not say so.
    pub fn sync(&self) -> io::Result<()> {
        self.held.sync_all()
    }
}

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a plain file; for [`Access::Read`] its folder may be a link, and for no other.
///
/// # Errors
/// As [`Folder::file`].
pub fn open(path: &Path, access: Access) -> io::Result<File> {
    if access == Access::Read {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::RDONLY;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(no_file)?;
        return plain(file.into());
    }
    let (folder, name) = apart(path)?;
    folder.file(name, access)
}

/// The bytes of a plain file, of which there are at most `most`.
///
/// # Errors
/// Where it is not there, is no plain file, or is longer.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    bounded(open(path, Access::Read)?, most)
}

/// The same, or `None` where nothing is there.
///
/// # Errors
/// As [`read`].
pub fn read_if_there(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    match read(path, most) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A file that a person wrote, as text: their links lead where they want. A pipe is no file here either.
///
/// # Errors
/// As [`read`], and where it is no UTF-8.
pub fn follow(path: &Path, most: u64) -> io::Result<String> {
    let text = bounded(open_followed(path)?, most)?;
    String::from_utf8(text).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text"))
}

/// The same, opened.
///
/// # Errors
/// Where it is not there, or leads to no plain file.
pub fn open_followed(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::RDONLY;
    plain(rustix::fs::open(path, flags, Mode::empty()).map_err(no_file)?.into())
}

/// Replaces a file, as [`Folder::replace`]. Its folder is no link.
///
/// # Errors
/// As [`Folder::replace`].
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let (folder, name) = apart(path)?;
    folder.replace(name, bytes, mode).map(drop)
}

/// Replaces a file, as [`Folder::replace_durably`]. Its folder is no link.
///
/// # Errors
/// As [`Folder::replace`].
pub fn replace_durably(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let (folder, name) = apart(path)?;
    folder.replace_durably(name, bytes, mode)
}

/// Replaces a file in a folder that a person named: their links lead where they want. One in the place of
/// the file is replaced.
///
/// # Errors
/// As [`Folder::replace`].
pub fn replace_followed(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| refused("it names no file"))?;
    let folder = path.parent().filter(|path| !path.as_os_str().is_empty());
    let folder = std::fs::canonicalize(folder.unwrap_or(Path::new(".")))?;
    Folder::open(&folder)?.replace(name, bytes, mode).map(drop)
}

fn apart(path: &Path) -> io::Result<(Folder, &OsStr)> {
    let name = path.file_name().ok_or_else(|| refused("it names no file"))?;
    Ok((Folder::open(path.parent().unwrap_or(Path::new("")))?, name))
}

fn plain(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(not_plain()),
    }
}

fn bounded(file: File, most: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(most)).unwrap_or_default());
    // It may grow while it is read.
    let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match u64::try_from(read).is_ok_and(|read| read <= most) {
        true => Ok(bytes),
        false => Err(refused(&format!("it is longer than the {most} bytes that belong there"))),
    }
}

fn no_file(error: Errno) -> io::Error {
    match error {
        Errno::LOOP => {
            refused("it is a link, and none belongs there: see who made it, and remove it")
        }
        // A pipe or a socket that is to be written to, or a folder.
        Errno::NXIO | Errno::ISDIR => not_plain(),
        error => error.into(),
    }
}

fn no_folder(path: &Path, error: Errno) -> io::Error {
    match error {
        Errno::LOOP | Errno::NOTDIR | Errno::MLINK => refused(&format!(
            "{} is a link or no folder, and neither belongs there: see who made it, and remove it",
            path.display()
        )),
        error => error.into(),
    }
}

fn not_plain() -> io::Error {
    refused("it is no plain file, and nothing else belongs there: see who made it, and remove it")
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::{fs::symlink, net::UnixListener};

    /// A home, and beside it a file of somebody's that is not to be touched.
    fn home() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (home, precious) = (dir.path().join("home"), dir.path().join("owner/owner.json"));
        fs::create_dir_all(&home).unwrap();
        fs::create_dir_all(precious.parent().unwrap()).unwrap();
        fs::write(&precious, "precious").unwrap();
        (dir, home, precious)
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let (_dir, home, precious) = home();
        for name in ["file", "file.new"] {
            symlink(&precious, home.join(name)).unwrap();
            let at = home.join("file");
            for access in [Access::Write, Access::Create(PRIVATE), Access::Append] {
                if name == "file" {
                    let error = open(&at, access).unwrap_err().to_string();
                    assert!(
                        error.contains("it is a link") && error.contains("remove it"),
                        "{error}"
                    );
                }
            }
            assert!(open(&home.join(name), Access::New(PRIVATE)).is_err());
            assert!(read(&home.join(name), 100).is_err());
            replace(&at, b"ours", PRIVATE).unwrap();
            replace_durably(&at, b"ours", PRIVATE).unwrap();
            assert_eq!(read(&at, 4).unwrap(), b"ours");
            assert_eq!(fs::read(&precious).unwrap(), b"precious");
            fs::remove_file(&at).unwrap();
        }
        // Nor through the folder.
        let folder = home.join("folder");
        symlink(precious.parent().unwrap(), &folder).unwrap();
        for access in [Access::Write, Access::Create(PRIVATE), Access::Append] {
            let error = open(&folder.join("owner.json"), access).unwrap_err().to_string();
            assert!(error.contains("folder is a link"), "{error}");
        }
        assert!(replace(&folder.join("owner.json"), b"ours", PRIVATE).is_err());
        assert!(Folder::open(&home).unwrap().make("folder").is_err());
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        assert_eq!(fs::read_dir(precious.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_written_to_a_file_with_another_name() {
        let (_dir, home, precious) = home();
        fs::hard_link(&precious, home.join("file")).unwrap();
        for access in [Access::Write, Access::Create(PRIVATE), Access::Append] {
            let error = open(&home.join("file"), access).unwrap_err().to_string();
            assert!(error.contains("another name"), "{error}");
        }
        // Read it may be, and replaced: that leaves the other one.
        assert_eq!(read(&home.join("file"), 100).unwrap(), b"precious");
        replace(&home.join("file"), b"ours", PRIVATE).unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
    }

    #[test]
    fn nothing_is_waited_for() {
        let (_dir, home, _) = home();
        let (pipe, socket, folder) = (home.join("pipe"), home.join("socket"), home.join("folder"));
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RWXU, 0)
            .unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        fs::create_dir(&folder).unwrap();
        for path in [&pipe, &socket, &folder, Path::new("/dev/zero")] {
            for access in [Access::Read, Access::Write, Access::Create(PRIVATE), Access::Append] {
                let error = open(path, access).unwrap_err().to_string();
                assert!(error.contains("no plain file"), "{} {access:?}: {error}", path.display());
            }
            assert!(follow(path, 100).is_err());
        }
    }

    #[test]
    fn no_more_is_read_than_belongs_there() {
        let (_dir, home, precious) = home();
        assert_eq!(read(&precious, 8).unwrap(), b"precious");
        let error = read(&precious, 7).unwrap_err().to_string();
        assert!(error.contains("longer than the 7 bytes"), "{error}");
        // Without an end, as far as anybody could wait for.
        let endless = home.join("endless");
        File::create(&endless).unwrap().set_len(1 << 40).unwrap();
        assert!(read(&endless, 4096).is_err());
        assert!(read_if_there(&home.join("none"), 1).unwrap().is_none());
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let (_dir, home, _) = home();
        let at = home.join("file");
        // What a crash left is longer.
        fs::write(home.join("file.new"), "half of what was to be written").unwrap();
        replace(&at, b"first", SHARED).unwrap();
        let before = open(&at, Access::Read).unwrap();
        replace_durably(&at, b"second", PRIVATE).unwrap();
        assert_eq!(bounded(before, 100).unwrap(), b"first");
        assert_eq!(read(&at, 100).unwrap(), b"second");
        assert_eq!(fs::metadata(&at).unwrap().mode() & 0o777, PRIVATE);
        assert!(!home.join("file.new").exists());
    }

    #[test]
    fn what_a_person_named_is_read_through_their_links() {
        let (_dir, home, precious) = home();
        symlink(&precious, home.join("draft")).unwrap();
        assert_eq!(follow(&home.join("draft"), 100).unwrap(), "precious");
        let folder = home.join("folder");
        symlink(&home, &folder).unwrap();
        replace_followed(&folder.join("draft"), b"ours", SHARED).unwrap();
        assert_eq!(follow(&home.join("draft"), 100).unwrap(), "ours");
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
    }
}
