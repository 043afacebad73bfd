//! How long one side of a visitor may keep the edge waiting.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is set only while something is waited for.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready once `deadline` has passed; else wakes the task then.
    pub(super) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}

/// Bytes moved while they were waited for. Time in which the edge itself did not want any, because
/// the other side was slow, is not held against the visitor.
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    moved: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
    alarm: Alarm,
}

impl Pace {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            window,
            moved: 0,
            waited: Duration::ZERO,
            waiting_since: None,
            alarm: Alarm::default(),
        }
    }

    /// `bytes` came or went.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.moved += bytes as u64;
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Ready when less than `bytes_min` moved in a whole window of waiting.
    pub(super) fn poll_expired(&mut self, bytes_min: u64, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let since = *self.waiting_since.get_or_insert_with(Instant::now);
            let deadline = since + self.window.saturating_sub(self.waited);
            if self.alarm.poll(deadline, cx).is_pending() {
                return Poll::Pending;
            }
            if self.moved < bytes_min {
                return Poll::Ready(());
            }
            self.restart();
        }
    }

    /// A new window, as at the start of a message.
    pub(super) fn restart(&mut self) {
        self.moved = 0;
        self.waited = Duration::ZERO;
        self.waiting_since = None;
    }
}
