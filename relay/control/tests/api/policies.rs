//! The API of policies, as a caller sees it.

use bore_api::model::{Actor, Node};
use bore_control::event::{Change, Subject};
use bore_policy::Visitor;
use serde_json::{Value, json};

use crate::lab::Lab;

#[tokio::test]
async fn a_policy_holds_for_the_next_visit_and_is_announced() {
    let lab = Lab::new().await;
    let (_, game) = lab_with_game(&lab).await;
    let before = lab.control.directory().policy(game.network).unwrap().revision;
    let visitor = Visitor::public("198.51.100.1".parse().unwrap());
    assert!(lab.control.directory().visitor_decision(game.id, &visitor).allowed);
    let mut changes = lab.control.directory().subscribe();

    let stored = put(&lab, "office", deny("198.51.100.0/24"), 0).await.ok();
    assert_eq!(stored["revision"], 1);
    assert!(!lab.control.directory().visitor_decision(game.id, &visitor).allowed);
    let event = changes.recv().await.unwrap();
    let Subject::Policy(Change::Came(policy)) = &event.subject else { panic!("{event:?}") };
    assert_eq!((policy.name.as_str(), event.network), ("office", Some(game.network)));
    assert!(lab.control.directory().policy(game.network).unwrap().revision > before);
    let restarted = lab.restarted().await;
    assert!(!restarted.directory().visitor_decision(game.id, &visitor).allowed);

    lab.admin("DELETE", "/v1/networks/home/policies/office", Value::Null).await.ok();
    assert!(lab.control.directory().visitor_decision(game.id, &visitor).allowed);
}

#[tokio::test]
async fn a_writer_that_read_another_revision_is_refused() {
    let lab = Lab::new().await;
    lab.network("home").await;
    put(&lab, "office", deny("198.51.100.0/24"), 0).await.ok();
    for stale in [0, 2] {
        assert_eq!(put(&lab, "office", deny("10.0.0.0/8"), stale).await.refusal(), (409, "B4103"));
    }
    assert_eq!(put(&lab, "office", deny("10.0.0.0/8"), 1).await.ok()["revision"], 2);
    assert_eq!(
        put(&lab, "explain", deny("10.0.0.0/8"), 0).await.refusal(),
        (405, "B2112"),
        "a route of its own"
    );
    assert_eq!(put(&lab, "Office", deny("10.0.0.0/8"), 0).await.refusal(), (422, "B2101"));
}

#[tokio::test]
async fn every_error_of_a_policy_is_reported_and_nothing_changes() {
    let lab = Lab::new().await;
    lab.network("home").await;
    let rule = |name: &str, from: &str| json!({"name": name, "effect": "deny", "from": [from], "to": ["any"]});
    let broken =
        put(&lab, "office", json!({"visit": [rule("a", "group:x"), rule("a", "group:y")]}), 0)
            .await;
    assert_eq!(broken.refusal(), (422, "B4102"));
    assert_eq!(broken.body["errors"].as_array().unwrap().len(), 3, "{}", broken.text);

    let unreadable = put(&lab, "office", json!({"visit": [rule("a", "10.0.0.1/8")]}), 0).await;
    assert_eq!(unreadable.refusal(), (422, "B4102"));
    assert!(
        unreadable.body["detail"].as_str().unwrap().contains("visit[0].from"),
        "{}",
        unreadable.text
    );
    assert_eq!(put(&lab, "office", json!({"vist": []}), 0).await.code(), "B4102");
    assert_eq!(
        lab.admin("GET", "/v1/networks/home/policies", Value::Null).await.ok()["items"],
        json!([])
    );
}

#[tokio::test]
async fn a_visit_is_explained_with_the_rule_that_decides() {
    let lab = Lab::new().await;
    let (nas, _) = lab_with_game(&lab).await;
    put(&lab, "office", deny("198.51.100.0/24"), 0).await.ok();
    let explain = async |from: &str| {
        let body = json!({"from": from, "to": "game"});
        lab.admin("POST", "/v1/networks/home/policies/explain", body).await
    };
    let denied = explain("198.51.100.1").await.ok();
    assert_eq!(denied["allowed"], false);
    assert_eq!(denied["by"], "rule office/rule");
    assert!(!denied["steps"].as_array().unwrap().is_empty());
    assert_eq!(explain(&format!("node:{}", nas.name)).await.ok()["allowed"], true);
    assert_eq!(explain("node:nobody").await.refusal(), (404, "B3205"));
    assert_eq!(explain("nonsense").await.refusal(), (400, "B2112"));
}

#[tokio::test]
async fn groups_decide_at_once_and_stay_while_something_names_them() {
    let lab = Lab::new().await;
    let (nas, game) = lab_with_game(&lab).await;
    lab.admin("POST", "/v1/networks/home/groups", json!({"name": "dev", "nodes": []})).await.ok();
    let open_to_dev = json!({"name": "game", "protocol": "udp", "target": "7777", "port": 7777, "access": {"allow": ["group:dev"]}});
    lab.publish(&nas, open_to_dev).await.ok();
    let admitted = || {
        let visitor = Visitor::overlay(
            nas.overlay_v4.into(),
            lab.control.directory().visitor_node(nas.id).unwrap(),
        );
        lab.control.directory().visitor_decision(game.id, &visitor).allowed
    };
    assert!(!admitted());
    lab.admin("PUT", "/v1/networks/home/groups/dev", json!({"nodes": ["nas"]})).await.ok();
    assert!(admitted());
    assert_eq!(lab.control.directory().node(nas.id).unwrap().groups, ["dev"]);

    let needed = lab.admin("DELETE", "/v1/networks/home/groups/dev", Value::Null).await;
    assert_eq!(needed.refusal(), (422, "B4102"));
    lab.admin("DELETE", "/v1/networks/home/publications/game", Value::Null).await.ok();
    put(&lab, "office", deny("group:dev"), 0).await.ok();
    assert_eq!(
        lab.admin("DELETE", "/v1/networks/home/groups/dev", Value::Null).await.code(),
        "B4102"
    );
    lab.admin("DELETE", "/v1/networks/home/policies/office", Value::Null).await.ok();
    lab.admin("DELETE", "/v1/networks/home/groups/dev", Value::Null).await.ok();
    assert!(lab.control.directory().node(nas.id).unwrap().groups.is_empty());
    let restarted = lab.restarted().await;
    assert_eq!(restarted.directory().nodes(), lab.control.directory().nodes());
}

/// A joiner chooses its name. One that counts in a rule is given by an administrator: whether its node is gone or has not come yet.
#[tokio::test]
async fn a_joiner_gets_no_name_that_a_rule_speaks_of() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let pi = lab.node(home, "pi").await;
    let rule =
        json!({"name": "dns", "effect": "allow", "who": ["node:pi", "node:later"], "ports": [53]});
    put(&lab, "office", json!({"publish": [rule]}), 0).await.ok();
    let dns = || json!({"name": "dns", "protocol": "udp", "target": "53", "port": 53});
    lab.publish(&pi, dns()).await.ok();
    let view = lab.admin("GET", "/v1/networks/home/nodes/pi", Value::Null).await.ok();
    assert_eq!(view["named_by"], json!(["office/dns"]));

    lab.admin("DELETE", "/v1/networks/home/nodes/pi", Value::Null).await.ok();
    for (wanted, given) in [("pi", "pi-2"), ("later", "later-2"), ("PI.local", "pi-local")] {
        let stranger = lab.node(home, wanted).await;
        assert_eq!(stranger.name, given);
        assert_eq!(lab.publish(&stranger, dns()).await.refusal(), (403, "B4101"), "{wanted}");
    }
    let rows = lab.admin("GET", "/v1/networks/home/audit?text=wanted_name", Value::Null).await.ok();
    assert_eq!(rows["items"][0]["detail"]["wanted_name"], "pi");

    let renamed = json!({"name": "pi"});
    let renamed = lab.admin("PATCH", "/v1/networks/home/nodes/pi-2", renamed).await.ok();
    assert_eq!(renamed["named_by"], json!(["office/dns"]), "an administrator gives the name");
    let renamed =
        lab.control.directory().nodes().into_iter().find(|node| node.name == "pi").unwrap();
    lab.publish(&renamed, dns()).await.ok();

    lab.admin("DELETE", "/v1/networks/home/policies/office", Value::Null).await.ok();
    assert_eq!(lab.node(home, "later").await.name, "later", "no rule speaks of it any more");
}

#[tokio::test]
async fn rules_that_do_not_compile_give_no_name_away_either() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    lab.admin("POST", "/v1/networks/home/groups", json!({"name": "dev"})).await.ok();
    let rule = json!({"name": "pi", "effect": "allow", "who": ["node:pi", "group:dev"]});
    put(&lab, "office", json!({"publish": [rule]}), 0).await.ok();
    let group = lab.store.groups().list(home).await.unwrap().remove(0);
    lab.store.groups().delete(home, group.id, &Actor::System, 1).await.unwrap();
    assert_eq!(lab.node(home, "pi").await.name, "pi-2");
}

#[tokio::test]
async fn changes_are_in_the_audit_trail_and_the_chain_verifies() {
    let lab = Lab::new().await;
    lab_with_game(&lab).await;
    put(&lab, "office", deny("10.0.0.0/8"), 0).await.ok();
    let rows = lab.admin("GET", "/v1/networks/home/audit?text=policy", Value::Null).await.ok();
    assert!(!rows["items"].as_array().unwrap().is_empty());
    assert!(rows["items"][0]["actor"].as_str().unwrap().starts_with("key:"), "{rows}");
    let report = lab.admin("GET", "/v1/audit/verify", Value::Null).await.ok();
    assert_eq!(
        (&report["intact"], &report["rows"]),
        (&json!(true), &json!(lab.audit_rows().await))
    );
    let page = lab.admin("GET", "/v1/audit?limit=1&after=1", Value::Null).await.ok();
    assert_eq!((&page["items"][0]["sequence"], &page["next"]), (&json!(2), &json!("2")));
}

async fn lab_with_game(lab: &Lab) -> (Node, bore_api::model::Publication) {
    let nas = lab.node(lab.network("home").await, "nas").await;
    lab.publish(&nas, json!({"name": "game", "protocol": "udp", "target": "7777", "port": 7777}))
        .await
        .ok();
    (nas, lab.control.directory().publications().remove(0))
}

async fn put(lab: &Lab, name: &str, document: Value, revision: i64) -> crate::lab::Answer {
    let body = json!({"document": document, "revision": revision});
    lab.admin("PUT", &format!("/v1/networks/home/policies/{name}"), body).await
}

fn deny(from: &str) -> Value {
    json!({"visit": [{"name": "rule", "effect": "deny", "from": [from], "to": ["any"]}]})
}
