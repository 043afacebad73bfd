//! Inside the tunnel, packet by packet: sources that are others', ports that are none, pieces of nothing, and storms.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bore_tests::attempts::Attempt;
use bore_tests::overlay_end::packet::{
    self, ACK, FIN, RST, SYN, Segment, TCP, UDP, fragment, ping, ports_and_flags, udp, unreachable,
};

use super::scene::{Node, Scene, api_v4};

pub(crate) const ATTEMPTS: [Attempt<Scene>; 42] = [
    Attempt {
        name: "a call to the relay's API, to show what the others would be answered",
        make: |scene| {
            let call = Segment::syn(scene.node.source(1_000), api_v4()).packet();
            answer(scene, &[call])
        },
        expected: "SYN-ACK",
    },
    // Sources.
    Attempt {
        name: "the honest agent's IPv4 address",
        make: |scene| {
            let nas = nas_v4(scene);
            from(scene, nas)
        },
        expected: "silence",
    },
    Attempt {
        name: "the honest agent's IPv6 address",
        make: |scene| {
            let nas = nas_v6(scene);
            from(scene, nas)
        },
        expected: "silence",
    },
    Attempt {
        name: "the relay's own IPv4 address",
        make: |scene| from(scene, api_v4().ip()),
        expected: "silence",
    },
    Attempt {
        name: "the relay's own IPv6 address",
        make: |scene| {
            let relay = scene.node.relay_v6;
            from(scene, relay.into())
        },
        expected: "silence",
    },
    Attempt {
        name: "an overlay address of nobody's",
        make: |scene| from(scene, v4([100, 64, 9, 9])),
        expected: "silence",
    },
    Attempt {
        name: "a visitor's address",
        make: |scene| from(scene, v4([203, 0, 113, 7])),
        expected: "silence",
    },
    Attempt {
        name: "loopback",
        make: |scene| from(scene, v4([127, 0, 0, 1])),
        expected: "silence",
    },
    Attempt { name: "nothing", make: |scene| from(scene, v4([0, 0, 0, 0])), expected: "silence" },
    Attempt {
        name: "everybody",
        make: |scene| from(scene, v4([255, 255, 255, 255])),
        expected: "silence",
    },
    Attempt {
        name: "a group of hosts",
        make: |scene| from(scene, v4([224, 0, 0, 1])),
        expected: "silence",
    },
    Attempt {
        name: "IPv6 loopback",
        make: |scene| from(scene, "::1".parse().unwrap()),
        expected: "silence",
    },
    Attempt {
        name: "its IPv4 address in IPv6's clothes",
        make: |scene| {
            let own = scene.node.v4.to_ipv6_mapped();
            from(scene, own.into())
        },
        expected: "silence",
    },
    Attempt {
        name: "the garden's joiner at the API",
        make: |scene| from(scene, bore_overlay::GARDEN_JOINER.into()),
        expected: "silence",
    },
    Attempt {
        name: "the path's probe address",
        make: |scene| from(scene, "fe80::b07e".parse().unwrap()),
        expected: "silence",
    },
    // Destinations.
    Attempt {
        name: "every other TCP port of the relay",
        make: |scene| {
            let own = scene.node.source(1_000);
            let ports = (1..=2_048).chain([3306, 5432, 6379, 7000, 7400, 7401, 7402, 8080]);
            let call = |port| Segment::syn(own, SocketAddr::new(api_v4().ip(), port)).packet();
            answer(scene, &ports.filter(|port| *port != 80).map(call).collect::<Vec<_>>())
        },
        expected: "RST",
    },
    Attempt {
        name: "every UDP port of the relay",
        make: |scene| {
            let own = scene.node.source(1_000);
            let call = |port| udp(own, SocketAddr::new(api_v4().ip(), port), b"hello");
            answer(scene, &(1..=2_048).map(call).collect::<Vec<_>>())
        },
        expected: "ICMP",
    },
    Attempt {
        name: "the honest agent by IPv4",
        make: |scene| {
            let nas = nas_v4(scene);
            to(scene, nas)
        },
        expected: "RST|silence",
    },
    Attempt {
        name: "the honest agent by IPv6",
        make: |scene| {
            let nas = nas_v6(scene);
            to(scene, nas)
        },
        expected: "RST|silence",
    },
    Attempt {
        name: "an echo request to the honest agent",
        make: |scene| {
            let nas = nas_v4(scene);
            let ping = ping(scene.node.v4.into(), nas);
            answer(scene, &[ping])
        },
        expected: "silence",
    },
    Attempt {
        name: "a visitor",
        make: |scene| to(scene, v4([203, 0, 113, 7])),
        expected: "RST|silence",
    },
    Attempt {
        name: "the relay's own machine",
        make: |scene| to(scene, v4([127, 0, 0, 1])),
        expected: "silence",
    },
    Attempt {
        name: "a cloud's metadata",
        make: |scene| to(scene, v4([169, 254, 169, 254])),
        expected: "RST|silence",
    },
    // Pieces.
    Attempt {
        name: "fragments that overlap",
        make: |scene| {
            pieces(
                scene,
                &[(0, true, 1_000), (496, true, 1_000), (8, false, 8), (1_000, false, 64)],
            )
        },
        expected: "silence|ICMP",
    },
    Attempt {
        name: "a fragment that goes beyond the longest datagram",
        make: |scene| pieces(scene, &[(0, true, 1_000), (65_528, false, 1_000)]),
        expected: "silence",
    },
    Attempt {
        name: "a last fragment twice, each with another end",
        make: |scene| pieces(scene, &[(800, false, 8), (400, false, 8), (0, true, 400)]),
        expected: "silence|ICMP",
    },
    Attempt {
        name: "8,000 pieces of eight bytes",
        make: |scene| {
            let every_other: Vec<_> =
                (0..8_000).map(|piece| ((piece % 4_000) * 16, true, 8)).collect();
            pieces(scene, &every_other)
        },
        expected: "silence|ICMP",
    },
    Attempt {
        name: "10,000 first pieces of datagrams that never end",
        make: |scene| {
            let (from, to) = (scene.node.v4.into(), api_v4().ip());
            let first = |number: u16| {
                let mut piece = fragment(from, to, UDP, (0, true), &[0; 1_200]);
                piece[4..6].copy_from_slice(&number.to_be_bytes());
                piece
            };
            answer(scene, &(0..10_000).map(first).collect::<Vec<_>>())
        },
        expected: "silence",
    },
    Attempt {
        name: "a call in fragments",
        make: |scene| {
            let (from, to) = (scene.node.v4.into(), api_v4().ip());
            let call = Segment::syn(scene.node.source(1_000), api_v4()).packet();
            let pieces = [((0, true), &call[20..28]), ((8, false), &call[28..])];
            let pieces = pieces.map(|(at, payload)| fragment(from, to, TCP, at, payload));
            answer(scene, &pieces)
        },
        expected: "silence",
    },
    Attempt {
        name: "datagrams of 65,507 bytes to nobody",
        make: |scene| {
            let (own, to) = (scene.node.source(1_000), SocketAddr::new(api_v4().ip(), 9));
            let whole = udp(own, to, &[0x5a; 65_507]);
            let packets: Vec<_> = whole[20..]
                .chunks(1_232)
                .enumerate()
                .map(|(number, piece)| {
                    let offset = u16::try_from(number * 1_232).unwrap();
                    let more = usize::from(offset) + piece.len() < whole.len() - 20;
                    fragment(own.ip(), to.ip(), UDP, (offset, more), piece)
                })
                .collect();
            answer(scene, &vec![packets; 10].concat())
        },
        expected: "ICMP|silence",
    },
    // Segments that contradict themselves.
    Attempt {
        name: "every length of header and option",
        make: |scene| {
            let call = Segment::syn(scene.node.source(1_000), api_v4()).packet();
            let packets = (0..16_u8).flat_map(|words| {
                let mut wrong = call.clone();
                wrong[32] = words << 4;
                let mut short = call.clone();
                short[0] = 0x40 | words;
                [wrong, short]
            });
            answer(scene, &packets.collect::<Vec<_>>())
        },
        expected: "SYN-ACK",
    },
    Attempt {
        name: "options without end, of no length, and of every kind",
        make: |scene| {
            let source = scene.node.source(1_000);
            let calls = (0..=255_u8).flat_map(|kind| {
                (0..=40_u8).step_by(5).map(move |length| {
                    let options = [&[kind, length][..], &[0xff; 38]].concat();
                    Segment {
                        options: &options,
                        ..Segment::syn(source, SocketAddr::new(api_v4().ip(), 81))
                    }
                    .packet()
                })
            });
            answer(scene, &calls.collect::<Vec<_>>())
        },
        expected: "RST|silence",
    },
    Attempt {
        name: "port 0 on either side",
        make: |scene| {
            let (own, none) = (scene.node.source(1_000), SocketAddr::new(api_v4().ip(), 0));
            let calls = [
                Segment::syn(own, none).packet(),
                Segment::syn(scene.node.source(0), api_v4()).packet(),
            ];
            answer(scene, &calls)
        },
        expected: "silence",
    },
    Attempt {
        name: "what is no packet, of every length",
        make: |scene| {
            let packets = (1..=1_280_usize).map(|length| vec![0x45; length]);
            let sixes = (1..=1_280_usize).map(|length| vec![0x60; length]);
            answer(scene, &packets.chain(sixes).collect::<Vec<_>>())
        },
        expected: "silence",
    },
    // Storms.
    Attempt {
        name: "10,000 calls that are never finished",
        make: |scene| storm(scene, call),
        expected: "the API answers",
    },
    Attempt {
        name: "10,000 resets",
        make: |scene| {
            storm(scene, |own, number| Segment {
                flags: RST,
                sequence: u32::from(number) << 16,
                ..call(own, number)
            })
        },
        expected: "the API answers",
    },
    Attempt {
        name: "10,000 segments of every kind",
        make: |scene| {
            storm(scene, |own, number| {
                let flags = [ACK, FIN | ACK, SYN | ACK, SYN | FIN, 0, 0xff, RST | ACK]
                    [usize::from(number) % 7];
                Segment { flags, payload: &[7; 64], ..call(own, number % 64) }
            })
        },
        expected: "the API answers",
    },
    Attempt {
        name: "10,000 messages that the relay's datagrams did not arrive",
        make: |scene| {
            let (own, nas) = (scene.node.v4.into(), nas_v4(scene));
            let quoted = udp(SocketAddr::new(api_v4().ip(), 5), SocketAddr::new(nas, 1_025), b"x");
            let message = unreachable(own, api_v4().ip(), &quoted);
            answer(scene, &vec![message; 10_000])
        },
        expected: "silence",
    },
    // Connections whose other end lies.
    Attempt {
        name: "60 answers that are asked for and never read",
        make: |scene| lying_flows(&mut scene.node, 3_000..3_060, 0),
        expected: "60 taken",
    },
    Attempt {
        name: "the largest window that can be claimed, and nothing acknowledged",
        make: |scene| lying_flows(&mut scene.node, 3_100..3_104, u16::MAX),
        expected: "4 taken",
    },
    Attempt {
        name: "acknowledgments of what was never sent",
        make: |scene| {
            let own = scene.node.source(3_200);
            let sequence = handshake(&mut scene.node, own, u16::MAX).unwrap();
            for number in 0..2_000_u32 {
                let acknowledgment = sequence.wrapping_add(number << 18);
                let segment = Segment {
                    sequence: 1_001,
                    acknowledgment,
                    flags: ACK,
                    ..Segment::syn(own, api_v4())
                };
                scene.node.end.send(&segment.packet());
            }
            let end = Segment { flags: RST, sequence: 1_001, ..Segment::syn(own, api_v4()) };
            scene.node.end.send(&end.packet());
            scene.node.get("/v1/nodes/self")
        },
        expected: "200",
    },
    Attempt {
        name: "answers to probes of the path that were never asked",
        make: |scene| {
            let address: IpAddr = "fe80::b07e".parse().unwrap();
            for round in 0..5_000_u32 {
                let answer =
                    [&[1, u8::try_from(round % 8).unwrap(), 0, 0][..], &round.to_be_bytes()]
                        .concat();
                let mut packet = packet::ip(address, address, 253, &answer);
                packet[7] = 1;
                scene.node.end.send(&packet);
            }
            scene.node.get("/v1/nodes/self")
        },
        expected: "200",
    },
];

/// What packets are answered with: a SYN-ACK if there is one, else the kind of the first answer.
fn answer(scene: &mut Scene, packets: &[Vec<u8>]) -> String {
    scene.node.end.packets(Duration::from_millis(20));
    let mut answers = pour(&mut scene.node, packets.iter().cloned());
    answers.extend(scene.node.end.packets(super::SILENCE));
    answers.iter().for_each(|packet| hang_up(&mut scene.node, packet));
    let is_probe = |packet: &Vec<u8>| packet.get(6) == Some(&253);
    let kinds: Vec<String> =
        answers.iter().filter(|packet| !is_probe(packet)).map(|packet| kind(packet)).collect();
    let taken = kinds.iter().find(|kind| *kind == "SYN-ACK");
    taken.or_else(|| kinds.first()).cloned().unwrap_or_else(|| "silence".to_owned())
}

/// Ends what an answer has opened: it would be repeated, and hold one of the node's places.
fn hang_up(node: &mut Node, answer: &[u8]) {
    let Some((from, to, _)) = ports_and_flags(answer).filter(|_| kind(answer) == "SYN-ACK") else {
        return;
    };
    let is_v4 = answer[0] >> 4 == 4;
    let (ours, theirs): (IpAddr, IpAddr) = if is_v4 {
        (node.v4.into(), api_v4().ip())
    } else {
        (node.v6.into(), node.relay_v6.into())
    };
    let acknowledged = *answer[if is_v4 { 28 } else { 48 }..].first_chunk().unwrap();
    let call = Segment::syn(SocketAddr::new(ours, to), SocketAddr::new(theirs, from));
    let end = Segment { flags: RST, sequence: u32::from_be_bytes(acknowledged), ..call };
    node.end.send(&end.packet());
}

/// Sends packets no faster than the relay's socket has room for them, and returns what came meanwhile.
fn pour(node: &mut Node, packets: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    for (number, packet) in packets.enumerate() {
        node.end.send(&packet);
        if number % 128 == 127 {
            answers.extend(node.end.packets(Duration::from_millis(1)));
        }
    }
    answers
}

fn kind(packet: &[u8]) -> String {
    let is_v4 = packet[0] >> 4 == 4;
    match packet[if is_v4 { 9 } else { 6 }] {
        TCP => match ports_and_flags(packet).unwrap().2 {
            flags if flags == SYN | ACK => "SYN-ACK".to_owned(),
            flags if flags & RST != 0 => "RST".to_owned(),
            flags => format!("TCP with flags {flags:#x}"),
        },
        1 | 58 => "ICMP".to_owned(),
        _ => format!("{packet:02x?}"),
    }
}

/// A call to the API in another node's name.
fn from(scene: &mut Scene, source: IpAddr) -> String {
    let api = if source.is_ipv4() { api_v4() } else { scene.node.api_v6() };
    let call = Segment::syn(SocketAddr::new(source, 1_000), api).packet();
    answer(scene, &[call, ping(source, api.ip())])
}

/// Calls to one address.
fn to(scene: &mut Scene, destination: IpAddr) -> String {
    let own = if destination.is_ipv4() { scene.node.v4.into() } else { scene.node.v6.into() };
    let ports = [1, 22, 80, 443, 1_024, 1_025, 7_000, 7_400];
    let calls = ports.map(|port| {
        Segment::syn(SocketAddr::new(own, 1_000), SocketAddr::new(destination, port)).packet()
    });
    answer(scene, &calls)
}

/// Fragments of one datagram: offset, whether more follow, length.
fn pieces(scene: &mut Scene, pieces: &[(u16, bool, usize)]) -> String {
    let (from, to) = (scene.node.v4.into(), api_v4().ip());
    let packets = pieces
        .iter()
        .map(|(offset, more, bytes)| fragment(from, to, UDP, (*offset, *more), &vec![0; *bytes]));
    answer(scene, &packets.collect::<Vec<_>>())
}

/// 10,000 segments, and then a question as any agent asks it.
fn storm(scene: &mut Scene, segment: impl Fn(IpAddr, u16) -> Segment<'static>) -> String {
    let own = scene.node.v4.into();
    let reset = |number: u16| Segment { flags: RST, sequence: 1_001, ..call(own, number) };
    pour(&mut scene.node, (0..10_000).map(|number| segment(own, number).packet()));
    // What was taken of it takes the node's own places at the door.
    pour(&mut scene.node, (0..10_000).map(|number| reset(number).packet()));
    let outcomes = (0..20).map(|_| scene.node.get("/v1/nodes/self")).collect::<Vec<_>>();
    match outcomes.iter().any(|outcome| outcome == "200") {
        true => "the API answers".to_owned(),
        false => format!("the API: {outcomes:?}"),
    }
}

fn call(own: IpAddr, number: u16) -> Segment<'static> {
    Segment::syn(SocketAddr::new(own, 1_024 + number), api_v4())
}

/// A connection made by hand: the relay's first sequence number.
fn handshake(node: &mut Node, own: SocketAddr, window: u16) -> Option<u32> {
    let scale = [3, 3, 14, 1];
    let call = Segment { window, options: &scale, ..Segment::syn(own, api_v4()) };
    node.end.send(&call.packet());
    let is_taken = |packet: &[u8]| {
        let to_us = ports_and_flags(packet).is_some_and(|(_, to, _)| to == own.port());
        to_us && kind(packet) == "SYN-ACK"
    };
    let taken = node.end.packet(Duration::from_millis(500), is_taken)?;
    let sequence = u32::from_be_bytes(*taken.get(24..)?.first_chunk()?).wrapping_add(1);
    let taken = Segment { sequence: 1_001, acknowledgment: sequence, flags: ACK, ..call };
    node.end.send(&taken.packet());
    Some(sequence)
}

/// Asks for answers on connections of its own with this window, says nothing more for a while, and lets go; how many were taken.
fn lying_flows(node: &mut Node, ports: std::ops::Range<u16>, window: u16) -> String {
    let question = b"GET /v1/nodes/self HTTP/1.1\r\nHost: 100.64.0.1\r\n\r\n".repeat(20);
    let mut taken = Vec::new();
    for port in ports {
        let own = node.source(port);
        let Some(acknowledgment) = handshake(node, own, window) else { continue };
        let said = Segment {
            sequence: 1_001,
            acknowledgment,
            flags: ACK,
            window,
            ..Segment::syn(own, api_v4())
        };
        node.end.send(&Segment { payload: &question, ..said.clone() }.packet());
        taken.push(said);
    }
    node.end.packets(Duration::from_millis(500));
    let after = 1_001 + u32::try_from(question.len()).unwrap();
    for said in &taken {
        node.end.send(&Segment { flags: RST, sequence: after, ..said.clone() }.packet());
    }
    format!("{} taken", taken.len())
}

fn nas_v4(scene: &Scene) -> IpAddr {
    scene.nas()["overlay_v4"].as_str().unwrap().parse().unwrap()
}

fn nas_v6(scene: &Scene) -> IpAddr {
    scene.nas()["overlay_v6"].as_str().unwrap().parse().unwrap()
}

fn v4(octets: [u8; 4]) -> IpAddr {
    Ipv4Addr::from(octets).into()
}
