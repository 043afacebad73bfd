//! Named bounds of everything that speaks DNS. A counter of `bore_dns_` moves whenever one of the server's is hit.

use std::time::Duration;

/// The largest answer in a datagram: fits every path unfragmented (DNS flag day 2020, RFC 9715).
pub const UDP_ANSWER_BYTES_MAX: u16 = 1_232;
/// The same for a client that does not speak EDNS (RFC 1035 §4.2.1).
pub const PLAIN_UDP_ANSWER_BYTES_MAX: u16 = 512;
/// The largest request that is read. A question with EDNS and TSIG is a tenth of it.
pub const REQUEST_BYTES_MAX: usize = 4_096;
/// Records beside the question that a request may have: EDNS and TSIG, and what a client may put there for itself.
pub const REQUEST_RECORDS_MAX: u16 = 4;
/// Bytes a second by which all datagrams to one source prefix (/24, /56) may be larger than what came from it. Over that, answers are
/// truncated to their question, and a real client comes again by TCP.
pub const AMPLIFIED_BYTES_PER_SECOND: u32 = 16_384;
/// TCP connections at once.
pub const TCP_CONNECTIONS_MAX: usize = 512;
/// The same from one source: an IPv4 address or an IPv6 /64.
pub const TCP_CONNECTIONS_PER_SOURCE_MAX: usize = 16;
/// Requests in one TCP connection.
pub const TCP_REQUESTS_MAX: usize = 128;
/// A TCP connection that has not delivered its next whole request by then is closed (RFC 7766 §6.2.3); so is one that does not take its answer.
pub const TCP_IDLE: Duration = Duration::from_secs(10);
/// Names with TXT records at once in the built-in zone.
pub const TXT_NAMES_MAX: usize = 1_024;
/// TXT values under one name.
pub const TXT_VALUES_PER_NAME_MAX: usize = 16;
/// Bytes of one TXT value: one character string (RFC 1035 §3.3.14).
pub const TXT_VALUE_BYTES_MAX: usize = 255;
/// How often the relay's own addresses are looked up again.
pub const ADDRESSES_REFRESH: Duration = Duration::from_secs(300);
/// The same while none is known.
pub const ADDRESSES_RETRY: Duration = Duration::from_secs(10);

/// One question to one server may take so long.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// The look for the relay's own delegation before an order; who has not answered by then holds no order back.
pub const DELEGATION_LOOK_MAX: Duration = Duration::from_secs(10);
/// Servers of one zone that are asked.
pub const SERVERS_ASKED_MAX: usize = 16;
/// How long a provider's servers may take to show a TXT record.
pub const VISIBLE_TIMEOUT: Duration = Duration::from_secs(120);
/// How often they are asked.
pub const VISIBLE_POLL: Duration = Duration::from_secs(2);
/// How long a hook may run.
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of what a hook says that end up in an error.
pub const HOOK_OUTPUT_BYTES_MAX: usize = 2_048;
/// How long a call of a provider's API may take.
pub const API_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer of a provider's API.
pub const API_ANSWER_BYTES_MAX: usize = 256 * 1_024;

/// How long an address stays in a resolver's cache after a publication is gone.
pub const ADDRESS_TTL_SECONDS: u32 = 60;
/// The same for "there is no such name": short, so that a name that has just been published is found by whoever asked too early.
pub const NEGATIVE_TTL_SECONDS: u32 = 5;
/// The same for who may issue certificates: short, because another CA or account has to be admitted before its first order.
pub const CAA_TTL_SECONDS: u32 = 60;
/// The same for what hardly changes.
pub const ZONE_TTL_SECONDS: u32 = 3_600;
/// The same for a proof of a name, which is read once.
pub const TXT_TTL_SECONDS: u32 = 5;
