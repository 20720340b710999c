//! The kill switch as a file: a message that ends all delegations of an account, and can do nothing
//! else. It is public; whoever has it can only end them.

use crate::failure::{Context as _, Done, Failure};
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall as _;
use marque_contracts::delegation::{
    ANYBODY, Framework, Permission, binding::IDelegationManager, revoke_all,
};
use serde::{Deserialize, Serialize};
use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

const FORMAT: u32 = 1;

const MADE_BY: &str = "give a file that marque account revoke --prepare wrote";

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

    /// Writes it to a file that is not there yet.
    pub(super) fn write(&self, path: &Path) -> Done {
        let text = serde_json::to_vec_pretty(self).doing(path.display())?;
        // Whoever has it can send it.
        let file = fs::File::options().write(true).create_new(true).mode(0o600).open(path);
        let mut file = file.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => taken(path),
            _ => Failure::new(format!("{}: {error}", path.display())),
        })?;
        file.write_all(&text).and_then(|()| file.sync_all()).doing(path.display())
    }

    /// Reads one, and makes sure that it is a message that ends delegations: whoever sends it risks
    /// no more than the fee.
    pub(super) fn read(path: &Path) -> Done<Self> {
        let wrong = |why: &dyn std::fmt::Display| {
            Failure::new(format!("{}: {why}", path.display())).help(MADE_BY)
        };
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!("{}: {error}", path.display())).help(MADE_BY)
        })?;
        let switch: Self = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        if switch.format != FORMAT {
            return Err(wrong(&format!("its format is {}, and not {FORMAT}", switch.format)));
        }
        let call = IDelegationManager::redeemDelegationsCall::abi_decode(&switch.data)
            .map_err(|_| wrong(&"its data redeems no delegation"))?;
        let [context] = &call.permissionContexts[..] else {
            return Err(wrong(&"its data redeems more than one delegation"));
        };
        let permission = Permission::decode(context).map_err(|error| wrong(&error))?;
        if permission.redeemer() != ANYBODY || permission.account() != switch.account {
            return Err(wrong(&"its data is no kill switch of the account that it names"));
        }
        Ok(switch)
    }
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
