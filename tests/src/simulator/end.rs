//! One end of a TCP flow: what it still has to send and to receive, pumped through the product's handle.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bore_netstack::{Connect, ConnectError, TcpFlow};

use super::content::Content;

/// How far an end has come.
#[derive(Debug)]
enum Stage {
    Connecting(Connect),
    Open(TcpFlow),
    /// Both directions ended as they should.
    Complete,
    Failed(Failure),
}

/// Why an end failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Failure {
    Refused,
    TimedOut,
    Unreachable,
    PeerGone,
    Broken(io::ErrorKind),
    /// The program that held it is gone.
    Abandoned,
}

/// One end.
#[derive(Debug)]
pub(super) struct End {
    stage: Stage,
    sending: Content,
    receiving: Content,
    /// Sends nothing before everything is received.
    answers_last: bool,
    has_shut_down: bool,
    has_read_all: bool,
}

impl End {
    /// The end that calls.
    pub(super) fn opener(connect: Connect, sending: Content, receiving: Content) -> Self {
        Self::new(Stage::Connecting(connect), sending, receiving)
    }

    /// The end that was called.
    pub(super) fn answerer(flow: TcpFlow, sending: Content, receiving: Content) -> Self {
        Self::new(Stage::Open(flow), sending, receiving)
    }

    /// An end that never came to be.
    pub(super) fn refused(error: ConnectError) -> Self {
        let stage = Stage::Failed(Failure::from(error));
        Self::new(stage, Content::new(0, 0), Content::new(0, 0))
    }

    fn new(stage: Stage, sending: Content, receiving: Content) -> Self {
        Self {
            stage,
            sending,
            receiving,
            answers_last: false,
            has_shut_down: false,
            has_read_all: false,
        }
    }

    /// Holds what it sends until it has received everything and [`Self::answer`] is called.
    pub(super) fn answering_last(self) -> Self {
        Self { answers_last: true, ..self }
    }

    /// Whether everything was received, and the answer is still held.
    pub(super) fn owes_answer(&self) -> bool {
        self.answers_last && self.has_read_all && matches!(self.stage, Stage::Open(_))
    }

    /// Lets the answer go.
    pub(super) fn answer(&mut self) {
        self.answers_last = false;
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self.stage, Stage::Complete)
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        match self.stage {
            Stage::Failed(failure) => Some(failure),
            Stage::Connecting(_) | Stage::Open(_) | Stage::Complete => None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Complete | Stage::Failed(_))
    }

    /// Gives the flow up: the other side is reset.
    pub(super) fn abandon(&mut self) {
        if !self.is_over() {
            self.stage = Stage::Failed(Failure::Abandoned);
        }
    }

    /// Moves what can be moved at present.
    pub(super) fn pump(&mut self) {
        self.connect();
        let outcome = self.write().and_then(|()| self.read()).and_then(|()| self.finish());
        if let Err(error) = outcome {
            self.stage = Stage::Failed(Failure::Broken(error.kind()));
        }
    }

    fn connect(&mut self) {
        let Stage::Connecting(connect) = &mut self.stage else { return };
        match Pin::new(connect).poll(&mut context()) {
            Poll::Ready(Ok(flow)) => self.stage = Stage::Open(flow),
            Poll::Ready(Err(error)) => self.stage = Stage::Failed(Failure::from(error)),
            Poll::Pending => {}
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let Stage::Open(flow) = &self.stage else { return Ok(()) };
        if self.answers_last || self.has_shut_down {
            return Ok(());
        }
        while !self.sending.is_over() {
            let sending = &mut self.sending;
            match flow.poll_write_with(&mut context(), |room| Ok(sending.fill(room))) {
                Poll::Ready(written) => written.map(drop)?,
                Poll::Pending => return Ok(()),
            }
        }
        flow.shutdown();
        self.has_shut_down = true;
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        let Stage::Open(flow) = &self.stage else { return Ok(()) };
        while !self.has_read_all {
            let receiving = &mut self.receiving;
            let check = |bytes: &[u8]| {
                assert!(receiving.matches(bytes), "a flow delivered other bytes than were sent");
                Ok(bytes.len())
            };
            match flow.poll_read_with(&mut context(), check) {
                Poll::Ready(Ok(Some(_))) => {}
                Poll::Ready(Ok(None)) => {
                    assert!(self.receiving.is_over(), "a flow ended before all of its bytes");
                    self.has_read_all = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let Stage::Open(flow) = &self.stage else { return Ok(()) };
        if self.has_shut_down
            && self.has_read_all
            && let Poll::Ready(flushed) = flow.poll_flushed(&mut context())
        {
            flushed?;
            self.stage = Stage::Complete;
        }
        Ok(())
    }
}

impl From<ConnectError> for Failure {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "other errors are the simulator's own fault, those of later versions included"
    )]
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Refused => Self::Refused,
            ConnectError::TimedOut => Self::TimedOut,
            ConnectError::Unreachable(_) => Self::Unreachable,
            ConnectError::PeerGone => Self::PeerGone,
            _ => panic!("a flow that the simulator should not have tried: {error}"),
        }
    }
}

pub(super) fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
