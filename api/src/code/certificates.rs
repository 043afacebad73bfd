//! Codes of certificates and their authority.

use super::{Code, Entry, Exit, codes};

codes! {
    CA_REFUSED_BY_CAA = "B5401" {
        exit: Denied, status: 403,
        title: "certificate refused: CAA",
        meaning: "A CAA record in the DNS of the domain names the CAs that may issue for it, and the relay's CA is not among them. The certificate that was there stays.",
        causes: ["a CAA record that names another CA", "a CAA record at a parent domain"],
        next: [
            "add a CAA record for the CA, for example: example.com. CAA 0 issue \"letsencrypt.org\"",
            "or set [acme] directory to a CA that is admitted",
        ],
    }
    CA_RATE_LIMIT = "B5402" {
        exit: Denied, status: 403,
        title: "certificate refused: rate limit",
        meaning: "The CA has issued too many certificates for the domain, or refused too many tries, lately. The relay waits for as long as the CA asks for, also over a restart.",
        causes: ["many new hostnames in a week", "many failed tries"],
        next: [
            "wait: bore certificate ls shows the next try",
            "use DNS-01 ([dns] in relay.toml): one wildcard certificate serves every name under the domain",
        ],
    }
    CA_NAME_UNRESOLVED = "B5403" {
        exit: Denied, status: 403,
        title: "certificate refused: the name does not resolve",
        meaning: "The CA found no address for the name in public DNS, or DNS answered with an error.",
        causes: ["no A or AAAA record", "a record that is not published yet", "broken DNSSEC"],
        next: ["point an A or AAAA record of the name at the relay"],
    }
    CA_CANNOT_REACH_RELAY = "B5404" {
        exit: Denied, status: 403,
        title: "certificate refused: the relay cannot be reached",
        meaning: "The CA connects to port 80 or 443 of the name's addresses from the public Internet, and did not get through.",
        causes: [
            "a firewall or a provider's security group",
            "a record that points at another machine",
            "an AAAA record that does not work",
        ],
        next: [
            "open ports 80 and 443 to everybody",
            "remove addresses that are not the relay's",
            "or use DNS-01, which needs no port",
        ],
    }
    CA_WRONG_ANSWER = "B5405" {
        exit: Denied, status: 403,
        title: "certificate refused: another server answered",
        meaning: "The CA reached a machine at the name's address, and it did not give the relay's answer.",
        causes: [
            "the name points at another server",
            "a CDN or proxy before the relay",
            "a second address of the name",
        ],
        next: ["point the name at the relay alone"],
    }
    CA_NAME_REFUSED = "B5406" {
        exit: Denied, status: 403,
        title: "certificate refused: the CA does not certify such a name",
        meaning: "The CA's rules exclude the name: it is on its blocklist, not public, or an address where the CA certifies none.",
        causes: ["a name that is not in public DNS", "a CA without certificates for IP addresses"],
        next: ["use a name that you own", "or another CA: [acme] directory in relay.toml"],
    }
    CA_ACCOUNT = "B5407" {
        exit: Denied, status: 403,
        title: "the CA does not accept the account",
        meaning: "The CA wants the relay's account bound to one that exists there, its contact changed, or its terms agreed to again; or it does not know the account any more, and then a new one is made by itself.",
        causes: [
            "a CA that needs external account binding",
            "a wrong key of the account",
            "a CA that was set up anew",
        ],
        next: [
            "set [acme] eab_key_id and eab_key_file, and contact, in relay.toml, and start the relay again",
        ],
    }
    CA_UNREACHABLE = "B5408" {
        exit: Unreachable, status: 503,
        title: "the CA does not answer",
        meaning: "No connection to the CA, or an error of the CA's own. Certificates that are there stay and are served; the CA is asked again, less and less often.",
        causes: [
            "the CA is down",
            "the relay's way out is blocked",
            "a wrong [acme] directory",
            "a private CA whose root is unknown",
        ],
        next: [
            "wait: it is asked again",
            "check outgoing HTTPS from the relay's machine",
            "for a private CA set [acme] ca_file",
        ],
    }
    CLOCK_WRONG = "B5409" {
        exit: Denied, status: 403,
        title: "the relay's clock is wrong",
        meaning: "By the clock of the relay's machine a certificate of the CA is not valid yet, or not any more.",
        causes: ["a machine without NTP", "a virtual machine that was paused"],
        next: ["set the clock: timedatectl set-ntp true"],
    }
    CA_TXT_RECORD = "B5410" {
        exit: Denied, status: 403,
        title: "the TXT record for the CA could not be published",
        meaning: "DNS-01 proves a name by a TXT record, and the zone's keeper did not take it or does not show it.",
        causes: [
            "wrong credentials in [dns]",
            "a zone that the key may not change",
            "slow secondary servers",
        ],
        next: ["check [dns] in relay.toml against the answer that bore certificate ls shows"],
    }
    CA_NO_PROOF = "B5411" {
        exit: Denied, status: 403,
        title: "the relay cannot prove the name",
        meaning: "None of the proofs that the CA offers for this name is possible here. A wildcard can only be proved by DNS-01, in a zone that the relay has.",
        causes: [
            "no [dns] section",
            "[acme] challenge names a proof that the CA does not offer",
            "a wildcard of a custom domain",
        ],
        next: [
            "configure [dns] in relay.toml",
            "or set [acme] challenge = \"auto\"",
            "of a custom domain publish exact names, pass TLS through with bore publish tls, or set [tls] certificate_files",
        ],
    }
    CA_NOT_ACME = "B5412" {
        exit: Unreachable, status: 503,
        title: "the CA's answer is not ACME",
        meaning: "The CA answered with something that RFC 8555 does not know, or with a certificate that is not what was ordered. It was not used.",
        causes: ["a wrong [acme] directory", "a proxy in between", "a fault of the CA"],
        next: ["check [acme] directory in relay.toml", "see the relay's log with RUST_LOG=debug"],
    }
    CA_SLOW = "B5413" {
        exit: Unreachable, status: 503,
        title: "the CA takes long",
        meaning: "The order was not done within fifteen minutes. It stands, and the next try goes on with it.",
        causes: ["a CA that checks by hand or is overloaded"],
        next: ["wait"],
    }
    CA_ORDER_STALE = "B5414" {
        exit: Unreachable, status: 503,
        title: "an order came to nothing",
        meaning: "The relay went on with an order that it had placed before, and that led to no certificate it could use. The order is given up.",
        causes: ["a relay that was away for longer than a certificate lives", "a fault of the CA"],
        next: ["wait: a new order is placed within minutes"],
    }
    DOMAIN_NOT_DELEGATED = "B5415" {
        exit: Unreachable, status: 503,
        title: "the domain is not delegated to the relay",
        meaning: "The relay answers for its domain, and the servers of the zone above do not lead there: the CA would not find its proof, and is not asked.",
        causes: [
            "the NS record is missing, or names another server",
            "records of the same name beside it",
        ],
        next: [
            "make the NS record that bore relay init and bore doctor name, in the zone above the domain",
        ],
    }
}
