//! Nodes.

use bore_control::store::{NewNode, StoreError};

use super::lab::{ADMIN, Lab, START, http, udp};

pub(crate) async fn are_listed_with_their_groups(lab: Lab) {
    let other = lab.other_network().await;
    lab.add_group(lab.network, "web", Vec::new()).await;
    lab.add_group(lab.network, "ops", Vec::new()).await;
    let groups = vec!["web".to_owned(), "ops".to_owned()];
    let new = NewNode { groups, ..lab.new_node(lab.network, "nas") };

    let nas = lab.store.nodes().add(&new, &ADMIN).await.unwrap();
    let attic = lab.add_node(lab.network, "attic").await;
    let foreign = lab.add_node(other, "foreign").await;

    assert_eq!(nas.groups, ["ops", "web"]);
    assert_eq!(
        lab.store.nodes().list(Some(lab.network)).await.unwrap(),
        [attic.clone(), nas.clone()]
    );
    assert_eq!(lab.store.nodes().list(None).await.unwrap(), [attic, foreign, nas]);
}

pub(crate) async fn are_added_only_with_known_groups_a_free_name_and_a_new_key(lab: Lab) {
    let nas = lab.add_node(lab.network, "nas").await;

    let unknown = NewNode { groups: vec!["none".into()], ..lab.new_node(lab.network, "a") };
    let refused = lab.store.nodes().add(&unknown, &ADMIN).await;
    assert!(matches!(refused, Err(StoreError::NotFound("group"))), "{refused:?}");

    let refused = lab.store.nodes().add(&lab.new_node(lab.network, "nas"), &ADMIN).await;
    assert!(matches!(refused, Err(StoreError::Taken { what: "name", .. })), "{refused:?}");

    let other = lab.other_network().await;
    let again = NewNode { public_key: nas.public_key, ..lab.new_node(other, "nas") };
    let Err(StoreError::Taken { what, holder, .. }) = lab.store.nodes().add(&again, &ADMIN).await
    else {
        panic!("a public key is one node");
    };
    assert_eq!((what, holder.as_str()), ("public key", "another network"));
    assert_eq!(lab.store.nodes().list(None).await.unwrap().len(), 1);
}

pub(crate) async fn are_renamed_unless_the_name_is_taken(lab: Lab) {
    let nas = lab.add_node(lab.network, "nas").await;
    lab.add_node(lab.network, "attic").await;

    let refused = lab.store.nodes().rename(lab.network, nas.id, "attic", &ADMIN, START).await;
    assert!(matches!(refused, Err(StoreError::Taken { what: "name", .. })), "{refused:?}");

    let renamed = lab.store.nodes().rename(lab.network, nas.id, "cellar", &ADMIN, START).await;
    assert_eq!(renamed.unwrap().name, "cellar");
    assert_eq!(lab.store.nodes().list(None).await.unwrap()[1].name, "cellar");
}

pub(crate) async fn take_their_publications_and_memberships_with_them(lab: Lab) {
    let nas = lab.add_node(lab.network, "nas").await;
    let attic = lab.add_node(lab.network, "attic").await;
    lab.add_group(lab.network, "ops", vec![nas.id, attic.id]).await;
    lab.store.publications().put(&udp(&nas, "game", 7777), &ADMIN).await.unwrap();
    lab.store.publications().put(&http(&nas, "web", "web.example.org"), &ADMIN).await.unwrap();

    lab.store.nodes().delete(lab.network, nas.id, &ADMIN, START).await.unwrap();

    assert!(lab.store.publications().list(None).await.unwrap().is_empty());
    assert_eq!(lab.store.groups().list(lab.network).await.unwrap()[0].nodes, [attic.id]);
    lab.store.publications().put(&udp(&attic, "game", 7777), &ADMIN).await.unwrap();
    lab.store.publications().put(&http(&attic, "web", "web.example.org"), &ADMIN).await.unwrap();
}

pub(crate) async fn of_another_network_are_not_there(lab: Lab) {
    let other = lab.other_network().await;
    let nas = lab.add_node(lab.network, "nas").await;

    let renamed = lab.store.nodes().rename(other, nas.id, "mine", &ADMIN, START).await;
    assert!(matches!(renamed, Err(StoreError::NotFound("node"))), "{renamed:?}");
    let deleted = lab.store.nodes().delete(other, nas.id, &ADMIN, START).await;
    assert!(matches!(deleted, Err(StoreError::NotFound("node"))), "{deleted:?}");
    assert_eq!(lab.store.nodes().list(None).await.unwrap(), [nas]);
}
