//! HTTPS from outside: certificates from files, the way there, and what the agent makes of it.
#![expect(clippy::unwrap_used, reason = "what a test looks for and does not find fails it")]

use std::fs;

use bore_tests::authority::{Authority, Certified};
use bore_tests::bore::{Agent, Relay};
use bore_tests::curl::{Answer, curl};
use bore_tests::lab::{Lab, RELAY};
use bore_tests::origins::Nginx;
use bore_tests::process::Process;
use bore_tests::wait::{SOON, until};
use serde_json::Value;

#[test]
fn a_name_with_a_certificate_is_live_by_https_in_every_version_of_http() {
    let scene = Scene::new(&["*.t.test"]);
    let _nginx = Nginx::start(&scene.lab, 3000, scene.lab.path());
    let published = scene.agent.publish(&["http", "3000", "--name", "app"]);
    assert_eq!(published.url(), "https://app.t.test/");
    let view = scene.relay.wait_for_state("app", "live");
    assert_eq!(steps(&view), ["tunnel", "target", "dns", "port", "certificate", "edge", "itself"]);

    for (version, head) in
        [("--http1.0", "HTTP/1.0 200"), ("--http1.1", "HTTP/1.1 200"), ("--http2", "HTTP/2 200")]
    {
        let answer = scene.get(&[version, "https://app.t.test/"]);
        // An HTTP/1.1 server answers an HTTP/1.0 visitor in its own version (RFC 9110 §6.2).
        let fits = answer.head.starts_with(head) || answer.head.starts_with("HTTP/1.1 200");
        assert!(fits && answer.body == "nginx behind bore\n", "{version}: {answer:?}");
    }
    let led = scene.get(&["--location", "http://app.t.test/visitor"]);
    assert!(led.body.contains("host=app.t.test"), "{led:?}");
    let nobody = scene.get(&["https://other.example/"]);
    assert_eq!(nobody.status, 0, "{nobody:?}");
}

#[test]
fn a_certificate_that_is_replaced_is_served_and_a_broken_one_is_not() {
    let scene = Scene::new(&["*.t.test"]);
    let _nginx = Nginx::start(&scene.lab, 3000, scene.lab.path());
    let _published = scene.agent.publish(&["http", "3000", "--name", "app"]);
    scene.relay.wait_for_state("app", "live");
    let served = || scene.get(&["https://app.t.test/"]).status;
    fs::write(&scene.certified.chain, "broken").unwrap();
    let refreshed = scene.authority.issue("second", &["app.t.test"]);
    assert_eq!(served(), 200);

    fs::rename(refreshed.key, &scene.certified.key).unwrap();
    fs::rename(refreshed.chain, &scene.certified.chain).unwrap();
    // The wildcard is gone with it.
    until("the new certificate", SOON, || {
        let other = scene.get(&["https://other.t.test/"]);
        (other.status == 0 && served() == 200).then_some(())
    });
}

#[test]
fn a_certificate_that_the_agent_does_not_trust_is_not_live() {
    let scene = Scene::new(&["*.t.test"]);
    let folder = scene.lab.folder("strangers");
    let stranger = Authority::new(&folder);
    let _nginx = Nginx::start(&scene.lab, 3000, scene.lab.path());
    let doubting = scene.second(stranger.roots());
    let _published = doubting.publish(&["http", "3000", "--name", "app", "--no-wait"]);
    until("the reason", SOON, || {
        let view = scene.relay.publication("app")?;
        let cause = view.pointer("/state/cause")?.as_str()?.to_owned();
        (cause.contains("certificate") && cause.contains("trust")).then_some(())
    });
    assert_eq!(scene.relay.state_of("app"), "reachable");
}

#[test]
fn a_publication_is_live_when_all_its_hostnames_are_and_soon_after_the_last_is_there() {
    let scene = Scene::new(&["*.t.test"]);
    let _nginx = Nginx::start(&scene.lab, 3000, scene.lab.path());
    let names = ["--host", "app", "--host", "late"];
    let _published = scene.agent.publish(&[&["http", "3000", "--no-wait"], &names[..]].concat());
    let name = scene.relay.list("publications")[0]["name"].as_str().unwrap().to_owned();
    until("the hostname that fails", SOON, || {
        let view = scene.relay.publication(&name)?;
        let cause = view["state"]["cause"].as_str()?.to_owned();
        cause.contains("dns: late.t.test does not resolve").then_some(())
    });
    assert_eq!(scene.relay.state_of(&name), "reachable");

    let there = ["app.t.test", "late.t.test"].map(|name| (name, RELAY.into()));
    scene.lab.agent.set_hosts(&there);
    // Well before a minute is over.
    let view = scene.relay.wait_for_state(&name, "live");
    let steps = view["state"]["steps"].as_array().unwrap();
    let dns = steps.iter().find(|step| step["name"] == "dns").unwrap();
    assert!(dns["detail"].as_str().unwrap().ends_with("and so for 1 more"), "{dns}");
}

#[test]
fn a_service_behind_tls_is_reached_when_its_certificate_is_accepted() {
    let scene = Scene::new(&["*.t.test"]);
    let good = scene.authority.issue("good", &["127.0.0.1"]);
    let bad = scene.authority.issue("bad", &["elsewhere.example"]);
    let _good = tls_server(&scene, 8443, &good);
    let _bad = tls_server(&scene, 8444, &bad);
    let _verified = scene.agent.publish(&["http", "https://127.0.0.1:8443", "--name", "good"]);
    let _refused =
        scene.agent.publish(&["http", "https://127.0.0.1:8444", "--name", "bad", "--no-wait"]);
    let _any = scene.agent.publish(&[
        "http",
        "https://127.0.0.1:8444",
        "--name",
        "any",
        "--insecure-origin",
    ]);
    for name in ["good", "any"] {
        scene.relay.wait_for_state(name, "live");
        assert_eq!(scene.get(&[&format!("https://{name}.t.test/")]).status, 200, "{name}");
    }
    let view = scene.relay.wait_for_state("bad", "down");
    let cause = view.pointer("/state/cause").unwrap().as_str().unwrap();
    assert!(cause.contains("it is for another name"), "{cause}");
    let answer = scene.get(&["https://bad.t.test/"]);
    assert_eq!((answer.status, answer.header("bore-error")), (502, Some("down")), "{answer:?}");
}

#[test]
fn a_service_that_terminates_tls_itself_is_passed_through_unread() {
    let scene = Scene::new(&["other.t.test"]);
    let own = scene.authority.issue("own", &["app.t.test"]);
    let _service = tls_server(&scene, 8443, &own);
    let published = scene.agent.publish(&["tls", "8443", "--name", "app"]);
    assert_eq!(published.url(), "tls://app.t.test:443");
    let view = scene.relay.wait_for_state("app", "live");
    assert_eq!(steps(&view), ["tunnel", "target", "dns", "port", "edge", "itself"]);
    let doors = |door| {
        let series = format!("bore_edge_tls_connections_total{{door=\"{door}\"}}");
        scene.relay.metrics().series(&series)
    };
    assert!(doors("Visit") >= 1.0);
    assert_eq!(doors("Passthrough"), 0.0, "the service was not troubled");
    let answer = scene.get(&["https://app.t.test/"]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.contains("s_server"), "openssl itself answers: {answer:?}");
}

#[test]
fn a_relay_does_not_start_without_a_certificate_that_it_was_told_to_show() {
    let lab = Lab::new();
    let relay = Relay::init(&lab, &[]);
    let authority = Authority::new(lab.path());
    let certified = authority.issue("relay", &["*.t.test"]);
    fs::write(&certified.key, "nothing").unwrap();
    serve_from(&relay, &certified);
    let config = relay.config().display().to_string();
    let refusal = relay.bore(&["relay", "run", "--config", &config]).refused("B1015", 2);
    assert!(refusal.text().contains("relay.key"), "{refusal:?}");
}

/// A relay with a certificate from files, and an agent that trusts who issued it.
struct Scene {
    agent: Agent,
    relay: Relay,
    authority: Authority,
    certified: Certified,
    lab: Lab,
}

impl Scene {
    fn new(names: &[&str]) -> Self {
        let lab = Lab::new();
        let authority = Authority::new(lab.path());
        let certified = authority.issue("relay", names);
        let mut relay = Relay::init(&lab, &[]);
        serve_from(&relay, &certified);
        relay.run();
        let agent = Agent::new(&lab, &lab.agent, "nas").trusting(authority.roots());
        let mut agent = agent.knows_hosts(&["app", "good", "bad", "any"]);
        let key = lab.file("nas.key", relay.join_key()).display().to_string();
        agent.start_with(&["--key-file", &key, "--name", "nas"]);
        Self { agent, relay, authority, certified, lab }
    }

    /// Another agent on the same machine, with other roots.
    fn second(&self, roots: &std::path::Path) -> Agent {
        let key = self.relay.create_key(&[]);
        let key = key.get("key").unwrap().as_str().unwrap();
        let key = self.lab.file("second.key", key).display().to_string();
        let agent = Agent::new(&self.lab, &self.lab.agent, "second").trusting(roots);
        let mut agent = agent.knows_hosts(&["app"]);
        agent.start_with(&["--key-file", &key, "--name", "second"]);
        agent
    }

    /// Asks as a visitor who trusts the authority.
    fn get(&self, arguments: &[&str]) -> Answer {
        let hosts = ["app", "good", "bad", "any", "other"];
        let pins: Vec<String> = hosts
            .iter()
            .flat_map(|host| [80, 443].map(|port| format!("{host}.t.test:{port}:{RELAY}")))
            .chain([format!("other.example:443:{RELAY}")])
            .collect();
        let roots = self.authority.roots().display().to_string();
        let mut all = vec!["--cacert", &roots];
        pins.iter().for_each(|pin| all.extend(["--resolve", pin.as_str()]));
        all.extend(arguments);
        curl(&self.lab.visitor, &all)
    }
}

/// What was tried, by name.
fn steps(view: &Value) -> Vec<&str> {
    let steps = view.pointer("/state/steps").unwrap().as_array().unwrap();
    steps.iter().map(|step| step.get("name").unwrap().as_str().unwrap()).collect()
}

fn serve_from(relay: &Relay, Certified { chain, key }: &Certified) {
    let text = fs::read_to_string(relay.config()).unwrap();
    let tls = format!(
        "[tls]\ncertificate_files = [{{ chain = \"{}\", key = \"{}\" }}]\n",
        chain.display(),
        key.display()
    );
    fs::write(relay.config(), text + &tls).unwrap();
}

/// A web server behind TLS that answers every request with 200.
fn tls_server(scene: &Scene, port: u16, Certified { chain, key }: &Certified) -> Process {
    let mut command = scene.lab.agent.command("openssl");
    command.args(["s_server", "-quiet", "-www", "-accept", &port.to_string()]);
    command.arg("-cert").arg(chain).arg("-key").arg(key);
    Process::start("openssl", command)
}
