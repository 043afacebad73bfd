//! Packets that come one right after the other are taken as if each had come by itself.

use bore_netstack::TcpFlow;
use proptest::prelude::*;
use smoltcp::wire::TcpControl;

use crate::lab::{Lab, PEER, drain, read, service, visitor, write};
use crate::raw::{Raw, sequence, tcp, timestamps};

/// One end of a flow, and how its other end is imitated.
struct Victim {
    lab: Lab,
    _opened: TcpFlow,
    flow: TcpFlow,
    /// What the victim expects next, and what it has sent.
    expects: u32,
    sent: u32,
    clock: u32,
}

/// How a segment differs from the one that goes on where the last ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    Push,
    Gap,
    Repeat,
    LaterClock,
    EarlierClock,
    NoClock,
    Window(u16),
    Fin,
    /// A byte of the headers.
    Byte(usize, u8),
    /// Bytes behind the IP packet.
    Padding(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        24 => Just(Change::Nothing),
        2 => Just(Change::Push),
        1 => Just(Change::Gap),
        1 => Just(Change::Repeat),
        1 => Just(Change::LaterClock),
        1 => Just(Change::EarlierClock),
        1 => Just(Change::NoClock),
        1 => any::<u16>().prop_map(Change::Window),
        1 => Just(Change::Fin),
        3 => (0usize..56, 1u8..).prop_map(|(at, value)| Change::Byte(at, value)),
        1 => (1usize..9).prop_map(Change::Padding),
    ]
}

impl Victim {
    fn new() -> Self {
        let mut lab = Lab::new();
        let (opened, flow) = lab.established();
        write(&flow, b"x");
        let heard = drain(&lab.agent, lab.now).pop().unwrap();
        let segment = tcp(&heard);
        let (expects, sent) = (segment.ack_number().0.cast_unsigned(), sequence(&segment) + 1);
        let (_, clock) = timestamps(&segment).unwrap();
        Self { lab, _opened: opened, flow, expects, sent, clock }
    }

    fn take(&mut self, change: Change, bytes: usize) {
        let is = |other| change == other;
        let shift = if is(Change::Gap) { 100 } else { -50 * i32::from(is(Change::Repeat)) };
        self.clock += u32::from(is(Change::LaterClock));
        self.clock -= u32::from(is(Change::EarlierClock));
        let control = if is(Change::Push) { TcpControl::Psh } else { TcpControl::None };
        let control = if is(Change::Fin) { TcpControl::Fin } else { control };
        let payload: Vec<u8> = (0..bytes).map(|index| index.to_le_bytes()[0]).collect();
        let raw = Raw {
            control,
            sequence: self.expects.wrapping_add_signed(shift),
            acknowledgment: Some(self.sent),
            window: if let Change::Window(window) = change { window } else { 500 },
            timestamps: (!is(Change::NoClock)).then_some((self.clock, 0)),
            payload: &payload,
            ..Raw::syn(visitor(), service())
        };
        let mut packet = raw.packet();
        if let Change::Byte(at, value) = change {
            packet[at.min(bytes + 39)] ^= value;
            // What follows a reset is answered or not by when the end is noticed, and either is right.
            packet[FLAGS_AT] &= !RESET;
        }
        if let Change::Padding(bytes) = change {
            packet.extend(vec![0; bytes]);
        }
        let _ = self.lab.agent.handle_packet(PEER, &packet, self.lab.now);
        self.expects = self.expects.wrapping_add(u32::try_from(bytes).unwrap());
    }

    /// What it says, what it read, and how it stands.
    fn look(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let read = read(&self.flow);
        let said = drain(&self.lab.agent, self.lab.now);
        (said, read, self.flow.info(), self.lab.agent.buffer_bytes())
    }
}

/// Of an IPv4 packet without options.
const FLAGS_AT: usize = 33;
const RESET: u8 = 4;

#[test]
fn a_run_is_taken_apart_once() {
    let mut victim = Victim::new();
    let before = victim.lab.agent.counters().engine_polls;
    (0..40).for_each(|_| victim.take(Change::Nothing, 1_000));
    assert_eq!(victim.lab.agent.counters().engine_polls - before, 1);
    assert_eq!(read(&victim.flow).0.len(), 40_000);
    let said = drain(&victim.lab.agent, victim.lab.now);
    let acknowledged = said.last().map(|packet| tcp(packet).ack_number().0.cast_unsigned());
    assert_eq!(acknowledged, Some(victim.expects), "and told as far as it went");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_run_says_the_same_as_its_packets(
        looks in prop::collection::vec(prop::collection::vec((change(), 1usize..1_200), 1..40), 1..6),
    ) {
        let (mut joined, mut single) = (Victim::new(), Victim::new());
        for look in looks {
            for (change, bytes) in look {
                joined.take(change, bytes);
                single.take(change, bytes);
                // Whatever is asked of a stack ends a run.
                single.lab.agent.handle_timeout(single.lab.now);
            }
            prop_assert_eq!(joined.look(), single.look());
        }
    }
}
