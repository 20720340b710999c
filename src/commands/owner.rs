//! `marque owner`: the key that signs policies and approvals, its copies, and its successor.

mod rotate;

use super::{Shared, real};
use crate::{
    failure::{Context as _, Done, Failure},
    story::say,
};
use alloy_primitives::{Address, keccak256};
use clap::Subcommand;
use marque::{
    home::OwnerHome,
    owner::{KEY, Owner},
};
use marque_identity_keys::{KeyDir, SecretSource, open_copy};
use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Make a new key, encrypted with a passphrase of yours.
    Init,
    /// Take in an existing private key (64 hex digits, read from a prompt or --key-fd).
    Import {
        /// Read the private key from this file descriptor instead of asking.
        #[arg(long, value_name = "N")]
        key_fd: Option<i32>,
    },
    /// Copy the encrypted key to FILE and prove that the copy opens.
    Backup {
        /// Where the copy goes; must not exist.
        file: PathBuf,
    },
    /// Prove that a backup still opens with your passphrase and signs, without changing anything.
    ///
    /// Do it with the copy where it is kept, before you need it: marque owner drill /media/usb/key
    Drill {
        /// The copy.
        file: PathBuf,
    },
    /// Take the owner's key back from a backup, into a folder that has none.
    Restore {
        /// The copy.
        file: PathBuf,
    },
    /// Hand everything over to another key: the owner in force signs the new one in, and the new
    /// one proves that it is at hand.
    ///
    /// Both keys on this machine: marque owner rotate --new-owner-home DIR
    ///
    /// Each on its own, and the steward on a third:
    ///   host:  marque approvals --export FILE
    ///   old:   marque owner rotate --to ADDRESS --request FILE --out HANDED
    ///   new:   marque owner accept HANDED --out SIGNED
    ///   host:  marque submit SIGNED
    #[command(verbatim_doc_comment)]
    Rotate(rotate::RotateArgs),
    /// Take over what another owner handed over to your key.
    ///
    /// marque owner accept HANDED --out SIGNED; then marque submit SIGNED on the steward's host.
    Accept(rotate::AcceptArgs),
    /// Print the owner's address.
    Show,
}

pub(crate) async fn run(shared: &Shared, args: Args) -> Done<ExitCode> {
    let folder = shared.owner_home()?;
    match args.act {
        Act::Init => {
            vacant(&folder)?;
            let secret = shared.owner_secret(true)?;
            let address = Owner::create(&folder, &secret)?;
            tell(shared, &address.to_string(), "the owner's address is");
            if !shared.json {
                say!("  the key is in {}, encrypted", folder.path().display());
                say!("  next: marque owner backup FILE, then marque new NAME");
            }
        }
        Act::Import { key_fd } => {
            vacant(&folder)?;
            let source = match key_fd {
                Some(fd) => SecretSource::Fd(fd),
                None => SecretSource::Prompt { text: "Private key".to_owned(), confirm: false },
            };
            let key = source.read().map_err(Failure::usage)?;
            let secret = shared.owner_secret(true)?;
            let address = KeyDir::create(folder.path())?.import(KEY, &key, &secret)?;
            tell(shared, &address.to_string(), "the owner's address is");
        }
        Act::Backup { file } => {
            if file.exists() {
                return Err(Failure::usage(format!("{} exists already", file.display()))
                    .help("a backup never overwrites; choose another name"));
            }
            shared.outside(&file, "keep the copy elsewhere, where no steward reads")?;
            let keys = KeyDir::open(folder.path())?;
            let secret = shared.owner_secret(false)?;
            let address = keys.key(KEY, &secret)?.address();
            let copy = keys.backup(KEY)?;
            write_private(&file, copy.as_bytes()).doing(file.display())?;
            let text = std::fs::read_to_string(&file).doing(file.display())?;
            let drill = tempfile::tempdir().doing("a folder for the drill")?;
            let opened = KeyDir::create(drill.path().join("keys"))?.restore(KEY, &text, &secret)?;
            if opened != address {
                return Err(Failure::new(format!("{} opens to another key", file.display())));
            }
            tell(shared, &address.to_string(), "the copy opens with the same passphrase to");
        }
        Act::Rotate(args) => rotate::rotate(shared, &args).await?,
        Act::Accept(args) => rotate::accept(shared, &args)?,
        Act::Drill { file } => drill(shared, &folder, &file)?,
        Act::Restore { file } => {
            let text = copy(shared, &file)?;
            // Told before anybody types a passphrase.
            vacant(&folder)?;
            let secret = shared.owner_secret(false)?;
            // Opened first, so that a wrong passphrase leaves no folder behind.
            owners(shared, &file, open_copy(&text, &secret)?.address())?;
            let address = KeyDir::create(folder.path())?.restore(KEY, &text, &secret)?;
            tell(shared, &address.to_string(), "restored; the owner's address is");
        }
        Act::Show => {
            tell(shared, &Owner::address_in(&folder)?.to_string(), "the owner's address is")
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses a folder that has a key: none is ever overwritten.
fn vacant(folder: &OwnerHome) -> Done {
    let Ok(there) = Owner::address_in(folder) else { return Ok(()) };
    let place = folder.path().display();
    Err(Failure::usage(format!("{place} has a key already, that of {there}"))
        .help("it is never overwritten; for another one give another --owner-home"))
}

/// Opens a backup and signs with it, in memory only.
fn drill(shared: &Shared, folder: &OwnerHome, file: &Path) -> Done {
    let text = copy(shared, file)?;
    let key = open_copy(&text, &shared.owner_secret(false)?)?;
    let address = key.address();
    owners(shared, file, address)?;
    // The hash of a text that is no transaction and no statement; the signature is not kept.
    let digest = keccak256(format!("marque owner drill, {address}"));
    let signer =
        marque_contracts::recover(digest, &key.sign_digest(digest)).map_err(Failure::new)?;
    if signer != address {
        return Err(Failure::new(format!(
            "{} signs as {signer}, not as {address}",
            file.display()
        )));
    }
    let here = Owner::address_in(folder).ok();
    let place = folder.path().display();
    if shared.json {
        say!("{}", serde_json::json!({ "address": address, "key_here": here, "signs": true }));
    } else {
        say!("{} opens, and signs as {address}", file.display());
    }
    match here {
        Some(here) if here != address => {
            let line = format!("{} is NOT the key in {place}, which is {here}", file.display());
            return Err(Failure::new(line).help("marque status says whose key is in force"));
        }
        _ if shared.json => {}
        Some(_) => say!("  it is the key that is in {place}"),
        None => say!("  there is no key in {place}; marque owner restore puts it there"),
    }
    Ok(())
}

/// Refuses the paying key of an agent of this home: whoever is the owner with it is so with a key
/// that the steward reads.
fn owners(shared: &Shared, file: &Path, address: Address) -> Done {
    // On the owner's own machine there is no home, and a service's is not this user's to read.
    let Ok(keys) = KeyDir::open(shared.home()?.keys()) else { return Ok(()) };
    let names = keys.names().unwrap_or_default();
    match names.into_iter().find(|name| keys.address(name).ok() == Some(address)) {
        Some(name) => Err(Failure::usage(format!(
            "{} is the paying key of {name}, not an owner's",
            file.display()
        ))
        .help(FROM_BACKUP)),
        None => Ok(()),
    }
}

/// Where an owner's copy comes from.
const FROM_BACKUP: &str = "give a copy that marque owner backup made";

/// The text of a backup, which no file of the steward's is.
fn copy(shared: &Shared, file: &Path) -> Done<String> {
    const LONGEST: u64 = 64 * 1024;
    if real(file).starts_with(real(&shared.home()?.keys())) {
        let line = format!("{} is a key of the steward, not an owner's", file.display());
        return Err(Failure::usage(line).help(FROM_BACKUP));
    }
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(LONGEST).read_to_string(&mut text))
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    Ok(text)
}

fn tell(shared: &Shared, address: &str, text: &str) {
    if shared.json {
        say!("{}", serde_json::json!({ "address": address }));
    } else {
        say!("{text} {address}");
    }
}

/// Writes a file that only this user can read.
fn write_private(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
