//! The records that a relay needs in zones that others keep, and what is wrong with those that are there.
//!
//! | asked | for |
//! |---|---|
//! | the system's resolver | what visitors and agents see |
//! | the servers of the zone above the domain | whether the delegation is made, whatever a resolver still remembers |
//! | the servers of the zone that a name lies in | whether only the resolver is behind |

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use hickory_proto::op::DnsResponse;
use hickory_proto::rr::RecordType;

use super::lookups::{Cut, LookupError, Lookups, Seen, Server};
use crate::config::{Config, DnsProvider};

/// What has to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    host: String,
    domain: Option<String>,
    built_in: bool,
    addresses: Vec<IpAddr>,
}

/// One record, as a zone file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedRecord {
    /// Whose.
    pub name: String,
    /// Its type.
    pub kind: &'static str,
    /// Its data; what only the operator knows is in words.
    pub value: String,
}

/// What was seen of one thing that has to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub subject: String,
    /// Whether it is right.
    pub ok: bool,
    /// What was seen.
    pub seen: String,
    /// What to do.
    pub next: Option<String>,
}

impl Wanted {
    /// Of a relay with this configuration.
    pub fn of(config: &Config) -> Self {
        let (built_in, configured) = match &config.dns {
            Some(DnsProvider::BuiltIn(settings)) => (true, settings.addresses.clone()),
            Some(DnsProvider::Rfc2136(_) | DnsProvider::Exec(_) | DnsProvider::Cloudflare(_))
            | None => (false, Vec::new()),
        };
        let addresses = match config.host.parse() {
            Ok(address) => vec![address],
            Err(_) if configured.is_empty() => own_addresses(),
            Err(_) => configured,
        };
        let (host, domain) = (config.host.clone(), config.domain.clone());
        Self { host, domain, built_in, addresses }
    }

    /// The records to make, the first first. None for a relay that is known by its address and has no domain.
    pub fn records(&self) -> Vec<WantedRecord> {
        let mut records = Vec::new();
        let name_server = self.name_server();
        if name_server.parse::<IpAddr>().is_err() {
            records.extend(self.located(&name_server));
        }
        if let Some(domain) = &self.domain {
            if self.built_in {
                records.push(WantedRecord { name: domain.clone(), kind: "NS", value: name_server });
            } else {
                let wildcard = format!("*.{domain}");
                records.extend([domain, &wildcard].into_iter().flat_map(|name| self.located(name)));
                records.dedup();
            }
        }
        records
    }

    /// Looks at all of them. `running` says that the relay should answer for its zone by now.
    pub async fn check(&self, lookups: &Lookups, running: bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        let Some(domain) = &self.domain else {
            findings.extend(self.host_name().then_some(self.check_name(lookups, &self.host).await));
            return findings;
        };
        if self.built_in {
            if self.host_name() && !is_within(&self.host, domain) {
                findings.push(self.check_name(lookups, &self.host).await);
            }
            findings.push(self.check_delegation(lookups, domain).await);
            if running {
                findings.push(self.check_answers(lookups, domain).await);
            }
            return findings;
        }
        if self.host_name() && self.host != *domain {
            findings.push(self.check_name(lookups, &self.host).await);
        }
        findings.push(self.check_name(lookups, domain).await);
        findings.push(self.check_wildcard(lookups, domain).await);
        findings
    }

    fn host_name(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }

    /// What the NS record names: as [`super::zone::Zone`] says it.
    fn name_server(&self) -> String {
        match &self.domain {
            Some(domain) if self.built_in && !self.host_name() => format!("ns.{domain}"),
            Some(_) | None => self.host.clone(),
        }
    }

    fn located(&self, name: &str) -> Vec<WantedRecord> {
        let record = |kind, value| WantedRecord { name: name.to_owned(), kind, value };
        if self.addresses.is_empty() {
            return vec![record("A", UNKNOWN_ADDRESS.to_owned())];
        }
        let of = |address: &IpAddr| record(kind_of(address), address.to_string());
        self.addresses.iter().map(of).collect()
    }

    /// A name that has to have the relay's address.
    async fn check_name(&self, lookups: &Lookups, name: &str) -> Finding {
        let seen = match lookups.addresses(name).await {
            Ok(seen) => seen,
            Err(error) => return unseen(name, &error),
        };
        if self.fits(lookups, &seen).await {
            return good(name, list(&seen));
        }
        self.misplaced(lookups, name, name, &seen).await
    }

    async fn check_wildcard(&self, lookups: &Lookups, domain: &str) -> Finding {
        let wildcard = format!("*.{domain}");
        // A name that nobody can have asked for, so that no resolver remembers its absence.
        let probe = format!("bore-check-{:08x}.{domain}", rand::random::<u32>());
        let seen = match lookups.addresses(&probe).await {
            Ok(seen) => seen,
            Err(error) => return unseen(&wildcard, &error),
        };
        if self.fits(lookups, &seen).await {
            return good(&wildcard, list(&seen));
        }
        self.misplaced(lookups, &wildcard, &probe, &seen).await
    }

    /// Whether these are addresses of the relay. Where it does not know its own, those of its host name are taken for them.
    async fn fits(&self, lookups: &Lookups, seen: &[IpAddr]) -> bool {
        let ours = self.ours(lookups).await;
        !seen.is_empty() && (ours.is_empty() || seen.iter().any(|address| ours.contains(address)))
    }

    async fn ours(&self, lookups: &Lookups) -> Vec<IpAddr> {
        if !self.addresses.is_empty() || !self.host_name() {
            return self.addresses.clone();
        }
        lookups.addresses(&self.host).await.unwrap_or_default()
    }

    /// A name that is missing, or has other addresses: who says so, and whether only the resolver is behind.
    async fn misplaced(
        &self,
        lookups: &Lookups,
        subject: &str,
        name: &str,
        seen: &[IpAddr],
    ) -> Finding {
        let alias = lookups.seen(name, RecordType::A).await.unwrap_or_default();
        let through = alias.alias.map(|alias| format!(" by its CNAME to {alias}"));
        let through = through.unwrap_or_default();
        let ours = self.ours(lookups).await;
        if self.is_made(lookups, name, &ours).await {
            let rest = alias.ttl_seconds;
            let seen = format!(
                "made; the system's resolver still has {}{through} for up to {rest} s",
                list(seen)
            );
            return bad(subject, seen, "wait");
        }
        let records = self.located(subject).iter().map(ToString::to_string).collect::<Vec<_>>();
        let make = format!("make {}", records.join(" and "));
        if seen.is_empty() {
            return bad(subject, format!("does not exist{through}"), make);
        }
        let elsewhere =
            format!("points to {}{through}, the relay is at {}", list(seen), list(&ours));
        bad(subject, elsewhere, format!("{make} in its place"))
    }

    /// Whether the servers of the zone give a name the relay's address by now.
    async fn is_made(&self, lookups: &Lookups, name: &str, ours: &[IpAddr]) -> bool {
        let Ok(cut) = lookups.cut(name).await else { return false };
        let Some(server) = cut.servers.first() else { return false };
        for kind in [RecordType::A, RecordType::AAAA] {
            let Ok(answer) = lookups.ask(server.address, name, kind).await else { continue };
            let records = Seen::in_answer(&answer, name, kind).records;
            if records.iter().filter_map(|text| text.parse().ok()).any(|seen| ours.contains(&seen))
            {
                return true;
            }
        }
        false
    }

    /// What the servers of the zone above have instead of a delegation, where none of them has one. Who is silent has said nothing; and a name
    /// server of another name may be this relay all the same.
    pub(super) async fn missing_delegation(&self, lookups: &Lookups) -> Option<Finding> {
        let domain = self.domain.as_deref()?;
        let (cut, told) = delegations(lookups, domain).await?.ok()?;
        let is_made = told.iter().any(|told| matches!(told, Delegation::To(..)));
        let is_answered = told.iter().any(|told| *told != Delegation::Silent);
        let subject = format!("{domain} NS");
        (is_answered && !is_made).then(|| self.judge_delegation(&subject, domain, &cut, &told))
    }

    /// The NS record in the zone above, as every server of that zone has it.
    async fn check_delegation(&self, lookups: &Lookups, domain: &str) -> Finding {
        let subject = format!("{domain} NS");
        match delegations(lookups, domain).await {
            None => {
                bad(&subject, "a top-level domain cannot be delegated".to_owned(), "another domain")
            }
            Some(Err(error)) => unseen(&subject, &error),
            Some(Ok((cut, told))) => self.judge_delegation(&subject, domain, &cut, &told),
        }
    }

    fn judge_delegation(
        &self,
        subject: &str,
        domain: &str,
        Cut { zone, servers }: &Cut,
        told: &[Delegation],
    ) -> Finding {
        let wanted = self.name_server();
        let make = format!("make {domain} NS {wanted} in the zone {zone}");
        let right = told.iter().filter(|told| told.is_to(&wanted)).count();
        let glue = is_within(&wanted, domain).then(|| told.iter().filter_map(Delegation::glue));
        let answered = told.iter().filter(|told| **told != Delegation::Silent).count();
        if answered == 0 {
            let seen = format!("none of the {} servers of {zone} answers", servers.len());
            return bad(subject, seen, "look at that zone, or at this machine's way to it");
        }
        if let (Some(mut glue), true) = (glue, right == answered)
            && let Some(wrong) = glue.find(|glue| !self.is_glue(glue))
        {
            let records = self.located(&wanted).iter().map(ToString::to_string).collect::<Vec<_>>();
            let seen =
                format!("made, but the zone {zone} has {} as address of {wanted}", list(wrong));
            let next = format!(
                "make {} in the zone {zone} too: only it can lead there",
                records.join(" and ")
            );
            return bad(subject, seen, next);
        }
        if right == answered {
            return good(subject, format!("{wanted}, at {right} of {answered} servers of {zone}"));
        }
        if right > 0 {
            let seen = format!("made; {right} of {answered} servers of {zone} have it by now");
            return bad(subject, seen, "wait");
        }
        match told.iter().find(|told| !matches!(told, Delegation::Silent)) {
            Some(Delegation::Alias(alias)) => {
                let seen = format!("a CNAME to {alias} is in the way");
                bad(subject, seen, format!("delete it: beside a CNAME nothing counts; then {make}"))
            }
            Some(Delegation::To(others, _)) => {
                let others = others.iter().cloned().collect::<Vec<_>>().join(", ");
                let next = format!("{make}, and no other NS record");
                bad(subject, format!("points elsewhere: {others}"), next)
            }
            Some(Delegation::Addresses(addresses)) => {
                let seen = format!("missing; the zone {zone} has {addresses} there itself");
                bad(subject, seen, format!("delete those records, then {make}"))
            }
            Some(Delegation::Missing | Delegation::Silent) | None => {
                bad(subject, format!("missing at the servers of {zone}"), make)
            }
        }
    }

    fn is_glue(&self, glue: &[IpAddr]) -> bool {
        let is_ours = |address| self.addresses.is_empty() || self.addresses.contains(address);
        glue.iter().any(is_ours)
    }

    /// Whether questions for the zone reach the relay: asked as everybody asks.
    async fn check_answers(&self, lookups: &Lookups, domain: &str) -> Finding {
        let subject = format!("{domain} SOA");
        let reach = "the relay must run, with its UDP and TCP port 53 open to the world";
        match lookups.seen(domain, RecordType::SOA).await {
            Err(error) => Finding { next: Some(reach.to_owned()), ..unseen(&subject, &error) },
            Ok(Seen { records, ttl_seconds, .. }) => {
                let server = |text: &String| text.split_whitespace().next().map(str::to_owned);
                match records.first().and_then(server) {
                    Some(server) if server.trim_end_matches('.') == self.name_server() => {
                        good(&subject, "the relay answers".to_owned())
                    }
                    Some(server) => {
                        let seen = format!(
                            "{server} answers, for up to {ttl_seconds} s more in the system's resolver"
                        );
                        bad(&subject, seen, "wait, if the NS record was made a short while ago")
                    }
                    None => bad(&subject, "nobody answers for the zone".to_owned(), reach),
                }
            }
        }
    }
}

/// What a server of the zone above says about the domain.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Delegation {
    Silent,
    Missing,
    /// To these names, with the addresses of theirs that came along.
    To(BTreeSet<String>, Vec<IpAddr>),
    Alias(String),
    Addresses(String),
}

impl Delegation {
    /// A referral has the NS records in its authority section, an answer in the other; of each only those of the domain count.
    async fn ask(lookups: &Lookups, server: &Server, domain: &str) -> Self {
        let Ok(answer) = lookups.ask(server.address, domain, RecordType::NS).await else {
            return Self::Silent;
        };
        let answered = Seen::in_answer(&answer, domain, RecordType::NS);
        if let Some(alias) = answered.alias {
            return Self::Alias(alias);
        }
        let referred = Seen::in_referral(&answer, domain, RecordType::NS);
        let names: BTreeSet<String> =
            [answered.records, referred.records].concat().into_iter().collect();
        if !names.is_empty() {
            let glue = names.iter().flat_map(|name| glue_of(&answer, name)).collect();
            return Self::To(names, glue);
        }
        let addresses = lookups.ask(server.address, domain, RecordType::A).await;
        let records =
            addresses.map(|answer| Seen::in_answer(&answer, domain, RecordType::A).records);
        match records {
            Ok(records) if !records.is_empty() => {
                Self::Addresses(format!("A {}", records.join(", ")))
            }
            Ok(_) | Err(_) => Self::Missing,
        }
    }

    fn is_to(&self, name_server: &str) -> bool {
        matches!(self, Self::To(names, _) if names.len() == 1 && names.contains(name_server))
    }

    fn glue(&self) -> Option<&[IpAddr]> {
        if let Self::To(_, glue) = self { Some(glue) } else { None }
    }
}

/// The addresses of a name server that lies in the zone it answers for (RFC 9471), as the zone above gives them along.
fn glue_of(answer: &DnsResponse, name: &str) -> Vec<IpAddr> {
    let of = |kind| Seen::in_additional(answer, name, kind).records;
    [of(RecordType::A), of(RecordType::AAAA)]
        .concat()
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect()
}

/// What each server of the zone above a domain says; `None` of a top-level domain.
async fn delegations(
    lookups: &Lookups,
    domain: &str,
) -> Option<Result<(Cut, Vec<Delegation>), LookupError>> {
    let (_, above) = domain.split_once('.')?;
    let cut = match lookups.cut(above).await {
        Ok(cut) => cut,
        Err(error) => return Some(Err(error)),
    };
    let mut told = Vec::new();
    for server in &cut.servers {
        told.push(Delegation::ask(lookups, server, domain).await);
    }
    Some(Ok((cut, told)))
}

impl fmt::Display for WantedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, self.kind, self.value)
    }
}

/// The public addresses that this machine calls the world from. Nothing is sent.
pub(super) fn own_addresses() -> Vec<IpAddr> {
    let probes: [(SocketAddr, SocketAddr); 2] = [
        ((Ipv4Addr::UNSPECIFIED, 0).into(), (SOMEWHERE_V4, 9).into()),
        ((Ipv6Addr::UNSPECIFIED, 0).into(), (SOMEWHERE_V6, 9).into()),
    ];
    let own = probes.iter().filter_map(|(any, somewhere)| {
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(somewhere).ok()?;
        Some(socket.local_addr().ok()?.ip())
    });
    own.filter(|address| bore_policy::is_forbidden_destination(*address).is_none()).collect()
}

fn kind_of(address: &IpAddr) -> &'static str {
    if address.is_ipv4() { "A" } else { "AAAA" }
}

/// Whether a name is the domain's or lies below it.
pub(super) fn is_within(name: &str, domain: &str) -> bool {
    name == domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

fn list(addresses: &[IpAddr]) -> String {
    if addresses.is_empty() {
        return "nothing".to_owned();
    }
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn good(subject: &str, seen: String) -> Finding {
    Finding { subject: subject.to_owned(), ok: true, seen, next: None }
}

fn bad(subject: &str, seen: String, next: impl Into<String>) -> Finding {
    Finding { subject: subject.to_owned(), ok: false, seen, next: Some(next.into()) }
}

fn unseen(subject: &str, error: &LookupError) -> Finding {
    bad(subject, format!("not seen: {error}"), "look at this machine's resolver (/etc/resolv.conf)")
}

const UNKNOWN_ADDRESS: &str = "(the public address of this machine)";
/// Addresses of documentation (RFC 5737, RFC 3849): what leads there leads to the world.
const SOMEWHERE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SOMEWHERE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ns_record_and_the_hosts_address_are_enough_with_built_in_dns() {
        let records = wanted("relay.example.org", true, &["203.0.113.1", "2001:db8::1"]);
        assert_eq!(
            records,
            [
                "relay.example.org A 203.0.113.1",
                "relay.example.org AAAA 2001:db8::1",
                "t.example.org NS relay.example.org"
            ]
        );
    }

    #[test]
    fn without_it_the_wildcard_is_made_by_hand() {
        let records = wanted("t.example.org", false, &["203.0.113.1"]);
        assert_eq!(records, ["t.example.org A 203.0.113.1", "*.t.example.org A 203.0.113.1"]);
        let unknown = wanted("relay.example.org", false, &[]);
        assert_eq!(unknown.len(), 3);
        assert!(unknown[0].ends_with("(the public address of this machine)"), "{unknown:?}");
    }

    #[test]
    fn a_relay_without_a_name_needs_glue() {
        let records = wanted("203.0.113.1", true, &["203.0.113.1"]);
        assert_eq!(
            records,
            ["ns.t.example.org A 203.0.113.1", "t.example.org NS ns.t.example.org"]
        );
    }

    fn wanted(host: &str, built_in: bool, addresses: &[&str]) -> Vec<String> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let domain = Some("t.example.org".to_owned());
        let wanted = Wanted { host: host.to_owned(), domain, built_in, addresses };
        wanted.records().iter().map(ToString::to_string).collect()
    }
}
