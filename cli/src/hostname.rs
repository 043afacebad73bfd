//! Hostnames as people write them: in any case, with a dot at the end, with a port that means nothing, in any script.
//!
//! On the wire a name has its ASCII form (`xn--…`, RFC 5891), made by UTS 46 as browsers make it. People are shown both, the ASCII form first,
//! so that a look-alike in another script is seen for what it is.

use std::net::IpAddr;

use bore_policy::PublicHost;
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

/// What `--host` takes: one label, a whole hostname, or `*.` and a hostname; canonical.
pub(crate) fn parse_hostname(text: &str) -> Result<String, String> {
    let name = without_port(text)?;
    if name.parse::<IpAddr>().is_ok() {
        return Err(format!("`{text}` is an address: a publication is reached by a name"));
    }
    let (star, base) = name.strip_prefix("*.").map_or(("", name), |base| ("*.", base));
    let ascii = to_ascii(base).map_err(|()| format!("`{text}` is no hostname in any script"))?;
    let host = PublicHost::parse(&format!("{star}{ascii}")).map_err(|error| error.to_string())?;
    Ok(host.to_string())
}

/// `xn--bcher-kva.example (bücher.example)`, or the name alone where both forms are one.
pub(crate) fn both_forms(name: &str) -> String {
    let unicode = in_own_script(name).map(|unicode| format!(" ({unicode})"));
    format!("{name}{}", unicode.unwrap_or_default())
}

/// The name in the script that it is made of, if that is not ASCII.
pub(crate) fn in_own_script(name: &str) -> Option<String> {
    if !name.split('.').any(|label| label.starts_with(ACE_PREFIX)) {
        return None;
    }
    let (unicode, mistakes) =
        Uts46::new().to_unicode(name.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow);
    (mistakes.is_ok() && unicode != name).then(|| unicode.into_owned())
}

/// A text of the relay, with both forms of each name in it.
pub(crate) fn with_both_forms(text: &str) -> String {
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '*');
    let mut shown = String::with_capacity(text.len());
    let mut word = String::new();
    for character in text.chars().chain(['\n']) {
        if in_name(character) {
            word.push(character);
            continue;
        }
        shown.push_str(&both_forms(&std::mem::take(&mut word)));
        shown.push(character);
    }
    shown.pop();
    shown
}

/// A port says nothing about a name that shares the relay's ports; what is no port is part of a wrong name.
fn without_port(text: &str) -> Result<&str, String> {
    match text.split_once(':') {
        None => Ok(text),
        Some((name, port)) if !name.is_empty() && port.parse::<u16>().is_ok() => Ok(name),
        Some(_) => Err(format!("`{text}` is no hostname: write it without https:// and path")),
    }
}

/// ASCII goes through as it is written, so that the mistakes in it are named by the house's own rules.
fn to_ascii(name: &str) -> Result<String, ()> {
    if name.is_ascii() {
        return Ok(name.to_owned());
    }
    let ascii = Uts46::new().to_ascii(
        name.as_bytes(),
        AsciiDenyList::URL,
        Hyphens::Check,
        DnsLength::VerifyAllowRootDot,
    );
    ascii.map(|name| name.into_owned()).map_err(drop)
}

/// How a label begins that has another form.
const ACE_PREFIX: &str = "xn--";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_name_is_one_name() {
        let table = [
            ("App", "app"),
            ("shop.Example.com.", "shop.example.com"),
            ("shop.example.com:443", "shop.example.com"),
            ("*.Shop.example.com", "*.shop.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example.", "xn--bcher-kva.example"),
            ("*.bücher.example", "*.xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ];
        for (text, expected) in table {
            assert_eq!(parse_hostname(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_hostname_is_refused() {
        for text in [
            "",
            "a b",
            "a_b.example",
            "https://example.com",
            "example.com/path",
            "a:b",
            ":80",
            "192.0.2.1",
            "[::1]",
            "::1",
            "a.*.example",
            "bü cher.example",
            "\u{202e}a.example",
            "xn--\u{fc}.example",
        ] {
            assert!(parse_hostname(text).is_err(), "{text}");
        }
    }

    #[test]
    fn both_forms_are_shown_where_they_differ() {
        assert_eq!(both_forms("xn--bcher-kva.example"), "xn--bcher-kva.example (bücher.example)");
        assert_eq!(
            both_forms("*.xn--bcher-kva.example"),
            "*.xn--bcher-kva.example (*.bücher.example)"
        );
        assert_eq!(both_forms("app.example"), "app.example");
        assert_eq!(both_forms("xn--a.example"), "xn--a.example", "no text in any script");
    }

    #[test]
    fn names_in_a_text_get_their_second_form() {
        let text = "`*.xn--bcher-kva.example`: held by “xn--bcher-kva” and a.example";
        assert_eq!(
            with_both_forms(text),
            "`*.xn--bcher-kva.example (*.bücher.example)`: held by “xn--bcher-kva (bücher)” and a.example"
        );
        for text in ["", "No name, no Change.", "é", "xn--", "xn--xn--"] {
            assert_eq!(with_both_forms(text), text);
        }
    }
}
