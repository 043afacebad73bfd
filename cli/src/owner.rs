//! What root does in a folder of another user, it does as that user, or for that user: links that were planted there reach no further than the planter, and
//! what is made there is the user's.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::error::{CliError, CliResult};

/// As root, starts this very command anew as the owner of `folder`, unless that is root too. Returns where there is nothing to do.
pub(crate) fn become_owner_of(folder: &Path) -> CliResult {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    // Code that needs a missing file reports it.
    let Ok(metadata) = fs::symlink_metadata(folder) else { return Ok(()) };
    if metadata.uid() == ROOT {
        return Ok(());
    }
    let failed = |error: io::Error| {
        let who = format!("user {}, who owns {}", metadata.uid(), folder.display());
        CliError::io(format!("cannot go on as {who}"), &error)
    };
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).uid(metadata.uid()).gid(metadata.gid());
    Err(failed(command.exec()))
}

const ROOT: u32 = 0;
