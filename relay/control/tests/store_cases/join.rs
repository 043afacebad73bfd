//! How nodes join with a key.

use std::net::Ipv4Addr;

use bore_api::model::NodeKind;
use bore_control::store::{JoinError, JoinRequest};

use super::lab::{ADMIN, Lab, START};

pub(crate) async fn adds_the_node_spends_a_use_and_leases_the_first_address(lab: Lab) {
    let key = lab.add_key(|key| key.ephemeral = true).await;
    let request = lab.request(key);

    let node = lab.store.nodes().join(&request).await.unwrap();

    assert_eq!((node.id, node.network), (request.node, lab.network));
    assert_eq!(node.overlay_v4, Ipv4Addr::new(100, 64, 0, 2));
    assert_eq!(node.overlay_v6, request.overlay_v6);
    assert_eq!((node.kind, node.ephemeral, node.join_key), (NodeKind::Agent, true, Some(key)));
    assert_eq!(lab.store.nodes().list(None).await.unwrap(), [node]);
    assert_eq!(lab.store.join_keys().list(lab.network).await.unwrap()[0].uses, 1);
}

pub(crate) async fn again_with_the_same_key_and_machine_answers_the_same_and_spends_nothing(
    lab: Lab,
) {
    let key = lab.add_key(|key| key.uses_max = Some(1)).await;
    let request = lab.request(key);
    let first = lab.store.nodes().join(&request).await.unwrap();
    let rows = lab.actions().await.len();

    let retry = JoinRequest { node: uuid::Uuid::now_v7(), name: "other".to_owned(), ..request };
    let second = lab.store.nodes().join(&retry).await.unwrap();

    assert_eq!(first, second);
    assert_eq!(lab.store.join_keys().list(lab.network).await.unwrap()[0].uses, 1);
    assert_eq!(lab.actions().await.len(), rows, "nothing changed, nothing is written");
}

pub(crate) async fn again_is_answered_although_the_key_was_revoked_since(lab: Lab) {
    let key = lab.add_key(|_| ()).await;
    let request = lab.request(key);
    let first = lab.store.nodes().join(&request).await.unwrap();
    lab.store.join_keys().revoke(lab.network, key, &ADMIN, START).await.unwrap();

    assert_eq!(lab.store.nodes().join(&request).await.unwrap(), first);
    let stranger = lab.store.nodes().join(&lab.request(key)).await;
    assert!(matches!(stranger, Err(JoinError::Revoked)), "{stranger:?}");
}

pub(crate) async fn numbers_a_taken_name(lab: Lab) {
    let key = lab.add_key(|_| ()).await;
    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(lab.store.nodes().join(&lab.request(key)).await.unwrap().name);
    }
    assert_eq!(names, ["laptop", "laptop-2", "laptop-3"]);

    let long = JoinRequest { name: "n".repeat(63), ..lab.request(key) };
    assert_eq!(lab.store.nodes().join(&long).await.unwrap().name, "n".repeat(63));
    let long = JoinRequest { name: "n".repeat(63), ..lab.request(key) };
    assert_eq!(lab.store.nodes().join(&long).await.unwrap().name, format!("{}-2", "n".repeat(61)));
}

pub(crate) async fn gives_no_reserved_name_and_notes_the_one_that_was_wanted(lab: Lab) {
    let key = lab.add_key(|_| ()).await;
    let reserved = ["laptop", "laptop-3"].map(str::to_owned);
    let mut names = Vec::new();
    for _ in 0..2 {
        let names_reserved = reserved.clone().into();
        let request = JoinRequest { names_reserved, ..lab.request(key) };
        names.push(lab.store.nodes().join(&request).await.unwrap().name);
    }
    assert_eq!(names, ["laptop-2", "laptop-4"]);

    let rows = lab.store.audit().list(None, None, 0, 1_000).await.unwrap();
    let joins = rows.iter().filter(|row| row.action == "node.join");
    let wanted: Vec<_> = joins.map(|row| &row.detail["wanted_name"]).collect();
    assert_eq!(wanted, ["laptop", "laptop"]);
}

pub(crate) async fn puts_the_node_into_the_groups_that_its_key_has_now(lab: Lab) {
    lab.add_group(lab.network, "ops", Vec::new()).await;
    let gone = lab.add_group(lab.network, "gone", Vec::new()).await;
    let key = lab.add_key(|key| key.groups = vec!["ops".to_owned(), "gone".to_owned()]).await;
    assert_eq!(lab.store.join_keys().list(lab.network).await.unwrap()[0].groups, ["gone", "ops"]);
    lab.store.groups().delete(lab.network, gone.id, &ADMIN, START).await.unwrap();

    let node = lab.store.nodes().join(&lab.request(key)).await.unwrap();

    assert_eq!(node.groups, ["ops"]);
    assert_eq!(lab.store.groups().list(lab.network).await.unwrap()[0].nodes, [node.id]);
}

pub(crate) async fn with_another_key_names_the_node_that_the_machine_is(lab: Lab) {
    let first = lab.add_key(|_| ()).await;
    let second = lab.add_key(|_| ()).await;
    let request = lab.request(first);
    lab.store.nodes().join(&request).await.unwrap();

    let refused = lab.store.nodes().join(&JoinRequest { key: second, ..request }).await;

    assert!(matches!(&refused, Err(JoinError::AlreadyNode(name)) if name == "laptop"));
}

pub(crate) async fn without_a_limit_lets_many_in(lab: Lab) {
    let key = lab.add_key(|_| ()).await;
    let joins = (0..20).map(|_| lab.request(key)).map(|request| {
        let store = lab.store.clone();
        async move { store.nodes().join(&request).await.unwrap().overlay_v4 }
    });
    let addresses = futures_util::future::join_all(joins).await;

    let distinct: std::collections::HashSet<_> = addresses.iter().collect();
    assert_eq!(distinct.len(), 20);
    assert_eq!(lab.store.join_keys().list(lab.network).await.unwrap()[0].uses, 20);
    lab.assert_intact().await;
}

pub(crate) async fn refuses_when_no_address_is_left_and_spends_nothing(lab: Lab) {
    lab.tamper("UPDATE lease_pool SET last_address = first_address").await.unwrap();
    let key = lab.add_key(|_| ()).await;
    lab.store.nodes().join(&lab.request(key)).await.unwrap();

    let refused = lab.store.nodes().join(&lab.request(key)).await;

    assert!(matches!(refused, Err(JoinError::AddressesExhausted)), "{refused:?}");
    assert_eq!(lab.store.join_keys().list(lab.network).await.unwrap()[0].uses, 1);
    assert_ne!(lab.actions().await.last().unwrap(), "node.join_refused");
}

pub(crate) async fn makes_the_node_ephemeral_when_key_or_joiner_say_so(lab: Lab) {
    for (of_key, of_joiner, ephemeral) in
        [(false, false, false), (false, true, true), (true, false, true), (true, true, true)]
    {
        let key = lab.add_key(|key| key.ephemeral = of_key).await;
        let request = JoinRequest { ephemeral: of_joiner, ..lab.request(key) };
        let node = lab.store.nodes().join(&request).await.unwrap();
        assert_eq!(node.ephemeral, ephemeral, "key {of_key}, joiner {of_joiner}");
    }
}

pub(crate) async fn refuses_one_node_more_than_the_network_may_have_and_spends_nothing(lab: Lab) {
    let key = lab.add_key(|_| ()).await;
    let limited = || JoinRequest { nodes_max: 2, ..lab.request(key) };
    let elsewhere = lab.other_network().await;
    lab.add_node(elsewhere, "not-counted").await;
    let first = limited();
    lab.store.nodes().join(&first).await.unwrap();
    lab.store.nodes().join(&limited()).await.unwrap();

    let refused = lab.store.nodes().join(&limited()).await;

    assert!(matches!(refused, Err(JoinError::NodesExhausted(2))), "{refused:?}");
    assert_eq!(lab.store.join_keys().list(lab.network).await.unwrap()[0].uses, 2);
    assert_ne!(lab.actions().await.last().unwrap(), "node.join_refused");
    lab.store.nodes().join(&first).await.unwrap();
    let stranger = JoinRequest { secret_hash: [8; 32], ..limited() };
    assert!(matches!(lab.store.nodes().join(&stranger).await, Err(JoinError::Invalid)));
}
