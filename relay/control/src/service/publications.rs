//! Publications that exist: shown, taken back, reported on, probed.

use bore_api::Code;
use bore_api::model::{Actor, Publication};
use bore_api::state::{ProbeOrder, ProbeReport, PublicationState, Step, TargetReport};
use bore_api::wire::PublicationView;
use uuid::Uuid;

use crate::core::Core;
use crate::doors::Doors;
use crate::limits::{REPORT_CHARS_MAX, REPORT_STEPS_MAX};
use crate::refusal::Refusal;
use crate::text::clean_text;

/// Publications: published, shown, reported on, taken back.
#[derive(Debug)]
pub struct Publications {
    pub(super) core: Core,
    pub(super) doors: Doors,
}

impl Publications {
    pub(crate) fn new(core: Core, doors: Doors) -> Self {
        Self { core, doors }
    }

    /// A publication with its live state.
    pub fn view(&self, publication: Publication) -> PublicationView {
        PublicationView {
            state: self.doors.facts.publication_state(publication.id),
            public: self.doors.facts.public_address(&publication),
            access_notes: bore_policy::describe_access(
                &publication.access,
                publication.protocol.into(),
            ),
            publication,
        }
    }

    /// Publications of a network, by name.
    ///
    /// # Errors
    /// B3205 when there is no such network.
    pub fn list(&self, network: Uuid) -> Result<Vec<Publication>, Refusal> {
        let memory = self.core.directory.read();
        let tenant = memory.wanted_tenant(network)?;
        let served = tenant.publications.values().filter_map(|id| memory.served(*id));
        Ok(served.map(|served| served.publication.clone()).collect())
    }

    /// Publications of one node with their states, by name.
    pub fn of_node(&self, network: Uuid, node: Uuid) -> Vec<PublicationView> {
        let served = self.core.directory.read().served_by(network, node);
        served.iter().map(|served| self.view(served.publication.clone())).collect()
    }

    /// A publication that `node` serves, by id or name.
    pub(crate) fn own(
        &self,
        network: Uuid,
        node: Uuid,
        wanted: &str,
    ) -> Result<Publication, Refusal> {
        let served = self.core.directory.served(network, wanted)?;
        if served.publication.node != node {
            return Err(Refusal::not_here("publication", wanted));
        }
        Ok(served.publication.clone())
    }

    /// Removes a publication, of `node` when one is given.
    ///
    /// # Errors
    /// B2111, or the store's.
    pub async fn delete(
        &self,
        network: Uuid,
        node: Option<Uuid>,
        wanted: &str,
        by: &Actor,
    ) -> Result<(), Refusal> {
        let _turn = self.core.directory.turn(network).await?;
        let publication = match node {
            Some(node) => self.own(network, node, wanted)?,
            None => self.core.directory.served(network, wanted)?.publication.clone(),
        };
        let id = publication.id;
        self.core.store.publications().delete(network, id, by, self.core.now()).await?;

        self.doors.ports.release(id).await;
        Ok(())
    }

    /// The agent says what its target does.
    pub(crate) fn report_target(&self, publication: &Publication, report: TargetReport) {
        let report =
            TargetReport { detail: clean_text(&report.detail, REPORT_CHARS_MAX), ..report };
        self.doors.visits.report_target(publication.node, publication.id, report);
        self.core.directory.sessions().signal_node(publication.node);
    }

    /// Expects the agent's own visit.
    pub(crate) fn expect_probe(&self, publication: &Publication) -> Result<ProbeOrder, Refusal> {
        let order = self.doors.visits.expect_probe(publication.node, publication.id);
        order.ok_or_else(|| {
            Refusal::new(
                Code::NO_VISIT_EXPECTED,
                "the relay expects no visit to this publication now",
            )
        })
    }

    /// The agent says how its visit went.
    pub(crate) fn report_probe(
        &self,
        publication: &Publication,
        report: ProbeReport,
    ) -> PublicationState {
        let steps = report
            .steps
            .into_iter()
            .take(REPORT_STEPS_MAX)
            .map(|step| Step { detail: clean_text(&step.detail, REPORT_CHARS_MAX), ..step });
        let report = ProbeReport { steps: steps.collect() };
        self.doors.visits.report_probe(publication.node, publication.id, report);
        self.core.directory.sessions().signal_node(publication.node);
        self.doors.facts.publication_state(publication.id)
    }
}
