//! The fixed reference: smoltcp 0.14 as it comes, an interface and a socket for each end of a flow.

use std::collections::VecDeque;
use std::time::Instant;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Address};

use crate::end::{End, MTU_BYTES};

/// One end.
pub(crate) struct Reference {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    wire: Wire,
    /// Whether the application writes; otherwise it reads.
    is_sender: bool,
    /// Zero of smoltcp's clock.
    epoch: Instant,
}

const BUFFER_BYTES: usize = 1_000_000;
const SENDER: Ipv4Address = Ipv4Address::new(100, 64, 0, 1);
const RECEIVER: Ipv4Address = Ipv4Address::new(100, 64, 0, 7);
const PORT: u16 = 8_080;

impl End for Reference {
    fn pair(seed: u64, now: Instant) -> (Self, Self) {
        let mut sender = Self::new(SENDER, true, seed, now);
        let socket = sender.sockets.get_mut::<Socket<'_>>(sender.handle);
        socket.connect(sender.interface.context(), (RECEIVER, PORT), 50_000).unwrap();
        let mut receiver = Self::new(RECEIVER, false, seed + 1, now);
        receiver.socket().listen(PORT).unwrap();
        (sender, receiver)
    }

    fn handle_packet(&mut self, packet: &[u8], now: Instant) {
        self.wire.incoming.clear();
        self.wire.incoming.extend_from_slice(packet);
        let now = self.timestamp(now);
        self.interface.poll_ingress_single(now, &mut self.wire, &mut self.sockets);
    }

    fn handle_timeout(&mut self, _: Instant) {
        // `poll_transmit` sees to it.
    }

    fn work(&mut self) -> u64 {
        let bytes = if self.is_sender { write(self.socket()) } else { read(self.socket()) };
        bytes.try_into().unwrap()
    }

    fn poll_transmit(&mut self, buffer: &mut [u8], now: Instant) -> Option<usize> {
        if self.wire.outgoing.is_empty() {
            let now = self.timestamp(now);
            self.interface.poll_egress(now, &mut self.wire, &mut self.sockets);
        }
        let packet = self.wire.outgoing.pop_front()?;
        buffer[..packet.len()].copy_from_slice(&packet);
        let bytes = packet.len();
        self.wire.spare.push(packet);
        Some(bytes)
    }

    fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        let timestamp = self.timestamp(now);
        let delay = self.interface.poll_delay(timestamp, &self.sockets)?;
        Some(now + delay.into())
    }
}

impl Reference {
    fn new(address: Ipv4Address, is_sender: bool, seed: u64, now: Instant) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut wire = Wire::default();
        let mut interface = Interface::new(config, &mut wire, smoltcp::time::Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(address.into(), 0)).unwrap();
        });
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket());
        Self { interface, sockets, handle, wire, is_sender, epoch: now }
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    fn timestamp(&self, now: Instant) -> smoltcp::time::Instant {
        let micros = now.duration_since(self.epoch).as_micros();
        smoltcp::time::Instant::from_micros(i64::try_from(micros).unwrap())
    }
}

/// Writes whatever the room happens to hold.
fn write(socket: &mut Socket<'_>) -> usize {
    while socket.can_send() {
        socket.send(|room| (room.len(), ())).unwrap();
    }
    0
}

fn read(socket: &mut Socket<'_>) -> usize {
    let mut bytes = 0;
    while socket.can_recv() {
        bytes += socket.recv(|data| (data.len(), data.len())).unwrap();
    }
    bytes
}

fn socket() -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; BUFFER_BYTES]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_congestion_control(CongestionControl::Cubic);
    socket
}

/// The device: a packet in, packets out, and buffers for more.
#[derive(Default)]
struct Wire {
    /// Empty when there is none.
    incoming: Vec<u8>,
    outgoing: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
}

impl Device for Wire {
    type RxToken<'a> = Incoming<'a>;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Incoming<'_>, Outgoing<'_>)> {
        let Self { incoming, outgoing, spare } = self;
        let token = Incoming(incoming);
        (!token.0.is_empty()).then_some((token, Outgoing { outgoing, spare }))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing { outgoing: &mut self.outgoing, spare: &mut self.spare })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU_BYTES;
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

struct Outgoing<'a> {
    outgoing: &'a mut VecDeque<Vec<u8>>,
    spare: &'a mut Vec<Vec<u8>>,
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut packet = self.spare.pop().unwrap_or_default();
        packet.resize(length, 0);
        let result = fill(&mut packet);
        self.outgoing.push_back(packet);
        result
    }
}
