//! Many agents in one process, for measuring a relay: each is a whole agent with a state folder, a thread and a UDP socket of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bore_api::model::Protocol;
use bore_api::state::State;
use bore_api::wire::PublicationView;
use bore_overlay::JoinKey;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use bore_agent::{
    Agent, AgentError, Declaration, JoinOptions, StartOptions, StateChange, StateFolder, in_full,
};

/// Agents that have joined and may publish one TCP port each.
pub(crate) struct Swarm {
    members: Vec<Member>,
}

struct Member {
    agent: Agent,
    port: u16,
}

/// What a swarm is made of.
#[derive(Debug, Clone)]
pub(crate) struct Plan<'a> {
    /// Text of a join key with enough uses.
    pub(crate) join_key: &'a str,
    /// Each agent gets a folder below this one.
    pub(crate) folder: &'a Path,
    /// How many.
    pub(crate) agents: usize,
    /// How many may be joining at the same time.
    pub(crate) at_once: usize,
}

/// Why a swarm did not come up.
#[derive(Debug, thiserror::Error)]
#[error("agent {agent}: {cause}")]
pub(crate) struct SwarmError {
    agent: usize,
    cause: String,
}

impl Swarm {
    /// Joins all agents; done when each has a session of its own with the relay.
    ///
    /// # Errors
    /// The first agent that could not.
    pub(crate) async fn join(plan: &Plan<'_>) -> Result<Self, SwarmError> {
        let joining = (0..plan.agents).map(|number| {
            let (key, folder) =
                (plan.join_key.to_owned(), plan.folder.join(format!("agent-{number}")));
            async move { join_one(number, &key, &folder).await }
        });
        let agents = each(plan.at_once, joining).await?;
        Ok(Self { members: agents.into_iter().map(|agent| Member { agent, port: 0 }).collect() })
    }

    /// Publishes one port of each agent; done when the relay has acknowledged every publication.
    ///
    /// # Errors
    /// The first publication that was refused.
    pub(crate) async fn publish(&mut self, target: &str, at_once: usize) -> Result<(), SwarmError> {
        let publishing = self.members.iter().enumerate().map(|(number, member)| {
            let (agent, target) = (member.agent.clone(), target.to_owned());
            async move { agent.publish(declaration(&format!("service-{number}"), target)).await }
        });
        let views = each(at_once, publishing).await?;
        for (member, view) in self.members.iter_mut().zip(views) {
            member.port = view.publication.public_port.unwrap_or_default();
        }
        Ok(())
    }

    /// Public port of every agent's publication.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.members.iter().map(|member| member.port).collect()
    }

    /// Publishes `target` once more from the first agent; how long it took until the relay had proved it reachable.
    ///
    /// # Errors
    /// It was refused, or not reachable in time.
    pub(crate) async fn time_to_reachable(
        &self,
        name: &str,
        target: &str,
    ) -> Result<Duration, SwarmError> {
        let failed = |cause: String| SwarmError { agent: 0, cause };
        let member = self.members.first().ok_or_else(|| failed("there is no agent".to_owned()))?;
        let mut changes = member.agent.subscribe();
        let began = Instant::now();
        let declared = member.agent.publish(declaration(name, target.to_owned())).await;
        let declared = declared.map_err(|error| failed(in_full(&error)))?;
        let reachable = async {
            loop {
                match changes.recv().await {
                    Ok(StateChange::Publication { publication })
                        if is_reachable(&publication, &declared) =>
                    {
                        return true;
                    }
                    Ok(_) => {}
                    Err(_) => return false,
                }
            }
        };
        match tokio::time::timeout(PATIENCE, reachable).await {
            Ok(true) => Ok(began.elapsed()),
            _ => Err(failed(format!("{name} did not become reachable"))),
        }
    }

    /// Ends all agents.
    pub(crate) async fn stop(self) {
        let mut stopping = JoinSet::new();
        for member in self.members {
            stopping.spawn(async move { member.agent.stop().await });
        }
        stopping.join_all().await;
    }
}

impl fmt::Debug for Swarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swarm").field("agents", &self.members.len()).finish()
    }
}

async fn join_one(number: usize, key: &str, folder: &Path) -> Result<Agent, AgentError> {
    let key = JoinKey::parse(key).map_err(|error| AgentError::Internal(error.to_string()))?;
    let join = JoinOptions { key, name: format!("agent-{number}"), ephemeral: false };
    let options = StartOptions { join: Some(join), takeover: false };
    let agent = Agent::start(StateFolder::open(folder)?, options).await?;
    agent.connected(PATIENCE).await?;
    Ok(agent)
}

/// Does all of `work`, `at_once` at a time; the answers in the order of the work.
async fn each<T, F>(at_once: usize, work: impl Iterator<Item = F>) -> Result<Vec<T>, SwarmError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, AgentError>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(at_once));
    let mut running = JoinSet::new();
    for (agent, work) in work.enumerate() {
        let places = Arc::clone(&places);
        running.spawn(async move {
            let _place = places.acquire_owned().await;
            let done = work.await;
            (agent, done.map_err(|error| SwarmError { agent, cause: in_full(&error) }))
        });
    }
    let mut done = BTreeMap::new();
    while let Some(ended) = running.join_next().await {
        let (agent, result) =
            ended.map_err(|error| SwarmError { agent: done.len(), cause: error.to_string() })?;
        done.insert(agent, result?);
    }
    Ok(done.into_values().collect())
}

fn declaration(name: &str, target: String) -> Declaration {
    let declaration = Declaration::new(Protocol::Tcp, target);
    Declaration { name: Some(name.to_owned()), any_port: true, ..declaration }
}

fn is_reachable(seen: &PublicationView, wanted: &PublicationView) -> bool {
    seen.publication.id == wanted.publication.id
        && matches!(seen.state.state, State::Reachable | State::Live)
}

const PATIENCE: Duration = Duration::from_secs(30);
