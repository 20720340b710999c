//! What is known of floats. All of it can be forgotten.

use super::{PAUSE, delegated::Heard};
use alloy_primitives::U256;
use marque_policies::{AssetId, Policy};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Every float of every agent, as it was seen last.
#[derive(Debug, Default)]
pub(crate) struct Floats {
    pub(super) heard: Heard,
    seen: Mutex<BTreeMap<(String, AssetId), Seen>>,
    /// One refill is put together at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
}

/// A float as it was seen last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// What the key held.
    pub(crate) held: Option<U256>,
    /// Why it is not refilled, or what came in not returned.
    trouble: Option<String>,
    /// What the chain does not hold of what the policy wants it to hold.
    lack: Option<String>,
    /// When that was asked last.
    asked: Option<Instant>,
    tries: u32,
    pub(super) next: Option<Instant>,
}

impl Floats {
    pub(crate) fn seen(&self, agent: &str, asset: AssetId) -> Seen {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&(agent.to_owned(), asset)).cloned().unwrap_or_default()
    }

    /// Whether something of an agent's is to be tried again, and whether now.
    pub(crate) fn waits(&self, agent: &str) -> (bool, bool) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = seen.iter().filter(|((name, _), _)| name == agent);
        let next = tries.filter_map(|(_, seen)| seen.next).min();
        (next.is_some(), next.is_some_and(|next| next <= Instant::now()))
    }

    /// Forgets what a policy has no float of any more.
    pub(super) fn keep(&self, agent: &str, policy: &Policy) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|(name, asset), _| name != agent || policy.floats.contains_key(asset));
    }

    pub(super) fn holds(&self, agent: &str, asset: AssetId, held: U256) {
        self.note(agent, asset, |seen| seen.held = Some(held));
    }

    /// What it holds is as it should be.
    pub(super) fn is_well(&self, agent: &str, asset: AssetId) {
        self.note(agent, asset, |seen| (seen.trouble, seen.next) = (None, None));
    }

    /// What came of a try. Trouble is said once, and not tried again at once.
    pub(super) fn tried(
        &self,
        (agent, policy): (&str, &Policy),
        asset: AssetId,
        trouble: Option<(String, Duration)>,
    ) {
        self.note(agent, asset, |seen| {
            let pause = match &trouble {
                Some((_, longest)) => {
                    seen.tries = seen.tries.saturating_add(1);
                    PAUSE.saturating_mul(1 << seen.tries.min(8)).min(*longest)
                }
                None => {
                    seen.tries = 0;
                    PAUSE
                }
            };
            seen.next = Instant::now().checked_add(pause);
            seen.say((agent, called(policy, asset)), trouble.map(|(why, _)| why));
        });
    }

    /// Trouble of a payment that waits.
    pub(super) fn says(&self, (agent, policy): (&str, &Policy), asset: AssetId, why: String) {
        self.note(agent, asset, |seen| seen.say((agent, called(policy, asset)), Some(why)));
    }

    /// What the chain does not hold of what a policy wants it to hold, asked now. A change is said.
    pub(super) fn covers(
        &self,
        (agent, policy): (&str, &Policy),
        asset: AssetId,
        lack: Option<String>,
    ) {
        let name = called(policy, asset);
        let required = policy.floats.get(&asset).is_some_and(|float| float.required);
        self.note(agent, asset, |seen| {
            seen.asked = Some(Instant::now());
            match (&lack, &seen.lack) {
                (Some(now), before) if before.as_ref() != Some(now) => {
                    let what = match required {
                        true => "it pays nothing: its policy wants the chain to hold its limits",
                        false => "the chain does not hold its limits",
                    };
                    tracing::warn!(agent, asset = name, lack = now, "{what}");
                }
                (None, Some(_)) => {
                    tracing::info!(agent, asset = name, "the chain holds its limits again");
                }
                _ => {}
            }
            seen.lack = lack;
        });
    }

    /// Whether that was asked within so long.
    pub(super) fn asked_within(&self, agent: &str, asset: AssetId, time: Duration) -> bool {
        self.seen(agent, asset).asked.is_some_and(|at| at.elapsed() < time)
    }

    fn note(&self, agent: &str, asset: AssetId, note: impl FnOnce(&mut Seen)) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        note(seen.entry((agent.to_owned(), asset)).or_default());
    }
}

impl Seen {
    /// Why it is not what it should be, and why nothing at all is paid, where the policy requires what
    /// the chain does not hold.
    pub(super) fn told(self, required: bool) -> (Option<String>, Option<String>) {
        match required {
            true => (self.trouble, self.lack),
            false => {
                let lack = self.lack.map(|lack| format!("it would not be refilled: {lack}"));
                (self.trouble.or(lack), None)
            }
        }
    }

    /// One cause is said once, whatever it keeps from being done.
    fn say(&mut self, (agent, asset): (&str, &str), trouble: Option<String>) {
        let said = |why: &&String| {
            self.trouble.as_ref() == Some(why)
                || self.lack.as_ref().is_some_and(|lack| why.contains(lack))
        };
        if let Some(why) = trouble.as_ref().filter(|why| !said(why)) {
            tracing::warn!(agent, asset, why, "the float is not what it should be");
        }
        self.trouble = trouble;
    }
}

/// An asset as its policy calls it.
fn called(policy: &Policy, asset: AssetId) -> &str {
    policy.asset(asset).map_or("?", |(name, _)| name)
}
