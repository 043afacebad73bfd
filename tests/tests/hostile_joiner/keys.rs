//! With keys that do not hold, guessed ones, and a good one in the wrong hands or with a name that is not one's own.

use bore_overlay::JoinKey;
use bore_tests::attempts::Attempt;
use serde_json::{Value, json};

use super::scene::{Scene, ask, body, fresh_key, post, with, with_secret};

pub(crate) const ATTEMPTS: [Attempt<Scene>; 29] = [
    Attempt {
        name: "a guessed secret",
        make: |scene| scene.post(&body(&with_secret(&scene.good, [7; 20]), "x")),
        expected: "403 B3103",
    },
    Attempt {
        name: "a guessed secret of each dead key, which tells nothing of them",
        make: |scene| each_dead_key(scene, |key| with_secret(key, [0; 20])),
        expected: "403 B3103, 403 B3103, 403 B3103",
    },
    Attempt {
        name: "the secret of each dead key",
        make: |scene| each_dead_key(scene, Clone::clone),
        expected: "403 B3104, 403 B3106, 403 B3105",
    },
    Attempt {
        name: "a secret with one bit turned",
        make: |scene| {
            let mut secret = *scene.good.secret.expose_bytes();
            secret[19] ^= 1;
            scene.post(&body(&with_secret(&scene.good, secret), "x"))
        },
        expected: "403 B3103",
    },
    Attempt {
        name: "the secret of another key",
        make: |scene| {
            let other = *scene.bad["revoked"].secret.expose_bytes();
            scene.post(&body(&with_secret(&scene.good, other), "x"))
        },
        expected: "403 B3103",
    },
    Attempt {
        name: "no secret",
        make: |scene| scene.post(&with(body(&scene.good, "x"), "secret", json!(""))),
        expected: "400 B2112",
    },
    Attempt {
        name: "a secret of 100,000 characters",
        make: |scene| {
            scene.post(&with(body(&scene.good, "x"), "secret", json!("A".repeat(100_000))))
        },
        expected: "400 B2112",
    },
    Attempt {
        name: "a list of secrets",
        make: |scene| scene.post(&with(body(&scene.good, "x"), "secret", json!(["a", "b"]))),
        expected: "400 B2112",
    },
    Attempt {
        name: "a key that was never made",
        make: |scene| scene.post(&body(&JoinKey { key_id: [9; 16], ..scene.good.clone() }, "x")),
        expected: "403 B3103",
    },
    Attempt {
        name: "a key whose id is SQL",
        make: |scene| {
            let sql = json!("' OR 1=1 --");
            scene.post(&with(body(&scene.good, "x"), "key_id", sql))
        },
        expected: "400 B2112",
    },
    Attempt {
        name: "a good key for a network that is not there",
        make: |scene| scene.post(&with(body(&scene.good, "x"), "network", json!(vec![0; 16]))),
        expected: "400 B2112",
    },
    Attempt {
        name: "a good key for the network of nobody",
        make: |scene| {
            let nobody = json!("00000000-0000-0000-0000-000000000000");
            scene.post(&with(body(&scene.good, "x"), "network", nobody))
        },
        expected: "403 B3107|403 B3103",
    },
    Attempt {
        name: "a good key for another network",
        make: |scene| {
            let made = scene.relay.api("POST", "/v1/networks", Some(&json!({"name": "other"})));
            let other = made.json()["id"].clone();
            let outcome = scene.post(&with(body(&scene.good, "x"), "network", other.clone()));
            let path = format!("/v1/networks/{}", other.as_str().unwrap());
            assert_eq!(scene.relay.api("DELETE", &path, None).status, 204);
            outcome
        },
        expected: "403 B3107",
    },
    Attempt {
        name: "a good key, and the same request again",
        make: |scene| {
            let mut stranger = scene.stranger();
            let request = post(&body(&scene.good, "twice"));
            let first = ask(&mut stranger, &request);
            let second = ask(&mut stranger, &request);
            assert_eq!(first.json(), second.json());
            scene.joined(&first)
        },
        expected: "200 twice",
    },
    Attempt {
        name: "a key for one machine, from ten at once",
        make: ten_at_once,
        expected: "1 of 10",
    },
    Attempt {
        name: "a join that somebody overheard, from another machine",
        make: |scene| {
            let spent = body(&scene.bad["spent"], "first");
            scene.post(&spent)
        },
        expected: "403 B3105",
    },
    Attempt {
        name: "a node that joins a second time with another key",
        make: |scene| {
            let (from, key) = (scene.fresh_address(), fresh_key());
            let mut node = scene.knock(from, key).unwrap();
            let first = ask(&mut node, &post(&body(&scene.good, "again")));
            scene.joined(&first);
            let other = scene.relay.create_key(&["--uses", "0"]);
            let other = JoinKey::parse(other["key"].as_str().unwrap()).unwrap();
            ask(&mut node, &post(&body(&other, "again"))).outcome()
        },
        expected: "409 B3108",
    },
    Attempt {
        name: "the honest agent's name",
        make: |scene| scene.join_as("nas"),
        expected: "200 nas-2",
    },
    Attempt {
        name: "the honest agent's name in capitals",
        make: |scene| scene.join_as("NAS"),
        expected: "200 nas-3",
    },
    Attempt {
        name: "the honest agent's id for a name, which then means another to whoever says it",
        make: id_for_a_name,
        expected: "nas publishes for itself, and its id is its own",
    },
    Attempt {
        name: "the name of the relay",
        make: |scene| scene.join_as("relay"),
        expected: "200 relay",
    },
    Attempt {
        name: "the name by which a node calls itself",
        make: |scene| scene.join_as("self"),
        expected: "200 self",
    },
    Attempt {
        name: "a name that moves the cursor and rings",
        make: |scene| scene.join_as("\u{1b}[2J\u{1b}]0;owned\u{7}\r\n"),
        expected: "200 2j--0-owned",
    },
    Attempt {
        name: "a name that turns text round",
        make: |scene| scene.join_as("a\u{202e}b\u{2066}c"),
        expected: "200 a-b-c",
    },
    Attempt {
        name: "a name that is a path",
        make: |scene| scene.join_as("../../etc/passwd\0"),
        expected: "200 etc-passwd",
    },
    Attempt {
        name: "a name that is a formula, markup and a command",
        make: |scene| scene.join_as("=1+1<script>$(reboot)"),
        expected: "200 1-1-script---reboot",
    },
    Attempt {
        name: "a name of 200,000 characters",
        make: |scene| {
            let outcome = scene.join_as(&"x".repeat(200_000));
            format!("{} bytes", outcome.len())
        },
        expected: "59 bytes",
    },
    // The joiner that called itself by an id is `node`.
    Attempt { name: "no name", make: |scene| scene.join_as(""), expected: "200 node-2" },
    Attempt {
        name: "a version that is a page of escapes",
        make: |scene| {
            let version = json!("\u{1b}[31m\r\nERROR root logged in\u{202e}".repeat(1_000));
            scene.join_with(&with(body(&scene.good, "version"), "version", version))
        },
        expected: "200 version",
    },
];

fn each_dead_key(scene: &mut Scene, change: impl Fn(&JoinKey) -> JoinKey) -> String {
    let keys: Vec<JoinKey> = scene.bad.values().map(change).collect();
    let outcomes: Vec<String> = keys.iter().map(|key| scene.post(&body(key, "x"))).collect();
    outcomes.join(", ")
}

/// All of them hold the key, and ask before any of them is answered.
fn ten_at_once(scene: &mut Scene) -> String {
    let key = scene.relay.create_key(&["--uses", "1"]);
    let key = JoinKey::parse(key["key"].as_str().unwrap()).unwrap();
    let request = post(&body(&key, "one"));
    let strangers: Vec<_> = (0..10).map(|_| (scene.fresh_address(), fresh_key())).collect();
    let relay = scene.relay_end;
    let outside = &scene.outside;
    let replies: Vec<_> = std::thread::scope(|scope| {
        let ask_one = |(from, key)| {
            let request = &request;
            scope.spawn(move || {
                let end = bore_tests::overlay_end::OverlayEnd::knock(outside, from, relay, key);
                ask(&mut end.unwrap(), request)
            })
        };
        let threads: Vec<_> = strangers.into_iter().map(ask_one).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let outcomes: Vec<String> = replies.iter().map(|reply| scene.joined(reply)).collect();
    let refused = outcomes.iter().filter(|outcome| *outcome == "403 B3105").count();
    let joined = outcomes.iter().filter(|outcome| *outcome == "200 one").count();
    format!("{joined} of {}", refused + joined)
}

/// What is asked for by an id has to be that node, whatever another one is called.
fn id_for_a_name(scene: &mut Scene) -> String {
    let id = |node: &Value| node["id"].as_str().unwrap().to_owned();
    let nas = scene.relay.list("nodes").into_iter().find(|node| node["name"] == "nas").unwrap();
    scene.join_as(&id(&nas));
    let path = format!("{}/nodes/{}", scene.relay.network(), id(&nas));
    let shown = scene.relay.api("GET", &path, None).json();
    scene.agent.publish_in_background(&["tcp", "7000", "--name", "proof", "--port", "7002"]);
    let published = scene.relay.publication("proof").unwrap();
    scene.agent.bore(&["rm", "proof"]).success();
    if shown["name"] == "nas" && published["node"] == nas["id"] {
        "nas publishes for itself, and its id is its own".to_owned()
    } else {
        format!("{} is {}, and publishes for {}", nas["id"], shown["name"], published["node"])
    }
}
