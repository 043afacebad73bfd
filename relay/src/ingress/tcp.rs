//! One public TCP port.
//!
//! A visitor's socket is reset when it is dropped, whatever ends its handling, until both sides have closed in order.
//!
//! The kernel's rules for a port (Linux, `inet_csk_bind_conflict`): two sockets may be bound to one port when both have SO_REUSEADDR and
//! neither listens. Connections in TIME-WAIT count, so a port that was in use needs SO_REUSEADDR to be bound or to listen again. A port
//! that is bound and does not listen has it switched off: then it is ours alone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bore_control::doors::ClaimError;
use bore_driver::{Local, Near, OverlayStream, PumpEnd, pipe, pump};
use bore_edge::{TcpAccept, keep_alive};
use bore_netstack::{ConnectError, TcpFlow};
use bore_overlay::PROBE_PORT;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::probes::TOKEN_BYTES;
use super::{Shared, TunnelRoute, refused};
use crate::flows::{Carrier, OpenFlow};
use crate::limits::{ACCEPT_BACKLOG, AGENT_DIAL_TIMEOUT, DIALS_PER_PORT_MAX, PROBE_PEEK};
use crate::publications::agent_probe::{Question, ask};

/// A bound TCP port that listens only while it is served.
pub(super) struct TcpPort {
    socket: Socket,
    address: SocketAddr,
    visitors: PortVisitors,
    serving: Option<(TunnelRoute, JoinHandle<()>)>,
}

/// What every visitor of a port is handled with.
#[derive(Clone)]
struct PortVisitors {
    publication: Uuid,
    port_offset: u16,
    local: Local,
    shared: Arc<Shared>,
    dials: Rc<Semaphore>,
}

impl TcpPort {
    pub(super) fn bind(
        publication: Uuid,
        address: SocketAddr,
        port_offset: u16,
        local: Local,
        shared: Arc<Shared>,
    ) -> Result<Self, ClaimError> {
        let socket = bind(address).map_err(|error| refused(address, "tcp", &error))?;
        let dials = Rc::new(Semaphore::new(DIALS_PER_PORT_MAX));
        let visitors = PortVisitors { publication, port_offset, local, shared, dials };
        Ok(Self { socket, address, visitors, serving: None })
    }

    /// Listens and hands visitors to `route`; without one, stops listening and leaves the port bound.
    pub(super) fn serve(&mut self, route: Option<&TunnelRoute>) -> Result<(), ClaimError> {
        if self.serving.as_ref().map(|(serving, _)| serving) == route {
            return Ok(());
        }
        self.close();
        let Some(route) = route else { return Ok(()) };
        let listener = self.listen().map_err(|error| refused(self.address, "tcp", &error))?;
        let task = tokio::task::spawn_local(accept(listener, route.clone(), self.visitors.clone()));
        self.serving = Some((route.clone(), task));
        Ok(())
    }

    fn listen(&self) -> io::Result<TcpListener> {
        self.socket.set_reuse_address(true)?;
        let listening = self.socket.listen(ACCEPT_BACKLOG).and_then(|()| self.socket.try_clone());
        let listener = listening.and_then(|socket| TcpListener::from_std(socket.into()));
        listener.inspect_err(|_| self.rest())
    }

    fn close(&mut self) {
        if let Some((_, task)) = self.serving.take() {
            task.abort();
            self.rest();
        }
    }

    fn rest(&self) {
        if let Err(error) = rest(&self.socket) {
            tracing::debug!(%error, "listener did not close");
        }
    }
}

impl Drop for TcpPort {
    fn drop(&mut self) {
        self.close();
    }
}

/// Binds, and listens for a moment: a port that others may share could not listen. `[::]` falls back to `0.0.0.0` without IPv6.
fn bind(address: SocketAddr) -> io::Result<Socket> {
    match bind_exactly(address) {
        Err(error) if address.ip().is_unspecified() && is_without_ipv6(&error) => {
            bind_exactly(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port()))
        }
        bound => bound,
    }
}

fn bind_exactly(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1)?;
    rest(&socket)?;
    Ok(socket)
}

/// On Linux a listening socket that is shut down for reading stops listening and stays bound.
fn rest(socket: &Socket) -> io::Result<()> {
    socket.shutdown(Shutdown::Read)?;
    socket.set_reuse_address(false)
}

fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

async fn accept(listener: TcpListener, route: TunnelRoute, visitors: PortVisitors) {
    let mut accept = TcpAccept::new(listener);
    loop {
        let failed = || {
            visitors.shared.metrics.accepts_failed.inc();
        };
        let (socket, visitor) = accept.next(failed).await;
        visitors.welcome(socket, visitor, &route);
    }
}

impl PortVisitors {
    fn welcome(&self, socket: TcpStream, visitor: SocketAddr, route: &TunnelRoute) {
        prepare(&socket);
        match self.shared.list_flow(Carrier::Tcp, self.publication, visitor) {
            Ok(open) => {
                tokio::task::spawn_local(self.clone().receive(socket, open, route.clone()));
            }
            Err(refusal) => self.shared.note_refusal(self.publication, visitor, &refusal),
        }
    }

    async fn receive(self, socket: TcpStream, open: OpenFlow, route: TunnelRoute) {
        if let Some(token) = self.announced(&socket).await {
            self.answer_probe(socket, &route, &token).await;
            return;
        }
        // An announced visit, which only finds out whether visitors get here, needs no admission.
        if let Err(refusal) = self.shared.admit(&open) {
            return self.shared.note_refusal(self.publication, open.visitor, &refusal);
        }
        // Small writes of interactive protocols must not wait for an acknowledgement.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::trace!(%error, "no TCP_NODELAY");
        }
        let near = Near::tcp(socket);
        let dialled = tokio::select! {
            biased;
            () = self.shared.until_cut(&open, None) => return,
            dialled = self.dial(&near, &open, &route) => dialled,
        };
        self.shared.note_dial(self.publication, &dialled);
        match dialled {
            Ok(flow) => self.carry(flow, near, open).await,
            Err(ConnectError::Abandoned) => {
                tracing::debug!(publication = %self.publication, "visitor gone before the agent answered");
            }
            Err(error) => {
                self.shared.metrics.dials_failed.inc();
                tracing::debug!(publication = %self.publication, %error, "no flow to the agent");
            }
        }
    }

    async fn dial(
        &self,
        near: &Near<TcpStream>,
        open: &OpenFlow,
        route: &TunnelRoute,
    ) -> Result<TcpFlow, ConnectError> {
        let _turn = self.turn().await?;
        let mut dial = route.dial(open.visitor, self.port_offset);
        let first = self.local.connect_for(&dial, near, &open.meter).await;
        // Known before a byte was taken from the visitor.
        if matches!(first, Err(ConnectError::InUse)) {
            dial.source.set_port(0);
            return self.local.connect_for(&dial, near, &open.meter).await;
        }
        first
    }

    /// A place among those who wait for the agent.
    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, ConnectError> {
        if let Ok(turn) = self.dials.try_acquire() {
            return Ok(turn);
        }
        self.shared.metrics.dials_delayed.inc();
        let turn = tokio::time::timeout(AGENT_DIAL_TIMEOUT, self.dials.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or(ConnectError::TimedOut)
    }

    async fn carry(&self, flow: TcpFlow, near: Near<TcpStream>, open: OpenFlow) {
        self.shared.metrics.tcp_flows_opened.inc();
        tracing::debug!(flow = open.id, publication = %self.publication, visitor = %open.visitor, "tcp flow opened");
        let end = tokio::select! {
            biased;
            // The pump that is dropped with this resets both sides.
            () = self.shared.until_cut(&open, Some(&flow)) => PumpEnd::FlowReset,
            end = pump(&flow, &near, &open.meter) => end,
        };
        tracing::debug!(flow = open.id, ?end, "tcp flow ended");
    }

    /// The token of an announced visit, when this is one. Visitors wait for this only while a visit is expected.
    async fn announced(&self, socket: &TcpStream) -> Option<String> {
        if !self.shared.expected.is_expected(self.publication, Instant::now()) {
            return None;
        }
        let mut bytes = [0; TOKEN_BYTES];
        let peeked = tokio::time::timeout(PROBE_PEEK, peek_whole(socket, &mut bytes)).await;
        peeked.ok()?.ok()?;
        self.shared.expected.take(self.publication, &bytes, Instant::now())
    }

    async fn answer_probe(&self, mut socket: TcpStream, route: &TunnelRoute, token: &str) {
        self.shared.metrics.probes_taken.inc();
        match self.shared.carry_visit(&self.local, route, token, None).await {
            Ok(()) => {
                // The visitor is the agent itself: what it does not get it reports.
                let _ = socket.write_all(token.as_bytes()).await;
                let _ = socket.shutdown().await;
                close_in_order(&socket);
            }
            Err(error) => tracing::debug!(%error, "probe not answered"),
        }
    }
}

async fn peek_whole(socket: &TcpStream, bytes: &mut [u8]) -> io::Result<()> {
    let mut seen = 0;
    loop {
        let count = socket.peek(bytes).await?;
        if count == bytes.len() {
            return Ok(());
        }
        if count == 0 || count == seen {
            // Peeked bytes leave the socket readable: wait a little for more, within the caller's limit.
            tokio::time::sleep(PEEK_PAUSE).await;
        }
        seen = count;
    }
}

/// Carries a token to the agent through its tunnel.
pub(super) async fn echo(local: &Local, route: &TunnelRoute, token: &str) -> io::Result<()> {
    let dial = bore_driver::Dial {
        peer: route.peer,
        source: SocketAddr::new(route.relay_v6, 0),
        destination: SocketAddr::new(route.agent_v6, PROBE_PORT),
        timeout: crate::limits::CHECK_TIMEOUT,
    };
    let flow = local.connect(&dial).await.map_err(io::Error::other)?;
    let mut stream: OverlayStream = pipe(flow);
    let answer = ask(&mut stream, &Question::Echo(token)).await?;
    if answer.echo.as_deref() == Some(token) {
        Ok(())
    } else {
        Err(io::Error::other("the agent does not expect this visit"))
    }
}

/// A visitor that vanished is noticed, and one whose flow breaks off sees it.
fn prepare(socket: &TcpStream) {
    reset_when_dropped(socket);
    if let Err(error) = keep_alive(socket) {
        tracing::trace!(%error, "no SO_KEEPALIVE");
    }
}

/// Makes the kernel send RST when the socket is dropped.
fn reset_when_dropped(socket: &TcpStream) {
    linger(socket, Some(Duration::ZERO));
}

/// Takes [`reset_when_dropped`] back: what is written is still sent.
fn close_in_order(socket: &TcpStream) {
    linger(socket, None);
}

fn linger(socket: &TcpStream, wait: Option<Duration>) {
    if let Err(error) = SockRef::from(socket).set_linger(wait) {
        tracing::trace!(%error, "no SO_LINGER");
    }
}

const PEEK_PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_claimed_is_nobody_elses_whether_it_listens_or_not() {
        let address = free();
        let claimed = bind(address).unwrap();
        assert!(in_use(bind(address)), "another relay, while ours rests");
        assert!(in_use(stranger(address)), "another program, while ours rests");
        claimed.set_reuse_address(true).unwrap();
        claimed.listen(1).unwrap();
        assert!(in_use(bind(address)) && in_use(stranger(address)), "while ours listens");
    }

    #[test]
    fn a_port_that_a_program_listens_on_is_refused() {
        let address = free();
        let _stranger = stranger(address).unwrap();
        let error = bind(address).map_err(|error| refused(address, "tcp", &error)).unwrap_err();
        assert!(matches!(error, ClaimError::PortInUse { protocol: "tcp", .. }), "{error}");
    }

    #[test]
    fn a_port_with_open_and_closed_connections_listens_again() {
        let address = free();
        let claimed = bind(address).unwrap();
        let connect = || {
            claimed.set_reuse_address(true).unwrap();
            claimed.listen(1).unwrap();
            let visitor = std::net::TcpStream::connect(address).unwrap();
            claimed.set_nonblocking(false).unwrap();
            let (served, _) = claimed.accept().unwrap();
            rest(&claimed).unwrap();
            (visitor, served)
        };
        let open = connect();
        // Closed from our side first: the port keeps it in TIME-WAIT.
        let (visitor, served) = connect();
        drop(served);
        drop(visitor);
        drop(connect());
        drop(claimed);
        drop(bind(address).unwrap());
        drop(open);
        bind(address).unwrap();
    }

    #[tokio::test]
    async fn a_visitor_that_vanishes_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_visitor, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (socket, _) = accepted.unwrap();
        prepare(&socket);
        assert!(SockRef::from(&socket).keepalive().unwrap(), "nobody asks");
    }

    /// A port to ask for by number: one that the kernel chose is not kept by a socket that stops listening.
    fn free() -> SocketAddr {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    /// What servers usually do: SO_REUSEADDR, bind, listen.
    fn stranger(address: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(1)?;
        Ok(socket)
    }

    fn in_use(result: io::Result<Socket>) -> bool {
        result.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    }
}
