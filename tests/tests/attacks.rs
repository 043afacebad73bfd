//! Attack tests that need whole processes and networks; the numbers are those of the list of attacks.
#![expect(clippy::unwrap_used, reason = "what a test looks for and does not find fails it")]

use std::fs::{self, Permissions};
use std::io::Read;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use bore_tests::bore::{Agent, Finished, Relay};
use bore_tests::curl::visit;
use bore_tests::lab::{COLLEAGUE, Lab, RELAY};
use bore_tests::length::Length;
use bore_tests::memory::{processor_ticks, resident_kib};
use bore_tests::namespace::Namespace;
use bore_tests::origins::Nginx;
use bore_tests::service::Service;
use bore_tests::visitor::{connect, echo, exchange, udp};
use bore_tests::wait::{SOON, until};

#[test]
fn attack_03_nothing_passes_a_second_after_a_node_is_removed() {
    let scene = Scene::new();
    let _tcp = Service::tcp_echo(&scene.lab.agent, 7000);
    let _udp = Service::udp_echo(&scene.lab.agent, 7001, 1);
    scene.agent.publish_in_background(&["tcp", "7000", "--name", "shell"]);
    scene.agent.publish_in_background(&["udp", "7001", "--name", "game"]);
    let mut flow = connect(&scene.lab.visitor, 7000).unwrap();
    echo(&mut flow, b"before").unwrap();
    let socket = udp(&scene.lab.visitor, 7001);
    exchange(&socket, b"before").unwrap();

    scene.relay.bore(&["node", "rm", "nas"]).success();
    let removed = Instant::now();
    until("the flow to be cut", ONE_SECOND, || echo(&mut flow, b"after").err());
    until("the port to be closed", ONE_SECOND, || connect(&scene.lab.visitor, 7000).err());
    println!("attack 03: cut {:.2?} after the command ended", removed.elapsed());
    until("a second", SOON, || (removed.elapsed() > ONE_SECOND).then_some(()));
    assert_eq!(exchange(&socket, b"after"), None);
    // Nobody tells it: it finds out by silence, within the watch's heartbeat limit of 35 s.
    until("the agent to know", Duration::from_secs(60), || {
        let status = scene.agent.bore(&["status"]).event("status");
        (status["connected"] == false).then_some(())
    });
}

#[test]
fn attack_34_a_forged_flood_from_ever_new_ports_makes_no_flood_towards_the_victim() {
    println!("attack 34: {}", demand_bounded(Forged::NewFlows));
}

#[test]
fn attack_34_a_forged_flood_towards_ports_that_refuse_nothing_is_bounded_too() {
    println!("{}", demand_bounded(Forged::SilentVictim));
}

#[test]
fn attack_34_a_forged_flood_that_repeats_its_ports_makes_no_flood_towards_the_victim() {
    println!("attack 34: {}", demand_bounded(Forged::FewFlows));
}

#[test]
fn attack_41_flows_that_policy_forbids_are_cut_within_a_second() {
    let scene = Scene::new();
    let _tcp = Service::tcp_echo(&scene.lab.agent, 7000);
    let _udp = Service::udp_echo(&scene.lab.agent, 7001, 1);
    scene.agent.publish_in_background(&["tcp", "7000", "--name", "shell"]);
    scene.agent.publish_in_background(&["udp", "7001", "--name", "game"]);
    let closed =
        scene.lab.file("closed.toml", "[defaults]\nvisit = \"closed\"\n").display().to_string();
    let everybody =
        "[[visit]]\nname = \"everybody\"\neffect = \"allow\"\nfrom = [\"any\"]\nto = [\"any\"]\n";
    let open = scene.lab.file("open.toml", everybody).display().to_string();
    scene.relay.bore(&["policy", "apply", &open]).success();
    scene.relay.bore(&["policy", "apply", &closed]).success();
    let mut flow = connect(&scene.lab.visitor, 7000).unwrap();
    let mut colleague = connect(&scene.lab.colleague, 7000).unwrap();
    echo(&mut flow, b"allowed").unwrap();
    echo(&mut colleague, b"allowed").unwrap();
    let socket = udp(&scene.lab.visitor, 7001);
    exchange(&socket, b"allowed").unwrap();

    scene.relay.bore(&["policy", "rm", "open"]).success();
    let removed = Instant::now();
    until("the visitor's flow to be cut", ONE_SECOND, || echo(&mut flow, b"forbidden").err());
    until("the colleague's flow to be cut", ONE_SECOND, || {
        echo(&mut colleague, b"forbidden").err()
    });
    println!("attack 41: cut {:.2?} after the command ended", removed.elapsed());
    until("a second", SOON, || (removed.elapsed() > ONE_SECOND).then_some(()));
    assert_eq!(exchange(&socket, b"forbidden"), None);
    assert!(
        connect(&scene.lab.visitor, 7000).and_then(|mut stream| echo(&mut stream, b"new")).is_err()
    );

    scene.relay.bore(&["policy", "rm", "closed"]).success();
    let mut flow = connect(&scene.lab.visitor, 7000).unwrap();
    echo(&mut flow, b"open again").unwrap();
}

#[test]
fn attack_43_a_relay_out_of_descriptors_pauses_and_recovers_without_a_restart() {
    let lab = Lab::new();
    let mut relay = Relay::init(&lab, &[]);
    relay.run_after("ulimit -n 64");
    let agent = Agent::join(&lab, &relay).knows_hosts(&["app"]);
    let _nginx = Nginx::start(&lab, 3000, lab.path());
    let _tcp = Service::tcp_echo(&lab.agent, 7000);
    agent.publish_in_background(&["http", "3000", "--name", "app"]);
    agent.publish_in_background(&["tcp", "7000", "--name", "shell"]);
    assert_eq!(visit(&lab.visitor, "app.t.test", "/").status, 200);

    let mut held: Vec<TcpStream> =
        (0..100).filter_map(|_| connect(&lab.visitor, 80).ok()).collect();
    held.extend((0..100).filter_map(|_| connect(&lab.visitor, 7000).ok()));
    let pid = relay.process().id();
    let (began, ticks) = (Instant::now(), processor_ticks(pid));
    until("two seconds", SOON, || (began.elapsed() > Duration::from_secs(2)).then_some(()));
    let spent = processor_ticks(pid) - ticks;
    println!("attack 43: {} connections held, {spent} ticks of processor time in 2 s", held.len());
    assert!(spent < 100, "it spins: {spent} ticks in 200");
    assert!(relay.process().is_running());

    drop(held);
    until("the good visitor to be served", SOON, || {
        (visit(&lab.visitor, "app.t.test", "/").status == 200).then_some(())
    });
    until("tcp as well", SOON, || {
        connect(&lab.visitor, 7000).and_then(|mut stream| echo(&mut stream, b"x")).ok()
    });
}

#[test]
fn attack_44_logins_over_dead_sessions_leave_nothing_behind() {
    let mut scene = Scene::new();
    let _tcp = Service::tcp_echo(&scene.lab.agent, 7000);
    scene.agent.publish_in_background(&["tcp", "7000", "--name", "shell"]);
    let mut log_in_again = |times: u32| {
        for _ in 0..times {
            scene.agent.kill();
            scene.agent.start();
        }
        resident_kib(scene.relay.process().id())
    };
    let warm = log_in_again(8);
    let after = log_in_again(Length::pick(24, 60, 300));
    println!("attack 44: relay {warm} KiB, then {after} KiB");
    assert!(after * 100 <= warm * 105 + 200_000, "{warm} KiB grew to {after} KiB");
    until("visitors to be served", SOON * 2, || {
        connect(&scene.lab.visitor, 7000).and_then(|mut stream| echo(&mut stream, b"x")).ok()
    });
}

#[test]
fn attack_46_the_local_api_refuses_web_pages_other_hosts_and_other_users() {
    let scene = Scene::new();
    let socket = scene.agent.state().join("agent.sock").display().to_string();
    let ask = |extra: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            "--unix-socket",
            &socket,
        ]);
        Finished::of({
            curl.args(extra);
            curl
        })
    };
    assert_eq!(ask(&["http://bore/v1/status"]).stdout, "200");
    assert_eq!(
        ask(&["http://bore/v1/status", "--header", "Origin: https://evil.example"]).stdout,
        "403"
    );
    assert_eq!(ask(&["http://evil.example/v1/status"]).stdout, "403");
    assert_eq!(ask(&["http://127.0.0.1/v1/status"]).stdout, "403");
    let body = r#"{"protocol":"tcp","target":"22","lifetime":"session"}"#;
    let planted = ["http://bore/v1/publications", "--data", body, "--header", "Origin: null"];
    assert_eq!(ask(&planted).stdout, "403");
    assert!(scene.relay.list("publications").is_empty());

    let other_user = || {
        let mut curl = Command::new("runuser");
        curl.args([
            "-u",
            "nobody",
            "--",
            "curl",
            "--silent",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
        ]);
        curl.args(["--unix-socket", &socket, "http://bore/v1/status"]);
        Finished::of(curl)
    };
    assert_ne!(other_user().stdout, "200", "the folder is closed");
    // Even where the file system lets everybody in.
    for path in [scene.lab.path(), scene.agent.home(), &scene.agent.state(), socket.as_ref()] {
        fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
    assert_eq!(other_user().stdout, "403");
}

/// A relay and an agent that runs.
struct Scene {
    agent: Agent,
    relay: Relay,
    lab: Lab,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let relay = Relay::start(&lab);
        let agent = Agent::join(&lab, &relay);
        Self { agent, relay, lab }
    }
}

/// How the forged sources differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forged {
    /// Each datagram is the first of its flow.
    NewFlows,
    /// A few flows that look as if their visitor went on speaking.
    FewFlows,
    /// The same, and at the victim something holds these ports and reads nothing.
    SilentVictim,
}

/// Floods an amplifying service in the victim's name, and measures what the victim gets.
fn demand_bounded(forged: Forged) -> String {
    let scene = Scene::new();
    let _amplifier = Service::udp(&scene.lab.agent, 7001, |_| Some(vec![0x41; AMPLIFIED_BYTES]));
    scene.agent.publish_in_background(&["udp", "7001", "--name", "game"]);
    let honest = udp(&scene.lab.visitor, 7001);
    assert_eq!(exchange(&honest, b"hi").unwrap().len(), AMPLIFIED_BYTES);

    let silent = |port| UdpSocket::bind(SocketAddr::new(COLLEAGUE.into(), port)).unwrap();
    let held: Vec<_> = match forged {
        Forged::SilentVictim => scene.lab.colleague.enter(|| FORGED_PORTS.map(silent).collect()),
        Forged::NewFlows | Forged::FewFlows => Vec::new(),
    };
    // The attacker owns the victim's address for its own kernel, and for nobody else.
    scene.lab.visitor.add_address("lo", &format!("{COLLEAGUE}/32"));
    let before = received_bytes(&scene.lab.colleague, "relay");
    let began = Instant::now();
    let sent = flood(&scene.lab.visitor, forged, Duration::from_secs(Length::pick(2, 4, 20)));
    assert!(sent > 1_000, "no flood: {sent}");
    // What the flood left in queues is answered after it.
    until("answers to be refused", SOON, || {
        let refused = scene.relay.metrics().total("bore_ingress_udp_one_sided_refused_total");
        (refused > 0.0).then_some(())
    });
    let received = received_bytes(&scene.lab.colleague, "relay") - before;
    let seconds = began.elapsed().as_secs() + 1;
    let report = format!("{sent} forged datagrams, {received} bytes to the victim in {seconds} s");
    // The budget of one prefix, which is full at first, with the headers of small frames on top.
    assert!(received < (seconds + 1) * 65_536 * 11 / 10, "{report}");
    assert!(exchange(&honest, b"still here?").is_some(), "another prefix is unharmed");
    drop(held);
    report
}

/// Datagrams with the victim's source address, as fast as they can be sent.
fn flood(namespace: &Namespace, forged: Forged, time: Duration) -> u64 {
    let began = Instant::now();
    let send = |socket: &UdpSocket| u64::from(socket.send(b"gimme").is_ok());
    namespace.enter(|| match forged {
        Forged::NewFlows => {
            let ports = (1_024..u16::MAX).cycle().take_while(|_| began.elapsed() < time);
            ports.map(|port| send(&forged_socket(port))).sum()
        }
        Forged::FewFlows | Forged::SilentVictim => {
            let sockets: Vec<UdpSocket> = FORGED_PORTS.map(forged_socket).collect();
            let rounds = std::iter::repeat(()).take_while(|()| began.elapsed() < time);
            rounds.map(|()| sockets.iter().map(send).sum::<u64>()).sum()
        }
    })
}

fn forged_socket(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind(SocketAddr::new(COLLEAGUE.into(), port)).unwrap();
    socket.connect(SocketAddr::new(RELAY.into(), 7001)).unwrap();
    socket
}

fn received_bytes(namespace: &Namespace, interface: &str) -> u64 {
    let mut text = String::new();
    namespace
        .enter(|| fs::File::open("/proc/thread-self/net/dev").unwrap().read_to_string(&mut text))
        .unwrap();
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(&format!("{interface}:")).map(str::to_owned));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap()
}

const AMPLIFIED_BYTES: usize = 1_200;
const FORGED_PORTS: std::ops::Range<u16> = 1_024..1_088;
const ONE_SECOND: Duration = Duration::from_secs(1);
