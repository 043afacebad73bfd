//! What the DNS server counts. One field, one `register` line, one row in `docs/metrics.md`.

use hickory_proto::op::ResponseCode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::respond::Transport;

/// Counters of the DNS server. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct DnsCounters {
    /// Answers sent.
    pub answers: Family<AnswerLabels, Counter>,
    /// Answers of which only the question was sent.
    pub truncated: Family<TruncationLabels, Counter>,
    /// Messages that must not be answered.
    pub ignored: Counter,
    /// TCP connections over a bound.
    pub connections_refused: Counter,
    /// TCP connections that were too slow or spoke something else.
    pub connections_dropped: Counter,
    /// Answers that the kernel did not send.
    pub sends_failed: Counter,
}

/// Labels of `bore_dns_answers_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AnswerLabels {
    /// What the request came by.
    pub transport: Transport,
    /// How it went.
    pub code: Code,
}

/// Labels of `bore_dns_truncated_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TruncationLabels {
    /// Why.
    pub cause: Truncation,
}

/// How a question went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Code {
    /// The name exists.
    NoError,
    /// It does not.
    NxDomain,
    /// Not a name of this zone, or a transfer.
    Refused,
    /// Not readable.
    FormErr,
    /// An operation other than a question, or a version of EDNS that is not known.
    NotImplemented,
}

/// Why only the question was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Truncation {
    /// The answer did not fit what the client takes.
    Size,
    /// The source's prefix had used up its budget.
    Budget,
}

impl DnsCounters {
    /// Registers under `bore_dns_`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        let dns = registry.sub_registry_with_prefix("bore_dns");
        this.show_zeros();
        dns.register("answers", "Answers to questions", this.answers.clone());
        dns.register("truncated", "Answers that were only the question", this.truncated.clone());
        for (name, help, counter) in this.plain() {
            dns.register(name, help, counter.clone());
        }
        this
    }

    fn plain(&self) -> [(&'static str, &'static str, &Counter); 4] {
        [
            ("ignored", "Messages that must not be answered", &self.ignored),
            ("connections_refused", "TCP connections over a bound", &self.connections_refused),
            ("connections_dropped", "TCP connections that were cut", &self.connections_dropped),
            ("sends_failed", "Answers that the kernel did not send", &self.sends_failed),
        ]
    }

    /// What has not happened yet is shown as 0.
    fn show_zeros(&self) {
        for transport in [Transport::Udp, Transport::Tcp] {
            for code in Code::ALL {
                drop(self.answers.get_or_create(&AnswerLabels { transport, code }));
            }
        }
        for cause in [Truncation::Size, Truncation::Budget] {
            drop(self.truncated.get_or_create(&TruncationLabels { cause }));
        }
    }

    pub(super) fn answered(&self, transport: Transport, code: ResponseCode) {
        self.answers.get_or_create(&AnswerLabels { transport, code: Code::of(code) }).inc();
    }

    pub(super) fn truncated(&self, cause: Truncation) {
        self.truncated.get_or_create(&TruncationLabels { cause }).inc();
    }
}

impl Code {
    const ALL: [Self; 5] =
        [Self::NoError, Self::NxDomain, Self::Refused, Self::FormErr, Self::NotImplemented];

    fn of(code: ResponseCode) -> Self {
        if code == ResponseCode::NoError {
            Self::NoError
        } else if code == ResponseCode::NXDomain {
            Self::NxDomain
        } else if code == ResponseCode::Refused {
            Self::Refused
        } else if code == ResponseCode::FormErr {
            Self::FormErr
        } else {
            Self::NotImplemented
        }
    }
}
