//! The API of keys, as a caller sees it.

use bore_api::model::{Actor, Scope};
use bore_api::wire::NewApiKey;
use http::StatusCode;
use serde_json::{Value, json};

use crate::lab::Lab;

#[tokio::test]
async fn a_key_is_missing_mistyped_unknown_expired_or_revoked_each_by_its_code() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let get = async |key: Option<&str>| lab.tcp("GET", "/v1/relay", key, Value::Null).await;

    assert_eq!(get(None).await.refusal(), (401, "B3201"));
    assert_eq!(get(Some("bore_join_abc")).await.refusal(), (401, "B3202"));
    let mut mistyped = lab.admin.clone();
    let last = mistyped.pop().unwrap();
    mistyped.push(if last == 'a' { 'b' } else { 'a' });
    assert!(get(Some(&mistyped)).await.body["detail"].as_str().unwrap().contains("checksum"));
    let unknown = bore_control::token::generate_api_token(uuid::Uuid::now_v7()).unwrap().reveal();
    assert_eq!(get(Some(&unknown)).await.refusal(), (401, "B3202"));

    let created =
        lab.admin("POST", "/v1/networks/home/api-keys", json!({"scopes": ["read"]})).await.ok();
    let key = created["key"].as_str().unwrap();
    let forged = bore_control::token::generate_api_token(
        created["item"]["id"].as_str().unwrap().parse().unwrap(),
    );
    assert_eq!(
        get(Some(&forged.unwrap().reveal())).await.refusal(),
        (401, "B3202"),
        "the id alone proves nothing"
    );
    assert_eq!(get(Some(key)).await.status, StatusCode::OK);
    let path = format!("/v1/networks/home/api-keys/{}", created["item"]["id"].as_str().unwrap());
    assert_eq!(lab.admin("DELETE", &path, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(get(Some(key)).await.refusal(), (401, "B3203"));

    let soon = NewApiKey {
        scopes: vec![Scope::Read],
        expires_at: Some(now() + 200_000),
        ..NewApiKey::default()
    };
    let soon = lab.control.api_keys().create(Some(home), &soon, &Actor::System).await.unwrap();
    while now() < soon.item.expires_at {
        tokio::task::yield_now().await;
    }
    assert_eq!(get(Some(&soon.key)).await.refusal(), (401, "B3203"));
}

#[tokio::test]
async fn a_scope_opens_its_routes_and_no_others() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    lab.node(home, "nas").await;
    let read = lab.key(home, &[Scope::Read]).await;
    let nodes = lab.key(home, &[Scope::NodesWrite]).await;

    for (key, method, path, body, status) in [
        (&read, "GET", "nodes", Value::Null, 200),
        (&read, "GET", "join-keys", Value::Null, 200),
        (&read, "GET", "audit", Value::Null, 403),
        (&read, "PATCH", "nodes/nas", json!({"name": "pi"}), 403),
        (&read, "POST", "join-keys", json!({}), 403),
        (&nodes, "GET", "nodes", Value::Null, 200),
        (&nodes, "GET", "join-keys", Value::Null, 403),
        (&nodes, "PATCH", "nodes/nas", json!({"name": "pi"}), 200),
        (&nodes, "POST", "api-keys", json!({"scopes": ["nodes:write"]}), 403),
    ] {
        let answer = lab.tcp(method, &format!("/v1/networks/home/{path}"), Some(key), body).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {}", answer.text);
        assert!(status != 403 || answer.code() == "B3204");
    }
    assert_eq!(
        lab.tcp("POST", "/v1/networks", Some(&nodes), json!({"name": "x"})).await.code(),
        "B3204"
    );
}

#[tokio::test]
async fn attack_08_no_key_makes_a_key_that_may_more_than_itself() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let maker = lab.key(home, &[Scope::KeysWrite, Scope::Read]).await;
    let make = async |scopes: Value| {
        lab.tcp("POST", "/v1/networks/home/api-keys", Some(&maker), json!({"scopes": scopes})).await
    };
    assert_eq!(make(json!(["read"])).await.status, StatusCode::CREATED);
    for scopes in [json!(["admin"]), json!(["nodes:write"]), json!(["read", "audit:read"])] {
        assert_eq!(make(scopes).await.code(), "B3204");
    }
    let admin = lab.admin("POST", "/v1/networks/home/api-keys", json!({"scopes": ["admin"]})).await;
    assert_eq!(admin.refusal(), (400, "B2112"), "admin is the cluster's only");
    assert_eq!(make(json!([])).await.code(), "B2112");
}

#[tokio::test]
async fn keys_of_the_cluster_are_the_administrators_only() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let created = lab
        .admin("POST", "/v1/api-keys", json!({"scopes": ["read"], "description": "monitoring"}))
        .await
        .ok();
    let monitoring = created["key"].as_str().unwrap();
    let everywhere = lab.tcp("GET", "/v1/networks/home/nodes", Some(monitoring), Value::Null).await;
    assert_eq!(everywhere.status, StatusCode::OK, "a key of the cluster sees every network");

    for key in [monitoring, &lab.key(home, &[Scope::KeysWrite]).await] {
        assert_eq!(lab.tcp("GET", "/v1/api-keys", Some(key), Value::Null).await.code(), "B3204");
        assert_eq!(
            lab.tcp("POST", "/v1/api-keys", Some(key), json!({"scopes": ["read"]})).await.code(),
            "B3204"
        );
    }
    let path = format!("/v1/api-keys/{}", created["item"]["id"].as_str().unwrap());
    assert_eq!(lab.admin("GET", &path, Value::Null).await.ok()["description"], "monitoring");
    lab.admin("DELETE", &path, Value::Null).await.ok();
    assert_eq!(lab.tcp("GET", "/v1/relay", Some(monitoring), Value::Null).await.code(), "B3203");
}

#[tokio::test]
async fn join_keys_are_listed_page_by_page_and_revoked() {
    let lab = Lab::new().await;
    lab.network("home").await;
    let mut made = Vec::new();
    for _ in 0..5 {
        let created =
            lab.admin("POST", "/v1/networks/home/join-keys", json!({"uses_max": 3})).await.ok();
        made.push(created["item"]["id"].as_str().unwrap().to_owned());
    }
    let (mut listed, mut after) = (Vec::new(), String::new());
    loop {
        let page = lab
            .admin("GET", &format!("/v1/networks/home/join-keys?limit=2{after}"), Value::Null)
            .await
            .ok();
        listed.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|key| key["id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(listed, made);
    let path = format!("/v1/networks/home/join-keys/{}", made[0]);
    lab.admin("DELETE", &path, Value::Null).await.ok();
    assert!(lab.admin("GET", &path, Value::Null).await.ok()["revoked_at"].is_i64());

    for body in [json!({"uses_max": 0}), json!({"expires_at": 5}), json!({"uses": 3})] {
        assert_eq!(
            lab.admin("POST", "/v1/networks/home/join-keys", body).await.refusal(),
            (400, "B2112")
        );
    }
    let unknown =
        lab.admin("POST", "/v1/networks/home/join-keys", json!({"groups": ["dev"]})).await;
    assert_eq!(unknown.refusal(), (404, "B3205"));
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

#[tokio::test]
async fn attack_08_no_key_outlives_the_key_that_made_it() {
    let lab = Lab::new().await;
    lab.network("home").await;
    let end = now() + 3_600_000_000;
    let body = json!({ "scopes": ["keys:write", "read"], "expires_at": end });
    let parent = lab.admin("POST", "/v1/networks/home/api-keys", body).await.ok();
    let parent_id = parent["item"]["id"].clone();
    let key = parent["key"].as_str().unwrap();
    let make = async |what: &str, body: Value| {
        lab.tcp("POST", &format!("/v1/networks/home/{what}"), Some(key), body).await
    };

    let scopes = json!(["read"]);
    let longer = json!({ "scopes": scopes, "expires_at": end + 1 });
    let refused = make("api-keys", longer).await;
    assert_eq!(refused.refusal(), (400, "B2112"));
    assert!(refused.body["detail"].as_str().unwrap().contains("outlives"), "{}", refused.text);
    assert_eq!(make("join-keys", json!({ "expires_at": end + 1 })).await.refusal(), (400, "B2112"));

    for (what, body) in [("api-keys", json!({ "scopes": scopes })), ("join-keys", json!({}))] {
        let child = make(what, body).await.ok();
        assert_eq!(child["item"]["expires_at"], end, "{what} without a wish");
        assert_eq!(child["item"]["maker"], parent_id, "{what}");
    }
    let shorter = json!({ "scopes": scopes, "expires_at": end - 1 });
    assert_eq!(make("api-keys", shorter).await.ok()["item"]["expires_at"], end - 1);
    let shown = lab.admin("GET", "/v1/networks/home/api-keys", Value::Null).await.ok();
    assert_eq!(shown["items"][1]["maker"], parent_id, "the list of keys shows their maker");
}

#[tokio::test]
async fn a_key_is_revoked_with_all_that_it_made_when_that_is_wanted() {
    for with_made in [false, true] {
        let lab = Lab::new().await;
        let home = lab.network("home").await;
        let body = json!({ "scopes": ["keys:write", "read"] });
        let parent = lab.admin("POST", "/v1/networks/home/api-keys", body.clone()).await.ok();
        let make = async |by: &Value, what: &str, body: Value| {
            let path = format!("/v1/networks/home/{what}");
            lab.tcp("POST", &path, by["key"].as_str(), body).await.ok()
        };
        let child = make(&parent, "api-keys", body.clone()).await;
        let grandchild = make(&child, "api-keys", body.clone()).await;
        let join_key = make(&grandchild, "join-keys", json!({})).await;
        let other = lab.key(home, &[Scope::Read]).await;

        let id = |made: &Value| made["item"]["id"].as_str().unwrap().to_owned();
        let revoke = async |made: &Value, query: &str| {
            let path = format!("/v1/networks/home/api-keys/{}{query}", id(made));
            lab.admin("DELETE", &path, Value::Null).await.ok()
        };
        revoke(&child, "").await;
        revoke(&parent, if with_made { "?made=true" } else { "" }).await;

        let holds = async |key: &str| {
            lab.tcp("GET", "/v1/relay", Some(key), Value::Null).await.status == StatusCode::OK
        };
        assert!(!holds(parent["key"].as_str().unwrap()).await);
        assert!(holds(&other).await);
        let machine = lab.machine();
        let body = crate::lab::join_body(join_key["key"].as_str().unwrap(), "laptop");
        let joined = lab.garden(&machine, &body).await;
        assert_eq!(holds(grandchild["key"].as_str().unwrap()).await, !with_made);
        assert_eq!(joined.status == StatusCode::OK, !with_made, "{}", joined.text);
    }
}

#[tokio::test]
async fn attack_42_wrong_keys_are_limited_by_source_and_a_key_that_holds_is_not() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let late = lab.key(home, &[Scope::Read]).await;
    lab.tcp("GET", "/v1/relay", Some(&lab.admin), Value::Null).await.ok();
    let wrong = || bore_control::token::generate_api_token(uuid::Uuid::now_v7()).unwrap().reveal();
    let mut statuses = Vec::new();
    for _ in 0..40 {
        let key = wrong();
        statuses.push(lab.tcp("GET", "/v1/relay", Some(&key), Value::Null).await.refusal().0);
    }
    assert_eq!(&statuses[..20], [401; 20]);
    assert!(statuses[30..].contains(&429), "{statuses:?}");
    assert!(lab.counted("authentications_failed") >= 20);
    assert!(lab.counted("authentications_limited") > 0);
    lab.tcp("GET", "/v1/relay", Some(&lab.admin), Value::Null).await.ok();
    lab.tcp("GET", "/v1/relay", Some(&late), Value::Null).await.ok();
}

/// As with a relay that starts anew while a caller behind the same proxy goes on showing wrong keys.
#[tokio::test]
async fn attack_42_wrong_keys_of_others_lock_no_key_out_that_was_not_seen_yet() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let restarted = lab.restarted().await;
    let show = async |key: &str| {
        let mut request = crate::lab::request("GET", "/v1/relay", &Value::Null);
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        let peer = "198.51.100.7:1234".parse().unwrap();
        let router = bore_control::tcp_router(restarted.clone());
        lab.send(router, bore_control::Caller::Tcp { peer }, request).await.refusal().0
    };
    let wrong = |id| bore_control::token::generate_api_token(id).unwrap().reveal();
    for _ in 0..100 {
        show(&wrong(uuid::Uuid::now_v7())).await;
    }
    assert_eq!(show(&wrong(uuid::Uuid::now_v7())).await, 429);

    assert_eq!(show(&lab.admin).await, 200);
    let wanted = NewApiKey { scopes: vec![Scope::Read], ..NewApiKey::default() };
    let fresh = restarted.api_keys().create(Some(home), &wanted, &Actor::System).await.unwrap();
    assert_eq!(show(&fresh.key).await, 200);
    for _ in 0..100 {
        show(&wrong(fresh.item.id)).await;
    }
    assert_eq!(show(&wrong(fresh.item.id)).await, 429, "an id that is known is no way around");
    assert_eq!(show(&lab.admin).await, 200, "and uses up its own only");
}
