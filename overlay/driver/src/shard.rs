//! A shard's thread, and the handle that other threads hold.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use bore_netstack::ConnectError;
use bore_overlay::{Config as OverlayConfig, Event};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;

use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::limits::{EVENTS_MAX, JOBS_MAX};
use crate::local::{Dial, Local};
use crate::pipe::{OverlayStream, pipe};
use crate::socket::UdpPort;

/// What a shard starts with.
#[derive(Debug)]
pub struct ShardConfig {
    /// The UDP socket of the overlay. `[::]` carries IPv4 too; port 0 takes any.
    pub listen: SocketAddr,
    /// Keys and rules of the tunnels.
    pub overlay: OverlayConfig,
    /// Largest inner packet, in bytes.
    pub mtu: usize,
    /// Trains leave with one system call (UDP_SEGMENT) where kernel and path are shown to take that.
    pub segmentation: bool,
}

/// What happens to tunnels, in order. Ends when the shard does.
pub type Events = mpsc::Receiver<Event>;

/// A handle to a shard's thread. Clones share it; it ends when [`Shard::stop`] is called or the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Shard {
    jobs: mpsc::Sender<Job>,
    local: SocketAddr,
    /// Closed by the thread when it has let go of everything.
    ended: watch::Receiver<()>,
}

type Job = Box<dyn FnOnce(Local) + Send>;

/// The shard's thread has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the overlay's thread has ended")]
pub struct ShardGone;

/// Why a shard could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The overlay's UDP socket.
    #[error("cannot open the overlay's UDP socket on {address}")]
    Bind {
        /// What was tried.
        address: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The thread or its runtime.
    #[error("cannot start the overlay's thread")]
    Thread(#[source] io::Error),
}

impl Shard {
    /// Binds the socket and starts the thread.
    ///
    /// # Errors
    /// The address is in use or not ours, or the kernel gives no thread.
    pub fn start(config: ShardConfig) -> Result<(Self, Events), StartError> {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let socket = {
            let _inside = runtime.enter();
            UdpPort::bind(config.listen)
                .map_err(|source| StartError::Bind { address: config.listen, source })?
        };
        let local = socket.local_addr();
        let (jobs, job_queue) = mpsc::channel(JOBS_MAX);
        let (event_sender, events) = mpsc::channel(EVENTS_MAX);
        let (alive, ended) = watch::channel(());
        std::thread::Builder::new()
            .name("bore-shard".to_owned())
            .spawn(move || {
                live(&runtime, socket, config, job_queue, event_sender);
                drop((runtime, alive));
            })
            .map_err(StartError::Thread)?;
        Ok((Self { jobs, local, ended }, events))
    }

    /// The overlay socket's address at start.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Runs `job` on the shard's thread and waits for its answer.
    ///
    /// # Errors
    /// The shard has ended, before or while the job ran.
    pub async fn run<T, F, Fut>(&self, job: F) -> Result<T, ShardGone>
    where
        T: Send + 'static,
        F: FnOnce(Local) -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let job: Job = Box::new(move |local| {
            tokio::task::spawn_local(async move {
                // Nobody waits any more when the caller was dropped; that is its right.
                let _ = sender.send(job(local).await);
            });
        });
        self.jobs.send(job).await.map_err(|_| ShardGone)?;
        answer.await.map_err(|_| ShardGone)
    }

    /// Opens a flow and hands it to this thread. Dropped before, it gives the attempt up.
    ///
    /// # Errors
    /// As [`Local::connect`]; a shard that has ended is a peer that is gone.
    pub async fn connect(&self, dial: Dial) -> Result<OverlayStream, ConnectError> {
        let (_waits, left) = oneshot::channel::<()>();
        let connect = move |local: Local| async move {
            tokio::select! {
                connected = local.connect(&dial) => connected.map(pipe),
                _ = left => Err(ConnectError::Abandoned),
            }
        };
        self.run(connect).await.unwrap_or(Err(ConnectError::PeerGone))
    }

    /// Ends the thread: what was queued before is still begun, flows that are open are reset at both ends, and the socket is closed when
    /// this returns.
    pub async fn stop(&self) {
        let stop: Job = Box::new(|local| local.stop());
        // A shard that has ended already is stopped.
        let _ = self.jobs.send(stop).await;
        // Nothing is ever sent: this ends when the sender does.
        let _ = self.ended.clone().changed().await;
    }
}

fn live(
    runtime: &Runtime,
    socket: UdpPort,
    config: ShardConfig,
    mut jobs: mpsc::Receiver<Job>,
    events: mpsc::Sender<Event>,
) {
    let mut endpoint = Endpoint::new(config.overlay, config.mtu, Instant::now());
    endpoint.overlay_mut().allow_segments(config.segmentation && socket.can_segment());
    let is_asked = config.listen.port() != 0;
    let engine = Rc::new(Engine::new(endpoint, socket, events, is_asked));
    let local = Local::new(Rc::clone(&engine));
    let set = LocalSet::new();
    set.spawn_local(async move {
        while let Some(job) = jobs.recv().await {
            job(local.clone());
        }
        local.stop();
    });
    set.block_on(runtime, engine.run());
    // Flows whose tasks are dropped here are reset; the last turns tell their far ends.
    drop(set);
    let _inside = runtime.enter();
    engine.finish();
}
