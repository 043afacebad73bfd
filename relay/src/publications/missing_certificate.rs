//! What a publication is told of a certificate that one of its hostnames lacks: a step like those of a visit, with cause and remedy in words.
//!
//! It changes no state: who comes by plain HTTP meanwhile is served.

use bore_api::state::CertificateProblem;
use bore_api::state::{
    CertificateState, CertificateStatus, PublicationState, State, Step, StepName,
};
use bore_api::utc_text;

/// A certificate that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MissingCertificate {
    step: Step,
    /// For one line of a list.
    cause: String,
    /// It is on its way, as far as anybody knows.
    is_coming: bool,
}

impl MissingCertificate {
    /// Of a hostname whose certificate is in this state; `None` when it is there.
    pub(crate) fn of(hostname: &str, certificate: &CertificateState) -> Option<Self> {
        let lacking = match certificate.status {
            CertificateStatus::Valid => return None,
            CertificateStatus::Expired => "the certificate has expired",
            CertificateStatus::Ordering
            | CertificateStatus::Failing
            | CertificateStatus::Waiting => "no certificate yet",
        };
        let problem = certificate.problem.as_ref();
        let next = next(certificate);
        let (cause, detail) = match problem {
            Some(CertificateProblem { code, cause, remedy }) => (
                format!("{lacking}: {cause} ({code}); {next}"),
                format!("{hostname}: {cause} ({code}): {remedy}; {next}"),
            ),
            None => (format!("{lacking}: {next}"), format!("{hostname}: {lacking}: {next}")),
        };
        let step = Step::failed(StepName::Certificate, detail);
        Some(Self { step, cause, is_coming: problem.is_none() })
    }

    /// Of a hostname that has just been published: its order begins at once.
    pub(crate) fn expected(hostname: &str) -> Self {
        let cause = "no certificate yet: one is about to be ordered".to_owned();
        let step = Step::failed(StepName::Certificate, format!("{hostname}: {cause}"));
        Self { step, cause, is_coming: true }
    }

    /// Puts it where people look: among the steps, and, of what works by plain HTTP, as the cause why it is not better.
    pub(crate) fn tell(self, state: &mut PublicationState) {
        state.awaits_certificate |= self.is_coming;
        // The agent has found more of the same, and by itself.
        let is_told = |step: &Step| step.name == self.step.name && !step.ok;
        if !state.steps.iter().any(is_told) {
            let edge = state.steps.iter().position(|step| step.name == StepName::Edge);
            state.steps.insert(edge.unwrap_or(state.steps.len()), self.step);
        }
        if state.state == State::Live {
            state.cause.get_or_insert(self.cause);
        }
    }
}

fn next(certificate: &CertificateState) -> String {
    match (certificate.status, certificate.next_try_at) {
        (CertificateStatus::Ordering, _) => "one is being ordered".to_owned(),
        (_, Some(at)) => format!("next try {}", utc_text(at)),
        (_, None) => "nobody orders one".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_with_its_remedy_and_the_next_try() {
        let mut certificate = certificate(CertificateStatus::Failing);
        certificate.next_try_at = Some(951_782_400_000_000);
        certificate.problem = Some(CertificateProblem {
            code: "B5404".to_owned(),
            cause: "the CA cannot connect to the relay: timed out".to_owned(),
            remedy: "open port 80".to_owned(),
        });
        let mut state = state(State::Live);
        MissingCertificate::of("app.example", &certificate).unwrap().tell(&mut state);
        assert_eq!(
            state.cause.as_deref(),
            Some(
                "no certificate yet: the CA cannot connect to the relay: timed out (B5404); next try 2000-02-29 00:00:00 UTC"
            )
        );
        let names: Vec<_> = state.steps.iter().map(|step| step.name).collect();
        assert_eq!(names, [StepName::Port, StepName::Certificate, StepName::Edge]);
        let told = &state.steps[1].detail;
        assert!(!state.steps[1].ok && told.contains("B5404): open port 80; next try"), "{told}");
        assert!(!state.awaits_certificate, "somebody has to do something");
    }

    #[test]
    fn one_that_is_on_its_way_is_awaited_and_takes_no_cause_away() {
        let mut state = state(State::Reachable);
        state.cause = Some("port: closed".to_owned());
        let ordering = certificate(CertificateStatus::Ordering);
        MissingCertificate::of("app.example", &ordering).unwrap().tell(&mut state);
        assert_eq!(state.cause.as_deref(), Some("port: closed"));
        assert!(state.awaits_certificate);
        assert_eq!(state.steps[1].detail, "app.example: no certificate yet: one is being ordered");
    }

    #[test]
    fn a_valid_certificate_lacks_nothing_and_what_the_agent_found_is_not_said_twice() {
        assert_eq!(
            MissingCertificate::of("app.example", &certificate(CertificateStatus::Valid)),
            None
        );
        let mut state = state(State::Reachable);
        let found = Step::failed(StepName::Certificate, "expired");
        state.steps.push(found.clone());
        let expired = certificate(CertificateStatus::Expired);
        MissingCertificate::of("app.example", &expired).unwrap().tell(&mut state);
        assert_eq!(state.steps.iter().filter(|step| step.name == found.name).count(), 1);
    }

    fn state(state: State) -> PublicationState {
        let steps = [StepName::Port, StepName::Edge].map(|name| Step::held(name, "well")).to_vec();
        PublicationState { state, cause: None, steps, at: 0, awaits_certificate: false }
    }

    fn certificate(status: CertificateStatus) -> CertificateState {
        CertificateState {
            names: vec!["app.example".to_owned()],
            network: None,
            status,
            issuer: None,
            not_after: None,
            next_try_at: None,
            problem: None,
        }
    }
}
