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

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bore_control::limits::HOSTNAMES_PER_PUBLICATION_MAX;
use bore_control::runtime::{ProbeOrder, ProbeReport, PublicationState, Step};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use uuid::Uuid;

use super::control_client::ControlClient;
use super::error::AgentError;
use super::public_address::{PublicAddress, Scheme};
use super::shared::Shared;
use super::targets::resolve_name;
use super::trust::{Certificates, Inside, client_hello, secure};
use super::wire::PublicationView;

/// Visits `view` from outside and tells the relay how it went; answers the state that this proved.
pub(crate) async fn visit(
    shared: &Arc<Shared>,
    control: &ControlClient,
    view: &PublicationView,
) -> Result<PublicationState, AgentError> {
    let id = view.publication.id;
    let path = format!("/v1/nodes/self/publications/{id}/probe");
    let first = expect(control, &path).await?;
    let places = places(&first, &view.public);
    let begun = Instant::now();
    let mut walked = Walked::default();
    for (number, place) in places.iter().enumerate() {
        let order = if number == 0 { first.clone() } else { expect(control, &path).await? };
        let steps = if order.addresses != first.addresses {
            vec![failed("dns", "the public addresses changed during the visit".to_owned())]
        } else if begun.elapsed() > ALL_MAX {
            vec![failed("port", format!("not visited: the visit took {} s", ALL_MAX.as_secs()))]
        } else {
            prove(shared, id, place, &order).await
        };
        if !walked.take(place, steps) {
            break;
        }
    }
    control.send(Method::PUT, &path, &ProbeReport { steps: walked.told(places.len()) }).await
}

/// Each token is good for one visit.
async fn expect(control: &ControlClient, path: &str) -> Result<ProbeOrder, AgentError> {
    control.send(Method::POST, path, &serde_json::json!({})).await
}

/// Where to go, each address once; nobody resolves a `*`.
fn places(order: &ProbeOrder, public: &str) -> Vec<String> {
    let wanted = order.addresses.iter().take(ADDRESSES_MAX);
    let made_up = format!("://bore-visit-{:08x}.", rand::random::<u32>());
    let places: Vec<_> = wanted.map(|address| address.replacen("://*.", &made_up, 1)).collect();
    if places.is_empty() { vec![public.to_owned()] } else { places }
}

/// What the walks to several addresses amount to: that all hold, or the one that does not.
#[derive(Debug, Default)]
struct Walked {
    steps: Vec<Step>,
    failed_at: Option<String>,
}

impl Walked {
    /// Says whether they held.
    fn take(&mut self, place: &str, steps: Vec<Step>) -> bool {
        let all_hold = steps.iter().all(|step| step.ok);
        if !all_hold {
            self.failed_at = Some(host_of(place));
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

fn host_of(place: &str) -> String {
    PublicAddress::parse(place).map_or_else(|_| place.to_owned(), |address| address.host)
}

async fn prove(shared: &Shared, id: Uuid, public: &str, order: &ProbeOrder) -> Vec<Step> {
    let mut steps = Vec::new();
    let Some(mut arrived) = shared.registry().expect_visit(&order.token, id) else {
        return vec![failed("itself", "too many visits are under way on this agent".to_owned())];
    };
    let limit = Duration::from_millis(order.expires_in_ms).min(VISIT_MAX);
    let walk = walk(public, &order.token, &mut steps);
    let walked = tokio::time::timeout(limit, walk).await;
    if walked.is_err() {
        steps.push(failed(
            next_of(public, &steps),
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
        return held("itself", "the visit came in at this agent".to_owned());
    }
    failed(
        "itself",
        "somebody else answered the visit: is another machine published under this address?"
            .to_owned(),
    )
}

/// Goes as far as it can; what held and what did not is in `steps`.
async fn walk(public: &str, token: &str, steps: &mut Vec<Step>) {
    let address = match PublicAddress::parse(public) {
        Ok(address) => address,
        Err(cause) => return steps.push(failed("dns", cause)),
    };
    let Some(addresses) = resolve(&address, steps).await else { return };
    match address.scheme {
        Scheme::Tcp => walk_tcp(&addresses, token, steps).await,
        Scheme::Udp => walk_udp(&addresses, token, steps).await,
        Scheme::Tls => walk_tls(&addresses, &address.host, token, steps).await,
        Scheme::Http | Scheme::Https => walk_http(&addresses, &address, token, steps).await,
    }
}

async fn resolve(address: &PublicAddress, steps: &mut Vec<Step>) -> Option<Vec<SocketAddr>> {
    if let Ok(ip) = address.host.parse::<IpAddr>() {
        steps.push(held("dns", format!("{ip} is an address, nothing to resolve")));
        return Some(vec![SocketAddr::new(ip, address.port)]);
    }
    match resolve_name(&address.host, address.port).await {
        Ok(addresses) => {
            let ips: Vec<String> =
                addresses.iter().map(|address| address.ip().to_string()).collect();
            steps.push(held("dns", format!("{} is {}", address.host, ips.join(", "))));
            Some(addresses)
        }
        Err(error) => {
            let cause = format!("{} does not resolve on this machine: {error}", address.host);
            steps.push(failed("dns", cause));
            None
        }
    }
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
        Err(error) => failed("edge", error.to_string()),
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
                steps.push(held("port", format!("{address} accepted in {took} ms")));
                return Some(stream);
            }
            Ok(Err(error)) => cause = format!("{address}: {error}"),
            Err(_) => {
                cause =
                    format!("{address}: no answer within {} s; a firewall?", CONNECT_MAX.as_secs())
            }
        }
    }
    steps.push(failed("port", cause));
    None
}

async fn walk_udp(addresses: &[SocketAddr], token: &str, steps: &mut Vec<Step>) {
    let mut cause = "no address".to_owned();
    for address in addresses {
        let begun = Instant::now();
        match exchange_udp(*address, token).await {
            Ok(answer) => {
                steps.push(held("port", format!("{address} answered")));
                return steps.push(edge(Ok(answer), token, begun));
            }
            Err(error) => cause = format!("{address}: {error}"),
        }
    }
    steps.push(failed("port", cause));
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
            steps.push(held("certificate", format!("trusted here, for {}", address.host)));
            steps.push(ask(stream, address, token).await);
        }
        Err(error) => steps.push(failed("certificate", error.to_string())),
    }
}

async fn ask<S>(stream: S, address: &PublicAddress, token: &str) -> Step
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let begun = Instant::now();
    let fetched = fetch(stream, &address.authority, token).await;
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
    let request = Request::get(format!("/.well-known/bore/{token}"))
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
        Ok(bytes) if bytes == token.as_bytes() => {
            held("edge", format!("reached from outside in {} ms", begun.elapsed().as_millis()))
        }
        Ok(_) => failed("edge", "something else answers there, not this relay".to_owned()),
        Err(error) => failed("edge", format!("the visit was not answered: {error}")),
    }
}

/// The step that was under way.
fn next_of(public: &str, steps: &[Step]) -> &'static str {
    match steps.len() {
        0 => "dns",
        1 => "port",
        2 if public.starts_with("https://") => "certificate",
        _ => "edge",
    }
}

fn held(name: &str, detail: String) -> Step {
    Step { name: name.to_owned(), ok: true, detail }
}

fn failed(name: &str, detail: String) -> Step {
    Step { name: name.to_owned(), ok: false, detail }
}

/// The longest visit, whatever the relay allows.
const VISIT_MAX: Duration = Duration::from_secs(15);
/// No further address of a publication is visited after this.
const ALL_MAX: Duration = Duration::from_secs(30);
/// Addresses of one publication that are visited.
const ADDRESSES_MAX: usize = HOSTNAMES_PER_PUBLICATION_MAX;
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Before the token, as the relay's front door knows it.
const VISIT_PROTOCOL: &[u8] = b"bore-visit/";
const UDP_TRIES: u32 = 3;
const UDP_WAIT: Duration = Duration::from_secs(1);
const ANSWER_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_visit_that_gets_its_token_back_holds_at_every_step() {
        let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let public = format!("tcp://relay.localhost:{}", relay.local_addr().unwrap().port());
        tokio::spawn(async move {
            let (mut stream, _) = relay.accept().await.unwrap();
            let mut token = vec![0; TOKEN.len() + 1];
            stream.read_exact(&mut token).await.unwrap();
            stream.write_all(&token).await.unwrap();
        });

        let mut steps = Vec::new();
        walk(&public, TOKEN, &mut steps).await;
        assert_eq!(names(&steps), [("dns", true), ("port", true), ("edge", true)]);
    }

    #[tokio::test]
    async fn another_service_on_the_port_is_not_taken_for_the_relay() {
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let public = format!("tcp://{}", other.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = other.accept().await.unwrap();
            stream.write_all(&[b'-'; 64]).await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap();
        });

        let mut steps = Vec::new();
        walk(&public, TOKEN, &mut steps).await;
        assert_eq!(names(&steps), [("dns", true), ("port", true), ("edge", false)]);
    }

    #[tokio::test]
    async fn a_visit_to_a_name_that_is_passed_through_brings_its_token_in_a_client_hello() {
        let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = relay.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = relay.accept().await.unwrap();
            let acceptor = rustls::server::Acceptor::default();
            let start = tokio_rustls::LazyConfigAcceptor::new(acceptor, stream).await.unwrap();
            let hello = start.client_hello();
            assert_eq!(hello.server_name(), Some("app.localhost"));
            let offered: Vec<&[u8]> = hello.alpn().unwrap().collect();
            let token = offered[0].strip_prefix(VISIT_PROTOCOL).unwrap().to_vec();
            assert_eq!(offered.len(), 1);
            let mut stream = start.io;
            stream.write_all(&token).await.unwrap();
        });

        let mut steps = Vec::new();
        walk(&format!("tls://app.localhost:{port}"), TOKEN, &mut steps).await;
        assert_eq!(names(&steps), [("dns", true), ("port", true), ("edge", true)], "{steps:?}");
    }

    #[tokio::test]
    async fn a_closed_port_is_a_failed_port_with_its_cause() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let mut steps = Vec::new();
        walk(&format!("http://{closed}"), TOKEN, &mut steps).await;
        assert_eq!(names(&steps), [("dns", true), ("port", false)]);
        assert!(steps[1].detail.contains(&closed.to_string()));
    }

    #[tokio::test]
    async fn a_udp_visit_survives_a_lost_datagram() {
        let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let public = format!("udp://{}", relay.local_addr().unwrap());
        tokio::spawn(async move {
            let mut token = [0; 64];
            relay.recv_from(&mut token).await.unwrap();
            let (count, from) = relay.recv_from(&mut token).await.unwrap();
            relay.send_to(&token[..count], from).await.unwrap();
        });

        let mut steps = Vec::new();
        walk(&public, TOKEN, &mut steps).await;
        assert_eq!(names(&steps), [("dns", true), ("port", true), ("edge", true)]);
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_stops_at_dns() {
        let mut steps = Vec::new();
        walk("http://no-such-host.invalid", TOKEN, &mut steps).await;
        assert_eq!(names(&steps), [("dns", false)]);
    }

    #[test]
    fn every_address_is_visited_and_below_a_wildcard_a_made_up_name() {
        let order = |addresses: &[&str]| ProbeOrder {
            token: TOKEN.to_owned(),
            expires_in_ms: 1,
            addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
        };
        assert_eq!(places(&order(&[]), "tcp://203.0.113.5:1"), ["tcp://203.0.113.5:1"]);
        let places = places(&order(&["https://a.example/", "http://*.shop.example/"]), "");
        assert_eq!(places[0], "https://a.example/");
        let host = PublicAddress::parse(&places[1]).unwrap().host;
        let label = host.strip_suffix(".shop.example").unwrap();
        assert!(label.starts_with("bore-visit-") && !label.contains('.'), "{host}");
    }

    #[test]
    fn of_several_hostnames_the_one_that_fails_is_named_by_its_step() {
        let [good, bad] = ["https://a.example/", "https://b.example/"];
        let holds = || vec![held("dns", "a.example is here".to_owned())];
        let mut walked = Walked::default();
        assert!(walked.take(good, holds()));
        assert!(!walked.take(
            bad,
            vec![held("dns", "b.example is here".to_owned()), failed("port", "closed".to_owned())]
        ));
        let told = walked.told(3);
        assert_eq!(names(&told), [("dns", true), ("port", false)]);
        assert_eq!(told[1].detail, "b.example: closed");

        let mut walked = Walked::default();
        assert!(walked.take(good, holds()) && walked.take(bad, holds()));
        assert_eq!(walked.told(2)[0].detail, "a.example is here, and so for 1 more");
        let mut alone = Walked::default();
        alone.take(good, vec![failed("port", "closed".to_owned())]);
        assert_eq!(alone.told(1)[0].detail, "closed");
    }

    #[tokio::test]
    async fn a_certificate_that_this_machine_does_not_trust_is_a_step_of_its_own() {
        let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = relay.local_addr().unwrap().port();
        let made = rcgen::generate_simple_self_signed(["app.localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.unwrap())
            .unwrap();
        tokio::spawn(async move {
            let (stream, _) = relay.accept().await.unwrap();
            // The visitor breaks it off.
            let _ = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await;
        });

        let mut steps = Vec::new();
        walk(&format!("https://app.localhost:{port}/"), TOKEN, &mut steps).await;
        assert_eq!(names(&steps), [("dns", true), ("port", true), ("certificate", false)]);
        assert!(steps[2].detail.contains("does not trust"), "{steps:?}");
    }

    fn names(steps: &[Step]) -> Vec<(&str, bool)> {
        steps.iter().map(|step| (step.name.as_str(), step.ok)).collect()
    }

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
}
