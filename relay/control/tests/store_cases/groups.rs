//! Groups.

use bore_api::model::Group;
use bore_control::store::StoreError;
use uuid::Uuid;

use super::lab::{ADMIN, Lab, START};

pub(crate) async fn are_listed_with_their_nodes(lab: Lab) {
    let nas = lab.add_node(lab.network, "nas").await.id;
    let attic = lab.add_node(lab.network, "attic").await.id;
    let ops = lab.add_group(lab.network, "ops", vec![nas]).await;
    let all = lab.add_group(lab.network, "all", vec![nas, attic, nas]).await;

    let groups = lab.store.groups().list(lab.network).await.unwrap();
    assert_eq!(groups[0], Group { nodes: vec![nas, attic], ..all });
    assert_eq!(groups[1], ops);

    let set = lab.store.groups().set_nodes(lab.network, ops.id, &[attic], &ADMIN, START).await;
    let set = set.unwrap();
    assert_eq!(set, Group { nodes: vec![attic], ..ops });
    assert_eq!(lab.store.groups().list(lab.network).await.unwrap()[1], set);
}

pub(crate) async fn take_only_nodes_of_their_network(lab: Lab) {
    let other = lab.other_network().await;
    let foreign = lab.add_node(other, "foreign").await.id;
    let ours = lab.add_node(lab.network, "nas").await.id;
    let ops = lab.add_group(lab.network, "ops", vec![ours]).await;

    let refused =
        lab.store.groups().set_nodes(lab.network, ops.id, &[foreign], &ADMIN, START).await;
    assert!(matches!(refused, Err(StoreError::NotFound("node"))), "{refused:?}");
    assert_eq!(
        lab.store.groups().list(lab.network).await.unwrap()[0].nodes,
        [ours],
        "nothing was undone"
    );
    let refused = lab.store.groups().set_nodes(other, ops.id, &[foreign], &ADMIN, START).await;
    assert!(matches!(refused, Err(StoreError::NotFound("group"))), "{refused:?}");
}

pub(crate) async fn have_unique_names_and_can_be_removed(lab: Lab) {
    let ops = lab.add_group(lab.network, "ops", Vec::new()).await;
    let again = Group { id: Uuid::now_v7(), ..ops.clone() };
    let refused = lab.store.groups().create(&again, &ADMIN).await;
    assert!(matches!(refused, Err(StoreError::Taken { what: "name", .. })), "{refused:?}");

    lab.store.groups().delete(lab.network, ops.id, &ADMIN, START).await.unwrap();
    lab.store.groups().create(&again, &ADMIN).await.unwrap();
}
