//! The edge's view of `http` publications: hostnames to flows through tunnels.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bore_control::runtime::State;
use bore_driver::OverlayStream;
use bore_policy::{DecidedBy, Hostname, Visitor};
use uuid::Uuid;

use crate::edge::{DenialKind, OriginId, Origins, Outage, Route};
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
        let Some(id) = self.find(host) else { return Route::Unknown };
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

    async fn open(&self, origin: OriginId, visitor: SocketAddr) -> Result<OverlayStream, Outage> {
        let steward = &self.steward;
        let publication = steward.publication(origin.0).ok_or_else(withdrawn)?;
        let route = steward.route(&publication).ok_or_else(withdrawn)?;
        let mut dial = route.dial(visitor, 0);
        // Several flows of the edge serve one visitor, so the visitor's own port is not unique.
        dial.source.set_port(0);
        steward.shard.connect(dial).await.map_err(|error| {
            steward.shared.metrics.dial_failed.inc();
            steward.states.make_due(origin.0, Instant::now());
            Outage::Down { cause: error.to_string() }
        })
    }

    fn probe(
        &self,
        host: &Hostname,
        token: &str,
    ) -> Option<impl Future<Output = Option<String>> + Send> {
        let id = self.find(host)?;
        let token = self.steward.shared.expected.take(id, token.as_bytes(), Instant::now())?;
        let steward = Arc::clone(&self.steward);
        Some(async move {
            let route = steward.route(&steward.publication(id)?)?;
            let answer =
                steward.shard.run(move |local| async move { echo(&local, &route, &token).await });
            answer.await.ok()?.ok()
        })
    }
}

impl OverlayOrigins {
    fn find(&self, host: &Hostname) -> Option<Uuid> {
        self.steward.hostnames.get(host.as_str())
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
