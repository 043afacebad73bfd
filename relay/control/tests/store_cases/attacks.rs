//! Attacks on the way in: `attacks.md` 1 and 2.

use bore_control::store::{JoinError, JoinRefusals, JoinRequest};
use uuid::Uuid;

use super::lab::{ADMIN, Engine, Lab, START, audit_key};

#[tokio::test(flavor = "multi_thread")]
async fn attack_01_a_one_off_key_lets_one_of_200_in_on_sqlite() {
    let lab = Engine::Sqlite.lab().await;
    one_of_200_gets_in(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_01_a_one_off_key_lets_one_of_200_in_on_postgresql() {
    let lab = Engine::postgres().lab().await;
    one_of_200_gets_in(&lab).await;
}

/// All at once, half of them through a second relay.
async fn one_of_200_gets_in(lab: &Lab) {
    let second = bore_control::store::create(&lab.url, &lab.path(""), audit_key()).await.unwrap();
    let key = lab.add_key(|key| key.uses_max = Some(1)).await;
    let joins = (0..200).map(|number| {
        let store = if number % 2 == 0 { lab.store.clone() } else { second.clone() };
        let request = lab.request(key);
        tokio::spawn(async move { store.nodes().join(&request).await })
    });

    let mut joined = 0;
    let mut spent = 0;
    for answer in futures_util::future::join_all(joins).await {
        match answer.unwrap() {
            Ok(_) => joined += 1,
            Err(JoinError::Spent) => spent += 1,
            Err(other) => panic!("{other:?}"),
        }
    }

    assert_eq!((joined, spent), (1, 199));
    assert_eq!(lab.store.nodes().list(None).await.unwrap().len(), 1);
    assert_eq!(lab.store.join_keys().list(lab.network).await.unwrap()[0].uses, 1);
    let actions = lab.actions().await;
    let count = |wanted: &str| actions.iter().filter(|action| *action == wanted).count();
    assert_eq!((count("node.join"), count("node.join_refused")), (1, 0));
    lab.assert_intact().await;
}

pub(crate) async fn attack_02_only_who_proves_the_secret_learns_why(lab: Lab) {
    let expired = lab.add_key(|key| key.expires_at = Some(START)).await;
    let spent = lab.add_key(|key| (key.uses_max, key.uses) = (Some(3), 3)).await;
    let revoked = lab.add_key(|_| ()).await;
    lab.store.join_keys().revoke(lab.network, revoked, &ADMIN, START).await.unwrap();
    let elsewhere = lab.add_key(|_| ()).await;
    let other = lab.other_network().await;

    let cases = [
        (lab.request(expired), "the join key expired"),
        (lab.request(spent), "the join key is spent"),
        (lab.request(revoked), "the join key was revoked"),
        (
            JoinRequest { network: other, ..lab.request(elsewhere) },
            "the join key belongs to another network",
        ),
    ];
    for (request, why) in cases {
        let told = lab.store.nodes().join(&request).await.unwrap_err();
        assert_eq!(told.to_string(), why);
        let guess = JoinRequest { secret_hash: [8; 32], ..request };
        let told = lab.store.nodes().join(&guess).await.unwrap_err();
        assert!(matches!(told, JoinError::Invalid), "{told:?}");
    }
    assert!(lab.store.nodes().list(None).await.unwrap().is_empty());
    assert!(!lab.actions().await.contains(&"node.join_refused".to_owned()));
}

pub(crate) async fn attack_02_refused_joins_are_one_row_with_their_count(lab: Lab) {
    let key = lab.add_key(|_| ()).await;
    let refusals = JoinRefusals {
        key,
        why: "the join key was revoked".to_owned(),
        name: "laptop".to_owned(),
        public_key: "public-key".to_owned(),
        count: 1_430,
        at: START,
    };
    lab.store.nodes().note_join_refusals(&refusals).await.unwrap();

    let row = lab.store.audit().list(None, Some("refused"), 0, 10).await.unwrap().pop().unwrap();
    assert_eq!((row.actor, row.network), (format!("join-key:{key}"), Some(lab.network)));
    assert_eq!(row.detail["count"], 1_430);
    assert_eq!(row.detail["why"], refusals.why);
    let rows = lab.actions().await.len();
    let gone = JoinRefusals { key: Uuid::now_v7(), ..refusals };
    lab.store.nodes().note_join_refusals(&gone).await.unwrap();
    assert_eq!(lab.actions().await.len(), rows);
}

pub(crate) async fn attack_02_strangers_write_nothing(lab: Lab) {
    let key = lab.add_key(|_| ()).await;
    let rows = lab.actions().await;
    let guesses = [
        JoinRequest { secret_hash: [8; 32], ..lab.request(key) },
        JoinRequest { secret_hash: [0; 32], ..lab.request(Uuid::now_v7()) },
        lab.request(Uuid::now_v7()),
    ];
    for guess in guesses {
        let told = lab.store.nodes().join(&guess).await.unwrap_err();
        assert!(matches!(told, JoinError::Invalid), "{told:?}");
    }
    assert_eq!(lab.actions().await, rows);
}
