//! Finds out, through the tunnel, what is true of a publication, and serves or refuses its visitors accordingly.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bore_api::model::{HealthCheck, NodeKind, Protocol, Publication};
use bore_api::state::{Step, StepName};
use bore_control::Directory;
use bore_netstack::ConnectError;
use uuid::Uuid;

use super::agent_probe::{Answer, Question, ask};
use super::check_places::Checks;
use super::proof::Base;
use super::table::{Entry, Publications};
use crate::ingress::Ingress;
use crate::limits::{CHECK_INTERVAL, DOWN_CHECK_INTERVAL, OFFLINE_CHECK_INTERVAL};
use crate::members::Member;
use crate::tunnels::Tunnels;

/// Checks the publications of a relay.
#[derive(Debug)]
pub(crate) struct Checker {
    directory: Directory,
    tunnels: Arc<Tunnels>,
    ingress: Ingress,
    publications: Arc<Publications>,
    checks: Checks,
    /// Held while what a check found is written down.
    concluding: tokio::sync::Mutex<()>,
}

impl Checker {
    pub(crate) fn new(
        directory: Directory,
        tunnels: Arc<Tunnels>,
        ingress: Ingress,
        publications: Arc<Publications>,
    ) -> Self {
        let (checks, concluding) = (Checks::default(), tokio::sync::Mutex::default());
        Self { directory, tunnels, ingress, publications, checks, concluding }
    }

    /// Checks a publication in the background.
    pub(crate) fn start(self: &Arc<Self>, entry: &Entry) {
        let Publication { id, network, node, .. } = *entry.publication;
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

    /// Lets go of a publication that is gone: its ports are free when this returns.
    pub(crate) async fn release(&self, id: Uuid) {
        self.checks.forget(id);
        self.ingress.release(id).await;
    }

    /// Notes that the tunnel of a publication's node is down.
    pub(crate) async fn note_offline(&self, entry: &Arc<Entry>) {
        self.conclude(entry, offline()).await;
    }

    async fn check_now(&self, id: Uuid) {
        let Some(entry) = self.publications.get(id) else { return };
        match self.checks.unless_forgotten(id, self.check(&entry)).await {
            Some(verdict) => self.conclude(&entry, verdict).await,
            None => drop(self.release_if_gone(id).await),
        }
    }

    async fn check(&self, entry: &Entry) -> Verdict {
        let publication = &entry.publication;
        if let Err(error) = self.ingress.keep(publication).await {
            return down(StepName::Port, error.to_string());
        }
        let Some(member) = self.tunnels.members.get(publication.node) else { return offline() };
        if !self.tunnels.members.is_online(publication.node) {
            return offline();
        }
        match member.kind {
            NodeKind::Agent => self.ask_agent(publication.id, &member).await,
            NodeKind::Wireguard => self.try_target(entry, &member).await,
        }
    }

    async fn ask_agent(&self, publication: Uuid, member: &Member) -> Verdict {
        let mut stream = match self.tunnels.shard.connect(self.tunnels.to_agent(member)).await {
            Ok(stream) => stream,
            Err(error) => return unanswered(&error),
        };
        match ask(&mut stream, &Question::Check(publication)).await {
            Ok(answer) => judged(answer),
            Err(error) => down(
                StepName::Target,
                format!("the agent did not say what its target does: {error}"),
            ),
        }
    }

    async fn try_target(&self, entry: &Entry, member: &Member) -> Verdict {
        if let Some((detail, note)) = need_not_dial(entry) {
            return judged(Answer { ok: true, detail, note: note.map(str::to_owned), echo: None });
        }
        let dial = self.tunnels.dial(member, entry.publication.overlay_port);
        match self.tunnels.shard.connect(dial).await {
            Ok(_stream) => {
                let detail = "took a connection through the tunnel".to_owned();
                judged(Answer { ok: true, detail, ..Answer::default() })
            }
            Err(error @ ConnectError::TimedOut) => unanswered(&error),
            Err(error) => down(StepName::Target, error.to_string()),
        }
    }

    /// Writes down what was found, and serves or refuses visitors accordingly.
    async fn conclude(&self, entry: &Arc<Entry>, verdict: Verdict) {
        let _turn = self.concluding.lock().await;
        if self.release_if_gone(entry.id()).await || !self.publications.is_current(entry) {
            return;
        }
        let publication = &entry.publication;
        let Verdict { base, steps } = self.serve(publication, verdict).await;
        let due = Instant::now() + self.check_again_after(publication, &base);
        if entry.evidence.conclude(base.clone(), steps, due) {
            tracing::info!(publication = publication.name, state = ?base, "state changed");
            self.directory.notify_node(publication.node);
        }
    }

    /// Returns true if the publication is gone: a check may have claimed its ports after they were given back.
    async fn release_if_gone(&self, id: Uuid) -> bool {
        let is_gone = self.publications.get(id).is_none();
        if is_gone {
            self.ingress.release(id).await;
        }
        is_gone
    }

    /// An agent checks its targets itself and reports what changed.
    fn check_again_after(&self, publication: &Publication, base: &Base) -> Duration {
        let member = self.tunnels.members.get(publication.node);
        let is_watched = member.is_none_or(|member| member.kind == NodeKind::Agent);
        match base {
            Base::Offline(_) => OFFLINE_CHECK_INTERVAL,
            Base::Unknown | Base::Down(_) | Base::Reachable { .. } if is_watched => CHECK_INTERVAL,
            Base::Down(_) => DOWN_CHECK_INTERVAL,
            Base::Unknown | Base::Reachable { .. } => health_interval(publication),
        }
    }

    /// Lets visitors in where that is due; what prevents it is part of what is true.
    async fn serve(&self, publication: &Publication, verdict: Verdict) -> Verdict {
        let is_online = self.tunnels.members.is_online(publication.node);
        let verdict = if verdict.is_reachable() && !is_online { offline() } else { verdict };
        let is_reachable = verdict.is_reachable();
        let route = is_reachable.then(|| self.tunnels.route(publication)).flatten();
        match self.ingress.serve(publication.id, route).await {
            Err(error) if is_reachable => down(StepName::Port, error.to_string()),
            Ok(()) | Err(_) => verdict,
        }
    }
}

/// What is known of the target of a WireGuard node without dialling it, and what is not.
fn need_not_dial(entry: &Entry) -> Option<(String, Option<&'static str>)> {
    let Publication { protocol, port_count, ref options, .. } = *entry.publication;
    if protocol == Protocol::Udp {
        let detail = "a WireGuard client cannot be asked; its tunnel is up".to_owned();
        return Some((detail, Some("service silent")));
    }
    if options.health.effective(protocol, port_count) == HealthCheck::None {
        return Some(("not checked; the tunnel is up".to_owned(), Some("target not checked")));
    }
    let age = entry.evidence.taken_at()?.elapsed();
    let recent = age < health_interval(&entry.publication);
    let detail = || format!("took a visitor's connection {} s ago", age.as_secs());
    recent.then(|| (detail(), None))
}

/// What a check found, and the steps that show it.
struct Verdict {
    base: Base,
    steps: Vec<Step>,
}

impl Verdict {
    fn is_reachable(&self) -> bool {
        matches!(self.base, Base::Reachable { .. })
    }
}

fn offline() -> Verdict {
    let detail = "the agent's tunnel is down".to_owned();
    Verdict {
        base: Base::Offline(detail.clone()),
        steps: vec![Step::failed(StepName::Tunnel, detail)],
    }
}

fn unanswered(error: &ConnectError) -> Verdict {
    let detail = format!("no answer through the tunnel: {error}");
    Verdict {
        base: Base::Offline(detail.clone()),
        steps: vec![Step::failed(StepName::Tunnel, detail)],
    }
}

fn down(name: StepName, detail: String) -> Verdict {
    Verdict { base: Base::Down(detail.clone()), steps: vec![Step::failed(name, detail)] }
}

fn judged(answer: Answer) -> Verdict {
    let steps = vec![
        Step::held(StepName::Tunnel, "the agent answers"),
        Step::new(StepName::Target, answer.ok, answer.detail.clone()),
    ];
    let base =
        if answer.ok { Base::Reachable { note: answer.note } } else { Base::Down(answer.detail) };
    Verdict { base, steps }
}

fn health_interval(publication: &Publication) -> Duration {
    Duration::from_secs(publication.options.health.seconds().into())
}
