//! Carries HTTP between a flow and a target behind TLS, in the version of HTTP that the relay speaks on this flow.
//!
//! The target is dialled before anything of a visitor's is known, and prefers HTTP/1.1. A flow that begins as HTTP/2 does, as gRPC needs it,
//! gets another connection with HTTP/2 inside TLS, unless that is what was agreed on. Nothing but this beginning is looked at.
//!
//! Source: RFC 9113 §3.4 (how HTTP/2 begins).

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};

use super::targets::{DialError, Place, SecureStream};

/// Why a flow was not carried to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CarryError {
    /// The target speaks no HTTP/2, or is gone.
    #[error("no HTTP/2 with the target")]
    Redial(#[from] DialError),
    /// One of the two broke off.
    #[error("the connection broke")]
    Broke(#[from] io::Error),
}

/// Carries bytes both ways until both sides have closed.
pub(crate) async fn carry(
    mut flow: impl AsyncRead + AsyncWrite + Unpin,
    place: &Place,
    stream: SecureStream,
) -> Result<(), CarryError> {
    let begun = read_beginning(&mut flow).await?;
    let mut stream = if begun == PREFACE && !speaks_http2(&stream) {
        drop(stream);
        place.connect_http2().await?
    } else {
        stream
    };
    stream.write_all(&begun).await?;
    stream.flush().await?;
    copy_bidirectional(&mut flow, &mut stream).await?;
    Ok(())
}

/// The first bytes, up to where they differ from the beginning of HTTP/2; all of that when they do not.
async fn read_beginning(flow: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut begun = Vec::with_capacity(PREFACE.len());
    while begun.len() < PREFACE.len() && PREFACE.starts_with(&begun) {
        let missing = PREFACE.len() - begun.len();
        if (&mut *flow).take(missing as u64).read_buf(&mut begun).await? == 0 {
            break;
        }
    }
    Ok(begun)
}

fn speaks_http2(stream: &SecureStream) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[cfg(test)]
mod tests {
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
                let begun = read_beginning(&mut agent).await.unwrap();
                assert!(wanted.starts_with(&begun), "{begun:?}");
                assert_eq!(begun == PREFACE, wanted == PREFACE);
                assert_eq!(begun.is_empty(), sent.is_empty());
                drop(agent);
                sending.await.unwrap();
            }
        }
    }
}
