//! Whether the store takes changes, asked by making one.
//!
//! Anybody may ask for the relay's health, so that callers share one look at a time, and a success is repeated for [`HEALTH_AGE_MAX`]. A failure is
//! never repeated: the store may be back.

use std::time::Instant;

use bore_api::model::Micros;
use tokio::sync::Mutex;

use crate::limits::HEALTH_AGE_MAX;
use crate::store::{Store, StoreError};

/// When the store last took a change.
#[derive(Debug, Default)]
pub(crate) struct StoreHealth(Mutex<Option<Instant>>);

impl StoreHealth {
    /// Makes a change and brings it to the disk, unless that succeeded just before.
    ///
    /// # Errors
    /// What the next change would meet.
    pub(crate) async fn check(&self, store: &Store, now: Micros) -> Result<(), StoreError> {
        let mut succeeded_at = self.0.lock().await;
        if succeeded_at.is_some_and(|at| at.elapsed() < HEALTH_AGE_MAX) {
            return Ok(());
        }
        *succeeded_at = None;
        store.probe(now).await?;
        *succeeded_at = Some(Instant::now());
        Ok(())
    }
}
