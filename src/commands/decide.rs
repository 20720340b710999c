//! `marque approve | deny`: the owner decides what is held, here or on another machine.
//!
//! What is signed is shown first. Here the running steward says what waits; with `--request` a file
//! does, of which everything is checked that the owner can check, and the acts go into another
//! file. Either way the hash that is signed is computed here, from the intent that was shown.

use super::{
    Shared,
    approvals::{Item, Names, now, read_request, requested, waiting, write_signed},
    trust::{this_journal, trusted},
};
use crate::{
    failure::{Done, Failure},
    story::{say, span},
};
use marque::{owner::Owner, request::Signed};
use marque_policies::{SignedStatement, Statement};
use marque_steward_client::Client;
use std::{path::PathBuf, process::ExitCode, time::Duration};

/// Hex digits of an id that nobody finds twice: a mind names its tasks, and from the names follow
/// the ids.
const ENOUGH: usize = 12;

#[derive(Debug, clap::Args)]
pub(crate) struct ApproveArgs {
    #[command(flatten)]
    which: Which,
    /// How long the approval is good: 30m, 1h, 2d. It ends with the question and with a new policy
    /// as well.
    #[arg(long = "for", value_name = "TIME", value_parser = time, default_value = "1h")]
    good_for: Duration,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DenyArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The intents' ids, each by at least 12 of its first digits, or `0x123456…abcdef`.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Do not ask. Without it a passphrase that is typed is the yes, and one from a descriptor
    /// needs another.
    #[arg(long, short = 'y')]
    yes: bool,
    #[command(flatten)]
    travel: Travel,
}

/// For a machine that has the owner's key and no steward.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Travel {
    /// Decide by this file from marque approvals --export, with no steward at hand; `-` for standard
    /// input.
    #[arg(long, value_name = "FILE", requires = "out")]
    pub(crate) request: Option<PathBuf>,
    /// Where the signed acts go, for marque submit on the steward's host; `-` for standard output.
    #[arg(long, value_name = "SIGNED", requires = "request")]
    pub(crate) out: Option<PathBuf>,
}

impl Travel {
    /// Both files, where there are any.
    pub(crate) fn files(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.request.as_ref().zip(self.out.as_ref())
    }
}

/// `marque approve`.
pub(crate) async fn approve(shared: &Shared, args: &ApproveArgs) -> Done<ExitCode> {
    decide(shared, &args.which, Some(args.good_for)).await
}

/// `marque deny`.
pub(crate) async fn deny(shared: &Shared, args: &DenyArgs) -> Done<ExitCode> {
    decide(shared, &args.which, None).await
}

async fn decide(shared: &Shared, which: &Which, good_for: Option<Duration>) -> Done<ExitCode> {
    match which.travel.files() {
        Some((request, out)) => {
            let me = Owner::address_in(&shared.owner_home()?)?;
            let request = read_request(request, me)?;
            let items = requested(&request);
            let chosen = choose(&items, &which.ids, |item| item)?;
            let (owner, acts) = sign(shared, &chosen, good_for, which.yes)?;
            drop(owner);
            write_signed(shared, out, &Signed::new(request.chain, request.origin, acts))?;
        }
        None => {
            let home = shared.home()?;
            let mut waiting = waiting(&home).await?;
            for (_, item) in &mut waiting {
                // Names and digits as this owner signed them, not as the socket says.
                item.names = Names::from(&trusted(shared, &home, &item.agent)?);
            }
            let chosen = choose(&waiting, &which.ids, |(_, item)| item)?;
            let items: Vec<&Item> = chosen.iter().map(|(_, item)| item).collect();
            for item in &items {
                this_journal(shared, &home, item.chain, item.origin)?;
            }
            let (owner, acts) = sign(shared, &items, good_for, which.yes)?;
            drop(owner);
            let clients = chosen.iter().map(|(client, _)| client);
            submit(shared, &items, clients.zip(acts), good_for.is_some()).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The items that the ids name, each by exactly one; nothing where one of them is wrong.
fn choose<'a, T>(all: &'a [T], ids: &[String], item: impl Fn(&T) -> &Item) -> Done<Vec<&'a T>> {
    let mut chosen: Vec<&T> = Vec::with_capacity(ids.len());
    for wanted in ids {
        let found = find(all, wanted, &item)?;
        if chosen.iter().any(|it| std::ptr::eq(*it, found)) {
            return Err(Failure::usage(format!("{wanted} is named twice")));
        }
        chosen.push(found);
    }
    Ok(chosen)
}

fn find<'a, T>(all: &'a [T], wanted: &str, item: impl Fn(&T) -> &Item) -> Done<&'a T> {
    let plain = wanted.trim_start_matches("0x").to_lowercase();
    // As it stands in the story and the journal: the first and last digits.
    let (first, last) = plain.split_once('…').unwrap_or((&plain, ""));
    if !(first.len() + last.len() >= ENOUGH && format!("{first}{last}").chars().all(is_digit)) {
        return Err(Failure::usage(format!("an id needs at least {ENOUGH} of its digits here"))
            .help("copy it from marque approvals: a mind can make ids that begin alike"));
    }
    let fits = |it: &&T| {
        let id = item(it).held.id.to_string();
        id.trim_start_matches("0x").starts_with(first) && id.ends_with(last)
    };
    let mut found = all.iter().filter(fits);
    match (found.next(), found.next()) {
        (Some(it), None) => Ok(it),
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("more than one held intent begins with {wanted}")))
        }
        (None, _) => Err(Failure::usage(format!("no held intent begins with {wanted}"))
            .help("see marque approvals; what expired, or is decided, waits no more")),
    }
}

const fn is_digit(c: char) -> bool {
    c.is_ascii_hexdigit()
}

/// Shows what is signed, asks, and signs.
fn sign(
    shared: &Shared,
    items: &[&Item],
    good_for: Option<Duration>,
    yes: bool,
) -> Done<(Owner, Vec<SignedStatement>)> {
    let now = now();
    for item in items {
        // What was shown is what is signed, whatever the other side calls its hash.
        if item.held.intent.body_hash() != item.held.body {
            return Err(Failure::new("the steward says another hash than its intent has")
                .help("do not trust this steward before you know why"));
        }
        if item.held.closes < now {
            let ago = span(now - item.held.closes);
            let line = format!("{} has expired {ago} ago", item.held.id);
            return Err(Failure::new(line).help("the agent has to ask again"));
        }
        item.lines(now).iter().for_each(|line| anstream::eprintln!("{line}"));
    }
    let what = match (good_for, items.len()) {
        (Some(time), 1) => format!("approve it, good for {}", span(millis(time))),
        (Some(time), n) => format!("approve these {n}, good for {} each", span(millis(time))),
        (None, 1) => "deny it".to_owned(),
        (None, n) => format!("deny these {n}"),
    };
    shared.confirm(yes, &what)?;
    let owner = Owner::unlock(&shared.owner_home()?, &shared.owner_secret(false)?)?;
    let acts = items.iter().map(|item| {
        let (agent, intent) = (item.agent.clone(), item.held.id);
        let body = item.held.intent.body_hash();
        let statement = match good_for {
            Some(time) => {
                let deadline = (now / 1_000).saturating_add(time.as_secs());
                Statement::Approve { agent, intent, body, version: item.version, deadline }
            }
            None => Statement::Deny { agent, intent, body },
        };
        owner.sign(statement, item.chain, item.origin, None)
    });
    let acts = acts.collect();
    Ok((owner, acts))
}

async fn submit<'a>(
    shared: &Shared,
    items: &[&Item],
    acts: impl Iterator<Item = (&'a Client, SignedStatement)>,
    approved: bool,
) -> Done {
    let mut entries = Vec::with_capacity(items.len());
    for ((client, act), item) in acts.zip(items) {
        let entry = client.submit(act).await.map_err(|error| {
            let before = match entries.len() {
                0 => String::new(),
                n => format!(" (the {n} before it stand)"),
            };
            Failure::new(format!("{}: {error}{before}", item.held.id))
        })?;
        if !shared.json {
            let done = if approved { "approved" } else { "denied" };
            say!("{done} {}, journal entry {entry}", item.head());
        }
        entries.push(serde_json::json!({ "id": item.held.id, "entry": entry }));
    }
    if shared.json {
        say!("{}", serde_json::Value::Array(entries));
    }
    Ok(())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// `90s`, `30m`, `1h`, `2d`: from a minute to 30 days.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a time; write it like 30m, 1h or 2d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text.strip_suffix(unit).and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
    let seconds = number.saturating_mul(seconds);
    if !(60..=30 * 86_400).contains(&seconds) {
        return Err("an approval is good for a minute at least and 30 days at most".to_owned());
    }
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_read_and_bounded() {
        assert_eq!(time("90s").unwrap().as_secs(), 90);
        assert_eq!(time("2d").unwrap().as_secs(), 172_800);
        for wrong in ["", "1", "h", "-1h", "1 h", "59s", "31d", "99999999999999999999d", "1é"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
