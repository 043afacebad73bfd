//! Reads a stream of JSON lines, as the relay's watch and the local API send them.

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::limits::WATCH_LINE_BYTES_MAX;

/// Lines of a body that goes on. What was read of a line survives a dropped [`Lines::next`].
#[derive(Debug)]
pub(crate) struct Lines<B = Incoming> {
    body: B,
    buffer: BytesMut,
    /// So many bytes of the buffer hold no end of a line.
    searched: usize,
}

/// Why no line came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinesError {
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("a line is longer than {WATCH_LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("a line is not understood: {0}")]
    Json(#[from] serde_json::Error),
}

impl<B> Lines<B>
where
    B: hyper::body::Body<Data = bytes::Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    /// Reads `body`.
    pub(crate) fn new(body: B) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0 }
    }

    /// The next line; `None` when the stream ended in order. Cancel-safe.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LinesError> {
        loop {
            if let Some(line) = self.take_line() {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            if self.buffer.len() > WATCH_LINE_BYTES_MAX {
                return Err(LinesError::TooLong);
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(|error| LinesError::Broken(error.to_string()))?;
            if let Some(data) = frame.data_ref() {
                self.buffer.extend_from_slice(data);
            }
        }
    }

    fn take_line(&mut self) -> Option<BytesMut> {
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(position) = unsearched.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.searched + position);
        self.buffer.advance(1);
        self.searched = 0;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    #[tokio::test]
    async fn lines_are_found_whatever_the_pieces_they_come_in() {
        let mut lines = lines(&["1\n2", "3\n\n", "4", "\n"]);
        for expected in [1, 23, 4] {
            assert_eq!(lines.next::<u32>().await.unwrap(), Some(expected));
        }
        assert_eq!(lines.next::<u32>().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let piece = "9".repeat(WATCH_LINE_BYTES_MAX / 2 + 1);
        let pieces = [piece.as_str(); 3];
        let mut lines = lines(&pieces);
        assert!(matches!(lines.next::<u32>().await, Err(LinesError::TooLong)));
    }

    fn lines(
        pieces: &[&str],
    ) -> Lines<impl hyper::body::Body<Data = Bytes, Error = Infallible> + Unpin> {
        let frames: Vec<_> = pieces
            .iter()
            .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece.as_bytes()))))
            .collect();
        Lines::new(StreamBody::new(stream::iter(frames)))
    }
}
