//! Network namespaces of a test: made with a name of their own, removed when the last handle goes.
//!
//! Nothing of the machine shows inside, as [`crate::machine`] lists. A test that was killed leaves its namespaces behind; the next test removes those whose process is gone.

use std::fs;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Once};

use rustix::process::{Pid, Signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use crate::machine;

/// A namespace with loopback up and a resolver that knows [`Namespace::set_hosts`] and nothing else.
#[derive(Debug, Clone)]
pub struct Namespace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    label: String,
    /// Of programs that have no home of their own.
    home: TempDir,
}

impl Namespace {
    /// Makes a namespace; `label` is for people.
    ///
    /// # Panics
    /// Without root.
    pub fn new(label: &str) -> Self {
        demand_root();
        machine::settle();
        static SWEPT: Once = Once::new();
        SWEPT.call_once(remove_stale);
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{label}", std::process::id());
        ip(&["netns", "add", &name]);
        let home = tempfile::tempdir().expect("a temporary folder");
        let this = Self(Arc::new(Inner { name, label: label.to_owned(), home }));
        this.enter(machine::set_kernel_defaults);
        this.ip(&["link", "set", "lo", "up"]);
        fs::create_dir_all(this.settings()).expect("a folder below /etc/netns");
        this.write_setting("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
        this.set_hosts(&[]);
        this
    }

    /// What it was called when it was made.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// A command that will run inside, with an environment of its own. It replaces itself by `program`, so its process id is the program's.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        machine::isolate(&mut command, self.0.home.path());
        command.args(["netns", "exec", &self.0.name]).arg(program);
        command
    }

    /// Runs a program inside to its end and returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        must_run(self.command(program).args(arguments))
    }

    /// `ip` inside.
    pub fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.0.name], arguments].concat());
    }

    /// Gives an interface an address, as `203.0.113.1/24`.
    pub fn add_address(&self, interface: &str, address: &str) {
        let immediate: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
        self.ip(&[&["address", "add", address, "dev", interface], immediate].concat());
    }

    /// The way to everywhere else.
    pub fn set_gateway(&self, gateway: IpAddr) {
        let family = if gateway.is_ipv6() { "-6" } else { "-4" };
        self.ip(&[family, "route", "replace", "default", "via", &gateway.to_string()]);
    }

    /// Lets this machine pass IPv4 on between its networks.
    pub fn forward_ipv4(&self) {
        self.enter(|| machine::set_kernel("ipv4/ip_forward", "1"));
    }

    /// Loads nftables rules.
    pub fn nft(&self, rules: &str) {
        self.run("nft", &[rules]);
    }

    /// Removes all nftables rules.
    pub fn clear_nft(&self) {
        self.nft("flush ruleset");
    }

    /// Says which names resolve here, and to what; every other name does not.
    pub fn set_hosts(&self, names: &[(&str, IpAddr)]) {
        let lines = names.iter().map(|(name, address)| format!("{address} {name}\n"));
        let text: String =
            std::iter::once("127.0.0.1 localhost\n".to_owned()).chain(lines).collect();
        self.write_setting("hosts", &text);
    }

    /// Says who is asked for names that [`Self::set_hosts`] does not know; at first that is loopback.
    pub fn set_resolver(&self, address: IpAddr) {
        let text = format!("nameserver {address}\noptions timeout:1 attempts:2\n");
        self.write_setting("resolv.conf", &text);
    }

    /// Calls `work` on a thread of its own that is inside. Sockets that it opens stay inside wherever they are used.
    ///
    /// # Panics
    /// When `work` does.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let file = self.file();
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                move_into(&file);
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn file(&self) -> PathBuf {
        Path::new(NAMESPACES).join(&self.0.name)
    }

    fn settings(&self) -> PathBuf {
        Path::new(SETTINGS).join(&self.0.name)
    }

    /// `ip netns exec` puts these files over those in /etc for the programs that it starts.
    fn write_setting(&self, name: &str, text: &str) {
        // In place: a running program has this very file mounted over its own.
        fs::write(self.settings().join(name), text).expect("a file below /etc/netns");
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Joins two namespaces by a cable. Each end is named after what is at the other.
pub fn connect(left: &Namespace, right: &Namespace) {
    let (at_left, at_right) = (right.label(), left.label());
    left.ip(&[
        "link",
        "add",
        at_left,
        "mtu",
        MTU_BYTES,
        "type",
        "veth",
        "peer",
        "name",
        at_right,
        "mtu",
        MTU_BYTES,
        "netns",
        &right.0.name,
    ]);
    left.ip(&["link", "set", at_left, "up"]);
    right.ip(&["link", "set", at_right, "up"]);
}

/// Runs a command to its end and returns what it printed.
///
/// # Panics
/// When it fails.
pub fn must_run(command: &mut Command) -> String {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?} did not start: {error}"));
    let (stdout, stderr) = (output.stdout.as_slice(), output.stderr.as_slice());
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&[stdout, stderr].concat())
    );
    String::from_utf8_lossy(stdout).into_owned()
}

fn move_into(file: &Path) {
    let namespace = fs::File::open(file).expect("the namespace exists");
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns");
}

fn ip(arguments: &[&str]) {
    must_run(Command::new("ip").args(arguments));
}

fn demand_root() {
    assert!(rustix::process::geteuid().is_root(), "needs root: sudo cargo xtask test");
}

fn remove_stale() {
    let Ok(names) = fs::read_dir(NAMESPACES) else { return };
    for name in names.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            remove(&name);
        }
    }
}

/// What still runs inside was started by the test that made it. A tidy end is tried for everything; there is nobody to tell of a failure.
fn remove(name: &str) {
    let pids = Command::new("ip").args(["netns", "pids", name]).output();
    let pids =
        pids.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    for pid in pids.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    let _ = Command::new("ip").args(["netns", "delete", name]).output();
    let _ = fs::remove_dir_all(Path::new(SETTINGS).join(name));
}

/// Of a cable.
const MTU_BYTES: &str = "1500";
const PREFIX: &str = "bore-";
const NAMESPACES: &str = "/run/netns";
const SETTINGS: &str = "/etc/netns";
