//! Keeps the data path in step with the store: tunnels for nodes, ports and names for publications, flows that may stay.
//!
//! It never writes to the store. Losing the store leaves everything as it is.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bore_api::model::{Actor, NodeKind, Publication};
use bore_control::Directory;
use bore_control::event::{Change, Event as StoreEvent, Subject};
use bore_edge::tls::Certificates;
use bore_overlay::{Event, PeerId};
use uuid::Uuid;

use super::checker::Checker;
use super::table::{Entry, Publications};
use crate::ingress::{Gate, Ingress, Shared};
use crate::tunnels::Tunnels;

/// Follows what the store, the tunnels and the certificates say.
#[derive(Debug)]
pub(crate) struct Reconciler {
    pub(crate) tunnels: Arc<Tunnels>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) ingress: Ingress,
    pub(crate) checker: Arc<Checker>,
    pub(crate) certificates: Arc<Certificates>,
    /// Held while an entry is made of what the store says, so that none is made of what it said before.
    pub(crate) opening: Mutex<()>,
}

impl Reconciler {
    /// Runs until the shard ends.
    pub(crate) async fn run(self: Arc<Self>, mut events: bore_driver::Events) {
        let mut changes = self.directory().subscribe();
        let mut certificates = self.certificates.changes();
        self.reconcile().await;
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.handle_event(&event).await,
                    None => return,
                },
                // A reader that fell behind reconciles everything.
                change = changes.recv() => self.handle_change(change.ok().as_deref()).await,
                _ = certificates.changed() => self.handle_certificates(),
                _ = tick.tick() => self.tick(),
            }
        }
    }

    async fn handle_event(&self, event: &Event) {
        let members = &self.tunnels.members;
        match event {
            Event::TunnelUp { peer, .. } => self.tunnel_changed(*peer, true).await,
            Event::TunnelDown { peer } => self.tunnel_changed(*peer, false).await,
            Event::Pending { from, .. } => tracing::debug!(%from, "a stranger wants to join"),
            Event::PendingExpired { peer } => members.forget_stranger(*peer),
            Event::EndpointMoved { peer, .. } => members.note_moved(*peer),
            Event::RelayIdentity { .. } | Event::ResetReceived { .. } => {}
        }
    }

    async fn tunnel_changed(&self, peer: PeerId, up: bool) {
        let Some(node) = self.tunnels.members.set_online(peer, up) else { return };
        tracing::debug!(%node, up, "tunnel changed");
        for entry in self.publications().list(|item| item.node == node) {
            if up {
                self.checker.start(&entry);
            } else {
                self.checker.note_offline(&entry).await;
            }
        }
    }

    /// One thing that changed is brought in step by itself; anything wider, or news that were missed, by everything.
    async fn handle_change(&self, change: Option<&StoreEvent>) {
        if let Some(gone) = change.and_then(withdrawn) {
            let cut = self.gate().flows.withdraw(gone.id);
            self.shared.metrics.flows_cut.inc_by(cut as u64);
        }
        match change.map(|event| &event.subject) {
            Some(Subject::Node(node)) => {
                self.reconcile_node(node.change.newest().id).await;
                for gone in &node.publications {
                    self.let_go(gone.id).await;
                }
            }
            Some(Subject::Publication(change)) => match change.after() {
                Some(publication) => self.reconcile_publication(publication.id).await,
                None => self.let_go(change.newest().id).await,
            },
            Some(Subject::Policy(change)) => self.cut_flows_of_network(change.newest().network),
            Some(Subject::Group(change)) => self.cut_flows_of_network(change.newest().network),
            Some(Subject::Network(_)) => self.reconcile().await,
            None => {
                self.reconcile().await;
                self.cut_flows_of_the_gone();
            }
            Some(_) => {}
        }
    }

    /// A publication is gone, unless it came again, and so are its flows but for those that its withdrawal lets end.
    async fn let_go(&self, id: Uuid) {
        self.reconcile_publication(id).await;
        if self.directory().publication(id).is_none() {
            self.cut(id, |_| false);
        }
    }

    /// News of what is gone were missed.
    fn cut_flows_of_the_gone(&self) {
        for id in self.gate().flows.publications() {
            if self.directory().publication(id).is_none() {
                self.cut(id, |_| false);
            }
        }
    }

    /// A name that got its certificate, or lost it, has another public address.
    fn handle_certificates(&self) {
        let _turn = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in self.publications().list(|_| true) {
            if self.note_secured(&entry) {
                self.directory().notify_node(entry.publication.node);
            }
        }
    }

    /// Returns true if a name got its certificate, or lost it.
    fn note_secured(&self, entry: &Entry) -> bool {
        let names = entry.web_names().iter().map(ToString::to_string);
        let is_secured = |name: &String| self.certificates.has(name);
        entry.evidence.set_secured(names.filter(is_secured).collect())
    }

    /// Brings the data path in step with all that the store says.
    pub(crate) async fn reconcile(&self) {
        let Tunnels { members, shard, .. } = &*self.tunnels;
        members.reconcile(shard, &self.directory().nodes()).await;
        let stored = self.directory().publications();
        let stored: HashSet<Uuid> = stored.iter().map(|item| item.id).collect();
        for gone in self.publications().list(|item| !stored.contains(&item.id)) {
            // It may have come since, by an agent's report.
            if self.open(gone.id()).is_none() {
                self.close(gone.id()).await;
            }
        }
        stored.into_iter().for_each(|id| drop(self.open(id)));
        self.gate().flows.publications().into_iter().for_each(|id| self.cut_flows_of(id));
    }

    async fn reconcile_node(&self, id: Uuid) {
        let Tunnels { members, shard, .. } = &*self.tunnels;
        match self.directory().node(id) {
            Some(node) => members.admit(shard, &node).await,
            None => members.dismiss(shard, id).await,
        }
        // A node that is gone has taken its publications with it.
        for entry in self.publications().list(|item| item.node == id) {
            self.reconcile_publication(entry.id()).await;
        }
    }

    async fn reconcile_publication(&self, id: Uuid) {
        if self.open(id).is_none() {
            self.close(id).await;
        }
        self.cut_flows_of(id);
    }

    /// Lets go of a publication that is gone: its name does not resolve and its ports are free when this returns.
    pub(crate) async fn close(&self, id: Uuid) {
        self.publications().remove(id);
        self.checker.release(id).await;
    }

    /// Makes the entry of what the store says of a publication.
    fn open(&self, id: Uuid) -> Option<Arc<Entry>> {
        let _turn = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let stored = self.directory().publication(id);
            match stored.clone() {
                Some(publication) => self.put(publication),
                None => self.publications().remove(id),
            }
            if self.directory().publication(id) == stored {
                return self.publications().get(id);
            }
        }
    }

    fn put(&self, publication: Publication) {
        let Some(entry) = self.publications().put(publication, Instant::now()) else { return };
        self.note_secured(&entry);
        if !self.will_report(entry.publication.node) {
            self.checker.start(&entry);
        }
    }

    /// The agent has said what its target does: time to look. It may say so before this relay has heard of the change that it follows.
    pub(crate) fn handle_report(&self, node: Uuid, id: Uuid) {
        if let Some(entry) = self.open(id).filter(|entry| entry.publication.node == node) {
            self.checker.start(&entry);
        }
    }

    /// Makes the entry of what the store says, and finds out at once what is true of it.
    pub(super) fn check_anew(&self, id: Uuid) {
        if let Some(entry) = self.open(id) {
            self.checker.start(&entry);
        }
    }

    /// Nothing that an absent agent proved is called live; whether it is still there is asked at once.
    pub(crate) fn doubt(&self, node: Uuid) {
        for entry in self.publications().list(|item| item.node == node) {
            entry.evidence.doubt();
            self.checker.start(&entry);
        }
        self.directory().notify_node(node);
    }

    /// An agent that is there says so as soon as it serves a publication; asking before would find nothing.
    fn will_report(&self, node: Uuid) -> bool {
        let members = &self.tunnels.members;
        let is_agent = members.get(node).is_some_and(|member| member.kind == NodeKind::Agent);
        is_agent && members.is_online(node)
    }

    /// A publication's ports were claimed for what it is to become, or for what it still is when that could not be stored.
    pub(crate) fn note_claim(&self, claimed: &Publication) {
        if let Some(entry) = self.publications().note_claim(claimed, Instant::now()) {
            self.checker.start(&entry);
        }
    }

    /// All public ports were closed, or may open again: what is said of them has to follow.
    pub(crate) fn check_ports(&self) {
        let with_port = self.publications().list(|item| item.public_port.is_some());
        with_port.iter().for_each(|entry| self.checker.start(entry));
    }

    /// Ends the flows of a network that would not be let in now.
    fn cut_flows_of_network(&self, network: Uuid) {
        let concerned = self.publications().list(|item| item.network == network);
        concerned.iter().for_each(|entry| self.cut_flows_of(entry.id()));
    }

    /// The same of one publication. The flows of one that is gone are left to the news of that, which says how they end.
    fn cut_flows_of(&self, id: Uuid) {
        if self.directory().publication(id).is_some() {
            self.cut(id, |visitor| self.gate().decide(id, visitor).is_ok());
        }
    }

    /// Cuts the flows of a publication whose visitor may not stay.
    fn cut(&self, id: Uuid, may_stay: impl Fn(IpAddr) -> bool) {
        let cut = self.gate().flows.cut_unless(id, |flow| may_stay(flow.visitor.ip()));
        if cut > 0 {
            self.shared.metrics.flows_cut.inc_by(cut as u64);
            tracing::info!(flows = cut, publication = %id, "flows cut by a change");
        }
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.gate().directory
    }

    pub(super) fn publications(&self) -> &Publications {
        &self.shared.publications
    }

    fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    fn tick(&self) {
        let now = Instant::now();
        for entry in self.publications().list(|_| true) {
            if entry.evidence.forget_losses(now) {
                self.directory().notify_node(entry.publication.node);
            }
            // Without a tunnel there is nothing new to find out; its return is an event.
            let is_online = || self.tunnels.members.is_online(entry.publication.node);
            if entry.evidence.take_due(now) && (is_online() || !entry.evidence.is_offline()) {
                self.checker.start(&entry);
            }
        }
    }
}

/// The publication that its own node has taken back: what its service has said to its end still reaches visitors.
fn withdrawn(event: &StoreEvent) -> Option<&Publication> {
    match (&event.subject, &event.actor) {
        (Subject::Publication(Change::Went(gone)), Actor::Node(by)) if gone.node == *by => {
            Some(gone)
        }
        _ => None,
    }
}

const TICK: Duration = Duration::from_secs(1);
