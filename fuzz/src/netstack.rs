//! Packets out of a tunnel into a stack: whatever they are, the stack stands, answers are bounded, and every flow ends.

#[path = "../../netstack/tests/netstack/lab.rs"]
#[allow(dead_code, reason = "the netstack's own laboratory, of which a part is used")]
mod lab;
#[path = "../../netstack/tests/netstack/raw.rs"]
#[allow(dead_code, reason = "the netstack's own packet maker")]
mod raw;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bore_netstack::limits::{PACKET_BYTES_MAX, REASSEMBLY_PER_PEER_BYTES_MAX};
use bore_netstack::{Binding, Listener, PeerConfig, Stack, TcpFlow, Unreachable, Verdict};
use smoltcp::wire::TcpControl;

use self::lab::{Lab, PEER, addr, context, drain, read, ready, service, stack, visitor, write};
use self::raw::Raw;
use crate::choices::Choices;

/// Sends packets, made up or plausible, to a stack that listens on everything that it can.
pub fn packets(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut host = Host::new(choices.small() & 1 == 0);
    for _ in 0..STEPS_MAX {
        let Some(choice) = choices.byte() else { break };
        host.step(choice, &mut choices);
    }
    host.end();
}

struct Host {
    stack: Stack,
    listeners: Vec<Listener>,
    flows: Vec<TcpFlow>,
    now: std::time::Instant,
}

impl Host {
    fn new(is_foreign: bool) -> Self {
        let stack = stack(1);
        stack.add_peer(PEER, PeerConfig { is_foreign, ..PeerConfig::default() });
        let mut listeners = Vec::new();
        for address in [service().ip(), v6_service().ip()] {
            stack.add_local(address);
            listeners.push(stack.listen(address, 8080..=8090, None).expect("free ports"));
            let binding = Binding::Local { address, ports: 1..=9_000 };
            stack.bind_udp(binding).expect("free ports");
            let ports = 1..=u16::MAX;
            let binding = Binding::Remote { peer: PEER, address: visitor().ip(), ports };
            // The second address finds the binding of the first.
            let _ = stack.bind_udp(binding);
        }
        Self { stack, listeners, flows: Vec::new(), now: std::time::Instant::now() }
    }

    fn step(&mut self, choice: u8, choices: &mut Choices<'_>) {
        match choice % 8 {
            0 => self.take(choices.piece(2_000)),
            1 => self.take(&plausible(choices)),
            2 => self.take(&segment(choices, visitor(), service())),
            3 => self.take(&segment(choices, v6_visitor(), v6_service())),
            4 => self.accept(choices.small()),
            5 => self.use_flows(choices),
            7 if choices.small() & 1 == 0 => self.take(&fragment(choices)),
            6 => self.pass(Duration::from_millis(u64::from(choices.number()))),
            _ => drop(self.flows.pop()),
        }
        drain(&self.stack, self.now);
    }

    fn take(&self, packet: &[u8]) {
        match self.stack.handle_packet(PEER, packet, self.now) {
            Verdict::Udp { payload, source, destination, .. } => {
                assert!(payload.len() <= packet.len());
                let mut buffer = [0; PACKET_BYTES_MAX];
                let built = self.stack.build_udp(destination, source, payload, &mut buffer);
                assert!(built.is_some(), "an answer to a datagram can be built");
            }
            Verdict::Reassembled => {
                let whole = self.stack.take_reassembled().expect("a whole packet");
                let verdict = self.stack.handle_packet(PEER, &whole, self.now);
                assert_ne!(verdict, Verdict::Malformed, "it was verified");
            }
            _ => {}
        }
        assert!(self.stack.reassembly_bytes() <= REASSEMBLY_PER_PEER_BYTES_MAX);
    }

    fn accept(&mut self, choice: u8) {
        for listener in &self.listeners {
            let Some(incoming) = ready(listener.poll_accept(&mut context())) else { continue };
            match choice % 4 {
                0 | 1 => self.flows.extend(incoming.accept().ok()),
                2 => incoming.reject_reset(),
                _ => incoming.reject_unreachable(Unreachable::Prohibited),
            }
        }
    }

    fn use_flows(&mut self, choices: &mut Choices<'_>) {
        for flow in &self.flows {
            let _ = flow.poll_write(&mut context(), &[3; 3_000]);
            let _ = read(flow);
            if choices.small() == 1 {
                flow.shutdown();
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.stack.handle_timeout(self.now);
    }

    /// Nobody holds anything, and an hour later nothing is held.
    fn end(mut self) {
        self.flows.clear();
        self.listeners.clear();
        settle(&self.stack, &mut self.now);
    }
}

fn settle(stack: &Stack, now: &mut std::time::Instant) {
    for _ in 0..200 {
        drain(stack, *now);
        *now += Duration::from_secs(1);
        stack.handle_timeout(*now);
    }
    assert_eq!(stack.flow_count(), 0, "every flow ends");
    assert_eq!(stack.reassembly_bytes(), 0, "no datagram waits for ever");
}

/// An IP header that is right in front of bytes that are anything.
fn plausible(choices: &mut Choices<'_>) -> Vec<u8> {
    let protocol = [6, 17, 1, 58, 0, 44, 43, 60][usize::from(choices.small() % 8)];
    let is_v6 = choices.small() & 1 == 1;
    let payload = choices.piece(1_400);
    let length = u16::try_from(payload.len()).unwrap_or_default();
    let mut packet = Vec::new();
    if is_v6 {
        packet.extend([0x60, 0, 0, 0]);
        packet.extend(length.to_be_bytes());
        packet.extend([protocol, 64]);
    } else {
        packet.extend([0x45, 0]);
        packet.extend((20 + length).to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    }
    let (from, to) = if is_v6 { (v6_visitor(), v6_service()) } else { (visitor(), service()) };
    for address in [from.ip(), to.ip()] {
        match address {
            IpAddr::V4(address) => packet.extend(address.octets()),
            IpAddr::V6(address) => packet.extend(address.octets()),
        }
    }
    packet.extend(payload);
    packet
}

/// A piece of one of a few datagrams of UDP, at a place where others are.
fn fragment(choices: &mut Choices<'_>) -> Vec<u8> {
    let is_v6 = choices.small() & 1 == 1;
    let identification = choices.small() % 4;
    let units = u16::from(choices.small() % 32) * if choices.small() == 0 { 200 } else { 1 };
    let is_last = choices.small() & 3 == 0;
    let payload = choices.piece(600);
    let payload =
        if is_last { payload } else { payload.get(..payload.len() / 8 * 8).unwrap_or_default() };
    let length = u16::try_from(payload.len()).unwrap_or_default();
    let mut packet = Vec::new();
    if is_v6 {
        packet.extend([0x60, 0, 0, 0]);
        packet.extend((8 + length).to_be_bytes());
        packet.extend([44, 64]);
    } else {
        packet.extend([0x45, 0]);
        packet.extend((20 + length).to_be_bytes());
        packet.extend([0, identification]);
        packet.extend((units | u16::from(!is_last) << 13).to_be_bytes());
        packet.extend([64, 17, 0, 0]);
    }
    let (from, to) = if is_v6 { (v6_visitor(), v6_service()) } else { (visitor(), service()) };
    for address in [from.ip(), to.ip()] {
        match address {
            IpAddr::V4(address) => packet.extend(address.octets()),
            IpAddr::V6(address) => packet.extend(address.octets()),
        }
    }
    if is_v6 {
        packet.extend([17, 0]);
        packet.extend((units << 3 | u16::from(!is_last)).to_be_bytes());
        packet.extend([0, 0, 0, identification]);
    }
    packet.extend(payload);
    packet
}

fn segment(choices: &mut Choices<'_>, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let source = SocketAddr::new(source.ip(), 50_000 + u16::from(choices.small() % 4));
    let heard = Heard { expects: 1_000, ..Heard::default() };
    Mutation::choose(choices).packet(source, destination, &heard)
}

/// Sends segments to one end of an established flow, near or far from what it expects.
pub fn segments(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut lab = Lab::new();
    let (opened, accepted) = lab.established();
    let accepts = choices.small() & 1 == 0;
    let victim = if accepts { lab.agent.clone() } else { lab.relay.clone() };
    let flow = if accepts { &accepted } else { &opened };
    let toward = if accepts { (visitor(), service()) } else { (service(), visitor()) };
    let mut heard = Heard::default();
    write(flow, b"something to hear");
    heard.listen(&victim, &lab);
    for _ in 0..STEPS_MAX {
        let Some(choice) = choices.byte() else { break };
        let mutation = Mutation::choose(&mut choices);
        let packet = mutation.packet(toward.0, toward.1, &heard);
        let _ = victim.handle_packet(PEER, &packet, lab.now);
        if choice & 1 != 0 {
            heard.listen(&victim, &lab);
        }
        if choice & 2 != 0 {
            let _ = flow.poll_write(&mut context(), &[3; 3_000]);
            let _ = read(flow);
        }
        if choice & 0x1c == 0x1c {
            flow.shutdown();
        }
        lab.now += Duration::from_millis(u64::from(choice & 0xe0) * 16);
        victim.handle_timeout(lab.now);
    }
    drop((opened, accepted));
    settle(&victim, &mut lab.now);
}

/// What a forger beside the victim has overheard.
#[derive(Default)]
struct Heard {
    expects: u32,
    sends: u32,
    /// The victim's clock, and the one that it echoes.
    clocks: (u32, u32),
}

impl Heard {
    fn listen(&mut self, victim: &Stack, lab: &Lab) {
        for packet in drain(victim, lab.now) {
            let segment = raw::tcp(&packet);
            self.expects = segment.ack_number().0.cast_unsigned();
            let length = u32::try_from(segment.payload().len()).unwrap_or_default();
            let flags = u32::from(segment.syn()) + u32::from(segment.fin());
            self.sends = raw::sequence(&segment).wrapping_add(length + flags);
            self.clocks = raw::timestamps(&segment).unwrap_or(self.clocks);
        }
    }
}

/// How a segment differs from the one that is expected.
struct Mutation<'a> {
    kind: u8,
    sequence: i32,
    acknowledgment: i32,
    /// How far behind what the victim has sent.
    behind: u32,
    window: u16,
    /// Behind what the victim has sent: where each block begins, and its length.
    sack: [Option<(u32, u32)>; 3],
    /// Beside the clock that the victim echoes, and how far behind its own.
    clocks: Option<(i32, u32)>,
    payload: &'a [u8],
    changes: [(u8, u8); 2],
}

impl<'a> Mutation<'a> {
    fn choose(choices: &mut Choices<'a>) -> Self {
        Self {
            kind: choices.small(),
            sequence: choices.offset(),
            acknowledgment: choices.offset(),
            behind: stretch(choices),
            window: choices.number(),
            sack: std::array::from_fn(|_| block(choices)),
            clocks: (choices.small() & 3 != 0)
                .then(|| (choices.offset(), u32::from(choices.number()))),
            payload: choices.piece(1_240),
            changes: [(choices.small(), choices.small()), (choices.small(), choices.small())],
        }
    }

    fn packet(&self, source: SocketAddr, destination: SocketAddr, heard: &Heard) -> Vec<u8> {
        let control = match self.kind % 6 {
            0 => TcpControl::Syn,
            1 => TcpControl::Fin,
            2 => TcpControl::Rst,
            3 => TcpControl::Psh,
            _ => TcpControl::None,
        };
        let acknowledgment = heard.sends.wrapping_sub(self.behind);
        let block = |(start, length)| {
            let start = heard.sends.wrapping_sub(start);
            (start, start.wrapping_add(length))
        };
        let (clock, echo) = heard.clocks;
        let raw = Raw {
            source,
            destination,
            control,
            sequence: heard.expects.wrapping_add_signed(self.sequence),
            acknowledgment: (self.kind % 7 != 0)
                .then_some(acknowledgment.wrapping_add_signed(self.acknowledgment)),
            window: self.window,
            sack: self.sack.map(|blocks| blocks.map(block)),
            timestamps: self.clocks.map(|(ahead, behind)| {
                (echo.wrapping_add_signed(ahead), clock.wrapping_sub(behind))
            }),
            payload: self.payload,
        };
        let mut packet = raw.packet();
        for (at, value) in self.changes {
            // Beyond the headers nothing is read, so nothing is changed there.
            if let Some(byte) = packet.get_mut(usize::from(at)).filter(|_| at < 80 && value != 0) {
                *byte ^= value;
            }
        }
        packet
    }
}

/// A length in whole segments, nearly, or of any bytes.
fn stretch(choices: &mut Choices<'_>) -> u32 {
    let (kind, count) = (choices.small(), u32::from(choices.small()));
    match kind % 4 {
        0 => count % 3,
        1 => u32::from(choices.number()),
        _ => count % 32 * SEGMENT_BYTES,
    }
}

fn block(choices: &mut Choices<'_>) -> Option<(u32, u32)> {
    (choices.small() & 3 == 0).then(|| (stretch(choices), stretch(choices)))
}

fn v6_visitor() -> SocketAddr {
    addr("[2001:db8::9]:50000")
}

fn v6_service() -> SocketAddr {
    addr("[fd00::7]:8080")
}

const STEPS_MAX: usize = 96;
/// What the victim's segments carry beside timestamps.
const SEGMENT_BYTES: u32 = 1_228;
