//! Whose processor time is measured, side by side.

use bore_rig::Result;

use crate::ours::Ours;
use crate::pipe::MTU_BYTES;
use crate::reference::{Checksums, Reference};
use crate::transfer::{Tally, Transfer};

/// Each by name, in the order of [`Subject`].
pub(crate) struct Subjects {
    trains: Transfer<Ours>,
    trains_among_idle: Transfer<Ours>,
    single: Transfer<Ours>,
    single_among_idle: Transfer<Ours>,
    foreign: Transfer<Ours>,
    smoltcp: Transfer<Reference>,
    smoltcp_bare: Transfer<Reference>,
    smoltcp_full: Transfer<Reference>,
}

/// One measurement of each, one right after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// As the driver does: what may leave at once is taken at once.
    pub(crate) trains: Tally,
    pub(crate) trains_among_idle: Tally,
    /// Packet by packet.
    pub(crate) single: Tally,
    pub(crate) single_among_idle: Tally,
    /// In trains, towards a node whose checksums are made and verified.
    pub(crate) foreign: Tally,
    /// As the product used it: checksums made and not verified.
    pub(crate) smoltcp: Tally,
    /// Without any checksum of a segment.
    pub(crate) smoltcp_bare: Tally,
    /// With all of them.
    pub(crate) smoltcp_full: Tally,
}

impl Subjects {
    /// `idle` flows beside those that are measured among others.
    pub(crate) fn new(idle: usize) -> Result<Self> {
        let ours = |idle, is_foreign, room_bytes| {
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Transfer::new(
                Ours::pair(idle, is_foreign)?,
                room_bytes,
            ))
        };
        let smoltcp = |checksums| {
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Transfer::new(
                Reference::pair(checksums)?,
                MTU_BYTES,
            ))
        };
        Ok(Self {
            trains: ours(0, false, TRAIN_BYTES)?,
            trains_among_idle: ours(idle, false, TRAIN_BYTES)?,
            single: ours(0, false, MTU_BYTES)?,
            single_among_idle: ours(idle, false, MTU_BYTES)?,
            foreign: ours(0, true, TRAIN_BYTES)?,
            smoltcp: smoltcp(Checksums::Made)?,
            smoltcp_bare: smoltcp(Checksums::None)?,
            smoltcp_full: smoltcp(Checksums::MadeAndVerified)?,
        })
    }

    /// Measures each so often.
    pub(crate) fn run(&mut self, rounds: usize, segments: u64) -> Result<Vec<Round>> {
        // The first is for caches and congestion windows.
        let measured = (0..=rounds).map(|_| self.round(segments));
        Ok(measured.collect::<Result<Vec<_>>>()?.split_off(1))
    }

    fn round(&mut self, segments: u64) -> Result<Round> {
        Ok(Round {
            trains: self.trains.run(segments)?,
            trains_among_idle: self.trains_among_idle.run(segments)?,
            single: self.single.run(segments)?,
            single_among_idle: self.single_among_idle.run(segments)?,
            foreign: self.foreign.run(segments)?,
            smoltcp: self.smoltcp.run(segments)?,
            smoltcp_bare: self.smoltcp_bare.run(segments)?,
            smoltcp_full: self.smoltcp_full.run(segments)?,
        })
    }
}

/// What a driver takes at once.
const TRAIN_BYTES: usize = 64 * 1024;
