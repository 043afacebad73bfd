//! The front door's view of publications by name: hostnames to flows through tunnels, for `http` requests and for `tls` connections that
//! are passed through.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bore_api::model::{Protocol, Publication, TlsVersion};
use bore_api::state::State;
use bore_driver::{Ending, OverlayStream, pipe_opening};
use bore_netstack::ConnectError;
use bore_policy::{AuthorityHost, DecidedBy, Hostname, TargetScheme, Visitor};
use uuid::Uuid;

use crate::clock::now_micros;
use crate::edge::{DenialKind, Manner, OriginId, Origins, Outage, Route, Speech, Unopened};
use crate::flows::Carrier;
use crate::publications::reconciler::Steward;
use crate::tls::TlsMinimum;

/// Answers the edge from the steward's tables.
#[derive(Debug)]
pub(crate) struct OverlayOrigins {
    pub(crate) steward: Arc<Steward>,
}

impl Origins for OverlayOrigins {
    type Stream = OverlayStream;

    fn route(&self, host: &AuthorityHost, visitor: SocketAddr) -> Route {
        self.decide(self.find_web(host), visitor)
    }

    fn passthrough(&self, sni: &Hostname, visitor: SocketAddr) -> Route {
        self.decide(self.find(sni, Protocol::Tls), visitor)
    }

    fn manner(&self, origin: OriginId) -> Manner {
        let (scheme, web) = self.steward.web_service(origin.0).unwrap_or_default();
        let speech = match scheme {
            TargetScheme::H2c => Speech::H2c,
            // Behind TLS the agent follows what is spoken here.
            TargetScheme::Plain | TargetScheme::Https | TargetScheme::HttpsUnverified => {
                Speech::Plain
            }
        };
        Manner { speech, host: web.host_header }
    }

    fn tls_minimum(&self, host: &Hostname) -> Option<TlsMinimum> {
        let (_, web) = self.steward.web_service(self.find(host, Protocol::Http)?)?;
        web.tls_min.map(|version| match version {
            TlsVersion::Tls12 => TlsMinimum::Tls12,
            TlsVersion::Tls13 => TlsMinimum::Tls13,
        })
    }

    async fn open(&self, origin: OriginId, visitor: SocketAddr) -> Result<OverlayStream, Unopened> {
        let served = self.steward.publication(origin.0).ok_or(Outage::Offline)?;
        let is_tls = served.protocol == Protocol::Tls;
        let carrier = if is_tls { Carrier::Tls } else { Carrier::Http };
        self.open_flow(&served, carrier, visitor).await
    }

    fn note_lost_line(&self, origin: OriginId, text: String) {
        self.steward.note_lost_line(origin.0, text);
    }

    fn ending(stream: &OverlayStream) -> Ending {
        stream.ending()
    }

    fn probe(
        &self,
        host: &AuthorityHost,
        token: &str,
    ) -> Option<impl Future<Output = Option<String>> + Send> {
        let name = match host {
            AuthorityHost::Name(name) => Some(name),
            AuthorityHost::Address(_) => None,
        };
        self.expected_probe(self.find_web(host)?, name, token)
    }

    fn passthrough_probe(
        &self,
        sni: &Hostname,
        token: &str,
    ) -> Option<impl Future<Output = Option<String>> + Send + 'static> {
        self.expected_probe(self.find(sni, Protocol::Tls)?, Some(sni), token)
    }
}

impl Steward {
    fn note_flow(&self, publication: Uuid, carrier: Carrier, opened: Result<(), ConnectError>) {
        let metrics = &self.shared.metrics;
        self.shared.note_dial(publication, &opened);
        match opened {
            Ok(()) if carrier == Carrier::Tls => drop(metrics.tls_flows_opened.inc()),
            Ok(()) => drop(metrics.http_flows_opened.inc()),
            // Nobody asks any more.
            Err(ConnectError::Abandoned) => {}
            Err(_) => drop(metrics.dials_failed.inc()),
        }
    }
}

impl OverlayOrigins {
    /// What a visitor gets who comes to a publication.
    fn decide(&self, found: Option<Uuid>, visitor: SocketAddr) -> Route {
        let Some(id) = found else { return Route::Unknown };
        if let Err(by) = self.admit(id, visitor) {
            return Route::Denied { by };
        }
        match self.steward.states.get(id, Instant::now()).state {
            State::Offline => Route::Unavailable(Outage::Offline),
            State::Down => Route::Unavailable(Outage::Down),
            State::Reachable | State::Live => Route::To(OriginId(id)),
            // An agent's word for what is not here.
            State::Refused => Route::Unknown,
        }
    }

    /// Takes the token of a visit that is expected at a publication, and carries it to the agent; `None` for one that is not.
    fn expected_probe(
        &self,
        id: Uuid,
        hostname: Option<&Hostname>,
        token: &str,
    ) -> Option<impl Future<Output = Option<String>> + Send + 'static> {
        let hostname = hostname.map(ToString::to_string);
        let token = self.steward.shared.expected.take(id, token.as_bytes(), Instant::now())?;
        let steward = Arc::clone(&self.steward);
        Some(async move {
            let route = steward.route(&steward.publication(id)?)?;
            steward.shared.metrics.probes_taken.inc();
            let (asking, shared) = (token.clone(), Arc::clone(&steward.shared));
            let asked = steward.shard.run(move |local| async move {
                shared.carry_visit(&local, &route, &asking, hostname.as_deref()).await
            });
            asked.await.ok()?.ok().map(|()| token)
        })
    }

    async fn open_flow(
        &self,
        served: &Publication,
        carrier: Carrier,
        visitor: SocketAddr,
    ) -> Result<OverlayStream, Unopened> {
        let (steward, publication) = (&self.steward, served.id);
        let route = steward.route(served).ok_or(Outage::Offline)?;
        let mut dial = route.dial(visitor, 0);
        // Several flows through the shared ports serve one visitor, so the visitor's own port is not unique.
        dial.source.set_port(0);
        let gate = &steward.shared.gate;
        let opened = gate.flows.open(carrier, publication, visitor, now_micros());
        let flow = opened.map_err(|limit| {
            steward.shared.metrics.refuse(limit);
            Unopened::Full
        })?;
        // Listed now: a change of rules from here on cuts it, one before is seen here.
        if steward.publication(publication).is_none() {
            return Err(Outage::Offline.into());
        }
        self.admit(publication, visitor).map_err(|by| Unopened::Denied { by })?;
        let noting = Arc::clone(steward);
        let note = move |opened| noting.note_flow(publication, carrier, opened);
        let calling = steward.shard.run(move |local| async move {
            // What the visitor sent follows at once: with the call, where the agent takes it.
            let connect = local.call(&dial).inspect_err(|error| note(Err(*error)))?;
            let meter = Arc::clone(&flow.meter);
            Ok(pipe_opening(connect, meter, async move { flow.until_cut().await }, note))
        });
        let called = calling.await.unwrap_or(Err(ConnectError::PeerGone));
        called.map_err(|error| {
            tracing::debug!(%error, %publication, "no flow to a service");
            Outage::Down.into()
        })
    }

    /// Asks the rules, and counts a refusal.
    fn admit(&self, publication: Uuid, visitor: SocketAddr) -> Result<(), DenialKind> {
        let visitor = Visitor::public(visitor.ip());
        let decision = self.steward.control.visitor_decision(publication, &visitor);
        if decision.allowed {
            return Ok(());
        }
        self.steward.shared.metrics.denied.inc();
        Err(kind_of(&decision.by))
    }

    fn find_web(&self, host: &AuthorityHost) -> Option<Uuid> {
        match host {
            AuthorityHost::Name(name) => self.find(name, Protocol::Http),
            AuthorityHost::Address(address) => self.steward.hostnames.find_address(*address),
        }
    }

    fn find(&self, host: &Hostname, protocol: Protocol) -> Option<Uuid> {
        let id = self.steward.hostnames.find(host)?;
        self.steward.carries(id, protocol).then_some(id)
    }
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
