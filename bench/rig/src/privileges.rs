//! What the rig needs of the machine, asked for before anything is tried.

use std::fs::{self, OpenOptions};

use crate::Result;

/// # Errors
/// In words that say what is missing.
pub fn demand_privileges() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err("the rig makes network namespaces and TUN devices: run it as root".into());
    }
    let tun = OpenOptions::new().read(true).write(true).open(TUN);
    tun.map_err(|error| format!("{TUN} cannot be opened, and the rig needs it: {error}"))?;
    let available = fs::read_to_string(CONGESTION_CONTROLS)?;
    for wanted in ["bbr", "cubic"] {
        if !available.split_whitespace().any(|name| name == wanted) {
            return Err(format!("this kernel has no {wanted}: try modprobe tcp_{wanted}").into());
        }
    }
    Ok(())
}

const TUN: &str = "/dev/net/tun";
const CONGESTION_CONTROLS: &str = "/proc/sys/net/ipv4/tcp_available_congestion_control";
