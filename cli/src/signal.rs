//! What signals do.
//!
//! | signal | command or agent | relay |
//! |---|---|---|
//! | SIGINT, SIGTERM | takes back what is open, and ends | drains, and ends |
//! | SIGHUP | the same: its terminal is closed | reads certificate files again |
//! | SIGHUP under `nohup` | nothing | reads certificate files again |
//! | a second SIGINT or SIGTERM | ends at once | ends at once |
//!
//! A process that was asked to end has ended in time, also where something that it waits for never comes.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::error::{CliError, CliResult};

/// Ready once the process is asked to end. Takes the signals over for the rest of the process's life.
pub(crate) struct Interrupt {
    asked: watch::Receiver<bool>,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where SIGHUP does not end the process.
    hangup: Option<Signal>,
}

impl Interrupt {
    /// Listens from here on.
    pub(crate) fn listen() -> CliResult<Self> {
        let hangup = if hangup_is_ignored() { None } else { Some(take(SignalKind::hangup())?) };
        Self::spawn(hangup, END_TIMEOUT)
    }

    /// Listens from here on in a relay, which may take `grace` to end and which SIGHUP does not end.
    pub(crate) fn listen_in_relay(grace: Duration) -> CliResult<Self> {
        Self::spawn(None, grace.saturating_add(END_TIMEOUT))
    }

    fn spawn(hangup: Option<Signal>, limit: Duration) -> CliResult<Self> {
        let interrupt = take(SignalKind::interrupt())?;
        let terminate = take(SignalKind::terminate())?;
        let (sender, asked) = watch::channel(false);
        tokio::spawn(end_in_time(Signals { interrupt, terminate, hangup }, sender, limit));
        Ok(Self { asked })
    }

    /// Waits until the process is asked to end.
    pub(crate) async fn wait(&mut self) {
        // The task that asks lives as long as the process does.
        let _ = self.asked.wait_for(|asked| *asked).await;
    }

    /// What `work` gives, or the error that it was interrupted.
    pub(crate) async fn or<T>(&mut self, work: impl Future<Output = CliResult<T>>) -> CliResult<T> {
        tokio::select! {
            done = work => done,
            () = self.wait() => Err(CliError::interrupted()),
        }
    }
}

/// Told when certificate files may have changed.
pub(crate) fn reload() -> CliResult<Signal> {
    take(SignalKind::hangup())
}

impl Signals {
    async fn any(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Asks once. A second request, or the end of `limit`, ends the program at once.
#[expect(clippy::exit, reason = "the main task may wait for something that never comes")]
async fn end_in_time(mut signals: Signals, asked: watch::Sender<bool>, limit: Duration) {
    signals.any().await;
    asked.send_replace(true);
    tokio::select! {
        () = signals.any() => {}
        () = tokio::time::sleep(limit) => {}
    }
    std::process::exit(bore_api::Exit::Interrupted.number().into());
}

fn take(kind: SignalKind) -> CliResult<Signal> {
    signal(kind).map_err(|error| CliError::io("cannot listen for signals", &error))
}

/// `nohup` and daemons that start others have SIGHUP ignored: it must stay so. Where `/proc` does not say, it is not.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores_hangup(&status)
}

/// Of a `/proc/PID/status`: SIGHUP is signal 1, the lowest bit of the mask (proc_pid_status(5)).
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

/// More than anything that ends in order takes (`bore run` gives its command 10 s).
const END_TIMEOUT: Duration = Duration::from_secs(14);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_read_from_the_mask() {
        assert!(ignores_hangup("Name:\tbore\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangup("Name:\tbore\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
