//! `bore domain` with a real name server.
#![expect(clippy::unwrap_used, reason = "what a test looks for and does not find fails it")]

use bore_tests::bore::{Agent, Finished, Relay};
use bore_tests::curl::visit;
use bore_tests::lab::{Lab, RELAY};
use bore_tests::name_server::NameServer;
use bore_tests::origins::Nginx;
use bore_tests::service::Service;
use bore_tests::wait::{SOON, until};
use serde_json::{Value, json};

#[test]
fn a_domain_is_proved_used_watched_and_given_back() {
    let scene = Scene::new();
    let _nginx = Nginx::start(&scene.lab, 3000, scene.lab.path());
    let added = scene.relay.bore(&["domain", "add", "Shop.TEST."]).success().event("domain_added");
    assert_eq!((&added["name"], &added["state"]), (&json!("shop.test"), &json!("pending")));
    assert_eq!(visitors(&added), [format!("shop.test A {RELAY}")]);

    let refused = scene.agent.bore(&["publish", "http", "3000", "--host", "app.shop.test", "--bg"]);
    refused.refused("B2106", 2);
    let absent = scene.verify("shop.test").refused("B2302", 8);
    assert!(absent.text().contains("NXDOMAIN"), "{absent:?}");
    scene.dns.set("shop.test", &[r#"_bore-challenge TXT "bore-domain=of-somebody-else""#]);
    until("the wrong record to be shown", SOON, || {
        let text = scene.verify("shop.test").refused("B2302", 8).text();
        let wanted = proof(&added, "TXT");
        (text.contains("found TXT \"bore-domain=of-somebody-else\"") && text.contains(&wanted))
            .then_some(())
    });

    scene.dns.set("shop.test", &[&txt(&added), &format!("app A {RELAY}"), &format!("* A {RELAY}")]);
    scene.verified("shop.test");
    let shown = scene.agent.publish_in_background(&[
        "http",
        "3000",
        "--name",
        "app",
        "--host",
        "app.shop.test",
        "--host",
        "*.shop.test",
    ]);
    assert_eq!(shown["hostnames"], json!(["app.shop.test", "*.shop.test"]));
    until("nginx to be reachable", SOON, || {
        ["reachable", "live"].contains(&scene.relay.state_of("app").as_str()).then_some(())
    });
    for host in ["app.shop.test", "other.shop.test"] {
        assert_eq!(visit(&scene.lab.visitor, host, "/").status, 200, "{host}");
    }
    assert_eq!(visit(&scene.lab.visitor, "a.b.shop.test", "/").status, 404);
    assert_eq!(visit(&scene.lab.visitor, "shop.test", "/").status, 404);

    scene.dns.set("shop.test", &["app A 192.0.2.9", &format!("* A {RELAY}")]);
    until("the domain to be seen elsewhere", SOON, || {
        let cause = scene.domain("shop.test")["pointing"]["detail"].as_str()?.to_owned();
        (cause.contains("app.shop.test is 192.0.2.9") && cause.contains(&RELAY.to_string()))
            .then_some(())
    });
    assert_eq!(scene.domain("shop.test")["state"], "elsewhere");
    let steps = scene.relay.publication("app").unwrap()["state"]["steps"].to_string();
    assert!(steps.contains("app.shop.test is 192.0.2.9"), "{steps}");
    assert_eq!(
        visit(&scene.lab.visitor, "app.shop.test", "/").status,
        200,
        "traffic is not taken away"
    );

    scene.relay.bore(&["domain", "rm", "shop.test"]).refused("B2303", 6);
    scene.relay.bore(&["rm", "app", "--all"]).success();
    scene.relay.bore(&["domain", "rm", "shop.test"]).success();
}

#[test]
fn a_tls_publication_is_reachable_by_name_alone_and_answers_no_plain_http() {
    let scene = Scene::new();
    let _echo = Service::tcp_echo(&scene.lab.agent, 8443);
    let shown = scene.agent.publish_in_background(&["tls", "8443", "--name", "app", "--no-wait"]);
    assert_eq!(shown["url"], "tls://app.t.test:443");
    let view = scene.relay.wait_for_state("app", "reachable");
    assert_eq!((&view["protocol"], &view["public_port"]), (&json!("tls"), &Value::Null));
    assert_eq!(visit(&scene.lab.visitor, "app.t.test", "/").status, 404);
    let taken =
        scene.agent.bore(&["publish", "http", "8443", "--name", "web", "--host", "app", "--bg"]);
    let refusal = taken.refused("B2103", 6);
    assert!(refusal.message.contains("hostname app.t.test is held by \"app\""), "{refusal:?}");
}

#[test]
fn a_name_in_another_script_is_its_ascii_form() {
    let scene = Scene::new();
    let added = scene.relay.bore(&["domain", "add", "bücher.test"]).success().event("domain_added");
    assert_eq!(added["name"], "xn--bcher-kva.test");
    let records = added["proofs"].as_array().unwrap();
    assert_eq!(records.len(), 1, "a relay that is known by an address has no name for a CNAME");
    scene.dns.set("xn--bcher-kva.test", &[&txt(&added)]);
    scene.verified("BÜCHER.test.");
}

#[test]
fn a_name_server_that_is_broken_or_silent_is_told_apart() {
    let scene = Scene::new();
    scene.relay.bore(&["domain", "add", "broken.test"]).success();
    let broken = scene.verify("broken.test").refused("B2302", 8);
    assert!(broken.text().contains("SERVFAIL"), "{broken:?}");

    scene.relay.bore(&["domain", "add", "shop.test"]).success();
    scene.dns.pause();
    let silent = scene.verify("shop.test").refused("B2302", 8);
    scene.dns.resume();
    assert!(silent.text().contains("no answer within"), "{silent:?}");
}

#[test]
fn attack_24_a_domain_needs_a_proof_bound_to_the_account_and_rests_after_release() {
    let scene = Scene::new();
    assert_eq!(
        scene.relay.api("POST", "/v1/networks", Some(&json!({"name": "other"}))).status,
        201
    );
    let add = |network: &str, name: &str| {
        scene.relay.bore(&["domain", "add", name, "--network", network])
    };
    let verify =
        |network: &str| scene.relay.bore(&["domain", "verify", "shop.test", "--network", network]);
    let ours = add("default", "shop.test").success().event("domain_added");
    let theirs = add("other", "shop.test").success().event("domain_added");
    assert_ne!(txt(&ours), txt(&theirs), "the proof names the account");

    scene.dns.set("shop.test", &[&txt(&ours)]);
    until("our proof to be seen", SOON, || (verify("default").code == Some(0)).then_some(()));
    verify("other").refused("B2302", 8);
    scene.dns.set("shop.test", &[&txt(&ours), &txt(&theirs)]);
    until("their proof to be seen and refused", SOON, || {
        let refused = verify("other");
        refused.stderr.contains("B2301").then_some(())
    });
    scene.relay.bore(&["domain", "rm", "shop.test", "--network", "other"]).success();
    for name in ["shop.test", "below.shop.test"] {
        add("other", name).refused("B2301", 6);
    }

    scene.relay.bore(&["domain", "rm", "shop.test", "--network", "default"]).success();
    add("other", "shop.test").refused("B2301", 6);
    add("default", "shop.test").success();
    verify("default").success();
    let trail =
        scene.relay.bore(&["audit", "ls", "--network", "default", "--search", "domain."]).success();
    for action in ["domain.create", "domain.verify", "domain.delete"] {
        assert!(trail.stdout.contains(action), "{action} is not in the trail");
    }
}

/// A relay beside a name server that it asks, and an agent.
struct Scene {
    lab: Lab,
    dns: NameServer,
    relay: Relay,
    agent: Agent,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let zones = ["shop.test", "xn--bcher-kva.test"];
        let dns = NameServer::start(&lab, &lab.relay, &zones, &["broken.test"]);
        let relay = Relay::start(&lab);
        let agent = Agent::join(&lab, &relay);
        Self { lab, dns, relay, agent }
    }

    fn verify(&self, domain: &str) -> Finished {
        self.relay.bore(&["domain", "verify", domain])
    }

    /// Waits until the relay has seen the proof.
    fn verified(&self, domain: &str) {
        until("the proof to be seen", SOON, || (self.verify(domain).code == Some(0)).then_some(()));
    }

    fn domain(&self, name: &str) -> Value {
        let listed = self.relay.bore(&["domain", "ls"]).success().events("domain");
        listed.into_iter().find(|domain| domain["name"] == name).unwrap()
    }
}

/// The proof of a domain as a line of its zone.
fn txt(domain: &Value) -> String {
    format!("_bore-challenge TXT \"{}\"", proof(domain, "TXT"))
}

fn proof(domain: &Value, kind: &str) -> String {
    let proofs = domain["proofs"].as_array().unwrap();
    let proof = proofs.iter().find(|proof| proof["type"] == kind).unwrap();
    proof["value"].as_str().unwrap().to_owned()
}

fn visitors(domain: &Value) -> Vec<String> {
    let text = |record: &Value, name: &str| record[name].as_str().unwrap().to_owned();
    let records = domain["visitors"].as_array().unwrap().iter();
    records
        .map(|record| {
            format!("{} {} {}", text(record, "name"), text(record, "type"), text(record, "value"))
        })
        .collect()
}
