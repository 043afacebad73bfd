//! The edge's own answers.

use super::lab::{Lab, header};

#[tokio::test]
async fn an_unknown_host_gets_404() {
    let (head, body) = ask("nobody.example", "").await;
    assert!(head.starts_with("HTTP/1.1 404 "));
    assert_eq!(header(&head, "bore-error"), Some("unknown"));
    assert_eq!(header(&head, "content-type"), Some("text/plain; charset=utf-8"));
    assert!(body.contains("Nothing is published here"));
}

#[tokio::test]
async fn a_denied_visitor_learns_the_kind_of_rule_and_no_name() {
    let (head, body) = ask("hidden.example", "Accept: text/html\r\n").await;
    assert!(head.starts_with("HTTP/1.1 403 "));
    assert_eq!(header(&head, "bore-error"), Some("denied"));
    assert_eq!(header(&head, "retry-after"), None);
    assert!(body.contains("allow list") && !body.contains("hidden"), "{body}");
}

#[tokio::test]
async fn an_offline_agent_gives_503_and_when_to_come_again() {
    let (head, body) = ask("offline.example", "Accept: text/html,*/*;q=0.8\r\n").await;
    assert!(head.starts_with("HTTP/1.1 503 "));
    assert_eq!(header(&head, "bore-error"), Some("offline"));
    assert_eq!(header(&head, "retry-after"), Some("5"));
    assert_eq!(header(&head, "cache-control"), Some("no-store"));
    assert_eq!(header(&head, "content-type"), Some("text/html; charset=utf-8"));
    assert!(body.contains("The agent is offline"), "{body}");
}

#[tokio::test]
async fn a_dead_target_gives_502_and_not_its_address() {
    let (head, body) = ask("gone.example", "Accept: application/json\r\n").await;
    assert!(head.starts_with("HTTP/1.1 502 "));
    assert_eq!(header(&head, "bore-error"), Some("down"));
    let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["title"], "The service is down");
    let detail = problem["detail"].as_str().unwrap();
    assert!(!detail.contains(|letter: char| letter.is_ascii_digit()), "{detail}");
}

#[tokio::test]
async fn a_bound_on_connections_gives_503_and_when_to_come_again() {
    let (head, body) = ask("crowded.example", "").await;
    assert!(head.starts_with("HTTP/1.1 503 "));
    assert_eq!(header(&head, "bore-error"), Some("full"));
    assert_eq!(header(&head, "retry-after"), Some("5"));
    assert!(body.contains("Too many connections"), "{body}");
}

#[tokio::test]
async fn a_visitor_whom_the_rules_refuse_by_now_gets_403() {
    let (head, _) = ask("closing.example", "").await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    assert_eq!(header(&head, "bore-error"), Some("denied"));
}

#[tokio::test]
async fn a_page_leaves_the_connection_usable_and_has_no_body_for_head() {
    let lab = Lab::new().await;
    let mut visitor = lab.visitor().await;
    visitor.send("HEAD / HTTP/1.1\r\nHost: nobody.example\r\n\r\n").await;
    assert!(visitor.head().await.starts_with("HTTP/1.1 404 "));
    visitor.send(super::lab::GET).await;
    let mut origin = lab.accept().await;
    origin.head().await;
    origin.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert!(visitor.head().await.starts_with("HTTP/1.1 204 "));
}

#[tokio::test]
async fn an_expected_probe_is_answered_without_the_origin_and_past_visit_rules() {
    for host in ["app.example", "hidden.example"] {
        let (head, body) = ask_for("/.well-known/bore/expected", host, "").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(body, "yes");
    }
    let (head, _) = ask_for("/.well-known/bore/broken", "app.example", "").await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
}

#[tokio::test]
async fn a_probe_that_nobody_expects_is_an_ordinary_request() {
    let lab = Lab::new().await;
    let (_visitor, mut origin) =
        lab.pair("GET /.well-known/bore/other HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    assert!(origin.head().await.starts_with("GET /.well-known/bore/other "));
}

#[tokio::test]
async fn connect_and_trace_are_not_served() {
    let lab = Lab::new().await;
    for request in ["CONNECT app.example:80 HTTP/1.1", "TRACE / HTTP/1.1"] {
        let mut visitor = lab.visitor().await;
        visitor.send(&format!("{request}\r\nHost: app.example\r\n\r\n")).await;
        assert!(visitor.rest().await.starts_with("HTTP/1.1 405 "), "{request}");
    }
}

async fn ask(host: &str, headers: &str) -> (String, String) {
    ask_for("/", host, headers).await
}

async fn ask_for(path: &str, host: &str, headers: &str) -> (String, String) {
    let lab = Lab::new().await;
    let mut visitor = lab.visitor().await;
    visitor.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n")).await;
    let head = visitor.head().await;
    let length = header(&head, "content-length").unwrap().parse().unwrap();
    let body = visitor.exactly(length).await;
    (head, body)
}
