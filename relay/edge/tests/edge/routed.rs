//! What a decision about a request may look at.

use bore_edge::{Credentials, RouteRequest};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::Empty;

use super::http2::speak_for;
use super::lab::{Lab, header, within};

/// Whether the request shows what the gate of `members.example` asks for.
pub(crate) fn is_member(request: &RouteRequest<'_>) -> bool {
    let mut cookies = request.credentials.cookies();
    let has_cookie = cookies.any(|cookie| cookie.to_str().unwrap().contains("pass=1"));
    let token = request.credentials.authorization();
    has_cookie
        || token.is_some_and(|token| token == "Bearer 1")
        || (request.method == "GET" && request.uri.path() == "/public")
}

#[tokio::test]
async fn a_decision_sees_method_path_and_credentials() {
    let lab = Lab::new().await;
    let ask = |asked: &str, field: &str| {
        format!("{asked} HTTP/1.1\r\nHost: members.example\r\n{field}\r\n")
    };
    for (asked, field) in [
        ("GET /", ""),
        ("GET /", "Cookie: a=b\r\n"),
        ("GET /", "Authorization: Bearer 2\r\n"),
        ("DELETE /public", ""),
    ] {
        let mut visitor = lab.visitor().await;
        visitor.send(&ask(asked, field)).await;
        assert!(visitor.head().await.starts_with("HTTP/1.1 403 "), "{asked} {field}");
    }
    assert_eq!(lab.counters.origins_opened.get(), 0);
    for (asked, field) in [
        ("GET /", "Cookie: a=b; pass=1\r\n"),
        ("GET /", "Authorization: Bearer 1\r\n"),
        ("GET /public?a", ""),
    ] {
        let (_visitor, mut origin) = lab.pair(&ask(asked, field)).await;
        assert_eq!(header(&origin.head().await, "host"), Some("members.example"));
    }
}

#[tokio::test]
async fn a_cookie_in_pieces_is_seen_over_http_2() {
    let lab = Lab::secure().await;
    let mut visitor = speak_for::<Empty<Bytes>>(&lab, "members.example").await;
    let ask = |cookie: &str| {
        let request = Request::get("https://members.example/").header("cookie", "a=b");
        request.header("cookie", cookie).body(Empty::new()).unwrap()
    };
    let refused = within("an answer", visitor.send_request(ask("c=d"))).await.unwrap();
    assert_eq!(refused.status(), 403);
    let asked = tokio::spawn(visitor.send_request(ask("pass=1")));
    assert_eq!(header(&lab.accept().await.head().await, "cookie"), Some("a=b; pass=1"));
    drop(asked);
}

#[test]
fn credentials_are_not_printed() {
    let mut headers = HeaderMap::new();
    headers.insert("cookie", "pass=secret".parse().unwrap());
    assert!(!format!("{:?}", Credentials::of(&headers)).contains("secret"));
}
