//! What can go wrong in a run.

use crate::proxy::Lie;

/// Whose steward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Buyer,
    Seller,
}

/// How an RPC endpoint fails for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rpc {
    /// It answers after seconds.
    Slow,
    /// It never answers.
    Silent,
    /// It closes connections.
    Gone,
    /// It does what is asked and the answer is lost.
    AnswerLost,
    /// It answers 429.
    Limits,
    /// It stays at one block.
    Stale,
    /// It says what is not so; the other endpoint of the policy does not.
    Lies(Lie),
}

/// How a seller behaves once it has the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seller {
    /// It closes the connection, and delivers when it is asked again.
    HangsUp,
    /// It closes the connection and never delivers.
    IsGone,
    /// It answers 500 and never delivers.
    Fails,
    /// It says that the payment was no good.
    Denies,
}

/// How a facilitator fails whom a seller of ours lets settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Desk {
    /// It settles and answers 500.
    Fails,
    /// It settles and never answers.
    Silent,
    /// It does nothing and never answers, for some seconds; then it is as [`Desk::Fails`].
    Dead,
    /// It says that it has settled, and has not.
    Lies,
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// None: the control.
    Nothing,
    /// The nodes forget the settlement before it is mined.
    Dropped,
    /// So many blocks are replaced by others without our transactions, after the settlement was
    /// seen.
    Reorg(u64),
    /// Gas gets dearer than the settlement offers, for a while.
    FeeSpike,
    /// Another sender uses the seller's key, and with it the nonce of the settlement.
    NonceTaken,
    /// A stranger settles the same authorisation first.
    FrontRun,
    /// RPC endpoints of one of the two.
    Rpc(Who, Rpc),
    /// A seller that is none of ours.
    Seller(Seller),
    /// A facilitator that is none of ours.
    Facilitator(Desk),
    /// A steward dies at an edge, and is started again.
    Killed(Who, &'static str),
}

/// Edges at which a buyer's steward comes by in a purchase.
const BUYS: [&str; 10] = [
    "reserved",
    "sent",
    "torn.allowed",
    "journalled.allowed",
    "done.allowed",
    "done.reported",
    "torn.seen",
    "done.seen",
    "torn.final",
    "done.final",
];

/// And a seller's.
const SELLS: [&str; 12] = [
    "torn.allowed",
    "journalled.allowed",
    "done.allowed",
    "torn.signed",
    "journalled.signed",
    "done.signed",
    "torn.sent",
    "done.sent",
    "journalled.seen",
    "done.seen",
    "journalled.final",
    "done.final",
];

impl Fault {
    /// All of them.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::Nothing, Self::Dropped, Self::FeeSpike, Self::NonceTaken];
        all.push(Self::FrontRun);
        all.extend((1..=8).map(Self::Reorg));
        let lies = [
            Lie::NoReceipt,
            Lie::Reverted,
            Lie::Authorisations,
            Lie::NoLogs,
            Lie::Ahead,
            Lie::Nonsense,
        ];
        let troubles =
            [Rpc::Slow, Rpc::Silent, Rpc::Gone, Rpc::AnswerLost, Rpc::Limits, Rpc::Stale];
        for who in [Who::Buyer, Who::Seller] {
            all.extend(troubles.map(|trouble| Self::Rpc(who, trouble)));
            all.extend(lies.map(|lie| Self::Rpc(who, Rpc::Lies(lie))));
        }
        all.extend(
            [Seller::HangsUp, Seller::IsGone, Seller::Fails, Seller::Denies].map(Self::Seller),
        );
        all.extend([Desk::Fails, Desk::Silent, Desk::Dead, Desk::Lies].map(Self::Facilitator));
        all.extend(BUYS.map(|edge| Self::Killed(Who::Buyer, edge)));
        all.extend(SELLS.map(|edge| Self::Killed(Who::Seller, edge)));
        all
    }

    /// Its kind, for the count at the end.
    pub(crate) fn family(self) -> String {
        match self {
            Self::Rpc(_, Rpc::Lies(_)) => "Lies".to_owned(),
            Self::Rpc(_, trouble) => format!("{trouble:?}"),
            Self::Reorg(_) => "Reorg".to_owned(),
            Self::Seller(_) => "Seller".to_owned(),
            Self::Facilitator(_) => "Facilitator".to_owned(),
            Self::Killed(who, _) => format!("Killed{who:?}"),
            other => format!("{other:?}"),
        }
    }
}
