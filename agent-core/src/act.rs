//! Making the calls of a reply: at the same time where none needs another, in order otherwise, each
//! under its own step, within its time, and told to the model in words that it can act on.

use crate::{
    Agent, AgentError, Call, Cx, Event, Task, Tool, ToolError,
    call::READ_MORE,
    context::{self, Whole},
    cx::{Scope, lock},
    memory::Said,
    purse::Purse,
    task::{Failure, Feed},
};
use futures::{FutureExt as _, StreamExt as _, stream};
use marque_payments::{Authority, Buyer, PaymentError, Rule};
use marque_policies::{Argument, Labels, Row, verdict::Mark};
use marque_steward_client::View;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;
use tracing::Instrument as _;

/// Characters of an error that a model is shown.
const ERROR: usize = 160;

/// What came of a call.
struct Done {
    result: Value,
    labels: Labels,
    /// Time that it waited for the owner.
    waited: Duration,
    /// Why the task ends with it.
    over: Option<Failure>,
    /// Tokens of the goals below it.
    tokens: u64,
}

impl Agent {
    /// Makes calls, `first` where none of them was made before, and takes down what came of each as it
    /// comes.
    pub(crate) async fn act(
        &self,
        task: &mut Task,
        due: Vec<(u32, Call)>,
        first: bool,
    ) -> Result<(), AgentError> {
        let info = self.core.model.info();
        let room = context::room_for_result(info.context_length) / due.len().max(1);
        let built_in = info.built_in;
        let together = due.iter().all(|(_, call)| self.is_independent(call));
        let at_once = if together { due.len() } else { 1 };
        // What all of them start from, whichever is back first.
        let start = task.clone();
        let calls = due.into_iter().map(|(step, call)| {
            let start = &start;
            async move {
                let done = self.make(start, &call, step, first).await;
                (step, call, done)
            }
        });
        let mut calls = stream::iter(calls).buffer_unordered(at_once);
        let mut mark = Instant::now();
        let mut interruption = None;
        while let Some((step, call, done)) = calls.next().await {
            let Done { result, labels, waited, over, tokens } = match done {
                Ok(done) => done,
                // The others are let to their end, so that they are not made again.
                Err(error) if together => {
                    interruption.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            task.count(tokens);
            let took = mark.elapsed().saturating_sub(waited);
            mark = Instant::now();
            let said = Said::new(step, "result", result.to_string())?;
            if let Some(failure) = over {
                return self.take_down(task, Feed::Over(failure), took, &said).await;
            }
            let rest = if built_in { Whole::Gone } else { Whole::At(step) };
            let result = context::shorten(result, room.max(context::LEAST_RESULT), rest);
            self.core.emit(Event::Result {
                task: task.id().to_owned(),
                step,
                tool: call.tool.clone(),
                result: result.clone(),
            });
            self.take_down(task, Feed::Observed { step, result, labels }, took, &said).await?;
        }
        interruption.map_or(Ok(()), Err)
    }

    /// Whether a call may be made while others are under way.
    fn is_independent(&self, call: &Call) -> bool {
        call.tool == READ_MORE
            || self.tools.iter().any(|tool| tool.name() == call.tool && tool.independent())
    }

    /// Makes one call.
    async fn make(
        &self,
        task: &Task,
        call: &Call,
        step: u32,
        first: bool,
    ) -> Result<Done, AgentError> {
        let core = &self.core;
        core.emit(Event::Call { task: task.id().to_owned(), step, call: call.clone() });
        let done = |result| Done {
            result,
            labels: task.labels().clone(),
            waited: Duration::ZERO,
            over: None,
            tokens: 0,
        };
        if call.tool == READ_MORE && !core.model.info().built_in {
            return Ok(done(self.read_more(task, &call.args).await?));
        }
        let Some(tool) = self.tools.iter().find(|tool| tool.name() == call.tool) else {
            return Ok(done(json!({ "error": "no such tool" })));
        };
        let view = self.standing().await?;
        let cx = Cx::new(Scope { first, ..self.scope(task, call, step, &view)? });
        let scope = cx.scope();
        let left = task.limits().time.map(|time| time.saturating_sub(task.used().time));
        let limit = left.unwrap_or(Duration::MAX).min(task.limits().timeout);
        let span = tracing::info_span!(
            "execute_tool",
            gen_ai.operation.name = "execute_tool",
            gen_ai.tool.name = call.tool,
        );
        let outcome =
            within(limit, scope, perform(tool.as_ref(), &cx, call)).instrument(span).await;
        if let Some(interruption) = lock(&scope.interrupted).take() {
            return Err(interruption);
        }
        let waited = scope.waited();
        let late = outcome.is_none() && left.is_some_and(|left| left <= limit);
        let result = match outcome {
            Some(Ok(result)) => result,
            Some(Err(error)) => told(&error, core.model.info().built_in),
            // What was paid for may be on its way. The same call asks for the same goods again.
            None if !late && scope.purse.paying.load(Ordering::SeqCst) => {
                return Err(AgentError::Slow { tool: call.tool.clone(), limit });
            }
            None => json!({ "error": format!("no result within {} s", limit.as_secs_f32()) }),
        };
        let labels = lock(&scope.labels).clone();
        let tokens = scope.tokens.load(Ordering::SeqCst);
        let over = match late {
            true => Some(Failure::Time(task.limits().time.unwrap_or_default())),
            false => scope.used_before.load(Ordering::SeqCst).then_some(Failure::NameUsed),
        };
        Ok(Done { result, labels, waited, over, tokens })
    }

    /// A part of an earlier result of the same task that was shortened.
    async fn read_more(&self, task: &Task, args: &Map<String, Value>) -> Result<Value, AgentError> {
        let number = |name: &str| args.get(name).and_then(Value::as_u64);
        let step = number("step").and_then(|step| u32::try_from(step).ok());
        let whole = match step {
            Some(step) => self.core.memory.said(task.id(), step, "result").await?,
            None => None,
        };
        let part = number("part").and_then(|part| usize::try_from(part).ok()).unwrap_or(1);
        let room = context::room_for_result(self.core.model.info().context_length);
        Ok(match whole {
            Some(whole) => context::part(&whole, part, room),
            None => json!({ "error": "no step of this task has that number" }),
        })
    }

    /// What the task, and those that it is below, may spend.
    pub(crate) fn purse(&self, task: &Task) -> Arc<Purse> {
        let core = &self.core;
        let id = task.id();
        let mut allowances = vec![(id.to_owned(), task.limits().spend.clone())];
        // An owner who lowers what may be spent means the tasks that are kept as well.
        if core.limits.spend != task.limits().spend {
            allowances.push((id.to_owned(), core.limits.spend.clone()));
        }
        // What is spent below a task is written down where the task's own spending is.
        let (memory, gate) = match &self.above {
            Some(above) => {
                allowances.extend(above.purse.allowances.iter().cloned());
                (above.purse.memory.clone(), Arc::clone(&above.purse.gate))
            }
            None => (core.memory.clone(), Arc::clone(&core.gate)),
        };
        let (steward, paying) = (Arc::clone(&core.steward), AtomicBool::new(false));
        Arc::new(Purse { steward, memory, allowances, gate, paying })
    }

    fn scope(&self, task: &Task, call: &Call, step: u32, view: &View) -> Result<Scope, AgentError> {
        let core = &self.core;
        let purse = self.purse(task);
        let authority: Arc<dyn Authority> = Arc::clone(&purse) as Arc<dyn Authority>;
        Ok(Scope {
            steward: Arc::clone(&core.steward),
            buyer: Buyer::new(core.net(view)?, authority),
            memory: core.memory.clone(),
            events: core.events.clone(),
            names: Arc::clone(&core.names),
            states: self.states.clone(),
            tape: core.tape.clone(),
            patience: core.patience,
            task: task.id().to_owned(),
            step,
            first: false,
            used_before: AtomicBool::new(false),
            tool: call.tool.clone(),
            arguments: constrained(call, view),
            ordinal: AtomicU32::new(0),
            labels: Mutex::new(task.labels().clone()),
            interrupted: Mutex::new(None),
            agent: self.clone(),
            purse,
            below: AtomicU32::new(0),
            tokens: AtomicU64::new(0),
            tokens_left: task.limits().tokens.map(|limit| limit.saturating_sub(task.used().tokens)),
            waits: Mutex::default(),
        })
    }
}

/// What came of it within `limit`, in which waiting for the owner does not count.
async fn within<T>(limit: Duration, scope: &Scope, work: impl Future<Output = T>) -> Option<T> {
    let began = Instant::now();
    let mut work = std::pin::pin!(work);
    loop {
        let over = limit.saturating_add(scope.waited()).saturating_sub(began.elapsed());
        if over.is_zero() {
            return None;
        }
        if let Ok(done) = tokio::time::timeout(over, work.as_mut()).await {
            return Some(done);
        }
    }
}

/// The arguments of a call that the policy constrains, as an intent tells them.
fn constrained(call: &Call, view: &View) -> BTreeMap<String, Argument> {
    let tool = view.tools.iter().find(|tool| tool.name == call.tool);
    let names = tool.into_iter().flat_map(|tool| &tool.arguments);
    names.filter_map(|name| Some((name.clone(), argument(call.args.get(name)?)))).collect()
}

fn argument(value: &Value) -> Argument {
    match value {
        Value::Bool(flag) => Argument::Flag(*flag),
        Value::String(text) => Argument::Text(text.clone()),
        other => match other.as_i64() {
            Some(number) => Argument::Integer(number),
            None => Argument::Text(other.to_string()),
        },
    }
}

/// Proposes the use of the tool, then uses it.
async fn perform(tool: &dyn Tool, cx: &Cx, call: &Call) -> Result<Value, ToolError> {
    let scope = cx.scope();
    let ordinal = scope.ordinal.fetch_add(1, Ordering::SeqCst);
    let labels = lock(&scope.labels).clone();
    scope.use_tool(ordinal, None, labels).await?;
    // What a tool breaks by is that call's error: the task would meet it again whenever it is taken up.
    let work = async { tool.call(cx, Value::Object(call.args.clone())).await };
    let broken = |_| ToolError::Failed("the tool broke; other arguments may not break it".into());
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(broken(panic)))
}

/// An error as the model is told it: what it is, the facts that were checked, and what is left to
/// do. Never a number to come closer to, and never a question: there is nobody to persuade.
fn told(error: &ToolError, built_in: bool) -> Value {
    let words = error.to_string();
    tracing::debug!(error = words, "a call brought nothing");
    let mut told = Map::new();
    told.insert("error".to_owned(), words.chars().take(ERROR).collect::<String>().into());
    if built_in {
        // It was trained with the words alone.
        return Value::Object(told);
    }
    for (fact, holds) in facts(error) {
        told.insert(fact.to_owned(), holds.into());
    }
    if let Some(mend) = mend(error) {
        told.insert("instead".to_owned(), mend.into());
    }
    Value::Object(told)
}

/// What the runtime or the policy found out about a payment that did not come about.
fn facts(error: &ToolError) -> Vec<(&'static str, bool)> {
    match error {
        ToolError::Refused { table, .. } => {
            let failed = |parts: &[&str]| {
                let mut rows = table.iter().filter(|row| row.mark == Mark::Fail);
                rows.any(|Row { rule, .. }| parts.iter().any(|part| rule.contains(part)))
            };
            let mut facts = Vec::new();
            if failed(&["limits.", ".hour", ".day", ".days30", ".total", ".payment"]) {
                facts.push(("affordable", false));
            }
            if failed(&["payee.known", ".payees"]) {
                facts.push(("payee_known", false));
            }
            facts
        }
        ToolError::Payment(PaymentError::Terms(objections)) => {
            let objects = |rule| objections.iter().any(|objection| objection.rule == rule);
            let mut facts = Vec::new();
            if objects(Rule::Payee) {
                facts.push(("payee_known", false));
            } else if objects(Rule::Amount) {
                facts.extend([("payee_known", true), ("within_maximum", false)]);
            }
            facts
        }
        _ => Vec::new(),
    }
}

/// What a model can do about it.
fn mend(error: &ToolError) -> Option<&'static str> {
    const ELSE: &str = "do something else, or finish";
    match error {
        ToolError::Arguments(_) | ToolError::Url(_) => Some("mend the arguments"),
        ToolError::Refused { table, .. } => {
            let mut failed = table.iter().filter(|row| row.mark == Mark::Fail).peekable();
            let mendable =
                failed.peek().is_some() && failed.all(|row| row.rule.contains(".arguments."));
            Some(if mendable { "mend the arguments" } else { ELSE })
        }
        ToolError::Denied { .. } | ToolError::Over { .. } => Some(ELSE),
        ToolError::Payment(PaymentError::Terms(_)) => Some("ask another seller, or finish"),
        _ => None,
    }
}
