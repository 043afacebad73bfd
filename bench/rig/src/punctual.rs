//! Makes a thread of the rig run when it has to, whatever else the machine does.
//!
//! With both processors busy otherwise, an ordinary thread hands over every fourth packet late; a real-time one, one in 400. No
//! safe call for it exists, so `chrt` of util-linux, which every Debian has, does it.

use std::num::NonZeroU64;
use std::process::{Command, Stdio};

/// Where a thread stands among those of the rig: real-time priorities.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rank {
    /// Of a kernel socket: before everything that is not of the rig.
    Pump = 5,
    /// Of the link: before all.
    Link = 10,
}

/// Raises the calling thread. Without leave for that it is less exact, which shows in the lateness.
pub(crate) fn be_punctual(rank: Rank) {
    // A sleep is as long as it was asked to be, not up to 50 µs longer.
    let _ = rustix::thread::set_current_timer_slack(Some(NonZeroU64::MIN));
    let thread = rustix::thread::gettid().as_raw_pid().to_string();
    let priority = (rank as u8).to_string();
    let _ = Command::new("chrt")
        .args(["--rr", "--pid", &priority, &thread])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}
