//! Networks.

use std::task::Poll;

use bore_api::model::Network;
use bore_control::store::StoreError;
use uuid::Uuid;

use super::lab::{ADMIN, Lab, START, intact_rows};
use super::policies::policy;

pub(crate) async fn are_listed_by_name(lab: Lab) {
    lab.add_network(Uuid::now_v7(), "attic").await;
    lab.add_network(Uuid::now_v7(), "a-z").await;

    let names: Vec<String> = lab
        .store
        .networks()
        .list()
        .await
        .unwrap()
        .into_iter()
        .map(|network| network.name)
        .collect();
    assert_eq!(names, ["a-z", "attic", "home"]);
    lab.store.probe(START).await.unwrap();
}

pub(crate) async fn have_unique_names(lab: Lab) {
    let again = Network { id: Uuid::now_v7(), name: "home".to_owned(), created_at: START };
    let refused = lab.store.networks().create(&again, &ADMIN).await;
    assert!(matches!(refused, Err(StoreError::Taken { what: "name", .. })), "{refused:?}");
}

pub(crate) async fn cannot_be_named_what_one_engine_refuses(lab: Lab) {
    let nul = Network { id: Uuid::now_v7(), name: "a\0b".to_owned(), created_at: START };
    let refused = lab.store.networks().create(&nul, &ADMIN).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
}

/// A caller may go away at any await: its request timed out, its connection closed.
pub(crate) async fn are_made_whole_or_not_at_all_when_the_caller_goes_away(lab: Lab) {
    for number in 0..120 {
        let name = format!("network-{number}");
        let network = Network { id: Uuid::now_v7(), name, created_at: START };
        let mut call = Box::pin(lab.store.networks().create(&network, &ADMIN));
        for _ in 0..1_u32 << (number % 14) {
            let polled = std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context)));
            if polled.await.is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }

    lab.add_network(Uuid::now_v7(), "last").await;
    let rows = i64::try_from(lab.store.networks().list().await.unwrap().len()).unwrap();
    assert_eq!(intact_rows(&lab.store).await, rows);
}

pub(crate) async fn with_nodes_are_not_removed(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;

    let refused = lab.store.networks().delete(lab.network, &ADMIN, START).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");

    lab.store.nodes().delete(lab.network, node.id, &ADMIN, START).await.unwrap();
    lab.store.networks().delete(lab.network, &ADMIN, START).await.unwrap();
    assert!(lab.store.networks().list().await.unwrap().is_empty());
    lab.assert_intact().await;
}

pub(crate) async fn take_their_keys_groups_and_policies_with_them(lab: Lab) {
    lab.add_group(lab.network, "ops", Vec::new()).await;
    lab.add_key(|key| key.groups.push("ops".to_owned())).await;
    lab.store.policies().put(&policy(lab.network, "main"), 0, &ADMIN).await.unwrap();

    lab.store.networks().delete(lab.network, &ADMIN, START).await.unwrap();

    assert!(lab.store.groups().list(lab.network).await.unwrap().is_empty());
    assert!(lab.store.join_keys().list(lab.network).await.unwrap().is_empty());
    assert!(lab.store.policies().list(lab.network).await.unwrap().is_empty());
    let refused = lab.store.networks().delete(lab.network, &ADMIN, START).await;
    assert!(matches!(refused, Err(StoreError::NotFound("network"))), "{refused:?}");
}
