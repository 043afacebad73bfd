//! The API of health, as a caller sees it.

use std::sync::Arc;

use bore_control::limits::Quotas;
use bore_control::{Caller, OverlayAddressing as _, Settings};
use http::StatusCode;
use serde_json::{Value, json};

use crate::lab::{Lab, request};
use crate::relay::FakeRelay;

#[tokio::test]
async fn health_needs_no_key_and_names_the_store() {
    let lab = Lab::new().await;
    let health = lab.tcp("GET", "/v1/health", None, Value::Null).await.ok();
    assert_eq!(
        (&health["status"], &health["store"], &health["database"]),
        (&"ok".into(), &"ok".into(), &"sqlite".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_a_problem_and_decisions_go_on() {
    let server = crate::postgres::Server::start();
    let folder = tempfile::tempdir().unwrap();
    let url = server.database().await;
    let store =
        bore_control::store::create(&url, folder.path(), crate::lab::audit_key()).await.unwrap();
    let control = Arc::new(FakeRelay::default()).control(store, Settings::default()).await;
    control.networks().create("home", &bore_api::model::Actor::System).await.unwrap();
    drop(server);

    let lab = Lab::new().await;
    let peer = Caller::Tcp { peer: "198.51.100.7:1".parse().unwrap() };
    let router = bore_control::tcp_router(control.clone());
    let away = lab.send(router, peer, request("GET", "/v1/health", &Value::Null)).await;
    assert_eq!((away.status, away.code()), (StatusCode::SERVICE_UNAVAILABLE, "B6106"));
    assert_eq!(control.directory().networks().len(), 1, "what is in memory goes on");
}

#[tokio::test]
async fn health_tells_of_a_full_disk_and_of_its_end() {
    let disk = crate::small_disk::SmallDisk::mount();
    let lab = Lab::in_folder(Quotas::default(), &disk.folder).await;
    let filler = disk.fill();
    let full = lab.admin("POST", "/v1/networks", json!({"name": "home"})).await;
    assert_eq!(full.refusal(), (507, "B6101"));
    let health = lab.tcp("GET", "/v1/health", None, Value::Null).await;
    assert_eq!(health.refusal(), (507, "B6101"));

    std::fs::remove_file(filler).unwrap();
    lab.tcp("GET", "/v1/health", None, Value::Null).await.ok();
    lab.admin("POST", "/v1/networks", json!({"name": "home"})).await.ok();
}

#[tokio::test]
async fn many_who_ask_for_health_cause_one_change() {
    let lab = Lab::new().await;
    let asked = (0..100).map(|_| lab.tcp("GET", "/v1/health", None, Value::Null));
    for answer in futures_util::future::join_all(asked).await {
        answer.ok();
    }
    assert_eq!(lab.audit_rows().await, 1, "and none of it is in the trail");
}

#[tokio::test]
async fn unknown_routes_methods_and_bodies_are_problems_too() {
    let lab = Lab::new().await;
    let admin = Some(lab.admin.as_str());
    assert_eq!(lab.tcp("GET", "/nothing", admin, Value::Null).await.refusal(), (404, "B2112"));
    assert_eq!(lab.tcp("DELETE", "/v1/health", admin, Value::Null).await.refusal(), (405, "B2112"));
    assert_eq!(
        lab.tcp("GET", "/v1/networks?colour=red", admin, Value::Null).await.refusal(),
        (400, "B2112")
    );
    assert_eq!(
        lab.tcp("GET", "/v1/networks?limit=0", admin, Value::Null).await.refusal(),
        (400, "B2112")
    );
    assert_eq!(
        lab.tcp("GET", "/v1/networks/%ff", admin, Value::Null).await.refusal(),
        (400, "B2112")
    );

    let send = async |kind: &str, body: Vec<u8>| {
        let caller = Caller::Tcp { peer: "198.51.100.7:1".parse().unwrap() };
        let request = http::Request::post("/v1/networks")
            .header("authorization", format!("Bearer {}", lab.admin))
            .header("content-type", kind)
            .body(body.into());
        lab.send(bore_control::tcp_router(lab.control.clone()), caller, request.unwrap()).await
    };
    assert_eq!(
        send("text/plain", b"{\"name\":\"a\"}".into()).await.status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    assert_eq!(
        send("application/json", vec![b' '; 300_000]).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(send("application/json", b"{".into()).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        send("application/json; charset=utf-8", b"{\"name\":\"a\"}".into()).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn web_pages_cannot_use_the_tunnel_of_their_machine() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    for header in ["origin", "sec-fetch-site"] {
        let mut request = request("GET", "/v1/nodes/self", &Value::Null);
        request.headers_mut().insert(header, "https://evil.example".parse().unwrap());
        let caller = Caller::Node { node: nas.id, network: nas.network };
        let answer =
            lab.send(bore_control::overlay_router(lab.control.clone()), caller, request).await;
        assert_eq!(answer.refusal(), (403, "B2112"), "{header}");
    }
}

#[tokio::test]
async fn a_page_whose_name_leads_to_the_relay_is_told_nothing() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let nas = lab.node(home, "nas").await;
    let key = lab.relay.identity().public_key;
    let own_v6 = lab.relay.overlay_v6(home, &key).unwrap();
    let elsewhere = lab.relay.overlay_v6(lab.network("other").await, &key).unwrap();
    let call = async |host: Option<&str>| {
        let mut request = request("GET", "/v1/nodes", &Value::Null);
        if let Some(host) = host {
            request.headers_mut().insert("host", host.parse().unwrap());
        }
        let caller = Caller::Node { node: nas.id, network: nas.network };
        lab.send(bore_control::overlay_router(lab.control.clone()), caller, request).await
    };
    for host in ["100.64.0.1", "100.64.0.1:80", &format!("[{own_v6}]"), &format!("[{own_v6}]:80")] {
        call(Some(host)).await.ok();
    }
    for host in
        ["evil.example", "evil.example:80", "100.64.0.2", "localhost", &format!("[{elsewhere}]")]
    {
        assert_eq!(call(Some(host)).await.refusal(), (421, "B2112"), "{host}");
    }
    assert_eq!(call(None).await.refusal(), (421, "B2112"));
}
