//! A folder of encrypted keys.
//!
//! - The folder is 0700 and its files 0600; anything more open is refused, not mended silently.
//! - A file appears whole or not at all, and is never overwritten: losing a key loses money.
//! - The public part (address, log key) stands in clear beside the sealed one and is checked against
//!   it at every unlock.

use crate::{
    Key, KeyError,
    keystore::{self, Keystore, Shut, random},
};
use alloy_primitives::Address;
use ed25519_dalek::SigningKey;
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The log key's file. No key name has a dot, so none collides with it.
const LOG_KEY: &str = "log.ed25519";

/// A folder of keystores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDir {
    path: PathBuf,
}

impl KeyDir {
    /// Makes the folder, with its parents, where it does not exist; then opens it.
    ///
    /// # Errors
    /// [`KeyError::File`] where it cannot be made, [`KeyError::Open`] where it exists and others can
    /// look into it.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        let path = path.as_ref();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|source| file_error(path, source))?;
        Self::open(path)
    }

    /// Opens an existing folder.
    ///
    /// # Errors
    /// [`KeyError::File`] where there is none, [`KeyError::Open`] where others can look into it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        let path = path.as_ref();
        let metadata = fs::metadata(path).map_err(|source| file_error(path, source))?;
        if !metadata.is_dir() {
            return Err(file_error(path, io::ErrorKind::NotADirectory.into()));
        }
        closed_to_others(path, &metadata.permissions())?;
        Ok(Self { path: path.to_owned() })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a random key and answers its address.
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::Exists`], [`KeyError::File`] or [`KeyError::Random`].
    pub fn create_key(&self, name: &str, passphrase: &SecretString) -> Result<Address, KeyError> {
        // One number in 2^128 is no key; the next one is.
        let key = loop {
            let bytes = random::<32>().map_err(no_random)?;
            if let Ok(key) = Key::from_bytes(&bytes) {
                break key;
            }
        };
        self.keep(name, &key, passphrase)
    }

    /// Takes over a private key, written as 64 hexadecimal digits with or without `0x`, and answers
    /// its address.
    ///
    /// # Errors
    /// [`KeyError::NotAKey`], and as [`Self::create_key`].
    pub fn import(
        &self,
        name: &str,
        private_key: &SecretString,
        passphrase: &SecretString,
    ) -> Result<Address, KeyError> {
        let text = private_key.expose_secret().trim();
        let text = text.strip_prefix("0x").unwrap_or(text);
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text, &mut *bytes).map_err(|_| KeyError::NotAKey)?;
        self.keep(name, &Key::from_bytes(&bytes)?, passphrase)
    }

    /// Takes over a keystore, ours or another wallet's, that opens with `passphrase`, and answers its
    /// address. The way back from [`Self::backup`].
    ///
    /// # Errors
    /// [`KeyError::Unreadable`], [`KeyError::WrongPassphrase`], and as [`Self::create_key`].
    pub fn restore(
        &self,
        name: &str,
        keystore: &str,
        passphrase: &SecretString,
    ) -> Result<Address, KeyError> {
        self.keep(name, &unlock(name, &parse(name, keystore)?, passphrase)?, passphrase)
    }

    /// The keystore of a key as JSON, still encrypted, for keeping elsewhere.
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::Missing`], [`KeyError::Open`] or [`KeyError::File`].
    pub fn backup(&self, name: &str) -> Result<String, KeyError> {
        self.text(checked(name)?)
    }

    /// A key's address, without its passphrase. A steward checks it again when it unlocks.
    ///
    /// # Errors
    /// As [`Self::backup`], and [`KeyError::Unreadable`].
    pub fn address(&self, name: &str) -> Result<Address, KeyError> {
        let keystore = self.read(checked(name)?)?;
        stated_address(name, &keystore)?
            .ok_or_else(|| unreadable(name, "it names no address".to_owned()))
    }

    /// Unlocks a key.
    ///
    /// # Errors
    /// [`KeyError::WrongPassphrase`], [`KeyError::Altered`] where the file names another address,
    /// and as [`Self::address`].
    pub fn key(&self, name: &str, passphrase: &SecretString) -> Result<Key, KeyError> {
        unlock(name, &self.read(checked(name)?)?, passphrase)
    }

    /// The names of the keys here, sorted; the log key is not one of them.
    ///
    /// # Errors
    /// [`KeyError::File`] where the folder cannot be listed.
    pub fn names(&self) -> Result<Vec<String>, KeyError> {
        let entries = fs::read_dir(&self.path).map_err(|source| file_error(&self.path, source))?;
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| {
                entry.file_name().to_str()?.strip_suffix(".json").map(str::to_owned)
            })
            .filter(|name| checked(name).is_ok())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Makes the random Ed25519 key that signs a journal's checkpoints; answers its public key.
    ///
    /// # Errors
    /// [`KeyError::Exists`], [`KeyError::File`] or [`KeyError::Random`].
    pub fn create_log_key(&self, passphrase: &SecretString) -> Result<[u8; 32], KeyError> {
        let seed = random::<32>().map_err(no_random)?;
        let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        let mut keystore = Keystore::seal(&seed, passphrase).map_err(no_random)?;
        keystore.public_key = Some(hex::encode(public));
        self.write(LOG_KEY, &keystore)?;
        Ok(public)
    }

    /// The log key's public half, without the passphrase.
    ///
    /// # Errors
    /// [`KeyError::Missing`], [`KeyError::Open`], [`KeyError::File`] or [`KeyError::Unreadable`].
    pub fn log_public_key(&self) -> Result<[u8; 32], KeyError> {
        stated_public_key(&self.read(LOG_KEY)?)
    }

    /// Unlocks the log key: the seed of an Ed25519 key.
    ///
    /// # Errors
    /// [`KeyError::WrongPassphrase`], [`KeyError::Altered`] where the file names another public key,
    /// and as [`Self::log_public_key`].
    pub fn log_key(&self, passphrase: &SecretString) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        let keystore = self.read(LOG_KEY)?;
        let said = stated_public_key(&keystore)?;
        let seed = keystore.open(passphrase).map_err(|shut| shut_error(LOG_KEY, shut))?;
        let found = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        if found != said {
            let (said, found) = (hex::encode(said), hex::encode(found));
            return Err(KeyError::Altered { name: LOG_KEY.to_owned(), said, found });
        }
        Ok(seed)
    }

    /// Seals a key into a new file.
    fn keep(&self, name: &str, key: &Key, passphrase: &SecretString) -> Result<Address, KeyError> {
        let name = checked(name)?;
        let mut keystore = Keystore::seal(&key.to_bytes(), passphrase).map_err(no_random)?;
        keystore.address = Some(hex::encode(key.address()));
        self.write(name, &keystore)?;
        Ok(key.address())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.json"))
    }

    /// A new file, whole, durable and private from its first byte on.
    fn write(&self, name: &str, keystore: &Keystore) -> Result<(), KeyError> {
        let path = self.file(name);
        let fail = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => {
                KeyError::Exists { name: name.to_owned(), folder: self.path.clone() }
            }
            _ => file_error(&path, source),
        };
        let text = serde_json::to_string_pretty(keystore)
            .map_err(|error| unreadable(name, error.to_string()))?;
        let tag = hex::encode(*random::<8>().map_err(no_random)?);
        let draft = self.path.join(format!(".{name}.{tag}"));
        let written = write_private(&draft, text.as_bytes())
            // A link, unlike a rename, does not replace what is there.
            .and_then(|()| fs::hard_link(&draft, &path))
            .and_then(|()| File::open(&self.path)?.sync_all());
        let removed = fs::remove_file(&draft);
        written.and(removed).map_err(fail)
    }

    fn read(&self, name: &str) -> Result<Keystore, KeyError> {
        parse(name, &self.text(name)?)
    }

    fn text(&self, name: &str) -> Result<String, KeyError> {
        let path = self.file(name);
        let fail = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => {
                KeyError::Missing { name: name.to_owned(), folder: self.path.clone() }
            }
            _ => file_error(&path, source),
        };
        let file = marque_store_files::open_followed(&path).map_err(fail)?;
        closed_to_others(&path, &file.metadata().map_err(fail)?.permissions())?;
        let mut text = String::new();
        file.take(keystore::MAX_FILE).read_to_string(&mut text).map_err(fail)?;
        Ok(text)
    }
}

/// Opens a keystore that lies in no folder: a copy of [`KeyDir::backup`], or another wallet's.
/// Nothing is written.
///
/// # Errors
/// [`KeyError::Unreadable`], [`KeyError::WrongPassphrase`], [`KeyError::Altered`].
pub fn open_copy(keystore: &str, passphrase: &SecretString) -> Result<Key, KeyError> {
    unlock("the copy", &parse("the copy", keystore)?, passphrase)
}

/// A name that is a plain file name on every system.
fn checked(name: &str) -> Result<&str, KeyError> {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        Ok(name)
    } else {
        Err(KeyError::Name(name.to_owned()))
    }
}

fn closed_to_others(path: &Path, permissions: &Permissions) -> Result<(), KeyError> {
    let mode = permissions.mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyError::Open { path: path.to_owned(), mode }) }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn parse(name: &str, text: &str) -> Result<Keystore, KeyError> {
    serde_json::from_str(text).map_err(|error| unreadable(name, error.to_string()))
}

fn unlock(name: &str, keystore: &Keystore, passphrase: &SecretString) -> Result<Key, KeyError> {
    let bytes = keystore.open(passphrase).map_err(|shut| shut_error(name, shut))?;
    let key = Key::from_bytes(&bytes)?;
    match stated_address(name, keystore)? {
        Some(said) if said != key.address() => Err(KeyError::altered(name, said, key.address())),
        _ => Ok(key),
    }
}

fn stated_address(name: &str, keystore: &Keystore) -> Result<Option<Address>, KeyError> {
    let parse = |text: &String| {
        text.parse().map_err(|_| unreadable(name, format!("\"{text}\" is not an address")))
    };
    keystore.address.as_ref().map(parse).transpose()
}

fn stated_public_key(keystore: &Keystore) -> Result<[u8; 32], KeyError> {
    let mut public = [0; 32];
    let stated = keystore.public_key.as_deref().unwrap_or_default();
    hex::decode_to_slice(stated, &mut public)
        .map_err(|_| unreadable(LOG_KEY, "it names no public key".to_owned()))?;
    Ok(public)
}

fn shut_error(name: &str, shut: Shut) -> KeyError {
    match shut {
        Shut::WrongPassphrase => KeyError::WrongPassphrase(name.to_owned()),
        Shut::Unreadable(why) => unreadable(name, why),
    }
}

fn unreadable(name: &str, why: String) -> KeyError {
    KeyError::Unreadable { name: name.to_owned(), why }
}

fn file_error(path: &Path, source: io::Error) -> KeyError {
    KeyError::File { path: path.to_owned(), source }
}

fn no_random(error: getrandom::Error) -> KeyError {
    KeyError::Random(error.to_string())
}
