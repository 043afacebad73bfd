//! What is run: who sends to whom, how much, over which link.

use std::fmt;
use std::time::Duration;

use crate::conditions::Conditions;

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The link.
    pub conditions: Conditions,
    /// Flows that run at the same time, from left to right.
    pub flows: Vec<Ends>,
    /// What every flow sends.
    pub amount: Amount,
    /// Decides which packets are lost.
    pub seed: u64,
}

/// When a flow is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// This much is sent, then the stream ends and is closed in order.
    Bytes(u64),
    /// As much as possible is sent until this much time has passed at the receiver.
    Time(Duration),
}

/// The ends of one flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ends {
    /// On the left.
    pub sender: Sender,
    /// On the right.
    pub receiver: Receiver,
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sender {
    /// Our stack.
    Ours,
    /// Linux with this congestion control.
    Kernel(Congestion),
}

/// Who receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Receiver {
    /// Our stack.
    Ours,
    /// Linux.
    Kernel,
}

/// A congestion control of Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Congestion {
    /// Model-based; the yardstick.
    Bbr,
    /// Loss-based; the default of Linux.
    Cubic,
}

impl Ends {
    /// Our stack at both ends.
    pub const OURS_TO_OURS: Self = Self { sender: Sender::Ours, receiver: Receiver::Ours };
    /// Our stack sends to Linux.
    pub const OURS_TO_KERNEL: Self = Self { sender: Sender::Ours, receiver: Receiver::Kernel };
    /// Linux with BBR sends to our stack.
    pub const BBR_TO_OURS: Self =
        Self { sender: Sender::Kernel(Congestion::Bbr), receiver: Receiver::Ours };
    /// Linux with BBR at both ends.
    pub const BBR_TO_KERNEL: Self =
        Self { sender: Sender::Kernel(Congestion::Bbr), receiver: Receiver::Kernel };
    /// Linux with Cubic at both ends.
    pub const CUBIC_TO_KERNEL: Self =
        Self { sender: Sender::Kernel(Congestion::Cubic), receiver: Receiver::Kernel };
}

impl Ends {
    /// One of them is ours, the other Linux.
    pub(crate) fn are_mixed(&self) -> bool {
        (self.sender == Sender::Ours) != (self.receiver == Receiver::Ours)
    }
}

impl Congestion {
    /// As the kernel calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bbr => "bbr",
            Self::Cubic => "cubic",
        }
    }
}

/// As in `cubic→kernel`.
impl fmt::Display for Ends {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sender = match self.sender {
            Sender::Ours => "ours",
            Sender::Kernel(congestion) => congestion.name(),
        };
        let receiver = match self.receiver {
            Receiver::Ours => "ours",
            Receiver::Kernel => "kernel",
        };
        // Padded by the one who prints.
        formatter.pad(&format!("{sender}→{receiver}"))
    }
}
