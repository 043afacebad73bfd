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
        let port = match port {
            Some(port) => scheme.port(port).ok_or_else(wrong)?,
            None => scheme.default_port().ok_or_else(wrong)?,
        };
        Ok(Self { scheme, host: host.to_owned(), port })
    }

    /// As it stands in a Host header (RFC 9110 §7.2). Made here, so that no byte of it is the relay's choice.
    pub(crate) fn authority(&self) -> String {
        let Self { scheme, host, port } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        if scheme.default_port() == Some(*port) { host } else { format!("{host}:{port}") }
    }
}

impl Scheme {
    fn default_port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Tcp | Self::Udp | Self::Tls => None,
        }
    }

    /// Reads a port, where there may be a range its first one.
    fn port(self, text: &str) -> Option<u16> {
        let first = match self {
            Self::Tcp | Self::Udp => text.split('-').next()?,
            Self::Tls | Self::Http | Self::Https => text,
        };
        first.parse().ok()
    }
}

/// `name:80`, `[::1]:80` or no port at all.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None => {
            authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
        }
    };
    (!host.is_empty()).then_some((host, port))
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
        for wrong in
            ["app:80", "ftp://x:1", "tcp://x", "tcp://:1", "tcp://x:99999", "http://x:80-81"]
        {
            assert!(PublicAddress::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_header_is_written_anew() {
        let authority = |text: &str| PublicAddress::parse(text).unwrap().authority();
        assert_eq!(authority("http://app.localhost:+008080/x"), "app.localhost:8080");
        assert_eq!(authority("https://app.t.example.org:443/"), "app.t.example.org");
        assert_eq!(authority("http://[2001:db8::5]:8080/"), "[2001:db8::5]:8080");
    }
}
