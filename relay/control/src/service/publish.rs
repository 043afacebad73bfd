//! Publishing: from a request to an acknowledged publication whose public address is open.
//!
//! Order: form, quotas, then candidate by candidate: rules, who holds it, claim on the relay, store. The claim comes before the store, so that
//! what is acknowledged has its port; a claim whose row was not stored is given back. A request that changes nothing writes nothing, and waits for
//! no change of others.
//!
//! With `replace`, publications that stand in the way give way: those of the same node, and those of other nodes of the network where a publish rule
//! has `replace`. They let go of their addresses first, and take them again when the new one fails; in the store one transaction removes them and
//! adds the new one, so that a relay that dies meanwhile has either. Who loses one that way is told by its watch.

use std::sync::Arc;

use bore_api::Code;
use bore_api::model::{Actor, Publication};
use bore_api::wire::{PublicationView, PublishRequest};
use bore_policy::Access;
use uuid::Uuid;

use super::below_quota;
use super::draft::{Draft, PortWish};
use super::place::{Holder, Job, Place, unclaimed};
use super::publications::Publications;
use crate::doors::ClaimError;
use crate::event::{Change, Event, Subject};
use crate::limits::{ACCESS_ENTRIES_PER_NODE_MAX, PORT_TRIES_MAX};
use crate::memory::{Member, Served};
use crate::refusal::Refusal;

impl Publications {
    /// Publishes for `node`, or changes what it publishes under this name.
    ///
    /// # Errors
    /// B2101 to B2110, B2112, B4101, or the store's.
    pub async fn publish(
        &self,
        network: Uuid,
        node: Uuid,
        request: &PublishRequest,
        by: &Actor,
    ) -> Result<PublicationView, Refusal> {
        let _turn = match self.core.directory.free_turn(network) {
            Some(turn) => turn,
            None => match self.standing(network, node, request, by) {
                Some(standing) => return Ok(self.view(standing)),
                None => self.core.directory.turn(network).await?,
            },
        };
        let member = self.core.directory.member(network, &node.to_string())?;
        let compiled = self
            .core
            .directory
            .policy(network)
            .ok_or_else(|| Refusal::not_here("node", &node.to_string()))?;
        let draft = Draft::check(request, member.node.kind, &compiled.groups)?;
        let mut attempt = 0;
        loop {
            let job = self.job(&draft, Arc::clone(&member), by, attempt);
            self.check_quotas(&job)?;
            match self.place(&job, by).await {
                // The next name, since the hostname that this one makes is another network's, or rests for it.
                Err(refusal)
                    if matches!(refusal.code, Code::HOSTNAME_TAKEN | Code::DOMAIN_TAKEN)
                        && draft.names_itself()
                        && attempt < NAME_ATTEMPTS =>
                {
                    attempt += 1;
                }
                placed => return placed.map(|publication| self.view(publication)),
            }
        }
    }

    /// What is published already, just as `request` has it, and may be. An agent that starts anew while the database does not answer another
    /// change declares such publications, and serves its visitors once it has the answer.
    fn standing(
        &self,
        network: Uuid,
        node: Uuid,
        request: &PublishRequest,
        by: &Actor,
    ) -> Option<Publication> {
        let member = self.core.directory.member(network, &node.to_string()).ok()?;
        let compiled = self.core.directory.policy(network)?;
        let draft = Draft::check(request, member.node.kind, &compiled.groups).ok()?;
        let job = self.job(&draft, member, by, 0);
        let place = self.candidates(&job).ok()?.into_iter().next()?;
        self.decide_publish(&job, Some(&place)).ok()?;
        let wanted = job.publication(&place);
        let before = job.before.as_ref().filter(|before| before.is(&wanted));
        before.map(|before| before.publication.clone())
    }

    fn job<'a>(&self, draft: &'a Draft, member: Arc<Member>, by: &Actor, attempt: u32) -> Job<'a> {
        let (network, node) = (member.node.network, member.node.id);
        let (name, before) = self.name_and_before(draft, network, node, attempt);
        let others = self.core.directory.read().served_by(network, node);
        let already = others.iter().filter(|other| other.publication.name != name).count();
        let key = match by {
            Actor::ApiKey(key) => Some(*key),
            Actor::Node(_) | Actor::JoinKey(_) | Actor::System => member.node.join_key,
        };
        let already = u32::try_from(already).unwrap_or(u32::MAX);
        Job { draft, name, member, before, key, already, at: self.core.now() }
    }

    /// The name, and the publication that it is an update of. A generated name that another node has is drawn again.
    fn name_and_before(
        &self,
        draft: &Draft,
        network: Uuid,
        node: Uuid,
        first: u32,
    ) -> (String, Option<Arc<Served>>) {
        let memory = self.core.directory.read();
        let holder = |name: &str| memory.served_as(network, name).cloned();
        let foreign =
            |name: &String| holder(name).is_some_and(|served| served.publication.node != node);
        let last = if draft.name.is_some() { first } else { NAME_ATTEMPTS };
        let mut names = (first..=last).map(|attempt| draft.name_for(node, attempt));
        let name = names.find(|name| !foreign(name)).unwrap_or_else(|| draft.name_for(node, first));
        let before = holder(&name).filter(|served| {
            let publication = &served.publication;
            publication.node == node
                && publication.protocol == draft.protocol
                && publication.port_count == draft.port_count
        });
        (name, before)
    }

    fn check_quotas(&self, job: &Job<'_>) -> Result<(), Refusal> {
        let (memory, quotas, network) =
            (self.core.directory.read(), self.core.quotas(), job.member.node.network);
        let tenant = memory.wanted_tenant(network)?;
        check_hostnames(job, tenant.hostnames, quotas.hostnames_per_network)?;
        let all = memory.served_by(network, job.member.node.id);
        check_access_entries(job, all.iter().map(|served| &served.publication))?;
        if job.before.is_some() {
            return Ok(());
        }
        let of_node =
            tenant.published_by.get(&job.member.node.id).map_or(0, std::collections::BTreeSet::len);
        below_quota("publications of a node", of_node, quotas.publications_per_node)?;
        below_quota(
            "publications in a network",
            tenant.publications.len(),
            quotas.publications_per_network,
        )?;
        let ports = tenant.ports + usize::from(job.draft.port_count) - 1;
        match job.draft.wish {
            PortWish::Host => Ok(()),
            PortWish::Exact(_) | PortWish::Any => {
                below_quota("public ports of a network", ports, quotas.ports_per_network)
            }
        }
    }

    /// Takes the first candidate that is permitted, free and open.
    async fn place(&self, job: &Job<'_>, by: &Actor) -> Result<Publication, Refusal> {
        let candidates = self.candidates(job)?;
        if job.draft.wish != PortWish::Any {
            let [only] = candidates.as_slice() else {
                return Err(Refusal::new(Code::NO_FREE_PORT, "no public address can be meant"));
            };
            self.decide_publish(job, Some(only))?;
            return self.place_alone(job, only, by).await;
        }
        self.place_anywhere(job, &candidates, by).await
    }

    async fn place_anywhere(
        &self,
        job: &Job<'_>,
        candidates: &[Place],
        by: &Actor,
    ) -> Result<Publication, Refusal> {
        let anywhere = self.decide_publish(job, None).is_ok();
        let (mut denied, mut tries) = (None, 0);
        for place in candidates {
            if !anywhere && let Err(refusal) = self.decide_publish(job, Some(place)) {
                denied.get_or_insert(refusal);
                continue;
            }
            let publication = job.publication(place);
            let (named, placed) =
                self.holders(&publication).into_iter().partition::<Vec<_>, _>(is_name);
            if !placed.is_empty() {
                continue;
            }
            if !named.is_empty() {
                return self.place_alone(job, place, by).await;
            }
            tries += 1;
            match self.claim_and_store(job, publication, &[], by).await {
                Err(refusal) if is_about_the_port(&refusal) && tries < PORT_TRIES_MAX => {}
                settled => return settled.map_err(no_port_left),
            }
        }
        let none = || Refusal::new(Code::NO_FREE_PORT, "every port of the relay's range is taken");
        Err(denied.filter(|_| tries == 0).unwrap_or_else(none))
    }

    /// Places here or not at all.
    async fn place_alone(
        &self,
        job: &Job<'_>,
        place: &Place,
        by: &Actor,
    ) -> Result<Publication, Refusal> {
        let publication = job.publication(place);
        let holders = self.holders(&publication);
        let above = self.wildcards_above(job, &publication);
        let foreign =
            holders.iter().find(|(_, _, served)| served.publication.network != publication.network);
        let first = || holders.iter().chain(&above).next().filter(|_| !job.draft.replace);
        if let Some(holder) = foreign.or_else(first) {
            return Err(self.held(publication.network, holder));
        }
        for holder in &above {
            self.decide_exception(job, place, holder)?;
        }
        for holder in &holders {
            self.decide_replace(job, place, holder)?;
        }
        for holder in &holders {
            self.step_aside(job, holder).await;
        }
        let placed = self.claim_and_store(job, publication, &holders, by).await;
        if placed.is_err() {
            for (_, _, served) in &holders {
                self.step_back(served, by).await;
            }
        }
        placed
    }

    /// Closes the address of a publication. It leaves memory, so that nothing that goes on meanwhile opens it again; an agent that looks meanwhile is
    /// told why.
    async fn step_aside(&self, job: &Job<'_>, (_, thing, served): &Holder) {
        let publication = &served.publication;
        if publication.node != job.member.node.id {
            let cause =
                format!("{thing} was taken by \"{}\" (agent {})", job.name, job.member.name);
            self.core.directory.write().displace(publication, cause);
        }
        self.core.directory.write().remove_publication(publication.id);
        self.doors.ports.release(publication.id).await;
    }

    /// Undoes [`Self::step_aside`]. Who looked meanwhile has to look again.
    async fn step_back(&self, served: &Served, by: &Actor) {
        let publication = &served.publication;
        self.core.directory.follow(&Arc::new(Event {
            at: self.core.now(),
            network: Some(publication.network),
            actor: by.clone(),
            subject: Subject::Publication(Change::came(publication.clone())),
        }));
        self.reclaim(publication).await;
    }

    async fn claim_and_store(
        &self,
        job: &Job<'_>,
        publication: Publication,
        giving_way: &[Holder],
        by: &Actor,
    ) -> Result<Publication, Refusal> {
        self.claim(&publication).await.map_err(unclaimed)?;
        if let Some(before) = job.before.as_ref().filter(|before| before.is(&publication)) {
            return Ok(before.publication.clone());
        }
        let gone: Vec<Uuid> = giving_way.iter().map(|(.., served)| served.publication.id).collect();
        let stored = self.core.store.publications().replace(&gone, &publication, by).await;
        if stored.is_err() {
            self.unclaim(job, publication.id).await;
        }
        Ok(stored?)
    }

    async fn claim(&self, publication: &Publication) -> Result<(), ClaimError> {
        if self.core.is_draining() {
            return Err(ClaimError::Leaving("draining"));
        }
        self.doors.ports.claim(publication).await
    }

    /// Back to the claim that the stored row has, if there is one.
    async fn unclaim(&self, job: &Job<'_>, id: Uuid) {
        match &job.before {
            Some(before) => self.reclaim(&before.publication).await,
            None => self.doors.ports.release(id).await,
        }
    }

    /// Opens the address of a publication that stays after all.
    async fn reclaim(&self, publication: &Publication) {
        let id = publication.id;
        if let Err(error) = self.claim(publication).await {
            tracing::warn!(publication = %id, %error, "a publication lost its public address");
        }
        self.doors.ports.check(id);
    }
}

/// A publication without a hostname of its own has one by its name. One that has fewer than before is always welcome.
fn check_hostnames(job: &Job<'_>, already: usize, most: usize) -> Result<(), Refusal> {
    let before = job.before.as_ref().map_or(0, |before| before.publication.hostnames.len());
    let wanted = match job.draft.wish {
        PortWish::Host => job.draft.hostnames.len().max(1),
        PortWish::Exact(_) | PortWish::Any => 0,
    };
    if wanted <= before {
        return Ok(());
    }
    below_quota("hostnames in a network", already - before + wanted - 1, most)
}

/// One that has no more entries than before is always welcome.
fn check_access_entries<'p>(
    job: &Job<'_>,
    all: impl Iterator<Item = &'p Publication>,
) -> Result<(), Refusal> {
    let entries = |access: &Access| access.allow.len() + access.deny.len();
    let wanted = entries(&job.draft.access);
    let before = job.before.as_ref().map_or(0, |before| entries(&before.publication.access));
    let others = all.filter(|publication| publication.name != job.name);
    let sum = wanted + others.map(|publication| entries(&publication.access)).sum::<usize>();
    if wanted <= before || sum <= ACCESS_ENTRIES_PER_NODE_MAX {
        return Ok(());
    }
    Err(Refusal::quota("entries in the access lists of a node", ACCESS_ENTRIES_PER_NODE_MAX))
}

fn is_name((code, ..): &Holder) -> bool {
    *code == Code::NAME_TAKEN
}

fn is_about_the_port(refusal: &Refusal) -> bool {
    matches!(refusal.code, Code::PORT_TAKEN | Code::PORT_USED_ELSEWHERE | Code::PORT_REFUSED)
}

/// With any port, that one of them was taken is not what the caller has to hear.
fn no_port_left(refusal: Refusal) -> Refusal {
    if !is_about_the_port(&refusal) {
        return refusal;
    }
    let detail = format!("{PORT_TRIES_MAX} free ports were tried, none could be opened");
    Refusal::new(Code::NO_FREE_PORT, detail).because(refusal)
}

/// Names that are drawn before a generated one is given up.
const NAME_ATTEMPTS: u32 = 8;
