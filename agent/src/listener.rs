//! Gives visitors to the program around the agent: as streams, without a local port between.
//!
//! ```text
//! visitor ─▶ relay ═▶ serve_tcp ─▶ Acceptor ─▶ queue ─▶ Listener::accept     (the shard's thread, then the program's)
//! ```
//!
//! The registry alone holds the [`Acceptor`] of a publication: whatever ends or replaces the publication ends the listener. A listener that is
//! dropped takes its own publication back, and none that came after it.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use bore_api::model::{HealthCheck, Lifetime, Protocol};
use bore_api::state::State;
use bore_api::wire::PublicationView;
use bore_driver::{OverlayStream, pipe_with_work};
use bore_netstack::Incoming;
use bore_policy::Target;
use tokio::runtime::Handle;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::agent::Agent;
use super::declaration::Declaration;
use super::error::AgentError;
use super::limits::STREAMS_WAITING_MAX;
use super::publishing::to_the_end;
use super::registry::{Entry, Served};
use super::shared::Shared;
use super::targets::DialError;

/// A publication whose visitors the program takes itself, made by [`Agent::listen`].
///
/// At most 256 visitors wait for [`Self::accept`]; those that come then are refused, as by a socket whose queue is full.
///
/// Dropped, it takes the publication back, and with it the connections of visitors that are still open. [`Self::close`] lets them end first.
#[derive(Debug)]
pub struct Listener {
    agent: Agent,
    name: String,
    ends: Ends,
    /// Where the publication is taken back, wherever this is dropped.
    runtime: Handle,
}

/// A visitor that was not accepted yet.
type Waiting = (OverlayStream, SocketAddr);

/// The program's end of a listener.
#[derive(Debug)]
struct Ends {
    queue: mpsc::Receiver<Waiting>,
    carried: watch::Sender<()>,
    acceptor: Weak<Acceptor>,
}

/// The agent's end of a listener.
#[derive(Debug)]
pub(crate) struct Acceptor {
    queue: mpsc::Sender<Waiting>,
    /// Has a receiver for each stream that is carried.
    carried: watch::Sender<()>,
}

impl Agent {
    /// Publishes [`Declaration::in_process`] and listens: answers when the relay has acknowledged it. Its target is up for as long as the listener takes
    /// visitors. Dropped before its end, the future leaves nothing published.
    ///
    /// # Errors
    /// As [`Agent::publish`]; moreover the declaration is not of this kind (`B1001`), or its name is published on this agent and [`Declaration::replace`] is
    /// not set (`B2102`).
    pub async fn listen(&self, declaration: Declaration) -> Result<Listener, AgentError> {
        refuse_unsuitable(&declaration)?;
        let (acceptor, ends) = ends();
        let served = Served { target: Target::InProcess, acceptor: Some(acceptor) };
        let (agent, declaring) = (self.clone(), self.declare(declaration, served));
        to_the_end(async move {
            let view = declaring.await?;
            Ok(Listener::new(agent, view.publication.name, ends))
        })
        .await
    }
}

/// Whether it is that listener's, and not that of one which has replaced it.
fn is_of(entry: &Entry, acceptor: &Weak<Acceptor>) -> bool {
    entry.acceptor.as_ref().is_some_and(|it| Weak::ptr_eq(&Arc::downgrade(it), acceptor))
}

/// Refuses what promises more than a listener gives.
fn refuse_unsuitable(declaration: &Declaration) -> Result<(), AgentError> {
    let is_asked = matches!(declaration.options.health.check, Some(HealthCheck::Http(_)));
    let cause = match declaration.parse_target()? {
        Target::Host { .. } | Target::Unix(_) => "a listener's target is `in-process`",
        Target::InProcess if declaration.protocol == Protocol::Udp => {
            "a listener takes streams, and udp has none"
        }
        Target::InProcess if declaration.lifetime == Lifetime::Persistent => {
            "a listener's publication ends with it"
        }
        Target::InProcess if is_asked => "its program is not asked whether it is healthy",
        Target::InProcess => return Ok(()),
    };
    Err(DialError::Unsuitable { target: declaration.target.clone(), cause }.into())
}

impl Listener {
    fn new(agent: Agent, name: String, ends: Ends) -> Self {
        Self { agent, name, ends, runtime: Handle::current() }
    }

    /// Its publication as it is now; `None` once that was taken back or replaced, or the agent has ended.
    pub fn publication(&self) -> Option<PublicationView> {
        if self.agent.has_ended() {
            return None;
        }
        let registry = self.agent.shared.registry();
        registry.entry(&self.name).filter(|entry| is_of(entry, &self.ends.acceptor))?.shown()
    }

    /// Waits until the publication is live: the relay has reached this agent through the tunnel, and this agent the public address. `None` once it was taken
    /// back or the agent has ended. Cancel-safe; a relay that cannot be visited from here is waited for without end.
    pub async fn live(&self) -> Option<PublicationView> {
        let mut changes = self.agent.subscribe();
        loop {
            let publication = self.publication()?;
            if publication.state.state == State::Live {
                return Some(publication);
            }
            if let Err(RecvError::Closed) = changes.recv().await {
                return None;
            }
        }
    }

    /// The next visitor: a connection with it and its address. `None` once the publication was taken back or replaced, or the agent has ended.
    ///
    /// What is written reaches the visitor also when the stream is dropped then. Shut down for writing it goes on reading. A visitor that broke off is
    /// an error, one that closed an end. Cancelling loses no visitor.
    pub async fn accept(&mut self) -> Option<(OverlayStream, SocketAddr)> {
        poll_fn(|context| self.poll_accept(context)).await
    }

    /// The same for a caller that polls by itself, as a server's own loop.
    pub fn poll_accept(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<(OverlayStream, SocketAddr)>> {
        let waiting = ready!(self.ends.queue.poll_recv(context));
        Poll::Ready(waiting.inspect(|(stream, _)| stream.ending().in_order()))
    }

    /// Takes no more visitors, waits until the connections of those that were accepted have ended, and takes the publication back. What the relay still holds
    /// of them for a slow visitor is delivered, for 60 seconds at most. Given up before its end, as by a timeout, it takes the publication back at once.
    pub async fn close(mut self) {
        self.ends.queue.close();
        self.agent.shared.report_target(&self.name);
        // Until the end: one more may be on its way into the queue.
        while self.ends.queue.recv().await.is_some() {}
        self.ends.carried.closed().await;
        // It takes the publication back whether it is waited for or not.
        let _ = self.end().await;
    }

    /// Takes back what it has published, unless that is another's by then. Its place among those of the name is taken by the call.
    fn end(&self) -> JoinHandle<()> {
        let (name, acceptor) = (self.name.clone(), self.ends.acceptor.clone());
        let withdrawing = self.agent.withdraw_if(&name, move |entry| is_of(entry, &acceptor));
        self.runtime.spawn(async move {
            if let Err(error) = withdrawing.await {
                tracing::debug!(%name, %error, "the publication of a listener is gone already");
            }
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A listener that was replaced, or closed to its end, has no acceptor any more.
        if self.ends.acceptor.strong_count() > 0 {
            drop(self.end());
        }
    }
}

fn ends() -> (Arc<Acceptor>, Ends) {
    let (sender, queue) = mpsc::channel(STREAMS_WAITING_MAX);
    let carried = watch::Sender::new(());
    let acceptor = Arc::new(Acceptor { queue: sender, carried: carried.clone() });
    let ends = Ends { queue, carried, acceptor: Arc::downgrade(&acceptor) };
    (acceptor, ends)
}

impl Acceptor {
    /// Whether visitors are still taken.
    pub(crate) fn is_open(&self) -> bool {
        !self.queue.is_closed()
    }
}

/// Gives a visitor of the publication `name` to its listener, and carries its bytes until they have ended.
pub(crate) async fn serve(shared: &Arc<Shared>, name: &str, incoming: Incoming) {
    if let Some(carried) = take(shared, name, incoming) {
        carried.await;
    }
}

/// Lets a visitor wait to be accepted. Answers what has to be done for its bytes to move; `None` when it is refused.
fn take(
    shared: &Arc<Shared>,
    name: &str,
    incoming: Incoming,
) -> Option<impl Future<Output = ()> + use<>> {
    let visitor = incoming.source;
    let acceptor = shared.registry().entry(name)?.acceptor.clone()?;
    let Some(permit) = shared.room.stream() else {
        shared.counters.flows_refused_by_limit.add_one();
        return None;
    };
    let place = match acceptor.queue.try_reserve() {
        Ok(place) => place,
        Err(TrySendError::Full(())) => {
            shared.counters.streams_refused_by_limit.add_one();
            return None;
        }
        Err(TrySendError::Closed(())) => return None,
    };
    let (stream, work) = pipe_with_work(incoming.accept().ok()?);
    shared.counters.flows_opened.add_one();
    // One that is never accepted is reset with the queue.
    stream.ending().reset();
    // Before it is sent: a listener that closes waits for all that it was given.
    let carried = acceptor.carried.subscribe();
    place.send((stream, visitor));
    Some(async move {
        work.await;
        drop((permit, carried));
    })
}

#[cfg(test)]
mod tests;
