//! The hostnames that a publication is to have, and whether they are its network's to give.
//!
//! | written | lives | may be |
//! |---|---|---|
//! | `app` | directly under the relay's domain | anybody's, but for those that programs look for by themselves (`place`) |
//! | `app.t.example.org` | the same, in full | anybody's, one label: one wildcard certificate covers one level, and below a tenant's name another tenant could set its cookies |
//! | `shop.example.com`, `*.shop.example.com` | at or below a verified domain | that domain's network's |
//! | nothing | at the relay's address, where it has one for a host and no domain | the first web service's |
//!
//! Of several verified domains above a name the nearest decides. A name below another node's wildcard is taken from that node (`place`).

use bore_api::Code;
use bore_api::model::Protocol;
use bore_policy::{Hostname, PublicHost};
use uuid::Uuid;

use super::label;
use super::place::{Job, Place};
use super::publications::Publications;
use crate::refusal::Refusal;

impl Publications {
    /// What takes the place of a port.
    pub(super) fn named_place(&self, job: &Job<'_>) -> Result<Place, Refusal> {
        let is_web = job.draft.protocol == Protocol::Http;
        match self.core.identity.only_address().filter(|_| is_web && job.draft.hostnames.is_empty())
        {
            Some(address) => Ok(Place::Address(address)),
            None => self.hosts(job).map(Place::Hosts),
        }
    }

    /// The hostnames that are meant, canonical, each once.
    fn hosts(&self, job: &Job<'_>) -> Result<Vec<PublicHost>, Refusal> {
        let named = &job.draft.hostnames;
        let wanted = if named.is_empty() { std::slice::from_ref(&job.name) } else { named };
        let mut hosts: Vec<PublicHost> = Vec::new();
        for text in wanted {
            let host = self.host(job.member.node.network, text)?;
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        Ok(hosts)
    }

    fn host(&self, network: Uuid, wanted: &str) -> Result<PublicHost, Refusal> {
        let relay = self.core.identity.relay_domain();
        let whole = wanted.strip_suffix('.').unwrap_or(wanted).to_ascii_lowercase();
        if !whole.contains('.') {
            return self.tenant_host(network, relay.as_ref(), &whole);
        }
        if let Some(front) = relay.as_ref().and_then(|relay| front_of(&whole, relay))
            && !front.contains(['.', '*'])
        {
            return self.tenant_host(network, relay.as_ref(), front);
        }
        let host = PublicHost::parse(&whole).map_err(|error| outside(error.to_string()))?;
        self.check_not_the_relay(&host)?;
        self.check_domain(network, relay.as_ref(), &host)?;
        Ok(host)
    }

    /// A name directly under the relay's domain, which is anybody's unless an administrator has given it to a network as its domain.
    fn tenant_host(
        &self,
        network: Uuid,
        relay: Option<&Hostname>,
        front: &str,
    ) -> Result<PublicHost, Refusal> {
        let relay = relay.ok_or_else(|| {
            outside(
                "this relay has no domain: name a whole hostname under a verified one".to_owned(),
            )
        })?;
        let name = Hostname::parse(&format!("{}.{relay}", label(front)?));
        let host = PublicHost::Exact(name.map_err(|error| outside(error.to_string()))?);
        self.check_not_the_relay(&host)?;
        match self.core.directory.read().domain_above(host.base().as_str()) {
            Some((domain, owner)) if owner != network => Err(of_another(&host, &domain)),
            Some(_) | None => Ok(host),
        }
    }

    fn check_domain(
        &self,
        network: Uuid,
        relay: Option<&Hostname>,
        host: &PublicHost,
    ) -> Result<(), Refusal> {
        let owner = self.core.directory.read().domain_above(host.base().as_str());
        match owner {
            Some((_, owner)) if owner == network => Ok(()),
            Some((domain, _)) => Err(of_another(host, &domain)),
            None => Err(outside(match relay {
                Some(relay) => format!(
                    "`{host}` is neither one label under {relay} nor under a verified domain of this network"
                ),
                None => format!("`{host}` is under no verified domain of this network"),
            })),
        }
    }

    fn check_not_the_relay(&self, host: &PublicHost) -> Result<(), Refusal> {
        let PublicHost::Exact(name) = host else { return Ok(()) };
        if self.core.identity.is_own(name) {
            let detail = format!("hostname {name} is the relay's own");
            return Err(Refusal::new(Code::HOSTNAME_TAKEN, detail));
        }
        Ok(())
    }
}

/// What stands before `.domain` in a canonical name.
pub(super) fn front_of<'a>(name: &'a str, domain: &Hostname) -> Option<&'a str> {
    name.strip_suffix(domain.as_str())?.strip_suffix('.')
}

fn of_another(host: &PublicHost, domain: &str) -> Refusal {
    let detail = format!("`{host}` lies under {domain}, which is another network's");
    Refusal::new(Code::DOMAIN_TAKEN, detail)
}

fn outside(detail: String) -> Refusal {
    Refusal::new(Code::HOSTNAME_OUTSIDE, detail)
}
