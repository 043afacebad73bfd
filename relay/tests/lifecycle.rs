//! A relay lets go of everything when it stops, and shows of a publication only what was proved of it.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "the lab's helpers lie outside the functions that clippy knows as tests"
)]
#![expect(dead_code, reason = "the lab has parts that only the metrics need")]

#[path = "metrics/exposed.rs"]
mod exposed;
#[path = "relay_lab/mod.rs"]
mod relay_lab;
#[path = "metrics/scenes.rs"]
mod scenes;

use std::time::Duration;

use relay_lab::{Agent, Lab, Service};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn twenty_relays_leave_neither_threads_nor_descriptors() {
    // The first one warms what stays for the life of the process.
    Lab::start().await.stop().await;
    let before = (count("/proc/self/task"), count("/proc/self/fd"));
    for _ in 0..20 {
        let lab = Lab::start().await;
        let agent = Agent::join(&lab, "laptop").await;
        lab.stop().await;
        agent.shard.stop().await;
    }
    let settled = async {
        // Threads of the store end a moment after their last handle; idle ones of the runtime, which wait for work, are not counted on.
        loop {
            let now = (count("/proc/self/task"), count("/proc/self/fd"));
            if now.0 <= before.0 + BLOCKING_THREADS_SPARE && now.1 <= before.1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let settled = tokio::time::timeout(Duration::from_secs(20), settled).await;
    let now = (count("/proc/self/task"), count("/proc/self/fd"));
    assert!(settled.is_ok(), "threads and descriptors before {before:?}, now {now:?}");
}

#[tokio::test]
async fn stopping_a_relay_resets_visitors_that_are_open_after_the_grace() {
    let lab = Lab::start().await;
    let agent = Agent::join(&lab, "laptop").await;
    let request =
        json!({"name": "echo", "protocol": "tcp", "target": "127.0.0.1:9", "any_port": true});
    let echo = agent.publish(&lab, request).await.publication;
    agent.serve(echo.overlay_port, Service::Echo).await;
    agent.report(&echo).await;
    lab.until_state(&echo, "reachable").await;
    let mut visitor = TcpStream::connect(scenes::public(&echo)).await.unwrap();
    visitor.write_all(b"x").await.unwrap();
    visitor.read_u8().await.unwrap();

    lab.stop().await;

    let error = visitor.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    TcpStream::connect(scenes::public(&echo)).await.unwrap_err();
    agent.shard.stop().await;
}

#[tokio::test]
async fn a_publication_with_another_target_is_not_live_by_the_old_ones_proof() {
    let lab = Lab::start().await;
    let agent = Agent::join(&lab, "laptop").await;
    let request = |target: &str| json!({"name": "web", "protocol": "tcp", "target": target, "any_port": true});
    let web = agent.publish(&lab, request("127.0.0.1:1")).await.publication;
    agent.report(&web).await;
    lab.until_state(&web, "reachable").await;
    scenes::visit(&lab, &agent, &web).await;

    let same = agent.publish(&lab, request("127.0.0.1:1")).await;
    assert_eq!(serde_json::to_value(&same.state).unwrap()["state"], "live", "nothing changed");
    let other = agent.publish(&lab, request("127.0.0.1:2")).await;
    let shown = serde_json::to_value(&other.state).unwrap();
    assert_eq!(shown["cause"], "not checked yet", "{shown}");
    assert_eq!(shown["steps"], json!([]));

    agent.report(&web).await;
    let shown = lab.until_state(&web, "reachable").await;
    assert_eq!(shown["cause"], "not yet visited from outside", "{shown}");
    scenes::visit(&lab, &agent, &web).await;
    lab.stop().await;
    agent.shard.stop().await;
}

#[tokio::test]
async fn a_visit_that_was_never_paid_proves_nothing_whatever_the_agent_says() {
    let lab = Lab::start().await;
    let agent = Agent::join(&lab, "laptop").await;
    let request =
        json!({"name": "web", "protocol": "tcp", "target": "127.0.0.1:1", "any_port": true});
    let web = agent.publish(&lab, request).await.publication;
    agent.report(&web).await;
    lab.until_state(&web, "reachable").await;
    let path = format!("/v1/nodes/self/publications/{}/probe", web.id);
    agent.control("POST", &path, &json!({})).await;
    let steps = json!({"steps": [{"name": "port", "ok": true, "detail": "answered"}]});
    let shown = agent.control("PUT", &path, &steps).await;
    assert_eq!(shown["state"], "reachable", "{shown}");
    assert_eq!(shown["cause"], "edge: 0 of 1 visits came in at this relay");

    scenes::visit(&lab, &agent, &web).await;
    lab.stop().await;
    agent.shard.stop().await;
}

#[tokio::test]
async fn a_report_that_is_quicker_than_the_relay_is_not_lost() {
    let lab = Lab::start().await;
    let agent = Agent::join(&lab, "laptop").await;
    let request =
        |name| json!({"name": name, "protocol": "tcp", "target": "127.0.0.1:9", "any_port": true});
    let items: Vec<_> = futures_util::future::join_all((0..HURRIED).map(async |number| {
        let item = agent.publish(&lab, request(format!("web-{number}"))).await.publication;
        agent.report(&item).await;
        item
    }))
    .await;
    // Without the report, the first look comes only with the regular check.
    let seen =
        futures_util::future::join_all(items.iter().map(|item| lab.until_state(item, "reachable")));
    tokio::time::timeout(CHECK_INTERVAL / 2, seen).await.expect("a report was lost");
    lab.stop().await;
    agent.shard.stop().await;
}

#[tokio::test]
async fn a_port_of_another_program_or_relay_is_refused_by_name() {
    let (lab, second) = (Lab::start().await, Lab::start().await);
    let agent = Agent::join(&lab, "laptop").await;
    let rival = Agent::join(&second, "laptop").await;
    let request =
        json!({"name": "web", "protocol": "tcp", "target": "127.0.0.1:1", "any_port": true});
    let web = agent.publish(&lab, request).await.publication;
    let stolen =
        json!({"name": "web", "protocol": "tcp", "target": "127.0.0.1:1", "port": web.public_port});
    let stolen = serde_json::from_value(stolen).unwrap();
    let by = bore_api::model::Actor::Node(rival.node);
    let control = second.relay.control();
    let refused =
        control.publications().publish(rival.network, rival.node, &stolen, &by).await.unwrap_err();
    assert_eq!(refused.code, bore_api::Code::PORT_USED_ELSEWHERE, "{refused:?}");

    let deleted = lab.relay.control();
    deleted.publications().delete(web.network, None, "web", &by).await.unwrap();
    control.publications().publish(rival.network, rival.node, &stolen, &by).await.unwrap();
    for (lab, agent) in [(lab, agent), (second, rival)] {
        lab.stop().await;
        agent.shard.stop().await;
    }
}

fn count(folder: &str) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

/// Threads of tokio's blocking pool stay ten seconds without work.
const BLOCKING_THREADS_SPARE: usize = 4;

/// Publications that are declared and reported in one breath.
const HURRIED: usize = 32;
/// `CHECK_INTERVAL` of the relay.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);
