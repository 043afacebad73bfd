//! A store on either engine with one network in it, and short ways to make things.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bore_api::model::{
    Actor, Group, JoinKey, Lifetime, Micros, Network, Node, NodeKind, Protocol, Publication,
    PublicationOptions,
};
use bore_control::store::{self, AuditKey, AuditVerdict, AuditWalk, JoinRequest, NewNode, Store};
use bore_policy::Access;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};
use uuid::Uuid;

use crate::support::postgres::Server;

/// SHA-256 of the secret of every key that a [`Lab`] makes.
pub(crate) const SECRET: [u8; 32] = [7; 32];
/// Who does things in a [`Lab`].
pub(crate) const ADMIN: Actor = Actor::System;
/// When everything happens, unless a case says otherwise: 2026-01-01.
pub(crate) const START: Micros = 1_767_225_600_000_000;
/// One day.
pub(crate) const DAY: Micros = 24 * 60 * 60 * 1_000_000;

/// Where labs are made.
#[derive(Debug)]
pub(crate) enum Engine {
    Sqlite,
    Postgres(Arc<Server>),
}

impl Engine {
    /// Starts a server.
    pub(crate) fn postgres() -> Self {
        Self::Postgres(Arc::new(Server::start()))
    }

    /// A fresh database with the network `home`.
    pub(crate) async fn lab(&self) -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let (url, server) = match self {
            Self::Sqlite => (format!("sqlite://{}", folder.path().join("bore.db").display()), None),
            Self::Postgres(server) => (server.database().await, Some(Arc::clone(server))),
        };
        let store = store::create(&url, folder.path(), audit_key()).await.unwrap();
        let lab =
            Lab { store, url, network: Uuid::now_v7(), made: AtomicU64::new(1), folder, server };
        lab.add_network(lab.network, "home").await;
        lab
    }
}

/// One store and the network `home`.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) store: Arc<Store>,
    pub(crate) url: String,
    pub(crate) network: Uuid,
    made: AtomicU64,
    folder: tempfile::TempDir,
    /// Lives as long as its databases are used.
    server: Option<Arc<Server>>,
}

impl Lab {
    pub(crate) async fn add_network(&self, id: Uuid, name: &str) {
        let network = Network { id, name: name.to_owned(), created_at: START };
        self.store.networks().create(&network, &ADMIN).await.unwrap();
    }

    /// A second network.
    pub(crate) async fn other_network(&self) -> Uuid {
        let id = Uuid::now_v7();
        self.add_network(id, "other").await;
        id
    }

    pub(crate) async fn add_key(&self, change: impl FnOnce(&mut JoinKey)) -> Uuid {
        let mut key = join_key(self.network);
        change(&mut key);
        self.store.join_keys().create(&key, SECRET, &ADMIN).await.unwrap();
        key.id
    }

    /// The request of a machine that joins for the first time.
    pub(crate) fn request(&self, key: Uuid) -> JoinRequest {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        JoinRequest {
            network: self.network,
            key,
            secret_hash: SECRET,
            public_key: format!("public-key-{number}"),
            overlay_v6: Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(number)),
            name: "laptop".to_owned(),
            names_reserved: BTreeSet::new(),
            ephemeral: false,
            nodes_max: 1_000,
            addresses_max: 1_000,
            node: Uuid::now_v7(),
            at: START,
        }
    }

    pub(crate) fn new_node(&self, network: Uuid, name: &str) -> NewNode {
        let joiner = self.request(Uuid::nil());
        NewNode {
            network,
            id: joiner.node,
            name: name.to_owned(),
            kind: NodeKind::Agent,
            public_key: joiner.public_key,
            overlay_v6: joiner.overlay_v6,
            groups: Vec::new(),
            addresses_max: 1_000,
            at: START,
        }
    }

    /// Adds an agent.
    pub(crate) async fn add_node(&self, network: Uuid, name: &str) -> Node {
        self.store.nodes().add(&self.new_node(network, name), &ADMIN).await.unwrap()
    }

    pub(crate) async fn add_group(&self, network: Uuid, name: &str, nodes: Vec<Uuid>) -> Group {
        let group =
            Group { id: Uuid::now_v7(), network, name: name.to_owned(), nodes, created_at: START };
        self.store.groups().create(&group, &ADMIN).await.unwrap();
        group
    }

    /// What the audit trail holds, as `action subject`.
    pub(crate) async fn actions(&self) -> Vec<String> {
        let rows = self.store.audit().list(None, None, 0, 1_000).await.unwrap();
        rows.into_iter().map(|row| row.action).collect()
    }

    pub(crate) async fn assert_intact(&self) {
        intact_rows(&self.store).await;
    }

    /// The URL of a database that holds nothing, not even a schema.
    pub(crate) async fn empty_database(&self, name: &str) -> String {
        match &self.server {
            Some(server) => server.database().await,
            None => {
                let file = self.path(name).with_extension("db");
                std::fs::File::create(&file).unwrap();
                format!("sqlite://{}", file.display())
            }
        }
    }

    /// Runs statements behind the store's back, as somebody would who has the file or the server.
    pub(crate) async fn tamper(&self, statements: &str) -> Result<(), sqlx::Error> {
        self.tamper_with(&self.url, statements).await
    }

    /// The same with another database.
    pub(crate) async fn tamper_with(&self, url: &str, statements: &str) -> Result<(), sqlx::Error> {
        let statements = AssertSqlSafe(statements.to_owned());
        if self.is_sqlite() {
            let mut connection = SqliteConnection::connect(url).await?;
            connection.execute(sqlx::raw_sql(statements)).await?;
            connection.close().await
        } else {
            let mut connection = PgConnection::connect(url).await?;
            connection.execute(sqlx::raw_sql(statements)).await?;
            connection.close().await
        }
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.store.kind() == "sqlite"
    }

    /// A path in the lab's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The key of every store in a test.
pub(crate) fn audit_key() -> AuditKey {
    AuditKey::from_cluster_key(&[7; 32])
}

/// How many rows the audit trail has, all of which follow from the one before.
pub(crate) async fn intact_rows(store: &Store) -> i64 {
    match store.audit().verify(&AuditWalk::default()).await.unwrap() {
        AuditVerdict::Intact { rows, .. } => rows,
        verdict @ (AuditVerdict::Continues { .. } | AuditVerdict::Broken { .. }) => {
            panic!("{verdict:?}")
        }
    }
}

/// A key of `network` without limits.
pub(crate) fn join_key(network: Uuid) -> JoinKey {
    JoinKey {
        id: Uuid::now_v7(),
        network,
        description: "for tests".to_owned(),
        uses_max: None,
        uses: 0,
        expires_at: None,
        groups: Vec::new(),
        ephemeral: false,
        maker: None,
        created_at: START,
        revoked_at: None,
    }
}

/// A publication of one UDP port.
pub(crate) fn udp(node: &Node, name: &str, port: u16) -> Publication {
    Publication {
        id: Uuid::now_v7(),
        network: node.network,
        node: node.id,
        name: name.to_owned(),
        protocol: Protocol::Udp,
        public_port: Some(port),
        port_count: 1,
        hostnames: Vec::new(),
        overlay_port: 0,
        target: "127.0.0.1:7777".to_owned(),
        access: Access::default(),
        options: PublicationOptions::default(),
        lifetime: Lifetime::Session,
        created_at: START,
    }
}

/// A publication of one hostname.
pub(crate) fn http(node: &Node, name: &str, hostname: &str) -> Publication {
    Publication {
        protocol: Protocol::Http,
        public_port: None,
        hostnames: hostname.parse().into_iter().collect(),
        ..udp(node, name, 1)
    }
}
