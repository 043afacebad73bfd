//! HTTPS from outside: certificates from files, the way there, and what the agent makes of it.
#![expect(clippy::unwrap_used, reason = "what a test looks for and does not find fails it")]

use std::fs;

use bore_tests::authority::{Authority, Certified};
use bore_tests::bore::Relay;
use bore_tests::lab::{Lab, RELAY};
use bore_tests::origins::{Nginx, wait_for_port};
use bore_tests::process::Process;
use bore_tests::secured::{Secured, serve_from};
use bore_tests::wait::{SOON, until};
use serde_json::Value;

#[test]
fn a_name_with_a_certificate_is_live_by_https_in_every_version_of_http() {
    let scene = Secured::new(&["*.t.test"]);
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
    let scene = Secured::new(&["*.t.test"]);
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
    let scene = Secured::new(&["*.t.test"]);
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
    let scene = Secured::new(&["*.t.test"]);
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
    let scene = Secured::new(&["*.t.test"]);
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
fn a_service_is_called_by_the_name_that_it_wants_and_visited_by_old_tls_where_it_may() {
    let scene = Secured::new(&["*.t.test"]);
    let _nginx = Nginx::start(&scene.lab, 3000, scene.lab.path());
    let wishes = ["--host-header", "intranet.local", "--tls-min", "1.2"];
    scene.agent.publish_in_background(&[&["http", "3000", "--name", "app"][..], &wishes].concat());
    scene.agent.publish_in_background(&[
        "http",
        "3000",
        "--name",
        "good",
        "--host-header",
        "rewrite",
    ]);
    scene.agent.publish_in_background(&["http", "3000", "--name", "any"]);
    for (name, host) in
        [("app", "intranet.local"), ("good", "localhost:3000"), ("any", "any.t.test")]
    {
        scene.relay.wait_for_state(name, "live");
        let url = format!("https://{name}.t.test/host");
        for version in ["--http1.1", "--http2"] {
            let answer = scene.get(&[version, &url]);
            let told = format!("host={host} for-host={name}.t.test\n");
            assert!(answer.body.ends_with(&told), "{version}: {answer:?}");
        }
        let old = scene.get(&["--tls-max", "1.2", &url]);
        assert_eq!(old.status, if name == "app" { 200 } else { 0 }, "{name}: {old:?}");
    }
    let refused = scene.agent.bore(&["publish", "http", "3000", "--host-header", "a b"]);
    assert!(refused.refused("B1001", 2).text().contains("NAME:PORT"), "{refused:?}");
}

#[test]
fn a_service_that_terminates_tls_itself_is_passed_through_unread() {
    let scene = Secured::new(&["other.t.test"]);
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
    serve_from(&relay, &certified, "");
    let config = relay.config().display().to_string();
    let refusal = relay.bore(&["relay", "run", "--config", &config]).refused("B1015", 2);
    assert!(refusal.text().contains("relay.key"), "{refusal:?}");
}

/// What was tried, by name.
fn steps(view: &Value) -> Vec<&str> {
    let steps = view.pointer("/state/steps").unwrap().as_array().unwrap();
    steps.iter().map(|step| step.get("name").unwrap().as_str().unwrap()).collect()
}

/// A web server behind TLS that answers every request with 200.
fn tls_server(scene: &Secured, port: u16, Certified { chain, key }: &Certified) -> Process {
    let mut command = scene.lab.agent.command("openssl");
    command.args(["s_server", "-quiet", "-www", "-accept", &port.to_string()]);
    command.arg("-cert").arg(chain).arg("-key").arg(key);
    let server = Process::start("openssl", command);
    wait_for_port(&scene.lab.agent, port);
    server
}
