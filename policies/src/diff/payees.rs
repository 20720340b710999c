//! Who may be paid: payees, their categories, and the accounts below the agent.

use super::{
    Direction,
    accounts::{Account, Whose, both, kinds},
    case::Case,
    cases::{Cases, Who},
    compare::Comparison,
};
use crate::{
    document::{Bound, Given, Payee, PinnedIdentity, Policy, SubAgent},
    intent::Label,
    money::Money,
};
use alloy_primitives::{Address, U256};
use std::collections::{BTreeMap, BTreeSet};

impl<'a> Comparison<'a> {
    pub(super) fn payees(&mut self) {
        let Cases { old, new } = self.cases;
        for (name, payee) in &old.payees {
            match new.payees.get(name) {
                None => self.payee_gone(name, payee),
                Some(other) => self.payee(name, payee, other),
            }
        }
        for (name, payee) in &new.payees {
            if !old.payees.contains_key(name) {
                let said = match (&payee.address, &payee.host) {
                    (None, Some(host)) => format!("new, known by its host {host}"),
                    (address, _) => format!("new, at {}", shown(address)),
                };
                self.changed(format!("payee.{name}"), Direction::Wider, said, |cases| {
                    cases.small_and_large(Who::Payee(name), None)
                });
            }
        }
    }

    /// A payee that is gone may still be paid as a peer; and what it got no longer counts against
    /// its category.
    fn payee_gone(&mut self, name: &'a str, payee: &'a Payee) {
        let path = format!("payee.{name}");
        let peers = !self.cases.new.pools.is_empty();
        let (direction, said) = if peers {
            (Direction::Different, "gone, but as a peer it may be paid from the pool")
        } else {
            (Direction::Narrower, "gone")
        };
        self.changed(&path, direction, said, |cases| {
            let pools = cases.new.pools.keys();
            let peer =
                pools.flat_map(|asset| cases.small_and_large(Who::Payee(name), Some(*asset)));
            both(peer.collect(), cases.small_and_large(Who::Payee(name), None))
        });
        if let Some((category, bound)) = self.uncounted(payee) {
            let said = format!("what {name} got does not count against category.{category} now");
            self.changed(path, Direction::Wider, said, |cases| {
                cases.others_in(category, name, bound)
            });
        }
    }

    /// The category in which what a payee got no longer counts once it is gone, and counts now.
    fn uncounted(&self, gone: &'a Payee) -> Option<(&'a str, &'a Bound)> {
        let Cases { old, new } = self.cases;
        let category = gone.category.as_deref()?;
        let bound = old.categories.get(category)?;
        let member = |payee: &&Payee| payee.category.as_deref() == Some(category);
        let mut left = new.payees.values().filter(member);
        let counts = gone.address.is_some() && left.clone().any(|p| p.address == gone.address);
        let sums = bound.limits.windows().next().is_some();
        (sums && left.next().is_some() && !counts).then_some((category, bound))
    }

    fn payee(&mut self, name: &'a str, old: &'a Payee, new: &'a Payee) {
        let Payee { address, identity, host, category, bound, times } = old;
        let path = format!("payee.{name}");
        let payments = move |cases: Cases<'a>| cases.payments(Who::Payee(name), None, None);
        if *address != new.address {
            let said = format!("{} instead of {}", shown(&new.address), shown(address));
            self.changed(format!("{path}.address"), Direction::Different, said, payments);
        }
        if *identity != new.identity {
            self.identity(&path, name, identity.as_ref(), new.identity.as_ref());
        }
        if *host != new.host {
            self.asking_host(&path, name, host.as_deref(), new.host.as_deref());
        }
        if *category != new.category {
            self.moved(&path, name, category.as_deref(), new.category.as_deref());
        }
        self.bound(&path, Whose::Payee(name), *bound, new.bound);
        self.times(format!("{path}.times"), times, &new.times, payments);
    }

    fn identity(
        &mut self,
        path: &str,
        name: &'a str,
        old: Option<&PinnedIdentity>,
        new: Option<&PinnedIdentity>,
    ) {
        let show = |pin: &PinnedIdentity| {
            let PinnedIdentity { chain, registry, agent_id, owner } = pin;
            format!("agent {agent_id} of {registry} on eip155:{chain}, owned by {owner}")
        };
        let (direction, said) = match (old, new) {
            (Some(old), Some(new)) => {
                (Direction::Different, format!("{} instead of {}", show(new), show(old)))
            }
            (None, Some(new)) => (Direction::Narrower, format!("now pinned: {}", show(new))),
            (Some(old), None) => {
                (Direction::Wider, format!("no longer pinned; it was {}", show(old)))
            }
            (None, None) => return,
        };
        self.changed(format!("{path}.identity"), direction, said, |cases| {
            let payments = cases.payments(Who::Payee(name), None, None);
            let answers = |case: &Case| {
                [
                    case.clone(),
                    case.registry_as_of_old(),
                    case.given(Given::Unresolved(name.to_owned())),
                    case.given(Given::ChangedHands(name.to_owned())),
                ]
            };
            payments.iter().flat_map(answers).collect()
        });
    }

    /// A payee's host may ask for its money, and what it says needs no question to the owner: each
    /// host permits what another one, or none, does not.
    fn asking_host(
        &mut self,
        path: &str,
        name: &'a str,
        old: Option<&'a str>,
        new: Option<&'a str>,
    ) {
        let show = |host: Option<&str>| host.unwrap_or("any host").to_owned();
        let said = format!("{} may ask for its money instead of {}", show(new), show(old));
        self.changed(format!("{path}.host"), Direction::Different, said, |cases| {
            let payments = cases.payments(Who::Payee(name), None, None);
            let hosts = [new, old, Some("elsewhere.example")].into_iter().flatten();
            let asked = hosts.flat_map(|host| {
                payments.iter().flat_map(move |case| {
                    let asked = case.asked_by(host);
                    let labelled = asked.labelled(Label::Web(host.to_owned()));
                    let model = asked.labelled(Label::Model);
                    [asked, labelled, model]
                })
            });
            let transfers = payments.iter().map(Case::as_transfer);
            asked.chain(transfers).collect()
        });
    }

    /// From one category to another.
    fn moved(&mut self, path: &str, name: &'a str, old: Option<&'a str>, new: Option<&'a str>) {
        let Cases { old: before, new: after } = self.cases;
        let limits = |policy: &'a Policy, category: Option<&str>| {
            category.and_then(|category| policy.categories.get(category))
        };
        let (lost, gained) = (limits(before, old), limits(after, new));
        let named = self.names_matter();
        let way = Direction::of(lost.is_some() || named, gained.is_some() || named);
        let Some(direction) = way else { return };
        let show = |category: Option<&str>| category.unwrap_or("no category").to_owned();
        let said = format!("{} instead of {}", show(new), show(old));
        self.changed(format!("{path}.category"), direction, said, |cases| {
            let sums = |category: Option<&'a str>, bound: Option<&Bound>| -> Vec<Case> {
                let (Some(category), Some(bound)) = (category, bound) else { return Vec::new() };
                let kinds = kinds(Some(&bound.limits)).into_iter();
                let limits = kinds.filter_map(|(kind, limit)| limit.map(|limit| (kind, limit)));
                let full = limits.flat_map(|(kind, limit)| {
                    cases.filled(
                        Who::Payee(name),
                        Whose::Category(category),
                        bound.asset,
                        kind,
                        limit,
                    )
                });
                full.collect()
            };
            both(
                both(sums(old, lost), sums(new, gained)),
                cases.payments(Who::Payee(name), None, None),
            )
        });
    }

    /// Limits of a payee or a category, which is then paid in their asset only.
    fn bound(&mut self, path: &str, whose: Whose<'a>, old: Option<Bound>, new: Option<Bound>) {
        match (old, new) {
            (Some(old), Some(new)) if old.asset != new.asset => {
                let [was, is] = [old, new].map(|bound| self.cases.asset_name(bound.asset));
                let said = format!("its limits are in {is} instead of {was}");
                self.changed(path, Direction::Different, said, |cases| {
                    let who = Who::of(whose);
                    both(
                        cases.payments(who, Some(new.asset), None),
                        cases.payments(who, Some(old.asset), None),
                    )
                });
            }
            (old, new) => {
                let Some(asset) = old.or(new).map(|bound| bound.asset) else { return };
                let limits = |bound: &Option<Bound>| bound.map(|bound| bound.limits);
                self.kinds(path, whose, asset, limits(&old).as_ref(), limits(&new).as_ref());
            }
        }
    }

    pub(super) fn categories(&mut self) {
        let Cases { old, new } = self.cases;
        let names: BTreeSet<&'a str> =
            old.categories.keys().chain(new.categories.keys()).map(String::as_str).collect();
        for name in names {
            let (was, is) = (old.categories.get(name), new.categories.get(name));
            self.bound(
                &format!("category.{name}"),
                Whose::Category(name),
                was.copied(),
                is.copied(),
            );
        }
    }

    pub(super) fn sub_agents(
        &mut self,
        old: &'a BTreeMap<String, SubAgent>,
        new: &'a BTreeMap<String, SubAgent>,
    ) {
        for (name, was) in old {
            match new.get(name) {
                Some(is) => self.sub_agent(name, was, is),
                None => {
                    let said = "gone; it may do nothing any more";
                    self.changed(format!("sub_agent.{name}"), Direction::Narrower, said, |c| {
                        c.below(name)
                    });
                }
            }
        }
        for name in new.keys().filter(|name| !old.contains_key(*name)) {
            self.changed(format!("sub_agent.{name}"), Direction::Wider, "new", |c| c.below(name));
        }
    }

    fn sub_agent(&mut self, name: &'a str, old: &'a SubAgent, new: &'a SubAgent) {
        let SubAgent { payees, tools, limits, gas } = old;
        let path = format!("sub_agent.{name}");
        for (payee, gained) in symmetric(payees, &new.payees) {
            let said = if gained { "it may pay " } else { "it may not pay any more " };
            let subject = format!("{path}.payees");
            self.changed(subject, Direction::gained(gained), format!("{said}{payee}"), |cases| {
                cases.payments(Who::Payee(payee), None, Some(name))
            });
        }
        for (tool, gained) in symmetric(tools, &new.tools) {
            let said = if gained { "it may use " } else { "it may not use any more " };
            let subject = format!("{path}.tools");
            self.changed(subject, Direction::gained(gained), format!("{said}{tool}"), |cases| {
                cases.uses(tool, Some(name))
            });
        }
        let new = Account { limits: &new.limits, gas: &new.gas };
        let old = Account { limits, gas };
        self.account(&format!("{path}.limits"), Whose::SubAgent(name), old, new);
    }
}

impl<'a> Cases<'a> {
    /// Payments within a category that are too much only because of what one payee got.
    fn others_in(self, category: &'a str, gone: &str, bound: &Bound) -> Vec<Case> {
        let payments = self.payments(Who::Category(category), Some(bound.asset), None);
        let full = bound.limits.windows().flat_map(|(kind, _, limit)| {
            let past = Money::new(limit, bound.asset);
            let others = payments.iter().filter(move |case| case.payee() != Some(gone));
            others.map(move |case| case.paid(past, gone, kind, None))
        });
        full.filter(|case| case.amount().is_some_and(|amount| amount.units > U256::ZERO)).collect()
    }
}

/// What only one of two sets has, and whether it is the second.
fn symmetric<'s>(
    old: &'s BTreeSet<String>,
    new: &'s BTreeSet<String>,
) -> impl Iterator<Item = (&'s str, bool)> + use<'s> {
    let gained = new.difference(old).map(|name| (name.as_str(), true));
    gained.chain(old.difference(new).map(|name| (name.as_str(), false)))
}

fn shown(address: &Option<Address>) -> String {
    match address {
        Some(address) => address.to_string(),
        None => "the address that its host asks for first, once the owner approves".to_owned(),
    }
}
