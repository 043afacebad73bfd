//! The network between the hosts: links with weather, NAT boxes, and datagrams in the air, ordered by virtual time.
//!
//! A place is a NAT box with its link to the Internet; a host is at a place by its inside address. The relay sits in the open.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use bore_overlay::PublicKey;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::nat::Nat;
use super::weather::Weather;

/// Where the relay is.
pub(super) const RELAY: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), 443);

/// A datagram, and what is known of it beside its bytes.
#[derive(Debug, Clone)]
pub(super) struct Datagram {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
    pub(super) origin: Origin,
}

/// Which datagram this is, or is a copy of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    /// The host that sealed it.
    pub(super) host: usize,
    /// The key of the program that sealed it.
    pub(super) key: PublicKey,
    /// Different for every datagram that a host ever sent.
    pub(super) serial: u64,
    /// No bit was changed that anything depends on.
    pub(super) is_pristine: bool,
}

/// A NAT box and its link.
#[derive(Debug)]
struct Place {
    nat: Nat,
    up: Weather,
    down: Weather,
}

/// All places, and the air between.
#[derive(Debug)]
pub(super) struct Network {
    random: StdRng,
    places: Vec<Place>,
    air: BTreeMap<(Instant, u64), Datagram>,
    launched: u64,
}

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { random, places: Vec::new(), air: BTreeMap::new(), launched: 0 }
    }

    /// A new NAT box; gives its number.
    pub(super) fn add_place(&mut self) -> usize {
        let place = self.places.len();
        let public = Ipv4Addr::from(FIRST_PUBLIC + u32::try_from(place).unwrap_or(u32::MAX));
        let nat = Nat::new(public, self.random.random_range(1_024..60_000));
        self.places.push(Place { nat, up: Weather::calm(), down: Weather::calm() });
        place
    }

    pub(super) fn set_weather(&mut self, place: usize, up: Weather, down: Weather) {
        if let Some(place) = self.places.get_mut(place) {
            (place.up, place.down) = (up, down);
        }
    }

    pub(super) fn rebind(&mut self, place: usize) {
        if let Some(place) = self.places.get_mut(place) {
            place.nat.rebind();
        }
    }

    /// Takes a datagram of the relay's.
    pub(super) fn send_from_relay(&mut self, datagram: Datagram, now: Instant) {
        let Some(place) = self.place_of(datagram.to) else { return };
        self.fly(place.down, datagram, now);
    }

    /// Takes a datagram of a host behind a NAT box; gives it with its public source.
    pub(super) fn send_from(
        &mut self,
        place: usize,
        mut datagram: Datagram,
        now: Instant,
    ) -> Datagram {
        if let Some(place) = self.places.get_mut(place) {
            datagram.from = place.nat.leave(datagram.from, datagram.to, now);
            let weather = place.up;
            if datagram.to == RELAY {
                self.fly(weather, datagram.clone(), now);
            }
        }
        datagram
    }

    /// Takes a datagram of somebody who sits close to its destination and says what he wants about its source.
    pub(super) fn inject(&mut self, datagram: Datagram, now: Instant) {
        self.launch(datagram, now);
    }

    /// When the next datagram arrives.
    pub(super) fn next_arrival(&self) -> Option<Instant> {
        self.air.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next datagram that has arrived by `now`, with the inside address that it arrives at; `None` as an address when a NAT
    /// box refused it.
    pub(super) fn arrive(&mut self, now: Instant) -> Option<(Datagram, Option<SocketAddr>)> {
        let next = self.air.first_entry()?;
        if next.key().0 > now {
            return None;
        }
        let datagram = next.remove();
        let inside = if datagram.to == RELAY {
            Some(RELAY)
        } else {
            let place = self.place_of(datagram.to);
            place.and_then(|place| place.nat.enter(datagram.to.port(), datagram.from, now))
        };
        Some((datagram, inside))
    }

    /// A random one of the datagrams in the air.
    pub(super) fn pick(&self, random: &mut StdRng) -> Option<Datagram> {
        let position = random.random_range(0..self.air.len().max(1));
        self.air.values().nth(position).cloned()
    }

    /// What a host behind a NAT box sent that arrives last.
    pub(super) fn last_from(&self, host: usize) -> Option<Datagram> {
        let is_its = |datagram: &&Datagram| datagram.origin.host == host && datagram.to == RELAY;
        self.air.values().rev().find(is_its).cloned()
    }

    fn place_of(&self, public: SocketAddr) -> Option<&Place> {
        self.places.iter().find(|place| public.ip() == place.nat.public())
    }

    fn fly(&mut self, weather: Weather, datagram: Datagram, now: Instant) {
        for (delay, is_corrupted) in weather.fate(&mut self.random) {
            let mut copy = datagram.clone();
            if is_corrupted {
                corrupt(&mut copy, &mut self.random);
            }
            self.launch(copy, now + delay);
        }
    }

    fn launch(&mut self, datagram: Datagram, arrives: Instant) {
        self.launched += 1;
        self.air.insert((arrives, self.launched), datagram);
        assert!(self.air.len() < IN_THE_AIR_MAX, "the hosts never stop talking");
    }
}

/// Flips a bit.
pub(super) fn corrupt(datagram: &mut Datagram, random: &mut StdRng) {
    let position = random.random_range(0..datagram.bytes.len().max(1));
    if let Some(byte) = datagram.bytes.get_mut(position) {
        *byte ^= 1 << random.random_range(0..8);
        datagram.origin.is_pristine &= is_unprotected(&datagram.bytes, position);
    }
}

/// Whether nothing depends on a byte: mac2 of a response says where its sender receives, and is looked at under load only.
/// Source: the WireGuard paper, §5.4.4 and §5.4.7.
fn is_unprotected(datagram: &[u8], position: usize) -> bool {
    datagram.first() == Some(&RESPONSE)
        && datagram.len() == RESPONSE_BYTES
        && position >= RESPONSE_BYTES - MAC_BYTES
}

/// 198.18.0.1 and up: RFC 2544's range for such networks.
const FIRST_PUBLIC: u32 = 0xC612_0001;
/// Every host's whole window of every flow fits.
const IN_THE_AIR_MAX: usize = 50_000;
const RESPONSE: u8 = 2;
const RESPONSE_BYTES: usize = 92;
const MAC_BYTES: usize = 16;
