//! Entries in words. What a mind or a counterparty said is made harmless for a terminal.

use crate::story::{harmless, reasons, short};
use marque::audit::Known;
use marque_policies::{AssetId, Decision, Intent, Mark, Money, Row, Sources, Verdict};
use marque_steward::{
    Body, Entry, Word,
    entry::{Decided, Flood, Received},
};
use marque_steward_client::Said;

/// What a rule measured and its limit take up of a line together, at most.
const ROOM: usize = 60;

/// An entry as a line.
pub(crate) fn line(entry: &Entry, known: &Known) -> String {
    let word = match entry.word {
        Word::Attested => ' ',
        Word::Claimed => '?',
    };
    let agent = entry.agent.as_deref().unwrap_or("-");
    let what = harmless(&what(entry, known));
    format!("{:>5} {} {word} {agent:<8} {what}", entry.seq, clock(entry.at))
}

/// An entry in full, a line each.
pub(super) fn whole(entry: &Entry, known: &Known) -> Vec<String> {
    let mut lines = vec![line(entry, known)];
    let mut say = |name: &str, value: String| {
        lines.push(format!("  {name:<9} {}", harmless(&value)));
    };
    say("kind", entry.body.kind().to_owned());
    say(
        "word",
        match entry.word {
            Word::Attested => "attested: decided or seen by the steward, or signed by the owner",
            Word::Claimed if matches!(entry.body, Body::Frozen { .. }) => {
                "claimed: whoever spoke on the agent's socket says so, its mind or its owner"
            }
            Word::Claimed => "claimed: a mind says so",
        }
        .to_owned(),
    );
    if let Some(id) = entry.body.intent() {
        say("intent", id.to_string());
    }
    if let Some(asked) = known.asked(entry) {
        say(
            "task",
            format!(
                "{}, step {}, ordinal {}, attempt {}",
                asked.task, asked.step, asked.ordinal, asked.attempt
            ),
        );
        asked_for(&asked.intent, &asked.agent, known)
            .into_iter()
            .for_each(|(name, value)| say(name, value));
    }
    match &entry.body {
        Body::Refused(decided) | Body::Held(decided) => table(decided, &mut lines),
        Body::Allowed(allowed) => {
            let agent = entry.agent.as_deref().unwrap_or_default();
            let debits: Vec<_> = allowed.debits.iter().map(|it| known.show(agent, *it)).collect();
            if !debits.is_empty() {
                say("reserved", debits.join(" and "));
            }
            table(&allowed.decided, &mut lines);
        }
        Body::Seen { at, .. } => {
            say("block", format!("{}, {}", at.block, at.block_hash));
            say("tx", at.transaction.to_string());
        }
        Body::Final { actual, .. } | Body::Reverted { actual, .. } => {
            let agent = entry.agent.as_deref().unwrap_or_default();
            let actual: Vec<_> = actual.iter().map(|it| known.show(agent, *it)).collect();
            say("debited", actual.join(" and "));
        }
        Body::Adopt { document, .. } => {
            // The owner's own words, line by line.
            lines.extend(document.lines().map(|line| format!("    {}", harmless(line))));
        }
        _ => {}
    }
    lines
}

fn table(decided: &Decided, lines: &mut Vec<String>) {
    lines.push(format!("  {:<9} version {}, {}", "policy", decided.version, decided.policy));
    let verdict = Verdict { table: decided.table.clone() };
    lines.push(format!(
        "  {}",
        match verdict.decision() {
            Decision::Allow => "allowed",
            Decision::Hold => "held for the owner",
            Decision::Refuse => "refused",
        }
    ));
    let widest = verdict.table.iter().map(|row| row.rule.chars().count()).max().unwrap_or(0);
    for Row { rule, measured, limit, mark, mend } in &verdict.table {
        let mark = match mark {
            Mark::Pass => "pass",
            Mark::Ask => "ask ",
            Mark::Fail => "FAIL",
        };
        let (rule, measured, limit) = (harmless(rule), harmless(measured), harmless(limit));
        let head = format!("    {mark}  {rule:<widest$}  ");
        // Addresses are long: below each other they can be compared.
        if measured.chars().count() + limit.chars().count() > ROOM {
            lines.push(format!("{head}{measured}"));
            lines.push(format!("{:>place$}{limit}", "limit ", place = head.chars().count()));
        } else {
            lines.push(format!("{head}{measured}, limit {limit}"));
        }
        if let Some(mend) = mend {
            lines.push(format!("{:place$}{}", "", harmless(mend), place = head.chars().count()));
        }
    }
}

/// What an intent asks for, field by field.
fn asked_for(intent: &Intent, agent: &str, known: &Known) -> Vec<(&'static str, String)> {
    match intent {
        Intent::Tool(tool) => {
            let fetch = tool.fetch.as_ref().map(|fetch| {
                format!("{} {}{}, {} bytes", fetch.method, fetch.host, fetch.path, fetch.bytes_out)
            });
            let given = tool.arguments.iter().map(|(name, value)| {
                (
                    "argument",
                    format!("{name} = {}", serde_json::to_string(value).unwrap_or_default()),
                )
            });
            std::iter::once(("tool", tool.tool.clone()))
                .chain(fetch.map(|fetch| ("request", fetch)))
                .chain(given)
                .collect()
        }
        Intent::Authorise(pay) => vec![
            ("amount", known.show(agent, pay.amount)),
            ("payee", format!("{} at {}", pay.payee, pay.to)),
            ("asked by", pay.host.clone()),
            ("resource", pay.resource.clone()),
        ],
        Intent::Transfer(pay) => vec![
            ("amount", known.show(agent, pay.amount)),
            ("payee", format!("{} at {}", pay.payee, pay.to)),
        ],
        Intent::Settle(settle) => vec![
            ("amount", known.show(agent, settle.amount)),
            ("payer", settle.from.to_string()),
            ("resource", settle.resource.clone()),
        ],
        Intent::Sweep(sweep) => vec![("amount", known.show(agent, sweep.amount))],
        Intent::AcceptWallet(accept) => {
            vec![("identity", format!("{} in registry {}", accept.agent_id, accept.registry))]
        }
        Intent::Cancel(cancel) => vec![("takes back", cancel.intent.to_string())],
        Intent::PermitTransfer(pay) => {
            let settled = pay.via.facilitator().map(|by| ("settled by", by.to_string()));
            [
                ("amount", known.show(agent, pay.amount)),
                ("payee", format!("{} at {}", pay.payee, pay.to)),
                ("asked by", pay.host.clone()),
                ("resource", pay.resource.clone()),
            ]
            .into_iter()
            .chain(settled)
            .collect()
        }
        Intent::InvalidatePermit { intent } => vec![("takes back", intent.to_string())],
        Intent::ApprovePermit2 { amount } | Intent::Refill { amount } => {
            vec![("amount", known.show(agent, *amount))]
        }
        Intent::SettlePermit(settle) => vec![
            ("amount", known.show(agent, settle.charge)),
            ("permitted", known.show(agent, settle.amount)),
            ("payer", settle.from.to_string()),
            ("resource", settle.resource.clone()),
        ],
        _ => Vec::new(),
    }
}

/// Who froze. The format calls it a mind, but a socket cannot tell a mind from its owner.
pub(crate) fn frozen_by(by: &str, agent: Option<&str>) -> String {
    match (by, agent) {
        ("mind", Some(agent)) => format!("over {agent}'s socket"),
        ("mind", None) => "over an agent's socket".to_owned(),
        ("command", _) => "by a command, over the owner's socket".to_owned(),
        (by, _) => format!("by {by}"),
    }
}

fn what(entry: &Entry, known: &Known) -> String {
    let decided = |decided: &Decided| {
        let agent = entry.agent.as_deref().unwrap_or_default();
        let money = decided.intent.spends().map(|money| format!(" {}", known.show(agent, money)));
        let target = match &decided.intent {
            Intent::Authorise(pay) => format!(" to {} for {}", pay.payee, pay.resource),
            Intent::Transfer(pay) => format!(" to {}", pay.payee),
            Intent::PermitTransfer(pay) => format!(" to {} for {}", pay.payee, pay.resource),
            Intent::InvalidatePermit { intent } => format!(" of {}", short(intent)),
            Intent::ApprovePermit2 { amount } | Intent::Refill { amount } => {
                format!(" {}", known.show(agent, *amount))
            }
            Intent::SettlePermit(settle) => format!(
                " {} from {} for {}",
                known.show(agent, settle.charge),
                settle.from,
                settle.resource
            ),
            Intent::Cancel(cancel) => format!(" of {}", short(cancel.intent)),
            Intent::Tool(tool) => format!(" {}", tool.tool),
            Intent::Settle(settle) => format!(
                " {} from {} for {}",
                known.show(agent, settle.amount),
                settle.from,
                settle.resource
            ),
            _ => String::new(),
        };
        let (kind, id) = (decided.intent.kind(), short(decided.id));
        format!("{kind} {id}{}{target}", money.unwrap_or_default())
    };
    match &entry.body {
        Body::Genesis(genesis) => format!("genesis by owner {}", genesis.owner),
        Body::Enroll { key, .. } => format!("enrolled with key {key}"),
        Body::Adopt { version, hash, document, .. } => {
            format!("policy version {version}, {}{}", short(hash), parts(document))
        }
        Body::Approve { intent, .. } => format!("the owner approved {}", short(intent)),
        Body::Deny { intent, .. } => format!("the owner denied {}", short(intent)),
        Body::Frozen { by, reason, .. } => {
            format!("FROZEN {}: {reason}", frozen_by(by, entry.agent.as_deref()))
        }
        Body::Thawed { frozen_at, .. } => format!("the owner thawed entry {frozen_at}"),
        Body::Rotate { owner, .. } => format!("the owner handed over to {owner}"),
        Body::Refused(it) => format!("refused {}: {}", decided(it), reasons(&it.table).join("; ")),
        Body::Held(it) => format!("held {}: {}", decided(it), reasons(&it.table).join("; ")),
        Body::Allowed(it) => format!("allowed {}", decided(&it.decided)),
        Body::Signed { id, hash } => format!("signed {} as transaction {hash}", short(id)),
        Body::Sent { id } => format!("sent {}", short(id)),
        Body::Seen { id, at } => format!("seen {} in transaction {}", short(id), at.transaction),
        Body::Unseen { id } => format!("taken back {} by a reorganisation", short(id)),
        Body::Final { id, .. } => format!("final {}", short(id)),
        Body::Reverted { id, .. } => format!("reverted {}", short(id)),
        Body::Replaced { id, max_fee, .. } => {
            format!("fees of {} raised to {max_fee} wei a unit of gas at most", short(id))
        }
        Body::Filled { id, why } => {
            format!("{} came to nothing, and its account nonce is filled: {why}", short(id))
        }
        Body::Cancelled { id, at } => {
            format!("cancelled {} in transaction {}", short(id), at.transaction)
        }
        Body::Released { id, why } => format!("released {}: {why}", short(id)),
        Body::Expired { id, .. } => format!("expired {}", short(id)),
        Body::Noted { task, step, what, .. } => format!("{task} step {step}: {what}"),
        Body::Reported { id, said } => {
            let said = match said {
                Said::Settled { transaction, .. } => format!("settled in {transaction}"),
                Said::Signed { what, hash, .. } => format!("signed {what} {}", short(hash)),
                Said::Delivered { body } => format!("delivered, body {}", short(body)),
                Said::Undelivered { why } => format!("NOT delivered: {why}"),
            };
            format!("{}: the mind says {said}", short(id))
        }
        Body::Contradicted { id, claimed, found } => {
            let found = found.map_or_else(
                || "the chain has none".to_owned(),
                |hash| format!("the chain has {hash}"),
            );
            format!("{}: the seller named transaction {claimed}, and {found}", short(id))
        }
        Body::Started { version, missing, .. } if missing.is_empty() => {
            format!("steward {version} started, all walls stand")
        }
        Body::Started { version, missing, .. } => {
            format!("steward {version} started without {}", missing.join(", "))
        }
        Body::IndexRebuilt { why } => format!("index rebuilt: {why}"),
        Body::Recovered { cut, unsigned, .. } => {
            format!("journal mended: {cut} bytes cut off, {unsigned} entries were unsigned")
        }
        Body::Received { transfers, more, .. } => received(entry, transfers, more, known),
        Body::Scanned { block, .. } => format!("what left the key is known up to block {block}"),
        Body::Checkpointed { state, .. } => format!("the whole state attested, {}", short(state)),
        Body::Stopped => "steward stopped".to_owned(),
        // Whatever it is, its kind and its intent are told.
        other => match other.intent() {
            Some(id) => format!("{} {}", other.kind(), short(id)),
            None => other.kind().replace('_', " "),
        },
    }
}

/// What came in, all of it: whoever sends dust makes the line long and nothing else.
fn received(entry: &Entry, transfers: &[Received], more: &[Flood], known: &Known) -> String {
    let agent = entry.agent.as_deref().unwrap_or_default();
    let chain = known.chain();
    let money = |token, units| known.show(agent, Money::new(units, AssetId { chain, token }));
    let named =
        transfers.iter().map(|it| format!("{} from {}", money(it.token, it.value), it.from));
    let floods =
        more.iter().map(|it| format!("{} in {} more", money(it.token, it.value), it.count));
    format!("received {}", named.chain(floods).collect::<Vec<_>>().join(", "))
}

/// What a policy consists of, where it is more than one document.
fn parts(document: &str) -> &'static str {
    let parts = Sources::read(document).map(|all| (all.owner.is_some(), all.cedar.is_some()));
    match parts {
        Ok((true, true)) => ", of owner.toml, policy.toml and policy.cedar",
        Ok((true, false)) => ", of owner.toml and policy.toml",
        Ok((false, true)) => ", of policy.toml and policy.cedar",
        Ok((false, false)) | Err(_) => "",
    }
}

/// UTC of a Unix time in milliseconds, to the second.
pub(crate) fn clock(at: u64) -> String {
    i64::try_from(at / 1000)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| format!("{at} ms"), |time| time.to_string())
}
