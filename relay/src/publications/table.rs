//! One entry for each publication, found by its id or by a hostname of a visitor in one look-up.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use bore_api::model::{Protocol, Publication, PublishedHost, TlsVersion};
use bore_api::state::PublicationState;
use bore_edge::tls::TlsMinimum;
use bore_edge::{UpstreamConfig, UpstreamProtocol};
use bore_policy::{Hostname, Target, TargetScheme};
use uuid::Uuid;

use super::hosts::Hosts;
use super::proof::{Evidence, Subject, not_checked};
use crate::dns::zone::Standing;

/// A publication as visitors are served by it. It never changes: a publication that changed has another entry.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) publication: Arc<Publication>,
    /// How requests are put to its target.
    pub(crate) upstream: Arc<UpstreamConfig>,
    /// The oldest TLS that its visitors may speak, where its publisher has chosen.
    pub(crate) tls_minimum: Option<TlsMinimum>,
    /// What is proved of it. Entries share it while what is proved stays the same.
    pub(crate) evidence: Arc<Evidence>,
}

impl Entry {
    fn new(publication: Publication, evidence: Arc<Evidence>) -> Self {
        let upstream = Arc::new(upstream_of(&publication));
        let tls_minimum = publication.options.web.tls_min.map(|version| match version {
            TlsVersion::Tls12 => TlsMinimum::Tls12,
            TlsVersion::Tls13 => TlsMinimum::Tls13,
        });
        Self { publication: Arc::new(publication), upstream, tls_minimum, evidence }
    }

    pub(crate) fn id(&self) -> Uuid {
        self.publication.id
    }

    /// The hostnames of an `http` publication: those that should have a certificate.
    pub(crate) fn web_names(&self) -> &[PublishedHost] {
        let is_web = self.publication.protocol == Protocol::Http;
        if is_web { &self.publication.hostnames } else { &[] }
    }
}

/// All publications of this relay, for any thread.
#[derive(Debug, Default)]
pub(crate) struct Publications(RwLock<Tables>);

#[derive(Debug, Default)]
struct Tables {
    entries: HashMap<Uuid, Arc<Entry>>,
    hosts: Hosts,
}

impl Tables {
    fn entry(&self, id: Option<Uuid>) -> Option<Arc<Entry>> {
        self.entries.get(&id?).cloned()
    }
}

impl Publications {
    /// A table without publications; nobody gets the names that are reserved.
    pub(crate) fn new(reserved: Vec<Hostname>) -> Self {
        let (entries, hosts) = (HashMap::new(), Hosts::new(reserved));
        Self(RwLock::new(Tables { entries, hosts }))
    }

    pub(crate) fn get(&self, id: Uuid) -> Option<Arc<Entry>> {
        self.read().entry(Some(id))
    }

    /// The publication that visitors of `hostname` come to.
    pub(crate) fn find(&self, hostname: &Hostname) -> Option<Arc<Entry>> {
        let tables = self.read();
        tables.entry(tables.hosts.find(hostname))
    }

    /// The publication at the relay's own address, if that is `address`.
    pub(crate) fn find_address(&self, address: IpAddr) -> Option<Arc<Entry>> {
        let tables = self.read();
        tables.entry(tables.hosts.find_address(address))
    }

    /// What a name is to DNS.
    pub(crate) fn standing(&self, name: &str) -> Standing {
        self.read().hosts.standing(name)
    }

    /// All entries that `wanted` accepts.
    pub(crate) fn list(&self, wanted: impl Fn(&Publication) -> bool) -> Vec<Arc<Entry>> {
        let tables = self.read();
        tables.entries.values().filter(|entry| wanted(&entry.publication)).cloned().collect()
    }

    /// Makes the entry of a publication, with nothing proved where it is another subject than before. Returns `None` when it has its entry.
    pub(crate) fn put(&self, publication: Publication, now: Instant) -> Option<Arc<Entry>> {
        let mut tables = self.write();
        let before = tables.entry(Some(publication.id));
        if before.as_ref().is_some_and(|entry| *entry.publication == publication) {
            return None;
        }
        let names = before.as_ref().map(|entry| entry.publication.hostnames.clone());
        tables.hosts.change(publication.id, &names.unwrap_or_default(), &publication.hostnames);
        let subject = Subject::of(&publication);
        let kept = before.map(|entry| Arc::clone(&entry.evidence));
        let evidence = kept
            .filter(|evidence| *evidence.subject() == subject)
            .unwrap_or_else(|| Arc::new(Evidence::none(subject, now)));
        let entry = Arc::new(Entry::new(publication, evidence));
        tables.entries.insert(entry.id(), Arc::clone(&entry));
        Some(entry)
    }

    /// Takes away what is proved of a publication whose ports were claimed for another subject. Returns its entry when the ports are again
    /// those of what it is: what it was to become could not be stored.
    pub(crate) fn note_claim(&self, claimed: &Publication, now: Instant) -> Option<Arc<Entry>> {
        let subject = Subject::of(claimed);
        let mut tables = self.write();
        let entry = tables.entries.get_mut(&claimed.id)?;
        if *entry.evidence.subject() == subject {
            return None;
        }
        let evidence = Arc::new(Evidence::none(subject, now));
        *entry = Arc::new(Entry { evidence, ..Entry::clone(entry) });
        entry.is_settled().then(|| Arc::clone(entry))
    }

    /// Forgets a publication. Its names do not resolve any more when this returns.
    pub(crate) fn remove(&self, id: Uuid) {
        let mut tables = self.write();
        if let Some(gone) = tables.entries.remove(&id) {
            tables.hosts.change(id, &gone.publication.hostnames, &[]);
        }
    }

    /// Whether what is found of `entry` is found of what is published now.
    pub(crate) fn is_current(&self, entry: &Entry) -> bool {
        let current = self.get(entry.id());
        let is_same = |now: &Arc<Entry>| Arc::ptr_eq(&now.evidence, &entry.evidence);
        current.as_ref().is_some_and(is_same) && entry.is_settled()
    }

    /// The state as it is shown.
    pub(crate) fn state(&self, id: Uuid, now: Instant) -> PublicationState {
        self.get(id).map_or_else(not_checked, |entry| entry.evidence.shown(now))
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Whether its evidence is of what is published, not of what ports were claimed for.
    fn is_settled(&self) -> bool {
        *self.evidence.subject() == Subject::of(&self.publication)
    }
}

fn upstream_of(publication: &Publication) -> UpstreamConfig {
    let target = Target::parse(&publication.target).ok();
    let protocol = match target.map(|target| target.scheme()).unwrap_or_default() {
        TargetScheme::H2c => UpstreamProtocol::H2c,
        // Behind TLS the agent follows what is spoken here.
        TargetScheme::Plain | TargetScheme::Https | TargetScheme::HttpsUnverified => {
            UpstreamProtocol::Plain
        }
    };
    UpstreamConfig { protocol, host: publication.options.web.host_header.clone() }
}
