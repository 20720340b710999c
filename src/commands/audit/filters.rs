//! The options by which entries are chosen; the same for every command that lists some.

use super::when::moment;
use marque::audit::{Filter, KINDS};
use marque_policies::Timestamp;

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Which entries")]
pub(crate) struct Filters {
    /// Not before this time: 2h, 30d, 2026-11-20, 2026-11-20T14:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Of these kinds, with commas between.
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = KINDS)]
    kind: Vec<String>,
    /// Of this agent.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// About money to this payee: its name in the policy, its address or its host.
    #[arg(long, value_name = "PAYEE")]
    payee: Option<String>,
    /// Decisions that came to this.
    #[arg(long, value_name = "VERDICT", value_parser = ["allowed", "held", "refused"])]
    verdict: Option<String>,
    /// Of this task.
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
    /// About this intent: its id, or the beginning of it.
    #[arg(long, value_name = "ID")]
    intent: Option<String>,
}

impl Filters {
    pub(crate) fn filter(&self) -> Filter {
        let Self { since, until, kind, agent, payee, verdict, task, intent } = self.clone();
        Filter { since, until, kinds: kind, agent, payee, verdict, task, intent }
    }
}
