//! Where agents were last heard, kept across restarts so that a restarted relay calls them instead of waiting for their next word.
//!
//! A cache and nothing more: a wrong entry costs one datagram, a lost file costs the agents' keepalive interval.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

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

    /// Writes `heard` down if it differs from what is known.
    pub(crate) async fn keep(&self, heard: HashMap<Uuid, SocketAddr>) {
        let text = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.is_empty() || *known == heard {
                return;
            }
            *known = heard;
            serde_json::to_vec(&*known)
        };
        let Ok(text) = text else { return };
        let new = self.path.with_extension("new");
        let written = tokio::fs::write(&new, text).await;
        let kept = match written {
            Ok(()) => tokio::fs::rename(&new, &self.path).await,
            failed => failed,
        };
        if let Err(error) = kept {
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

    #[test]
    fn a_damaged_file_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), b"{half").unwrap();
        assert_eq!(Endpoints::load(folder.path()).get(Uuid::nil()), None);
    }
}
