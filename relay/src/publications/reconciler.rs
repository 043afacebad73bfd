//! Keeps the data path in step with the store: tunnels for nodes, ports for publications, and what is proved of each.
//!
//! It never writes to the store. Losing the store leaves everything as it is.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bore_api::model::{HealthCheck, NodeKind, Protocol, Publication, WebOptions};
use bore_api::state::{Step, StepName};
use bore_control::{Change, ChangeKind, Control};
use bore_driver::{Dial, Shard};
use bore_netstack::ConnectError;
use bore_overlay::{Event, NetworkId, PROBE_PORT, PublicKey, RELAY_V4, overlay_v6};
use bore_policy::{Target, TargetScheme};
use uuid::Uuid;

use crate::ingress::{Ingress, Route, Shared};
use crate::limits::{CHECK_INTERVAL, CHECK_TIMEOUT, DOWN_CHECK_INTERVAL, OFFLINE_CHECK_INTERVAL};
use crate::members::{Member, Members};
use crate::publications::agent_probe::{Answer, Question, ask};
use crate::publications::check_places::Checks;
use crate::publications::hosts::Hostnames;
use crate::publications::proof::{Base, States};
use crate::tls::Certificates;

/// What the parts of a running relay share.
#[derive(Debug)]
pub(crate) struct Steward {
    pub(crate) control: Control,
    pub(crate) shard: Shard,
    pub(crate) members: Arc<Members>,
    pub(crate) states: Arc<States>,
    pub(crate) ingress: Ingress,
    pub(crate) shared: Arc<Shared>,
    pub(crate) relay_key: PublicKey,
    pub(crate) hostnames: Arc<Hostnames>,
    certificates: Arc<Certificates>,
    checks: Checks,
    /// Held by whoever writes down what a check found.
    concluding: tokio::sync::Mutex<()>,
    known: RwLock<HashMap<Uuid, Publication>>,
}

impl Steward {
    pub(crate) fn new(
        control: Control,
        shard: Shard,
        members: Arc<Members>,
        states: Arc<States>,
        ingress: Ingress,
        shared: Arc<Shared>,
        certificates: Arc<Certificates>,
        relay_key: PublicKey,
        hostnames: Hostnames,
    ) -> Self {
        Self {
            control,
            shard,
            members,
            states,
            ingress,
            shared,
            relay_key,
            hostnames: Arc::new(hostnames),
            certificates,
            checks: Checks::default(),
            concluding: tokio::sync::Mutex::default(),
            known: RwLock::default(),
        }
    }

    /// Runs until the shard ends.
    pub(crate) async fn run(self: Arc<Self>, mut events: bore_driver::Events) {
        let mut changes = self.control.subscribe();
        let mut certificates = self.certificates.changes();
        self.reconcile().await;
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.handle_event(&event).await,
                    None => return,
                },
                change = changes.recv() => {
                    // A reader that fell behind reconciles everything, which is what every change does.
                    let change = change.ok();
                    self.handle_change(change.as_ref()).await;
                }
                _ = certificates.changed() => self.handle_certificates(),
                _ = tick.tick() => self.tick(),
            }
        }
    }

    async fn handle_event(self: &Arc<Self>, event: &Event) {
        match event {
            Event::TunnelUp { peer, .. } => self.tunnel_changed(*peer, true).await,
            Event::TunnelDown { peer } => self.tunnel_changed(*peer, false).await,
            Event::Pending { from, .. } => tracing::debug!(%from, "somebody wants to join"),
            Event::PendingExpired { peer } => self.members.forget_stranger(*peer),
            Event::EndpointMoved { peer, .. } => self.members.note_moved(*peer),
            Event::RelayIdentity { .. } | Event::ResetReceived { .. } => {}
        }
    }

    async fn tunnel_changed(self: &Arc<Self>, peer: bore_overlay::PeerId, up: bool) {
        let Some(node) = self.members.set_online(peer, up) else { return };
        tracing::debug!(%node, up, "tunnel changed");
        for publication in self.publications_of(node) {
            if up {
                self.start_check(publication);
            } else {
                self.conclude(&publication, offline()).await;
            }
        }
    }

    /// One thing that changed is brought in step by itself; anything wider, or news that were missed, by everything.
    async fn handle_change(self: &Arc<Self>, change: Option<&Change>) {
        let network = change.and_then(|change| change.network);
        match change.map(|change| (change.kind, change.subject)) {
            Some((ChangeKind::Keys | ChangeKind::Domains, _)) => {}
            Some((ChangeKind::Nodes, Some(node))) => self.reconcile_node(node).await,
            Some((ChangeKind::Publications, Some(publication))) => {
                self.reconcile_publication(publication).await;
            }
            Some((ChangeKind::Policies, _)) => {
                self.cut_flows(|item| network.is_none_or(|of| of == item.network))
            }
            Some((ChangeKind::Nodes | ChangeKind::Publications | ChangeKind::Networks, _))
            | None => {
                self.reconcile().await;
            }
        }
    }

    /// A name that got its certificate, or lost it, has another public address.
    fn handle_certificates(&self) {
        let published: Vec<Publication> = self.read_known().values().cloned().collect();
        for publication in published {
            if self.note_secured(&publication) {
                self.control.notify_node(publication.node);
            }
        }
    }

    /// Says whether it changed.
    fn note_secured(&self, publication: &Publication) -> bool {
        let names = publication.hostnames.iter();
        let is_secured = |name: &&String| {
            publication.protocol == Protocol::Http && self.certificates.entry_of(name).is_some()
        };
        let secured = names.filter(is_secured).cloned().collect();
        self.states.set_secured(publication.id, secured)
    }

    /// Brings the data path in step with all that the store says.
    pub(crate) async fn reconcile(self: &Arc<Self>) {
        self.members.reconcile(&self.shard, &self.control.snapshot_nodes()).await;
        let publications = self.control.snapshot_publications();
        let present: HashSet<Uuid> = publications.iter().map(|item| item.id).collect();
        let known: Vec<Uuid> = self.read_known().keys().copied().collect();
        for gone in known.into_iter().filter(|id| !present.contains(id)) {
            self.close(gone).await;
        }
        for publication in publications {
            self.open(publication);
        }
        self.cut_flows(|_| true);
    }

    async fn reconcile_node(self: &Arc<Self>, node: Uuid) {
        match self.control.node(node) {
            Some(node) => self.members.admit(&self.shard, &node).await,
            None => self.members.dismiss(&self.shard, node).await,
        }
        // A node that is gone has taken its publications with it.
        for publication in self.publications_of(node) {
            self.reconcile_publication(publication.id).await;
        }
    }

    async fn reconcile_publication(self: &Arc<Self>, id: Uuid) {
        match self.control.publication(id) {
            Some(publication) => self.open(publication),
            None => self.close(id).await,
        }
        self.cut_flows(|item| item.id == id);
    }

    /// Lets go of a publication that is gone: its name does not resolve and its ports are free when this returns.
    pub(crate) async fn close(&self, id: Uuid) {
        let gone = self.write_known().remove(&id);
        if let Some(gone) = gone {
            self.hostnames.change(id, &gone.hostnames, &[]);
        }
        self.states.forget(id);
        self.checks.forget(id);
        self.ingress.release(id).await;
    }

    fn open(self: &Arc<Self>, publication: Publication) {
        let before = self.write_known().insert(publication.id, publication.clone());
        if before.as_ref() == Some(&publication) {
            return;
        }
        let before = before.map(|before| before.hostnames).unwrap_or_default();
        self.hostnames.change(publication.id, &before, &publication.hostnames);
        self.states.declare(&publication, Instant::now());
        self.note_secured(&publication);
        // A report that was quicker than this starts nothing by itself.
        if self.states.is_served(publication.id) || !self.will_report(publication.node) {
            self.start_check(publication);
        }
    }

    /// The agent has said what its target does: time to look. Noted before it is looked up, so that whoever of this and `open` comes
    /// second starts the check.
    pub(crate) fn handle_report(self: &Arc<Self>, node: Uuid, publication: Uuid) {
        self.states.note_served(node, publication);
        if let Some(item) = self.publication(publication).filter(|item| item.node == node) {
            self.start_check(item);
        }
    }

    /// Nothing that an absent agent proved is called live; whether it is still there is asked at once.
    pub(crate) fn doubt(self: &Arc<Self>, node: Uuid) {
        for publication in self.publications_of(node) {
            self.states.doubt(publication.id);
            self.start_check(publication);
        }
        self.control.notify_node(node);
    }

    /// Notes what visitors do not get of a service's answers, for its publisher.
    pub(crate) fn note_lost_line(&self, publication: Uuid, text: String) {
        if let Some(node) = self.states.note_lost_line(publication, text, Instant::now()) {
            self.control.notify_node(node);
        }
    }

    /// An agent that is there says so as soon as it serves a publication; asking before would find nothing.
    fn will_report(&self, node: Uuid) -> bool {
        let is_agent = self.members.get(node).is_some_and(|member| member.kind == NodeKind::Agent);
        is_agent && self.members.is_online(node)
    }

    /// A publication's ports were claimed for what it is to become, or for what it still is when that could not be stored.
    pub(crate) fn declare(self: &Arc<Self>, publication: &Publication) {
        let changed = self.states.declare(publication, Instant::now());
        if let Some(known) = self.publication(publication.id).filter(|_| changed)
            && self.states.is_current(&known)
        {
            self.start_check(known);
        }
    }

    /// Ends the flows that would not be let in now, of gone publications and those that `concerns`.
    fn cut_flows(&self, concerns: impl Fn(&Publication) -> bool) {
        let gate = &self.shared.gate;
        let known = self.read_known();
        let cut = gate.flows.cut_unless(|flow| {
            known.get(&flow.publication).is_some_and(|item| {
                !concerns(item) || gate.allows(flow.publication, flow.visitor.ip())
            })
        });
        drop(known);
        if cut > 0 {
            self.shared.metrics.flows_cut.inc_by(cut as u64);
            tracing::info!(flows = cut, "flows cut by a change");
        }
    }

    fn tick(self: &Arc<Self>) {
        for node in self.states.forget_lost_lines(Instant::now()) {
            self.control.notify_node(node);
        }
        for id in self.states.take_due(Instant::now()) {
            let Some(publication) = self.publication(id) else { continue };
            // Without a tunnel there is nothing new to find out; its return is an event.
            if self.members.is_online(publication.node) || !self.states.is_offline(id) {
                self.start_check(publication);
            }
        }
    }

    /// Finds out, in the background, what is true of a publication.
    pub(crate) fn start_check(self: &Arc<Self>, publication: Publication) {
        let Publication { id, network, node, .. } = publication;
        if !self.checks.begin(id) {
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let check = Box::pin(this.check_now(id));
                this.checks.within_bounds((network, node), check).await;
                if !this.checks.end(id) {
                    return;
                }
            }
        });
    }

    /// All public ports were closed, or may open again: what is said of them has to follow.
    pub(crate) fn check_ports(self: &Arc<Self>) {
        let known: Vec<Publication> = self.read_known().values().cloned().collect();
        for publication in known.into_iter().filter(|item| item.public_port.is_some()) {
            self.start_check(publication);
        }
    }

    async fn check_now(&self, id: Uuid) {
        let Some(publication) = self.publication(id) else { return };
        match self.checks.unless_forgotten(id, self.check(&publication)).await {
            Some(found) => self.conclude(&publication, found).await,
            None => drop(self.release_if_gone(id).await),
        }
    }

    async fn check(&self, publication: &Publication) -> Found {
        if let Err(error) = self.ingress.keep(publication).await {
            return down(StepName::Port, error.to_string());
        }
        let Some(member) = self.members.get(publication.node) else { return offline() };
        if !self.members.is_online(publication.node) {
            return offline();
        }
        match member.kind {
            NodeKind::Agent => self.ask_agent(publication, &member).await,
            NodeKind::Wireguard => self.try_target(publication, &member).await,
        }
    }

    async fn ask_agent(&self, publication: &Publication, member: &Member) -> Found {
        let dial = self.dial(member, PROBE_PORT);
        let mut stream = match self.shard.connect(dial).await {
            Ok(stream) => stream,
            Err(error) => return unanswered(&error),
        };
        match ask(&mut stream, &Question::Check(publication.id)).await {
            Ok(answer) => judged(answer),
            Err(error) => down(
                StepName::Target,
                format!("the agent did not say what its target does: {error}"),
            ),
        }
    }

    async fn try_target(&self, publication: &Publication, member: &Member) -> Found {
        if let Some((detail, note)) = self.need_not_dial(publication) {
            return judged(Answer { ok: true, detail, note: note.map(str::to_owned), echo: None });
        }
        let connected = self.shard.connect(self.dial(member, publication.overlay_port)).await;
        match connected {
            Ok(_stream) => {
                let detail = "took a connection through the tunnel".to_owned();
                judged(Answer { ok: true, detail, ..Answer::default() })
            }
            Err(error @ ConnectError::TimedOut) => unanswered(&error),
            Err(error) => down(StepName::Target, error.to_string()),
        }
    }

    /// What is known of the target of a WireGuard node without dialling it, and what is not.
    fn need_not_dial(&self, publication: &Publication) -> Option<(String, Option<&'static str>)> {
        let Publication { id, protocol, port_count, health, .. } = publication;
        if *protocol == Protocol::Udp {
            let detail = "a WireGuard client cannot be asked; its tunnel is up".to_owned();
            return Some((detail, Some("service silent")));
        }
        if health.effective(*protocol, *port_count) == HealthCheck::None {
            return Some(("not checked; the tunnel is up".to_owned(), Some("target not checked")));
        }
        let age = self.states.taken_at(*id)?.elapsed();
        let recent = age < health_interval(publication);
        let detail = || format!("took a visitor's connection {} s ago", age.as_secs());
        recent.then(|| (detail(), None))
    }

    fn dial(&self, member: &Member, port: u16) -> Dial {
        let route = self.route_to(member, Uuid::nil(), port);
        let (source, destination) = match member.kind {
            NodeKind::Agent => (route.relay_v6, route.agent_v6),
            NodeKind::Wireguard => (route.relay_v4, route.agent_v4),
        };
        Dial {
            peer: member.peer,
            source: SocketAddr::new(source, 0),
            destination: SocketAddr::new(destination, port),
            timeout: CHECK_TIMEOUT,
        }
    }

    /// Writes down what was found, and serves or refuses visitors accordingly.
    async fn conclude(&self, publication: &Publication, found: Found) {
        let _turn = self.concluding.lock().await;
        if self.release_if_gone(publication.id).await || !self.states.is_current(publication) {
            return;
        }
        let Found { base, steps } = self.serve(publication, found).await;
        let due = Instant::now() + self.check_again_after(publication, &base);
        if self.states.set(publication, base.clone(), steps, due) == Some(true) {
            tracing::info!(publication = publication.name, state = ?base, "state changed");
            self.control.notify_node(publication.node);
        }
    }

    /// Returns true if the publication is gone: a check may have claimed its ports after they were given back.
    async fn release_if_gone(&self, id: Uuid) -> bool {
        let is_gone = !self.is_known(id);
        if is_gone {
            self.ingress.release(id).await;
        }
        is_gone
    }

    /// An agent checks its targets itself and reports what changed.
    fn check_again_after(&self, publication: &Publication, base: &Base) -> Duration {
        let member = self.members.get(publication.node);
        let is_watched = member.is_none_or(|member| member.kind == NodeKind::Agent);
        match base {
            Base::Offline(_) => OFFLINE_CHECK_INTERVAL,
            Base::Unknown | Base::Down(_) | Base::Reachable { .. } if is_watched => CHECK_INTERVAL,
            Base::Down(_) => DOWN_CHECK_INTERVAL,
            Base::Unknown | Base::Reachable { .. } => health_interval(publication),
        }
    }

    /// Lets visitors in where that is due; what prevents it is part of what is true.
    async fn serve(&self, publication: &Publication, found: Found) -> Found {
        let reachable = matches!(found.base, Base::Reachable { .. });
        let found =
            if reachable && !self.members.is_online(publication.node) { offline() } else { found };
        let reachable = matches!(found.base, Base::Reachable { .. });
        let route = reachable.then(|| self.route(publication)).flatten();
        match self.ingress.serve(publication.id, route).await {
            Err(error) if reachable => down(StepName::Port, error.to_string()),
            Ok(()) | Err(_) => found,
        }
    }

    /// Where a publication's visitors go, while its node has a tunnel.
    pub(crate) fn route(&self, publication: &Publication) -> Option<Route> {
        let member = self.members.get(publication.node)?;
        Some(self.route_to(&member, publication.id, publication.overlay_port))
    }

    fn route_to(&self, member: &Member, publication: Uuid, overlay_port: u16) -> Route {
        let network = NetworkId(*member.network.as_bytes());
        Route {
            publication,
            peer: member.peer,
            agent_v4: IpAddr::V4(member.overlay_v4),
            agent_v6: IpAddr::V6(member.overlay_v6),
            relay_v4: IpAddr::V4(RELAY_V4),
            relay_v6: IpAddr::V6(overlay_v6(network, &self.relay_key)),
            overlay_port,
            masquerade: member.kind == NodeKind::Wireguard,
        }
    }

    /// A publication that this relay carries.
    pub(crate) fn publication(&self, id: Uuid) -> Option<Publication> {
        self.read_known().get(&id).cloned()
    }

    /// Whether it carries a publication, by this protocol.
    pub(crate) fn carries(&self, id: Uuid, protocol: Protocol) -> bool {
        self.read_known().get(&id).is_some_and(|item| item.protocol == protocol)
    }

    /// How the target of a publication is spoken to, and what is particular to it.
    pub(crate) fn web_service(&self, id: Uuid) -> Option<(TargetScheme, WebOptions)> {
        let known = self.read_known();
        let item = known.get(&id)?;
        let target = Target::parse(&item.target).ok();
        Some((target.map(|target| target.scheme()).unwrap_or_default(), item.web.clone()))
    }

    fn is_known(&self, id: Uuid) -> bool {
        self.read_known().contains_key(&id)
    }

    fn publications_of(&self, node: Uuid) -> Vec<Publication> {
        self.read_known().values().filter(|item| item.node == node).cloned().collect()
    }

    fn write_known(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<Uuid, Publication>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_known(&self) -> std::sync::RwLockReadGuard<'_, HashMap<Uuid, Publication>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a check found, and the steps that show it.
struct Found {
    base: Base,
    steps: Vec<Step>,
}

fn offline() -> Found {
    let detail = "the agent's tunnel is down".to_owned();
    Found {
        base: Base::Offline(detail.clone()),
        steps: vec![Step::failed(StepName::Tunnel, detail)],
    }
}

fn unanswered(error: &ConnectError) -> Found {
    let detail = format!("no answer through the tunnel: {error}");
    Found {
        base: Base::Offline(detail.clone()),
        steps: vec![Step::failed(StepName::Tunnel, detail)],
    }
}

fn down(name: StepName, detail: String) -> Found {
    Found { base: Base::Down(detail.clone()), steps: vec![Step::failed(name, detail)] }
}

fn judged(answer: Answer) -> Found {
    let steps = vec![
        Step::held(StepName::Tunnel, "the agent answers"),
        Step::new(StepName::Target, answer.ok, answer.detail.clone()),
    ];
    let base =
        if answer.ok { Base::Reachable { note: answer.note } } else { Base::Down(answer.detail) };
    Found { base, steps }
}

fn health_interval(publication: &Publication) -> Duration {
    Duration::from_secs(publication.health.seconds().into())
}

const TICK: Duration = Duration::from_secs(1);
