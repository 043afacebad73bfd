//! A whole agent without a relay: what it does about its folder, its socket and a relay that does not answer.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use bore_api::model::{Lifetime, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::state::{Identity, StoredPublication};
use super::test_support::{closed_folder, declaration, join_key, membership, view};
use super::*;

#[tokio::test]
async fn an_agent_answers_on_its_socket_while_the_relay_does_not() {
    let lab = Lab::start().await;
    let status = lab.client().await.status().await.unwrap();
    assert_eq!((status.name.as_str(), status.connected), ("laptop", false));
    assert_eq!(status.node, membership().node);
    let socket = std::fs::metadata(lab.folder.socket()).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    lab.agent.stop().await;
}

#[tokio::test]
async fn an_agent_whose_overlay_fails_ends_so_that_its_service_starts_it_again() {
    let lab = Lab::start().await;
    lab.agent.shared().shard.stop().await;
    let ended = lab.agent.ended().await;
    assert_eq!(ended.known_code(), Some(Code::INTERNAL), "{ended}");
    lab.agent.stop().await;
}

#[tokio::test]
async fn a_second_agent_on_the_same_folder_is_refused_until_the_first_has_stopped() {
    let lab = Lab::start().await;
    let again = || Agent::start(lab.folder.clone(), StartOptions::default());
    assert_eq!(again().await.unwrap_err().code(), "B6104");

    lab.agent.stop().await;
    again().await.unwrap().stop().await;
}

#[tokio::test]
async fn a_stopped_agent_says_so_and_takes_its_socket_with_it() {
    let lab = Lab::start().await;
    let client = lab.client().await;
    let mut changes = client.watch().await.unwrap();
    let stop = "POST /v1/stop HTTP/1.1\r\nHost: bore\r\nContent-Length: 0\r\n\r\n";
    assert!(lab.raw(stop).await.starts_with("HTTP/1.1 202"));

    let mut last = None;
    while let Some(change) = changes.next().await.unwrap() {
        last = Some(change);
    }
    assert!(matches!(last, Some(StateChange::Stopped { .. })), "{last:?}");
    assert!(matches!(*lab.agent.ended().await, AgentError::Stopped));
}

#[tokio::test]
async fn attack_46_a_page_that_reached_the_socket_is_refused_and_counted() {
    let lab = Lab::start().await;
    let refused = [
        "GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /v1/status HTTP/1.1\r\nHost: bore\r\nOrigin: https://evil.example\r\n\r\n",
        "POST /v1/stop HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n",
    ];
    for request in refused {
        assert!(lab.raw(request).await.starts_with("HTTP/1.1 403"), "{request}");
    }
    let status = lab.client().await.status().await.unwrap();
    assert_eq!(status.counters.local_requests_refused, 3);
    lab.agent.stop().await;
}

#[tokio::test]
async fn a_request_that_is_not_understood_says_what_is_wrong() {
    let lab = Lab::start().await;
    let body = r#"{"protocol":"tcp","target":"22","lifetime":"session","prot":1}"#;
    let head = format!(
        "POST /v1/publications HTTP/1.1\r\nHost: bore\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let answer = lab.raw(&(head + body)).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("B2112"), "{answer}");

    let error = lab.client().await.withdraw("nobody").await.unwrap_err();
    assert_eq!(error.code(), "B2111");
    lab.agent.stop().await;
}

#[tokio::test]
async fn a_bad_target_is_refused_before_anything_is_asked_of_the_relay() {
    let lab = Lab::start().await;
    let error =
        lab.agent.publish(declaration("x", Protocol::Tcp, "http://127.0.0.1")).await.unwrap_err();
    assert_eq!(error.code(), "B1001");
    lab.agent.stop().await;
}

#[tokio::test]
async fn what_was_declared_to_stay_is_there_after_a_restart_and_offline_until_proved() {
    let root = closed_folder();
    let folder = StateFolder::open(root.path()).unwrap();
    let stored = StoredPublication {
        declaration: Declaration {
            lifetime: Lifetime::Persistent,
            ..declaration("web", Protocol::Tcp, "127.0.0.1:3000")
        },
        view: Some(view("web", Protocol::Tcp)),
        refused: None,
    };
    folder.write_publications(vec![stored]).unwrap();
    let lab = Lab::on(root, folder).await;

    let publications = lab.client().await.publications().await.unwrap();
    assert_eq!(publications.len(), 1);
    assert_eq!(publications[0].state.state, State::Offline);
    lab.agent.stop().await;
}

#[tokio::test]
async fn a_folder_that_has_not_joined_needs_a_key() {
    let root = closed_folder();
    let folder = StateFolder::open(root.path()).unwrap();
    let error = Agent::start(folder, StartOptions::default()).await.unwrap_err();
    assert_eq!(error.code(), "B1008");
}

#[tokio::test]
async fn a_key_of_another_network_does_not_change_who_this_node_is() {
    let lab = Lab::start().await;
    lab.agent.stop().await;
    let mut key = join_key();
    key.network = bore_overlay::NetworkId([9; 16]);
    let join = JoinOptions { key, name: "laptop".to_owned(), ephemeral: false };
    let options = StartOptions { join: Some(join), takeover: false };

    let error = Agent::start(lab.folder.clone(), options).await.unwrap_err();
    assert_eq!(error.code(), "B3108");
    assert_eq!(lab.folder.identity().unwrap().unwrap().membership, Some(membership()));
}

#[tokio::test]
async fn nobody_there_is_told_with_the_socket() {
    let root = closed_folder();
    let error = LocalClient::connect(&root.path().join("agent.sock")).await.unwrap_err();
    assert_eq!(error.code(), "B1009");
    assert!(error.to_string().contains("agent.sock"));
}

/// An agent that has joined a relay which is not there.
struct Lab {
    agent: Agent,
    folder: StateFolder,
    _root: tempfile::TempDir,
}

impl Lab {
    async fn start() -> Self {
        let root = closed_folder();
        let folder = StateFolder::open(root.path()).unwrap();
        Self::on(root, folder).await
    }

    async fn on(root: tempfile::TempDir, folder: StateFolder) -> Self {
        let mut identity = Identity::new(&join_key());
        identity.membership = Some(membership());
        folder.write_identity(&identity).unwrap();
        let agent = Agent::start(folder.clone(), StartOptions::default()).await.unwrap();
        Self { agent, folder, _root: root }
    }

    async fn client(&self) -> LocalClient {
        LocalClient::connect(&self.folder.socket()).await.unwrap()
    }

    /// Sends bytes as they are and reads until the head of an answer is there.
    async fn raw(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.folder.socket()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }
}
