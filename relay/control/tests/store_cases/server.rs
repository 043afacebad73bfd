//! The cluster's engine: what only a server does.

use bore_api::model::Network;
use bore_control::store::{self, StoreError};
use uuid::Uuid;

use super::files::newer_schema_is_refused;
use super::lab::{ADMIN, Engine, Lab, START, audit_key};
use super::silent_server;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_as_strict_as_a_file() {
    let engine = Engine::postgres();
    newer_schema_is_refused(&engine.lab().await).await;
    lost_races_are_run_again(&engine.lab().await).await;
    races_lost_too_often_are_the_callers(&engine.lab().await).await;
    relays_that_start_together_take_turns(&engine.lab().await).await;
    a_backup_names_the_servers_own_tool(&engine.lab().await).await;
    no_password_is_shown(&engine.lab().await).await;
    sessions_that_were_ended_are_replaced(&engine.lab().await).await;
    a_server_that_was_read_only_takes_changes_again(&engine.lab().await).await;
    a_commit_that_was_not_made_is_called_so(&engine.lab().await).await;
    a_commit_that_was_made_is_acknowledged_although_its_answer_was_lost(&engine.lab().await).await;
    let lab = engine.lab().await;
    Box::pin(silent_server::sessions_that_fell_silent_are_replaced(&lab)).await;
    silent_server::sessions_that_fall_silent_after_their_change_are_replaced(&engine.lab().await)
        .await;
    silent_server::a_server_that_says_nothing_ends_the_start(&engine.lab().await).await;
}

async fn sessions_that_were_ended_are_replaced(lab: &Lab) {
    for round in 0..5 {
        lab.tamper(END_SESSIONS).await.unwrap();
        lab.store.networks().create(&network(&format!("n{round}")), &ADMIN).await.unwrap();
        lab.store.networks().list().await.unwrap();
    }
    lab.assert_intact().await;
}

/// As after a failover to a standby: the sessions that began meanwhile would stay read-only for ever.
async fn a_server_that_was_read_only_takes_changes_again(lab: &Lab) {
    let (address, _) = lab.url.split_once('?').unwrap();
    let (_, name) = address.rsplit_once('/').unwrap();
    let set = |value| {
        format!("BEGIN READ WRITE; ALTER DATABASE {name} {value} default_transaction_read_only")
    };
    lab.tamper(&format!("{} = on; COMMIT", set("SET"))).await.unwrap();
    lab.tamper(END_SESSIONS).await.unwrap();
    let never = network("never");
    for _ in 0..4 {
        let (one, other, health) = tokio::join!(
            lab.store.networks().create(&never, &ADMIN),
            lab.store.networks().delete(lab.network, &ADMIN, START),
            lab.store.probe(START)
        );
        for refused in [one, other, health] {
            assert!(matches!(refused, Err(StoreError::ReadOnly)), "{refused:?}");
        }
    }
    assert_eq!(lab.store.networks().list().await.unwrap().len(), 1, "reads go on");

    lab.tamper(&format!("{}; COMMIT", set("RESET"))).await.unwrap();
    lab.store.probe(START).await.unwrap();
    lab.store.networks().create(&network("again"), &ADMIN).await.unwrap();
    lab.assert_intact().await;
}

async fn a_commit_that_was_not_made_is_called_so(lab: &Lab) {
    lab.tamper(
        "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER leave AFTER INSERT ON networks DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION leave()",
    )
    .await
    .unwrap();
    let lost = lab.store.networks().create(&network("lost"), &ADMIN).await.unwrap_err();
    assert!(matches!(lost, StoreError::Database(_)), "{lost:?}");
    assert_eq!(lab.store.networks().list().await.unwrap().len(), 1);

    lab.tamper("DROP TRIGGER leave ON networks").await.unwrap();
    lab.store.networks().create(&network("kept"), &ADMIN).await.unwrap();
    lab.assert_intact().await;
}

/// A server that waits for a standby has made the change before it answers.
async fn a_commit_that_was_made_is_acknowledged_although_its_answer_was_lost(lab: &Lab) {
    let set = async |statement: &str| {
        lab.tamper(statement).await.unwrap();
        lab.tamper("SELECT pg_reload_conf()").await.unwrap();
    };
    set("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    let waits = "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep') \
                 THEN RAISE EXCEPTION 'not yet'; END IF; END $$";
    let mut made = 1;
    let change = loop {
        let (store, name) = (lab.store.clone(), format!("made-{made}"));
        let change =
            tokio::spawn(async move { store.networks().create(&network(&name), &ADMIN).await });
        made += 1;
        while !change.is_finished() && lab.tamper(waits).await.is_err() {}
        if !change.is_finished() {
            break change;
        }
        // The server learns of the standby a moment after it was told.
        change.await.unwrap().unwrap();
        assert!(made < 1_000, "no change waits for the standby");
    };
    lab.tamper(END_SESSIONS).await.unwrap();
    set("ALTER SYSTEM RESET synchronous_standby_names").await;

    change.await.unwrap().unwrap();
    assert_eq!(lab.store.networks().list().await.unwrap().len(), made);
    lab.assert_intact().await;
}

async fn lost_races_are_run_again(lab: &Lab) {
    lab.tamper(&failing_first(3)).await.unwrap();
    lab.store.networks().create(&network("late"), &ADMIN).await.unwrap();
    lab.assert_intact().await;
    assert_eq!(lab.actions().await.len(), 2, "only the last try was kept");
}

async fn races_lost_too_often_are_the_callers(lab: &Lab) {
    lab.tamper(&failing_first(1_000)).await.unwrap();
    let refused = lab.store.networks().create(&network("late"), &ADMIN).await;
    assert!(matches!(refused, Err(StoreError::Database(_))), "{refused:?}");
    lab.assert_intact().await;
}

async fn relays_that_start_together_take_turns(lab: &Lab) {
    lab.tamper("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await.unwrap();
    let folder = lab.path("");
    let opens = (0..4).map(|_| store::create(&lab.url, &folder, audit_key()));
    for opened in futures_util::future::join_all(opens).await {
        opened.unwrap().probe(START).await.unwrap();
    }
}

async fn a_backup_names_the_servers_own_tool(lab: &Lab) {
    let refused = lab.store.backup(&lab.path("copy")).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Unsupported(text) if text.contains("pg_dump")));
}

async fn no_password_is_shown(lab: &Lab) {
    let url = lab.url.replace("postgres@", "postgres:hunter2@");
    let opened = store::create(&url, &lab.path(""), audit_key()).await.unwrap();
    assert!(!format!("{opened:?}").contains("hunter2"), "{opened:?}");
}

/// Makes the first `count` commits of an audit row fail as a lost race does. Sequences do not roll back, so it counts tries.
fn failing_first(count: u32) -> String {
    format!(
        "CREATE SEQUENCE tries; \
         CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF nextval('tries') <= {count} THEN RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END IF; \
         RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON audit DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION lose()"
    )
}

/// Ends the sessions of every relay, as a restart or a failover of the server does.
const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
     WHERE application_name = 'bore' AND datname = current_database()";

pub(crate) fn network(name: &str) -> Network {
    Network { id: Uuid::now_v7(), name: name.to_owned(), created_at: START }
}
