//! Every bound of the edge, in one place. What a deployment may change is in
//! [`EdgeSettings`](super::EdgeSettings); the rest is fixed here.

use std::time::Duration;

/// Bytes of one request or response head, and of one trailer section.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Header fields of one request.
pub const HEADERS_MAX: usize = 128;

/// Header fields of one answer of an origin; further ones are left out.
pub const ORIGIN_HEADERS_MAX: usize = 1024;

/// Interim answers (1xx) of an origin to one request.
pub const INTERIM_ANSWERS_MAX: u32 = 64;

/// Bytes of a body without a length that are collected for a service that speaks HTTP/1.0.
pub const GATHERED_BYTES_MAX: usize = 1024 * 1024;

/// How long such a body may come; what is not here then needs a length. It holds a place meanwhile.
pub const GATHERED_MAX: Duration = Duration::from_secs(60);

/// Such bodies at once.
pub const GATHERED_BODIES_MAX: usize = 64;

/// Such bodies at once for one service: slow visitors of one leave room to the others.
pub const GATHERED_BODIES_OF_ORIGIN_MAX: usize = 16;

/// Bytes of such a body that are collected for a service that has not answered yet.
pub const GATHERED_FIRST_BYTES_MAX: usize = 64 * 1024;

/// How long the end of such a body is waited for, for a service that has not answered yet.
pub const GATHERED_FIRST_MAX: Duration = Duration::from_millis(100);

/// Services whose version of HTTP, and whose odd lines, are remembered.
pub const ORIGINS_KNOWN_MAX: usize = 4096;

/// Interim answers that wait for a visitor; further ones are left out.
pub const INTERIM_ANSWERS_WAITING_MAX: usize = 8;

/// Bytes of the interim answers to one request that are passed on, as RFC 9113 §6.5.2 counts them; further ones are left out.
pub const INTERIM_BYTES_MAX: usize = HEAD_BYTES_MAX;

/// Odd lines of one service that are told in the log, each once.
pub const ODD_LINES_LOGGED_MAX: usize = 16;

/// Bytes of one chunk-size line with its extensions.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;

/// Hexadecimal digits of a chunk size: 15 fit into 60 bits, so that no sum of them wraps.
pub const CHUNK_SIZE_DIGITS_MAX: usize = 15;

/// Decimal digits of a `Content-Length`: 18 fit into 63 bits.
pub const CONTENT_LENGTH_DIGITS_MAX: usize = 18;

/// Bytes of a cause that an error page repeats.
pub const CAUSE_BYTES_MAX: usize = 300;

/// Bytes of the token of a probe or a challenge; longer paths are ordinary requests.
pub const TOKEN_BYTES_MAX: usize = 128;

/// Bytes of a request's id that is passed on.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// Bytes of a PROXY protocol header with everything that a load balancer adds to it.
pub const PROXY_HEADER_BYTES_MAX: usize = 2 * 1024;

/// Bytes that a body of declared length must bring in each progress window while it is waited for: some four bytes a second. The slowest
/// uploads that people make have more; tools that hold connections with a few bytes now and then (attack 20) have less.
pub const DECLARED_BODY_BYTES_MIN: u64 = 256;

/// Bytes that any other transfer must move in each progress window while it is waited for.
pub const TRANSFER_BYTES_MIN: u64 = 1;

/// Bytes that a visitor must take in each progress window while bytes are waiting for it.
pub const DRAIN_BYTES_MIN: u64 = 1024;

/// Bytes behind a request that wait for its answer; further ones wait at the visitor, and so does word of its end.
pub const HELD_BYTES_MAX: usize = 16 * 1024;

/// Bytes copied at a time in an upgraded connection, in each direction.
pub const SPLICE_BUFFER_BYTES: usize = 16 * 1024;

/// First pause of the accept loop when the process has no descriptor left; it doubles.
pub const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(50);

/// Longest pause of the accept loop.
pub const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long a closed connection is read and thrown away, so that a reset does not destroy the
/// response that is still on its way (RFC 9112 §9.6).
pub const LINGER_MAX: Duration = Duration::from_secs(2);

/// How long after its answer a stream of HTTP/2 stays open whose body nobody wants. Short, because what has come of the body takes of the
/// window that it shares with others.
pub const H2_LINGER_MAX: Duration = Duration::from_millis(100);

/// How long an origin is waited for that was asked whether it wants a body and says nothing: it may know nothing of such questions
/// (RFC 9110 §10.1.1).
pub const EXPECT_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long before the end that an origin has announced for an idle connection (`Keep-Alive: timeout=`) nothing more is sent on it: its clock
/// began when it sent its answer, and a request takes its time to it.
pub const KEEP_ALIVE_MARGIN: Duration = Duration::from_secs(1);

/// How long after its last answer a connection to an origin that has announced nothing takes a request that may not be sent twice. Servers
/// close after 2 s (gunicorn) and later; a fresh connection costs no round trip.
pub const UNANNOUNCED_IDLE_MAX: Duration = Duration::from_secs(1);

/// How much longer than a visitor may pause the kernel keeps bytes that it neither acknowledges nor makes room for (RFC 5482), so that
/// the edge's own deadline comes first.
pub const TCP_UNTAKEN_MARGIN: Duration = Duration::from_secs(30);

/// What `Retry-After` says, in seconds, when a service is away.
pub const RETRY_AFTER_SECONDS: u16 = 5;

/// Requests of one HTTP/2 connection at once (RFC 9113 §5.1.2).
pub const H2_STREAMS_MAX: u32 = 128;

/// Streams of one HTTP/2 connection that are remembered to have been served: those that may be open, and as many before them.
pub const H2_ACCEPTED_STREAMS_MAX: usize = 2 * H2_STREAMS_MAX as usize;

/// Bytes of one request body that a visitor may send ahead of the origin.
pub const H2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// The same of all request bodies of one connection: what a visitor can make the edge hold. Half as much again is what its small frames may
/// cost while they wait, 256 bytes each (`h2`): 4,600 messages of 30 bytes.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// Bytes of an answer that an HTTP/2 origin may send ahead of the visitor.
pub const H2_ORIGIN_STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// The same of its connection, on which one request runs at a time: never reached, it only says what small frames may cost, half of it.
pub const H2_ORIGIN_CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// Bytes of one frame that a visitor sends; the least that the protocol allows.
pub const H2_FRAME_BYTES_MAX: u32 = 16 * 1024;

/// Bytes of one answer that wait for the visitor.
pub const H2_SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Bytes of the fields of one request, as RFC 9113 §6.5.2 counts them.
pub const H2_HEADERS_BYTES_MAX: u32 = 64 * 1024;

/// Streams that were reset before anybody looked at them; one more ends the connection.
pub const H2_PENDING_RESETS_MAX: usize = 20;

/// Streams that a visitor made the edge reset; one more ends the connection.
pub const H2_ERROR_RESETS_MAX: usize = 64;

/// Requests of late that a visitor may take back before it matters how many those are of all.
pub const H2_RESETS_MAX: u64 = 100;

/// In which what a visitor did comes to count for half.
pub const H2_HALF_LIFE: Duration = Duration::from_secs(60);

/// Bytes besides requests that a visitor may send: its bodies that wait here, and some frames of control.
pub const H2_OVERHEAD_BYTES_MAX: u64 = H2_CONNECTION_WINDOW_BYTES as u64 + 256 * 1024;

/// How the allowance grows with time: pings and settings of a connection that lives for days.
pub const H2_OVERHEAD_BYTES_PER_SECOND: u64 = 64;

/// What a request takes on the wire besides its fields and target: frame headers, its reset, window updates.
pub const H2_HEAD_EXTRA_BYTES: usize = 256;

/// What a frame of a body takes besides its bytes.
pub const H2_FRAME_EXTRA_BYTES: usize = 16;

/// What a visitor may say about each frame of an answer: gRPC libraries send a PING and a WINDOW_UPDATE, 30 bytes, about nearly every one.
pub const H2_TAKEN_FRAME_BYTES: u64 = 64;

/// Progress windows that one answer may wait for the visitor while others flow.
pub const H2_STALLED_WINDOWS_MAX: u32 = 4;

/// How often a silent HTTP/2 visitor is asked for a sign of life.
pub const H2_PING_INTERVAL: Duration = Duration::from_secs(30);

/// How long the sign of life may take.
pub const H2_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections to origins that are kept for one visitor connection: as many as it may have requests at once. With fewer a busy visitor would
/// have one opened for nearly every request, and the agent's kernel, which remembers each for a minute (TIME-WAIT), would run out of ports.
pub const KEPT_MAX: usize = H2_STREAMS_MAX as usize;
/// Connections at each of the two shared ports.
pub const EDGE_CONNECTIONS_MAX: usize = 20_000;
/// A visitor's connection on which nothing comes for so long is asked for a sign of life.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// How long each sign is waited for.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Signs in a row that may stay away; then the connection is gone.
pub const KEEPALIVE_RETRIES_MAX: u32 = 3;
