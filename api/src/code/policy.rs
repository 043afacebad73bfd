//! Codes of policies.

use super::{Code, Entry, Exit, codes};

codes! {
    POLICY_DENIES = "B4101" {
        exit: Denied, status: 403,
        title: "denied by policy",
        meaning: "A rule of the network's policy forbids it; the text names policy and rule.",
        causes: ["a publish rule on ports, protocols, hostnames or their number"],
        next: ["bore policy explain shows every rule that was considered"],
    }
    POLICY_BROKEN = "B4102" {
        exit: Usage, status: 422,
        title: "policy does not compile",
        meaning: "The document was not stored; all its mistakes are listed.",
        causes: ["an unknown group", "two rules with one name", "a network with host bits set"],
        next: ["correct the rules named and apply it again"],
    }
    REVISION_CONFLICT = "B4103" {
        exit: Taken, status: 409,
        title: "changed in between",
        meaning: "What is stored is not what this change started from.",
        causes: ["another change at the same time, as of the same policy"],
        next: ["read it again and repeat the change; for a policy: bore policy show NAME, merge, apply again"],
    }
}
