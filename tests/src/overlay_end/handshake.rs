//! WireGuard's first message made by hand, in the name of any public key, whether its maker has the private one or not.
//!
//! Source: the WireGuard paper (Donenfeld, 2017), §5.4.2, §5.4.4 and §5.4.7.

use std::time::{SystemTime, UNIX_EPOCH};

use blake2::digest::consts::U16;
use blake2::digest::{Digest as _, KeyInit as _, Mac as _};
use blake2::{Blake2s256, Blake2sMac};
use bore_overlay::PublicKey;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, XChaCha20Poly1305};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

/// The identity that a handshake claims.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// The public key that it sends.
    pub public_key: [u8; 32],
    /// What it takes for the secret that this key shares with the relay's.
    pub shared: [u8; 32],
}

impl Claim {
    /// Of a key whose private half is known.
    pub fn honest(private_key: [u8; 32], relay: &PublicKey) -> Self {
        let public_key = x25519(private_key, X25519_BASEPOINT_BYTES);
        Self { public_key, shared: x25519(private_key, relay.0) }
    }

    /// Of a point that shares zero with every key.
    pub fn of_small_order(public_key: [u8; 32]) -> Self {
        Self { public_key, shared: [0; 32] }
    }

    /// The first message to the relay. With a cookie it proves where it comes from.
    pub fn initiation(&self, relay: &PublicKey, cookie: Option<[u8; 16]>) -> Vec<u8> {
        let private_key: [u8; 32] = rand::random();
        let ephemeral = x25519(private_key, X25519_BASEPOINT_BYTES);
        let mut chain = hash(&[CONSTRUCTION]);
        let mut transcript = hash(&[&chain, IDENTIFIER]);
        transcript = hash(&[&transcript, &relay.0]);
        transcript = hash(&[&transcript, &ephemeral]);
        chain = derive(&chain, &ephemeral).0;
        let (next, key) = derive(&chain, &x25519(private_key, relay.0));
        let sealed_key = seal(&key, &self.public_key, &transcript);
        transcript = hash(&[&transcript, &sealed_key]);
        let (_, key) = derive(&next, &self.shared);
        let sealed_time = seal(&key, &timestamp(), &transcript);

        let index: [u8; 4] = rand::random();
        let mut message =
            [&[1, 0, 0, 0][..], &index, &ephemeral, &sealed_key, &sealed_time].concat();
        message.extend(mac(&hash(&[b"mac1----", &relay.0]), &message));
        let proof = cookie.map_or([0; 16], |cookie| mac(&cookie, &message));
        message.extend(proof);
        message
    }
}

/// The cookie in the relay's answer to `initiation`.
pub fn cookie(relay: &PublicKey, initiation: &[u8], answer: &[u8]) -> Option<[u8; 16]> {
    let (nonce, sealed) = (answer.get(8..32)?, answer.get(32..64)?);
    let key = hash(&[b"cookie--", &relay.0]);
    let payload = Payload { msg: sealed, aad: initiation.get(116..132)? };
    XChaCha20Poly1305::new(&key.into()).decrypt(nonce.into(), payload).ok()?.try_into().ok()
}

fn timestamp() -> [u8; 12] {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let mut label = [0; 12];
    label[..8].copy_from_slice(&(TAI64_BASE + since.as_secs()).to_be_bytes());
    label[8..].copy_from_slice(&since.subsec_nanos().to_be_bytes());
    label
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    Blake2s256::digest(parts.concat()).into()
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 16] {
    let mut mac =
        <Blake2sMac<U16> as blake2::digest::Mac>::new_from_slice(key).expect("a short key");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn seal(key: &[u8; 32], message: &[u8], transcript: &[u8]) -> Vec<u8> {
    let payload = Payload { msg: message, aad: transcript };
    ChaCha20Poly1305::new(key.into()).encrypt(&[0; 12].into(), payload).expect("a short message")
}

/// The paper's KDF2.
fn derive(chain: &[u8; 32], input: &[u8]) -> ([u8; 32], [u8; 32]) {
    let secret = hmac(chain, input);
    let first = hmac(&secret, &[1]);
    (first, hmac(&secret, &[&first[..], &[2]].concat()))
}

/// RFC 2104 over BLAKE2s, whose block has 64 bytes.
fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = hash(&[&padded(0x36), message]);
    hash(&[&padded(0x5c), &inner])
}

const CONSTRUCTION: &[u8] = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const IDENTIFIER: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";
const TAI64_BASE: u64 = 0x4000_0000_0000_000a;
