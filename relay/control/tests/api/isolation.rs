//! attack_09: every route of the OpenAPI document, with the ids and names of another tenant.

use bore_api::model::{Node, Scope};
use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::lab::Lab;

#[tokio::test]
async fn attack_09_every_route_answers_4xx_to_ids_of_another_tenant() {
    let lab = Lab::new().await;
    let tenants = [Tenant::new(&lab, "mine", 7001).await, Tenant::new(&lab, "theirs", 7002).await];
    let [mine, theirs] = &tenants;
    let before = theirs.everything(&lab).await;
    let key = lab.key(mine.network, &ALL_OF_A_NETWORK).await;

    let mut asked = 0;
    for (method, path) in routes().iter().filter(|(_, path)| path.contains("{network}")) {
        let own_network = [mine.network.to_string(), "mine".to_owned()];
        let other_network = [
            theirs.network.to_string(),
            "theirs".to_owned(),
            Uuid::now_v7().to_string(),
            "nobody".to_owned(),
        ];
        let combinations = other_network.iter().flat_map(|network| theirs.paths(path, network));
        let own = own_network
            .iter()
            .filter(|_| path.matches('{').count() > 1)
            .flat_map(|network| theirs.paths(path, network));
        for path in combinations.chain(own) {
            let answer = lab.tcp(method, &path, Some(&key), body_for(method, &path, theirs)).await;
            assert!(
                answer.status.is_client_error(),
                "{method} {path}: {} {}",
                answer.status,
                answer.text
            );
            assert!(!answer.text.contains("valheim"), "{path} tells of another tenant");
            asked += 1;
        }
    }
    assert!(asked > 100, "{asked} combinations were asked");
    assert_eq!(theirs.everything(&lab).await, before, "nothing of theirs was touched");
}

#[tokio::test]
async fn attack_09_what_exists_elsewhere_and_what_does_not_exist_get_one_answer() {
    let lab = Lab::new().await;
    let [mine, theirs] =
        [Tenant::new(&lab, "mine", 7001).await, Tenant::new(&lab, "theirs", 7002).await];
    let key = lab.key(mine.network, &ALL_OF_A_NETWORK).await;
    let hidden = |answer: crate::lab::Answer, wanted: &str| answer.text.replace(wanted, "X");

    let existing = theirs.network.to_string();
    let missing = Uuid::now_v7().to_string();
    let one =
        lab.tcp("GET", &format!("/v1/networks/{existing}/nodes"), Some(&key), Value::Null).await;
    let other =
        lab.tcp("GET", &format!("/v1/networks/{missing}/nodes"), Some(&key), Value::Null).await;
    assert_eq!(hidden(one, &existing), hidden(other, &missing));
    let one = lab
        .tcp("GET", &format!("/v1/networks/mine/nodes/{}", theirs.node.id), Some(&key), Value::Null)
        .await;
    let other = lab
        .tcp("GET", &format!("/v1/networks/mine/nodes/{missing}"), Some(&key), Value::Null)
        .await;
    assert_eq!(hidden(one, &theirs.node.id.to_string()), hidden(other, &missing));
}

#[tokio::test]
async fn attack_09_ids_of_another_tenant_in_a_body_are_refused() {
    let lab = Lab::new().await;
    let [mine, theirs] =
        [Tenant::new(&lab, "mine", 7001).await, Tenant::new(&lab, "theirs", 7002).await];
    let key = lab.key(mine.network, &ALL_OF_A_NETWORK).await;
    let (node, publication) = (theirs.node.id.to_string(), theirs.ids["publication"].clone());
    for (method, path, body) in [
        ("POST", "groups", json!({"name": "thieves", "nodes": [node]})),
        ("PUT", "groups/dev", json!({"nodes": [node]})),
        (
            "POST",
            "publications",
            json!({"node": node, "name": "x", "protocol": "tcp", "target": "1", "port": 9000}),
        ),
        ("POST", "policies/explain", json!({"from": "10.0.0.1", "to": publication})),
        ("POST", "policies/explain", json!({"from": format!("node:{node}"), "to": "valheim"})),
        ("POST", "join-keys", json!({"groups": ["only-theirs"]})),
        ("POST", "api-keys", json!({"scopes": ["read"], "network": theirs.network})),
    ] {
        let answer = lab.tcp(method, &format!("/v1/networks/mine/{path}"), Some(&key), body).await;
        assert!(answer.status.is_client_error(), "{method} {path}: {}", answer.text);
    }
    let flows = format!("/v1/networks/mine/flows?publication={publication}");
    assert_eq!(lab.tcp("GET", &flows, Some(&key), Value::Null).await.refusal(), (404, "B2111"));
}

#[tokio::test]
async fn attack_09_a_node_reaches_only_its_own_publications() {
    let lab = Lab::new().await;
    let [mine, theirs] =
        [Tenant::new(&lab, "mine", 7001).await, Tenant::new(&lab, "theirs", 7002).await];
    for (method, path) in
        routes().iter().filter(|(_, path)| path.contains("/self/") && path.contains('{'))
    {
        for path in theirs.paths(path, "") {
            let answer =
                lab.overlay(&mine.node, method, &path, body_for(method, &path, &theirs)).await;
            if !path.contains("valheim") {
                assert_eq!(
                    answer.status,
                    StatusCode::NOT_FOUND,
                    "{method} {path}: {}",
                    answer.text
                );
            }
        }
    }
    assert!(
        lab.control.directory().publication(theirs.ids["publication"].parse().unwrap()).is_some()
    );
}

#[tokio::test]
async fn attack_09_every_route_needs_a_key_and_a_scope() {
    let lab = Lab::new().await;
    let mine = Tenant::new(&lab, "mine", 7001).await;
    let powerless = lab.key(mine.network, &[Scope::AuditRead]).await;
    for (method, path) in routes() {
        if path == "/v1/health" || path.starts_with("/v1/nodes") || path == "/v1/join" {
            continue;
        }
        for path in mine.paths(&path, "mine") {
            let body = body_for(&method, &path, &mine);
            let keyless = lab.tcp(&method, &path, None, body.clone()).await;
            assert_eq!(keyless.refusal(), (401, "B3201"), "{method} {path}");
            let answer = lab.tcp(&method, &path, Some(&powerless), body).await;
            let open_to_all =
                ["/v1/networks", "/v1/networks/mine", "/v1/relay", "/v1/networks/mine/audit"];
            if method == "GET" && open_to_all.contains(&path.as_str()) {
                continue;
            }
            assert!(
                [403, 404].contains(&answer.status.as_u16()),
                "{method} {path}: {}",
                answer.text
            );
        }
    }
}

#[tokio::test]
async fn a_key_of_a_network_does_not_list_others_or_read_the_clusters_trail() {
    let lab = Lab::new().await;
    let [mine, _] =
        [Tenant::new(&lab, "mine", 7001).await, Tenant::new(&lab, "theirs", 7002).await];
    let key = lab.key(mine.network, &ALL_OF_A_NETWORK).await;
    let listed = lab.tcp("GET", "/v1/networks", Some(&key), Value::Null).await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    for path in ["/v1/audit", "/v1/audit/verify", "/v1/api-keys"] {
        assert!(
            lab.tcp("GET", path, Some(&key), Value::Null).await.status.is_client_error(),
            "{path}"
        );
    }
    let trail = lab.tcp("GET", "/v1/networks/mine/audit", Some(&key), Value::Null).await.ok();
    let of_mine = |row: &Value| row["network"] == json!(mine.network);
    assert!(trail["items"].as_array().unwrap().iter().all(of_mine));
}

/// A network with one of everything.
struct Tenant {
    network: Uuid,
    node: Node,
    /// Id of one thing of each kind, by the name of its path parameter.
    ids: std::collections::HashMap<&'static str, String>,
}

impl Tenant {
    async fn new(lab: &Lab, name: &str, port: u16) -> Self {
        let network = lab.network(name).await;
        let node = lab.node(network, "nas").await;
        let path = |kind: &str| format!("/v1/networks/{name}/{kind}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let group =
            lab.admin("POST", &path("groups"), json!({"name": "dev", "nodes": ["nas"]})).await.ok();
        if name == "theirs" {
            lab.admin("POST", &path("groups"), json!({"name": "only-theirs"})).await.ok();
        }
        let name = format!("valheim-{name}.example");
        let domain = lab.admin("POST", &path("domains"), json!({"name": name})).await.ok();
        let key = lab.admin("POST", &path("join-keys"), json!({})).await.ok();
        lab.admin("PUT", &path("policies/office"), json!({"document": {}})).await.ok();
        let game = json!({"name": "valheim", "protocol": "udp", "target": "7777", "port": port});
        let publication = lab.publish(&node, game).await.ok();
        let ids = [
            ("node", node.id.to_string()),
            ("domain", text(&domain["id"])),
            ("group", text(&group["id"])),
            ("key", text(&key["item"]["id"])),
            ("policy", "office-of-another".to_owned()),
            ("publication", text(&publication["id"])),
        ];
        Self { network, node, ids: ids.into() }
    }

    /// A route of the document with this network and the ids of this tenant.
    fn paths(&self, template: &str, network: &str) -> Vec<String> {
        let mut path = template.replace("{network}", network);
        for (parameter, id) in &self.ids {
            path = path.replace(&format!("{{{parameter}}}"), id);
        }
        vec![path]
    }

    async fn everything(&self, lab: &Lab) -> Vec<Value> {
        let mut everything = Vec::new();
        for kind in
            ["nodes", "groups", "join-keys", "api-keys", "policies", "publications", "domains"]
        {
            let path = format!("/v1/networks/{}/{kind}", self.network);
            everything.push(lab.admin("GET", &path, Value::Null).await.ok());
        }
        everything
    }
}

/// A body that the route would take.
fn body_for(method: &str, path: &str, tenant: &Tenant) -> Value {
    let last = |text: &str| path.ends_with(text);
    match method {
        "GET" | "DELETE" => Value::Null,
        "PATCH" => json!({"name": "renamed"}),
        "POST" if last("/drain") || last("/probe") || last("/verify") => Value::Null,
        "POST" if last("/explain") => json!({"from": "10.0.0.1", "to": "valheim"}),
        "POST" if last("/join-keys") => json!({}),
        "POST" if last("/api-keys") => json!({"scopes": ["read"]}),
        "POST" if last("/nodes") => json!({"name": "new", "public_key": tenant.node.public_key}),
        "POST" if last("/publications") => {
            json!({"node": "nas", "protocol": "tcp", "target": "1", "port": 9000})
        }
        "PUT" if last("/probe") => json!({"steps": []}),
        "PUT" if last("/target") => json!({"ok": true, "detail": ""}),
        "PUT" if path.contains("/groups/") => json!({"nodes": []}),
        "PUT" => json!({"document": {}, "revision": 1}),
        "POST" if last("/domains") => json!({"name": "new.example"}),
        _ => json!({"name": "new"}),
    }
}

/// Method and path of every route.
fn routes() -> Vec<(String, String)> {
    let document = serde_json::to_value(bore_control::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let routes = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
    });
    routes.collect()
}

const ALL_OF_A_NETWORK: [Scope; 7] = [
    Scope::Read,
    Scope::NodesWrite,
    Scope::KeysWrite,
    Scope::PublicationsWrite,
    Scope::DomainsWrite,
    Scope::PoliciesWrite,
    Scope::AuditRead,
];
