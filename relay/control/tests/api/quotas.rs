//! The API of quotas, as a caller sees it.

use bore_api::model::Actor;
use bore_api::wire::NewJoinKey;
use bore_control::limits::Quotas;
use serde_json::{Value, json};

use crate::lab::{Lab, join_body};

#[tokio::test]
async fn attack_a_join_key_and_a_network_make_a_bounded_number_of_new_nodes() {
    let quotas = Quotas { new_nodes_burst: 3, new_nodes_per_hour: 0, ..Quotas::default() };
    let lab = Lab::with(quotas).await;
    let (home, other) = (lab.network("home").await, lab.network("other").await);
    let wanted = NewJoinKey { ephemeral: true, ..NewJoinKey::default() };
    let mut keys = Vec::new();
    for network in [home, home, home, other] {
        let made = lab.control.join_keys().create(network, &wanted, &Actor::System).await.unwrap();
        keys.push(made.key);
    }
    let first = lab.machine();
    let join = async |machine: &str, key: &str| lab.garden(machine, &join_body(key, "x")).await;
    join(&first, &keys[0]).await.ok();
    for _ in 0..2 {
        join(&lab.machine(), &keys[0]).await.ok();
    }
    let nodes = lab.control.directory().nodes();
    let node = nodes.iter().find(|node| node.public_key != first).unwrap();
    lab.admin("DELETE", &format!("/v1/networks/home/nodes/{}", node.id), Value::Null).await.ok();
    assert_eq!(join(&lab.machine(), &keys[0]).await.refusal(), (429, "B2109"), "gone, not unmade");
    join(&lab.machine(), &keys[1]).await.ok();
    let phone = |name: &str| json!({"name": name, "public_key": lab.machine()});
    for name in ["phone", "tablet"] {
        lab.admin("POST", "/v1/networks/home/nodes", phone(name)).await.ok();
    }
    assert_eq!(join(&lab.machine(), &keys[2]).await.refusal(), (429, "B2109"), "the network's");
    let added = lab.admin("POST", "/v1/networks/home/nodes", phone("watch")).await;
    assert_eq!(added.refusal(), (429, "B2109"));
    assert_eq!(lab.counted("new_nodes_limited"), 3);

    join(&first, &keys[0]).await.ok();
    join(&lab.machine(), &keys[3]).await.ok();
}

#[tokio::test]
async fn attack_a_network_that_adds_and_removes_nodes_keeps_to_its_share_of_addresses() {
    let quotas = Quotas { addresses_per_network: 2, ..Quotas::default() };
    let lab = Lab::with(quotas).await;
    let (home, _) = (lab.network("home").await, lab.network("other").await);
    let phone = |name: &str| json!({"name": name, "public_key": lab.machine()});
    for name in ["phone", "tablet"] {
        lab.admin("POST", "/v1/networks/home/nodes", phone(name)).await.ok();
        lab.admin("DELETE", &format!("/v1/networks/home/nodes/{name}"), Value::Null).await.ok();
    }

    let refused = lab.admin("POST", "/v1/networks/home/nodes", phone("watch")).await;
    assert_eq!(refused.refusal(), (409, "B3110"));
    assert!(refused.text.contains("the next one is free at 20"), "{}", refused.text);
    let key = lab.control.join_keys().create(home, &NewJoinKey::default(), &Actor::System).await;
    let joined = lab.garden(&lab.machine(), &join_body(&key.unwrap().key, "x")).await;
    assert_eq!(joined.refusal(), (409, "B3110"));
    lab.admin("POST", "/v1/networks/other/nodes", phone("watch")).await.ok();
}

#[tokio::test]
async fn attack_42_a_tenant_stops_at_its_quota_and_others_do_not_notice() {
    let quotas = Quotas {
        publications_per_node: 3,
        publications_per_network: 4,
        ports_per_network: 6,
        join_keys_per_network: 5,
        api_keys_per_network: 2,
        groups_per_network: 2,
        policies_per_network: 2,
        nodes_per_network: 3,
        requests_burst: 10_000,
        ..Quotas::default()
    };
    let lab = Lab::with(quotas).await;
    let (greedy, modest) = (lab.network("greedy").await, lab.network("modest").await);
    let nodes = [lab.node(greedy, "a").await, lab.node(greedy, "b").await];
    let game = |name: &str, port: u16, count: u16| {
        let target = if count == 1 { "1000".to_owned() } else { format!("1000-{}", 999 + count) };
        json!({"name": name, "protocol": "udp", "target": target, "port": port, "port_count": count})
    };

    assert_eq!(lab.publish(&nodes[0], game("wide", 1000, 7)).await.refusal(), (429, "B2109"));
    for (index, port) in [(0, 2001), (0, 2002), (0, 2003), (1, 2004)] {
        lab.publish(&nodes[index], game(&format!("game-{port}"), port, 1)).await.ok();
    }
    assert_eq!(lab.publish(&nodes[0], game("more", 2005, 1)).await.refusal(), (429, "B2109"));
    assert_eq!(lab.publish(&nodes[1], game("more", 2005, 1)).await.refusal(), (429, "B2109"));
    lab.publish(&nodes[0], game("game-2001", 2006, 1)).await.ok();

    for (route, body, fits) in [
        ("join-keys", json!({}), 3),
        ("api-keys", json!({"scopes": ["read"]}), 2),
        ("groups", json!({"name": "g"}), 2),
        ("nodes", json!({"name": "n"}), 1),
    ] {
        for index in 0..=fits {
            let answer = lab
                .admin(
                    "POST",
                    &format!("/v1/networks/greedy/{route}"),
                    numbered(&lab, &body, index),
                )
                .await;
            let code = if index < fits { 201 } else { 429 };
            assert_eq!(answer.status.as_u16(), code, "{route} {index} {}", answer.text);
        }
    }
    for index in 0..3 {
        let answer = lab
            .admin(
                "PUT",
                &format!("/v1/networks/greedy/policies/p{index}"),
                json!({"document": {}}),
            )
            .await;
        assert_eq!(answer.status.as_u16(), if index < 2 { 200 } else { 429 });
    }

    let key = lab.control.join_keys().create(modest, &NewJoinKey::default(), &Actor::System).await;
    let key = key.unwrap().key;
    for (name, status) in [("a", 200), ("b", 200), ("c", 200), ("d", 429)] {
        let answer = lab.garden(&lab.machine(), &join_body(&key, name)).await;
        assert_eq!(answer.status.as_u16(), status, "{name}: {}", answer.text);
    }
    let neighbour = lab.control.nodes().list(modest).unwrap().remove(0);
    lab.publish(&neighbour, game("game-1", 2100, 1)).await.ok();
    lab.admin("POST", "/v1/networks/modest/groups", json!({"name": "g"})).await.ok();
}

#[tokio::test]
async fn attack_42_hostnames_are_counted_over_all_publications_of_a_network() {
    let quotas = Quotas { hostnames_per_network: 3, requests_burst: 10_000, ..Quotas::default() };
    let lab = Lab::with(quotas).await;
    let (greedy, modest) = (lab.network("greedy").await, lab.network("modest").await);
    let (node, other) = (lab.node(greedy, "a").await, lab.node(modest, "b").await);
    let web = |name: &str, hostnames: &[&str]| json!({"name": name, "protocol": "http", "target": "3000", "hostnames": hostnames});

    lab.publish(&node, web("one", &["a", "b"])).await.ok();
    assert_eq!(lab.publish(&node, web("two", &["c", "d"])).await.refusal(), (429, "B2109"));
    lab.publish(&node, web("two", &[])).await.ok();
    assert_eq!(lab.publish(&node, web("three", &["c"])).await.refusal(), (429, "B2109"));
    assert_eq!(lab.publish(&node, web("two", &["c", "d"])).await.refusal(), (429, "B2109"));
    lab.publish(&node, web("one", &["a"])).await.ok();
    lab.publish(&node, web("two", &["c", "d"])).await.ok();
    lab.publish(&other, web("one", &["e", "f", "g"])).await.ok();
}

#[tokio::test]
async fn attack_42_a_flood_of_calls_stops_at_the_callers_own_rate() {
    let quotas = Quotas { requests_per_second: 1, requests_burst: 20, ..Quotas::default() };
    let lab = Lab::with(quotas).await;
    let home = lab.network("home").await;
    let (greedy, modest) = (lab.node(home, "greedy").await, lab.node(home, "modest").await);

    let mut served = 0;
    for _ in 0..200 {
        let answer = lab.overlay(&greedy, "GET", "/v1/nodes/self", Value::Null).await;
        served += u32::from(answer.status.is_success());
        assert!(answer.status.is_success() || answer.refusal() == (429, "B2109"));
    }
    assert!((20..100).contains(&served), "{served} were served");
    lab.overlay(&modest, "GET", "/v1/nodes/self", Value::Null).await.ok();
}

fn numbered(lab: &Lab, body: &Value, index: usize) -> Value {
    let mut body = body.clone();
    if let Some(name) = body["name"].as_str().map(|name| format!("{name}{index}")) {
        if name.starts_with('n') {
            body["public_key"] = json!(lab.machine());
        }
        body["name"] = json!(name);
    }
    body
}

/// A node reads its publications in one list, and may ask for it on every connection that it has.
#[tokio::test]
async fn attack_42_the_access_lists_of_a_node_are_bounded_together() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    let entries: Vec<String> = (0..1_024).map(|n| format!("2001:db8:{n:x}::/48")).collect();
    let wish = |number: usize, entries: &[String]| json!({"name": format!("n{number}"), "protocol": "http", "target": "1", "access": {"allow": entries}});
    for number in 0..16 {
        lab.publish(&nas, wish(number, &entries)).await.ok();
    }
    assert_eq!(lab.publish(&nas, wish(16, &entries[..1])).await.refusal(), (429, "B2109"));
    lab.publish(&nas, wish(16, &[])).await.ok();
    lab.publish(&nas, wish(15, &entries[1..])).await.ok();
    lab.publish(&nas, wish(16, &entries[..1])).await.ok();
}
