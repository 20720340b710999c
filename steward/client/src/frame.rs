//! Frames: a big-endian `u32` length and that many bytes.
//!
//! Both sides read with the same bound, so that neither can be made to hold more than
//! [`MAX_FRAME`] bytes for the other.

use crate::protocol::MAX_FRAME;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Reads one frame; `None` where the other side has closed between two frames.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for a frame above [`MAX_FRAME`], and whatever the stream says.
pub async fn read<R: AsyncRead + Unpin>(stream: &mut R) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0_u8; 4];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a frame of {length} bytes, and at most {MAX_FRAME} are accepted"),
        ));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(Some(bytes))
}

/// Writes one frame.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for more than [`MAX_FRAME`] bytes, and whatever the stream says.
pub async fn write<W: AsyncWrite + Unpin>(stream: &mut W, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= MAX_FRAME);
    let length = length.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("a frame of {} bytes", bytes.len()))
    })?;
    // One write for both parts: a frame is never interleaved with another writer's.
    let mut framed = Vec::with_capacity(bytes.len() + 4);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(bytes);
    stream.write_all(&framed).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_comes_out_as_it_went_in_and_the_end_is_none() {
        let (mut here, mut there) = tokio::io::duplex(64);
        let writer = tokio::spawn(async move {
            write(&mut here, b"").await.unwrap();
            write(&mut here, &[7; 1_000]).await.unwrap();
        });
        assert_eq!(read(&mut there).await.unwrap().unwrap(), b"");
        assert_eq!(read(&mut there).await.unwrap().unwrap(), vec![7; 1_000]);
        assert!(read(&mut there).await.unwrap().is_none());
        writer.await.unwrap();
    }

    #[tokio::test]
    async fn a_frame_that_claims_too_much_is_refused_before_it_is_read() {
        let claim = u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes();
        let error = read(&mut claim.as_slice()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let error = write(&mut Vec::new(), &vec![0; MAX_FRAME + 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
