//! Custom domains: whose they are, what is published under them, and who may do what.

use std::sync::atomic::Ordering;

use bore_api::model::{Node, Scope};
use bore_control::limits::Quotas;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::lab::{Answer, Lab};

#[tokio::test]
async fn a_domain_is_added_proved_used_and_given_back() {
    let scene = Scene::new().await;
    let added = scene.add("home", "Shop.Example.com.").await.ok();
    assert_eq!((&added["name"], &added["verified_at"]), (&json!("shop.example.com"), &Value::Null));
    let [txt, cname] = added["proofs"].as_array().unwrap().as_slice() else { panic!("{added}") };
    assert_eq!(txt["name"], "_bore-challenge.shop.example.com");
    assert!(txt["value"].as_str().unwrap().starts_with("bore-domain="), "{txt}");
    assert!(cname["value"].as_str().unwrap().ends_with("._bore-domain.relay.example.org"));
    assert_eq!(scene.add("home", "shop.example.com").await.ok()["id"], added["id"], "asked again");

    let early = scene.publish("app", json!(["app.shop.example.com"])).await;
    assert_eq!(early.refusal(), (422, "B2106"));
    let unproved = scene.verify("home", "shop.example.com").await;
    assert_eq!(unproved.refusal(), (409, "B2302"));
    assert!(unproved.body["detail"].as_str().unwrap().contains("bore-domain="), "{unproved:?}");
    scene.prove(&added);
    let proved = scene.verify("home", "shop.example.com").await.ok();
    assert_eq!(proved["verified_at"], json!(START));
    assert_eq!(scene.verify("home", "shop.example.com").await.ok(), proved, "proved once");

    let names = json!(["app.shop.example.com", "*.shop.example.com", "shop.example.com", "short"]);
    let view = scene.publish("app", names).await.ok();
    assert_eq!(
        view["hostnames"],
        json!([
            "app.shop.example.com",
            "*.shop.example.com",
            "shop.example.com",
            "short.t.example.org"
        ])
    );
    let used = scene.remove("home", "shop.example.com").await;
    assert_eq!(used.refusal(), (409, "B2303"));
    assert!(used.text.contains("in use by app"), "{}", used.text);
    scene.lab.admin("DELETE", "/v1/networks/home/publications/app", Value::Null).await.ok();
    scene.remove("home", "shop.example.com").await.ok();
    assert_eq!(scene.publish("app", json!("shop.example.com")).await.refusal(), (422, "B2106"));
    let actions = scene.actions("domain.").await;
    assert_eq!(actions, ["domain.create", "domain.verify", "domain.delete"]);
}

#[tokio::test]
async fn attack_24_a_domain_needs_a_proof_bound_to_its_network() {
    let scene = Scene::new().await;
    let ours = scene.add("home", "example.com").await.ok();
    let theirs = scene.add("other", "example.com").await.ok();
    assert_ne!(ours["proofs"][0], theirs["proofs"][0], "the proof names the network");

    scene.prove(&theirs);
    assert_eq!(scene.verify("home", "example.com").await.refusal(), (409, "B2302"));
    scene.prove(&ours);
    scene.verify("home", "example.com").await.ok();
    assert_eq!(scene.verify("other", "example.com").await.refusal(), (409, "B2301"));
    scene.remove("other", "example.com").await.ok();
    for name in ["example.com", "sub.example.com", "a.b.example.com"] {
        assert_eq!(scene.add("other", name).await.refusal(), (409, "B2301"), "{name}");
    }
    assert_eq!(
        scene.lab.publish(&scene.foreign, http("x", json!("a.example.com"))).await.refusal(),
        (409, "B2301")
    );
    assert_eq!(
        scene.add("other", "com.example").await.status.as_u16(),
        201,
        "what only looks alike"
    );
}

#[tokio::test]
async fn attack_24_a_released_domain_is_refused_to_others_for_30_days() {
    let scene = Scene::new().await;
    for name in ["example.com", "example.net"] {
        let added = scene.add("home", name).await.ok();
        scene.prove(&added);
        scene.verify("home", name).await.ok();
        scene.remove("home", name).await.ok();
    }
    scene.wait(30 * DAY - 1);
    scene.end_rests().await;
    for name in ["example.com", "deep.example.com"] {
        assert_eq!(scene.add("other", name).await.refusal(), (409, "B2301"), "{name}");
    }
    scene.add("home", "example.com").await.ok();
    scene.verify("home", "example.com").await.ok();
    scene.wait(1);
    scene.end_rests().await;
    assert_eq!(scene.add("other", "example.com").await.refusal(), (409, "B2301"), "taken back");
    let free = scene.add("other", "example.net").await.ok();
    scene.prove(&free);
    scene.verify("other", "example.net").await.ok();
}

#[tokio::test]
async fn of_two_proved_domains_the_nearer_one_decides() {
    let scene = Scene::new().await;
    for (network, name) in [("home", "shop.example.com"), ("other", "example.com")] {
        let added = scene.add(network, name).await.ok();
        scene.prove(&added);
        scene.verify(network, name).await.ok();
    }
    scene.publish("app", json!(["x.shop.example.com"])).await.ok();
    let beyond = scene.publish("more", json!(["x.example.com"])).await;
    assert_eq!(beyond.refusal(), (409, "B2301"));
    let foreign = |name: &str| http("y", json!(name));
    let below = scene.lab.publish(&scene.foreign, foreign("*.shop.example.com")).await;
    assert_eq!(below.refusal(), (409, "B2301"));
    scene.lab.publish(&scene.foreign, foreign("y.example.com")).await.ok();
    scene.remove("other", "example.com").await.refusal();
}

#[tokio::test]
async fn names_are_one_publication_s_whatever_the_protocol_and_refusals_name_it() {
    let scene = Scene::new().await;
    scene.publish("web", json!(["web", "more"])).await.ok();
    let tls = |names: Value| json!({"name": "tls", "protocol": "tls", "target": "443", "hostnames": names});
    let taken = scene.lab.publish(&scene.nas, tls(json!(["free", "MORE.t.example.org"]))).await;
    assert_eq!(taken.refusal(), (409, "B2103"));
    assert!(
        taken.text.contains("hostname more.t.example.org is held by \\\"web\\\""),
        "{}",
        taken.text
    );
    let view = scene.lab.publish(&scene.nas, tls(json!(["free"]))).await.ok();
    assert_eq!(
        (&view["protocol"], &view["public"]),
        (&json!("tls"), &json!("tls://free.t.example.org"))
    );
    assert_eq!(view["public_port"], Value::Null);

    let replace = json!({"name": "tls", "protocol": "tls", "target": "443", "hostnames": ["more", "web", "free"], "replace": true});
    let view = scene.lab.publish(&scene.nas, replace).await.ok();
    assert_eq!(view["hostnames"].as_array().unwrap().len(), 3);
    assert_eq!(scene.lab.control.directory().publications().len(), 1, "web gave way");
}

#[tokio::test]
async fn a_policy_on_hostnames_is_asked_about_each() {
    let scene = Scene::new().await;
    let domain = scene.add("home", "example.com").await.ok();
    scene.prove(&domain);
    scene.verify("home", "example.com").await.ok();
    let rule =
        json!({"name": "ours", "effect": "allow", "who": ["any"], "hostnames": ["*.example.com"]});
    let body = json!({"document": {"publish": [rule]}});
    scene.lab.admin("PUT", "/v1/networks/home/policies/p", body).await.ok();

    scene.publish("a", json!(["a.example.com", "*.b.example.com"])).await.ok();
    let refused = scene.publish("b", json!(["c.example.com", "example.com"])).await;
    assert_eq!(refused.refusal(), (403, "B4101"));
    assert!(refused.text.contains("hostname example.com"), "{}", refused.text);
}

#[tokio::test]
async fn a_name_below_another_node_s_wildcard_is_taken_by_a_rule_only() {
    let scene = Scene::new().await;
    let domain = scene.add("home", "example.com").await.ok();
    scene.prove(&domain);
    scene.verify("home", "example.com").await.ok();
    let pi = scene.lab.node(scene.home, "pi").await;
    let http = |name, host: &str, replace: bool| json!({"name": name, "protocol": "http", "target": "80", "hostnames": [host], "replace": replace});
    scene.lab.publish(&pi, http("early", "early.example.com", false)).await.ok();
    scene.publish("all", json!(["*.example.com"])).await.ok();
    scene.publish("own", json!(["own.example.com"])).await.ok();

    let taken = scene.lab.publish(&pi, http("app", "app.example.com", false)).await;
    assert_eq!(taken.refusal(), (409, "B2103"));
    assert!(taken.text.contains("by *.example.com, is held by \\\"all\\\""), "{}", taken.text);
    let denied = scene.lab.publish(&pi, http("app", "app.example.com", true)).await;
    assert_eq!(denied.refusal(), (403, "B4101"), "{}", denied.text);
    let mut again = http("early", "early.example.com", false);
    again["access"] = json!({"deny": ["10.0.0.0/8"]});
    scene.lab.publish(&pi, again).await.ok();
    scene.lab.publish(&pi, http("deeper", "a.b.example.com", false)).await.ok();

    let rule = json!({"name": "r", "effect": "allow", "who": ["node:pi"], "hostnames": ["app.example.com"], "replace": true});
    let body = json!({"document": {"publish": [rule]}});
    scene.lab.admin("PUT", "/v1/networks/home/policies/p", body).await.ok();
    scene.lab.publish(&pi, http("app", "app.example.com", true)).await.ok();
    let names = scene.lab.control.directory().publications();
    assert!(
        names.iter().any(|each| each.hostnames == ["*.example.com".parse().unwrap()]),
        "it keeps the others"
    );
}

#[tokio::test]
async fn what_cannot_be_a_custom_domain_is_refused_and_below_the_relay_s_only_administrators_add() {
    let scene = Scene::new().await;
    for name in [
        "com",
        "*.example.com",
        "t.example.org",
        "relay.example.org",
        "a_b.example",
        "10.0.0.1",
        "",
    ] {
        assert_eq!(scene.add("home", name).await.refusal(), (422, "B2304"), "{name}");
    }
    let key = scene.lab.key(scene.home, &[Scope::DomainsWrite]).await;
    let body = json!({"name": "team.t.example.org"});
    let path = "/v1/networks/home/domains";
    let tenant = scene.lab.tcp("POST", path, Some(&key), body.clone()).await;
    assert_eq!(tenant.refusal(), (422, "B2304"));
    let given = scene.lab.admin("POST", path, body).await.ok();
    assert_eq!((&given["verified_at"], &given["proofs"]), (&json!(START), &json!([])));
    scene.publish("deep", json!(["a.b.team.t.example.org", "*.team.t.example.org"])).await.ok();
    let team = http("mine", json!("team"));
    assert_eq!(scene.lab.publish(&scene.foreign, team).await.refusal(), (409, "B2301"));
    let elsewhere = scene.publish("x", json!(["a.b.t.example.org"])).await;
    assert_eq!(elsewhere.refusal(), (422, "B2106"));
    assert_eq!(scene.publish("x", json!(["*.t.example.org"])).await.refusal(), (422, "B2106"));
}

#[tokio::test]
async fn the_relay_s_own_names_are_nobody_s_even_under_a_proved_domain() {
    let scene = Scene::new().await;
    let domain = scene.add("home", "example.org").await.ok();
    scene.prove(&domain);
    scene.verify("home", "example.org").await.ok();
    for name in ["relay.example.org", "t.example.org"] {
        assert_eq!(scene.publish("x", json!([name])).await.refusal(), (409, "B2103"), "{name}");
    }
    for name in ["*.t.example.org", "a.b.t.example.org", "*.b.t.example.org"] {
        assert_eq!(scene.publish("x", json!([name])).await.refusal(), (422, "B2106"), "{name}");
    }
    scene.lab.publish(&scene.foreign, http("label", json!("label"))).await.ok();
    assert!(
        scene
            .lab
            .control
            .directory()
            .hostnames_under(&scene.lab.control.directory().domains()[0])
            .is_empty()
    );
    scene.publish("x", json!(["*.example.org"])).await.ok();
}

#[tokio::test]
async fn every_role_may_what_it_says() {
    let scene = Scene::new().await;
    scene.add("home", "example.com").await.ok();
    let asked = [
        ("GET", "", Value::Null),
        ("GET", "/example.com", Value::Null),
        ("POST", "", json!({"name": "example.net"})),
        ("POST", "/example.com/verify", Value::Null),
        ("DELETE", "/example.com", Value::Null),
    ];
    let table = [
        (Scope::Read, 2),
        (Scope::DomainsWrite, 5),
        (Scope::PublicationsWrite, 0),
        (Scope::PoliciesWrite, 0),
        (Scope::NodesWrite, 0),
        (Scope::KeysWrite, 0),
        (Scope::AuditRead, 0),
    ];
    for (scope, permitted) in table {
        let key = scene.lab.key(scene.home, &[scope]).await;
        for (index, (method, path, body)) in asked.iter().enumerate() {
            let path = format!("/v1/networks/home/domains{path}");
            let answer = scene.lab.tcp(method, &path, Some(&key), body.clone()).await;
            assert_eq!(answer.code() != "B3204", index < permitted, "{scope:?} {method} {path}");
        }
    }
}

#[tokio::test]
async fn domains_survive_a_restart_and_stop_at_their_quota() {
    let quotas = Quotas { domains_per_network: 2, requests_burst: 10_000, ..Quotas::default() };
    let scene = Scene::with(quotas).await;
    let added = scene.add("home", "a.example").await.ok();
    scene.prove(&added);
    scene.verify("home", "a.example").await.ok();
    scene.add("home", "b.example").await.ok();
    assert_eq!(scene.add("home", "c.example").await.refusal(), (429, "B2109"));
    scene.add("home", "b.example").await.ok();
    scene.publish("app", json!(["x.a.example"])).await.ok();

    let restarted = scene.lab.restarted().await;
    assert_eq!(
        restarted.domains().list(scene.home).unwrap(),
        scene.lab.control.domains().list(scene.home).unwrap()
    );
    assert_eq!(restarted.directory().domains().len(), 1);
    assert_eq!(restarted.directory().publications()[0].hostnames, ["x.a.example".parse().unwrap()]);
}

struct Scene {
    lab: Lab,
    home: Uuid,
    nas: Node,
    foreign: Node,
}

impl Scene {
    async fn new() -> Self {
        Self::with(Quotas { requests_burst: 100_000, ..Quotas::default() }).await
    }

    async fn with(quotas: Quotas) -> Self {
        let lab = Lab::with(quotas).await;
        lab.relay.stopped_at.store(START, Ordering::Relaxed);
        let (home, other) = (lab.network("home").await, lab.network("other").await);
        let (nas, foreign) = (lab.node(home, "nas").await, lab.node(other, "evil").await);
        Self { lab, home, nas, foreign }
    }

    async fn add(&self, network: &str, name: &str) -> Answer {
        self.lab.admin("POST", &path(network, ""), json!({"name": name})).await
    }

    async fn verify(&self, network: &str, name: &str) -> Answer {
        self.lab.admin("POST", &path(network, &format!("/{name}/verify")), Value::Null).await
    }

    async fn remove(&self, network: &str, name: &str) -> Answer {
        self.lab.admin("DELETE", &path(network, &format!("/{name}")), Value::Null).await
    }

    /// Puts the TXT record of a domain into DNS.
    fn prove(&self, domain: &Value) {
        let value = domain["proofs"][0]["value"].as_str().unwrap().to_owned();
        self.lab.relay.dns.lock().unwrap().insert(value);
    }

    async fn publish(&self, name: &str, hostnames: Value) -> Answer {
        self.lab.publish(&self.nas, http(name, hostnames)).await
    }

    /// What housekeeping does, once the clock is steady.
    async fn end_rests(&self) {
        let now = self.lab.relay.now();
        self.lab.store.end_rests(now).await.unwrap();
    }

    fn wait(&self, micros: i64) {
        self.lab.relay.stopped_at.fetch_add(micros, Ordering::Relaxed);
    }

    async fn actions(&self, prefix: &str) -> Vec<String> {
        let rows = self.lab.store.audit().list(None, None, 0, 1_000).await.unwrap();
        let actions = rows.into_iter().map(|row| row.action);
        actions.filter(|action| action.starts_with(prefix)).collect()
    }
}

fn path(network: &str, rest: &str) -> String {
    format!("/v1/networks/{network}/domains{rest}")
}

fn http(name: &str, hostnames: Value) -> Value {
    json!({"name": name, "protocol": "http", "target": "3000", "hostnames": hostnames})
}

const START: i64 = 1_767_225_600_000_000;
const DAY: i64 = 24 * 60 * 60 * 1_000_000;
