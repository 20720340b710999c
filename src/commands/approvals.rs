//! `marque approvals | approve | deny`: what waits for the owner, shown from the decoded intent.

use super::Shared;
use crate::{
    failure::{Done, Failure},
    story::{harmless, say},
};
use marque::{
    home::Home,
    owner::{Owner, connect},
};
use marque_policies::{Intent, Statement, intent::Fetch};
use marque_steward_client::{Client, IntentView, PayeeView, PaymentState, View};
use std::{process::ExitCode, time::Duration};

/// Hex digits of an id that nobody finds twice: a mind names its tasks, and from the names follow
/// the ids.
const ENOUGH: usize = 12;

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only this agent's.
    agent: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DecideArgs {
    /// The intent's id, or at least 12 of its first and last digits: `0x123456…abcdef`.
    id: String,
}

/// `marque approvals`.
pub(crate) async fn list(shared: &Shared, args: &ListArgs) -> Done<ExitCode> {
    let home = shared.home()?;
    let (mut shown, mut count) = (Vec::new(), 0);
    for (_, view) in views(&home).await? {
        if args.agent.as_ref().is_some_and(|agent| *agent != view.agent) {
            continue;
        }
        for held in held(&view) {
            count += 1;
            if shared.json {
                shown.push(serde_json::json!({ "agent": view.agent, "held": held }));
            } else {
                say!("{}  {}: {}", held.status.id, view.agent, describe(&view, &held.intent));
            }
        }
    }
    if shared.json {
        say!("{}", serde_json::Value::Array(shown));
    } else if count == 0 {
        say!("nothing is waiting");
    } else {
        say!("  next: marque approve ID, or marque deny ID; its first 12 digits are enough");
    }
    Ok(ExitCode::SUCCESS)
}

/// `marque approve` and `marque deny`.
pub(crate) async fn decide(shared: &Shared, args: &DecideArgs, approve: bool) -> Done<ExitCode> {
    let home = shared.home()?;
    let wanted = args.id.trim_start_matches("0x").to_lowercase();
    // As it stands in the story and the journal: the first and last digits.
    let (first, last) = wanted.split_once('…').unwrap_or((&wanted, ""));
    if first.len() + last.len() < ENOUGH {
        return Err(Failure::usage(format!("an id needs at least {ENOUGH} of its digits here"))
            .help("copy it from marque approvals: a mind can make ids that begin alike"));
    }
    let mut found = Vec::new();
    for (client, view) in views(&home).await? {
        for held in held(&view) {
            let id = held.status.id.to_string();
            if id.trim_start_matches("0x").starts_with(first) && id.ends_with(last) {
                found.push((client.clone(), view.clone(), held.clone()));
            }
        }
    }
    let (client, view, held) = match (found.pop(), found.is_empty()) {
        (Some(found), true) => found,
        (Some(_), false) => {
            return Err(Failure::usage(format!("more than one held intent begins with {wanted}")));
        }
        (None, _) => {
            return Err(Failure::usage(format!("no held intent begins with {wanted}"))
                .help("see marque approvals"));
        }
    };
    if !shared.json {
        say!("{}: {}", view.agent, describe(&view, &held.intent));
    }
    let owner = Owner::unlock(&shared.owner_home()?, &shared.owner_secret(false)?)?;
    let statement = if approve {
        owner.approval(&view, held.status.id, held.body, view.now)
    } else {
        Statement::Deny { agent: view.agent.clone(), intent: held.status.id, body: held.body }
    };
    let chain = view.assets.first().map_or(0, |asset| asset.id.chain);
    let entry = client.submit(owner.sign(statement, chain, view.origin, None)).await?;
    if shared.json {
        say!("{}", serde_json::json!({ "entry": entry }));
    } else {
        say!("{}, journal entry {entry}", if approve { "approved" } else { "denied" });
    }
    Ok(ExitCode::SUCCESS)
}

/// Each agent's connection and view; an error where no steward answers.
pub(crate) async fn views(home: &Home) -> Done<Vec<(Client, View)>> {
    let mut views = Vec::new();
    for agent in home.agents() {
        if let Ok(client) = connect(&home.socket(&agent), Duration::ZERO).await {
            let view = client.view().await?;
            views.push((client, view));
        }
    }
    if views.is_empty() {
        return Err(Failure::new(format!("no steward answers in {}", home.path().display()))
            .help("start one with marque steward run, or run the agent"));
    }
    Ok(views)
}

fn held(view: &View) -> impl Iterator<Item = &IntentView> {
    view.intents.iter().filter(|intent| intent.status.state == PaymentState::Held)
}

/// An intent as an owner reads it: from its decoded fields, never from a model's words.
pub(crate) fn describe(view: &View, intent: &Intent) -> String {
    let money = |amount: &marque_policies::Money| {
        view.assets.iter().find(|asset| asset.id == amount.asset).map_or_else(
            || format!("{} units of {}", amount.units, amount.asset),
            |asset| {
                let digits = marque_policies::money::format_units(amount.units, asset.decimals);
                format!("{digits} {}", asset.name)
            },
        )
    };
    // What else an approval would mean, as far as the policy does not say it.
    let payee = |name: &str| match view.payees.iter().find(|payee| payee.name == name) {
        Some(PayeeView { address: None, host: Some(host), .. }) => {
            format!("; approving pins this address for {host}")
        }
        Some(_) => String::new(),
        None => "; nobody in the policy".to_owned(),
    };
    let text = match intent {
        Intent::Tool(tool) => {
            // A flag, a number or a text: it always serialises.
            let shown = |value| serde_json::to_string(value).unwrap_or_default();
            let given = tool.arguments.iter().map(|(name, it)| format!(" {name}={}", shown(it)));
            let given = given.collect::<String>();
            match &tool.fetch {
                Some(Fetch { method, host, path, .. }) => {
                    format!("{} {method} {host}{path}{given}", tool.tool)
                }
                None => format!("use {}{given}", tool.tool),
            }
        }
        Intent::Authorise(pay) => format!(
            "pay {} to {} ({}{}) for {}",
            money(&pay.amount),
            pay.payee,
            pay.to,
            payee(&pay.payee),
            pay.resource
        ),
        Intent::Transfer(pay) => format!(
            "send {} to {} ({}{})",
            money(&pay.amount),
            pay.payee,
            pay.to,
            payee(&pay.payee)
        ),
        Intent::Settle(settle) => {
            format!("take {} from {} for {}", money(&settle.amount), settle.from, settle.resource)
        }
        Intent::AcceptWallet(accept) => format!(
            "become the wallet of identity {} in registry {}",
            accept.agent_id, accept.registry
        ),
        Intent::Sweep(sweep) => format!("return {} to the owner", money(&sweep.amount)),
        _ => intent.kind().to_owned(),
    };
    harmless(&text)
}
