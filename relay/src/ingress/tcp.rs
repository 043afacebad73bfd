//! One public TCP port.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bore_control::runtime::ClaimError;
use bore_driver::{Local, OverlayStream, PumpEnd, pipe, pump};
use bore_netstack::{ConnectError, TcpFlow};
use bore_overlay::PROBE_PORT;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::probes::TOKEN_BYTES;
use super::{Route, Shared, refused};
use crate::clock::now_micros;
use crate::flows::OpenFlow;
use crate::limits::{
    ACCEPT_BACKLOG, ACCEPT_PAUSE, PROBE_PEEK, TCP_FLOWS_MAX, TCP_FLOWS_PER_PUBLICATION_MAX,
};

/// A bound TCP port that listens only while it is served.
pub(super) struct TcpPort {
    socket: Socket,
    guest: Guest,
    serving: Option<(Route, JoinHandle<()>)>,
}

/// What every visitor of a port is handled with.
#[derive(Clone)]
struct Guest {
    publication: Uuid,
    port_offset: u16,
    local: Local,
    shared: Arc<Shared>,
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
        Ok(Self { socket, guest: Guest { publication, port_offset, local, shared }, serving: None })
    }

    /// Listens and hands visitors to `route`; without one, stops listening and leaves the port bound.
    pub(super) fn serve(&mut self, route: Option<&Route>) {
        if self.serving.as_ref().map(|(serving, _)| serving) == route {
            return;
        }
        self.close();
        let Some(route) = route else { return };
        match self.listen() {
            Ok(listener) => {
                let task =
                    tokio::task::spawn_local(accept(listener, route.clone(), self.guest.clone()));
                self.serving = Some((route.clone(), task));
            }
            Err(error) => {
                tracing::warn!(publication = %self.guest.publication, %error, "cannot listen")
            }
        }
    }

    fn listen(&self) -> io::Result<TcpListener> {
        self.socket.listen(ACCEPT_BACKLOG)?;
        TcpListener::from_std(self.socket.try_clone()?.into())
    }

    fn close(&mut self) {
        if let Some((_, task)) = self.serving.take() {
            task.abort();
            // On Linux a listening socket that is shut down for reading stops listening and stays bound.
            if let Err(error) = self.socket.shutdown(Shutdown::Read) {
                tracing::debug!(%error, "listener did not close");
            }
        }
    }
}

impl Drop for TcpPort {
    fn drop(&mut self) {
        self.close();
    }
}

/// Binds, and listens for a moment: two sockets may be bound to one port, only one can listen.
fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1)?;
    socket.shutdown(Shutdown::Read)?;
    Ok(socket)
}

async fn accept(listener: TcpListener, route: Route, guest: Guest) {
    loop {
        match listener.accept().await {
            Ok((socket, visitor)) => {
                let visitor = SocketAddr::new(visitor.ip().to_canonical(), visitor.port());
                tokio::task::spawn_local(guest.clone().receive(socket, visitor, route.clone()));
            }
            Err(error) => {
                // Out of file descriptors: wait for flows to end instead of spinning.
                guest.shared.metrics.accept_failed.inc();
                tracing::debug!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Guest {
    async fn receive(self, socket: TcpStream, visitor: SocketAddr, route: Route) {
        if let Some(token) = self.announced(&socket).await {
            self.answer_probe(socket, &route, token).await;
            return;
        }
        if !self.shared.gate.admits(self.publication, visitor.ip(), &self.shared.metrics)
            || self.is_full()
        {
            reset(&socket);
            return;
        }
        match self.dial(visitor, &route).await {
            Ok(flow) => self.carry(flow, socket, visitor).await,
            Err(error) => {
                self.shared.metrics.dial_failed.inc();
                tracing::debug!(publication = %self.publication, %error, "no flow to the agent");
                reset(&socket);
            }
        }
    }

    fn is_full(&self) -> bool {
        let flows = &self.shared.gate.flows;
        let full = flows.count() >= TCP_FLOWS_MAX
            || flows.count_of(self.publication) >= TCP_FLOWS_PER_PUBLICATION_MAX;
        if full {
            self.shared.metrics.flows_refused.inc();
        }
        full
    }

    async fn dial(&self, visitor: SocketAddr, route: &Route) -> Result<TcpFlow, ConnectError> {
        let mut dial = route.dial(visitor, self.port_offset);
        let first = self.local.connect(&dial).await;
        if matches!(first, Err(ConnectError::InUse)) {
            dial.source.set_port(0);
            return self.local.connect(&dial).await;
        }
        first
    }

    async fn carry(&self, flow: TcpFlow, socket: TcpStream, visitor: SocketAddr) {
        // Small writes of interactive protocols must not wait for an acknowledgement.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::trace!(%error, "no TCP_NODELAY");
        }
        let open = self.shared.gate.flows.open(self.publication, visitor, now_micros());
        self.shared.metrics.tcp_flows_opened.inc();
        tracing::debug!(flow = open.id, publication = %self.publication, %visitor, "tcp flow opened");
        let end = self.pump_until_cut(&flow, &socket, &open).await;
        self.shared.metrics.count_bytes(&open.meter);
        tracing::debug!(flow = open.id, ?end, "tcp flow ended");
    }

    async fn pump_until_cut(&self, flow: &TcpFlow, socket: &TcpStream, open: &OpenFlow) -> PumpEnd {
        tokio::select! {
            end = pump(flow, socket, &open.meter) => end,
            () = open.until_cut() => {
                self.shared.metrics.flows_cut.inc();
                flow.abort();
                reset(socket);
                PumpEnd::FlowReset
            }
        }
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

    async fn answer_probe(&self, mut socket: TcpStream, route: &Route, token: String) {
        match echo(&self.local, route, &token).await {
            Ok(answer) => {
                // The visitor is the agent itself: what it does not get it reports.
                let _ = socket.write_all(answer.as_bytes()).await;
                let _ = socket.shutdown().await;
            }
            Err(error) => {
                tracing::debug!(%error, "probe not answered");
                reset(&socket);
            }
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

/// Carries a token to the agent through its tunnel and brings back what it answers.
pub(crate) async fn echo(local: &Local, route: &Route, token: &str) -> io::Result<String> {
    let dial = bore_driver::Dial {
        peer: route.peer,
        source: SocketAddr::new(route.relay_v6, 0),
        destination: SocketAddr::new(route.agent_v6, PROBE_PORT),
        timeout: crate::limits::CHECK_TIMEOUT,
    };
    let flow = local.connect(&dial).await.map_err(io::Error::other)?;
    let mut stream: OverlayStream = pipe(flow);
    let answer =
        crate::agent_probe::ask(&mut stream, &crate::agent_probe::Question::Echo(token)).await?;
    Ok(answer.echo.unwrap_or_default())
}

/// Makes the kernel send RST when the socket is dropped.
fn reset(socket: &TcpStream) {
    if let Err(error) = SockRef::from(socket).set_linger(Some(Duration::ZERO)) {
        tracing::trace!(%error, "no RST");
    }
}

const PEEK_PAUSE: Duration = Duration::from_millis(5);
