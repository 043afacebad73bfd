//! Both sides and the two directions between them, and the clock that drives them.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Result;
use crate::conditions::Conditions;
use crate::direction::Direction;
use crate::headers;
use crate::lateness::Lateness;
use crate::ledger::Ledger;
use crate::side::{MTU_BYTES, Side};

pub(crate) struct Link {
    pub(crate) left: Side,
    pub(crate) right: Side,
    pub(crate) ledger: Ledger,
    there: Direction,
    back: Direction,
}

impl Link {
    pub(crate) fn new(left: Side, right: Side, conditions: Conditions, seed: u64) -> Self {
        let now = Instant::now();
        Self {
            left,
            right,
            ledger: Ledger::default(),
            there: Direction::new(conditions, seed, now),
            back: Direction::new(conditions, !seed, now),
        }
    }

    /// Does what is due by now; gives whether there is more.
    pub(crate) fn turn(&mut self) -> Result<bool> {
        let now = Instant::now();
        while let Some(packet) = self.there.poll_arrival(now) {
            self.right.deliver(&packet, now)?;
        }
        while let Some(packet) = self.back.poll_arrival(now) {
            self.left.deliver(&packet, now)?;
        }
        self.left.act(now)?;
        self.right.act(now)?;
        let left_has_more = collect(&self.left, &mut self.there, &mut self.ledger)?;
        let right_has_more = collect(&self.right, &mut self.back, &mut self.ledger)?;
        Ok(left_has_more || right_has_more)
    }

    /// Waits until something is due or the kernel has a packet, at most until `latest`.
    pub(crate) fn wait(&self, latest: Instant) -> Result<()> {
        let left = self.next_event(latest).saturating_duration_since(Instant::now());
        // A sleep takes longer than it should by about this much: what is nearer is waited for awake.
        let Some(left) = left.checked_sub(SLEEP_OVERRUN) else { return Ok(()) };
        let mut sources = [&self.left, &self.right]
            .map(|side| PollFd::from_borrowed_fd(side.kernel_packets(), PollFlags::IN));
        match poll(&mut sources, Some(&Timespec::try_from(left)?)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn lateness(&self) -> Lateness {
        self.there.lateness().and(self.back.lateness())
    }

    fn next_event(&self, latest: Instant) -> Instant {
        let arrivals = [self.there.next_due(), self.back.next_due()];
        let timeouts = [&self.left, &self.right].map(|side| side.next_timeout(latest));
        arrivals.into_iter().chain(timeouts).flatten().fold(latest, Instant::min)
    }
}

/// Puts what a side emits on the link, so much at once that a flood holds up nothing else for long. Gives whether there is more.
fn collect(side: &Side, direction: &mut Direction, ledger: &mut Ledger) -> Result<bool> {
    let mut buffer = [0; MTU_BYTES];
    for _ in 0..PACKETS_PER_TURN_MAX {
        let now = Instant::now();
        let Some(length) = side.poll_emission(&mut buffer, now)? else { return Ok(false) };
        let packet = buffer.get(..length).unwrap_or_default();
        if let Some(segment) = headers::parse(packet) {
            ledger.note(&segment);
            direction.offer(packet, now);
        }
    }
    Ok(true)
}

const PACKETS_PER_TURN_MAX: u32 = 64;
const SLEEP_OVERRUN: Duration = Duration::from_micros(30);
