//! Where lines go: a terminal, a pipe, or a file that appears whole or not at all.

use crate::failure::{Context as _, Done};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Takes lines.
pub(super) struct Sink {
    to: Box<dyn Write>,
    name: String,
    /// What is written as and what it is called in the end.
    file: Option<(PathBuf, PathBuf)>,
    /// Who was reading has gone.
    closed: bool,
}

impl Sink {
    /// Standard output, without colour where it is no terminal.
    pub(super) fn out() -> Self {
        let to = Box::new(BufWriter::new(anstream::stdout()));
        Self { to, name: "standard output".to_owned(), file: None, closed: false }
    }

    /// A file that nobody else reads.
    pub(super) fn file(path: &Path) -> Done<Self> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let mut options = OpenOptions::new();
        let open = options.write(true).create(true).truncate(true).mode(0o600).open(&new);
        let to = Box::new(BufWriter::new(open.doing(new.display())?));
        let name = path.display().to_string();
        Ok(Self { to, name, file: Some((new, path.to_owned())), closed: false })
    }

    pub(super) fn line(&mut self, line: impl AsRef<[u8]>) -> Done {
        if self.closed {
            return Ok(());
        }
        let written = self.to.write_all(line.as_ref()).and_then(|()| self.to.write_all(b"\n"));
        self.heard(written)
    }

    /// Shows what was written so far.
    pub(super) fn flush(&mut self) -> Done {
        if self.closed {
            return Ok(());
        }
        let flushed = self.to.flush();
        self.heard(flushed)
    }

    pub(super) fn finish(mut self) -> Done {
        self.flush()?;
        let Some((new, path)) = &self.file else { return Ok(()) };
        File::open(new).and_then(|file| file.sync_all()).doing(new.display())?;
        fs::rename(new, path).doing(path.display())
    }

    /// `| head` has read enough: that is no failure.
    fn heard(&mut self, written: io::Result<()>) -> Done {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            written => written.doing(&self.name),
        }
    }

    /// Whether anybody still reads.
    pub(super) const fn open(&self) -> bool {
        !self.closed
    }
}
