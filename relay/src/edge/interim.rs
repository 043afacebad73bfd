//! Interim answers of an origin on their way to the visitor: 103 Early Hints, 102 Processing (RFC 9110 §15.2).
//!
//! Over HTTP/2 only: hyper's server sends none over HTTP/1, and RFC 8297 §3 lets an intermediary leave 103 out there, because clients have
//! taken it for the answer. 100 is the business of `Grant`, 101 ends HTTP.

use http::header::HeaderMap;
use http::{Response, StatusCode};
use tokio::sync::mpsc;

use super::headers::clean_response;
use super::limits::INTERIM_ANSWERS_WAITING_MAX;

/// Where interim answers go; travels with a request.
#[derive(Debug, Clone)]
pub(super) struct Interim(mpsc::Sender<Response<()>>);

/// Where they come out.
pub(super) type Interims = mpsc::Receiver<Response<()>>;

impl Interim {
    pub(super) fn channel() -> (Self, Interims) {
        let (sender, interims) = mpsc::channel(INTERIM_ANSWERS_WAITING_MAX);
        (Self(sender), interims)
    }

    /// Passes one on. A visitor that is behind does without.
    pub(super) fn pass(&self, status: StatusCode, headers: &HeaderMap) {
        let mut answer = Response::new(());
        *answer.status_mut() = status;
        *answer.headers_mut() = headers.clone();
        clean_response(answer.headers_mut());
        if self.0.try_send(answer).is_err() {
            tracing::debug!(%status, "an interim answer was left out");
        }
    }
}
