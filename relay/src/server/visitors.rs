//! The two shared ports for visitors of names.

use std::sync::Arc;
use std::time::Duration;

use bore_edge::{Edge, EdgeSettings, Scheme};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::addresses::Addresses;
use super::closing::until;
use super::ground::port_of;
use crate::config::Config;
use crate::descriptors::Shares;
use crate::origins::OverlayOrigins;

/// Serves visitors on the two shared ports, until `closing`.
pub(super) fn start_edge(
    listeners: [TcpListener; 2],
    settings: [EdgeSettings; 2],
    edge: Edge<OverlayOrigins>,
    closing: &watch::Receiver<bool>,
) -> JoinHandle<()> {
    let edge = Arc::new(edge);
    let serving = listeners.into_iter().zip(settings).map(|(listener, settings)| {
        let mut closing = closing.clone();
        let shutdown = async move { until(&mut closing).await };
        Box::pin(bore_edge::serve(listener, Arc::clone(&edge), settings, shutdown))
    });
    let serving: Vec<_> = serving.collect();
    tokio::spawn(async move {
        futures_util::future::join_all(serving).await;
    })
}

/// Of the two shared ports.
pub(super) fn edge_settings(
    config: &Config,
    addresses: Addresses,
    shares: Shares,
) -> [EdgeSettings; 2] {
    let https_port = port_of(config.public_https_port, addresses.https);
    let plain = EdgeSettings {
        address: config.host.parse().ok(),
        public_port: Some(port_of(config.public_http_port, addresses.http)),
        https_port: Some(https_port),
        hsts_seconds: config.tls.hsts_seconds,
        proxies: config.tls.proxy_protocol_from.clone(),
        progress_window: Duration::from_secs(config.visitor_pause_seconds_max.get().into()),
        connections_max: shares.edge_connections,
        ..EdgeSettings::default()
    };
    let public_port = Some(https_port);
    let secure = EdgeSettings { scheme: Scheme::Https, public_port, ..plain.clone() };
    [plain, secure]
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::num::NonZeroU16;

    use super::*;

    #[test]
    fn visitors_are_told_of_the_ports_that_they_see() {
        let mut config = Config::for_host("relay.example.org");
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (http, https, overlay) = (at(8080), at(8443), at(1));
        let addresses = Addresses { overlay, http, https, api: at(2), metrics: at(3), dns: None };
        let told = |config: &Config| {
            let [plain, secure] = edge_settings(config, addresses, Shares::of_process());
            [plain.public_port, plain.https_port, secure.public_port]
        };
        assert_eq!(told(&config), [Some(8080), Some(8443), Some(8443)]);
        config.public_http_port = NonZeroU16::new(80);
        config.public_https_port = NonZeroU16::new(443);
        assert_eq!(told(&config), [Some(80), Some(443), Some(443)]);
    }
}
