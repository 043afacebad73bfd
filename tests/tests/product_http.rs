//! `bore publish http` with real services.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bore_tests::blob::{Blob, sha256_of};
use bore_tests::bore::{Agent, Publication, Relay};
use bore_tests::curl::{curl, follow, visit};
use bore_tests::lab::{COLLEAGUE, Lab, RELAY, VISITOR};
use bore_tests::length::Length;
use bore_tests::origins::Nginx;
use bore_tests::service::Service;
use bore_tests::visitor;
use tungstenite::Message;

#[test]
fn a_web_server_is_reached_by_its_hostname() {
    let scene = Scene::new();
    let _nginx = Nginx::start(&scene.lab, 3000, scene.lab.path());
    let published = scene.publish(&["3000", "--name", "app"]);
    assert_eq!(published.url(), "http://app.t.test/");
    scene.relay.wait_for_state("app", "live");

    let answer = visit(&scene.lab.visitor, "app.t.test", "/");
    assert_eq!((answer.status, answer.body.as_str()), (200, "nginx behind bore\n"));
    let unknown = visit(&scene.lab.visitor, "other.t.test", "/");
    assert_eq!((unknown.status, unknown.header("bore-error")), (404, Some("unknown")));
}

#[test]
fn a_bare_port_is_published_as_http_under_a_name_that_stays() {
    let scene = Scene::new();
    let _nginx = Nginx::start(&scene.lab, 3000, scene.lab.path());
    let first = scene.agent.open(&["3000"]);
    let url = first.url().to_owned();
    let host = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    assert_eq!(visit(&scene.lab.visitor, &host, "/").status, 200, "{url}");
    first.take_back();
    assert_eq!(scene.agent.open(&["3000"]).url(), url);
}

#[test]
fn the_origin_is_told_the_visitors_address_and_believes_no_other() {
    let scene = Scene::new();
    let _nginx = Nginx::start(&scene.lab, 3000, scene.lab.path());
    let _published = scene.publish(&["3000", "--name", "app"]);
    let pinned = format!("app.t.test:80:{RELAY}");
    for (visitor, address) in [(&scene.lab.visitor, VISITOR), (&scene.lab.colleague, COLLEAGUE)] {
        let forged =
            ["--header", "X-Forwarded-For: 192.0.2.1", "--header", "X_Forwarded_For: 192.0.2.1"];
        let url = ["--resolve", &pinned, "http://app.t.test/visitor"];
        let answer = curl(visitor, &[&forged[..], &url].concat());
        assert_eq!(
            answer.body,
            format!("for={address} address=127.0.0.1 host=app.t.test\n"),
            "{answer:?}"
        );
    }
}

#[test]
fn web_sockets_echo() {
    let scene = Scene::new();
    let _echo = Service::websocket_echo(&scene.lab.agent, 3001);
    let _published = scene.publish(&["3001", "--name", "socket"]);
    let stream = visitor::connect(&scene.lab.visitor, 80).unwrap();
    let (mut socket, answer) = tungstenite::client("ws://socket.t.test/chat", stream).unwrap();
    assert_eq!(answer.status(), 101);
    for size in [0, 1, 125, 126, 65_536, 1_000_000] {
        let message = Message::binary(vec![9; size]);
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    socket.close(None).unwrap();
}

#[test]
fn events_arrive_before_the_next_one_is_produced() {
    let scene = Scene::new();
    let seen = Arc::new(AtomicUsize::new(0));
    let read = Arc::clone(&seen);
    // Event n is produced only once the visitor has read event n - 1: a buffer anywhere stops everything.
    let _sse = Service::sse(&scene.lab.agent, 3002, move |number| {
        let began = Instant::now();
        while read.load(Ordering::Acquire) < number {
            if began.elapsed() > Duration::from_secs(10) {
                return false;
            }
            std::thread::yield_now();
        }
        number < 20
    });
    let _published = scene.publish(&["3002", "--name", "events"]);
    let mut stream = follow(&scene.lab.visitor, "events.t.test", "/");
    for number in 0..20 {
        let wanted = format!("data: {number}");
        stream.line(&wanted, |line| (line.text.trim_end() == wanted).then_some(()));
        seen.store(number + 1, Ordering::Release);
    }
}

#[test]
fn uploads_and_downloads_arrive_unchanged() {
    let scene = Scene::new();
    let blob = Blob::new(Length::pick(64, 64, 1024));
    let nginx = Nginx::start(&scene.lab, 3000, blob.folder());
    let _published = scene.publish(&["3000", "--name", "app"]);
    let pinned = format!("app.t.test:80:{RELAY}");
    let path = blob.path().display().to_string();
    let copy = scene.lab.path().join("copy").display().to_string();

    let limit = ["--max-time", "100", "--resolve", &pinned];
    let put = [&limit[..], &["--upload-file", &path, "http://app.t.test/uploads/copy"]].concat();
    assert_eq!(curl(&scene.lab.visitor, &put).status, 201);
    assert_eq!(sha256_of(&nginx.upload("copy")), blob.sha256());

    let get = [&limit[..], &["-sSf", "-o", &copy, "http://app.t.test/files/blob"]].concat();
    scene.lab.visitor.run("curl", &get);
    assert_eq!(sha256_of(copy.as_ref()), blob.sha256());
}

#[test]
fn a_page_says_that_the_target_is_down_and_what_to_do() {
    let scene = Scene::new();
    let nginx = Nginx::start(&scene.lab, 3000, scene.lab.path());
    let _published = scene.publish(&["3000", "--name", "app"]);
    assert_eq!(visit(&scene.lab.visitor, "app.t.test", "/").status, 200);
    nginx.stop();
    let answer = visit(&scene.lab.visitor, "app.t.test", "/");
    assert_eq!((answer.status, answer.header("bore-error")), (502, Some("down")), "{answer:?}");
    assert!(
        answer.header("retry-after").is_some() && answer.body.contains("bore status"),
        "{answer:?}"
    );

    let pinned = format!("app.t.test:80:{RELAY}");
    let browser = ["--header", "Accept: text/html", "--resolve", &pinned, "http://app.t.test/"];
    assert!(curl(&scene.lab.visitor, &browser).body.starts_with("<!doctype html>"));
}

#[test]
fn a_page_says_that_the_agent_is_offline_and_what_to_do() {
    let mut scene = Scene::new();
    let _nginx = Nginx::start(&scene.lab, 3000, scene.lab.path());
    scene.agent.publish_in_background(&["http", "3000", "--name", "app"]);
    assert_eq!(visit(&scene.lab.visitor, "app.t.test", "/").status, 200);
    scene.agent.stop();
    let answer = visit(&scene.lab.visitor, "app.t.test", "/");
    assert_eq!((answer.status, answer.header("bore-error")), (503, Some("offline")), "{answer:?}");
    assert!(answer.body.contains("start the agent"), "{answer:?}");
}

#[test]
fn a_visitor_that_is_not_allowed_gets_a_page_that_says_so() {
    let scene = Scene::new();
    let _nginx = Nginx::start(&scene.lab, 3000, scene.lab.path());
    let _published = scene.publish(&["3000", "--name", "app", "--allow", "10.0.0.0/8"]);
    assert_eq!(visit(&scene.lab.colleague, "app.t.test", "/").status, 200);
    let answer = visit(&scene.lab.visitor, "app.t.test", "/");
    assert_eq!((answer.status, answer.header("bore-error")), (403, Some("denied")), "{answer:?}");
    assert!(!answer.body.contains("10.0.0.0"), "a stranger is not told the rule: {answer:?}");
}

/// A relay and an agent that runs and resolves the names below.
struct Scene {
    agent: Agent,
    relay: Relay,
    lab: Lab,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let relay = Relay::start(&lab);
        let agent = Agent::join(&lab, &relay).knows_hosts(&["app", "socket", "events"]);
        Self { agent, relay, lab }
    }

    fn publish(&self, arguments: &[&str]) -> Publication {
        self.agent.publish(&[&["http"], arguments].concat())
    }
}
