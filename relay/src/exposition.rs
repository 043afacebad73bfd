//! `/metrics`, in the OpenMetrics text format: ingress and edge from their counters, the overlay read off the shard at each scrape.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bore_driver::Counters;
use bore_overlay::DropReason;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::steward::Steward;

/// Everything that can be scraped.
#[derive(Debug)]
pub(crate) struct Exposition {
    registry: Registry,
    steward: Arc<Steward>,
}

impl Exposition {
    pub(crate) fn register(registry: Registry, steward: Arc<Steward>) -> Self {
        Self { registry, steward }
    }

    /// Serves `GET /metrics`.
    pub(crate) fn router(self) -> Router {
        Router::new().route("/metrics", get(scrape)).with_state(Arc::new(self))
    }

    async fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        // The shard's part goes in front of the end mark.
        let body = text.trim_end().trim_end_matches("# EOF").to_owned();
        let mut text = body;
        self.write_gauges(&mut text)?;
        if let Ok(counters) = self.steward.shard.run(|local| async move { local.counters() }).await
        {
            write_shard(&mut text, &counters)?;
        }
        text.push_str("# EOF\n");
        Ok(text)
    }

    fn write_gauges(&self, text: &mut String) -> std::fmt::Result {
        let members = &self.steward.members;
        gauge(text, "bore_nodes", "Nodes with a tunnel here", members.count())?;
        gauge(text, "bore_nodes_online", "Nodes whose tunnel is up", members.online_count())?;
        gauge(
            text,
            "bore_flows_open",
            "Open flows of visitors",
            self.steward.shared.gate.flows.count(),
        )
    }
}

async fn scrape(State(exposition): State<Arc<Exposition>>) -> Response {
    match exposition.text().await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn write_shard(text: &mut String, counters: &Counters) -> std::fmt::Result {
    let driver = &counters.driver;
    let pairs = [
        ("datagrams_received", "Datagrams at the overlay's socket", driver.datagrams_received),
        ("datagrams_sent", "Datagrams sent by the overlay", driver.datagrams_sent),
        ("received_bytes", "Bytes at the overlay's socket", driver.bytes_received),
        ("sent_bytes", "Bytes sent by the overlay", driver.bytes_sent),
        ("send_buffer_full", "Datagrams dropped at a full kernel buffer", driver.send_buffer_full),
        ("send_failed", "Datagrams that the kernel refused", driver.send_failed),
        (
            "without_session",
            "Inner packets without a session to carry them",
            driver.without_session,
        ),
    ];
    for (name, help, value) in pairs {
        counter(text, &format!("bore_overlay_{name}"), help, value)?;
    }
    for (name, value) in counters.overlay.named() {
        counter(text, &format!("bore_overlay_{name}"), "Overlay events, by name", value)?;
    }
    writeln!(
        text,
        "# HELP bore_overlay_dropped Datagrams and packets dropped, by reason.\n# TYPE bore_overlay_dropped counter"
    )?;
    for reason in DropReason::ALL {
        let value = counters.overlay.dropped(reason);
        writeln!(text, "bore_overlay_dropped_total{{reason=\"{}\"}} {value}", reason.name())?;
    }
    for (name, value) in counters.netstack.named() {
        counter(text, &format!("bore_netstack_{name}"), "Netstack events, by name", value)?;
    }
    gauge(text, "bore_netstack_flows", "TCP flows in the netstack", counters.flows)
}

fn counter(text: &mut String, name: &str, help: &str, value: u64) -> std::fmt::Result {
    writeln!(text, "# HELP {name} {help}.\n# TYPE {name} counter\n{name}_total {value}")
}

fn gauge(text: &mut String, name: &str, help: &str, value: usize) -> std::fmt::Result {
    writeln!(text, "# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {value}")
}

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
