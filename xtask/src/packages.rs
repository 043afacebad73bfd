//! What the tests talk to, from Debian's packages.

use std::process::Command;

use crate::shell::{cargo, run, say};

/// Program → the package that brings it.
const PROGRAMS: [(&str, &str); 20] = [
    ("cc", "gcc"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("ping", "iputils-ping"),
    ("curl", "curl"),
    ("openssl", "openssl"),
    ("nginx", "nginx-light"),
    ("haproxy", "haproxy"),
    ("node", "nodejs"),
    ("iperf3", "iperf3"),
    ("named", "bind9"),
    ("dig", "bind9-dnsutils"),
    ("sshd", "openssh-server"),
    ("ssh", "openssh-client"),
    ("pebble", "pebble"),
    ("wg", "wireguard-tools"),
    ("wireguard-go", "wireguard-go"),
    ("wrk", "wrk"),
    ("python3", "python3"),
    ("systemd-analyze", "systemd"),
];

/// What a package brings that is no program of the path → the package.
const FILES: [(&str, &str); 2] = [
    ("/usr/lib/postgresql", "postgresql"),
    ("/usr/lib/python3/dist-packages/grpc", "python3-grpcio"),
];

/// Installs what is missing, and only that.
pub(crate) fn install() -> Result<(), String> {
    let missing = missing();
    if !missing.is_empty() {
        say(&format!("installing {}", missing.join(" ")));
        let noninteractive = |words: &[&str]| {
            let mut command = Command::new("apt-get");
            command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
            command
        };
        run(&mut noninteractive(&["update", "-qq"]))?;
        let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
        arguments.extend(&missing);
        run(&mut noninteractive(&arguments))?;
    }
    if !found("cargo-nextest") {
        say("installing cargo-nextest (a few minutes, once)");
        run(&mut cargo(&["install", "--locked", "cargo-nextest"]))?;
    }
    Ok(())
}

fn missing() -> Vec<&'static str> {
    let programs = PROGRAMS.iter().filter(|(program, _)| !found(program));
    let files = FILES.iter().filter(|(file, _)| !std::path::Path::new(file).exists());
    programs.chain(files).map(|(_, package)| *package).collect()
}

fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin".into(), "/sbin".into()]);
    folders.iter().any(|folder| folder.join(program).exists())
}
