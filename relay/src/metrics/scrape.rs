//! `/metrics`, in the OpenMetrics text format: ingress and edge from their counters, the overlay read off the shard at each scrape.
//!
//! Invariant: what is shown was counted; a shard that does not answer is an error, never a page without its part.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use bore_control::Core;

use super::snapshot::{Snapshot, SnapshotCollector};
use crate::ingress::Shared;
use crate::limits::SCRAPE_TIMEOUT;
use crate::tunnels::Tunnels;

/// Everything that can be scraped.
#[derive(Debug)]
pub(crate) struct Scrape {
    /// With the latest snapshot. Scrapes take turns, so that each shows its own.
    scrape: tokio::sync::Mutex<Registry>,
    snapshot: Arc<Mutex<Snapshot>>,
    tunnels: Arc<Tunnels>,
    shared: Arc<Shared>,
    core: Core,
}

impl Scrape {
    pub(crate) fn register(
        mut registry: Registry,
        tunnels: Arc<Tunnels>,
        shared: Arc<Shared>,
        core: Core,
    ) -> Self {
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("bore_build", "The version that runs", version);
        let snapshot = Arc::<Mutex<Snapshot>>::default();
        registry.register_collector(Box::new(SnapshotCollector(Arc::clone(&snapshot))));
        Self { scrape: tokio::sync::Mutex::new(registry), snapshot, tunnels, shared, core }
    }

    /// Serves `GET /metrics`.
    pub(crate) fn router(self) -> Router {
        Router::new().route("/metrics", get(scrape)).with_state(Arc::new(self))
    }

    /// `None` when the shard does not answer in time.
    async fn text(&self) -> Option<String> {
        let registry = self.scrape.lock().await;
        let counting = self.tunnels.shard.run(|local| async move { local.counters() });
        let counters = tokio::time::timeout(SCRAPE_TIMEOUT, counting).await.ok()?.ok()?;
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Snapshot {
            shard: Some(counters),
            nodes: self.tunnels.members.count(),
            nodes_online: self.tunnels.members.online_count(),
            flows: self.shared.gate.flows.count(),
            carried: self.shared.gate.flows.carried(),
            control: self.core.counted().collect(),
        };
        let mut text = String::new();
        // Writing to memory does not fail.
        encode(&mut text, &registry).ok()?;
        Some(text)
    }
}

async fn scrape(State(exposition): State<Arc<Scrape>>) -> Response {
    match exposition.text().await {
        Some(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the overlay does not answer\n").into_response(),
    }
}

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
