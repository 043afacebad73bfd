//! The tables.

use std::io::{self, Write};
use std::time::Duration;

use crate::memory::{Look, Looks};
use crate::subjects::Round;
use crate::transfer::Tally;

/// Nanoseconds for a segment, medians over the rounds; ratios are medians of each round's ratio.
pub(crate) fn write_time(out: &mut impl Write, idle: usize, rounds: &[Round]) -> io::Result<()> {
    writeln!(out, "| ns per segment | sends | receives | both | segments per ACK | per turn |")?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    let among = |name: &str| format!("{name}, {idle} idle");
    let (trains, single) = (among("ours, trains"), among("ours, segment by segment"));
    write_subject(out, "ours, trains", rounds, |round| &round.trains)?;
    write_subject(out, &trains, rounds, |round| &round.trains_among_idle)?;
    write_subject(out, "ours, segment by segment", rounds, |round| &round.single)?;
    write_subject(out, &single, rounds, |round| &round.single_among_idle)?;
    write_subject(out, "ours, trains, all checksums", rounds, |round| &round.foreign)?;
    write_subject(out, "smoltcp", rounds, |round| &round.smoltcp)?;
    write_subject(out, "smoltcp, no checksums", rounds, |round| &round.smoltcp_bare)?;
    write_subject(out, "smoltcp, all checksums", rounds, |round| &round.smoltcp_full)?;
    let beside = "trains ÷ smoltcp";
    write_ratio(out, beside, rounds, |round| (&round.trains, &round.smoltcp))?;
    let beside = "segment by segment ÷ smoltcp";
    write_ratio(out, beside, rounds, |round| (&round.single, &round.smoltcp))?;
    let beside = "trains ÷ smoltcp, no checksums";
    write_ratio(out, beside, rounds, |round| (&round.trains, &round.smoltcp_bare))?;
    let beside = "segment by segment ÷ smoltcp, no checksums";
    write_ratio(out, beside, rounds, |round| (&round.single, &round.smoltcp_bare))?;
    let beside = "trains ÷ smoltcp, all checksums";
    write_ratio(out, beside, rounds, |round| (&round.foreign, &round.smoltcp_full))?;
    let beside = format!("trains, {idle} idle ÷ 1 flow");
    write_ratio(out, &beside, rounds, |round| (&round.trains_among_idle, &round.trains))?;
    let beside = format!("segment by segment, {idle} idle ÷ 1 flow");
    write_ratio(out, &beside, rounds, |round| (&round.single_among_idle, &round.single))?;
    writeln!(out)
}

pub(crate) fn write_memory_head(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "| bytes per flow | caller | called | resident, both |")?;
    writeln!(out, "|---|---|---|---|")
}

pub(crate) fn write_memory(out: &mut impl Write, flows: usize, looks: &Looks) -> io::Result<()> {
    let Looks { idle, busy, drained, closed } = looks;
    for (name, look) in [("idle", idle), ("after the burst", drained), ("closed", closed)] {
        write_look(out, &format!("{flows} {name}"), look, flows)?;
    }
    let mib = |bytes: i64| bytes >> 20;
    let (caller, called) = (mib(busy.caller_bytes), mib(busy.called_bytes));
    writeln!(
        out,
        "| {flows} at the height of the burst, MiB in all | {caller} | {called} | {} |",
        mib(busy.resident_bytes)
    )
}

fn write_subject<'r>(
    out: &mut impl Write,
    name: &str,
    rounds: &'r [Round],
    of: impl Fn(&'r Round) -> &'r Tally,
) -> io::Result<()> {
    let all = |figure: fn(&Tally) -> f64| median(rounds.iter().map(|round| figure(of(round))));
    writeln!(
        out,
        "| {name} | {:.0} | {:.0} | {:.0} | {:.1} | {:.0} |",
        all(sending),
        all(receiving),
        all(both),
        all(|tally| ratio(tally.segments, tally.acknowledgments)),
        all(|tally| ratio(tally.segments, tally.turns)),
    )
}

fn write_ratio<'r>(
    out: &mut impl Write,
    name: &str,
    rounds: &'r [Round],
    of: impl Fn(&'r Round) -> (&'r Tally, &'r Tally),
) -> io::Result<()> {
    let all = |figure: fn(&Tally) -> f64| {
        median(rounds.iter().map(|round| {
            let (ours, theirs) = of(round);
            figure(ours) / figure(theirs)
        }))
    };
    let (sending, receiving, both) = (all(sending), all(receiving), all(both));
    writeln!(out, "| {name} | {sending:.2} | {receiving:.2} | {both:.2} | | |")
}

fn write_look(out: &mut impl Write, name: &str, look: &Look, flows: usize) -> io::Result<()> {
    let each = |bytes: i64| i64::try_from(flows).map_or(0, |flows| bytes / flows.max(1));
    let (caller, called) = (each(look.caller_bytes), each(look.called_bytes));
    writeln!(out, "| {name} | {caller} | {called} | {} |", each(look.resident_bytes))
}

fn sending(tally: &Tally) -> f64 {
    per_segment(tally.sending, tally)
}

fn receiving(tally: &Tally) -> f64 {
    per_segment(tally.receiving, tally)
}

fn both(tally: &Tally) -> f64 {
    per_segment(tally.sending + tally.receiving, tally)
}

#[expect(clippy::cast_precision_loss, reason = "counts of one run stay far below 2^52")]
fn per_segment(time: Duration, tally: &Tally) -> f64 {
    time.as_secs_f64() * 1e9 / tally.segments.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts of one run stay far below 2^52")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The middle one; of an even number, the lower of the two; of none, nothing.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
