//! The near side of a flow: a kernel socket, TLS on one, or the pipe to another thread.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A stream, and the TCP socket of the kernel that it ends in, if there is one.
#[derive(Debug)]
pub struct Near<S> {
    stream: RefCell<S>,
    socket: fn(&S) -> Option<&TcpStream>,
    /// Writing has failed, and has told of an error that reading tells of no more.
    takes_nothing: Cell<bool>,
}

impl Near<TcpStream> {
    /// A TCP socket.
    pub fn tcp(stream: TcpStream) -> Self {
        Self::inside(stream, |stream| Some(stream))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Near<S> {
    /// A stream without a TCP socket: what was written stays readable when it is dropped.
    pub fn local(stream: S) -> Self {
        Self::inside(stream, |_| None)
    }

    /// A stream inside the TCP connection that `socket` finds.
    pub fn inside(stream: S, socket: fn(&S) -> Option<&TcpStream>) -> Self {
        Self { stream: RefCell::new(stream), socket, takes_nothing: Cell::new(false) }
    }

    /// Reads into `room`; 0 is an end in order. The kernel tells an error once: behind a failed write, what follows the last bytes is no
    /// such end, whatever reading says.
    pub(crate) fn poll_read(
        &self,
        context: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(room);
        ready!(Pin::new(&mut *self.stream.borrow_mut()).poll_read(context, &mut room))?;
        match room.filled().len() {
            0 if self.takes_nothing.get() => {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            count => Poll::Ready(Ok(count)),
        }
    }

    /// Writes at least one byte.
    pub(crate) fn poll_write(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let step = Pin::new(&mut *self.stream.borrow_mut()).poll_write(context, bytes);
        let written = match ready!(step) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            written => written,
        };
        Poll::Ready(written.inspect_err(|_| self.takes_nothing.set(true)))
    }

    pub(crate) fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut *self.stream.borrow_mut()).poll_flush(context));
        Poll::Ready(flushed.inspect_err(|_| self.takes_nothing.set(true)))
    }

    pub(crate) async fn shutdown(&self) -> io::Result<()> {
        poll_fn(|context| Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(context)).await
    }

    /// Makes the kernel send RST instead of FIN when the socket is dropped.
    pub(crate) fn reset_when_dropped(&self) {
        self.set_linger(Some(Duration::ZERO));
    }

    /// Takes [`Self::reset_when_dropped`] back: what is written is still sent.
    pub(crate) fn close_in_order(&self) {
        self.set_linger(None);
    }

    fn set_linger(&self, wait: Option<Duration>) {
        let stream = self.stream.borrow();
        let Some(socket) = (self.socket)(&stream) else { return };
        if let Err(error) = SockRef::from(socket).set_linger(wait) {
            tracing::trace!(%error, "no SO_LINGER");
        }
    }

    /// Waits until the other host has acknowledged everything that was written: RST takes along what it has not.
    pub(crate) async fn delivered(&self) {
        if poll_fn(|context| self.poll_flush(context)).await.is_err() {
            return;
        }
        let mut pause = LOOK_AGAIN_MIN;
        while self.unacknowledged_bytes() > 0 && !self.has_failed() {
            // The kernel has no event for an empty send queue.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_AGAIN_MAX);
        }
    }

    /// Bytes in the kernel's send queue.
    pub(crate) fn unacknowledged_bytes(&self) -> u64 {
        let stream = self.stream.borrow();
        (self.socket)(&stream).map_or(0, send_queue_bytes)
    }

    /// Whether the connection of the kernel is over: its send queue stays as it was then.
    fn has_failed(&self) -> bool {
        let stream = self.stream.borrow();
        (self.socket)(&stream).is_none_or(has_failed)
    }
}

/// Returns true if the connection of the kernel is over.
pub(crate) fn has_failed(socket: &TcpStream) -> bool {
    let mut context = Context::from_waker(std::task::Waker::noop());
    std::pin::pin!(socket.ready(Interest::ERROR)).poll(&mut context).is_ready()
}

/// SIOCOUTQ: bytes that are not acknowledged, sent or not.
#[expect(unsafe_code, reason = "no safe wrapper knows this request")]
pub(crate) fn send_queue_bytes(socket: &TcpStream) -> u64 {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open while `socket` is borrowed, and the kernel writes one `int`.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if answer == 0 { u64::try_from(bytes).unwrap_or(0) } else { 0 }
}

pub(crate) const LOOK_AGAIN_MIN: Duration = Duration::from_millis(1);
pub(crate) const LOOK_AGAIN_MAX: Duration = Duration::from_millis(50);
