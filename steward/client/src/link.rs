//! The task behind a [`crate::Client`]: numbers questions, matches answers, keeps the connection.
//!
//! INVARIANT: a question is answered exactly once or fails; after a lost connection the open ones
//! are asked again in their order (pinned by `tests::a_question_survives_a_steward_that_restarts`).

use crate::{
    door,
    error::ClientError,
    frame,
    protocol::{Answer, Ask, MAX_FRAME, Request, Response, VERSION},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    net::{UnixStream, unix::OwnedReadHalf},
    sync::{mpsc, oneshot},
    time::Instant,
};

/// A lost steward has this long to come back before open questions fail.
pub(crate) const BACK_WITHIN: Duration = Duration::from_secs(30);

type Reply = oneshot::Sender<Result<Answer, ClientError>>;

/// One question and where its answer goes.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) ask: Ask,
    pub(crate) reply: Reply,
}

/// The questions under way, as bytes: asked again, one is the same to the last bit.
#[derive(Default)]
struct Open {
    last: u64,
    questions: BTreeMap<u64, (Vec<u8>, Reply)>,
}

/// Why a conversation ended.
enum End {
    Lost,
    NobodyAsks,
}

/// Serves calls until every client is gone. Where the steward stays away, the open questions fail, and
/// the next one looks for it again.
pub(crate) async fn run(
    path: PathBuf,
    stream: UnixStream,
    mut calls: mpsc::Receiver<Call>,
    back_within: Duration,
) {
    let mut open = Open::default();
    let mut next = Some(stream);
    loop {
        if let Some(stream) = next {
            match converse(stream, &mut calls, &mut open).await {
                End::NobodyAsks => return,
                End::Lost => {
                    tracing::debug!(open = open.questions.len(), "lost the steward");
                }
            }
        } else {
            let asked = std::mem::take(&mut open.questions).into_values().map(|(_, reply)| reply);
            let waiting = std::iter::from_fn(|| calls.try_recv().ok()).map(|call| call.reply);
            for reply in asked.chain(waiting) {
                answer(reply, Err(ClientError::Lost(back_within.as_secs())));
            }
            let Some(call) = calls.recv().await else { return };
            open.add(call);
        }
        next = connect_again(&path, back_within).await;
    }
}

/// Speaks on one connection until it is lost or no client is left.
async fn converse(stream: UnixStream, calls: &mut mpsc::Receiver<Call>, open: &mut Open) -> End {
    let (read, mut write) = stream.into_split();
    // INVARIANT: answers are read whatever is being written, or each side would wait for the other to
    // read (pinned by `tests::thousands_may_ask_at_once`). No more wait here than were asked for.
    let (heard, mut answers) = mpsc::unbounded_channel();
    // Reading a frame cannot be dropped half way, hence a task of its own.
    let reader = tokio::spawn(listen(read, heard));
    let mut lost = false;
    for (bytes, _) in open.questions.values() {
        lost = lost || frame::write(&mut write, bytes).await.is_err();
    }
    let end = loop {
        if lost {
            break End::Lost;
        }
        tokio::select! {
            call = calls.recv() => {
                let Some(call) = call else { break End::NobodyAsks };
                let Some(bytes) = open.add(call) else { continue };
                lost = frame::write(&mut write, bytes).await.is_err();
            }
            response = answers.recv() => {
                let Some(Response { seq, answer: said, .. }) = response else { break End::Lost };
                if let Some((_, reply)) = open.questions.remove(&seq) {
                    answer(reply, Ok(said));
                }
            }
        }
    };
    reader.abort();
    end
}

impl Open {
    /// Numbers a question and keeps it; its bytes, unless it is too long to be asked.
    fn add(&mut self, Call { ask, reply }: Call) -> Option<&[u8]> {
        self.last += 1;
        let request = Request { v: VERSION, seq: self.last, ask };
        match serde_json::to_vec(&request) {
            Ok(bytes) if bytes.len() <= MAX_FRAME => {
                let (bytes, _) = self.questions.entry(self.last).or_insert((bytes, reply));
                Some(bytes)
            }
            bytes => {
                let length = bytes.map_or(usize::MAX, |bytes| bytes.len());
                answer(reply, Err(ClientError::TooLong(length)));
                None
            }
        }
    }
}

/// Reads answers until the connection ends or says something that is no answer.
async fn listen(mut read: OwnedReadHalf, heard: mpsc::UnboundedSender<Response>) {
    loop {
        let bytes = match frame::read(&mut read).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return,
            Err(error) => return tracing::debug!(%error, "the steward's connection broke"),
        };
        match serde_json::from_slice::<Response>(&bytes) {
            Ok(response) => {
                if heard.send(response).is_err() {
                    return;
                }
            }
            Err(error) => return tracing::warn!(%error, "the steward said what is no answer"),
        }
    }
}

/// Connects again, with growing pauses.
async fn connect_again(path: &Path, within: Duration) -> Option<UnixStream> {
    let deadline = Instant::now() + within;
    let mut pause = Duration::from_millis(20);
    while Instant::now() < deadline {
        tokio::time::sleep(pause).await;
        match door::to(path).await {
            Ok(stream) => return Some(stream),
            Err(_) => pause = (pause * 2).min(Duration::from_secs(1)),
        }
    }
    None
}

fn answer(reply: Reply, said: Result<Answer, ClientError>) {
    if reply.send(said).is_err() {
        tracing::trace!("nobody waits for this answer any more");
    }
}

#[cfg(test)]
mod tests {
    use crate::{Answer, Client, ClientError, Fault, Request, Response, VERSION, frame};
    use std::{path::Path, time::Duration};
    use tokio::net::{UnixListener, UnixStream};

    async fn hear(stream: &mut UnixStream) -> Request {
        serde_json::from_slice(&frame::read(stream).await.unwrap().unwrap()).unwrap()
    }

    async fn say(stream: &mut UnixStream, seq: u64, answer: Answer) {
        let bytes = serde_json::to_vec(&Response { v: VERSION, seq, answer }).unwrap();
        frame::write(stream, &bytes).await.unwrap();
    }

    fn bind(path: &Path) -> UnixListener {
        drop(std::fs::remove_file(path));
        UnixListener::bind(path).unwrap()
    }

    #[tokio::test]
    async fn answers_find_their_questions_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = bind(&path);
        let steward = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let first = hear(&mut stream).await;
            let second = hear(&mut stream).await;
            say(&mut stream, second.seq, Answer::Noted { entry: second.seq }).await;
            say(&mut stream, first.seq, Answer::Noted { entry: first.seq }).await;
            stream
        });
        let client = Client::connect(&path).await.unwrap();
        let (one, two) = tokio::join!(client.freeze("one"), client.freeze("two"));
        assert_ne!(one.unwrap(), two.unwrap());
        drop(steward.await);
    }

    #[tokio::test]
    async fn a_question_survives_a_steward_that_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = bind(&path);
        let client = Client::connect(&path).await.unwrap();
        let question = tokio::spawn(async move { client.freeze("stop").await });
        let (mut stream, _) = listener.accept().await.unwrap();
        let asked = hear(&mut stream).await;
        drop((stream, listener));
        let listener = bind(&path);
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_eq!(hear(&mut stream).await, asked);
        say(&mut stream, asked.seq, Answer::Noted { entry: 9 }).await;
        assert_eq!(question.await.unwrap().unwrap(), 9);
    }

    #[tokio::test]
    async fn a_steward_that_was_away_for_long_is_found_by_the_next_question() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = bind(&path);
        let client = Client::within(&path, Duration::from_millis(100)).await.unwrap();
        drop((listener.accept().await.unwrap(), listener));
        for _ in 0..2 {
            let (one, two) = tokio::join!(client.freeze("one"), client.freeze("two"));
            assert!(matches!(one, Err(ClientError::Lost(_))), "{one:?}");
            assert!(matches!(two, Err(ClientError::Lost(_))), "{two:?}");
        }
        let listener = bind(&path);
        let question = tokio::spawn(async move { client.freeze("stop").await });
        let (mut stream, _) = listener.accept().await.unwrap();
        let asked = hear(&mut stream).await;
        say(&mut stream, asked.seq, Answer::Noted { entry: 9 }).await;
        assert_eq!(question.await.unwrap().unwrap(), 9);
    }

    /// The steward reads a question once the last answer is taken, as one that is busy does.
    #[tokio::test]
    async fn thousands_may_ask_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = bind(&path);
        let client = Client::connect(&path).await.unwrap();
        let mut asked = tokio::task::JoinSet::new();
        for _ in 0..5_000 {
            let client = client.clone();
            asked.spawn(async move { client.freeze("x".repeat(200)).await });
        }
        // The first connection breaks when it has many open; the next is asked them all again.
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..1_000 {
            hear(&mut stream).await;
        }
        drop(stream);
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            loop {
                let asked = hear(&mut stream).await;
                let fault = Fault { code: "rate".into(), message: "y".repeat(2_000) };
                say(&mut stream, asked.seq, Answer::Error(fault)).await;
            }
        });
        let answers = tokio::time::timeout(Duration::from_secs(100), asked.join_all()).await;
        let answers = answers.expect("each side waits for the other");
        assert!(answers.iter().all(|it| matches!(it, Err(ClientError::Fault(_)))));
    }

    #[tokio::test]
    async fn a_fault_is_an_error_with_its_code() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = bind(&path);
        let client = Client::connect(&path).await.unwrap();
        let question = tokio::spawn(async move { client.view().await });
        let (mut stream, _) = listener.accept().await.unwrap();
        let asked = hear(&mut stream).await;
        let fault = Fault { code: "frozen".into(), message: "the steward is frozen".into() };
        say(&mut stream, asked.seq, Answer::Error(fault.clone())).await;
        match question.await.unwrap() {
            Err(ClientError::Fault(got)) => assert_eq!(got, fault),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn nobody_there_is_one_clear_line() {
        let error = Client::connect("/nowhere/steward.sock").await.unwrap_err();
        assert!(error.to_string().starts_with("no steward answers at /nowhere/steward.sock"));
    }
}
