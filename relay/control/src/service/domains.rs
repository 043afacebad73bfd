//! Custom domains: asked for, proved by DNS, looked after, given back.
//!
//! The proof is a TXT record whose text is derived from network and domain: whoever can write it has the zone, and it proves nothing for any
//! other network. It needs no secret, because knowing the text does not write the record.
//!
//! Invariant: nothing is published under a domain that its network has not proved, or has given back.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use bore_api::Code;
use bore_api::model::{Actor, DnsRecord, Domain};
use bore_api::wire::DomainView;
use bore_policy::Hostname;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::below_quota;
use crate::core::Core;
use crate::doors::Doors;
use crate::event::{Change, Event, Subject};
use crate::memory::Tenant;
use crate::refusal::Refusal;

/// Custom domains: asked for, proved, given back.
#[derive(Debug)]
pub struct Domains {
    core: Core,
    doors: Doors,
}

impl Domains {
    pub(crate) fn new(core: Core, doors: Doors) -> Self {
        Self { core, doors }
    }

    /// Adds a domain that is to be proved; one that is there is answered as it is. Names below the relay's own domain are its
    /// administrators', who prove nothing.
    ///
    /// # Errors
    /// B2109, B2301 when another network has it, B2304 for what cannot be a custom domain, or the store's.
    pub async fn add(
        &self,
        network: Uuid,
        wanted: &str,
        administrator: bool,
        by: &Actor,
    ) -> Result<DomainView, Refusal> {
        let name = domain_name(wanted)?;
        let waived = self.check_addable(&name, administrator)?;
        let _turn = self.core.directory.turn(network).await?;
        let (count, known) = {
            let memory = self.core.directory.read();
            let domains = memory.tenant(network).map(|tenant| &tenant.domains);
            let known = domains.is_some_and(|domains| domains.contains_key(name.as_str()));
            (domains.map_or(0, std::collections::BTreeMap::len), known)
        };
        if !known {
            below_quota("domains of a network", count, self.core.quotas().domains_per_network)?;
        }
        let created_at = self.core.now();
        let domain = Domain {
            id: Uuid::now_v7(),
            network,
            name: name.to_string(),
            created_at,
            verified_at: waived.then_some(created_at),
        };
        let stored = self.core.store.domains().add(&domain, by).await?;
        self.know(&stored, by);
        Ok(self.view(stored))
    }

    /// Asks DNS for the proof, and notes it.
    ///
    /// # Errors
    /// B2301 when another network has it, B2302 with what DNS says when that is no proof, B3205, or the store's.
    pub async fn verify(
        &self,
        network: Uuid,
        wanted: &str,
        by: &Actor,
    ) -> Result<DomainView, Refusal> {
        let domain = self.find(network, wanted)?;
        if domain.verified_at.is_some() {
            self.doors.naming.look_at_domain(&domain).await;
            return Ok(self.view(domain));
        }
        // DNS may take seconds, in which the network's other changes need not wait.
        let proofs = self.proofs(&domain);
        let shown = self.doors.naming.prove_domain(&proofs).await;
        if !shown.ok {
            return Err(Refusal::new(Code::DOMAIN_UNPROVED, shown.detail).next(advice(&proofs)));
        }
        let _turn = self.core.directory.turn(network).await?;
        let at = self.core.now();
        let verified = self.core.store.domains().verify(network, domain.id, by, at).await?;
        self.know(&verified, by);
        self.doors.naming.look_at_domain(&verified).await;
        Ok(self.view(verified))
    }

    /// Gives a domain back that nothing is published under.
    ///
    /// # Errors
    /// B2303 while something is, B3205, or the store's.
    pub async fn release(&self, network: Uuid, wanted: &str, by: &Actor) -> Result<(), Refusal> {
        let _turn = self.core.directory.turn(network).await?;
        let domain = self.find(network, wanted)?;
        self.check_unused(&domain)?;
        self.core.store.domains().release(network, domain.id, by, self.core.now()).await?;
        Ok(())
    }

    /// Domains of a network, by name.
    ///
    /// # Errors
    /// B3205 when there is no such network.
    pub fn list(&self, network: Uuid) -> Result<Vec<Domain>, Refusal> {
        let memory = self.core.directory.read();
        let tenant = memory.wanted_tenant(network)?;
        Ok(tenant.domains.values().cloned().collect())
    }

    /// A domain by id or name, in whatever case.
    pub(crate) fn find(&self, network: Uuid, wanted: &str) -> Result<Domain, Refusal> {
        let id = Uuid::try_parse(wanted).ok();
        let name = Hostname::parse(wanted).ok();
        let is_it = |domain: &Domain| {
            Some(domain.id) == id || name.as_ref().is_some_and(|name| name.as_str() == domain.name)
        };
        self.list(network)?
            .into_iter()
            .find(is_it)
            .ok_or_else(|| Refusal::not_here("domain", wanted))
    }

    /// A domain with what its DNS has to say.
    pub(crate) fn view(&self, domain: Domain) -> DomainView {
        let waived = self.is_the_relays(&domain.name);
        DomainView {
            proofs: if waived { Vec::new() } else { self.proofs(&domain) },
            visitors: self.doors.naming.visitor_records(&domain.name),
            pointing: self.doors.naming.domain_state(domain.id),
            domain,
        }
    }

    /// A domain that the store has already makes no event: a directory that missed it, another relay's, hears of it now.
    fn know(&self, stored: &Domain, by: &Actor) {
        let Domain { network, created_at: at, .. } = *stored;
        let has = |tenant: &Tenant| tenant.domains.get(&stored.name) == Some(stored);
        if !self.core.directory.of_network(network, has).unwrap_or(true) {
            let subject = Subject::Domain(Change::came(stored.clone()));
            let event = Event { at, network: Some(network), actor: by.clone(), subject };
            self.core.directory.follow(&Arc::new(event));
        }
    }

    /// Whether the proof is waived.
    fn check_addable(&self, name: &Hostname, administrator: bool) -> Result<bool, Refusal> {
        let refused = |why: &str| Err(Refusal::new(Code::DOMAIN_REFUSED, format!("{name} {why}")));
        if self.core.identity.is_own(name) {
            return refused("is the relay's own");
        }
        match (self.is_the_relays(name.as_str()), administrator) {
            (true, true) => Ok(true),
            (true, false) => refused(
                "lies below the relay's own domain, where its administrators give out names",
            ),
            (false, _) if name.parent().is_none() => refused("is a top-level domain"),
            (false, _) => Ok(false),
        }
    }

    fn is_the_relays(&self, name: &str) -> bool {
        let name = Hostname::parse(name).ok();
        name.zip(self.core.identity.relay_domain())
            .is_some_and(|(name, domain)| name.is_below(&domain))
    }

    fn check_unused(&self, domain: &Domain) -> Result<(), Refusal> {
        let publications: BTreeSet<Uuid> = self
            .core
            .directory
            .hostnames_under(domain)
            .into_iter()
            .map(|(_, publication)| publication)
            .collect();
        if publications.is_empty() {
            return Ok(());
        }
        let publications =
            publications.into_iter().filter_map(|id| self.core.directory.publication(id));
        let names: Vec<String> = publications.map(|publication| publication.name).collect();
        let detail = format!("{} is in use by {}", domain.name, names.join(", "));
        Err(Refusal::new(Code::DOMAIN_IN_USE, detail))
    }

    /// The records of which one proves the domain.
    fn proofs(&self, domain: &Domain) -> Vec<DnsRecord> {
        let token = token(domain);
        let name = format!("{CHALLENGE}.{}", domain.name);
        let txt = DnsRecord {
            name: name.clone(),
            kind: "TXT".to_owned(),
            value: format!("{PROOF}{token}"),
        };
        let host = Hostname::parse(&self.core.identity.host).ok();
        let cname = host.map(|host| DnsRecord {
            name,
            kind: "CNAME".to_owned(),
            value: format!("{token}.{PROOFS}.{host}"),
        });
        std::iter::once(txt).chain(cname).collect()
    }
}

/// Binds a domain to its network: 160 bits of a digest of both.
fn token(domain: &Domain) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"bore domain v1\0");
    hasher.update(domain.network.as_bytes());
    hasher.update(domain.name.as_bytes());
    hasher.finalize().iter().take(TOKEN_BYTES).fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn domain_name(wanted: &str) -> Result<Hostname, Refusal> {
    let refused = |why: String| Refusal::new(Code::DOMAIN_REFUSED, why);
    if wanted.contains('*') {
        return Err(refused(
            "a domain stands for all names below it: leave the `*.` out".to_owned(),
        ));
    }
    Hostname::parse(wanted).map_err(|error| refused(error.to_string()))
}

fn advice(proofs: &[DnsRecord]) -> String {
    let records: Vec<String> = proofs.iter().map(ToString::to_string).collect();
    format!("set {}, wait for its old answer to expire, then verify again", records.join(", or "))
}

const CHALLENGE: &str = "_bore-challenge";
const PROOF: &str = "bore-domain=";
/// Proofs by CNAME point below this label of the relay's host; nothing has to be there.
const PROOFS: &str = "_bore-domain";
const TOKEN_BYTES: usize = 20;
