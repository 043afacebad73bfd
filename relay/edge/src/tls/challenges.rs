//! What an order that is under way has to show to a certificate authority: an answer over HTTP, or a certificate over `acme-tls/1`.
//!
//! An entry stands for as long as its [`Standing`] is held. The table is bounded by [`CHALLENGES_MAX`].
//!
//! Source: RFC 8555 §8.3 (HTTP-01), RFC 8737 (TLS-ALPN-01).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::sign::CertifiedKey;

use super::limits::CHALLENGES_MAX;

/// All answers that stand.
#[derive(Debug, Default)]
pub struct Challenges(Mutex<HashMap<Asked, Answer>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Asked {
    Http { host: String, token: String },
    Tls { name: String },
}

#[derive(Debug, Clone)]
enum Answer {
    Text(String),
    Certificate(Arc<CertifiedKey>),
}

/// An answer that stands until this is dropped.
#[derive(Debug)]
pub struct Standing {
    challenges: Arc<Challenges>,
    asked: Asked,
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.challenges.lock().remove(&self.asked);
    }
}

impl Challenges {
    /// The key authorization to answer `/.well-known/acme-challenge/TOKEN` with, only for the host of a standing order.
    pub fn http01(&self, host: &str, token: &str) -> Option<String> {
        let asked = Asked::Http { host: host.to_owned(), token: token.to_owned() };
        match self.lock().get(&asked) {
            Some(Answer::Text(text)) => Some(text.clone()),
            Some(Answer::Certificate(_)) | None => None,
        }
    }

    /// The certificate to show to a visitor that speaks only `acme-tls/1`.
    pub fn tls_alpn01(&self, sni: &str) -> Option<Arc<CertifiedKey>> {
        match self.lock().get(&Asked::Tls { name: sni.to_owned() }) {
            Some(Answer::Certificate(certificate)) => Some(Arc::clone(certificate)),
            Some(Answer::Text(_)) | None => None,
        }
    }

    /// Answers over HTTP from here on; `None` when too many orders are under way.
    pub fn answer_http01(
        self: &Arc<Self>,
        host: &str,
        token: &str,
        authorization: String,
    ) -> Option<Standing> {
        let asked = Asked::Http { host: host.to_owned(), token: token.to_owned() };
        self.stand(asked, Answer::Text(authorization))
    }

    /// Shows `certificate` from here on; `None` when too many orders are under way.
    pub fn answer_tls_alpn01(
        self: &Arc<Self>,
        name: &str,
        certificate: Arc<CertifiedKey>,
    ) -> Option<Standing> {
        self.stand(Asked::Tls { name: name.to_owned() }, Answer::Certificate(certificate))
    }

    fn stand(self: &Arc<Self>, asked: Asked, answer: Answer) -> Option<Standing> {
        let mut standing = self.lock();
        if standing.len() >= CHALLENGES_MAX {
            return None;
        }
        standing.insert(asked.clone(), answer);
        drop(standing);
        Some(Standing { challenges: Arc::clone(self), asked })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Asked, Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
