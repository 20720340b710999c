//! Named edges at which a test kills the process, and a clock that a test sets.
//!
//! With the feature `testing` a process aborts when it comes to the edge that `MARQUE_FAILPOINT`
//! names, or the first word of the file that `MARQUE_FAILPOINTS` names; the file may be written
//! while the process runs. Without the feature all of this is nothing.
//!
//! - `folder` (the journal has a folder and no segment), `opening` (journal folded, nothing else
//!   done), `reserved` (journalled, not signed), `signed`
//!   (signed and journalled, not out), `sent` (out, and nobody was told).
//! - For every kind of entry: `torn.KIND` (half of it is in the file; the second word is the folder
//!   of the journal's segments), `journalled.KIND` (durable, its effect not carried out),
//!   `done.KIND` (carried out, nobody was told).
//!
//! `MARQUE_CLOCK` names a file with the milliseconds that the wall clock is off. With
//! `MARQUE_SLOW_SYNC` every wait of the journal for the disk takes so many microseconds longer.

#[cfg(feature = "testing")]
mod armed {
    use crate::entry::Body;
    use std::{fs, io::Write as _, path::Path};

    /// The edge that is wanted, and where the segments lie.
    fn wanted() -> Option<(String, Option<String>)> {
        if let Some(name) = std::env::var_os("MARQUE_FAILPOINT") {
            return Some((name.to_string_lossy().into_owned(), None));
        }
        let text = fs::read_to_string(std::env::var_os("MARQUE_FAILPOINTS")?).ok()?;
        let mut words = text.split_whitespace().map(str::to_owned);
        Some((words.next()?, words.next()))
    }

    /// Dies here, if a test says so.
    pub(crate) fn failpoint(name: &str) {
        if wanted().is_some_and(|(wanted, _)| wanted == name) {
            tracing::warn!(name, "fail point");
            std::process::abort();
        }
    }

    /// The same for the edges of entries.
    pub(crate) fn at(edge: &str, kinds: &[&str]) {
        let Some((wanted, _)) = wanted() else { return };
        if kinds.iter().any(|kind| wanted.split_once('.') == Some((edge, kind))) {
            tracing::warn!(wanted, "fail point");
            std::process::abort();
        }
    }

    /// Writes a group up to the middle of the entry that a test names, and dies.
    pub(crate) fn tear(kinds: &[&str], group: &[Vec<u8>]) {
        let Some((wanted, Some(folder))) = wanted() else { return };
        let Some(torn) =
            kinds.iter().position(|kind| wanted.split_once('.') == Some(("torn", kind)))
        else {
            return;
        };
        let mut bytes = Vec::new();
        for (n, entry) in group.iter().take(torn + 1).enumerate() {
            let length = u32::try_from(entry.len()).unwrap_or(u32::MAX);
            bytes.extend(length.to_be_bytes());
            bytes.extend(crc32c::crc32c(entry).to_be_bytes());
            let end = if n == torn { entry.len() / 2 } else { entry.len() };
            bytes.extend(entry.get(..end).unwrap_or_default());
        }
        let newest = fs::read_dir(Path::new(&folder))
            .into_iter()
            .flatten()
            .filter_map(|file| file.ok().map(|file| file.path()))
            .filter(|path| path.extension().is_some_and(|it| it == "seg"))
            .max();
        let written = newest.map(|path| {
            let mut file = fs::OpenOptions::new().append(true).open(path)?;
            file.write_all(&bytes)
        });
        tracing::warn!(wanted, ?written, "torn");
        std::process::abort();
    }

    /// How far the wall clock is off, in milliseconds.
    pub(crate) fn clock_offset() -> i64 {
        let file = std::env::var_os("MARQUE_CLOCK");
        let text = file.and_then(|file| fs::read_to_string(file).ok());
        text.and_then(|text| text.trim().parse().ok()).unwrap_or_default()
    }

    /// A slower disk than there is.
    pub(crate) fn slow_sync() {
        let longer = std::env::var("MARQUE_SLOW_SYNC").ok().and_then(|text| text.parse().ok());
        if let Some(longer) = longer {
            std::thread::sleep(std::time::Duration::from_micros(longer));
        }
    }

    /// The kinds of entries, for the edges.
    pub(crate) fn kinds<'a>(
        bodies: impl Iterator<Item = &'a Body> + 'a,
    ) -> impl Iterator<Item = &'static str> + 'a {
        bodies.map(Body::kind)
    }
}

#[cfg(feature = "testing")]
pub(crate) use armed::{at, clock_offset, failpoint, kinds, slow_sync, tear};

#[cfg(not(feature = "testing"))]
mod disarmed {
    use crate::entry::Body;

    /// Nothing.
    pub(crate) const fn failpoint(_name: &str) {}

    /// Nothing.
    pub(crate) const fn at(_edge: &str, _kinds: &[&str]) {}

    /// Nothing.
    pub(crate) const fn tear(_kinds: &[&str], _group: &[Vec<u8>]) {}

    /// None.
    pub(crate) const fn clock_offset() -> i64 {
        0
    }

    /// Nothing.
    pub(crate) const fn slow_sync() {}

    /// Nothing.
    pub(crate) fn kinds<'a>(
        _bodies: impl Iterator<Item = &'a Body> + 'a,
    ) -> impl Iterator<Item = &'static str> + 'a {
        std::iter::empty()
    }
}

#[cfg(not(feature = "testing"))]
pub(crate) use disarmed::{at, clock_offset, failpoint, kinds, slow_sync, tear};
