//! What is measured by default: links with names, and who runs over each.

use std::fmt;

use crate::conditions::Conditions;
use crate::plan::Ends;

/// A link and what runs over it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// The link.
    pub conditions: Conditions,
    /// What runs over it.
    pub traffic: Traffic,
}

/// What runs over the link of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// One flow after the other, of every pair of ends.
    Alone,
    /// The same, and Cubic of Linux.
    AloneWithCubic,
    /// Four flows of one kind at once.
    Four,
    /// One flow beside one of Linux with Cubic.
    BesideCubic,
}

/// The flows of one run.
pub type Contest = &'static [Ends];

impl Cell {
    /// What is run, one after the other. The yardstick, Linux with BBR, is the first.
    #[must_use]
    pub fn contests(&self) -> &'static [Contest] {
        match self.traffic {
            Traffic::Alone => ALONE.split_at(ALONE.len() - 1).0,
            Traffic::AloneWithCubic => ALONE,
            Traffic::Four => &[&[Ends::BBR_TO_KERNEL; 4], &[Ends::OURS_TO_OURS; 4]],
            Traffic::BesideCubic => &[
                &[Ends::BBR_TO_KERNEL, Ends::CUBIC_TO_KERNEL],
                &[Ends::OURS_TO_OURS, Ends::CUBIC_TO_KERNEL],
            ],
        }
    }

    /// Whether flows share the link, and so need longer to settle.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.traffic, Traffic::Four | Traffic::BesideCubic)
    }

    const fn new(conditions: Conditions, traffic: Traffic) -> Self {
        Self { conditions, traffic }
    }
}

/// `100m-20ms-loss1`, `four-20m-50ms`, `beside-cubic-100m-20ms`.
impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.traffic {
            Traffic::Alone | Traffic::AloneWithCubic => "",
            Traffic::Four => "four-",
            Traffic::BesideCubic => "beside-cubic-",
        };
        formatter.pad(&format!("{prefix}{}", self.conditions))
    }
}

/// All of them: at most 100 Mbit/s, which one thread carries in real time with a core to spare.
#[must_use]
pub fn all() -> Vec<Cell> {
    use Traffic::{Alone, AloneWithCubic, BesideCubic, Four};
    let near = Conditions::new(100, 1);
    let usual = Conditions::new(100, 20);
    let far = Conditions::new(100, 50);
    let farthest = Conditions::new(100, 100);
    let narrow = Conditions::new(20, 20);
    let deep = Conditions::new(20, 50).queue(200);
    vec![
        Cell::new(usual, AloneWithCubic),
        Cell::new(usual.loss(0.1), Alone),
        Cell::new(usual.loss(1.0), AloneWithCubic),
        Cell::new(usual.loss(2.0), Alone),
        Cell::new(usual.loss(5.0), AloneWithCubic),
        Cell::new(usual.reorder(0.1), Alone),
        Cell::new(usual.reorder(1.0), AloneWithCubic),
        Cell::new(usual.queue(200), Alone),
        Cell::new(near, Alone),
        Cell::new(near.loss(1.0), Alone),
        Cell::new(far, Alone),
        Cell::new(far.loss(1.0), Alone),
        Cell::new(far.reorder(1.0), Alone),
        Cell::new(farthest, Alone),
        Cell::new(farthest.loss(1.0), Alone),
        Cell::new(narrow.loss(1.0), Alone),
        Cell::new(narrow.loss(5.0), Alone),
        Cell::new(deep, Alone),
        Cell::new(usual, Four),
        Cell::new(deep.queue(20), Four),
        Cell::new(usual, BesideCubic),
        Cell::new(deep, BesideCubic),
    ]
}

const ALONE: &[Contest] = &[
    &[Ends::BBR_TO_KERNEL],
    &[Ends::OURS_TO_OURS],
    &[Ends::OURS_TO_KERNEL],
    &[Ends::BBR_TO_OURS],
    &[Ends::CUBIC_TO_KERNEL],
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_cells_have_the_same_name() {
        let names: HashSet<String> = all().iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), all().len());
        assert!(names.contains("100m-20ms-loss1"), "{names:?}");
        assert!(names.contains("beside-cubic-20m-50ms-queue200"), "{names:?}");
    }
}
