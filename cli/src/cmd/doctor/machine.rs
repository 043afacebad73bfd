//! Checks that need no network: the program itself, limits, the state folder.

use std::ffi::OsStr;
use std::path::Path;

use super::Check;
use crate::error::CliError;
use bore_agent::StateFolder;

/// Files that an agent under load has open: two for each flow, and some.
const OPEN_FILES_WANTED: u64 = 8192;

/// Another program is called `bore` too; the first on PATH is the one that a shell runs.
pub(super) fn program() -> Check {
    let path = std::env::var_os("PATH").unwrap_or_default();
    first_on_path(&path, std::env::current_exe().ok().as_deref())
}

fn first_on_path(path: &OsStr, ours: Option<&Path>) -> Check {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let first =
        std::env::split_paths(path).map(|folder| folder.join("bore")).find(|bore| bore.is_file());
    match (first, ours) {
        (None, ours) => Check::good("program", format!("{} (not on PATH)", shown(ours))),
        (Some(first), Some(ours)) if real(&first) == real(ours) => {
            Check::good("program", format!("{} is the first bore on PATH", first.display()))
        }
        (Some(first), ours) => Check::bad(
            "program",
            format!("{} comes first on PATH and is another program", first.display()),
            format!("remove it, or run this one by its path: {}", shown(ours)),
        ),
    }
}

fn shown(path: Option<&Path>) -> String {
    path.map_or_else(|| "bore".to_owned(), |path| path.display().to_string())
}

/// The limit of open files.
pub(super) fn open_files() -> Check {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    open_files_of(limit)
}

fn open_files_of(limit: Option<u64>) -> Check {
    match limit {
        None => Check::good("open files", "no limit"),
        Some(limit) if limit >= OPEN_FILES_WANTED => {
            Check::good("open files", format!("up to {limit}"))
        }
        Some(limit) => Check::bad(
            "open files",
            format!("only {limit} may be open: about {} connections at a time", limit / 2),
            format!("ulimit -n {OPEN_FILES_WANTED}; the services of bore have their own limit"),
        ),
    }
}

/// Rights of the state folder, and whether there is an identity in it.
pub(super) fn state_folder(path: &Path) -> Check {
    if !path.exists() {
        return Check::bad(
            "state folder",
            format!("{} is not there: this machine has not joined", path.display()),
            "bore join --key-file FILE",
        );
    }
    let looked = StateFolder::open(path).and_then(|folder| folder.has_joined());
    match looked.map_err(CliError::from) {
        Err(error) => Check::failed("state folder", &error),
        Ok(false) => Check::bad(
            "state folder",
            format!("{} has no identity of a node that joined", path.display()),
            "bore join --key-file FILE",
        ),
        Ok(true) => Check::good("state folder", format!("{}, closed to others", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn another_bore_first_on_the_path_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let theirs = folder.path().join("bore");
        std::fs::write(&theirs, "").unwrap();
        let path = folder.path().as_os_str();
        let check = first_on_path(path, Some(Path::new("/usr/bin/bore")));
        assert!(!check.ok && check.detail.contains("another program"), "{check:?}");
        assert!(first_on_path(path, Some(&theirs)).ok);
        assert!(first_on_path(OsStr::new(""), Some(&theirs)).ok);
    }

    #[test]
    fn a_low_limit_of_open_files_is_a_failure_with_a_command() {
        assert!(open_files_of(None).ok);
        assert!(open_files_of(Some(1 << 20)).ok);
        let check = open_files_of(Some(1024));
        assert!(!check.ok && check.next.unwrap().starts_with("ulimit -n"));
    }

    #[test]
    fn a_state_folder_that_others_can_read_is_told_with_chmod() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let check = state_folder(folder.path());
        assert!(!check.ok && check.next.unwrap().contains("chmod 700"));
    }
}
