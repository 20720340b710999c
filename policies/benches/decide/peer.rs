//! The peer: `cedar-policy` 4 by itself, as somebody would use it who has no other engine.
//!
//! Its policy set has a permit for each payee (address, host, limits) and each tool (hosts), and
//! the forbids of the scene word for word, compiled once and validated against a schema. For each
//! question it sums the same windows over the same ledger, builds the whole context natively (no
//! JSON) and asks the authorizer once; policies and entities are kept between questions.
//!
//! What it does not do: amounts past 63 bits, fees, the rates of tools, questions to the owner, and
//! a table: it answers yes or no, without what was measured, what the limit was and what would make
//! it pass. A forbid that fails to evaluate is skipped.

use crate::{
    Error,
    scene::{Case, LIMITS, PAYEE_LIMITS, Scene, forbids, payees, tools},
};
use alloy_primitives::{Address, U256};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityId, EntityTypeName, EntityUid, PolicySet,
    Request, RestrictedExpression, Schema, ValidationMode, Validator,
};
use marque_policies::{
    AssetId, Intent, Ledger as _, Money, Scope,
    document::{DAY, DAYS30, HOUR},
    times::Moment,
};
use std::str::FromStr as _;

const SCHEMA: &str = r#"
entity Agent, Payee, Tool, Asset;
type Fits = { payment: Bool, hour: Bool, day: Bool, days30: Bool, total: Bool,
    payee_payment: Bool, payee_day: Bool };
type Spent = { hour: Long, day: Long, days30: Long, total: Long };
action "pay" appliesTo { principal: Agent, resource: Payee, context: {
    to: String, asset: String, amount_micros: Long, host: String, resource: String,
    transaction: Bool, first_payment: Bool, delivers: Bool, fits: Fits, spent: Spent,
    payee_day: Long, payee_total: Long, sub_agent: String, task: String, weekday: Long,
    minute: Long } };
action "use" appliesTo { principal: Agent, resource: Tool, context: {
    fetches: Bool, host: String, method: String, path: String, bytes_out: Long,
    sub_agent: String, task: String, weekday: Long, minute: Long } };
action "collect" appliesTo { principal: Agent, resource: Asset, context: {
    to_us: Bool, asset: String, amount_micros: Long, resource: String, task: String,
    weekday: Long, minute: Long } };
"#;

/// Cedar, ready to be asked.
pub(crate) struct Peer {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
    agent: EntityUid,
    kinds: [EntityTypeName; 3],
    actions: [EntityUid; 3],
}

impl Peer {
    pub(crate) fn new(_scene: &Scene) -> Result<Self, Error> {
        let policies = PolicySet::from_str(&(permits() + &forbids()))?;
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA)?;
        let validated = Validator::new(schema).validate(&policies, ValidationMode::Strict);
        if let Some(error) = validated.validation_errors().next() {
            return Err(error.to_string().into());
        }
        Ok(Self {
            authorizer: Authorizer::new(),
            policies,
            entities: Entities::empty(),
            agent: EntityUid::from_str("Agent::\"scout\"")?,
            kinds: ["Payee".parse()?, "Tool".parse()?, "Asset".parse()?],
            actions: [
                EntityUid::from_str("Action::\"pay\"")?,
                EntityUid::from_str("Action::\"use\"")?,
                EntityUid::from_str("Action::\"collect\"")?,
            ],
        })
    }

    /// Whether Cedar permits it.
    pub(crate) fn judge(&self, scene: &Scene, case: &Case) -> Result<bool, Error> {
        let [payee, tool, asset] = &self.kinds;
        let [pay, used, collect] = &self.actions;
        let (action, kind, name, context) = match &case.intent {
            Intent::Authorise(it) => {
                let asked = (it.host.as_str(), it.resource.as_str());
                (pay, payee, it.payee.as_str(), paying(scene, it.to, it.amount, Some(asked))?)
            }
            Intent::Transfer(it) => {
                (pay, payee, it.payee.as_str(), paying(scene, it.to, it.amount, None)?)
            }
            Intent::Tool(it) => {
                let fetch = it.fetch.as_ref();
                let text = |of: Option<&str>| string(of.unwrap_or_default());
                let mut context = vec![
                    ("fetches", RestrictedExpression::new_bool(fetch.is_some())),
                    ("host", text(fetch.map(|fetch| fetch.host.as_str()))),
                    ("method", text(fetch.map(|fetch| fetch.method.as_str()))),
                    ("path", text(fetch.map(|fetch| fetch.path.as_str()))),
                    ("bytes_out", long(fetch.map_or(0, |fetch| fetch.bytes_out))),
                    ("sub_agent", string("")),
                ];
                context.extend(common(scene));
                (used, tool, it.tool.as_str(), context)
            }
            Intent::Settle(it) => {
                let own = it.to == scene.past.agent_address();
                let mut context = vec![
                    ("to_us", RestrictedExpression::new_bool(own)),
                    ("asset", string("USDC")),
                    ("amount_micros", micros(it.amount.units)),
                    ("resource", string(&it.resource)),
                ];
                context.extend(common(scene));
                (collect, asset, "USDC", context)
            }
            other => return Err(format!("no case proposes {}", other.kind()).into()),
        };
        let context = context.into_iter().map(|(name, value)| (name.to_owned(), value));
        let context = Context::from_pairs(context)?;
        let resource = EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(name));
        let request = Request::new(self.agent.clone(), action.clone(), resource, context, None)?;
        let response = self.authorizer.is_authorized(&request, &self.policies, &self.entities);
        Ok(response.decision() == Decision::Allow)
    }
}

fn permits() -> String {
    let mut text = String::new();
    for (name, address, host) in payees() {
        text.push_str(&format!(
            "permit (principal, action == Action::\"pay\", resource == Payee::\"{name}\") when {{\n\
             context.to == \"{address}\" && context.asset == \"USDC\" && context.amount_micros > 0\n\
             && (context.transaction || context.host == \"{host}\") && context.fits.payment\n\
             && context.fits.hour && context.fits.day && context.fits.days30 && context.fits.total\n\
             && context.fits.payee_payment && context.fits.payee_day }};\n"
        ));
    }
    for (name, host) in tools() {
        text.push_str(&format!(
            "permit (principal, action == Action::\"use\", resource == Tool::\"{name}\") when {{\n\
             !context.fetches || context.host == \"{host}\" || context.host like \"*.gov\" }};\n"
        ));
    }
    text.push_str(
        "permit (principal, action == Action::\"collect\", resource == Asset::\"USDC\") when {\n\
         context.to_us && context.amount_micros > 0 };\n",
    );
    text
}

type Pairs = Vec<(&'static str, RestrictedExpression)>;

/// Everything about a payment, its windows summed up.
fn paying(
    scene: &Scene,
    to: Address,
    amount: Money,
    asked: Option<(&str, &str)>,
) -> Result<Pairs, Error> {
    let (past, now) = (&scene.past, scene.now);
    let asset: AssetId = amount.asset;
    let after = |width: u64| now.saturating_sub(width);
    let of = |since| past.spent(Scope::Agent, asset, since);
    let [hour, day, days30, total] = [of(after(HOUR)), of(after(DAY)), of(after(DAYS30)), of(0)];
    let to_payee = |since| past.spent(Scope::Payee(to), asset, since);
    let (payee_day, payee_total) = (to_payee(after(DAY)), to_payee(0));
    let flag = RestrictedExpression::new_bool;
    let within = |spent: U256, limit: u64| {
        flag(spent.checked_add(amount.units).is_some_and(|sum| sum <= U256::from(limit)))
    };
    let [most, in_hour, in_day, in_days30, ever] = LIMITS;
    let [payee_most, payee_in_day] = PAYEE_LIMITS;
    let fits = record([
        ("payment", within(U256::ZERO, most)),
        ("hour", within(hour, in_hour)),
        ("day", within(day, in_day)),
        ("days30", within(days30, in_days30)),
        ("total", within(total, ever)),
        ("payee_payment", within(U256::ZERO, payee_most)),
        ("payee_day", within(payee_day, payee_in_day)),
    ])?;
    let spent = record([
        ("hour", micros(hour)),
        ("day", micros(day)),
        ("days30", micros(days30)),
        ("total", micros(total)),
    ])?;
    let (host, resource) = asked.unwrap_or_default();
    let mut pairs = vec![
        ("to", RestrictedExpression::new_string(to.to_string())),
        ("asset", string("USDC")),
        ("amount_micros", micros(amount.units)),
        ("host", string(host)),
        ("resource", string(resource)),
        ("transaction", flag(asked.is_none())),
        ("first_payment", flag(payee_total.is_zero())),
        ("delivers", flag(!past.owes_delivery(to))),
        ("fits", fits),
        ("spent", spent),
        ("payee_day", micros(payee_day)),
        ("payee_total", micros(payee_total)),
        ("sub_agent", string("")),
    ];
    pairs.extend(common(scene));
    Ok(pairs)
}

fn common(scene: &Scene) -> Pairs {
    let moment = Moment::of(scene.now);
    vec![
        ("task", string("errand")),
        ("weekday", long(u64::from(moment.day))),
        ("minute", long(u64::from(moment.minute))),
    ]
}

fn record<const N: usize>(
    fields: [(&str, RestrictedExpression); N],
) -> Result<RestrictedExpression, Error> {
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
    Ok(RestrictedExpression::new_record(fields)?)
}

fn string(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn long(number: u64) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(number).unwrap_or(i64::MAX))
}

/// USDC has six digits, so its base units are millionths already.
fn micros(units: U256) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(units).unwrap_or(i64::MAX))
}
