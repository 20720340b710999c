//! Money to somebody whom the policy names, without a purchase around it: a transfer in a transaction
//! of the steward's.

use super::Cx;
use crate::{Event, ToolError};
use alloy_primitives::{Address, B256, U256};
use marque_payments::PaymentError;
use marque_policies::{Intent, IntentId, Money, intent::Transfer, money::format_units};
use marque_steward_client::{Artifact, PaymentState, Proposal, View};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::time::Instant;

/// How long a transfer is followed before the call goes on without it.
const FOLLOWED: Duration = Duration::from_secs(30);

/// A transfer that was allowed and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// Its intent.
    pub id: IntentId,
    /// The payee's name in the policy.
    pub payee: String,
    /// Where the money went.
    pub to: Address,
    /// How much.
    pub amount: Money,
    /// The transaction.
    pub transaction: Option<B256>,
    /// How far it is: sent, seen in a block, or final.
    pub state: PaymentState,
}

impl Cx {
    /// Sends `amount` to the payee that the policy knows by this name, and follows it until a block has
    /// it, for half a minute at most. Made again after a crash it is the same transfer.
    ///
    /// What the mind may know is looked at first, so that a model is told what is wrong without an
    /// intent; the steward decides all the same. A model's transfer is always held for the owner, since
    /// no host of the payee's asks for it.
    ///
    /// # Errors
    /// [`ToolError::Arguments`] for a payee that the policy does not name or that has no address yet,
    /// for more than [`Cx::max_price`] and for more than the limits leave; [`ToolError::Refused`], [`ToolError::Held`],
    /// [`ToolError::Denied`], [`ToolError::Over`], [`ToolError::Payment`].
    pub async fn pay(&self, payee: &str, amount: Money) -> Result<Transferred, ToolError> {
        let scope = &self.scope;
        let view = scope.steward.standing().await.map_err(|error| scope.sort(error.into()))?;
        let Some(known) = view.payees.iter().find(|known| known.name == payee) else {
            let names: Vec<&str> = view.payees.iter().map(|known| known.name.as_str()).collect();
            let payee: String = payee.chars().filter(|c| !c.is_control()).take(64).collect();
            let why = format!("no payee \"{payee}\"; the policy names {}", names.join(", "));
            return Err(ToolError::Arguments(why));
        };
        let to = known.address.ok_or_else(|| {
            ToolError::Arguments(format!(
                "the policy knows {payee} by its host alone; buy there first"
            ))
        })?;
        let max = self.max.filter(|max| max.asset == amount.asset);
        if max.is_some_and(|max| amount.units > max.units) {
            return Err(ToolError::Arguments(
                "that is more than was said to be the most".to_owned(),
            ));
        }
        let ordinal = scope.ordinal.fetch_add(1, Ordering::SeqCst);
        let payee = payee.to_owned();
        let transfer = Transfer { payee: payee.clone(), to, amount, labels: self.labels() };
        let proposal = scope.proposal(ordinal, Intent::Transfer(transfer));
        self.affordable(&view, amount, &proposal).await?;
        let (id, artifact) = scope.propose(proposal).await?;
        let transaction = match artifact {
            Artifact::Transaction { hash } => Some(hash),
            _ => None,
        };
        let state = self.followed(id).await?;
        let task = self.task().to_owned();
        scope.emit(Event::Paid { task, id, payee: payee.clone(), amount, transaction });
        Ok(Transferred { id, payee, to, amount, transaction, state })
    }

    /// Whether the limits leave as much, as the steward told them. One that was proposed before is a
    /// part of what they no longer leave.
    async fn affordable(
        &self,
        view: &View,
        amount: Money,
        proposal: &Proposal,
    ) -> Result<(), ToolError> {
        let left = view.left(amount.asset).map_or(U256::ZERO, |left| left.units);
        if amount.units <= left {
            return Ok(());
        }
        let scope = &self.scope;
        let id = proposal.id_of(view.origin, &view.agent, view.sub_agent.as_deref());
        match scope.steward.wait(id, Duration::ZERO).await {
            Ok(_) => return Ok(()),
            Err(PaymentError::Fault(_)) => {}
            Err(error) => return Err(scope.sort(error.into())),
        }
        let known = view.assets.iter().find(|asset| asset.id == amount.asset);
        let said = |units| match known {
            Some(asset) => format!("{} {}", format_units(units, asset.decimals), asset.name),
            None => format!("{units} units of {}", amount.asset),
        };
        let why = format!("{} is more than the limits leave: {}", said(amount.units), said(left));
        Err(ToolError::Arguments(why))
    }

    /// How far a transfer got.
    async fn followed(&self, id: IntentId) -> Result<PaymentState, ToolError> {
        let scope = &self.scope;
        let deadline = Instant::now() + FOLLOWED;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let state = scope.steward.wait(id, left.min(Duration::from_secs(5))).await;
            let state = state.map_err(|error| scope.sort(error.into()))?.state;
            match state {
                PaymentState::Denied => return Err(ToolError::Denied { id }),
                PaymentState::Released
                | PaymentState::Expired
                | PaymentState::Cancelled
                | PaymentState::Refused => return Err(ToolError::Over { id }),
                PaymentState::Seen | PaymentState::Final => return Ok(state),
                _ if left.is_zero() => return Ok(state),
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}
