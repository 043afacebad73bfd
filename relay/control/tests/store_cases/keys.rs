//! Join keys and API keys as things of their own.

use bore_api::model::{ApiKey, JoinKey, Scope};
use bore_control::store::StoreError;
use uuid::Uuid;

use super::lab::{ADMIN, Lab, SECRET, START, join_key};

pub(crate) async fn of_both_kinds_are_listed_newest_first(lab: Lab) {
    let first = lab.add_key(|_| ()).await;
    let second = lab.add_key(|key| key.created_at += 1).await;
    let ids: Vec<Uuid> =
        lab.store.join_keys().list(lab.network).await.unwrap().iter().map(|key| key.id).collect();
    assert_eq!(ids, [second, first]);

    let ours = add_api_key(&lab, Some(lab.network), START).await;
    let newer = add_api_key(&lab, Some(lab.network), START + 1).await;
    let clusters = add_api_key(&lab, None, START).await;
    assert_eq!(lab.store.api_keys().list(Some(lab.network)).await.unwrap(), [newer, ours]);
    assert_eq!(lab.store.api_keys().list(None).await.unwrap(), [clusters]);
}

pub(crate) async fn are_found_by_id_with_their_hash(lab: Lab) {
    let key = add_api_key(&lab, None, START).await;
    assert_eq!(lab.store.api_keys().find(key.id).await.unwrap(), Some((key, SECRET)));
    assert_eq!(lab.store.api_keys().find(Uuid::now_v7()).await.unwrap(), None);
}

pub(crate) async fn are_revoked_once(lab: Lab) {
    let api = add_api_key(&lab, None, START).await;
    let join = lab.add_key(|_| ()).await;
    for at in [START + 1, START + 2] {
        lab.store.api_keys().revoke(None, api.id, false, &ADMIN, at).await.unwrap();
        lab.store.join_keys().revoke(lab.network, join, &ADMIN, at).await.unwrap();
    }

    let revoked = lab.store.api_keys().find(api.id).await.unwrap().unwrap().0;
    assert_eq!(revoked.revoked_at, Some(START + 1));
    let revoked = lab.store.join_keys().list(lab.network).await.unwrap()[0].revoked_at;
    assert_eq!(revoked, Some(START + 1));
    let actions = lab.actions().await;
    assert_eq!(actions[actions.len() - 2..], ["api-key.revoke", "join-key.revoke"]);
}

pub(crate) async fn of_another_network_are_not_there(lab: Lab) {
    let other = lab.other_network().await;
    let api = add_api_key(&lab, Some(lab.network), START).await;
    let join = lab.add_key(|_| ()).await;

    for network in [Some(other), None] {
        let refused = lab.store.api_keys().revoke(network, api.id, false, &ADMIN, START).await;
        assert!(matches!(refused, Err(StoreError::NotFound("API key"))), "{refused:?}");
    }
    let refused = lab.store.join_keys().revoke(other, join, &ADMIN, START).await;
    assert!(matches!(refused, Err(StoreError::NotFound("join key"))), "{refused:?}");
    let foreign_group = ApiKey { network: Some(Uuid::now_v7()), ..api };
    let refused = lab.store.api_keys().create(&foreign_group, SECRET, &ADMIN).await;
    assert!(matches!(refused, Err(StoreError::NotFound("network"))), "{refused:?}");
}

/// As the last request of a leaked key, which was let in before the key was revoked and waits for its turn.
pub(crate) async fn are_not_made_by_one_that_was_revoked_meanwhile(lab: Lab) {
    let made_by = |maker: &ApiKey, at| ApiKey {
        id: Uuid::now_v7(),
        maker: Some(maker.id),
        created_at: at,
        ..maker.clone()
    };
    let maker = add_api_key(&lab, Some(lab.network), START).await;
    lab.store.api_keys().create(&made_by(&maker, START), SECRET, &ADMIN).await.unwrap();
    let late = lab.store.api_keys().create(&made_by(&maker, START * 2), SECRET, &ADMIN).await;
    assert!(matches!(late, Err(StoreError::MakerEnded)), "expired: {late:?}");

    lab.store
        .api_keys()
        .revoke(Some(lab.network), maker.id, true, &ADMIN, START + 1)
        .await
        .unwrap();
    let late = lab.store.api_keys().create(&made_by(&maker, START), SECRET, &ADMIN).await;
    assert!(matches!(late, Err(StoreError::MakerEnded)), "{late:?}");
    let join_key = JoinKey { maker: Some(maker.id), ..join_key(lab.network) };
    let late = lab.store.join_keys().create(&join_key, SECRET, &ADMIN).await;
    assert!(matches!(late, Err(StoreError::MakerEnded)), "{late:?}");
    let keys = lab.store.api_keys().list(Some(lab.network)).await.unwrap();
    assert!(keys.len() == 2 && keys.iter().all(|key| key.revoked_at.is_some()), "{keys:?}");
}

async fn add_api_key(lab: &Lab, network: Option<Uuid>, created_at: i64) -> ApiKey {
    let key = ApiKey {
        id: Uuid::now_v7(),
        network,
        description: "CI".to_owned(),
        scopes: vec![Scope::Read, Scope::NodesWrite],
        expires_at: START * 2,
        maker: None,
        created_at,
        revoked_at: None,
    };
    lab.store.api_keys().create(&key, SECRET, &ADMIN).await.unwrap();
    key
}
