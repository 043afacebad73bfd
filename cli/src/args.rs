//! The command line: global flags, the list of commands, and the shorthand `bore 3000`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::cmd::Command;
use crate::duration::parse_duration;
use crate::output::Style;

/// Publish what runs here through a relay of your own.
#[derive(Debug, clap::Parser)]
#[command(
    name = "bore",
    version,
    disable_help_subcommand = false,
    arg_required_else_help = true,
    after_help = "Examples:\n  bore demo                                  everything on this machine, live at once\n  bore join --key-file key.txt               join the relay that gave the key\n  bore 3000                                  = bore publish http 3000\n  bore publish udp 7777 --allow 10.0.0.0/8\n\nExit codes: 0 ok, 1 internal, 2 usage, 3 authentication, 4 denied, 5 relay unreachable, 6 taken,\n7 local target dead, 8 not verified in time, 9 version mismatch, 130 interrupted"
)]
pub(crate) struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub(crate) globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Globals {
    /// One JSON object a line: {"v":1,"event":…}
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Only results, warnings and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Log what happens; twice for names and addresses
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// No colour (NO_COLOR does the same)
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// Folder of this machine's identity [default: ~/.local/state/bore, root: /var/lib/bore-agent]
    #[arg(long, global = true, value_name = "DIR", env = "BORE_STATE")]
    pub(crate) state: Option<PathBuf>,
    /// Never ask
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// How long to wait for an answer or a proof: 500ms, 10s, 2m
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_duration, env = "BORE_TIMEOUT")]
    pub(crate) timeout: Option<Duration>,
    /// The relay's API [default: that of the relay on this machine, else http://127.0.0.1:7400]
    #[arg(long, global = true, value_name = "URL", env = "BORE_API", help_heading = "Relay API")]
    pub(crate) api_url: Option<String>,
    /// File with an API key, - for standard input [default: admin.key of the relay on this machine]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "BORE_API_KEY_FILE",
        help_heading = "Relay API"
    )]
    pub(crate) api_key_file: Option<PathBuf>,
    /// Network to speak about [default: the only one]
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "BORE_NETWORK",
        help_heading = "Relay API"
    )]
    pub(crate) network: Option<String>,
}

impl Globals {
    /// How to print.
    pub(crate) fn style(&self) -> Style {
        Style::detect(self.json, self.quiet, self.no_color)
    }
}

/// Global flags that are followed by a value.
const FLAGS_WITH_VALUE: &[&str] =
    &["--state", "--timeout", "--api-url", "--api-key-file", "--network"];

/// `bore 3000 …` is `bore publish http 3000 …`: a bare number as first argument that is no flag.
pub(crate) fn with_shorthand(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if let Some(position) = first_positional(&arguments)
        && arguments.get(position).and_then(|text| text.to_str()).is_some_and(is_port)
    {
        arguments.splice(position..position, ["publish".into(), "http".into()]);
    }
    arguments
}

fn first_positional(arguments: &[OsString]) -> Option<usize> {
    let mut position = 1;
    loop {
        let argument = arguments.get(position)?.to_str()?;
        match argument {
            "--" => return None,
            flag if FLAGS_WITH_VALUE.contains(&flag) => position += 2,
            flag if flag.starts_with('-') => position += 1,
            _ => return Some(position),
        }
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests;
