//! Overlay IPv4 addresses.

use std::net::Ipv4Addr;

use bore_control::store::{JoinError, JoinRequest, NewNode, ShareTaken, StoreError};

use super::lab::{ADMIN, DAY, Lab, START};

pub(crate) async fn follow_the_cursor_and_wrap_around_held_addresses(lab: Lab) {
    lab.tamper("UPDATE lease_pool SET last_address = first_address + 3").await.unwrap();
    let nodes = add_four(&lab).await;
    assert_eq!(nodes.map(|(_, address)| address.octets()[3]), [2, 3, 4, 5]);

    lab.store.nodes().delete(lab.network, nodes[2].0, &ADMIN, START).await.unwrap();
    lab.store.end_rests(START + 30 * DAY).await.unwrap();
    assert_eq!(add_late(&lab).await, Some(Ipv4Addr::new(100, 64, 0, 4)));
    lab.store.end_rests(START + 60 * DAY).await.unwrap();
    assert_eq!(add_late(&lab).await, None, "all are held");
}

pub(crate) async fn rest_for_thirty_days(lab: Lab) {
    lab.tamper("UPDATE lease_pool SET last_address = first_address").await.unwrap();
    let node = lab.add_node(lab.network, "nas").await;
    lab.store.nodes().delete(lab.network, node.id, &ADMIN, START).await.unwrap();

    assert_eq!(lab.store.end_rests(START + 30 * DAY - 1).await.unwrap(), 0);
    assert_eq!(add_late(&lab).await, None);
    assert_eq!(lab.store.end_rests(START + 30 * DAY).await.unwrap(), 1);
    assert_eq!(add_late(&lab).await, Some(node.overlay_v4));
}

pub(crate) async fn of_ephemeral_nodes_rest_for_a_day(lab: Lab) {
    lab.tamper("UPDATE lease_pool SET last_address = first_address").await.unwrap();
    let key = lab.add_key(|key| key.ephemeral = true).await;
    let node = lab.store.nodes().join(&lab.request(key)).await.unwrap();
    lab.store.nodes().delete(lab.network, node.id, &ADMIN, START).await.unwrap();

    lab.store.end_rests(START + DAY - 1).await.unwrap();
    assert_eq!(add_late(&lab).await, None);
    lab.store.end_rests(START + DAY).await.unwrap();
    assert_eq!(add_late(&lab).await, Some(node.overlay_v4));
}

pub(crate) async fn of_a_large_cluster_skip_the_held_run(lab: Lab) {
    let hundred_thousand = "WITH RECURSIVE held (number) AS \
         (SELECT 0 UNION ALL SELECT number + 1 FROM held WHERE number < 99999) \
         INSERT INTO leases (address, released_at) SELECT 1681915906 + number, 4000000000000000 FROM held";
    lab.tamper(hundred_thousand).await.unwrap();

    let first = lab.add_node(lab.network, "first").await.overlay_v4;
    let second = lab.add_node(lab.network, "second").await.overlay_v4;

    assert_eq!(first.to_bits(), 1_681_915_906 + 100_000);
    assert_eq!(second.to_bits(), first.to_bits() + 1);
}

pub(crate) async fn of_a_network_are_a_share_of_the_pool_those_at_rest_included(lab: Lab) {
    let other = lab.other_network().await;
    let key = lab.add_key(|_| ()).await;
    let limited = |name: &str| NewNode { addresses_max: 2, ..lab.new_node(lab.network, name) };
    let first = lab.store.nodes().add(&limited("a"), &ADMIN).await.unwrap();
    let second = lab.store.nodes().add(&limited("b"), &ADMIN).await.unwrap();
    lab.store.nodes().delete(lab.network, first.id, &ADMIN, START).await.unwrap();

    let taken = ShareTaken { most: 2, free_at: Some(START + 30 * DAY) };
    let refused = lab.store.nodes().add(&limited("c"), &ADMIN).await;
    assert!(matches!(refused, Err(StoreError::ShareTaken(found)) if found == taken), "{refused:?}");
    let joiner = JoinRequest { addresses_max: 2, ..lab.request(key) };
    let refused = lab.store.nodes().may_join(&joiner).await;
    assert!(matches!(refused, Err(JoinError::ShareTaken(found)) if found == taken), "{refused:?}");
    lab.store.nodes().add(&NewNode { network: other, ..limited("c") }, &ADMIN).await.unwrap();

    lab.store.end_rests(START + 30 * DAY).await.unwrap();
    let third = lab.store.nodes().add(&limited("c"), &ADMIN).await.unwrap();
    let refused = lab.store.nodes().add(&limited("d"), &ADMIN).await;
    let taken = ShareTaken { most: 2, free_at: None };
    assert!(matches!(refused, Err(StoreError::ShareTaken(found)) if found == taken), "{refused:?}");

    for gone in [second.id, third.id] {
        lab.store.nodes().delete(lab.network, gone, &ADMIN, START + 30 * DAY).await.unwrap();
    }
    lab.store.networks().delete(lab.network, &ADMIN, START + 30 * DAY).await.unwrap();
    assert_eq!(lab.store.end_rests(START + 60 * DAY).await.unwrap(), 2);
    lab.store.nodes().add(&NewNode { network: other, ..limited("d") }, &ADMIN).await.unwrap();
}

async fn add_four(lab: &Lab) -> [(uuid::Uuid, Ipv4Addr); 4] {
    let mut nodes = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let node = lab.add_node(lab.network, name).await;
        nodes.push((node.id, node.overlay_v4));
    }
    nodes.try_into().unwrap()
}

/// By a clock that is far ahead, which nothing is freed by.
async fn add_late(lab: &Lab) -> Option<Ipv4Addr> {
    let node = NewNode { at: START + 400 * DAY, ..lab.new_node(lab.network, "late") };
    lab.store.nodes().add(&node, &ADMIN).await.ok().map(|node| node.overlay_v4)
}
