//! attack_45: CR/LF, ANSI, direction marks and 64 KB in every field that a user controls.

use serde_json::{Value, json};

use crate::lab::Lab;

#[tokio::test]
async fn attack_45_hostile_text_is_refused_in_every_field_of_the_api() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    lab.publish(&nas, json!({"name": "game", "protocol": "udp", "target": "7777", "port": 7777}))
        .await
        .ok();
    for text in hostile() {
        for (method, path, body) in [
            ("POST", "nodes", json!({"name": text, "public_key": lab.machine()})),
            ("POST", "nodes", json!({"name": "a", "public_key": text})),
            ("POST", "nodes", json!({"name": "a", "public_key": lab.machine(), "groups": [text]})),
            ("PATCH", "nodes/nas", json!({"name": text})),
            ("POST", "join-keys", json!({"description": text})),
            ("POST", "join-keys", json!({"groups": [text]})),
            ("POST", "api-keys", json!({"scopes": ["read"], "description": text})),
            ("POST", "groups", json!({"name": text})),
            ("POST", "groups", json!({"name": "g", "nodes": [text]})),
            (
                "PUT",
                "policies/office",
                json!({"document": {"visit": [{"name": text, "effect": "deny", "from": ["any"], "to": ["any"]}]}}),
            ),
            (
                "PUT",
                "policies/office",
                json!({"document": {"visit": [{"name": "a", "effect": "deny", "from": [text], "to": ["any"]}]}}),
            ),
            ("POST", "domains", json!({"name": text})),
            ("POST", "policies/explain", json!({"from": text, "to": "game"})),
            ("POST", "policies/explain", json!({"from": "10.0.0.1", "to": text})),
            (
                "POST",
                "publications",
                json!({"node": text, "protocol": "tcp", "target": "1", "port": 1}),
            ),
        ] {
            refused(&lab.admin(method, &format!("/v1/networks/home/{path}"), body).await, path);
        }
        refused(&lab.admin("POST", "/v1/networks", json!({"name": text})).await, "networks");
        for (field, value) in [
            ("name", json!(text)),
            ("target", json!(text)),
            ("hostname", json!(text)),
            ("hostnames", json!([text])),
            ("access", json!({"allow": [text]})),
            (&*text, json!(1)),
        ] {
            let mut body = json!({"name": "app", "protocol": "http", "target": "3000"});
            body[field] = value;
            refused(&lab.publish(&nas, body).await, field);
        }
        let session = json!({"boot": uuid::Uuid::nil(), "version": text});
        refused(&lab.overlay(&nas, "PUT", "/v1/nodes/self/session", session).await, "version");
    }
    let report = lab.admin("GET", "/v1/audit/verify", Value::Null).await.ok();
    assert_eq!(report["intact"], true);
}

#[tokio::test]
async fn attack_45_hostile_text_in_paths_is_not_found_and_echoed_as_one_line() {
    let lab = Lab::new().await;
    lab.network("home").await;
    for text in ["%0d%0aSet-Cookie:a", "%1b%5b31m", "%e2%80%ae", "a%00b"] {
        for path in [
            format!("/v1/networks/{text}"),
            format!("/v1/networks/home/nodes/{text}"),
            format!("/v1/networks/home/audit?text={text}"),
        ] {
            refused(&lab.admin("GET", &path, Value::Null).await, &path);
        }
    }
}

#[tokio::test]
async fn attack_45_reports_of_agents_are_cut_and_cleaned() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    let view = lab
        .publish(&nas, json!({"name": "game", "protocol": "udp", "target": "7777", "port": 7777}))
        .await
        .ok();
    let path =
        |what: &str| format!("/v1/nodes/self/publications/{}/{what}", view["id"].as_str().unwrap());
    for text in hostile() {
        lab.overlay(&nas, "PUT", &path("target"), json!({"ok": false, "detail": text})).await.ok();
        let steps: Vec<Value> =
            (0..100).map(|_| json!({"name": text, "ok": false, "detail": text})).collect();
        let state = lab
            .overlay(
                &nas,
                "PUT",
                &path("probe"),
                json!({"steps": if text.len() > 1_000 { &steps[..1] } else { &steps[..] }}),
            )
            .await
            .ok();
        assert!(state["steps"].as_array().unwrap().len() <= 16);
        for step in lab.relay.steps.lock().unwrap().values().flatten() {
            assert!(is_clean(&step.detail) && is_clean(step.name.as_str()), "{step:?}");
        }
    }
}

#[tokio::test]
async fn attack_45_a_joiner_may_call_itself_anything_and_becomes_a_label() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    for text in hostile() {
        let node = lab.node(home, &text).await;
        bore_policy::Label::parse(&node.name).unwrap();
    }
}

fn refused(answer: &crate::lab::Answer, what: &str) {
    assert!(answer.status.is_client_error(), "{what}: {} {}", answer.status, answer.text);
    assert!(is_clean(answer.body["detail"].as_str().unwrap()), "{what}: {}", answer.text);
    assert_eq!(answer.text.lines().count(), 1);
}

fn is_clean(text: &str) -> bool {
    let invisible = |c: char| {
        c.is_control()
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
    };
    text.chars().count() <= 700 && !text.chars().any(invisible)
}

fn hostile() -> Vec<String> {
    ["a\r\nb", "a\u{1b}[31mb", "a\u{202e}b", "a\u{2066}b", "a\0b"]
        .map(str::to_owned)
        .into_iter()
        .chain(["x".repeat(65_536)])
        .collect()
}
