//! Our TCP against that of Linux over one userspace link: `cargo run --release -p bore-rig -- --help`.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::time::Duration;

use bore_rig::cells::{self, Cell, Contest};
use bore_rig::{Amount, Measured, Outcome, Plan, Result, demand_privileges, report, run};
use clap::Parser;

/// Measures our TCP against that of Linux over one userspace link, in namespaces of its own. Needs root and /dev/net/tun.
#[derive(Debug, Parser)]
#[command(name = "bore-rig")]
struct Arguments {
    /// Only cells whose name contains this; may be repeated
    #[arg(long)]
    cell: Vec<String>,
    /// How often everything is run, in turns
    #[arg(long, default_value_t = 3)]
    rounds: u64,
    /// How long a flow runs; flows that share the link run twice as long
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Only print the names of the cells
    #[arg(long)]
    list: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let cells = arguments.cells()?;
    if arguments.list {
        return Ok(cells.iter().try_for_each(|cell| writeln!(io::stdout(), "{cell}"))?);
    }
    demand_privileges()?;
    let mut all: Vec<Measured> = cells.into_iter().map(Measured::new).collect();
    for round in 0..arguments.rounds {
        for measured in &mut all {
            arguments.run_cell(round, measured)?;
        }
    }
    Ok(report::write(&mut io::stdout().lock(), &all)?)
}

impl Arguments {
    fn cells(&self) -> Result<Vec<Cell>> {
        let is_wanted = |cell: &Cell| {
            let name = cell.to_string();
            self.cell.is_empty() || self.cell.iter().any(|part| name.contains(part))
        };
        let cells: Vec<Cell> = cells::all().into_iter().filter(is_wanted).collect();
        if cells.is_empty() { Err("no cell has such a name: see --list".into()) } else { Ok(cells) }
    }

    fn run_cell(&self, round: u64, measured: &mut Measured) -> Result<()> {
        let cell = measured.cell;
        for contest in cell.contests() {
            let outcome = self.run_contest(round, &cell, contest)?;
            report::write_run(&mut io::stderr().lock(), &cell, &outcome)?;
            measured.add(contest, outcome);
        }
        Ok(())
    }

    fn run_contest(&self, round: u64, cell: &Cell, contest: Contest) -> Result<Outcome> {
        let seconds = if cell.is_shared() { 2 * self.seconds } else { self.seconds };
        let plan = Plan {
            conditions: cell.conditions,
            flows: contest.to_vec(),
            amount: Amount::Time(Duration::from_secs(seconds)),
            seed: round + 1,
        };
        run(&plan).map_err(|error| format!("{cell}, {contest:?}: {error}").into())
    }
}
