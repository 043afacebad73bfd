//! What an agent's visit from outside brings, so that the relay knows it among visitors.

/// Path under which the token of a visit by HTTP stands.
pub const VISIT_PATH: &str = "/.well-known/bore/";

/// What stands before the token in the only protocol (ALPN) of a visit to a name that is passed through.
pub const VISIT_PROTOCOL: &[u8] = b"bore-visit/";
