//! Request targets that are no URIs, as curl, scripts and devices write them: `/_view/x?key="abc"`, `/a?q=<b>`, raw UTF-8.
//!
//! What may not stand in a URI is percent-encoded before anything reads the target, over HTTP/1 and HTTP/2 alike, so that decision, origin and
//! logs have the one form that RFC 3986 knows. nginx passes such bytes raw, and then it depends on the server behind it: Tomcat, Jetty, Puma
//! and hyper refuse them. Every server reads `%22` as the `"` that was meant (RFC 3987 section 3.1 maps text beyond ASCII so).
//!
//! Control bytes, spaces and `#` stay refused: they decide where a target ends.

use http::uri::PathAndQuery;

/// Returns true if `byte` may stand in a target only as `%XX`.
pub(super) fn needs_encoding(byte: u8) -> bool {
    !byte.is_ascii() || matches!(byte, b'"' | b'<' | b'>' | b'`')
}

/// Writes `byte` as `%XX`.
pub(super) fn encode(byte: u8, into: &mut Vec<u8>) {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'0');
    into.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
}

/// The same target without bytes that may not stand in it.
pub(super) fn encoded(target: PathAndQuery) -> PathAndQuery {
    if !target.as_str().bytes().any(needs_encoding) {
        return target;
    }
    let mut bytes = Vec::with_capacity(target.as_str().len() * 2);
    for byte in target.as_str().bytes() {
        if needs_encoding(byte) { encode(byte, &mut bytes) } else { bytes.push(byte) }
    }
    // Fails never: only more ordinary bytes stand in it than before.
    PathAndQuery::try_from(bytes).unwrap_or(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_stand_in_a_target_is_encoded_and_nothing_else_is() {
        let encoded = |text: &str| encoded(text.parse().unwrap()).to_string();
        assert_eq!(encoded("/\"a\"?q=f\u{fc}r"), "/%22a%22?q=f%C3%BCr");
        for text in ["/", "*", "/a%22b?c=d&e={f}|g\\h^i", "/%e2%82%ac", "/a//b/../c;d=e"] {
            assert_eq!(encoded(text), text);
        }
    }
}
