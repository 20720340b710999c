//! One connection: frames in, frames out, several questions at a time.

use crate::{
    error::fault,
    failpoint::failpoint,
    server::{Seat, answer, places::Pulse},
    steward::Shared,
};
use marque_policies::{Intent, IntentId};
use marque_steward_client::{
    Answer, Artifact, Ask, Fault, MAX_FRAME, Outcome, PaymentState, Request, Response, VERSION,
    frame,
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::{
    net::UnixStream,
    sync::{Semaphore, SemaphorePermit, mpsc},
    task::JoinSet,
};

/// Questions under way on one connection.
const QUESTIONS: usize = 64;

/// What this connection was last told of an intent, for [`Ask::Wait`].
pub(crate) type Told = Mutex<BTreeMap<IntentId, PaymentState>>;

/// The part of a request that every version has.
#[derive(Deserialize)]
struct Head {
    v: u16,
    #[serde(default)]
    seq: u64,
}

/// Serves until the other side closes or says what is no frame.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    seat: Arc<Seat>,
    pulse: Arc<Pulse>,
    stream: UnixStream,
) {
    let (mut read, mut write) = stream.into_split();
    let (say, mut said) = mpsc::channel::<Response>(QUESTIONS);
    let writer = tokio::spawn(async move {
        while let Some(response) = said.recv().await {
            let out = is_out(&response.answer);
            let Ok(bytes) = encode(response) else { return };
            if frame::write(&mut write, &bytes).await.is_err() {
                return;
            }
            if out {
                failpoint("sent");
            }
        }
    });
    let told: Arc<Told> = Arc::default();
    let places = Arc::new(Semaphore::new(QUESTIONS));
    let mut questions = JoinSet::new();
    loop {
        let bytes = match frame::read(&mut read).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(who = ?seat.who, %error, "a broken connection");
                break;
            }
        };
        let request = match parse(&bytes) {
            Ok(request) => request,
            Err((seq, fault)) => {
                let response = Response { v: VERSION, seq, answer: Answer::Error(fault) };
                if say.send(response).await.is_err() {
                    break;
                }
                continue;
            }
        };
        while questions.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let (shared, seat) = (Arc::clone(&shared), Arc::clone(&seat));
        let (told, say) = (Arc::clone(&told), say.clone());
        let work = pulse.work();
        // Who only waits for news does nothing meanwhile, and can wait again.
        let work = (!waits(&request.ask)).then_some(work);
        questions.spawn(async move {
            let Request { seq, ask, .. } = request;
            let answer = match allowed_now(&seat, &ask) {
                Ok(_held) => answer::answer(&shared, &seat, ask, &told).await,
                Err(fault) => Answer::Error(fault),
            };
            // Before the answer is taken: one who never reads it is idle as well.
            drop(work);
            // The other side may have gone; what was decided stands.
            drop(say.send(Response { v: VERSION, seq, answer }).await);
            drop(place);
        });
    }
    drop(say);
    while questions.join_next().await.is_some() {}
    drop(writer.await);
}

/// An answer that does not fit into a frame is told as such; silence would break the connection.
fn encode(response: Response) -> serde_json::Result<Vec<u8>> {
    let bytes = serde_json::to_vec(&response)?;
    if bytes.len() <= MAX_FRAME {
        return Ok(bytes);
    }
    let answer = Answer::Error(fault("internal", "the answer does not fit into a frame"));
    serde_json::to_vec(&Response { answer, ..response })
}

/// Whether a payment leaves our hands with this answer.
const fn is_out(answer: &Answer) -> bool {
    matches!(
        answer,
        Answer::Outcome(Outcome::Allowed {
            artifact: Artifact::Authorisation(_)
                | Artifact::PermitTransfer(_)
                | Artifact::Transaction { .. },
            ..
        })
    )
}

fn parse(bytes: &[u8]) -> Result<Request, (u64, Fault)> {
    let head: Head = serde_json::from_slice(bytes)
        .map_err(|error| (0, fault("malformed", format!("the question: {error}"))))?;
    if head.v > VERSION {
        let line = format!("the question is of version {}, and {VERSION} is known here", head.v);
        return Err((head.seq, fault("version", line)));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| (head.seq, fault("malformed", format!("the question: {error}"))))
}

/// Whether a question may only be waiting for something to happen.
const fn waits(ask: &Ask) -> bool {
    matches!(ask, Ask::Wait { .. } | Ask::Queue { timeout_ms: 1.., .. })
}

/// Everything but stopping is counted: what may be journalled, what only looks, and apart from both
/// what the owner hands in. Waits under way are few, as each looks again at every entry.
fn allowed_now<'s>(seat: &'s Seat, ask: &Ask) -> Result<Option<SemaphorePermit<'s>>, Fault> {
    let bucket = match ask {
        Ask::Freeze { .. } => return Ok(None),
        Ask::Propose(proposal)
            if matches!(proposal.intent, Intent::Settle(_) | Intent::SettlePermit(_)) =>
        {
            &seat.sales
        }
        Ask::Preview(_) => &seat.sales,
        Ask::View
        | Ask::Standing
        | Ask::Wait { .. }
        | Ask::Status
        | Ask::Queue { .. }
        | Ask::Settling { .. } => &seat.looks,
        // An owner's act needs a signature to change anything, and must not wait behind its agent.
        Ask::Submit(_) => &seat.acts,
        _ => &seat.rate,
    };
    let mut rate = bucket.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !rate.take() {
        return Err(fault("rate", "too many questions a second; ask again in a moment"));
    }
    match ask {
        // Who only looks at the queue waits for nothing: minds that wait keep no owner out.
        Ask::Queue { timeout_ms: 0, .. } => Ok(None),
        Ask::Wait { .. } | Ask::Queue { .. } => match seat.waits.try_acquire() {
            Ok(held) => Ok(Some(held)),
            Err(_) => Err(fault("rate", "too many waits under way; end some of them first")),
        },
        _ => Ok(None),
    }
}
