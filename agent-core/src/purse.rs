//! What a task may spend, beneath the policy.
//!
//! A purchase asks the steward through a [`Purse`], which looks at what would leave the key before
//! anybody else does. What the task's own limits have no room for is never proposed. What they have
//! room for is written down first, durably, under the place that it has in the task: a task that is
//! taken up again counts what it had spent, and finds its purchases under way where it left them.
//! A task below another counts in both.
//!
//! This keeps an honest program from spending more than its caller meant. It decides nothing: the
//! steward sees every payment, and refuses what it would have refused.
//!
//! INVARIANT: no more is proposed in all runs of a task together than its limits say (pinned by
//! `tests::what_a_task_may_spend_holds_over_its_calls_its_sub_goals_and_its_runs`, and with a real
//! steward by `tests/system/killed_mind.rs` of the root).

use crate::{
    AgentError, Steward,
    memory::{Memory, blocking},
};
use alloy_primitives::U256;
use async_trait::async_trait;
use marque_payments::{Authority, Objection, PaymentError, Rule};
use marque_policies::{AssetId, IntentId, Money, money::parse_units};
use marque_steward_client::{IntentState, Outcome, Preview, Proposal, Report, SettlingView, View};
use marque_store::Store as _;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Mutex;

/// A task and what it may spend.
pub(crate) type Allowance = (String, BTreeMap<String, String>);

/// The steward as the purchases of one call see it.
#[derive(Debug)]
pub(crate) struct Purse {
    pub(crate) steward: Arc<dyn Steward>,
    pub(crate) memory: Memory,
    /// The task, and those that it is below.
    pub(crate) allowances: Vec<Allowance>,
    /// One purchase at a time looks and writes down.
    pub(crate) gate: Arc<Mutex<()>>,
    /// Whether this call has money under way.
    pub(crate) paying: AtomicBool,
}

/// Where a purchase is written down. An attempt that came to nothing stays: that it can move no
/// money any more is the steward's to know.
fn key(proposal: &Proposal) -> Vec<u8> {
    let Proposal { task, step, ordinal, attempt, .. } = proposal;
    key_at((task, *step, *ordinal), *attempt)
}

fn key_at((task, step, ordinal): (&str, u32, u32), attempt: u32) -> Vec<u8> {
    format!("{}{step}/{ordinal}/{attempt}", prefix(task)).into_bytes()
}

fn prefix(task: &str) -> String {
    format!("spent/{task}/")
}

impl Purse {
    /// Writes a purchase down if there is room for it, and gives what was written there before.
    async fn reserve(&self, key: &[u8], amount: Money) -> Result<Option<Money>, PaymentError> {
        self.paying.store(true, Ordering::SeqCst);
        let _one = self.gate.lock().await;
        let before = self.reserved(key.to_vec()).await.map_err(|error| unwritable(&error))?;
        if before == Some(amount) {
            return Ok(before);
        }
        if self.allowances.iter().any(|(_, limits)| !limits.is_empty()) {
            let view = self.steward.standing().await?;
            for (task, limits) in &self.allowances {
                let spent = self.spent(task, amount.asset, key).await;
                let spent = spent.map_err(|error| unwritable(&error))?;
                within(limits, &view, spent, amount)?;
            }
        }
        self.write(key, Some(amount)).await?;
        Ok(before)
    }

    /// Writes down what was paid at a place when a run was recorded, as it is repeated.
    pub(crate) async fn repeat(
        &self,
        place: (&str, u32, u32),
        amount: Money,
    ) -> Result<(), PaymentError> {
        self.write(&key_at(place, 0), Some(amount)).await
    }

    async fn reserved(&self, key: Vec<u8>) -> Result<Option<Money>, AgentError> {
        let store = Arc::clone(&self.memory.store);
        let bytes = blocking(move || Ok(store.get(&key)?)).await?;
        bytes.map(|bytes| read(&bytes)).transpose()
    }

    /// What a task has spent of an asset, leaving out one purchase.
    async fn spent(&self, task: &str, asset: AssetId, but: &[u8]) -> Result<U256, AgentError> {
        let spent = spent(&self.memory, task, but).await?;
        Ok(spent.get(&asset).copied().unwrap_or_default())
    }

    async fn write(&self, key: &[u8], amount: Option<Money>) -> Result<(), PaymentError> {
        let value = amount.map(|amount| serde_json::to_vec(&amount)).transpose();
        let value = value.map_err(|error| PaymentError::Steward(error.to_string()))?;
        let (store, write) = (Arc::clone(&self.memory.store), (key.to_vec(), value));
        let written = blocking(move || {
            store.put_batch(&[write])?;
            Ok(store.flush()?)
        });
        written.await.map_err(|error| unwritable(&error))
    }
}

/// What a task has spent, the tasks below it included, leaving out one purchase.
pub(crate) async fn spent(
    memory: &Memory,
    task: &str,
    but: &[u8],
) -> Result<BTreeMap<AssetId, U256>, AgentError> {
    let (store, prefix) = (Arc::clone(&memory.store), prefix(task));
    let rows = blocking(move || Ok(store.scan(prefix.as_bytes())?)).await?;
    let mut spent = BTreeMap::<_, U256>::new();
    for (_, bytes) in rows.iter().filter(|(key, _)| key.as_slice() != but) {
        let amount = read(bytes)?;
        let sum = spent.entry(amount.asset).or_default();
        *sum = sum.saturating_add(amount.units);
    }
    Ok(spent)
}

/// Whether an amount fits beside what was spent.
fn within(
    limits: &BTreeMap<String, String>,
    view: &View,
    spent: U256,
    amount: Money,
) -> Result<(), PaymentError> {
    let no = |why: String| {
        let objection = Objection { entry: None, rule: Rule::Amount, why };
        Err(PaymentError::Terms(vec![objection]))
    };
    for (name, number) in limits {
        let Some(asset) = view.assets.iter().find(|asset| asset.name == *name) else {
            return no(format!(
                "the task's limit \"{number} {name}\" names no asset of the policy"
            ));
        };
        if asset.id != amount.asset {
            continue;
        }
        let limit = match parse_units(number, asset.decimals) {
            Ok(limit) => limit,
            Err(error) => return no(format!("the task's limit \"{number} {name}\": {error}")),
        };
        if spent.saturating_add(amount.units) > limit {
            return no(format!("the task may spend {number} {name} in all, which is used up"));
        }
    }
    Ok(())
}

fn read(bytes: &[u8]) -> Result<Money, AgentError> {
    serde_json::from_slice(bytes).map_err(|error| AgentError::Memory(error.to_string()))
}

/// What is not written down is not bought: ends the run, like a steward that is away.
fn unwritable(error: &AgentError) -> PaymentError {
    PaymentError::Steward(format!("a purchase cannot be written down: {error}"))
}

#[async_trait]
impl Authority for Purse {
    async fn propose(&self, proposal: Proposal) -> Result<Outcome, PaymentError> {
        let Some(amount) = proposal.intent.spends() else {
            return self.steward.propose(proposal).await;
        };
        let key = key(&proposal);
        let before = self.reserve(&key, amount).await?;
        let outcome = self.steward.propose(proposal).await;
        match &outcome {
            Ok(Outcome::Allowed { .. }) => {}
            // Nothing is reserved for what is held or refused.
            Ok(_) => self.write(&key, None).await?,
            // Another payment has this place: what it took stays written down.
            Err(PaymentError::Fault(fault))
                if matches!(fault.code.as_str(), "id_reused" | "attempt") =>
            {
                self.write(&key, before).await?;
            }
            // Whether it was decided is not known.
            Err(_) => {}
        }
        outcome
    }

    async fn preview(&self, proposal: Proposal) -> Result<Preview, PaymentError> {
        self.steward.preview(proposal).await
    }

    async fn settling(&self, after: Option<IntentId>) -> Result<Vec<SettlingView>, PaymentError> {
        self.steward.settling(after).await
    }

    async fn view(&self) -> Result<View, PaymentError> {
        self.steward.view().await
    }

    async fn standing(&self) -> Result<View, PaymentError> {
        self.steward.standing().await
    }

    async fn report(&self, report: Report) -> Result<(), PaymentError> {
        self.steward.report(report).await
    }

    async fn wait(&self, id: IntentId, timeout: Duration) -> Result<IntentState, PaymentError> {
        self.steward.wait(id, timeout).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marque_policies::{Intent, Labels, intent::Authorise};
    use marque_steward_client::{Artifact, AssetView, Fault, Note};
    use std::{path::Path, sync::Mutex as Blocking};

    const USDC: AssetId = AssetId { chain: 1, token: alloy_primitives::Address::repeat_byte(1) };

    /// What the steward answers next; allowed where nothing is said.
    #[derive(Clone, Copy, Debug)]
    enum Say {
        Refused,
        Reused,
        Lost,
    }

    #[derive(Debug, Default)]
    struct Desk {
        says: Blocking<Vec<Say>>,
        heard: Blocking<Vec<Proposal>>,
    }

    #[async_trait]
    impl Authority for Desk {
        async fn propose(&self, proposal: Proposal) -> Result<Outcome, PaymentError> {
            let id = IntentId(Default::default());
            self.heard.lock().unwrap().push(proposal);
            match self.says.lock().unwrap().pop() {
                None => Ok(Outcome::Allowed { id, artifact: Artifact::Permission }),
                Some(Say::Refused) => Ok(Outcome::Refused { id, table: Vec::new() }),
                Some(Say::Lost) => Err(PaymentError::Steward("gone".to_owned())),
                Some(Say::Reused) => {
                    let (code, message) = ("id_reused".to_owned(), String::new());
                    Err(PaymentError::Fault(Fault { code, message }))
                }
            }
        }

        async fn view(&self) -> Result<View, PaymentError> {
            Ok(serde_json::from_value(serde_json::json!({
                "agent": "scout", "address": alloy_primitives::Address::ZERO,
                "owner": alloy_primitives::Address::ZERO,
                "origin": alloy_primitives::B256::ZERO, "policy_version": 1,
                "policy_hash": alloy_primitives::B256::ZERO, "now": 0, "frozen_at": null,
                "tools": [], "payees": [], "budgets": [], "income": [], "intents": [],
                "assets": [AssetView {
                    name: "USDC".to_owned(), id: USDC, decimals: 6, domain: None,
                }],
            }))
            .unwrap())
        }

        async fn report(&self, _: Report) -> Result<(), PaymentError> {
            Ok(())
        }

        async fn wait(&self, _: IntentId, _: Duration) -> Result<IntentState, PaymentError> {
            Err(PaymentError::Steward("nothing is held here".to_owned()))
        }
    }

    #[async_trait]
    impl Steward for Desk {
        async fn note(&self, _: Note) -> Result<(), PaymentError> {
            Ok(())
        }
    }

    async fn purse(desk: &Arc<Desk>, dir: &Path, allowances: &[(&str, &str)]) -> Purse {
        let limits = |usdc: &str| BTreeMap::from([("USDC".to_owned(), usdc.to_owned())]);
        Purse {
            steward: Arc::clone(desk) as Arc<_>,
            memory: Memory::open(dir).await.unwrap(),
            allowances: allowances
                .iter()
                .map(|(t, usdc)| ((*t).to_owned(), limits(usdc)))
                .collect(),
            gate: Arc::default(),
            paying: AtomicBool::new(false),
        }
    }

    fn pay(task: &str, step: u32, attempt: u32, units: u64) -> Proposal {
        let intent = Intent::Authorise(Authorise {
            payee: "feed".to_owned(),
            to: alloy_primitives::Address::ZERO,
            amount: Money::new(U256::from(units), USDC),
            host: "feed.example".to_owned(),
            resource: "https://feed.example/".to_owned(),
            labels: Labels::default(),
        });
        Proposal { task: task.to_owned(), step, ordinal: 2, attempt, intent }
    }

    fn is_refused_here(answer: Result<Outcome, PaymentError>) -> bool {
        match answer {
            Ok(_) => false,
            Err(PaymentError::Terms(objections)) => objections[0].rule == Rule::Amount,
            Err(other) => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn what_a_task_may_spend_holds_over_its_calls_its_sub_goals_and_its_runs() {
        let dir = tempfile::tempdir().unwrap();
        let desk = Arc::new(Desk::default());
        let own = purse(&desk, dir.path(), &[("t", "0.05")]).await;
        assert!(!is_refused_here(own.propose(pay("t", 0, 0, 20_000)).await));
        assert!(is_refused_here(own.propose(pay("t", 1, 0, 30_001)).await));
        assert_eq!(desk.heard.lock().unwrap().len(), 1, "nobody has heard of it");
        // The same purchase again, as after a crash, is the same money.
        assert!(!is_refused_here(own.propose(pay("t", 0, 0, 20_000)).await));
        drop(own);

        // Another run, and a task below with a smaller limit of its own.
        let both = [("t/1.0", "0.02"), ("t", "0.05")];
        let below = purse(&desk, dir.path(), &both).await;
        assert!(is_refused_here(below.propose(pay("t/1.0", 0, 0, 20_001)).await));
        assert!(!is_refused_here(below.propose(pay("t/1.0", 0, 0, 20_000)).await));
        drop(below);
        let own = purse(&desk, dir.path(), &[("t", "0.05")]).await;
        assert!(is_refused_here(own.propose(pay("t", 2, 0, 10_001)).await));
        assert!(!is_refused_here(own.propose(pay("t", 2, 0, 10_000)).await));
    }

    #[tokio::test]
    async fn only_what_is_refused_is_free_again_and_what_is_not_known_counts() {
        let dir = tempfile::tempdir().unwrap();
        let desk = Arc::new(Desk::default());
        let purse = purse(&desk, dir.path(), &[("t", "0.05")]).await;
        desk.says.lock().unwrap().push(Say::Refused);
        assert!(!is_refused_here(purse.propose(pay("t", 0, 0, 50_000)).await));
        assert!(!is_refused_here(purse.propose(pay("t", 1, 0, 20_000)).await));
        // The place has another payment: that one's money stays counted.
        desk.says.lock().unwrap().push(Say::Reused);
        assert!(purse.propose(pay("t", 1, 0, 10_000)).await.is_err());
        assert!(is_refused_here(purse.propose(pay("t", 2, 0, 30_001)).await));
        desk.says.lock().unwrap().push(Say::Lost);
        assert!(purse.propose(pay("t", 2, 0, 30_000)).await.is_err());
        assert!(is_refused_here(purse.propose(pay("t", 3, 0, 1)).await));
    }

    #[tokio::test]
    async fn two_purchases_at_the_same_time_share_what_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let desk = Arc::new(Desk::default());
        let purse = purse(&desk, dir.path(), &[("t", "0.05")]).await;
        let buys = (0..10).map(|step| purse.propose(pay("t", step, 0, 20_000)));
        let answers = futures::future::join_all(buys).await;
        let allowed = answers.into_iter().filter(|answer| answer.is_ok()).count();
        assert_eq!((allowed, desk.heard.lock().unwrap().len()), (2, 2));
    }

    #[tokio::test]
    async fn a_limit_that_is_none_permits_nothing_and_says_so() {
        for (limit, why) in [("much", "much USDC"), ("0.0000001", "0.0000001 USDC")] {
            let dir = tempfile::tempdir().unwrap();
            let desk = Arc::new(Desk::default());
            let purse = purse(&desk, dir.path(), &[("t", limit)]).await;
            let error = purse.propose(pay("t", 0, 0, 1)).await.unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
