//! The audit trail, as a caller sees it: every change has its row, and the trail is verified a page at a time.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::lab::{Lab, join_body};

/// Walks the API's own document, so that a route that is added is asked about here.
#[tokio::test]
async fn every_change_has_its_row() {
    let document = serde_json::to_value(bore_control::openapi()).unwrap();
    let mut routes = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if method != "get" {
                routes.insert(operation["operationId"].as_str().unwrap().to_owned(), path.clone());
            }
        }
    }
    let scene = Scene::new().await;
    for (operation, method, path, body) in scene.changes() {
        assert!(routes.remove(operation).is_some(), "{operation} is not in the document");
        let before = scene.lab.audit_rows().await;
        scene.call(operation, method, &path, body).await.ok();
        assert!(scene.lab.audit_rows().await > before, "{operation} has no audit row");
    }
    for (operation, _why) in NO_CHANGES {
        assert!(routes.remove(operation).is_some(), "{operation} is not in the document");
    }
    assert_eq!(routes, BTreeMap::new(), "routes that nobody looked at");
}

/// Operations that are no GET and change nothing that is kept.
const NO_CHANGES: [(&str, &str); 5] = [
    ("policies.explain", "a question"),
    ("overlay.claim_session", "which agent speaks for a node: in memory, and gone with the tunnel"),
    ("overlay.expect_probe", "a measurement"),
    ("overlay.report_probe", "a measurement"),
    ("overlay.report_target", "a measurement"),
];

struct Scene {
    lab: Lab,
    node: bore_api::model::Node,
    join_key: Value,
    joiner: String,
    api_key: String,
    cluster_key: String,
}

impl Scene {
    async fn new() -> Self {
        let lab = Lab::new().await;
        let home = lab.network("home").await;
        lab.network("empty").await;
        let node = lab.node(home, "nas").await;
        lab.node(home, "leaver").await;
        let joiner = lab.machine();
        let make = async |path: &str, body| lab.admin("POST", path, body).await.ok();
        let join_key = make("/v1/networks/home/join-keys", json!({})).await;
        let id = |made: Value| made["item"]["id"].as_str().unwrap().to_owned();
        let read = json!({ "scopes": ["read"] });
        let api_key = id(make("/v1/networks/home/api-keys", read.clone()).await);
        let cluster_key = id(make("/v1/api-keys", read).await);
        let certificate = crate::certificates::state("app.t.example.org", None);
        lab.relay.certificates.lock().unwrap().push(certificate);
        Self { lab, node, join_key, joiner, api_key, cluster_key }
    }

    /// Each change of the API, in an order in which all of them succeed.
    fn changes(&self) -> Vec<(&'static str, &'static str, String, Value)> {
        let home = |rest: &str| format!("/v1/networks/home/{rest}");
        let read = json!({ "scopes": ["read"] });
        let join_key = self.join_key["item"]["id"].as_str().unwrap();
        let publication = json!({ "name": "game", "node": "tablet", "protocol": "tcp", "target": "8080", "port": 8080 });
        let own = json!({ "name": "own", "protocol": "udp", "target": "127.0.0.1:7778", "any_port": true });
        let wireguard = json!({ "name": "phone", "public_key": self.lab.machine() });
        let policy = json!({ "revision": 0, "document": {} });
        vec![
            ("networks.create", "POST", "/v1/networks".to_owned(), json!({ "name": "new" })),
            ("networks.delete", "DELETE", "/v1/networks/empty".to_owned(), Value::Null),
            (
                "garden.join",
                "POST",
                "/v1/join".to_owned(),
                join_body(self.join_key["key"].as_str().unwrap(), "laptop"),
            ),
            ("join-keys.create", "POST", home("join-keys"), json!({})),
            ("join-keys.revoke", "DELETE", home(&format!("join-keys/{join_key}")), Value::Null),
            ("api-keys.create", "POST", home("api-keys"), read.clone()),
            ("api-keys.revoke", "DELETE", home(&format!("api-keys/{}", self.api_key)), Value::Null),
            ("cluster-api-keys.create_cluster", "POST", "/v1/api-keys".to_owned(), read),
            (
                "cluster-api-keys.revoke_cluster",
                "DELETE",
                format!("/v1/api-keys/{}", self.cluster_key),
                Value::Null,
            ),
            ("nodes.create", "POST", home("nodes"), wireguard),
            ("nodes.rename", "PATCH", home("nodes/phone"), json!({ "name": "tablet" })),
            ("nodes.delete", "DELETE", home("nodes/leaver"), Value::Null),
            ("groups.create", "POST", home("groups"), json!({ "name": "dev" })),
            ("groups.replace", "PUT", home("groups/dev"), json!({ "nodes": ["nas"] })),
            ("groups.delete", "DELETE", home("groups/dev"), Value::Null),
            ("policies.put", "PUT", home("policies/main"), policy),
            ("policies.delete", "DELETE", home("policies/main"), Value::Null),
            ("domains.create", "POST", home("domains"), json!({ "name": "example.net" })),
            ("domains.verify", "POST", home("domains/example.net/verify"), Value::Null),
            ("domains.delete", "DELETE", home("domains/example.net"), Value::Null),
            ("publications.create", "POST", home("publications"), publication),
            ("publications.delete", "DELETE", home("publications/game"), Value::Null),
            ("overlay.publish", "POST", "/v1/nodes/self/publications".to_owned(), own),
            (
                "overlay.delete_publication",
                "DELETE",
                "/v1/nodes/self/publications/own".to_owned(),
                Value::Null,
            ),
            (
                "certificates.renew",
                "POST",
                "/v1/certificates/app.t.example.org/renew".to_owned(),
                Value::Null,
            ),
            ("relay.drain", "POST", "/v1/relay/drain".to_owned(), Value::Null),
            ("relay.undrain", "POST", "/v1/relay/undrain".to_owned(), Value::Null),
        ]
    }

    async fn call(
        &self,
        operation: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> crate::lab::Answer {
        if operation == "domains.verify" {
            let domain = self
                .lab
                .admin("GET", "/v1/networks/home/domains/example.net", Value::Null)
                .await
                .ok();
            let mut dns = self.lab.relay.dns.lock().unwrap();
            for proof in domain["proofs"].as_array().unwrap() {
                dns.insert(proof["value"].as_str().unwrap().to_owned());
            }
        }
        if operation == "garden.join" {
            self.lab.garden(&self.joiner, &body).await
        } else if operation.starts_with("overlay.") {
            self.lab.overlay(&self.node, method, path, body).await
        } else {
            self.lab.admin(method, path, body).await
        }
    }
}

#[tokio::test]
async fn the_trail_is_verified_a_page_at_a_time_and_against_what_was_kept() {
    let lab = Lab::new().await;
    for number in 0..9 {
        lab.network(&format!("n{number}")).await;
    }
    let look = async |query: &str| {
        lab.admin("GET", &format!("/v1/audit/verify{query}"), Value::Null).await
    };
    let first = look("?limit=4").await.ok();
    assert_eq!(
        (&first["intact"], &first["rows"], &first["head"]),
        (&true.into(), &4.into(), &Value::Null)
    );
    let rest = look(&format!("?after={}", first["next"].as_str().unwrap())).await.ok();
    assert_eq!((&rest["rows"], &rest["next"]), (&6.into(), &Value::Null));
    let head = rest["head"].as_str().unwrap();

    assert_eq!(look(&format!("?expect={head}")).await.ok()["intact"], true);
    let forged = format!("10:{}", "0".repeat(64));
    assert_eq!(look(&format!("?expect={forged}")).await.ok()["intact"], false);
    assert_eq!(look("?expect=ten").await.refusal(), (400, "B2112"));
}

#[tokio::test]
async fn a_relay_whose_disk_is_full_can_be_drained() {
    let disk = crate::small_disk::SmallDisk::mount();
    let lab = Lab::in_folder(bore_control::limits::Quotas::default(), &disk.folder).await;
    disk.fill();
    lab.admin("POST", "/v1/relay/drain", Value::Null).await.ok();
    assert!(lab.relay.draining.load(std::sync::atomic::Ordering::Relaxed));
}
