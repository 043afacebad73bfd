//! `bore publish udp` with real services.
#![expect(
    clippy::unwrap_used,
    reason = "the scene's helpers lie outside the functions that clippy knows as tests"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use bore_tests::bore::{Agent, Publication, Relay};
use bore_tests::lab::{Lab, RELAY, RELAY_V6, VISITOR};
use bore_tests::namespace::Namespace;
use bore_tests::origins::Bind9;
use bore_tests::process::Process;
use bore_tests::service::Service;
use bore_tests::visitor::{exchange, udp, udp_to};
use bore_tests::wait::{SOON, until};

#[test]
fn a_name_server_answers_through_its_public_port() {
    let scene = Scene::new();
    let _named = Bind9::start(&scene.lab, 53);
    let published = scene.publish(&["53", "--port", "5353"]);
    scene.relay.wait_for_state(published.name(), "live");

    let server = format!("@{RELAY}");
    let arguments = ["-p", "5353", &server, "+short", "+tries=3", "+time=2", "lobby.game.test"];
    assert_eq!(scene.lab.visitor.run("dig", &arguments).trim(), "192.0.2.77");
}

#[test]
fn datagrams_of_every_size_come_back_unchanged() {
    let scene = Scene::new();
    let _echo = Service::udp_echo(&scene.lab.agent, 7777, 1);
    let _published = scene.publish(&["7777"]);
    let v4 = udp(&scene.lab.visitor, 7777);
    let v6 = udp_to(&scene.lab.visitor, SocketAddr::new(RELAY_V6.into(), 7777));
    let packets = (0..=1_500_usize).chain((1_500..=9_100).step_by(97));
    let largest = [9_000, 16_384, 32_768, 65_000, 65_506, 65_507];
    for size in packets.chain(largest) {
        let payload: Vec<u8> = (1..=u8::MAX).cycle().skip(size % 251).take(size).collect();
        let sockets: &[_] = if size > 1_200 { &[&v4, &v6] } else { &[[&v4, &v6][size % 2]] };
        for socket in sockets {
            let to = socket.peer_addr().unwrap();
            assert_eq!(exchange(socket, &payload), Some(payload.clone()), "{size} bytes, {to}");
        }
    }
}

/// A service in a network of its own behind the agent, and IPv6 all the way.
#[test]
fn large_datagrams_reach_services_on_ipv6() {
    let scene = Scene::new();
    let _echo = Service::udp_echo(&scene.lab.agent, 7777, 1);
    let _published = scene.publish(&["[::1]:7777", "--port", "7777"]);
    let v6 = udp_to(&scene.lab.visitor, SocketAddr::new(RELAY_V6.into(), 7777));
    for size in [0, 1_232, 1_452, 9_000, 65_507, 65_527] {
        let payload = vec![b'l'; size];
        assert_eq!(exchange(&v6, &payload), Some(payload), "{size} bytes");
    }
}

/// What a WireGuard server behind bore needs: its packets of 1,420 bytes leave as datagrams of 1,452.
#[test]
fn wireguard_at_its_usual_mtu_works_through_a_publication() {
    let scene = Scene::new();
    let server = Wireguard::start(&scene.lab, &scene.lab.agent, "10.9.0.1/24");
    let client = Wireguard::start(&scene.lab, &scene.lab.visitor, "10.9.0.2/24");
    server.set(&["listen-port", "51820", "peer", &client.public, "allowed-ips", "10.9.0.2/32"]);
    let _published = scene.publish(&["51820"]);
    let relay = format!("{RELAY}:51820");
    client.set(&["peer", &server.public, "endpoint", &relay, "allowed-ips", "10.9.0.1/32"]);
    let ping = |size: &str| {
        let arguments = ["-c", "1", "-W", "1", "-M", "do", "-s", size, "10.9.0.1"];
        scene.lab.visitor.command("ping").args(arguments).output().unwrap().status.success()
    };
    for inner in [84, 1_000, 1_420] {
        until("an echo", SOON, || ping(&(inner - 28).to_string()).then_some(()));
    }
    assert!(!ping("1400"), "its own MTU is 1,420");
}

#[test]
fn answers_come_from_the_address_that_was_asked() {
    let scene = Scene::new();
    let second = Ipv4Addr::new(203, 0, 113, 99);
    scene.lab.relay.add_address("visitor", &format!("{second}/24"));
    let _echo = Service::udp_echo(&scene.lab.agent, 7777, 1);
    let published = scene.publish(&["7777"]);
    scene.relay.wait_for_state(published.name(), "live");
    let socket = scene.lab.visitor.enter(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    let answered_by = |asked: Ipv4Addr| {
        until("an answer", SOON, || {
            socket.send_to(&asked.octets(), (asked, 7777)).ok()?;
            let mut answer = [0; 4];
            let (_, from) = socket.recv_from(&mut answer).ok()?;
            (answer == asked.octets()).then_some(from.ip())
        })
    };
    for asked in [second, RELAY, second, RELAY] {
        assert_eq!(answered_by(asked), IpAddr::from(asked));
    }
    let of_socket = || {
        let port = format!(":{}", socket.local_addr().unwrap().port());
        let flows = scene.relay.list("flows");
        flows.iter().filter(|flow| flow["visitor"].as_str().unwrap().ends_with(&port)).count()
    };
    assert_eq!(of_socket(), 2);

    scene.lab.relay.ip(&["addr", "del", &format!("{second}/24"), "dev", "visitor"]);
    assert_eq!(answered_by(RELAY), IpAddr::from(RELAY));
}

/// A camera: its viewer asks once and then says nothing.
#[test]
fn a_stream_to_a_visitor_whom_the_allow_list_names_is_not_cut() {
    let scene = Scene::new();
    let camera = scene.lab.agent.enter(|| UdpSocket::bind("127.0.0.1:5600")).unwrap();
    let published = scene.publish(&["5600", "--allow", "203.0.113.0/24"]);
    scene.relay.wait_for_state(published.name(), "live");
    let viewer = udp(&scene.lab.visitor, 5600);
    camera.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    let to = until("the viewer", SOON, || {
        viewer.send(b"play").ok()?;
        camera.recv_from(&mut [0; 16]).ok()
    });
    let mut received = 0;
    for _ in 0..FRAMES {
        camera.send_to(&[7; 1_000], to.1).unwrap();
        // One after the other, so that no queue on the way is too short.
        received += usize::from(viewer.recv(&mut [0; 2_000]).is_ok());
    }
    assert!(received > FRAMES * 9 / 10, "{received} of {FRAMES}");
}

/// More than the budget of visitors of whom nothing is known.
const FRAMES: usize = 400;

#[test]
fn a_sender_follows_a_target_that_moved_to_another_address() {
    moves(|agent| {
        agent.ip(&["addr", "del", "10.99.0.2/32", "dev", "lo"]);
        agent.ip(&["route", "add", "unreachable", "10.99.0.2"]);
    });
}

#[test]
fn a_sender_follows_a_target_whose_former_address_is_silent() {
    moves(|agent| {
        agent.nft("table ip gone { chain in { type filter hook input priority 0; ip daddr 10.99.0.2 drop; }; }");
    });
}

fn moves(leave: impl Fn(&Namespace)) {
    let scene = Scene::new();
    let agent = &scene.lab.agent;
    for address in ["10.99.0.2/32", "10.99.0.3/32"] {
        agent.add_address("lo", address);
    }
    agent.set_hosts(&[("svc.test", "10.99.0.2".parse().unwrap())]);
    let echo = |address: &str| {
        let socket = agent.enter(|| UdpSocket::bind((address, 7400))).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        socket
    };
    let (here, there) = (echo("10.99.0.2"), echo("10.99.0.3"));
    let published = scene.publish(&["svc.test:7400", "--port", "7400"]);
    scene.relay.wait_for_state(published.name(), "live");
    let sender = udp(&scene.lab.visitor, 7400);
    let arrives = |service: &UdpSocket| {
        sender.send(b"position").ok()?;
        service.recv_from(&mut [0; 16]).ok()
    };
    let (_, from) = until("a datagram here", SOON, || arrives(&here));
    here.send_to(b"seen", from).unwrap();

    agent.set_hosts(&[("svc.test", "10.99.0.3".parse().unwrap())]);
    leave(agent);
    drop(here);
    until("a datagram there", SOON * 3, || arrives(&there));
}

#[test]
fn every_port_of_a_range_leads_to_its_own() {
    let scene = Scene::new();
    let _echo = Service::udp_echo(&scene.lab.agent, 27000, 51);
    let published = scene.publish(&["27000-27050"]);
    assert_eq!(published.url(), format!("udp://{RELAY}:27000-27050"));
    for port in 27000..=27050_u16 {
        let payload = port.to_be_bytes();
        assert_eq!(exchange(&udp(&scene.lab.visitor, port), &payload), Some(payload.to_vec()));
    }
}

#[test]
fn many_visitors_get_their_own_answers() {
    let scene = Scene::new();
    let _echo = Service::udp_echo(&scene.lab.agent, 7777, 1);
    let _published = scene.publish(&["7777"]);
    let visitors: Vec<_> = (0..100).map(|_| udp(&scene.lab.visitor, 7777)).collect();
    for _ in 0..3 {
        for (number, socket) in visitors.iter().enumerate() {
            let payload = number.to_be_bytes();
            assert_eq!(exchange(socket, &payload), Some(payload.to_vec()));
        }
    }
    let flows = scene.relay.list("flows");
    let of_visitor = |flow: &&serde_json::Value| {
        flow["visitor"].as_str().unwrap().starts_with(&format!("{VISITOR}:"))
    };
    assert_eq!(flows.iter().filter(of_visitor).count(), visitors.len());
}

#[test]
fn a_flood_of_visitors_takes_neither_the_place_of_one_that_stays_nor_of_another_publication() {
    let scene = Scene::new();
    let _echoes = [7000, 7001].map(|port| Service::udp_echo(&scene.lab.agent, port, 1));
    let _published = ["7000", "7001"].map(|port| scene.publish(&[port]));
    let stays = udp(&scene.lab.visitor, 7000);
    for payload in [b"one", b"two"] {
        assert_eq!(exchange(&stays, payload), Some(payload.to_vec()));
    }
    // As many as come from forged addresses, and more than an agent has room for.
    let flood: Vec<UdpSocket> = (0..2_200).map(|_| udp(&scene.lab.visitor, 7000)).collect();
    for socket in &flood {
        socket.send(b"flood").unwrap();
    }
    until("the flood to arrive", SOON, || {
        let status = scene.agent.bore(&["status"]).event("status");
        let count = |name: &str| status["counters"][name].as_u64().unwrap_or(0);
        let came = count("udp_flows_opened") + count("udp_flows_refused_by_limit");
        (came > 2_000).then_some(())
    });
    for port in [7000, 7001] {
        let newcomer = udp(&scene.lab.visitor, port);
        assert_eq!(exchange(&newcomer, b"new"), Some(b"new".to_vec()), "at {port}");
    }
    assert_eq!(exchange(&stays, b"three"), Some(b"three".to_vec()));
}

#[test]
fn an_allowed_network_gets_through_and_everybody_else_is_refused_and_counted() {
    let scene = Scene::new();
    let _echo = Service::udp_echo(&scene.lab.agent, 7777, 1);
    let mut published = scene.publish(&["7777", "--allow", "10.0.0.0/8"]);

    let notes = published.published()["access_notes"].to_string();
    assert!(notes.contains("10.0.0.0/8") && notes.contains("nobody else"), "{notes}");
    assert!(notes.contains("overlay"), "a private range is explained: {notes}");
    scene.relay.wait_for_state(published.name(), "live");

    assert_eq!(exchange(&udp(&scene.lab.colleague, 7777), b"hi"), Some(b"hi".to_vec()));
    let denied_before = scene.relay.metrics().total("bore_ingress_visitors_denied_total");
    assert_eq!(exchange(&udp(&scene.lab.visitor, 7777), b"hi"), None);
    let denied = scene.relay.metrics().total("bore_ingress_visitors_denied_total");
    assert!(denied > denied_before, "{denied_before} then {denied}");
    assert!(published.process().is_running());
}

#[test]
fn a_silent_service_is_live_and_called_silent() {
    let scene = Scene::new();
    let _silent = Service::udp_silent(&scene.lab.agent, 7778);
    let published = scene.publish(&["7778"]);
    let view = scene.relay.wait_for_state(published.name(), "live");
    assert_eq!(view["state"]["cause"], "service silent");
}

#[test]
fn a_service_that_starts_later_is_found() {
    let scene = Scene::new();
    let published = scene.publish(&["7779"]);
    let socket = udp(&scene.lab.visitor, 7779);
    assert_eq!(exchange(&socket, b"anybody?"), None);
    let _echo = Service::udp_echo(&scene.lab.agent, 7779, 1);
    until("an answer", SOON * 3, || exchange(&socket, b"now?"));
    assert_eq!(
        scene.relay.wait_for_state_within(SOON * 3, published.name(), "live")["name"],
        published.name()
    );
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

    fn publish(&self, arguments: &[&str]) -> Publication {
        self.agent.publish(&[&["udp"], arguments].concat())
    }
}

/// wireguard-go with a device of its own that belongs to no bore.
struct Wireguard {
    device: String,
    public: String,
    namespace: Namespace,
    _process: Process,
}

impl Wireguard {
    fn start(lab: &Lab, namespace: &Namespace, address: &str) -> Self {
        let device = format!("wg{}{}", &namespace.label()[..1], std::process::id());
        let mut command = namespace.command("wireguard-go");
        command.args(["--foreground", &device]).env("LOG_LEVEL", "error");
        let process = Process::start("wireguard-go", command);
        let private = namespace.run("wg", &["genkey"]);
        let file = lab.file(&format!("{device}.key"), private.trim());
        let show = || namespace.command("wg").args(["show", &device]).output();
        until("the device", SOON, || show().ok()?.status.success().then_some(()));
        namespace.run("wg", &["set", &device, "private-key", &file.display().to_string()]);
        namespace.add_address(&device, address);
        namespace.ip(&["link", "set", &device, "mtu", "1420", "up"]);
        let public = namespace.run("wg", &["show", &device, "public-key"]).trim().to_owned();
        Self { device, public, namespace: namespace.clone(), _process: process }
    }

    fn set(&self, arguments: &[&str]) {
        self.namespace.run("wg", &[&["set", &self.device], arguments].concat());
    }
}
