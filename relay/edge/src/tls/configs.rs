//! How the relay speaks TLS: versions, ALPN, resumption, one provider.
//!
//! Each connection gets the shared configuration with the one certificate that was decided on for it, so that what was decided is what
//! is shown. Sessions are resumed by tickets whose keys live in this process and rotate; nothing is kept per visitor. There is no 0-RTT:
//! what is sent early can be sent twice.
//!
//! Key exchange offers X25519MLKEM768 first (the provider's default with `prefer-post-quantum`).
//! Source: RFC 8446, RFC 5077, RFC 8737 §3.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

/// The oldest protocol that visitors may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TlsMinimum {
    /// TLS 1.2, for old visitors.
    Tls12,
    /// TLS 1.3. The default.
    #[default]
    Tls13,
}

/// What connections begin from.
#[derive(Debug)]
pub(crate) struct Configs {
    minimum: TlsMinimum,
    strict: ServerConfig,
    lenient: ServerConfig,
    challenge: ServerConfig,
}

impl Configs {
    pub(crate) fn new(minimum: TlsMinimum) -> Result<Self, rustls::Error> {
        let ticketer = Ticketer::new()?;
        let for_http = |minimum| {
            let mut config = base(minimum)?;
            config.alpn_protocols = vec![H2.to_vec(), HTTP_11.to_vec(), HTTP_10.to_vec()];
            config.ticketer = Arc::clone(&ticketer);
            Ok::<_, rustls::Error>(config)
        };
        let (strict, lenient) = (for_http(TlsMinimum::Tls13)?, for_http(TlsMinimum::Tls12)?);
        let mut challenge = base(TlsMinimum::Tls12)?;
        challenge.alpn_protocols = vec![ACME_TLS.to_vec()];
        challenge.send_tls13_tickets = 0;
        Ok(Self { minimum, strict, lenient, challenge })
    }

    /// For HTTP with visitors who speak at least `minimum`; `None`: what goes for all.
    pub(crate) fn for_visitor(
        &self,
        certificate: Arc<CertifiedKey>,
        minimum: Option<TlsMinimum>,
    ) -> Arc<ServerConfig> {
        let base = match minimum.unwrap_or(self.minimum) {
            TlsMinimum::Tls13 => &self.strict,
            TlsMinimum::Tls12 => &self.lenient,
        };
        with(base, certificate)
    }

    /// Whether a connection in `spoken` may carry requests for a host that asks for `minimum`.
    pub(crate) fn suffices(&self, spoken: TlsMinimum, minimum: Option<TlsMinimum>) -> bool {
        spoken >= minimum.unwrap_or(self.minimum)
    }

    /// For a certificate authority that checks a name.
    pub(crate) fn for_challenge(&self, certificate: Arc<CertifiedKey>) -> Arc<ServerConfig> {
        with(&self.challenge, certificate)
    }
}

fn base(minimum: TlsMinimum) -> Result<ServerConfig, rustls::Error> {
    let versions: &[&rustls::SupportedProtocolVersion] = match minimum {
        TlsMinimum::Tls12 => &[&TLS13, &TLS12],
        TlsMinimum::Tls13 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Chosen(None)));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

fn with(base: &ServerConfig, certificate: Arc<CertifiedKey>) -> Arc<ServerConfig> {
    let mut config = base.clone();
    config.cert_resolver = Arc::new(Chosen(Some(certificate)));
    Arc::new(config)
}

/// The certificate that was decided on before the handshake goes on.
#[derive(Debug)]
struct Chosen(Option<Arc<CertifiedKey>>);

impl ResolvesServerCert for Chosen {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

/// HTTP/2 (RFC 9113 §3.2).
pub(crate) const H2: &[u8] = b"h2";
/// HTTP/1.1.
const HTTP_11: &[u8] = b"http/1.1";
/// HTTP/1.0: who offers nothing else would be refused by TLS (RFC 7301 §3.2).
const HTTP_10: &[u8] = b"http/1.0";
/// A certificate authority that checks a name.
pub(crate) const ACME_TLS: &[u8] = b"acme-tls/1";
/// An agent or relay whose datagrams travel in a stream.
pub(crate) const CARRIER: &[u8] = b"bore/1";

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    #[test]
    fn post_quantum_key_exchange_is_offered_first() {
        let groups = default_provider().kx_groups;
        assert_eq!(groups.first().map(|group| group.name()), Some(NamedGroup::X25519MLKEM768));
    }
}
