//! Codes of what is kept on disk and in the database.

use super::{Code, Entry, Exit, codes};

codes! {
    DISK_FULL = "B6101" {
        exit: Internal, status: 507,
        title: "disk full",
        meaning: "There is no space left where the state is kept; nothing was written.",
        causes: ["a full disk or quota"],
        next: ["free some space and do it again"],
    }
    STORE_DAMAGED = "B6102" {
        exit: Internal, status: 503,
        title: "database damaged",
        meaning: "The relay's database is not readable.",
        causes: ["a failing disk", "a copy made while the relay ran"],
        next: ["bore relay restore FILE with the last backup"],
    }
    STORE_NEWER = "B6103" {
        exit: Version, status: 503,
        title: "database newer than bore",
        meaning: "A newer version of bore wrote the database.",
        causes: ["a downgrade"],
        next: ["install the newer version again"],
    }
    STATE_FOLDER_IN_USE = "B6104" {
        exit: Taken, status: 409,
        title: "state folder in use",
        meaning: "Another process works with this state folder.",
        causes: ["an agent or a relay runs already"],
        next: ["bore status shows the agent that runs; or name another --state folder"],
    }
    STATE_FOLDER_EXPOSED = "B6105" {
        exit: Denied, status: 403,
        title: "state folder readable by others",
        meaning: "The folder holds private keys, and other users of this machine can read it.",
        causes: ["a copied folder", "a loose umask"],
        next: ["chmod 700 on the folder, and chmod 600 on the files in it"],
    }
    STORE_UNAVAILABLE = "B6106" {
        exit: Unreachable, status: 503,
        title: "store unavailable",
        meaning: "The relay cannot reach its database, or the database takes no changes. Visitors are served; nothing can be changed.",
        causes: ["PostgreSQL is down, unreachable or read-only", "a disk that fails"],
        next: [
            "try again in a moment: what runs goes on without it",
            "bring the database back; the relay notices by itself",
        ],
    }
    SEALED_SECRETS = "B6107" {
        exit: Internal, status: 500,
        title: "sealed secrets cannot be opened",
        meaning: "Private keys and accounts are sealed in the database. The sealing key is missing, or is not the one that they were sealed with. Nothing was changed, and no other key was made.",
        causes: [
            "seal.key was not restored with the database",
            "another sealing_key_file or BORE_SEALING_KEY",
            "a rotation that was killed and whose next key was removed",
        ],
        next: [
            "put the key back from a backup: bore relay backup saves it",
            "if it is lost: remove the rows of certificates, certificate_orders and acme_accounts; new ones are ordered",
        ],
    }
    NOT_CONFIRMED = "B6108" {
        exit: Internal, status: 503,
        title: "change not confirmed",
        meaning: "The relay made a change, and then its disk failed before it confirmed it. The change is there, and may be lost if the relay's machine stops. When PostgreSQL goes away during a change, the relay asks it what became of the change as soon as it is back.",
        causes: ["a failing disk"],
        next: [
            "look whether the change is there, with bore ls or bore audit ls, and make it again where it is not",
            "mend the disk",
        ],
    }
    STORE_MISSING = "B6109" {
        exit: Internal, status: 500,
        title: "database missing",
        meaning: "The relay was set up before, for its keys are here, and its database is missing or empty. Started like this it would know no node, no key and no publication. Nothing was changed.",
        causes: [
            "bore.db was removed, or not restored with the keys",
            "database_url names another database",
        ],
        next: [
            "put bore.db of the last bore relay backup into the state folder, or the right database_url into relay.toml",
            "if an empty relay is meant: bore relay init --new-database with the options of the first time",
        ],
    }
    AUDIT_TRAIL_BROKEN = "B6110" {
        exit: Internal, status: 500,
        title: "audit trail broken",
        meaning: "A row of the audit trail does not follow from the one before it, or the cluster's key did not sign the last one. Changes go on having their rows; none of them is signed.",
        causes: [
            "rows that were changed, added or removed behind the relay's back, in its database",
            "a database that came to this relay with the keys of another one",
            "a failing disk",
        ],
        next: [
            "keep a copy of the database: it shows what was changed",
            "bore audit verify --expect with a head that you kept tells if the trail was right up to it",
            "bore relay restore with the last backup whose trail is whole",
        ],
    }
}
