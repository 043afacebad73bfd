//! A certificate for the measured programs, and a client that trusts it.
//!
//! ECDSA with P-256, signed by itself: every program shows the same one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::generate_simple_self_signed;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, NamedGroup, RootCertStore};

use crate::Result;

/// Hostnames of the measured publications are below it.
pub(crate) const DOMAIN: &str = "bench.test";

/// The one that is visited.
pub(crate) const HOST: &str = "app.bench.test";

/// A certificate and its key, in files.
#[derive(Debug)]
pub(crate) struct Certified {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
    /// Both in one, as haproxy wants them.
    pub(crate) both: PathBuf,
    der: CertificateDer<'static>,
}

impl Certified {
    /// Makes one for [`HOST`].
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let made = generate_simple_self_signed([HOST.to_owned()])?;
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let at = |name: &str| folder.join(name);
        let certified = Self {
            chain: at("chain.pem"),
            key: at("key.pem"),
            both: at("both.pem"),
            der: made.cert.der().clone(),
        };
        fs::write(&certified.chain, &chain)?;
        fs::write(&certified.key, &key)?;
        fs::write(&certified.both, chain + &key)?;
        Ok(certified)
    }

    /// A table of relay.toml.
    pub(crate) fn as_configuration(&self) -> String {
        let (chain, key) = (self.chain.display(), self.key.display());
        format!("[tls]\ncertificate_files = [{{ chain = \"{chain}\", key = \"{key}\" }}]\n")
    }

    /// A client that offers TLS 1.3, AES-128-GCM and one group, so that all programs do the same work.
    pub(crate) fn client(&self, group: NamedGroup, tickets: usize) -> Result<ClientConfig> {
        let mut provider = default_provider();
        provider.cipher_suites = vec![TLS13_AES_128_GCM_SHA256];
        provider.kx_groups.retain(|offered| offered.name() == group);
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        let mut config = ClientConfig::builder_with_provider(Arc::<CryptoProvider>::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = match tickets {
            0 => Resumption::disabled(),
            _ => Resumption::in_memory_sessions(tickets),
        };
        Ok(config)
    }
}
