//! Publications that exist: shown, taken back, reported on, probed.

use bore_api::Code;
use bore_api::model::{Actor, Publication};
use bore_api::state::{ProbeOrder, ProbeReport, PublicationState, Step, TargetReport};
use bore_api::wire::{Displaced, PublicationView};
use uuid::Uuid;

use crate::clock;
use crate::control::{ChangeKind, Control};
use crate::limits::{REPORT_CHARS_MAX, REPORT_STEPS_MAX};
use crate::refusal::Refusal;
use crate::text::clean_text;

impl Control {
    /// A publication with its live state.
    pub fn publication_view(&self, publication: Publication) -> PublicationView {
        PublicationView {
            state: self.runtime().publication_state(publication.id),
            public: self.runtime().public_address(&publication),
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
    pub fn publications(&self, network: Uuid) -> Result<Vec<Publication>, Refusal> {
        let memory = self.read();
        let tenant = memory
            .tenant(network)
            .ok_or_else(|| Refusal::not_here("network", &network.to_string()))?;
        let served = tenant.publications.values().filter_map(|id| memory.served(*id));
        Ok(served.map(|served| served.publication.clone()).collect())
    }

    /// Publications of one node with their states, by name.
    pub fn publications_of(&self, network: Uuid, node: Uuid) -> Vec<PublicationView> {
        let served = self.read().served_by(network, node);
        served.iter().map(|served| self.publication_view(served.publication.clone())).collect()
    }

    /// What other nodes took from `node`.
    pub(crate) fn displaced(&self, node: Uuid) -> Vec<Displaced> {
        self.read().displaced(node)
    }

    /// A publication that `node` serves, by id or name.
    pub(crate) fn own_publication(
        &self,
        network: Uuid,
        node: Uuid,
        wanted: &str,
    ) -> Result<Publication, Refusal> {
        let served = self.served(network, wanted)?;
        if served.publication.node != node {
            return Err(Refusal::not_here("publication", wanted));
        }
        Ok(served.publication.clone())
    }

    /// Removes a publication, of `node` when one is given.
    ///
    /// # Errors
    /// B2111, or the store's.
    pub async fn delete_publication(
        &self,
        network: Uuid,
        node: Option<Uuid>,
        wanted: &str,
        by: &Actor,
    ) -> Result<(), Refusal> {
        let _turn = self.turn(network).await?;
        let publication = match node {
            Some(node) => self.own_publication(network, node, wanted)?,
            None => self.served(network, wanted)?.publication.clone(),
        };
        let Publication { id, node, .. } = publication;
        self.store().publications().delete(network, id, by, clock::now()).await?;

        self.write().remove_publication(id);
        self.runtime().release(id).await;
        self.sessions().signal_node(node);
        self.announce(Some(network), ChangeKind::Publications, Some(id));
        Ok(())
    }

    /// The agent says what its target does.
    pub(crate) fn report_target(&self, publication: &Publication, report: TargetReport) {
        let report =
            TargetReport { detail: clean_text(&report.detail, REPORT_CHARS_MAX), ..report };
        self.runtime().report_target(publication.node, publication.id, report);
        self.sessions().signal_node(publication.node);
    }

    /// Expects the agent's own visit.
    pub(crate) fn expect_probe(&self, publication: &Publication) -> Result<ProbeOrder, Refusal> {
        let order = self.runtime().expect_probe(publication.node, publication.id);
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
        self.runtime().report_probe(publication.node, publication.id, report);
        self.sessions().signal_node(publication.node);
        self.runtime().publication_state(publication.id)
    }
}
