//! Fields by which a visitor could claim what only a gateway in front of the service may say: who the visitor is, how it came, and which host
//! or target it has asked for.
//!
//! Some origin, framework or plug-in believes each of these names. A gateway interface makes `_` of `-`, and some servers (lighttpd, PHP) of every
//! other byte that is no letter or digit, so names are compared with all of those alike; a name that begins with `HTTP_` is what CGI makes of
//! one without.
//!
//! Not here: names that say who has logged in (`Remote-User`). The edge asks for no login, so a service that believes them must not be
//! reachable without what sets them.

/// Returns true if the field `name`, in lower case as `http` keeps it, is one of these claims.
pub(super) fn is_claim(name: &str) -> bool {
    let is_other = |letter: char| !letter.is_ascii_alphanumeric() && letter != '-';
    if !name.contains(is_other) {
        return is_plain_claim(name);
    }
    let plain = name.replace(is_other, "-");
    is_plain_claim(&plain) || DECISIVE.contains(&without_cgi(&plain))
}

fn is_plain_claim(name: &str) -> bool {
    let name = without_cgi(name);
    FAMILIES.iter().any(|family| name.starts_with(family)) || NAMES.binary_search(&name).is_ok()
}

fn without_cgi(name: &str) -> &str {
    name.strip_prefix("http-").unwrap_or(name)
}

/// Names that a gateway interface could confuse with the real one when written otherwise than with `-`.
const DECISIVE: [&str; 4] = ["host", "content-length", "transfer-encoding", "connection"];

/// Beginnings of names: RFC 7239 `Forwarded` and what is like it, `X-Forwarded-…` with its misspellings, the client's certificate as ingress-nginx,
/// HAProxy's and Puma's examples, and AWS load balancers state it, and the private fields (`$WSRA`, `_WS_…`) of the plug-in of IBM WebSphere.
const FAMILIES: [&str; 6] =
    ["forwarded", "x-forward", "ssl-client-", "x-ssl-client-", "x-amzn-mtls-", "-ws"];

/// In alphabetical order; each line names who sets it, or believes it.
const NAMES: &[&str] = &[
    "ali-cdn-real-ip",            // Alibaba Cloud CDN
    "cdn-src-ip",                 // Wangsu CDN
    "cf-connecting-ip",           // Cloudflare
    "cf-connecting-ipv6",         // Cloudflare, Pseudo IPv4
    "cf-pseudo-ipv4",             // Cloudflare, Pseudo IPv4
    "cf-visitor",                 // Cloudflare: the scheme
    "client-cert",                // RFC 9440 section 2
    "client-cert-chain",          // RFC 9440 section 2
    "client-ip",                  // PHP and Rails (HTTP_CLIENT_IP)
    "cloudfront-forwarded-proto", // Amazon CloudFront
    "cloudfront-viewer-address",  // Amazon CloudFront
    "disguised-host",             // Azure App Service: the host
    "do-connecting-ip",           // DigitalOcean App Platform
    "eo-client-ip",               // Tencent EdgeOne
    "fastly-client-ip",           // Fastly
    "fastly-ssl",                 // Fastly: the scheme
    "fly-client-ip",              // Fly.io
    "front-end-https",            // Microsoft ISA Server, Exchange: the scheme
    "incap-client-ip",            // Imperva
    "proxy",                      // CVE-2016-5385 (httpoxy)
    "proxy-client-ip",            // Oracle WebLogic plug-in for Apache
    "proxy-host",                 // Param Miner's list of hosts that frameworks believe
    "proxy-url",                  // Param Miner
    "remote-addr",                // CGI (RFC 3875 section 4.1.8), read as a field
    "true-client-ip",             // Akamai, Cloudflare
    "was-default-hostname",       // Azure App Service: the host
    "wl-proxy-client-ip",         // Oracle WebLogic plug-in
    "wl-proxy-ssl",               // Oracle WebLogic plug-in: the scheme
    "x-accel-mapping",            // Rack::Sendfile, CVE-2025-61780: a path
    "x-appengine-remote-addr",    // Google App Engine
    "x-appengine-user-ip",        // Google App Engine
    "x-arr-clientcert",           // Azure App Service: the certificate
    "x-arr-ssl",                  // IIS Application Request Routing: the scheme
    "x-azure-clientip",           // Azure Front Door
    "x-azure-socketip",           // Azure Front Door
    "x-client-ip",                // Apache mod_remoteip's example, Express plug-ins
    "x-cluster-client-ip",        // Rackspace, Zeus
    "x-envoy-external-address",   // Envoy
    "x-envoy-original-path",      // Envoy: the target
    "x-host",                     // Param Miner, Symfony's and Joomla's reports
    "x-host-override",            // Param Miner
    "x-http-destinationurl",      // Param Miner: the target
    "x-http-host-override",       // Param Miner
    "x-nf-client-connection-ip",  // Netlify
    "x-original-forwarded-for",   // ingress-nginx
    "x-original-host",            // Azure Application Gateway, IIS
    "x-original-uri",             // ingress-nginx: the target
    "x-original-url",             // IIS URL Rewrite, CVE-2018-14773 (Symfony): the target
    "x-originating-ip",           // Microsoft Exchange and Outlook on the web
    "x-proxy-url",                // Param Miner: the target
    "x-proxyuser-ip",             // Google services
    "x-real-ip",                  // nginx
    "x-remote-addr",              // Param Miner
    "x-remote-ip",                // Param Miner
    "x-rewrite-url",              // IIS ISAPI_Rewrite, CVE-2018-14773 (Symfony): the target
    "x-scheme",                   // ingress-nginx
    "x-script-name",              // Flask's ReverseProxied snippet: the target
    "x-sendfile-type",            // Rack::Sendfile, CVE-2025-61780
    "x-sucuri-clientip",          // Sucuri
    "x-true-client-ip",           // Akamai
    "x-url-scheme",               // Werkzeug's and Pylons' deployment notes: the scheme
    "x-vercel-proxied-for",       // Vercel
    "x-waws-unencoded-url",       // Azure App Service: the target
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_claim_is_known_however_it_is_spelled() {
        assert!(NAMES.is_sorted(), "they are searched");
        let others = [
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forward-for",
            "forwarded",
            "ssl-client-verify",
            "x-ssl-client-cert",
            "x-amzn-mtls-clientcert",
            "-wsra",
        ];
        for name in NAMES.iter().chain(&others) {
            let cgi = format!("http_{}", name.replace('-', "_"));
            for spelled in [*name, &cgi] {
                assert!(is_claim(spelled), "{spelled}");
            }
            for other in b"!#$%&'*+-.^_`|~" {
                let spelled = name.replace('-', &char::from(*other).to_string());
                assert!(is_claim(&spelled), "{spelled}");
            }
        }
    }

    #[test]
    fn framing_in_disguise_is_a_claim_and_framing_is_not() {
        for name in DECISIVE {
            assert!(!is_claim(name), "{name}");
        }
        for name in ["content_length", "transfer.encoding", "http_host", "content~length"] {
            assert!(is_claim(name), "{name}");
        }
    }

    #[test]
    fn what_a_visitor_may_say_is_no_claim() {
        for name in [
            "x-request-id",
            "x-api_key",
            "referer",
            "origin",
            "http2-settings",
            "x-http-method-override",
            "remote-user",
            "via",
        ] {
            assert!(!is_claim(name), "{name}");
        }
    }
}
