//! What a rotation of the owner has left on chain: accounts that the key in force does not move.

use super::{Examination, Finding};
use crate::owner::{Holding, holding};
use alloy_primitives::Address;
use marque_identity::Rpc;
use marque_policies::document::Chain;
use std::collections::BTreeSet;

pub(super) async fn look(
    of: &Examination<'_>,
    chain: &Chain,
    rpc: &Rpc,
    tell: &mut impl FnMut(Finding),
) {
    let Some(now) = of.owners.last() else { return };
    let before: BTreeSet<Address> = of.owners.iter().copied().filter(|it| it != now).collect();
    for owner in before {
        // Where Marque knows no framework it made no account either.
        let Ok(Some(left)) = holding(of.policy, rpc, chain.id, owner).await else { continue };
        let Holding { owner, account, .. } = &left;
        let found = format!(
            "the account {account} of {owner}, the owner before, holds {}",
            left.shown(of.policy)
        );
        let mend = "with that key (--owner-home DIR): marque account revoke NAME --all, then marque \
                    account withdraw NAME AMOUNT";
        tell(Finding::odd("owner", found, mend));
    }
}
