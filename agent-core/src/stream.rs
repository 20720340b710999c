//! A run that is watched: its events as they happen, tokens included, and its typed answer at the
//! end.

use crate::{Agent, AgentError, Event, Task, agent::Claim};
use futures::{FutureExt as _, Stream, future::BoxFuture};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::{
    fmt,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};
use tokio::sync::broadcast::{self, error::TryRecvError};

/// A run under way. It is a [`Stream`] of [`Event`]s and goes on while it is asked for the next one,
/// or for its answer; dropped, it stops where it is, and its task can be taken up again.
///
/// ```no_run
/// # async fn example(agent: marque_agent_core::Agent) -> Result<(), marque_agent_core::AgentError> {
/// use marque_agent_core::Event;
///
/// let mut run = agent.run_stream::<String>("Is it windy in Horta?");
/// while let Some(event) = run.next().await {
///     if let Event::Text { text, .. } = event {
///         print!("{text}");
///     }
/// }
/// println!("{}", run.answer().await?);
/// # Ok(())
/// # }
/// ```
#[must_use = "a run does nothing until it is asked for its events or its answer"]
pub struct Run<T> {
    work: Option<BoxFuture<'static, Result<T, AgentError>>>,
    answer: Option<Result<T, AgentError>>,
    events: broadcast::Receiver<Event>,
    task: Arc<OnceLock<String>>,
}

impl Agent {
    /// As [`Agent::run`], watched: a stream of what happens, which ends with the typed answer.
    pub fn run_stream<T>(&self, goal: impl Into<String>) -> Run<T>
    where
        T: DeserializeOwned + JsonSchema + 'static,
    {
        let goal = goal.into();
        self.watched(async move |agent| agent.begin(&goal).await)
    }

    /// As [`Agent::run_as`], watched.
    pub fn run_stream_as<T>(&self, task: impl Into<String>, goal: impl Into<String>) -> Run<T>
    where
        T: DeserializeOwned + JsonSchema + 'static,
    {
        let (task, goal) = (task.into(), goal.into());
        self.watched(async move |agent| agent.begin_as(&task, &goal).await)
    }

    /// As [`Agent::resume`], watched.
    pub fn resume_stream<T>(&self, task: impl Into<String>) -> Run<T>
    where
        T: DeserializeOwned + JsonSchema + 'static,
    {
        let task = task.into();
        self.watched(async move |agent| agent.kept(&task).await)
    }

    fn watched<T, F, B>(&self, begin: F) -> Run<T>
    where
        T: DeserializeOwned + JsonSchema + 'static,
        F: FnOnce(Self) -> B + Send + 'static,
        B: Future<Output = Result<(Task, Claim), AgentError>> + Send,
    {
        let (agent, events) = (self.clone(), self.events());
        let task = Arc::new(OnceLock::new());
        let name = Arc::clone(&task);
        let work = async move {
            let (task, claim) = begin(agent.clone()).await?;
            name.get_or_init(|| task.id().to_owned());
            agent.pursue(task, claim).await
        };
        Run { work: Some(work.boxed()), answer: None, events, task }
    }
}

impl<T> Run<T> {
    /// What happened next; `None` once there is an answer, or an error.
    ///
    /// A watcher that lets more than 256 events pass in one go loses the oldest of them.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// The answer. Works on until there is one.
    ///
    /// # Errors
    /// As for [`Agent::run`].
    pub async fn answer(mut self) -> Result<T, AgentError> {
        match (self.answer.take(), self.work.take()) {
            (Some(answer), _) => answer,
            (None, Some(work)) => work.await,
            (None, None) => Err(AgentError::OutOfTurn("a question for the answer")),
        }
    }

    /// The task's name, once it has begun.
    #[must_use]
    pub fn task(&self) -> Option<&str> {
        self.task.get().map(String::as_str)
    }

    /// Whether an event is of this run: of its task or of one below it.
    fn is_ours(&self, event: &Event) -> bool {
        let below = |task: &String| event.task().strip_prefix(task.as_str());
        let rest = self.task.get().and_then(below);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            // What has happened is told before the work goes on.
            loop {
                match self.events.try_recv() {
                    Ok(event) if self.is_ours(&event) => return Poll::Ready(Some(event)),
                    Ok(_) | Err(TryRecvError::Lagged(_)) => {}
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            let Some(work) = &mut self.work else { return Poll::Ready(None) };
            match work.as_mut().poll(cx) {
                Poll::Ready(answer) => {
                    self.answer = Some(answer);
                    self.work = None;
                }
                Poll::Pending if self.events.is_empty() => return Poll::Pending,
                Poll::Pending => {}
            }
        }
    }
}

impl<T> Stream for Run<T>
where
    T: Unpin,
{
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.get_mut().poll(cx)
    }
}

impl<T> fmt::Debug for Run<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("task", &self.task.get())
            .field("over", &self.work.is_none())
            .finish_non_exhaustive()
    }
}
