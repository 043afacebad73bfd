//! Every flow that the simulator opened, both of its ends, and what must become of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bore_netstack::Incoming;

use super::content::Content;
use super::end::End;

/// What must become of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Expectation {
    /// Both ends receive every byte within [`FLOW_BOUND`].
    MustComplete,
    /// Something happened that may break it. What it delivers is right all the same.
    MayFail,
    /// Nobody may answer.
    MustFail,
}

/// What a flow is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// A visitor's connection, opened by the relay.
    Visit,
    /// A node asks the relay's control.
    Control,
    /// A node joins through the walled garden.
    Join,
}

/// One flow.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) node: usize,
    pub(super) purpose: Purpose,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) expectation: Expectation,
    pub(super) opened: Instant,
    pub(super) opener: End,
    pub(super) answerer: Option<End>,
    seed: u64,
    request_bytes: usize,
    answer_bytes: usize,
}

/// A flow that is to be opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) node: usize,
    pub(super) purpose: Purpose,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) expectation: Expectation,
    pub(super) seed: u64,
    pub(super) request_bytes: usize,
    pub(super) answer_bytes: usize,
}

impl Wanted {
    pub(super) fn request(&self) -> Content {
        Content::new(self.seed, self.request_bytes)
    }

    pub(super) fn answer(&self) -> Content {
        Content::new(!self.seed, self.answer_bytes)
    }

    pub(super) fn opened(self, opener: End, now: Instant) -> Flow {
        Flow {
            node: self.node,
            purpose: self.purpose,
            source: self.source,
            destination: self.destination,
            expectation: self.expectation,
            opened: now,
            opener,
            answerer: None,
            seed: self.seed,
            request_bytes: self.request_bytes,
            answer_bytes: self.answer_bytes,
        }
    }
}

impl Flow {
    /// The host of the end that calls.
    pub(super) fn opening_host(&self) -> usize {
        if self.purpose == Purpose::Visit { RELAY_HOST } else { host_of(self.node) }
    }

    /// The host of the end that is called.
    pub(super) fn answering_host(&self) -> usize {
        if self.purpose == Purpose::Visit { host_of(self.node) } else { RELAY_HOST }
    }

    pub(super) fn is_at(&self, host: usize) -> bool {
        self.opening_host() == host || self.answering_host() == host
    }

    /// Whether a connection attempt is this flow's.
    pub(super) fn expects(&self, host: usize, incoming: &Incoming) -> bool {
        self.answering_host() == host
            && self.answerer.is_none()
            && self.source == incoming.source
            && self.destination == incoming.destination
    }

    /// Answers the connection attempt.
    pub(super) fn accept(&mut self, incoming: Incoming) {
        let Ok(flow) = incoming.accept() else { return };
        let sending = Content::new(!self.seed, self.answer_bytes);
        let receiving = Content::new(self.seed, self.request_bytes);
        let end = End::answerer(flow, sending, receiving);
        let answers_last = self.purpose == Purpose::Join;
        self.answerer = Some(if answers_last { end.answering_last() } else { end });
    }

    /// Moves what can be moved at `host`.
    pub(super) fn pump(&mut self, host: usize) {
        if self.opening_host() == host {
            self.opener.pump();
        }
        if self.answering_host() == host
            && let Some(answerer) = &mut self.answerer
        {
            answerer.pump();
        }
    }

    /// The program on `host` is gone, and its end with it.
    pub(super) fn lose(&mut self, host: usize) {
        if self.opening_host() == host {
            self.opener.abandon();
        }
        if self.answering_host() == host
            && let Some(answerer) = &mut self.answerer
        {
            answerer.abandon();
        }
    }

    /// Its node has become a member meanwhile.
    pub(super) fn tolerate_answer(&mut self) {
        if self.purpose == Purpose::Control && self.expectation == Expectation::MustFail {
            self.expectation = Expectation::MayFail;
        }
    }

    pub(super) fn abandon(&mut self) {
        self.opener.abandon();
        if let Some(answerer) = &mut self.answerer {
            answerer.abandon();
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.opener.is_complete() && self.answerer.as_ref().is_some_and(End::is_complete)
    }

    pub(super) fn is_over(&self) -> bool {
        self.opener.is_over() && self.answerer.as_ref().is_none_or(End::is_over)
    }

    /// Holds the flow against its expectation.
    pub(super) fn check(&self, now: Instant) {
        let late = now.saturating_duration_since(self.opened) >= FLOW_BOUND;
        let failed = self.opener.failure().or_else(|| self.answerer.as_ref()?.failure());
        match self.expectation {
            Expectation::MustComplete => {
                assert!(
                    failed.is_none(),
                    "a flow that must complete has failed: {failed:?} {self:?}"
                );
                assert!(!late || self.is_complete(), "a flow is not complete in time: {self:?}");
            }
            Expectation::MustFail => {
                assert!(!self.opener.is_complete(), "a flow that must fail was answered: {self:?}");
                assert!(!late || failed.is_some(), "a flow was neither answered nor refused");
            }
            Expectation::MayFail => {}
        }
    }
}

/// The host that a node runs on: the relay's is the first.
pub(super) fn host_of(node: usize) -> usize {
    node + 1
}

/// The relay's host.
pub(super) const RELAY_HOST: usize = 0;
/// Within this a flow that nothing breaks is complete, on ordinary links.
pub(super) const FLOW_BOUND: Duration = Duration::from_secs(120);
