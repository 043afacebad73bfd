//! Every bound of the edge, in one place. What a deployment may change is in
//! [`EdgeSettings`](super::EdgeSettings); the rest is fixed here.

use std::time::Duration;

/// Bytes of one request or response head, and of one trailer section.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Header fields of one request or response.
pub const HEADERS_MAX: usize = 128;

/// Bytes of one chunk-size line with its extensions.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;

/// Hexadecimal digits of a chunk size: 15 fit into 60 bits, so that no sum of them wraps.
pub const CHUNK_SIZE_DIGITS_MAX: usize = 15;

/// Decimal digits of a `Content-Length`: 18 fit into 63 bits.
pub const CONTENT_LENGTH_DIGITS_MAX: usize = 18;

/// Bytes of a cause that an error page repeats.
pub const CAUSE_BYTES_MAX: usize = 300;

/// Bytes of a probe token; longer paths are ordinary requests.
pub const PROBE_TOKEN_BYTES_MAX: usize = 128;

/// Bytes that a body of declared length must bring in each progress window while it is waited for.
pub const DECLARED_BODY_BYTES_MIN: u64 = 1024;

/// Bytes that any other transfer must move in each progress window while it is waited for.
pub const TRANSFER_BYTES_MIN: u64 = 1;

/// Bytes that a visitor must take in each progress window while bytes are waiting for it.
pub const DRAIN_BYTES_MIN: u64 = 1024;

/// Bytes copied at a time in an upgraded connection, in each direction.
pub const SPLICE_BUFFER_BYTES: usize = 16 * 1024;

/// First pause of the accept loop when the process has no descriptor left; it doubles.
pub const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(50);

/// Longest pause of the accept loop.
pub const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long a closed connection is read and thrown away, so that a reset does not destroy the
/// response that is still on its way (RFC 9112 §9.6).
pub const LINGER_MAX: Duration = Duration::from_secs(2);

/// When a dead visitor is first asked for a sign of life by the kernel.
pub const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// What `Retry-After` says, in seconds, when a service is away.
pub const RETRY_AFTER_SECONDS: u16 = 5;
