//! A fuzzer's bytes, read as choices. When they run out, so do the choices.

/// What is left of the bytes.
#[derive(Debug)]
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// All of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// One byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// One byte; zero when there is none.
    pub fn small(&mut self) -> u8 {
        self.byte().unwrap_or_default()
    }

    /// Two bytes; zeros where there are none.
    pub fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.small(), self.small()])
    }

    /// A number near zero, or far from it.
    pub fn offset(&mut self) -> i32 {
        let distance = i32::from(self.number().cast_signed());
        if self.small() & 1 == 0 { distance % 4 } else { distance.wrapping_mul(70_000) }
    }

    /// A piece with its length in front, in two bytes, at most `max`.
    pub fn piece(&mut self, max: usize) -> &'a [u8] {
        let length = usize::from(self.number()).min(max).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        piece
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
