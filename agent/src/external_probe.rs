//! The visit from outside that proves `live`: from this machine, with its own resolver, to the public address, through the relay and the
//! tunnel, back to this very agent.
//!
//! | step | holds when |
//! |---|---|
//! | `dns` | the system's resolver gives the public name an address |
//! | `port` | the public address accepts (tcp, tls, http, https), or its datagrams are answered (udp) |
//! | `certificate` | this machine trusts the certificate, and it is for that name (https) |
//! | `edge` | the relay recognises the visit and answers it with the token |
//! | `itself` | the token came in at this agent's own probe port |
//!
//! To a name whose TLS the relay passes through the token goes as the only protocol of a ClientHello (RFC 7301), which names the host too; it comes
//! back in the clear, because TLS is not the relay's there.
//!
//! Of several hostnames each is visited, one after the other, until one fails; below a wildcard, under a label that is made up.
//!
//! The relay only expects a visit for a short while and once; the service behind is not troubled.
//!
//! The relay orders the visit and the agent decides whether it is one: `order.rs` says where it may go and what it may say, `scope.rs` what
//! the names may resolve to. An order for anything else is not followed, and its report says no more than that.

mod order;
mod scope;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bore_api::Code;
use bore_api::state::{ProbeOrder, ProbeReport, PublicationState, Step, StepName};
use bore_api::visit::{VISIT_PATH, VISIT_PROTOCOL};
use bore_api::wire::PublicationView;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use uuid::Uuid;

use super::answers::bounded_text;
use super::control_client::ControlClient;
use super::error::AgentError;
use super::public_address::{PublicAddress, Scheme};
use super::shared::{Online, Shared};
use super::targets::resolve_name;
use super::tls_client::{Certificates, Inside, client_hello, secure};
use order::{KnownRelay, Place, is_token};
use scope::may_visit;

/// Visits `view` from outside and tells the relay how it went; answers the state that this proved.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    online: &Online,
    view: &PublicationView,
) -> Result<PublicationState, AgentError> {
    let (control, publication) = (&online.control, &view.publication);
    let path = format!("/v1/nodes/self/publications/{}/probe", publication.id);
    let first = expect(control, &path).await?;
    let known = known_relay(shared, online);
    let steps = match known.places(&first, publication, &view.public) {
        Ok(places) => visit_all(shared, control, view, &known, &places, first).await?,
        Err(error) => {
            shared.counters.orders_refused.add_one();
            let asked = bounded_text(first.addresses.join(" "));
            tracing::warn!(code = %Code::RELAY_DISTRUSTED, name = %publication.name, %error, ?asked, "a visit was not paid");
            vec![Step::failed(
                StepName::Dns,
                format!("{error}: the agent did not go there (B7106)"),
            )]
        }
    };
    control.send(Method::PUT, &path, &ProbeReport { steps }).await
}

/// Each token is good for one visit.
async fn expect(control: &ControlClient, path: &str) -> Result<ProbeOrder, AgentError> {
    control.send(Method::POST, path, &serde_json::json!({})).await
}

fn known_relay(shared: &Shared, online: &Online) -> KnownRelay {
    let relays = shared.identity().relays.clone();
    KnownRelay { relays, endpoint: online.relay.endpoint.ip().to_canonical(), ports: online.web }
}

/// Visits one place after the other until one fails.
async fn visit_all(
    shared: &Arc<Shared>,
    control: &ControlClient,
    view: &PublicationView,
    known: &KnownRelay,
    places: &[Place],
    first: ProbeOrder,
) -> Result<Vec<Step>, AgentError> {
    let id = view.publication.id;
    let path = format!("/v1/nodes/self/publications/{id}/probe");
    let begun = Instant::now();
    let mut walked = Walked::default();
    for (number, place) in places.iter().enumerate() {
        let order = if number == 0 { first.clone() } else { expect(control, &path).await? };
        let steps = if order.addresses != first.addresses || !is_token(&order.token) {
            vec![Step::failed(StepName::Dns, "the public addresses changed during the visit")]
        } else if begun.elapsed() > ALL_MAX {
            vec![Step::failed(
                StepName::Port,
                format!("not visited: the visit took {} s", ALL_MAX.as_secs()),
            )]
        } else {
            prove(shared, id, known, place, &order).await
        };
        if !walked.take(&place.address, steps) {
            break;
        }
    }
    Ok(walked.told(places.len()))
}

/// What the walks to several addresses amount to: that all hold, or the one that does not.
#[derive(Debug, Default)]
struct Walked {
    steps: Vec<Step>,
    failed_at: Option<String>,
}

impl Walked {
    /// Says whether they held.
    fn take(&mut self, address: &PublicAddress, steps: Vec<Step>) -> bool {
        let all_hold = steps.iter().all(|step| step.ok);
        if !all_hold {
            self.failed_at = Some(address.host.clone());
        }
        if self.steps.is_empty() || !all_hold {
            self.steps = steps;
        }
        all_hold
    }

    /// The steps, of which the one that failed names its host where there are several.
    fn told(self, places: usize) -> Vec<Step> {
        let others = places.saturating_sub(1);
        if others == 0 {
            return self.steps;
        }
        let told = |step: Step| match &self.failed_at {
            Some(host) if step.ok || step.detail.contains(host.as_str()) => step,
            Some(host) => Step { detail: format!("{host}: {}", step.detail), ..step },
            None => Step { detail: format!("{}, and so for {others} more", step.detail), ..step },
        };
        self.steps.into_iter().map(told).collect()
    }
}

async fn prove(
    shared: &Shared,
    id: Uuid,
    known: &KnownRelay,
    place: &Place,
    order: &ProbeOrder,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let Some(mut arrived) = shared.registry().expect_visit(&order.token, id) else {
        return vec![Step::failed(StepName::Itself, "too many visits are under way on this agent")];
    };
    let limit = Duration::from_millis(order.expires_in_ms).min(VISIT_MAX);
    let walk = walk(place, known.endpoint, &order.token, &mut steps);
    let walked = tokio::time::timeout(limit, walk).await;
    if walked.is_err() {
        steps.push(Step::failed(
            next_of(place.address.scheme, &steps),
            format!("no answer within {} ms", limit.as_millis()),
        ));
    }
    shared.registry().forget_visit(&order.token);
    if steps.iter().all(|step| step.ok) {
        steps.push(itself(arrived.try_recv().is_ok()));
    }
    steps
}

fn itself(arrived: bool) -> Step {
    if arrived {
        return Step::held(StepName::Itself, "the visit came in at this agent");
    }
    Step::failed(
        StepName::Itself,
        "somebody else answered the visit: is another machine published under this address?",
    )
}

/// Goes as far as it can; what held and what did not is in `steps`.
async fn walk(place: &Place, relay: IpAddr, token: &str, steps: &mut Vec<Step>) {
    let address = &place.address;
    let Some(found) = resolve(address, steps).await else { return };
    let addresses = allowed(place, relay, found);
    if addresses.is_empty() {
        return refuse_addresses(address, steps);
    }
    steps.push(dns_held(address, &addresses));
    match address.scheme {
        Scheme::Tcp => walk_tcp(&addresses, token, steps).await,
        Scheme::Udp => walk_udp(&addresses, token, steps).await,
        Scheme::Tls => walk_tls(&addresses, &address.host, token, steps).await,
        Scheme::Http | Scheme::Https => walk_http(&addresses, address, token, steps).await,
    }
}

async fn resolve(address: &PublicAddress, steps: &mut Vec<Step>) -> Option<Vec<SocketAddr>> {
    if let Ok(ip) = address.host.parse::<IpAddr>() {
        return Some(vec![SocketAddr::new(ip, address.port)]);
    }
    match resolve_name(&address.host, address.port).await {
        Ok(addresses) => Some(addresses),
        Err(error) => {
            let cause = format!("{} does not resolve on this machine: {error}", address.host);
            steps.push(Step::failed(StepName::Dns, cause));
            None
        }
    }
}

/// Those of the addresses that a visit may go to.
fn allowed(place: &Place, relay: IpAddr, found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let may = |address: &SocketAddr| {
        let ip = address.ip().to_canonical();
        place.only_at.is_none_or(|only| only == ip) && may_visit(ip, relay)
    };
    found.into_iter().filter(may).take(ADDRESSES_MAX).collect()
}

/// Where a name leads inside of this machine's networks is not the relay's business.
fn refuse_addresses(address: &PublicAddress, steps: &mut Vec<Step>) {
    let PublicAddress { host, .. } = address;
    tracing::warn!(code = %Code::RELAY_DISTRUSTED, %host, "a visit was not paid: it leads to a nearer network than the relay, or past it");
    let cause =
        "it leads, on this machine, to a network that is not visited for this relay (B7106)";
    steps.push(Step::failed(StepName::Dns, cause));
}

fn dns_held(address: &PublicAddress, addresses: &[SocketAddr]) -> Step {
    let ips: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    let detail = match address.host.parse::<IpAddr>() {
        Ok(ip) => format!("{ip} is an address, nothing to resolve"),
        Err(_) => format!("{} is {}", address.host, ips.join(", ")),
    };
    Step::held(StepName::Dns, detail)
}

async fn walk_tcp(addresses: &[SocketAddr], token: &str, steps: &mut Vec<Step>) {
    let Some(stream) = connect(addresses, steps).await else { return };
    steps.push(exchange_tcp(stream, format!("{token}\n").as_bytes(), token).await);
}

async fn walk_tls(addresses: &[SocketAddr], host: &str, token: &str, steps: &mut Vec<Step>) {
    let Some(stream) = connect(addresses, steps).await else { return };
    let protocol = [VISIT_PROTOCOL, token.as_bytes()].concat();
    steps.push(match client_hello(host, protocol) {
        Ok(hello) => exchange_tcp(stream, &hello, token).await,
        Err(error) => Step::failed(StepName::Edge, error.to_string()),
    });
}

/// Sends `opening` and reads the token.
async fn exchange_tcp(mut stream: TcpStream, opening: &[u8], token: &str) -> Step {
    let begun = Instant::now();
    let exchanged = async {
        stream.write_all(opening).await?;
        let mut answer = vec![0; token.len()];
        stream.read_exact(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    edge(exchanged.await, token, begun)
}

async fn connect(addresses: &[SocketAddr], steps: &mut Vec<Step>) -> Option<TcpStream> {
    let mut cause = "no address".to_owned();
    for address in addresses {
        let begun = Instant::now();
        match tokio::time::timeout(CONNECT_MAX, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let took = begun.elapsed().as_millis();
                steps.push(Step::held(StepName::Port, format!("{address} accepted in {took} ms")));
                return Some(stream);
            }
            Ok(Err(error)) => cause = format!("{address}: {error}"),
            Err(_) => {
                cause =
                    format!("{address}: no answer within {} s; a firewall?", CONNECT_MAX.as_secs())
            }
        }
    }
    steps.push(Step::failed(StepName::Port, cause));
    None
}

async fn walk_udp(addresses: &[SocketAddr], token: &str, steps: &mut Vec<Step>) {
    let mut cause = "no address".to_owned();
    for address in addresses {
        let begun = Instant::now();
        match exchange_udp(*address, token).await {
            Ok(answer) => {
                steps.push(Step::held(StepName::Port, format!("{address} answered")));
                return steps.push(edge(Ok(answer), token, begun));
            }
            Err(error) => cause = format!("{address}: {error}"),
        }
    }
    steps.push(Step::failed(StepName::Port, cause));
}

/// Datagrams may be lost: the token is sent again until it comes back.
async fn exchange_udp(address: SocketAddr, token: &str) -> io::Result<Vec<u8>> {
    let any: IpAddr = if address.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    let mut answer = vec![0; token.len() + 1];
    for _ in 0..UDP_TRIES {
        socket.send(token.as_bytes()).await?;
        if let Ok(received) = tokio::time::timeout(UDP_WAIT, socket.recv(&mut answer)).await {
            answer.truncate(received?);
            return Ok(answer);
        }
    }
    let cause = format!("no answer to {UDP_TRIES} datagrams; is UDP to the relay's port open?");
    Err(io::Error::new(io::ErrorKind::TimedOut, cause))
}

async fn walk_http(
    addresses: &[SocketAddr],
    address: &PublicAddress,
    token: &str,
    steps: &mut Vec<Step>,
) {
    let Some(stream) = connect(addresses, steps).await else { return };
    if address.scheme == Scheme::Http {
        return steps.push(ask(stream, address, token).await);
    }
    match secure(stream, &address.host, Certificates::Trusted, Inside::Http11).await {
        Ok(stream) => {
            steps.push(Step::held(
                StepName::Certificate,
                format!("trusted here, for {}", address.host),
            ));
            steps.push(ask(stream, address, token).await);
        }
        Err(error) => steps.push(Step::failed(StepName::Certificate, error.to_string())),
    }
}

async fn ask<S>(stream: S, address: &PublicAddress, token: &str) -> Step
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let begun = Instant::now();
    let fetched = fetch(stream, &address.authority(), token).await;
    edge(fetched.map_err(io::Error::other), token, begun)
}

async fn fetch<S>(stream: S, authority: &str, token: &str) -> Result<Vec<u8>, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    tokio::spawn(connection);
    let request = Request::get(format!("{VISIT_PATH}{token}"))
        .header(header::HOST, authority)
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(text)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    if status.is_success() { Ok(body.to_vec()) } else { Err(format!("the answer was {status}")) }
}

fn edge(answer: io::Result<Vec<u8>>, token: &str, begun: Instant) -> Step {
    match answer {
        Ok(bytes) if bytes == token.as_bytes() => Step::held(
            StepName::Edge,
            format!("reached from outside in {} ms", begun.elapsed().as_millis()),
        ),
        Ok(_) => Step::failed(StepName::Edge, "something else answers there, not this relay"),
        Err(error) => Step::failed(StepName::Edge, format!("the visit was not answered: {error}")),
    }
}

/// The step that was under way.
fn next_of(scheme: Scheme, steps: &[Step]) -> StepName {
    match steps.len() {
        0 => StepName::Dns,
        1 => StepName::Port,
        2 if scheme == Scheme::Https => StepName::Certificate,
        _ => StepName::Edge,
    }
}

/// The longest visit, whatever the relay allows.
const VISIT_MAX: Duration = Duration::from_secs(15);
/// No further address of a publication is visited after this.
const ALL_MAX: Duration = Duration::from_secs(30);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;
const CONNECT_MAX: Duration = Duration::from_secs(5);
const UDP_TRIES: u32 = 3;
const UDP_WAIT: Duration = Duration::from_secs(1);
const ANSWER_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests;
