//! The lab itself, proved with real programs and without `bore`: what it lets through, what not, and that nothing stays behind.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use bore_tests::blob::{Blob, sha256_of};
use bore_tests::curl::{curl, sha256_of_url};
use bore_tests::lab::{AGENT, AGENT_BEHIND_NAT, Lab, RELAY, RELAY_V6};
use bore_tests::namespace::Namespace;
use bore_tests::origins::{Bind9, Iperf3, Nginx, Sshd, iperf3};
use bore_tests::service::Service;
use bore_tests::wait::{SOON, until};

#[test]
fn visitors_reach_the_relay_by_ipv4_and_ipv6_and_never_the_agent() {
    let lab = Lab::new();
    let files = Blob::new(1);
    let _relay = Nginx::start_in(&lab.relay, &lab, 80, files.folder());
    let _agent = Nginx::start(&lab, 80, files.folder());

    for (visitor, url) in [
        (&lab.visitor, format!("http://{RELAY}/visitor")),
        (&lab.visitor, format!("http://[{RELAY_V6}]/visitor")),
        (&lab.colleague, format!("http://{RELAY}/visitor")),
        (&lab.agent, format!("http://{RELAY}/visitor")),
    ] {
        assert_eq!(curl(visitor, &[&url]).status, 200, "{} {url}", visitor.label());
    }
    let direct = curl(&lab.visitor, &["--max-time", "1", &format!("http://{AGENT}/")]);
    assert_eq!(direct.status, 0, "the relay's kernel must not forward: {direct:?}");
}

#[test]
fn a_nat_lets_answers_in_and_nothing_else() {
    let lab = Lab::with_nat();
    let _relay = Nginx::start_in(&lab.relay, &lab, 80, Path::new("/dev/shm"));
    let _agent = Nginx::start(&lab, 80, Path::new("/dev/shm"));
    assert_eq!(curl(&lab.agent, &[&format!("http://{RELAY}/")]).status, 200);
    assert_eq!(curl(&lab.relay, &["--max-time", "1", &format!("http://{AGENT}/")]).status, 0);
    assert_eq!(
        curl(&lab.relay, &["--max-time", "1", &format!("http://{AGENT_BEHIND_NAT}/")]).status,
        0
    );
}

#[test]
fn files_travel_both_ways_with_a_known_hash() {
    let lab = Lab::new();
    let blob = Blob::new(8);
    let nginx = Nginx::start_in(&lab.relay, &lab, 80, blob.folder());
    let url = format!("http://{RELAY}/files/blob");
    assert_eq!(sha256_of_url(&lab.visitor, &url, Duration::from_secs(20)), blob.sha256());

    let path = blob.path().display().to_string();
    let put =
        curl(&lab.visitor, &["--upload-file", &path, &format!("http://{RELAY}/uploads/copy")]);
    assert_eq!(put.status, 201, "{put:?}");
    assert_eq!(sha256_of(&nginx.upload("copy")), blob.sha256());
}

#[test]
fn every_service_answers_on_its_own_machine() {
    let lab = Lab::new();
    let _named = Bind9::start(&lab, 53);
    let _iperf3 = Iperf3::start(&lab.agent, 5201);
    let sshd = Sshd::start(&lab, 22);
    let _echo = Service::udp_echo(&lab.agent, 7000, 2);
    let _greeter = Service::tcp_speaks_first(&lab.agent, 7001, "hello\n");

    let answer = lab.agent.run("dig", &["+short", "@127.0.0.1", "lobby.game.test"]);
    assert_eq!(answer.trim(), "192.0.2.77");
    let measured = iperf3(&lab.agent, "127.0.0.1", 5201, 1, Duration::from_secs(1), false);
    println!("iperf3 on loopback: {:.2} Gbit/s", measured.gbit_per_second);
    assert_eq!(sshd.run(&lab.agent, "127.0.0.1", 22, "echo in").trim(), "in");
    let echoed = lab.agent.enter(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"ping", "127.0.0.1:7001").unwrap();
        let mut buffer = [0; 16];
        let count = socket.recv(&mut buffer).unwrap();
        buffer[..count].to_vec()
    });
    assert_eq!(echoed, b"ping");
    assert_eq!(lab.agent.run("bash", &["-c", "cat < /dev/tcp/127.0.0.1/7001"]), "hello\n");
}

#[test]
fn names_resolve_only_where_they_were_given() {
    let lab = Lab::new();
    lab.agent.set_hosts(&[("app.t.test", RELAY.into())]);
    assert!(lab.agent.run("getent", &["hosts", "app.t.test"]).contains("203.0.113.1"));
    assert!(
        !lab.visitor
            .command("getent")
            .args(["hosts", "app.t.test"])
            .output()
            .unwrap()
            .status
            .success()
    );
}

#[test]
fn a_namespace_goes_with_its_processes() {
    let namespace = Namespace::new("brief");
    let mut child = namespace.command("sleep").arg("600").spawn().unwrap();
    let comm = format!("/proc/{}/comm", child.id());
    until("it to be inside", SOON, || {
        (std::fs::read_to_string(&comm).ok()?.trim() == "sleep").then_some(())
    });
    drop(namespace);
    let status = child.wait().unwrap();
    assert!(!status.success(), "it was killed");
    let names = std::fs::read_dir("/run/netns").unwrap().flatten();
    let mine = format!("bore-{}-", std::process::id());
    let brief = names
        .map(|name| name.file_name().into_string().unwrap())
        .find(|name| name.starts_with(&mine) && name.ends_with("-brief"));
    assert_eq!(brief, None);
}
