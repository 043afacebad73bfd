//! A chain and its key, read and checked before anybody is answered with them.

use std::sync::Arc;

use bore_api::model::Micros;
use bore_control::clean_text;
use bore_control::sealing::Secret;
use bore_edge::tls::{CertifiedName, certified_names};
use instant_acme::CertificateIdentifier;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use super::limits::{DETAIL_CHARS_MAX, NAMES_MAX};
use super::name::Name;

/// What visitors can be answered with, and what it says about itself.
#[derive(Debug, Clone)]
pub(super) struct Certified {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) names: Vec<Name>,
    pub(super) issuer: String,
    pub(super) not_before: Micros,
    pub(super) not_after: Micros,
}

/// Why a chain or key is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertifiedError {
    #[error("the chain is not PEM: {0}")]
    Chain(rustls::pki_types::pem::Error),
    #[error("the key is not PEM")]
    Key,
    #[error("chain and key do not belong together")]
    Mismatch(#[source] rustls::Error),
    #[error("the leaf is no X.509 certificate")]
    Leaf,
}

impl Certified {
    /// Reads a chain and its PKCS #8 key, both PEM.
    pub(super) fn read(chain: &str, key: &KeyPem) -> Result<Self, CertifiedError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(CertifiedError::Chain)?;
        let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
            .map_err(|_| CertifiedError::Key)?;
        let leaf = chain.first().ok_or(CertifiedError::Leaf)?.clone();
        // Also compares the public keys.
        let key = CertifiedKey::from_der(chain, key, &default_provider())
            .map_err(CertifiedError::Mismatch)?;
        let (_, leaf) = X509Certificate::from_der(&leaf).map_err(|_| CertifiedError::Leaf)?;
        Ok(Self {
            key: Arc::new(key),
            names: names(&leaf),
            issuer: issuer(&leaf),
            not_before: micros(leaf.validity().not_before.timestamp()),
            not_after: micros(leaf.validity().not_after.timestamp()),
        })
    }

    /// By what the CA knows it (RFC 9773 §4.1); `None` when the CA did not say by which key it signed.
    pub(super) fn identifier(&self) -> Option<CertificateIdentifier<'static>> {
        let leaf = self.key.cert.first()?;
        CertificateIdentifier::try_from(leaf).ok().map(CertificateIdentifier::into_owned)
    }
}

/// A private key, PKCS #8 in PEM. Never printed, wiped when dropped.
pub(super) struct KeyPem(Zeroizing<String>);

impl KeyPem {
    /// A key of its own for a certificate.
    pub(super) fn generate() -> Result<Self, rcgen::Error> {
        KeyPair::generate().map(|key| Self(Zeroizing::new(key.serialize_pem())))
    }

    /// `None` when it is no text.
    pub(super) fn of_secret(secret: &Secret) -> Option<Self> {
        secret.expose_text().map(|text| Self(Zeroizing::new(text.to_owned())))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// What asks a CA to certify the key for `names`, DER.
    pub(super) fn request<'a>(
        &self,
        names: impl Iterator<Item = &'a Name>,
    ) -> Result<Vec<u8>, rcgen::Error> {
        let names: Vec<String> = names.map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names)?;
        // A common name is for CAs that predate the list of names.
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&KeyPair::from_pem(&self.0)?)?;
        Ok(request.der().to_vec())
    }
}

impl std::fmt::Debug for KeyPem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPem(***)")
    }
}

/// The certificate that proves `name` to a visitor with ALPN `acme-tls/1` (RFC 8737 §3).
pub(super) fn for_challenge(
    name: &Name,
    digest: &[u8; 32],
) -> Result<Arc<CertifiedKey>, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_string()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let chain = vec![certificate.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    // Not checked by rustls, which refuses the critical extension that makes it a proof.
    let key = any_supported_type(&key).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

/// Those that could have been ordered.
fn names(leaf: &X509Certificate<'_>) -> Vec<Name> {
    let listed = certified_names(leaf).unwrap_or_default().into_iter();
    let ordered = listed.filter_map(|name| match name {
        CertifiedName::Exact(host) => Name::parse(&host),
        CertifiedName::Below(parent) => Name::parse(&format!("*.{parent}")),
        CertifiedName::Address(address) => Some(Name::Address(address)),
    });
    ordered.take(NAMES_MAX).collect()
}

/// Organisation, else common name, else all of it.
fn issuer(leaf: &X509Certificate<'_>) -> String {
    let named = leaf.issuer().iter_organization().chain(leaf.issuer().iter_common_name());
    let named: Vec<&str> = named.filter_map(|part| part.as_str().ok()).collect();
    let text = if named.is_empty() { leaf.issuer().to_string() } else { named.join(", ") };
    clean_text(&text, DETAIL_CHARS_MAX)
}

fn micros(seconds: i64) -> Micros {
    seconds.saturating_mul(1_000_000)
}
