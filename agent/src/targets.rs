//! Reaches local targets: resolve, connect, within [`TARGET_DIAL_TIMEOUT`].
//!
//! A name is resolved once per dial and the connection goes to the addresses of that answer, so a name that changes between a look and
//! a dial gains nothing. What may be dialled is not decided here: callers hold a target only because it was declared.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bore_api::Code;
use bore_policy::{Target, TargetHost, TargetScheme};
use http::Version;
use rustix::net::sockopt;
use tokio::io::Interest;
use tokio::net::{TcpStream, UdpSocket, UnixStream};
use tokio_rustls::client::TlsStream;

use super::happy_eyeballs;
use super::limits::{
    TARGET_DIAL_TIMEOUT, TARGET_KEEP_ALIVE_IDLE, TARGET_KEEP_ALIVE_INTERVAL,
    TARGET_KEEP_ALIVE_RETRIES_MAX,
};
use super::network_watch::is_shortage;
use super::system::has_udp_socket;
use super::tls_client::{Certificates, Inside, TlsClientError, secure};

/// Why a target was not reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Nobody listens there.
    #[error("{target} refused the connection")]
    Refused {
        /// What was dialled.
        target: String,
    },
    /// No answer.
    #[error("{target} did not answer within {} s", TARGET_DIAL_TIMEOUT.as_secs())]
    TimedOut {
        /// What was dialled.
        target: String,
    },
    /// As another who asked at the same time was told.
    #[error("{0}")]
    Earlier(std::sync::Arc<Self>),
    /// The name has no address.
    #[error("{host} does not resolve: {cause}")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver said.
        cause: String,
    },
    /// The kernel said no in another way.
    #[error("{target} cannot be reached: {cause}")]
    Unreachable {
        /// What was dialled.
        target: String,
        /// The kernel's words.
        cause: io::Error,
    },
    /// It answers, and not as a healthy service does.
    #[error("{target} is not healthy: {cause}")]
    Unhealthy {
        /// What was asked.
        target: String,
        /// How it answered.
        cause: String,
    },
    /// It is behind TLS, and not who it should be.
    #[error("{target} answers, and TLS with it fails: {cause}")]
    Untrusted {
        /// What was dialled.
        target: String,
        /// What is wrong with it.
        cause: TlsClientError,
    },
    /// A Unix socket carries streams only, a range ends somewhere, and what is in-process is no place.
    #[error("{target} cannot serve this: {cause}")]
    Unsuitable {
        /// What was declared.
        target: String,
        /// Why.
        cause: &'static str,
    },
}

/// A connection to a local target.
#[derive(Debug)]
pub(crate) enum LocalStream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
    /// Inside TLS.
    Tls(SecureStream),
}

/// A connection to a local target behind TLS.
pub(crate) type SecureStream = Box<TlsStream<TcpStream>>;

/// One place of a target: the target itself, or one port of its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A port of a host.
    Port(TargetScheme, TargetHost, u16),
    /// A Unix socket.
    Unix(PathBuf),
    /// The program around this agent, which is not dialled.
    InProcess,
}

impl DialError {
    /// The code that `bore explain` knows.
    pub fn code(&self) -> Code {
        match self {
            Self::Earlier(error) => error.code(),
            Self::Refused { .. } | Self::Unreachable { .. } => Code::TARGET_REFUSED,
            Self::TimedOut { .. } => Code::TARGET_TIMED_OUT,
            Self::Unresolved { .. } => Code::TARGET_UNRESOLVED,
            Self::Untrusted { .. } => Code::TARGET_CERTIFICATE,
            Self::Unhealthy { .. } => Code::TARGET_UNHEALTHY,
            Self::Unsuitable { .. } => Code::USAGE,
        }
    }

    /// Returns true if this machine had no means to dial, which says nothing about the target.
    pub fn is_shortage(&self) -> bool {
        if let Self::Earlier(error) = self {
            return error.is_shortage();
        }
        matches!(self, Self::Unreachable { cause, .. } if is_shortage(cause))
    }

    /// What to do.
    pub fn next_step(&self) -> String {
        match self {
            Self::Earlier(error) => error.next_step(),
            Self::Refused { target } if target.starts_with("127.0.0.1:") => format!(
                "start the service; if it listens on IPv6 only, publish {}",
                target.replacen("127.0.0.1", "[::1]", 1)
            ),
            Self::Refused { .. } => "start the service".to_owned(),
            Self::TimedOut { .. } | Self::Unreachable { .. } => {
                "check the address, and that no firewall of this machine is in the way".to_owned()
            }
            Self::Unresolved { host, .. } => format!("check the name {host}, or give an address"),
            Self::Untrusted { .. } => {
                "let this machine trust its issuer, or publish it with --insecure-origin".to_owned()
            }
            Self::Unhealthy { .. } => {
                "look into the service, or check another path: --health http:/PATH".to_owned()
            }
            Self::Unsuitable { .. } => "publish it as tcp or http, or give HOST:PORT".to_owned(),
        }
    }
}

/// The local ports of a target; `None` for one without.
pub(crate) fn ports(target: &Target) -> Option<RangeInclusive<u16>> {
    match target {
        Target::Host { ports, .. } => Some(ports.first()..=ports.last()),
        Target::Unix(_) | Target::InProcess => None,
    }
}

/// The place that the `offset`th port of a publication leads to.
pub(crate) fn place(target: &Target, offset: u16) -> Result<Place, DialError> {
    let beyond = || DialError::Unsuitable {
        target: target.to_string(),
        cause: "the publication has more ports than the target",
    };
    match target {
        Target::Unix(path) if offset == 0 => Ok(Place::Unix(path.clone())),
        Target::InProcess if offset == 0 => Ok(Place::InProcess),
        Target::Host { scheme, host, ports } if offset < ports.count() => {
            let port = ports.first().checked_add(offset).ok_or_else(beyond)?;
            Ok(Place::Port(*scheme, host.clone(), port))
        }
        Target::Unix(_) | Target::Host { .. } | Target::InProcess => Err(beyond()),
    }
}

impl Place {
    /// Opens a stream, within [`TARGET_DIAL_TIMEOUT`].
    pub(crate) async fn connect(&self) -> Result<LocalStream, DialError> {
        let dial = async {
            match self {
                Self::Unix(path) => self.connect_unix(path).await,
                Self::InProcess => Err(self.unsuitable(NO_PLACE)),
                Self::Port(..) => self.speak().await,
            }
        };
        self.in_time(dial).await
    }

    /// Opens another stream to a target behind TLS, with HTTP/2 inside.
    pub(crate) async fn connect_http2(&self) -> Result<SecureStream, DialError> {
        let Some((host, certificates)) = self.behind_tls() else {
            return Err(self.unsuitable("it is not behind TLS"));
        };
        self.in_time(self.secure(host, certificates, Inside::Http2)).await
    }

    /// Where datagrams may be sent, in the order in which it is tried.
    pub(crate) async fn udp_addresses(&self) -> Result<Vec<SocketAddr>, DialError> {
        self.in_time(self.addresses()).await.map(in_order_of_udp)
    }

    /// Opens a UDP socket that sends to and receives from `address` alone.
    pub(crate) async fn open_udp(&self, address: SocketAddr) -> Result<UdpSocket, DialError> {
        let opened = async {
            let socket = UdpSocket::bind(any_like(address)).await?;
            socket.connect(address).await?;
            Ok(socket)
        };
        opened.await.map_err(|error| self.failed(error))
    }

    /// Whether this is the Unix socket at `path`, by whatever name.
    pub(crate) fn is_socket_at(&self, path: &Path) -> bool {
        let Self::Unix(own) = self else { return false };
        let file = |path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
        let own = file(own.as_path());
        own.is_some() && own == file(path)
    }

    /// Whether the service is reached inside TLS.
    pub(crate) fn is_behind_tls(&self) -> bool {
        self.behind_tls().is_some()
    }

    /// The HTTP that the service speaks without TLS.
    pub(crate) fn version(&self) -> Version {
        match self {
            Self::Port(TargetScheme::H2c, ..) => Version::HTTP_2,
            Self::Port(..) | Self::Unix(_) | Self::InProcess => Version::HTTP_11,
        }
    }

    /// What a client of the service's own calls it.
    pub(crate) fn authority(&self) -> String {
        match self {
            Self::Port(..) => self.to_string(),
            Self::Unix(_) | Self::InProcess => "localhost".to_owned(),
        }
    }

    /// The kernel has no room where the service has not taken those before; a caller that may block waits for it (connect(2), EAGAIN).
    async fn connect_unix(&self, path: &Path) -> Result<LocalStream, DialError> {
        loop {
            match UnixStream::connect(path).await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(UNIX_AGAIN).await;
                }
                connected => {
                    return connected.map(LocalStream::Unix).map_err(|error| self.failed(error));
                }
            }
        }
    }

    /// A connection in which the visitor's bytes may follow. Behind TLS HTTP/1.1 is preferred, and a service that has only HTTP/2 is as
    /// alive as any other.
    async fn speak(&self) -> Result<LocalStream, DialError> {
        let Some((host, certificates)) = self.behind_tls() else {
            return self.connect_tcp().await.map(LocalStream::Tcp);
        };
        let secured = match self.secure(host, certificates, Inside::Http11).await {
            Err(DialError::Untrusted { cause: TlsClientError::Protocol(_), .. }) => {
                self.secure(host, certificates, Inside::Http2).await
            }
            secured => secured,
        };
        secured.map(LocalStream::Tls)
    }

    /// Who has to be there, and how that is checked; `None` for what is not behind TLS.
    fn behind_tls(&self) -> Option<(&TargetHost, Certificates)> {
        match self {
            Self::Port(TargetScheme::Https, host, _) => Some((host, Certificates::Trusted)),
            Self::Port(TargetScheme::HttpsUnverified, host, _) => Some((host, Certificates::Any)),
            Self::Port(TargetScheme::Plain | TargetScheme::H2c, ..)
            | Self::Unix(_)
            | Self::InProcess => None,
        }
    }

    async fn secure(
        &self,
        host: &TargetHost,
        certificates: Certificates,
        inside: Inside,
    ) -> Result<SecureStream, DialError> {
        let stream = self.connect_tcp().await?;
        let secured = secure(stream, &certificate_name(host), certificates, inside).await;
        let untrusted = |cause| DialError::Untrusted { target: self.to_string(), cause };
        secured.map(Box::new).map_err(untrusted)
    }

    async fn connect_tcp(&self) -> Result<TcpStream, DialError> {
        let addresses = self.addresses().await?;
        let stream = happy_eyeballs::connect(&addresses).await;
        let stream = stream.map_err(|error| self.failed(error))?;
        // Latency matters more than a few small packets on the way to a local service.
        let _ = stream.set_nodelay(true);
        // A flow of hours needs it, and any other can do without.
        let _ = keep_alive(&stream);
        Ok(stream)
    }

    /// Where it is, by the system's resolver.
    pub(crate) async fn addresses(&self) -> Result<Vec<SocketAddr>, DialError> {
        match self {
            Self::Port(_, TargetHost::Address(ip), port) => Ok(vec![SocketAddr::new(*ip, *port)]),
            Self::Port(_, TargetHost::Name(name), port) => {
                let found = resolve_name(name, *port).await;
                found.map_err(|error| DialError::Unresolved {
                    host: name.to_string(),
                    cause: error.to_string(),
                })
            }
            Self::Unix(_) => Err(self.unsuitable("a Unix socket carries streams, not datagrams")),
            Self::InProcess => Err(self.unsuitable(NO_PLACE)),
        }
    }

    async fn in_time<T>(
        &self,
        dial: impl Future<Output = Result<T, DialError>>,
    ) -> Result<T, DialError> {
        let late = |_| DialError::TimedOut { target: self.to_string() };
        tokio::time::timeout(TARGET_DIAL_TIMEOUT, dial).await.map_err(late)?
    }

    fn unsuitable(&self, cause: &'static str) -> DialError {
        DialError::Unsuitable { target: self.to_string(), cause }
    }

    fn failed(&self, cause: io::Error) -> DialError {
        let target = self.to_string();
        if cause.kind() == io::ErrorKind::ConnectionRefused {
            return DialError::Refused { target };
        }
        if cause.kind() == io::ErrorKind::TimedOut {
            return DialError::TimedOut { target };
        }
        DialError::Unreachable { target, cause }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Port(_, host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::InProcess => Target::InProcess.fmt(f),
        }
    }
}

/// Has the kernel find out whether the other machine is still there: a service that is gone without a word would hold its visitors for ever.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, TARGET_KEEP_ALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, TARGET_KEEP_ALIVE_INTERVAL)?;
    Ok(sockopt::set_tcp_keepcnt(stream, TARGET_KEEP_ALIVE_RETRIES_MAX)?)
}

/// Why [`Place::InProcess`] cannot be dialled.
pub(crate) const NO_PLACE: &str =
    "only a program that runs the agent inside itself takes such visitors";
/// How soon a Unix socket without room is tried again.
const UNIX_AGAIN: Duration = Duration::from_millis(10);

/// Families in turns. Of this machine's loopback addresses only the one at which a program receives: UDP has no handshake that would tell.
fn in_order_of_udp(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut ordered = happy_eyeballs::in_turns(&addresses);
    if ordered.iter().all(|address| address.ip().is_loopback()) {
        ordered.sort_by_key(|address| has_udp_socket(*address) != Some(true));
        ordered.truncate(1);
    }
    ordered
}

/// Waits until a connected UDP socket has something to read. Fails when the other side's kernel refused a datagram, which alone does not
/// make a socket readable. Cancel-safe.
pub(crate) async fn answer_or_refusal(socket: &UdpSocket) -> io::Result<()> {
    let ready = socket.ready(Interest::READABLE | Interest::ERROR).await?;
    if ready.is_error() {
        let refusal = socket.take_error()?;
        // Forgets the readiness for errors; the next error brings it back.
        let _ = socket.try_io(Interest::ERROR, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        return refusal.map_or(Ok(()), Err);
    }
    Ok(())
}

/// Addresses of `host` by the system's resolver. Names at and below `localhost` are this machine (RFC 6761 §6.3).
pub(crate) async fn resolve_name(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if is_localhost(host) {
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Ok(loopback.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no address"));
    }
    Ok(found)
}

/// Certificates name addresses without brackets.
fn certificate_name(host: &TargetHost) -> String {
    match host {
        TargetHost::Address(ip) => ip.to_string(),
        TargetHost::Name(name) => name.to_string(),
    }
}

fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

pub(crate) fn any_like(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, UnixListener};

    use super::*;

    #[tokio::test]
    async fn a_closed_port_is_refused_with_a_next_step() {
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = place(&target(&service.local_addr().unwrap().to_string()), 0).unwrap();
        place.connect().await.unwrap();
        drop(service);
        let error = place.connect().await.unwrap_err();
        assert_eq!(error.code(), Code::TARGET_REFUSED);
        assert!(error.next_step().contains("[::1]:"), "{}", error.next_step());
    }

    #[tokio::test]
    async fn a_unix_socket_without_room_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("busy.sock");
        let service = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&service, 0).unwrap();
        let place = place(&target(&format!("unix:{}", path.display())), 0).unwrap();
        let _waits = UnixStream::connect(&path).await.unwrap();
        let full = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let accept = async {
            tokio::task::yield_now().await;
            service.accept().await
        };
        let (connected, accepted) = tokio::join!(place.connect(), accept);
        assert!(connected.is_ok() && accepted.is_ok(), "{connected:?}");
    }

    #[test]
    fn a_lack_of_descriptors_says_nothing_about_the_target() {
        let place = place(&target("127.0.0.1:1"), 0).unwrap();
        let failed = |errno: rustix::io::Errno| place.failed(errno.into()).is_shortage();
        assert!(failed(rustix::io::Errno::MFILE) && failed(rustix::io::Errno::NFILE));
        assert!(!failed(rustix::io::Errno::CONNREFUSED) && !failed(rustix::io::Errno::HOSTUNREACH));
    }

    #[tokio::test]
    async fn a_service_whose_machine_is_gone_is_found_out() {
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = place(&target(&service.local_addr().unwrap().to_string()), 0).unwrap();
        let LocalStream::Tcp(stream) = place.connect().await.unwrap() else { panic!("a stream") };
        assert!(sockopt::socket_keepalive(&stream).unwrap(), "keep-alive is off");
        let patience =
            sockopt::tcp_keepintvl(&stream).unwrap() * sockopt::tcp_keepcnt(&stream).unwrap();
        let longest = sockopt::tcp_keepidle(&stream).unwrap() + patience;
        assert!(longest <= Duration::from_secs(120), "{longest:?}");
    }

    #[tokio::test]
    async fn a_bare_port_is_found_on_either_loopback_address() {
        for loopback in ["127.0.0.1:0", "[::1]:0"] {
            let service = TcpListener::bind(loopback).await;
            let service =
                service.unwrap_or_else(|error| panic!("needs {loopback} on this machine: {error}"));
            let address = service.local_addr().unwrap();
            let place = place(&target(&address.port().to_string()), 0).unwrap();
            let LocalStream::Tcp(stream) = place.connect().await.unwrap() else {
                panic!("a TCP target")
            };
            assert_eq!(stream.peer_addr().unwrap(), address);

            let service = UdpSocket::bind(loopback).await.unwrap();
            let port = service.local_addr().unwrap().port();
            let place = super::place(&target(&port.to_string()), 0).unwrap();
            assert_eq!(place.udp_addresses().await.unwrap(), [service.local_addr().unwrap()]);
        }
    }

    #[tokio::test]
    async fn a_range_maps_port_by_port() {
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = service.local_addr().unwrap().port();
        let target = target(&format!("{}-{port}", port - 3));

        let LocalStream::Tcp(stream) = place(&target, 3).unwrap().connect().await.unwrap() else {
            panic!("a TCP target")
        };
        assert_eq!(stream.peer_addr().unwrap().port(), port);
        assert!(place(&target, 4).is_err(), "beyond what was declared");
    }

    #[tokio::test]
    async fn a_unix_socket_is_a_target() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("app.sock");
        let service = UnixListener::bind(&path).unwrap();
        let target = target(&format!("unix:{}", path.display()));

        let LocalStream::Unix(mut stream) = place(&target, 0).unwrap().connect().await.unwrap()
        else {
            panic!("a Unix target")
        };
        let (mut accepted, _) = service.accept().await.unwrap();
        stream.write_all(b"hi").await.unwrap();
        let mut read = [0; 2];
        accepted.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"hi");
        let error = place(&target, 0).unwrap().udp_addresses().await.unwrap_err();
        assert_eq!(error.code(), Code::USAGE);
    }

    #[tokio::test]
    async fn a_refused_datagram_is_noticed_and_an_answer_is_too() {
        let service = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let place = place(&target(&service.local_addr().unwrap().to_string()), 0).unwrap();
        let socket = place.open_udp(service.local_addr().unwrap()).await.unwrap();
        socket.send(b"hello").await.unwrap();
        let (_, from) = service.recv_from(&mut [0; 16]).await.unwrap();
        service.send_to(b"hi", from).await.unwrap();
        answer_or_refusal(&socket).await.unwrap();
        assert_eq!(socket.try_recv(&mut [0; 16]).unwrap(), 2);

        drop(service);
        socket.send(b"hello?").await.unwrap();
        let noticed = tokio::time::timeout(Duration::from_secs(10), async {
            loop {
                // What was read before left the socket ready until somebody looks.
                let looked = async {
                    answer_or_refusal(&socket).await.and_then(|()| socket.try_recv(&mut [0; 16]))
                };
                match looked.await {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return error,
                    Err(_) | Ok(_) => {}
                }
            }
        });
        assert_eq!(noticed.await.unwrap().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_name_without_address_is_told_apart_from_a_dead_service() {
        let place = place(&target("no-such-host.invalid:80"), 0).unwrap();
        let error = place.connect().await.unwrap_err();
        assert_eq!(error.code(), Code::TARGET_UNRESOLVED);
    }

    #[tokio::test]
    async fn names_below_localhost_are_this_machine_without_asking_a_resolver() {
        for name in ["localhost", "app.localhost", "APP.LocalHost."] {
            assert!(
                resolve_name(name, 80)
                    .await
                    .unwrap()
                    .iter()
                    .all(|address| address.ip().is_loopback())
            );
        }
        assert!(!is_localhost("notlocalhost"));
    }

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }
}
