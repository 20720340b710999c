//! The decision: what a policy says to one intent, rule by rule.
//!
//! Pure: a function of (policy, intent, ledger view, now). Every rule that concerns an intent is
//! evaluated, also after one has failed, so the table explains the whole decision. Default deny:
//! what is not known fails. A rule that asks becomes a pass once the owner has approved exactly
//! this body; a rule that fails never does.
//!
//! INVARIANT: lowering a limit, removing a payee or adding a label never turns a refusal into a
//! permission (pinned by `tests/suite/laws.rs`), and a second, naive evaluator agrees with this one
//! (pinned by `tests/suite/reference.rs`).

mod limits;
mod payment;
mod tool;

pub(crate) use limits::since;

use crate::{
    document::Policy,
    intent::{AcceptWallet, Intent, Settle, Sweep},
    ledger::{Ledger, Scope, Timestamp},
    money::{AssetId, Money},
    verdict::{Mark, Row, Verdict},
};
use alloy_primitives::U256;

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
    /// (transfer, settle, sweep); such an intent without it is refused.
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
    let approved = ledger.approved(request.intent.body_hash()).is_some();
    let mut judge = Judge { policy, ledger, now, approved, rows: Vec::new() };
    match request.intent {
        Intent::Tool(tool) => {
            judge.tool(tool);
            judge.optional_gas(request.gas);
        }
        Intent::Authorise(pay) => {
            judge.authorise(pay);
            judge.optional_gas(request.gas);
        }
        Intent::Transfer(pay) => judge.transfer(pay, request.gas),
        Intent::Settle(settle) => judge.settle(settle, request.gas),
        Intent::AcceptWallet(accept) => {
            judge.accept_wallet(accept);
            judge.optional_gas(request.gas);
        }
        Intent::Sweep(sweep) => judge.sweep(sweep, request.gas),
    }
    Verdict { table: judge.rows }
}

/// The table in the making.
struct Judge<'a> {
    policy: &'a Policy,
    ledger: &'a dyn Ledger,
    now: Timestamp,
    approved: bool,
    rows: Vec<Row>,
}

impl Judge<'_> {
    /// The seller's side: an authorisation that pays this agent.
    fn settle(&mut self, settle: &Settle, gas: Option<Money>) {
        let amount = settle.amount;
        self.positive(amount);
        self.asset_known(amount.asset);
        self.domain_known(amount.asset);
        let names: Vec<&str> = self.policy.income.iter().map(|id| self.asset_name(*id)).collect();
        self.check(
            "income.asset",
            self.policy.income.contains(&amount.asset),
            self.policy.show(amount),
            if names.is_empty() { "no income".to_owned() } else { names.join(", ") },
            || "add the asset to `income.assets`".to_owned(),
        );
        let own = self.ledger.agent_address();
        self.check("settle.to", settle.to == own, settle.to.to_string(), own.to_string(), || {
            "only an authorisation that pays this agent can be settled".to_owned()
        });
        self.needed_gas(amount.asset.chain, gas);
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
        self.needed_gas(sweep.amount.asset.chain, gas);
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
        let names: Vec<&str> = self.policy.assets.keys().map(String::as_str).collect();
        self.check("asset.known", known, asset.to_string(), names.join(", "), || {
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
        let names: Vec<&str> = self.policy.chains.keys().map(String::as_str).collect();
        self.check("chain.known", known, format!("eip155:{chain}"), names.join(", "), || {
            "add the chain to the policy".to_owned()
        });
    }

    /// Fees of an intent that is carried out by a transaction.
    fn needed_gas(&mut self, chain: u64, gas: Option<Money>) {
        self.gas_known(chain, gas);
        self.optional_gas(gas);
    }

    fn gas_known(&mut self, chain: u64, gas: Option<Money>) {
        let native = AssetId::native(chain);
        let measured = gas.map_or_else(|| "unknown".to_owned(), |gas| self.policy.show(gas));
        self.check(
            "gas.known",
            gas.is_some_and(|gas| gas.asset == native),
            measured,
            format!("fees in the native coin of eip155:{chain}"),
            || "try again once the chain has answered what the transaction costs".to_owned(),
        );
    }

    /// Fees against the limits on fees: those of `[limits.gas]`, or of the native asset itself.
    fn optional_gas(&mut self, gas: Option<Money>) {
        self.agent_gas(gas);
        self.owner_gas(gas);
    }

    fn agent_gas(&mut self, gas: Option<Money>) {
        let Some(gas) = gas else { return };
        let policy = self.policy;
        let own = || policy.limits.get(&gas.asset).map(|own| (self.asset_name(gas.asset), own));
        match policy.gas.get(&gas.asset).map(|limits| ("gas", limits)).or_else(own) {
            Some((name, limits)) => {
                let path = format!("limits.{name}");
                self.limits(&path, limits, Scope::Agent, gas, U256::ZERO);
            }
            None => {
                let (measured, limit) = (policy.show(gas), "no fees at all".to_owned());
                self.check("limits.gas", false, measured, limit, || {
                    "add `[limits.gas]`, for example with `day = \"0.002 ETH\"`".to_owned()
                });
            }
        }
    }

    fn owner_gas(&mut self, gas: Option<Money>) {
        let Some(gas) = gas else { return };
        let policy = self.policy;
        let own =
            || policy.owner_limits.get(&gas.asset).map(|own| (self.asset_name(gas.asset), own));
        let limits = policy.owner_gas.get(&gas.asset).map(|limits| ("gas", limits)).or_else(own);
        if let Some((name, limits)) = limits {
            let path = format!("owner.limits.{name}");
            self.limits(&path, limits, Scope::Owner, gas, U256::ZERO);
        }
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
        let (mark, mend) = match (ask, self.approved) {
            (false, _) => (Mark::Pass, None),
            (true, true) => {
                measured.push_str(", approved by the owner");
                (Mark::Pass, None)
            }
            (true, false) => (Mark::Ask, Some("the owner may approve it".to_owned())),
        };
        self.rows.push(Row { rule: rule.into(), measured, limit, mark, mend });
    }
}

/// Somebody else's words, made harmless for a terminal and short enough for a table.
fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("\"{}\"", short.escape_debug())
}
