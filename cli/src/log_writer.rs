//! Where the log goes: to stderr, by a thread of its own, so that nothing that logs waits for it or fails with it.
//!
//! A stderr that is closed (`bore demo -v | head`), full or read by nobody costs lines, which are counted, and nothing else.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Hands lines to the thread that writes them. A line that finds the queue full is dropped.
#[derive(Debug, Clone)]
pub(crate) struct LogWriter {
    messages: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

/// Waits when it is dropped, for a moment at most, until the lines so far are written.
#[derive(Debug)]
pub(crate) struct FlushOnDrop(SyncSender<Message>);

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

impl LogWriter {
    /// Starts the thread, which writes to `output` for as long as the process lives.
    pub(crate) fn start(output: impl Write + Send + 'static) -> (Self, FlushOnDrop) {
        let (messages, queue) = sync_channel(LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        std::thread::spawn(move || write_lines(&queue, output, &counter));
        (Self { messages: messages.clone(), dropped }, FlushOnDrop(messages))
    }
}

fn write_lines(queue: &Receiver<Message>, mut output: impl Write, dropped: &AtomicU64) {
    for message in queue {
        match message {
            // What cannot be written has nowhere else to go.
            Message::Line(line) => drop(output.write_all(&line)),
            // Its sender may have stopped waiting.
            Message::Flush(done) => drop(done.send(())),
        }
        let lines = dropped.swap(0, Ordering::Relaxed);
        if lines > 0 {
            tracing::warn!(lines, "log lines were dropped: stderr took them too slowly");
        }
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Err(TrySendError::Full(_)) = self.messages.try_send(Message::Line(line.to_vec())) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        let (done, written) = sync_channel(1);
        if self.0.try_send(Message::Flush(done)).is_ok() {
            // A stderr that nobody reads is not waited for.
            let _ = written.recv_timeout(FLUSH_WAIT);
        }
    }
}

/// Lines that wait to be written; a relay at `debug` writes about as many in a tenth of a second.
const LINES_MAX: usize = 4096;
const FLUSH_WAIT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn lines_arrive_in_order_before_the_flush_ends() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut log, flush) = LogWriter::start(Shared(Arc::clone(&written)));
        log.write_all(b"one\n").unwrap();
        log.write_all(b"two\n").unwrap();
        drop(flush);
        assert_eq!(*written.lock().unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn an_output_that_nobody_reads_stops_no_writer() {
        let (blocked, gate) = channel::<()>();
        let (mut log, _flush) = LogWriter::start(Blocked(gate));
        for _ in 0..LINES_MAX * 2 {
            log.write_all(b"line\n").unwrap();
        }
        assert!(log.dropped.load(Ordering::Relaxed) >= LINES_MAX as u64 - 1);
        drop(blocked);
    }

    #[test]
    fn a_closed_output_is_no_error() {
        let (mut log, flush) = LogWriter::start(Closed);
        log.write_all(b"line\n").unwrap();
        drop(flush);
        log.write_all(b"line\n").unwrap();
    }

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().map_err(|_| io::ErrorKind::Other)?.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Takes nothing until its gate is dropped.
    struct Blocked(Receiver<()>);

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
