//! A key folder on a real disk.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use alloy_primitives::address;
use marque_identity_keys::{ExposeSecret as _, KeyDir, KeyError, SecretString};
use std::{fs, os::unix::fs::PermissionsExt as _};

fn secret(text: &str) -> SecretString {
    text.to_owned().into()
}

fn folder() -> (tempfile::TempDir, KeyDir) {
    let temp = tempfile::tempdir().unwrap();
    let keys = KeyDir::create(temp.path().join("home/keys")).unwrap();
    (temp, keys)
}

#[test]
fn a_key_comes_back_with_its_passphrase_and_only_with_it() {
    let (_temp, keys) = folder();
    let address = keys.create_key("scout", &secret("right")).unwrap();
    assert_eq!(keys.address("scout").unwrap(), address);
    assert_eq!(keys.key("scout", &secret("right")).unwrap().address(), address);
    let error = keys.key("scout", &secret("wrong")).unwrap_err();
    assert_eq!(error.to_string(), "wrong passphrase for the key \"scout\", or its file is damaged");
    assert_eq!(keys.names().unwrap(), ["scout"]);
    assert!(matches!(keys.key("other", &secret("right")), Err(KeyError::Missing { .. })));
}

#[test]
fn folder_and_files_are_closed_to_others_and_open_ones_are_refused() {
    let (_temp, keys) = folder();
    keys.create_key("scout", &secret("x")).unwrap();
    keys.create_log_key(&secret("x")).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(keys.path()), 0o700);
    let files: Vec<_> =
        fs::read_dir(keys.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2, "no draft is left behind: {files:?}");
    for file in &files {
        assert_eq!(mode(file), 0o600, "{}", file.display());
        fs::set_permissions(file, fs::Permissions::from_mode(0o640)).unwrap();
    }
    assert!(matches!(keys.key("scout", &secret("x")), Err(KeyError::Open { mode: 0o640, .. })));
    assert!(matches!(keys.log_key(&secret("x")), Err(KeyError::Open { .. })));
    fs::set_permissions(keys.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let error = KeyDir::open(keys.path()).unwrap_err().to_string();
    assert!(error.contains("mode 755") && error.contains("chmod 700"), "{error}");
}

#[test]
fn a_key_is_never_overwritten() {
    let (_temp, keys) = folder();
    let address = keys.create_key("scout", &secret("x")).unwrap();
    assert!(matches!(keys.create_key("scout", &secret("y")), Err(KeyError::Exists { .. })));
    assert_eq!(keys.key("scout", &secret("x")).unwrap().address(), address);
    keys.create_log_key(&secret("x")).unwrap();
    assert!(matches!(keys.create_log_key(&secret("x")), Err(KeyError::Exists { .. })));
}

#[test]
fn an_imported_key_has_its_address_and_leaves_no_trace_in_its_file() {
    let (_temp, keys) = folder();
    let text = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    let address = keys.import("owner", &secret(&format!("0x{text}\n")), &secret("x")).unwrap();
    assert_eq!(address, address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
    assert!(!keys.backup("owner").unwrap().contains(text));
    for wrong in
        ["", "0x", "zz", text.trim_start_matches('a'), &format!("{text}00"), &"0".repeat(64)]
    {
        let answer = keys.import("other", &secret(wrong), &secret("x"));
        assert!(matches!(answer, Err(KeyError::NotAKey)), "{wrong}");
    }
}

#[test]
fn a_backup_restores_the_same_key_elsewhere() {
    let (_temp, keys) = folder();
    let (_elsewhere, others) = folder();
    let address = keys.create_key("owner", &secret("x")).unwrap();
    let backup = keys.backup("owner").unwrap();
    assert!(others.restore("owner", &backup, &secret("wrong")).is_err());
    assert_eq!(others.restore("owner", &backup, &secret("x")).unwrap(), address);
    assert_eq!(others.key("owner", &secret("x")).unwrap().address(), address);
}

#[test]
fn a_log_key_shows_its_public_half_without_the_passphrase() {
    let (_temp, keys) = folder();
    let public = keys.create_log_key(&secret("x")).unwrap();
    assert_eq!(keys.log_public_key().unwrap(), public);
    let seed = keys.log_key(&secret("x")).unwrap();
    let signer = ed25519_dalek::SigningKey::from_bytes(&seed);
    assert_eq!(signer.verifying_key().to_bytes(), public);
    assert!(matches!(keys.log_key(&secret("y")), Err(KeyError::WrongPassphrase(_))));
    assert!(keys.names().unwrap().is_empty());
}

#[test]
fn an_altered_public_part_is_found_when_the_key_is_unlocked() {
    let (_temp, keys) = folder();
    let mine = keys.create_key("scout", &secret("x")).unwrap();
    let public = keys.create_log_key(&secret("x")).unwrap();
    for (file, from, to) in [
        ("scout.json", hex::encode(mine), "00".repeat(20)),
        ("log.ed25519.json", hex::encode(public), "00".repeat(32)),
    ] {
        let path = keys.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(&from));
        fs::write(&path, text.replace(&from, &to)).unwrap();
    }
    assert!(matches!(keys.key("scout", &secret("x")), Err(KeyError::Altered { .. })));
    assert!(matches!(keys.log_key(&secret("x")), Err(KeyError::Altered { .. })));
}

#[test]
fn a_name_cannot_leave_the_folder() {
    let (_temp, keys) = folder();
    for name in ["", "..", "../scout", "a/b", "Scout", "a.b", "log.ed25519", &"a".repeat(65)] {
        assert!(matches!(keys.create_key(name, &secret("x")), Err(KeyError::Name(_))), "{name}");
        assert!(matches!(keys.key(name, &secret("x")), Err(KeyError::Name(_))), "{name}");
    }
}

#[test]
fn a_file_that_is_no_keystore_gives_one_line() {
    let (_temp, keys) = folder();
    keys.create_key("scout", &secret("x")).unwrap();
    let path = keys.path().join("scout.json");
    for text in ["", "{}", "[1]", "\u{0}", "{\"version\": 3}"] {
        fs::write(&path, text).unwrap();
        let error = keys.key("scout", &secret("x")).unwrap_err();
        assert!(matches!(error, KeyError::Unreadable { .. }), "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
}

#[test]
fn secrets_are_not_printed() {
    let passphrase = secret("open sesame");
    assert!(!format!("{passphrase:?}").contains(passphrase.expose_secret()));
}
