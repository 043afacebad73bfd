//! The local API: how commands on this machine speak to the agent that runs, over the Unix socket of its state folder.
//!
//! The socket is 0600 in a 0700 folder, and every connection is checked again: its user must be the folder's owner or root (`SO_PEERCRED`).
//! A web page cannot get here, and what it could make a helper send is refused too: any `Origin`, and any `Host` but `bore`.
//!
//! | route | does |
//! |---|---|
//! | `GET /v1/status` | [`Status`](super::Status) |
//! | `GET`, `POST /v1/publications` | lists; declares and waits for the relay's answer |
//! | `DELETE /v1/publications/{name}` | takes back |
//! | `GET /v1/publications/{name}/hold` | its changes; a session publication goes when the last holder does |
//! | `GET /v1/watch` | all changes |
//! | `POST /v1/stop` | stops the agent |

mod credentials;
mod routes;
mod stream;

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use rustix::fs::Mode;
use rustix::process::umask;
use tokio::net::UnixListener;

use super::Agent;
use super::error::StateError;
use super::limits::LOCAL_BODY_BYTES_MAX;
use credentials::Caller;

/// The host that requests name. It is nobody's name on any network.
pub(crate) const HOST: &str = "bore";

/// A bound socket; its file is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct LocalSocket {
    listener: UnixListener,
    file: SocketFile,
}

#[derive(Debug)]
struct SocketFile(std::path::PathBuf);

impl LocalSocket {
    /// Binds the socket. The folder's lock must be held: a socket that is there belongs to a dead agent.
    ///
    /// # Errors
    /// The file system says no.
    pub(crate) fn bind(path: &Path) -> Result<Self, StateError> {
        if let Err(error) = std::fs::remove_file(path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(StateError::io("remove", path, error));
        }
        // Made closed: a change of its mode would follow a link that the folder's owner has put in its place.
        let before = umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let listener = UnixListener::bind(path);
        umask(before);
        let listener = listener.map_err(|source| StateError::io("create", path, source))?;
        Ok(Self { listener, file: SocketFile(path.to_owned()) })
    }

    /// Serves until the agent stops.
    pub(crate) async fn serve(self, agent: Agent, owner: u32) {
        let mut stopping = agent.shared().stopping();
        let service = router(agent, owner).into_make_service_with_connect_info::<Caller>();
        let serving = axum::serve(self.listener, service).with_graceful_shutdown(async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        });
        if let Err(error) = serving.await {
            tracing::warn!(%error, "the local API has ended");
        }
        drop(self.file);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody else may have removed it; then there is nothing to do.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Serves as soon as the socket can be bound, unless the agent stops before.
pub(crate) async fn serve_once_bound(agent: Agent) {
    let mut stopping = agent.shared().stopping();
    let folder = agent.shared().folder.clone();
    let bound = async {
        loop {
            tokio::time::sleep(BIND_AGAIN).await;
            if let Ok(socket) = LocalSocket::bind(&folder.socket()) {
                return socket;
            }
        }
    };
    let socket = tokio::select! {
        socket = bound => Some(socket),
        _ = stopping.wait_for(|stop| *stop) => None,
    };
    if let Some(socket) = socket {
        socket.serve(agent, folder.owner()).await;
    }
}

/// How long after an attempt the socket is bound again.
const BIND_AGAIN: Duration = Duration::from_secs(2);

fn router(agent: Agent, owner: u32) -> Router {
    let guard = credentials::Guard { owner, agent: agent.clone() };
    Router::new()
        .route("/v1/status", get(routes::status))
        .route("/v1/publications", get(routes::list).post(routes::declare))
        .route("/v1/publications/{name}", delete(routes::withdraw))
        .route("/v1/publications/{name}/hold", get(routes::hold))
        .route("/v1/watch", get(routes::watch))
        .route("/v1/stop", post(routes::stop))
        .layer(DefaultBodyLimit::max(LOCAL_BODY_BYTES_MAX))
        .layer(from_fn_with_state(guard, credentials::check))
        .with_state(agent)
}
