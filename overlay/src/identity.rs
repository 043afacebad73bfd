//! WHO and IAM: how a node learns the key of a relay of which it knows only the address and the cluster.
//!
//! | message | bytes |
//! |---|---|
//! | WHO | 0xB2, 0x02, 0, 0, nonce (8), zeros to 160 |
//! | IAM | 0xB2, 0x03, 0, 0, nonce (8), key (32), signature (64) |
//!
//! WHO is padded, so that its answer is shorter. An IAM counts only if its nonce is that of an open request and the cluster that the
//! request names has signed the key.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::SmallRng;

use crate::cluster::{ClusterPublicKey, RelayIdentity};
use crate::counters::DropReason;
use crate::key::PublicKey;
use crate::limits::IDENTITY_REQUESTS_MAX;
use crate::outbox::Outbox;
use bore_rate::Rate;

use crate::prefix::PrefixLimiter;

/// Relays that are being asked.
#[derive(Debug, Default)]
pub(crate) struct Requests(Vec<Request>);

#[derive(Debug)]
struct Request {
    to: SocketAddr,
    cluster: ClusterPublicKey,
    nonce: [u8; 8],
    due: Instant,
}

impl Requests {
    /// Asks `to` until it answers. Asking it again begins anew.
    pub(crate) fn add(
        &mut self,
        to: SocketAddr,
        cluster: ClusterPublicKey,
        random: &mut SmallRng,
        out: &mut Outbox,
        now: Instant,
    ) {
        self.0.retain(|request| request.to != to);
        if self.0.len() >= IDENTITY_REQUESTS_MAX {
            out.counters.count_drop(DropReason::IdentityRequestsFull);
            return;
        }
        self.0.push(Request { to, cluster, nonce: random.random(), due: now });
        self.handle_timeout(out, now);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn handle_timeout(&mut self, out: &mut Outbox, now: Instant) {
        for request in self.0.iter_mut().filter(|request| request.due <= now) {
            request.due = now + REPEAT_AFTER;
            out.send(request.to, who(request.nonce));
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.0.iter().map(|request| (request.due, "identity request")).min()
    }

    /// Takes an IAM; the request that it answers is done.
    pub(crate) fn handle_iam(&mut self, datagram: &[u8]) -> Result<PublicKey, DropReason> {
        let (nonce, identity) = parse_iam(datagram).ok_or(DropReason::Malformed)?;
        let answered =
            |request: &Request| request.nonce == nonce && identity.verify(&request.cluster);
        let position = self.0.iter().position(answered).ok_or(DropReason::InvalidIdentity)?;
        self.0.remove(position);
        Ok(identity.key)
    }
}

/// Tells who we are.
pub(crate) struct Answerer {
    identity: Option<RelayIdentity>,
    limiter: PrefixLimiter,
}

impl Answerer {
    pub(crate) fn new(identity: Option<RelayIdentity>, seed: u64) -> Self {
        Self { identity, limiter: PrefixLimiter::new(RATE, V6_BITS, seed) }
    }

    /// The IAM for a WHO.
    pub(crate) fn handle_who(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> Result<Vec<u8>, DropReason> {
        let nonce = parse_who(datagram).ok_or(DropReason::Malformed)?;
        let identity = self.identity.as_ref().ok_or(DropReason::NotARelay)?;
        if !self.limiter.take(from.ip(), now) {
            return Err(DropReason::WhoRateLimited);
        }
        Ok(iam(nonce, identity))
    }
}

fn who(nonce: [u8; 8]) -> Vec<u8> {
    let mut datagram = [&WHO[..], &nonce].concat();
    datagram.resize(WHO_BYTES, 0);
    datagram
}

fn parse_who(datagram: &[u8]) -> Option<[u8; 8]> {
    let (nonce, padding) = datagram.strip_prefix(&WHO)?.split_first_chunk()?;
    let whole = datagram.len() == WHO_BYTES && padding.iter().all(|byte| *byte == 0);
    whole.then_some(*nonce)
}

fn iam(nonce: [u8; 8], identity: &RelayIdentity) -> Vec<u8> {
    [&IAM[..], &nonce, identity.key.as_bytes(), &identity.signature].concat()
}

fn parse_iam(datagram: &[u8]) -> Option<([u8; 8], RelayIdentity)> {
    let (nonce, rest) = datagram.strip_prefix(&IAM)?.split_first_chunk()?;
    let (key, signature) = rest.split_first_chunk()?;
    let signature = signature.try_into().ok()?;
    Some((*nonce, RelayIdentity { key: PublicKey(*key), signature }))
}

const WHO: [u8; 4] = [0xB2, 0x02, 0, 0];
const IAM: [u8; 4] = [0xB2, 0x03, 0, 0];
const WHO_BYTES: usize = 160;
const REPEAT_AFTER: Duration = Duration::from_millis(500);
/// The answer is smaller than the question and signed beforehand; a site of a thousand agents behind one address may ask at once.
const RATE: Rate = Rate::per_second(500).with_burst(1_000);
const V6_BITS: u8 = 64;
