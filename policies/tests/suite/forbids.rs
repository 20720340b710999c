//! A handful of Cedar forbids and what each of them means, in plain Rust over plain facts.

use crate::{
    sketch::{Sketch, TOOLS},
    support::Dice,
};
use marque_policies::document::DAY;
use std::fmt;

/// Which Cedar action an intent is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verb {
    #[default]
    Pay,
    Use,
    Collect,
}

/// What a forbid can see of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) verb: Verb,
    pub(crate) now: u64,
    pub(crate) task: &'a str,
    pub(crate) sub_agent: &'a str,
    /// A bit for each of `CLASSES`.
    pub(crate) labels: u8,
    /// Of the payee or tool; the asset that is collected.
    pub(crate) name: &'a str,
    pub(crate) category: Option<&'a str>,
    pub(crate) asset: &'a str,
    pub(crate) micros: i64,
    pub(crate) known: bool,
    pub(crate) host: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) transaction: bool,
    pub(crate) first: bool,
    pub(crate) delivers: bool,
    /// payment, hour, day, days30, total
    pub(crate) fits: [bool; 5],
    /// hour, day, days30, total
    pub(crate) spent: [i64; 4],
    pub(crate) payee_day: i64,
    pub(crate) payee_total: i64,
    pub(crate) fetches: bool,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) bytes_out: u64,
}

impl Facts<'_> {
    /// From 0 for Monday. [`crate::support::NOW`] and the epoch are known: a Thursday.
    fn weekday(&self) -> u64 {
        (self.now / DAY + 3) % 7
    }

    fn minute(&self) -> u64 {
        self.now % DAY / 60_000
    }

    fn from(&self, class: u8) -> bool {
        self.labels & (1 << class) != 0
    }
}

const WEB: u8 = 0;
const PEER: u8 = 1;
const MEMORY: u8 = 2;
const MODEL: u8 = 3;

/// What a template names beside itself.
#[derive(Clone, Copy, Debug)]
enum Names {
    Nothing,
    Payee(&'static str),
    Category(&'static str),
    Tool(&'static str),
    SubAgent(&'static str),
}

type Meaning = fn(&Facts<'_>, i64) -> bool;

pub(crate) struct Template {
    actions: &'static [Verb],
    names: Names,
    text: &'static str,
    holds: Meaning,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

const PAY: &[Verb] = &[Verb::Pay];
const USE: &[Verb] = &[Verb::Use];
const COLLECT: &[Verb] = &[Verb::Collect];
const PAY_USE: &[Verb] = &[Verb::Pay, Verb::Use];
const ALL: &[Verb] = &[Verb::Pay, Verb::Use, Verb::Collect];

const fn template(actions: &'static [Verb], text: &'static str, holds: Meaning) -> Template {
    Template { actions, names: Names::Nothing, text, holds }
}

const fn naming(
    actions: &'static [Verb],
    names: Names,
    text: &'static str,
    holds: Meaning,
) -> Template {
    Template { actions, names, text, holds }
}

/// `N` stands for a small number.
pub(crate) const TEMPLATES: &[Template] = &[
    template(PAY, "when { context.amount_micros > N }", |f, n| f.micros > n),
    template(PAY, "when { context.asset == \"USDC\" && context.amount_micros >= N }", |f, n| {
        f.asset == "USDC" && f.micros >= n
    }),
    template(PAY, "when { context.asset == \"ETH\" || context.asset == \"EURT\" }", |f, _| {
        f.asset == "ETH" || f.asset == "EURT"
    }),
    template(PAY, "unless { context.known }", |f, _| !f.known),
    template(PAY, "when { context.host like \"*.gov\" }", |f, _| f.host.ends_with(".gov")),
    template(PAY, "when { context.host == \"feed.example\" }", |f, _| f.host == "feed.example"),
    template(PAY, "when { context.host == \"\" && !context.transaction }", |f, _| {
        f.host.is_empty() && !f.transaction
    }),
    template(PAY, "when { context.transaction && context.amount_micros > N }", |f, n| {
        f.transaction && f.micros > n
    }),
    template(PAY, "when { context.resource like \"*secret*\" }", |f, _| {
        f.resource.contains("secret")
    }),
    template(PAY, "when { context.labels.contains(\"web\") }", |f, _| f.from(WEB)),
    template(
        PAY,
        "when { context.labels.containsAny([\"peer\", \"model\"]) && context.amount_micros > N }",
        |f, n| (f.from(PEER) || f.from(MODEL)) && f.micros > n,
    ),
    template(
        PAY,
        "when { context.labels.contains(\"memory\") } unless { context.labels.contains(\"web\") }",
        |f, _| f.from(MEMORY) && !f.from(WEB),
    ),
    template(PAY, "when { context.labels.isEmpty() && context.amount_micros > N }", |f, n| {
        f.labels == 0 && f.micros > n
    }),
    template(PAY, "when { context.first_payment && context.amount_micros > N }", |f, n| {
        f.first && f.micros > n
    }),
    template(PAY, "unless { context.delivers }", |f, _| !f.delivers),
    template(PAY, "unless { context.fits.payment && context.fits.hour }", |f, _| {
        !(f.fits[0] && f.fits[1])
    }),
    template(PAY, "unless { context.fits.day }", |f, _| !f.fits[2]),
    template(PAY, "unless { context.fits.days30 && context.fits.total }", |f, _| {
        !(f.fits[3] && f.fits[4])
    }),
    template(PAY, "when { context.spent.hour > N || context.spent.day > N }", |f, n| {
        f.spent[0] > n || f.spent[1] > n
    }),
    template(PAY, "when { context.spent.days30 > N && context.spent.total > N }", |f, n| {
        f.spent[2] > n && f.spent[3] > n
    }),
    template(PAY, "when { context.payee_day > N }", |f, n| f.payee_day > n),
    template(PAY, "when { context.payee_total > N }", |f, n| f.payee_total > n),
    template(PAY, "when { if context.known then context.payee_day > N else true }", |f, n| {
        !f.known || f.payee_day > n
    }),
    naming(PAY, Names::Payee("a"), "resource == Payee::\"a\"", |f, _| f.name == "a"),
    naming(
        PAY,
        Names::Payee("b"),
        "unless { resource == Payee::\"b\" || context.amount_micros < N }",
        |f, n| !(f.name == "b" || f.micros < n),
    ),
    naming(PAY, Names::Category("data"), "resource in Category::\"data\"", |f, _| {
        f.category == Some("data")
    }),
    naming(
        PAY,
        Names::Category("compute"),
        "unless { resource in Category::\"compute\" }",
        |f, _| f.category != Some("compute"),
    ),
    template(PAY_USE, "when { context.sub_agent != \"\" }", |f, _| !f.sub_agent.is_empty()),
    naming(
        PAY_USE,
        Names::SubAgent("helper"),
        "when { context.sub_agent == \"helper\" && context.labels.contains(\"web\") }",
        |f, _| f.sub_agent == "helper" && f.from(WEB),
    ),
    template(PAY_USE, "when { context.labels.contains(\"peer\") }", |f, _| f.from(PEER)),
    template(ALL, "when { context.weekday >= 5 }", |f, _| f.weekday() >= 5),
    template(ALL, "when { context.minute < 480 || context.minute >= 1200 }", |f, _| {
        f.minute() < 480 || f.minute() >= 1_200
    }),
    template(ALL, "when { context.now.toTime() < duration(\"6h\") }", |f, _| {
        f.now % DAY < 6 * 3_600_000
    }),
    template(ALL, "unless { context.now < datetime(\"1971-02-08T12:00:00Z\") }", |f, _| {
        f.now >= 403 * DAY + DAY / 2
    }),
    template(ALL, "when { context.task == \"errand\" }", |f, _| f.task == "errand"),
    template(USE, "when { context.fetches && context.method != \"GET\" }", |f, _| {
        f.fetches && f.method != "GET"
    }),
    template(
        USE,
        "when { context.host like \"*.gov\" && context.path like \"/private*\" }",
        |f, _| f.host.ends_with(".gov") && f.path.starts_with("/private"),
    ),
    template(USE, "when { context.bytes_out > N }", |f, n| f.bytes_out > n.unsigned_abs()),
    naming(USE, Names::Tool("fetch"), "resource == Tool::\"fetch\"", |f, _| f.name == TOOLS[0]),
    template(USE, "when { context.labels.containsAll([\"web\", \"model\"]) }", |f, _| {
        f.from(WEB) && f.from(MODEL)
    }),
    template(COLLECT, "when { context.amount_micros > N }", |f, n| f.micros > n),
    template(COLLECT, "when { context.asset == \"EURT\" }", |f, _| f.asset == "EURT"),
    template(COLLECT, "when { context.resource like \"*secret*\" }", |f, _| {
        f.resource.contains("secret")
    }),
];

/// One forbid of a sketch.
#[derive(Clone, Debug)]
pub(crate) struct Forbid {
    template: usize,
    number: u64,
    id: Option<u64>,
}

impl Forbid {
    pub(crate) fn random(dice: &mut Dice, at: u64) -> Self {
        Self {
            template: dice.below(TEMPLATES.len() as u64) as usize,
            number: dice.below(12),
            id: dice.percent(60).then_some(at),
        }
    }

    fn template(&self) -> &'static Template {
        &TEMPLATES[self.template]
    }

    /// Whether all that it names is in the sketch.
    pub(crate) fn fits(&self, sketch: &Sketch) -> bool {
        match self.template().names {
            Names::Nothing => true,
            Names::Payee(name) => sketch.payee(name).is_some(),
            Names::Category(name) => {
                sketch.categories.iter().any(|category| category.name == name)
                    || sketch.payees.iter().any(|payee| payee.category == Some(name))
            }
            Names::Tool(name) => sketch.tools.iter().any(|tool| tool.name == name),
            Names::SubAgent(name) => sketch.subs.iter().any(|sub| sub.name == name),
        }
    }

    pub(crate) fn text(&self) -> String {
        let Template { actions, text, .. } = self.template();
        let id = self.id.map_or(String::new(), |id| format!("@id(\"no-{id}\")\n"));
        let action = |verb: &Verb| match verb {
            Verb::Pay => "Action::\"pay\"",
            Verb::Use => "Action::\"use\"",
            Verb::Collect => "Action::\"collect\"",
        };
        let action = match actions {
            [one] => format!("action == {}", action(one)),
            [one, other] => format!("action in [{}, {}]", action(one), action(other)),
            _ => "action".to_owned(),
        };
        let text = text.replace(" N", &format!(" {}", self.number));
        match text.strip_prefix("resource") {
            Some(_) => format!("{id}forbid(principal, {action}, {text});\n"),
            None => format!("{id}forbid(principal, {action}, resource) {text};\n"),
        }
    }

    /// Its name in rules, at this place of the file.
    pub(crate) fn name(&self, at: usize) -> String {
        self.id.map_or_else(|| format!("cedar.{}", at + 1), |id| format!("cedar.no-{id}"))
    }

    pub(crate) fn concerns(&self, verb: Verb) -> bool {
        self.template().actions.contains(&verb)
    }

    /// Whether it applies with the labels that were reported, or with fewer of them.
    pub(crate) fn applies(&self, facts: &Facts<'_>) -> bool {
        let number = i64::try_from(self.number).unwrap();
        (0..16u8)
            .filter(|fewer| fewer & facts.labels == *fewer)
            .any(|labels| (self.template().holds)(&Facts { labels, ..facts.clone() }, number))
    }
}
