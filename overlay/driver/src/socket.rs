//! A UDP port: batched receives with GRO, sends with GSO, and answers that leave by the address that was asked.
//!
//! A port on `[::]` also carries IPv4. Addresses are mapped on the way out and canonical (IPv4-mapped becomes IPv4) on the way in.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use quinn_udp::{
    BATCH_SIZE, RecvMeta, Transmit, TransportErrorPayload, UdpSockRef, UdpSocketState,
};
use socket2::{Domain, Protocol, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::limits::SOCKET_BUFFER_BYTES;

/// A bound UDP port. Made and used on a tokio runtime.
#[derive(Debug)]
pub struct UdpPort {
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    can_segment: bool,
}

impl UdpPort {
    /// Binds `address`. `[::]` falls back to `0.0.0.0` on a machine without IPv6.
    ///
    /// # Errors
    /// The address is in use or not ours.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        match Self::bind_exactly(address) {
            Err(error) if without_ipv6(&error) && address.ip().is_unspecified() => {
                Self::bind_exactly(SocketAddr::new(
                    IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    address.port(),
                ))
            }
            result => result,
        }
    }

    fn bind_exactly(address: SocketAddr) -> io::Result<Self> {
        let socket =
            socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.set_nonblocking(true)?;
        // The kernel caps these silently; a smaller buffer costs throughput, never correctness.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
        socket.bind(&address.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let local = socket.local_addr()?;
        let can_segment = state.max_gso_segments() > 1;
        Ok(Self { socket, state, local, can_segment })
    }

    /// Sends datagrams that are longer than the path in fragments from here on. Otherwise the kernel refuses them, as a tunnel needs it that
    /// chooses the size of its packets itself.
    ///
    /// # Errors
    /// The kernel does not know the option.
    pub fn allow_fragments(&self) -> io::Result<()> {
        let socket = self.socket.as_fd();
        // Of a socket on IPv6 it rules the visitors on IPv4.
        set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT)?;
        if self.local.is_ipv6() {
            let level = libc::IPPROTO_IPV6;
            set_option(socket, level, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT)?;
            set_option(socket, level, libc::IPV6_DONTFRAG, 0)?;
        }
        Ok(())
    }

    /// Where it is bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The kernel knows UDP_SEGMENT. What a path refuses later changes nothing here: other paths may go on.
    pub fn can_segment(&self) -> bool {
        self.can_segment
    }

    /// Waits until there may be something to receive.
    ///
    /// # Errors
    /// The runtime is going away.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Waits until the kernel may take another datagram.
    ///
    /// # Errors
    /// The runtime is going away.
    pub async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// Takes one batch and says how many of its blocks are filled.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing.
    pub fn receive(&self, batch: &mut UdpBatch) -> io::Result<usize> {
        let UdpBatch { blocks, metas } = batch;
        let mut slices = blocks.each_mut().map(|block| IoSliceMut::new(block));
        self.socket.try_io(Interest::READABLE, || {
            self.state.recv(UdpSockRef::from(&self.socket), &mut slices, metas)
        })
    }

    /// Hears from now on of datagrams that were refused where they went ([`Self::take_refused`]).
    ///
    /// # Errors
    /// The kernel cannot tell.
    pub fn hear_refusals(&self) -> io::Result<()> {
        self.state.enable_transport_errors(UdpSockRef::from(&self.socket))
    }

    /// An address where a datagram of ours was refused (ICMP unreachable), one at a time.
    pub fn take_refused(&self) -> Option<IpAddr> {
        let error = self.state.recv_transport_error(UdpSockRef::from(&self.socket)).ok()??;
        let unreachable = matches!(error.payload, TransportErrorPayload::Unreachable);
        error.addr.filter(|_| unreachable).map(|address| address.ip().to_canonical())
    }

    /// Sends one datagram, from the local address `from` where that matters (an answer to somebody who asked that address).
    ///
    /// # Errors
    /// `WouldBlock` when the kernel's buffer is full.
    pub fn send(&self, to: SocketAddr, from: Option<IpAddr>, bytes: &[u8]) -> io::Result<()> {
        self.send_segments(to, from, bytes, None)
    }

    /// Sends several datagrams of `segment_bytes` each, of which the last may be shorter, with one system call. All or none are sent.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel's buffer is full; anything else may be due to the segments, or not.
    pub fn send_segments(
        &self,
        to: SocketAddr,
        from: Option<IpAddr>,
        bytes: &[u8],
        segment_bytes: Option<usize>,
    ) -> io::Result<()> {
        let transmit = Transmit {
            destination: self.reachable_form(to),
            ecn: None,
            contents: bytes,
            segment_size: segment_bytes,
            src_ip: from,
        };
        self.socket.try_io(Interest::WRITABLE, || {
            self.state.try_send(UdpSockRef::from(&self.socket), &transmit)
        })
    }

    fn reachable_form(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            IpAddr::V4(v4) if self.local.is_ipv6() => {
                SocketAddr::new(IpAddr::V6(v4.to_ipv6_mapped()), to.port())
            }
            IpAddr::V4(_) | IpAddr::V6(_) => to,
        }
    }
}

/// Room for one batched receive: a block holds one datagram, or a train of them that the kernel merged.
pub struct UdpBatch {
    blocks: [Box<[u8]>; BATCH_SIZE],
    metas: [RecvMeta; BATCH_SIZE],
}

impl UdpBatch {
    /// Empty room; memory is touched only by what is received.
    pub fn new() -> Self {
        Self {
            blocks: std::array::from_fn(|_| vec![0; BLOCK_BYTES].into_boxed_slice()),
            metas: [RecvMeta::default(); BATCH_SIZE],
        }
    }

    /// The datagrams of the first `count` blocks.
    pub fn datagrams(&self, count: usize) -> impl Iterator<Item = Datagram<'_>> {
        self.blocks.iter().zip(&self.metas).take(count).flat_map(|(block, meta)| {
            let from = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            let to = meta.dst_ip;
            let bytes = block.get(..meta.len).unwrap_or_default();
            split(bytes, meta.stride).map(move |bytes| Datagram { from, to, bytes })
        })
    }
}

/// One received datagram.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// Which of our addresses it came to, where the kernel says.
    pub to: Option<IpAddr>,
    /// What it holds.
    pub bytes: &'a [u8],
}

impl Default for UdpBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for UdpBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UdpBatch").finish_non_exhaustive()
    }
}

/// The datagrams of a block, each `stride` long but the last; an empty block is one empty datagram.
fn split(block: &[u8], stride: usize) -> impl Iterator<Item = &[u8]> {
    let empty = block.is_empty().then_some(block);
    empty.into_iter().chain(block.chunks(stride.max(1)))
}

fn without_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

#[expect(unsafe_code, reason = "no crate of ours has IPV6_DONTFRAG")]
fn set_option(socket: BorrowedFd<'_>, level: i32, option: i32, value: i32) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or_default();
    // SAFETY: the descriptor is open while it is borrowed, and the kernel reads `length` bytes of `value`.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// GRO may fill a block up to the largest UDP payload; a smaller one would cut trains.
const BLOCK_BYTES: usize = 65_535;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_block_is_its_datagrams_and_an_empty_one_is_one_too() {
        let lengths =
            |block: &[u8], stride| split(block, stride).map(<[u8]>::len).collect::<Vec<_>>();
        assert_eq!(lengths(&[0; 2_500], 1_000), [1_000, 1_000, 500]);
        assert_eq!(lengths(&[0; 700], 700), [700]);
        assert_eq!(lengths(&[], 0), [0]);
        assert_eq!(lengths(&[], 1_000), [0]);
    }

    /// An IPv6 packet of loopback has no room for 65,507 bytes.
    #[tokio::test]
    async fn the_largest_datagram_leaves_where_fragments_are_allowed() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let to = std::net::UdpSocket::bind(address);
            let to = to.unwrap_or_else(|error| panic!("needs {address} on this machine: {error}"));
            let from = UdpPort::bind(address.parse().unwrap()).unwrap();
            from.allow_fragments().unwrap();
            from.writable().await.unwrap();
            from.send(to.local_addr().unwrap(), None, &[7; 65_507]).unwrap();
            let mut received = vec![0; 65_535];
            assert_eq!(to.recv(&mut received).unwrap(), 65_507);
        }
    }

    /// What `relay/src/ingress/udp.rs` leans on.
    #[tokio::test]
    async fn a_refusal_names_its_sender_unless_the_queue_is_full() {
        let port = UdpPort::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        port.hear_refusals().unwrap();
        let nobody = UdpPort::bind("127.0.0.1:0".parse().unwrap()).unwrap().local_addr();

        port.writable().await.unwrap();
        port.send(nobody, None, b"anybody there?").unwrap();
        assert_eq!(within(|| port.take_refused()).await, nobody.ip());

        let flood = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..2 * SOCKET_BUFFER_BYTES / SMALLEST_IN_QUEUE_BYTES {
            flood.send_to(&[0], port.local_addr()).unwrap();
        }
        let error = within(|| port.send(nobody, None, b"anybody there?").err()).await;
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(port.take_refused(), None);
    }

    async fn within<T>(mut look: impl FnMut() -> Option<T>) -> T {
        let found = async {
            loop {
                match look() {
                    Some(found) => return found,
                    None => tokio::task::yield_now().await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), found).await.unwrap()
    }

    /// The least that a datagram counts for in a queue, and a refusal counts for more. The kernel doubles the room that it is asked for.
    const SMALLEST_IN_QUEUE_BYTES: usize = 512;
}
