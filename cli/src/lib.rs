//! `bore`: reach what runs here from anywhere, through a relay of your own.
//!
//! This file only starts: it reads the command line, sets up logging and the runtime, runs one command and turns its result into
//! an exit code. Commands are in `cmd`, the agent in `bore-agent`, everything that prints in `output`.
#![forbid(unsafe_code)]

mod api;
mod args;
mod cmd;
mod context;
mod duration;
mod error;
mod explain;
mod file;
mod hostname;
mod link;
mod log_writer;
mod memory;
mod open_files;
mod options;
mod output;
mod owner;
mod project;
mod secret;
mod signal;
mod systemd;
#[cfg(test)]
mod test_support;
mod wanted;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Cli;
use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::log_writer::{FlushOnDrop, LogWriter};
use crate::output::{Output, Style};

/// Reads the command line, runs one command and gives its exit code.
pub fn main() -> ExitCode {
    // Crates that ask for TLS without saying whose get this one; only the first caller is heard, and this is the first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = args::with_shorthand(std::env::args_os().collect());
    match Cli::try_parse_from(&arguments) {
        Ok(cli) => run(cli),
        Err(error) => misunderstood(&error, &arguments),
    }
}

fn run(cli: Cli) -> ExitCode {
    let _flush = start_log(cli.globals.verbose, cli.globals.json);
    open_files::raise();
    memory::close();
    let output = Output::new(cli.globals.style());
    let result = execute(cli, &output);
    match result {
        Ok(code) => code,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.exit().number())
        }
    }
}

fn execute(cli: Cli, output: &Output) -> CliResult<ExitCode> {
    let context = Context::load(cli.globals, output)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::io("cannot start the runtime", &error))?;
    let result = runtime.block_on(cmd::run(cli.command, &context));
    // A task that never ends must not hold the shell's prompt back.
    runtime.shutdown_background();
    result
}

/// Help and version are results; the rest is wrong use.
fn misunderstood(error: &clap::Error, arguments: &[std::ffi::OsString]) -> ExitCode {
    let json = arguments.iter().any(|argument| argument == "--json");
    let output = Output::new(Style::detect(json, false, false));
    let text = error.render();
    if !error.use_stderr() {
        let shown = output.result(
            "help",
            &serde_json::json!({ "text": text.to_string() }),
            text.to_string().trim_end(),
        );
        return shown.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let text = text.to_string();
    if json {
        let message = text.lines().next().unwrap_or_default();
        output.error(&CliError::usage(message.trim_start_matches("error: ")));
    } else {
        output.warn_as_is(text.trim_end());
    }
    ExitCode::from(bore_api::Exit::Usage.number())
}

/// Logs go to stderr: warnings of bore and errors of all, with `-v` what a person would care for, with `-vv` names and addresses too. `BORE_LOG` overrides.
fn start_log(verbose: u8, json: bool) -> FlushOnDrop {
    let filter = tracing_subscriber::EnvFilter::try_from_env("BORE_LOG");
    let filter = filter.unwrap_or_else(|_| log_filter(verbose));
    let (writer, flush) = LogWriter::start(std::io::stderr());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    if json {
        log.json().init();
    } else {
        log.with_ansi(false).init();
    }
    flush
}

fn log_filter(verbose: u8) -> tracing_subscriber::EnvFilter {
    let levels = ["error,bore=warn", "bore=info,bore_relay=info,info", "debug", "trace"];
    let level = levels.get(usize::from(verbose)).copied().unwrap_or("trace");
    tracing_subscriber::EnvFilter::new(level)
}

#[cfg(test)]
mod tests {
    use tracing::Level;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn what_a_person_should_change_is_logged_without_being_asked_for() {
        let log = tracing_subscriber::registry().with(log_filter(0));
        tracing::subscriber::with_default(log, || {
            assert!(tracing::enabled!(target: "bore_agent::shared", Level::WARN));
            assert!(tracing::enabled!(target: "bore_relay::descriptors", Level::WARN));
            assert!(!tracing::enabled!(target: "bore_relay::server", Level::INFO));
            assert!(!tracing::enabled!(target: "hyper", Level::WARN));
            assert!(tracing::enabled!(target: "hyper", Level::ERROR));
        });
    }
}
