//! A tunnel with a key that never joined: inside it there is one door, and nothing else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bore_overlay::{GARDEN_JOINER, GARDEN_PORT, GARDEN_RELAY};
use bore_tests::attempts::Attempt;
use bore_tests::overlay_end::packet::{
    self, ACK, FIN, RST, SYN, Segment, TCP, UDP, ping, ports_and_flags, udp,
};

use super::scene::{Scene, ask, body, door, post, request};

pub(crate) const ATTEMPTS: [Attempt<Scene>; 19] = [
    Attempt {
        name: "a call at the door, to show what the others would be answered",
        make: |scene| answer(scene, &[Segment::syn(joiner(1_000), door()).packet()]),
        expected: "SYN-ACK",
    },
    Attempt {
        name: "every other port of the garden",
        make: |scene| {
            let ports = (1..=1_024).chain([7400, 7401, 7402, u16::MAX]);
            let calls = ports.filter(|port| *port != GARDEN_PORT);
            let call = |port| Segment::syn(joiner(1_000), relay(port)).packet();
            answer(scene, &calls.map(call).collect::<Vec<_>>())
        },
        expected: "silence",
    },
    Attempt {
        name: "the relay's API by IPv4 under the first node's address",
        make: |scene| {
            let from = SocketAddr::from((Ipv4Addr::new(100, 64, 0, 2), 1_000));
            answer(scene, &[Segment::syn(from, api_v4()).packet()])
        },
        expected: "silence",
    },
    Attempt {
        name: "the relay's API by IPv6 under the honest agent's address",
        make: |scene| {
            let (agent, api) = (overlay_v6(scene, "nas"), api_v6(scene));
            answer(scene, &[Segment::syn(SocketAddr::new(agent, 1_000), api).packet()])
        },
        expected: "silence",
    },
    Attempt {
        name: "the relay's API by IPv6 under the garden's address",
        make: |scene| {
            let api = api_v6(scene);
            answer(scene, &[Segment::syn(joiner(1_000), api).packet()])
        },
        expected: "silence",
    },
    Attempt {
        name: "the honest agent's service and its probes",
        make: |scene| {
            let agent = overlay_v6(scene, "nas");
            let calls = [1, 1_024]
                .map(|port| Segment::syn(joiner(1_000), SocketAddr::new(agent, port)).packet());
            answer(scene, &calls)
        },
        expected: "silence",
    },
    Attempt {
        name: "the door under the relay's own address",
        make: |scene| answer(scene, &[Segment::syn(relay(1_000), door()).packet()]),
        expected: "silence",
    },
    Attempt {
        name: "the door under a visitor's address",
        make: |scene| {
            let from: SocketAddr = "[2001:db8:113::7]:1000".parse().unwrap();
            answer(scene, &[Segment::syn(from, door()).packet()])
        },
        expected: "silence",
    },
    Attempt {
        name: "an echo request",
        make: |scene| answer(scene, &[ping(GARDEN_JOINER.into(), GARDEN_RELAY.into())]),
        expected: "silence",
    },
    Attempt {
        name: "a datagram to the door",
        make: |scene| answer(scene, &[udp(joiner(1_000), door(), b"hello")]),
        expected: "silence",
    },
    Attempt {
        name: "a call in fragments",
        make: |scene| {
            let call = Segment::syn(joiner(1_000), door()).packet();
            let (first, rest) = call[40..].split_at(8);
            let piece = |at, payload: &[u8]| {
                packet::fragment(GARDEN_JOINER.into(), GARDEN_RELAY.into(), TCP, at, payload)
            };
            answer(scene, &[piece((0, true), first), piece((8, false), rest)])
        },
        expected: "silence",
    },
    Attempt {
        name: "5,000 first fragments of datagrams that never end",
        make: |scene| {
            let piece = |number: u32| {
                let payload = [&number.to_be_bytes()[..], &[0; 1_000]].concat();
                let (from, to) = (GARDEN_JOINER.into(), GARDEN_RELAY.into());
                packet::fragment(from, to, UDP, (0, true), &payload)
            };
            answer(scene, &(0..5_000).map(piece).collect::<Vec<_>>())
        },
        expected: "silence",
    },
    Attempt {
        name: "a call behind extension headers",
        make: |scene| {
            let call = Segment::syn(joiner(1_000), door()).packet();
            let chain = [&[0, 0, 0, 0, 0, 0, 0, 0].repeat(32), &call[40..]].concat();
            answer(scene, &[packet::ip(GARDEN_JOINER.into(), GARDEN_RELAY.into(), 0, &chain)])
        },
        expected: "silence",
    },
    Attempt {
        name: "what is no packet",
        make: |scene| {
            let packets = (0..=255_u8).map(|byte| vec![byte; usize::from(byte) + 1]);
            answer(scene, &packets.collect::<Vec<_>>())
        },
        expected: "silence",
    },
    Attempt {
        name: "segments of connections that never were",
        make: |scene| {
            let flags = [ACK, FIN, RST, SYN | FIN, SYN | RST, SYN | ACK, 0, 0xff];
            let segment = |(number, flags): (u16, u8)| {
                Segment { flags, ..Segment::syn(joiner(2_000 + number), door()) }.packet()
            };
            let segments = (0..4_000).map(|number| (number, flags[usize::from(number) % 8]));
            let answered = answer(scene, &segments.map(segment).collect::<Vec<_>>());
            if answered == "RST" { "no more than resets".to_owned() } else { answered }
        },
        expected: "no more than resets|silence",
    },
    Attempt {
        name: "20,000 calls that are never finished, while another joiner knocks",
        make: |scene| {
            let mut flooder = scene.stranger();
            let mut other = scene.stranger();
            for number in 0..20_000_u16 {
                flooder.send(&Segment::syn(joiner(1_024 + number), door()).packet());
            }
            let guess = body(&super::scene::with_secret(&scene.good, [1; 20]), "x");
            ask(&mut other, &post(&guess)).outcome()
        },
        expected: "403 B3103",
    },
    Attempt {
        name: "more connections at the door than one stranger may have",
        make: |scene| {
            let mut stranger = scene.stranger();
            let held: Vec<_> = (0..10)
                .filter_map(|_| stranger.connect(GARDEN_JOINER.into(), door()).ok())
                .collect();
            format!("{} held", held.len())
        },
        expected: "4 held",
    },
    Attempt {
        name: "a body that comes byte by byte, until the garden closes",
        make: |scene| {
            let mut stranger = scene.stranger();
            let flow = stranger.connect(GARDEN_JOINER.into(), door()).unwrap();
            let head = request("POST", "/v1/join", SLOW_LINES);
            stranger.write(&flow, head.as_bytes(), Duration::from_secs(1));
            for _ in 0..66 {
                stranger.write(&flow, b" ", Duration::from_millis(1));
                stranger.wait(Duration::from_millis(240), |_| None::<()>);
            }
            let (heard, _) = stranger.read(&flow, Duration::from_millis(100), |_| false);
            format!("{} bytes", heard.len())
        },
        expected: "0 bytes",
    },
    Attempt {
        name: "another stranger at the door meanwhile",
        make: |scene| scene.say(request("GET", "/v1/join", "").as_bytes()),
        expected: "405 B2112",
    },
];

/// What a stranger's packets are answered with, as the flags of the first TCP answer or the number of others.
fn answer(scene: &mut Scene, packets: &[Vec<u8>]) -> String {
    let mut stranger = scene.stranger();
    packets.iter().for_each(|packet| stranger.send(packet));
    let answers = stranger.packets(super::scene::SILENCE);
    match answers.first() {
        None => "silence".to_owned(),
        Some(first) if first.get(6) == Some(&TCP) => match ports_and_flags(first).unwrap().2 {
            flags if flags == SYN | ACK => "SYN-ACK".to_owned(),
            flags if flags & RST != 0 => "RST".to_owned(),
            flags => format!("TCP with flags {flags:#x}"),
        },
        Some(first) => format!("{} packets, as {first:02x?}", answers.len()),
    }
}

fn overlay_v6(scene: &Scene, node: &str) -> IpAddr {
    let nodes = scene.relay.list("nodes");
    let node = nodes.into_iter().find(|view| view["name"] == node).unwrap();
    node["overlay_v6"].as_str().unwrap().parse().unwrap()
}

fn api_v4() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(100, 64, 0, 1), 80))
}

fn api_v6(scene: &Scene) -> SocketAddr {
    let address = bore_overlay::overlay_v6(scene.good.network, &scene.relay_end.key);
    SocketAddr::new(address.into(), 80)
}

fn joiner(port: u16) -> SocketAddr {
    SocketAddr::new(GARDEN_JOINER.into(), port)
}

fn relay(port: u16) -> SocketAddr {
    SocketAddr::new(GARDEN_RELAY.into(), port)
}

const SLOW_LINES: &str = "Content-Type: application/json\r\nContent-Length: 2000\r\n";
