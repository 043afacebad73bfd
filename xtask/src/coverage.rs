//! Line coverage of overlay, netstack and policy by their own tests.
//!
//! rustc counts (`-C instrument-coverage`); Debian's LLVM of rustc's own major version reads what it counted.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::shell::{cargo, output, root, run, say};

/// Tests each of [`ROOMS`] and fails when one has less than [`LINES_PERCENT_MIN`] of its lines covered.
pub(crate) fn measure() -> Result<(), String> {
    let llvm = Llvm::find()?;
    let mut short = Vec::new();
    for (package, folder) in ROOMS {
        let lines = Room { package, folder }.measure(&llvm)?;
        say(&format!("{package}: {:.1} % of {} lines", lines.percent(), lines.all));
        if lines.percent() < LINES_PERCENT_MIN {
            short.push(package);
        }
    }
    if short.is_empty() {
        return Ok(());
    }
    Err(format!("less than {LINES_PERCENT_MIN} % of the lines are covered: {}", short.join(", ")))
}

struct Room {
    package: &'static str,
    folder: &'static str,
}

impl Room {
    fn measure(&self, llvm: &Llvm) -> Result<Lines, String> {
        let profiles = root().join("target/coverage").join(self.package);
        if profiles.exists() {
            std::fs::remove_dir_all(&profiles).map_err(|error| format!("{profiles:?}: {error}"))?;
        }
        let tests = self.build()?;
        for test in &tests {
            let mut command = Command::new(test);
            command.arg("--quiet").current_dir(root().join(self.folder));
            run(command.env("LLVM_PROFILE_FILE", profiles.join("%p-%m.profraw")))?;
        }
        let merged = profiles.join("merged.profdata");
        run(Command::new(&llvm.profdata)
            .args(["merge", "-sparse", "-o"])
            .arg(&merged)
            .args(raw(&profiles)?))?;
        self.read(llvm, &merged, &tests)
    }

    /// Builds the room's test programs with counters. Naming the target keeps them apart from the ordinary ones, and counters
    /// out of build scripts.
    fn build(&self) -> Result<Vec<PathBuf>, String> {
        let mut build = cargo(&["test", "--no-run", "--message-format=json", "--target", TARGET]);
        build.args(["--package", self.package]).env("RUSTFLAGS", "-C instrument-coverage");
        let messages = output(build.stderr(std::process::Stdio::inherit()))?;
        let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let tests =
            messages.filter(|message| message.pointer("/profile/test") == Some(&Value::Bool(true)));
        Ok(tests.filter_map(|test| text(&test, "executable").map(PathBuf::from)).collect())
    }

    /// Only the room's own product code: no dependencies, no test files.
    fn read(&self, llvm: &Llvm, profile: &Path, tests: &[PathBuf]) -> Result<Lines, String> {
        let mut export = Command::new(&llvm.cov);
        export.args(["export", "--summary-only", "--instr-profile"]).arg(profile);
        for (number, test) in tests.iter().enumerate() {
            export.args((number > 0).then_some("--object")).arg(test);
        }
        let report: Value =
            serde_json::from_str(&output(&mut export)?).map_err(|error| error.to_string())?;
        let sources = root().join(self.folder).join("src");
        let mut lines = Lines::default();
        for file in report.pointer("/data/0/files").and_then(Value::as_array).into_iter().flatten()
        {
            let name = Path::new(text(file, "filename").unwrap_or_default());
            if name.starts_with(&sources) && name.file_name().is_some_and(|name| name != "tests.rs")
            {
                lines.add(file);
            }
        }
        Ok(lines)
    }
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field).and_then(Value::as_str)
}

fn raw(profiles: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(profiles).map_err(|error| format!("{profiles:?}: {error}"))?;
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    Ok(paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "profraw"))
        .collect())
}

#[derive(Default)]
struct Lines {
    all: u64,
    covered: u64,
}

impl Lines {
    fn add(&mut self, file: &Value) {
        let number = |path| file.pointer(path).and_then(Value::as_u64).unwrap_or_default();
        self.all += number("/summary/lines/count");
        self.covered += number("/summary/lines/covered");
    }

    #[expect(clippy::cast_precision_loss, reason = "a room has fewer than 2^52 lines")]
    fn percent(&self) -> f64 {
        self.covered as f64 * 100.0 / self.all.max(1) as f64
    }
}

/// The programs that read rustc's counters: they must be of the same major version.
struct Llvm {
    profdata: String,
    cov: String,
}

impl Llvm {
    fn find() -> Result<Self, String> {
        let rustc = output(Command::new("rustc").args(["--version", "--verbose"]))?;
        let version = rustc.lines().find_map(|line| line.strip_prefix("LLVM version: "));
        let major =
            version.and_then(|version| version.split('.').next()).ok_or("rustc names no LLVM")?;
        let found =
            Self { profdata: format!("llvm-profdata-{major}"), cov: format!("llvm-cov-{major}") };
        let missing = |_| format!("no {}: apt-get install llvm-{major}", found.cov);
        output(Command::new(&found.cov).arg("--version")).map_err(missing)?;
        Ok(found)
    }
}

/// The rooms that protocols and decisions stand in.
const ROOMS: [(&str, &str); 3] =
    [("bore-overlay", "overlay"), ("bore-netstack", "netstack"), ("bore-policy", "policy")];
const TARGET: &str = "x86_64-unknown-linux-gnu";
const LINES_PERCENT_MIN: f64 = 90.0;
