//! What `/metrics` shows: counters of ingress, a snapshot of what others count, and the page itself.

mod access;
mod ingress;
mod scrape;
mod snapshot;

pub(crate) use access::AccessMetrics;
pub(crate) use ingress::IngressMetrics;
pub(crate) use scrape::Scrape;
