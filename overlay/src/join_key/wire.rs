//! The bytes of a join key; the table is in the parent module.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use zeroize::Zeroizing;

use super::{JoinKey, JoinKeyError, JoinSecret};
use crate::address::NetworkId;
use crate::cluster::ClusterPublicKey;
use crate::limits::JOIN_KEY_RELAYS_MAX;
use crate::relay_address::RelayAddress;

pub(super) fn encode(key: &JoinKey) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(CAPACITY));
    bytes.push(VERSION);
    bytes.extend_from_slice(key.cluster.as_bytes());
    bytes.extend_from_slice(&key.network.0);
    bytes.extend_from_slice(&key.key_id);
    bytes.extend_from_slice(key.secret.expose_bytes());
    let count = key.relays.len().min(JOIN_KEY_RELAYS_MAX);
    bytes.push(u8::try_from(count).unwrap_or(u8::MAX));
    for relay in key.relays.iter().take(count) {
        encode_relay(relay, &mut bytes);
    }
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_be_bytes());
    bytes
}

fn encode_relay(relay: &RelayAddress, bytes: &mut Vec<u8>) {
    let port = match relay {
        RelayAddress::Socket(address) => {
            match address.ip() {
                IpAddr::V4(v4) => {
                    bytes.push(KIND_V4);
                    bytes.extend_from_slice(&v4.octets());
                }
                IpAddr::V6(v6) => {
                    bytes.push(KIND_V6);
                    bytes.extend_from_slice(&v6.octets());
                }
            }
            address.port()
        }
        RelayAddress::Name { host, port } => {
            let length = u8::try_from(host.len()).unwrap_or(u8::MAX);
            bytes.extend_from_slice(&[KIND_NAME, length]);
            bytes.extend(host.bytes().take(usize::from(length)));
            *port
        }
    };
    bytes.extend_from_slice(&port.to_be_bytes());
}

/// The checksum comes before everything but length, so that a typing error is never reported as something else.
pub(super) fn decode(bytes: &[u8]) -> Result<JoinKey, JoinKeyError> {
    let (body, checksum) = bytes.split_last_chunk::<4>().ok_or(JoinKeyError::Truncated)?;
    let sound = crc32fast::hash(body) == u32::from_be_bytes(*checksum);
    match read(body) {
        Ok(key) if sound => Ok(key),
        Err(error) if sound => Err(error),
        Err(JoinKeyError::Truncated) if bytes.first() == Some(&VERSION) => {
            Err(JoinKeyError::Truncated)
        }
        Ok(_) | Err(_) => Err(JoinKeyError::Checksum),
    }
}

fn read(body: &[u8]) -> Result<JoinKey, JoinKeyError> {
    let mut reader = Reader(body);
    let [version] = reader.take()?;
    if version != VERSION {
        return Err(JoinKeyError::Version(version));
    }
    let cluster = ClusterPublicKey(reader.take()?);
    let network = NetworkId(reader.take()?);
    let key_id = reader.take()?;
    let secret = JoinSecret::from_bytes(reader.take()?);
    let relays = read_relays(&mut reader)?;
    if !reader.0.is_empty() {
        return Err(JoinKeyError::Address);
    }
    Ok(JoinKey { cluster, network, key_id, secret, relays })
}

fn read_relays(reader: &mut Reader<'_>) -> Result<Vec<RelayAddress>, JoinKeyError> {
    let [count] = reader.take()?;
    if !(1..=JOIN_KEY_RELAYS_MAX).contains(&usize::from(count)) {
        return Err(JoinKeyError::Address);
    }
    (0..count).map(|_| read_relay(reader)).collect()
}

fn read_relay(reader: &mut Reader<'_>) -> Result<RelayAddress, JoinKeyError> {
    let [kind] = reader.take()?;
    match kind {
        KIND_V4 => {
            let ip = Ipv4Addr::from(reader.take::<4>()?);
            socket(ip.into(), reader.port()?)
        }
        KIND_V6 => {
            let ip = Ipv6Addr::from(reader.take::<16>()?);
            socket(ip.into(), reader.port()?)
        }
        KIND_NAME => {
            let [length] = reader.take()?;
            let host = reader.slice(usize::from(length))?;
            let host = str::from_utf8(host).map_err(|_| JoinKeyError::Address)?;
            RelayAddress::name(host, reader.port()?).map_err(|_| JoinKeyError::Address)
        }
        _ => Err(JoinKeyError::Address),
    }
}

fn socket(ip: IpAddr, port: u16) -> Result<RelayAddress, JoinKeyError> {
    if port == 0 || ip.is_unspecified() || ip.is_multicast() {
        return Err(JoinKeyError::Address);
    }
    Ok(SocketAddr::new(ip, port).into())
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], JoinKeyError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(JoinKeyError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], JoinKeyError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(JoinKeyError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn port(&mut self) -> Result<u16, JoinKeyError> {
        self.take().map(u16::from_be_bytes)
    }
}

const VERSION: u8 = 1;
const KIND_V4: u8 = 4;
const KIND_V6: u8 = 6;
const KIND_NAME: u8 = 1;
/// Room for the largest key, so that no reallocation leaves a copy of the secret behind.
const CAPACITY: usize = 1 + 32 + 16 + 16 + 20 + 1 + JOIN_KEY_RELAYS_MAX * (2 + 255 + 2) + 4;
