//! Connects to the address of a name that answers first (Happy Eyeballs version 2, RFC 8305).
//!
//! The families take turns, beginning with that of the resolver's first address (§4). The next address is tried when one has failed, or
//! after [`ATTEMPT_DELAY`] without an answer (§5); attempts that are under way go on beside it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::limits::TARGET_ADDRESSES_MAX;

/// Connects to one of `addresses`. The caller bounds the time. Dropping it ends all attempts.
///
/// # Errors
/// None of them can be reached: what the most telling failure was.
pub(super) async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    if let [only] = addresses {
        return TcpStream::connect(only).await;
    }
    let mut untried = in_turns(addresses).into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::new(io::ErrorKind::AddrNotAvailable, "no address");
    loop {
        if let Some(address) = untried.next() {
            attempts.spawn(TcpStream::connect(address));
        }
        let ended = tokio::time::timeout(ATTEMPT_DELAY, attempts.join_next()).await;
        match ended {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => failure = more_telling(failure, error),
            Ok(None) => return Err(failure),
            // Late, or an attempt that panicked: the others decide.
            Err(_) | Ok(Some(Err(_))) => {}
        }
    }
}

/// A refusal says that the host is there; any other failure may only be of one family.
fn more_telling(before: io::Error, after: io::Error) -> io::Error {
    if before.kind() == io::ErrorKind::ConnectionRefused { before } else { after }
}

/// The addresses, with families in turns, and no more than are tried: each attempt that is under way holds a descriptor.
pub(super) fn in_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(SocketAddr::is_ipv6);
    let begins_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second) = if begins_v6 { (v6, v4) } else { (v4, v6) };
    let mut turns = Vec::with_capacity(addresses.len());
    for place in 0..first.len().max(second.len()) {
        turns.extend(first.get(place));
        turns.extend(second.get(place));
    }
    turns.truncate(TARGET_ADDRESSES_MAX);
    turns
}

/// The "Connection Attempt Delay" that RFC 8305 §8 recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn families_take_turns_and_the_resolvers_first_address_leads() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1", "127.0.0.2:1"]);
        let turns = addresses(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "127.0.0.2:1", "[::3]:1"]);
        assert_eq!(in_turns(&given), turns);
        assert!(in_turns(&[]).is_empty());
    }

    #[test]
    fn of_a_name_with_very_many_addresses_some_of_each_family_are_tried() {
        let many: Vec<SocketAddr> = (0..1_000)
            .map(|port| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)))
            .chain([SocketAddr::from(([127, 0, 0, 1], 1))])
            .collect();
        let turns = in_turns(&many);
        assert_eq!(turns.len(), TARGET_ADDRESSES_MAX);
        assert!(turns.iter().any(SocketAddr::is_ipv4));
    }

    #[tokio::test]
    async fn an_address_that_refuses_or_never_answers_gives_way_to_one_that_does() {
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = service.local_addr().unwrap();
        let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (silent, _only) = full_backlog();
        for bad in [refusing, silent.local_addr().unwrap()] {
            let stream = connect(&[bad, good]).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), good, "after {bad}");
        }
        let error = connect(&[refusing, refusing]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    /// A listener whose backlog is full: the kernel drops further SYNs, as a black hole does.
    fn full_backlog() -> (std::net::TcpListener, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let only = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener, only)
    }
}
