//! Flows: who visits what, how many bytes, how many there may be, and a way to cut them.
//!
//! A flow is listed before policy is asked about it, so that a change of rules either decides about it or cuts it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bore_api::model::Micros;
use bore_api::state::FlowState;
use bore_driver::Meter;
use bore_edge::source;
use prometheus_client::encoding::EncodeLabelValue;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::limits::{
    FLOWS_LISTED_MAX, TCP_FLOWS_MAX, TCP_FLOWS_PER_PUBLICATION_MAX, TCP_FLOWS_PER_SOURCE_MAX,
    UDP_FLOWS_MAX, UDP_FLOWS_PER_PUBLICATION_MAX, WITHDRAWN_FLOW_MAX,
};

/// What a flow runs over outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Carrier {
    /// A connection at a public TCP port.
    Tcp,
    /// An address pair at a public UDP port.
    Udp,
    /// A TLS connection at the HTTPS port that is passed through by name.
    Tls,
    /// A connection of the HTTP edge to a service; over HTTP/2 one visitor's connection needs many.
    Http,
}

impl Carrier {
    /// Whether the source is proved by a handshake, so that flows are bounded by it.
    fn names_its_source(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls | Self::Http)
    }
}

/// Which bound a flow met. The values of a `limit` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Full {
    /// The relay's.
    Relay,
    /// The publication's.
    Publication,
    /// The source's.
    Source,
    /// The one that the publisher has chosen.
    MaxConns,
}

impl Full {
    /// All of them.
    pub(crate) const ALL: [Self; 4] =
        [Self::Relay, Self::Publication, Self::Source, Self::MaxConns];
}

/// One visitor's connection, or UDP address pair, inside a publication.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) id: u64,
    pub(crate) publication: Uuid,
    pub(crate) visitor: SocketAddr,
    pub(crate) opened_at: Micros,
    pub(crate) meter: Arc<Meter>,
    carrier: Carrier,
    /// It is one of its publication's visitors, not only one that came.
    is_admitted: AtomicBool,
    is_cut: AtomicBool,
    is_withdrawn: AtomicBool,
    /// One of the two has become true.
    notice: Notify,
}

/// Why a flow is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It was cut, and counted.
    Counted,
    /// Its publication was withdrawn, and what its service has said is not all, or was not taken in time.
    Withdrawn,
}

impl Flow {
    /// Ends the flow; its task sees it. Returns true if it was not cut before.
    pub(crate) fn cut(&self) -> bool {
        let first = !self.is_cut.swap(true, Ordering::AcqRel);
        self.notice.notify_one();
        first
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
    }

    /// Its publication was taken back by the node that it leads to.
    fn withdraw(&self) {
        self.is_withdrawn.store(true, Ordering::Release);
        self.notice.notify_one();
    }

    fn is_withdrawn(&self) -> bool {
        self.is_withdrawn.load(Ordering::Acquire)
    }

    /// Waits until the flow is to end. A withdrawal leaves one whose service has said its end, which `has_heard_end` tells, [`WITHDRAWN_FLOW_MAX`] to
    /// deliver what was said.
    pub(crate) async fn until_cut(&self, has_heard_end: impl Fn() -> bool) -> Cut {
        let until = async |is_so: &dyn Fn() -> bool| {
            while !is_so() {
                self.notice.notified().await;
            }
        };
        until(&|| self.is_cut() || self.is_withdrawn()).await;
        if !self.is_cut() && has_heard_end() {
            // One whose time is over is cut as well.
            let _ = tokio::time::timeout(WITHDRAWN_FLOW_MAX, until(&|| self.is_cut())).await;
        }
        if self.is_cut() { Cut::Counted } else { Cut::Withdrawn }
    }

    fn carried(&self) -> Carried {
        Carried {
            received_bytes: self.meter.inward_bytes.load(Ordering::Relaxed),
            sent_bytes: self.meter.outward_bytes.load(Ordering::Relaxed),
        }
    }

    fn state(&self) -> FlowState {
        let Carried { received_bytes, sent_bytes } = self.carried();
        FlowState {
            id: self.id,
            publication: self.publication,
            visitor: self.visitor,
            opened_at: self.opened_at,
            received_bytes,
            sent_bytes,
        }
    }
}

/// Bytes from and to visitors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
}

impl Carried {
    fn add(&mut self, more: Self) {
        self.received_bytes += more.received_bytes;
        self.sent_bytes += more.sent_bytes;
    }
}

/// All flows of this relay.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    next: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Fewer than [`TCP_FLOWS_MAX`] where the process may have few descriptors.
    tcp_max: Option<usize>,
    open: BTreeMap<u64, Arc<Flow>>,
    /// The same by publication; one without flows has no entry.
    of_publication: HashMap<Uuid, BTreeMap<u64, Arc<Flow>>>,
    per_carrier: Tally<Carrier>,
    per_publication: Tally<(Carrier, Uuid)>,
    /// Those that are admitted.
    admitted: Tally<Uuid>,
    /// Not of datagrams, whose source may be forged.
    per_source: Tally<IpAddr>,
    ended: Carried,
}

impl Table {
    fn check(&self, flow: &Flow) -> Result<(), Full> {
        let Flow { carrier, publication, visitor, .. } = *flow;
        let (total, of_publication) = match carrier {
            Carrier::Tcp => (self.tcp_max.unwrap_or(TCP_FLOWS_MAX), TCP_FLOWS_PER_PUBLICATION_MAX),
            // Their descriptor is the edge's.
            Carrier::Tls | Carrier::Http => (TCP_FLOWS_MAX, TCP_FLOWS_PER_PUBLICATION_MAX),
            Carrier::Udp => (UDP_FLOWS_MAX, UDP_FLOWS_PER_PUBLICATION_MAX),
        };
        if self.per_carrier.of(&carrier) >= total {
            Err(Full::Relay)
        } else if self.per_publication.of(&(carrier, publication)) >= of_publication {
            Err(Full::Publication)
        } else if self.per_source.of(&source(visitor.ip())) >= TCP_FLOWS_PER_SOURCE_MAX
            && carrier.names_its_source()
        {
            Err(Full::Source)
        } else {
            Ok(())
        }
    }

    fn insert(&mut self, flow: &Arc<Flow>) {
        self.open.insert(flow.id, Arc::clone(flow));
        self.of_publication.entry(flow.publication).or_default().insert(flow.id, Arc::clone(flow));
        self.per_carrier.add(flow.carrier);
        self.per_publication.add((flow.carrier, flow.publication));
        if flow.carrier.names_its_source() {
            self.per_source.add(source(flow.visitor.ip()));
        }
    }

    fn remove(&mut self, flow: &Flow) {
        self.open.remove(&flow.id);
        if let Entry::Occupied(mut of_publication) = self.of_publication.entry(flow.publication) {
            of_publication.get_mut().remove(&flow.id);
            if of_publication.get().is_empty() {
                of_publication.remove();
            }
        }
        self.per_carrier.take(&flow.carrier);
        self.per_publication.take(&(flow.carrier, flow.publication));
        if flow.is_admitted.load(Ordering::Relaxed) {
            self.admitted.take(&flow.publication);
        }
        if flow.carrier.names_its_source() {
            self.per_source.take(&source(flow.visitor.ip()));
        }
        self.ended.add(flow.carried());
    }
}

/// How many there are of each; none is no entry.
#[derive(Debug)]
struct Tally<K>(HashMap<K, usize>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Tally<K> {
    fn of(&self, key: &K) -> usize {
        self.0.get(key).copied().unwrap_or_default()
    }

    fn add(&mut self, key: K) {
        *self.0.entry(key).or_default() += 1;
    }

    fn take(&mut self, key: &K) {
        match self.0.get_mut(key) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(self.0.remove(key)),
        }
    }
}

/// A flow that is listed until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenFlow {
    flow: Arc<Flow>,
    flows: Arc<Flows>,
}

impl OpenFlow {
    /// Makes the flow one of those that its publication has at once, unless there are `most` of them. Once for each flow.
    pub(crate) fn admit(&self, most: Option<NonZeroU32>) -> Result<(), Full> {
        let mut table = self.flows.table();
        let admitted = table.admitted.of(&self.flow.publication);
        if most.is_some_and(|most| admitted >= most.get() as usize) {
            return Err(Full::MaxConns);
        }
        if !self.flow.is_admitted.swap(true, Ordering::Relaxed) {
            table.admitted.add(self.flow.publication);
        }
        Ok(())
    }
}

impl std::ops::Deref for OpenFlow {
    type Target = Flow;

    fn deref(&self) -> &Flow {
        &self.flow
    }
}

impl Drop for OpenFlow {
    fn drop(&mut self) {
        self.flows.table().remove(&self.flow);
    }
}

impl Flows {
    /// No flows yet; there may be `tcp_max` at public TCP ports.
    pub(crate) fn within(tcp_max: usize) -> Self {
        let tcp_max = Some(tcp_max.min(TCP_FLOWS_MAX));
        Self { table: Mutex::new(Table { tcp_max, ..Table::default() }), ..Self::default() }
    }

    /// Lists a new flow, unless a bound is met.
    pub(crate) fn open(
        self: &Arc<Self>,
        carrier: Carrier,
        publication: Uuid,
        visitor: SocketAddr,
        opened_at: Micros,
    ) -> Result<OpenFlow, Full> {
        let flow = Arc::new(Flow {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            publication,
            visitor,
            opened_at,
            meter: Arc::default(),
            carrier,
            is_admitted: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            is_withdrawn: AtomicBool::new(false),
            notice: Notify::new(),
        });
        let mut table = self.table();
        table.check(&flow)?;
        table.insert(&flow);
        drop(table);
        Ok(OpenFlow { flow, flows: Arc::clone(self) })
    }

    /// Whether a TCP connection from `address` is open, to whatever publication: a handshake has proved the address.
    pub(crate) fn has_connection_of(&self, address: IpAddr) -> bool {
        self.table().per_source.of(&source(address)) > 0
    }

    pub(crate) fn count(&self) -> usize {
        self.table().open.len()
    }

    /// Bytes of all flows there are and were.
    pub(crate) fn carried(&self) -> Carried {
        let table = self.table();
        let mut carried = table.ended;
        table.open.values().for_each(|flow| carried.add(flow.carried()));
        carried
    }

    /// Those of a publication, newest first, at most [`FLOWS_LISTED_MAX`].
    pub(crate) fn list(&self, publication: Uuid) -> Vec<FlowState> {
        let table = self.table();
        let open = table.of_publication.get(&publication);
        let newest = open.into_iter().flat_map(|open| open.values().rev());
        newest.take(FLOWS_LISTED_MAX).map(|flow| flow.state()).collect()
    }

    /// The publications that have flows.
    pub(crate) fn publications(&self) -> Vec<Uuid> {
        self.table().of_publication.keys().copied().collect()
    }

    /// Cuts every flow of a publication for which `may_stay` says no; returns how many. One that ends by a withdrawal is left to it.
    pub(crate) fn cut_unless(&self, publication: Uuid, may_stay: impl Fn(&Flow) -> bool) -> usize {
        let open = self.of(publication);
        let may_stay = |flow: &Flow| flow.is_withdrawn() || may_stay(flow);
        open.iter().filter(|flow| !may_stay(flow) && flow.cut()).count()
    }

    /// The publication was taken back by the node that it leads to: see [`Flow::until_cut`]. Datagrams have no end that could be said, and are cut;
    /// returns how many.
    pub(crate) fn withdraw(&self, publication: Uuid) -> usize {
        let open = self.of(publication);
        let (ending, cut): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|flow| flow.carrier != Carrier::Udp);
        ending.iter().for_each(|flow| flow.withdraw());
        cut.iter().filter(|flow| flow.cut()).count()
    }

    fn of(&self, publication: Uuid) -> Vec<Arc<Flow>> {
        let table = self.table();
        let open = table.of_publication.get(&publication).into_iter();
        open.flat_map(BTreeMap::values).cloned().collect()
    }

    /// Cuts every flow; returns how many.
    pub(crate) fn cut_all(&self) -> usize {
        let open: Vec<Arc<Flow>> = self.table().open.values().cloned().collect();
        open.iter().filter(|flow| flow.cut()).count()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_descriptors_bound_tcp_visitors_and_nothing_else() {
        let flows = Arc::new(Flows::within(1));
        let open = |carrier| flows.open(carrier, Uuid::nil(), "192.0.2.1:5".parse().unwrap(), 0);
        let _held = open(Carrier::Tcp).unwrap();
        assert_eq!(open(Carrier::Tcp).unwrap_err(), Full::Relay);
        assert!(open(Carrier::Udp).is_ok() && open(Carrier::Http).is_ok());
    }

    #[test]
    fn a_flow_is_listed_while_it_is_held() {
        let flows = Arc::new(Flows::default());
        let publication = Uuid::from_u128(7);
        let flow = open(&flows, publication, at("192.0.2.1:5")).unwrap();
        assert_eq!(flows.list(publication).len(), 1);
        assert!(flows.list(Uuid::nil()).is_empty());
        drop(flow);
        assert_eq!(flows.count(), 0);
    }

    #[test]
    fn a_publisher_bounds_the_flows_that_are_admitted_and_a_change_counts_those_there_are() {
        let flows = Arc::new(Flows::default());
        let [bounded, other] = [1, 2].map(Uuid::from_u128);
        let come = |publication| open(&flows, publication, at("192.0.2.1:5")).unwrap();
        let _only_came = come(bounded);
        let [first, second, third] = [come(bounded), come(bounded), come(bounded)];
        first.admit(None).unwrap();
        second.admit(NonZeroU32::new(2)).unwrap();
        assert_eq!(third.admit(NonZeroU32::new(2)), Err(Full::MaxConns));
        assert_eq!(third.admit(NonZeroU32::new(1)), Err(Full::MaxConns));
        come(other).admit(NonZeroU32::new(1)).unwrap();
        drop(first);
        third.admit(NonZeroU32::new(2)).unwrap();
        drop((second, third));
        assert!(flows.table().admitted.0.is_empty(), "no entry without a flow");
    }

    #[test]
    fn only_flows_that_may_not_stay_are_cut_and_counted_once() {
        let flows = Arc::new(Flows::default());
        let stays = open(&flows, Uuid::nil(), at("192.0.2.1:5")).unwrap();
        let goes = open(&flows, Uuid::nil(), at("192.0.2.2:5")).unwrap();
        let may_stay = |flow: &Flow| flow.visitor == stays.visitor;
        assert_eq!(flows.cut_unless(Uuid::nil(), may_stay), 1);
        assert_eq!(flows.cut_unless(Uuid::nil(), may_stay), 0, "it is cut already");
        assert!(goes.is_cut() && !stays.is_cut());
    }

    #[tokio::test(start_paused = true)]
    async fn a_withdrawal_spares_what_a_service_has_said_to_its_end_for_a_time() {
        let flows = Arc::new(Flows::default());
        let open = |carrier| flows.open(carrier, Uuid::nil(), at("192.0.2.1:5"), 1).unwrap();
        let [said, saying, web] = [Carrier::Tcp, Carrier::Tcp, Carrier::Http].map(open);
        let datagrams = open(Carrier::Udp);
        assert_eq!(flows.withdraw(Uuid::nil()), 1);
        assert!(datagrams.is_cut());
        assert_eq!(flows.cut_unless(Uuid::nil(), |_| false), 0, "its publication is gone");

        let began = tokio::time::Instant::now();
        for unfinished in [&saying, &web] {
            assert_eq!(unfinished.until_cut(|| false).await, Cut::Withdrawn);
        }
        assert_eq!(began.elapsed(), std::time::Duration::ZERO);
        assert_eq!(said.until_cut(|| true).await, Cut::Withdrawn);
        assert_eq!(began.elapsed(), WITHDRAWN_FLOW_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flow_that_is_spared_ends_with_the_relay() {
        let flows = Arc::new(Flows::default());
        let flow = open(&flows, Uuid::nil(), at("192.0.2.1:5")).unwrap();
        flows.withdraw(Uuid::nil());
        let began = tokio::time::Instant::now();
        let ending = async {
            tokio::task::yield_now().await;
            flows.cut_all()
        };
        let (cut, counted) = tokio::join!(flow.until_cut(|| true), ending);
        assert_eq!((cut, counted), (Cut::Counted, 1));
        assert!(began.elapsed() < WITHDRAWN_FLOW_MAX);
    }

    #[test]
    fn a_change_looks_at_the_flows_of_its_publication_alone() {
        let flows = Arc::new(Flows::default());
        let [changed, other] = [1, 2].map(Uuid::from_u128);
        let goes = open(&flows, changed, at("192.0.2.1:5")).unwrap();
        let stays = open(&flows, other, at("192.0.2.1:6")).unwrap();
        let cut = flows.cut_unless(changed, |flow| {
            assert_eq!(flow.publication, changed);
            false
        });
        assert!(cut == 1 && goes.is_cut() && !stays.is_cut());
        drop(goes);
        assert_eq!(flows.publications(), [other], "one without flows is forgotten");
        assert_eq!(flows.cut_all(), 1);
    }

    #[test]
    fn bytes_stay_counted_when_their_flow_has_ended() {
        let flows = Arc::new(Flows::default());
        let flow = open(&flows, Uuid::nil(), at("192.0.2.1:5")).unwrap();
        flow.meter.inward_bytes.fetch_add(3, Ordering::Relaxed);
        flow.meter.outward_bytes.fetch_add(4, Ordering::Relaxed);
        let carried = Carried { received_bytes: 3, sent_bytes: 4 };
        assert_eq!(flows.carried(), carried);
        drop(flow);
        assert_eq!(flows.carried(), carried);
    }

    #[test]
    fn one_source_leaves_room_for_another_and_gets_its_own_back() {
        let flows = Arc::new(Flows::default());
        let mut held: Vec<OpenFlow> = (0..TCP_FLOWS_PER_SOURCE_MAX)
            .map(|host| open(&flows, Uuid::nil(), at(&format!("[2001:db8::{host:x}]:5"))).unwrap())
            .collect();
        let same = open(&flows, Uuid::nil(), at("[2001:db8::ffff:1]:9"));
        assert_eq!(same.unwrap_err(), Full::Source);
        held.push(open(&flows, Uuid::nil(), at("[2001:db8:0:1::1]:9")).unwrap());
        held.clear();
        open(&flows, Uuid::nil(), at("[2001:db8::1]:9")).unwrap();
        assert!(flows.table().per_source.0.is_empty(), "no entry without a flow");
    }

    #[test]
    fn a_visitor_of_web_services_is_bounded_like_any_other() {
        let flows = Arc::new(Flows::default());
        let visit = |publication: u128, host: usize| {
            let visitor = at(&format!("[2001:db8:0:{host:x}::1]:5"));
            flows.open(Carrier::Http, Uuid::from_u128(publication), visitor, 1)
        };
        let mut held: Vec<OpenFlow> =
            (0..TCP_FLOWS_PER_SOURCE_MAX).map(|_| visit(1, 0).unwrap()).collect();
        assert_eq!(visit(2, 0).unwrap_err(), Full::Source);
        let elsewhere = at("[2001:db8::1]:5");
        assert_eq!(open(&flows, Uuid::nil(), elsewhere).unwrap_err(), Full::Source);
        held.extend((1..).map_while(|host| visit(1, host).ok()));
        assert_eq!(held.len(), TCP_FLOWS_PER_PUBLICATION_MAX);
        visit(2, 1).unwrap();
    }

    #[test]
    fn forged_datagrams_leave_room_for_tcp() {
        let flows = Arc::new(Flows::default());
        let visit = |port| {
            let visitor = SocketAddr::from(([192, 0, 2, 1], port));
            flows.open(Carrier::Udp, Uuid::nil(), visitor, 1)
        };
        let held: Vec<_> = (0..u16::MAX).map_while(|port| visit(port).ok()).collect();
        assert_eq!(held.len(), UDP_FLOWS_PER_PUBLICATION_MAX);
        assert_eq!(visit(1).unwrap_err(), Full::Publication);
        open(&flows, Uuid::nil(), at("192.0.2.1:1")).unwrap();
    }

    fn open(flows: &Arc<Flows>, publication: Uuid, visitor: SocketAddr) -> Result<OpenFlow, Full> {
        flows.open(Carrier::Tcp, publication, visitor, 1)
    }

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }
}
