//! Notices that this machine slept or moved to another network, by asking cheap questions again and again.
//!
//! Sleep: the clock that goes on during sleep and the one that does not have drifted apart. Moved: the kernel would send to the relay
//! from another address (a connected UDP socket says so without sending anything).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::system::boot_time;

/// What was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetworkChange {
    /// The machine slept, or its clock was set.
    Slept,
    /// Packets to the relay leave from another address, or can leave again.
    Moved,
}

/// Watches the way to one relay address.
#[derive(Debug)]
pub(crate) struct NetworkWatch {
    relay: SocketAddr,
    source: Option<IpAddr>,
    clocks: Clocks,
    /// When to look next; survives a dropped [`NetworkWatch::changed`].
    next_look: tokio::time::Instant,
    looks: u32,
}

impl NetworkWatch {
    /// Starts from how things are.
    pub(crate) fn new(relay: SocketAddr) -> Self {
        let (source, clocks) = (source_towards(relay).ok(), Clocks::read());
        Self { relay, source, clocks, next_look: tokio::time::Instant::now() + TICK, looks: 0 }
    }

    /// Waits for a change. Cancel-safe: what was noticed is told by the next call.
    pub(crate) async fn changed(&mut self) -> NetworkChange {
        loop {
            tokio::time::sleep_until(self.next_look).await;
            self.next_look = tokio::time::Instant::now() + TICK;
            self.looks = self.looks.wrapping_add(1);
            if self.slept() {
                return NetworkChange::Slept;
            }
            if self.looks.is_multiple_of(2) && self.moved() {
                return NetworkChange::Moved;
            }
        }
    }

    fn slept(&mut self) -> bool {
        let clocks = Clocks::read();
        let apart = clocks.apart_since(self.clocks);
        self.clocks = clocks;
        apart > SLEEP_MIN
    }

    fn moved(&mut self) -> bool {
        match source_towards(self.relay) {
            Ok(source) => self.source.replace(source) != Some(source),
            Err(error) => {
                if !is_shortage(&error) {
                    self.source = None;
                }
                false
            }
        }
    }
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
struct Clocks {
    awake: Instant,
    boot: Duration,
}

impl Clocks {
    fn read() -> Self {
        Self { awake: Instant::now(), boot: boot_time() }
    }

    fn apart_since(self, before: Self) -> Duration {
        self.boot.abs_diff(before.boot).abs_diff(self.awake.duration_since(before.awake))
    }
}

/// The address that the kernel would send from; an error without a route.
pub(crate) fn source_towards(relay: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match relay {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(relay)?;
    Ok(socket.local_addr()?.ip())
}

/// Returns true if the kernel had no socket to give, which says nothing about the network.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error
        .raw_os_error()
        .is_some_and(|code| shortages.iter().any(|errno| errno.raw_os_error() == code))
}

const TICK: Duration = Duration::from_secs(1);
/// Less is scheduling noise.
const SLEEP_MIN: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_to_loopback_leave_from_loopback() {
        let relay = SocketAddr::from(([127, 0, 0, 1], 443));
        assert_eq!(source_towards(relay).unwrap(), IpAddr::from([127, 0, 0, 1]));
    }

    #[test]
    fn a_shortage_of_descriptors_is_told_from_a_lost_way() {
        assert!(is_shortage(&Errno::MFILE.into()));
        assert!(!is_shortage(&Errno::NETUNREACH.into()));
    }

    #[test]
    fn a_machine_that_stays_awake_where_it_is_has_not_changed() {
        let mut watch = NetworkWatch::new(SocketAddr::from(([127, 0, 0, 1], 443)));
        assert!(!watch.slept() && !watch.moved());
    }

    #[test]
    fn sleep_shows_as_clocks_that_drifted_apart() {
        let before = Clocks { awake: Instant::now(), boot: Duration::from_secs(100) };
        let after = Clocks {
            awake: before.awake + Duration::from_secs(1),
            boot: Duration::from_secs(100 + 3600),
        };
        assert_eq!(after.apart_since(before), Duration::from_secs(3599));
    }

    #[test]
    fn a_way_that_came_back_from_elsewhere_is_a_move_and_one_that_is_lost_is_not() {
        let mut watch = NetworkWatch::new(SocketAddr::from(([127, 0, 0, 1], 443)));
        watch.source = Some(IpAddr::from([192, 0, 2, 1]));
        assert!(watch.moved(), "another address than before");

        watch.source = None;
        assert!(watch.moved(), "there is a way again");
    }
}
