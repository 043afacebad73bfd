//! OpenSSH with throwaway keys.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::lab::Lab;
use crate::namespace::{Namespace, must_run};
use crate::process::Process;

/// A server that lets one key in.
#[derive(Debug)]
pub struct Sshd {
    _process: Process,
    folder: PathBuf,
}

impl Sshd {
    /// Starts it in the agent's namespace.
    pub fn start(lab: &Lab, port: u16) -> Self {
        let folder = lab.folder("sshd");
        // Where OpenSSH on Debian separates privileges; made by its service, which is not running here.
        fs::create_dir_all("/run/sshd").expect("root may");
        for key in ["host", "user"] {
            must_run(
                Command::new("ssh-keygen")
                    .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                    .arg(folder.join(key)),
            );
        }
        let path = folder.display();
        let configuration = format!(
            "Port {port}\nHostKey {path}/host\nAuthorizedKeysFile {path}/user.pub\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPidFile none\n"
        );
        fs::write(folder.join("config"), configuration).expect("a configuration");
        let mut command = lab.agent.command("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(folder.join("config"));
        let process = Process::start("sshd", command);
        super::wait_for_port(&lab.agent, port);
        Self { _process: process, folder }
    }

    /// Runs a command by ssh and returns what it printed.
    pub fn run(&self, from: &Namespace, host: &str, port: u16, command: &str) -> String {
        let mut ssh = from.command("ssh");
        ssh.args(["-p", &port.to_string(), "-i"]).arg(self.folder.join("user"));
        ssh.args([
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
        ]);
        ssh.args([
            "-o",
            "ConnectTimeout=10",
            "-o",
            "BatchMode=yes",
            &format!("root@{host}"),
            command,
        ]);
        must_run(&mut ssh)
    }
}
