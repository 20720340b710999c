//! Bodies as the caller gets them: decompressed, and cut off by what comes out.
//!
//! A kilobyte can unpack to a gigabyte, so two things are counted: the bytes that arrive and the
//! bytes that come out of them, each against the same cap, and nothing is unpacked ahead of that
//! count. Window sizes are bounded as well, since a decoder allocates its window before it has
//! anything to show for it.
//!
//! The decoder is ours and not the HTTP client's, whose feature would unpack answers of every client
//! in the program, those that speak to a chain included.

use async_compression::{
    tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder},
    zstd::DParameter,
};
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, ReadBuf};

/// What is asked for.
pub(crate) const ACCEPTED: &str = "gzip, br, zstd";

/// What is asked for where nothing is to be unpacked.
pub(crate) const AS_IT_IS: &str = "identity";

/// The largest zstd window, as a power of two: 8 MiB, which RFC 9659 allows on the web.
const ZSTD_WINDOW: u32 = 23;

/// Pieces are unpacked in buffers of this size.
const PIECE: usize = 16 * 1024;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Brotli,
    Zstd,
}

impl Coding {
    /// One coding by its name. Codings upon codings are nobody's honest answer.
    pub(crate) fn named(text: &str) -> Option<Self> {
        let is = |name: &str| text.trim().eq_ignore_ascii_case(name);
        match text {
            _ if is("identity") => Some(Self::Identity),
            _ if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            _ if is("br") => Some(Self::Brotli),
            _ if is("zstd") => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Why a body was not taken.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It is longer than the cap, packed or unpacked.
    TooLong,
    /// It is not what its coding says, or it broke off, or it did not arrive.
    Broken(io::Error),
}

/// Reads a body to its end, unpacked, at most `cap` bytes of it and at most `cap` bytes for it.
pub(crate) async fn read(
    body: impl AsyncBufRead + Send + Unpin,
    coding: Coding,
    cap: usize,
) -> Result<Vec<u8>, BodyError> {
    let over = Arc::new(AtomicBool::new(false));
    let mut body = Capped { inner: body, left: cap, over: Arc::clone(&over) };
    let unpacked = unpack(&mut body, coding, cap).await;
    match unpacked {
        Err(BodyError::Broken(_)) if over.load(Ordering::Relaxed) => Err(BodyError::TooLong),
        other => other,
    }
}

async fn unpack(
    body: &mut (impl AsyncBufRead + Send + Unpin),
    coding: Coding,
    cap: usize,
) -> Result<Vec<u8>, BodyError> {
    // An answer to HEAD, a 204 or a 304 names the coding of a body that it does not have.
    if body.fill_buf().await.map_err(BodyError::Broken)?.is_empty() {
        return Ok(Vec::new());
    }
    match coding {
        Coding::Identity => drain(body, cap).await,
        Coding::Gzip => {
            let mut decoder = GzipDecoder::new(body);
            decoder.multiple_members(true);
            drain(decoder, cap).await
        }
        Coding::Brotli => drain(BrotliDecoder::new(body), cap).await,
        Coding::Zstd => {
            let window = [DParameter::window_log_max(ZSTD_WINDOW)];
            drain(ZstdDecoder::with_params(body, &window), cap).await
        }
    }
}

async fn drain(mut source: impl AsyncRead + Unpin, cap: usize) -> Result<Vec<u8>, BodyError> {
    let mut whole = Vec::new();
    let mut piece = vec![0; PIECE];
    loop {
        let count = source.read(&mut piece).await.map_err(BodyError::Broken)?;
        let Some(fresh) = piece.get(..count).filter(|fresh| !fresh.is_empty()) else {
            return Ok(whole);
        };
        if whole.len().saturating_add(count) > cap {
            return Err(BodyError::TooLong);
        }
        whole.extend_from_slice(fresh);
    }
}

/// A source that ends in an error once more than so much has been read from it.
struct Capped<R> {
    inner: R,
    left: usize,
    over: Arc<AtomicBool>,
}

impl<R: AsyncBufRead + Unpin> AsyncBufRead for Capped<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let Self { inner, left, over } = self.get_mut();
        let piece = ready!(Pin::new(inner).poll_fill_buf(cx))?;
        if piece.len() > *left {
            over.store(true, Ordering::Relaxed);
            return Poll::Ready(Err(io::Error::other("longer than the cap")));
        }
        Poll::Ready(Ok(piece))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let Self { inner, left, .. } = self.get_mut();
        *left = left.saturating_sub(amount);
        Pin::new(inner).consume(amount);
    }
}

impl<R: AsyncBufRead + Unpin> AsyncRead for Capped<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let piece = ready!(self.as_mut().poll_fill_buf(cx))?;
        let count = piece.len().min(buffer.remaining());
        buffer.put_slice(piece.get(..count).unwrap_or_default());
        self.consume(count);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZstdEncoder};
    use tokio::io::AsyncWriteExt as _;

    async fn packed(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        macro_rules! pack {
            ($encoder:ty) => {{
                let mut encoder = <$encoder>::new(Vec::new());
                encoder.write_all(bytes).await.unwrap();
                encoder.shutdown().await.unwrap();
                encoder.into_inner()
            }};
        }
        match coding {
            Coding::Identity => bytes.to_vec(),
            Coding::Gzip => pack!(GzipEncoder<Vec<u8>>),
            Coding::Brotli => pack!(BrotliEncoder<Vec<u8>>),
            Coding::Zstd => pack!(ZstdEncoder<Vec<u8>>),
        }
    }

    const ALL: [Coding; 4] = [Coding::Identity, Coding::Gzip, Coding::Brotli, Coding::Zstd];

    #[tokio::test]
    async fn a_body_is_unpacked_to_what_it_was() {
        let text: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        for coding in ALL {
            let body = packed(coding, &text).await;
            assert!(read(&body[..], coding, text.len()).await.unwrap() == text, "{coding:?}");
            assert_eq!(read(&[][..], coding, 1).await.unwrap(), b"", "{coding:?}");
        }
    }

    #[tokio::test]
    async fn the_cap_counts_what_comes_out() {
        let bomb = vec![0; 4 << 20];
        for coding in ALL {
            let body = packed(coding, &bomb).await;
            assert!(coding == Coding::Identity || body.len() < 10_000, "{coding:?}");
            let cap = 1 << 16;
            assert!(matches!(read(&body[..], coding, cap).await, Err(BodyError::TooLong)));
            let exact = packed(coding, &bomb[..cap]).await;
            assert_eq!(read(&exact[..], coding, cap).await.unwrap().len(), cap);
            let more = packed(coding, &bomb[..=cap]).await;
            assert!(matches!(read(&more[..], coding, cap).await, Err(BodyError::TooLong)));
        }
    }

    #[tokio::test]
    async fn the_cap_counts_what_comes_in_as_well() {
        // Members without content: nothing ever comes out of them.
        let nothing = packed(Coding::Gzip, b"").await.repeat(10_000);
        assert!(matches!(read(&nothing[..], Coding::Gzip, 4_096).await, Err(BodyError::TooLong)));
        assert_eq!(read(&nothing[..], Coding::Gzip, 1 << 20).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn what_breaks_off_or_lies_about_its_coding_is_no_body() {
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            let whole = packed(coding, &[7; 10_000]).await;
            let half = &whole[..whole.len() - 1];
            assert!(matches!(read(half, coding, 1 << 20).await, Err(BodyError::Broken(_))));
            let lie = read(&b"plain text, not packed at all"[..], coding, 1 << 20).await;
            assert!(matches!(lie, Err(BodyError::Broken(_))), "{coding:?}");
        }
    }

    #[tokio::test]
    async fn a_zstd_window_that_nobody_needs_is_not_allocated() {
        // A frame that asks for a window of 128 MiB: magic, descriptor, window, an empty last block.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0x00, 0x00];
        let wide = read(&frame[..], Coding::Zstd, 10).await;
        assert!(matches!(wide, Err(BodyError::Broken(_))), "{wide:?}");
    }

    #[test]
    fn one_coding_is_known_by_its_name() {
        assert_eq!(Coding::named("GZIP"), Some(Coding::Gzip));
        assert_eq!(Coding::named("br"), Some(Coding::Brotli));
        for odd in ["gzip, gzip", "gzip,br", "deflate", "compress", "", "gzip;q=1"] {
            assert_eq!(Coding::named(odd), None, "{odd}");
        }
    }
}
