//! The decision: what a policy says to one intent, rule by rule.
//!
//! Pure: a function of (policy, intent, ledger view, now). Every rule that concerns an intent is
//! evaluated, also after one has failed, so the table explains the whole decision. Default deny:
//! what is not known fails. A rule that asks becomes a pass once the owner has approved exactly
//! this body, for as long as approvals last; a rule that fails never does.
//!
//! INVARIANT: lowering a limit, removing a payee, adding a forbid or a label never turns a refusal
//! into a permission (pinned by `tests/suite/laws.rs`), and a second, naive evaluator agrees with
//! this one (pinned by `tests/suite/reference.rs`).

mod account;
mod argument;
mod labels;
mod limits;
mod payment;
mod permit;
mod pool;
mod recall;
mod standing;
mod tool;

pub(crate) use argument::holds;
pub(crate) use limits::{Debits, since};
pub(crate) use payment::{address_of, members};

use crate::{
    document::{Policy, SubAgent},
    explain::{duration, list_all},
    intent::{AcceptWallet, Intent, Settle, Sweep},
    ledger::{Ledger, Timestamp},
    money::{AssetId, Money},
    verdict::{Mark, Row, Verdict},
};
use alloy_primitives::{Address, U256};
use recall::Recall;

/// What is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The agent that proposes, by name. The ledger view is this agent's.
    pub agent: &'a str,
    /// The account below the agent that proposes, if it is not the agent itself. Known from the
    /// connection, never from the message.
    pub sub_agent: Option<&'a str>,
    /// The task it belongs to.
    pub task: &'a str,
    /// What is proposed.
    pub intent: &'a Intent,
    /// The most that the transaction's fees can come to, for an intent that needs a transaction
    /// (transfer, settle, sweep, ...); such an intent without it is refused.
    pub gas: Option<Money>,
}

/// Judges one intent. Never panics, whatever the intent holds.
#[must_use]
pub fn decide(
    policy: &Policy,
    request: &Request<'_>,
    ledger: &dyn Ledger,
    now: Timestamp,
) -> Verdict {
    let ledger = Recall::new(ledger);
    let mut judge = Judge {
        policy,
        request: *request,
        ledger: &ledger,
        now,
        sub_agent: None,
        approval: None,
        rows: Vec::with_capacity(USUAL_ROWS),
    };
    let gas = request.gas;
    match request.intent {
        Intent::Tool(tool) => {
            judge.unexpired();
            judge.in_time();
            judge.proposer();
            judge.tool(tool);
            judge.fees(gas);
            judge.forbidden();
        }
        Intent::Authorise(pay) => {
            judge.unexpired();
            judge.in_time();
            judge.proposer();
            judge.authorise(pay, gas);
            judge.forbidden();
        }
        Intent::Transfer(pay) => {
            judge.unexpired();
            judge.in_time();
            judge.proposer();
            judge.transfer(pay, gas);
            judge.forbidden();
        }
        Intent::Settle(settle) => {
            judge.unexpired();
            judge.proposer();
            judge.agent_itself();
            judge.settle(settle, gas);
            judge.forbidden();
        }
        Intent::AcceptWallet(accept) => {
            judge.unexpired();
            judge.proposer();
            judge.agent_itself();
            judge.accept_wallet(accept);
            judge.fees(gas);
        }
        Intent::Sweep(sweep) => {
            judge.proposer();
            judge.sweep(sweep, gas);
        }
        // Whose authorisation it is, and that it is out, is for the steward to say.
        Intent::Cancel(_) => {
            judge.proposer();
            judge.cancel(gas);
        }
        Intent::PermitTransfer(pay) => {
            judge.unexpired();
            judge.in_time();
            judge.proposer();
            judge.permit(pay, gas);
            judge.forbidden();
        }
        // As for `Cancel`.
        Intent::InvalidatePermit { .. } => {
            judge.proposer();
            judge.cancel(gas);
        }
        Intent::ApprovePermit2 { amount } => {
            judge.unexpired();
            judge.proposer();
            judge.agent_itself();
            judge.approve_permit2(*amount, gas);
        }
        Intent::SettlePermit(settle) => {
            judge.unexpired();
            judge.proposer();
            judge.agent_itself();
            judge.settle_permit(settle, gas);
            judge.forbidden();
        }
        // It credits the agent's own key, so it has no hours.
        Intent::Refill { amount } => {
            judge.unexpired();
            judge.proposer();
            judge.agent_itself();
            judge.refill(*amount, gas);
        }
    }
    Verdict { table: judge.rows }
}

/// Room for the rows of a payment under an ordinary policy.
const USUAL_ROWS: usize = 32;

/// The table in the making.
struct Judge<'a> {
    policy: &'a Policy,
    request: Request<'a>,
    ledger: &'a dyn Ledger,
    now: Timestamp,
    /// The account below the agent that proposes, by name; `None` also for one that is not known.
    sub_agent: Option<(&'a str, &'a SubAgent)>,
    /// Whether the owner has approved exactly this body; looked up once something asks.
    approval: Option<Approval>,
    rows: Vec<Row>,
}

/// What the owner said to this body.
#[derive(Clone, Copy)]
enum Approval {
    /// Nothing.
    Missing,
    /// Yes, and it counts.
    Stands,
    /// Yes, so many milliseconds ago, which is longer than approvals last.
    Lapsed(u64),
}

impl Judge<'_> {
    /// The seller's side: an authorisation that pays this agent.
    fn settle(&mut self, settle: &Settle, gas: Option<Money>) {
        let amount = settle.amount;
        self.positive(amount);
        self.asset_known(amount.asset);
        self.domain_known(amount.asset);
        self.settles("settle.to", settle.to, amount);
        self.fees_known(amount.asset.chain, gas);
        self.fees(gas);
    }

    /// Whether a payment to `to` may be settled: to this agent where that is income, to others where
    /// this agent is a facilitator in that asset.
    fn settles(&mut self, rule: &'static str, to: Address, amount: Money) {
        let own = self.ledger.agent_address();
        if to != own && !self.policy.facilitator.is_empty() {
            let names = self.policy.facilitator.iter().map(|id| self.asset_name(*id));
            let names = list_all(names);
            self.check(
                "facilitator.asset",
                self.policy.facilitator.contains(&amount.asset),
                self.policy.show(amount),
                names,
                || "add the asset to `facilitator.assets`".to_owned(),
            );
            return;
        }
        self.income(amount);
        self.check(rule, to == own, to.to_string(), own.to_string(), || {
            "only what pays this agent can be settled; for others, by a policy with [facilitator]"
                .to_owned()
        });
    }

    /// Whether this agent may be paid in the asset.
    fn income(&mut self, amount: Money) {
        let names = list_all(self.policy.income.iter().map(|id| self.asset_name(*id)));
        self.check(
            "income.asset",
            self.policy.income.contains(&amount.asset),
            self.policy.show(amount),
            if names.is_empty() { "no income".to_owned() } else { names },
            || "add the asset to `income.assets`".to_owned(),
        );
    }

    /// An ERC-8004 identity that wants this agent as its wallet.
    fn accept_wallet(&mut self, accept: &AcceptWallet) {
        let chain = self.policy.chain(accept.chain);
        self.chain_known(accept.chain);
        let registry = chain.and_then(|chain| chain.identity_registry);
        self.check(
            "accept_wallet.registry",
            registry == Some(accept.registry),
            accept.registry.to_string(),
            registry.map_or_else(|| "no registry".to_owned(), |registry| registry.to_string()),
            || "set the chain's `identity_registry`".to_owned(),
        );
        let owner = self.policy.owner;
        self.check(
            "accept_wallet.owner",
            accept.owner == owner,
            accept.owner.to_string(),
            owner.to_string(),
            || "only an identity of this agent's owner can be accepted".to_owned(),
        );
        self.ask(
            "accept_wallet",
            true,
            format!("identity {} wants this agent as its wallet", accept.agent_id),
            "the owner decides".to_owned(),
        );
    }

    /// Money back to the owner: whatever the balance holds.
    fn sweep(&mut self, sweep: &Sweep, gas: Option<Money>) {
        self.positive(sweep.amount);
        self.asset_known(sweep.amount.asset);
        self.fees_known(sweep.amount.asset.chain, gas);
        self.fees(gas);
    }

    /// Money of the owner's account for the agent's own key. What the key holds already is for the
    /// steward to look at, and what is left of the limits for the chain.
    fn refill(&mut self, amount: Money, gas: Option<Money>) {
        self.positive(amount);
        self.asset_known(amount.asset);
        let float = self.policy.floats.get(&amount.asset);
        let name = self.asset_name(amount.asset).to_owned();
        let shown = self.policy.show(amount);
        match float {
            Some(float) => {
                let high = Money::new(float.high, amount.asset);
                self.at_most(format!("float.{name}.high"), amount, high);
            }
            None => {
                self.check("float.known", false, shown, "an asset with a float".to_owned(), || {
                    format!("have the owner add [float.{name}]")
                })
            }
        }
        self.fees_known(amount.asset.chain, gas);
        self.fees(gas);
    }

    /// What was signed taken back: it costs fees and pays nobody.
    fn cancel(&mut self, gas: Option<Money>) {
        self.fees_known(gas.map_or(0, |gas| gas.asset.chain), gas);
        self.fees(gas);
    }

    fn positive(&mut self, amount: Money) {
        let shown = self.policy.show(amount);
        self.check(
            "amount.positive",
            amount.units > U256::ZERO,
            shown,
            "more than nothing".to_owned(),
            || "name an amount above zero".to_owned(),
        );
    }

    fn asset_known(&mut self, asset: AssetId) {
        let known = self.policy.asset(asset).is_some();
        let names = list_all(self.policy.assets.keys().map(String::as_str));
        self.check("asset.known", known, asset.to_string(), names, || {
            "add the asset to the policy".to_owned()
        });
    }

    fn domain_known(&mut self, asset: AssetId) {
        let known = self.policy.asset(asset).is_some_and(|(_, asset)| asset.domain.is_some());
        self.check(
            "asset.domain",
            known,
            self.asset_name(asset).to_owned(),
            "a token with an EIP-712 domain".to_owned(),
            || "add the token's `domain = { name = .., version = .. }` to the asset".to_owned(),
        );
    }

    fn chain_known(&mut self, chain: u64) {
        let known = self.policy.chain(chain).is_some();
        let names = list_all(self.policy.chains.keys().map(String::as_str));
        self.check("chain.known", known, format!("eip155:{chain}"), names, || {
            "add the chain to the policy".to_owned()
        });
    }

    /// What the owner's `policy.cedar` forbids beyond all else.
    fn forbidden(&mut self) {
        if self.policy.forbids.is_empty() {
            return;
        }
        let rows = self.policy.forbids.judge(self.policy, &self.request, self.ledger, self.now);
        self.rows.extend(rows);
    }

    fn asset_name(&self, asset: AssetId) -> &str {
        self.policy.asset(asset).map_or("unknown asset", |(name, _)| name)
    }

    /// A rule that passes or fails.
    fn check(
        &mut self,
        rule: impl Into<String>,
        pass: bool,
        measured: String,
        limit: String,
        mend: impl FnOnce() -> String,
    ) {
        let (mark, mend) = if pass { (Mark::Pass, None) } else { (Mark::Fail, Some(mend())) };
        self.rows.push(Row { rule: rule.into(), measured, limit, mark, mend });
    }

    /// A rule that passes or wants the owner to decide.
    fn ask(&mut self, rule: impl Into<String>, ask: bool, mut measured: String, limit: String) {
        let approval = if ask { Some(self.approval()) } else { None };
        let (mark, mend) = match approval {
            None => (Mark::Pass, None),
            Some(Approval::Stands) => {
                measured.push_str(", approved by the owner");
                (Mark::Pass, None)
            }
            Some(Approval::Missing) => (Mark::Ask, Some("the owner may approve it".to_owned())),
            Some(Approval::Lapsed(age)) => {
                let ago = duration(age);
                let mend = format!("the approval of {ago} ago has lapsed; the owner may renew it");
                (Mark::Ask, Some(mend))
            }
        };
        self.rows.push(Row { rule: rule.into(), measured, limit, mark, mend });
    }

    /// The owner's approval of exactly this body. Hashing the body is the dearest thing that a
    /// decision does, so it waits until something asks.
    fn approval(&mut self) -> Approval {
        if let Some(known) = self.approval {
            return known;
        }
        let given = self.ledger.approved(self.request.intent.body_hash());
        let approval = match given.map(|given| self.now.saturating_sub(given)) {
            None => Approval::Missing,
            Some(age) if self.policy.approvals.valid.is_some_and(|valid| age > valid) => {
                Approval::Lapsed(age)
            }
            Some(_) => Approval::Stands,
        };
        self.approval = Some(approval);
        approval
    }
}

/// Somebody else's words, made harmless for a terminal and short enough for a table.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("\"{}\"", short.escape_debug())
}
