//! Bounds that both sides of the API know.

/// Rows of the audit trail that one request verifies: some hundred milliseconds.
pub const AUDIT_WALK_ROWS_MAX: u32 = 20_000;

/// Seconds between two health checks of a target.
pub const HEALTH_INTERVAL_MAX_SECONDS: u16 = 3_600;

/// Characters of the path that a health check asks for.
pub const HEALTH_PATH_CHARS_MAX: usize = 256;

/// Hostnames of one publication.
pub const HOSTNAMES_PER_PUBLICATION_MAX: usize = 64;
