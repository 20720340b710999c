//! A journal for other programs: canonical entries in a line each, or a table for spreadsheets.
//!
//! Everything in an export is under the checkpoint with which it ends, and what is not under one is
//! left out. There is no key in a journal and none of our signatures before it is settled; the
//! table has no signatures at all. An entry is a row; one that tells of several transfers to an agent's
//! key is a row for each, so that each has its amount.
//!
//! INVARIANT: no cell of the table is a formula to a spreadsheet (pinned by
//! `no_cell_is_a_formula_and_every_cell_is_read_back`).

use super::{
    filter::verdict,
    known::{Asked, Known},
};
use alloy_primitives::{Address, B256};
use jiff::Timestamp as Time;
use marque_policies::{AssetId, Intent, Mark, Money, Row, money::format_units};
use marque_steward::{Body, Entry, Word, entry::Decided};
use marque_steward_client::Said;

/// The columns of the table, in order. New ones are added at the end only.
pub const COLUMNS: [&str; 26] = [
    "seq",
    "time",
    "agent",
    "word",
    "kind",
    "verdict",
    "intent",
    "task",
    "step",
    "ordinal",
    "attempt",
    "action",
    "payee",
    "to",
    "amount",
    "asset",
    "token",
    "units",
    "debited",
    "host",
    "resource",
    "transaction",
    "block",
    "policy_version",
    "rules",
    "note",
];

/// The first line of the table.
#[must_use]
pub fn head() -> String {
    COLUMNS.join(",")
}

/// An entry as lines of the table. `known` has learnt from it and all before.
#[must_use]
pub fn rows(entry: &Entry, known: &Known) -> Vec<String> {
    match &entry.body {
        Body::Received { upto, transfers, more } if !transfers.is_empty() || !more.is_empty() => {
            let named = transfers.iter().map(|it| {
                let note = format!("from {}", it.from);
                (it.token, it.value, it.block, Some(it.transaction), note)
            });
            let floods = more.iter().map(|it| {
                (it.token, it.value, *upto, None, format!("{} more transfers", it.count))
            });
            let row = |(token, value, block, transaction, note)| {
                let agent = entry.agent.as_deref().unwrap_or_default();
                let mut cells = Cells::of(entry, known);
                let asset = AssetId { chain: known.chain(), token };
                cells.money(Money::new(value, asset), agent, known);
                cells.to(known.key(agent));
                cells.set("block", block);
                cells.transaction(transaction);
                cells.set("note", note);
                cells.line()
            };
            named.chain(floods).map(row).collect()
        }
        _ => vec![Cells::of(entry, known).line()],
    }
}

/// The last line of the table: the checkpoint that all others are under, as the row after the last
/// that it covers.
#[must_use]
pub fn last_row(size: u64, checkpoint: &str) -> String {
    let mut cells = Cells::default();
    cells.set("seq", size);
    cells.set("kind", "checkpoint");
    cells.set("note", checkpoint);
    cells.line()
}

/// The last line of the canonical form.
#[must_use]
pub fn last_line(checkpoint: &str) -> String {
    serde_json::json!({ "checkpoint": checkpoint }).to_string()
}

/// UTC of a Unix time in milliseconds.
#[must_use]
pub fn time(at: u64) -> String {
    let time = i64::try_from(at).ok().and_then(|at| Time::from_millisecond(at).ok());
    time.map_or_else(|| format!("{at} ms"), |time| format!("{time:.3}"))
}

/// One line in the making.
#[derive(Default)]
struct Cells([String; COLUMNS.len()]);

impl Cells {
    /// What an entry says as a whole.
    fn of(entry: &Entry, known: &Known) -> Self {
        let asked = known.asked(entry);
        let agent = entry.agent.as_deref().unwrap_or_default();
        let mut cells = Cells::default();
        cells.set("seq", entry.seq);
        cells.set("time", time(entry.at));
        cells.set("agent", agent);
        cells.set(
            "word",
            match entry.word {
                Word::Attested => "attested",
                Word::Claimed => "claimed",
            },
        );
        cells.set("kind", entry.body.kind());
        cells.set("verdict", verdict(&entry.body).unwrap_or_default());
        if let Some(id) = entry.body.intent() {
            cells.set("intent", id);
        }
        if let Some(asked) = asked {
            cells.asked(asked, known);
        }
        cells.body(&entry.body, agent, known);
        cells
    }

    fn set(&mut self, column: &str, value: impl ToString) {
        let place = COLUMNS.iter().position(|known| *known == column);
        if let Some(cell) = place.and_then(|place| self.0.get_mut(place)) {
            *cell = value.to_string();
        }
    }

    fn asked(&mut self, asked: &Asked, known: &Known) {
        let Asked { agent, task, step, ordinal, attempt, intent, to } = asked;
        self.set("task", task);
        self.set("step", step);
        self.set("ordinal", ordinal);
        self.set("attempt", attempt);
        self.set("action", intent.kind());
        self.to(*to);
        match intent {
            Intent::Tool(tool) => {
                self.set("note", &tool.tool);
                if let Some(fetch) = &tool.fetch {
                    self.set("host", &fetch.host);
                    self.set("resource", format!("{} {}", fetch.method, fetch.path));
                }
            }
            Intent::Authorise(pay) => {
                self.set("payee", &pay.payee);
                self.set("to", pay.to);
                self.set("host", &pay.host);
                self.set("resource", &pay.resource);
                self.money(pay.amount, agent, known);
            }
            Intent::Transfer(pay) => {
                self.set("payee", &pay.payee);
                self.set("to", pay.to);
                self.money(pay.amount, agent, known);
            }
            Intent::PermitTransfer(pay) => {
                self.set("payee", &pay.payee);
                self.set("to", pay.to);
                self.set("host", &pay.host);
                self.set("resource", &pay.resource);
                self.money(pay.amount, agent, known);
            }
            Intent::Settle(settle) => {
                self.set("to", settle.to);
                self.set("resource", &settle.resource);
                self.set("note", format!("paid by {}", settle.from));
                self.money(settle.amount, agent, known);
            }
            Intent::SettlePermit(settle) => {
                self.set("to", settle.to);
                self.set("resource", &settle.resource);
                self.set("note", format!("paid by {}", settle.from));
                self.money(settle.charge, agent, known);
            }
            Intent::Sweep(sweep) => self.money(sweep.amount, agent, known),
            Intent::ApprovePermit2 { amount } | Intent::Refill { amount } => {
                self.money(*amount, agent, known);
            }
            _ => {}
        }
    }

    fn to(&mut self, to: Option<Address>) {
        if let Some(to) = to {
            self.set("to", to);
        }
    }

    fn transaction(&mut self, transaction: Option<B256>) {
        if let Some(transaction) = transaction {
            self.set("transaction", transaction);
        }
    }

    /// An exact decimal with the asset's name, and the same in base units with its contract.
    fn money(&mut self, money: Money, agent: &str, known: &Known) {
        if let Some((name, decimals)) = known.asset(agent, money.asset) {
            self.set("amount", format_units(money.units, decimals));
            self.set("asset", name);
        }
        self.set("token", money.asset);
        self.set("units", money.units);
    }

    fn body(&mut self, body: &Body, agent: &str, known: &Known) {
        let sum = |money: &[Money]| {
            let shown: Vec<_> = money.iter().map(|it| known.show(agent, *it)).collect();
            shown.join("; ")
        };
        match body {
            Body::Genesis(genesis) => self.set("note", format!("owner {}", genesis.owner)),
            Body::Enroll { key, .. } => self.set("note", format!("key {key}")),
            Body::Adopt { version, hash, .. } => {
                self.set("policy_version", version);
                self.set("note", hash);
            }
            Body::Approve { version, .. } => self.set("policy_version", version),
            Body::Frozen { by, reason, .. } => self.set("note", format!("{by}: {reason}")),
            Body::Rotate { owner, .. } => self.set("note", format!("owner {owner}")),
            Body::Thawed { frozen_at, .. } => self.set("note", format!("entry {frozen_at}")),
            Body::Refused(decided) | Body::Held(decided) => self.decided(decided),
            Body::Allowed(allowed) => {
                self.decided(&allowed.decided);
                self.set("debited", sum(&allowed.debits));
            }
            Body::Signed { hash, .. } => self.set("transaction", hash),
            Body::Seen { at, .. } => {
                self.set("transaction", at.transaction);
                self.set("block", at.block);
            }
            Body::Final { actual, .. } => self.set("debited", sum(actual)),
            Body::Reverted { at, actual, .. } => {
                self.set("transaction", at.transaction);
                self.set("block", at.block);
                self.set("debited", sum(actual));
            }
            Body::Cancelled { at, .. } => {
                self.set("transaction", at.transaction);
                self.set("block", at.block);
            }
            Body::Replaced { max_fee, .. } => {
                self.set("note", format!("at most {max_fee} wei a unit of gas"));
            }
            Body::Released { why, .. } | Body::Filled { why, .. } => self.set("note", why),
            Body::Received { upto, .. } => self.set("block", upto),
            Body::Scanned { block, .. } => self.set("block", block),
            Body::Checkpointed { state, .. } => self.set("note", state),
            Body::Expired { block, .. } => self.set("block", block),
            Body::Noted { task, step, what, commitment } => {
                self.set("task", task);
                self.set("step", step);
                self.set("note", format!("{what} {commitment}"));
            }
            Body::Reported { said, .. } => self.set(
                "note",
                match said {
                    Said::Settled { transaction, .. } => format!("settled in {transaction}"),
                    Said::Signed { what, hash, .. } => format!("signed {what} {hash}"),
                    Said::Delivered { body } => format!("delivered {body}"),
                    Said::Undelivered { why } => format!("not delivered: {why}"),
                },
            ),
            Body::Contradicted { claimed, found, .. } => {
                let found = found.map_or_else(|| "none".to_owned(), |hash| hash.to_string());
                self.set("transaction", found);
                self.set("note", format!("the seller named {claimed}"));
            }
            Body::Started { version, missing, .. } if missing.is_empty() => {
                self.set("note", format!("version {version}"));
            }
            Body::Started { version, missing, .. } => {
                self.set("note", format!("version {version} without {}", missing.join(", ")));
            }
            Body::IndexRebuilt { why } => self.set("note", why),
            Body::Recovered { cut, unsigned, .. } => {
                self.set("note", format!("{cut} bytes cut off, {unsigned} entries unsigned"));
            }
            _ => {}
        }
    }

    fn decided(&mut self, decided: &Decided) {
        self.set("policy_version", decided.version);
        let stopped = decided.table.iter().filter(|row| row.mark != Mark::Pass);
        let rules: Vec<&str> = stopped.map(|row: &Row| row.rule.as_str()).collect();
        self.set("rules", rules.join("; "));
    }

    fn line(self) -> String {
        self.0.map(|cell| quote(&cell)).join(",")
    }
}

/// A cell as RFC 4180 writes it. A spreadsheet takes what begins with one of these signs, blanks
/// before it or not, for a formula; an apostrophe in front makes it a text.
fn quote(text: &str) -> String {
    let first = text.trim_start().chars().next();
    let formula = first.is_some_and(|first| "=+-@|%＝＋－＠".contains(first))
        || text.starts_with(['\t', '\r', '\n']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r', '\'']) || formula {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4180, for the tests alone.
    fn cells(line: &str) -> Vec<String> {
        let (mut cells, mut quoted) = (vec![String::new()], false);
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            let cell = cells.last_mut().unwrap();
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => cell.push(chars.next().unwrap()),
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                c => cell.push(c),
            }
        }
        cells
    }

    #[test]
    fn no_cell_is_a_formula_and_every_cell_is_read_back() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1", "\n=1", "|calc", "＝1"]
        {
            let read = cells(&quote(text));
            assert_eq!(read, [format!("'{text}")], "{text:?}");
        }
        for text in
            ["", "0.02", "it's", "a,b", "say \"=1\"", "two\nlines", "https://x.example/?a=1"]
        {
            assert_eq!(cells(&quote(text)), [text], "{text:?}");
        }
    }

    #[test]
    fn a_line_has_every_column_and_times_are_exact() {
        let mut cells_of = Cells::default();
        cells_of.set("note", "=HYPERLINK(\"x\")");
        cells_of.set("seq", 7);
        let read = cells(&cells_of.line());
        assert_eq!(read.len(), COLUMNS.len());
        assert_eq!((read[0].as_str(), read[25].as_str()), ("7", "'=HYPERLINK(\"x\")"));
        assert_eq!(time(1_800_000_000_007), "2027-01-15T08:00:00.007Z");
        assert_eq!(cells(&last_row(3, "a\nb\n")).len(), COLUMNS.len());
    }
}
