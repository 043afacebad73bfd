//! What the edge's records of requests and connections become: metrics, and an access log at the level DEBUG.

use bore_edge::{AccessRecord, Observer, Outcome};
use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Requests by outcome, and how long those took that were answered.
#[derive(Debug)]
pub(crate) struct AccessMetrics {
    requests: Family<OutcomeLabels, Counter>,
    durations: Family<StatusLabels, Histogram, fn() -> Histogram>,
}

/// Labels of `bore_edge_requests_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: Outcome,
}

/// Labels of `bore_edge_request_duration_seconds`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status_class: &'static str,
}

impl AccessMetrics {
    /// Registers under `bore_edge_`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(DURATION_BUCKETS);
        let durations = Family::new_with_constructor(histogram);
        let this = Self { requests: Family::default(), durations };
        let edge = registry.sub_registry_with_prefix("bore_edge");
        edge.register("requests", "Requests by outcome", this.requests.clone());
        let durations = this.durations.clone();
        edge.register_with_unit("request_duration", "Request to answer", Unit::Seconds, durations);
        this.show_zeros();
        this
    }

    /// A series that begins with its first event hides that event from every rate.
    fn show_zeros(&self) {
        for outcome in Outcome::ALL {
            drop(self.requests.get_or_create(&OutcomeLabels { outcome }));
        }
        for status_class in ["2xx", "3xx", "4xx", "5xx"] {
            drop(self.durations.get_or_create(&StatusLabels { status_class }));
        }
    }
}

impl Observer for AccessMetrics {
    fn observe(&self, record: &AccessRecord) {
        log(record);
        let Some(request) = &record.request else { return };
        self.requests.get_or_create(&OutcomeLabels { outcome: record.outcome }).inc();
        if let Some(status_class) = request.status.and_then(class_of) {
            let durations = self.durations.get_or_create(&StatusLabels { status_class });
            durations.observe(record.duration.as_secs_f64());
        }
    }
}

/// The class of a status (RFC 9110 §15). An upgraded connection (101) lasts as long as its user likes, so it is no duration of an answer.
fn class_of(status: StatusCode) -> Option<&'static str> {
    match status.as_u16() {
        200..300 => Some("2xx"),
        300..400 => Some("3xx"),
        400..500 => Some("4xx"),
        500..600 => Some("5xx"),
        _ => None,
    }
}

/// One line for each record. The query stays out: it may hold secrets.
fn log(record: &AccessRecord) {
    let request = record.request.as_ref();
    let path = request.and_then(|request| request.path_and_query.as_ref());
    tracing::debug!(
        visitor = %record.visitor,
        host = ?record.host,
        publication = record.origin.map(|origin| tracing::field::display(origin.0)),
        method = request.map(|request| request.method.as_str()),
        path = path.map(|path| path.path()),
        request_id = ?request.and_then(|request| request.id.as_ref()),
        status = request.and_then(|request| request.status).map(|status| status.as_u16()),
        outcome = ?record.outcome,
        duration = ?record.duration,
        received_bytes = record.received_bytes,
        sent_bytes = record.sent_bytes,
        end = ?record.end,
        "request ended"
    );
}

/// Upper bounds in seconds: those that Prometheus's clients have by default, and two for slow answers.
const DURATION_BUCKETS: [f64; 13] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bore_edge::{End, RequestRecord};
    use http::{Method, Version};
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn requests_are_counted_by_outcome_and_timed_by_the_class_of_their_status() {
        let mut registry = Registry::default();
        let metrics = AccessMetrics::register(&mut registry);
        metrics.observe(&record(Outcome::Answered, Some(204)));
        metrics.observe(&record(Outcome::Denied, Some(403)));
        metrics.observe(&record(Outcome::Abandoned, None));
        metrics.observe(&record(Outcome::Answered, Some(101)));
        let passed_through = AccessRecord { request: None, ..record(Outcome::Answered, None) };
        metrics.observe(&passed_through);

        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "bore_edge_requests_total{outcome=\"Answered\"} 2",
            "bore_edge_requests_total{outcome=\"Denied\"} 1",
            "bore_edge_requests_total{outcome=\"Abandoned\"} 1",
            "bore_edge_requests_total{outcome=\"Down\"} 0",
            "bore_edge_request_duration_seconds_count{status_class=\"2xx\"} 1",
            "bore_edge_request_duration_seconds_bucket{le=\"1.0\",status_class=\"4xx\"} 0",
            "bore_edge_request_duration_seconds_bucket{le=\"2.5\",status_class=\"4xx\"} 1",
            "bore_edge_request_duration_seconds_count{status_class=\"5xx\"} 0",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} is missing in\n{text}");
        }
    }

    /// One that took two seconds.
    fn record(outcome: Outcome, status: Option<u16>) -> AccessRecord {
        let request = RequestRecord {
            version: Version::HTTP_11,
            method: Method::GET,
            path_and_query: None,
            id: None,
            status: status.map(|status| status.try_into().unwrap()),
        };
        AccessRecord {
            visitor: "192.0.2.7:1".parse().unwrap(),
            host: None,
            origin: None,
            request: Some(request),
            outcome,
            duration: Duration::from_secs(2),
            received_bytes: 0,
            sent_bytes: 0,
            end: End::Complete,
        }
    }
}
