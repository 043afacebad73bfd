//! The head of an origin's answer, made readable: what browsers, nginx or Go skip or understand must not make a service "down".
//!
//! | in the head | what becomes of it |
//! |---|---|
//! | `ICY 200 OK` (SHOUTcast) | read as HTTP/1.0 |
//! | a control byte in the reason | taken out |
//! | a space before the colon | taken out (RFC 9112 §5.1) |
//! | a second carriage return at the end of a line | taken out, as nginx does |
//! | a folded line | joined to the line before it with a space (RFC 9112 §5.2) |
//! | a line without a colon, or whose name is no token | taken out |
//! | a line with a control byte in its value | taken out |
//! | a line beyond the limit | taken out |
//! | `Content-Length:` or `Transfer-Encoding:` without a value, `Transfer-Encoding: identity` | taken out: they say nothing |
//! | equal lengths, in several lines or one (`3, 3`) | become one (RFC 9110 §8.6) |
//!
//! Where a length or an encoding cannot be read the head stays as it is, so that hyper refuses it: to guess where an answer ends would let one
//! answer be taken for two. What leaves for the visitor is written anew in any case.
//!
//! No IO.

use super::framing::{is_forbidden_control, is_token};
use super::limits::ORIGIN_HEADERS_MAX;

/// A head that was changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Repaired {
    pub(super) head: Vec<u8>,
    /// The lines that were changed or taken out, and why.
    pub(super) notes: Vec<Note>,
}

/// One line that was changed, or cannot be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// Its beginning: the name, as far as there is one.
    pub(super) line: String,
    pub(super) why: Oddity,
}

/// What is odd about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub(super) enum Oddity {
    #[error("its status line is not of HTTP")]
    StatusLine,
    #[error("it has a space before the colon")]
    Space,
    #[error("it is folded")]
    Folded,
    #[error("it ends in more than one carriage return")]
    Returns,
    #[error("it has no proper name and colon")]
    Name,
    #[error("it holds a control byte")]
    Control,
    #[error("it is one too many")]
    TooMany,
    #[error("it has no value")]
    Empty,
    #[error("it says the same twice")]
    Twice,
}

impl Oddity {
    /// Returns true if the line is lost to the visitor, not only written otherwise.
    pub(super) fn is_loss(self) -> bool {
        matches!(self, Self::Name | Self::Control | Self::TooMany)
    }
}

/// Looks for the end of a head that comes in pieces, at each byte once: pieces may be as small as bytes.
#[derive(Debug, Default)]
pub(super) struct End {
    /// Where the line begins that has not ended yet.
    line: usize,
    /// How much of it was looked at.
    seen: usize,
    has_begun: bool,
}

impl End {
    /// The length of the head at the beginning of `bytes`, with its empty line, if all of it is there. `bytes` begin as they did at the last call.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            let unseen = bytes.get(self.seen..)?;
            let Some(at) = unseen.iter().position(|byte| *byte == b'\n') else {
                self.seen = bytes.len();
                return None;
            };
            self.seen += at + 1;
            let line = bytes.get(self.line..self.seen)?;
            self.line = self.seen;
            if !bare(line).is_empty() {
                self.has_begun = true;
            } else if self.has_begun {
                return Some(self.seen);
            }
        }
    }
}

/// The length of the head at the beginning of `bytes`, with its empty line, if all of it is there.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    End::default().find(bytes)
}

/// Returns true if `bytes` may become a head: what is none is not waited for.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let begun = begun(bytes);
    [&b"HTTP/"[..], b"ICY "].iter().any(|start| {
        let compared = begun.len().min(start.len());
        begun.get(..compared) == start.get(..compared)
    })
}

/// Without empty lines in front, the last of which may not be whole yet.
fn begun(mut bytes: &[u8]) -> &[u8] {
    while let [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] = bytes {
        bytes = rest;
    }
    if bytes == b"\r" { &[] } else { bytes }
}

/// The status of a head that is there; `None` where it cannot be read.
pub(super) fn status(head: &[u8]) -> Option<u16> {
    let digits = begun(head).split(|byte| *byte == b' ').nth(1)?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The head with its odd lines repaired; `None` where there are none.
pub(super) fn repaired(head: &[u8]) -> Option<Repaired> {
    if is_ordinary(head) {
        return None;
    }
    let mut lines = lines(head);
    let mut work = Work::default();
    work.status_line(lines.next().unwrap_or_default());
    for line in work.unfolded(lines) {
        work.line(&line);
    }
    work.lengths();
    (!work.notes.is_empty()).then(|| work.finish())
}

/// The lines of a head without their ends, its status line first.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = head.split(|byte| *byte == b'\n').map(bare);
    let mut has_begun = false;
    lines.skip_while(|line| line.is_empty()).take_while(move |line| {
        let is_first = !std::mem::replace(&mut has_begun, true);
        is_first || !line.is_empty()
    })
}

/// Finds nothing to repair without copying anything, as in nearly every head.
fn is_ordinary(head: &[u8]) -> bool {
    let mut fields = 0;
    let mut lengths = 0;
    let mut lines = lines(head);
    let is_http = lines.next().is_some_and(|line| {
        line.starts_with(b"HTTP/") && !line.iter().any(|byte| is_forbidden_control(*byte))
    });
    is_http
        && lines.all(|line| {
            let Some((name, value)) = split(line) else { return false };
            fields += 1;
            lengths += u32::from(name.eq_ignore_ascii_case(CONTENT_LENGTH));
            let is_length = name.eq_ignore_ascii_case(CONTENT_LENGTH);
            let is_plain = !is_length || (!value.is_empty() && !value.contains(&b','));
            let says_nothing = name.eq_ignore_ascii_case(TRANSFER_ENCODING)
                && (value.is_empty() || value.eq_ignore_ascii_case(IDENTITY));
            let is_clean = !line.iter().any(|byte| is_forbidden_control(*byte));
            is_token(name) && is_plain && is_clean && !says_nothing && lengths < 2
        })
        && fields <= ORIGIN_HEADERS_MAX
}

/// The name, as it stands before the colon, and the value without blanks around it.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, rest) = line.split_at(colon);
    Some((name, without_blanks(rest.strip_prefix(b":").unwrap_or(rest))))
}

/// Without spaces and tabs around it (RFC 9110 §5.6.3). Other white space, as a form feed, is a control byte.
fn without_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[derive(Default)]
struct Work {
    status: Vec<u8>,
    fields: Vec<Field>,
    notes: Vec<Note>,
}

struct Field {
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Field {
    fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    fn decides_framing(&self) -> bool {
        self.is(CONTENT_LENGTH) || self.is(TRANSFER_ENCODING)
    }

    fn says_nothing(&self) -> bool {
        let is_identity = self.is(TRANSFER_ENCODING) && self.value.eq_ignore_ascii_case(IDENTITY);
        (self.decides_framing() && self.value.is_empty()) || is_identity
    }
}

impl Work {
    fn status_line(&mut self, line: &[u8]) {
        let text: Vec<u8> =
            line.iter().copied().filter(|byte| !is_forbidden_control(*byte)).collect();
        self.status = match text.strip_prefix(b"ICY ") {
            Some(rest) => [b"HTTP/1.0 ", rest].concat(),
            None => text,
        };
        if self.status != line {
            self.note(line, Oddity::StatusLine);
        }
    }

    /// Lines with what is folded to them; nothing comes before the first.
    fn unfolded<'l>(&mut self, lines: impl Iterator<Item = &'l [u8]>) -> Vec<Vec<u8>> {
        let mut whole: Vec<Vec<u8>> = Vec::new();
        for line in lines {
            if !line.starts_with(b" ") && !line.starts_with(b"\t") {
                whole.push(line.to_vec());
                continue;
            }
            let last = whole.last_mut();
            let Some(last) = last else {
                self.note(line, Oddity::Folded);
                continue;
            };
            last.push(b' ');
            last.extend_from_slice(without_blanks(line));
            self.note(last, Oddity::Folded);
        }
        whole
    }

    fn line(&mut self, line: &[u8]) {
        let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b' ' | b'\t'));
        let (line, after) = line.split_at(end.map_or(0, |last| last + 1));
        if after.contains(&b'\r') {
            self.note(line, Oddity::Returns);
        }
        let Some((spaced, value)) = split(line) else { return self.note(line, Oddity::Name) };
        let name = without_blanks(spaced);
        if !is_token(name) {
            return self.note(line, Oddity::Name);
        }
        if name.len() < spaced.len() {
            self.note(line, Oddity::Space);
        }
        let field = Field { name: name.to_vec(), value: value.to_vec() };
        match self.fault(&field) {
            Some(why) => self.note(line, why),
            None => self.fields.push(field),
        }
    }

    /// Why a field is taken out.
    fn fault(&self, field: &Field) -> Option<Oddity> {
        if field.says_nothing() {
            Some(Oddity::Empty)
        } else if field.decides_framing() {
            None
        } else if field.value.iter().any(|byte| is_forbidden_control(*byte)) {
            Some(Oddity::Control)
        } else {
            (self.fields.len() >= ORIGIN_HEADERS_MAX).then_some(Oddity::TooMany)
        }
    }

    /// Makes one length of several equal ones.
    fn lengths(&mut self) {
        let is_length = |field: &Field| field.is(CONTENT_LENGTH);
        let said = self.fields.iter().filter(|field| is_length(field));
        let mut values = said.flat_map(|field| field.value.split(|byte| *byte == b','));
        let Some(first) = values.next().map(<[u8]>::trim_ascii).map(<[u8]>::to_vec) else { return };
        let rest: Vec<&[u8]> = values.map(<[u8]>::trim_ascii).collect();
        let is_number = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
        if rest.is_empty() || !is_number || rest.iter().any(|other| *other != first) {
            return;
        }
        self.note(CONTENT_LENGTH, Oddity::Twice);
        let mut is_first = true;
        self.fields.retain(|field| !is_length(field) || std::mem::take(&mut is_first));
        if let Some(kept) = self.fields.iter_mut().find(|field| is_length(field)) {
            kept.value = first;
        }
    }

    fn note(&mut self, line: &[u8], why: Oddity) {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let shown = name.get(..name.len().min(NOTED_BYTES_MAX)).unwrap_or_default();
        let line = shown.escape_ascii().to_string();
        self.notes.push(Note { line, why });
    }

    fn finish(self) -> Repaired {
        let mut head = self.status;
        head.extend(b"\r\n");
        for field in &self.fields {
            for part in [&field.name[..], b": ", &field.value, b"\r\n"] {
                head.extend(part);
            }
        }
        head.extend(b"\r\n");
        Repaired { head, notes: self.notes }
    }
}

/// Without its end.
fn bare(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

const CONTENT_LENGTH: &[u8] = b"content-length";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding";
const IDENTITY: &[u8] = b"identity";

/// Bytes of a line that are named.
const NOTED_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_head_is_left_alone() {
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: a\tb \u{fc}\r\n\r\n",
            "HTTP/1.1 200 OK\nX-A:b\nX-B:\n\n",
            "\r\nHTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
        ] {
            assert_eq!(repaired(head.as_bytes()), None, "{head:?}");
        }
    }

    #[test]
    fn odd_lines_are_repaired_or_taken_out() {
        for (odd, wanted, why) in [
            ("X-A : b", "X-A: b\r\n", Oddity::Space),
            ("Transfer-Encoding : chunked", "Transfer-Encoding: chunked\r\n", Oddity::Space),
            ("X-A: b\r\n  c", "X-A: b c\r\n", Oddity::Folded),
            ("Content-Length:\r\n 2", "Content-Length: 2\r\n", Oddity::Folded),
            (" X-A: b", "", Oddity::Folded),
            ("PHP Warning", "", Oddity::Name),
            ("X-Foo(1): b", "", Oddity::Name),
            (": b", "", Oddity::Name),
            ("Set-Cookie: a=\u{1}b", "", Oddity::Control),
            ("X-A: b\r", "X-A: b\r\n", Oddity::Returns),
            ("Content-Length: 2\r\r", "Content-Length: 2\r\n", Oddity::Returns),
            ("Content-Length: 2\r \r", "Content-Length: 2\r\n", Oddity::Returns),
            ("X-A: \rb", "", Oddity::Control),
            ("X-A: \u{c}b", "", Oddity::Control),
            ("X-A\u{c}: b", "", Oddity::Name),
            ("X-A: \u{7f}", "", Oddity::Control),
            ("Content-Length:", "", Oddity::Empty),
            ("Transfer-Encoding: identity", "", Oddity::Empty),
            ("Transfer-Encoding:", "", Oddity::Empty),
            ("Content-Length: 3, 3", "Content-Length: 3\r\n", Oddity::Twice),
            ("content-length: 3\r\nContent-Length: 3", "content-length: 3\r\n", Oddity::Twice),
        ] {
            let head = format!("HTTP/1.1 200 OK\r\n{odd}\r\nX-B: c\r\n\r\n");
            let repaired = repaired(head.as_bytes()).unwrap_or_else(|| panic!("{odd:?}"));
            let shown = String::from_utf8_lossy(&repaired.head).into_owned();
            assert_eq!(shown, format!("HTTP/1.1 200 OK\r\n{wanted}X-B: c\r\n\r\n"), "{odd:?}");
            assert_eq!(repaired.notes.last().map(|note| note.why), Some(why), "{odd:?}");
        }
    }

    #[test]
    fn what_is_folded_to_a_line_that_goes_goes_with_it() {
        let head = "HTTP/1.1 200 OK\r\nX-A: b\r\nX (1): c\r\n d\r\nX-B: e\r\n f\u{1}\r\n\r\n";
        let head = repaired(head.as_bytes()).unwrap().head;
        assert_eq!(head, b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n");
    }

    #[test]
    fn a_length_that_cannot_be_read_stays_and_is_refused_later() {
        for head in
            ["Content-Length: 3, 4", "Content-Length: x", "Content-Length: 3\r\nContent-Length: 4"]
        {
            assert_eq!(repaired(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes()), None);
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 3\u{1}\r\nX (1): a\r\n\r\n";
        let head = String::from_utf8(repaired(head.as_bytes()).unwrap().head).unwrap();
        assert!(head.contains("Content-Length: 3\u{1}\r\n"), "{head:?}");
    }

    #[test]
    fn shoutcast_and_control_bytes_in_a_reason_are_read() {
        let repaired = |head: &str| repaired(head.as_bytes()).unwrap().head;
        assert_eq!(
            repaired("ICY 200 OK\r\nicy-name: a\r\n\r\n"),
            b"HTTP/1.0 200 OK\r\nicy-name: a\r\n\r\n"
        );
        assert_eq!(repaired("HTTP/1.1 200 O\u{1}K\r\n\r\n"), b"HTTP/1.1 200 OK\r\n\r\n");
    }

    #[test]
    fn lines_beyond_the_limit_go_but_for_those_that_frame() {
        let many = "x: y\r\n".repeat(ORIGIN_HEADERS_MAX + 5);
        let head = format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 2\r\n\r\n");
        let repaired = repaired(head.as_bytes()).unwrap();
        assert_eq!(repaired.notes.len(), 5);
        assert!(repaired.head.ends_with(b"Content-Length: 2\r\n\r\n"));
    }

    #[test]
    fn a_head_ends_with_its_empty_line() {
        let head = "\r\nHTTP/1.1 200 OK\r\nX: y\r\n\r\n";
        assert_eq!(length(format!("{head}body\r\n\r\n").as_bytes()), Some(head.len()));
        assert_eq!(length(b"HTTP/1.1 200 OK\nX: y\n\nbody"), Some(22));
        for cut in 0..head.len() {
            assert_eq!(length(&head.as_bytes()[..cut]), None);
            assert!(may_begin(&head.as_bytes()[..cut]));
        }
        let mut end = End::default();
        let found = (0..=head.len()).filter_map(|cut| end.find(&head.as_bytes()[..cut]));
        assert_eq!(found.collect::<Vec<_>>(), [head.len()], "byte by byte");
        assert_eq!(status(head.as_bytes()), Some(200));
        assert!(!may_begin(b"SSH-2.0") && !may_begin(b"HTTQ") && may_begin(b"ICY 200"));
        assert!(
            may_begin(b"\n\r\n\r") && !may_begin(b"\r\r\n\n"),
            "one carriage return ends a line"
        );
    }
}
