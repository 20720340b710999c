//! Whether anything may be done at all: the policy's end, its times, and who proposes.

use super::{Judge, quoted};
use crate::{
    explain::{date, list_all},
    times::{Moment, Times},
};

impl<'a> Judge<'a> {
    /// A policy that has an end permits nothing from then on, except money's way back to the owner.
    pub(super) fn unexpired(&mut self) {
        let Some(expires) = self.policy.expires else { return };
        let (measured, limit) = (date(self.now), format!("before {}", date(expires)));
        self.check("policy.expires", self.now < expires, measured, limit, || {
            "have the owner adopt a new version".to_owned()
        });
    }

    /// The hours of the week in which money is spent and tools are used.
    pub(super) fn in_time(&mut self) {
        self.during("times", &self.policy.times);
    }

    pub(super) fn during(&mut self, rule: impl Into<String>, times: &Times) {
        if times.is_always() {
            return;
        }
        let measured = format!("{} UTC", Moment::of(self.now));
        self.check(rule, times.covers(self.now), measured, times.to_string(), || {
            "propose it again within these times".to_owned()
        });
    }

    /// An account below the agent must be in the policy.
    pub(super) fn proposer(&mut self) {
        let Some(name) = self.request.sub_agent else { return };
        let policy = self.policy;
        self.sub_agent =
            policy.sub_agents.get_key_value(name).map(|(name, sub)| (name.as_str(), sub));
        let known = list_all(policy.sub_agents.keys().map(String::as_str));
        self.check("sub_agent.known", self.sub_agent.is_some(), quoted(name), known, || {
            "have the owner add a [sub_agent.NAME] to the policy".to_owned()
        });
    }

    /// What no account below the agent may do.
    pub(super) fn agent_itself(&mut self) {
        let Some((name, _)) = self.sub_agent else { return };
        let rule = format!("sub_agent.{name}.acts");
        self.check(rule, false, quoted(name), "only the agent itself".to_owned(), || {
            "let the agent itself propose it".to_owned()
        });
    }
}
