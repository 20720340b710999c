//! Warnings: rules that can never have an effect, openings that an owner may not have meant, and
//! tests that the policy does not meet.

mod floats;
mod reach;

use super::Spans;
use crate::{
    document::{Constraint, Expectation, Finality, Policy},
    error::{Warning, did_you_mean},
    intent::Argument,
    times::{Span, Times},
    trial::{run_tests, say_when},
    verdict::{Decision, Mark, Row, Verdict},
};
use std::collections::BTreeMap;

pub(super) fn warnings(policy: &Policy, spans: &Spans<'_>) -> Vec<Warning> {
    let mut advice = Advice { policy, spans, warnings: Vec::new() };
    advice.chains();
    advice.limits();
    advice.idle_payees();
    advice.idle_tools();
    advice.shared_addresses();
    advice.idle_categories();
    advice.boundless_categories();
    advice.poor_sub_agents();
    advice.fees();
    advice.floats();
    advice.unmet_tests();
    advice.warnings.sort_by_key(|warning| (warning.file, warning.line, warning.column));
    advice.warnings
}

struct Advice<'a> {
    policy: &'a Policy,
    spans: &'a Spans<'a>,
    warnings: Vec<Warning>,
}

impl Advice<'_> {
    fn say(&mut self, rule: &str, message: String) {
        self.warnings.push(self.spans.warning(rule, message));
    }

    fn chains(&mut self) {
        let policy = self.policy;
        for (name, chain) in &policy.chains {
            if chain.finality == Finality::Confirmations(0) {
                let message = format!(
                    "chain.{name}: with finality 0 a payment that the chain takes back still counts as final"
                );
                self.say(&format!("chain.{name}.finality"), message);
            }
            for endpoint in chain.rpc.iter().filter(|endpoint| !is_private(endpoint)) {
                let message = format!("chain.{name}: {endpoint} is asked without encryption");
                self.say(&format!("chain.{name}.rpc"), message);
            }
        }
    }

    /// Limits that others make unreachable, and sections that can never be used.
    fn limits(&mut self) {
        let policy = self.policy;
        for limited in reach::all(policy) {
            for (rule, message) in limited.unreachable(policy) {
                self.say(&rule, message);
            }
            let path = &limited.path;
            if limited.is_boundless() {
                let message = format!(
                    "{path} has no limit on a sum (hour, day, days30 or total), so all of it can be spent in small payments"
                );
                self.say(limited.first_rule(), message);
            }
            if limited.below_agent && !policy.limits.contains_key(&limited.asset) {
                let asset = policy.asset(limited.asset).map_or("?", |(name, _)| name);
                let message =
                    format!("{path}: nothing in {asset} may be spent without [limits.{asset}]");
                self.say(limited.first_rule(), message);
            }
        }
    }

    fn idle_payees(&mut self) {
        let policy = self.policy;
        for (name, payee) in &policy.payees {
            if !meet(&payee.times, &policy.times) {
                let message = format!(
                    "payee.{name} can never be paid: its times never meet those of the policy"
                );
                self.say(&format!("payee.{name}"), message);
            }
        }
    }

    fn idle_tools(&mut self) {
        let policy = self.policy;
        for (name, tool) in &policy.tools {
            if !meet(&tool.times, &policy.times) {
                let message = format!(
                    "tool.{name} can never be used: its times never meet those of the policy"
                );
                self.say(&format!("tool.{name}"), message);
            }
            for (argument, constraint) in &tool.arguments {
                if !can_hold(constraint) {
                    let rule = format!("tool.{name}.arguments.{argument}");
                    let message = format!("{rule} can never hold, so tool.{name} cannot be used");
                    self.say(&rule, message);
                }
            }
        }
    }

    /// What was paid is counted by address, so two payees at one address share a budget.
    fn shared_addresses(&mut self) {
        let policy = self.policy;
        let mut first = BTreeMap::new();
        for (name, payee) in &policy.payees {
            let by_host = payee.host.as_ref().filter(|_| payee.address.is_none());
            if let Some(other) = first.insert((payee.address, by_host), name) {
                let what = if by_host.is_some() { "host" } else { "address" };
                let message = format!(
                    "payee.{name} and payee.{other} have the same {what}, so they share what was paid"
                );
                self.say(&format!("payee.{name}"), message);
            }
        }
    }

    fn idle_categories(&mut self) {
        let policy = self.policy;
        for name in policy.categories.keys() {
            if !policy.payees.values().any(|payee| payee.category.as_ref() == Some(name)) {
                let message = format!("category.{name} limits nobody: no payee names it");
                self.say(&format!("category.{name}"), message);
            }
        }
    }

    /// Where other categories have limits, one without any may be meant to have some.
    fn boundless_categories(&mut self) {
        let policy = self.policy;
        for (name, payee) in &policy.payees {
            let Some(category) = &payee.category else { continue };
            if !policy.categories.is_empty() && !policy.categories.contains_key(category) {
                let message =
                    format!("category {category} has no limits: [category.{category}] is missing");
                self.say(&format!("payee.{name}.category"), message);
            }
        }
    }

    /// The return of money takes a transaction, too.
    fn fees(&mut self) {
        let policy = self.policy;
        if policy.gas.is_empty() && !policy.limits.keys().any(|asset| asset.is_native()) {
            let message = "no transaction can be paid for, so money cannot be returned to you; \
                           add [limits.gas]";
            self.say("limits.gas", message.to_owned());
        }
    }

    fn poor_sub_agents(&mut self) {
        let policy = self.policy;
        for (name, sub_agent) in &policy.sub_agents {
            if !sub_agent.payees.is_empty() && sub_agent.limits.is_empty() {
                let message = format!(
                    "sub_agent.{name} has payees, but no limits, so it can pay none of them"
                );
                self.say(&format!("sub_agent.{name}"), message);
            }
        }
    }

    fn unmet_tests(&mut self) {
        let policy = self.policy;
        for (at, (result, test)) in run_tests(policy).iter().zip(&policy.tests).enumerate() {
            if !result.passed {
                let expected = match &test.then {
                    Expectation::Allowed => "be allowed".to_owned(),
                    Expectation::Held => "be held".to_owned(),
                    Expectation::HeldBy(rule) => format!("be held by {rule}"),
                    Expectation::RefusedBy(rule) => format!("be refused by {rule}"),
                };
                let message = format!(
                    "the policy does not meet this test: to {} should {expected}, but it is {}{}",
                    say_when(policy, &test.when).escape_debug(),
                    outcome(&result.verdict),
                    unknown_rule(&test.then, &result.verdict)
                );
                self.say(&Spans::test(at), message);
            }
        }
    }
}

fn outcome(verdict: &Verdict) -> String {
    let by = |mark| verdict.rules(mark).collect::<Vec<_>>().join(", ");
    match verdict.decision() {
        Decision::Allow => "allowed".to_owned(),
        Decision::Hold => format!("held by {}", by(Mark::Ask)),
        Decision::Refuse => format!("refused by {}", by(Mark::Fail)),
    }
}

/// What is to be said of the rule that a test expects, if no such rule judges what it proposes.
fn unknown_rule(then: &Expectation, verdict: &Verdict) -> String {
    let (Expectation::HeldBy(rule) | Expectation::RefusedBy(rule)) = then else {
        return String::new();
    };
    let rules = || verdict.table.iter().map(|Row { rule, .. }| rule.as_str());
    if rules().any(|known| known == rule) {
        return String::new();
    }
    let near = did_you_mean(rule, rules());
    let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
    format!("; there is no such rule for it as {rule}{near}")
}

/// Whether there is a minute in the week that both cover.
fn meet(one: &Times, other: &Times) -> bool {
    let covers =
        |times: &Times, minute| times.is_always() || times.0.iter().any(|span| span.covers(minute));
    // Where two spans overlap, one of them begins.
    let begins = |span: &Span| {
        let (from, offset) = (i32::from(span.from), i32::from(span.offset));
        (0..7).filter_map(move |day| {
            u64::try_from((day * 1_440 + from - offset).rem_euclid(10_080)).ok()
        })
    };
    let mut begins = one.0.iter().chain(&other.0).flat_map(begins);
    (one.is_always() && other.is_always())
        || begins.any(|minute| covers(one, minute) && covers(other, minute))
}

/// Whether some value meets the constraint.
fn can_hold(constraint: &Constraint) -> bool {
    let Constraint { one_of, starts_with, longest, at_least, at_most } = constraint;
    let text = |text: &str| {
        starts_with.as_ref().is_none_or(|lead| text.starts_with(lead) && !text.contains(".."))
            && longest.is_none_or(|longest| text.chars().count() as u64 <= longest)
    };
    let number =
        |n: i64| at_least.is_none_or(|least| n >= least) && at_most.is_none_or(|most| n <= most);
    let asks_text = starts_with.is_some() || longest.is_some();
    let asks_number = at_least.is_some() || at_most.is_some();
    let holds = |argument: &Argument| match argument {
        Argument::Text(value) => !asks_number && text(value),
        Argument::Integer(value) => !asks_text && number(*value),
        Argument::Flag(_) => !asks_text && !asks_number,
    };
    match one_of {
        Some(values) => values.iter().any(holds),
        None if asks_text => !asks_number && text(starts_with.as_deref().unwrap_or_default()),
        None => number(at_least.or(*at_most).unwrap_or_default()),
    }
}

/// Whether nobody on the way can read or change what this endpoint answers.
fn is_private(endpoint: &str) -> bool {
    let Ok(url) = url::Url::parse(endpoint) else { return false };
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || loopback
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::times::minute_of_week;

    #[test]
    fn only_encrypted_or_local_endpoints_are_private() {
        for private in ["https://rpc.example", "http://127.0.0.1:8545", "http://[::1]:8545"] {
            assert!(is_private(private), "{private}");
        }
        for open in ["http://rpc.example", "http://10.0.0.1:8545", "http://127.0.0.1.example"] {
            assert!(!is_private(open), "{open}");
        }
    }

    #[test]
    fn times_meet_as_a_walk_through_the_week_says() {
        let spans = [
            "08:00-18:00",
            "mon-fri 08:00-18:00 +01:00",
            "sat 18:00-08:00",
            "sun-mon 23:00-24:00",
            "tue 07:00-08:00 -05:30",
            "sat-sun 00:00-24:00 +14:00",
            "wed 06:59-07:00",
        ];
        let mut times: Vec<Times> = vec![Times::default()];
        for (at, span) in spans.iter().enumerate() {
            times.push(Times(vec![Span::read(span).unwrap()]));
            times.push(Times(vec![
                Span::read(span).unwrap(),
                Span::read(spans[(at + 3) % spans.len()]).unwrap(),
            ]));
        }
        for one in &times {
            for other in &times {
                let walk = (0..10_080).any(|minute| {
                    let now = minute * 60_000;
                    assert!(minute_of_week(now) < 10_080);
                    one.covers(now) && other.covers(now)
                });
                assert_eq!(meet(one, other), walk, "{one} / {other}");
            }
        }
    }
}
