//! What visitors and an agent do in a day.

use std::net::SocketAddr;
use std::time::Duration;

use bore_api::model::{Actor, Publication};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::exposed::Exposed;
use super::relay_lab::{Agent, Lab, Service, within};

pub(crate) async fn tcp(lab: &Lab, agent: &Agent) {
    let echo = published(lab, agent, json!({"name": "echo", "protocol": "tcp"})).await;
    agent.serve(echo.overlay_port, Service::Echo).await;
    lab.until_state(&echo, "reachable").await;
    let mut visitor = TcpStream::connect(public(&echo)).await.unwrap();
    visitor.write_all(b"hello").await.unwrap();
    let mut bytes = [0; 5];
    within("an echo", visitor.read_exact(&mut bytes)).await.unwrap();
    visit(lab, agent, &echo).await;

    let denied = json!({"name": "denied", "protocol": "tcp", "access": {"deny": ["127.0.0.0/8"]}});
    let denied = published(lab, agent, denied).await;
    lab.until_state(&denied, "reachable").await;
    is_reset(TcpStream::connect(public(&denied)).await).await;

    let refused = published(lab, agent, json!({"name": "refused", "protocol": "tcp"})).await;
    agent.serve(refused.overlay_port, Service::Reset).await;
    lab.until_state(&refused, "reachable").await;
    is_reset(TcpStream::connect(public(&refused)).await).await;

    delayed(lab, agent).await;

    let control = lab.relay.control();
    control.publications().delete(echo.network, None, "echo", &Actor::System).await.unwrap();
    is_reset(Ok(visitor)).await;
}

/// An agent that leaves visitors waiting has as many as there may be; the others wait on the relay, until there are too many of them too.
async fn delayed(lab: &Lab, agent: &Agent) {
    let slow = published(lab, agent, json!({"name": "slow", "protocol": "tcp"})).await;
    agent.serve(slow.overlay_port, Service::Hold).await;
    lab.until_state(&slow, "reachable").await;
    let mut waiting = Vec::new();
    for _ in 0..FLOWS_PER_SOURCE {
        // Flows that are open elsewhere count too: the last of these may be refused.
        waiting.push(TcpStream::connect(public(&slow)).await);
    }
    is_reset(TcpStream::connect(public(&slow)).await).await;
    // The next scene's visitors have the same address.
    let control = lab.relay.control();
    control.publications().delete(slow.network, None, "slow", &Actor::System).await.unwrap();
    let few = |line: &str| {
        let open = line.strip_prefix("bore_flows_open ").map(|open| open.parse::<usize>().unwrap());
        open.is_some_and(|open| open < FLOWS_PER_SOURCE / 2)
    };
    lab.until_scraped(|text| text.lines().any(few)).await;
}

/// The announced visit of an agent, and what it makes of the publication.
pub(crate) async fn visit(lab: &Lab, agent: &Agent, item: &Publication) {
    let path = format!("/v1/nodes/self/publications/{}/probe", item.id);
    let order = agent.control("POST", &path, &json!({})).await;
    let token = order["token"].as_str().unwrap().to_owned();
    let mut visit = TcpStream::connect(public(item)).await.unwrap();
    visit.write_all(token.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("the token", visit.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, token);
    let steps = json!({"steps": [{"name": "port", "ok": true, "detail": "answered"}]});
    agent.control("PUT", &path, &steps).await;
    lab.until_state(item, "live").await;
}

pub(crate) async fn udp(lab: &Lab, agent: &Agent) {
    let game = published(lab, agent, json!({"name": "game", "protocol": "udp"})).await;
    lab.until_state(&game, "reachable").await;
    agent.serve_udp(game.overlay_port).await;
    let visitor = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    visitor.connect(public(&game)).await.unwrap();
    let mut bytes = [0; 1500];
    let longer_than_a_packet = [b'e'; 3_000];
    for what in [&b"x"[..], b"u", b"m", &longer_than_a_packet] {
        visitor.send(what).await.unwrap();
        if what == b"m" {
            // Whoever speaks again after an answer is trusted: not before all that is too much was refused.
            lab.until_scraped(|text| !text.contains("udp_one_sided_refused_total 0\n")).await;
        }
        if what == b"m" || what.len() > 1 {
            within("an answer", visitor.recv(&mut bytes)).await.unwrap();
        }
    }
    let stopped =
        json!({"name": "stopped", "protocol": "udp", "target": "127.0.0.1:9", "any_port": true});
    let stopped = agent.publish(lab, stopped).await.publication;
    let never_served = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // A claimed port takes datagrams before anything is known of its target.
    never_served.send_to(b"e", public(&stopped)).await.unwrap();
}

/// The last visitor stays.
pub(crate) async fn http(lab: &Lab, agent: &Agent) -> TcpStream {
    let web = published(lab, agent, json!({"name": "web", "protocol": "http"})).await;
    let host = web.hostnames[0].to_string();
    agent.serve(web.overlay_port, Service::Http).await;
    lab.until_state(&web, "reachable").await;
    request(lab, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    let upgrade = "Connection: upgrade\r\nUpgrade: chat\r\n";
    request(lab, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n{upgrade}\r\n")).await;
    let path = format!("/v1/nodes/self/publications/{}/probe", web.id);
    let order = agent.control("POST", &path, &json!({})).await;
    let token = order["token"].as_str().unwrap();
    request(lab, &format!("GET /.well-known/bore/{token} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    refused(lab, agent, &host).await;
    abandoned(lab, agent).await;
    let mut visitor = TcpStream::connect(lab.at().http).await.unwrap();
    visitor.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    within("an answer", visitor.read_exact(&mut [0])).await.unwrap();
    visitor
}

/// Requests that do not reach a service.
async fn refused(lab: &Lab, agent: &Agent, host: &str) {
    let denied =
        json!({"name": "private", "protocol": "http", "access": {"deny": ["127.0.0.0/8"]}});
    let denied = published(lab, agent, denied).await.hostnames[0].to_string();
    let offline = json!({"name": "offline", "protocol": "http", "target": "127.0.0.1:9"});
    let offline = agent.publish(lab, offline).await.publication.hostnames[0].to_string();
    let broken = published(lab, agent, json!({"name": "broken", "protocol": "http"})).await;
    agent.serve(broken.overlay_port, Service::Reset).await;
    lab.until_state(&broken, "reachable").await;
    let broken = broken.hostnames[0].to_string();
    for host in [&denied, &offline, &broken, "nobody.example"] {
        request(lab, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    }
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    let chunk =
        format!("POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    for text in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GARBAGE\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        &chunk,
        &long,
    ] {
        request(lab, text).await;
    }
}

/// A visitor that does not wait for the answer of a slow service.
async fn abandoned(lab: &Lab, agent: &Agent) {
    let slow = published(lab, agent, json!({"name": "slow-web", "protocol": "http"})).await;
    agent.serve(slow.overlay_port, Service::Hold).await;
    lab.until_state(&slow, "reachable").await;
    let received = |text: &str| {
        Exposed::parse(text).value("bore_edge_received_bytes_total").unwrap_or_default()
    };
    let before = received(&lab.scrape().await);
    let mut visitor = TcpStream::connect(lab.at().http).await.unwrap();
    let text = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", slow.hostnames[0]);
    visitor.write_all(text.as_bytes()).await.unwrap();
    // A reset would overtake a request that nobody has read.
    lab.until_scraped(|text| received(text) > before).await;
    socket2::SockRef::from(&visitor).set_linger(Some(Duration::ZERO)).unwrap();
    drop(visitor);
    lab.until_scraped(|text| !text.contains("requests_total{outcome=\"Abandoned\"} 0\n")).await;
}

async fn request(lab: &Lab, text: &str) {
    let mut visitor = TcpStream::connect(lab.at().http).await.unwrap();
    // The edge may have said no before it has read everything.
    let _ = visitor.write_all(text.as_bytes()).await;
    let _ = visitor.shutdown().await;
    let _ = within("an answer of the edge", visitor.read_to_end(&mut Vec::new())).await;
}

/// An agent that talks to ports of the relay where nobody is.
pub(crate) async fn nobody(agent: &Agent) {
    let (source, relay) = (SocketAddr::new(agent.addresses[0], 5), agent.relay);
    let to = SocketAddr::new(bore_overlay::RELAY_V4.into(), 9);
    let talk = move |local: bore_driver::Local| async move {
        (0..200).for_each(|_| local.send_udp(relay, source, to, b"hello"));
    };
    agent.shard.run(talk).await.unwrap();
    agent.control("GET", "/v1/nodes/self", &Value::Null).await;
}

/// A stranger who wants more of the garden than there is for one.
pub(crate) async fn doors(lab: &Lab) {
    use bore_overlay::{GARDEN_JOINER, GARDEN_PORT, GARDEN_RELAY};
    let (shard, _events, peer) = Agent::stranger(lab).await;
    let mut held = Vec::new();
    let refused = loop {
        let dial = bore_driver::Dial {
            peer,
            source: SocketAddr::new(GARDEN_JOINER.into(), 0),
            destination: SocketAddr::new(GARDEN_RELAY.into(), GARDEN_PORT),
            timeout: Duration::from_secs(10),
        };
        match shard.connect(dial).await {
            Ok(stream) => held.push(stream),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.to_string(), bore_netstack::ConnectError::Refused.to_string());
    assert_eq!(held.len(), GARDEN_CONNECTIONS);
    shard.stop().await;
}

/// The agent's network changes.
pub(crate) async fn roaming(lab: &Lab, agent: &Agent) {
    agent.shard.run(|local| async move { local.rebind() }).await.unwrap().unwrap();
    agent.control("GET", "/v1/nodes/self", &Value::Null).await;
    drop(lab.scrape().await);
}

pub(crate) async fn removal(lab: &Lab, agent: Agent) {
    lab.relay.control().nodes().delete(agent.network, "laptop", &Actor::System).await.unwrap();
    agent.shard.stop().await;
}

async fn published(lab: &Lab, agent: &Agent, mut request: Value) -> Publication {
    request["target"] = json!("127.0.0.1:9");
    if request["protocol"] != "http" {
        request["any_port"] = json!(true);
    }
    let item = agent.publish(lab, request).await.publication;
    agent.report(&item).await;
    item
}

pub(crate) fn public(item: &Publication) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], item.public_port.unwrap()))
}

/// The relay closes with RST, not with an end; which a visitor may see as soon as it has connected.
async fn is_reset(connected: std::io::Result<TcpStream>) {
    let ended = match connected {
        Ok(mut visitor) => within("a reset", visitor.read_to_end(&mut Vec::new())).await.map(drop),
        Err(error) => Err(error),
    };
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

/// `TCP_FLOWS_PER_SOURCE_MAX`.
const FLOWS_PER_SOURCE: usize = 4_096;
/// `GARDEN_CONNECTIONS_PER_PEER_MAX`.
const GARDEN_CONNECTIONS: usize = 4;
