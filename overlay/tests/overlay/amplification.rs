//! Strangers never get more than they sent.

use bore_overlay::UnknownKeys;
use proptest::prelude::*;

use crate::lab::{AGENT, Datagram, ELSEWHERE, Lab, NODE_V6, RELAY, address, udp_packet};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn attack_33_bytes_out_never_exceed_bytes_in_for_the_unauthenticated(
        datagrams in prop::collection::vec((0..5_u8, prop::collection::vec(any::<u8>(), 0..200)), 1..40),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut lab = talked_before();
        let seen = lab.log.clone();
        for (kind, mut bytes) in datagrams {
            set_kind(kind, &mut bytes);
            check(&mut lab, bytes)?;
        }
        for pick in picks {
            check(&mut lab, pick.get(&seen).bytes.clone())?;
        }
    }
}

/// One datagram from a stranger, and everything that follows from it.
fn check(lab: &mut Lab, bytes: Vec<u8>) -> Result<(), TestCaseError> {
    let length = bytes.len();
    lab.deliver(&Datagram { from: address(ELSEWHERE), to: address(RELAY), bytes });
    let answered: usize = lab.intercept().iter().map(|answer| answer.bytes.len()).sum();
    prop_assert!(answered <= length, "{answered} bytes for {length}");
    Ok(())
}

/// A relay that was restarted, and everything that was said to it before.
fn talked_before() -> Lab {
    let (mut lab, relay) = Lab::relay_and_agent();
    lab.settle();
    lab.send(AGENT, relay, &udp_packet(NODE_V6));
    lab.settle();
    let now = lab.now;
    lab.end(AGENT).overlay.request_identity(address(RELAY), crate::lab::cluster().public(), now);
    lab.settle();
    lab.restart(RELAY, UnknownKeys::Garden);
    lab
}

fn set_kind(kind: u8, bytes: &mut [u8]) {
    if let [first, second, third, fourth, ..] = bytes {
        *first = if kind == 0 { 0xB2 } else { kind };
        *second = if kind == 0 { *second % 4 } else { 0 };
        (*third, *fourth) = (0, 0);
    }
}
