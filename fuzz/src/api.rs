//! Requests to the REST API, by each of its three doors, with any body, over a real SQLite store.
//!
//! Held beside "no panic": no request makes the relay fail (500), and the audit trail stays intact.

#[path = "../../relay/control/tests/api/relay.rs"]
#[allow(dead_code, unreachable_pub, reason = "the control room's own relay without packets")]
mod relay;

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bore_control::limits::Quotas;
use bore_api::model::{Actor, Node, Scope};
use bore_control::store::AuditKey;
use bore_api::wire::{NewApiKey, NewJoinKey, NewWireguardNode};
use bore_control::{Caller, Control, Settings};
use http::{Method, Request, StatusCode};
use tower::ServiceExt as _;
use uuid::Uuid;

use self::relay::FakeRelay;
use crate::choices::Choices;

/// Sends one to four requests.
pub fn request(bytes: &[u8]) {
    LAB.with(|lab| {
        let mut choices = Choices::new(bytes);
        for _ in 0..4 {
            if choices.is_empty() {
                return;
            }
            lab.request(&mut choices);
        }
    });
}

thread_local! {
    static LAB: Lab = Lab::new();
}

struct Lab {
    runtime: tokio::runtime::Runtime,
    tcp: Router,
    overlay: Router,
    garden: Router,
    network: Uuid,
    node: Node,
    admin: String,
    /// Holds the database; gone with the process.
    _folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        // In memory: the store syncs every change.
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
        let (control, network, node, admin) = runtime.block_on(open(folder.path()));
        let tcp = bore_control::tcp_router(control.clone());
        let overlay = bore_control::overlay_router(control.clone());
        let garden = bore_control::garden_router(control);
        Self { runtime, tcp, overlay, garden, network, node, admin, _folder: folder }
    }

    fn request(&self, choices: &mut Choices<'_>) {
        let (door, method, path) = ROUTES[usize::from(choices.small()) % ROUTES.len()];
        let path = if path.is_empty() {
            String::from_utf8_lossy(choices.piece(200)).into_owned()
        } else {
            path.replace("{network}", &self.network.to_string())
        };
        let body = choices.piece(usize::from(u16::MAX));
        let request = Request::builder()
            .method(method.parse::<Method>().expect("a method"))
            .uri(path)
            .header("host", "100.64.0.1")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.admin))
            .body(Body::from(body.to_vec()));
        // Not every text is a path.
        let Ok(mut request) = request else { return };
        let (router, caller) = self.door(door);
        request.extensions_mut().insert(caller);
        let answer = self.runtime.block_on(router.oneshot(request)).expect("an answer");
        assert_ne!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_ne!(
            answer.status(),
            StatusCode::SERVICE_UNAVAILABLE,
            "the store takes what was let in"
        );
    }

    fn door(&self, door: Door) -> (Router, Caller) {
        match door {
            Door::Tcp => {
                let peer = std::net::SocketAddr::from(([198, 51, 100, 7], 1234));
                (self.tcp.clone(), Caller::Tcp { peer })
            }
            Door::Overlay => {
                let caller = Caller::Node { node: self.node.id, network: self.network };
                (self.overlay.clone(), caller)
            }
            Door::Garden => {
                let public_key = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned();
                let source = Ipv4Addr::new(198, 51, 100, 7).into();
                (self.garden.clone(), Caller::Pending { public_key, source })
            }
        }
    }
}

async fn open(folder: &std::path::Path) -> (Control, Uuid, Node, String) {
    let url = format!("sqlite://{}", folder.join("bore.db").display());
    let store = bore_control::store::create(&url, folder, AuditKey::from_cluster_key(&[7; 32])).await.expect("a store");
    let settings = Settings { quotas: QUOTAS, ..Settings::default() };
    let control = Arc::new(FakeRelay::default()).control(store, settings).await;
    let wanted = NewApiKey { scopes: vec![Scope::Admin], ..NewApiKey::default() };
    let admin = control.api_keys().create(None, &wanted, &Actor::System).await.expect("a key").key;
    let network = control.networks().create("home", &Actor::System).await.expect("a network").id;
    control.join_keys().create(network, &NewJoinKey::default(), &Actor::System).await.expect("a key");
    let wanted = NewWireguardNode {
        name: "nas".to_owned(),
        public_key: "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned(),
        groups: Vec::new(),
    };
    let node = control.nodes().add_wireguard(network, &wanted, &Actor::System).await;
    (control, network, node.expect("a node").node, admin)
}

/// Who calls.
#[derive(Debug, Clone, Copy)]
enum Door {
    Tcp,
    Overlay,
    Garden,
}

/// Routes that take a body, and any path at all (the empty ones). The watch, which does not end, is asked for by no body.
const ROUTES: [(Door, &str, &str); 25] = [
    (Door::Garden, "POST", "/v1/join"),
    (Door::Garden, "POST", ""),
    (Door::Overlay, "POST", "/v1/nodes/self/publications"),
    (Door::Overlay, "PUT", "/v1/nodes/self/session"),
    (
        Door::Overlay,
        "PUT",
        "/v1/nodes/self/publications/0199a0f0-0000-7000-8000-000000000000/target",
    ),
    (
        Door::Overlay,
        "PUT",
        "/v1/nodes/self/publications/0199a0f0-0000-7000-8000-000000000000/probe",
    ),
    (Door::Overlay, "GET", ""),
    (Door::Overlay, "PUT", ""),
    (Door::Overlay, "DELETE", ""),
    (Door::Tcp, "POST", "/v1/networks"),
    (Door::Tcp, "POST", "/v1/api-keys"),
    (Door::Tcp, "POST", "/v1/networks/{network}/nodes"),
    (Door::Tcp, "PATCH", "/v1/networks/{network}/nodes/nas"),
    (Door::Tcp, "POST", "/v1/networks/{network}/join-keys"),
    (Door::Tcp, "POST", "/v1/networks/{network}/api-keys"),
    (Door::Tcp, "POST", "/v1/networks/{network}/publications"),
    (Door::Tcp, "POST", "/v1/networks/{network}/groups"),
    (Door::Tcp, "PUT", "/v1/networks/{network}/groups/office"),
    (Door::Tcp, "PUT", "/v1/networks/{network}/policies/office"),
    (Door::Tcp, "POST", "/v1/networks/{network}/policies/explain"),
    (Door::Tcp, "GET", ""),
    (Door::Tcp, "POST", ""),
    (Door::Tcp, "PUT", ""),
    (Door::Tcp, "DELETE", ""),
    (Door::Tcp, "POST", "/v1/networks/{network}/domains"),
];

/// Small, so that a long run stays one of parsing; as many requests as the machine can.
const QUOTAS: Quotas = Quotas {
    networks: 8,
    nodes_per_network: 32,
    addresses_per_network: 4_000_000,
    publications_per_node: 16,
    publications_per_network: 64,
    ports_per_network: 64,
    join_keys_per_network: 32,
    api_keys_per_network: 32,
    domains_per_network: 32,
    hostnames_per_network: 256,
    groups_per_network: 32,
    policies_per_network: 16,
    new_nodes_burst: 1_000_000,
    new_nodes_per_hour: 1_000_000,
    requests_per_second: 1_000_000,
    requests_burst: 1_000_000,
};
