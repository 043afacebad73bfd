//! What the machine of a test or of a user has set, and what must not depend on it.
#![expect(clippy::unwrap_used, reason = "what a test looks for and does not find fails it")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use bore_tests::bore::{Finished, binary};
use bore_tests::curl::visit;
use bore_tests::lab::{Lab, RELAY};
use bore_tests::namespace::{Namespace, must_run};
use bore_tests::origins::Nginx;
use bore_tests::process::Process;

#[test]
fn programs_of_the_lab_see_no_setting_of_the_machine() {
    let namespace = Namespace::new("bare");
    let printed = must_run(&mut namespace.command("env"));
    let seen: BTreeSet<&str> =
        printed.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let known = ["HOME", "LC_ALL", "PATH", "TZ", "LLVM_PROFILE_FILE", "RUST_BACKTRACE", "TMPDIR"];
    let strange: Vec<_> = seen.iter().filter(|name| !known.contains(name)).collect();
    assert!(strange.is_empty(), "{strange:?}");
    assert_eq!(namespace.run("sh", &["-c", "umask"]).trim(), "0022");

    for (name, wanted) in [
        ("ipv4/ip_forward", "0"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv6/conf/lo/disable_ipv6", "0"),
    ] {
        assert_eq!(
            namespace.run("cat", &[&format!("/proc/sys/net/{name}")]).trim(),
            wanted,
            "{name}"
        );
    }
    assert_eq!(namespace.run("nft", &["list", "ruleset"]), "");
}

#[test]
fn relay_and_agent_serve_under_a_strict_umask_and_with_proxies_that_lead_nowhere() {
    let lab = Lab::new();
    let _nginx = Nginx::start(&lab, 3000, lab.path());
    let home = lab.folder("relay");
    let (config, state) = (home.join("etc/relay.toml"), home.join("state"));
    let (config_text, state_text) = (config.display().to_string(), state.display().to_string());
    let host = RELAY.to_string();
    let mut init = vec!["relay", "init", "--host", &host, "--domain", "t.test", "--no-wait"];
    init.extend(["--config", &config_text, "--relay-state", &state_text]);
    let made = Finished::of(strict(&lab.relay, &home, &init)).success().event("relay_initialised");
    // The service's user reads the one, and nobody else the other.
    assert_eq!([mode(&config), mode(config.parent().unwrap())], [0o644, 0o755]);
    assert_eq!([mode(&state), mode(&state.join("relay.key"))], [0o700, 0o600]);

    let run = ["relay", "run", "--config", &config_text];
    let mut relay = Process::start("relay", strict(&lab.relay, &home, &run));
    relay.event("relay_running");
    let home = lab.folder("agent");
    lab.agent.set_hosts(&[("app.t.test", RELAY.into())]);
    let join = ["join", "--key", made["join_key"].as_str().unwrap(), "--state", "state"];
    let mut agent = Process::start("agent", strict(&lab.agent, &home, &join));
    agent.event("joined");
    let publish = ["publish", "http", "3000", "--name", "app", "--bg", "--state", "state"];
    Finished::of(strict(&lab.agent, &home, &publish)).success().event("published");

    let answer = visit(&lab.visitor, "app.t.test", "/");
    assert_eq!(answer.body, "nginx behind bore\n", "{answer:?}");
    let mut keys = strict(&lab.relay, &home, &["key", "ls"]);
    keys.env("BORE_API", "http://127.0.0.1:7400").env("BORE_API_KEY_FILE", state.join("admin.key"));
    Finished::of(keys).success();
}

/// `bore` as root with a umask of its own runs it, in an environment full of proxies.
fn strict(namespace: &Namespace, home: &Path, arguments: &[&str]) -> Command {
    let mut command = namespace.command("sh");
    command.args(["-c", "umask 077 && exec \"$@\"", "sh"]).arg(binary());
    command.args(["--json", "--no-input"]).args(arguments);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    {
        command.env(name, "http://127.0.0.1:9");
    }
    command.env("LANG", "de_DE.UTF-8").env("HOME", home).current_dir(home);
    command
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
