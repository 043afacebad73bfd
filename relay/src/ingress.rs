//! The public side of `tcp` and `udp` publications: kernel sockets outside, flows through the tunnel inside.
//!
//! One task on the shard's thread owns every public port ([`PortOwner`]); other threads send it [`Command`]s. A publication's
//! ports are *claimed* (bound) before it is stored and *served* while its target is known to answer: in between, a TCP port is bound but does
//! not listen, so that the kernel refuses visitors at once.
//!
//! Invariant: no byte of a visitor's goes into the overlay before [`Shared::admit`] has said yes to the address that it came from.

mod gate;
mod probes;
mod proof;
mod sockets;
mod spoof;
mod tcp;
mod udp;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bore_api::limits::PORT_COUNT_MAX;
use bore_api::model::{Protocol, Publication};
use bore_api::state::StepName;
use bore_control::doors::ClaimError;
use bore_driver::{Dial, Local, Shard};
use bore_edge::now_micros;
use bore_netstack::{ConnectError, TcpFlow};
use bore_overlay::PeerId;
use bore_policy::DecidedBy;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

pub(crate) use gate::Gate;
pub(crate) use probes::Expected;
pub(crate) use spoof::AnswerBudget;

use self::sockets::{HeldSockets, PortSockets};
use crate::flows::{Carrier, Cut, Flow, Full, OpenFlow};
use crate::limits::{AGENT_DIAL_TIMEOUT, COMMANDS_MAX};
use crate::metrics::IngressMetrics;
use crate::publications::Publications;

/// Where a publication's flows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TunnelRoute {
    pub(crate) publication: Uuid,
    pub(crate) peer: PeerId,
    pub(crate) agent_v4: IpAddr,
    pub(crate) agent_v6: IpAddr,
    pub(crate) relay_v4: IpAddr,
    pub(crate) relay_v6: IpAddr,
    pub(crate) overlay_port: u16,
    /// Stock WireGuard peers answer only to overlay addresses, so their visitors come from the relay's.
    pub(crate) masquerade: bool,
}

impl TunnelRoute {
    /// The inner addresses of a visitor's flow. A source port of 0 is for the caller to choose.
    pub(crate) fn dial(&self, visitor: SocketAddr, port_offset: u16) -> Dial {
        let (agent, relay) = match visitor.ip() {
            IpAddr::V4(_) => (self.agent_v4, self.relay_v4),
            IpAddr::V6(_) => (self.agent_v6, self.relay_v6),
        };
        let source = if self.hides(visitor.ip()) { SocketAddr::new(relay, 0) } else { visitor };
        let destination = SocketAddr::new(agent, self.overlay_port.wrapping_add(port_offset));
        Dial { peer: self.peer, source, destination, timeout: AGENT_DIAL_TIMEOUT }
    }

    /// An address of the overlay would be answered inside the overlay, not through this relay; a loopback address never leaves a host.
    fn hides(&self, visitor: IpAddr) -> bool {
        self.masquerade || visitor.is_loopback() || bore_overlay::is_overlay(visitor)
    }
}

/// What the ingress shares with the rest of the relay.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) gate: Gate,
    pub(crate) expected: Expected,
    pub(crate) metrics: IngressMetrics,
    pub(crate) addresses: Vec<IpAddr>,
    /// Sockets that public ports may take.
    pub(crate) port_sockets_max: usize,
    pub(crate) publications: Arc<Publications>,
}

/// Why a visitor is not let in.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A rule, or a list of the publication, says no.
    Denied(DecidedBy),
    /// A bound is met.
    Full(Full),
}

impl Shared {
    /// Lists a visitor's flow and admits it.
    pub(crate) fn open_flow(
        &self,
        carrier: Carrier,
        publication: Uuid,
        visitor: SocketAddr,
    ) -> Result<OpenFlow, Refusal> {
        let flow = self.list_flow(carrier, publication, visitor)?;
        self.admit(&flow)?;
        Ok(flow)
    }

    /// Lists a visitor's flow. From here on a change of rules cuts it; one before is seen by [`Self::admit`].
    pub(crate) fn list_flow(
        &self,
        carrier: Carrier,
        publication: Uuid,
        visitor: SocketAddr,
    ) -> Result<OpenFlow, Refusal> {
        let listed = self.gate.flows.open(carrier, publication, visitor, now_micros());
        listed.map_err(Refusal::Full)
    }

    /// Lets a listed flow through to the service, or not.
    pub(crate) fn admit(&self, flow: &OpenFlow) -> Result<(), Refusal> {
        self.gate.decide(flow.publication, flow.visitor.ip()).map_err(Refusal::Denied)?;
        let entry = self.publications.get(flow.publication);
        let most = entry.and_then(|entry| entry.publication.options.limits.connections_max);
        flow.admit(most).map_err(Refusal::Full)
    }

    /// Counts a visitor that is not let in.
    pub(crate) fn note_refusal(&self, publication: Uuid, visitor: SocketAddr, refusal: &Refusal) {
        tracing::debug!(%publication, %visitor, ?refusal, "visitor refused");
        match refusal {
            Refusal::Denied(_) => drop(self.metrics.denied.inc()),
            Refusal::Full(limit) => {
                self.metrics.refuse(*limit);
                if *limit == Full::MaxConns {
                    self.show_refusal(publication);
                }
            }
        }
    }

    /// Has the state of a publication say that a visitor met the bound of its publisher.
    fn show_refusal(&self, publication: Uuid) {
        let Some(entry) = self.publications.get(publication) else { return };
        if entry.evidence.note_loss(StepName::Edge, MAX_CONNS_MET.to_owned(), Instant::now()) {
            self.gate.directory.notify_node(entry.publication.node);
        }
    }

    /// Carries the token of an announced visit to the agent, and notes that it came to `hostname`, where visitors name one.
    ///
    /// # Errors
    /// The agent does not answer, or does not know the token: nothing of its own choice reaches the sender of the token.
    pub(crate) async fn carry_visit(
        &self,
        local: &Local,
        route: &TunnelRoute,
        token: &str,
        hostname: Option<&str>,
    ) -> io::Result<()> {
        tcp::echo(local, route, token).await?;
        if let Some(entry) = self.publications.get(route.publication) {
            entry.evidence.note_visit_came(hostname, Instant::now());
        }
        Ok(())
    }

    /// Waits until a visitor's flow is to be reset; `carried` is its side in the tunnel, once it has one.
    pub(crate) async fn until_cut(&self, flow: &Flow, carried: Option<&TcpFlow>) {
        let cut = flow.until_cut(|| carried.is_some_and(TcpFlow::has_heard_end)).await;
        if cut == Cut::Withdrawn {
            self.metrics.flows_cut.inc();
        }
    }

    /// Notes how a visitor's flow began: that the target took it, or that the target is to be looked at.
    pub(crate) fn note_dial<T>(&self, publication: Uuid, dialled: &Result<T, ConnectError>) {
        let Some(entry) = self.publications.get(publication) else { return };
        match dialled {
            Ok(_) => entry.evidence.note_taken(Instant::now()),
            // Nobody asks any more.
            Err(ConnectError::Abandoned) => {}
            Err(_) => entry.evidence.note_not_taken(Instant::now()),
        }
    }
}

const MAX_CONNS_MET: &str =
    "lately a visitor was refused: all connections of --max-conns were taken";

/// A handle to the ingress, for any thread.
#[derive(Debug, Clone)]
pub(crate) struct Ingress {
    commands: mpsc::Sender<Command>,
}

enum Command {
    Claim { publication: Box<Publication>, wish: Wish, answer: Answer },
    Release { publication: Uuid, answer: oneshot::Sender<()> },
    Serve { publication: Uuid, route: Option<TunnelRoute>, answer: Answer },
    Stop(oneshot::Sender<()>),
    Resume(oneshot::Sender<()>),
}

type Answer = oneshot::Sender<Result<(), ClaimError>>;

/// How much a claim wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// These ports, whatever was claimed before.
    Move,
    /// These ports unless others are claimed: a newer claim than the caller knows of.
    Keep,
}

impl Ingress {
    /// Starts the ingress on `shard`.
    pub(crate) fn start(shard: &Shard, shared: Arc<Shared>) -> Self {
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let shard = shard.clone();
        tokio::spawn(async move {
            // An ended shard has no ingress: commands then answer that it is gone.
            let _ = shard.run(move |local| PortOwner::new(local, shared).run(queue)).await;
        });
        Self { commands }
    }

    /// Binds a publication's public ports, instead of others that it may have. Claiming again what is claimed changes nothing.
    pub(crate) async fn claim(&self, publication: &Publication) -> Result<(), ClaimError> {
        self.ask_claim(publication, Wish::Move).await
    }

    /// Binds a publication's public ports unless it has some.
    pub(crate) async fn keep(&self, publication: &Publication) -> Result<(), ClaimError> {
        self.ask_claim(publication, Wish::Keep).await
    }

    async fn ask_claim(&self, publication: &Publication, wish: Wish) -> Result<(), ClaimError> {
        let publication = Box::new(publication.clone());
        self.ask(|answer| Command::Claim { publication, wish, answer }).await
    }

    /// Closes a publication's ports; when this returns, others can have them.
    pub(crate) async fn release(&self, publication: Uuid) {
        let (answer, done) = oneshot::channel();
        self.send(Command::Release { publication, answer }).await;
        // A doorman that is gone has closed its ports.
        let _ = done.await;
    }

    /// Serves a publication along `route`, or refuses its visitors. An error says why a port is not served.
    pub(crate) async fn serve(
        &self,
        publication: Uuid,
        route: Option<TunnelRoute>,
    ) -> Result<(), ClaimError> {
        self.ask(|answer| Command::Serve { publication, route, answer }).await
    }

    /// Closes every public port until [`Self::resume`]; open flows go on.
    pub(crate) async fn stop(&self) {
        let (answer, done) = oneshot::channel();
        self.send(Command::Stop(answer)).await;
        // A doorman that is gone has closed its ports.
        let _ = done.await;
    }

    /// Lets public ports be claimed again.
    pub(crate) async fn resume(&self) {
        let (answer, done) = oneshot::channel();
        self.send(Command::Resume(answer)).await;
        // A doorman that is gone opens nothing.
        let _ = done.await;
    }

    async fn ask(&self, command: impl FnOnce(Answer) -> Command) -> Result<(), ClaimError> {
        let (answer, answered) = oneshot::channel();
        self.send(command(answer)).await;
        answered.await.unwrap_or_else(|_| Err(stopping()))
    }

    async fn send(&self, command: Command) {
        // A stopped ingress has nothing to close, and drops what waits for its answer.
        let _ = self.commands.send(command).await;
    }
}

/// Owns the public ports. Lives on the shard's thread.
struct PortOwner {
    local: Local,
    shared: Arc<Shared>,
    room: Rc<udp::Room>,
    sockets: Rc<PortSockets>,
    open: HashMap<Uuid, Opened>,
    stopped: bool,
}

/// The ports of one publication.
struct Opened {
    first_port: Option<u16>,
    count: u16,
    ports: Vec<Port>,
    route: Option<TunnelRoute>,
    _sockets: HeldSockets,
}

enum Port {
    Tcp(tcp::TcpPort),
    Udp(udp::UdpPublication),
}

impl PortOwner {
    fn new(local: Local, shared: Arc<Shared>) -> Self {
        let sockets = PortSockets::new(shared.port_sockets_max);
        Self { local, shared, room: Rc::default(), sockets, open: HashMap::new(), stopped: false }
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        while let Some(command) = queue.recv().await {
            // Whoever waits for an answer may have gone; what was done stays done.
            match command {
                Command::Claim { publication, wish, answer } => {
                    let _ = answer.send(self.claim(&publication, wish).await);
                }
                Command::Release { publication, answer } => {
                    drop(self.open.remove(&publication));
                    let_tasks_end().await;
                    let _ = answer.send(());
                }
                Command::Serve { publication, route, answer } => {
                    let _ = answer.send(self.serve(publication, route));
                }
                Command::Stop(answer) => {
                    self.stopped = true;
                    self.open.retain(|_, opened| opened.ports.is_empty());
                    let_tasks_end().await;
                    let _ = answer.send(());
                }
                Command::Resume(answer) => {
                    self.stopped = false;
                    let _ = answer.send(());
                }
            }
        }
    }

    async fn claim(&mut self, publication: &Publication, wish: Wish) -> Result<(), ClaimError> {
        if self.stopped && publication.public_port.is_some() {
            return Err(draining());
        }
        let (id, first, count) = (publication.id, publication.public_port, publication.port_count);
        match self.open.get(&id) {
            Some(opened) if wish == Wish::Keep || opened.is(first, count) => Ok(()),
            Some(opened) if opened.overlaps(first, count) => self.shift(publication).await,
            Some(_) | None => {
                let opened = self.bind(publication, first).await?;
                self.open.insert(id, opened);
                Ok(())
            }
        }
    }

    /// Moves a publication onto ports of which it has some. When that fails, it gets back what it had.
    async fn shift(&mut self, publication: &Publication) -> Result<(), ClaimError> {
        let id = publication.id;
        let Some(Opened { first_port, route, ports, .. }) = self.open.remove(&id) else {
            return Ok(());
        };
        drop(ports);
        let_tasks_end().await;
        let moved = self.bind(publication, publication.public_port).await;
        match moved {
            Ok(opened) => {
                self.open.insert(id, opened);
                Ok(())
            }
            Err(error) => {
                let opened = self.bind(publication, first_port).await?;
                self.open.insert(id, opened);
                self.serve(id, route)?;
                Err(error)
            }
        }
    }

    async fn bind(
        &self,
        publication: &Publication,
        first_port: Option<u16>,
    ) -> Result<Opened, ClaimError> {
        let count = publication.port_count;
        if count > PORT_COUNT_MAX {
            let most = PORT_COUNT_MAX;
            return Err(ClaimError::Limit(format!("a publication has at most {most} ports")));
        }
        let sockets = self
            .sockets
            .take(publication.network, sockets_of(publication, self.shared.addresses.len()))?;
        let mut ports = Vec::new();
        if let Some(first) = first_port {
            for offset in 0..count {
                let port = first.checked_add(offset).ok_or_else(|| too_high(first, count))?;
                self.bind_port(publication, port, offset, &mut ports)?;
                // A thousand sockets take a while: the tunnels get their turns in between.
                tokio::task::yield_now().await;
            }
        }
        Ok(Opened { first_port, count, ports, route: None, _sockets: sockets })
    }

    fn bind_port(
        &self,
        publication: &Publication,
        port: u16,
        offset: u16,
        bound: &mut Vec<Port>,
    ) -> Result<(), ClaimError> {
        let id = publication.id;
        let own = || (self.local.clone(), Arc::clone(&self.shared));
        if publication.protocol == Protocol::Udp {
            let ((local, shared), room) = (own(), Rc::clone(&self.room));
            let port = udp::UdpPublication::bind(id, port, offset, local, shared, room)?;
            bound.push(Port::Udp(port));
            return Ok(());
        }
        for address in &self.shared.addresses {
            let (local, shared) = own();
            let address = SocketAddr::new(*address, port);
            bound.push(Port::Tcp(tcp::TcpPort::bind(id, address, offset, local, shared)?));
        }
        Ok(())
    }

    /// All ports or none: a publication that is half served is not served.
    fn serve(&mut self, publication: Uuid, route: Option<TunnelRoute>) -> Result<(), ClaimError> {
        let Some(opened) = self.open.get_mut(&publication) else {
            return if self.stopped { Err(draining()) } else { Ok(()) };
        };
        let served = opened.serve(route.as_ref());
        if served.is_err() {
            self.shared.metrics.listens_failed.inc();
            // Serving nowhere cannot fail.
            let _ = opened.serve(None);
        }
        opened.route = route.filter(|_| served.is_ok());
        served
    }
}

impl Opened {
    fn is(&self, first: Option<u16>, count: u16) -> bool {
        (self.first_port, self.count) == (first, count)
    }

    fn overlaps(&self, first: Option<u16>, count: u16) -> bool {
        let (Some(ours), Some(theirs)) = (self.first_port, first) else { return false };
        let (ours_end, theirs_end) =
            (u32::from(ours) + u32::from(self.count), u32::from(theirs) + u32::from(count));
        u32::from(ours) < theirs_end && u32::from(theirs) < ours_end
    }

    fn serve(&mut self, route: Option<&TunnelRoute>) -> Result<(), ClaimError> {
        self.ports.iter_mut().try_for_each(|port| match port {
            Port::Tcp(port) => port.serve(route),
            Port::Udp(port) => port.serve(route),
        })
    }
}

/// The sockets that a publication's ports take on a relay with so many public addresses. A TCP port that listens has two on each: one that
/// stays bound, and its copy that accepts.
fn sockets_of(publication: &Publication, addresses: usize) -> usize {
    let ports = publication.public_port.map_or(0, |_| usize::from(publication.port_count));
    let on_each = match publication.protocol {
        Protocol::Udp => 1,
        Protocol::Tcp | Protocol::Tls | Protocol::Http => 2,
    };
    ports * on_each * addresses
}

/// Tasks of closed ports hold their sockets until they have had one more turn.
async fn let_tasks_end() {
    tokio::task::yield_now().await;
}

fn stopping() -> ClaimError {
    ClaimError::Leaving("stopping")
}

fn draining() -> ClaimError {
    ClaimError::Leaving("draining")
}

fn too_high(first: u16, count: u16) -> ClaimError {
    ClaimError::Limit(format!("{count} ports from {first} on go past 65535"))
}

fn refused(address: SocketAddr, protocol: &'static str, error: &io::Error) -> ClaimError {
    let port = address.port();
    if error.kind() == io::ErrorKind::AddrInUse {
        return ClaimError::PortInUse { port, protocol };
    }
    let cause = if error.kind() == io::ErrorKind::PermissionDenied {
        "ports below 1024 need CAP_NET_BIND_SERVICE".to_owned()
    } else {
        error.to_string()
    };
    ClaimError::Refused { port, protocol, cause }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publications::publication;

    #[test]
    fn every_socket_of_a_port_is_counted_on_every_address() {
        for (protocol, port, count, addresses, wanted) in [
            (Protocol::Tcp, Some(1_000), 10, 1, 20),
            (Protocol::Tcp, Some(1_000), 10, 3, 60),
            (Protocol::Udp, Some(1_000), 10, 1, 10),
            (Protocol::Udp, Some(1_000), 10, 3, 30),
            (Protocol::Http, None, 1, 3, 0),
        ] {
            let wish =
                Publication { protocol, public_port: port, port_count: count, ..publication() };
            assert_eq!(sockets_of(&wish, addresses), wanted, "{protocol:?} on {addresses}");
        }
    }
}
