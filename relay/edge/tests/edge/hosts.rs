//! Which host a request is for, and who is said to ask (attacks 16 to 18).

use super::lab::{GET, Lab, header};

#[tokio::test]
async fn an_origin_is_called_as_whoever_publishes_it_says() {
    let lab = Lab::new().await;
    let mut visitor = lab.visitor().await;
    visitor.send(&GET.replace("app.example", "Renamed.example:80")).await;
    let head = lab.accept().await.head().await;
    assert_eq!(header(&head, "host"), Some("intranet.local:8080"));
    assert_eq!(header(&head, "x-forwarded-host"), Some("Renamed.example:80"));
    assert!(header(&head, "forwarded").unwrap().contains("host=\"Renamed.example:80\""), "{head}");
}

#[tokio::test]
async fn attack_16_contradicting_or_unreadable_hosts_get_400() {
    let lab = Lab::new().await;
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.example\r\nHost: second.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.example\r\nHost: app.example\r\n\r\n",
        "GET http://second.example/ HTTP/1.1\r\nHost: app.example\r\n\r\n",
        "GET http://app.example:81/ HTTP/1.1\r\nHost: app.example\r\n\r\n",
        "GET http://x@app.example/ HTTP/1.1\r\nHost: app.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.example, second.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.example@second.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.example/x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.example:x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app..example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 0x7f.1\r\n\r\n",
    ] {
        let mut visitor = lab.visitor().await;
        visitor.send(head).await;
        let answer = visitor.rest().await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "),
            "{head:?}: {answer:?}"
        );
    }
    assert_eq!(lab.counters.origins_opened.get(), 0);
}

#[tokio::test]
async fn attack_16_every_spelling_leads_to_the_same_origin_and_stays_as_written() {
    let lab = Lab::new().await;
    for host in
        ["app.example", "APP.Example", "app.example.", "app.example:80", "App.Example.:8080"]
    {
        let (_visitor, mut origin) =
            lab.pair(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let head = origin.head().await;
        assert_eq!(header(&head, "host"), Some(host));
        assert_eq!(header(&head, "x-forwarded-host"), Some(host));
    }
}

#[tokio::test]
async fn attack_16_no_other_name_and_no_address_reaches_the_origin() {
    let lab = Lab::new().await;
    for host in [
        "xn--app-.example",
        "app.example.evil",
        "evil.app.example",
        "127.0.0.1",
        "[::1]",
        "localhost",
    ] {
        let mut visitor = lab.visitor().await;
        visitor.send(&format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        let answer = visitor.rest().await;
        let refused = answer.starts_with("HTTP/1.1 404 ") || answer.starts_with("HTTP/1.1 400 ");
        assert!(refused, "{host}: {answer:?}");
    }
    assert_eq!(lab.counters.origins_opened.get(), 0);
}

#[tokio::test]
async fn an_absolute_target_that_agrees_is_served_in_origin_form() {
    let lab = Lab::new().await;
    let (_visitor, mut origin) =
        lab.pair("GET http://APP.example:80/a?b HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    assert!(origin.head().await.starts_with("GET /a?b HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_request_about_the_server_itself_keeps_its_star() {
    let lab = Lab::new().await;
    let (_visitor, mut origin) = lab.pair("OPTIONS * HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    assert!(origin.head().await.starts_with("OPTIONS * HTTP/1.1\r\n"));
}

#[tokio::test]
async fn attack_18_paths_reach_the_origin_byte_for_byte() {
    let lab = Lab::new().await;
    for path in ["/%2e%2e/x", "//a//b", "/%2f;x=1", "/a/../b?c=%00&d=[]"] {
        let (_visitor, mut origin) =
            lab.pair(&format!("GET {path} HTTP/1.1\r\nHost: app.example\r\n\r\n")).await;
        assert!(origin.head().await.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{path}");
    }
}

#[tokio::test]
async fn attack_17_only_our_word_about_the_visitor_reaches_the_origin() {
    let lab = Lab::new().await;
    let (_visitor, mut origin) = lab
        .pair(
            "GET / HTTP/1.1\r\nHost: app.example\r\nX-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 6.6.6.6\r\n\
             X_Forwarded_For: 6.6.6.6\r\nX.Forwarded.For: 6.6.6.6\r\nX-Forwarded_Proto: https\r\n\
             X-Forwarded-Prefix: /evil\r\nX-FORWARDED-PORT: 666\r\nX-Forwarded-Host: evil\r\n\
             Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX_Real_Ip: 6.6.6.6\r\nX-Client-IP: 6.6.6.6\r\n\
             CF-Connecting-IP: 6.6.6.6\r\nCF_Connecting_IP: 6.6.6.6\r\nTrue-Client-IP: 6.6.6.6\r\n\
             Fastly-Client-IP: 6.6.6.6\r\nX-Originating-IP: 6.6.6.6\r\nX-Remote-IP: 6.6.6.6\r\n\
             X-Remote-Addr: 6.6.6.6\r\nX-Envoy-External-Address: 6.6.6.6\r\n\
             X-Original-Forwarded-For: 6.6.6.6\r\nX-Cluster-Client-IP: 6.6.6.6\r\nClient-IP: 6.6.6.6\r\n\
             Proxy: http://evil\r\nConnection: x-forwarded-for, x-real-ip, forwarded, host, close\r\n\
             Keep-Alive: 300\r\nProxy-Authorization: Basic eA==\r\nX-Mine: kept\r\n\r\n",
        )
        .await;
    let head = origin.head().await;
    let port = lab.edge.port().to_string();
    assert_eq!(header(&head, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(&head, "x-real-ip"), Some("127.0.0.1"));
    assert_eq!(header(&head, "x-forwarded-proto"), Some("http"));
    assert_eq!(header(&head, "x-forwarded-host"), Some("app.example"));
    assert_eq!(header(&head, "x-forwarded-port"), Some(port.as_str()));
    assert_eq!(header(&head, "forwarded"), Some("for=127.0.0.1;host=\"app.example\";proto=http"));
    assert_eq!(header(&head, "host"), Some("app.example"));
    assert_eq!(header(&head, "x-mine"), Some("kept"));
    assert_eq!(head.lines().filter(|line| line.contains(": ")).count(), 9, "{head}");
    assert!(!head.contains("evil") && !head.contains("6.6.6.6"), "{head}");
}

#[tokio::test]
async fn visitor_and_origin_speak_of_a_request_by_one_id() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    let asked = origin.head().await;
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let told = visitor.head().await;
    assert!(header(&asked, "x-request-id").is_some(), "{asked}");
    assert_eq!(header(&told, "x-request-id"), header(&asked, "x-request-id"));

    visitor.send(GET).await;
    origin.head().await;
    origin.send("HTTP/1.1 200 OK\r\nX-Request-Id: own\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(header(&visitor.head().await, "x-request-id"), Some("own"));
}

#[tokio::test]
async fn what_belongs_to_one_connection_of_the_origin_stays_there() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    origin.send("HTTP/1.1 200 Fine\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nBore-Error: down\r\nX-End: 1\r\nContent-Length: 0\r\n\r\n").await;
    let head = visitor.head().await;
    assert!(head.starts_with("HTTP/1.1 200 Fine\r\n"), "{head}");
    assert_eq!(header(&head, "x-end"), Some("1"));
    for gone in ["x-hop", "keep-alive", "bore-error", "connection"] {
        assert_eq!(header(&head, gone), None, "{head}");
    }
}
