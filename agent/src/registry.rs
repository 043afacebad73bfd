//! What is declared on this agent, what the relay answered to it, and the visits from outside that are expected.
//!
//! Invariant: an entry comes into being by a declaration on this machine and by nothing else. What the relay says about a name that
//! is not here changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bore_api::Problem;
use bore_api::model::{HealthCheck, Lifetime, Publication};
use bore_api::state::{PublicationState, State, TargetReport};
use bore_api::wire::{PublicationView, PublishRequest};
use bore_policy::Target;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::answers::{bounded, bounded_state};
use super::declaration::Declaration;
use super::limits::VISITS_MAX;
use super::listener::Acceptor;
use super::state::StoredPublication;

/// Declared publications by name.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    entries: BTreeMap<String, Entry>,
    visits: HashMap<String, Visit>,
}

/// One declared publication.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) declaration: Declaration,
    pub(crate) target: Target,
    /// Where visitors of [`Target::InProcess`] are given to the program that listens.
    pub(crate) acceptor: Option<Arc<Acceptor>>,
    /// The relay's last answer; its overlay ports are what is listened on.
    pub(crate) view: Option<PublicationView>,
    /// What visitors' traffic showed of the target.
    pub(crate) seen: Seen,
    /// How many local clients hold it.
    pub(crate) holders: usize,
    /// The relay is being told, from here, to publish it no more.
    pub(crate) is_leaving: bool,
    /// The relay has not answered in this session what it makes of it.
    pub(crate) is_due: bool,
    /// Why the relay refuses it. Then there is no view: it is not served, and asked for again.
    pub(crate) refused: Option<Refused>,
}

/// What visitors of a publication are led to.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) target: Target,
    /// Where visitors of [`Target::InProcess`] are given to the program that listens.
    pub(crate) acceptor: Option<Arc<Acceptor>>,
}

impl From<Target> for Served {
    fn from(target: Target) -> Self {
        Self { target, acceptor: None }
    }
}

/// A declaration that the relay refuses.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) problem: Problem,
    /// What is shown of it.
    shown: PublicationView,
}

impl Entry {
    /// The relay's answer, or what is shown of it while the relay refuses it.
    pub(crate) fn shown(&self) -> Option<PublicationView> {
        self.view.clone().or_else(|| self.refused.as_ref().map(|refused| refused.shown.clone()))
    }

    /// Whether a listener of the program takes its visitors.
    pub(crate) fn is_listened_to(&self) -> bool {
        self.acceptor.as_ref().is_some_and(|acceptor| acceptor.is_open())
    }

    /// Whether it ends with the last local client that holds it.
    pub(crate) fn is_let_go(&self) -> bool {
        let ends = self.declaration.lifetime == Lifetime::Session && self.acceptor.is_none();
        ends && self.holders == 0
    }

    /// How it is asked for again once it was refused. Taking over is for the moment when a person asked for it.
    pub(crate) fn request_again(&self) -> PublishRequest {
        PublishRequest { replace: false, ..self.declaration.request(&self.target) }
    }

    /// How the target is checked.
    pub(crate) fn health(&self) -> HealthCheck {
        let Declaration { protocol, options, .. } = &self.declaration;
        options.health.effective(*protocol, self.target.port_count())
    }

    /// The time between two checks.
    pub(crate) fn health_interval(&self) -> Duration {
        Duration::from_secs(self.declaration.options.health.seconds().into())
    }

    /// Returns true if a visitor's dial says something about the target as a whole. A port of a range speaks for itself alone.
    pub(crate) fn is_judged_by_visitors(&self) -> bool {
        self.health() != HealthCheck::None && self.target.port_count() == 1
    }

    /// What proved the target within the last interval, in words.
    pub(crate) fn recent_proof(&self, now: Instant) -> Option<String> {
        let (at, what) = self.seen.proof?;
        let age = now.saturating_duration_since(at);
        (age < self.health_interval()).then(|| format!("{what} {} s ago", age.as_secs()))
    }
}

/// What checks and visitors' traffic showed of a target.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// A UDP target has answered at least once.
    pub(crate) answered: bool,
    /// A UDP target refused the last datagram.
    pub(crate) refused: bool,
    /// Why the target failed last; gone with the next success.
    pub(crate) failure: Option<String>,
    /// When a connection last showed that the target is there, and whose it was.
    pub(crate) proof: Option<(Instant, &'static str)>,
    /// A listener that the kernel's table shows has refused a visitor.
    pub(crate) listener_refused: bool,
    /// What the relay was told last.
    pub(crate) reported_ok: Option<bool>,
}

#[derive(Debug)]
struct Visit {
    publication: Uuid,
    arrived: oneshot::Sender<()>,
}

/// What a list from the relay changed here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Narrowed {
    /// Declared here, and different from what was known.
    pub(crate) changed: Vec<PublicationView>,
    /// Known to be acknowledged, not in the list.
    pub(crate) missing: Vec<String>,
    /// In the list, not declared here: ignored.
    pub(crate) undeclared: Vec<PublicationView>,
}

impl Registry {
    /// Adds or replaces what is declared under `name`.
    pub(crate) fn declare(
        &mut self,
        name: &str,
        declaration: Declaration,
        served: impl Into<Served>,
        view: Option<PublicationView>,
    ) {
        let Served { target, acceptor } = served.into();
        let before = self.entries.remove(name);
        let holders = before.as_ref().map_or(0, |entry| entry.holders);
        let seen = Seen::default();
        let entry = Entry {
            declaration,
            target,
            acceptor,
            view,
            seen,
            holders,
            is_leaving: false,
            is_due: false,
            refused: None,
        };
        self.entries.insert(name.to_owned(), entry);
    }

    /// No listener gets a visitor any more.
    pub(crate) fn end_listeners(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.acceptor = None);
    }

    /// Takes back what is declared under `name`.
    pub(crate) fn withdraw(&mut self, name: &str) -> Option<Entry> {
        self.entries.remove(name)
    }

    /// How many are declared.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What is declared under `name`.
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// What is declared under `name`, to change it.
    pub(crate) fn entry_mut(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.get_mut(name)
    }

    /// What is declared, by name.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.entries.iter()
    }

    /// The declared publication that the relay calls `id`.
    pub(crate) fn by_id(&self, id: Uuid) -> Option<(&String, &Entry)> {
        let is_it =
            |entry: &Entry| entry.view.as_ref().is_some_and(|view| view.publication.id == id);
        self.entries.iter().find(|(_, entry)| is_it(entry))
    }

    /// The relay's answers to what is declared.
    pub(crate) fn views(&self) -> Vec<PublicationView> {
        self.entries.values().filter_map(|entry| entry.view.clone()).collect()
    }

    /// The same with what is refused.
    pub(crate) fn shown(&self) -> Vec<PublicationView> {
        self.entries.values().filter_map(Entry::shown).collect()
    }

    /// The relay refuses what is declared under `name`. Returns true if that is news.
    pub(crate) fn refuse(&mut self, name: &str, problem: Problem) -> bool {
        let Some(entry) = self.entries.get_mut(name) else { return false };
        let news = entry.refused.as_ref().is_none_or(|before| before.problem != problem);
        let mut shown = match (entry.view.take(), entry.refused.take()) {
            (Some(view), _) | (None, Some(Refused { shown: view, .. })) => view,
            (None, None) => unacknowledged(name, &entry.declaration),
        };
        shown.state = PublicationState {
            state: State::Refused,
            cause: Some(format!("{problem} ({})", problem.code)),
            steps: Vec::new(),
            at: shown.state.at,
            awaits_certificate: false,
        };
        entry.seen = Seen::default();
        entry.is_due = false;
        entry.refused = Some(Refused { problem, shown });
        news
    }

    /// The relay has acknowledged what is declared under `name`. Returns true if it is another publication than before, of which the relay knows nothing yet.
    pub(crate) fn acknowledge(&mut self, name: &str, view: PublicationView) -> bool {
        let Some(entry) = self.entries.get_mut(name) else { return false };
        let before = entry.view.as_ref().map(|before| &before.publication);
        let is_other = before != Some(&view.publication);
        entry.view = Some(view);
        entry.is_due = false;
        entry.refused = None;
        is_other
    }

    /// A session begins, in which the relay has answered to nothing yet.
    pub(crate) fn set_all_due(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.is_due = true);
    }

    /// What the relay is asked for: what it has not answered to, and what it refuses.
    pub(crate) fn names_to_ask_for(&self) -> Vec<String> {
        let is_wanted = |entry: &Entry| entry.is_due || entry.refused.is_some();
        let wanted = self.entries.iter().filter(|(_, entry)| is_wanted(entry));
        wanted.map(|(name, _)| name.clone()).collect()
    }

    /// Whether the target of `name` failed when it was last dialled.
    pub(crate) fn is_failing(&self, name: &str) -> bool {
        self.entries.get(name).is_some_and(|entry| entry.seen.failure.is_some())
    }

    /// What survives a restart.
    pub(crate) fn persistent(&self) -> Vec<StoredPublication> {
        let kept = self
            .entries
            .values()
            .filter(|entry| entry.declaration.lifetime == Lifetime::Persistent);
        kept.map(|entry| StoredPublication {
            refused: entry.refused.as_ref().map(|refused| refused.problem.clone()),
            ..stored(&entry.declaration, entry.view.as_ref())
        })
        .collect()
    }

    /// Takes the relay's whole list. It tells states of what is declared here and acknowledged; it adds and moves nothing.
    pub(crate) fn narrow(&mut self, list: Vec<PublicationView>) -> Narrowed {
        let is_acknowledged = |entry: &Entry| entry.view.is_some() && !entry.is_due;
        let acknowledged = self.entries.iter().filter(|(_, entry)| is_acknowledged(entry));
        let missing = acknowledged
            .map(|(name, _)| name)
            .filter(|name| !list.iter().any(|view| view.publication.name == **name))
            .cloned()
            .collect();
        let mut narrowed = Narrowed { missing, ..Narrowed::default() };
        for view in list {
            self.take_view(view, &mut narrowed);
        }
        narrowed
    }

    fn take_view(&mut self, view: PublicationView, narrowed: &mut Narrowed) {
        let Some(entry) = self.entries.get_mut(&view.publication.name) else {
            narrowed.undeclared.push(view);
            return;
        };
        let id = view.publication.id;
        let Some(known) = entry.view.as_mut().filter(|known| known.publication.id == id) else {
            return;
        };
        // What was acknowledged stands until it is declared again.
        let news = PublicationView { publication: known.publication.clone(), ..bounded(view) };
        if *known != news {
            narrowed.changed.push(news.clone());
            *known = news;
        }
    }

    /// Takes a new state of a declared publication. Answers its view if that is news.
    pub(crate) fn set_state(
        &mut self,
        name: &str,
        state: PublicationState,
    ) -> Option<PublicationView> {
        let view = self.entries.get_mut(name)?.view.as_mut()?;
        let state = bounded_state(state);
        if view.state == state {
            return None;
        }
        view.state = state;
        Some(view.clone())
    }

    /// Without the relay nothing is proved any more. Answers the views that changed.
    pub(crate) fn set_all_offline(&mut self, cause: &str) -> Vec<PublicationView> {
        let views = self.entries.values_mut().filter_map(|entry| entry.view.as_mut());
        let proved = views.filter(|view| view.state.state != State::Offline);
        proved
            .map(|view| {
                view.state.state = State::Offline;
                view.state.cause = Some(cause.to_owned());
                view.state.steps.clear();
                view.clone()
            })
            .collect()
    }

    /// Notes how the target of `name` did. Answers what the relay should be told, if that is news.
    pub(crate) fn note_target(
        &mut self,
        name: &str,
        result: Result<(), String>,
    ) -> Option<(Uuid, TargetReport)> {
        let entry = self.entries.get_mut(name)?;
        let id = entry.view.as_ref()?.publication.id;
        let ok = result.is_ok();
        entry.seen.failure = result.err();
        if !ok {
            entry.seen.proof = None;
        }
        if entry.seen.reported_ok.replace(ok) == Some(ok) {
            return None;
        }
        let detail = entry.seen.failure.clone().unwrap_or_else(|| "answers".to_owned());
        Some((id, TargetReport { ok, detail, note: None }))
    }

    /// Expects one visit with `token`; the receiver hears when it arrived. `None` when too many are expected.
    pub(crate) fn expect_visit(
        &mut self,
        token: &str,
        publication: Uuid,
    ) -> Option<oneshot::Receiver<()>> {
        if self.visits.len() >= VISITS_MAX {
            return None;
        }
        let (arrived, hears) = oneshot::channel();
        self.visits.insert(token.to_owned(), Visit { publication, arrived });
        Some(hears)
    }

    /// Consumes an expected token, once. Answers the publication that it was for.
    pub(crate) fn take_visit(&mut self, token: &str) -> Option<Uuid> {
        let visit = self.visits.remove(token)?;
        // The visitor may have given up waiting; the token is spent all the same.
        let _ = visit.arrived.send(());
        Some(visit.publication)
    }

    /// Expects the visit no more.
    pub(crate) fn forget_visit(&mut self, token: &str) {
        self.visits.remove(token);
    }
}

/// What there is to show of a declaration that was never acknowledged.
fn unacknowledged(name: &str, declaration: &Declaration) -> PublicationView {
    let (id, nobody) = (Uuid::nil(), Uuid::nil());
    PublicationView {
        publication: Publication {
            id,
            network: nobody,
            node: nobody,
            name: name.to_owned(),
            protocol: declaration.protocol,
            public_port: declaration.port,
            port_count: 1,
            hostnames: declaration.hostnames.iter().filter_map(|host| host.parse().ok()).collect(),
            overlay_port: 0,
            target: declaration.target.clone(),
            access: declaration.access.clone(),
            options: declaration.options.clone(),
            lifetime: declaration.lifetime,
            created_at: 0,
        },
        state: PublicationState {
            state: State::Refused,
            cause: None,
            steps: Vec::new(),
            at: 0,
            awaits_certificate: false,
        },
        public: "-".to_owned(),
        access_notes: Vec::new(),
    }
}

/// What is kept on disk of a publication: not its state, which has to be proved again, so that a new proof changes nothing on disk; and nothing of what the
/// relay says about it, which it says again.
pub(crate) fn stored(
    declaration: &Declaration,
    view: Option<&PublicationView>,
) -> StoredPublication {
    let unproved = |view: &PublicationView| PublicationView {
        state: PublicationState {
            state: State::Offline,
            cause: None,
            steps: Vec::new(),
            at: 0,
            awaits_certificate: false,
        },
        access_notes: Vec::new(),
        ..view.clone()
    };
    StoredPublication { declaration: declaration.clone(), view: view.map(unproved), refused: None }
}

#[cfg(test)]
mod tests;
