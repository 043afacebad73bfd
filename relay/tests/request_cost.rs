//! What a request on a kept connection allocates: visitor, relay, agent and service in one process.
//!
//! To see the figures: `cargo nextest run -p bore-relay --no-capture -E 'binary(request_cost)'`.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "the lab's helpers lie outside the functions that clippy knows as tests"
)]
#![expect(dead_code, reason = "the lab has parts that only the metrics need")]

#[path = "relay_lab/mod.rs"]
mod relay_lab;

use std::alloc::System;

use relay_lab::{Agent, Lab, Service, within};
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[tokio::test]
async fn a_request_on_a_kept_connection_allocates_no_more_than_before() {
    let lab = Lab::start().await;
    let agent = Agent::join(&lab, "laptop").await;
    let web = json!({"name": "web", "protocol": "http", "target": "127.0.0.1:9"});
    let web = agent.publish(&lab, web).await.publication;
    agent.serve(web.overlay_port, Service::Http).await;
    agent.report(&web).await;
    lab.until_state(&web, "reachable").await;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", web.hostnames[0]);
    let mut visitor = TcpStream::connect(lab.at().http).await.unwrap();
    visit(&mut visitor, &request, 100).await;

    let region = Region::new(ALLOCATOR);
    visit(&mut visitor, &request, REQUESTS).await;
    let used = region.change();
    let (allocations, bytes) = (used.allocations / REQUESTS, used.bytes_allocated / REQUESTS);
    println!("a request: {allocations} allocations, {bytes} bytes");
    assert!(allocations <= ALLOCATIONS_MAX, "{allocations}");
}

async fn visit(visitor: &mut TcpStream, request: &str, count: usize) {
    let mut answer = [0; 4_096];
    for _ in 0..count {
        visitor.write_all(request.as_bytes()).await.unwrap();
        let mut end = 0;
        while !answer[..end].ends_with(b"\r\n\r\nok") {
            let read = within("an answer", visitor.read(&mut answer[end..])).await.unwrap();
            assert!(read > 0, "closed");
            end += read;
        }
    }
}

const REQUESTS: usize = 1_000;
const ALLOCATIONS_MAX: usize = 90;
