//! gRPC as it is used: a real client, HTTPS, the tunnel, and a real service with TLS and without.
#![expect(
    clippy::indexing_slicing,
    reason = "of JSON: what is not there is null, and fails the test"
)]

use std::process::Command;

use bore_tests::namespace::must_run;
use bore_tests::process::Process;
use bore_tests::secured::Secured;
use serde_json::{Value, json};

#[test]
fn grpc_reaches_a_plain_target_by_itself() {
    calls_pass_through(&["http", PLAIN]);
}

#[test]
fn grpc_reaches_a_target_that_speaks_http_2_only() {
    calls_pass_through(&["http", &format!("h2c://127.0.0.1:{PLAIN}")]);
}

#[test]
fn grpc_reaches_a_target_behind_tls() {
    calls_pass_through(&["http", &format!("https://127.0.0.1:{SECURE}")]);
}

fn calls_pass_through(target: &[&str]) {
    let scene = Secured::new(&["*.t.test"]);
    let mut service = start(&scene);
    let _published = scene.agent.publish(&[target, &["--name", "app"]].concat());
    scene.relay.wait_for_state("app", "live");
    let got = got(&mut visitor(&scene));
    messages_are_intact(&got);
    ends_are_told(&got);
    visitors_are_stated(&got["told"]);
    let late = gone(&mut service, "late");
    let left = late["seconds_left_at_first"].as_f64();
    assert!(left.is_some_and(|seconds| seconds < 5.0), "the deadline travels: {late}");
    gone(&mut service, "cancelled");
}

fn messages_are_intact(got: &Value) {
    assert_eq!(got["unary"]["answer"], "hello");
    assert_eq!(got["large"], json!({ "intact": true, "bytes": 4 << 20 }));
    assert_eq!(got["server_stream"], json!((0..100).collect::<Vec<_>>()));
    assert_eq!(got["client_stream"], (0..1000).sum::<i32>());
    let chat = json!({ "answers": ["cba", "fed", "ihg"], "ended": true, "code": "OK" });
    assert_eq!(got["both_ways"], chat);
    assert_eq!(got["many_at_once"], json!((0..40).collect::<Vec<_>>()));
}

fn ends_are_told(got: &Value) {
    let unary = &got["unary"];
    let trailers = (&unary["code"], &unary["begun"], &unary["ended"], &unary["binary_intact"]);
    assert_eq!(trailers, (&json!("OK"), &json!("yes"), &json!("well"), &json!(true)));
    let failure =
        json!({ "code": "NOT_FOUND", "details": "nothing at “here”, 100 %", "reason": "because" });
    assert_eq!(got["failure"], failure);
    assert_eq!(got["early_end"]["code"], "RESOURCE_EXHAUSTED");
    assert_eq!(got["early_end"]["details"], "enough");
    assert_eq!(got["cancelled"], json!({ "begun": "begun", "code": "CANCELLED" }));
    assert_eq!(got["deadline"]["code"], "DEADLINE_EXCEEDED");
    assert_eq!(got["no_method"]["code"], "UNIMPLEMENTED");
}

fn visitors_are_stated(told: &Value) {
    assert_eq!((&told["x-forwarded-for"], &told["own"]), (&json!("203.0.113.7"), &json!("kept")));
    assert_eq!(told["x-forwarded-proto"], "https");
}

/// Both doors of the service.
fn start(scene: &Secured) -> Process {
    let own = scene.authority.issue("own", &["127.0.0.1"]);
    let mut command = scene.python(&scene.lab.agent, "grpc_service.py");
    command.args([PLAIN, SECURE]).arg(own.chain).arg(own.key);
    let mut service = Process::start("gRPC service", command);
    service.event("listening");
    service
}

fn visitor(scene: &Secured) -> Command {
    let mut command = scene.python(&scene.lab.visitor, "grpc_visitor.py");
    // Its own resolver does not look into the hosts file of a namespace.
    command.env("GRPC_DNS_RESOLVER", "native").args(["app.t.test", "443"]).arg(scene.roots());
    command
}

fn got(visitor: &mut Command) -> Value {
    let printed = must_run(visitor);
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

/// What the service saw of the end of a call.
fn gone(service: &mut Process, tag: &str) -> Value {
    service
        .line(tag, |line| line.json().filter(|line| line["event"] == "gone" && line["tag"] == tag))
}

const PLAIN: &str = "50051";
const SECURE: &str = "50052";
