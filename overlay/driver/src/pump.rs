//! Joins a netstack flow to a kernel socket, without a buffer of its own.
//!
//! Bytes go straight from the kernel into the flow's send buffer and from its receive buffer into the kernel, so a stalled reader on
//! one side is felt by the writer on the other. Half-close is carried over; a reset on either side becomes a reset on the other, and
//! a pump that is dropped on its way resets both: neither end may take what it has for all there is.

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bore_netstack::TcpFlow;
use socket2::SockRef;
use tokio::net::TcpStream;

/// Bytes carried by one flow. Written by its shard, read by anybody.
#[derive(Debug, Default)]
pub struct Meter {
    /// From the kernel socket into the overlay.
    pub inward_bytes: AtomicU64,
    /// From the overlay to the kernel socket.
    pub outward_bytes: AtomicU64,
}

/// How a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PumpEnd {
    /// Both sides closed in order.
    Closed,
    /// The kernel socket's far end reset, or went away.
    SocketReset,
    /// The overlay's far end reset, or its tunnel went away.
    FlowReset,
}

/// Carries bytes both ways until both sides have closed or one has reset. Dropped before that, it resets both.
pub async fn pump(flow: &TcpFlow, socket: &TcpStream, meter: &Meter) -> PumpEnd {
    let mut unfinished = Unfinished { flow, socket, ended: false };
    let end = carry(flow, socket, meter).await;
    unfinished.ended = true;
    end
}

/// Resets both sides unless the pump came to its end.
struct Unfinished<'a> {
    flow: &'a TcpFlow,
    socket: &'a TcpStream,
    ended: bool,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.flow.abort();
            reset_when_closed(self.socket);
        }
    }
}

async fn carry(flow: &TcpFlow, socket: &TcpStream, meter: &Meter) -> PumpEnd {
    let both =
        async { tokio::try_join!(inward(flow, socket, meter), outward(flow, socket, meter)) };
    let end = tokio::select! {
        result = both => result.map_or_else(|end| end, |_| PumpEnd::Closed),
        () = poll_fn(|context| flow.poll_reset(context)) => PumpEnd::FlowReset,
    };
    match end {
        PumpEnd::Closed => {}
        PumpEnd::SocketReset => flow.abort(),
        PumpEnd::FlowReset => reset_when_closed(socket),
    }
    end
}

/// Linger zero makes the kernel send RST instead of FIN when the socket is dropped.
fn reset_when_closed(socket: &TcpStream) {
    if let Err(error) = SockRef::from(socket).set_linger(Some(Duration::ZERO)) {
        tracing::trace!(%error, "no RST");
    }
}

async fn inward(flow: &TcpFlow, socket: &TcpStream, meter: &Meter) -> Result<(), PumpEnd> {
    loop {
        let mut broken = false;
        let step = poll_fn(|context| {
            flow.poll_write_with(context, |space| {
                socket.try_read(space).inspect_err(|error| broken = !blocked(error))
            })
        });
        match step.await {
            Ok(0) => {
                flow.shutdown();
                return Ok(());
            }
            Ok(count) => add(&meter.inward_bytes, count),
            Err(error) if blocked(&error) => wait(socket.readable().await)?,
            Err(_) if broken => return Err(PumpEnd::SocketReset),
            Err(_) => return Err(PumpEnd::FlowReset),
        }
    }
}

async fn outward(flow: &TcpFlow, socket: &TcpStream, meter: &Meter) -> Result<(), PumpEnd> {
    loop {
        let mut broken = false;
        let step = poll_fn(|context| {
            flow.poll_read_with(context, |bytes| {
                socket.try_write(bytes).inspect_err(|error| broken = !blocked(error))
            })
        });
        match step.await {
            Ok(Some(count)) => add(&meter.outward_bytes, count),
            Ok(None) => return wait(SockRef::from(socket).shutdown(Shutdown::Write)),
            Err(error) if blocked(&error) => wait(socket.writable().await)?,
            Err(_) if broken => return Err(PumpEnd::SocketReset),
            Err(_) => return Err(PumpEnd::FlowReset),
        }
    }
}

fn wait(result: io::Result<()>) -> Result<(), PumpEnd> {
    result.map_err(|_| PumpEnd::SocketReset)
}

fn blocked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn add(bytes: &AtomicU64, count: usize) {
    bytes.fetch_add(count as u64, Ordering::Relaxed);
}
