//! What a node asks its relay through the tunnel. The tunnel is the caller: there is no id to get wrong and no secret to leak.

pub(super) mod node;
pub(super) mod publications;
pub(super) mod watch;
