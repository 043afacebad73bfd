//! `bore node add NAME --wireguard`: a key pair made here, its public half registered, a wg-quick file and a QR code printed once.
//!
//! Such a node reaches the relay and is reached through it; it has no tunnel of its own to other nodes, and it recovers by WireGuard's
//! own timers rather than at once.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bore_api::Code;
use bore_api::model::Node;
use bore_api::state::RelayInfo;
use bore_api::wire::{NetworkView, NewWireguardNode};
use bore_overlay::PrivateKey;
use qrcode::render::unicode::Dense1x2;
use serde_json::json;
use zeroize::Zeroizing;

use super::demand_wireguard;
use crate::api::Api;
use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::wanted::parse_name;

/// Inner MTU of every tunnel: what any path carries.
const MTU: u16 = 1280;
/// Keeps the way back through a NAT open, seconds.
const KEEPALIVE_SECONDS: u16 = 25;
/// `bore node add`.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// A DNS label
    #[arg(value_parser = parse_name)]
    name: String,
    /// A stock WireGuard client
    #[arg(long)]
    wireguard: bool,
    /// Put it into this group (repeatable)
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
    /// The relay's UDP address as the client will reach it [default: what the relay says]
    #[arg(long, value_name = "HOST:PORT")]
    endpoint: Option<String>,
    /// Write the wg-quick file here (0600) instead of printing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Add {
    /// Registers the node and prints its file.
    pub(super) async fn run(self, context: &Context<'_>, api: &Api, nodes: &str) -> CliResult {
        demand_wireguard(self.wireguard)?;
        let network = nodes.strip_suffix("/nodes").unwrap_or(nodes);
        let relay: RelayInfo = api.get("/v1/relay").await?;
        let network: NetworkView = api.get(network).await?;
        let private = PrivateKey::generate(&mut rand::rng());
        let wanted = NewWireguardNode {
            name: self.name.clone(),
            public_key: private.public().to_string(),
            groups: self.groups.clone(),
        };
        let node: Node = api.post(nodes, &wanted).await?;
        let endpoint = self.endpoint.clone().unwrap_or_else(|| endpoint(&relay));
        let file = wg_quick(&private, &node, &network, &relay, &endpoint);
        self.hand_over(context, &node, &file)
    }

    fn hand_over(&self, context: &Context<'_>, node: &Node, file: &str) -> CliResult {
        if let Some(path) = &self.out {
            write_private(path, file)?;
            let fields = json!({ "node": node, "file": path });
            context.output.result("node_added", &fields, &format!("wrote {}", path.display()))?;
        } else {
            context.output.result(
                "node_added",
                &json!({ "node": node, "wg_quick": file }),
                file.trim_end(),
            )?;
        }
        if !context.output.json() {
            context.output.note(&qr_code(file)?);
        }
        context.output.note(&format!(
            "node {} has {} and {}; this key is shown once",
            node.name, node.overlay_v4, node.overlay_v6
        ));
        Ok(())
    }
}

fn endpoint(relay: &RelayInfo) -> String {
    let (host, port) = (&relay.host, relay.overlay_port);
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn wg_quick(
    private: &PrivateKey,
    node: &Node,
    network: &NetworkView,
    relay: &RelayInfo,
    endpoint: &str,
) -> Zeroizing<String> {
    let key = private.expose_base64();
    Zeroizing::new(format!(
        "[Interface]\nPrivateKey = {}\nAddress = {}/32, {}/128\nMTU = {MTU}\n\n\
         [Peer]\nPublicKey = {}\nAllowedIPs = {}/32, {}/128\nEndpoint = {endpoint}\n\
         PersistentKeepalive = {KEEPALIVE_SECONDS}\n",
        key.as_str(),
        node.overlay_v4,
        node.overlay_v6,
        relay.public_key,
        network.relay_v4,
        network.relay_v6
    ))
}

/// Light modules are drawn and dark ones left out: right on the dark ground that most terminals have, and readers take both.
fn qr_code(text: &str) -> CliResult<String> {
    let code = qrcode::QrCode::new(text).map_err(|error| CliError::wrap(Code::INTERNAL, &error))?;
    let mut image = code.render::<Dense1x2>();
    Ok(image.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

/// Only its owner may read it; nothing is overwritten.
fn write_private(path: &Path, text: &str) -> CliResult {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written =
        file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| CliError::io(format!("cannot write {}", path.display()), &error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use bore_api::model::{Network, NodeKind};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_file_is_what_wg_quick_reads() {
        let private = PrivateKey::from_bytes([7; 32]);
        let file = wg_quick(&private, &node(), &network(), &relay(), "203.0.113.5:51820");
        for line in [
            "Address = 100.64.0.2/32, fd00::2/128",
            "AllowedIPs = 100.64.0.1/32, fd00::1/128",
            "Endpoint = 203.0.113.5:51820",
            "PersistentKeepalive = 25",
        ] {
            assert!(file.lines().any(|each| each == line), "{line}");
        }
    }

    #[test]
    fn an_ipv6_relay_stands_in_brackets() {
        let mut relay = relay();
        assert_eq!(endpoint(&relay), "203.0.113.5:51820");
        relay.host = "2001:db8::5".into();
        assert_eq!(endpoint(&relay), "[2001:db8::5]:51820");
    }

    #[test]
    fn the_qr_code_is_drawn_in_half_blocks() {
        let code = qr_code("[Interface]").unwrap();
        assert!(code.contains('▀') && code.lines().count() > 10, "{code}");
    }

    #[test]
    fn a_key_file_is_private_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("phone.conf");
        write_private(&path, "x").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write_private(&path, "y").is_err());
    }

    fn node() -> Node {
        Node {
            id: Uuid::nil(),
            network: Uuid::nil(),
            name: "phone".into(),
            kind: NodeKind::Wireguard,
            public_key: String::new(),
            overlay_v4: "100.64.0.2".parse().unwrap(),
            overlay_v6: "fd00::2".parse().unwrap(),
            groups: Vec::new(),
            ephemeral: false,
            join_key: None,
            created_at: 0,
        }
    }

    fn network() -> NetworkView {
        NetworkView {
            network: Network { id: Uuid::nil(), name: "default".into(), created_at: 0 },
            relay_v4: "100.64.0.1".parse().unwrap(),
            relay_v6: "fd00::1".parse().unwrap(),
        }
    }

    fn relay() -> RelayInfo {
        RelayInfo {
            host: "203.0.113.5".into(),
            overlay_port: 51820,
            public_key: "K".into(),
            version: "0.1.0".into(),
            draining: false,
            http_port: 80,
            https_port: 443,
        }
    }
}
