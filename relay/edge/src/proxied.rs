//! The header by which a trusted load balancer says who its visitor is.
//!
//! From the networks in [`EdgeSettings::proxies`](super::EdgeSettings) a connection must begin with one, in version 1 or 2; from anywhere
//! else such a header is just a malformed request. A balancer that checks whether the relay lives (`LOCAL`, `UNKNOWN`) is its own visitor.
//!
//! Source: the PROXY protocol, versions 1 and 2, <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

use std::io;
use std::net::{IpAddr, SocketAddr};

use ppp::{HeaderResult, PartialResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::limits::PROXY_HEADER_BYTES_MAX;

/// What a header says, and what came behind it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proxied {
    /// The visitor and the address that it dialled; `None` when the balancer speaks for itself.
    pub(super) pair: Option<(SocketAddr, IpAddr)>,
    pub(super) rest: Vec<u8>,
}

/// Why a connection from a load balancer is not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxiedError {
    #[error("the connection ended before its PROXY header")]
    Ended(#[from] io::Error),
    #[error("it does not begin with a PROXY header")]
    Absent,
}

/// Reads a header from the beginning of `stream`.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Proxied, ProxiedError> {
    let mut bytes = Vec::new();
    while bytes.len() < PROXY_HEADER_BYTES_MAX {
        let room = PROXY_HEADER_BYTES_MAX - bytes.len();
        if (&mut *stream).take(room as u64).read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if let Some((length, pair)) = parse(&bytes)? {
            let rest = bytes.split_off(length);
            return Ok(Proxied { pair, rest });
        }
    }
    Err(ProxiedError::Absent)
}

type Pair = Option<(SocketAddr, IpAddr)>;

/// The header's length and what it says; `None` while more of it has to come.
fn parse(bytes: &[u8]) -> Result<Option<(usize, Pair)>, ProxiedError> {
    // The parser takes half an address in a line without end for a wrong one, and a space before the end for a carriage return.
    if bytes.first() == Some(&b'P') {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let line = lines.next().unwrap_or_default();
        if lines.next().is_none() {
            return Ok(None);
        }
        if !line.ends_with(b"\r") {
            return Err(ProxiedError::Absent);
        }
    }
    let parsed = HeaderResult::parse(bytes);
    if parsed.is_incomplete() {
        return Ok(None);
    }
    match parsed {
        HeaderResult::V1(Ok(header)) => Ok(Some((header.header.len(), of_text(&header)))),
        HeaderResult::V2(Ok(header)) => Ok(Some((header.header.len(), of_binary(&header)))),
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(ProxiedError::Absent),
    }
}

fn of_text(header: &v1::Header<'_>) -> Pair {
    match header.addresses {
        v1::Addresses::Tcp4(pair) => Some(pair_v4(pair)),
        v1::Addresses::Tcp6(pair) => Some(pair_v6(pair)),
        v1::Addresses::Unknown => None,
    }
}

fn of_binary(header: &v2::Header<'_>) -> Pair {
    match (header.command, header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(pair)) => Some(pair_v4(pair)),
        (v2::Command::Proxy, v2::Addresses::IPv6(pair)) => Some(pair_v6(pair)),
        (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_))
        | (v2::Command::Local, _) => None,
    }
}

fn pair_v4(pair: v2::IPv4) -> (SocketAddr, IpAddr) {
    ((pair.source_address, pair.source_port).into(), pair.destination_address.into())
}

fn pair_v6(pair: v2::IPv6) -> (SocketAddr, IpAddr) {
    let source = pair.source_address.to_canonical();
    (SocketAddr::new(source, pair.source_port), pair.destination_address.to_canonical())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn both_versions_are_read_however_they_are_cut() {
        let pair = Some(("192.0.2.7:56324".parse().unwrap(), "198.51.100.1".parse().unwrap()));
        for at_once in [1, 3, 4096] {
            for header in [TEXT.to_vec(), binary(0x21)] {
                let sent = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
                let (read, unread) = heard(&sent, at_once).await;
                let read = read.unwrap();
                assert_eq!(read.pair, pair);
                assert_eq!([read.rest, unread].concat(), b"GET / HTTP/1.1\r\n");
            }
        }
    }

    #[tokio::test]
    async fn a_balancer_that_speaks_for_itself_is_its_own_visitor() {
        for header in [b"PROXY UNKNOWN\r\n".to_vec(), binary(0x20)] {
            assert_eq!(heard(&header, 99).await.0.unwrap().pair, None);
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let endless = vec![b'P'; 2 * PROXY_HEADER_BYTES_MAX];
        for bytes in [
            b"GET / HTTP/1.1\r\n\r\n".as_slice(),
            b"PROXY TCP4 192.0.2.7 nonsense 1 2\r\n",
            b"PROXY TCP4 192.0.2.7\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 \n",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0",
            &endless,
        ] {
            assert!(heard(bytes, 4096).await.0.is_err(), "{bytes:?}");
        }
        assert!(matches!(heard(b"PROXY ", 99).await.0, Err(ProxiedError::Ended(_))));
    }

    const TEXT: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";

    fn binary(command: u8) -> Vec<u8> {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        header.extend([command, 0x11, 0, 12, 192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 0x04, 1, 0xbb]);
        header
    }

    /// What is read of `bytes`, and what is left unread of them.
    async fn heard(bytes: &[u8], at_once: usize) -> (Result<Proxied, ProxiedError>, Vec<u8>) {
        let (mut balancer, mut relay) = duplex(at_once);
        let bytes = bytes.to_vec();
        tokio::spawn(async move {
            // A relay that has seen enough closes.
            let _ = balancer.write_all(&bytes).await;
        });
        let read = read(&mut relay).await;
        let mut unread = Vec::new();
        relay.read_to_end(&mut unread).await.unwrap();
        (read, unread)
    }
}
