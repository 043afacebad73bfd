//! The agent that a command speaks with: the one that runs on the state folder, or one of its own that ends with the command.

use std::path::Path;
use std::time::Duration;

use bore_api::Code;
use bore_api::wire::PublicationView;
use tokio::sync::broadcast;

use crate::context::Context;
use crate::error::{CliError, CliResult};
use bore_agent::{
    Agent, AgentError, Changes, Declaration, LocalClient, StartOptions, StateChange, StateFolder,
    Status,
};

/// How long a new agent may take to reach its relay.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// An agent at hand.
pub(crate) enum Link {
    /// Runs in another process.
    Running(LocalClient),
    /// Runs in this one.
    Own(Agent),
}

/// What happens, as it happens.
pub(crate) enum Feed {
    /// Of another process.
    Running(Changes),
    /// Of this one.
    Own(broadcast::Receiver<StateChange>),
}

/// Keeps a session publication of another process's agent for as long as it lives.
pub(crate) struct Hold {
    _stream: Option<Changes>,
}

impl Link {
    /// The running agent, else a new one, connected.
    pub(crate) async fn open(context: &Context<'_>) -> CliResult<Self> {
        let path = context.state()?;
        if let Some(client) = running(&path).await? {
            return Ok(Self::Running(client));
        }
        let agent = Agent::start(StateFolder::open(&path)?, StartOptions::default()).await?;
        Self::connected(agent, context.timeout_or(CONNECT_TIMEOUT)).await
    }

    /// An agent of this process, once it has reached its relay; else it is stopped again.
    pub(crate) async fn connected(agent: Agent, limit: Duration) -> CliResult<Self> {
        if let Err(error) = agent.connected(limit).await {
            agent.stop().await;
            return Err(error.into());
        }
        Ok(Self::Own(agent))
    }

    /// The running agent.
    pub(crate) async fn running(context: &Context<'_>) -> CliResult<Self> {
        let path = context.state()?;
        let client = running(&path).await?;
        let missing =
            || CliError::new(Code::NO_AGENT, format!("no agent runs on {}", path.display()));
        client.map(Self::Running).ok_or_else(missing)
    }

    /// Whether the agent ends with this command.
    pub(crate) const fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// Publishes. Returns once the relay has acknowledged it.
    pub(crate) async fn declare(&self, declaration: Declaration) -> CliResult<PublicationView> {
        Ok(match self {
            Self::Running(client) => client.declare(&declaration).await?,
            Self::Own(agent) => agent.publish(declaration).await?,
        })
    }

    /// Takes a publication back.
    pub(crate) async fn withdraw(&self, name: &str) -> CliResult {
        match self {
            Self::Running(client) => client.withdraw(name).await?,
            Self::Own(agent) => agent.withdraw(name).await?,
        }
        Ok(())
    }

    /// What is published.
    pub(crate) async fn publications(&self) -> CliResult<Vec<PublicationView>> {
        Ok(match self {
            Self::Running(client) => client.publications().await?,
            Self::Own(agent) => agent.publications(),
        })
    }

    /// How the agent is.
    pub(crate) async fn status(&self) -> CliResult<Status> {
        Ok(match self {
            Self::Running(client) => client.status().await?,
            Self::Own(agent) => agent.status(),
        })
    }

    /// Changes from here on.
    pub(crate) async fn changes(&self) -> CliResult<Feed> {
        Ok(match self {
            Self::Running(client) => Feed::Running(client.watch().await?),
            Self::Own(agent) => Feed::Own(agent.subscribe()),
        })
    }

    /// Keeps a session publication for as long as the answer lives; an agent of our own keeps it anyway.
    pub(crate) async fn hold(&self, name: &str) -> CliResult<Hold> {
        let stream = match self {
            Self::Running(client) => Some(client.hold(name).await?),
            Self::Own(_) => None,
        };
        Ok(Hold { _stream: stream })
    }

    /// Ends an agent of our own, which takes its session publications back; another process's goes on.
    pub(crate) async fn close(self) {
        match self {
            Self::Own(agent) => agent.stop().await,
            Self::Running(_) => {}
        }
    }
}

impl Feed {
    /// The next change.
    ///
    /// # Errors
    /// The agent has gone.
    pub(crate) async fn next(&mut self) -> CliResult<StateChange> {
        let gone = || CliError::new(Code::NO_AGENT, "the agent has ended");
        match self {
            Self::Running(changes) => changes.next().await?.ok_or_else(gone),
            Self::Own(receiver) => loop {
                match receiver.recv().await {
                    Ok(change) => return Ok(change),
                    // What was missed is told again by the next state.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Err(gone()),
                }
            },
        }
    }
}

/// The agent that runs on `state`; `None` when none does.
async fn running(state: &Path) -> CliResult<Option<LocalClient>> {
    if !state.exists() {
        return Ok(None);
    }
    let folder = StateFolder::open(state)?;
    match LocalClient::connect(&folder.socket()).await {
        Ok(client) => Ok(Some(client)),
        Err(AgentError::NoAgent { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
