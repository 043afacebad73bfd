//! The API of publish, as a caller sees it.

use bore_api::model::{Actor, Protocol};
use serde_json::{Value, json};

use crate::lab::Lab;
use crate::relay::PORTS;

#[tokio::test]
async fn a_publication_has_its_port_when_it_is_acknowledged_and_loses_it_when_it_goes() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;

    let view = lab.publish(&nas, udp("game", json!({"port": 7777}))).await.ok();
    assert_eq!(view["public"], "udp://203.0.113.5:7777");
    assert_eq!(view["access_notes"], json!(["open to anyone"]));
    assert_eq!(view["state"]["state"], "offline");
    assert!(view["overlay_port"].as_u64().unwrap() >= 1024);
    let id = serde_json::from_value(view["id"].clone()).unwrap();
    assert_eq!(lab.relay.claims.lock().unwrap()[&id].public_port, Some(7777));

    lab.overlay(&nas, "DELETE", "/v1/nodes/self/publications/game", Value::Null).await.ok();
    assert!(lab.relay.claims.lock().unwrap().is_empty());
    assert!(lab.control.directory().publications().is_empty());
    let again = lab.overlay(&nas, "DELETE", "/v1/nodes/self/publications/game", Value::Null).await;
    assert_eq!(again.refusal(), (404, "B2111"));
}

#[tokio::test]
async fn the_same_request_again_changes_nothing_and_another_is_an_update() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    let first = lab.publish(&nas, udp("game", json!({"port": 7777}))).await.ok();

    let rows = lab.audit_rows().await;
    assert_eq!(lab.publish(&nas, udp("game", json!({"port": 7777}))).await.ok(), first);
    assert_eq!(lab.audit_rows().await, rows, "nothing was written");

    let moved = lab
        .publish(&nas, udp("game", json!({"port": 8888, "access": {"allow": ["10.0.0.0/8"]}})))
        .await
        .ok();
    assert_eq!((&moved["id"], &moved["overlay_port"]), (&first["id"], &first["overlay_port"]));
    assert_eq!(moved["public_port"], 8888);
    assert_eq!(lab.relay.claims.lock().unwrap().len(), 1);
    lab.publish(&nas, udp("other", json!({"port": 7777}))).await.ok();
}

#[tokio::test]
async fn a_web_service_is_called_as_it_wishes_and_nothing_else_is() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    let web = json!({"host_header": "Intranet.Local:8080", "tls_min": "1.2"});
    let view = lab.publish(&nas, http("app", json!({"web": web}))).await.ok();
    assert_eq!(view["web"], json!({"host_header": "intranet.local:8080", "tls_min": "1.2"}));
    let plain = lab.publish(&nas, http("app", json!({}))).await.ok();
    assert_eq!((&plain["web"], &plain["id"]), (&json!({}), &view["id"]));
    for web in [
        json!({"host_header": "a b"}),
        json!({"host_header": "a\r\nX-Evil: 1"}),
        json!({"tls_min": "1.1"}),
        json!({"tls_mim": "1.2"}),
    ] {
        let refused = lab.publish(&nas, http("app", json!({"web": web}))).await;
        assert_eq!(refused.refusal(), (400, "B2112"), "{web}");
    }
    let refused =
        lab.publish(&nas, udp("game", json!({"port": 7, "web": {"tls_min": "1.2"}}))).await;
    assert_eq!(refused.refusal(), (400, "B2112"));
}

#[tokio::test]
async fn a_port_that_is_taken_is_refused_by_name_and_across_networks_without() {
    let lab = Lab::new().await;
    let (home, other) = (lab.network("home").await, lab.network("other").await);
    let (nas, pi, foreign) =
        (lab.node(home, "nas").await, lab.node(home, "pi").await, lab.node(other, "evil").await);
    lab.publish(
        &nas,
        udp("valheim", json!({"port": 7777, "port_count": 3, "target": "7000-7002"})),
    )
    .await
    .ok();

    let taken = lab.publish(&pi, udp("game", json!({"preferred_port": 7778}))).await;
    assert_eq!(taken.refusal(), (409, "B2104"));
    assert_eq!(taken.body["detail"], "port 7778/udp is held by \"valheim\" (agent nas)");
    assert!(taken.body["next"].as_str().unwrap().contains("--port 0"));
    let taken = lab.publish(&foreign, udp("game", json!({"port": 7779}))).await;
    assert_eq!(taken.body["detail"], "port 7779/udp is held by another network");
    lab.publish(&foreign, json!({"name": "game", "protocol": "tcp", "target": "22", "port": 7777}))
        .await
        .ok();

    lab.relay.busy.lock().unwrap().insert(5353);
    assert_eq!(
        lab.publish(&nas, udp("dns", json!({"port": 5353}))).await.refusal(),
        (409, "B2105")
    );
    let end = json!({"port": 65535, "port_count": 2, "target": "1-2"});
    assert_eq!(lab.publish(&nas, udp("end", end)).await.refusal(), (422, "B2107"));
}

#[tokio::test]
async fn any_port_is_one_of_the_range_that_is_free_and_stays() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    lab.relay.busy.lock().unwrap().extend([20_000, 20_005]);

    let mut ports = Vec::new();
    for index in 0..8 {
        let view =
            lab.publish(&nas, udp(&format!("game-{index}"), json!({"any_port": true}))).await.ok();
        ports.push(view["public_port"].as_u64().unwrap());
    }
    let kept = lab
        .publish(&nas, udp("game-3", json!({"any_port": true, "access": {"deny": ["10.0.0.0/8"]}})))
        .await
        .ok();
    assert_eq!(kept["public_port"], ports[3]);

    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 8);
    assert!(
        ports.iter().all(|port| PORTS.contains(&u16::try_from(*port).unwrap())
            && ![20_000, 20_005].contains(port))
    );
    assert_eq!(
        lab.publish(&nas, udp("one-more", json!({"any_port": true}))).await.refusal(),
        (409, "B2108")
    );
}

#[tokio::test]
async fn a_relay_without_a_name_has_one_web_service_at_its_address() {
    let lab = Lab::nameless().await;
    let (home, other) = (lab.network("home").await, lab.network("other").await);
    let (nas, foreign) = (lab.node(home, "nas").await, lab.node(other, "evil").await);

    let view = lab.publish(&nas, http("app", json!({}))).await.ok();
    assert_eq!(
        (&view["hostnames"], &view["public"]),
        (&json!(["203.0.113.5"]), &json!("http://203.0.113.5"))
    );
    let again = json!({"access": {"allow": ["10.0.0.0/8"]}});
    assert_eq!(lab.publish(&nas, http("app", again)).await.ok()["hostnames"], view["hostnames"]);

    let second = lab.publish(&nas, http("second", json!({}))).await;
    assert_eq!(second.refusal(), (409, "B2113"));
    let detail = "the relay's address 203.0.113.5 is held by \"app\" (agent nas)";
    assert_eq!(second.body["detail"], detail);
    assert!(second.body["next"].as_str().unwrap().contains("bore domain add example.com"));
    let foreign = lab.publish(&foreign, http("third", json!({}))).await;
    assert_eq!(
        foreign.body["detail"],
        "the relay's address 203.0.113.5 is held by another network"
    );
    let tls = json!({"name": "tls", "protocol": "tls", "target": "443"});
    assert_eq!(lab.publish(&nas, tls).await.refusal(), (422, "B2106"), "TLS names no address");
    let label = lab.publish(&nas, http("x", json!({"hostnames": ["x"]}))).await;
    assert_eq!(label.refusal(), (422, "B2106"));
}

#[tokio::test]
async fn hostnames_live_under_the_domain_and_follow_the_name() {
    let lab = Lab::new().await;
    let (home, other) = (lab.network("home").await, lab.network("other").await);
    let (nas, foreign) = (lab.node(home, "nas").await, lab.node(other, "evil").await);

    let view = lab.publish(&nas, http("app", json!({}))).await.ok();
    assert_eq!(
        (&view["hostnames"], &view["public"]),
        (&json!(["app.t.example.org"]), &json!("http://app.t.example.org"))
    );
    let taken =
        lab.publish(&foreign, http("mine", json!({"hostname": "APP.t.example.org."}))).await;
    assert_eq!(taken.refusal(), (409, "B2103"));
    assert_eq!(
        lab.publish(&nas, http("x", json!({"hostname": "app.example.com"}))).await.refusal(),
        (422, "B2106")
    );
    assert_eq!(
        lab.publish(&nas, http("x", json!({"hostname": "a b"}))).await.refusal(),
        (422, "B2101")
    );
    assert_eq!(lab.publish(&nas, http("x", json!({"port": 80}))).await.refusal(), (400, "B2112"));

    let unnamed = json!({"protocol": "http", "target": "3000"});
    let first = lab.publish(&nas, unnamed.clone()).await.ok();
    assert_eq!(
        first["hostnames"][0].as_str().unwrap(),
        format!("{}.t.example.org", first["name"].as_str().unwrap())
    );
    assert_eq!(
        lab.publish(&nas, unnamed).await.ok()["id"],
        first["id"],
        "a generated name stays the same"
    );
}

#[tokio::test]
async fn replace_takes_over_in_the_same_network_and_never_from_another() {
    let lab = Lab::new().await;
    let (home, other) = (lab.network("home").await, lab.network("other").await);
    let (nas, pi, foreign) =
        (lab.node(home, "nas").await, lab.node(home, "pi").await, lab.node(other, "evil").await);
    lab.publish(&nas, udp("game", json!({"port": 7777}))).await.ok();

    assert_eq!(
        lab.publish(&pi, udp("game", json!({"port": 7778}))).await.refusal(),
        (409, "B2102")
    );
    let theft = lab.publish(&foreign, udp("game", json!({"port": 7777, "replace": true}))).await;
    assert_eq!(theft.refusal(), (409, "B2104"));
    let any = || udp("game", json!({"any_port": true, "replace": true}));
    let denied = lab.publish(&pi, any()).await;
    assert_eq!(denied.refusal(), (403, "B4101"), "another node's, and no rule");
    assert!(denied.text.contains("held by \\\"game\\\" (agent nas)"), "{}", denied.text);
    assert!(denied.text.contains("replace = true"), "{}", denied.text);

    permit(&lab, json!({"who": ["node:pi"], "replace": true})).await;
    let taken = lab.publish(&pi, any()).await.ok();
    assert_eq!(taken["node"], json!(pi.id));
    assert_eq!(lab.control.directory().publications().len(), 1);
    let back = lab.publish(&nas, udp("game", json!({"port": 7777}))).await;
    assert_eq!(back.refusal(), (409, "B2102"), "it is taken");
    let revenge = lab.publish(&nas, any()).await;
    assert_eq!(revenge.refusal(), (403, "B4101"), "the rule is about another node");
}

#[tokio::test]
async fn a_rule_lets_nothing_be_taken_that_it_is_not_about() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let (nas, pi) = (lab.node(home, "nas").await, lab.node(home, "pi").await);
    lab.publish(&nas, udp("game", json!({"port": 7777}))).await.ok();
    let range = json!({"port": 20_005, "port_count": 20, "target": "1-20"});
    lab.publish(&nas, udp("range", range)).await.ok();
    let names = json!({"hostnames": ["app", "shop"]});
    lab.publish(&nas, http("web", names)).await.ok();
    let rule = json!({
        "who": ["node:pi"], "replace": true,
        "ports": ["20000-20009"], "hostnames": ["app.t.example.org", "web.t.example.org"],
    });
    permit(&lab, rule).await;

    let udp = |name, port: u16| udp(name, json!({"port": port, "replace": true}));
    let http = |name, host: &str| http(name, json!({"hostnames": [host], "replace": true}));
    for (body, kept) in [
        (udp("game", 20_000), "port 7777/udp"),
        (udp("mine", 20_005), "ports 20005-20024/udp"),
        (http("mine", "app"), "hostname shop.t.example.org"),
        (http("web", "web"), "hostname shop.t.example.org"),
        (http("game", "web"), "port 7777/udp"),
    ] {
        let refused = lab.publish(&pi, body).await;
        assert_eq!(refused.refusal(), (403, "B4101"), "{}", refused.text);
        assert!(refused.text.contains(&format!("taking {kept} by node pi")), "{}", refused.text);
    }
    let published = lab.control.directory().publications();
    assert!(published.len() == 3 && published.iter().all(|each| each.node == nas.id));
}

#[tokio::test]
async fn a_node_replaces_its_own_publications_without_a_rule() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    lab.publish(&nas, udp("game", json!({"port": 7777}))).await.ok();
    let other = udp("other", json!({"port": 7777, "replace": true}));
    assert_eq!(lab.publish(&nas, other).await.ok()["name"], "other");
}

#[tokio::test]
async fn a_hostname_that_was_given_back_rests_for_other_networks() {
    let lab = Lab::new().await;
    let (home, other) = (lab.network("home").await, lab.network("other").await);
    let (nas, foreign) = (lab.node(home, "nas").await, lab.node(other, "foreign").await);
    let gone = async || {
        lab.publish(&nas, http("app", json!({}))).await.ok();
        lab.admin("DELETE", "/v1/networks/home/publications/app", Value::Null).await.ok();
    };
    gone().await;
    let early = lab.publish(&foreign, http("app", json!({}))).await;
    assert_eq!(early.refusal(), (409, "B2103"));
    assert!(early.text.contains("names rest for 30 days"), "{}", early.text);
    assert!(!early.text.contains("home") && !early.text.contains("nas"), "{}", early.text);
    gone().await;

    let domain = json!({"name": "app.t.example.org"});
    lab.admin("POST", "/v1/networks/other/domains", domain).await.ok();
    lab.publish(&foreign, http("app", json!({}))).await.ok();
}

#[tokio::test]
async fn a_generated_name_whose_hostname_is_anothers_is_drawn_again() {
    let lab = Lab::new().await;
    let (home, other) = (lab.network("home").await, lab.network("other").await);
    let (nas, foreign) = (lab.node(home, "nas").await, lab.node(other, "foreign").await);
    let unnamed = json!({"protocol": "http", "target": "3000"});
    let first = lab.publish(&nas, unnamed.clone()).await.ok()["name"].as_str().unwrap().to_owned();
    let path = format!("/v1/networks/home/publications/{first}");
    lab.admin("DELETE", &path, Value::Null).await;
    let domain = json!({"name": format!("{first}.t.example.org")});
    lab.admin("POST", "/v1/networks/other/domains", domain).await.ok();
    lab.publish(&foreign, http(&first, json!({}))).await.ok();

    let second = lab.publish(&nas, unnamed.clone()).await.ok();
    assert_ne!(second["name"], json!(first));
    assert_eq!(lab.publish(&nas, unnamed).await.ok()["id"], second["id"], "and stays the same");
}

#[tokio::test]
async fn a_change_of_a_publication_is_written_down_when_it_was_made() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    let first = lab.publish(&nas, udp("game", json!({"port": 7777}))).await.ok();
    let second = lab.publish(&nas, udp("game", json!({"port": 7778}))).await.ok();
    assert_eq!(second["created_at"], first["created_at"]);
    let rows = lab.store.audit().list(None, Some("publication."), 0, 1_000).await.unwrap();
    let [create, replace] = rows.as_slice() else { panic!("two rows: {rows:?}") };
    assert_eq!(
        (create.action.as_str(), replace.action.as_str()),
        ("publication.create", "publication.replace")
    );
    assert!(replace.at > create.at, "{} and {}", create.at, replace.at);
}

#[tokio::test]
async fn a_low_port_needs_a_rule_and_what_has_one_keeps_it() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    let low = |target: &str| udp("dns", json!({"port": 53, "target": target}));
    let denied = lab.publish(&nas, low("53")).await;
    assert_eq!(denied.refusal(), (403, "B4101"));
    assert!(denied.text.contains("from 1024 to 65535"), "{}", denied.text);
    let range = udp("range", json!({"port": 1000, "port_count": 100, "target": "1000-1099"}));
    assert_eq!(lab.publish(&nas, range).await.refusal(), (403, "B4101"));

    permit(&lab, json!({"who": ["any"], "ports": [53]})).await;
    lab.publish(&nas, low("53")).await.ok();
    lab.admin("DELETE", "/v1/networks/home/policies/permit", Value::Null).await.ok();
    lab.publish(&nas, low("54")).await.ok();
}

#[tokio::test]
async fn a_name_that_programs_look_for_by_themselves_needs_a_rule() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    for (name, wanted) in [
        ("wpad", json!({})),
        ("mail", json!({"hostnames": ["AutoDiscover.t.example.org."]})),
        ("several", json!({"hostnames": ["several", "mta-sts"]})),
    ] {
        let denied = lab.publish(&nas, http(name, wanted)).await;
        assert_eq!(denied.refusal(), (403, "B4101"), "{name}");
        assert!(denied.text.contains("publish rule"), "{}", denied.text);
    }
    permit(&lab, json!({"who": ["any"], "hostnames": ["wpad.t.example.org"]})).await;
    lab.publish(&nas, http("wpad", json!({}))).await.ok();
    lab.admin("DELETE", "/v1/networks/home/policies/permit", Value::Null).await.ok();
    let update = json!({"access": {"deny": ["10.0.0.0/8"]}});
    lab.publish(&nas, http("wpad", update)).await.ok();
    lab.publish(&nas, http("wpad2", json!({}))).await.ok();
}

/// Adds a policy of one allow rule with these fields.
async fn permit(lab: &Lab, fields: Value) {
    let mut rule = json!({"name": "permit", "effect": "allow"});
    rule.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let draft = json!({"document": {"publish": [rule]}, "revision": 0});
    lab.admin("PUT", "/v1/networks/home/policies/permit", draft).await.ok();
}

#[tokio::test]
async fn a_replacement_that_fails_puts_the_old_one_back() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let (nas, pi) = (lab.node(home, "nas").await, lab.node(home, "pi").await);
    let old = lab.publish(&nas, udp("game", json!({"port": 7777}))).await.ok();
    lab.relay.busy.lock().unwrap().insert(9999);
    permit(&lab, json!({"who": ["any"], "replace": true})).await;

    let rows = lab.audit_rows().await;
    let failed = lab.publish(&pi, udp("game", json!({"port": 9999, "replace": true}))).await;
    assert_eq!(failed.refusal(), (409, "B2105"));
    assert_eq!(lab.audit_rows().await, rows, "a refusal writes nothing");
    let kept = lab.admin("GET", "/v1/networks/home/publications/game", Value::Null).await.ok();
    assert_eq!(kept, old);
    assert_eq!(lab.relay.claims.lock().unwrap().len(), 1);
    assert_eq!(
        lab.restarted().await.directory().publications(),
        lab.control.directory().publications()
    );
}

#[tokio::test]
async fn a_replacement_that_fails_changes_nothing_although_the_old_port_is_lost_meanwhile() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let (nas, pi) = (lab.node(home, "nas").await, lab.node(home, "pi").await);
    lab.publish(&nas, udp("game", json!({"port": 7777}))).await.ok();
    lab.relay.busy.lock().unwrap().extend([7777, 9999]);
    permit(&lab, json!({"who": ["any"], "replace": true})).await;

    let failed = lab.publish(&pi, udp("game", json!({"port": 9999, "replace": true}))).await;
    assert_eq!(failed.refusal(), (409, "B2105"));
    let publications = lab.control.directory().publications();
    assert_eq!((publications.len(), publications[0].node), (1, nas.id));
    assert_eq!(lab.restarted().await.directory().publications(), publications);
}

#[tokio::test]
async fn a_failed_update_keeps_the_address_that_is_stored() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    lab.publish(&nas, udp("game", json!({"port": 7777}))).await.ok();
    lab.relay.busy.lock().unwrap().insert(9999);

    assert_eq!(lab.publish(&nas, udp("game", json!({"port": 9999}))).await.code(), "B2105");
    let publications = lab.control.directory().publications();
    assert_eq!(publications[0].public_port, Some(7777));
    assert_eq!(lab.relay.claims.lock().unwrap()[&publications[0].id].public_port, Some(7777));
}

#[tokio::test]
async fn a_rule_that_refuses_is_named_and_a_free_port_is_sought_where_rules_permit() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    let document = json!({"publish": [{"name": "games", "effect": "allow", "who": ["node:nas"], "protocols": ["udp"], "ports": ["20007-20008"], "publications_max": 2}]});
    lab.admin("PUT", "/v1/networks/home/policies/office", json!({"document": document})).await.ok();

    let denied = lab.publish(&nas, udp("game", json!({"port": 7777}))).await;
    assert_eq!(denied.refusal(), (403, "B4101"));
    assert!(denied.body["detail"].as_str().unwrap().contains("office/games"), "{}", denied.text);
    for name in ["one", "two"] {
        let view = lab.publish(&nas, udp(name, json!({"any_port": true}))).await.ok();
        assert!([20_007, 20_008].contains(&view["public_port"].as_u64().unwrap()));
    }
    assert_eq!(lab.publish(&nas, udp("three", json!({"any_port": true}))).await.code(), "B4101");
}

#[tokio::test]
async fn bad_requests_name_what_is_wrong() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    for (body, code, words) in [
        (udp("Game", json!({"port": 1})), "B2101", "`game`"),
        (udp("game", json!({})), "B2112", "any_port"),
        (udp("game", json!({"port": 70_000})), "B2112", "`port`"),
        (udp("game", json!({"port": 1, "colour": "red"})), "B2112", "colour"),
        (udp("game", json!({"port": 1, "node": "pi"})), "B2112", "`node`"),
        (
            udp("game", json!({"port": 1, "access": {"allow": ["10.0.0.0/33"]}})),
            "B2110",
            "10.0.0.0/33",
        ),
        (udp("game", json!({"port": 1, "access": {"allow": ["group:dev"]}})), "B2110", "dev"),
        (udp("game", json!({"port": 1, "target": "http://x"})), "B2112", "`target`"),
        (json!("text"), "B2112", "text"),
    ] {
        let answer = lab.publish(&nas, body).await;
        assert_eq!(answer.code(), code, "{}", answer.text);
        assert!(
            answer.body["detail"].as_str().unwrap().contains(words),
            "{words}: {}",
            answer.text
        );
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let lab = Lab::new().await;
    let nas = lab.node(lab.network("home").await, "nas").await;
    lab.publish(&nas, udp("game", json!({"port": 7777, "access": {"allow": ["10.0.0.0/8"]}})))
        .await
        .ok();
    let restarted = lab.restarted().await;

    assert_eq!(restarted.directory().publications(), lab.control.directory().publications());
    assert_eq!(restarted.directory().nodes(), lab.control.directory().nodes());
    let publication = &restarted.directory().publications()[0];
    assert_eq!(publication.protocol, Protocol::Udp);
    let decide = |address: &str| {
        let visitor = bore_policy::Visitor::public(address.parse().unwrap());
        restarted.directory().visitor_decision(publication.id, &visitor).allowed
    };
    assert!(decide("10.1.2.3") && !decide("192.0.2.1"));
    let unknown = bore_policy::Visitor::public("10.1.2.3".parse().unwrap());
    assert!(
        !restarted.directory().visitor_decision(uuid::Uuid::nil(), &unknown).allowed,
        "what is unknown admits nobody"
    );
}

#[tokio::test]
async fn a_wireguard_node_is_published_with_an_api_key_and_an_agent_is_not() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    lab.node(home, "nas").await;
    let wanted = json!({"name": "phone", "public_key": lab.machine(), "groups": []});
    lab.admin("POST", "/v1/networks/home/nodes", wanted).await.ok();

    let publish = |node: &str| json!({"node": node, "name": "web", "protocol": "tcp", "target": "8080", "port": 8080});
    let view = lab.admin("POST", "/v1/networks/home/publications", publish("phone")).await.ok();
    assert_eq!(view["overlay_port"], 8080);
    let agent = lab.admin("POST", "/v1/networks/home/publications", publish("nas")).await;
    assert_eq!(agent.refusal(), (422, "B7103"));
}

#[tokio::test]
async fn reports_and_probes_reach_the_relay_for_own_publications_only() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let (nas, pi) = (lab.node(home, "nas").await, lab.node(home, "pi").await);
    let id = lab.publish(&nas, udp("game", json!({"port": 7777}))).await.ok()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = |what: &str| format!("/v1/nodes/self/publications/{id}/{what}");

    lab.overlay(&nas, "PUT", &path("target"), json!({"ok": false, "detail": "refused"})).await.ok();
    assert_eq!(lab.relay.steps.lock().unwrap()[&id.parse().unwrap()][0].detail, "refused");
    let order = lab.overlay(&nas, "POST", &path("probe"), Value::Null).await.ok();
    assert_eq!(order["token"].as_str().unwrap().len(), 32);
    let steps = json!({"steps": [{"name": "dns", "ok": true, "detail": "203.0.113.5"}]});
    let state = lab.overlay(&nas, "PUT", &path("probe"), steps.clone()).await.ok();
    assert_eq!(state["steps"][0]["name"], "dns");

    for (method, what, body) in [
        ("PUT", "target", json!({"ok": true, "detail": ""})),
        ("POST", "probe", Value::Null),
        ("PUT", "probe", steps),
    ] {
        assert_eq!(
            lab.overlay(&pi, method, &path(what), body).await.refusal(),
            (404, "B2111"),
            "{what}"
        );
    }
}

#[tokio::test]
async fn nobody_else_may_change_a_network_meanwhile() {
    let lab = Lab::new().await;
    let home = lab.network("home").await;
    let nas = lab.node(home, "nas").await;
    let requests = (0..20).map(|index| {
        let request =
            serde_json::from_value(udp(&format!("game-{index}"), json!({"any_port": true})))
                .unwrap();
        let (control, nas) = (lab.control.clone(), nas.clone());
        tokio::spawn(async move {
            control
                .publications()
                .publish(nas.network, nas.id, &request, &Actor::Node(nas.id))
                .await
                .is_ok()
        })
    });
    let requests: Vec<_> = requests.collect();
    let mut placed = 0;
    for request in requests {
        placed += usize::from(request.await.unwrap());
    }
    assert_eq!(placed, PORTS.len(), "each port went to one publication");
}

fn udp(name: &str, more: Value) -> Value {
    merged(json!({"name": name, "protocol": "udp", "target": "127.0.0.1:7777"}), more)
}

fn http(name: &str, more: Value) -> Value {
    merged(json!({"name": name, "protocol": "http", "target": "3000"}), more)
}

fn merged(mut body: Value, more: Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}
