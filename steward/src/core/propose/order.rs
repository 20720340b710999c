//! What an allowed intent comes to: the authorisation, permit, consent or transaction that is signed, and
//! not a byte beside it.

use super::{Case, Way, permit};
use crate::{
    core::{owed, paying},
    entry::{AuthorisationOrder, CancelOrder, Order, PermitOrder, TransactionOrder, WalletOrder},
    error::fault,
};
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall as _;
use marque_contracts::{
    IERC20, IERC3009Bytes,
    permit2::{self, IERC20Approve, IPermit2, PERMIT2},
};
use marque_policies::{Intent, Money};
use marque_steward_client::Fault;

/// An authorisation of ours is valid for so many seconds of block time; never more than 300.
const VALID_FOR: u64 = 120;

/// A consent to a wallet is valid for so many seconds; the registry accepts at most 300.
const WALLET_FOR: u64 = 240;

impl Case<'_> {
    /// Exactly what is to be signed.
    pub(super) fn order(&self) -> Result<Order, Fault> {
        let trouble = |what: &str| {
            let why = self.facts.trouble.as_deref().unwrap_or("the chain was not asked");
            fault("chain", format!("{what}: {why}"))
        };
        let block = || self.facts.block.ok_or_else(|| trouble("no block"));
        Ok(match &self.proposal.intent {
            Intent::Tool(_) => Order::Permission,
            Intent::Authorise(pay) => {
                let block = block()?;
                let domain = self
                    .domain(pay.amount.asset)
                    .ok_or_else(|| fault("internal", "an asset without a domain passed"))?;
                Order::Authorisation(AuthorisationOrder {
                    name: domain.name,
                    version: domain.version,
                    amount: pay.amount,
                    from: self.key,
                    to: pay.to,
                    valid_after: 0,
                    valid_before: block.timestamp.saturating_add(VALID_FOR),
                    nonce: self.id.nonce(),
                    block: block.number,
                })
            }
            Intent::Settle(_) | Intent::SettlePermit(_) if self.facts.elsewhere.is_some() => {
                Order::Elsewhere
            }
            // Nothing was used, so nothing is taken: the permit ends by itself.
            Intent::SettlePermit(settle) if settle.charge.units.is_zero() => Order::Permission,
            Intent::PermitTransfer(pay) => {
                let block = block()?;
                Order::PermitTransfer(PermitOrder {
                    amount: pay.amount,
                    from: self.key,
                    to: pay.to,
                    via: pay.via,
                    valid_after: 0,
                    deadline: block.timestamp.saturating_add(VALID_FOR),
                    nonce: self.id.permit_nonce(),
                    block: block.number,
                })
            }
            Intent::Transfer(_)
            | Intent::Settle(_)
            | Intent::Sweep(_)
            | Intent::InvalidatePermit { .. }
            | Intent::ApprovePermit2 { .. }
            | Intent::Refill { .. }
            | Intent::SettlePermit(_) => {
                let owner = self.state.owner().unwrap_or(self.begun.owner);
                let refill = matches!(self.proposal.intent, Intent::Refill { .. });
                if refill && self.facts.way.is_none() {
                    return Err(trouble("nothing to draw by"));
                }
                let way = self.facts.way.as_ref();
                let call = Call::of(&self.proposal.intent, owner, way)
                    .ok_or_else(|| fault("internal", "an intent without a call passed"))?;
                Order::Transaction(self.transaction(call)?)
            }
            Intent::Cancel(cancel) => {
                let order = self
                    .cancelled(cancel.intent)
                    .ok_or_else(|| fault("internal", "nothing to cancel passed"))?;
                let to = order.amount.asset.token;
                // The data holds a signature, which the signer makes.
                let call = Call { to, value: U256::ZERO, data: Bytes::new() };
                Order::Cancel(CancelOrder {
                    cancelled: cancel.intent,
                    name: order.name.clone(),
                    version: order.version.clone(),
                    nonce: order.nonce,
                    transaction: self.transaction(call)?,
                })
            }
            Intent::AcceptWallet(accept) => Order::Wallet(WalletOrder {
                chain: accept.chain,
                registry: accept.registry,
                agent_id: accept.agent_id,
                wallet: self.key,
                owner: accept.owner,
                deadline: block()?.timestamp.saturating_add(WALLET_FOR),
            }),
            other => {
                let line = format!("intents of kind {} cannot be carried out here", other.kind());
                return Err(fault("malformed", line));
            }
        })
    }

    /// Whether the payer still has what this settlement takes once those under way have taken theirs:
    /// decided here, where one is decided after the other.
    fn paid_for(&self) -> Result<(), Fault> {
        let intent = &self.proposal.intent;
        let (Some(payer), Some((_, _, units, _))) = (&self.facts.payer, paying(intent)) else {
            return Ok(());
        };
        let left = payer.left(&owed(self.state, intent, self.id));
        if left >= units {
            return Ok(());
        }
        let line = format!(
            "it would fail: of the payer's {} base units {left} are left when the settlements under \
             way have taken theirs, and this takes {units}",
            payer.balance
        );
        Err(fault("chain", line))
    }

    /// The transaction of a call: with the next account nonce, and as much gas as was estimated.
    fn transaction(&self, call: Call) -> Result<TransactionOrder, Fault> {
        let trouble = |what: &str| {
            let why = self.facts.trouble.as_deref().unwrap_or("the chain was not asked");
            fault("chain", format!("{what}: {why}"))
        };
        // Where the balance is what is wrong, that is said, whatever trying it out says.
        self.paid_for()?;
        if self.facts.trouble.is_some() {
            return Err(trouble("it would fail"));
        }
        let (Some(gas), Some(nonce)) = (self.facts.gas, self.facts.nonce) else {
            return Err(trouble("no gas estimate"));
        };
        let block = self.facts.block.ok_or_else(|| trouble("no block"))?;
        let account = self.state.agent(self.agent).map_or(0, |account| account.nonce);
        Ok(TransactionOrder {
            chain: self.begun.chain,
            from: self.key,
            nonce: account.max(nonce),
            to: call.to,
            value: call.value,
            data: call.data,
            gas_limit: gas.limit,
            max_fee: U256::from(gas.max_fee),
            max_priority_fee: U256::from(gas.max_priority_fee),
            block: block.number,
        })
    }
}

/// The one call that carries an intent out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) to: Address,
    pub(crate) value: U256,
    pub(crate) data: Bytes,
}

impl Call {
    /// The call for an intent that needs a transaction.
    pub(crate) fn of(intent: &Intent, owner: Address, way: Option<&Way>) -> Option<Self> {
        match intent {
            Intent::Refill { amount } => way.map(|way| way.call(*amount)),
            Intent::Transfer(pay) => Some(Self::pay(pay.to, pay.amount)),
            Intent::Sweep(sweep) => Some(Self::pay(owner, sweep.amount)),
            Intent::Settle(settle) => {
                let signature = alloy_primitives::hex::decode(&settle.signature).ok()?;
                let call = IERC3009Bytes::transferWithAuthorizationCall {
                    from: settle.from,
                    to: settle.to,
                    value: settle.amount.units,
                    validAfter: U256::from(settle.valid_after),
                    validBefore: U256::from(settle.valid_before),
                    nonce: settle.nonce,
                    signature: signature.into(),
                };
                let to = settle.amount.asset.token;
                Some(Self { to, value: U256::ZERO, data: call.abi_encode().into() })
            }
            Intent::SettlePermit(settle) => {
                let signature = alloy_primitives::hex::decode(&settle.signature).ok()?;
                let permit = permit::of(settle);
                let data = permit.settle(settle.charge.units, signature).into();
                Some(Self { to: permit.spender(), value: U256::ZERO, data })
            }
            Intent::InvalidatePermit { intent } => {
                let (word, bit) = permit2::place(intent.permit_nonce());
                let call = IPermit2::invalidateUnorderedNoncesCall { wordPos: word, mask: bit };
                Some(Self { to: PERMIT2, value: U256::ZERO, data: call.abi_encode().into() })
            }
            Intent::ApprovePermit2 { amount } => {
                let call = IERC20Approve::approveCall { spender: PERMIT2, value: amount.units };
                let to = amount.asset.token;
                Some(Self { to, value: U256::ZERO, data: call.abi_encode().into() })
            }
            _ => None,
        }
    }

    fn pay(to: Address, amount: Money) -> Self {
        if amount.asset.is_native() {
            return Self { to, value: amount.units, data: Bytes::new() };
        }
        let call = IERC20::transferCall { to, value: amount.units };
        Self { to: amount.asset.token, value: U256::ZERO, data: call.abi_encode().into() }
    }
}
