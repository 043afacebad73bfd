//! Databases of earlier schemas, with data in them, opened by this version.

use std::borrow::Cow;

use bore_control::model::{NodeKind, Protocol};
use bore_control::store::{self, AuditVerdict, NewNode};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqlSafeStr as _, SqliteConnection};
use uuid::Uuid;

use super::lab::{ADMIN, Lab, START, http, udp};

pub(crate) async fn keep_hostnames_and_ports_of_the_first_schema(lab: Lab) {
    let url = lab.empty_database().await;
    migrate_to_first(&lab, &url).await;
    lab.tamper_with(&url, &rows(lab.is_sqlite())).await.unwrap();

    let store = store::open(&url, &lab.path("")).await.unwrap();

    assert!(store.certificates().await.unwrap().is_empty());
    let publications = store.publications(None).await.unwrap();
    let shown: Vec<_> = publications
        .iter()
        .map(|item| (item.name.as_str(), item.protocol, item.public_port, item.hostnames.join(",")))
        .collect();
    let expected = [
        ("app", Protocol::Http, None, "app.t.example.org".to_owned()),
        ("game", Protocol::Udp, Some(7777), String::new()),
    ];
    assert_eq!(shown, expected);
    let [app, game] = publications.as_slice() else { panic!("two publications") };
    let new = NewNode { kind: NodeKind::Agent, ..lab.new_node(app.network, "late") };
    let late = store.add_node(&new, &ADMIN).await.unwrap();
    for taken in [http(&late, "a", "app.t.example.org"), udp(&late, "b", 7778)] {
        assert!(store.put_publication(&taken, &ADMIN).await.is_err(), "{} is held", taken.name);
    }
    store.delete_publication(game.network, game.id, &ADMIN, START).await.unwrap();
    store.put_publication(&udp(&late, "b", 7778), &ADMIN).await.unwrap();
    assert!(matches!(store.verify_audit().await.unwrap(), AuditVerdict::Intact { .. }));
}

async fn migrate_to_first(lab: &Lab, url: &str) {
    let sql = if lab.is_sqlite() {
        include_str!("../../migrations/sqlite/0001_initial.sql")
    } else {
        include_str!("../../migrations/postgres/0001_initial.sql")
    };
    let step = Migration::new(
        1,
        Cow::Borrowed("initial"),
        MigrationType::Simple,
        AssertSqlSafe(sql.to_owned()).into_sql_str(),
        false,
    );
    let first = Migrator::with_migrations(vec![step]);
    if lab.is_sqlite() {
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        first.run_direct(None, &mut connection, false).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = PgConnection::connect(url).await.unwrap();
        first.run_direct(None, &mut connection, false).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// A network with a node, a publication by hostname and one of two ports.
fn rows(sqlite: bool) -> String {
    let id = |number: u128| {
        let id = Uuid::from_u128(number);
        if sqlite { format!("x'{}'", id.simple()) } else { format!("'{id}'") }
    };
    let (network, node, app, game) = (id(1), id(2), id(3), id(4));
    let v6 = if sqlite {
        "x'fd000000000000000000000000000002'"
    } else {
        r"'\xfd000000000000000000000000000002'"
    };
    let no = if sqlite { "0" } else { "FALSE" };
    format!(
        "INSERT INTO networks VALUES ({network}, 'old', 1);
         INSERT INTO nodes VALUES ({node}, {network}, 'nas', 'agent', 'key', 1681915910, {v6}, {no}, NULL, 1);
         INSERT INTO publications VALUES ({app}, {network}, {node}, 'app', 'http', NULL, 1, 'app.t.example.org', 1024, '3000', '{{}}', 'session', 1);
         INSERT INTO publications VALUES ({game}, {network}, {node}, 'game', 'udp', 7777, 2, NULL, 1025, '7777', '{{}}', 'session', 1);
         INSERT INTO public_ports VALUES ('udp', 7777, {game}), ('udp', 7778, {game});"
    )
}
