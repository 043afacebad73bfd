//! `bore service install`: the agent as a system service.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bore_api::Code;
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::systemd;
use bore_agent::StateFolder;

/// The folder that the unit gives the agent.
const STATE: &str = StateFolder::SYSTEM;

/// Run the agent as a system service.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Service {
    /// User, systemd unit, started now and with the machine
    #[command(
        after_help = "The machine must have joined. An identity of another folder is named by --state and moved to /var/lib/bore-agent.\n\nExamples:\n  bore service install --print\n  sudo bore service install                                  joined as root\n  sudo bore service install --state ~/.local/state/bore      joined as this user"
    )]
    Install(Install),
}

/// `bore service install`.
#[derive(Debug, clap::Args)]
pub(crate) struct Install {
    /// Print the unit and change nothing
    #[arg(long)]
    print: bool,
}

impl Service {
    /// Installs, or prints.
    pub(crate) fn run(self, context: &Context<'_>) -> CliResult {
        let Self::Install(install) = self;
        let unit = systemd::agent(&systemd::program()?, Path::new(STATE));
        if install.print {
            return context.output.result(
                "unit",
                &json!({ "name": unit.name, "text": unit.text }),
                unit.text.trim_end(),
            );
        }
        systemd::demand_root("service install")?;
        let from = context.state()?;
        demand_joined(&from)?;
        unit.install(context.output, |output| {
            move_state(&from, Path::new(STATE))?;
            systemd::give_to_user(Path::new(STATE), systemd::AGENT_USER)?;
            output.step(true, "state", STATE);
            Ok(())
        })?;
        let text = format!(
            "the agent runs, and starts with the machine; speak with it by: sudo bore --state {STATE} ls"
        );
        context.output.result("installed", &json!({ "unit": unit.name, "state": STATE }), &text)
    }
}

/// An agent that has never joined would only fail again and again.
fn demand_joined(state: &Path) -> CliResult {
    if StateFolder::open(state)?.has_joined()? {
        return Ok(());
    }
    let error = CliError::new(
        Code::NOT_JOINED,
        format!("{} has no identity: this machine has not joined", state.display()),
    );
    let before = Path::new(StateFolder::SYSTEM_BEFORE);
    if before.join("identity.json").exists() {
        return Err(error.next(format!(
            "if the agent of this machine joined in {0}: --state {0}",
            before.display()
        )));
    }
    Err(error.next(
        "bore join first (Ctrl-C once it says joined); or name the folder that joined: --state DIR",
    ))
}

/// Moves the folder, so that the identity is in one place only.
fn move_state(from: &Path, to: &Path) -> CliResult {
    if from == to {
        return Ok(());
    }
    let failed =
        |error| CliError::io(format!("cannot move {} to {}", from.display(), to.display()), &error);
    if to.join("identity.json").exists() {
        return Err(CliError::new(
            Code::EXISTS_ALREADY,
            format!("{} has an identity already", to.display()),
        ));
    }
    std::fs::create_dir_all(to).map_err(failed)?;
    for name in ["publications.json", "projects.json", "identity.json"].map(PathBuf::from) {
        let (old, new) = (from.join(&name), to.join(&name));
        if std::fs::symlink_metadata(&old).is_ok() {
            move_file(&old, &new).map_err(failed)?;
        }
    }
    Ok(())
}

/// Moves a file, and no link: the old folder may be another user's.
fn move_file(old: &Path, new: &Path) -> io::Result<()> {
    let mut source = OpenOptions::new().read(true).custom_flags(NO_LINK_NO_WAIT).open(old)?;
    if !source.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} is no file", old.display()),
        ));
    }
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    io::copy(&mut source, &mut target)?;
    target.sync_all()?;
    std::fs::remove_file(old)
}

/// A link in its place fails, and a pipe does not keep root waiting for a writer.
const NO_LINK_NO_WAIT: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_moved_and_never_overwrites_another() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        std::fs::write(from.join("identity.json"), "{}").unwrap();
        move_state(&from, &to).unwrap();
        assert!(to.join("identity.json").exists() && !from.join("identity.json").exists());

        std::fs::write(from.join("identity.json"), "{}").unwrap();
        assert_eq!(move_state(&from, &to).unwrap_err().code(), "B1010");
    }

    #[test]
    fn a_link_in_the_old_folder_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        std::fs::write(folder.path().join("secret"), "root's").unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret"), from.join("identity.json"))
            .unwrap();
        assert!(move_state(&from, &to).is_err());
        assert!(!to.join("identity.json").exists());
    }
}
