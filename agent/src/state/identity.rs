//! Who this node is: `identity.json`.
//!
//! The private key is made here, is never sent, and leaves memory only into this file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bore_api::wire::Joined;
use bore_overlay::{ClusterPublicKey, JoinKey, PrivateKey, PublicKey, RelayAddress};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A node's key, the relay that it belongs to, and, once joined, its membership.
#[derive(Debug)]
pub(crate) struct Identity {
    private_key: PrivateKey,
    /// The key that signs the relays' keys: whoever holds another one is not our relay.
    pub(crate) cluster: ClusterPublicKey,
    /// Where the relay is, as the join key said.
    pub(crate) relays: Vec<RelayAddress>,
    /// The relay as it was last seen.
    pub(crate) relay: Option<KnownRelay>,
    /// `None` until the relay has answered the join.
    pub(crate) membership: Option<Membership>,
}

/// The relay as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownRelay {
    /// X25519 key, base64.
    pub(crate) public_key: String,
    /// Addresses that answered, the last one first.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// What joining gave this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    /// The node's id.
    pub(crate) node: Uuid,
    /// Its name.
    pub(crate) name: String,
    /// Its network's id.
    pub(crate) network: Uuid,
    /// Its network's name.
    pub(crate) network_name: String,
    /// Its overlay IPv4 address.
    pub(crate) overlay_v4: Ipv4Addr,
    /// Its overlay IPv6 address.
    pub(crate) overlay_v6: Ipv6Addr,
    /// The relay's overlay IPv4 address.
    pub(crate) relay_v4: Ipv4Addr,
    /// The relay's overlay IPv6 address.
    pub(crate) relay_v6: Ipv6Addr,
    /// Port of the relay's control inside the overlay.
    pub(crate) control_port: u16,
    /// Public host name of the relay.
    pub(crate) relay_host: String,
}

impl Identity {
    /// A fresh key for whoever is about to join with `key`.
    pub(crate) fn new(key: &JoinKey) -> Self {
        Self {
            private_key: PrivateKey::generate(&mut rand::rng()),
            cluster: key.cluster,
            relays: key.relays.clone(),
            relay: None,
            membership: None,
        }
    }

    /// A copy of the private key, for the overlay.
    pub(crate) fn private_key(&self) -> PrivateKey {
        PrivateKey::from_bytes(*self.private_key.expose_bytes())
    }

    /// The relay's key as it was last seen.
    pub(crate) fn relay_key(&self) -> Option<PublicKey> {
        self.relay.as_ref().and_then(|relay| relay.public_key.parse().ok())
    }

    /// Notes that the relay answered at `address` with `key`. Answers whether that is news.
    pub(crate) fn remember_relay(&mut self, key: PublicKey, address: SocketAddr) -> bool {
        let public_key = key.to_string();
        let known = self.relay.take();
        let mut addresses = known.as_ref().map(|relay| relay.addresses.clone()).unwrap_or_default();
        addresses.retain(|other| *other != address);
        addresses.insert(0, address);
        addresses.truncate(KNOWN_ADDRESSES_MAX);
        let seen = KnownRelay { public_key, addresses };
        let news = known.as_ref() != Some(&seen);
        self.relay = Some(seen);
        news
    }

    /// The text of `identity.json`. Holds the private key: it goes to that file and nowhere else.
    pub(crate) fn encode(&self) -> Zeroizing<String> {
        let file = File {
            version: FILE_VERSION,
            private_key: SecretText(BASE64.encode(self.private_key.expose_bytes())),
            cluster_key: BASE64.encode(&self.cluster.0),
            relays: self.relays.iter().map(ToString::to_string).collect(),
            relay: self.relay.clone(),
            membership: self.membership.clone(),
        };
        // A struct of strings and numbers always has a JSON form.
        Zeroizing::new(serde_json::to_string_pretty(&file).unwrap_or_default())
    }

    pub(super) fn decode(text: &str) -> Result<Self, String> {
        let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if file.version != FILE_VERSION {
            return Err(format!("version {} is not {FILE_VERSION}", file.version));
        }
        let relays = file.relays.iter().map(|text| text.parse::<RelayAddress>());
        Ok(Self {
            private_key: PrivateKey::from_bytes(*key_bytes("private_key", &file.private_key.0)?),
            cluster: ClusterPublicKey(*key_bytes("cluster_key", &file.cluster_key)?),
            relays: relays.collect::<Result<_, _>>().map_err(|error| error.to_string())?,
            relay: file.relay,
            membership: file.membership,
        })
    }
}

impl Membership {
    /// Both overlay addresses of this node.
    pub(crate) fn addresses(&self) -> [IpAddr; 2] {
        [self.overlay_v4.into(), self.overlay_v6.into()]
    }
}

impl From<Joined> for Membership {
    fn from(answer: Joined) -> Self {
        let Joined { node, network, relay, relay_v4, relay_v6, control_port } = answer;
        Self {
            node: node.id,
            name: node.name,
            network: network.id,
            network_name: network.name,
            overlay_v4: node.overlay_v4,
            overlay_v6: node.overlay_v6,
            relay_v4,
            relay_v6,
            control_port,
            relay_host: relay.host,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    private_key: SecretText,
    cluster_key: String,
    relays: Vec<String>,
    relay: Option<KnownRelay>,
    membership: Option<Membership>,
}

/// Text that is wiped from memory when dropped. Has no `Debug` or `Display`.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct SecretText(String);

fn key_bytes(field: &str, text: &str) -> Result<Zeroizing<[u8; 32]>, String> {
    let bytes = BASE64.decode(text.as_bytes()).map(Zeroizing::new);
    let bytes = bytes.map_err(|error| format!("{field}: {error}"))?;
    let array: Result<[u8; 32], _> = bytes.as_slice().try_into();
    array.map(Zeroizing::new).map_err(|_| format!("{field} is not 32 bytes"))
}

const FILE_VERSION: u32 = 1;
const KNOWN_ADDRESSES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_as_it_was_written() {
        let mut identity = identity();
        identity.remember_relay(relay_key(), "203.0.113.5:443".parse().unwrap());
        let read = Identity::decode(&identity.encode()).unwrap();

        assert_eq!(read.private_key().public(), identity.private_key().public());
        assert_eq!(read.relay, identity.relay);
        assert_eq!(read.relay_key(), Some(relay_key()));
        assert_eq!(read.relays.len(), 2);
    }

    #[test]
    fn debug_output_does_not_show_the_private_key() {
        let identity = identity();
        let secret = BASE64.encode(identity.private_key().expose_bytes());
        assert!(!format!("{identity:?}").contains(&secret));
    }

    #[test]
    fn a_damaged_key_is_named_by_its_field() {
        let text = identity().encode().replace("\"cluster_key\": \"", "\"cluster_key\": \"*");
        assert!(Identity::decode(&text).unwrap_err().starts_with("cluster_key"));
    }

    #[test]
    fn the_address_that_answered_last_comes_first_and_old_ones_are_forgotten() {
        let mut identity = identity();
        let address = |n: u8| SocketAddr::from(([203, 0, 113, n], 443));
        for n in 1..=6 {
            assert!(identity.remember_relay(relay_key(), address(n)));
        }
        assert!(!identity.remember_relay(relay_key(), address(6)), "no news");
        let relay = identity.relay.unwrap();
        assert_eq!(relay.addresses, [address(6), address(5), address(4), address(3)]);
    }

    fn identity() -> Identity {
        Identity {
            private_key: PrivateKey::from_bytes([7; 32]),
            cluster: ClusterPublicKey([3; 32]),
            relays: vec![
                "203.0.113.5:443".parse().unwrap(),
                "relay.example.org:443".parse().unwrap(),
            ],
            relay: None,
            membership: None,
        }
    }

    fn relay_key() -> PublicKey {
        PrivateKey::from_bytes([9; 32]).public()
    }
}
