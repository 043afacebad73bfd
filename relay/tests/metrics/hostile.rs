//! What strangers send: datagrams of every kind, a tunnel that carries what it must not, more handshakes than there may be.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use bore_overlay::{
    Config, Encapsulated, Overlay, Peer, PeerId, PrivateKey, PublicKey, Sources, UnknownKeys,
};

use super::relay_lab::Lab;

/// Datagrams that need no key.
pub(crate) fn datagrams(relay: SocketAddr) {
    let socket = socket();
    let send = |bytes: &[u8]| assert_eq!(socket.send_to(bytes, relay).unwrap(), bytes.len());
    send(&[&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat());
    for kind in [0xb0, 0xb1, 0xb2, 0x40, 0x90] {
        send(&[kind, 9, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }
    for (kind, length) in [(1, 148), (2, 92), (3, 64), (4, 64)] {
        let message = [&[kind, 0, 0, 0][..], &vec![5; length - 4]].concat();
        send(&message);
        send(&message[..length - 1]);
    }
    send(&[&[0xb2, 1, 0, 0][..], &[9; 8]].concat());
    send(&[&[0xb2, 3, 0, 0][..], &[9; 104]].concat());
    // As many as the kernel keeps for the relay while it is busy.
    for _ in 0..100 {
        send(&[&[0xb2, 2, 0, 0][..], &[9; 156]].concat());
        send(&[&[4, 0, 0, 0][..], &[5; 60]].concat());
    }
}

/// A stranger's tunnel, by hand.
struct Tunnel {
    socket: UdpSocket,
    overlay: Overlay,
    relay: PeerId,
    at: SocketAddr,
}

impl Tunnel {
    fn new(relay: PublicKey, at: SocketAddr) -> Self {
        let config = Config {
            private_key: PrivateKey::generate(&mut rand::rng()),
            shard: 0,
            unknown_keys: UnknownKeys::Refuse,
            identity: None,
            handshakes_per_second_max: 1000,
            seed: rand::random(),
        };
        let now = Instant::now();
        let mut overlay = Overlay::new(config, now);
        let peer = Peer {
            public_key: relay,
            preshared_key: None,
            endpoint: Some(at),
            persistent_keepalive: None,
            sources: Sources::Relay,
        };
        let relay = overlay.add_peer(peer, now).unwrap();
        overlay.start_handshake(relay, now);
        Self { socket: socket(), overlay, relay, at }
    }

    /// Sends what waits, and gives it out.
    fn flush(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        while let Some(transmit) = self.overlay.poll_transmit() {
            self.socket.send_to(&transmit.payload, self.at).unwrap();
            sent.push(transmit.payload);
        }
        sent
    }

    /// Takes one datagram of the relay's.
    fn receive(&mut self) {
        let (mut datagram, mut plain) = ([0; 2048], [0; 2048]);
        let (length, from) = self.socket.recv_from(&mut datagram).unwrap();
        self.overlay.handle_datagram(from, &datagram[..length], &mut plain, Instant::now());
        self.flush();
    }

    /// Goes on until there is a session: a relay under load asks for a cookie first.
    fn come_up(&mut self) {
        let keep = udp([0; 16], [0; 16], 0, 0);
        while self.sealed(&keep).is_none() {
            self.receive();
            self.overlay.handle_timeout(Instant::now() + RETRY_DUE);
            self.flush();
        }
    }

    fn sealed(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = [0; 2048];
        match self.overlay.encapsulate(self.relay, packet, &mut sealed, Instant::now()) {
            Encapsulated::Datagram { payload, .. } => Some(payload.to_vec()),
            Encapsulated::NoSession | Encapsulated::Unknown => None,
        }
    }

    fn send(&mut self, packet: &[u8]) -> Vec<u8> {
        let datagram = self.sealed(packet).unwrap();
        self.socket.send_to(&datagram, self.at).unwrap();
        datagram
    }
}

/// A stranger in the walled garden that does all that it must not.
pub(crate) async fn stranger(lab: &Lab) {
    let (relay, at) = relay_key(lab).await;
    let work = move || {
        let mut tunnel = Tunnel::new(relay, at);
        let initiation = tunnel.flush().remove(0);
        tunnel.come_up();
        tunnel.socket.send_to(&initiation, at).unwrap();
        let joiner: [u8; 16] = bore_overlay::GARDEN_JOINER.octets();
        let garden: [u8; 16] = bore_overlay::GARDEN_RELAY.octets();
        let elsewhere = Ipv4Addr::new(100, 64, 0, 1).to_ipv6_mapped().octets();
        let to_port = |port: u16| udp(joiner, garden, 5, port);
        for packet in [
            vec![0x60; 30],
            vec![0x45; 10],
            to_port(81),
            udp(joiner, elsewhere, 5, 80),
            udp([0xff; 16], garden, 5, 80),
            udp([0xfd; 16], garden, 5, 80),
            udp(joiner, [0; 16], 5, 80),
            tcp(joiner, garden, 0),
            tcp(joiner, garden, 80),
            fragment(joiner, garden),
            echo_request(joiner, garden),
        ] {
            tunnel.send(&packet);
        }
        let good = tunnel.send(&to_port(80));
        tunnel.socket.send_to(&good, at).unwrap();
        let mut torn = tunnel.sealed(&to_port(80)).unwrap();
        *torn.last_mut().unwrap() ^= 1;
        tunnel.socket.send_to(&torn, at).unwrap();
        // The relay answers in order: once this is answered, all before it was seen.
        tunnel.send(&tcp(joiner, garden, 80));
        tunnel.receive();
    };
    tokio::task::spawn_blocking(work).await.unwrap();
}

/// Handshakes of new keys, more than the garden holds and than the relay answers.
pub(crate) async fn flood(lab: &Lab) {
    let (relay, at) = relay_key(lab).await;
    let work = move || {
        let mut held = Vec::new();
        for round in 0..400 {
            let mut tunnel = Tunnel::new(relay, at);
            tunnel.flush();
            held.push(tunnel);
            if round < 40 {
                let last = held.last_mut().unwrap();
                last.socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                let mut datagram = [0; 2048];
                if let Ok((length, from)) = last.socket.recv_from(&mut datagram) {
                    let mut plain = [0; 2048];
                    let now = Instant::now();
                    last.overlay.handle_datagram(from, &datagram[..length], &mut plain, now);
                    last.flush();
                }
            }
        }
    };
    tokio::task::spawn_blocking(work).await.unwrap();
}

async fn relay_key(lab: &Lab) -> (PublicKey, SocketAddr) {
    let (shard, mut events) = super::relay_lab::bare_shard();
    let (at, cluster) = (lab.at().overlay, lab.join_key().await.cluster);
    shard.run(move |local| async move { local.request_identity(at, cluster) }).await.unwrap();
    let key = super::relay_lab::until(&mut events, |event| match event {
        bore_overlay::Event::RelayIdentity { key, .. } => Some(*key),
        _ => None,
    })
    .await;
    shard.stop().await;
    (key, at)
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

fn ipv6(next: u8, from: [u8; 16], to: [u8; 16], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0x60, 0, 0, 0][..], &length, &[next, 64], &from, &to, payload].concat()
}

fn udp(from: [u8; 16], to: [u8; 16], source: u16, port: u16) -> Vec<u8> {
    let payload = [source.to_be_bytes(), port.to_be_bytes(), [0, 8], [1, 1]].concat();
    ipv6(17, from, to, &payload)
}

/// A segment that belongs to no connection, with a checksum that is wrong.
fn tcp(from: [u8; 16], to: [u8; 16], port: u16) -> Vec<u8> {
    let mut segment = vec![0; 20];
    segment[..4].copy_from_slice(&[[0, 9], port.to_be_bytes()].concat());
    segment[12..14].copy_from_slice(&[0x50, 0x10]);
    let sum = checksum(from, to, 6, &segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    ipv6(6, from, to, &segment)
}

fn echo_request(from: [u8; 16], to: [u8; 16]) -> Vec<u8> {
    let mut message = vec![128, 0, 0, 0, 0, 1, 0, 1];
    let sum = checksum(from, to, 58, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv6(58, from, to, &message)
}

/// Of TCP, which has no business in pieces.
fn fragment(from: [u8; 16], to: [u8; 16]) -> Vec<u8> {
    ipv6(44, from, to, &[6, 0, 0, 1, 0, 0, 0, 7, 0, 5, 0, 80, 0, 8, 1, 1])
}

/// RFC 1071 over the pseudo-header of RFC 8200 section 8.1.
fn checksum(from: [u8; 16], to: [u8; 16], next: u8, payload: &[u8]) -> u16 {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let bytes = [&from[..], &to, &length, &[0, 0, 0, next], payload].concat();
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()
}

/// An initiation that was not answered is sent again after 5 s (WireGuard paper section 6.4); here at once.
const RETRY_DUE: Duration = Duration::from_secs(6);
