//! The table of one port's visitors.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::Instant;

use bore_api::limits::{UDP_IDLE, UDP_IDLE_TWO_SIDED};

use crate::flows::OpenFlow;
use crate::ingress::proof::Proof;
use crate::limits::UNANSWERED_BYTES_MAX;

/// Who visits, by what its datagrams say; and by inner address, which an answer goes to.
#[derive(Default)]
pub(super) struct Visitors {
    flows: HashMap<Ends, Visit>,
    by_inner: HashMap<SocketAddr, Ends>,
    /// Those who were one-sided when they came, oldest first; who may have gone or answered since.
    newcomers: VecDeque<Ends>,
}

/// Both ends of a visitor's flow. One socket of a visitor that speaks with two addresses of ours has two flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) visitor: SocketAddr,
    pub(super) asked: Asked,
}

/// What a visitor sent to: the answer must come from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    /// Which of the port's sockets.
    pub(super) socket: usize,
    /// Which of our addresses, where the kernel says.
    pub(super) address: Option<IpAddr>,
}

/// One visitor's flow.
pub(super) struct Visit {
    pub(super) open: OpenFlow,
    pub(super) proof: Proof,
    inner: SocketAddr,
    last: Instant,
    is_answered: bool,
    is_two_sided: bool,
    /// Sent within a budget since the visitor was heard.
    unanswered_bytes: usize,
}

impl Visit {
    pub(super) fn new(open: OpenFlow, proof: Proof, inner: SocketAddr, now: Instant) -> Self {
        Self {
            open,
            proof,
            inner,
            last: now,
            is_answered: false,
            is_two_sided: false,
            unanswered_bytes: 0,
        }
    }

    /// Notes a datagram from the visitor; `None` when the flow was cut.
    pub(super) fn hear(&mut self, datagram: &[u8], now: Instant) -> Option<SocketAddr> {
        self.last = now;
        self.is_two_sided |= self.is_answered;
        self.unanswered_bytes = 0;
        self.proof.hear(datagram, now);
        self.open.meter.inward_bytes.fetch_add(datagram.len() as u64, Ordering::Relaxed);
        (!self.open.is_cut()).then_some(self.inner)
    }

    /// Notes an answer: a stream of them keeps the flow, however silent its visitor is.
    pub(super) fn answer(&mut self, bytes: usize, now: Instant) {
        self.last = now;
        self.is_answered = true;
        self.open.meter.outward_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts what is answered without proof; returns false once that is too much for a visitor that says nothing.
    pub(super) fn take_unanswered(&mut self, bytes: usize) -> bool {
        self.unanswered_bytes = self.unanswered_bytes.saturating_add(bytes);
        self.unanswered_bytes <= UNANSWERED_BYTES_MAX
    }

    fn is_over(&self, now: Instant) -> bool {
        let idle = if self.is_two_sided { UDP_IDLE_TWO_SIDED } else { UDP_IDLE };
        self.open.is_cut() || now.saturating_duration_since(self.last) > idle
    }
}

impl Visitors {
    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    pub(super) fn get_mut(&mut self, ends: Ends) -> Option<&mut Visit> {
        self.flows.get_mut(&ends)
    }

    /// The flow that an answer to `inner` belongs to.
    pub(super) fn of_inner(&mut self, inner: SocketAddr) -> Option<(Ends, &mut Visit)> {
        let ends = *self.by_inner.get(&inner)?;
        Some((ends, self.flows.get_mut(&ends)?))
    }

    pub(super) fn insert(&mut self, ends: Ends, visit: Visit) {
        self.by_inner.insert(visit.inner, ends);
        self.flows.insert(ends, visit);
        self.newcomers.push_back(ends);
    }

    /// The flow of a visitor that asked an address which is ours no more goes on at the one that it asks instead.
    pub(super) fn follow(&mut self, ends: Ends, inner: SocketAddr) -> Option<&mut Visit> {
        let former = *self.by_inner.get(&inner)?;
        if former.visitor != ends.visitor || !is_gone(former.asked.address) {
            return None;
        }
        let visit = self.flows.remove(&former)?;
        self.insert(ends, visit);
        self.flows.get_mut(&ends)
    }

    pub(super) fn sweep(&mut self, now: Instant) {
        self.flows.retain(|_, visit| !visit.is_over(now));
        let Self { flows, by_inner, newcomers } = self;
        if by_inner.len() > flows.len() {
            by_inner.retain(|_, ends| flows.contains_key(ends));
        }
        newcomers.retain(|ends| flows.get(ends).is_some_and(|visit| !visit.is_two_sided));
    }

    /// Makes room at the cost of the oldest visitor who never answered an answer.
    pub(super) fn evict_one_sided(&mut self) -> bool {
        while let Some(ends) = self.newcomers.pop_front() {
            if self.flows.get(&ends).is_some_and(|visit| !visit.is_two_sided) {
                let evicted = self.flows.remove(&ends);
                return evicted.is_some_and(|visit| self.by_inner.remove(&visit.inner).is_some());
            }
        }
        false
    }

    /// The visitor's own address; a free port where the address is shared, or where another flow of the visitor has it.
    pub(super) fn free_inner(&self, wanted: SocketAddr) -> Option<SocketAddr> {
        if wanted.port() != 0 && !self.by_inner.contains_key(&wanted) {
            return Some(wanted);
        }
        let first: u16 = rand::random_range(MASQUERADE_PORTS);
        let ports = (first..=*MASQUERADE_PORTS.end()).chain(*MASQUERADE_PORTS.start()..first);
        ports
            .map(|port| SocketAddr::new(wanted.ip(), port))
            .find(|inner| !self.by_inner.contains_key(inner))
    }

    pub(super) fn clear(&mut self) {
        self.flows.clear();
        self.by_inner.clear();
        self.newcomers.clear();
    }
}

/// Returns true if `address` is certainly none of this machine's.
fn is_gone(address: Option<IpAddr>) -> bool {
    let bound = address.map(|address| UdpSocket::bind((address, 0)));
    bound.and_then(Result::err).is_some_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

const MASQUERADE_PORTS: std::ops::RangeInclusive<u16> = 32_768..=60_999;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::flows::{Carrier, Flows};

    #[test]
    fn a_socket_that_asks_two_addresses_has_two_flows() {
        let mut lab = Lab::default();
        let (first, second) = (lab.ends("127.0.0.1"), lab.ends("127.0.0.2"));
        let (first_inner, second_inner) = (lab.open(first), lab.open(second));
        assert_eq!(first_inner, first.visitor);
        assert_eq!(second_inner.ip(), second.visitor.ip());
        assert_ne!(first_inner, second_inner);
        assert_eq!(lab.visitors.of_inner(first_inner).unwrap().0, first);
        assert_eq!(lab.visitors.of_inner(second_inner).unwrap().0, second);
        assert!(lab.visitors.follow(lab.ends("127.0.0.3"), first.visitor).is_none(), "it is ours");
    }

    #[test]
    fn a_flow_goes_on_when_the_address_that_was_asked_is_gone() {
        let mut lab = Lab::default();
        let (gone, there) = (lab.ends("192.0.2.77"), lab.ends("127.0.0.1"));
        let inner = lab.open(gone);
        assert!(lab.visitors.follow(there, inner).is_some());
        assert_eq!(lab.visitors.of_inner(inner).unwrap().0, there);
        assert!(lab.visitors.get_mut(gone).is_none());
    }

    #[derive(Default)]
    struct Lab {
        visitors: Visitors,
        flows: Arc<Flows>,
    }

    impl Lab {
        fn ends(&self, asked: &str) -> Ends {
            let address = Some(asked.parse().unwrap());
            let visitor = "203.0.113.9:50000".parse().unwrap();
            Ends { visitor, asked: Asked { socket: 0, address } }
        }

        fn open(&mut self, ends: Ends) -> SocketAddr {
            let now = Instant::now();
            let open = self.flows.open(Carrier::Udp, Uuid::nil(), ends.visitor, 1).unwrap();
            let inner = self.visitors.free_inner(ends.visitor).unwrap();
            self.visitors.insert(ends, Visit::new(open, Proof::new(false, now), inner, now));
            inner
        }
    }
}
