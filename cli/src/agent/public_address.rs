//! Where visitors reach a publication, as the relay writes it: `https://app.t.example.org/`, `udp://203.0.113.5:27000-27050`.

/// One address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicAddress {
    /// What is spoken there.
    pub(crate) scheme: Scheme,
    /// Name or address, without brackets.
    pub(crate) host: String,
    /// The port, of a range the first.
    pub(crate) port: u16,
    /// As it stands in a Host header.
    pub(crate) authority: String,
}

/// What is spoken at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Tcp,
    Udp,
    Tls,
    Http,
    Https,
}

impl PublicAddress {
    /// Reads one as the relay writes it; the error is in words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("the public address `{text}` is not understood");
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let scheme = match scheme {
            "tcp" => Scheme::Tcp,
            "udp" => Scheme::Udp,
            "tls" => Scheme::Tls,
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(wrong()),
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = split_port(authority).ok_or_else(wrong)?;
        let port = match (port, scheme) {
            (Some(port), _) => port,
            (None, Scheme::Http) => 80,
            (None, Scheme::Https) => 443,
            (None, Scheme::Tcp | Scheme::Udp | Scheme::Tls) => return Err(wrong()),
        };
        Ok(Self { scheme, host: host.to_owned(), port, authority: authority.to_owned() })
    }
}

/// `name:80`, `[::1]:80` or no port at all. Of a range, its first port.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None => {
            authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
        }
    };
    if host.is_empty() {
        return None;
    }
    let Some(port) = port else { return Some((host, None)) };
    let first = port.split('-').next().unwrap_or_default();
    Some((host, Some(first.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_are_read_in_every_form() {
        let read = |text: &str| {
            let address = PublicAddress::parse(text).unwrap();
            (address.host, address.port)
        };
        assert_eq!(read("tcp://203.0.113.5:7777"), ("203.0.113.5".into(), 7777));
        assert_eq!(read("udp://[2001:db8::5]:27000-27050"), ("2001:db8::5".into(), 27000));
        assert_eq!(read("http://app.t.example.org"), ("app.t.example.org".into(), 80));
        assert_eq!(read("http://app.localhost:8080/"), ("app.localhost".into(), 8080));
        assert_eq!(read("https://app.t.example.org/"), ("app.t.example.org".into(), 443));
        assert_eq!(read("tls://app.t.example.org:443"), ("app.t.example.org".into(), 443));
        for wrong in ["app:80", "ftp://x:1", "tcp://x", "tcp://:1", "tcp://x:99999"] {
            assert!(PublicAddress::parse(wrong).is_err(), "{wrong}");
        }
    }
}
