//! What the relay's own errors are in the catalogue.

use std::path::Path;

use bore_api::Code;
use bore_relay::{
    BackupError, ConfigError, InitError, SealingKeyError, StartError, StateError, StoreError,
};

use crate::error::CliError;

/// Everything that is wrong with a configuration.
pub(in crate::cmd) fn config(path: &Path, errors: &[ConfigError]) -> CliError {
    let missing = |error: &ConfigError| matches!(error, ConfigError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound);
    if errors.iter().any(missing) {
        return CliError::new(
            Code::NO_RELAY_HERE,
            format!("there is no relay configuration at {}", path.display()),
        );
    }
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let plural = if lines.len() == 1 { "mistake" } else { "mistakes" };
    let error = CliError::new(
        Code::CONFIGURATION,
        format!("{} has {} {plural}", path.display(), lines.len()),
    );
    error.cause(lines.join("\n         ")).next("correct them; every key is in docs/config.md")
}

/// Why a relay was not set up.
pub(in crate::cmd) fn init(path: &Path, error: &InitError) -> CliError {
    match error {
        InitError::Config(errors) => config(path, errors),
        InitError::State(cause) => state(cause),
        InitError::Store(cause) => store(cause),
        InitError::Write { source, .. } => {
            CliError::io(error.to_string(), source).next("sudo, or another --config FILE")
        }
        InitError::Keys(_) => CliError::wrap(Code::STORE_UNAVAILABLE, error),
        other => CliError::wrap(Code::INTERNAL, other),
    }
}

/// Why a relay did not start.
pub(in crate::cmd) fn start(error: &StartError) -> CliError {
    match error {
        StartError::State(cause) => state(cause),
        StartError::Store(cause) => store(cause),
        StartError::SealingKey(cause) => sealing_key(cause),
        StartError::CaRoots(cause) => CliError::wrap(Code::CONFIGURATION, cause),
        StartError::Listen { what: "dns", address, .. } => CliError::wrap(Code::CANNOT_LISTEN, error).next(format!(
            "what holds port {port} (ss -lnp 'sport = :{port}')? Beside a resolver on loopback, set dns.listen to the address of this machine that the world reaches (ip -brief address)",
            port = address.port()
        )),
        StartError::Listen { .. } | StartError::Overlay(_) => CliError::wrap(Code::CANNOT_LISTEN, error),
        StartError::Certificate(_) => CliError::wrap(Code::CERTIFICATE_FILE, error),
        StartError::Dns(_) => CliError::wrap(Code::CONFIGURATION, error),
        StartError::Tls(_) => CliError::wrap(Code::INTERNAL, error),
        other => CliError::wrap(Code::INTERNAL, other),
    }
}

/// Why secrets in the database cannot be opened, or sealed anew.
pub(in crate::cmd) fn sealing_key(error: &SealingKeyError) -> CliError {
    match error {
        SealingKeyError::State(cause) => state(cause),
        SealingKeyError::Store(cause) => store(cause),
        SealingKeyError::Missing(_)
        | SealingKeyError::NoFile(_)
        | SealingKeyError::NoNext
        | SealingKeyError::NotAKey(_)
        | SealingKeyError::Wrong(_)
        | SealingKeyError::Random(_) => CliError::wrap(Code::SEALED_SECRETS, error),
        SealingKeyError::Io { source, .. } if full(source) => {
            CliError::wrap(Code::DISK_FULL, error)
        }
        SealingKeyError::Io { path, source } => {
            CliError::io(error.to_string(), source).next(format!(
                "the user that the relay runs as must be able to read it: ls -l {}",
                path.display()
            ))
        }
        other => CliError::wrap(Code::INTERNAL, other),
    }
}

/// Why a database was not copied.
pub(in crate::cmd) fn backup(error: &BackupError) -> CliError {
    match error {
        BackupError::State(cause) => state(cause),
        BackupError::Store(cause) => store(cause),
        other => CliError::wrap(Code::INTERNAL, other),
    }
}

/// Why a state folder cannot be used.
pub(in crate::cmd) fn state(error: &StateError) -> CliError {
    let code = if matches!(error, StateError::InUse(_)) {
        Code::STATE_FOLDER_IN_USE
    } else if matches!(error, StateError::ReadableByOthers { .. }) {
        Code::STATE_FOLDER_EXPOSED
    } else if matches!(error, StateError::Empty(_)) {
        Code::NO_RELAY_HERE
    } else if matches!(error, StateError::DamagedKey(_)) {
        Code::STORE_DAMAGED
    } else if matches!(error, StateError::Io { source, .. } if full(source)) {
        Code::DISK_FULL
    } else {
        Code::FILE
    };
    let wrapped = CliError::wrap(code, error);
    if !matches!(error, StateError::InUse(_)) {
        return wrapped;
    }
    wrapped.next(
        "stop the relay that runs (systemctl stop bore-relay); to let a machine join it, `bore key create` needs no stop",
    )
}

/// Why a database cannot be used.
pub(in crate::cmd) fn store(error: &StoreError) -> CliError {
    let code = if matches!(error, StoreError::DiskFull) {
        Code::DISK_FULL
    } else if matches!(error, StoreError::Corrupt(_)) {
        Code::STORE_DAMAGED
    } else if matches!(error, StoreError::Newer { .. }) {
        Code::STORE_NEWER
    } else if matches!(error, StoreError::Locked) {
        Code::STATE_FOLDER_IN_USE
    } else if matches!(error, StoreError::Missing) {
        Code::STORE_MISSING
    } else {
        Code::STORE_UNAVAILABLE
    };
    CliError::wrap(code, error)
}

fn full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_that_was_never_set_up_is_told_apart_from_a_wrong_file() {
        let path = Path::new("/nowhere/relay.toml");
        let errors = bore_relay::Config::load(path).unwrap_err();
        assert_eq!(config(path, &errors).code(), "B1013");

        let errors = bore_relay::Config::parse("host = \"a.example\"\ndomian = \"x\"").unwrap_err();
        let error = config(path, &errors);
        assert_eq!(error.code(), "B1003");
        assert!(error.reason().unwrap().contains("domain"), "{error:?}");
    }

    #[test]
    fn a_database_says_what_is_wrong_with_it() {
        assert_eq!(store(&StoreError::DiskFull).code(), "B6101");
        assert_eq!(store(&StoreError::Newer { found: 9, known: 1 }).exit().number(), 9);
        assert_eq!(store(&StoreError::Missing).code(), "B6109");
        assert_eq!(state(&StateError::InUse("/x".into())).exit().number(), 6);
    }

    #[test]
    fn a_sealing_key_that_cannot_be_read_is_not_taken_for_a_wrong_one() {
        let failed = |kind: std::io::ErrorKind| {
            sealing_key(&SealingKeyError::Io { path: "/x/seal.key".into(), source: kind.into() })
        };
        assert_eq!(failed(std::io::ErrorKind::StorageFull).code(), "B6101");
        assert_eq!(failed(std::io::ErrorKind::PermissionDenied).code(), "B1002");
    }
}
