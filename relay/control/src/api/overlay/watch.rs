//! The stream that an agent holds open: one JSON event a line.
//!
//! hello, publications, policy; then whatever changes, as a whole and from memory, and a heartbeat every
//! [`WATCH_HEARTBEAT`]. A reader that lags finds the present state, not the past: nothing queues.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bore_api::Code;
use bore_api::limits::WATCH_HEARTBEAT;
use bore_api::model::Node;
use bore_api::wire::WatchEvent;
use futures_util::stream::unfold;
use http::header::CONTENT_TYPE;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use uuid::Uuid;

use super::node::only_agents;
use crate::api::caller::SelfNode;
use crate::api::input::Params;
use crate::api::query::WatchParams;
use crate::control::Control;
use crate::refusal::Refusal;
use crate::session::{End, Signal};

/// Streams what concerns the calling node, one event a line. 409 (B5104) when the session is another boot id's.
#[utoipa::path(get, path = "/v1/nodes/self/watch", tag = "overlay", params(WatchParams), responses((status = 200, body = WatchEvent, content_type = "application/x-ndjson")))]
pub(in crate::api) async fn watch(
    caller: SelfNode,
    State(control): State<Control>,
    Params(params): Params<WatchParams>,
) -> Result<Response, Refusal> {
    only_agents(&caller.0)?;
    let draining = control.core().is_draining();
    let signals = control.directory().sessions().open(caller.0.id, params.boot, draining)?;
    let stream =
        unfold(Some(Watch::new(control, &caller.0, params.boot, signals)), |watch| async {
            let mut watch = watch?;
            let lines = watch.next().await?;
            let rest = (!watch.ended).then_some(watch);
            Some((Ok::<_, Infallible>(lines), rest))
        });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(stream)).into_response())
}

struct Watch {
    control: Control,
    node: Uuid,
    network: Uuid,
    boot: Uuid,
    signals: Receiver<Signal>,
    /// What the agent was told; `None` before the hello.
    told: Option<Signal>,
    heartbeat: Interval,
    ended: bool,
}

impl Drop for Watch {
    /// A stream that we did not end was left by its agent. With the runtime gone there is nobody to tell.
    fn drop(&mut self) {
        if !self.ended && tokio::runtime::Handle::try_current().is_ok() {
            self.control.directory().sessions().left(
                self.node,
                self.boot,
                std::time::Instant::now(),
            );
            self.control.doors().visits.agent_left(self.node);
        }
    }
}

impl Watch {
    fn new(control: Control, node: &Node, boot: Uuid, signals: Receiver<Signal>) -> Self {
        let mut heartbeat = interval_at(Instant::now() + WATCH_HEARTBEAT, WATCH_HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            control,
            node: node.id,
            network: node.network,
            boot,
            signals,
            told: None,
            heartbeat,
            ended: false,
        }
    }

    /// The next lines; `None` when the node is gone.
    async fn next(&mut self) -> Option<String> {
        if self.told.is_none() {
            let signal = *self.signals.borrow_and_update();
            return Some(self.hello(signal));
        }
        loop {
            tokio::select! {
                biased;
                changed = self.signals.changed() => {
                    changed.ok()?;
                    let signal = *self.signals.borrow_and_update();
                    let lines = self.news(signal);
                    if self.ended || !lines.is_empty() {
                        return Some(lines);
                    }
                }
                _ = self.heartbeat.tick() => return Some(line(&WatchEvent::Heartbeat)),
            }
        }
    }

    fn hello(&mut self, signal: Signal) -> String {
        let hello = line(&WatchEvent::Hello { relay: self.control.core().relay_info() });
        self.told = Some(Signal { draining: false, ..signal });
        let lines = [hello, self.publications(), self.policy(), self.news(signal)];
        lines.concat()
    }

    fn news(&mut self, signal: Signal) -> String {
        let told = self.told.replace(signal).unwrap_or_default();
        let mut lines = String::new();
        if signal.publications != told.publications {
            lines += &self.publications();
        }
        if signal.policy != told.policy {
            lines += &self.policy();
        }
        if signal.draining && !told.draining {
            lines += &line(&WatchEvent::Draining);
        }
        if signal.end == Some(End::Replaced) {
            lines += &line(&WatchEvent::Replaced);
        }
        self.ended = signal.end.is_some();
        lines
    }

    fn publications(&self) -> String {
        let publications = self.control.publications().of_node(self.network, self.node);
        // The directory is let go of before the lines are written: there may be many.
        let displaced = self.control.directory().read().displaced(self.node);
        line(&WatchEvent::Publications { publications, displaced })
    }

    fn policy(&self) -> String {
        let revision =
            self.control.directory().policy(self.network).map(|compiled| compiled.revision);
        revision.map(|revision| line(&WatchEvent::Policy { revision })).unwrap_or_default()
    }
}

fn line(event: &WatchEvent) -> String {
    match serde_json::to_string(event) {
        Ok(json) => json + "\n",
        Err(error) => {
            let code = Code::STORE_UNAVAILABLE.as_str();
            tracing::error!(code, %error, "an event cannot be written");
            String::new()
        }
    }
}
