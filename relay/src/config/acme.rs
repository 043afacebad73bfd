//! The `[acme]` table: which CA issues certificates, and how names are proved to it.

use std::path::PathBuf;

use data_encoding::BASE64URL_NOPAD;
use http::Uri;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{ConfigError, keep};
use crate::acme::{ChallengeChoice, EabKey};

/// Which CA, as whom, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// URL of its directory. Default: Let's Encrypt.
    pub directory: String,
    /// Where it writes to, as `mailto:…`.
    pub contact: Option<String>,
    /// Roots beside the machine's, PEM.
    pub ca_file: Option<PathBuf>,
    /// Binds the account to one that exists at the CA.
    pub eab: Option<EabKey>,
    /// How names are proved. Default `auto`.
    pub challenge: ChallengeChoice,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            directory: instant_acme::LetsEncrypt::Production.url().to_owned(),
            contact: None,
            ca_file: None,
            eab: None,
            challenge: ChallengeChoice::default(),
        }
    }
}

impl Acme {
    /// Whether the CA vouches for names in public DNS and public addresses only.
    pub(crate) fn is_public(&self) -> bool {
        let host = self.directory.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
        host.is_some_and(|host| host.ends_with(".letsencrypt.org"))
    }
}

/// The table as it is written; every key of it is in [`KEYS`].
#[derive(Debug, Deserialize)]
pub(super) struct File {
    directory: Option<String>,
    contact: Option<String>,
    ca_file: Option<PathBuf>,
    eab_key_id: Option<String>,
    eab_key_file: Option<PathBuf>,
    challenge: Option<ChallengeChoice>,
}

/// Keys that an `[acme]` table may have.
pub(super) const KEYS: [&str; 6] =
    ["directory", "contact", "ca_file", "eab_key_id", "eab_key_file", "challenge"];

impl File {
    pub(super) fn check(self, errors: &mut Vec<ConfigError>) -> Option<Acme> {
        let default = Acme::default();
        let directory = keep(self.directory.map(directory).transpose(), errors);
        let contact = keep(self.contact.map(contact).transpose(), errors);
        let eab = keep(eab(self.eab_key_id, self.eab_key_file), errors);
        Some(Acme {
            directory: directory?.unwrap_or(default.directory),
            contact: contact?,
            ca_file: self.ca_file,
            eab: eab?,
            challenge: self.challenge.unwrap_or_default(),
        })
    }
}

fn directory(text: String) -> Result<String, ConfigError> {
    let uri = text.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("https"));
    uri.filter(|uri| uri.authority().is_some()).map(|_| text.clone()).ok_or_else(|| {
        ConfigError::Value {
            key: "acme.directory",
            why: format!("`{text}` is not the https:// address of a CA's directory"),
        }
    })
}

fn contact(text: String) -> Result<String, ConfigError> {
    let address = text.strip_prefix("mailto:").unwrap_or(&text);
    let is_address = address
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && bore_policy::Hostname::parse(host).is_ok());
    if is_address && !address.contains(|character: char| ",? ".contains(character)) {
        return Ok(format!("mailto:{address}"));
    }
    let why = format!("`{text}` is not one mail address such as \"ops@example.com\"");
    Err(ConfigError::Value { key: "acme.contact", why })
}

fn eab(id: Option<String>, file: Option<PathBuf>) -> Result<Option<EabKey>, ConfigError> {
    let (id, path) = match (id, file) {
        (None, None) => return Ok(None),
        (Some(id), Some(file)) => (id, file),
        (Some(_), None) => return Err(ConfigError::Missing("acme.eab_key_file")),
        (None, Some(_)) => return Err(ConfigError::Missing("acme.eab_key_id")),
    };
    let text = std::fs::read_to_string(&path)
        .map(Zeroizing::new)
        .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
    let key = BASE64URL_NOPAD.decode(text.trim().trim_end_matches('=').as_bytes());
    let key = key.ok().filter(|key| !key.is_empty()).map(Zeroizing::new);
    let key = key.ok_or_else(|| ConfigError::Value {
        key: "acme.eab_key_file",
        why: format!("{} does not hold the base64url text of a key", path.display()),
    })?;
    Ok(Some(EabKey::new(id, key)))
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn without_a_table_lets_encrypt_is_asked() {
        let config = Config::parse("host = \"a.example\"").unwrap();
        assert_eq!(config.acme, Acme::default());
        assert!(config.acme.is_public() && config.acme.challenge == ChallengeChoice::Auto);
    }

    #[test]
    fn every_mistake_of_the_table_is_named() {
        let text = "host = \"a.example\"\n[acme]\ndirectory = \"http://ca\"\ncontact = \"nobody\"\neab_key_id = \"x\"\nca_fil = \"y\"";
        let errors = Config::parse(text).unwrap_err();
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        for part in
            ["acme.directory", "acme.contact", "acme.eab_key_file", "did you mean `ca_file`"]
        {
            assert!(told.iter().any(|line| line.contains(part)), "{part}: {told:?}");
        }
    }

    #[test]
    fn a_key_of_an_account_is_read_and_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("eab");
        std::fs::write(&file, "Y2FuYXJ5\n").unwrap();
        let text = format!(
            "host = \"a.example\"\n[acme]\ncontact = \"ops@example.com\"\neab_key_id = \"kid-1\"\neab_key_file = \"{}\"\nchallenge = \"tls-alpn-01\"",
            file.display()
        );
        let config = Config::parse(&text).unwrap();
        assert_eq!(config.acme.contact.as_deref(), Some("mailto:ops@example.com"));
        let shown = format!("{config:?}");
        assert!(shown.contains("kid-1") && !shown.contains("canary") && !shown.contains("Y2Fu"));
    }

    #[test]
    fn the_list_of_keys_is_the_list_of_fields() {
        let text = include_str!("acme.rs");
        for key in KEYS {
            assert!(text.contains(&format!("    {key}: Option<")), "{key} is not a field");
        }
    }
}
