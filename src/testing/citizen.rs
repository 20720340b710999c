//! An agent in a town, with its owner and its steward.

use super::{Result, Stall, Town, mind::Mind};
use crate::{
    economy::{DOLLAR, Party},
    owner::{Owner, connect},
};
use alloy_primitives::{Address, U256};
use marque_agent_core::{Agent, Spending, TaskLimits};
use marque_models::{Model, Scripted};
use marque_policies::{SignedStatement, Statement};
use marque_steward::{Options, Steward};
use marque_steward_client::Client;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use url::Url;

/// What a steward needs to come up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long an approval is good, in seconds.
const GOOD_FOR: u64 = 3_600;

/// An agent in the making.
#[derive(Debug)]
pub struct AgentBuilder<'a> {
    town: &'a Town,
    name: String,
    holds: String,
    limits: Option<String>,
    payees: String,
    hosts: Vec<String>,
    tools: Vec<String>,
    policy: String,
    names: BTreeMap<String, Url>,
    recording: Option<PathBuf>,
    mind: Mind,
    model: Option<Arc<dyn Model>>,
    patience: Duration,
    task_limits: TaskLimits,
}

/// An agent with its owner and its steward.
#[derive(Debug)]
pub struct Citizen {
    party: Party,
    steward: Option<Steward>,
    client: Client,
    options: Options,
    agent: Option<Agent>,
}

impl<'a> AgentBuilder<'a> {
    pub(super) fn new(town: &'a Town, name: &str) -> Self {
        Self {
            town,
            name: name.to_owned(),
            holds: "5.00".to_owned(),
            limits: None,
            payees: String::new(),
            hosts: Vec::new(),
            tools: Vec::new(),
            policy: String::new(),
            names: BTreeMap::new(),
            recording: None,
            mind: Mind::default(),
            model: None,
            patience: PATIENCE,
            task_limits: TaskLimits::default(),
        }
    }

    /// What it begins with, such as `"5.00 tUSD"`, which is what it has otherwise.
    #[must_use]
    pub fn holds(mut self, amount: &str) -> Self {
        amount.clone_into(&mut self.holds);
        self
    }

    /// The lines of `[limits.tUSD]` in its policy, which its owner signs; 0.10 a payment, 0.50 an hour and 2.00 in all otherwise.
    #[must_use]
    pub fn limits(mut self, lines: &str) -> Self {
        self.limits = Some(lines.to_owned());
        self
    }

    /// Pins a seller as a payee, and opens its host to the tools.
    #[must_use]
    pub fn pays(mut self, seller: &Stall) -> Self {
        self.payees.push_str(&seller.payee());
        self.hosts.push(seller.host().to_owned());
        self
    }

    /// Permits a tool, on the hosts of its sellers.
    #[must_use]
    pub fn may(mut self, tool: &str) -> Self {
        self.tools.push(tool.to_owned());
        self
    }

    /// More of its policy, as an owner writes it.
    #[must_use]
    pub fn policy(mut self, text: &str) -> Self {
        self.policy.push('\n');
        self.policy.push_str(text);
        self
    }

    /// What its model calls a seller, such as `https://feed.example`: the built-in model was trained
    /// on names, not on ports.
    ///
    /// # Errors
    /// Where the seller's address is no URL, which it always is.
    pub fn knows(mut self, name: &str, seller: &Stall) -> Result<Self> {
        self.names.insert(name.to_owned(), Url::parse(&seller.url(""))?);
        Ok(self)
    }

    /// What it says, a reply a turn: see [`call`](super::call) and [`answer`](super::answer).
    #[must_use]
    pub fn thinks(mut self, replies: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.mind.thinks(None, Scripted::new(replies));
        self
    }

    /// What it says where this is the goal.
    #[must_use]
    pub fn thinks_about(
        mut self,
        goal: &str,
        replies: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.mind.thinks(Some(goal), Scripted::new(replies));
        self
    }

    /// What it thinks with, instead of a script.
    #[must_use]
    pub fn model(mut self, model: Arc<dyn Model>) -> Self {
        self.model = Some(model);
        self
    }

    /// Writes its runs down, for [`Agent::replaying`].
    #[must_use]
    pub fn records(mut self, file: impl AsRef<Path>) -> Self {
        self.recording = Some(file.as_ref().to_owned());
        self
    }

    /// When its tasks give up, beneath the policy.
    #[must_use]
    pub fn task_limits(mut self, limits: TaskLimits) -> Self {
        self.task_limits = limits;
        self
    }

    /// How long a run waits for the owner before it ends.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Opens: its owner signs the policy, its steward starts.
    ///
    /// # Errors
    /// Where the policy does not parse, or the chain or the steward refuse something.
    pub async fn open(self) -> Result<Citizen> {
        let hosts: Vec<_> = self.hosts.iter().map(|host| format!("{host:?}")).collect();
        let hosts = hosts.join(", ");
        let limits = self
            .limits
            .unwrap_or_else(|| "payment = \"0.10\"\nhour = \"0.50\"\ntotal = \"2.00\"".to_owned());
        let tools: String = self
            .tools
            .iter()
            .map(|tool| format!("\n[[tool]]\nname = {tool:?}\nhosts = [{hosts}]\n"))
            .collect();
        let (payees, more) = (self.payees, self.policy);
        let mut citizen = Citizen::settle(self.town, &self.name, |head| {
            format!("{head}\n[limits.{DOLLAR}]\n{limits}\n{payees}{tools}{more}")
        })
        .await?;
        self.town.give(citizen.address(), &self.holds).await?;
        let mut agent = Agent::builder(&self.name)
            .model(self.model.unwrap_or_else(|| Arc::new(self.mind)))
            .steward(Arc::new(citizen.client.clone()))
            .mind_dir(citizen.party.home.mind(&self.name))
            .patience(self.patience)
            .limits(self.task_limits)
            .names(self.names);
        if let Some(recording) = self.recording {
            agent = agent.record(recording);
        }
        let agent = agent.build().await?;
        citizen.agent = Some(agent);
        Ok(citizen)
    }
}

impl Citizen {
    /// Makes an owner and an agent under a policy, and starts its steward.
    pub(super) async fn settle(
        town: &Town,
        name: &str,
        policy: impl FnOnce(String) -> String,
    ) -> Result<Self> {
        if town.dir().join(name).exists() {
            return Err(format!(
                "there is a {name} in this town already: name this one differently"
            )
            .into());
        }
        let party = town.economy.party(name).await?;
        let policy = policy(town.head(party.owner.address()));
        town.economy.adopt(&party, &policy).await?;
        let options = Options {
            poll: Duration::from_millis(100),
            ahead: Arc::clone(&town.ahead),
            rate: 1_000_000,
            ..Options::default()
        };
        let (steward, client) = start(&party, &options).await?;
        Ok(Self { party, steward: Some(steward), client, options, agent: None })
    }

    pub(super) async fn register(
        &self,
        town: &Town,
        what: &str,
        endpoint: Option<&str>,
    ) -> Result<U256> {
        Ok(town.economy.register(&self.party, &self.client, what, endpoint).await?)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.party.name
    }

    /// The address of its key, which is what pays.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.party.address
    }

    /// Its owner.
    #[must_use]
    pub const fn owner(&self) -> &Owner {
        &self.party.owner
    }

    /// The home of its steward: journal, keys, policy.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.party.home.path()
    }

    /// The folder of its journal, for [`audit`](crate::audit) and the command of that name.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.party.home.journal()
    }

    /// The file of its adopted policy.
    #[must_use]
    pub fn policy(&self) -> PathBuf {
        self.party.home.policy(&self.party.name)
    }

    /// The mind. A seller has none.
    ///
    /// # Panics
    /// For a seller.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test that asks a seller for its mind is wrong")]
    pub fn agent(&self) -> Agent {
        self.agent.clone().expect("a seller does not think")
    }

    /// The mind as the account below it that its policy names `[sub_agent.NAME]`, without tools.
    ///
    /// # Errors
    /// Where the policy names no such account.
    pub async fn sub_agent(&self, name: &str) -> Result<Agent> {
        let folder = self.party.home.agent(&self.party.name).join("sub").join(name);
        let client = Client::connect(folder.join("steward.sock")).await?;
        Ok(self.agent().as_account(name, Arc::new(client)))
    }

    /// A connection to the steward, as the mind has it.
    #[must_use]
    pub fn steward(&self) -> Client {
        self.client.clone()
    }

    /// Every window of every limit with what was spent in it.
    ///
    /// # Errors
    /// Where the steward does not answer.
    pub async fn spent(&self) -> Result<Spending> {
        Ok(self.agent().spent().await?)
    }

    /// Waits until something is held for the owner, and approves all that is; how much that was.
    ///
    /// # Errors
    /// Where nothing is held within 60 s, or the steward refuses the approval.
    pub async fn approves(&self) -> Result<usize> {
        self.decides(|view, held, now| Statement::Approve {
            agent: view.to_owned(),
            intent: held.id,
            body: held.intent.body_hash(),
            version: now.1,
            deadline: now.0 / 1_000 + GOOD_FOR,
        })
        .await
    }

    /// Waits until something is held for the owner, and denies all that is; how much that was.
    ///
    /// # Errors
    /// As for [`Citizen::approves`].
    pub async fn denies(&self) -> Result<usize> {
        self.decides(|agent, held, _| Statement::Deny {
            agent: agent.to_owned(),
            intent: held.id,
            body: held.intent.body_hash(),
        })
        .await
    }

    async fn decides(
        &self,
        decision: impl Fn(&str, &marque_steward_client::HeldView, (u64, u64)) -> Statement,
    ) -> Result<usize> {
        let begun = tokio::time::Instant::now();
        loop {
            let queue = self.client.queue(None, Duration::ZERO).await?;
            for held in &queue.held {
                let statement = decision(self.name(), held, (queue.now, queue.policy_version));
                let signed: SignedStatement =
                    self.owner().sign(statement, queue.chain, queue.origin, None);
                self.client.submit(signed).await?;
            }
            if !queue.held.is_empty() {
                return Ok(queue.held.len());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("nothing of {} is held for its owner", self.name()).into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the steward and opens its home again, as after a crash: what it acknowledged is there.
    ///
    /// # Errors
    /// Where it does not come up again.
    pub async fn restarts(&mut self) -> Result {
        drop(self.steward.take());
        let begun = tokio::time::Instant::now();
        let steward = loop {
            // The old one's lock is let go of when its last task has ended.
            match start(&self.party, &self.options).await {
                Ok((steward, _)) => break steward,
                Err(error) if begun.elapsed() > PATIENCE => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        self.steward = Some(steward);
        Ok(())
    }
}

/// Starts a party's steward in this process.
async fn start(party: &Party, options: &Options) -> Result<(Steward, Client)> {
    let home = marque_steward::Home::open(party.home.path())?;
    let options = Options {
        poll: options.poll,
        rate: options.rate,
        ahead: Arc::clone(&options.ahead),
        ..Options::default()
    };
    let steward = Steward::start(home, party.unlock.clone(), options).await?;
    let client = connect(&party.home.socket(&party.name), PATIENCE).await?;
    Ok((steward, client))
}

impl From<&Citizen> for Address {
    fn from(citizen: &Citizen) -> Self {
        citizen.address()
    }
}
