//! The public side of `tcp` and `udp` publications: kernel sockets outside, flows through the tunnel inside.
//!
//! One task on the shard's thread owns every public port ([`Doorman`]); other threads send it [`Command`]s. A publication's
//! ports are *claimed* (bound) before it is stored and *served* while its target is known to answer: in between, a TCP port is bound but does
//! not listen, so that the kernel refuses visitors at once.
//!
//! Invariant: no byte of a visitor's goes into the overlay before [`Gate::admits`] has said yes to the address that it came from.

mod gate;
mod probes;
mod spoof;
mod tcp;
mod udp;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use bore_control::model::{Protocol, Publication};
use bore_control::runtime::ClaimError;
use bore_driver::{Dial, Local, Shard};
use bore_overlay::PeerId;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

pub(crate) use gate::Gate;
pub(crate) use probes::Expected;
pub(crate) use tcp::echo;

use crate::limits::{COMMANDS_MAX, DIAL_TIMEOUT, PORTS_PER_PUBLICATION_MAX};
use crate::metrics::IngressMetrics;

/// Where a publication's flows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
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

impl Route {
    /// The inner addresses of a visitor's flow. A source port of 0 is for the caller to choose.
    pub(crate) fn dial(&self, visitor: SocketAddr, port_offset: u16) -> Dial {
        let (agent, relay) = match visitor.ip() {
            IpAddr::V4(_) => (self.agent_v4, self.relay_v4),
            IpAddr::V6(_) => (self.agent_v6, self.relay_v6),
        };
        let source = if self.hides(visitor.ip()) { SocketAddr::new(relay, 0) } else { visitor };
        let destination = SocketAddr::new(agent, self.overlay_port.wrapping_add(port_offset));
        Dial { peer: self.peer, source, destination, timeout: DIAL_TIMEOUT }
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
}

/// A handle to the ingress, for any thread.
#[derive(Debug, Clone)]
pub(crate) struct Ingress {
    commands: mpsc::Sender<Command>,
}

enum Command {
    Claim { publication: Box<Publication>, answer: oneshot::Sender<Result<(), ClaimError>> },
    Release(Uuid),
    Serve { publication: Uuid, route: Option<Route> },
    Stop(oneshot::Sender<()>),
}

impl Ingress {
    /// Starts the ingress on `shard`.
    pub(crate) fn start(shard: &Shard, shared: Arc<Shared>) -> Self {
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let shard = shard.clone();
        tokio::spawn(async move {
            // An ended shard has no ingress: commands then answer that it is gone.
            let _ = shard.run(move |local| Doorman::new(local, shared).run(queue)).await;
        });
        Self { commands }
    }

    /// Binds a publication's public ports. Claiming again what is claimed changes nothing.
    pub(crate) async fn claim(&self, publication: &Publication) -> Result<(), ClaimError> {
        let (answer, claimed) = oneshot::channel();
        let command = Command::Claim { publication: Box::new(publication.clone()), answer };
        let stopping = || ClaimError::Limit("the relay is stopping".to_owned());
        self.commands.send(command).await.map_err(|_| stopping())?;
        claimed.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Closes a publication's ports and cuts its flows.
    pub(crate) async fn release(&self, publication: Uuid) {
        self.send(Command::Release(publication)).await;
    }

    /// Serves a publication along `route`, or refuses its visitors.
    pub(crate) async fn serve(&self, publication: Uuid, route: Option<Route>) {
        self.send(Command::Serve { publication, route }).await;
    }

    /// Closes every public port; open flows go on.
    pub(crate) async fn stop(&self) {
        let (answer, done) = oneshot::channel();
        self.send(Command::Stop(answer)).await;
        // A doorman that is gone has closed its ports.
        let _ = done.await;
    }

    async fn send(&self, command: Command) {
        // A stopped ingress has nothing to close.
        let _ = self.commands.send(command).await;
    }
}

/// Owns the public ports. Lives on the shard's thread.
struct Doorman {
    local: Local,
    shared: Arc<Shared>,
    batch: udp::SharedBatch,
    open: HashMap<Uuid, Opened>,
}

/// The ports of one publication.
struct Opened {
    first_port: Option<u16>,
    count: u16,
    ports: Vec<Port>,
}

enum Port {
    Tcp(tcp::TcpPort),
    Udp(udp::UdpPublication),
}

impl Doorman {
    fn new(local: Local, shared: Arc<Shared>) -> Self {
        Self { local, shared, batch: udp::SharedBatch::default(), open: HashMap::new() }
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        while let Some(command) = queue.recv().await {
            match command {
                Command::Claim { publication, answer } => {
                    // Nobody waits any more: the ports stay claimed until released.
                    let _ = answer.send(self.claim(&publication));
                }
                Command::Release(publication) => drop(self.open.remove(&publication)),
                Command::Serve { publication, route } => self.serve(publication, route.as_ref()),
                Command::Stop(answer) => {
                    self.open.clear();
                    // Nobody waits any more; it is done all the same.
                    let _ = answer.send(());
                }
            }
        }
    }

    fn claim(&mut self, publication: &Publication) -> Result<(), ClaimError> {
        let same = self.open.get(&publication.id).is_some_and(|opened| {
            (opened.first_port, opened.count) == (publication.public_port, publication.port_count)
        });
        if !same {
            let opened = self.bind(publication)?;
            self.open.insert(publication.id, opened);
        }
        Ok(())
    }

    fn bind(&self, publication: &Publication) -> Result<Opened, ClaimError> {
        let (first_port, count) = (publication.public_port, publication.port_count);
        if count > PORTS_PER_PUBLICATION_MAX {
            let most = PORTS_PER_PUBLICATION_MAX;
            return Err(ClaimError::Limit(format!("a publication has at most {most} ports")));
        }
        let mut ports = Vec::new();
        if let Some(first) = first_port {
            for offset in 0..count {
                let port = first.checked_add(offset).ok_or_else(|| too_high(first, count))?;
                for address in &self.shared.addresses {
                    ports.push(self.bind_port(
                        publication,
                        SocketAddr::new(*address, port),
                        offset,
                    )?);
                }
            }
        }
        Ok(Opened { first_port, count, ports })
    }

    fn bind_port(
        &self,
        publication: &Publication,
        address: SocketAddr,
        offset: u16,
    ) -> Result<Port, ClaimError> {
        let (id, shared) = (publication.id, Arc::clone(&self.shared));
        match publication.protocol {
            Protocol::Udp => udp::UdpPublication::bind(
                id,
                address,
                offset,
                self.local.clone(),
                shared,
                Rc::clone(&self.batch),
            )
            .map(Port::Udp),
            Protocol::Tcp | Protocol::Http => {
                tcp::TcpPort::bind(id, address, offset, self.local.clone(), shared).map(Port::Tcp)
            }
        }
    }

    fn serve(&mut self, publication: Uuid, route: Option<&Route>) {
        let Some(opened) = self.open.get_mut(&publication) else { return };
        for port in &mut opened.ports {
            match port {
                Port::Tcp(port) => port.serve(route),
                Port::Udp(port) => port.serve(route),
            }
        }
    }
}

fn too_high(first: u16, count: u16) -> ClaimError {
    ClaimError::Limit(format!("{count} ports from {first} on go past 65535"))
}

fn refused(address: SocketAddr, protocol: &'static str, error: &std::io::Error) -> ClaimError {
    let port = address.port();
    if error.kind() == std::io::ErrorKind::AddrInUse {
        return ClaimError::PortInUse { port, protocol };
    }
    let cause = if error.kind() == std::io::ErrorKind::PermissionDenied {
        "ports below 1024 need CAP_NET_BIND_SERVICE".to_owned()
    } else {
        error.to_string()
    };
    ClaimError::Refused { port, protocol, cause }
}
