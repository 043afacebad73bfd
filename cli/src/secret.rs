//! Secrets on their way in: by file, standard input, prompt or flag. Never printed, wiped when dropped.

use std::fmt;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::path::Path;

use bore_api::Code;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::error::{CliError, CliResult};
use crate::output::Output;

/// What a terminal sends for Ctrl-C.
const CTRL_C: u8 = 3;
/// Longest text taken for a secret, bytes.
const SECRET_BYTES_MAX: u64 = 16 * 1024;

/// A key in plain text.
#[derive(Clone)]
pub(crate) struct Secret(Zeroizing<String>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Secret {
    /// Without the white space around it.
    pub(crate) fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.trim().to_owned()))
    }

    /// The text itself, to be sent or parsed.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The first line of a file, or of standard input for `-`.
    pub(crate) fn read(from: &Path) -> CliResult<Self> {
        let failed =
            |error| CliError::io(format!("cannot read a secret from {}", from.display()), &error);
        if from == Path::new("-") {
            return read_line().map_err(failed);
        }
        std::fs::File::open(from).and_then(read_all).map_err(failed)
    }

    /// Asks at the terminal, without echo.
    pub(crate) fn ask(question: &str, no_input: bool, output: &Output) -> CliResult<Self> {
        if no_input || !io::stdin().is_terminal() {
            return Err(CliError::new(
                Code::INPUT_NEEDED,
                format!("{question} is needed, and nobody can be asked"),
            ));
        }
        // Nothing that is typed from the prompt on is shown.
        let answer = without_echo(|| {
            output.prompt(&format!("{question}: "));
            read_typed()
        });
        output.prompt("\n");
        answer.map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted {
                return CliError::interrupted();
            }
            CliError::io("cannot read from the terminal", &error)
        })
    }
}

fn read_all(reader: impl io::Read) -> io::Result<Secret> {
    let mut text = Zeroizing::new(String::new());
    reader.take(SECRET_BYTES_MAX).read_to_string(&mut text)?;
    Ok(Secret::new(text.trim().lines().next().unwrap_or_default()))
}

fn read_line() -> io::Result<Secret> {
    let mut line = Zeroizing::new(String::new());
    io::stdin().lock().take(SECRET_BYTES_MAX).read_line(&mut line)?;
    Ok(Secret::new(&line))
}

/// The line that is typed at the terminal; interrupted by Ctrl-C.
fn read_typed() -> io::Result<Secret> {
    let mut terminal = io::stdin().lock();
    // A terminal gives a line at a time, also one that its end-of-line character ended.
    let line = Zeroizing::new(terminal.fill_buf()?.to_vec());
    terminal.consume(line.len());
    if line.last() == Some(&CTRL_C) {
        return Err(io::ErrorKind::Interrupted.into());
    }
    let text = std::str::from_utf8(&line);
    text.map(Secret::new).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Runs `read` with the terminal's echo off, and puts it back. Ctrl-C ends the line then, and not the process: that would leave the terminal without echo.
fn without_echo<T>(read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let terminal = io::stdin();
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
    silent.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
    tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
    let answer = read();
    tcsetattr(&terminal, OptionalActions::Flush, &before)?;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown_by_debug() {
        assert_eq!(format!("{:?}", Secret::new("bore_api_x")), "***");
    }

    #[test]
    fn a_file_gives_its_first_line_without_white_space() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "\n  bore_join_abc \r\nsecond\n").unwrap();
        assert_eq!(Secret::read(&path).unwrap().expose(), "bore_join_abc");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Secret::read(Path::new("/nowhere/key")).unwrap_err();
        assert!(error.message().contains("/nowhere/key"));
    }
}
