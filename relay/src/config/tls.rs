//! The `[tls]` table of `relay.toml`: how HTTPS is spoken, and what stands in front of it.

use std::path::PathBuf;

use bore_edge::tls::{CertificateFiles, TlsMinimum};
use ipnet::IpNet;
use serde::Deserialize;

use super::ConfigError;

/// How the relay speaks HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsConfig {
    /// The oldest protocol that visitors may speak. Default TLS 1.3.
    pub minimum: TlsMinimum,
    /// `max-age` of `Strict-Transport-Security`. Default: none is sent.
    pub hsts_seconds: Option<u32>,
    /// Certificates from files, read again when they change. Default: none.
    pub certificate_files: Vec<CertificateFiles>,
    /// Networks of load balancers that begin connections with a PROXY protocol header. Default: none.
    pub proxy_protocol_from: Vec<IpNet>,
}

/// The table as it is written; every key of it is in [`KEYS`].
#[derive(Debug, Deserialize)]
pub(super) struct Table {
    min: Option<String>,
    hsts_seconds: Option<u32>,
    certificate_files: Option<Vec<Pair>>,
    proxy_protocol_from: Option<Vec<IpNet>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    chain: PathBuf,
    key: PathBuf,
}

/// Keys that the table may have.
pub(super) const KEYS: [&str; 4] =
    ["min", "hsts_seconds", "certificate_files", "proxy_protocol_from"];

impl Table {
    pub(super) fn check(self) -> Result<TlsConfig, ConfigError> {
        let pairs = self.certificate_files.unwrap_or_default().into_iter();
        Ok(TlsConfig {
            minimum: minimum(self.min.as_deref())?,
            hsts_seconds: self.hsts_seconds,
            certificate_files: pairs
                .map(|Pair { chain, key }| CertificateFiles { chain, key })
                .collect(),
            proxy_protocol_from: self.proxy_protocol_from.unwrap_or_default(),
        })
    }
}

fn minimum(text: Option<&str>) -> Result<TlsMinimum, ConfigError> {
    match text {
        None | Some("1.3") => Ok(TlsMinimum::Tls13),
        Some("1.2") => Ok(TlsMinimum::Tls12),
        Some(other) => Err(ConfigError::Value {
            key: "tls.min",
            why: format!(
                "`{other}` is not spoken here: write \"1.3\", or \"1.2\" for old visitors"
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn the_table_may_be_absent_or_say_everything() {
        assert_eq!(Config::parse("host = \"a.example\"").unwrap().tls, TlsConfig::default());
        let config = Config::parse(
            "host = \"a.example\"\n[tls]\nmin = \"1.2\"\nhsts_seconds = 60\n\
             certificate_files = [{ chain = \"/a\", key = \"/b\" }]\nproxy_protocol_from = [\"10.0.0.0/8\"]",
        );
        let tls = config.unwrap().tls;
        assert_eq!((tls.minimum, tls.hsts_seconds), (TlsMinimum::Tls12, Some(60)));
        assert_eq!(tls.certificate_files.len() + tls.proxy_protocol_from.len(), 2);
    }

    #[test]
    fn mistakes_in_it_are_told_by_name() {
        let errors = Config::parse("host = \"a.example\"\n[tls]\nmin = \"1.1\"\nhsts_second = 1")
            .unwrap_err();
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(
            text.iter()
                .any(|line| line.contains("`tls.hsts_second`, did you mean `hsts_seconds`?")),
            "{text:?}"
        );
        assert!(text.iter().any(|line| line.contains("`tls.min`")), "{text:?}");
    }

    #[test]
    fn the_list_of_keys_is_the_list_of_fields() {
        let text = include_str!("tls.rs");
        for key in KEYS {
            assert!(text.contains(&format!("    {key}: Option<")), "{key} is not a field");
        }
    }
}
