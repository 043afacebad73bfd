//! Finds out which of two agents with one identity lives: the one that a tunnel led to before is called where it was.
//!
//! Both hold the node's key, and whichever spoke last has the tunnel. A handshake of the relay's own to the earlier address tells a
//! cloned machine (it is answered from there) from one that lost its power and came back (nothing answers there).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bore_driver::Local;
use bore_overlay::PeerId;

/// Calls the agent at the address that `peer` had before its last move, several times. Returns true if it answers; the tunnel leads to it
/// again then, and its flows go on. No agent is taken for dead that one lost datagram hides.
pub(crate) async fn earlier_agent_answers(local: &Local, peer: PeerId) -> bool {
    let Some(status) = local.status(peer) else { return false };
    // An agent with a new socket at the very address of the earlier one has taken its place.
    let Some((earlier, claimant)) = status.previous_endpoint.zip(status.endpoint) else {
        return false;
    };
    let asked = local.now();
    for _ in 0..CALLS {
        call(local, peer, earlier, claimant);
        if heard_within(local, peer, earlier, asked).await {
            local.set_endpoint(peer, earlier);
            local.start_handshake(peer);
            local.keep_earlier_start(peer);
            return true;
        }
    }
    false
}

/// Sends one handshake to `earlier`; everything else goes on to `claimant`.
fn call(local: &Local, peer: PeerId, earlier: SocketAddr, claimant: SocketAddr) {
    local.set_endpoint(peer, earlier);
    local.start_handshake(peer);
    local.set_endpoint(peer, claimant);
}

async fn heard_within(local: &Local, peer: PeerId, earlier: SocketAddr, asked: Instant) -> bool {
    let until = local.now() + CALL_INTERVAL;
    while local.now() < until {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let Some(status) = local.status(peer) else { return false };
        let answered = status.last_answer.is_some_and(|(at, from)| at >= asked && from == earlier);
        // Its own datagrams move the tunnel back: that is an answer too.
        if answered || status.endpoint == Some(earlier) {
            return true;
        }
    }
    false
}

/// With one datagram in ten lost each way, fewer than one living agent in a thousand answers none of them.
const CALLS: u32 = 4;
/// Longer than the round trip by satellite (ITU-T G.114: 0.54 s).
const CALL_INTERVAL: Duration = Duration::from_millis(750);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
