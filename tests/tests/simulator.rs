//! Whole networks in virtual time: the seeds of the corpus, fresh seeds, and the same seed twice.
//!
//! `BORE_SIM_SEED=N` runs one seed; `BORE_SIM_RUNS=N` says how many fresh ones; `BORE_SIM_TRACE=1` prints everything that happens.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use bore_tests::length::Length;
use bore_tests::simulator::{Plan, Report, run};

#[test]
fn seeds_of_the_corpus_break_no_rule_and_between_them_everything_happens() {
    if one_seed().is_some() {
        return;
    }
    let mut counts = BTreeMap::new();
    let mut slowest = Duration::ZERO;
    for seed in corpus() {
        let report = run_or_tell(seed);
        slowest = slowest.max(report.slowest_recovery);
        for (what, count) in report.counts {
            *counts.entry(what).or_insert(0) += count;
        }
    }
    println!("slowest recovery: {slowest:?}\n{counts:#?}");
    let idle: Vec<&str> =
        MUST_HAPPEN.into_iter().filter(|what| !counts.contains_key(what)).collect();
    assert_eq!(idle, Vec::<&str>::new(), "never happened in the whole corpus");
}

#[test]
fn fresh_seeds_break_no_rule() {
    if let Some(seed) = one_seed() {
        tell(seed, &run_or_tell(seed));
        return;
    }
    let began = Instant::now();
    for _ in 0..fresh_runs() {
        let seed = rand::random();
        tell(seed, &run_or_tell(seed));
    }
    println!("fresh seeds took {:.1} s", began.elapsed().as_secs_f32());
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in one_seed().map_or_else(corpus, |seed| vec![seed]).into_iter().take(AGAIN) {
        let (first, again) = (run_or_tell(seed), run_or_tell(seed));
        if first.is_exact && again.is_exact {
            assert_eq!(first, again, "seed {seed}: two runs differ; {}", command(seed));
        }
    }
}

/// Runs a seed; when a rule is broken, says how to see it again.
#[expect(clippy::print_stdout, reason = "says how to see a failure again")]
fn run_or_tell(seed: u64) -> Report {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, plan())));
    outcome.unwrap_or_else(|panic| {
        println!("\nseed {seed} broke a rule. To see it again:\n    {}\n", command(seed));
        resume_unwind(panic)
    })
}

#[expect(clippy::print_stdout, reason = "tells which seeds were run")]
fn tell(seed: u64, report: &Report) {
    println!(
        "seed {seed}: {} s of virtual time, {} events, trace {:016x}, slowest recovery {:?}",
        report.duration.as_secs(),
        report.entries,
        report.trace,
        report.slowest_recovery,
    );
}

fn command(seed: u64) -> String {
    let length = Length::pick("quick", "ci", "long");
    format!(
        "BORE_TEST_LENGTH={length} BORE_SIM_SEED={seed} cargo nextest run -p bore-tests \
         --test simulator --no-capture fresh_seeds_break_no_rule"
    )
}

fn plan() -> Plan {
    Plan {
        nodes: 4,
        rounds: Length::pick(3, 4, 8),
        transitions: Length::pick(25, 30, 40),
        idle_hours: Length::pick(3, 6, 24),
    }
}

fn fresh_runs() -> usize {
    let wanted = std::env::var("BORE_SIM_RUNS").ok();
    let default = || Length::pick(6, 20, 300);
    wanted.map_or_else(default, |runs| runs.parse().expect("BORE_SIM_RUNS is a number"))
}

fn one_seed() -> Option<u64> {
    let seed = std::env::var("BORE_SIM_SEED").ok()?;
    Some(seed.parse().expect("BORE_SIM_SEED is a number"))
}

fn corpus() -> Vec<u64> {
    let lines = include_str!("../corpus/simulator.seeds").lines();
    let seeds = lines.filter(|line| !line.starts_with('#')).filter_map(|line| {
        line.split_whitespace().next().map(|seed| seed.parse().expect("a seed is a number"))
    });
    seeds.collect()
}

/// Without any of these the simulation would prove little.
const MUST_HAPPEN: [&str; 32] = [
    "RESETs received",
    "agents restarted",
    "clock jumps",
    "clocks changed",
    "control calls",
    "endpoints moved",
    "flows complete",
    "flows failed",
    "flows proved",
    "forged sources",
    "garden entered",
    "garden left",
    "join answers lost",
    "joins answered",
    "joins anew",
    "mutations",
    "NAT rebindings",
    "overtakings",
    "path probes answered",
    "pings answered",
    "relay restarts",
    "removals",
    "replays",
    "roams",
    "segments refused",
    "sessions renewed",
    "trains sent",
    "tunnels down",
    "visits",
    "visits of a wrong port",
    "ways out full",
    "weather changes",
];
const AGAIN: usize = 2;
