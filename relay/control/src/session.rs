//! Which agent speaks for a node: one boot id at a time, and the signal that its watch stream waits for.
//!
//! | state | boot asks | becomes |
//! |---|---|---|
//! | none, or watch closed for seconds | any | held by that boot |
//! | watch open | the same | held, nothing changes |
//! | watch open, or closed a moment ago | another | refused (B5106), and the holder is asked: if it answers the next is refused (B5105), else its watch is closed |
//! | watch open | another that takes over | held by that boot; the old stream hears `replaced` |
//! | any | one that was replaced | refused (B5104), unless it takes over |
//!
//! A signal carries no data: the stream reads the present state from memory, so a slow reader costs nothing and misses nothing.
//! One session per node, so that the table is bounded by the nodes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bore_api::Code;
use tokio::sync::watch;
use uuid::Uuid;

use crate::refusal::Refusal;

/// What a stream has to look at again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Signal {
    /// Counts changes of the node's publications.
    pub(crate) publications: u64,
    /// Counts changes of the network's rules.
    pub(crate) policy: u64,
    /// The relay takes no new flows.
    pub(crate) draining: bool,
    /// The stream has to end.
    pub(crate) end: Option<End>,
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Another agent took over.
    Replaced,
    /// The same agent opened another stream, or the node is gone.
    Closed,
}

#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<Uuid, Session>>);

/// An agent that wants to speak for a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) network: Uuid,
    pub(crate) node: Uuid,
    pub(crate) boot: Uuid,
    pub(crate) version: &'a str,
    pub(crate) takeover: bool,
}

/// Why a claim was refused.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) refusal: Box<Refusal>,
    /// The boot id that has to be asked whether its agent still lives; [`Sessions::settle`] takes the answer.
    pub(crate) ask: Option<Uuid>,
}

#[derive(Debug)]
struct Session {
    network: Uuid,
    boot: Uuid,
    /// Its agent is being asked whether it lives.
    asking: bool,
    /// When its watch ended by itself. A claimant with the same key may have ended it, by its first datagrams.
    left_at: Option<Instant>,
    /// When it last showed that it lives, since another one claimed the node.
    answered_at: Option<Instant>,
    /// The boot that this one took over from.
    replaced: Option<Uuid>,
    version: String,
    stream: Option<watch::Sender<Signal>>,
}

impl Sessions {
    /// Gives the node to the claim's boot id.
    pub(crate) fn claim(&self, claim: Claim<'_>, now: Instant) -> Result<(), Refused> {
        let mut sessions = self.lock();
        let session =
            sessions.entry(claim.node).or_insert_with(|| Session::new(claim.network, claim.boot));
        session.admit(claim, now)?;
        session.hand_over(claim.boot);
        claim.version.clone_into(&mut session.version);
        Ok(())
    }

    /// Takes what asking the agent of `boot` has shown. One that does not answer loses its watch, and with it the node.
    pub(crate) fn settle(&self, node: Uuid, boot: Uuid, answers: bool, now: Instant) {
        let mut sessions = self.lock();
        let asked =
            sessions.get_mut(&node).filter(|session| session.boot == boot && session.asking);
        let Some(session) = asked else { return };
        session.asking = false;
        if answers {
            session.answered_at = Some(now);
        } else {
            session.left_at = None;
            session.end(End::Closed);
        }
    }

    /// Opens the stream of `boot`; an older one of the same boot ends. The watch is open until the receiver is dropped.
    pub(crate) fn open(
        &self,
        node: Uuid,
        boot: Uuid,
        draining: bool,
    ) -> Result<watch::Receiver<Signal>, Refusal> {
        let mut sessions = self.lock();
        let session =
            sessions.get_mut(&node).filter(|session| session.boot == boot).ok_or_else(|| {
                Refusal::new(Code::REPLACED, "the session of this node belongs to another boot id")
            })?;
        session.end(End::Closed);
        session.left_at = None;
        let (sender, signals) = watch::channel(Signal { draining, ..Signal::default() });
        session.stream = Some(sender);
        Ok(signals)
    }

    /// The watch of `boot` ended, and not by us.
    pub(crate) fn left(&self, node: Uuid, boot: Uuid, now: Instant) {
        if let Some(session) = self.lock().get_mut(&node).filter(|session| session.boot == boot) {
            session.left_at = Some(now);
        }
    }

    /// Version of the agent that speaks for the node.
    pub(crate) fn version(&self, node: Uuid) -> Option<String> {
        self.lock().get(&node).map(|session| session.version.clone())
    }

    /// Tells one node that its publications changed.
    pub(crate) fn signal_node(&self, node: Uuid) {
        if let Some(session) = self.lock().get(&node) {
            session.signal(|signal| signal.publications += 1);
        }
    }

    /// Tells every node of a network that the rules changed.
    pub(crate) fn signal_policy(&self, network: Uuid) {
        for session in self.lock().values().filter(|session| session.network == network) {
            session.signal(|signal| signal.policy += 1);
        }
    }

    /// Tells every node that the relay drains, or does so no more.
    pub(crate) fn signal_draining(&self, draining: bool) {
        for session in self.lock().values() {
            session.signal(|signal| signal.draining = draining);
        }
    }

    /// Forgets a node that was removed.
    pub(crate) fn remove(&self, node: Uuid) {
        if let Some(mut session) = self.lock().remove(&node) {
            session.end(End::Closed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn new(network: Uuid, boot: Uuid) -> Self {
        Self {
            network,
            boot,
            asking: false,
            left_at: None,
            answered_at: None,
            replaced: None,
            version: String::new(),
            stream: None,
        }
    }

    fn is_open(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| !stream.is_closed())
    }

    fn admit(&mut self, claim: Claim<'_>, now: Instant) -> Result<(), Refused> {
        if self.boot == claim.boot && std::mem::take(&mut self.asking) {
            // Only a living agent claims: the question has its answer.
            self.answered_at = Some(now);
        }
        if claim.takeover || self.boot == claim.boot {
            return Ok(());
        }
        if self.replaced == Some(claim.boot) {
            let refusal = Refusal::new(Code::REPLACED, "another agent took this identity over");
            return Err(Refused { refusal: Box::new(refusal), ask: None });
        }
        let left_just_now = |at: Instant| now.saturating_duration_since(at) < LEFT_JUST_NOW;
        if self.is_open() || self.left_at.is_some_and(left_just_now) {
            return Err(self.refuse_rival(now));
        }
        Ok(())
    }

    /// The holder is asked at each claim, since the claimant's handshake has moved the tunnel away from it.
    fn refuse_rival(&mut self, now: Instant) -> Refused {
        let recent = |at: Instant| now.saturating_duration_since(at) < ANSWER_HOLDS;
        let refusal = if self.answered_at.is_some_and(recent) {
            Refusal::new(Code::ANOTHER_AGENT, "another agent with this identity is connected")
        } else {
            let detail = "another agent with this identity was connected; it is being asked";
            Refusal::new(Code::ASKING_AGENT, detail)
        };
        let ask = (!std::mem::replace(&mut self.asking, true)).then_some(self.boot);
        Refused { refusal: Box::new(refusal), ask }
    }

    fn hand_over(&mut self, boot: Uuid) {
        if self.boot != boot {
            self.replaced = self.is_open().then_some(self.boot);
            self.boot = boot;
            (self.asking, self.answered_at, self.left_at) = (false, None, None);
            self.end(End::Replaced);
        }
    }

    fn end(&mut self, end: End) {
        if let Some(stream) = self.stream.take() {
            stream.send_modify(|signal| signal.end = Some(end));
        }
    }

    fn signal(&self, change: impl FnOnce(&mut Signal)) {
        if let Some(stream) = &self.stream {
            stream.send_modify(change);
        }
    }
}

/// Longer than a round trip, shorter than it takes to stop an agent in order and to start it elsewhere.
const LEFT_JUST_NOW: Duration = Duration::from_secs(2);
/// How long an agent that answered counts as alive: a rival that keeps claiming each second hears of it.
const ANSWER_HOLDS: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: Uuid = Uuid::from_u128(1);
    const ONE: Uuid = Uuid::from_u128(11);
    const OTHER: Uuid = Uuid::from_u128(12);

    fn claim(sessions: &Sessions, boot: Uuid, takeover: bool) -> Result<(), Code> {
        claim_at(sessions, boot, takeover, Instant::now()).map_err(|refused| refused.refusal.code)
    }

    fn claim_at(
        sessions: &Sessions,
        boot: Uuid,
        takeover: bool,
        now: Instant,
    ) -> Result<(), Refused> {
        let network = Uuid::nil();
        sessions.claim(Claim { network, node: NODE, boot, version: "0.1.0", takeover }, now)
    }

    #[test]
    fn a_second_agent_is_refused_while_the_first_watches_and_answers() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        claim(&sessions, ONE, false).unwrap();
        let stream = sessions.open(NODE, ONE, false).unwrap();

        let refused = claim_at(&sessions, OTHER, false, now).unwrap_err();
        assert_eq!((refused.refusal.code, refused.ask), (Code::ASKING_AGENT, Some(ONE)));
        let refused = claim_at(&sessions, OTHER, false, now).unwrap_err();
        assert_eq!((refused.refusal.code, refused.ask), (Code::ASKING_AGENT, None), "asked once");
        sessions.settle(NODE, ONE, true, now);
        let refused = claim_at(&sessions, OTHER, false, now).unwrap_err();
        assert_eq!(refused.refusal.code, Code::ANOTHER_AGENT);
        assert_eq!(stream.borrow().end, None, "the living agent keeps its watch");

        assert_eq!(claim(&sessions, ONE, false), Ok(()), "the same agent may come again");
        drop(stream);
        assert_eq!(claim(&sessions, OTHER, false), Ok(()), "and a closed watch holds nothing");
    }

    #[test]
    fn an_agent_whose_watch_the_claimant_ended_is_asked_all_the_same() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        claim(&sessions, ONE, false).unwrap();
        drop(sessions.open(NODE, ONE, false).unwrap());
        sessions.left(NODE, ONE, now);
        let refused = claim_at(&sessions, OTHER, false, now).unwrap_err();
        assert_eq!((refused.refusal.code, refused.ask), (Code::ASKING_AGENT, Some(ONE)));
        claim_at(&sessions, OTHER, false, now + LEFT_JUST_NOW).unwrap();
    }

    #[test]
    fn an_agent_that_does_not_answer_loses_the_node_and_is_no_replaced_one() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        claim(&sessions, ONE, false).unwrap();
        let dead = sessions.open(NODE, ONE, false).unwrap();

        assert_eq!(claim(&sessions, OTHER, false), Err(Code::ASKING_AGENT));
        sessions.settle(NODE, ONE, false, now);
        assert_eq!(dead.borrow().end, Some(End::Closed));
        assert_eq!(claim(&sessions, OTHER, false), Ok(()));
        let _young = sessions.open(NODE, OTHER, false).unwrap();
        assert_eq!(claim(&sessions, ONE, false), Err(Code::ASKING_AGENT), "not final");
    }

    #[test]
    fn an_answer_counts_for_seconds_and_a_claim_of_the_holder_is_one() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        claim(&sessions, ONE, false).unwrap();
        let _stream = sessions.open(NODE, ONE, false).unwrap();
        let code = |boot, now| claim_at(&sessions, boot, false, now).unwrap_err().refusal.code;

        assert_eq!(code(OTHER, now), Code::ASKING_AGENT);
        claim_at(&sessions, ONE, false, now).unwrap();
        assert_eq!(code(OTHER, now), Code::ANOTHER_AGENT);
        assert_eq!(code(OTHER, now + ANSWER_HOLDS), Code::ASKING_AGENT, "that was long ago");
    }

    #[test]
    fn a_takeover_ends_the_old_stream_and_the_replaced_agent_stays_out() {
        let sessions = Sessions::default();
        claim(&sessions, ONE, false).unwrap();
        let old = sessions.open(NODE, ONE, false).unwrap();

        claim(&sessions, OTHER, true).unwrap();
        assert_eq!(old.borrow().end, Some(End::Replaced));
        assert_eq!(
            claim(&sessions, ONE, false),
            Err(Code::REPLACED),
            "before the new watch is open, too"
        );
        assert_eq!(sessions.open(NODE, ONE, false).unwrap_err().code, Code::REPLACED);

        let young = sessions.open(NODE, OTHER, false).unwrap();
        drop(old);
        assert_eq!(claim(&sessions, ONE, false), Err(Code::REPLACED));
        assert!(
            sessions.lock()[&NODE].is_open(),
            "the end of the old stream does not close the new one"
        );
        assert_eq!(young.borrow().end, None);
    }

    #[test]
    fn signals_reach_whom_they_concern_and_do_not_pile_up() {
        let sessions = Sessions::default();
        claim(&sessions, ONE, false).unwrap();
        let stream = sessions.open(NODE, ONE, false).unwrap();
        for _ in 0..1_000 {
            sessions.signal_node(NODE);
            sessions.signal_node(Uuid::from_u128(99));
            sessions.signal_policy(Uuid::from_u128(99));
        }
        sessions.signal_draining(true);
        let seen = *stream.borrow();
        assert_eq!(seen, Signal { publications: 1_000, policy: 0, draining: true, end: None });
        sessions.remove(NODE);
        assert_eq!(stream.borrow().end, Some(End::Closed));
    }
}
