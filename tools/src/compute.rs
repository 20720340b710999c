//! `hire`: buys a completion from whoever the policy names for it. `hire_compute` is the same for the
//! built-in model, whose jobs are about the data that was read last.
//!
//! The seller is the payee whose host the policy permits to the tool: neither the model nor a page
//! chooses who is paid.

use crate::{
    page::{ABOUT, Latest},
    text::beginning,
};
use alloy_primitives::U256;
use marque_agent_core::{Cx, ToolError};
use marque_compute::{Completion, ComputeError, Job};
use marque_macros::tool;
use marque_models::{Constraint, Message};
use marque_net::Method;
use marque_policies::Money;
use marque_steward_client::{AssetView, View};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

/// The most tokens that `hire_compute` buys.
const TOKENS: u32 = 64;

/// The most tokens that `hire` buys.
const MORE_TOKENS: u32 = 512;

/// The longest job, in characters.
const JOB: usize = 4_000;

/// Characters of an answer that are shown.
const SHOWN: usize = 1_000;

/// Bytes of a request beside its messages, with room to spare.
const AROUND: usize = 1024;

/// What [`hire_compute`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hired {
    /// Whether it was done.
    pub ok: bool,
    /// Under which name the whole result is kept, with the ending `.txt`.
    pub id: String,
}

/// Has a job done on the data that was read last, by the seller that the policy names, for at most
/// `max_price` whole units of the agent's token.
///
/// # Errors
/// [`ToolError::Failed`] with "no offer" where the policy names no seller, otherwise as for
/// [`Cx::get`].
#[tool(crate = marque_agent_core, description = "run a job on hired compute")]
pub async fn hire_compute(cx: &Cx, job: String, max_price: u32) -> Result<Hired, ToolError> {
    let view = cx.view().await?;
    let asset = purse(&view)?;
    let scale = U256::from(10).checked_pow(U256::from(asset.decimals));
    let units = scale.and_then(|scale| scale.checked_mul(U256::from(max_price)));
    let units = units.ok_or_else(|| ToolError::Arguments("max_price is too much".to_owned()))?;
    let job = describe(&job, latest(cx)?.as_ref());
    let max = Money::new(units, asset.id);
    let bought = buy(&cx.max_price(max), &endpoint(&view, "hire_compute")?, &job).await?;
    let text = answer_of(&bought.text);
    let hash = hex::encode(Sha256::digest(&text));
    let id = format!("job-{}", hash.get(..4).unwrap_or_default());
    cx.keep(&format!("{id}.txt"), text.as_bytes())?;
    Ok(Hired { ok: true, id })
}

/// What [`hire`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answered {
    /// What was written, cut where it is too long.
    pub text: String,
    /// Where the whole is kept if that is not all of it: a `url` for `fetch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole: Option<String>,
}

/// Has a job done by a hired model: the payee's whose host the policy permits to this tool. It sees the
/// job and nothing else, so what it needs stands in it.
///
/// # Errors
/// [`ToolError::Failed`] with "no offer" where the policy names no seller, [`ToolError::Arguments`] for
/// a job of no or more than 4,000 characters, otherwise as for [`Cx::get`] and [`Cx::amount`].
#[tool(crate = marque_agent_core, description = "have a larger model do a job, for pay")]
pub async fn hire(
    cx: &Cx,
    /// what to do, with all that is needed for it
    job: String,
    /// such as "0.05 USDC"
    max_price: Option<String>,
) -> Result<Answered, ToolError> {
    let length = job.chars().count();
    if job.trim().is_empty() || length > JOB {
        let why = format!("the job has {length} characters; it takes 1 to {JOB}");
        return Err(ToolError::Arguments(why));
    }
    let view = cx.view().await?;
    let endpoint = endpoint(&view, "hire")?;
    let cx = match max_price {
        None => cx.clone(),
        Some(text) => cx.max_price(cx.amount(&text).await?),
    };
    let job = Job::new(vec![Message::user(job)], MORE_TOKENS);
    let text = buy(&cx, &endpoint, &job).await?.text;
    let shown = beginning(&text, SHOWN);
    let whole = if shown == text { None } else { Some(cx.put_aside(&text)?) };
    Ok(Answered { text: shown, whole: whole.map(|name| format!("kept:{name}")) })
}

/// Buys a completion from a seller.
async fn buy(cx: &Cx, endpoint: &Url, job: &Job) -> Result<Completion, ToolError> {
    let bytes = job.messages.iter().fold(AROUND, |sum, message| {
        // Quotes and line ends take two bytes in JSON.
        sum.saturating_add(message.content.len().saturating_mul(2))
    });
    let bought: Completion = cx
        .buy(&Method::POST, endpoint, bytes as u64, |buyer, errand| {
            let (endpoint, job) = (endpoint.clone(), job.clone());
            async move {
                let bought = marque_compute::hire(&buyer, &endpoint, &job, &errand).await;
                bought.map_err(into_tool_error)
            }
        })
        .await?;
    if let Some(paid) = &bought.paid {
        cx.announce(paid);
    }
    Ok(bought)
}

/// The one token that this agent pays with.
pub(crate) fn purse(view: &View) -> Result<&AssetView, ToolError> {
    let mut tokens = view.assets.iter().filter(|asset| !asset.id.is_native());
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => Ok(token),
        _ => Err(ToolError::Arguments("the policy must name exactly one token".to_owned())),
    }
}

/// Where the seller listens whom the policy permits to a tool.
fn endpoint(view: &View, tool: &str) -> Result<Url, ToolError> {
    let no_offer = || ToolError::Failed("no offer".into());
    let tool = view.tools.iter().find(|permitted| permitted.name == tool);
    let hosts = tool.map(|tool| tool.hosts.as_slice()).unwrap_or_default();
    let mut payees = view.payees.iter().filter_map(|payee| payee.host.as_deref());
    let host = payees.find(|host| hosts.iter().any(|h| h == host)).ok_or_else(no_offer)?;
    let scheme = if is_loopback(host) { "http" } else { "https" };
    Url::parse(&format!("{scheme}://{host}/v1/chat/completions")).map_err(|_| no_offer())
}

/// Whether this is a host on this machine, which is spoken to without TLS.
fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost"
        || name
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// What was read last, if anything was.
fn latest(cx: &Cx) -> Result<Option<Latest>, ToolError> {
    let Some(about) = cx.kept(ABOUT)? else { return Ok(None) };
    serde_json::from_slice(&about)
        .map(Some)
        .map_err(|error| ToolError::Memory(format!("{ABOUT}: {error}")))
}

/// The job as a conversation that ends where its answer begins: the same form in which an agent
/// thinks, so that the smallest model can do it.
fn describe(job: &str, latest: Option<&Latest>) -> Job {
    let mut messages = vec![Message::system("finish(answer) done, report the answer")];
    match latest {
        Some(Latest { url, value }) => {
            messages.push(Message::user(format!("Read {url} and tell me the value. Job: {job}.")));
            let call = json!({ "tool": "fetch_data", "args": { "url": url } });
            messages.push(Message::assistant(call.to_string()));
            messages.push(Message::tool(json!({ "value": value }).to_string()));
        }
        None => messages.push(Message::user(job)),
    }
    let schema = json!({
        "type": "object",
        "properties": {
            "tool": { "const": "finish" },
            "args": {
                "type": "object",
                "properties": { "answer": { "type": "string" } },
                "required": ["answer"],
                "additionalProperties": false,
            },
        },
        "required": ["tool", "args"],
        "additionalProperties": false,
    });
    Job { constraint: Constraint::JsonSchema(schema), ..Job::new(messages, TOKENS) }
}

/// The answer inside a completion; the whole text where it has another form.
fn answer_of(text: &str) -> String {
    let value: Option<Value> = serde_json::from_str(text).ok();
    let answer = value.as_ref().and_then(|value| value.pointer("/args/answer")?.as_str());
    answer.unwrap_or(text).to_owned()
}

fn into_tool_error(error: ComputeError) -> ToolError {
    match error {
        ComputeError::Payment(error) => error.into(),
        other => ToolError::from_any(other),
    }
}
