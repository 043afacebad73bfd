//! A real program under watch: its lines are kept, it is waited for with a deadline, and it ends with the handle.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::wait::{SOON, until};

/// A running program. Dropping it kills it; a test that fails shows its last lines.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Mutex<Vec<Line>>>,
    readers: Vec<JoinHandle<()>>,
}

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whether it came from standard output.
    pub stdout: bool,
    /// Without its end.
    pub text: String,
}

impl Line {
    /// The line as JSON, if it is an object.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_str(&self.text).ok().filter(Value::is_object)
    }
}

impl Process {
    /// Starts a program; `name` is for people.
    pub fn start(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let stdout = child.stdout.take().map(|stream| follow(stream, true, Arc::clone(&log)));
        let stderr = child.stderr.take().map(|stream| follow(stream, false, Arc::clone(&log)));
        let readers = stdout.into_iter().chain(stderr).collect();
        Self { name: name.to_owned(), child, log, readers }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub fn lines(&self) -> Vec<Line> {
        self.log().clone()
    }

    /// All of its output so far.
    pub fn text(&self) -> String {
        self.lines().into_iter().map(|line| line.text + "\n").collect()
    }

    /// Its JSON lines so far whose `event` is this.
    pub fn events(&self, event: &str) -> Vec<Value> {
        let lines = self.lines();
        lines.iter().filter_map(Line::json).filter(|value| value["event"] == event).collect()
    }

    /// Waits for a line that `look` makes something of.
    pub fn line<T>(&mut self, what: &str, look: impl Fn(&Line) -> Option<T>) -> T {
        self.line_within(SOON, what, look)
    }

    /// Waits for a line that `look` makes something of, at most `limit`. A program that has ended is not waited for.
    pub fn line_within<T>(
        &mut self,
        limit: Duration,
        what: &str,
        look: impl Fn(&Line) -> Option<T>,
    ) -> T {
        let what = format!("{what} from {}", self.name);
        until(&what, limit, || {
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() {
                self.finish_reading();
            }
            let found = self.log().iter().find_map(&look);
            assert!(found.is_some() || ended.is_none(), "{what}: it ended with {ended:?}");
            found
        })
    }

    /// Waits for a JSON line with this `event`.
    pub fn event(&mut self, event: &str) -> Value {
        self.line(&format!("event {event}"), |line| {
            line.json().filter(|value| value["event"] == event)
        })
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        let status =
            until(&what, limit, || self.child.try_wait().expect("a child of this process"));
        self.finish_reading();
        status
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal)
            .unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        // One that has ended by itself is as dead as it should be.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.finish_reading();
    }

    fn log(&self) -> MutexGuard<'_, Vec<Line>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish_reading(&mut self) {
        // A grandchild may hold the pipe open; what the program itself said is in the log by then.
        self.readers.retain(|reader| !reader.is_finished());
        let patience = std::time::Instant::now() + READ_OUT;
        while !self.readers.is_empty() && std::time::Instant::now() < patience {
            std::thread::yield_now();
            self.readers.retain(|reader| !reader.is_finished());
        }
    }
}

impl Drop for Process {
    #[expect(
        clippy::print_stderr,
        reason = "the log of a failed test is for the person who reads it"
    )]
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let lines = self.lines();
            let last = lines.iter().skip(lines.len().saturating_sub(LINES_SHOWN));
            let text: String = last.map(|line| format!("  {}\n", line.text)).collect();
            eprintln!("--- {} ({} lines)\n{text}", self.name, lines.len());
        }
    }
}

fn follow(
    stream: impl Read + Send + 'static,
    stdout: bool,
    log: Arc<Mutex<Vec<Line>>>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&line).into_owned();
            log.lock().unwrap_or_else(PoisonError::into_inner).push(Line { stdout, text });
        }
    })
}

const LINES_SHOWN: usize = 60;
const READ_OUT: Duration = Duration::from_millis(500);
