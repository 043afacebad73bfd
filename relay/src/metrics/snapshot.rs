//! What a scrape shows that is not counted by metrics of its own: figures of the shard, the members and the flows at one moment.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bore_driver::Counters;
use bore_overlay::DropReason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::flows::Carried;

/// The figures at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) shard: Option<Counters>,
    pub(crate) nodes: usize,
    pub(crate) nodes_online: usize,
    pub(crate) flows: usize,
    pub(crate) carried: Carried,
    /// Name, meaning and value of what the control room counts.
    pub(crate) control: Vec<(&'static str, &'static str, u64)>,
}

/// Shows the latest snapshot.
#[derive(Debug)]
pub(crate) struct SnapshotCollector(pub(crate) Arc<Mutex<Snapshot>>);

impl Collector for SnapshotCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        snapshot.encode(&mut encoder)
    }
}

impl Snapshot {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        gauge(encoder, "bore_nodes", "Nodes that may have a tunnel here", self.nodes)?;
        gauge(encoder, "bore_nodes_online", "Nodes whose tunnel is up", self.nodes_online)?;
        gauge(encoder, "bore_flows_open", "Flows of visitors now", self.flows)?;
        let Carried { received_bytes, sent_bytes } = self.carried;
        let unit = Some(&Unit::Bytes);
        counter(encoder, "bore_ingress_received", "From visitors to agents", unit, received_bytes)?;
        counter(encoder, "bore_ingress_sent", "From agents to visitors", unit, sent_bytes)?;
        for (name, help, value) in &self.control {
            counter(encoder, &format!("bore_control_{name}"), help, None, *value)?;
        }
        self.shard.as_ref().map_or(Ok(()), |shard| encode_shard(encoder, shard))
    }
}

fn encode_shard(encoder: &mut DescriptorEncoder<'_>, shard: &Counters) -> fmt::Result {
    gauge(encoder, "bore_netstack_flows_open", "TCP flows in the netstack now", shard.flows)?;
    let driver = &shard.driver;
    let bytes = Some(&Unit::Bytes);
    for (name, help, unit, value) in [
        ("datagrams_received", "Datagrams received", None, driver.datagrams_received),
        ("datagrams_sent", "Datagrams sent", None, driver.datagrams_sent),
        ("segmented_sends", "Trains sent with one call", None, driver.segmented_sends),
        ("received", "At the overlay's socket", bytes, driver.bytes_received),
        ("sent", "By the overlay's socket", bytes, driver.bytes_sent),
        ("send_buffer_full", "Datagrams without room in the kernel", None, driver.send_buffer_full),
        ("send_failed", "Datagrams that the kernel refused", None, driver.send_failed),
        ("without_session", "Inner packets without a session", None, driver.without_session),
        ("not_built", "Datagrams that no inner packet can hold", None, driver.not_built),
    ] {
        counter(encoder, &format!("bore_overlay_{name}"), help, unit, value)?;
    }
    for (name, value) in shard.overlay.named() {
        counter(encoder, &format!("bore_overlay_{name}"), &in_words(name), None, value)?;
    }
    for (name, value) in shard.netstack.named() {
        counter(encoder, &format!("bore_netstack_{name}"), &in_words(name), None, value)?;
    }
    encode_drops(encoder, &shard.overlay)
}

fn encode_drops(
    encoder: &mut DescriptorEncoder<'_>,
    counters: &bore_overlay::Counters,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "bore_overlay_dropped",
        "Datagrams and inner packets dropped",
        None,
        MetricType::Counter,
    )?;
    DropReason::ALL.into_iter().try_for_each(|reason| {
        let labels = [("reason", reason.name())];
        ConstCounter::new(counters.dropped(reason)).encode(family.encode_family(&labels)?)
    })
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: u64,
) -> fmt::Result {
    let encoder: MetricEncoder<'_> =
        encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
    ConstCounter::new(value).encode(encoder)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: usize) -> fmt::Result {
    let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder)
}

/// `tunnels_up` is "Tunnels up".
fn in_words(name: &str) -> String {
    let mut words = name.replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}
