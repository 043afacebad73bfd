//! Publications and the ports and hostnames that they hold.

use bore_api::model::{Domain, Node, NodeKind, Protocol, Publication};
use bore_control::store::{NewNode, StoreError};
use bore_policy::Access;
use uuid::Uuid;

use super::lab::{ADMIN, DAY, Lab, START, http, udp};

pub(crate) async fn are_stored_as_given_with_an_overlay_port(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    let access = Access {
        allow: vec!["10.0.0.0/8".parse().unwrap()],
        deny: vec!["10.9.0.0/16".parse().unwrap()],
    };
    let options = serde_json::json!({
        "web": {"host_header": "intranet.local:8080", "tls_min": "1.2"},
        "health": {"check": "http:/up", "interval_seconds": 5},
    });
    let options = serde_json::from_value(options).unwrap();
    let wanted = Publication { access, options, ..udp(&node, "game", 7777) };

    let stored = put(&lab, &wanted).await;

    assert_eq!(stored, Publication { overlay_port: 1024, ..wanted });
    for network in [Some(lab.network), None] {
        let listed = lab.store.publications().list(network).await.unwrap();
        assert_eq!(listed, std::slice::from_ref(&stored));
    }
}

pub(crate) async fn of_the_same_name_and_node_are_replaced_in_place(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    let game = put(&lab, &udp(&node, "game", 7777)).await;
    put(&lab, &udp(&node, "voice", 7778)).await;

    let again = Publication { public_port: None, created_at: START + 5, ..udp(&node, "game", 1) };
    let again = Publication { target: "127.0.0.1:9".to_owned(), ..again };
    let replaced = put(&lab, &again).await;

    assert_eq!(replaced, Publication { target: "127.0.0.1:9".to_owned(), ..game });
    assert_eq!(lab.store.publications().list(None).await.unwrap().len(), 2);
    assert_eq!(lab.actions().await.last().unwrap(), "publication.replace");
}

pub(crate) async fn that_name_other_ports_give_the_old_ones_back(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    put(&lab, &range(&node, "game", 7000, 10)).await;

    put(&lab, &range(&node, "game", 7005, 2)).await;
    put(&lab, &range(&node, "low", 7000, 5)).await;
    put(&lab, &range(&node, "high", 7007, 3)).await;

    assert_taken(&lab, &udp(&node, "late", 7006), ("port", "7006/udp", "game")).await;
}

pub(crate) async fn change_protocol_without_leaving_anything_behind(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    put(&lab, &udp(&node, "web", 7777)).await;
    let as_http = put(&lab, &http(&node, "web", "web.example.org")).await;
    assert_eq!(as_http.public_port, None);
    let as_tcp = Publication { protocol: Protocol::Tcp, ..udp(&node, "web", 80) };
    assert!(put(&lab, &as_tcp).await.hostnames.is_empty());

    put(&lab, &udp(&node, "game", 7777)).await;
    put(&lab, &http(&node, "site", "web.example.org")).await;
}

pub(crate) async fn cannot_take_a_name_of_another_node(lab: Lab) {
    let nas = lab.add_node(lab.network, "nas").await;
    let attic = lab.add_node(lab.network, "attic").await;
    put(&lab, &udp(&nas, "game", 7777)).await;

    assert_taken(&lab, &udp(&attic, "game", 7778), ("name", "game", "nas")).await;
    let other = lab.other_network().await;
    let foreign = lab.add_node(other, "nas").await;
    put(&lab, &udp(&foreign, "game", 7778)).await;
}

pub(crate) async fn cannot_overlap_in_ports_even_across_networks(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    put(&lab, &range(&node, "game", 27_000, 51)).await;

    for (first, count) in [(27_050, 1), (26_990, 11), (26_000, 2_000), (27_020, 5)] {
        let port = first.max(27_000);
        let wanted = range(&node, "late", first, count);
        assert_taken(&lab, &wanted, ("port", &format!("{port}/udp"), "game")).await;
    }
    put(&lab, &range(&node, "below", 26_990, 10)).await;
    put(&lab, &range(&node, "above", 27_051, 10)).await;

    let foreign = lab.add_node(lab.other_network().await, "nas").await;
    assert_taken(&lab, &udp(&foreign, "x", 27_001), ("port", "27001/udp", "another network")).await;
}

pub(crate) async fn of_tcp_and_udp_share_a_number(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    put(&lab, &udp(&node, "game", 7777)).await;
    let tcp = Publication { protocol: Protocol::Tcp, ..udp(&node, "lobby", 7777) };
    assert_eq!(put(&lab, &tcp).await.overlay_port, 1025);
}

pub(crate) async fn cannot_share_a_hostname_even_across_networks(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    put(&lab, &http(&node, "web", "app.example.org")).await;

    let wanted = http(&node, "site", "app.example.org");
    assert_taken(&lab, &wanted, ("hostname", "app.example.org", "web")).await;
    let foreign = lab.add_node(lab.other_network().await, "nas").await;
    let wanted = http(&foreign, "site", "app.example.org");
    assert_taken(&lab, &wanted, ("hostname", "app.example.org", "another network")).await;
}

pub(crate) async fn leave_hostnames_that_rest_for_thirty_days_and_only_for_others(lab: Lab) {
    let other = lab.other_network().await;
    let (nas, pi) = (lab.add_node(lab.network, "nas").await, lab.add_node(lab.network, "pi").await);
    let foreign = lab.add_node(other, "nas").await;
    let web = |node: &Node, name: &str, at| Publication {
        created_at: at,
        ..http(node, name, &format!("{name}.t.example.org"))
    };
    let removed = put(&lab, &web(&nas, "removed", START)).await;
    lab.store.publications().delete(lab.network, removed.id, &ADMIN, START).await.unwrap();
    let changed = put(&lab, &web(&nas, "changed", START)).await;
    let elsewhere = vec!["elsewhere.t.example.org".parse().unwrap()];
    put(&lab, &Publication { hostnames: elsewhere, ..changed }).await;
    put(&lab, &web(&pi, "with-its-node", START)).await;
    lab.store.nodes().delete(lab.network, pi.id, &ADMIN, START).await.unwrap();

    let holder = "another network, which gave it back: names rest for 30 days";
    assert_eq!(lab.store.end_rests(START + 30 * DAY - 1).await.unwrap(), 0);
    for name in ["removed", "changed", "with-its-node"] {
        let early = web(&foreign, name, START);
        assert_taken(&lab, &early, ("hostname", &format!("{name}.t.example.org"), holder)).await;
    }
    let back = put(&lab, &web(&nas, "removed", START + DAY)).await;
    lab.store.publications().delete(lab.network, back.id, &ADMIN, START + 2 * DAY).await.unwrap();
    lab.store.end_rests(START + 30 * DAY).await.unwrap();
    let early = web(&foreign, "removed", START + 30 * DAY);
    assert_taken(&lab, &early, ("hostname", "removed.t.example.org", holder)).await;
    put(&lab, &web(&foreign, "with-its-node", START + 30 * DAY)).await;
    lab.store.end_rests(START + 32 * DAY).await.unwrap();
    put(&lab, &web(&foreign, "removed", START + 32 * DAY)).await;
    lab.assert_intact().await;
}

pub(crate) async fn leave_hostnames_that_a_clock_far_ahead_does_not_free(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    let foreign = lab.add_node(lab.other_network().await, "nas").await;
    let web = put(&lab, &http(&node, "web", "app.t.example.org")).await;
    lab.store.publications().delete(lab.network, web.id, &ADMIN, START).await.unwrap();

    let ahead = START + 400 * DAY;
    let late = |name: &str, hostname: &str| Publication {
        created_at: ahead,
        ..http(&foreign, name, hostname)
    };
    let own = put(&lab, &late("own", "own.t.example.org")).await;
    lab.store.publications().delete(own.network, own.id, &ADMIN, ahead).await.unwrap();

    let holder = "another network, which gave it back: names rest for 30 days";
    let wanted = late("a", "app.t.example.org");
    assert_taken(&lab, &wanted, ("hostname", "app.t.example.org", holder)).await;
    let wanted = http(&foreign, "a", "app.t.example.org");
    assert_taken(&lab, &wanted, ("hostname", "app.t.example.org", holder)).await;
}

pub(crate) async fn leave_hostnames_that_do_not_rest_below_a_domain_of_the_next(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    for name in ["app.team.t.example.org", "203.0.113.5"] {
        let web = put(&lab, &http(&node, "web", name)).await;
        lab.store.publications().delete(lab.network, web.id, &ADMIN, START).await.unwrap();
    }
    let other = lab.other_network().await;
    let given = Domain {
        id: Uuid::now_v7(),
        network: other,
        name: "team.t.example.org".to_owned(),
        created_at: START,
        verified_at: Some(START),
    };
    lab.store.domains().add(&given, &ADMIN).await.unwrap();
    let foreign = lab.add_node(other, "nas").await;
    put(&lab, &http(&foreign, "team", "app.team.t.example.org")).await;
    put(&lab, &http(&foreign, "address", "203.0.113.5")).await;
}

/// As if a node had given so many names back one after the other, `n1.t.example.org` first and the last one at `START`.
async fn let_rest(lab: &Lab, node: Uuid, names: usize) {
    let id = |id: Uuid| {
        if lab.is_sqlite() { format!("x'{}'", id.simple()) } else { format!("'{id}'::uuid") }
    };
    let (network, node) = (id(lab.network), id(node));
    let full = format!(
        "WITH RECURSIVE names (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM names WHERE number < {names}) \
         INSERT INTO resting_hostnames (hostname, network, node, released_at) \
         SELECT 'n' || number || '.t.example.org', {network}, {node}, {START} - {names} + number FROM names"
    );
    lab.tamper(&full).await.unwrap();
}

pub(crate) async fn leave_hostnames_that_no_other_node_of_the_network_pushes_out(lab: Lab) {
    let (nas, greedy) =
        (lab.add_node(lab.network, "nas").await, lab.add_node(lab.network, "greedy").await);
    let old = START - 20 * DAY;
    let web = put(&lab, &http(&nas, "web", "app.t.example.org")).await;
    lab.store.publications().delete(lab.network, web.id, &ADMIN, old).await.unwrap();
    let_rest(&lab, greedy.id, 19_999).await;
    let more = put(&lab, &http(&greedy, "more", "more.t.example.org")).await;
    lab.store.publications().delete(lab.network, more.id, &ADMIN, START).await.unwrap();

    let foreign = lab.add_node(lab.other_network().await, "nas").await;
    let holder = "another network, which gave it back: names rest for 30 days";
    for name in ["app.t.example.org", "more.t.example.org", "n2.t.example.org"] {
        assert_taken(&lab, &http(&foreign, "a", name), ("hostname", name, holder)).await;
    }
    put(&lab, &http(&foreign, "a", "n1.t.example.org")).await;
}

pub(crate) async fn leave_no_more_hostnames_at_rest_than_a_network_may_have(lab: Lab) {
    // Names from before it was kept which node gave them back.
    let_rest(&lab, Uuid::nil(), 20_000).await;
    let node = lab.add_node(lab.network, "nas").await;
    let web = put(&lab, &http(&node, "web", "app.t.example.org")).await;
    lab.store.publications().delete(lab.network, web.id, &ADMIN, START).await.unwrap();

    let foreign = lab.add_node(lab.other_network().await, "nas").await;
    let holder = "another network, which gave it back: names rest for 30 days";
    for name in ["app.t.example.org", "n2.t.example.org", "n20000.t.example.org"] {
        assert_taken(&lab, &http(&foreign, "a", name), ("hostname", name, holder)).await;
    }
    put(&lab, &http(&foreign, "a", "n1.t.example.org")).await;
}

pub(crate) async fn hold_several_hostnames_in_their_order_and_none_of_anothers(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<_>>();
    let several = names(&["b.example.org", "a.example.org", "*.example.org"]);
    let web =
        put(&lab, &Publication { hostnames: several.clone(), ..http(&node, "web", "") }).await;
    assert_eq!(web.hostnames, several);
    assert_eq!(lab.store.publications().list(None).await.unwrap(), std::slice::from_ref(&web));

    let late = Publication {
        hostnames: names(&["free.example.org", "*.example.org"]),
        ..http(&node, "late", "")
    };
    assert_taken(&lab, &late, ("hostname", "*.example.org", "web")).await;
    let kept = put(&lab, &Publication { hostnames: Vec::new(), ..http(&node, "web", "") }).await;
    assert_eq!(kept.hostnames, several, "an update that names none keeps them");
    let fewer = Publication { hostnames: names(&["a.example.org"]), ..web };
    put(&lab, &fewer).await;
    put(&lab, &late).await;
}

pub(crate) async fn whose_hostname_is_none_are_corrupt_rows(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    let address = put(&lab, &http(&node, "web", "203.0.113.5")).await;
    assert_eq!(lab.store.publications().list(None).await.unwrap(), [address]);

    lab.tamper("UPDATE public_hostnames SET hostname = 'a b'").await.unwrap();
    let refused = lab.store.publications().list(None).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Corrupt(what) if what == "hostname a b"), "{refused:?}");
}

pub(crate) async fn of_tls_have_hostnames_and_no_port(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    let tls = Publication {
        protocol: Protocol::Tls,
        public_port: Some(443),
        ..http(&node, "tls", "app.example.org")
    };
    let stored = put(&lab, &tls).await;
    assert_eq!((stored.public_port, stored.hostnames.len()), (None, 1));
    assert_eq!(lab.store.publications().list(None).await.unwrap(), [stored]);
    let wanted = http(&node, "web", "app.example.org");
    assert_taken(&lab, &wanted, ("hostname", "app.example.org", "tls")).await;
}

pub(crate) async fn of_ranges_get_runs_of_overlay_ports(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    assert_eq!(put(&lab, &range(&node, "a", 7000, 51)).await.overlay_port, 1024);
    assert_eq!(put(&lab, &range(&node, "b", 8000, 1)).await.overlay_port, 1075);

    assert_eq!(
        put(&lab, &range(&node, "a", 7000, 60)).await.overlay_port,
        1076,
        "a outgrew its run"
    );
    assert_eq!(put(&lab, &range(&node, "c", 9000, 51)).await.overlay_port, 1024, "and left it");

    let attic = lab.add_node(lab.network, "attic").await;
    assert_eq!(put(&lab, &udp(&attic, "d", 9100)).await.overlay_port, 1024);
}

pub(crate) async fn of_a_wireguard_node_keep_the_port_that_it_names(lab: Lab) {
    let new = NewNode { kind: NodeKind::Wireguard, ..lab.new_node(lab.network, "phone") };
    let phone = lab.store.nodes().add(&new, &ADMIN).await.unwrap();
    for (name, port) in [("a", 7000), ("b", 7001)] {
        let wanted = Publication { overlay_port: 80, ..udp(&phone, name, port) };
        assert_eq!(put(&lab, &wanted).await.overlay_port, 80);
    }

    let agent = lab.add_node(lab.network, "nas").await;
    put(&lab, &Publication { overlay_port: 2000, ..udp(&agent, "c", 7002) }).await;
    let overlapping = Publication { overlay_port: 1999, ..range(&agent, "d", 7003, 2) };
    let refused = lab.store.publications().put(&overlapping, &ADMIN).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
}

pub(crate) async fn that_end_above_the_last_port_are_refused(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    for (first, count) in [(65_530, 7), (1, u16::MAX), (1, 0)] {
        let refused = lab.store.publications().put(&range(&node, "a", first, count), &ADMIN).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    }
    put(&lab, &range(&node, "a", 65_530, 6)).await;
}

pub(crate) async fn with_the_id_of_another_never_overwrite_it(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    let game = put(&lab, &udp(&node, "game", 7777)).await;

    let forged = Publication { id: game.id, ..udp(&node, "late", 7778) };
    assert!(lab.store.publications().put(&forged, &ADMIN).await.is_err());
    assert_eq!(lab.store.publications().list(None).await.unwrap(), [game]);
}

pub(crate) async fn of_another_network_are_not_there(lab: Lab) {
    let other = lab.other_network().await;
    let node = lab.add_node(lab.network, "nas").await;
    let game = put(&lab, &udp(&node, "game", 7777)).await;

    let forged = Publication { network: other, ..udp(&node, "late", 7778) };
    let refused = lab.store.publications().put(&forged, &ADMIN).await;
    assert!(matches!(refused, Err(StoreError::NotFound("node"))), "{refused:?}");
    let refused = lab.store.publications().delete(other, game.id, &ADMIN, START).await;
    assert!(matches!(refused, Err(StoreError::NotFound("publication"))), "{refused:?}");
    assert!(lab.store.publications().list(Some(other)).await.unwrap().is_empty());
}

pub(crate) async fn give_everything_back_when_removed(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    let game = put(&lab, &range(&node, "game", 7000, 10)).await;
    lab.store.publications().delete(lab.network, game.id, &ADMIN, START).await.unwrap();

    let again = put(&lab, &range(&node, "game", 7000, 10)).await;
    assert_ne!(again.id, game.id);
    assert_eq!(again.overlay_port, 1024);
    lab.assert_intact().await;
}

async fn put(lab: &Lab, publication: &Publication) -> Publication {
    lab.store.publications().put(publication, &ADMIN).await.unwrap()
}

async fn assert_taken(lab: &Lab, wanted: &Publication, expected: (&str, &str, &str)) {
    let rows = lab.actions().await.len();
    let wanted = Publication { id: Uuid::now_v7(), ..wanted.clone() };
    match lab.store.publications().put(&wanted, &ADMIN).await {
        Err(StoreError::Taken { what, value, holder }) => {
            assert_eq!((what, value.as_str(), holder.as_str()), expected);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(lab.actions().await.len(), rows, "a refusal leaves no trace");
}

fn range(node: &Node, name: &str, first: u16, count: u16) -> Publication {
    Publication { port_count: count, ..udp(node, name, first) }
}

pub(crate) async fn that_take_the_place_of_others_do_so_whole_or_not_at_all(lab: Lab) {
    let (nas, pi) = (lab.add_node(lab.network, "nas").await, lab.add_node(lab.network, "pi").await);
    let game = lab.store.publications().put(&udp(&nas, "game", 7777), &ADMIN).await.unwrap();
    let other = lab.store.publications().put(&udp(&nas, "other", 8888), &ADMIN).await.unwrap();
    let rows = lab.actions().await;

    for (gone, wanted) in [(game.id, udp(&pi, "mine", 8888)), (Uuid::now_v7(), udp(&pi, "a", 1))] {
        lab.store.publications().replace(&[gone], &wanted, &ADMIN).await.unwrap_err();
        assert_eq!(
            lab.store.publications().list(None).await.unwrap(),
            [game.clone(), other.clone()]
        );
    }
    assert_eq!(lab.actions().await, rows);

    let mine = udp(&pi, "game", 8888);
    let mine = lab.store.publications().replace(&[game.id, other.id], &mine, &ADMIN).await.unwrap();
    assert_eq!(lab.store.publications().list(None).await.unwrap(), [mine]);
    lab.assert_intact().await;
}
