//! Ctrl-C and the terminating signal: both mean "take back what is open, and end".

use tokio::signal::unix::{SignalKind, signal};

use crate::error::{CliError, CliResult};

/// Ready once the process is asked to end. Takes the signals over for the rest of the process's life.
pub(crate) struct Interrupt {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Interrupt {
    /// Listens from here on.
    pub(crate) fn listen() -> CliResult<Self> {
        let failed = |error| CliError::io("cannot listen for signals", &error);
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        Ok(Self { interrupt, terminate })
    }

    /// Waits for either.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// What `work` gives, or the error that it was interrupted.
    pub(crate) async fn or<T>(&mut self, work: impl Future<Output = CliResult<T>>) -> CliResult<T> {
        tokio::select! {
            done = work => done,
            () = self.wait() => Err(CliError::interrupted()),
        }
    }
}
