//! The kill switch as a file: a message that ends all delegations of an account, and can do nothing
//! else. It is public; whoever has it can only end them.

use crate::failure::{Context as _, Done, Failure};
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall as _;
use marque_contracts::delegation::{
    ANYBODY, Framework, Permission, binding::IDelegationManager, revoke_all,
};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};
use tempfile::NamedTempFile;

const FORMAT: u32 = 1;

const MADE_BY: &str = "give a file that marque account revoke --prepare wrote";

/// No message is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Switch {
    format: u32,
    /// For whoever opens it.
    about: String,
    /// EIP-155 chain id.
    pub(super) chain: u64,
    /// Whose delegations end.
    pub(super) account: Address,
    /// Which it ends: those that name this nonce. Once it is raised, the message does nothing.
    pub(super) nonce: U256,
    /// Who is called,
    pub(super) to: Address,
    /// and with what.
    pub(super) data: Bytes,
    /// The same as a signed transaction whose fee is paid.
    pub(super) raw: Option<Bytes>,
}

impl Switch {
    pub(super) fn new(chain: u64, account: Address, nonce: U256, to: Address, data: Bytes) -> Self {
        let about =
            "Ends everything that agents may draw on the account. Anybody may send it: `data` \
                     to `to`, without value, on `chain`; or broadcast `raw` where it is there. Or: \
                     marque account revoke --send FILE"
                .to_owned();
        Self { format: FORMAT, about, chain, account, nonce, to, data, raw: None }
    }

    /// Makes sure that a file can be written there, and leaves none.
    pub(super) fn vacant(path: &Path) -> Done {
        let made = fs::File::options().write(true).create_new(true).open(path);
        made.and_then(|_| fs::remove_file(path)).doing(path.display())
    }

    /// Writes it to a file that is not there yet, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Done {
        let ready = self.ready(path).doing(path.display())?;
        let put = ready.persist_noclobber(path).map(drop).map_err(|error| error.error);
        put.and_then(|()| settle(path)).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => taken(path),
            _ => Failure::new(format!("{}: {error}", path.display())),
        })
    }

    /// Makes sure that it stands at `path`, whole. Nothing else that stands there is touched or followed:
    /// false where something does.
    pub(super) fn place(&self, path: &Path) -> Result<bool, io::Error> {
        let text = self.text()?;
        match plain(path) {
            Ok(there) if there == text || Self::parse(&there).is_ok_and(|it| it.is(self)) => {
                return Ok(true);
            }
            // It was being written when the machine stopped.
            Ok(there) if text.starts_with(&there) => {
                self.ready(path)?.persist(path).map_err(|error| error.error)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match self.ready(path)?.persist_noclobber(path) {
                    Ok(_) => {}
                    Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                        return Ok(false);
                    }
                    Err(error) => return Err(error.error),
                }
            }
            _ => return Ok(false),
        }
        settle(path).map(|()| true)
    }

    /// On the disk beside `path`, and not there yet.
    fn ready(&self, path: &Path) -> Result<NamedTempFile, io::Error> {
        // Whoever has it can send it: it is made for its owner alone.
        let mut file = NamedTempFile::new_in(folder(path))?;
        file.write_all(&self.text()?)?;
        file.as_file().sync_all()?;
        Ok(file)
    }

    fn text(&self) -> Result<Vec<u8>, io::Error> {
        serde_json::to_vec_pretty(self).map_err(io::Error::other)
    }

    /// Whether another one ends the same.
    fn is(&self, other: &Self) -> bool {
        let of = |it: &Self| (it.chain, it.account, it.nonce, it.to);
        of(self) == of(other) && self.data == other.data
    }

    /// One that stands at `path` as a file, where there is one.
    pub(super) fn standing(path: &Path) -> Option<Self> {
        Self::parse(&plain(path).ok()?).ok()
    }

    /// Reads one, and makes sure that it is a message that ends delegations: whoever sends it risks
    /// no more than the fee.
    pub(super) fn read(path: &Path) -> Done<Self> {
        let wrong = |why: &dyn std::fmt::Display| {
            Failure::new(format!("{}: {why}", path.display())).help(MADE_BY)
        };
        let text = fs::read(path).map_err(|error| {
            Failure::usage(format!("{}: {error}", path.display())).help(MADE_BY)
        })?;
        Self::parse(&text).map_err(|why| wrong(&why))
    }

    /// The same; what is wrong with it, in words.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let switch: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if switch.format != FORMAT {
            return Err(format!("its format is {}, and not {FORMAT}", switch.format));
        }
        let call = IDelegationManager::redeemDelegationsCall::abi_decode(&switch.data)
            .map_err(|_| "its data redeems no delegation")?;
        let [context] = &call.permissionContexts[..] else {
            return Err("its data redeems more than one delegation".to_owned());
        };
        let permission = Permission::decode(context).map_err(|error| error.to_string())?;
        if permission.redeemer() != ANYBODY || permission.account() != switch.account {
            return Err("its data is no kill switch of the account that it names".to_owned());
        }
        Ok(switch)
    }
}

/// What a file holds. No link is followed, and no pipe waited for.
fn plain(path: &Path) -> Result<Vec<u8>, io::Error> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = fs::File::options().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.len() > LONGEST {
        return Err(io::Error::other("it is no file of a message"));
    }
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text)?;
    Ok(text)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Makes a new name in a folder durable.
fn settle(path: &Path) -> Result<(), io::Error> {
    fs::File::open(folder(path))?.sync_all()
}

impl Switch {
    /// Refuses a message that does anything else with the account than ending what it gave away.
    pub(super) fn only_ends(&self, framework: &Framework, path: &Path) -> Done {
        let call = IDelegationManager::redeemDelegationsCall::abi_decode(&self.data).ok();
        let context = call.and_then(|call| call.permissionContexts.first().cloned());
        let permission = context.and_then(|context| Permission::decode(&context).ok());
        let ends = permission.is_some_and(|it| it.redeem(&revoke_all(framework)) == self.data);
        match ends {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "{}: its data does something else than ending delegations",
                path.display()
            ))
            .help(MADE_BY)),
        }
    }
}

/// A message is never written over another one: that may be the only copy.
pub(super) fn taken(path: &Path) -> Failure {
    Failure::usage(format!("{} exists already", path.display()))
        .help("a prepared message never overwrites; choose another name")
}
