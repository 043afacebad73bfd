//! What was found on the way: B5 relay and network, B6 store, B7 target, B8 verification.

use super::{Entry, entry};
use crate::error::Exit;

pub(super) static ENTRIES: &[Entry] = &[
    entry!(
        "B5101",
        Unreachable,
        "relay unreachable",
        "No address of the relay answered in time; the text lists what was tried.",
        ["UDP is blocked by the network", "the relay is down", "a firewall in front of the relay"],
        ["bore doctor; on the relay: bore relay status, and its firewall must let the UDP port in"]
    ),
    entry!(
        "B5102",
        Unreachable,
        "relay draining",
        "The relay is being taken out of service and takes nothing new.",
        ["bore relay drain"],
        [
            "wait until it is back, or use another relay; its administrator takes it back with bore relay undrain"
        ]
    ),
    entry!(
        "B5103",
        Version,
        "version mismatch",
        "The two ends are of versions that do not understand one another.",
        ["an old agent and a new relay, or the reverse"],
        ["compare bore version on both ends and update the older"]
    ),
    entry!(
        "B5104",
        Taken,
        "replaced by another agent",
        "Another agent with the same identity took over; this one stopped, so that they never fight.",
        ["bore join --takeover elsewhere", "a cloned machine"],
        ["let one of them join with a key of its own: bore join --state DIR --key-file FILE"]
    ),
    entry!(
        "B5105",
        Taken,
        "another agent runs with this identity",
        "The relay has asked the agent that had this identity first, and it answered: it runs, as another process or on another machine.",
        ["a cloned machine or state folder"],
        ["--takeover to replace it, or join with a key of its own"]
    ),
    entry!(
        "B5106",
        Unreachable,
        "the earlier agent is being asked",
        "An agent with this identity was connected a moment ago. The relay asks it whether it still runs; one that does not answer within three seconds is replaced.",
        ["a machine that lost its power and came back", "a cloned machine or state folder"],
        ["wait: the agent asks again each second"]
    ),
    entry!(
        "B5401",
        Denied,
        "certificate refused: CAA",
        "A CAA record in the DNS of the domain names the CAs that may issue for it, and the relay's CA is not among them. The certificate that was there stays.",
        ["a CAA record that names another CA", "a CAA record at a parent domain"],
        [
            "add a CAA record for the CA, for example: example.com. CAA 0 issue \"letsencrypt.org\"",
            "or set [acme] directory to a CA that is admitted"
        ]
    ),
    entry!(
        "B5402",
        Denied,
        "certificate refused: rate limit",
        "The CA has issued too many certificates for the domain, or refused too many tries, lately. The relay waits for as long as the CA asks for, also over a restart.",
        ["many new hostnames in a week", "many failed tries"],
        [
            "wait: bore certificate ls shows the next try",
            "use DNS-01 ([dns] in relay.toml): one wildcard certificate serves every name under the domain"
        ]
    ),
    entry!(
        "B5403",
        Denied,
        "certificate refused: the name does not resolve",
        "The CA found no address for the name in public DNS, or DNS answered with an error.",
        ["no A or AAAA record", "a record that is not published yet", "broken DNSSEC"],
        ["point an A or AAAA record of the name at the relay"]
    ),
    entry!(
        "B5404",
        Denied,
        "certificate refused: the relay cannot be reached",
        "The CA connects to port 80 or 443 of the name's addresses from the public Internet, and did not get through.",
        [
            "a firewall or a provider's security group",
            "a record that points at another machine",
            "an AAAA record that does not work"
        ],
        [
            "open ports 80 and 443 to everybody",
            "remove addresses that are not the relay's",
            "or use DNS-01, which needs no port"
        ]
    ),
    entry!(
        "B5405",
        Denied,
        "certificate refused: somebody else answered",
        "The CA reached a machine at the name's address, and it did not give the relay's answer.",
        [
            "the name points at another server",
            "a CDN or proxy before the relay",
            "a second address of the name"
        ],
        ["point the name at the relay alone"]
    ),
    entry!(
        "B5406",
        Denied,
        "certificate refused: the CA does not certify such a name",
        "The CA's rules exclude the name: it is on its blocklist, not public, or an address where the CA certifies none.",
        ["a name that is not in public DNS", "a CA without certificates for IP addresses"],
        ["use a name that you own", "or another CA: [acme] directory in relay.toml"]
    ),
    entry!(
        "B5407",
        Denied,
        "the CA does not accept the account",
        "The CA wants the relay's account bound to one that exists there, its contact changed, or its terms agreed to again; or it does not know the account any more, and then a new one is made by itself.",
        [
            "a CA that needs external account binding",
            "a wrong key of the account",
            "a CA that was set up anew"
        ],
        [
            "set [acme] eab_key_id and eab_key_file, and contact, in relay.toml, and start the relay again"
        ]
    ),
    entry!(
        "B5408",
        Unreachable,
        "the CA does not answer",
        "No connection to the CA, or an error of the CA's own. Certificates that are there stay and are served; the CA is asked again, less and less often.",
        [
            "the CA is down",
            "the relay's way out is blocked",
            "a wrong [acme] directory",
            "a private CA whose root is unknown"
        ],
        [
            "wait: it is asked again",
            "check outgoing HTTPS from the relay's machine",
            "for a private CA set [acme] ca_file"
        ]
    ),
    entry!(
        "B5409",
        Denied,
        "the relay's clock is wrong",
        "By the clock of the relay's machine a certificate of the CA is not valid yet, or not any more.",
        ["a machine without NTP", "a virtual machine that was paused"],
        ["set the clock: timedatectl set-ntp true"]
    ),
    entry!(
        "B5410",
        Denied,
        "the TXT record for the CA could not be published",
        "DNS-01 proves a name by a TXT record, and the zone's keeper did not take it or does not show it.",
        [
            "wrong credentials in [dns]",
            "a zone that the key may not change",
            "slow secondary servers"
        ],
        ["check [dns] in relay.toml against the answer that bore certificate ls shows"]
    ),
    entry!(
        "B5411",
        Denied,
        "the relay cannot prove the name",
        "None of the proofs that the CA offers for this name is possible here. A wildcard can only be proved by DNS-01, in a zone that the relay has.",
        [
            "no [dns] section",
            "[acme] challenge names a proof that the CA does not offer",
            "a wildcard of a custom domain"
        ],
        [
            "configure [dns] in relay.toml",
            "or set [acme] challenge = \"auto\"",
            "of a custom domain publish exact names, pass TLS through with bore publish tls, or set [tls] certificate_files"
        ]
    ),
    entry!(
        "B5412",
        Unreachable,
        "the CA's answer is not ACME",
        "The CA answered with something that RFC 8555 does not know, or with a certificate that is not what was ordered. It was not used.",
        ["a wrong [acme] directory", "a proxy in between", "a fault of the CA"],
        ["check [acme] directory in relay.toml", "see the relay's log with RUST_LOG=debug"]
    ),
    entry!(
        "B5413",
        Unreachable,
        "the CA takes long",
        "The order was not done within fifteen minutes. It stands, and the next try goes on with it.",
        ["a CA that checks by hand or is overloaded"],
        ["wait"]
    ),
    entry!(
        "B5414",
        Unreachable,
        "an order came to nothing",
        "The relay went on with an order that it had placed before, and that led to no certificate it could use. The order is given up.",
        ["a relay that was away for longer than a certificate lives", "a fault of the CA"],
        ["wait: a new order is placed within minutes"]
    ),
    entry!(
        "B5415",
        Unreachable,
        "the domain is not delegated to the relay",
        "The relay answers for its domain, and the servers of the zone above do not lead there: the CA would not find its proof, and is not asked.",
        ["the NS record is missing, or names another server", "records of the same name beside it"],
        [
            "make the NS record that bore relay init and bore doctor name, in the zone above the domain"
        ]
    ),
    entry!(
        "B6101",
        Internal,
        "disk full",
        "There is no space left where the state is kept; nothing was written.",
        ["a full disk or quota"],
        ["free some space and do it again"]
    ),
    entry!(
        "B6102",
        Internal,
        "database damaged",
        "The relay's database is not readable.",
        ["a failing disk", "a copy made while the relay ran"],
        ["bore relay restore FILE with the last backup"]
    ),
    entry!(
        "B6103",
        Version,
        "database newer than bore",
        "A newer version of bore wrote the database.",
        ["a downgrade"],
        ["install the newer version again"]
    ),
    entry!(
        "B6104",
        Taken,
        "state folder in use",
        "Another process works with this state folder.",
        ["an agent or a relay runs already"],
        ["bore status shows the agent that runs; or name another --state folder"]
    ),
    entry!(
        "B6105",
        Denied,
        "state folder readable by others",
        "The folder holds private keys, and other users of this machine can read it.",
        ["a copied folder", "a loose umask"],
        ["chmod 700 on the folder, and chmod 600 on the files in it"]
    ),
    entry!(
        "B6106",
        Unreachable,
        "store unavailable",
        "The relay cannot reach its database, or the database takes no changes. Visitors are served; nothing can be changed.",
        ["PostgreSQL is down, unreachable or read-only", "a disk that fails"],
        ["bring the database back; the relay notices by itself"]
    ),
    entry!(
        "B6107",
        Internal,
        "sealed secrets cannot be opened",
        "Private keys and accounts are sealed in the database. The sealing key is missing, or is not the one that they were sealed with. Nothing was changed, and no other key was made.",
        [
            "seal.key was not restored with the database",
            "another sealing_key_file or BORE_SEALING_KEY",
            "a rotation that was killed and whose next key was removed"
        ],
        [
            "put the key back from a backup: bore relay backup saves it",
            "if it is lost: remove the rows of certificates, certificate_orders and acme_accounts; new ones are ordered"
        ]
    ),
    entry!(
        "B6108",
        Internal,
        "change not confirmed",
        "The relay made a change, and then its disk failed before it confirmed it. The change is there, and may be lost if the relay's machine stops. When PostgreSQL goes away during a change, the relay asks it what became of the change as soon as it is back.",
        ["a failing disk"],
        [
            "mend the disk, then look whether the change is there, with bore ls or bore audit ls, and make it again where it is not"
        ]
    ),
    entry!(
        "B6109",
        Internal,
        "database missing",
        "The relay was set up before, for its keys are here, and its database is missing or empty. Started like this it would know no node, no key and no publication. Nothing was changed.",
        [
            "bore.db was removed, or not restored with the keys",
            "database_url names another database"
        ],
        [
            "put bore.db of the last bore relay backup into the state folder, or the right database_url into relay.toml",
            "if an empty relay is meant: bore relay init --new-database with the options of the first time"
        ]
    ),
    entry!(
        "B6110",
        Internal,
        "audit trail broken",
        "A row of the audit trail does not follow from the one before it, or the cluster's key did not sign the last one. Changes go on having their rows; none of them is signed.",
        [
            "rows that were changed, added or removed behind the relay's back, in its database",
            "a database that came to this relay with the keys of another one",
            "a failing disk"
        ],
        [
            "keep a copy of the database: it shows what was changed",
            "bore audit verify --expect with a head that you kept says whether the trail was right up to it",
            "bore relay restore with the last backup whose trail is whole"
        ]
    ),
    entry!(
        "B7101",
        TargetDead,
        "target refused",
        "Nothing listens where the publication points to.",
        ["the service is not started", "another port"],
        ["start the service; bore notices by itself"]
    ),
    entry!(
        "B7102",
        TargetDead,
        "target timed out",
        "The target did not answer a connection in time.",
        ["a firewall between this machine and the target", "an overloaded service"],
        ["try it from this machine (curl, nc) and look at the firewall"]
    ),
    entry!(
        "B7103",
        Denied,
        "target not declared on this agent",
        "An agent dials only what was declared on it, whatever a relay or the API says.",
        ["a publication made through the API for an agent"],
        ["publish it on the machine of the agent: bore publish"]
    ),
    entry!(
        "B7104",
        TargetDead,
        "target name does not resolve",
        "The host of the target has no address for this machine's resolver.",
        ["a typing mistake", "a name of a container network that this machine is not in"],
        ["check the name (getent hosts NAME), or give an address"]
    ),
    entry!(
        "B7105",
        TargetDead,
        "the target's certificate is not accepted",
        "The target is an https:// service, and the agent's machine does not accept its certificate; nothing of a visitor's was sent to it.",
        [
            "a self-signed certificate, or one of an authority that this machine does not know",
            "a certificate for another name",
            "it has expired, or this machine's clock is wrong",
            "the service does not speak TLS"
        ],
        [
            "let this machine trust the issuer (ca-certificates), or dial the name that the certificate has",
            "publish it with --insecure-origin, which takes any certificate"
        ]
    ),
    entry!(
        "B7106",
        Denied,
        "the relay asked for what was not declared",
        "An answer or order of the relay was not about what was declared on this agent, or would have had the agent visit a machine of its own network; the agent did not follow it.",
        [
            "the public name resolves to a private address on the agent's machine, and the relay was reached at a public one",
            "agent and relay are of versions that do not understand one another",
            "the relay is not honest"
        ],
        [
            "let the name resolve to the relay's public address here, or join by the relay's private address",
            "compare bore version on both ends; the agent's log (bore logs) names what was asked for"
        ]
    ),
    entry!(
        "B7107",
        TargetDead,
        "the target is not healthy",
        "The target takes connections, and its answer to the health check was late, or had another status than 200 to 399. Visitors are refused until it is healthy again.",
        [
            "the service has a fault of its own, or is still starting",
            "the path of --health http:/PATH does not exist, or needs a login"
        ],
        [
            "look into the service's log",
            "check another path, or only that it takes connections: --health tcp"
        ]
    ),
    entry!(
        "B8101",
        Unverified,
        "not verified in time",
        "It is published, but the agent could not reach the public address from its own network in time; the failed step is named.",
        [
            "DNS has not spread yet",
            "a firewall in front of the relay",
            "the service does not answer"
        ],
        ["look at the step that failed; bore status shows when it turns live"]
    ),
    entry!(
        "B8102",
        Unverified,
        "DNS records not there in time",
        "The relay is set up; the DNS records that it needs were not all there while they were waited for. What was seen instead is named for each.",
        [
            "a record is missing or points elsewhere",
            "a CNAME record stands where the NS record has to be",
            "a resolver still remembers the old one"
        ],
        ["make the records that bore relay init names; bore doctor looks again"]
    ),
];
