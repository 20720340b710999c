//! `marque account revoke --prepare`: the message that ends everything, signed now.

use super::super::{
    Site,
    delegate::nonce as agreed_nonce,
    switch::{Switch, taken},
};
use crate::{
    commands::{Shared, funds::Coins},
    failure::{Context as _, Done, Failure},
    story::{note, say},
};
use alloy_primitives::{Address, Bytes, U256};
use marque::{
    home::OwnerHome,
    owner::{Note, Notes, OwnerError, Prepared},
};
use marque_identity::Rpc;
use marque_identity_keys::{KeyDir, UnsignedTransaction, secret};
use marque_policies::{AssetId, Money, Policy};
use std::{path::Path, process::ExitCode};

/// Gas of the kill switch, with room: 186,808 were measured.
const GAS: u64 = 260_000;

pub(super) async fn run(
    shared: &Shared,
    site: &Site,
    file: &Path,
    (fee, most): (Option<&Coins>, &Coins),
) -> Done<ExitCode> {
    if file.exists() {
        return Err(taken(file));
    }
    // Nothing is signed or paid for a message that has no place.
    Switch::vacant(file)?;
    site.deployed().await?;
    let Site { rpc, framework, policy, .. } = site;
    let fee = fee.map(|fee| fee.on(policy)).transpose()?;
    let fee = fee.map(|wei| Money::new(wei, AssetId::native(framework.chain)));
    if let Some(fee) = fee {
        enough(rpc, policy, fee).await?;
    }
    let folder = shared.owner_home()?;
    let mut owner = match fee {
        Some(_) => site.unlock(shared).await?,
        None => shared.sender(&folder)?,
    };
    owner.pays_at_most(most.on(policy)?);
    let account = site.account();
    let nonce = agreed_nonce(rpc, framework, account).await?;
    let data = owner.kill_switch(framework, account, nonce)?;
    let mut switch = Switch::new(framework.chain, account, nonce, framework.manager, data);
    let payer = match &fee {
        Some(fee) => {
            let (payer, raw) = prepaid(rpc, &switch, fee.units).await?;
            switch.raw = Some(raw);
            Some((payer, fee.units))
        }
        None => None,
    };
    switch.write(file)?;
    // Where nobody answers one day, this is known to be somewhere.
    if let Err(error) = noted(&folder, &switch, file) {
        note(&format!("{} is written, and not noted: {}", file.display(), error.message));
    }
    let paid = match payer {
        Some((payer, units)) => {
            let sent = owner.send(rpc, switch.chain, payer, units, Bytes::new()).await;
            let receipt = sent.map_err(|error| {
                // A message whose fee is not there would not do what it says; where the fee may be on its
                // way, the file is all that is left of the key to which it goes.
                if !nothing_sent(&error) {
                    return Failure::new(format!(
                        "{error}; {} is kept: its fee may not be there yet",
                        file.display()
                    ))
                    .help(format!(
                        "look whether {payer} has the fee before another one is prepared"
                    ));
                }
                match std::fs::remove_file(file) {
                    Ok(()) => Failure::from(error),
                    Err(left) => Failure::new(format!("{error}; {}: {left}", file.display())),
                }
            })?;
            Some((payer, receipt.transaction))
        }
        None => None,
    };
    if shared.json {
        say!("{}", serde_json::to_string(&switch).doing("the message")?);
        return Ok(ExitCode::SUCCESS);
    }
    say!("{} ends everything that is delegated from {account}", file.display());
    say!("  {} bytes of data to {}, from anybody", switch.data.len(), switch.to);
    if let (Some((payer, transaction)), Some(fee)) = (paid, fee) {
        say!(
            "  or broadcast its `raw`: its fee is paid, by {} that went to {payer}, {transaction}",
            policy.show(fee)
        );
        say!("  that key was made for it and is forgotten: what the fee leaves over is lost");
    }
    say!("  keep it where you reach it without this machine; whoever has it can do that alone");
    say!("  once it was sent, or after marque account revoke --all, prepare another one");
    Ok(ExitCode::SUCCESS)
}

fn noted(folder: &OwnerHome, switch: &Switch, file: &Path) -> Done {
    let Switch { chain, account, nonce, .. } = *switch;
    let file = std::path::absolute(file).doing(file.display())?;
    let prepared = Prepared { chain, account, nonce, file };
    Ok(Notes::readable(folder)?.add(Note::Prepared(prepared))?)
}

/// Whether a payment failed before anything of it left this machine.
const fn nothing_sent(error: &OwnerError) -> bool {
    matches!(
        error,
        OwnerError::Fee { .. }
            | OwnerError::Coins { .. }
            | OwnerError::Nonces { .. }
            | OwnerError::Chains { .. }
            | OwnerError::NoEndpoint
    )
}

/// Refuses a fee that would not bring the message into a block even now.
async fn enough(rpc: &Rpc, policy: &Policy, fee: Money) -> Done {
    let least = U256::from(rpc.fees().await?.max_fee_per_gas).saturating_mul(U256::from(GAS));
    match fee.units < least {
        false => Ok(()),
        true => Err(Failure::usage(format!(
            "{} is less than the chain wants for it now, which is {}",
            policy.show(fee),
            policy.show(Money::new(least, fee.asset))
        ))
        .help("give several times as much: fees rise when many want to leave")),
    }
}

/// The message as a transaction of a key that was made for it and is forgotten here, and the key's
/// address, which needs the fee.
async fn prepaid(rpc: &Rpc, switch: &Switch, fee: U256) -> Done<(Address, Bytes)> {
    let each = u128::try_from(fee / U256::from(GAS)).unwrap_or(u128::MAX);
    let now = rpc.fees().await?;
    let folder = tempfile::tempdir().doing("a folder for a key")?;
    let passphrase = secret::generate().doing("a passphrase")?;
    let keys = KeyDir::create(folder.path().join("keys"))?;
    let sender = keys.create_key("switch", &passphrase)?;
    let key = keys.key("switch", &passphrase)?;
    let signed = key.sign_transaction(&UnsignedTransaction {
        chain_id: switch.chain,
        nonce: 0,
        to: Some(switch.to),
        value: U256::ZERO,
        data: switch.data.clone(),
        gas_limit: GAS,
        max_fee_per_gas: each,
        max_priority_fee_per_gas: now.max_priority_fee_per_gas.max(each / 10).min(each),
    })?;
    Ok((sender, signed.raw))
}
