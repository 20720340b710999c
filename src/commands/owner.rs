//! `marque owner init | import | backup | show`: the key that signs policies and approvals.

use super::Shared;
use crate::{
    failure::{Context as _, Done, Failure},
    story::say,
};
use clap::Subcommand;
use marque::owner::{KEY, Owner};
use marque_identity_keys::{KeyDir, SecretSource};
use std::{path::PathBuf, process::ExitCode};

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
    /// Print the owner's address.
    Show,
}

pub(crate) fn run(shared: &Shared, args: Args) -> Done<ExitCode> {
    let folder = shared.owner_home()?;
    match args.act {
        Act::Init => {
            let secret = shared.owner_secret(true)?;
            let address = Owner::create(&folder, &secret)?;
            tell(shared, &address.to_string(), "the owner's address is");
            if !shared.json {
                say!("  the key is in {}, encrypted", folder.path().display());
                say!("  next: marque owner backup FILE, then marque new NAME");
            }
        }
        Act::Import { key_fd } => {
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
        Act::Show => {
            tell(shared, &Owner::address_in(&folder)?.to_string(), "the owner's address is")
        }
    }
    Ok(ExitCode::SUCCESS)
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
