//! systemd units of relay and agent, and what it takes to install one.
//!
//! Each runs as a user of its own with as little as it needs, so that neither can read the other's keys; the relay alone may bind ports below 1024.

use std::path::{Path, PathBuf};
use std::process::Command;

use bore_api::Code;
use rustix::fs::Mode;

use crate::error::{CliError, CliResult};
use crate::output::Output;

/// The user that the relay runs as.
pub(crate) const RELAY_USER: &str = "bore";
/// The user that the agent runs as.
pub(crate) const AGENT_USER: &str = "bore-agent";
const UNITS: &str = "/etc/systemd/system";

/// One service.
#[derive(Debug)]
pub(crate) struct Unit {
    /// File name, `bore-relay.service`.
    pub(crate) name: &'static str,
    /// Who runs it.
    user: &'static str,
    /// The whole file.
    pub(crate) text: String,
}

/// The relay's unit.
pub(crate) fn relay(program: &Path, config: &Path) -> Unit {
    let start = format!("{} relay run --config {}", quoted(program), quoted(config));
    let special = "StateDirectory=bore\nStateDirectoryMode=0700\n\
        AmbientCapabilities=CAP_NET_BIND_SERVICE\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\n\
        ProtectHome=yes\nPrivateTmp=yes\n";
    let text = unit("bore relay", RELAY_USER, &start, special);
    Unit { name: "bore-relay.service", user: RELAY_USER, text }
}

/// The agent's unit. Home folders are readable and /tmp is shared, so that `unix:` targets there can be dialled.
pub(crate) fn agent(program: &Path, state: &Path) -> Unit {
    let start = format!("{} join --state {}", quoted(program), quoted(state));
    // 6: an agent that lost its identity to a living one must not claim it again each second.
    let special = format!(
        "RestartPreventExitStatus=6\nStateDirectory=bore-agent\nStateDirectoryMode=0700\nReadWritePaths=-{}\n\
         CapabilityBoundingSet=\nProtectHome=read-only\n",
        quoted(state)
    );
    let text = unit("bore agent", AGENT_USER, &start, &special);
    Unit { name: "bore-agent.service", user: AGENT_USER, text }
}

fn unit(description: &str, user: &str, start: &str, special: &str) -> String {
    format!(
        "[Unit]\nDescription={description}\nAfter=network-online.target\nWants=network-online.target\n\
         StartLimitIntervalSec=0\n\n\
         [Service]\nType=exec\nExecStart={start}\nUser={user}\nGroup={user}\nRestart=always\n\
         RestartPreventExitStatus=2 3 4 9\nRestartSec=1\nTimeoutStopSec=15\nLimitNOFILE=1048576\nLimitCORE=0\nUMask=0077\n\
         {special}{HARDENING}\n[Install]\nWantedBy=multi-user.target\n"
    )
}

const HARDENING: &str = "NoNewPrivileges=yes\nProtectSystem=strict\nPrivateDevices=yes\n\
    ProtectClock=yes\nProtectControlGroups=yes\nProtectHostname=yes\nProtectKernelLogs=yes\n\
    ProtectKernelModules=yes\nProtectKernelTunables=yes\nProtectProc=invisible\nProcSubset=pid\n\
    RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK\nRestrictNamespaces=yes\n\
    RestrictRealtime=yes\nRestrictSUIDSGID=yes\nLockPersonality=yes\nMemoryDenyWriteExecute=yes\n\
    RemoveIPC=yes\nSystemCallArchitectures=native\nSystemCallFilter=@system-service\n\
    SystemCallErrorNumber=EPERM\n";

impl Unit {
    /// Makes the user, lets `prepare` hand its files over, writes the unit, enables and starts it, anew if it runs.
    pub(crate) fn install(
        &self,
        output: &Output,
        prepare: impl FnOnce(&Output) -> CliResult,
    ) -> CliResult {
        open_to_services();
        make_user(self.user, output)?;
        prepare(output)?;
        let path = PathBuf::from(UNITS).join(self.name);
        let failed = |error| CliError::io(format!("cannot write {}", path.display()), &error);
        std::fs::write(&path, &self.text).map_err(failed)?;
        output.step(true, "unit", &path.display().to_string());
        call("systemctl", &["daemon-reload"])?;
        call("systemctl", &["enable", self.name])?;
        call("systemctl", &["restart", self.name])?;
        output.step(true, "started", self.name);
        Ok(())
    }
}

/// What a service last wrote, if the journal can be read.
pub(crate) fn last_line(unit: &str) -> String {
    let arguments = ["--unit", unit, "--lines", "1", "--output", "cat", "--no-pager"];
    let read = Command::new("journalctl").args(arguments).output();
    read.map(|read| String::from_utf8_lossy(&read.stdout).trim().to_owned()).unwrap_or_default()
}

/// The path of the running program, for `ExecStart`.
pub(crate) fn program() -> CliResult<PathBuf> {
    let path = std::env::current_exe();
    path.map_err(|error| CliError::io("cannot find the path of this program", &error))
}

/// Only root may go on; others are told the command to type.
pub(crate) fn demand_root(what: &str) -> CliResult {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let error =
        CliError::new(Code::NEEDS_ROOT, format!("{what} changes the system and needs root"));
    Err(error.next(format!("sudo bore {what} (look first: bore {what} --print)")))
}

/// Lets the user of the services read what root makes from here on without a mode of its own: units, configuration, folders above the state.
/// Root's umask may hide all of it from them. Secrets are made with a mode of their own.
pub(crate) fn open_to_services() {
    if rustix::process::geteuid().is_root() {
        rustix::process::umask(Mode::WGRP | Mode::WOTH);
    }
}

/// Gives a folder and what in it is another's to the user of a service. That user may have planted links: none is followed, and no file is given that
/// has a name elsewhere too.
pub(crate) fn give_to_user(folder: &Path, user: &str) -> CliResult {
    let (folder, owner) = (folder.display().to_string(), format!("{user}:{user}"));
    let foreign = ["-xdev", "!", "-user", user, "(", "-type", "d", "-o", "-links", "1", ")"];
    let give = ["-execdir", "chown", "-h", "--", &owner, "{}", "+"];
    call("find", &[&[folder.as_str()], foreign.as_slice(), give.as_slice()].concat())
}

fn make_user(user: &str, output: &Output) -> CliResult {
    if call("id", &["-u", user]).is_ok() {
        return Ok(());
    }
    let home = format!("/var/lib/{user}");
    call(
        "useradd",
        &[
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            &home,
            "--shell",
            "/usr/sbin/nologin",
            user,
        ],
    )?;
    output.step(true, "user", user);
    Ok(())
}

fn call(program: &str, arguments: &[&str]) -> CliResult {
    let line = format!("{program} {}", arguments.join(" "));
    let failed = || CliError::new(Code::SYSTEM_COMMAND, format!("`{line}` failed"));
    let run = Command::new(program).args(arguments).output();
    let run = run.map_err(|error| failed().cause(error.to_string()))?;
    if run.status.success() {
        return Ok(());
    }
    Err(failed().cause(String::from_utf8_lossy(&run.stderr).trim().to_owned()))
}

/// A path as one word of a unit file (systemd.syntax(7)): specifiers and quotes are escaped.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string().replace('%', "%%").replace('$', "$$");
    if text.contains([' ', '"', '\\', '\'']) {
        return format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_relay_may_bind_low_ports() {
        let relay = relay(Path::new("/usr/local/bin/bore"), Path::new("/etc/bore/relay.toml")).text;
        assert!(relay.contains("AmbientCapabilities=CAP_NET_BIND_SERVICE\n"));
        let agent = agent(Path::new("/usr/local/bin/bore"), Path::new("/var/lib/bore-agent")).text;
        assert!(agent.contains("CapabilityBoundingSet=\n") && !agent.contains("CAP_NET"));
    }

    #[test]
    fn neither_runs_as_root_nor_gains_rights() {
        for unit in units() {
            for line in
                ["User=bore", "NoNewPrivileges=yes\n", "LimitCORE=0\n", "ProtectSystem=strict\n"]
            {
                assert!(unit.text.contains(line), "{} lacks {line}", unit.name);
            }
        }
    }

    #[test]
    fn relay_and_agent_share_neither_user_nor_folder() {
        let [relay, agent] = units().map(|unit| unit.text);
        let of = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key));
            line.unwrap_or_else(|| panic!("no {key}")).to_owned()
        };
        for key in ["User=", "Group=", "StateDirectory="] {
            assert_ne!(of(&relay, key), of(&agent, key));
        }
    }

    #[test]
    fn a_path_cannot_change_the_meaning_of_a_unit() {
        assert_eq!(quoted(Path::new("/opt/my bore%1/$x")), "\"/opt/my bore%%1/$$x\"");
    }

    #[test]
    fn systemd_accepts_both_units() {
        let folder = tempfile::tempdir().unwrap();
        for unit in units() {
            let path = folder.path().join(unit.name);
            std::fs::write(&path, &unit.text).unwrap();
            let verify = Command::new("systemd-analyze").arg("verify").arg(&path).output();
            let verify = verify.expect("systemd-analyze is missing: run `cargo xtask setup`");
            let said = String::from_utf8_lossy(&verify.stderr).into_owned();
            assert!(verify.status.success() && !said.contains(unit.name), "{said}");
        }
    }

    fn units() -> [Unit; 2] {
        // A program that exists: verify looks for it.
        let program = Path::new("/bin/true");
        [
            relay(program, Path::new("/etc/bore/relay.toml")),
            agent(program, Path::new("/var/lib/bore-agent")),
        ]
    }
}
