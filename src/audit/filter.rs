//! Which entries are meant: by time, kind, agent, payee, verdict, task and intent.

use super::known::{Asked, Known};
use marque_policies::{Intent, Timestamp};
use marque_steward::{Body, Entry};

/// Every kind of entry, as the journal calls it.
pub const KINDS: [&str; 32] = [
    "genesis",
    "enroll",
    "adopt",
    "approve",
    "deny",
    "frozen",
    "thawed",
    "rotate",
    "refused",
    "held",
    "allowed",
    "signed",
    "sent",
    "seen",
    "unseen",
    "final",
    "reverted",
    "released",
    "expired",
    "cancelled",
    "replaced",
    "filled",
    "received",
    "scanned",
    "noted",
    "reported",
    "contradicted",
    "started",
    "index_rebuilt",
    "recovered",
    "checkpointed",
    "stopped",
];

/// What an entry must be; what is not given does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Not before this time, Unix milliseconds.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// One of these kinds.
    pub kinds: Vec<String>,
    /// Of this agent.
    pub agent: Option<String>,
    /// About money to this payee: its name in the policy, its address, or its host.
    pub payee: Option<String>,
    /// A decision that came to this: `allowed`, `held` or `refused`.
    pub verdict: Option<String>,
    /// Of this task.
    pub task: Option<String>,
    /// About the intent whose id begins, and where a `…` is in it ends, with these digits.
    pub intent: Option<String>,
}

impl Filter {
    /// Whether an entry is meant. `known` has learnt from it and all before.
    #[must_use]
    pub fn takes(&self, entry: &Entry, known: &Known) -> bool {
        let asked = known.asked(entry);
        let kind = entry.body.kind();
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
            && (self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind))
            && is(&self.agent, entry.agent.as_deref())
            && is(&self.verdict, verdict(&entry.body))
            && is(&self.task, task(&entry.body, asked))
            && self.intent.as_deref().is_none_or(|wanted| concerns(&entry.body, wanted))
            && self.payee.as_deref().is_none_or(|wanted| asked.is_some_and(|it| pays(it, wanted)))
    }
}

/// What a decision came to; other entries have no verdict.
#[must_use]
pub const fn verdict(body: &Body) -> Option<&'static str> {
    match body {
        Body::Refused(_) => Some("refused"),
        Body::Held(_) => Some("held"),
        Body::Allowed(_) => Some("allowed"),
        _ => None,
    }
}

fn task<'a>(body: &'a Body, asked: Option<&'a Asked>) -> Option<&'a str> {
    match body {
        Body::Noted { task, .. } => Some(task),
        _ => asked.map(|asked| asked.task.as_str()),
    }
}

fn concerns(body: &Body, wanted: &str) -> bool {
    let Some(id) = body.intent() else { return false };
    let id = id.to_string();
    let wanted = wanted.trim_start_matches("0x").to_lowercase();
    let (first, last) = wanted.split_once('…').unwrap_or((&wanted, ""));
    id.trim_start_matches("0x").starts_with(first) && id.ends_with(last)
}

fn pays(asked: &Asked, wanted: &str) -> bool {
    let (name, address, host) = match &asked.intent {
        Intent::Authorise(pay) => (Some(&pay.payee), pay.to, Some(&pay.host)),
        Intent::Transfer(pay) => (Some(&pay.payee), pay.to, None),
        Intent::PermitTransfer(pay) => (Some(&pay.payee), pay.to, Some(&pay.host)),
        _ => return false,
    };
    name.is_some_and(|name| name == wanted)
        || host.is_some_and(|host| is_host(host, wanted))
        || address.to_string().eq_ignore_ascii_case(wanted)
}

/// With its port, or without.
fn is_host(host: &str, wanted: &str) -> bool {
    host == wanted || host.rsplit_once(':').is_some_and(|(name, _)| name == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_found_with_its_port_and_without() {
        for (host, wanted) in [("feed.example:443", "feed.example"), ("[::1]:80", "[::1]")] {
            assert!(is_host(host, wanted) && is_host(host, host), "{host}");
        }
        assert!(!is_host("feed.example:443", "feed.example:80"));
        assert!(!is_host("feed.example:443", "example"));
    }

    #[test]
    fn an_intent_is_found_by_its_first_and_last_digits() {
        let id = marque_policies::IntentId(alloy_primitives::B256::repeat_byte(0xab));
        let body = Body::Sent { id };
        for found in ["0xabab", "ABAB", "0xababab…abab", "abab…"] {
            assert!(concerns(&body, found), "{found}");
        }
        for other in ["0xabac", "abab…ff", "…ff"] {
            assert!(!concerns(&body, other), "{other}");
        }
        assert!(!concerns(&Body::Stopped, "ab"));
    }
}
