//! Where terms and arguments came from.
//!
//! Labels are the mind's word. Each one is judged by itself and can only make the row stricter, so
//! a mind that leaves some out gains nothing that the other rules do not permit anyway.

use super::{Judge, quoted};
use crate::{
    document::{Attitude, LabelRules, Payee},
    explain::list_all,
    host::{self, Host},
    intent::{Label, Labels},
};

/// Who asks for the money.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    /// The host that asks, if one does.
    host: Option<&'a str>,
    /// Whether it is the one that the policy names for the payee.
    own: bool,
    /// Whether a peer is paid from the pool: then the asking host is as good as the peer itself.
    peer: bool,
}

impl<'a> Asking<'a> {
    /// A payee of the policy is paid.
    pub(super) fn payee(host: Option<&'a str>, payee: &Payee) -> Self {
        let own = match (&payee.host, host) {
            (Some(own), Some(asking)) => host::matches(own, asking),
            _ => false,
        };
        Self { host, own, peer: false }
    }

    /// A peer is paid from the pool.
    pub(super) fn peer(host: Option<&'a str>) -> Self {
        Self { host, own: false, peer: true }
    }

    /// Somebody is paid who may not be paid.
    pub(super) fn stranger(host: Option<&'a str>) -> Self {
        Self { host, own: false, peer: false }
    }

    /// Whether the label is that of the very host that asks, and this host may ask.
    fn is_the_asking_host(&self, label: &Label) -> bool {
        let (Label::Web(site), Some(host)) = (label, self.host) else { return false };
        let (site, host) = (Host::read(site), Host::read(host));
        (self.own || self.peer) && site.is_some() && site == host
    }
}

impl Judge<'_> {
    /// Terms that came from outside are fine when the payee's own host asks for the money and the
    /// owner said nothing else; otherwise the owner is asked, or it is refused where `[labels]`
    /// says so.
    pub(super) fn labels(&mut self, labels: &Labels, asking: Asking<'_>) {
        let rules = &self.policy.labels;
        let attitude = |label: &Label| {
            let said = said(rules, label)?;
            let exempt = asking.is_the_asking_host(label) || (asking.own && said.is_none());
            (!exempt).then(|| said.unwrap_or(Attitude::Ask))
        };
        let strictest = labels.0.iter().filter_map(attitude).max();
        let limit = "terms from the payee's own host, or not from outside";
        self.origin("labels", labels, strictest, limit);
    }

    /// Arguments that came from outside matter where the tool's own `labels` say so.
    pub(super) fn argument_labels(&mut self, path: &str, labels: &Labels, rules: &LabelRules) {
        if *rules == LabelRules::default() {
            return;
        }
        let strictest = labels.0.iter().filter_map(|label| said(rules, label)?).max();
        let limit = "arguments from where the tool's `labels` permit";
        self.origin(&format!("{path}.labels"), labels, strictest, limit);
    }

    fn origin(&mut self, rule: &str, labels: &Labels, strictest: Option<Attitude>, limit: &str) {
        let foreign: Vec<String> = labels.0.iter().filter_map(foreign).collect();
        let measured = if foreign.is_empty() {
            "the owner, the policy or the chain".to_owned()
        } else {
            list_all(foreign.iter().map(String::as_str))
        };
        match strictest {
            Some(Attitude::Refuse) => self.check(rule, false, measured, limit.to_owned(), || {
                "let it come from a source that `labels` does not refuse".to_owned()
            }),
            asks => self.ask(rule, asks.is_some(), measured, limit.to_owned()),
        }
    }
}

/// What the owner said of labels of this kind; `None` for an origin that is not foreign.
fn said(rules: &LabelRules, label: &Label) -> Option<Option<Attitude>> {
    match label {
        Label::Owner | Label::Policy | Label::Chain => None,
        Label::Model => Some(rules.model),
        Label::Memory => Some(rules.memory),
        Label::Peer(_) => Some(rules.peer),
        Label::Web(_) => Some(rules.web),
    }
}

/// How an origin that carries no authority is called.
fn foreign(label: &Label) -> Option<String> {
    match label {
        Label::Owner | Label::Policy | Label::Chain => None,
        Label::Model => Some("the model".to_owned()),
        Label::Memory => Some("memory".to_owned()),
        Label::Peer(peer) => Some(format!("agent {}", quoted(peer))),
        Label::Web(site) => Some(format!("web host {}", quoted(site))),
    }
}
