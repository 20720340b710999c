//! Hiring: one completion from a worker elsewhere, paid within an errand.
//!
//! The worker is a stranger. What it answers is bounded and parsed; what it says of itself (which
//! model, how many tokens) is its word and no more.

use crate::{
    ComputeError,
    chat::{ANY_MODEL, Chat, Reply, ReplyUsage},
};
use marque_models::{Constraint, Message, Sampling};
use marque_net::{HeaderValue, Method, Request, Response, header, host_port};
use marque_payments::{Buyer, Errand, Paid};
use serde_json::Value;
use url::Url;

/// The longest text that is taken, in bytes for each token that was bought.
const MAX_BYTES_PER_TOKEN: usize = 64;

/// What is to be completed.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The model's name at the worker; `None` takes what it runs.
    pub model: Option<String>,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// The most tokens that the reply may have: what is paid for.
    pub max_tokens: u32,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// What the reply must look like.
    pub constraint: Constraint,
}

/// What a worker wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The text. JSON if the job asked for JSON; whether it fits the schema is for the caller to
    /// see.
    pub text: String,
    /// Tokens, as the worker counts them.
    pub usage: ReplyUsage,
    /// The model, as the worker says.
    pub model: String,
    /// What was paid; `None` if it was free.
    pub paid: Option<Paid>,
}

impl Job {
    /// A greedy completion of at most `max_tokens` by whatever the worker runs.
    #[must_use]
    pub fn new(messages: Vec<Message>, max_tokens: u32) -> Self {
        Self {
            model: None,
            messages,
            max_tokens,
            sampling: Sampling::default(),
            constraint: Constraint::None,
        }
    }
}

/// Has a job done by the worker at `endpoint`.
///
/// The endpoint is what OpenAI clients call the base URL (`https://muscle.example/v1`); the host
/// alone, or the whole path to `chat/completions`, will do as well.
///
/// # Errors
/// [`ComputeError::Payment`] where the purchase did not come about, [`ComputeError::Status`] where
/// the worker refused the job, [`ComputeError::Answer`] where what it delivered is no completion.
pub async fn hire(
    buyer: &Buyer,
    endpoint: &Url,
    job: &Job,
    errand: &Errand,
) -> Result<Completion, ComputeError> {
    let url = completions(endpoint)?;
    let host = host_port(&url);
    let purchase = buyer.send(request(url, job)?, errand).await?;
    if !purchase.response.is_success() {
        return Err(ComputeError::Status {
            host,
            status: purchase.response.status,
            message: complaint(&purchase.response),
        });
    }
    let reply =
        read(&purchase.response.body, job).map_err(|why| ComputeError::Answer { host, why })?;
    Ok(Completion { paid: purchase.paid, ..reply })
}

/// The URL of the chat completions of an endpoint.
fn completions(endpoint: &Url) -> Result<Url, ComputeError> {
    let wrong =
        |why: &str| ComputeError::Endpoint { url: endpoint.to_string(), why: why.to_owned() };
    if endpoint.cannot_be_a_base() || endpoint.query().is_some() {
        return Err(wrong("write it like https://muscle.example/v1"));
    }
    let mut url = endpoint.clone();
    url.set_fragment(None);
    let path = match endpoint.path().trim_end_matches('/') {
        "" => "/v1/chat/completions".to_owned(),
        path if path.ends_with("/chat/completions") => path.to_owned(),
        path => format!("{path}/chat/completions"),
    };
    url.set_path(&path);
    Ok(url)
}

fn request(url: Url, job: &Job) -> Result<Request, ComputeError> {
    let chat = Chat {
        model: job.model.clone().unwrap_or_else(|| ANY_MODEL.to_owned()),
        messages: job.messages.clone(),
        max_tokens: Some(job.max_tokens),
        sampling: job.sampling,
        constraint: job.constraint.clone(),
    };
    chat.expressible().map_err(|nonsense| ComputeError::Job(nonsense.why))?;
    let body = serde_json::to_vec(&chat.to_json())
        .map_err(|error| ComputeError::Job(error.to_string()))?;
    Chat::parse(&body).map_err(|nonsense| ComputeError::Job(nonsense.why))?;
    let mut request = Request { method: Method::POST, body, ..Request::get(url) };
    request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(request)
}

/// Reads a reply to `job`.
fn read(body: &[u8], job: &Job) -> Result<Completion, String> {
    let reply: Reply = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let [choice] = <[_; 1]>::try_from(reply.choices)
        .map_err(|choices| format!("{} choices instead of one", choices.len()))?;
    if choice.message.role != "assistant" {
        return Err("the message is not an assistant's".to_owned());
    }
    let text = choice.message.content;
    let most = usize::try_from(job.max_tokens).unwrap_or(usize::MAX);
    let most = most.saturating_mul(MAX_BYTES_PER_TOKEN);
    if text.len() > most {
        return Err(format!("{} bytes of text for {} tokens", text.len(), job.max_tokens));
    }
    if reply.usage.completion_tokens > job.max_tokens {
        return Err(format!(
            "{} tokens where {} were bought",
            reply.usage.completion_tokens, job.max_tokens
        ));
    }
    if matches!(job.constraint, Constraint::JsonSchema(_))
        && serde_json::from_str::<Value>(&text).is_err()
    {
        return Err(match choice.finish_reason.as_deref() {
            Some("length") => "the reply was cut off before its JSON was complete; buy more tokens",
            _ => "JSON was asked for, and it is none",
        }
        .to_owned());
    }
    let model = reply.model.chars().filter(|c| !c.is_control()).take(128).collect();
    Ok(Completion { text, usage: reply.usage, model, paid: None })
}

/// What the worker says is wrong, in at most 200 characters.
fn complaint(response: &Response) -> String {
    let said = serde_json::from_slice::<Value>(&response.body)
        .ok()
        .and_then(|body| body.pointer("/error/message")?.as_str().map(str::to_owned));
    let text = said.unwrap_or_else(|| String::from_utf8_lossy(&response.body).into_owned());
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_endpoint_may_be_written_in_three_ways() {
        for (endpoint, url) in [
            ("https://m.example", "https://m.example/v1/chat/completions"),
            ("https://m.example/", "https://m.example/v1/chat/completions"),
            ("https://m.example/v1", "https://m.example/v1/chat/completions"),
            ("https://m.example/api/v1/", "https://m.example/api/v1/chat/completions"),
            ("https://m.example/v1/chat/completions", "https://m.example/v1/chat/completions"),
        ] {
            assert_eq!(completions(&Url::parse(endpoint).unwrap()).unwrap().as_str(), url);
        }
        for endpoint in ["mailto:muscle@m.example", "https://m.example/v1?key=1"] {
            assert!(completions(&Url::parse(endpoint).unwrap()).is_err());
        }
    }

    fn reply() -> Value {
        json!({
            "choices": [{ "message": { "role": "assistant", "content": "fair" } }],
            "usage": { "prompt_tokens": 5, "completion_tokens": 2 },
        })
    }

    fn read_reply(reply: &Value, constraint: Constraint) -> Result<Completion, String> {
        let job = Job { constraint, ..Job::new(vec![Message::user("wind?")], 4) };
        read(&serde_json::to_vec(reply).unwrap(), &job)
    }

    #[test]
    fn a_bare_reply_is_enough() {
        assert_eq!(read_reply(&reply(), Constraint::None).unwrap().text, "fair");
    }

    #[test]
    fn a_worker_cannot_deliver_nonsense() {
        let without = |pointer: &str, value: Value| {
            let mut reply = reply();
            *reply.pointer_mut(pointer).unwrap() = value;
            reply
        };
        for bad in [
            json!({}),
            without("/choices", json!([])),
            without("/choices/0/message/role", json!("user")),
            without("/choices/0/message/content", Value::Null),
            without("/choices/0/message/content", json!("x".repeat(4 * 64 + 1))),
            without("/usage/completion_tokens", json!(5)),
            without("/usage", Value::Null),
        ] {
            assert!(read_reply(&bad, Constraint::None).is_err(), "{bad}");
        }
        let json = Constraint::JsonSchema(json!({ "type": "object" }));
        assert!(read_reply(&reply(), json).is_err(), "\"fair\" is no JSON");
    }
}
