//! What the control room is told of publications: their states, addresses and flows.

use std::sync::Arc;
use std::time::Instant;

use bore_api::model::{Protocol, Publication};
use bore_api::state::{FlowState, PublicationState};
use bore_control::doors;
use bore_edge::tls::Certificates;
use uuid::Uuid;

use crate::acme::{Issuer, WantedNames};
use crate::ingress::Gate;
use crate::public_address::PublicAddresses;
use crate::publications::Publications;
use crate::publications::missing_certificate::MissingCertificate;

/// What is true of publications now.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) publications: Arc<Publications>,
    pub(crate) gate: Gate,
    pub(crate) addresses: Arc<PublicAddresses>,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) wanted: WantedNames,
}

impl doors::Facts for Facts {
    fn publication_state(&self, id: Uuid) -> PublicationState {
        let mut state = self.publications.state(id, Instant::now());
        if let Some(missing) = self.missing_certificate(id) {
            missing.tell(&mut state);
        }
        state
    }

    fn public_address(&self, publication: &Publication) -> String {
        self.addresses.of(publication)
    }

    fn flows(&self, publication: Uuid) -> Vec<FlowState> {
        self.gate.flows.list(publication)
    }
}

impl Facts {
    /// The first certificate that a publication's hostnames lack.
    fn missing_certificate(&self, publication: Uuid) -> Option<MissingCertificate> {
        // Of the store: the answer to a publish is given before there is an entry.
        let stored = self.gate.directory.publication(publication)?;
        let hostnames = stored.hostnames.iter().filter(|_| stored.protocol == Protocol::Http);
        let mut names = hostnames.map(ToString::to_string);
        names.find_map(|name| match self.issuer.state_of(&name) {
            Some(certificate) => MissingCertificate::of(&name, &certificate),
            None if self.certificates.has(&name) || !self.wanted.wants(&name) => None,
            None => Some(MissingCertificate::expected(&name)),
        })
    }
}
