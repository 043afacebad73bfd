//! The API of watch, as a caller sees it.

use std::time::Duration;

use axum::body::Body;
use bore_api::model::Node;
use bore_control::Caller;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::lab::{Lab, request};

const ONE: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);

#[tokio::test]
async fn a_watch_begins_with_the_whole_state_and_tells_of_changes() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let (nas, pi) = (lab.node(home, "nas").await, lab.node(home, "pi").await);
    lab.publish(&nas, game("game", 7777)).await.ok();
    claim(&lab, &nas, ONE, false).await.ok();
    let mut stream = Stream::open(&lab, &nas, ONE).await;

    assert_eq!(stream.next().await["relay"]["host"], "relay.example.org");
    let publications = stream.next().await;
    assert_eq!(publications["publications"][0]["name"], "game");
    let revision = stream.next().await["revision"].as_i64().unwrap();

    lab.publish(&pi, game("theirs", 7000)).await.ok();
    lab.publish(&nas, game("more", 7001)).await.ok();
    let publications = stream.next().await;
    assert_eq!(
        publications["publications"].as_array().unwrap().len(),
        2,
        "its own, and all of them"
    );
    lab.admin("PUT", "/v1/networks/home/policies/office", json!({"document": {}})).await.ok();
    let policy = stream.next().await;
    assert_eq!(policy["event"], "policy");
    assert!(policy["revision"].as_i64().unwrap() > revision);
    lab.admin("POST", "/v1/relay/drain", Value::Null).await.ok();
    assert_eq!(stream.next().await, json!({"event": "draining"}));
}

#[tokio::test]
async fn a_takeover_ends_the_old_watch_with_the_word() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    claim(&lab, &nas, ONE, false).await.ok();
    let mut old = Stream::open(&lab, &nas, ONE).await.past_the_hello().await;

    assert_eq!(claim(&lab, &nas, OTHER, false).await.refusal(), (409, "B5106"));
    claim(&lab, &nas, OTHER, true).await.ok();
    assert_eq!(old.next().await, json!({"event": "replaced"}));
    assert_eq!(old.end().await, "");
    assert_eq!(claim(&lab, &nas, ONE, false).await.refusal(), (409, "B5104"), "clones never fight");
    let refused =
        lab.overlay(&nas, "GET", &format!("/v1/nodes/self/watch?boot={ONE}"), Value::Null).await;
    assert_eq!(refused.refusal(), (409, "B5104"));
    Stream::open(&lab, &nas, OTHER).await.past_the_hello().await;
}

#[tokio::test]
async fn who_loses_a_publication_is_told_to_whom() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let (nas, pi) = (lab.node(home, "nas").await, lab.node(home, "pi").await);
    let game = |replace: bool| json!({"name": "game", "protocol": "udp", "target": "7777", "port": 7777, "replace": replace});
    lab.publish(&nas, game(false)).await.ok();
    let rule = json!({"name": "pi", "effect": "allow", "who": ["node:pi"], "replace": true});
    let draft = json!({"document": {"publish": [rule]}});
    lab.admin("PUT", "/v1/networks/home/policies/office", draft).await.ok();
    claim(&lab, &nas, ONE, false).await.ok();
    let mut stream = Stream::open(&lab, &nas, ONE).await.past_the_hello().await;

    lab.publish(&pi, game(true)).await.ok();
    let told = stream.next().await;
    assert_eq!(told["publications"], json!([]));
    assert_eq!(told["displaced"][0]["name"], "game");
    assert_eq!(told["displaced"][0]["cause"], "name game was taken by \"game\" (agent pi)");

    lab.admin("DELETE", "/v1/networks/home/publications/game", Value::Null).await.ok();
    lab.publish(&nas, game(false)).await.ok();
    let told = stream.next().await;
    assert_eq!(
        (told["publications"][0]["name"].as_str(), told.get("displaced")),
        (Some("game"), None)
    );
}

#[tokio::test]
async fn one_node_has_one_watch() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    claim(&lab, &nas, ONE, false).await.ok();
    let old = Stream::open(&lab, &nas, ONE).await.past_the_hello().await;
    let mut young = Stream::open(&lab, &nas, ONE).await.past_the_hello().await;
    assert_eq!(old.end().await, "", "the older one ends without a word: its agent is the same");

    lab.admin("DELETE", "/v1/networks/home/nodes/nas", Value::Null).await.ok();
    assert_eq!(young.line().await, None, "and the watch of a node that is gone ends");
}

#[tokio::test]
async fn a_reader_that_lags_gets_the_present_state_once() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    claim(&lab, &nas, ONE, false).await.ok();
    let mut stream = Stream::open(&lab, &nas, ONE).await.past_the_hello().await;
    for port in 7000..7050 {
        lab.publish(&nas, game(&format!("game-{port}"), port)).await.ok();
    }
    assert_eq!(stream.next().await["publications"].as_array().unwrap().len(), 50);
    lab.control.directory().notify_node(nas.id);
    assert_eq!(stream.next().await["event"], "publications", "nothing lay between");
}

#[tokio::test]
async fn silence_is_filled_with_heartbeats() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    claim(&lab, &nas, ONE, false).await.ok();
    let mut stream = Stream::open(&lab, &nas, ONE).await.past_the_hello().await;

    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    for _ in 0..3 {
        assert_eq!(stream.next().await, json!({"event": "heartbeat"}));
    }
    assert!(begun.elapsed() <= Duration::from_secs(46), "one every 15 s");
}

async fn claim(lab: &Lab, node: &Node, boot: Uuid, takeover: bool) -> crate::lab::Answer {
    let body = json!({"boot": boot, "takeover": takeover, "version": "0.1.0"});
    lab.overlay(node, "PUT", "/v1/nodes/self/session", body).await
}

fn game(name: &str, port: u16) -> Value {
    json!({"name": name, "protocol": "udp", "target": "127.0.0.1:7777", "port": port})
}

/// An open watch, line by line.
struct Stream {
    body: Body,
    read: String,
}

impl Stream {
    async fn open(lab: &Lab, node: &Node, boot: Uuid) -> Self {
        let mut request =
            request("GET", &format!("/v1/nodes/self/watch?boot={boot}"), &Value::Null);
        request.headers_mut().insert("host", "100.64.0.1".parse().unwrap());
        request.extensions_mut().insert(Caller::Node { node: node.id, network: node.network });
        let response: Response<Body> =
            bore_control::overlay_router(lab.control.clone()).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        Self { body: response.into_body(), read: String::new() }
    }

    async fn past_the_hello(mut self) -> Self {
        for event in ["hello", "publications", "policy"] {
            assert_eq!(self.next().await["event"], event);
        }
        self
    }

    async fn next(&mut self) -> Value {
        serde_json::from_str(&self.line().await.expect("the stream goes on")).unwrap()
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some((line, rest)) = self.read.split_once('\n') {
                let line = line.to_owned();
                self.read = rest.to_owned();
                return Some(line);
            }
            let frame = self.body.frame().await?.unwrap();
            self.read.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }

    /// What is left when the stream ends.
    async fn end(mut self) -> String {
        let mut rest = String::new();
        while let Some(line) = self.line().await {
            rest += &line;
        }
        rest
    }
}
