//! What our stack has to reach beside Linux on the same link, and whether it did.

use crate::cells::{Contest, Traffic};
use crate::measured::Measured;
use crate::plan::{Ends, Sender};
use crate::run::Outcome;
use crate::statistics::jain;

/// One target in one cell.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) target: &'static str,
    pub(crate) cell: String,
    pub(crate) contest: Contest,
    pub(crate) figure: f64,
    /// As in `at least 0.9`.
    pub(crate) wanted: String,
    pub(crate) is_met: bool,
}

/// Everything that can be judged from what was measured.
pub(crate) fn judge(all: &[Measured]) -> Vec<Verdict> {
    all.iter().flat_map(|measured| judge_cell(measured, all)).collect()
}

fn judge_cell(measured: &Measured, all: &[Measured]) -> Vec<Verdict> {
    let ours = measured.contests().filter(is_ours);
    let verdicts = ours.flat_map(|contest| match measured.cell.traffic {
        Traffic::Alone | Traffic::AloneWithCubic => vec![
            goodput(measured, contest),
            stall(measured, contest),
            reordering(measured, contest, all),
        ],
        Traffic::Four => vec![fairness(measured, contest)],
        Traffic::BesideCubic => vec![modesty(measured, contest)],
    });
    verdicts.flatten().collect()
}

fn goodput(measured: &Measured, contest: Contest) -> Option<Verdict> {
    let least = if measured.cell.conditions.loss_percent > 1.0 { 0.8 } else { 0.9 };
    let figure = measured.rate(contest, 0)? / measured.rate(YARDSTICK, 0)?;
    Some(at_least("goodput beside Linux BBR", measured, contest, figure, least))
}

/// A wait shorter than a round trip is no stall, and one shorter than a few turns of the scheduler is not the stack's.
fn stall(measured: &Measured, contest: Contest) -> Option<Verdict> {
    let round_trip_ms = measured.cell.conditions.round_trip.as_secs_f64() * 1e3;
    let yardstick = measured.stall_ms(YARDSTICK)?.max(round_trip_ms).max(NOISE_MS);
    let figure = measured.stall_ms(contest)? / yardstick;
    Some(Verdict {
        target: "longest stall beside Linux BBR",
        cell: measured.cell.to_string(),
        contest,
        figure,
        wanted: format!("at most {STALL_MAX}"),
        is_met: figure <= STALL_MAX,
    })
}

fn reordering(measured: &Measured, contest: Contest, all: &[Measured]) -> Option<Verdict> {
    let conditions = measured.cell.conditions;
    let in_order = all.iter().find(|other| {
        conditions.reorder_percent > 0.0
            && !other.cell.is_shared()
            && other.cell.conditions == conditions.reorder(0.0)
    })?;
    let figure = measured.rate(contest, 0)? / in_order.rate(contest, 0)?;
    Some(at_least("goodput beside no reordering", measured, contest, figure, 0.9))
}

fn fairness(measured: &Measured, contest: Contest) -> Option<Verdict> {
    let figure = measured.middle(contest, jain_index)?;
    Some(at_least("Jain's index of four flows", measured, contest, figure, 0.9))
}

fn modesty(measured: &Measured, contest: Contest) -> Option<Verdict> {
    let figure = measured.rate(contest, 1)? / link_rate(measured);
    Some(at_least("share of the link that Linux Cubic keeps", measured, contest, figure, 0.4))
}

pub(crate) fn jain_index(outcome: &Outcome) -> f64 {
    let rates: Vec<f64> = outcome.flows.iter().map(|flow| flow.megabits_per_second).collect();
    jain(&rates)
}

pub(crate) fn link_rate(measured: &Measured) -> f64 {
    f64::from(measured.cell.conditions.megabits_per_second)
}

fn at_least(
    target: &'static str,
    measured: &Measured,
    contest: Contest,
    figure: f64,
    least: f64,
) -> Verdict {
    let (cell, wanted) = (measured.cell.to_string(), format!("at least {least}"));
    Verdict { target, cell, contest, figure, wanted, is_met: figure >= least }
}

/// Our sender is what the targets are about.
fn is_ours(contest: &Contest) -> bool {
    contest.first().is_some_and(|ends| ends.sender == Sender::Ours)
}

/// Linux with BBR at both ends.
pub(crate) const YARDSTICK: Contest = &[Ends::BBR_TO_KERNEL];
const STALL_MAX: f64 = 3.0;
const NOISE_MS: f64 = 10.0;
