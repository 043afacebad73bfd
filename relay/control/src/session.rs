//! Which agent speaks for a node: one boot id at a time, and the signal that its watch stream waits for.
//!
//! | state | boot asks | becomes |
//! |---|---|---|
//! | none, or watch closed | any | held by that boot |
//! | watch open | the same | held, nothing changes |
//! | watch open | another | refused (B5105), unless it takes over: then the old stream hears `replaced` |
//! | any | one that was replaced | refused (B5104), unless it takes over |
//!
//! A signal carries no data: the stream reads the present state from memory, so a slow reader costs nothing and misses nothing.
//! One session per node, so that the table is bounded by the nodes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

use crate::refusal::{Code, Refusal};

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

#[derive(Debug)]
struct Session {
    network: Uuid,
    boot: Uuid,
    /// The boot that this one took over from.
    replaced: Option<Uuid>,
    version: String,
    stream: Option<watch::Sender<Signal>>,
}

impl Sessions {
    /// Gives the node to `boot`.
    pub(crate) fn claim(
        &self,
        network: Uuid,
        node: Uuid,
        boot: Uuid,
        version: &str,
        takeover: bool,
    ) -> Result<(), Refusal> {
        let mut sessions = self.lock();
        let session = sessions.entry(node).or_insert_with(|| Session::new(network, boot));
        session.admit(boot, takeover)?;
        session.hand_over(boot);
        version.clone_into(&mut session.version);
        Ok(())
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
                Refusal::new(Code::Replaced, "the session of this node belongs to another boot id")
            })?;
        session.end(End::Closed);
        let (sender, signals) = watch::channel(Signal { draining, ..Signal::default() });
        session.stream = Some(sender);
        Ok(signals)
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

    /// Tells everybody that the relay drains.
    pub(crate) fn signal_draining(&self) {
        for session in self.lock().values() {
            session.signal(|signal| signal.draining = true);
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
        Self { network, boot, replaced: None, version: String::new(), stream: None }
    }

    fn is_open(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| !stream.is_closed())
    }

    fn admit(&self, boot: Uuid, takeover: bool) -> Result<(), Refusal> {
        if takeover || self.boot == boot {
            return Ok(());
        }
        if self.replaced == Some(boot) {
            return Err(Refusal::new(Code::Replaced, "another agent took this identity over"));
        }
        if self.is_open() {
            return Err(Refusal::new(
                Code::AnotherAgent,
                "another agent with this identity is connected",
            ));
        }
        Ok(())
    }

    fn hand_over(&mut self, boot: Uuid) {
        if self.boot != boot {
            self.replaced = self.is_open().then_some(self.boot);
            self.boot = boot;
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

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: Uuid = Uuid::from_u128(1);
    const ONE: Uuid = Uuid::from_u128(11);
    const OTHER: Uuid = Uuid::from_u128(12);

    fn claim(sessions: &Sessions, boot: Uuid, takeover: bool) -> Result<(), Code> {
        sessions.claim(Uuid::nil(), NODE, boot, "0.1.0", takeover).map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_second_agent_is_refused_while_the_first_watches() {
        let sessions = Sessions::default();
        claim(&sessions, ONE, false).unwrap();
        let stream = sessions.open(NODE, ONE, false).unwrap();

        assert_eq!(claim(&sessions, OTHER, false), Err(Code::AnotherAgent));
        assert_eq!(claim(&sessions, ONE, false), Ok(()), "the same agent may come again");
        drop(stream);
        assert_eq!(claim(&sessions, OTHER, false), Ok(()), "and a closed watch holds nothing");
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
            Err(Code::Replaced),
            "before the new watch is open, too"
        );
        assert_eq!(sessions.open(NODE, ONE, false).unwrap_err().code, Code::Replaced);

        let young = sessions.open(NODE, OTHER, false).unwrap();
        drop(old);
        assert_eq!(claim(&sessions, ONE, false), Err(Code::Replaced));
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
        sessions.signal_draining();
        let seen = *stream.borrow();
        assert_eq!(seen, Signal { publications: 1_000, policy: 0, draining: true, end: None });
        sessions.remove(NODE);
        assert_eq!(stream.borrow().end, Some(End::Closed));
    }
}
