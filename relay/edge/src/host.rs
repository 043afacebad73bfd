//! Which host a request is for, read once; everything later uses this value.
//!
//! Source: RFC 9112 §3.2 (one `Host`; a request target in absolute form must agree with it), RFC 9113 §8.3.1 (`:authority`).

use bore_policy::{Authority, AuthorityHost, parse_host_header};
use http::Version;
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

/// The host that `parts` ask for. HTTP/2 may leave out `Host`, and names the host in the target.
pub(super) fn requested(parts: &Parts, scheme: Scheme) -> Result<AuthorityHost, HostError> {
    let target = parts.uri.authority().map(|authority| read(authority.as_str())).transpose()?;
    match (in_header(parts)?, target) {
        (Some(host), Some(target)) if !agree(&host, &target, scheme) => {
            Err(HostError::Contradicting)
        }
        (Some(host), _) => Ok(host.host),
        (None, Some(target)) if parts.version == Version::HTTP_2 => Ok(target.host),
        (None, _) => Err(HostError::NotOne),
    }
}

fn in_header(parts: &Parts) -> Result<Option<Authority>, HostError> {
    let mut values = parts.headers.get_all(HOST).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(HostError::NotOne);
    }
    read(value.to_str().map_err(|_| HostError::Unreadable)?).map(Some)
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
            assert_eq!(of("/", &[host]), Ok(name("app.example.org")), "{host}");
        }
    }

    #[test]
    fn an_address_is_no_publication() {
        for host in ["127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8080"] {
            assert!(matches!(of("/", &[host]), Ok(AuthorityHost::Address(_))), "{host}");
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
        assert_eq!(of("http://A.example:80/x", &["a.example"]), Ok(name("a.example")));
        assert_eq!(of("http://b.example/x", &["a.example"]), Err(HostError::Contradicting));
        assert_eq!(of("http://a.example:81/x", &["a.example"]), Err(HostError::Contradicting));
        assert_eq!(of("http://u@a.example/x", &["a.example"]), Err(HostError::Unreadable));
    }

    #[test]
    fn http_2_names_the_host_in_its_target_and_must_not_contradict_itself() {
        let of = |target: &str, hosts: &[&str]| {
            let mut parts = parts(target, hosts);
            parts.version = Version::HTTP_2;
            requested(&parts, Scheme::Https)
        };
        assert_eq!(of("https://A.example/x", &[]), Ok(name("a.example")));
        assert_eq!(of("https://a.example/x", &["a.example:443"]), Ok(name("a.example")));
        assert_eq!(of("https://a.example/x", &["b.example"]), Err(HostError::Contradicting));
        assert_eq!(of("https://u@a.example/x", &[]), Err(HostError::Unreadable));
        assert_eq!(of("/x", &[]), Err(HostError::NotOne));
    }

    fn name(text: &str) -> AuthorityHost {
        AuthorityHost::Name(bore_policy::Hostname::parse(text).unwrap())
    }

    fn of(target: &str, hosts: &[&str]) -> Result<AuthorityHost, HostError> {
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
