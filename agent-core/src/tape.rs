//! A run written down, so that it can be repeated without model, steward or network.
//!
//! A tape is a file of lines: what was asked, by its hash, and what was answered. Replaying it runs
//! the loop and the tools for real and takes every answer from the file; a question that was not
//! asked then has no answer, which is how a test notices that an agent has changed. What was asked
//! stands there as well, so that the test is told what is another.
//!
//! Prompts, pages and amounts stand in it as they were. A recording is made to lie beside tests, so no
//! signature of the steward's stands in it, nor a URL of an endpoint, which may hold its owner's key.
//!
//! INVARIANT: what is written down holds no signature and of an endpoint its host alone (pinned by
//! `tests::a_recording_holds_no_signature_and_no_endpoint`).

mod question;

use crate::{AgentError, Response, Steward, ToolError, cx::lock};
use alloy_primitives::{Address, B256};
use async_trait::async_trait;
use marque_models::{Generation, Model, ModelError, ModelInfo, Request};
use marque_net::{HeaderMap, HeaderName, HeaderValue};
use marque_payments::{Authority, Paid, PaymentError};
use marque_policies::{IntentId, Money};
use marque_steward_client::{Artifact, Fault, IntentState, Note, Outcome, Proposal, Report, View};
use marque_store_files::{Folder, PRIVATE};
use question::{Question, Questions};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt::Display,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use url::Url;

/// The version of the format, in the first line. The first one had no questions.
const VERSION: u64 = 2;

/// A file of questions and answers, being written or read.
#[derive(Debug)]
pub(crate) struct Tape {
    path: PathBuf,
    info: ModelInfo,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    Writing(Mutex<Written>),
    /// Answers by question, in the order in which they were given; the last one is given for ever.
    Reading(Mutex<HashMap<(On, String), VecDeque<Answer>>>, Questions),
}

#[derive(Debug)]
struct Written {
    file: File,
    /// Texts that are in it.
    texts: HashSet<String>,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum On {
    Model,
    Tokens,
    Propose,
    View,
    Standing,
    Wait,
    Http,
    /// Nothing: a text of a question, by its hash.
    Text,
}

#[derive(Debug, Serialize, Deserialize)]
struct First {
    version: u64,
    model: ModelInfo,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    on: On,
    /// Hash of the question; empty where there is one question only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    key: String,
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    asked: serde_json::Value,
    #[serde(flatten)]
    answer: Answer,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ok(serde_json::Value),
    Error(String),
}

impl Tape {
    /// Begins a tape, in place of one that is there.
    pub(crate) fn write(path: &Path, info: &ModelInfo) -> Result<Self, AgentError> {
        let wrong = |error: std::io::Error| unusable(path, error);
        let mut file = made(path).map_err(wrong)?;
        let first = First { version: VERSION, model: info.clone() };
        writeln!(file, "{}", text(&first)).map_err(wrong)?;
        let mode = Mode::Writing(Mutex::new(Written { file, texts: HashSet::new() }));
        Ok(Self { path: path.to_owned(), info: info.clone(), mode })
    }

    /// Whether it is read, and not written.
    pub(crate) const fn is_read(&self) -> bool {
        matches!(self.mode, Mode::Reading(..))
    }

    /// Reads a tape.
    pub(crate) fn read(path: &Path) -> Result<Self, AgentError> {
        let file = File::open(path).map_err(|error| unusable(path, error))?;
        let mut lines = BufReader::new(file).lines();
        let first = match lines.next() {
            Some(line) => line.map_err(|error| unusable(path, error))?,
            None => return Err(unusable(path, "it is empty")),
        };
        let first: First = serde_json::from_str(&first)
            .map_err(|error| unusable(path, format!("line 1 is no recording's: {error}")))?;
        if !(1..=VERSION).contains(&first.version) {
            let why = format!("it has version {}, and this is version {VERSION}", first.version);
            return Err(unusable(path, why));
        }
        let mut answers: HashMap<_, VecDeque<_>> = HashMap::new();
        let mut questions = Questions::default();
        for (n, line) in lines.enumerate() {
            let line = line.map_err(|error| unusable(path, error))?;
            let Line { on, key, asked, answer } = serde_json::from_str(&line)
                .map_err(|error| unusable(path, format!("line {}: {error}", n + 2)))?;
            match (on, answer) {
                (On::Text, Answer::Ok(serde_json::Value::String(text))) => {
                    questions.take_text(key, text);
                }
                (_, answer) => {
                    questions.take(on, asked);
                    answers.entry((on, key)).or_default().push_back(answer);
                }
            }
        }
        let mode = Mode::Reading(Mutex::new(answers), questions);
        Ok(Self { path: path.to_owned(), info: first.model, mode })
    }

    /// The answer from the tape; nothing where the tape is being written.
    fn recall<T: DeserializeOwned, E>(
        &self,
        question: &Question,
        error: impl FnOnce(String) -> E,
    ) -> Option<Result<T, E>> {
        let Mode::Reading(answers, questions) = &self.mode else { return None };
        let place = (question.on, question.key.clone());
        let found = lock(answers).get_mut(&place).and_then(|queue| match queue.len() {
            0 | 1 => queue.front().cloned(),
            _ => queue.pop_front(),
        });
        let path = self.path.display();
        Some(match found {
            Some(Answer::Ok(value)) => serde_json::from_value(value)
                .map_err(|why| error(format!("{path}: an answer cannot be read: {why}"))),
            Some(Answer::Error(said)) => Err(error(said)),
            None => {
                let differs = questions.differs(question).unwrap_or_else(|| {
                    "the agent, its goal or its tools have changed since it was recorded".to_owned()
                });
                Err(error(format!(
                    "{path} has no answer to {}: {differs}; if that is meant, record it again",
                    question.on.words()
                )))
            }
        })
    }

    /// Writes an answer down. A recording with a gap is told of; the run goes on.
    fn remember<T: Serialize, E: Display>(&self, question: Question, answer: Result<&T, &E>) {
        let Mode::Writing(written) = &self.mode else { return };
        let answer = match answer.map(serde_json::to_value) {
            Ok(Ok(value)) => Answer::Ok(value),
            Ok(Err(error)) => Answer::Error(error.to_string()),
            Err(error) => Answer::Error(error.to_string()),
        };
        let Question { on, key, asked, texts } = question;
        let Written { file, texts: known } = &mut *lock(written);
        let mut lines = String::new();
        for words in texts {
            let key = hash(&words);
            if known.insert(key.clone()) {
                let (on, asked, answer) =
                    (On::Text, serde_json::Value::Null, Answer::Ok(words.into()));
                lines.push_str(&text(&Line { on, key, asked, answer }));
                lines.push('\n');
            }
        }
        lines.push_str(&text(&Line { on, key, asked, answer }));
        if let Err(error) = writeln!(file, "{lines}") {
            tracing::warn!(path = %self.path.display(), %error, "the recording has a gap");
        }
    }

    /// The answer from the tape, or the real one, which goes onto it without what is `secret` in it.
    async fn through<T, E>(
        &self,
        question: Question,
        error: impl FnOnce(String) -> E + Send,
        secret: impl FnOnce(&mut T) + Send,
        ask: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned + Clone,
        E: Display,
    {
        if let Some(answer) = self.recall(&question, error) {
            return answer;
        }
        let answer = ask.await;
        if let Mode::Writing(_) = &self.mode {
            let mut kept = answer.as_ref().map(Clone::clone);
            if let Ok(kept) = &mut kept {
                secret(kept);
            }
            self.remember(question, kept.as_ref().map_err(|error| *error));
        }
        answer
    }

    /// A request to the outside.
    pub(crate) async fn http(
        &self,
        (method, url, body): (&str, &str, &[u8]),
        ask: impl Future<Output = Result<Response, ToolError>> + Send,
    ) -> Result<Response, ToolError> {
        let question = Question::http(method, url, body);
        let kept: Option<Result<Kept, _>> = self.recall(&question, ToolError::from_any);
        if let Some(kept) = kept {
            return kept?.try_into();
        }
        let answer = ask.await;
        let kept = answer.as_ref().map(|response| Kept::from(response.clone()));
        self.remember(question, kept.as_ref().map_err(|error| *error));
        answer
    }
}

/// A new file for nobody else, in place of one that is there or of a link to one.
fn made(path: &Path) -> std::io::Result<File> {
    let no_file = || std::io::Error::new(std::io::ErrorKind::InvalidInput, "it names no file");
    let name = path.file_name().ok_or_else(no_file)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // Where a person's folder leads is that person's to know.
    let folder = folder.unwrap_or(Path::new(".")).canonicalize()?;
    Folder::open(&folder)?.replace(name, b"", PRIVATE)
}

/// An outcome with a signature of zeros: whoever has the real one can be paid by it.
fn unsigned(outcome: &mut Outcome) {
    let Outcome::Allowed { artifact, .. } = outcome else { return };
    let signature = match artifact {
        Artifact::Authorisation(signed) => &mut signed.signature,
        Artifact::PermitTransfer(signed) => &mut signed.signature,
        Artifact::Signature { signature, .. } => signature,
        _ => return,
    };
    *signature = vec![0; signature.len()].into();
}

/// A view that names the hosts of its chains' endpoints alone.
fn without_endpoints(view: &mut View) {
    for url in view.chains.iter_mut().flat_map(|chain| &mut chain.rpc) {
        let host = url.parse::<Url>().ok().and_then(|url| Some(url.host_str()?.to_owned()));
        *url = host.unwrap_or_default();
    }
}

impl On {
    const fn words(self) -> &'static str {
        match self {
            Self::Model => "a turn of the model",
            Self::Tokens => "a count of tokens",
            Self::Propose => "a proposal to the steward",
            Self::View | Self::Standing => "the steward's view",
            Self::Wait => "a question to the owner",
            Self::Http => "a request",
            Self::Text => "a text",
        }
    }
}

/// A model and a steward on a tape. While it is read there is nobody behind it.
#[derive(Debug)]
pub(crate) struct Taped<T> {
    tape: Arc<Tape>,
    real: Option<T>,
    /// Whose it is: an account below the agent has questions of its own.
    account: Option<String>,
}

/// What a mind needs.
type Parts = (Arc<dyn Model>, Arc<dyn Steward>, Option<Arc<Tape>>);

impl Taped<()> {
    /// A model and a steward on one tape.
    pub(crate) fn both(tape: Arc<Tape>, real: Option<(Arc<dyn Model>, Arc<dyn Steward>)>) -> Parts {
        let (model, steward) = real.unzip();
        let model = Taped { tape: Arc::clone(&tape), real: model, account: None };
        let steward = Taped { tape: Arc::clone(&tape), real: steward, account: None };
        (Arc::new(model), Arc::new(steward), Some(tape))
    }
}

#[async_trait]
impl Model for Taped<Arc<dyn Model>> {
    fn info(&self) -> &ModelInfo {
        &self.tape.info
    }

    fn count_tokens(&self, text: &str) -> Result<usize, ModelError> {
        let question = Question::tokens(text);
        if let Some(count) = self.tape.recall(&question, ModelError::Recording) {
            return count;
        }
        let count = self.real()?.count_tokens(text);
        self.tape.remember(question, count.as_ref());
        count
    }

    async fn generate(&self, request: Request) -> Result<Generation, ModelError> {
        let question = Question::model(&request.messages);
        let asked = async { self.real()?.generate(request).await };
        self.tape.through(question, ModelError::Recording, |_| {}, asked).await
    }
}

impl Taped<Arc<dyn Model>> {
    /// The model behind it, of which nobody asks while a tape is read.
    fn real(&self) -> Result<&Arc<dyn Model>, ModelError> {
        self.real.as_ref().ok_or(ModelError::Stopped)
    }
}

/// An error from a tape, as a steward's.
fn fault(message: String) -> PaymentError {
    PaymentError::Fault(Fault { code: "recorded".to_owned(), message })
}

impl Taped<Arc<dyn Steward>> {
    /// The steward of an account below the agent, on the agent's tape.
    pub(crate) fn account(tape: &Arc<Tape>, name: &str, real: Option<Arc<dyn Steward>>) -> Self {
        let real = real.filter(|_| !tape.is_read());
        Self { tape: Arc::clone(tape), real, account: Some(name.to_owned()) }
    }

    /// The key of a question, which is another where another account asks it.
    fn key(&self, question: String) -> String {
        match &self.account {
            Some(account) => format!("{account}/{question}"),
            None => question,
        }
    }

    /// The steward behind it, of which nobody asks while a tape is read.
    fn real(&self) -> Result<&Arc<dyn Steward>, PaymentError> {
        self.real.as_ref().ok_or_else(|| fault("a recording has no steward".to_owned()))
    }
}

#[async_trait]
impl Authority for Taped<Arc<dyn Steward>> {
    async fn propose(&self, proposal: Proposal) -> Result<Outcome, PaymentError> {
        let Proposal { task: _, step, ordinal, attempt, intent } = &proposal;
        // Tasks are named by chance.
        let key = self.key(hash(&(step, ordinal, attempt, intent)));
        let question = Question::propose(self.account.as_deref(), key, &proposal);
        let asked = async { self.real()?.propose(proposal).await };
        self.tape.through(question, fault, unsigned, asked).await
    }

    async fn view(&self) -> Result<View, PaymentError> {
        let asked = async { self.real()?.view().await };
        let question = Question::only(On::View, self.key(String::new()));
        self.tape.through(question, fault, without_endpoints, asked).await
    }

    async fn standing(&self) -> Result<View, PaymentError> {
        let asked = async { self.real()?.standing().await };
        let question = Question::only(On::Standing, self.key(String::new()));
        self.tape.through(question, fault, without_endpoints, asked).await
    }

    async fn report(&self, report: Report) -> Result<(), PaymentError> {
        match &self.real {
            Some(real) => real.report(report).await,
            None => Ok(()),
        }
    }

    async fn wait(&self, id: IntentId, timeout: Duration) -> Result<IntentState, PaymentError> {
        let asked = async { self.real()?.wait(id, timeout).await };
        let question = Question::only(On::Wait, self.key(String::new()));
        self.tape.through(question, fault, |_| {}, asked).await
    }
}

#[async_trait]
impl Steward for Taped<Arc<dyn Steward>> {
    async fn note(&self, note: Note) -> Result<(), PaymentError> {
        match &self.real {
            Some(real) => real.note(note).await,
            None => Ok(()),
        }
    }
}

/// An answer from outside, as it is written down.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
    host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paid: Option<Payment>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Body {
    Text(String),
    Hex(String),
}

/// What was paid, without what the seller signed.
#[derive(Debug, Serialize, Deserialize)]
struct Payment {
    id: IntentId,
    payee: String,
    to: Address,
    amount: Money,
    charged: Option<Money>,
    transaction: Option<B256>,
}

impl From<Response> for Kept {
    fn from(response: Response) -> Self {
        let Response { status, headers, body, host, content_type, paid } = response;
        let headers = headers
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
        let body = match String::from_utf8(body) {
            Ok(text) => Body::Text(text),
            Err(error) => Body::Hex(hex::encode(error.into_bytes())),
        };
        let paid = paid.map(|Paid { id, payee, to, amount, charged, transaction, .. }| Payment {
            id,
            payee,
            to,
            amount,
            charged,
            transaction,
        });
        Self { status, headers: headers.collect(), body, host, content_type, paid }
    }
}

impl TryFrom<Kept> for Response {
    type Error = ToolError;

    fn try_from(kept: Kept) -> Result<Self, ToolError> {
        let Kept { status, headers: kept_headers, body, host, content_type, paid } = kept;
        let mut headers = HeaderMap::new();
        for (name, value) in kept_headers {
            let name: HeaderName = name.parse().map_err(ToolError::from_any)?;
            headers.append(name, HeaderValue::from_str(&value).map_err(ToolError::from_any)?);
        }
        let body = match body {
            Body::Text(text) => text.into_bytes(),
            Body::Hex(text) => hex::decode(text).map_err(ToolError::from_any)?,
        };
        let paid = paid.map(|Payment { id, payee, to, amount, charged, transaction }| Paid {
            id,
            payee,
            to,
            amount,
            charged,
            transaction,
            doubt: None,
            offer: None,
            receipt: None,
        });
        Ok(Self { status, headers, body, host, content_type, paid })
    }
}

fn unusable(path: &Path, why: impl Display) -> AgentError {
    AgentError::Recording { path: path.to_owned(), why: why.to_string() }
}

/// A value's JSON. What goes through here always has one.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn hash(question: &impl Serialize) -> String {
    hex::encode(Sha256::digest(text(question)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_file_that_is_no_recording_is_refused_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.jsonl");
        let model = r#"{"name":"m","sha256":"","context_length":1,"built_in":false}"#;
        let first = format!(r#"{{"version":1,"model":{model}}}"#);
        for (text, why) in [
            (String::new(), "it is empty"),
            ("hello\n".to_owned(), "line 1 is no recording's"),
            (format!("{{\"version\":3,\"model\":{model}}}\n"), "it has version 3"),
            (format!("{first}\n{{\"on\":\"dice\",\"ok\":1}}\n"), "line 2: "),
        ] {
            std::fs::write(&path, &text).unwrap();
            let error = Tape::read(&path).unwrap_err().to_string();
            assert!(error.contains(why) && error.lines().count() == 1, "{error}");
        }
        std::fs::write(&path, format!("{first}\n")).unwrap();
        assert_eq!(Tape::read(&path).unwrap().info.name, "m");
        assert!(Tape::read(dir.path()).is_err() && Tape::read(&dir.path().join("no")).is_err());
    }

    #[test]
    fn answers_come_in_order_and_the_last_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.jsonl");
        let tape = Tape::write(&path, &info()).unwrap();
        for answer in [Ok(1), Ok(2), Err("lost".to_owned())] {
            tape.remember::<_, String>(question(On::Wait, "key"), answer.as_ref());
        }
        let tape = Tape::read(&path).unwrap();
        let recalled = || tape.recall::<u8, String>(&question(On::Wait, "key"), |why| why).unwrap();
        assert_eq!([recalled(), recalled()], [Ok(1), Ok(2)]);
        assert_eq!([recalled(), recalled()], [Err("lost".to_owned()), Err("lost".to_owned())]);
        let other = tape.recall::<u8, String>(&question(On::Http, "key"), |why| why);
        let other = other.unwrap().unwrap_err();
        assert!(other.contains("has no answer to a request"), "{other}");
    }

    fn question(on: On, key: &str) -> Question {
        Question::only(on, key.to_owned())
    }

    fn info() -> ModelInfo {
        let (name, sha256) = ("m".to_owned(), String::new());
        ModelInfo { name, sha256, context_length: 1, built_in: false }
    }

    #[tokio::test]
    async fn a_recording_holds_no_signature_and_no_endpoint() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.jsonl");
        let tape = Tape::write(&path, &info()).unwrap();
        let zero = format!("0x{}", "00".repeat(20));
        let word = format!("0x{}", "00".repeat(32));
        let signature = format!("0x{}", "c5".repeat(65));
        let signed = json!({ "from": zero, "to": zero, "value": "1", "valid_after": 0,
            "valid_before": 1, "nonce": word, "signature": signature });
        let permit = json!({ "from": zero, "to": zero, "token": zero, "amount": "1", "spender": zero,
            "valid_after": 0, "deadline": 1, "nonce": "0", "signature": signature });
        let artifacts = [
            Artifact::Authorisation(serde_json::from_value(signed).unwrap()),
            Artifact::PermitTransfer(serde_json::from_value(permit).unwrap()),
            Artifact::Signature { signature: signature.parse().unwrap(), deadline: 1 },
        ];
        for (n, artifact) in artifacts.into_iter().enumerate() {
            let outcome = Outcome::Allowed { id: IntentId(B256::ZERO), artifact };
            let given = outcome.clone();
            let asked = async { Ok::<_, PaymentError>(given) };
            let told =
                tape.through(question(On::Propose, &n.to_string()), fault, unsigned, asked).await;
            assert_eq!(told.unwrap(), outcome, "the run itself has it");
        }
        let view = json!({ "agent": "scout", "address": zero, "owner": zero, "origin": word,
            "policy_version": 1, "policy_hash": word, "now": 0, "frozen_at": null, "tools": [],
            "payees": [], "assets": [], "budgets": [], "income": [], "intents": [],
            "chains": [{ "name": "main", "id": 1, "rpc": ["https://rpc.example/v2/apikey"] }] });
        let view: View = serde_json::from_value(view).unwrap();
        let asked = async { Ok::<_, PaymentError>(view.clone()) };
        let told = tape.through(question(On::View, ""), fault, without_endpoints, asked).await;
        assert_eq!(told.unwrap(), view);

        let written = std::fs::read_to_string(&path).unwrap();
        assert!(!written.contains("c5c5") && !written.contains("apikey"), "{written}");
        assert!(written.contains("rpc.example"), "{written}");
        let read = Tape::read(&path).unwrap();
        for key in ["0", "1", "2"] {
            let recalled: Result<Outcome, _> =
                read.recall(&question(On::Propose, key), fault).unwrap();
            assert!(matches!(recalled, Ok(Outcome::Allowed { .. })), "it is read all the same");
        }
        assert!(matches!(read.recall::<View, _>(&question(On::View, ""), fault), Some(Ok(_))));
    }

    #[test]
    fn a_recording_is_its_makers_alone_and_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("run.jsonl"), dir.path().join("victim"));
        std::fs::write(&victim, "as it was").unwrap();
        symlink(&victim, &path).unwrap();
        drop(Tape::write(&path, &info()).unwrap());
        let about = std::fs::symlink_metadata(&path).unwrap();
        assert!(about.is_file());
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read(&victim).unwrap(), b"as it was");
        Tape::read(&path).unwrap();
    }
}
