//! The ground that an [`Endpoint`] stands on: socket, clock, and the tasks of a shard.
//!
//! One turn reads up to [`RECEIVE_BATCHES_MAX`] batches and lets the endpoint run; then the flows' own tasks run.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use bore_netstack::{BindingId, Stack, Verdict};
use bore_overlay::{Event, PeerId};
use tokio::sync::{Notify, mpsc};

use crate::answering::Answering;
use crate::datagrams::DatagramSink;
use crate::endpoint::{Arrival, Endpoint};
use crate::limits::{DATAGRAM_BYTES_MAX, RECEIVE_BATCHES_MAX};
use crate::socket::{Datagram, UdpBatch, UdpPort};

mod outside;

use outside::Outside;

/// What one shard owns. Every borrow is short and none is held across a call into a sink or a task.
pub(crate) struct Engine {
    endpoint: RefCell<Endpoint>,
    /// The endpoint's: a handle, so that tasks reach their flows without the endpoint.
    stack: Stack,
    socket: RefCell<Rc<UdpPort>>,
    answering: RefCell<Answering>,
    /// A socket on a chosen port is one that others ask, maybe at several addresses; on any port it only asks.
    is_asked: bool,
    sinks: RefCell<HashMap<BindingId, Rc<dyn DatagramSink>>>,
    events: mpsc::Sender<Event>,
    wake: Arc<Wakeup>,
    stopping: Cell<bool>,
}

impl Engine {
    pub(crate) fn new(
        endpoint: Endpoint,
        socket: UdpPort,
        events: mpsc::Sender<Event>,
        is_asked: bool,
    ) -> Self {
        let wake = Arc::new(Wakeup(Notify::new()));
        let stack = endpoint.stack().clone();
        stack.set_waker(&Waker::from(Arc::clone(&wake)));
        Self {
            endpoint: RefCell::new(endpoint),
            stack,
            socket: RefCell::new(Rc::new(socket)),
            answering: RefCell::default(),
            is_asked,
            sinks: RefCell::default(),
            events,
            wake,
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
            let blocked = self.endpoint.borrow().is_blocked();
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
        let socket = self.socket.borrow();
        for _ in 0..FAREWELL_TURNS_MAX {
            self.endpoint().say_farewell(&mut self.outside(&socket), Instant::now());
        }
    }

    /// Makes the loop look again: something may have become due or sendable.
    pub(crate) fn wake(&self) {
        self.wake.0.notify_one();
    }

    pub(crate) fn endpoint(&self) -> RefMut<'_, Endpoint> {
        self.endpoint.borrow_mut()
    }

    pub(crate) fn stack(&self) -> &Stack {
        &self.stack
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.socket.borrow().local_addr()
    }

    /// Replaces the socket, as after a network change.
    pub(crate) fn replace_socket(&self, socket: UdpPort) {
        *self.socket.borrow_mut() = Rc::new(socket);
        self.endpoint().forget_unsent();
        self.wake();
    }

    pub(crate) fn bind(&self, id: BindingId, sink: Rc<dyn DatagramSink>) {
        self.sinks.borrow_mut().insert(id, sink);
    }

    pub(crate) fn unbind(&self, id: BindingId) {
        self.sinks.borrow_mut().remove(&id);
        self.stack.unbind_udp(id);
    }

    /// See [`Endpoint::send_built`].
    pub(crate) fn send_built(&self, peer: PeerId, build: impl FnOnce(&mut [u8]) -> Option<usize>) {
        let socket = self.socket.borrow();
        self.endpoint().send_built(peer, build, &mut self.outside(&socket), Instant::now());
    }

    fn turn(&self, socket: &UdpPort, batch: &mut UdpBatch, plain: &mut [u8]) {
        for _ in 0..RECEIVE_BATCHES_MAX {
            let Ok(count) = socket.receive(batch) else { break };
            let now = Instant::now();
            for datagram in batch.datagrams(count) {
                self.handle_datagram(&datagram, plain, now);
            }
        }
        let socket = self.socket.borrow();
        if self.endpoint().turn(&mut self.outside(&socket), Instant::now()) {
            // Come back after the socket and the flows had their turn.
            self.wake();
        }
    }

    fn handle_datagram(&self, datagram: &Datagram<'_>, plain: &mut [u8], now: Instant) {
        let Datagram { from, to, bytes } = *datagram;
        let arrival = self.endpoint().handle_datagram(from, bytes, plain, now);
        if let Some(asked) = to.filter(|_| self.is_asked) {
            self.answering.borrow_mut().note(from, asked, arrival.is_authentic());
        }
        if let Arrival::Packet { peer, verdict, .. } = arrival {
            self.hand_on(peer, verdict, now);
        }
    }

    fn hand_on(&self, peer: PeerId, verdict: Verdict<'_>, now: Instant) {
        match verdict {
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
                    let verdict = self.endpoint().deliver(peer, &whole, now);
                    self.hand_on(peer, verdict, now);
                }
            }
            Verdict::Consumed | Verdict::Unmatched | Verdict::Malformed => {}
        }
    }

    fn sink(&self, binding: BindingId) -> Option<Rc<dyn DatagramSink>> {
        self.sinks.borrow().get(&binding).map(Rc::clone)
    }

    fn deadline(&self) -> Instant {
        let idle = Instant::now() + IDLE_WAIT_MAX;
        self.endpoint.borrow().poll_timeout().map_or(idle, |at| at.min(idle))
    }

    fn outside<'e>(&'e self, socket: &'e UdpPort) -> Outside<'e> {
        Outside { socket, answering: &self.answering, events: &self.events }
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

/// Turns after the last task has ended: resets of every flow there may be.
const FAREWELL_TURNS_MAX: usize = 256;

/// With no timer anywhere the loop still looks around now and then; it costs one wake-up a minute.
const IDLE_WAIT_MAX: Duration = Duration::from_secs(60);
