//! UDP datagrams that are longer than a packet.

use std::net::SocketAddr;
use std::time::Duration;

use bore_netstack::limits::{
    DATAGRAM_RANGES_MAX, EVICTIONS_PER_PEER_PER_SECOND_MAX, REASSEMBLIES_MAX,
    REASSEMBLIES_PER_PEER_MAX, REASSEMBLY_BYTES_MAX, REASSEMBLY_PER_PEER_BYTES_MAX,
    REASSEMBLY_TIMEOUT,
};
use bore_netstack::{Binding, BindingId, Counters, PeerConfig, PeerKey, Verdict};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::lab::{Lab, PEER, addr, drain};

#[test]
fn a_datagram_of_every_size_arrives_as_it_left() {
    for ends in FAMILIES {
        let scene = Scene::new(ends, PeerConfig::default());
        let mut sizes: Vec<usize> = (0..3_000).collect();
        sizes.extend([8_000, 9_000, 32_767, 65_506, 65_507]);
        for size in sizes {
            let payload = pattern(size);
            let packets = scene.packets(&payload);
            assert!(packets.iter().all(|packet| packet.len() <= 1_280), "{size}");
            assert_eq!(packets.len() == 1, scene.whole(&payload).len() <= 1_280, "{size}");
            assert_eq!(scene.deliver_all(&packets), vec![payload], "{size}");
        }
        assert_eq!(scene.lab.agent.counters().fragments_refused, 0);
    }
}

#[test]
fn ipv6_carries_what_its_length_field_can_count_and_no_more() {
    let scene = Scene::new(FAMILIES[1], PeerConfig::default());
    let payload = pattern(65_527);
    assert_eq!(scene.deliver_all(&scene.packets(&payload)), vec![payload]);
    let (from, to) = scene.ends();
    let mut buffer = vec![0; 70_000];
    assert_eq!(scene.lab.relay.build_udp(from, to, &pattern(65_528), &mut buffer), None);
}

#[test]
fn fragments_fit_into_every_mtu() {
    for mtu in [576, 1_280, 1_281, 1_420, 9_000] {
        for ends in FAMILIES {
            let scene = Scene::new(ends, PeerConfig { mtu, ..Default::default() });
            let payload = pattern(20_000);
            let packets = scene.packets(&payload);
            assert!(packets.iter().all(|packet| packet.len() <= mtu), "{mtu}");
            let header_bytes = if ends.0.starts_with('[') { 48 } else { 20 };
            let step = (mtu - header_bytes) / 8 * 8;
            assert_eq!(packets.len(), 20_008_usize.div_ceil(step), "{mtu}");
            assert_eq!(scene.deliver_all(&packets), vec![payload]);
        }
    }
}

/// Datagrams of many senders, their fragments in any order, some twice.
#[test]
fn order_and_repetition_change_nothing() {
    let mut random = StdRng::seed_from_u64(5);
    for ends in FAMILIES {
        let mut scene = Scene::new(ends, PeerConfig { is_foreign: true, ..Default::default() });
        for _ in 0..50 {
            let mut sent: Vec<_> =
                (0..8).map(|_| pattern(random.random_range(1_300..15_000))).collect();
            let mut packets: Vec<_> =
                sent.iter().flat_map(|payload| scene.packets(payload)).collect();
            let again = packets[random.random_range(0..packets.len())].clone();
            packets.push(again);
            packets.shuffle(&mut random);
            let mut received = scene.deliver_all(&packets);
            sent.sort();
            received.sort();
            assert_eq!(received, sent);
            scene.forget_what_waits();
        }
    }
}

#[test]
fn a_lost_fragment_loses_its_datagram_alone() {
    for ends in FAMILIES {
        let mut scene = Scene::new(ends, PeerConfig::default());
        for missing in 0..3 {
            let mut packets = scene.packets(&pattern(3_000));
            assert_eq!(packets.len(), 3);
            packets.remove(missing);
            packets.extend(scene.packets(&pattern(2_000)));
            assert_eq!(scene.deliver_all(&packets), vec![pattern(2_000)]);
        }
        let counters = scene.forget_what_waits();
        assert_eq!((counters.reassemblies_expired, counters.datagrams_reassembled), (3, 3));
    }
}

#[test]
fn what_comes_after_the_deadline_is_of_no_use() {
    let mut scene = Scene::new(FAMILIES[0], PeerConfig::default());
    let packets = scene.packets(&pattern(2_000));
    assert!(scene.deliver_all(&packets[..1]).is_empty());
    let deadline = scene.lab.agent.poll_timeout().unwrap();
    assert_eq!(deadline, scene.lab.now + REASSEMBLY_TIMEOUT);
    scene.lab.now = deadline;
    scene.lab.agent.handle_timeout(deadline);
    assert!(scene.deliver_all(&packets[1..]).is_empty());
    assert!(scene.lab.agent.poll_timeout().is_some_and(|next| next > deadline));
}

/// RFC 5722 §4: nothing comes of a datagram whose fragments overlap, whatever else of it arrives.
#[test]
fn overlapping_fragments_end_their_datagram() {
    for ends in FAMILIES {
        let mut scene = Scene::new(ends, PeerConfig { is_foreign: true, ..Default::default() });
        for (shift, at_end) in [(8, false), (1_000, false), (0, true)] {
            let packets = scene.packets(&pattern(3_000));
            let mut overlapping = packets[1].clone();
            move_fragment(&mut overlapping, shift);
            *overlapping.last_mut().unwrap() ^= u8::from(at_end);
            fill_checksum(&mut overlapping);
            let all = [&packets[0], &packets[1], &overlapping, &packets[2]].map(Clone::clone);
            assert!(scene.deliver_all(&all).is_empty(), "moved by {shift}");
            assert!(scene.deliver_all(&packets).is_empty(), "and what comes later");
        }
        assert!(scene.lab.agent.counters().fragments_refused >= 6);
        scene.forget_what_waits();
        assert_eq!(scene.deliver_all(&scene.packets(&pattern(3_000))).len(), 1);
    }
}

#[test]
fn two_ends_of_one_datagram_contradict_each_other() {
    let scene = Scene::new(FAMILIES[0], PeerConfig { is_foreign: true, ..Default::default() });
    let packets = scene.packets(&pattern(3_000));
    let mut last_too_early = packets[1].clone();
    last_too_early[6] &= !0x20;
    fill_checksum(&mut last_too_early);
    let all = [packets[2].clone(), last_too_early, packets[0].clone(), packets[1].clone()];
    assert!(scene.deliver_all(&all).is_empty());
}

#[test]
fn impossible_fragments_are_refused() {
    let scene = Scene::new(FAMILIES[0], PeerConfig { is_foreign: true, ..Default::default() });
    let [first, _, last] = scene.packets(&pattern(3_000)).try_into().unwrap();
    let mut uneven = first.clone();
    uneven.truncate(uneven.len() - 4);
    let mut portless = first[..24].to_vec();
    let mut empty = last[..20].to_vec();
    let mut beyond = last;
    (beyond[6], beyond[7]) = (0x1f, 0xff);
    let mut of_tcp = first;
    of_tcp[9] = 6;
    for packet in [&mut uneven, &mut portless, &mut empty, &mut beyond, &mut of_tcp] {
        let length = u16::try_from(packet.len()).unwrap();
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        fill_checksum(packet);
        assert_eq!(scene.handle(packet), Verdict::Malformed, "{:02x?}", &packet[..20]);
    }
    let counters = scene.lab.agent.counters();
    assert_eq!((counters.fragments_refused, counters.malformed), (4, 1));
}

/// RFC 4963 §3: identifications of IPv4 come again while an old datagram waits.
#[test]
fn a_mixture_of_two_datagrams_is_told_by_its_checksum() {
    let scene = Scene::new(FAMILIES[0], PeerConfig::default());
    let (old, new) = (scene.packets(&pattern(2_000)), scene.packets(&[7; 2_000]));
    let mut mixed = vec![old[0].clone(), new[1].clone()];
    let identification = [mixed[0][4], mixed[0][5]];
    mixed[1][4..6].copy_from_slice(&identification);
    fill_checksum(&mut mixed[1]);
    assert!(scene.deliver_all(&mixed).is_empty());
    assert_eq!(scene.lab.agent.counters().malformed, 1);
}

/// RFC 6946: a fragment that is a whole datagram is nobody's piece.
#[test]
fn an_atomic_fragment_stands_alone() {
    let scene = Scene::new(FAMILIES[1], PeerConfig { is_foreign: true, ..Default::default() });
    let packets = scene.packets(&pattern(2_000));
    let (from, to) = scene.ends();
    let mut whole = vec![0; 1_280];
    let length = scene.lab.relay.build_udp(from, to, b"alone", &mut whole).unwrap();
    let mut atomic = whole[..40].to_vec();
    atomic.extend([17, 0, 0, 0]);
    atomic.extend_from_slice(&packets[0][44..48]);
    atomic.extend_from_slice(&whole[40..length]);
    let payload_bytes = u16::try_from(atomic.len() - 40).unwrap();
    atomic[4..6].copy_from_slice(&payload_bytes.to_be_bytes());
    atomic[6] = 44;
    let all = [packets[0].clone(), atomic, packets[1].clone()];
    assert_eq!(scene.deliver_all(&all), vec![b"alone".to_vec(), pattern(2_000)]);
}

#[test]
fn a_refused_datagram_is_answered_though_it_came_in_pieces() {
    let scene = Scene::new(FAMILIES[0], PeerConfig::default());
    scene.lab.agent.unbind_udp(scene.binding);
    let packets = scene.packets(&pattern(3_000));
    assert!(scene.deliver_all(&packets).is_empty());
    let answers = drain(&scene.lab.agent, scene.lab.now);
    let binding = Binding::Remote { peer: PEER, address: scene.ends().1.ip(), ports: 1..=65_535 };
    let binding = scene.lab.relay.bind_udp(binding).unwrap();
    let (source, destination) = scene.ends();
    let expected = Verdict::UdpUnreachable { binding, source, destination };
    assert_eq!(scene.lab.relay.handle_packet(PEER, &answers[0], scene.lab.now), expected);
}

#[test]
fn a_peer_that_never_ends_its_datagrams_loses_the_oldest() {
    let scene = Scene::new(FAMILIES[0], PeerConfig::default());
    let first = scene.packets(&pattern(2_000));
    scene.deliver_all(&first[..1]);
    for _ in 0..REASSEMBLIES_PER_PEER_MAX {
        assert!(scene.deliver_all(&scene.packets(&pattern(2_000))[..1]).is_empty());
    }
    let counters = scene.lab.agent.counters();
    assert_eq!(counters.reassemblies_evicted, 1);
    assert!(scene.deliver_all(&first[1..]).is_empty(), "it was the oldest");
    let whole = scene.packets(&pattern(2_000));
    assert_eq!(scene.deliver_all(&whole), vec![pattern(2_000)], "a new one finds room");
}

#[test]
fn fragments_that_push_out_one_datagram_each_are_taken_at_a_bounded_rate() {
    let mut scene = Scene::new(FAMILIES[0], PeerConfig::default());
    let mut last = scene.packets(&pattern(60_000)).pop().unwrap();
    for identification in 0..u16::MAX {
        last[4..6].copy_from_slice(&identification.to_be_bytes());
        fill_checksum(&mut last);
        assert_eq!(scene.handle(&last), Verdict::Consumed);
    }
    let counters = scene.lab.agent.counters();
    let allowed = u64::from(EVICTIONS_PER_PEER_PER_SECOND_MAX);
    assert_eq!(counters.reassemblies_evicted, allowed);
    let kept = u64::from(u16::MAX) - allowed - counters.fragments_refused;
    assert!(kept <= REASSEMBLIES_PER_PEER_MAX as u64, "{kept}");
    scene.lab.now += Duration::from_secs(1);
    assert_eq!(scene.deliver_all(&scene.packets(&pattern(2_000))), vec![pattern(2_000)]);
}

#[test]
fn memory_is_bounded_for_a_peer_and_for_all() {
    let scene = Scene::new(FAMILIES[0], PeerConfig::default());
    let honest = PeerKey(1);
    scene.lab.agent.add_peer(honest, PeerConfig::default());
    let packets = scene.packets(&pattern(2_000));
    assert_eq!(
        scene.lab.agent.handle_packet(honest, &packets[0], scene.lab.now),
        Verdict::Consumed
    );

    let large = scene.packets(&pattern(60_000));
    let peers = 2 * REASSEMBLY_BYTES_MAX / REASSEMBLY_PER_PEER_BYTES_MAX;
    for peer in 0..peers {
        let peer = PeerKey(100 + u32::try_from(peer).unwrap());
        scene.lab.agent.add_peer(peer, PeerConfig::default());
        for number in 0..REASSEMBLIES_PER_PEER_MAX {
            let mut last = large.last().unwrap().clone();
            last[4..6].copy_from_slice(&u16::try_from(number).unwrap().to_be_bytes());
            fill_checksum(&mut last);
            let verdict = scene.lab.agent.handle_packet(peer, &last, scene.lab.now);
            assert_eq!(verdict, Verdict::Consumed);
            assert!(scene.lab.agent.reassembly_bytes() <= REASSEMBLY_BYTES_MAX);
        }
    }
    let filled = scene.lab.agent.reassembly_bytes();
    assert!(filled > REASSEMBLY_BYTES_MAX / 10 * 9, "{filled}");
    let verdict = scene.lab.agent.handle_packet(honest, &packets[1], scene.lab.now);
    assert_eq!(verdict, Verdict::Reassembled, "who holds little loses nothing");
}

#[test]
fn datagrams_of_all_peers_are_counted() {
    let scene = Scene::new(FAMILIES[0], PeerConfig::default());
    let peers = REASSEMBLIES_MAX / REASSEMBLIES_PER_PEER_MAX + 1;
    let mut packet = scene.packets(&pattern(2_000)).remove(1);
    for peer in 0..peers {
        let peer = PeerKey(100 + u32::try_from(peer).unwrap());
        scene.lab.agent.add_peer(peer, PeerConfig::default());
        for number in 0..REASSEMBLIES_PER_PEER_MAX {
            packet[4..6].copy_from_slice(&u16::try_from(number).unwrap().to_be_bytes());
            fill_checksum(&mut packet);
            let _ = scene.lab.agent.handle_packet(peer, &packet, scene.lab.now);
        }
    }
    let evicted = scene.lab.agent.counters().reassemblies_evicted;
    assert_eq!(evicted, REASSEMBLIES_PER_PEER_MAX as u64);
}

#[test]
fn holes_are_bounded() {
    let scene = Scene::new(FAMILIES[0], PeerConfig::default());
    let packets = scene.packets(&pattern(60_000));
    let every_other: Vec<_> = packets.iter().step_by(2).cloned().collect();
    assert!(every_other.len() > DATAGRAM_RANGES_MAX);
    scene.deliver_all(&every_other);
    assert!(scene.lab.agent.counters().fragments_refused > 0);
    let rest: Vec<_> = packets.iter().skip(1).step_by(2).cloned().collect();
    assert!(scene.deliver_all(&rest).is_empty());
}

#[test]
fn a_forgotten_peer_leaves_nothing_behind() {
    let scene = Scene::new(FAMILIES[0], PeerConfig::default());
    scene.deliver_all(&scene.packets(&pattern(60_000))[1..]);
    assert!(scene.lab.agent.reassembly_bytes() > 60_000);
    scene.lab.agent.remove_peer(PEER);
    assert_eq!(scene.lab.agent.reassembly_bytes(), 0);
}

/// A relay that sends datagrams to one port of an agent.
struct Scene {
    lab: Lab,
    ends: (&'static str, &'static str),
    binding: BindingId,
}

impl Scene {
    fn new(ends: (&'static str, &'static str), config: PeerConfig) -> Self {
        let lab = Lab::new();
        lab.relay.add_peer(PEER, config);
        lab.agent.add_peer(PEER, config);
        let address = addr(ends.1).ip();
        let binding = lab.agent.bind_udp(Binding::Local { address, ports: 7_000..=7_000 }).unwrap();
        Self { lab, ends, binding }
    }

    fn ends(&self) -> (SocketAddr, SocketAddr) {
        (addr(self.ends.0), addr(self.ends.1))
    }

    fn whole(&self, payload: &[u8]) -> Vec<u8> {
        let (from, to) = self.ends();
        let mut buffer = vec![0; 70_000];
        let length = self.lab.relay.build_udp(from, to, payload, &mut buffer).unwrap();
        buffer[..length].to_vec()
    }

    fn packets(&self, payload: &[u8]) -> Vec<Vec<u8>> {
        let whole = self.whole(payload);
        let Some(mut fragments) = self.lab.relay.fragments(PEER, &whole) else {
            return vec![whole];
        };
        let mut buffer = vec![0; 9_216];
        let next = || fragments.write_next(&mut buffer).map(|length| buffer[..length].to_vec());
        std::iter::from_fn(next).collect()
    }

    fn handle<'p>(&self, packet: &'p [u8]) -> Verdict<'p> {
        self.lab.agent.handle_packet(PEER, packet, self.lab.now)
    }

    /// What the port receives.
    fn deliver_all(&self, packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
        packets.iter().filter_map(|packet| self.deliver(packet)).collect()
    }

    fn deliver(&self, packet: &[u8]) -> Option<Vec<u8>> {
        match self.handle(packet) {
            Verdict::Udp { payload, .. } => Some(payload.to_vec()),
            Verdict::Reassembled => self.deliver(&self.lab.agent.take_reassembled()?),
            Verdict::Consumed
            | Verdict::UdpUnreachable { .. }
            | Verdict::Unmatched
            | Verdict::Malformed => None,
        }
    }

    /// Lets every deadline pass.
    fn forget_what_waits(&mut self) -> Counters {
        self.lab.now += REASSEMBLY_TIMEOUT + Duration::from_secs(1);
        let agent = &self.lab.agent;
        agent.handle_timeout(self.lab.now);
        assert_eq!(agent.reassembly_bytes(), 0);
        assert_eq!(agent.poll_timeout(), None);
        agent.counters()
    }
}

/// Bytes of which no piece is like another.
fn pattern(size: usize) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(size as u64);
    (0..size).map(|_| random.random()).collect()
}

/// Moves a fragment `bytes` towards the start of its datagram.
fn move_fragment(packet: &mut [u8], bytes: u16) {
    let (at, shift) = if packet[0] >> 4 == 4 { (6, bytes / 8) } else { (42, bytes) };
    let field = u16::from_be_bytes([packet[at], packet[at + 1]]) - shift;
    packet[at..at + 2].copy_from_slice(&field.to_be_bytes());
}

fn fill_checksum(packet: &mut [u8]) {
    if packet[0] >> 4 != 4 {
        return;
    }
    packet[10..12].fill(0);
    let words =
        packet[..20].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap();
    packet[10..12].copy_from_slice(&(!folded).to_be_bytes());
}

const FAMILIES: [(&str, &str); 2] =
    [("203.0.113.9:50000", "100.64.0.7:7000"), ("[2001:db8::9]:50000", "[fd00::7]:7000")];
