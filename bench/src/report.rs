//! The table of results.

use std::io::Write;
use std::time::Duration;

/// Prints one row.
pub(crate) fn row(what: &str, value: &str) {
    // A closed terminal is no reason to stop measuring.
    let _ = writeln!(std::io::stdout(), "| {what} | {value} |");
}

/// Prints the head of a table.
pub(crate) fn head(title: &str) {
    row(title, "figure");
    row("---", "---");
}

/// Prints a table of more columns.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) {
    let print = |cells: &[&str]| {
        // As above.
        let _ = writeln!(std::io::stdout(), "| {} |", cells.join(" | "));
    };
    print(head);
    print(&vec!["---"; head.len()]);
    for row in rows {
        print(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// The `share` quantile (0 to 1) of `samples`, which it sorts.
pub(crate) fn quantile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort_unstable();
    let last = samples.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a list in memory"
    )]
    let index = (last as f64 * share).round() as usize;
    samples.get(index).copied().unwrap_or_default()
}

/// A duration in milliseconds.
pub(crate) fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
