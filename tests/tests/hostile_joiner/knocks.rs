//! At the overlay's socket: handshakes with keys that no node has or that others have, replays, and what is no handshake.

use std::net::UdpSocket;

use bore_overlay::PublicKey;
use bore_tests::attempts::Attempt;
use bore_tests::overlay_end::OverlayEnd;

use super::scene::{SILENCE, Scene, fresh_key, public_key_of};
use bore_tests::overlay_end::handshake::{Claim, cookie};

pub(crate) const ATTEMPTS: [Attempt<Scene>; 21] = [
    Attempt {
        name: "a handshake with a key of one's own, to show what the others would be answered",
        make: |scene| {
            let key = *fresh_key().expose_bytes();
            claim(scene, |relay| Claim::honest(key, relay))
        },
        expected: "cookie, response",
    },
    Attempt {
        name: "a handshake with the zero key",
        make: |scene| claim(scene, |_| Claim::of_small_order([0; 32])),
        expected: "cookie, silence",
    },
    Attempt {
        name: "a handshake with the point of order 4",
        make: |scene| claim(scene, |_| Claim::of_small_order(little(1))),
        expected: "cookie, silence",
    },
    Attempt {
        name: "a handshake with a point of order 8",
        make: |scene| claim(scene, |_| Claim::of_small_order(ORDER_8)),
        expected: "cookie, silence",
    },
    Attempt {
        name: "a handshake with the other point of order 8",
        make: |scene| claim(scene, |_| Claim::of_small_order(OTHER_ORDER_8)),
        expected: "cookie, silence",
    },
    Attempt {
        name: "a handshake with minus one",
        make: |scene| claim(scene, |_| Claim::of_small_order(prime(-1))),
        expected: "cookie, silence",
    },
    Attempt {
        name: "a handshake with the prime, another zero",
        make: |scene| claim(scene, |_| Claim::of_small_order(prime(0))),
        expected: "cookie, silence",
    },
    Attempt {
        name: "a handshake with one more than the prime",
        make: |scene| claim(scene, |_| Claim::of_small_order(prime(1))),
        expected: "cookie, silence",
    },
    Attempt {
        name: "a handshake with the second spelling of a good key",
        make: |scene| {
            let key = *fresh_key().expose_bytes();
            claim(scene, |relay| {
                let mut claim = Claim::honest(key, relay);
                claim.public_key[31] |= 0x80;
                claim
            })
        },
        expected: "cookie, silence",
    },
    Attempt {
        name: "a handshake with the relay's own key",
        make: |scene| {
            let own = scene.relay_end.key.0;
            claim(scene, |_| Claim { public_key: own, shared: rand::random() })
        },
        expected: "cookie, silence",
    },
    Attempt {
        name: "a handshake with the honest agent's public key",
        make: |scene| {
            let theirs = public_key_of(&scene.relay, "nas").0;
            claim(scene, |_| Claim { public_key: theirs, shared: rand::random() })
        },
        expected: "silence",
    },
    Attempt {
        name: "a handshake for another relay's key",
        make: |scene| {
            let other = fresh_key().public();
            knock(scene, &other, |relay| Claim::honest(rand::random(), relay))
        },
        expected: "silence",
    },
    Attempt {
        name: "a proof of another address",
        make: proof_of_another_address,
        expected: "cookie",
    },
    Attempt {
        name: "a good handshake again from another address",
        make: replayed_handshake,
        expected: "cookie",
    },
    Attempt {
        name: "a good handshake again from the same address",
        make: repeated_handshake,
        expected: "silence",
    },
    Attempt {
        name: "a handshake with each of its bits turned",
        make: turned_bits,
        expected: "silence",
    },
    Attempt {
        name: "a tunnel's datagram from another address with a bit turned",
        make: turned_transport,
        expected: "silence",
    },
    Attempt {
        name: "every first byte, in lengths from nothing to the longest",
        make: garbage,
        expected: "no more out than in",
    },
    Attempt {
        name: "1,000 questions for the relay's identity",
        make: |scene| {
            let question = [&[0xB2, 2, 0, 0][..], &[7; 8], &[0; 148]].concat();
            bytes_out(scene, &vec![question; 1_000])
        },
        expected: "no more out than in",
    },
    Attempt {
        name: "a question for the relay's identity that is shorter than the answer",
        make: |scene| {
            let socket = scene.socket();
            answer_to(scene, &socket, &[&[0xB2, 2, 0, 0][..], &[7; 8]].concat())
        },
        expected: "silence",
    },
    Attempt {
        name: "1,000 datagrams of sessions that never were",
        make: |scene| {
            let datagrams: Vec<Vec<u8>> = (0..1_000_u32)
                .map(|index| [&[4, 0, 0, 0][..], &index.to_le_bytes(), &[1; 40]].concat())
                .collect();
            bytes_out(scene, &datagrams)
        },
        expected: "no more out than in",
    },
];

/// Sends a first message, and a second one with the cookie that the first was answered with.
fn claim(scene: &mut Scene, claim: impl Fn(&PublicKey) -> Claim) -> String {
    let relay = scene.relay_end.key;
    knock(scene, &relay, claim)
}

fn knock(scene: &mut Scene, relay: &PublicKey, claim: impl Fn(&PublicKey) -> Claim) -> String {
    let socket = scene.socket();
    let claim = claim(relay);
    let first = claim.initiation(relay, None);
    let Some(answer) = answer(scene, &socket, &first) else { return "silence".to_owned() };
    let Some(cookie) = cookie(relay, &first, &answer) else { return kind(&answer) };
    let second = claim.initiation(relay, Some(cookie));
    let outcome = answer_to(scene, &socket, &second);
    format!("cookie, {outcome}")
}

fn proof_of_another_address(scene: &mut Scene) -> String {
    let (here, there) = (scene.socket(), scene.socket());
    let relay = scene.relay_end.key;
    let claim = Claim::honest(rand::random(), &relay);
    let first = claim.initiation(&relay, None);
    let cookie = cookie(&relay, &first, &answer(scene, &here, &first).unwrap()).unwrap();
    answer_to(scene, &there, &claim.initiation(&relay, Some(cookie)))
}

fn replayed_handshake(scene: &mut Scene) -> String {
    let (here, there) = (scene.socket(), scene.socket());
    let good = good_handshake(scene, &here);
    answer_to(scene, &there, &good)
}

fn repeated_handshake(scene: &mut Scene) -> String {
    let here = scene.socket();
    let good = good_handshake(scene, &here);
    answer_to(scene, &here, &good)
}

/// A first message with a proof of its address, which was answered.
fn good_handshake(scene: &Scene, here: &UdpSocket) -> Vec<u8> {
    let relay = scene.relay_end.key;
    let claim = Claim::honest(rand::random(), &relay);
    let first = claim.initiation(&relay, None);
    let cookie = cookie(&relay, &first, &answer(scene, here, &first).unwrap()).unwrap();
    let good = claim.initiation(&relay, Some(cookie));
    assert_eq!(answer_to(scene, here, &good), "response");
    good
}

fn turned_bits(scene: &mut Scene) -> String {
    let here = scene.socket();
    let good = good_handshake(scene, &here);
    for bit in (0..good.len() * 8).step_by(7) {
        let mut turned = good.clone();
        turned[bit / 8] ^= 1 << (bit % 8);
        here.send_to(&turned, scene.relay_end.address).unwrap();
    }
    let mut answered = Vec::new();
    let mut buffer = [0; 2_048];
    while let Ok((count, _)) = here.recv_from(&mut buffer) {
        answered.push(kind(&buffer[..count]));
    }
    // A cookie is for a caller that knows the relay's key and has not proved its address: what a turned proof says.
    answered.retain(|kind| kind != "cookie");
    answered.pop().unwrap_or_else(|| "silence".to_owned())
}

fn turned_transport(scene: &mut Scene) -> String {
    let mut stranger: OverlayEnd = scene.stranger();
    let mut sealed = stranger.sealed(&[0x60; 64]);
    *sealed.last_mut().unwrap() ^= 1;
    let elsewhere = scene.socket();
    answer_to(scene, &elsewhere, &sealed)
}

fn garbage(scene: &mut Scene) -> String {
    let lengths = [0, 1, 3, 4, 12, 31, 32, 64, 92, 148, 149, 160, 1_280, 1_472, 9_000, 65_507];
    let datagrams: Vec<Vec<u8>> = (0..=255_u8)
        .flat_map(|first| lengths.map(|length| vec![first; length]))
        .filter(|datagram| datagram.len() < 2_000 || datagram[0] < 8)
        .collect();
    bytes_out(scene, &datagrams)
}

/// Compares what one address sent with what it was answered.
fn bytes_out(scene: &mut Scene, datagrams: &[Vec<u8>]) -> String {
    let socket = scene.socket();
    let (mut sent, mut received, mut buffer) = (0, 0, [0; 65_536]);
    for datagram in datagrams {
        sent += socket.send_to(datagram, scene.relay_end.address).unwrap_or_default();
    }
    while let Ok((count, _)) = socket.recv_from(&mut buffer) {
        received += count;
    }
    if received <= sent {
        "no more out than in".to_owned()
    } else {
        format!("{sent} in, {received} out")
    }
}

fn answer_to(scene: &Scene, socket: &UdpSocket, datagram: &[u8]) -> String {
    answer(scene, socket, datagram).map_or_else(|| "silence".to_owned(), |answer| kind(&answer))
}

fn answer(scene: &Scene, socket: &UdpSocket, datagram: &[u8]) -> Option<Vec<u8>> {
    let mut buffer = [0; 2_048];
    socket.send_to(datagram, scene.relay_end.address).unwrap();
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    let (count, _) = socket.recv_from(&mut buffer).ok()?;
    Some(buffer[..count].to_vec())
}

fn kind(datagram: &[u8]) -> String {
    match (datagram.first(), datagram.len()) {
        (Some(2), 92) => "response".to_owned(),
        (Some(3), 64) => "cookie".to_owned(),
        (first, length) => format!("{first:?} of {length} bytes"),
    }
}

fn little(byte: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = byte;
    bytes
}

/// 2^255 - 19, and a little more or less.
fn prime(more: i8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    (bytes[0], bytes[31]) = (0xed_u8.wrapping_add_signed(more), 0x7f);
    bytes
}

/// The points of order 8 of Curve25519, as https://cr.yp.to/ecdh.html lists them.
const ORDER_8: [u8; 32] = [
    0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
    0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
];
const OTHER_ORDER_8: [u8; 32] = [
    0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
    0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
];
