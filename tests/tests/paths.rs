//! Paths between relay and agent that carry less than most do.

#![expect(
    clippy::unwrap_used,
    reason = "the scene's helpers lie outside the functions that clippy knows as tests"
)]

use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use bore_tests::blob::pour;
use bore_tests::bore::{Agent, Publication, Relay};
use bore_tests::lab::Lab;
use bore_tests::length::Length;
use bore_tests::namespace::Namespace;
use bore_tests::service::{Service, hash_all};
use bore_tests::visitor;
use bore_tests::wait::until;

#[test]
fn trains_leave_with_one_system_call_on_a_path_that_carries_them() {
    let scene = Scene::new();
    scene.upload();
    let metrics = scene.relay.metrics();
    let sends = metrics.total("bore_overlay_segmented_sends_total");
    assert!(sends >= 10.0, "{sends} of {MEBIBYTES} MiB");
    assert_eq!(metrics.total("bore_overlay_segments_lost_total"), 0.0);
    assert_eq!(metrics.total("bore_overlay_segments_refused_total"), 0.0);
}

#[test]
fn a_path_that_begins_to_lose_trains_is_noticed_before_a_visitor_waits_a_second() {
    let scene = Scene::new();
    scene.upload();
    lose_trains(&scene.lab.agent);
    scene.upload();
    let lost = scene.relay.metrics().total("bore_overlay_segments_lost_total");
    assert!(lost >= 1.0, "the relay has noticed nothing");

    let silence = scene.fetch(|| lose_trains(&scene.lab.relay));
    println!("longest silence: {silence:?}");
    assert!(silence < Duration::from_secs(1), "{silence:?}");
}

#[test]
fn a_kernel_that_begins_to_refuse_trains_is_given_single_datagrams() {
    let scene = Scene::new();
    scene.upload();
    scene.lab.relay.nft(&rules("output", "reject"));
    scene.upload();
    let metrics = scene.relay.metrics();
    assert!(metrics.total("bore_overlay_segments_refused_total") >= 1.0);
}

#[test]
fn segmentation_can_be_switched_off() {
    let lab = Lab::new();
    let mut relay = Relay::init(&lab, &[]);
    let text = std::fs::read_to_string(relay.config()).unwrap();
    std::fs::write(relay.config(), format!("overlay_segmentation = false\n{text}")).unwrap();
    relay.run();
    let scene = Scene::of(lab, relay);
    scene.upload();
    assert_eq!(scene.relay.metrics().total("bore_overlay_segmented_sends_total"), 0.0);
}

#[test]
fn twenty_megabytes_pass_each_way_whatever_the_path_carries_by_ipv4() {
    for &mtu in widths() {
        for is_told in [true, false] {
            Scene::on_narrow_path(mtu, false, is_told).passes_both_ways(mtu);
        }
    }
}

#[test]
fn twenty_megabytes_pass_each_way_whatever_the_path_carries_by_ipv6() {
    for &mtu in widths() {
        for is_told in [true, false] {
            Scene::on_narrow_path(mtu, true, is_told).passes_both_ways(mtu);
        }
    }
}

#[test]
fn open_flows_go_on_when_a_path_narrows_without_a_word_and_use_it_when_it_widens() {
    let scene = Scene::on_narrow_path(1_500, false, false);
    assert_eq!(scene.path_mtu(), Some(1_340));
    let silence = scene.fetch(|| set_mtu(&scene.lab, 1_300));
    println!("longest silence: {silence:?}");
    scene.upload();
    assert_eq!(scene.path_mtu(), Some(1_260));

    set_mtu(&scene.lab, 1_500);
    until("the path to be found wider", Duration::from_secs(60), || {
        scene.fetch(|| {});
        (scene.path_mtu() == Some(1_340)).then_some(())
    });
}

/// Links of these widths between relay and agent.
fn widths() -> &'static [usize] {
    Length::pick(&[1_340, 1_280], &WIDTHS, &WIDTHS)
}

/// The cable behind the NAT, seen by the agent's kernel and not by the relay's.
fn set_mtu(lab: &Lab, mtu: usize) {
    let nat = lab.nat.as_ref().unwrap();
    nat.ip(&["link", "set", "agent", "mtu", &mtu.to_string()]);
    lab.agent.ip(&["link", "set", "nat", "mtu", &mtu.to_string()]);
}

/// A second pair of addresses for everything between relay and agent, without translation.
fn add_ipv6(lab: &Lab) {
    let nat = lab.nat.as_ref().unwrap();
    lab.relay.add_address("nat", "2001:db8:198::1/64");
    nat.add_address("relay", "2001:db8:198::2/64");
    nat.add_address("agent", "2001:db8:77::1/64");
    lab.agent.add_address("nat", "2001:db8:77::2/64");
    nat.run("sysctl", &["-qw", "net.ipv6.conf.all.forwarding=1"]);
    lab.relay.set_gateway("2001:db8:198::2".parse().unwrap());
    lab.agent.set_gateway("2001:db8:77::1".parse().unwrap());
}

/// Several datagrams that one system call sent cross these cables as one packet.
fn lose_trains(machine: &Namespace) {
    machine.nft(&rules("input", "drop"));
}

fn rules(hook: &str, verdict: &str) -> String {
    let chain = format!("type filter hook {hook} priority 0;");
    format!(
        "table inet t {{ chain c {{ {chain} udp dport != 53 meta length > 1500 {verdict}; }}; }}"
    )
}

struct Scene {
    _published: Publication,
    _service: Service,
    agent: Agent,
    relay: Relay,
    lab: Lab,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let relay = Relay::start(&lab);
        Self::of(lab, relay)
    }

    fn of(lab: Lab, relay: Relay) -> Self {
        let agent = Agent::join(&lab, &relay);
        let service = Service::tcp(&lab.agent, PORT, serve);
        let published = agent.publish(&["tcp", &PORT.to_string()]);
        relay.wait_for_state(published.name(), "live");
        Self { _published: published, _service: service, agent, relay, lab }
    }

    /// The path between relay and agent has a link in its middle that carries packets of `mtu` bytes; routers tell of longer ones, or do not.
    fn on_narrow_path(mtu: usize, is_ipv6: bool, is_told: bool) -> Self {
        let lab = Lab::with_nat();
        set_mtu(&lab, mtu);
        if !is_told {
            lab.nat.as_ref().unwrap().nft(SILENT_ROUTER);
        }
        let mut relay = if is_ipv6 {
            add_ipv6(&lab);
            Relay::init_at(&lab, "2001:db8:198::1", &[])
        } else {
            Relay::init(&lab, &[])
        };
        relay.run();
        Self::of(lab, relay)
    }

    fn passes_both_ways(&self, mtu: usize) {
        self.upload();
        self.fetch(|| {});
        let checks = self.agent.bore(&["doctor"]).events("check");
        let check = checks.iter().find(|check| check["name"] == "mtu").unwrap();
        let path_mtu = self.path_mtu().unwrap();
        assert!(path_mtu <= mtu && path_mtu + 100 > mtu.min(1_340), "{path_mtu} of {mtu}");
        assert!(check["detail"].as_str().unwrap().contains(&path_mtu.to_string()), "{check}");
    }

    fn path_mtu(&self) -> Option<usize> {
        let status = self.agent.bore(&["status"]).success().event("status");
        status.get("path_mtu_bytes")?.as_u64().and_then(|bytes| usize::try_from(bytes).ok())
    }

    /// Sends [`MEBIBYTES`] to the service, which must have received them unchanged.
    fn upload(&self) {
        let mut stream = visitor::connect(&self.lab.visitor, PORT).unwrap();
        stream.write_all(b"u").unwrap();
        let hash = pour(MEBIBYTES, &mut stream).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, hash);
    }

    /// Receives [`MEBIBYTES`] unchanged, and does `midway` when a third of it has come. Gives the longest time in which nothing came.
    fn fetch(&self, midway: impl FnOnce()) -> Duration {
        let mut stream = visitor::connect(&self.lab.visitor, PORT).unwrap();
        stream.write_all(b"d").unwrap();
        let mut watched = Watched::new(stream, midway);
        let hash = hash_all(&mut watched);
        assert_eq!(hash, pour(MEBIBYTES, &mut std::io::sink()).unwrap());
        watched.longest
    }
}

/// A stream that measures how long it is silent.
struct Watched<F> {
    stream: TcpStream,
    received: u64,
    midway: Option<F>,
    heard: Instant,
    longest: Duration,
}

impl<F: FnOnce()> Watched<F> {
    fn new(stream: TcpStream, midway: F) -> Self {
        let (received, longest) = (0, Duration::ZERO);
        Self { stream, received, midway: Some(midway), heard: Instant::now(), longest }
    }
}

impl<F: FnOnce()> Read for Watched<F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.longest = self.longest.max(self.heard.elapsed());
        self.received += count as u64;
        if self.received > u64::from(MEBIBYTES) << 18 {
            self.midway.take().into_iter().for_each(|midway| midway());
        }
        self.heard = Instant::now();
        Ok(count)
    }
}

/// Takes everything and tells its hash, or gives [`MEBIBYTES`].
fn serve(mut stream: TcpStream) {
    let mut order = [0];
    let served = match stream.read_exact(&mut order).map(|()| order) {
        Ok([b'u']) => stream.write_all(hash_all(&mut stream.try_clone().unwrap()).as_bytes()),
        Ok(_) => pour(MEBIBYTES, &mut stream).map(drop),
        Err(error) => Err(error),
    };
    // A visitor that has gone is served no more.
    drop(served);
}

const WIDTHS: [usize; 5] = [1_500, 1_400, 1_340, 1_300, 1_280];
const SILENT_ROUTER: &str = "table inet s { chain o { type filter hook output priority 0;
    icmp type destination-unreachable drop; icmpv6 type packet-too-big drop; }; }";
const PORT: u16 = 7000;
const MEBIBYTES: u32 = 20;
