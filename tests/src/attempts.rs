//! A list of things that an attacker tries, each with what has to come of it.

use std::time::{Duration, Instant};

/// One attempt.
pub struct Attempt<Scene> {
    /// What is tried.
    pub name: &'static str,
    /// Tries it, and says in a few words what came of it.
    pub make: fn(&mut Scene) -> String,
    /// What has to come of it; more than one thing may, separated by `|`.
    pub expected: &'static str,
}

impl<Scene> std::fmt::Debug for Attempt<Scene> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Makes every attempt, looks after each with `damage` whether others are served as before, and prints how many there were.
///
/// # Panics
/// When an attempt came to something else than it has to, or did damage; all of them are named.
#[expect(clippy::print_stdout, reason = "how many attempts were made is the result of the test")]
pub fn make_all<Scene>(
    who: &str,
    scene: &mut Scene,
    attempts: &[&[Attempt<Scene>]],
    mut damage: impl FnMut(&mut Scene) -> Option<String>,
) {
    let mut surprises = Vec::new();
    let mut note = |surprise: String| {
        println!("{who}: {surprise}");
        surprises.push(surprise);
    };
    for attempt in attempts.iter().copied().flatten() {
        let began = Instant::now();
        let came = (attempt.make)(scene);
        if !attempt.expected.split('|').any(|expected| expected == came) {
            note(format!("{}: {came}, not {}", attempt.name, attempt.expected));
        }
        if began.elapsed() > LONG {
            println!("{who}: {} took {:.1?}", attempt.name, began.elapsed());
        }
        if let Some(damage) = damage(scene) {
            note(format!("{}: did damage: {damage}", attempt.name));
        }
    }
    let count: usize = attempts.iter().map(|some| some.len()).sum();
    println!("{who}: {count} attempts, {} surprises", surprises.len());
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

/// An attempt that takes longer is named.
const LONG: Duration = Duration::from_secs(2);
