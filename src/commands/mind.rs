//! `marque mind …`: what runs inside the fence. A steward or the demo starts it; people use
//! `marque run`, `marque devnet` and `marque demo`.

mod buyer;
mod facilitator;
mod keep;
mod log;
mod robber;
mod seller;
mod shop;

pub(crate) use buyer::{MindEvent, at_work, tell};
pub(crate) use keep::{Queue, Work, vet_name};
pub(crate) use robber::Attempt;
pub(crate) use shop::{Terms, answers};

use super::Shared;
use crate::failure::{Done, Failure};
use clap::Subcommand;
use marque::process::fenced;
use marque_policies::Label;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    job: Job,
}

#[derive(Debug, Subcommand)]
enum Job {
    /// Work on a goal with the built-in tools.
    Run(Goal),
    /// Work on a goal again and again, or on those of the queue.
    Keep(Lasting),
    /// Sell one file.
    SellFile {
        #[arg(long)]
        agent: String,
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        file: PathBuf,
        #[arg(long)]
        price: String,
    },
    /// Sell completions of a local model.
    SellInference {
        #[arg(long)]
        agent: String,
        #[arg(long)]
        listen: SocketAddr,
        /// For one token of output.
        #[arg(long)]
        price: String,
    },
    /// Sell a folder's files or what a service answers.
    Sell {
        #[arg(long)]
        agent: String,
        #[arg(long)]
        dir: Option<PathBuf>,
        #[arg(long, conflicts_with = "dir")]
        upstream: Option<url::Url>,
        #[command(flatten)]
        terms: Box<Terms>,
        /// Print events as lines of JSON.
        #[arg(long)]
        events: bool,
    },
    /// Verify and settle payments for others.
    Facilitate {
        #[arg(long)]
        agent: String,
        #[arg(long)]
        listen: SocketAddr,
        /// Print events as lines of JSON.
        #[arg(long)]
        events: bool,
    },
    /// Play a mind that an attacker controls, with everything that it has: the connection.
    Rob {
        #[arg(long)]
        agent: String,
        /// A payee that the policy lists.
        #[arg(long)]
        payee: String,
        /// Name of the money.
        #[arg(long)]
        asset: String,
        /// Tells one robbery from the next.
        #[arg(long, default_value = "robbery")]
        task: String,
    },
}

/// A goal for an agent.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Goal {
    /// The agent.
    #[arg(long)]
    pub(crate) agent: String,
    /// What to do, in words.
    #[arg(long)]
    pub(crate) goal: String,
    /// The task's name: the same name resumes the same task.
    #[arg(long)]
    pub(crate) task: Option<String>,
    /// Where the goal's words come from.
    #[arg(long)]
    pub(crate) label: Vec<Label>,
    /// A GGUF file instead of the agent's model.
    #[arg(long)]
    pub(crate) model: Option<PathBuf>,
    /// Print events as lines of JSON.
    #[arg(long)]
    pub(crate) events: bool,
}

/// Work that goes on: a goal and its period, or the queue.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Lasting {
    /// The agent.
    #[arg(long)]
    agent: String,
    /// What to do, in words; without it the goals of the queue.
    #[arg(long, requires = "every")]
    goal: Option<String>,
    /// From the beginning of one round to that of the next.
    #[arg(long, requires = "goal", value_parser = super::run::period)]
    every: Option<std::time::Duration>,
    /// Where the words of the goals come from.
    #[arg(long)]
    label: Vec<Label>,
    /// A GGUF file instead of the agent's model.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Print events as lines of JSON.
    #[arg(long)]
    events: bool,
}

/// The agent that is named, or the only one that there is.
pub(crate) fn only_agent(home: &marque::home::Home, named: Option<&str>) -> Done<String> {
    let agents = home.agents();
    match (named, agents.as_slice()) {
        (Some(name), _) if agents.iter().any(|agent| agent == name) => Ok(name.to_owned()),
        (Some(name), _) => Err(super::policy::unknown(home, name)),
        (None, [only]) => Ok(only.clone()),
        (None, []) => {
            Err(Failure::usage(format!("there is no agent in {}", home.path().display()))
                .help("make one: marque new NAME; or name another --home"))
        }
        (None, several) => {
            Err(Failure::usage("which agent?")
                .help(format!("this home has {}", several.join(", "))))
        }
    }
}

pub(crate) fn run(shared: &Shared, args: Args) -> Done<ExitCode> {
    if !marque::process::is_mind() {
        return Err(Failure::usage("a mind is started by its steward")
            .help("see marque run, marque devnet and marque demo"));
    }
    let home = shared.home()?;
    let result = match args.job {
        Job::Run(goal) => {
            let models = goal.model.clone().into_iter().collect();
            let agents = [goal.agent.clone()];
            let home_of = home.clone();
            fenced(&home, &agents, models, || buyer::work(home_of, goal))
        }
        Job::Keep(lasting) => {
            let models = lasting.model.clone().into_iter().collect();
            let agents = [lasting.agent.clone()];
            let home_of = home.clone();
            fenced(&home, &agents, models, || keep::work(home_of, lasting))
        }
        Job::SellFile { agent, listen, file, price } => {
            // Read before the fence: the goods need not lie where the mind may look.
            let goods = std::fs::read(&file)
                .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_else(|| "file".to_owned());
            let (home_of, name_of) = (home.clone(), agent.clone());
            fenced(&home, std::slice::from_ref(&agent), Vec::new(), || async move {
                seller::file(&home_of, &name_of, listen, &name, goods, &price).await
            })
        }
        Job::SellInference { agent, listen, price } => {
            let (home_of, name_of) = (home.clone(), agent.clone());
            fenced(&home, std::slice::from_ref(&agent), Vec::new(), || async move {
                seller::inference(&home_of, &name_of, listen, &price).await
            })
        }
        Job::Sell { agent, dir, upstream, terms, events } => {
            let goods = match (dir, upstream) {
                (Some(dir), _) => shop::Goods::Folder(dir),
                (None, Some(url)) => shop::Goods::Service(url),
                (None, None) => return Err(Failure::usage("nothing to sell: --dir or --upstream")),
            };
            let read = match &goods {
                shop::Goods::Folder(dir) => vec![dir.clone()],
                shop::Goods::Service(_) => Vec::new(),
            };
            let (home_of, name_of) = (home.clone(), agent.clone());
            fenced(&home, std::slice::from_ref(&agent), read, || async move {
                shop::sell(&home_of, &name_of, goods, *terms, events).await
            })
        }
        Job::Facilitate { agent, listen, events } => {
            let (home_of, name_of) = (home.clone(), agent.clone());
            fenced(&home, std::slice::from_ref(&agent), Vec::new(), || async move {
                facilitator::facilitate(&home_of, &name_of, listen, events).await
            })
        }
        Job::Rob { agent, payee, asset, task } => {
            let (home_of, name_of) = (home.clone(), agent.clone());
            fenced(&home, std::slice::from_ref(&agent), Vec::new(), || async move {
                robber::rob(&home_of, &name_of, &payee, &asset, &task).await
            })
        }
    };
    result.map_err(Failure::new)?
}
