//! Where a passphrase comes from: a prompt, an open file descriptor or a systemd credential. Never an
//! argument and never an environment variable, which other processes can read.
//!
//! Descriptors are read through `/dev/fd`, so they are read before a process forbids others to look
//! into it.

use secrecy::{ExposeSecret as _, SecretString};
use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The longest secret that is read, in bytes.
const MAX: u64 = 4096;

/// The shortest new passphrase, in characters.
pub const SHORTEST: usize = 8;

/// The variable that systemd sets to the folder of a service's credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A person at the terminal; nothing is echoed.
    Prompt {
        /// What is asked, without the colon.
        text: String,
        /// A new secret: asked twice, and not shorter than 8 characters.
        confirm: bool,
    },
    /// The first line of an open file descriptor that this process inherited, at most 4 KiB.
    Fd(i32),
    /// A credential that systemd hands to a service (`LoadCredential=`, `LoadCredentialEncrypted=`).
    Credential {
        /// Its name.
        name: String,
    },
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Nobody can be asked.
    #[error(
        "there is no terminal to ask for a passphrase; hand it over on an open file descriptor, or as \
         a systemd credential"
    )]
    NoTerminal(#[source] io::Error),
    /// The two entries differ.
    #[error("the two entries differ; nothing was changed")]
    Differ,
    /// Nothing was given.
    #[error("the passphrase from {0} is empty")]
    Empty(String),
    /// Too short for a new one.
    #[error("a new passphrase has at least {SHORTEST} characters")]
    TooShort,
    /// Too long.
    #[error("the passphrase from {0} is longer than {MAX} bytes")]
    TooLong(String),
    /// Not text.
    #[error("the passphrase from {0} is not UTF-8 text")]
    NotText(String),
    /// systemd gave no credentials to this process.
    #[error(
        "this process was given no credentials; set LoadCredential={0}:FILE in its service unit"
    )]
    NoCredentials(String),
    /// A credential's name that is a path.
    #[error("\"{0}\" is not the name of a credential")]
    CredentialName(String),
    /// The descriptor or file cannot be read.
    #[error("cannot read the passphrase from {place}: {source}")]
    Read {
        /// Which one.
        place: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The system has no randomness to give.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
}

impl SecretSource {
    /// Reads the secret. A line break at the end is not part of it.
    ///
    /// # Errors
    /// [`SecretError`]; none of its texts holds the secret.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        match self {
            Self::Prompt { text, confirm } => prompt(text, *confirm),
            Self::Fd(number) => {
                let place = format!("file descriptor {number}");
                first_line(place, Path::new(&format!("/dev/fd/{number}")))
            }
            Self::Credential { name } => credential(name, std::env::var_os(CREDENTIALS)),
        }
    }
}

/// A random secret: 256 bits as 64 hexadecimal digits.
///
/// # Errors
/// [`SecretError::Random`] where the system gives no randomness.
pub fn generate() -> Result<SecretString, SecretError> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    getrandom::fill(&mut *bytes).map_err(|error| SecretError::Random(error.to_string()))?;
    Ok(hex::encode(*bytes).into())
}

fn prompt(text: &str, confirm: bool) -> Result<SecretString, SecretError> {
    let ask = |text: &str| -> Result<SecretString, SecretError> {
        let answer = rpassword::prompt_password(format!("{text}: "));
        Ok(answer.map_err(SecretError::NoTerminal)?.into())
    };
    let first = ask(text)?;
    if first.expose_secret().is_empty() {
        return Err(SecretError::Empty("the prompt".to_owned()));
    }
    if confirm {
        if first.expose_secret().chars().count() < SHORTEST {
            return Err(SecretError::TooShort);
        }
        if ask("once more")?.expose_secret() != first.expose_secret() {
            return Err(SecretError::Differ);
        }
    }
    Ok(first)
}

fn credential(name: &str, folder: Option<OsString>) -> Result<SecretString, SecretError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(SecretError::CredentialName(name.to_owned()));
    }
    let folder = folder.ok_or_else(|| SecretError::NoCredentials(name.to_owned()))?;
    first_line(format!("the credential {name}"), &PathBuf::from(folder).join(name))
}

/// The first line of a file, or all of it if it has one line.
fn first_line(place: String, path: &Path) -> Result<SecretString, SecretError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    let read = File::open(path).and_then(|file| file.take(MAX + 1).read_to_end(&mut bytes));
    if let Err(source) = read {
        return Err(SecretError::Read { place, source });
    }
    if bytes.len() as u64 > MAX {
        return Err(SecretError::TooLong(place));
    }
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok("") => Err(SecretError::Empty(place)),
        Ok(text) => Ok(text.to_owned().into()),
        Err(_) => Err(SecretError::NotText(place)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::fd::AsRawFd as _};

    fn read(bytes: &[u8]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("unlock"), bytes).unwrap();
        credential("unlock", Some(folder.path().into()))
            .map(|secret| secret.expose_secret().to_owned())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_credential_is_its_first_line() {
        assert_eq!(read(b"open sesame").unwrap(), "open sesame");
        assert_eq!(read(b"open sesame\n").unwrap(), "open sesame");
        assert_eq!(read(b" open sesame \r\nmore\n").unwrap(), " open sesame ");
        assert_eq!(read(&[b'x'; 4096]).unwrap().len(), 4096);
        assert!(read(&[b'x'; 4097]).unwrap_err().contains("longer than 4096 bytes"));
        assert!(read(b"\nsecond").unwrap_err().contains("empty"));
        assert!(read(b"\xff\xfe").unwrap_err().contains("not UTF-8"));
    }

    #[test]
    fn a_credential_cannot_name_a_file_elsewhere() {
        for name in ["", "..", "../unlock", "/etc/passwd", ".hidden", "a b"] {
            let answer = credential(name, Some("/".into()));
            assert!(matches!(answer, Err(SecretError::CredentialName(_))), "{name}");
        }
        assert!(matches!(credential("unlock", None), Err(SecretError::NoCredentials(_))));
    }

    #[test]
    fn a_descriptor_is_read_and_a_closed_one_is_named() {
        let (reader, mut writer) = io::pipe().unwrap();
        io::Write::write_all(&mut writer, b"from a pipe\n").unwrap();
        drop(writer);
        let secret = SecretSource::Fd(reader.as_raw_fd()).read().unwrap();
        assert_eq!(secret.expose_secret(), "from a pipe");
        let error = SecretSource::Fd(987_654).read().unwrap_err().to_string();
        assert!(error.contains("file descriptor 987654"), "{error}");
    }

    #[test]
    fn generated_secrets_are_long_and_differ() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert_eq!(one.expose_secret().len(), 64);
        assert_ne!(one.expose_secret(), two.expose_secret());
        assert!(!format!("{one:?}").contains(one.expose_secret()));
    }
}
