//! What the tests talk to, from Debian's packages.

use std::process::Command;

use crate::shell::{cargo, output, root, run, say};

/// Program → the package that brings it.
const PROGRAMS: [(&str, &str); 29] = [
    ("cc", "gcc"),
    ("c++", "g++"),
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
    ("redis-server", "redis-server"),
    ("systemd-analyze", "systemd"),
    ("h2load", "nghttp2-client"),
    ("slowhttptest", "slowhttptest"),
    ("chromium", "chromium"),
    ("certutil", "libnss3-tools"),
    ("nc", "netcat-openbsd"),
    ("mosh-server", "mosh"),
    ("script", "bsdutils"),
];

/// What a package brings that is no program of the path → the package.
const FILES: [(&str, &str); 4] = [
    ("/usr/lib/postgresql", "postgresql"),
    ("/usr/lib/python3/dist-packages/grpc", "python3-grpcio"),
    ("/usr/lib/python3/dist-packages/prometheus_client", "python3-prometheus-client"),
    ("/usr/lib/python3/dist-packages/pyftpdlib", "python3-pyftpdlib"),
];

/// Python's own packages, below `target`: a scanner of TLS, and OpenSSL 3.5, which knows post-quantum key exchange.
const PYTHON: &str = "target/tools/python";
const PYTHON_PACKAGES: [&str; 2] = ["sslyze==6.3.1", "pyOpenSSL==26.0.0"];

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
    install_python_packages()
}

/// The list beside the packages says what is there: a changed list installs again.
fn install_python_packages() -> Result<(), String> {
    let folder = root().join(PYTHON);
    let (list, wanted) = (folder.join("installed"), PYTHON_PACKAGES.join("\n"));
    if std::fs::read_to_string(&list).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    say(&format!("installing {}", PYTHON_PACKAGES.join(" ")));
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let mut pip = Command::new(folder.join("bin/pip"));
    run(pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(PYTHON_PACKAGES))?;
    std::fs::write(&list, wanted).map_err(|error| format!("{}: {error}", list.display()))
}

fn missing() -> Vec<&'static str> {
    let programs = PROGRAMS.iter().filter(|(program, _)| !found(program));
    let files = FILES.iter().filter(|(file, _)| !std::path::Path::new(file).exists());
    let mut packages: Vec<&str> = programs.chain(files).map(|(_, package)| *package).collect();
    // Debian ships this part of Python's library by itself.
    if output(Command::new("python3").args(["-c", "import ensurepip"])).is_err() {
        packages.push("python3-venv");
    }
    packages
}

fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin".into(), "/sbin".into()]);
    folders.iter().any(|folder| folder.join(program).exists())
}
