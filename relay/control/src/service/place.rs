//! Where a publication can be reached: candidates in the order in which they are tried, and whether one is free and permitted.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use bore_api::Code;
use bore_api::model::{Publication, PublishedHost};
use bore_policy::{DecidedBy, Decision, Hostname, PortRange, PublicHost, Publisher, Wanted};
use uuid::Uuid;

use super::draft::{Draft, PortWish};
use super::hosts::front_of;
use super::publications::Publications;
use crate::doors::ClaimError;
use crate::memory::{Member, Served, places};
use crate::refusal::Refusal;

/// One public address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The first port.
    Port(u16),
    /// Hostnames, at least one.
    Hosts(Vec<PublicHost>),
    /// The relay's own address, which takes the place of a hostname.
    Address(IpAddr),
}

/// Why a wanted thing is not free, the thing in words, and who has it.
pub(super) type Holder = (Code, String, Arc<Served>);

/// What is the same for every candidate.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) draft: &'a Draft,
    pub(super) name: String,
    pub(super) member: Arc<Member>,
    /// The publication that becomes another version of itself.
    pub(super) before: Option<Arc<Served>>,
    /// The key that the publisher joined or calls with.
    pub(super) key: Option<Uuid>,
    /// How many publications the node has beside this one.
    pub(super) already: u32,
    pub(super) at: bore_api::model::Micros,
}

impl Publications {
    /// Candidates, best first. "Any" begins with the port that an update has, then anywhere in the range, so that two relays' first choices differ.
    pub(super) fn candidates(&self, job: &Job<'_>) -> Result<Vec<Place>, Refusal> {
        match job.draft.wish {
            PortWish::Host => Ok(vec![self.named_place(job)?]),
            PortWish::Exact(first) if first.checked_add(job.draft.port_count - 1).is_none() => {
                let detail = format!("{} ports from {first} go beyond 65535", job.draft.port_count);
                Err(Refusal::new(Code::PORT_REFUSED, detail))
            }
            PortWish::Exact(first) => Ok(vec![Place::Port(first)]),
            PortWish::Any => {
                let kept = job.before.as_ref().and_then(|before| before.publication.public_port);
                let others = any_ports(
                    self.core.identity.public_ports.clone(),
                    job.draft.port_count,
                    rand::random(),
                );
                Ok(kept.into_iter().chain(others).map(Place::Port).collect())
            }
        }
    }

    /// Asks the rules, of several hostnames about each.
    pub(super) fn decide_publish(
        &self,
        job: &Job<'_>,
        place: Option<&Place>,
    ) -> Result<(), Refusal> {
        let network = job.member.node.network;
        let compiled = self.core.directory.rules(network)?;
        for wanted in job.wishes(place) {
            let decision = compiled.policy.decide_publish(&job.publisher(), &wanted);
            if !decision.allowed {
                return Err(job.denied(&wanted, &decision));
            }
            if decision.by == DecidedBy::Default {
                self.demand_open_port(job, wanted.ports)?;
                self.demand_open_name(job, wanted.hostname)?;
            }
        }
        Ok(())
    }

    /// Low ports, and those that the administrator left out of `public_ports`, are services' own: no default gives them. What has one keeps it.
    fn demand_open_port(&self, job: &Job<'_>, wanted: Option<PortRange>) -> Result<(), Refusal> {
        let open = self.core.identity.open_ports.clone();
        let is_open =
            |ports: PortRange| open.contains(&ports.first()) && open.contains(&ports.last());
        let kept = job.before.as_ref().and_then(|before| before.publication.public_port);
        let Some(ports) = wanted.filter(|ports| !is_open(*ports) && kept != Some(ports.first()))
        else {
            return Ok(());
        };
        let detail = format!(
            "port {}/{} needs a publish rule: without one a node has ports from {} to {}",
            ports.first(),
            job.draft.protocol,
            open.start(),
            open.end()
        );
        let next = "another port (--port 0 for any), or a publish rule that allows this one: bore policy apply";
        Err(Refusal::new(Code::POLICY_DENIES, detail).next(next))
    }

    /// Names that programs look up in a domain by themselves, and trust, speak for all of it: no default gives them below the relay's domain. What has
    /// one keeps it.
    fn demand_open_name(&self, job: &Job<'_>, wanted: Option<&PublicHost>) -> Result<(), Refusal> {
        let (Some(PublicHost::Exact(name)), Some(relay)) =
            (wanted, self.core.identity.relay_domain())
        else {
            return Ok(());
        };
        let is_spoken_for =
            front_of(name.as_str(), &relay).is_some_and(|front| SERVICE_NAMES.contains(&front));
        let has = |before: &Arc<Served>| {
            before.publication.hostnames.iter().any(|host| host.name() == wanted)
        };
        if !is_spoken_for || job.before.as_ref().is_some_and(has) {
            return Ok(());
        }
        let detail = format!("programs look for {name} by themselves, so it needs a publish rule");
        let next =
            "another hostname (--host), or a publish rule that allows this one: bore policy apply";
        Err(Refusal::new(Code::POLICY_DENIES, detail).next(next))
    }

    /// Whether `holder`'s publication may give way to one at `place`: to one of the same node always, to another node's where rules let that node take
    /// the place, and all that the holder's publication has: a name in common must not cost it a port that no rule is about.
    pub(super) fn decide_replace(
        &self,
        job: &Job<'_>,
        place: &Place,
        holder: &Holder,
    ) -> Result<(), Refusal> {
        let losing = &holder.2.publication;
        if losing.node == job.member.node.id {
            return Ok(());
        }
        let hosts = hosts_of(losing);
        let taken = job.wishes(Some(place)).into_iter().chain(job.all_of(losing, &hosts));
        self.decide_taking(job, holder, taken)
    }

    /// Whether hostnames at `place` may be taken out of the wildcard of `holder`, which keeps the others.
    pub(super) fn decide_exception(
        &self,
        job: &Job<'_>,
        place: &Place,
        holder: &Holder,
    ) -> Result<(), Refusal> {
        self.decide_taking(job, holder, job.wishes(Some(place)))
    }

    fn decide_taking<'a>(
        &self,
        job: &Job<'_>,
        holder: &Holder,
        taken: impl IntoIterator<Item = Wanted<'a>>,
    ) -> Result<(), Refusal> {
        let network = job.member.node.network;
        let compiled = self.core.directory.rules(network)?;
        for wanted in taken {
            let decision = compiled.policy.decide_replace(&job.publisher(), &wanted);
            if !decision.allowed {
                let (held, what) = (self.held(network, holder), described(&wanted));
                let detail = format!(
                    "{}; taking {what} by node {} is {decision}",
                    held.detail, job.member.name
                );
                let next = "another name or port, or a publish rule with `replace = true` for this node: bore policy apply";
                return Err(Refusal::new(Code::POLICY_DENIES, detail).next(next));
            }
        }
        Ok(())
    }

    /// Who has what this publication wants, and is not this publication.
    pub(super) fn holders(&self, publication: &Publication) -> Vec<Holder> {
        let memory = self.core.directory.read();
        let mut holders = Vec::new();
        if let Some(served) = memory.served_as(publication.network, &publication.name) {
            holders.push((
                Code::NAME_TAKEN,
                format!("name {}", publication.name),
                Arc::clone(served),
            ));
        }
        for hostname in &publication.hostnames {
            if let Some(served) = memory.hostname_holder(hostname) {
                let (code, thing) = named(hostname);
                holders.push((code, thing, Arc::clone(served)));
            }
        }
        for (protocol, port) in places(publication) {
            if let Some(served) = memory.port_holder(protocol, port) {
                holders.push((
                    Code::PORT_TAKEN,
                    format!("port {port}/{protocol}"),
                    Arc::clone(served),
                ));
            }
        }
        let mut seen = BTreeSet::from([publication.id]);
        holders.retain(|(_, _, served)| seen.insert(served.publication.id));
        holders
    }

    /// Wildcards of other nodes of the network from which this publication would take a hostname that it does not have yet: a whole name goes before.
    pub(super) fn wildcards_above(&self, job: &Job<'_>, publication: &Publication) -> Vec<Holder> {
        let memory = self.core.directory.read();
        let had = job.before.as_ref().map(|before| &before.publication.hostnames);
        let new =
            publication.hostnames.iter().filter(|name| !had.is_some_and(|had| had.contains(name)));
        let above = new.filter_map(|name| {
            let PublishedHost::Name(PublicHost::Exact(exact)) = name else { return None };
            let wildcard = PublicHost::Wildcard(Hostname::parse(exact.parent()?).ok()?);
            let served = memory.hostname_holder(&PublishedHost::Name(wildcard.clone()))?;
            let Publication { network, node, .. } = served.publication;
            let is_anothers = network == publication.network && node != publication.node;
            let thing = format!("hostname {name}, by {wildcard},");
            is_anothers.then(|| (Code::HOSTNAME_TAKEN, thing, Arc::clone(served)))
        });
        above.collect()
    }

    /// The refusal for a wanted thing that another publication has.
    pub(super) fn held(&self, network: Uuid, holder: &Holder) -> Refusal {
        let (code, thing, served) = holder;
        if served.publication.network != network {
            return Refusal::new(*code, format!("{thing} is held by another network"));
        }
        let node = self
            .core
            .directory
            .read()
            .member(served.publication.node)
            .map(|member| member.name.to_string());
        let node = node.unwrap_or_else(|| served.publication.node.to_string());
        Refusal::new(*code, format!("{thing} is held by \"{}\" (agent {node})", served.name))
    }
}

impl Job<'_> {
    /// The publication at `place`.
    pub(super) fn publication(&self, place: &Place) -> Publication {
        let before = self.before.as_ref().map(|before| &before.publication);
        let (public_port, hostnames) = match place {
            Place::Port(port) => (Some(*port), Vec::new()),
            Place::Hosts(hosts) => (None, hosts.iter().cloned().map(PublishedHost::Name).collect()),
            Place::Address(address) => (None, vec![PublishedHost::Address(*address)]),
        };
        Publication {
            id: before.map_or_else(Uuid::now_v7, |before| before.id),
            network: self.member.node.network,
            node: self.member.node.id,
            name: self.name.clone(),
            protocol: self.draft.protocol,
            public_port,
            port_count: self.draft.port_count,
            hostnames,
            overlay_port: self
                .draft
                .overlay_port
                .or_else(|| before.map(|before| before.overlay_port))
                .unwrap_or(0),
            target: self.draft.target.clone(),
            access: self.draft.access.clone(),
            options: self.draft.options.clone(),
            lifetime: self.draft.lifetime,
            created_at: self.at,
        }
    }

    fn publisher(&self) -> Publisher<'_> {
        Publisher {
            node: self.member.node.id,
            name: &self.member.name,
            groups: &self.member.groups,
            key: self.key,
        }
    }

    fn wishes<'a>(&self, place: Option<&'a Place>) -> Vec<Wanted<'a>> {
        let wanted = |ports, hostname| Wanted {
            protocol: self.draft.protocol.into(),
            ports,
            hostname,
            already: self.already,
        };
        let last = |first: &u16| first.saturating_add(self.draft.port_count - 1);
        match place {
            Some(Place::Port(first)) => {
                vec![wanted(PortRange::new(*first, last(first)).ok(), None)]
            }
            Some(Place::Hosts(hosts)) => {
                hosts.iter().map(|host| wanted(None, Some(host))).collect()
            }
            // No rule about hostnames allows an address, and each that denies some denies it.
            Some(Place::Address(_)) | None => vec![wanted(None, None)],
        }
    }

    /// Everything that `publication` has, as this node would take it.
    fn all_of<'a>(&self, publication: &Publication, hosts: &'a [PublicHost]) -> Vec<Wanted<'a>> {
        let wanted = |ports, hostname| Wanted {
            protocol: publication.protocol.into(),
            ports,
            hostname,
            already: self.already,
        };
        let Publication { public_port, port_count, .. } = *publication;
        let last = |first: u16| first.saturating_add(port_count.saturating_sub(1));
        let ports = public_port.and_then(|first| PortRange::new(first, last(first)).ok());
        if hosts.is_empty() {
            return vec![wanted(ports, None)];
        }
        hosts.iter().map(|host| wanted(None, Some(host))).collect()
    }

    fn denied(&self, wanted: &Wanted<'_>, decision: &Decision) -> Refusal {
        let (what, name) = (described(wanted), &self.member.name);
        Refusal::new(Code::POLICY_DENIES, format!("publishing {what} by node {name} is {decision}"))
    }
}

/// The hostnames of a publication as rules know them. The relay's address is none.
fn hosts_of(publication: &Publication) -> Vec<PublicHost> {
    publication.hostnames.iter().filter_map(PublishedHost::name).cloned().collect()
}

/// What a request wants to have.
fn described(wanted: &Wanted<'_>) -> String {
    match (wanted.ports, wanted.hostname) {
        (Some(ports), _) if ports.first() == ports.last() => {
            format!("port {}/{}", ports.first(), wanted.protocol)
        }
        (Some(ports), _) => {
            format!("ports {}-{}/{}", ports.first(), ports.last(), wanted.protocol)
        }
        (None, Some(host)) => format!("hostname {host}"),
        (None, None) => wanted.protocol.to_string(),
    }
}

/// A public name that is taken, in words.
fn named(hostname: &PublishedHost) -> (Code, String) {
    match hostname {
        PublishedHost::Address(address) => {
            (Code::ADDRESS_TAKEN, format!("the relay's address {address}"))
        }
        PublishedHost::Name(name) => (Code::HOSTNAME_TAKEN, format!("hostname {name}")),
    }
}

/// First ports of runs of `count` in `range`, from a point that `random` chooses, all the way round.
fn any_ports(range: std::ops::RangeInclusive<u16>, count: u16, random: u16) -> Vec<u16> {
    let (first, last) = (*range.start().max(&1), *range.end());
    let Some(last) = last.checked_sub(count.saturating_sub(1)).filter(|last| *last >= first) else {
        return Vec::new();
    };
    let mut ports: Vec<u16> = (first..=last).collect();
    let offset = usize::from(random) % ports.len();
    ports.rotate_left(offset);
    ports
}

/// A claim that the relay could not make.
pub(super) fn unclaimed(error: ClaimError) -> Refusal {
    let code = match error {
        ClaimError::PortInUse { .. } => Code::PORT_USED_ELSEWHERE,
        ClaimError::Refused { .. } => Code::PORT_REFUSED,
        ClaimError::Limit(_) => Code::QUOTA,
        ClaimError::Leaving(_) => Code::RELAY_DRAINING,
    };
    Refusal::new(code, error.to_string())
}

/// Mail clients' settings (autoconfig, autodiscover) and keys (openpgpkey), a domain's mail policy (mta-sts, RFC 8461 section 3.3), a network's proxy
/// (wpad) and tunnel (isatap, RFC 5214 section 8.3.2), the server of the relay's own zone (ns).
const SERVICE_NAMES: [&str; 7] =
    ["autoconfig", "autodiscover", "isatap", "mta-sts", "ns", "openpgpkey", "wpad"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_port_goes_all_the_way_round_the_range() {
        assert_eq!(any_ports(20_000..=20_003, 1, 2), [20_002, 20_003, 20_000, 20_001]);
        assert_eq!(any_ports(20_000..=20_003, 3, 1), [20_001, 20_000]);
        assert_eq!(any_ports(20_000..=20_003, 5, 0), [0; 0]);
        assert_eq!(any_ports(0..=2, 1, 0), [1, 2]);
    }
}
