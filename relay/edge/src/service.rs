//! What happens to one request: host, decision, origin, answer.
//!
//! Invariant: the host is read once, and decision and route come from one call with that value; no
//! byte of the request leaves before it.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bore_driver::Ending;
use bore_netstack::ConnectError;
use bore_policy::AuthorityHost;
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderMap, HeaderValue,
    STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use tokio::time::timeout;

use super::access::{Access, Observer, Outcome};
use super::body::{EdgeBody, Exchange};
use super::counters::EdgeCounters;
use super::door::Secured;
use super::headers::{
    Statement, X_REQUEST_ID, clean_request, clean_response, expects_continue, idle_max,
    set_upgrade, upgrade_protocol,
};
use super::host;
use super::interim::Interim;
use super::ledger::Ledger;
use super::lengths::{Versions, state_length};
use super::limits::HEADERS_MAX;
use super::origin_stream::OddLines;
use super::origins::{
    Credentials, OriginId, Origins, Route, RouteRequest, UpstreamConfig, UpstreamProtocol,
};
use super::pages::{Format, Notice};
use super::renamed::Renamed;
use super::rendezvous::{Beyond, Ended, Rendezvous};
use super::request_body::{Coming, Grant, Inbound, RequestBody, Upload};
use super::settings::EdgeSettings;
use super::target;
use super::upstream::{Kept, SendFailure, Upstream};
use crate::tls::Tls;

/// One visitor connection, as its requests see it.
#[derive(Debug)]
pub(super) struct Visit<O> {
    pub(super) origins: Arc<O>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) settings: EdgeSettings,
    pub(super) counters: EdgeCounters,
    pub(super) visitor: SocketAddr,
    /// How the connection ends.
    pub(super) ending: Ending,
    pub(super) port: u16,
    pub(super) rendezvous: Rendezvous,
    /// Where requests share the connection (HTTP/2).
    pub(super) ledger: Option<Ledger>,
    pub(super) kept: Arc<Kept>,
    pub(super) tls: Arc<Tls>,
    pub(super) odd_lines: OddLines,
    pub(super) versions: Versions,
    /// What TLS has settled, where there is TLS.
    pub(super) secured: Option<Secured>,
    pub(super) switched: Mutex<Option<Switched>>,
}

/// A connection that leaves HTTP once its 101 has been written.
#[derive(Debug)]
pub(super) struct Switched {
    pub(super) visitor: OnUpgrade,
    pub(super) origin: Upgraded,
    /// How the origin's connection ends.
    pub(super) ending: Ending,
    /// The record of the request that was granted this; there as soon as the 101 is given to be sent.
    pub(super) access: Option<Access>,
}

/// An answer, and what it means for the request.
pub(super) type Answer = (Outcome, Response<EdgeBody>);

/// A request on its way to its origin.
struct Passage {
    origin: OriginId,
    request: Request<RequestBody>,
    upgrade: Option<OnUpgrade>,
    renamed: Option<Renamed>,
    is_http2: bool,
}

impl<O: Origins> Visit<O> {
    /// Answers one request; never fails, because every failure is an answer.
    pub(super) async fn handle(&self, request: Request<Inbound>) -> Response<EdgeBody> {
        let format = Format::accepted(request.headers());
        let asks_upgrade = request.headers().contains_key(UPGRADE);
        let has_body = !hyper::body::Body::is_end_stream(request.body());
        let is_head = *request.method() == Method::HEAD;
        let (parts, body) = request.into_parts();
        let account = self.ledger.as_ref().map(|ledger| ledger.open(&parts));
        let body = self.body(&parts.headers, body);
        let upload = body.upload();
        let mut access = Access::of_request(&self.observer, self.visitor, &parts, upload);
        let (outcome, mut response) = match self.answer(parts, body, &mut access).await {
            Ok(answer) => answer,
            Err(notice) => (notice.outcome(), self.page(&notice, format, has_body)),
        };
        access.answer(outcome, response.status());
        self.demand_https(response.headers_mut());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.hand_over(access);
            return response;
        }
        let mut response = response.map(|body| body.recorded(access));
        if account.is_some() {
            // Nothing in HTTP/2 speaks of the connection.
            response.headers_mut().remove(CONNECTION);
            return response.map(|body| body.on(account, is_head));
        }
        if asks_upgrade {
            self.rendezvous.decide(Beyond::Sealed);
        }
        if asks_upgrade || self.rendezvous.is_closed() {
            close_after(response.headers_mut());
        }
        response
    }

    /// The record of a request that was granted an upgrade ends with the connection.
    fn hand_over(&self, access: Access) {
        let mut switched = self.switched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(switched) = switched.as_mut() {
            switched.access = Some(access);
        }
    }

    /// Takes the connection that has left HTTP, if it has.
    pub(super) fn take_switched(&self) -> Option<Switched> {
        self.switched.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Where the operator wants it, and the origin has not said how itself.
    fn demand_https(&self, headers: &mut HeaderMap) {
        let seconds = self.settings.hsts_seconds.filter(|_| self.secured.is_some());
        let value = seconds.map(|seconds| HeaderValue::try_from(format!("max-age={seconds}")));
        if let Some(Ok(value)) = value {
            headers.entry(STRICT_TRANSPORT_SECURITY).or_insert(value);
        }
    }

    async fn answer(
        &self,
        parts: Parts,
        body: RequestBody,
        access: &mut Access,
    ) -> Result<Answer, Notice> {
        check_method(&parts.method)?;
        check_target(&parts)?;
        check_fields(&parts.headers)?;
        let host = host::requested(&parts, self.settings.scheme)
            .map_err(|error| invalid(StatusCode::BAD_REQUEST, &error.to_string()))?;
        let host = &*access.record.host.insert(host);
        if let Some(answer) = self.own_answer(host, &parts.uri).await? {
            return Ok(answer);
        }
        match self.origins.route(&self.route_request(host, &parts)) {
            Route::To(origin, config) => {
                access.record.origin = Some(origin);
                let response = self.pass((origin, &config), parts, body, access).await?;
                Ok((Outcome::Answered, response))
            }
            Route::Denied { by } => Err(Notice::Denied(by)),
            Route::Unavailable(outage) => Err(Notice::Away(outage)),
            Route::Unknown => Err(self.nobody(host)),
        }
    }

    fn route_request<'r>(&self, host: &'r AuthorityHost, parts: &'r Parts) -> RouteRequest<'r> {
        RouteRequest {
            host,
            visitor: self.visitor,
            scheme: self.settings.scheme,
            method: &parts.method,
            uri: &parts.uri,
            credentials: Credentials::of(&parts.headers),
        }
    }

    async fn pass(
        &self,
        (origin, config): (OriginId, &UpstreamConfig),
        parts: Parts,
        body: RequestBody,
        access: &mut Access,
    ) -> Result<Response<EdgeBody>, Notice> {
        let is_http2 = speaks_http2(config.protocol, &parts);
        // An answer without a length ends with its connection (RFC 9112 §6.3), so that only a reset tells that it broke off.
        let broken = (parts.version == Version::HTTP_10).then(|| self.ending.clone());
        let body = if is_http2 { body } else { self.measured(origin, &parts, body).await? };
        let passage = self.prepare((origin, config, is_http2), parts, body)?;
        let id = passage.request.headers().get(X_REQUEST_ID).cloned();
        access.identify(id.clone());
        let upload = passage.request.body().upload();
        let way = (passage.origin, passage.is_http2);
        let (mut upstream, response) = self.exchange(way, passage.request, &upload).await?;
        self.versions.learn(origin, response.version());
        if let Some(idle_max) = idle_max(response.headers()) {
            upstream.announce(idle_max);
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(passage.upgrade, response, upstream.ending()).await;
        }
        let kept = Arc::clone(&self.kept);
        let exchange = Exchange { upstream: Some(upstream), upload, kept, broken };
        let mut response = self.relay(response, exchange);
        if let Some(renamed) = passage.renamed {
            renamed.restore(response.headers_mut());
        }
        if let Some(id) = id {
            // One that the service chose goes before.
            response.headers_mut().entry(X_REQUEST_ID).or_insert(id);
        }
        Ok(response)
    }

    /// Makes the request that the origin gets.
    fn prepare(
        &self,
        (origin, config, is_http2): (OriginId, &UpstreamConfig, bool),
        mut parts: Parts,
        body: RequestBody,
    ) -> Result<Passage, Notice> {
        let (body, grant) = expected(&parts, body, is_http2);
        let may_upgrade = parts.version == Version::HTTP_11 && !is_http2;
        let protocol = upgrade_protocol(&parts.headers).filter(|_| may_upgrade);
        let upgrade = parts.extensions.remove::<OnUpgrade>().filter(|_| protocol.is_some());
        let interim = parts.extensions.remove::<Interim>();
        let statement =
            Statement { visitor: self.visitor, scheme: self.settings.scheme, port: self.port };
        let is_chunked = match parts.version {
            Version::HTTP_2 => !parts.headers.contains_key(CONTENT_LENGTH),
            _ => parts.headers.contains_key(TRANSFER_ENCODING),
        };
        if parts.version == Version::HTTP_2 {
            speak_as_http_11(&mut parts)?;
        }
        clean_request(&mut parts.headers, statement);
        let scheme = self.settings.scheme;
        let renamed =
            config.host.clone().map(|host| Renamed::set_host(&mut parts.headers, host, scheme));
        if let Some(protocol) = protocol {
            set_upgrade(&mut parts.headers, protocol);
        }
        if is_chunked && !body.is_empty() && !body.is_measured() && !is_http2 {
            parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if !is_http2 {
            state_length(&mut parts, &body);
        }
        let mut request = Request::new(body);
        // Among them how hyper found the names of fields spelled, for origins that look.
        *request.extensions_mut() = parts.extensions;
        if grant.is_some() {
            parts.headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
        }
        hear_interim(&mut request, grant, interim);
        *request.method_mut() = parts.method;
        if is_http2 {
            *request.uri_mut() = absolute_form(parts.uri, &mut parts.headers)?;
        } else {
            *request.uri_mut() = origin_form(parts.uri)?;
        }
        *request.headers_mut() = parts.headers;
        Ok(Passage { origin, request, upgrade, renamed, is_http2 })
    }

    fn body(&self, headers: &HeaderMap, inbound: Inbound) -> RequestBody {
        let body = RequestBody::new(inbound);
        let Some(ledger) = &self.ledger else { return body };
        let coming = if is_grpc(headers) {
            Coming::Calls
        } else if headers.contains_key(CONTENT_LENGTH) {
            Coming::Declared
        } else {
            Coming::Endless
        };
        body.paced(ledger.clone(), self.settings.progress_window, coming)
    }

    /// Sends the request on the kept connection, else on a fresh one. It is sent twice only when
    /// the kept connection had closed: if not a byte of it left, or if it may be repeated and the
    /// origin had not begun to answer.
    async fn exchange(
        &self,
        (origin, is_http2): (OriginId, bool),
        request: Request<RequestBody>,
        upload: &Upload,
    ) -> Result<(Upstream, Response<Incoming>), Notice> {
        let mut request = request;
        let is_repeatable = is_repeatable(&request);
        if let Some(mut kept) = self.kept.take((origin, is_http2), is_repeatable) {
            let repeat = is_repeatable.then(|| copy(&request));
            match self.send(&mut kept, request, upload).await? {
                Ok(response) => return Ok((kept, response)),
                Err(failure) => request = self.again(failure, repeat, upload)?,
            }
        }
        let mut fresh = self.open(origin, is_http2).await?;
        match self.send(&mut fresh, request, upload).await? {
            Ok(response) => Ok((fresh, response)),
            Err(failure) => Err(self.failed(&failure, upload)),
        }
    }

    fn again(
        &self,
        failure: SendFailure,
        repeat: Option<Request<RequestBody>>,
        upload: &Upload,
    ) -> Result<Request<RequestBody>, Notice> {
        let notice = self.failed(&failure, upload);
        let repeat = repeat.filter(|_| failure.silent);
        let request = failure.unsent.or(repeat).ok_or(notice)?;
        self.counters.retried.inc();
        Ok(request)
    }

    async fn open(&self, origin: OriginId, is_http2: bool) -> Result<Upstream, Notice> {
        let opening = timeout(self.settings.open_max, self.origins.open(origin, self.visitor));
        let opened = opening.await.map_err(|_| down("No connection to the service in time."))?;
        let stream = opened.map_err(Notice::from)?;
        self.counters.origins_opened.inc();
        let ending = O::ending(&stream);
        Upstream::start(origin, (stream, ending), is_http2, &self.odd_lines)
            .await
            .map_err(|_| down("The service closed the connection."))
    }

    /// The time for a response begins when the visitor's body is complete, or when the origin stops taking it: the visitor's pace is
    /// watched elsewhere.
    async fn send(
        &self,
        upstream: &mut Upstream,
        request: Request<RequestBody>,
        upload: &Upload,
    ) -> Result<Result<Response<Incoming>, SendFailure>, Notice> {
        let mut sending = std::pin::pin!(upstream.send(request));
        loop {
            let taken = upload.taken();
            match timeout(self.settings.response_max, sending.as_mut()).await {
                Ok(sent) => return Ok(sent),
                Err(_) if upload.taken() == taken && !upload.is_awaited() => {
                    return Err(Notice::Late);
                }
                Err(_) => {}
            }
        }
    }

    /// A visitor whose body broke off is told so; else the origin is at fault.
    fn failed(&self, failure: &SendFailure, upload: &Upload) -> Notice {
        tracing::debug!(error = %failure.cause, "origin gave no response");
        if let Some(error) = unopened(&failure.cause) {
            return down(&error.to_string());
        }
        if upload.is_broken() || upload.is_slow() || self.rendezvous.ended().is_some() {
            return self.broken(upload);
        }
        if failure.silent {
            return down("The service closed the connection without an answer.");
        }
        let cause = &failure.cause;
        down(&format!("The service sent an answer that is not HTTP: {cause}."))
    }

    /// What a visitor is told whose body did not come to its end.
    pub(super) fn broken(&self, upload: &Upload) -> Notice {
        let ended = if upload.is_slow() { Some(Ended::Expired) } else { self.rendezvous.ended() };
        match ended {
            Some(Ended::Malformed(_)) => invalid(StatusCode::BAD_REQUEST, "The body is malformed."),
            Some(Ended::Expired) => {
                invalid(StatusCode::REQUEST_TIMEOUT, "The body came too slowly.")
            }
            None => invalid(StatusCode::BAD_REQUEST, "The body broke off."),
        }
    }

    /// Passes the origin's response on while its body is still coming.
    fn relay(&self, response: Response<Incoming>, exchange: Exchange) -> Response<EdgeBody> {
        let (mut parts, body) = response.into_parts();
        parts.version = Version::HTTP_11;
        clean_response(&mut parts.headers);
        exchange.upload.answer();
        self.rendezvous.answer();
        if !exchange.upload.is_complete() {
            close_after(&mut parts.headers);
        }
        Response::from_parts(parts, EdgeBody::origin(body, exchange, self.rendezvous.clone()))
    }

    /// Grants what the origin has granted, if the visitor had asked.
    async fn switch(
        &self,
        visitor: Option<OnUpgrade>,
        response: Response<Incoming>,
        ending: Ending,
    ) -> Result<Response<EdgeBody>, Notice> {
        let protocol = response.headers().get(UPGRADE).cloned();
        let (Some(visitor), Some(protocol)) = (visitor, protocol) else {
            return Err(down("The service changed the protocol unasked."));
        };
        let (mut parts, body) = response.into_parts();
        clean_response(&mut parts.headers);
        set_upgrade(&mut parts.headers, protocol);
        let response = Response::from_parts(parts.clone(), body);
        let origin = hyper::upgrade::on(response)
            .await
            .map_err(|_| down("The service closed the connection while changing the protocol."))?;
        *self.switched.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Switched { visitor, origin, ending, access: None });
        self.counters.upgraded.inc();
        self.rendezvous.decide(Beyond::Open);
        parts.extensions.remove::<OnUpgrade>();
        parts.version = Version::HTTP_11;
        Ok(Response::from_parts(parts, EdgeBody::own(Bytes::new(), self.rendezvous.clone())))
    }

    fn page(&self, notice: &Notice, format: Format, has_body: bool) -> Response<EdgeBody> {
        let mut response = notice.respond(format);
        if has_body || notice.outcome() == Outcome::Invalid {
            close_after(response.headers_mut());
        }
        response.map(|bytes| EdgeBody::own(bytes, self.rendezvous.clone()))
    }
}

/// `CONNECT` is for forward proxies, `TRACE` shows an origin's view to scripts.
fn check_method(method: &Method) -> Result<(), Notice> {
    if *method == Method::CONNECT || *method == Method::TRACE {
        return Err(invalid(StatusCode::METHOD_NOT_ALLOWED, "This method is not served."));
    }
    Ok(())
}

/// `*` asks about the server (RFC 9110 §9.3.7). In HTTP/1 the guard has refused it elsewhere.
fn check_target(parts: &Parts) -> Result<(), Notice> {
    if parts.uri.path() == "*" && parts.method != Method::OPTIONS {
        return Err(invalid(StatusCode::BAD_REQUEST, "The target `*` is for OPTIONS."));
    }
    Ok(())
}

/// hyper's own limit covers HTTP/1 only. A cookie in pieces, as browsers send it in HTTP/2, is one field. A second length could be read by
/// somebody.
fn check_fields(headers: &HeaderMap) -> Result<(), Notice> {
    let pieces = headers.get_all(COOKIE).iter().count();
    if headers.len() - pieces.saturating_sub(1) > HEADERS_MAX {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(invalid(status, "The request has too many header fields."));
    }
    // In HTTP/1 the guard has refused them.
    if headers.get_all(CONTENT_LENGTH).iter().count() > 1 {
        return Err(invalid(StatusCode::BAD_REQUEST, "The request has more than one length."));
    }
    Ok(())
}

/// A visitor that waits to be told to go on waits for the origin's word (RFC 9110 §10.1.1), which only HTTP/1.1 brings here.
fn expected(parts: &Parts, body: RequestBody, is_http2: bool) -> (RequestBody, Option<Grant>) {
    let waits = parts.version != Version::HTTP_10 && expects_continue(&parts.headers);
    if !waits || is_http2 || body.is_empty() || body.has_begun() {
        return (body, None);
    }
    let (body, grant) = body.expected();
    (body, Some(grant))
}

/// What the origin says before its answer.
fn hear_interim(
    request: &mut Request<RequestBody>,
    grant: Option<Grant>,
    interim: Option<Interim>,
) {
    if grant.is_none() && interim.is_none() {
        return;
    }
    hyper::ext::on_informational(request, move |answer| {
        match (answer.status(), &grant, &interim) {
            (StatusCode::CONTINUE, Some(grant), _) => grant.give(),
            (StatusCode::CONTINUE, None, _) | (_, _, None) => {}
            (status, _, Some(interim)) => interim.pass(status, answer.headers()),
        }
    });
}

/// HTTP/2 names the host in the target, and may cut a cookie into pieces (RFC 9113 §8.2.3).
fn speak_as_http_11(parts: &mut Parts) -> Result<(), Notice> {
    if let Some(authority) = parts.uri.authority() {
        let host = HeaderValue::from_str(authority.as_str());
        let unreadable = |_| invalid(StatusCode::BAD_REQUEST, "The authority names no host.");
        parts.headers.insert(HOST, host.map_err(unreadable)?);
    }
    let cookies: Vec<&[u8]> =
        parts.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(cookie) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        parts.headers.insert(COOKIE, cookie);
    }
    Ok(())
}

/// Returns true if a request may be sent twice (RFC 9110 §9.2.2) and can be: it has no body.
fn is_repeatable(request: &Request<RequestBody>) -> bool {
    request.method().is_idempotent() && request.body().is_empty()
}

/// The same request again, without its body.
fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}

fn path_and_query(uri: Uri) -> PathAndQuery {
    let path = uri.into_parts().path_and_query;
    path.map_or_else(|| PathAndQuery::from_static("/"), target::encoded)
}

/// The path and query as the visitor wrote them, or `*`.
fn origin_form(uri: Uri) -> Result<Uri, Notice> {
    Uri::builder()
        .path_and_query(path_and_query(uri))
        .build()
        .map_err(|_| invalid(StatusCode::BAD_REQUEST, "The request target has no path."))
}

/// HTTP/2 names the host in the target, and nothing in it speaks of the connection.
fn absolute_form(uri: Uri, headers: &mut HeaderMap) -> Result<Uri, Notice> {
    headers.remove(CONNECTION);
    let host = headers.remove(HOST);
    let authority = host.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
    Uri::builder()
        .scheme("http")
        .authority(authority)
        .path_and_query(path_and_query(uri))
        .build()
        .map_err(|_| invalid(StatusCode::BAD_REQUEST, "The request target has no path."))
}

fn speaks_http2(protocol: UpstreamProtocol, parts: &Parts) -> bool {
    match protocol {
        UpstreamProtocol::Plain => parts.version == Version::HTTP_2 && is_grpc(&parts.headers),
        UpstreamProtocol::H2c => true,
    }
}

/// gRPC itself; what browsers speak in its place goes over HTTP/1.1.
fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let rest = kind.and_then(|kind| kind.strip_prefix("application/grpc"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// Why the flow could not be opened, when that is what failed: requests are sent before it is known.
fn unopened(error: &hyper::Error) -> Option<ConnectError> {
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<ConnectError>()) {
            return Some(*error);
        }
        cause = error.source();
    }
    None
}

fn close_after(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}

pub(super) fn down(seen: &str) -> Notice {
    Notice::Faulty(seen.to_owned())
}

pub(super) fn invalid(status: StatusCode, reason: &str) -> Notice {
    Notice::Invalid { status, reason: reason.to_owned() }
}
