//! The `[dns]` table: how TXT records for DNS-01 get into the zone, and whether the relay answers for the zone itself.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{ConfigError, hostname, keep};

/// Who keeps the zone of the relay's domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsProvider {
    /// The relay itself: one NS record of the parent zone delegates to it.
    BuiltIn(BuiltIn),
    /// A server that takes updates by RFC 2136.
    Rfc2136(Rfc2136),
    /// A program of the operator's.
    Exec(PathBuf),
    /// Cloudflare's API.
    Cloudflare(Cloudflare),
}

/// `provider = "built-in"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltIn {
    /// Where it listens, by UDP and TCP. Default `[::]:53`.
    pub listen: Vec<SocketAddr>,
    /// The relay's public addresses. Default: what `host` is, or resolves to.
    pub addresses: Vec<IpAddr>,
    /// Whether CAA records admit only the relay's own account at its CA. Default true.
    pub caa: bool,
}

/// `provider = "rfc2136"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rfc2136 {
    /// The zone's primary server.
    pub server: SocketAddr,
    /// The zone that is updated. Default: the relay's domain.
    pub zone: String,
    /// The name of the TSIG key.
    pub key_name: String,
    /// Its secret, in base64.
    pub key: Secret,
    /// Its algorithm. Default `hmac-sha256`.
    pub algorithm: TsigAlgorithm,
}

/// `provider = "cloudflare"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloudflare {
    /// Where the API is. Default `https://api.cloudflare.com/client/v4`.
    pub api: String,
    /// The zone that the records go into. Default: the relay's domain.
    pub zone: String,
    /// A token that may edit DNS in it.
    pub token: Secret,
}

/// How TSIG signs (RFC 8945 §6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TsigAlgorithm {
    /// `hmac-sha256`.
    #[default]
    HmacSha256,
    /// `hmac-sha384`.
    HmacSha384,
    /// `hmac-sha512`.
    HmacSha512,
}

/// What a file of the operator's holds and nobody may see.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// What it is, for whoever must use it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Ok(Self(Zeroizing::new(text.trim().to_owned())))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The table as it is written; every key of it is in [`KEYS`].
#[derive(Debug, Default, Deserialize)]
pub(super) struct File {
    provider: Option<String>,
    listen: Option<OneOrMore>,
    addresses: Option<Vec<IpAddr>>,
    caa: Option<bool>,
    server: Option<SocketAddr>,
    zone: Option<String>,
    tsig_key_name: Option<String>,
    tsig_key_file: Option<PathBuf>,
    tsig_algorithm: Option<TsigAlgorithm>,
    command: Option<PathBuf>,
    cloudflare_token_file: Option<PathBuf>,
    cloudflare_api: Option<String>,
}

/// Keys that a `[dns]` table may have.
pub(super) const KEYS: [&str; 12] = [
    "provider",
    "listen",
    "addresses",
    "caa",
    "server",
    "zone",
    "tsig_key_name",
    "tsig_key_file",
    "tsig_algorithm",
    "command",
    "cloudflare_token_file",
    "cloudflare_api",
];

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(SocketAddr),
    More(Vec<SocketAddr>),
}

impl File {
    /// The provider that is asked for; everything that is wrong with it goes to `errors`.
    pub(super) fn check(
        self,
        domain: Option<&str>,
        errors: &mut Vec<ConfigError>,
    ) -> Option<DnsProvider> {
        let provider =
            keep(self.provider.clone().ok_or(ConfigError::Missing("dns.provider")), errors)?;
        errors.extend(self.foreign_keys(&provider));
        let domain = keep(domain.ok_or_else(|| value("dns", NEEDS_DOMAIN)), errors)?;
        match provider.as_str() {
            "built-in" => Some(DnsProvider::BuiltIn(self.built_in())),
            "rfc2136" => self.rfc2136(domain, errors).map(DnsProvider::Rfc2136),
            "exec" => keep(self.command.ok_or(ConfigError::Missing("dns.command")), errors)
                .map(DnsProvider::Exec),
            "cloudflare" => self.cloudflare(domain, errors).map(DnsProvider::Cloudflare),
            other => {
                errors.push(value("dns.provider", &format!("`{other}` is none of {PROVIDERS}")));
                None
            }
        }
    }

    fn built_in(self) -> BuiltIn {
        let listen = match self.listen {
            None => vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, 53))],
            Some(OneOrMore::One(address)) => vec![address],
            Some(OneOrMore::More(addresses)) => addresses,
        };
        let (addresses, caa) = (self.addresses.unwrap_or_default(), self.caa.unwrap_or(true));
        BuiltIn { listen, addresses, caa }
    }

    fn rfc2136(self, domain: &str, errors: &mut Vec<ConfigError>) -> Option<Rfc2136> {
        let server = keep(self.server.ok_or(ConfigError::Missing("dns.server")), errors);
        let key_name =
            keep(self.tsig_key_name.ok_or(ConfigError::Missing("dns.tsig_key_name")), errors);
        let key = keep(secret("dns.tsig_key_file", self.tsig_key_file), errors);
        let zone = keep(zone(self.zone, domain), errors);
        Some(Rfc2136 {
            server: server?,
            zone: zone?,
            key_name: key_name?,
            key: key?,
            algorithm: self.tsig_algorithm.unwrap_or_default(),
        })
    }

    fn cloudflare(self, domain: &str, errors: &mut Vec<ConfigError>) -> Option<Cloudflare> {
        let token = keep(secret("dns.cloudflare_token_file", self.cloudflare_token_file), errors);
        let zone = keep(zone(self.zone, domain), errors);
        let api = keep(api(self.cloudflare_api), errors);
        Some(Cloudflare { api: api?, zone: zone?, token: token? })
    }

    /// A key of another provider would do nothing, silently.
    fn foreign_keys(&self, provider: &str) -> Vec<ConfigError> {
        let given = [
            ("dns.listen", self.listen.is_some(), ["built-in", ""]),
            ("dns.addresses", self.addresses.is_some(), ["built-in", ""]),
            ("dns.caa", self.caa.is_some(), ["built-in", ""]),
            ("dns.server", self.server.is_some(), ["rfc2136", ""]),
            ("dns.zone", self.zone.is_some(), ["rfc2136", "cloudflare"]),
            ("dns.tsig_key_name", self.tsig_key_name.is_some(), ["rfc2136", ""]),
            ("dns.tsig_key_file", self.tsig_key_file.is_some(), ["rfc2136", ""]),
            ("dns.tsig_algorithm", self.tsig_algorithm.is_some(), ["rfc2136", ""]),
            ("dns.command", self.command.is_some(), ["exec", ""]),
            ("dns.cloudflare_token_file", self.cloudflare_token_file.is_some(), ["cloudflare", ""]),
            ("dns.cloudflare_api", self.cloudflare_api.is_some(), ["cloudflare", ""]),
        ];
        let foreign = given.iter().filter(|(_, given, of)| *given && !of.contains(&provider));
        foreign.map(|(key, ..)| value(key, &format!("means nothing to `{provider}`"))).collect()
    }
}

fn secret(key: &'static str, path: Option<PathBuf>) -> Result<Secret, ConfigError> {
    Secret::read(&path.ok_or(ConfigError::Missing(key))?)
}

/// A token travels with every call, so it goes over TLS or stays on this machine.
fn api(api: Option<String>) -> Result<String, ConfigError> {
    let api = api.unwrap_or_else(|| CLOUDFLARE.to_owned());
    let safe = ["https://", "http://127.0.0.1:", "http://[::1]:"];
    if safe.iter().any(|start| api.starts_with(start)) {
        return Ok(api.trim_end_matches('/').to_owned());
    }
    Err(value("dns.cloudflare_api", "must begin with https://"))
}

fn zone(zone: Option<String>, domain: &str) -> Result<String, ConfigError> {
    zone.map_or_else(|| Ok(domain.to_owned()), |zone| hostname("dns.zone", &zone))
}

fn value(key: &'static str, why: &str) -> ConfigError {
    ConfigError::Value { key, why: why.to_owned() }
}

const PROVIDERS: &str = "built-in, rfc2136, exec, cloudflare";
const NEEDS_DOMAIN: &str = "needs `domain`: there is no zone without one";
const CLOUDFLARE: &str = "https://api.cloudflare.com/client/v4";

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn a_relay_without_the_table_has_no_dns() {
        assert_eq!(Config::parse("host = \"a.example\"").unwrap().dns, None);
    }

    #[test]
    fn the_built_in_server_needs_nothing_but_its_name() {
        let listen = vec!["[::]:53".parse().unwrap()];
        let expected = BuiltIn { listen, addresses: Vec::new(), caa: true };
        assert_eq!(parse("provider = \"built-in\"").unwrap(), DnsProvider::BuiltIn(expected));
    }

    #[test]
    fn it_listens_on_one_address_or_several() {
        let several = "provider = \"built-in\"\nlisten = [\"192.0.2.1:53\", \"[2001:db8::1]:53\"]";
        assert!(
            matches!(parse(several).unwrap(), DnsProvider::BuiltIn(it) if it.listen.len() == 2)
        );
        let one = "provider = \"built-in\"\nlisten = \"192.0.2.1:53\"";
        assert!(matches!(parse(one).unwrap(), DnsProvider::BuiltIn(it) if it.listen.len() == 1));
    }

    #[test]
    fn every_mistake_is_told_at_once_with_the_key_that_was_meant() {
        let text = "provider = \"rfc2136\"\nservr = \"192.0.2.1:53\"\nlisten = \"[::]:53\"";
        let errors = parse(text).unwrap_err();
        for wanted in [
            "unknown key `dns.servr`, did you mean `server`?",
            "`dns.server` is missing",
            "`dns.tsig_key_name` is missing",
            "`dns.tsig_key_file` is missing",
            "`dns.listen`: means nothing to `rfc2136`",
        ] {
            assert!(errors.iter().any(|error| error == wanted), "{wanted} in {errors:#?}");
        }
    }

    #[test]
    fn a_provider_that_is_none_and_a_relay_without_domain_are_told() {
        assert!(parse("provider = \"route66\"").unwrap_err()[0].contains("`route66` is none of"));
        let errors =
            Config::parse("host = \"a.example\"\n[dns]\nprovider = \"built-in\"").unwrap_err();
        assert!(errors[0].to_string().contains("needs `domain`"), "{errors:?}");
    }

    #[test]
    fn a_secret_is_read_and_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "canary\n").unwrap();
        let text =
            format!("provider = \"cloudflare\"\ncloudflare_token_file = \"{}\"", path.display());
        let provider = parse(&text).unwrap();
        assert!(!format!("{provider:?}").contains("canary"));
        assert!(matches!(provider, DnsProvider::Cloudflare(it) if it.token.expose() == "canary"));
    }

    #[test]
    fn the_list_of_keys_is_the_list_of_fields() {
        let text = include_str!("dns.rs");
        for key in KEYS {
            assert!(text.contains(&format!("    {key}: Option<")), "{key} is not a field");
        }
    }

    fn parse(table: &str) -> Result<DnsProvider, Vec<String>> {
        let text = format!("host = \"a.example\"\ndomain = \"t.example\"\n[dns]\n{table}");
        let told = |errors: Vec<ConfigError>| errors.iter().map(ToString::to_string).collect();
        Config::parse(&text).map(|config| config.dns.unwrap()).map_err(told)
    }
}
