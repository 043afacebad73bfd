//! When the CA wants a certificate renewed (RFC 9773).

use std::sync::Arc;
use std::time::Duration;

use bore_api::model::Micros;
use bore_control::certificate::RenewalWindow;
use instant_acme::Error;

use super::client::Client;
use super::failure::{Failure, FailureKind};
use super::issuer::Issuer;
use super::schedule::later;

impl Issuer {
    pub(super) async fn ask_renewal(&self, subject: &str) {
        let pace = &self.context.settings.pace;
        let asked = tokio::time::timeout(pace.order_max, self.renewal(subject)).await;
        let slow = || Failure::new(FailureKind::Slow, "the CA did not say when to renew");
        match asked.map_err(|_| slow()).flatten() {
            Ok(Some(window)) => self.subjects().set_renewal(subject, window),
            Ok(None) => self.subjects().ask_after(subject, later(self.now(), UNASKED)),
            Err(failure) => {
                tracing::debug!(%subject, %failure, "no renewal information");
                let pause = failure.retry_after.unwrap_or(pace.passing_max);
                self.subjects().ask_after(subject, later(self.now(), pause));
            }
        }
    }

    /// When the CA wants it renewed; `None` from a CA that does not say such things.
    async fn renewal(&self, subject: &str) -> Result<Option<RenewalWindow>, Failure> {
        let Some(stored) = self.context.store.certificates().of_subject(subject).await? else {
            return Ok(None);
        };
        let identifier = self.context.read(&stored).and_then(|read| read.identifier());
        let Some(identifier) = identifier else { return Ok(None) };
        let client = Client::new(Arc::clone(&self.context.settings.wire));
        let account = self.open_account(&client).await?;
        let (info, again) = match account.renewal_info(&identifier).await {
            Ok(answer) => answer,
            Err(Error::Unsupported(_)) => return Ok(None),
            Err(error) => return Err(Failure::from(error).with_what_was_heard(&client)),
        };
        let micros = |time: i128| Micros::try_from(time / 1_000).unwrap_or(Micros::MAX);
        let window = RenewalWindow {
            start: micros(info.suggested_window.start.unix_timestamp_nanos()),
            end: micros(info.suggested_window.end.unix_timestamp_nanos()),
            ask_again_at: later(self.now(), again.clamp(ASK_AGAIN_MIN, ASK_AGAIN_MAX)),
        };
        self.context.store.certificates().set_renewal(stored.id, &window).await?;
        Ok(Some(window))
    }
}

/// A CA that knows no renewal information is asked again after so long.
const UNASKED: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// RFC 9773 §4.3.2.
const ASK_AGAIN_MIN: Duration = Duration::from_secs(60);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(24 * 60 * 60);
