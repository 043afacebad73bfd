//! Databases of earlier schemas, with data in them, opened by this version.

use std::borrow::Cow;

use bore_api::model::{NodeKind, Protocol, Publication, PublicationOptions};
use bore_control::store::{self, AuditVerdict, AuditWalk, NewNode, ShareTaken, StoreError};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqlSafeStr as _, SqliteConnection};
use uuid::Uuid;

use super::lab::{ADMIN, DAY, Lab, START, audit_key, http, udp};

pub(crate) async fn keep_hostnames_and_ports_of_the_first_schema(lab: Lab) {
    let url = lab.empty_database("empty").await;
    migrate_to(&lab, &url, 1).await;
    lab.tamper_with(&url, &rows(lab.is_sqlite())).await.unwrap();

    let store = store::create(&url, &lab.path(""), audit_key()).await.unwrap();

    assert!(store.certificates().list().await.unwrap().is_empty());
    let publications = store.publications().list(None).await.unwrap();
    let shown: Vec<_> = publications
        .iter()
        .map(|item| (item.name.as_str(), item.protocol, item.public_port, shown_names(item)))
        .collect();
    let expected = [
        ("app", Protocol::Http, None, "app.t.example.org".to_owned()),
        ("game", Protocol::Udp, Some(7777), String::new()),
    ];
    assert_eq!(shown, expected);
    let [app, game] = publications.as_slice() else { panic!("two publications") };
    let new = NewNode { kind: NodeKind::Agent, ..lab.new_node(app.network, "late") };
    let late = store.nodes().add(&new, &ADMIN).await.unwrap();
    for taken in [http(&late, "a", "app.t.example.org"), udp(&late, "b", 7778)] {
        assert!(store.publications().put(&taken, &ADMIN).await.is_err(), "{} is held", taken.name);
    }
    store.publications().delete(game.network, game.id, &ADMIN, START).await.unwrap();
    store.publications().put(&udp(&late, "b", 7778), &ADMIN).await.unwrap();
    assert!(matches!(
        store.audit().verify(&AuditWalk::default()).await.unwrap(),
        AuditVerdict::Intact { .. }
    ));
}

pub(crate) async fn count_the_addresses_that_networks_have(lab: Lab) {
    let url = lab.empty_database("leases").await;
    migrate_to(&lab, &url, 1).await;
    let nas = Uuid::from_u128(2);
    let id = if lab.is_sqlite() { format!("x'{}'", nas.simple()) } else { format!("'{nas}'") };
    let leases = format!(
        "INSERT INTO leases (address, node, released_at) VALUES (1681915910, {id}, NULL), (1681915911, NULL, 5);"
    );
    lab.tamper_with(&url, &(rows(lab.is_sqlite()) + &leases)).await.unwrap();

    let store = store::create(&url, &lab.path(""), audit_key()).await.unwrap();

    let network = store.networks().list().await.unwrap()[0].id;
    let limited = |name: &str| NewNode { addresses_max: 2, ..lab.new_node(network, name) };
    store.nodes().add(&limited("a"), &ADMIN).await.unwrap();
    store.nodes().delete(network, nas, &ADMIN, START).await.unwrap();
    let refused = store.nodes().add(&limited("b"), &ADMIN).await;
    let taken = ShareTaken { most: 2, free_at: Some(START + 30 * DAY) };
    assert!(matches!(refused, Err(StoreError::ShareTaken(found)) if found == taken), "{refused:?}");
}

pub(crate) async fn tell_whose_certificates_are_where_one_ca_was_asked(lab: Lab) {
    for (accounts, directory) in [(1, Some("https://ca.example/1")), (2, None)] {
        let url = lab.empty_database(&format!("accounts-{accounts}")).await;
        migrate_to(&lab, &url, 3).await;
        lab.tamper_with(&url, &issued(lab.is_sqlite(), accounts)).await.unwrap();

        let store = store::create(&url, &lab.path(""), audit_key()).await.unwrap();

        let certificate =
            store.certificates().of_subject("app.t.example.org").await.unwrap().unwrap();
        assert_eq!(certificate.directory.as_deref(), directory);
        let order = store.certificate_orders().list().await.unwrap().remove(0);
        assert_eq!((order.failures, order.proof_failures, order.retry_after), (3, 0, None));
    }
}

pub(crate) async fn keep_options_that_were_columns(lab: Lab) {
    let url = lab.empty_database("options").await;
    migrate_to(&lab, &url, 1).await;
    lab.tamper_with(&url, &rows(lab.is_sqlite())).await.unwrap();
    migrate_to(&lab, &url, 12).await;
    let chosen = "UPDATE publications SET host_header = 'nas.local:80', tls_min = '1.2', health = 'http:/up?a=\"1\"', \
                  health_interval = 5 WHERE name = 'app';";
    lab.tamper_with(&url, chosen).await.unwrap();

    let store = store::create(&url, &lab.path(""), audit_key()).await.unwrap();

    let publications = store.publications().list(None).await.unwrap();
    let [app, game] = publications.as_slice() else { panic!("two publications") };
    let expected = serde_json::json!({
        "web": {"host_header": "nas.local:80", "tls_min": "1.2"},
        "health": {"check": "http:/up?a=\"1\"", "interval_seconds": 5},
    });
    let expected: PublicationOptions = serde_json::from_value(expected).unwrap();
    assert_eq!(app.options, expected);
    assert_eq!(game.options, PublicationOptions::default());
    store.publications().put(app, &ADMIN).await.unwrap();
    assert_eq!(store.publications().list(None).await.unwrap()[0].options, expected);
}

pub(crate) async fn refuse_options_of_a_newer_version(lab: Lab) {
    let node = lab.add_node(lab.network, "nas").await;
    lab.store.publications().put(&udp(&node, "game", 7777), &ADMIN).await.unwrap();
    for newer in [r#"{"colour": {"background": "red"}}"#, r#"{"web": {"colour": "red"}}"#] {
        lab.tamper(&format!("UPDATE publications SET options = '{newer}';")).await.unwrap();
        let refused = lab.store.publications().list(None).await.unwrap_err();
        assert!(refused.to_string().contains("colour"), "{refused}");
    }
}

/// Brings an empty database to the schema of that number.
async fn migrate_to(lab: &Lab, url: &str, newest: usize) {
    let step = |(number, step): (i64, &Step)| {
        let (name, sqlite, postgres) = *step;
        let sql = AssertSqlSafe(if lab.is_sqlite() { sqlite } else { postgres }.to_owned());
        let name = Cow::Borrowed(name);
        Migration::new(number, name, MigrationType::Simple, sql.into_sql_str(), false)
    };
    let steps = Migrator::with_migrations((1..).zip(&STEPS[..newest]).map(step).collect());
    if lab.is_sqlite() {
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        steps.run_direct(None, &mut connection, false).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = PgConnection::connect(url).await.unwrap();
        steps.run_direct(None, &mut connection, false).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// A certificate, an order that failed, and so many accounts at CAs.
fn issued(sqlite: bool, accounts: u128) -> String {
    let blob = |hex: &str| if sqlite { format!("x'{hex}'") } else { format!("'\\x{hex}'") };
    let id = |number: u128| {
        let id = Uuid::from_u128(number);
        if sqlite { format!("x'{}'", id.simple()) } else { format!("'{id}'") }
    };
    let (certificate, order, key) = (id(1), id(2), blob("01"));
    let account = |number: u128| {
        let id = id(10 + number);
        format!(
            "INSERT INTO acme_accounts VALUES ({id}, 'https://ca.example/{number}', {key}, NULL, 1);"
        )
    };
    let accounts: String = (1..=accounts).map(account).collect();
    format!(
        "INSERT INTO certificates VALUES ({certificate}, NULL, 'app.t.example.org', '[\"app.t.example.org\"]', 'chain', {key}, 'CA', 1, 2, NULL, NULL, NULL, 1);
         INSERT INTO certificate_orders VALUES ({order}, NULL, 'b.t.example.org', NULL, NULL, NULL, NULL, 3, NULL, 5, 5);
         {accounts}"
    )
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

/// Name, then both dialects.
type Step = (&'static str, &'static str, &'static str);

macro_rules! step {
    ($name:literal, $file:literal) => {
        (
            $name,
            include_str!(concat!("../../migrations/sqlite/", $file, ".sql")),
            include_str!(concat!("../../migrations/postgres/", $file, ".sql")),
        )
    };
}

const STEPS: [Step; 12] = [
    step!("initial", "0001_initial"),
    step!("certificates", "0002_certificates"),
    step!("names", "0003_names"),
    step!("web", "0004_web"),
    step!("renewals", "0005_renewals"),
    step!("write_probe", "0006_write_probe"),
    step!("health", "0007_health"),
    step!("audit_signatures", "0008_audit_signatures"),
    step!("key_makers", "0009_key_makers"),
    step!("resting_hostnames", "0010_resting_hostnames"),
    step!("network_addresses", "0011_network_addresses"),
    step!("resting_hostname_nodes", "0012_resting_hostname_nodes"),
];

fn shown_names(publication: &Publication) -> String {
    publication.hostnames.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
