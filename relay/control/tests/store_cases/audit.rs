//! The audit trail: what it says, and what it shows when somebody went behind the store's back.

use bore_api::AuditPoint;
use bore_api::model::{Actor, Network};
use bore_control::event::{Event, Subject};
use bore_control::store::{AuditVerdict, AuditWalk, StoreError};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::lab::{ADMIN, DAY, Lab, START, audit_key, intact_rows, udp};

pub(crate) async fn names_actor_action_and_thing_of_every_change(lab: Lab) {
    let admin = Actor::ApiKey(Uuid::from_u128(5));
    let node = lab.store.nodes().add(&lab.new_node(lab.network, "nas"), &admin).await.unwrap();
    let by_node = Actor::Node(node.id);
    let game = lab.store.publications().put(&udp(&node, "game", 7777), &by_node).await.unwrap();
    lab.store.publications().delete(lab.network, game.id, &by_node, START + 7).await.unwrap();

    let rows = lab.store.audit().list(None, None, 0, 1_000).await.unwrap();
    let told: Vec<(&str, &str, &str)> =
        rows.iter().map(|row| (&*row.actor, &*row.action, &*row.subject)).collect();
    let (home, node, game) = (lab.network.to_string(), node.id.to_string(), game.id.to_string());
    let actor = format!("node:{node}");
    assert_eq!(
        told,
        [
            ("system", "network.create", &*home),
            ("key:00000000-0000-0000-0000-000000000005", "node.add", &*node),
            (&*actor, "publication.create", &*game),
            (&*actor, "publication.delete", &*game),
        ]
    );
    assert_eq!(rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(rows[3].at, START + 7);
    assert_eq!(rows[2].detail["public_port"], 7777);
    assert_eq!(rows[0].previous_hash, "0".repeat(64));
    assert_eq!(rows[1].previous_hash, rows[0].hash);
    assert_eq!(intact_rows(&lab.store).await, 4);
}

pub(crate) async fn is_not_written_when_nothing_changed(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    let rows = lab.actions().await;
    lab.store.nodes().rename(lab.network, node.id, "nas", &ADMIN, START).await.unwrap();
    lab.store.nodes().delete(lab.network, Uuid::now_v7(), &ADMIN, START).await.unwrap_err();
    assert_eq!(lab.actions().await, rows);
}

pub(crate) async fn is_searched_by_text_and_network_and_paged(lab: Lab) {
    let other = lab.other_network().await;
    for name in ["nas", "attic", "nas-2"] {
        lab.add_node(lab.network, name).await;
    }
    lab.add_node(other, "nas").await;

    let found = async |network, text, after, limit| {
        let rows = lab.store.audit().list(network, text, after, limit).await.unwrap();
        rows.into_iter().map(|row| row.sequence).collect::<Vec<_>>()
    };
    assert_eq!(found(None, Some("NAS"), 0, 1_000).await, [3, 5, 6]);
    assert_eq!(found(Some(lab.network), Some("nas"), 0, 1_000).await, [3, 5]);
    assert_eq!(found(Some(lab.network), None, 3, 1_000).await, [4, 5]);
    assert_eq!(found(None, None, 1, 2).await, [2, 3]);
    for wildcard in ["n_s", "n%s", "%", "!"] {
        assert!(found(None, Some(wildcard), 0, 1_000).await.is_empty(), "{wildcard}");
    }
}

pub(crate) async fn keeps_hostile_text_as_it_was(lab: Lab) {
    let name = "a\r\n\u{1b}[31m\u{202e}'; DROP TABLE audit; -- \"\\%_";
    lab.add_network(Uuid::now_v7(), name).await;

    let rows = lab.store.audit().list(None, Some("drop table"), 0, 10).await.unwrap();
    assert_eq!(rows[0].detail["name"], name);
    lab.assert_intact().await;
}

pub(crate) async fn stays_linear_under_parallel_writers(lab: Lab) {
    let second = bore_control::store::create(&lab.url, &lab.path(""), audit_key()).await.unwrap();
    let writes = (0..60).map(|number| {
        let store = if number % 2 == 0 { lab.store.clone() } else { second.clone() };
        let name = format!("network-{number}");
        tokio::spawn(async move {
            let network = Network { id: Uuid::now_v7(), name, created_at: START };
            store.networks().create(&network, &ADMIN).await.unwrap();
        })
    });
    for write in futures_util::future::join_all(writes).await {
        write.unwrap();
    }
    assert_eq!(intact_rows(&lab.store).await, 61);
}

pub(crate) async fn refuses_change_removal_and_gaps_in_the_tables(lab: Lab) {
    let blank = if lab.is_sqlite() { "zeroblob(32)" } else { "decode(repeat('00', 32), 'hex')" };
    let insert =
        format!("INSERT INTO audit VALUES (9, NULL, 1, 'a', 'b', 'c', '{{}}', {blank}, {blank})");
    for statement in [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "DELETE FROM audit_head",
        "INSERT INTO audit_checkpoint SELECT 1, 0, hash, signature FROM audit_head; DELETE FROM audit_checkpoint",
        insert.as_str(),
    ] {
        let refused = lab.tamper(statement).await.unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{statement}: {refused}");
    }
}

pub(crate) async fn shows_an_edited_row(lab: Lab) {
    for column in ["actor", "action", "subject", "detail"] {
        let lab = TenRows::again(&lab).await;
        lab.tamper(&format!("UPDATE audit SET {column} = 'x' WHERE sequence = 4")).await;
        lab.assert_broken_at(4).await;
        lab.restore().await;
    }
}

pub(crate) async fn shows_a_removed_row(lab: Lab) {
    let lab = TenRows::again(&lab).await;
    lab.tamper("DELETE FROM audit WHERE sequence = 4").await;
    lab.assert_broken_at(4).await;
}

pub(crate) async fn shows_a_truncated_end(lab: Lab) {
    let lab = TenRows::again(&lab).await;
    lab.tamper("DELETE FROM audit WHERE sequence > 7").await;
    lab.assert_broken_at(8).await;
    lab.tamper("DELETE FROM audit").await;
    lab.assert_broken_at(1).await;
}

pub(crate) async fn shows_reordered_rows(lab: Lab) {
    let lab = TenRows::again(&lab).await;
    lab.tamper("UPDATE audit SET sequence = -sequence WHERE sequence IN (4, 5)").await;
    lab.tamper("UPDATE audit SET sequence = 9 + sequence WHERE sequence < 0").await;
    lab.assert_broken_at(4).await;
}

pub(crate) async fn shows_an_added_row(lab: Lab) {
    let lab = TenRows::again(&lab).await;
    lab.tamper(
        "INSERT INTO audit SELECT 11, network, at, actor, action, subject, detail, previous_hash, hash \
         FROM audit WHERE sequence = 10",
    )
    .await;
    lab.assert_broken_at(11).await;
}

pub(crate) async fn shows_a_truncated_end_whose_head_was_moved(lab: Lab) {
    let lab = TenRows::again(&lab).await;
    lab.tamper("DELETE FROM audit WHERE sequence > 7").await;
    lab.tamper(
        "UPDATE audit_head SET sequence = 7, hash = (SELECT hash FROM audit WHERE sequence = 7)",
    )
    .await;
    lab.assert_broken_at(7).await;
    lab.tamper("UPDATE audit_head SET signature = NULL").await;
    lab.assert_broken_at(7).await;
}

pub(crate) async fn shows_a_chain_that_was_computed_anew(lab: Lab) {
    let lab = TenRows::again(&lab).await;
    lab.tamper("UPDATE audit SET actor = 'system' WHERE sequence = 4").await;
    lab.tamper("UPDATE audit SET subject = 'forged' WHERE sequence = 4").await;
    lab.compute_anew().await;
    lab.assert_broken_at(10).await;
    let again = bore_control::store::open(&lab.lab.url, &lab.lab.path(""), audit_key()).await;
    drop(again.unwrap());
    lab.assert_broken_at(10).await;
}

pub(crate) async fn shows_what_was_forged_also_after_the_next_change(lab: Lab) {
    {
        let lab = TenRows::again(&lab).await;
        lab.tamper("DELETE FROM audit WHERE sequence > 7").await;
        lab.tamper(
            "UPDATE audit_head SET sequence = 7, hash = (SELECT hash FROM audit WHERE sequence = 7)",
        )
        .await;
    }
    lab.add_network(Uuid::now_v7(), "later").await;
    TenRows { lab: &lab }.assert_broken_at(8).await;

    TenRows { lab: &lab }.tamper("UPDATE audit SET subject = 'forged' WHERE sequence = 4").await;
    TenRows { lab: &lab }.compute_anew().await;
    lab.add_network(Uuid::now_v7(), "latest").await;
    TenRows { lab: &lab }.assert_broken_at(9).await;
}

pub(crate) async fn keeps_rows_that_were_made_to_look_old(lab: Lab) {
    let rows = TenRows::again(&lab).await;
    rows.tamper("UPDATE audit SET at = 1 WHERE sequence <= 5").await;
    let refused = lab.store.audit().trim(START, START).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    rows.assert_broken_at(1).await;
    assert_eq!(lab.actions().await.len(), 10);

    rows.compute_anew().await;
    let refused = lab.store.audit().trim(START, START).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert_eq!(lab.actions().await.len(), 10);
}

/// As after a relay that died when it had made the table for it.
pub(crate) async fn is_signed_although_the_relay_died_before_it_was(lab: Lab) {
    lab.tamper("UPDATE audit_head SET signature = NULL").await.unwrap();
    lab.tamper("DELETE FROM _sqlx_migrations WHERE version >= 9").await.unwrap();
    for table in ["resting_hostnames", "network_leases"] {
        lab.tamper(&format!("DROP TABLE {table}")).await.unwrap();
    }
    lab.tamper("ALTER TABLE publications DROP COLUMN options").await.unwrap();
    for column in ["host_header TEXT", "tls_min TEXT", "health TEXT", "health_interval INTEGER"] {
        lab.tamper(&format!("ALTER TABLE publications ADD COLUMN {column}")).await.unwrap();
    }
    lab.tamper("DROP INDEX leases_resting_of_network").await.unwrap();
    lab.tamper("ALTER TABLE leases DROP COLUMN network").await.unwrap();
    for table in ["api_keys", "join_keys"] {
        lab.tamper(&format!("DROP INDEX {table}_maker")).await.unwrap();
        lab.tamper(&format!("ALTER TABLE {table} DROP COLUMN maker")).await.unwrap();
    }
    let store = bore_control::store::open(&lab.url, &lab.path(""), audit_key()).await.unwrap();
    assert_eq!(intact_rows(&store).await, 1);
    assert!(store.join_keys().list(lab.network).await.unwrap().is_empty(), "the schema is whole");
}

pub(crate) async fn holds_what_is_expected_of_it_or_says_so(lab: Lab) {
    let old = head(&lab).await;
    let rows = TenRows::again(&lab).await;
    let look = async |expected| {
        let walk = AuditWalk { expected: Some(expected), ..AuditWalk::default() };
        lab.store.audit().verify(&walk).await.unwrap()
    };
    assert!(matches!(look(old).await, AuditVerdict::Intact { rows: 10, .. }));
    let forged = AuditPoint { hash: [9; 32], ..old };
    assert!(matches!(look(forged).await, AuditVerdict::Broken { sequence: 1, .. }));

    // The whole database as it was at an earlier time, signature included.
    let new = head(&lab).await;
    rows.tamper("CREATE TABLE head_then AS SELECT * FROM audit_head").await;
    lab.add_network(Uuid::now_v7(), "hidden").await;
    let newest = head(&lab).await;
    rows.tamper("DELETE FROM audit WHERE sequence > 10").await;
    rows.tamper(
        "UPDATE audit_head SET sequence = 10, hash = (SELECT hash FROM head_then), \
         signature = (SELECT signature FROM head_then)",
    )
    .await;
    assert!(matches!(look(new).await, AuditVerdict::Intact { .. }));
    assert!(matches!(look(newest).await, AuditVerdict::Broken { sequence: 11, .. }));
}

pub(crate) async fn is_verified_a_page_at_a_time(lab: Lab) {
    TenRows::again(&lab).await;
    let mut walk = AuditWalk { rows_max: 3, ..AuditWalk::default() };
    let mut looks = Vec::new();
    loop {
        match lab.store.audit().verify(&walk).await.unwrap() {
            AuditVerdict::Continues { rows, last } => {
                looks.push(rows);
                walk.after = Some(last);
            }
            AuditVerdict::Intact { rows, head } => {
                looks.push(rows);
                assert_eq!(head.sequence, 10);
                break;
            }
            broken @ AuditVerdict::Broken { .. } => panic!("{broken:?}"),
        }
    }
    assert_eq!(looks, [3, 3, 3, 1]);
    walk.after = Some(AuditPoint { sequence: 3, hash: [1; 32] });
    let verdict = lab.store.audit().verify(&walk).await.unwrap();
    assert!(matches!(verdict, AuditVerdict::Broken { sequence: 4, .. }), "{verdict:?}");
}

pub(crate) async fn loses_old_rows_behind_a_signed_checkpoint(lab: Lab) {
    let event = |at| Event {
        at,
        network: None,
        actor: ADMIN,
        subject: Subject::Act { action: "relay.drain", subject: "relay".to_owned() },
    };
    for day in 1..10 {
        lab.store.audit().note(&event(START + day * DAY)).await.unwrap();
    }
    let trimmed =
        async |day: i64| lab.store.audit().trim(START + day * DAY, START + 99 * DAY).await;
    assert_eq!(trimmed(1).await.unwrap(), 0, "the oldest is not a day older than that");
    assert_eq!(trimmed(5).await.unwrap(), 5);
    assert_eq!(trimmed(5).await.unwrap(), 0);

    let rows = lab.store.audit().list(None, None, 0, 100).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), [6, 7, 8, 9, 10, 11]);
    let (told, last) = (&rows[5], &rows[0].previous_hash);
    assert_eq!((&*told.action, &*told.actor), ("audit.trim", "system"));
    assert_eq!((&told.subject, &told.detail["rows"]), (&format!("5:{last}"), &5.into()));
    assert_eq!(intact_rows(&lab.store).await, 6);
    assert!(lab.tamper("DELETE FROM audit WHERE sequence = 6").await.is_err());
    let expect = async |text: String| {
        let walk = AuditWalk { expected: Some(text.parse().unwrap()), ..AuditWalk::default() };
        matches!(lab.store.audit().verify(&walk).await.unwrap(), AuditVerdict::Intact { .. })
    };
    assert!(expect(format!("5:{last}")).await);
    assert!(!expect(format!("5:{}", "0".repeat(64))).await);
    assert!(!expect(format!("4:{}", "0".repeat(64))).await, "it cannot be known any more");

    let lab = TenRows::again(&lab).await;
    lab.tamper("UPDATE audit_checkpoint SET sequence = 7, hash = (SELECT hash FROM audit WHERE sequence = 7)")
        .await;
    lab.tamper("DELETE FROM audit WHERE sequence <= 7").await;
    lab.assert_broken_at(7).await;
}

async fn head(lab: &Lab) -> AuditPoint {
    match lab.store.audit().verify(&AuditWalk::default()).await.unwrap() {
        AuditVerdict::Intact { head, .. } => head,
        verdict @ (AuditVerdict::Continues { .. } | AuditVerdict::Broken { .. }) => {
            panic!("{verdict:?}")
        }
    }
}

pub(crate) async fn of_many_pages_is_verified_whole(lab: Lab) {
    let rows = 2_000;
    for _ in 0..rows / 2 {
        let group = lab.add_group(lab.network, "ops", Vec::new()).await;
        lab.store.groups().delete(lab.network, group.id, &ADMIN, START).await.unwrap();
    }
    assert_eq!(intact_rows(&lab.store).await, rows + 1);
    assert_eq!(lab.store.audit().list(None, None, 0, u32::MAX).await.unwrap().len(), 1_000);
}

/// A trail of ten rows whose tables no longer defend themselves, as an attacker with the file has it.
struct TenRows<'a> {
    lab: &'a Lab,
}

impl<'a> TenRows<'a> {
    async fn again(lab: &'a Lab) -> Self {
        while lab.actions().await.len() < 10 {
            lab.add_network(Uuid::now_v7(), &Uuid::now_v7().to_string()).await;
        }
        lab.assert_intact().await;
        let disarm = if lab.is_sqlite() {
            "DROP TRIGGER IF EXISTS audit_refuses_update; DROP TRIGGER IF EXISTS audit_refuses_delete; \
             DROP TRIGGER IF EXISTS audit_refuses_gap; DROP TRIGGER IF EXISTS audit_checkpoint_refuses_return; \
             CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM audit"
        } else {
            "ALTER TABLE audit DISABLE TRIGGER ALL; ALTER TABLE audit_checkpoint DISABLE TRIGGER ALL; CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM audit"
        };
        lab.tamper(disarm).await.unwrap();
        Self { lab }
    }

    async fn tamper(&self, statement: &str) {
        self.lab.tamper(statement).await.unwrap();
    }

    /// Gives every row the hash that belongs to its content and the row before, as an attacker does who knows the format but has no key.
    async fn compute_anew(&self) {
        let mut previous = [0; 32];
        for row in self.lab.store.audit().list(None, None, 0, 1_000).await.unwrap() {
            let network = row.network.map(Uuid::into_bytes);
            let detail = row.detail.to_string();
            let fields: [&[u8]; 9] = [
                b"bore audit row v1",
                &row.sequence.to_be_bytes(),
                network.as_ref().map_or(&[], |id| id.as_slice()),
                &row.at.to_be_bytes(),
                row.actor.as_bytes(),
                row.action.as_bytes(),
                row.subject.as_bytes(),
                detail.as_bytes(),
                &previous,
            ];
            let mut hasher = Sha256::new();
            for field in fields {
                hasher.update((field.len() as u64).to_be_bytes());
                hasher.update(field);
            }
            let hash: [u8; 32] = hasher.finalize().into();
            let (before, own) = (self.bytes(&previous), self.bytes(&hash));
            let sequence = row.sequence;
            self.tamper(&format!(
                "UPDATE audit SET previous_hash = {before}, hash = {own} WHERE sequence = {sequence}; \
                 UPDATE audit_head SET sequence = {sequence}, hash = {own}"
            ))
            .await;
            previous = hash;
        }
    }

    fn bytes(&self, hash: &[u8; 32]) -> String {
        let point = AuditPoint { sequence: 0, hash: *hash }.to_string();
        let hex = &point[2..];
        if self.lab.is_sqlite() { format!("x'{hex}'") } else { format!("decode('{hex}', 'hex')") }
    }

    async fn restore(&self) {
        self.tamper("DELETE FROM audit; INSERT INTO audit SELECT * FROM kept").await;
        self.lab.assert_intact().await;
    }

    async fn assert_broken_at(&self, wanted: i64) {
        let verdict = self.lab.store.audit().verify(&AuditWalk::default()).await.unwrap();
        assert!(
            matches!(verdict, AuditVerdict::Broken { sequence, .. } if sequence == wanted),
            "{verdict:?}"
        );
    }
}
