//! What the agent's tasks share: who we are, what is declared, how the relay is reached, and who wants to hear of changes.
//!
//! Locks are held for a look or a change, never across an await. Every change of what is declared goes through here and
//! `saving`, so that the plan of what is served ([`Plan`]) and the file on disk follow it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bore_api::Problem;
use bore_api::model::Protocol;
use bore_api::state::{PublicationState, RelayInfo, State, TargetReport};
use bore_api::wire::PublicationView;
use bore_driver::Shard;
use bore_overlay::PeerId;
use bore_policy::Target;
use http::Method;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

use super::connect::RelayPeer;
use super::control_client::ControlClient;
use super::error::AgentError;
use super::limits::{CHANGES_MAX, Counters, Room};
use super::registry::Registry;
use super::saving::Saving;
use super::state::{Identity, Membership, StateFolder};
use super::target_watch::check_target;
use super::turns::Turns;

/// The agent's common state.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) folder: StateFolder,
    pub(crate) shard: Shard,
    pub(crate) membership: Membership,
    pub(crate) boot: Uuid,
    pub(crate) started: Instant,
    pub(crate) counters: Counters,
    pub(crate) room: Room,
    identity: Mutex<Identity>,
    registry: Mutex<Registry>,
    pub(super) saving: Saving,
    link: watch::Sender<Link>,
    plan: watch::Sender<Plan>,
    changes: broadcast::Sender<StateChange>,
    stopping: watch::Sender<bool>,
    pub(crate) turns: Turns,
    /// Read while the relay finds the name of a publication: what it has then is nobody's leftover.
    pub(crate) finding: tokio::sync::RwLock<()>,
    /// The relay may have publications that nobody declares here.
    leftovers: AtomicBool,
}

/// How the relay is reached right now.
#[derive(Debug, Clone)]
pub(crate) enum Link {
    /// Not yet, or not any more; the error says why.
    Connecting(Option<Arc<AgentError>>),
    /// A session with control is open.
    Online(Online),
    /// The agent has ended and why.
    Ended(Arc<AgentError>),
}

/// An open session.
#[derive(Debug, Clone)]
pub(crate) struct Online {
    pub(crate) control: ControlClient,
    pub(crate) relay: RelayPeer,
    /// Counts sessions: a visit from outside is due in each.
    pub(crate) session: u64,
    /// The relay's shared ports.
    pub(crate) web: WebPorts,
}

/// The ports that all web services of a relay share, as visitors reach them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WebPorts {
    pub(crate) http: u16,
    pub(crate) https: u16,
}

impl From<RelayInfo> for WebPorts {
    fn from(relay: RelayInfo) -> Self {
        Self { http: relay.http_port, https: relay.https_port }
    }
}

/// What the agent offers inside the overlay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The tunnel to the relay, once there was one: its probes are answered.
    pub(crate) relay: Option<PeerId>,
    /// What visitors reach.
    pub(crate) services: Vec<ServicePlan>,
}

/// One service that the agent offers inside the overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServicePlan {
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) target: Target,
    pub(crate) overlay_port: u16,
    pub(crate) port_count: u16,
    pub(crate) addresses: [IpAddr; 2],
    pub(crate) relay: PeerId,
}

/// Something that a person or a waiting command may want to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum StateChange {
    /// A session with the relay is open.
    Connected {
        /// The relay's public name.
        relay: String,
        /// Where its tunnel answers.
        endpoint: SocketAddr,
    },
    /// The relay is lost; the agent keeps trying.
    Disconnected {
        /// `B5101` and so on.
        code: String,
        /// What was seen.
        cause: String,
    },
    /// A publication is new, or its state changed.
    Publication {
        /// All of it.
        publication: Box<PublicationView>,
    },
    /// The relay refuses what it accepted before.
    Refused {
        /// The publication.
        name: String,
        /// Why.
        problem: Problem,
    },
    /// A publication is gone.
    Withdrawn {
        /// Its name.
        name: String,
        /// Who took it back: `this machine` or `the relay`.
        cause: String,
    },
    /// The relay stops soon.
    Draining,
    /// What changed cannot be written to the state folder; the agent keeps trying.
    Unsaved {
        /// `B6101` and so on.
        code: String,
        /// Why.
        cause: String,
    },
    /// The state folder is up to date again.
    Saved,
    /// The agent has ended.
    Stopped {
        /// `B5104` and so on.
        code: String,
        /// Why.
        cause: String,
    },
}

impl Shared {
    pub(crate) fn new(
        folder: StateFolder,
        shard: Shard,
        identity: Identity,
        membership: Membership,
        registry: Registry,
        boot: Uuid,
    ) -> Arc<Self> {
        let saving = Saving::new(registry.persistent());
        Arc::new(Self {
            folder,
            shard,
            membership,
            boot,
            started: Instant::now(),
            counters: Counters::default(),
            room: Room::default(),
            identity: Mutex::new(identity),
            registry: Mutex::new(registry),
            saving,
            link: watch::channel(Link::Connecting(None)).0,
            plan: watch::channel(Plan::default()).0,
            changes: broadcast::channel(CHANGES_MAX).0,
            stopping: watch::channel(false).0,
            turns: Turns::default(),
            finding: tokio::sync::RwLock::default(),
            leftovers: AtomicBool::new(false),
        })
    }

    /// What is declared. Hold it for a look, not across an await.
    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who we are. Hold it for a look, not across an await.
    pub(crate) fn identity(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the link.
    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Follows what is to be served.
    pub(crate) fn plan(&self) -> watch::Receiver<Plan> {
        self.plan.subscribe()
    }

    /// Follows changes from here on.
    pub(crate) fn changes(&self) -> broadcast::Receiver<StateChange> {
        self.changes.subscribe()
    }

    /// Becomes true when the agent is to stop.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Asks every task to stop.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Has the relay asked soon for publications that nobody declares here.
    pub(crate) fn doubt_leftovers(&self) {
        self.leftovers.store(true, Ordering::Release);
    }

    /// Returns true if it has to be asked, once.
    pub(crate) fn take_leftovers(&self) -> bool {
        self.leftovers.swap(false, Ordering::AcqRel)
    }

    /// Tells listeners. Nobody listening is fine.
    pub(crate) fn tell(&self, change: StateChange) {
        let _ = self.changes.send(change);
    }

    /// The control of an open session.
    pub(crate) fn control(&self) -> Option<ControlClient> {
        match &*self.link.borrow() {
            Link::Online(online) => Some(online.control.clone()),
            Link::Connecting(_) | Link::Ended(_) => None,
        }
    }

    /// Waits for an open session, at most `limit`.
    pub(crate) async fn online(&self, limit: Duration) -> Result<Online, AgentError> {
        let mut link = self.link();
        let settled = link.wait_for(|link| !matches!(link, Link::Connecting(_)));
        let settled = tokio::time::timeout(limit, settled).await;
        match settled.map_or_else(
            |_| self.link.borrow().clone(),
            |seen| seen.map_or_else(|_| ended(), |link| link.clone()),
        ) {
            Link::Online(online) => Ok(online),
            Link::Ended(error) | Link::Connecting(Some(error)) => Err(AgentError::Earlier(error)),
            Link::Connecting(None) => {
                Err(AgentError::RelayUnreachable { tried: Vec::new(), waited: limit })
            }
        }
    }

    /// A session is open.
    pub(crate) fn set_online(&self, online: Online) {
        let (relay, endpoint) = (self.membership.relay_host.clone(), online.relay.endpoint);
        self.link.send_replace(Link::Online(online));
        self.tell(StateChange::Connected { relay, endpoint });
    }

    /// The session is lost, or an attempt failed. Told once per outage.
    pub(crate) fn set_connecting(&self, error: AgentError) {
        let (code, cause) = (error.code().to_owned(), error.to_string());
        let before = self.link.send_replace(Link::Connecting(Some(Arc::new(error))));
        if matches!(before, Link::Connecting(Some(_))) {
            return;
        }
        let offline = self.registry().set_all_offline(&cause);
        self.tell(StateChange::Disconnected { code, cause });
        self.tell_publications(offline);
    }

    /// The agent has ended.
    pub(crate) fn set_ended(&self, error: AgentError) {
        if error.code() == AgentError::Replaced.code()
            && let Err(error) = self.folder.forget_boot()
        {
            tracing::warn!(%error, "the next agent here may be taken for the replaced one");
        }
        let (code, cause) = (error.code().to_owned(), error.to_string());
        self.link.send_replace(Link::Ended(Arc::new(error)));
        self.registry().end_listeners();
        self.stop();
        self.tell(StateChange::Stopped { code, cause });
    }

    /// Takes a renewed answer of the relay.
    pub(crate) fn renew(self: &Arc<Self>, name: &str, view: PublicationView) {
        let is_other = self.registry().acknowledge(name, view.clone());
        let is_served_anew = self.replan(None);
        if is_other && !is_served_anew {
            self.report_target(name);
        }
        self.tell_publications(vec![view]);
    }

    /// Has the relay told how the target of `name` is: it waits for that before it looks. What is served anew is reported by itself.
    pub(super) fn report_target(self: &Arc<Self>, name: &str) {
        if let Some(entry) = self.registry().entry_mut(name) {
            entry.seen.reported_ok = None;
        }
        let (shared, name) = (Arc::clone(self), name.to_owned());
        tokio::spawn(async move { check_target(&shared, &name).await });
    }

    /// The relay refuses what is declared here: it is served no more, and stays declared.
    pub(crate) fn refuse(&self, name: &str, problem: Problem) {
        if !self.registry().refuse(name, problem.clone()) {
            return;
        }
        tracing::info!(%name, code = %problem.code, %problem, "the relay refuses a publication");
        self.replan(None);
        self.tell(StateChange::Refused { name: name.to_owned(), problem });
    }

    /// Takes a proved state.
    pub(crate) fn set_state(&self, name: &str, state: PublicationState) {
        let changed = self.registry().set_state(name, state);
        self.tell_publications(changed.into_iter().collect());
    }

    /// What the relay says of a publication is not understood: it is served as it was acknowledged, and nothing is proved of it.
    pub(crate) fn note_unread(&self, name: &str, cause: &str) {
        let cause = format!("what the relay says of it is not understood: {cause}");
        let steps = Vec::new();
        let (state, cause) = (State::Offline, Some(cause));
        let state = PublicationState { state, cause, steps, at: 0, awaits_certificate: false };
        let changed = self.registry().set_state(name, state);
        if changed.is_some() {
            tracing::warn!(%name, "a publication in the relay's list is not understood");
        }
        self.tell_publications(changed.into_iter().collect());
    }

    /// Tells of new states.
    pub(crate) fn tell_publications(&self, views: Vec<PublicationView>) {
        for publication in views {
            self.tell(StateChange::Publication { publication: Box::new(publication) });
        }
    }

    /// Notes how a target did, and tells the relay when that changed.
    pub(crate) fn note_target(self: &Arc<Self>, name: &str, result: Result<(), String>) {
        let report = self.registry().note_target(name, result);
        if let (Some((id, report)), Some(control)) = (report, self.control()) {
            tokio::spawn(send_report(control, id, report));
        }
    }

    /// Brings the plan of what is served up to date; `relay` when the tunnel is another one. Returns true if the plan changed.
    pub(crate) fn replan(&self, relay: Option<PeerId>) -> bool {
        let registry = self.registry();
        self.plan.send_if_modified(|plan| {
            let relay = relay.or(plan.relay);
            let services = relay.map(|relay| services(&registry, &self.membership, relay));
            let wanted = Plan { relay, services: services.unwrap_or_default() };
            let changed = *plan != wanted;
            *plan = wanted;
            changed
        })
    }
}

/// What is declared here and acknowledged by the relay, each overlay port once.
fn services(registry: &Registry, membership: &Membership, relay: PeerId) -> Vec<ServicePlan> {
    let mut taken = BTreeSet::new();
    let acknowledged =
        registry.entries().filter_map(|(name, entry)| Some((name, entry, entry.view.as_ref()?)));
    let plans = acknowledged.map(|(name, entry, view)| ServicePlan {
        name: name.clone(),
        protocol: entry.declaration.protocol,
        target: entry.target.clone(),
        overlay_port: view.publication.overlay_port,
        // Never more ports than were declared, whatever the relay says.
        port_count: view.publication.port_count.min(entry.target.port_count()).max(1),
        addresses: membership.addresses(),
        relay,
    });
    plans.filter(|plan| taken.insert((plan.protocol == Protocol::Udp, plan.overlay_port))).collect()
}

async fn send_report(control: ControlClient, id: Uuid, report: TargetReport) {
    let path = format!("/v1/nodes/self/publications/{id}/target");
    if let Err(error) = control.order(Method::PUT, &path, Some(&report)).await {
        tracing::debug!(%error, "the target's state could not be reported");
    }
}

fn ended() -> Link {
    Link::Ended(Arc::new(AgentError::Stopped))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{declaration, membership, view};

    #[test]
    fn attack_37_only_declared_targets_and_declared_ports_are_planned() {
        let mut registry = Registry::default();
        let declared = declaration("web", Protocol::Tcp, "127.0.0.1:3000");
        let mut greedy = view("web", Protocol::Tcp);
        greedy.publication.port_count = 1000;
        greedy.publication.target = "10.0.0.1:22".into();
        registry.declare(
            "web",
            declared,
            "127.0.0.1:3000".parse::<Target>().unwrap(),
            Some(greedy),
        );

        let plans = plan_of(&registry);
        assert_eq!(plans.len(), 1);
        assert_eq!(plans[0].target, "127.0.0.1:3000".parse().unwrap());
        assert_eq!(plans[0].port_count, 1);
    }

    #[test]
    fn what_the_relay_has_not_acknowledged_is_not_served() {
        let mut registry = Registry::default();
        let declared = declaration("web", Protocol::Tcp, "3000");
        registry.declare("web", declared, "3000".parse::<Target>().unwrap(), None);
        assert!(plan_of(&registry).is_empty());
    }

    fn plan_of(registry: &Registry) -> Vec<ServicePlan> {
        services(registry, &membership(), crate::test_support::peer())
    }
}
