//! Custom domains: whose they are, and how long they rest.

use bore_api::model::{Domain, Micros};
use bore_control::store::StoreError;
use uuid::Uuid;

use super::lab::{ADMIN, DAY, Lab, START};

pub(crate) async fn are_listed_by_name_and_asked_for_once(lab: Lab) {
    let shop = add(&lab, lab.network, "shop.example", START).await.unwrap();
    let app = add(&lab, lab.network, "app.example", START).await.unwrap();
    let again = add(&lab, lab.network, "shop.example", START + 1).await.unwrap();

    assert_eq!(again, shop);
    for network in [Some(lab.network), None] {
        assert_eq!(lab.store.domains().list(network).await.unwrap(), [app.clone(), shop.clone()]);
    }
    let actions = lab.actions().await;
    assert_eq!(actions.iter().filter(|action| *action == "domain.create").count(), 2);
}

pub(crate) async fn are_proved_by_one_network_and_cover_what_lies_below(lab: Lab) {
    let other = lab.other_network().await;
    let ours = add(&lab, lab.network, "shop.example", START).await.unwrap();
    let theirs = add(&lab, other, "shop.example", START).await.unwrap();

    let proved = lab.store.domains().verify(lab.network, ours.id, &ADMIN, START + 5).await.unwrap();
    assert_eq!(proved, Domain { verified_at: Some(START + 5), ..ours.clone() });
    let again = lab.store.domains().verify(lab.network, ours.id, &ADMIN, START + 9).await.unwrap();
    assert_eq!(again, proved, "proving it again changes nothing");

    assert_taken(lab.store.domains().verify(other, theirs.id, &ADMIN, START + 6).await);
    for name in ["a.shop.example", "b.a.shop.example"] {
        assert_taken(add(&lab, other, name, START).await);
        add(&lab, lab.network, name, START).await.unwrap();
    }
    add(&lab, other, "example", START).await.unwrap();
    add(&lab, other, "myshop.example", START).await.unwrap();
    lab.assert_intact().await;
}

pub(crate) async fn rest_for_thirty_days_and_only_for_others(lab: Lab) {
    let other = lab.other_network().await;
    let pending = add(&lab, lab.network, "asked.example", START).await.unwrap();
    lab.store.domains().release(lab.network, pending.id, &ADMIN, START).await.unwrap();
    add(&lab, other, "asked.example", START).await.unwrap();

    let shop = proved(&lab, lab.network, "shop.example").await;
    lab.store.domains().release(lab.network, shop.id, &ADMIN, START).await.unwrap();
    assert_eq!(lab.store.end_rests(START + 30 * DAY - 1).await.unwrap(), 0);
    let ahead = START + 400 * DAY;
    assert_taken(add(&lab, other, "shop.example", ahead).await);
    assert_taken(add(&lab, other, "a.shop.example", ahead).await);
    let back = add(&lab, lab.network, "shop.example", START + DAY).await.unwrap();
    assert_eq!(back.verified_at, None, "the proof is asked for again");
    assert_taken(add(&lab, other, "shop.example", START + 2 * DAY).await);
    lab.store.domains().release(lab.network, back.id, &ADMIN, START + 2 * DAY).await.unwrap();
    assert_taken(add(&lab, other, "shop.example", START + 30 * DAY - 1).await);

    assert_eq!(lab.store.end_rests(START + 30 * DAY).await.unwrap(), 1);
    let free = add(&lab, other, "shop.example", START + 30 * DAY).await.unwrap();
    lab.store.domains().verify(other, free.id, &ADMIN, START + 30 * DAY).await.unwrap();
    assert_taken(add(&lab, lab.network, "shop.example", START + 31 * DAY).await);
}

pub(crate) async fn that_rest_are_an_administrators_to_give(lab: Lab) {
    let other = lab.other_network().await;
    let team = proved(&lab, lab.network, "team.t.example.org").await;
    let given = |network| Domain {
        id: Uuid::now_v7(),
        network,
        verified_at: Some(START + DAY),
        created_at: START + DAY,
        ..team.clone()
    };
    assert_taken(lab.store.domains().add(&given(other), &ADMIN).await);
    lab.store.domains().release(lab.network, team.id, &ADMIN, START).await.unwrap();
    assert_taken(add(&lab, other, "team.t.example.org", START + DAY).await);
    lab.store.domains().add(&given(other), &ADMIN).await.unwrap();
}

pub(crate) async fn of_a_removed_network_rest_too(lab: Lab) {
    let other = lab.other_network().await;
    proved(&lab, other, "shop.example").await;
    lab.store.networks().delete(other, &ADMIN, START).await.unwrap();

    assert!(lab.store.domains().list(None).await.unwrap().is_empty());
    assert_taken(add(&lab, lab.network, "shop.example", START + DAY).await);
    lab.store.end_rests(START + 30 * DAY).await.unwrap();
    add(&lab, lab.network, "shop.example", START + 30 * DAY).await.unwrap();
}

pub(crate) async fn of_another_network_are_not_there(lab: Lab) {
    let other = lab.other_network().await;
    let shop = add(&lab, lab.network, "shop.example", START).await.unwrap();

    let verified = lab.store.domains().verify(other, shop.id, &ADMIN, START).await;
    assert!(matches!(verified, Err(StoreError::NotFound("domain"))), "{verified:?}");
    let released = lab.store.domains().release(other, shop.id, &ADMIN, START).await;
    assert!(matches!(released, Err(StoreError::NotFound("domain"))), "{released:?}");
    assert!(lab.store.domains().list(Some(other)).await.unwrap().is_empty());
    let nowhere = add(&lab, Uuid::now_v7(), "x.example", START).await;
    assert!(matches!(nowhere, Err(StoreError::NotFound("network"))), "{nowhere:?}");
}

async fn add(
    lab: &Lab,
    network: Uuid,
    name: &str,
    created_at: Micros,
) -> Result<Domain, StoreError> {
    let name = name.to_owned();
    let domain = Domain { id: Uuid::now_v7(), network, name, created_at, verified_at: None };
    lab.store.domains().add(&domain, &ADMIN).await
}

async fn proved(lab: &Lab, network: Uuid, name: &str) -> Domain {
    let domain = add(lab, network, name, START).await.unwrap();
    lab.store.domains().verify(network, domain.id, &ADMIN, START).await.unwrap()
}

fn assert_taken(result: Result<Domain, StoreError>) {
    match result {
        Err(StoreError::Taken { what: "domain", holder, .. }) => {
            assert_eq!(holder, "another network");
        }
        other => panic!("{other:?}"),
    }
}
