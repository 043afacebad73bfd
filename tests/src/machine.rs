//! What a test does not take over from the machine that runs it.
//!
//! | setting | where it is made the test's own |
//! |---|---|
//! | umask, number of descriptors | [`settle`], once in a process |
//! | proxies, locale, time zone, HOME, settings of `bore` and of curl | [`isolate`], for every program |
//! | forwarding, reverse path filter, IPv6, trial of addresses, socket buffers | [`set_kernel_defaults`], for every namespace |
//! | nftables rules, connection tracking, routes, resolver | a new namespace has none; [`crate::namespace`] writes its own resolver |
//!
//! What it cannot set, it names, and the test fails: a kernel without IPv6, a hard limit of descriptors below [`DESCRIPTORS_MIN`], `/proc/sys` that is
//! read-only. The kernel's congestion control and the largest socket buffers (`net.core.rmem_max`, `wmem_max`) are the machine's, and no namespace may
//! choose them freely: they change how fast a test is, not what it finds.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Once;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Gives this process the umask and the descriptors that tests and their programs expect.
///
/// # Panics
/// When the machine allows too few descriptors.
pub fn settle() {
    static SETTLED: Once = Once::new();
    SETTLED.call_once(|| {
        rustix::process::umask(Mode::WGRP | Mode::WOTH);
        raise_descriptors();
    });
}

/// Empties a program's environment but for [`KEPT`]. Its home is `home`, its language none, its proxies none.
pub fn isolate<'a>(command: &'a mut Command, home: &Path) -> &'a mut Command {
    command.env_clear();
    command.envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.env("PATH", path()).env("HOME", home).env("LC_ALL", "C.UTF-8").env("TZ", "UTC")
}

/// Sets what a new network namespace may have inherited. Runs on a thread that is inside.
///
/// # Panics
/// When the kernel does not let it, or has no IPv6.
pub(crate) fn set_kernel_defaults() {
    assert!(
        Path::new(SYSCTL).join("ipv6").exists(),
        "this kernel has no IPv6 (ipv6.disable=1?), and the lab needs it"
    );
    KERNEL_DEFAULTS.iter().for_each(|(name, value)| set_kernel(name, value));
}

/// Sets `net.NAME`, written as a path. Runs on a thread that is inside the namespace that it concerns.
///
/// # Panics
/// When the kernel does not let it.
pub(crate) fn set_kernel(name: &str, value: &str) {
    let path = Path::new(SYSCTL).join(name);
    fs::write(&path, value).unwrap_or_else(|error| {
        panic!("the lab cannot set {} to {value}: {error}", path.display())
    });
}

fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(DESCRIPTORS_WANTED);
    assert!(
        hard >= DESCRIPTORS_MIN,
        "tests need {DESCRIPTORS_MIN} descriptors and may have {hard}: raise ulimit -Hn"
    );
    let wanted = Rlimit { current: Some(hard.min(DESCRIPTORS_WANTED)), ..limit };
    setrlimit(Resource::Nofile, wanted).expect("a soft limit below the hard one");
}

/// Programs of Debian's sbin are found from a user's shell as well.
fn path() -> String {
    let own = std::env::var("PATH").unwrap_or_default();
    format!("{own}:/usr/local/sbin:/usr/sbin:/sbin")
}

/// What a developer may say to programs of a test: where coverage goes, and how loud a panic is.
const KEPT: [&str; 3] = ["LLVM_PROFILE_FILE", "RUST_BACKTRACE", "TMPDIR"];

/// A namespace has IPv4 settings and some of TCP's from the machine's own (`net.core.devconf_inherit_init_net`). Interfaces that are made
/// later take `default`.
///
/// Addresses of the lab are unique, so none is tried out first (duplicate address detection, RFC 4862 section 5.4): the end of that, a second or two after
/// a link is up, is a change of network to a program that watches for one, such as Chromium, which then gives up the page that it loads.
const KERNEL_DEFAULTS: [(&str, &str); 18] = [
    ("ipv4/ip_forward", "0"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/conf/lo/rp_filter", "0"),
    ("ipv4/conf/all/arp_ignore", "0"),
    ("ipv4/conf/default/arp_ignore", "0"),
    ("ipv4/conf/all/accept_local", "0"),
    ("ipv4/conf/default/accept_local", "0"),
    ("ipv4/conf/all/route_localnet", "0"),
    ("ipv4/conf/default/route_localnet", "0"),
    ("ipv4/tcp_rmem", "4096 131072 6291456"),
    ("ipv4/tcp_wmem", "4096 16384 4194304"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/all/forwarding", "0"),
    ("ipv6/conf/all/disable_ipv6", "0"),
    ("ipv6/conf/default/disable_ipv6", "0"),
    ("ipv6/conf/lo/disable_ipv6", "0"),
];

const SYSCTL: &str = "/proc/sys/net";
const DESCRIPTORS_MIN: u64 = 4096;
const DESCRIPTORS_WANTED: u64 = 20_000;
