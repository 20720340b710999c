//! `[[test]]`: the small language of given, when and then.
//!
//! ```text
//! given = [ "paid AMOUNT to PAYEE AGE ago", .. ]      AGE: 30s, 10min, 5h, 2d
//! when  = "pay AMOUNT to PAYEE"
//! then  = "allowed" | "held" | "refused by RULE"      at least by this rule
//! ```

use super::{
    chains::Assets,
    limits::amount,
    payees::Payees,
    section::{Found, Section},
    units::read_age,
};
use crate::{
    document::{Expectation, Given, PaidBy, PastPayment, PolicyTest, When},
    error::{PolicyError, did_you_mean},
    money::Money,
};

const GIVEN: &str = "write given = [\"paid 0.40 USDC to weather-feed 5h ago\"]";
const WHEN: &str = "write when = \"pay 0.30 USDC to weather-feed\"";
const THEN: &str = "write \"allowed\", \"held\" or \"refused by payee.weather-feed.day\"";

/// The rule that refuses a payee whom the policy does not know.
const UNKNOWN_PAYEE: &str = "payee.known";

pub(super) fn tests(
    root: &Section<'_>,
    assets: &Assets,
    payees: &Payees,
) -> Result<Vec<PolicyTest>, PolicyError> {
    root.list("test")?.iter().map(|section| test(section, assets, payees)).collect()
}

fn test(
    section: &Section<'_>,
    assets: &Assets,
    payees: &Payees,
) -> Result<PolicyTest, PolicyError> {
    section.only(&["given", "when", "then"])?;
    let given = section.texts("given")?.unwrap_or_default();
    let given = given.iter().map(|text| past(section, text, assets, payees));
    let given = given.collect::<Result<Vec<_>, _>>()?;

    let then = section.text("then")?.ok_or_else(|| section.missing("then", THEN))?;
    let then = match (then.value, then.value.strip_prefix("refused by ")) {
        ("allowed", _) => Expectation::Allowed,
        ("held", _) => Expectation::Held,
        (_, Some(rule)) if is_rule(rule) => Expectation::RefusedBy(rule.to_owned()),
        _ => return Err(unreadable(section, &then, THEN)),
    };

    let when = section.text("when")?.ok_or_else(|| section.missing("when", WHEN))?;
    let words: Vec<&str> = when.value.split(' ').collect();
    let ["pay", number, unit, "to", payee] = words.as_slice() else {
        return Err(unreadable(section, &when, WHEN));
    };
    let stranger = matches!(&then, Expectation::RefusedBy(rule) if rule == UNKNOWN_PAYEE);
    if !stranger {
        known(section, &when, payee, payees)?;
    }
    let amount = money(section, &when, number, unit, assets)?;
    let when = When::Pay { amount, payee: (*payee).to_owned() };
    Ok(PolicyTest {
        given: given.into_iter().map(Given::Paid).collect(),
        when,
        at: None,
        sub_agent: None,
        task: None,
        asked_by: None,
        labels: Default::default(),
        approved: false,
        then,
    })
}

fn past(
    section: &Section<'_>,
    text: &Found<&str>,
    assets: &Assets,
    payees: &Payees,
) -> Result<PastPayment, PolicyError> {
    let words: Vec<&str> = text.value.split(' ').collect();
    let ["paid", number, unit, "to", payee, age, "ago"] = words.as_slice() else {
        return Err(unreadable(section, text, GIVEN));
    };
    known(section, text, payee, payees)?;
    let amount = money(section, text, number, unit, assets)?;
    let age = read_age(age).ok_or_else(|| unreadable(section, text, GIVEN))?;
    Ok(PastPayment { amount, payee: (*payee).to_owned(), age, by: PaidBy::Agent })
}

fn money(
    section: &Section<'_>,
    text: &Found<&str>,
    number: &str,
    unit: &str,
    assets: &Assets,
) -> Result<Money, PolicyError> {
    let written = format!("{number} {unit}");
    let found = Found { value: written.as_str(), span: text.span.clone() };
    amount(section.source, &found, assets, None)
}

/// A name that the policy does not know would make a test pass or fail for the wrong reason.
fn known(
    section: &Section<'_>,
    text: &Found<&str>,
    payee: &str,
    payees: &Payees,
) -> Result<(), PolicyError> {
    if payees.contains_key(payee) {
        return Ok(());
    }
    let help = match did_you_mean(payee, payees.keys().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!(
            "a stranger may be paid in a test only with `then = \"refused by {UNKNOWN_PAYEE}\"`"
        ),
    };
    let message = format!("there is no payee \"{}\"", payee.escape_debug());
    Err(section.source.meaning(text.span.clone(), message, help))
}

fn unreadable(section: &Section<'_>, text: &Found<&str>, help: &str) -> PolicyError {
    let message = format!("cannot read \"{}\"", text.value.escape_debug());
    section.source.meaning(text.span.clone(), message, help)
}

fn is_rule(rule: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !rule.is_empty() && rule.bytes().all(letter)
}
