//! Visits, explained.

use std::net::IpAddr;

use bore_api::Code;
use bore_api::wire::{ExplainRequest, Explained, ExplainedStep};
use bore_policy::{Explanation, Visitor};
use uuid::Uuid;

use super::policies::Policies;
use crate::refusal::Refusal;

impl Policies {
    /// Says whether a visitor would be admitted, and by what.
    ///
    /// # Errors
    /// B2111 for an unknown publication, B2112 when `from` is neither address nor `node:NAME`, B3205 for an unknown node.
    pub fn explain_visit(
        &self,
        network: Uuid,
        request: &ExplainRequest,
    ) -> Result<Explained, Refusal> {
        let visitor = self.named_visitor(network, &request.from)?;
        let served = self.core.directory.served(network, &request.to)?;
        let compiled = self.core.directory.rules(network)?;
        let explanation = self.core.directory.read().with_ref(&served, |publication| {
            compiled.policy.explain_visit(&visitor, publication, &served.access)
        });
        explanation.map(explained).ok_or_else(|| Refusal::not_here("publication", &request.to))
    }

    fn named_visitor(&self, network: Uuid, from: &str) -> Result<Visitor, Refusal> {
        if let Some(name) = from.strip_prefix("node:") {
            let member = self.core.directory.member(network, name)?;
            return Ok(Visitor::overlay(member.node.overlay_v4.into(), member.visitor()));
        }
        let address = from.parse::<IpAddr>();
        let address = address.map_err(|_| {
            Refusal::new(
                Code::BAD_REQUEST,
                format!("`from` is `{from}`, neither an address nor node:NAME"),
            )
        })?;
        Ok(Visitor::public(address))
    }
}

fn explained(explanation: Explanation) -> Explained {
    let steps = explanation.steps.into_iter().map(|step| ExplainedStep {
        considered: step.considered,
        matched: step.matched,
        because: step.because,
    });
    Explained {
        question: explanation.question,
        allowed: explanation.decision.allowed,
        by: explanation.decision.by.to_string(),
        steps: steps.collect(),
    }
}
