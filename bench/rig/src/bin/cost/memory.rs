//! What a flow holds in memory: idle, and after it was busy.

use std::fs;
use std::task::Poll;
use std::time::Duration;

use bore_netstack::TcpFlow;
use bore_rig::Result;

use crate::tunnels::{Pair, Tunnels, context};

/// What was held at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) caller_bytes: i64,
    pub(crate) called_bytes: i64,
    /// Of the whole process, both stacks and all handles.
    pub(crate) resident_bytes: i64,
}

/// Looks at the same flows, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looks {
    pub(crate) idle: Look,
    /// The highest of those while each slice had its burst.
    pub(crate) busy: Look,
    pub(crate) drained: Look,
    pub(crate) closed: Look,
}

/// Opens `flows`, lets `burst` bytes go each way on all of them, slice by slice, and closes them.
pub(crate) fn measure(flows: usize, burst: usize) -> Result<Looks> {
    let resident = resident_bytes()?;
    let mut tunnels = Tunnels::new(false)?;
    let look = |tunnels: &Tunnels| {
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Look {
            caller_bytes: tunnels.caller_held.bytes(),
            called_bytes: tunnels.called_held.bytes(),
            resident_bytes: resident_bytes()? - resident,
        })
    };
    let pairs = tunnels.open(flows)?;
    tunnels.rest(REST);
    let idle = look(&tunnels)?;
    let mut busy = idle;
    for slice in pairs.chunks(SLICE_FLOWS) {
        send(slice, burst, &mut tunnels)?;
        let now = look(&tunnels)?;
        if now.caller_bytes > busy.caller_bytes {
            busy = now;
        }
        receive(slice, burst, &mut tunnels)?;
    }
    tunnels.rest(REST);
    let drained = look(&tunnels)?;
    let Tunnels { caller_held, called_held, .. } = &mut tunnels;
    for pair in pairs {
        caller_held.count(|| drop(pair.caller));
        called_held.count(|| drop(pair.called));
    }
    tunnels.rest(REST);
    Ok(Looks { idle, busy, drained, closed: look(&tunnels)? })
}

/// Writes on every flow of the slice, and carries what may leave; nobody reads.
fn send(slice: &[Pair], burst: usize, tunnels: &mut Tunnels) -> Result<()> {
    for pair in slice {
        tunnels.caller_held.count(|| write(&pair.caller, burst))?;
        tunnels.called_held.count(|| write(&pair.called, burst))?;
    }
    tunnels.carry();
    Ok(())
}

fn receive(slice: &[Pair], burst: usize, tunnels: &mut Tunnels) -> Result<()> {
    let mut left: Vec<_> = slice.iter().map(|pair| (pair, burst, burst)).collect();
    for _ in 0..STEPS_MAX {
        for (pair, to_caller, to_called) in &mut left {
            *to_caller -= tunnels.caller_held.count(|| read(&pair.caller));
            *to_called -= tunnels.called_held.count(|| read(&pair.called));
        }
        left.retain(|(_, to_caller, to_called)| to_caller + to_called > 0);
        if left.is_empty() {
            return Ok(());
        }
        tunnels.rest(STEP);
    }
    Err("a burst did not arrive".into())
}

fn write(flow: &TcpFlow, bytes: usize) -> Result<()> {
    let mut left = bytes;
    while left > 0 {
        let written = flow.poll_write_with(&mut context(), |room| Ok(room.len().min(left)));
        let Poll::Ready(written) = written else { return Err("a burst does not fit".into()) };
        left -= written?;
    }
    Ok(())
}

fn read(flow: &TcpFlow) -> usize {
    let mut bytes = 0;
    while let Poll::Ready(Ok(Some(taken))) =
        flow.poll_read_with(&mut context(), |bytes| Ok(bytes.len()))
    {
        bytes += taken;
    }
    bytes
}

fn resident_bytes() -> Result<i64> {
    let pages = fs::read_to_string("/proc/self/statm")?;
    let pages: i64 = pages.split(' ').nth(1).ok_or("no resident size")?.parse()?;
    Ok(pages * i64::try_from(rustix::param::page_size())?)
}

/// Flows that are busy at the same time.
const SLICE_FLOWS: usize = 500;
const STEP: Duration = Duration::from_millis(1);
const STEPS_MAX: usize = 10_000;
/// Long enough for every acknowledgment and every timer of a flow in good health.
const REST: Duration = Duration::from_secs(5);
