//! Which certificates the relay wants: for its host, its domain, and what is published. Pure.
//!
//! Invariant: a name is wanted because somebody with the right to it published or configured it. What visitors ask for by SNI never gets
//! here, so that asking for ten thousand names orders nothing.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::limits::SUBJECTS_MAX;
use super::name::Name;

/// One certificate that is wanted. It has at least one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    subject: Name,
    also: Option<Name>,
    /// The network whose hostname it is; `None` for the cluster's own names.
    pub network: Option<Uuid>,
}

/// What is configured of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedNames {
    /// The relay's own host: a name or an address.
    pub host: String,
    /// The domain under which hostnames are given out.
    pub domain: Option<String>,
    /// Whether TXT records can be put into the zone of the domain, so that one wildcard does for all names.
    pub has_dns: bool,
    /// Whether the CA is a public one, which can vouch for public names only.
    pub public_only: bool,
}

impl Wanted {
    /// A certificate for one name.
    pub fn one(subject: Name, network: Option<Uuid>) -> Self {
        Self { subject, also: None, network }
    }

    /// One wildcard for a domain, and the domain itself.
    pub fn wildcard(domain: &str) -> Self {
        let apex = Name::Host(domain.to_owned());
        Self { subject: Name::Below(domain.to_owned()), also: Some(apex), network: None }
    }

    /// What orders, locks and people know it by.
    pub fn subject(&self) -> String {
        self.subject.to_string()
    }

    /// Every name of it.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        std::iter::once(&self.subject).chain(&self.also)
    }

    fn covers(&self, name: &Name) -> bool {
        self.names().any(|own| own.covers(name))
    }
}

impl WantedNames {
    /// The certificates that are wanted when these hostnames are published, and those that are too many.
    pub fn of(
        &self,
        published: impl IntoIterator<Item = (String, Uuid)>,
    ) -> (Vec<Wanted>, Vec<Wanted>) {
        let wildcard = self.domain.as_deref().filter(|_| self.has_dns).map(Wanted::wildcard);
        let is_covered =
            |name: &Name| wildcard.as_ref().is_some_and(|wildcard| wildcard.covers(name));
        let host = Name::parse(&self.host).filter(|host| !is_covered(host));
        let singles: BTreeMap<Name, Uuid> = published
            .into_iter()
            .filter_map(|(text, network)| Some((Name::parse(&text)?, network)))
            .filter(|(name, _)| !is_covered(name) && host.as_ref() != Some(name))
            .collect();
        let host = host.map(|host| Wanted::one(host, None));
        let own = wildcard.clone().into_iter().chain(host);
        let mut wanted: Vec<Wanted> =
            own.chain(in_turns(singles)).filter(|one| self.is_possible(one)).collect();
        let more = wanted.split_off(wanted.len().min(SUBJECTS_MAX));
        (wanted, more)
    }

    /// Whether a certificate is wanted for this hostname while it is published.
    pub(crate) fn wants(&self, hostname: &str) -> bool {
        let Some(name) = Name::parse(hostname) else { return false };
        let wildcard = self.domain.as_deref().filter(|_| self.has_dns).map(Wanted::wildcard);
        let covering = wildcard.filter(|wildcard| wildcard.covers(&name));
        self.is_possible(&covering.unwrap_or_else(|| Wanted::one(name, None)))
    }

    fn is_possible(&self, wanted: &Wanted) -> bool {
        !self.public_only || wanted.subject.is_public()
    }
}

/// Each network's first name, then each one's second, and so on: where there is no room for all, one network's many names take no other's.
fn in_turns(singles: BTreeMap<Name, Uuid>) -> impl Iterator<Item = Wanted> {
    let mut turns: HashMap<Uuid, usize> = HashMap::new();
    let mut ranked: Vec<(usize, Name, Uuid)> = Vec::new();
    for (name, network) in singles {
        let turn = turns.entry(network).or_default();
        ranked.push((*turn, name, network));
        *turn += 1;
    }
    ranked.sort_by_key(|(turn, ..)| *turn);
    ranked.into_iter().map(|(_, name, network)| Wanted::one(name, Some(network)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_dns_one_wildcard_does_for_the_domain() {
        let names = names("relay.example.org", Some("t.example.org"), true);
        let (wanted, _) = names.of([published("app.t.example.org"), published("shop.example.com")]);
        let subjects: Vec<String> = wanted.iter().map(Wanted::subject).collect();
        assert_eq!(subjects, ["*.t.example.org", "relay.example.org", "shop.example.com"]);
        let all: Vec<String> = wanted[0].names().map(ToString::to_string).collect();
        assert_eq!(all, ["*.t.example.org", "t.example.org"]);
        assert_eq!((wanted[0].network, wanted[2].network), (None, Some(Uuid::from_u128(1))));
    }

    #[test]
    fn without_dns_every_published_name_has_its_own() {
        let names = names("203.0.114.5", Some("t.example.org"), false);
        let (wanted, _) = names.of([published("app.t.example.org"), published("b.t.example.org")]);
        let subjects: Vec<String> = wanted.iter().map(Wanted::subject).collect();
        assert_eq!(subjects, ["203.0.114.5", "app.t.example.org", "b.t.example.org"]);
    }

    #[test]
    fn a_public_ca_is_not_asked_for_what_nobody_owns() {
        let mut names = names("127.0.0.1", Some("test.example"), true);
        assert!(names.of([published("app.test.example")]).0.is_empty());
        assert!(!names.wants("app.test.example"));
        names.public_only = false;
        assert_eq!(names.of([]).0.len(), 2);
        assert!(names.wants("app.test.example") && !names.wants("no name"));
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let names = names("relay.example.org", None, false);
        let many = (0..SUBJECTS_MAX + 4).map(|number| published(&format!("n{number}.example.com")));
        let (wanted, more) = names.of(many);
        assert_eq!((wanted.len(), more.len()), (SUBJECTS_MAX, 5));
    }

    #[test]
    fn attack_42_too_many_names_of_one_network_take_no_others_place() {
        let names = names("203.0.114.5", None, false);
        let many = (0..SUBJECTS_MAX).map(|number| published(&format!("a{number}.example.com")));
        let other = ("z.example.org".to_owned(), Uuid::from_u128(2));
        let (wanted, more) = names.of(many.chain([other]));
        let first: Vec<String> = wanted.iter().take(3).map(Wanted::subject).collect();
        assert_eq!(first, ["203.0.114.5", "a0.example.com", "z.example.org"]);
        assert_eq!((wanted.len(), more.len()), (SUBJECTS_MAX, 2));
    }

    fn names(host: &str, domain: Option<&str>, has_dns: bool) -> WantedNames {
        let domain = domain.map(str::to_owned);
        WantedNames { host: host.to_owned(), domain, has_dns, public_only: true }
    }

    fn published(name: &str) -> (String, Uuid) {
        (name.to_owned(), Uuid::from_u128(1))
    }
}
