//! What was tried for a publication or a domain, in steps: a closed set of names, each with its result.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a step tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepName {
    /// To ask the agent through its tunnel.
    Tunnel,
    /// To have the agent dial its target.
    Target,
    /// To find out by DNS where a name leads.
    Dns,
    /// To open the public port, or to connect to it from outside.
    Port,
    /// To get a hostname's certificate, or to trust it.
    Certificate,
    /// To visit the public address from outside, up to the relay.
    Edge,
    /// To be led from the public address to the agent that visits it.
    Itself,
    /// To find the record in DNS that proves a domain.
    Proof,
    /// Something that only a newer version knows. Its name is lost; its result and its words hold.
    #[serde(other)]
    Unknown,
}

impl StepName {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tunnel => "tunnel",
            Self::Target => "target",
            Self::Dns => "dns",
            Self::Port => "port",
            Self::Certificate => "certificate",
            Self::Edge => "edge",
            Self::Itself => "itself",
            Self::Proof => "proof",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// What was tried.
    pub name: StepName,
    /// Whether it held.
    pub ok: bool,
    /// Why not, or what was seen, in words.
    pub detail: String,
}

impl Step {
    /// With its result.
    pub fn new(name: StepName, ok: bool, detail: impl Into<String>) -> Self {
        Self { name, ok, detail: detail.into() }
    }

    /// One that held.
    pub fn held(name: StepName, detail: impl Into<String>) -> Self {
        Self::new(name, true, detail)
    }

    /// One that did not hold.
    pub fn failed(name: StepName, detail: impl Into<String>) -> Self {
        Self::new(name, false, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::ProbeReport;

    #[test]
    fn a_name_is_written_and_read_as_one_text() {
        let written = "tunnel target dns port certificate edge itself proof unknown";
        for text in written.split(' ') {
            let name: StepName = serde_json::from_value(text.into()).unwrap();
            assert_eq!((name.as_str(), name.to_string().as_str()), (text, text));
            assert_eq!(serde_json::to_value(name).unwrap(), text);
        }
    }

    #[test]
    fn a_newer_versions_step_keeps_its_result_and_takes_no_report_away() {
        let report = r#"{"steps": [
            {"name": "port", "ok": true, "detail": "accepted"},
            {"name": "quic", "ok": false, "detail": "no answer by QUIC", "took_ms": 3}
        ]}"#;
        let ProbeReport { steps } = serde_json::from_str(report).unwrap();
        let unknown = Step::failed(StepName::Unknown, "no answer by QUIC");
        assert_eq!(steps, [Step::held(StepName::Port, "accepted"), unknown]);
    }
}
