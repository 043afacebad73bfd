//! An HTTP/2 visitor that hyper would not be: frames and fields byte for byte, and floods of them.
//!
//! Source: RFC 9113 §4.1 (frames), RFC 7541 §6 (fields).

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::lab::{Lab, within};

/// An HTTP/2 visitor whose every byte is the test's own.
pub(crate) struct Raw {
    reader: tokio::io::ReadHalf<TlsStream<TcpStream>>,
    writer: tokio::io::WriteHalf<TlsStream<TcpStream>>,
}

impl Raw {
    pub(crate) async fn new(lab: &Lab) -> Self {
        Self::with_window(lab, 65_535).await
    }

    pub(crate) async fn with_window(lab: &Lab, window: u32) -> Self {
        let stream = lab.secured("app.example", "h2").await.stream;
        let (reader, mut writer) = tokio::io::split(stream);
        writer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut raw = Self { reader, writer };
        let setting = [&[0, 4][..], &window.to_be_bytes()].concat();
        raw.frame(SETTINGS, 0, 0, &setting).await;
        raw
    }

    /// Takes the edge's settings and the window of the connection: from here on windows are as large as they say (RFC 9113 §6.5.3, §6.9.2).
    pub(crate) async fn settle(&mut self) {
        for wanted in [SETTINGS, WINDOW_UPDATE] {
            let reading = async { while self.next().await.expect("settings").0 != wanted {} };
            within("the edge's settings", reading).await;
        }
        self.frame(SETTINGS, ACK, 0, &[]).await;
    }

    /// False once the edge takes no more.
    pub(crate) async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let bytes = frame(kind, flags, stream, payload);
        self.writer.write_all(&bytes).await.is_ok() && self.writer.flush().await.is_ok()
    }

    pub(crate) async fn head(
        &mut self,
        stream: u32,
        path: &str,
        fields: &[(&str, &[u8])],
        ends: bool,
    ) {
        self.head_to("app.example", stream, path, fields, ends).await;
    }

    pub(crate) async fn head_to(
        &mut self,
        host: &str,
        stream: u32,
        path: &str,
        fields: &[(&str, &[u8])],
        ends: bool,
    ) {
        let block = block(host, path, fields);
        let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
        self.frame(HEADERS, flags, stream, &block).await;
    }

    /// A head of exactly these fields.
    pub(crate) async fn fields(&mut self, stream: u32, fields: &[(&[u8], &[u8])], ends: bool) {
        let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
        self.frame(HEADERS, flags, stream, &literals(fields.iter().copied())).await;
    }

    /// The end of a body.
    pub(crate) async fn last_data(&mut self, stream: u32, bytes: &[u8]) {
        self.frame(DATA, END_STREAM, stream, bytes).await;
    }

    /// Reads until `stream` is answered; true for 200, false for anything else, a reset and the end among it.
    pub(crate) async fn is_answered(&mut self, stream: u32) -> bool {
        let reading = async {
            while let Some((kind, on, payload)) = self.next().await {
                match kind {
                    // :status 200 is index 8 of the static table.
                    HEADERS if on == stream => return payload.starts_with(&[0x88]),
                    RST_STREAM if on == stream => return false,
                    GOAWAY => return false,
                    _ => {}
                }
            }
            false
        };
        within("an answer", reading).await
    }

    /// What some floods need first.
    pub(crate) async fn prepare(&mut self, name: &str) {
        match name {
            "empty data" => self.head_to("nobody.example", 1, "/", &[], false).await,
            "continuation" => {
                self.frame(HEADERS, 0, 1, &block("nobody.example", "/", &[])).await;
            }
            _ => {}
        }
    }

    /// Sends `frames` until the edge closes; says whether the edge told that it would (GOAWAY).
    pub(crate) async fn flood(&mut self, frames: &[u8]) -> bool {
        let Self { reader, writer } = self;
        let mut is_told = false;
        let reading = async {
            while let Some((kind, ..)) = next_of(reader).await {
                is_told |= kind == GOAWAY;
            }
        };
        let writing = async {
            while writer.write_all(frames).await.is_ok() {}
            std::future::pending::<()>().await;
        };
        let closed = async {
            tokio::select! { () = reading => {}, () = writing => {} }
        };
        within("the end of a flood", Box::pin(closed)).await;
        is_told
    }

    /// Reads until the edge resets `stream`: what was sent on it takes of the connection's window no more.
    pub(crate) async fn until_reset(&mut self, stream: u32) {
        let reading = async {
            loop {
                let (kind, on, _) = self.next().await.expect("a reset before the end");
                if kind == RST_STREAM && on == stream {
                    return;
                }
            }
        };
        within("a reset", reading).await;
    }

    /// Reads until the edge closes, resets `stream` or answers it with 400 or 421; fails at any other answer.
    pub(crate) async fn until_refused(&mut self, stream: u32) {
        let reading = async {
            while let Some((kind, on, payload)) = self.next().await {
                match kind {
                    HEADERS if on == stream => return assert_refuses(&payload),
                    RST_STREAM if on == stream => return,
                    GOAWAY => return,
                    _ => {}
                }
            }
        };
        within("a refusal", reading).await;
    }

    pub(crate) async fn until_closed(&mut self) {
        within("the end", async { while self.next().await.is_some() {} }).await;
    }

    /// Takes what is there already.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let reading = self.reader.read(&mut buffer);
        match tokio::time::timeout(Duration::from_micros(100), reading).await {
            Ok(read) => !read.is_ok_and(|bytes| bytes > 0),
            Err(_) => false,
        }
    }

    pub(crate) async fn next(&mut self) -> Option<(u8, u32, Vec<u8>)> {
        next_of(&mut self.reader).await
    }
}

async fn next_of(reader: &mut (impl AsyncRead + Unpin)) -> Option<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    reader.read_exact(&mut head).await.ok()?;
    let [a, b, c, kind, _flags, stream @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    reader.read_exact(&mut payload).await.ok()?;
    Some((kind, u32::from_be_bytes(stream), payload))
}

/// The status comes first. 400 is index 12 of the static table (RFC 7541 appendix A); 421 is spelled out, in the code of appendix B, the
/// first time, and named by a place in the dynamic table from then on.
fn assert_refuses(block: &[u8]) {
    let is_400 = block.starts_with(&[0x80 | 12]);
    let is_421 = block.starts_with(&[0x48, 0x82, 0x68, 0x41])
        || block.first().is_some_and(|field| *field >= 0x80 | 62);
    assert!(is_400 || is_421, "another answer than 400 or 421: {block:x?}");
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head[..], payload].concat()
}

/// A head of the usual fields and these.
fn block(host: &str, path: &str, fields: &[(&str, &[u8])]) -> Vec<u8> {
    let pseudo: [(&str, &[u8]); 4] = [
        (":method", b"GET"),
        (":scheme", b"https"),
        (":authority", host.as_bytes()),
        (":path", path.as_bytes()),
    ];
    literals(pseudo.iter().chain(fields).map(|(name, value)| (name.as_bytes(), *value)))
}

/// Fields as literals that nobody remembers (RFC 7541 §6.2.2), so that each byte is what it is.
fn literals<'f>(fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text);
        }
    }
    block
}

pub(crate) fn floods() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("ping", frame(PING, 0, 0, &[0; 8]).repeat(100)),
        ("settings", frame(SETTINGS, 0, 0, &[]).repeat(100)),
        ("settings with values", frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]).repeat(100)),
        ("window updates", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(100)),
        ("priority", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 9]).repeat(100)),
        ("empty data", frame(DATA, 0, 1, &[]).repeat(100)),
        ("continuation", frame(CONTINUATION, 0, 1, &[]).repeat(100)),
        ("unknown frames", frame(0xbe, 0, 0, &[0; 100]).repeat(100)),
        ("bombs", bombs()),
    ]
}

/// Heads that are small on the wire and large when they are unpacked: one long field, then named by its index many times.
fn bombs() -> Vec<u8> {
    let mut bombs = Vec::new();
    for stream in 0..200 {
        let mut head = block("nobody.example", "/", &[]);
        if stream == 0 {
            // With incremental indexing: name "x", a value of 3,000 bytes.
            head.extend([0x40, 1, b'x', 0x7f, 0xb9, 0x16]);
            head.extend([b'y'; 3_000]);
        }
        head.extend([0x80 | 62; 4_000]);
        bombs.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * stream + 1, &head));
    }
    bombs
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
