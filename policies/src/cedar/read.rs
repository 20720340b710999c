//! From the text of `policy.cedar` to forbids that mean something.
//!
//! A statement is cut out, read by Cedar, held against the list of what forbids may be made of, and
//! then all of them are validated against the schema. A forbid that can never apply is a mistake:
//! its owner meant to forbid something.

use super::{
    Forbid, Names,
    engine::Rule,
    lint::{annotations, lint},
    text::{Statement, statements},
};
use crate::error::{PolicyError, Source};
use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;
use std::{collections::BTreeMap, ops::Range, sync::LazyLock};

/// What forbids may speak about, as published for editors and for `cedar validate`.
pub const SCHEMA: &str = include_str!("../../schema/policy.cedarschema");

/// Compiled once for the process.
static VALIDATOR: LazyLock<Result<Validator, String>> = LazyLock::new(|| {
    let schema = Schema::from_cedarschema_str(SCHEMA).map_err(|error| error.to_string());
    schema.map(|(schema, _)| Validator::new(schema))
});

/// Reads all forbids, in the order of the document.
pub(super) fn read(
    source: Source<'_>,
    names: &Names<'_>,
) -> Result<Vec<(Forbid, Rule)>, PolicyError> {
    let statements = statements(source)?;
    let mut forbids: Vec<(Forbid, Rule)> = Vec::new();
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut set = PolicySet::new();
    for (place, statement) in statements.iter().enumerate() {
        let another = |error: String| {
            source.meaning(statement.span(), lower(&error), "write it in another way")
        };
        let policy = parse(source, statement, place)?;
        let meaning = policy.to_json().map_err(|error| another(error.to_string()))?;
        let (id, reason) = annotations(source, statement, &meaning)?;
        let wanted = lint(source, statement, names, &meaning)?;
        let name = id.unwrap_or_else(|| (place + 1).to_string());
        if let Some(first) = taken.insert(name.to_ascii_lowercase(), place) {
            let message = format!("forbid {} is already called \"{name}\"", first + 1);
            return Err(source.meaning(statement.span(), message, "give each an `@id` of its own"));
        }
        let rule = Rule::new(statement, &policy, wanted).map_err(another)?;
        set.add(policy).map_err(|error| another(error.to_string()))?;
        forbids.push((Forbid { name, reason, meaning }, rule));
    }
    validate(source, &statements, &set)?;
    Ok(forbids)
}

/// One statement, which must be a forbid.
fn parse(
    source: Source<'_>,
    statement: &Statement<'_>,
    place: usize,
) -> Result<Policy, PolicyError> {
    let find = |text: &str| statement.words.iter().find(|word| word.text == text);
    if let Some(permit) = statement.effect().filter(|word| word.text == "permit") {
        let help = "what is permitted stands in policy.toml; write `forbid`, or take it out";
        return Err(source.meaning(permit.span.clone(), "only `forbid` is permitted here", help));
    }
    if let Some(slot) = find("?") {
        let help = "write the forbid out for each of those it is meant for";
        return Err(source.meaning(slot.span.clone(), "there are no templates here", help));
    }
    let policy = Policy::parse(Some(PolicyId::new(place.to_string())), statement.text);
    let policy = policy.map_err(|errors| {
        let help = "a forbid reads `forbid (principal, action, resource) when { .. };`";
        match errors.iter().next() {
            Some(error) => mistake(source, statement, error, lower(&error.to_string()), help),
            None => source.meaning(statement.span(), "this is no forbid", help),
        }
    })?;
    if policy.effect() != cedar_policy::Effect::Forbid {
        let help = "what is permitted stands in policy.toml";
        return Err(source.meaning(statement.span(), "only `forbid` is permitted here", help));
    }
    Ok(policy)
}

/// Holds all forbids against the schema, strictly. What Cedar only warns about is a mistake, too.
fn validate(
    source: Source<'_>,
    statements: &[Statement<'_>],
    set: &PolicySet,
) -> Result<(), PolicyError> {
    let validator = VALIDATOR.as_ref().map_err(|error| {
        source.meaning(0..0, lower(error), "this is a defect of marque; please report it")
    })?;
    let found = validator.validate(set, ValidationMode::Strict);
    let statement = |id: &PolicyId| {
        let place = AsRef::<str>::as_ref(id).parse::<usize>().ok();
        place.and_then(|place| statements.get(place))
    };
    if let Some(error) = found.validation_errors().next() {
        let help = "the published policy.cedarschema lists what each action has; name the action \
                    in the brackets when you speak of what only this one has";
        return Err(found_in(source, statement(error.policy_id()), error, help));
    }
    if let Some(warning) = found.validation_warnings().next() {
        let help = "a forbid that can never apply, or whose text misleads, forbids nothing; mend it \
                    or take it out";
        return Err(found_in(source, statement(warning.policy_id()), warning, help));
    }
    Ok(())
}

fn found_in<E: Diagnostic>(
    source: Source<'_>,
    statement: Option<&Statement<'_>>,
    found: &E,
    help: &str,
) -> PolicyError {
    let message = own(&found.to_string());
    match statement {
        Some(statement) => mistake(source, statement, found, message, help),
        None => source.meaning(0..0, message, help),
    }
}

/// What Cedar found, at its place in the file.
fn mistake<E: Diagnostic + ?Sized>(
    source: Source<'_>,
    statement: &Statement<'_>,
    found: &E,
    message: String,
    help: &str,
) -> PolicyError {
    let help = found.help().map_or_else(|| help.to_owned(), |said| own(&said.to_string()));
    let label = found.labels().and_then(|mut labels| labels.next());
    let span = label.map_or_else(
        || statement.span(),
        |label| within(statement, label.offset()..label.offset() + label.len()),
    );
    source.meaning(span, message, help)
}

/// A place in a statement as a place in the file.
fn within(statement: &Statement<'_>, inner: Range<usize>) -> Range<usize> {
    let start = statement.start + inner.start.min(statement.text.len());
    start..start.max(statement.start + inner.end.min(statement.text.len()))
}

/// Cedar's words without the policy's id, with which they begin; here it is only its place.
fn own(message: &str) -> String {
    let rest = message.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, "));
    lower(rest.map_or(message, |(_, rest)| rest))
}

/// Cedar's words, made to look like ours: one line, lower case at the beginning, no full stop.
fn lower(message: &str) -> String {
    let message = message.replace('\n', ", ");
    let message = message.trim_end_matches('.');
    let mut letters = message.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}
