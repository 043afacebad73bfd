//! Carries HTTP between a flow and a target behind TLS, in the version of HTTP that the relay speaks on this flow.
//!
//! The target is dialled before anything of a visitor's is known, and prefers HTTP/1.1. A flow that begins as HTTP/2 does, as gRPC needs it,
//! gets another connection with HTTP/2 inside TLS, unless that is what was agreed on. Nothing but this beginning is looked at.
//!
//! Source: RFC 9113 §3.4 (how HTTP/2 begins).

use std::future::poll_fn;
use std::io;

use bore_driver::{Meter, Near, PumpEnd, pump};
use bore_netstack::TcpFlow;
use tokio::io::AsyncWriteExt;

use super::targets::{DialError, Place, SecureStream};

/// Why a flow was not carried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CarryError {
    /// The target speaks no HTTP/2, or is gone.
    #[error("no HTTP/2 with the target")]
    Redial(#[from] DialError),
    /// The visitor's side broke off before it had said what it speaks.
    #[error("the flow broke off")]
    Broke(#[from] io::Error),
}

/// Carries bytes both ways until both sides have closed or one has reset.
pub(crate) async fn carry(
    flow: &TcpFlow,
    place: &Place,
    stream: SecureStream,
) -> Result<PumpEnd, CarryError> {
    let read = async |room: &mut [u8]| poll_fn(|context| flow.poll_read(context, room)).await;
    let begun = read_beginning(read).await?;
    let mut stream = if begun == PREFACE && !speaks_http2(&stream) {
        drop(stream);
        place.connect_http2().await?
    } else {
        stream
    };
    if let Err(error) = stream.write_all(&begun).await {
        // A target that takes nothing may have said why: the pump reads that and finds the same end.
        tracing::trace!(%error, "the target took no beginning");
    }
    let near = Near::inside(stream, |stream| Some(stream.get_ref().0));
    Ok(pump(flow, &near, &Meter::default()).await)
}

/// The first bytes, up to where they differ from the beginning of HTTP/2; all of that when they do not.
async fn read_beginning(
    mut read: impl AsyncFnMut(&mut [u8]) -> io::Result<usize>,
) -> io::Result<Vec<u8>> {
    let mut begun = vec![0; PREFACE.len()];
    let mut count = 0;
    while let Some(room) = begun.get_mut(count..).filter(|room| !room.is_empty()) {
        let came = read(room).await?;
        count += came;
        if came == 0 || !PREFACE.starts_with(begun.get(..count).unwrap_or_default()) {
            break;
        }
    }
    begun.truncate(count);
    Ok(begun)
}

fn speaks_http2(stream: &SecureStream) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_beginning_is_read_no_further_than_it_has_to_be_told_apart() {
        let same = [PREFACE, b"more"].concat();
        for (sent, wanted) in [
            (b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"GET / HTTP/1.1\r\n\r\n".as_slice()),
            (b"P", b"P"),
            (b"", b""),
            (&same, PREFACE),
        ] {
            for at_once in [1, 4096] {
                let (mut relay, mut agent) = tokio::io::duplex(at_once);
                let bytes = sent.to_vec();
                let sending = tokio::spawn(async move {
                    // Who has seen enough does not read the rest.
                    let _ = relay.write_all(&bytes).await;
                });
                let begun = read_beginning(async |room| agent.read(room).await).await.unwrap();
                assert!(wanted.starts_with(&begun), "{begun:?}");
                assert_eq!(begun == PREFACE, wanted == PREFACE);
                assert_eq!(begun.is_empty(), sent.is_empty());
                drop(agent);
                sending.await.unwrap();
            }
        }
    }
}
