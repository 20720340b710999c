//! An answer that is too long to hold: taken piece by piece, as it is sent.

use crate::{HeaderMap, NetError, client::translate, message::host_port};
use std::{fmt, time::Duration};
use url::Url;

/// The beginning of an answer; its body is still to come.
///
/// Nothing is unpacked: the bytes are those that were sent, so that a part of them means the same
/// tomorrow. How many are taken is the caller's to bound.
pub struct Stream {
    /// The status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Who answered in the end.
    pub url: Url,
    answer: reqwest::Response,
    patience: Duration,
}

impl Stream {
    pub(crate) fn new(answer: reqwest::Response, url: Url, patience: Duration) -> Self {
        let status = answer.status().as_u16();
        Self { status, headers: answer.headers().clone(), url, answer, patience }
    }

    /// Bytes of the body, if the answer says so.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.answer.content_length()
    }

    /// The next piece, or the end.
    ///
    /// # Errors
    /// [`NetError::Timeout`] where nothing came for as long as the guard allows,
    /// [`NetError::Transport`] where the connection broke or the answer ended too early.
    pub async fn piece(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, NetError> {
        match tokio::time::timeout(self.patience, self.answer.chunk()).await {
            Ok(piece) => piece.map_err(|error| translate(&error, &self.url)),
            Err(_) => Err(NetError::Timeout { host: host_port(&self.url), after: self.patience }),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("status", &self.status)
            .field("url", &self.url.as_str())
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
