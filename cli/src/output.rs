//! The only place that writes to the terminal: results to stdout, everything else to stderr.
//!
//! Relays, services and visitors have written parts of what is printed: no character of it but line end and tab steers a terminal, wherever it is printed.
//!
//! With `--json` every line of both is one object `{"v":1,"event":…}`; the fields of an event are added to, never changed, within one
//! `v`. Nothing is animated. Colour marks only ticks, crosses and errors, and only on a terminal.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Mutex;

use bore_api::{printable, printable_lines};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::{CliError, CliResult};

/// Version of the JSON lines.
const VERSION: u32 = 1;

/// How a command speaks.
pub(crate) struct Output {
    style: Style,
    stdout: Mutex<Box<dyn Write + Send>>,
    stderr: Mutex<Box<dyn Write + Send>>,
}

/// What the global flags ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Style {
    /// JSON lines.
    pub(crate) json: bool,
    /// Only results, warnings and errors.
    pub(crate) quiet: bool,
    /// Colour on stdout.
    pub(crate) color_stdout: bool,
    /// Colour on stderr.
    pub(crate) color_stderr: bool,
}

impl Style {
    /// Colour where there is a terminal and neither `--no-color` nor `NO_COLOR` (no-color.org).
    pub(crate) fn detect(json: bool, quiet: bool, no_color: bool) -> Self {
        let unwanted = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = !(json || no_color || dumb || unwanted("NO_COLOR"));
        Self {
            json,
            quiet,
            color_stdout: color && io::stdout().is_terminal(),
            color_stderr: color && io::stderr().is_terminal(),
        }
    }
}

impl Output {
    /// Writes to the process's own streams.
    pub(crate) fn new(style: Style) -> Self {
        Self::to(style, Box::new(io::stdout()), Box::new(io::stderr()))
    }

    /// Writes elsewhere.
    pub(crate) fn to(
        style: Style,
        stdout: Box<dyn Write + Send>,
        stderr: Box<dyn Write + Send>,
    ) -> Self {
        Self { style, stdout: Mutex::new(stdout), stderr: Mutex::new(stderr) }
    }

    /// Whether lines are JSON.
    pub(crate) const fn json(&self) -> bool {
        self.style.json
    }

    /// One result: `text` for people, `event` with `fields` for programs.
    pub(crate) fn result(&self, event: &str, fields: &impl Serialize, text: &str) -> CliResult {
        if self.style.json {
            return self.print(&line(event, fields));
        }
        self.print(&printable_lines(text))
    }

    /// A result that is one of several checks: a tick or a cross, coloured as stdout allows, what was seen, and below it what to do.
    pub(crate) fn check(
        &self,
        fields: &impl Serialize,
        (ok, name, detail): (bool, &str, &str),
        next: Option<&str>,
    ) -> CliResult {
        if self.style.json {
            return self.print(&line("check", fields));
        }
        let seen = step_text(ok, name, detail, self.style.color_stdout);
        let next = next.map(|next| format!("\n    try: {}", printable(next)));
        self.print(&format!("{seen}{}", next.unwrap_or_default()))
    }

    /// A result of a program that goes on: a full disk behind stdout does not stop it.
    pub(crate) fn tell(&self, event: &str, fields: &impl Serialize, text: &str) {
        if let Err(error) = self.result(event, fields, text) {
            self.error(&error);
        }
    }

    /// A list: one JSON object an item, or a table under `head`; `empty` says on stderr that there is nothing.
    pub(crate) fn list<T: Serialize>(
        &self,
        event: &str,
        items: &[T],
        table: &Table,
        empty: &str,
    ) -> CliResult {
        if self.style.json {
            return items.iter().try_for_each(|item| self.print(&line(event, item)));
        }
        if items.is_empty() {
            self.note(empty);
            return Ok(());
        }
        self.print(&table.text())
    }

    /// One thing that was tried, and how it went. A result's fine print: stderr.
    pub(crate) fn step(&self, ok: bool, name: &str, detail: &str) {
        if self.style.json {
            self.say(&line("step", &json!({ "name": name, "ok": ok, "detail": detail })));
        } else if !(self.style.quiet && ok) {
            let color = self.style.color_stderr;
            self.say(&step_text(ok, name, detail, color));
        }
    }

    /// Something that happens; silent with `-q`.
    pub(crate) fn note(&self, text: &str) {
        if !self.style.quiet {
            self.aside("note", text, text);
        }
    }

    /// Something that the reader should change.
    pub(crate) fn warn(&self, text: &str) {
        self.aside("warning", text, &format!("warning: {text}"));
    }

    /// What somebody else has already put into words, for people.
    pub(crate) fn warn_as_is(&self, text: &str) {
        self.say(&printable_lines(text));
    }

    /// Why the command failed.
    pub(crate) fn error(&self, error: &CliError) {
        if self.style.json {
            self.say(&line("error", &error_fields(error)));
            return;
        }
        let text = printable_lines(&error.text());
        self.say(&if self.style.color_stderr { redden(&text) } else { text });
    }

    /// A question's prompt: no line end, on stderr, also with `-q`.
    pub(crate) fn prompt(&self, text: &str) {
        if let Ok(mut stderr) = self.stderr.lock() {
            let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
        }
    }

    fn aside(&self, event: &str, text: &str, human: &str) {
        if self.style.json {
            self.say(&line(event, &json!({ "text": text })));
        } else {
            self.say(&printable_lines(human));
        }
    }

    /// A reader that went away (`| head`) is no failure; a full disk is.
    fn print(&self, text: &str) -> CliResult {
        let Ok(mut stdout) = self.stdout.lock() else { return Ok(()) };
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(CliError::io("cannot write the result to standard output", &error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// What cannot be written to stderr has nowhere else to go.
    fn say(&self, text: &str) {
        if let Ok(mut stderr) = self.stderr.lock() {
            let _ = writeln!(stderr, "{text}");
        }
    }
}

/// Rows under a head, padded to columns.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column names.
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { rows: vec![head.map(str::to_uppercase).to_vec()] }
    }

    /// Adds a row; control characters are shown, not sent to the terminal.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| printable(&cell)).to_vec());
    }

    fn text(&self) -> String {
        let widths = self.widths();
        let lines = self.rows.iter().map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }
}

fn line(event: &str, fields: &impl Serialize) -> String {
    let fields = match serde_json::to_value(fields) {
        Ok(Value::Object(fields)) => fields,
        Ok(Value::Null) | Err(_) => Map::new(),
        Ok(value) => Map::from_iter([("value".to_owned(), value)]),
    };
    let reserved = |name: &str| matches!(name, "v" | "event");
    let fields: Map<_, _> = fields.into_iter().filter(|(name, _)| !reserved(name)).collect();
    let comma = if fields.is_empty() { "" } else { "," };
    let body = Value::Object(fields).to_string();
    let body = body.strip_prefix('{').unwrap_or_default();
    format!("{{\"v\":{VERSION},\"event\":{}{comma}{body}", Value::from(event))
}

fn error_fields(error: &CliError) -> Value {
    json!({
        "code": error.code(),
        "message": error.message(),
        "cause": error.reason(),
        "next": error.next_step(),
        "exit": error.exit().number(),
    })
}

fn step_text(ok: bool, name: &str, detail: &str, color: bool) -> String {
    let mark = match (ok, color) {
        (true, false) => "✓",
        (false, false) => "✗",
        (true, true) => "\x1b[32m✓\x1b[0m",
        (false, true) => "\x1b[31m✗\x1b[0m",
    };
    let (name, detail) = (printable(name), printable(detail));
    format!("{mark} {name} {detail}").trim_end().to_owned()
}

/// Colours the `error[…]` of the first line.
fn redden(text: &str) -> String {
    match text.split_once(' ') {
        Some((mark, rest)) => format!("\x1b[31m{mark}\x1b[0m {rest}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use bore_api::Code;

    use super::*;

    #[test]
    fn results_go_to_stdout_and_the_rest_to_stderr() {
        let (output, streams) = captured(Style::default());
        output.note("working");
        output.step(true, "dns", "203.0.113.5");
        output.result("published", &json!({ "name": "app" }), "https://app").unwrap();
        assert_eq!(streams.stdout(), "https://app\n");
        assert_eq!(streams.stderr(), "working\n✓ dns 203.0.113.5\n");
    }

    #[test]
    fn json_lines_carry_a_version_and_an_event_on_both_streams() {
        let (output, streams) = captured(Style { json: true, ..Style::default() });
        output.result("published", &json!({ "name": "app" }), "https://app").unwrap();
        output.error(&CliError::new(Code::PORT_TAKEN, "taken"));
        assert_eq!(streams.stdout(), "{\"v\":1,\"event\":\"published\",\"name\":\"app\"}\n");
        let error: Value = serde_json::from_str(&streams.stderr()).unwrap();
        assert_eq!(
            (&error["v"], &error["code"], &error["exit"]),
            (&1.into(), &"B2104".into(), &6.into())
        );
    }

    #[test]
    fn quiet_keeps_results_warnings_failures_and_errors() {
        let (output, streams) = captured(Style { quiet: true, ..Style::default() });
        output.note("working");
        output.step(true, "dns", "ok");
        output.step(false, "port", "refused");
        output.warn("careful");
        assert_eq!(streams.stderr(), "✗ port refused\nwarning: careful\n");
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_but_a_full_disk_is() {
        let failing = |kind| {
            let broken = Box::new(Broken(kind));
            let output = Output::to(Style::default(), broken, Box::new(io::sink()));
            output.result("x", &(), "x").map_err(|error| error.code().to_owned())
        };
        assert_eq!(failing(io::ErrorKind::BrokenPipe), Ok(()));
        assert_eq!(failing(io::ErrorKind::StorageFull), Err("B1002".to_owned()));
    }

    #[test]
    fn tables_line_up_and_never_pass_on_escape_sequences() {
        let mut table = Table::new(["name", "state"]);
        table.row(["app".into(), "live".into()]);
        table.row(["a-long-name".into(), "\x1b[31mdown".into()]);
        assert_eq!(
            table.text(),
            "NAME         STATE\napp          live\na-long-name  \\u{1b}[31mdown"
        );
    }

    #[test]
    fn no_text_of_others_steers_the_terminal_wherever_it_is_printed() {
        let (output, streams) = captured(Style::default());
        let hostile = "a\x1b]0;owned\x07\r\u{9b}2J\u{202e}\u{61c}\nb";
        output.result("status", &(), hostile).unwrap();
        output.check(&(), (false, hostile, hostile), Some(hostile)).unwrap();
        output.tell("state", &(), hostile);
        output.note(hostile);
        output.warn(hostile);
        output.warn_as_is(hostile);
        output.step(false, hostile, hostile);
        output.error(&CliError::new(Code::PORT_TAKEN, hostile).cause(hostile).next(hostile));
        for printed in [streams.stdout(), streams.stderr()] {
            assert!(
                !printed.chars().any(|c| c != '\n' && printable(&c.to_string()) != c.to_string()),
                "{printed:?}"
            );
            assert!(printed.contains("a\\u{1b}]0;owned"), "{printed:?}");
        }
        assert!(
            streams
                .stdout()
                .starts_with("a\\u{1b}]0;owned\\u{7}\\r\\u{9b}2J\\u{202e}\\u{61c}\nb\n")
        );
    }

    /// An output whose two streams can be read back.
    pub(crate) fn captured(style: Style) -> (Output, Streams) {
        let streams = Streams::default();
        let output = Output::to(style, Box::new(streams.0.clone()), Box::new(streams.1.clone()));
        (output, streams)
    }

    #[derive(Default)]
    pub(crate) struct Streams(Buffer, Buffer);

    impl Streams {
        pub(crate) fn stdout(&self) -> String {
            String::from_utf8(self.0.0.lock().unwrap().clone()).unwrap()
        }

        pub(crate) fn stderr(&self) -> String {
            String::from_utf8(self.1.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[derive(Default, Clone)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let buffer = self.0.lock();
            buffer.map_err(|_| io::ErrorKind::Other)?.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
