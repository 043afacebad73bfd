//! Codes of joining, join keys and API keys.

use super::{Code, Entry, Exit, codes};

codes! {
    NOT_A_JOIN_KEY = "B3101" {
        exit: Authentication, status: 401,
        title: "not a join key",
        meaning: "The text is not a join key. This is decided offline: nothing was sent.",
        causes: ["an API key or a path in its place", "a key cut in half by a line break"],
        next: ["copy the whole line that starts with bore_join_"],
    }
    JOIN_KEY_MISTYPED = "B3102" {
        exit: Authentication, status: 401,
        title: "join key mistyped",
        meaning: "The text is a join key, but its checksum does not match: a letter was changed or lost. Nothing was sent.",
        causes: ["a typing mistake", "a key cut at the end"],
        next: ["copy the key again, whole"],
    }
    JOIN_KEY_INVALID = "B3103" {
        exit: Authentication, status: 403,
        title: "join key not valid",
        meaning: "The relay knows no such key, or its secret is wrong; it says no more to those who do not prove the secret.",
        causes: ["the key was deleted with its network", "the relay was set up anew"],
        next: ["make a new key on the relay: bore key create"],
    }
    JOIN_KEY_EXPIRED = "B3104" {
        exit: Authentication, status: 403,
        title: "join key expired",
        meaning: "The key was good until its time ran out.",
        causes: ["keys of relay init live for a short time"],
        next: ["make a new key on the relay: bore key create"],
    }
    JOIN_KEY_SPENT = "B3105" {
        exit: Authentication, status: 403,
        title: "join key spent",
        meaning: "As many nodes as the key allows have joined with it.",
        causes: ["a one-off key used twice", "a machine whose state folder was deleted joins again"],
        next: ["make a new key on the relay: bore key create --uses N"],
    }
    JOIN_KEY_REVOKED = "B3106" {
        exit: Authentication, status: 403,
        title: "join key revoked",
        meaning: "An administrator took the key back.",
        causes: ["bore key revoke"],
        next: ["ask the administrator for a new key"],
    }
    JOIN_KEY_WRONG_NETWORK = "B3107" {
        exit: Authentication, status: 403,
        title: "join key of another network",
        meaning: "The key names a network that it does not belong to.",
        causes: ["a key put together by hand"],
        next: ["make a new key on the relay: bore key create"],
    }
    ALREADY_NODE = "B3108" {
        exit: Taken, status: 409,
        title: "already a node",
        meaning: "This machine's key is a member already, let in by another join key.",
        causes: ["bore join with a second key"],
        next: [
            "run bore join without a key; or name another --state folder for a second identity",
        ],
    }
    ADDRESSES_EXHAUSTED = "B3109" {
        exit: Denied, status: 409,
        title: "overlay addresses exhausted",
        meaning: "The relay's pool has no overlay IPv4 address left to lease, for any of its networks. Addresses of removed nodes rest: for 30 days, of ephemeral nodes for one day.",
        causes: ["very many ephemeral nodes", "a network that adds and removes nodes all the time"],
        next: ["wait until addresses have rested; remove nodes that are not needed (bore node rm), and find who makes so many: bore audit ls"],
    }
    NETWORK_ADDRESSES_EXHAUSTED = "B3110" {
        exit: Denied, status: 409,
        title: "the network has its share of overlay addresses",
        meaning: "Each network may have a share of the relay's pool of overlay IPv4 addresses. Addresses of removed nodes count until they have rested: for 30 days, of ephemeral nodes for one day. The message says when the next one is free.",
        causes: ["nodes that are added and removed all the time", "machines that join anew at each start instead of keeping their state"],
        next: [
            "wait until the time in the message, and remove nodes that are not needed: bore node rm",
            "keep the state folder of machines that come back (bore join --state DIR); where that is not possible, have them join with an ephemeral key",
        ],
    }
    API_KEY_MISSING = "B3201" {
        exit: Authentication, status: 401,
        title: "API key missing",
        meaning: "The relay's API wants a key, and none was found.",
        causes: [
            "not on the relay machine, and no --api-key-file",
            "the admin.key of the relay is not readable by this user",
        ],
        next: ["--api-key-file FILE (or BORE_API_KEY_FILE), or run it with sudo on the relay"],
    }
    API_KEY_INVALID = "B3202" {
        exit: Authentication, status: 401,
        title: "API key not valid",
        meaning: "The text is not an API key of this relay.",
        causes: ["a key of another relay", "a typing mistake", "a join key in its place"],
        next: ["give the key as it was printed, or make one on the relay: bore key create --api"],
    }
    API_KEY_EXPIRED = "B3203" {
        exit: Authentication, status: 401,
        title: "API key expired or revoked",
        meaning: "The key was good and is no longer.",
        causes: ["every API key expires"],
        next: ["make a new one on the relay: bore key create --api"],
    }
    SCOPE_MISSING = "B3204" {
        exit: Denied, status: 403,
        title: "scope missing",
        meaning: "The API key is valid, and may not do this.",
        causes: ["a read-only key"],
        next: ["make a key with the scope named: bore key create --api --scope SCOPE"],
    }
    OTHER_NETWORK = "B3205" {
        exit: Usage, status: 404,
        title: "not in this network",
        meaning: "Nothing of this name or id is in a network that the caller sees; a relay says the same whether or not another network has it.",
        causes: ["a typing mistake", "it was removed", "an API key of another network"],
        next: ["the command's own ls shows what there is; --network names another network"],
    }
    API_KEY_OF_OTHER_ADDRESS = "B3206" {
        exit: Authentication, status: 401,
        title: "API key stored for another address",
        meaning: "A stored key goes only to the address that it was stored with: the api_url of the same config.toml, or the relay whose admin.key it is. Nothing was sent.",
        causes: ["--api-url or BORE_API names another address than the file that names the key"],
        next: ["name the key for that address: --api-key-file FILE (or BORE_API_KEY_FILE)"],
    }
}
