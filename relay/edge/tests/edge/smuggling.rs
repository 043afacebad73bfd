//! Requests whose end two readers could see at different places (attacks 12, 14, 15).

use super::lab::{GET, Lab, header};

#[tokio::test]
async fn attack_12_ambiguous_heads_get_400_and_a_close() {
    let lab = Lab::new().await;
    for bad in [
        "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
        "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX",
        "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: +5\r\n\r\nabcde",
        "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5, 5\r\n\r\nabcde",
        "GET / HTTP/1.1\nHost: app.example\n\n",
        "GET / HTTP/1.1\r\nHost: app.example\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.example\r\nX: a\r\n\tb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.example\r\nX : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.example\r\nX: a\rY: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.example\r\nX: a\0b\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: app.example\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut visitor = lab.visitor().await;
        visitor.send(bad).await;
        let answer = visitor.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{bad:?} got {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "one answer to {bad:?}: {answer:?}");
    }
    assert_eq!(lab.counters.origins_opened.get(), 0, "no origin saw any of them");
    lab.assert_serves().await;
}

#[tokio::test]
async fn attack_12_ambiguous_chunks_get_400_and_a_close() {
    let lab = Lab::new().await;
    for chunks in [
        "+1\r\na\r\n",
        "0x1\r\na\r\n",
        "1\na\r\n",
        "1000000000000000f\r\na\r\n",
        "1\r\nab\r\n",
        "1 \r\na\r\n",
    ] {
        let (mut visitor, mut origin) = lab
            .pair("POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
            .await;
        origin.head().await;
        visitor.send(chunks).await;
        let answer = visitor.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{chunks:?} got {answer:?}");
        let seen = origin.rest().await;
        assert!(!seen.contains("0\r\n\r\n"), "{chunks:?} must not look complete: {seen:?}");
    }
}

#[tokio::test]
async fn attack_12_a_bad_request_behind_a_good_one_is_refused_in_its_turn() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) =
        lab.pair(&format!("{GET}GET /admin HTTP/1.1\nHost: app.example\n\n")).await;
    origin.head().await;
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let answers = visitor.rest().await;
    assert!(answers.starts_with("HTTP/1.1 200 OK"), "{answers:?}");
    assert!(answers.contains("okHTTP/1.1 400 "), "{answers:?}");
    origin.assert_closed().await;
}

#[tokio::test]
async fn attack_12_pipelined_requests_stay_apart() {
    let lab = Lab::new().await;
    let second = "GET /2 HTTP/1.1\r\nHost: app.example\r\n\r\n";
    let post = "POST /1 HTTP/1.1\r\nHost: app.example\r\nContent-Length: 4\r\n\r\nGET ";
    let (mut visitor, mut origin) = lab.pair(&format!("{post}{second}")).await;
    assert!(origin.head().await.starts_with("POST /1 "));
    assert_eq!(origin.exactly(4).await, "GET ");
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1").await;
    assert!(origin.head().await.starts_with("GET /2 "));
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2").await;
    visitor.head().await;
    assert_eq!(visitor.exactly(1).await, "1");
    visitor.head().await;
    assert_eq!(visitor.exactly(1).await, "2");
}

#[tokio::test]
async fn attack_14_bytes_behind_a_refused_upgrade_are_no_request() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab
        .pair("GET /ws HTTP/1.1\r\nHost: app.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nGET /admin HTTP/1.1\r\nHost: app.example\r\n\r\n")
        .await;
    origin.head().await;
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").await;
    let head = visitor.head().await;
    assert_eq!(header(&head, "connection"), Some("close"));
    assert_eq!(visitor.rest().await, "no");
    origin.assert_closed().await;
    assert_eq!(lab.counters.origins_opened.get(), 1);
}

#[tokio::test]
async fn attack_14_a_change_of_protocol_that_nobody_asked_for_is_refused() {
    let lab = Lab::new().await;
    for request in [
        GET,
        "GET / HTTP/1.1\r\nHost: app.example\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
    ] {
        let (mut visitor, mut origin) = lab.pair(request).await;
        let head = origin.head().await;
        assert_eq!(header(&head, "upgrade"), None);
        assert_eq!(header(&head, "http2-settings"), None);
        origin
            .send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
            .await;
        assert!(visitor.head().await.starts_with("HTTP/1.1 502 "));
        origin.assert_closed().await;
    }
}

#[tokio::test]
async fn attack_15_an_early_answer_ends_both_connections() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab
        .pair("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 1000000\r\n\r\npart")
        .await;
    origin.head().await;
    assert_eq!(origin.exactly(4).await, "part");
    origin.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
    let head = visitor.head().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    assert_eq!(header(&head, "connection"), Some("close"));
    assert_eq!(visitor.rest().await, "big");
    origin.assert_closed().await;
}

#[tokio::test]
async fn attack_15_an_early_answer_arrives_while_the_visitor_still_sends() {
    use tokio::io::AsyncWriteExt;

    let lab = Lab::new().await;
    let (visitor, mut origin) =
        lab.pair("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 100000000\r\n\r\n").await;
    origin.head().await;
    origin.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno").await;
    let (mut reader, mut writer) = visitor.stream.into_split();
    let sending = tokio::spawn(async move {
        let block = vec![b'x'; 64 * 1024];
        while writer.write_all(&block).await.is_ok() {}
    });
    let mut answer = String::new();
    let reading = tokio::io::AsyncReadExt::read_to_string(&mut reader, &mut answer);
    let _ = super::lab::within("the early answer", reading).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.ends_with("no"), "{answer:?}");
    super::lab::within("the end of sending", sending).await.unwrap();
}
