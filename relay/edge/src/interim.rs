//! Interim answers of an origin on their way to the visitor: 103 Early Hints, 102 Processing (RFC 9110 §15.2).
//!
//! Over HTTP/2 only: hyper's server sends none over HTTP/1, and RFC 8297 §3 lets an intermediary leave 103 out there, because clients have
//! taken it for the answer. 100 is the business of `Grant`, 101 ends HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::HeaderMap;
use http::{Response, StatusCode};
use tokio::sync::mpsc;

use super::headers::clean_response;
use super::ledger::fields_bytes;
use super::limits::{INTERIM_ANSWERS_WAITING_MAX, INTERIM_BYTES_MAX};

/// Where interim answers go; travels with a request.
#[derive(Debug, Clone)]
pub(super) struct Interim {
    sender: mpsc::Sender<Response<()>>,
    /// Bytes that may still be passed on: no window of the visitor's holds heads back.
    room: Arc<AtomicUsize>,
}

/// Where they come out.
pub(super) type Interims = mpsc::Receiver<Response<()>>;

impl Interim {
    pub(super) fn channel() -> (Self, Interims) {
        let (sender, interims) = mpsc::channel(INTERIM_ANSWERS_WAITING_MAX);
        let room = Arc::new(AtomicUsize::new(INTERIM_BYTES_MAX));
        (Self { sender, room }, interims)
    }

    /// Passes one on. A visitor that is behind, or has had enough of them, does without.
    pub(super) fn pass(&self, status: StatusCode, headers: &HeaderMap) {
        let mut answer = Response::new(());
        *answer.status_mut() = status;
        *answer.headers_mut() = headers.clone();
        clean_response(answer.headers_mut());
        if !self.takes(fields_bytes(answer.headers())) || self.sender.try_send(answer).is_err() {
            tracing::debug!(%status, "an interim answer was left out");
        }
    }

    fn takes(&self, bytes: usize) -> bool {
        let taken = |room: usize| room.checked_sub(bytes);
        self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderValue, LINK};

    use super::*;

    #[test]
    fn interim_answers_to_one_request_hold_no_more_than_one_head() {
        let (interim, mut interims) = Interim::channel();
        let value = HeaderValue::from_bytes(&vec![b'x'; INTERIM_BYTES_MAX / 2 - 100]).unwrap();
        let hints = HeaderMap::from_iter([(LINK, value)]);
        let passed = (0..64).filter(|_| {
            interim.pass(StatusCode::EARLY_HINTS, &hints);
            interims.try_recv().is_ok()
        });
        assert_eq!(passed.count(), 2);
    }
}
