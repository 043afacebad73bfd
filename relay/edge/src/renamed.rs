//! The way back of `--host-header`: a service that is called by another name than its visitors use writes that name into its answers.
//!
//! What names the service's own host in `Location`, `Content-Location`, `Refresh` and in the `Domain` of a cookie is written as the visitor
//! knows it, as nginx does by default for redirects. Bodies stay as they are.
//!
//! Source: RFC 9110 §10.2.2, §8.7, RFC 6265 §5.2.3.

use bore_policy::OriginHost;
use http::header::{
    CONTENT_LOCATION, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, REFRESH, SET_COOKIE,
};

use super::settings::Scheme;

/// What a service is called, and what its visitor calls it.
#[derive(Debug)]
pub(super) struct Renamed {
    origin: OriginHost,
    visitor: String,
    scheme: Scheme,
}

impl Renamed {
    /// Of a request that still has the visitor's `Host`; calls the service by its own name.
    pub(super) fn set_host(headers: &mut HeaderMap, origin: OriginHost, scheme: Scheme) -> Self {
        let host = headers.get(HOST).and_then(|value| value.to_str().ok());
        let visitor = host.unwrap_or_default().to_owned();
        if let Ok(value) = HeaderValue::from_str(origin.as_str()) {
            headers.insert(HOST, value);
        }
        Self { origin, visitor, scheme }
    }

    /// Writes the visitor's name into an answer.
    pub(super) fn restore(&self, headers: &mut HeaderMap) {
        for name in [LOCATION, CONTENT_LOCATION] {
            rewrite(headers, &name, |url| self.url(url));
        }
        rewrite(headers, &REFRESH, |text| {
            let at = text.to_ascii_lowercase().find("url=")? + "url=".len();
            let (front, url) = text.split_at_checked(at)?;
            let quote = url.starts_with(['"', '\'']).then(|| url.get(..1)).flatten();
            let bare = url.strip_prefix(quote.unwrap_or_default()).unwrap_or(url);
            Some(format!("{front}{}{}", quote.unwrap_or_default(), self.url(bare)?))
        });
        rewrite(headers, &SET_COOKIE, |cookie| self.cookie(cookie));
    }

    /// A URL of the service's own, as the visitor has it.
    fn url(&self, url: &str) -> Option<String> {
        let (scheme, rest) = url.split_once("//")?;
        if !["", "http:", "https:"].contains(&scheme.to_ascii_lowercase().as_str()) {
            return None;
        }
        let end = rest.find(['/', '?', '#', '"', '\'']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let is_own = without_default(authority) == without_default(self.origin.as_str());
        let scheme =
            if scheme.is_empty() { String::new() } else { format!("{}:", self.scheme.as_str()) };
        is_own.then(|| format!("{scheme}//{}{path}", self.visitor))
    }

    /// A cookie for the service's own domain, for the visitor's. One for an address is for that host alone and needs no domain.
    fn cookie(&self, cookie: &str) -> Option<String> {
        let mut is_changed = false;
        let attributes: Vec<String> = cookie
            .split(';')
            .filter_map(|attribute| {
                let (name, domain) = attribute.split_once('=').unwrap_or((attribute, ""));
                if !name.trim().eq_ignore_ascii_case("domain") || !self.is_own(domain) {
                    return Some(attribute.to_owned());
                }
                is_changed = true;
                let host = host_of(&self.visitor);
                let is_name = host.contains(|letter: char| letter.is_ascii_alphabetic())
                    && !host.contains(':');
                is_name.then(|| format!("{name}={host}"))
            })
            .collect();
        is_changed.then(|| attributes.join(";"))
    }

    /// Returns true if a cookie of `domain` is one of the service's own host (RFC 6265 §5.1.3).
    fn is_own(&self, domain: &str) -> bool {
        let domain = domain.trim().trim_start_matches('.').to_ascii_lowercase();
        let host = host_of(self.origin.as_str()).to_ascii_lowercase();
        !domain.is_empty() && (host == domain || host.ends_with(&format!(".{domain}")))
    }
}

/// Replaces those values of `name` for which `change` has another.
fn rewrite(headers: &mut HeaderMap, name: &HeaderName, change: impl Fn(&str) -> Option<String>) {
    let http::header::Entry::Occupied(mut entry) = headers.entry(name) else { return };
    for value in entry.iter_mut() {
        let text = std::str::from_utf8(value.as_bytes()).ok();
        let changed = text.and_then(&change).map(HeaderValue::try_from);
        if let Some(Ok(changed)) = changed {
            *value = changed;
        }
    }
}

fn without_default(authority: &str) -> String {
    let authority = authority.to_ascii_lowercase();
    let bare = authority.strip_suffix(":80").or_else(|| authority.strip_suffix(":443"));
    bare.unwrap_or(&authority).to_owned()
}

/// Without a port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_to_the_services_own_host_lead_to_the_visitors() {
        for (url, wanted) in [
            ("http://127.0.0.1:3000/login", Some("https://app.example:8443/login")),
            ("HTTPS://127.0.0.1:3000?a", Some("https://app.example:8443?a")),
            ("//127.0.0.1:3000/x", Some("//app.example:8443/x")),
            ("http://127.0.0.1:3000", Some("https://app.example:8443")),
            ("http://127.0.0.1:3001/login", None),
            ("http://127.0.0.1/login", None),
            ("http://127.0.0.1:3000.evil.example/", None),
            ("http://user@127.0.0.1:3000/", None),
            ("/login", None),
            ("https://elsewhere.example/?next=http://127.0.0.1:3000/", None),
        ] {
            assert_eq!(renamed("127.0.0.1:3000").url(url).as_deref(), wanted, "{url}");
        }
        let url = renamed("intranet.local").url("http://Intranet.local:80/a");
        assert_eq!(url.as_deref(), Some("https://app.example:8443/a"));
    }

    #[test]
    fn every_field_that_names_the_host_is_restored() {
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, value: &'static str| {
            headers.append(name, HeaderValue::from_static(value));
        };
        put(CONTENT_LOCATION, "http://intranet.local/a");
        put(REFRESH, "5; URL='http://intranet.local/b'");
        put(SET_COOKIE, "a=domain=intranet.local; Domain=.intranet.local; Path=/");
        put(SET_COOKIE, "b=1; domain=local");
        put(SET_COOKIE, "c=1; Domain=other.example");
        renamed("intranet.local").restore(&mut headers);
        let all = |name: HeaderName| -> Vec<String> {
            headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(all(CONTENT_LOCATION), ["https://app.example:8443/a"]);
        assert_eq!(all(REFRESH), ["5; URL='https://app.example:8443/b'"]);
        let cookies = [
            "a=domain=intranet.local; Domain=app.example; Path=/",
            "b=1; domain=app.example",
            "c=1; Domain=other.example",
        ];
        assert_eq!(all(SET_COOKIE), cookies);
    }

    #[test]
    fn a_cookie_for_a_visitors_address_has_no_domain() {
        let mut renamed = renamed("127.0.0.1:3000");
        renamed.visitor = "192.0.2.7:8080".to_owned();
        let cookie = renamed.cookie("a=1; Domain=127.0.0.1; Secure");
        assert_eq!(cookie.as_deref(), Some("a=1; Secure"));
    }

    fn renamed(origin: &str) -> Renamed {
        let origin = origin.parse().unwrap();
        Renamed { origin, visitor: "app.example:8443".to_owned(), scheme: Scheme::Https }
    }
}
