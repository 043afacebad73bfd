//! Serves one UDP publication: a connected kernel socket per visitor and port, so that the target sees each visitor as a sender of its own
//! and answers find their way back.
//!
//! A flow ends after a minute without a datagram, after three once it was answered. A target that refuses, or that cannot be reached, ends it
//! at once and is told to the visitor as ICMP port unreachable and to the relay as a report; the visitor's next datagram begins another. While
//! datagrams go unanswered a target's name is resolved again, ever more rarely: a target that moved is followed.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bore_api::limits::{UDP_IDLE, UDP_IDLE_TWO_SIDED};
use bore_driver::{BoundUdp, DatagramSink, Local, UdpBinding};
use bore_policy::TargetHost;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::limits::{
    FlowPermit, UDP_ANSWER_WAIT, UDP_FLOWS_PER_PUBLICATION_MAX, UDP_RESOLVE_AGAIN,
    UDP_RESOLVE_AGAIN_MAX, UDP_WAITING_MAX,
};
use super::recent_addresses::RecentAddresses;
use super::shared::{ServicePlan, Shared};
use super::target_watch;
use super::targets::{DialError, Place, answer_or_refusal, place};

/// Serves until dropped; open flows end with it.
pub(crate) async fn run(local: Local, shared: Arc<Shared>, plan: ServicePlan) {
    let service = Rc::new_cyclic(|this| Service {
        this: this.clone(),
        local: local.clone(),
        shared,
        plan,
        flows: RefCell::default(),
        addresses: Rc::default(),
        answered_last: Cell::default(),
        scratch: RefCell::new(vec![0; DATAGRAM_BYTES].into_boxed_slice()),
    });
    match service.bind() {
        Ok(_bound) => std::future::pending().await,
        Err(error) => {
            tracing::error!(name = %service.plan.name, %error, "cannot receive inside the overlay");
        }
    }
}

struct Service {
    this: Weak<Self>,
    local: Local,
    shared: Arc<Shared>,
    plan: ServicePlan,
    flows: RefCell<HashMap<Ends, Rc<Flow>>>,
    addresses: Rc<RecentAddresses>,
    /// Of a name with several addresses, the one that answered last.
    answered_last: Cell<Option<IpAddr>>,
    /// Datagrams of targets pass through here, one at a time.
    scratch: RefCell<Box<[u8]>>,
}

/// The visitor's address and ours, as the visitor knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Ends {
    visitor: SocketAddr,
    ours: SocketAddr,
}

struct Flow {
    socket: RefCell<Option<Rc<UdpSocket>>>,
    /// What came before the socket was open.
    waiting: RefCell<VecDeque<Waiting>>,
    /// The beginning of the visitor's last datagram, to be quoted if the target refuses it.
    last_head: RefCell<Vec<u8>>,
    last_used: Cell<Instant>,
    answered: Cell<bool>,
    /// The visitor went on after an answer: its address is no forged one.
    went_on: Cell<bool>,
    /// When the first datagram was sent that nothing came after.
    unanswered_since: Cell<Option<Instant>>,
    /// Why a datagram could not be sent.
    failure: Cell<Option<io::ErrorKind>>,
    failed: Notify,
    /// The visitor sent something to a target that has not answered it.
    asked_again: Notify,
    task: RefCell<Option<AbortHandle>>,
    permit: RefCell<Option<FlowPermit>>,
}

struct Waiting {
    payload: Box<[u8]>,
    _memory: OwnedSemaphorePermit,
}

impl Flow {
    fn abort(&self) {
        self.permit.borrow_mut().take();
        if let Some(task) = self.task.borrow_mut().take() {
            task.abort();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.flows.borrow().values().for_each(|flow| flow.abort());
    }
}

impl Service {
    fn bind(self: &Rc<Self>) -> Result<[BoundUdp; 2], bore_netstack::ListenError> {
        let bind = |address| {
            let ports = self.plan.overlay_ports();
            let sink = Rc::clone(self) as Rc<dyn DatagramSink>;
            self.local.bind_udp(UdpBinding::Local { address, ports }, sink)
        };
        let [v4, v6] = self.plan.addresses;
        Ok([bind(v4)?, bind(v6)?])
    }

    /// The flow between these ends, opened if there is room for it.
    fn flow(&self, ends: Ends) -> Option<Rc<Flow>> {
        if let Some(flow) = self.flows.borrow().get(&ends) {
            return Some(Rc::clone(flow));
        }
        let place = place(&self.plan.target, self.plan.offset(ends.ours.port())?).ok()?;
        let Some(permit) = self.permit() else {
            self.shared.counters.udp_flows_refused_by_limit.add_one();
            return None;
        };
        let flow = Rc::new(Flow {
            socket: RefCell::default(),
            waiting: RefCell::default(),
            last_head: RefCell::default(),
            last_used: Cell::new(Instant::now()),
            answered: Cell::new(false),
            went_on: Cell::new(false),
            unanswered_since: Cell::default(),
            failure: Cell::default(),
            failed: Notify::new(),
            asked_again: Notify::new(),
            task: RefCell::default(),
            permit: RefCell::new(Some(permit)),
        });
        self.flows.borrow_mut().insert(ends, Rc::clone(&flow));
        self.begin(ends, &flow, place);
        Some(flow)
    }

    /// Room for one more flow, of another one if there is no other.
    fn permit(&self) -> Option<FlowPermit> {
        if self.flows.borrow().len() >= UDP_FLOWS_PER_PUBLICATION_MAX {
            self.evict();
        }
        self.shared.room.udp_flow().or_else(|| {
            self.evict();
            self.shared.room.udp_flow()
        })
    }

    /// Ends the flow whose visitor is likeliest to be none.
    fn evict(&self) {
        let worth = |flow: &Flow| (flow.went_on.get(), flow.last_used.get());
        let worst = self.flows.borrow().iter().min_by_key(|(_, flow)| worth(flow)).map(|it| *it.0);
        let Some(flow) = worst.and_then(|ends| self.flows.borrow_mut().remove(&ends)) else {
            return;
        };
        flow.abort();
        self.shared.counters.udp_flows_evicted.add_one();
    }

    fn begin(&self, ends: Ends, flow: &Rc<Flow>, place: Place) {
        let (service, alive) = (self.this.clone(), Rc::clone(flow));
        let task = tokio::task::spawn_local(async move {
            let end = live(&service, &alive, ends, &place).await;
            if let Some(service) = service.upgrade() {
                service.ended(ends, &place, end);
            }
        });
        *flow.task.borrow_mut() = Some(task.abort_handle());
        self.shared.counters.udp_flows_opened.add_one();
        tracing::debug!(name = %self.plan.name, visitor = %ends.visitor, "visitor's first datagram");
    }

    fn ended(&self, ends: Ends, place: &Place, end: Result<(), DialError>) {
        let flow = self.flows.borrow_mut().remove(&ends);
        let (Some(flow), Err(error)) = (flow, end) else { return };
        tracing::debug!(name = %self.plan.name, target = %place, %error, "visitor told that nobody is there");
        self.shared.counters.dials_failed.add_one();
        self.local.reject_udp(self.plan.relay, ends.visitor, ends.ours, &flow.last_head.borrow());
        target_watch::note_refusal(&self.shared, &self.plan.name);
    }

    /// Sends what the target answered back to the visitor.
    fn answer(&self, flow: &Flow, ends: Ends, socket: &UdpSocket) -> io::Result<()> {
        let mut scratch = self.scratch.borrow_mut();
        let count = socket.try_recv(&mut scratch)?;
        flow.last_used.set(Instant::now());
        flow.unanswered_since.set(None);
        if !flow.answered.replace(true) {
            self.target_answered();
        }
        let payload = scratch.get(..count).unwrap_or_default();
        self.local.send_udp(self.plan.relay, ends.ours, ends.visitor, payload);
        Ok(())
    }

    fn target_answered(&self) {
        if let Some(entry) = self.shared.registry().entry_mut(&self.plan.name) {
            entry.seen.answered = true;
            entry.seen.refused = false;
        }
        self.shared.note_target(&self.plan.name, Ok(()));
    }

    fn receive_from(&self, flow: &Flow, payload: &[u8]) {
        flow.last_used.set(Instant::now());
        match flow.answered.get() {
            true => flow.went_on.set(true),
            false => flow.asked_again.notify_one(),
        }
        let mut head = flow.last_head.borrow_mut();
        head.clear();
        head.extend_from_slice(payload.get(..QUOTED_BYTES).unwrap_or(payload));
        drop(head);
        self.forward(flow, payload);
    }

    fn forward(&self, flow: &Flow, payload: &[u8]) {
        let socket = flow.socket.borrow().clone();
        let Some(socket) = socket else { return self.wait(flow, payload) };
        let Err(error) = socket.try_send(payload) else {
            return flow.unanswered_since.update(|since| since.or_else(|| Some(Instant::now())));
        };
        if is_too_large(&error) {
            self.shared.counters.udp_datagrams_too_large.add_one();
        } else if is_passing(&error) {
            self.shared.counters.udp_datagrams_dropped.add_one();
        } else {
            flow.failure.set(Some(error.kind()));
            flow.failed.notify_one();
        }
    }

    fn wait(&self, flow: &Flow, payload: &[u8]) {
        let mut waiting = flow.waiting.borrow_mut();
        let memory = self.shared.room.udp_waiting(payload.len());
        match memory.filter(|_| waiting.len() < UDP_WAITING_MAX) {
            Some(memory) => waiting.push_back(Waiting { payload: payload.into(), _memory: memory }),
            None => self.shared.counters.udp_datagrams_dropped.add_one(),
        }
    }
}

impl DatagramSink for Service {
    fn receive(&self, source: SocketAddr, destination: SocketAddr, payload: &[u8]) {
        let ends = Ends { visitor: source, ours: destination };
        match self.flow(ends) {
            Some(flow) => self.receive_from(&flow, payload),
            None => self.shared.counters.udp_datagrams_dropped.add_one(),
        }
    }

    /// The visitor closed its port: its flow serves nobody any more.
    fn unreachable(&self, source: SocketAddr, destination: SocketAddr) {
        let closed = self.flows.borrow_mut().remove(&Ends { visitor: destination, ours: source });
        if let Some(flow) = closed {
            flow.abort();
        }
    }
}

/// Carries a flow until it is idle, and goes on where a name leads instead when it leads elsewhere. Fails when the target refuses or cannot
/// be reached.
async fn live(
    service: &Weak<Service>,
    flow: &Flow,
    ends: Ends,
    place: &Place,
) -> Result<(), DialError> {
    loop {
        match carry_to_any(service, flow, ends, place).await? {
            End::Moved => {}
            End::Idle | End::Unanswered => return Ok(()),
        }
    }
}

/// Of a name with several addresses the next is tried when one refuses, or is silent while the visitor asks again; the first is the last to
/// be tried, and stays.
async fn carry_to_any(
    service: &Weak<Service>,
    flow: &Flow,
    ends: Ends,
    place: &Place,
) -> Result<End, DialError> {
    let Some((recent, answered_last)) = service
        .upgrade()
        .map(|service| (Rc::clone(&service.addresses), service.answered_last.get()))
    else {
        return Ok(End::Idle);
    };
    let mut addresses = recent.of(ends.ours.port(), place).await?;
    addresses.sort_by_key(|address| Some(address.ip()) != answered_last);
    let first = addresses.first().copied().filter(|_| addresses.len() > 1);
    for address in &addresses {
        let is_tentative = first.is_some();
        match carry(service, flow, ends, place, *address, is_tentative).await {
            Ok(End::Unanswered) => {}
            Err(_) if is_tentative && !flow.answered.get() => {}
            ended => return ended,
        }
    }
    match first {
        Some(first) => carry(service, flow, ends, place, first, false).await,
        None => Ok(End::Idle),
    }
}

/// Why a flow with one address of its target ended.
enum End {
    Idle,
    /// The address was tentative, and the visitor asked it again in vain.
    Unanswered,
    /// The target's name does not lead to the address any more.
    Moved,
}

/// Opens the flow's socket to `address` and carries answers.
async fn carry(
    service: &Weak<Service>,
    flow: &Flow,
    ends: Ends,
    place: &Place,
    address: SocketAddr,
    is_tentative: bool,
) -> Result<End, DialError> {
    let socket = Rc::new(place.open_udp(address).await?);
    send_waiting(flow, &socket).await.map_err(|error| refused(place, &error))?;
    // What failed on the way to an address before says nothing about this one.
    flow.failure.take();
    let patience_ends = Instant::now() + UDP_ANSWER_WAIT;
    let mut patience = Patience::new(place);
    loop {
        let is_unanswered = is_tentative && !flow.answered.get();
        tokio::select! {
            ready = answer_or_refusal(&socket) => ready.map_err(|error| refused(place, &error))?,
            () = flow.failed.notified() => {
                if let Some(kind) = flow.failure.take() {
                    return Err(refused(place, &kind.into()));
                }
            }
            () = flow.asked_again.notified(), if is_unanswered => {
                if Instant::now() >= patience_ends {
                    return Ok(End::Unanswered);
                }
            }
            is_due = patience.end(flow) => {
                if is_due && leads_elsewhere(service, ends, place, address).await {
                    return Ok(End::Moved);
                }
            }
            () = tokio::time::sleep_until(idle_at(flow)) => {}
        }
        let Some(service) = service.upgrade() else { return Ok(End::Idle) };
        match service.answer(flow, ends, &socket) {
            Ok(()) => {
                patience.renew();
                service.answered_last.set(Some(address.ip()));
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                return Err(refused(place, &error));
            }
            Err(_) if idle_at(flow) <= Instant::now() => return Ok(End::Idle),
            Err(_) => {}
        }
    }
}

/// How long datagrams may go unanswered until a name is resolved again.
struct Patience {
    is_named: bool,
    wait: Duration,
    looked_at: Instant,
}

impl Patience {
    fn new(place: &Place) -> Self {
        let is_named = matches!(place, Place::Port(_, TargetHost::Name(_), _));
        Self { is_named, wait: UDP_RESOLVE_AGAIN, looked_at: Instant::now() }
    }

    fn renew(&mut self) {
        self.wait = UDP_RESOLVE_AGAIN;
    }

    /// Waits for the next look at the flow; returns true if the name is to be resolved then.
    async fn end(&mut self, flow: &Flow) -> bool {
        if !self.is_named {
            std::future::pending::<()>().await;
        }
        // No datagram wakes this: one that is sent meanwhile is seen at the next look.
        let since = flow.unanswered_since.get();
        let due = since.map_or_else(Instant::now, |since| since.max(self.looked_at)) + self.wait;
        tokio::time::sleep_until(due).await;
        if since.is_some() {
            self.looked_at = Instant::now();
            self.wait = (self.wait * 2).min(UDP_RESOLVE_AGAIN_MAX);
        }
        since.is_some()
    }
}

/// Returns true if the target's name resolves, and not to `address`.
async fn leads_elsewhere(
    service: &Weak<Service>,
    ends: Ends,
    place: &Place,
    address: SocketAddr,
) -> bool {
    let Some(recent) = service.upgrade().map(|service| Rc::clone(&service.addresses)) else {
        return false;
    };
    let found = recent.of(ends.ours.port(), place).await;
    found.is_ok_and(|addresses| !addresses.contains(&address))
}

/// Sends what came before the socket was open, then lets the next datagrams go straight to it. A fresh socket is not known to be writable
/// until it has been waited for.
async fn send_waiting(flow: &Flow, socket: &Rc<UdpSocket>) -> io::Result<()> {
    loop {
        let next = flow.waiting.borrow_mut().pop_front();
        let Some(waiting) = next else { break };
        match socket.send(&waiting.payload).await {
            Err(error) if !is_too_large(&error) => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    *flow.socket.borrow_mut() = Some(Rc::clone(socket));
    Ok(())
}

fn idle_at(flow: &Flow) -> Instant {
    let idle = if flow.answered.get() { UDP_IDLE_TWO_SIDED } else { UDP_IDLE };
    flow.last_used.get() + idle
}

/// Returns true if the datagram is longer than UDP, or the path to the target, can carry.
fn is_too_large(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}

/// Returns true if the kernel may take the next datagram again.
fn is_passing(error: &io::Error) -> bool {
    let is_full = matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM));
    is_full || matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn refused(place: &Place, error: &io::Error) -> DialError {
    let target = place.to_string();
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return DialError::Refused { target };
    }
    DialError::Unreachable { target, cause: io::Error::new(error.kind(), error.to_string()) }
}

/// More than UDP can carry.
const DATAGRAM_BYTES: usize = 65_536;
/// How much of a refused datagram an ICMP error quotes (RFC 792 asks for 8 bytes of it).
const QUOTED_BYTES: usize = 64;
