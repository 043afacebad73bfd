//! The API of join, as a caller sees it.

use bore_api::model::{Actor, NodeKind};
use bore_api::wire::NewJoinKey;
use bore_control::OverlayAddressing as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::lab::{Lab, join_body};

#[tokio::test]
async fn a_join_key_makes_a_node_and_the_same_again_spends_nothing() {
    let lab = Lab::new().await;
    let network = lab.network("home").await;
    let wanted = NewJoinKey { uses_max: Some(1), ..NewJoinKey::default() };
    let key = lab.control.join_keys().create(network, &wanted, &Actor::System).await.unwrap();
    let machine = lab.machine();

    let first = lab.garden(&machine, &join_body(&key.key, "Bob's Laptop")).await.ok();
    assert_eq!(first["node"]["name"], "bob-s-laptop");
    assert_eq!(first["relay_v4"], "100.64.0.1");
    assert_eq!(first["control_port"], 80);
    assert_eq!(
        first["relay_v6"],
        json!(lab.relay.overlay_v6(network, &lab.relay.identity().public_key))
    );
    let again = lab.garden(&machine, &join_body(&key.key, "Bob's Laptop")).await.ok();
    assert_eq!(again, first, "a lost answer costs nothing");

    let stranger = lab.garden(&lab.machine(), &join_body(&key.key, "other")).await;
    assert_eq!(stranger.refusal(), (403, "B3105"));
    assert_eq!(lab.control.directory().nodes().len(), 1);
    assert_eq!(lab.relay.admitted.lock().unwrap()[0], lab.control.directory().nodes()[0].id);
    assert_eq!(lab.control.directory().nodes()[0].kind, NodeKind::Agent);
}

#[tokio::test]
async fn attack_02_who_does_not_prove_the_secret_hears_one_answer_whatever_is_wrong() {
    let lab = Lab::new().await;
    let (home, other) = (lab.network("home").await, lab.network("other").await);
    let keys = Keys::new(&lab, home).await;

    let mut answers = Vec::new();
    for key in [&keys.good, &keys.expired, &keys.spent, &keys.revoked] {
        let good = join_body(key, "laptop");
        answers.push(
            lab.garden(
                &lab.machine(),
                &with(&good, "secret", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAA")),
            )
            .await,
        );
        let unknown = with(&good, "key_id", json!(Uuid::now_v7()));
        answers.push(lab.garden(&lab.machine(), &unknown).await);
        let elsewhere = with(&unknown, "network", json!(other));
        answers.push(lab.garden(&lab.machine(), &with(&elsewhere, "name", json!("\r\n"))).await);
        answers.push(
            lab.garden(&lab.machine(), &with(&unknown, "network", json!(Uuid::now_v7()))).await,
        );
        answers.push(lab.garden("no key at all", &good).await);
    }
    for answer in &answers {
        assert_eq!(answer.refusal(), (403, "B3103"));
        assert_eq!(answer, &answers[0]);
    }
}

#[tokio::test]
async fn attack_02_who_proves_the_secret_hears_what_is_wrong_with_the_key() {
    let lab = Lab::new().await;
    let (home, other) = (lab.network("home").await, lab.network("other").await);
    let keys = Keys::new(&lab, home).await;

    for (key, code) in [(&keys.expired, "B3104"), (&keys.spent, "B3105"), (&keys.revoked, "B3106")]
    {
        assert_eq!(lab.garden(&lab.machine(), &join_body(key, "laptop")).await.code(), code);
    }
    let elsewhere = with(&join_body(&keys.good, "laptop"), "network", json!(other));
    assert_eq!(lab.garden(&lab.machine(), &elsewhere).await.code(), "B3107");

    let machine = lab.machine();
    lab.garden(&machine, &join_body(&keys.good, "laptop")).await.ok();
    let second =
        lab.control.join_keys().create(home, &NewJoinKey::default(), &Actor::System).await.unwrap();
    assert_eq!(
        lab.garden(&machine, &join_body(&second.key, "laptop")).await.refusal(),
        (409, "B3108")
    );
}

#[tokio::test]
async fn attack_02_a_stranger_with_a_dead_key_writes_one_row_however_often_it_asks() {
    let lab = Lab::new().await;
    let network = lab.network("home").await;
    let keys = Keys::new(&lab, network).await;
    for (key, code) in [(&keys.expired, "B3104"), (&keys.spent, "B3105"), (&keys.revoked, "B3106")]
    {
        let rows = lab.audit_rows().await;
        let mut answers = std::collections::BTreeMap::new();
        for number in 0..500 {
            let source = format!("203.0.113.{}", number % 250);
            let answer = lab.garden_from(&source, &lab.machine(), &join_body(key, "x")).await;
            *answers.entry(answer.code().to_owned()).or_insert(0) += 1;
        }
        assert_eq!(lab.audit_rows().await, rows + 1, "{code}");
        assert_eq!((answers[code], answers["B2109"]), (10, 490), "all but the first cost no look");
    }
    assert_eq!(lab.counted("joins_limited"), 3 * 490);
    assert_eq!(lab.counted("joins_refused"), 3 * 10);
    let good = lab.garden(&lab.machine(), &join_body(&keys.good, "laptop")).await;
    good.ok();
}

#[tokio::test]
async fn attack_02_guesses_are_limited_by_machine_and_by_source_and_nobody_else_notices() {
    let lab = Lab::new().await;
    let network = lab.network("home").await;
    let key = Keys::new(&lab, network).await.good;
    let guess = with(&join_body(&key, "x"), "secret", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    let rows = lab.audit_rows().await;

    let machine = lab.machine();
    let mut codes = Vec::new();
    for number in 0..20 {
        let source = format!("203.0.113.{number}");
        codes.push(lab.garden_from(&source, &machine, &guess).await.refusal().0);
    }
    assert_eq!(codes, [vec![403; 10], vec![429; 10]].concat(), "one machine, many addresses");

    let mut refused = 0;
    for number in 0..300 {
        let source = format!("2001:db8:0:1{:02x}::1", number % 256);
        refused +=
            u32::from(lab.garden_from(&source, &lab.machine(), &guess).await.refusal().0 == 403);
    }
    assert!((100..200).contains(&refused), "one source, many machines: {refused}");
    assert_eq!(lab.audit_rows().await, rows);

    let elsewhere = lab.garden_from("2001:db8:1::1", &lab.machine(), &join_body(&key, "nas")).await;
    elsewhere.ok();
}

#[tokio::test]
async fn a_fleet_joins_from_one_address_without_being_limited() {
    let lab = Lab::new().await;
    let network = lab.network("home").await;
    let wanted = NewJoinKey::default();
    let key = lab.control.join_keys().create(network, &wanted, &Actor::System).await.unwrap().key;
    for _ in 0..300 {
        lab.garden(&lab.machine(), &join_body(&key, "runner")).await.ok();
    }
}

#[tokio::test]
async fn a_joined_node_is_in_the_groups_of_its_key_at_once() {
    let lab = Lab::new().await;
    let network = lab.network("home").await;
    lab.admin("POST", "/v1/networks/home/groups", json!({"name": "dev"})).await.ok();
    let node = lab.node_in(network, "laptop", &["dev"]).await;

    assert_eq!(node.groups, ["dev"]);
    let visitor = lab.control.directory().visitor_node(node.id).unwrap();
    assert_eq!(visitor.groups.len(), 1);
    let group = lab.admin("GET", "/v1/networks/home/groups/dev", Value::Null).await.ok();
    assert_eq!(group["nodes"], json!([node.id]));
}

#[tokio::test]
async fn a_joiner_may_ask_to_be_ephemeral() {
    let lab = Lab::new().await;
    let network = lab.network("home").await;
    let wanted = NewJoinKey::default();
    let key = lab.control.join_keys().create(network, &wanted, &Actor::System).await.unwrap().key;

    let body = with(&join_body(&key, "runner"), "ephemeral", json!(true));
    let joined = lab.garden(&lab.machine(), &body).await.ok();
    assert_eq!(joined["node"]["ephemeral"], true);
}

#[tokio::test]
async fn the_garden_has_one_route() {
    let lab = Lab::new().await;
    let source = "198.51.100.7".parse().unwrap();
    let caller = || bore_control::Caller::Pending { public_key: lab.machine(), source };
    for (method, path, status) in
        [("GET", "/v1/health", 404), ("GET", "/v1/nodes/self", 404), ("GET", "/v1/join", 405)]
    {
        let request = crate::lab::request(method, path, &Value::Null);
        let request = crate::lab::to("[fd62:6f72:6500::1]", request);
        let answer =
            lab.send(bore_control::garden_router(lab.control.clone()), caller(), request).await;
        assert_eq!(answer.refusal(), (status, "B2112"), "{method} {path}");
    }
}

/// Keys in every state.
struct Keys {
    good: String,
    expired: String,
    spent: String,
    revoked: String,
}

impl Keys {
    async fn new(lab: &Lab, network: Uuid) -> Self {
        let make = async |uses_max| {
            let wanted = NewJoinKey { uses_max, ..NewJoinKey::default() };
            lab.control.join_keys().create(network, &wanted, &Actor::System).await.unwrap()
        };
        let [good, expired, spent, revoked] =
            [make(None).await, make(None).await, make(Some(1)).await, make(None).await];
        lab.garden(&lab.machine(), &join_body(&spent.key, "first")).await.ok();
        lab.control.join_keys().revoke(network, revoked.item.id, &Actor::System).await.unwrap();
        expire(lab, expired.item.id).await;
        Self { good: good.key, expired: expired.key, spent: spent.key, revoked: revoked.key }
    }
}

/// Time passes for one key.
async fn expire(lab: &Lab, key: Uuid) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(lab.database());
    let mut database =
        <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    let changed = sqlx::query("UPDATE join_keys SET expires_at = 1 WHERE id = $1")
        .bind(key)
        .execute(&mut database)
        .await
        .unwrap();
    assert_eq!(changed.rows_affected(), 1);
}

fn with(body: &Value, field: &str, value: Value) -> Value {
    let mut body = body.clone();
    body[field] = value;
    body
}
