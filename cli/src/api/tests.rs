//! Behaviour of `api`.

use std::convert::Infallible;

use bore_api::Exit;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

#[tokio::test]
async fn the_key_is_sent_as_bearer_and_the_answer_is_decoded() {
    let relay = Relay::answering(vec![answer(200, r#"{"name":"nas"}"#)]).await;
    let value: serde_json::Value = relay.api().get("/v1/nodes/nas").await.unwrap();
    assert_eq!(value["name"], "nas");
    let requests = relay.requests().await;
    assert!(requests[0].starts_with("GET /v1/nodes/nas HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[0].contains("authorization: Bearer bore_api_"), "{requests:?}");
}

#[tokio::test]
async fn lists_are_followed_to_the_last_page() {
    let pages = [r#"{"items":[1,2],"next":"a b"}"#, r#"{"items":[3],"next":null}"#];
    let relay = Relay::answering(pages.map(|page| answer(200, page)).to_vec()).await;
    let items: Vec<u32> = relay.api().list("/v1/things").await.unwrap();
    assert_eq!(items, [1, 2, 3]);
    assert!(relay.requests().await[1].starts_with("GET /v1/things?after=a%20b "));
}

#[tokio::test]
async fn a_problem_becomes_an_error_with_its_code_and_next_step() {
    let body = r#"{"title":"t","status":409,"detail":"name `app` is taken","code":"B2102","next":"try: --name app2"}"#;
    let relay = Relay::answering(vec![answer(409, body)]).await;
    let error = relay.api().command("/v1/x").await.unwrap_err();
    assert_eq!((error.code(), error.exit()), ("B2102", Exit::Taken));
    assert_eq!(error.next_step(), Some("--name app2"));
}

#[tokio::test]
async fn an_empty_answer_is_enough_for_a_deletion() {
    let relay = Relay::answering(vec!["HTTP/1.1 204 No Content\r\n\r\n".to_owned()]).await;
    relay.api().delete("/v1/x").await.unwrap();
}

#[tokio::test]
async fn nothing_listening_is_an_unreachable_relay() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = ApiAddress::of(listener.local_addr().unwrap());
    drop(listener);
    let api = Api::new(address, None, Duration::from_secs(5)).unwrap();
    let error = api.delete("/v1/x").await.unwrap_err();
    assert_eq!((error.code(), error.exit()), ("B5101", Exit::Unreachable));
}

#[tokio::test]
async fn an_answer_that_is_not_the_contract_is_a_version_mismatch() {
    let relay = Relay::answering(vec![answer(200, "<html>")]).await;
    let error = relay.api().get::<Vec<u32>>("/v1/x").await.unwrap_err();
    assert_eq!(error.exit(), Exit::Version);
}

#[test]
fn only_plain_urls_of_this_machine_are_taken() {
    let read = |url: &str| ApiAddress::parse(url).map(|address| address.to_string());
    assert_eq!(read("http://127.0.0.1:7400/").as_deref(), Ok("http://127.0.0.1:7400"));
    assert_eq!(read("http://localhost").as_deref(), Ok("http://localhost:7400"));
    assert_eq!(read("http://[::1]:1").as_deref(), Ok("http://[::1]:1"));
    for wrong in [
        "https://127.0.0.1",
        "localhost:7400",
        "http://a@127.0.0.1:1",
        "http://127.0.0.1/b",
        "http://127.0.0.1:99999",
        "http://",
        "http://relay",
        "http://10.77.0.4:8099",
        "http://127.0.0.1.evil.example:7400",
        "http://0.0.0.0:7400",
        "http://[fd00::1]:7400",
    ] {
        assert!(ApiAddress::parse(wrong).is_err(), "{wrong}");
    }
    let error = ApiAddress::parse("http://10.77.0.4:8099").unwrap_err();
    assert!(error.next_step().unwrap().contains("ssh -L"), "{error:?}");
}

#[tokio::test]
async fn what_is_no_api_key_is_never_sent() {
    let relay = Relay::answering(Vec::new()).await;
    for text in ["root:*:20228:0:99999:7:::", "bore_api_k", "", "bore_join_abc"] {
        let api = Api::new(relay.address(), Some(Secret::new(text)), Duration::from_secs(10));
        let error = api.unwrap_err();
        assert_eq!(error.code(), "B3202");
        assert!(text.is_empty() || !format!("{error:?}").contains(text), "{error:?}");
    }
}

#[test]
fn a_path_segment_cannot_leave_its_place() {
    assert_eq!(encode("../a b?c"), "..%2Fa%20b%3Fc");
}

/// A listener that gives prepared answers, one a connection, and keeps what it was asked.
struct Relay {
    url: String,
    served: tokio::task::JoinHandle<Vec<String>>,
}

impl Relay {
    async fn answering(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                requests.push(String::from_utf8_lossy(&request[..length]).into_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            requests
        });
        Self { url, served }
    }

    fn api(&self) -> Api {
        let key = Secret::new(
            &ApiToken::draw(uuid::Uuid::nil(), || Ok::<_, Infallible>(7)).unwrap().reveal(),
        );
        Api::new(self.address(), Some(key), Duration::from_secs(10)).unwrap()
    }

    fn address(&self) -> ApiAddress {
        ApiAddress::parse(&self.url).unwrap()
    }

    async fn requests(self) -> Vec<String> {
        self.served.await.unwrap()
    }
}

fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
