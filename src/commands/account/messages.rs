//! Messages that end everything, in the owner's folder: made where an end is not certain, told as long as
//! they would end something, and taken away once nothing that is known is left for them to end.
//!
//! All that one needs is in the folder: the account, its chain, and the nonce that was signed for. So it is
//! made where no endpoint answers as well, and goes to the chain from wherever that is reached.

use super::{
    Signed,
    revoke::{Said, nonces},
    switch::Switch,
};
use crate::{
    failure::{Context as _, Done, Failure},
    story::note,
};
use alloy_primitives::{Address, U256};
use marque::{
    home::OwnerHome,
    owner::{Notes, Owner},
};
use marque_contracts::delegation::Framework;
use marque_identity::Rpc;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Another way than the endpoints that did not answer.
const ELSEWHERE: &str = "through another endpoint: marque account revoke --all --rpc URL";

/// So many names are tried, where something else stands at the first.
const NAMES: u32 = 16;

/// What messages are made by: the owner's folder, what it knows, and the key, where it is unlocked.
#[derive(Clone, Copy)]
pub(super) struct Messages<'a> {
    pub(super) folder: &'a OwnerHome,
    pub(super) notes: &'a Notes,
    pub(super) owner: Option<&'a Owner>,
}

impl Messages<'_> {
    /// `failure`, with the message that ends everything on the account in its help. What cannot be written is
    /// told, and the failure stays as it is. By `newest` where the notes know no nonce of the account;
    /// `answered` says whether every endpoint did.
    pub(super) fn with(
        &self,
        failure: Failure,
        framework: &Framework,
        account: Address,
        (newest, answered): (Option<U256>, bool),
    ) -> Failure {
        let chain = framework.chain;
        // What all of them want is a price, and elsewhere no other one.
        if failure.is_dear() && answered {
            return failure;
        }
        let Some(nonce) = self.notes.last_nonce(chain, account).or(newest) else { return failure };
        let mut ways: Vec<String> = match failure.is_silence() {
            true => vec![ELSEWHERE.to_owned()],
            false => failure.help.clone().into_iter().collect(),
        };
        let made = self.owner.map(|owner| self.put_away(owner, framework, account, nonce));
        let made = made.and_then(|made| made.map_err(|error| note(&error.message)).ok());
        if let Some(file) = &made {
            let known = match (failure.is_silence(), answered) {
                (true, _) => {
                    ", the newest that your folder knows: whether the chain is beyond it nobody says now"
                }
                (false, false) => {
                    ", the newest that your folder knows: where the chain is beyond it, it ends nothing more"
                }
                (false, true) => "",
            };
            ways.push(format!(
                "send the message that ends everything on {account} by nonce {nonce}{known}, of all its \
                 agents, also what is delegated there until it is sent, from wherever the chain is reached: \
                 marque account revoke --send {} --rpc URL",
                file.display()
            ));
        }
        if let Some(prepared) = prepared(self.notes, chain, account, nonce).pop() {
            ways.push(format!(
                "the one that you prepared, wherever you keep it: marque account revoke --send {} --rpc URL",
                prepared.display()
            ));
        }
        match ways.is_empty() {
            true => failure,
            false => failure.help(ways.join("; or ")).settled(),
        }
    }

    /// Puts the message into the owner's folder, under a name at which nothing else stands.
    fn put_away(
        &self,
        owner: &Owner,
        framework: &Framework,
        account: Address,
        nonce: U256,
    ) -> Done<PathBuf> {
        let chain = framework.chain;
        let data = owner.kill_switch(framework, account, nonce)?;
        let switch = Switch::new(chain, account, nonce, framework.manager, data);
        for number in 1..=NAMES {
            let file = self.folder.path().join(name(chain, nonce, number));
            if switch.place(&file).doing(file.display())? {
                return Ok(file);
            }
        }
        Err(Failure::new(format!(
            "the message that ends everything is not written: other things have its names in {}",
            self.folder.path().display()
        )))
    }
}

/// What the first, second, … message by a nonce is called.
fn name(chain: u64, nonce: U256, number: u32) -> String {
    let more = if number == 1 { String::new() } else { format!("-{number}") };
    format!("end-{chain}-{nonce}{more}.json")
}

/// The messages that were put into the owner's folder for an account, and the nonce of each.
fn kept(folder: &OwnerHome, chain: u64, account: Address) -> Vec<(PathBuf, U256)> {
    let files = fs::read_dir(folder.path()).into_iter().flatten().flatten();
    // What has another name, or a fee that is paid, somebody put there.
    let ours = |file: &Path, switch: &Switch| {
        let is = |number| file.ends_with(name(chain, switch.nonce, number));
        (switch.chain, switch.account) == (chain, account)
            && switch.raw.is_none()
            && (1..=NAMES).any(is)
    };
    let mut kept: Vec<_> = files
        .map(|entry| entry.path())
        .filter_map(|file| Switch::standing(&file).map(|switch| (file, switch)))
        .filter(|(file, switch)| ours(file, switch))
        .map(|(file, switch)| (file, switch.nonce))
        .collect();
    kept.sort();
    kept
}

/// The files of those that were prepared and end what names `least`, or a later nonce.
fn prepared(notes: &Notes, chain: u64, account: Address, least: U256) -> Vec<PathBuf> {
    let prepared = notes.prepared(chain, account).filter(|it| it.nonce >= least);
    let mut files: Vec<PathBuf> = prepared.map(|it| it.file.clone()).collect();
    files.dedup();
    files
}

/// What would end everything on an account, once anybody sends it.
pub(super) struct Living {
    /// Made where an end was not certain,
    pub(super) kept: Vec<PathBuf>,
    /// and prepared, where they still are.
    pub(super) prepared: Vec<PathBuf>,
}

/// Those whose nonce is not over by the word of any endpoint, or of none.
pub(super) async fn living(
    (folder, notes): (&OwnerHome, &Notes),
    rpc: &Rpc,
    framework: &Framework,
    account: Address,
) -> Living {
    let chain = framework.chain;
    let kept = kept(folder, chain, account);
    let prepared = prepared(notes, chain, account, U256::ZERO);
    if kept.is_empty() && prepared.is_empty() {
        return Living { kept: Vec::new(), prepared };
    }
    let said = nonces(rpc, framework, account).await;
    let lives = |nonce: U256| !spent(&said, nonce);
    let there = |file: &PathBuf| {
        Switch::standing(file).is_some_and(|it| it.account == account && lives(it.nonce))
    };
    Living {
        kept: kept.into_iter().filter(|(_, nonce)| lives(*nonce)).map(|(file, _)| file).collect(),
        prepared: prepared.into_iter().filter(there).collect(),
    }
}

/// Whether every endpoint says that an account is beyond a nonce.
fn spent(said: &[Said], nonce: U256) -> bool {
    let beyond = |(_, said): &Said| said.as_ref().is_ok_and(|now| *now > nonce);
    !said.is_empty() && said.iter().all(beyond)
}

/// Takes away what was put into the owner's folder for an account and has nothing left to end: by the word
/// of every endpoint its nonce is over, or all is that was signed here for that nonce.
pub(super) async fn tidy(
    (folder, notes): (&OwnerHome, &Notes),
    rpc: &Rpc,
    framework: &Framework,
    account: Address,
) {
    let kept = kept(folder, framework.chain, account);
    if kept.is_empty() {
        return;
    }
    let said = nonces(rpc, framework, account).await;
    for (file, nonce) in kept {
        let whole = |file: &Path| fs::canonicalize(file).ok();
        let is = whole(&file);
        if notes.prepared(framework.chain, account).any(|it| whole(&it.file) == is) {
            continue;
        }
        let noted = notes.delegated(framework.chain, account).filter(|it| it.nonce == nonce);
        let noted: Vec<_> = noted.cloned().collect();
        let over = async || {
            !noted.is_empty() && Signed::alive(rpc, noted).await.is_ok_and(|alive| alive.is_empty())
        };
        if spent(&said, nonce) {
            take_away(&file, "");
        } else if over().await {
            take_away(&file, "; a copy of it ends also what you delegate next");
        }
    }
}

fn take_away(file: &Path, copies: &str) {
    let file_is = format!("{} has nothing left to end", file.display());
    match fs::remove_file(file) {
        Ok(()) => note(&format!("{file_is}, and is removed{copies}")),
        Err(error) => note(&format!("{file_is}, and is not removed: {error}")),
    }
}
