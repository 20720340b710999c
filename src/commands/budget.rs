//! `marque budget`: what is left, as bars that a person reads at a glance.
//!
//! From the running steward, or from the journal where none runs; a watch goes on through a
//! restart. What the owner's account may still give to a float the chain says.

mod bars;
mod floats;

use super::{Shared, policy::unknown};
use crate::{
    failure::{Done, Failure},
    story::{print, say},
};
use floats::{Floats, Kept};
use marque::{home::Home, owner::connect, process::stop_signal};
use marque_policies::{Policy, Timestamp, budgets};
use marque_steward::{State, audit::Tail, state::Ledger};
use marque_steward_client::{AssetView, Budget, View};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
    time::{Duration, SystemTime},
};

/// How often a watch looks again.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct BudgetArgs {
    /// Only this agent's.
    agent: Option<String>,
    /// Stay, and show every change until Ctrl-C.
    #[arg(long, short = 'w')]
    watch: bool,
}

/// One agent's budgets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Purse {
    agent: String,
    /// `steward` or `journal`.
    from: &'static str,
    now: Timestamp,
    policy_version: Option<u64>,
    frozen_at: Option<u64>,
    assets: Vec<AssetView>,
    budgets: Vec<Budget>,
    floats: Vec<Kept>,
}

pub(crate) async fn run(shared: &Shared, args: &BudgetArgs) -> Done<ExitCode> {
    let home = shared.home()?;
    let all = home.agents();
    if let Some(agent) = &args.agent
        && !all.contains(agent)
    {
        return Err(unknown(&home, agent));
    }
    if all.is_empty() {
        return Err(Failure::usage(format!("there is no agent in {}", home.path().display()))
            .help("make one: marque new NAME; or name another --home"));
    }
    let mut journal = Journal::new(&home);
    let mut floats = Floats::default();
    let mut shown: Option<Vec<Purse>> = None;
    let mut stop = std::pin::pin!(stop_signal());
    loop {
        let mut purses = look(&home, args.agent.as_deref(), &mut journal).await?;
        for purse in &mut purses {
            purse.floats = floats.of(shared, &home, &purse.agent).await;
        }
        show(shared, args.watch, &purses, shown.as_deref())?;
        if !args.watch {
            return Ok(ExitCode::SUCCESS);
        }
        shown = Some(purses);
        tokio::select! {
            () = &mut stop => return Ok(ExitCode::SUCCESS),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Asks the steward for each agent, and the journal where it does not answer.
async fn look(home: &Home, only: Option<&str>, journal: &mut Journal) -> Done<Vec<Purse>> {
    let mut purses = Vec::new();
    for agent in home.agents().into_iter().filter(|agent| only.is_none_or(|only| only == agent)) {
        let view = match connect(&home.owner_socket(&agent), Duration::ZERO).await {
            Ok(client) => client.view().await.ok(),
            Err(_) => None,
        };
        purses.push(match view {
            Some(view) => Purse::of(view),
            None => journal.purse(agent)?,
        });
    }
    Ok(purses)
}

fn show(shared: &Shared, watch: bool, purses: &[Purse], before: Option<&[Purse]>) -> Done {
    let terminal = std::io::stdout().is_terminal() && !shared.json;
    // On a terminal times go on counting down; elsewhere only news is news.
    let news = before.is_none_or(|before| {
        before.len() != purses.len() || before.iter().zip(purses).any(|(a, b)| !a.same(b))
    });
    if !news && !terminal {
        return Ok(());
    }
    if watch && terminal {
        // Home, and clear what is below: nothing flickers.
        print("\u{1b}[H\u{1b}[J");
    }
    for purse in purses {
        if shared.json {
            say!("{}", purse.json());
        } else {
            bars::lines(purse).iter().for_each(|line| say!("{line}"));
        }
    }
    std::io::stdout().flush().map_err(Failure::new)
}

impl Purse {
    fn of(view: View) -> Self {
        let View { agent, now, policy_version, frozen_at, assets, budgets, .. } = view;
        let policy_version = Some(policy_version).filter(|version| *version > 0);
        let floats = Vec::new();
        Self { agent, from: "steward", now, policy_version, frozen_at, assets, budgets, floats }
    }

    /// The same but for the time.
    fn same(&self, other: &Self) -> bool {
        Self { now: 0, ..self.clone() } == Self { now: 0, ..other.clone() }
    }

    fn json(&self) -> serde_json::Value {
        let budgets = self.budgets.iter().map(|budget| {
            let left = budget.limit.units.saturating_sub(budget.spent.units).to_string();
            let name = self.assets.iter().find(|asset| asset.id == budget.limit.asset);
            serde_json::json!({
                "rule": budget.rule, "asset": name.map(|asset| &asset.name),
                "spent": budget.spent, "in_flight": budget.in_flight, "limit": budget.limit,
                "left": left, "next": budget.next,
            })
        });
        serde_json::json!({
            "agent": self.agent, "from": self.from, "now": self.now,
            "policy_version": self.policy_version, "frozen_at": self.frozen_at,
            "budgets": budgets.collect::<Vec<_>>(), "floats": self.floats,
        })
    }
}

/// The journal's fold, kept up as entries come.
struct Journal {
    tail: Tail,
    state: State,
    there: bool,
}

impl Journal {
    fn new(home: &Home) -> Self {
        let dir = home.journal();
        let there = dir.join("entries").is_dir();
        Self { tail: Tail::new(&dir, 0), state: State::default(), there }
    }

    fn purse(&mut self, agent: String) -> Done<Purse> {
        if self.there {
            for read in self.tail.poll()? {
                self.state.apply(&read.entry)?;
            }
        }
        let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        let now = self.state.now(Timestamp::try_from(wall).unwrap_or(Timestamp::MAX));
        let adopted = self.state.agent(&agent).and_then(|account| account.policy.as_ref());
        let (assets, budgets) = adopted.map_or_else(Default::default, |adopted| {
            let nobody = BTreeMap::new();
            let ledger = Ledger::new(&self.state, &agent, None, &nobody, now);
            let budgets = budgets(&adopted.policy, &ledger, now).into_iter();
            (assets(&adopted.policy), budgets.map(Budget::from).collect())
        });
        Ok(Purse {
            from: "journal",
            now,
            policy_version: adopted.map(|adopted| adopted.version),
            frozen_at: self.state.frozen().map(|frozen| frozen.seq),
            assets,
            budgets,
            floats: Vec::new(),
            agent,
        })
    }
}

fn assets(policy: &Policy) -> Vec<AssetView> {
    let assets = policy.assets.iter();
    assets
        .map(|(name, asset)| AssetView {
            name: name.clone(),
            id: asset.id,
            decimals: asset.decimals,
            domain: asset.domain.clone(),
        })
        .collect()
}
