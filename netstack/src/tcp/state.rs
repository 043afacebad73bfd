//! The states of RFC 9293 §3.3.2, as what follows from four facts.
//!
//! | SYN exchanged | our FIN sent | and acknowledged | their FIN in order | state |
//! |---|---|---|---|---|
//! | not theirs | | | | SYN-SENT |
//! | ours not acknowledged | | | | SYN-RECEIVED |
//! | yes | no | | no / yes | ESTABLISHED / CLOSE-WAIT |
//! | yes | yes | no | no / yes | FIN-WAIT-1 / CLOSING, or LAST-ACK when theirs came first |
//! | yes | yes | yes | no / yes | FIN-WAIT-2 / TIME-WAIT, or CLOSED when theirs came first |
//!
//! Nothing is stored but the facts, so no transition can be forgotten.

use super::Phase;

/// What a connection knows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Their SYN has come.
    pub(crate) is_heard: bool,
    /// Our SYN is acknowledged.
    pub(crate) is_synchronized: bool,
    pub(crate) has_sent_fin: bool,
    pub(crate) is_fin_acknowledged: bool,
    pub(crate) has_their_fin: bool,
    /// Their FIN came before ours was sent.
    pub(crate) they_closed_first: bool,
}

/// A state by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
    Closed,
}

impl Facts {
    pub(crate) fn state(self) -> State {
        if !self.is_heard {
            return State::SynSent;
        }
        if !self.is_synchronized {
            return State::SynReceived;
        }
        match (self.has_sent_fin, self.is_fin_acknowledged, self.has_their_fin) {
            (false, _, false) => State::Established,
            (false, _, true) => State::CloseWait,
            (true, false, false) => State::FinWait1,
            (true, true, false) => State::FinWait2,
            (true, false, true) if self.they_closed_first => State::LastAck,
            (true, false, true) => State::Closing,
            (true, true, true) if self.they_closed_first => State::Closed,
            (true, true, true) => State::TimeWait,
        }
    }
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECEIVED",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
            Self::Closed => "CLOSED",
        }
    }

    pub(crate) fn phase(self) -> Phase {
        match self {
            Self::SynSent | Self::SynReceived => Phase::Handshake,
            Self::Established
            | Self::FinWait1
            | Self::FinWait2
            | Self::CloseWait
            | Self::Closing
            | Self::LastAck => Phase::Open,
            Self::TimeWait => Phase::TimeWait,
            Self::Closed => Phase::Closed,
        }
    }
}
