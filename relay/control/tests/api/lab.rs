//! One relay with its store, and the three doors to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bore_api::model::{Actor, Node, Scope};
use bore_api::wire::{NewApiKey, NewJoinKey};
use bore_control::limits::Quotas;
use bore_control::store::{AuditKey, Store};
use bore_control::{Caller, Control, Settings};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::relay::FakeRelay;

pub(crate) struct Lab {
    pub(crate) control: Control,
    pub(crate) relay: Arc<FakeRelay>,
    pub(crate) store: Arc<Store>,
    /// An API key of the cluster with every right.
    pub(crate) admin: String,
    machines: AtomicU64,
    folder: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

/// What came back.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        Self::with(Quotas { requests_burst: 100_000, ..Quotas::default() }).await
    }

    pub(crate) async fn with(quotas: Quotas) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let lab = Self::in_folder(quotas, temporary.path()).await;
        Self { _temporary: Some(temporary), ..lab }
    }

    /// Of a relay that is known by its address alone.
    pub(crate) async fn nameless() -> Self {
        let relay = FakeRelay { is_nameless: true, ..FakeRelay::default() };
        let temporary = tempfile::tempdir().unwrap();
        let lab = Self::of(relay, Quotas::default(), temporary.path()).await;
        Self { _temporary: Some(temporary), ..lab }
    }

    /// A relay whose state is in `folder`.
    pub(crate) async fn in_folder(quotas: Quotas, folder: &Path) -> Self {
        Self::of(FakeRelay::default(), quotas, folder).await
    }

    async fn of(relay: FakeRelay, quotas: Quotas, folder: &Path) -> Self {
        let url = format!("sqlite://{}", folder.join("bore.db").display());
        let store = bore_control::store::create(&url, folder, audit_key()).await.unwrap();
        let relay = Arc::new(relay);
        let settings = Settings { quotas, ..Settings::default() };
        let control = relay.control(Arc::clone(&store), settings).await;
        let wanted = NewApiKey { scopes: vec![Scope::Admin], ..NewApiKey::default() };
        let admin = control.api_keys().create(None, &wanted, &Actor::System).await.unwrap().key;
        let (machines, folder) = (AtomicU64::new(1), folder.to_owned());
        Self { control, relay, store, admin, machines, folder, _temporary: None }
    }

    /// Another control room over the same store, as after a restart.
    pub(crate) async fn restarted(&self) -> Control {
        self.relay.control(Arc::clone(&self.store), Settings::default()).await
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.join("bore.db")
    }

    pub(crate) async fn network(&self, name: &str) -> Uuid {
        self.control.networks().create(name, &Actor::System).await.unwrap().id
    }

    pub(crate) async fn key(&self, network: Uuid, scopes: &[Scope]) -> String {
        let wanted = NewApiKey { scopes: scopes.to_vec(), ..NewApiKey::default() };
        self.control.api_keys().create(Some(network), &wanted, &Actor::System).await.unwrap().key
    }

    /// A new machine joins.
    pub(crate) async fn node(&self, network: Uuid, name: &str) -> Node {
        self.node_in(network, name, &[]).await
    }

    pub(crate) async fn node_in(&self, network: Uuid, name: &str, groups: &[&str]) -> Node {
        let groups = groups.iter().map(ToString::to_string).collect();
        let wanted = NewJoinKey { groups, ..NewJoinKey::default() };
        let created =
            self.control.join_keys().create(network, &wanted, &Actor::System).await.unwrap();
        let answer = self.garden(&self.machine(), &join_body(&created.key, name)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        serde_json::from_value(answer.body["node"].clone()).unwrap()
    }

    /// The public key of a machine that nobody saw before.
    pub(crate) fn machine(&self) -> String {
        let mut key = [1; 32];
        key[..8].copy_from_slice(&self.machines.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        STANDARD.encode(key)
    }

    /// Calls with the administrator's key.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: Value) -> Answer {
        self.tcp(method, path, Some(&self.admin), body).await
    }

    pub(crate) async fn tcp(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Value,
    ) -> Answer {
        let mut request = request(method, path, &body);
        if let Some(key) = key {
            request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        }
        let peer = "198.51.100.7:1234".parse().unwrap();
        self.send(bore_control::tcp_router(self.control.clone()), Caller::Tcp { peer }, request)
            .await
    }

    pub(crate) async fn overlay(
        &self,
        node: &Node,
        method: &str,
        path: &str,
        body: Value,
    ) -> Answer {
        let caller = Caller::Node { node: node.id, network: node.network };
        self.send(
            bore_control::overlay_router(self.control.clone()),
            caller,
            to("100.64.0.1", request(method, path, &body)),
        )
        .await
    }

    pub(crate) async fn garden(&self, public_key: &str, body: &Value) -> Answer {
        self.garden_from("198.51.100.7", public_key, body).await
    }

    pub(crate) async fn garden_from(&self, source: &str, public_key: &str, body: &Value) -> Answer {
        let source = source.parse().unwrap();
        let caller = Caller::Pending { public_key: public_key.to_owned(), source };
        let request = to("[fd62:6f72:6500::1]", request("POST", "/v1/join", body));
        self.send(bore_control::garden_router(self.control.clone()), caller, request).await
    }

    /// Publishes for a node.
    pub(crate) async fn publish(&self, node: &Node, body: Value) -> Answer {
        self.overlay(node, "POST", "/v1/nodes/self/publications", body).await
    }

    pub(crate) async fn send(
        &self,
        router: Router,
        caller: Caller,
        mut request: Request<Body>,
    ) -> Answer {
        request.extensions_mut().insert(caller);
        let response = router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        if parts.status.is_client_error() || parts.status.is_server_error() {
            check_problem(&parts, &body);
        }
        Answer { status: parts.status, body, text }
    }

    /// The value of a counter of the control room.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        self.control.core().counted().find(|(counter, ..)| *counter == name).unwrap().2
    }

    /// How many rows the audit trail has.
    pub(crate) async fn audit_rows(&self) -> usize {
        self.store.audit().list(None, None, 0, 1_000).await.unwrap().len()
    }
}

impl Answer {
    /// Status and code of a refusal.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["code"].as_str().unwrap_or(&self.text))
    }

    pub(crate) fn code(&self) -> &str {
        self.refusal().1
    }

    /// The body of a success.
    pub(crate) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text);
        self.body
    }
}

pub(crate) fn request(method: &str, path: &str, body: &Value) -> Request<Body> {
    let request = Request::builder().method(method.parse::<Method>().unwrap()).uri(path);
    if body.is_null() {
        return request.body(Body::empty()).unwrap();
    }
    request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
}

/// Addressed as a client inside the overlay does.
pub(crate) fn to(host: &str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert("host", host.parse().unwrap());
    request
}

/// The key of every store in a test.
pub(crate) fn audit_key() -> AuditKey {
    AuditKey::from_cluster_key(&[7; 32])
}

/// The body of a join with the text of a key.
pub(crate) fn join_body(key: &str, name: &str) -> Value {
    let parts: Vec<&str> = key.strip_prefix("bore_join_").unwrap().split('.').collect();
    json!({"network": parts[0], "key_id": parts[1], "secret": parts[2], "name": name, "version": "0.1.0"})
}

/// Every refusal is a problem with code and advice.
fn check_problem(parts: &http::response::Parts, body: &Value) {
    assert_eq!(parts.status == 429, parts.headers.contains_key("retry-after"));
    assert_eq!(parts.headers["content-type"], "application/problem+json");
    assert_eq!(body["status"], parts.status.as_u16());
    assert_eq!(body["type"], "about:blank");
    for field in ["title", "detail", "code", "next"] {
        assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {body}");
    }
    assert!(body["code"].as_str().unwrap().starts_with('B'), "{body}");
}
