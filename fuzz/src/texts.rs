//! Texts that people paste and write: join keys, relay.toml, names of hosts.

use bore_overlay::{JoinKey, JoinKeyError};
use bore_policy::{HostPattern, Hostname, PublicHost};
use bore_relay::Config;

/// Reads the bytes as a key's text, and as what stands in the base32 of a key.
pub fn join_key(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        reads_back(JoinKey::parse(text));
    }
    reads_back(JoinKey::parse(&wrapped(bytes)));
}

/// A key's text with `bytes` inside and a checksum that fits.
fn wrapped(bytes: &[u8]) -> String {
    let mut inside = bytes.to_vec();
    inside.extend(crc32fast::hash(bytes).to_be_bytes());
    format!("bore_join_{}", data_encoding::BASE32_NOPAD.encode(&inside).to_lowercase())
}

fn reads_back(parsed: Result<JoinKey, JoinKeyError>) {
    match parsed {
        Ok(key) => assert_eq!(JoinKey::parse(&key.encode()).as_ref(), Ok(&key)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Reads the bytes as a relay.toml.
pub fn relay_toml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // It names a file to be read, which may be one that never ends.
    let names_a_file = |table: &toml::Table| {
        let dns = table.get("dns").and_then(toml::Value::as_table);
        let of_dns = |key| dns.is_some_and(|dns| dns.contains_key(key));
        table.contains_key("database_url_file")
            || of_dns("tsig_key_file")
            || of_dns("cloudflare_token_file")
    };
    if toml::from_str(text).is_ok_and(|table| names_a_file(&table)) {
        return;
    }
    match Config::parse(text) {
        Ok(config) => assert!(!config.host.is_empty() && !config.public_ports.is_empty()),
        Err(errors) => assert!(!errors.is_empty(), "a refusal says why"),
    }
}

/// Reads two names, as a hostname, a public name and a pattern. What is covered is found below its wildcard, and only there.
pub fn hostnames(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (first, second) = text.split_once('\n').unwrap_or((text, text));
    let Ok(host) = PublicHost::parse(first) else { return };
    assert_eq!(PublicHost::parse(&host.to_string()).as_ref(), Ok(&host), "one spelling");
    let Ok(name) = Hostname::parse(second) else { return };
    assert_eq!(Hostname::parse(name.as_str()).as_ref(), Ok(&name), "one spelling");
    let exact = PublicHost::Exact(name.clone());
    assert!(exact.covers(&name));
    let wildcard = PublicHost::wildcard_of(&name).map(|text| PublicHost::parse(&text));
    let by_wildcard = wildcard == Some(Ok(host.clone()));
    assert_eq!(host.covers(&name), host == exact || by_wildcard);
    if let Ok(pattern) = HostPattern::parse(first) {
        assert!(!pattern.covers_all(&exact) || pattern.overlaps(&exact), "all is some");
        assert_eq!(pattern.covers_all(&exact), pattern.covers(&name));
    }
}
