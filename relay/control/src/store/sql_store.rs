//! [`Store`] on either engine, and the ways to it: [`open`] and [`create`].

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bore_api::model::{
    Actor, ApiKey, AuditRow, Domain, Group, JoinKey, Micros, Network, Node, Policy, Publication,
};
use uuid::Uuid;

use super::database::{Database, Engine, read, write};
use super::sql::values;
use super::{
    AuditEvent, AuditVerdict, AuditWalk, JoinError, JoinRefusals, JoinRequest, NewNode, OrderClaim,
    OrderClaimed, OrderFailure, Presence, Store, StoreError, acme_accounts, api_keys, audit,
    audit_retention, audit_verify, certificate_orders, certificates, domains, groups, join,
    join_keys, migrations, networks, nodes, policies, postgres, publications, rest, sealed_columns,
    sqlite,
};
use crate::audit_key::AuditKey;
use crate::certificate::{
    AcmeAccount, Certificate, CertificateOrder, RenewalWindow, StandingOrder,
};
use crate::sealing::{Sealed, Sealer};

/// Opens the store of `url` and brings it to the newest schema. `audit_key` signs the audit trail.
///
/// `sqlite:///var/lib/bore/bore.db` is a file; `sqlite://bore.db` one in `state_dir`; `postgres://…` a server.
///
/// # Errors
/// [`StoreError::Missing`] when there is nothing: a relay with keys and without its database must not start as an empty one.
/// [`StoreError::Newer`], [`StoreError::Corrupt`], [`StoreError::DiskFull`], [`StoreError::ReadOnly`] and [`StoreError::Locked`] by name;
/// [`StoreError::Unsupported`] for any other URL.
pub async fn open(
    url: &str,
    state_dir: &Path,
    audit_key: AuditKey,
) -> Result<Arc<dyn Store>, StoreError> {
    open_or_create(url, state_dir, audit_key, Presence::Required).await
}

/// As [`open`], and makes the store where there is none.
///
/// # Errors
/// As [`open`], but for [`StoreError::Missing`].
pub async fn create(
    url: &str,
    state_dir: &Path,
    audit_key: AuditKey,
) -> Result<Arc<dyn Store>, StoreError> {
    open_or_create(url, state_dir, audit_key, Presence::Optional).await
}

async fn open_or_create(
    url: &str,
    state_dir: &Path,
    audit_key: AuditKey,
    presence: Presence,
) -> Result<Arc<dyn Store>, StoreError> {
    let (engine, found) = if let Some(file) = url.strip_prefix("sqlite://") {
        sqlite::open(&state_dir.join(file), presence).await?
    } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        postgres::open(url, presence).await?
    } else {
        let text = "the store's URL must begin with sqlite:// or postgres://".to_owned();
        return Err(StoreError::Unsupported(text));
    };
    let database = Database { engine, audit_key };
    if found <= migrations::AUDIT_SIGNATURES {
        sign_audit_head(&database).await?;
        finish_schema(&database, url).await?;
    }
    Ok(Arc::new(SqlStore { database }))
}

/// Only a schema from before signatures, or a new one, may have an unsigned head.
async fn sign_audit_head(database: &Database) -> Result<(), StoreError> {
    tracing::info!("the audit trail is signed from now on");
    write!(database, open => audit::sign_head(&mut open))?;
    database.settle().await
}

async fn finish_schema(database: &Database, url: &str) -> Result<(), StoreError> {
    match &database.engine {
        Engine::Sqlite { writer, .. } => sqlite::finish_schema(writer).await,
        Engine::Postgres { .. } => postgres::finish_schema(url).await,
    }
}

#[derive(Debug)]
struct SqlStore {
    database: Database,
}

#[async_trait]
impl Store for SqlStore {
    fn kind(&self) -> &'static str {
        match self.database.engine {
            Engine::Sqlite { .. } => "sqlite",
            Engine::Postgres { .. } => "postgresql",
        }
    }

    async fn settle(&self) -> Result<(), StoreError> {
        self.database.settle().await
    }

    async fn probe(&self, at: Micros) -> Result<(), StoreError> {
        let written: Result<u64, StoreError> =
            async { write!(self.database, open => open.execute(WRITE_PROBE, values![at])) }.await;
        written?;
        self.database.settle().await?;
        self.database.probe_room().await?;
        read!(self.database, open => open.one("SELECT at FROM write_probe WHERE id = 1", &[]))
            .map(|_: Option<_>| ())
    }

    async fn create_network(&self, network: &Network, by: &Actor) -> Result<(), StoreError> {
        write!(self.database, open => networks::create(&mut open, network, by))
    }

    async fn networks(&self) -> Result<Vec<Network>, StoreError> {
        read!(self.database, open => networks::list(&mut open))
    }

    async fn delete_network(&self, id: Uuid, by: &Actor, at: Micros) -> Result<(), StoreError> {
        write!(self.database, open => networks::delete(&mut open, id, by, at))
    }

    async fn create_join_key(
        &self,
        key: &JoinKey,
        secret_hash: [u8; 32],
        by: &Actor,
    ) -> Result<(), StoreError> {
        write!(self.database, open => join_keys::create(&mut open, key, &secret_hash, by))
    }

    async fn join_keys(&self, network: Uuid) -> Result<Vec<JoinKey>, StoreError> {
        read!(self.database, open => join_keys::list(&mut open, network))
    }

    async fn revoke_join_key(
        &self,
        network: Uuid,
        id: Uuid,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError> {
        write!(self.database, open => join_keys::revoke(&mut open, network, id, by, at))
    }

    async fn join(&self, request: &JoinRequest) -> Result<Node, JoinError> {
        self.may_join(request).await?;
        write!(self.database, open => join::join(&mut open, request)).map_err(JoinError::Store)?
    }

    async fn may_join(&self, request: &JoinRequest) -> Result<bool, JoinError> {
        let decided: Result<Result<bool, JoinError>, StoreError> =
            async { read!(self.database, open => join::may_join(&mut open, request)) }.await;
        decided.map_err(JoinError::Store)?
    }

    async fn note_join_refusals(&self, refusals: &JoinRefusals) -> Result<(), StoreError> {
        write!(self.database, open => join::note_refusals(&mut open, refusals))
    }

    async fn add_node(&self, node: &NewNode, by: &Actor) -> Result<Node, StoreError> {
        write!(self.database, open => nodes::add(&mut open, node, by))
    }

    async fn nodes(&self, network: Option<Uuid>) -> Result<Vec<Node>, StoreError> {
        read!(self.database, open => nodes::list(&mut open, network))
    }

    async fn rename_node(
        &self,
        network: Uuid,
        id: Uuid,
        name: &str,
        by: &Actor,
        at: Micros,
    ) -> Result<Node, StoreError> {
        write!(self.database, open => nodes::rename(&mut open, network, id, name, by, at))
    }

    async fn delete_node(
        &self,
        network: Uuid,
        id: Uuid,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError> {
        write!(self.database, open => nodes::delete(&mut open, network, id, by, at))
    }

    async fn create_api_key(
        &self,
        key: &ApiKey,
        secret_hash: [u8; 32],
        by: &Actor,
    ) -> Result<(), StoreError> {
        write!(self.database, open => api_keys::create(&mut open, key, &secret_hash, by))
    }

    async fn api_keys(&self, network: Option<Uuid>) -> Result<Vec<ApiKey>, StoreError> {
        read!(self.database, open => api_keys::list(&mut open, network))
    }

    async fn usable_api_keys(&self, at: Micros) -> Result<Vec<Uuid>, StoreError> {
        read!(self.database, open => api_keys::usable(&mut open, at))
    }

    async fn api_key(&self, id: Uuid) -> Result<Option<(ApiKey, [u8; 32])>, StoreError> {
        read!(self.database, open => api_keys::find(&mut open, id))
    }

    async fn revoke_api_key(
        &self,
        network: Option<Uuid>,
        id: Uuid,
        with_made: bool,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError> {
        write!(self.database, open => api_keys::revoke(&mut open, network, id, with_made, by, at))
    }

    async fn put_publication(
        &self,
        publication: &Publication,
        by: &Actor,
    ) -> Result<Publication, StoreError> {
        write!(self.database, open => publications::put(&mut open, publication, by))
    }

    async fn replace_publications(
        &self,
        gone: &[Uuid],
        publication: &Publication,
        by: &Actor,
    ) -> Result<Publication, StoreError> {
        write!(self.database, open => publications::replace(&mut open, gone, publication, by))
    }

    async fn publications(&self, network: Option<Uuid>) -> Result<Vec<Publication>, StoreError> {
        read!(self.database, open => publications::list(&mut open, network))
    }

    async fn delete_publication(
        &self,
        network: Uuid,
        id: Uuid,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError> {
        write!(self.database, open => publications::delete(&mut open, network, id, by, at))
    }

    async fn add_domain(&self, domain: &Domain, by: &Actor) -> Result<Domain, StoreError> {
        write!(self.database, open => domains::add(&mut open, domain, by))
    }

    async fn domains(&self, network: Option<Uuid>) -> Result<Vec<Domain>, StoreError> {
        read!(self.database, open => domains::list(&mut open, network))
    }

    async fn verify_domain(
        &self,
        network: Uuid,
        id: Uuid,
        by: &Actor,
        at: Micros,
    ) -> Result<Domain, StoreError> {
        write!(self.database, open => domains::verify(&mut open, network, id, by, at))
    }

    async fn release_domain(
        &self,
        network: Uuid,
        id: Uuid,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError> {
        write!(self.database, open => domains::release(&mut open, network, id, by, at))
    }

    async fn create_group(&self, group: &Group, by: &Actor) -> Result<(), StoreError> {
        write!(self.database, open => groups::create(&mut open, group, by))
    }

    async fn groups(&self, network: Uuid) -> Result<Vec<Group>, StoreError> {
        read!(self.database, open => groups::list(&mut open, network))
    }

    async fn set_group_nodes(
        &self,
        network: Uuid,
        id: Uuid,
        nodes: &[Uuid],
        by: &Actor,
        at: Micros,
    ) -> Result<Group, StoreError> {
        write!(self.database, open => groups::set_nodes(&mut open, network, id, nodes, by, at))
    }

    async fn delete_group(
        &self,
        network: Uuid,
        id: Uuid,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError> {
        write!(self.database, open => groups::delete(&mut open, network, id, by, at))
    }

    async fn put_policy(
        &self,
        policy: &Policy,
        expected_revision: i64,
        by: &Actor,
    ) -> Result<Policy, StoreError> {
        write!(self.database, open => policies::put(&mut open, policy, expected_revision, by))
    }

    async fn policies(&self, network: Uuid) -> Result<Vec<Policy>, StoreError> {
        read!(self.database, open => policies::list(&mut open, network))
    }

    async fn delete_policy(
        &self,
        network: Uuid,
        name: &str,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError> {
        write!(self.database, open => policies::delete(&mut open, network, name, by, at))
    }

    async fn put_certificate(
        &self,
        certificate: &Certificate,
        by: &Actor,
    ) -> Result<(), StoreError> {
        write!(self.database, open => certificates::put(&mut open, certificate, by))
    }

    async fn certificates(&self) -> Result<Vec<Certificate>, StoreError> {
        read!(self.database, open => certificates::list(&mut open))
    }

    async fn certificate(&self, subject: &str) -> Result<Option<Certificate>, StoreError> {
        read!(self.database, open => certificates::of_subject(&mut open, subject))
    }

    async fn set_renewal(&self, id: Uuid, window: &RenewalWindow) -> Result<(), StoreError> {
        write!(self.database, open => certificates::set_renewal(&mut open, id, window))
    }

    async fn delete_certificate(&self, id: Uuid, by: &Actor, at: Micros) -> Result<(), StoreError> {
        write!(self.database, open => certificates::delete(&mut open, id, by, at))
    }

    async fn claim_order(&self, claim: &OrderClaim) -> Result<OrderClaimed, StoreError> {
        write!(self.database, open => certificate_orders::claim(&mut open, claim))
    }

    async fn keep_order(
        &self,
        id: Uuid,
        claim: &OrderClaim,
        standing: Option<&StandingOrder>,
    ) -> Result<(), StoreError> {
        write!(self.database, open => certificate_orders::keep(&mut open, id, claim, standing))
    }

    async fn fail_order(
        &self,
        id: Uuid,
        failure: &OrderFailure,
        by: &Actor,
    ) -> Result<(), StoreError> {
        write!(self.database, open => certificate_orders::fail(&mut open, id, failure, by))
    }

    async fn certificate_orders(&self) -> Result<Vec<CertificateOrder>, StoreError> {
        read!(self.database, open => certificate_orders::list(&mut open))
    }

    async fn delete_order(&self, id: Uuid) -> Result<(), StoreError> {
        write!(self.database, open => certificate_orders::delete(&mut open, id))
    }

    async fn acme_account(&self, directory: &str, at: Micros) -> Result<AcmeAccount, StoreError> {
        let id = Uuid::now_v7();
        write!(self.database, open => acme_accounts::of_directory(&mut open, directory, id, at))
    }

    async fn keep_acme_account(
        &self,
        id: Uuid,
        credentials: &Sealed,
        by: &Actor,
        at: Micros,
    ) -> Result<AcmeAccount, StoreError> {
        write!(self.database, open => acme_accounts::keep(&mut open, id, credentials, by, at))
    }

    async fn delete_acme_account(
        &self,
        id: Uuid,
        by: &Actor,
        at: Micros,
    ) -> Result<(), StoreError> {
        write!(self.database, open => acme_accounts::delete(&mut open, id, by, at))
    }

    async fn pause_acme_account(&self, id: Uuid, until: Micros) -> Result<(), StoreError> {
        write!(self.database, open => acme_accounts::pause(&mut open, id, until))
    }

    async fn check_sealed(&self, sealer: &Sealer) -> Result<u64, StoreError> {
        read!(self.database, open => sealed_columns::check(&mut open, sealer))
    }

    async fn reseal(&self, sealer: &Sealer, by: &Actor, at: Micros) -> Result<u64, StoreError> {
        write!(self.database, open => sealed_columns::reseal(&mut open, sealer, by, at))
    }

    async fn audit(
        &self,
        network: Option<Uuid>,
        text: Option<&str>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        read!(self.database, open => audit::list(&mut open, network, text, after, limit))
    }

    async fn note(&self, event: &AuditEvent, by: &Actor) -> Result<(), StoreError> {
        write!(self.database, open => audit::append(&mut open, event.entry(by)))
    }

    async fn verify_audit(&self, walk: &AuditWalk) -> Result<AuditVerdict, StoreError> {
        read!(self.database, open => audit_verify::verify(&mut open, walk))
    }

    async fn trim_audit(&self, before: Micros, at: Micros) -> Result<usize, StoreError> {
        write!(self.database, open => audit_retention::trim(&mut open, before, at))
    }

    async fn end_rests(&self, at: Micros) -> Result<u64, StoreError> {
        write!(self.database, open => rest::end(&mut open, at))
    }

    async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        match &self.database.engine {
            Engine::Sqlite { readers, .. } => sqlite::backup(readers, to).await,
            Engine::Postgres { .. } => {
                let text = "PostgreSQL is backed up with its own tool: pg_dump".to_owned();
                Err(StoreError::Unsupported(text))
            }
        }
    }
}

const WRITE_PROBE: &str = "UPDATE write_probe SET at = $1 WHERE id = 1";
