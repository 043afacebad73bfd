//! Looks after custom domains: proves them, and looks from time to time whether the names published under them still lead here.
//!
//! A name that leads elsewhere takes nothing away: visitors that come are served, and it is said where people look, on the domain and on the
//! publication. An answer of DNS is asked for again when it has expired.

pub(crate) mod prover;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bore_api::model::{DnsRecord, Domain, PublishedHost};
use bore_api::state::{Step, StepName};
use bore_control::Directory;
use bore_control::event::{Event, Subject};
use bore_policy::PublicHost;
use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::limits::{
    DOMAIN_LOOK_FAILED_WAIT, DOMAIN_LOOK_WAIT_MAX, DOMAIN_LOOK_WAIT_MIN, DOMAIN_LOOKS_MAX,
    DOMAIN_NAMES_AT_ONCE_MAX, DOMAIN_PROOFS_MAX,
};
use crate::publications::Publications;

/// What is known of the domains.
#[derive(Debug)]
pub(crate) struct Domains {
    host: String,
    /// Addresses that are configured, or are the host itself.
    fixed: Vec<IpAddr>,
    /// Addresses of the host's name, as they were resolved last.
    resolved: RwLock<Vec<IpAddr>>,
    publications: Arc<Publications>,
    looks: RwLock<HashMap<Uuid, Look>>,
    /// Held while DNS is asked for a proof.
    proving: Semaphore,
}

/// What a look at a domain found.
#[derive(Debug, Clone)]
struct Look {
    /// `None` while nothing is published under it.
    step: Option<Step>,
    due: Instant,
}

/// One name, and how long what was seen of it holds.
struct Seen {
    step: Step,
    lifetime: Duration,
}

impl Domains {
    /// Of a relay that is known as `host`, at these addresses as far as they are configured.
    pub(crate) fn new(host: &str, addresses: &[IpAddr], publications: Arc<Publications>) -> Self {
        let configured = addresses.iter().copied().filter(|address| !address.is_unspecified());
        let fixed = host.parse().ok().into_iter().chain(configured).collect();
        let (resolved, looks) = (RwLock::default(), RwLock::default());
        let proving = Semaphore::new(DOMAIN_PROOFS_MAX);
        Self { host: host.to_owned(), fixed, resolved, publications, looks, proving }
    }

    /// Asks DNS whether one of these records stands.
    pub(crate) async fn prove(&self, proofs: &[DnsRecord]) -> Step {
        let Ok(_turn) = self.proving.acquire().await else {
            return Step::failed(StepName::Proof, "the relay is stopping");
        };
        prover::prove(proofs).await
    }

    /// What the last look at a domain found.
    pub(crate) fn state(&self, domain: Uuid) -> Option<Step> {
        let looks = self.looks.read().unwrap_or_else(PoisonError::into_inner);
        looks.get(&domain).and_then(|look| look.step.clone())
    }

    /// Records that lead visitors of `name` here.
    pub(crate) fn visitor_records(&self, name: &str) -> Vec<DnsRecord> {
        let record = |kind: &str, value: String| DnsRecord {
            name: name.to_owned(),
            kind: kind.to_owned(),
            value,
        };
        let addresses = self.here().into_iter().map(|address| match address {
            IpAddr::V4(v4) => record("A", v4.to_string()),
            IpAddr::V6(v6) => record("AAAA", v6.to_string()),
        });
        let named = self.host.parse::<IpAddr>().is_err();
        addresses.chain(named.then(|| record("CNAME", self.host.clone()))).collect()
    }

    /// Looks after all domains until `closed`.
    pub(crate) async fn keep(
        self: Arc<Self>,
        directory: Directory,
        mut closed: watch::Receiver<bool>,
    ) {
        let mut changes = directory.subscribe();
        let mut tick = tokio::time::interval(TICK);
        let mut looking: JoinSet<()> = JoinSet::new();
        let mut domains = directory.domains();
        self.resolve_host().await;
        loop {
            tokio::select! {
                change = changes.recv() => {
                    // A reader that fell behind looks at everything.
                    if self.note(&directory, change.ok().as_deref()) {
                        domains = directory.domains();
                        self.forget_all_but(&domains);
                    }
                }
                Some(_) = looking.join_next(), if !looking.is_empty() => {}
                _ = tick.tick() => self.begin_due(&directory, &domains, &mut looking),
                _ = closed.wait_for(|closed| *closed) => return,
            }
        }
    }

    /// Makes domains due that a change concerns. Returns true if there may be other domains than before.
    fn note(&self, directory: &Directory, change: Option<&Event>) -> bool {
        match change.map(|event| &event.subject) {
            Some(Subject::Publication(change)) => {
                let hostnames = change.after().map(|item| item.hostnames.as_slice());
                let names = hostnames.into_iter().flatten().filter_map(PublishedHost::name);
                let domains = names.filter_map(|name| directory.domain_of(name));
                domains.for_each(|domain| self.make_due(domain));
                false
            }
            Some(Subject::Domain(_) | Subject::Network(_)) | None => true,
            Some(_) => false,
        }
    }

    fn begin_due(
        self: &Arc<Self>,
        directory: &Directory,
        domains: &[Domain],
        looking: &mut JoinSet<()>,
    ) {
        let now = Instant::now();
        for domain in domains {
            if looking.len() >= DOMAIN_LOOKS_MAX {
                return;
            }
            if self.take_due(domain.id, now) {
                let (this, directory, domain) =
                    (Arc::clone(self), directory.clone(), domain.clone());
                looking.spawn(async move { this.look(&directory, &domain).await });
            }
        }
    }

    /// Looks where the names under a domain lead, and writes it down.
    pub(crate) async fn look(&self, directory: &Directory, domain: &Domain) {
        let mut names = directory.hostnames_under(domain);
        names.sort_unstable();
        if names.is_empty() {
            return self.write_down(domain.id, None, DOMAIN_LOOK_WAIT_MAX);
        }
        self.resolve_host().await;
        let here = self.here();
        let looks = names.into_iter().map(|(name, publication)| {
            let here = here.as_slice();
            async move { (publication, look_at(&name, here).await) }
        });
        let seen: Vec<(Uuid, Seen)> =
            futures_util::stream::iter(looks).buffered(DOMAIN_NAMES_AT_ONCE_MAX).collect().await;
        self.conclude(domain.id, seen);
    }

    fn conclude(&self, domain: Uuid, seen: Vec<(Uuid, Seen)>) {
        let mut failed: HashMap<Uuid, Option<Step>> = HashMap::new();
        for (publication, seen) in &seen {
            let failure = failed.entry(*publication).or_default();
            if !seen.step.ok {
                failure.get_or_insert_with(|| seen.step.clone());
            }
        }
        for (publication, failure) in failed {
            if let Some(entry) = self.publications.get(publication) {
                entry.evidence.note_dns(failure);
            }
        }
        let lifetime = seen.iter().map(|(_, seen)| seen.lifetime).min().unwrap_or_default();
        let worst = seen.iter().find(|(_, seen)| !seen.step.ok).or_else(|| seen.first());
        self.write_down(domain, worst.map(|(_, seen)| seen.step.clone()), lifetime);
    }

    fn write_down(&self, domain: Uuid, step: Option<Step>, lifetime: Duration) {
        let wait = lifetime.clamp(DOMAIN_LOOK_WAIT_MIN, DOMAIN_LOOK_WAIT_MAX);
        let look = Look { step, due: Instant::now() + wait };
        self.looks.write().unwrap_or_else(PoisonError::into_inner).insert(domain, look);
    }

    /// Takes a domain whose look is due, once.
    fn take_due(&self, domain: Uuid, now: Instant) -> bool {
        let mut looks = self.looks.write().unwrap_or_else(PoisonError::into_inner);
        let look = looks.entry(domain).or_insert(Look { step: None, due: now });
        let due = look.due <= now;
        if due {
            look.due = now + DOMAIN_LOOK_WAIT_MAX;
        }
        due
    }

    fn make_due(&self, domain: Uuid) {
        let mut looks = self.looks.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = looks.get_mut(&domain) {
            look.due = Instant::now();
        }
    }

    fn forget_all_but(&self, domains: &[Domain]) {
        let mut looks = self.looks.write().unwrap_or_else(PoisonError::into_inner);
        looks.retain(|id, _| domains.iter().any(|domain| domain.id == *id));
    }

    /// The relay's addresses, each once.
    fn here(&self) -> Vec<IpAddr> {
        let mut here = self.fixed.clone();
        here.extend(self.resolved.read().unwrap_or_else(PoisonError::into_inner).iter());
        here.sort_unstable();
        here.dedup();
        here
    }

    /// What was resolved before stays while DNS does not answer.
    async fn resolve_host(&self) {
        if self.host.parse::<IpAddr>().is_ok() {
            return;
        }
        match prover::addresses(&self.host).await {
            Ok(found) => {
                *self.resolved.write().unwrap_or_else(PoisonError::into_inner) = found.addresses;
            }
            Err(error) => tracing::debug!(%error, "the relay's own name does not resolve"),
        }
    }
}

async fn look_at(host: &PublicHost, here: &[IpAddr]) -> Seen {
    let asked = match host {
        PublicHost::Exact(name) => name.to_string(),
        PublicHost::Wildcard(base) => format!("{SAMPLE}.{base}"),
    };
    match prover::addresses(&asked).await {
        Ok(found) => Seen { step: judge(&asked, &found.addresses, here), lifetime: found.lifetime },
        Err(fault) => {
            let detail = format!("{asked}: {fault}; it must be {}", listed(here));
            Seen { step: Step::failed(StepName::Dns, detail), lifetime: DOMAIN_LOOK_FAILED_WAIT }
        }
    }
}

fn judge(name: &str, found: &[IpAddr], here: &[IpAddr]) -> Step {
    let elsewhere: Vec<IpAddr> =
        found.iter().copied().filter(|address| !here.contains(address)).collect();
    if elsewhere.is_empty() {
        return Step::held(StepName::Dns, format!("{name} is {}", listed(found)));
    }
    Step::failed(
        StepName::Dns,
        format!("{name} is {}, which is not this relay ({})", listed(&elsewhere), listed(here)),
    )
}

fn listed(addresses: &[IpAddr]) -> String {
    if addresses.is_empty() {
        return "an address of this relay".to_owned();
    }
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

const TICK: Duration = Duration::from_secs(1);
/// Label that stands for any name of a wildcard.
const SAMPLE: &str = "bore-check";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_here_when_all_its_addresses_do() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let here = [address("203.0.113.1"), address("2001:db8::1")];
        assert!(judge("a.example", &here[..1], &here).ok);
        let both = [here[0], address("192.0.2.9")];
        let step = judge("a.example", &both, &here);
        assert!(!step.ok);
        assert_eq!(
            step.detail,
            "a.example is 192.0.2.9, which is not this relay (203.0.113.1, 2001:db8::1)"
        );
    }

    #[test]
    fn visitors_are_led_by_addresses_and_by_the_relay_s_name() {
        let records = |host: &str, addresses: &[&str]| {
            let addresses: Vec<IpAddr> =
                addresses.iter().map(|text| text.parse().unwrap()).collect();
            let records =
                Domains::new(host, &addresses, Arc::default()).visitor_records("a.example");
            records.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(records("203.0.113.1", &["::"]), ["a.example. A 203.0.113.1"]);
        assert_eq!(
            records("relay.example.org", &["203.0.113.1", "2001:db8::1"]),
            [
                "a.example. A 203.0.113.1",
                "a.example. AAAA 2001:db8::1",
                "a.example. CNAME relay.example.org."
            ]
        );
    }

    #[test]
    fn a_domain_is_looked_at_once_when_due_and_again_after_a_change() {
        let domains = Domains::new("203.0.113.1", &[], Arc::default());
        let (domain, now) = (Uuid::from_u128(1), Instant::now());
        assert!(domains.take_due(domain, now));
        assert!(!domains.take_due(domain, now), "it is being looked at");
        domains.make_due(domain);
        assert!(domains.take_due(domain, Instant::now()));
        domains.write_down(domain, None, Duration::ZERO);
        assert!(!domains.take_due(domain, Instant::now()), "not before the shortest wait");
        assert!(domains.take_due(domain, Instant::now() + DOMAIN_LOOK_WAIT_MIN));
    }
}
