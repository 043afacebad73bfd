//! Which publication has which hostname: exact names first, then the wildcard one level up.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use bore_api::model::PublishedHost;
use bore_policy::Hostname;
use uuid::Uuid;

use crate::dns::zone::Standing;

/// The table of public names. Both `tls` and `http` publications are in it.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    /// Names as they stand, and perhaps one address.
    exact: HashMap<String, Uuid>,
    /// By the name that they are one level below.
    wildcards: HashMap<String, Uuid>,
    /// All of them from the top label down, so that what lies below a name is beside it.
    sorted: BTreeSet<String>,
    /// The relay's own names, which nobody has: not by a wildcard, and not from the time before they were the relay's.
    reserved: Vec<Hostname>,
}

impl Hosts {
    /// A table without publications.
    pub(crate) fn new(reserved: Vec<Hostname>) -> Self {
        Self { reserved, ..Self::default() }
    }

    /// The publication that visitors of `hostname` come to.
    pub(crate) fn find(&self, hostname: &Hostname) -> Option<Uuid> {
        if self.reserved.contains(hostname) {
            return None;
        }
        let wildcard = || self.wildcards.get(hostname.parent()?);
        self.exact.get(hostname.as_str()).or_else(wildcard).copied()
    }

    /// The publication at the relay's own address, if that is `address`.
    pub(crate) fn find_address(&self, address: IpAddr) -> Option<Uuid> {
        self.exact.get(&address.to_string()).copied()
    }

    /// What a name is to DNS.
    pub(crate) fn standing(&self, name: &str) -> Standing {
        if Hostname::parse(name).is_ok_and(|name| self.find(&name).is_some()) {
            return Standing::Published;
        }
        let below = format!("{}.", from_the_top(name));
        let next = self.sorted.range(below.clone()..).next();
        let has_below = next.is_some_and(|next| next.starts_with(&below));
        if has_below { Standing::Above } else { Standing::Absent }
    }

    /// Gives a publication these names instead of those. Names that another one has by now stay with it.
    pub(crate) fn change(
        &mut self,
        publication: Uuid,
        from: &[PublishedHost],
        to: &[PublishedHost],
    ) {
        from.iter().for_each(|name| self.take(name, publication));
        to.iter().for_each(|name| self.give(name, publication));
    }

    fn take(&mut self, host: &PublishedHost, publication: Uuid) {
        let (names, name_there) = self.kind_of(host);
        if names.get(&name_there) == Some(&publication) {
            names.remove(&name_there);
            self.sorted.remove(&from_the_top(&host.to_string()));
        }
    }

    fn give(&mut self, host: &PublishedHost, publication: Uuid) {
        let (names, name_there) = self.kind_of(host);
        names.insert(name_there, publication);
        self.sorted.insert(from_the_top(&host.to_string()));
    }

    /// Where a name stands, and as what.
    fn kind_of(&mut self, host: &PublishedHost) -> (&mut HashMap<String, Uuid>, String) {
        match host.wildcard_base() {
            Some(parent) => (&mut self.wildcards, parent.to_string()),
            None => (&mut self.exact, host.to_string()),
        }
    }
}

/// `org.example.t.app` of `app.t.example.org`.
fn from_the_top(hostname: &str) -> String {
    hostname.rsplit('.').collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: Uuid = Uuid::from_u128(1);
    const SHOP: Uuid = Uuid::from_u128(2);

    #[test]
    fn an_exact_name_goes_before_a_wildcard_which_covers_one_level() {
        let mut names = Hosts::default();
        names.change(WEB, &[], &[published("a.example.com")]);
        names.change(SHOP, &[], &[published("*.example.com")]);
        let table = [
            ("a.example.com", Some(WEB)),
            ("b.example.com", Some(SHOP)),
            ("example.com", None),
            ("c.b.example.com", None),
            ("example.org", None),
        ];
        for (name, expected) in table {
            assert_eq!(names.find(&host(name)), expected, "{name}");
        }
        names.change(WEB, &[published("a.example.com")], &[]);
        assert_eq!(names.find(&host("a.example.com")), Some(SHOP));
    }

    #[test]
    fn nobody_has_the_relay_s_own_names() {
        let mut names = Hosts::new(vec![host("relay.example.com"), host("new.example.com")]);
        names.change(SHOP, &[], &[published("*.example.com")]);
        names.change(WEB, &[], &[published("new.example.com")]);
        assert_eq!(names.find(&host("relay.example.com")), None);
        assert_eq!(names.find(&host("new.example.com")), None, "it was published before");
        assert_eq!(names.find(&host("other.example.com")), Some(SHOP));
    }

    #[test]
    fn an_address_is_found_by_itself_and_is_no_name() {
        let mut names = Hosts::default();
        names.change(WEB, &[], &[published("203.0.113.5")]);
        assert_eq!(names.find_address("203.0.113.5".parse().unwrap()), Some(WEB));
        assert_eq!(names.find_address("203.0.113.6".parse().unwrap()), None);
        assert_eq!(names.standing("203.0.113.5"), Standing::Absent);
    }

    #[test]
    fn a_name_that_went_to_another_publication_stays_there() {
        let mut names = Hosts::default();
        let name = [published("a.example.com")];
        names.change(WEB, &[], &name);
        names.change(SHOP, &[], &name);
        names.change(WEB, &name, &[]);
        assert_eq!(names.find(&host("a.example.com")), Some(SHOP));
    }

    fn published(text: &str) -> PublishedHost {
        text.parse().unwrap()
    }

    fn host(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }
}
