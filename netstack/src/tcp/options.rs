//! The TCP options that the engine speaks.
//!
//! | kind | option | source |
//! |---|---|---|
//! | 2 | maximum segment size | RFC 9293 §3.7.1 |
//! | 3 | window scale | RFC 7323 §2 |
//! | 4, 5 | SACK permitted, SACK: up to four blocks | RFC 2018 |
//! | 8 | timestamps | RFC 7323 §3 |
//! | 254 | boot ids, an experiment of our own | RFC 6994 |
//!
//! Unknown options are skipped, malformed ones end the list; neither is an error (RFC 9293 §3.1).

/// What a segment's options say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) mss: Option<u16>,
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack_permitted: bool,
    pub(crate) sack: SackBlocks,
    /// TSval and TSecr.
    pub(crate) timestamps: Option<(u32, u32)>,
    pub(crate) boot: Option<BootIds>,
}

/// Which start of a node a SYN comes from, and which start of the other it is meant for.
///
/// A node that has started again does not know what its predecessor took, so a SYN with data that was meant for that one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BootIds {
    pub(crate) own: u32,
    /// Zero when any will do.
    pub(crate) expected: u32,
}

/// Up to four SACK blocks: sequence numbers of the first byte, and behind the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SackBlocks {
    blocks: [(u32, u32); SACK_BLOCKS_MAX],
    count: u8,
}

impl SackBlocks {
    /// Adds a block, unless there are four.
    pub(crate) fn push(&mut self, block: (u32, u32)) {
        if let Some(slot) = self.blocks.get_mut(usize::from(self.count)) {
            *slot = block;
            self.count += 1;
        }
    }

    pub(crate) fn as_slice(&self) -> &[(u32, u32)] {
        self.blocks.get(..usize::from(self.count)).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Keeps the first `count`.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.count = self.count.min(u8::try_from(count).unwrap_or(u8::MAX));
    }
}

impl Options {
    /// Reads the options part of a TCP header.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        // What nearly every segment of a flow carries: two paddings and timestamps.
        if let [NO_OPERATION, NO_OPERATION, TIMESTAMPS, 10, data @ ..] = bytes
            && data.len() == 8
        {
            return Self { timestamps: pair(data), ..Self::default() };
        }
        let mut options = Self::default();
        let mut rest = bytes;
        while let Some((kind, data, after)) = split_option(rest) {
            options.take(kind, data);
            rest = after;
        }
        options
    }

    fn take(&mut self, kind: u8, data: &[u8]) {
        match (kind, data) {
            (MAXIMUM_SEGMENT_SIZE, [high, low]) => {
                self.mss = Some(u16::from_be_bytes([*high, *low]))
            }
            (WINDOW_SCALE, [shift]) => self.window_scale = Some((*shift).min(WINDOW_SCALE_MAX)),
            (SACK_PERMITTED, []) => self.sack_permitted = true,
            (SACK, blocks) => {
                blocks.chunks_exact(8).filter_map(pair).for_each(|block| self.sack.push(block));
            }
            (TIMESTAMPS, data) => self.timestamps = pair(data),
            (EXPERIMENT, [first, second, ids @ ..]) if [*first, *second] == BOOT_ID => {
                self.boot = pair(ids).map(|(own, expected)| BootIds { own, expected });
            }
            _ => {}
        }
    }

    /// Bytes that [`Self::emit`] fills: a multiple of four.
    pub(crate) fn header_bytes(&self) -> usize {
        self.unpadded_bytes().next_multiple_of(4)
    }

    /// Writes the options into `out`, which is as long as [`Self::header_bytes`].
    pub(crate) fn emit(&self, out: &mut [u8]) {
        let mut writer = Writer { out };
        if let Some((value, echo)) = self.timestamps {
            writer.put(&[NO_OPERATION, NO_OPERATION, TIMESTAMPS, 10]);
            writer.put(&value.to_be_bytes());
            writer.put(&echo.to_be_bytes());
        }
        if let Some(mss) = self.mss {
            writer.put(&[MAXIMUM_SEGMENT_SIZE, 4]);
            writer.put(&mss.to_be_bytes());
        }
        if let Some(shift) = self.window_scale {
            writer.put(&[WINDOW_SCALE, 3, shift]);
        }
        if self.sack_permitted {
            writer.put(&[SACK_PERMITTED, 2]);
        }
        if !self.sack.is_empty() {
            writer.put(&[SACK, 2 + 8 * self.sack.count]);
            for (start, end) in self.sack.as_slice() {
                writer.put(&start.to_be_bytes());
                writer.put(&end.to_be_bytes());
            }
        }
        if let Some(BootIds { own, expected }) = self.boot {
            writer.put(&[EXPERIMENT, 12]);
            writer.put(&BOOT_ID);
            writer.put(&own.to_be_bytes());
            writer.put(&expected.to_be_bytes());
        }
        writer.out.fill(NO_OPERATION);
    }

    fn unpadded_bytes(&self) -> usize {
        let sack = if self.sack.is_empty() { 0 } else { 2 + 8 * usize::from(self.sack.count) };
        let parts = [
            (self.timestamps.is_some(), TIMESTAMPS_BYTES),
            (self.mss.is_some(), 4),
            (self.window_scale.is_some(), 3),
            (self.sack_permitted, 2),
            (self.boot.is_some(), 12),
        ];
        parts.iter().filter(|(is_there, _)| *is_there).map(|(_, bytes)| bytes).sum::<usize>() + sack
    }
}

/// Fills a slice from the front; what does not fit is lost, which the caller's length rules out.
struct Writer<'o> {
    out: &'o mut [u8],
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let out = std::mem::take(&mut self.out);
        let Some((now, later)) = out.split_at_mut_checked(bytes.len()) else { return };
        now.copy_from_slice(bytes);
        self.out = later;
    }
}

/// The first option, its data, and what follows; `None` at the end or at nonsense.
fn split_option(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    match bytes {
        [] | [END_OF_LIST, ..] => None,
        [NO_OPERATION, after @ ..] => Some((NO_OPERATION, &[], after)),
        [kind, length, ..] => {
            let length = usize::from(*length);
            let data = bytes.get(2..length)?;
            Some((*kind, data, bytes.get(length..)?))
        }
        [_] => None,
    }
}

fn pair(data: &[u8]) -> Option<(u32, u32)> {
    let (first, rest) = data.split_first_chunk()?;
    let second = rest.try_into().ok()?;
    Some((u32::from_be_bytes(*first), u32::from_be_bytes(second)))
}

/// All that may stand in a header (RFC 9293 §3.1).
pub(crate) const OPTIONS_BYTES_MAX: usize = 40;
/// SACK blocks that fit beside nothing else (RFC 2018 §3).
pub(crate) const SACK_BLOCKS_MAX: usize = 4;
/// The timestamps option with its padding.
pub(crate) const TIMESTAMPS_BYTES: usize = 12;
/// Largest shift (RFC 7323 §2.3).
const WINDOW_SCALE_MAX: u8 = 14;
/// The experiment identifier of the boot ids (RFC 6994 §3).
const BOOT_ID: [u8; 2] = [0xb0, 0x4e];

const END_OF_LIST: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const EXPERIMENT: u8 = 254;

#[cfg(test)]
mod tests {
    use super::*;

    fn emitted(options: &Options) -> Vec<u8> {
        let mut bytes = vec![0; options.header_bytes()];
        options.emit(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut sack = SackBlocks::default();
        (0..3).for_each(|index| sack.push((index * 10, index * 10 + 5)));
        let syn = Options {
            mss: Some(1220),
            window_scale: Some(9),
            sack_permitted: true,
            timestamps: Some((7, 0)),
            boot: Some(BootIds { own: 0x0123_4567, expected: 0x89ab_cdef }),
            ..Options::default()
        };
        let acknowledgment = Options { sack, timestamps: Some((8, 9)), ..Options::default() };
        for options in [syn, acknowledgment, Options::default()] {
            let bytes = emitted(&options);
            assert!(bytes.len() <= 40 && bytes.len().is_multiple_of(4), "{}", bytes.len());
            assert_eq!(Options::parse(&bytes), options);
        }
    }

    #[test]
    fn nonsense_ends_the_list_and_what_came_before_counts() {
        for nonsense in [&[9][..], &[9, 0], &[9, 1], &[9, 200, 1]] {
            let bytes = [&[MAXIMUM_SEGMENT_SIZE, 4, 5, 0][..], nonsense].concat();
            assert_eq!(Options::parse(&bytes).mss, Some(1280));
        }
    }
}
