//! One session with the relay's control: claim the node, declare again what is declared, then follow the watch stream.
//!
//! The watch can narrow what this agent does (a publication is gone, another agent took over) and never widen it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bore_api::model::Lifetime;
use bore_api::wire::{
    Displaced, Page, PublicationView, PublishRequest, SelfView, SessionRequest, WatchEvent,
};
use bore_api::{Code, Problem};
use bore_overlay::RelayAddress;
use http::Method;
use rand::Rng;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::answers::{acknowledged, bounded_problem, bounded_text};
use super::connect::{Connector, RelayPeer, TunnelChange, rebind, resolve};
use super::control_client::ControlClient;
use super::error::AgentError;
use super::limits::{HEARTBEAT_MISSING, STORED_MAX, STORED_PAGES_MAX};
use super::ndjson::Lines;
use super::network_watch::{NetworkChange, NetworkWatch};
use super::registry::Entry;
use super::shared::{Online, Shared, StateChange, WebPorts};
use super::wire::{Stored, Unread, VERSION, WatchLine};

/// How a session ended.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) error: AgentError,
    /// The tunnel needs no new handshake.
    pub(crate) tunnel_stands: bool,
    /// The world changed: the next attempt need not wait as long as the last.
    pub(crate) at_once: bool,
}

/// Claims the node, renews what is declared, and opens the watch stream.
pub(crate) async fn open(
    shared: &Arc<Shared>,
    control: &ControlClient,
    takeover: bool,
) -> Result<(Lines, WebPorts), AgentError> {
    let request = SessionRequest { boot: shared.boot, takeover, version: VERSION.to_owned() };
    let claimed: SelfView = control.send(Method::PUT, "/v1/nodes/self/session", &request).await?;
    shared.doubt_leftovers();
    remove_leftovers(shared, control).await?;
    shared.registry().set_all_due();
    ask_for_missing(shared, control).await;
    Ok((open_watch(shared, control).await?, claimed.relay.into()))
}

async fn open_watch(shared: &Shared, control: &ControlClient) -> Result<Lines, AgentError> {
    let watch = format!("/v1/nodes/self/watch?boot={}", shared.boot);
    control.stream(&watch).await.map(Lines::new)
}

/// A session publication of this node that nobody here declared belonged to an agent that was killed, or the answer to a request for it was lost.
pub(crate) async fn remove_leftovers(
    shared: &Shared,
    control: &ControlClient,
) -> Result<(), AgentError> {
    // What is being found a name is declared in a moment.
    let Ok(_found) = shared.finding.try_write() else { return Ok(()) };
    if !shared.take_leftovers() {
        return Ok(());
    }
    let removed = remove_undeclared(shared, control).await;
    if removed.is_err() {
        shared.doubt_leftovers();
    }
    removed
}

async fn remove_undeclared(shared: &Shared, control: &ControlClient) -> Result<(), AgentError> {
    for publication in stored(control).await? {
        let name = publication.name.as_str();
        // Who has the turn is about to declare it, or to take it back.
        let Some(_turn) = shared.turns.take(name) else { continue };
        let declared = shared.registry().entry(name).is_some();
        if declared || publication.lifetime == Lifetime::Persistent {
            continue;
        }
        tracing::info!(%name, "taking back what nobody here declares");
        remove(control, &publication.id.to_string()).await?;
    }
    Ok(())
}

/// Everything of this node that the relay has stored.
async fn stored(control: &ControlClient) -> Result<Vec<Stored>, AgentError> {
    let mut stored = Vec::new();
    let mut path = "/v1/nodes/self/publications".to_owned();
    for _ in 0..STORED_PAGES_MAX {
        let page: Page<Stored> = control.get(&path).await?;
        stored.extend(page.items.into_iter().take(STORED_MAX - stored.len()));
        let Some(after) = page.next.filter(|_| stored.len() < STORED_MAX) else { break };
        path = format!("/v1/nodes/self/publications?after={after}");
    }
    Ok(stored)
}

/// Asks for what the relay has not answered to in this session, and again for what it refuses: another node may have given it back, or a rule changed.
/// The first request without an answer leaves the rest to the next time: the watch tells whether the relay is there.
async fn ask_for_missing(shared: &Arc<Shared>, control: &ControlClient) {
    let names = shared.registry().names_to_ask_for();
    let is_news = !names.is_empty();
    for name in names {
        // Who has the turn asks by itself.
        let Some(_turn) = shared.turns.take(&name) else { continue };
        let Some(entry) = shared.registry().entry(&name).cloned() else { continue };
        let answer = if entry.is_due {
            renew(control, &entry).await
        } else {
            publish(control, &entry.request_again()).await
        };
        if let Err(error) = take_answer(shared, &name, &entry, answer) {
            tracing::warn!(%name, %error, "the relay does not answer to a publication");
            break;
        }
    }
    if is_news {
        shared.save_soon();
    }
}

async fn renew(control: &ControlClient, entry: &Entry) -> Result<PublicationView, AgentError> {
    let first = entry.declaration.request(&entry.target);
    let request = match &entry.view {
        Some(view) => entry.declaration.renewal(&entry.target, view),
        None => first.clone(),
    };
    let answer = publish(control, &request).await;
    if request != first && matches!(&answer, Err(AgentError::Refused(_))) {
        // The address that was given is not to be had any more; what was declared may still be.
        return publish(control, &first).await;
    }
    answer
}

/// Takes the answer to what is declared under `name`.
///
/// # Errors
/// There was none.
fn take_answer(
    shared: &Arc<Shared>,
    name: &str,
    entry: &Entry,
    answer: Result<PublicationView, AgentError>,
) -> Result<(), AgentError> {
    let answer = answer.and_then(|view| acknowledged(view, &entry.declaration, &entry.target));
    match answer {
        Ok(view) => shared.renew(name, view),
        // The relay cannot answer just then: that says nothing about the publication.
        Err(AgentError::Refused(problem)) if problem.status >= 500 || problem.status == 429 => {
            tracing::warn!(%name, code = %problem.code, %problem, "a publication was not renewed");
        }
        Err(AgentError::Refused(problem)) => shared.refuse(name, *problem),
        Err(error @ (AgentError::Distrusted { .. } | AgentError::NotUnderstood { .. })) => {
            shared.refuse(name, error.problem());
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Asks the relay to publish.
pub(crate) async fn publish(
    control: &ControlClient,
    request: &PublishRequest,
) -> Result<PublicationView, AgentError> {
    control.send(Method::POST, "/v1/nodes/self/publications", request).await
}

/// Asks the relay to publish no more. What is not there is fine.
pub(crate) async fn remove(control: &ControlClient, name: &str) -> Result<(), AgentError> {
    let path = format!("/v1/nodes/self/publications/{name}");
    match control.order(Method::DELETE, &path, None::<&()>).await {
        Err(AgentError::Refused(problem))
            if problem.known_code() == Some(Code::PUBLICATION_NOT_FOUND) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Follows the watch stream until something ends it.
pub(crate) async fn watch(
    shared: &Arc<Shared>,
    connector: &mut Connector,
    network: &mut NetworkWatch,
    online: &Online,
    lines: Lines,
) -> Lost {
    let relays = shared.identity().relays.clone();
    let resolved = resolve(&relays).await.map(BTreeSet::from_iter).unwrap_or_default();
    let tunnel_session = connector.session_established().await;
    let asking = JoinSet::new();
    let mut session = Session { shared, online, lines, relays, resolved, tunnel_session, asking };
    loop {
        if let Err(lost) = session.step(connector, network).await {
            return lost;
        }
    }
}

struct Session<'a> {
    shared: &'a Arc<Shared>,
    online: &'a Online,
    lines: Lines,
    relays: Vec<RelayAddress>,
    resolved: BTreeSet<SocketAddr>,
    /// The tunnel's session that the watch is known to live in.
    tunnel_session: Option<std::time::Instant>,
    /// Asks for what is missing. Ends with the session.
    asking: JoinSet<()>,
}

impl Session<'_> {
    /// Follows the stream until the names of the relay are due to be looked up again.
    async fn step(
        &mut self,
        connector: &mut Connector,
        network: &mut NetworkWatch,
    ) -> Result<(), Lost> {
        let look_up = tokio::time::sleep(RESOLVE_AGAIN.mul_f64(rand::rng().random_range(0.5..1.5)));
        tokio::pin!(look_up);
        let mut ask_again_at = Instant::now() + ASK_AGAIN;
        let mut tunnel_look = tokio::time::interval(TUNNEL_LOOK);
        tunnel_look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heartbeat_due = Instant::now() + HEARTBEAT_MISSING;
        loop {
            tokio::select! {
                line = tokio::time::timeout_at(heartbeat_due, self.lines.next::<WatchLine>()) => {
                    let silent = format!("the relay was silent for {} s", HEARTBEAT_MISSING.as_secs());
                    let line = line.map_err(|_| lost(silent))?;
                    // A line that is not understood is quoted.
                    let line = line.map_err(|error| lost(bounded_text(error.to_string())))?;
                    self.handle(line).await?;
                    heartbeat_due = Instant::now() + HEARTBEAT_MISSING;
                }
                change = connector.change() => self.tunnel_changed(change, connector).await?,
                change = network.changed() => self.network_changed(change).await?,
                _ = tunnel_look.tick() => {
                    let established = connector.session_established().await;
                    self.tunnel_looked_at(established).await?;
                }
                () = tokio::time::sleep_until(ask_again_at) => {
                    self.ask_again();
                    ask_again_at = Instant::now() + ASK_AGAIN.mul_f64(rand::rng().random_range(0.75..1.25));
                }
                () = &mut look_up => return self.look_up_again().await,
            }
        }
    }

    /// A request that is not answered keeps nobody from hearing the watch.
    fn ask_again(&mut self) {
        while self.asking.try_join_next().is_some() {}
        if self.asking.is_empty() {
            let (shared, control) = (Arc::clone(self.shared), self.online.control.clone());
            self.asking.spawn(async move {
                if let Err(error) = remove_leftovers(&shared, &control).await {
                    tracing::debug!(%error, "what nobody declares here is looked for later");
                }
                ask_for_missing(&shared, &control).await;
            });
        }
    }

    async fn handle(&self, line: Option<WatchLine>) -> Result<(), Lost> {
        let (event, unread) =
            line.map_or((None, Vec::new()), |line| (Some(line.event), line.unread));
        match event {
            None => {
                let cause = "the relay ended the watch".to_owned();
                let error = AgentError::ControlUnreachable { cause };
                Err(Lost { error, tunnel_stands: true, at_once: false })
            }
            Some(WatchEvent::Replaced) => Err(final_loss(AgentError::Replaced)),
            Some(WatchEvent::Publications { publications, displaced }) => {
                self.take_list(publications, displaced, unread).await.map_err(doubted)
            }
            Some(WatchEvent::Draining) => {
                tracing::info!("the relay is draining");
                self.shared.tell(StateChange::Draining);
                Ok(())
            }
            Some(WatchEvent::Hello { relay }) => {
                tracing::debug!(version = ?relay.version, draining = relay.draining, "watching");
                Ok(())
            }
            Some(WatchEvent::Policy { .. } | WatchEvent::Heartbeat | WatchEvent::Other) => Ok(()),
        }
    }

    async fn take_list(
        &self,
        list: Vec<PublicationView>,
        displaced: Vec<Displaced>,
        unread: Vec<Unread>,
    ) -> Result<(), AgentError> {
        let mut narrowed = self.shared.registry().narrow(list);
        for Unread { name, cause } in unread {
            narrowed.missing.retain(|missing| *missing != name);
            self.shared.note_unread(&name, &cause);
        }
        let was_displaced = self.take_displaced(&mut narrowed.missing, displaced);
        for view in narrowed.undeclared {
            self.shared.counters.undeclared_ignored.add_one();
            tracing::debug!(name = ?view.publication.name, "not declared on this agent, ignored");
        }
        self.shared.replan(None);
        self.shared.tell_publications(narrowed.changed);
        if was_displaced {
            self.shared.save_soon();
        }
        if narrowed.missing.is_empty() { Ok(()) } else { self.drop_removed(narrowed.missing).await }
    }

    /// What another node took is refused from here on, and not missing. Returns true if there is such a one.
    fn take_displaced(&self, missing: &mut Vec<String>, displaced: Vec<Displaced>) -> bool {
        let before = missing.len();
        for Displaced { name, cause } in displaced {
            let Some(position) = missing.iter().position(|each| *each == name) else { continue };
            missing.swap_remove(position);
            self.shared.refuse(&name, taken(cause));
        }
        missing.len() < before
    }

    /// A list may be older than an answer that overtook it, so what it lacks is looked up before it is given up.
    async fn drop_removed(&self, missing: Vec<String>) -> Result<(), AgentError> {
        let stored = stored(&self.online.control).await?;
        let exists = |name: &String| stored.iter().any(|stored| stored.name.as_str() == name);
        for name in missing.iter().filter(|name| !exists(name)) {
            // The list without it may be here before the answer to this machine's own request.
            let leaves = self.shared.registry().entry(name).is_some_and(|entry| entry.is_leaving);
            let cause = if leaves { HERE } else { "the relay" };
            tracing::info!(%name, cause, "removed, served no more");
            self.shared.forget(name, cause);
        }
        Ok(())
    }

    async fn tunnel_changed(
        &self,
        change: TunnelChange,
        connector: &mut Connector,
    ) -> Result<(), Lost> {
        match change {
            TunnelChange::Moved(endpoint) => {
                tracing::info!(%endpoint, "the relay answers from elsewhere");
                Ok(())
            }
            TunnelChange::Gone => Err(final_loss(AgentError::OverlayEnded)),
            TunnelChange::Down => {
                let cause = "the tunnel has no session".to_owned();
                Err(doubted(AgentError::ControlUnreachable { cause }))
            }
            TunnelChange::Reset => {
                // Flows of the watch died with the relay's memory; the tunnel itself is back in one round trip.
                let tunnel_stands = connector.recovered(RECOVERY_WAIT).await;
                Err(forgotten(tunnel_stands))
            }
        }
    }

    /// A new session of the tunnel is a rekey, or a relay that restarted and has forgotten the watch. Asking for the watch again tells which.
    async fn tunnel_looked_at(
        &mut self,
        established: Option<std::time::Instant>,
    ) -> Result<(), Lost> {
        if established == self.tunnel_session || established.is_none() {
            return Ok(());
        }
        self.tunnel_session = established;
        match open_watch(self.shared, &self.online.control).await {
            Ok(lines) => {
                self.lines = lines;
                Ok(())
            }
            Err(AgentError::Refused(_)) => Err(forgotten(true)),
            Err(error) => Err(doubted(error)),
        }
    }

    async fn network_changed(&self, change: NetworkChange) -> Result<(), Lost> {
        let RelayPeer { id, .. } = self.online.relay;
        tracing::info!(?change, "this machine's network changed");
        let moved = rebind(&self.shared.shard, id).await;
        let answers = match moved {
            Ok(()) => self.online.control.order(Method::GET, "/v1/health", None::<&()>).await,
            Err(error) => Err(error),
        };
        // A relay whose store fails answers all the same.
        let answers = match answers {
            Err(AgentError::Refused(_)) => Ok(()),
            answers => answers,
        };
        answers.map_err(|error| Lost { error, tunnel_stands: false, at_once: true })
    }

    async fn look_up_again(&mut self) -> Result<(), Lost> {
        if !self.relays.iter().any(|relay| matches!(relay, RelayAddress::Name { .. })) {
            return Ok(());
        }
        // A resolver that fails says nothing about the relay.
        let Ok(found) = resolve(&self.relays).await else { return Ok(()) };
        let found = BTreeSet::from_iter(found);
        let moved = found != self.resolved && !found.contains(&self.online.relay.endpoint);
        self.resolved = found;
        if !moved {
            return Ok(());
        }
        let cause = "the relay's name leads elsewhere".to_owned();
        let error = AgentError::ControlUnreachable { cause };
        Err(Lost { error, tunnel_stands: false, at_once: true })
    }
}

/// Who took a publication back, when it was us.
pub(crate) const HERE: &str = "this machine";

fn taken(cause: String) -> Problem {
    bounded_problem(Problem::new(Code::DISPLACED, cause))
}

fn lost(cause: String) -> Lost {
    doubted(AgentError::ControlUnreachable { cause })
}

fn doubted(error: AgentError) -> Lost {
    Lost { error, tunnel_stands: false, at_once: false }
}

fn forgotten(tunnel_stands: bool) -> Lost {
    let error =
        AgentError::ControlUnreachable { cause: "the relay has forgotten this session".to_owned() };
    Lost { error, tunnel_stands, at_once: true }
}

fn final_loss(error: AgentError) -> Lost {
    Lost { error, tunnel_stands: false, at_once: false }
}

/// Names are looked up again about this often.
const RESOLVE_AGAIN: Duration = Duration::from_secs(60);
/// What is refused is asked for again about this often.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// How often the tunnel's session is looked at.
const TUNNEL_LOOK: Duration = Duration::from_secs(1);
/// A tunnel that was reset is up after one round trip, or it is doubted.
const RECOVERY_WAIT: Duration = Duration::from_secs(5);
