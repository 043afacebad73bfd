//! What passes as it was meant: targets that are no URIs, odd heads of services, spelling of field names, interim answers, names of hosts.

use super::lab::{GET, Lab, header, within};
use super::raw_http2::{HEADERS, RST_STREAM, Raw};

#[tokio::test]
async fn a_target_that_is_no_uri_reaches_the_origin_encoded() {
    let lab = Lab::new().await;
    for (target, wanted) in TARGETS {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: app.example\r\nX-Raw: <\u{fc}>\r\n\r\n");
        let (_visitor, mut origin) = lab.pair(&request).await;
        let head = origin.head().await;
        assert!(head.starts_with(&format!("GET {wanted} HTTP/1.1\r\n")), "{target}: {head}");
        assert_eq!(header(&head, "x-raw"), Some("<\u{fc}>"), "only targets change");
    }
}

#[tokio::test]
async fn such_a_target_is_encoded_however_it_is_cut_and_however_long_it_is() {
    let lab = Lab::new().await;
    let mut visitor = lab.visitor().await;
    let long = "\u{20ac}".repeat(6_000);
    visitor.send("POST /a HTTP/1.1\r\nHost: app.example\r\nContent-Length: 3\r\n\r\n<\">").await;
    for piece in
        format!("GET /\"{long}\" HTTP/1.1\r\nHost: app.example\r\n\r\n").as_bytes().chunks(1_009)
    {
        tokio::io::AsyncWriteExt::write_all(&mut visitor.stream, piece).await.unwrap();
    }
    let mut origin = lab.accept().await;
    origin.head().await;
    assert_eq!(origin.exactly(3).await, "<\">", "a body stays as it is");
    origin.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    let wanted = format!("GET /%22{}%22 HTTP/1.1\r\n", "%E2%82%AC".repeat(6_000));
    assert!(origin.head().await.starts_with(&wanted));
}

#[tokio::test]
async fn http_2_encodes_a_target_the_same_way() {
    let lab = Lab::secure().await;
    let mut raw = Raw::new(&lab).await;
    raw.head(1, "/a?q=f\u{fc}r", &[], true).await;
    let mut origin = lab.accept().await;
    assert!(origin.head().await.starts_with("GET /a?q=f%C3%BCr HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_target_that_h2_refuses_is_asked_for_by_http_1() {
    let lab = Lab::secure().await;
    let mut raw = Raw::new(&lab).await;
    for (stream, target) in [(1, "/a?q=\"b\""), (3, "/<a>")] {
        raw.head(stream, target, &[], true).await;
        let reading = async {
            loop {
                let (kind, on, payload) = raw.next().await.expect("a reset before the end");
                if kind == RST_STREAM && on == stream {
                    return payload;
                }
            }
        };
        let code = within("a reset", reading).await;
        assert_eq!(code, [0, 0, 0, 13], "HTTP_1_1_REQUIRED");
    }
    let mut visitor = lab.secured("app.example", "http/1.1").await;
    visitor.send("GET /a?q=\"b\" HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    let mut origin = lab.accept().await;
    assert!(origin.head().await.starts_with("GET /a?q=%22b%22 HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_star_is_for_options_by_http_2_too() {
    let lab = Lab::secure().await;
    let mut raw = Raw::new(&lab).await;
    raw.head(1, "*", &[], true).await;
    // 400 is index 12 of the static table (RFC 7541 appendix A).
    assert_eq!(next_head(&mut raw).await.first(), Some(&0x8c));
    assert_eq!(lab.counters.origins_opened.get(), 0);
}

#[tokio::test]
async fn an_odd_line_of_an_answer_does_not_cost_the_answer() {
    let lab = Lab::new().await;
    for (line, passed) in ODD_LINES {
        let (mut visitor, mut origin) = lab.pair(GET).await;
        origin.head().await;
        origin
            .send(&format!("HTTP/1.1 200 OK\r\n{line}\r\nX-Last: 1\r\nContent-Length: 2\r\n\r\nok"))
            .await;
        let head = visitor.head().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{line:?}: {head}");
        assert!(head.contains(passed), "{line:?}: {head}");
        assert!(!head.contains('\u{1}') && !head.contains('('), "{line:?}: {head}");
        assert_eq!(header(&head, "x-last"), Some("1"));
        assert_eq!(visitor.exactly(2).await, "ok");
    }
    assert!(lab.counters.origin_lines_changed.get() > 0);
    let lost = lab.lost.lock().unwrap();
    let told = [
        "visitors do not get its header line \"Set-Cookie\": it holds a control byte",
        "visitors do not get its header line \"X-Foo(1)\": it has no proper name and colon",
        "visitors do not get its header line \"PHP Warning\": it has no proper name and colon",
    ];
    assert_eq!(*lost, told, "what is only written otherwise is no loss");
}

#[tokio::test]
async fn an_odd_head_is_read_however_it_is_cut() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    let answer = "HTTP/1.1 103 Early Hints\r\nX (1): a\r\n\r\nHTTP/1.1 200 OK\r\nX-A : a\r\n b\r\nContent-Length: 3, 3\r\n\r\n:\r\n";
    for byte in answer.as_bytes() {
        tokio::io::AsyncWriteExt::write_all(&mut origin.stream, &[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let head = visitor.head().await;
    assert_eq!(header(&head, "x-a"), Some("a b"), "{head}");
    assert_eq!(header(&head, "content-length"), Some("3"), "{head}");
    assert_eq!(visitor.exactly(3).await, ":\r\n");
}

#[tokio::test]
async fn what_an_odd_head_says_about_its_end_is_never_guessed() {
    let lab = Lab::new().await;
    for lines in [
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: 2, 3",
        "Content-Length: 2\u{1}",
        "Content-Length: +2",
    ] {
        let (mut visitor, mut origin) = lab.pair(GET).await;
        origin.head().await;
        origin.send(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nok")).await;
        let head = visitor.head().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{lines:?}: {head}");
        origin.assert_closed().await;
    }
}

#[tokio::test]
async fn shoutcast_and_many_fields_pass() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    origin.send("ICY 200 OK\r\nicy-name: radio\r\n\r\nmusic").await;
    let answer = visitor.until("music").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("icy-name: radio"));

    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    let cookies: String = (0..500).map(|number| format!("Set-Cookie: c{number}=1\r\n")).collect();
    origin.send(&format!("HTTP/1.1 200 OK\r\n{cookies}Content-Length: 0\r\n\r\n")).await;
    assert_eq!(visitor.head().await.matches("Set-Cookie: ").count(), 500);
}

#[tokio::test]
async fn an_endless_row_of_interim_answers_ends() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    let interim = "HTTP/1.1 102 Processing\r\n\r\n".repeat(1_000);
    origin.send(&interim).await;
    assert!(visitor.head().await.starts_with("HTTP/1.1 502 "));
    origin.rest().await;
}

#[tokio::test]
async fn names_of_fields_keep_their_spelling_both_ways() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab
        .pair("GET / HTTP/1.1\r\nHost: app.example\r\nX-Api-KEY: 1\r\nsoapACTION: 2\r\n\r\n")
        .await;
    let head = origin.head().await;
    assert!(
        head.contains("\r\nX-Api-KEY: 1\r\n") && head.contains("\r\nsoapACTION: 2\r\n"),
        "{head}"
    );
    origin.send("HTTP/1.1 200 OK\r\nWWW-AuthenticatE: Basic\r\nContent-LENGTH: 0\r\n\r\n").await;
    let head = visitor.head().await;
    assert!(head.contains("\r\nWWW-AuthenticatE: Basic\r\n"), "{head}");
}

#[tokio::test]
async fn a_request_for_an_upgrade_may_have_a_body() {
    let lab = Lab::new().await;
    for (framing, body) in
        [("Content-Length: 2", "{}"), ("Transfer-Encoding: chunked", "2\r\n{}\r\n0\r\n\r\n")]
    {
        let (mut visitor, mut origin) = lab
            .pair(&format!("POST /exec HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n{framing}\r\n\r\n{body}"))
            .await;
        let head = origin.head().await;
        assert_eq!(header(&head, "upgrade"), Some("tcp"), "{head}");
        origin.until("{}").await;
        origin
            .send("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nraw")
            .await;
        assert!(visitor.head().await.starts_with("HTTP/1.1 101 "), "{framing}");
        assert_eq!(visitor.exactly(3).await, "raw");
        visitor.send("input").await;
        assert_eq!(origin.until("input").await.trim_start_matches("\r\n0\r\n\r\n"), "input");
    }
}

#[tokio::test]
async fn a_small_body_without_a_length_gets_one_from_a_service_that_nobody_knows() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) =
        lab.pair(&format!("{CHUNKED}3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")).await;
    let head = origin.head().await;
    assert_eq!(header(&head, "content-length"), Some("4"), "{head}");
    assert_eq!(header(&head, "transfer-encoding"), None, "{head}");
    assert_eq!(origin.exactly(4).await, "abcd");
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    visitor.head().await;

    // It speaks HTTP/1.1, so nothing is held back from it.
    visitor.send(&format!("{CHUNKED}3\r\nabc\r\n0\r\n\r\n")).await;
    assert_eq!(header(&origin.head().await, "transfer-encoding"), Some("chunked"));
}

#[tokio::test]
async fn a_body_that_turns_out_to_be_empty_has_a_length_too() {
    let lab = Lab::secure().await;
    let mut visitor = lab.secured("app.example", "http/1.1").await;
    for request in [
        &format!("{CHUNKED}0\r\n\r\n"),
        "POST / HTTP/1.1\r\nHost: app.example\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 0\r\n\r\n",
    ] {
        visitor.send(request).await;
        let mut origin = lab.accept().await;
        let head = origin.head().await;
        assert_eq!(header(&head, "content-length"), Some("0"), "{head}");
        origin.send("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        visitor.head().await;
    }
    let mut raw = Raw::new(&lab).await;
    let head: [(&[u8], &[u8]); 4] = [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"app.example"),
        (b":path", b"/"),
    ];
    raw.fields(1, &head, true).await;
    let mut origin = lab.accept().await;
    assert_eq!(header(&origin.head().await, "content-length"), Some("0"));

    visitor.send(GET).await;
    assert_eq!(header(&lab.accept().await.head().await, "content-length"), None);
}

#[tokio::test]
async fn a_service_of_http_1_0_gets_a_length_or_its_visitor_a_word() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    origin.send("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    visitor.head().await;

    let mut visitor = lab.visitor().await;
    visitor.send(CHUNKED).await;
    let piece = format!("{:x}\r\n{}\r\n", 100_000, "x".repeat(100_000));
    visitor.send(&piece.repeat(5)).await;
    visitor.send("0\r\n\r\n").await;
    let mut origin = lab.accept().await;
    assert_eq!(header(&origin.head().await, "content-length"), Some("500000"));
    assert_eq!(origin.exactly(500_000).await.len(), 500_000);

    let mut visitor = lab.visitor().await;
    let sending = format!("{CHUNKED}{}", piece.repeat(20));
    // The edge stops reading where it refuses.
    let _ = tokio::io::AsyncWriteExt::write_all(&mut visitor.stream, sending.as_bytes()).await;
    let answer = visitor.head().await;
    assert!(answer.starts_with("HTTP/1.1 411 "), "{answer}");
}

#[tokio::test]
async fn early_hints_reach_an_http_2_visitor_before_the_answer() {
    let lab = Lab::secure().await;
    let mut raw = Raw::new(&lab).await;
    raw.head(1, "/", &[], true).await;
    let mut origin = lab.accept().await;
    origin.head().await;
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    origin.send(hint).await;
    assert!(!is_200(&next_head(&mut raw).await), "the answer has not been sent");
    // One that comes along with the answer goes before it.
    origin.send(&format!("{hint}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).await;
    assert!(!is_200(&next_head(&mut raw).await));
    assert!(is_200(&next_head(&mut raw).await));
}

/// The fields of the next head on stream 1.
async fn next_head(raw: &mut Raw) -> Vec<u8> {
    let reading = async {
        loop {
            let (kind, on, payload) = raw.next().await.expect("a head before the end");
            if kind == HEADERS && on == 1 {
                return payload;
            }
        }
    };
    within("a head", reading).await
}

/// :status 200 is index 8 of the static table (RFC 7541 appendix A).
fn is_200(head: &[u8]) -> bool {
    head.starts_with(&[0x88])
}

#[tokio::test]
async fn a_service_that_is_called_otherwise_still_leads_its_visitors_right() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) =
        lab.pair("GET / HTTP/1.1\r\nHost: renamed.example:8080\r\n\r\n").await;
    assert_eq!(header(&origin.head().await, "host"), Some("intranet.local:8080"));
    origin
        .send("HTTP/1.1 302 Found\r\nLocation: http://intranet.local:8080/home\r\nSet-Cookie: a=1; Domain=intranet.local\r\nContent-Length: 0\r\n\r\n")
        .await;
    let head = visitor.head().await;
    assert_eq!(header(&head, "location"), Some("http://renamed.example:8080/home"), "{head}");
    assert_eq!(header(&head, "set-cookie"), Some("a=1; Domain=renamed.example"), "{head}");
}

#[tokio::test]
async fn a_name_with_an_underscore_is_a_name() {
    let lab = Lab::new().await;
    let mut visitor = lab.visitor().await;
    visitor.send("GET / HTTP/1.1\r\nHost: my_app.nobody.example\r\n\r\n").await;
    assert!(visitor.head().await.starts_with("HTTP/1.1 404 "));
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n";

const TARGETS: &[(&str, &str)] = &[
    ("/x?key=\"abc\"", "/x?key=%22abc%22"),
    ("/x?a<b>", "/x?a%3Cb%3E"),
    ("/f\u{fc}r?q=\u{20ac}", "/f%C3%BCr?q=%E2%82%AC"),
    ("/`\"<>`", "/%60%22%3C%3E%60"),
    ("/a%22b/../c;d?{e}|f\\g^h", "/a%22b/../c;d?{e}|f\\g^h"),
];

/// A line, and what of it the visitor gets.
const ODD_LINES: &[(&str, &str)] = &[
    ("X-A : b", "X-A: b\r\n"),
    ("X-A: b\r\n  c", "X-A: b c\r\n"),
    ("Set-Cookie: a=\u{1}b", ""),
    ("X-Foo(1): bar", ""),
    ("PHP Warning", ""),
    ("Content-Length: 2", "Content-Length: 2\r\n"),
    ("Content-Length: 2, 2", "Content-Length: 2\r\n"),
    ("Content-Length:", "Content-Length: 2\r\n"),
];
