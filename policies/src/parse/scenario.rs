//! `[[test]]`: the small language of given, when and then.
//!
//! ```text
//! given    = [ GIVEN, .. ]
//!            "paid AMOUNT UNIT to PAYEE AGE ago"          AGE: 30s, 10min, 5h, 2d
//!            ".. by another agent" | ".. by SUBAGENT" | ".. in task NAME"
//!            "used TOOL AGE ago" | "used TOOL AGE ago sending SIZE"      SIZE: 10 KiB
//!            "pinned PAYEE to 0x.."
//!            "PAYEE did not deliver" | "PAYEE does not resolve" | "PAYEE changed hands"
//! when     = "pay AMOUNT UNIT to PAYEE"
//!          | "use TOOL" [" to METHOD HOST"] [" sending SIZE"] [" with NAME=VALUE .."]
//!          | "collect AMOUNT UNIT" | "return AMOUNT UNIT"
//! at       = "mon 03:00"                                  UTC
//! as       = "SUBAGENT"
//! task     = "NAME"
//! asked_by = "HOST"
//! labels   = ["web:HOST", "peer:NAME", "memory", "model", "owner", "policy", "chain"]
//! approved = true
//! then     = "allowed" | "held" | "held by RULE" | "refused by RULE"   at least by this rule
//! ```
//!
//! A name that the policy does not know would make a test pass or fail for the wrong reason, so it
//! is a mistake, unless the test expects just that.

mod given;
mod proposal;

use super::{
    Spans,
    chains::Assets,
    keys,
    limits::{Unit, amount},
    payees::Payees,
    pools::Pools,
    section::{Found, Section, is_word, nothing_named},
    sub_agents::SubAgents,
    tools::Tools,
};
use crate::{
    document::{Expectation, PolicyTest, When},
    error::{PolicyError, Source, did_you_mean},
    host::Host,
    intent::{LABELS, Label, Labels},
    money::{AssetId, Money},
    times::Moment,
};

const WHEN: &str = "write when = \"pay 0.30 USDC to weather-feed\", \"use fetch_data\", \
                    \"collect 1 USDC\" or \"return 1 USDC\"";
const THEN: &str = "write \"allowed\", \"held\", \"held by limits.USDC.ask_above\" or \"refused by \
                    payee.weather-feed.day\"";

/// What the policy knows by name.
pub(super) struct Known<'p> {
    pub(super) assets: &'p Assets,
    pub(super) payees: &'p Payees,
    pub(super) pools: &'p Pools,
    pub(super) tools: &'p Tools,
    pub(super) sub_agents: &'p SubAgents,
}

pub(super) fn tests<'a>(
    root: &Section<'a>,
    known: &Known<'_>,
    spans: &mut Spans<'a>,
) -> Result<Vec<PolicyTest>, PolicyError> {
    let sections = root.list("test")?;
    for (at, section) in sections.iter().enumerate() {
        spans.mark(Spans::test(at), section.source, section.span_of("when"));
    }
    sections.iter().map(|section| test(section, known)).collect()
}

pub(super) fn test(section: &Section<'_>, known: &Known<'_>) -> Result<PolicyTest, PolicyError> {
    section.only(keys::TEST)?;
    let given = given::given(section, known)?;
    let then = then(section)?;
    let when = proposal::when(section, known, &then)?;
    let sub_agent = match section.text("as")? {
        Some(name) if !expects(&then, "sub_agent.known") => {
            Some(known.sub_agent(section.source, &name)?)
        }
        name => name.map(|name| name.value.to_owned()),
    };
    Ok(PolicyTest {
        given,
        at: at(section)?,
        sub_agent,
        task: section.text("task")?.map(|name| task(section.source, &name)).transpose()?,
        asked_by: asked_by(section, &when)?,
        labels: labels(section, &when)?,
        approved: section.flag("approved")?,
        when,
        then,
    })
}

fn then(section: &Section<'_>) -> Result<Expectation, PolicyError> {
    let then = section.text("then")?.ok_or_else(|| section.missing("then", THEN))?;
    let rule = |lead: &str| then.value.strip_prefix(lead).filter(|rule| is_rule(rule));
    match then.value {
        "allowed" => Ok(Expectation::Allowed),
        "held" => Ok(Expectation::Held),
        _ => rule("held by ")
            .map(|rule| Expectation::HeldBy(rule.to_owned()))
            .or_else(|| rule("refused by ").map(|rule| Expectation::RefusedBy(rule.to_owned())))
            .ok_or_else(|| unreadable(section.source, &then, THEN)),
    }
}

/// Whether a test expects that just this rule refuses.
fn expects(then: &Expectation, rule: &str) -> bool {
    matches!(then, Expectation::RefusedBy(by) if by == rule)
}

fn at(section: &Section<'_>) -> Result<Option<Moment>, PolicyError> {
    let Some(text) = section.text("at")? else { return Ok(None) };
    let help = "write a day of the week and a time, UTC: at = \"mon 03:00\"";
    let moment = Moment::read(text.value);
    moment.map(Some).ok_or_else(|| unreadable(section.source, &text, help))
}

fn task(source: Source<'_>, name: &Found<&str>) -> Result<String, PolicyError> {
    if is_word(name.value) {
        return Ok(name.value.to_owned());
    }
    let message = format!("\"{}\" cannot be a task's name", name.value.escape_debug());
    let help = "choose another of at most 64 letters, digits, `-` and `_`";
    Err(source.meaning(name.span.clone(), message, help))
}

fn asked_by(section: &Section<'_>, when: &When) -> Result<Option<String>, PolicyError> {
    let Some(text) = section.text("asked_by")? else { return Ok(None) };
    match when {
        When::Pay { amount, .. } if !amount.asset.is_native() => {
            Host::read_from(section.source, text.value, &text.span).map(Some)
        }
        _ => {
            let message = "no host asks for what this test proposes";
            let help = "`asked_by` goes with a payment in a token; leave it out here";
            Err(section.source.meaning(text.span, message, help))
        }
    }
}

fn labels(section: &Section<'_>, when: &When) -> Result<Labels, PolicyError> {
    let mut labels = Labels::default();
    if section.has("labels") && !matches!(when, When::Pay { .. } | When::Use { .. }) {
        let message = "what this test proposes has no labels";
        let help = "`labels` goes with a payment or a tool; leave it out here";
        return Err(section.mistake("labels", message, help));
    }
    for text in section.texts("labels")?.unwrap_or_default() {
        let label = match text.value.split_once(':') {
            Some(("web", host)) => Label::Web(Host::read_from(section.source, host, &text.span)?),
            _ => text.value.parse().map_err(|_| unreadable(section.source, &text, LABELS))?,
        };
        if !labels.0.insert(label) {
            return Err(section.twice("labels", text.span, text.value));
        }
    }
    Ok(labels)
}

impl Known<'_> {
    /// `0.30` and `USDC`.
    fn money(
        &self,
        source: Source<'_>,
        text: &Found<&str>,
        number: &str,
        unit: &str,
    ) -> Result<Money, PolicyError> {
        let written = format!("{number} {unit}");
        let found = Found { value: written.as_str(), span: text.span.clone() };
        amount(source, &found, self.assets, Unit::Written)
    }

    /// A payee, or a peer where there is a pool for it: of `asset`, or of any asset without one.
    fn payee(
        &self,
        source: Source<'_>,
        name: &Found<&str>,
        asset: Option<AssetId>,
    ) -> Result<String, PolicyError> {
        if self.payees.contains_key(name.value) {
            return Ok(name.value.to_owned());
        }
        let pool = match asset {
            Some(asset) => self.pools.contains_key(&asset),
            None => !self.pools.is_empty(),
        };
        let slip = self.payees.keys().any(|payee| payee.eq_ignore_ascii_case(name.value));
        if pool && is_word(name.value) && !slip {
            return Ok(name.value.to_owned());
        }
        let help = match did_you_mean(name.value, self.payees.keys().map(String::as_str)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "a stranger may be paid in a test where there is a [pool] of the asset, or \
                     with `then = \"refused by payee.known\"`"
                .to_owned(),
        };
        let message = format!("there is no payee \"{}\"", name.value.escape_debug());
        Err(source.meaning(name.span.clone(), message, help))
    }

    fn tool(&self, source: Source<'_>, name: &Found<&str>) -> Result<String, PolicyError> {
        match self.tools.get_key_value(name.value) {
            Some((tool, _)) => Ok(tool.clone()),
            None => Err(nothing_named(source, "tool", name, self.tools.keys())),
        }
    }

    fn sub_agent(&self, source: Source<'_>, name: &Found<&str>) -> Result<String, PolicyError> {
        match self.sub_agents.get_key_value(name.value) {
            Some((name, _)) => Ok(name.clone()),
            None => Err(nothing_named(source, "sub-agent", name, self.sub_agents.keys())),
        }
    }
}

fn unreadable(source: Source<'_>, text: &Found<&str>, help: &str) -> PolicyError {
    let message = format!("cannot read \"{}\"", text.value.escape_debug());
    source.meaning(text.span.clone(), message, help)
}

fn is_rule(rule: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !rule.is_empty() && rule.bytes().all(letter)
}
