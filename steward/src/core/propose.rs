//! A proposal: who may have what, decided and reserved in one step.
//!
//! The same id with the same body gets the same answer with the same bytes; the same id with
//! another body is refused; what was only held or refused is decided again. Refused before held
//! before allowed.

use crate::{
    canonical,
    core::{
        Effect, HELD_AT_ONCE, REFUSAL_REST, Reply, Step, chain::SIGN_WITHIN, chain::again,
        enrolled, payer::Payer, permit::Permit, task_name,
    },
    entry::{Allowed, Body, Decided, Found, Genesis, OnChain, Order, Word},
    error::fault,
    state::{Adopted, Ledger, Record, State, passes_frozen},
};
use alloy_primitives::{Address, B256, U256};
use marque_policies::{
    AssetId, Decision, Intent, IntentId, Money, Request, Resolved, Timestamp, Verdict, decide,
};
use marque_steward_client::{Fault, PaymentState, Proposal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod order;
mod permit;
mod refill;
mod rules;

pub(crate) use order::Call;
pub use refill::{Covered, Lack, Way};
pub(crate) use refill::{is_delegation, leaves, refills, takes};
use rules::failed;

/// A wall clock so many milliseconds from block time, either way, stops payments.
pub(crate) const CLOCK_SKEW: Timestamp = 600_000;

/// Units of gas that a cancellation may use. It cannot be tried out before it is signed; tokens use
/// some 60,000.
pub(crate) const CANCEL_GAS: u64 = 100_000;

/// The longest intent, in bytes of JSON.
const MAX_INTENT: usize = 4 * 1024;

/// What was found out about a proposal before it came here. Nothing in it is from the mind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Which account below the agent speaks, if it is not the agent: known from the connection.
    pub sub_agent: Option<String>,
    /// Hash of the policy under which it was looked up.
    pub policy: B256,
    /// The newest block.
    pub block: Option<BlockFacts>,
    /// What the registry answers for the payee, where it is pinned by agent id.
    pub resolved: BTreeMap<String, Resolved>,
    /// What a transaction would cost at most.
    pub gas: Option<GasPlan>,
    /// The chain's count of our transactions.
    pub nonce: Option<u64>,
    /// A settlement that somebody else has brought to the chain already: where it is.
    pub elsewhere: Option<OnChain>,
    /// Base units of the token that cover it: for a permit what Permit2 may move, for an approval of
    /// Permit2 and for a refill what the agent holds.
    pub cover: Option<U256>,
    /// For a payment in an asset with a float: what the agent holds of it.
    pub held: Option<U256>,
    /// For a refill: what it is drawn by.
    pub way: Option<Way>,
    /// For what pays, where the policy requires the chain's cover: how it stands with that.
    pub covered: Covered,
    /// Who pays with a settlement that we would bring to the chain.
    pub payer: Option<Payer>,
    /// Why it would not work on chain, or why that could not be found out.
    pub trouble: Option<String>,
}

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockFacts {
    /// Its number.
    pub number: u64,
    /// Its time, Unix seconds.
    pub timestamp: u64,
}

/// What a transaction may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GasPlan {
    /// Units of gas.
    pub limit: u64,
    /// Wei a unit, at most.
    #[serde(with = "wei")]
    pub max_fee: u128,
    /// Wei a unit for the block's author.
    #[serde(with = "wei")]
    pub max_priority_fee: u128,
}

/// An amount of wei as a decimal text: JSON numbers lose digits.
mod wei {
    use alloy_primitives::U256;
    use serde::{Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(wei: &u128, to: S) -> Result<S::Ok, S::Error> {
        marque_policies::money::decimal::serialize(&U256::from(*wei), to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        let wei = marque_policies::money::decimal::deserialize(from)?;
        u128::try_from(wei).map_err(|_| D::Error::custom("more wei than there can be"))
    }
}

impl GasPlan {
    /// The most that it can come to.
    #[must_use]
    pub fn most(&self, chain: u64) -> Money {
        let units = U256::from(self.limit).saturating_mul(U256::from(self.max_fee));
        Money::new(units, AssetId::native(chain))
    }
}

/// A proposal on its way through the rules.
struct Case<'a> {
    state: &'a State,
    begun: &'a Genesis,
    agent: &'a str,
    adopted: &'a Adopted,
    key: Address,
    proposal: Proposal,
    id: IntentId,
    body: B256,
    before: Option<&'a Record>,
    facts: &'a Facts,
    now: Timestamp,
}

pub(super) fn propose(
    state: &State,
    agent: &str,
    proposal: Proposal,
    facts: &Facts,
    now: Timestamp,
) -> Result<Step, Fault> {
    enrolled(state, agent)?;
    well_formed(&proposal)?;
    not_frozen(state, &proposal.intent)?;
    let (Some(begun), Some(account)) = (state.genesis(), state.agent(agent)) else {
        return Err(fault("unknown", "the journal has no genesis yet"));
    };
    let Some(adopted) = &account.policy else {
        let line = format!(
            "\"{agent}\" has no policy yet; the owner adopts one with `marque policy adopt`"
        );
        return Err(fault("unknown", line));
    };
    if adopted.hash != facts.policy {
        return Err(fault("stale", "the policy has just changed; propose it again"));
    }
    let id = proposal.id_of(begun.origin, agent, facts.sub_agent.as_deref());
    let body = proposal.intent.body_hash();
    let key = account.key;
    let before = state.intent(id);
    let case = Case { state, begun, agent, adopted, key, proposal, id, body, before, facts, now };
    case.same_body()?;
    if let Some(step) = case.before.and_then(|before| case.again(before)) {
        return step;
    }
    case.attempts()?;
    case.clocks()?;
    case.decide()
}

/// Bounds, and numbers that JSON carries exactly.
fn well_formed(proposal: &Proposal) -> Result<(), Fault> {
    task_name(&proposal.task)?;
    let bytes = canonical::to_vec(&proposal.intent)
        .map_err(|error| fault("malformed", format!("the intent: {error}")))?;
    if bytes.len() > MAX_INTENT {
        let line = format!("the intent has {} bytes, and at most {MAX_INTENT} pass", bytes.len());
        return Err(fault("malformed", line));
    }
    match serde_json::from_slice::<Intent>(&bytes) {
        Ok(read) if read == proposal.intent => Ok(()),
        _ => Err(fault("malformed", "a number in the intent is above 2^53 - 1")),
    }
}

pub(super) fn not_frozen(state: &State, intent: &Intent) -> Result<(), Fault> {
    match state.frozen() {
        Some(frozen) if !passes_frozen(intent) => {
            let line = format!(
                "frozen by entry {} ({} said: {}); the owner thaws it with `marque thaw`",
                frozen.seq, frozen.by, frozen.reason
            );
            Err(fault("frozen", line))
        }
        _ => Ok(()),
    }
}

/// The ledger's time, and no farther ahead of a block's, in Unix seconds, than payments accept.
pub(super) fn near(now: Timestamp, block_time: u64) -> Timestamp {
    now.min(block_time.saturating_mul(1_000).saturating_add(CLOCK_SKEW))
}

/// So many attempts are made to take one payment back.
const MOST_CANCELLATIONS: u32 = 64;

const fn is_taken_back(intent: &Intent) -> bool {
    matches!(intent, Intent::Cancel(_) | Intent::InvalidatePermit { .. })
}

/// The attempts after this one that may close it.
pub(super) fn later_attempts(intent: &Intent, attempt: u32) -> impl Iterator<Item = u32> + use<> {
    let next = attempt.checked_add(1);
    let last = if is_taken_back(intent) { MOST_CANCELLATIONS - 1 } else { next.unwrap_or(attempt) };
    next.into_iter().flat_map(move |next| next..=last)
}

impl Case<'_> {
    fn sub_agent(&self) -> Option<&str> {
        self.facts.sub_agent.as_deref()
    }

    fn is_settlement(&self) -> bool {
        matches!(self.proposal.intent, Intent::Settle(_) | Intent::SettlePermit(_))
    }

    fn same_body(&self) -> Result<(), Fault> {
        match self.before {
            // Anybody can name a payer and a nonce. A settlement that was refused binds nothing, or
            // garbage would keep the real one from being settled.
            Some(before) if self.is_settlement() && before.state == PaymentState::Refused => Ok(()),
            Some(before) if before.decided.body != self.body => Err(fault(
                "id_reused",
                format!(
                    "{} was proposed before with another body; an id names one intent",
                    self.id
                ),
            )),
            _ => Ok(()),
        }
    }

    /// The answer that was given before, where there is one to stand by.
    fn again(&self, before: &Record) -> Option<Result<Step, Fault>> {
        let allowed = |effect| Step { entries: Vec::new(), effect, reply: Reply::Allowed(self.id) };
        match before.standing(self.now) {
            PaymentState::Reserved
            | PaymentState::Signed
            | PaymentState::Sent
            | PaymentState::Seen
            | PaymentState::Final => Some(Ok(allowed(match &before.order {
                Some(order) if order.is_handed_out() || matches!(order, Order::Wallet(_)) => {
                    Effect::Sign(again(before, order, self.now))
                }
                Some(order)
                    if before.state == PaymentState::Reserved && order.transaction().is_some() =>
                {
                    Effect::Sign(again(before, order, self.now))
                }
                _ => Effect::None,
            }))),
            PaymentState::Denied => {
                let mut table = before.decided.table.clone();
                table.push(failed(
                    "owner.denied",
                    "denied",
                    "the owner's consent",
                    "ask the owner",
                ));
                let reply = Reply::Refused(self.id, table);
                Some(Ok(Step { entries: Vec::new(), effect: Effect::None, reply }))
            }
            // A settlement's id has no attempt in it, and the token takes a nonce once.
            PaymentState::Released | PaymentState::Expired | PaymentState::Cancelled
                if !self.is_settlement() =>
            {
                let line = format!(
                    "attempt {} came to nothing and is closed; propose the next one",
                    self.proposal.attempt
                );
                Some(Err(fault("attempt", line)))
            }
            _ => None,
        }
    }

    /// The attempt before must be closed for good, and none may come after.
    fn attempts(&self) -> Result<(), Fault> {
        if self.is_settlement() {
            return Ok(());
        }
        let attempt = &self.proposal.attempt;
        let id = |attempt| {
            let proposal = Proposal { attempt, ..self.proposal.clone() };
            proposal.id_of(self.begun.origin, self.agent, self.sub_agent())
        };
        // The ids of cancellations are known to all who know the authorisation. One that came to
        // nothing stands in nobody's way, or a mind could keep a freeze from cancelling; so all that
        // may have come after it are looked at.
        let cancels = is_taken_back(&self.proposal.intent);
        if cancels && *attempt >= MOST_CANCELLATIONS {
            let line = format!("a payment is taken back in {MOST_CANCELLATIONS} attempts at most");
            return Err(fault("attempt", line));
        }
        let made = |record: &Record| !(cancels && record.is_closed(self.now));
        let mut later = later_attempts(&self.proposal.intent, *attempt);
        if let Some(next) = later.find(|next| self.state.intent(id(*next)).is_some_and(made)) {
            let line = format!("attempt {next} has been made, so attempt {attempt} is closed");
            return Err(fault("attempt", line));
        }
        let Some(earlier) = attempt.checked_sub(1) else { return Ok(()) };
        match self.state.intent(id(earlier)) {
            Some(record) if record.is_closed(self.now) => Ok(()),
            Some(record) => Err(fault(
                "attempt",
                format!("attempt {earlier} is still {:?}; wait for it", record.standing(self.now)),
            )),
            None => Err(fault("attempt", format!("attempt {earlier} was never made"))),
        }
    }

    /// Payments need the chain's clock, and ours near it.
    fn clocks(&self) -> Result<(), Fault> {
        let needs_chain = !matches!(self.proposal.intent, Intent::Tool(_));
        let Some(block) = self.facts.block else {
            let why = self.facts.trouble.as_deref().unwrap_or("it was not asked");
            return if needs_chain {
                Err(fault("chain", format!("the chain does not answer: {why}")))
            } else {
                Ok(())
            };
        };
        if !needs_chain || passes_frozen(&self.proposal.intent) {
            return Ok(());
        }
        let block_time = block.timestamp.saturating_mul(1_000);
        let ahead = self.now.saturating_sub(block_time);
        if ahead > CLOCK_SKEW {
            let line = format!(
                "the newest block is {} s old; payments wait for a chain that moves",
                ahead / 1_000
            );
            return Err(fault("chain", line));
        }
        // An endpoint that lies about the time would have us sign what stays valid for years.
        let behind = block_time.saturating_sub(self.now);
        if behind > CLOCK_SKEW {
            let line = format!(
                "the newest block is {} s ahead of this machine's clock; payments wait until both \
                 agree",
                behind / 1_000
            );
            return Err(fault("chain", line));
        }
        Ok(())
    }

    fn decide(self) -> Result<Step, Fault> {
        // What stops for no clock is counted near the chain's time: a clock that is far ahead would
        // have left all windows behind.
        let now = match self.facts.block {
            Some(block) if passes_frozen(&self.proposal.intent) => near(self.now, block.timestamp),
            _ => self.now,
        };
        let ledger = Ledger::new(self.state, self.agent, self.before, &self.facts.resolved, now);
        let chain = self.begun.chain;
        let request = Request {
            agent: self.agent,
            sub_agent: self.sub_agent(),
            task: &self.proposal.task,
            intent: &self.proposal.intent,
            gas: self.gas(),
        };
        let mut verdict = decide(&self.adopted.policy, &request, &ledger, now);
        self.own_rules(chain, &mut verdict.table);
        match verdict.decision() {
            Decision::Refuse => Ok(self.refuse(verdict)),
            Decision::Hold => Ok(self.hold(verdict)),
            Decision::Allow => self.allow(verdict),
        }
    }

    /// What the transaction may cost, for an intent that needs one.
    fn gas(&self) -> Option<Money> {
        let chain = self.begun.chain;
        match &self.proposal.intent {
            Intent::Settle(_) | Intent::SettlePermit(_) if self.facts.elsewhere.is_some() => {
                Some(Money::new(U256::ZERO, AssetId::native(chain)))
            }
            Intent::SettlePermit(settle) if settle.charge.units.is_zero() => {
                Some(Money::new(U256::ZERO, AssetId::native(chain)))
            }
            Intent::Settle(_)
            | Intent::Transfer(_)
            | Intent::Sweep(_)
            | Intent::Cancel(_)
            | Intent::InvalidatePermit { .. }
            | Intent::ApprovePermit2 { .. }
            | Intent::Refill { .. }
            | Intent::SettlePermit(_) => {
                // Where the estimate failed, the rules are still to be judged: at no cost, and the
                // trouble is told if they pass.
                let nothing = || Money::new(U256::ZERO, AssetId::native(chain));
                Some(self.facts.gas.map_or_else(nothing, |plan| plan.most(chain)))
            }
            _ => None,
        }
    }

    fn refuse(self, verdict: Verdict) -> Step {
        let reply = Reply::Refused(self.id, verdict.table.clone());
        // A mind in a loop does not fill the journal: the same refusal is written once a minute.
        let told = self.before.is_some_and(|before| {
            before.state == PaymentState::Refused
                && self.now < before.at.saturating_add(REFUSAL_REST)
        });
        let agent = self.agent.to_owned();
        let entries = if told {
            Vec::new()
        } else {
            vec![(Some(agent), Word::Attested, Body::Refused(Box::new(self.decided(verdict))))]
        };
        Step { entries, effect: Effect::None, reply }
    }

    fn hold(self, mut verdict: Verdict) -> Step {
        let waits = self.before.is_some_and(|before| before.is_held(self.now));
        if waits {
            let reply = Reply::Held(self.id, verdict.table);
            return Step { entries: Vec::new(), effect: Effect::None, reply };
        }
        let held = self.state.held(self.agent, self.now);
        if held >= HELD_AT_ONCE {
            let mend = "wait until the owner has decided some";
            let limit = HELD_AT_ONCE.to_string();
            verdict.table.push(failed("held.queue", &format!("{held} held"), &limit, mend));
            return self.refuse(verdict);
        }
        let reply = Reply::Held(self.id, verdict.table.clone());
        let agent = Some(self.agent.to_owned());
        let entries = vec![(agent, Word::Attested, Body::Held(Box::new(self.decided(verdict))))];
        Step { entries, effect: Effect::None, reply }
    }

    /// A chain that counts more transactions of ours than we do knows more than the ledger:
    /// everything stops.
    fn knows_more(&self) -> Option<Step> {
        let ours = self.state.agent(self.agent).map_or(0, |account| account.nonce);
        let count = self.facts.nonce.filter(|count| *count > ours)?;
        let reason = knows_more(self.agent, count, ours);
        let body = Body::Frozen {
            by: "steward".to_owned(),
            reason: reason.clone(),
            nonce: Some(count),
            authorisations: Vec::new(),
        };
        Some(Step {
            entries: vec![(Some(self.agent.to_owned()), Word::Attested, body)],
            effect: Effect::None,
            reply: Reply::Fault(fault("frozen", reason)),
        })
    }

    fn allow(self, verdict: Verdict) -> Result<Step, Fault> {
        if self.state.frozen().is_none()
            && let Some(step) = self.knows_more()
        {
            return Ok(step);
        }
        self.afforded()?;
        let order = self.order()?;
        let id = self.id;
        let agent = self.agent.to_owned();
        let gas = match &order {
            order if order.transaction().is_some() => self.gas(),
            _ => None,
        };
        // A sweep goes to the owner: only its gas is spent.
        let spent = match &self.proposal.intent {
            Intent::Sweep(_) => None,
            intent => intent.spends(),
        };
        let debits: Vec<Money> = spent.into_iter().chain(gas).collect();
        let elsewhere = self.facts.elsewhere.filter(|_| order == Order::Elsewhere);
        let (now, entry) = (self.now, self.state.next());
        let decided = self.decided(verdict);
        let record = Record {
            agent: agent.clone(),
            decided: decided.clone(),
            at: now,
            entry,
            closes: now,
            state: PaymentState::Reserved,
            approval: None,
            debits: debits.clone(),
            order: Some(order.clone()),
            hash: None,
            earlier: Vec::new(),
            filled: false,
            seen: None,
            claim: None,
        };
        let effect = match &order {
            Order::Permission | Order::Elsewhere => Effect::None,
            order => {
                let expires = now.saturating_add(SIGN_WITHIN);
                Effect::Sign(Box::new(Permit::grant(&record, order.clone(), expires)))
            }
        };
        let allowed = Body::Allowed(Box::new(Allowed { decided, debits, order }));
        let mut entries = vec![(Some(agent.clone()), Word::Attested, allowed)];
        if let Some(at) = elsewhere {
            entries.push((Some(agent), Word::Attested, Body::Seen { id, at }));
        }
        Ok(Step { entries, effect, reply: Reply::Allowed(id) })
    }

    fn decided(self, verdict: Verdict) -> Decided {
        let sub_agent = self.facts.sub_agent.clone();
        let Proposal { task, step, ordinal, attempt, intent } = self.proposal;
        let Facts { block, gas, resolved, cover, .. } = self.facts;
        // One payee is asked for at a time.
        let found = Found::new(*block, *gas, resolved.values().next().copied(), *cover);
        Decided {
            id: self.id,
            sub_agent,
            task,
            step,
            ordinal,
            attempt,
            intent,
            body: self.body,
            policy: self.adopted.hash,
            version: self.adopted.version,
            table: verdict.table,
            found,
        }
    }
}

/// Why everything stops where the chain has seen more of an agent's transactions than we have.
pub(crate) fn knows_more(agent: &str, count: u64, ours: u64) -> String {
    format!(
        "the chain has {count} transactions of \"{agent}\" and the ledger {ours}: the journal was \
         rolled back, or the key is used elsewhere"
    )
}
