//! One public UDP port: a table of visitors, no socket per visitor.

mod visitors;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bore_control::doors::ClaimError;
use bore_driver::{BoundUdp, Datagram, DatagramSink, Local, UdpBatch, UdpBinding, UdpPort};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use uuid::Uuid;

use self::visitors::{Asked, Ends, Visit, Visitors};
use super::proof::{Budgets, Proof, Standing, ToldWords};
use super::{Refusal, Shared, TunnelRoute, refused};
use crate::flows::{Carrier, Full, OpenFlow};

/// What all UDP ports of a shard share.
pub(super) struct Room {
    /// Receive room: each port uses it within one call.
    batch: RefCell<UdpBatch>,
    budgets: RefCell<Budgets>,
    told: RefCell<ToldWords>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            batch: RefCell::default(),
            budgets: RefCell::new(Budgets::new(Instant::now())),
            told: RefCell::default(),
        }
    }
}

/// One public UDP port, bound on every public address. Without a route it drops what comes.
pub(super) struct UdpPublication {
    inner: Rc<Inner>,
    tasks: Vec<JoinHandle<()>>,
}

impl UdpPublication {
    pub(super) fn bind(
        publication: Uuid,
        port: u16,
        port_offset: u16,
        local: Local,
        shared: Arc<Shared>,
        room: Rc<Room>,
    ) -> Result<Self, ClaimError> {
        let addresses = shared.addresses.iter().map(|address| SocketAddr::new(*address, port));
        let sockets = addresses
            .map(|address| UdpPort::bind(address).map_err(|error| refused(address, "udp", &error)));
        let sockets = sockets.collect::<Result<Vec<_>, _>>()?;
        for socket in &sockets {
            if let Err(error) = socket.hear_refusals() {
                tracing::debug!(%error, "refused answers are not heard of");
            }
            if let Err(error) = socket.allow_fragments() {
                tracing::debug!(%error, "answers longer than the path are refused by the kernel");
            }
        }
        let inner = Rc::new(Inner {
            publication,
            port_offset,
            sockets,
            local,
            shared,
            room,
            served: RefCell::default(),
            visitors: RefCell::default(),
            visited: Notify::new(),
            refusal_lost_at: Cell::default(),
        });
        let receive = |socket| tokio::task::spawn_local(receive_at(Rc::clone(&inner), socket));
        let mut tasks: Vec<_> = (0..inner.sockets.len()).map(receive).collect();
        tasks.push(tokio::task::spawn_local(sweep(Rc::clone(&inner))));
        Ok(Self { inner, tasks })
    }

    pub(super) fn serve(&self, route: Option<&TunnelRoute>) -> Result<(), ClaimError> {
        self.inner.serve(route)
    }
}

impl Drop for UdpPublication {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

struct Inner {
    publication: Uuid,
    port_offset: u16,
    sockets: Vec<UdpPort>,
    local: Local,
    shared: Arc<Shared>,
    room: Rc<Room>,
    served: RefCell<Option<Served>>,
    visitors: RefCell<Visitors>,
    /// There is a new visitor.
    visited: Notify,
    /// When a refusal was last heard of without its sender.
    refusal_lost_at: Cell<Option<Instant>>,
}

/// A route, and the bindings that bring its answers.
struct Served {
    route: TunnelRoute,
    _answers: Vec<BoundUdp>,
}

async fn receive_at(inner: Rc<Inner>, socket: usize) {
    let Some(port) = inner.sockets.get(socket) else { return };
    while port.readable().await.is_ok() {
        inner.distrust_refusers(port);
        inner.receive(port, socket);
        tokio::task::yield_now().await;
    }
}

/// Sleeps while there is no visitor: a range may have thousands of ports.
async fn sweep(inner: Rc<Inner>) {
    loop {
        if inner.visitors.borrow().is_empty() {
            inner.visited.notified().await;
        }
        tokio::time::sleep(SWEEP_INTERVAL).await;
        inner.visitors.borrow_mut().sweep(Instant::now());
    }
}

impl Inner {
    /// Whoever is answered and refuses the answers has not asked: somebody uses its address. Says how many refused.
    fn distrust_refusers(&self, port: &UdpPort) -> usize {
        let refusers = std::iter::from_fn(|| port.take_refused()).take(REFUSALS_PER_TURN_MAX);
        let note = |refuser| {
            self.shared.metrics.udp_answers_refused.inc();
            self.room.budgets.borrow_mut().note_refusal(refuser, Instant::now());
        };
        refusers.map(note).count()
    }

    /// The kernel tells of a refusal by failing whatever call comes next, and keeps who refused only while the port's queue has room: a flood
    /// leaves none. Then nobody is trusted for a while.
    fn heard_refusal(&self, port: &UdpPort, error: &io::Error) -> bool {
        let heard = error.kind() == io::ErrorKind::ConnectionRefused;
        if heard && self.distrust_refusers(port) == 0 {
            self.shared.metrics.udp_refusals_lost.inc();
            self.refusal_lost_at.set(Some(Instant::now()));
        }
        heard
    }

    fn distrusts(&self, visitor: IpAddr, now: Instant) -> bool {
        let lost_lately = |at| now.saturating_duration_since(at) <= REFUSAL_LOST_FOR;
        self.refusal_lost_at.get().is_some_and(lost_lately)
            || self.room.budgets.borrow().is_distrusted(visitor, now)
    }

    fn receive(self: &Rc<Self>, port: &UdpPort, socket: usize) {
        let mut batch = self.room.batch.borrow_mut();
        let count = match port.receive(&mut batch) {
            Ok(count) => count,
            Err(error) => {
                self.heard_refusal(port, &error);
                return;
            }
        };
        let now = Instant::now();
        for datagram in batch.datagrams(count) {
            self.handle_visitor(&datagram, socket, now);
        }
    }

    fn handle_visitor(self: &Rc<Self>, datagram: &Datagram<'_>, socket: usize, now: Instant) {
        let served = self.served.borrow();
        let Some(Served { route, .. }) = served.as_ref() else {
            self.shared.metrics.udp_unserved.inc();
            return;
        };
        let asked = Asked { socket, address: datagram.to };
        let Some(inner) = self.inner_source(datagram, asked, route, now) else { return };
        let to = route.dial(datagram.from, self.port_offset).destination;
        self.local.send_udp(route.peer, inner, to, datagram.bytes);
    }

    /// The inner source of a visitor's datagram; `None` when it goes no further.
    fn inner_source(
        self: &Rc<Self>,
        datagram: &Datagram<'_>,
        asked: Asked,
        route: &TunnelRoute,
        now: Instant,
    ) -> Option<SocketAddr> {
        let ends = Ends { visitor: datagram.from, asked };
        if let Some(visit) = self.visitors.borrow_mut().get_mut(ends) {
            return visit.hear(datagram.bytes, now);
        }
        let wanted = route.dial(datagram.from, self.port_offset).source;
        if let Some(visit) = self.visitors.borrow_mut().follow(ends, wanted) {
            return visit.hear(datagram.bytes, now);
        }
        if self.took_probe(datagram, asked, route, now) {
            return None;
        }
        // Asked before a place is looked for: who is denied takes none, and nobody makes room for it.
        if let Err(by) = self.shared.gate.decide(self.publication, datagram.from.ip()) {
            self.refuse(datagram.from, &Refusal::Denied(by));
            return None;
        }
        self.open_visit(datagram.bytes, ends, wanted, now)
    }

    fn open_visit(
        &self,
        datagram: &[u8],
        ends: Ends,
        wanted: SocketAddr,
        now: Instant,
    ) -> Option<SocketAddr> {
        let mut visitors = self.visitors.borrow_mut();
        let Some(inner) = visitors.free_inner(wanted) else {
            self.refuse(ends.visitor, &Refusal::Full(Full::Publication));
            return None;
        };
        let open = self.open_flow(&mut visitors, ends.visitor)?;
        self.shared.metrics.udp_flows_opened.inc();
        let is_named = self.shared.gate.names(self.publication, ends.visitor.ip());
        let proof = Proof::new(is_named, now);
        let mut visit = Visit::new(open, proof, inner, now);
        let source = visit.hear(datagram, now);
        visitors.insert(ends, visit);
        self.visited.notify_one();
        source
    }

    /// Lists a flow; at a bound the oldest one-sided visitor of this port makes room.
    fn open_flow(&self, visitors: &mut Visitors, from: SocketAddr) -> Option<OpenFlow> {
        let open = || self.shared.open_flow(Carrier::Udp, self.publication, from);
        let mut opened = open();
        if matches!(opened, Err(Refusal::Full(_))) && visitors.evict_one_sided() {
            self.shared.metrics.udp_evicted.inc();
            opened = open();
        }
        opened.inspect_err(|refusal| self.refuse(from, refusal)).ok()
    }

    fn refuse(&self, visitor: SocketAddr, refusal: &Refusal) {
        self.shared.note_refusal(self.publication, visitor, refusal);
    }

    fn took_probe(
        self: &Rc<Self>,
        datagram: &Datagram<'_>,
        asked: Asked,
        route: &TunnelRoute,
        now: Instant,
    ) -> bool {
        let expected = &self.shared.expected;
        if !expected.is_expected(self.publication, now) {
            return false;
        }
        let Some(token) = expected.take(self.publication, datagram.bytes, now) else {
            return false;
        };
        let (this, route, visitor) = (Rc::clone(self), route.clone(), datagram.from);
        self.shared.metrics.probes_taken.inc();
        tokio::task::spawn_local(async move {
            match this.shared.carry_visit(&this.local, &route, &token, None).await {
                Ok(()) => this.send(visitor, asked, token.as_bytes()),
                Err(error) => tracing::debug!(%error, "probe not answered"),
            }
        });
        true
    }

    fn handle_answer(&self, inner: SocketAddr, payload: &[u8], now: Instant) {
        let mut visitors = self.visitors.borrow_mut();
        let Some((ends, visit)) = visitors.of_inner(inner) else {
            self.shared.metrics.udp_answers_without_visitor.inc();
            return;
        };
        if visit.open.is_cut() {
            return;
        }
        if !self.may_answer(ends.visitor.ip(), visit, payload.len(), now) {
            self.shared.metrics.one_sided_refused.inc();
            return;
        }
        visit.proof.answer(payload, &mut self.room.told.borrow_mut());
        visit.answer(payload.len(), now);
        self.send(ends.visitor, ends.asked, payload);
    }

    /// Whether the visitor has budget left for its standing: the table in [`super::proof`].
    fn may_answer(&self, address: IpAddr, visit: &mut Visit, bytes: usize, now: Instant) -> bool {
        let take = |standing| self.room.budgets.borrow_mut().take(standing, address, bytes, now);
        if self.distrusts(address, now) {
            return take(Standing::Unproved);
        }
        let standing = visit.proof.standing(now);
        let has_budget =
            (standing != Standing::Unproved || visit.take_unanswered(bytes)) && take(standing);
        let flows = &self.shared.gate.flows;
        has_budget || visit.proof.look_for_connection(now, || flows.has_connection_of(address))
    }

    fn send(&self, visitor: SocketAddr, asked: Asked, payload: &[u8]) {
        let Some(port) = self.sockets.get(asked.socket) else { return };
        let send = |from| port.send(visitor, from, payload);
        let again = |error: io::Error| {
            if self.heard_refusal(port, &error) {
                // A refusal that failed the call was of an earlier answer.
                send(asked.address)
            } else if asked.address.is_some() && error.kind() != io::ErrorKind::WouldBlock {
                // An address of ours that is gone is no reason to be silent.
                send(None)
            } else {
                Err(error)
            }
        };
        let sent = send(asked.address).or_else(again);
        if let Err(error) = sent {
            self.shared.metrics.udp_sends_failed.inc();
            tracing::trace!(%error, "answer refused by the kernel");
        }
    }

    fn serve(self: &Rc<Self>, route: Option<&TunnelRoute>) -> Result<(), ClaimError> {
        if self.served.borrow().as_ref().map(|served| &served.route) == route {
            return Ok(());
        }
        self.served.borrow_mut().take();
        self.visitors.borrow_mut().clear();
        let Some(route) = route else { return Ok(()) };
        let answers = [route.agent_v4, route.agent_v6]
            .into_iter()
            .map(|address| self.bind_answers(route, address))
            .collect::<Result<Vec<_>, _>>()?;
        *self.served.borrow_mut() = Some(Served { route: route.clone(), _answers: answers });
        Ok(())
    }

    fn bind_answers(
        self: &Rc<Self>,
        route: &TunnelRoute,
        address: IpAddr,
    ) -> Result<BoundUdp, ClaimError> {
        let port = route.overlay_port.wrapping_add(self.port_offset);
        let binding = UdpBinding::Remote { peer: route.peer, address, ports: port..=port };
        let answers = Rc::new(Answers(Rc::downgrade(self)));
        self.local.bind_udp(binding, answers).map_err(|error| {
            ClaimError::Limit(format!("answers cannot be told apart in the overlay: {error}"))
        })
    }
}

/// Brings the agent's datagrams back. Weak: the bindings are owned by what they point to.
struct Answers(Weak<Inner>);

impl DatagramSink for Answers {
    fn receive(&self, _source: SocketAddr, destination: SocketAddr, payload: &[u8]) {
        if let Some(inner) = self.0.upgrade() {
            inner.handle_answer(destination, payload, Instant::now());
        }
    }

    fn unreachable(&self, _source: SocketAddr, _destination: SocketAddr) {
        if let Some(inner) = self.0.upgrade() {
            inner.shared.metrics.udp_unreachable.inc();
        }
    }
}

const REFUSALS_PER_TURN_MAX: usize = 64;
/// Longer than the second that Linux waits between two refusals to one address (`icmp_ratelimit`).
const REFUSAL_LOST_FOR: Duration = Duration::from_secs(5);
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
