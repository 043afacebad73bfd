//! What the agent asks of the operating system: who the user is, how long the machine has been up, who holds a port or a Unix socket.
//!
//! The answers come from `/proc` where there is one. Elsewhere each question has a safe answer: not root, not known.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

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

/// A clock that goes on while the machine sleeps, from an arbitrary start. Reading it needs no descriptor.
pub(crate) fn boot_time() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = rustix::time::ClockId::Boottime;
    // Elsewhere POSIX's monotonic clock is the one that goes on, as on macOS, where Rust's does not.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = rustix::time::ClockId::Monotonic;
    Duration::try_from(rustix::time::clock_gettime(clock)).unwrap_or_default()
}

/// Whether some process of this machine has a UDP socket that receives at `address`; `None` when the machine does not say.
///
/// A `false` is no proof that nobody answers there: the kernel may redirect the port elsewhere, as container engines do.
pub(crate) fn has_udp_socket(address: SocketAddr) -> Option<bool> {
    has_socket("udp", |_| true, address.ip(), &(address.port()..=address.port()))
}

/// Whether some process of this machine listens at one of `ports` of `ip` by TCP; `None` when the machine does not say.
///
/// As with UDP, a `false` is no proof. A `true` may be of a socket that takes IPv6 alone: the kernel's table does not tell.
pub(crate) fn has_tcp_listener(ip: IpAddr, ports: &RangeInclusive<u16>) -> Option<bool> {
    has_socket("tcp", |line| line.split_whitespace().nth(3) == Some(TCP_LISTEN), ip, ports)
}

/// Whether some process of this machine listens at the Unix socket `path`; `None` when the machine does not say.
///
/// A `false` is no proof: the socket may have been made under another path, as by a container.
pub(crate) fn has_unix_listener(path: &Path) -> Option<bool> {
    let table = std::fs::read_to_string("/proc/self/net/unix").ok()?;
    let is_it = |line: &str| {
        let mut columns = line.split_whitespace();
        let flags = columns.nth(3).and_then(|flags| u32::from_str_radix(flags, 16).ok());
        flags.is_some_and(|flags| flags & UNIX_ACCEPTS != 0)
            && columns.nth(3).is_some_and(|bound| Path::new(bound) == path)
    };
    Some(table.lines().any(is_it))
}

/// Looks through a table of sockets up to the first that is not of the wanted kind: the kernel lists sockets that listen first, and there may be very
/// many connections behind them.
fn has_socket(
    table: &str,
    wanted: fn(&str) -> bool,
    ip: IpAddr,
    ports: &RangeInclusive<u16>,
) -> Option<bool> {
    let receives_here = |line: &String| {
        local_address(line)
            .is_some_and(|socket| ports.contains(&socket.port()) && receives(socket.ip(), ip))
    };
    let found = |file: &str| {
        let lines = BufReader::new(File::open(file).ok()?).lines().skip(1).map_while(Result::ok);
        Some(lines.take_while(|line| wanted(line)).any(|line| receives_here(&line)))
    };
    // Of the process, not of the machine: a service may see no more of /proc (ProcSubset=pid of systemd).
    let v4 = found(&format!("/proc/self/net/{table}"))?;
    Some(v4 || found(&format!("/proc/self/net/{table}6")).unwrap_or(false))
}

fn receives(socket: IpAddr, ip: IpAddr) -> bool {
    let bound = socket.to_canonical();
    bound == ip.to_canonical() || bound.is_unspecified() && (ip.is_ipv4() || bound.is_ipv6())
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

/// State of a listening socket in `/proc/net/tcp`.
const TCP_LISTEN: &str = "0A";
/// `__SO_ACCEPTCON` in `/proc/net/unix`: the socket listens.
const UNIX_ACCEPTS: u32 = 1 << 16;

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixListener;

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
    fn a_listener_is_seen_and_a_connection_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _visitor = TcpStream::connect(address).unwrap();
        let (_served, _) = listener.accept().unwrap();
        let (ip, port) = (address.ip(), address.port());
        assert_eq!(has_tcp_listener(ip, &(port..=port)), Some(true));
        assert_eq!(has_tcp_listener(ip, &(port - 9..=port)), Some(true), "one of a range");
        drop(listener);
        let listens = has_tcp_listener(ip, &(port..=port));
        assert_eq!(listens, Some(false), "a connection is left, no listener");
    }

    #[test]
    fn a_unix_socket_is_seen_while_a_program_listens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service.sock");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(has_unix_listener(&path), Some(true));
        drop(listener);
        assert_eq!(has_unix_listener(&path), Some(false));
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
