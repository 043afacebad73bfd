//! HTTP as visitors send it: where messages end, and which host they are for.
//!
//! The readers are private to the relay; the same files are read here.

#[path = "../../relay/src/edge/framing.rs"]
#[allow(dead_code, reason = "the relay also counts every fault")]
mod framing;
#[path = "../../relay/src/edge/host.rs"]
mod host;
#[path = "../../relay/src/edge/limits.rs"]
#[allow(dead_code, reason = "the bounds of the whole edge")]
mod limits;
#[path = "../../relay/src/edge/settings.rs"]
#[allow(dead_code, reason = "the settings of the whole edge")]
mod settings;

use bore_policy::AuthorityHost;
use http::Request;

use self::framing::{Framing, Phase, Scanned};
use self::settings::Scheme;
use crate::choices::Choices;

/// Reads a visitor's bytes at once and in pieces: what may pass is the same.
pub fn framing(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let pieces = usize::from(choices.small()) + 1;
    let bytes = choices.rest();
    let (mut whole, mut parts) = (Framing::default(), Framing::default());
    let at_once = passed(whole.scan(bytes), bytes.len());
    let mut in_pieces = (0, None);
    for piece in bytes.chunks(pieces) {
        let (count, stopped) = passed(parts.scan(piece), piece.len());
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
