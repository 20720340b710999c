//! What a forbid can look at: the facts of one proposal, counted exactly and then made readable.
//!
//! Nothing is optional, so that no forbid is skipped for something that is missing. Cedar counts
//! with 64 bits: amounts are told in millionths of a unit, rounded up, and the largest number
//! stands for all above it. The exact sums stay in the ledger; what follows from them comes as
//! booleans. Only what some forbid looks at is counted at all.
//!
//! INVARIANT: the facts fit the published schema (pinned by `tests::facts_fit_the_schema`).

use crate::{
    decide::{Request, since},
    document::{DAY, DAYS30, HOUR, Limits, Policy},
    host::Host,
    intent::{
        Authorise, Intent, Label, Labels, PermitTransfer, Settle, SettlePermit, ToolUse, Transfer,
    },
    ledger::{Ledger, Scope, Timestamp},
    money::Money,
    times::Moment,
};
use alloy_primitives::{Address, U256};
use cedar_policy::{Context, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use std::collections::{BTreeMap, BTreeSet};

/// Which parts of the context are looked at: attributes, and the parts of those that have parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted(BTreeMap<String, BTreeSet<String>>);

impl Wanted {
    pub(super) fn add(&mut self, attribute: &str, part: Option<&str>) {
        let parts = self.0.entry(attribute.to_owned()).or_default();
        parts.extend(part.map(str::to_owned));
    }

    pub(super) fn join(&mut self, other: &Self) {
        for (attribute, parts) in &other.0 {
            self.0.entry(attribute.clone()).or_default().extend(parts.iter().cloned());
        }
    }

    pub(super) fn has(&self, attribute: &str) -> bool {
        self.0.contains_key(attribute)
    }
}

/// The action that an intent is to Cedar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Pay,
    Use,
    Collect,
}

impl Action {
    pub(super) const ALL: [Self; 3] = [Self::Pay, Self::Use, Self::Collect];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pay => "pay",
            Self::Use => "use",
            Self::Collect => "collect",
        }
    }
}

/// One proposal, as Cedar sees it.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    policy: &'a Policy,
    request: &'a Request<'a>,
    ledger: &'a dyn Ledger,
    now: Timestamp,
    what: What<'a>,
}

#[derive(Clone, Copy, Debug)]
enum What<'a> {
    Pay(Payment<'a>),
    Use(&'a ToolUse),
    Collect(Collected<'a>),
}

/// What is taken from a payer.
#[derive(Clone, Copy, Debug)]
struct Collected<'a> {
    amount: Money,
    resource: &'a str,
}

/// Who asks for a payment, and for what.
#[derive(Clone, Copy, Debug)]
struct Asked<'a> {
    host: &'a str,
    resource: &'a str,
}

#[derive(Clone, Copy, Debug)]
struct Payment<'a> {
    payee: &'a str,
    to: Address,
    amount: Money,
    /// Fees that leave the same budget.
    fees: U256,
    asked: Option<Asked<'a>>,
    labels: &'a Labels,
}

impl<'a> Facts<'a> {
    /// `None` for what forbids have no say in: the return of money, what pays nobody, and what the
    /// owner is asked about anyway.
    pub(super) fn of(
        policy: &'a Policy,
        request: &'a Request<'a>,
        ledger: &'a dyn Ledger,
        now: Timestamp,
    ) -> Option<Self> {
        let what = match request.intent {
            Intent::Authorise(Authorise { payee, to, amount, host, resource, labels })
            | Intent::PermitTransfer(PermitTransfer {
                payee,
                to,
                amount,
                host,
                resource,
                labels,
                via: _,
            }) => What::Pay(Payment {
                payee,
                to: *to,
                amount: *amount,
                fees: U256::ZERO,
                asked: Some(Asked { host, resource }),
                labels,
            }),
            Intent::Transfer(Transfer { payee, to, amount, labels }) => {
                let shared = request.gas.filter(|gas| gas.asset == amount.asset);
                let fees = shared.map_or(U256::ZERO, |gas| gas.units);
                What::Pay(Payment { payee, to: *to, amount: *amount, fees, asked: None, labels })
            }
            Intent::Tool(used) => What::Use(used),
            Intent::Settle(Settle { amount, resource, .. })
            | Intent::SettlePermit(SettlePermit { charge: amount, resource, .. }) => {
                What::Collect(Collected { amount: *amount, resource })
            }
            Intent::AcceptWallet(_)
            | Intent::Sweep(_)
            | Intent::Cancel(_)
            | Intent::InvalidatePermit { .. }
            | Intent::ApprovePermit2 { .. }
            | Intent::Refill { .. } => return None,
        };
        Some(Self { policy, request, ledger, now, what })
    }

    pub(super) const fn agent(&self) -> &'a str {
        self.request.agent
    }

    pub(super) const fn action(&self) -> Action {
        match self.what {
            What::Pay(_) => Action::Pay,
            What::Use(_) => Action::Use,
            What::Collect(_) => Action::Collect,
        }
    }

    /// What is acted upon, and the category it is in.
    pub(super) fn resource(&self) -> (&'static str, &'a str, Option<&'a str>) {
        match self.what {
            What::Pay(pay) => {
                let payee = self.policy.payees.get(pay.payee);
                ("Payee", pay.payee, payee.and_then(|payee| payee.category.as_deref()))
            }
            What::Use(used) => ("Tool", &used.tool, None),
            What::Collect(taken) => ("Asset", self.asset(taken.amount), None),
        }
    }

    /// The classes of the labels that were reported; `None` for an action that has no labels.
    pub(super) fn labels(&self) -> Option<BTreeSet<&'static str>> {
        let labels = match self.what {
            What::Pay(pay) => pay.labels,
            What::Use(used) => &used.labels,
            What::Collect(_) => return None,
        };
        let class = |label: &Label| match label {
            Label::Owner | Label::Policy | Label::Chain => None,
            Label::Web(_) => Some("web"),
            Label::Peer(_) => Some("peer"),
            Label::Memory => Some("memory"),
            Label::Model => Some("model"),
        };
        Some(labels.0.iter().filter_map(class).collect())
    }

    /// The facts that are wanted, `labels` apart. One that this action does not have is left out: a
    /// forbid that looks at it all the same errs, and so forbids.
    pub(super) fn tell(&self, wanted: &Wanted) -> Vec<(String, RestrictedExpression)> {
        let wanted = wanted.0.iter().filter(|(attribute, _)| *attribute != "labels");
        wanted
            .filter_map(|(attribute, parts)| {
                let value = self.general(attribute).or_else(|| match self.what {
                    What::Pay(pay) => self.payment(&pay, attribute, parts),
                    What::Use(used) => tool_use(used, attribute),
                    What::Collect(taken) => self.settlement(taken, attribute),
                });
                Some((attribute.clone(), value?))
            })
            .collect()
    }

    /// What has to do with who proposes, and when.
    fn general(&self, attribute: &str) -> Option<RestrictedExpression> {
        let moment = Moment::of(self.now);
        Some(match attribute {
            "now" => datetime(self.now),
            "weekday" => long(moment.day),
            "minute" => long(moment.minute),
            "task" => text(self.request.task),
            "sub_agent" => text(self.request.sub_agent.unwrap_or_default()),
            _ => return None,
        })
    }

    fn payment(
        &self,
        pay: &Payment<'_>,
        attribute: &str,
        parts: &BTreeSet<String>,
    ) -> Option<RestrictedExpression> {
        let asset = pay.amount.asset;
        let to_payee =
            |width| self.ledger.spent(Scope::Payee(pay.to), asset, since(self.now, width));
        let host = || pay.asked.map(|asked| host(asked.host)).unwrap_or_default();
        Some(match attribute {
            "asset" => text(self.asset(pay.amount)),
            "amount_micros" => self.micros(pay.amount, pay.amount.units),
            "known" => yes(self.policy.payees.contains_key(pay.payee)),
            "host" => text(host()),
            "resource" => text(pay.asked.map_or("", |asked| asked.resource)),
            "transaction" => yes(pay.asked.is_none()),
            "first_payment" => yes(to_payee(None).is_zero()),
            "delivers" => yes(!self.ledger.owes_delivery(pay.to)),
            "payee_day" => self.micros(pay.amount, to_payee(Some(DAY))),
            "payee_total" => self.micros(pay.amount, to_payee(None)),
            "fits" => record(parts, |part| self.fits(pay, part).map(yes))?,
            "spent" => record(parts, |part| {
                let spent = self.spent(pay.amount, width(part)?);
                Some(self.micros(pay.amount, spent))
            })?,
            _ => return None,
        })
    }

    fn settlement(&self, taken: Collected<'_>, attribute: &str) -> Option<RestrictedExpression> {
        Some(match attribute {
            "asset" => text(self.asset(taken.amount)),
            "amount_micros" => self.micros(taken.amount, taken.amount.units),
            "resource" => text(taken.resource),
            _ => return None,
        })
    }

    /// Whether a payment is within one of the agent's own limits.
    fn fits(&self, pay: &Payment<'_>, kind: &str) -> Option<bool> {
        let limits = self.policy.limits.get(&pay.amount.asset).copied().unwrap_or_default();
        let Limits { payment, hour, day, days30, total, ask_above: _, ask_above_day: _ } = limits;
        let limit = match kind {
            "payment" => {
                return Some(payment.is_none_or(|limit| pay.amount.units <= limit));
            }
            "hour" => hour,
            "day" => day,
            "days30" => days30,
            "total" => total,
            _ => return None,
        };
        let Some(limit) = limit else { return Some(true) };
        let spent = self.spent(pay.amount, width(kind)?);
        let sum = spent.checked_add(pay.amount.units).and_then(|sum| sum.checked_add(pay.fees));
        Some(sum.is_some_and(|sum| sum <= limit))
    }

    fn spent(&self, amount: Money, width: Option<u64>) -> U256 {
        self.ledger.spent(Scope::Agent, amount.asset, since(self.now, width))
    }

    fn asset(&self, amount: Money) -> &'a str {
        self.policy.asset(amount.asset).map_or("", |(name, _)| name)
    }

    fn micros(&self, of: Money, units: U256) -> RestrictedExpression {
        // An asset that the policy does not know is refused by other rules.
        let decimals = self.policy.asset(of.asset).map_or(0, |(_, asset)| asset.decimals);
        RestrictedExpression::new_long(micros(units, decimals))
    }
}

fn tool_use(used: &ToolUse, attribute: &str) -> Option<RestrictedExpression> {
    let fetch = used.fetch.as_ref();
    Some(match attribute {
        "fetches" => yes(fetch.is_some()),
        "host" => text(fetch.map(|fetch| host(&fetch.host)).unwrap_or_default()),
        "method" => text(fetch.map(|fetch| fetch.method.to_ascii_uppercase()).unwrap_or_default()),
        "path" => text(fetch.map_or("", |fetch| fetch.path.as_str())),
        "bytes_out" => {
            let bytes = fetch.map_or(0, |fetch| fetch.bytes_out);
            RestrictedExpression::new_long(i64::try_from(bytes).unwrap_or(i64::MAX))
        }
        _ => return None,
    })
}

/// Millionths of a unit, rounded up; the largest number stands for all above it.
pub(super) fn micros(units: U256, decimals: u8) -> i64 {
    const MICRO: u8 = 6;
    let ten = |digits: u8| U256::from(10).checked_pow(U256::from(digits));
    let micros = if decimals <= MICRO {
        units.saturating_mul(ten(MICRO - decimals).unwrap_or(U256::MAX))
    } else {
        // A divisor past 2^256 is above any amount.
        units.div_ceil(ten(decimals - MICRO).unwrap_or(U256::MAX))
    };
    i64::try_from(micros).unwrap_or(i64::MAX)
}

/// A host in the one way in which it is written: whoever asks cannot dodge a forbid by its spelling.
fn host(text: &str) -> String {
    Host::read(text).map_or_else(|| text.to_ascii_lowercase(), |host| host.text())
}

/// How wide the window of this name is; `total` has no width.
fn width(kind: &str) -> Option<Option<u64>> {
    match kind {
        "hour" => Some(Some(HOUR)),
        "day" => Some(Some(DAY)),
        "days30" => Some(Some(DAYS30)),
        "total" => Some(None),
        _ => None,
    }
}

/// A point in time in Cedar's words, which end with the year 9999; that stands for all after it.
fn datetime(now: Timestamp) -> RestrictedExpression {
    const LAST: Timestamp = 253_402_300_799_999;
    let now = now.min(LAST);
    let (mut year, mut days) = (1970, now / DAY);
    let length = |year: u64| 365 + u64::from(is_leap(year));
    while days >= length(year) {
        days -= length(year);
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (seconds, millis) = (now % DAY / 1_000, now % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let day = days + 1;
    RestrictedExpression::new_datetime(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
    ))
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn record(
    parts: &BTreeSet<String>,
    value: impl Fn(&str) -> Option<RestrictedExpression>,
) -> Option<RestrictedExpression> {
    let fields: Option<Vec<_>> =
        parts.iter().map(|part| Some((part.clone(), value(part)?))).collect();
    RestrictedExpression::new_record(fields?).ok()
}

fn text(text: impl Into<String>) -> RestrictedExpression {
    RestrictedExpression::new_string(text.into())
}

fn yes(yes: bool) -> RestrictedExpression {
    RestrictedExpression::new_bool(yes)
}

fn long(number: impl Into<i64>) -> RestrictedExpression {
    RestrictedExpression::new_long(number.into())
}

/// An entity of this kind and name.
pub(super) fn entity(kind: &EntityTypeName, name: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(name))
}

/// The context of a case with these labels.
pub(super) fn context(
    facts: &[(String, RestrictedExpression)],
    labels: Option<&BTreeSet<&str>>,
) -> Result<Context, String> {
    let set = |labels: &BTreeSet<&str>| {
        RestrictedExpression::new_set(labels.iter().map(|label| text(*label)))
    };
    let labels = labels.map(|labels| ("labels".to_owned(), set(labels)));
    let pairs = facts.iter().cloned().chain(labels);
    Context::from_pairs(pairs).map_err(|error| error.to_string())
}
