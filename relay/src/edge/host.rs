//! Which host a request is for, read once; everything later uses this value.
//!
//! Source: RFC 9112 §3.2 (one `Host`; a request target in absolute form must agree with it).

use bore_policy::{Authority, AuthorityHost, Hostname, parse_host_header};
use http::header::HOST;
use http::request::Parts;

use super::settings::Scheme;

/// Why a request's host cannot be used. The text goes to the visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum HostError {
    #[error("a request needs exactly one Host header")]
    NotOne,
    #[error("the Host header names no host")]
    Unreadable,
    #[error("the request line and the Host header name different hosts")]
    Contradicting,
}

/// The host that `parts` ask for; `None` for an address literal, which nothing is published under.
pub(super) fn requested(parts: &Parts, scheme: Scheme) -> Result<Option<Hostname>, HostError> {
    let mut values = parts.headers.get_all(HOST).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(HostError::NotOne);
    };
    let host = read(value.to_str().map_err(|_| HostError::Unreadable)?)?;
    if let Some(authority) = parts.uri.authority() {
        let target = read(authority.as_str())?;
        if !agree(&host, &target, scheme) {
            return Err(HostError::Contradicting);
        }
    }
    match host.host {
        AuthorityHost::Name(name) => Ok(Some(name)),
        AuthorityHost::Address(_) => Ok(None),
    }
}

fn read(text: &str) -> Result<Authority, HostError> {
    parse_host_header(text).map_err(|_| HostError::Unreadable)
}

fn agree(one: &Authority, other: &Authority, scheme: Scheme) -> bool {
    let port = |authority: &Authority| authority.port.unwrap_or_else(|| scheme.default_port());
    one.host == other.host && port(one) == port(other)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn every_spelling_of_a_host_is_one_host() {
        for host in
            ["app.example.org", "APP.example.ORG", "app.example.org.", "app.example.org:8080"]
        {
            assert_eq!(of("/", &[host]).unwrap().unwrap().as_str(), "app.example.org", "{host}");
        }
    }

    #[test]
    fn an_address_is_no_publication() {
        for host in ["127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8080"] {
            assert_eq!(of("/", &[host]), Ok(None), "{host}");
        }
    }

    #[test]
    fn no_host_two_hosts_and_nonsense_are_refused() {
        assert_eq!(of("/", &[]), Err(HostError::NotOne));
        assert_eq!(of("/", &["a.example", "a.example"]), Err(HostError::NotOne));
        for host in ["", "a b", "user@a.example", "a.example/", "a.example:0", "[::1", "a,b"] {
            assert_eq!(of("/", &[host]), Err(HostError::Unreadable), "{host:?}");
        }
    }

    #[test]
    fn an_absolute_target_must_agree() {
        assert!(of("http://A.example:80/x", &["a.example"]).unwrap().is_some());
        assert_eq!(of("http://b.example/x", &["a.example"]), Err(HostError::Contradicting));
        assert_eq!(of("http://a.example:81/x", &["a.example"]), Err(HostError::Contradicting));
        assert_eq!(of("http://u@a.example/x", &["a.example"]), Err(HostError::Unreadable));
    }

    fn of(target: &str, hosts: &[&str]) -> Result<Option<Hostname>, HostError> {
        requested(&parts(target, hosts), Scheme::Http)
    }

    fn parts(target: &str, hosts: &[&str]) -> Parts {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap().into_parts().0
    }
}
