//! `bore publish tcp` with real services.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use bore_tests::blob::{Blob, sha256_of};
use bore_tests::bore::{Agent, Publication, Relay};
use bore_tests::curl::{curl, sha256_of_url};
use bore_tests::lab::{Lab, RELAY, RELAY_V6, VISITOR};
use bore_tests::length::Length;
use bore_tests::origins::{Iperf3, Nginx, Sshd, Throughput, iperf3};
use bore_tests::service::Service;
use bore_tests::visitor;
use bore_tests::wait::{SOON, until};

#[test]
fn a_web_server_is_reached_on_its_public_port_over_ipv4_and_ipv6() {
    let scene = Scene::new();
    let _nginx = Nginx::start(&scene.lab, 8080, scene.lab.path());
    let published = scene.publish(&["8080"]);
    assert_eq!(published.url(), format!("tcp://{RELAY}:8080"));

    scene.relay.wait_for_state(published.name(), "live");
    for visitor in [&scene.lab.visitor, &scene.lab.colleague] {
        assert_eq!(curl(visitor, &[&format!("http://{RELAY}:8080/")]).body, "nginx behind bore\n");
    }
    let v6 = curl(&scene.lab.visitor, &[&format!("http://[{RELAY_V6}]:8080/")]);
    assert_eq!(v6.body, "nginx behind bore\n", "{v6:?}");
}

#[test]
fn an_agent_behind_a_nat_is_reached_all_the_same() {
    let scene = Scene::in_lab(Lab::with_nat());
    let _echo = Service::tcp_echo(&scene.lab.agent, 7000);
    let published = scene.publish(&["7000"]);
    scene.relay.wait_for_state(published.name(), "live");
    let mut stream = visitor::connect(&scene.lab.visitor, 7000).unwrap();
    visitor::echo(&mut stream, b"through two networks").unwrap();
}

#[test]
fn large_files_arrive_unchanged_in_both_directions() {
    let scene = Scene::new();
    let blob = Blob::new(1024);
    let nginx = Nginx::start(&scene.lab, 8080, blob.folder());
    let _published = scene.publish(&["8080"]);
    let limit = Duration::from_secs(100);

    let began = Instant::now();
    let url = format!("http://{RELAY}:8080/files/blob");
    assert_eq!(sha256_of_url(&scene.lab.visitor, &url, limit), blob.sha256());
    println!("download: {}", rate(&blob, began));

    let began = Instant::now();
    let url = format!("http://{RELAY}:8080/uploads/copy");
    let path = blob.path().display().to_string();
    let seconds = limit.as_secs().to_string();
    let put = curl(&scene.lab.visitor, &["--max-time", &seconds, "--upload-file", &path, &url]);
    assert_eq!(put.status, 201, "{put:?}");
    println!("upload: {}", rate(&blob, began));
    assert_eq!(sha256_of(&nginx.upload("copy")), blob.sha256());
}

#[test]
fn iperf3_completes_with_one_flow_and_with_eight() {
    let scene = Scene::new();
    let _server = Iperf3::start(&scene.lab.agent, 5201);
    let _published = scene.publish(&["5201"]);
    let time = Duration::from_secs(Length::pick(2, 5, 10));
    for (flows, reverse) in [(1, false), (8, false), (1, true), (8, true)] {
        let measured = iperf3(&scene.lab.visitor, &RELAY.to_string(), 5201, flows, time, reverse);
        let direction = if reverse { "down" } else { "up" };
        println!("iperf3 {direction} {flows} flows: {:.2} Gbit/s", measured.gbit_per_second);
        demand(measured);
    }
}

#[test]
fn ssh_works() {
    let scene = Scene::new();
    let sshd = Sshd::start(&scene.lab, 22);
    let _published = scene.publish(&["22", "--port", "2222"]);
    let host = RELAY.to_string();
    assert_eq!(sshd.run(&scene.lab.visitor, &host, 2222, "echo $((6*7))").trim(), "42");
    let long = sshd.run(&scene.lab.visitor, &host, 2222, "head -c 3000000 /dev/zero | tr '\\0' x");
    assert_eq!(long.len(), 3_000_000);
}

#[test]
fn the_visitors_own_address_is_shown_while_the_flow_is_open_and_gone_after_it() {
    let scene = Scene::new();
    let _echo = Service::tcp_echo(&scene.lab.agent, 7000);
    let _published = scene.publish(&["7000"]);
    let mut stream = visitor::connect(&scene.lab.visitor, 7000).unwrap();
    visitor::echo(&mut stream, b"0123456789").unwrap();

    let local = stream.local_addr().unwrap().to_string();
    assert!(local.starts_with(&VISITOR.to_string()));
    let flow = until("the flow with its bytes", SOON, || {
        let flows = scene.relay.list("flows");
        flows.into_iter().find(|flow| flow["visitor"] == local && flow["sent_bytes"] == 10)
    });
    assert_eq!(flow["received_bytes"], 10, "{flow}");

    drop(stream);
    until("no flow", SOON, || scene.relay.list("flows").is_empty().then_some(()));
}

#[test]
fn a_service_may_speak_first_close_early_or_take_its_time() {
    let scene = Scene::new();
    let _greeter = Service::tcp_speaks_first(&scene.lab.agent, 7001, "220 ready\r\n");
    let _slow = Service::tcp_slow(&scene.lab.agent, 7002, 5, Duration::from_millis(200));
    let _greeting = scene.publish(&["7001"]);
    let _slowly = scene.publish(&["7002"]);

    let mut text = String::new();
    visitor::connect(&scene.lab.visitor, 7001).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "220 ready\r\n");

    let mut stream = visitor::connect(&scene.lab.visitor, 7002).unwrap();
    let mut first = [0; 6];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"piece\n", "the first piece comes before the last is made");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "piece\n".repeat(4));
}

#[test]
fn half_closed_connections_carry_the_answer() {
    let scene = Scene::new();
    let _hasher = Service::tcp_hasher(&scene.lab.agent, 7003);
    let _published = scene.publish(&["7003"]);
    let mut stream = visitor::connect(&scene.lab.visitor, 7003).unwrap();
    stream.write_all(&[7; 300_000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut hash = String::new();
    stream.read_to_string(&mut hash).unwrap();
    assert_eq!(hash, bore_tests::service::hash_all(&mut [7; 300_000].as_slice()));
}

#[test]
fn a_range_of_ports_maps_to_a_range_of_ports() {
    let scene = Scene::new();
    let _services: Vec<_> =
        (7100..7103).map(|port| Service::tcp_echo(&scene.lab.agent, port)).collect();
    let _published = scene.publish(&["7100-7102"]);
    for port in 7100..7103 {
        let mut stream = visitor::connect(&scene.lab.visitor, port).unwrap();
        visitor::echo(&mut stream, &port.to_be_bytes()).unwrap();
    }
    assert!(visitor::connect(&scene.lab.visitor, 7103).is_err());
}

#[test]
fn what_is_taken_back_refuses_at_once() {
    let scene = Scene::new();
    let _echo = Service::tcp_echo(&scene.lab.agent, 7000);
    let published = scene.publish(&["7000"]);
    assert!(visitor::connect(&scene.lab.visitor, 7000).is_ok());
    published.take_back();
    let refused = visitor::connect(&scene.lab.visitor, 7000).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(scene.relay.list("publications").is_empty());
}

/// A relay and an agent that runs.
struct Scene {
    agent: Agent,
    relay: Relay,
    lab: Lab,
}

impl Scene {
    fn new() -> Self {
        Self::in_lab(Lab::new())
    }

    fn in_lab(lab: Lab) -> Self {
        let relay = Relay::start(&lab);
        let agent = Agent::join(&lab, &relay);
        Self { agent, relay, lab }
    }

    fn publish(&self, arguments: &[&str]) -> Publication {
        self.agent.publish(&[&["tcp"], arguments].concat())
    }
}

fn rate(blob: &Blob, began: Instant) -> String {
    let seconds = began.elapsed().as_secs_f64();
    let gbit = blob.size_bytes() as f64 * 8e-9 / seconds;
    format!("{} MiB in {seconds:.1} s, {gbit:.2} Gbit/s", blob.size_bytes() >> 20)
}

/// A figure means something only on a machine that has nothing else to do.
fn demand(measured: Throughput) {
    if Length::current() == Length::Long {
        assert!(measured.gbit_per_second >= 0.4, "{measured:?}");
    }
}
