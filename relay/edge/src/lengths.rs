//! Bodies without a length, and services that take none: HTTP/1.0 knows no chunks (RFC 9112 §6.1), so such a service reads nothing.
//!
//! Which version a service speaks is learned from its answers. Until then a body that ends soon and is small gets a length; for one that
//! speaks HTTP/1.0 a body is collected up to a bound, and one beyond it is refused with 411. Bodies for the others are never held back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Method, StatusCode, Version};
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::headers::{expects_continue, upgrade_protocol};
use super::limits::{
    GATHERED_BODIES_MAX, GATHERED_BODIES_OF_ORIGIN_MAX, GATHERED_BYTES_MAX,
    GATHERED_FIRST_BYTES_MAX, GATHERED_FIRST_MAX, GATHERED_MAX, ORIGINS_KNOWN_MAX,
};
use super::origins::{OriginId, Origins};
use super::pages::Notice;
use super::request_body::RequestBody;
use super::service::{Visit, invalid};

/// What the services that have answered speak. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Versions {
    known: Arc<Mutex<HashMap<OriginId, Known>>>,
    /// Places for bodies that are collected, for all services.
    places: Arc<Semaphore>,
}

#[derive(Debug)]
struct Known {
    is_http_10: bool,
    /// The service's own places for bodies that are collected. They stay when it answers in another version: that frees none.
    places: Arc<Semaphore>,
}

/// What a body that is collected needs.
enum Need {
    /// Its service is not known.
    Unknown,
    Nothing,
    /// `None` when there is none.
    Place(Option<GatheringPlace>),
}

/// The place of a body that is collected: one of all, and one of its service's.
type GatheringPlace = [OwnedSemaphorePermit; 2];

impl Default for Versions {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(GATHERED_BODIES_MAX));
        Self { known: Arc::default(), places }
    }
}

impl Versions {
    /// Notes the version of an answer. The table begins anew when it is full.
    pub(super) fn learn(&self, origin: OriginId, version: Version) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ORIGINS_KNOWN_MAX && !known.contains_key(&origin) {
            known.clear();
        }
        let places = || Arc::new(Semaphore::new(GATHERED_BODIES_OF_ORIGIN_MAX));
        let entry = known.entry(origin);
        entry.or_insert_with(|| Known { is_http_10: false, places: places() }).is_http_10 =
            version == Version::HTTP_10;
    }

    fn need(&self, origin: OriginId) -> Need {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&origin) {
            None => Need::Unknown,
            Some(known) if known.is_http_10 => Need::Place(self.place(&known.places)),
            Some(_) => Need::Nothing,
        }
    }

    fn place(&self, of_origin: &Arc<Semaphore>) -> Option<GatheringPlace> {
        let take = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned().ok();
        Some([take(&self.places)?, take(of_origin)?])
    }
}

impl<O: Origins> Visit<O> {
    /// The body, collected where its service needs a length and it has none.
    pub(super) async fn measured(
        &self,
        origin: OriginId,
        parts: &Parts,
        body: RequestBody,
    ) -> Result<RequestBody, Notice> {
        if body.is_empty() || has_length(parts) || upgrade_protocol(&parts.headers).is_some() {
            return Ok(body);
        }
        let upload = body.upload();
        let broken = |_| self.broken(&upload);
        match self.versions.need(origin) {
            Need::Nothing => Ok(body),
            Need::Unknown if is_upload(parts) => {
                let first = body.gathered(GATHERED_FIRST_BYTES_MAX, GATHERED_FIRST_MAX);
                first.await.map_err(broken)
            }
            Need::Unknown => Ok(body),
            Need::Place(place) => {
                let place = place.ok_or(Notice::Full)?;
                let body = body.gathered(GATHERED_BYTES_MAX, GATHERED_MAX).await.map_err(broken)?;
                if body.is_measured() { Ok(body.in_place(place)) } else { Err(no_length()) }
            }
        }
    }
}

/// States the length of a body that is known to be here, and that there is none where the method asks for a body (RFC 9110 §8.6): services look
/// for it.
pub(super) fn state_length(parts: &mut Parts, body: &RequestBody) {
    let is_known = body.is_measured() || (body.is_empty() && takes_body(&parts.method));
    if let Some(length) = body.size_hint().exact().filter(|_| is_known) {
        parts.headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
}

fn has_length(parts: &Parts) -> bool {
    match parts.version {
        Version::HTTP_2 => parts.headers.contains_key(CONTENT_LENGTH),
        _ => !parts.headers.contains_key(TRANSFER_ENCODING),
    }
}

/// A request whose body a service looks for. Who waits for the service's word over HTTP/2 means it; curl asks for it over HTTP/1 with every
/// body without a length.
fn is_upload(parts: &Parts) -> bool {
    let waits = parts.version == Version::HTTP_2 && expects_continue(&parts.headers);
    takes_body(&parts.method) && !waits
}

fn takes_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

fn no_length() -> Notice {
    let reason =
        "The service speaks HTTP/1.0 and takes no body without a length: send a Content-Length.";
    invalid(StatusCode::LENGTH_REQUIRED, reason)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn bodies_of_one_service_leave_places_to_the_others() {
        let versions = Versions::default();
        let [slow, other, later] = [1, 2, 3].map(|id| OriginId(Uuid::from_u128(id)));
        for (origin, version) in
            [(slow, Version::HTTP_10), (other, Version::HTTP_10), (later, Version::HTTP_11)]
        {
            assert!(matches!(versions.need(origin), Need::Unknown));
            versions.learn(origin, version);
        }
        assert!(matches!(versions.need(later), Need::Nothing));
        let place = |origin| match versions.need(origin) {
            Need::Place(place) => place,
            Need::Unknown | Need::Nothing => panic!("it speaks HTTP/1.0"),
        };
        let held: Vec<_> = std::iter::from_fn(|| place(slow)).collect();
        assert_eq!(held.len(), GATHERED_BODIES_OF_ORIGIN_MAX);
        for version in [Version::HTTP_11, Version::HTTP_10] {
            versions.learn(slow, version);
        }
        assert!(place(slow).is_none(), "another answer frees nothing");
        assert!(place(other).is_some());
        drop(held);
        assert!(place(slow).is_some());
    }
}
