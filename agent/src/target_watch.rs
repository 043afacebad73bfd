//! What is known of each target: by checks, and by what became of visitors (passive health).
//!
//! | seen | counts as |
//! |---|---|
//! | a connection for a visitor, or for a check, was taken | a proof for the interval of the publication; nothing more is dialled meanwhile |
//! | a visitor's dial failed, one port, check `tcp` or `http` | the target is down |
//! | a dial failed for want of a descriptor or of memory | nothing: this machine lacks them, not the target |
//! | a visitor's dial failed, a range or check `none` | nothing: that visitor alone is refused |
//! | the program around this agent listens | the target is up: nothing is dialled |
//! | a UDP target refused a datagram | nothing but a note: the next may have a socket |

use std::sync::Arc;
use std::time::Instant;

use bore_api::model::{HealthCheck, Protocol};
use bore_api::state::TargetReport;
use bore_policy::Target;

use super::registry::Entry;
use super::shared::Shared;
use super::target_health::{Found, Listeners, Look, connect, look};
use super::targets::{DialError, Place};

/// Finds out how the target of `name` is, and tells the relay if that changed. `None` when nothing of that name is declared.
pub(crate) async fn check_target(shared: &Arc<Shared>, name: &str) -> Option<TargetReport> {
    let entry = shared.registry().entry(name)?.clone();
    let (report, is_dialled) = match find(&entry).await {
        Ok((found, is_dialled)) => (report_of(&entry, found), is_dialled),
        Err(error) if error.is_shortage() => (unchecked(&entry, &error), false),
        Err(error) => (TargetReport { ok: false, detail: error.to_string(), note: None }, false),
    };
    if is_dialled {
        note_proof(shared, name, BY_CHECK);
    }
    let result = if report.ok { Ok(()) } else { Err(report.detail.clone()) };
    shared.note_target(name, result);
    Some(report)
}

/// A visitor's connection was taken.
pub(super) fn note_visitor(shared: &Arc<Shared>, name: &str) {
    let is_proof = {
        let mut registry = shared.registry();
        let Some(entry) = registry.entry_mut(name) else { return };
        entry.seen.listener_refused = false;
        // What a service answers, a connection does not tell.
        entry.is_judged_by_visitors() && entry.health() == HealthCheck::Tcp
    };
    if is_proof {
        note_proof(shared, name, BY_VISITOR);
        shared.note_target(name, Ok(()));
    }
}

/// A visitor's dial of `place` failed.
pub(super) async fn note_failure(
    shared: &Arc<Shared>,
    name: &str,
    place: &Place,
    error: &DialError,
) {
    let is_judged = shared.registry().entry(name).is_some_and(Entry::is_judged_by_visitors);
    if !is_judged || error.is_shortage() {
        return;
    }
    let listens = matches!(super::target_health::look_at(place).await, Ok(Look::There(_)));
    if let Some(entry) = shared.registry().entry_mut(name) {
        entry.seen.listener_refused = listens;
    }
    shared.note_target(name, Err(error.to_string()));
}

/// A UDP target refused a datagram.
pub(super) fn note_refusal(shared: &Shared, name: &str) {
    if let Some(entry) = shared.registry().entry_mut(name) {
        entry.seen.refused = true;
    }
}

/// What there is, and whether a connection was opened to find out.
async fn find(entry: &Entry) -> Result<(Found, bool), DialError> {
    let (protocol, health) = (entry.declaration.protocol, entry.health());
    if entry.target == Target::InProcess {
        return listening(entry).map(|found| (found, false));
    }
    let listeners = if entry.seen.listener_refused { Listeners::Dialled } else { Listeners::Seen };
    match look(protocol, &entry.target, &health, listeners).await? {
        Look::There(found) => return Ok((found, false)),
        Look::Absent => {}
        Look::Unknown => {
            if let Some(detail) = entry.recent_proof(Instant::now()) {
                return Ok((Found { detail, note: None }, false));
            }
        }
    }
    connect(&entry.target, &health).await.map(|found| (found, true))
}

/// It is known without a look whether the program around this agent still takes visitors.
fn listening(entry: &Entry) -> Result<Found, DialError> {
    match &entry.acceptor {
        Some(acceptor) if acceptor.is_open() => {
            Ok(Found { detail: "the program around the agent listens".to_owned(), note: None })
        }
        Some(_) | None => Err(DialError::Refused { target: entry.target.to_string() }),
    }
}

fn report_of(entry: &Entry, found: Found) -> TargetReport {
    let note = match entry.declaration.protocol {
        Protocol::Udp => found.note.or_else(|| note_of_udp(entry)),
        Protocol::Tcp | Protocol::Tls | Protocol::Http => found.note,
    };
    TargetReport { ok: true, detail: found.detail, note: note.map(str::to_owned) }
}

/// Without the means to look, it is as it was found last.
fn unchecked(entry: &Entry, error: &DialError) -> TargetReport {
    let ok = entry.seen.failure.is_none();
    let detail = entry.seen.failure.clone().unwrap_or_else(|| format!("not checked: {error}"));
    TargetReport { ok, detail, note: ok.then(|| "target not checked".to_owned()) }
}

fn note_of_udp(entry: &Entry) -> Option<&'static str> {
    match (entry.seen.refused, entry.seen.answered) {
        (true, _) => Some("the target refused the last datagram"),
        (false, false) => Some("service silent"),
        (false, true) => None,
    }
}

fn note_proof(shared: &Shared, name: &str, what: &'static str) {
    if let Some(entry) = shared.registry().entry_mut(name) {
        entry.seen.proof = Some((Instant::now(), what));
    }
}

const BY_CHECK: &str = "took a connection of a check";
const BY_VISITOR: &str = "took a visitor's connection";
