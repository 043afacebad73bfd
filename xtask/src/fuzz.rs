//! Each fuzz target of `fuzz/` for a while, by cargo-fuzz.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{cargo, root, run, say};

/// Runs every target for `seconds`, one after the other. A finding stays in `fuzz/artifacts/TARGET`.
pub(crate) fn run_all(seconds: &str) -> Result<(), String> {
    let seconds: u32 =
        seconds.parse().map_err(|_| format!("`{seconds}` is no number of seconds"))?;
    install()?;
    run(&mut fuzz(&["build"]))?;
    let logs = root().join("fuzz/target/logs");
    fs::create_dir_all(&logs)
        .map_err(|error| format!("cannot make {}: {error}", logs.display()))?;
    let mut findings = Vec::new();
    for target in targets()? {
        findings.extend(
            run_target(&target, seconds, &logs).err().map(|why| format!("{target}: {why}")),
        );
    }
    if findings.is_empty() { Ok(()) } else { Err(findings.join("\n")) }
}

fn run_target(target: &str, seconds: u32, logs: &Path) -> Result<(), String> {
    let path = logs.join(format!("{target}.log"));
    let log = File::create(&path).map_err(|error| error.to_string())?;
    let corpus = root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus).map_err(|error| error.to_string())?;
    let mut command = fuzz(&["run", target]);
    command.arg(corpus);
    // Committed inputs; what is found beside them goes into the corpus, which is not committed.
    let seeds = root().join("fuzz/seeds").join(target);
    command.args(seeds.exists().then_some(seeds));
    command.args(["--", "-print_final_stats=1", "-len_control=20", "-max_len=8192", "-timeout=10"]);
    let status = command.arg(format!("-max_total_time={seconds}")).stderr(log).status();
    let succeeded = status.map_err(|error| error.to_string())?.success();
    let text = fs::read_to_string(&path).unwrap_or_default();
    let executions =
        final_stat(&text, "number_of_executed_units").unwrap_or("an unknown number of");
    if !succeeded {
        return Err(format!("a finding, see {}", path.display()));
    }
    say(&format!("{target}: {executions} executions, no finding"));
    Ok(())
}

/// `stat::NAME: VALUE`, as libFuzzer ends.
fn final_stat<'a>(log: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = log.lines().rev();
    lines
        .find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// The targets by name.
fn targets() -> Result<Vec<String>, String> {
    let listed = crate::shell::output(&mut fuzz(&["list"]))?;
    Ok(listed.lines().map(str::to_owned).collect())
}

fn install() -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join("cargo-fuzz").exists());
    if found {
        return Ok(());
    }
    say("installing cargo-fuzz (a few minutes, once)");
    run(&mut cargo(&["install", "--locked", "cargo-fuzz"]))
}

/// cargo-fuzz with the stable toolchain: sanitizers are behind the switch that the bootstrap of rustc uses.
fn fuzz(arguments: &[&str]) -> Command {
    let mut command = cargo(&["fuzz"]);
    command.args(arguments).current_dir(fuzz_folder()).env("RUSTC_BOOTSTRAP", "1");
    command
}

fn fuzz_folder() -> PathBuf {
    root().join("fuzz")
}
