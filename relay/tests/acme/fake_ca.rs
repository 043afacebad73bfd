//! A CA in this process that does what Pebble cannot: it is away, limits, refuses, and says when a certificate is to be renewed.
//!
//! It believes every signature: who signs how is tested with Pebble. It looks at the proof that it asked for.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use bore_api::model::Micros;
use bore_edge::tls::Challenges;
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, SerialNumber,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::lab::Lab;

/// The CA. Cloning shares it.
#[derive(Clone)]
pub(crate) struct FakeCa(Arc<Mutex<Inner>>);

struct Inner {
    challenges: Arc<Challenges>,
    issuer: Issuer<'static, KeyPair>,
    orders: Vec<Order>,
    heard: Vec<String>,
    manners: Manners,
    clock: Arc<dyn Fn() -> Micros + Send + Sync>,
}

/// How it is to behave; can be changed at any time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manners {
    /// It does not answer at all.
    pub(crate) is_away: bool,
    /// It answers every new order with this problem, status and `Retry-After`.
    pub(crate) refuses_orders: Option<(&'static str, u16, Option<u64>)>,
    /// It answers every new order that replaces a certificate with this problem and status.
    pub(crate) refuses_replaces: Option<(&'static str, u16)>,
    /// It finds this wrong with every proof.
    pub(crate) refuses_proofs: Option<&'static str>,
    /// A proxy before it answers in its place when a chain is fetched.
    pub(crate) withholds_chains: bool,
    /// Where from and to it wants certificates renewed, in days from now.
    pub(crate) renewal: Option<(i64, i64)>,
    /// What it calls itself in CAA records.
    pub(crate) calls_itself: &'static [&'static str],
    /// A proxy before it answers with a page.
    pub(crate) answers_html: bool,
}

struct Order {
    names: Vec<Value>,
    status: &'static str,
    chain: Option<String>,
    problem: Option<&'static str>,
    replaces: Option<String>,
}

/// A lab whose CA is one of these, with the lab's clock.
pub(crate) async fn lab(manners: Manners) -> (FakeCa, Lab) {
    let challenges = Arc::default();
    let ca = FakeCa::new(Arc::clone(&challenges));
    let lab = Lab::with_challenges(DIRECTORY, Arc::new(ca.clone()), challenges).await;
    ca.set_clock(Arc::clone(&lab.settings.clock));
    ca.behave(manners);
    (ca, lab)
}

impl FakeCa {
    pub(crate) fn new(challenges: Arc<Challenges>) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::OrganizationName, "Fake CA");
        params.key_identifier_method = KeyIdMethod::PreSpecified(vec![1, 2, 3, 4]);
        Self(Arc::new(Mutex::new(Inner {
            challenges,
            issuer: Issuer::new(params, key),
            orders: Vec::new(),
            heard: Vec::new(),
            manners: Manners::default(),
            clock: Arc::new(|| 0),
        })))
    }

    /// It has the same time as the relay.
    pub(crate) fn set_clock(&self, clock: Arc<dyn Fn() -> Micros + Send + Sync>) {
        self.inner().clock = clock;
    }

    pub(crate) fn behave(&self, manners: Manners) {
        self.inner().manners = manners;
    }

    /// Requests for this path, tries that got no answer included.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.inner().heard.iter().filter(|heard| heard.starts_with(path)).count()
    }

    /// Their paths, in order.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.inner().heard.clone()
    }

    /// All requests.
    pub(crate) fn asked_anything(&self) -> usize {
        self.inner().heard.len()
    }

    /// What each order said that it replaces.
    pub(crate) fn replaced(&self) -> Vec<Option<String>> {
        self.inner().orders.iter().map(|order| order.replaces.clone()).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}

impl HttpClient for FakeCa {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let this = self.clone();
        Box::pin(async move {
            let uri = request.uri();
            if uri.host() != Some("ca.example") {
                // Another CA, which is no more.
                return Ok(BytesResponse::from(page()));
            }
            let path = uri.path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            this.inner().answer(&path, &body).map(BytesResponse::from)
        })
    }
}

type Answer = Response<Full<Bytes>>;

impl Inner {
    fn answer(&mut self, path: &str, body: &[u8]) -> Result<Answer, Error> {
        self.heard.push(path.to_owned());
        if self.manners.is_away {
            return Err(Error::Other("the CA is away".into()));
        }
        if self.manners.answers_html && path != "/directory" {
            return Ok(page());
        }
        let payload = payload(body);
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        Ok(match parts.as_slice() {
            ["directory"] => self.directory(),
            ["nonce"] => ok(&json!({})),
            ["account"] => located("account/1", &json!({ "status": "valid" })),
            ["new-order"] => self.new_order(&payload),
            ["order", order] => ok(&self.show_order(number(order))),
            ["proof", order, name] => ok(&self.show_proof(number(order), number(name))),
            [way @ ("http-01" | "tls-alpn-01"), order, name] => {
                ok(&self.look(way, number(order), number(name)))
            }
            ["finalize", order] => self.finalize(number(order), &payload),
            ["chain", _] if self.manners.withholds_chains => page(),
            ["chain", order] => text(self.orders[number(order)].chain.clone().unwrap()),
            ["renewal", _] => self.renewal(),
            _ => problem("malformed", 404, None),
        })
    }

    fn directory(&self) -> Answer {
        let url = |path: &str| format!("{BASE}{path}");
        let mut directory = json!({
            "newNonce": url("nonce"),
            "newAccount": url("account"),
            "newOrder": url("new-order"),
            "meta": {
                "profiles": { "shortlived": "for addresses" },
                "caaIdentities": self.manners.calls_itself,
            },
        });
        if self.manners.renewal.is_some() {
            directory["renewalInfo"] = url("renewal").into();
        }
        ok(&directory)
    }

    fn new_order(&mut self, payload: &Value) -> Answer {
        if let Some((kind, status, retry_after)) = self.manners.refuses_orders {
            return problem(kind, status, retry_after);
        }
        let names = payload["identifiers"].as_array().unwrap().clone();
        let has_address = names.iter().any(|name| name["type"] == "ip");
        if has_address && payload["profile"] != "shortlived" {
            return problem("rejectedIdentifier", 400, None);
        }
        let replaces = payload["replaces"].as_str().map(str::to_owned);
        if let Some((kind, status)) = self.manners.refuses_replaces.filter(|_| replaces.is_some()) {
            return problem(kind, status, None);
        }
        let order = Order { names, status: "pending", chain: None, problem: None, replaces };
        self.orders.push(order);
        let number = self.orders.len() - 1;
        located(&format!("order/{number}"), &self.show_order(number))
    }

    fn show_order(&self, number: usize) -> Value {
        let order = &self.orders[number];
        let proofs: Vec<String> =
            (0..order.names.len()).map(|name| format!("{BASE}proof/{number}/{name}")).collect();
        json!({
            "status": order.status,
            "authorizations": proofs,
            "finalize": format!("{BASE}finalize/{number}"),
            "certificate": order.chain.as_ref().map(|_| format!("{BASE}chain/{number}")),
            "replaces": order.replaces,
        })
    }

    fn show_proof(&self, number: usize, name: usize) -> Value {
        let order = &self.orders[number];
        let status = match order.status {
            "pending" => "pending",
            "invalid" => "invalid",
            _ => "valid",
        };
        let error = order.problem.map(|kind| json!({ "type": urn(kind), "detail": "it says no" }));
        let challenge = |way: &str| {
            json!({
                "type": way,
                "url": format!("{BASE}{way}/{number}/{name}"),
                "token": token(number, name),
                "status": status,
                "error": error,
            })
        };
        json!({
            "identifier": order.names[name],
            "status": status,
            "challenges": (["tls-alpn-01", "http-01"].map(challenge)),
        })
    }

    fn look(&mut self, way: &str, number: usize, name: usize) -> Value {
        let host = self.orders[number].names[name]["value"].as_str().unwrap().to_owned();
        let token = token(number, name);
        let is_proved = if way == "http-01" {
            let answer = self.challenges.http01(&host, &token);
            answer.is_some_and(|answer| answer.starts_with(&format!("{token}.")))
        } else {
            self.challenges.tls_alpn01(&host).is_some()
        };
        let refused = self.manners.refuses_proofs.or(if is_proved {
            None
        } else {
            Some("incorrectResponse")
        });
        let order = &mut self.orders[number];
        order.problem = refused;
        order.status = if refused.is_some() { "invalid" } else { "ready" };
        json!({ "type": way, "url": format!("{BASE}{way}/{number}/{name}"), "token": token, "status": "processing" })
    }

    fn finalize(&mut self, number: usize, payload: &Value) -> Answer {
        let csr = BASE64URL_NOPAD.decode(payload["csr"].as_str().unwrap().as_bytes()).unwrap();
        let mut csr = CertificateSigningRequestParams::from_der(&csr.as_slice().into()).unwrap();
        let now = (self.clock)() / 1_000_000;
        csr.params.not_before = OffsetDateTime::from_unix_timestamp(now).unwrap();
        csr.params.not_after = OffsetDateTime::from_unix_timestamp(now + LIFE_SECONDS).unwrap();
        csr.params.serial_number = Some(SerialNumber::from(number as u64 + 1));
        csr.params.use_authority_key_identifier_extension = true;
        let chain = csr.signed_by(&self.issuer).unwrap().pem();
        let order = &mut self.orders[number];
        (order.chain, order.status) = (Some(chain), "valid");
        ok(&self.show_order(number))
    }

    fn renewal(&self) -> Answer {
        let (start, end) = self.manners.renewal.unwrap();
        let now = (self.clock)() / 1_000_000;
        let at = |days: i64| {
            let time = OffsetDateTime::from_unix_timestamp(now + days * 86_400).unwrap();
            time.format(&time::format_description::well_known::Rfc3339).unwrap()
        };
        let window = json!({ "suggestedWindow": { "start": at(start), "end": at(end) } });
        let mut answer = ok(&window);
        answer.headers_mut().insert("Retry-After", "21600".parse().unwrap());
        answer
    }
}

fn payload(body: &[u8]) -> Value {
    let jws: HashMap<String, String> = serde_json::from_slice(body).unwrap_or_default();
    let text = jws.get("payload").map(|text| BASE64URL_NOPAD.decode(text.as_bytes()).unwrap());
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn ok(body: &Value) -> Answer {
    text(body.to_string())
}

fn text(body: String) -> Answer {
    let mut answer = Response::new(Full::from(body));
    answer.headers_mut().insert("Replay-Nonce", "fresh".parse().unwrap());
    answer
}

fn located(path: &str, body: &Value) -> Answer {
    let mut answer = ok(body);
    *answer.status_mut() = StatusCode::CREATED;
    answer.headers_mut().insert("Location", format!("{BASE}{path}").parse().unwrap());
    answer
}

fn problem(kind: &str, status: u16, retry_after: Option<u64>) -> Answer {
    let body = json!({ "type": urn(kind), "detail": "it says no", "status": status });
    let mut answer = ok(&body);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    if let Some(seconds) = retry_after {
        answer.headers_mut().insert("Retry-After", seconds.into());
    }
    answer
}

fn page() -> Answer {
    let mut answer = text("<html>bad gateway</html>".to_owned());
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    answer
}

fn urn(kind: &str) -> String {
    format!("urn:ietf:params:acme:error:{kind}")
}

fn token(order: usize, name: usize) -> String {
    format!("token-{order}-{name}")
}

fn number(text: &str) -> usize {
    text.parse().unwrap()
}

const BASE: &str = "https://ca.example/";
pub(crate) const DIRECTORY: &str = "https://ca.example/directory";
const LIFE_SECONDS: i64 = 90 * 86_400;
