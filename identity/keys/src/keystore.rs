//! A secret of 32 bytes under a passphrase: Web3 Secret Storage, version 3.
//!
//! The format is the one that wallets share, so a backup opens elsewhere: scrypt, AES-128-CTR, and a
//! Keccak-256 MAC over half of the derived key and the ciphertext. It is put together here, from
//! published primitives, because the file comes from outside: every length and cost is checked
//! before it is used, and derived keys and plain texts are wiped.

use aes::{
    Aes128,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use alloy_primitives::{B256, Keccak256};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

type Cipher = ctr::Ctr128BE<Aes128>;

const CIPHER: &str = "aes-128-ctr";
const KDF: &str = "scrypt";

/// scrypt's cost when sealing: 16 MiB and some 50 ms, which a guess pays as well.
const LOG_N: u8 = 14;
const R: u32 = 8;
const P: u32 = 1;

/// The highest cost that is accepted when opening: 1 GiB, four times geth's.
const MAX_MEMORY: u64 = 1 << 30;
const MAX_P: u32 = 16;

/// The longest keystore that is read, in bytes.
pub(crate) const MAX_FILE: u64 = 64 * 1024;

/// A keystore as it stands in its file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Keystore {
    /// The account's address, hex without `0x`, as geth writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    /// The Ed25519 public key, hex, where the secret is the seed of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) public_key: Option<String>,
    crypto: Crypto,
    id: String,
    version: u8,
}

#[derive(Debug, Serialize, Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    ciphertext: String,
    kdf: String,
    /// Read as [`Scrypt`] once `kdf` says so.
    kdfparams: serde_json::Value,
    mac: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Scrypt {
    dklen: u32,
    n: u64,
    p: u32,
    r: u32,
    salt: String,
}

/// Why a keystore stays shut.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    /// The MAC does not fit.
    WrongPassphrase,
    /// It is not a keystore that we can read.
    Unreadable(String),
}

impl Keystore {
    /// Seals `secret`. Salt, initial vector and id are random.
    pub(crate) fn seal(
        secret: &Zeroizing<[u8; 32]>,
        passphrase: &SecretString,
    ) -> Result<Self, getrandom::Error> {
        let (salt, iv, id) = (random::<32>()?, random::<16>()?, random::<16>()?);
        // Both fit by construction: the cost is a constant and the lengths are fixed.
        let derived = scrypt::Params::new(LOG_N, R, P)
            .ok()
            .and_then(|params| derive(passphrase, &*salt, &params))
            .ok_or(getrandom::Error::UNEXPECTED)?;
        let mut ciphertext = **secret;
        derived.cipher(&iv).apply_keystream(&mut ciphertext);
        let scrypt = Scrypt { dklen: 32, n: 1 << LOG_N, p: P, r: R, salt: hex::encode(*salt) };
        Ok(Self {
            address: None,
            public_key: None,
            crypto: Crypto {
                cipher: CIPHER.to_owned(),
                cipherparams: CipherParams { iv: hex::encode(*iv) },
                ciphertext: hex::encode(ciphertext),
                kdf: KDF.to_owned(),
                kdfparams: serde_json::to_value(scrypt).unwrap_or_default(),
                mac: hex::encode(derived.mac(&ciphertext)),
            },
            id: uuid(*id),
            version: 3,
        })
    }

    /// Opens it again.
    pub(crate) fn open(&self, passphrase: &SecretString) -> Result<Zeroizing<[u8; 32]>, Shut> {
        let unreadable = |why: &str| Shut::Unreadable(why.to_owned());
        if self.version != 3 {
            return Err(Shut::Unreadable(format!("version {} is not 3", self.version)));
        }
        let Crypto { cipher, cipherparams, ciphertext, kdf, kdfparams, mac } = &self.crypto;
        if cipher != CIPHER || kdf != KDF {
            let why = format!("{cipher} with {kdf} is not supported, only {CIPHER} with {KDF}");
            return Err(Shut::Unreadable(why));
        }
        let scrypt: Scrypt = serde_json::from_value(kdfparams.clone())
            .map_err(|error| Shut::Unreadable(format!("kdfparams: {error}")))?;
        let salt = hex::decode(&scrypt.salt).map_err(|_| unreadable("the salt is not hex"))?;
        let iv =
            bytes::<16>(&cipherparams.iv).ok_or_else(|| unreadable("the iv is not 16 bytes"))?;
        let mut text = Zeroizing::new(
            bytes::<32>(ciphertext).ok_or_else(|| unreadable("the ciphertext is not 32 bytes"))?,
        );
        let params = scrypt.params().ok_or_else(|| unreadable("scrypt's cost is out of bounds"))?;
        let derived = derive(passphrase, &salt, &params)
            .ok_or_else(|| unreadable("scrypt refuses its parameters"))?;
        if bytes::<32>(mac) != Some(derived.mac(&*text).0) {
            return Err(Shut::WrongPassphrase);
        }
        derived.cipher(&iv).apply_keystream(&mut *text);
        Ok(text)
    }
}

impl Scrypt {
    /// The parameters, if they are of the one key length and of bearable cost.
    fn params(&self) -> Option<scrypt::Params> {
        let memory = self.n.checked_mul(u64::from(self.r))?.checked_mul(128)?;
        let bearable = memory <= MAX_MEMORY && (1..=MAX_P).contains(&self.p);
        if !bearable || self.dklen != 32 || self.n < 2 || !self.n.is_power_of_two() {
            return None;
        }
        scrypt::Params::new(u8::try_from(self.n.ilog2()).ok()?, self.r, self.p).ok()
    }
}

/// The derived key: the first half encrypts, the second authenticates.
struct Derived {
    encrypts: Zeroizing<[u8; 16]>,
    authenticates: Zeroizing<[u8; 16]>,
}

impl Derived {
    fn cipher(&self, iv: &[u8; 16]) -> Cipher {
        Cipher::new((&*self.encrypts).into(), iv.into())
    }

    fn mac(&self, ciphertext: &[u8]) -> B256 {
        let mut hasher = Keccak256::new();
        hasher.update(*self.authenticates);
        hasher.update(ciphertext);
        hasher.finalize()
    }
}

fn derive(passphrase: &SecretString, salt: &[u8], params: &scrypt::Params) -> Option<Derived> {
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(passphrase.expose_secret().as_bytes(), salt, params, &mut *key).ok()?;
    let (encrypts, authenticates) = key.split_at(16);
    Some(Derived {
        encrypts: Zeroizing::new(encrypts.try_into().ok()?),
        authenticates: Zeroizing::new(authenticates.try_into().ok()?),
    })
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes)?;
    Ok(bytes)
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
}

/// A random (version 4) UUID from 16 random bytes.
fn uuid(random: [u8; 16]) -> String {
    let bits = u128::from_be_bytes(random) & !(0xf << 76) & !(0b11 << 62);
    let bits = bits | (0x4 << 76) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        bits >> 96,
        (bits >> 80) & 0xffff,
        (bits >> 64) & 0xffff,
        (bits >> 48) & 0xffff,
        bits & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        text.to_owned().into()
    }

    /// Sealed by the Python library `eth-account` 0.14.
    const VECTOR: &str = r#"{
        "address": "008AeEda4D805471dF9b2A5B0f38A0C3bCBA786b",
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": { "iv": "87723eeeffb4839f2fc250e1f2bbc294" },
            "ciphertext": "b13f09890848cf5ce9483739ae94df471ecdc6874d2ec596bf8cec707fb7d939",
            "kdf": "scrypt",
            "kdfparams": {
                "dklen": 32, "n": 4096, "p": 1, "r": 8,
                "salt": "35c64e0246bcdb6f7bc2ea2a6b2c5de2"
            },
            "mac": "6165cff78896a4f9fde4f59bbf40fa5f291349dc8e17342324f16d8e425d008e"
        },
        "id": "8b119136-ed6f-4ab3-bec6-f8a665244283",
        "version": 3
    }"#;

    #[test]
    fn a_keystore_of_another_wallet_opens() {
        let keystore: Keystore = serde_json::from_str(VECTOR).unwrap();
        let key = keystore.open(&secret("testpassword")).unwrap();
        assert_eq!(
            hex::encode(*key),
            "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"
        );
    }

    #[test]
    fn what_is_sealed_opens_with_its_passphrase_only() {
        let plain = Zeroizing::new([42; 32]);
        let sealed = Keystore::seal(&plain, &secret("right")).unwrap();
        let text = serde_json::to_string(&sealed).unwrap();
        assert!(!text.contains(&hex::encode(*plain)));
        let read: Keystore = serde_json::from_str(&text).unwrap();
        assert_eq!(read.open(&secret("right")), Ok(plain));
        assert_eq!(read.open(&secret("wrong")), Err(Shut::WrongPassphrase));
        assert_eq!(read.id.len(), 36);
        assert_eq!(read.id.as_bytes()[14], b'4');
        assert!(matches!(read.id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }

    #[test]
    fn lengths_and_costs_out_of_bounds_are_refused_and_not_computed() {
        for (from, to) in [
            ("\"n\": 4096", "\"n\": 1073741824"),
            ("\"n\": 4096", "\"n\": 4095"),
            ("\"n\": 4096", "\"n\": 0"),
            ("\"p\": 1", "\"p\": 4000000000"),
            ("\"p\": 1", "\"p\": 0"),
            ("\"r\": 8", "\"r\": 4000000000"),
            ("\"r\": 8", "\"r\": 0"),
            ("\"dklen\": 32", "\"dklen\": 16"),
            ("87723eee", "87723e"),
            ("b13f0989", "b13f"),
            ("\"salt\": \"35", "\"salt\": \"zz"),
            ("aes-128-ctr", "aes-256-ctr"),
            ("\"scrypt\"", "\"pbkdf2\""),
            ("\"version\": 3", "\"version\": 4"),
        ] {
            assert!(VECTOR.contains(from));
            let keystore: Keystore = serde_json::from_str(&VECTOR.replace(from, to)).unwrap();
            let answer = keystore.open(&secret("testpassword"));
            assert!(matches!(answer, Err(Shut::Unreadable(_))), "{to}: {answer:?}");
        }
    }
}
