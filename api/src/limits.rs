//! Bounds and times that more than one side of the API knows.

use std::time::Duration;

/// Rows of the audit trail that one request verifies: some hundred milliseconds.
pub const AUDIT_WALK_ROWS_MAX: u32 = 20_000;

/// Seconds between two health checks of a target.
pub const HEALTH_INTERVAL_MAX_SECONDS: u16 = 3_600;

/// Characters of the path that a health check asks for.
pub const HEALTH_PATH_CHARS_MAX: usize = 256;

/// Hostnames of one publication.
pub const HOSTNAMES_PER_PUBLICATION_MAX: usize = 64;

/// Consecutive public ports of one publication.
pub const PORT_COUNT_MAX: u16 = 16_384;

/// Between two heartbeats of a watch stream.
pub const WATCH_HEARTBEAT: Duration = Duration::from_secs(15);

/// A UDP flow without a datagram for so long is forgotten, on the relay and on the agent.
pub const UDP_IDLE: Duration = Duration::from_secs(60);

/// The same, once both sides have spoken.
pub const UDP_IDLE_TWO_SIDED: Duration = Duration::from_secs(180);

/// Bytes of one line at an agent's probe port, either way.
pub const PROBE_LINE_BYTES_MAX: usize = 4_096;
