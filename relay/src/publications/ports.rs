//! Claims on public addresses, as the control room makes and ends them.

use async_trait::async_trait;
use bore_api::model::Publication;
use bore_control::doors::{ClaimError, Ports};
use uuid::Uuid;

use super::reconciler::Reconciler;

#[async_trait]
impl Ports for Reconciler {
    async fn claim(&self, publication: &Publication) -> Result<(), ClaimError> {
        self.ingress.claim(publication).await?;
        self.note_claim(publication);
        Ok(())
    }

    async fn release(&self, publication: Uuid) {
        self.close(publication).await;
    }

    fn check(&self, publication: Uuid) {
        self.check_anew(publication);
    }

    async fn drain(&self) {
        self.ingress.stop().await;
        self.check_ports();
    }

    async fn undrain(&self) {
        self.ingress.resume().await;
        self.check_ports();
    }
}
