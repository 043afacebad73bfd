//! The audit trail: what it says, and what it shows when somebody went behind the store's back.

use bore_control::model::{Actor, Network};
use bore_control::store::AuditVerdict;
use uuid::Uuid;

use super::lab::{ADMIN, Lab, START, udp};

pub(crate) async fn names_actor_action_and_thing_of_every_change(lab: Lab) {
    let admin = Actor::ApiKey(Uuid::from_u128(5));
    let node = lab.store.add_node(&lab.new_node(lab.network, "nas"), &admin).await.unwrap();
    let by_node = Actor::Node(node.id);
    let game = lab.store.put_publication(&udp(&node, "game", 7777), &by_node).await.unwrap();
    lab.store.delete_publication(lab.network, game.id, &by_node, START + 7).await.unwrap();

    let rows = lab.store.audit(None, None, 0, 1_000).await.unwrap();
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
    assert_eq!(lab.store.verify_audit().await.unwrap(), AuditVerdict::Intact { rows: 4 });
}

pub(crate) async fn is_not_written_when_nothing_changed(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    let rows = lab.actions().await;
    lab.store.rename_node(lab.network, node.id, "nas", &ADMIN, START).await.unwrap();
    lab.store.delete_node(lab.network, Uuid::now_v7(), &ADMIN, START).await.unwrap_err();
    assert_eq!(lab.actions().await, rows);
}

pub(crate) async fn is_searched_by_text_and_network_and_paged(lab: Lab) {
    let other = lab.other_network().await;
    for name in ["nas", "attic", "nas-2"] {
        lab.add_node(lab.network, name).await;
    }
    lab.add_node(other, "nas").await;

    let found = async |network, text, after, limit| {
        let rows = lab.store.audit(network, text, after, limit).await.unwrap();
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

    let rows = lab.store.audit(None, Some("drop table"), 0, 10).await.unwrap();
    assert_eq!(rows[0].detail["name"], name);
    lab.assert_intact().await;
}

pub(crate) async fn stays_linear_under_parallel_writers(lab: Lab) {
    let second = bore_control::store::open(&lab.url, &lab.path("")).await.unwrap();
    let writes = (0..60).map(|number| {
        let store = if number % 2 == 0 { lab.store.clone() } else { second.clone() };
        let name = format!("network-{number}");
        tokio::spawn(async move {
            let network = Network { id: Uuid::now_v7(), name, created_at: START };
            store.create_network(&network, &ADMIN).await.unwrap();
        })
    });
    for write in futures_util::future::join_all(writes).await {
        write.unwrap();
    }
    assert_eq!(lab.store.verify_audit().await.unwrap(), AuditVerdict::Intact { rows: 61 });
}

pub(crate) async fn refuses_change_removal_and_gaps_in_the_tables(lab: Lab) {
    let blank = if lab.is_sqlite() { "zeroblob(32)" } else { "decode(repeat('00', 32), 'hex')" };
    let insert =
        format!("INSERT INTO audit VALUES (9, NULL, 1, 'a', 'b', 'c', '{{}}', {blank}, {blank})");
    for statement in [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "DELETE FROM audit_head",
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

pub(crate) async fn of_many_pages_is_verified_whole(lab: Lab) {
    let rows = 2_000;
    for _ in 0..rows / 2 {
        let group = lab.add_group(lab.network, "ops", Vec::new()).await;
        lab.store.delete_group(lab.network, group.id, &ADMIN, START).await.unwrap();
    }
    assert_eq!(lab.store.verify_audit().await.unwrap(), AuditVerdict::Intact { rows: rows + 1 });
    assert_eq!(lab.store.audit(None, None, 0, u32::MAX).await.unwrap().len(), 1_000);
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
             DROP TRIGGER IF EXISTS audit_refuses_gap; \
             CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM audit"
        } else {
            "ALTER TABLE audit DISABLE TRIGGER ALL; CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM audit"
        };
        lab.tamper(disarm).await.unwrap();
        Self { lab }
    }

    async fn tamper(&self, statement: &str) {
        self.lab.tamper(statement).await.unwrap();
    }

    async fn restore(&self) {
        self.tamper("DELETE FROM audit; INSERT INTO audit SELECT * FROM kept").await;
        self.lab.assert_intact().await;
    }

    async fn assert_broken_at(&self, wanted: i64) {
        let verdict = self.lab.store.verify_audit().await.unwrap();
        assert!(
            matches!(verdict, AuditVerdict::Broken { sequence, .. } if sequence == wanted),
            "{verdict:?}"
        );
    }
}
