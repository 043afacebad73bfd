//! The table of codes: text, usual status, title and advice. `bore explain` has a page for each.

use http::StatusCode;

/// The codes of the control room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// B2101.
    NameNotLabel,
    /// B2102.
    NameTaken,
    /// B2103.
    HostnameTaken,
    /// B2104.
    PortTaken,
    /// B2105.
    PortUsedElsewhere,
    /// B2106.
    HostnameOutside,
    /// B2107.
    PortRefused,
    /// B2108.
    NoFreePort,
    /// B2109.
    Quota,
    /// B2110.
    BadAccess,
    /// B2111.
    PublicationNotFound,
    /// B2112.
    BadRequest,
    /// B2113.
    AddressTaken,
    /// B2301.
    DomainTaken,
    /// B2302.
    DomainUnproved,
    /// B2303.
    DomainInUse,
    /// B2304.
    DomainRefused,
    /// B3103.
    JoinKeyInvalid,
    /// B3104.
    JoinKeyExpired,
    /// B3105.
    JoinKeySpent,
    /// B3106.
    JoinKeyRevoked,
    /// B3107.
    JoinKeyWrongNetwork,
    /// B3108.
    AlreadyNode,
    /// B3109.
    AddressesExhausted,
    /// B3201.
    ApiKeyMissing,
    /// B3202.
    ApiKeyInvalid,
    /// B3203.
    ApiKeyExpired,
    /// B3204.
    ScopeMissing,
    /// B3205.
    OtherNetwork,
    /// B4101.
    PolicyDenies,
    /// B4102.
    PolicyBroken,
    /// B4103.
    RevisionConflict,
    /// B5104.
    Replaced,
    /// B5105.
    AnotherAgent,
    /// B5106.
    AskingAgent,
    /// B6101.
    DiskFull,
    /// B6102.
    StoreDamaged,
    /// B6103.
    StoreNewer,
    /// B6106.
    StoreUnavailable,
    /// B6108.
    NotConfirmed,
    /// B7103.
    TargetNotDeclared,
    /// B8101.
    NotVerified,
}

/// What belongs to a code.
#[derive(Debug, Clone, Copy)]
pub struct CodeRow {
    /// `B2104`.
    pub text: &'static str,
    /// The usual status.
    pub status: StatusCode,
    /// The class, the same for every case.
    pub title: &'static str,
    /// What usually helps.
    pub next: &'static str,
}

impl Code {
    /// Text, status, title and advice.
    pub fn row(self) -> CodeRow {
        use StatusCode as S;
        let (text, status, title, next) = match self {
            Self::NameNotLabel => (
                "B2101",
                S::UNPROCESSABLE_ENTITY,
                "name is not a DNS label",
                "try: lower-case letters, digits and hyphens, at most 63",
            ),
            Self::NameTaken => ("B2102", S::CONFLICT, "name taken", "try: another name"),
            Self::HostnameTaken => {
                ("B2103", S::CONFLICT, "hostname taken", "try: --host with another name")
            }
            Self::PortTaken => (
                "B2104",
                S::CONFLICT,
                "port taken by a publication",
                "try: --port 0 for any free port",
            ),
            Self::PortUsedElsewhere => (
                "B2105",
                S::CONFLICT,
                "port used by another program on the relay",
                "try: --port 0 for any free port",
            ),
            Self::HostnameOutside => (
                "B2106",
                S::UNPROCESSABLE_ENTITY,
                "hostname outside the domains",
                "try: --host with a single label, or bore domain add for a domain of your own",
            ),
            Self::PortRefused => (
                "B2107",
                S::UNPROCESSABLE_ENTITY,
                "port cannot be opened",
                "try: --port 0 for any free port",
            ),
            Self::NoFreePort => (
                "B2108",
                S::CONFLICT,
                "no free port",
                "try: bore ls, and bore rm what is not needed",
            ),
            Self::Quota => (
                "B2109",
                S::TOO_MANY_REQUESTS,
                "quota reached",
                "try: remove what is not needed, or ask the relay's administrator",
            ),
            Self::BadAccess => (
                "B2110",
                S::UNPROCESSABLE_ENTITY,
                "bad access list",
                "try: --allow 10.0.0.0/8, --allow overlay or --allow group:NAME",
            ),
            Self::PublicationNotFound => {
                ("B2111", S::NOT_FOUND, "publication not found", "try: bore ls")
            }
            Self::BadRequest => (
                "B2112",
                S::BAD_REQUEST,
                "bad request",
                "try: compare with /v1/openapi.json, and the versions of bore on both ends",
            ),
            Self::AddressTaken => (
                "B2113",
                S::CONFLICT,
                "the relay's address is taken",
                "try: --host under a domain of your own (bore domain add), or give the relay a domain",
            ),
            Self::DomainTaken => (
                "B2301",
                S::CONFLICT,
                "domain of another network",
                "try: ask the relay's administrator whose it is; after release it rests for 30 days",
            ),
            Self::DomainUnproved => (
                "B2302",
                S::CONFLICT,
                "domain not proved",
                "try: set the record that `bore domain add` printed, then verify again",
            ),
            Self::DomainInUse => (
                "B2303",
                S::CONFLICT,
                "domain in use",
                "try: bore ls --all, and bore rm what is published under it",
            ),
            Self::DomainRefused => (
                "B2304",
                S::UNPROCESSABLE_ENTITY,
                "not a custom domain",
                "try: a domain of your own, like example.com",
            ),
            Self::JoinKeyInvalid => (
                "B3103",
                S::FORBIDDEN,
                "join key not valid",
                "try: a new key from `bore key create`",
            ),
            Self::JoinKeyExpired => {
                ("B3104", S::FORBIDDEN, "join key expired", "try: a new key from `bore key create`")
            }
            Self::JoinKeySpent => {
                ("B3105", S::FORBIDDEN, "join key spent", "try: a new key from `bore key create`")
            }
            Self::JoinKeyRevoked => {
                ("B3106", S::FORBIDDEN, "join key revoked", "try: a new key from `bore key create`")
            }
            Self::JoinKeyWrongNetwork => (
                "B3107",
                S::FORBIDDEN,
                "join key of another network",
                "try: the key as it was printed",
            ),
            Self::AlreadyNode => (
                "B3108",
                S::CONFLICT,
                "already a node",
                "try: `bore join` without a key, or remove the node first",
            ),
            Self::AddressesExhausted => (
                "B3109",
                S::CONFLICT,
                "overlay addresses exhausted",
                "try: remove nodes that are not needed; addresses rest for 30 days",
            ),
            Self::ApiKeyMissing => {
                ("B3201", S::UNAUTHORIZED, "API key missing", "try: --api-key-file FILE")
            }
            Self::ApiKeyInvalid => (
                "B3202",
                S::UNAUTHORIZED,
                "API key not valid",
                "try: the key as it was printed, or a new one",
            ),
            Self::ApiKeyExpired => (
                "B3203",
                S::UNAUTHORIZED,
                "API key expired or revoked",
                "try: a new key from `bore key create --api`",
            ),
            Self::ScopeMissing => {
                ("B3204", S::FORBIDDEN, "scope missing", "try: a key that has the scope")
            }
            Self::OtherNetwork => (
                "B3205",
                S::NOT_FOUND,
                "not in this network",
                "try: list what there is; names and ids belong to one network",
            ),
            Self::PolicyDenies => (
                "B4101",
                S::FORBIDDEN,
                "denied by policy",
                "try: bore policy explain, or ask who wrote the rule",
            ),
            Self::PolicyBroken => (
                "B4102",
                S::UNPROCESSABLE_ENTITY,
                "policy does not compile",
                "try: correct every line of `errors`; nothing was changed",
            ),
            Self::RevisionConflict => (
                "B4103",
                S::CONFLICT,
                "changed by somebody else",
                "try: read it again, then repeat the change",
            ),
            Self::Replaced => (
                "B5104",
                S::CONFLICT,
                "replaced by another agent",
                "try: `bore join --takeover` if this machine is the right one",
            ),
            Self::AnotherAgent => (
                "B5105",
                S::CONFLICT,
                "another agent runs with this identity",
                "try: stop the other agent, or --takeover",
            ),
            Self::AskingAgent => (
                "B5106",
                S::CONFLICT,
                "the earlier agent is being asked",
                "try: again in a few seconds",
            ),
            Self::DiskFull => (
                "B6101",
                S::INSUFFICIENT_STORAGE,
                "disk full",
                "try: make room on the relay's disk",
            ),
            Self::StoreDamaged => (
                "B6102",
                S::SERVICE_UNAVAILABLE,
                "database damaged",
                "try: `bore relay restore` with the last backup",
            ),
            Self::StoreNewer => (
                "B6103",
                S::SERVICE_UNAVAILABLE,
                "database written by a newer bore",
                "try: install the newer bore again",
            ),
            Self::StoreUnavailable => (
                "B6106",
                S::SERVICE_UNAVAILABLE,
                "store unavailable",
                "try: again in a moment; what runs goes on without it",
            ),
            Self::NotConfirmed => (
                "B6108",
                S::SERVICE_UNAVAILABLE,
                "change not confirmed",
                "try: look whether the change is there, and make it again where it is not",
            ),
            Self::TargetNotDeclared => (
                "B7103",
                S::UNPROCESSABLE_ENTITY,
                "target not declared on the agent",
                "try: `bore publish` on the agent's machine",
            ),
            Self::NotVerified => {
                ("B8101", S::CONFLICT, "no visit is expected", "try: again in a few seconds")
            }
        };
        CodeRow { text, status, title, next }
    }
}
