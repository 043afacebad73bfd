//! Why the agent could not do something: what was tried, the code that `bore explain` knows, and what to do next.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bore_api::{Code, Problem};
use rustix::io::Errno;

use super::targets::DialError;

/// Why a call on the agent failed, or why the agent ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// No relay answered.
    #[error("no relay answered within {:.1} s, tried {}", .waited.as_secs_f64(), list(.tried))]
    RelayUnreachable {
        /// Addresses in the order in which they were tried.
        tried: Vec<SocketAddr>,
        /// How long.
        waited: Duration,
    },
    /// The relay's name has no address.
    #[error("no address for relay {}: {cause}", .names.join(", "))]
    RelayUnresolved {
        /// Names that were asked for.
        names: Vec<String>,
        /// What the resolver said.
        cause: String,
    },
    /// The tunnel is up, the relay's control does not answer.
    #[error("the relay's control does not answer: {cause}")]
    ControlUnreachable {
        /// What was seen.
        cause: String,
    },
    /// The relay said no.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The relay answered about something that was not declared here.
    #[error("the relay's answer is not followed: its {what} is not what was asked for")]
    Distrusted {
        /// The part of the answer that is wrong.
        what: &'static str,
    },
    /// The relay's answer is not of this version's form.
    #[error("the relay's answer is not understood: {cause}")]
    NotUnderstood {
        /// What is wrong with it.
        cause: String,
    },
    /// Another agent took over this identity.
    #[error("another agent took over this node's identity")]
    Replaced,
    /// Files.
    #[error(transparent)]
    State(#[from] StateError),
    /// No identity in the state folder, and no join key given.
    #[error("this machine has not joined a network ({})", .folder.display())]
    NotJoined {
        /// The state folder.
        folder: PathBuf,
    },
    /// The state folder belongs to a node of another network or cluster.
    #[error("this state folder is already node `{name}` of another network")]
    OtherNetwork {
        /// The node's name.
        name: String,
    },
    /// The target cannot be dialled, or its text is wrong.
    #[error("{0}")]
    Target(#[from] DialError),
    /// The text after `publish` names no target.
    #[error("`{target}` is not a target: {cause}")]
    BadTarget {
        /// What was given.
        target: String,
        /// Why not.
        cause: String,
    },
    /// Too many publications.
    #[error("this agent has {max} publications already, its limit")]
    TooManyPublications {
        /// The limit.
        max: usize,
    },
    /// A publication that is to stay has the name, or the target, of one that would end with its command and take it along.
    #[error("`{name}` is published on this machine already, and stays")]
    Kept {
        /// Its name.
        name: String,
    },
    /// A listener has the name, or one without a name would get it.
    #[error("a listener of this program is published as `{name}` already")]
    Listening {
        /// Its name.
        name: String,
    },
    /// A publication that leads elsewhere has the name that a listener is to have.
    #[error("`{name}` is published on this machine already, and leads elsewhere")]
    Published {
        /// Its name.
        name: String,
    },
    /// Nothing of this name was declared here.
    #[error("no publication `{0}` was declared on this agent")]
    NotDeclared(String),
    /// The agent has been stopped.
    #[error("the agent has stopped")]
    Stopped,
    /// The overlay's thread has ended without being stopped: a fault of bore's own. Another start may do better.
    #[error("the overlay has ended by itself")]
    OverlayEnded,
    /// No agent answers on the socket.
    #[error("no agent answers at {}", .socket.display())]
    NoAgent {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An agent has the socket and does not answer.
    #[error("the agent at {} does not answer within {} s", .socket.display(), .waited.as_secs())]
    AgentSilent {
        /// The socket.
        socket: PathBuf,
        /// How long.
        waited: Duration,
    },
    /// The overlay's thread.
    #[error("the overlay could not be started")]
    Overlay(#[source] bore_driver::StartError),
    /// What an earlier attempt ended with, told to everybody who waits.
    #[error(transparent)]
    Earlier(Arc<Self>),
    /// Something that should not happen.
    #[error("{0}")]
    Internal(String),
}

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another agent holds it.
    #[error("another agent uses the state folder {}", .0.display())]
    InUse(PathBuf),
    /// Others may read it.
    #[error("{} can be read by other users (mode {mode:03o})", .path.display())]
    Exposed {
        /// The folder or file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// No room.
    #[error("the disk is full: {} was not written", .path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The file system said no.
    #[error("cannot {what} {}", .path.display())]
    Io {
        /// `read`, `write`, `create`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what bore wrote.
    #[error("{} is damaged: {cause}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The machine says no home folder.
    #[error("no state folder: HOME is not set")]
    NoHome,
}

impl AgentError {
    /// The code that `bore explain` knows, as it is written: a newer relay may have others than [`Code`].
    pub fn code(&self) -> &str {
        match (self, self.known_code()) {
            (Self::Earlier(error), _) => error.code(),
            (_, Some(code)) => code.as_str(),
            (Self::Refused(problem), None) if !problem.code.is_empty() => &problem.code,
            (_, None) => Code::INTERNAL.as_str(),
        }
    }

    /// The code of the registry; `None` for one of a newer relay.
    pub fn known_code(&self) -> Option<Code> {
        Some(match self {
            Self::Refused(problem) => return problem.known_code(),
            Self::RelayUnreachable { .. }
            | Self::RelayUnresolved { .. }
            | Self::ControlUnreachable { .. } => Code::RELAY_UNREACHABLE,
            Self::Distrusted { .. } | Self::NotUnderstood { .. } => Code::RELAY_DISTRUSTED,
            Self::Replaced => Code::REPLACED,
            Self::State(error) => error.code(),
            Self::NotJoined { .. } => Code::NOT_JOINED,
            Self::OtherNetwork { .. } => Code::ALREADY_NODE,
            Self::Target(error) => error.code(),
            Self::BadTarget { .. } => Code::USAGE,
            Self::TooManyPublications { .. } => Code::QUOTA,
            Self::Kept { .. } | Self::Listening { .. } | Self::Published { .. } => Code::NAME_TAKEN,
            Self::NotDeclared(_) => Code::PUBLICATION_NOT_FOUND,
            Self::Stopped | Self::NoAgent { .. } | Self::AgentSilent { .. } => Code::NO_AGENT,
            Self::Earlier(error) => return error.known_code(),
            Self::Overlay(_) | Self::OverlayEnded | Self::Internal(_) => Code::INTERNAL,
        })
    }

    /// The same in the form of a refusal of the relay's.
    pub fn problem(&self) -> Problem {
        Problem {
            detail: self.to_string(),
            code: self.code().to_owned(),
            next: self.next_step(),
            ..Problem::default()
        }
    }

    /// What to do, as a command or a sentence.
    pub fn next_step(&self) -> String {
        match self {
            Self::RelayUnreachable { .. } => {
                "check that UDP to the relay is not blocked, and that `bore relay run` runs there; \
                 `bore doctor` tests both"
                    .to_owned()
            }
            Self::RelayUnresolved { .. } => "check this machine's DNS, or the relay's name".to_owned(),
            Self::ControlUnreachable { .. } => {
                "the agent keeps trying; if it lasts, look at the relay's log, and whether this node \
                 was removed (`bore node ls`)"
                    .to_owned()
            }
            Self::Refused(problem) => problem.next.clone(),
            Self::Distrusted { .. } | Self::NotUnderstood { .. } => {
                "compare `bore version` here and on the relay; if they agree, ask who runs the relay".to_owned()
            }
            Self::Replaced => "start this agent with --takeover to take the identity back, or join \
                               this machine as a node of its own"
                .to_owned(),
            Self::State(error) => error.next_step(),
            Self::NotJoined { .. } => {
                "make a key on the relay with `bore key create`, then `bore join -` here, and paste it".to_owned()
            }
            Self::OtherNetwork { .. } => "join with --state DIR to be a second node".to_owned(),
            Self::Target(error) => error.next_step(),
            Self::BadTarget { .. } => "give 3000, HOST:PORT, 27000-27050 or unix:/path".to_owned(),
            Self::TooManyPublications { .. } => "remove one with `bore rm NAME`".to_owned(),
            Self::Kept { name } => {
                format!("`bore ls` shows it; to change it add --bg, to end it `bore rm {name}`")
            }
            Self::Listening { .. } | Self::Published { .. } => {
                "give it another name, or take this one over with --replace (`replace` of a declaration)".to_owned()
            }
            Self::NotDeclared(_) => "`bore ls` shows what is published here".to_owned(),
            Self::Stopped | Self::NoAgent { .. } => "start one with `bore join`".to_owned(),
            Self::AgentSilent { .. } => {
                "look whether it is stopped (ps, systemctl status bore-agent), and start it again".to_owned()
            }
            Self::Overlay(_) => "check the limit of open files and that UDP sockets are allowed".to_owned(),
            Self::Earlier(error) => error.next_step(),
            Self::OverlayEnded | Self::Internal(_) => {
                "run again with -v and report what it says".to_owned()
            }
        }
    }

    /// Returns true if only a person can change the outcome: the agent ends. After any other error it tries again, for ever.
    ///
    /// | error | decided by |
    /// |---|---|
    /// | `Replaced`, `Stopped` | the person who took over or stopped it |
    /// | `OverlayEnded` | this process cannot go on; the service manager may start it again |
    /// | `Refused` with a code of [`DECISIONS`] | the administrator, or the version that is installed |
    /// | `Refused` with any other code | the relay's state right now: tried again |
    /// | `NotJoined`, `OtherNetwork`, `BadTarget`, `TooManyPublications`, `Kept`, `Listening`, `Published`, `NotDeclared` | the command line |
    /// | `State` | see [`StateError::is_final`] |
    /// | all others | networks, disks and limits of the machine, which recover: tried again |
    pub fn is_final(&self) -> bool {
        match self {
            Self::Replaced
            | Self::Stopped
            | Self::OverlayEnded
            | Self::NotJoined { .. }
            | Self::OtherNetwork { .. }
            | Self::BadTarget { .. }
            | Self::TooManyPublications { .. }
            | Self::Kept { .. }
            | Self::Listening { .. }
            | Self::Published { .. }
            | Self::NotDeclared(_) => true,
            Self::Refused(problem) => {
                problem.known_code().is_some_and(|code| DECISIONS.contains(&code))
            }
            Self::State(error) => error.is_final(),
            Self::Earlier(error) => error.is_final(),
            Self::RelayUnreachable { .. }
            | Self::RelayUnresolved { .. }
            | Self::ControlUnreachable { .. }
            | Self::Distrusted { .. }
            | Self::NotUnderstood { .. }
            | Self::Target(_)
            | Self::NoAgent { .. }
            | Self::AgentSilent { .. }
            | Self::Overlay(_)
            | Self::Internal(_) => false,
        }
    }

    /// Returns true if the relay is finding out whether the agent that had this identity before still lives.
    pub fn is_being_asked(&self) -> bool {
        matches!(self, Self::Refused(_)) && self.known_code() == Some(Code::ASKING_AGENT)
    }
}

/// Refusals that stand until a person changes something: a key that is invalid, expired, spent or revoked, a node that was removed or has
/// no right, another version, an identity that was taken over or that a living agent holds.
const DECISIONS: [Code; 13] = [
    Code::NOT_A_JOIN_KEY,
    Code::JOIN_KEY_MISTYPED,
    Code::JOIN_KEY_INVALID,
    Code::JOIN_KEY_EXPIRED,
    Code::JOIN_KEY_SPENT,
    Code::JOIN_KEY_REVOKED,
    Code::JOIN_KEY_WRONG_NETWORK,
    Code::ALREADY_NODE,
    Code::SCOPE_MISSING,
    Code::OTHER_NETWORK,
    Code::VERSION_MISMATCH,
    Code::REPLACED,
    Code::ANOTHER_AGENT,
];

impl StateError {
    /// The code that `bore explain` knows.
    pub fn code(&self) -> Code {
        match self {
            Self::InUse(_) => Code::STATE_FOLDER_IN_USE,
            Self::Exposed { .. } => Code::STATE_FOLDER_EXPOSED,
            Self::DiskFull { .. } => Code::DISK_FULL,
            Self::Io { .. } | Self::Damaged { .. } | Self::NoHome => Code::FILE,
        }
    }

    /// Returns true if only a person can change it, as the rights of a file. Room comes back, and a disk that failed may be mounted again.
    pub fn is_final(&self) -> bool {
        match self {
            Self::InUse(_) | Self::Exposed { .. } | Self::Damaged { .. } | Self::NoHome => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            Self::DiskFull { .. } => false,
        }
    }

    /// What to do.
    pub fn next_step(&self) -> String {
        match self {
            Self::InUse(_) => "use the running agent (`bore status`), or --state DIR".to_owned(),
            Self::Exposed { path, mode: _ } if path.is_dir() => {
                format!("chmod 700 {}", path.display())
            }
            Self::Exposed { path, mode: _ } => format!("chmod 600 {}", path.display()),
            Self::DiskFull { .. } => "free some space".to_owned(),
            Self::Io { path, source, .. } => remedy(path, source),
            Self::Damaged { path, .. } => {
                format!("move {} away and join again with a new key", path.display())
            }
            Self::NoHome => "give --state DIR or set BORE_STATE".to_owned(),
        }
    }

    /// Names the file that `source` is about.
    pub fn io(what: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::DiskFull { path };
        }
        Self::Io { what, path, source }
    }
}

/// What helps when the file system refuses `path`.
fn remedy(path: &std::path::Path, source: &io::Error) -> String {
    let path = path.display();
    let is = |errno: Errno| source.raw_os_error() == Some(errno.raw_os_error());
    if is(Errno::ROFS) {
        format!("mount the file system of {path} writable, or give --state DIR on another one")
    } else if is(Errno::ACCESS) || is(Errno::PERM) {
        format!("check who owns {path}, or give --state DIR with a folder of this user's")
    } else if is(Errno::NOENT) || is(Errno::NOTDIR) {
        "give --state DIR with a folder that can be created".to_owned()
    } else if is(Errno::MFILE) {
        "raise the limit of open files (ulimit -n)".to_owned()
    } else if source.kind() == io::ErrorKind::FileTooLarge {
        "publish less on this agent (bore rm NAME), or with shorter lists".to_owned()
    } else {
        format!("check the disk that {path} is on (dmesg), or give --state DIR on another one")
    }
}

/// The text of `error` with those of its causes.
pub fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn list(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "no address".to_owned() } else { texts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreachable_relay_is_named_with_what_was_tried_and_how_long() {
        let error = AgentError::RelayUnreachable {
            tried: vec!["203.0.113.5:443".parse().unwrap(), "[2001:db8::5]:443".parse().unwrap()],
            waited: Duration::from_millis(10_000),
        };
        assert_eq!(
            error.to_string(),
            "no relay answered within 10.0 s, tried 203.0.113.5:443, [2001:db8::5]:443"
        );
        assert_eq!(error.code(), "B5101");
        assert!(!error.is_final(), "the agent keeps trying");
    }

    #[test]
    fn only_a_persons_decision_ends_the_agent() {
        let refused = |code: &str| {
            AgentError::Refused(Box::new(Problem {
                status: 403,
                code: code.to_owned(),
                ..Problem::default()
            }))
        };
        let decided = ["B3104", "B3106", "B3204", "B5103", "B5104", "B5105"];
        assert!(decided.into_iter().all(|code| refused(code).is_final()));
        let passing = ["B2104", "B2109", "B3109", "B5102", "B5106", "B6101", "B6102", "B6106", ""];
        assert!(passing.into_iter().all(|code| !refused(code).is_final()));
    }

    #[test]
    fn a_disk_that_fails_never_ends_the_agent() {
        let path = std::path::Path::new("/s/publications.json");
        for errno in [Errno::NOSPC, Errno::ROFS, Errno::IO, Errno::MFILE] {
            let error = StateError::io("write", path, io::Error::from(errno));
            assert!(!AgentError::State(error).is_final(), "{errno}");
        }
        assert!(AgentError::State(StateError::InUse(path.to_owned())).is_final());
        let closed = StateError::io("create", path, Errno::ACCESS.into());
        assert!(AgentError::State(closed).is_final(), "rights are a person's decision");
    }

    #[test]
    fn the_cause_of_a_failure_is_told_with_it() {
        let path = std::path::Path::new("/s/publications.json");
        let error = AgentError::State(StateError::io("write", path, Errno::ROFS.into()));
        let text = in_full(&error);
        assert!(text.starts_with("cannot write /s/publications.json: Read-only"), "{text}");
    }

    #[test]
    fn the_next_step_names_what_the_file_system_refused() {
        let path = std::path::Path::new("/s/lock");
        let step = |errno| StateError::io("create", path, io::Error::from(errno)).next_step();
        assert!(step(Errno::ROFS).contains("mount") && step(Errno::ROFS).contains("--state DIR"));
        assert!(step(Errno::ACCESS).contains("who owns"));
        assert!(step(Errno::MFILE).contains("ulimit"));
        assert!(!step(Errno::IO).contains("who owns"));
    }
}
