//! Forbids made ready for Cedar's evaluator, one set for each action.
//!
//! Raw Cedar skips a forbid that fails to evaluate, which would disarm it. Here such a forbid
//! counts as one that applies. And because labels are the mind's word, a forbid that looks at them
//! is asked about every subset of the labels that were reported: leaving one out gains nothing, and
//! one more never lifts what held without it.
//!
//! Mostly none applies, so all are first asked at once: the expressions `one || another || ..` is
//! plainly false, or each is asked by itself.
//!
//! INVARIANT: a forbid that errs fails its row (pinned by `tests::what_errs_forbids`), each answers
//! as Cedar's own authorizer does (pinned by `tests::forbids_answer_as_cedar_does`), and labels
//! only ever add rows that fail (pinned by `tests/suite/cedar.rs`).

use super::{
    context::{Action, Facts, Wanted, context, entity},
    text::Statement,
};
use cedar_policy::{
    ActionConstraint, Entities, Entity, EntityTypeName, EntityUid, EvalResult, Expression, Policy,
    Request, eval_expression,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    str::FromStr,
};

/// All forbids, by what they can apply to.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    rules: BTreeMap<Action, Rules>,
    kinds: BTreeMap<&'static str, EntityTypeName>,
}

/// The forbids that can apply to one action.
#[derive(Clone, Debug)]
struct Rules {
    action: EntityUid,
    /// Their places.
    places: Vec<usize>,
    /// Those that do not look at labels.
    plain: Set,
    /// Those that do.
    labelled: Set,
    /// What any of them looks at.
    wanted: Wanted,
    /// Whether any of them speaks of categories.
    categories: bool,
}

/// Some forbids, and all of them as one expression.
#[derive(Clone, Debug, Default)]
struct Set {
    each: Vec<(usize, Expression)>,
    any: Option<Expression>,
}

/// What one forbid says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It does not apply.
    Silent,
    /// It applies.
    Applies,
    /// It could not be evaluated, which forbids as well.
    Broken(String),
}

/// One forbid as it was read.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    actions: ActionConstraint,
    condition: String,
    wanted: Wanted,
    categories: bool,
}

impl Rule {
    pub(super) fn new(
        statement: &Statement<'_>,
        policy: &Policy,
        wanted: Wanted,
    ) -> Result<Self, String> {
        let condition = statement.condition().ok_or("this is no forbid")?;
        let categories = statement.words.iter().any(|word| word.text == "Category");
        Ok(Self { actions: policy.action_constraint(), condition, wanted, categories })
    }
}

impl Engine {
    /// Makes forbids ready, in the order of the document.
    pub(super) fn new(forbids: &[Rule]) -> Result<Self, String> {
        let mut rules = BTreeMap::new();
        for action in Action::ALL {
            rules.insert(action, Rules::new(forbids, action)?);
        }
        let kinds = ["Agent", "Payee", "Category", "Tool", "Asset"];
        let kinds = kinds.into_iter().map(|name| Ok((name, kind(name)?)));
        Ok(Self { rules, kinds: kinds.collect::<Result<_, String>>()? })
    }

    /// What each forbid that concerns this action says, by its place, in the order of the document.
    pub(super) fn judge(&self, facts: &Facts<'_>) -> BTreeMap<usize, Answer> {
        let Some(rules) = self.rules.get(&facts.action()) else { return BTreeMap::new() };
        let mut answers: BTreeMap<usize, Answer> =
            rules.places.iter().map(|place| (*place, Answer::Silent)).collect();
        if let Err(broken) = self.ask(rules, facts, &mut answers) {
            answers.values_mut().for_each(|answer| *answer = Answer::Broken(broken.clone()));
        }
        answers
    }

    fn ask(
        &self,
        rules: &Rules,
        facts: &Facts<'_>,
        answers: &mut BTreeMap<usize, Answer>,
    ) -> Result<(), String> {
        if rules.places.is_empty() {
            return Ok(());
        }
        let kind = |name: &str| self.kinds.get(name).ok_or("an unknown kind of entity");
        let principal = entity(kind("Agent")?, facts.agent());
        let (resource_kind, name, category) = facts.resource();
        let resource = entity(kind(resource_kind)?, name);
        let entities = match category.filter(|_| rules.categories) {
            None => Entities::empty(),
            Some(category) => {
                let parent = HashSet::from([entity(kind("Category")?, category)]);
                let entity = Entity::new_no_attrs(resource.clone(), parent);
                Entities::from_entities([entity], None).map_err(|error| error.to_string())?
            }
        };
        let told = facts.tell(&rules.wanted);
        let request = |labels: Option<&BTreeSet<&str>>| {
            let (principal, resource) = (principal.clone(), resource.clone());
            let context = context(&told, labels)?;
            Request::new(principal, rules.action.clone(), resource, context, None)
                .map_err(|error| error.to_string())
        };
        if !rules.plain.each.is_empty() {
            rules.plain.ask(&request(None)?, &entities, answers);
        }
        if !rules.labelled.each.is_empty() {
            let Some(reported) = facts.labels() else {
                rules.labelled.ask(&request(None)?, &entities, answers);
                return Ok(());
            };
            for labels in subsets(&reported) {
                rules.labelled.ask(&request(Some(&labels))?, &entities, answers);
            }
        }
        Ok(())
    }
}

impl Rules {
    fn new(forbids: &[Rule], action: Action) -> Result<Self, String> {
        let action = entity(&kind("Action")?, action.name());
        let concerns = |actions: &ActionConstraint| match actions {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(named) => *named == action,
            ActionConstraint::In(named) => named.contains(&action),
        };
        let forbids = forbids.iter().enumerate();
        let forbids: Vec<_> = forbids.filter(|(_, rule)| concerns(&rule.actions)).collect();
        let mut wanted = Wanted::default();
        forbids.iter().for_each(|(_, rule)| wanted.join(&rule.wanted));
        let (labelled, plain): (Vec<_>, Vec<_>) =
            forbids.iter().copied().partition(|(_, rule)| rule.wanted.has("labels"));
        Ok(Self {
            action,
            places: forbids.iter().map(|(place, _)| *place).collect(),
            plain: Set::new(&plain)?,
            labelled: Set::new(&labelled)?,
            wanted,
            categories: forbids.iter().any(|(_, rule)| rule.categories),
        })
    }
}

impl Set {
    fn new(forbids: &[(usize, &Rule)]) -> Result<Self, String> {
        let read = |text: &str| Expression::from_str(text).map_err(|error| error.to_string());
        let each = forbids.iter().map(|(place, rule)| Ok((*place, read(&rule.condition)?)));
        let all: Vec<String> =
            forbids.iter().map(|(_, rule)| format!("({})", rule.condition)).collect();
        let any = if all.is_empty() { None } else { Some(read(&all.join(" || "))?) };
        Ok(Self { each: each.collect::<Result<_, String>>()?, any })
    }

    /// Notes what applies or errs; an answer that was given before is not taken back.
    fn ask(&self, request: &Request, entities: &Entities, answers: &mut BTreeMap<usize, Answer>) {
        let ask = |condition| match eval_expression(request, entities, condition) {
            Ok(EvalResult::Bool(false)) => Answer::Silent,
            Ok(EvalResult::Bool(true)) => Answer::Applies,
            Ok(other) => Answer::Broken(format!("{other} is neither true nor false")),
            Err(error) => Answer::Broken(error.to_string()),
        };
        if self.any.as_ref().map(ask) == Some(Answer::Silent) {
            return;
        }
        for (place, condition) in &self.each {
            if let Some(answer) = answers.get_mut(place).filter(|answer| **answer == Answer::Silent)
            {
                *answer = ask(condition);
            }
        }
    }
}

/// Every subset, the whole first.
fn subsets<'a>(labels: &BTreeSet<&'a str>) -> Vec<BTreeSet<&'a str>> {
    let all = 1_usize << labels.len();
    let subset = |mask: usize| {
        let picked = labels.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1);
        picked.map(|(_, label)| *label).collect()
    };
    (0..all).rev().map(subset).collect()
}

fn kind(name: &str) -> Result<EntityTypeName, String> {
    EntityTypeName::from_str(name).map_err(|error| error.to_string())
}
