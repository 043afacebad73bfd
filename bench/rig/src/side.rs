//! One side of the link: a namespace with a TUN device, and a stack of ours.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

use bore_netstack::{Config, PeerConfig, PeerKey, Stack};
use bore_tests::namespace::Namespace;
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::Result;
use crate::flag::Flag;
use crate::headers;
use crate::ours::App;

pub(crate) struct Side {
    pub(crate) place: Place,
    pub(crate) namespace: Namespace,
    pub(crate) stack: Stack,
    tun: SyncDevice,
    apps: Vec<Box<dyn App>>,
    /// An app has something to do.
    woken: Arc<Flag>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Left,
    Right,
}

impl Place {
    /// Where the kernel is.
    pub(crate) fn kernel(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.number(), 1)
    }

    /// Where our stack is.
    pub(crate) fn ours(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.number(), 2)
    }

    fn label(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Left => 1,
            Self::Right => 2,
        }
    }
}

impl Side {
    /// A side whose stack talks to Linux if `is_foreign`, else to another of ours.
    pub(crate) fn open(place: Place, seed: u64, is_foreign: bool) -> Result<Self> {
        let namespace = Namespace::new(place.label());
        let tun = open_tun(&namespace, place)?;
        let stack = Stack::new(Config { seed });
        stack.add_peer(PEER, PeerConfig { mtu: MTU_BYTES, is_foreign, ..PeerConfig::default() });
        Ok(Self { place, namespace, stack, tun, apps: Vec::new(), woken: Arc::default() })
    }

    pub(crate) fn add_app(&mut self, app: impl App + 'static) {
        self.apps.push(Box::new(app));
        self.woken.raise();
    }

    /// A packet that has crossed the link.
    pub(crate) fn deliver(&self, packet: &[u8], now: Instant) -> Result<()> {
        let is_ours = headers::parse(packet)
            .is_some_and(|segment| *segment.destination.ip() == self.place.ours());
        if is_ours {
            let _ = self.stack.handle_packet(PEER, packet, now);
        } else {
            self.tun.send(packet)?;
        }
        Ok(())
    }

    /// Lets the stack and its apps act on what has come and on the time.
    pub(crate) fn act(&mut self, now: Instant) -> Result<()> {
        if self.stack.poll_timeout().is_some_and(|timeout| timeout <= now) {
            self.stack.handle_timeout(now);
        }
        if self.woken.take() {
            let waker = Waker::from(self.woken.clone());
            let context = &mut Context::from_waker(&waker);
            self.apps.iter_mut().try_for_each(|app| app.poll(context, now))?;
        }
        Ok(())
    }

    /// Writes the next packet for the link into `buffer`; gives its length.
    pub(crate) fn poll_emission(&self, buffer: &mut [u8], now: Instant) -> Result<Option<usize>> {
        if let Some((_, length)) = self.stack.poll_transmit(buffer, now) {
            return Ok(Some(length));
        }
        match self.tun.recv(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// When [`Self::act`] wants to run next.
    pub(crate) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        if self.woken.is_raised() { Some(now) } else { self.stack.poll_timeout() }
    }

    /// Readable when the kernel has emitted a packet.
    pub(crate) fn kernel_packets(&self) -> BorrowedFd<'_> {
        self.tun.as_fd()
    }
}

/// No offloads: the kernel emits the same plain packets as our stack.
fn open_tun(namespace: &Namespace, place: Place) -> Result<SyncDevice> {
    let mtu = u16::try_from(MTU_BYTES)?;
    let builder = DeviceBuilder::new().name(INTERFACE).mtu(mtu).tx_queue_len(TUN_QUEUE_PACKETS);
    let tun = namespace.enter(|| builder.build_sync())?;
    tun.set_nonblocking(true)?;
    namespace.ip(&["link", "set", INTERFACE, "addrgenmode", "none"]);
    namespace.add_address(INTERFACE, &format!("{}/16", place.kernel()));
    namespace.ip(&["link", "set", INTERFACE, "up"]);
    Ok(tun)
}

/// A stack knows the other side as this.
pub(crate) const PEER: PeerKey = PeerKey(1);
/// Of both ends.
pub(crate) const MTU_BYTES: usize = 1280;
const INTERFACE: &str = "rig";
/// So long that only the queue of the link overflows.
const TUN_QUEUE_PACKETS: u32 = 20_000;
