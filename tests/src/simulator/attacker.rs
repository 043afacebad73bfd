//! Somebody on the way, who knows no key: he sees every datagram, sends copies, changed copies, and may be quicker than the network.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::Rng;

use super::flows::host_of;
use super::network::{Datagram, corrupt};
use super::world::World;

impl World {
    /// Sends datagrams that were delivered before, exactly as they were, from here or there.
    pub(super) fn replay(&mut self, count: usize) {
        for _ in 0..count {
            let Some(datagram) = self.pick_captured() else { return };
            self.count("replays");
            self.inject(datagram);
        }
    }

    /// Sends changed copies of what was delivered or is in the air.
    pub(super) fn mutate(&mut self, count: usize) {
        for _ in 0..count {
            let in_the_air = self.network.pick(&mut self.random);
            let picked = in_the_air.filter(|_| self.random.random());
            let Some(mut datagram) = picked.or_else(|| self.pick_captured()) else { return };
            self.change(&mut datagram);
            self.count("mutations");
            self.inject(datagram);
        }
    }

    /// Sends a copy of a datagram of a node's so that it arrives first, from an address of his own. What is authentic counts: the relay
    /// may answer there until the node sends again.
    pub(super) fn overtake(&mut self, node: usize) {
        self.call_control(node);
        let Some(mut datagram) = self.network.last_from(host_of(node)) else { return };
        self.count("overtakings");
        self.disturb(node);
        datagram.from = ATTACKER;
        self.network.inject(datagram, self.now);
    }

    fn pick_captured(&mut self) -> Option<Datagram> {
        let log = if self.random.random() { &self.captured } else { &self.captured_handshakes };
        let position = self.random.random_range(0..log.len().max(1));
        log.get(position).cloned()
    }

    /// Flips bits, cuts or lengthens.
    fn change(&mut self, datagram: &mut Datagram) {
        let random = &mut self.random;
        match random.random_range(0..10) {
            0 => {
                datagram.bytes.truncate(random.random_range(0..datagram.bytes.len().max(1)));
                datagram.origin.is_pristine = false;
            }
            1 => {
                datagram.bytes.extend(0..random.random_range(1..64));
                datagram.origin.is_pristine = false;
            }
            _ => (0..random.random_range(1..4)).for_each(|_| corrupt(datagram, random)),
        }
    }

    /// From his own address, from the true one, or from that of another datagram's sender.
    fn inject(&mut self, mut datagram: Datagram) {
        match self.random.random_range(0..3) {
            0 => datagram.from = ATTACKER,
            1 => {
                if let Some(other) = self.pick_captured() {
                    datagram.from = other.from;
                }
            }
            _ => {}
        }
        let later = Duration::from_millis(self.random.random_range(0..200));
        self.network.inject(datagram, self.now + later);
    }
}

const ATTACKER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 66)), 6_666);
