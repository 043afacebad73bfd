//! Which certificate answers for which name.
//!
//! Filled by files and by orders, read by every handshake: a read takes a lock for a look-up and never waits for anything else.
//!
//! Invariant: what is found names what was asked for, exactly before by wildcard, and of several the one that expires last. An expired one
//! answers only where there is no other: it tells a visitor more than an alert would.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use uuid::Uuid;

use super::names::{Leaf, Name};
use crate::clock::now_micros;

/// The table. Shared by everybody who adds or looks up.
#[derive(Debug)]
pub struct Certificates {
    table: RwLock<Table>,
    changes: watch::Sender<()>,
}

/// Where a certificate comes from; each origin has one at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CertificateOrigin {
    /// A file with its chain.
    File(PathBuf),
    /// An order.
    Acme(Uuid),
}

/// A certificate and what it says about itself.
#[derive(Debug)]
pub(crate) struct Entry {
    leaf: Leaf,
    pub(crate) certificate: Arc<CertifiedKey>,
}

#[derive(Debug, Default)]
struct Table {
    by_origin: HashMap<CertificateOrigin, Arc<Entry>>,
    /// Each list begins with the one that expires last.
    by_name: HashMap<Name, Vec<Arc<Entry>>>,
}

impl Default for Certificates {
    fn default() -> Self {
        Self { table: RwLock::default(), changes: watch::Sender::new(()) }
    }
}

impl Certificates {
    /// Takes a certificate in place of the one that `origin` gave before. One that names nobody is not served.
    pub fn put(&self, origin: CertificateOrigin, certificate: Arc<CertifiedKey>) {
        let leaf = match certificate.cert.first().map(Leaf::read) {
            Some(Ok(leaf)) => leaf,
            Some(Err(error)) => {
                return tracing::error!(?origin, %error, "a certificate is not served");
            }
            None => return tracing::error!(?origin, "an empty chain is not served"),
        };
        let entry = Arc::new(Entry { leaf, certificate });
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.remove(&origin);
        table.insert(origin, &entry);
        drop(table);
        self.changes.send_replace(());
    }

    /// Serves the certificate of `origin` no more.
    pub fn remove(&self, origin: &CertificateOrigin) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).remove(origin);
        self.changes.send_replace(());
    }

    /// The certificate that speaks for a host's name.
    pub fn for_name(&self, sni: &str) -> Option<Arc<CertifiedKey>> {
        self.entry(sni).map(|entry| Arc::clone(&entry.certificate))
    }

    /// The same with what it says about itself.
    pub(crate) fn entry(&self, sni: &str) -> Option<Arc<Entry>> {
        self.best(Name::speaking_for(sni))
    }

    /// The certificate that speaks for an address.
    pub(crate) fn entry_for_address(&self, address: IpAddr) -> Option<Arc<Entry>> {
        self.best(std::iter::once(Name::address(address)))
    }

    /// The certificate that speaks for what a publication is reached by: a hostname, or an address.
    pub(crate) fn entry_of(&self, public: &str) -> Option<Arc<Entry>> {
        match public.parse() {
            Ok(address) => self.entry_for_address(address),
            Err(_) => self.entry(public),
        }
    }

    /// Whether there is one, expired or not.
    pub fn has(&self, public: &str) -> bool {
        self.entry_of(public).is_some()
    }

    /// Whether one that has not expired speaks for it.
    pub fn has_current(&self, public: &str) -> bool {
        self.entry_of(public).is_some_and(|entry| entry.is_current(now_seconds()))
    }

    fn best(&self, names: impl Iterator<Item = Name>) -> Option<Arc<Entry>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).best(names, now_seconds())
    }

    /// Ready whenever the table changed.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

impl Entry {
    /// Whether it speaks for `host`.
    pub(crate) fn speaks_for(&self, host: &str) -> bool {
        Name::speaking_for(host).any(|name| self.leaf.names.contains(&name))
    }

    /// Whether it speaks for `address`.
    pub(crate) fn speaks_for_address(&self, address: IpAddr) -> bool {
        self.leaf.names.contains(&Name::address(address))
    }

    fn is_current(&self, now_seconds: i64) -> bool {
        now_seconds < self.leaf.expires_at
    }
}

impl Table {
    fn insert(&mut self, origin: CertificateOrigin, entry: &Arc<Entry>) {
        for name in &entry.leaf.names {
            let found = self.by_name.entry(name.clone()).or_default();
            found.push(Arc::clone(entry));
            found.sort_by_key(|entry| std::cmp::Reverse(entry.leaf.expires_at));
        }
        self.by_origin.insert(origin, Arc::clone(entry));
    }

    fn remove(&mut self, origin: &CertificateOrigin) {
        let Some(gone) = self.by_origin.remove(origin) else { return };
        for name in &gone.leaf.names {
            if let Some(found) = self.by_name.get_mut(name) {
                found.retain(|entry| !Arc::ptr_eq(entry, &gone));
            }
            if self.by_name.get(name).is_some_and(Vec::is_empty) {
                self.by_name.remove(name);
            }
        }
    }

    fn best(&self, names: impl Iterator<Item = Name>, now_seconds: i64) -> Option<Arc<Entry>> {
        let mut found = names.filter_map(|name| self.by_name.get(&name)?.first());
        let nearest = found.next()?;
        let is_current = |entry: &&Arc<Entry>| entry.is_current(now_seconds);
        if is_current(&nearest) {
            return Some(Arc::clone(nearest));
        }
        Some(Arc::clone(found.find(is_current).unwrap_or(nearest)))
    }
}

fn now_seconds() -> i64 {
    now_micros() / 1_000_000
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::crypto::aws_lc_rs::default_provider;

    use super::*;

    #[test]
    fn an_exact_name_comes_before_a_wildcard() {
        let certificates = Certificates::default();
        let wildcard = put(&certificates, 1, &["*.t.example"], 2040);
        let exact = put(&certificates, 2, &["app.t.example"], 2030);
        assert!(Arc::ptr_eq(&certificates.for_name("APP.t.example.").unwrap(), &exact));
        assert!(Arc::ptr_eq(&certificates.for_name("b.t.example").unwrap(), &wildcard));
        for nobody in ["t.example", "a.b.t.example", "example", ""] {
            assert!(certificates.for_name(nobody).is_none(), "{nobody}");
        }
    }

    #[test]
    fn an_expired_certificate_gives_way_and_is_better_than_none() {
        let certificates = Certificates::default();
        let expired = put(&certificates, 1, &["app.t.example"], 2020);
        assert!(Arc::ptr_eq(&certificates.for_name("app.t.example").unwrap(), &expired));
        assert!(!certificates.has_current("app.t.example"));
        let wildcard = put(&certificates, 2, &["*.t.example"], 2040);
        assert!(Arc::ptr_eq(&certificates.for_name("app.t.example").unwrap(), &wildcard));
        assert!(certificates.has_current("app.t.example"));
        certificates.remove(&origin(2));
        put(&certificates, 3, &["*.t.example"], 2021);
        assert!(Arc::ptr_eq(&certificates.for_name("app.t.example").unwrap(), &expired));
    }

    #[test]
    fn of_several_the_one_that_expires_last_answers() {
        let certificates = Certificates::default();
        let early = put(&certificates, 1, &["app.example"], 2030);
        let late = put(&certificates, 2, &["app.example"], 2040);
        put(&certificates, 3, &["app.example"], 2035);
        assert!(Arc::ptr_eq(&certificates.for_name("app.example").unwrap(), &late));
        certificates.remove(&origin(2));
        certificates.remove(&origin(3));
        assert!(Arc::ptr_eq(&certificates.for_name("app.example").unwrap(), &early));
        certificates.remove(&origin(1));
        assert!(certificates.for_name("app.example").is_none());
        assert!(certificates.table.read().unwrap().by_name.is_empty(), "no entry without one");
    }

    #[test]
    fn a_new_certificate_of_an_origin_replaces_the_old_one_with_its_names() {
        let certificates = Certificates::default();
        put(&certificates, 1, &["old.example", "both.example"], 2040);
        let mut changes = certificates.changes();
        let new = put(&certificates, 1, &["both.example"], 2030);
        assert!(Arc::ptr_eq(&certificates.for_name("both.example").unwrap(), &new));
        assert!(certificates.for_name("old.example").is_none());
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
    }

    #[test]
    fn an_address_is_found_in_either_form_and_never_by_name() {
        let certificates = Certificates::default();
        put(&certificates, 1, &["192.0.2.1"], 2040);
        let found = |text: &str| certificates.entry_for_address(text.parse().unwrap()).is_some();
        assert!(found("192.0.2.1") && found("::ffff:192.0.2.1"));
        assert!(!found("192.0.2.2"));
        assert!(certificates.for_name("192.0.2.1").is_none());
    }

    fn put(
        certificates: &Certificates,
        order: u128,
        names: &[&str],
        year: i32,
    ) -> Arc<CertifiedKey> {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let chain = vec![params.self_signed(&key).unwrap().der().clone()];
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let certified = CertifiedKey::from_der(chain, key, &default_provider()).unwrap();
        let certified = Arc::new(certified);
        certificates.put(origin(order), Arc::clone(&certified));
        certified
    }

    fn origin(order: u128) -> CertificateOrigin {
        CertificateOrigin::Acme(Uuid::from_u128(order))
    }
}
