//! The runs of one cell, and the figures that its row shows.

use crate::cells::{Cell, Contest};
use crate::run::{FlowOutcome, Outcome};
use crate::statistics::{largest, median};

/// A cell with what was seen in it.
#[derive(Debug, Clone)]
pub struct Measured {
    /// What was measured.
    pub cell: Cell,
    runs: Vec<(Contest, Vec<Outcome>)>,
}

impl Measured {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new(cell: Cell) -> Self {
        let runs = cell.contests().iter().map(|contest| (*contest, Vec::new())).collect();
        Self { cell, runs }
    }

    /// One more run of a contest of the cell.
    pub fn add(&mut self, contest: Contest, outcome: Outcome) {
        let own = self.runs.iter_mut().find(|(own, _)| *own == contest);
        own.into_iter().for_each(|(_, outcomes)| outcomes.push(outcome.clone()));
    }

    pub(crate) fn contests(&self) -> impl Iterator<Item = Contest> + '_ {
        self.runs.iter().map(|(contest, _)| *contest)
    }

    /// Of the flow at `index` of the contest: the middle of all rounds. `None` when the cell has no such contest.
    pub(crate) fn rate(&self, contest: Contest, index: usize) -> Option<f64> {
        median(self.flows(contest, index, |flow| flow.megabits_per_second))
    }

    /// The worst of all rounds, in milliseconds.
    pub(crate) fn stall_ms(&self, contest: Contest) -> Option<f64> {
        largest(self.flows(contest, 0, |flow| flow.longest_stall.as_secs_f64() * 1e3))
    }

    /// The middle of all rounds.
    pub(crate) fn repeated_percent(&self, contest: Contest) -> Option<f64> {
        median(self.flows(contest, 0, |flow| flow.repeated_percent))
    }

    /// A figure of whole runs: the middle of all rounds.
    pub(crate) fn middle(&self, contest: Contest, figure: impl Fn(&Outcome) -> f64) -> Option<f64> {
        median(self.outcomes(contest).iter().map(figure).collect())
    }

    /// How exact the link was in all rounds.
    pub(crate) fn lateness(&self) -> crate::Lateness {
        let outcomes = self.runs.iter().flat_map(|(_, outcomes)| outcomes);
        outcomes.map(|outcome| outcome.lateness).fold(crate::Lateness::default(), |a, b| a.and(b))
    }

    fn flows(&self, contest: Contest, index: usize, figure: fn(&FlowOutcome) -> f64) -> Vec<f64> {
        let outcomes = self.outcomes(contest).iter();
        outcomes.filter_map(|outcome| outcome.flows.get(index)).map(figure).collect()
    }

    fn outcomes(&self, contest: Contest) -> &[Outcome] {
        let own = self.runs.iter().find(|(own, _)| *own == contest);
        own.map_or(&[], |(_, outcomes)| outcomes)
    }
}
