//! Codes of what is published, and domains.

use super::{Code, Entry, Exit, codes};

codes! {
    NAME_NOT_LABEL = "B2101" {
        exit: Usage, status: 422,
        title: "name is not a DNS label",
        meaning: "Names of publications, nodes and groups are DNS labels: lower-case letters, digits and hyphens, at most 63, not starting or ending with a hyphen.",
        causes: ["capital letters, dots or underscores"],
        next: ["use a name like my-app"],
    }
    NAME_TAKEN = "B2102" {
        exit: Taken, status: 409,
        title: "name taken",
        meaning: "Another node of the network publishes, or is, under this name; or this machine keeps a publication of this name or target (--bg, bore up), which one that ends with its command does not replace.",
        causes: [
            "the same command runs on another machine",
            "an old publication that nobody took back",
            "bore publish without --bg for what is published with it",
        ],
        next: [
            "choose another --name, or bore rm NAME where it runs; with --bg, the one of this machine is changed",
        ],
    }
    HOSTNAME_TAKEN = "B2103" {
        exit: Taken, status: 409,
        title: "hostname taken",
        meaning: "Another publication answers for this hostname, or it rests for the network that gave it back.",
        causes: [
            "two publications with the same --host",
            "another network gave the name back less than 30 days ago",
        ],
        next: [
            "choose another --host, or bore rm the publication that holds it",
            "a name that rests is given away by an administrator: bore domain add HOSTNAME --network NETWORK",
        ],
    }
    PORT_TAKEN = "B2104" {
        exit: Taken, status: 409,
        title: "port taken by a publication",
        meaning: "The public port belongs to another publication; one port and protocol has one publication.",
        causes: [
            "another publication has the same port",
            "the port of an agent that is away: persistent publications keep theirs",
        ],
        next: ["--port 0 for any free port, or bore rm the publication that holds it"],
    }
    PORT_USED_ELSEWHERE = "B2105" {
        exit: Taken, status: 409,
        title: "port used by another program on the relay",
        meaning: "A program that is not bore listens on this port of the relay.",
        causes: ["ssh, a web server or another tunnel on the relay"],
        next: ["--port 0 for any free port, or stop that program (on the relay: ss -lntup)"],
    }
    HOSTNAME_OUTSIDE = "B2106" {
        exit: Usage, status: 422,
        title: "hostname outside the domains",
        meaning: "The hostname is neither one label below the relay's domain nor below a domain that this network has proved.",
        causes: [
            "a domain of your own that is not verified yet",
            "several labels, or a wildcard, below the relay's domain",
            "a relay without --domain",
        ],
        next: [
            "give one label, --host app, and the relay adds its domain",
            "for a domain of your own: bore domain add example.com, set the record, bore domain verify example.com",
        ],
    }
    PORT_REFUSED = "B2107" {
        exit: Denied, status: 422,
        title: "port not allowed, or cannot be opened",
        meaning: "The relay does not open this port: its configuration excludes it, or the kernel refuses.",
        causes: ["a port below 1024 without the right to bind it", "a port that the relay uses itself"],
        next: ["--port 0 for any free port, or widen public_ports in relay.toml"],
    }
    NO_FREE_PORT = "B2108" {
        exit: Taken, status: 409,
        title: "no free port",
        meaning: "Every port of the relay's range is taken, or no run of free ports is long enough.",
        causes: ["a small range in relay.toml", "a long range asked for"],
        next: [
            "bore ls --network, and remove what is not needed; or widen public_ports in relay.toml",
        ],
    }
    QUOTA = "B2109" {
        exit: Denied, status: 429,
        title: "quota reached",
        meaning: "The node or the network has as many publications, hostnames, nodes or keys as it may have, or a key or network makes new nodes too fast.",
        causes: ["publications that nobody took back", "a join key that many machines join with again and again"],
        next: ["bore ls, then bore rm NAME; or ask the administrator for more"],
    }
    BAD_ACCESS = "B2110" {
        exit: Usage, status: 422,
        title: "bad access list",
        meaning: "An --allow or --deny is not a network (10.0.0.0/8, 2001:db8::/32), an address, `overlay`, `group:NAME` or `any`.",
        causes: ["host bits set: 10.0.0.1/8 instead of 10.0.0.0/8", "a prefix that is too long: /33"],
        next: ["write it as 10.0.0.0/8, 203.0.113.7, overlay or group:NAME"],
    }
    PUBLICATION_NOT_FOUND = "B2111" {
        exit: Usage, status: 404,
        title: "publication not found",
        meaning: "There is no such publication on this agent, or in this network.",
        causes: ["a typing mistake", "it was removed", "it is in another network"],
        next: ["bore ls shows what is published here, bore ls --all what all nodes publish"],
    }
    BAD_REQUEST = "B2112" {
        exit: Usage, status: 400,
        title: "bad request",
        meaning: "The relay does not understand the request; the text names the field.",
        causes: ["a command line of another version than the relay", "a mistake in a document"],
        next: ["correct the field named, and compare bore version with the relay's"],
    }
    ADDRESS_TAKEN = "B2113" {
        exit: Taken, status: 409,
        title: "the relay's address is taken",
        meaning: "A relay that is known by its address and has no domain carries one web service at that address, and another publication is there.",
        causes: [
            "a second bore publish http on such a relay",
            "an old publication that nobody took back",
        ],
        next: [
            "give this one a name: bore domain add example.com, then --host app.example.com",
            "or give the relay a domain (`domain` in relay.toml), so that every service gets a name",
            "or bore rm the publication that holds the address",
        ],
    }
    DISPLACED = "B2114" {
        exit: Taken, status: 409,
        title: "taken by another node",
        meaning: "Another node of the network has taken the name, port or hostname by --replace, as a publish rule with replace = true lets it. The declaration stays on this machine as refused, is asked for again, and comes back when it is free.",
        causes: ["bore publish --replace on another machine"],
        next: [
            "nothing, if that was meant; bore rm NAME gives the declaration up",
            "publish it under another name or port, or have the rule changed: bore policy ls",
        ],
    }
    DOMAIN_TAKEN = "B2301" {
        exit: Taken, status: 409,
        title: "domain of another network",
        meaning: "Another network of this relay has proved this domain, or one above it, or gave it back less than 30 days ago.",
        causes: [
            "a colleague's network has it",
            "it was released lately: so long only the network that had it gets it",
        ],
        next: [
            "use the network that has it, or ask for its release; after that it rests for 30 days",
            "take a name that lies beside it",
        ],
    }
    DOMAIN_UNPROVED = "B2302" {
        exit: Unverified, status: 409,
        title: "domain not proved",
        meaning: "DNS, as the relay sees it, has neither the TXT nor the CNAME record that binds the domain to this network. The text says what was found.",
        causes: [
            "the record is not set yet, or under another name: many panels add the zone's name themselves",
            "an old answer is still cached: it goes after its TTL",
            "the record of another network: the text is different for each",
            "the zone's name servers answer SERVFAIL or not at all",
        ],
        next: [
            "set exactly what bore domain add NAME prints, then bore domain verify NAME again",
            "look for yourself: dig +short TXT _bore-challenge.NAME",
        ],
    }
    DOMAIN_IN_USE = "B2303" {
        exit: Taken, status: 409,
        title: "domain in use",
        meaning: "Something is published under the domain, and nothing stays published under a domain that is nobody's.",
        causes: [
            "publications that nobody took back; persistent ones stay while their agent is away",
        ],
        next: ["bore ls --all, bore rm what has names under it, then bore domain rm NAME again"],
    }
    DOMAIN_REFUSED = "B2304" {
        exit: Usage, status: 422,
        title: "not a custom domain",
        meaning: "This name cannot be a custom domain: it is no hostname, a top-level domain, or the relay's own.",
        causes: [
            "a wildcard: a domain stands for every name below it anyway",
            "a name below the relay's domain, which its administrators give out",
        ],
        next: ["give a domain of your own, like example.com"],
    }
}
