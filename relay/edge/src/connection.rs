//! One visitor connection from its first byte to its last: hyper over the guarded stream, then, if
//! an upgrade was granted, a splice.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::access::Observer;
use super::counters::EdgeCounters;
use super::door::{Arrival, Secured};
use super::guard::Guard;
use super::ledger::Ledger;
use super::lengths::Versions;
use super::limits::{HEAD_BYTES_MAX, HEADERS_MAX};
use super::origin_stream::OddLines;
use super::origins::Origins;
use super::rendezvous::Rendezvous;
use super::request_body::Inbound;
use super::service::{Switched, Visit};
use super::settings::EdgeSettings;
use super::splice::splice;
use super::upstream::Kept;
use crate::tls::Tls;

/// What all connections of one listener share.
#[derive(Debug)]
pub(super) struct Shared<O> {
    pub(super) origins: Arc<O>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) settings: EdgeSettings,
    pub(super) counters: EdgeCounters,
    pub(super) tls: Arc<Tls>,
    pub(super) odd_lines: OddLines,
    pub(super) versions: Versions,
    pub(super) port: u16,
    /// Turns true when connections are to end after the request in hand.
    pub(super) draining: watch::Receiver<bool>,
}

impl<O: Origins> Shared<O> {
    /// Serves one visitor of HTTP, plain or inside TLS, until either side is done.
    pub(super) async fn run<S>(&self, stream: S, arrival: Arrival, secured: Option<Secured>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let accepted_at = arrival.accepted_at;
        let rendezvous = Rendezvous::new(accepted_at);
        let (settings, counters) = (self.settings.clone(), self.counters.clone());
        let visit = Arc::new(self.visit(rendezvous.clone(), arrival, secured));
        if let Some(ledger) = &visit.ledger {
            if let Err(error) = Box::pin(self.speak_http2(stream, &visit, ledger)).await {
                tracing::debug!(%error, "visitor connection failed");
            }
            return;
        }
        let guard = Guard::new(stream, rendezvous, settings, counters, accepted_at);
        if let Err(error) = self.speak_http(guard, &visit).await {
            tracing::debug!(%error, "visitor connection failed");
            return;
        }
        if let Err(error) = self.speak_otherwise(&visit).await {
            tracing::debug!(%error, "the visitor left before the change of protocol");
        }
    }

    fn visit(
        &self,
        rendezvous: Rendezvous,
        arrival: Arrival,
        secured: Option<Secured>,
    ) -> Visit<O> {
        let is_http2 = secured.as_ref().is_some_and(Secured::is_http2);
        Visit {
            origins: Arc::clone(&self.origins),
            observer: Arc::clone(&self.observer),
            settings: self.settings.clone(),
            counters: self.counters.clone(),
            visitor: arrival.visitor,
            ending: arrival.ending,
            port: self.port,
            rendezvous,
            ledger: is_http2.then(|| Ledger::new(arrival.accepted_at)),
            kept: Arc::new(Kept::by(is_http2)),
            tls: Arc::clone(&self.tls),
            odd_lines: self.odd_lines.clone(),
            versions: self.versions.clone(),
            secured,
            switched: Mutex::new(None),
        }
    }

    async fn speak_http<S>(
        &self,
        guard: Guard<S>,
        visit: &Arc<Visit<O>>,
    ) -> Result<(), hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let service = service_fn(|request: Request<Incoming>| {
            let visit = Arc::clone(visit);
            async move { Ok::<_, Infallible>(visit.handle(request.map(Inbound::Http1)).await) }
        });
        // Deadlines are the guard's, so hyper gets no timer.
        let connection = Builder::new()
            .max_headers(HEADERS_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .header_read_timeout(None)
            .preserve_header_case(true)
            .serve_connection(TokioIo::new(guard), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let mut draining = self.draining.clone();
        tokio::select! {
            ended = connection.as_mut() => return ended,
            _ = draining.wait_for(|draining| *draining) => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    }

    async fn speak_otherwise(&self, visit: &Visit<O>) -> Result<(), hyper::Error> {
        let Some(Switched { visitor, origin, ending, access }) = visit.take_switched() else {
            return Ok(());
        };
        let Some(mut access) = access else { return Ok(()) };
        let (visitor, origin) = (TokioIo::new(visitor.await?), TokioIo::new(origin));
        let (ends, quiet_max) = ([&visit.ending, &ending], self.settings.half_closed_max);
        let end = splice(visitor, origin, ends, access.transferred(), quiet_max).await;
        access.end(end);
        Ok(())
    }
}
