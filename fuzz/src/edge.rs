//! HTTP as visitors send it: where messages end, and which host they are for.
//!
//! The readers are private to the relay; the same files are read here.

#[path = "../../relay/edge/src/framing.rs"]
#[allow(dead_code, reason = "the relay also counts every fault")]
mod framing;
#[path = "../../relay/edge/src/host.rs"]
mod host;
#[path = "../../relay/edge/src/limits.rs"]
#[allow(dead_code, reason = "the bounds of the whole edge")]
mod limits;
#[path = "../../relay/edge/src/proxied.rs"]
mod proxied;
#[path = "../../relay/edge/src/response_head.rs"]
#[allow(dead_code, reason = "the relay also says what is odd")]
mod response_head;
#[path = "../../relay/edge/src/settings.rs"]
#[allow(dead_code, reason = "the settings of the whole edge")]
mod settings;
#[path = "../../relay/edge/src/target.rs"]
#[allow(dead_code, reason = "the relay also encodes what HTTP/2 brings")]
mod target;

use bore_policy::AuthorityHost;
use futures_util::FutureExt as _;
use http::Request;

use self::framing::{Framing, Phase, Scanned};
use self::limits::PROXY_HEADER_BYTES_MAX;
use self::proxied::Proxied;
use self::settings::Scheme;
use crate::choices::Choices;

/// Reads a visitor's bytes at once and in pieces: what may pass is the same.
pub fn framing(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let pieces = usize::from(choices.small()) + 1;
    let bytes = choices.rest();
    let (mut whole, mut parts) = (Framing::default(), Framing::default());
    let at_once = scan(&mut whole, bytes);
    let mut in_pieces = (0, None);
    for piece in bytes.chunks(pieces) {
        let (count, stopped) = scan(&mut parts, piece);
        in_pieces = (in_pieces.0 + count, stopped);
        if stopped.is_some() {
            break;
        }
    }
    assert_eq!(at_once.1, in_pieces.1, "one verdict, however the bytes are cut");
    if at_once.1 != Some(Stop::Refused) {
        assert_eq!(at_once, in_pieces);
        assert_eq!((whole.phase(), whole.heads()), (parts.phase(), parts.heads()));
    }
    assert!(at_once.1 != Some(Stop::Held) || whole.phase() == Phase::Held);
    agrees_with_httparse(bytes, at_once);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Held,
    Refused,
}

/// As if every message were answered at once.
fn scan(framing: &mut Framing, bytes: &[u8]) -> (usize, Option<Stop>) {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let (count, stop) = passed(framing.scan(rest), rest.len());
        at += count;
        if stop.is_none() || !framing.is_between() {
            return (at, stop);
        }
        framing.proceed();
    }
}

fn passed(scanned: Scanned, length: usize) -> (usize, Option<Stop>) {
    let (count, stop) = match scanned {
        Scanned::All => (length, None),
        Scanned::Held(count) => (count, Some(Stop::Held)),
        Scanned::Refused(count, _) => (count, Some(Stop::Refused)),
    };
    assert!(count <= length, "nothing passes that did not come");
    (count, stop)
}

/// Where the first head ends is where hyper's own parser sees its end, if it takes the head at all.
fn agrees_with_httparse(bytes: &[u8], (count, stop): (usize, Option<Stop>)) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(end)) = request.parse(bytes) else { return };
    if stop == Some(Stop::Refused) && count < end {
        return;
    }
    let mut head = Framing::default();
    let (before, ending) = bytes.split_at(end - 1);
    head.scan(before);
    assert_eq!(head.heads(), 0, "hyper reads on where the framing saw an end");
    head.scan(ending.get(..1).unwrap_or_default());
    assert_eq!(head.heads(), 1, "hyper sees an end where the framing reads on");
}

/// Repairs the head of an answer: what comes out is read in one way, ends where it ends, and needs no repair.
pub fn origin_head(bytes: &[u8]) {
    let Some(length) = response_head::length(bytes) else { return };
    let head = bytes.get(..length).expect("what has come");
    if !response_head::may_begin(head) {
        return;
    }
    let Some(repaired) = response_head::repaired(head) else { return };
    assert_eq!(response_head::length(&repaired.head), Some(repaired.head.len()));
    assert_eq!(response_head::repaired(&repaired.head), None, "it is repaired once");
    assert!(repaired.head.split(|byte| *byte == b'\n').all(|line| !line.starts_with(b" ")));
}

/// Reads a target, and the rest as the value of a Host header.
pub fn host(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let scheme = if choices.small() & 1 == 0 { Scheme::Http } else { Scheme::Https };
    let target = choices.piece(64);
    let mut request = Request::builder().uri(if target.is_empty() { b"/" } else { target });
    for value in choices.rest().split(|byte| *byte == b'\n') {
        request = request.header(http::header::HOST, value);
    }
    let Ok(request) = request.body(()) else { return };
    let parts = request.into_parts().0;
    if let Ok(AuthorityHost::Name(name)) = host::requested(&parts, scheme) {
        let again = Request::builder().header(http::header::HOST, name.as_str()).body(());
        let again = again.expect("a hostname is a header").into_parts().0;
        let again = host::requested(&again, scheme);
        assert_eq!(again, Ok(AuthorityHost::Name(name)), "one spelling of one host");
    }
}

/// Reads the header that a load balancer puts in front: behind it every byte is the visitor's, however they come.
pub fn proxy_header(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let bytes = match choices.small() % 4 {
        0 => [b"PROXY TCP4 ", choices.rest()].concat(),
        1 => [V2_SIGNATURE, choices.rest()].concat(),
        _ => choices.rest().to_vec(),
    };
    let Some(whole) = after_header(&mut &bytes[..]) else {
        assert!(after_header(&mut Bytewise(&bytes)).is_none(), "one verdict");
        return;
    };
    let header = bytes.len() - whole.1;
    assert!(header <= PROXY_HEADER_BYTES_MAX);
    let pieces = after_header(&mut Bytewise(&bytes)).expect("one verdict");
    assert_eq!(pieces, whole);
    if let Some((visitor, dialled)) = whole.0 {
        assert_eq!((visitor.ip().to_canonical(), dialled.to_canonical()), (visitor.ip(), dialled));
    }
}

type Pair = Option<(std::net::SocketAddr, std::net::IpAddr)>;

/// Who comes, and how many bytes follow the header: those that were read with it, and those that were not.
fn after_header<'a, S: tokio::io::AsyncRead + Unpin + Left<'a>>(
    stream: &mut S,
) -> Option<(Pair, usize)> {
    let Proxied { pair, rest } = proxied::read(stream).now_or_never().expect("it has all come").ok()?;
    Some((pair, rest.len() + stream.left().len()))
}

/// What has not been read.
trait Left<'a> {
    fn left(&self) -> &'a [u8];
}

impl<'a> Left<'a> for &'a [u8] {
    fn left(&self) -> &'a [u8] {
        self
    }
}

impl<'a> Left<'a> for Bytewise<'a> {
    fn left(&self) -> &'a [u8] {
        self.0
    }
}

/// Gives one byte at a time.
struct Bytewise<'a>(&'a [u8]);

impl tokio::io::AsyncRead for Bytewise<'_> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if let Some((first, rest)) = self.0.split_first() {
            buffer.put_slice(&[*first]);
            self.0 = rest;
        }
        std::task::Poll::Ready(Ok(()))
    }
}

const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
