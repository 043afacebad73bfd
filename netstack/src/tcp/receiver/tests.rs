//! What comes in any order is read in order.

use proptest::prelude::*;

use super::super::memory::Memory;
use super::*;

fn receiver(memory: &Rc<Memory>) -> Receiver {
    let mut receiver = Receiver::new(Origin(u32::MAX - 100), PeerMemory::new(memory));
    receiver.offer(0);
    receiver
}

fn data(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| index.wrapping_mul(31).to_le_bytes()[0]).collect()
}

fn read_all(receiver: &mut Receiver) -> Vec<u8> {
    let mut read = Vec::new();
    while !receiver.front().is_empty() {
        let front = receiver.front().to_vec();
        receiver.consume(front.len(), Moment::default());
        read.extend(front);
    }
    read
}

proptest! {
    #[test]
    fn any_order_with_overlaps_and_doubles_reads_the_same(
        parts in prop::collection::vec((0usize..20_000, 1usize..3_000), 1..200),
    ) {
        let memory = Rc::new(Memory::default());
        let data = data(20_000);
        let mut receiver = receiver(&memory);
        let mut read = Vec::new();
        let rest = (0..20_000).step_by(1_000).map(|at| (at, 1_000));
        for (at, bytes) in parts.into_iter().chain(rest) {
            let end = (at + bytes).min(data.len());
            receiver.take(1 + at as u64, &data[at..end], end == data.len());
            if at % 3 == 0 {
                read.extend(read_all(&mut receiver));
            }
            let _ = receiver.sack_blocks(3);
        }
        read.extend(read_all(&mut receiver));
        prop_assert_eq!(read, data);
        prop_assert!(receiver.has_ended());
        prop_assert_eq!(memory.used_bytes(), 0, "nothing is kept of what was read");
    }
}

#[test]
fn the_newest_range_is_told_first_and_a_duplicate_before_it() {
    let memory = Rc::new(Memory::default());
    let mut receiver = Receiver::new(Origin(0), PeerMemory::new(&memory));
    receiver.offer(0);
    let bytes = data(100);
    for at in [1_000, 3_000, 2_000] {
        receiver.take(at, &bytes, false);
    }
    // RFC 2018 §4.
    assert_eq!(
        receiver.sack_blocks(4).as_slice(),
        [(2_000, 2_100), (3_000, 3_100), (1_000, 1_100)]
    );
    receiver.take(3_000, &bytes, false);
    // RFC 2883 §4.1, case 4: within a block.
    assert_eq!(receiver.sack_blocks(2).as_slice(), [(3_000, 3_100), (2_000, 2_100)]);
    receiver.take(1, &data(999), false);
    assert_eq!(receiver.next(), 1_100);
    receiver.take(1, &bytes, false);
    assert_eq!(receiver.sack_blocks(4).as_slice(), [(1, 101), (2_000, 2_100), (3_000, 3_100)]);
}

#[test]
fn bytes_beyond_the_window_are_not_taken() {
    let memory = Rc::new(Memory::default());
    let mut receiver = receiver(&memory);
    let edge = 1 + u64::from(receiver.offer(0));
    receiver.take(edge - 10, &data(100), false);
    receiver.take(edge, &data(100), false);
    assert_eq!(receiver.ahead.end(), Some(edge));
    assert!(!receiver.is_acceptable(edge, edge + 1));
    assert!(receiver.is_acceptable(edge - 1, edge + 1));
    assert!(receiver.is_acceptable(edge, edge), "an acknowledgment");
    assert!(!receiver.is_acceptable(edge + 1, edge + 1));
}

#[test]
fn bytes_behind_fin_are_not_taken() {
    let memory = Rc::new(Memory::default());
    let mut receiver = receiver(&memory);
    receiver.take(1, b"abc", true);
    receiver.take(4, b"more", false);
    assert!(receiver.has_ended());
    assert_eq!((receiver.next(), read_all(&mut receiver)), (5, b"abc".to_vec()));
}
