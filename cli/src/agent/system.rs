//! What the agent asks of the operating system: who the user is, how long the machine has been up, who holds a UDP port.
//!
//! The answers come from `/proc` where there is one. Elsewhere each question has a safe answer: not root, the wall clock, not known.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whether this process runs as root.
pub(crate) fn user_is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Names this run of this machine, or of this container: another one, also a copy of it, has another name. `None` when it does not say.
pub(crate) fn machine_run() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let processes = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), processes.display()))
}

/// A clock that goes on while the machine sleeps, from an arbitrary start.
pub(crate) fn boot_time() -> Duration {
    uptime().unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn uptime() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Whether some process of this machine has a UDP socket that receives at `address`; `None` when the machine does not say.
///
/// A `false` is no proof that nobody answers there: the kernel may redirect the port elsewhere, as container engines do.
pub(crate) fn has_udp_socket(address: SocketAddr) -> Option<bool> {
    let v4 = std::fs::read_to_string("/proc/net/udp").ok()?;
    let v6 = std::fs::read_to_string("/proc/net/udp6").unwrap_or_default();
    let sockets = v4.lines().chain(v6.lines()).filter_map(local_address);
    Some(sockets.into_iter().any(|socket| receives(socket, address)))
}

fn receives(socket: SocketAddr, address: SocketAddr) -> bool {
    let bound = socket.ip().to_canonical();
    let fits = bound == address.ip().to_canonical()
        || bound.is_unspecified() && (address.is_ipv4() || bound.is_ipv6());
    fits && socket.port() == address.port()
}

/// Second column of `/proc/net/udp`: the address in host byte order per 32-bit word, the port, both hexadecimal.
fn local_address(line: &str) -> Option<SocketAddr> {
    let (address, port) = line.split_whitespace().nth(1)?.split_once(':')?;
    let words = address.as_bytes().chunks(8).map(|word| {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        Some(word.to_ne_bytes())
    });
    let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.concat();
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddr::new(ip_from(&bytes)?, port))
}

fn ip_from(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn the_boot_clock_does_not_run_backwards() {
        let first = boot_time();
        assert!(boot_time() >= first && first > Duration::ZERO);
    }

    #[test]
    fn a_bound_udp_port_is_seen_on_the_addresses_that_it_receives_on() {
        let exact = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(has_udp_socket(exact), Some(false), "that socket is closed again");

        let open = UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = open.local_addr().unwrap().port();
        assert_eq!(has_udp_socket(SocketAddr::from(([127, 0, 0, 1], port))), Some(true));
    }

    #[test]
    fn lines_of_the_kernel_read_as_addresses() {
        let v6 =
            "  12: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 07";
        if cfg!(target_endian = "little") {
            assert_eq!(local_address(v6), Some("[::1]:8080".parse().unwrap()));
        }
        assert_eq!(local_address("  sl  local_address rem_address"), None);
    }
}
