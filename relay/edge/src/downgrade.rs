//! Requests that `h2` refuses before anybody sees them, asked for again by HTTP/1.1.
//!
//! The crate takes no target with `"`, `<`, `>` or bytes that are no UTF-8, and resets such a stream as PROTOCOL_ERROR, which tells a user
//! nothing. HTTP/1.1 takes the first three, and answers the rest with a page that says why. So the code of such a reset becomes
//! HTTP_1_1_REQUIRED, at which curl and browsers ask again by themselves. Only streams that no handler has seen are concerned: nothing of
//! those requests was passed on.
//!
//! [`Frames`] follows the frames that go out, as far as that takes. No IO.
//! Source: RFC 9113 §4.1, §6.4, §7.

/// What `h2` answers a malformed head with.
const PROTOCOL_ERROR: u8 = 0x1;

/// Use HTTP/1.1 for this request.
pub(super) const HTTP_1_1_REQUIRED: u8 = 0xd;

const HEAD_BYTES: usize = 9;
const RST_STREAM: u8 = 3;

/// Where in its outgoing frames a connection is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Frames {
    head: [u8; HEAD_BYTES],
    /// Bytes of `head` that have gone.
    head_bytes: usize,
    /// Bytes of the payload that have to follow.
    left: usize,
}

impl Frames {
    /// How many of `bytes` go out as they are: all, or those before the code of a reset that is to be changed.
    pub(super) fn unchanged(mut self, bytes: &[u8], is_seen: impl Fn(u32) -> bool) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let code = (self.is_reset() && self.left > 0 && self.left <= rest.len())
                .then(|| rest.get(self.left - 1))
                .flatten();
            if code == Some(&PROTOCOL_ERROR) && !is_seen(self.stream()) {
                return at + self.left - 1;
            }
            at += self.step(rest);
        }
        bytes.len()
    }

    /// `bytes` have gone out, changed or not.
    pub(super) fn advance(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            at += self.step(rest);
        }
    }

    /// Takes part of `bytes`, at least one of them.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.left > 0 {
            let taken = self.left.min(bytes.len());
            self.left -= taken;
            return taken;
        }
        if self.head_bytes == HEAD_BYTES {
            self.head_bytes = 0;
        }
        let room = self.head.get_mut(self.head_bytes..).unwrap_or_default();
        let taken = room.len().min(bytes.len());
        for (place, byte) in room.iter_mut().zip(bytes) {
            *place = *byte;
        }
        self.head_bytes += taken;
        if self.head_bytes == HEAD_BYTES {
            let [a, b, c, ..] = self.head;
            self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        }
        taken
    }

    fn is_reset(&self) -> bool {
        let [_, _, _, kind, ..] = self.head;
        self.head_bytes == HEAD_BYTES && kind == RST_STREAM
    }

    fn stream(&self) -> u32 {
        let [.., a, b, c, d] = self.head;
        u32::from_be_bytes([a, b, c, d])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_unseen_streams_reset_is_found_however_the_bytes_are_cut() {
        let bytes = [DATA, &reset(3, 1), &reset(5, 1), &reset(7, 8), DATA].concat();
        let wanted = [DATA, &reset(3, 1), &reset(5, 13), &reset(7, 8), DATA].concat();
        for size in 1..=bytes.len() {
            assert_eq!(sent(&bytes, size), wanted, "pieces of {size}");
        }
    }

    /// What goes out when `bytes` are written in pieces; stream 3 has been seen.
    fn sent(bytes: &[u8], size: usize) -> Vec<u8> {
        let (mut frames, mut sent) = (Frames::default(), Vec::new());
        for mut piece in bytes.chunks(size) {
            while !piece.is_empty() {
                let unchanged = frames.unchanged(piece, |stream| stream == 3);
                let taken = unchanged.max(1);
                match unchanged {
                    0 => sent.push(HTTP_1_1_REQUIRED),
                    _ => sent.extend(&piece[..unchanged]),
                }
                frames.advance(&piece[..taken]);
                piece = &piece[taken..];
            }
        }
        sent
    }

    /// A frame whose payload looks like a reset.
    const DATA: &[u8] = &[0, 0, 13, 0, 0, 0, 0, 0, 9, 0, 0, 4, 3, 0, 0, 0, 0, 5, 0, 0, 0, 1];

    fn reset(stream: u8, code: u8) -> Vec<u8> {
        vec![0, 0, 4, RST_STREAM, 0, 0, 0, 0, stream, 0, 0, 0, code]
    }
}
