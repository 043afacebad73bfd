//! The network of a test:
//!
//! ```text
//! visitor   203.0.113.7 ──┐ 203.0.113.1                198.51.100.1
//!        2001:db8:113::7  ├─────────────── relay ─────────────────────[ nat ]── agent
//! colleague    10.1.2.7 ──┘    10.1.2.1                198.51.100.2      192.168.77.2
//! ```
//!
//! Nothing is forwarded between the relay's sides: what reaches the agent came through a tunnel.
//!
//! Or all of them on one network with public addresses, [`Lab::on_one_network`], so that every machine has one address, as a rented one has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::namespace::{Namespace, connect};

/// Some namespaces and a folder, all of which go with it.
#[derive(Debug)]
pub struct Lab {
    /// Somewhere on the internet.
    pub visitor: Namespace,
    /// On the relay's own private network.
    pub colleague: Namespace,
    /// Where the relay runs.
    pub relay: Namespace,
    /// Where the agent and its services run.
    pub agent: Namespace,
    /// Between relay and agent, where there is one.
    pub nat: Option<Namespace>,
    /// What joins them where they are on one network, and where the servers of everybody run: [`EXCHANGE`].
    pub exchange: Option<Namespace>,
    folder: TempDir,
}

impl Lab {
    /// The agent has a public address of its own.
    pub fn new() -> Self {
        let lab = Self::without_agent(None);
        connect(&lab.relay, &lab.agent);
        lab.agent.add_address("relay", &format!("{AGENT}/24"));
        lab.finish(RELAY_TOWARDS_AGENTS.into())
    }

    /// The agent is behind a NAT that drops what it did not ask for.
    pub fn with_nat() -> Self {
        let nat = Namespace::new("nat");
        let lab = Self::without_agent(Some(nat.clone()));
        connect(&lab.relay, &nat);
        connect(&nat, &lab.agent);
        nat.add_address("relay", &format!("{AGENT}/24"));
        nat.add_address("agent", "192.168.77.1/24");
        nat.set_gateway(RELAY_TOWARDS_AGENTS.into());
        nat.forward_ipv4();
        nat.nft(NAT_RULES);
        lab.agent.add_address("nat", &format!("{AGENT_BEHIND_NAT}/24"));
        lab.finish(NAT_TOWARDS_AGENT.into())
    }

    /// Relay, agent, visitor and colleague on one network with public addresses, as [`PUBLIC`] has them.
    pub fn on_one_network() -> Self {
        let exchange = Namespace::new("exchange");
        let machines = ["relay", "agent", "visitor", "colleague"].map(Namespace::new);
        exchange.ip(&["link", "add", "lan", "type", "bridge"]);
        exchange.ip(&["link", "set", "lan", "up"]);
        exchange.add_address("lan", &format!("{EXCHANGE}/24"));
        for (machine, address) in machines.iter().zip(PUBLIC) {
            connect(&exchange, machine);
            exchange.ip(&["link", "set", machine.label(), "master", "lan"]);
            machine.add_address("exchange", &format!("{address}/24"));
            machine.set_gateway(EXCHANGE.into());
            machine.set_resolver(EXCHANGE.into());
        }
        let [relay, agent, visitor, colleague] = machines;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let exchange = Some(exchange);
        Self { visitor, colleague, relay, agent, nat: None, exchange, folder }
    }

    /// A folder of this test, made if it is absent.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path).expect("a folder in the temporary folder");
        path
    }

    /// A file of this test.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file in the temporary folder");
        path
    }

    /// The folder that holds all others.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn without_agent(nat: Option<Namespace>) -> Self {
        let [visitor, colleague, relay, agent] =
            ["visitor", "colleague", "relay", "agent"].map(Namespace::new);
        connect(&relay, &visitor);
        connect(&relay, &colleague);
        relay.add_address("visitor", &format!("{RELAY}/24"));
        relay.add_address("visitor", &format!("{RELAY_V6}/64"));
        relay.add_address("colleague", "10.1.2.1/24");
        visitor.add_address("relay", &format!("{VISITOR}/24"));
        visitor.add_address("relay", &format!("{VISITOR_V6}/64"));
        visitor.set_gateway(RELAY.into());
        colleague.add_address("relay", &format!("{COLLEAGUE}/24"));
        colleague.set_gateway(Ipv4Addr::new(10, 1, 2, 1).into());
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { visitor, colleague, relay, agent, nat, exchange: None, folder }
    }

    fn finish(self, gateway: IpAddr) -> Self {
        let towards_agents = if self.nat.is_some() { "nat" } else { "agent" };
        self.relay.add_address(towards_agents, &format!("{RELAY_TOWARDS_AGENTS}/24"));
        self.agent.set_gateway(gateway);
        self
    }

    /// Another machine with agents, beside the first one's network.
    pub fn second_agent(&self) -> Namespace {
        let agent = Namespace::new("second");
        connect(&self.relay, &agent);
        self.relay.add_address("second", "198.18.5.1/24");
        agent.add_address("relay", "198.18.5.2/24");
        agent.set_gateway(Ipv4Addr::new(198, 18, 5, 1).into());
        agent
    }

    /// Interface of the relay on which agents arrive.
    pub fn relay_interface_towards_agent(&self) -> &'static str {
        if self.nat.is_some() { "nat" } else { "agent" }
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

/// The relay, as visitors and agents know it.
pub const RELAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The relay by IPv6.
pub const RELAY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 1);
/// A visitor from the internet.
pub const VISITOR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// The same by IPv6.
pub const VISITOR_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 7);
/// A visitor from 10.0.0.0/8.
pub const COLLEAGUE: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 7);
/// The relay's address in the agent's network.
pub const RELAY_TOWARDS_AGENTS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The agent, or its NAT.
pub const AGENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// Another address of the agent's network, for moving there.
pub const AGENT_MOVED: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 3);
/// The agent, where there is a NAT.
pub const AGENT_BEHIND_NAT: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 2);

/// Where everybody's servers run in [`Lab::on_one_network`]. Nobody on the Internet has it (44.128.0.0/16 is for experiments), and it counts as public.
pub const EXCHANGE: Ipv4Addr = Ipv4Addr::new(44, 128, 0, 53);
/// Relay, agent, visitor and colleague there.
pub const PUBLIC: [Ipv4Addr; 4] = [
    Ipv4Addr::new(44, 128, 0, 1),
    Ipv4Addr::new(44, 128, 0, 2),
    Ipv4Addr::new(44, 128, 0, 7),
    Ipv4Addr::new(44, 128, 0, 8),
];

const NAT_TOWARDS_AGENT: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);

/// Port-restricted: ports kept, answers only from where was asked.
const NAT_RULES: &str = "
table ip nat {
    chain outgoing { type nat hook postrouting priority 100; oifname \"relay\" masquerade; }
    chain incoming { type filter hook input priority 0; policy accept;
        iifname \"relay\" ct state established,related accept; iifname \"relay\" drop; }
    chain through { type filter hook forward priority 0; policy drop;
        ct state established,related accept; iifname \"agent\" accept; }
}";
