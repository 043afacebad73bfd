//! The plain port beside HTTPS: the way to it, and certificate authorities.

use bore_edge::{EdgeSettings, Outcome};

use super::lab::{ADDRESS, GET, Lab, eventually, header};

#[tokio::test]
async fn a_host_with_a_certificate_is_sent_to_https_and_one_without_is_served() {
    let lab = plain().await;
    lab.assert_serves().await;
    lab.certify(1, &["app.example"]);
    let head = lab
        .answer("POST /a?b=c HTTP/1.1\r\nHost: APP.example:80\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert!(head.starts_with("HTTP/1.1 308 "), "{head}");
    assert_eq!(header(&head, "location"), Some("https://app.example:8443/a?b=c"));
    let (_visitor, mut origin) = lab.pair("GET / HTTP/1.1\r\nHost: second.example\r\n\r\n").await;
    origin.head().await;
    eventually("the outcome", || lab.counted(Outcome::Redirected) == 1).await;
}

#[tokio::test]
async fn a_redirect_leads_to_the_host_that_was_asked_for_and_nowhere_else() {
    let lab = plain().await;
    lab.certify(1, &["app.example"]);
    for (asked, led) in [
        ("GET //evil.example/", "//evil.example/"),
        ("GET /\\evil.example", "/\\evil.example"),
        ("OPTIONS *", "/"),
    ] {
        let head = lab.answer(&format!("{asked} HTTP/1.1\r\nHost: app.example\r\n\r\n")).await;
        let location = format!("https://app.example:8443{led}");
        assert_eq!(header(&head, "location"), Some(location.as_str()), "{head}");
    }
}

#[tokio::test]
async fn an_address_with_a_certificate_is_sent_to_https_too() {
    let lab = plain().await;
    let ask = |host: &str| format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let (_visitor, mut origin) = lab.pair(&ask(ADDRESS)).await;
    assert_eq!(header(&origin.head().await, "host"), Some(ADDRESS));
    lab.certify(1, &[ADDRESS, "2001:db8::80"]);
    let head = lab.answer(&ask(ADDRESS)).await;
    assert_eq!(header(&head, "location"), Some("https://192.0.2.80:8443/a"), "{head}");
    let head = lab.answer(&ask("[2001:db8::80]")).await;
    assert_eq!(header(&head, "location"), Some("https://[2001:db8::80]:8443/a"), "{head}");
}

#[tokio::test]
async fn attack_23_a_certificate_authority_gets_the_answer_of_a_standing_order_only() {
    let lab = plain().await;
    lab.certify(1, &["app.example"]);
    let standing =
        lab.tls.challenges().answer_http01("app.example", "tok-en_1", "tok-en_1.thumb".to_owned());
    let ask = |host: &str, token: &str| {
        format!(
            "GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
    };
    let mut visitor = lab.visitor().await;
    visitor.send(&ask("app.example", "tok-en_1")).await;
    let answer = visitor.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("tok-en_1.thumb"), "{answer}");
    eventually("the outcome", || lab.counted(Outcome::Challenged) == 1).await;

    let (_visitor, mut origin) = lab.pair(&ask("second.example", "tok-en_1")).await;
    assert!(origin.head().await.starts_with("GET /.well-known/acme-challenge/"), "another's name");
    drop(standing);
    assert!(lab.answer(&ask("app.example", "tok-en_1")).await.starts_with("HTTP/1.1 308 "));
}

#[tokio::test]
async fn an_address_may_be_proved_too() {
    let lab = plain().await;
    let _standing =
        lab.tls.challenges().answer_http01("192.0.2.1", "token", "token.thumb".to_owned());
    let mut visitor = lab.visitor().await;
    visitor
        .send("GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: 192.0.2.1\r\nConnection: close\r\n\r\n")
        .await;
    assert!(visitor.rest().await.ends_with("token.thumb"));
}

#[tokio::test]
async fn a_probe_is_answered_on_either_port() {
    let lab = plain().await;
    lab.certify(1, &["app.example"]);
    let head =
        lab.answer("GET /.well-known/bore/expected HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

#[tokio::test]
async fn browsers_are_told_to_come_by_https_where_the_operator_wants_it() {
    let settings = EdgeSettings { hsts_seconds: Some(300), ..Default::default() };
    let lab = Lab::secure_with(settings).await;
    let mut visitor = lab.secured("app.example", "http/1.1").await;
    visitor.send(GET).await;
    let mut origin = lab.accept().await;
    origin.head().await;
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let head = visitor.head().await;
    assert_eq!(header(&head, "strict-transport-security"), Some("max-age=300"), "{head}");

    visitor.send(GET).await;
    origin.head().await;
    let own =
        "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=1\r\nContent-Length: 0\r\n\r\n";
    origin.send(own).await;
    let head = visitor.head().await;
    assert_eq!(header(&head, "strict-transport-security"), Some("max-age=1"), "{head}");
}

async fn plain() -> Lab {
    Lab::with(EdgeSettings { https_port: Some(8443), ..Default::default() }).await
}

impl Lab {
    async fn answer(&self, request: &str) -> String {
        let mut visitor = self.visitor().await;
        visitor.send(request).await;
        visitor.head().await
    }
}
