//! What is taken out of a head, and what is put in, on the way through.
//!
//! From a request: everything that speaks about one connection only, everything that claims who the
//! visitor is or what it has asked for (`claims.rs`), then our own statement goes in. From a response: what speaks about one connection only, and our own
//! header of an error page. The `Host` header stays as the visitor wrote it, unless whoever publishes the
//! service wants it called otherwise; the visitor's word is in our statement either way.
//!
//! Source: RFC 9110 §7.6.1 (Connection), §10.1.4 (TE), RFC 7239 (Forwarded).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bore_policy::CanonicalAddress;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use uuid::Uuid;

use super::claims::is_claim;
use super::limits::REQUEST_ID_BYTES_MAX;
use super::pages::BORE_ERROR;
use super::settings::Scheme;

/// Who asks, as the origin is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Statement {
    pub(super) visitor: SocketAddr,
    pub(super) scheme: Scheme,
    pub(super) port: u16,
}

/// Makes a visitor's head fit for its origin.
pub(super) fn clean_request(headers: &mut HeaderMap, statement: Statement) {
    let trailers = lists(headers, &TE, "trailers");
    remove_hop_by_hop(headers);
    headers.remove(EXPECT);
    remove_claims(headers);
    state(headers, statement);
    identify(headers);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Some origins read trailers as if they were headers, so the same claims go.
pub(super) fn clean_trailers(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    remove_claims(trailers);
    trailers.remove(HOST);
}

/// Makes an origin's head fit for the visitor.
pub(super) fn clean_response(headers: &mut HeaderMap) {
    // A length beside chunks does not hold (RFC 9112 §6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    remove_hop_by_hop(headers);
    headers.remove(BORE_ERROR);
}

/// For how long an origin keeps an idle connection, if it says so (RFC 2068 §19.7.1.1).
pub(super) fn idle_max(headers: &HeaderMap) -> Option<Duration> {
    options(headers, &KEEP_ALIVE).find_map(|option| {
        let (name, seconds) = option.split_once('=')?;
        let is_timeout = name.trim().eq_ignore_ascii_case("timeout");
        is_timeout.then(|| seconds.trim().parse().ok().map(Duration::from_secs))?
    })
}

/// Whether the visitor waits with its body until it is told to go on (RFC 9110 §10.1.1).
pub(super) fn expects_continue(headers: &HeaderMap) -> bool {
    lists(headers, &EXPECT, "100-continue")
}

/// The protocol that a head asks to change to, when it really does. `h2c` is not offered: it would
/// carry requests that the edge does not see.
pub(super) fn upgrade_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut protocols = headers.get_all(UPGRADE).iter();
    let (Some(protocol), None) = (protocols.next(), protocols.next()) else { return None };
    let is_h2c = protocol
        .to_str()
        .is_ok_and(|text| text.split(',').any(|name| name.trim().eq_ignore_ascii_case("h2c")));
    (!is_h2c && lists(headers, &CONNECTION, "upgrade")).then(|| protocol.clone())
}

/// Asks for, or grants, a change to `protocol`.
pub(super) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(UPGRADE, protocol);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
}

/// True when one of the comma-separated values of `name` is `token`.
fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    options(headers, name).any(|option| option.eq_ignore_ascii_case(token))
}

fn options<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

/// `Host` and the length stay even when `Connection` names them: without them the message would
/// be another one.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = options(headers, &CONNECTION)
        .filter_map(|option| option.parse().ok())
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn remove_claims(headers: &mut HeaderMap) {
    let claims: Vec<HeaderName> =
        headers.keys().filter(|name| is_claim(name.as_str())).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

fn state(headers: &mut HeaderMap, statement: Statement) {
    let visitor = CanonicalAddress::new(statement.visitor.ip()).ip();
    let host = headers.get(HOST).cloned();
    let forwarded = forwarded(visitor, host.as_ref(), statement.scheme);
    set(headers, X_FORWARDED_FOR, &visitor.to_string());
    set(headers, X_REAL_IP, &visitor.to_string());
    set(headers, X_FORWARDED_PROTO, statement.scheme.as_str());
    set(headers, X_FORWARDED_PORT, &statement.port.to_string());
    set(headers, FORWARDED, &forwarded);
    if let Some(host) = host {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

fn forwarded(visitor: IpAddr, host: Option<&HeaderValue>, scheme: Scheme) -> String {
    let by_for = match visitor {
        IpAddr::V4(v4) => format!("for={v4}"),
        IpAddr::V6(v6) => format!("for=\"[{v6}]\""),
    };
    let host = host.and_then(|value| value.to_str().ok()).unwrap_or_default();
    format!("{by_for};host=\"{host}\";proto={}", scheme.as_str())
}

/// One id by which visitor, relay and origin speak of a request: the visitor's, if it is fit for a log.
fn identify(headers: &mut HeaderMap) {
    let mut given = headers.get_all(X_REQUEST_ID).iter();
    let fit = matches!((given.next(), given.next()), (Some(id), None) if is_fit(id.as_bytes()));
    if !fit {
        set(headers, X_REQUEST_ID, &Uuid::now_v7().to_string());
    }
}

fn is_fit(id: &[u8]) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// Values are made of addresses, numbers and a checked host: all can stand in a header.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    KEEP_ALIVE,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("http2-settings"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_of_the_visitor_are_replaced_by_ours() {
        let headers = cleaned(&[
            ("host", "a.example:8080"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x_forwarded_for", "6.6.6.6"),
            ("x.forwarded.proto", "https"),
            ("x-forwarded-prefix", "/admin"),
            ("forwarded", "for=6.6.6.6"),
            ("x_real_ip", "6.6.6.6"),
            ("content_length", "0"),
            ("x-own_name", "kept"),
        ]);
        assert_eq!(headers.get("x-forwarded-for").unwrap(), "192.0.2.7");
        assert_eq!(headers.get("x-real-ip").unwrap(), "192.0.2.7");
        assert_eq!(headers.get("x-forwarded-proto").unwrap(), "http");
        assert_eq!(headers.get("x-forwarded-host").unwrap(), "a.example:8080");
        assert_eq!(headers.get("x-forwarded-port").unwrap(), "80");
        assert_eq!(
            headers.get("forwarded").unwrap(),
            "for=192.0.2.7;host=\"a.example:8080\";proto=http"
        );
        assert_eq!(headers.get("x-own_name").unwrap(), "kept");
        assert_eq!(headers.len(), 9, "{headers:?}");
    }

    #[test]
    fn what_connection_names_goes_but_for_host_and_length() {
        let headers = cleaned(&[
            ("host", "a.example"),
            ("connection", "close, X-Secret, host, content-length, x-forwarded-for"),
            ("x-secret", "1"),
            ("content-length", "5"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "x"),
        ]);
        assert!(!headers.contains_key("x-secret") && !headers.contains_key("connection"));
        assert!(
            !headers.contains_key("keep-alive") && !headers.contains_key("proxy-authorization")
        );
        assert_eq!(headers.get("host").unwrap(), "a.example");
        assert_eq!(headers.get("content-length").unwrap(), "5");
        assert_eq!(headers.get("x-forwarded-for").unwrap(), "192.0.2.7");
    }

    #[test]
    fn a_request_keeps_an_id_that_is_fit_for_a_log_and_gets_one_otherwise() {
        let id = |given: &[&str]| {
            let fields: Vec<_> = given.iter().map(|id| ("x-request-id", *id)).collect();
            let headers = cleaned(&fields);
            let mut ids = headers.get_all("x-request-id").iter();
            let id = ids.next().unwrap().to_str().unwrap().to_owned();
            assert!(ids.next().is_none());
            id
        };
        assert_eq!(id(&["abc-1"]), "abc-1");
        for unfit in [&[][..], &["a", "b"], &["a b"], &[""], &["x".repeat(200).as_str()]] {
            assert_eq!(id(unfit).len(), 36, "{unfit:?}");
        }
    }

    #[test]
    fn an_origin_says_how_long_it_keeps_an_idle_connection() {
        let told = |text| idle_max(&map(&[("keep-alive", text)])).map(|idle| idle.as_secs());
        assert_eq!(told("timeout=5"), Some(5));
        assert_eq!(told("max=100, Timeout = 15"), Some(15));
        for nothing in ["max=100", "timeout=", "timeout=-1", "timeout", "5"] {
            assert_eq!(told(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn only_trailers_survive_of_te() {
        assert_eq!(cleaned(&[("te", "gzip, trailers")]).get("te").unwrap(), "trailers");
        assert!(!cleaned(&[("te", "gzip")]).contains_key("te"));
    }

    #[test]
    fn an_upgrade_needs_both_headers_and_is_never_h2c() {
        let asks = |fields: &[(&str, &str)]| upgrade_protocol(&map(fields)).is_some();
        assert!(asks(&[("upgrade", "websocket"), ("connection", "keep-alive, Upgrade")]));
        assert!(!asks(&[("upgrade", "websocket")]));
        assert!(!asks(&[("connection", "upgrade")]));
        assert!(!asks(&[("upgrade", "h2c"), ("connection", "upgrade, http2-settings")]));
        assert!(!asks(&[("upgrade", "websocket, H2C"), ("connection", "upgrade")]));
    }

    fn cleaned(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = map(fields);
        let visitor = "[::ffff:192.0.2.7]:4000".parse().unwrap();
        clean_request(&mut headers, Statement { visitor, scheme: Scheme::Http, port: 80 });
        headers
    }

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let pairs = fields.iter().map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        });
        pairs.collect()
    }
}
