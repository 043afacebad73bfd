//! TLS as visitors begin it, and the names in a certificate.
//!
//! The readers are private to the relay; the same files are read here.

#[path = "../../relay/edge/src/tls/hello.rs"]
#[allow(dead_code, reason = "the relay also goes on from a ClientHello")]
mod hello;
#[path = "../../relay/edge/src/tls/limits.rs"]
#[allow(dead_code, reason = "the bounds of all of TLS")]
mod limits;
#[path = "../../relay/edge/src/tls/names.rs"]
#[allow(dead_code, reason = "the relay also compares times")]
mod names;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use rustls::AlertDescription;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::hello::Hello;
use self::limits::{CERTIFICATE_NAMES_MAX, HELLO_BYTES_MAX};
use self::names::{Leaf, Name};
use crate::choices::Choices;

/// Looks at a visitor's first bytes, as they come and with a record's head in front. Nothing that was read is lost, no more is read than
/// may be, and a refusal is an alert.
pub fn client_hello(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let (pieces, wrap) = (usize::from(choices.small()) + 1, choices.small() & 1 == 1);
    let rest = choices.rest();
    let sent = if wrap { in_records(rest) } else { rest.to_vec() };
    let look = || Hello::read(Visitor::new(&sent, pieces)).now_or_never().expect("it has all come");
    let Ok(hello) = look() else { return };
    let name = hello.server_name();
    assert!(name.is_none_or(|name| !name.is_empty() && name.is_ascii()));
    assert!(!(hello.speaks_only(b"bore/1") && hello.speaks_only(b"h2")), "alone is alone");
    let (recorded, visitor) = hello.into_recorded();
    assert!(recorded.len() <= HELLO_BYTES_MAX);
    assert_eq!([&recorded[..], visitor.left].concat(), sent, "every byte, once");

    let refused = look().expect("as before").refuse(AlertDescription::UnrecognisedName);
    refused.now_or_never().expect("it takes everything").expect("it takes everything");
}

/// The handshake record that `message` fits into; TLS cuts where it likes.
fn in_records(message: &[u8]) -> Vec<u8> {
    let mut handshake = vec![1];
    handshake.extend(u32::try_from(message.len()).unwrap_or_default().to_be_bytes().split_at(1).1);
    handshake.extend(message);
    let records = handshake.chunks(RECORD_BYTES).flat_map(|piece| {
        let [high, low] = u16::try_from(piece.len()).unwrap_or_default().to_be_bytes();
        [[0x16, 3, 1, high, low].as_slice(), piece].concat()
    });
    records.collect()
}

/// Reads a certificate's names; each is found again by who asks for it.
pub fn certificate(bytes: &[u8]) {
    let Ok(leaf) = Leaf::read(&CertificateDer::from(bytes)) else { return };
    assert!(!leaf.names.is_empty() && leaf.names.len() <= CERTIFICATE_NAMES_MAX);
    for name in &leaf.names {
        let host = match name {
            Name::Exact(host) => host.to_string(),
            Name::Below(parent) => format!("any.{parent}"),
            Name::Address(address) => {
                assert_eq!(name, &Name::address(*address), "one form");
                continue;
            }
        };
        // A name may end with one dot; one that ends with two is no host's.
        assert!(host.ends_with('.') || Name::speaking_for(&host).any(|found| &found == name));
    }
}

/// A connection on which everything has come, in pieces, and that takes whatever is sent.
#[derive(Debug)]
struct Visitor<'a> {
    left: &'a [u8],
    pieces: usize,
}

impl<'a> Visitor<'a> {
    fn new(left: &'a [u8], pieces: usize) -> Self {
        Self { left, pieces }
    }
}

impl AsyncRead for Visitor<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = self.left.len().min(self.pieces).min(buffer.remaining());
        let (now, later) = self.left.split_at(count);
        buffer.put_slice(now);
        self.left = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Visitor<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const RECORD_BYTES: usize = 1 << 14;
