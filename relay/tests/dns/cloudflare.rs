//! A small fake of Cloudflare's API that keeps its records in a zone of ours, so that they become visible.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{delete, get};
use axum::{Json, Router};
use bore_relay::dns::TxtRecords;
use bore_relay::dns::cloudflare::Cloudflare;
use bore_relay::dns::lookups::Lookups;
use bore_relay::dns::zone::{Standing, Zone};
use bore_relay::{Config, DnsProvider};
use serde_json::{Value, json};
use std::collections::HashMap;

use crate::authority::Authority;
use crate::dig::dig;

#[tokio::test]
async fn records_are_made_found_and_deleted_by_its_calls() {
    let (authority, api) = start().await;
    let records = client(&authority, api, "good-token");
    records.publish(NAME, "apex").await.unwrap();
    records.publish(NAME, "wildcard").await.unwrap();
    assert_eq!(dig(authority.at, &format!("{NAME} TXT")).await.answers().len(), 2);
    records.withdraw(NAME, "apex").await.unwrap();
    let dug = dig(authority.at, &format!("{NAME} TXT")).await;
    assert_eq!(dug.answers(), [format!("{NAME}. 5 IN TXT \"wildcard\"")]);
    records.withdraw(NAME, "apex").await.unwrap();
}

#[tokio::test]
async fn a_token_that_may_not_and_a_zone_that_is_not_there_are_told() {
    let (authority, api) = start().await;
    let error = client(&authority, api, "bad").publish(NAME, "v").await.unwrap_err().to_string();
    assert!(error.contains("status 403: Authentication error (10000)"), "{error}");
    assert!(!error.contains("bad\""), "no token in {error}");
    let error = client_of(&authority, api, "good-token", "other.example");
    let error = error.publish(NAME, "v").await.unwrap_err().to_string();
    assert!(error.contains("the token sees no zone other.example"), "{error}");
    let nobody = client(&authority, (Ipv4Addr::LOCALHOST, 1).into(), "good-token");
    let error = nobody.publish(NAME, "v").await.unwrap_err().to_string();
    assert!(error.contains("refused"), "{error}");
}

#[derive(Clone)]
struct Fake {
    zone: Arc<Zone>,
    /// Name and content by number.
    records: Arc<Mutex<Records>>,
}

type Records = Vec<Option<(String, String)>>;

type Answer = (StatusCode, Json<Value>);

/// The zone names the server itself, so that whoever looks for its servers finds it.
async fn start() -> (Authority, SocketAddr) {
    let zone = Zone::new("t.example.org", "127.0.0.1", 7, Box::new(|_| Standing::Absent)).unwrap();
    zone.set_addresses(vec![Ipv4Addr::LOCALHOST.into()]);
    let authority = Authority::start_with(zone).await;
    let fake = Fake { zone: Arc::clone(&authority.zone), records: Arc::default() };
    let router = Router::new()
        .route("/zones", get(zones))
        .route("/zones/{zone}/dns_records", get(list).post(create))
        .route("/zones/{zone}/dns_records/{record}", delete(remove))
        .with_state(fake);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        }
    });
    (authority, at)
}

async fn zones(headers: HeaderMap, Query(query): Query<HashMap<String, String>>) -> Answer {
    if headers["authorization"] != "Bearer good-token" {
        let error = json!({"code": 10000, "message": "Authentication error"});
        let answer = json!({"success": false, "errors": [error], "result": null});
        return (StatusCode::FORBIDDEN, Json(answer));
    }
    let found = if query["name"] == "t.example.org" { json!([{"id": "z1"}]) } else { json!([]) };
    good(found)
}

async fn create(State(fake): State<Fake>, Path(zone): Path<String>, body: Json<Value>) -> Answer {
    assert_eq!((zone.as_str(), body["type"].as_str()), ("z1", Some("TXT")));
    let (name, content) = (text(&body["name"]), text(&body["content"]));
    fake.zone.publish_txt(&name, content.trim_matches('"')).unwrap();
    fake.records.lock().unwrap().push(Some((name, content)));
    good(json!({"id": "made"}))
}

async fn list(State(fake): State<Fake>, Query(query): Query<HashMap<String, String>>) -> Answer {
    let records = fake.records.lock().unwrap();
    let numbered =
        records.iter().enumerate().filter_map(|(id, record)| Some((id, record.as_ref()?)));
    let found: Vec<Value> = numbered
        .filter(|(_, (name, _))| *name == query["name"])
        .map(
            |(id, (name, content))| json!({"id": id.to_string(), "name": name, "content": content}),
        )
        .collect();
    good(json!(found))
}

async fn remove(State(fake): State<Fake>, Path((_, id)): Path<(String, usize)>) -> Answer {
    let (name, content) = fake.records.lock().unwrap()[id].take().unwrap();
    fake.zone.withdraw_txt(&name, content.trim_matches('"')).unwrap();
    good(json!({"id": id.to_string()}))
}

fn good(result: Value) -> Answer {
    (StatusCode::OK, Json(json!({"success": true, "errors": [], "result": result})))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn client(authority: &Authority, api: SocketAddr, token: &str) -> Cloudflare {
    client_of(authority, api, token, "t.example.org")
}

/// As the relay makes it, from its configuration.
fn client_of(authority: &Authority, api: SocketAddr, token: &str, zone: &str) -> Cloudflare {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, token).unwrap();
    let text = format!(
        "host = \"relay.example.org\"\ndomain = \"t.example.org\"\n[dns]\nprovider = \"cloudflare\"\n\
         zone = \"{zone}\"\ncloudflare_api = \"http://{api}\"\ncloudflare_token_file = \"{}\"\n",
        file.display()
    );
    let Some(DnsProvider::Cloudflare(settings)) = Config::parse(&text).unwrap().dns else {
        panic!()
    };
    let lookups = Lookups::through(authority.at, authority.at.port()).unwrap();
    Cloudflare::new(&settings, lookups).unwrap()
}

const NAME: &str = "_acme-challenge.t.example.org";
