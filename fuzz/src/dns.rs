//! DNS requests as strangers send them, by datagram and connection.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::LazyLock;

use bore_relay::dns::limits::UDP_ANSWER_BYTES_MAX;
use bore_relay::dns::respond::{Response, Transport, respond};
use bore_relay::dns::zone::{Standing, Zone};

/// Answers the bytes. What is sent keeps the id, fits, and in its brief form is no larger than what came.
pub fn request(bytes: &[u8]) {
    let source = SocketAddr::from((Ipv4Addr::LOCALHOST, 5353));
    for transport in [Transport::Udp, Transport::Tcp] {
        let Some(Response { bytes: sent, brief, .. }) = respond(&ZONE, bytes, source, transport)
        else {
            continue;
        };
        assert!(sent.starts_with(&bytes[..2]) && brief.starts_with(&bytes[..2]), "the same id");
        assert!(brief.len() <= bytes.len(), "no larger than what came");
        let fits = sent.len() <= usize::from(UDP_ANSWER_BYTES_MAX);
        assert!(fits || transport == Transport::Tcp);
    }
}

static ZONE: LazyLock<Zone> = LazyLock::new(|| {
    let standing = |name: &str| match name {
        "app.t.example" => Standing::Published,
        _ => Standing::Absent,
    };
    let zone = Zone::new("t.example", "relay.example", 1, Box::new(standing)).expect("names");
    zone.set_addresses(vec![Ipv4Addr::LOCALHOST.into()]);
    for number in 0..16 {
        zone.publish_txt("_acme-challenge.t.example", &format!("{number:0>200}")).expect("room");
    }
    zone
});
