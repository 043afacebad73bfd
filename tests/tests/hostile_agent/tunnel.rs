//! Around the tunnel itself: handshakes without end, replays, addresses that are not its own, and two machines with one key.

use std::net::Ipv4Addr;
use std::time::Duration;

use bore_tests::attempts::Attempt;
use bore_tests::lab::COLLEAGUE;
use bore_tests::overlay_end::OverlayEnd;
use bore_tests::overlay_end::handshake::Claim;
use bore_tests::overlay_end::packet::{Segment, ping};

use super::scene::{Scene, api_v4};

pub(crate) const ATTEMPTS: [Attempt<Scene>; 8] = [
    Attempt {
        name: "2,000 handshakes with its own key",
        make: |scene| {
            let relay = scene.relay_end;
            let claim = Claim::honest(*scene.private_key.expose_bytes(), &relay.key);
            for number in 0..2_000 {
                scene.node.end.send_datagram(relay.address, &claim.initiation(&relay.key, None));
                if number % 64 == 0 {
                    scene.node.end.turn();
                }
            }
            answered(scene)
        },
        expected: "the API answers",
    },
    Attempt {
        name: "one datagram of the tunnel 1,000 times",
        make: |scene| {
            let ping = ping(scene.node.v4.into(), api_v4().ip());
            let sealed = scene.node.end.sealed(&ping);
            for _ in 0..1_000 {
                scene.node.end.send_datagram(scene.relay_end.address, &sealed);
            }
            format!("{} answers", scene.node.end.packets(super::SILENCE).len())
        },
        expected: "1 answers",
    },
    Attempt {
        name: "20,000 datagrams that name its session and are not sealed by it",
        make: |scene| {
            let ping = ping(scene.node.v4.into(), api_v4().ip());
            let mut sealed = scene.node.end.sealed(&ping);
            for number in 0..20_000_u64 {
                sealed.splice(8..16, number.to_le_bytes());
                scene.node.end.send_datagram(scene.relay_end.address, &sealed);
            }
            answered(scene)
        },
        expected: "the API answers",
    },
    Attempt {
        name: "5,000 words that the relay has lost a session",
        make: |scene| {
            for _ in 0..5_000 {
                let reset = [&[0xB2, 1, 0, 0][..], &rand::random::<[u8; 8]>()].concat();
                scene.node.end.send_datagram(scene.relay_end.address, &reset);
            }
            answered(scene)
        },
        expected: "the API answers",
    },
    Attempt {
        name: "from one address to the next, 40 times",
        make: |scene| {
            let outcomes: Vec<String> = (0..40)
                .map(|number| {
                    let last = 3 + number % 16;
                    scene.node.end.move_to(&scene.machine, Ipv4Addr::new(198, 18, 5, last));
                    scene.node.get("/v1/nodes/self")
                })
                .collect();
            let good = outcomes.iter().filter(|outcome| *outcome == "200").count();
            format!("{good} answers")
        },
        expected: "40 answers",
    },
    Attempt {
        name: "from the address of somebody who knows nothing of it",
        make: |scene| {
            scene.machine.add_address("lo", &format!("{COLLEAGUE}/32"));
            scene.node.end.move_to(&scene.machine, COLLEAGUE);
            let ping = ping(scene.node.v4.into(), api_v4().ip());
            scene.node.end.send(&ping);
            let heard = scene.node.end.packets(super::SILENCE).len();
            scene.machine.ip(&["address", "del", &format!("{COLLEAGUE}/32"), "dev", "lo"]);
            scene.node.end.move_to(&scene.machine, Ipv4Addr::new(198, 18, 5, 2));
            format!("{heard} heard, then {}", answered(scene))
        },
        expected: "0 heard, then the API answers",
    },
    Attempt {
        name: "a second machine with its key, and both at once",
        make: |scene| {
            let from = Ipv4Addr::new(198, 18, 5, 19);
            let key = scene.private_key.clone();
            let mut other = OverlayEnd::knock(&scene.machine, from, scene.relay_end, key).unwrap();
            let ping = ping(scene.node.v4.into(), api_v4().ip());
            for _ in 0..500 {
                other.send(&ping);
                scene.node.end.send(&ping);
                other.turn();
            }
            drop(other);
            scene.node.end.start_handshake();
            answered(scene)
        },
        expected: "the API answers",
    },
    Attempt {
        name: "a tunnel with another key beside its own, for the node's address",
        make: |scene| {
            let from = Ipv4Addr::new(198, 18, 5, 18);
            let key = bore_overlay::PrivateKey::generate(&mut rand::rng());
            let mut other = OverlayEnd::knock(&scene.machine, from, scene.relay_end, key).unwrap();
            other.send(&Segment::syn(scene.node.source(4_001), api_v4()).packet());
            format!("{} heard", other.packets(super::SILENCE).len())
        },
        expected: "0 heard",
    },
];

/// Whether the node's own questions are answered again, within a time in which a session is made anew.
fn answered(scene: &mut Scene) -> String {
    scene.node.end.packets(Duration::from_millis(50));
    let outcome = (0..5).map(|_| scene.node.get("/v1/nodes/self")).find(|outcome| outcome == "200");
    match outcome {
        Some(_) => "the API answers".to_owned(),
        None => "the API does not answer".to_owned(),
    }
}
