//! What was asked for cannot be: B1 use and this machine, B2 publish, B3 join and keys, B4 policy.

use super::{Entry, entry};
use crate::error::Exit;

pub(super) static ENTRIES: &[Entry] = &[
    entry!(
        "B1000",
        Internal,
        "internal error",
        "bore failed in a way that it did not foresee. This is a fault of bore.",
        ["a bug", "two parts of different versions that disagree about a message"],
        ["run it again with -v and report what it prints", "bore doctor"]
    ),
    entry!(
        "B1001",
        Usage,
        "wrong use of the command line",
        "The command, a flag or a value is not understood, or two of them exclude one another.",
        ["a typing mistake", "a flag of another command"],
        ["bore help, or the command with --help"]
    ),
    entry!(
        "B1002",
        Internal,
        "a file or the terminal cannot be used",
        "The operating system refused to read or write something that the command needs.",
        [
            "missing rights",
            "a folder that does not exist",
            "a full disk",
            "output into a closed pipe"
        ],
        ["look at the cause, then check path, rights and free space"]
    ),
    entry!(
        "B1003",
        Usage,
        "a configuration file is wrong",
        "bore.toml, or the user's or the system's config.toml, does not parse or names something unknown. All mistakes of the file are listed at once; nothing of it was used.",
        ["a typing mistake in a key", "a key of another section", "a value of the wrong kind"],
        ["correct the lines named, then bore up --dry-run"]
    ),
    entry!(
        "B1004",
        Usage,
        "input is needed, and nobody can be asked",
        "The command needs a secret or an answer, and --no-input was given or standard input is not a terminal.",
        ["a script without --key-file", "a missing environment variable"],
        ["give it by file: --key-file FILE, or by standard input: -"]
    ),
    entry!(
        "B1005",
        Usage,
        "needs root",
        "The command changes the system (a user, a systemd unit) and runs as an ordinary user.",
        ["no sudo"],
        ["the same command with sudo in front, or with --print to look first"]
    ),
    entry!(
        "B1006",
        Interrupted,
        "interrupted",
        "Ctrl-C or a termination signal arrived before the work was done. What would have ended with the command was taken back; what is to stay (--bg, bore up) may be published.",
        ["Ctrl-C"],
        ["bore ls shows what is published; run it again, or bore rm NAME"]
    ),
    entry!(
        "B1007",
        Usage,
        "the command could not be started",
        "`bore run -- CMD` could not start CMD. Nothing stays published.",
        ["CMD is not on PATH", "CMD is not executable"],
        ["check the spelling after --, and that the file is executable"]
    ),
    entry!(
        "B1008",
        Usage,
        "this machine has not joined",
        "The command needs the identity that `bore join` makes, and the state folder has none.",
        ["bore join was never run here", "another user or another --state folder joined"],
        [
            "bore join --key-file FILE, with a key of `bore key create` on the relay",
            "give the folder that joined: --state DIR"
        ]
    ),
    entry!(
        "B1009",
        Usage,
        "no agent is running",
        "The command speaks with the agent of this machine, and nothing listens on agent.sock in the state folder.",
        ["the agent stopped", "it runs as another user, with another state folder"],
        [
            "bore join, or bore service install to have it run always",
            "give its folder: --state DIR"
        ]
    ),
    entry!(
        "B1010",
        Usage,
        "something is there already",
        "The command would overwrite a file or a relay that exists.",
        ["relay init ran before on this machine"],
        ["use what is there, or name another folder"]
    ),
    entry!(
        "B1011",
        Internal,
        "a check of bore doctor failed",
        "At least one line of the report is marked as failed; each says what to do.",
        ["see the report"],
        ["follow the lines marked as failed, then run bore doctor again"]
    ),
    entry!(
        "B1012",
        Internal,
        "a system command failed",
        "A program of the operating system that bore called (useradd, systemctl) answered with an error.",
        ["no systemd on this machine", "missing rights"],
        ["look at the cause, or do the steps of --print by hand"]
    ),
    entry!(
        "B1013",
        Usage,
        "no relay is set up here",
        "The command works on the relay of this machine, and its configuration or its keys are not there.",
        [
            "relay init was never run here",
            "another --config",
            "the file is not readable by this user"
        ],
        ["bore relay init --host NAME_OR_ADDRESS", "name the file: --config FILE"]
    ),
    entry!(
        "B1014",
        Taken,
        "the relay cannot listen",
        "A socket of the relay cannot be opened.",
        [
            "another program, or another relay, has the port",
            "a port below 1024 without the right to bind it"
        ],
        [
            "see who has it: ss -lntup; or choose another port in relay.toml",
            "for ports below 1024: bore relay install gives the service the right"
        ]
    ),
    entry!(
        "B1015",
        Usage,
        "a certificate cannot be served",
        "A certificate or key that relay.toml names in [tls] certificate_files cannot be used. A relay that runs keeps the certificate that it has; one that starts stops here.",
        [
            "a wrong path, or a file that the relay's user may not read",
            "the key of another certificate",
            "a certificate without subjectAltName"
        ],
        ["correct the file that is named, or take the entry out of certificate_files"]
    ),
    entry!(
        "B2101",
        Usage,
        "name is not a DNS label",
        "Names of publications, nodes and groups are DNS labels: lower-case letters, digits and hyphens, at most 63, not starting or ending with a hyphen.",
        ["capital letters, dots or underscores"],
        ["use a name like my-app"]
    ),
    entry!(
        "B2102",
        Taken,
        "name taken",
        "Another node of the network publishes, or is, under this name; or this machine keeps a publication of this name or target (--bg, bore up), which one that ends with its command does not replace.",
        [
            "the same command runs on another machine",
            "an old publication that nobody took back",
            "bore publish without --bg for what is published with it"
        ],
        [
            "choose another --name, or bore rm NAME where it runs; with --bg, the one of this machine is changed"
        ]
    ),
    entry!(
        "B2103",
        Taken,
        "hostname taken",
        "Another publication answers for this hostname.",
        ["two publications with the same --host"],
        ["choose another --host, or bore rm the publication that holds it"]
    ),
    entry!(
        "B2104",
        Taken,
        "port taken by a publication",
        "The public port belongs to another publication; one port and protocol has one publication.",
        [
            "somebody else publishes the same port",
            "the port of an agent that is away: persistent publications keep theirs"
        ],
        ["--port 0 for any free port, or bore rm the publication that holds it"]
    ),
    entry!(
        "B2105",
        Taken,
        "port used by another program on the relay",
        "A program that is not bore listens on this port of the relay.",
        ["ssh, a web server or another tunnel on the relay"],
        ["--port 0 for any free port, or stop that program (on the relay: ss -lntup)"]
    ),
    entry!(
        "B2106",
        Usage,
        "hostname outside the domains",
        "The hostname is neither one label below the relay's domain nor below a domain that this network has proved.",
        [
            "a domain of your own that is not verified yet",
            "several labels, or a wildcard, below the relay's domain",
            "a relay without --domain"
        ],
        [
            "give one label, --host app, and the relay adds its domain",
            "for a domain of your own: bore domain add example.com, set the record, bore domain verify example.com"
        ]
    ),
    entry!(
        "B2107",
        Denied,
        "port not allowed, or cannot be opened",
        "The relay does not open this port: its configuration excludes it, or the kernel refuses.",
        ["a port below 1024 without the right to bind it", "a port that the relay uses itself"],
        ["--port 0 for any free port, or widen public_ports in relay.toml"]
    ),
    entry!(
        "B2108",
        Taken,
        "no free port",
        "Every port of the relay's range is taken, or no run of free ports is long enough.",
        ["a small range in relay.toml", "a long range asked for"],
        ["bore ls --network, and remove what is not needed; or widen public_ports in relay.toml"]
    ),
    entry!(
        "B2109",
        Denied,
        "quota reached",
        "The node or the network has as many publications, hostnames, nodes or keys as it may have.",
        ["publications that nobody took back"],
        ["bore ls, then bore rm NAME; or ask the administrator for more"]
    ),
    entry!(
        "B2110",
        Usage,
        "bad access list",
        "An --allow or --deny is not a network (10.0.0.0/8, 2001:db8::/32), an address, `overlay`, `group:NAME` or `any`.",
        ["host bits set: 10.0.0.1/8 instead of 10.0.0.0/8", "a prefix that is too long: /33"],
        ["write it as 10.0.0.0/8, 203.0.113.7, overlay or group:NAME"]
    ),
    entry!(
        "B2111",
        Usage,
        "not found",
        "There is no such publication, node, key, group or policy in this network.",
        ["a typing mistake", "it was removed", "it is in another network"],
        ["bore ls, or the command's own ls, shows what there is"]
    ),
    entry!(
        "B2112",
        Usage,
        "bad request",
        "The relay does not understand the request; the text names the field.",
        ["a command line of another version than the relay", "a mistake in a document"],
        ["correct the field named, and compare bore version with the relay's"]
    ),
    entry!(
        "B2113",
        Taken,
        "the relay's address is taken",
        "A relay that is known by its address and has no domain carries one web service at that address, and another publication is there.",
        ["a second bore publish http on such a relay", "an old publication that nobody took back"],
        [
            "give this one a name: bore domain add example.com, then --host app.example.com",
            "or give the relay a domain (`domain` in relay.toml), so that every service gets a name",
            "or bore rm the publication that holds the address"
        ]
    ),
    entry!(
        "B2114",
        Taken,
        "taken by another node",
        "Another node of the network has taken the name, port or hostname by --replace, as a publish rule with replace = true lets it. The declaration stays on this machine as refused, is asked for again, and comes back when it is free.",
        ["bore publish --replace on another machine"],
        [
            "nothing, if that was meant; bore rm NAME gives the declaration up",
            "publish it under another name or port, or have the rule changed: bore policy ls"
        ]
    ),
    entry!(
        "B2301",
        Taken,
        "domain of another network",
        "Another network of this relay has proved this domain, or one above it, or gave it back less than 30 days ago.",
        [
            "a colleague's network has it",
            "it was released lately: so long only the network that had it gets it"
        ],
        [
            "use the network that has it, or ask for its release; after that it rests for 30 days",
            "take a name that lies beside it"
        ]
    ),
    entry!(
        "B2302",
        Unverified,
        "domain not proved",
        "DNS, as the relay sees it, has neither the TXT nor the CNAME record that binds the domain to this network. The text says what was found.",
        [
            "the record is not set yet, or under another name: many panels add the zone's name themselves",
            "an old answer is still cached: it goes after its TTL",
            "the record of another network: the text is different for each",
            "the zone's name servers answer SERVFAIL or not at all"
        ],
        [
            "set exactly what bore domain add NAME prints, then bore domain verify NAME again",
            "look for yourself: dig +short TXT _bore-challenge.NAME"
        ]
    ),
    entry!(
        "B2303",
        Taken,
        "domain in use",
        "Something is published under the domain, and nothing stays published under a domain that is nobody's.",
        ["publications that nobody took back; persistent ones stay while their agent is away"],
        ["bore ls --all, bore rm what has names under it, then bore domain rm NAME again"]
    ),
    entry!(
        "B2304",
        Usage,
        "not a custom domain",
        "This name cannot be a custom domain: it is no hostname, a top-level domain, or the relay's own.",
        [
            "a wildcard: a domain stands for every name below it anyway",
            "a name below the relay's domain, which its administrators give out"
        ],
        ["give a domain of your own, like example.com"]
    ),
    entry!(
        "B3101",
        Authentication,
        "not a join key",
        "The text is not a join key. This is decided offline: nothing was sent.",
        ["an API key or a path in its place", "a key cut in half by a line break"],
        ["copy the whole line that starts with bore_join_"]
    ),
    entry!(
        "B3102",
        Authentication,
        "join key mistyped",
        "The text is a join key, but its checksum does not match: a letter was changed or lost. Nothing was sent.",
        ["a typing mistake", "a key cut at the end"],
        ["copy the key again, whole"]
    ),
    entry!(
        "B3103",
        Authentication,
        "join key not valid",
        "The relay knows no such key, or its secret is wrong; it says no more to those who do not prove the secret.",
        ["the key was deleted with its network", "the relay was set up anew"],
        ["make a new key on the relay: bore key create"]
    ),
    entry!(
        "B3104",
        Authentication,
        "join key expired",
        "The key was good until its time ran out.",
        ["keys of relay init live for a short time"],
        ["make a new key on the relay: bore key create"]
    ),
    entry!(
        "B3105",
        Authentication,
        "join key spent",
        "As many nodes as the key allows have joined with it.",
        ["a one-off key used twice", "a machine whose state folder was deleted joins again"],
        ["make a new key on the relay: bore key create --uses N"]
    ),
    entry!(
        "B3106",
        Authentication,
        "join key revoked",
        "An administrator took the key back.",
        ["bore key revoke"],
        ["ask the administrator for a new key"]
    ),
    entry!(
        "B3107",
        Authentication,
        "join key of another network",
        "The key names a network that it does not belong to.",
        ["a key put together by hand"],
        ["make a new key on the relay: bore key create"]
    ),
    entry!(
        "B3108",
        Taken,
        "already a node",
        "This machine's key is a member already, let in by another join key.",
        ["bore join with a second key"],
        ["run bore join without a key; or name another --state folder for a second identity"]
    ),
    entry!(
        "B3109",
        Denied,
        "overlay addresses exhausted",
        "The network has no overlay IPv4 address left to lease; addresses of removed nodes rest for 30 days.",
        ["very many ephemeral nodes"],
        ["remove nodes that are not needed: bore node rm"]
    ),
    entry!(
        "B3201",
        Authentication,
        "API key missing",
        "The relay's API wants a key, and none was found.",
        [
            "not on the relay machine, and no --api-key-file",
            "the admin.key of the relay is not readable by this user"
        ],
        ["--api-key-file FILE (or BORE_API_KEY_FILE), or run it with sudo on the relay"]
    ),
    entry!(
        "B3202",
        Authentication,
        "API key not valid",
        "The text is not an API key of this relay.",
        ["a key of another relay", "a typing mistake", "a join key in its place"],
        ["make one on the relay: bore key create --api"]
    ),
    entry!(
        "B3203",
        Authentication,
        "API key expired or revoked",
        "The key was good and is no longer.",
        ["every API key expires"],
        ["make a new one on the relay: bore key create --api"]
    ),
    entry!(
        "B3204",
        Denied,
        "scope missing",
        "The API key is valid, and may not do this.",
        ["a read-only key"],
        ["make a key with the scope named: bore key create --api --scope SCOPE"]
    ),
    entry!(
        "B3205",
        Usage,
        "not in this network",
        "Nothing of this name or id is in a network that the caller sees; a relay says the same whether or not another network has it.",
        ["a typing mistake", "it was removed", "an API key of another network"],
        ["the command's own ls shows what there is; --network names another network"]
    ),
    entry!(
        "B3206",
        Authentication,
        "API key stored for another address",
        "A stored key goes only to the address that it was stored with: the api_url of the same config.toml, or the relay whose admin.key it is. Nothing was sent.",
        ["--api-url or BORE_API names another address than the file that names the key"],
        ["name the key for that address: --api-key-file FILE (or BORE_API_KEY_FILE)"]
    ),
    entry!(
        "B4101",
        Denied,
        "denied by policy",
        "A rule of the network's policy forbids it; the text names policy and rule.",
        ["a publish rule on ports, protocols, hostnames or their number"],
        ["bore policy explain shows every rule that was considered"]
    ),
    entry!(
        "B4102",
        Usage,
        "policy does not compile",
        "The document was not stored; all its mistakes are listed.",
        ["an unknown group", "two rules with one name", "a network with host bits set"],
        ["correct the rules named and apply it again"]
    ),
    entry!(
        "B4103",
        Taken,
        "policy changed in between",
        "The stored revision is not the one that this change started from.",
        ["somebody else applied a policy at the same time"],
        ["bore policy show NAME, merge, apply again"]
    ),
];
