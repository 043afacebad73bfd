//! Real services that are published: nginx, iperf3, bind9, OpenSSH. What no packaged program does is in [`crate::service`].

mod bind9;
mod iperf3;
mod nginx;
mod sshd;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use crate::namespace::Namespace;
use crate::wait::{SOON, until};

pub use bind9::Bind9;
pub use iperf3::{Iperf3, Throughput, iperf3};
pub use nginx::Nginx;
pub use sshd::Sshd;

/// Waits until a port of the namespace accepts connections on its loopback.
pub fn wait_for_port(namespace: &Namespace, port: u16) {
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    until(&format!("port {port} in {}", namespace.label()), SOON, || {
        namespace.enter(|| TcpStream::connect(address).ok()).map(drop)
    });
}
