//! One public UDP port: a table of visitors, no socket per visitor.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bore_control::runtime::ClaimError;
use bore_driver::{BoundUdp, Datagram, DatagramSink, Local, UdpBatch, UdpBinding, UdpPort};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::spoof::AnswerBudget;
use super::{Route, Shared, refused, tcp};
use crate::clock::now_micros;
use crate::flows::OpenFlow;
use crate::limits::{UDP_FLOWS_PER_PUBLICATION_MAX, UDP_IDLE, UDP_IDLE_TWO_SIDED};

/// Receive room that all UDP ports of a shard share: each uses it within one call.
pub(super) type SharedBatch = Rc<RefCell<UdpBatch>>;

/// A bound UDP port. Without a route it drops what comes.
pub(super) struct UdpPublication {
    inner: Rc<Inner>,
    task: JoinHandle<()>,
}

impl UdpPublication {
    pub(super) fn bind(
        publication: Uuid,
        address: SocketAddr,
        port_offset: u16,
        local: Local,
        shared: Arc<Shared>,
        batch: SharedBatch,
    ) -> Result<Self, ClaimError> {
        let port = UdpPort::bind(address).map_err(|error| refused(address, "udp", &error))?;
        let budget = RefCell::new(AnswerBudget::new(rand::random(), Instant::now()));
        let inner = Rc::new(Inner {
            publication,
            port_offset,
            port,
            local,
            shared,
            budget,
            served: RefCell::default(),
            visitors: RefCell::default(),
        });
        let task = tokio::task::spawn_local(run(Rc::clone(&inner), batch));
        Ok(Self { inner, task })
    }

    pub(super) fn serve(&self, route: Option<&Route>) {
        self.inner.serve(route);
    }
}

impl Drop for UdpPublication {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Inner {
    publication: Uuid,
    port_offset: u16,
    port: UdpPort,
    local: Local,
    shared: Arc<Shared>,
    budget: RefCell<AnswerBudget>,
    served: RefCell<Option<Served>>,
    visitors: RefCell<Visitors>,
}

/// A route, and the bindings that bring its answers.
struct Served {
    route: Route,
    _answers: Vec<BoundUdp>,
}

/// Who visits, by public address; and by inner address where the two differ.
#[derive(Default)]
struct Visitors {
    flows: HashMap<SocketAddr, Visit>,
    by_inner: HashMap<SocketAddr, SocketAddr>,
}

/// One visitor's flow.
struct Visit {
    open: OpenFlow,
    inner: SocketAddr,
    /// Which of our addresses the visitor asked; the answer must come from it.
    asked: Option<IpAddr>,
    last: Instant,
    answered: bool,
    two_sided: bool,
}

async fn run(inner: Rc<Inner>, batch: SharedBatch) {
    let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        tokio::select! {
            ready = inner.port.readable() => {
                if ready.is_err() {
                    return;
                }
                inner.receive(&batch);
                tokio::task::yield_now().await;
            }
            _ = sweep.tick() => inner.visitors.borrow_mut().sweep(Instant::now()),
        }
    }
}

impl Inner {
    fn receive(self: &Rc<Self>, batch: &SharedBatch) {
        let mut batch = batch.borrow_mut();
        let Ok(count) = self.port.receive(&mut batch) else { return };
        let now = Instant::now();
        for datagram in batch.datagrams(count) {
            self.handle_visitor(&datagram, now);
        }
    }

    fn handle_visitor(self: &Rc<Self>, datagram: &Datagram<'_>, now: Instant) {
        let served = self.served.borrow();
        let Some(Served { route, .. }) = served.as_ref() else {
            self.shared.metrics.udp_unserved.inc();
            return;
        };
        let Some(inner) = self.inner_source(datagram, route, now) else { return };
        let to = route.dial(datagram.from, self.port_offset).destination;
        self.local.send_udp(route.peer, inner, to, datagram.bytes);
    }

    /// The inner source of a visitor's datagram; `None` when it goes no further.
    fn inner_source(
        self: &Rc<Self>,
        datagram: &Datagram<'_>,
        route: &Route,
        now: Instant,
    ) -> Option<SocketAddr> {
        if let Some(visit) = self.visitors.borrow_mut().flows.get_mut(&datagram.from) {
            return visit.heard(datagram, now);
        }
        if self.took_probe(datagram, route, now) {
            return None;
        }
        if !self.shared.gate.admits(self.publication, datagram.from.ip(), &self.shared.metrics) {
            return None;
        }
        self.open_visit(datagram, route, now)
    }

    fn open_visit(
        &self,
        datagram: &Datagram<'_>,
        route: &Route,
        now: Instant,
    ) -> Option<SocketAddr> {
        let mut visitors = self.visitors.borrow_mut();
        if visitors.flows.len() >= UDP_FLOWS_PER_PUBLICATION_MAX && !visitors.evict_one_sided() {
            self.shared.metrics.flows_refused.inc();
            return None;
        }
        let wanted = route.dial(datagram.from, self.port_offset).source;
        let inner = visitors.free_inner(wanted)?;
        let open = self.shared.gate.flows.open(self.publication, datagram.from, now_micros());
        self.shared.metrics.udp_flows_opened.inc();
        let mut visit =
            Visit { open, inner, asked: datagram.to, last: now, answered: false, two_sided: false };
        let source = visit.heard(datagram, now);
        visitors.by_inner.insert(inner, datagram.from);
        visitors.flows.insert(datagram.from, visit);
        source
    }

    fn took_probe(self: &Rc<Self>, datagram: &Datagram<'_>, route: &Route, now: Instant) -> bool {
        let expected = &self.shared.expected;
        if !expected.is_expected(self.publication, now) {
            return false;
        }
        let Some(token) = expected.take(self.publication, datagram.bytes, now) else {
            return false;
        };
        let (this, route, visitor, asked) =
            (Rc::clone(self), route.clone(), datagram.from, datagram.to);
        tokio::task::spawn_local(async move {
            match tcp::echo(&this.local, &route, &token).await {
                Ok(answer) => this.send(visitor, asked, answer.as_bytes()),
                Err(error) => tracing::debug!(%error, "probe not answered"),
            }
        });
        true
    }

    fn handle_answer(&self, inner: SocketAddr, payload: &[u8], now: Instant) {
        let mut visitors = self.visitors.borrow_mut();
        let visitor = visitors.by_inner.get(&inner).copied();
        let found = visitor.and_then(|visitor| Some((visitor, visitors.flows.get_mut(&visitor)?)));
        let Some((visitor, visit)) = found else {
            self.shared.metrics.udp_answers_without_visitor.inc();
            return;
        };
        if visit.open.is_cut() {
            return;
        }
        if !visit.two_sided && !self.budget.borrow_mut().take(visitor.ip(), payload.len(), now) {
            self.shared.metrics.one_sided_refused.inc();
            return;
        }
        visit.answered = true;
        visit.open.meter.outward_bytes.fetch_add(payload.len() as u64, Ordering::Relaxed);
        self.send(visitor, visit.asked, payload);
    }

    fn send(&self, visitor: SocketAddr, asked: Option<IpAddr>, payload: &[u8]) {
        if let Err(error) = self.port.send(visitor, asked, payload) {
            self.shared.metrics.udp_send_failed.inc();
            tracing::trace!(%error, "answer refused by the kernel");
        }
    }

    fn serve(self: &Rc<Self>, route: Option<&Route>) {
        if self.served.borrow().as_ref().map(|served| &served.route) == route {
            return;
        }
        self.served.borrow_mut().take();
        self.visitors.borrow_mut().clear();
        let Some(route) = route else { return };
        let answers =
            [route.agent_v4, route.agent_v6].map(|address| self.bind_answers(route, address));
        let answers = answers.into_iter().flatten().collect();
        *self.served.borrow_mut() = Some(Served { route: route.clone(), _answers: answers });
    }

    fn bind_answers(self: &Rc<Self>, route: &Route, address: IpAddr) -> Option<BoundUdp> {
        let port = route.overlay_port.wrapping_add(self.port_offset);
        let binding = UdpBinding::Remote { peer: route.peer, address, ports: port..=port };
        let answers = Rc::new(Answers(Rc::downgrade(self)));
        self.local
            .bind_udp(binding, answers)
            .inspect_err(|error| tracing::warn!(publication = %self.publication, %error, "answers not bound"))
            .ok()
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

impl Visit {
    /// Notes a datagram from the visitor; `None` when the flow was cut.
    fn heard(&mut self, datagram: &Datagram<'_>, now: Instant) -> Option<SocketAddr> {
        self.last = now;
        self.two_sided |= self.answered;
        self.open.meter.inward_bytes.fetch_add(datagram.bytes.len() as u64, Ordering::Relaxed);
        (!self.open.is_cut()).then_some(self.inner)
    }

    fn is_over(&self, now: Instant) -> bool {
        let idle = if self.two_sided { UDP_IDLE_TWO_SIDED } else { UDP_IDLE };
        self.open.is_cut() || now.saturating_duration_since(self.last) > idle
    }
}

impl Visitors {
    fn sweep(&mut self, now: Instant) {
        self.flows.retain(|_, visit| !visit.is_over(now));
        let Self { flows, by_inner } = self;
        if by_inner.len() > flows.len() {
            by_inner.retain(|_, visitor| flows.contains_key(visitor));
        }
    }

    /// Makes room at the cost of a visitor who never answered an answer.
    fn evict_one_sided(&mut self) -> bool {
        let victim =
            self.flows.iter().find(|(_, visit)| !visit.two_sided).map(|(visitor, _)| *visitor);
        let evicted = victim.and_then(|victim| self.flows.remove(&victim));
        let Some(visit) = evicted else { return false };
        self.by_inner.remove(&visit.inner);
        true
    }

    /// The visitor's own address, or a free port where the address is shared.
    fn free_inner(&self, wanted: SocketAddr) -> Option<SocketAddr> {
        if wanted.port() != 0 {
            return Some(wanted);
        }
        let first: u16 = rand::random_range(MASQUERADE_PORTS);
        let ports = (first..=*MASQUERADE_PORTS.end()).chain(*MASQUERADE_PORTS.start()..first);
        ports
            .map(|port| SocketAddr::new(wanted.ip(), port))
            .find(|inner| !self.by_inner.contains_key(inner))
    }

    fn clear(&mut self) {
        self.flows.clear();
        self.by_inner.clear();
    }
}

const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
const MASQUERADE_PORTS: std::ops::RangeInclusive<u16> = 32_768..=60_999;
