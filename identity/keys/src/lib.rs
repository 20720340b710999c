//! Keystores and signers, the owner's signatures.
//!
//! The only crate that knows key formats. The steward links it to sign what it has decided, the
//! `marque` command to sign what the owner does; nothing that a model, a page or a peer can reach
//! links it at all.
//!
//! - [`KeyDir`] is a folder of encrypted files (Web3 Secret Storage, version 3), 0700 and 0600.
//! - [`Key`] is one unlocked secp256k1 key. It signs digests and EIP-1559 transactions, and shows
//!   nothing but its address.
//! - [`sign_statement`] makes an act of the owner: genesis, adoption, approval, thaw, rotation;
//!   [`countersign`] adds the new owner's consent to a rotation.
//! - [`secret`] reads passphrases from a prompt, a file descriptor or a systemd credential.
//!
//! Signatures are deterministic (RFC 6979): the same bytes come out however often a crash makes us
//! ask for them.

mod error;
mod key;
mod keydir;
mod keystore;
pub mod secret;
mod statement;

pub use error::KeyError;
pub use key::{Key, SignedTransaction, UnsignedTransaction};
pub use keydir::{KeyDir, open_copy};
pub use secrecy::{ExposeSecret, SecretString};
pub use secret::{SHORTEST, SecretError, SecretSource};
pub use statement::{countersign, sign_statement};
pub use zeroize::Zeroizing;
