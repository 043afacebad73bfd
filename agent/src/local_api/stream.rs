//! Streams of changes, and holding a publication for as long as a stream is read.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use http::header;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::registry::Entry;
use crate::{Agent, StateChange};

/// A client's claim on a publication. When the last one of a session publication is dropped, it is taken back.
#[derive(Debug)]
pub(super) struct Hold {
    agent: Agent,
    name: String,
}

impl Hold {
    /// Holds `name`; `None` when it is not declared here.
    pub(super) fn take(agent: &Agent, name: &str) -> Option<Self> {
        agent.shared().registry().entry_mut(name)?.holders += 1;
        Some(Self { agent: agent.clone(), name: name.to_owned() })
    }

    fn concerns(&self, change: &StateChange) -> bool {
        match change {
            StateChange::Publication { publication } => publication.publication.name == self.name,
            StateChange::Refused { name, .. } | StateChange::Withdrawn { name, .. } => {
                *name == self.name
            }
            StateChange::Connected { .. }
            | StateChange::Disconnected { .. }
            | StateChange::Draining
            | StateChange::Unsaved { .. }
            | StateChange::Saved
            | StateChange::Stopped { .. } => true,
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let last = self.agent.shared().registry().entry_mut(&self.name).is_some_and(|entry| {
            entry.holders = entry.holders.saturating_sub(1);
            entry.is_let_go()
        });
        if !last {
            return;
        }
        // Without a runtime the process is ending, and its session with the relay too.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let name = self.name.clone();
        let withdrawing = self.agent.withdraw_if(&name, Entry::is_let_go);
        runtime.spawn(async move {
            if let Err(error) = withdrawing.await {
                tracing::debug!(%name, %error, "a publication that nobody holds was not taken back");
            }
        });
    }
}

/// Changes as JSON lines until the agent stops or the client goes: the present state of what is asked for first, then what happens.
pub(super) fn changes(agent: &Agent, hold: Option<Hold>) -> Response {
    let source = Source {
        changes: agent.subscribe(),
        present: present(agent, hold.as_ref()),
        hold,
        // Asked after subscribing: an end that comes later is told.
        ended: agent.has_ended(),
    };
    let body = Body::from_stream(lines(source));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

struct Source {
    changes: Receiver<StateChange>,
    present: Vec<StateChange>,
    hold: Option<Hold>,
    ended: bool,
}

fn present(agent: &Agent, hold: Option<&Hold>) -> Vec<StateChange> {
    let views = agent.publications().into_iter();
    let changes = views.map(|view| StateChange::Publication { publication: Box::new(view) });
    changes.filter(|change| hold.is_none_or(|hold| hold.concerns(change))).collect()
}

fn lines(source: Source) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    stream::unfold(source, |mut source| async {
        let line = source.next().await?;
        Some((Ok(line), source))
    })
}

impl Source {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(change) = self.present.pop() {
            return Some(line(&change));
        }
        while !self.ended {
            match tokio::time::timeout(HEARTBEAT, self.changes.recv()).await {
                Ok(Ok(change)) if self.is_wanted(&change) => {
                    self.ended = matches!(change, StateChange::Stopped { .. });
                    return Some(line(&change));
                }
                // A lagging client has lost some; states come again with the next change.
                Ok(Ok(_) | Err(RecvError::Lagged(_))) => {}
                Ok(Err(RecvError::Closed)) => self.ended = true,
                // An empty line finds out whether somebody still reads.
                Err(_) => return Some(Bytes::from_static(b"\n")),
            }
        }
        None
    }

    fn is_wanted(&self, change: &StateChange) -> bool {
        self.hold.as_ref().is_none_or(|hold| hold.concerns(change))
    }
}

fn line(change: &StateChange) -> Bytes {
    // Strings and numbers always have a JSON form.
    let mut line = serde_json::to_vec(change).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

const HEARTBEAT: Duration = Duration::from_secs(5);
