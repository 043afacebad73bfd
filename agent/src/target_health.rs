//! Finds out whether a target is there, and disturbs it as little as that allows.
//!
//! | check | target | what is done |
//! |---|---|---|
//! | `tcp` | a port or Unix socket of this machine | the kernel's table of listening sockets is read; nothing reaches the service |
//! | `tcp` | the same where no listener is found, or one that refused a visitor | a connection is opened and closed |
//! | `tcp` | another machine, or a service behind TLS | the same |
//! | `http` | a port or Unix socket | a path is asked for; a status from 200 to 399 is healthy |
//! | `none` | any | nothing |
//! | any | udp | the kernel's table is read, and nothing is sent; a port without a socket may get one when it is needed |
//!
//! A check proves something for the interval that was chosen; so does a visitor's connection that the target took.

use std::net::SocketAddr;
use std::time::Instant;

use bore_api::model::{HealthCheck, Protocol};
use bore_policy::Target;

use super::health_request;
use super::system::{has_tcp_listener, has_udp_socket, has_unix_listener};
use super::targets::{DialError, Place, place};

/// What a check found of a target that visitors are led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What was measured, and how.
    pub detail: String,
    /// What remains unproved, in few words.
    pub note: Option<&'static str>,
}

/// How a listener of this machine is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listeners {
    /// By the kernel's table.
    Seen,
    /// By a connection: one that the table shows has refused a visitor.
    Dialled,
}

/// What can be found out without opening a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    /// Visitors are led there.
    There(Found),
    /// It should be on this machine, and no listener of it is seen: a connection disturbs nobody.
    Absent,
    /// Only a connection can tell.
    Unknown,
}

/// Looks, and connects where looking does not tell.
///
/// # Errors
/// Why visitors would not reach it.
pub async fn check(
    protocol: Protocol,
    target: &Target,
    health: &HealthCheck,
) -> Result<Found, DialError> {
    match look(protocol, target, health, Listeners::Seen).await? {
        Look::There(found) => Ok(found),
        Look::Absent | Look::Unknown => connect(target, health).await,
    }
}

/// Looks at `target` and sends nothing to it. Of a range it is enough that one port is there: the others may come and go.
///
/// # Errors
/// The target has no address, or is none.
pub(super) async fn look(
    protocol: Protocol,
    target: &Target,
    health: &HealthCheck,
    listeners: Listeners,
) -> Result<Look, DialError> {
    let first = place(target, 0)?;
    match (protocol, health) {
        (Protocol::Udp, _) => return look_at_udp(target, &first).await.map(Look::There),
        (_, HealthCheck::None) => return Ok(Look::There(not_checked())),
        (_, HealthCheck::Http(_)) => return Ok(Look::Unknown),
        (_, HealthCheck::Tcp) if first.is_behind_tls() => return Ok(Look::Unknown),
        (_, HealthCheck::Tcp) if listeners == Listeners::Dialled => return Ok(Look::Absent),
        (_, HealthCheck::Tcp) => {}
    }
    look_at_ports(&first, target.port_count()).await
}

/// Opens a connection as `health` says.
///
/// # Errors
/// Why visitors would not reach it.
pub(super) async fn connect(target: &Target, health: &HealthCheck) -> Result<Found, DialError> {
    let first = place(target, 0)?;
    if let HealthCheck::Http(path) = health {
        let detail = health_request::ask(&first, path).await?;
        return Ok(Found { detail, note: None });
    }
    let begun = Instant::now();
    first.connect().await?;
    let detail = format!("took a connection in {} ms", begun.elapsed().as_millis());
    Ok(Found { detail, note: None })
}

/// Looks for a listener of this machine.
pub(super) async fn look_at(place: &Place) -> Result<Look, DialError> {
    look_at_ports(place, 1).await
}

/// Does the same for `count` ports from the one of `place` on. The kernel's table is read once: ranges are long, and visitors' packets wait meanwhile.
async fn look_at_ports(place: &Place, count: u16) -> Result<Look, DialError> {
    let there = |at: &dyn std::fmt::Display| {
        let detail = format!("{at} has a listener (looked up, not connected to)");
        Look::There(Found { detail, note: None })
    };
    if let Place::Unix(path) = place {
        return Ok(match has_unix_listener(path) {
            Some(true) => there(place),
            Some(false) => Look::Absent,
            None => Look::Unknown,
        });
    }
    let addresses = place.addresses().await?;
    let last = |address: &SocketAddr| address.port().saturating_add(count.saturating_sub(1));
    let seen = |address: &SocketAddr| {
        let ports = address.port()..=last(address);
        is_of_this_machine(*address).then(|| has_tcp_listener(address.ip(), &ports)).flatten()
    };
    let seen: Vec<_> = addresses.iter().map(|address| (address, seen(address))).collect();
    if let Some((address, _)) = seen.iter().find(|(_, listens)| *listens == Some(true)) {
        return Ok(match count {
            1 => there(address),
            _ => there(&format_args!("a port of {address}-{}", last(address))),
        });
    }
    let is_absent = seen.iter().all(|(_, listens)| *listens == Some(false));
    Ok(if is_absent { Look::Absent } else { Look::Unknown })
}

fn not_checked() -> Found {
    Found { detail: "not checked".to_owned(), note: Some("target not checked") }
}

async fn look_at_udp(target: &Target, first: &Place) -> Result<Found, DialError> {
    let addresses = first.addresses().await?;
    if target.port_count() > 1 {
        return Ok(Found { detail: "its ports are not checked".to_owned(), note: None });
    }
    let is_absent = |address: &SocketAddr| {
        is_of_this_machine(*address) && has_udp_socket(*address) == Some(false)
    };
    if addresses.iter().all(is_absent) {
        let detail = format!("no program of this machine receives at {first} at the moment");
        return Ok(Found { detail, note: Some(NO_SOCKET) });
    }
    Ok(Found { detail: format!("datagrams are sent to {first}"), note: None })
}

/// Whether packets to `address` stay on this machine: then they leave from that address. Nothing is sent.
fn is_of_this_machine(address: SocketAddr) -> bool {
    let any = super::targets::any_like(address);
    let chosen = std::net::UdpSocket::bind(any)
        .and_then(|socket| socket.connect(address).and_then(|()| socket.local_addr()));
    address.ip().is_loopback() || chosen.is_ok_and(|local| local.ip() == address.ip())
}

const NO_SOCKET: &str = "nothing receives there yet";

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use bore_api::model::HealthOptions;
    use tokio::net::{TcpListener, UdpSocket, UnixListener};

    use super::*;

    #[tokio::test]
    async fn a_listener_of_this_machine_is_seen_and_not_connected_to() {
        let service = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        service.set_nonblocking(true).unwrap();
        let target = target(&service.local_addr().unwrap().to_string());
        let found = checked(&target).await.unwrap();
        assert!(found.detail.contains("not connected to"), "{found:?}");
        assert_eq!(service.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let distrusting = look(Protocol::Tcp, &target, &HealthCheck::Tcp, Listeners::Dialled);
        assert_eq!(distrusting.await.unwrap(), Look::Absent);
        let found = connect(&target, &HealthCheck::Tcp).await.unwrap();
        assert!(found.detail.starts_with("took a connection"), "{found:?}");

        drop(service);
        assert_eq!(checked(&target).await.unwrap_err().code(), bore_api::Code::TARGET_REFUSED);
    }

    #[tokio::test]
    async fn a_unix_socket_is_judged_by_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        let service = UnixListener::bind(&path).unwrap();
        let target = target(&format!("unix:{}", path.display()));
        assert!(checked(&target).await.unwrap().detail.contains("listener"));
        drop(service);
        assert_eq!(checked(&target).await.unwrap_err().code(), bore_api::Code::TARGET_REFUSED);
    }

    #[tokio::test]
    async fn any_port_of_a_checked_range_will_do_and_by_default_none_is_looked_at() {
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = service.local_addr().unwrap().port();
        let target = target(&format!("127.0.0.1:{}-{port}", port - 3));
        assert!(checked(&target).await.is_ok());

        drop(service);
        assert!(checked(&target).await.is_err());
        let default = HealthOptions::default().effective(Protocol::Tcp, target.port_count());
        let found = check(Protocol::Tcp, &target, &default).await.unwrap();
        assert_eq!(found.note, Some("target not checked"));
    }

    #[tokio::test]
    async fn a_udp_port_without_a_socket_is_led_to_all_the_same_and_told() {
        let service = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let target = target(&service.local_addr().unwrap().to_string());
        let look = || check(Protocol::Udp, &target, &HealthCheck::None);
        assert_eq!(look().await.unwrap().note, None);
        let error = service.try_recv(&mut [0; 16]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "nothing was sent to it");
        drop(service);
        assert_eq!(look().await.unwrap().note, Some(NO_SOCKET));
    }

    async fn checked(target: &Target) -> Result<Found, DialError> {
        check(Protocol::Tcp, target, &HealthCheck::Tcp).await
    }

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }
}
