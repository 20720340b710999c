//! What this owner delegated, in the owner's own folder: the file in an agent's home can be taken away,
//! put back or exchanged by whoever has the host, and then only this says what is alive.

use super::OwnerError;
use crate::home::OwnerHome;
use alloy_primitives::Address;
use marque_identity::account::Permissions;
use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

fn path(folder: &OwnerHome) -> PathBuf {
    folder.path().join("delegated.jsonl")
}

/// Notes what was signed, durably. To be done before anybody else has it.
///
/// # Errors
/// Where the folder cannot be written.
pub fn note(folder: &OwnerHome, signed: &Permissions) -> Result<(), OwnerError> {
    let path = path(folder);
    let write = || {
        let mut line = serde_json::to_vec(signed).map_err(io::Error::other)?;
        line.push(b'\n');
        let mut options = fs::OpenOptions::new();
        let mut file = options.create(true).append(true).mode(0o600).open(&path)?;
        file.write_all(&line)?;
        file.sync_all()
    };
    write().map_err(|source| OwnerError::Folder { path: path.clone(), source })
}

/// What was ever signed here for draws on `account`, the newest last.
///
/// # Errors
/// Where what is there cannot be read. What is not known to have ended may be alive.
pub fn noted(folder: &OwnerHome, account: Address) -> Result<Vec<Permissions>, OwnerError> {
    let path = path(folder);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(OwnerError::Folder { path, source }),
    };
    let mut found = Vec::new();
    for line in text.lines() {
        let signed = Permissions::parse(&path, line).map_err(|error| OwnerError::Folder {
            path: path.clone(),
            source: io::Error::other(error.to_string()),
        })?;
        if signed.account == account {
            found.push(signed);
        }
    }
    Ok(found)
}
