//! What the control room asks of DNS and certificates.

use std::sync::Arc;

use async_trait::async_trait;
use bore_api::model::{DnsRecord, Domain};
use bore_api::state::{CertificateState, Step};
use bore_control::{Directory, doors};
use uuid::Uuid;

use crate::acme::Issuer;
use crate::domains::Domains;
use crate::limits::DOMAIN_LOOK_PATIENCE;

/// Custom domains and certificates of a relay.
#[derive(Debug)]
pub(crate) struct Naming {
    pub(crate) directory: Directory,
    pub(crate) domains: Arc<Domains>,
    pub(crate) issuer: Arc<Issuer>,
}

#[async_trait]
impl doors::Naming for Naming {
    async fn prove_domain(&self, proofs: &[DnsRecord]) -> Step {
        self.domains.prove(proofs).await
    }

    async fn look_at_domain(&self, domain: &Domain) {
        let look = self.domains.look(&self.directory, domain);
        if tokio::time::timeout(DOMAIN_LOOK_PATIENCE, look).await.is_err() {
            tracing::debug!(domain = %domain.id, "a look at a domain takes long");
        }
    }

    fn domain_state(&self, domain: Uuid) -> Option<Step> {
        self.domains.state(domain)
    }

    fn visitor_records(&self, name: &str) -> Vec<DnsRecord> {
        self.domains.visitor_records(name)
    }

    fn certificates(&self) -> Vec<CertificateState> {
        self.issuer.states()
    }

    fn renew_certificate(&self, name: &str) -> Option<CertificateState> {
        self.issuer.renew(name)
    }
}
