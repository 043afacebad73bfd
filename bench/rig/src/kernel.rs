//! The ends that are kernel sockets: each has a thread, and lives in the namespace of its side.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bore_tests::namespace::Namespace;
use socket2::{Domain, Socket, Type};

use crate::Result;
use crate::content;
use crate::flag::Flag;
use crate::plan::{Amount, Congestion};
use crate::punctual::{Rank, be_punctual};
use crate::sink::Sink;

/// A thread that moves data of one socket.
pub(crate) type Pump = JoinHandle<Result<()>>;

/// Sends from inside the namespace until everything is sent or `stop` is raised.
pub(crate) fn send(
    namespace: &Namespace,
    congestion: Congestion,
    to: SocketAddr,
    amount: Amount,
    stop: Arc<Flag>,
) -> Result<Pump> {
    let socket = open(namespace, Some(congestion))?;
    let work = move || {
        be_punctual(Rank::Pump);
        socket.connect_timeout(&to.into(), CONNECT_TIMEOUT)?;
        match amount {
            Amount::Bytes(bytes) => send_all(&socket, bytes, &stop),
            Amount::Time(_) => send_until_stopped(&socket, &stop),
        }
    };
    Ok(thread::Builder::new().name("rig kernel sender".to_owned()).spawn(work)?)
}

/// Receives inside the namespace until the end of the stream or until `stop` is raised.
pub(crate) fn receive(
    namespace: &Namespace,
    at: SocketAddr,
    sink: Sink,
    stop: Arc<Flag>,
) -> Result<Pump> {
    let listener = open(namespace, None)?;
    listener.bind(&at.into())?;
    listener.listen(1)?;
    let work = move || {
        be_punctual(Rank::Pump);
        match until_stopped(&stop, || listener.accept())? {
            Some((socket, _)) => take_all(&socket, &sink, &stop),
            None => Ok(()),
        }
    };
    Ok(thread::Builder::new().name("rig kernel receiver".to_owned()).spawn(work)?)
}

/// Both timeouts are short, so that a pump sees soon that it has to stop.
fn open(namespace: &Namespace, congestion: Option<Congestion>) -> Result<Socket> {
    let socket = namespace.enter(|| Socket::new(Domain::IPV4, Type::STREAM, None))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    if let Some(congestion) = congestion {
        socket.set_tcp_congestion(congestion.name().as_bytes())?;
    }
    Ok(socket)
}

fn send_all(socket: &Socket, bytes: u64, stop: &Flag) -> Result<()> {
    let mut offset = 0;
    while offset < bytes {
        let next = content::next(offset, Some(bytes));
        let Some(written) = until_stopped(stop, || { socket }.write(next))? else { return Ok(()) };
        offset += written as u64;
    }
    socket.shutdown(Shutdown::Write)?;
    // The answer is the other end's FIN.
    until_stopped(stop, || { socket }.read(&mut [0]))?;
    Ok(())
}

/// Leaves with a reset: nobody waits for what is still in the send buffer.
fn send_until_stopped(socket: &Socket, stop: &Flag) -> Result<()> {
    socket.set_linger(Some(Duration::ZERO))?;
    let mut offset = 0;
    while let Some(written) = until_stopped(stop, || { socket }.write(content::from(offset)))? {
        offset += written as u64;
    }
    Ok(())
}

fn take_all(socket: &Socket, sink: &Sink, stop: &Flag) -> Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = vec![0; READ_BYTES];
    while let Some(length) = until_stopped(stop, || { socket }.read(&mut buffer))? {
        let now = Instant::now();
        if length == 0 {
            sink.notes().end(now);
            return Ok(());
        }
        sink.notes().take(buffer.get(..length).unwrap_or_default(), now);
    }
    Ok(())
}

/// Calls `act` again whenever it timed out. `None` when `stop` was raised.
fn until_stopped<T>(stop: &Flag, mut act: impl FnMut() -> io::Result<T>) -> Result<Option<T>> {
    while !stop.is_raised() {
        match act() {
            Ok(value) => return Ok(Some(value)),
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_millis(50);
const READ_BYTES: usize = 256 * 1024;
