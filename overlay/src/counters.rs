//! What an overlay counts, and the reasons for which it drops.

/// Totals since the overlay was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    drops: Drops,
    /// Handshake initiations sent.
    pub initiations_sent: u64,
    /// Handshake initiations answered.
    pub initiations_answered: u64,
    /// Handshakes of our own that were answered.
    pub handshakes_completed: u64,
    /// Handshakes of our own that were given up.
    pub handshakes_abandoned: u64,
    /// Cookies sent instead of an answer.
    pub cookies_sent: u64,
    /// Cookies received and used.
    pub cookies_received: u64,
    /// Keepalives sent, passive and persistent.
    pub keepalives_sent: u64,
    /// RESETs sent.
    pub resets_sent: u64,
    /// RESETs that named a datagram of ours.
    pub resets_received: u64,
    /// Identities told to those who asked.
    pub identities_sent: u64,
    /// Identities received that their cluster vouches for.
    pub identities_received: u64,
    /// Peers taken into the walled garden.
    pub pending_added: u64,
    /// Peers of the walled garden that became peers.
    pub pending_promoted: u64,
    /// Peers of the walled garden that ran out of time.
    pub pending_expired: u64,
    /// Tunnels that came up.
    pub tunnels_up: u64,
    /// Tunnels that went down.
    pub tunnels_down: u64,
    /// Endpoints that moved.
    pub endpoints_moved: u64,
    /// Rounds of probes of a path sent.
    pub path_rounds: u64,
    /// Probes of a path that the peer answered.
    pub path_probes_answered: u64,
    /// Times that another length was found to be what a path carries.
    pub path_lengths_changed: u64,
    /// Times that segmentation was given up on a path that loses segments.
    pub segments_lost: u64,
    /// Times that segmentation was given up because the kernel refused it.
    pub segments_refused: u64,
}

impl Counters {
    /// Every total with its name, for metrics.
    pub fn named(&self) -> [(&'static str, u64); 22] {
        [
            ("initiations_sent", self.initiations_sent),
            ("initiations_answered", self.initiations_answered),
            ("handshakes_completed", self.handshakes_completed),
            ("handshakes_abandoned", self.handshakes_abandoned),
            ("cookies_sent", self.cookies_sent),
            ("cookies_received", self.cookies_received),
            ("keepalives_sent", self.keepalives_sent),
            ("resets_sent", self.resets_sent),
            ("resets_received", self.resets_received),
            ("identities_sent", self.identities_sent),
            ("identities_received", self.identities_received),
            ("pending_added", self.pending_added),
            ("pending_promoted", self.pending_promoted),
            ("pending_expired", self.pending_expired),
            ("tunnels_up", self.tunnels_up),
            ("tunnels_down", self.tunnels_down),
            ("endpoints_moved", self.endpoints_moved),
            ("path_rounds", self.path_rounds),
            ("path_probes_answered", self.path_probes_answered),
            ("path_lengths_changed", self.path_lengths_changed),
            ("segments_lost", self.segments_lost),
            ("segments_refused", self.segments_refused),
        ]
    }

    /// How many datagrams, packets, transmits or events were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.0.get(reason as usize).copied().unwrap_or_default()
    }

    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        if let Some(total) = self.drops.0.get_mut(reason as usize) {
            *total += 1;
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Drops([u64; DropReason::ALL.len()]);

impl Default for Drops {
    fn default() -> Self {
        Self([0; DropReason::ALL.len()])
    }
}

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a datagram, an inner packet, a transmit or an event was dropped. Each is a value of a `reason` label.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum DropReason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl DropReason {
            /// All reasons, in order.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The reason as a label's value.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

drop_reasons! {
    /// STUN, which this overlay does not answer.
    Stun = "stun",
    /// Disco, not spoken.
    Disco = "disco",
    /// Relay data, not spoken.
    RelayData = "relay_data",
    /// QUIC, not spoken here.
    Quic = "quic",
    /// No known kind.
    UnknownKind = "unknown_kind",
    /// A message of a length or layout that its kind does not have.
    Malformed = "malformed",
    /// The caller's buffer is too small for the datagram.
    BufferTooSmall = "buffer_too_small",
    /// mac1 does not verify: the sender does not know our key.
    InvalidMac = "invalid_mac",
    /// Too many handshakes from one prefix.
    PrefixRateLimited = "prefix_rate_limited",
    /// A cookie was sent instead of an answer.
    CookieOwed = "cookie_owed",
    /// An initiation that does not decrypt.
    InvalidInitiation = "invalid_initiation",
    /// An initiation that was answered already.
    RepeatedInitiation = "repeated_initiation",
    /// An initiation from a key that is not a peer's.
    UnknownKey = "unknown_key",
    /// The walled garden is full.
    PendingFull = "pending_full",
    /// The walled garden is full for this prefix.
    PendingPrefixFull = "pending_prefix_full",
    /// All receiver indices are in use.
    IndicesExhausted = "indices_exhausted",
    /// A handshake response to nothing that was asked.
    UnexpectedResponse = "unexpected_response",
    /// A handshake response that does not verify.
    InvalidResponse = "invalid_response",
    /// A cookie that was not asked for or does not verify.
    InvalidCookie = "invalid_cookie",
    /// The receiver index names no session.
    UnknownIndex = "unknown_index",
    /// The session is too old to be used.
    SessionExpired = "session_expired",
    /// AEAD tag did not verify.
    Unauthentic = "unauthentic",
    /// Counter already seen, or too old, or beyond the last that may be.
    Replayed = "replayed",
    /// Inner packet: no valid IPv4 or IPv6 header, or a length that does not fit.
    InnerMalformed = "inner_malformed",
    /// Inner packet: a fragment of anything but a UDP datagram.
    InnerFragment = "inner_fragment",
    /// Inner packet: a source that cannot be one.
    InnerBogonSource = "inner_bogon_source",
    /// Inner packet: a destination that cannot be one.
    InnerBogonDestination = "inner_bogon_destination",
    /// Inner packet: TCP from or to port 0.
    InnerPortZero = "inner_port_zero",
    /// Inner packet: a source that is not its tunnel's.
    InnerForeignSource = "inner_foreign_source",
    /// Inner packet: a joining node reached for something outside the walled garden.
    InnerOutsideGarden = "inner_outside_garden",
    /// A relay control message of a type that we do not speak.
    UnknownControl = "unknown_control",
    /// A RESET that names no datagram of ours.
    UnknownReset = "unknown_reset",
    /// A RESET that names a datagram of ours, soon after another.
    ResetTooSoon = "reset_too_soon",
    /// WHO, but we are no relay.
    NotARelay = "not_a_relay",
    /// WHO, too often.
    WhoRateLimited = "who_rate_limited",
    /// IAM that answers nothing that was asked, or is not signed by the cluster.
    InvalidIdentity = "invalid_identity",
    /// RESET not sent: too many.
    ResetRateLimited = "reset_rate_limited",
    /// A probe of the path not answered: too many from its peer.
    ProbeRateLimited = "probe_rate_limited",
    /// Outgoing packet: the peer has no session.
    NoSession = "no_session",
    /// Outgoing packet: no address is known for the peer.
    NoEndpoint = "no_endpoint",
    /// The queue of transmits is full.
    TransmitsFull = "transmits_full",
    /// The queue of events is full.
    EventsFull = "events_full",
    /// The list of relays asked for their identity is full.
    IdentityRequestsFull = "identity_requests_full",
    /// An unconfirmed handshake made room for a newer one.
    CandidateReplaced = "candidate_replaced",
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_has_a_name_and_a_counter_of_its_own() {
        let names: BTreeSet<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), DropReason::ALL.len());

        let mut counters = Counters::default();
        for reason in DropReason::ALL {
            counters.count_drop(reason);
            assert_eq!(counters.dropped(reason), 1);
        }
    }
}
