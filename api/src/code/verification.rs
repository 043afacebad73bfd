//! Codes of what is proved from outside.

use super::{Code, Entry, Exit, codes};

codes! {
    NOT_VERIFIED = "B8101" {
        exit: Unverified, status: 409,
        title: "not verified in time",
        meaning: "It is published, but the agent could not reach the public address from its own network in time; the failed step is named.",
        causes: [
            "DNS has not spread yet",
            "a firewall in front of the relay",
            "the service does not answer",
        ],
        next: ["look at the step that failed; bore status shows when it turns live"],
    }
    DNS_RECORDS_MISSING = "B8102" {
        exit: Unverified, status: 409,
        title: "DNS records not there in time",
        meaning: "The relay is set up; the DNS records that it needs were not all there while they were waited for. What was seen instead is named for each.",
        causes: [
            "a record is missing or points elsewhere",
            "a CNAME record stands where the NS record has to be",
            "a resolver still remembers the old one",
        ],
        next: ["make the records that bore relay init names; bore doctor looks again"],
    }
    NO_VISIT_EXPECTED = "B8103" {
        exit: Unverified, status: 409,
        title: "no visit is expected",
        meaning: "An agent asked for, or reported on, a visit to its own public address that the relay does not expect: the publication is not reachable yet, or another agent serves it.",
        causes: ["the tunnel or the target went away in between", "another agent took over"],
        next: ["nothing: the agent asks again in a few seconds"],
    }
}
