//! One NS record and three commands: from a machine with nothing on it to a web service behind HTTPS with a wildcard certificate.
//!
//! ```text
//! exchange 44.128.0.53   BIND: a resolver for everybody; the zone `test`, beside it at .54; Pebble, which asks that resolver
//! relay .1   agent .2   visitor .7
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test looks for and does not find fails it"
)]

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bore_tests::bore::{Finished, bore};
use bore_tests::curl::curl;
use bore_tests::lab::{EXCHANGE, Lab, PUBLIC};
use bore_tests::names::{At, Names};
use bore_tests::origins::Nginx;
use bore_tests::pebble::Pebble;
use bore_tests::process::Process;
use serde_json::{Value, json};

#[test]
fn one_ns_record_and_three_commands_make_an_https_url_with_a_wildcard_certificate() {
    let mut scene = Scene::new();
    let _nginx = Nginx::start(&scene.lab, 3000, scene.lab.path());
    let began = Instant::now();

    let mut relay = scene.init("--dns built-in --wait");
    let made = relay.event("relay_initialised");
    let [ref address, _, _, _] = PUBLIC;
    let records = records(&made);
    assert_eq!(records, [format!("relay.test A {address}"), "t.test NS relay.test".to_owned()]);
    relay.event("relay_running");
    scene.until_told(&mut relay, "t.test NS", false);
    // The operator copies what was printed.
    scene.names.set_zone(&absolute(&records));
    let record_made = Instant::now();
    scene.until_told(&mut relay, "t.test SOA", true);

    let key = made["join_key"].as_str().unwrap();
    let mut agent = scene.agent("join", &["join", "--key", key]);
    agent.event("joined");
    let mut published = scene.agent("publish", &["3000"]);
    let url = live_by_https(&mut published);
    let host = url.strip_prefix("https://").unwrap().strip_suffix('/').unwrap();
    assert!(host.ends_with(".t.test"), "{url}");
    let answer = scene.visit(&url);
    assert_eq!((answer.status, answer.body.as_str()), (200, "nginx behind bore\n"), "{answer:?}");
    let took = began.elapsed();
    assert_eq!(scene.certificate_names(host), ["DNS:*.t.test", "DNS:t.test"]);

    println!(
        "one NS record: {} commands, {:.1} s to the first answer over HTTPS, {:.1} s of them after the record was made",
        scene.commands,
        took.as_secs_f32(),
        (took - (record_made - began)).as_secs_f32()
    );
    assert_eq!(scene.commands, 3);
    assert!(took < Duration::from_secs(180), "{took:?}");
}

#[test]
fn a_certificate_that_fails_is_told_by_the_publication_that_lacks_it() {
    let mut scene = Scene::new();
    let [address, ..] = PUBLIC;
    scene.names.set_zone(&format!("relay A {address}\n*.t A {address}"));
    scene.lab.relay.nft(&format!(
        "table ip ca {{ chain in {{ type filter hook input priority 0; policy accept;
            ip saddr {EXCHANGE} tcp dport {{ 80, 443 }} reject with tcp reset; }}; }}"
    ));
    let _nginx = Nginx::start(&scene.lab, 3000, scene.lab.path());
    let mut relay = scene.init("");
    let key = relay.event("relay_initialised")["join_key"].as_str().unwrap().to_owned();
    relay.event("relay_running");
    let mut agent = scene.agent("join", &["join", "--key", &key]);
    agent.event("joined");

    let mut published = scene.agent("publish", &["3000", "--name", "app"]);
    let told = published.line_within(PATIENCE, "the cause and the next try", |line| {
        let view = line.json()?;
        view["cause"].as_str()?.contains("B5404").then_some(view)
    });
    let cause = told["cause"].as_str().unwrap();
    assert!(cause.starts_with("no certificate yet: the CA cannot connect"), "{cause}");
    assert!(cause.contains("; next try 20") && cause.ends_with(" UTC"), "{cause}");
    assert_eq!((&told["state"], &told["url"]), (&json!("live"), &json!("http://app.t.test/")));
    let steps = told["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["name"] == "certificate").unwrap();
    assert_eq!(step["ok"], false);
    let detail = step["detail"].as_str().unwrap();
    assert!(detail.contains("app.t.test") && detail.contains("open ports 80 and 443"), "{detail}");

    let listed = Finished::of(scene.agent_command(&["ls"])).success().event("publication");
    assert_eq!(listed["cause"], told["cause"]);
    assert_eq!(scene.visit("http://app.t.test/").status, 200, "meanwhile by plain HTTP");
}

/// An Internet with its DNS and a CA, and three machines that have `bore` and nothing else.
struct Scene {
    names: Names,
    pebble: Pebble,
    lab: Lab,
    commands: usize,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::on_one_network();
        let exchange = lab.exchange.clone().unwrap();
        exchange.add_address("lan", &format!("{ZONE}/24"));
        let at = At { zone: ZONE, resolver: EXCHANGE };
        let names = Names::start_at(&lab, &exchange, at, "");
        let pebble = Pebble::start(&lab, &exchange, EXCHANGE, EXCHANGE);
        Self { names, pebble, lab, commands: 0 }
    }

    /// As a person types it; what is beside the README's line says only whom this Internet has for a CA, and where the test keeps its files.
    fn init(&mut self, more: &str) -> Process {
        let (directory, roots) = (self.pebble.directory(), self.pebble.api_roots().display());
        let (roots, home) = (roots.to_string(), self.lab.folder("relay"));
        let at = |name: &str| home.join(name).display().to_string();
        let readme = format!("relay init --host relay.test --domain t.test --run {more}");
        let mut arguments: Vec<&str> = readme.split_whitespace().collect();
        let (config, state) = (at("relay.toml"), at("state"));
        arguments.extend(["--acme-directory", &directory, "--acme-ca-file", &roots]);
        arguments.extend(["--config", &config, "--relay-state", &state]);
        let command = bore(&self.lab.relay, &home, &arguments);
        self.start("relay", command)
    }

    /// On the machine with the service, which trusts the CA as the whole Internet does.
    fn agent(&mut self, name: &str, arguments: &[&str]) -> Process {
        let command = self.agent_command(arguments);
        self.start(name, command)
    }

    fn agent_command(&self, arguments: &[&str]) -> Command {
        let home = self.lab.folder("agent");
        let mut command = bore(&self.lab.agent, &home, arguments);
        command.env("BORE_STATE", home.join("state")).env("SSL_CERT_FILE", self.pebble.root());
        command
    }

    fn start(&mut self, name: &str, command: Command) -> Process {
        self.commands += 1;
        Process::start(name, command)
    }

    /// Waits until the relay says of a record whether it is right.
    fn until_told(&self, relay: &mut Process, record: &str, right: bool) {
        relay.line_within(PATIENCE, record, |line| {
            let step = line.json().filter(|step| step["event"] == "step")?;
            (step["name"] == record && step["ok"] == right).then_some(())
        });
    }

    fn visit(&self, url: &str) -> bore_tests::curl::Answer {
        let root = self.pebble.root().display().to_string();
        curl(&self.lab.visitor, &["--cacert", &root, url])
    }

    /// What the certificate that visitors get speaks for; openssl goes on only with one that it trusts.
    fn certificate_names(&self, host: &str) -> Vec<String> {
        let root = self.pebble.root().display().to_string();
        let (to, verified) = (format!("{host}:443"), "-verify_return_error");
        let mut shaking = self.lab.visitor.command("openssl");
        shaking.args([
            "s_client",
            "-connect",
            &to,
            "-servername",
            host,
            "-CAfile",
            &root,
            verified,
        ]);
        let shaken = shaking.stdin(Stdio::null()).output().unwrap();
        assert!(shaken.status.success(), "{}", String::from_utf8_lossy(&shaken.stderr));
        let file = self.lab.file("shown.pem", &String::from_utf8_lossy(&shaken.stdout));
        let file = file.display().to_string();
        let read = ["x509", "-in", &file, "-noout", "-ext", "subjectAltName"];
        let text = self.lab.visitor.run("openssl", &read);
        let names = text.lines().nth(1).unwrap_or_default().split(',');
        let mut names: Vec<_> = names.map(|name| name.trim().to_owned()).collect();
        names.sort();
        names
    }
}

/// What `relay init` said has to be made, as people read it.
fn records(made: &Value) -> Vec<String> {
    let records = made["dns_records"].as_array().unwrap().iter();
    let text = |record: &Value, key: &str| record[key].as_str().unwrap().to_owned();
    records.map(|record| ["name", "type", "value"].map(|key| text(record, key)).join(" ")).collect()
}

/// The same lines for a zone file, where a name without a last dot lies in the zone.
fn absolute(records: &[String]) -> String {
    let dotted = |word: &str| {
        if word.ends_with(".test") { format!("{word}.") } else { word.to_owned() }
    };
    let lines =
        records.iter().map(|record| record.split(' ').map(dotted).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

/// The address that was printed last, once it is HTTPS, and called live.
fn live_by_https(published: &mut Process) -> String {
    published.line_within(PATIENCE, "that it is live", |line| {
        let told = line.json()?;
        let noted = told["text"].as_str().is_some_and(|text| text.ends_with(" is live"));
        let stated =
            told["event"] == "state" && told["verified"] == true && told["cause"].is_null();
        (noted || stated).then_some(())
    });
    let printed = published.events("published");
    let url = printed.last().unwrap()["url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("https://"), "{}", published.text());
    url
}

const ZONE: Ipv4Addr = Ipv4Addr::new(44, 128, 0, 54);
/// What a person would wait for at most.
const PATIENCE: Duration = Duration::from_secs(120);
