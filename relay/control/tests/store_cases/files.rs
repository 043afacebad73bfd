//! The embedded engine's file: made, opened again, refused, full, copied.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use bore_api::model::Network;
use bore_control::store::{self, StoreError};
use uuid::Uuid;

use super::lab::{ADMIN, Engine, Lab, START, audit_key, intact_rows};
use crate::support::small_disk::SmallDisk;

#[tokio::test]
async fn a_new_file_belongs_to_its_owner_alone() {
    let lab = Engine::Sqlite.lab().await;
    for name in ["bore.db", "bore.db-wal", "bore.db-shm"] {
        let mode = std::fs::metadata(lab.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_relative_path_lies_in_the_state_folder() {
    let folder = tempfile::tempdir().unwrap();
    store::create("sqlite://bore.db", folder.path(), audit_key()).await.unwrap();
    assert!(folder.path().join("bore.db").exists());
}

#[tokio::test]
async fn a_missing_or_empty_file_is_no_database_unless_one_is_to_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bore.db");
    let open = async || store::open("sqlite://bore.db", folder.path(), audit_key()).await;

    assert!(matches!(open().await, Err(StoreError::Missing)));
    assert!(!file.exists(), "nothing was made");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(open().await, Err(StoreError::Missing)));
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 0);
    let mut other = <sqlx::SqliteConnection as sqlx::Connection>::connect(&format!(
        "sqlite://{}",
        file.display()
    ))
    .await
    .unwrap();
    sqlx::query("CREATE TABLE others (id INTEGER)").execute(&mut other).await.unwrap();
    assert!(matches!(open().await, Err(StoreError::Missing)), "a database of something else");

    std::fs::remove_file(&file).unwrap();
    store::create("sqlite://bore.db", folder.path(), audit_key()).await.unwrap();
    open().await.unwrap();
}

#[tokio::test]
async fn any_other_url_is_refused() {
    for url in ["mysql://localhost/bore", "bore.db", ""] {
        let refused = store::create(url, Path::new("/nowhere"), audit_key()).await;
        assert!(matches!(refused, Err(StoreError::Unsupported(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn opened_again_it_has_everything() {
    let lab = Engine::Sqlite.lab().await;
    let node = lab.add_node(lab.network, "nas").await;

    let again = reopen(&lab).await.unwrap();

    assert_eq!(again.nodes().list(None).await.unwrap(), [node]);
    assert_eq!(intact_rows(&again).await, 2);
}

#[tokio::test]
async fn a_newer_schema_is_refused_by_number() {
    let lab = Engine::Sqlite.lab().await;
    newer_schema_is_refused(&lab).await;
}

/// On either engine.
pub(crate) async fn newer_schema_is_refused(lab: &Lab) {
    let later = |version| {
        format!(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             SELECT {version}, 'later', success, checksum, 1 FROM _sqlx_migrations WHERE version = 1"
        )
    };
    lab.tamper(&later(900)).await.unwrap();
    lab.tamper(&later(901)).await.unwrap();
    let refused = reopen(lab).await;
    assert!(matches!(refused, Err(StoreError::Newer { found: 901, known: 13 })), "{refused:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = "dear diary, ".repeat(1_000);
    std::fs::write(folder.path().join("bore.db"), &text).unwrap();

    let refused = store::create("sqlite://bore.db", folder.path(), audit_key()).await.unwrap_err();

    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused:?}");
    assert!(refused.to_string().contains("bore relay restore"), "{refused}");
    assert_eq!(std::fs::read_to_string(folder.path().join("bore.db")).unwrap(), text);
}

#[tokio::test]
async fn a_damaged_file_is_refused_at_start() {
    let lab = Engine::Sqlite.lab().await;
    for name in ["a", "b", "c"] {
        lab.add_node(lab.network, name).await;
    }
    let copy = lab.path("copy.db");
    lab.store.backup(&copy).await.unwrap();
    let mut bytes = std::fs::read(&copy).unwrap();
    let pages = bytes.len() / PAGE;
    for page in 2..pages {
        bytes[page * PAGE..page * PAGE + 64].fill(0xa5);
    }
    std::fs::write(&copy, bytes).unwrap();

    let refused = open_file(&copy).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
}

#[tokio::test]
async fn a_torn_file_is_refused_at_start() {
    let lab = Engine::Sqlite.lab().await;
    let copy = lab.path("copy.db");
    lab.store.backup(&copy).await.unwrap();
    let bytes = std::fs::read(&copy).unwrap();
    std::fs::write(&copy, &bytes[..bytes.len() / 2]).unwrap();

    let refused = open_file(&copy).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
}

#[tokio::test]
async fn a_backup_under_load_is_private_whole_and_overwrites_nothing() {
    let lab = Engine::Sqlite.lab().await;
    let store = lab.store.clone();
    let load = tokio::spawn(async move {
        for number in 0..100 {
            let network =
                Network { id: Uuid::now_v7(), name: format!("n{number}"), created_at: START };
            store.networks().create(&network, &ADMIN).await.unwrap();
        }
    });
    let copy = lab.path("backup.db");
    lab.store.backup(&copy).await.unwrap();
    load.await.unwrap();

    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let restored = open_file(&copy).await.unwrap();
    let networks = i64::try_from(restored.networks().list().await.unwrap().len()).unwrap();
    assert_eq!(intact_rows(&restored).await, networks);
    let refused = lab.store.backup(&copy).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
}

#[tokio::test]
async fn a_busy_file_is_refused_after_a_moment_instead_of_waited_for() {
    use sqlx::{Connection as _, Executor as _};
    let lab = Engine::Sqlite.lab().await;
    let mut other = sqlx::SqliteConnection::connect(&lab.url).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();

    let network = Network { id: Uuid::now_v7(), name: "late".to_owned(), created_at: START };
    let refused = lab.store.networks().create(&network, &ADMIN).await;
    assert!(matches!(refused, Err(StoreError::Locked)), "{refused:?}");

    other.execute("ROLLBACK").await.unwrap();
    lab.store.networks().create(&network, &ADMIN).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_by_name_and_loses_nothing_acknowledged() {
    let disk = SmallDisk::mount();
    let file = disk.folder.join("bore.db");
    let relay = open_file(&file).await.unwrap();
    let mut acknowledged = Vec::new();
    let refused = loop {
        let name = format!("{}-{}", acknowledged.len(), "x".repeat(2_000));
        let network = Network { id: Uuid::now_v7(), name, created_at: START };
        match relay.networks().create(&network, &ADMIN).await {
            Ok(()) => acknowledged.push(network),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::DiskFull), "{refused:?}");
    assert!(acknowledged.len() > 10, "the disk was full at once");
    acknowledged.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(relay.networks().list().await.unwrap(), acknowledged);

    let rows = i64::try_from(acknowledged.len()).unwrap();
    drop(relay);
    disk.grow();
    let again = open_file(&file).await.unwrap();
    assert_eq!(again.networks().list().await.unwrap(), acknowledged);
    assert_eq!(intact_rows(&again).await, rows);
    let network = Network { id: Uuid::now_v7(), name: "room".to_owned(), created_at: START };
    again.networks().create(&network, &ADMIN).await.unwrap();
}

#[tokio::test]
async fn a_disk_with_room_again_takes_changes_again() {
    let disk = SmallDisk::mount();
    let relay = open_file(&disk.folder.join("bore.db")).await.unwrap();
    let network =
        |name: &str| Network { id: Uuid::now_v7(), name: name.to_owned(), created_at: START };
    let filler = disk.fill();
    let refused = relay.networks().create(&network("full"), &ADMIN).await;
    assert!(matches!(refused, Err(StoreError::DiskFull)), "{refused:?}");
    let health = relay.probe(START).await;
    assert!(matches!(health, Err(StoreError::DiskFull)), "{health:?}");

    std::fs::remove_file(filler).unwrap();
    relay.networks().create(&network("room"), &ADMIN).await.unwrap();
    relay.probe(START).await.unwrap();
    assert_eq!(relay.networks().list().await.unwrap().len(), 1);
    assert_eq!(intact_rows(&relay).await, 1);
}

#[tokio::test]
async fn a_full_disk_is_found_out_also_while_the_log_has_room_of_its_own() {
    let disk = SmallDisk::mount();
    disk.grow();
    let relay = open_file(&disk.folder.join("bore.db")).await.unwrap();
    // The log is written from its beginning again after 1,000 pages.
    for _ in 0..1_100 {
        relay.probe(START).await.unwrap();
    }
    let filler = disk.fill();
    let health = relay.probe(START).await;
    assert!(matches!(health, Err(StoreError::DiskFull)), "{health:?}");

    std::fs::remove_file(filler).unwrap();
    relay.probe(START).await.unwrap();
    assert!(!disk.folder.join("bore.db-room").exists(), "nothing is left");
}

/// Writes beyond the limit on a file's size fail with EFBIG, which SQLite calls an I/O error as it does EIO. The limit is a process's, hence the child.
#[tokio::test]
async fn a_disk_that_fails_and_works_again_takes_changes_again() {
    const CHILD: &str = "BORE_TEST_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let this = std::env::current_exe().unwrap();
        let name = "store_cases::files::a_disk_that_fails_and_works_again_takes_changes_again";
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" --exact \"$1\" --nocapture"]);
        let done = shell.arg(this).arg(name).env(CHILD, "1").status().unwrap();
        assert!(done.success(), "the child failed");
        return;
    }
    let lab = Engine::Sqlite.lab().await;
    limit_files("20000");
    let refused = lab.store.networks().delete(lab.network, &ADMIN, START).await;
    let health = lab.store.probe(START).await;
    limit_files("unlimited");
    assert!(matches!(refused, Err(StoreError::Database(_))), "{refused:?}");
    assert!(matches!(health, Err(StoreError::Database(_))), "{health:?}");

    lab.store.networks().delete(lab.network, &ADMIN, START).await.unwrap();
    lab.store.probe(START).await.unwrap();
    lab.assert_intact().await;
}

/// Sets the soft limit on the size of this process's files.
fn limit_files(bytes: &str) {
    let mut limit = Command::new("prlimit");
    limit.arg("--pid").arg(std::process::id().to_string()).arg(format!("--fsize={bytes}:"));
    assert!(limit.status().unwrap().success(), "prlimit is part of util-linux");
}

#[tokio::test]
async fn a_read_only_disk_refuses_by_name() {
    let lab = Engine::Sqlite.lab().await;
    let disk = SmallDisk::mount();
    let file = disk.folder.join("bore.db");
    lab.store.backup(&file).await.unwrap();
    disk.remount("ro");
    let refused = open_file(&file).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly)), "{refused:?}");
    let refused = open_file(&disk.folder.join("new.db")).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly)), "{refused:?}");
}

async fn reopen(lab: &Lab) -> Result<std::sync::Arc<store::Store>, StoreError> {
    store::create(&lab.url, &lab.path(""), audit_key()).await
}

async fn open_file(file: &Path) -> Result<std::sync::Arc<store::Store>, StoreError> {
    store::create(&format!("sqlite://{}", file.display()), Path::new("/"), audit_key()).await
}

const PAGE: usize = 4_096;
