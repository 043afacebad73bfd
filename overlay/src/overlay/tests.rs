//! Behaviour of `overlay`.

use std::time::Duration;

use super::*;
use crate::api::Received;
use crate::key::PrivateKey;

#[test]
fn every_receiver_index_comes_back() {
    let mut lab = Lab::new();
    for second in 0..500_u32 {
        lab.now += Duration::from_secs(1);
        let (now, [(near, far), (other, back)]) = (lab.now, &mut lab.ends);
        // Handshakes of every outcome: confirmed, crossed, lost on the way there, lost on the way back.
        near.start_handshake(*far, now);
        if second % 3 == 0 {
            other.start_handshake(*back, now);
        }
        lab.talk(second.is_multiple_of(5), second.is_multiple_of(7));
        for (overlay, _) in &lab.ends {
            // Current, previous, an attempt, and candidates.
            assert!(overlay.shared.slots.used() <= 3 + crate::limits::CANDIDATES_MAX);
        }
    }
    for (overlay, peer) in &mut lab.ends {
        overlay.remove_peer(*peer);
        assert_eq!(overlay.shared.slots.used(), 0);
        assert_eq!(overlay.poll_timeout(), None);
    }
}

/// Two overlays that know each other.
struct Lab {
    now: Instant,
    ends: [(Overlay, PeerId); 2],
}

impl Lab {
    fn new() -> Self {
        let now = Instant::now();
        let key = |byte| PrivateKey::from_bytes([byte; 32]);
        let end = |own: u8, other: u8| {
            let mut overlay = Overlay::new(
                Config {
                    private_key: key(own),
                    shard: own,
                    unknown_keys: UnknownKeys::Refuse,
                    identity: None,
                    handshakes_per_second_max: 100,
                    seed: own.into(),
                },
                now,
            );
            let peer = Peer {
                public_key: key(other).public(),
                preshared_key: None,
                endpoint: Some(address(other)),
                persistent_keepalive: Some(25),
                sources: Sources::Relay,
            };
            let id = overlay.add_peer(peer, now).unwrap();
            (overlay, id)
        };
        Self { now, ends: [end(1, 2), end(2, 1)] }
    }

    /// Moves datagrams until there are none; those there or back may be lost.
    fn talk(&mut self, lose_there: bool, lose_back: bool) {
        let mut buffer = [0; 256];
        let now = self.now;
        loop {
            let mut moved = false;
            for (from, lose) in [(0, lose_there), (1, lose_back)] {
                self.ends[from].0.handle_timeout(now);
                while let Some(transmit) = self.ends[from].0.poll_transmit() {
                    moved = true;
                    if !lose {
                        let (to, _) = &mut self.ends[1 - from];
                        let sender = address(if from == 0 { 1 } else { 2 });
                        let received =
                            to.handle_datagram(sender, &transmit.payload, &mut buffer, now);
                        assert!(!matches!(received, Received::Packet { .. }));
                    }
                }
            }
            if !moved {
                return;
            }
        }
    }
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 443))
}
