//! Named edges at which a test kills the process.
//!
//! With the feature `testing` a process whose `MARQUE_FAILPOINT` names an edge aborts when it gets
//! there; without it, this is nothing. Edges: `opening` (journal folded, nothing else done),
//! `reserved` (journalled, not signed), `signed` (signed and journalled, not out), `sent` (out, and
//! nobody was told).

/// Dies here, if a test says so.
#[cfg(feature = "testing")]
pub(crate) fn failpoint(name: &str) {
    if std::env::var_os("MARQUE_FAILPOINT").is_some_and(|wanted| wanted == name) {
        tracing::warn!(name, "fail point");
        std::process::abort();
    }
}

/// Nothing.
#[cfg(not(feature = "testing"))]
pub(crate) const fn failpoint(_name: &str) {}
