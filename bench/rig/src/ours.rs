//! The ends that use our stack: they run on the thread of the link, called when their waker was.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bore_netstack::{Connect, Listener, Stack, TcpFlow};

use crate::Result;
use crate::content;
use crate::plan::Amount;
use crate::side::PEER;
use crate::sink::Sink;

/// One end of a flow.
pub(crate) trait App {
    /// Does what can be done at present.
    fn poll(&mut self, context: &mut Context<'_>, now: Instant) -> Result<()>;
}

pub(crate) struct Sending {
    flow: Opening,
    sent_bytes: u64,
    end: Option<u64>,
}

enum Opening {
    Wanted(Connect),
    Open(TcpFlow),
}

impl Sending {
    pub(crate) fn new(
        stack: &Stack,
        from: SocketAddr,
        to: SocketAddr,
        amount: Amount,
    ) -> Result<Self> {
        let connect = stack.connect(PEER, from, to, CONNECT_TIMEOUT, Instant::now())?;
        let end = match amount {
            Amount::Bytes(bytes) => Some(bytes),
            Amount::Time(_) => None,
        };
        Ok(Self { flow: Opening::Wanted(connect), sent_bytes: 0, end })
    }
}

impl App for Sending {
    fn poll(&mut self, context: &mut Context<'_>, _now: Instant) -> Result<()> {
        if let Opening::Wanted(connect) = &mut self.flow {
            let Poll::Ready(flow) = Pin::new(connect).poll(context) else { return Ok(()) };
            self.flow = Opening::Open(flow?);
        }
        let Opening::Open(flow) = &self.flow else { return Ok(()) };
        loop {
            let next = content::next(self.sent_bytes, self.end);
            if next.is_empty() {
                flow.shutdown();
                return Ok(());
            }
            let Poll::Ready(written) = flow.poll_write(context, next) else { return Ok(()) };
            self.sent_bytes += written? as u64;
        }
    }
}

pub(crate) struct Receiving {
    listener: Listener,
    flow: Option<TcpFlow>,
    sink: Sink,
}

impl Receiving {
    pub(crate) fn new(stack: &Stack, at: SocketAddr, sink: Sink) -> Result<Self> {
        let listener = stack.listen(at.ip(), at.port()..=at.port(), Some(PEER))?;
        Ok(Self { listener, flow: None, sink })
    }
}

impl App for Receiving {
    fn poll(&mut self, context: &mut Context<'_>, now: Instant) -> Result<()> {
        if self.flow.is_none()
            && let Poll::Ready(incoming) = self.listener.poll_accept(context)
        {
            self.flow = Some(incoming.accept()?);
        }
        let Some(flow) = &self.flow else { return Ok(()) };
        let mut notes = self.sink.notes();
        loop {
            let read = flow.poll_read_with(context, |bytes| {
                notes.take(bytes, now);
                Ok(bytes.len())
            });
            match read {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(Some(_))) => {}
                Poll::Ready(Ok(None)) => break,
                Poll::Ready(Err(error)) => return Err(error.into()),
            }
        }
        notes.end(now);
        flow.shutdown();
        Ok(())
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
