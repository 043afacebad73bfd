//! smoltcp as an end: a stack of other people's making.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bore_netstack::Congestion;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::time::Duration;
use smoltcp::wire::{HardwareAddress, IpCidr};

use crate::run::End;
use crate::schedule::Schedule;

pub(crate) struct Foreign {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    wire: Wire,
    epoch: Instant,
    was_open: bool,
    has_their_fin: bool,
}

const BUFFER_BYTES: usize = 64 * 1024;
/// Longer than our own.
const TIMEOUT: Duration = Duration::from_secs(60);

impl End for Foreign {
    fn open(schedule: &Schedule, now: Instant) -> Self {
        let (source, destination) = schedule.addresses();
        let mut foreign = Self::new(schedule, source, now);
        let socket = foreign.sockets.get_mut::<Socket<'_>>(foreign.handle);
        let context = foreign.interface.context();
        socket.connect(context, destination, source.port()).unwrap();
        foreign
    }

    fn accept(schedule: &Schedule, now: Instant) -> Self {
        let (_, address) = schedule.addresses();
        let mut foreign = Self::new(schedule, address, now);
        foreign.socket().listen(address.port()).unwrap();
        foreign
    }

    fn handle_packet(&mut self, packet: &[u8], now: Instant) {
        self.wire.incoming.extend_from_slice(packet);
        let now = self.timestamp(now);
        self.interface.poll_ingress_single(now, &mut self.wire, &mut self.sockets);
        self.wire.incoming.clear();
        self.look();
    }

    fn poll_transmit(&mut self, buffer: &mut [u8], now: Instant) -> Option<usize> {
        if self.wire.outgoing.is_empty() {
            let now = self.timestamp(now);
            self.interface.poll_egress(now, &mut self.wire, &mut self.sockets);
            self.look();
        }
        let packet = self.wire.outgoing.pop_front()?;
        buffer[..packet.len()].copy_from_slice(&packet);
        Some(packet.len())
    }

    fn handle_timeout(&mut self, _: Instant) {
        // `poll_transmit` sees to it.
    }

    fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        let timestamp = self.timestamp(now);
        let delay = self.interface.poll_delay(timestamp, &self.sockets)?;
        Some(now + delay.into())
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let socket = self.socket();
        if socket.can_send() { socket.send_slice(bytes).unwrap() } else { 0 }
    }

    fn read(&mut self, into: &mut Vec<u8>) {
        while self.socket().can_recv() {
            self.socket().recv(|data| (data.len(), into.extend_from_slice(data))).unwrap();
        }
    }

    fn has_ended(&mut self) -> bool {
        self.has_their_fin && !self.socket().can_recv()
    }

    fn close(&mut self) {
        self.socket().close();
    }

    fn is_over(&mut self) -> bool {
        matches!(self.socket().state(), State::Closed | State::TimeWait)
    }

    fn has_failed(&mut self) -> bool {
        self.was_open && !self.has_their_fin && self.socket().state() == State::Closed
    }
}

impl Foreign {
    fn new(schedule: &Schedule, address: SocketAddr, now: Instant) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = schedule.seed;
        let mut wire = Wire::new(schedule.mtu);
        let mut interface = Interface::new(config, &mut wire, smoltcp::time::Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(address.ip().into(), 0)).unwrap();
        });
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(socket(schedule.congestion));
        let (was_open, has_their_fin) = (false, false);
        Self { interface, sockets, handle, wire, epoch: now, was_open, has_their_fin }
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// A closed socket tells nothing of how it was closed.
    fn look(&mut self) {
        let state = self.socket().state();
        self.was_open |= !matches!(state, State::Closed | State::Listen);
        self.has_their_fin |=
            matches!(state, State::CloseWait | State::LastAck | State::Closing | State::TimeWait);
    }

    fn timestamp(&self, now: Instant) -> smoltcp::time::Instant {
        let micros = now.duration_since(self.epoch).as_micros();
        smoltcp::time::Instant::from_micros(i64::try_from(micros).unwrap())
    }
}

fn socket(congestion: Congestion) -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; BUFFER_BYTES]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_timeout(Some(TIMEOUT));
    socket.set_congestion_control(match congestion {
        Congestion::Model => CongestionControl::None,
        Congestion::Cubic => CongestionControl::Cubic,
    });
    socket
}

/// The device: a packet in, packets out.
struct Wire {
    mtu: usize,
    /// Empty when there is none.
    incoming: Vec<u8>,
    outgoing: VecDeque<Vec<u8>>,
}

impl Wire {
    fn new(mtu: usize) -> Self {
        Self { mtu, incoming: Vec::new(), outgoing: VecDeque::new() }
    }
}

impl Device for Wire {
    type RxToken<'a> = Incoming<'a>;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Incoming<'_>, Outgoing<'_>)> {
        let token = Incoming(&mut self.incoming);
        (!token.0.is_empty()).then_some((token, Outgoing(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

struct Incoming<'a>(&'a mut Vec<u8>);

impl RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        let result = read(self.0);
        self.0.clear();
        result
    }
}

struct Outgoing<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut packet = vec![0; length];
        let result = fill(&mut packet);
        self.0.push_back(packet);
        result
    }
}
