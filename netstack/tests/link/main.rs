//! The link in virtual time: bulk flows over a simulated bottleneck, ours beside a fixed reference.
//!
//! A cell is a link (rate, round trip, queue, loss, reordering) and a number of flows. In each cell
//! an application that always writes sends to one that always reads, first between two stacks of
//! this crate, then between two sockets of smoltcp 0.14 with Cubic and 1 MB buffers. What came of it
//! is a row of `grid.md`, which is committed, so that a change of behaviour shows up in review:
//!
//! ```text
//! cargo nextest run -p bore-netstack                a few cells must equal their rows
//! cargo xtask link                                  all cells, rewrites grid.md
//! cargo xtask link 100M/20ms/q20ms/l1%/r0%          one cell, as a time series
//! ```
//!
//! What the link does:
//! - Both directions have the same rate, delay (half the round trip), queue and losses.
//! - A queue drops what would wait longer than it holds (tail drop).
//! - Packets are lost behind the queue, alone or in bursts (Gilbert-Elliott, all lost in the bad
//!   state), in both directions, the handshake included.
//! - Packets are reordered in the direction of the data only: an unlucky one is overtaken by the next
//!   three.
//! - Applications and the drivers of the stacks take no time.
//!
//! **Invariant:** no clock and no randomness but the seeded one: the same code gives the same rows,
//! bit for bit, in every build.

#[cfg(test)]
mod cells;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod end;
#[cfg(test)]
mod fairness;
#[cfg(test)]
mod loss;
#[cfg(test)]
mod meter;
#[cfg(test)]
mod ours;
#[cfg(test)]
mod outcome;
#[cfg(test)]
mod pipe;
#[cfg(test)]
mod random;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod series;
#[cfg(test)]
mod snapshot;
#[cfg(test)]
mod table;
#[cfg(test)]
mod world;
