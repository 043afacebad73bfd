//! The loop of a shard: socket in, timers, socket out.
//!
//! One turn reads up to [`RECEIVE_BATCHES_MAX`] batches, runs what is due, and sends until nothing is left, the turn's budget is spent
//! or the kernel's buffer is full; then the flows' own tasks run. Inner packets are pulled from the netstack one at a time, so a
//! full socket is felt by the flows and nothing queues in between.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use bore_netstack::limits::{MTU_BYTES_MAX, PACKET_BYTES_MAX};
use bore_netstack::{BindingId, PeerConfig, PeerKey, Stack, Verdict};
use bore_overlay::{Encapsulated, Event, Overlay, PeerId, Received};
use tokio::sync::{Notify, mpsc};

use crate::answering::Answering;
use crate::counters::{Cells, add};
use crate::datagrams::DatagramSink;
use crate::limits::{
    DATAGRAM_BYTES_MAX, KEEP_ALIVE_IDLE, RECEIVE_BATCHES_MAX, SEND_BYTES_MAX, TRAIN_BYTES_MAX,
};
use crate::socket::{Datagram, UdpBatch, UdpPort};
use crate::unsent::Unsent;

mod egress;

/// What one shard owns. Every borrow is short and none is held across a call into a sink or a task.
pub(crate) struct Engine {
    pub(crate) overlay: RefCell<Overlay>,
    pub(crate) stack: Stack,
    pub(crate) cells: Cells,
    socket: RefCell<Rc<UdpPort>>,
    answering: RefCell<Answering>,
    /// A socket on a chosen port is one that others ask, maybe at several addresses; on any port it only asks.
    is_asked: bool,
    sinks: RefCell<HashMap<BindingId, Rc<dyn DatagramSink>>>,
    events: mpsc::Sender<Event>,
    wake: Arc<Wakeup>,
    mtu: usize,
    buffers: RefCell<Buffers>,
    unsent: RefCell<Unsent>,
    stopping: Cell<bool>,
}

/// Scratch space for building a packet and sealing it.
struct Buffers {
    inner: Box<[u8]>,
    fragment: Box<[u8]>,
    sealed: Box<[u8]>,
}

impl Engine {
    pub(crate) fn new(
        overlay: Overlay,
        stack: Stack,
        socket: UdpPort,
        mtu: usize,
        events: mpsc::Sender<Event>,
        is_asked: bool,
    ) -> Self {
        let wake = Arc::new(Wakeup(Notify::new()));
        stack.set_waker(&Waker::from(Arc::clone(&wake)));
        Self {
            overlay: RefCell::new(overlay),
            stack,
            cells: Cells::default(),
            socket: RefCell::new(Rc::new(socket)),
            answering: RefCell::default(),
            is_asked,
            sinks: RefCell::default(),
            events,
            wake,
            mtu,
            buffers: RefCell::new(Buffers {
                inner: room(TRAIN_BYTES_MAX.max(PACKET_BYTES_MAX)),
                fragment: room(MTU_BYTES_MAX),
                sealed: room(SEND_BYTES_MAX + DATAGRAM_BYTES_MAX),
            }),
            unsent: RefCell::default(),
            stopping: Cell::new(false),
        }
    }

    /// Runs until [`Self::stop`].
    pub(crate) async fn run(&self) {
        let mut batch = UdpBatch::new();
        let mut plain = vec![0; usize::from(u16::MAX) + DATAGRAM_BYTES_MAX].into_boxed_slice();
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        while !self.stopping.get() {
            let socket = Rc::clone(&self.socket.borrow());
            let blocked = !self.unsent.borrow().is_empty();
            timer.as_mut().reset(self.deadline().into());
            tokio::select! {
                _ = socket.readable() => {}
                _ = socket.writable(), if blocked => {}
                () = self.wake.0.notified() => {}
                () = &mut timer => {}
            }
            self.turn(&socket, &mut batch, &mut plain);
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn stop(&self) {
        self.stopping.set(true);
        self.wake();
    }

    /// Sends what the end of the flows' tasks left to say, as far as the kernel takes it.
    pub(crate) fn finish(&self) {
        for _ in 0..FAREWELL_TURNS_MAX {
            self.stack.handle_timeout(Instant::now());
            self.transmit(Instant::now());
        }
    }

    /// Makes the loop look again: something may have become due or sendable.
    pub(crate) fn wake(&self) {
        self.wake.0.notify_one();
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.socket.borrow().local_addr()
    }

    /// Replaces the socket, as after a network change.
    pub(crate) fn replace_socket(&self, socket: UdpPort) {
        *self.socket.borrow_mut() = Rc::new(socket);
        self.unsent.borrow_mut().clear();
        self.wake();
    }

    pub(crate) fn adopt_peer(&self, peer: PeerId, is_foreign: bool) {
        let keep_alive = Some(KEEP_ALIVE_IDLE);
        self.stack.add_peer(
            PeerKey(peer.index()),
            PeerConfig { mtu: self.mtu, is_foreign, keep_alive, ..Default::default() },
        );
        self.overlay.borrow_mut().allow_probes(peer, is_foreign, Instant::now());
        self.follow_path(peer);
    }

    /// The netstack sends packets as long as the overlay says that the paths carry.
    fn follow_paths(&self) {
        while let Some(peer) = self.poll_path() {
            self.follow_path(peer);
        }
    }

    fn poll_path(&self) -> Option<PeerId> {
        self.overlay.borrow_mut().poll_path()
    }

    fn follow_path(&self, peer: PeerId) {
        let packet_bytes_max = self.overlay.borrow().packet_bytes_max(peer);
        self.stack.set_path_mtu(PeerKey(peer.index()), packet_bytes_max);
    }

    pub(crate) fn forget_peer(&self, peer: PeerId) {
        self.stack.remove_peer(PeerKey(peer.index()));
    }

    pub(crate) fn bind(&self, id: BindingId, sink: Rc<dyn DatagramSink>) {
        self.sinks.borrow_mut().insert(id, sink);
    }

    pub(crate) fn unbind(&self, id: BindingId) {
        self.sinks.borrow_mut().remove(&id);
        self.stack.unbind_udp(id);
    }

    /// Builds, seals and sends one inner packet, in fragments if it is longer than the tunnel's MTU; what cannot go at once is dropped and
    /// counted, as UDP is.
    pub(crate) fn send_built(&self, peer: PeerId, build: impl FnOnce(&mut [u8]) -> Option<usize>) {
        let Ok(mut buffers) = self.buffers.try_borrow_mut() else { return };
        let Buffers { inner, fragment, sealed } = &mut *buffers;
        let Some(packet) = build(inner).and_then(|length| inner.get(..length)) else {
            return add(&self.cells.not_built, 1);
        };
        let Some(mut fragments) = self.stack.fragments(PeerKey(peer.index()), packet) else {
            return self.seal_and_send(peer, packet, sealed);
        };
        while let Some(length) = fragments.write_next(fragment) {
            self.seal_and_send(peer, fragment.get(..length).unwrap_or_default(), sealed);
        }
    }

    fn seal_and_send(&self, peer: PeerId, packet: &[u8], sealed: &mut [u8]) {
        let sealing = self.overlay.borrow_mut().encapsulate(peer, packet, sealed, Instant::now());
        match sealing {
            Encapsulated::Datagram { to, payload } => {
                if let Err(error) = self.send(to, payload, None) {
                    self.note_send_error(Some(peer), payload.len(), &error, Instant::now());
                }
            }
            Encapsulated::NoSession | Encapsulated::Unknown => add(&self.cells.without_session, 1),
        }
    }

    fn turn(&self, socket: &UdpPort, batch: &mut UdpBatch, plain: &mut [u8]) {
        for _ in 0..RECEIVE_BATCHES_MAX {
            let Ok(count) = socket.receive(batch) else { break };
            let now = Instant::now();
            for datagram in batch.datagrams(count) {
                self.handle_datagram(&datagram, plain, now);
            }
        }
        let now = Instant::now();
        self.overlay.borrow_mut().handle_timeout(now);
        self.follow_paths();
        self.stack.handle_timeout(now);
        self.forward_events();
        self.transmit(now);
    }

    fn handle_datagram(&self, datagram: &Datagram<'_>, plain: &mut [u8], now: Instant) {
        let Datagram { from, to, bytes } = *datagram;
        add(&self.cells.datagrams_received, 1);
        add(&self.cells.bytes_received, bytes.len() as u64);
        let received = self.overlay.borrow_mut().handle_datagram(from, bytes, plain, now);
        if let Some(asked) = to.filter(|_| self.is_asked) {
            let authenticated =
                matches!(received, Received::Packet { .. } | Received::Alive { .. });
            self.answering.borrow_mut().note(from, asked, authenticated);
        }
        match received {
            Received::Packet { peer, packet } => self.deliver(peer, packet, now),
            Received::Alive { peer } => self.stack.heard_from(PeerKey(peer.index()), now),
            Received::Nothing | Received::Dropped(_) => {}
        }
    }

    fn deliver(&self, peer: PeerId, packet: &[u8], now: Instant) {
        match self.stack.handle_packet(PeerKey(peer.index()), packet, now) {
            Verdict::Udp { binding, source, destination, payload } => {
                if let Some(sink) = self.sink(binding) {
                    sink.receive(source, destination, payload);
                }
            }
            Verdict::UdpUnreachable { binding, source, destination } => {
                if let Some(sink) = self.sink(binding) {
                    sink.unreachable(source, destination);
                }
            }
            Verdict::Reassembled => {
                if let Some(whole) = self.stack.take_reassembled() {
                    self.deliver(peer, &whole, now);
                }
            }
            Verdict::Consumed | Verdict::Unmatched | Verdict::Malformed => {}
        }
    }

    fn sink(&self, binding: BindingId) -> Option<Rc<dyn DatagramSink>> {
        self.sinks.borrow().get(&binding).map(Rc::clone)
    }

    /// Hands events on while their reader has room; what is left stays in the overlay.
    fn forward_events(&self) {
        while let Ok(permit) = self.events.try_reserve() {
            let Some(event) = self.overlay.borrow_mut().poll_event() else { return };
            self.prepare_peer(&event);
            permit.send(event);
        }
    }

    /// A tunnel's flows rest while it has no session, and a garden peer has a stack before anybody hears of it.
    fn prepare_peer(&self, event: &Event) {
        match event {
            Event::Pending { peer, .. } => self.adopt_peer(*peer, true),
            Event::PendingExpired { peer } => self.forget_peer(*peer),
            Event::TunnelUp { peer, .. } => self.stack.pause_peer(PeerKey(peer.index()), false),
            Event::TunnelDown { peer } => self.stack.pause_peer(PeerKey(peer.index()), true),
            Event::EndpointMoved { .. }
            | Event::RelayIdentity { .. }
            | Event::ResetReceived { .. } => {}
        }
    }

    fn deadline(&self) -> Instant {
        let overlay = self.overlay.borrow().poll_timeout().map(|(at, _reason)| at);
        let stack = self.stack.poll_timeout();
        let idle = Instant::now() + IDLE_WAIT_MAX;
        [overlay, stack].into_iter().flatten().fold(idle, Instant::min)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("local", &self.local_addr()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Wakeup(Notify);

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_one();
    }
}

fn room(bytes: usize) -> Box<[u8]> {
    vec![0; bytes].into_boxed_slice()
}

/// Turns of [`TRANSMITS_PER_TURN_MAX`] datagrams after the last task has ended: resets of every flow there may be.
const FAREWELL_TURNS_MAX: usize = 256;

/// With no timer anywhere the loop still looks around now and then; it costs one wake-up a minute.
const IDLE_WAIT_MAX: Duration = Duration::from_secs(60);
