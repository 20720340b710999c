//! Where lines go: a terminal, a pipe, or a file that appears whole or not at all.

use crate::failure::{Context as _, Done};
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};
use tempfile::{NamedTempFile, TempPath};

/// Takes lines.
pub(super) struct Sink {
    to: Box<dyn Write>,
    name: String,
    /// The draft, which goes away unless it is finished, and what it is called in the end.
    file: Option<(TempPath, PathBuf)>,
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
        let name = path.display().to_string();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let draft = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")));
        let (file, draft) = draft.doing(&name)?.into_parts();
        let to = Box::new(BufWriter::new(file));
        Ok(Self { to, name, file: Some((draft, path.to_owned())), closed: false })
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
        let Some((draft, path)) = self.file else { return Ok(()) };
        File::open(&draft).and_then(|file| file.sync_all()).doing(&self.name)?;
        draft.persist(path).map_err(|error| error.error).doing(&self.name)
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
