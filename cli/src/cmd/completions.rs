//! `bore completions SHELL`.

use bore_api::Code;
use clap::CommandFactory as _;
use serde_json::json;

use crate::args::Cli;
use crate::context::Context;
use crate::error::{CliError, CliResult};

/// Completions for a shell.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bore completions bash > /etc/bash_completion.d/bore\n  bore completions zsh > ~/.zfunc/_bore\n  bore completions fish > ~/.config/fish/completions/bore.fish"
)]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    /// Prints the script.
    pub(crate) fn run(self, context: &Context<'_>) -> CliResult {
        let shell = match self.shell {
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Zsh => clap_complete::Shell::Zsh,
            Shell::Fish => clap_complete::Shell::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "bore", &mut script);
        let script =
            String::from_utf8(script).map_err(|error| CliError::wrap(Code::INTERNAL, &error))?;
        context.output.result("completions", &json!({ "script": script }), script.trim_end())
    }
}
