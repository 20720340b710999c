//! Homes with keys and a journal, for tests of the whole steward.

use super::{CHAIN, adopt, owner};
use alloy_primitives::{Address, B256};
use marque_identity_keys::{KeyDir, SecretString, sign_statement};
use marque_policies::Statement;
use marque_steward::{Home, submit_offline};
use std::path::Path;

pub(crate) fn unlock() -> SecretString {
    SecretString::from("correct horse")
}

/// A home with one agent, enrolled and under the policy that `policy` writes for its address.
pub(crate) fn home(
    path: &Path,
    agent: &str,
    chain_genesis: B256,
    policy: impl FnOnce(Address) -> String,
) -> (Home, Address) {
    let home = Home::create(path, CHAIN).unwrap();
    let keys = KeyDir::create(home.keys()).unwrap();
    let key = keys.create_key(agent, &unlock()).unwrap();
    let log_key = B256::from(keys.create_log_key(&unlock()).unwrap());
    let by = owner();
    let sign = |statement| sign_statement(&by, statement, CHAIN, home.origin(), None);
    let statements = vec![
        sign(Statement::Genesis { owner: by.address(), chain_genesis, log_key }),
        sign(Statement::Enroll { agent: agent.into(), key }),
        adopt(&by, agent, &policy(key), home.origin()),
    ];
    let noted = submit_offline(&home, unlock(), statements).unwrap();
    assert_eq!(noted, [0, 1, 2]);
    (home, key)
}
