//! The seam to the WireGuard engine. Nothing else in this room names boringtun.
//!
//! The engine is used for its cryptography only: one [`Tunnel`] is one handshake and the one session that follows from it. Timers,
//! expiry, retries, which session is used, and where datagrams go are decided in `peer`, by the caller's `now`. The engine's own timers
//! are never run. What can make it panic (short buffers, counters at the end of their range) is refused before it is called.
//! Source: the WireGuard paper (Donenfeld, 2017), §5.4.

use std::net::IpAddr;
use std::sync::Arc;

use boringtun::noise::errors::WireGuardError;
use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Packet, Tunn, TunnResult};
use boringtun::x25519;

use crate::counters::DropReason;
use crate::key::{PrivateKey, PublicKey};

/// Our key, and what follows from it once.
pub(crate) struct Keys {
    secret: x25519::StaticSecret,
    public: x25519::PublicKey,
    /// Always under load, so it checks mac1 and mac2 both and always has a cookie to give.
    guard: RateLimiter,
    /// Never under load: what reaches a tunnel was admitted before.
    unlimited: Arc<RateLimiter>,
}

/// What the two MACs of an initiation say.
pub(crate) enum Proof {
    /// The sender does not know our key.
    Forged,
    /// The sender knows our key; the reply would make it prove its address.
    Unproven(Box<[u8]>),
    /// The sender receives at its address.
    Proven,
}

impl Keys {
    pub(crate) fn new(private: &PrivateKey) -> Self {
        let secret = private.secret().clone();
        let public = x25519::PublicKey::from(&secret);
        Self {
            guard: RateLimiter::new(&public, 0),
            unlimited: Arc::new(RateLimiter::new(&public, u64::MAX)),
            secret,
            public,
        }
    }

    /// Checks the MACs of an initiation; no Diffie-Hellman.
    pub(crate) fn check_initiation(&self, from: IpAddr, initiation: &[u8]) -> Proof {
        let mut reply = [0; COOKIE_REPLY_BYTES];
        match self.guard.verify_packet(Some(from), initiation, &mut reply) {
            Ok(_) => Proof::Proven,
            Err(TunnResult::WriteToNetwork(reply)) => Proof::Unproven((&*reply).into()),
            Err(_) => Proof::Forged,
        }
    }

    /// Who says that it sent an initiation: one Diffie-Hellman. Proves nothing yet.
    pub(crate) fn initiator(&self, initiation: &[u8]) -> Option<PublicKey> {
        let Ok(Packet::HandshakeInit(packet)) = Tunn::parse_incoming_packet(initiation) else {
            return None;
        };
        let half = parse_handshake_anon(&self.secret, &self.public, &packet).ok()?;
        Some(PublicKey(half.peer_static_public))
    }
}

/// One handshake, and the session that follows from it.
pub(crate) struct Tunnel(Box<Tunn>);

/// What an authentic transport datagram held.
pub(crate) enum Opened<'b> {
    /// Nothing.
    Keepalive,
    /// An IP packet, cut to the length that its header says.
    Packet(&'b mut [u8]),
    /// Something that is no IP packet.
    Malformed,
}

impl Tunnel {
    /// A tunnel to `peer` whose receiver index has `index` in its upper 24 bits.
    pub(crate) fn new(
        keys: &Keys,
        peer: &PublicKey,
        preshared_key: Option<[u8; 32]>,
        index: u32,
    ) -> Self {
        Self(Box::new(Tunn::new(
            keys.secret.clone(),
            x25519::PublicKey::from(peer.0),
            preshared_key,
            None,
            index & INDEX_MASK,
            Some(Arc::clone(&keys.unlimited)),
        )))
    }

    /// A fresh initiation. Answers to the one before it are still understood.
    pub(crate) fn initiate(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; INITIATION_BYTES];
        datagram(&self.0.format_handshake_initiation(&mut buffer, true))
    }

    /// The response to an initiation, if that proves to be the peer's.
    pub(crate) fn answer(&mut self, from: IpAddr, initiation: &[u8]) -> Option<Vec<u8>> {
        let mut buffer = [0; INITIATION_BYTES];
        datagram(&self.0.decapsulate(Some(from), initiation, &mut buffer))
    }

    /// Takes the response to our initiation: a session stands, and the keepalive that confirms it is to be sent.
    pub(crate) fn complete(&mut self, from: IpAddr, response: &[u8]) -> Option<Vec<u8>> {
        let mut buffer = [0; INITIATION_BYTES];
        datagram(&self.0.decapsulate(Some(from), response, &mut buffer))
    }

    /// Takes a cookie for the next initiation. False when it is not for our last one.
    pub(crate) fn take_cookie(&mut self, reply: &[u8]) -> bool {
        let mut buffer = [0; INITIATION_BYTES];
        matches!(self.0.decapsulate(None, reply, &mut buffer), TunnResult::Done)
    }

    /// Seals a packet; an empty one is a keepalive. `None` when the buffer is too small. Only for a confirmed session.
    pub(crate) fn seal<'b>(&mut self, packet: &[u8], buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let needed = packet.len().checked_add(TRANSPORT_BYTES_MIN)?.max(INITIATION_BYTES);
        if buffer.len() < needed {
            return None;
        }
        match self.0.encapsulate(packet, buffer) {
            TunnResult::WriteToNetwork(sealed) => Some(sealed),
            TunnResult::Done
            | TunnResult::Err(_)
            | TunnResult::WriteToTunnelV4(..)
            | TunnResult::WriteToTunnelV6(..) => None,
        }
    }

    /// Opens a transport datagram into `buffer`.
    pub(crate) fn open<'b>(
        &mut self,
        datagram: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<Opened<'b>, DropReason> {
        if buffer.len() < datagram.len().max(INITIATION_BYTES) {
            return Err(DropReason::BufferTooSmall);
        }
        if transport_counter(datagram).ok_or(DropReason::Malformed)? >= REJECT_AFTER_MESSAGES {
            return Err(DropReason::Replayed);
        }
        match self.0.decapsulate(None, datagram, buffer) {
            TunnResult::Done => Ok(Opened::Keepalive),
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                Ok(Opened::Packet(packet))
            }
            TunnResult::Err(WireGuardError::InvalidPacket) => Ok(Opened::Malformed),
            TunnResult::Err(error) => Err(reason(&error)),
            TunnResult::WriteToNetwork(_) => Err(DropReason::Malformed),
        }
    }
}

fn datagram(result: &TunnResult<'_>) -> Option<Vec<u8>> {
    match result {
        TunnResult::WriteToNetwork(datagram) => Some(datagram.to_vec()),
        TunnResult::Done
        | TunnResult::Err(_)
        | TunnResult::WriteToTunnelV4(..)
        | TunnResult::WriteToTunnelV6(..) => None,
    }
}

/// Why a transport datagram did not open.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the engine's other errors cannot come from a transport datagram"
)]
fn reason(error: &WireGuardError) -> DropReason {
    match error {
        WireGuardError::WrongIndex | WireGuardError::NoCurrentSession => DropReason::UnknownIndex,
        WireGuardError::InvalidCounter | WireGuardError::DuplicateCounter => DropReason::Replayed,
        _ => DropReason::Unauthentic,
    }
}

/// Bytes 8..16 of a transport datagram, little-endian.
fn transport_counter(datagram: &[u8]) -> Option<u64> {
    datagram.get(8..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// First byte of a handshake initiation.
pub(crate) const INITIATION: u8 = 1;
/// First byte of a handshake response.
pub(crate) const RESPONSE: u8 = 2;
/// First byte of a cookie reply.
pub(crate) const COOKIE_REPLY: u8 = 3;
/// First byte of transport data.
pub(crate) const TRANSPORT: u8 = 4;
/// Length of a handshake initiation, and the smallest buffer that the engine takes.
pub(crate) const INITIATION_BYTES: usize = 148;
/// Length of a handshake response.
pub(crate) const RESPONSE_BYTES: usize = 92;
/// Length of a cookie reply.
pub(crate) const COOKIE_REPLY_BYTES: usize = 64;
/// Length of a keepalive, the shortest transport datagram.
pub(crate) const TRANSPORT_BYTES_MIN: usize = 32;
/// Paper §6.1. Also keeps the engine's arithmetic on counters from overflowing.
const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13);
const INDEX_MASK: u32 = 0x00FF_FFFF;
