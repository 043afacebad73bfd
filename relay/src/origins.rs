//! The edge's view of `http` publications: hostnames to flows through tunnels.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bore_control::model::Protocol;
use bore_control::runtime::State;
use bore_driver::{OverlayStream, pipe_opening};
use bore_netstack::ConnectError;
use bore_policy::{DecidedBy, Hostname, Visitor};
use uuid::Uuid;

use crate::clock::now_micros;
use crate::edge::{DenialKind, OriginId, Origins, Outage, Route};
use crate::flows::Carrier;
use crate::ingress::echo;
use crate::steward::Steward;

/// Answers the edge from the steward's tables.
#[derive(Debug)]
pub(crate) struct OverlayOrigins {
    pub(crate) steward: Arc<Steward>,
}

impl Origins for OverlayOrigins {
    type Stream = OverlayStream;

    fn route(&self, host: &Hostname, visitor: SocketAddr) -> Route {
        self.decide(host, Protocol::Http, visitor)
    }

    fn passthrough(&self, _sni: &Hostname, _visitor: SocketAddr) -> Route {
        // No protocol of the model is passed through.
        Route::Unknown
    }

    async fn open(&self, origin: OriginId, visitor: SocketAddr) -> Result<OverlayStream, Outage> {
        let steward = &self.steward;
        let publication = steward.publication(origin.0).ok_or_else(withdrawn)?;
        let route = steward.route(&publication).ok_or_else(withdrawn)?;
        let mut dial = route.dial(visitor, 0);
        // Several flows of the edge serve one visitor, so the visitor's own port is not unique.
        dial.source.set_port(0);
        let gate = &steward.shared.gate;
        let opened = gate.flows.open(Carrier::Http, origin.0, visitor, now_micros());
        let flow = opened.map_err(|_| withdrawn())?;
        // Listed now: a change of rules from here on cuts it, one before is seen here.
        if !gate.allows(origin.0, visitor.ip()) {
            return Err(withdrawn());
        }
        let noting = Arc::clone(steward);
        let note = move |opened| noting.note_http_flow(origin.0, opened);
        let calling = steward.shard.run(move |local| async move {
            // The request follows at once: with the call, where the agent takes it.
            let connect = local.call(&dial).inspect_err(|error| note(Err(*error)))?;
            let meter = Arc::clone(&flow.meter);
            Ok(pipe_opening(connect, meter, async move { flow.until_cut().await }, note))
        });
        let called = calling.await.unwrap_or(Err(ConnectError::PeerGone));
        called.map_err(|error| Outage::Down { cause: error.to_string() })
    }

    fn probe(
        &self,
        host: &Hostname,
        token: &str,
    ) -> Option<impl Future<Output = Option<String>> + Send> {
        let id = self.find(host, Protocol::Http)?;
        let token = self.steward.shared.expected.take(id, token.as_bytes(), Instant::now())?;
        let steward = Arc::clone(&self.steward);
        Some(async move {
            let route = steward.route(&steward.publication(id)?)?;
            steward.shared.metrics.probes_taken.inc();
            let asking = token.clone();
            let asked =
                steward.shard.run(move |local| async move { echo(&local, &route, &asking).await });
            asked.await.ok()?.ok().map(|()| token)
        })
    }
}

impl Steward {
    fn note_http_flow(&self, publication: Uuid, opened: Result<(), ConnectError>) {
        match opened {
            Ok(()) => {
                self.shared.metrics.http_flows_opened.inc();
            }
            // Nobody asks any more.
            Err(ConnectError::Abandoned) => {}
            Err(_) => {
                self.shared.metrics.dials_failed.inc();
                self.states.make_due(publication, Instant::now());
            }
        }
    }
}

impl OverlayOrigins {
    /// One decision for both kinds of publication that have a hostname.
    fn decide(&self, host: &Hostname, protocol: Protocol, visitor: SocketAddr) -> Route {
        let Some(id) = self.find(host, protocol) else { return Route::Unknown };
        let visitor = Visitor::public(visitor.ip());
        let decision = self.steward.control.visitor_decision(id, &visitor);
        if !decision.allowed {
            self.steward.shared.metrics.denied.inc();
            return Route::Denied { by: kind_of(&decision.by) };
        }
        let state = self.steward.states.get(id, Instant::now());
        let cause = state.cause.unwrap_or_default();
        match state.state {
            State::Offline => Route::Unavailable(Outage::Offline { cause }),
            State::Down => Route::Unavailable(Outage::Down { cause }),
            State::Reachable | State::Live => Route::To(OriginId(id)),
        }
    }

    /// Who has this hostname, if it is published by `protocol`.
    fn find(&self, host: &Hostname, protocol: Protocol) -> Option<Uuid> {
        let id = self.steward.hostnames.get(host.as_str())?;
        (self.steward.protocol_of(id) == Some(protocol)).then_some(id)
    }
}

fn withdrawn() -> Outage {
    Outage::Offline { cause: "the publication was withdrawn".to_owned() }
}

fn kind_of(by: &DecidedBy) -> DenialKind {
    match by {
        DecidedBy::Rule(_) | DecidedBy::RuleMiss(_) | DecidedBy::RuleLimit { .. } => {
            DenialKind::Rule
        }
        DecidedBy::PublicationDeny => DenialKind::DenyList,
        DecidedBy::PublicationAllow | DecidedBy::PublicationAllowMiss => DenialKind::AllowList,
        DecidedBy::Default | _ => DenialKind::Default,
    }
}
