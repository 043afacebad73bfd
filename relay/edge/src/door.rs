//! The front door of the TLS port: one look at the ClientHello decides where a connection goes.
//!
//! | the visitor | gets |
//! |---|---|
//! | speaks `bore/1` alone | closed: the carrier of datagrams is not served yet |
//! | speaks `acme-tls/1` alone | the certificate of a standing order, never anybody's service |
//! | asks for a name that is passed through, and speaks `bore-visit/TOKEN` alone, with a token that is expected there | the token, once its agent has it |
//! | asks for a name that is passed through | its origin, with every byte from the first on |
//! | asks for a name with a certificate | HTTPS |
//! | dialled an address with a certificate, or any where the relay's own has one, and asks for no name | HTTPS |
//! | anything else | an alert, and nobody's certificate |
//!
//! Invariant: nothing of a visitor's goes to an origin before [`Origins::passthrough`] has decided.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use bore_api::visit::VISIT_PROTOCOL;
use bore_driver::Ending;
use bore_policy::{AuthorityHost, Hostname};
use rustls::{AlertDescription, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::server::TlsStream;

use super::access::{Access, End, Outcome};
use super::connection::Shared;
use super::counters::{Deadline, DeadlineLabels, Door, DoorLabels, Handshake, HandshakeLabels};
use super::origins::{OriginId, Origins, Outage, Route, Unopened};
use super::pages::Notice;
use super::splice::splice;
use crate::tls::{ACME_TLS, CARRIER, Entry, H2, Hello, TlsMinimum};

/// Who has come, and when.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) visitor: SocketAddr,
    /// The address that the visitor dialled.
    pub(super) dialled: Option<IpAddr>,
    pub(super) accepted_at: Instant,
    /// How the connection ends.
    pub(super) ending: Ending,
}

/// What TLS has settled about a connection: requests for other names are misdirected.
#[derive(Debug, Clone)]
pub(super) struct Secured {
    entry: Arc<Entry>,
    is_http2: bool,
    /// What was agreed on.
    pub(super) version: TlsMinimum,
}

impl Secured {
    fn new(entry: Arc<Entry>, connection: &rustls::ServerConnection) -> Self {
        let is_http2 = connection.alpn_protocol() == Some(H2);
        let is_newest = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let version = if is_newest { TlsMinimum::Tls13 } else { TlsMinimum::Tls12 };
        Self { entry, is_http2, version }
    }

    /// Whether the certificate that was shown speaks for `host`.
    pub(super) fn covers(&self, host: &AuthorityHost) -> bool {
        match host {
            AuthorityHost::Name(name) => self.entry.speaks_for(name.as_str()),
            AuthorityHost::Address(address) => self.entry.speaks_for_address(*address),
        }
    }

    pub(super) fn is_http2(&self) -> bool {
        self.is_http2
    }
}

/// Where a connection goes.
enum Way {
    Carrier,
    Challenge(Arc<rustls::sign::CertifiedKey>),
    Visit(Visited),
    Through(OriginId, Hostname),
    Closed(Door, AlertDescription),
    /// With visitors who speak at least this, if it is particular to the name.
    Https(Arc<Entry>, Option<TlsMinimum>),
}

/// Gives the token when the agent has it.
type Visited = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

/// Why a connection came to nothing. All of it is the visitor's affair.
#[derive(Debug, thiserror::Error)]
enum DoorError {
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
    #[error("the origin could not be reached")]
    Origin,
    #[error("the connection broke")]
    Broke(#[from] io::Error),
}

impl<O: Origins> Shared<O> {
    /// Serves a connection of the TLS port.
    pub(super) async fn open_door<S>(&self, stream: S, arrival: Arrival)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let deadline = arrival.accepted_at + self.settings.head_max;
        let hello = match timeout_at(deadline, Hello::read(stream)).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(error)) => {
                tracing::debug!(%error, "no TLS from a visitor");
                return self.count_door(Door::Malformed);
            }
            Err(_) => return self.count_late(),
        };
        if let Err(error) = Box::pin(self.lead(hello, arrival)).await {
            tracing::debug!(%error, "visitor connection failed");
        }
    }

    async fn lead<S>(&self, hello: Hello<S>, arrival: Arrival) -> Result<(), DoorError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        match self.way(&hello, &arrival) {
            Way::Carrier => self.count_door(Door::Carrier),
            Way::Challenge(certificate) => {
                self.count_door(Door::Challenge);
                let config = self.tls.configs.for_challenge(certificate);
                self.shake_hands(hello, config, &arrival).await?.shutdown().await?;
            }
            Way::Visit(visited) => {
                self.count_door(Door::Visit);
                match timeout(self.settings.open_max, visited).await.ok().flatten() {
                    Some(token) => hello.answer(token.as_bytes()).await?,
                    None => hello.refuse(AlertDescription::InternalError).await?,
                }
            }
            Way::Through(origin, name) => {
                self.count_door(Door::Passthrough);
                let access = Access::of_connection(&self.observer, arrival.visitor, name, origin);
                self.pass_through(hello, origin, &arrival, access).await?;
            }
            Way::Closed(door, alert) => {
                self.count_door(door);
                hello.refuse(alert).await?;
            }
            Way::Https(entry, minimum) => {
                self.count_door(Door::Https);
                let config = self.tls.configs.for_visitor(Arc::clone(&entry.certificate), minimum);
                let stream = self.shake_hands(hello, config, &arrival).await?;
                let secured = Secured::new(entry, stream.get_ref().1);
                self.run(stream, arrival, Some(secured)).await;
            }
        }
        Ok(())
    }

    fn way<S: AsyncRead + AsyncWrite + Unpin>(&self, hello: &Hello<S>, arrival: &Arrival) -> Way {
        if hello.speaks_only(CARRIER) {
            return Way::Carrier;
        }
        let Some(name) = hello.server_name() else { return self.way_without_name(arrival) };
        let unknown = || Way::Closed(Door::UnknownName, AlertDescription::UnrecognisedName);
        if hello.speaks_only(ACME_TLS) {
            return self.tls.challenges.tls_alpn01(&name).map_or_else(unknown, Way::Challenge);
        }
        let Ok(name) = Hostname::parse_visited(&name) else { return unknown() };
        let route = self.origins.passthrough(&name, arrival.visitor);
        if let Some(visited) = self.agents_visit(hello, &name, &route) {
            return Way::Visit(visited);
        }
        match route {
            Route::To(origin, _) => Way::Through(origin, name),
            Route::Denied { .. } => Way::Closed(Door::Denied, AlertDescription::AccessDenied),
            Route::Unavailable(_) => Way::Closed(Door::Away, AlertDescription::InternalError),
            Route::Unknown => {
                let entry = self.tls.certificates.entry(name.as_str());
                let https = |entry| Way::Https(entry, self.origins.tls_minimum(&name));
                entry.map_or_else(unknown, https)
            }
        }
    }

    /// A visit of the agent that has `name`, if this is one. It passes visit rules, as a visit of any protocol does.
    fn agents_visit<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        hello: &Hello<S>,
        name: &Hostname,
        route: &Route,
    ) -> Option<Visited> {
        if !matches!(route, Route::To(..) | Route::Denied { .. }) {
            return None;
        }
        let token = hello.only_protocol_after(VISIT_PROTOCOL)?;
        let visited = self.origins.passthrough_probe(name, &token)?;
        Some(Box::pin(visited))
    }

    /// A browser that was given an address sends no name. Behind a NAT, as in most clouds, the address that it dialled is not seen here, and
    /// the relay's own is meant.
    fn way_without_name(&self, arrival: &Arrival) -> Way {
        let find = |address| self.tls.certificates.entry_for_address(address);
        let meant = arrival.dialled.into_iter().chain(self.settings.address);
        match meant.into_iter().find_map(find) {
            Some(entry) => Way::Https(entry, None),
            None => Way::Closed(Door::NoName, AlertDescription::UnrecognisedName),
        }
    }

    async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        hello: Hello<S>,
        config: Arc<rustls::ServerConfig>,
        arrival: &Arrival,
    ) -> Result<TlsStream<S>, DoorError> {
        let deadline = arrival.accepted_at + self.settings.head_max;
        let Ok(shaken) = timeout_at(deadline, hello.finish(config)).await else {
            self.count_late();
            return Err(DoorError::Handshake(io::ErrorKind::TimedOut.into()));
        };
        let kind = match &shaken {
            Ok(stream) => match stream.get_ref().1.handshake_kind() {
                Some(HandshakeKind::Resumed) => Handshake::Resumed,
                Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest) | None => {
                    Handshake::Full
                }
            },
            Err(_) => Handshake::Failed,
        };
        self.counters.handshakes.get_or_create(&HandshakeLabels { handshake: kind }).inc();
        shaken.map_err(DoorError::Handshake)
    }

    /// TLS ends behind the origin: what was read goes first, and nothing of it is ours to see.
    async fn pass_through<S>(
        &self,
        hello: Hello<S>,
        origin: OriginId,
        arrival: &Arrival,
        mut access: Access,
    ) -> Result<(), DoorError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let opening = timeout(self.settings.open_max, self.origins.open(origin, arrival.visitor));
        let opened = opening.await.unwrap_or(Err(Unopened::Away(Outage::Down)));
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(unopened) => {
                access.record.outcome = Notice::from(unopened).outcome();
                hello.refuse(AlertDescription::InternalError).await?;
                access.end(End::Complete);
                return Err(DoorError::Origin);
            }
        };
        access.record.outcome = Outcome::Answered;
        self.counters.origins_opened.inc();
        let (recorded, visitor) = hello.into_recorded();
        access.receive(recorded.len());
        let sent = async {
            stream.write_all(&recorded).await?;
            stream.flush().await
        };
        if let Err(error) = sent.await {
            access.end(End::OriginClosed);
            return Err(error.into());
        }
        drop(recorded);
        let origin_ending = O::ending(&stream);
        let ends = [&arrival.ending, &origin_ending];
        let quiet_max = self.settings.half_closed_max;
        let end = splice(visitor, stream, ends, access.transferred(), quiet_max).await;
        access.end(end);
        Ok(())
    }

    fn count_door(&self, door: Door) {
        self.counters.doors.get_or_create(&DoorLabels { door }).inc();
    }

    fn count_late(&self) {
        self.counters.expired.get_or_create(&DeadlineLabels { deadline: Deadline::Head }).inc();
    }
}
