//! An agent: a name, a model, a steward, a memory and tools. A plain struct; clones share it.

use crate::{
    AgentError, Cost, Event, Files, Remote, Spending, Steward, Task, TaskLimits, Tool,
    config::{Config, DEFAULT_KEEP, DEFAULT_PATIENCE, Names},
    cx::{Scope, lock},
    memory::{Memory, blocking, random_hex},
    state::States,
    tape::{Tape, Taped},
};
use marque_models::{Llama, Model};
use marque_net::{Client as Net, Guard};
use marque_policies::Labels;
use marque_steward_client::{Client, View};
use marque_store::StoreError;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};
use tokio::sync::broadcast;
use url::Url;

/// The longest name of an agent, in bytes.
const MAX_NAME: usize = 32;

/// Events that a slow watcher may lag behind before it loses the oldest.
const EVENTS: usize = 256;

/// So long an agent has nothing to do before it closes what it can open again.
const REST: Duration = Duration::from_secs(10);

/// An autonomous agent, opened.
#[derive(Clone)]
pub struct Agent {
    pub(crate) core: Arc<Core>,
    pub(crate) tools: Vec<Arc<dyn Tool>>,
    pub(crate) states: States,
    /// Those of the tools that the policy need not permit.
    pub(crate) spare: BTreeSet<String>,
    /// The call on whose way it pursues goals.
    pub(crate) above: Option<Arc<Scope>>,
    /// Where the words of its goals come from, beside the owner.
    pub(crate) labels: Labels,
}

/// What all clones share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) name: String,
    pub(crate) model: Arc<dyn Model>,
    pub(crate) steward: Arc<dyn Steward>,
    pub(crate) memory: Memory,
    pub(crate) limits: TaskLimits,
    pub(crate) patience: Duration,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) names: Arc<Names>,
    pub(crate) tape: Option<Arc<Tape>>,
    /// One purchase at a time is weighed against the limits of its task.
    pub(crate) gate: Arc<tokio::sync::Mutex<()>>,
    /// The agent's folder in a home, where it has one.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) net: Mutex<Option<Net>>,
    pub(crate) running: Arc<Mutex<HashSet<String>>>,
    /// Tools of which was told that the policy does not permit them.
    pub(crate) missed: Arc<Mutex<HashSet<String>>>,
}

impl Agent {
    /// Opens the agent `name` in the home that `MARQUE_HOME` names: reads its `agent.toml`,
    /// connects to its steward, loads its model and opens its memory.
    ///
    /// # Errors
    /// [`AgentError::Home`], [`AgentError::Name`], [`AgentError::Unknown`], [`AgentError::Config`],
    /// [`AgentError::Unserved`], [`AgentError::Connect`], [`AgentError::Model`], [`AgentError::AtWork`] or
    /// [`AgentError::Store`].
    pub async fn open(name: &str) -> Result<Self, AgentError> {
        Self::open_with_model(name, None).await
    }

    /// As [`Agent::open`], thinking with the GGUF file `model` where one is given.
    ///
    /// # Errors
    /// As for [`Agent::open`].
    pub async fn open_with_model(name: &str, model: Option<&Path>) -> Result<Self, AgentError> {
        let chosen = model.map(Path::to_owned);
        let home = std::env::var_os("MARQUE_HOME").filter(|home| !home.is_empty());
        let home = PathBuf::from(home.ok_or(AgentError::Home)?);
        let folder = folder(&home, name)?;
        let config = Config::read(&folder)?;
        let socket = folder.join("steward.sock");
        let steward = match Client::connect(&socket).await {
            // A steward makes it with the first policy.
            Err(_) if !socket.exists() => return Err(AgentError::Unserved(name.to_owned())),
            steward => steward?,
        };
        let steward = Arc::new(steward);
        let Config { model, remote, llama, limits, patience, names, files, keep } = config;
        let model: Arc<dyn Model> = match remote.filter(|_| chosen.is_none()) {
            Some(remote) => {
                let wrong = |why| AgentError::Config { path: folder.join("agent.toml"), why };
                let options = remote.with_key().map_err(wrong)?;
                Arc::new(Remote::new(options, Arc::clone(&steward) as Arc<dyn Steward>)?)
            }
            None => Arc::new(
                blocking(move || {
                    let file = match chosen.or(model) {
                        Some(file) => file,
                        None => Llama::built_in_path()?,
                    };
                    Ok(Llama::load(file, llama)?)
                })
                .await?,
            ),
        };
        let builder = Self::builder(name)
            .model(model)
            .steward(steward)
            .mind_dir(folder.join("mind"))
            .limits(limits)
            .patience(patience)
            .names(names)
            .keep(keep);
        AgentBuilder { files, folder: Some(folder), ..builder }.build().await
    }

    /// Puts an agent together from parts: for tests, and for programs with a home of their own
    /// shape.
    #[must_use]
    pub fn builder(name: &str) -> AgentBuilder {
        AgentBuilder {
            name: name.to_owned(),
            model: None,
            steward: None,
            mind_dir: None,
            limits: TaskLimits::default(),
            patience: Duration::from_secs(DEFAULT_PATIENCE),
            names: Names::new(),
            recording: None,
            files: None,
            folder: None,
            keep: DEFAULT_KEEP,
        }
    }

    /// An agent that repeats what [`AgentBuilder::record`] wrote down, without a model, a steward or
    /// a network. Its loop and its tools are real; a question that was not asked when it was
    /// recorded is an error. [`Agent::sub_agent`] gives the accounts below it, from the same recording.
    ///
    /// # Errors
    /// [`AgentError::Recording`] for a file that is no recording; see [`AgentBuilder::build`].
    pub async fn replaying(
        name: &str,
        recording: impl AsRef<Path>,
        mind_dir: impl AsRef<Path>,
    ) -> Result<Self, AgentError> {
        let mut builder = Self::builder(name).mind_dir(mind_dir);
        builder.recording = Some(Recording::Read(recording.as_ref().to_owned()));
        builder.build().await
    }

    /// Adds a tool, in place of one that has its name. It is offered to the model while the policy
    /// permits a tool of that name; a run that begins without tells so.
    #[must_use]
    pub fn tool(mut self, tool: impl Tool + 'static) -> Self {
        self.spare.remove(tool.name());
        self.tools.retain(|other| other.name() != tool.name());
        self.tools.push(Arc::new(tool));
        self
    }

    /// As [`Agent::tool`], where nothing is amiss if the policy does not permit it.
    #[must_use]
    pub fn spare_tool(self, tool: impl Tool + 'static) -> Self {
        let name = tool.name().to_owned();
        let mut agent = self.tool(tool);
        agent.spare.insert(name);
        agent
    }

    /// The same agent, whose new tasks give up at other limits than those of its `agent.toml`; a task
    /// that was begun takes on what is lower. The policy stays the authority.
    #[must_use]
    pub fn limits(self, limits: TaskLimits) -> Self {
        let core = Arc::new(Core { limits, ..self.core.twin() });
        Self { core, ..self }
    }

    /// The same agent, whose goals were made from what has these labels: a form, a mail, another agent's
    /// question. Its tasks have them from their first call on, those that are taken up as well, and rules
    /// for labels bind them. A label makes a verdict stricter and never looser.
    #[must_use]
    pub fn labelled(mut self, labels: &Labels) -> Self {
        self.labels = self.labels.join(labels);
        self
    }

    /// Lends something to the tools that take a [`State`](crate::State) of its type, in place of
    /// one of that type.
    #[must_use]
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.states = self.states.with(value);
        self
    }

    /// Pursues a goal until the model answers.
    ///
    /// The model writes the answer under the schema of `T`: its fields where `T` is a struct with
    /// named fields, one value named `answer` otherwise.
    ///
    /// A task with this very goal that is kept unfinished, because the mind was killed or the owner
    /// had to be asked, is taken up again instead of starting anew: what it had bought is not
    /// bought twice. One that was begun under a name of somebody's choosing is left to whoever knows that
    /// name ([`Agent::run_as`], a queue).
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn run<T>(&self, goal: impl AsRef<str> + Send) -> Result<T, AgentError>
    where
        T: DeserializeOwned + JsonSchema,
    {
        let (task, claim) = self.begin(goal.as_ref()).await?;
        self.pursue(task, claim).await
    }

    /// As [`Agent::run`], under a name of the caller's. A task of this name that is there already
    /// is taken up, or answers again what it answered. Of those that are over the newest are there:
    /// see [`AgentBuilder::keep`]. One that is begun anew after that pays nothing twice.
    ///
    /// # Errors
    /// [`AgentError::TaskName`] for a name that no task can have, [`AgentError::OtherGoal`] where it is
    /// taken by another goal; see [`AgentError`].
    pub async fn run_as<T>(&self, task: &str, goal: impl AsRef<str> + Send) -> Result<T, AgentError>
    where
        T: DeserializeOwned + JsonSchema,
    {
        let (task, claim) = self.begin_as(task, goal.as_ref()).await?;
        self.pursue(task, claim).await
    }

    /// Takes up a kept task.
    ///
    /// # Errors
    /// [`AgentError::NoTask`] where there is none of this name; see [`AgentError`].
    pub async fn resume<T>(&self, task: &str) -> Result<T, AgentError>
    where
        T: DeserializeOwned + JsonSchema,
    {
        let (task, claim) = self.kept(task).await?;
        self.pursue(task, claim).await
    }

    /// The kept task of this name.
    pub(crate) async fn kept(&self, task: &str) -> Result<(Task, Claim), AgentError> {
        let id = self.place(task);
        let claim = self.core.claim(&id)?;
        let kept = self.core.memory.task(&id).await?;
        Ok((kept.ok_or(AgentError::NoTask(id))?, claim))
    }

    /// The unfinished task with this goal, or a new one.
    pub(crate) async fn begin(&self, goal: &str) -> Result<(Task, Claim), AgentError> {
        if let Some(scope) = &self.above {
            // Found again by its place in the call, which makes the same requests in the same order.
            let number = scope.below.fetch_add(1, Ordering::SeqCst);
            return self.begin_as(&number.to_string(), goal).await;
        }
        for id in self.core.memory.unfinished(goal).await? {
            if !is_given(&id) {
                continue;
            }
            let Ok(claim) = self.core.claim(&id) else { continue };
            let kept = self.core.memory.task(&id).await?;
            if let Some(task) = kept.filter(|task| task.goal() == goal && !task.is_over()) {
                return Ok((task, claim));
            }
        }
        let id = format!("{GIVEN}{}", random_hex::<6>()?);
        let claim = self.core.claim(&id)?;
        Ok((self.new_task(&id, goal)?, claim))
    }

    /// The task of this name, or a new one.
    pub(crate) async fn begin_as(
        &self,
        task: &str,
        goal: &str,
    ) -> Result<(Task, Claim), AgentError> {
        Task::vet_name(task)?;
        let id = self.place(task);
        let claim = self.core.claim(&id)?;
        let task = match self.core.memory.task(&id).await? {
            Some(kept) if kept.goal() == goal => kept,
            Some(kept) => {
                let (id, goal) = (kept.id().to_owned(), kept.goal().to_owned());
                return Err(AgentError::OtherGoal { id, goal });
            }
            None => self.new_task(&id, goal)?,
        };
        Ok((task, claim))
    }

    /// A kept task with its steps, to look at.
    ///
    /// # Errors
    /// [`AgentError::Store`] or [`AgentError::TaskUnreadable`].
    pub async fn task(&self, id: &str) -> Result<Option<Task>, AgentError> {
        self.core.memory.task(id).await
    }

    /// Everything that happens from now on. A watcher that falls far behind loses the oldest.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.core.events.subscribe()
    }

    /// Every window of every limit with what was spent in it, as the steward counts.
    ///
    /// # Errors
    /// [`AgentError::Steward`] where the steward does not answer.
    pub async fn spent(&self) -> Result<Spending, AgentError> {
        Ok(Spending::of(&self.standing().await?))
    }

    /// What a task has cost so far, over all its runs and with the tasks below it: all that was signed
    /// for. A payment of which the seller then takes less (`upto`) counts whole.
    ///
    /// # Errors
    /// [`AgentError::Store`], [`AgentError::Memory`], or [`AgentError::Steward`] where the steward,
    /// which knows the names of the assets, does not answer.
    pub async fn cost(&self, task: &str) -> Result<Cost, AgentError> {
        let spent = crate::purse::spent(&self.core.memory, task, &[]).await?;
        Ok(Cost::of(&self.standing().await?, spent))
    }

    /// What the model was shown of a step's result may be a part of it: this is the whole, as JSON.
    ///
    /// # Errors
    /// [`AgentError::Store`] or [`AgentError::Memory`].
    pub async fn result(&self, task: &str, step: u32) -> Result<Option<String>, AgentError> {
        self.core.memory.said(task, step, "result").await
    }

    /// What this agent may do and has left, as the steward sees it now.
    ///
    /// # Errors
    /// [`AgentError::Steward`] where the steward does not answer.
    pub async fn view(&self) -> Result<View, AgentError> {
        self.core.steward.view().await.map_err(AgentError::Steward)
    }

    /// The same without the intents, which is quicker.
    pub(crate) async fn standing(&self) -> Result<View, AgentError> {
        self.core.steward.standing().await.map_err(AgentError::Steward)
    }

    /// The agent's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// The model that it thinks with.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn Model> {
        &self.core.model
    }
}

/// How the name of a task begins that nobody named.
const GIVEN: &str = "task-";

/// Whether a task has its name from here, and not from whoever began it.
fn is_given(id: &str) -> bool {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    id.strip_prefix(GIVEN).is_some_and(|rest| rest.len() == 12 && rest.bytes().all(is_hex))
}

impl Core {
    /// The same again, to be changed in a part.
    pub(crate) fn twin(&self) -> Self {
        Self {
            name: self.name.clone(),
            model: Arc::clone(&self.model),
            steward: Arc::clone(&self.steward),
            memory: self.memory.clone(),
            limits: self.limits.clone(),
            patience: self.patience,
            events: self.events.clone(),
            names: Arc::clone(&self.names),
            gate: Arc::clone(&self.gate),
            folder: self.folder.clone(),
            tape: self.tape.clone(),
            net: Mutex::new(None),
            running: Arc::clone(&self.running),
            missed: Arc::default(),
        }
    }

    /// Marks a task as being run, until the claim is dropped.
    fn claim(self: &Arc<Self>, task: &str) -> Result<Claim, AgentError> {
        if !lock(&self.running).insert(task.to_owned()) {
            return Err(AgentError::Running(task.to_owned()));
        }
        Ok(Claim { core: Arc::clone(self), task: task.to_owned() })
    }

    /// Lets the agent rest in a while, if it has nothing to do until then.
    fn doze(self: &Arc<Self>) {
        // Without a runtime nothing is scheduled, and it stays as it is.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (core, uses) = (Arc::downgrade(self), self.memory.store.uses());
        runtime.spawn(async move {
            tokio::time::sleep(REST).await;
            let Some(core) = core.upgrade() else { return };
            if lock(&core.running).is_empty() && core.memory.store.uses() == uses {
                lock(&core.net).take();
                let store = Arc::clone(&core.memory.store);
                let rested = blocking(move || {
                    store.rest(uses);
                    Ok(())
                });
                if let Err(error) = rested.await {
                    tracing::debug!(%error, "an agent did not come to rest");
                }
            }
        });
    }

    /// Tells of tools that the policy does not permit, of each once: without a word it would be as if
    /// the program did not have them.
    pub(crate) fn tell_of_missing(
        &self,
        tools: &[Arc<dyn Tool>],
        spare: &BTreeSet<String>,
        view: &View,
    ) {
        let meant = tools.iter().map(|tool| tool.name()).filter(|name| !spare.contains(*name));
        for name in meant.filter(|name| !view.tools.iter().any(|known| known.name == **name)) {
            if !lock(&self.missed).insert(name.to_owned()) {
                continue;
            }
            crate::notice::warn(&match &view.sub_agent {
                Some(account) => format!(
                    "the policy of {} does not permit {account} the tool \"{name}\", so no model is \
                     told of it; add it to the tools of [sub_agent.{account}] and adopt that",
                    self.name
                ),
                None => format!(
                    "the policy of {} does not permit the tool \"{name}\", so no model is told of it; \
                     add the lines [[tool]] and name = \"{name}\" (and hosts = [\"...\"] if it \
                     fetches), and adopt that",
                    self.name
                ),
            });
        }
    }

    /// Nobody has to watch.
    pub(crate) fn emit(&self, event: Event) {
        drop(self.events.send(event));
    }

    /// A client that reaches this machine only where the policy names it. Made anew when the policy
    /// names other hosts.
    pub(crate) fn net(&self, view: &View) -> Result<Net, AgentError> {
        let tools = view.tools.iter().flat_map(|tool| &tool.hosts);
        let payees = view.payees.iter().filter_map(|payee| payee.host.as_ref());
        let guard = Guard::naming(tools.chain(payees).map(String::as_str));
        let net = &mut *lock(&self.net);
        match net {
            Some(net) if *net.guard() == guard => Ok(net.clone()),
            _ => Ok(net.insert(Net::new(guard)?).clone()),
        }
    }
}

/// A task that is being run. One task is never run twice at the same time.
#[derive(Debug)]
pub(crate) struct Claim {
    core: Arc<Core>,
    task: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.core.running).remove(&self.task);
        self.core.doze();
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tools: Vec<_> = self.tools.iter().map(|tool| tool.name()).collect();
        f.debug_struct("Agent")
            .field("name", &self.core.name)
            .field("model", self.core.model.info())
            .field("tools", &tools)
            .finish_non_exhaustive()
    }
}

/// The parts of an agent.
#[derive(Debug)]
pub struct AgentBuilder {
    name: String,
    model: Option<Arc<dyn Model>>,
    steward: Option<Arc<dyn Steward>>,
    mind_dir: Option<PathBuf>,
    limits: TaskLimits,
    patience: Duration,
    names: Names,
    recording: Option<Recording>,
    files: Option<Files>,
    folder: Option<PathBuf>,
    keep: usize,
}

/// What becomes of a recording.
#[derive(Debug)]
enum Recording {
    Written(PathBuf),
    Read(PathBuf),
}

impl AgentBuilder {
    /// What it thinks with.
    #[must_use]
    pub fn model(mut self, model: Arc<dyn Model>) -> Self {
        self.model = Some(model);
        self
    }

    /// Who decides.
    #[must_use]
    pub fn steward(mut self, steward: Arc<dyn Steward>) -> Self {
        self.steward = Some(steward);
        self
    }

    /// Where it keeps its tasks. One process at a time.
    #[must_use]
    pub fn mind_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.mind_dir = Some(dir.as_ref().to_owned());
        self
    }

    /// When a new task gives up.
    #[must_use]
    pub fn limits(mut self, limits: TaskLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How long a run waits for the owner before it ends with [`AgentError::Held`].
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What the model calls a place (`https://feed.example`), and where it is.
    #[must_use]
    pub fn names(mut self, names: BTreeMap<String, Url>) -> Self {
        self.names = names;
        self
    }

    /// Writes down what the model says, what the steward answers and what comes over the network,
    /// for [`Agent::replaying`], that of the accounts below it included. Prompts and pages stand in the
    /// file as they were.
    #[must_use]
    pub fn record(mut self, recording: impl AsRef<Path>) -> Self {
        self.recording = Some(Recording::Written(recording.as_ref().to_owned()));
        self
    }

    /// The folder whose files its tools may read, and perhaps write.
    #[must_use]
    pub fn files(mut self, files: Files) -> Self {
        self.files = Some(files);
        self
    }

    /// So many tasks that are over are kept, the newest, and at least one; 1,000 where nothing is said.
    /// Unfinished ones stay. What came of a task is remembered for longer, in a line.
    #[must_use]
    pub const fn keep(mut self, tasks: usize) -> Self {
        self.keep = tasks;
        self
    }

    /// Opens the memory.
    ///
    /// # Errors
    /// [`AgentError::Name`], [`AgentError::Incomplete`], [`AgentError::AtWork`],
    /// [`AgentError::Memory`], [`AgentError::Recording`] or [`AgentError::Store`].
    pub async fn build(self) -> Result<Agent, AgentError> {
        vet_name(&self.name)?;
        let real = || {
            let model = self.model.ok_or(AgentError::Incomplete("model"))?;
            let steward = self.steward.ok_or(AgentError::Incomplete("steward"))?;
            Ok::<_, AgentError>((model, steward))
        };
        let (model, steward, tape) = match self.recording {
            None => {
                let (model, steward) = real()?;
                (model, steward, None)
            }
            Some(Recording::Written(path)) => {
                let (model, steward) = real()?;
                let tape = Arc::new(Tape::write(&path, model.info())?);
                Taped::both(tape, Some((model, steward)))
            }
            Some(Recording::Read(path)) => Taped::both(Arc::new(Tape::read(&path)?), None),
        };
        let dir = self.mind_dir.ok_or(AgentError::Incomplete("folder for its mind"))?;
        let memory = match Memory::open(&dir).await {
            Err(AgentError::Store(StoreError::Locked(_))) => {
                Err(AgentError::AtWork(self.name.clone()))
            }
            memory => memory,
        };
        let core = Core {
            name: self.name,
            model,
            steward,
            memory: memory?.granting(self.files).holding(self.keep),
            limits: self.limits,
            patience: self.patience,
            events: broadcast::Sender::new(EVENTS),
            names: Arc::new(self.names),
            tape,
            gate: Arc::default(),
            folder: self.folder,
            net: Mutex::new(None),
            running: Arc::default(),
            missed: Arc::default(),
        };
        let core = Arc::new(core);
        core.doze();
        Ok(Agent {
            core,
            tools: Vec::new(),
            states: States::default(),
            spare: BTreeSet::new(),
            above: None,
            labels: Labels::default(),
        })
    }
}

/// The folder of an agent in a home.
pub(crate) fn folder(home: &Path, name: &str) -> Result<PathBuf, AgentError> {
    vet_name(name)?;
    let folder = home.join("agents").join(name);
    if !folder.is_dir() {
        return Err(AgentError::Unknown { name: name.to_owned(), home: home.to_owned() });
    }
    Ok(folder)
}

/// A name is a folder's name and nothing else.
pub(crate) fn vet_name(name: &str) -> Result<(), AgentError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
        return Err(AgentError::Name(name.escape_debug().take(MAX_NAME).collect()));
    }
    Ok(())
}
