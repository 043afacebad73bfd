//! Much of everything, while others go about their business.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bore_tests::attempts::Attempt;
use bore_tests::lab::{RELAY, RELAY_V6};
use bore_tests::namespace::Namespace;
use bore_tests::visitor::{connect, connect_to, echo};

use serde_json::json;

use super::scene::{SILENCE, Scene, ask, body, fresh_key, post, request, with_secret};
use bore_tests::overlay_end::handshake::Claim;

pub(crate) const ATTEMPTS: [Attempt<Scene>; 9] = [
    Attempt {
        name: "joins with a revoked key from twelve machines",
        make: dead_key_again_and_again,
        expected: "10 heard why, the others that they are too many; 0 or 1 row",
    },
    Attempt {
        name: "guesses from one machine",
        make: |scene| {
            let guess = post(&body(&with_secret(&scene.good, [3; 20]), "x"));
            let mut stranger = scene.stranger();
            count((0..30).map(|_| ask(&mut stranger, &guess).outcome()).collect())
        },
        expected: "10 × 403 B3103, 20 × 429 B2109",
    },
    Attempt {
        name: "more strangers from one address than the garden has room for",
        make: full_garden,
        expected: "128 let in, and one from elsewhere",
    },
    Attempt {
        name: "10,000 handshakes of strangers without a proof, while somebody joins",
        make: handshakes,
        expected: "200 meanwhile",
    },
    Attempt {
        name: "1,512 half requests at the web port from one /64",
        make: |scene| hold(scene, 80, 512),
        expected: "no more than the bound; others are served",
    },
    Attempt {
        name: "the API and the metrics, from outside",
        make: |scene| {
            let is_open = |port: &u16| {
                let address = SocketAddr::new(RELAY.into(), *port);
                let call = || TcpStream::connect_timeout(&address, Duration::from_secs(1));
                scene.outside.enter(call).is_ok()
            };
            format!(
                "{:?}",
                [7400, 7401, 7402].iter().filter(|port| is_open(port)).collect::<Vec<_>>()
            )
        },
        expected: "[]",
    },
    Attempt {
        name: "a revoked API key on the relay's own machine, 60 times",
        make: dead_api_key,
        expected: "401, then 429",
    },
    Attempt {
        name: "two requests in one at the API",
        make: smuggled_at_the_api,
        expected: "never 200",
    },
    Attempt {
        name: "connections to the API that say nothing",
        make: silent_at_the_api,
        expected: "the administrator is served",
    },
];

fn dead_key_again_and_again(scene: &mut Scene) -> String {
    let request = post(&body(&scene.bad["revoked"], "x"));
    let rows = rows(scene);
    let mut outcomes = Vec::new();
    for _ in 0..12 {
        let mut stranger = scene.stranger();
        outcomes.extend((0..5).map(|_| ask(&mut stranger, &request).outcome()));
    }
    let heard = outcomes.iter().filter(|outcome| *outcome == "403 B3106").count();
    let limited = outcomes.iter().filter(|outcome| *outcome == "429 B2109").count();
    // The key was tried before, and its bucket fills again while this lasts.
    let is_few = heard <= 15 && heard + limited == outcomes.len();
    let new = self::rows(scene) - rows;
    match (is_few, new) {
        (true, 0 | 1) => "10 heard why, the others that they are too many; 0 or 1 row".to_owned(),
        _ => format!("{}; {new} rows", count(outcomes)),
    }
}

fn rows(scene: &Scene) -> usize {
    scene.relay.list("audit?limit=1000").len()
}

fn full_garden(scene: &mut Scene) -> String {
    let from = scene.fresh_address();
    let mut let_in = Vec::new();
    while let Some(end) = scene.knock(from, fresh_key()) {
        let_in.push(end);
    }
    let elsewhere = scene.stranger();
    let count = let_in.len();
    drop((let_in, elsewhere));
    format!("{count} let in, and one from elsewhere")
}

fn handshakes(scene: &mut Scene) -> String {
    let socket = scene.socket();
    let relay = scene.relay_end;
    let flood: Vec<Vec<u8>> = (0..200)
        .map(|_| Claim::honest(rand::random(), &relay.key).initiation(&relay.key, None))
        .collect();
    std::thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            for datagram in flood.iter().cycle().take(10_000) {
                let _ = socket.send_to(datagram, relay.address);
            }
        });
        let outcome = scene.join_as("meanwhile");
        flooding.join().unwrap();
        outcome
    })
}

/// Opens more connections than one source may have, from four addresses of a /64, and holds them.
fn hold(scene: &Scene, port: u16, bound: usize) -> String {
    let visitor = &scene.lab.visitor;
    let wanted = bound + 1_000;
    let address = SocketAddr::new(RELAY_V6.into(), port);
    let half = |number: usize| {
        if number.is_multiple_of(wanted.div_ceil(4)) {
            call_from(visitor, &format!("2001:db8:113::{:x}", 0x1000 + number));
        }
        let mut stream = connect_to(visitor, address).ok()?;
        stream.write_all(b"GET / HTTP/1.1\r\n").ok()?;
        Some(stream)
    };
    let streams: Vec<TcpStream> = (0..wanted).filter_map(half).collect();
    let held = streams.iter().filter(|stream| is_open(stream)).count();
    let served = connect(visitor, 7000).and_then(|mut stream| echo(&mut stream, b"v4"));
    drop(streams);
    match (held <= bound && held > 0, served) {
        (true, Ok(())) => "no more than the bound; others are served".to_owned(),
        (_, served) => format!("{held} held, others: {served:?}"),
    }
}

/// Which of its addresses a machine calls the relay from.
fn call_from(machine: &Namespace, address: &str) {
    machine.add_address("relay", &format!("{address}/64"));
    let to = format!("{RELAY_V6}/128");
    machine.ip(&["-6", "route", "replace", &to, "dev", "relay", "src", address]);
}

fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let read = { stream }.read(&mut [0; 64]);
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// A key that was good: its form is right, so that the relay has to look.
fn dead_api_key(scene: &mut Scene) -> String {
    let path = format!("{}/api-keys", scene.relay.network());
    let made = scene.relay.api("POST", &path, Some(&json!({"scopes": ["read"]}))).json();
    let id = made["item"]["id"].as_str().unwrap();
    assert_eq!(scene.relay.api("DELETE", &format!("{path}/{id}"), None).status, 204);
    let (key, host) = (made["key"].as_str().unwrap(), "Host: 127.0.0.1\r\nConnection: close\r\n");
    let head = format!("GET /v1/networks HTTP/1.1\r\n{host}Authorization: Bearer {key}\r\n\r\n");
    let outcomes: Vec<String> = (0..60).map(|_| at_the_api(scene, &head)).collect();
    format!("{}, then {}", outcomes[0], outcomes[59])
}

fn smuggled_at_the_api(scene: &mut Scene) -> String {
    let hidden = "GET /v1/networks HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    let lines = [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 4\r\nContent-Length: 80\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X-Forwarded-For: 127.0.0.1\r\nX-Original-URL: /v1/health\r\nContent-Length: 0\r\n",
    ];
    let heads = lines.map(|lines| {
        let head = request("POST", "/v1/networks", lines).replace("Connection: close\r\n", "");
        at_the_api(scene, &format!("{head}0\r\n\r\n{hidden}"))
    });
    match heads.iter().find(|outcome| outcome.contains("200")) {
        None => "never 200".to_owned(),
        Some(outcome) => format!("{outcome} in {heads:?}"),
    }
}

fn silent_at_the_api(scene: &mut Scene) -> String {
    let address = SocketAddr::from(([127, 0, 0, 1], 7400));
    let held: Vec<_> =
        (0..900).filter_map(|_| connect_to(&scene.lab.relay, address).ok()).collect();
    let health = scene.relay.api("GET", "/v1/health", None).status;
    format!(
        "the administrator {}",
        if health == 200 && !held.is_empty() { "is served" } else { "is not served" }
    )
}

/// Statuses of the answers to this on the relay's own machine.
fn at_the_api(scene: &Scene, text: &str) -> String {
    let address = SocketAddr::from(([127, 0, 0, 1], 7400));
    let mut stream = connect_to(&scene.lab.relay, address).unwrap();
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // It ends with the connection, or when nothing more comes.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let statuses = answer.split("HTTP/1.1 ").skip(1).filter_map(|one| one.get(..3));
    statuses.collect::<Vec<_>>().join(", ")
}

fn count(mut outcomes: Vec<String>) -> String {
    outcomes.sort();
    let mut kinds = outcomes.clone();
    kinds.dedup();
    let counted = kinds.iter().map(|kind| {
        format!("{} × {kind}", outcomes.iter().filter(|outcome| *outcome == kind).count())
    });
    counted.collect::<Vec<_>>().join(", ")
}
