//! Behaviour of `framing`.

use super::*;

#[test]
fn plain_requests_pass_and_are_counted_however_they_are_cut() {
    let stream = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /x HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcPUT / HTTP/1.1\r\nTransfer-Encoding: CHUNKED\r\n\r\n3;a=\"b\"\r\nx\ny\r\n0\r\nx-sum: 1\r\n\r\nGET / HTTP/1.0\r\n\r\n";
    for size in 1..stream.len() {
        let mut framing = Framing::default();
        for piece in stream.chunks(size) {
            assert_eq!(scan_on(&mut framing, piece), Scanned::All, "pieces of {size}");
        }
        assert_eq!((framing.heads(), framing.phase()), (4, Phase::Idle), "pieces of {size}");
    }
}

#[test]
fn every_ambiguity_is_refused_with_its_name() {
    let cases: &[(&str, Fault)] = &[
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", Fault::Line),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", Fault::Line),
        ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", Fault::Line),
        ("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", Fault::Line),
        ("GET  / HTTP/1.1\r\n", Fault::RequestLine),
        ("GET / HTTP/2.0\r\n", Fault::RequestLine),
        ("GET /\r\n", Fault::RequestLine),
        ("GET /#a HTTP/1.1\r\n", Fault::RequestLine),
        ("GET * HTTP/1.1\r\n", Fault::RequestLine),
        ("PRI * HTTP/2.0\r\n", Fault::RequestLine),
        ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n", Fault::FieldName),
        ("GET / HTTP/1.1\r\n Host: a\r\n", Fault::FieldName),
        ("GET / HTTP/1.1\r\nHost : a\r\n", Fault::FieldName),
        ("GET / HTTP/1.1\r\nHost\r\n", Fault::FieldName),
        ("POST / HTTP/1.1\r\nContent-Length: +5\r\n", Fault::ContentLength),
        ("POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n", Fault::ContentLength),
        ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n", Fault::ContentLength),
        ("POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n", Fault::ContentLength),
        ("POST / HTTP/1.1\r\nContent-Length:\r\n", Fault::ContentLength),
        ("POST / HTTP/1.1\r\nContent-Length:\t5\r\n", Fault::ContentLength),
        ("POST / HTTP/1.1\r\nTransfer-Encoding:\tchunked\r\n", Fault::TransferEncoding),
        (
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            Fault::TransferEncoding,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            Fault::TransferEncoding,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Fault::TransferEncoding,
        ),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n", Fault::TransferEncoding),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n", Fault::TransferEncoding),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", Fault::TransferEncoding),
    ];
    for (stream, fault) in cases {
        assert_refused(stream, *fault);
    }
}

#[test]
fn bad_chunks_are_refused() {
    for chunks in [
        "+5\r\n",
        "0x5\r\n",
        "-1\r\n",
        "5 \r\n",
        "\r\n",
        "5\n",
        "g\r\n",
        "1000000000000000\r\n",
        "1\r\nab\r\n",
        "1\r\na\n",
        "1;x\ry\r\n",
    ] {
        let stream = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        assert!(matches!(scan(&stream).0, Scanned::Refused(..)), "{chunks:?}");
    }
    let trailer = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n";
    assert_refused(trailer, Fault::ContentLength);
}

#[test]
fn a_message_waits_for_its_turn() {
    let (scanned, mut framing) = scan(&GET.repeat(2));
    assert_eq!(scanned, Scanned::Held(GET.len()));
    assert_eq!((framing.heads(), framing.phase()), (1, Phase::Idle));
    assert_eq!(framing.scan(b"GET"), Scanned::Held(0), "not yet");
    framing.proceed();
    assert_eq!(framing.scan(GET.as_bytes()), Scanned::All);
    assert_eq!(framing.heads(), 2);
}

#[test]
fn what_follows_an_upgrade_is_held() {
    let request = "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
    let (scanned, framing) = scan(&format!("{request}GET /admin HTTP/1.1\r\n\r\n"));
    assert_eq!(scanned, Scanned::Held(request.len()));
    assert_eq!((framing.heads(), framing.phase()), (1, Phase::Held));
}

#[test]
fn the_body_of_a_request_for_an_upgrade_still_passes() {
    let request = "POST / HTTP/1.1\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nab";
    assert_eq!(scan(&format!("{request}GET")).0, Scanned::Held(request.len()));
}

#[test]
fn a_head_without_end_is_refused() {
    let endless = format!("GET / HTTP/1.1\r\nx: {}", "a".repeat(2 * HEAD_BYTES_MAX));
    assert!(matches!(scan(&endless).0, Scanned::Refused(_, Fault::TooLong)));
    let chunk = format!(
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;{}",
        "a".repeat(CHUNK_LINE_BYTES_MAX)
    );
    assert!(matches!(scan(&chunk).0, Scanned::Refused(_, Fault::TooLong)));
}

#[test]
fn the_phase_tells_what_is_waited_for() {
    let phase = |stream: &str| scan(stream).1.phase();
    assert_eq!(phase(""), Phase::Idle);
    assert_eq!(phase("G"), Phase::Head);
    assert_eq!(phase("GET / HTTP/1.1\r\n"), Phase::Head);
    assert_eq!(phase("GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n"), Phase::DeclaredBody);
    assert_eq!(phase("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), Phase::ChunkedBody);
}

#[test]
fn bytes_of_a_target_that_are_to_be_encoded_are_told_however_they_are_cut() {
    let stream =
        "GET /\"a\"?\u{fc} HTTP/1.1\r\nX: \"\u{fc}\"\r\n\r\nG\"T / HTTP/1.1\r\n".as_bytes();
    for size in 1..stream.len() {
        let (mut framing, mut told, mut at) = (Framing::default(), Vec::new(), 0);
        for mut piece in stream.chunks(size) {
            while !piece.is_empty() {
                let scanned = framing.scan(piece);
                told.extend(framing.escapes().iter().map(|escape| escape + at));
                let passed = if let Scanned::Held(passed) = scanned { passed } else { piece.len() };
                framing.proceed();
                (at, piece) = (at + passed, &piece[passed..]);
            }
        }
        assert_eq!(told, [5, 7, 9, 10], "pieces of {size}");
    }
    let mut framing = Framing::default();
    let refused = framing.scan(b"GET /\xfc HTTP/1.1\r\n");
    assert!(matches!(refused, Scanned::Refused(_, Fault::RequestLine)), "not UTF-8");
}

/// As if every message were answered at once.
fn scan_on(framing: &mut Framing, bytes: &[u8]) -> Scanned {
    match framing.scan(bytes) {
        Scanned::Held(at) if framing.is_between() => {
            framing.proceed();
            scan_on(framing, &bytes[at..])
        }
        scanned @ (Scanned::All | Scanned::Held(_) | Scanned::Refused(..)) => scanned,
    }
}

fn scan(stream: &str) -> (Scanned, Framing) {
    let mut framing = Framing::default();
    (framing.scan(stream.as_bytes()), framing)
}

/// Refused at the same byte whether the stream comes at once or byte by byte.
fn assert_refused(stream: &str, fault: Fault) {
    let Scanned::Refused(at, found) = scan(stream).0 else { panic!("{stream:?} passed") };
    assert_eq!(found, fault, "{stream:?}");
    let mut framing = Framing::default();
    let first = stream.bytes().position(|byte| framing.scan(&[byte]) != Scanned::All);
    assert_eq!(first, Some(at), "{stream:?}");
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
