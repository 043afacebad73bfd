//! At the garden's only route: what is no request, what is two, and what is no join.

use bore_tests::attempts::Attempt;
use serde_json::json;

use super::scene::{HOST, Scene, body, post, post_as, request, with, with_secret};

/// An attempt that is one request of a stranger's.
macro_rules! on {
    ($name:literal, |$scene:pat_param| $request:expr, $expected:literal) => {
        Attempt {
            name: $name,
            make: |scene| {
                let request: String = {
                    let $scene: &Scene = scene;
                    $request
                };
                scene.say(request.as_bytes())
            },
            expected: $expected,
        }
    };
}

pub(crate) const ATTEMPTS: [Attempt<Scene>; 58] = [
    // Routes and names.
    on!("GET on the route", |_| request("GET", "/v1/join", ""), "405 B2112"),
    on!("TRACE on the route", |_| request("TRACE", "/v1/join", ""), "405 B2112"),
    on!("a method that nobody has", |_| request("JOIN", "/v1/join", ""), "405 B2112"),
    on!("the nodes' own list", |_| request("GET", "/v1/nodes", ""), "404 B2112"),
    on!("a node's publications", |_| request("POST", NODE, ""), "404 B2112"),
    on!("a node's watch", |_| request("GET", "/v1/nodes/self/watch", ""), "404 B2112"),
    on!("the networks", |_| request("GET", "/v1/networks", ""), "404 B2112"),
    on!("health", |_| request("GET", "/v1/health", ""), "404 B2112"),
    on!("the metrics", |_| request("GET", "/metrics", ""), "404 B2112"),
    on!("a path that climbs", |_| request("GET", "/v1/join/../nodes", ""), "404 B2112"),
    on!(
        "a path that climbs in disguise",
        |_| request("GET", "/v1/join/%2e%2e/nodes", ""),
        "404 B2112"
    ),
    on!("a path of two slashes", |_| request("GET", "//v1/nodes", ""), "404 B2112"),
    on!(
        "a path of 60,000 characters",
        |_| request("GET", &"/x".repeat(30_000), ""),
        "404 B2112|414"
    ),
    on!("a path with escapes", |_| request("GET", "/%1b[31m%0d%0aX:y", ""), "404 B2112|400"),
    on!("a whole address", |_| request("GET", "http://100.64.0.1/v1/nodes", ""), "404 B2112"),
    on!("an address to connect to", |_| request("CONNECT", "100.64.0.1:80", ""), "404 B2112|400"),
    on!("an asterisk", |_| request("OPTIONS", "*", ""), "404 B2112"),
    on!(
        "another host",
        |_| "GET /v1/join HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".to_owned(),
        "421 B2112"
    ),
    on!(
        "no host",
        |_| "GET /v1/join HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
        "421 B2112|400"
    ),
    on!("two hosts", |_| request("GET", "/v1/join", HOST), "421 B2112|400"),
    on!(
        "a page's origin",
        |_| request("GET", "/v1/join", "Origin: http://evil.example\r\n"),
        "403 B2112"
    ),
    on!(
        "a browser's own word",
        |_| request("GET", "/v1/join", "Sec-Fetch-Site: none\r\n"),
        "403 B2112"
    ),
    // Heads.
    on!("an old version", |_| "GET /v1/join\r\n\r\n".to_owned(), "400|closed"),
    on!("HTTP/2", |_| "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "400|505|closed"),
    on!(
        "an upgrade to HTTP/2",
        |_| request("GET", "/v1/join", "Upgrade: h2c\r\nHTTP2-Settings: AAA\r\n"),
        "405 B2112"
    ),
    on!(
        "a ClientHello",
        |_| "\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03\r\n\r\n".to_owned(),
        "400|closed"
    ),
    on!(
        "a head of 300,000 bytes",
        |_| request("GET", "/v1/join", &format!("A: {}\r\n", "x".repeat(300_000))),
        "431"
    ),
    on!("500 header lines", |_| request("GET", "/v1/join", &"A: x\r\n".repeat(500)), "431"),
    on!("a NUL in a header", |_| request("GET", "/v1/join", "A: x\0y\r\n"), "400"),
    on!("a space before a colon", |_| request("GET", "/v1/join", "A : x\r\n"), "400"),
    on!("a folded line", |_| request("GET", "/v1/join", "A: x\r\n y\r\n"), "400"),
    on!("a line without a colon", |_| request("GET", "/v1/join", "nonsense\r\n"), "400"),
    // Two requests in one.
    on!("two lengths", |_| smuggled("Content-Length: 2\r\nContent-Length: 40\r\n"), "400"),
    on!("a length with a sign", |_| smuggled("Content-Length: +2\r\n"), "400"),
    on!("a negative length", |_| smuggled("Content-Length: -2\r\n"), "400"),
    on!("a hexadecimal length", |_| smuggled("Content-Length: 0x2\r\n"), "400"),
    on!("a list of lengths", |_| smuggled("Content-Length: 2, 40\r\n"), "400"),
    on!("a length of 2^64", |_| smuggled("Content-Length: 18446744073709551616\r\n"), "400"),
    on!(
        "a length and chunks",
        |_| smuggled("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"),
        "400|400 B2112|413 B2112"
    ),
    on!(
        "chunks, and then something else",
        |_| smuggled("Transfer-Encoding: chunked, identity\r\n"),
        "400"
    ),
    on!("an encoding that is none", |_| smuggled("Transfer-Encoding: xchunked\r\n"), "400"),
    on!(
        "a chunk longer than there are numbers",
        |_| chunked("FFFFFFFFFFFFFFFFF\r\n"),
        "400 B2112|413 B2112|400|closed"
    ),
    on!(
        "a chunk with a megabyte of words",
        |_| chunked(&format!("1;{}\r\n", "x".repeat(1_000_000))),
        "413 B2112|400 B2112|400|closed|reset"
    ),
    // Bodies.
    on!(
        "a form",
        |scene| called(scene, "Content-Type: application/x-www-form-urlencoded\r\n"),
        "415 B2112"
    ),
    on!("plain text", |scene| called(scene, "Content-Type: text/plain\r\n"), "415 B2112"),
    on!("no content type", |scene| called(scene, ""), "415 B2112"),
    on!(
        "two content types",
        |scene| called(scene, "Content-Type: text/plain\r\nContent-Type: application/json\r\n"),
        "415 B2112"
    ),
    on!("nothing", |_| json_body(""), "400 B2112"),
    on!("half of it", |_| json_body("{\"key_id\": \""), "400 B2112"),
    on!(
        "two of them",
        |scene| json_body(&format!("{0}{0}", body(&scene.good, "two"))),
        "400 B2112"
    ),
    on!(
        "a field twice",
        |scene| json_body(&body(&scene.good, "a").to_string().replacen('{', "{\"name\":\"b\",", 1)),
        "400 B2112"
    ),
    on!("100,000 brackets", |_| json_body(&"[".repeat(100_000)), "400 B2112"),
    on!(
        "100,000 objects in a name",
        |_| json_body(&format!("{{\"name\":{}", "{\"a\":".repeat(40_000))),
        "400 B2112"
    ),
    on!("a number that is none", |_| json_body("{\"name\":1e999999}"), "400 B2112"),
    on!("half a character", |_| json_body("{\"name\":\"\\ud800\"}"), "400 B2112"),
    on!("300,000 bytes", |_| json_body(&" ".repeat(300_000)), "413 B2112"),
    Attempt {
        name: "groups, an address and a node of one's own choice",
        make: |scene| {
            let outcomes = ["groups", "overlay_v4", "node", "id", "kind", "admin"].map(|field| {
                let body = with(body(&scene.good, "x"), field, json!(["admin"]));
                scene.post(&body)
            });
            let mut outcomes = outcomes.to_vec();
            outcomes.dedup();
            outcomes.join(", ")
        },
        expected: "400 B2112",
    },
    Attempt {
        name: "100 requests in one breath",
        make: |scene| {
            let guess = post(&body(&with_secret(&scene.good, [2; 20]), "x"));
            let kept = String::from_utf8(guess).unwrap().replace("Connection: close\r\n", "");
            let outcome = scene.say(kept.repeat(100).as_bytes());
            let answers: Vec<&str> = outcome.split(", ").collect();
            let refused = answers.iter().all(|one| ["403 B3103", "429 B2109"].contains(one));
            format!("{} refused", if refused { "all" } else { "not all" })
        },
        expected: "all refused",
    },
];

/// A head that means two things, a small body, and another request behind it: one connection, and as many answers as the relay saw requests.
fn smuggled(lines: &str) -> String {
    let head = request("POST", "/v1/join", &format!("{JSON}{lines}"));
    let hidden = format!("GET /v1/nodes HTTP/1.1\r\n{HOST}\r\n");
    head.replace("Connection: close\r\n", "") + "{}" + &hidden
}

fn chunked(body: &str) -> String {
    request("POST", "/v1/join", &format!("{JSON}Transfer-Encoding: chunked\r\n")) + body
}

fn json_body(body: &str) -> String {
    text(post_as(JSON, body.as_bytes()))
}

/// A good join but for what its head calls it.
fn called(scene: &Scene, lines: &str) -> String {
    text(post_as(lines, body(&scene.good, "x").to_string().as_bytes()))
}

fn text(request: Vec<u8>) -> String {
    String::from_utf8(request).unwrap()
}

const NODE: &str = "/v1/nodes/self/publications";
const JSON: &str = "Content-Type: application/json\r\n";
