//! Codes of the relay, and who speaks for a node.

use super::{Code, Entry, Exit, codes};

codes! {
    RELAY_UNREACHABLE = "B5101" {
        exit: Unreachable, status: 503,
        title: "relay unreachable",
        meaning: "No address of the relay answered in time; the text lists what was tried.",
        causes: ["UDP is blocked by the network", "the relay is down", "a firewall in front of the relay"],
        next: [
            "bore doctor; on the relay: bore relay status, and its firewall must let the UDP port in",
        ],
    }
    RELAY_DRAINING = "B5102" {
        exit: Unreachable, status: 503,
        title: "relay draining",
        meaning: "The relay is being taken out of service and takes nothing new.",
        causes: ["bore relay drain"],
        next: [
            "wait until it is back, or use another relay; its administrator takes it back with bore relay undrain",
        ],
    }
    VERSION_MISMATCH = "B5103" {
        exit: Version, status: 409,
        title: "version mismatch",
        meaning: "The two ends are of versions that do not understand one another.",
        causes: ["an old agent and a new relay, or the reverse"],
        next: ["compare bore version on both ends and update the older"],
    }
    REPLACED = "B5104" {
        exit: Taken, status: 409,
        title: "replaced by another agent",
        meaning: "Another agent with the same identity took over; this one stopped, so that they never fight.",
        causes: ["bore join --takeover elsewhere", "a cloned machine"],
        next: [
            "let one of them join with a key of its own: bore join --state DIR --key-file FILE",
        ],
    }
    ANOTHER_AGENT = "B5105" {
        exit: Taken, status: 409,
        title: "another agent runs with this identity",
        meaning: "The relay has asked the agent that had this identity first, and it answered: it runs, as another process or on another machine.",
        causes: ["a cloned machine or state folder"],
        next: ["--takeover to replace it, or join with a key of its own"],
    }
    ASKING_AGENT = "B5106" {
        exit: Unreachable, status: 409,
        title: "the earlier agent is being asked",
        meaning: "An agent with this identity was connected a moment ago. The relay asks it whether it still runs; one that does not answer within three seconds is replaced.",
        causes: ["a machine that lost its power and came back", "a cloned machine or state folder"],
        next: ["wait: the agent asks again each second"],
    }
}
