//! Codes of the service behind a publication.

use super::{Code, Entry, Exit, codes};

codes! {
    TARGET_REFUSED = "B7101" {
        exit: TargetDead, status: 502,
        title: "target refused",
        meaning: "Nothing listens where the publication points to.",
        causes: ["the service is not started", "another port"],
        next: ["start the service; bore notices by itself"],
    }
    TARGET_TIMED_OUT = "B7102" {
        exit: TargetDead, status: 502,
        title: "target timed out",
        meaning: "The target did not answer a connection in time.",
        causes: ["a firewall between this machine and the target", "an overloaded service"],
        next: ["try it from this machine (curl, nc) and look at the firewall"],
    }
    TARGET_NOT_DECLARED = "B7103" {
        exit: Denied, status: 422,
        title: "target not declared on this agent",
        meaning: "An agent dials only what was declared on it, whatever a relay or the API says.",
        causes: ["a publication made through the API for an agent"],
        next: ["publish it on the machine of the agent: bore publish"],
    }
    TARGET_UNRESOLVED = "B7104" {
        exit: TargetDead, status: 502,
        title: "target name does not resolve",
        meaning: "The host of the target has no address for this machine's resolver.",
        causes: ["a typing mistake", "a name of a container network that this machine is not in"],
        next: ["check the name (getent hosts NAME), or give an address"],
    }
    TARGET_CERTIFICATE = "B7105" {
        exit: TargetDead, status: 502,
        title: "the target's certificate is not accepted",
        meaning: "The target is an https:// service, and the agent's machine does not accept its certificate; nothing of a visitor's was sent to it.",
        causes: [
            "a self-signed certificate, or one of an authority that this machine does not know",
            "a certificate for another name",
            "it has expired, or this machine's clock is wrong",
            "the service does not speak TLS",
        ],
        next: [
            "let this machine trust the issuer (ca-certificates), or dial the name that the certificate has",
            "publish it with --insecure-origin, which takes any certificate",
        ],
    }
    RELAY_DISTRUSTED = "B7106" {
        exit: Denied, status: 403,
        title: "the relay asked for what was not declared",
        meaning: "An answer or order of the relay was not about what was declared on this agent, or would have had the agent visit a machine of its own network; the agent did not follow it.",
        causes: [
            "the public name resolves to a private address on the agent's machine, and the relay was reached at a public one",
            "agent and relay are of versions that do not understand one another",
            "the relay is not honest",
        ],
        next: [
            "let the name resolve to the relay's public address here, or join by the relay's private address",
            "compare bore version on both ends; the agent's log (bore logs) names what was asked for",
        ],
    }
    TARGET_UNHEALTHY = "B7107" {
        exit: TargetDead, status: 502,
        title: "the target is not healthy",
        meaning: "The target takes connections, and its answer to the health check was late, or had another status than 200 to 399. Visitors are refused until it is healthy again.",
        causes: [
            "the service has a fault of its own, or is still starting",
            "the path of --health http:/PATH does not exist, or needs a login",
        ],
        next: [
            "look into the service's log",
            "check another path, or only that it takes connections: --health tcp",
        ],
    }
}
