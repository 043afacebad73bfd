//! Answers of HTTP/1 as a strict reader finds them: what the relay writes to a visitor must never need lenience.

use std::io::{BufRead as _, BufReader, Read};

/// What came.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The end of the body came, as its framing says.
    pub(crate) is_whole: bool,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Reads one answer and no byte behind it.
///
/// # Errors
/// No head came, or what came could be read in two ways.
pub(crate) fn read(stream: &mut BufReader<impl Read>, to_head: bool) -> Result<Answer, String> {
    let mut answer = head(stream)?;
    while (100..200).contains(&answer.status) && answer.status != 101 {
        answer = head(stream)?;
    }
    let is_empty = to_head || answer.status < 200 || [204, 304].contains(&answer.status);
    let length = only(&answer, "content-length")?;
    let encoding = only(&answer, "transfer-encoding")?;
    answer.is_whole = match (length, encoding) {
        (Some(_), Some(_)) => return Err("a length and an encoding".to_owned()),
        _ if is_empty => true,
        (Some(length), None) => {
            let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
            let length = is_number.then(|| length.parse::<u64>().ok()).flatten();
            let length = length.ok_or_else(|| "a length that is no number".to_owned())?;
            exactly(stream, length, &mut answer.body)
        }
        (None, Some(encoding)) if encoding == "chunked" => chunks(stream, &mut answer.body)?,
        (None, Some(encoding)) => return Err(format!("encoding {encoding:?}")),
        (None, None) => to_the_end(stream, &mut answer.body),
    };
    Ok(answer)
}

fn head(stream: &mut BufReader<impl Read>) -> Result<Answer, String> {
    let first = line(stream)?;
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| format!("status line {first:?}"))?;
    let mut fields = Vec::new();
    loop {
        let line = line(stream)?;
        if line.is_empty() {
            return Ok(Answer { status, fields, ..Answer::default() });
        }
        let (name, value) = line.split_once(':').ok_or_else(|| format!("field {line:?}"))?;
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("field {line:?}"));
        }
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// A line that ends as it must and holds no control byte; bytes beyond ASCII become characters.
fn line(stream: &mut BufReader<impl Read>) -> Result<String, String> {
    let mut bytes = Vec::new();
    stream
        .by_ref()
        .take(HEAD_BYTES_MAX)
        .read_until(b'\n', &mut bytes)
        .map_err(|e| e.to_string())?;
    let line = bytes.strip_suffix(b"\r\n").ok_or_else(|| {
        let shown = bytes.get(..bytes.len().min(80)).unwrap_or_default();
        format!("no whole line: {:?}", shown.escape_ascii().to_string())
    })?;
    match line.iter().find(|byte| byte.is_ascii_control() && **byte != b'\t') {
        Some(byte) => Err(format!("control byte {byte:#x}")),
        None => Ok(line.iter().map(|byte| char::from(*byte)).collect()),
    }
}

fn only(answer: &Answer, name: &str) -> Result<Option<String>, String> {
    let mut values = answer.fields.iter().filter(|(field, _)| field == name);
    let first = values.next().map(|(_, value)| value.clone());
    if values.next().is_some() { Err(format!("two fields {name}")) } else { Ok(first) }
}

fn chunks(stream: &mut BufReader<impl Read>, body: &mut Vec<u8>) -> Result<bool, String> {
    loop {
        let Ok(size) = line(stream) else { return Ok(false) };
        let bytes = u64::from_str_radix(&size, 16).map_err(|_| format!("chunk size {size:?}"))?;
        if bytes == 0 {
            // The section of trailers ends with an empty line.
            while !line(stream)?.is_empty() {}
            return Ok(true);
        }
        if !exactly(stream, bytes, body) {
            return Ok(false);
        }
        let mut end = [0; 2];
        if stream.read_exact(&mut end).is_err() {
            return Ok(false);
        }
        if end != *b"\r\n" {
            return Err(format!("a chunk ends with {end:?}"));
        }
    }
}

/// Returns true if so many bytes came, and a test reads as many.
fn exactly(stream: &mut BufReader<impl Read>, bytes: u64, body: &mut Vec<u8>) -> bool {
    let before = body.len() as u64;
    let room = BODY_BYTES_MAX.saturating_sub(before);
    let read = stream.by_ref().take(bytes.min(room)).read_to_end(body);
    read.is_ok() && body.len() as u64 - before == bytes
}

/// Returns true if the stream ended in order before a test reads no more.
fn to_the_end(stream: &mut BufReader<impl Read>, body: &mut Vec<u8>) -> bool {
    let read = stream.by_ref().take(BODY_BYTES_MAX).read_to_end(body);
    read.is_ok() && (body.len() as u64) < BODY_BYTES_MAX
}

const HEAD_BYTES_MAX: u64 = 256 << 10;
const BODY_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_read_in_two_ways_is_noticed() {
        for hostile in [
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
            "HTTP/1.1 200 OK\r\n x: y\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
        ] {
            read(&mut BufReader::new(hostile.as_bytes()), false).unwrap_err();
        }
    }

    #[test]
    fn an_answer_is_read_to_its_end_and_no_further() {
        for (wire, is_whole) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore", true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nmore", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", false),
        ] {
            let mut stream = BufReader::new(wire.as_bytes());
            let answer = read(&mut stream, false).unwrap();
            assert_eq!((answer.text().as_str(), answer.is_whole), ("ok", is_whole), "{wire:?}");
            let mut rest = String::new();
            stream.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, if is_whole { "more" } else { "" });
        }
    }
}
