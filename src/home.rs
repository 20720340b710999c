//! Where things live: the steward's home and, apart from it, the owner's.
//!
//! Paths only. The steward crate opens, locks and guards what is inside.

use marque_identity_keys::{SHORTEST, SecretError, SecretSource};
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    fs::DirEntry,
    path::{Path, PathBuf},
};

/// A steward's home: limits, policies, journal, the agents' encrypted keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(PathBuf);

/// The owner's folder: an encrypted key, on the owner's machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerHome(PathBuf);

impl Home {
    /// `given`, else `~/.marque`.
    ///
    /// # Errors
    /// Where there is no home folder to put it in.
    pub fn locate(given: Option<PathBuf>) -> Result<Self, String> {
        locate(given, ".marque", "--home or MARQUE_HOME").map(Self)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// One agent's folder.
    #[must_use]
    pub fn agent(&self, name: &str) -> PathBuf {
        self.0.join("agents").join(name)
    }

    /// The socket on which that agent's mind reaches the steward.
    #[must_use]
    pub fn socket(&self, name: &str) -> PathBuf {
        self.agent(name).join("steward.sock")
    }

    /// The sockets of the accounts below that agent, as far as a steward has made them.
    #[must_use]
    pub fn sub_sockets(&self, name: &str) -> Vec<PathBuf> {
        let accounts = std::fs::read_dir(self.agent(name).join("sub")).into_iter().flatten();
        let sockets = accounts.flatten().map(|account| account.path().join("steward.sock"));
        sockets.filter(|socket| socket.exists()).collect()
    }

    /// The socket on which the owner's commands reach the steward, about that agent: no crowd of its
    /// mind's stands before it.
    #[must_use]
    pub fn owner_socket(&self, name: &str) -> PathBuf {
        self.agent(name).join("owner.sock")
    }

    /// The agent's policy draft; what is in force lives in the journal.
    #[must_use]
    pub fn policy(&self, name: &str) -> PathBuf {
        self.agent(name).join("policy.toml")
    }

    /// What the draft forbids beyond that, in the Cedar language; need not exist.
    #[must_use]
    pub fn forbids(&self, name: &str) -> PathBuf {
        self.agent(name).join("policy.cedar")
    }

    /// What the owner signed for the agent to draw on the account on chain; need not exist.
    #[must_use]
    pub fn delegation(&self, name: &str) -> PathBuf {
        self.agent(name).join("delegation.json")
    }

    /// What the drafts of all agents share; need not exist.
    #[must_use]
    pub fn shared_policy(&self) -> PathBuf {
        self.0.join("owner.toml")
    }

    /// The mind's own folder.
    #[must_use]
    pub fn mind(&self, name: &str) -> PathBuf {
        self.agent(name).join("mind")
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// The steward's keystores.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// What `marque devnet` wrote for others to find.
    #[must_use]
    pub fn devnet(&self) -> PathBuf {
        self.0.join("devnet.toml")
    }

    /// The agents that have a folder here, sorted. Whoever can write here can fill it: of more than
    /// [`MOST_AGENTS`] those that have a key come first, and of more than [`MOST_ENTRIES`] files and
    /// folders the rest is not looked at.
    #[must_use]
    pub fn agents(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .entries()
            .filter(is_folder)
            .filter_map(|it| it.file_name().into_string().ok())
            .collect();
        if names.len() > MOST_AGENTS {
            let keys = self.keys();
            names.sort_by_cached_key(|name| {
                (!keys.join(format!("{name}.json")).exists(), name.clone())
            });
            names.truncate(MOST_AGENTS);
        }
        names.sort();
        names
    }

    /// Whether an agent has a folder here.
    #[must_use]
    pub fn has(&self, agent: &str) -> bool {
        let plain = Path::new(agent).file_name().is_some_and(|name| name == agent);
        plain && self.agent(agent).is_dir()
    }

    /// Whether more is here than [`Self::agents`] tells.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.entries().nth(MOST_ENTRIES.saturating_sub(1)).is_some()
            || self.entries().filter(is_folder).nth(MOST_AGENTS).is_some()
    }

    fn entries(&self) -> impl Iterator<Item = DirEntry> {
        let all = std::fs::read_dir(self.0.join("agents")).into_iter().flatten();
        all.take(MOST_ENTRIES).flatten()
    }
}

/// So many agents of a home are told of,
pub const MOST_AGENTS: usize = 1_000;

/// and so many files and folders are looked at for them.
pub const MOST_ENTRIES: usize = 100_000;

fn is_folder(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|it| it.is_dir() || (it.is_symlink() && entry.path().is_dir()))
}

impl OwnerHome {
    /// `given`, else `~/.marque-owner`.
    ///
    /// # Errors
    /// Where there is no home folder to put it in.
    pub fn locate(given: Option<PathBuf>) -> Result<Self, String> {
        locate(given, ".marque-owner", "--owner-home or MARQUE_OWNER_HOME").map(Self)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

fn locate(given: Option<PathBuf>, folder: &str, flag: &str) -> Result<PathBuf, String> {
    let path = match given {
        Some(path) => path,
        None => directories::BaseDirs::new()
            .map(|dirs| dirs.home_dir().join(folder))
            .ok_or_else(|| format!("there is no home folder on this system; give {flag}"))?,
    };
    std::path::absolute(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads a secret from a file descriptor, a systemd credential or a prompt, in this order; never
/// from an argument or an environment variable. `new` is one that is to be set: a prompt asks for it
/// twice, and it is as long as a new one must be wherever it comes from.
///
/// # Errors
/// Where none of them gives one, or a new one is too short.
pub fn secret(
    fd: Option<i32>,
    credential: &str,
    text: &str,
    new: bool,
) -> Result<SecretString, SecretError> {
    let credential = SecretSource::Credential { name: credential.to_owned() };
    let secret = match fd {
        Some(fd) => SecretSource::Fd(fd).read(),
        None if std::env::var_os("CREDENTIALS_DIRECTORY").is_some() => credential.read(),
        None => SecretSource::Prompt { text: text.to_owned(), confirm: new }.read(),
    }?;
    if new && secret.expose_secret().chars().count() < SHORTEST {
        return Err(SecretError::TooShort);
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_crowd_of_folders_those_with_a_key_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(dir.path().to_owned())).unwrap();
        let make = |name: &str| std::fs::create_dir_all(home.agent(name)).unwrap();
        ["b", "a"].into_iter().for_each(make);
        std::fs::write(home.agent("no folder"), "").unwrap();
        assert_eq!((home.agents(), home.is_crowded()), (vec!["a".into(), "b".into()], false));
        (0..MOST_AGENTS).for_each(|number| make(&format!("crowd{number}")));
        make("scout");
        std::fs::create_dir_all(home.keys()).unwrap();
        std::fs::write(home.keys().join("scout.json"), "").unwrap();
        let agents = home.agents();
        assert!(home.is_crowded() && agents.len() == MOST_AGENTS);
        assert!(agents.contains(&"scout".to_owned()) && agents.is_sorted());
        assert!(home.has("scout") && !home.has("..") && !home.has("nobody") && !home.has("a/../b"));
    }
}
