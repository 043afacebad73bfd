//! Where agents were last heard, kept across restarts so that a restarted relay calls them instead of waiting for their next word.
//!
//! A cache and nothing more: a wrong entry costs one datagram, a lost file costs the agents' keepalive interval.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use crate::state_folder::write_private;

/// The file, and what it holds.
#[derive(Debug)]
pub(crate) struct Endpoints {
    path: PathBuf,
    known: Mutex<HashMap<Uuid, SocketAddr>>,
}

impl Endpoints {
    /// Reads the cache in a state folder. One that is absent or damaged is empty.
    pub(crate) fn load(state: &Path) -> Self {
        let path = state.join(FILE);
        let known = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { path, known: Mutex::new(known.unwrap_or_default()) }
    }

    /// Where `node` was last heard.
    pub(crate) fn get(&self, node: Uuid) -> Option<SocketAddr> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&node).copied()
    }

    /// Forgets all but those that `is_node` names. The file follows with the next news.
    pub(crate) fn retain(&self, is_node: impl Fn(Uuid) -> bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|node, _| is_node(*node));
    }

    /// Takes what was heard, and writes everything down if that is news. Who was not heard so far stays: a relay that has just started has
    /// not called everybody yet.
    pub(crate) async fn keep(&self, heard: HashMap<Uuid, SocketAddr>) {
        let text = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.iter().all(|(node, at)| known.get(node) == Some(at)) {
                return;
            }
            known.extend(heard);
            serde_json::to_vec(&*known)
        };
        let Ok(text) = text else { return };
        let path = self.path.clone();
        let kept = tokio::task::spawn_blocking(move || write_private(&path, &text)).await;
        if let Err(error) = kept.unwrap_or_else(|error| Err(error.into())) {
            tracing::debug!(%error, "endpoints are not kept");
        }
    }
}

const FILE: &str = "endpoints.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn endpoints_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (node, at) = (Uuid::from_u128(7), "192.0.2.1:5".parse().unwrap());
        Endpoints::load(folder.path()).keep(HashMap::from([(node, at)])).await;
        assert_eq!(Endpoints::load(folder.path()).get(node), Some(at));
    }

    #[tokio::test]
    async fn who_was_not_heard_so_far_is_still_called() {
        let folder = tempfile::tempdir().unwrap();
        let (early, late) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let [at, elsewhere] = ["192.0.2.1:5", "192.0.2.2:6"].map(|text| text.parse().unwrap());
        let endpoints = Endpoints::load(folder.path());
        endpoints.keep(HashMap::from([(early, at), (late, at)])).await;
        endpoints.keep(HashMap::from([(early, elsewhere)])).await;
        let again = Endpoints::load(folder.path());
        assert_eq!((again.get(early), again.get(late)), (Some(elsewhere), Some(at)));

        again.retain(|node| node == late);
        assert_eq!((again.get(early), again.get(late)), (None, Some(at)), "a node that is gone");
    }

    #[test]
    fn a_damaged_file_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), b"{half").unwrap();
        assert_eq!(Endpoints::load(folder.path()).get(Uuid::nil()), None);
    }
}
