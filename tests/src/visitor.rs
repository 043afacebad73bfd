//! Visitors by raw sockets: TCP connections and UDP datagrams from a namespace, with short patience.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::lab::RELAY;
use crate::namespace::Namespace;

/// Connects to a public port of the relay.
///
/// # Errors
/// The visitor was refused, or nobody answered.
pub fn connect(namespace: &Namespace, port: u16) -> io::Result<TcpStream> {
    connect_to(namespace, SocketAddr::new(RELAY.into(), port))
}

/// Connects anywhere.
///
/// # Errors
/// Refused, or nobody answered.
pub fn connect_to(namespace: &Namespace, address: SocketAddr) -> io::Result<TcpStream> {
    let stream = namespace.enter(|| TcpStream::connect_timeout(&address, PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One message to an echoing service and back.
///
/// # Errors
/// The connection ended, or nothing came back.
pub fn echo(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    stream.write_all(message)?;
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer)?;
    if answer == message { Ok(()) } else { Err(io::Error::other("something else came back")) }
}

/// A UDP socket that speaks with a public port of the relay.
///
/// # Panics
/// When it cannot be opened.
pub fn udp(namespace: &Namespace, port: u16) -> UdpSocket {
    udp_to(namespace, SocketAddr::new(RELAY.into(), port))
}

/// A UDP socket that speaks with one address.
///
/// # Panics
/// When it cannot be opened.
pub fn udp_to(namespace: &Namespace, address: SocketAddr) -> UdpSocket {
    let any: IpAddr = if address.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
    let socket = namespace.enter(|| {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(address).map(|()| socket)
    });
    let socket = socket.expect("a UDP socket");
    socket.set_read_timeout(Some(DATAGRAM_PATIENCE)).expect("a timeout");
    socket
}

/// One datagram, sent again a few times as datagrams may be lost; the answer, if one comes.
pub fn exchange(socket: &UdpSocket, payload: &[u8]) -> Option<Vec<u8>> {
    (0..DATAGRAM_TRIES).find_map(|_| exchange_once(socket, payload))
}

/// One datagram, sent once; the answer, if one comes.
pub fn exchange_once(socket: &UdpSocket, payload: &[u8]) -> Option<Vec<u8>> {
    socket.send(payload).ok()?;
    let mut answer = vec![0; DATAGRAM_BYTES];
    let count = socket.recv(&mut answer).ok()?;
    Some(answer.get(..count)?.to_vec())
}

/// More than UDP can carry.
const DATAGRAM_BYTES: usize = 65_536;
const PATIENCE: Duration = Duration::from_secs(10);
const DATAGRAM_PATIENCE: Duration = Duration::from_millis(400);
const DATAGRAM_TRIES: u32 = 5;
