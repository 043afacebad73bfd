//! The fixed reference: smoltcp as it comes, an interface with one socket at each end of a flow.

use std::time::Instant;

use bore_rig::Result;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Address};

use crate::pipe::{MTU_BYTES, Train};
use crate::transfer::{End, Ends};

/// One end.
pub(crate) struct Reference {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    /// Whether the application writes.
    is_sender: bool,
    checksums: Checksums,
    /// Zero of smoltcp's clock.
    epoch: Instant,
}

/// Which checksums of IPv4 and of segments there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksums {
    /// Only IPv4's.
    None,
    /// As the product had it with peers whose packets are authenticated.
    Made,
    MadeAndVerified,
}

impl Reference {
    /// Both ends of a flow; the first will send once the handshake is over.
    pub(crate) fn pair(checksums: Checksums) -> Result<Ends<Self>> {
        let now = Instant::now();
        let mut sender = Self::new(SENDER, true, checksums, now)?;
        let socket = sender.sockets.get_mut::<Socket<'_>>(sender.handle);
        socket.connect(sender.interface.context(), (RECEIVER, PORT), 50_000)?;
        let mut receiver = Self::new(RECEIVER, false, checksums, now)?;
        receiver.socket().listen(PORT)?;
        Ok(Ends { sender, receiver, now })
    }

    fn new(
        address: Ipv4Address,
        is_sender: bool,
        checksums: Checksums,
        now: Instant,
    ) -> Result<Self> {
        let config = Config::new(HardwareAddress::Ip);
        let mut wire = Wire { incoming: None, room: None, checksums };
        let mut interface = Interface::new(config, &mut wire, smoltcp::time::Instant::ZERO);
        let mut is_full = false;
        interface.update_ip_addrs(|addresses| {
            is_full = addresses.push(IpCidr::new(address.into(), 0)).is_err();
        });
        if is_full {
            return Err("no room for an address".into());
        }
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket());
        Ok(Self { interface, sockets, handle, is_sender, checksums, epoch: now })
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    fn timestamp(&self, now: Instant) -> smoltcp::time::Instant {
        let micros = now.saturating_duration_since(self.epoch).as_micros();
        smoltcp::time::Instant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

impl End for Reference {
    fn handle_packet(&mut self, packet: &[u8], now: Instant) {
        let now = self.timestamp(now);
        let mut wire = Wire { incoming: Some(packet), room: None, checksums: self.checksums };
        self.interface.poll_ingress_single(now, &mut wire, &mut self.sockets);
    }

    fn work(&mut self, _: Instant) {
        let is_sender = self.is_sender;
        let socket = self.socket();
        if is_sender {
            while socket.can_send() && socket.send(|room| (room.len(), ())).is_ok() {}
        }
        while socket.can_recv() && socket.recv(|data| (data.len(), ())).is_ok() {}
    }

    fn poll_transmit(&mut self, train: &mut Train, now: Instant) -> bool {
        let now = self.timestamp(now);
        let filled = train.fill(|room| {
            let mut wire =
                Wire { incoming: None, room: Some((room, 0)), checksums: self.checksums };
            self.interface.poll_egress(now, &mut wire, &mut self.sockets);
            wire.room.map(|(_, length)| (length, length)).filter(|(length, _)| *length > 0)
        });
        filled.is_some()
    }

    fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        let timestamp = self.timestamp(now);
        let delay = self.interface.poll_delay(timestamp, &self.sockets)?;
        Some(now + std::time::Duration::from(delay))
    }
}

fn socket() -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; BUFFER_BYTES]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_congestion_control(CongestionControl::Cubic);
    socket
}

/// The device for one call: a packet that comes, or room for one that leaves.
///
/// An answer that no socket remembers has nowhere to go: on a link that loses nothing there is none.
struct Wire<'p> {
    incoming: Option<&'p [u8]>,
    /// And how much of it is filled.
    room: Option<(&'p mut [u8], usize)>,
    checksums: Checksums,
}

impl Device for Wire<'_> {
    type RxToken<'a>
        = Incoming<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Outgoing<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Incoming<'_>, Outgoing<'_>)> {
        let incoming = self.incoming.take()?;
        Some((Incoming(incoming), Outgoing { room: &mut [], length: None }))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Outgoing<'_>> {
        let (room, length) = self.room.as_mut().filter(|(_, length)| *length == 0)?;
        Some(Outgoing { room, length: Some(length) })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU_BYTES;
        (capabilities.checksum.ipv4, capabilities.checksum.tcp) = match self.checksums {
            Checksums::None => (Checksum::Tx, Checksum::None),
            Checksums::Made => (Checksum::Tx, Checksum::Tx),
            Checksums::MadeAndVerified => (Checksum::Both, Checksum::Both),
        };
        capabilities
    }
}

struct Incoming<'a>(&'a [u8]);

impl RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

struct Outgoing<'a> {
    room: &'a mut [u8],
    length: Option<&'a mut usize>,
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        match (self.room.get_mut(..length), self.length) {
            (Some(room), Some(filled)) => {
                *filled = length;
                fill(room)
            }
            _ => fill(&mut vec![0; length]),
        }
    }
}

const BUFFER_BYTES: usize = 256 * 1024;
const SENDER: Ipv4Address = Ipv4Address::new(100, 64, 0, 1);
const RECEIVER: Ipv4Address = Ipv4Address::new(100, 64, 0, 7);
const PORT: u16 = 8_080;
