//! One case: a proposal, who makes it, what came before, and when.

use super::past::TASK;
use crate::{
    document::{DAY, Given, HOUR, PaidBy, PastPayment},
    intent::{Argument, Authorise, Fetch, Intent, Label, Transfer},
    ledger::Timestamp,
    money::{AssetId, Money},
};
use alloy_primitives::U256;

const MINUTE: u64 = 60_000;

/// A proposal, who makes it, what came before, and when.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) intent: Intent,
    pub(super) gas: Option<Money>,
    pub(super) sub_agent: Option<String>,
    pub(super) task: String,
    /// What came before, and how often.
    pub(super) given: Vec<(Given, u64)>,
    /// How long ago the owner approved it.
    pub(super) approved: Option<u64>,
    /// Whether the registry answers what the old policy pins.
    pub(super) as_of_old: bool,
    pub(super) now: Timestamp,
}

impl Case {
    pub(super) fn new(intent: Intent, gas: Option<Money>, now: Timestamp) -> Self {
        Self {
            intent,
            gas,
            sub_agent: None,
            task: TASK.to_owned(),
            given: Vec::new(),
            approved: None,
            as_of_old: false,
            now,
        }
    }

    fn but(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut case = self.clone();
        change(&mut case);
        case
    }

    /// Whom it pays.
    pub(super) fn payee(&self) -> Option<&str> {
        match &self.intent {
            Intent::Authorise(pay) => Some(&pay.payee),
            Intent::Transfer(pay) => Some(&pay.payee),
            Intent::PermitTransfer(pay) => Some(&pay.payee),
            _ => None,
        }
    }

    pub(super) fn at(&self, now: Timestamp) -> Self {
        self.but(|case| case.now = now)
    }

    pub(super) fn given(&self, event: Given) -> Self {
        self.often(event, 1)
    }

    pub(super) fn often(&self, event: Given, times: u64) -> Self {
        self.but(|case| case.given.push((event, times)))
    }

    pub(super) fn approved(&self, age: u64) -> Self {
        self.but(|case| case.approved = Some(age))
    }

    pub(super) fn registry_as_of_old(&self) -> Self {
        self.but(|case| case.as_of_old = true)
    }

    pub(super) fn in_task(&self, task: &str) -> Self {
        self.but(|case| task.clone_into(&mut case.task))
    }

    pub(super) fn with_fees(&self, fees: Money) -> Self {
        self.but(|case| case.gas = Some(fees))
    }

    /// The same with another amount; of a return to the owner, whose amount nobody limits, with
    /// other fees.
    pub(super) fn of(&self, money: Money) -> Self {
        self.but(|case| match &mut case.intent {
            Intent::Authorise(pay) => pay.amount = money,
            Intent::Transfer(pay) => pay.amount = money,
            Intent::PermitTransfer(pay) => pay.amount = money,
            Intent::Settle(settle) => settle.amount = money,
            Intent::SettlePermit(settle) => (settle.amount, settle.charge) = (money, money),
            Intent::ApprovePermit2 { amount } | Intent::Refill { amount } => *amount = money,
            Intent::Sweep(_) | Intent::Cancel(_) | Intent::InvalidatePermit { .. } => {
                case.gas = Some(money);
            }
            Intent::Tool(_) | Intent::AcceptWallet(_) => {}
        })
    }

    /// After a payment that still counts in a window of this name, and in no shorter one.
    pub(super) fn paid(&self, amount: Money, payee: &str, kind: &str, by: Option<PaidBy>) -> Self {
        let age = match kind {
            "hour" => 30 * MINUTE,
            "days30" => 2 * DAY,
            "total" | "peer_total" => 40 * DAY,
            _ => 2 * HOUR,
        };
        let by = by.unwrap_or(PaidBy::Agent);
        self.given(Given::Paid(PastPayment { amount, payee: payee.to_owned(), age, by }))
    }

    pub(super) fn labelled(&self, label: Label) -> Self {
        self.but(|case| match &mut case.intent {
            Intent::Authorise(pay) => pay.labels = pay.labels.clone().with(label),
            Intent::Transfer(pay) => pay.labels = pay.labels.clone().with(label),
            Intent::PermitTransfer(pay) => pay.labels = pay.labels.clone().with(label),
            Intent::Tool(used) => used.labels = used.labels.clone().with(label),
            Intent::Settle(_)
            | Intent::AcceptWallet(_)
            | Intent::Sweep(_)
            | Intent::Cancel(_)
            | Intent::InvalidatePermit { .. }
            | Intent::ApprovePermit2 { .. }
            | Intent::SettlePermit(_)
            | Intent::Refill { .. } => {}
        })
    }

    pub(super) fn asked_by(&self, host: &str) -> Self {
        self.but(|case| {
            if let Intent::Authorise(pay) = &mut case.intent {
                host.clone_into(&mut pay.host);
            }
        })
    }

    /// The same payment in a transaction of our own.
    pub(super) fn as_transfer(&self) -> Self {
        self.but(|case| {
            if let Intent::Authorise(pay) = &case.intent {
                let Authorise { payee, to, amount, labels, .. } = pay.clone();
                case.gas = Some(free(amount.asset));
                case.intent = Intent::Transfer(Transfer { payee, to, amount, labels });
            }
        })
    }

    fn fetching(&self, change: impl FnOnce(&mut Fetch)) -> Self {
        self.but(|case| {
            if let Intent::Tool(used) = &mut case.intent {
                let plain = Fetch {
                    method: "GET".to_owned(),
                    host: String::new(),
                    path: "/".to_owned(),
                    bytes_out: 1,
                };
                change(used.fetch.get_or_insert(plain));
            }
        })
    }

    pub(super) fn to_host(&self, host: &str) -> Self {
        self.fetching(|fetch| host.clone_into(&mut fetch.host))
    }

    pub(super) fn by_method(&self, method: &str) -> Self {
        self.fetching(|fetch| method.clone_into(&mut fetch.method))
    }

    pub(super) fn to_path(&self, path: &str) -> Self {
        self.fetching(|fetch| path.clone_into(&mut fetch.path))
    }

    pub(super) fn sending(&self, bytes: u64) -> Self {
        self.fetching(|fetch| fetch.bytes_out = bytes)
    }

    pub(super) fn with_argument(&self, name: &str, value: Option<Argument>) -> Self {
        self.but(|case| {
            if let Intent::Tool(used) = &mut case.intent {
                match value {
                    Some(value) => used.arguments.insert(name.to_owned(), value),
                    None => used.arguments.remove(name),
                };
            }
        })
    }

    pub(super) fn amount(&self) -> Option<Money> {
        match &self.intent {
            Intent::Authorise(pay) => Some(pay.amount),
            Intent::Transfer(pay) => Some(pay.amount),
            Intent::PermitTransfer(pay) => Some(pay.amount),
            Intent::Settle(settle) => Some(settle.amount),
            Intent::SettlePermit(settle) => Some(settle.amount),
            Intent::ApprovePermit2 { amount } | Intent::Refill { amount } => Some(*amount),
            _ => None,
        }
    }
}

/// No fees, in the coin of the asset's chain.
pub(super) fn free(asset: AssetId) -> Money {
    Money::new(U256::ZERO, AssetId::native(asset.chain))
}
