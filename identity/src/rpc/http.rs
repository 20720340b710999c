//! One question to one endpoint, over HTTP. Whoever answers may be a liar, so an answer is cut off while it
//! streams in: nobody's memory is filled by an endpoint.

use alloy::{
    rpc::json_rpc::{RequestPacket, ResponsePacket},
    transports::{TransportError, TransportErrorKind, TransportFut, TransportResult},
};
use std::task::{Context, Poll};
use tower::Service;
use url::Url;

/// The longest answer that is read, in bytes. The longest honest ones are events of 10,000 blocks.
const LONGEST: usize = 16 << 20;

/// An answer that goes on and on.
#[derive(Debug, thiserror::Error)]
#[error("an answer of more than {} MiB", LONGEST >> 20)]
struct TooLong;

/// The way to one endpoint. An answer is read as it was sent: nothing is unpacked.
#[derive(Clone)]
pub(super) struct Http {
    client: reqwest::Client,
    url: Url,
}

impl Http {
    pub(super) const fn new(client: reqwest::Client, url: Url) -> Self {
        Self { client, url }
    }

    async fn send(self, asked: RequestPacket) -> TransportResult<ResponsePacket> {
        let sent = self.client.post(self.url).json(&asked).send().await;
        let answer = sent.map_err(TransportErrorKind::custom)?;
        let status = answer.status();
        let body = whole(answer).await?;
        match (status.is_success(), serde_json::from_slice::<ResponsePacket>(&body)) {
            (true, Ok(said)) => Ok(said),
            (true, Err(error)) => Err(TransportError::deser_err(error, "")),
            // A node may refuse in JSON-RPC's words and in HTTP's.
            (false, Ok(said)) if said.is_error() => Ok(said),
            (false, _) => Err(TransportErrorKind::http_error(
                status.as_u16(),
                String::from_utf8_lossy(&body).into_owned(),
            )),
        }
    }
}

async fn whole(mut answer: reqwest::Response) -> TransportResult<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(TransportErrorKind::custom)? {
        if body.len().saturating_add(piece.len()) > LONGEST {
            return Err(TransportErrorKind::custom(TooLong));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

impl Service<RequestPacket> for Http {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, asked: RequestPacket) -> Self::Future {
        Box::pin(self.clone().send(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rpc;
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    /// An endpoint that sends `pieces` of spaces and then a number; how much of it was taken.
    fn endpoint(pieces: usize) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let taken = Arc::new(AtomicUsize::new(0));
        let sent = Arc::clone(&taken);
        let answer = move |mut to: TcpStream| -> std::io::Result<()> {
            let _asked = to.read(&mut [0; 4_096])?;
            to.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            for _ in 0..pieces {
                to.write_all(&[b' '; 1 << 16])?;
                sent.fetch_add(1 << 16, Ordering::Relaxed);
            }
            to.write_all(br#"{"jsonrpc":"2.0","id":0,"result":"0x7"}"#)
        };
        std::thread::spawn(move || {
            for asked in listener.incoming() {
                let _gone = answer(asked.unwrap());
            }
        });
        (url, taken)
    }

    #[tokio::test]
    async fn an_answer_without_an_end_is_cut_off_and_told_in_one_line() {
        let (url, taken) = endpoint(usize::MAX);
        let rpc = Rpc::new(&[url]).unwrap();
        let said = rpc.chain_id().await.unwrap_err().to_string();
        assert!(said.ends_with(": an answer of more than 16 MiB"), "{said}");
        // What was in flight besides is the system's.
        assert!(taken.load(Ordering::Relaxed) < 2 * LONGEST);
        // An honest one beside it is asked, and a long answer is one.
        let (long, _) = endpoint((LONGEST >> 16) - 1);
        let (endless, _) = endpoint(usize::MAX);
        let rpc = Rpc::new(&[endless, long]).unwrap();
        assert_eq!(rpc.chain_id().await.unwrap(), 7);
    }
}
