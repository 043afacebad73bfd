//! The tables of results, in Markdown.

use std::io::{self, Write};

use crate::cells::{Cell, Contest, Traffic};
use crate::lateness::Lateness;
use crate::measured::Measured;
use crate::plan::Ends;
use crate::run::Outcome;
use crate::targets::{self, Verdict, YARDSTICK};

/// Writes everything.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut impl Write, all: &[Measured]) -> io::Result<()> {
    let (shared, alone): (Vec<_>, Vec<_>) = all.iter().partition(|one| one.cell.is_shared());
    if !alone.is_empty() {
        write_alone(out, &alone)?;
    }
    if !shared.is_empty() {
        write_shared(out, &shared)?;
    }
    write_verdicts(out, &targets::judge(all))?;
    write_lateness(out, all)
}

/// One run, a line for each flow, for who watches.
///
/// # Errors
/// Those of `out`.
pub fn write_run(out: &mut impl Write, cell: &Cell, outcome: &Outcome) -> io::Result<()> {
    for flow in &outcome.flows {
        let (rate, stall) = (flow.megabits_per_second, flow.longest_stall.as_secs_f64() * 1e3);
        let broken = if flow.is_intact { "" } else { "  BROKEN" };
        writeln!(
            out,
            "{cell:31} {:14} {rate:6.1} Mbit/s, stall {stall:6.1} ms, sent again {:5.2} %{broken}",
            flow.ends, flow.repeated_percent,
        )?;
    }
    Ok(())
}

fn write_alone(out: &mut impl Write, alone: &[&Measured]) -> io::Result<()> {
    let others =
        [Ends::OURS_TO_OURS, Ends::OURS_TO_KERNEL, Ends::BBR_TO_OURS, Ends::CUBIC_TO_KERNEL];
    writeln!(
        out,
        "\nGoodput (Mbit/s of Linux BBR, else beside it), longest stall (ms), data sent again (%)\n"
    )?;
    write!(out, "| cell | {} |", Ends::BBR_TO_KERNEL)?;
    others.iter().try_for_each(|ends| write!(out, " {ends} |"))?;
    writeln!(out, "\n|---|---|---|---|---|---|")?;
    for measured in alone {
        let yardstick = figures(measured, YARDSTICK, 1.0, 1);
        write!(out, "| {} | {yardstick} |", measured.cell)?;
        let rate = measured.rate(YARDSTICK, 0).unwrap_or(f64::NAN);
        for ends in others {
            write!(out, " {} |", figures(measured, &[ends], rate, 2))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn figures(measured: &Measured, contest: &[Ends], unit: f64, digits: usize) -> String {
    let contest = measured.contests().find(|own| *own == contest);
    contest
        .and_then(|contest| known_figures(measured, contest, unit, digits))
        .unwrap_or_else(|| "–".to_owned())
}

fn known_figures(
    measured: &Measured,
    contest: Contest,
    unit: f64,
    digits: usize,
) -> Option<String> {
    let rate = measured.rate(contest, 0)? / unit;
    let stall = measured.stall_ms(contest)?;
    let repeated = measured.repeated_percent(contest)?;
    Some(format!("{rate:.digits$} / {stall:.0} / {repeated:.1}"))
}

fn write_shared(out: &mut impl Write, shared: &[&Measured]) -> io::Result<()> {
    writeln!(out, "\n| cell | flows | Mbit/s of each | figure |\n|---|---|---|---|")?;
    for measured in shared {
        for contest in measured.contests() {
            let rates: Vec<String> = (0..contest.len())
                .filter_map(|index| measured.rate(contest, index))
                .map(|rate| format!("{rate:.1}"))
                .collect();
            let (flows, figure) = (names(contest), shared_figure(measured, contest));
            writeln!(out, "| {} | {flows} | {} | {figure} |", measured.cell, rates.join(" + "))?;
        }
    }
    Ok(())
}

fn shared_figure(measured: &Measured, contest: Contest) -> String {
    let (name, figure) = match measured.cell.traffic {
        Traffic::BesideCubic => (
            "Cubic keeps",
            measured.rate(contest, 1).map(|rate| rate / targets::link_rate(measured)),
        ),
        Traffic::Four | Traffic::Alone | Traffic::AloneWithCubic => {
            ("Jain", measured.middle(contest, targets::jain_index))
        }
    };
    figure.map_or_else(|| "–".to_owned(), |figure| format!("{name} {figure:.2}"))
}

fn write_verdicts(out: &mut impl Write, verdicts: &[Verdict]) -> io::Result<()> {
    writeln!(
        out,
        "\n| target | cell | flows | figure | wanted | met |\n|---|---|---|---|---|---|"
    )?;
    for verdict in verdicts {
        let Verdict { target, cell, contest, figure, wanted, is_met } = verdict;
        let met = if *is_met { "yes" } else { "NO" };
        writeln!(
            out,
            "| {target} | {cell} | {} | {figure:.2} | {wanted} | {met} |",
            names(contest)
        )?;
    }
    let met = verdicts.iter().filter(|verdict| verdict.is_met).count();
    writeln!(out, "\nMet {met} of {} targets.", verdicts.len())
}

fn names(contest: Contest) -> String {
    let names: Vec<String> = contest.iter().map(ToString::to_string).collect();
    match names.first() {
        Some(first) if names.len() > 2 => format!("{} × {first}", names.len()),
        Some(_) | None => names.join(" + "),
    }
}

fn write_lateness(out: &mut impl Write, all: &[Measured]) -> io::Result<()> {
    let lateness = all.iter().map(Measured::lateness).fold(Lateness::default(), Lateness::and);
    let (share, worst) = (lateness.late_percent(), lateness.worst().as_secs_f64() * 1e3);
    writeln!(
        out,
        "\nThe link delivered {share:.2} % of the packets more than 0.1 ms late, the worst {worst:.1} ms."
    )
}
