//! What is fuzzed: one function for each text that somebody else writes. Each takes any bytes, and
//! panics only if what it calls does so, or breaks a law of that text.
//!
//! The fuzzer drives them (`fuzz_targets/`), and so does an ordinary test over the kept corpus
//! (`policies/tests/suite/corpus.rs`, which includes this file).

use alloy_primitives::{Address, B256, U256};
use marque_policies::{
    AssetId, Intent, Label, Ledger, Mark, Policy, Request, Resolved, Scope, Sources, Timestamp,
    Verdict, decide, diff, host as hosts,
    money::{format_units, parse_units},
    parse,
    parse::compile,
    read_aloud, render_table, run_tests,
    times::{Moment, Span},
};
use std::sync::OnceLock;

/// What stands between the parts of one input.
const CUT: &str = "%%\n";

/// A policy with something of everything in it.
const GROUND: &str = include_str!("ground.toml");

/// A function, and the name of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 7] = [
    ("amount", amount),
    ("bundle", bundle),
    ("forbid", forbid),
    ("host", host),
    ("policy", policy),
    ("span", span),
    ("verdict", verdict),
];

/// An amount: a byte for the asset's digits, and the text.
pub fn amount(data: &[u8]) {
    let Some((decimals, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let decimals = decimals % 78;
    let Ok(units) = parse_units(text, decimals) else { return };
    let written = format_units(units, decimals);
    assert_eq!(parse_units(&written, decimals), Ok(units), "{text:?} is written as {written:?}");
    let units = data.get(1..33).map_or(units, U256::from_be_slice);
    let written = format_units(units, decimals);
    assert_eq!(parse_units(&written, decimals), Ok(units), "{units} is written as {written:?}");
}

/// The one text that carries the documents.
pub fn bundle(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(sources) = Sources::read(text) {
        assert_eq!(sources.document(), text, "one set of documents has one text");
    }
}

/// A `policy.cedar`, beside a policy that knows the names it uses.
pub fn forbid(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    documents(Sources { policy: GROUND.to_owned(), owner: None, cedar: Some(text.to_owned()) });
}

/// A host against a pattern, a line each.
pub fn host(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, host) = text.split_once('\n').unwrap_or((text, text));
    let matches = hosts::matches(pattern, host);
    let upper = hosts::matches(&pattern.to_ascii_uppercase(), &host.to_ascii_uppercase());
    assert_eq!(matches, upper, "case does not matter");
    match pattern.strip_prefix("*.") {
        Some(base) => assert!(!hosts::matches(pattern, base), "a wildcard is never its own base"),
        None if host.starts_with("*.") => assert!(!matches, "a wildcard is no host"),
        None => assert_eq!(matches, hosts::matches(host, pattern), "two names are the same or not"),
    }
    assert!(!matches || !host.contains(['/', '@', ' ', '*', '#', '?', '\\']), "{host:?}");
}

/// The documents of a policy: `policy.toml`, and behind cuts `owner.toml` and `policy.cedar`.
pub fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.split(CUT);
    let mut part = || parts.next().map(str::to_owned);
    let policy = part().unwrap_or_default();
    documents(Sources { policy, owner: part(), cedar: part() });
}

/// A span of the week, or a point in it.
pub fn span(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(span) = Span::read(text) {
        assert_eq!(Span::read(&span.to_string()), Some(span), "{text:?} is written as {span}");
        let minutes = (0..7 * 1_440).filter(|minute| span.covers(*minute)).count();
        assert!(minutes > 0, "{span} covers nothing");
    }
    if let Some(moment) = Moment::read(text) {
        assert_eq!(moment.to_string(), text);
    }
}

/// An intent as a mind sends it, its ledger's mood in the first byte; behind a cut a policy of its
/// own.
pub fn verdict(data: &[u8]) {
    let Some((mood, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (intent, document) = text.split_once(CUT).unwrap_or((text, ""));
    let Ok(intent) = serde_json::from_str::<Intent>(intent) else { return };
    let written = serde_json::to_string(&intent).expect("an intent is always written");
    let read: Intent = serde_json::from_str(&written).expect("what was written is read");
    assert_eq!((read.body_hash(), &read), (intent.body_hash(), &intent), "{written}");
    match document {
        "" => judge(ground(), &intent, *mood),
        document => {
            if let Ok((policy, _)) = parse(document) {
                judge(&policy, &intent, *mood);
            }
        }
    }
}

/// Whatever can be read is read again as the same policy from its one text, and everything that
/// is done with a policy can be done with it.
fn documents(sources: Sources) {
    let (policy, warnings) = match compile(&sources) {
        Ok(read) => read,
        Err(error) => {
            let mistake = error.mistake();
            assert!(mistake.line > 0 && mistake.column > 0 && !mistake.message.is_empty());
            return;
        }
    };
    let (again, same) = parse(&sources.document()).expect("its one text is read as well");
    assert_eq!((&again, again.hash), (&policy, policy.hash), "the same policy");
    assert_eq!(warnings, same);
    assert!(diff(&policy, &again).changes.is_empty(), "a policy differs from itself");
    assert!(!read_aloud(&policy).is_empty());
    for result in run_tests(&policy) {
        assert!(render_table(&result.verdict).starts_with(['a', 'h', 'r']), "{}", result.name);
    }
    for intent in intents() {
        judge(&policy, intent, 1);
    }
}

/// Judges by every account, and as labels get worse.
fn judge(policy: &Policy, intent: &Intent, mood: u8) {
    let gas = (mood & 1 == 1).then(|| marque_policies::Money {
        units: U256::from(21_000),
        asset: AssetId::native(31_337),
    });
    let ledger = Mood(mood);
    let now = u64::from(mood).wrapping_mul(0x9e37_79b9) % 2_000_000_000_000;
    for sub_agent in [None, Some("helper"), Some("\u{0}")] {
        let ask = |intent: &Intent| {
            let request = Request { agent: "scout", sub_agent, task: "t", intent, gas };
            decide(policy, &request, &ledger, now)
        };
        let verdict = ask(intent);
        assert!(!verdict.table.is_empty());
        for label in [Label::Model, Label::Web("evil.example".to_owned())] {
            let worse = labelled(intent, label);
            // An approval is for one body; a label makes it another one.
            if mood & 2 == 0 {
                let verdict_then = ask(&worse);
                assert!(strictness(&verdict_then) >= strictness(&verdict), "a label has widened");
            }
        }
    }
}

fn strictness(verdict: &Verdict) -> u8 {
    let any = |mark| verdict.rules(mark).next().is_some();
    if any(Mark::Fail) { 2 } else { u8::from(any(Mark::Ask)) }
}

fn labelled(intent: &Intent, label: Label) -> Intent {
    let mut intent = intent.clone();
    match &mut intent {
        Intent::Tool(used) => used.labels.0.insert(label),
        Intent::Authorise(pay) => pay.labels.0.insert(label),
        Intent::PermitTransfer(pay) => pay.labels.0.insert(label),
        Intent::Transfer(pay) => pay.labels.0.insert(label),
        _ => false,
    };
    intent
}

fn ground() -> &'static Policy {
    static POLICY: OnceLock<Policy> = OnceLock::new();
    POLICY.get_or_init(|| match parse(GROUND) {
        Ok((policy, _)) => policy,
        Err(error) => panic!("{error}"),
    })
}

/// What every policy that is read is asked.
fn intents() -> &'static [Intent] {
    static INTENTS: OnceLock<Vec<Intent>> = OnceLock::new();
    INTENTS.get_or_init(|| {
        let asked = include_str!("intents.json");
        serde_json::from_str(asked).expect("the intents that every policy is asked are read")
    })
}

/// A ledger that says much, little or nothing, by the bits of one byte.
struct Mood(u8);

impl Mood {
    fn is(&self, bit: u8) -> bool {
        self.0 & (1 << bit) != 0
    }
}

impl Ledger for Mood {
    fn spent(&self, scope: Scope<'_>, _: AssetId, since: Timestamp) -> U256 {
        match (self.is(2), self.is(3)) {
            (true, true) => U256::MAX,
            (true, false) => U256::from(since % 1_000_000),
            (false, true) if scope == Scope::Pool => U256::from(50_000),
            _ => U256::ZERO,
        }
    }

    fn uses(&self, _: &str, _: Timestamp) -> u64 {
        if self.is(4) { u64::MAX } else { 1 }
    }

    fn bytes_out(&self, _: &str, _: Timestamp) -> u64 {
        if self.is(4) { u64::MAX } else { 1 }
    }

    fn approved(&self, body: B256) -> Option<Timestamp> {
        self.is(1).then(|| u64::from(body.0[0]))
    }

    fn pinned(&self, _: &str) -> Option<Address> {
        self.is(5).then_some(Address::repeat_byte(0x77))
    }

    fn resolved(&self, _: &str) -> Option<Resolved> {
        let (owner, wallet) = (Address::repeat_byte(0x3d), Address::repeat_byte(0x3c));
        self.is(6).then_some(Resolved { owner, wallet })
    }

    fn owes_delivery(&self, _: Address) -> bool {
        self.is(7)
    }

    fn agent_address(&self) -> Address {
        Address::repeat_byte(0x0b)
    }
}
