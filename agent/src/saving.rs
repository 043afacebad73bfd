//! Keeps the state folder in step with what the agent knows.
//!
//! A change is written once, and only if it differs from what is on disk. What cannot be written (disk full, read-only, EIO, no
//! descriptors) is told once and tried again until it is written; the agent goes on serving meanwhile.
//!
//! Invariant: a publication that is to stay is on disk before it is served.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bore_api::model::Lifetime;
use bore_api::wire::PublicationView;
use tokio::sync::Notify;

use super::connect::RelayPeer;
use super::declaration::Declaration;
use super::error::{AgentError, in_full};
use super::registry::{Served, stored};
use super::shared::{Shared, StateChange};
use super::state::StoredPublication;

/// What is on disk, and what has to follow.
#[derive(Debug)]
pub(crate) struct Saving {
    /// What `publications.json` holds, `None` after a write that failed. Locked while writing, so that an older list never replaces a newer one.
    on_disk: tokio::sync::Mutex<Option<Vec<StoredPublication>>>,
    /// `identity.json` has an older address of the relay than the one that is known.
    identity_due: AtomicBool,
    due: Notify,
    /// Why the last write failed; gone with the next that succeeds.
    failure: Mutex<Option<String>>,
}

impl Saving {
    /// Starts from what was read.
    pub(crate) fn new(on_disk: Vec<StoredPublication>) -> Self {
        Self {
            on_disk: tokio::sync::Mutex::new(Some(on_disk)),
            identity_due: AtomicBool::new(false),
            due: Notify::new(),
            failure: Mutex::default(),
        }
    }

    /// Why what changed is not on disk; `None` when it is.
    pub(crate) fn failure(&self) -> Option<String> {
        self.lock_failure().clone()
    }

    fn lock_failure(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Takes the relay's answer to a declaration: on disk if it is to stay, and served from then on.
    ///
    /// # Errors
    /// It could not be written: nothing is served.
    pub(crate) async fn keep(
        self: &Arc<Self>,
        declaration: Declaration,
        served: Served,
        view: PublicationView,
    ) -> Result<(), AgentError> {
        let name = view.publication.name.clone();
        let mut on_disk = self.saving.on_disk.lock().await;
        let mut wanted = self.registry().persistent();
        wanted.retain(|stored| stored.declaration.name.as_ref() != Some(&name));
        if declaration.lifetime == Lifetime::Persistent {
            wanted.push(stored(&declaration, Some(&view)));
            wanted.sort_by(|a, b| a.declaration.name.cmp(&b.declaration.name));
        }
        if let Err(error) = self.write(&mut on_disk, wanted).await {
            // The file may have been replaced before the failure: it has to say again what is served.
            self.save_soon();
            return Err(error);
        }
        self.registry().declare(&name, declaration, served, Some(view.clone()));
        drop(on_disk);
        if !self.replan(None) {
            self.report_target(&name);
        }
        self.tell_publications(vec![view]);
        Ok(())
    }

    /// Forgets a declaration: it is served no more. The disk follows.
    pub(crate) fn forget(&self, name: &str, cause: &str) {
        let Some(entry) = self.registry().withdraw(name) else { return };
        self.replan(None);
        self.tell(StateChange::Withdrawn { name: name.to_owned(), cause: cause.to_owned() });
        if entry.declaration.lifetime == Lifetime::Persistent {
            self.save_soon();
        }
    }

    /// Notes where the relay answered. The disk follows if that is news.
    pub(crate) fn remember_relay(&self, relay: RelayPeer) {
        if self.identity().remember_relay(relay.key, relay.endpoint) {
            self.saving.identity_due.store(true, Ordering::Release);
            self.save_soon();
        }
    }

    /// Has written what differs from what is on disk.
    pub(crate) fn save_soon(&self) {
        self.saving.due.notify_one();
    }

    /// Writes what differs from what is on disk.
    ///
    /// # Errors
    /// The disk is full or the file system says no; what was on disk stays.
    pub(crate) async fn save(&self) -> Result<(), AgentError> {
        let mut on_disk = self.saving.on_disk.lock().await;
        let wanted = self.registry().persistent();
        self.write(&mut on_disk, wanted).await?;
        if !self.saving.identity_due.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let written = self.write_identity().await;
        if written.is_err() {
            self.saving.identity_due.store(true, Ordering::Release);
        }
        written
    }

    async fn write(
        &self,
        on_disk: &mut Option<Vec<StoredPublication>>,
        wanted: Vec<StoredPublication>,
    ) -> Result<(), AgentError> {
        if on_disk.as_ref() == Some(&wanted) {
            return Ok(());
        }
        *on_disk = None;
        let (folder, list) = (self.folder.clone(), wanted.clone());
        let written = tokio::task::spawn_blocking(move || folder.write_publications(list));
        written.await.map_err(|error| AgentError::Internal(error.to_string()))??;
        *on_disk = Some(wanted);
        Ok(())
    }

    async fn write_identity(&self) -> Result<(), AgentError> {
        let (folder, text) = (self.folder.clone(), self.identity().encode());
        let written = tokio::task::spawn_blocking(move || folder.write_identity_text(&text));
        Ok(written.await.map_err(|error| AgentError::Internal(error.to_string()))??)
    }

    /// Tells that the disk does not follow, once until it does.
    fn note_unsaved(&self, error: &AgentError) {
        let cause = in_full(error);
        let before = self.saving.lock_failure().replace(cause.clone());
        if before.is_some() {
            return;
        }
        let code = error.code().to_owned();
        tracing::info!(code, cause, "the state cannot be saved; it is served and tried again");
        self.tell(StateChange::Unsaved { code, cause });
    }

    fn note_saved(&self) {
        if self.saving.lock_failure().take().is_some() {
            tracing::info!("the state is saved again");
            self.tell(StateChange::Saved);
        }
    }
}

/// Writes what is due, until the agent stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut stopping = shared.stopping();
    let saving = async {
        loop {
            shared.saving.due.notified().await;
            while let Err(error) = shared.save().await {
                shared.note_unsaved(&error);
                tokio::time::sleep(SAVE_AGAIN).await;
            }
            shared.note_saved();
        }
    };
    tokio::select! {
        () = saving => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}

/// How long after a write that failed the next one is tried.
const SAVE_AGAIN: Duration = Duration::from_secs(2);
