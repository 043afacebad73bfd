//! Step 1 of the engine: unmodified smoltcp, one interface and one socket for each connection.
//!
//! `Interface` and `SocketSet` of one socket make every call cost the same, whatever the number of
//! connections. The interface owns exactly the local address, so that a connection can start from a
//! foreign address.
//!
//! What smoltcp 0.14 must be kept from is in [`quirks`].

mod quirks;

use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{CongestionControl, RecvError, Socket, SocketBuffer, State};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

use super::device::OnePacket;
use super::{Engine, Offered, Phase, Received, Sent, Setup};
use crate::limits::{RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES};
use crate::packet::{Body, Packet, Segment};
use quirks::{bare_acknowledgment, is_before};

/// One connection on smoltcp.
pub(crate) struct SmoltcpEngine {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    setup: Setup,
    /// Zero of smoltcp's clock.
    epoch: Instant,
    last_sent: Option<LastSent>,
    /// Number and window of the last segment, if it was a bare ACK.
    last_heard: Option<(u32, u16)>,
    /// First byte of the other side's stream, once known.
    stream_start: Option<u32>,
    /// Bytes read by the user; wraps as sequence numbers do.
    read_bytes: u32,
    /// Highest acknowledgment taken.
    acknowledged: Option<u32>,
    shutdown: Shutdown,
    is_reset: bool,
}

/// What the other side knows from the segment sent last.
#[derive(Debug, Clone, Copy)]
struct LastSent {
    /// The highest at which a segment ended.
    sequence: u32,
    acknowledgment: u32,
    is_syn: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shutdown {
    No,
    /// Asked for; FIN waits for the end of the handshake.
    Wanted,
    /// Given to smoltcp.
    Begun,
    /// FIN is acknowledged.
    Done,
}

impl Engine for SmoltcpEngine {
    fn connect(setup: &Setup, now: Instant) -> Option<Self> {
        let mut engine = Self::new(setup, now);
        let socket = engine.sockets.get_mut::<Socket<'_>>(engine.handle);
        socket.connect(engine.interface.context(), setup.remote, setup.local).ok()?;
        Some(engine)
    }

    fn accept(setup: &Setup, syn: &Packet<'_>, segment: &Segment, now: Instant) -> Option<Self> {
        let mut engine = Self::new(setup, now);
        engine.socket_mut().listen(setup.local).ok()?;
        engine.handle_segment(syn, segment, now, &mut Vec::new());
        (engine.socket().state() == State::SynReceived).then_some(engine)
    }

    fn handle_segment(
        &mut self,
        packet: &Packet<'_>,
        segment: &Segment,
        now: Instant,
        reply: &mut Vec<u8>,
    ) {
        if self.must_not_see(segment) {
            return;
        }
        self.last_heard = bare_acknowledgment(segment);
        if self.is_old(segment) {
            self.salvage_acknowledgment(segment, now, reply);
        }
        self.feed(packet.bytes, segment, now, reply);
    }

    fn poll_transmit(&mut self, buffer: &mut [u8], now: Instant) -> Option<Sent> {
        let timestamp = self.timestamp(now);
        let mut device = OnePacket::egress(self.setup.mtu, buffer);
        self.interface.poll_egress(timestamp, &mut device, &mut self.sockets);
        let bytes = device.sent_bytes();
        let segment = self.note_sent(buffer.get(..bytes)?)?;
        let bytes = if segment.reset { self.redate_reset(&segment, buffer)? } else { bytes };
        Some(Sent { bytes, elicits_answer: segment.elicits_answer() })
    }

    fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        let timestamp = self.timestamp(now);
        let due = self.interface.poll_at(timestamp, &self.sockets)?;
        let micros = u64::try_from(due.total_micros()).unwrap_or(0);
        Some(self.epoch + Duration::from_micros(micros))
    }

    fn phase(&self) -> Phase {
        if self.is_reset {
            return Phase::Reset;
        }
        match self.socket().state() {
            State::SynSent | State::SynReceived | State::Listen => Phase::Handshake,
            State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck => Phase::Open,
            State::TimeWait => Phase::TimeWait,
            State::Closed => Phase::Closed,
        }
    }

    fn receive_with<R>(&mut self, read: impl FnOnce(&[u8]) -> (usize, R)) -> Received<R> {
        let socket = self.socket_mut();
        if !socket.can_recv() {
            // smoltcp tells the end of the stream only by trying.
            return match socket.recv(|_| (0, ())) {
                Err(RecvError::Finished) => Received::End,
                Err(RecvError::InvalidState) | Ok(()) => Received::Empty,
            };
        }
        let outcome = socket.recv(|bytes| {
            let (taken, outcome) = read(bytes);
            let taken = taken.min(bytes.len());
            (taken, (taken, outcome))
        });
        let Ok((taken, outcome)) = outcome else { return Received::Empty };
        // At most one buffer, which is less than 2^32.
        self.read_bytes = self.read_bytes.wrapping_add(u32::try_from(taken).unwrap_or(0));
        Received::Data(outcome)
    }

    fn send_with<R>(&mut self, write: impl FnOnce(&mut [u8]) -> (usize, R)) -> Offered<R> {
        if self.is_shut_down() || self.is_reset {
            return Offered::Closed;
        }
        let socket = self.socket_mut();
        match socket.state() {
            State::SynSent | State::SynReceived | State::Listen => return Offered::Full,
            State::Established | State::CloseWait if !socket.can_send() => return Offered::Full,
            State::Established
            | State::CloseWait
            | State::FinWait1
            | State::FinWait2
            | State::Closing
            | State::LastAck
            | State::TimeWait
            | State::Closed => {}
        }
        let outcome = socket.send(|room| {
            let (written, outcome) = write(room);
            (written.min(room.len()), outcome)
        });
        outcome.map_or(Offered::Closed, Offered::Room)
    }

    fn unread_bytes(&self) -> usize {
        self.socket().recv_queue()
    }

    fn unacknowledged_bytes(&self) -> usize {
        self.socket().send_queue()
    }

    fn is_readable(&self) -> bool {
        let socket = self.socket();
        let fin_is_possible = matches!(
            socket.state(),
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait | State::Closed
        );
        socket.can_recv() || fin_is_possible
    }

    fn is_writable(&self) -> bool {
        self.socket().can_send() && !self.is_shut_down()
    }

    fn shutdown(&mut self) {
        if self.shutdown == Shutdown::No {
            self.shutdown = Shutdown::Wanted;
            self.begin_shutdown();
        }
    }

    fn is_shut_down(&self) -> bool {
        self.shutdown != Shutdown::No
    }

    fn is_flushed(&self) -> bool {
        match self.shutdown {
            Shutdown::No => self.unacknowledged_bytes() == 0,
            Shutdown::Wanted | Shutdown::Begun => false,
            Shutdown::Done => true,
        }
    }

    fn abort(&mut self) {
        self.socket_mut().abort();
    }

    fn set_keep_alive(&mut self, interval: Option<Duration>) {
        self.socket_mut().set_keep_alive(interval.map(Into::into));
    }

    fn syn_sequence(&self) -> Option<u32> {
        let sent = self.last_sent.filter(|sent| sent.is_syn)?;
        Some(sent.sequence.wrapping_sub(1))
    }

    fn sequences(&self) -> Option<(u32, u32)> {
        let sent = self.last_sent?;
        let expected = self.expected_sequence()?;
        (sent.acknowledgment == expected).then_some((sent.sequence, expected))
    }

    fn state_name(&self) -> &'static str {
        match self.socket().state() {
            State::Closed => "CLOSED",
            State::Listen => "LISTEN",
            State::SynSent => "SYN-SENT",
            State::SynReceived => "SYN-RECEIVED",
            State::Established => "ESTABLISHED",
            State::FinWait1 => "FIN-WAIT-1",
            State::FinWait2 => "FIN-WAIT-2",
            State::CloseWait => "CLOSE-WAIT",
            State::Closing => "CLOSING",
            State::LastAck => "LAST-ACK",
            State::TimeWait => "TIME-WAIT",
        }
    }
}

impl SmoltcpEngine {
    fn new(setup: &Setup, now: Instant) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = setup.seed;
        let mut device = OnePacket::idle(setup.mtu);
        let mut interface = Interface::new(config, &mut device, smoltcp::time::Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // The set has room for at least one address, and it is empty.
            let _ = addresses.push(host(setup.local.ip().into()));
        });
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket());
        Self {
            interface,
            sockets,
            handle,
            setup: *setup,
            epoch: now,
            last_sent: None,
            last_heard: None,
            stream_start: None,
            read_bytes: 0,
            acknowledged: None,
            shutdown: Shutdown::No,
            is_reset: false,
        }
    }

    fn socket(&self) -> &Socket<'static> {
        self.sockets.get(self.handle)
    }

    fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    fn timestamp(&self, now: Instant) -> smoltcp::time::Instant {
        let micros = now.saturating_duration_since(self.epoch).as_micros();
        smoltcp::time::Instant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// Gives a packet to smoltcp.
    fn feed(&mut self, packet: &[u8], segment: &Segment, now: Instant, reply: &mut Vec<u8>) {
        let before = self.socket().state();
        let timestamp = self.timestamp(now);
        let mut device = OnePacket::ingress(self.setup.mtu, packet, reply);
        self.interface.poll_ingress_single(timestamp, &mut device, &mut self.sockets);
        if matches!(before, State::Listen | State::SynSent) && before != self.socket().state() {
            self.stream_start = Some(segment.sequence.wrapping_add(1));
        }
        let newest = segment.acknowledgment.filter(|number| self.is_new_acknowledgment(*number));
        self.acknowledged = newest.or(self.acknowledged);
        self.note_transition(before, segment);
        self.note_sent(reply);
    }

    fn note_transition(&mut self, before: State, segment: &Segment) {
        let after = self.socket().state();
        let fell = matches!(after, State::Closed | State::Listen) && before != after;
        if fell && segment.reset {
            self.is_reset = true;
            return;
        }
        let fin_is_acknowledged = match after {
            State::FinWait2 | State::TimeWait => true,
            State::Closed => before == State::LastAck,
            State::Listen
            | State::SynSent
            | State::SynReceived
            | State::Established
            | State::FinWait1
            | State::CloseWait
            | State::Closing
            | State::LastAck => false,
        };
        if fin_is_acknowledged {
            self.shutdown = Shutdown::Done;
        }
        self.begin_shutdown();
    }

    fn begin_shutdown(&mut self) {
        let is_open = matches!(self.socket().state(), State::Established | State::CloseWait);
        if self.shutdown == Shutdown::Wanted && is_open {
            self.shutdown = Shutdown::Begun;
            self.socket_mut().close();
        }
    }

    fn note_sent(&mut self, packet: &[u8]) -> Option<Segment> {
        let Ok(Packet { body: Body::Tcp(segment), .. }) = Packet::parse(packet, false) else {
            return None;
        };
        if !segment.reset {
            let end = segment.sequence_end();
            let highest = self.last_sent.map(|sent| sent.sequence);
            self.last_sent = Some(LastSent {
                sequence: highest.filter(|highest| is_before(end, *highest)).unwrap_or(end),
                acknowledgment: segment.acknowledgment.unwrap_or(0),
                is_syn: segment.opens(),
            });
        }
        Some(segment)
    }
}

fn socket() -> Socket<'static> {
    let receive_buffer = SocketBuffer::new(vec![0; RECEIVE_BUFFER_BYTES]);
    let send_buffer = SocketBuffer::new(vec![0; SEND_BUFFER_BYTES]);
    let mut socket = Socket::new(receive_buffer, send_buffer);
    socket.set_congestion_control(CongestionControl::Cubic);
    socket.set_nagle_enabled(false);
    socket.set_ack_delay(Some(ACK_DELAY));
    socket
}

const ACK_DELAY: smoltcp::time::Duration = smoltcp::time::Duration::from_millis(10);

fn host(address: IpAddress) -> IpCidr {
    let prefix_bits = match address {
        IpAddress::Ipv4(_) => 32,
        IpAddress::Ipv6(_) => 128,
    };
    IpCidr::new(address, prefix_bits)
}
