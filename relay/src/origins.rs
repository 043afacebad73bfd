//! The front door's view of publications by name: hostnames to flows through tunnels, for `http` requests and for `tls` connections that
//! are passed through.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bore_api::model::{Protocol, Publication};
use bore_api::state::StepName;
use bore_driver::{Ending, OverlayStream, pipe_opening};
use bore_edge::tls::TlsMinimum;
use bore_edge::{DenialKind, OriginId, Origins, Outage, Route, RouteRequest, Unopened};
use bore_netstack::{ConnectError, TcpFlow};
use bore_policy::{AuthorityHost, DecidedBy, Hostname};
use uuid::Uuid;

use crate::flows::Carrier;
use crate::ingress::{Refusal, Shared};
use crate::publications::{Entry, Publications, Service};
use crate::tunnels::Tunnels;

/// Answers the edge from the table of publications.
#[derive(Debug)]
pub(crate) struct OverlayOrigins {
    pub(crate) publications: Arc<Publications>,
    pub(crate) tunnels: Arc<Tunnels>,
    pub(crate) shared: Arc<Shared>,
}

impl Origins for OverlayOrigins {
    type Stream = OverlayStream;

    fn route(&self, request: &RouteRequest<'_>) -> Route {
        self.decide(self.find_web(request.host), request.visitor)
    }

    fn passthrough(&self, sni: &Hostname, visitor: SocketAddr) -> Route {
        self.decide(self.find(sni, Protocol::Tls), visitor)
    }

    fn tls_minimum(&self, host: &Hostname) -> Option<TlsMinimum> {
        self.find(host, Protocol::Http)?.tls_minimum
    }

    async fn open(&self, origin: OriginId, visitor: SocketAddr) -> Result<OverlayStream, Unopened> {
        let entry = self.publications.get(origin.0).ok_or(Outage::Offline)?;
        let is_tls = entry.publication.protocol == Protocol::Tls;
        let carrier = if is_tls { Carrier::Tls } else { Carrier::Http };
        self.open_flow(&entry.publication, carrier, visitor).await
    }

    fn note_lost_line(&self, origin: OriginId, text: String) {
        if let Some(entry) = self.publications.get(origin.0)
            && entry.evidence.note_loss(StepName::Target, text, Instant::now())
        {
            self.shared.gate.directory.notify_node(entry.publication.node);
        }
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
        self.expected_probe(&*self.find_web(host)?, name, token)
    }

    fn passthrough_probe(
        &self,
        sni: &Hostname,
        token: &str,
    ) -> Option<impl Future<Output = Option<String>> + Send + 'static> {
        self.expected_probe(&*self.find(sni, Protocol::Tls)?, Some(sni), token)
    }
}

impl OverlayOrigins {
    /// What a visitor gets who comes to a publication.
    fn decide(&self, found: Option<Arc<Entry>>, visitor: SocketAddr) -> Route {
        let Some(entry) = found else { return Route::Unknown };
        if let Err(by) = self.shared.gate.decide(entry.id(), visitor.ip()) {
            let kind = kind_of(&by);
            self.shared.note_refusal(entry.id(), visitor, &Refusal::Denied(by));
            return Route::Denied { by: kind };
        }
        match entry.evidence.service() {
            Service::Offline => Route::Unavailable(Outage::Offline),
            Service::Down => Route::Unavailable(Outage::Down),
            Service::Up => Route::To(OriginId(entry.id()), Arc::clone(&entry.upstream)),
        }
    }

    /// Takes the token of a visit that is expected at a publication, and carries it to the agent; `None` for one that is not.
    fn expected_probe(
        &self,
        entry: &Entry,
        hostname: Option<&Hostname>,
        token: &str,
    ) -> Option<impl Future<Output = Option<String>> + Send + 'static + use<>> {
        let hostname = hostname.map(ToString::to_string);
        let token = self.shared.expected.take(entry.id(), token.as_bytes(), Instant::now())?;
        let route = self.tunnels.route(&entry.publication);
        let (shared, shard) = (Arc::clone(&self.shared), self.tunnels.shard.clone());
        Some(async move {
            let route = route?;
            shared.metrics.probes_taken.inc();
            let asking = token.clone();
            let asked = shard.run(move |local| async move {
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
        let publication = served.id;
        let route = self.tunnels.route(served).ok_or(Outage::Offline)?;
        let mut dial = route.dial(visitor, 0);
        // Several flows through the shared ports serve one visitor, so the visitor's own port is not unique.
        dial.source.set_port(0);
        let refused = |refusal: Refusal| {
            self.shared.note_refusal(publication, visitor, &refusal);
            unopened(&refusal)
        };
        let flow = self.shared.list_flow(carrier, publication, visitor).map_err(refused)?;
        if self.publications.get(publication).is_none() {
            return Err(Outage::Offline.into());
        }
        self.shared.admit(&flow).map_err(refused)?;
        let [noting, cutting] = [&self.shared; 2].map(Arc::clone);
        let note = move |opened| note_flow(&noting, publication, carrier, opened);
        let calling = self.tunnels.shard.run(move |local| async move {
            // What the visitor sent follows at once: with the call, where the agent takes it.
            let connect = local.call(&dial).inspect_err(|error| note(Err(*error)))?;
            let meter = Arc::clone(&flow.meter);
            let cut =
                async move |carried: Option<&TcpFlow>| cutting.until_cut(&flow, carried).await;
            Ok(pipe_opening(connect, meter, cut, note))
        });
        let called = calling.await.unwrap_or(Err(ConnectError::PeerGone));
        called.map_err(|error| {
            tracing::debug!(%error, %publication, "no flow to a service");
            Outage::Down.into()
        })
    }

    fn find_web(&self, host: &AuthorityHost) -> Option<Arc<Entry>> {
        match host {
            AuthorityHost::Name(name) => self.find(name, Protocol::Http),
            AuthorityHost::Address(address) => self.publications.find_address(*address),
        }
    }

    fn find(&self, host: &Hostname, protocol: Protocol) -> Option<Arc<Entry>> {
        self.publications.find(host).filter(|entry| entry.publication.protocol == protocol)
    }
}

/// Counts how a flow to a service began.
fn note_flow(
    shared: &Shared,
    publication: Uuid,
    carrier: Carrier,
    opened: Result<(), ConnectError>,
) {
    let metrics = &shared.metrics;
    shared.note_dial(publication, &opened);
    match opened {
        Ok(()) if carrier == Carrier::Tls => drop(metrics.tls_flows_opened.inc()),
        Ok(()) => drop(metrics.http_flows_opened.inc()),
        // Nobody asks any more.
        Err(ConnectError::Abandoned) => {}
        Err(_) => drop(metrics.dials_failed.inc()),
    }
}

fn unopened(refusal: &Refusal) -> Unopened {
    match refusal {
        Refusal::Denied(by) => Unopened::Denied { by: kind_of(by) },
        Refusal::Full(_) => Unopened::Full,
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
