//! The one-packet device behind each smoltcp call: at most one packet in, at most one packet out.

use smoltcp::phy::{
    Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken,
};
use smoltcp::time::Instant;

/// A device for the time of one call.
pub(super) struct OnePacket<'a> {
    mtu: usize,
    incoming: Option<&'a [u8]>,
    outgoing: Outgoing<'a>,
    sent_bytes: usize,
}

enum Outgoing<'a> {
    Nowhere,
    Buffer(&'a mut [u8]),
    Reply(&'a mut Vec<u8>),
}

impl<'a> OnePacket<'a> {
    /// Neither gives nor takes packets: for making an interface.
    pub(super) fn idle(mtu: usize) -> Self {
        Self { mtu, incoming: None, outgoing: Outgoing::Nowhere, sent_bytes: 0 }
    }

    /// Gives `packet` and takes the answer to it.
    pub(super) fn ingress(mtu: usize, packet: &'a [u8], reply: &'a mut Vec<u8>) -> Self {
        Self { mtu, incoming: Some(packet), outgoing: Outgoing::Reply(reply), sent_bytes: 0 }
    }

    /// Takes a packet into `buffer`.
    pub(super) fn egress(mtu: usize, buffer: &'a mut [u8]) -> Self {
        Self { mtu, incoming: None, outgoing: Outgoing::Buffer(buffer), sent_bytes: 0 }
    }

    /// Length of the packet taken; 0 when there was none.
    pub(super) fn sent_bytes(&self) -> usize {
        self.sent_bytes
    }
}

impl<'a> Device for OnePacket<'a> {
    type RxToken<'t>
        = Incoming<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Transmit<'t, 'a>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Incoming<'_>, Transmit<'_, 'a>)> {
        let packet = self.incoming.take()?;
        Some((Incoming(packet), self.transmit_token()))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_, 'a>> {
        let is_free = self.sent_bytes == 0 && matches!(self.outgoing, Outgoing::Buffer(_));
        is_free.then(|| self.transmit_token())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut checksum = ChecksumCapabilities::default();
        // The stack verifies in front, where the peer asks for it.
        checksum.ipv4 = Checksum::Tx;
        checksum.tcp = Checksum::Tx;
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities.checksum = checksum;
        capabilities
    }
}

impl<'a> OnePacket<'a> {
    fn transmit_token(&mut self) -> Transmit<'_, 'a> {
        Transmit { outgoing: &mut self.outgoing, sent_bytes: &mut self.sent_bytes }
    }
}

/// The packet given.
pub(super) struct Incoming<'t>(&'t [u8]);

impl RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Room for the packet taken.
pub(super) struct Transmit<'t, 'a> {
    outgoing: &'t mut Outgoing<'a>,
    sent_bytes: &'t mut usize,
}

impl TxToken for Transmit<'_, '_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let room = match self.outgoing {
            Outgoing::Reply(reply) => {
                reply.clear();
                reply.resize(length, 0);
                Some(reply.as_mut_slice())
            }
            Outgoing::Buffer(buffer) => buffer.get_mut(..length),
            Outgoing::Nowhere => None,
        };
        let Some(room) = room else {
            // The packet must be made somewhere for the state machine to go on; it counts as lost.
            return fill(&mut vec![0; length]);
        };
        *self.sent_bytes = length;
        fill(room)
    }
}
