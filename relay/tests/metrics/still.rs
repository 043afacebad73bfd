//! Series that this test cannot move, and why. Anything else that stands still is a bug.

/// Series and reason.
pub(crate) const EXCUSED: &[(&str, &str)] = &[
    ("bore_build_info{version=\"0.1.0\"}", "says what runs"),
    ("bore_edge_connections_expired_total{deadline=\"Body\"}", EDGE),
    ("bore_edge_connections_expired_total{deadline=\"Drain\"}", EDGE),
    ("bore_edge_connections_expired_total{deadline=\"HalfClosed\"}", EDGE),
    ("bore_edge_connections_expired_total{deadline=\"Head\"}", EDGE),
    ("bore_edge_connections_expired_total{deadline=\"Idle\"}", EDGE),
    ("bore_edge_connections_limited_total{limit=\"Descriptors\"}", DESCRIPTORS),
    ("bore_edge_connections_limited_total{limit=\"Source\"}", EDGE),
    ("bore_edge_connections_limited_total{limit=\"Total\"}", EDGE),
    ("bore_edge_requests_malformed_total{fault=\"TooLong\"}", EDGE),
    ("bore_edge_requests_retried_total", EDGE),
    ("bore_ingress_accepts_failed_total", DESCRIPTORS),
    ("bore_ingress_flows_refused_total{limit=\"Publication\"}", FLOWS),
    ("bore_ingress_flows_refused_total{limit=\"Relay\"}", FLOWS),
    ("bore_ingress_listens_failed_total", "a claimed port is nobody else's: src/ingress/tcp.rs"),
    ("bore_ingress_udp_answers_refused_total", "ICMP from a visitor's host, not from one's own"),
    ("bore_ingress_udp_evicted_total", FLOWS),
    ("bore_ingress_udp_sends_failed_total", KERNEL),
    ("bore_netstack_echoes_answered_total", NETSTACK),
    ("bore_netstack_flows_refused_total", NETSTACK),
    ("bore_netstack_flows_timed_out_total", NETSTACK),
    ("bore_netstack_half_open_expired_total", NETSTACK),
    ("bore_netstack_icmp_ignored_total", NETSTACK),
    ("bore_netstack_malformed_total", NETSTACK),
    ("bore_netstack_replies_dropped_total", NETSTACK),
    ("bore_netstack_stale_syns_total", NETSTACK),
    ("bore_netstack_syns_dropped_total", NETSTACK),
    ("bore_netstack_time_wait_evicted_total", NETSTACK),
    ("bore_netstack_unknown_peer_total", NETSTACK),
    ("bore_overlay_cookies_received_total", ASKS_NOBODY),
    ("bore_overlay_dropped_total{reason=\"buffer_too_small\"}", "the driver's buffer never is"),
    ("bore_overlay_dropped_total{reason=\"candidate_replaced\"}", OVERLAY),
    ("bore_overlay_dropped_total{reason=\"events_full\"}", OVERLAY),
    ("bore_overlay_dropped_total{reason=\"identity_requests_full\"}", ASKS_NOBODY),
    ("bore_overlay_dropped_total{reason=\"indices_exhausted\"}", OVERLAY),
    ("bore_overlay_dropped_total{reason=\"invalid_initiation\"}", OVERLAY),
    ("bore_overlay_dropped_total{reason=\"invalid_response\"}", ASKS_NOBODY),
    ("bore_overlay_dropped_total{reason=\"no_endpoint\"}", OVERLAY),
    ("bore_overlay_dropped_total{reason=\"no_session\"}", OVERLAY),
    ("bore_overlay_dropped_total{reason=\"not_a_relay\"}", "a relay is one"),
    ("bore_overlay_dropped_total{reason=\"pending_full\"}", OVERLAY),
    ("bore_overlay_dropped_total{reason=\"pending_prefix_full\"}", OVERLAY),
    ("bore_overlay_dropped_total{reason=\"prefix_rate_limited\"}", OVERLAY),
    ("bore_overlay_dropped_total{reason=\"repeated_initiation\"}", OVERLAY),
    ("bore_overlay_dropped_total{reason=\"reset_rate_limited\"}", OVERLAY),
    ("bore_overlay_dropped_total{reason=\"reset_too_soon\"}", ASKS_NOBODY),
    ("bore_overlay_dropped_total{reason=\"session_expired\"}", OVERLAY),
    ("bore_overlay_dropped_total{reason=\"transmits_full\"}", OVERLAY),
    ("bore_overlay_dropped_total{reason=\"unknown_key\"}", "a relay has a garden for them"),
    ("bore_overlay_dropped_total{reason=\"who_rate_limited\"}", OVERLAY),
    ("bore_overlay_handshakes_abandoned_total", ASKS_NOBODY),
    ("bore_overlay_handshakes_completed_total", ASKS_NOBODY),
    ("bore_overlay_identities_received_total", ASKS_NOBODY),
    ("bore_overlay_initiations_sent_total", ASKS_NOBODY),
    ("bore_overlay_keepalives_sent_total", OVERLAY),
    ("bore_overlay_pending_expired_total", OVERLAY),
    ("bore_overlay_resets_received_total", ASKS_NOBODY),
    ("bore_overlay_send_buffer_full_total", KERNEL),
    ("bore_overlay_send_failed_total", KERNEL),
    ("bore_overlay_tunnels_down_total", OVERLAY),
    ("bore_overlay_without_session_total", OVERLAY),
];

/// Of these, those that may move on a slow or busy machine: what depends on time, on rates and on room in the kernel.
pub(crate) const MAY_MOVE: &[&str] = &[
    "bore_ingress_udp_answers_refused_total",
    "bore_ingress_udp_sends_failed_total",
    "bore_netstack_syns_dropped_total",
    "bore_netstack_replies_dropped_total",
    "bore_netstack_unknown_peer_total",
    "bore_overlay_dropped_total{reason=\"candidate_replaced\"}",
    "bore_overlay_dropped_total{reason=\"no_session\"}",
    "bore_overlay_dropped_total{reason=\"pending_prefix_full\"}",
    "bore_overlay_dropped_total{reason=\"prefix_rate_limited\"}",
    "bore_overlay_dropped_total{reason=\"repeated_initiation\"}",
    "bore_overlay_dropped_total{reason=\"reset_rate_limited\"}",
    "bore_overlay_dropped_total{reason=\"who_rate_limited\"}",
    "bore_overlay_keepalives_sent_total",
    "bore_overlay_pending_expired_total",
    "bore_overlay_send_buffer_full_total",
    "bore_overlay_without_session_total",
];

const EDGE: &str = "needs other settings of the edge, or its clock: tests/edge";
const DESCRIPTORS: &str =
    "needs a process without descriptors, which this one shares with its test";
const FLOWS: &str = "the bound is some ten thousand flows: src/flows.rs meets it";
const KERNEL: &str = "the kernel of loopback has room and a route";
const NETSTACK: &str =
    "needs packets that the agent's netstack does not send, or time: netstack/tests";
const ASKS_NOBODY: &str =
    "a relay answers; it asks agents only when they have been silent: overlay/tests";
const OVERLAY: &str = "needs time, or a bound that is far: overlay/tests";
