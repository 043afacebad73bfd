//! Where one HTTP/1 message of a visitor ends and the next begins, by the strictest reading.
//!
//! [`Framing`] looks at every byte before hyper does. It repeats none of hyper's work except what
//! decides about boundaries, and there it refuses what two readers could take differently: a bare
//! LF or CR, folded lines, a space before the colon, more than one `Content-Length`, a length that
//! is not digits only, `Transfer-Encoding` that is not one `chunked`, either with a tab, both at once, or
//! in HTTP/1.0, a fragment in the target, and `*` for anything but OPTIONS.
//! It tells which bytes of a target are to be percent-encoded (`target.rs`).
//! hyper alone would take the bare LF, equal lengths twice, and would drop a length beside chunked.
//!
//! After each message it holds: the next one waits until this one is answered ([`Framing::proceed`]).
//! After a message that asks for an upgrade no later byte is a request until the answer has decided
//! what those bytes are.
//!
//! No IO, no clock. One line is the most that is stored.
//! Source: RFC 9112 §2.2, §5, §6.1, §6.3, §7.1, §11.2.

use prometheus_client::encoding::EncodeLabelValue;

use super::limits::{
    CHUNK_LINE_BYTES_MAX, CHUNK_SIZE_DIGITS_MAX, CONTENT_LENGTH_DIGITS_MAX, HEAD_BYTES_MAX,
};
use super::target::needs_encoding;

/// The reader's place in a visitor's stream.
#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
    line: Vec<u8>,
    head: Head,
    section_bytes: usize,
    heads: u64,
    /// Spaces in the request line so far: the target stands behind the first.
    spaces: usize,
    /// Bytes scanned before the present step, and those among all that a target may hold in another form only.
    scanned: usize,
    escapes: Vec<usize>,
}

/// What may be passed on of some scanned bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// Everything.
    All,
    /// This many; the rest waits for the answer to the message that they end.
    Held(usize),
    /// This many; the byte that follows them made the message malformed.
    Refused(usize, Fault),
}

/// What is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing of the next message has come.
    Idle,
    /// Part of a request head has come.
    Head,
    /// A body of declared length.
    DeclaredBody,
    /// A chunked body.
    ChunkedBody,
    /// Held behind a message that asks for an upgrade.
    Held,
}

/// Why a message is refused. Also the label of `bore_edge_requests_malformed_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Fault {
    /// A line that does not end in CR LF, or a control byte in it.
    Line,
    /// Not `METHOD target HTTP/1.x`.
    RequestLine,
    /// No field name, or a space around it, or a folded line.
    FieldName,
    /// `Content-Length` twice, or not digits only.
    ContentLength,
    /// `Transfer-Encoding` that is not one `chunked` in HTTP/1.1, or one beside a length.
    TransferEncoding,
    /// A chunk without a proper size or end.
    Chunk,
    /// A head or trailer section without end.
    TooLong,
}

impl Fault {
    pub(super) const ALL: [Self; 7] = [
        Self::Line,
        Self::RequestLine,
        Self::FieldName,
        Self::ContentLength,
        Self::TransferEncoding,
        Self::Chunk,
        Self::TooLong,
    ];
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    RequestLine,
    Fields,
    Declared {
        left: u64,
    },
    ChunkSize,
    ChunkData {
        left: u64,
    },
    ChunkEnd,
    Trailers,
    /// Behind a message.
    Between,
    Held,
}

#[derive(Debug, Default, Clone, Copy)]
struct Head {
    http_10: bool,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

impl Framing {
    /// Takes the next bytes of the stream.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Scanned {
        let mut at = 0;
        self.escapes.clear();
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            self.scanned = at;
            if matches!(self.state, State::Between | State::Held) {
                return Scanned::Held(at);
            }
            match self.step(rest) {
                Ok(taken) => at += taken,
                Err((good, fault)) => return Scanned::Refused(at + good, fault),
            }
        }
        Scanned::All
    }

    /// What the next byte will belong to.
    pub(super) fn phase(&self) -> Phase {
        match self.state {
            State::Between => Phase::Idle,
            State::RequestLine if self.section_bytes == 0 => Phase::Idle,
            State::RequestLine | State::Fields => Phase::Head,
            State::Declared { .. } => Phase::DeclaredBody,
            State::ChunkSize | State::ChunkData { .. } | State::ChunkEnd | State::Trailers => {
                Phase::ChunkedBody
            }
            State::Held => Phase::Held,
        }
    }

    /// Returns true behind a message: what follows is another one, in its turn.
    pub(super) fn is_between(&self) -> bool {
        self.state == State::Between
    }

    /// It is the turn of the next message.
    pub(super) fn proceed(&mut self) {
        if self.is_between() {
            self.state = State::RequestLine;
        }
    }

    /// Where, in the bytes scanned last, those of targets stand that have to be percent-encoded.
    pub(super) fn escapes(&self) -> &[usize] {
        &self.escapes
    }

    /// Request heads that were complete so far.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// Takes part of `bytes` (at least one byte of them), or says how many are still good.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, (usize, Fault)> {
        match self.state {
            State::Declared { left } => Ok(self.skip(bytes, left, Self::end_message)),
            State::ChunkData { left } => {
                Ok(self.skip(bytes, left, |this| this.state = State::ChunkEnd))
            }
            State::RequestLine
            | State::Fields
            | State::ChunkSize
            | State::ChunkEnd
            | State::Trailers
            | State::Between
            | State::Held => self.line_bytes(bytes),
        }
    }

    fn skip(&mut self, bytes: &[u8], left: u64, then: fn(&mut Self)) -> usize {
        let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - taken as u64;
        match &mut self.state {
            State::Declared { left: place } | State::ChunkData { left: place } => *place = left,
            State::RequestLine
            | State::Fields
            | State::ChunkSize
            | State::ChunkEnd
            | State::Trailers
            | State::Between
            | State::Held => {}
        }
        if left == 0 {
            then(self);
        }
        taken
    }

    /// Collects a line up to its LF, then acts on it.
    fn line_bytes(&mut self, bytes: &[u8]) -> Result<usize, (usize, Fault)> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = end.map_or(bytes, |end| bytes.split_at(end).0);
        self.section_bytes += part.len() + usize::from(end.is_some());
        if self.section_bytes > self.section_bytes_max() {
            return Err((0, Fault::TooLong));
        }
        if self.state == State::RequestLine {
            self.note_escapes(part);
        }
        self.line.extend_from_slice(part);
        let Some(end) = end else { return Ok(part.len()) };

        let line = std::mem::take(&mut self.line);
        self.complete_line(&line).map_err(|fault| (end, fault))?;
        self.line = line;
        self.line.clear();
        Ok(end + 1)
    }

    fn note_escapes(&mut self, part: &[u8]) {
        for (at, byte) in part.iter().enumerate() {
            self.spaces += usize::from(*byte == b' ');
            if self.spaces == 1 && needs_encoding(*byte) {
                self.escapes.push(self.scanned + at);
            }
        }
    }

    /// hyper's own limit, which answers 431, is met before this one.
    fn section_bytes_max(&self) -> usize {
        match self.state {
            State::ChunkSize | State::ChunkEnd => CHUNK_LINE_BYTES_MAX,
            State::RequestLine
            | State::Fields
            | State::Declared { .. }
            | State::ChunkData { .. }
            | State::Trailers
            | State::Between
            | State::Held => 2 * HEAD_BYTES_MAX,
        }
    }

    fn complete_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        let line = line.strip_suffix(b"\r").ok_or(Fault::Line)?;
        if line.iter().any(|byte| is_forbidden_control(*byte)) {
            return Err(Fault::Line);
        }
        match self.state {
            State::RequestLine => self.request_line(line),
            State::Fields if line.is_empty() => {
                self.end_head();
                Ok(())
            }
            State::Fields => self.field(line),
            State::ChunkSize => self.chunk_size(line),
            State::ChunkEnd => self.chunk_end(line),
            State::Trailers if line.is_empty() => {
                self.end_message();
                Ok(())
            }
            State::Trailers => trailer(line),
            State::Declared { .. } | State::ChunkData { .. } | State::Between | State::Held => {
                Ok(())
            }
        }
    }

    /// Empty lines in front of a request are tolerated (RFC 9112 §2.2).
    fn request_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        self.spaces = 0;
        if line.is_empty() {
            return Ok(());
        }
        let mut parts = line.split(|byte| *byte == b' ');
        let (method, target, version) = (parts.next(), parts.next(), parts.next());
        let (Some(method), Some(target), None) = (method, target, parts.next()) else {
            return Err(Fault::RequestLine);
        };
        if !is_token(method) || !is_target(target) || (target == b"*" && method != b"OPTIONS") {
            return Err(Fault::RequestLine);
        }
        let http_10 = match version {
            Some(b"HTTP/1.1") => false,
            Some(b"HTTP/1.0") => true,
            _ => return Err(Fault::RequestLine),
        };
        self.head = Head { http_10, ..Head::default() };
        self.state = State::Fields;
        Ok(())
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Fault> {
        let (name, value) = split_field(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            if self.head.length.is_some() || line.contains(&b'\t') {
                return Err(Fault::ContentLength);
            }
            self.head.length = Some(decimal(value).ok_or(Fault::ContentLength)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let is_chunked = value.eq_ignore_ascii_case(b"chunked") && !line.contains(&b'\t');
            if self.head.chunked || self.head.http_10 || !is_chunked {
                return Err(Fault::TransferEncoding);
            }
            self.head.chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.head.upgrade = true;
        }
        if self.head.chunked && self.head.length.is_some() {
            return Err(Fault::TransferEncoding);
        }
        Ok(())
    }

    fn end_head(&mut self) {
        self.heads += 1;
        match (self.head.chunked, self.head.length) {
            (true, _) => self.begin(State::ChunkSize),
            (false, None | Some(0)) => self.end_message(),
            (false, Some(left)) => self.begin(State::Declared { left }),
        }
    }

    fn chunk_size(&mut self, line: &[u8]) -> Result<(), Fault> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (digits, rest) = line.split_at(digits);
        if !rest.is_empty() && !rest.starts_with(b";") {
            return Err(Fault::Chunk);
        }
        match hexadecimal(digits).ok_or(Fault::Chunk)? {
            0 => self.begin(State::Trailers),
            left => self.begin(State::ChunkData { left }),
        }
        Ok(())
    }

    fn chunk_end(&mut self, line: &[u8]) -> Result<(), Fault> {
        if !line.is_empty() {
            return Err(Fault::Chunk);
        }
        self.begin(State::ChunkSize);
        Ok(())
    }

    fn end_message(&mut self) {
        self.begin(if self.head.upgrade { State::Held } else { State::Between });
    }

    fn begin(&mut self, state: State) {
        self.state = state;
        self.section_bytes = 0;
    }
}

fn trailer(line: &[u8]) -> Result<(), Fault> {
    let (name, _) = split_field(line)?;
    if name.eq_ignore_ascii_case(b"content-length") {
        return Err(Fault::ContentLength);
    }
    if name.eq_ignore_ascii_case(b"transfer-encoding") {
        return Err(Fault::TransferEncoding);
    }
    Ok(())
}

fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Fault::FieldName)?;
    let (name, rest) = line.split_at(colon);
    if !is_token(name) {
        return Err(Fault::FieldName);
    }
    Ok((name, rest.strip_prefix(b":").unwrap_or(rest).trim_ascii()))
}

/// A fragment is for browsers: some readers cut it off, others refuse it (RFC 9112 §3.2). What is beyond ASCII is passed on encoded, if it is
/// UTF-8: of other bytes no two readers make the same, and HTTP/2 takes none here.
fn is_target(text: &[u8]) -> bool {
    let is_fit = |byte: &u8| byte.is_ascii_graphic() || !byte.is_ascii();
    !text.is_empty()
        && text.iter().all(|byte| is_fit(byte) && *byte != b'#')
        && std::str::from_utf8(text).is_ok()
}

/// A `token` of RFC 9110 §5.6.2.
pub(super) fn is_token(text: &[u8]) -> bool {
    let is_token_byte =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_token_byte)
}

/// Every control byte but the tab, which may stand in a field value.
pub(super) fn is_forbidden_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

fn decimal(digits: &[u8]) -> Option<u64> {
    number(digits, CONTENT_LENGTH_DIGITS_MAX, 10)
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    number(digits, CHUNK_SIZE_DIGITS_MAX, 16)
}

fn number(digits: &[u8], digits_max: usize, radix: u32) -> Option<u64> {
    if digits.is_empty() || digits.len() > digits_max {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = char::from(*digit).to_digit(radix)?;
        Some(sum * u64::from(radix) + u64::from(digit))
    })
}

#[cfg(test)]
mod tests;
