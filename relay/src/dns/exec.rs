//! A program of the operator's that changes the zone: `command publish NAME VALUE`, `command withdraw NAME VALUE`.
//!
//! It is started without a shell, so nothing in a name or value is read as a command; exit code 0 means done. Values under one name stand beside
//! each other. The relay's sealing keys are not in its environment.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use async_trait::async_trait;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::limits::{HOOK_OUTPUT_BYTES_MAX, HOOK_TIMEOUT};
use super::lookups::Lookups;
use super::txt::{TxtError, TxtRecords};
use super::visible;
use crate::sealing_keys;

/// The hook.
#[derive(Debug)]
pub struct Exec {
    command: PathBuf,
    lookups: Lookups,
}

impl Exec {
    /// A hook that is this program.
    pub fn new(command: &Path, lookups: Lookups) -> Self {
        Self { command: command.to_owned(), lookups }
    }

    async fn run(&self, verb: &str, name: &str, value: &str) -> Result<(), TxtError> {
        let failed =
            |cause| TxtError::Provider { provider: PROVIDER, name: name.to_owned(), cause };
        let called = format!("`{} {verb} {name} …`", self.command.display());
        let running = self.wait(verb, name, value);
        let (status, said) = match timeout(HOOK_TIMEOUT, running).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => return Err(failed(format!("{called} did not run: {error}"))),
            Err(_) => {
                let seconds = HOOK_TIMEOUT.as_secs();
                return Err(failed(format!(
                    "{called} had not ended after {seconds} s and was stopped"
                )));
            }
        };
        if status.success() {
            return Ok(());
        }
        Err(failed(format!("{called} ended with {status}: {}", said.trim())))
    }

    /// Runs it to its end; what it writes to stderr is kept up to a bound.
    async fn wait(
        &self,
        verb: &str,
        name: &str,
        value: &str,
    ) -> std::io::Result<(ExitStatus, String)> {
        let mut child = Command::new(&self.command)
            .args([verb, name, value])
            .env_remove(sealing_keys::VARIABLE)
            .env_remove(sealing_keys::VARIABLE_NEXT)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut said = Vec::new();
        if let Some(stderr) = child.stderr.as_mut() {
            let most = u64::try_from(HOOK_OUTPUT_BYTES_MAX).unwrap_or(u64::MAX);
            stderr.take(most).read_to_end(&mut said).await?;
            // The rest is taken off its hands, so that it does not wait for us.
            tokio::io::copy(stderr, &mut tokio::io::sink()).await?;
        }
        Ok((child.wait().await?, String::from_utf8_lossy(&said).into_owned()))
    }
}

#[async_trait]
impl TxtRecords for Exec {
    async fn publish(&self, name: &str, value: &str) -> Result<(), TxtError> {
        self.run("publish", name, value).await?;
        visible::wait(&self.lookups, PROVIDER, name, value).await
    }

    async fn withdraw(&self, name: &str, value: &str) -> Result<(), TxtError> {
        self.run("withdraw", name, value).await
    }
}

const PROVIDER: &str = "dns hook";
