//! Who speaks for a journal: its origin, the key that signs its checkpoints, and the public half
//! that verifiers hold, as a C2SP verifier key `marque/<origin>+<hash>+<base64>`.
//!
//! The key's name contains the origin, so a signature of one journal means nothing to another.

use super::error::JournalError;
use super::record::Seal;
use alloy_primitives::B256;
use ed25519_dalek::{SignatureError, Signer as _, SigningKey, VerifyingKey};
use secrecy::SecretBox;
use signed_note::StandardVerifier;
use std::fmt;
use std::str::FromStr;

/// The journal's own random name, 32 bytes, fixed at genesis.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(pub B256);

impl Origin {
    /// A fresh one.
    ///
    /// # Errors
    /// [`JournalError::Key`] if the system has no randomness.
    pub fn random() -> Result<Self, JournalError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| JournalError::Key(error.to_string()))?;
        Ok(Self(B256::from(bytes)))
    }
}

impl From<B256> for Origin {
    fn from(bytes: B256) -> Self {
        Self(bytes)
    }
}

/// `marque/<64 hex digits>`: the checkpoint's origin line and the name of its key.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "marque/{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Origin {
    type Err = JournalError;

    fn from_str(name: &str) -> Result<Self, JournalError> {
        let mut bytes = [0; 32];
        let digits = name.strip_prefix("marque/").filter(|digits| {
            // One spelling only: what is compared as text must be equal as bytes.
            !digits.bytes().any(|digit| digit.is_ascii_uppercase())
        });
        digits
            .and_then(|digits| hex::decode_to_slice(digits, &mut bytes).ok())
            .map(|()| Self(B256::from(bytes)))
            .ok_or_else(|| JournalError::Key(format!("`{name}` is not `marque/<64 hex digits>`")))
    }
}

/// The secret half: an Ed25519 key that signs checkpoints and nothing else. Wiped when dropped.
pub struct LogSigner(SigningKey);

impl LogSigner {
    /// A fresh key.
    ///
    /// # Errors
    /// [`JournalError::Key`] if the system has no randomness.
    pub fn generate() -> Result<Self, JournalError> {
        let mut secret = SecretBox::new(Box::new([0; 32]));
        let filled = getrandom::fill(secrecy::ExposeSecretMut::expose_secret_mut(&mut secret));
        filled.map_err(|error| JournalError::Key(error.to_string()))?;
        Ok(Self::from_secret(&secret))
    }

    /// The key of these 32 bytes (an RFC 8032 seed).
    #[must_use]
    pub fn from_secret(secret: &SecretBox<[u8; 32]>) -> Self {
        Self(SigningKey::from_bytes(secrecy::ExposeSecret::expose_secret(secret)))
    }

    /// The 32 bytes, to be kept where keys are kept.
    #[must_use]
    pub fn secret(&self) -> SecretBox<[u8; 32]> {
        SecretBox::new(Box::new(self.0.to_bytes()))
    }

    /// The public key as genesis names it.
    #[must_use]
    pub fn public_key(&self) -> B256 {
        B256::from(self.0.verifying_key().to_bytes())
    }

    /// The public half, for the journal of `origin`.
    ///
    /// # Errors
    /// [`JournalError::Key`]; not for a key that was generated.
    pub fn key(&self, origin: Origin) -> Result<LogKey, JournalError> {
        LogKey::new(origin, self.public_key())
    }

    /// This key under the name of `origin`, as signed notes want it.
    pub(super) fn named(&self, origin: Origin) -> NamedSigner<'_> {
        let name = origin.to_string();
        let public = self.0.verifying_key();
        let id = signed_note::key_id(&name, &[&[ED25519], public.as_bytes().as_slice()].concat());
        NamedSigner { name, id, key: &self.0 }
    }
}

/// Shows the public half only.
impl fmt::Debug for LogSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogSigner").field(&self.public_key()).finish()
    }
}

/// The algorithm byte of Ed25519 in C2SP verifier keys.
const ED25519: u8 = 1;

/// A signer of notes.
pub(super) struct NamedSigner<'a> {
    name: String,
    id: u32,
    key: &'a SigningKey,
}

impl NamedSigner<'_> {
    /// The signature of a checkpoint's text.
    pub(super) fn seal(&self, text: &[u8]) -> Result<Seal, SignatureError> {
        Ok(self.key.try_sign(text)?.to_bytes())
    }
}

impl signed_note::Signer for NamedSigner<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(self.seal(text)?.to_vec())
    }
}

/// The public half with the journal it is for: all that a verifier needs besides the files.
#[derive(Clone)]
pub struct LogKey {
    origin: Origin,
    text: String,
    verifier: StandardVerifier,
}

impl LogKey {
    /// The key with these 32 bytes, for the journal of `origin`.
    ///
    /// # Errors
    /// [`JournalError::Key`] for bytes that are no point of the curve, or one of the few points
    /// under which anybody can sign.
    pub fn new(origin: Origin, public_key: B256) -> Result<Self, JournalError> {
        let bad = |why: &str| JournalError::Key(format!("{public_key}: {why}"));
        let key = VerifyingKey::from_bytes(&public_key.0)
            .map_err(|_| bad("not an ed25519 public key"))?;
        if key.is_weak() {
            return Err(bad("a weak ed25519 public key"));
        }
        let text = signed_note::new_ed25519_verifier_key(&origin.to_string(), &key);
        let verifier =
            StandardVerifier::new(&text).map_err(|error| JournalError::Key(error.to_string()))?;
        Ok(Self { origin, text, verifier })
    }

    /// The journal it is for.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// As signed notes want it.
    pub(super) fn verifier(&self) -> StandardVerifier {
        self.verifier.clone()
    }
}

/// The C2SP verifier key.
impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogKey").field(&self.text).finish()
    }
}

impl FromStr for LogKey {
    type Err = JournalError;

    fn from_str(text: &str) -> Result<Self, JournalError> {
        let bad = |error: signed_note::VerifierError| JournalError::Key(error.to_string());
        let verifier = StandardVerifier::new(text).map_err(bad)?;
        let origin = signed_note::Verifier::name(&verifier).parse()?;
        Ok(Self { origin, text: text.to_owned(), verifier })
    }
}
