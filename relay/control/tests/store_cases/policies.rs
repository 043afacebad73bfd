//! Policies.

use bore_api::model::Policy;
use bore_control::store::StoreError;
use bore_policy::PolicyDocument;
use uuid::Uuid;

use super::lab::{ADMIN, Lab, START};

pub(crate) async fn count_revisions_and_refuse_a_stale_writer(lab: Lab) {
    let wanted = policy(lab.network, "main");
    let first = lab.store.policies().put(&wanted, 0, &ADMIN).await.unwrap();
    assert_eq!(first, Policy { revision: 1, ..wanted.clone() });
    let second = Policy { id: Uuid::now_v7(), updated_at: START + 1, ..wanted };
    let second = lab.store.policies().put(&second, 1, &ADMIN).await.unwrap();
    assert_eq!((second.id, second.revision), (first.id, 2));

    for stale in [0, 1, 3] {
        let refused = lab.store.policies().put(&first, stale, &ADMIN).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    }
    assert_eq!(lab.store.policies().list(lab.network).await.unwrap(), [second]);
}

pub(crate) async fn are_removed_and_begin_again(lab: Lab) {
    let main = policy(lab.network, "main");
    lab.store.policies().put(&main, 0, &ADMIN).await.unwrap();
    let other = lab.other_network().await;
    let refused = lab.store.policies().delete(other, "main", &ADMIN, START).await;
    assert!(matches!(refused, Err(StoreError::NotFound("policy"))), "{refused:?}");

    lab.store.policies().delete(lab.network, "main", &ADMIN, START).await.unwrap();

    let refused = lab.store.policies().put(&main, 1, &ADMIN).await;
    assert!(matches!(refused, Err(StoreError::NotFound("policy"))), "{refused:?}");
    assert_eq!(lab.store.policies().put(&main, 0, &ADMIN).await.unwrap().revision, 1);
}

/// A policy with one rule.
pub(crate) fn policy(network: Uuid, name: &str) -> Policy {
    let document = serde_json::json!({
        "visit": [{ "name": "office", "effect": "allow", "from": ["10.0.0.0/8"], "to": ["any"] }]
    });
    let document: PolicyDocument = serde_json::from_value(document).unwrap();
    Policy {
        id: Uuid::now_v7(),
        network,
        name: name.to_owned(),
        revision: 0,
        document,
        updated_at: START,
    }
}
