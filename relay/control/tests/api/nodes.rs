//! The API of nodes, as a caller sees it.

use bore_control::event::{Change, Subject};
use bore_control::service::Absences;
use http::StatusCode;
use serde_json::{Value, json};

use crate::lab::Lab;

#[tokio::test]
async fn a_wireguard_client_becomes_a_node_by_its_public_key() {
    let lab = Lab::new().await;
    lab.network("home").await;
    let wanted = |name: &str, key: &str| json!({"name": name, "public_key": key});
    let node =
        lab.admin("POST", "/v1/networks/home/nodes", wanted("phone", &lab.machine())).await.ok();
    assert_eq!(node["kind"], "wireguard");
    assert!(node["overlay_v4"].as_str().unwrap().starts_with("100."));
    assert_eq!(node["state"]["online"], false);

    let taken = lab.admin("POST", "/v1/networks/home/nodes", wanted("phone", &lab.machine())).await;
    assert_eq!(taken.refusal(), (409, "B2102"));
    assert_eq!(
        lab.admin("POST", "/v1/networks/home/nodes", wanted("tv", "nonsense")).await.refusal(),
        (400, "B2112")
    );
    assert_eq!(
        lab.admin("POST", "/v1/networks/home/nodes", wanted("T V", &lab.machine())).await.refusal(),
        (422, "B2101")
    );
}

#[tokio::test]
async fn a_wireguard_client_has_addresses_and_nothing_more() {
    let lab = Lab::new().await;
    lab.network("home").await;
    lab.admin(
        "POST",
        "/v1/networks/home/nodes",
        json!({"name": "phone", "public_key": lab.machine()}),
    )
    .await
    .ok();
    let phone = lab.control.directory().nodes().remove(0);

    assert_eq!(
        lab.overlay(&phone, "GET", "/v1/nodes/self", Value::Null).await.status,
        StatusCode::OK
    );
    let request = json!({"protocol": "tcp", "target": "22", "port": 2222});
    assert_eq!(lab.publish(&phone, request).await.refusal(), (403, "B3204"));
}

#[tokio::test]
async fn a_node_is_found_and_removed_by_id_or_name_with_all_it_published() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let nas = lab.node(home, "nas").await;
    lab.publish(&nas, json!({"name": "game", "protocol": "udp", "target": "7777", "port": 7777}))
        .await
        .ok();
    let renamed =
        lab.admin("PATCH", "/v1/networks/home/nodes/nas", json!({"name": "box"})).await.ok();
    assert_eq!(renamed["id"], json!(nas.id));
    assert_eq!(
        lab.admin("GET", "/v1/networks/home/nodes/nas", Value::Null).await.refusal(),
        (404, "B3205")
    );
    let mut changes = lab.control.directory().subscribe();

    let path = format!("/v1/networks/{home}/nodes/{}", nas.id);
    assert_eq!(lab.admin("DELETE", &path, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert!(lab.relay.claims.lock().unwrap().is_empty());
    assert!(
        lab.control.directory().publications().is_empty()
            && lab.control.directory().node(nas.id).is_none()
    );
    let event = changes.recv().await.unwrap();
    let Subject::Node(gone) = &event.subject else { panic!("{event:?}") };
    assert!(matches!(&gone.change, Change::Went(node) if node.id == nas.id), "{event:?}");
    let names: Vec<&str> = gone.publications.iter().map(|gone| &*gone.name).collect();
    assert_eq!(names, ["game"]);
    assert_eq!(
        lab.overlay(&nas, "GET", "/v1/nodes/self", Value::Null).await.refusal(),
        (404, "B3205")
    );
    lab.publish(
        &lab.node(home, "pi").await,
        json!({"name": "game", "protocol": "udp", "target": "7777", "port": 7777}),
    )
    .await
    .ok();
}

#[tokio::test]
async fn a_node_sees_the_names_and_addresses_of_its_own_network() {
    let lab = Lab::new().await;
    let (home, other) = (lab.network("home").await, lab.network("other").await);
    let nas = lab.node(home, "nas").await;
    lab.node(other, "foreign").await;

    let around = lab.overlay(&nas, "GET", "/v1/nodes", Value::Null).await.ok();
    let expected = json!([{"id": nas.id, "name": "nas", "overlay_v4": nas.overlay_v4, "overlay_v6": nas.overlay_v6}]);
    assert_eq!(around["items"], expected);
    let me = lab.overlay(&nas, "GET", "/v1/nodes/self", Value::Null).await.ok();
    assert_eq!((&me["node"]["name"], &me["network"]["name"]), (&json!("nas"), &json!("home")));
}

#[tokio::test]
async fn a_network_goes_when_it_has_no_nodes() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let nas = lab.node(home, "nas").await;
    let view = lab.admin("GET", "/v1/networks/home", Value::Null).await.ok();
    assert_eq!(view["relay_v4"], "100.64.0.1");

    assert_eq!(
        lab.admin("DELETE", "/v1/networks/home", Value::Null).await.refusal(),
        (409, "B2112")
    );
    lab.admin("DELETE", &format!("/v1/networks/home/nodes/{}", nas.id), Value::Null).await.ok();
    lab.admin("DELETE", "/v1/networks/home", Value::Null).await.ok();
    assert_eq!(lab.admin("GET", "/v1/networks/home", Value::Null).await.refusal(), (404, "B3205"));
    assert_eq!(
        lab.admin("POST", "/v1/networks", json!({"name": "Home"})).await.refusal(),
        (422, "B2101")
    );
    lab.admin("POST", "/v1/networks", json!({"name": "home"})).await.ok();
    assert_eq!(
        lab.admin("POST", "/v1/networks", json!({"name": "home"})).await.refusal(),
        (409, "B2102")
    );
}

#[tokio::test]
async fn housekeeping_takes_nothing_from_a_node_that_just_left() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    lab.publish(&nas, json!({"name": "game", "protocol": "udp", "target": "7777", "port": 7777}))
        .await
        .ok();
    lab.control.housekeep(&mut Absences::default()).await;
    assert_eq!(
        (lab.control.directory().nodes().len(), lab.control.directory().publications().len()),
        (1, 1)
    );
}

#[tokio::test]
async fn a_key_of_another_network_and_the_relays_own_are_refused_in_the_same_words() {
    let lab = Lab::new().await;
    let (home, other) = (lab.network("home").await, lab.network("other").await);
    let foreign = lab.node(other, "theirs").await.public_key;
    lab.node(home, "ours").await;
    let own = lab.relay.identity().public_key;
    let mut answers = Vec::new();
    for key in [foreign.as_str(), own.as_str(), "no key at all"] {
        let body = json!({"name": "phone", "public_key": key});
        answers.push(lab.admin("POST", "/v1/networks/home/nodes", body).await);
    }
    assert_eq!(answers[0].refusal(), (400, "B2112"));
    assert!(!answers[0].text.contains("network") && !answers[0].text.contains("theirs"));
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);

    let key = lab
        .control
        .join_keys()
        .create(home, &Default::default(), &bore_api::model::Actor::System)
        .await
        .unwrap()
        .key;
    let joined = lab.garden(&own, &crate::lab::join_body(&key, "relay")).await;
    assert_eq!(joined.refusal(), (403, "B3103"), "nor does the relay's key join");
}

/// A joiner chooses its name, and sees its neighbours' ids.
#[tokio::test]
async fn a_name_that_is_anothers_id_takes_nothing_from_that_one() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let nas = lab.node(home, "nas").await;
    let impostor = lab.node(home, &nas.id.to_string()).await;
    assert_eq!(impostor.name, "node", "no joiner gets a name that is an id");
    let path = format!("/v1/networks/home/nodes/{}", impostor.id);
    lab.admin("PATCH", &path, json!({"name": nas.id})).await.ok();
    let game = json!({"name": "game", "protocol": "udp", "target": "7777", "port": 7777});
    let game = lab.publish(&nas, game).await.ok();
    assert_eq!(game["node"], json!(nas.id), "what nas publishes leads to nas");

    let same = json!({"name": game["id"], "protocol": "udp", "target": "7778", "port": 7778});
    lab.publish(&impostor, same).await.ok();
    let target = format!("/v1/nodes/self/publications/{}/target", game["id"].as_str().unwrap());
    let report = json!({"ok": true, "detail": "well"});
    assert_eq!(lab.overlay(&nas, "PUT", &target, report).await.status, StatusCode::NO_CONTENT);

    let groups = "/v1/networks/home/groups";
    let group = json!({"name": "trusted", "nodes": [nas.id]});
    let group = lab.admin("POST", groups, group).await.ok();
    assert_eq!(group["nodes"], json!([nas.id]));
    let path = format!("/v1/networks/home/nodes/{}", nas.id);
    assert_eq!(lab.admin("DELETE", &path, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert!(
        lab.control.directory().node(nas.id).is_none()
            && lab.control.directory().node(impostor.id).is_some()
    );
    let again = json!({"nodes": [nas.id]});
    let refused = lab.admin("PUT", "/v1/networks/home/groups/trusted", again).await;
    assert_eq!(refused.refusal(), (404, "B3205"), "the id of a node that is gone is nobody's name");
}

#[tokio::test]
async fn what_is_told_is_in_the_directory_already() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let mut events = lab.control.directory().subscribe();
    let nas = lab.node(home, "nas").await;
    let game =
        json!({"name": "game", "protocol": "udp", "port": 20_001, "target": "localhost:7777"});
    lab.publish(&nas, game).await.ok();
    let directory = lab.control.directory();
    loop {
        let event = events.try_recv().unwrap();
        if let Subject::Node(node) = &event.subject {
            assert!(directory.node(node.change.newest().id).is_some());
        }
        if let Subject::Publication(change) = &event.subject {
            let known = directory.publication(change.newest().id);
            assert_eq!(known.as_ref(), change.after(), "as it was stored");
            return;
        }
    }
}
