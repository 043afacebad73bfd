//! The states against the table of RFC 9293 §3.3.2, under any order of what the user does and the peer sends.

use proptest::prelude::*;

use crate::script::{Peer, Script};
use crate::segment::{Segment, ack, data, fin, reset, syn};

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_history_leads_to_the_state_of_the_table(
        calls in any::<bool>(),
        events in proptest::collection::vec(any_event(), 1..EVENTS_MAX),
    ) {
        let mut run = Run::new(calls);
        for event in &events {
            run.step(*event);
            prop_assert_eq!(run.script.state(), run.model.state, "after {:?} of {:?}", event, events);
        }
    }
}

/// What changes a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Close,
    /// Their SYN without an answer to ours.
    Syn,
    /// Everything that we have sent is acknowledged, SYN and FIN included.
    Acknowledged,
    Fin,
    Reset,
}

/// RFC 9293 §3.3.2, figure 5, the cause as the text of §3.10 has it. What is not here changes nothing.
const TABLE: [(&str, Cause, &str); 19] = [
    ("SYN-SENT", Cause::Syn, "SYN-RECEIVED"),
    ("SYN-RECEIVED", Cause::Acknowledged, "ESTABLISHED"),
    ("ESTABLISHED", Cause::Close, "FIN-WAIT-1"),
    ("ESTABLISHED", Cause::Fin, "CLOSE-WAIT"),
    ("FIN-WAIT-1", Cause::Acknowledged, "FIN-WAIT-2"),
    ("FIN-WAIT-1", Cause::Fin, "CLOSING"),
    ("FIN-WAIT-2", Cause::Fin, "TIME-WAIT"),
    ("CLOSE-WAIT", Cause::Close, "LAST-ACK"),
    ("CLOSING", Cause::Acknowledged, "TIME-WAIT"),
    ("LAST-ACK", Cause::Acknowledged, "CLOSED"),
    ("SYN-SENT", Cause::Reset, "CLOSED"),
    ("SYN-RECEIVED", Cause::Reset, "CLOSED"),
    ("ESTABLISHED", Cause::Reset, "CLOSED"),
    ("FIN-WAIT-1", Cause::Reset, "CLOSED"),
    ("FIN-WAIT-2", Cause::Reset, "CLOSED"),
    ("CLOSE-WAIT", Cause::Reset, "CLOSED"),
    ("CLOSING", Cause::Reset, "CLOSED"),
    ("LAST-ACK", Cause::Reset, "CLOSED"),
    // RFC 1337 §3: in TIME-WAIT a reset is ignored, against §3.10.7.4.
    ("TIME-WAIT", Cause::Reset, "TIME-WAIT"),
];

/// The reference.
struct Model {
    state: &'static str,
    /// CLOSE was called where it has to wait (RFC 9293 §3.10.4).
    wants_close: bool,
    has_their_fin: bool,
}

impl Model {
    fn apply(&mut self, cause: Cause) {
        let row = TABLE.iter().find(|(from, by, _)| *from == self.state && *by == cause);
        self.state = row.map_or(self.state, |(_, _, to)| to);
    }

    fn has_heard_syn(&self) -> bool {
        self.state != "SYN-SENT"
    }

    /// What waits for the handshake happens after it.
    fn close_if_wanted(&mut self) {
        let before = self.state;
        if self.wants_close {
            self.apply(Cause::Close);
        }
        self.wants_close &= before == self.state;
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Write(usize),
    Shutdown,
    Abort,
    Segment(Kind),
}

/// What the peer sends. `bool`: whether everything is acknowledged, or nothing new.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Ack(bool),
    Data(usize, bool),
    Fin(bool),
    ResetExact,
    ResetInWindow,
    ResetOutside,
    Syn,
    SynInWindow,
    SynAck,
    DataOutside,
    FinOutside,
    FinThatAcknowledgesUnsent,
    FinWithoutAck,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (1usize..200).prop_map(Event::Write),
        2 => Just(Event::Shutdown),
        1 => Just(Event::Abort),
        24 => any_kind().prop_map(Event::Segment),
    ]
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => any::<bool>().prop_map(Kind::Ack),
        3 => (1usize..300, any::<bool>()).prop_map(|(bytes, acks)| Kind::Data(bytes, acks)),
        4 => any::<bool>().prop_map(Kind::Fin),
        1 => Just(Kind::ResetExact),
        1 => Just(Kind::ResetInWindow),
        1 => Just(Kind::ResetOutside),
        2 => Just(Kind::Syn),
        1 => Just(Kind::SynInWindow),
        3 => Just(Kind::SynAck),
        1 => Just(Kind::DataOutside),
        1 => Just(Kind::FinOutside),
        1 => Just(Kind::FinThatAcknowledgesUnsent),
        1 => Just(Kind::FinWithoutAck),
    ]
}

/// The stack and the reference side by side.
struct Run {
    script: Script,
    model: Model,
    /// Where the peer's stream stands, FIN included.
    next: i32,
    /// Up to where the peer has acknowledged.
    acknowledged: i32,
}

impl Run {
    fn new(calls: bool) -> Self {
        let peer = Peer::default();
        let mut script = if calls { Script::calling(peer) } else { Script::called(peer) };
        script.by(0).take();
        let state = if calls { "SYN-SENT" } else { "SYN-RECEIVED" };
        let model = Model { state, wants_close: false, has_their_fin: false };
        Self { script, model, next: i32::from(!calls), acknowledged: 0 }
    }

    fn step(&mut self, event: Event) {
        self.script.finish_connect();
        match event {
            Event::Segment(kind) => self.send(kind),
            _ if self.script.flow.is_none() => {}
            Event::Write(bytes) => {
                self.script.try_write(bytes);
            }
            Event::Shutdown => {
                self.script.shutdown();
                self.model.wants_close = true;
            }
            Event::Abort => {
                self.script.abort();
                self.model.apply(Cause::Reset);
            }
        }
        self.model.close_if_wanted();
        let soon = self.script.now_ms() + STEP_MS;
        self.script.by(soon).take();
    }

    fn send(&mut self, kind: Kind) {
        let segment = self.segment(kind);
        for cause in self.causes(kind) {
            self.model.apply(cause);
        }
        self.script.inject(segment);
    }

    fn segment(&self, kind: Kind) -> Segment {
        let (next, seen) = (self.next, self.script.sent_end());
        let up_to = |everything| if everything { seen } else { self.acknowledged };
        match kind {
            Kind::Ack(acks) => ack(up_to(acks)).at(next),
            Kind::Data(bytes, acks) => data(next, bytes).acks(up_to(acks)),
            Kind::Fin(acks) => fin(next - i32::from(self.model.has_their_fin)).acks(up_to(acks)),
            Kind::ResetExact => reset(next).acks(seen),
            Kind::ResetInWindow => reset(next + 7).acks(self.acknowledged),
            Kind::ResetOutside => reset(next + FAR).acks(self.acknowledged),
            Kind::Syn => syn(0),
            Kind::SynInWindow if next == 0 => syn(0),
            Kind::SynInWindow => syn(next + 7),
            Kind::SynAck => syn(0).acks(1),
            Kind::DataOutside => data(next + FAR, 10).acks(seen),
            Kind::FinOutside => fin(next + FAR).acks(seen),
            Kind::FinThatAcknowledgesUnsent => fin(next).acks(seen + 1_000),
            Kind::FinWithoutAck => fin(next).acks_nothing(),
        }
    }

    /// What the segment is to the table, in the order of RFC 9293 §3.10.7.4.
    #[expect(clippy::wildcard_enum_match_arm, reason = "what is not named changes nothing")]
    fn causes(&mut self, kind: Kind) -> Vec<Cause> {
        if !self.model.has_heard_syn() {
            return self.causes_in_syn_sent(kind);
        }
        match kind {
            Kind::ResetExact => vec![Cause::Reset],
            Kind::Ack(true) => self.all_acknowledged(),
            Kind::Data(bytes, acks) if acks || self.acknowledged > 0 => {
                if !self.model.has_their_fin {
                    self.next += i32::try_from(bytes).unwrap();
                }
                if acks { self.all_acknowledged() } else { Vec::new() }
            }
            Kind::Fin(acks) if !self.model.has_their_fin && (acks || self.acknowledged > 0) => {
                self.model.has_their_fin = true;
                self.next += 1;
                let acknowledged = if acks { self.all_acknowledged() } else { Vec::new() };
                [acknowledged, vec![Cause::Fin]].concat()
            }
            // Both have called each other: figure 8.
            Kind::SynAck if self.acknowledged == 0 => {
                self.acknowledged = 1;
                vec![Cause::Acknowledged]
            }
            _ => Vec::new(),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "what is not named changes nothing")]
    fn causes_in_syn_sent(&mut self, kind: Kind) -> Vec<Cause> {
        match kind {
            Kind::ResetExact => vec![Cause::Reset],
            Kind::Syn | Kind::SynInWindow => {
                self.next = 1;
                vec![Cause::Syn]
            }
            Kind::SynAck => {
                (self.next, self.acknowledged) = (1, 1);
                vec![Cause::Syn, Cause::Acknowledged]
            }
            _ => Vec::new(),
        }
    }

    fn all_acknowledged(&mut self) -> Vec<Cause> {
        self.acknowledged = self.script.sent_end();
        vec![Cause::Acknowledged]
    }
}

const EVENTS_MAX: usize = 14;
/// So short that no timer comes within a history.
const STEP_MS: u64 = 8;
/// Beyond any window.
const FAR: i32 = 100_000_000;
