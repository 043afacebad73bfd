//! At the relay's API inside the overlay: other hosts, other people's things, names that are not its own, and too much of everything.

use std::time::Duration;

use bore_tests::attempts::Attempt;
use bore_tests::memory::resident_kib;
use serde_json::{Value, json};

use super::scene::{Scene, request};

/// An attempt that is one GET.
macro_rules! get {
    ($name:literal, |$scene:pat_param| $path:expr, $expected:literal) => {
        Attempt {
            name: $name,
            make: |scene| {
                let path: String = {
                    let $scene: &Scene = scene;
                    $path
                };
                scene.node.get(&path)
            },
            expected: $expected,
        }
    };
}

/// An attempt that is one wish to publish, some fields of which are not honest.
macro_rules! publish {
    ($name:literal, $body:expr, $expected:literal) => {
        Attempt {
            name: $name,
            make: |scene| {
                let body = with(tcp("mine", 9_000), &$body);
                scene.node.publish(&body)
            },
            expected: $expected,
        }
    };
}

pub(crate) const ATTEMPTS: [Attempt<Scene>; 85] = [
    get!(
        "its own name, to show what the others would be answered",
        |_| "/v1/nodes/self".to_owned(),
        "200"
    ),
    publish!("a port of its own, to show the same", json!({}), "200"),
    // Hosts.
    Attempt {
        name: "a name that was made to lead to the relay",
        make: |scene| host(scene, "evil.example", ""),
        expected: "421 B2112",
    },
    Attempt {
        name: "localhost",
        make: |scene| host(scene, "localhost", ""),
        expected: "421 B2112",
    },
    Attempt {
        name: "the honest agent's address",
        make: |scene| host(scene, "100.64.0.2", ""),
        expected: "421 B2112",
    },
    Attempt {
        name: "the relay's public address",
        make: |scene| host(scene, "203.0.113.1", ""),
        expected: "421 B2112",
    },
    Attempt {
        name: "the garden's address",
        make: |scene| host(scene, "[fd62:6f72:6500::1]", ""),
        expected: "421 B2112",
    },
    Attempt {
        name: "the address as a number",
        make: |scene| host(scene, "1681915905", ""),
        expected: "421 B2112",
    },
    Attempt {
        name: "the address in a name",
        make: |scene| host(scene, "100.64.0.1.evil.example", ""),
        expected: "421 B2112",
    },
    Attempt {
        name: "the address behind a user",
        make: |scene| host(scene, "evil@100.64.0.1", ""),
        expected: "421 B2112|400|200",
    },
    Attempt {
        name: "two hosts",
        make: |scene| host(scene, "100.64.0.1", "Host: evil.example\r\n"),
        expected: "421 B2112|400",
    },
    Attempt {
        name: "a page's origin",
        make: |scene| host(scene, "100.64.0.1", "Origin: null\r\n"),
        expected: "403 B2112",
    },
    // Routes that are none here.
    get!("all networks", |_| "/v1/networks".to_owned(), "404 B2112"),
    get!("its network's nodes", |scene| format!("{}/nodes", scene.relay.network()), "404 B2112"),
    get!(
        "its network's join keys",
        |scene| format!("{}/join-keys", scene.relay.network()),
        "404 B2112"
    ),
    get!(
        "its network's audit trail",
        |scene| format!("{}/audit", scene.relay.network()),
        "404 B2112"
    ),
    get!("the relay", |_| "/v1/relay".to_owned(), "404 B2112"),
    get!("the metrics", |_| "/metrics".to_owned(), "404 B2112"),
    get!("the document", |_| "/v1/openapi.json".to_owned(), "404 B2112"),
    get!("the garden's route", |_| "/v1/join".to_owned(), "404 B2112"),
    Attempt {
        name: "to drain the relay",
        make: |scene| scene.node.ask("POST", "/v1/relay/drain", None).outcome(),
        expected: "404 B2112",
    },
    Attempt {
        name: "to make a key",
        make: |scene| {
            let path = format!("{}/join-keys", scene.relay.network());
            scene.node.ask("POST", &path, Some(&json!({}))).outcome()
        },
        expected: "404 B2112",
    },
    Attempt {
        name: "to remove the honest agent",
        make: |scene| {
            let path = format!("{}/nodes/nas", scene.relay.network());
            scene.node.ask("DELETE", &path, None).outcome()
        },
        expected: "404 B2112",
    },
    // Other nodes' things.
    get!("the honest agent, by id", |scene| format!("/v1/nodes/{}", nas(scene)), "404 B2112"),
    get!(
        "the honest agent's publications",
        |scene| format!("/v1/nodes/{}/publications", nas(scene)),
        "404 B2112"
    ),
    get!(
        "the honest agent's watch",
        |scene| format!("/v1/nodes/{}/watch?boot={BOOT}", nas(scene)),
        "404 B2112"
    ),
    get!(
        "the honest agent's publications by a path that climbs",
        |scene| format!("/v1/nodes/self/../{}/publications", nas(scene)),
        "404 B2112"
    ),
    get!(
        "the same in disguise",
        |scene| format!("/v1/nodes/self%2f..%2f{}", nas(scene)),
        "404 B2112"
    ),
    get!(
        "a file of the relay's",
        |_| "/v1/nodes/self/publications/..%2f..%2f..%2fetc%2fpasswd".to_owned(),
        "405 B2112|404 B2112"
    ),
    get!("a watch without a session", |_| format!("/v1/nodes/self/watch?boot={BOOT}"), "409 B5104"),
    Attempt {
        name: "to take the honest publication back, by id",
        make: |scene| of_honest(scene, "DELETE", "", None),
        expected: "404 B2111",
    },
    Attempt {
        name: "to take it back by name",
        make: |scene| scene.node.ask("DELETE", "/v1/nodes/self/publications/shell", None).outcome(),
        expected: "404 B2111",
    },
    Attempt {
        name: "to say that the honest target is down",
        make: |scene| of_honest(scene, "PUT", "/target", Some(json!({"ok": false, "detail": "x"}))),
        expected: "404 B2111",
    },
    Attempt {
        name: "to have the honest publication visited",
        make: |scene| of_honest(scene, "POST", "/probe", None),
        expected: "404 B2111",
    },
    Attempt {
        name: "to say that the honest visit failed",
        make: |scene| {
            of_honest(
                scene,
                "PUT",
                "/probe",
                Some(json!({"steps": [{"name": "port", "ok": false, "detail": "x"}]})),
            )
        },
        expected: "404 B2111",
    },
    // Names and places that are others'.
    publish!("the honest name", json!({"name": "shell"}), "409 B2102"),
    publish!("the honest name, by force", json!({"name": "shell", "replace": true}), "403 B4101"),
    publish!("the honest port", json!({"port": 7_000}), "409 B2104"),
    publish!("the honest port, by force", json!({"port": 7_000, "replace": true}), "403 B4101"),
    publish!(
        "ports around the honest one, by force",
        json!({"port": 6_990, "port_count": 20, "target": "6990-7009", "replace": true}),
        "403 B4101"
    ),
    publish!(
        "the honest UDP port, by force",
        json!({"protocol": "udp", "port": 7_001, "replace": true}),
        "403 B4101"
    ),
    publish!(
        "the honest hostname",
        json!({"protocol": "http", "port": null, "hostnames": ["app"]}),
        "409 B2103"
    ),
    publish!(
        "the honest hostname in capitals, by force",
        json!({"protocol": "http", "port": null, "hostnames": ["APP.T.TEST."], "replace": true}),
        "403 B4101"
    ),
    publish!(
        "the honest hostname for TLS",
        json!({"protocol": "tls", "port": null, "hostnames": ["app"], "replace": true}),
        "403 B4101"
    ),
    publish!(
        "the honest hostname among 63 of its own",
        json!({"protocol": "http", "port": null, "replace": true, "hostnames": (0..63).map(|n| format!("h{n}")).chain(["app".to_owned()]).collect::<Vec<_>>()}),
        "403 B4101"
    ),
    publish!(
        "the relay's own name",
        json!({"protocol": "http", "port": null, "hostnames": ["t.test"]}),
        "409 B2103"
    ),
    publish!(
        "the relay's own address",
        json!({"protocol": "http", "port": null, "hostnames": ["203.0.113.1"]}),
        "422 B2106|409 B2103"
    ),
    publish!(
        "every name of the relay's",
        json!({"protocol": "http", "port": null, "hostnames": ["*.t.test"]}),
        "422 B2106"
    ),
    publish!(
        "a name below the honest one",
        json!({"protocol": "http", "port": null, "hostnames": ["login.app.t.test"]}),
        "422 B2106"
    ),
    publish!(
        "a name of nobody's here",
        json!({"protocol": "http", "port": null, "hostnames": ["example.com"]}),
        "422 B2106"
    ),
    publish!(
        "the top of all names",
        json!({"protocol": "http", "port": null, "hostnames": ["*.test"]}),
        "422 B2106"
    ),
    publish!(
        "localhost",
        json!({"protocol": "http", "port": null, "hostnames": ["localhost."]}),
        "200|422 B2106"
    ),
    publish!(
        "a name with a line end",
        json!({"protocol": "http", "port": null, "hostnames": ["a\r\nHost: b"]}),
        "422 B2101|422 B2106"
    ),
    publish!(
        "65 hostnames",
        json!({"protocol": "http", "port": null, "hostnames": vec!["a"; 65]}),
        "400 B2112"
    ),
    publish!("SSH's port", json!({"port": 22}), "403 B4101"),
    publish!("the web's port", json!({"port": 80}), "403 B4101"),
    publish!("the overlay's port", json!({"protocol": "udp", "port": 443}), "403 B4101"),
    publish!("DNS's port", json!({"protocol": "udp", "port": 53}), "403 B4101"),
    publish!("the API's port", json!({"port": 7_400}), "409 B2105"),
    publish!("port 0", json!({"port": 0}), "400 B2112"),
    publish!("port 70,000", json!({"port": 70_000}), "400 B2112"),
    publish!(
        "ports beyond the last",
        json!({"port": 65_535, "port_count": 2, "target": "1-2"}),
        "422 B2107"
    ),
    publish!(
        "all ports",
        json!({"port": 1_024, "port_count": 64_512, "target": "1024-65535"}),
        "400 B2112"
    ),
    publish!(
        "more ports than a network has",
        json!({"protocol": "udp", "port": 20_000, "port_count": 16_384, "target": "20000-36383"}),
        "429 B2109|200"
    ),
    // Forms.
    publish!("another node's place", json!({"node": "nas"}), "400 B2112"),
    publish!("a field that is none", json!({"is_admin": true}), "400 B2112"),
    publish!("a name with escapes", json!({"name": "\u{1b}[2J"}), "422 B2101"),
    publish!("a name of 64 characters", json!({"name": "x".repeat(64)}), "422 B2101"),
    publish!("a name of 200,000 characters", json!({"name": "x".repeat(200_000)}), "422 B2101"),
    publish!("a target with escapes", json!({"target": "\u{1b}]0;owned\u{7}:1"}), "400 B2112"),
    publish!(
        "a target that turns text round",
        json!({"target": "\u{202e}1:tsohlacol"}),
        "400 B2112"
    ),
    publish!("a target of 200,000 characters", json!({"target": "x".repeat(200_000)}), "400 B2112"),
    publish!(
        "1,025 entries of access",
        json!({"access": {"allow": vec!["any"; 1_025]}}),
        "422 B2110"
    ),
    publish!(
        "access with a line end",
        json!({"access": {"allow": ["10.0.0.0/8\r\nany"]}}),
        "422 B2110"
    ),
    publish!(
        "a health check with another request in its path",
        json!({"protocol": "http", "port": null, "health": {"check": {"http": "/ HTTP/1.1\r\nX: y"}}}),
        "400 B2112"
    ),
    publish!(
        "a health check each 0 seconds",
        json!({"health": {"interval_seconds": 0}}),
        "400 B2112"
    ),
    publish!("300,000 bytes", json!({"name": "x".repeat(300_000)}), "413 B2112"),
    Attempt {
        name: "100,000 brackets",
        make: |scene| raw_body(scene, &"[".repeat(100_000)),
        expected: "400 B2112",
    },
    Attempt {
        name: "a session with escapes",
        make: |scene| session(scene, "\u{1b}[31m"),
        expected: "400 B2112",
    },
    Attempt {
        name: "a session of 100,000 characters",
        make: |scene| session(scene, &"x".repeat(100_000)),
        expected: "400 B2112",
    },
    // Too much.
    Attempt {
        name: "10,000 names, as far as it gets",
        make: names,
        expected: "16, and no more memory than that",
    },
    Attempt {
        name: "an honest publication's id for a name",
        make: id_for_a_name,
        expected: "the id is the honest one's",
    },
    Attempt {
        name: "visits that never were, reported as good",
        make: visit_that_never_was,
        expected: "not live",
    },
    Attempt { name: "100 connections that say nothing", make: silent, expected: "64 held" },
    Attempt {
        name: "3,000 requests in one breath",
        make: breath,
        expected: "some, then 429 B2109",
    },
];

fn tcp(name: &str, port: u16) -> Value {
    json!({"name": name, "protocol": "tcp", "port": port, "target": "1", "lifetime": "session"})
}

fn with(mut body: Value, fields: &Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn host(scene: &mut Scene, host: &str, lines: &str) -> String {
    scene.node.say(&request("GET", "/v1/nodes/self", host, lines, None)).outcome()
}

fn nas(scene: &Scene) -> String {
    scene.nas()["id"].as_str().unwrap().to_owned()
}

fn of_honest(scene: &mut Scene, method: &str, rest: &str, body: Option<Value>) -> String {
    let path = format!("/v1/nodes/self/publications/{}{rest}", scene.honest_id("shell"));
    scene.node.ask(method, &path, body.as_ref()).outcome()
}

fn raw_body(scene: &mut Scene, body: &str) -> String {
    let head = request("POST", "/v1/nodes/self/publications", "100.64.0.1", "", Some(&json!({})));
    let head = String::from_utf8(head).unwrap();
    let length = format!("Content-Length: {}\r\n\r\n", body.len());
    let request = head.replace("Content-Length: 2\r\n\r\n{}", &length) + body;
    scene.node.say(request.as_bytes()).outcome()
}

fn session(scene: &mut Scene, version: &str) -> String {
    let body = json!({"boot": BOOT, "version": version});
    scene.node.ask("PUT", "/v1/nodes/self/session", Some(&body)).outcome()
}

/// Each with the longest list of visitors that there may be; and then all of them at once, on as many connections as there may be.
fn names(scene: &mut Scene) -> String {
    let networks: Vec<String> = (0..1_024).map(|n| format!("2001:db8:{n:x}::/48")).collect();
    let access = json!({"allow": networks});
    let wish = |number: u32| json!({"name": format!("n{number}"), "protocol": "http", "target": "1", "access": access});
    let mut outcomes = (0..10_000).map(|number| scene.node.publish(&wish(number)));
    let count = outcomes.by_ref().take_while(|outcome| outcome == "200").count();
    drop(outcomes);
    let relay = scene.relay.process().id();
    let before = resident_kib(relay);
    let node = &mut scene.node;
    let question = request("GET", "/v1/nodes/self/publications", "100.64.0.1", "", None);
    let held: Vec<_> = (0..60)
        .filter_map(|_| {
            let flow = node.end.connect(node.v4.into(), super::scene::api_v4()).ok()?;
            node.end.write(&flow, &question, Duration::from_secs(1));
            Some(flow)
        })
        .collect();
    node.end.wait(Duration::from_secs(2), |_| None::<()>);
    let more = resident_kib(relay).saturating_sub(before);
    held.iter().for_each(bore_netstack::TcpFlow::abort);
    if more < LISTS_KIB_MAX {
        format!("{count}, and no more memory than that")
    } else {
        format!("{count}, and {more} KiB on {} connections", held.len())
    }
}

fn breath(scene: &mut Scene) -> String {
    let some = "GET /v1/nodes/self HTTP/1.1\r\nHost: 100.64.0.1\r\n\r\n".repeat(50);
    let node = &mut scene.node;
    let flow = node.end.connect(node.v4.into(), super::scene::api_v4()).unwrap();
    let mut heard = Vec::new();
    for _ in 0..60 {
        node.end.write(&flow, some.as_bytes(), Duration::from_secs(1));
        heard.extend(node.end.read(&flow, Duration::from_millis(20), |_| false).0);
    }
    flow.abort();
    let heard = String::from_utf8_lossy(&heard).into_owned();
    match (heard.contains("HTTP/1.1 200"), heard.contains("HTTP/1.1 429")) {
        (true, true) => "some, then 429 B2109".to_owned(),
        (good, limited) => format!("good: {good}, limited: {limited}"),
    }
}

/// What is asked for by an id has to be that publication, whatever another one is called.
fn id_for_a_name(scene: &mut Scene) -> String {
    let id = scene.honest_id("shell");
    let outcome = scene.node.publish(&json!({"name": id, "protocol": "http", "target": "1"}));
    let path = format!("{}/publications/{id}", scene.relay.network());
    let shown = scene.relay.api("GET", &path, None).json();
    if shown["name"] == "shell" {
        "the id is the honest one's".to_owned()
    } else {
        format!("{outcome}, and {id} is {}", shown["name"])
    }
}

fn visit_that_never_was(scene: &mut Scene) -> String {
    let mut outcome = scene.node.publish(&tcp("mine", 9_000));
    let steps = json!({"steps": [{"name": "port", "ok": true, "detail": "well"}]});
    for _ in 0..20 {
        let path = "/v1/nodes/self/publications/mine/probe";
        scene.node.ask("POST", path, None);
        outcome = scene.node.ask("PUT", path, Some(&steps)).outcome();
    }
    match scene.relay.state_of("mine").as_str() {
        "live" => outcome,
        _ => "not live".to_owned(),
    }
}

fn silent(scene: &mut Scene) -> String {
    let node = &mut scene.node;
    let held: Vec<_> = (0..100)
        .filter_map(|_| node.end.connect(node.v4.into(), super::scene::api_v4()).ok())
        .collect();
    let count = held.len();
    held.iter().for_each(bore_netstack::TcpFlow::abort);
    node.end.turn();
    format!("{count} held")
}

/// What the relay may hold for one node's questions.
const LISTS_KIB_MAX: u64 = 300_000;
pub(crate) const BOOT: &str = "00000000-0000-4000-8000-000000000001";
