//! A copy of the embedded database, made beside a relay that may run.

use std::path::Path;

use bore_control::store;

use crate::state_folder::{StateError, audit_key};

/// Why a database was not copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The state folder has no key of a relay's.
    #[error(transparent)]
    State(#[from] StateError),
    /// The database cannot be read, or the copy not be written.
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

/// Copies `database`, the embedded one of the relay whose state folder is `state`, to the new file `to`, by its own engine, so that the copy is consistent.
///
/// # Errors
/// The folder is no relay's, the database cannot be read, or `to` exists or cannot be written.
pub async fn back_up_database(state: &Path, database: &Path, to: &Path) -> Result<(), BackupError> {
    let url = format!("sqlite://{}", database.display());
    let store = store::open(&url, state, audit_key(state)?).await?;
    Ok(store.backup(to).await?)
}
