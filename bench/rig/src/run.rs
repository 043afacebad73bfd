//! One run: sets both sides up, lets the link turn until every flow is done, reads the notes.

use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::flag::Flag;
use crate::kernel::{self, Pump};
use crate::lateness::Lateness;
use crate::link::Link;
use crate::ours::{Receiving, Sending};
use crate::plan::{Amount, Ends, Plan, Receiver, Sender};
use crate::punctual::{Rank, be_punctual};
use crate::side::{Place, Side};
use crate::sink::Sink;

/// What was seen in one run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// In the order of the plan.
    pub flows: Vec<FlowOutcome>,
    /// How exact the link was.
    pub lateness: Lateness,
}

/// What was seen of one flow.
#[derive(Debug, Clone, Copy)]
pub struct FlowOutcome {
    /// Whose.
    pub ends: Ends,
    /// What the receiver got, without headers. Of flows that share the link: from when all have settled.
    pub megabits_per_second: f64,
    /// The longest time without a byte at the receiver, behind the first one.
    pub longest_stall: Duration,
    /// Of the data that the sender put on the link, what it had sent before.
    pub repeated_percent: f64,
    /// Every byte was right, and all came that were sent in full.
    pub is_intact: bool,
}

/// Runs a plan. Takes a thread for the link and one for every kernel socket.
///
/// # Errors
/// When the rig cannot be set up, or a flow breaks or does not get done.
pub fn run(plan: &Plan) -> Result<Outcome> {
    thread::scope(|scope| {
        let turning = thread::Builder::new()
            .name("rig link".to_owned())
            .spawn_scoped(scope, || Run::new(plan)?.finish(plan))?;
        turning.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

struct Run {
    link: Link,
    flows: Vec<Flow>,
    pumps: Vec<Pump>,
    stop: Arc<Flag>,
}

struct Flow {
    ends: Ends,
    to: SocketAddrV4,
    sink: Sink,
}

impl Run {
    fn new(plan: &Plan) -> Result<Self> {
        let is_foreign = plan.flows.iter().any(Ends::are_mixed);
        let left = Side::open(Place::Left, plan.seed, is_foreign)?;
        let right = Side::open(Place::Right, !plan.seed, is_foreign)?;
        let link = Link::new(left, right, plan.conditions, plan.seed);
        let mut run = Self { link, flows: Vec::new(), pumps: Vec::new(), stop: Arc::default() };
        for (ends, port) in plan.flows.iter().zip(FIRST_PORT..) {
            run.open_flow(*ends, port, plan.amount)?;
        }
        Ok(run)
    }

    fn open_flow(&mut self, ends: Ends, port: u16, amount: Amount) -> Result<()> {
        let sink = Sink::new(amount);
        let to = self.open_receiver(ends.receiver, port, sink.clone())?;
        self.open_sender(ends.sender, to, amount)?;
        self.flows.push(Flow { ends, to, sink });
        Ok(())
    }

    fn open_receiver(&mut self, receiver: Receiver, port: u16, sink: Sink) -> Result<SocketAddrV4> {
        let right = &mut self.link.right;
        match receiver {
            Receiver::Ours => {
                let at = SocketAddrV4::new(right.place.ours(), port);
                right.add_app(Receiving::new(&right.stack, at.into(), sink)?);
                Ok(at)
            }
            Receiver::Kernel => {
                let at = SocketAddrV4::new(right.place.kernel(), port);
                let stop = self.stop.clone();
                self.pumps.push(kernel::receive(&right.namespace, at.into(), sink, stop)?);
                Ok(at)
            }
        }
    }

    fn open_sender(&mut self, sender: Sender, to: SocketAddrV4, amount: Amount) -> Result<()> {
        let left = &mut self.link.left;
        match sender {
            Sender::Ours => {
                let from = SocketAddr::new(left.place.ours().into(), to.port());
                left.add_app(Sending::new(&left.stack, from, to.into(), amount)?);
            }
            Sender::Kernel(congestion) => {
                let (namespace, stop) = (&left.namespace, self.stop.clone());
                self.pumps.push(kernel::send(namespace, congestion, to.into(), amount, stop)?);
            }
        }
        Ok(())
    }

    fn finish(mut self, plan: &Plan) -> Result<Outcome> {
        be_punctual(Rank::Link);
        let turned = self.turn_until_done(plan);
        self.stop.raise();
        for pump in self.pumps.drain(..) {
            pump.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        turned?;
        Ok(self.outcome(plan))
    }

    fn turn_until_done(&mut self, plan: &Plan) -> Result<()> {
        let limit = Instant::now() + plan.time_max();
        loop {
            let look = Instant::now() + LOOK_INTERVAL;
            while Instant::now() < look {
                if !self.link.turn()? {
                    self.link.wait(look)?;
                }
            }
            if self.flows.iter().all(|flow| flow.sink.notes().is_done(look)) {
                return Ok(());
            }
            if look > limit {
                return Err(format!("not done after {:?}: {plan:?}", plan.time_max()).into());
            }
        }
    }

    fn outcome(&self, plan: &Plan) -> Outcome {
        let settled = self.settled(plan);
        let flows = self.flows.iter().map(|flow| self.flow_outcome(flow, settled)).collect();
        Outcome { flows, lateness: self.link.lateness() }
    }

    /// From when flows are compared: a lone flow from its first byte, several when the first third is over.
    fn settled(&self, plan: &Plan) -> Option<Instant> {
        let last = self.flows.iter().filter_map(|flow| flow.sink.notes().began()).max();
        match plan.amount {
            Amount::Time(time) if self.flows.len() > 1 => last.map(|last| last + time / 3),
            Amount::Time(_) | Amount::Bytes(_) => None,
        }
    }

    fn flow_outcome(&self, flow: &Flow, settled: Option<Instant>) -> FlowOutcome {
        let mut notes = flow.sink.notes();
        let now = Instant::now();
        let began = settled.or_else(|| notes.began()).unwrap_or(now);
        let ends = notes.window_ends().unwrap_or(now).max(began);
        let before = settled.map_or(0, |settled| notes.bytes_by(settled));
        let bytes = notes.bytes_by(ends) - before;
        FlowOutcome {
            ends: flow.ends,
            megabits_per_second: megabits_per_second(bytes, ends - began),
            longest_stall: notes.longest_stall(now),
            repeated_percent: self.link.ledger.repeated_percent(flow.to),
            is_intact: notes.is_intact(),
        }
    }
}

impl Plan {
    /// Longer than this, something is stuck.
    fn time_max(&self) -> Duration {
        match self.amount {
            Amount::Bytes(_) => TRANSFER_TIME_MAX,
            Amount::Time(time) => time + OPENING_TIME_MAX,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure of a table")]
fn megabits_per_second(bytes: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { bytes as f64 * 8.0 / 1e6 / time.as_secs_f64() }
}

const FIRST_PORT: u16 = 5001;
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
const OPENING_TIME_MAX: Duration = Duration::from_secs(15);
const TRANSFER_TIME_MAX: Duration = Duration::from_secs(60);
