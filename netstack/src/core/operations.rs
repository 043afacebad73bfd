//! What handles do to flows.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rand::Rng;

use super::Core;
use super::flow::{End, Flow, Stage, register};
use super::slab::FlowId;
use super::table::{FlowKey, Slot};
use crate::error::ConnectError;
use crate::flow::FlowInfo;
use crate::limits::FREE_PORT_PROBES_MAX;
use crate::packet::is_host;
use crate::tcp::{Connection, Offered, Phase, Received};
use crate::types::PeerKey;

/// First port that [`Core::free_port`] gives (RFC 6335 §6).
const DYNAMIC_PORT_MIN: u16 = 49_152;

impl Core {
    /// Begins a flow from `source` to `destination`; the SYN leaves by egress.
    pub(crate) fn connect(
        &mut self,
        peer: PeerKey,
        source: SocketAddr,
        destination: SocketAddr,
        timeout: Duration,
        now: Instant,
    ) -> Result<FlowId, ConnectError> {
        let now = self.observe(now);
        if !is_reachable(source, destination) {
            return Err(ConnectError::Unaddressable);
        }
        let key = FlowKey::new(peer, source, destination);
        self.make_way(&key)?;
        if self.has_too_many_flows(peer) {
            self.counters.flows_refused += 1;
            return Err(ConnectError::Full);
        }
        let setup = self.setup(peer, source, destination).ok_or(ConnectError::PeerGone)?;
        let connection = Connection::connect(&setup, now);
        let stage = Stage::Connecting { deadline: now + timeout };
        Ok(self.insert_flow(Flow::new(key, (source, destination), connection, stage)))
    }

    /// Whether the handshake is over, and how.
    pub(crate) fn poll_connected(
        &mut self,
        id: FlowId,
        context: &Context<'_>,
    ) -> Poll<Result<(), ConnectError>> {
        let Some(flow) = self.flows.get_mut(id) else {
            return Poll::Ready(Err(ConnectError::PeerGone));
        };
        if flow.stage == Stage::Open {
            return Poll::Ready(Ok(()));
        }
        match flow.end {
            None | Some(End::Finished) => {
                register(&mut flow.wakers.write, context);
                Poll::Pending
            }
            Some(End::Reset | End::Aborted) => Poll::Ready(Err(ConnectError::Refused)),
            Some(End::TimedOut) => Poll::Ready(Err(ConnectError::TimedOut)),
            Some(End::Unreachable(kind)) => Poll::Ready(Err(ConnectError::Unreachable(kind))),
            Some(End::PeerGone) => Poll::Ready(Err(ConnectError::PeerGone)),
        }
    }

    /// A source port from which `destination` is not yet connected to.
    pub(crate) fn free_port(
        &mut self,
        peer: PeerKey,
        source: IpAddr,
        destination: SocketAddr,
    ) -> Option<u16> {
        let probes = 0..FREE_PORT_PROBES_MAX;
        probes.map(|_| self.random.random_range(DYNAMIC_PORT_MIN..=u16::MAX)).find(|port| {
            let key = FlowKey::new(peer, SocketAddr::new(source, *port), destination);
            !self.table.contains_key(&key)
        })
    }

    pub(crate) fn poll_read_with(
        &mut self,
        id: FlowId,
        context: &Context<'_>,
        read: impl FnOnce(&[u8]) -> io::Result<usize>,
    ) -> Poll<io::Result<Option<usize>>> {
        let Some(flow) = self.flows.get_mut(id) else { return gone() };
        let outcome = flow.connection.receive_with(|bytes| match read(bytes) {
            Ok(taken) => (taken, Ok(taken.min(bytes.len()))),
            Err(error) => (0, Err(error)),
        });
        match outcome {
            Received::Data(Ok(taken)) => {
                flow.received_bytes += taken as u64;
                // Nothing else follows from reading.
                if flow.connection.owes_acknowledgment() {
                    self.settle(id);
                }
                Poll::Ready(Ok(Some(taken)))
            }
            Received::Data(Err(error)) => Poll::Ready(Err(error)),
            Received::End => Poll::Ready(Ok(None)),
            Received::Empty => match flow.end {
                Some(End::Finished) => Poll::Ready(Ok(None)),
                Some(end) => Poll::Ready(Err(end.error())),
                None => {
                    register(&mut flow.wakers.read, context);
                    Poll::Pending
                }
            },
        }
    }

    pub(crate) fn poll_write_with(
        &mut self,
        id: FlowId,
        context: &Context<'_>,
        write: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let Some(flow) = self.flows.get_mut(id) else { return gone() };
        if let Some(end) = flow.end {
            return Poll::Ready(Err(end.error()));
        }
        let outcome = flow.connection.send_with(|room| match write(room) {
            Ok(written) => (written, Ok(written.min(room.len()))),
            Err(error) => (0, Err(error)),
        });
        match outcome {
            Offered::Room(Ok(written)) => {
                flow.sent_bytes += written as u64;
                // One that waits for its turn is looked after then.
                if !flow.is_queued {
                    self.settle(id);
                }
                Poll::Ready(Ok(written))
            }
            Offered::Room(Err(error)) => Poll::Ready(Err(error)),
            Offered::Full => {
                register(&mut flow.wakers.write, context);
                Poll::Pending
            }
            Offered::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    pub(crate) fn poll_flushed(
        &mut self,
        id: FlowId,
        context: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(flow) = self.flows.get_mut(id) else { return gone() };
        match flow.end {
            _ if flow.connection.is_flushed() => Poll::Ready(Ok(())),
            Some(End::Finished) => Poll::Ready(Ok(())),
            Some(end) => Poll::Ready(Err(end.error())),
            None => {
                register(&mut flow.wakers.flush, context);
                Poll::Pending
            }
        }
    }

    pub(crate) fn poll_reset(&mut self, id: FlowId, context: &Context<'_>) -> Poll<()> {
        let Some(flow) = self.flows.get_mut(id) else { return Poll::Ready(()) };
        match flow.end {
            None | Some(End::Finished) => {
                register(&mut flow.wakers.reset, context);
                Poll::Pending
            }
            Some(_) => Poll::Ready(()),
        }
    }

    pub(crate) fn has_heard_end(&self, id: FlowId) -> bool {
        self.flows.get(id).is_some_and(|flow| flow.connection.has_heard_end())
    }

    pub(crate) fn shutdown(&mut self, id: FlowId) {
        if let Some(flow) = self.flows.get_mut(id).filter(|flow| flow.end.is_none()) {
            flow.connection.shutdown();
            self.settle(id);
        }
    }

    pub(crate) fn abort(&mut self, id: FlowId) {
        if let Some(flow) = self.flows.get_mut(id) {
            flow.give_up(End::Aborted);
            self.settle(id);
        }
    }

    pub(crate) fn set_keep_alive(&mut self, id: FlowId, interval: Option<Duration>) {
        if let Some(flow) = self.flows.get_mut(id).filter(|flow| flow.end.is_none()) {
            flow.connection.set_keep_alive(interval);
            self.settle(id);
        }
    }

    /// The handle of the flow is gone.
    pub(crate) fn release(&mut self, id: FlowId) {
        let (Some(now), Some(flow)) = (self.now, self.flows.get_mut(id)) else { return };
        flow.release(now);
        self.counters.flows_lingered += u64::from(flow.end.is_none());
        self.settle(id);
    }

    pub(crate) fn flow_info(&self, id: FlowId) -> FlowInfo {
        self.flows.get(id).map_or_else(FlowInfo::default, |flow| {
            let path = flow.connection.path_info();
            FlowInfo {
                state: flow.connection.state_name(),
                received_bytes: flow.received_bytes,
                sent_bytes: flow.sent_bytes,
                send_queue_bytes: flow.connection.unacknowledged_bytes(),
                round_trip: path.round_trip,
                congestion_window_bytes: path.window_bytes,
                retransmitted_bytes: path.retransmitted_bytes,
            }
        })
    }

    /// Makes the 5-tuple free if it only was in TIME-WAIT.
    fn make_way(&mut self, key: &FlowKey) -> Result<(), ConnectError> {
        match self.table.get(key).copied() {
            None => {}
            Some(Slot::TimeWait(_)) => self.forget_time_wait(key),
            Some(Slot::Flow(id)) if self.is_in_time_wait(id) => self.end_flow(id, End::Finished),
            Some(Slot::Flow(_) | Slot::HalfOpen(_)) => return Err(ConnectError::InUse),
        }
        Ok(())
    }

    fn is_in_time_wait(&self, id: FlowId) -> bool {
        self.flows.get(id).is_some_and(|flow| flow.connection.phase() == Phase::TimeWait)
    }
}

fn is_reachable(source: SocketAddr, destination: SocketAddr) -> bool {
    source.is_ipv4() == destination.is_ipv4()
        && is_host(source.ip())
        && is_host(destination.ip())
        && source.port() != 0
        && destination.port() != 0
}

/// A handle holds its flow in memory, so this is never seen.
fn gone<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}
